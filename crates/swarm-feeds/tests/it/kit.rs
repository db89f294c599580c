//! A town of nodes, each with feeds of its own. They keep streams on shelves in the place of volumes, reach each other through
//! calls that take time and may get lost, and deliver to targets that do what they are told.

mod elsewhere;
mod heard;
mod seat;
mod shelf;
mod streams;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use swarm_env::Env;
use swarm_feeds::definition::{RawFeed, check};
use swarm_feeds::stats::NodeFeed;
use swarm_feeds::table::{Author, Table};
use swarm_feeds::{
    Around, ClusterTargets, FeedSettings, Feeds, Filed, FoundContext, Home, MayWork, Peers, Targets,
};
use swarm_sim::{HostId, Sim, SimHandle};
use swarm_types::{ClusterName, FeedId, NodeId, ObjectKind, StreamId, Uuid};

pub(crate) use elsewhere::{Asked, Elsewhere, Mood};
pub(crate) use heard::{Heard, read_heard};
use seat::Seat;
pub(crate) use shelf::Shelf;
pub(crate) use streams::{
    alias, named, object, of_domains, stamp, stream, to, tombstone, volume, with,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// Where the town is.
pub(crate) const TOWN: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// One node.
pub(crate) struct Neighbour {
    shelves: Mutex<Vec<Arc<Shelf>>>,
    feeds: OnceLock<Feeds>,
    may: Mutex<MayWork>,
    up: AtomicBool,
    holds: Arc<AtomicUsize>,
}

/// The town. All of it runs on one host of the harness, whose tasks may share memory.
#[derive(Clone)]
pub(crate) struct Town {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    world: SimHandle,
    host: HostId,
    nodes: Vec<Neighbour>,
    elsewhere: BTreeMap<String, Arc<Elsewhere>>,
    contexts: Mutex<BTreeMap<Uuid, FoundContext>>,
    /// Messages between nodes are lost.
    deaf: AtomicBool,
    /// Its feeds go over the network.
    real: bool,
    /// Contexts that were asked for.
    lookups: AtomicUsize,
}

/// Brings about what is to be there before a town.
pub(crate) type BuildWorld = Box<dyn FnOnce(&SimHandle) + Send>;

/// How a town is built.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) volumes: usize,
    pub(crate) settings: FeedSettings,
    /// Brings about what is to be there before the town; and then its feeds go over the network, to whoever is there.
    pub(crate) world: Option<BuildWorld>,
    /// Clusters elsewhere; the feed of each has its number here, from 0.
    pub(crate) elsewhere: &'static [&'static str],
}

impl Plan {
    /// Nodes with one volume each, and one cluster elsewhere, `west`, to which no feed leads yet.
    pub(crate) fn of(nodes: usize) -> Self {
        let settings = FeedSettings::default();
        Self { seed: 1, nodes, volumes: 1, settings, world: None, elsewhere: &["west"] }
    }

    /// Builds it and runs the story to its end.
    pub(crate) fn run<F, Fut>(mut self, story: F) -> Fut::Output
    where
        F: FnOnce(Town) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Send + 'static,
    {
        let mut sim = Sim::seeded(self.seed);
        let world = sim.handle();
        let host = world.add_host("town", TOWN);
        let real = self.world.take().map(|build| build(&world)).is_some();
        let theirs = world.clone();
        let out = sim.block_on(host, async move {
            let town = Town::build(theirs, host, &self, real);
            drop(self);
            story(town).await
        });
        assert!(world.panics().is_empty(), "{:?}", world.panics());
        out
    }
}

impl Town {
    fn build(world: SimHandle, host: HostId, plan: &Plan, real: bool) -> Self {
        let env = world.env(host);
        let shelf = |node, nth| Arc::new(Shelf::new(&env, volume(node, nth)));
        let neighbour = |node| Neighbour {
            shelves: Mutex::new((1..=plan.volumes).map(|nth| shelf(node, nth)).collect()),
            feeds: OnceLock::new(),
            may: Mutex::new(MayWork::Yes),
            up: AtomicBool::new(true),
            holds: Arc::default(),
        };
        let elsewhere = |name: &&str| ((*name).to_owned(), Arc::new(Elsewhere::new(&env)));
        let inner = Arc::new(Inner {
            nodes: (1..=plan.nodes).map(neighbour).collect(),
            elsewhere: plan.elsewhere.iter().map(elsewhere).collect(),
            env: env.clone(),
            world,
            host,
            contexts: Mutex::default(),
            deaf: AtomicBool::new(false),
            real,
            lookups: AtomicUsize::new(0),
        });
        let town = Self { inner };
        for node in 1..=plan.nodes {
            let feeds = town.start(node, Table::default(), plan.settings);
            assert!(town.node(node).feeds.set(feeds).is_ok(), "started once");
        }
        town
    }

