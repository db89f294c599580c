//! What a scenario says, as values: every word checked, every name resolved to the kind of thing it names.
//!
//! Built by [`super::read`] from a file, or by hand in tests and examples. Nothing here knows how it is carried out.

mod feed;
mod verb;

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_cluster::{ClusterSpec, DiskRef, InterLinkSpec, NodeRef};

pub use self::feed::{Feed, FeedFields, FeedMode, FeedVerb};
pub use self::verb::{
    ClockVerb, Company, Direction, DiskVerb, NetworkVerb, Power, RECOVERY_SUSPENDED, Request,
    Retire, Truncated, Verb,
};
pub use super::comparison::Comparison;
use super::lifepoint::Lifepoint;
use super::pattern::Pattern;
use super::source::Problem;
use super::units::{Rate, Span};
use crate::wire;

/// One scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The stem of its file's name.
    pub name: String,
    /// What happens, in a line.
    pub title: String,
    /// What must hold, and why anybody cares.
    pub why: String,
    /// For `--tag`.
    pub tags: Vec<String>,
    /// Where a run is cut off.
    pub limit: Limit,
    /// Invariants given up by name.
    pub waive: Vec<Waiver>,
    /// The clusters by name.
    pub clusters: BTreeMap<String, ClusterSpec>,
    /// Their names in the order of the file, which is that of their addresses where they are live.
    pub cluster_order: Vec<String>,
    /// The networks between two of them, by name.
    pub links: BTreeMap<String, InterLinkSpec>,
    /// What carries objects from one of them to another.
    pub feeds: Vec<Feed>,
    /// Domains to create before the clock of the scenario starts.
    pub domains: Vec<Context>,
    /// Buckets to create, as `DOMAIN/BUCKET`.
    pub buckets: Vec<Context>,
    /// Traffic.
    pub workloads: Vec<Workload>,
    /// What is done to the clusters.
    pub steps: Vec<Step>,
    /// What is asked beyond the invariants.
    pub expects: Vec<Expect>,
    /// What of it cannot be had in a live world, with its place.
    pub not_live: Vec<Problem>,
    /// What of it can be had in a live world only.
    pub only_live: Vec<Problem>,
}

/// Where a run is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Simulated time; not at rest by then is a failure.
    pub sim: Duration,
    /// Wall time; a watchdog.
    pub wall: Duration,
}

/// An invariant that is not judged, in a window or in the whole run.
#[derive(Debug, Clone)]
pub struct Waiver {
    /// Its name.
    pub invariant: String,
    /// When; the whole run if `None`.
    pub during: Option<Window>,
    /// The reason, shown in every report.
    pub because: String,
}

/// A domain or a bucket.
#[derive(Debug, Clone)]
pub struct Context {
    /// `DOMAIN` or `DOMAIN/BUCKET`.
    pub path: String,
    /// The cluster that has it.
    pub on: String,
    /// Headers of its creation.
    pub headers: BTreeMap<String, String>,
}

impl Context {
    /// The domain that it is, or is in.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.path.split_once('/').map_or(&*self.path, |(domain, _)| domain)
    }

    /// Path and query of requests for it.
    #[must_use]
    pub fn target(&self) -> String {
        let bucket = self.path.split_once('/').map_or("", |(_, bucket)| bucket);
        format!("/{}?domain={}", wire::encode(bucket), wire::encode(self.domain()))
    }
}

/// A part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// From the first start to the last end of a step or workload.
    Named(String),
    /// From one time to another, counted from the start.
    Times(Duration, Duration),
}

