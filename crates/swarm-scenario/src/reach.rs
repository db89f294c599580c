//! Which node could reach which, and when: the faults in force, as an outsider can tell them.
//!
//! A judgement must not demand what a fault made impossible, and must not excuse what none did. So two questions are
//! kept apart: what a node could reach *all the time* (only then may an answer be demanded of it), and what it could
//! reach *at some time* (only beyond that is anything certain not to have happened).

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_cluster::{Cut, NodeRef};
use swarm_types::Instant;

use crate::damage::DamageLedger;
use crate::ledger::Entry;

/// After a start or a heal a node may need this long to be in touch again: membership is learned from beacons every 10 s,
/// and one of them may be on its way (our choice).
pub(crate) const GRACE: Duration = Duration::from_secs(15);

/// Number of a node in a run, over all its clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeNumber(pub(crate) usize);

/// Nodes of a run, over all its clusters, as a set of bits: judgements make many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NodeSet([u64; NODES_MAX / 64]);

/// More nodes than this, over all clusters, no scenario may have.
pub(crate) const NODES_MAX: usize = 256;

impl NodeSet {
    pub(crate) fn insert(&mut self, node: NodeNumber) {
        self.0[node.0 / 64] |= 1 << (node.0 % 64);
    }

    pub(crate) const fn contains(self, node: NodeNumber) -> bool {
        self.0[node.0 / 64] & (1 << (node.0 % 64)) != 0
    }

    pub(crate) fn len(self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The nodes in both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// The nodes in either.
    pub(crate) fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// The nodes of this that are not in the other.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }
}

impl FromIterator<NodeNumber> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeNumber>>(nodes: I) -> Self {
        let mut set = Self::default();
        nodes.into_iter().for_each(|node| set.insert(node));
        set
    }
}

/// A trouble that somebody made; its end is noted when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TroubleNumber(usize);

#[derive(Debug, Clone)]
struct Trouble {
    from: Instant,
    to: Option<Instant>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// The node runs no process, or one that stands still.
    Off(NodeNumber),
    /// These nodes from all others and from each other.
    Apart(NodeSet),
    /// Each group from every other.
    Groups(Vec<NodeSet>),
    /// Nobody can count on the copies that this node has, it least of all; it can reach those of others.
    Copies(NodeNumber),
    /// Nobody from anybody; but something is wrong that clients may notice.
    Noise,
}

/// All nodes of a run and all troubles so far.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    nodes: Vec<NodeRef>,
    numbers: BTreeMap<NodeRef, NodeNumber>,
    troubles: Vec<Trouble>,
    /// What the disks of nodes lost, by cluster.
    damage: BTreeMap<String, DamageLedger>,
}

impl Reach {
    pub(crate) fn new(nodes: Vec<NodeRef>) -> Self {
        let numbers = nodes
            .iter()
            .enumerate()
            .map(|(number, node)| (node.clone(), NodeNumber(number)))
            .collect();
        let damage =
            nodes.iter().map(|node| (node.cluster.clone(), DamageLedger::default())).collect();
        Self { nodes, numbers, damage, ..Self::default() }
    }

    /// What the disks of a cluster lost.
    pub(crate) fn damage(&self, cluster: &str) -> &DamageLedger {
        self.damage.get(cluster).expect("every cluster of the world is in the reach")
    }

    /// What the disks of the cluster of this node lost.
    pub(crate) fn damage_around(&self, node: NodeNumber) -> &DamageLedger {
        self.damage(&self.nodes[node.0].cluster)
    }

    /// The same, to be written.
    pub(crate) fn damage_mut(&mut self, node: NodeNumber) -> &mut DamageLedger {
        let cluster = &self.nodes[node.0].cluster;
        self.damage.get_mut(cluster).expect("every cluster of the world is in the reach")
    }

    pub(crate) fn number(&self, node: &NodeRef) -> Option<NodeNumber> {
        self.numbers.get(node).copied()
    }

    pub(crate) fn node(&self, number: NodeNumber) -> &NodeRef {
        &self.nodes[number.0]
    }

