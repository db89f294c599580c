//! What the judge of lifepoints says of answers, case by case.

use super::*;
use crate::language;
use crate::language::lifepoint::Lifepoint;
use crate::ledger::{Act, Ledger};
use crate::reach::NodeNumber;
use crate::report::RunReport;
use crate::testing::{assert_held, run_text};

const NOON: i64 = 1_767_268_800;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOON + secs)
}

/// Written at noon.
fn intent(texts: &[&str]) -> Intent {
    let read = |text: &&str| Lifepoint::read(text).expect("a lifepoint of the test's");
    Intent::of(&texts.iter().map(read).collect::<Vec<_>>(), at(0))
}

fn delete(contents: &[Option<&Intent>], status: u16, from: i64, to: i64) -> Option<&'static str> {
    wrong_delete(contents, status, at(from), at(to))
}

#[test]
fn a_date_bounds_the_clock_of_the_node_that_answered() {
    let mut headers = HeaderList::default();
    let instant = |secs: u64| Instant(secs * 1_000_000_000);
    assert_eq!(node_time(&headers, instant(7), instant(9)), None);
    headers.push("Date", "Thu, 01 Jan 2026 12:00:10 GMT");
    assert_eq!(node_time(&headers, instant(7), instant(9)), Some((at(8), at(11))));
}

#[test]
fn what_is_locked_is_not_deleted() {
    let locked = intent(&["[+60s] deletable=no", "[] reps=2"]);
    let free = intent(&["[] reps=2"]);
    assert!(delete(&[Some(&locked)], 200, 10, 11).is_some());
    assert_eq!(delete(&[Some(&locked)], 403, 10, 11), None);
    // While the lock ends, either may be.
    assert_eq!(delete(&[Some(&locked)], 200, 59, 60), None);
    assert_eq!(delete(&[Some(&locked)], 403, 59, 60), None);
    // The other version may have been the one that was deleted.
    assert_eq!(delete(&[Some(&locked), Some(&free)], 200, 10, 11), None);
    assert_eq!(delete(&[Some(&locked), None], 200, 10, 11), None);
    assert_eq!(delete(&[], 200, 10, 11), None);
}

#[test]
fn what_is_not_locked_may_be_deleted() {
    let once = intent(&["[+60s] deletable=no", "[] reps=2"]);
    assert!(delete(&[Some(&once)], 403, 60, 61).is_some(), "the lock is not inherited");
    assert_eq!(delete(&[Some(&once)], 200, 60, 61), None);
    assert!(delete(&[None], 403, 0, 1).is_some());
    assert_eq!(delete(&[Some(&once), None], 403, 10, 11), None);
    let unclear = Intent::unclear(vec!["[] deletable=perhaps".to_owned()]);
    assert_eq!(delete(&[Some(&unclear)], 403, 0, 1), None);
    assert_eq!(delete(&[Some(&unclear)], 200, 0, 1), None);
}

#[test]
fn what_has_ended_is_not_there_to_be_deleted() {
    let ending = intent(&["[+60s] reps=2", "[] delete"]);
    assert_eq!(delete(&[Some(&ending)], 200, 60, 62), None, "within a second");
    assert!(delete(&[Some(&ending)], 200, 61, 62).is_some());
    assert_eq!(delete(&[Some(&ending), None], 200, 61, 62), None);
}

#[test]
fn some_clock_may_have_ended_it_before_the_others() {
    let mut ledger = Ledger::new(1);
    let object = ledger.add(Object::new("x", "main", None));
    ledger.object_mut(object).intend(1, intent(&["[+60s] reps=2", "[] delete"]));
    let after = |secs: u64| Instant(secs * 1_000_000_000);
    ledger.sent(object, Act::Write { content: 1, length: 1 }, after(0), NodeNumber(0));
    let ended = |ledger: &Ledger, secs| ledger.may_have_ended(object, 1, after(secs));
    ledger.set_clocks(Clocks { began: at(0), ahead: Duration::ZERO });
    assert_eq!([59, 60].map(|secs| ended(&ledger, secs)), [false, true]);
    ledger.set_clocks(Clocks { began: at(0), ahead: Duration::from_secs(30) });
    assert_eq!([29, 30].map(|secs| ended(&ledger, secs)), [false, true]);
    assert!(!ledger.may_have_ended(object, 2, after(9_999)));
}

