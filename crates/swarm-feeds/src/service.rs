//! The service: what the engine's tasks and its answers to others share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarm_env::{Bug, Env};
use swarm_types::{
    ClusterName, FeedId, FeedMark, FeedSlots, Instant, Stamp, StreamId, Timestamp, VolumeId,
};
use tokio::sync::Notify;

use crate::evaluate::Contexts;
use crate::home::{Brief, Filed, Home, Streams};
use crate::inbox::Inbox;
use crate::line::Line;
use crate::missed::Missed;
use crate::peers::Peers;
use crate::results::Results;
use crate::send::{Sends, Verdict};
use crate::settings::FeedSettings;
use crate::table::{Feed, Table};
use crate::target::{FeedTarget, Targets};

/// The beat of the engine's clock: whatever it waits for is counted in such beats, so that a quiet stretch that a scenario
/// skips is as short for a feed as for all other background work.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// By at most so small a part of their length hold-offs differ.
const SPREAD: u64 = 8;

/// The feeds of one node. Cheap to clone; their tasks live as long as the node's incarnation.
#[derive(Clone)]
pub struct Feeds {
    pub(crate) shared: Arc<Shared>,
}

/// What the feeds of a node reach.
pub struct Around {
    /// Their own node.
    pub home: Arc<dyn Home>,
    /// The other nodes.
    pub peers: Arc<dyn Peers>,
    /// The targets.
    pub targets: Arc<dyn Targets>,
}

pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) cluster: ClusterName,
    pub(crate) around: Around,
    pub(crate) settings: FeedSettings,
    /// How long a replica here waits for the one that goes first. Nodes differ by some seconds, so that of several that wait
    /// for one that is lost, one begins, and the others learn of it.
    pub(crate) hold_off: Duration,
    /// When the node's feeds began.
    started: Timestamp,
    /// Whether there is any feed: asked at every write.
    active: AtomicBool,
    /// There is something to do.
    pub(crate) wake: Notify,
    /// Beside the state: writers must not wait for whoever looks through the feeds.
    pub(crate) inbox: Mutex<Inbox>,
    state: Mutex<State>,
}

/// What the engine knows. Its mutex is the outermost of the feeds'; nothing of others is called while it is held.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) table: Table,
    pub(crate) lines: BTreeMap<FeedId, Line>,
    pub(crate) contexts: Contexts,
    pub(crate) results: Results,
    pub(crate) sends: Sends,
    /// When connections that are idle were last looked after.
    pub(crate) tidied: Instant,
    /// When the walks through the volumes last went on, and how far they have come in all.
    pub(crate) walked: Instant,
    pub(crate) walks: usize,
}

/// A stream as this node has it.
pub(crate) struct Look {
    /// The newest that is filed here, with outcomes that are not durable yet.
    pub(crate) filed: Filed,
    /// Where that is.
    pub(crate) store: Arc<dyn Streams>,
    /// All places where the id is filed here: what came of the newest holds for older ones too.
    pub(crate) places: Vec<Filing>,
}

/// One place where a stream is filed.
pub(crate) struct Filing {
    pub(crate) volume: VolumeId,
    pub(crate) stamp: Stamp,
    /// The durable slots there.
    pub(crate) slots: FeedSlots,
}

