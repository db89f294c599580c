//! The damage ledger of a cluster: what faults really destroyed there, so that a legal loss and a bug can be told apart. What
//! another cluster has of it does not count: each keeps its own promises.
//!
//! Two questions are kept apart. *Taken* is what each destruction took from a disk, and what of it no disk had any more
//! afterwards: whoever destroyed looked at all disks, so that copies which moved since the acknowledgement count. A version
//! is legally lost if the last of its copies was taken and as many in all as were demanded, a delete likewise: what nodes
//! had dropped before by themselves is not made good by the fault that took the rest. *Intact* is what an answer left on the
//! nodes that it named, as far as one can tell without looking: there a replica counts as lost if its own bytes were hit, or
//! everything on its node was, and a journal that was hit counts from the next time its node stops, since until then nobody
//! reads it.

use std::collections::{BTreeMap, BTreeSet};

use swarm_cluster::DiskRef;
use swarm_types::{Instant, Stamp};

use crate::ledger::{Entry, Outcome};
use crate::oracle::image::{Hit, Id};
use crate::reach::{NodeNumber, NodeSet};

#[derive(Debug, Default)]
pub(crate) struct DamageLedger {
    losses: Vec<Loss>,
    /// Nodes whose journal was hit and has not been read since.
    journals: BTreeSet<NodeNumber>,
    taken: Vec<Taken>,
    /// The versions of which nothing whole was left, and the fewest copies of each that had ever been demanded by then.
    destroyed: BTreeMap<Stamp, usize>,
}

/// What one destruction took from the disks of one node.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) node: NodeNumber,
    pub(crate) at: Instant,
    /// The disk that is gone with it and may come back.
    pub(crate) disk: Option<DiskRef>,
    /// The versions of which it took a whole copy.
    pub(crate) copies: BTreeSet<Stamp>,
    /// The streams of which it took a record, of a version or of a delete, and how new that was.
    pub(crate) records: BTreeMap<Id, Stamp>,
    /// Those of them of which no disk had a record so new any more.
    pub(crate) last: BTreeMap<Id, Stamp>,
}

/// What destructions left of a delete.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Buried {
    /// The nodes that lost a record of it, or of something newer.
    pub(crate) from: NodeSet,
    /// How many such records were taken.
    pub(crate) taken: usize,
    /// The last one was among them.
    pub(crate) is_forgotten: bool,
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
    /// The replicas of these versions, and perhaps what was being written then, of which no journal spoke yet.
    Replicas {
        versions: BTreeSet<Stamp>,
        unfiled: bool,
    },
    /// Everything but the replicas of these versions.
    AllBut(BTreeSet<Stamp>),
}

impl DamageLedger {
    /// All disks of the node are blank, or nobody knows what was on the one that was hit.
    pub(crate) fn wiped(&mut self, at: Instant, node: NodeNumber) {
        self.losses.push(Loss { node, at, what: Lost::Everything });
    }

