//! Who else is in the cluster: learned from beacons and from anything else that is heard, never configured, never kept
//! on disk (membership is "same multicast group on the same network").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use swarm_plan::membership::{Announced, Presence, presence};
use swarm_types::{Instant, NodeId, VolumeId};

use crate::health::directory::{Directory, Listing};
use crate::wire::{Beacon, ListingWire, VolumeWire};
use crate::{MemberStatus, NodeState, VolumeState};

/// The members that this node knows, itself left out.
#[derive(Default)]
pub(crate) struct Members {
    table: Mutex<BTreeMap<NodeId, Member>>,
    directory: Directory,
}

/// The present, on the two clocks by which silences are measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// The time of the world.
    pub(crate) time: Instant,
    /// Time as the beacons count it.
    pub(crate) beats: Instant,
}

#[derive(Debug)]
struct Member {
    heard: Now,
    incarnation: u64,
    /// Number of its newest beacon.
    number: u64,
    state: NodeState,
    capacity: u64,
    free: u64,
    /// Number and content of its newest list of volumes; none was heard yet where there is none.
    volumes: Option<(u32, Vec<(VolumeId, VolumeState)>)>,
    /// Whether there is a newer list, not heard yet.
    volumes_unknown: bool,
}

impl Member {
    /// One of which no beacon was heard yet: any beacon is news.
    const fn newcomer(heard: Now) -> Self {
        let state = NodeState::Initializing;
        Self {
            heard,
            incarnation: 0,
            number: 0,
            state,
            capacity: 0,
            free: 0,
            volumes: None,
            volumes_unknown: true,
        }
    }

    const fn announced(&self) -> Announced {
        match self.state {
            NodeState::Maintenance => Announced::Stopped,
            _ => Announced::Running,
        }
    }

    /// Whether its list of volumes says nothing yet of those that are not in it.
    fn is_learning(&self) -> bool {
        self.state == NodeState::Mounting || self.volumes_unknown
    }

    /// How long nothing was heard of it. Beacons are background work, which a quiet stretch of a simulation thins out; one
    /// that has stopped for good is not expected to send any, so its time is that of the world.
    const fn silence(&self, now: Now) -> Duration {
        match self.announced() {
            Announced::Running => now.beats.since(self.heard.beats),
            Announced::Stopped => now.time.since(self.heard.time),
        }
    }

    fn presence(&self, now: Now) -> Presence {
        presence(self.announced(), self.silence(now))
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

/// What was heard last of a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    pub(crate) announced: Announced,
    /// Whether its list of volumes says nothing yet of those that are not in it.
    pub(crate) is_learning: bool,
    pub(crate) silence: Duration,
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
    pub(crate) fn beacon(&self, node: NodeId, beacon: Beacon, now: Now) -> AfterBeacon {
        let Beacon { incarnation, number, roster, .. } = beacon;
        let mut table = self.lock();
        let mut known = table.get_mut(&node);
        let is_news = known.as_ref().is_none_or(|known| known.presence(now) != Presence::Present);
        let same_life = known.as_ref().is_some_and(|known| known.incarnation == incarnation);
        if same_life && known.as_ref().is_some_and(|known| known.number >= number) {
            return AfterBeacon { is_news: false, volumes_unknown: false };
        }
        let before = known.as_mut().and_then(|known| known.volumes.take());
        let told = beacon.listing.map(|listing| self.note_listing(node, listing));
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
            volumes_unknown,
        };
        match known {
            Some(known) => *known = member,
            None => drop(table.insert(node, member)),
        }
        AfterBeacon { is_news, volumes_unknown }
    }

    fn note_listing(&self, node: NodeId, listing: ListingWire) -> Vec<(VolumeId, VolumeState)> {
        let ListingWire { subcluster, is_complete, volumes } = listing;
        let volumes: Vec<_> = volumes.into_iter().map(VolumeWire::told).collect();
        let (subcluster, named) = (subcluster.as_str(), volumes.as_slice());
        self.directory.listed(node, Listing { subcluster, is_complete, volumes: named });
        volumes
    }

    /// Which volumes there are, and were.
    pub(crate) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What was heard last of a member, and how long ago.
    pub(crate) fn sight(&self, node: NodeId, now: Now) -> Option<Sight> {
        self.lock().get(&node).map(|member| Sight {
            announced: member.announced(),
            is_learning: member.is_learning(),
            silence: member.silence(now),
        })
    }

    /// The members that are not there, or of which it is not known what they have.
    pub(crate) fn in_doubt(&self, now: Now) -> Vec<NodeId> {
        let table = self.lock();
        let doubtful = table.iter().filter(|(_, member)| {
            member.presence(now) != Presence::Present || member.is_learning()
        });
        doubtful.map(|(node, _)| *node).collect()
    }

    /// The members that are present and open, and their states.
    pub(crate) fn open(&self, now: Now) -> Vec<(NodeId, NodeState)> {
        let table = self.lock();
        let present = table.iter().filter(|(_, member)| member.presence(now) == Presence::Present);
        let states = present.map(|(node, member)| (*node, member.state));
        states.filter(|(_, state)| is_open(*state)).collect()
    }

    /// Takes note of any other message: the sender is there. False if it was not known: its beacons were lost, and it
    /// should send another one.
    pub(crate) fn heard(&self, node: NodeId, now: Now) -> bool {
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
    pub(crate) fn expectation(&self, now: Now) -> Expectation {
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

    /// Whether every member that is known can say now what it holds.
    pub(crate) fn all_answer(&self, now: Now) -> bool {
        self.lock().values().all(|member| {
            member.presence(now) == Presence::Present && member.state != NodeState::Mounting
        })
    }

    /// Every member and what it counts as, by address.
    pub(crate) fn states(&self, now: Now) -> Vec<(NodeId, NodeState)> {
        self.lock().iter().map(|(node, member)| (*node, shown(member, now))).collect()
    }

    /// Everything that is known of every member, by address.
    pub(crate) fn all(&self, now: Now) -> Vec<MemberStatus> {
        let status = |(node, member): (&NodeId, &Member)| MemberStatus {
            node: *node,
            state: shown(member, now),
            announced: member.announced(),
            silence: member.silence(now),
            volumes: member.volumes.as_ref().map(|(_, volumes)| volumes.clone()),
        };
        self.lock().iter().map(status).collect()
    }

    /// Sums of capacity and free space over the members that are present, bytes.
    pub(crate) fn space(&self, now: Now) -> (u64, u64) {
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

/// Whether a node in this state has opened, and is not about to stop.
const fn is_open(state: NodeState) -> bool {
    match state {
        NodeState::Ok
        | NodeState::Idle
        | NodeState::Error
        | NodeState::Retiring
        | NodeState::Retired => true,
        NodeState::Mounting
        | NodeState::Initializing
        | NodeState::Finalizing
        | NodeState::Maintenance
        | NodeState::Unreachable
        | NodeState::Offline => false,
    }
}

fn shown(member: &Member, now: Now) -> NodeState {
    match member.presence(now) {
        Presence::Maintenance => NodeState::Maintenance,
        Presence::Unreachable => NodeState::Unreachable,
        Presence::Offline => NodeState::Offline,
        Presence::Present => member.state,
    }
}
