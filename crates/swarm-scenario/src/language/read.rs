//! From the text of a file to a [`Scenario`]: the top level, the world, and the order in which names become known.
//!
//! Everything that is wrong is reported at once, in the order of the file. Names are collected first, so that a step may
//! speak of a workload further down.

mod expect;
mod fault;
mod feed;
mod link;
mod manage;
mod metric;
mod select;
mod step;
mod times;
mod workload;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use swarm_cluster::{
    ClockSpec, ClusterSpec, DiskKind, InterLinkSpec, LinkSpec, VOLUME_SIZE_MIN, check_setting,
    setting_names,
};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::model::{ClockVerb, Context, Feed, Limit, Scenario, Step, Verb, Waiver};
use super::reader::{At, Reader, Table};
use super::source::{Problem, Source};
use super::units;
use super::words;

/// What the clusters of a scenario have unless the file says otherwise: health cycles short enough to be waited for,
/// visits that find every surplus copy, and nodes that walk though nobody asks them anything, or no cluster would be at rest
/// that has been left alone for two hours (our choice).
const WALKS: [(&str, &str); 3] = [
    ("health.cycleTime", "600"),
    ("health.replicationMulticastFrequency", "100"),
    ("power.sleepAfter", "0"),
];

/// Simulated time of a run without `limit`: longer than any scenario of the gate.
const LIMIT_SIM: Duration = Duration::from_secs(6 * 3600);
/// Wall time of a run without `limit`: forty times the budget of a run in the gate.
const LIMIT_WALL: Duration = Duration::from_secs(60);
/// Disks are sparse; this is large enough for every run within the budget of bodies.
const VOLUME_SIZE: u64 = 1 << 30;
/// Addresses and beacons are sized for this.
const NODES_MAX: u32 = 200;
/// The setting that a subcluster is.
const SUBCLUSTER: &str = "node.subcluster";
/// Judgements keep sets of nodes as bits.
const NODES_IN_ALL: usize = crate::reach::NODES_MAX;

/// Reads a scenario from the text of the file at `path`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn read(path: &str, text: &str) -> Result<Scenario, Vec<Problem>> {
    let source = Source { path, text };
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
            return Err(vec![source.problem(&error.span().unwrap_or(0..0), message)]);
        }
    };
    let reader = Reader::new(source);
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".toml").to_owned();
    let mut scenario = {
        let top = reader.open("the file", 0..0, document.get_ref(), words::TOP);
        File { reader: &reader, text, top }.read(name)
    };
    scenario.not_live = reader.take_not_live();
    scenario.only_live = reader.take_only_live();
    let problems = reader.into_problems();
    if problems.is_empty() { Ok(scenario) } else { Err(problems) }
}

/// The feeds of a file, and the clusters that it speaks of.
#[derive(Debug, Clone)]
pub struct FeedFile {
    /// The feeds, in the order of the file.
    pub feeds: Vec<Feed>,
    /// The clusters with their numbers of nodes, in the order of the file; none where it says nothing but feeds.
    pub clusters: Vec<(String, u32)>,
}

/// Reads the feeds of a file: a scenario, or one with nothing but `[feed.NAME]` tables. There `from` may be left out, which is
/// told as an empty name.
///
/// # Errors
/// Everything that is wrong with the file, in its order.
pub fn read_feeds(path: &str, text: &str) -> Result<FeedFile, Vec<Problem>> {
    let alone =
        |document: &DeTable<'_>| document.iter().all(|(key, _)| key.get_ref().as_ref() == "feed");
    let source = Source { path, text };
    let document = match DeTable::parse(text) {
        Ok(document) if alone(document.get_ref()) => document,
        // A scenario, or what is wrong with it.
        _ => {
            let scenario = read(path, text)?;
            let nodes = |name: &String| Some((name.clone(), scenario.clusters.get(name)?.nodes));
            let clusters = scenario.cluster_order.iter().filter_map(nodes).collect();
            return Ok(FeedFile { feeds: scenario.feeds, clusters });
        }
    };
    let reader = Reader::new(source);
    let feeds = {
        let top = reader.open("the file", 0..0, document.get_ref(), words::TOP);
        let file = File { reader: &reader, text, top };
        if !file.top.has("feed") {
            reader.problem(&(0..0), "the file has no `[feed.NAME]`");
        }
        feed::feeds(&reader, &BTreeMap::new(), file.named_tables("feed"), |_| false)
    };
    let problems = reader.into_problems();
    if problems.is_empty() { Ok(FeedFile { feeds, clusters: Vec::new() }) } else { Err(problems) }
}

