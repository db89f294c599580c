//! The words of `[feed.NAME]`.

use super::word::{Takes, Word, choice, later, word};

/// A feed.
pub const FEED: &[Word] = &[
    word("type", Takes::OneOf(FEED_TYPES), "what kind it is").or("`replication`"),
    word("from", Takes::Cluster, "the cluster whose objects it carries"),
    word("to", Takes::Cluster, "the cluster that they go to"),
    HOSTS,
    PORT,
    CLUSTER_NAME,
    MODE,
    DOMAINS,
    DELETES,
    THREADS,
    RETRY_WAIT,
    REMOTE_AUTH,
    PAUSED,
    SSL,
    PROXY,
];

/// What `edit-feed` takes.
pub(super) const EDIT: &[Word] = &[
    NAME,
    HOSTS,
    PORT,
    CLUSTER_NAME,
    MODE,
    DOMAINS,
    DELETES,
    THREADS,
    RETRY_WAIT,
    REMOTE_AUTH,
    SSL,
    PROXY,
];

/// What the other verbs of a feed take.
pub(super) const ONE: &[Word] = &[NAME];

pub(super) const NAME: Word = word("feed", Takes::Name, "which");
const HOSTS: Word = word("hosts", Takes::Texts, "addresses of the target, or of a proxy before it")
    .or("those of the nodes of `to`");
const PORT: Word =
    word("port", Takes::Count, "the SCSP port there").or("that of the nodes of `to`");
const CLUSTER_NAME: Word =
    word("cluster_name", Takes::Text, "the name that the target must have").or("`to`");
const MODE: Word = word("mode", Takes::OneOf(FEED_MODES), "how objects travel").or("`post`");
const DOMAINS: Word = word("domains", Takes::Table(FEED_DOMAINS), "which objects").or("everything");
const DELETES: Word =
    word("propagate_deletes", Takes::Flag, "whether deletes are carried over").or("`true`");
const THREADS: Word = word("threads", Takes::Count, "most transfers of one node at once").or("6");
const RETRY_WAIT: Word =
    word("retry_wait", Takes::Duration, "from a failure to the next try").or("`60s`");
const REMOTE_AUTH: Word =
    word("remote_auth", Takes::Text, "an administrator of the target, as `user:password`")
        .or("the cluster's own");
const PAUSED: Word = word("paused", Takes::Flag, "it rests at first").or("`false`");
const SSL: Word = word("ssl", Takes::OneOf(FEED_SSL), "how connections are secured").or("`none`");
const PROXY: Word = later("forward_proxy");

/// `type` of a feed.
pub const FEED_TYPES: &[Word] = &[
    choice("replication", "whole objects go to another cluster"),
    later("search"),
    later("s3backup"),
];
/// `mode` of a feed.
pub const FEED_MODES: &[Word] = &[
    choice("post", "the source sends them"),
    choice("get", "the target is told, and fetches them"),
];
/// `ssl` of a feed.
pub const FEED_SSL: &[Word] = &[choice("none", "not at all"), later("trusted"), later("untrusted")];
/// `domains` of a feed.
pub const FEED_DOMAINS: &[Word] = &[
    word("include", Takes::Texts, "names of domains, and expressions that match whole names")
        .or("all"),
    word("exclude", Takes::Texts, "the same, of those that are not carried after all").or("none"),
    word("untenanted", Takes::Flag, "with `include`: objects without a domain are carried too")
        .or("`false`"),
];

/// States of a feed (Viewing and Editing Feeds); `closed` is our name for one that is deleted.
pub const FEED_STATES: &[&str] =
    &["unknown", "ok", "processing", "overloaded", "blocked", "config error", "paused", "closed"];
