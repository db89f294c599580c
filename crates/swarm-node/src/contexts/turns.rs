//! One write of a context after the other: two that come at once, from clients or from other clusters, would each find the name
//! free, and give it an alias UUID of its own.
//!
//! All of them go to one node, as long as all nodes hear of the same bids, and wait there for their turn between the last look
//! and the end of the publishing. Where members do not hear of each other the later version stands, as for any write.

use swarm_plan::bids::{Bid, IDLE_PREMIUM, node_turn, stream_draw};
use swarm_types::{NodeId, StreamId};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Names share turns, so that they take no memory; a disk that hangs holds up one in so many.
const TURNS: usize = 16;

/// Whose turn it is.
pub(crate) struct Turns([Semaphore; TURNS]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Semaphore::new(1)))
    }
}

impl Turns {
    /// Waits for the turn of a context. It lasts until what is returned is dropped.
    pub(crate) async fn take(&self, id: StreamId) -> Option<SemaphorePermit<'_>> {
        let draw = usize::try_from(stream_draw(id) % TURNS as u64).unwrap_or(0);
        // Nobody ever closes them.
        self.0.get(draw)?.acquire().await.ok()
    }
}

/// The bidder to which writes of a context go; none that sleeps, if any is awake.
pub(crate) fn seat(id: StreamId, bids: &[Bid]) -> Option<NodeId> {
    let (draw, cheapest) = (stream_draw(id), bids.iter().map(|bid| bid.cost).min()?);
    let awake = bids.iter().filter(|bid| bid.cost < cheapest.saturating_add(IDLE_PREMIUM));
    awake.map(|bid| bid.node).min_by_key(|node| (node_turn(draw, *node), *node))
}
