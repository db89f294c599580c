//! A town of nodes, each with feeds of its own. They keep streams on shelves in the place of volumes, reach each other through
//! calls that take time and may get lost, and deliver to targets that do what they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use swarm_client::Auth;
use swarm_env::{BoxFuture, Env};
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::definition::{RawFeed, check};
use swarm_feeds::result::Delivery;
use swarm_feeds::scope::RawScope;
use swarm_feeds::stats::NodeFeed;
use swarm_feeds::table::{Author, Feed, Table};
use swarm_feeds::wire::Ticket;
use swarm_feeds::{
    About, Around, Brief, Broken, Brought, ClusterTargets, Context, Done, FeedSettings, FeedTarget,
    Feeds, Filed, FoundContext, Home, Manner, MayWork, NotKept, Page, Parcel, Peers, Pull,
    SlotCounts, Streams, Targets, To, What,
};
use swarm_plan::feeds::Told;
use swarm_sim::{HostId, Sim, SimHandle};
use swarm_types::{
    ClusterName, Etag, FeedId, FeedMark, FeedOutcome, FeedSlot, FeedSlots, HeaderList, Instant,
    NodeId, ObjectKind, ObjectMeta, Stamp, StreamId, Uuid, Version, VolumeId,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// Where the town is.
pub(crate) const TOWN: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
/// Longest way of a message, microseconds.
const WAY: u64 = 900;

/// A stream of the tests. They come in no order.
pub(crate) fn stream(nth: u32) -> StreamId {
    let mixed = u64::from(nth + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mixed.to_be_bytes());
    bytes[12..].copy_from_slice(&nth.to_be_bytes());
    StreamId::from_bytes(bytes)
}

pub(crate) fn stamp(ms: u64) -> Stamp {
    Stamp { version: Version(ms), etag: Etag::from_bytes([1; 16]) }
}

/// The volume of this number on the node of this number, from 1.
pub(crate) fn volume(node: usize, nth: usize) -> VolumeId {
    let mut bytes = [0; 16];
    bytes[0] = u8::try_from(node).unwrap();
    bytes[1] = u8::try_from(nth).unwrap();
    VolumeId::from_bytes(bytes)
}

/// Alias UUID of the nth context.
pub(crate) fn alias(nth: u8) -> Uuid {
    Uuid::from_bytes([nth; 16])
}

/// A version of an untenanted object.
pub(crate) fn object(id: StreamId, stamp: Stamp) -> Filed {
    let meta = ObjectMeta {
        kind: ObjectKind::Alias,
        alias: Some(Uuid::from_bytes(*id.as_bytes())),
        cid: None,
        name: None,
        cluster: "east".to_owned(),
        owner: None,
        headers: HeaderList::default(),
        length: 100,
        digest: [0; 16],
    };
    let (what, slots, holders) = (What::Version(meta), FeedSlots::default(), Vec::new());
    Filed { id, stamp, what, slots, first: true, holders }
}

/// The same with other metadata.
pub(crate) fn with(mut filed: Filed, change: impl FnOnce(&mut ObjectMeta)) -> Filed {
    if let What::Version(meta) = &mut filed.what {
        change(meta);
    }
    filed
}

/// A named object in the bucket with this alias.
pub(crate) fn named(id: StreamId, stamp: Stamp, bucket: Uuid) -> Filed {
    with(object(id, stamp), |meta| {
        (meta.kind, meta.alias, meta.cid) = (ObjectKind::Named, None, Some(bucket));
        meta.name = Some(id.to_string());
    })
}

/// The memory of a delete of an untenanted object.
pub(crate) fn tombstone(id: StreamId, stamp: Stamp) -> Filed {
    let kind = ObjectKind::Alias;
    let what = What::Tombstone { kind, alias: None, parent: None, name: None };
    Filed { what, ..object(id, stamp) }
}

/// One volume.
pub(crate) struct Shelf {
    id: VolumeId,
    env: Env,
    streams: Mutex<BTreeMap<StreamId, Filed>>,
    /// Slots are not kept.
    pub(crate) full: AtomicBool,
    /// Nothing is ever filed: the disk hangs.
    pub(crate) hangs: AtomicBool,
    /// Bodies cannot be read.
    pub(crate) broken: AtomicBool,
    pub(crate) settles: AtomicUsize,
    pub(crate) pages: AtomicUsize,
}

impl Shelf {
    pub(crate) fn put(&self, filed: Filed) {
        self.streams.lock().unwrap().insert(filed.id, filed);
    }

    pub(crate) fn take(&self, id: StreamId) {
        self.streams.lock().unwrap().remove(&id);
    }

    pub(crate) fn slot(&self, id: StreamId, feed: u32) -> Option<FeedSlot> {
        let streams = self.streams.lock().unwrap();
        let slots = &streams.get(&id)?.slots;
        slots.iter().find(|slot| slot.feed == FeedId(feed)).copied()
    }

    /// How many slots there are.
    pub(crate) fn counts_all(&self) -> usize {
        self.streams.lock().unwrap().values().map(|filed| filed.slots.iter().len()).sum()
    }

    pub(crate) fn all(&self) -> Vec<Filed> {
        self.streams.lock().unwrap().values().cloned().collect()
    }
}

impl Streams for Shelf {
    fn id(&self) -> VolumeId {
        self.id
    }

    fn page(&self, of: (FeedId, FeedMark), after: Option<StreamId>, scan: usize) -> Page {
        self.pages.fetch_add(1, Ordering::Relaxed);
        let streams = self.streams.lock().unwrap();
        let behind = streams.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        let part: Vec<_> = behind.take(scan).collect();
        let next = if part.len() == scan { part.last().map(|(id, _)| **id) } else { None };
        let found = part.into_iter().filter_map(|(_, filed)| {
            let slot = filed.slots.get(of.0, of.1);
            let retry_at = match slot.map(|slot| slot.outcome) {
                None => None,
                Some(FeedOutcome::Retrying { next_at, .. }) => Some(next_at),
                Some(_) => return None,
            };
            Some(Brief { retry_at, ..filed.brief() })
        });
        Page { found: found.collect(), next }
    }

    fn find(&self, id: StreamId) -> Option<Filed> {
        self.streams.lock().unwrap().get(&id).cloned()
    }

    fn read(&self, filed: &Filed) -> Option<Box<dyn Pull>> {
        let length = filed.brief().length;
        (!self.broken.load(Ordering::Relaxed)).then(|| Box::new(Body(length)) as Box<dyn Pull>)
    }

    fn settle(
        &self,
        slots: Vec<(StreamId, Stamp, FeedSlot)>,
    ) -> BoxFuture<'_, Result<u64, NotKept>> {
        Box::pin(async move {
            self.settles.fetch_add(1, Ordering::Relaxed);
            if self.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            self.env.sleep(Duration::from_millis(3)).await;
            if self.full.load(Ordering::Relaxed) {
                return Err(NotKept);
            }
            let mut streams = self.streams.lock().unwrap();
            let mut kept = 0;
            for (id, stamp, slot) in slots {
                if let Some(filed) = streams.get_mut(&id).filter(|filed| filed.stamp == stamp) {
                    filed.slots.set(slot);
                    kept += 1;
                }
            }
            Ok(kept)
        })
    }

    fn counts(&self, feed: FeedId, mark: FeedMark) -> SlotCounts {
        let mut counts = SlotCounts::default();
        for filed in self.streams.lock().unwrap().values() {
            match filed.slots.get(feed, mark).map(|slot| slot.outcome) {
                None => {}
                Some(FeedOutcome::Success) => counts.success += 1,
                Some(FeedOutcome::Unqualified) => counts.unqualified += 1,
                Some(FeedOutcome::Retrying { .. }) => counts.retrying += 1,
            }
        }
        counts
    }

    fn streams(&self) -> u64 {
        self.streams.lock().unwrap().len() as u64
    }
}

