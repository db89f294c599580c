//! Every word of the language, once: what the reader accepts, what `scenario verbs` prints, and what the JSON Schema and
//! the tables of the user's guide are made of.
//!
//! A word that the language has and this version has not is here too, marked as not built, so that it is refused as "not yet"
//! and never mistaken for a spelling mistake.

mod expect;
mod feed;
mod step;
mod word;

pub use expect::{
    DISK_STATES, EVENTS, EXPECT, Form, INVARIANTS, METRICS, MetricWord, NODE_STATES, SUBJECTS,
    SubjectWord,
};
pub use feed::{FEED, FEED_DOMAINS, FEED_MODES, FEED_SSL, FEED_STATES, FEED_TYPES};
pub use step::{SELECTORS, STEP, VERBS, VerbWord};
pub use word::{Takes, Word};

pub(crate) use expect::COUNTED;
pub(crate) use step::POINTS;
use word::{choice, later, word};

/// The top level of a file.
pub const TOP: &[Word] = &[
    word("schema", Takes::Number, "1"),
    word("title", Takes::Text, "what happens, in a line"),
    word("why", Takes::Text, "what must hold, and what a user would lose if it did not"),
    word("tags", Takes::Texts, "for `--tag`").or("none"),
    word("limit", Takes::Table(LIMIT), "where a run is cut off"),
    word("waive", Takes::Tables(WAIVE), "invariants that are not judged; every report says so")
        .or("none"),
    word("cluster", Takes::Named(CLUSTER), "`[cluster.NAME]`: nodes `NAME/1` …"),
    word("link", Takes::Named(LINK), "`[link.NAME]`: the network between two clusters")
        .or("as near as the nodes of one cluster"),
    word(
        "feed",
        Takes::Named(FEED),
        "`[feed.NAME]`: carries objects from one cluster to another; it is there when the clock starts, unless a `create-feed` names it",
    )
    .or("none"),
    word(
        "domain",
        Takes::Named(CONTEXT),
        "`[domain.\"D\"]`: created before the scenario's clock starts",
    )
    .or("none"),
    word("bucket", Takes::Named(CONTEXT), "`[bucket.\"D/B\"]`: likewise").or("none"),
    word("workload", Takes::Named(WORKLOAD), "`[workload.NAME]`: traffic").or("none"),
    word("step", Takes::Steps, "`[[step]]`: what is done to the clusters").or("none"),
    word("expect", Takes::Expects, "`[[expect]]`: what must hold besides the invariants")
        .or("none"),
];

/// Those of them that a file cannot do without.
pub(crate) const TOP_REQUIRED: &[&str] = &["schema", "title", "why", "cluster"];

