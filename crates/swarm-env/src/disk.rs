//! Disks: positioned reads and ordered, explicitly synced writes.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use swarm_types::DiskId;

use crate::BoxFuture;

/// The disks plugged into one host.
pub trait Disks: Send + Sync {
    /// Serials of the disks plugged in now, sorted.
    fn list(&self) -> Vec<DiskId>;

    /// Opens a disk for one user; the handle dies with the incarnation.
    ///
    /// # Errors
    /// `NotFound` for a disk that is not plugged in, `ResourceBusy` or `AlreadyExists` where it is open elsewhere.
    fn open(&self, disk: &DiskId) -> BoxFuture<'_, io::Result<Arc<dyn Disk>>>;

    /// Completes with the list as soon as it is another one than `seen`: a disk has come or gone since, or had before the
    /// call. Of several changes at once only the outcome is told; a disk that was pulled and came back meanwhile is seen
    /// from its old handle, which fails with `NotConnected`.
    ///
    /// Unless a world says otherwise, its disks neither come nor go.
    fn changed(&self, seen: &[DiskId]) -> BoxFuture<'_, Vec<DiskId>> {
        let (now, same) = (self.list(), self.list() == seen);
        Box::pin(async move {
            if same {
                std::future::pending::<()>().await;
            }
            now
        })
    }
}

/// One disk: a fixed number of bytes, zero until written. Once it has been pulled every operation fails with
/// `NotConnected`, also after it has come back: then it is opened anew.
pub trait Disk: Send + Sync {
    /// The serial.
    fn id(&self) -> &DiskId;

    /// Size of the device in bytes; fixed. Live disks are sparse files of this size.
    fn capacity(&self) -> u64;

    /// Bytes that ranges which hold nothing yet still find room for: less than the capacity promises where the device only
    /// takes space for what is written, and others take it too. Somewhere beyond it such writes fail with `StorageFull`; a
    /// little more may be kept back for who needs it to clear up. `u64::MAX` where nothing but the capacity limits it.
    fn room(&self) -> u64 {
        u64::MAX
    }

    /// Applies these writes in the order given, after everything submitted before, and with [`SyncMode::Sync`] makes them
    /// and all before them durable before completing. Called, a write belongs to the disk: dropping the future does not
    /// recall it. Until a sync completes, a power loss may drop or tear any unsynced write, in any combination.
    ///
    /// # Errors
    /// What the device says; after an error the state of the range is unknown until written again.
    fn submit(
        &self,
        writes: Vec<(u64, Bytes)>,
        sync: SyncMode,
    ) -> BoxFuture<'static, io::Result<()>>;

    /// Reads exactly `len` bytes at `offset`; sees every write submitted before.
    ///
    /// # Errors
    /// What the device says; `UnexpectedEof` beyond the capacity.
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>>;

    /// Tells that the device need not keep what this range holds: it reads as zeros or as before.
    fn discard(&self, offset: u64, len: u64);

    /// Where the index of this disk's volume lives. It is a cache: it may be lost at any time.
    fn index_home(&self) -> IndexHome;
}

/// Whether [`Disk::submit`] waits for durability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Complete when the device has taken the writes.
    NoSync,
    /// Complete when they and all before them are durable.
    Sync,
}

/// Where a volume's index lives.
#[derive(Debug, Clone)]
pub enum IndexHome {
    /// A folder of its own, for a database.
    Folder(PathBuf),
    /// An ordered map that belongs to the simulated disk and shares its fate: kept or lost by the dice.
    Memory(Arc<MemoryIndex>),
}

/// The ordered map behind [`IndexHome::Memory`].
pub type MemoryIndex = Mutex<BTreeMap<Vec<u8>, Vec<u8>>>;
