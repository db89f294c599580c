//! Networks: the one within a cluster, and `[link.NAME]`, the one between two clusters.

use std::collections::BTreeMap;

use swarm_cluster::{ClusterSpec, InterLinkSpec, LatencySpec, LinkSpec};
use toml::Spanned;
use toml::de::DeValue;

use crate::language::reader::{At, Reader, Table};
use crate::language::{units, words};

/// The links of a file.
pub(super) fn links(
    reader: &Reader<'_>,
    clusters: &BTreeMap<String, ClusterSpec>,
    tables: Vec<(At<String>, &Spanned<DeValue<'_>>)>,
) -> BTreeMap<String, InterLinkSpec> {
    let mut links: BTreeMap<String, InterLinkSpec> = BTreeMap::new();
    for (name, value) in tables {
        let Some(read) = link(reader, clusters, &name, value) else { continue };
        let ends = |link: &InterLinkSpec| {
            let (one, other) = link.between.clone();
            if one < other { (one, other) } else { (other, one) }
        };
        if let Some((twin, _)) = links.iter().find(|(_, other)| ends(other) == ends(&read)) {
            let what = format!("link {twin} is between the same clusters");
            reader.problem(&name.span, what);
        }
        links.insert(name.value, read);
    }
    links
}

fn link(
    reader: &Reader<'_>,
    clusters: &BTreeMap<String, ClusterSpec>,
    name: &At<String>,
    value: &Spanned<DeValue<'_>>,
) -> Option<InterLinkSpec> {
    let what = format!("link {}", name.value);
    let table = reader.table(&what, value, words::LINK)?;
    reader.not_live(&name.span, "a link between clusters");
    let mut link = LinkSpec::default();
    fill_in(&table, &mut link);
    if !table.require("between") {
        return None;
    }
    let ends = table.texts("between")?;
    for end in &ends {
        if !clusters.contains_key(&end.value) {
            let known = clusters.keys().map(String::as_str);
            reader.unknown(&end.span, "cluster", &end.value, known);
            return None;
        }
    }
    match &ends[..] {
        [one, other] if one.value != other.value => {
            Some(InterLinkSpec { between: (one.value.clone(), other.value.clone()), link })
        }
        _ => {
            reader.problem(table.key_span("between"), "a link is between two clusters");
            None
        }
    }
}

/// What a table says of a network.
pub(super) fn fill_in(table: &Table<'_>, link: &mut LinkSpec) {
    if let Some(latency) = latency(table) {
        link.latency = latency;
    }
    link.bandwidth_bits =
        table.unit("bandwidth", "\"10Gbit\"", units::bandwidth).unwrap_or(link.bandwidth_bits);
    link.loss_ppm = table.unit("loss", "\"0.1%\"", units::share).unwrap_or(link.loss_ppm);
}

/// A delay: a duration, a range, or a table of percentiles.
pub(super) fn latency(table: &Table<'_>) -> Option<LatencySpec> {
    let value = table.get("latency")?;
    if value.get_ref().as_table().is_none() {
        let span = table.span_of_time("latency")?;
        return Some(LatencySpec::Even { min: span.min, max: span.max });
    }
    let reader = table.reader();
    let percentiles = reader.table("latency", value, words::PERCENTILES)?;
    let there = [percentiles.require("p50"), percentiles.require("p99")];
    let (p50, p99) = (percentiles.duration("p50")?, percentiles.duration("p99")?);
    if there.contains(&false) {
        return None;
    }
    if p99 < p50 {
        reader.problem(percentiles.key_span("p99"), "`p99` is less than `p50`");
        return None;
    }
    Some(LatencySpec::Percentiles { p50, p99 })
}
