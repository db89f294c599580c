//! The damage ledger: what faults really destroyed, so that a legal loss and a bug can be told apart.
//!
//! Two questions are kept apart. *Destroyed* is a version of which, after some destruction, no disk had a whole copy any
//! more: whoever destroyed looked at all disks, so that copies which moved since the acknowledgement count. *Intact* is what
//! an answer left on the nodes that it named, as far as one can tell without looking: there a replica counts as lost if its
//! own bytes were hit, or everything on its node was, and a journal that was hit counts from the next time its node stops,
//! since until then nobody reads it.

use std::collections::BTreeSet;

use swarm_types::{Instant, Stamp};

use crate::ledger::Entry;
use crate::reach::NodeNumber;

#[derive(Debug, Default)]
pub(crate) struct DamageLedger {
    losses: Vec<Loss>,
    /// Nodes whose journal was hit and has not been read since.
    journals: BTreeSet<NodeNumber>,
    /// The acknowledged versions of which nothing whole was left.
    destroyed: BTreeSet<Stamp>,
}

#[derive(Debug)]
struct Loss {
    node: NodeNumber,
    at: Instant,
    what: Lost,
}

#[derive(Debug)]
enum Lost {
    Everything,
    /// The replicas of these versions.
    Replicas(BTreeSet<Stamp>),
    /// Everything but the replicas of these versions.
    AllBut(BTreeSet<Stamp>),
}

impl DamageLedger {
    /// All disks of the node are blank, or one of them is gone.
    pub(crate) fn wiped(&mut self, at: Instant, node: NodeNumber) {
        self.losses.push(Loss { node, at, what: Lost::Everything });
    }

    /// Blocks of a disk of the node were damaged: those of these replicas, perhaps also those of its journal.
    pub(crate) fn rotten(
        &mut self,
        at: Instant,
        node: NodeNumber,
        replicas: BTreeSet<Stamp>,
        journal: bool,
    ) {
        self.losses.push(Loss { node, at, what: Lost::Replicas(replicas) });
        if journal {
            self.journals.insert(node);
        }
    }

    /// The node has nothing left but whole replicas of these versions.
    pub(crate) fn all_but(&mut self, at: Instant, node: NodeNumber, left: BTreeSet<Stamp>) {
        self.losses.push(Loss { node, at, what: Lost::AllBut(left) });
    }

    /// The node stops; what it starts from is what its disks say.
    pub(crate) fn stops(&mut self, at: Instant, node: NodeNumber) {
        if self.journals.remove(&node) {
            self.losses.push(Loss { node, at, what: Lost::Everything });
        }
    }

    /// Of these versions no disk has a whole copy any more.
    pub(crate) fn destroyed(&mut self, versions: impl IntoIterator<Item = Stamp>) {
        self.destroyed.extend(versions);
    }

    /// True if a whole copy of what this acknowledged write left must be on some disk: faults have never left none, and not
    /// all of its nodes were hit while it was under way.
    pub(crate) fn left_some(&self, entry: &Entry) -> bool {
        let Some(stamp) = entry.write_stamp() else { return false };
        let ended = entry.ended.unwrap_or(Instant(u64::MAX));
        let hit_meanwhile = |node: &NodeNumber| {
            let mut of_node = self.losses.iter().filter(|loss| loss.node == *node);
            of_node.any(|loss| loss.at >= entry.sent && loss.at <= ended)
        };
        !self.destroyed.contains(&stamp) && !entry.holders().iter().all(hit_meanwhile)
    }

    /// True if nothing had been damaged by then.
    pub(crate) fn is_empty_until(&self, at: Instant) -> bool {
        self.losses.iter().all(|loss| loss.at > at)
    }