    /// Blocks of a disk of the node were damaged: those of replicas, perhaps also those of its journal.
    pub(crate) fn rotten(&mut self, at: Instant, node: NodeNumber, hit: Hit) {
        let Hit { versions, journal, unfiled } = hit;
        self.losses.push(Loss { node, at, what: Lost::Replicas { versions, unfiled } });
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

    /// Something was destroyed; of these versions no disk has a whole copy any more, though so many were demanded at least.
    pub(crate) fn took(&mut self, taken: Taken, destroyed: BTreeMap<Stamp, usize>) {
        self.taken.push(taken);
        self.destroyed.extend(destroyed);
    }

    /// A disk that was gone is back, with these whole copies and these records.
    pub(crate) fn returned(
        &mut self,
        disk: &DiskRef,
        copies: &BTreeSet<Stamp>,
        records: &BTreeMap<Id, Stamp>,
    ) {
        let is_here =
            |stream: &Id, stamp: &Stamp| records.get(stream).is_some_and(|own| own >= stamp);
        for taken in &mut self.taken {
            if taken.disk.as_ref() == Some(disk) {
                taken.copies.retain(|stamp| !copies.contains(stamp));
                taken.records.retain(|stream, stamp| !is_here(stream, stamp));
            }
            taken.last.retain(|stream, stamp| !is_here(stream, stamp));
        }
        self.destroyed.retain(|stamp, _| !copies.contains(stamp));
    }

    /// True if a fault took the last record of a stream that was so new, or the last whole copy of that version, since then.
    pub(crate) fn took_last_of(&self, stream: &Id, stamp: Stamp, since: Instant) -> bool {
        let is_destroyed = self.destroyed.contains_key(&stamp);
        let took = |taken: &Taken| {
            taken.last.get(stream).is_some_and(|last| *last >= stamp)
                || (is_destroyed && taken.copies.contains(&stamp))
        };
        self.taken.iter().any(|taken| taken.at >= since && took(taken))
    }

    /// True if a whole copy of what this acknowledged write left must be on some disk: faults have never left none, or
    /// took fewer than were demanded, and not all of its nodes were hit while it was under way. A copy that was spoiled while it
    /// was being written counts as taken: no journal spoke of it yet, so nobody could see that it was among what was hit.
    pub(crate) fn left_some(&self, entry: &Entry) -> bool {
        let Some(stamp) = entry.write_stamp() else { return false };
        let ended = entry.ended.unwrap_or(Instant(u64::MAX));
        let meanwhile = |node: &NodeNumber| {
            let node = *node;
            let of_node = self.losses.iter().filter(move |loss| loss.node == node);
            of_node.filter(|loss| loss.at >= entry.sent && loss.at <= ended)
        };
        let is_lost = self.destroyed.get(&stamp).is_some_and(|demanded| {
            let taken: Vec<NodeNumber> = self
                .taken
                .iter()
                .filter(|taken| taken.copies.contains(&stamp))
                .map(|taken| taken.node)
                .collect();
            let spoiled = entry.holders().iter().filter(|node| {
                !taken.contains(node) && meanwhile(node).any(|loss| loss.what.may_spoil(stamp))
            });
            taken.len() + spoiled.count() >= replicas(entry).min(*demanded)
        });
        // What came from elsewhere has no holders that anybody was told of: only the disks tell of it.
        if matches!(entry.outcome, Outcome::Elsewhere { .. }) {
            return !is_lost;
        }
        let may_spoil = |node| meanwhile(node).any(|loss| loss.what.may_spoil(stamp));
        !is_lost && !entry.holders().iter().all(may_spoil)
    }

    /// What destructions since then left of a delete: of the records under these streams that are newer than what lay below
    /// it.
    pub(crate) fn buried(
        &self,
        streams: &BTreeSet<Id>,
        below: Option<Stamp>,
        since: Instant,
    ) -> Buried {
        let mut left = Buried::default();
        let tell = |records: &BTreeMap<Id, Stamp>| {
            let newer = |stream| records.get(stream).is_some_and(|stamp| Some(*stamp) > below);
            streams.iter().any(newer)
        };
        for taken in self.taken.iter().filter(|taken| taken.at >= since) {
            if tell(&taken.records) {
                left.from.insert(taken.node);
                left.taken += 1;
            }
            left.is_forgotten |= tell(&taken.last);
        }
        left
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
                Lost::Replicas { versions, unfiled } => {
                    let unfiled = *unfiled && loss.at <= ended;
                    entry.write_stamp().is_some_and(|stamp| unfiled || versions.contains(&stamp))
                }
            }
        })
    }
}

impl Lost {
    /// True if it may have met a copy of this version that was being written.
    fn may_spoil(&self, stamp: Stamp) -> bool {
        match self {
            Self::Everything => true,
            Self::Replicas { versions, unfiled } => *unfiled || versions.contains(&stamp),
            Self::AllBut(left) => !left.contains(&stamp),
        }
    }
}

