//! The node itself: what it is made of, how it starts, joins and stops.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use swarm_env::{Datagrams, Env, Listener, UdpOptions};
use swarm_plan::membership::{BEACON_EVERY, Clients, Phase};
use swarm_store::RetirePace;
use swarm_types::{ClusterName, DiskId, NodeId, VolumeId};

use crate::changes::SettingsInForce;
use crate::contexts::{ContextCache, Turns};
use crate::feeds::FeedSide;
use crate::health::HealthSide;
use crate::links::Links;
use crate::lookup::Heard;
use crate::members::{Members, Now};
use crate::nonces::Nonces;
use crate::pending::Pending;
use crate::settings::Settings;
use crate::slots::{MountStaleError, RetireError, Slots};
use crate::state::StateFacts;
use crate::volumes::Volumes;
use crate::wire::{self, ClusterTag, Message};
use crate::{MemberStatus, NodeState, NodeStatus, VolumeState};

/// How often a disk is looked at and its last-touched time renewed (disk heartbeat, KB on I/O errors).
const DISK_TICK: Duration = Duration::from_secs(60);
/// How long a starting node listens for members before it takes itself for the first one. Replies come within one round
/// trip of a local network, so this is long for them and short for whoever starts a cluster.
const JOIN_WAIT: Duration = Duration::from_millis(200);
/// How often a starting node says hello within [`JOIN_WAIT`]: datagrams get lost.
const JOIN_HELLOS: u32 = 4;
/// How long a graceful stop waits for open requests.
const FINISHING: Duration = Duration::from_secs(30);
/// How often a graceful stop looks whether they are finished.
const FINISHING_POLL: Duration = Duration::from_millis(10);
/// Connections from peers served at once; more are closed at once.
pub(crate) const PEER_CONNECTIONS_MAX: u64 = 512;
/// Requests served at once; more are refused as unavailable.
pub(crate) const REQUESTS_MAX: u64 = 1024;

/// A running node. Cheap to clone; it lives until its incarnation ends or [`Node::stop`] is called.
#[derive(Clone)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
}

/// A node that whoever holds this does not keep alive.
#[derive(Clone)]
pub struct WeakNode {
    inner: Weak<Inner>,
}

impl WeakNode {
    /// The node, if its incarnation still lives.
    #[must_use]
    pub fn upgrade(&self) -> Option<Node> {
        self.inner.upgrade().map(|inner| Node { inner })
    }
}

/// What a node needs to know at its start.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// `cluster.name`.
    pub cluster: ClusterName,
    /// SCSP port, the same on every node.
    pub scsp_port: u16,
    /// TCP port for replicas between nodes, the same on every node.
    pub peer_port: u16,
    /// Multicast group and port of the cluster (`cip.group`); the port is also that of the nodes' datagrams.
    pub group: SocketAddrV4,
    /// Settings by their documented names, as text.
    pub settings: BTreeMap<String, String>,
}

