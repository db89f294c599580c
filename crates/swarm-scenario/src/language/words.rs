//! Every word of the language, once: what the reader accepts, what `scenario verbs` prints, what the user's guide lists.
//!
//! A word that the language has and this version has not is here too, marked as not built, so that it is refused as "not yet"
//! and never mistaken for a spelling mistake.

use super::reader::{Word, later, word};

pub(crate) const TOP: &[Word] = &[
    word("schema"),
    word("title"),
    word("why"),
    word("tags"),
    word("limit"),
    word("waive"),
    word("cluster"),
    word("domain"),
    word("bucket"),
    word("workload"),
    word("step"),
    word("expect"),
    later("link"),
    later("feed"),
];
pub(crate) const LIMIT: &[Word] = &[word("sim"), word("wall")];
pub(crate) const WAIVE: &[Word] = &[word("invariant"), word("during"), word("because")];
pub(crate) const CLUSTER: &[Word] = &[
    word("nodes"),
    word("volumes"),
    word("settings"),
    word("lan"),
    word("clock"),
    later("subclusters"),
];
pub(crate) const VOLUMES: &[Word] =
    &[word("per_node"), word("size"), word("kind"), later("latency"), later("bandwidth")];
pub(crate) const DISK_KINDS: &[Word] = &[word("nvme"), word("ssd"), word("hdd")];
pub(crate) const LAN: &[Word] = &[word("latency"), word("bandwidth"), word("loss")];
/// Of a domain and of a bucket.
pub(crate) const CONTEXT: &[Word] = &[word("on"), word("headers")];
pub(crate) const WORKLOAD: &[Word] = &[
    word("on"),
    word("during"),
    word("after"),
    word("for"),
    word("rate"),
    word("operations"),
    word("clients"),
    word("mix"),
    word("kind"),
    word("in"),
    word("sizes"),
    word("keys"),
    word("headers"),
    later("lifepoints"),
    word("via"),
    word("retry"),
    word("timeout"),
    later("run"),
];
pub(crate) const KEYS: &[Word] = &[word("count"), word("overwrite")];
pub(crate) const RETRY: &[Word] = &[word("times"), word("on")];
pub(crate) const KINDS: &[Word] = &[word("named"), word("unnamed"), word("alias")];
/// What a workload's `mix` may contain.
pub(crate) const OPERATIONS: &[Word] = &[
    word("write"),
    word("read"),
    word("delete"),
    word("update"),
    word("info"),
    later("append"),
    later("copy"),
    later("list"),
    later("multipart"),
    later("send"),
];
/// What a metric may speak of: the operations, and the writes and updates of something that was there.
pub(crate) const COUNTED: &[&str] = &["write", "read", "delete", "update", "info", "overwrite"];
pub(crate) const STEP: &[Word] = &[
    word("at"),
    word("after"),
    word("wait"),
    word("every"),
    word("times"),
    word("each"),
    word("until"),
    word("do"),
    word("for"),
    word("as"),
    word("inert"),
];
pub(crate) const EXPECT: &[Word] =
    &[word("at"), word("after"), word("within"), word("during"), word("never"), word("that")];
/// The invariants that a file can waive; those that are not built are never judged.
pub(crate) const INVARIANTS: &[Word] = &[
    word("durable"),
    word("true bytes"),
    word("no resurrection"),
    word("tidy"),
    word("alive"),
    later("protected"),
    later("obeyed"),
    later("fed"),
    later("honest"),
];

/// A verb of `do`, as `scenario verbs` shows it.
#[derive(Debug, Clone, Copy)]
pub struct VerbWord {
    /// As it is written; false `built` means "not yet".
    pub word: Word,
    /// The keys that it takes besides those of every step.
    pub arguments: &'static [Word],
    /// Those of them that it cannot do without.
    pub required: &'static [&'static str],
    /// What undoes it.
    pub undo: &'static str,
    /// What counts as its effect; empty for a verb that breaks nothing.
    pub effect: &'static str,
    /// What it does, in a sentence.
    pub says: &'static str,
}