/// A body of this many bytes.
struct Body(u64);

impl Pull for Body {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        let piece = self.0.min(50_000);
        self.0 -= piece;
        let bytes = (piece > 0).then(|| Bytes::from(vec![7; usize::try_from(piece).unwrap()]));
        Box::pin(async move { Ok(bytes) })
    }
}

/// How a target behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers after this time.
    Fine(Duration),
    /// It takes nothing, and says so after a second: not until it is asked again.
    Trouble(TargetTrouble),
    /// It stores what it is given, and never says so.
    Forgets,
}

/// What a target was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Greeting,
    Probe,
    Write,
    Delete,
}

/// One question to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) node: usize,
    pub(crate) asked: Asked,
    pub(crate) id: StreamId,
    pub(crate) stamp: Stamp,
}

/// A cluster elsewhere.
pub(crate) struct Elsewhere {
    env: Env,
    mood: Mutex<Mood>,
    moods: Mutex<BTreeMap<usize, Mood>>,
    holds: Mutex<BTreeMap<StreamId, (Stamp, bool)>>,
    calls: Mutex<Vec<Call>>,
    /// Objects that it refuses, and how.
    refuses: Mutex<BTreeMap<StreamId, Delivery>>,
    /// Streams that must be there before anything else but them is taken.
    demands: Mutex<Vec<StreamId>>,
    under_way: Mutex<BTreeMap<usize, BTreeSet<StreamId>>>,
    most: AtomicUsize,
}