    /// True if the node still has what this operation left there.
    pub(crate) fn is_intact(&self, node: NodeNumber, entry: &Entry) -> bool {
        let ended = entry.ended.unwrap_or(Instant(u64::MAX));
        !self.losses.iter().filter(|loss| loss.node == node && loss.at >= entry.sent).any(|loss| {
            match &loss.what {
                Lost::Everything => true,
                Lost::AllBut(left) => {
                    entry.write_stamp().is_none_or(|stamp| !left.contains(&stamp))
                }
                // A body that was being written may have been hit before any journal spoke of it.
                Lost::Replicas(replicas) => {
                    (entry.write_stamp().is_some() && loss.at <= ended)
                        || entry.write_stamp().is_some_and(|stamp| replicas.contains(&stamp))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use swarm_types::{Etag, Version};

    use super::*;
    use crate::ledger::{Act, Outcome};

    const NODE: NodeNumber = NodeNumber(0);

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    fn stamp(version: u64) -> Stamp {
        Stamp { version: Version(version), etag: Etag::from_bytes([1; 16]) }
    }

    fn write(version: u64, sent: u64, ended: u64) -> Entry {
        Entry {
            act: Act::Write { content: 1, length: 1 },
            sent: at(sent),
            ended: Some(at(ended)),
            outcome: Outcome::Acknowledged {
                stamp: Some(stamp(version)),
                holders: vec![NODE],
                replicas: 1,
            },
            nodes: vec![NODE],
        }
    }

    #[test]
    fn a_wiped_node_has_lost_what_it_had_and_nothing_that_came_later() {
        let mut ledger = DamageLedger::default();
        ledger.wiped(at(50), NODE);
        assert!(!ledger.is_intact(NODE, &write(1, 40, 41)));
        assert!(ledger.is_intact(NODE, &write(1, 60, 61)));
        assert!(ledger.is_intact(NodeNumber(1), &write(1, 40, 41)));
        assert!(ledger.is_empty_until(at(49)) && !ledger.is_empty_until(at(50)));
    }

    #[test]
    fn rot_loses_the_replicas_that_it_hit_and_those_under_way() {
        let mut ledger = DamageLedger::default();
        ledger.rotten(at(50), NODE, BTreeSet::from([stamp(1)]), false);
        assert!(!ledger.is_intact(NODE, &write(1, 40, 41)));
        assert!(ledger.is_intact(NODE, &write(2, 40, 41)));
        assert!(!ledger.is_intact(NODE, &write(2, 49, 51)));
        ledger.stops(at(70), NODE);
        assert!(ledger.is_intact(NODE, &write(2, 40, 41)));
    }

    #[test]
    fn what_a_power_loss_left_of_a_lying_disk_is_intact_and_nothing_else() {
        let mut ledger = DamageLedger::default();
        ledger.all_but(at(50), NODE, BTreeSet::from([stamp(1)]));
        assert!(ledger.is_intact(NODE, &write(1, 40, 41)));
        assert!(!ledger.is_intact(NODE, &write(2, 40, 41)));
        assert!(ledger.is_intact(NODE, &write(2, 60, 61)));
        let delete = Entry { act: Act::Delete, ..write(1, 40, 41) };
        let unstamped = Outcome::Acknowledged { stamp: None, holders: vec![], replicas: 0 };
        assert!(!ledger.is_intact(NODE, &Entry { outcome: unstamped, ..delete }));
    }

    #[test]
    fn a_write_is_lost_when_no_disk_has_it_whatever_became_of_its_first_holders() {
        let mut ledger = DamageLedger::default();
        ledger.wiped(at(50), NODE);
        assert!(ledger.left_some(&write(1, 40, 41)), "somebody had made another copy");
        assert!(!ledger.left_some(&write(2, 49, 51)), "under way, and its only node was hit");
        ledger.destroyed([stamp(1)]);
        assert!(!ledger.left_some(&write(1, 40, 41)));
        let delete = Entry { act: Act::Delete, ..write(3, 40, 41) };
        assert!(!ledger.left_some(&delete), "a delete leaves no copy");
    }

    #[test]
    fn a_rotten_journal_counts_from_the_next_stop() {
        let mut ledger = DamageLedger::default();
        ledger.rotten(at(50), NODE, BTreeSet::new(), true);
        assert!(ledger.is_intact(NODE, &write(2, 40, 41)));
        ledger.stops(at(70), NODE);
        assert!(!ledger.is_intact(NODE, &write(2, 40, 41)));
    }
}
