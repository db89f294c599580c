//! A disk that counts its errors.
//!
//! Wraps the disk of a mounted volume, so that no path to it can forget to count. What the numbers mean for the volume is
//! for the node to judge.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use swarm_env::{BoxFuture, Disk, IndexHome, SyncMode};
use swarm_types::DiskId;

/// Errors of one disk since its volume was mounted, the mount included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IoErrors {
    /// Reads that failed.
    pub reads: u64,
    /// Writes that failed.
    pub writes: u64,
    /// Writes that were to be synced, and syncs, that failed.
    pub syncs: u64,
    /// Operations that the node gave up waiting for.
    pub slow: u64,
}

impl IoErrors {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.reads + self.writes + self.syncs + self.slow
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    syncs: AtomicU64,
    slow: AtomicU64,
}

impl Counters {
    pub(crate) fn now(&self) -> IoErrors {
        IoErrors {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            slow: self.slow.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn slow(&self) {
        self.slow.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether an error says that the disk fails: one that is full, or was pulled, is as good as before once it is relieved or
/// back.
fn is_fault(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::NotConnected)
}

/// See the module.
pub(crate) struct Counted {
    disk: Arc<dyn Disk>,
    counters: Arc<Counters>,
}

impl Counted {
    pub(crate) fn new(disk: Arc<dyn Disk>, counters: Arc<Counters>) -> Self {
        Self { disk, counters }
    }
}

impl Disk for Counted {
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
        let submitted = self.disk.submit(writes, sync);
        let counters = Arc::clone(&self.counters);
        Box::pin(async move {
            let done = submitted.await;
            if done.as_ref().is_err_and(is_fault) {
                let counter = match sync {
                    SyncMode::NoSync => &counters.writes,
                    SyncMode::Sync => &counters.syncs,
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
            done
        })
    }

    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        let read = self.disk.read_at(offset, len);
        let counters = Arc::clone(&self.counters);
        Box::pin(async move {
            let done = read.await;
            if done.as_ref().is_err_and(is_fault) {
                counters.reads.fetch_add(1, Ordering::Relaxed);
            }
            done
        })
    }

    fn room(&self) -> u64 {
        self.disk.room()
    }

    fn discard(&self, offset: u64, len: u64) {
        self.disk.discard(offset, len);
    }

    fn index_home(&self) -> IndexHome {
        self.disk.index_home()
    }
}