/// The names of a file and what each of them is.
#[derive(Debug, Default)]
struct Names {
    /// Nodes and disks of each.
    clusters: BTreeMap<String, (u32, u32)>,
    /// The nodes of each subcluster of each cluster.
    subclusters: BTreeMap<String, BTreeMap<String, Vec<u32>>>,
    domains: BTreeSet<String>,
    /// Buckets, and the clusters that their `on` names; empty where it is left out.
    buckets: BTreeMap<String, String>,
    workloads: BTreeSet<String>,
    /// Links and the clusters that they are between.
    links: BTreeMap<String, (String, String)>,
    /// Feeds, where they begin, and where they end if that is in this file.
    feeds: BTreeMap<String, (String, Option<String>)>,
    /// Steps with a name, and their verbs.
    steps: BTreeMap<String, String>,
    /// Workloads that a step starts.
    started: BTreeSet<String>,
    /// Feeds that a step creates.
    created: BTreeSet<String>,
}

impl Names {
    /// Names that have a start and an end.
    fn with_ends(&self) -> impl Iterator<Item = &str> {
        self.workloads.iter().chain(self.steps.keys()).map(String::as_str)
    }

    fn requests(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter(|(_, verb)| *verb == "request").map(|(name, _)| name.as_str())
    }

    fn snapshots(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter(|(_, verb)| *verb == "remember").map(|(name, _)| name.as_str())
    }

    /// The cluster of the bucket that a path begins with.
    fn cluster_of_path(&self, path: &str) -> Option<&str> {
        let in_bucket = |bucket: &str| {
            path.strip_prefix(bucket).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        };
        let (_, on) = self.buckets.iter().find(|(bucket, _)| in_bucket(bucket))?;
        if on.is_empty() { self.only_cluster() } else { Some(on) }
    }

    /// The one cluster of a file that has only one.
    fn only_cluster(&self) -> Option<&str> {
        let mut clusters = self.clusters.keys();
        clusters.next().filter(|_| clusters.next().is_none()).map(String::as_str)
    }
}

struct File<'v> {
    reader: &'v Reader<'v>,
    text: &'v str,
    top: Table<'v>,
}

impl<'v> File<'v> {
    fn read(&self, name: String) -> Scenario {
        self.schema();
        let clusters = self.clusters();
        let links = link::links(self.reader, &clusters, self.named_tables("link"));
        let names = self.collect_names(&clusters, &links);
        let feeds = feed::feeds(self.reader, &clusters, self.named_tables("feed"), |feed| {
            names.created.contains(feed)
        });
        let limit = self.limit();
        let line = |span: &Range<usize>| {
            self.text.get(..span.start).unwrap_or("").matches('\n').count() + 1
        };
        let tables =
            |key: &str| self.top.get(key).map(|value| self.reader.list(value)).unwrap_or_default();
        let (workloads, of_workloads): (Vec<_>, Vec<_>) = self
            .named_tables("workload")
            .into_iter()
            .filter_map(|(name, value)| {
                let line = line(&name.span);
                Some((workload::read(self.reader, &names, &name, value, line)?, value))
            })
            .unzip();
        let (steps, of_steps): (Vec<_>, Vec<_>) =
            self.steps(&names, limit, line).into_iter().unzip();
        let (expects, of_expects): (Vec<_>, Vec<_>) = tables("expect")
            .into_iter()
            .filter_map(|value| {
                Some((expect::read(self.reader, &names, value, line(&value.span()))?, value))
            })
            .unzip();
        times::Check {
            reader: self.reader,
            limit: limit.sim,
            workloads: (&workloads, &of_workloads),
            steps: (&steps, &of_steps),
            expects: (&expects, &of_expects),
        }
        .report();
        Scenario {
            name,
            title: self.sentence("title"),
            why: self.sentence("why"),
            tags: self
                .top
                .texts("tags")
                .unwrap_or_default()
                .into_iter()
                .map(|tag| tag.value)
                .collect(),
            limit,
            waive: tables("waive")
                .into_iter()
                .filter_map(|value| self.waiver(&names, value))
                .collect(),
            domains: self.contexts("domain", &names),
            buckets: self.contexts("bucket", &names),
            workloads,
            steps,
            expects,
            clusters,
            cluster_order: self.cluster_order(),
            links,
            feeds,
            not_live: Vec::new(),
            only_live: Vec::new(),
        }
    }

