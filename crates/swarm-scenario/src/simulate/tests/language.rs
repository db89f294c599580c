//! Words of the language, by what a run makes of them: when steps happen, which node a client asks, what a percentile counts.

use std::time::Duration;

use super::{assert_held, run_text};
use crate::report::{RunReport, Verdict};

/// Three nodes, and a workload that writes.
fn world(cluster: &str, workload: &str, more: &str) -> String {
    format!(
        r#"
schema = 1
title = "t"
why = "w"
limit = {{ sim = "6h", wall = "60s" }}
[cluster.main]
nodes = 3
volumes = {{ size = "64MiB" }}
{cluster}
[domain."acme.example"]
[bucket."acme.example/scans"]
[workload.ingest]
in = "acme.example/scans"
mix = {{ write = 1 }}
{workload}
{more}"#
    )
}

fn run(workload: &str, more: &str) -> RunReport {
    run_text(&world("", workload, more), 1)
}

const MINUTE_OF_WRITES: &str = "during = \"0s..60s\"\nrate = \"2/s\"\nclients = 4";

fn bound(during: &str, metric: &str, is: &str) -> String {
    format!(
        "[[expect]]\n{during}\nthat = \"metric\"\nof = \"ingest\"\nmetric = \"{metric}\"\nis = \"{is}\"\n"
    )
}

fn expectations(report: &RunReport) -> Vec<(bool, &str)> {
    report.expectations.iter().map(|one| (one.held, one.detail.as_str())).collect()
}

/// When each fault happened.
fn times(report: &RunReport) -> Vec<Duration> {
    report.faults.iter().map(|fault| fault.at).collect()
}

