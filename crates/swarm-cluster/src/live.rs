//! A cluster on real sockets and files, in this process.
//!
//! Owns the layout of a live cluster: addresses, ports, multicast group, folder. Every node has a host of its own in
//! [`swarm_env::live`], is started and ended apart from the others, and keeps its disks between its lives.

mod claim;
pub mod folder;
mod running;
mod world;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use swarm_env::Env;
use swarm_env::live::LiveDisk;
use swarm_http::{HttpConfig, Server};
use swarm_node::{Node, NodeConfig, NodeState, VolumeState};

pub use folder::{Contents, Folder, FolderError};
pub use running::{NotRunning, Running, RunningNode};
pub use swarm_env::live::{HostSpec, LiveHost, LiveWorld};
pub use world::LiveClusters;

use claim::Claim;

use crate::spec::settings_of;
use crate::{NodePanic, NodeRef, VOLUME_SIZE_MIN, check_setting};

/// Ports of a node, counted from its SCSP port (our choice: one block that is easy to remember and to open).
const MANAGEMENT_PORT_OFFSET: u16 = 1;
const PEER_PORT_OFFSET: u16 = 2;
const GROUP_PORT_OFFSET: u16 = 3;
/// Nodes of a cluster and clusters side by side; each needs an address of its own in one /8.
const NODES_MAX: u32 = 64;
/// How long a cluster may take to become ready: an index that has to be rebuilt needs a while.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How often a starting cluster is looked at.
const READY_POLL: Duration = Duration::from_millis(5);

/// What a live cluster is made of.
#[derive(Debug, Clone)]
pub struct LiveSpec {
    /// Its name (`cluster.name`); the multicast group follows from it, so two names never mix.
    pub name: String,
    /// Number of nodes; they are `NAME/1` … `NAME/n`.
    pub nodes: u32,
    /// Address of the first node; the others follow.
    pub address: Ipv4Addr,
    /// SCSP port of every node; management, peers and datagrams use the three after it.
    pub port: u16,
    /// Disks of each node.
    pub volumes_per_node: u32,
    /// Size of each disk in bytes; only what is written takes space.
    pub volume_size: u64,
    /// Where it lives; `None` for a temporary folder that is removed when the cluster stops.
    pub folder: Option<PathBuf>,
    /// Draw the multicast group from the first address too: clusters of one name on different addresses stay apart.
    pub apart: bool,
    /// Swarm settings by their documented names, as text.
    pub settings: BTreeMap<String, String>,
    /// Settings of single nodes, by node number, laid over those of the cluster.
    pub node_settings: BTreeMap<u32, BTreeMap<String, String>>,
}

impl LiveSpec {
    fn contents(&self) -> Contents {
        Contents {
            name: self.name.clone(),
            nodes: self.nodes,
            volumes_per_node: self.volumes_per_node,
            volume_size: self.volume_size,
        }
    }