    /// Starts the feeds of a node, beside those that it has.
    pub(crate) fn start(&self, node: usize, table: Table, settings: FeedSettings) -> Feeds {
        let seat = Arc::new(Seat { town: self.clone(), me: node });
        let home = Arc::clone(&seat) as Arc<dyn Home>;
        let peers = Arc::clone(&seat) as Arc<dyn Peers>;
        let targets: Arc<dyn Targets> = if self.inner.real {
            Arc::new(ClusterTargets::new(&self.inner.env, Arc::clone(&home)))
        } else {
            seat
        };
        let around = Around { home, peers, targets };
        Feeds::start(&self.inner.env, around, table, settings)
    }

    pub(crate) fn env(&self) -> &Env {
        &self.inner.env
    }

    pub(crate) fn host(&self) -> HostId {
        self.inner.host
    }

    pub(crate) fn world(&self) -> &SimHandle {
        &self.inner.world
    }

    fn node(&self, node: usize) -> &Neighbour {
        &self.inner.nodes[node - 1]
    }

    pub(crate) fn feeds(&self, node: usize) -> &Feeds {
        self.node(node).feeds.get().unwrap()
    }

    pub(crate) fn shelf(&self, node: usize, nth: usize) -> Arc<Shelf> {
        Arc::clone(&self.node(node).shelves.lock().unwrap()[nth - 1])
    }

    /// Takes a volume out of a node.
    pub(crate) fn pull(&self, node: usize, nth: usize) -> Arc<Shelf> {
        self.node(node).shelves.lock().unwrap().remove(nth - 1)
    }

    /// Puts a volume into a node.
    pub(crate) fn insert(&self, node: usize, shelf: Arc<Shelf>) {
        shelf.mounts.fetch_add(1, Ordering::Relaxed);
        self.node(node).shelves.lock().unwrap().push(shelf);
    }

    pub(crate) fn west(&self) -> Arc<Elsewhere> {
        Arc::clone(&self.inner.elsewhere["west"])
    }

    pub(crate) fn elsewhere(&self, name: &str) -> Arc<Elsewhere> {
        Arc::clone(&self.inner.elsewhere[name])
    }

    pub(crate) fn set_may(&self, node: usize, may: MayWork) {
        *self.node(node).may.lock().unwrap() = may;
    }

