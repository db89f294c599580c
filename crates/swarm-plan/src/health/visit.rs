//! What one visit to one stream does.
//!
//! Owns the decision from the answers of a survey to actions: is the copy here still of use, are there too few copies, too
//! many, are they spread as they should be, may a retiring volume let go of its own (Brief Explanation of What Swarm's
//! Health Processor Does; Health Processor and Replication Multicast Frequency). Eager to create, reluctant to trim.

use std::collections::{BTreeMap, BTreeSet};

use swarm_types::{Etag, NodeId, ObjectKind, Stamp, StreamId, Timestamp, Version, VolumeId};

use super::spread::{Candidate, Counts, choose};
use super::{Copy, CopyForm, Place, Subcluster, Survey};
use crate::bids::{node_turn, stream_draw};

/// Copies that a retiring volume insists on where more cannot be made (Retiring Hardware: room for at least two replicas).
const RETIRING_FLOOR: u32 = 2;

/// What a visit to a replica knows.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The stream.
    pub id: StreamId,
    /// The replica that is visited.
    pub here: Place,
    /// Its version.
    pub stamp: Stamp,
    /// How it is, as just verified: sound, retiring or damaged.
    pub form: CopyForm,
    /// How many copies there must be.
    pub wanted: u32,
    /// The answers, this node's own included.
    pub survey: &'a Survey,
    /// Volumes that were known to hold a copy, are not there, and are expected back: their copies are not made anew.
    pub away: &'a BTreeSet<VolumeId>,
    /// Nodes that are present and take copies, and their subclusters; this node too, if it takes copies.
    pub takers: &'a BTreeMap<NodeId, Subcluster>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The hinted holders' answers do not settle it: ask everybody, then decide again.
    AskEverybody(Why),
    /// Something newer exists: the replica here goes.
    Supersede(Newer),
    /// Have a copy made there, by that node.
    Make {
        /// Which node; it may be this one.
        at: NodeId,
        /// What for.
        why: Why,
    },
    /// Ask the holder of this surplus copy to look for itself, and to erase it. It may be the replica here.
    Trim {
        /// The copy.
        victim: Place,
        /// How many must be left.
        wanted: u32,
        /// Where they are.
        others: Vec<Place>,
        /// What for.
        why: Why,
    },
    /// Erase the damaged replica here: sound ones have answered.
    DropDamaged {
        /// There are too few of them, and the room is wanted for another one: only if its bytes are wrong. What a disk only
        /// cannot read for a while may be the last copy one day.
        too_few: bool,
    },
    /// Tell the operator.
    Tell(Trouble),
}

/// Why something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Too few copies.
    Missing,
    /// Too many.
    Surplus,
    /// Too many in one subcluster, too few in another.
    Spread,
    /// The replica here is on a retiring volume.
    Retiring,
    /// The replica here is damaged.
    Damaged,
}

/// What makes a replica obsolete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newer {
    /// A newer version.
    Version(Stamp),
    /// A delete, which is to be remembered here too.
    Tombstone {
        /// The delete's place among the versions.
        stamp: Stamp,
        /// What was deleted.
        kind: ObjectKind,
        /// When the tombstone was written, by the clock of the node that did.
        written: Timestamp,
    },
}

/// What a visit cannot put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No sound copy is left: what there is stays where it is.
    NoneSound,
    /// Fewer copies than wanted, and no node that could take another.
    TooFew {
        /// Sound copies on different nodes.
        have: u32,
        /// How many there must be.
        wanted: u32,
    },
}