/// Locks; every change of what our mutexes guard is complete before anything in it can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feeds {
    /// Starts the feeds of a node, with the table that it has kept; they begin to work when the node lets them.
    #[must_use]
    pub fn start(env: &Env, around: Around, table: Table, settings: FeedSettings) -> Self {
        let delay = settings.secondary_delay;
        let spread = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) / SPREAD;
        let later = env.random_below("feed turns", spread.max(1));
        let shared = Shared {
            hold_off: delay + Duration::from_millis(later),
            env: env.clone(),
            started: env.wall(),
            cluster: around.home.cluster(),
            around,
            settings,
            active: AtomicBool::new(false),
            wake: Notify::new(),
            inbox: Mutex::default(),
            state: Mutex::default(),
        };
        let feeds = Self { shared: Arc::new(shared) };
        feeds.adopt(table);
        drop(env.spawn("feeds", feeds.clone().work_for_ever()));
        feeds
    }

    /// The table of the cluster's feeds, as it is known here.
    #[must_use]
    pub fn table(&self) -> Table {
        lock(&self.shared.state).table.clone()
    }

    /// Takes a table in the place of the one before: after a change, or a merge with what another node knows. It was made
    /// durable before; who changes tables does it one after the other.
    pub fn adopt(&self, table: Table) {
        let (now, wall) = (self.now(), self.env().wall());
        let known: BTreeMap<FeedId, Arc<Feed>> = {
            let state = self.state();
            let open = state.lines.iter().filter(|(_, line)| !line.is_closed());
            open.map(|(id, line)| (*id, Arc::clone(&line.feed))).collect()
        };
        // Targets are opened and closed outside the lock.
        let mut opened: Vec<Opened> = Vec::new();
        for feed in table.working() {
            let same = known.get(&feed.id).is_some_and(|before| goes_alike(before, feed));
            let target = (!same).then(|| self.shared.around.targets.open(feed));
            opened.push((feed.clone(), self.mark(feed), target));
        }
        let mut closed = Vec::new();
        let mut state = self.state();
        let State { lines, sends, .. } = &mut *state;
        for (id, line) in lines.iter_mut() {
            if opened.iter().all(|(feed, ..)| feed.id != *id) {
                line.close();
                sends.settle_all(*id, Verdict::FeedGone);
            }
        }
        for (feed, mark, target) in opened {
            match (lines.get_mut(&feed.id), target) {
                (Some(line), target) => {
                    closed.extend(line.redefine(
                        feed,
                        mark,
                        target,
                        &self.shared.settings,
                        now,
                        wall,
                    ));
                    sends.offer_again(line, now);
                }
                (None, Some(target)) => {
                    let id = feed.id;
                    let missed = Missed::of(feed.changed.is_before(self.shared.started));
                    let settings = &self.shared.settings;
                    let line = Line::new(feed, mark, target, settings, missed, now);
                    lines.insert(id, line);
                }
                (None, None) => debug_assert!(false, "a target was opened for a new feed"),
            }
        }
        state.table = table;
        let gone = state.drop_closed();
        self.set_active(&state);
        drop(state);
        drop((closed, gone));
        self.shared.wake.notify_one();
    }

    fn mark(&self, feed: &Feed) -> FeedMark {
        if self.env().planted(Bug::SuccessOutlivesFeed) {
            return FeedMark(u64::from(feed.id.0) + 1);
        }
        feed.mark(&self.shared.cluster)
    }

    /// Whether there is any feed, be it one that was deleted and has transfers that are ending.
    pub(crate) fn is_active(&self) -> bool {
        self.shared.active.load(Ordering::Relaxed)
    }

    pub(crate) fn set_active(&self, state: &State) {
        let active = !state.lines.is_empty() || !state.results.is_empty();
        self.shared.active.store(active, Ordering::Relaxed);
    }

    /// A stream was filed on a volume of this node, whoever brought it; or the node has found that its replica is to go first
    /// after all. Never waits.
    pub fn filed(&self, brief: Brief) {
        if self.is_active() {
            lock(&self.shared.inbox).push(brief);
            self.shared.wake.notify_one();
        }
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    pub(crate) fn home(&self) -> &dyn Home {
        &*self.shared.around.home
    }

    pub(crate) fn peers(&self) -> &dyn Peers {
        &*self.shared.around.peers
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    /// The engine's clock.
    pub(crate) fn now(&self) -> Instant {
        self.shared.env.background_now(TICK)
    }

    /// What this node has of a stream.
    pub(crate) fn look(&self, id: StreamId) -> Option<Look> {
        let mut look: Option<Look> = None;
        let mut places = Vec::new();
        for store in self.home().stores() {
            let Some(filed) = store.find(id) else { continue };
            let (stamp, slots) = (filed.stamp, filed.slots.clone());
            places.push(Filing { volume: store.id(), stamp, slots });
            if look.as_ref().is_none_or(|best| best.filed.stamp < filed.stamp) {
                look = Some(Look { filed, store, places: Vec::new() });
            }
        }
        let Look { mut filed, store, .. } = look?;
        let state = self.state();
        for place in places.iter().filter(|place| place.stamp == filed.stamp) {
            let durable = place.slots.iter().filter(|slot| slot.outcome.is_final()).copied();
            let fresh = state.results.not_durable(place.volume, id, place.stamp);
            durable
                .chain(fresh)
                .for_each(|slot| filed.slots.set_among(slot, |feed, mark| state.knows(feed, mark)));
        }
        Some(Look { filed, store, places })
    }
}

impl State {
    /// Whether a slot of this feed and mark still says anything.
    pub(crate) fn knows(&self, feed: FeedId, mark: FeedMark) -> bool {
        self.lines.get(&feed).is_some_and(|line| !line.is_closed() && line.mark == mark)
    }

    /// Every feed and mark of which slots say anything.
    pub(crate) fn known(&self) -> Arc<[(FeedId, FeedMark)]> {
        let open = self.lines.iter().filter(|(_, line)| !line.is_closed());
        open.map(|(feed, line)| (*feed, line.mark)).collect()
    }

    /// Takes out deleted feeds whose last transfer has ended, to be dropped outside the lock.
    pub(crate) fn drop_closed(&mut self) -> Vec<Line> {
        self.lines.extract_if(.., |_, line| line.is_over()).map(|(_, line)| line).collect()
    }
}

/// A feed as it is defined now, its mark, and its target if that is not the one that it had.
type Opened = (Feed, FeedMark, Option<Arc<dyn FeedTarget>>);

/// Whether the second goes where the first does, in the same way.
fn goes_alike(one: &Feed, other: &Feed) -> bool {
    let mut definition = other.definition.clone();
    definition.paused = one.definition.paused;
    one.created == other.created && one.definition == definition
}

impl std::fmt::Debug for Feeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Feeds({})", self.env().name())
    }
}
