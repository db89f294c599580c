//! The closest call of a run: the fewest usable copies that an acknowledged object ever had, which object and when.
//!
//! A copy is usable if its node is of the object's own cluster and runs, and no fault has damaged it. The number can fall at two moments only: when a write
//! is acknowledged, and when a fault takes a node or bytes away. At the first the answer's locations tell who holds it;
//! at the second the journals of all disks do, so that copies which nobody was told of count too. An object counts while
//! it is certain which version is the current one: from its acknowledgement until something that may take its place is sent.

use std::collections::BTreeMap;

use swarm_cluster::Image;
use swarm_types::{Instant, Stamp};

use crate::ledger::{Act, Entry, Ledger, ObjectNumber};
use crate::oracle::image::Volume;
use crate::reach::{NodeNumber, NodeSet, Reach};

/// An object with few usable copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClosestCall {
    pub(crate) copies: usize,
    /// How many it was acknowledged with.
    pub(crate) acknowledged: usize,
    pub(crate) object: ObjectNumber,
    pub(crate) at: Instant,
}

/// The closest call so far.
#[derive(Debug, Default)]
pub(crate) struct Closest {
    fewest: Option<ClosestCall>,
}

/// What the disks of running nodes hold of the versions that count.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// The nodes with an undamaged copy.
    holders: BTreeMap<Stamp, NodeSet>,
    /// Nodes with a disk of which nobody knows what is on it: what they hold is what answers said.
    unread: NodeSet,
}

impl Closest {
    pub(crate) fn fewest(&self) -> Option<ClosestCall> {
        self.fewest
    }

    /// True if no further look can find fewer.
    pub(crate) fn is_at_the_bottom(&self) -> bool {
        self.fewest.is_some_and(|call| call.copies == 0)
    }

    /// A write was acknowledged just now.
    pub(crate) fn acknowledged(
        &mut self,
        ledger: &Ledger,
        reach: &Reach,
        object: ObjectNumber,
        entry: usize,
        up: NodeSet,
    ) {
        let write = &ledger.object(object).history[entry];
        if current(ledger, object) == Some(entry) {
            let copies = by_answer(write, reach, up).len();
            self.note(object, write, copies, write.ended.unwrap_or(write.sent));
        }
    }

    /// A fault has taken a node or bytes away just now.
    pub(crate) fn look(
        &mut self,
        ledger: &Ledger,
        reach: &Reach,
        census: &Census,
        up: NodeSet,
        at: Instant,
    ) {
        for (object, write, stamp) in counting(ledger) {
            let told = by_answer(write, reach, up).and(census.unread);
            // Another cluster may have it as well, and does not help those that ask this one.
            let own = reach.all_of(&ledger.object(object).cluster).and(up);
            let read = census.holders.get(&stamp).copied().unwrap_or_default().and(own);
            self.note(object, write, told.or(read).len(), at);
        }
    }

    fn note(&mut self, object: ObjectNumber, write: &Entry, copies: usize, at: Instant) {
        if self.fewest.is_none_or(|call| copies < call.copies) {
            let acknowledged = write.holders().len();
            self.fewest = Some(ClosestCall { copies, acknowledged, object, at });
        }
    }
}

impl Census {
    /// Takes what is known to be on one disk of a running node.
    pub(crate) fn take(
        &mut self,
        node: NodeNumber,
        disk: &dyn Image,
        volume: &Volume,
        ledger: &Ledger,
        reach: &Reach,
    ) {
        let damage = reach.damage_around(node);
        let wanted: BTreeMap<Stamp, &Entry> =
            counting(ledger).map(|(_, write, stamp)| (stamp, write)).collect();
        for (stream, extent, stamp) in volume.versions() {
            let Some(write) = wanted.get(&stamp) else { continue };
            // A copy may have been made anew where the first one was destroyed: then its bytes say so.
            if damage.is_intact(node, write) || volume.is_whole(disk, stream, extent) {
                self.holders.entry(stamp).or_default().insert(node);
            }
        }
    }
}

impl Census {
    /// Nobody knows what is on a disk of this node.
    pub(crate) fn cannot_read(&mut self, node: NodeNumber) {
        self.unread.insert(node);
    }
}

/// The objects whose current version is certain, and that version.
fn counting(ledger: &Ledger) -> impl Iterator<Item = (ObjectNumber, &Entry, Stamp)> {
    ledger.numbers().filter_map(|number| {
        let write = &ledger.object(number).history[current(ledger, number)?];
        Some((number, write, write.write_stamp()?))
    })
}

/// The holders that an answer named, as far as they run and are undamaged.
fn by_answer(write: &Entry, reach: &Reach, up: NodeSet) -> NodeSet {
    let is_intact = |node: &&NodeNumber| reach.damage_around(**node).is_intact(**node, write);
    let intact = write.holders().iter().filter(is_intact);
    intact.copied().collect::<NodeSet>().and(up)
}

/// The write acknowledged in its own cluster that is certainly the current version; `None` if something else may have taken
/// its place.
fn current(ledger: &Ledger, object: ObjectNumber) -> Option<usize> {
    let history = ledger.history(object);
    let stamped = history.iter().enumerate();
    let (newest, write) = stamped
        .filter(|(_, entry)| entry.is_acknowledged() && entry.write_stamp().is_some())
        .max_by_key(|(_, entry)| entry.write_stamp())?;
    let lies_below = |other: &Entry| {
        let is_older = matches!(other.act, Act::Write { .. })
            && other.write_stamp().is_some_and(|other| Some(other) <= write.write_stamp());
        is_older || other.ended.is_some_and(|ended| ended <= write.sent)
    };
    let mut others = history.iter().enumerate().filter(|(number, _)| *number != newest);
    others.all(|(_, other)| !other.may_have_happened() || lies_below(other)).then_some(newest)
}

#[cfg(test)]
mod tests;
