//! A small cluster in memory, for the tests of the plans: nodes with volumes, one object, orders obeyed at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use swarm_types::{Etag, NodeId, ObjectKind, Stamp, StreamId, Timestamp, Version, VolumeId};

use super::visit::{Action, Facts, Newer, decide, hints};
use super::{Copy, CopyForm, Place, Report, Subcluster, Survey, leave};

/// The node with this last octet.
pub(crate) fn node(last: u8) -> NodeId {
    NodeId(Ipv4Addr::new(10, 0, 0, last))
}

/// The nth volume of a node, from 1.
pub(crate) fn place(last: u8, nth: u8) -> Place {
    let mut bytes = [0; 16];
    (bytes[0], bytes[15]) = (last, nth);
    Place { node: node(last), volume: VolumeId::from_bytes(bytes) }
}

/// A version written at this millisecond.
pub(crate) fn stamp(ms: u64) -> Stamp {
    Stamp { version: Version(ms), etag: Etag::from_bytes([1; 16]) }
}

/// The object; of nodes at equal cost the lower address has its turn first here.
pub(crate) const STREAM: StreamId = StreamId::from_bytes([21; 16]);

/// A delete.
pub(crate) const TOMBSTONE: CopyForm =
    CopyForm::Tombstone { kind: ObjectKind::Named, written: Timestamp(1), leaves: false };

/// One volume and what it has of the object.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) retiring: bool,
    pub(crate) has_room: bool,
    pub(crate) copy: Option<(Stamp, CopyForm)>,
    pub(crate) hints: Vec<VolumeId>,
    pub(crate) fullness: u16,
}

/// One node.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) subcluster: Subcluster,
    /// Whether its answers arrive.
    pub(crate) heard: bool,
    pub(crate) volumes: BTreeMap<VolumeId, Volume>,
}

/// The cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cluster {
    pub(crate) members: BTreeMap<NodeId, Member>,
}

impl Cluster {
    /// Nodes in these subclusters with so many empty volumes each.
    pub(crate) fn of(subclusters: &[&str], volumes: u8) -> Self {
        let mut members = BTreeMap::new();
        for (name, last) in subclusters.iter().zip(1u8..) {
            let empty = Volume {
                retiring: false,
                has_room: true,
                copy: None,
                hints: Vec::new(),
                fullness: 0,
            };
            let volumes = (1..=volumes).map(|nth| (place(last, nth).volume, empty.clone()));
            let member =
                Member { subcluster: (*name).into(), heard: true, volumes: volumes.collect() };
            members.insert(node(last), member);
        }
        Self { members }
    }

    /// Nodes in one subcluster that report just these copies: node, volume, version, form.
    pub(crate) fn reporting(copies: &[(u8, u8, u64, CopyForm)]) -> Self {
        let last = copies.iter().map(|(last, ..)| *last).max().unwrap_or(1);
        let mut cluster = Self::of(&vec!["a"; usize::from(last)], 4);
        for (last, nth, ms, form) in copies {
            let volume = cluster.volume(place(*last, *nth));
            volume.copy = Some((stamp(*ms), *form));
            volume.retiring = *form == CopyForm::Retiring;
        }
        cluster
    }

    pub(crate) fn volume(&mut self, at: Place) -> &mut Volume {
        let member = self.members.get_mut(&at.node).expect("a node of the cluster");
        member.volumes.get_mut(&at.volume).expect("a volume of the node")
    }

    fn report(&self, of: NodeId) -> Report {
        let member = &self.members[&of];
        let form = |volume: &Volume, form| match form {
            CopyForm::Sound if volume.retiring => CopyForm::Retiring,
            form => form,
        };
        let copies: Vec<Copy> = member
            .volumes
            .iter()
            .filter_map(|(id, volume)| {
                let (stamp, filed) = volume.copy?;
                Some(Copy {
                    volume: *id,
                    stamp,
                    form: form(volume, filed),
                    fullness: volume.fullness,
                })
            })
            .collect();
        let newest = copies.iter().map(|copy| copy.stamp).max();
        let takes = self.room(of, newest).is_some();
        let cost = takes.then_some(u64::from(of.0.octets()[3]) % 3);
        Report { node: of, subcluster: member.subcluster.clone(), copies, cost }
    }

    /// Where a node would put a copy of this version: not beside another one that it has, but in place of a damaged one.
    fn room(&self, of: NodeId, newest: Option<Stamp>) -> Option<VolumeId> {
        let member = &self.members[&of];
        let intact = |volume: &Volume| {
            matches!(volume.copy, Some((filed, form)) if Some(filed) == newest
                && matches!(form, CopyForm::Sound | CopyForm::Leaving) && !volume.retiring)
        };
        if member.volumes.values().any(intact) {
            return None;
        }
        let free = |volume: &Volume| !volume.retiring && (volume.has_room || volume.copy.is_some());
        member.volumes.iter().find(|(_, volume)| free(volume)).map(|(id, _)| *id)
    }