    /// All nodes of the run.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeNumber> + use<> {
        (0..self.nodes.len()).map(NodeNumber)
    }

    /// The node is off from now on.
    pub(crate) fn off(&mut self, at: Instant, node: NodeNumber) -> TroubleNumber {
        self.damage_mut(node).stops(at, node);
        self.begin(at, What::Off(node))
    }

    /// A cut is in force from now on. A node without multicast counts as cut off: what others hold it cannot find.
    pub(crate) fn cut(&mut self, at: Instant, cut: &Cut) -> TroubleNumber {
        let set = |nodes: &Vec<NodeRef>| {
            nodes.iter().filter_map(|node| self.number(node)).collect::<NodeSet>()
        };
        let what = match cut {
            Cut::Isolate(nodes) | Cut::Multicast(nodes) => What::Apart(set(nodes)),
            Cut::Partition(groups) => What::Groups(groups.iter().map(set).collect()),
            Cut::OneWay { from, to } => What::Groups(vec![set(from), set(to)]),
        };
        self.begin(at, what)
    }

    /// The copies on a node cannot be counted on from now on, though it runs.
    pub(crate) fn copies_out(&mut self, at: Instant, node: NodeNumber) -> TroubleNumber {
        self.begin(at, What::Copies(node))
    }

    /// Something is wrong from now on that cuts nobody off.
    pub(crate) fn disturbed(&mut self, at: Instant) -> TroubleNumber {
        self.begin(at, What::Noise)
    }

    fn begin(&mut self, at: Instant, what: What) -> TroubleNumber {
        self.troubles.push(Trouble { from: at, to: None, what });
        TroubleNumber(self.troubles.len() - 1)
    }

    /// A trouble is over.
    pub(crate) fn over(&mut self, at: Instant, trouble: TroubleNumber) {
        self.troubles[trouble.0].to.get_or_insert(at);
    }

    /// Whatever is still in force is over. True if there was anything.
    pub(crate) fn all_over(&mut self, at: Instant) -> bool {
        let mut open = self.troubles.iter_mut().filter(|trouble| trouble.to.is_none()).peekable();
        let any = open.peek().is_some();
        open.for_each(|trouble| trouble.to = Some(at));
        any
    }

    /// True if nothing was ever wrong, up to `at`.
    pub(crate) fn was_always_well(&self, at: Instant) -> bool {
        self.damage.values().all(|damage| damage.is_empty_until(at))
            && self.troubles.iter().all(|trouble| trouble.from > at)
    }

    /// The nodes that `node` could reach all the time from `from` to `to`, itself among them; none if it had trouble.
    pub(crate) fn always(&self, node: NodeNumber, from: Instant, to: Instant) -> NodeSet {
        let overlaps = |trouble: &&Trouble| {
            trouble.from <= to && trouble.to.is_none_or(|end| end + GRACE >= from)
        };
        let troubles: Vec<&Trouble> = self.troubles.iter().filter(overlaps).collect();
        self.cluster_of(node)
            .filter(|other| !troubles.iter().any(|trouble| trouble.separates(node, *other)))
            .collect()
    }

    /// The nodes that `node` could reach at some time from `from` to `to`.
    pub(crate) fn ever(&self, node: NodeNumber, from: Instant, to: Instant) -> NodeSet {
        let covers =
            |trouble: &&Trouble| trouble.from <= from && trouble.to.is_none_or(|end| end >= to);
        let troubles: Vec<&Trouble> = self.troubles.iter().filter(covers).collect();
        self.cluster_of(node)
            .filter(|other| !troubles.iter().any(|trouble| trouble.separates(node, *other)))
            .collect()
    }

    /// All nodes of a cluster.
    pub(crate) fn all_of(&self, cluster: &str) -> NodeSet {
        let numbered = self.nodes.iter().enumerate();
        let of = numbered.filter(|(_, node)| node.cluster == cluster);
        of.map(|(number, _)| NodeNumber(number)).collect()
    }

    /// All nodes of the cluster of `node`.
    pub(crate) fn whole(&self, node: NodeNumber) -> NodeSet {
        self.cluster_of(node).collect()
    }

    /// The nodes that still have whatever this operation left on them.
    pub(crate) fn intact(&self, entry: &Entry) -> NodeSet {
        let nodes = (0..self.nodes.len()).map(NodeNumber);
        nodes.filter(|node| self.damage_around(*node).is_intact(*node, entry)).collect()
    }

    fn cluster_of(&self, node: NodeNumber) -> impl Iterator<Item = NodeNumber> {
        let cluster = &self.nodes[node.0].cluster;
        self.nodes
            .iter()
            .enumerate()
            .filter(move |(_, other)| other.cluster == *cluster)
            .map(|(number, _)| NodeNumber(number))
    }
}

