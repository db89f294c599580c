//! Selectors and events: the phrases inside a text that name nodes, disks and moments.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;

use swarm_cluster::{DiskRef, NodeRef};

use super::{Names, feed};
use crate::language::model::{Counted, DiskSelector, Event, NodeSelector, ObjectRef, Targets, Via};
use crate::language::reader::{At, Reader};
use crate::language::words;

/// Reads `main/3`, `main/1, main/2`, `2 of main`, `all of main`, `subcluster rack-a of main`, `rest of main`, or a step's name.
pub(super) fn nodes(reader: &Reader<'_>, names: &Names, text: &At<String>) -> Option<NodeSelector> {
    let phrase = text.value.trim();
    if let Some((head, cluster)) = phrase.split_once(" of ") {
        let head = head.trim();
        let (cluster, (of, _)) = known_cluster(reader, names, &text.span, cluster.trim())?;
        if let Some(subcluster) = head.strip_prefix("subcluster ") {
            let all = names.subclusters.get(&cluster)?;
            let Some(nodes) = all.get(subcluster.trim()) else {
                let known = all.keys().map(String::as_str);
                reader.unknown(&text.span, "subcluster", subcluster.trim(), known);
                return None;
            };
            let node = |node: &u32| NodeRef { cluster: cluster.clone(), node: *node };
            return Some(NodeSelector::These(nodes.iter().map(node).collect()));
        }
        return match head {
            "all" => Some(NodeSelector::All(cluster)),
            "rest" => Some(NodeSelector::Rest(cluster)),
            count => {
                Some(NodeSelector::Some(count_of(reader, &text.span, count, of, "nodes")?, cluster))
            }
        };
    }
    if names.steps.contains_key(phrase) {
        return Some(NodeSelector::Step(phrase.to_owned()));
    }
    if !phrase.contains('/') {
        reader.unknown(&text.span, "node or step", phrase, names.steps.keys().map(String::as_str));
        return None;
    }
    let these: Option<Vec<_>> =
        phrase.split(',').map(|one| node(reader, names, &text.span, one.trim())).collect();
    these.map(|these| NodeSelector::These(each_once(reader, &text.span, these)))
}

/// Reads `main/3/1`, `1 of main/3`, `3 disks of main`, `all disks of main`, or a step's name.
pub(super) fn disks(reader: &Reader<'_>, names: &Names, text: &At<String>) -> Option<DiskSelector> {
    let phrase = text.value.trim();
    if let Some((head, place)) = phrase.split_once(" of ") {
        let (head, place) = (head.trim(), place.trim());
        if let Some(count) = head.strip_suffix(" disks") {
            let (cluster, (nodes, per_node)) = known_cluster(reader, names, &text.span, place)?;
            return match count.trim() {
                "all" => Some(DiskSelector::All(cluster)),
                count => Some(DiskSelector::Some(
                    count_of(reader, &text.span, count, nodes * per_node, "disks")?,
                    cluster,
                )),
            };
        }
        let node = node(reader, names, &text.span, place)?;
        let of = names.clusters.get(&node.cluster).map_or(0, |(_, per_node)| *per_node);
        return Some(DiskSelector::SomeOfNode(
            count_of(reader, &text.span, head, of, "disks")?,
            node,
        ));
    }
    if names.steps.contains_key(phrase) {
        return Some(DiskSelector::Step(phrase.to_owned()));
    }
    if !phrase.contains('/') {
        reader.unknown(&text.span, "disk or step", phrase, names.steps.keys().map(String::as_str));
        return None;
    }
    let these: Option<Vec<_>> =
        phrase.split(',').map(|one| disk(reader, names, &text.span, one.trim())).collect();
    these.map(|these| DiskSelector::These(each_once(reader, &text.span, these)))
}

/// Whatever is done to one that is named twice would be done to it twice.
fn each_once<T: Ord + Clone + Display>(
    reader: &Reader<'_>,
    span: &Range<usize>,
    these: Vec<T>,
) -> Vec<T> {
    let mut seen = BTreeSet::new();
    for one in &these {
        if !seen.insert(one.clone()) {
            reader.problem(span, format!("{one} is named twice"));
        }
    }
    these
}

