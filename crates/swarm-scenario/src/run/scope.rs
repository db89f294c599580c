//! The faults in force, as the ledger's judgements ask for them.

use std::collections::BTreeSet;

use swarm_types::Instant;

use crate::ledger::legal::{Scope, Window};
use crate::ledger::{Entry, Ledger, ObjectNumber};
use crate::reach::{NodeNumber, Reach};

/// Where a delete is acknowledged, at least so many nodes hold its tombstone if so many could be reached (our choice).
const TOMBSTONES_MIN: usize = 2;

/// What could be reached by whoever was asked, in a window of time.
pub(crate) struct Faults<'a> {
    reach: &'a Reach,
    /// Nodes that every node asked could reach all the time.
    in_reach: BTreeSet<NodeNumber>,
    /// The object's bucket and domain could be found.
    parents_in_reach: bool,
}

impl<'a> Faults<'a> {
    /// The scope of a read of `object` through `nodes`.
    pub(crate) fn of_read(ledger: &Ledger, reach: &'a Reach, object: ObjectNumber, nodes: &[NodeNumber], window: Window) -> Self {
        let in_reach = in_reach(reach, nodes, window.started, window.ended);
        let mut faults = Self { reach, in_reach, parents_in_reach: true };
        faults.parents_in_reach = ledger.object(object).parents.iter().all(|parent| {
            let mut writes = ledger.object(*parent).history.iter();
            writes.any(|entry| entry.ended.is_some_and(|ended| ended <= window.started) && faults.holder_in_reach(entry))
        });
        faults
    }

    /// For judgements in which nobody reads.
    pub(crate) fn of_nobody(reach: &'a Reach) -> Self {
        Self { reach, in_reach: BTreeSet::new(), parents_in_reach: false }
    }

    fn holder_in_reach(&self, write: &Entry) -> bool {
        holds_any(self.reach, write, &self.in_reach)
    }
}

impl Scope for Faults<'_> {
    fn sees_write(&self, write: &Entry) -> bool {
        self.parents_in_reach && self.holder_in_reach(write)
    }

    fn sees_delete(&self, delete: &Entry) -> bool {
        tombstone_in(self.reach, delete, &self.in_reach)
    }

    fn knew(&self, later: &Entry, earlier: &Entry) -> bool {
        let Some(ended) = later.ended else { return false };
        let in_reach = in_reach(self.reach, &later.nodes, later.sent, ended);
        match earlier.act {
            crate::ledger::Act::Write { .. } => holds_any(self.reach, earlier, &in_reach),
            crate::ledger::Act::Delete => tombstone_in(self.reach, earlier, &in_reach),
        }
    }
}

fn in_reach(reach: &Reach, nodes: &[NodeNumber], from: Instant, to: Instant) -> BTreeSet<NodeNumber> {
    let mut nodes = nodes.iter().map(|node| reach.always(*node, from, to));
    let first = nodes.next().unwrap_or_default();
    nodes.fold(first, |all, one| &all & &one)
}

/// True if one of these nodes holds an intact copy of an acknowledged write.
fn holds_any(reach: &Reach, write: &Entry, nodes: &BTreeSet<NodeNumber>) -> bool {
    // Damage may come while the write is under way, so its sending is what counts.
    write.holders().iter().any(|holder| nodes.contains(holder) && reach.is_intact(*holder, write.sent))
}

/// True if one of these nodes must hold the tombstone of an acknowledged delete: so few of those that could have it are
/// missing that not all its holders can be among them.
fn tombstone_in(reach: &Reach, delete: &Entry, nodes: &BTreeSet<NodeNumber>) -> bool {
    let (Some(node), Some(ended)) = (delete.nodes.last(), delete.ended) else { return false };
    let certain = reach.always(*node, delete.sent, ended).len().min(TOMBSTONES_MIN);
    let possible = reach.ever(*node, delete.sent, ended);
    let missing = possible.iter().filter(|holder| !nodes.contains(holder) || !reach.is_intact(**holder, delete.sent));
    missing.count() < certain
}
