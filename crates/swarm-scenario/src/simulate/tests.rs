//! Whole runs of small scenarios, from their text to their verdict.

mod failing;
mod faults;
mod feeds;
mod judged;
mod language;
mod orders;
mod points;
mod recovery;
mod space;

use super::*;
use crate::testing::{assert_held, run_text, small};

const WORLD: &str = r#"
schema = 1
title = "t"
why = "w"
limit = { sim = "6h", wall = "60s" }
[cluster.main]
nodes = 3
volumes = { size = "64MiB" }
[domain."acme.example"]
[bucket."acme.example/scans"]
[workload.ingest]
operations = 120
clients = 4
in = "acme.example/scans"
mix = { write = 60, read = 25, delete = 10, update = 5 }
kind = { named = 70, unnamed = 20, alias = 10 }
keys = { count = 20, overwrite = "30%" }
retry = { times = 3, on = ["503", "timeout", "reset", "refused"] }
"#;

fn run(more: &str, seed: u64) -> RunReport {
    run_text(&format!("{WORLD}{more}"), seed)
}

#[test]
fn a_run_without_faults_holds_and_is_the_same_twice() {
    let (first, second, other) = (run("", 1), run("", 1), run("", 2));
    assert_held(&first);
    assert!(first.operations > 120 + 20, "every object is read once more at rest");
    assert_eq!((&first.trace_hash, first.events), (&second.trace_hash, second.events));
    assert_ne!(first.trace_hash, other.trace_hash);
    assert_eq!(first.replay, "small.toml:1:00000007");
}

#[test]
fn what_a_new_scenario_begins_as_holds() {
    let report = run_text(crate::catalogue::TEMPLATE, 1);
    assert_held(&report);
    assert!(report.faults[0].effects > 0);
}

#[test]
fn a_step_that_names_a_step_means_the_nodes_that_it_chose() {
    let report = run(
        r#"
[[step]]
after = "ingest: 20th write half sent"
do = "power-off"
nodes = "1 of main"
as = "dark"
[[step]]
after = "dark ends"
wait = "20s"
do = "start"
nodes = "dark"
"#,
        3,
    );
    assert_held(&report);
    let whats: Vec<&str> = report.faults.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(whats.len(), 2);
    assert_eq!(whats[0].strip_prefix("power-off "), whats[1].strip_prefix("start "));
    assert!(
        report.faults[0].effects > 0,
        "a node that goes dark in the middle of writes is missed"
    );
}

#[test]
fn what_is_left_broken_is_mended_before_the_last_judgement() {
    let report = run(
        r#"
[[step]]
at = "100ms"
do = "isolate"
nodes = "main/2"
[[step]]
at = "200ms"
do = "kill"
nodes = "main/3"
[[expect]]
at = "end"
that = "healthy"
"#,
        4,
    );
    assert_held(&report);
    assert!(report.expectations[0].held);
}

#[test]
fn the_closest_call_is_told_with_its_object() {
    let unharmed = run("", 3);
    let call = unharmed.closest.as_ref().expect("objects were acknowledged");
    assert_eq!((call.copies, call.acknowledged), (2, 2));
    assert!(!unharmed.line().contains("closest call"), "{}", unharmed.line());
    let wiped = r#"
[[step]]
after = "ingest: 30th write acknowledged"
do = "wipe"
nodes = "main/2"
as = "loss"
[[step]]
after = "loss ends"
wait = "1s"
do = "start"
nodes = "main/2"
as = "back"
"#;
    let report = run(wiped, 3);
    assert_held(&report);
    let call = report.closest.clone().expect("objects were acknowledged");
    assert_eq!((call.copies, call.acknowledged), (1, 2), "{}", report.line());
    let since = call.at.abs_diff(report.faults[0].at);
    assert!(since < Duration::from_millis(1), "the wipe took a copy of it: {}", report.line());
    assert!(report.line().contains(&format!("1 copy left of {} at ", call.object)));
    let twice =
        "[[step]]\nafter = \"back ends\"\nwait = \"40s\"\ndo = \"kill\"\nnodes = \"all of main\"";
    let report = run(&format!("{wiped}{twice}"), 3);
    assert_eq!(report.closest.map(|call| call.copies), Some(0));
}

#[test]
fn wrong_requests_are_refused_and_leave_nothing() {
    let text =
        WORLD.replace("update = 5 }", "update = 5, malformed = 100 }").replace("= 120", "= 400");
    for seed in 0..3 {
        let report = run_text(&text, seed);
        let found: Vec<&str> = report.violations.iter().map(|found| &*found.what).collect();
        assert_eq!(found, [""; 0]);
        assert_held(&report);
    }
}

