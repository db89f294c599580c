//! What an operator orders while a cluster runs: it comes true, it can be taken back, and a run says so.

use super::{WORLD, assert_held, run, run_text};
use crate::report::RunReport;

/// What each order was, and how many states it changed.
fn orders(report: &RunReport) -> Vec<(&str, u64)> {
    report.faults.iter().map(|order| (order.what.as_str(), order.effects)).collect()
}

#[test]
fn a_retire_that_is_called_off_leaves_the_disk_in_service() {
    let report = run(
        r#"
[[step]]
after = "ingest ends"
do = "retire"
disks = "main/2/1"
as = "leaving"
[[step]]
after = "leaving ends"
wait = "1s"
do = "cancel-retire"
disks = "main/2/1"
as = "staying"
[[expect]]
after = "staying ends"
within = "1m"
that = "state"
disk = "main/2/1"
is = "ok"
[[expect]]
at = "end"
that = "fully protected"
cluster = "main"
"#,
        3,
    );
    assert_held(&report);
    assert_eq!(orders(&report), [("retire main/2/1", 1), ("cancel-retire main/2/1", 1)]);
}

#[test]
fn an_order_that_changes_nothing_counts_nothing() {
    let report = run(
        r#"
[[step]]
at = "1s"
do = "cancel-retire"
nodes = "main/1"
[[step]]
at = "2s"
do = "set"
cluster = "main"
setting = "policy.replicas"
value = "min:2 max:3 default:3"
[[step]]
at = "3s"
do = "set"
cluster = "main"
setting = "policy.replicas"
value = "min:2 max:3 default:3"
"#,
        3,
    );
    let effects: Vec<u64> = orders(&report).iter().map(|(_, effects)| *effects).collect();
    assert_eq!(effects, [0, 1, 0], "{:?}", report.faults);
}

#[test]
fn each_goes_through_nodes_or_disks_as_its_phrase_says() {
    let report = run(
        r#"
[[step]]
after = "ingest ends"
each = "main/1, main/2"
do = "retire"
for = "10s"
as = "nodes"
[[step]]
after = "nodes ends"
wait = "1m"
each = "1 of main/3"
do = "retire"
for = "10s"
"#,
        3,
    );
    assert_held(&report);
    let expected = [("retire main/1", 2), ("retire main/2", 2), ("retire main/3/1", 2)];
    assert_eq!(orders(&report), expected, "each is retired, and called off");
}

#[test]
fn a_suspended_recovery_makes_no_copy_until_it_is_resumed() {
    let world = WORLD.replace("nodes = 3", "nodes = 4");
    let steps = r#"
[[step]]
at = "2m"
do = "suspend-recovery"
as = "hold"
[[step]]
at = "3m"
do = "pull-disk"
disks = "main/2/1"
as = "loss"
[[step]]
at = "62m"
do = "resume-recovery"
as = "go"
[[expect]]
during = "10m..60m"
that = "metric"
of = "main"
metric = "copies moved"
is = "= 0"
[[expect]]
after = "go ends"
within = "30m"
that = "fully protected"
cluster = "main"
[[expect]]
at = "end"
that = "metric"
of = "main"
metric = "copies moved"
is = ">= 5"
"#;
    let report = run_text(&format!("{world}{steps}"), 3);
    assert_held(&report);
    let set: Vec<u64> = orders(&report)
        .iter()
        .filter(|(what, _)| what.starts_with("set"))
        .map(|(_, effects)| *effects)
        .collect();
    assert_eq!(set, [1, 1], "{:?}", report.faults);
}

#[test]
fn a_policy_that_is_set_holds_for_what_is_there_and_what_comes() {
    let report = run(
        r#"
[[step]]
at = "1s"
do = "request"
method = "POST"
path = "acme.example/scans/before"
size = "4KiB"
expect_status = 201
as = "before"
[[step]]
after = "ingest ends"
do = "set"
cluster = "main"
setting = "policy.replicas"
value = "min:2 max:3 default:3"
as = "more"
[[step]]
after = "more ends"
wait = "1m"
do = "request"
method = "POST"
path = "acme.example/scans/after"
size = "4KiB"
expect_status = 201
as = "after"
[[expect]]
after = "more ends"
within = "1h"
that = "copies"
object = "before"
is = "= 3"
[[expect]]
at = "end"
that = "copies"
object = "after"
is = "= 3"
[[expect]]
at = "end"
that = "fully protected"
cluster = "main"
"#,
        3,
    );
    assert_held(&report);
}

#[test]
fn a_workload_begins_and_ends_by_order() {
    let report = run(
        r#"
[workload.extra]
for = "1h"
rate = "5/s"
in = "acme.example/scans"
[[step]]
at = "1m"
do = "start-workload"
workload = "extra"
[[step]]
at = "2m"
do = "stop-workload"
workload = "extra"
[[expect]]
at = "end"
that = "metric"
of = "extra"
metric = "acknowledged write count"
is = ">= 50"
"#,
        3,
    );
    assert_held(&report);
    assert!(report.operations < 1_500, "an hour of it would be 18,000: {}", report.operations);
}