/// Reads nodes or disks, where a verb takes either: the shape of the phrase says which.
pub(super) fn targets(reader: &Reader<'_>, names: &Names, text: &At<String>) -> Option<Targets> {
    if means_disks(names, text.value.trim()) {
        disks(reader, names, text).map(Targets::Disks)
    } else {
        nodes(reader, names, text).map(Targets::Nodes)
    }
}

fn means_disks(names: &Names, phrase: &str) -> bool {
    match phrase.split_once(" of ") {
        // `3 disks of main`, `1 of main/3`.
        Some((head, place)) => head.trim().ends_with(" disks") || place.contains('/'),
        None => match names.steps.get(phrase) {
            Some(verb) => words::VERBS.iter().any(|word| {
                let takes = |key| word.arguments.iter().any(|argument| argument.word == key);
                word.word.word == verb && takes("disks") && !takes("nodes")
            }),
            None => phrase.split(',').any(|one| one.matches('/').count() > 1),
        },
    }
}

/// Reads `any node`, `round robin`, `main/1` for clients of `cluster`.
pub(super) fn via(
    reader: &Reader<'_>,
    names: &Names,
    text: &At<String>,
    cluster: &str,
) -> Option<Via> {
    match text.value.trim() {
        "any node" => Some(Via::AnyNode),
        "round robin" => Some(Via::RoundRobin),
        phrase if phrase.contains('/') => {
            let node = node(reader, names, &text.span, phrase)?;
            if node.cluster != cluster {
                reader.problem(&text.span, format!("{node} is no node of {cluster}"));
                return None;
            }
            Some(Via::Node(node))
        }
        phrase => {
            reader.unknown(&text.span, "way to choose a node", phrase, ["any node", "round robin"]);
            None
        }
    }
}

/// An event of the cluster with this name.
type OfCluster = fn(String) -> Event;

/// What can be said of a cluster in an event.
const OF_CLUSTERS: [(&str, OfCluster); 3] = [
    (" healthy", Event::Healthy),
    (" at rest", Event::AtRest),
    (" fully protected", Event::Protected),
];

/// Reads an event.
pub(super) fn event(reader: &Reader<'_>, names: &Names, text: &At<String>) -> Option<Event> {
    let phrase = text.value.trim();
    if let Some((workload, what)) = phrase.split_once(": ") {
        if !names.workloads.contains(workload) {
            reader.unknown(
                &text.span,
                "workload",
                workload,
                names.workloads.iter().map(String::as_str),
            );
            return None;
        }
        return progress(reader, text, workload, what);
    }
    for (end, make) in [(" starts", Event::Starts as fn(String) -> Event), (" ends", Event::Ends)] {
        if let Some(name) = phrase.strip_suffix(end) {
            if names.with_ends().any(|known| known == name) {
                return Some(make(name.to_owned()));
            }
            reader.unknown(&text.span, "step or workload", name, names.with_ends());
            return None;
        }
    }
    for (end, make) in OF_CLUSTERS {
        if let Some(cluster) = phrase.strip_suffix(end) {
            return known_cluster(reader, names, &text.span, cluster)
                .map(|(cluster, _)| make(cluster));
        }
    }
    if let Some(name) = phrase.strip_suffix(" is gone") {
        let name = At { value: name.to_owned(), span: text.span.clone() };
        return object(reader, names, &name).map(Event::Gone);
    }
    if let Some(feed) = phrase.strip_suffix(" drained") {
        let is_known = feed::is_known(reader, names, &text.span, feed);
        return is_known.then(|| Event::Drained(feed.to_owned()));
    }
    let known =
        names.with_ends().flat_map(|name| [format!("{name} starts"), format!("{name} ends")]);
    let known: Vec<_> = known
        .chain(
            names
                .clusters
                .keys()
                .flat_map(|name| OF_CLUSTERS.map(|(end, _)| format!("{name}{end}"))),
        )
        .chain(names.feeds.keys().map(|name| format!("{name} drained")))
        .collect();
    reader.unknown(&text.span, "event", phrase, known.iter().map(String::as_str));
    None
}

