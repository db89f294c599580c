//! The faults in force, as the ledger's judgements ask for them.

use std::collections::BTreeSet;

use swarm_types::{Instant, Stamp};

use super::copies::Known;
use super::{Run, lock};
use crate::damage::{Buried, DamageLedger};
use crate::ledger::legal::{Scope, Window};
use crate::ledger::{Act, Entry, Ledger, Object, ObjectNumber, Outcome};
use crate::oracle::image::Id;
use crate::reach::{NodeNumber, NodeSet, Reach};

/// Where a delete is acknowledged, at least so many nodes hold its tombstone if so many could be reached (our choice).
const TOMBSTONES_MIN: usize = 2;

/// What could be reached by whoever carried out the operations of a history, and by whoever reads.
pub(crate) struct Faults {
    /// What the read could reach all the time.
    reading: View,
    parents_in_reach: bool,
    entries: Vec<EntryFacts>,
    /// The writes that their lifepoints may have ended.
    ended: BTreeSet<usize>,
    /// The nodes of the cluster.
    cluster: NodeSet,
}

/// The nodes that somebody could reach all the time.
#[derive(Debug, Clone, Copy, Default)]
struct View {
    in_reach: NodeSet,
    /// They are all nodes of the cluster.
    all: bool,
}

/// What is known of one entry.
#[derive(Debug, Clone, Copy)]
struct EntryFacts {
    /// What it could reach itself.
    view: View,
    /// The nodes that have what it left, if it is a write, or may have it, if it is a delete; damaged ones left out.
    holders: NodeSet,
    /// So many of them may be out of reach before it can be missed: none of a write's holders needs to be in reach
    /// beyond one; a delete's tombstones are on some nodes, nobody knows which.
    missing_max: usize,
    /// Some disk of the cluster must have a whole copy of what was written, wherever copies have moved since, or a
    /// record of the delete.
    somewhere: bool,
}

/// The streams that the versions of an object are filed under, as far as disks tell now. It takes a look at all of them, which
/// is for those who are about to complain.
pub(crate) fn streams(run: &Run, object: ObjectNumber, seen: Option<Stamp>) -> BTreeSet<Id> {
    let (cluster, mut stamps): (String, BTreeSet<Stamp>) = {
        let ledger = lock(&run.ledger);
        let stamps = ledger.history(object).iter().filter_map(Entry::write_stamp).collect();
        (ledger.object(object).cluster.clone(), stamps)
    };
    stamps.extend(seen);
    let (known, mut streams) = (Known::of(run), BTreeSet::new());
    for disk in known.on(run, run.world.nodes(&cluster)) {
        let versions = disk.volume.versions();
        streams.extend(versions.filter(|(.., stamp)| stamps.contains(stamp)).map(|(id, ..)| *id));
    }
    streams
}

impl Faults {
    /// The scope of a read of `object` through `nodes`. Of the deletes under these streams it is known whether faults made
    /// them forgotten; without any, that is never so.
    pub(crate) fn of_read(
        ledger: &Ledger,
        reach: &Reach,
        object: ObjectNumber,
        nodes: &[NodeNumber],
        window: Window,
        streams: &BTreeSet<Id>,
    ) -> Self {
        let reading = View::of(reach, nodes, window.started, window.ended);
        let history = ledger.history(object);
        let Object { cluster, parents, .. } = ledger.object(object);
        let entries = facts(reach, cluster, &history, streams);
        let is_done = |entry: &Entry| entry.ended.is_some_and(|ended| ended <= window.started);
        // Whoever could write in a context that came from elsewhere had it.
        let were_there = history
            .iter()
            .any(|entry| entry.is_acknowledged() && is_done(entry) && is_write(entry));
        let is_found = |parent: &ObjectNumber| {
            let parent = ledger.history(*parent);
            let facts = facts(reach, cluster, &parent, &BTreeSet::new());
            parent.iter().zip(facts).any(|(entry, facts)| {
                let came = were_there && matches!(entry.outcome, Outcome::Elsewhere { .. });
                is_write(entry) && (came || is_done(entry)) && facts.is_seen_from(reading)
            })
        };
        let parents_in_reach = parents.iter().all(is_found);
        let may_have_ended = |entry: &Entry| match entry.act {
            Act::Write { content, .. } => ledger.may_have_ended(object, content, window.ended),
            Act::Delete => false,
        };
        let numbered = history.iter().enumerate();
        let ended = numbered.filter(|(_, entry)| may_have_ended(entry)).map(|(n, _)| n).collect();
        Self { reading, parents_in_reach, entries, ended, cluster: reach.all_of(cluster) }
    }