    fn steps(
        &self,
        names: &Names,
        limit: Limit,
        line: impl Fn(&Range<usize>) -> usize,
    ) -> Vec<(Step, times::Value<'v>)> {
        let values = self.top.get("step").map(|value| self.reader.list(value)).unwrap_or_default();
        let mut skipped = Duration::ZERO;
        let mut steps = Vec::new();
        for value in values {
            let Some(step) = step::read(self.reader, names, value, line(&value.span())) else {
                continue;
            };
            if let Verb::Clock(ClockVerb::Skip(by)) = step.verb {
                let times = step.repeat.map_or(1, |(_, times)| times);
                skipped = skipped.saturating_add(by.max.saturating_mul(times));
                if skipped >= limit.sim {
                    let by = value.get_ref().as_table().and_then(|table| table.get("by"));
                    let span = by.map_or_else(|| value.span(), Spanned::span);
                    let limit = units::show(limit.sim);
                    self.reader.problem(&span, format!("this skips past `limit.sim` ({limit})"));
                }
            }
            steps.push((step, value));
        }
        steps
    }

    fn schema(&self) {
        if self.top.require("schema") && self.top.number("schema").is_some_and(|schema| schema != 1)
        {
            self.reader.problem(self.top.key_span("schema"), "only schema 1 exists");
        }
    }

    fn sentence(&self, key: &str) -> String {
        if !self.top.require(key) {
            return String::new();
        }
        let text = self.top.text(key).map(|text| text.value).unwrap_or_default();
        if text.trim().is_empty() {
            self.reader.problem(self.top.key_span(key), format!("`{key}` must say something"));
        }
        text
    }

    fn limit(&self) -> Limit {
        let table =
            self.top.get("limit").and_then(|value| self.reader.table("limit", value, words::LIMIT));
        let duration =
            |key, default| table.as_ref().and_then(|table| table.duration(key)).unwrap_or(default);
        let limit = Limit { sim: duration("sim", LIMIT_SIM), wall: duration("wall", LIMIT_WALL) };
        if let Some(table) = &table {
            for (key, time) in [("sim", limit.sim), ("wall", limit.wall)] {
                if time.is_zero() {
                    self.reader.problem(table.key_span(key), format!("`{key}` is no time at all"));
                }
            }
        }
        limit
    }

