//! One Swarm node: membership, lookup, bidding, writes, reads and deletes.

pub mod api;
pub mod read;
pub mod write;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use swarm_env::Env;
use swarm_types::{ClusterName, NodeId, VolumeId};

/// A running node. Cheap to clone; the node lives until its incarnation ends or [`Node::stop`] is called.
#[derive(Clone)]
pub struct Node {
    inner: Arc<()>,
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
    pub group: std::net::SocketAddrV4,
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

impl Node {
    /// Starts a node: mounts or formats the disks of `env`, joins the cluster, serves its peers. Returns as soon as peers
    /// and requests are being served; the state goes on from `mounting` to `ok` by itself.
    ///
    /// # Errors
    /// See [`StartError`].
    #[expect(clippy::unused_async, reason = "the interface comes before its content")]
    pub async fn start(env: Env, config: NodeConfig) -> Result<Self, StartError> {
        drop((env, config));
        Ok(Self { inner: Arc::new(()) })
    }

    /// Graceful stop: tells the peers (`maintenance`), finishes requests for at most `finishing`, unmounts the volumes.
    pub async fn stop(&self) {
        drop(Arc::clone(&self.inner));
    }

    /// The environment.
    #[must_use]
    pub fn env(&self) -> &Env {
        unimplemented!("the interface comes before its content")
    }

    /// What the node was started with.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        unimplemented!("the interface comes before its content")
    }

    /// The typed settings in force.
    #[must_use]
    pub fn administrators(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// A snapshot of the node's state for `GET /` and the management port.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        unimplemented!("the interface comes before its content")
    }
}

/// A snapshot of one node's state and of what it knows of the others.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// Which node.
    pub id: NodeId,
    /// Its state.
    pub state: NodeState,
    /// Its volumes, in the order of their disks.
    pub volumes: Vec<VolumeStatus>,
    /// The members it knows, itself left out, by id.
    pub members: Vec<(NodeId, NodeState)>,
    /// Requests being served now.
    pub requests: u64,
    /// Work under way that is no request: replicas being received, deletes being told to others.
    pub background: u64,
    /// Operation counters by name, sorted.
    pub counters: BTreeMap<&'static str, u64>,
    /// Sum of capacity over the volumes of all known members, bytes.
    pub cluster_capacity: u64,
    /// Sum of free space over the volumes of all known members, bytes.
    pub cluster_free: u64,
}

/// One volume of a node.
#[derive(Debug, Clone)]
pub struct VolumeStatus {
    /// Its id; none while it could not be mounted.
    pub id: Option<VolumeId>,
    /// Serial of its disk.
    pub disk: String,
    /// `ok`, `mounting`, `unavailable`.
    pub state: &'static str,
    /// Why it is not `ok`, for the operator.
    pub problem: Option<String>,
    /// Data region, live, directly writable and trapped bytes: `used + free + trapped = capacity`.
    pub capacity: u64,
    /// Bytes of live streams.
    pub used: u64,
    /// Directly writable bytes.
    pub free: u64,
    /// Bytes of holes.
    pub trapped: u64,
    /// Live streams.
    pub streams: u64,
}

/// States of a node (Using the Chassis Detail page); `unreachable` is our name for one that missed six beacons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// At least one volume is being mounted.
    Mounting,
    /// Mounted, learning the cluster; not ready for clients.
    Initializing,
    /// Normal.
    Ok,
    /// Finishing open requests before a graceful stop.
    Finalizing,
    /// Stopped by its administrator; expected back.
    Maintenance,
    /// Silent for 60 s: not asked for bids.
    Unreachable,
    /// Silent for 120 s.
    Offline,
}

impl NodeState {
    /// The word shown to users, lower case.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mounting => "mounting",
            Self::Initializing => "initializing",
            Self::Ok => "ok",
            Self::Finalizing => "finalizing",
            Self::Maintenance => "maintenance",
            Self::Unreachable => "unreachable",
            Self::Offline => "offline",
        }
    }
}
