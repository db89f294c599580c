//! The control surface of a running world.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use swarm_env::{Env, Point};
use swarm_types::Instant;

use crate::spec::{DiskRef, LatencySpec, NodeRef};

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
    /// The process panics when it passes this place next; [`Action::Heal`] calls it off.
    Panic {
        /// The node.
        node: NodeRef,
        /// Where.
        point: Point,
    },
    /// [`Action::Kill`], then its disks are blank.
    Wipe(NodeRef),
    /// Traffic between nodes stalls or is lost until [`Action::Heal`] undoes it.
    Cut(Cut),
    /// Changes the network between nodes, or between them and clients, until [`Action::Heal`].
    Degrade {
        /// Where.
        ways: Ways,
        /// How.
        change: LinkChange,
    },
    /// The network forgets every connection that these nodes have with other nodes: what is sent on it arrives nowhere, and
    /// its ends do not know until they time out. New connections work.
    Forget(Vec<NodeRef>),
    /// Cuts a request of a client short, once: [`Action::Heal`] before that calls it off.
    Truncate {
        /// Whose request: the index in [`World::clients`]; anybody's if `None`.
        client: Option<usize>,
        /// To which node; to any if `None`.
        node: Option<NodeRef>,
        /// The next write of a client that contains these bytes (a path, say, or the beginning of a body): the request begins
        /// with it. The first bytes of the next connection if `None`.
        marker: Option<Vec<u8>>,
        /// Everything from this byte of it on is lost.
        at_byte: u64,
        /// What becomes of the connection.
        ending: Ending,
    },
    /// Loses the next answer of a node to a client, once: [`Action::Heal`] before that calls it off.
    LoseReply {
        /// The node.
        node: NodeRef,
        /// Which answer.
        reply: Reply,
        /// What becomes of the connection.
        ending: Ending,
    },
    /// Makes this share of the blocks that hold data unreadable, chosen by the seed, in parts per million (at least one
    /// block). Such a block can be written again.
    Unreadable {
        /// The disk.
        disk: DiskRef,
        /// Share of its written blocks, in parts per million.
        share_ppm: u32,
    },
    /// Lets something be wrong with a disk until [`Action::Heal`] or [`Action::HealDisk`].
    DiskFault {
        /// The disk.
        disk: DiskRef,
        /// What.
        fault: DiskFault,
    },
    /// Ends every [`Action::DiskFault`] of a disk; what was destroyed stays so.
    HealDisk(DiskRef),
    /// Pulls a disk out of the node that it is in. What was not synced is lost as by a power cut.
    PullDisk(DiskRef),
    /// Plugs a disk that was pulled into a node, its own or another of any cluster (in a live world only its own), with what
    /// it holds.
    InsertDisk {
        /// The disk.
        disk: DiskRef,
        /// The node.
        into: NodeRef,
    },
    /// Pulls a disk and plugs a blank one of the same make into the same node. That one has the next number that no disk
    /// delivered in the node has had; in a live world it has the name of the old one, which is gone.
    ReplaceDisk(DiskRef),
    /// Takes the index of a disk's volume, before a node opens the disk next: at once for one that is off, else when it
    /// has started again.
    LoseIndex(DiskRef),
    /// Undoes an earlier fault of the network, of a disk or of a clock, by the number in its [`Applied`].
    Heal(u64),
    /// Damages this share of the blocks that hold data, chosen by the seed, in parts per million (at least one block).
    Rot {
        /// The disk.
        disk: DiskRef,
        /// Share of its written blocks, in parts per million.
        share_ppm: u32,
    },
    /// Sets how far the node's wall clock is off, in nanoseconds, in place of what an earlier one set.
    Skew {
        /// The node.
        node: NodeRef,
        /// Added to true time, in nanoseconds.
        offset_ns: i64,
    },
    /// From now on the node's wall clock gains, or loses, until [`Action::Heal`] puts it right.
    Drift {
        /// The node.
        node: NodeRef,
        /// Microseconds gained in a second.
        ppm: i32,
    },
    /// Moves the node's wall clock at once, until [`Action::Heal`] moves it back.
    StepClock {
        /// The node.
        node: NodeRef,
        /// Added to what it shows, in nanoseconds.
        by_ns: i64,
    },
    /// Lets a quiet stretch pass, in which the harness asks nothing of any node: background intervals stretch so that each
    /// runs about 200 times, dates stay. Completes when it is over; refused while another one lasts. Whatever the harness
    /// itself repeats meanwhile is to be paced by [`Env::background`], or the stretch costs what that costs.
    Skip(Duration),
}

