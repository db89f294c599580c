//! The words of `[[expect]]`: keys, invariants, subjects, events, metrics, states.

use super::word::{Takes, Word, choice, word};

/// The keys of every expectation.
pub const EXPECT: &[Word] = &[
    word("at", Takes::Moment, "`end`, or a time from the start: it holds then"),
    word("after", Takes::Event, "with `within`: what it counts from").or("the start"),
    word("within", Takes::Duration, "it holds at some moment until then"),
    word("during", Takes::Window, "it holds all the time of a step, a workload or `5m..9m`"),
    word("never", Takes::Flag, "`true`: it holds at no time of the run"),
    word("that", Takes::Name, "the subject"),
];

/// The invariants; one that is not built is never judged.
pub const INVARIANTS: &[Word] = &[
    choice("durable", "what was acknowledged is readable"),
    choice("true bytes", "no read returns what nobody wrote there"),
    choice("no resurrection", "nothing deleted comes back"),
    choice("protected", "at rest each object has the copies that are demanded of it"),
    choice("obeyed", "lifepoints hold"),
    choice("tidy", "space adds up, index and journal agree"),
    choice("alive", "no panic, nothing stuck, no 5xx for bad input"),
    choice("fed", "at rest the target of every feed has what the feed selects"),
    choice("honest", "nobody says that something is at the target before it is"),
];

/// A subject of `that`.
#[derive(Debug, Clone, Copy)]
pub struct SubjectWord {
    /// As it is written.
    pub word: Word,
    /// The keys that it takes besides those of every expectation.
    pub arguments: &'static [Word],
    /// Those of them that it cannot do without.
    pub required: &'static [&'static str],
}

const CLUSTER: Word = word("cluster", Takes::Cluster, "the cluster").or("the only one");
const ON_CLUSTER: &[Word] = &[CLUSTER];
const OBJECT: Word = word("object", Takes::Object, "a path, or the name of a request");
const ON: Word =
    word("on", Takes::Place, "the cluster or node that is asked").or("the cluster of its bucket");
const FEED: Word = word("feed", Takes::Name, "the feed");
const ON_OBJECT: &[Word] = &[OBJECT, ON];

/// Every subject of the language.
#[rustfmt::skip]
pub const SUBJECTS: &[SubjectWord] = &[
    subject("healthy", "every node is ok and known as ok to all others, every volume is ok or retired", ON_CLUSTER, &[]),
    subject("fully protected", "the invariant *protected* holds now", ON_CLUSTER, &[]),
    subject("no orphans", "the invariant *tidy* holds now: space adds up on every volume, index and journal agree, nothing lies there that nobody knows of", ON_CLUSTER, &[]),
    subject("at rest", "two whole health cycles on every volume without an action, nothing else under way", ON_CLUSTER, &[]),
    subject("readable", "the object answers 200 with bytes that are right", ON_OBJECT, &["object"]),
    subject("gone", "the object answers 404", ON_OBJECT, &["object"]),
    subject("copies", "so many disks hold a whole copy of the version that a client sees (of one that is gone, of any version); a volume that its node has given up does not count", &[
        OBJECT, ON, word("is", Takes::Is, "such as `= 3`"),
    ], &["object", "is"]),
    subject("header", "the object answers 200 with this header", &[
        OBJECT, ON, word("name", Takes::Text, "of the header"), word("is", Takes::Is, "`= TEXT`, `/PATTERN/`, or `>= NUMBER` and the like"),
    ], &["object", "name", "is"]),
    subject("answer", "the answer to the request of that name", &[
        word("of", Takes::Name, "the request"),
        word("status", Takes::Count, "its status"),
        word("header", Takes::Header, "a header of it: `Name: value` or `Name: /pattern/`"),
        word("trailer", Takes::Header, "a trailer of it: likewise"),
        word("body", Takes::Text, "a part of its body"),
    ], &["of"]),
    subject("state", "all of them are in this state; of a node that is off, as the others know it. A disk is `stale` if its volume is `unavailable` because it was away for too long", &[
        word("node", Takes::Nodes, "which nodes"),
        word("disk", Takes::Disks, "instead of `node`: which disks"),
        word("is", Takes::Name, "the state, such as `offline`"),
    ], &["is"]),
    subject("reports", "some line of a node's log matches, among those of informational level or graver: until now, or since the event, or in the window", &[
        CLUSTER, word("node", Takes::Nodes, "only these nodes").or("all of the cluster"),
        word("is", Takes::Is, "`/PATTERN/`, a regular expression that some part of a line matches"),
    ], &["is"]),
    subject("equals", "clients see of every object what they saw when it was remembered, and nothing else", &[
        CLUSTER, word("snapshot", Takes::Name, "the `remember` that took it"),
    ], &["snapshot"]),
    subject("metric", "a metric compared with a value", &[
        word("of", Takes::Name, "whose: a workload, a cluster, a feed or a link"),
        word("metric", Takes::Text, "which"),
        word("is", Takes::Is, "such as `<= 250ms`"),
    ], &["of", "metric", "is"]),
    subject("feed drained", "every node of its cluster that runs says that nothing waits in the feed and nothing is under way", &[FEED], &["feed"]),
    subject("feed state", "the feed is in this state in its cluster: the worst of all nodes", &[
        FEED, word("is", Takes::Name, "the state, such as `blocked`"),
    ], &["feed", "is"]),
    subject("same objects", "clients of both clusters see the same version of every object that a feed between them selects, or neither sees any", &[
        word("clusters", Takes::Texts, "the two"),
    ], &["clusters"]),
    subject("holds every acknowledged object", "clients of the cluster see of every object that a feed carries there what was acknowledged in the other cluster last, or something newer", &[
        word("cluster", Takes::Cluster, "the cluster that is asked"),
        word("of", Takes::Cluster, "the one whose clients wrote"),
    ], &["cluster", "of"]),
];

