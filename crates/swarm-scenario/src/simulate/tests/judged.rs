//! What judges make of things that nobody did wrong, and of things that never happened.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{WORLD, assert_held, run, run_text, small};
use crate::report::Verdict;
use crate::simulate::{Options, how_far, simulate};

/// Four nodes with traffic at a pace.
fn steady(nodes: &str, more: &str) -> String {
    let world = WORLD
        .replace("nodes = 3", nodes)
        .replace("operations = 120", "during = \"0s..3m\"\nrate = \"4/s\"");
    // What clients try again nobody sees.
    let lines: Vec<&str> = world.lines().filter(|line| !line.starts_with("retry")).collect();
    format!("{}{more}", lines.join("\n"))
}

#[test]
fn a_retired_node_may_send_clients_away() {
    let retire = r#"
[[step]]
at = "20s"
do = "retire"
nodes = "main/1"
"#;
    assert_held(&run_text(&steady("nodes = 4", retire), 0));
}

/// Retiring Volumes: errors retire a volume, and the node has no other.
#[test]
fn a_node_that_its_failing_disk_has_retired_may_send_clients_away_and_nobody_else_may() {
    let fails = r#"
[[step]]
at = "20s"
do = "fail-reads"
disks = "main/1/1"
share = "100%"
for = "10s"
[[expect]]
at = "end"
that = "state"
node = "main/1"
is = "retired"
"#;
    let often = "nodes = 4\nsettings = { \"disk.ioErrorToRetire\" = 2 }";
    let text = steady(often, fails);
    for seed in 0..4 {
        assert_held(&run_text(&text, seed));
    }
}

#[test]
fn a_node_that_waits_for_a_hanging_disk_at_its_start_is_not_blamed_for_it() {
    let hangs = r#"
[[step]]
at = "20s"
do = "stall-disk"
disks = "main/3/2"
for = "2m"
[[step]]
at = "30s"
do = "kill"
nodes = "main/3"
for = "5s"
"#;
    let text = steady("nodes = 4", hangs).replace("volumes = {", "volumes = { per_node = 2,");
    assert_held(&run_text(&text, 0));
}

#[test]
fn a_request_whose_event_never_came_was_not_answered_as_expected() {
    let never = r#"
[[step]]
after = "ingest: 9999th write acknowledged"
do = "request"
method = "DELETE"
path = "acme.example/scans/xx"
expect_status = 403
as = "refusal"
"#;
    let report = run(never, 1);
    assert_eq!(report.verdict, Verdict::Failed, "{}", report.line());
    let told = report.told().join("\n");
    assert!(told.contains("expect_status of refusal: what it waits for never came"), "{told}");
    let unasked = run(&never.replace("expect_status = 403\n", ""), 1);
    assert_held(&unasked);
    assert!(unasked.line().contains(", never came: refusal"), "{}", unasked.line());
}

#[test]
fn a_workload_that_waits_for_what_never_comes_is_told() {
    let more = r#"
[workload.idle]
in = "acme.example/scans"
after = "ingest: 9999th write acknowledged"
operations = 3
"#;
    let report = run(more, 1);
    assert_held(&report);
    assert!(report.line().contains(", never came: idle"), "{}", report.line());
}

#[test]
fn a_copy_that_is_missing_is_told_with_the_story_of_its_object() {
    let lost = r#"
[[step]]
after = "ingest ends"
wait = "1m"
do = "pull-disk"
disks = "main/2/1"
"#;
    let suspended = "nodes = 4\nsettings = { \"recovery.suspended\" = \"True\" }";
    let report = run_text(&format!("{}{lost}", WORLD.replace("nodes = 3", suspended)), 1);
    let told = report.told().join("\n");
    assert!(told.starts_with("protected: "), "{told}");
    assert!(told.contains("copies on ") && told.contains(" <-\n"), "how it was written: {told}");
    assert!(told.contains(" in the end: whole on main/"), "{told}");
}

#[test]
fn an_object_is_readable_while_one_node_after_another_restarts() {
    let rolling = r#"
[[step]]
at = "1s"
do = "request"
method = "POST"
path = "acme.example/scans/cat.jpg"
size = "10KiB"
expect_status = 201
as = "cat"
[[step]]
at = "2m"
each = "all of main"
until = "main healthy"
do = "restart"
as = "rolling"
[[expect]]
during = "rolling"
that = "readable"
object = "cat"
"#;
    for seed in 0..2 {
        assert_held(&run(rolling, seed));
    }
    let of_one = run(&format!("{rolling}on = \"main/2\"\n"), 0);
    assert_eq!(of_one.verdict, Verdict::Failed, "whoever asks one node takes its answer");
}

#[test]
fn recovery_that_a_step_left_suspended_goes_on_at_the_end() {
    let suspended = r#"
[[step]]
at = "90s"
do = "suspend-recovery"
[[step]]
at = "2m"
do = "pull-disk"
disks = "main/2/1"
"#;
    let report = run_text(&format!("{}{suspended}", WORLD.replace("nodes = 3", "nodes = 4")), 1);
    assert_held(&report);
    assert!(report.recovery.is_some_and(|recovery| recovery.longest.is_some()));
}

#[test]
fn a_run_that_the_wall_limit_ended_tells_how_far_it_came() {
    let options = Options { seed: 9, ..Options::default() };
    options.abort.store(true, Ordering::Relaxed);
    options.progress.operations.store(17, Ordering::Relaxed);
    let mut report = simulate(&small(WORLD), &options);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    options.progress.simulated_ns.store(90_000_000_000, Ordering::Relaxed);
    how_far(&mut report, &options.progress);
    let line = report.line();
    assert!(line.starts_with("INCONCLUSIVE small seed 9: 1m30s simulated in "), "{line}");
    assert!(line.ends_with(", 17 operations: the wall limit ended it"), "{line}");
}

#[test]
fn what_is_open_at_the_limit_does_not_hold_and_keeps_no_run_going() {
    let expect = r#"
[[expect]]
after = "ingest ends"
within = "1h"
that = "state"
node = "main/1"
is = "offline"
"#;
    let report = run_text(&format!("{}{expect}", WORLD.replace("sim = \"6h\"", "sim = \"1h\"")), 1);
    assert_eq!(report.verdict, Verdict::Failed, "{}", report.line());
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    let [expected] = &report.expectations[..] else { panic!("{:?}", report.expectations) };
    assert_eq!((expected.held, &*expected.detail), (false, "not decided within limit.sim (1h)"));
    assert_eq!(expected.at, Duration::from_secs(3600));
}