/// Reads an object: a path, or the name of a request. It is asked for where its bucket is.
pub(super) fn object(reader: &Reader<'_>, names: &Names, text: &At<String>) -> Option<ObjectRef> {
    let of_request = names.requests().any(|name| name == text.value);
    let cluster = if of_request { Some("") } else { names.cluster_of_path(&text.value) };
    let Some(cluster) = cluster else {
        if text.value.contains('/') {
            let what = format!("`{}` is in no bucket of this file", text.value);
            reader.problem(&text.span, what);
        } else {
            reader.unknown(&text.span, "object or request", &text.value, names.requests());
        }
        return None;
    };
    let cluster = if cluster.is_empty() { names.only_cluster().unwrap_or("") } else { cluster };
    Some(ObjectRef { object: text.value.clone(), cluster: cluster.to_owned(), via: Via::AnyNode })
}

/// Reads `200th write acknowledged`, `200th write half sent`.
fn progress(reader: &Reader<'_>, text: &At<String>, workload: &str, what: &str) -> Option<Event> {
    let mut parts = what.splitn(3, ' ');
    let (ordinal, counted, state) =
        (parts.next()?, parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let nth = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|end| ordinal.strip_suffix(end))
        .and_then(|n| n.parse().ok())
        .filter(|n| *n > 0);
    let Some(nth) = nth else {
        reader.problem(&text.span, format!("`{ordinal}` is no ordinal: write it like 200th"));
        return None;
    };
    let Some(of) = Counted::from_word(counted) else {
        reader.unknown(&text.span, "operation", counted, words::COUNTED.iter().copied());
        return None;
    };
    let workload = workload.to_owned();
    match state {
        "acknowledged" => Some(Event::Acknowledged { workload, nth, of }),
        "half sent" => Some(Event::HalfSent { workload, nth, of }),
        other => {
            reader.unknown(&text.span, "progress", other, ["acknowledged", "half sent"]);
            None
        }
    }
}

fn known_cluster(
    reader: &Reader<'_>,
    names: &Names,
    span: &Range<usize>,
    cluster: &str,
) -> Option<(String, (u32, u32))> {
    let shape = names.clusters.get(cluster);
    if shape.is_none() {
        reader.unknown(span, "cluster", cluster, names.clusters.keys().map(String::as_str));
    }
    shape.map(|shape| (cluster.to_owned(), *shape))
}

fn count_of(
    reader: &Reader<'_>,
    span: &Range<usize>,
    count: &str,
    of: u32,
    what: &str,
) -> Option<u32> {
    let Ok(number) = count.parse::<u32>() else {
        reader.unknown(span, "selector", count, ["all", "rest"]);
        return None;
    };
    if !(1..=of).contains(&number) {
        reader.problem(span, format!("{number} of {of} {what} cannot be chosen"));
        return None;
    }
    Some(number)
}

pub(super) fn node(
    reader: &Reader<'_>,
    names: &Names,
    span: &Range<usize>,
    text: &str,
) -> Option<NodeRef> {
    let (cluster, number) = text.split_once('/').unwrap_or((text, ""));
    let (cluster, (nodes, _)) = known_cluster(reader, names, span, cluster)?;
    match number.parse().ok().filter(|number| (1..=nodes).contains(number)) {
        Some(node) => Some(NodeRef { cluster, node }),
        None => {
            reader.problem(span, format!("`{text}` is no node: {cluster}/1 to {cluster}/{nodes}"));
            None
        }
    }
}

fn disk(reader: &Reader<'_>, names: &Names, span: &Range<usize>, text: &str) -> Option<DiskRef> {
    let Some((node_text, number)) = text.rsplit_once('/').filter(|(node, _)| node.contains('/'))
    else {
        reader.problem(span, format!("`{text}` is no disk: write it like main/3/1"));
        return None;
    };
    let node = node(reader, names, span, node_text)?;
    let disks = names.clusters.get(&node.cluster).map_or(0, |(_, per_node)| *per_node);
    match number.parse().ok().filter(|number| (1..=disks).contains(number)) {
        Some(disk) => Some(DiskRef { node, disk }),
        None => {
            reader.problem(span, format!("`{text}` is no disk: {node}/1 to {node}/{disks}"));
            None
        }
    }
}
