//! Bids: what it would cost a volume to take or deliver a stream, and who wins.
//!
//! The vendor's formula is unpublished (Swarm Frequently Asked Questions); the terms are documented: space, memory and
//! activity. The weights are our choice.

use std::collections::BTreeMap;

use swarm_types::{NodeId, StreamId, VolumeId};

use crate::membership::Bidding;

/// Weight of a full volume, squared share: an empty one costs nothing, a full one this much.
const UTILISATION_WEIGHT: u64 = 1000;
/// Weight of each operation that the volume has in flight.
const ACTIVITY_WEIGHT: u64 = 20;
/// Added to the bids of an idle node: more than a full volume costs, so that it is left to sleep while anybody is awake.
pub const IDLE_PREMIUM: u64 = 5000;
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

/// The bids from the cheapest to the dearest; equal costs in an order of their own for each `draw`. One bid per node counts,
/// its cheapest.
#[must_use]
pub fn ranked(bids: &[Bid], draw: u64) -> Vec<Bid> {
    let mut sorted = bids.to_vec();
    sorted.sort_unstable_by_key(|bid| (bid.cost, node_turn(draw, bid.node), bid.node));
    let mut seen = std::collections::BTreeSet::new();
    sorted.retain(|bid| seen.insert(bid.node));
    sorted
}

/// The same nodes, so ordered that the first few of them, with one in the subcluster `begun`, are in as many subclusters as can
/// be; else the order stays. Copies are spread from the beginning, not only when the health processor comes by (Local Area
/// Replication with Subclusters names the goal; that writes heed it is our choice).
#[must_use]
pub fn spread<K: Ord>(nodes: Vec<(NodeId, K)>, begun: K) -> Vec<NodeId> {
    let mut copies = BTreeMap::from([(begun, 1_u32)]);
    let mut left = nodes;
    let mut spread = Vec::with_capacity(left.len());
    loop {
        let has = |(_, subcluster): &(NodeId, K)| copies.get(subcluster).copied().unwrap_or(0);
        // The first of those with the fewest.
        let Some(at) = (0..left.len()).min_by_key(|at| has(&left[*at])) else { return spread };
        let (node, subcluster) = left.remove(at);
        *copies.entry(subcluster).or_insert(0) += 1;
        spread.push(node);
    }
}

/// Whose turn it is among nodes of equal cost, lowest first: another order for each `draw`, the same on every machine.
#[must_use]
pub fn node_turn(draw: u64, node: NodeId) -> u64 {
    mixed(draw, u64::from(u32::from(node.0)))
}

/// Whose turn it is among volumes of one node of equal cost.
#[must_use]
pub fn volume_turn(draw: u64, volume: VolumeId) -> u64 {
    mixed(draw, first_half(volume.as_bytes()))
}

/// The draw that belongs to a stream: whoever looks for a place for it comes to the same one.
#[must_use]
pub fn stream_draw(id: StreamId) -> u64 {
    first_half(id.as_bytes())
}

