//! What a node shows of itself: its state from what it knows, told to everybody as soon as it changes.

use std::sync::{Mutex, PoisonError};

use swarm_plan::membership::{Phase, VolumeState, is_idle, shown};
use swarm_types::{Instant, VolumeId};

use crate::NodeState;
use crate::node::Inner;
use crate::wire::{Beacon, ListingWire, Message, VolumeWire};

/// Volumes that a beacon names; a node with more (none is known) would not be heard at all.
const VOLUMES_MAX: usize = 64;

/// What the state of a node follows from, besides its volumes.
pub(crate) struct StateFacts {
    facts: Mutex<Facts>,
}

struct Facts {
    phase: Phase,
    /// When a client or a peer last had something stored, read or deleted here.
    active: Instant,
    told: Told,
}

/// What everybody was told.
#[derive(PartialEq, Eq)]
struct Told {
    state: NodeState,
    volumes: Vec<(VolumeId, VolumeState)>,
    /// Counts the changes of the volumes.
    roster: u32,
}

impl StateFacts {
    pub(crate) const fn new(now: Instant) -> Self {
        let told = Told { state: NodeState::Mounting, volumes: Vec::new(), roster: 0 };
        Self { facts: Mutex::new(Facts { phase: Phase::Mounting, active: now, told }) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Where the node is in its life.
    pub(crate) fn phase(&self) -> Phase {
        self.state_facts.lock().phase
    }

    /// The state that the node shows now.
    pub(crate) fn state(&self) -> NodeState {
        let (phase, active) = {
            let facts = self.state_facts.lock();
            (facts.phase, facts.active)
        };
        let quiet = self.env.now().since(active);
        let settings = self.settings();
        let idle = is_idle(quiet, settings.sleep_after, settings.wake_after);
        shown(phase, self.slots.counts(), idle)
    }

    /// Enters another phase and tells everybody at once.
    pub(crate) fn enter(&self, phase: Phase) {
        {
            let mut facts = self.state_facts.lock();
            facts.phase = phase;
            if phase == Phase::Open {
                facts.active = self.env.now();
            }
        }
        self.take_stock();
        self.multicast(&Message::Beacon(self.beacon(false, true)));
    }

    /// Takes note of SCSP activity; an idle node is awake again.
    pub(crate) fn wake(&self) {
        let was_idle = {
            let mut facts = self.state_facts.lock();
            facts.active = self.env.now();
            facts.told.state == NodeState::Idle
        };
        if was_idle {
            self.tell_changes();
        }
    }

    /// Tells everybody what has changed since everybody was told, if anything has.
    pub(crate) fn tell_changes(&self) {
        if self.take_stock() {
            self.multicast(&Message::Beacon(self.beacon(false, true)));
        }
    }

    /// Notes what is to be told from now on. True if it has changed.
    pub(crate) fn take_stock(&self) -> bool {
        let (state, volumes) = (self.state(), self.slots.states());
        let mut facts = self.state_facts.lock();
        let before = facts.told.state;
        let changed = before != state || facts.told.volumes != volumes;
        if facts.told.volumes != volumes {
            facts.told.roster = facts.told.roster.wrapping_add(1);
            facts.told.volumes = volumes;
        }
        facts.told.state = state;
        drop(facts);
        if before != state {
            tracing::info!(node = self.env.name(), state = state.word(), "node state");
        }
        changed
    }

    /// What the node tells of itself as of the last [`Inner::take_stock`]. The volumes are named only where they are asked
    /// for: their number tells who has not heard of the last change.
    pub(crate) fn beacon(&self, hello: bool, with_volumes: bool) -> Beacon {
        let (capacity, free) = self.slots.space();
        let feeds = self.feeds.tables.version();
        let facts = self.state_facts.lock();
        let listing = with_volumes.then(|| {
            let named = facts.told.volumes.iter().take(VOLUMES_MAX);
            ListingWire {
                subcluster: self.settings().subcluster.clone(),
                is_complete: facts.told.volumes.len() <= VOLUMES_MAX,
                volumes: named.map(|(id, state)| VolumeWire::new(*id, *state)).collect(),
            }
        });
        Beacon {
            hello,
            incarnation: self.incarnation,
            number: self.next_beacon(),
            state: facts.told.state.into(),
            capacity,
            free,
            settings: self.settings.digest(),
            feeds: (feeds.number, feeds.digest),
            roster: facts.told.roster,
            listing,
        }
    }
}