impl Elsewhere {
    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The same as one node meets it.
    pub(crate) fn set_mood_of(&self, node: usize, mood: Mood) {
        self.moods.lock().unwrap().insert(node, mood);
    }

    fn mood(&self, node: usize) -> Mood {
        let own = self.moods.lock().unwrap().get(&node).copied();
        own.unwrap_or(*self.mood.lock().unwrap())
    }

    pub(crate) fn lose(&self, id: StreamId) {
        self.holds.lock().unwrap().remove(&id);
    }

    pub(crate) fn refuse(&self, id: StreamId, how: Option<Delivery>) {
        let mut refuses = self.refuses.lock().unwrap();
        match how {
            Some(how) => drop(refuses.insert(id, how)),
            None => drop(refuses.remove(&id)),
        }
    }

    pub(crate) fn demand(&self, contexts: &[StreamId]) {
        *self.demands.lock().unwrap() = contexts.to_vec();
    }

    pub(crate) fn holds(&self, id: StreamId) -> Option<(Stamp, bool)> {
        self.holds.lock().unwrap().get(&id).copied()
    }

    pub(crate) fn held(&self) -> usize {
        self.holds.lock().unwrap().len()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// How often it was asked this.
    pub(crate) fn asked(&self, asked: Asked) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.asked == asked).count()
    }

    pub(crate) fn forget_calls(&self) {
        self.calls.lock().unwrap().clear();
    }

    /// Most transfers of one node at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Transfers under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.lock().unwrap().values().map(BTreeSet::len).sum()
    }

    fn note(&self, node: usize, asked: Asked, id: StreamId, stamp: Stamp) {
        let at = self.env.now();
        self.calls.lock().unwrap().push(Call { at, node, asked, id, stamp });
    }

    async fn deliver(&self, node: usize, parcel: Parcel, probe: bool) -> Delivery {
        let id = parcel.id();
        {
            let mut under_way = self.under_way.lock().unwrap();
            let here = under_way.entry(node).or_default();
            assert!(here.insert(id), "{id} is under way twice on node {node}");
            self.most.fetch_max(here.len(), Ordering::Relaxed);
        }
        let delivery = self.answer(node, &parcel, probe).await;
        assert!(self.under_way.lock().unwrap().get_mut(&node).unwrap().remove(&id));
        delivery
    }

    async fn answer(&self, node: usize, parcel: &Parcel, probe: bool) -> Delivery {
        let (id, stamp) = (parcel.id(), parcel.stamp());
        let deletes = matches!(parcel, Parcel::Delete(_));
        let before = self.mood(node);
        let pause = match before {
            Mood::Fine(pause) => pause,
            Mood::Trouble(_) | Mood::Forgets => SECOND,
        };
        if probe && !deletes {
            self.note(node, Asked::Probe, id, stamp);
            self.env.sleep(pause).await;
            if let Mood::Trouble(trouble) = before
                && trouble != TargetTrouble::Full
            {
                return Delivery::Target(trouble);
            }
            if self.holds(id).is_some_and(|(held, _)| held >= stamp) {
                return Delivery::Done { already: true };
            }
        }
        self.note(node, if deletes { Asked::Delete } else { Asked::Write }, id, stamp);
        if let Parcel::Version(shipment) = parcel {
            let Some(mut body) = (shipment.open)() else { return Delivery::Unreadable };
            let mut length = 0;
            while let Some(piece) = body.next().await.unwrap() {
                length += piece.len() as u64;
            }
            assert_eq!(length, shipment.meta.length);
        }
        self.env.sleep(pause).await;
        match before {
            Mood::Trouble(TargetTrouble::Full) if deletes => {}
            Mood::Trouble(trouble) => return Delivery::Target(trouble),
            _ => {}
        }
        if let Some(how) = self.refuses.lock().unwrap().get(&id) {
            return *how;
        }
        let demands = self.demands.lock().unwrap().clone();
        let missing = demands.iter().take_while(|demanded| **demanded != id);
        if missing.into_iter().any(|demanded| self.holds(*demanded).is_none()) && !deletes {
            return Delivery::Context;
        }
        let mut holds = self.holds.lock().unwrap();
        let already = holds.get(&id).is_some_and(|(held, _)| *held >= stamp);
        if !already {
            holds.insert(id, (stamp, deletes));
        }
        if before == Mood::Forgets { Delivery::Unknown } else { Delivery::Done { already } }
    }
}