const WORLD: &str = r#"
schema = 1
title = "t"
why = "w"
limit = { sim = "1h", wall = "60s" }
[cluster.main]
nodes = 3
volumes = { size = "64MiB" }
[domain."acme.example"]
[bucket."acme.example/scans"]
headers = { "Lifepoint" = "[] delete" }
[workload.ingest]
during = "0s..2m"
rate = "2/s"
in = "acme.example/scans"
mix = { write = 40, read = 25, delete = 25, update = 10 }
kind = { named = 60, unnamed = 20, alias = 20 }
keys = { count = 20, overwrite = "30%" }
"#;

fn run(more: &str) -> RunReport {
    run_text(&format!("{WORLD}{more}"), 1)
}

#[test]
fn objects_come_to_their_end_and_nobody_misses_them() {
    let report = run(r#"
lifepoints = ["[+20s] reps=2, deletable=no", "[+1m] reps=3", "[] delete"]
[[step]]
at = "1s"
do = "request"
method = "POST"
path = "acme.example/scans/ours"
headers = { "lifepoint" = "[+1m] deletable=no, [] delete" }
as = "ours"
[[step]]
at = "30s"
do = "request"
method = "DELETE"
path = "acme.example/scans/ours"
expect_status = 403
[[step]]
at = "70s"
do = "request"
method = "DELETE"
path = "acme.example/scans/ours"
expect_status = 404
[[expect]]
at = "59s"
that = "readable"
object = "acme.example/scans/ours"
[[expect]]
at = "70s"
that = "gone"
object = "acme.example/scans/ours"
"#);
    assert_held(&report);
}

#[test]
fn a_clock_that_is_ahead_ends_objects_sooner() {
    let report = run(r#"
lifepoints = ["[+20s] reps=2", "[] delete"]
[[step]]
at = "10s"
do = "skew"
nodes = "main/2"
offset = "+15s"
for = "1m"
"#);
    assert_held(&report);
}

#[test]
fn lifepoints_that_a_step_writes_as_it_pleases_must_come_back_and_no_more() {
    let report = run(r#"
[[step]]
at = "1s"
do = "request"
method = "POST"
path = "acme.example/scans/ours"
headers = { "Lifepoint" = "[Thu, 01 Jan 2026 00:01:00 GMT] deletable=no, [] delete" }
[[step]]
at = "2s"
do = "request"
method = "GET"
path = "acme.example/scans/ours"
[[step]]
at = "2m"
do = "request"
method = "GET"
path = "acme.example/scans/ours"
expect_status = 404
[[step]]
at = "3s"
do = "request"
method = "POST"
path = "acme.example/scans/bad"
headers = { "Lifepoint" = "[soon] delete" }
[[step]]
at = "2m"
do = "request"
method = "GET"
path = "acme.example/scans/bad"
expect_status = 200
"#);
    assert_held(&report);
}

#[test]
fn a_clock_may_be_as_far_off_as_the_file_can_put_it() {
    let off = |more: &str| {
        let text = format!(
            "schema = 1\ntitle = \"t\"\nwhy = \"w\"\nlimit = {{ sim = \"1000s\", wall = \"60s\" }}\n[cluster.main]\nnodes = 3\n{more}"
        );
        let scenario = language::read("clocks.toml", &text).expect("reads");
        let (behind, ahead) = off_max(&scenario);
        (behind.as_millis(), ahead.as_millis())
    };
    let step = |what: &str| format!("[[step]]\nat = \"1s\"\nnodes = \"1 of main\"\n{what}\n");
    assert_eq!(off(""), (0, 0));
    assert_eq!(
        off("clock = { 1 = \"+10s\", 2 = \"-3s\", 3 = \"drift 200ppm\" }\n"),
        (3_000, 10_000)
    );
    assert_eq!(off(&step("do = \"skew\"\noffset = \"+10m\"")), (0, 600_000));
    assert_eq!(off(&step("do = \"step-clock\"\nby = \"-2s\"")), (2_000, 0));
    assert_eq!(off(&step("do = \"drift\"\nppm = 500")), (0, 500));
    assert_eq!(off(&step("do = \"drift\"\nppm = 500\nfor = \"100s\"")), (0, 50));
    let repeated =
        "every = \"10s\"\ntimes = 5\nnodes = \"main/1\"\ndo = \"step-clock\"\nby = \"+1s\"\n";
    assert_eq!(off(&format!("[[step]]\n{repeated}")), (0, 5_000));
    assert_eq!(off(&format!("[[step]]\n{repeated}for = \"5s\"\n")), (0, 1_000));
    let both = format!(
        "clock = {{ 1 = \"+1s\" }}\n{}{}",
        step("do = \"skew\"\noffset = \"+10s\""),
        step("do = \"step-clock\"\nby = \"+5s\"")
    );
    assert_eq!(off(&both), (0, 16_000));
}