impl Facts<'_> {
    /// Whether anything that this visit does next depends on nodes that were not asked.
    fn ask(&self, why: Why) -> Option<Vec<Action>> {
        (!self.survey.everybody).then(|| vec![Action::AskEverybody(why)])
    }

    /// The copies that count, one for each node.
    fn sound(&self) -> BTreeMap<NodeId, Subcluster> {
        let nodes =
            self.survey.places(self.stamp, CopyForm::Sound).into_iter().map(|place| place.node);
        nodes.filter_map(|node| Some((node, self.survey.subcluster(node)?.clone()))).collect()
    }

    /// How many copies are waited for. A volume that has answered is back, whatever else is known of it: its copy counts
    /// by what it says, and not a second time.
    fn away(&self) -> u32 {
        let answered: BTreeSet<VolumeId> =
            self.survey.copies().into_iter().map(|(place, _)| place.volume).collect();
        count(self.away.difference(&answered).count())
    }

    /// Intact copies whose holders can deliver.
    fn has_source(&self) -> bool {
        let intact = |copy: &Copy| {
            copy.stamp == self.stamp
                && matches!(copy.form, CopyForm::Sound | CopyForm::Retiring | CopyForm::Leaving)
        };
        self.survey.copies().iter().any(|(_, copy)| intact(copy))
    }

    fn candidates(&self) -> Vec<Candidate> {
        let reports = self.survey.reports.values();
        reports
            .filter_map(|report| {
                let (node, subcluster) = (report.node, report.subcluster.clone());
                // Two visitors of the same stream come to the same node, those of different streams to all.
                let turn = node_turn(stream_draw(self.id), node);
                Some(Candidate { node, subcluster, cost: report.cost?, turn })
            })
            .collect()
    }
}

/// What to do about a replica. Empty where nothing is to be done. Carried out and decided again on fresh answers, it ends
/// with nothing to do, as long as nothing else happens and orders are obeyed.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Vec<Action> {
    if let Some(newer) = newer(facts) {
        return vec![Action::Supersede(newer)];
    }
    if facts.survey.newest() > Some(facts.stamp) {
        // Nothing of the newer version is sound: the older one is kept as it is, in case that is all that is left.
        return vec![Action::Tell(Trouble::NoneSound)];
    }
    let sound = facts.sound();
    let have = count(sound.len());
    if !facts.has_source() {
        return facts.ask(Why::Damaged).unwrap_or_else(|| vec![Action::Tell(Trouble::NoneSound)]);
    }
    if have + facts.away() < facts.wanted {
        return missing(facts, &sound);
    }
    match facts.form {
        CopyForm::Damaged if have >= facts.wanted => {
            return vec![Action::DropDamaged { too_few: false }];
        }
        CopyForm::Retiring if have >= facts.wanted => {
            return vec![trim(facts, facts.here, facts.wanted, Why::Retiring)];
        }
        _ => {}
    }
    if let Some(uneven) = uneven(facts, &sound) {
        return uneven;
    }
    surplus(facts).into_iter().collect()
}

/// What is newer than the replica here, if anything is that holds.
fn newer(facts: &Facts<'_>) -> Option<Newer> {
    let copies = facts.survey.copies().into_iter().map(|(_, copy)| copy);
    // A newer version of which no intact copy has answered must not cost the older one.
    let holds = copies.filter(|copy| copy.stamp > facts.stamp && copy.form != CopyForm::Damaged);
    let newest = holds.max_by_key(|copy| copy.stamp)?;
    Some(match newest.form {
        CopyForm::Tombstone { kind, written, .. } => {
            Newer::Tombstone { stamp: newest.stamp, kind, written }
        }
        _ => Newer::Version(newest.stamp),
    })
}

/// Too few copies on different nodes.
fn missing(facts: &Facts<'_>, sound: &BTreeMap<NodeId, Subcluster>) -> Vec<Action> {
    if let Some(ask) = facts.ask(Why::Missing) {
        return ask;
    }
    let have = count(sound.len());
    let lacking = facts.wanted.saturating_sub(have + facts.away());
    let why = match facts.form {
        CopyForm::Damaged => Why::Damaged,
        CopyForm::Retiring => Why::Retiring,
        _ => Why::Missing,
    };
    let chosen = choose(sound, &facts.candidates(), usize::try_from(lacking).unwrap_or(usize::MAX));
    let mut actions: Vec<Action> =
        chosen.iter().map(|node| Action::Make { at: *node, why }).collect();
    if count(chosen.len()) == lacking {
        return actions;
    }
    let achievable = have + count(chosen.len());
    // Nobody can take one more, and nobody who might has kept silent.
    if chosen.is_empty() && facts.survey.is_complete() {
        match facts.form {
            CopyForm::Damaged if have > 0 => actions.push(Action::DropDamaged { too_few: true }),
            CopyForm::Retiring if have >= facts.wanted.min(RETIRING_FLOOR) => {
                actions.push(trim(facts, facts.here, have, why));
            }
            _ => {}
        }
    }
    actions.push(Action::Tell(Trouble::TooFew { have: achievable, wanted: facts.wanted }));
    actions
}

