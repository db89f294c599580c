//! One run of one scenario in one world: what its parts share, and the order in which they go.
//!
//! Everything here is a task on the harness' own host and asks nobody but the world for time and dice, so that a seed
//! decides the whole run. Clients speak from hosts of their own.

mod answers;
mod board;
mod carried;
mod compare;
mod copies;
mod drive;
mod expect;
mod faults;
mod fed;
mod feeds;
mod finish;
mod idle;
mod look;
mod malformed;
mod manage;
mod metrics;
mod obeyed;
mod operate;
mod outside;
mod protection;
mod scope;
mod setup;
mod snapshot;
mod steps;
mod story;
mod tally;
mod watch;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarm_client::{Client, ClientOptions};
use swarm_cluster::log::Reports;
use swarm_cluster::{Env, Life, NodeRef, World};
use swarm_types::Instant;

pub(crate) use drive::{RunResult, drive};
pub(crate) use expect::Expected;

use copies::{Known, NotRead};

use crate::closest::{Census, Closest};
use crate::language::model::{Event, Scenario, Start, Verb, Via, When, Window};
use crate::ledger::family::Joins;
use crate::ledger::{Ledger, ObjectNumber};
use crate::oracle::tasks::Tasks;
use crate::reach::{NodeNumber, NodeSet, Reach};
use crate::verdict::{Invariant, Violation, Violations};

/// Whoever looks at something again and again tells its time to one part in so many.
const RESOLUTION: u32 = 60;
/// What takes hours is looked at this often, at least.
const SELDOM: Duration = Duration::from_secs(60);

/// Locks without regard to poison: nothing panics while it holds one of these.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a run tells the outside while it is under way.
#[derive(Debug, Default)]
pub struct Progress {
    /// Simulated time in nanoseconds.
    pub simulated_ns: AtomicU64,
    /// Operations that ended.
    pub operations: AtomicU64,
    /// Bytes of the bodies that clients have sent, or begun to send.
    pub body_bytes: AtomicU64,
    /// Faults in force.
    pub faults: AtomicU64,
    /// Feeds whose target has not got all that was acknowledged.
    pub feeds_behind: AtomicU64,
}

/// Which kind of world a run is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Time costs nothing.
    Simulated,
    /// Real time: nobody waits for what takes hours.
    Live,
}

/// What all parts of a run share.
pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) world: Arc<dyn World>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) reach: Mutex<Reach>,
    pub(crate) violations: Mutex<Violations>,
    pub(crate) closest: Mutex<Closest>,
    /// What was lost, and made anew.
    pub(crate) tally: Mutex<tally::Tally>,
    /// What is known of the feeds by their names.
    pub(crate) feeds: Mutex<feeds::All>,
    /// What they have carried.
    pub(crate) carried: Mutex<carried::Carried>,
    /// The tasks of nodes that nobody had asked for anything.
    idle_tasks: Mutex<BTreeMap<NodeRef, Tasks>>,
    pub(crate) board: Arc<board::Board>,
    pub(crate) workloads: BTreeMap<String, workload::State>,
    pub(crate) steps: Mutex<steps::State>,
    pub(crate) answers: Mutex<BTreeMap<String, answers::Answer>>,
    pub(crate) progress: Arc<Progress>,
    /// What the nodes logged, if some expectation asks for it.
    pub(crate) reports: Reports,
    pub(crate) kind: Kind,
    /// Steps and workloads are over; nothing new is to be begun.
    over: AtomicBool,
    /// What is left to be judged is what nodes do when nobody looks at them.
    left_alone: AtomicBool,
    /// All clusters are at rest; nothing is to be looked at any more.
    rested: AtomicBool,
    /// Wakes those who wait for that, in the order in which they came; a `watch` of tokio would wake them in an order that it draws.
    is_rested_now: tokio::sync::Notify,
    /// Why the clusters are not at rest, while they are waited for.
    pub(crate) restless: Mutex<Option<String>>,
    clients: Vec<Client>,
    management: Client,
    addresses: BTreeMap<IpAddr, NodeNumber>,
    started: Mutex<Instant>,
    /// For clients that ask one node after another.
    round: AtomicU64,
}