/// A node that could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is unknown or has a bad value.
    #[error("setting {name}: {why}")]
    Setting {
        /// The setting.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A port could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// What the clones of a [`Node`] share.
pub(crate) struct Inner {
    pub(crate) env: Env,
    pub(crate) config: NodeConfig,
    pub(crate) settings: SettingsInForce,
    pub(crate) id: NodeId,
    pub(crate) tag: ClusterTag,
    pub(crate) nonces: Nonces,
    pub(crate) members: Members,
    pub(crate) slots: Arc<Slots>,
    pub(crate) volumes: Volumes,
    pub(crate) pending: Pending<Heard>,
    pub(crate) health: HealthSide,
    pub(crate) feeds: FeedSide,
    pub(crate) contexts: ContextCache,
    pub(crate) context_turns: Turns,
    pub(crate) links: Links,
    pub(crate) datagrams: Box<dyn Datagrams>,
    pub(crate) state_facts: StateFacts,
    pub(crate) incarnation: u64,
    /// Beacons sent so far.
    beacons: AtomicU64,
    requests: AtomicU64,
    background: AtomicU64,
    /// What feeds have under way.
    transfers: AtomicU64,
    peer_connections: AtomicU64,
    counters: Mutex<BTreeMap<&'static str, u64>>,
}

/// Counts one piece of work while it lives.
pub(crate) struct Busy {
    inner: Arc<Inner>,
    counter: fn(&Inner) -> &AtomicU64,
}

impl Drop for Busy {
    fn drop(&mut self) {
        (self.counter)(&self.inner).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    /// Starts a node: mounts or formats the disks of `env`, joins the cluster, serves its peers. Returns as soon as peers
    /// are being served; the state goes on from `mounting` to `ok` by itself.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(env: Env, config: NodeConfig) -> Result<Self, StartError> {
        let settings = Settings::from_text(&config.settings)
            .map_err(|error| StartError::Setting { name: error.name, why: error.why })?;
        let ip = env.net().local_ip();
        let at = |port| SocketAddr::new(IpAddr::V4(ip), port);
        let listen = |port| move |source| StartError::Listen { address: at(port), source };
        let options = UdpOptions { port: config.group.port(), group: Some(config.group) };
        let datagrams = env.net().udp(options).await.map_err(listen(config.group.port()))?;
        let listener =
            env.net().listen(config.peer_port).await.map_err(listen(config.peer_port))?;
        let in_force = SettingsInForce::new(config.settings.clone(), settings.clone());
        let slots = Slots::new(&env, config.cluster.clone(), &settings);
        let slots = Arc::new(slots);
        let inner = Arc::new_cyclic(|own| {
            let own = WeakNode { inner: Weak::clone(own) };
            let (cluster, port) = (config.cluster.clone(), config.scsp_port);
            let feeds = FeedSide::start(&env, own, cluster, port, &settings);
            Inner {
                id: NodeId(ip),
                tag: ClusterTag::of(&config.cluster),
                nonces: Nonces::new(&env),
                members: Members::default(),
                volumes: Volumes::new(&env, Arc::clone(&slots), feeds.engine.clone()),
                slots,
                pending: Pending::default(),
                health: HealthSide::default(),
                feeds,
                contexts: ContextCache::default(),
                context_turns: Turns::default(),
                links: Links::default(),
                datagrams,
                state_facts: StateFacts::new(env.now()),
                incarnation: env.random_u64("incarnation"),
                beacons: AtomicU64::new(0),
                requests: AtomicU64::new(0),
                background: AtomicU64::new(0),
                transfers: AtomicU64::new(0),
                peer_connections: AtomicU64::new(0),
                counters: Mutex::new(BTreeMap::new()),
                env: env.clone(),
                config,
                settings: in_force,
            }
        });
        let node = Self { inner };
        drop(env.spawn("messages", node.clone().receive_messages()));
        drop(env.spawn("peers", node.clone().accept_peers(listener)));
        drop(env.spawn("join", node.clone().join()));
        Ok(node)
    }

    /// Graceful stop: tells the peers, refuses new requests, waits up to 30 s for open ones, unmounts the volumes. Peers
    /// show the node as `maintenance` afterwards.
    pub async fn stop(&self) {
        self.inner.enter(Phase::Finalizing);
        let until = self.env().now() + FINISHING;
        while self.inner.is_busy() && self.env().now() < until {
            self.env().sleep(FINISHING_POLL).await;
        }
        // Before the first volume goes: from here on the node cannot say any more what it holds.
        self.inner.enter(Phase::Stopped);
        for volume in self.inner.volumes.mounted() {
            if let Err(error) = volume.unmount().await {
                tracing::warn!(node = self.env().name(), volume = %volume.id(), %error, "not unmounted cleanly");
            }
        }
    }

    /// Whether the node is stopping, or has stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        matches!(self.inner.phase(), Phase::Finalizing | Phase::Stopped)
    }

    /// Has a graceful stop wait, for as long as it waits for anything, until the answer is dropped.
    #[must_use]
    pub fn hold(&self) -> Box<dyn Send> {
        Box::new(self.inner.transfer())
    }

    /// A handle that does not keep the node alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakNode {
        WeakNode { inner: Arc::downgrade(&self.inner) }
    }

    /// The environment.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// Which node it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.inner.id
    }

    /// What the node was started with.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.inner.config
    }

    /// The settings in force now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.settings()
    }

    /// A snapshot of the node's state for `GET /` and the management port.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let inner = &self.inner;
        let now = inner.present();
        let (capacity, free) = inner.slots.space();
        let (others_capacity, others_free) = inner.members.space(now);
        NodeStatus {
            id: inner.id,
            state: inner.state(),
            volumes: inner.slots.status(),
            members: inner.members.states(now),
            requests: inner.requests.load(Ordering::Relaxed),
            background: inner.background.load(Ordering::Relaxed),
            counters: inner.counters.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            cluster_capacity: capacity.saturating_add(others_capacity),
            cluster_free: free.saturating_add(others_free),
            health: inner.health.status(),
        }
    }

    /// The state that the node shows now.
    #[must_use]
    pub fn state(&self) -> NodeState {
        self.inner.state()
    }

    /// Everything that the node knows of the other members, by address.
    #[must_use]
    pub fn members(&self) -> Vec<MemberStatus> {
        self.inner.members.all(self.inner.present())
    }

    /// Takes one of the node's volumes out of service: from now on it delivers, takes nothing new and is emptied into the
    /// cluster. Durable on return. An empty one is retired at once; one that is retiring or retired already stays so.
    ///
    /// # Errors
    /// See [`RetireError`].
    pub async fn retire(
        &self,
        volume: VolumeId,
        pace: RetirePace,
    ) -> Result<VolumeState, RetireError> {
        let state = self.inner.slots.retire(volume, pace).await;
        self.inner.tell_changes();
        state
    }

    /// Puts a volume that is being emptied back into service, durably. A retired one stays retired, and one that errors of
    /// its disk retired is emptied to the end.
    ///
    /// # Errors
    /// See [`RetireError`].
    pub async fn cancel_retire(&self, volume: VolumeId) -> Result<VolumeState, RetireError> {
        let state = self.inner.slots.cancel_retire(volume).await;
        self.inner.tell_changes();
        state
    }

    /// Mounts a volume that is refused because it was away for too long: what was deleted meanwhile may come back with it,
    /// but for what its lifepoints end. From then on it is like any other.
    ///
    /// # Errors
    /// See [`MountStaleError`].
    pub async fn mount_stale(&self, disk: &DiskId) -> Result<VolumeState, MountStaleError> {
        let state = self.inner.slots.mount_stale(disk).await;
        self.meet_tables();
        self.inner.tell_changes();
        state
    }

    /// Mounts, learns the members, and opens for clients.
    async fn join(self) {
        let inner = &self.inner;
        inner.enter(Phase::Mounting);
        inner.slots.mount_all().await;
        self.begin_with_tables();
        self.start_health();
        inner.enter(Phase::Initializing);
        let until = self.env().now() + JOIN_WAIT;
        for _ in 0..JOIN_HELLOS {
            inner.multicast(&Message::Beacon(inner.beacon(true, true)));
            self.env().sleep(JOIN_WAIT / JOIN_HELLOS).await;
        }
        self.env().sleep_until(until).await;
        inner.enter(Phase::Open);
        drop(self.env().spawn("disk-tick", self.clone().tick_disks()));
        drop(self.env().spawn("disk-watch", self.clone().watch_disks()));
        let mut beacons = self.env().background("beacon", BEACON_EVERY);
        loop {
            beacons.tick().await;
            let changed = inner.take_stock();
            inner.multicast(&Message::Beacon(inner.beacon(false, changed)));
        }
    }

    async fn tick_disks(self) {
        let mut ticks = self.env().background("disk-tick", DISK_TICK);
        loop {
            ticks.tick().await;
            self.look_at_plugged(&self.env().disks().list());
            self.inner.slots.heartbeat().await;
            self.meet_tables();
            self.inner.slots.forget_what_is_elsewhere(&self.members());
            self.inner.tell_changes();
        }
    }

    /// Takes note of disks as they come and go.
    async fn watch_disks(self) {
        let mut seen = self.inner.slots.plugged();
        loop {
            seen = self.env().disks().changed(&seen).await;
            self.look_at_plugged(&seen);
        }
    }

    /// Mounts what has come and gives up what is gone; everybody is told of both.
    fn look_at_plugged(&self, plugged: &[DiskId]) {
        let mounts = self.inner.slots.compare_with(plugged);
        self.inner.tell_changes();
        if !mounts.is_empty() {
            let node = self.clone();
            drop(self.env().spawn("disk-came", async move {
                for mount in mounts {
                    mount.join().await;
                }
                node.meet_tables();
                node.inner.tell_changes();
            }));
        }
    }

    async fn accept_peers(self, listener: Box<dyn Listener>) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                self.env().sleep(FINISHING_POLL).await;
                continue;
            };
            if self.inner.peer_connections.load(Ordering::Relaxed) >= PEER_CONNECTIONS_MAX {
                continue;
            }
            let (node, held) = (self.clone(), self.inner.busy(|inner| &inner.peer_connections));
            drop(self.env().spawn("peer", async move {
                node.serve_peer(stream).await;
                drop(held);
            }));
        }
    }
}

