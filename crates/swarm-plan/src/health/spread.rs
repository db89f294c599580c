//! Where copies belong: on different nodes, and as evenly over the subclusters as may be (Local Area Replication with
//! Subclusters).

use std::collections::{BTreeMap, BTreeSet};

use swarm_types::NodeId;

use super::Subcluster;

/// A node that could take a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub node: NodeId,
    /// Its subcluster.
    pub subcluster: Subcluster,
    /// What the copy would cost there.
    pub cost: u64,
    /// Among equal costs the lowest goes first.
    pub turn: u64,
}

/// How many copies each subcluster has, those included that have none and could take one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Subcluster, usize>);

impl Counts {
    /// The counts of these holders, beside subclusters that could have copies.
    pub fn new<'a>(
        holders: impl IntoIterator<Item = &'a Subcluster>,
        populated: impl IntoIterator<Item = &'a Subcluster>,
    ) -> Self {
        let mut counts = BTreeMap::new();
        for subcluster in populated {
            counts.entry(subcluster.clone()).or_insert(0);
        }
        for subcluster in holders {
            *counts.entry(subcluster.clone()).or_insert(0) += 1;
        }
        Self(counts)
    }

    /// Copies in this subcluster.
    #[must_use]
    pub fn of(&self, subcluster: &Subcluster) -> usize {
        self.0.get(subcluster).copied().unwrap_or(0)
    }

    /// The subclusters that should have one copy more: where there are at least two fewer than somewhere else.
    #[must_use]
    pub fn poor(&self) -> BTreeSet<&Subcluster> {
        let most = self.0.values().max().copied().unwrap_or(0);
        self.0.iter().filter(|(_, count)| **count + 2 <= most).map(|(name, _)| name).collect()
    }
}

/// The nodes that take `count` new copies beside those of the holders: each time the cheapest of the subcluster that has
/// fewest, never a holder. Fewer where there are not enough candidates.
#[must_use]
pub fn choose(
    holders: &BTreeMap<NodeId, Subcluster>,
    candidates: &[Candidate],
    count: usize,
) -> Vec<NodeId> {
    let mut counts = Counts::new(holders.values(), []);
    let mut left: Vec<&Candidate> =
        candidates.iter().filter(|candidate| !holders.contains_key(&candidate.node)).collect();
    let mut chosen = Vec::new();
    while chosen.len() < count {
        let key = |candidate: &&Candidate| {
            (counts.of(&candidate.subcluster), candidate.cost, candidate.turn, candidate.node)
        };
        let Some(best) = left.iter().copied().min_by_key(key) else { break };
        *counts.0.entry(best.subcluster.clone()).or_insert(0) += 1;
        chosen.push(best.node);
        left.retain(|candidate| candidate.node != best.node);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn node(last: u8) -> NodeId {
        NodeId(Ipv4Addr::new(10, 0, 0, last))
    }

    fn candidate(last: u8, subcluster: &str, cost: u64) -> Candidate {
        Candidate { node: node(last), subcluster: subcluster.into(), cost, turn: 0 }
    }

    fn holders(list: &[(u8, &str)]) -> BTreeMap<NodeId, Subcluster> {
        list.iter().map(|(last, name)| (node(*last), (*name).into())).collect()
    }

    #[test]
    fn the_subcluster_with_fewest_copies_comes_before_the_cheapest_node() {
        let candidates = [candidate(1, "a", 1), candidate(2, "a", 2), candidate(3, "b", 9)];
        assert_eq!(choose(&holders(&[(9, "a")]), &candidates, 1), [node(3)]);
        assert_eq!(choose(&holders(&[(9, "a")]), &candidates, 3), [node(3), node(1), node(2)]);
    }

    #[test]
    fn equal_subclusters_are_served_by_cost_then_in_turn() {
        let late = Candidate { turn: 1, ..candidate(3, "a", 3) };
        let candidates = [late, candidate(5, "a", 3), candidate(4, "a", 3), candidate(6, "a", 1)];
        let chosen = choose(&holders(&[]), &candidates, 4);
        assert_eq!(chosen, [node(6), node(4), node(5), node(3)]);
    }

    #[test]
    fn a_holder_takes_no_second_copy() {
        let candidates = [candidate(1, "a", 1)];
        assert_eq!(choose(&holders(&[(1, "a")]), &candidates, 1), []);
    }

    #[test]
    fn a_subcluster_is_poor_two_copies_behind_the_richest() {
        let name = |text: &str| Subcluster::from(text);
        let (a, b) = (name("a"), name("b"));
        assert!(Counts::new([&a], [&a, &b]).poor().is_empty());
        assert_eq!(Counts::new([&a, &a], [&a, &b]).poor(), BTreeSet::from([&b]));
        // Without a node there that could take it, it is not populated.
        assert!(Counts::new([&a, &a], [&a]).poor().is_empty());
    }

    proptest! {
        #[test]
        fn enough_candidates_everywhere_end_evenly(
            count in 1..12usize, clusters in 1..4usize, costs in proptest::collection::vec(0..100u64, 36),
        ) {
            let candidates: Vec<Candidate> = costs
                .iter()
                .zip(0u8..)
                .map(|(cost, nth)| candidate(nth, ["a", "b", "c"][usize::from(nth) % clusters], *cost))
                .collect();
            let chosen = choose(&BTreeMap::new(), &candidates, count);
            prop_assert!(chosen.len() == count);
            let of = |node: &NodeId| candidates.iter().find(|one| one.node == *node).map(|one| &one.subcluster);
            let all: Vec<Subcluster> = candidates.iter().map(|one| one.subcluster.clone()).collect();
            prop_assert!(Counts::new(chosen.iter().filter_map(of), &all).poor().is_empty());
        }
    }
}