    fn named_tables(&self, key: &str) -> Vec<(At<String>, &'v Spanned<DeValue<'v>>)> {
        let tables =
            self.top.get(key).map(|value| self.reader.names(key, value)).unwrap_or_default();
        for (name, _) in &tables {
            // A domain's name has dots and a bucket's a slash; everything else is a word that events and selectors can quote.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if matches!(key, "domain" | "bucket") && name.value.contains(char::is_whitespace) {
                self.reader.problem(&name.span, format!("{:?} has a blank in it", name.value));
            }
            if !matches!(key, "domain" | "bucket")
                && (name.value.is_empty() || !name.value.chars().all(plain))
            {
                self.reader.problem(
                    &name.span,
                    format!("{:?} cannot be a name: use letters, digits, - and _", name.value),
                );
            }
        }
        tables
    }

    fn collect_names(
        &self,
        clusters: &BTreeMap<String, ClusterSpec>,
        links: &BTreeMap<String, InterLinkSpec>,
    ) -> Names {
        let mut names = Names::default();
        let mut taken = BTreeSet::new();
        let mut take = |name: &At<String>| {
            if !taken.insert(name.value.clone()) {
                self.reader.problem(&name.span, format!("the name `{}` is used twice", name.value));
            }
        };
        for (name, spec) in clusters {
            names.clusters.insert(name.clone(), (spec.nodes, spec.volumes_per_node));
            let subclusters = names.subclusters.entry(name.clone()).or_default();
            for (node, own) in &spec.node_settings {
                if let Some(subcluster) = own.get(SUBCLUSTER) {
                    subclusters.entry(subcluster.clone()).or_default().push(*node);
                }
            }
        }
        for (name, _) in self.named_tables("cluster") {
            take(&name);
        }
        for (name, _) in self.named_tables("link") {
            take(&name);
        }
        names.links.extend(links.iter().map(|(name, link)| (name.clone(), link.between.clone())));
        for (name, _) in self.named_tables("workload") {
            take(&name);
            names.workloads.insert(name.value);
        }
        for (name, value) in self.named_tables("feed") {
            take(&name);
            let table = value.get_ref().as_table();
            let text = |key: &str| Some(table?.get(key)?.get_ref().as_str()?.to_owned());
            names.feeds.insert(name.value, (text("from").unwrap_or_default(), text("to")));
        }
        names.domains.extend(self.named_tables("domain").into_iter().map(|(name, _)| name.value));
        names.buckets.extend(self.named_tables("bucket").into_iter().map(|(name, value)| {
            let on = value.get_ref().as_table().and_then(|table| table.get("on"));
            let on = on.and_then(|on| on.get_ref().as_str()).unwrap_or("").to_owned();
            (name.value, on)
        }));
        for value in self.top.get("step").map(|value| self.reader.list(value)).unwrap_or_default() {
            let Some(table) = value.get_ref().as_table() else { continue };
            let text = |key: &str| {
                table.get(key).and_then(|value| {
                    value.get_ref().as_str().map(|text| (text.to_owned(), value.span()))
                })
            };
            let verb = text("do").map(|(verb, _)| verb).unwrap_or_default();
            if let Some((value, span)) = text("as") {
                let name = At { value, span };
                take(&name);
                names.steps.insert(name.value, verb.clone());
            }
            if let (true, Some((workload, _))) = (verb == "start-workload", text("workload")) {
                names.started.insert(workload);
            }
            if let (true, Some((feed, _))) = (verb == "create-feed", text("feed")) {
                names.created.insert(feed);
            }
        }
        names
    }

    fn waiver(&self, names: &Names, value: &Spanned<DeValue<'_>>) -> Option<Waiver> {
        let table = self.reader.table("a waiver", value, words::WAIVE)?;
        let (there, because) = (table.require("invariant"), table.require("because"));
        let invariant = table.word("invariant", "invariant", words::INVARIANTS);
        let during = match table.text("during") {
            Some(text) => Some(expect::window(self.reader, names, &text)?),
            None => None,
        };
        let because_text = table.text("because");
        (there && because).then_some(())?;
        Some(Waiver { invariant: invariant?.value, during, because: because_text?.value })
    }

    fn contexts(&self, key: &str, names: &Names) -> Vec<Context> {
        let mut contexts = Vec::new();
        for (path, value) in self.named_tables(key) {
            let what = format!("{key} {:?}", path.value);
            let Some(table) = self.reader.table(&what, value, words::CONTEXT) else { continue };
            if key == "bucket" {
                match path.value.split_once('/') {
                    Some((domain, bucket)) if !bucket.is_empty() && !bucket.contains('/') => {
                        if !names.domains.contains(domain) {
                            self.reader.unknown(
                                &path.span,
                                "domain",
                                domain,
                                names.domains.iter().map(String::as_str),
                            );
                        }
                    }
                    _ => self.reader.problem(&path.span, "a bucket is written \"DOMAIN/BUCKET\""),
                }
            }
            let headers = header_map(self.reader, &table);
            let other = |text: At<String>| known_cluster(self.reader, names, text);
            let others = table.texts("also_on").unwrap_or_default().into_iter().filter_map(other);
            let on: Vec<String> =
                cluster_of(self.reader, names, &table, "on").into_iter().chain(others).collect();
            let of = |on| Context { path: path.value.clone(), on, headers: headers.clone() };
            contexts.extend(on.into_iter().map(of));
        }
        contexts
    }

    fn cluster_order(&self) -> Vec<String> {
        self.named_tables("cluster").into_iter().map(|(name, _)| name.value).collect()
    }

    fn clusters(&self) -> BTreeMap<String, ClusterSpec> {
        if !self.top.require("cluster") {
            return BTreeMap::new();
        }
        let clusters: BTreeMap<String, ClusterSpec> = self
            .named_tables("cluster")
            .into_iter()
            .filter_map(|(name, value)| {
                Some((name.value.clone(), self.cluster(&name.value, value)?))
            })
            .collect();
        if clusters.values().map(|cluster| cluster.nodes as usize).sum::<usize>() > NODES_IN_ALL {
            let what = format!("at most {NODES_IN_ALL} nodes in all clusters together");
            self.reader.problem(self.top.key_span("cluster"), what);
        }
        clusters
    }

    fn cluster(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<ClusterSpec> {
        let what = format!("cluster {name}");
        let table = self.reader.table(&what, value, words::CLUSTER)?;
        let mut nodes = 1;
        if table.require("nodes") {
            nodes = table.count("nodes").unwrap_or(1);
            if nodes > NODES_MAX {
                self.reader.problem(table.key_span("nodes"), format!("at most {NODES_MAX} nodes"));
            }
        }
        let mut spec = ClusterSpec {
            nodes,
            volumes_per_node: 1,
            volume_size: VOLUME_SIZE,
            disk: DiskKind::Ssd,
            settings: WALKS.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            node_settings: BTreeMap::new(),
            lan: LinkSpec::default(),
            clocks: BTreeMap::new(),
        };
        if let Some(volumes) = table
            .get("volumes")
            .and_then(|value| self.reader.table("volumes", value, words::VOLUMES))
        {
            self.volumes(&volumes, &mut spec);
        }
        if let Some(value) = table.get("settings") {
            spec.settings.extend(self.settings(value));
        }
        if let Some(lan) =
            table.get("lan").and_then(|value| self.reader.table("lan", value, words::LAN))
        {
            link::fill_in(&lan, &mut spec.lan);
        }
        if let Some(value) = table.get("subclusters") {
            self.subclusters(value, &mut spec);
        }
        if let Some(value) = table.get("clock") {
            spec.clocks = self.clocks(value, nodes);
        }
        Some(spec)
    }

    fn volumes(&self, table: &Table<'_>, spec: &mut ClusterSpec) {
        spec.volumes_per_node = table.count("per_node").unwrap_or(spec.volumes_per_node);
        if let Some(size) = table.unit("size", "\"64GiB\"", units::size) {
            if size < VOLUME_SIZE_MIN {
                let least = units::show_size(VOLUME_SIZE_MIN);
                self.reader.problem(
                    table.key_span("size"),
                    format!("a volume must have at least {least}"),
                );
            }
            spec.volume_size = size;
        }
        if let Some(kind) = table.word("kind", "kind of disk", words::DISK_KINDS) {
            spec.disk = match kind.value.as_str() {
                "nvme" => DiskKind::Nvme,
                "hdd" => DiskKind::Hdd,
                _ => DiskKind::Ssd,
            };
        }
        if !table.has("latency") && !table.has("bandwidth") {
            return;
        }
        table.require("latency");
        table.require("bandwidth");
        if table.has("kind") {
            self.reader.problem(
                table.key_span("kind"),
                "`kind` excludes `latency` and `bandwidth`, which are a kind of their own",
            );
        }
        if let Some(latency) = table.duration("latency")
            && let Some(bits) = table.unit("bandwidth", "\"80MiB/s\"", units::bandwidth)
        {
            let bandwidth = (bits / 8).max(1);
            spec.disk = DiskKind::Own { latency, bandwidth };
        }
    }

    fn settings(&self, value: &Spanned<DeValue<'_>>) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        for (name, value) in self.reader.names("settings", value) {
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Boolean(flag) => flag.to_string(),
                other => {
                    self.reader.problem(
                        &value.span(),
                        format!(
                            "a setting is a text, a number, true or false, not {}",
                            other.type_str()
                        ),
                    );
                    continue;
                }
            };
            if !setting_names().any(|known| known == name.value) {
                self.reader.unknown(&name.span, "setting", &name.value, setting_names());
            } else if let Err(why) = check_setting(&name.value, &text) {
                self.reader.problem(&value.span(), why);
            }
            settings.insert(name.value, text);
        }
        settings
    }

    /// Subclusters are a setting of each node.
    fn subclusters(&self, value: &Spanned<DeValue<'_>>, spec: &mut ClusterSpec) {
        for (name, value) in self.reader.names("subclusters", value) {
            if let Err(why) = check_setting(SUBCLUSTER, &name.value) {
                self.reader.problem(&name.span, why);
            }
            for node in self.reader.list(value) {
                let Some(number) = self.reader.number("a node of a subcluster", node) else {
                    continue;
                };
                let number = u32::try_from(number).ok().filter(|n| (1..=spec.nodes).contains(n));
                let Some(number) = number else {
                    self.reader.problem(&node.span(), format!("no such node: 1 to {}", spec.nodes));
                    continue;
                };
                let own = spec.node_settings.entry(number).or_default();
                if own.insert(SUBCLUSTER.to_owned(), name.value.clone()).is_some() {
                    let what = format!("node {number} is in two subclusters");
                    self.reader.problem(&node.span(), what);
                }
            }
        }
    }

    fn clocks(&self, value: &Spanned<DeValue<'_>>, nodes: u32) -> BTreeMap<u32, ClockSpec> {
        let mut clocks = BTreeMap::new();
        for (node, value) in self.reader.names("clock", value) {
            let Some(number) =
                node.value.parse().ok().filter(|number| (1..=nodes).contains(number))
            else {
                self.reader
                    .problem(&node.span, format!("`{}` is no node: 1 to {nodes}", node.value));
                continue;
            };
            let clock =
                self.reader.unit("a clock", value, "\"+10m\" or \"drift 200ppm\"", |text| {
                    let off = |offset_ns| ClockSpec { offset_ns, ..ClockSpec::default() };
                    let drifting = |drift_ppm| ClockSpec { drift_ppm, ..ClockSpec::default() };
                    match text.trim().strip_prefix("drift ") {
                        Some(drift) => units::ppm(drift).map(drifting),
                        None => units::offset(text).map(off),
                    }
                });
            if clock.is_some_and(|clock| clock.drift_ppm != 0) {
                self.reader.not_live(&value.span(), "a clock that drifts");
            }
            clocks.extend(clock.map(|clock| (number, clock)));
        }
        clocks
    }
}