/// Enough copies, but too many of them in one subcluster.
fn uneven(facts: &Facts<'_>, sound: &BTreeMap<NodeId, Subcluster>) -> Option<Vec<Action>> {
    let could: BTreeMap<NodeId, Subcluster> = facts
        .takers
        .iter()
        .filter(|(node, _)| !sound.contains_key(node))
        .map(|(node, subcluster)| (*node, subcluster.clone()))
        .collect();
    let counts = Counts::new(sound.values(), could.values());
    let poor = counts.poor();
    // Where there is a copy too many anyway, it goes first, and from the richest; where one is waited for, it may well be
    // the one that is missed here.
    if poor.is_empty() || count(sound.len()) > facts.wanted || facts.away() > 0 {
        return None;
    }
    if let Some(ask) = facts.ask(Why::Spread) {
        return Some(ask);
    }
    let mut candidates = facts.candidates();
    candidates.retain(|candidate| poor.contains(&candidate.subcluster));
    let chosen = choose(sound, &candidates, 1);
    let make = |node: &NodeId| vec![Action::Make { at: *node, why: Why::Spread }];
    chosen.first().map(make)
}

/// Too many copies: one of them goes. Only what everybody said shows it; hints show that there are enough.
fn surplus(facts: &Facts<'_>) -> Option<Action> {
    if !facts.survey.everybody {
        return None;
    }
    let all: Vec<(Place, Copy)> = facts
        .survey
        .copies()
        .into_iter()
        .filter(|(_, copy)| copy.stamp == facts.stamp && copy.form == CopyForm::Sound)
        .collect();
    if count(all.len()) <= facts.wanted {
        return None;
    }
    let by_node = |node| all.iter().filter(|(place, _)| place.node == node).count();
    let mut nodes: BTreeMap<NodeId, &Subcluster> = BTreeMap::new();
    for (place, _) in &all {
        nodes.insert(place.node, facts.survey.subcluster(place.node)?);
    }
    if count(nodes.len()) < facts.wanted {
        return None;
    }
    let counts = Counts::new(nodes.values().copied(), []);
    let worth = |(place, copy): &&(Place, Copy)| {
        let subcluster = nodes.get(&place.node).map_or(0, |name| counts.of(name));
        (by_node(place.node) > 1, subcluster, copy.fullness, place.volume)
    };
    let (victim, _) = all.iter().max_by_key(worth)?;
    Some(trim(facts, *victim, facts.wanted, Why::Surplus))
}

fn trim(facts: &Facts<'_>, victim: Place, wanted: u32, why: Why) -> Action {
    let mut others = facts.survey.places(facts.stamp, CopyForm::Sound);
    others.retain(|place| place.volume != victim.volume);
    Action::Trim { victim, wanted, others, why }
}

/// What the replica here should remember of the others: the volumes whose copies have just been vouched for and, as long
/// as those are too few, the ones that it remembered before and that are not there to ask.
#[must_use]
pub fn hints(facts: &Facts<'_>, before: &[VolumeId], gone: &BTreeSet<VolumeId>) -> Vec<VolumeId> {
    let mut known = BTreeSet::new();
    for form in [CopyForm::Sound, CopyForm::Retiring] {
        known.extend(facts.survey.places(facts.stamp, form).into_iter().map(|place| place.volume));
    }
    known.remove(&facts.here.volume);
    if count(facts.sound().len()) < facts.wanted {
        known.extend(before.iter().filter(|volume| gone.contains(volume)));
    }
    known.into_iter().collect()
}

/// The tombstone of an object that its lifepoint has ended comes directly behind the version that it ends: every holder
/// files the same one, whoever comes first, and no update that a client makes at the same time is buried with it.
#[must_use]
pub fn ended(stamp: Stamp) -> Stamp {
    let next = u128::from_be_bytes(*stamp.etag.as_bytes()).checked_add(1);
    match next {
        Some(next) => Stamp { version: stamp.version, etag: Etag::from_bytes(next.to_be_bytes()) },
        None => Stamp {
            version: Version(stamp.version.0.saturating_add(1)),
            etag: Etag::from_bytes([0; 16]),
        },
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