/// The way from one node to a cluster elsewhere.
struct Door {
    node: usize,
    to: Arc<Elsewhere>,
}

impl FeedTarget for Door {
    fn greet(&self) -> BoxFuture<'_, Result<(), TargetTrouble>> {
        Box::pin(async move {
            self.to.note(self.node, Asked::Greeting, stream(0), stamp(0));
            let mood = self.to.mood(self.node);
            match mood {
                Mood::Fine(pause) => {
                    self.to.env.sleep(pause).await;
                    Ok(())
                }
                Mood::Forgets | Mood::Trouble(TargetTrouble::Full) => Ok(()),
                Mood::Trouble(trouble) => {
                    self.to.env.sleep(SECOND).await;
                    Err(trouble)
                }
            }
        })
    }

    fn deliver(&self, parcel: Parcel, manner: Manner) -> BoxFuture<'_, Delivery> {
        Box::pin(self.to.deliver(self.node, parcel, manner.probe))
    }
}

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

/// A feed of everything to this cluster.
pub(crate) fn to(cluster: &str) -> RawFeed {
    RawFeed {
        name: Some(cluster.to_owned()),
        kind: Some("replication".to_owned()),
        hosts: Some(vec!["10.2.0.1".to_owned()]),
        cluster_name: Some(cluster.to_owned()),
        ..RawFeed::default()
    }
}

/// The same of these domains only.
pub(crate) fn of_domains(cluster: &str, domains: &[&str]) -> RawFeed {
    let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
    RawFeed { scope: Some(RawScope { domains, ..RawScope::default() }), ..to(cluster) }
}

