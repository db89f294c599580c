//! The faults in force, as the ledger's judgements ask for them.

use std::collections::BTreeSet;

use swarm_types::Instant;

use crate::ledger::legal::{Scope, Window};
use crate::ledger::{Act, Entry, Ledger, ObjectNumber};
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
    /// It is a write of which some disk of the cluster must have a whole copy, wherever copies have moved since.
    somewhere: bool,
}

impl Faults {
    /// The scope of a read of `object` through `nodes`.
    pub(crate) fn of_read(
        ledger: &Ledger,
        reach: &Reach,
        object: ObjectNumber,
        nodes: &[NodeNumber],
        window: Window,
    ) -> Self {
        let reading = View::of(reach, nodes, window.started, window.ended);
        let object = ledger.object(object);
        let entries = object.history.iter().map(|entry| EntryFacts::of(reach, entry)).collect();
        let parents_in_reach = object.parents.iter().all(|parent| {
            let writes = ledger
                .object(*parent)
                .history
                .iter()
                .filter(|entry| entry.ended.is_some_and(|ended| ended <= window.started));
            writes
                .map(|entry| EntryFacts::of(reach, entry))
                .any(|facts| facts.is_seen_from(reading))
        });
        let may_have_ended = |entry: &Entry| match entry.act {
            Act::Write { content, .. } => ledger.may_have_ended(object, content, window.ended),
            Act::Delete => false,
        };
        let numbered = object.history.iter().enumerate();
        let ended = numbered.filter(|(_, entry)| may_have_ended(entry)).map(|(n, _)| n).collect();
        Self { reading, parents_in_reach, entries, ended }
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

    /// For judgements in which nobody reads.
    pub(crate) fn of_nobody(reach: &Reach, history: &[Entry]) -> Self {
        let entries = history.iter().map(|entry| EntryFacts::of(reach, entry)).collect();
        Self { reading: View::default(), parents_in_reach: false, entries, ended: BTreeSet::new() }
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
    fn of(reach: &Reach, nodes: &[NodeNumber], from: Instant, to: Instant) -> Self {
        let Some(first) = nodes.first() else { return Self::default() };
        let in_reach = nodes
            .iter()
            .map(|node| reach.always(*node, from, to))
            .fold(reach.whole(*first), NodeSet::and);
        Self { in_reach, all: in_reach == reach.whole(*first) }
    }
}

impl EntryFacts {
    fn of(reach: &Reach, entry: &Entry) -> Self {
        let ended = entry.ended.unwrap_or(Instant(u64::MAX));
        let view = View::of(reach, &entry.nodes, entry.sent, ended);
        let intact = reach.intact(entry);
        let somewhere = reach.damage.left_some(entry);
        if matches!(entry.act, Act::Write { .. }) {
            let holders: NodeSet = entry.holders().iter().copied().collect();
            let holders = if somewhere { holders.and(intact) } else { NodeSet::default() };
            let missing_max = holders.len().saturating_sub(1);
            return Self { view, holders, missing_max, somewhere };
        }
        let possible = entry
            .nodes
            .last()
            .map_or_else(NodeSet::default, |node| reach.ever(*node, entry.sent, ended));
        let certain = entry
            .nodes
            .last()
            .map_or(0, |node| reach.always(*node, entry.sent, ended).len().min(TOMBSTONES_MIN));
        let damaged = possible.without(intact).len();
        if certain <= damaged {
            // All tombstones may be among what was damaged, or nobody knows that there are any.
            return Self { view, holders: NodeSet::default(), missing_max: 0, somewhere };
        }
        let missing_max = certain - damaged - 1;
        Self { view, holders: possible.and(intact), missing_max, somewhere }
    }

    /// True if somebody who reaches these nodes must find what the operation left.
    fn is_seen_from(&self, view: View) -> bool {
        let named =
            self.holders.len() > 0 && self.holders.without(view.in_reach).len() <= self.missing_max;
        named || (self.somewhere && view.all)
    }
}