#[test]
fn requests_are_answered_and_their_objects_are_known_by_name() {
    let report = run(
        r#"
[[step]]
at = "1s"
do = "request"
method = "POST"
path = "acme.example/scans/cat.jpg"
size = "10KiB"
as = "cat"
expect_status = 201
[[step]]
after = "cat ends"
do = "request"
method = "DELETE"
path = "acme.example/scans/cat.jpg"
as = "gone-cat"
[[step]]
at = "5s"
do = "request"
method = "GET"
path = "/"
as = "page"
[[expect]]
at = "end"
that = "gone"
object = "cat"
[[expect]]
at = "end"
that = "answer"
of = "gone-cat"
status = 200
[[expect]]
at = "end"
that = "answer"
of = "page"
header = "Content-Type: text/html"
body = "CAStor Node"
"#,
        5,
    );
    assert_held(&report);
    assert_eq!(report.expectations.len(), 3);
}

#[test]
fn an_object_that_is_gone_is_an_event_and_its_copies_are_counted_on_the_disks() {
    let report = run(
        r#"
[[step]]
at = "1s"
do = "request"
method = "POST"
path = "acme.example/scans/cat.jpg"
headers = { "X-Trace-Meta-Team" = "radiology" }
size = "10KiB"
as = "cat"
expect_status = 201
[[step]]
at = "20s"
do = "request"
method = "DELETE"
path = "acme.example/scans/cat.jpg"
[[step]]
after = "cat is gone"
wait = "10s"
do = "request"
method = "HEAD"
path = "acme.example/scans/cat.jpg"
expect_status = 404
as = "late"
[[expect]]
at = "10s"
that = "copies"
object = "cat"
is = "= 2"
[[expect]]
at = "10s"
that = "header"
object = "cat"
name = "X-Trace-Meta-Team"
is = "/^radio/"
[[expect]]
at = "10s"
that = "header"
object = "acme.example/scans/cat.jpg"
name = "Content-Length"
is = ">= 10240"
[[expect]]
after = "late ends"
within = "1m"
that = "copies"
object = "cat"
is = "= 0"
[[expect]]
at = "end"
that = "metric"
of = "main"
metric = "used space"
is = "<= 2MiB"
[[expect]]
during = "0s..30s"
that = "metric"
of = "main"
metric = "used space"
is = ">= 20KiB"
"#,
        11,
    );
    assert_held(&report);
    let details: Vec<&str> =
        report.expectations.iter().map(|expectation| expectation.detail.as_str()).collect();
    assert_eq!(details.len(), 6);
    assert!(details[0].starts_with("2 on main/"), "{details:?}");
}

#[test]
fn a_state_is_told_by_the_node_or_by_those_who_miss_it() {
    let report = run(
        r#"
[[step]]
at = "1s"
do = "kill"
nodes = "1 of main"
for = "5m"
as = "dead"
[[expect]]
after = "dead starts"
within = "4m"
that = "state"
node = "dead"
is = "offline"
[[expect]]
after = "dead starts"
within = "4m"
that = "state"
disk = "dead"
is = "gone"
[[expect]]
at = "end"
that = "state"
disk = "all disks of main"
is = "ok"
[[expect]]
at = "end"
that = "state"
node = "all of main"
is = "maintenance"
"#,
        12,
    );
    assert_eq!(report.verdict, Verdict::Failed);
    let held: Vec<bool> = report.expectations.iter().map(|expectation| expectation.held).collect();
    assert_eq!(held, [true, true, true, false], "{:?}", report.expectations);
    assert!(report.expectations[3].detail.contains("main/2 is ok"), "{:?}", report.expectations);
}

#[test]
fn what_nodes_log_is_matched_by_node_and_by_time() {
    let report = run(
        r#"
[[step]]
at = "1m"
do = "stop"
nodes = "main/2"
for = "20s"
as = "away"
[[expect]]
after = "away starts"
within = "40s"
that = "reports"
node = "away"
is = "/node state.*state=ok/"
[[expect]]
never = true
that = "reports"
is = "/replica damaged/"
[[expect]]
after = "away starts"
within = "20s"
that = "reports"
node = "main/1"
is = "/node state/"
"#,
        14,
    );
    assert_eq!(report.verdict, Verdict::Failed);
    let held: Vec<bool> = report.expectations.iter().map(|expectation| expectation.held).collect();
    assert_eq!(held, [true, true, false], "{:?}", report.expectations);
    assert!(report.expectations[0].detail.starts_with("main/2: node state"), "{report:?}");
}

