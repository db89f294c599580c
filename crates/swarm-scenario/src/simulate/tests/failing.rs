//! Disks that fail more and more: emptied while they can be, given up when they err too often even for that.

use std::time::Duration;

use super::{assert_held, run_text};

/// Clients write and read for some minutes, and a disk is given up after few errors.
const WORLD: &str = r#"
schema = 1
title = "t"
why = "w"
limit = { sim = "12h", wall = "60s" }
[cluster.main]
nodes = 5
volumes = { per_node = 2, size = "64MiB" }
settings = { "disk.ioErrorToRetire" = 5, "disk.ioErrorTolerance" = 20 }
[domain."acme.example"]
[bucket."acme.example/scans"]
[workload.ingest]
during = "0s..4m"
rate = "5/s"
clients = 4
in = "acme.example/scans"
mix = { write = 60, read = 30, delete = 10 }
retry = { times = 3, on = ["503", "timeout", "reset", "refused"] }
"#;

/// Retiring Volumes: too many errors within `disk.ioErrorWindow` retire a volume, which ends when everything is elsewhere.
#[test]
fn a_disk_with_many_errors_is_retired_and_can_be_pulled_without_loss() {
    let steps = r#"
[[step]]
at = "2m"
do = "fail-reads"
disks = "main/3/1"
share = "30%"
for = "2m"
as = "bad"
[[step]]
at = "1h"
do = "pull-disk"
disks = "main/3/1"
as = "removal"
[[expect]]
after = "bad starts"
within = "10m"
that = "state"
disk = "main/3/1"
is = "retiring"
[[expect]]
during = "59m..1h"
that = "state"
disk = "main/3/1"
is = "retired"
[[expect]]
during = "59m..1h3m"
that = "fully protected"
[[expect]]
during = "59m..1h3m"
that = "metric"
of = "main"
metric = "copies moved"
is = "= 0"
[[expect]]
at = "end"
that = "metric"
of = "main"
metric = "copies moved"
is = ">= 50"
[[expect]]
after = "removal ends"
within = "1m"
that = "healthy"
"#;
    for seed in 0..3 {
        let report = run_text(&format!("{WORLD}{steps}"), seed);
        assert_held(&report);
        assert!(report.faults[0].effects >= 5, "{:?}", report.faults);
    }
}

/// One disk in each of three nodes.
fn of_three() -> String {
    WORLD
        .replace("nodes = 5", "nodes = 3")
        .replace("per_node = 2, ", "")
        .replace("0s..4m", "3m..8m")
}

/// While the third node is away there is nowhere to empty the failing disk into.
const NOWHERE_TO_GO: &str = r#"
[[step]]
at = "1s"
do = "power-off"
nodes = "main/3"
for = "40m"
as = "away"
[[step]]
at = "5m"
do = "fail-reads"
disks = "main/2/1"
share = "100%"
for = "30m"
as = "dying"
"#;

/// Retiring Volumes: more errors than `disk.ioErrorTolerance` while it is being emptied, and it counts as failed, whether or
/// not it is empty by then.
#[test]
fn a_disk_that_goes_on_failing_is_given_up_and_made_good_elsewhere() {
    let steps = format!(
        r#"{NOWHERE_TO_GO}
[[step]]
at = "80m"
do = "replace-disk"
disks = "main/2/1"
as = "renewal"
[[expect]]
after = "dying starts"
within = "5m"
that = "state"
disk = "main/2/1"
is = "retiring"
[[expect]]
after = "dying starts"
within = "30m"
that = "reports"
node = "main/2"
is = "/volume given up.*too many errors/"
[[expect]]
during = "36m..79m"
that = "state"
disk = "main/2/1"
is = "unavailable"
[[expect]]
after = "away ends"
within = "30m"
that = "fully protected"
[[expect]]
during = "75m..79m"
that = "fully protected"
[[expect]]
after = "renewal ends"
within = "2m"
that = "healthy"
"#
    );
    for seed in 0..3 {
        let report = run_text(&format!("{}{steps}", of_three()), seed);
        assert_held(&report);
        let recovery = report.recovery.as_ref().expect("a volume was given up");
        assert!(recovery.copies_moved >= 50, "{}", report.line());
    }
}

#[test]
fn a_volume_that_was_given_up_may_stay_so_to_the_end() {
    let steps = format!(
        r#"{NOWHERE_TO_GO}
[[expect]]
at = "end"
that = "state"
disk = "main/2/1"
is = "unavailable"
[[expect]]
at = "end"
that = "fully protected"
"#
    );
    assert_held(&run_text(&format!("{}{steps}", of_three()), 1));
}

/// Retiring Volumes: where no other volume has room for what lies on a retiring one, it waits for capacity. Nothing else is
/// under way then, so the clusters are at rest.
#[test]
fn volumes_that_all_retire_after_errors_wait_for_capacity_at_rest() {
    let steps = r#"
[[step]]
at = "5m"
do = "fail-reads"
disks = "all disks of main"
share = "50%"
for = "60s"
as = "bad"
[[expect]]
after = "bad starts"
within = "10m"
that = "state"
disk = "all disks of main"
is = "retiring"
[[expect]]
at = "end"
that = "state"
disk = "all disks of main"
is = "retiring"
"#;
    let world =
        of_three().replace("\"disk.ioErrorTolerance\" = 20", "\"disk.ioErrorTolerance\" = 5000");
    for seed in 0..3 {
        let report = run_text(&format!("{world}{steps}"), seed);
        assert_held(&report);
        assert!(report.simulated < Duration::from_secs(2 * 3600), "{}", report.line());
    }
}
