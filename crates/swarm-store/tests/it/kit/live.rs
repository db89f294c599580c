//! Real files on a live host, and a disk in front of one that notes what it is told and can hold its syncs back.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::live::{HostSpec, LiveDisk, LiveHost, LiveWorld};
use swarm_env::{BoxFuture, Bug, Disk, IndexHome, PlantedBugs, SyncMode};
use swarm_types::DiskId;
use tokio::sync::watch;

use super::disk::Event;

const CAPACITY: u64 = 256 << 20;
/// How long an answer that must not come is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Runs a story of one host on the disk in this folder.
pub(crate) fn on_host<T>(folder: &Path, story: impl AsyncFnOnce(LiveHost) -> T) -> T {
    on_host_with(Vec::new(), folder, story)
}

/// The same with planted bugs.
pub(crate) fn on_host_with<T>(
    bugs: Vec<Bug>,
    folder: &Path,
    story: impl AsyncFnOnce(LiveHost) -> T,
) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let disk = LiveDisk { id: disk_id(), folder: folder.to_owned(), size: CAPACITY };
    let (name, ip) = ("lab".to_owned(), Ipv4Addr::LOCALHOST);
    let world = LiveWorld::with_planted(runtime.handle().clone(), PlantedBugs::new(bugs));
    let host = world.host(HostSpec { name, ip, disks: vec![disk] });
    runtime.block_on(story(host))
}

pub(crate) fn disk_id() -> DiskId {
    DiskId::from("live/1")
}

/// What happened to work whose sync was held back until somebody had looked.
pub(crate) struct Outcome<T> {
    /// It was answered before the sync.
    pub(crate) too_early: bool,
    /// What was seen before the sync.
    pub(crate) before: bool,
    pub(crate) answer: T,
}

/// Passes everything on to a live disk.
pub(crate) struct Recorder {
    disk: Arc<dyn Disk>,
    events: Arc<Mutex<Vec<Event>>>,
    /// Syncs are answered only while this is not set.
    held: watch::Sender<bool>,
    /// Syncs asked for so far.
    asked: watch::Sender<u32>,
}

impl Recorder {
    pub(crate) async fn open(host: &LiveHost) -> Arc<Self> {
        let disk = host.env().disks().open(&disk_id()).await.unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "threads and files of this machine: nothing here is repeated"
        )]
        let (held, asked) = (watch::Sender::new(false), watch::Sender::new(0));
        Arc::new(Self { disk, events: Arc::default(), held, asked })
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Begins `work`, holds back the sync that it asks for, looks whether anything of it shows, and lets it go on.
    pub(crate) async fn hold_back<T: Send + 'static>(
        &self,
        host: &LiveHost,
        work: impl Future<Output = T> + Send + 'static,
        shows: impl Fn() -> bool,
    ) -> Outcome<T> {
        let mut asked = self.asked.subscribe();
        asked.mark_unchanged();
        self.held.send_replace(true);
        let mut answer = Box::pin(host.env().spawn("work", work).join());
        asked.changed().await.unwrap();
        let early = host.env().timeout(PATIENCE, &mut answer).await;
        let before = shows();
        self.held.send_replace(false);
        let too_early = early.is_ok();
        let answer = match early {
            Ok(answer) => answer,
            Err(_) => answer.await,
        };
        Outcome { too_early, before, answer: answer.unwrap() }
    }
}

impl Disk for Recorder {
    fn id(&self) -> &DiskId {
        self.disk.id()
    }

    fn capacity(&self) -> u64 {
        self.disk.capacity()
    }

    fn submit(
        &self,
        writes: Vec<(u64, Bytes)>,
        sync: SyncMode,
    ) -> BoxFuture<'static, io::Result<()>> {
        let bytes = writes.iter().map(|(_, bytes)| bytes.len()).sum();
        let (count, is_sync) = (writes.len(), sync == SyncMode::Sync);
        let told = Event::Submitted { writes: count, bytes, sync: is_sync };
        self.events.lock().unwrap().push(told);
        let submitted = self.disk.submit(writes, sync);
        if !is_sync {
            return submitted;
        }
        self.asked.send_modify(|asked| *asked += 1);
        let (events, mut held) = (Arc::clone(&self.events), self.held.subscribe());
        Box::pin(async move {
            submitted.await?;
            // An error means that nobody holds anything any more.
            drop(held.wait_for(|held| !held).await);
            events.lock().unwrap().push(Event::Synced);
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        self.disk.read_at(offset, len)
    }

    fn discard(&self, offset: u64, len: u64) {
        self.disk.discard(offset, len);
    }

    fn index_home(&self) -> IndexHome {
        self.disk.index_home()
    }
}