/// The cluster that `key` names, or the only one where it is left out.
fn cluster_of(reader: &Reader<'_>, names: &Names, table: &Table<'_>, key: &str) -> Option<String> {
    let Some(text) = table.text(key) else {
        let only = names.only_cluster().map(str::to_owned);
        if only.is_none() && !table.has(key) {
            table.require(key);
        }
        return only;
    };
    known_cluster(reader, names, text)
}

fn known_cluster(reader: &Reader<'_>, names: &Names, text: At<String>) -> Option<String> {
    if names.clusters.contains_key(&text.value) {
        return Some(text.value);
    }
    let known = names.clusters.keys().map(String::as_str);
    reader.unknown(&text.span, "cluster", &text.value, known);
    None
}

fn header_map(reader: &Reader<'_>, table: &Table<'_>) -> BTreeMap<String, String> {
    let Some(value) = table.get("headers") else { return BTreeMap::new() };
    let entries = reader.names("headers", value);
    entries
        .into_iter()
        .filter_map(|(name, value)| {
            let text = reader.text(&name.value, value)?;
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.value.is_empty() || !name.value.chars().all(is_token) {
                reader.problem(&name.span, format!("{:?} cannot be a header's name", name.value));
            }
            if text.value.bytes().any(|byte| byte < b' ' && byte != b'\t') {
                reader.problem(&text.span, "a header's value is one line");
            }
            Some((name.value.clone(), text.value))
        })
        .collect()
}
