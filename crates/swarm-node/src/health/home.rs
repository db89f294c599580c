//! What the health processor asks of its own node, over the node's volumes.

use std::sync::Arc;

use swarm_env::BoxFuture;
use swarm_health::Home;
use swarm_plan::health::Subcluster;
use swarm_plan::membership::{NodeState, Phase, VolumeState};
use swarm_plan::outcome::Made;
use swarm_store::{Publish, Staged, Tombstone, Volume};
use swarm_types::{NodeId, Stamp, StreamId, Uuid, VolumeId};
use tokio::sync::Notify;

use crate::{Node, WeakNode};

/// This node, as its health processor sees it. It does not keep the node alive.
pub(super) struct OwnNode {
    node: WeakNode,
    id: NodeId,
    subcluster: Subcluster,
    short_of_room: Arc<Notify>,
}

impl OwnNode {
    pub(super) fn new(node: &Node) -> Self {
        let subcluster = node.inner.settings().subcluster.as_str().into();
        let short_of_room = node.inner.volumes.short_of_room();
        Self { node: node.downgrade(), id: node.inner.id, subcluster, short_of_room }
    }
}

impl Home for OwnNode {
    fn node(&self) -> NodeId {
        self.id
    }

    fn subcluster(&self) -> Subcluster {
        self.subcluster.clone()
    }

    fn is_open(&self) -> bool {
        self.node.upgrade().is_some_and(|node| node.inner.phase() == Phase::Open)
    }

    fn may_walk(&self) -> bool {
        self.node.upgrade().is_some_and(|node| {
            node.inner.phase() == Phase::Open && node.inner.state() != NodeState::Idle
        })
    }

    fn takes_copies(&self) -> bool {
        self.node.upgrade().is_some_and(|node| {
            node.inner.takes_replicas()
                && node.inner.slots.states().iter().any(|(_, state)| state.takes_streams())
        })
    }

    fn is_busy(&self) -> bool {
        self.node.upgrade().is_some_and(|node| node.inner.has_requests())
    }

    fn volumes(&self) -> Vec<(Volume, VolumeState)> {
        self.node.upgrade().map(|node| node.inner.slots.in_states()).unwrap_or_default()
    }

    fn short_of_room(&self) -> &Notify {
        &self.short_of_room
    }

    fn copy_cost(&self, id: StreamId, length: u64) -> Option<u64> {
        self.node.upgrade()?.inner.volumes.write_cost(Some(id), length, 0)
    }

    fn stage(&self, id: StreamId, length: u64) -> Option<(Volume, Staged)> {
        self.node.upgrade()?.inner.volumes.stage(id, length)
    }

    fn publish(
        &self,
        volume: Volume,
        id: StreamId,
        staged: Staged,
        publish: Publish,
    ) -> BoxFuture<'_, Made> {
        Box::pin(async move {
            let Some(node) = self.node.upgrade() else { return Made::Unknown };
            let is_context = publish.meta.kind.is_context();
            let made = node.inner.volumes.publish(&volume, id, staged, publish).await;
            if is_context {
                node.inner.contexts.forget(id);
            }
            made
        })
    }

    fn bury(&self, id: StreamId, tombstone: Tombstone) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            match self.node.upgrade() {
                Some(node) => node.file_tombstone(id, tombstone).await,
                None => false,
            }
        })
    }

    fn domain_of(&self, parent: Uuid) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move { self.node.upgrade()?.feeds().domain_of(parent).await })
    }

    fn holds_back(&self, id: StreamId, tombstone: &Tombstone) -> bool {
        self.node.upgrade().is_some_and(|node| node.feeds_hold_back(id, tombstone))
    }

    fn is_suspect(&self, id: StreamId, stamp: Stamp) -> bool {
        self.node.upgrade().is_some_and(|node| node.inner.volumes.is_damaged(id, stamp))
    }

    fn clear_suspicion(&self, id: StreamId, stamp: Stamp) {
        if let Some(node) = self.node.upgrade() {
            node.inner.volumes.clear_damaged(id, stamp);
        }
    }

    fn retired(&self, volume: VolumeId) {
        if let Some(node) = self.node.upgrade() {
            node.inner.slots.retired(volume);
            node.inner.tell_changes();
        }
    }
}