    /// The SCSP addresses of its nodes.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses(self.address, self.nodes, self.port)
    }

    /// The multicast group of the cluster: drawn from its name within 239.192.0.0/14, the range for one organization
    /// (RFC 2365).
    #[must_use]
    pub fn group(&self) -> SocketAddrV4 {
        let place = if self.apart { self.address.octets().to_vec() } else { Vec::new() };
        // FNV-1a, stable for ever; and mixed once more, since names that differ in their last digit only would often meet.
        let bytes = self.name.bytes().chain(place);
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mixed = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        let [a, b, c, ..] = (mixed ^ mixed >> 33).to_le_bytes();
        SocketAddrV4::new(Ipv4Addr::new(239, 192 + (a & 3), b, c), self.port + GROUP_PORT_OFFSET)
    }

    /// An administrator whom its nodes know, with the password; `None` if they know none.
    ///
    /// # Errors
    /// A sentence about a setting that cannot be read.
    pub fn administrator(&self) -> Result<Option<(String, String)>, String> {
        let settings = swarm_node::Settings::from_text(&self.settings);
        let settings = settings.map_err(|error| error.to_string())?;
        Ok(settings.administrators.into_iter().next())
    }

    /// Whether such a cluster can exist, as far as that can be told without touching the machine.
    ///
    /// # Errors
    /// [`UpError::Spec`] with the first thing that is wrong.
    pub fn check(&self) -> Result<(), UpError> {
        let wrong = |why: String| Err(UpError::Spec { why });
        let name_ok =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(name_ok) {
            return wrong(format!(
                "cluster name '{}' must be 1 to 64 of the characters a-z 0-9 - _ .",
                self.name
            ));
        }
        if self.nodes == 0 || self.nodes > NODES_MAX {
            return wrong(format!("{} nodes: a cluster has 1 to {NODES_MAX}", self.nodes));
        }
        if self.volumes_per_node == 0 || self.volumes_per_node > 64 {
            return wrong(format!("{} volumes: a node has 1 to 64", self.volumes_per_node));
        }
        if self.port.checked_add(GROUP_PORT_OFFSET).is_none() || self.port == 0 {
            return wrong(format!(
                "port {} leaves no room for the three ports after it",
                self.port
            ));
        }
        if self.volume_size < VOLUME_SIZE_MIN {
            return wrong(format!(
                "volumes of {} bytes: a volume has at least {VOLUME_SIZE_MIN} ({} MiB)",
                self.volume_size,
                VOLUME_SIZE_MIN >> 20
            ));
        }
        self.check_addresses().map_err(|why| UpError::Spec { why })?;
        let own = self.node_settings.values().flatten();
        for (name, value) in self.settings.iter().chain(own) {
            check_setting(name, value).map_err(|why| UpError::Spec { why })?;
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), String> {
        let first = self.address;
        if let Some(kind) = not_of_a_host(first) {
            return Err(format!(
                "address {first} is {kind}: a node needs one of its own, such as 127.0.0.11"
            ));
        }
        let last = u32::from(first).checked_add(self.nodes - 1).map(Ipv4Addr::from);
        let fits = |last: Ipv4Addr| {
            last.is_loopback() == first.is_loopback() && not_of_a_host(last).is_none()
        };
        if last.is_some_and(fits) {
            Ok(())
        } else {
            Err(format!("there are not {} addresses from {first} on", self.nodes))
        }
    }
}

/// The SCSP addresses of so many nodes, the first of which has this address.
#[must_use]
pub fn addresses(first: Ipv4Addr, nodes: u32, port: u16) -> Vec<SocketAddr> {
    let address = |node| Ipv4Addr::from(u32::from(first).saturating_add(node));
    (0..nodes).map(|node| SocketAddr::from((address(node), port))).collect()
}

/// What keeps a node from having this address, whatever the machine; `None` if nothing does.
fn not_of_a_host(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("every address of the machine")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_broadcast() || address == Ipv4Addr::new(127, 255, 255, 255) {
        Some("a broadcast address")
    } else if matches!(address.octets(), [0 | 240..=255, ..] | [127, 0, 0, 0]) {
        Some("reserved")
    } else {
        None
    }
}

/// A cluster that could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// It cannot exist as asked for.
    #[error("{why}")]
    Spec {
        /// What is wrong.
        why: String,
    },
    /// One of its name runs on this machine and would join it.
    #[error(
        "a cluster named '{name}' already runs on this machine with port {port}; choose another --name or --port"
    )]
    NameTaken {
        /// The name of both.
        name: String,
        /// The SCSP port of both.
        port: u16,
    },
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A node could not start.
    #[error("{node} did not start: {why}")]
    Node {
        /// The node.
        node: NodeRef,
        /// The innermost reason.
        why: String,
    },
    /// It did not become ready in time.
    #[error("cluster '{name}' was not ready after {limit:?}: {why}")]
    NotReady {
        /// The cluster.
        name: String,
        /// The time given.
        limit: Duration,
        /// What was missing.
        why: String,
    },
}

