//! The words of `[[step]]`: keys, selectors, verbs.

use super::word::{Takes, Word, later, word};

/// The keys of every step.
pub const STEP: &[Word] = &[
    word("at", Takes::Span, "when, counted from the start"),
    word("after", Takes::Event, "instead of `at`: with this event"),
    word(
        "wait",
        Takes::Span,
        "how long after the event; with `each`, how long between one and the next",
    )
    .or("`0s`"),
    word(
        "every",
        Takes::Span,
        "repeats it: the first time one period after `at`, `after` or the start",
    ),
    word("times", Takes::Count, "with `every`: how often"),
    word("each", Takes::Nodes, "does it to one node or disk after another"),
    word("until", Takes::Event, "with `each`: what must hold before the next"),
    word("do", Takes::Name, "the verb"),
    word("for", Takes::Span, "undoes it after this long"),
    word("as", Takes::Name, "its name").or("none"),
    word("inert", Takes::Name, "`allow`: it may change nothing in any seed").or("it must bite"),
];

/// How nodes, disks and objects are chosen, with what each form means.
pub const SELECTORS: &[(&str, &str)] = &[
    ("`main/3`; `main/1, main/2`", "these nodes"),
    ("`2 of main`; `all of main`", "so many, drawn by the seed; all"),
    ("`rest of main`", "in `groups`: those that no other group has"),
    ("`main/3/1`; `1 of main/3`; `3 disks of main`; `all disks of main`", "disks"),
    ("the name of a step", "the nodes or disks that it chose"),
    ("`acme.example/scans/cat.jpg`; the name of a `request`", "an object"),
];

/// A verb of `do`.
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
}

const NODES: &[Word] = &[ON_NODES];
const ON_NODES: Word = word("nodes", Takes::Nodes, "which");
const ON_DISKS: Word = word("disks", Takes::Disks, "which");
const WORKLOAD: &[Word] = &[word("workload", Takes::Name, "which")];
const CLUSTER: Word = word("cluster", Takes::Cluster, "the cluster").or("the only one");
const OFF: &str = "connections reset, unsynced bytes lost, messages not delivered";
const LOST: &str = "bytes delayed, datagrams lost";

/// Verbs whose cuts `heal` can undo by the name of their step.
pub(crate) const HEALED_BY_STEP: &[&str] = &["isolate", "partition", "break-multicast"];

/// Every verb of the language.
#[rustfmt::skip]
pub const VERBS: &[VerbWord] = &[
    verb("kill", "the process is gone at once; what its disks were given they still write", NODES, &["nodes"])
        .undone_by("start, for").bites_by(OFF),
    verb("power-off", "silence on the network, unsynced writes dropped or torn", NODES, &["nodes"])
        .undone_by("start, for").bites_by(OFF),
    verb("stop", "a graceful stop", NODES, &["nodes"]).undone_by("start, for").bites_by(OFF),
    verb("start", "starts nodes that are off, lets paused ones go on", NODES, &["nodes"]),
    verb("restart", "stop, and start after `down`", &[
        ON_NODES, word("down", Takes::Span, "how long it is off").or("`30s`"),
    ], &["nodes"]).bites_by(OFF),
    verb("pause", "the process stands still: no task runs, buffers fill", NODES, &["nodes"])
        .undone_by("start, for").bites_by(OFF),
    verb("wipe", "kill, and the disks are blank", NODES, &["nodes"]).undone_by("start, for").bites_by(OFF),
    verb("isolate", "cuts these nodes off from all others and from each other; clients still reach them", NODES, &["nodes"])
        .undone_by("heal, for").bites_by(LOST),
    verb("partition", "cuts each group off from every other group", &[
        word("groups", Takes::Groups, "such as `[\"main/1, main/2\", \"rest of main\"]`"),
    ], &["groups"]).undone_by("heal, for").bites_by(LOST),
    verb("break-multicast", "multicast from and to these nodes is lost; unicast works", NODES, &["nodes"])
        .undone_by("heal, for").bites_by(LOST),
    verb("heal", "undoes cuts", &[word("step", Takes::Name, "only those of this one").or("all in force")], &[]),
    verb("rot", "damages blocks that hold data", &[
        ON_DISKS, word("share", Takes::Share, "of those blocks"),
    ], &["disks", "share"]).bites_by("bytes changed"),
    verb("skew", "sets clocks off", &[
        ON_NODES, word("offset", Takes::Offset, "by how much"),
    ], &["nodes", "offset"]).undone_by("for").bites_by("node times read while off"),
    verb("request", "one request of a client; `as` names the object and the answer", &[
        word("method", Takes::Text, "such as `GET`"),
        word("path", Takes::Text, "an object `DOMAIN/BUCKET/NAME`, or a request target beginning with `/`, sent as it stands"),
        word("headers", Takes::Headers, "its headers").or("none"),
        word("size", Takes::Size, "of its body").or("no body"),
        word("auth", Takes::Text, "`admin` or `user:password`").or("none"),
        word("expect_status", Takes::Count, "the status that it must be answered with").or("any"),
        CLUSTER,
        word("via", Takes::Via, "which node is asked").or("`any node`"),
    ], &["method", "path"]),
    verb("start-workload", "starts a workload, which then does not start by itself", WORKLOAD, &["workload"])
        .undone_by("stop-workload"),
    verb("stop-workload", "ends a workload: no operation becomes due any more", WORKLOAD, &["workload"]),
    verb("remember", "notes what clients see of every object; `as` names the snapshot. Nothing should be written meanwhile", &[CLUSTER], &["as"]),
    not_yet("panic"),
    not_yet("cut"),
    not_yet("degrade"),
    not_yet("truncate"),
    not_yet("lose-reply"),
    not_yet("slow-disk"),
    not_yet("stall-disk"),
    not_yet("fail-reads"),
    not_yet("fail-writes"),
    not_yet("fail-syncs"),
    not_yet("lie-about-syncs"),
    not_yet("misdirect"),
    not_yet("fill"),
    not_yet("read-only"),
    not_yet("heal-disk"),
    not_yet("pull-disk"),
    not_yet("insert-disk"),
    not_yet("replace-disk"),
    not_yet("lose-index"),
    not_yet("drift"),
    not_yet("step-clock"),
    not_yet("skip"),
    not_yet("retire"),
    not_yet("cancel-retire"),
    not_yet("suspend-recovery"),
    not_yet("resume-recovery"),
    not_yet("set"),
    not_yet("mount-stale"),
    not_yet("create-feed"),
    not_yet("pause-feed"),
    not_yet("resume-feed"),
    not_yet("restart-feed"),
    not_yet("delete-feed"),
    not_yet("restore"),
];

const fn verb(
    name: &'static str,
    says: &'static str,
    arguments: &'static [Word],
    required: &'static [&'static str],
) -> VerbWord {
    let word = word(name, Takes::Nothing, says);
    VerbWord { word, arguments, required, undo: "", effect: "" }
}

const fn not_yet(name: &'static str) -> VerbWord {
    VerbWord { word: later(name), arguments: &[], required: &[], undo: "", effect: "" }
}

impl VerbWord {
    const fn undone_by(mut self, undo: &'static str) -> Self {
        self.undo = undo;
        self
    }

    const fn bites_by(mut self, effect: &'static str) -> Self {
        self.effect = effect;
        self
    }
}