/// Traffic of clients.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// The cluster it speaks to.
    pub on: String,
    /// When it starts; `None` where a `start-workload` does it.
    pub start: Option<Start>,
    /// How long operations become due.
    pub lasts: Option<Span>,
    /// How they become due.
    pub pace: Pace,
    /// How many logical clients share the work.
    pub clients: u32,
    /// Operations and their weights.
    pub mix: Vec<(Operation, u32)>,
    /// Classes of objects and their weights.
    pub kinds: Vec<(Kind, u32)>,
    /// `DOMAIN/BUCKET` of named objects, of whose domain the unnamed ones are; empty for untenanted unnamed objects.
    pub within: String,
    /// Sizes of bodies in bytes and their weights.
    pub sizes: Vec<(u64, u32)>,
    /// Number of keys: names, or objects kept alive.
    pub keys: u32,
    /// The workload whose names these are.
    pub names_of: String,
    /// Share of writes that go over an object that is there, in parts per million.
    pub overwrite_ppm: u32,
    /// Headers of every write.
    pub headers: BTreeMap<String, String>,
    /// Lifepoints of every write, in the order of their ends.
    pub lifepoints: Vec<Lifepoint>,
    /// Which node is asked.
    pub via: Via,
    /// When an operation is tried again.
    pub retry: Retry,
    /// The client's patience for one request.
    pub patience: Duration,
    /// A program that is run in place of all that.
    pub program: Option<String>,
    /// Its line in the file, for reports.
    pub line: usize,
}

/// How operations become due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At a rate, whether or not earlier ones have ended, and at most so many.
    Open {
        /// Of all clients together.
        rate: Rate,
        /// At most so many.
        operations: Option<u64>,
    },
    /// So many in all, one after another per client.
    Closed(u64),
}

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// POST.
    Write,
    /// GET.
    Read,
    /// DELETE.
    Delete,
    /// PUT.
    Update,
    /// HEAD.
    Info,
    /// Something that no client should send.
    Malformed,
    /// SEND.
    Send,
    /// APPEND.
    Append,
    /// COPY.
    Copy,
}

impl Operation {
    const ALL: [Self; 9] = [
        Self::Write,
        Self::Read,
        Self::Delete,
        Self::Update,
        Self::Info,
        Self::Malformed,
        Self::Send,
        Self::Append,
        Self::Copy,
    ];

    /// As the language writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Delete => "delete",
            Self::Update => "update",
            Self::Info => "info",
            Self::Malformed => "malformed",
            Self::Send => "send",
            Self::Append => "append",
            Self::Copy => "copy",
        }
    }

    /// The operation of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.word() == word)
    }
}

/// What a metric or an event counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// Operations of this kind.
    Operation(Operation),
    /// Writes and updates of something that an acknowledged operation had left there.
    Overwrite,
}

impl Counted {
    /// As the language writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Operation(operation) => operation.word(),
            Self::Overwrite => "overwrite",
        }
    }

    /// What that word counts.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        if word == "overwrite" {
            Some(Self::Overwrite)
        } else {
            Operation::from_word(word).map(Self::Operation)
        }
    }
}

/// The class of the objects of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// In a bucket.
    Named,
    /// Immutable.
    Unnamed,
    /// Unnamed and mutable.
    Alias,
}

/// Which node of a cluster is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// One drawn for each request.
    AnyNode,
    /// One after another.
    RoundRobin,
    /// Always this one.
    Node(NodeRef),
}

/// When an operation is tried again, at the next node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retry {
    /// How many times.
    pub times: u32,
    /// After which outcomes.
    pub on: Vec<RetryOn>,
}

/// An outcome after which an operation is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// This status.
    Status(u16),
    /// The client's patience ran out, or the network's.
    Timeout,
    /// The connection broke.
    Reset,
    /// Nobody listened.
    Refused,
}

/// When something starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// This long after the start of the scenario.
    At(Span),
    /// This long after an event.
    After {
        /// The event.
        event: Event,
        /// How long after it.
        wait: Span,
    },
}