fn first_half(bytes: &[u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *bytes;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Every bit of the result hangs on every bit of both (the finalizer of `SplitMix64`, twice).
fn mixed(draw: u64, party: u64) -> u64 {
    let stir = |mut bits: u64| {
        bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    stir(stir(draw) ^ party)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use proptest::prelude::{ProptestConfig, prop_assert, proptest};

    use super::*;

    fn node(last: u8) -> NodeId {
        NodeId(Ipv4Addr::new(10, 0, 0, last))
    }

    fn facts(free: u64, in_flight: u32) -> VolumeFacts {
        VolumeFacts { capacity: 1000, free, in_flight }
    }

    #[test]
    fn more_free_space_and_less_activity_bid_lower() {
        assert!(write_cost(facts(900, 0), 10, 0) < write_cost(facts(300, 0), 10, 0));
        assert!(write_cost(facts(900, 0), 10, 0) < write_cost(facts(900, 3), 10, 0));
    }

    #[test]
    fn the_first_few_are_in_as_many_subclusters_as_can_be() {
        let of = |nodes: &[(u8, &'static str)], begun| {
            let nodes = nodes.iter().map(|(last, label)| (node(*last), *label)).collect();
            let order = spread(nodes, begun).into_iter().map(|node| node.0.octets()[3]);
            order.collect::<Vec<u8>>()
        };
        let two = [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "a")];
        assert_eq!(of(&two, "a"), [3, 1, 4, 2, 5]);
        assert_eq!(of(&two, "b"), [1, 2, 3, 4, 5]);
        assert_eq!(of(&two[1..], "b"), [2, 3, 5, 4]);
        assert_eq!(of(&[(1, "a"), (2, "b"), (3, "c")], "a"), [2, 3, 1]);
        assert_eq!(of(&[(3, ""), (1, ""), (2, "")], ""), [3, 1, 2], "the cheapest first");
        assert_eq!(of(&[], ""), Vec::<u8>::new());
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
    fn the_cheapest_wins_and_equal_ones_take_turns() {
        let bid = |cost, last| Bid { cost, node: node(last) };
        let order = |draw| ranked(&[bid(7, 3), bid(7, 1), bid(2, 2), bid(9, 2)], draw);
        for draw in 0..20 {
            assert_eq!(order(draw)[0], bid(2, 2));
            assert_eq!(order(draw), order(draw));
            assert_eq!(order(draw).len(), 3);
        }
        let first: BTreeSet<_> = (0..20).map(|draw| order(draw)[1].node).collect();
        assert_eq!(first, BTreeSet::from([node(1), node(3)]));
    }

    #[test]
    fn where_a_turn_comes_from_is_the_same_on_every_machine() {
        assert_eq!(node_turn(0, node(1)), 6_318_681_610_542_250_898);
        assert_eq!(volume_turn(7, VolumeId::from_bytes([7; 16])), 1_065_664_545_285_551_513);
    }

    /// How many of 10,000 objects with two copies each of these parties gets, over the mean.
    fn most(parties: usize, turns: impl Fn(u64, usize) -> u64, draws: impl Fn(u64) -> u64) -> f64 {
        const OBJECTS: u64 = 10_000;
        let mut taken = vec![0u32; parties];
        for object in 0..OBJECTS {
            let mut order: Vec<usize> = (0..parties).collect();
            order.sort_by_key(|party| turns(draws(object), *party));
            order.into_iter().take(2).for_each(|party| taken[party] += 1);
        }
        let most = taken.into_iter().max().unwrap_or(0);
        f64::from(most) * parties as f64 / (2 * OBJECTS) as f64
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn equal_nodes_are_loaded_evenly(first: [u8; 4], nodes in 2..=20usize, seed: u64) {
            let first = u32::from_be_bytes(first);
            let nodes: Vec<NodeId> = (0u32..)
                .take(nodes)
                .map(|nth| NodeId(Ipv4Addr::from(first.wrapping_add(nth))))
                .collect();
            let bids = |draw| {
                // As nodes bid that have the same to offer.
                let bid = |node: &NodeId| {
                    let cost = write_cost(facts(900, 0), 10, node_turn(draw, *node));
                    Bid { cost: cost.expect("it has room"), node: *node }
                };
                nodes.iter().map(bid).collect::<Vec<_>>()
            };
            let mut taken = std::collections::BTreeMap::new();
            for object in 0..10_000u64 {
                // Numbers in a row are the worst that dice can do.
                let draw = seed.wrapping_add(object);
                for bid in ranked(&bids(draw), draw).into_iter().take(2) {
                    *taken.entry(bid.node).or_insert(0u32) += 1;
                }
            }
            let mean = 20_000.0 / nodes.len() as f64;
            let most = taken.values().copied().max().unwrap_or(0);
            prop_assert!(f64::from(most) <= 1.15 * mean, "{most} of {mean}");
        }

        #[test]
        fn equal_volumes_are_loaded_evenly(ids: [u8; 16], volumes in 2..=20u8, seed: u64) {
            let id = |nth: usize| {
                let mut bytes = ids;
                bytes[7] = bytes[7].wrapping_add(u8::try_from(nth).unwrap_or(u8::MAX));
                VolumeId::from_bytes(bytes)
            };
            let most = most(
                usize::from(volumes),
                |draw, nth| volume_turn(draw, id(nth)),
                |object| seed.wrapping_add(object),
            );
            prop_assert!(most <= 1.15, "{most}");
        }
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