impl Run {
    pub(crate) fn new(
        scenario: Scenario,
        seed: u64,
        world: Arc<dyn World>,
        progress: Arc<Progress>,
        reports: Reports,
        kind: Kind,
    ) -> Self {
        let nodes: Vec<NodeRef> =
            scenario.clusters.keys().flat_map(|cluster| world.nodes(cluster)).collect();
        let reach = Reach::new(nodes.clone());
        let addresses = nodes
            .iter()
            .filter_map(|node| Some((world.scsp(node).ip(), reach.number(node)?)))
            .collect();
        let clients = world
            .clients()
            .iter()
            .map(|env| Client::new(env.clone(), ClientOptions::default()))
            .collect();
        let management = Client::new(world.env().clone(), ClientOptions::default());
        let workloads = workload::states(&scenario.workloads);
        let mut ledger = Ledger::new(seed);
        ledger.set_joins(joins(&scenario));
        Self {
            board: Arc::new(board::Board::new(wanted(&scenario))),
            ledger: Mutex::new(ledger),
            feeds: Mutex::default(),
            carried: Mutex::new(carried::Carried::new(&scenario)),
            reach: Mutex::new(reach),
            violations: Mutex::default(),
            closest: Mutex::default(),
            tally: Mutex::default(),
            idle_tasks: Mutex::default(),
            workloads,
            steps: Mutex::default(),
            answers: Mutex::default(),
            over: AtomicBool::new(false),
            left_alone: AtomicBool::new(false),
            rested: AtomicBool::new(false),
            is_rested_now: tokio::sync::Notify::new(),
            restless: Mutex::default(),
            clients,
            management,
            addresses,
            started: Mutex::new(world.env().now()),
            round: AtomicU64::new(0),
            progress,
            reports,
            kind,
            scenario,
            world,
        }
    }

    /// The settings of a cluster as the file and the harness gave them.
    pub(crate) fn settings(&self, cluster: &str) -> &BTreeMap<String, String> {
        &self.scenario.clusters[cluster].settings
    }

    pub(crate) fn env(&self) -> &Env {
        self.world.env()
    }

    pub(crate) fn now(&self) -> Instant {
        self.env().now()
    }

    /// Begins the scenario's own time.
    pub(crate) fn start_clock(&self) {
        *lock(&self.started) = self.now();
        lock(&self.ledger).set_clocks(obeyed::clocks(self));
    }

    pub(crate) fn started(&self) -> Instant {
        *lock(&self.started)
    }