    pub(crate) fn survey_everybody(&self) -> Survey {
        let mut survey = Survey { everybody: true, ..Survey::default() };
        for (node, member) in &self.members {
            if member.heard {
                survey.add(self.report(*node));
            } else {
                survey.silent.insert(*node);
            }
        }
        survey
    }

    fn survey_nodes(&self, nodes: &BTreeSet<NodeId>) -> Survey {
        let mut survey = self.survey_everybody();
        survey.reports.retain(|node, _| nodes.contains(node));
        survey.silent.retain(|node| nodes.contains(node));
        survey.everybody = false;
        survey
    }

    fn takers(&self) -> BTreeMap<NodeId, Subcluster> {
        let takes = |member: &Member| {
            member.volumes.values().any(|volume| !volume.retiring && volume.has_room)
        };
        let takers = self.members.iter().filter(|(_, member)| takes(member));
        takers.map(|(node, member)| (*node, member.subcluster.clone())).collect()
    }

    /// What is decided about the copy at a place, hinted holders asked first, and everybody if that does not settle it.
    pub(crate) fn decide(&mut self, here: Place, wanted: u32, everybody: bool) -> Vec<Action> {
        let Some((stamp, filed)) = self.volume(here).copy else { return Vec::new() };
        if matches!(filed, CopyForm::Tombstone { .. }) {
            return Vec::new();
        }
        let before = self.volume(here).hints.clone();
        let has = |member: &Member| before.iter().any(|hint| member.volumes.contains_key(hint));
        let mut nodes: BTreeSet<NodeId> =
            self.members.iter().filter(|(_, member)| has(member)).map(|(node, _)| *node).collect();
        nodes.insert(here.node);
        let hinted = self.survey_nodes(&nodes);
        let (takers, away) = (self.takers(), BTreeSet::new());
        let form = if self.volume(here).retiring && filed == CopyForm::Sound {
            CopyForm::Retiring
        } else {
            filed
        };
        let all = self.survey_everybody();
        let decide_on = |survey: &Survey| {
            let mut survey = survey.clone();
            survey.add(self.report(here.node));
            let (survey, away, takers) = (&survey, &away, &takers);
            let facts = Facts { id: STREAM, here, stamp, form, wanted, survey, away, takers };
            (decide(&facts), hints(&facts, &before, &BTreeSet::new()))
        };
        let (mut actions, mut learned) = decide_on(if everybody { &all } else { &hinted });
        if matches!(actions.first(), Some(Action::AskEverybody(_))) {
            (actions, learned) = decide_on(&all);
        }
        self.volume(here).hints = learned;
        actions
    }

    /// One visit, its actions carried out. True if there were any besides telling.
    pub(crate) fn visit(&mut self, here: Place, wanted: u32, everybody: bool) -> bool {
        let Some((stamp, _)) = self.volume(here).copy else { return false };
        let actions = self.decide(here, wanted, everybody);
        let mut acted = false;
        for action in actions {
            acted |= !matches!(action, Action::Tell(_));
            self.carry_out(here, stamp, action);
        }
        acted
    }

    fn carry_out(&mut self, here: Place, stamp: Stamp, action: Action) {
        match action {
            Action::AskEverybody(_) => panic!("everybody was asked already"),
            Action::Tell(_) => {}
            Action::DropDamaged { .. } => self.volume(here).copy = None,
            Action::Supersede(Newer::Version(_)) => self.volume(here).copy = None,
            Action::Supersede(Newer::Tombstone { stamp, kind, written }) => {
                self.volume(here).copy =
                    Some((stamp, CopyForm::Tombstone { kind, written, leaves: false }));
            }
            Action::Make { at, .. } => {
                if let Some(volume) = self.room(at, Some(stamp)) {
                    let at = Place { node: at, volume };
                    self.volume(at).copy = Some((stamp, CopyForm::Sound));
                    self.volume(at).hints = vec![here.volume];
                }
            }
            Action::Trim { victim, wanted, others, .. } => {
                let nodes = others.iter().map(|place| place.node).collect();
                let Some((filed, before)) = self.volume(victim).copy else { return };
                self.volume(victim).copy = Some((filed, CopyForm::Leaving));
                let fresh = self.survey_nodes(&nodes);
                let goes = leave::may_go(victim.volume, stamp, wanted, &fresh);
                self.volume(victim).copy = if goes { None } else { Some((filed, before)) };
            }
        }
    }

    /// Places with an intact copy of this version, retiring volumes included.
    pub(crate) fn intact(&self, of: Stamp) -> Vec<Place> {
        let all = self.members.iter().flat_map(|(node, member)| {
            let intact = member.volumes.iter().filter(move |(_, volume)| {
                matches!(volume.copy, Some((filed, CopyForm::Sound)) if filed == of)
            });
            intact.map(|(volume, _)| Place { node: *node, volume: *volume })
        });
        all.collect()
    }

    /// Every place with anything.
    pub(crate) fn places(&self) -> Vec<Place> {
        let all = self.members.iter().flat_map(|(node, member)| {
            let filed = member.volumes.iter().filter(|(_, volume)| volume.copy.is_some());
            filed.map(|(volume, _)| Place { node: *node, volume: *volume })
        });
        all.collect()
    }
}
