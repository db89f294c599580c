//! What the health processor needs of its own node: implemented by `swarm-node` with its volumes.

use swarm_env::BoxFuture;
use swarm_plan::health::Subcluster;
use swarm_plan::membership::VolumeState;
use swarm_plan::outcome::Made;
use swarm_store::{Publish, Staged, Tombstone, Volume};
use swarm_types::{NodeId, Stamp, StreamId, Uuid, VolumeId};
use tokio::sync::Notify;

/// The node that the health processor runs on.
pub trait Home: Send + Sync + 'static {
    /// Which node this is.
    fn node(&self) -> NodeId;

    /// Its subcluster (`node.subcluster`).
    fn subcluster(&self) -> Subcluster;

    /// Whether the node has mounted what it has and is not about to stop: lost volumes are recovered then.
    fn is_open(&self) -> bool;

    /// Whether the health processor may walk: the node is open, and not asleep.
    fn may_walk(&self) -> bool;

    /// Whether the node takes copies from others.
    fn takes_copies(&self) -> bool;

    /// Whether clients keep the node busy: health work waits a little then.
    fn is_busy(&self) -> bool;

    /// The mounted volumes in the order of their disks, and their states.
    fn volumes(&self) -> Vec<(Volume, VolumeState)>;

    /// Told when a stream was stored on a volume that is short of room ([`crate::is_short`]), or found none.
    fn short_of_room(&self) -> &Notify;

    /// The cost of storing a stream of this length here; `None` where no volume that takes streams has room. A volume
    /// that files the id already comes first, so that an older or damaged replica is replaced in one step.
    fn copy_cost(&self, id: StreamId, length: u64) -> Option<u64>;

    /// Reserves room for a stream on the volume that [`Home::copy_cost`] means.
    fn stage(&self, id: StreamId, length: u64) -> Option<(Volume, Staged)>;

    /// Publishes a copy and drops what is older on the other volumes, unless one of them files something newer.
    fn publish(
        &self,
        volume: Volume,
        id: StreamId,
        staged: Staged,
        publish: Publish,
    ) -> BoxFuture<'_, Made>;

    /// Files a tombstone where the id is filed, else on the emptiest volume, and drops older records elsewhere; what is
    /// remembered on a volume that is being emptied goes to another one too. True when it is durable, or something newer is.
    fn bury(&self, id: StreamId, tombstone: Tombstone) -> BoxFuture<'_, bool>;

    /// The name of the domain that something of this parent is in, as far as feeds need it: a delete may come to be carried
    /// over when the domain of that name is another.
    fn domain_of(&self, parent: Uuid) -> BoxFuture<'_, Option<String>>;

    /// Whether a delete that could be forgotten by now has to be remembered for a while yet: a feed has not carried it over.
    fn holds_back(&self, id: StreamId, tombstone: &Tombstone) -> bool;

    /// Whether requests have met a damaged block in this replica that no visit has seen yet.
    fn is_suspect(&self, id: StreamId, stamp: Stamp) -> bool;

    /// The replica was verified, quarantined or replaced: what requests met of it no longer matters.
    fn clear_suspicion(&self, id: StreamId, stamp: Stamp);

    /// A retiring volume is empty and durably marked as retired.
    fn retired(&self, volume: VolumeId);
}
