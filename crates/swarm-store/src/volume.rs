//! A mounted volume: what the rest of a node sees of it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarm_env::{Disk, Env};
use swarm_types::{DiskId, Stamp, StreamId, Timestamp, VolumeId};
use tokio::sync::{mpsc, oneshot};

use crate::books::{Books, Space};
use crate::commit::{Committer, Noted, QUEUE_MAX, Request, Work};
use crate::error::{AppendError, FormatError, MountError, PublishError};
use crate::extent::Binding;
use crate::format::FormatOptions;
use crate::group::Seal;
use crate::hints::Hints;
use crate::index::{Index, IndexError, SCAN_PAGE};
use crate::layout::Superblock;
use crate::mount::{MountOptions, MountReport};
use crate::read::Reader;
use crate::record::{Record, RecordState, Tombstone, decode_value, encode_value};
use crate::service::Service;
use crate::stage::Staged;

/// One mounted disk. Cheap to clone; the volume ends with its last clone or with [`Volume::unmount`].
#[derive(Clone)]
pub struct Volume {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Request>,
}

/// What a volume, its committer, its writers and its readers share.
pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) superblock: Superblock,
    pub(crate) seal: Seal,
    pub(crate) index: Arc<dyn Index>,
    books: Mutex<Books>,
    load: AtomicU32,
    /// Number of submissions of the committer that failed.
    pub(crate) failed_syncs: AtomicU64,
    pub(crate) closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        env: Env,
        disk: Arc<dyn Disk>,
        superblock: Superblock,
        index: Arc<dyn Index>,
        books: Mutex<Books>,
    ) -> Self {
        let seal = superblock.seal();
        let (load, failed_syncs, closed) =
            (AtomicU32::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self { env, disk, superblock, seal, index, books, load, failed_syncs, closed }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        // Every change of the books is complete before anything in it can panic.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn check_open(&self) -> Result<(), AppendError> {
        if self.closed.load(Ordering::Acquire) { Err(AppendError::Closed) } else { Ok(()) }
    }

    /// Closes the volume: only a mount can rebuild the index. Without a mark it will.
    pub(crate) fn give_up_index(&self, why: &IndexError) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            tracing::error!(volume = %self.superblock.volume, %why, "index failed, volume closed");
            // It may fail as well; its mark is judged against the journal anyway.
            drop(self.index.apply(Vec::new(), None));
        }
    }
}

impl Volume {
    /// Makes a disk an empty volume; whatever it held is lost. Durable on return.
    ///
    /// # Errors
    /// See [`FormatError`].
    pub async fn format(
        env: &Env,
        disk: &Arc<dyn Disk>,
        options: FormatOptions,
    ) -> Result<VolumeId, FormatError> {
        crate::format::format(env, disk, options).await
    }

    /// Opens a volume: reads its journal, brings the index up to date, verifies what was added since the last checkpoint
    /// unless it was unmounted in good order, and notes durably that it is in use.
    ///
    /// # Errors
    /// See [`MountError`]; nothing was changed then, except after [`MountError::Disk`].
    pub async fn mount(
        env: &Env,
        disk: Arc<dyn Disk>,
        options: MountOptions,
    ) -> Result<(Self, MountReport), MountError> {
        crate::mount::mount(env, disk, options).await
    }

    /// Starts the committer of a volume that was just opened.
    pub(crate) fn start(shared: Arc<Shared>, committer: Committer) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        drop(shared.env.spawn("store.commit", committer.run(requests)));
        Self { shared, queue }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its id, for its whole life.
    #[must_use]
    pub fn id(&self) -> VolumeId {
        self.shared.superblock.volume
    }

    /// The disk that it is on.
    #[must_use]
    pub fn disk_id(&self) -> &DiskId {
        self.shared.disk.id()
    }

    /// How full it is.
    #[must_use]
    pub fn space(&self) -> Space {
        self.shared.books().space()
    }

    /// Operations in flight: bodies being written or read, changes being committed.
    #[must_use]
    pub fn load(&self) -> u32 {
        self.shared.load.load(Ordering::Relaxed)
    }

    /// What is filed under an id, from the index: durable, without I/O on the volume. `None` also when the volume is
    /// closed.
    #[must_use]
    pub fn find(&self, id: StreamId) -> Option<Record> {
        self.shared.check_open().ok()?;
        let found = self.shared.index.get(id).and_then(|value| match value {
            Some(value) => Ok(Some(decode_value(id, &value)?)),
            None => Ok(None),
        });
        found.unwrap_or_else(|why| {
            self.shared.give_up_index(&why);
            None
        })
    }

    /// Up to `limit` records behind this id, in the order of ids.
    #[must_use]
    pub fn records(&self, after: Option<StreamId>, limit: usize) -> Vec<Record> {
        if self.shared.check_open().is_err() {
            return Vec::new();
        }
        let page = self.shared.index.scan(after, limit).and_then(|page| {
            let records = page.iter().map(|(id, value)| Ok(decode_value(*id, value)?));
            records.collect::<Result<Vec<_>, IndexError>>()
        });
        page.unwrap_or_else(|why| {
            self.shared.give_up_index(&why);
            Vec::new()
        })
    }