/// `limit`.
pub const LIMIT: &[Word] = &[
    word("sim", Takes::Duration, "simulated time by which the clusters must be at rest").or("`6h`"),
    word("wall", Takes::Duration, "wall time of the watchdog").or("`60s`"),
];
/// `waive`.
pub const WAIVE: &[Word] = &[
    word("invariant", Takes::OneOf(INVARIANTS), "the one that is not judged"),
    word("during", Takes::Window, "only in this window").or("the whole run"),
    word("because", Takes::Text, "the reason"),
];
/// A cluster.
pub const CLUSTER: &[Word] = &[
    word("nodes", Takes::Count, "how many"),
    word("volumes", Takes::Table(VOLUMES), "disks `NAME/1/1`, `NAME/1/2` …"),
    word("settings", Takes::Settings, "Swarm's settings by their documented names").or("Swarm's, but `health.cycleTime` = 600, `health.replicationMulticastFrequency` = 100 and `power.sleepAfter` = 0"),
    word("lan", Takes::Table(LAN), "the network between the nodes, and to the clients"),
    word(
        "clock",
        Takes::Clocks,
        "`{ 2 = \"+10m\", 4 = \"drift 200ppm\" }`: clocks that are off from the start",
    )
    .or("none"),
    word(
        "subclusters",
        Takes::Subclusters,
        "`{ rack-a = [1, 2], rack-b = [3, 4] }`: copies are spread over them",
    )
    .or("none"),
];
/// `volumes` of a cluster.
pub const VOLUMES: &[Word] = &[
    word("per_node", Takes::Count, "disks of each node").or("1"),
    word("size", Takes::Size, "of each disk, at least `2MiB`").or("`1GiB`"),
    word("kind", Takes::OneOf(DISK_KINDS), "how fast it is").or("`ssd`"),
    word(
        "latency",
        Takes::Duration,
        "instead of `kind`, with `bandwidth`: of one request, and of a sync",
    ),
    word("bandwidth", Takes::Bandwidth, "instead of `kind`, with `latency`"),
];
/// `kind` of volumes.
pub const DISK_KINDS: &[Word] = &[
    choice("nvme", "20 µs a request, 3 GB/s, sync 30 µs"),
    choice("ssd", "80 µs a request, 500 MB/s, sync 400 µs"),
    choice("hdd", "6 ms a request, 180 MB/s, sync 8 ms"),
];
/// `lan` of a cluster.
pub const LAN: &[Word] = &[
    LATENCY,
    word("bandwidth", Takes::Bandwidth, "of each direction").or("`10Gbit`"),
    word("loss", Takes::Share, "datagrams are lost, streams delayed by a retransmission")
        .or("`0%`"),
];
const LATENCY: Word = word(
    "latency",
    Takes::Latency,
    "one way, drawn anew for every delivery: a range, or `{ p50 = \"38ms\", p99 = \"90ms\" }`",
)
.or("`0.2ms..0.9ms`");
/// `latency` by percentiles: the shortest is four fifths of `p50`, the longest as far beyond `p99` as that is beyond `p50`.
pub const PERCENTILES: &[Word] = &[
    word("p50", Takes::Duration, "half of all deliveries are faster"),
    word("p99", Takes::Duration, "99 in 100 deliveries are faster"),
];
/// A link between clusters.
pub const LINK: &[Word] = &[
    word("between", Takes::Texts, "the two clusters"),
    LATENCY,
    word("bandwidth", Takes::Bandwidth, "of each direction, for each node").or("`10Gbit`"),
    word("loss", Takes::Share, "datagrams are lost, streams delayed by a retransmission")
        .or("`0%`"),
];
/// A domain or a bucket.
pub const CONTEXT: &[Word] = &[
    word("on", Takes::Cluster, "the cluster that has it").or("the only one"),
    word("also_on", Takes::Texts, "clusters in which another one of this name is made").or("none"),
    word("headers", Takes::Headers, "of its creation").or("none"),
];
/// A workload.
pub const WORKLOAD: &[Word] = &[
    word("on", Takes::Cluster, "the cluster it speaks to").or("the only one"),
    word("during", Takes::Times, "when operations become due, such as `1m..20m`")
        .or("from the start"),
    word("after", Takes::Event, "instead of `during`: begins with this event"),
    word("for", Takes::Span, "with `after`, or without: how long operations become due"),
    word(
        "rate",
        Takes::Rate,
        "of all clients together; an operation is due whether or not earlier ones have ended",
    ),
    word(
        "operations",
        Takes::Count,
        "without `rate`: one after another per client; with it: at most so many",
    ),
    word("clients", Takes::Count, "how many share the work").or("1"),
    word("mix", Takes::Weights(OPERATIONS), "weights of operations").or("only writes"),
    word("kind", Takes::Weights(KINDS), "weights of classes of objects").or("only named"),
    word("in", Takes::Text, "the bucket, which named objects need; unnamed ones belong to its domain")
        .or("untenanted, where all objects are unnamed"),
    word("sizes", Takes::Sizes, "weights of body sizes").or("`4KiB`"),
    word(
        "keys",
        Takes::Table(KEYS),
        "what the clients share, so that operations on one object meet",
    ),
    word("headers", Takes::Headers, "of every write; custom metadata is compared on every read")
        .or("none"),
    word(
        "lifepoints",
        Takes::Texts,
        "of every write, such as `[\"[+30d] reps=3\", \"[] delete\"]`; `+30d` counts from the write",
    )
    .or("none"),
    word("via", Takes::Via, "which node is asked").or("`any node`"),
    word("retry", Takes::Table(RETRY), "tries at the next node").or("none"),
    word("timeout", Takes::Duration, "the client's patience for one request").or("`30s`"),
    word(
        "run",
        Takes::Text,
        "instead of `rate` and `operations`, with `--live`: a program (`sh -c`) with the nodes' addresses in `SWARM_NODES` and `SWARM_MANAGEMENT`, those of a cluster also in `SWARM_NODES_MAIN`; the run fails if it does",
    ),
];
/// `keys` of a workload.
pub const KEYS: &[Word] = &[
    word("count", Takes::Count, "names, or objects kept alive").or("500"),
    word("overwrite", Takes::Share, "of writes that go over something that is there").or("`0%`"),
    word(
        "with",
        Takes::Name,
        "the names are those of this workload, so that clients of two clusters meet; those of the same cluster and bucket also know together what is there",
    )
    .or("its own"),
];
/// `retry` of a workload.
pub const RETRY: &[Word] = &[
    word("times", Takes::Count, "how often"),
    word("on", Takes::Texts, "after which outcomes: a status, `timeout`, `reset`, `refused`"),
];
/// `kind` of a workload.
pub const KINDS: &[Word] = &[
    choice("named", "objects in the bucket"),
    choice("unnamed", "immutable objects"),
    choice("alias", "unnamed objects that can be changed"),
];
/// What a workload's `mix` may contain.
pub const OPERATIONS: &[Word] = &[
    choice("write", "POST"),
    choice("read", "GET"),
    choice("delete", "DELETE"),
    choice("update", "PUT over something that is there"),
    choice("info", "HEAD"),
    choice(
        "malformed",
        "requests that are wrong in ways drawn by the seed: each must be refused and store nothing",
    ),
    choice(
        "send",
        "SEND to all feeds of the cluster with a time-out: it waits until the object is where they carry it",
    ),
    choice(
        "append",
        "APPEND to the version that was last acknowledged (`If-Match`); the bytes are drawn from `sizes`",
    ),
    choice("copy", "COPY: new headers for the version that was last acknowledged (`If-Match`)"),
    later("list"),
    later("multipart"),
];
