//! What a node tells of itself: snapshots for `GET /` and the management port.

use std::collections::BTreeMap;

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
}

/// One volume of a node.
#[derive(Debug, Clone)]
pub struct VolumeStatus {
    /// Its id; none while it is not mounted.
    pub id: Option<VolumeId>,
    /// Serial of its disk.
    pub disk: String,
    /// `ok`, `mounting` or `unavailable`.
    pub state: &'static str,
    /// Why it is not `ok`, for the operator.
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
}

/// States of a node (Viewing and Managing Chassis); `unreachable` is our name for one that missed six beacons.
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
