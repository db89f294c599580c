//! Whole runs in which feeds carry objects from one cluster to another.

use crate::report::{RunReport, Verdict};
use crate::testing::{assert_held, run_text};

/// Two clusters of two nodes, eighty requests, and a feed from the one to the other.
pub(super) const WORLD: &str = r#"
schema = 1
title = "t"
why = "w"
limit = { sim = "6h", wall = "60s" }
[cluster.main]
nodes = 2
volumes = { size = "64MiB" }
settings = { "feeds.secondaryDelay" = 20 }
[cluster.dr]
nodes = 2
volumes = { size = "64MiB" }
[link.wan]
between = ["main", "dr"]
latency = { p50 = "20ms", p99 = "60ms" }
[domain."acme.example"]
on = "main"
[bucket."acme.example/scans"]
on = "main"
[workload.ingest]
on = "main"
operations = 80
clients = 4
in = "acme.example/scans"
mix = { write = 60, read = 15, delete = 15, update = 10 }
kind = { named = 70, unnamed = 20, alias = 10 }
keys = { count = 20, overwrite = "30%" }
[feed.to-dr]
from = "main"
to = "dr"
"#;

/// Both end with the same.
pub(super) const ALIKE: &str = r#"
[[expect]]
at = "end"
that = "same objects"
clusters = ["main", "dr"]
[[expect]]
at = "end"
that = "holds every acknowledged object"
cluster = "dr"
of = "main"
"#;

fn run(more: &str) -> RunReport {
    run_text(&format!("{WORLD}{more}"), 1)
}

#[test]
fn what_is_written_and_deleted_at_one_site_is_so_at_the_other() {
    let report = run(ALIKE);
    assert_held(&report);
    let feed = &report.feeds[0];
    assert!(feed.changes > 40 && feed.rpo[2].is_some(), "{feed:?}");
    // What is overwritten at once need not be carried; each of the twenty names must be, and no body need go twice.
    assert!(feed.bytes > Some(20 * 4096) && feed.bytes < Some(60 * 4096), "{feed:?}");
    assert!(report.line().contains(", rpo p99 "), "{}", report.line());
}

#[test]
fn a_feed_that_rests_is_behind_until_it_goes_on() {
    let step = r#"
[[step]]
at = "0s"
do = "pause-feed"
feed = "to-dr"
for = "5m"
as = "rest"
[[expect]]
during = "rest"
that = "metric"
of = "to-dr"
metric = "backlog"
is = ">= 10"
[[expect]]
after = "rest ends"
within = "10m"
that = "feed drained"
feed = "to-dr"
"#;
    let report = run(&format!("{step}{ALIKE}"));
    assert_held(&report);
    assert!(report.feeds[0].rpo[2] > Some(std::time::Duration::from_secs(60)), "{}", report.line());
}

#[test]
fn a_feed_that_is_drained_is_an_event() {
    let steps = r#"
[[step]]
at = "0s"
do = "pause-feed"
feed = "to-dr"
for = "5m"
[[step]]
at = "30s"
each = "all of dr"
until = "to-dr drained"
do = "isolate"
for = "1s"
[[step]]
after = "to-dr drained"
do = "isolate"
nodes = "main/2"
for = "1s"
"#;
    let report = run(&format!("{steps}{ALIKE}"));
    assert_held(&report);
    let at = |what: &str| {
        let mut faults = report.faults.iter().filter(|fault| fault.what.contains(what));
        let moments = [faults.next(), faults.next()].map(|fault| fault.map(|fault| fault.at));
        (moments[0].unwrap_or_else(|| panic!("{what}: {:?}", report.faults)), moments[1])
    };
    let minutes = |minutes: u64| std::time::Duration::from_secs(60 * minutes);
    let (one, other) = match (at("dr/1").0, at("dr/2").0) {
        (first, second) if first < second => (first, second),
        (second, first) => (first, second),
    };
    assert!(one < minutes(1), "{one:?}");
    assert!((minutes(5)..minutes(7)).contains(&other), "as long as the feed rests: {other:?}");
    let (first_time, again) = at("main/2");
    assert!(first_time < minutes(7) && again.is_none(), "once, and not later: {:?}", report.faults);
}

#[test]
fn a_feed_that_was_deleted_demands_nothing_and_its_target_lacks_what_came_later() {
    let steps = r#"
[[step]]
at = "0s"
do = "delete-feed"
feed = "to-dr"
"#;
    let report = run(&format!("{steps}{ALIKE}"));
    assert_eq!(report.verdict, Verdict::Failed, "{}", report.line());
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    assert!(report.expectations.iter().all(|expectation| !expectation.held));
}

/// What clients of one cluster do to names that others of them have written, and what is remembered of the other cluster.
const DELETED_AND_RESTORED: &str = r#"
[workload.mistake]
on = "main"
after = "ingest ends"
operations = 100
in = "acme.example/scans"
mix = { delete = 1 }
keys = { with = "ingest", count = 20 }
[[step]]
at = "8m"
do = "remember"
cluster = "dr"
as = "kept"
[[step]]
at = "9m"
do = "restore"
snapshot = "kept"
from = "dr"
to = "main"
[[expect]]
at = "9m"
that = "metric"
of = "mistake"
metric = "acknowledged delete count"
is = ">= 30"
[[expect]]
at = "end"
that = "equals"
cluster = "dr"
snapshot = "kept"
[[expect]]
at = "end"
that = "same objects"
clusters = ["main", "dr"]
"#;

#[test]
fn what_clients_deleted_of_each_other_is_restored_from_a_site_that_keeps_it() {
    let world = WORLD
        .replace("kind = { named = 70, unnamed = 20, alias = 10 }", "")
        .replace("to = \"dr\"", "to = \"dr\"\npropagate_deletes = false");
    assert_held(&run_text(&format!("{world}{DELETED_AND_RESTORED}"), 1));
}

#[test]
fn a_request_may_send_an_object_and_go_away_and_its_answer_is_held_against_a_pattern() {
    let steps = r#"
[[step]]
at = "0s"
do = "cut"
link = "wan"
for = "3m"
as = "wan-cut"
[[step]]
at = "10s"
do = "request"
method = "POST"
path = "acme.example/scans/invoice"
size = "4KiB"
expect_status = 201
[[step]]
at = "20s"
do = "request"
method = "SEND"
path = "/scans/invoice?domain=acme.example&admin&feedid=all&timeout=9"
cluster = "main"
auth = "admin"
expect_status = 200
as = "in-vain"
[[step]]
at = "20s"
do = "request"
method = "SEND"
path = "/scans/invoice?domain=acme.example&admin&feedid=all&timeout=60"
cluster = "main"
auth = "admin"
timeout = "1s"
as = "given-up"
[[step]]
at = "8m"
do = "request"
method = "SEND"
path = "/scans/invoice?domain=acme.example&admin&feedid=all&timeout=9"
cluster = "main"
auth = "admin"
expect_status = 200
as = "sent"
[[expect]]
at = "1m"
that = "answer"
of = "in-vain"
trailer = 'Feed-0-Status: /^[1-9][0-9]*$/'
[[expect]]
never = true
that = "answer"
of = "given-up"
trailer = "Feed-0-Status: /./"
[[expect]]
at = "9m"
that = "answer"
of = "sent"
header = "Feed-0-Status: /^0$/"
"#;
    assert_held(&run(&format!("{steps}{ALIKE}")));
}
