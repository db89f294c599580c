//! The health processor's decisions: facts in, actions with reasons out.
//!
//! Owns the facts of a visit (what is here, what the others report), and with its modules what follows from them:
//! [`visit`] decides what a visit does, [`spread`] where copies belong, [`leave`] when a copy may go, [`recovery`] when a
//! volume counts as lost, [`retire`] when a volume is given up. Nothing here asks, waits or erases.
//!
//! Two rules stand above all others. A copy is counted only on a fresh answer of the node that holds it, never on a hint.
//! A sound copy of the newest version goes only when its own holder has heard, after it began to refuse to vouch for it,
//! that enough others have theirs ([`leave`]). An answer that is lost therefore makes a copy too many, never one too few.

pub mod leave;
pub mod recovery;
pub mod retire;
pub mod spread;
#[cfg(test)]
mod testing;
pub mod visit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarm_types::{NodeId, ObjectKind, Stamp, Timestamp, VolumeId};

/// Label of the subcluster that a node belongs to (`node.subcluster`); nodes without one form a subcluster of their own.
pub type Subcluster = Arc<str>;

/// Where a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The node that has the volume.
    pub node: NodeId,
    /// The volume.
    pub volume: VolumeId,
}

/// What a node reports of one of its volumes under an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// The volume.
    pub volume: VolumeId,
    /// Version of the copy, or the delete's place among the versions.
    pub stamp: Stamp,
    /// What there is of it.
    pub form: CopyForm,
    /// How full the volume is, parts per thousand: of two surplus copies the one on the fuller volume goes.
    pub fullness: u16,
}

/// What there is of a version on a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyForm {
    /// A replica, as far as its node knows intact, on a volume in good order. The only form that counts.
    Sound,
    /// An intact replica on a retiring volume: a source, but it does not count.
    Retiring,
    /// An intact replica that its node is about to erase, if enough others exist: neither counts nor is vouched for.
    Leaving,
    /// A replica with a damaged block: it proves the version and serves nobody.
    Damaged,
    /// The memory of a delete.
    Tombstone {
        /// What was deleted.
        kind: ObjectKind,
        /// When it was written, by the clock of the node that did.
        written: Timestamp,
        /// Its volume is being emptied: it is about to be forgotten there.
        leaves: bool,
    },
}

/// One node's answer about an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who answers.
    pub node: NodeId,
    /// Its subcluster.
    pub subcluster: Subcluster,
    /// Everything that its volumes have filed under the id; no volume twice.
    pub copies: Vec<Copy>,
    /// What making a copy there would cost; `None` where it cannot take one, or was not asked. A node with a sound copy
    /// of the newest version that it knows does not bid.
    pub cost: Option<u64>,
}

/// The answers to one question to other nodes, and to this node itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Who answered, by node; the own node's report included.
    pub reports: BTreeMap<NodeId, Report>,
    /// Everybody was asked, not only the holders that were hinted at.
    pub everybody: bool,
    /// Nodes that were asked, are believed present, and have not answered.
    pub silent: BTreeSet<NodeId>,
}

impl Survey {
    /// Adds a report; a later one of the same node replaces the earlier.
    pub fn add(&mut self, report: Report) {
        self.silent.remove(&report.node);
        self.reports.insert(report.node, report);
    }

    /// Every copy that was reported, by place. A volume that two nodes report, because its disk has moved while the
    /// survey went on, is reported once: a copy that is counted twice may be the last one.
    #[must_use]
    pub fn copies(&self) -> Vec<(Place, Copy)> {
        let mut copies: Vec<(Place, Copy)> = Vec::with_capacity(self.reports.len());
        for report in self.reports.values() {
            for copy in &report.copies {
                if copies.iter().all(|(place, _)| place.volume != copy.volume) {
                    copies.push((Place { node: report.node, volume: copy.volume }, *copy));
                }
            }
        }
        copies
    }

    /// The newest stamp that anybody reports.
    #[must_use]
    pub fn newest(&self) -> Option<Stamp> {
        self.copies().iter().map(|(_, copy)| copy.stamp).max()
    }

    /// The copies of one version in one form.
    #[must_use]
    pub fn places(&self, stamp: Stamp, form: CopyForm) -> Vec<Place> {
        let copies = self.copies().into_iter();
        copies
            .filter(|(_, copy)| copy.stamp == stamp && copy.form == form)
            .map(|(place, _)| place)
            .collect()
    }

    /// Whether everybody who is believed present was asked and has answered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.everybody && self.silent.is_empty()
    }

    /// The subcluster of a node that has answered.
    #[must_use]
    pub fn subcluster(&self, node: NodeId) -> Option<&Subcluster> {
        self.reports.get(&node).map(|report| &report.subcluster)
    }
}
