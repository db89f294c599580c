//! Verbs that break something, in a small run: they bite, they are undone, and what came of it is judged rightly.

use super::{WORLD, assert_held, run, run_text};
use crate::report::RunReport;

/// A run of these steps while clients work at a pace; every fault in it must bite.
#[track_caller]
fn bites(steps: &str, seed: u64) -> RunReport {
    let report = run(&format!("{TRAFFIC}{steps}"), seed);
    assert_held(&report);
    assert!(!report.faults.is_empty());
    for fault in &report.faults {
        assert!(fault.effects > 0, "{} changed nothing", fault.what);
    }
    report
}

/// Four minutes of reads and writes.
const TRAFFIC: &str = r#"
[workload.steady]
during = "1s..4m"
rate = "4/s"
clients = 4
in = "acme.example/scans"
mix = { write = 50, read = 40, delete = 5, update = 5 }
sizes = { "4KiB" = 1, "64KiB" = 1 }
keys = { count = 40, overwrite = "30%" }
retry = { times = 3, on = ["503", "timeout", "reset", "refused"] }
"#;

#[test]
fn ways_get_worse_and_are_cut_in_one_direction() {
    let report = bites(
        r#"
[[step]]
at = "10s"
do = "degrade"
nodes = "1 of main"
latency = "20ms..80ms"
loss = "5%"
reorder = "10%"
as = "bad"
[[step]]
at = "70s"
do = "heal"
step = "bad"
[[step]]
at = "80s"
do = "degrade"
link = "main"
with = "clients"
loss = "2%"
for = "20s"
[[step]]
at = "2m"
do = "cut"
nodes = "main/1"
direction = "out"
for = "40s"
as = "mute"
[[step]]
at = "3m"
do = "half-open"
nodes = "main/2"
[[expect]]
after = "mute ends"
within = "1m"
that = "healthy"
"#,
        21,
    );
    assert_eq!(report.faults[2].what, "cut main/2, main/3 from main/1");
}

#[test]
fn one_request_is_cut_short_and_one_acknowledgement_lost() {
    let report = bites(
        r#"
[[step]]
at = "20s"
do = "truncate"
workload = "steady"
nth = 3
at_byte = "1KiB"
as = "short"
[[step]]
at = "40s"
do = "truncate"
nodes = "main/2"
at_byte = "200B"
ending = "silence"
[[step]]
at = "1m"
do = "lose-reply"
nodes = "main/3"
"#,
        22,
    );
    let effects: Vec<u64> = report.faults.iter().map(|fault| fault.effects).collect();
    assert_eq!(effects, [1, 1, 1], "{:?}", report.faults);
    assert_eq!(report.faults[0].what, "truncate the 3rd write of steady at 1KiB");
}

#[test]
fn disks_get_slow_stall_and_fill() {
    bites(
        r#"
[[step]]
at = "10s"
do = "slow-disk"
disks = "1 disks of main"
latency = "200ms"
bandwidth = "1MiB/s"
over = "20s"
for = "50s"
as = "tired"
[[step]]
at = "80s"
do = "stall-disk"
disks = "main/2/1"
for = "5s"
[[step]]
at = "2m"
do = "fill"
disks = "main/3/1"
to = "100%"
as = "full"
[[step]]
at = "3m"
do = "heal-disk"
disks = "full"
"#,
        23,
    );
}

#[test]
fn a_node_stands_still_and_disks_fail_what_they_are_asked() {
    let report = bites(
        r#"
[[step]]
at = "10s"
do = "pause"
nodes = "main/1"
for = "10s"
[[step]]
at = "50s"
do = "fail-writes"
disks = "main/2/1"
share = "5%"
for = "30s"
[[step]]
at = "1m50s"
do = "fail-syncs"
disks = "main/3/1"
share = "10%"
for = "30s"
[[step]]
at = "3m"
do = "read-only"
disks = "main/1/1"
for = "20s"
"#,
        3,
    );
    assert_eq!(report.faults.len(), 4);
}

#[test]
fn clocks_drift_and_step_and_a_quiet_stretch_passes() {
    let report = bites(
        r#"
[[step]]
at = "10s"
do = "drift"
nodes = "main/1"
ppm = -20000
for = "1m"
[[step]]
at = "2m"
do = "step-clock"
nodes = "1 of main"
by = "+3m"
for = "30s"
[[step]]
after = "steady ends"
wait = "1m"
do = "skip"
by = "30m"
as = "quiet"
[[expect]]
after = "quiet ends"
within = "10s"
that = "healthy"
"#,
        24,
    );
    assert!(report.simulated > std::time::Duration::from_secs(34 * 60));
    assert_eq!(report.faults[2].what, "skip 30m");
}

