//! What the management port tells of the feeds of one node.

use std::collections::BTreeMap;

use serde::Serialize;
use swarm_feeds::stats::NodeFeed;
use swarm_node::Node;
use swarm_types::FeedId;

/// A feed as it stands on one node.
#[derive(Debug, Serialize)]
pub(super) struct FeedJson {
    id: u32,
    name: String,
    state: &'static str,
    /// Streams that the feed has not come to an end with: not looked at, waiting, under way, or to be tried again.
    pending: u64,
    /// Version of the table of feeds that the node works by; all nodes of a cluster come to have the same.
    table: String,
}

/// The feeds of a node.
pub(super) fn feeds(node: &Node) -> Vec<FeedJson> {
    let table = node.feeds().table();
    let version = table.version();
    let version = format!("{}-{:08x}", version.number, version.digest);
    let stats = node.feeds().stats().into_iter();
    stats
        .map(|(id, feed)| FeedJson {
            id: id.0,
            name: table.get(id).map(|feed| feed.definition.name.clone()).unwrap_or_default(),
            state: feed.state.name(),
            pending: feed.gauges.waiting() + feed.gauges.in_progress + feed.gauges.retrying,
            table: version.clone(),
        })
        .collect()
}

/// What the feeds count.
pub(super) fn metrics(
    feeds: &BTreeMap<FeedId, NodeFeed>,
    family: &mut impl FnMut(&str, &str, &str, &[(String, u64)]),
) {
    let mut slots = Vec::new();
    for (id, feed) in feeds {
        let gauges = &feed.gauges;
        let by_state = [
            ("pending_evaluation", gauges.pending_evaluation),
            ("pending_processing", gauges.pending_processing),
            ("in_progress", gauges.in_progress),
            ("retrying", gauges.retrying),
            ("success", gauges.success),
            ("unqualified", gauges.unqualified),
        ];
        let label = |(state, count)| (format!("{{feed=\"{id}\",state=\"{state}\"}}"), count);
        slots.extend(by_state.map(label));
    }
    family("feed_slots", "gauge", "Streams of this node, by what a feed has come to.", &slots);
    let of_each = |value: fn(&NodeFeed) -> u64| -> Vec<(String, u64)> {
        feeds.iter().map(|(id, feed)| (format!("{{feed=\"{id}\"}}"), value(feed))).collect()
    };
    let state = |(id, feed): (&FeedId, &NodeFeed)| {
        (format!("{{feed=\"{id}\",state=\"{}\"}}", feed.state.name()), 1)
    };
    let states: Vec<_> = feeds.iter().map(state).collect();
    family("feed_state", "gauge", "The feeds, by state.", &states);
    family(
        "feed_transferred_objects_total",
        "counter",
        "Objects that a target stored.",
        &of_each(|feed| feed.counters.transferred_objects),
    );
    family(
        "feed_transferred_bytes_total",
        "counter",
        "Bytes of bodies that were sent to their end.",
        &of_each(|feed| feed.counters.transferred_bytes),
    );
    family(
        "feed_already_present_total",
        "counter",
        "Objects that a target had already.",
        &of_each(|feed| feed.counters.already_present),
    );
    let mut failures = Vec::new();
    for (id, feed) in feeds {
        let by_code = feed.counters.failures_by_code.iter();
        failures.extend(
            by_code.map(|(code, count)| (format!("{{feed=\"{id}\",code=\"{code}\"}}"), *count)),
        );
    }
    family("feed_failures_total", "counter", "Failures by the code that they show.", &failures);
    family(
        "feed_oldest_pending_seconds",
        "gauge",
        "Age of the oldest stream that waits or is tried again.",
        &of_each(|feed| feed.oldest_pending.map_or(0, |age| age.as_secs())),
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use swarm_feeds::stats::{Counters, FeedState, Gauges};

    use super::*;

    #[test]
    fn every_feed_has_its_lines() {
        let gauges = Gauges { pending_processing: 3, success: 5, ..Gauges::default() };
        let counters = Counters {
            transferred_bytes: 70,
            transferred_objects: 7,
            already_present: 1,
            failures_by_code: BTreeMap::from([(412, 2), (507, 1)]),
        };
        let feed = NodeFeed {
            state: FeedState::ConfigError,
            reason: None,
            gauges,
            counters,
            oldest_pending: Some(Duration::from_millis(2500)),
            rate: 0,
        };
        let mut lines = Vec::new();
        metrics(&BTreeMap::from([(FeedId(4), feed)]), &mut |name, _, _, samples| {
            lines.extend(samples.iter().map(|(labels, value)| format!("{name}{labels} {value}")));
        });
        for line in [
            "feed_slots{feed=\"4\",state=\"pending_evaluation\"} 0",
            "feed_slots{feed=\"4\",state=\"pending_processing\"} 3",
            "feed_slots{feed=\"4\",state=\"success\"} 5",
            "feed_state{feed=\"4\",state=\"Config error\"} 1",
            "feed_transferred_objects_total{feed=\"4\"} 7",
            "feed_transferred_bytes_total{feed=\"4\"} 70",
            "feed_already_present_total{feed=\"4\"} 1",
            "feed_failures_total{feed=\"4\",code=\"412\"} 2",
            "feed_failures_total{feed=\"4\",code=\"507\"} 1",
            "feed_oldest_pending_seconds{feed=\"4\"} 2",
        ] {
            assert!(lines.iter().any(|known| known == line), "{line} in {lines:?}");
        }
    }
}
