//! Bids: what it would cost a volume to take or deliver a stream, and who wins.
//!
//! The vendor's formula is unpublished (Swarm Frequently Asked Questions); the terms are documented: space, memory and
//! activity. The weights are our choice.

use swarm_types::NodeId;

use crate::membership::Bidding;

/// Weight of a full volume, squared share: an empty one costs nothing, a full one this much.
const UTILISATION_WEIGHT: u64 = 1000;
/// Weight of each operation that the volume has in flight.
const ACTIVITY_WEIGHT: u64 = 20;
/// Added to the bids of an idle node: more than a full volume costs, so that it is left to sleep while anybody is awake.
const IDLE_PREMIUM: u64 = 5000;
/// Bids of equal volumes differ by less than this, so that they take turns.
pub const JITTER: u64 = 10;
/// Free space that must be left beside a new stream, in sizes of that stream: room for defragmentation to move it.
const RESERVE_FACTOR: u64 = 2;

/// What a bid depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeFacts {
    /// Data region, bytes.
    pub capacity: u64,
    /// Directly writable bytes.
    pub free: u64,
    /// Operations in flight.
    pub in_flight: u32,
}

/// The cost of storing a stream of `size` bytes on a volume; `None` where it has no room. `jitter` is taken modulo
/// [`JITTER`].
#[must_use]
pub fn write_cost(facts: VolumeFacts, size: u64, jitter: u64) -> Option<u64> {
    let needed = size.checked_mul(1 + RESERVE_FACTOR)?;
    if facts.capacity == 0 || facts.free < needed || facts.free < size {
        return None;
    }
    let taken = facts.capacity.saturating_sub(facts.free);
    // Parts per thousand keep the square inside 64 bits on any volume.
    let permille =
        u64::try_from(u128::from(taken) * 1000 / u128::from(facts.capacity)).unwrap_or(1000);
    Some(
        permille * permille * UTILISATION_WEIGHT / 1_000_000
            + read_cost(facts.in_flight)
            + jitter % JITTER,
    )
}

/// The cost of delivering a stream from a volume.
#[must_use]
pub fn read_cost(in_flight: u32) -> u64 {
    u64::from(in_flight) * ACTIVITY_WEIGHT
}

/// A cost as a node bids it that bids in this way; `None` where it does not bid.
#[must_use]
pub const fn offered(bidding: Bidding, cost: u64) -> Option<u64> {
    match bidding {
        Bidding::Never => None,
        Bidding::ByCost => Some(cost),
        Bidding::AtPremium => Some(cost.saturating_add(IDLE_PREMIUM)),
    }
}

/// One node's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bid {
    /// What it would cost.
    pub cost: u64,
    /// Who offers.
    pub node: NodeId,
}

/// The bids from the cheapest to the dearest; equal costs by node. One bid per node counts, its cheapest.
#[must_use]
pub fn ranked(bids: &[Bid]) -> Vec<Bid> {
    let mut sorted = bids.to_vec();
    sorted.sort_unstable();
    let mut seen = std::collections::BTreeSet::new();
    sorted.retain(|bid| seen.insert(bid.node));
    sorted
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn facts(free: u64, in_flight: u32) -> VolumeFacts {
        VolumeFacts { capacity: 1000, free, in_flight }
    }

    #[test]
    fn more_free_space_and_less_activity_bid_lower() {
        assert!(write_cost(facts(900, 0), 10, 0) < write_cost(facts(300, 0), 10, 0));
        assert!(write_cost(facts(900, 0), 10, 0) < write_cost(facts(900, 3), 10, 0));
    }

    #[test]
    fn a_volume_without_room_for_the_stream_and_its_reserve_does_not_bid() {
        assert_eq!(write_cost(facts(29, 0), 10, 0), None);
        assert!(write_cost(facts(30, 0), 10, 0).is_some());
        assert_eq!(write_cost(facts(1000, 0), u64::MAX, 0), None);
        assert_eq!(write_cost(VolumeFacts { capacity: 0, free: 0, in_flight: 0 }, 0, 0), None);
    }

    #[test]
    fn an_idle_node_is_asked_only_when_nobody_is_awake() {
        let full = write_cost(facts(30, 40), 10, 9).expect("it has room");
        let empty = write_cost(facts(1000, 0), 10, 0).expect("it has room");
        assert!(offered(Bidding::AtPremium, empty) > offered(Bidding::ByCost, full));
        assert_eq!(offered(Bidding::Never, empty), None);
    }

    #[test]
    fn the_cheapest_wins_and_ties_go_to_the_lower_address() {
        let bid = |cost, last| Bid { cost, node: NodeId(Ipv4Addr::new(10, 0, 0, last)) };
        let order = ranked(&[bid(7, 3), bid(7, 1), bid(2, 2), bid(9, 2)]);
        assert_eq!(order, vec![bid(2, 2), bid(7, 1), bid(7, 3)]);
    }

    proptest! {
        #[test]
        fn no_facts_make_a_bid_overflow(capacity: u64, free: u64, in_flight: u32, size: u64, jitter: u64) {
            let free = free.min(capacity);
            let cost = write_cost(VolumeFacts { capacity, free, in_flight }, size, jitter);
            prop_assert!(cost.is_none_or(|cost| cost <= 1000 + u64::from(u32::MAX) * 20 + 10));
        }
    }
}
