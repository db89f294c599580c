//! Volumes are lost and made good: what is told of it, what can be asked of it, and who may wait for it.

use super::{assert_held, run};
use crate::report::Verdict;

#[test]
fn a_lost_volume_is_recovered_and_the_time_is_told() {
    let report = run(
        r#"
[[step]]
after = "ingest ends"
do = "pull-disk"
disks = "main/2/1"
as = "loss"
[[step]]
after = "main fully protected"
do = "request"
method = "GET"
path = "/?domain=acme.example"
expect_status = 200
as = "afterwards"
[[expect]]
after = "loss starts"
within = "30m"
that = "fully protected"
[[expect]]
at = "end"
that = "metric"
of = "main"
metric = "recovery time"
is = "<= 30m"
[[expect]]
at = "end"
that = "metric"
of = "main"
metric = "copies moved"
is = ">= 1"
[[expect]]
during = "loss"
that = "metric"
of = "main"
metric = "recovery time"
is = "<= 30m"
[[expect]]
at = "end"
that = "no orphans"
[[expect]]
after = "afterwards starts"
within = "1s"
that = "answer"
of = "afterwards"
status = 200
"#,
        1,
    );
    assert_held(&report);
    assert_eq!(report.expectations.len(), 6);
    let recovery = report.recovery.as_ref().expect("a volume was lost");
    assert_eq!(recovery.volumes, 1);
    let longest = recovery.longest.expect("it was made good");
    assert!(longest.as_secs() >= 10 && longest.as_secs() <= 1800, "{longest:?}");
    assert!(recovery.copies_moved > 0, "its copies were made elsewhere");
    assert!(report.line().contains("1 volume lost, recovery time "), "{}", report.line());
}

#[test]
fn disks_are_replaced_one_after_another_each_when_the_last_is_made_good() {
    let report = run(
        r#"
[[step]]
after = "ingest ends"
each = "all disks of main"
until = "main fully protected"
do = "replace-disk"
as = "renewal"
[[expect]]
at = "end"
that = "metric"
of = "main"
metric = "recovery time"
is = "<= 1h"
"#,
        6,
    );
    assert_held(&report);
    let recovery = report.recovery.as_ref().expect("volumes were lost");
    assert_eq!(recovery.volumes, 3);
    // Every copy of everything was made anew.
    assert!(recovery.copies_moved >= 3, "{}", report.line());
}

#[test]
fn what_moves_no_copy_can_be_asked_for_as_such() {
    let report = run(
        r#"
[[step]]
at = "30m"
each = "all of main"
until = "main healthy"
do = "restart"
as = "rolling"
[[expect]]
during = "rolling"
that = "metric"
of = "main"
metric = "copies moved"
is = "= 0"
[[expect]]
at = "end"
that = "metric"
of = "main"
metric = "recovery time"
is = "<= 1m"
"#,
        7,
    );
    assert_eq!(report.verdict, Verdict::Failed, "{}", report.line());
    let [moved, recovery] = &report.expectations[..] else { panic!("two expectations") };
    assert!(moved.held, "{moved:?}");
    assert!(!recovery.held, "there was nothing to recover from");
    assert_eq!(recovery.detail, "no volume was lost");
    assert!(report.violations.is_empty() && report.recovery.is_none());
}

#[test]
fn copies_are_spread_over_subclusters_and_come_back_so() {
    let text = super::WORLD.replace(
        "nodes = 3",
        "nodes = 5\nsubclusters = { rack-a = [1, 2], rack-b = [3, 4, 5] }\nsettings = { \"policy.replicas\" = \"min:2 max:5 default:3\" }",
    );
    let report = super::run_text(
        &format!(
            "{text}{}",
            r#"
[[step]]
after = "ingest ends"
do = "wipe"
nodes = "subcluster rack-a of main"
for = "10s"
as = "rack-lost"
[[expect]]
after = "rack-lost ends"
within = "2h"
that = "fully protected"
"#
        ),
        8,
    );
    assert_held(&report);
    assert_eq!(report.recovery.as_ref().map(|recovery| recovery.volumes), Some(2));
}