    /// The nodes of the cluster that is judged.
    pub(crate) const fn cluster(&self) -> NodeSet {
        self.cluster
    }

    /// What the read could reach all the time; `None` where that was the whole cluster.
    pub(crate) fn in_reach(&self) -> Option<NodeSet> {
        (!self.reading.all).then_some(self.reading.in_reach)
    }

    /// What whoever carried out an operation could reach all the time; `None` where that was the whole cluster.
    pub(crate) fn in_reach_of(&self, entry: usize) -> Option<NodeSet> {
        let view = self.entries[entry].view;
        (!view.all).then_some(view.in_reach)
    }

    /// For judgements in which nobody reads; streams as in [`Self::of_read`].
    pub(crate) fn of_nobody(
        ledger: &Ledger,
        reach: &Reach,
        object: ObjectNumber,
        streams: &BTreeSet<Id>,
    ) -> Self {
        let of = &ledger.object(object).cluster;
        let entries = facts(reach, of, &ledger.history(object), streams);
        let (reading, cluster) = (View::default(), reach.all_of(of));
        Self { reading, parents_in_reach: false, entries, ended: BTreeSet::new(), cluster }
    }
}

impl Scope for Faults {
    fn sees(&self, entry: usize) -> bool {
        self.parents_in_reach && self.entries[entry].is_seen_from(self.reading)
    }

    fn sees_all(&self) -> bool {
        self.reading.all
    }

    fn knew(&self, later: usize, earlier: usize) -> bool {
        self.entries[earlier].is_seen_from(self.entries[later].view)
    }

    fn knew_all(&self, later: usize) -> bool {
        self.entries[later].view.all
    }

    fn may_have_ended(&self, write: usize) -> bool {
        self.ended.contains(&write)
    }
}

impl View {
    /// What whoever carried out an operation could reach.
    fn by(reach: &Reach, entry: &Entry) -> Self {
        Self::of(reach, &entry.nodes, entry.sent, entry.ended.unwrap_or(Instant(u64::MAX)))
    }

    fn of(reach: &Reach, nodes: &[NodeNumber], from: Instant, to: Instant) -> Self {
        let Some(first) = nodes.first() else { return Self::default() };
        let in_reach = nodes
            .iter()
            .map(|node| reach.always(*node, from, to))
            .fold(reach.whole(*first), NodeSet::and);
        Self { in_reach, all: in_reach == reach.whole(*first) }
    }
}

fn is_write(entry: &Entry) -> bool {
    matches!(entry.act, Act::Write { .. })
}

/// What is known of the entries of one history in a cluster.
fn facts(
    reach: &Reach,
    cluster: &str,
    history: &[Entry],
    streams: &BTreeSet<Id>,
) -> Vec<EntryFacts> {
    let damage = reach.damage(cluster);
    let lost = |entry: &&Entry| entry.write_stamp().is_some() && !damage.left_some(entry);
    // What a lost version took the place of was dropped for its sake.
    let lost = history.iter().filter(lost).filter_map(Entry::write_stamp).max();
    let of_delete = |entry: &Entry| {
        // What it lies above tells nothing of it.
        let before =
            history.iter().filter(|other| other.ended.is_some_and(|ended| ended <= entry.sent));
        let below = before.filter_map(Entry::write_stamp).max();
        let left = damage.buried(streams, below, entry.sent);
        let facts = EntryFacts::of_delete(reach, entry, left);
        let is_forgotten = left.is_forgotten && !facts.somewhere;
        (facts, below.filter(|_| is_forgotten))
    };
    // What a delete took was dropped for its sake, and stays so when a fault has made it forgotten.
    let deletes =
        history.iter().filter(|entry| entry.act == Act::Delete && entry.is_acknowledged());
    let forgotten = deletes.filter_map(|entry| of_delete(entry).1).max();
    let of = |entry: &Entry| match entry.act {
        Act::Write { .. } => {
            let stamp = entry.write_stamp();
            let is_dropped = stamp < lost || stamp.is_some() && stamp <= forgotten;
            EntryFacts::of_write(reach, damage, entry, is_dropped)
        }
        Act::Delete => of_delete(entry).0,
    };
    history.iter().map(of).collect()
}