impl Trouble {
    fn separates(&self, a: NodeNumber, b: NodeNumber) -> bool {
        match &self.what {
            What::Off(node) => *node == a || *node == b,
            What::Apart(nodes) => a != b && (nodes.contains(a) || nodes.contains(b)),
            What::Groups(groups) => {
                let group = |node| groups.iter().position(|group| group.contains(node));
                matches!((group(a), group(b)), (Some(a), Some(b)) if a != b)
            }
            // From whoever looks for what it holds.
            What::Copies(node) => *node == b,
            What::Noise => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u32) -> NodeRef {
        NodeRef { cluster: "main".to_owned(), node: number }
    }

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    fn reach() -> Reach {
        Reach::new(vec![node(1), node(2), node(3), NodeRef { cluster: "dr".to_owned(), node: 1 }])
    }

    fn shown(nodes: NodeSet) -> Vec<usize> {
        (0..NODES_MAX)
            .filter(|node| nodes.contains(NodeNumber(*node)))
            .map(|node| node + 1)
            .collect()
    }

    #[test]
    fn without_trouble_a_node_reaches_its_own_cluster() {
        assert_eq!(shown(reach().always(NodeNumber(0), at(0), at(9))), [1, 2, 3]);
        assert_eq!(shown(reach().always(NodeNumber(3), at(0), at(9))), [4]);
        assert!(reach().was_always_well(at(9)));
    }

    #[test]
    fn a_node_that_was_off_counts_again_after_the_grace() {
        let mut reach = reach();
        let trouble = reach.off(at(100), NodeNumber(1));
        reach.over(at(200), trouble);
        assert_eq!(shown(reach.always(NodeNumber(0), at(98), at(99))), [1, 2, 3]);
        assert_eq!(shown(reach.always(NodeNumber(0), at(99), at(100))), [1, 3]);
        assert_eq!(shown(reach.always(NodeNumber(0), at(214), at(214))), [1, 3]);
        assert_eq!(shown(reach.always(NodeNumber(0), at(216), at(216))), [1, 2, 3]);
        assert_eq!(shown(reach.always(NodeNumber(1), at(150), at(150))), [] as [usize; 0]);
        assert!(!reach.was_always_well(at(300)));
    }

    #[test]
    fn nothing_is_excused_any_more_when_all_is_over() {
        let mut reach = reach();
        reach.copies_out(at(100), NodeNumber(1));
        assert_eq!(shown(reach.always(NodeNumber(0), at(500), at(501))), [1, 3]);
        assert!(reach.all_over(at(600)) && !reach.all_over(at(700)));
        assert_eq!(shown(reach.always(NodeNumber(0), at(616), at(617))), [1, 2, 3]);
    }

    #[test]
    fn what_can_be_reached_at_some_time_is_more_than_what_can_be_reached_always() {
        let mut reach = reach();
        let trouble = reach.off(at(100), NodeNumber(1));
        reach.over(at(200), trouble);
        assert_eq!(shown(reach.ever(NodeNumber(0), at(150), at(250))), [1, 2, 3]);
        assert_eq!(shown(reach.ever(NodeNumber(0), at(120), at(180))), [1, 3]);
    }

    #[test]
    fn a_partition_separates_groups_and_an_isolation_everyone() {
        let mut reach = reach();
        let cut = reach.cut(at(10), &Cut::Partition(vec![vec![node(1)], vec![node(2), node(3)]]));
        assert_eq!(shown(reach.always(NodeNumber(1), at(20), at(21))), [2, 3]);
        reach.over(at(30), cut);
        reach.cut(at(100), &Cut::Isolate(vec![node(2), node(3)]));
        assert_eq!(shown(reach.always(NodeNumber(1), at(110), at(111))), [2]);
        assert_eq!(shown(reach.always(NodeNumber(0), at(110), at(111))), [1]);
    }
}