    /// Time since the start of the scenario; zero before it.
    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at.since(self.started())
    }

    /// Draws from a range.
    pub(crate) fn draw(&self, span: crate::language::units::Span) -> Duration {
        let width = u64::try_from((span.max - span.min).as_nanos()).unwrap_or(u64::MAX);
        span.min
            + Duration::from_nanos(
                self.env().random_below("scenario times", width.saturating_add(1)),
            )
    }

    /// Waits for the next of many looks at the clusters; longer while a quiet stretch passes, in which little changes.
    pub(crate) async fn pause(&self, period: Duration) {
        self.env().background("harness", period).tick().await;
        // A look is a connection, which must not be taken for one that hangs.
        while self.left_alone.load(Ordering::Relaxed) && !self.is_rested() {
            self.env().sleep(period).await;
        }
    }

    /// How long to wait for the next of looks that go on from the beginning of a run to its end: a part of the time so far, so
    /// that long runs are not spent looking.
    pub(crate) fn seldom(&self, at_first: Duration) -> Duration {
        (self.since_start(self.now()) / RESOLUTION).clamp(at_first, at_first.max(SELDOM))
    }

    /// From now on nobody but the last judge looks at the clusters.
    pub(crate) fn leave_alone(&self) {
        self.left_alone.store(true, Ordering::Relaxed);
    }

    /// A number below `bound`, for choices of clients.
    pub(crate) fn choose(&self, bound: usize) -> usize {
        usize::try_from(self.env().random_below("scenario choices", bound as u64)).unwrap_or(0)
    }

    /// The client with this number, of as many as there are hosts for.
    pub(crate) fn client(&self, number: u32) -> &Client {
        &self.clients[number as usize % self.clients.len()]
    }

    /// The node that a client asks first.
    pub(crate) fn first_node(&self, cluster: &str, via: &Via) -> NodeRef {
        let nodes = self.world.nodes(cluster);
        match via {
            Via::Node(node) => node.clone(),
            Via::AnyNode => nodes[self.choose(nodes.len())].clone(),
            Via::RoundRobin => {
                let turn = self.round.fetch_add(1, Ordering::Relaxed);
                nodes[usize::try_from(turn).unwrap_or(0) % nodes.len()].clone()
            }
        }
    }

    /// The node after this one.
    pub(crate) fn next_node(&self, node: &NodeRef) -> NodeRef {
        let nodes = self.world.nodes(&node.cluster);
        let at = nodes.iter().position(|other| other == node).unwrap_or(0);
        nodes[(at + 1) % nodes.len()].clone()
    }

    pub(crate) fn number(&self, node: &NodeRef) -> NodeNumber {
        lock(&self.reach).number(node).expect("every node of the world is in the reach")
    }

    /// The node at this address, if it is one of ours.
    pub(crate) fn node_at(&self, address: IpAddr) -> Option<NodeNumber> {
        self.addresses.get(&address).copied()
    }

    pub(crate) fn violation(
        &self,
        invariant: Invariant,
        object: Option<ObjectNumber>,
        what: impl Into<String>,
        against: Option<usize>,
    ) {
        let at = self.since_start(self.now());
        lock(&self.violations).add(Violation { invariant, at, object, what: what.into(), against });
    }

    /// The nodes whose process runs now.
    fn running(&self) -> NodeSet {
        let nodes = self.scenario.clusters.keys().flat_map(|cluster| self.world.nodes(cluster));
        let running = nodes.filter(|node| self.world.life(node) == Life::Running);
        running.map(|node| self.number(&node)).collect()
    }

    /// A write was acknowledged: perhaps with fewer usable copies than any before.
    pub(crate) fn note_acknowledged(&self, object: ObjectNumber, entry: usize) {
        let up = self.running();
        let ledger = lock(&self.ledger);
        let reach = lock(&self.reach);
        lock(&self.closest).acknowledged(&ledger, &reach, object, entry, up);
    }

    /// A fault has taken a node or bytes away: perhaps an object has fewer usable copies than ever.
    pub(crate) fn look_for_close_call(&self) {
        if lock(&self.closest).is_at_the_bottom() {
            return;
        }
        let (up, known) = (self.running(), Known::of(self));
        let ledger = lock(&self.ledger);
        let reach = lock(&self.reach);
        let mut census = Census::default();
        for node in reach.nodes().filter(|node| up.contains(*node)) {
            for disk in self.world.disks(reach.node(node)) {
                match known.read(self, &disk) {
                    Ok(disk) => {
                        census.take(node, &*disk.image, &disk.volume, &ledger, &reach);
                    }
                    Err(NotRead::Nothing) => {}
                    Err(NotRead::Unknown) => census.cannot_read(node),
                }
            }
        }
        lock(&self.closest).look(&ledger, &reach, &census, up, self.now());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn set_over(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_rested(&self) -> bool {
        self.rested.load(Ordering::Relaxed)
    }

    /// Waits until everything is over and the clusters are at rest.
    pub(crate) async fn until_rested(&self) {
        let mut rested = std::pin::pin!(self.is_rested_now.notified());
        // From here on it is not missed.
        rested.as_mut().enable();
        if !self.is_rested() {
            rested.await;
        }
    }

    pub(crate) fn set_rested(&self) {
        self.rested.store(true, Ordering::Relaxed);
        self.is_rested_now.notify_waiters();
    }

    /// When a window began and ended, since the start of the scenario; `None` for one that never began.
    pub(crate) fn bounds(&self, window: &Window) -> Option<(Duration, Duration)> {
        match window {
            Window::Times(from, to) => Some((*from, *to)),
            Window::Named(name) => {
                let from = self.board.when(&Event::Starts(name.clone()))?;
                let to = self.board.when(&Event::Ends(name.clone())).unwrap_or_else(|| self.now());
                Some((self.since_start(from), self.since_start(to)))
            }
        }
    }
}

/// Which clusters of a scenario have to do with each other.
fn joins(scenario: &Scenario) -> Joins {
    let feeds =
        scenario.feeds.iter().filter_map(|feed| Some((feed.from.clone(), feed.to.clone()?)));
    let restores = scenario.steps.iter().filter_map(|step| match &step.verb {
        Verb::Restore { from, to, .. } if from != to => Some((from.clone(), to.clone())),
        _ => None,
    });
    Joins::new(&feeds.collect::<Vec<_>>(), &restores.collect::<Vec<_>>())
}

/// The events that some step, workload or expectation waits for.
fn wanted(scenario: &Scenario) -> BTreeSet<Event> {
    let of_start = |start: &Start| match start {
        Start::After { event, .. } => Some(event.clone()),
        Start::At(_) => None,
    };
    let steps = scenario.steps.iter().filter_map(|step| of_start(&step.start));
    // Before the next of many, the steps themselves look at the clusters.
    let until = scenario.steps.iter().filter_map(|step| step.each.as_ref()?.until.clone());
    let until = until.filter(|event| !matches!(event, Event::Protected(_) | Event::Drained(_)));
    let workloads =
        scenario.workloads.iter().filter_map(|workload| of_start(workload.start.as_ref()?));
    let expects = scenario.expects.iter().filter_map(|expect| match &expect.when {
        When::Within(event, _) => event.clone(),
        _ => None,
    });
    steps.chain(until).chain(workloads).chain(expects).collect()
}