    /// Messages between nodes are lost from now on, or not any more.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.inner.deaf.store(deaf, Ordering::Relaxed);
    }

    pub(crate) fn down(&self, node: usize) {
        self.node(node).up.store(false, Ordering::Relaxed);
        self.set_may(node, MayWork::No);
    }

    pub(crate) fn lookups(&self) -> usize {
        self.inner.lookups.load(Ordering::Relaxed)
    }

    /// Changes the table of all nodes.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Table, Author) -> T) -> T {
        let mut table = self.feeds(1).table();
        let author = Author { node: NodeId(Ipv4Addr::new(10, 0, 0, 1)), now: self.env().wall() };
        let out = change(&mut table, author);
        for node in 1..=self.inner.nodes.len() {
            self.feeds(node).adopt(table.clone());
        }
        out
    }

    /// Creates a feed.
    pub(crate) fn create(&self, raw: RawFeed) -> FeedId {
        let definition = check(raw, &ClusterName::from("east")).unwrap();
        self.change(|table, author| table.create(definition, author).unwrap())
    }

    /// Changes the definition of a feed.
    pub(crate) fn edit(&self, id: FeedId, change: RawFeed) {
        self.change(|table, author| {
            let before = table.get(id).unwrap().definition.clone();
            let after = before.edited(change, &ClusterName::from("east")).unwrap();
            table.edit(id, after, author).unwrap();
        });
    }

    /// Files a stream on the first volumes of these nodes, as a write does: the first of them goes first, and each knows of the
    /// others.
    pub(crate) fn write(&self, nodes: &[usize], filed: &Filed) {
        for node in nodes {
            let others = nodes.iter().filter(|other| *other != node);
            let holders = others.map(|other| volume(*other, 1)).collect();
            let first = *node == nodes[0];
            let filed = Filed { first, holders, ..filed.clone() };
            let brief = filed.brief();
            self.shelf(*node, 1).put(filed);
            self.feeds(*node).filed(brief);
        }
    }

    /// Makes a context known to all nodes.
    pub(crate) fn name_context(&self, alias: Uuid, found: FoundContext) {
        self.inner.contexts.lock().unwrap().insert(alias, found);
    }

    /// A domain and a bucket in it, with the aliases of these numbers, known to everybody and filed on this node. Returns their
    /// streams.
    pub(crate) fn found_domain(
        &self,
        node: usize,
        domain: (u8, &str),
        bucket: u8,
    ) -> [StreamId; 2] {
        let ids = [stream(90_000 + u32::from(domain.0)), stream(90_000 + u32::from(bucket))];
        let parents = [Uuid::ROOT, alias(domain.0)];
        let kinds = [ObjectKind::Domain, ObjectKind::Bucket];
        let names = [domain.1.to_owned(), format!("bucket{bucket}")];
        for (at, nth) in [domain.0, bucket].into_iter().enumerate() {
            let name = names[at].clone();
            let (stream, kind, parent) = (ids[at], kinds[at], Some(parents[at]));
            self.name_context(
                alias(nth),
                FoundContext { stream, kind, name: name.clone(), parent },
            );
            let filed = with(object(stream, stamp(1)), |meta| {
                (meta.kind, meta.alias, meta.cid) = (kind, Some(alias(nth)), parent);
                (meta.name, meta.length) = (Some(name), 0);
            });
            self.write(&[node], &filed);
        }
        ids
    }

    pub(crate) async fn wait(&self, wait: Duration) {
        self.env().sleep(wait).await;
    }

    /// Waits until something holds, at most so long.
    pub(crate) async fn until(&self, limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
        let end = self.env().now() + limit;
        while !holds() {
            assert!(self.env().now() < end, "not within {limit:?}: {what}");
            self.wait(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn stats(&self, node: usize, feed: u32) -> NodeFeed {
        self.feeds(node).stats()[&FeedId(feed)].clone()
    }

    /// Whether nothing is left to be done on any node.
    pub(crate) fn is_at_rest(&self) -> bool {
        (1..=self.inner.nodes.len()).all(|node| {
            let queues = self.feeds(node).queues();
            queues.iter().all(|(_, depth, _)| *depth == 0) && self.is_drained(node)
        })
    }

    fn why_not_at_rest(&self) -> String {
        let nodes = (1..=self.inner.nodes.len()).map(|node| {
            let queues = self.feeds(node).queues();
            let full: Vec<_> = queues.iter().filter(|(_, depth, _)| *depth > 0).collect();
            let stats = self.feeds(node).stats();
            let feeds: Vec<_> = stats.values().map(|feed| (feed.state, feed.gauges)).collect();
            format!("node {node}: {full:?} {feeds:?}\n")
        });
        nodes.collect()
    }

    fn is_drained(&self, node: usize) -> bool {
        self.feeds(node).stats().values().all(|feed| feed.gauges.waiting() == 0)
    }

    /// Waits until nothing is left to be done, and looks that nothing is.
    pub(crate) async fn rest(&self, limit: Duration) {
        let end = self.env().now() + limit;
        while !self.is_at_rest() {
            assert!(self.env().now() < end, "not within {limit:?}: {}", self.why_not_at_rest());
            self.wait(Duration::from_millis(20)).await;
        }
        self.wait(SECOND).await;
        let tasks = self.inner.world.tasks(self.inner.host);
        let surplus: Vec<_> = tasks.keys().filter(|name| name.starts_with("feed-")).collect();
        assert!(surplus.is_empty(), "{surplus:?} at rest");
        for node in &self.inner.nodes {
            assert_eq!(node.holds.load(Ordering::Relaxed), 0, "a node is kept from stopping");
        }
    }
}
