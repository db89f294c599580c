//! A part of the invariant *alive*: no queue, table or pool of a node grows beyond its limit, and none that holds work has
//! any left at rest.
//!
//! Read from outside, out of the gauges on a node's `/metrics`.

use std::collections::BTreeMap;

/// Queues that every node has: gauges that vanish must not pass for queues that are empty.
const CERTAIN: [&str; 8] = [
    "requests",
    "background",
    "questions",
    "peer connections",
    "contexts",
    "damaged replicas",
    "scsp requests",
    "scsp connections",
];

/// When gauges are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// In the middle of everything.
    UnderWay,
    /// Nothing is asked of the node any more.
    AtRest,
}

/// One queue as its gauges tell it.
#[derive(Debug, Default)]
struct Gauges {
    holds_work: bool,
    depth: Option<u64>,
    limit: Option<u64>,
}

/// What is wrong with the queues that these metrics tell of, as sentences without a subject.
pub(crate) fn judge(metrics: &str, moment: Moment) -> Vec<String> {
    let mut queues: BTreeMap<&str, Gauges> = BTreeMap::new();
    let mut found = Vec::new();
    for line in metrics.lines().filter(|line| line.starts_with("swarm_queue_")) {
        let Some((gauge, labels, value)) = sample(line) else {
            found.push(format!("tells a gauge that cannot be read: {line}"));
            continue;
        };
        let queue = queues.entry(label(labels, "queue").unwrap_or_default()).or_default();
        queue.holds_work |= label(labels, "kind") == Some("work");
        match gauge {
            "swarm_queue_depth" => queue.depth = Some(value),
            "swarm_queue_limit" => queue.limit = Some(value),
            _ => {}
        }
    }
    for name in CERTAIN.iter().filter(|name| !queues.contains_key(**name)) {
        found.push(format!("tells nothing of its queue \"{name}\""));
    }
    for (name, queue) in queues {
        match (queue.depth, queue.limit) {
            (Some(depth), Some(limit)) if depth > limit => {
                found.push(format!("has {depth} in its queue \"{name}\", whose limit is {limit}"));
            }
            (Some(depth @ 1..), Some(_)) if queue.holds_work && moment == Moment::AtRest => {
                found.push(format!("has {depth} left in its queue \"{name}\" at rest"));
            }
            (Some(_), Some(_)) => {}
            _ => found.push(format!("tells depth or limit of its queue \"{name}\", not both")),
        }
    }
    found
}

/// Name, labels and value of a line.
fn sample(line: &str) -> Option<(&str, &str, u64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.strip_suffix('}')?.split_once('{')?;
    Some((name, labels, value.parse().ok()?))
}

/// The value of a label. No name of a queue contains a quote.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = labels;
    loop {
        let (key, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        if key == name {
            return Some(value);
        }
        rest = after.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metrics of a node whose certain queues are empty, and these lines.
    fn metrics(more: &str) -> String {
        let mut text = "# HELP swarm_requests Requests.\nswarm_requests 0\n".to_owned();
        for name in CERTAIN {
            for (gauge, value) in [("depth", 0), ("limit", 8)] {
                text += &format!("swarm_queue_{gauge}{{queue=\"{name}\",kind=\"work\"}} {value}\n");
            }
        }
        text + more
    }

    #[test]
    fn queues_within_their_limits_are_right_and_work_is_at_rest_when_it_is_done() {
        assert_eq!(judge(&metrics(""), Moment::AtRest), [] as [&str; 0]);
        let busy = "swarm_queue_depth{queue=\"commits a/1/1\",kind=\"work\"} 64\n\
                    swarm_queue_limit{queue=\"commits a/1/1\",kind=\"work\"} 64\n";
        assert_eq!(judge(&metrics(busy), Moment::UnderWay), [] as [&str; 0]);
        assert_eq!(
            judge(&metrics(busy), Moment::AtRest),
            ["has 64 left in its queue \"commits a/1/1\" at rest"]
        );
        assert_eq!(judge(&metrics(&busy.replace("work", "kept")), Moment::AtRest), [] as [&str; 0]);
    }

    #[test]
    fn a_queue_beyond_its_limit_is_found_at_any_time() {
        let grown = "swarm_queue_depth{queue=\"contexts\",kind=\"kept\"} 9\n";
        for moment in [Moment::UnderWay, Moment::AtRest] {
            let found = judge(&metrics(grown), moment);
            assert_eq!(found, ["has 9 in its queue \"contexts\", whose limit is 8"]);
        }
    }

    #[test]
    fn gauges_that_vanish_or_make_no_sense_are_found() {
        let mut without: String = metrics("");
        without = without
            .lines()
            .filter(|line| !line.contains("\"requests\""))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(judge(&without, Moment::UnderWay), ["tells nothing of its queue \"requests\""]);
        let half = "swarm_queue_depth{queue=\"new\",kind=\"kept\"} 9\n";
        assert_eq!(
            judge(&metrics(half), Moment::UnderWay),
            ["tells depth or limit of its queue \"new\", not both"]
        );
        assert_eq!(judge(&metrics("swarm_queue_depth nine\n"), Moment::UnderWay).len(), 1);
        assert_eq!(judge("", Moment::AtRest).len(), CERTAIN.len());
    }
}