const fn subject(
    name: &'static str,
    says: &'static str,
    arguments: &'static [Word],
    required: &'static [&'static str],
) -> SubjectWord {
    SubjectWord { word: choice(name, says), arguments, required }
}

/// What a metric or an event may count: the operations, and the writes and updates of something that was there.
pub(crate) const COUNTED: &[&str] =
    &["write", "read", "delete", "update", "info", "malformed", "send", "overwrite"];

/// A phrase with a place for a name in it.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// As it is written.
    pub form: &'static str,
    /// False for one that is refused as "not yet".
    pub built: bool,
    /// What it means.
    pub says: &'static str,
}

const fn form(form: &'static str, says: &'static str) -> Form {
    Form { form, built: true, says }
}

/// The forms of an event.
#[rustfmt::skip]
pub const EVENTS: &[Form] = &[
    form("NAME starts", "the first start of the step or workload NAME"),
    form("NAME ends", "its last end; of a step with `each`, the last `until`"),
    form("NAME: 200th write acknowledged", "the workload NAME had its 200th acknowledged write (or read, delete, update, info, overwrite)"),
    form("NAME: 200th write half sent", "half of the body of its 200th write has left the client"),
    form("CLUSTER healthy", "every node is ok and known as ok to all others; as it is when the clock starts"),
    form("CLUSTER at rest", "two whole health cycles on every volume without an action"),
    form("CLUSTER fully protected", "each object has the copies that are demanded of it: with `until`, as it is then; with `after`, for the first time since a volume was lost, or since the start if no step loses one"),
    form("OBJECT is gone", "an object that was there answers 404; the run goes on until it does"),
    form("FEED drained", "nothing waits in the feed and nothing is under way: with `until`, as it is then; with `after`, for the first time; the run goes on until it is so"),
];

/// A form of a metric.
#[derive(Debug, Clone, Copy)]
pub struct MetricWord {
    /// As it is written.
    pub form: &'static str,
    /// Whose it is.
    pub of: &'static str,
    /// A value to compare with.
    pub example: &'static str,
    /// False for one that is refused as "not yet".
    pub built: bool,
    /// What it means.
    pub says: &'static str,
}

/// The metrics.
#[rustfmt::skip]
pub const METRICS: &[MetricWord] = &[
    metric("OP latency p50", "workload", "<= 250ms", "median time from when the operation was due to its last answer; `p99` and `max` likewise"),
    metric("failed OP share", "workload", "< 1%", "operations whose chain ended in 5xx, time-out or reset"),
    metric("acknowledged OP count", "workload", ">= 300", "operations that were answered 2xx"),
    metric("used space", "cluster", "<= 2GiB", "bytes of live streams on all volumes, as the nodes tell them"),
    metric("recovery time", "cluster", "<= 30m", "the longest time from the loss of a volume (its disk pulled, replaced or wiped, or given up by its node after errors) until every object has the copies that are demanded of it; in a window, of the volumes lost in it"),
    metric("copies moved", "cluster", "<= 2000", "replicas that no client's write made, as the nodes count them; in a window, those made in it"),
    metric("rpo p50", "feed", "<= 30s", "median time from an acknowledgement, also of a delete that is carried over, until a disk of the target has that version or a newer one; `p99` and `max` likewise; in a window, of what was acknowledged in it"),
    metric("drain time", "feed", "<= 5m", "from the end of the last fault until the target has had everything that was acknowledged until then"),
    metric("backlog", "feed", "<= 2000", "objects that the target has not got in the version that was acknowledged last; in a window, at most"),
    metric("oldest pending", "feed", "<= 10m", "how long ago the oldest of those was acknowledged; in a window, at most"),
    metric("bytes", "link", "<= 2GiB", "what nodes of its two clusters have sent each other, both ways together; in a window, in it"),
];

const fn metric(
    form: &'static str,
    of: &'static str,
    example: &'static str,
    says: &'static str,
) -> MetricWord {
    MetricWord { form, of, example, built: true, says }
}

/// States of a node (Viewing and Managing Chassis); `unreachable` is our name for one that missed six beacons.
#[rustfmt::skip]
pub const NODE_STATES: &[&str] = &[
    "ok", "idle", "error", "mounting", "initializing", "finalizing", "maintenance", "unreachable", "offline", "retiring", "retired",
];

/// States of a volume (Viewing and Managing Chassis); `stale` is one that is unavailable because it was away for too long,
/// `gone` is our name for one whose disk is in no running node.
#[rustfmt::skip]
pub const DISK_STATES: &[&str] = &["ok", "mounting", "retiring", "retired", "unavailable", "stale", "gone"];