const NODES: &[Word] = &[word("nodes")];
const DISKS: &[Word] = &[word("disks")];
const LINK: &[Word] = &[word("link")];
const FEED: &[Word] = &[word("feed")];
const WORKLOAD_ARG: &[Word] = &[word("workload")];
const OFF: &str = "connections reset, unsynced bytes lost, messages not delivered";
const LOST: &str = "bytes delayed, datagrams lost";

/// Every verb of the language.
pub const VERBS: &[VerbWord] = &[
    verb(
        "kill",
        NODES,
        &["nodes"],
        "start, for",
        OFF,
        "The process is gone at once; what its disks were given they still write.",
    ),
    verb(
        "power-off",
        NODES,
        &["nodes"],
        "start, for",
        OFF,
        "Power is gone: silence on the network, unsynced writes dropped or torn.",
    ),
    verb("stop", NODES, &["nodes"], "start, for", OFF, "A graceful stop."),
    verb("start", NODES, &["nodes"], "", "", "Starts nodes that are off, lets paused ones go on."),
    verb(
        "restart",
        &[word("nodes"), word("down")],
        &["nodes"],
        "",
        OFF,
        "Stop, and start after `down` (30s).",
    ),
    verb(
        "pause",
        NODES,
        &["nodes"],
        "start, for",
        OFF,
        "The process stands still: no task runs, buffers fill.",
    ),
    verb("wipe", NODES, &["nodes"], "start, for", OFF, "Kill, and the disks are blank."),
    verb(
        "isolate",
        NODES,
        &["nodes"],
        "heal, for",
        LOST,
        "Cuts these nodes off from all others and from each other; clients still reach them.",
    ),
    verb(
        "partition",
        &[word("groups")],
        &["groups"],
        "heal, for",
        LOST,
        "Cuts each group off from every other group.",
    ),
    verb(
        "break-multicast",
        NODES,
        &["nodes"],
        "heal, for",
        LOST,
        "Multicast from and to these nodes is lost; unicast works.",
    ),
    verb(
        "heal",
        &[word("step")],
        &[],
        "",
        "",
        "Undoes the cuts of the step with this name, or every cut in force.",
    ),
    verb(
        "rot",
        &[word("disks"), word("share")],
        &["disks", "share"],
        "",
        "bytes changed",
        "Damages a share of the blocks that hold data.",
    ),
    verb(
        "skew",
        &[word("nodes"), word("offset")],
        &["nodes", "offset"],
        "for",
        "node times read while off",
        "Sets the nodes' clocks off by `offset`.",
    ),
    verb(
        "request",
        &[
            word("method"),
            word("path"),
            word("headers"),
            word("size"),
            word("auth"),
            word("expect_status"),
            word("cluster"),
            word("via"),
        ],
        &["method", "path"],
        "",
        "",
        "One request of a client; `as` names the object and the answer.",
    ),
    verb(
        "start-workload",
        WORKLOAD_ARG,
        &["workload"],
        "stop-workload",
        "",
        "Starts a workload, which then does not start by itself.",
    ),
    verb(
        "stop-workload",
        WORKLOAD_ARG,
        &["workload"],
        "",
        "",
        "Ends a workload: no operation becomes due any more.",
    ),
    not_yet("panic", NODES),
    not_yet("cut", LINK),
    not_yet("degrade", LINK),
    not_yet("truncate", WORKLOAD_ARG),
    not_yet("lose-reply", NODES),
    not_yet("slow-disk", DISKS),
    not_yet("stall-disk", DISKS),
    not_yet("fail-reads", DISKS),
    not_yet("fail-writes", DISKS),
    not_yet("fail-syncs", DISKS),
    not_yet("lie-about-syncs", DISKS),
    not_yet("misdirect", DISKS),
    not_yet("fill", DISKS),
    not_yet("read-only", DISKS),
    not_yet("heal-disk", DISKS),
    not_yet("pull-disk", DISKS),
    not_yet("insert-disk", DISKS),
    not_yet("replace-disk", DISKS),
    not_yet("lose-index", DISKS),
    not_yet("drift", NODES),
    not_yet("step-clock", NODES),
    not_yet("skip", &[]),
    not_yet("retire", DISKS),
    not_yet("cancel-retire", DISKS),
    not_yet("suspend-recovery", &[]),
    not_yet("resume-recovery", &[]),
    not_yet("set", &[]),
    not_yet("mount-stale", DISKS),
    not_yet("create-feed", FEED),
    not_yet("pause-feed", FEED),
    not_yet("resume-feed", FEED),
    not_yet("restart-feed", FEED),
    not_yet("delete-feed", FEED),
    not_yet("remember", &[]),
    not_yet("restore", &[]),
];