/// A cluster in this process. Dropped without [`LiveCluster::stop`] it ends as if killed.
pub struct LiveCluster {
    world: LiveWorld,
    /// A host outside the cluster, for waiting and asking.
    harness: LiveHost,
    spec: LiveSpec,
    folder: Folder,
    /// One place per node, in order.
    places: Vec<Place>,
    /// Panics of incarnations that are gone.
    panics: Mutex<Vec<NodePanic>>,
    /// Last, so that it is let go when nothing of the cluster runs any more.
    _claim: Option<Claim>,
}

#[derive(Default)]
struct Place {
    /// Held while the node is being started or ended.
    turn: tokio::sync::Mutex<()>,
    /// Empty while the node is off.
    running: Mutex<Option<Incarnation>>,
}

#[derive(Clone)]
struct Incarnation {
    host: LiveHost,
    node: Node,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(running) = self.running() {
            running.host.abort();
        }
    }
}

impl Place {
    fn running(&self) -> Option<Incarnation> {
        lock(&self.running).clone()
    }
}

impl LiveCluster {
    /// Starts all nodes and waits until each is ready for clients and knows the others.
    ///
    /// # Errors
    /// See [`UpError`]; nothing is left running then.
    pub async fn start(world: &LiveWorld, spec: LiveSpec) -> Result<Self, UpError> {
        spec.check()?;
        // Before the folder: a start that is refused leaves no trace.
        let claim = Claim::take(&spec)?;
        let contents = spec.contents();
        let folder = match &spec.folder {
            Some(path) => Folder::take(path, &contents)?,
            None => Folder::temporary(&contents)?,
        };
        let places = (0..spec.nodes).map(|_| Place::default()).collect();
        let name = format!("{}/harness", spec.name);
        let harness = world.host(HostSpec { name, ip: Ipv4Addr::LOCALHOST, disks: Vec::new() });
        let cluster = Self {
            world: world.clone(),
            harness,
            spec,
            folder,
            places,
            panics: Mutex::default(),
            _claim: claim,
        };
        match cluster.start_all().await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.abandon().await;
                Err(error)
            }
        }
    }

    async fn start_all(&self) -> Result<(), UpError> {
        let nodes = self.nodes();
        for node in &nodes {
            self.try_ports(node).await?;
        }
        for started in join_all(nodes.into_iter().map(|node| self.start_node(node))).await {
            started?;
        }
        self.wait_ready().await?;
        Ok(self.folder.tell(&self.running())?)
    }

    fn running(&self) -> Running {
        let node = |node: NodeRef| RunningNode {
            node: node.to_string(),
            scsp: self.scsp(&node),
            management: self.management(&node),
        };
        let nodes = self.nodes().into_iter().map(node).collect();
        Running { name: self.spec.name.clone(), process: std::process::id(), nodes }
    }

    /// Listens on the ports of a node for a moment: one that cannot be had is told before any node mounts its disks.
    async fn try_ports(&self, node: &NodeRef) -> Result<(), UpError> {
        let (name, ip) = (node.to_string(), self.ip(node));
        let host = self.world.host(HostSpec { name, ip, disks: Vec::new() });
        let mut tried = Ok(());
        for offset in [0, MANAGEMENT_PORT_OFFSET, PEER_PORT_OFFSET] {
            if let Err(error) = host.env().net().listen(self.spec.port + offset).await {
                tried = Err(UpError::Node { node: node.clone(), why: innermost(&error) });
                break;
            }
        }
        log_kill(&host).await;
        tried
    }

    /// A host outside the cluster, at 127.0.0.1.
    #[must_use]
    pub fn env(&self) -> &Env {
        self.harness.env()
    }

    /// What it is made of.
    #[must_use]
    pub fn spec(&self) -> &LiveSpec {
        &self.spec
    }

    /// Where it lives.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its nodes, in order.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeRef> {
        let node = |node| NodeRef { cluster: self.spec.name.clone(), node };
        (1..=self.spec.nodes).map(node).collect()
    }

    /// Where a node answers SCSP.
    #[must_use]
    pub fn scsp(&self, node: &NodeRef) -> SocketAddr {
        SocketAddr::from((self.ip(node), self.spec.port))
    }

    /// Where a node answers management requests.
    #[must_use]
    pub fn management(&self, node: &NodeRef) -> SocketAddr {
        SocketAddr::from((self.ip(node), self.spec.port + MANAGEMENT_PORT_OFFSET))
    }

    fn ip(&self, node: &NodeRef) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.spec.address) + node.node - 1)
    }

    fn disks(&self, node: &NodeRef) -> Vec<LiveDisk> {
        self.folder.disks(node, &self.spec.contents())
    }

    /// Sets how far the wall clock of a running node is off. True if it runs.
    fn skew(&self, node: &NodeRef, offset_ns: i64) -> bool {
        let host = self.host(node);
        if let Some(host) = &host {
            host.set_skew(offset_ns);
        }
        host.is_some()
    }

    fn place(&self, node: &NodeRef) -> Option<&Place> {
        let index = usize::try_from(node.node).ok()?.checked_sub(1)?;
        self.places.get(index).filter(|_| node.cluster == self.spec.name)
    }

    /// The host of a node while its process runs.
    fn host(&self, node: &NodeRef) -> Option<LiveHost> {
        let running = self.place(node)?.running()?;
        running.host.is_alive().then_some(running.host)
    }

    /// Whether a node's process runs: it was started, and has neither been ended nor panicked.
    #[must_use]
    pub fn is_running(&self, node: &NodeRef) -> bool {
        self.host(node).is_some()
    }

    /// Starts a node that is off, on the disks it had.
    ///
    /// # Errors
    /// [`UpError::Node`], also for a node that runs or does not exist.
    pub async fn start_node(&self, node: NodeRef) -> Result<(), UpError> {
        let fail = |why: String| UpError::Node { node: node.clone(), why };
        let place = self.place(&node).ok_or_else(|| fail("there is no such node".to_owned()))?;
        let _turn = place.turn.lock().await;
        if self.is_running(&node) {
            return Err(fail("it is running".to_owned()));
        }
        // One that panicked may still hold its disks.
        self.end(place, &node, Farewell::None).await;
        let host = self.world.host(HostSpec {
            name: node.to_string(),
            ip: self.ip(&node),
            disks: self.disks(&node),
        });
        match self.start_on(&host, node.node).await {
            Ok(node) => {
                *lock(&place.running) = Some(Incarnation { host, node });
                Ok(())
            }
            Err(error) => {
                log_kill(&host).await;
                Err(fail(innermost(&*error)))
            }
        }
    }

    /// Starts a process on this host, as a task of it: what it logs on the way has the node's name.
    async fn start_on(
        &self,
        host: &LiveHost,
        number: u32,
    ) -> Result<Node, Box<dyn Error + Send + Sync>> {
        let config = NodeConfig {
            cluster: self.spec.name.as_str().into(),
            scsp_port: self.spec.port,
            peer_port: self.spec.port + PEER_PORT_OFFSET,
            group: self.spec.group(),
            settings: settings_of(&self.spec.settings, &self.spec.node_settings, number),
        };
        let http = HttpConfig {
            scsp_port: self.spec.port,
            management_port: self.spec.port + MANAGEMENT_PORT_OFFSET,
        };
        let env = host.env().clone();
        let starting = host.env().spawn("start", async move {
            let node = Node::start(env, config).await?;
            Server::start(&node, http).await?;
            Ok(node)
        });
        starting.join().await.unwrap_or_else(|| {
            let panic = host.panic().map(|panic| panic.message);
            Err(panic.unwrap_or_else(|| "it ended while it started".to_owned()).into())
        })
    }

    async fn wait_ready(&self) -> Result<(), UpError> {
        let begun = self.env().now();
        loop {
            let Some(why) = self.missing() else { return Ok(()) };
            if let Some(NodePanic { node, message, .. }) = self.panics().into_iter().next() {
                return Err(UpError::Node { node, why: message });
            }
            if self.env().now().since(begun) >= READY_LIMIT {
                let name = self.spec.name.clone();
                return Err(UpError::NotReady { name, limit: READY_LIMIT, why });
            }
            self.env().sleep(READY_POLL).await;
        }
    }

    /// What keeps the cluster from being ready; `None` if nothing does.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let others = self.places.len() - 1;
        for (node, place) in self.nodes().into_iter().zip(&self.places) {
            let running = place.running().filter(|running| running.host.is_alive());
            let Some(Incarnation { node: process, .. }) = running else {
                return Some(format!("{node} is off"));
            };
            let status = process.status();
            if let Some(volume) =
                status.volumes.iter().find(|volume| volume.state != VolumeState::Ok)
            {
                let problem = volume.problem.as_deref().unwrap_or(volume.state.word());
                return Some(format!("{node}, disk {}: {problem}", volume.disk));
            }
            if status.state != NodeState::Ok {
                return Some(format!("{node} is {}", status.state.word()));
            }
            let known = status.members.iter().filter(|(_, state)| *state == NodeState::Ok).count();
            if known < others {
                return Some(format!("{node} knows {known} of {others} other nodes"));
            }
        }
        None
    }

    /// Nodes that panicked so far: those of former lives first, then by node.
    #[must_use]
    pub fn panics(&self) -> Vec<NodePanic> {
        let mut panics = lock(&self.panics).clone();
        for (node, place) in self.nodes().iter().zip(&self.places) {
            panics.extend(place.running().and_then(|running| panic_of(node, &running.host)));
        }
        panics
    }

    /// Ends a node as if its process were killed. True if it was running.
    pub async fn kill_node(&self, node: &NodeRef) -> bool {
        let Some(place) = self.place(node) else { return false };
        let _turn = place.turn.lock().await;
        self.end(place, node, Farewell::None).await
    }

    /// Stops a node gracefully. True if it was running.
    pub async fn stop_node(&self, node: &NodeRef) -> bool {
        let Some(place) = self.place(node) else { return false };
        let _turn = place.turn.lock().await;
        self.end(place, node, Farewell::Graceful).await
    }

    /// The caller holds the place's turn.
    async fn end(&self, place: &Place, node: &NodeRef, farewell: Farewell) -> bool {
        let Some(Incarnation { host, node: process }) = place.running() else { return false };
        let alive = host.is_alive();
        if alive && farewell == Farewell::Graceful {
            // A task of its own host: what it logs has the node's name, and if it panics it is the node that does.
            host.env().spawn("stop", async move { process.stop().await }).join().await;
        }
        log_kill(&host).await;
        lock(&place.running).take();
        lock(&self.panics).extend(panic_of(node, &host));
        alive
    }

    /// Stops all nodes gracefully and lets go of the folder; a temporary one is removed.
    ///
    /// # Errors
    /// If the temporary folder cannot be removed.
    pub async fn stop(self) -> Result<(), FolderError> {
        join_all(self.nodes().iter().map(|node| self.stop_node(node))).await;
        self.folder.close()
    }

    /// Ends whatever runs of a cluster that is not to be.
    async fn abandon(self) {
        join_all(self.nodes().iter().map(|node| self.kill_node(node))).await;
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, "the folder of a cluster that did not start could not be removed");
        }
    }
}

/// How a node is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// It tells its peers and unmounts its volumes first.
    Graceful,
    None,
}

fn panic_of(node: &NodeRef, host: &LiveHost) -> Option<NodePanic> {
    let panic = host.panic()?;
    let message = format!("{} (task '{}')", panic.message, panic.task);
    Some(NodePanic { node: node.clone(), at: panic.at, message })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn log_kill(host: &LiveHost) {
    if let Err(error) = host.kill().await {
        tracing::error!(%error, "a host did not end");
    }
}

/// What is at the bottom of an error: for a port that is taken, the sentence that says so.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