fn gaps(times: &[Duration]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_percentile_is_of_the_operations_of_its_window_and_of_twenty_at_least() {
    let end = "at = \"end\"";
    let bounds = [
        bound(end, "write latency p50", "<= 50ms"),
        bound(end, "write latency max", "<= 2s"),
        bound("during = \"0s..9s\"", "write latency p50", "<= 1h"),
    ];
    let report = run(MINUTE_OF_WRITES, &bounds.concat());
    assert_eq!(report.verdict, Verdict::Failed, "{}", report.line());
    let found = expectations(&report);
    assert!(found[0].0 && found[1].0, "{found:?}");
    let (held, why) = found[2];
    assert!(!held && why.contains("too few for a percentile"), "{found:?}");
}

#[test]
fn the_latency_of_a_local_network_is_that_of_its_cluster() {
    let slow = "lan = { latency = \"100ms..101ms\", bandwidth = \"1Gbit\" }";
    let bounds = bound("at = \"end\"", "write latency p50", ">= 300ms");
    assert_held(&run_text(&world(slow, MINUTE_OF_WRITES, &bounds), 1));
    let report = run(MINUTE_OF_WRITES, &bounds);
    assert_eq!(report.verdict, Verdict::Failed, "{}", report.line());
}

/// An operation counts by the time at which it is due, and its latency from there, not from when a client was free for it.
#[test]
fn an_operation_that_finds_no_client_free_is_slow_from_when_it_was_due() {
    let stalled = r#"
[[step]]
at = "15s"
do = "stall-disk"
disks = "all disks of main"
for = "12s"
"#;
    let bounds = [
        bound("during = \"15s..26s\"", "write latency max", ">= 11s"),
        bound("during = \"15s..26s\"", "write latency max", "<= 20s"),
        bound("during = \"15s..26s\"", "write latency p50", ">= 4s"),
        bound("during = \"0s..12s\"", "write latency max", "<= 2s"),
        bound("during = \"45s..60s\"", "write latency max", "<= 2s"),
    ];
    assert_held(&run(MINUTE_OF_WRITES, &format!("{stalled}{}", bounds.concat())));
}

#[test]
fn operations_at_a_rate_end_when_so_many_were_due() {
    let report = run(
        "rate = \"2/s\"\noperations = 30\nclients = 4",
        "[[step]]\nafter = \"ingest ends\"\ndo = \"kill\"\nnodes = \"main/2\"\nfor = \"5s\"\n",
    );
    assert_held(&report);
    let at = times(&report)[0];
    assert!((14..=16).contains(&at.as_secs()), "{at:?}");
}

/// A third of the writes, one in three, goes to the node that is out of reach; all of them, where all go there.
#[test]
fn clients_ask_the_node_that_they_are_told_to() {
    let alone = "[[step]]\nat = \"1ms\"\ndo = \"isolate\"\nnodes = \"main/2\"\nfor = \"5m\"\n";
    // The others count it as unreachable by then, and send nobody there.
    let workload = |via: &str| {
        format!("during = \"100s..160s\"\nrate = \"1/s\"\ntimeout = \"2s\"\nvia = \"{via}\"")
    };
    for (via, is) in [("round robin", "= 20"), ("main/2", "= 60"), ("main/1", "= 0")] {
        let bounds = bound("at = \"end\"", "acknowledged write count", "= 60");
        let report = run(&workload(via), &format!("{alone}{bounds}"));
        let (_, told) = expectations(&report)[0];
        let acknowledged: i64 = told.split(' ').next().and_then(|it| it.parse().ok()).expect(told);
        let missing: i64 = is.trim_start_matches("= ").parse().expect("a number");
        assert_eq!(60 - acknowledged, missing, "{via}: {told}");
    }
}

#[test]
fn a_repeated_step_comes_after_each_of_its_periods() {
    let step = "[[step]]\nat = \"10s\"\nevery = \"5s..9s\"\ntimes = 6\ndo = \"isolate\"\nnodes = \"main/3\"\nfor = \"1s\"\n";
    let report = run(MINUTE_OF_WRITES, step);
    assert_held(&report);
    let times = times(&report);
    assert_eq!(times.len(), 6, "{times:?}");
    assert!((15..=19).contains(&times[0].as_secs()), "one period after it is due: {times:?}");
    let gaps = gaps(&times);
    let (least, most) = (gaps.iter().min().expect("five"), gaps.iter().max().expect("five"));
    assert!(*least >= Duration::from_secs(5) && *most <= Duration::from_secs(9), "{gaps:?}");
    assert!(most > least, "each is drawn: {gaps:?}");
}

#[test]
fn one_after_another_waits_between_one_and_the_next() {
    let step = |wait: &str| {
        format!(
            "[[step]]\nat = \"5s\"\neach = \"all of main\"\n{wait}until = \"main healthy\"\ndo = \"kill\"\nfor = \"2s\"\n"
        )
    };
    let (plain, waiting) =
        (run(MINUTE_OF_WRITES, &step("")), run(MINUTE_OF_WRITES, &step("wait = \"45s\"\n")));
    for report in [&plain, &waiting] {
        assert_held(report);
        assert_eq!(report.faults.len(), 3, "{:?}", report.faults);
    }
    let least = |report: &RunReport| gaps(&times(report)).into_iter().min().expect("two");
    assert!(least(&plain) < Duration::from_secs(45), "{:?}", times(&plain));
    assert!(least(&waiting) >= Duration::from_secs(45), "{:?}", times(&waiting));
}

#[test]
fn what_changes_by_degrees_ends_when_it_is_there() {
    let steps = r#"
[[step]]
at = "5s"
do = "slow-disk"
disks = "main/1/1"
latency = "20ms"
bandwidth = "10MiB/s"
over = "30s"
as = "slow"
[[step]]
after = "slow ends"
do = "isolate"
nodes = "main/3"
for = "1s"
"#;
    let report = run(MINUTE_OF_WRITES, steps);
    assert_held(&report);
    let isolated = report.faults.iter().find(|fault| fault.what.starts_with("isolate"));
    assert_eq!(isolated.expect("it happened").at.as_secs(), 35);
}

#[test]
fn a_cluster_that_is_healthy_or_at_rest_is_an_event() {
    let steps = r#"
[[step]]
after = "main healthy"
do = "isolate"
nodes = "main/3"
for = "1s"
[[step]]
after = "main at rest"
do = "isolate"
nodes = "main/2"
for = "1s"
[[expect]]
at = "end"
that = "at rest"
cluster = "main"
"#;
    let report = run("operations = 30", steps);
    assert_held(&report);
    let at = |what: &str| {
        let fault = report.faults.iter().find(|fault| fault.what.contains(what));
        fault.unwrap_or_else(|| panic!("{what}: {:?}", report.faults)).at
    };
    assert!(at("main/3") < Duration::from_secs(60), "{:?}", at("main/3"));
    assert!(at("main/2") > at("main/3") + Duration::from_secs(600), "{:?}", at("main/2"));
}