impl Town {
    fn build(world: SimHandle, host: HostId, plan: &Plan, real: bool) -> Self {
        let env = world.env(host);
        let shelf = |node, nth| {
            Arc::new(Shelf {
                id: volume(node, nth),
                env: env.clone(),
                streams: Mutex::default(),
                full: AtomicBool::new(false),
                hangs: AtomicBool::new(false),
                broken: AtomicBool::new(false),
                settles: AtomicUsize::new(0),
                pages: AtomicUsize::new(0),
            })
        };
        let neighbour = |node| Neighbour {
            shelves: Mutex::new((1..=plan.volumes).map(|nth| shelf(node, nth)).collect()),
            feeds: OnceLock::new(),
            may: Mutex::new(MayWork::Yes),
            up: AtomicBool::new(true),
            holds: Arc::default(),
        };
        let elsewhere = |name: &&str| {
            let cluster = Elsewhere {
                env: env.clone(),
                mood: Mutex::new(Mood::Fine(Duration::from_millis(5))),
                moods: Mutex::default(),
                holds: Mutex::default(),
                calls: Mutex::default(),
                refuses: Mutex::default(),
                demands: Mutex::default(),
                under_way: Mutex::default(),
                most: AtomicUsize::new(0),
            };
            ((*name).to_owned(), Arc::new(cluster))
        };
        let inner = Arc::new(Inner {
            nodes: (1..=plan.nodes).map(neighbour).collect(),
            elsewhere: plan.elsewhere.iter().map(elsewhere).collect(),
            env,
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

/// A node as its feeds see it.
struct Seat {
    town: Town,
    me: usize,
}

impl Seat {
    fn here(&self) -> &Neighbour {
        self.town.node(self.me)
    }

    /// The nodes that are meant, but for this one and those that are down.
    fn meant(&self, to: &To) -> Vec<usize> {
        let all = 1..=self.town.inner.nodes.len();
        let deaf = self.town.inner.deaf.load(Ordering::Relaxed);
        all.filter(|node| *node != self.me && !deaf)
            .filter(|node| self.town.node(*node).up.load(Ordering::Relaxed))
            .filter(|node| match to {
                To::Everybody => true,
                To::Volumes(volumes) => {
                    let shelves = self.town.node(*node).shelves.lock().unwrap();
                    shelves.iter().any(|shelf| volumes.contains(&shelf.id))
                }
            })
            .collect()
    }

    async fn way(&self) {
        let env = self.town.env();
        env.sleep(Duration::from_micros(env.random_below("way", WAY))).await;
    }
}

/// Counts what keeps a node from stopping.
struct Hold(Arc<AtomicUsize>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Home for Seat {
    fn cluster(&self) -> ClusterName {
        ClusterName::from("east")
    }

    fn may_work(&self) -> MayWork {
        *self.here().may.lock().unwrap()
    }

    fn stores(&self) -> Vec<Arc<dyn Streams>> {
        let shelves = self.here().shelves.lock().unwrap();
        shelves.iter().map(|shelf| Arc::clone(shelf) as Arc<dyn Streams>).collect()
    }

    fn administrator(&self) -> Option<Auth> {
        None
    }

    fn scsp(&self) -> SocketAddr {
        SocketAddr::from((TOWN, 80))
    }

    fn ticket(&self, _: StreamId) -> Ticket {
        Ticket(7)
    }

    fn hold(&self) -> Box<dyn Send> {
        let holds = Arc::clone(&self.here().holds);
        holds.fetch_add(1, Ordering::Relaxed);
        Box::new(Hold(holds))
    }
}

impl Peers for Seat {
    fn tell(&self, to: To, done: Vec<Done>) {
        for node in self.meant(&to) {
            let (feeds, done) = (self.town.feeds(node).clone(), done.clone());
            let env = self.town.env().clone();
            let way = Duration::from_micros(env.random_below("way", WAY));
            drop(self.town.env().spawn("message", async move {
                env.sleep(way).await;
                feeds.hear_done(&done);
            }));
        }
    }

    fn ask(&self, to: To, about: About) -> BoxFuture<'_, Vec<Told>> {
        Box::pin(async move {
            self.way().await;
            let told = self.meant(&to);
            let told = told.into_iter().map(|node| self.town.feeds(node).hear_ask(about)).collect();
            self.way().await;
            told
        })
    }

    fn context(&self, alias: Uuid) -> BoxFuture<'_, Context> {
        Box::pin(async move {
            self.way().await;
            self.town.inner.lookups.fetch_add(1, Ordering::Relaxed);
            if self.town.inner.deaf.load(Ordering::Relaxed) {
                return Context::Unknown;
            }
            let contexts = self.town.inner.contexts.lock().unwrap();
            contexts.get(&alias).cloned().map_or(Context::Gone, Context::Found)
        })
    }

    fn bring(&self, context: StreamId) -> BoxFuture<'_, Option<Brought>> {
        Box::pin(async move {
            self.way().await;
            for node in self.meant(&To::Everybody) {
                let shelves = self.town.node(node).shelves.lock().unwrap().clone();
                let found = shelves.iter().find_map(|shelf| shelf.find(context));
                if let Some(Filed { stamp, what: What::Version(meta), .. }) = found {
                    let body = Bytes::from(vec![7; usize::try_from(meta.length).unwrap()]);
                    return Some(Brought { stamp, meta, body });
                }
            }
            None
        })
    }
}

impl Targets for Seat {
    fn open(&self, feed: &Feed) -> Arc<dyn FeedTarget> {
        let to = self.town.elsewhere(feed.definition.cluster_name.as_str());
        Arc::new(Door { node: self.me, to })
    }
}
