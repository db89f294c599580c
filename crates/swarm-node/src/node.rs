//! The node itself: what it is made of, how it starts, joins and stops.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use swarm_env::{Datagrams, Env, Listener, UdpOptions};
use swarm_plan::membership::BEACON_EVERY;
use swarm_types::{ClusterName, NodeId};

use crate::contexts::ContextCache;
use crate::links::Links;
use crate::lookup::Pending;
use crate::members::Members;
use crate::nonces::Nonces;
use crate::settings::Settings;
use crate::volumes::{DISK_TIMEOUT, Volumes};
use crate::wire::{self, Beacon, ClusterTag, Message, StateWire};
use crate::{NodeState, NodeStatus};

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
const PEER_CONNECTIONS_MAX: u64 = 512;
/// Requests served at once; more are refused as unavailable.
const REQUESTS_MAX: u64 = 1024;

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
    pub(crate) settings: Settings,
    pub(crate) id: NodeId,
    pub(crate) tag: ClusterTag,
    pub(crate) nonces: Nonces,
    pub(crate) members: Members,
    pub(crate) volumes: Arc<Volumes>,
    pub(crate) pending: Pending,
    pub(crate) contexts: ContextCache,
    pub(crate) links: Links,
    pub(crate) datagrams: Box<dyn Datagrams>,
    state: Mutex<StateWire>,
    incarnation: u64,
    /// Beacons sent so far.
    beacons: AtomicU64,
    requests: AtomicU64,
    background: AtomicU64,
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
        let inner = Inner {
            id: NodeId(ip),
            tag: ClusterTag::of(&config.cluster),
            nonces: Nonces::new(&env),
            members: Members::default(),
            volumes: Arc::new(Volumes::new(&env)),
            pending: Pending::default(),
            contexts: ContextCache::default(),
            links: Links::default(),
            datagrams,
            state: Mutex::new(StateWire::Mounting),
            incarnation: env.random_u64("incarnation"),
            beacons: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            background: AtomicU64::new(0),
            peer_connections: AtomicU64::new(0),
            counters: Mutex::new(BTreeMap::new()),
            env: env.clone(),
            config,
            settings,
        };
        let node = Self { inner: Arc::new(inner) };
        drop(env.spawn("messages", node.clone().receive_messages()));
        drop(env.spawn("peers", node.clone().accept_peers(listener)));
        drop(env.spawn("join", node.clone().join()));
        Ok(node)
    }

    /// Graceful stop: tells the peers, refuses new requests, waits up to 30 s for open ones, unmounts the volumes. Peers
    /// show the node as `maintenance` afterwards.
    pub async fn stop(&self) {
        self.enter(StateWire::Finalizing);
        let until = self.env().now() + FINISHING;
        while self.inner.is_busy() && self.env().now() < until {
            self.env().sleep(FINISHING_POLL).await;
        }
        // Before the first volume goes: from here on the node cannot say any more what it holds.
        self.enter(StateWire::Maintenance);
        for volume in self.inner.volumes.mounted() {
            if let Err(error) = volume.unmount().await {
                tracing::warn!(node = self.env().name(), volume = %volume.id(), %error, "not unmounted cleanly");
            }
        }
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

    /// What the node was started with.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.inner.config
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// A snapshot of the node's state for `GET /` and the management port.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let inner = &self.inner;
        let now = self.env().now();
        let (capacity, free) = inner.volumes.space();
        let (others_capacity, others_free) = inner.members.space(now);
        NodeStatus {
            id: inner.id,
            state: match inner.state() {
                StateWire::Mounting => NodeState::Mounting,
                StateWire::Initializing => NodeState::Initializing,
                StateWire::Ok => NodeState::Ok,
                StateWire::Finalizing => NodeState::Finalizing,
                StateWire::Maintenance => NodeState::Maintenance,
            },
            volumes: inner.volumes.status(),
            members: inner.members.states(now),
            requests: inner.requests.load(Ordering::Relaxed),
            background: inner.background.load(Ordering::Relaxed),
            counters: inner.counters.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            cluster_capacity: capacity.saturating_add(others_capacity),
            cluster_free: free.saturating_add(others_free),
        }
    }

    /// Mounts, learns the members, and opens for clients.
    async fn join(self) {
        let inner = &self.inner;
        self.enter(StateWire::Mounting);
        inner.volumes.mount_all(&inner.config, &inner.settings).await;
        self.enter(StateWire::Initializing);
        let until = self.env().now() + JOIN_WAIT;
        for _ in 0..JOIN_HELLOS {
            inner.multicast(&Message::Beacon(inner.beacon(true)));
            self.env().sleep(JOIN_WAIT / JOIN_HELLOS).await;
        }
        self.env().sleep_until(until).await;
        self.enter(StateWire::Ok);
        drop(self.env().spawn("disk-tick", self.clone().tick_disks()));
        let mut beacons = self.env().background("beacon", BEACON_EVERY);
        loop {
            beacons.tick().await;
            inner.multicast(&Message::Beacon(inner.beacon(false)));
        }
    }

    /// Changes the state and tells everybody at once.
    fn enter(&self, state: StateWire) {
        *self.inner.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        tracing::info!(node = self.env().name(), ?state, "node state");
        self.inner.multicast(&Message::Beacon(self.inner.beacon(false)));
    }

    async fn tick_disks(self) {
        let mut ticks = self.env().background("disk-tick", DISK_TICK);
        loop {
            ticks.tick().await;
            for volume in self.inner.volumes.mounted() {
                // A disk that does not answer must not keep the others from being looked at.
                match self.env().timeout(DISK_TIMEOUT, volume.touch()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(node = self.env().name(), volume = %volume.id(), %error, "disk tick failed");
                    }
                    Err(_) => {
                        tracing::warn!(node = self.env().name(), volume = %volume.id(), "disk does not answer");
                    }
                }
            }
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
    pub(crate) fn state(&self) -> StateWire {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all that the node has is mounted, so that it can say what it holds, and change it.
    pub(crate) fn knows_its_holdings(&self) -> bool {
        match self.state() {
            StateWire::Initializing | StateWire::Ok | StateWire::Finalizing => true,
            StateWire::Mounting | StateWire::Maintenance => false,
        }
    }

    /// Whether the node serves clients and takes replicas now.
    pub(crate) fn is_serving(&self) -> bool {
        self.state() == StateWire::Ok
    }

    fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) + self.background.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn beacon(&self, hello: bool) -> Beacon {
        let (capacity, free) = self.volumes.space();
        Beacon {
            hello,
            incarnation: self.incarnation,
            number: self.beacons.fetch_add(1, Ordering::Relaxed),
            state: self.state(),
            capacity,
            free,
        }
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

    /// How much work that is no request is under way.
    pub(crate) fn background_now(&self) -> u64 {
        self.background.load(Ordering::Relaxed)
    }

    /// Lets a request in, unless the node is not ready, stopping or full.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Busy, crate::api::Refusal> {
        let why = match self.state() {
            StateWire::Ok if self.requests.load(Ordering::Relaxed) < REQUESTS_MAX => {
                return Ok(self.request());
            }
            StateWire::Ok => "the node has too many requests",
            StateWire::Mounting | StateWire::Initializing => "the node is starting",
            StateWire::Finalizing | StateWire::Maintenance => "the node is stopping",
        };
        Err(crate::api::Refusal::Unavailable { why })
    }
}