#[test]
fn a_cluster_equals_what_was_remembered_until_something_is_written() {
    let report = run(
        r#"
[[step]]
after = "ingest ends"
wait = "10s"
do = "remember"
as = "before"
[[step]]
after = "before ends"
wait = "2m"
do = "request"
method = "POST"
path = "acme.example/scans/new.jpg"
size = "1KiB"
as = "new"
[[expect]]
after = "before ends"
within = "1m"
that = "equals"
snapshot = "before"
[[expect]]
at = "end"
that = "equals"
snapshot = "before"
"#,
        13,
    );
    assert_eq!(report.verdict, Verdict::Failed);
    assert!(report.expectations[0].held, "{:?}", report.expectations);
    assert_eq!(
        report.expectations[1].detail,
        "1 objects differ, among them acme.example/scans/new.jpg: write 1 instead of 404"
    );
}

#[test]
fn an_expectation_that_fails_is_told_with_what_was_seen() {
    let report = run(
        r#"
[[step]]
at = "1s"
do = "request"
method = "GET"
path = "acme.example/scans/nothing"
as = "nothing"
expect_status = 200
[[expect]]
at = "end"
that = "metric"
of = "ingest"
metric = "acknowledged write count"
is = ">= 5000"
[[expect]]
never = true
that = "healthy"
"#,
        6,
    );
    assert_eq!(report.verdict, Verdict::Failed);
    let held: Vec<bool> = report.expectations.iter().map(|expectation| expectation.held).collect();
    assert_eq!(held, [false, false, false]);
    let told = report.told().join("\n");
    assert!(told.contains("acknowledged write count of ingest >= 5000 at the end"), "{told}");
    assert!(told.ends_with("cargo xtask scenario replay small.toml:6:00000007"), "{told}");
}

#[test]
fn a_step_that_waits_for_what_never_comes_does_not_hold_up_the_run() {
    let report = run(
        r#"
[[step]]
after = "ingest: 100000th write acknowledged"
do = "kill"
nodes = "all of main"
as = "never"
[[step]]
after = "never ends"
do = "start"
nodes = "all of main"
"#,
        7,
    );
    assert_held(&report);
    assert_eq!(report.faults.len(), 0);
}

#[test]
fn clusters_that_do_not_come_to_rest_in_time_fail() {
    let report = run("[[expect]]\nat = \"end\"\nthat = \"healthy\"\n", 8);
    assert_held(&report);
    let text = WORLD.replace("sim = \"6h\"", "sim = \"5m\"");
    let report = run_text(&text, 8);
    assert_eq!(report.verdict, Verdict::Failed);
    assert!(
        report.told()[0].starts_with("alive: not at rest within limit.sim (5m)"),
        "{:?}",
        report.told()
    );
}

#[test]
fn a_waived_invariant_is_not_judged_but_told() {
    let text = format!(
        "{}\nwaive = [{{ invariant = \"alive\", because = \"it cannot come to rest in time\" }}]\n{}",
        "",
        WORLD.replace("sim = \"6h\"", "sim = \"5m\"")
    );
    let report = run_text(&text, 8);
    assert_eq!(report.verdict, Verdict::Held, "{:?}", report.told());
    assert!(report.line().contains("waives alive (it cannot come to rest in time)"));
}

#[test]
fn a_run_is_ended_from_outside() {
    let options = Options { seed: 9, ..Options::default() };
    options.abort.store(true, std::sync::atomic::Ordering::Relaxed);
    let report = simulate(&small(WORLD), &options);
    assert_eq!(report.verdict, Verdict::Inconclusive);
}

#[test]
fn violations_beyond_the_first_are_counted_once() {
    let violation = crate::verdict::Violation {
        invariant: crate::verdict::Invariant::Tidy,
        at: Duration::ZERO,
        object: None,
        what: "w".to_owned(),
        against: None,
    };
    let last = |found: usize, beyond: u64| {
        let result = RunResult {
            violations: vec![violation.clone(); found],
            more: beyond,
            story: vec!["tidy: w".to_owned()],
            ..RunResult::default()
        };
        story(&result).pop().expect("a line")
    };
    assert_eq!(last(1, 0), "tidy: w");
    assert_eq!(last(2, 0), "  and 1 more violation");
    assert_eq!(last(5, 0), "  and 4 more violations");
    assert_eq!(last(200, 7), "  and 206 more violations");
}

#[test]
fn a_planted_bug_that_does_not_exist_makes_the_run_wrong() {
    let options = Options { seed: 9, plant: vec!["no-such-bug".to_owned()], ..Options::default() };
    let report = simulate(&small(WORLD), &options);
    assert!(matches!(report.verdict, Verdict::Wrong(_)), "{:?}", report.verdict);
}
