//! What the health processor needs of its own node: implemented by `swarm-node` with its volumes.

use swarm_env::BoxFuture;
use swarm_plan::health::Subcluster;
use swarm_plan::membership::VolumeState;
use swarm_plan::outcome::Made;
use swarm_store::{Publish, Staged, Tombstone, Volume};
use swarm_types::{NodeId, Stamp, StreamId};

/// The node that the health processor runs on.
pub trait Home: Send + Sync + 'static {
    /// Which node this is.
    fn node(&self) -> NodeId;

    /// Its subcluster (`node.subcluster`).
    fn subcluster(&self) -> Subcluster;

    /// Whether the node has mounted what it has and may say, and change, what it holds. The health processor rests while
    /// it does not.
    fn is_open(&self) -> bool;

    /// Whether the node takes copies from others.
    fn takes_copies(&self) -> bool;

    /// Whether clients keep the node busy: health work waits a little then.
    fn is_busy(&self) -> bool;

    /// The mounted volumes in the order of their disks, and their states: ok, retiring or retired.
    fn volumes(&self) -> Vec<(Volume, VolumeState)>;

    /// The cost of storing a stream of this length here on a volume that does not hold this version already; `None` where
    /// none has room. The volume of an older version comes first.
    fn copy_cost(&self, id: StreamId, stamp: Option<Stamp>, length: u64) -> Option<u64>;

    /// Reserves room for a copy on the volume that [`Home::copy_cost`] means.
    fn stage(&self, id: StreamId, stamp: Stamp, length: u64) -> Option<(Volume, Staged)>;

    /// Publishes a copy and drops what is older on the other volumes, unless one of them files something newer.
    fn publish(
        &self,
        volume: Volume,
        id: StreamId,
        staged: Staged,
        publish: Publish,
    ) -> BoxFuture<'_, Made>;

    /// Files a tombstone where the id is filed, else on the emptiest volume, and drops older records elsewhere. True when
    /// it is durable, or something newer is.
    fn bury(&self, id: StreamId, tombstone: Tombstone) -> BoxFuture<'_, bool>;

    /// Counts an error of a volume's disk; enough of them retire it.
    fn disk_failed(&self, volume: &Volume);

    /// Whether a replica is known to have a damaged block.
    fn is_damaged(&self, volume: &Volume, id: StreamId, stamp: Stamp) -> bool;
}