impl Inner {
    /// Whether all that the node has is mounted, so that it can say what it holds, and change it.
    pub(crate) fn knows_its_holdings(&self) -> bool {
        match self.phase() {
            Phase::Initializing | Phase::Open | Phase::Finalizing => true,
            Phase::Mounting | Phase::Stopped => false,
        }
    }

    /// Whether the node takes replicas from its peers now.
    pub(crate) fn takes_replicas(&self) -> bool {
        self.state().admission().replicas
    }

    /// Whether clients that are sent on are to ask elsewhere from now on.
    pub(crate) fn sends_clients_away(&self) -> bool {
        self.state().admission().clients == Clients::SentAway
    }

    /// The present, as silences of members are measured.
    pub(crate) fn present(&self) -> Now {
        Now { time: self.env.now(), beats: self.env.background_now(BEACON_EVERY) }
    }

    /// Whether requests are being served.
    pub(crate) fn has_requests(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    fn is_busy(&self) -> bool {
        let work = [&self.requests, &self.background, &self.transfers];
        work.iter().any(|count| count.load(Ordering::Relaxed) > 0)
            || self.feeds.engine.has_unfiled()
    }

    /// The number of the next beacon.
    pub(crate) fn next_beacon(&self) -> u64 {
        self.beacons.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends to one peer, best effort.
    pub(crate) fn send(&self, peer: NodeId, message: &Message) {
        let to = SocketAddr::new(IpAddr::V4(peer.0), self.config.group.port());
        let sent = wire::encode(self.tag, message).map(|payload| self.datagrams.send(to, payload));
        if !matches!(sent, Some(Ok(()))) {
            self.count("datagrams not sent");
        }
    }

    /// Sends to the whole group, best effort.
    pub(crate) fn multicast(&self, message: &Message) {
        let sent = wire::encode(self.tag, message).map(|payload| self.datagrams.multicast(payload));
        if !matches!(sent, Some(Ok(()))) {
            self.count("datagrams not sent");
        }
    }

    /// Adds one to a counter.
    pub(crate) fn count(&self, what: &'static str) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_insert(0) += 1;
    }

    fn busy(self: &Arc<Self>, counter: fn(&Self) -> &AtomicU64) -> Busy {
        counter(self).fetch_add(1, Ordering::Relaxed);
        Busy { inner: Arc::clone(self), counter }
    }

    /// Counts what is left to do of a request that was let in.
    pub(crate) fn request(self: &Arc<Self>) -> Busy {
        self.busy(|inner| &inner.requests)
    }

    /// Counts a piece of work that is no request.
    pub(crate) fn background(self: &Arc<Self>) -> Busy {
        self.busy(|inner| &inner.background)
    }

    /// Counts a piece of work of the feeds. There may be more of it than of what others order.
    pub(crate) fn transfer(self: &Arc<Self>) -> Busy {
        self.busy(|inner| &inner.transfers)
    }

    /// How many requests are under way, what is left to do of those that were answered included.
    pub(crate) fn requests_now(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many connections from peers are open.
    pub(crate) fn peer_connections_now(&self) -> u64 {
        self.peer_connections.load(Ordering::Relaxed)
    }

    /// How much work that is no request is under way.
    pub(crate) fn background_now(&self) -> u64 {
        self.background.load(Ordering::Relaxed)
    }

    /// Lets a request in, unless the node is not ready, stopping or full.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Busy, crate::api::Refusal> {
        let why = match (self.state().admission().clients, self.phase()) {
            (Clients::Served | Clients::SentAway, _) => {
                if self.requests.load(Ordering::Relaxed) < REQUESTS_MAX {
                    self.wake();
                    return Ok(self.request());
                }
                "the node has too many requests"
            }
            (Clients::Unanswered, _) => "the node is retired",
            (Clients::Refused, Phase::Mounting | Phase::Initializing) => "the node is starting",
            (Clients::Refused, _) => "the node is stopping",
        };
        Err(crate::api::Refusal::Unavailable { why })
    }
}
