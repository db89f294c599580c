//! Reads metrics: whose, which, and the value they are compared with.

use super::Names;
use super::expect::comparison;
use crate::language::model::{
    ClusterMetric, Counted, FeedMetric, Metric, Percentile, Subject, WorkloadMetric,
};
use crate::language::reader::{At, Reader, Table};
use crate::language::units;
use crate::language::words::{self, METRICS};

pub(super) fn read(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Subject> {
    let of = table.text("of")?;
    let text = table.text("metric")?;
    let metric = if names.workloads.contains(&of.value) {
        Metric::Workload(of.value, of_workload(reader, &text)?)
    } else if names.clusters.contains_key(&of.value) {
        Metric::Cluster(of.value, of_cluster(reader, &text)?)
    } else if names.feeds.contains_key(&of.value) {
        Metric::Feed(of.value, of_feed(reader, &text)?)
    } else if names.links.contains_key(&of.value) {
        if text.value.trim() != "bytes" {
            unknown(reader, &text, "link");
            return None;
        }
        Metric::Bytes(of.value)
    } else {
        let known = names.workloads.iter().chain(names.clusters.keys());
        let known = known.chain(names.feeds.keys()).chain(names.links.keys());
        let what = "workload, cluster, feed or link";
        reader.unknown(&of.span, what, &of.value, known.map(String::as_str));
        return None;
    };
    let is = table.text("is")?;
    let Some((comparison, value)) = comparison(&is.value) else {
        reader.problem(&is.span, "`is` begins with =, <, <=, > or >=");
        return None;
    };
    let Some(parsed) = value_of(&metric, value) else {
        let example = METRICS.iter().find(|word| is_form(word.form, &text.value));
        let example = example.map_or("= 0", |word| word.example);
        reader.problem(
            &is.span,
            format!("cannot compare `{}` with {value:?}; write it like {example:?}", text.value),
        );
        return None;
    };
    Some(Subject::Metric { metric, is: comparison, value: parsed })
}

fn value_of(metric: &Metric, text: &str) -> Option<u64> {
    let nanoseconds =
        |text| units::duration(text).and_then(|time| u64::try_from(time.as_nanos()).ok());
    match metric {
        Metric::Workload(_, WorkloadMetric::Latency(..)) => nanoseconds(text),
        Metric::Workload(_, WorkloadMetric::FailedShare(_)) => units::share(text).map(u64::from),
        Metric::Workload(_, WorkloadMetric::AcknowledgedCount(_)) => text.parse().ok(),
        Metric::Cluster(_, ClusterMetric::UsedSpace) => units::size(text),
        Metric::Cluster(_, ClusterMetric::RecoveryTime) => nanoseconds(text),
        Metric::Cluster(_, ClusterMetric::CopiesMoved) => text.parse().ok(),
        Metric::Feed(_, FeedMetric::Backlog) => text.parse().ok(),
        Metric::Feed(..) => nanoseconds(text),
        Metric::Bytes(_) => units::size(text),
    }
}

/// True if the phrase is of this form, whatever it counts.
fn is_form(form: &str, phrase: &str) -> bool {
    let words =
        |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let (form, phrase) = (words(form), words(phrase));
    // One percentile stands for all.
    let same = |(a, b): (&String, &String)| a == b || a == "OP" || (a == "p50" && b != "share");
    form.len() == phrase.len() && form.iter().zip(&phrase).all(same)
}

fn of_workload(reader: &Reader<'_>, text: &At<String>) -> Option<WorkloadMetric> {
    let parts: Vec<&str> = text.value.split_whitespace().collect();
    let counted = |word: &str| {
        let counted = Counted::from_word(word);
        if counted.is_none() {
            reader.unknown(&text.span, "operation", word, words::COUNTED.iter().copied());
        }
        counted
    };
    match parts[..] {
        [operation, "latency", point] => {
            let percentile = percentile(reader, text, point)?;
            Some(WorkloadMetric::Latency(counted(operation)?, percentile))
        }
        ["failed", operation, "share"] => Some(WorkloadMetric::FailedShare(counted(operation)?)),
        ["acknowledged", operation, "count"] => {
            Some(WorkloadMetric::AcknowledgedCount(counted(operation)?))
        }
        _ => {
            unknown(reader, text, "workload");
            None
        }
    }
}

fn of_cluster(reader: &Reader<'_>, text: &At<String>) -> Option<ClusterMetric> {
    match text.value.trim() {
        "used space" => Some(ClusterMetric::UsedSpace),
        "recovery time" => Some(ClusterMetric::RecoveryTime),
        "copies moved" => Some(ClusterMetric::CopiesMoved),
        _ => {
            unknown(reader, text, "cluster");
            None
        }
    }
}

fn of_feed(reader: &Reader<'_>, text: &At<String>) -> Option<FeedMetric> {
    let parts: Vec<&str> = text.value.split_whitespace().collect();
    match parts[..] {
        ["rpo", point] => percentile(reader, text, point).map(FeedMetric::Rpo),
        ["drain", "time"] => Some(FeedMetric::DrainTime),
        ["backlog"] => Some(FeedMetric::Backlog),
        ["oldest", "pending"] => Some(FeedMetric::OldestPending),
        _ => {
            unknown(reader, text, "feed");
            None
        }
    }
}

fn percentile(reader: &Reader<'_>, text: &At<String>, point: &str) -> Option<Percentile> {
    match point {
        "p50" => Some(Percentile::P50),
        "p99" => Some(Percentile::P99),
        "max" => Some(Percentile::Max),
        other => {
            reader.unknown(&text.span, "percentile", other, ["p50", "p99", "max"]);
            None
        }
    }
}

/// Reports a metric that is none of these, or not yet.
fn unknown(reader: &Reader<'_>, text: &At<String>, of: &str) {
    let later = METRICS.iter().any(|word| !word.built && is_form(word.form, &text.value));
    if later {
        return reader.not_yet(&text.span, "metric", &text.value);
    }
    let of_this = METRICS.iter().filter(|word| word.built && word.of == of);
    let known: Vec<String> = of_this
        .flat_map(|word| {
            let points = ["p50", "p99", "max"].map(|point| word.form.replace("p50", point));
            points.into_iter().flat_map(|form| {
                words::COUNTED.iter().map(move |counted| form.replace("OP", counted))
            })
        })
        .collect();
    let what = format!("metric of a {of}");
    reader.unknown(&text.span, &what, &text.value, known.iter().map(String::as_str));
}