#[test]
fn a_quiet_stretch_in_which_clients_work_is_a_mistake_of_the_file() {
    let report = run(
        &format!(
            "{TRAFFIC}[[step]]\nafter = \"steady: 50th write acknowledged\"\ndo = \"skip\"\nby = \"1h\"\nas = \"quiet\"\n"
        ),
        25,
    );
    let told = report.line();
    assert!(told.contains("quiet: a quiet stretch promises") && told.contains("steady"), "{told}");
}

#[test]
fn a_disk_is_pulled_and_comes_back_and_another_has_lost_its_index() {
    bites(
        r#"
[[step]]
at = "20s"
do = "pull-disk"
disks = "main/1/1"
for = "30s"
as = "out"
[[step]]
after = "out ends"
wait = "30s"
do = "lose-index"
disks = "main/2/1"
[[step]]
after = "out ends"
wait = "40s"
do = "restart"
nodes = "main/2"
down = "5s"
"#,
        27,
    );
}

#[test]
fn a_disk_that_one_step_plugs_in_early_stays_where_it_is_when_its_time_is_over() {
    bites(
        r#"
[[step]]
at = "20s"
do = "pull-disk"
disks = "main/2/1"
for = "40s"
as = "out"
[[step]]
at = "30s"
do = "insert-disk"
disks = "main/2/1"
into = "main/3"
[[expect]]
after = "out ends"
within = "1m"
that = "state"
disk = "main/2/1"
is = "ok"
"#,
        27,
    );
}

#[test]
fn sectors_that_cannot_be_read_are_found_by_reads() {
    bites(
        r#"
[[step]]
at = "30s"
do = "unreadable"
disks = "main/1/1"
share = "30%"
"#,
        28,
    );
}

#[test]
fn a_disk_whose_every_block_rots_looks_blank_and_is_not_taken_for_empty() {
    // Both superblocks among them: rot-under-reads, seed 72, when it was blamed for what its node knew it had.
    let report = bites(
        r#"
[[step]]
after = "ingest ends"
wait = "10s"
do = "rot"
disks = "main/2/1"
share = "100%"
"#,
        72,
    );
    assert!(report.faults[0].effects > 10, "bodies and journal alike: {:?}", report.faults);
}

#[test]
fn what_a_lying_disk_loses_with_the_power_is_a_legal_loss() {
    let report = bites(
        r#"
[[step]]
at = "10s"
do = "lie-about-syncs"
disks = "all disks of main"
for = "2m"
[[step]]
at = "40s"
do = "power-off"
nodes = "all of main"
for = "20s"
"#,
        26,
    );
    assert!(report.faults[0].effects > 1 << 20, "half a minute of writes: {:?}", report.faults);
}

#[test]
fn a_volume_that_was_away_for_too_long_is_mounted_by_order_only() {
    let world = WORLD
        .replace("nodes = 3\n", "nodes = 3\nsettings = { \"disk.obsoleteTimeout\" = 1800 }\n")
        .replace(
            "why = \"w\"",
            "why = \"w\"\nwaive = [{ invariant = \"no resurrection\", because = \"by order\" }]",
        );
    let steps = r#"
[[step]]
after = "ingest ends"
wait = "10s"
do = "power-off"
nodes = "main/2"
for = "1h"
as = "away"
[[expect]]
after = "away ends"
within = "1m"
that = "state"
disk = "main/2/1"
is = "unavailable"
[[expect]]
after = "away ends"
within = "1m"
that = "state"
disk = "main/2/1"
is = "stale"
[[expect]]
never = true
that = "state"
disk = "main/1/1"
is = "stale"
[[step]]
after = "away ends"
wait = "2m"
do = "mount-stale"
nodes = "main/2"
as = "order"
[[expect]]
after = "order ends"
within = "1m"
that = "healthy"
"#;
    let report = run_text(&format!("{world}{steps}"), 29);
    assert_held(&report);
    let held: Vec<bool> = report.expectations.iter().map(|expectation| expectation.held).collect();
    assert_eq!(held, [true; 4], "{:?}", report.expectations);
}

#[test]
fn a_node_whose_clock_is_behind_clears_away_what_others_have_dated_ahead() {
    // It took what they wrote for new until its own clock got there, and left a superseded copy alone: seed 6.
    let text = include_str!("../../../../../scenarios/clocks-apart.toml");
    assert_held(&run_text(text, 6));
}
