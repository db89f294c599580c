//! Disks as sparse files: folders that come and go, and what is asked of an open disk.
//!
//! Writes go through the queue of its thread. Reads do not pass the queue unless they touch something that still waits in
//! it.

mod writer;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use swarm_types::DiskId;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use self::writer::{Device, Job, Progress, Queue};
use super::{HostState, LiveDisk};
use crate::{BoxFuture, Disk, Disks, IndexHome, SyncMode};

/// Longer reads leave the async threads alone and go to the blocking pool.
const INLINE_READ_MAX: usize = 256 << 10;
/// How often the folders are looked at by who wants to hear of changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a disk that was replaced between two looks is gone, so that whoever watches sees it.
const GONE_FOR: Duration = Duration::from_secs(3);

/// A disk that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DiskFault {
    /// Another process, or another host of this one, has it open.
    #[error("disk folder {folder} is in use by another process")]
    InUse {
        /// The folder.
        folder: String,
    },
    /// The folder or the file cannot be made or opened.
    #[error("disk folder {folder} cannot be opened: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
}

impl From<DiskFault> for io::Error {
    fn from(fault: DiskFault) -> Self {
        let kind = match &fault {
            DiskFault::InUse { .. } => io::ErrorKind::ResourceBusy,
            DiskFault::Folder { source, .. } => source.kind(),
        };
        Self::new(kind, fault)
    }
}

/// The disks of one incarnation.
pub(super) struct LiveDisks {
    host: Arc<HostState>,
    specs: Vec<LiveDisk>,
    /// Tells when each opened disk has been closed.
    opened: Mutex<Vec<Opened>>,
    /// The disks whose folders were there at some time of this incarnation: one of these without a folder has been pulled.
    known: Mutex<BTreeSet<DiskId>>,
}

/// A disk that was opened, and may be closed by now.
struct Opened {
    id: DiskId,
    /// When it was first seen that the file is not there any more, or is another one.
    gone: Option<Instant>,
    image: Arc<ImageFile>,
    queue: Arc<Queue>,
    progress: watch::Receiver<Progress>,
}

/// The file of an open disk.
struct ImageFile {
    file: File,
    path: PathBuf,
    pulled: AtomicBool,
}

impl ImageFile {
    /// Looks whether the file is still where it was opened. Once it is not, the disk is pulled for good.
    fn look(&self) {
        let here = self.file.metadata().map(|here| (here.dev(), here.ino()));
        let there = std::fs::metadata(&self.path).map(|there| (there.dev(), there.ino()));
        if !matches!((here, there), (Ok(here), Ok(there)) if here == there) {
            self.pulled.store(true, Ordering::Release);
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.pulled.load(Ordering::Acquire) {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the folder of the disk was removed",
            ));
        }
        Ok(())
    }
}

impl Device for ImageFile {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

impl LiveDisks {
    pub(super) fn new(host: Arc<HostState>, mut specs: Vec<LiveDisk>) -> Self {
        specs.sort_by(|a, b| a.id.cmp(&b.id));
        Self { host, specs, opened: Mutex::default(), known: Mutex::default() }
    }

    /// Lets every disk finish what it was given and waits until all are closed and unlocked.
    pub(super) async fn closed(&self) {
        let opened =
            std::mem::take(&mut *self.opened.lock().unwrap_or_else(PoisonError::into_inner));
        for Opened { queue, mut progress, .. } in opened {
            queue.close();
            // An error means that the thread has ended, which is what is waited for.
            drop(progress.wait_for(|progress| progress.closed).await);
        }
    }

    fn open_now(&self, id: &DiskId) -> io::Result<Arc<dyn Disk>> {
        if self.host.is_silent() {
            return Err(dead());
        }
        let spec = self.specs.iter().find(|spec| spec.id == *id).ok_or(io::ErrorKind::NotFound)?;
        let (image, capacity) = open_image(&spec.folder, spec.size)?;
        let image = Arc::new(image);
        let (queue, progress) = writer::start(&self.host, id, Arc::clone(&image))?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|opened| !opened.progress.borrow().closed);
        let (image_too, queue_too) = (Arc::clone(&image), Arc::clone(&queue));
        opened.push(Opened {
            id: id.clone(),
            gone: None,
            image: image_too,
            queue: queue_too,
            progress: progress.clone(),
        });
        drop(opened);
        Ok(Arc::new(OpenDisk {
            host: Arc::clone(&self.host),
            spec: spec.clone(),
            capacity,
            image,
            queue,
            progress,
        }))
    }

    /// Looks at the folders: which disks are there, and which open ones are not any more. Where another file has taken the
    /// place of an open one, the disk is gone for a while before it is there again as a new one, or until the old one is
    /// closed: whoever has it open would never hear of it otherwise.
    fn look(&self) -> Vec<DiskId> {
        let mut gone = BTreeSet::new();
        let now = Instant::now();
        for opened in self.opened.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            opened.image.look();
            if opened.image.check().is_err() && !opened.progress.borrow().closed {
                let since = *opened.gone.get_or_insert(now);
                if now.duration_since(since) < GONE_FOR {
                    gone.insert(opened.id.clone());
                }
            }
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let there = self.specs.iter().filter(|spec| {
            // A folder that was never there is made when its disk is opened.
            spec.folder.is_dir() || !known.contains(&spec.id)
        });
        let there = there.filter(|spec| !gone.contains(&spec.id));
        let there: Vec<DiskId> = there.map(|spec| spec.id.clone()).collect();
        known.extend(self.specs.iter().filter(|spec| spec.folder.is_dir()).map(|s| s.id.clone()));
        there
    }
}

