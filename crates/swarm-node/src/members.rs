//! Who else is in the cluster: learned from beacons and from anything else that is heard, never configured, never kept
//! on disk (membership is "same multicast group on the same network").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use swarm_plan::membership::{Announced, Presence, presence};
use swarm_types::{Instant, NodeId, VolumeId};

use crate::wire::{Beacon, VolumeWire};
use crate::{MemberStatus, NodeState, VolumeState};

/// The members that this node knows, itself left out.
#[derive(Default)]
pub(crate) struct Members {
    table: Mutex<BTreeMap<NodeId, Member>>,
}

#[derive(Debug)]
struct Member {
    heard: Instant,
    incarnation: u64,
    /// Number of its newest beacon.
    number: u64,
    state: NodeState,
    capacity: u64,
    free: u64,
    /// Number and content of its newest list of volumes; none was heard yet where there is none.
    volumes: Option<(u32, Vec<(VolumeId, VolumeState)>)>,
}

impl Member {
    /// One of which no beacon was heard yet: any beacon is news.
    const fn newcomer(heard: Instant) -> Self {
        let state = NodeState::Initializing;
        Self { heard, incarnation: 0, number: 0, state, capacity: 0, free: 0, volumes: None }
    }

    const fn announced(&self) -> Announced {
        match self.state {
            NodeState::Maintenance => Announced::Stopped,
            _ => Announced::Running,
        }
    }

    fn presence(&self, now: Instant) -> Presence {
        presence(self.announced(), now.since(self.heard))
    }
}

/// What a beacon leaves to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AfterBeacon {
    /// The sender was not known as present: it should hear from us at once.
    pub(crate) is_news: bool,
    /// The sender's volumes have changed, and it did not say how: it is to be asked.
    pub(crate) volumes_unknown: bool,
}

/// Whom a lookup waits for.
pub(crate) struct Expectation {
    /// Their answers are waited for.
    pub(crate) present: BTreeSet<NodeId>,
    /// Known, but silent for a minute or more.
    pub(crate) missing: BTreeSet<NodeId>,
}

impl Members {
    /// Takes note of a beacon; what it leaves to be done.
    pub(crate) fn beacon(&self, node: NodeId, beacon: Beacon, now: Instant) -> AfterBeacon {
        let Beacon { incarnation, number, roster, .. } = beacon;
        let told =
            beacon.volumes.map(|volumes| volumes.into_iter().map(VolumeWire::told).collect());
        let mut table = self.lock();
        let known = table.get_mut(&node);
        let is_news = known.as_ref().is_none_or(|known| known.presence(now) != Presence::Present);
        let same_life = known.as_ref().is_some_and(|known| known.incarnation == incarnation);
        if same_life && known.as_ref().is_some_and(|known| known.number >= number) {
            return AfterBeacon { is_news: false, volumes_unknown: false };
        }
        let before = known.and_then(|known| known.volumes.take());
        // Until the next life of a node tells its volumes, those of the last one are as good as any guess.
        let volumes_unknown = told.is_none()
            && !before.as_ref().is_some_and(|(known, _)| same_life && *known == roster);
        let member = Member {
            heard: now,
            incarnation,
            number,
            state: beacon.state.into(),
            capacity: beacon.capacity,
            free: beacon.free,
            volumes: told.map(|told| (roster, told)).or(before),
        };
        table.insert(node, member);
        AfterBeacon { is_news, volumes_unknown }
    }

    /// Takes note of any other message: the sender is there. False if it was not known: its beacons were lost, and it
    /// should send another one.
    pub(crate) fn heard(&self, node: NodeId, now: Instant) -> bool {
        let mut table = self.lock();
        let Some(member) = table.get_mut(&node) else {
            // Lookups wait for it from now on; a mounting node sends beacons only.
            table.insert(node, Member::newcomer(now));
            return false;
        };
        // What a stopped node sent before its last beacon does not bring it back.
        if member.state != NodeState::Maintenance {
            member.heard = now;
        }
        true
    }

    /// Takes note of an answer: the sender has mounted its volumes, even if the beacon that said so was lost.
    pub(crate) fn answered(&self, node: NodeId) {
        if let Some(member) = self.lock().get_mut(&node)
            && member.state == NodeState::Mounting
        {
            member.state = NodeState::Initializing;
        }
    }

    /// Whom a lookup that begins now waits for.
    pub(crate) fn expectation(&self, now: Instant) -> Expectation {
        let mut expectation = Expectation { present: BTreeSet::new(), missing: BTreeSet::new() };
        for (node, member) in self.lock().iter() {
            match member.presence(now) {
                // It cannot know yet what it holds, and keeps silent.
                Presence::Present if member.state == NodeState::Mounting => continue,
                Presence::Present => expectation.present.insert(*node),
                Presence::Unreachable | Presence::Offline => expectation.missing.insert(*node),
                Presence::Maintenance => continue,
            };
        }
        expectation
    }

    /// Every member and what it counts as, by address.
    pub(crate) fn states(&self, now: Instant) -> Vec<(NodeId, NodeState)> {
        self.lock().iter().map(|(node, member)| (*node, shown(member, now))).collect()
    }

    /// Everything that is known of every member, by address.
    pub(crate) fn all(&self, now: Instant) -> Vec<MemberStatus> {
        let status = |(node, member): (&NodeId, &Member)| MemberStatus {
            node: *node,
            state: shown(member, now),
            announced: member.announced(),
            silence: now.since(member.heard),
            volumes: member.volumes.as_ref().map(|(_, volumes)| volumes.clone()),
        };
        self.lock().iter().map(status).collect()
    }

    /// Sums of capacity and free space over the members that are present, bytes.
    pub(crate) fn space(&self, now: Instant) -> (u64, u64) {
        self.lock().values().filter(|member| member.presence(now) == Presence::Present).fold(
            (0, 0),
            |(capacity, free), member| {
                // A sum of what others say.
                (capacity.saturating_add(member.capacity), free.saturating_add(member.free))
            },
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Member>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(member: &Member, now: Instant) -> NodeState {
    match member.presence(now) {
        Presence::Maintenance => NodeState::Maintenance,
        Presence::Unreachable => NodeState::Unreachable,
        Presence::Offline => NodeState::Offline,
        Presence::Present => member.state,
    }
}
