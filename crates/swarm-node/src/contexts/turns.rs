//! One write of a context after the other: two that come at once, from clients or from other clusters, would each find the name
//! free, and give it an alias UUID of its own.
//!
//! All of them go to one node, as long as all nodes hear the same members bid, and wait there for their turn between the last
//! look and the end of the publishing. Where members do not hear of each other the later version stands, as for any write.

use std::sync::Arc;
use std::time::Duration;

use swarm_env::Env;
use swarm_plan::bids::{Bid, node_turn, stream_draw};
use swarm_types::{NodeId, StreamId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::Refusal;

/// Names share turns, so that they take no memory; a disk that hangs holds up one in so many.
const TURNS: usize = 16;
/// How long a turn is waited for: whoever writes must hear in time that it does not come.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Whose turn it is.
pub(crate) struct Turns([Arc<Semaphore>; TURNS]);

/// It is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Arc::new(Semaphore::new(1))))
    }
}

impl Turns {
    /// Waits for the turn of a context, but not for ever.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]; nothing has been done.
    pub(crate) async fn take(&self, id: StreamId, env: &Env) -> Result<Turn, Refusal> {
        let behind = Refusal::Unavailable { why: "others that write this context take too long" };
        let draw = usize::try_from(stream_draw(id) % TURNS as u64).unwrap_or(0);
        let Some(turns) = self.0.get(draw) else { return Err(behind) };
        match env.timeout(TURN_TIMEOUT, Arc::clone(turns).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit }),
            // Nobody ever closes them.
            Ok(Err(_)) | Err(_) => Err(behind),
        }
    }
}

/// The bidder to which writes of a context go. What the members bid is looked at in no way: that changes from one query to the
/// next, and with it the seat would.
pub(crate) fn seat(id: StreamId, bids: &[Bid]) -> Option<NodeId> {
    let draw = stream_draw(id);
    bids.iter().map(|bid| bid.node).min_by_key(|node| (node_turn(draw, *node), *node))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use swarm_plan::bids::IDLE_PREMIUM;
    use swarm_sim::{Sim, SimOptions};

    use super::*;

    #[test]
    fn a_turn_that_does_not_come_is_given_up() {
        let mut sim = Sim::new(SimOptions::new(1));
        let world = sim.handle();
        let host = world.add_host("node", Ipv4Addr::new(10, 0, 0, 1));
        let env = world.env(host);
        sim.block_on(host, async move {
            let (turns, id) = (Turns::default(), StreamId::from_bytes([7; 16]));
            let first = turns.take(id, &env).await.expect("nobody is before it");
            let begun = env.now();
            let second = turns.take(id, &env).await;
            assert!(matches!(second, Err(Refusal::Unavailable { .. })), "{second:?}");
            let waited = env.now().since(begun);
            assert!(waited >= TURN_TIMEOUT && waited < 2 * TURN_TIMEOUT, "{waited:?}");
            drop(first);
            assert!(turns.take(id, &env).await.is_ok(), "it is over");
        });
    }

    fn bids(costs: &[u64]) -> Vec<Bid> {
        let nodes = (1..).map(|last| NodeId(Ipv4Addr::new(10, 0, 0, last)));
        nodes.zip(costs).map(|(node, cost)| Bid { cost: *cost, node }).collect()
    }

    #[test]
    fn the_seat_of_a_name_hangs_on_who_bids_and_not_on_what() {
        let mut seats = std::collections::BTreeSet::new();
        for name in 0..64 {
            let id = StreamId::from_bytes([name; 16]);
            let calm = seat(id, &bids(&[1, 2, 3, 4]));
            seats.insert(calm);
            for costs in [[9, 3, 0, 7], [0, IDLE_PREMIUM + 3, 2, 990], [IDLE_PREMIUM; 4]] {
                assert_eq!(seat(id, &bids(&costs)), calm, "{name}: {costs:?}");
                let mut ranked = bids(&costs);
                ranked.sort_unstable();
                assert_eq!(seat(id, &ranked), calm, "{name}: in whatever order");
            }
        }
        assert_eq!(seats.len(), 4, "names are spread over all");
        assert_eq!(seat(StreamId::from_bytes([1; 16]), &[]), None);
    }
}