impl Disks for LiveDisks {
    fn list(&self) -> Vec<DiskId> {
        self.look()
    }

    fn open(&self, disk: &DiskId) -> BoxFuture<'_, io::Result<Arc<dyn Disk>>> {
        let opened = self.open_now(disk);
        Box::pin(std::future::ready(opened))
    }

    fn changed(&self, seen: &[DiskId]) -> BoxFuture<'_, Vec<DiskId>> {
        let seen = seen.to_vec();
        Box::pin(async move {
            loop {
                let there = self.look();
                if there != seen {
                    return there;
                }
                let pause = {
                    // tokio's timers look for their runtime when they are made, and this may be any thread.
                    let _entered = self.host.world.runtime.enter();
                    tokio::time::sleep(LOOK_EVERY)
                };
                pause.await;
            }
        })
    }
}

fn open_image(folder: &Path, size: u64) -> io::Result<(ImageFile, u64)> {
    let fault = |source| DiskFault::Folder { folder: folder.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(fault)?;
    let path = folder.join("volume.img");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(fault)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DiskFault::InUse { folder: folder.display().to_string() }.into());
        }
        Err(TryLockError::Error(source)) => return Err(fault(source).into()),
    }
    let existing = file.metadata().map_err(fault)?.len();
    if existing == 0 {
        file.set_len(size).and_then(|()| file.sync_all()).map_err(fault)?;
    }
    let capacity = if existing == 0 { size } else { existing };
    Ok((ImageFile { file, path, pulled: AtomicBool::new(false) }, capacity))
}

fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "this host has been stopped")
}

struct OpenDisk {
    host: Arc<HostState>,
    spec: LiveDisk,
    capacity: u64,
    image: Arc<ImageFile>,
    queue: Arc<Queue>,
    progress: watch::Receiver<Progress>,
}

impl Drop for OpenDisk {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl OpenDisk {
    fn check(&self, writes: &[(u64, Bytes)]) -> io::Result<()> {
        if self.host.is_silent() {
            return Err(dead());
        }
        self.image.check()?;
        let fits = |at: u64, bytes: &Bytes| {
            at.checked_add(bytes.len() as u64).is_some_and(|end| end <= self.capacity)
        };
        match writes.iter().find(|(at, bytes)| !fits(*at, bytes)) {
            None => Ok(()),
            Some((at, bytes)) => {
                let why = format!(
                    "{} bytes at {at} do not fit on a disk of {}",
                    bytes.len(),
                    self.capacity
                );
                Err(io::Error::new(io::ErrorKind::InvalidInput, why))
            }
        }
    }
}

impl Disk for OpenDisk {
    fn id(&self) -> &DiskId {
        &self.spec.id
    }

    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn submit(
        &self,
        writes: Vec<(u64, Bytes)>,
        sync: SyncMode,
    ) -> BoxFuture<'static, io::Result<()>> {
        let (done, outcome) = oneshot::channel();
        let submitted =
            self.check(&writes).and_then(|()| self.queue.submit(Job { writes, sync, done }));
        Box::pin(async move {
            submitted?;
            outcome.await.unwrap_or_else(|_| Err(dead()))
        })
    }

    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.capacity);
        let Some(end) = end else {
            return Box::pin(std::future::ready(Err(io::ErrorKind::UnexpectedEof.into())));
        };
        if self.host.is_silent() {
            return Box::pin(std::future::ready(Err(dead())));
        }
        if let Err(pulled) = self.image.check() {
            return Box::pin(std::future::ready(Err(pulled)));
        }
        let needed = self.queue.applied_needed(offset, end);
        if needed.is_none() && len <= INLINE_READ_MAX {
            return Box::pin(std::future::ready(read(&self.image.file, offset, len)));
        }
        let mut progress = self.progress.clone();
        let image = Arc::clone(&self.image);
        let runtime = self.host.world.runtime.clone();
        Box::pin(async move {
            if let Some(needed) = needed {
                let reached = progress.wait_for(|progress| progress.applied >= needed).await;
                reached.map_err(|_| dead())?;
            }
            if len <= INLINE_READ_MAX {
                return read(&image.file, offset, len);
            }
            let long = runtime.spawn_blocking(move || read(&image.file, offset, len));
            long.await.map_err(io::Error::other)?
        })
    }

    fn discard(&self, _offset: u64, _len: u64) {
        // Holes cannot be punched without unsafe code; the range reads as before, as the seam allows.
    }

    fn index_home(&self) -> IndexHome {
        IndexHome::Folder(self.spec.folder.join("index"))
    }
}

fn read(file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}
