//! The words of `[[step]]`: keys, selectors, verbs.

use super::feed;
use super::word::{Takes, Word, choice, word};

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
    ("`subcluster rack-a of main`", "the nodes of that subcluster"),
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
    /// What undoes it, separated by `, `.
    pub undo: &'static str,
    /// What counts as its effect; empty for a verb that breaks nothing.
    pub effect: &'static str,
    /// Whether it can be carried out on real sockets and files.
    pub live: bool,
}

const NODES: &[Word] = &[ON_NODES];
const ON_NODES: Word = word("nodes", Takes::Nodes, "which");
const ON_DISKS: Word = word("disks", Takes::Disks, "which");
const WORKLOAD: &[Word] = &[word("workload", Takes::Name, "which")];
const CLUSTER: Word = word("cluster", Takes::Cluster, "the cluster").or("the only one");
const DISKS: &[Word] = &[ON_DISKS];
const SHARE_OF_DISKS: &[Word] = &[ON_DISKS, word("share", Takes::Share, "of them")];
/// `direction` of a cut.
const DIRECTIONS: &[Word] = &[
    choice("both", "neither hears the other"),
    choice("out", "what the nodes send is lost"),
    choice("in", "what is sent to the nodes is lost"),
];
/// `with` of a degraded network.
const PEERS: &[Word] = &[choice("nodes", "other nodes"), choice("clients", "clients")];
/// The points of [`swarm_cluster::Point`], in its order.
#[rustfmt::skip]
pub(crate) const POINTS: &[Word] = &[
    choice("group-durable", "a group of a volume's journal is durable; neither the index nor whoever waits for it knows"),
    choice("checkpoint-durable", "a checkpoint is durable in the other half of the journal; the old half still counts"),
    choice("half-switched", "the new half of the journal counts; the old one does not say yet that it is superseded"),
    choice("write-published", "all replicas of a write are published; the client has no answer"),
    choice("delete-filed", "a delete is filed on all nodes that it was sent to; the client has no answer"),
    choice("copy-made", "a copy that the health processor asked for is durable; whoever asked does not know"),
    choice("trim-allowed", "a copy too many may go, by the newest answers; it is still there"),
    choice("feed-delivered", "a feed's target has acknowledged an object; nothing of that is noted"),
    choice("feed-table-filed", "a change of the table of feeds is durable on a volume; the node does not work by it, and its other volumes may not have it"),
];

/// `ending` of a connection on which something was lost.
const ENDINGS: &[Word] = &[
    choice("reset", "both ends are reset, once what came before has arrived"),
    choice("silence", "nothing arrives any more and nobody is told"),
];
/// `reply` that is lost.
const REPLIES: &[Word] = &[choice("success", "an answer 2xx"), choice("any", "any final answer")];
/// `pace` of a retire.
const PACES: &[Word] =
    &[choice("slow", "beside everything else"), choice("fast", "before everything else")];
const HEAL_DISK: &str = "heal-disk, for";
const FAILED: &str = "operations failed";
const STATES: &str = "volumes in another state";
const SETTINGS: &str = "settings with another value";
const FEEDS: &str = "feeds defined otherwise";
const OFF: &str = "connections reset, unsynced bytes lost, messages not delivered";
const LATE: &str = "tasks that were due and ran late";
const LOST: &str = "bytes delayed, datagrams lost";

