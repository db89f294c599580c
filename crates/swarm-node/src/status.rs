//! What a node tells of itself: snapshots for `GET /` and the management port.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_health::HealthStatus;
use swarm_plan::membership::{Announced, NodeState, VolumeState};
use swarm_types::{NodeId, VolumeId};

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
    /// Sum of capacity over the volumes of all present members, this node included, bytes.
    pub cluster_capacity: u64,
    /// Sum of free space over the same volumes, bytes.
    pub cluster_free: u64,
    /// What the health processor has done and how far it is; empty until the node has mounted what it has.
    pub health: HealthStatus,
}

/// What a node knows of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Which node.
    pub node: NodeId,
    /// What it counts as.
    pub state: NodeState,
    /// What it last announced of itself.
    pub announced: Announced,
    /// Since when nothing was heard of it.
    pub silence: Duration,
    /// The volumes that it last named, with their states; `None` before it has named any.
    pub volumes: Option<Vec<(VolumeId, VolumeState)>>,
}

/// One volume of a node.
#[derive(Debug, Clone)]
pub struct VolumeStatus {
    /// Its id; none while it is not mounted.
    pub id: Option<VolumeId>,
    /// Serial of its disk.
    pub disk: String,
    /// Its state.
    pub state: VolumeState,
    /// What is wrong with it, for the operator.
    pub problem: Option<String>,
    /// Size of the data region, bytes: `used + free + trapped = capacity`.
    pub capacity: u64,
    /// Bytes of live streams.
    pub used: u64,
    /// Directly writable bytes.
    pub free: u64,
    /// Bytes of holes.
    pub trapped: u64,
    /// Live streams.
    pub streams: u64,
    /// It was away for too long and is refused, until an operator says otherwise.
    pub stale: bool,
}