impl EntryFacts {
    fn of_write(reach: &Reach, damage: &DamageLedger, entry: &Entry, is_dropped: bool) -> Self {
        let view = View::by(reach, entry);
        let somewhere = damage.left_some(entry) && !is_dropped;
        let holders: NodeSet = entry.holders().iter().copied().collect();
        let holders = if somewhere { holders.and(reach.intact(entry)) } else { NodeSet::default() };
        Self { view, holders, missing_max: holders.len().saturating_sub(1), somewhere }
    }

    fn of_delete(reach: &Reach, entry: &Entry, left: Buried) -> Self {
        let view = View::by(reach, entry);
        let ended = entry.ended.unwrap_or(Instant(u64::MAX));
        let Some(node) = entry.nodes.last() else {
            return Self { view, holders: NodeSet::default(), missing_max: 0, somewhere: false };
        };
        let certain = reach.always(*node, entry.sent, ended).len().min(TOMBSTONES_MIN);
        // A fault that took the last record excuses nobody who had dropped the others.
        let somewhere = certain > 0 && !(left.is_forgotten && left.taken >= certain);
        if certain <= left.taken {
            // All tombstones may be among what was taken, or nobody knows that there are any.
            return Self { view, holders: NodeSet::default(), missing_max: 0, somewhere };
        }
        let holders = reach.ever(*node, entry.sent, ended).without(left.from);
        Self { view, holders, missing_max: certain - left.taken - 1, somewhere }
    }

