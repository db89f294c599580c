//! Reads `[feed.NAME]`, and what the verbs and subjects of feeds take.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use swarm_cluster::ClusterSpec;
use toml::Spanned;
use toml::de::DeValue;

use super::{Names, cluster_of};
use crate::language::domains::{Domains, Entry};
use crate::language::model::{Feed, FeedFields, FeedMode, FeedVerb, Subject, Verb};
use crate::language::reader::{At, Reader, Table};
use crate::language::words;

/// Most transfers of one node at once (our choice; nodes refuse more).
const THREADS_MAX: u32 = 64;
/// Between a second and an hour (our choice; nodes refuse other values).
const RETRY_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// A cluster keeps what so many feeds have come to with each stream, and no more (Understanding Feeds).
const FEEDS_MAX: usize = 8;

/// The feeds of a file; `by_step` tells which of them steps create. Without `clusters` the file is for a cluster that runs
/// already.
pub(super) fn feeds(
    reader: &Reader<'_>,
    clusters: &BTreeMap<String, ClusterSpec>,
    tables: Vec<(At<String>, &Spanned<DeValue<'_>>)>,
    by_step: impl Fn(&str) -> bool,
) -> Vec<Feed> {
    let mut feeds: Vec<Feed> = Vec::new();
    for (name, value) in tables {
        let Some(mut feed) = feed(reader, clusters, &name, value) else { continue };
        feed.by_step = by_step(&feed.name);
        feeds.push(feed);
        let from = &feeds[feeds.len() - 1].from;
        if feeds.iter().filter(|feed| feed.from == *from).count() > FEEDS_MAX {
            let what = format!("a cluster has at most {FEEDS_MAX} feeds, and {from} has more");
            reader.problem(&name.span, what);
        }
    }
    feeds
}

fn feed(
    reader: &Reader<'_>,
    clusters: &BTreeMap<String, ClusterSpec>,
    name: &At<String>,
    value: &Spanned<DeValue<'_>>,
) -> Option<Feed> {
    let what = format!("feed {}", name.value);
    let table = reader.table(&what, value, words::FEED)?;
    // Without clusters the file is for a cluster that runs already.
    let is_alone = clusters.is_empty();
    let known = |key: &str| {
        let text = table.text(key)?;
        if is_alone && key == "to" {
            let what = "this file has no clusters: say `hosts`, `port` and `cluster_name`";
            reader.problem(table.key_span("to"), what);
            return None;
        }
        if !is_alone && !clusters.contains_key(&text.value) {
            let known = clusters.keys().map(String::as_str);
            reader.unknown(&text.span, "cluster", &text.value, known);
            return None;
        }
        Some(text.value)
    };
    if table.has("type") {
        table.word("type", "type of feed", words::FEED_TYPES)?;
    }
    let from = match is_alone && !table.has("from") {
        true => Some(String::new()),
        false if table.require("from") => known("from"),
        false => None,
    };
    let (to, fields) = (known("to"), fields(reader, &table));
    let leads_somewhere = table.has("to") || (table.has("hosts") && table.has("cluster_name"));
    if !leads_somewhere {
        let what = format!("{what} goes `to` a cluster, or to `hosts` of a `cluster_name`");
        reader.problem(table.span(), what);
    }
    if from.is_some() && from == to {
        reader.problem(table.key_span("to"), "a feed goes to another cluster");
    }
    if table.has("to") && to.is_none() {
        return None;
    }
    Some(Feed { name: name.value.clone(), from: from?, to, fields: fields?, by_step: false })
}

/// What a table says of a feed; `None` if some of it was refused.
fn fields(reader: &Reader<'_>, table: &Table<'_>) -> Option<FeedFields> {
    let hosts = table.texts("hosts");
    for host in hosts.iter().flatten() {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if host.value.is_empty() || !host.value.chars().all(fits) {
            let what = format!("{:?} is no address: no scheme, no port, no path", host.value);
            reader.problem(&host.span, what);
        }
    }
    let mode = match table.has("mode") {
        true => match table.word("mode", "mode", words::FEED_MODES)?.value.as_str() {
            "get" => Some(FeedMode::Get),
            _ => Some(FeedMode::Post),
        },
        false => None,
    };
    let retry_wait = table.duration("retry_wait");
    if retry_wait.is_some_and(|wait| wait < RETRY_WAIT.0 || wait > RETRY_WAIT.1)
        || retry_wait.is_some_and(|wait| wait.subsec_nanos() > 0)
    {
        let what = "`retry_wait` is from 1s to 1h, in whole seconds";
        reader.problem(table.key_span("retry_wait"), what);
    }
    let remote_auth = table.text("remote_auth");
    if let Some(auth) = &remote_auth
        && auth
            .value
            .split_once(':')
            .is_none_or(|(user, password)| user.is_empty() || password.is_empty())
    {
        reader.problem(&auth.span, "`remote_auth` is written \"user:password\"");
    }
    let port = table.count_up_to("port", u32::from(u16::MAX));
    if table.has("ssl") {
        table.word("ssl", "value of `ssl`", words::FEED_SSL);
    }
    Some(FeedFields {
        hosts: hosts.map(|hosts| hosts.into_iter().map(|host| host.value).collect()),
        port: port.and_then(|port| u16::try_from(port).ok()),
        cluster_name: table.text("cluster_name").map(|name| name.value),
        mode,
        domains: match table.get("domains") {
            Some(value) => Some(domains(reader, value)?),
            None => None,
        },
        propagate_deletes: table.flag("propagate_deletes"),
        threads: table.count_up_to("threads", THREADS_MAX),
        retry_wait,
        remote_auth: remote_auth.map(|auth| auth.value),
        paused: table.flag("paused"),
    })
}

fn domains(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Domains> {
    let table = reader.table("domains", value, words::FEED_DOMAINS)?;
    let entries = |key: &str| -> Option<Vec<Entry>> {
        let texts = table.texts(key)?;
        let mut entries = Vec::new();
        for text in texts {
            match Entry::new(&text.value) {
                Ok(entry) => entries.push(entry),
                Err(why) => reader.problem(&text.span, format!("{:?} {why}", text.value)),
            }
        }
        Some(entries)
    };
    let (include, exclude) = (entries("include"), entries("exclude").unwrap_or_default());
    if include.as_ref().is_some_and(Vec::is_empty) && table.texts("include")?.is_empty() {
        reader.problem(table.key_span("include"), "the feed would carry nothing");
    }
    let untenanted = table.flag("untenanted");
    if include.is_none() && table.has("untenanted") {
        let what = "without `include` everything is selected, objects without a domain too";
        reader.problem(table.key_span("untenanted"), what);
    }
    Some(Domains { untenanted: untenanted.unwrap_or(include.is_none()), include, exclude })
}

/// The feed that `feed` names.
fn named(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<String> {
    let text = table.text("feed")?;
    is_known(reader, names, &text.span, &text.value).then_some(text.value)
}

/// True if there is a feed of this name; reports it otherwise.
pub(super) fn is_known(
    reader: &Reader<'_>,
    names: &Names,
    span: &Range<usize>,
    feed: &str,
) -> bool {
    let is_known = names.feeds.contains_key(feed);
    if !is_known {
        reader.unknown(span, "feed", feed, names.feeds.keys().map(String::as_str));
    }
    is_known
}

/// Reads the verb of this word, if it is one of a feed.
pub(super) fn verb(
    reader: &Reader<'_>,
    names: &Names,
    table: &Table<'_>,
    word: &str,
) -> Option<Verb> {
    let feed = named(reader, names, table)?;
    let verb = match word {
        "create-feed" => FeedVerb::Create,
        "pause-feed" => FeedVerb::Pause,
        "resume-feed" => FeedVerb::Resume,
        "restart-feed" => FeedVerb::Restart,
        "delete-feed" => FeedVerb::Delete,
        "edit-feed" => {
            let fields = fields(reader, table)?;
            if fields == FeedFields::default() {
                reader.problem(table.span(), "say what is changed, such as `threads` or `domains`");
            }
            FeedVerb::Edit(Box::new(fields))
        }
        _ => return None,
    };
    Some(Verb::Feed(verb, feed))
}

/// Reads `restore`.
pub(super) fn restore(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Verb> {
    let snapshot = table.text("snapshot")?;
    if !names.snapshots().any(|name| name == snapshot.value) {
        reader.unknown(&snapshot.span, "snapshot", &snapshot.value, names.snapshots());
        return None;
    }
    let from = cluster_of(reader, names, table, "from")?;
    let to = cluster_of(reader, names, table, "to")?;
    Some(Verb::Restore { snapshot: snapshot.value, from, to })
}

/// Reads the subjects of feeds, and of clusters that they join.
pub(super) fn subject(
    reader: &Reader<'_>,
    names: &Names,
    table: &Table<'_>,
    word: &str,
) -> Option<Subject> {
    match word {
        "feed drained" => named(reader, names, table).map(Subject::Drained),
        "feed state" => {
            let feed = named(reader, names, table)?;
            let text = table.text("is")?;
            let is = text.value.trim().trim_start_matches('=').trim();
            if !words::FEED_STATES.contains(&is) {
                reader.unknown(
                    &text.span,
                    "state of a feed",
                    is,
                    words::FEED_STATES.iter().copied(),
                );
                return None;
            }
            Some(Subject::FeedState { feed, is: is.to_owned() })
        }
        "same objects" => same_objects(reader, names, table),
        _ => {
            let cluster = cluster_of(reader, names, table, "cluster")?;
            let of = cluster_of(reader, names, table, "of")?;
            let leads = |(from, to): &(String, Option<String>)| {
                *from == of && to.as_deref() == Some(cluster.as_str())
            };
            if !names.feeds.values().any(leads) {
                let what = format!("no feed goes from {of} to {cluster}");
                reader.problem(table.key_span("cluster"), what);
                return None;
            }
            Some(Subject::HoldsAll { cluster, of })
        }
    }
}

fn same_objects(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Subject> {
    let texts = table.texts("clusters")?;
    for text in &texts {
        if !names.clusters.contains_key(&text.value) {
            let known = names.clusters.keys().map(String::as_str);
            reader.unknown(&text.span, "cluster", &text.value, known);
            return None;
        }
    }
    let [one, other] = &texts[..] else {
        reader.problem(table.key_span("clusters"), "two clusters are compared");
        return None;
    };
    let (one, other) = (one.value.clone(), other.value.clone());
    let joins = |(from, to): &(String, Option<String>)| {
        let to = to.as_deref().unwrap_or("");
        (*from == one && to == other) || (*from == other && to == one)
    };
    if !names.feeds.values().any(joins) {
        let what = format!("no feed goes between {one} and {other}");
        reader.problem(table.key_span("clusters"), what);
        return None;
    }
    Some(Subject::SameObjects(one, other))
}
