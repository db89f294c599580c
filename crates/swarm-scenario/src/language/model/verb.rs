//! What a step does, by what it does it to: whoever carries out one kind is told by the compiler which of them it misses.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_cluster::{DiskFault, Ending, LinkChange, Point, Reply};

use super::{DiskSelector, FeedVerb, NodeSelector, Targets, Via};
use crate::language::units::Span;

/// What a step does.
#[derive(Debug, Clone)]
pub enum Verb {
    /// Something to the power or the process of nodes.
    Power(Power, NodeSelector),
    /// Something to the network.
    Network(NetworkVerb),
    /// Something to disks.
    Disk(DiskVerb),
    /// Something to clocks.
    Clock(ClockVerb),
    /// Sends one request.
    Request(Box<Request>),
    /// Starts a workload.
    StartWorkload(String),
    /// Ends a workload.
    StopWorkload(String),
    /// Empties volumes, or goes on with them.
    Retire {
        /// Which.
        of: Targets,
        /// How.
        how: Retire,
    },
    /// Mounts volumes that are refused because they were away for too long.
    MountStale(Targets),
    /// Changes a setting of a cluster.
    Set {
        /// The cluster.
        cluster: String,
        /// The setting.
        name: String,
        /// Its value as text.
        value: String,
    },
    /// Notes which content every object of a cluster has.
    Remember(String),
    /// Something to a feed.
    Feed(FeedVerb, String),
    /// Writes again what a snapshot has.
    Restore {
        /// Name of the `remember` that took it.
        snapshot: String,
        /// The cluster that is read.
        from: String,
        /// The cluster that is written to.
        to: String,
    },
}

/// What is done to the network.
#[derive(Debug, Clone)]
pub enum NetworkVerb {
    /// Cuts nodes off.
    Isolate(NodeSelector),
    /// Cuts groups off from each other.
    Partition(Vec<NodeSelector>),
    /// Loses the multicast of nodes.
    BreakMulticast(NodeSelector),
    /// Cuts nodes off from these others, or from all other nodes of their clusters.
    Cut {
        /// The nodes.
        nodes: NodeSelector,
        /// The others.
        to: Option<NodeSelector>,
        /// Which way.
        direction: Direction,
    },
    /// Makes the network forget the connections of nodes with others.
    HalfOpen(NodeSelector),
    /// Makes the network worse.
    Degrade {
        /// Around these nodes.
        nodes: NodeSelector,
        /// Their traffic with whom.
        with: Company,
        /// How.
        change: LinkChange,
    },
    /// Cuts a request short.
    Truncate {
        /// Which.
        request: Truncated,
        /// How many bytes go through.
        at_byte: u64,
        /// What becomes of the connection.
        ending: Ending,
    },
    /// Loses an answer of each node.
    LoseReply {
        /// The nodes.
        nodes: NodeSelector,
        /// Which answer.
        reply: Reply,
        /// What becomes of the connection.
        ending: Ending,
    },
    /// Undoes what a step did to the network, or all of it.
    Heal(Option<String>),
}

/// With whom traffic is made worse.
#[derive(Debug, Clone)]
pub enum Company {
    /// With each other and all other nodes of their clusters.
    Nodes,
    /// With clients.
    Clients,
    /// With these.
    These(NodeSelector),
}

/// What is done to disks.
#[derive(Debug, Clone)]
pub enum DiskVerb {
    /// Damages blocks, in parts per million of those that hold data.
    Rot(DiskSelector, u32),
    /// Makes blocks unreadable, in parts per million of those that hold data.
    Unreadable(DiskSelector, u32),
    /// Lets something be wrong with disks.
    Fault(DiskSelector, DiskFault),
    /// Ends whatever is wrong with disks.
    Heal(DiskSelector),
    /// Pulls disks out of their nodes.
    Pull(DiskSelector),
    /// Plugs disks into a node, or each into the one that it was delivered in.
    Insert(DiskSelector, Option<NodeSelector>),
    /// Pulls disks and plugs blank ones in.
    Replace(DiskSelector),
    /// Takes the index of volumes.
    LoseIndex(DiskSelector),
}

/// What is done to clocks.
#[derive(Debug, Clone)]
pub enum ClockVerb {
    /// Sets clocks off, in nanoseconds.
    Skew(NodeSelector, i64),
    /// Lets clocks gain so many microseconds in a second.
    Drift(NodeSelector, i32),
    /// Moves clocks, in nanoseconds.
    Step(NodeSelector, i64),
    /// Lets a quiet stretch pass.
    Skip(Span),
}

impl Verb {
    /// How long it takes from its start until it is as bad as it will be.
    #[must_use]
    pub const fn takes(&self) -> Duration {
        match self {
            Self::Disk(DiskVerb::Fault(_, DiskFault::Slow { over, .. })) => *over,
            _ => Duration::ZERO,
        }
    }

    /// True for a verb that is meant to change outcomes or states.
    #[must_use]
    pub const fn must_bite(&self) -> bool {
        !matches!(
            self,
            Self::Power(Power::Start, _)
                | Self::Network(NetworkVerb::Heal(_))
                | Self::Request(_)
                | Self::StartWorkload(_)
                | Self::StopWorkload(_)
                | Self::Disk(DiskVerb::Heal(_))
                | Self::Remember(_)
                | Self::Restore { .. }
        )
    }
}

/// The setting behind `suspend-recovery` and `resume-recovery`.
pub const RECOVERY_SUSPENDED: &str = "recovery.suspended";

/// What becomes of volumes that are retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retire {
    /// Emptied beside everything else.
    Slow,
    /// Emptied before everything else.
    Fast,
    /// Not emptied any more.
    Cancel,
}

/// Which way of a cut is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// There and back.
    Both,
    /// What the nodes send.
    Out,
    /// What is sent to the nodes.
    In,
}

/// Which request is cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truncated {
    /// The nth write or update of a workload that begins from now on.
    OfWorkload(String, u32),
    /// The next one to each of these nodes.
    ToNodes(NodeSelector),
}

/// What is done to a node's power or process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Process gone at once.
    Kill,
    /// Power gone.
    PowerOff,
    /// Graceful stop.
    Stop,
    /// Start, or go on after a pause.
    Start,
    /// Stop, and start after so long.
    Restart(Span),
    /// Stand still.
    Pause,
    /// Kill, and blank disks.
    Wipe,
    /// A panic where the process passes this point next, if it does so in time.
    Panic(Point, Duration),
}

/// One request of a client.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, POST and so on.
    pub method: String,
    /// An object (`acme.example/scans/cat.jpg`) or, beginning with `/`, a request target sent as it stands.
    pub path: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Length of its body in bytes.
    pub size: Option<u64>,
    /// Credentials, as `user:password`.
    pub auth: Option<String>,
    /// The client's patience.
    pub patience: Duration,
    /// The status that it must be answered with.
    pub expect_status: Option<u16>,
    /// The cluster it goes to.
    pub cluster: String,
    /// The node of it.
    pub via: Via,
}