    /// True if somebody who reaches these nodes must find what the operation left.
    fn is_seen_from(&self, view: View) -> bool {
        let named =
            self.holders.len() > 0 && self.holders.without(view.in_reach).len() <= self.missing_max;
        named || (self.somewhere && view.all)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use swarm_cluster::NodeRef;
    use swarm_types::{Etag, Version};

    use super::*;
    use crate::damage::Taken;
    use crate::ledger::legal::{Illegal, Seen, judge};

    const STREAM: Id = [5; 16];

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    fn stamp(version: u64) -> Stamp {
        Stamp { version: Version(version), etag: Etag::from_bytes([1; 16]) }
    }

    /// A cluster of five nodes and the history of one object.
    struct Story {
        ledger: Ledger,
        reach: Reach,
        object: ObjectNumber,
    }

    impl Story {
        fn new() -> Self {
            let node = |node| NodeRef { cluster: "main".to_owned(), node };
            let mut ledger = Ledger::new(1);
            let object = ledger.add(Object::new("a", "main", Some("/a".to_owned())));
            let other = NodeRef { cluster: "dr".to_owned(), node: 1 };
            let nodes = (1..=5).map(node).chain([other]).collect();
            Self { ledger, reach: Reach::new(nodes), object }
        }

        fn ended(&mut self, act: Act, secs: u64, outcome: Outcome) {
            let entry = self.ledger.sent(self.object, act, at(secs), NodeNumber(2));
            self.ledger.ended(self.object, entry, at(secs + 1), Vec::new(), outcome);
        }

        fn write(&mut self, content: u32, version: u64, secs: u64) {
            let (stamp, holders) = (Some(stamp(version)), vec![NodeNumber(0), NodeNumber(1)]);
            let outcome = Outcome::Acknowledged { stamp, holders, replicas: 2 };
            self.ended(Act::Write { content, length: 1 }, secs, outcome);
        }

        fn delete(&mut self, secs: u64) {
            let outcome = Outcome::Acknowledged { stamp: None, holders: Vec::new(), replicas: 0 };
            self.ended(Act::Delete, secs, outcome);
        }

        /// A fault takes what a disk of this node has of this version: the last of it, or not.
        fn take(&mut self, node: usize, version: u64, secs: u64, is_last: bool) {
            let records = BTreeMap::from([(STREAM, stamp(version))]);
            let (last, gone) = match is_last {
                true => (records.clone(), BTreeMap::from([(stamp(version), 2)])),
                false => (BTreeMap::new(), BTreeMap::new()),
            };
            let copies = BTreeSet::from([stamp(version)]);
            let (node, at) = (NodeNumber(node), at(secs));
            let taken = Taken { node, at, disk: None, copies, records, last };
            self.reach.damage_mut(node).took(taken, gone);
        }

        fn judged(&self, seen: Seen) -> Result<(), Illegal> {
            let window = Window { started: at(900), ended: at(901) };
            let (nodes, streams) = ([NodeNumber(3)], BTreeSet::from([STREAM]));
            let (ledger, reach) = (&self.ledger, &self.reach);
            let scope = Faults::of_read(ledger, reach, self.object, &nodes, window, &streams);
            judge(&ledger.object(self.object).history, window, &scope, seen)
        }
    }

    const OLD: fn() -> Seen = || Seen::Content { content: 1, stamp: stamp(10) };

    #[test]
    fn a_delete_counts_however_many_disks_are_lost_while_one_remembers_it() {
        let mut story = Story::new();
        story.write(1, 10, 1);
        story.delete(3);
        for (node, secs) in [(0, 10), (1, 20), (2, 30)] {
            story.take(node, 20, secs, false);
        }
        assert_eq!(story.judged(OLD()), Err(Illegal::Resurrected { delete: 1 }));
        story.take(3, 20, 40, true);
        assert_eq!(story.judged(OLD()), Ok(()), "nobody knows of it any more");
    }

    #[test]
    fn what_a_forgotten_delete_took_nobody_need_have_any_more_and_an_older_version_may_be_seen() {
        let mut story = Story::new();
        story.write(1, 10, 1);
        story.write(2, 20, 3);
        assert_eq!(story.judged(OLD()), Err(Illegal::Stale { newer: 1 }));
        story.delete(5);
        story.take(0, 30, 10, false);
        assert_eq!(story.judged(OLD()), Err(Illegal::Resurrected { delete: 2 }));
        story.take(1, 30, 20, true);
        assert_eq!(story.judged(OLD()), Ok(()), "a node that had never heard of the rest has it");
    }

    #[test]
    fn a_fault_that_takes_the_last_record_of_a_delete_excuses_nobody_who_had_dropped_the_other() {
        let mut story = Story::new();
        story.write(1, 10, 1);
        story.delete(3);
        story.take(0, 20, 10, true);
        assert_eq!(story.judged(OLD()), Err(Illegal::Resurrected { delete: 1 }));
        story.take(1, 10, 20, true);
        let told = story.judged(OLD());
        assert_eq!(told, Err(Illegal::Resurrected { delete: 1 }), "that was what it deleted");
    }

    #[test]
    fn what_another_cluster_loses_excuses_nobody_and_what_it_has_saves_nothing() {
        let mut story = Story::new();
        story.write(1, 10, 1);
        // As if the other cluster had copies of the same version, and lost them.
        let there = NodeNumber(5);
        let taken = |node, secs, last| Taken {
            node,
            at: at(secs),
            disk: None,
            copies: BTreeSet::from([stamp(10)]),
            records: BTreeMap::from([(STREAM, stamp(10))]),
            last: if last { BTreeMap::from([(STREAM, stamp(10))]) } else { BTreeMap::new() },
        };
        let gone = BTreeMap::from([(stamp(10), 1)]);
        story.reach.damage_mut(there).took(taken(there, 10, true), gone.clone());
        assert_eq!(story.judged(Seen::Absent), Err(Illegal::Lost { write: 0 }));
        let here = NodeNumber(0);
        story.reach.damage_mut(here).took(taken(here, 20, true), gone);
        assert_eq!(story.judged(Seen::Absent), Ok(()));
    }

    #[test]
    fn what_a_lost_version_had_replaced_is_not_demanded() {
        let mut story = Story::new();
        story.write(1, 10, 1);
        story.write(2, 20, 3);
        story.take(0, 20, 10, false);
        assert_eq!(story.judged(OLD()), Err(Illegal::Stale { newer: 1 }));
        assert_eq!(story.judged(Seen::Absent), Err(Illegal::Lost { write: 1 }));
        story.take(1, 20, 20, true);
        assert_eq!(story.judged(OLD()), Ok(()), "perhaps somebody had kept it");
        assert_eq!(story.judged(Seen::Absent), Ok(()));
    }
}