/// Something that happens in a run, for the first time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// First start of a step or workload.
    Starts(String),
    /// Last end of a step or workload.
    Ends(String),
    /// The nth operation of a workload was acknowledged.
    Acknowledged {
        /// The workload.
        workload: String,
        /// Which, from 1.
        nth: u64,
        /// Of what.
        of: Counted,
    },
    /// Half of the body of the nth write (or update) of a workload has left the client.
    HalfSent {
        /// The workload.
        workload: String,
        /// Which, from 1.
        nth: u64,
        /// Of what.
        of: Counted,
    },
    /// Every node ok and known as ok to all others.
    Healthy(String),
    /// Nothing but beacons for ten minutes.
    AtRest(String),
    /// Each object of the cluster has the copies that are demanded of it.
    Protected(String),
    /// An object that was there answers 404.
    Gone(ObjectRef),
    /// Nothing waits in a feed.
    Drained(String),
}

/// Something that is done to the clusters.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: Option<String>,
    /// Its line in the file, for reports.
    pub line: usize,
    /// When it happens.
    pub start: Start,
    /// How often, and how long between.
    pub repeat: Option<(Span, u32)>,
    /// One after another.
    pub each: Option<Each>,
    /// What.
    pub verb: Verb,
    /// The word that the file uses for it.
    pub word: &'static str,
    /// Undone after this long.
    pub lasts: Option<Span>,
    /// True if it may change nothing in all seeds.
    pub may_be_inert: bool,
}

impl Step {
    /// What reports call it.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{} (line {})", self.word, self.line))
    }
}

/// One node or disk after another.
#[derive(Debug, Clone)]
pub struct Each {
    /// Which.
    pub targets: Targets,
    /// What must hold before the next.
    pub until: Option<Event>,
    /// How long between one and the next.
    pub wait: Span,
}

/// Nodes or disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Nodes.
    Nodes(NodeSelector),
    /// Disks.
    Disks(DiskSelector),
}

/// Which nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeSelector {
    /// These.
    These(Vec<NodeRef>),
    /// So many of a cluster, chosen by the seed.
    Some(u32, String),
    /// All of a cluster.
    All(String),
    /// Those of a cluster that no other group of the same list has.
    Rest(String),
    /// Those that a step chose.
    Step(String),
    /// The one that `each` has come to.
    Each,
}

impl NodeSelector {
    /// False if it certainly chooses no node of this cluster.
    #[must_use]
    pub fn may_choose_of(&self, cluster: &str) -> bool {
        match self {
            Self::These(nodes) => nodes.iter().any(|node| node.cluster == cluster),
            Self::Some(_, of) | Self::All(of) | Self::Rest(of) => of == cluster,
            Self::Step(_) | Self::Each => true,
        }
    }
}

/// Which disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskSelector {
    /// These.
    These(Vec<DiskRef>),
    /// So many of a node, chosen by the seed.
    SomeOfNode(u32, NodeRef),
    /// So many of a cluster, chosen by the seed.
    Some(u32, String),
    /// All of a cluster.
    All(String),
    /// Those that a step chose.
    Step(String),
    /// The one that `each` has come to.
    Each,
}

impl DiskSelector {
    /// False if it certainly chooses no disk of this cluster.
    #[must_use]
    pub fn may_choose_of(&self, cluster: &str) -> bool {
        match self {
            Self::These(disks) => disks.iter().any(|disk| disk.node.cluster == cluster),
            Self::SomeOfNode(_, node) => node.cluster == cluster,
            Self::Some(_, of) | Self::All(of) => of == cluster,
            Self::Step(_) | Self::Each => true,
        }
    }
}

/// Something that must hold.
#[derive(Debug, Clone)]
pub struct Expect {
    /// Its line in the file, for reports.
    pub line: usize,
    /// When.
    pub when: When,
    /// What.
    pub subject: Subject,
}

/// When something must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// At some moment between an event (or the start) and so long after it.
    Within(Option<Event>, Duration),
    /// All the time.
    During(Window),
    /// At this time from the start.
    At(Duration),
    /// At rest.
    End,
    /// At no time.
    Never,
}