/// Every verb of the language.
#[rustfmt::skip]
pub const VERBS: &[VerbWord] = &[
    verb("kill", "the process is gone at once; what its disks were given they still write", NODES, &["nodes"])
        .undone_by("start, for").bites_by(OFF).live(),
    verb("power-off", "silence on the network, unsynced writes dropped or torn", NODES, &["nodes"])
        .undone_by("start, for").bites_by(OFF),
    verb("stop", "a graceful stop", NODES, &["nodes"]).undone_by("start, for").bites_by(OFF).live(),
    verb("start", "starts nodes that are off, lets paused ones go on", NODES, &["nodes"]).live(),
    verb("restart", "stop, and start after `down`", &[
        ON_NODES, word("down", Takes::Span, "how long it is off").or("`30s`"),
    ], &["nodes"]).bites_by(OFF).live(),
    verb("pause", "the process stands still: no task runs, buffers fill", NODES, &["nodes"])
        .undone_by("start, for").bites_by(LATE),
    verb("wipe", "kill, and the disks are blank", NODES, &["nodes"]).undone_by("start, for").bites_by(OFF).live(),
    verb("isolate", "cuts these nodes off from all others and from each other; clients still reach them", NODES, &["nodes"])
        .undone_by("heal, for").bites_by(LOST),
    verb("partition", "cuts each group off from every other group", &[
        word("groups", Takes::Groups, "such as `[\"main/1, main/2\", \"rest of main\"]`"),
    ], &["groups"]).undone_by("heal, for").bites_by(LOST),
    verb("break-multicast", "multicast from and to these nodes is lost; unicast works", NODES, &["nodes"])
        .undone_by("heal, for").bites_by(LOST),
    verb("heal", "undoes what was done to the network", &[word("step", Takes::Name, "only those of this one").or("all in force")], &[]),
    verb("rot", "damages blocks that hold data", &[
        ON_DISKS, word("share", Takes::Share, "of those blocks"),
    ], &["disks", "share"]).bites_by("reads that met damage").live(),
    verb("skew", "sets clocks off", &[
        ON_NODES, word("offset", Takes::Offset, "by how much"),
    ], &["nodes", "offset"]).undone_by("for").bites_by("node times read while off").live(),
    verb("request", "one request of a client; `as` names the object and the answer", &[
        word("method", Takes::Text, "such as `GET`"),
        word("path", Takes::Text, "an object `DOMAIN/BUCKET/NAME`, or a request target beginning with `/`, sent as it stands"),
        word("headers", Takes::Headers, "its headers").or("none"),
        word("size", Takes::Size, "of its body").or("no body"),
        word("auth", Takes::Text, "`admin` or `user:password`").or("none"),
        word("timeout", Takes::Duration, "the client's patience: it goes away without an answer").or("`60s`"),
        word("expect_status", Takes::Count, "the status that it must be answered with: the run fails with any other, and if what the step waits for never comes").or("any"),
        CLUSTER,
        word("via", Takes::Via, "which node is asked").or("`any node`"),
    ], &["method", "path"]).live(),
    verb("start-workload", "starts a workload, which then does not start by itself", WORKLOAD, &["workload"])
        .undone_by("stop-workload").live(),
    verb("stop-workload", "ends a workload: no operation becomes due any more", WORKLOAD, &["workload"]).live(),
    verb("remember", "notes what clients see of every object; `as` names the snapshot. Nothing should be written meanwhile", &[CLUSTER], &["as"]).live(),
    verb("panic", "the process panics when it passes this point next; its disks keep what they were given", &[
        ON_NODES, word("point", Takes::OneOf(POINTS), "where in the code"),
        word("within", Takes::Duration, "after so long without passing there it is called off").or("`5m`"),
    ], &["nodes", "point"]).undone_by("start, for").bites_by("nodes that passed the point"),
    verb("cut", "cuts nodes off from others, or in one direction only", &[
        ON_NODES,
        word("to", Takes::Nodes, "those that they are cut off from").or("the other nodes of their clusters"),
        word("link", Takes::Name, "instead of `nodes` and `to`: the two clusters of this link are cut off from each other"),
        word("direction", Takes::OneOf(DIRECTIONS), "which way is lost; out of a link's first cluster").or("both"),
    ], &[]).undone_by("heal, for").bites_by(LOST),
    verb("half-open", "the network forgets every connection that these nodes have with others: what is sent on it arrives nowhere and nobody is told; new ones work", NODES, &["nodes"])
        .bites_by("messages not delivered, connections timed out"),
    verb("degrade", "makes the network worse", &[
        word("nodes", Takes::Nodes, "around which nodes"),
        word("link", Takes::Name, "instead of `nodes`: between the two clusters of this link, or between all nodes of this cluster"),
        word("with", Takes::OneOf(PEERS), "whose traffic with them").or("`nodes`"),
        word("latency", Takes::Latency, "one way").or("as it is"),
        word("bandwidth", Takes::Bandwidth, "of each direction").or("as it is"),
        word("loss", Takes::Share, "datagrams are lost, streams delayed by a retransmission").or("as it is"),
        word("duplicate", Takes::Share, "of datagrams that arrive twice").or("as it is"),
        word("reorder", Takes::Share, "of datagrams that others overtake").or("as it is"),
    ], &[]).undone_by("heal, for").bites_by("messages lost, late, doubled"),
    verb("truncate", "cuts one request short, once", &[
        word("workload", Takes::Name, "a write or update of this workload"),
        word("nth", Takes::Count, "which of those that begin from now on").or("1"),
        word("nodes", Takes::Nodes, "instead of `workload`: the next request to each of these nodes"),
        word("at_byte", Takes::Size, "from here on its body is lost; of a request to a node, counted from its first byte"),
        word("ending", Takes::OneOf(ENDINGS), "what becomes of the connection").or("`reset`"),
    ], &["at_byte"]).undone_by("for").bites_by("requests cut"),
    verb("lose-reply", "loses the next answer of each node to a client, once", &[
        ON_NODES,
        word("reply", Takes::OneOf(REPLIES), "which").or("`success`"),
        word("ending", Takes::OneOf(ENDINGS), "what becomes of the connection").or("`reset`"),
    ], &["nodes"]).undone_by("for").bites_by("acknowledgements lost"),
    verb("slow-disk", "requests take longer and bytes go slower", &[
        ON_DISKS,
        word("latency", Takes::Duration, "of one request, in the end"),
        word("bandwidth", Takes::Bandwidth, "in the end"),
        word("over", Takes::Duration, "how long it takes to become so, in a straight line").or("`0s`"),
    ], &["disks", "latency", "bandwidth"]).undone_by(HEAL_DISK).bites_by("operations slowed"),
    verb("stall-disk", "nothing completes", DISKS, &["disks"]).undone_by(HEAL_DISK).bites_by("operations slowed"),
    verb("fail-reads", "reads fail", SHARE_OF_DISKS, &["disks", "share"]).undone_by(HEAL_DISK).bites_by(FAILED),
    verb("fail-writes", "writes fail, and may have been written in part", SHARE_OF_DISKS, &["disks", "share"])
        .undone_by(HEAL_DISK).bites_by(FAILED),
    verb("fail-syncs", "syncs fail; as often as not what they should have made durable is given up", SHARE_OF_DISKS, &["disks", "share"])
        .undone_by(HEAL_DISK).bites_by(FAILED),
    verb("lie-about-syncs", "syncs are acknowledged and do nothing: it bites when the power goes", DISKS, &["disks"])
        .undone_by(HEAL_DISK).bites_by("bytes lost with the power"),
    verb("misdirect", "blocks land elsewhere on the disk", SHARE_OF_DISKS, &["disks", "share"])
        .undone_by(HEAL_DISK).bites_by("reads that met a block out of place"),
    verb("fill", "somebody else takes the space of the disk", &[
        ON_DISKS, word("to", Takes::Share, "of its capacity, in all"),
    ], &["disks", "to"]).undone_by(HEAL_DISK).bites_by("operations that found no room"),
    verb("read-only", "writes are refused", DISKS, &["disks"]).undone_by(HEAL_DISK).bites_by(FAILED),
    verb("unreadable", "blocks that hold data cannot be read until they are written anew", &[
        ON_DISKS, word("share", Takes::Share, "of those blocks"),
    ], &["disks", "share"]).bites_by("reads failed"),
    verb("heal-disk", "ends whatever is wrong with disks; what was destroyed stays so", DISKS, &["disks"]),
    verb("pull-disk", "pulls disks out of their nodes; what was not synced is lost", DISKS, &["disks"])
        .undone_by("insert-disk, for").bites_by("volumes gone").live(),
    verb("insert-disk", "plugs disks that were pulled into a node", &[
        ON_DISKS, word("into", Takes::Nodes, "one node").or("the one they were delivered in"),
    ], &["disks"]).bites_by("volumes back").live(),
    verb("replace-disk", "pulls disks, and plugs blank ones of the same make into the same nodes", DISKS, &["disks"])
        .bites_by("volumes gone").live(),
    verb("lose-index", "the index of a volume is gone when it is mounted next", DISKS, &["disks"]).bites_by("entries missing at a mount"),
    verb("drift", "clocks gain or lose", &[
        ON_NODES, word("ppm", Takes::Whole, "microseconds gained in a second; below 0: lost"),
    ], &["nodes", "ppm"]).undone_by("for").bites_by("node times read while off"),
    verb("step-clock", "moves clocks at once", &[
        ON_NODES, word("by", Takes::Offset, "by how much"),
    ], &["nodes", "by"]).undone_by("for").bites_by("node times read while off"),
    verb("skip", "a quiet stretch, in which nothing is asked of the clusters: background intervals stretch, dates stay", &[
        word("by", Takes::Span, "such as `3w`"),
    ], &["by"]).bites_by("background intervals stretched"),
    verb("retire", "volumes are emptied and take nothing new", &[
        word("nodes", Takes::Nodes, "all volumes of these nodes"),
        word("disks", Takes::Disks, "instead of `nodes`: these volumes"),
        word("pace", Takes::OneOf(PACES), "how fast").or("`slow`"),
    ], &[]).undone_by("cancel-retire, for").bites_by(STATES).live(),
    verb("cancel-retire", "volumes that are being emptied go on as before", &[
        word("nodes", Takes::Nodes, "all volumes of these nodes"),
        word("disks", Takes::Disks, "instead of `nodes`: these volumes"),
    ], &[]).bites_by(STATES).live(),
    verb("suspend-recovery", "no lost volume is recovered", &[CLUSTER], &[])
        .undone_by("resume-recovery, for").bites_by(SETTINGS).live(),
    verb("resume-recovery", "lost volumes are recovered again", &[CLUSTER], &[]).bites_by(SETTINGS).live(),
    verb("set", "changes a setting of a running cluster", &[
        CLUSTER,
        word("setting", Takes::Text, "its documented name"),
        word("value", Takes::Setting, "text, a number, true or false"),
    ], &["setting", "value"]).bites_by(SETTINGS).live(),
    verb("mount-stale", "volumes that are refused because they were away for too long are mounted all the same; what was deleted meanwhile may come back, so that `no resurrection` is to be waived", &[
        word("nodes", Takes::Nodes, "all volumes of these nodes that are refused for it"),
        word("disks", Takes::Disks, "instead of `nodes`: these volumes"),
    ], &[]).bites_by(STATES).live(),
    verb("create-feed", "defines a feed of the file, which then is not there from the start; after a `delete-feed` it is another one", feed::ONE, &["feed"])
        .undone_by("delete-feed, for").bites_by(FEEDS).live(),
    verb("edit-feed", "changes some fields of a feed; what says which objects go where makes everything be evaluated anew", feed::EDIT, &["feed"])
        .undone_by("for").bites_by(FEEDS).live(),
    verb("pause-feed", "nothing new is sent; what is to be sent is remembered", feed::ONE, &["feed"])
        .undone_by("resume-feed, for").bites_by(FEEDS).live(),
    verb("resume-feed", "a feed that rests goes on", feed::ONE, &["feed"]).bites_by(FEEDS).live(),
    verb("restart-feed", "every object is evaluated anew, and asked for at the target", feed::ONE, &["feed"]).bites_by(FEEDS).live(),
    verb("delete-feed", "the definition is gone; what is at the target stays", feed::ONE, &["feed"])
        .undone_by("create-feed").bites_by(FEEDS).live(),
    verb("restore", "clients read every named object that a snapshot has from one cluster and write it to another, as a new version, unless that shows it already", &[
        word("snapshot", Takes::Name, "the `remember` that took it"),
        word("from", Takes::Cluster, "the cluster that they read").or("the only one"),
        word("to", Takes::Cluster, "the cluster that they write to").or("the only one"),
    ], &["snapshot"]).live(),
];

const fn verb(
    name: &'static str,
    says: &'static str,
    arguments: &'static [Word],
    required: &'static [&'static str],
) -> VerbWord {
    let word = word(name, Takes::Nothing, says);
    VerbWord { word, arguments, required, undo: "", effect: "", live: false }
}

impl VerbWord {
    /// True if this word is among what undoes it.
    #[must_use]
    pub fn is_undone_by(&self, word: &str) -> bool {
        self.undo.split(", ").any(|undo| undo == word)
    }

    const fn undone_by(mut self, undo: &'static str) -> Self {
        self.undo = undo;
        self
    }

    const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    const fn bites_by(mut self, effect: &'static str) -> Self {
        self.effect = effect;
        self
    }
}
