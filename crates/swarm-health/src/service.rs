//! The service: what its tasks and its answers to others share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarm_env::Env;
use swarm_plan::membership::VolumeState;
use swarm_store::Volume;
use swarm_types::{Instant, Stamp, StreamId, VolumeId};
use tokio::sync::{Notify, mpsc};

use crate::claims::Claims;
use crate::looks::Looks;
use crate::recovery::Recoveries;
use crate::soon::{Doubted, SOON_MAX, Soon};
use crate::status::Walks;
use crate::{Claim, HealthSettings, HealthStatus, Home, Peers};

/// How long an operation on a disk may take before it counts as failed (our choice, as for requests).
pub(crate) const DISK_TIMEOUT: Duration = Duration::from_secs(30);

/// The health processor of one node. Cheap to clone; its tasks live as long as the node's incarnation.
#[derive(Clone)]
pub struct Health {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) home: Arc<dyn Home>,
    pub(crate) peers: Arc<dyn Peers>,
    settings: Mutex<Arc<HealthSettings>>,
    started: Instant,
    /// Replicas of this node that may be about to go: nobody else is told to count on them.
    pub(crate) leaving: Mutex<BTreeSet<(VolumeId, StreamId)>>,
    /// Copies being fetched.
    pub(crate) making: Mutex<BTreeSet<StreamId>>,
    pub(crate) claims: Mutex<Claims>,
    pub(crate) recoveries: Mutex<Recoveries>,
    pub(crate) recoveries_changed: Notify,
    pub(crate) soon: mpsc::Sender<Soon>,
    pub(crate) doubted: Mutex<Doubted>,
    /// Replicas that requests have asked to be looked at.
    pub(crate) looks: Mutex<Looks>,
    /// Versions whose lifepoints were complained about already.
    pub(crate) complained: Mutex<BTreeSet<(StreamId, Stamp)>>,
    /// When it was last said that no node can take another copy.
    no_room_told: Mutex<Option<Instant>>,
    board: Mutex<Board>,
}

#[derive(Default)]
struct Board {
    walks: BTreeMap<VolumeId, Walks>,
    actions: u64,
    counters: BTreeMap<&'static str, u64>,
}

/// Locks; every change of what our mutexes guard is complete before anything in it can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Health {
    /// Starts the health processor of a node; it begins to walk when the node lets it.
    #[must_use]
    pub fn start(
        env: &Env,
        home: Arc<dyn Home>,
        peers: Arc<dyn Peers>,
        settings: HealthSettings,
    ) -> Self {
        let (soon, due) = mpsc::channel(SOON_MAX);
        let shared = Shared {
            env: env.clone(),
            home,
            peers,
            settings: Mutex::new(Arc::new(settings)),
            started: env.now(),
            leaving: Mutex::default(),
            making: Mutex::default(),
            claims: Mutex::default(),
            recoveries: Mutex::default(),
            recoveries_changed: Notify::new(),
            soon,
            doubted: Mutex::default(),
            looks: Mutex::default(),
            complained: Mutex::default(),
            no_room_told: Mutex::default(),
            board: Mutex::default(),
        };
        let health = Self { shared: Arc::new(shared) };
        drop(env.spawn("health", health.clone().walk_for_ever()));
        drop(env.spawn("health-soon", health.clone().visit_soon(due)));
        drop(env.spawn("health-recovery", health.clone().recover_for_ever()));
        drop(env.spawn("health-space", health.clone().defragment_for_ever()));
        health
    }

    /// Takes note that somebody else is about to make copies.
    pub fn claimed(&self, claim: Claim) {
        lock(&self.shared.claims).hear(claim, self.env().now());
    }

    /// A snapshot of counters and progress.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        let recoveries = lock(&self.shared.recoveries).open();
        let volumes = self.walked_volumes();
        let board = lock(&self.shared.board);
        // A volume that no walk has come to yet is not quiet.
        let walks = |id| board.walks.get(&id).copied().unwrap_or(Walks::begun(self.shared.started));
        HealthStatus {
            volumes: volumes.iter().map(|(one, _)| (one.id(), walks(one.id()))).collect(),
            recoveries,
            actions: board.actions,
            counters: board.counters.clone(),
        }
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    pub(crate) fn home(&self) -> &dyn Home {
        &*self.shared.home
    }

    pub(crate) fn peers(&self) -> &dyn Peers {
        &*self.shared.peers
    }

    /// Takes other settings; what is under way goes on with those that it began with.
    pub fn set_settings(&self, settings: HealthSettings) {
        let before = std::mem::replace(&mut *lock(&self.shared.settings), Arc::new(settings));
        drop(before);
    }

    pub(crate) fn settings(&self) -> Arc<HealthSettings> {
        Arc::clone(&lock(&self.shared.settings))
    }

    /// How long the node has been able to hear of the others.
    pub(crate) fn uptime(&self) -> Duration {
        self.env().now().since(self.shared.started)
    }

    /// A mounted volume of this node and its state.
    pub(crate) fn volume(&self, id: VolumeId) -> Option<(Volume, VolumeState)> {
        self.home().volumes().into_iter().find(|(volume, _)| volume.id() == id)
    }

    /// The volumes that are walked: those that hold streams of which others may need to know.
    pub(crate) fn walked_volumes(&self) -> Vec<(Volume, VolumeState)> {
        let mut volumes = self.home().volumes();
        volumes.retain(|(_, state)| matches!(state, VolumeState::Ok | VolumeState::Retiring));
        volumes
    }

    /// Adds to a counter.
    pub(crate) fn count(&self, what: &'static str, by: u64) {
        *lock(&self.shared.board).counters.entry(what).or_insert(0) += by;
    }

    /// Whether it is time to say again that no node can take another copy: once a cycle, whatever number of objects waits.
    pub(crate) fn tells_of_no_room(&self) -> bool {
        let now = self.env().now();
        let mut told = lock(&self.shared.no_room_told);
        let tells = told.is_none_or(|before| now.since(before) >= self.settings().cycle_time);
        if tells {
            *told = Some(now);
        }
        tells
    }

    /// Counts an action: a cycle with one in it is not quiet.
    pub(crate) fn act(&self, what: &'static str) {
        let mut board = lock(&self.shared.board);
        board.actions += 1;
        *board.counters.entry(what).or_insert(0) += 1;
    }

    pub(crate) fn actions(&self) -> u64 {
        lock(&self.shared.board).actions
    }

    pub(crate) fn note_walks(&self, volume: VolumeId, walks: Walks) {
        lock(&self.shared.board).walks.insert(volume, walks);
    }

    pub(crate) fn forget_walks(&self, kept: impl Fn(VolumeId) -> bool) {
        lock(&self.shared.board).walks.retain(|volume, _| kept(*volume));
    }

    /// Marks an emptied volume as retired, durably.
    pub(crate) async fn retire_if_empty(&self, volume: &Volume) {
        match self.env().timeout(DISK_TIMEOUT, volume.retire_if_empty()).await {
            Ok(Ok(true)) => {
                self.act("volumes retired");
                self.home().retired(volume.id());
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::warn!(node = self.env().name(), volume = %volume.id(), %error, "not marked as retired");
            }
            Err(_) => volume.note_slow(),
        }
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Health({})", self.env().name())
    }
}