/// With how many replicas a write was acknowledged.
fn replicas(entry: &Entry) -> usize {
    match entry.outcome {
        Outcome::Acknowledged { replicas, .. } => usize::try_from(replicas).unwrap_or(usize::MAX),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use swarm_cluster::NodeRef;
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

    /// Damage to the replicas of these versions, and perhaps to what was being written.
    fn hit(versions: &[u64], unfiled: bool) -> Hit {
        let versions = versions.iter().map(|version| stamp(*version)).collect();
        Hit { versions, journal: false, unfiled }
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
        ledger.rotten(at(50), NODE, hit(&[1], false));
        assert!(!ledger.is_intact(NODE, &write(1, 40, 41)));
        assert!(ledger.is_intact(NODE, &write(2, 40, 41)));
        assert!(ledger.is_intact(NODE, &write(2, 49, 51)), "only what was filed was hit");
        ledger.rotten(at(50), NODE, hit(&[], true));
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

    const STREAM: Id = [5; 16];

    /// A destruction that takes a copy and the record of this version, the last ones or not.
    fn taken(version: u64, secs: u64, node: usize, last: bool) -> Taken {
        let records = BTreeMap::from([(STREAM, stamp(version))]);
        Taken {
            node: NodeNumber(node),
            at: at(secs),
            disk: Some(disk(node)),
            copies: BTreeSet::from([stamp(version)]),
            last: if last { records.clone() } else { BTreeMap::new() },
            records,
        }
    }

    fn disk(node: usize) -> DiskRef {
        let node = u32::try_from(node).expect("few") + 1;
        DiskRef { node: NodeRef { cluster: "main".to_owned(), node }, disk: 1 }
    }

    /// Nothing whole is left of this version, of which at least so many copies had been demanded.
    fn none_left(version: u64, demanded: usize) -> BTreeMap<Stamp, usize> {
        BTreeMap::from([(stamp(version), demanded)])
    }

    fn replicated(version: u64, sent: u64, ended: u64, replicas: u32) -> Entry {
        let stamp = Some(stamp(version));
        let holders = vec![NODE, NodeNumber(1)];
        let outcome = Outcome::Acknowledged { stamp, holders, replicas };
        Entry { outcome, ..write(version, sent, ended) }
    }

    #[test]
    fn a_write_is_lost_when_no_disk_has_it_whatever_became_of_its_first_holders() {
        let mut ledger = DamageLedger::default();
        ledger.wiped(at(50), NODE);
        assert!(ledger.left_some(&write(1, 40, 41)), "somebody had made another copy");
        assert!(!ledger.left_some(&write(2, 49, 51)), "under way, and its only node was hit");
        ledger.took(taken(1, 50, 0, true), none_left(1, 1));
        assert!(!ledger.left_some(&write(1, 40, 41)));
        let delete = Entry { act: Act::Delete, ..write(3, 40, 41) };
        assert!(!ledger.left_some(&delete), "a delete leaves no copy");
    }

    #[test]
    fn a_copy_that_nodes_had_dropped_is_not_excused_by_the_fault_that_took_the_other() {
        let write = replicated(1, 40, 41, 2);
        let mut ledger = DamageLedger::default();
        ledger.took(taken(1, 50, 0, true), none_left(1, 2));
        assert!(ledger.left_some(&write), "two were promised, one was taken, and none is left");
        ledger.took(taken(1, 60, 1, true), none_left(1, 2));
        assert!(!ledger.left_some(&write), "two were taken, one after the other");
        let mut ledger = DamageLedger::default();
        ledger.took(taken(1, 50, 0, true), none_left(1, 1));
        assert!(!ledger.left_some(&write), "one was enough by then");
    }

    #[test]
    fn a_copy_that_was_spoiled_while_it_was_being_written_counts_as_taken() {
        let write = replicated(1, 40, 42, 2);
        let after = |loss: &dyn Fn(&mut DamageLedger)| {
            let mut ledger = DamageLedger::default();
            loss(&mut ledger);
            assert!(ledger.left_some(&write), "the other copy is there");
            ledger.took(taken(1, 60, 1, true), none_left(1, 2));
            ledger.left_some(&write)
        };
        assert!(!after(&|ledger| ledger.rotten(at(41), NODE, hit(&[], true))));
        assert!(!after(&|ledger| ledger.rotten(at(41), NODE, hit(&[1], false))));
        // What hit something else, at another time or on another node explains nothing.
        assert!(after(&|ledger| ledger.rotten(at(41), NODE, hit(&[7], false))));
        assert!(after(&|ledger| ledger.rotten(at(39), NODE, hit(&[], true))));
        assert!(after(&|ledger| ledger.rotten(at(43), NODE, hit(&[], true))));
        assert!(after(&|ledger| ledger.rotten(at(41), NodeNumber(2), hit(&[], true))));
        // What met only bodies that were filed explains nothing of one that was not, not even on every node.
        let mut ledger = DamageLedger::default();
        for node in [NODE, NodeNumber(1)] {
            ledger.rotten(at(41), node, hit(&[7], false));
        }
        assert!(ledger.left_some(&write) && ledger.is_intact(NODE, &write));
        // Nor is the copy counted twice that was hit and then taken.
        assert!(after(&|ledger| ledger.rotten(at(41), NodeNumber(1), hit(&[], true))));
    }

    #[test]
    fn what_comes_back_on_its_disk_was_never_lost() {
        let write = replicated(1, 40, 41, 2);
        let mut ledger = DamageLedger::default();
        ledger.took(taken(1, 50, 0, false), BTreeMap::new());
        ledger.took(taken(1, 60, 1, true), none_left(1, 2));
        let streams = BTreeSet::from([STREAM]);
        assert!(!ledger.left_some(&write));
        assert!(ledger.buried(&streams, None, at(0)).is_forgotten);
        let records = BTreeMap::from([(STREAM, stamp(1))]);
        ledger.returned(&disk(0), &BTreeSet::from([stamp(1)]), &records);
        assert!(ledger.left_some(&write));
        let left = ledger.buried(&streams, None, at(0));
        assert_eq!(
            (left.taken, left.is_forgotten),
            (1, false),
            "that of the other disk stays taken"
        );
        ledger.took(taken(1, 70, 2, true), none_left(1, 2));
        assert!(!ledger.left_some(&write), "two again, and none left");
    }

    #[test]
    fn a_delete_is_forgotten_when_its_last_record_is_taken_and_by_nothing_older_or_earlier() {
        let (streams, delete) = (BTreeSet::from([STREAM]), stamp(5));
        let mut ledger = DamageLedger::default();
        ledger.took(taken(9, 50, 0, false), BTreeMap::new());
        let left = ledger.buried(&streams, Some(delete), at(40));
        assert_eq!((left.taken, left.is_forgotten), (1, false), "another one is left");
        ledger.took(taken(5, 60, 1, true), BTreeMap::new());
        let left = ledger.buried(&streams, Some(delete), at(40));
        assert!(!left.is_forgotten, "what lay below the delete tells nothing of it");
        ledger.took(taken(9, 70, 1, true), BTreeMap::new());
        let left = ledger.buried(&streams, Some(delete), at(40));
        assert_eq!((left.from.len(), left.taken, left.is_forgotten), (2, 2, true));
        assert!(!ledger.buried(&streams, Some(delete), at(80)).is_forgotten, "before the delete");
        assert!(!ledger.buried(&BTreeSet::new(), None, at(0)).is_forgotten, "of other streams");
    }

    #[test]
    fn the_last_of_a_stream_is_what_no_disk_has_so_new_any_more() {
        let mut ledger = DamageLedger::default();
        ledger.took(taken(5, 50, 0, false), BTreeMap::new());
        assert!(!ledger.took_last_of(&STREAM, stamp(5), at(0)), "another disk has it");
        ledger.took(taken(5, 60, 1, true), BTreeMap::new());
        assert!(
            ledger.took_last_of(&STREAM, stamp(5), at(0))
                && ledger.took_last_of(&STREAM, stamp(4), at(0))
        );
        assert!(!ledger.took_last_of(&STREAM, stamp(6), at(0)), "it never had that");
        assert!(!ledger.took_last_of(&[6; 16], stamp(5), at(0)), "of other streams");
        ledger.took(taken(9, 70, 2, false), none_left(9, 2));
        assert!(
            ledger.took_last_of(&[6; 16], stamp(9), at(0)),
            "nothing whole is left of that version"
        );
        let lost_since = |secs| ledger.took_last_of(&STREAM, stamp(5), at(secs));
        assert!(lost_since(60) && !lost_since(61), "what was lost before may have come again");
        assert!(!ledger.took_last_of(&[6; 16], stamp(9), at(71)));
    }

    #[test]
    fn a_rotten_journal_counts_from_the_next_stop() {
        let mut ledger = DamageLedger::default();
        let hit = Hit { versions: BTreeSet::new(), journal: true, unfiled: false };
        ledger.rotten(at(50), NODE, hit);
        assert!(ledger.is_intact(NODE, &write(2, 40, 41)));
        ledger.stops(at(70), NODE);
        assert!(!ledger.is_intact(NODE, &write(2, 40, 41)));
    }
}
