//! Who else is in the cluster: learned from beacons and from anything else that is heard, never configured, never kept
//! on disk (membership is "same multicast group on the same network").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use swarm_plan::membership::{Announced, Presence, presence};
use swarm_types::{Instant, NodeId};

use crate::NodeState;
use crate::wire::{Beacon, StateWire};

/// The members that this node knows, itself left out.
#[derive(Default)]
pub(crate) struct Members {
    table: Mutex<BTreeMap<NodeId, Member>>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    heard: Instant,
    incarnation: u64,
    /// Number of its newest beacon.
    number: u64,
    state: StateWire,
    capacity: u64,
    free: u64,
}

impl Member {
    /// One of which no beacon was heard yet: any beacon is news.
    const fn newcomer(heard: Instant) -> Self {
        let state = StateWire::Initializing;
        Self { heard, incarnation: 0, number: 0, state, capacity: 0, free: 0 }
    }

    fn presence(&self, now: Instant) -> Presence {
        let announced = match self.state {
            StateWire::Maintenance => Announced::Stopped,
            _ => Announced::Running,
        };
        presence(announced, now.since(self.heard))
    }
}

/// Whom a lookup waits for.
pub(crate) struct Expectation {
    /// Their answers are waited for.
    pub(crate) present: BTreeSet<NodeId>,
    /// Known, but silent for a minute or more.
    pub(crate) missing: BTreeSet<NodeId>,
}

impl Members {
    /// Takes note of a beacon. True if the sender was not known as present: it should hear from us at once.
    pub(crate) fn beacon(&self, node: NodeId, beacon: &Beacon, now: Instant) -> bool {
        let Beacon { incarnation, number, .. } = *beacon;
        let overtaken = |known: &Member| known.incarnation == incarnation && known.number >= number;
        if self.lock().get(&node).is_some_and(overtaken) {
            return false;
        }
        let member = Member {
            heard: now,
            incarnation,
            number,
            state: beacon.state,
            capacity: beacon.capacity,
            free: beacon.free,
        };
        let before = self.lock().insert(node, member);
        before.is_none_or(|before| before.presence(now) != Presence::Present)
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
        if member.state != StateWire::Maintenance {
            member.heard = now;
        }
        true
    }

    /// Takes note of an answer: the sender has mounted its volumes, even if the beacon that said so was lost.
    pub(crate) fn answered(&self, node: NodeId) {
        if let Some(member) = self.lock().get_mut(&node)
            && member.state == StateWire::Mounting
        {
            member.state = StateWire::Initializing;
        }
    }

    /// Whom a lookup that begins now waits for.
    pub(crate) fn expectation(&self, now: Instant) -> Expectation {
        let mut expectation = Expectation { present: BTreeSet::new(), missing: BTreeSet::new() };
        for (node, member) in self.lock().iter() {
            match member.presence(now) {
                // It cannot know yet what it holds, and keeps silent.
                Presence::Present if member.state == StateWire::Mounting => continue,
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
        Presence::Present => match member.state {
            StateWire::Mounting => NodeState::Mounting,
            StateWire::Initializing => NodeState::Initializing,
            StateWire::Ok => NodeState::Ok,
            StateWire::Finalizing => NodeState::Finalizing,
            StateWire::Maintenance => NodeState::Maintenance,
        },
    }
}