const fn verb(
    name: &'static str,
    arguments: &'static [Word],
    required: &'static [&'static str],
    undo: &'static str,
    effect: &'static str,
    says: &'static str,
) -> VerbWord {
    VerbWord { word: word(name), arguments, required, undo, effect, says }
}

const fn not_yet(name: &'static str, arguments: &'static [Word]) -> VerbWord {
    VerbWord { word: later(name), arguments, required: &[], undo: "", effect: "", says: "" }
}

/// A subject of `that`.
#[derive(Debug, Clone, Copy)]
pub struct SubjectWord {
    /// As it is written.
    pub word: Word,
    /// The keys that it takes.
    pub arguments: &'static [Word],
    /// Those of them that it cannot do without.
    pub required: &'static [&'static str],
    /// What it means, in a sentence.
    pub says: &'static str,
}

const ON_CLUSTER: &[Word] = &[word("cluster")];
const ON_OBJECT: &[Word] = &[word("object"), word("on")];

/// Every subject of the language.
pub const SUBJECTS: &[SubjectWord] = &[
    subject(
        "healthy",
        ON_CLUSTER,
        &[],
        "Every node is ok and known as ok to all others, every volume is ok or retired.",
    ),
    subject("at rest", ON_CLUSTER, &[], "Nothing but beacons for ten minutes."),
    subject(
        "readable",
        ON_OBJECT,
        &["object"],
        "The object answers 200 with bytes that are right.",
    ),
    subject("gone", ON_OBJECT, &["object"], "The object answers 404."),
    subject(
        "answer",
        &[word("of"), word("status"), word("header"), word("body"), later("trailer")],
        &["of"],
        "The answer to the request of that name: `status = 404`, `header = \"Name: value\"`, `body = \"a part of it\"`.",
    ),
    subject(
        "metric",
        &[word("of"), word("metric"), word("is")],
        &["of", "metric", "is"],
        "A workload's metric compared with a value.",
    ),
    no_subject("fully protected"),
    no_subject("no orphans"),
    no_subject("feed drained"),
    no_subject("feed state"),
    no_subject("same objects"),
    no_subject("holds every acknowledged object"),
    no_subject("copies"),
    no_subject("header"),
    no_subject("state"),
    no_subject("reports"),
    no_subject("equals"),
];

const fn subject(
    name: &'static str,
    arguments: &'static [Word],
    required: &'static [&'static str],
    says: &'static str,
) -> SubjectWord {
    SubjectWord { word: word(name), arguments, required, says }
}

const fn no_subject(name: &'static str) -> SubjectWord {
    SubjectWord { word: later(name), arguments: &[], required: &[], says: "" }
}

/// The forms of an event, with what they mean.
pub const EVENTS: &[(&str, &str)] = &[
    ("NAME starts", "the first start of the step or workload NAME"),
    ("NAME ends", "its last end"),
    (
        "NAME: 200th write acknowledged",
        "the workload NAME had its 200th acknowledged write (or read, delete, update, info, overwrite)",
    ),
    ("NAME: 200th write half sent", "half of the body of its 200th write has left the client"),
    ("CLUSTER healthy", "every node is ok and known as ok to all others"),
    ("CLUSTER at rest", "nothing but beacons for ten minutes"),
    ("FEED drained", "not yet"),
    ("OBJECT is gone", "not yet"),
];

/// The forms of a metric, with what they mean.
pub const METRICS: &[(&str, &str)] = &[
    (
        "OP latency p50",
        "median time from when the operation was due to its last answer; p99 and max likewise",
    ),
    ("failed OP share", "share of operations whose chain ended in 5xx, time-out or reset"),
    ("acknowledged OP count", "operations that were answered 2xx"),
];