    /// Reserves room for a body of exactly `length` bytes.
    ///
    /// # Errors
    /// [`AppendError::Full`], [`AppendError::Closed`].
    pub fn stage(&self, id: StreamId, length: u64) -> Result<Staged, AppendError> {
        Staged::new(self.clone(), id, length)
    }

    /// Files a tombstone in place of whatever older is filed under the id; durable on return. An equal stamp that is filed
    /// already is success too.
    ///
    /// # Errors
    /// [`PublishError::Superseded`] where something newer is filed, or that it could not be written.
    pub async fn bury(&self, id: StreamId, tombstone: Tombstone) -> Result<(), PublishError> {
        let stamp = tombstone.stamp;
        let value = encode_value(&Record { id, stamp, state: RecordState::Tombstone(tombstone) });
        self.ask(Work::Bury { id, stamp, value }).await?;
        Ok(())
    }

    /// Removes exactly this replica, not a tombstone, if it is what is filed; durable on return. True if it was removed.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn remove(&self, id: StreamId, stamp: Stamp) -> Result<bool, AppendError> {
        Ok(self.append(Work::Remove { id, stamp }).await? > 0)
    }

    /// Changes which volumes are said to hold other replicas of exactly this version; durable on return. The body is not
    /// touched, and nothing is written where the hints are these already. True if that version is filed.
    ///
    /// # Errors
    /// [`AppendError::Full`] where the journal has no room for them, [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn set_hints(
        &self,
        id: StreamId,
        stamp: Stamp,
        hints: Hints,
    ) -> Result<bool, AppendError> {
        Ok(self.append(Work::Note { id, stamp, what: Noted::Hints(hints) }).await? > 0)
    }

    /// Marks exactly this replica as known to be bad, or takes that back; durable on return. A quarantined replica stays
    /// filed and readable block by block, and gives way to a replica of the same version. True if that version is filed.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn set_quarantined(
        &self,
        id: StreamId,
        stamp: Stamp,
        quarantined: bool,
    ) -> Result<bool, AppendError> {
        Ok(self.append(Work::Note { id, stamp, what: Noted::Quarantined(quarantined) }).await? > 0)
    }

    /// What the volume is for, as durably marked.
    #[must_use]
    pub fn service(&self) -> Service {
        self.shared.books().service
    }

    /// Marks what the volume is for; durable on return. The mark travels with the disk. Whether a change makes sense is
    /// for the caller to judge.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn set_service(&self, service: Service) -> Result<(), AppendError> {
        self.append(Work::Service(service)).await.map(|_| ())
    }

    /// Drops the tombstones written before `before`, by the clock of the nodes that wrote them; durable on return. The
    /// number dropped.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn expire_tombstones(&self, before: Timestamp) -> Result<u64, AppendError> {
        let mut expired = 0;
        let mut after = None;
        while self.space().tombstones > 0 {
            let page = self.records(after, SCAN_PAGE);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let old = page.iter().filter_map(|record| match &record.state {
                RecordState::Tombstone(tombstone) if tombstone.written < before => {
                    Some((record.id, record.stamp))
                }
                _ => None,
            });
            let tombstones: Vec<_> = old.collect();
            if !tombstones.is_empty() {
                expired += self.append(Work::Forget { tombstones }).await?;
            }
        }
        self.shared.check_open()?;
        Ok(expired)
    }

    /// The body of a record; `None` for a tombstone.
    #[must_use]
    pub fn open(&self, record: &Record) -> Option<Reader> {
        let extent = *record.extent()?;
        let binding = Binding { volume: self.id(), stream: record.id, number: extent.number };
        Some(Reader::new(&self.shared, binding, extent))
    }

    /// Notes that the volume is in use, so that it does not become stale; durable on return.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn touch(&self) -> Result<(), AppendError> {
        self.append(Work::Touch).await.map(|_| ())
    }

    /// Unmounts: what was asked before is completed, then the volume is marked clean, durably. Later calls fail with
    /// [`AppendError::Closed`].
    ///
    /// # Errors
    /// [`AppendError::Disk`], where the volume stays mounted; [`AppendError::Closed`].
    pub async fn unmount(&self) -> Result<(), AppendError> {
        self.append(Work::Close).await.map(|_| ())
    }

    /// Hands a change to the committer and waits for the outcome. A caller that goes away does not recall it.
    pub(crate) async fn ask(&self, work: Work) -> Result<u64, PublishError> {
        self.shared.check_open()?;
        let _in_flight = InFlight::new(&self.shared);
        let (answer, outcome) = oneshot::channel();
        self.queue.send(Request { work, answer }).await.map_err(|_| AppendError::Closed)?;
        outcome.await.map_err(|_| AppendError::Closed)?
    }

    async fn append(&self, work: Work) -> Result<u64, AppendError> {
        self.ask(work).await.map_err(|error| match error {
            PublishError::Append(error) => error,
            PublishError::Superseded { .. } => unreachable!("only publish and bury are superseded"),
        })
    }
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Volume({} on {})", self.id(), self.disk_id())
    }
}

/// Counts one operation in flight while it lives.
pub(crate) struct InFlight {
    shared: Arc<Shared>,
}

impl InFlight {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.load.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared) }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shared.load.fetch_sub(1, Ordering::Relaxed);
    }
}