/// What a cut separates. Clients stay connected to every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// These nodes from all other nodes of their cluster, and from each other.
    Isolate(Vec<NodeRef>),
    /// Each group from every other group.
    Partition(Vec<Vec<NodeRef>>),
    /// What the first nodes send to the others is lost; what those send arrives.
    OneWay {
        /// Who is not heard.
        from: Vec<NodeRef>,
        /// Who does not hear.
        to: Vec<NodeRef>,
    },
    /// Multicast from and to these nodes is lost; unicast works.
    Multicast(Vec<NodeRef>),
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// Requests take longer and bytes go slower, in a straight line from what the disk can do.
    Slow {
        /// Time of one request, in the end.
        latency: Duration,
        /// Bytes per second, in the end.
        bandwidth: u64,
        /// How long it takes to become so; zero: at once.
        over: Duration,
    },
    /// Nothing completes.
    Stalled,
    /// Reads fail.
    FailReads {
        /// Share of them, in parts per million.
        share_ppm: u32,
    },
    /// Writes fail, and may have been written in part.
    FailWrites {
        /// Share of them, in parts per million.
        share_ppm: u32,
    },
    /// Syncs fail. As often as not what they should have made durable is given up: it is read as written until the power
    /// goes.
    FailSyncs {
        /// Share of them, in parts per million.
        share_ppm: u32,
    },
    /// Syncs are acknowledged and do nothing; healed, the disk catches up. It bites when the power goes.
    LieAboutSyncs,
    /// Blocks land elsewhere on the disk.
    Misdirect {
        /// Share of the blocks written, in parts per million.
        share_ppm: u32,
    },
    /// Writes are refused.
    ReadOnly,
    /// Somebody else takes the space of the disk: what is written to blocks that hold nothing yet finds room only until this
    /// share of it is taken in all. A node sees less free space and, if it writes an eighth of the disk more all the same,
    /// `StorageFull`; its journal fits into that.
    Full {
        /// Share of the capacity, in parts per million.
        share_ppm: u32,
    },
}

/// Ways of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ways {
    /// Between these nodes and all other nodes of their clusters, and between each other, there and back.
    Around(Vec<NodeRef>),
    /// From each of these nodes to each of those, in that direction only.
    OneWay {
        /// The senders.
        from: Vec<NodeRef>,
        /// The receivers.
        to: Vec<NodeRef>,
    },
    /// Between each of these nodes and each of those, there and back.
    Between(Vec<NodeRef>, Vec<NodeRef>),
    /// Between all clients and these nodes, there and back.
    Clients(Vec<NodeRef>),
}

/// What a fault makes of a way; what is not named stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkChange {
    /// One-way delay.
    pub latency: Option<LatencySpec>,
    /// Bits per second.
    pub bandwidth_bits: Option<u64>,
    /// Lost share, in parts per million: datagrams are lost, streams delayed by a retransmission.
    pub loss_ppm: Option<u32>,
    /// Doubled datagrams, in parts per million.
    pub duplicate_ppm: Option<u32>,
    /// Datagrams that others overtake, in parts per million.
    pub reorder_ppm: Option<u32>,
}

/// What becomes of a connection of which a message was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both ends are reset, once what was sent before has arrived.
    Reset,
    /// Nothing of it arrives any more and nobody is told.
    Silence,
}

/// Which answer of a node is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Any final one; `100 Continue` is none.
    Any,
    /// One that says that the request was carried out (200 to 299).
    Success,
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
    /// Cannot be read any more.
    Unreadable,
    /// Written elsewhere: the ranges are where they should be and where they are.
    Misdirected,
    /// Acknowledged as durable, and lost with the power.
    Unsynced,
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

    /// The disks that are plugged into a node now, in order. Each keeps the name of the node that it was delivered in.
    fn disks(&self, node: &NodeRef) -> Vec<DiskRef>;

    /// The node that a disk is plugged into now; `None` for one that was pulled, and for an unknown one.
    fn plugged_into(&self, disk: &DiskRef) -> Option<NodeRef>;

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

    /// How many outcomes the action has changed so far: bytes lost, reads that met damage, messages late or not delivered,
    /// connections reset, tasks that ran late, disk operations slowed or failed, volumes gone or back, times read while off. An action that changed nothing did not bite.
    fn effects(&self, number: u64) -> u64;

    /// Everything that faults have destroyed so far, in order. It may grow at any time while a disk loses or misdirects what
    /// is written to it.
    fn damage(&self) -> Vec<Damage>;

    /// Nodes that panicked so far, in order.
    fn panics(&self) -> Vec<NodePanic>;

    /// How many tasks of each name the process of a node has now, for judges; `None` where the world cannot tell.
    fn tasks(&self, node: &NodeRef) -> Option<BTreeMap<&'static str, u64>> {
        let _ = node;
        None
    }

    /// Bytes that nodes of one cluster have sent to those of another so far; `None` where the world cannot tell.
    fn carried(&self, from: &str, to: &str) -> Option<u64> {
        let _ = (from, to);
        None
    }

    /// What is durable on a disk now.
    fn image(&self, disk: &DiskRef) -> Box<dyn Image>;

    /// Copies what is durable on a disk now, at `offset`: for those who look often, and at little of it.
    fn peek(&self, disk: &DiskRef, offset: u64, out: &mut [u8]) {
        self.image(disk).read(offset, out);
    }

    /// How often what is durable on a disk has changed so far: as long as it is the same number, so is the disk. `None` where
    /// the world cannot tell.
    fn changes(&self, _disk: &DiskRef) -> Option<u64> {
        None
    }

    /// The index of a disk's volume as key and value bytes, for judges; `None` where the world cannot show it.
    fn index(&self, disk: &DiskRef) -> Option<Vec<(Vec<u8>, Vec<u8>)>>;
}