/// What must hold.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Every node of the cluster is ok and known as ok to all others.
    Healthy(String),
    /// Two whole health cycles on every volume without an action.
    AtRest(String),
    /// Each object of the cluster has the copies that are demanded of it.
    Protected(String),
    /// Space adds up on every disk of the cluster, and nothing lies there that nobody knows of.
    NoOrphans(String),
    /// The object answers with right bytes.
    Readable(ObjectRef),
    /// The object answers 404.
    Gone(ObjectRef),
    /// So many disks of the cluster hold a whole copy of the object.
    Copies(ObjectRef, Is),
    /// The object answers with this header.
    Header {
        /// The object.
        object: ObjectRef,
        /// Name of the header.
        name: String,
        /// What its value must be.
        is: Is,
    },
    /// The answer to a request.
    Answer {
        /// The request's name.
        of: String,
        /// Its status.
        status: Option<u16>,
        /// A header of it: name and what its value must be.
        header: Option<(String, Is)>,
        /// A trailer of it: likewise.
        trailer: Option<(String, Is)>,
        /// A part of its body.
        body: Option<String>,
    },
    /// Nodes or disks are in this state.
    State {
        /// All of them.
        of: Targets,
        /// The word for the state.
        is: String,
    },
    /// Some line of the logs of these nodes matches.
    Reports {
        /// The nodes.
        of: NodeSelector,
        /// What it matches.
        is: Pattern,
    },
    /// The cluster shows clients what it showed when the snapshot was taken.
    Equals {
        /// The cluster.
        cluster: String,
        /// Name of the `remember` that took it.
        snapshot: String,
    },
    /// Nothing waits in a feed and nothing is under way.
    Drained(String),
    /// A feed is in this state.
    FeedState {
        /// The feed.
        feed: String,
        /// The word for the state.
        is: String,
    },
    /// Clients of both clusters see the same of what feeds carry between them.
    SameObjects(String, String),
    /// Clients of a cluster see what was acknowledged in another.
    HoldsAll {
        /// The one that is asked.
        cluster: String,
        /// The one whose clients wrote.
        of: String,
    },
    /// A metric.
    Metric {
        /// Whose, and which.
        metric: Metric,
        /// How it compares.
        is: Comparison,
        /// The value, in the metric's own unit: nanoseconds, parts per million, bytes, a count.
        value: u64,
    },
}

/// What a value of an answer is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Is {
    /// This text.
    Text(String),
    /// A text with such a part.
    Matches(Pattern),
    /// A whole number.
    Number(Comparison, u64),
}

/// An object as a file names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// A path, or the name of a request.
    pub object: String,
    /// The cluster it is asked on.
    pub cluster: String,
    /// The node of it.
    pub via: Via,
}

/// A metric, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metric {
    /// Of a workload.
    Workload(String, WorkloadMetric),
    /// Of a cluster.
    Cluster(String, ClusterMetric),
    /// Of a feed.
    Feed(String, FeedMetric),
    /// The bytes that a link carried, of the clusters at its ends.
    Bytes(String),
}

/// A metric of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadMetric {
    /// Latency in nanoseconds.
    Latency(Counted, Percentile),
    /// Failed share in parts per million.
    FailedShare(Counted),
    /// Acknowledged operations.
    AcknowledgedCount(Counted),
}

/// A metric of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterMetric {
    /// Bytes of live streams on all volumes.
    UsedSpace,
    /// The longest time from the loss of a volume to full protection, in nanoseconds.
    RecoveryTime,
    /// Replicas that no client's write made.
    CopiesMoved,
}

/// A metric of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedMetric {
    /// From an acknowledgement until the target has it, in nanoseconds.
    Rpo(Percentile),
    /// From the end of the last fault until nothing is missing, in nanoseconds.
    DrainTime,
    /// Objects that the target has not got.
    Backlog,
    /// How long the oldest of them has been waiting, in nanoseconds.
    OldestPending,
}

/// A point of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Percentile {
    /// The median.
    P50,
    /// All but one in a hundred are below.
    P99,
    /// The largest.
    Max,
}
