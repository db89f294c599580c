//! The control surface of a running world.

use std::net::SocketAddr;

use swarm_env::Env;
use swarm_types::Instant;

use crate::spec::{DiskRef, NodeRef};

/// Something that an operator, an accident or time does to a cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Process gone at once: its peers' connections are reset; what its disks were given they still write.
    Kill(NodeRef),
    /// Power gone: silence on the network, unsynced writes dropped or torn.
    PowerOff(NodeRef),
    /// Graceful stop; completes when the node has stopped.
    Stop(NodeRef),
    /// Starts a node that is off; completes when its process runs.
    Start(NodeRef),
    /// The process stands still: no task runs, buffers fill.
    Pause(NodeRef),
    /// The process goes on.
    Resume(NodeRef),
    /// [`Action::Kill`], then its disks are blank.
    Wipe(NodeRef),
    /// Traffic between nodes stalls or is lost until [`Action::Heal`] undoes it.
    Cut(Cut),
    /// Undoes an earlier cut, by the number in its [`Applied`].
    Heal(u64),
    /// Damages this share of the blocks that hold data, chosen by the seed, in parts per million (at least one block).
    Rot {
        /// The disk.
        disk: DiskRef,
        /// Share of its written blocks, in parts per million.
        share_ppm: u32,
    },
    /// Sets how far the node's wall clock is off, in nanoseconds.
    Skew {
        /// The node.
        node: NodeRef,
        /// Added to true time, in nanoseconds.
        offset_ns: i64,
    },
}

/// What a cut separates. Clients stay connected to every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// These nodes from all other nodes of their cluster, and from each other.
    Isolate(Vec<NodeRef>),
    /// Each group from every other group.
    Partition(Vec<Vec<NodeRef>>),
    /// Multicast from and to these nodes is lost; unicast works.
    Multicast(Vec<NodeRef>),
}

/// An action that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Number of the action, for [`World::effects`] and [`Action::Heal`].
    pub number: u64,
    /// When.
    pub at: Instant,
}

/// Whether a node's process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Running.
    Running,
    /// Standing still.
    Paused,
    /// Killed, stopped or without power.
    Off,
}

/// What a fault really destroyed: bytes that had been durable, or were claimed to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// When.
    pub at: Instant,
    /// On which disk.
    pub disk: DiskRef,
    /// How.
    pub kind: DamageKind,
    /// The damaged ranges: offset and length in bytes on the disk. Empty for a whole disk.
    pub ranges: Vec<(u64, u64)>,
}

/// How bytes were destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// Changed in place.
    Rot,
    /// The whole disk made blank.
    Wiped,
}

/// A node that panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePanic {
    /// Which.
    pub node: NodeRef,
    /// When.
    pub at: Instant,
    /// Message and place.
    pub message: String,
}

/// The durable bytes of one disk, for judges: a snapshot that further writes do not change.
pub trait Image: Send + Sync {
    /// Size of the disk in bytes.
    fn len(&self) -> u64;

    /// True for a disk of no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes at `offset`; never written ones are zero.
    fn read(&self, offset: u64, out: &mut [u8]);
}

/// A running world as a harness sees it. In a simulation every method is called from a task of the harness.
pub trait World: Send + Sync {
    /// The harness' own environment: time, dice, tasks, and a host outside all clusters.
    fn env(&self) -> &Env;

    /// Environments of the client hosts.
    fn clients(&self) -> &[Env];

    /// The nodes of a cluster, in order; empty for an unknown cluster.
    fn nodes(&self, cluster: &str) -> Vec<NodeRef>;

    /// The disks of a node, in order.
    fn disks(&self, node: &NodeRef) -> Vec<DiskRef>;

    /// Where a node answers SCSP.
    fn scsp(&self, node: &NodeRef) -> SocketAddr;

    /// Where a node answers management requests.
    fn management(&self, node: &NodeRef) -> SocketAddr;

    /// Whether a node's process runs.
    fn life(&self, node: &NodeRef) -> Life;

    /// Carries out an action; completes when it is in force.
    ///
    /// # Errors
    /// A sentence for the user where the action makes no sense now (starting a running node) or not in this world.
    fn apply(&self, action: Action) -> swarm_env::BoxFuture<'_, Result<Applied, String>>;

    /// How many outcomes the action has changed so far: bytes lost, reads that met damage, messages not delivered,
    /// connections reset, times read while off. An action that changed nothing did not bite.
    fn effects(&self, number: u64) -> u64;

    /// Everything that faults have destroyed so far, in order.
    fn damage(&self) -> Vec<Damage>;

    /// Nodes that panicked so far, in order.
    fn panics(&self) -> Vec<NodePanic>;

    /// What is durable on a disk now.
    fn image(&self, disk: &DiskRef) -> Box<dyn Image>;

    /// The index of a disk's volume as key and value bytes, for judges; `None` where the world cannot show it.
    fn index(&self, disk: &DiskRef) -> Option<Vec<(Vec<u8>, Vec<u8>)>>;
}
