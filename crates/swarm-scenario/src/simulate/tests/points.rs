//! Nodes that panic between two steps that belong together, at each point that has a name.

use swarm_cluster::Point;

use super::{WORLD, assert_held, feeds, run_text};
use crate::report::RunReport;

/// Four minutes of clients on small volumes; enough nodes to mend what is lost.
fn world() -> String {
    let traffic = r#"
[workload.steady]
during = "1s..4m"
rate = "6/s"
clients = 4
in = "acme.example/scans"
mix = { write = 50, read = 30, delete = 10, update = 10 }
keys = { count = 60, overwrite = "30%" }
retry = { times = 3, on = ["503", "timeout", "reset", "refused"] }
"#;
    let world = WORLD
        .replace(
            "nodes = 3",
            "nodes = 4\nsettings = { \"health.replicationMulticastFrequency\" = 100 }",
        )
        .replace("64MiB", "16MiB");
    world + traffic
}

/// Two minutes of clients at one site, and a feed to another that rests for a while and begins anew.
fn world_with_a_feed() -> String {
    let changes = r#"
[[step]]
at = "75s"
do = "pause-feed"
feed = "to-dr"
for = "10s"
[[step]]
at = "115s"
do = "restart-feed"
feed = "to-dr"
"#;
    let retry = "retry = { times = 3, on = [\"503\", \"timeout\", \"reset\", \"refused\"] }\n[feed";
    let world = feeds::WORLD
        .replacen("nodes = 2", "nodes = 3", 1)
        .replace("size = ", "per_node = 2, size = ")
        .replace("operations = 80", "during = \"1s..2m\"\nrate = \"5/s\"")
        .replace("[feed", retry);
    world + changes + feeds::ALIKE
}

/// A run in which nodes panic at this point, are started again, and panic there once more.
fn panics_at(point: Point, nodes: &str, more: &str) -> RunReport {
    panics_in(&world(), point, nodes, more)
}

fn panics_in(world: &str, point: Point, nodes: &str, more: &str) -> RunReport {
    let steps = format!(
        r#"
# Before the recovery of what was pulled begins.
[[step]]
at = "62s"
do = "panic"
nodes = "{nodes}"
point = "{word}"
for = "20s"
as = "first"
[[step]]
after = "first ends"
wait = "10s"
do = "panic"
nodes = "{nodes}"
point = "{word}"
for = "10s"
inert = "allow"
{more}"#,
        word = point.word()
    );
    let report = run_text(&format!("{world}{steps}"), 31);
    assert_held(&report);
    let what = format!("panic at {}", point.word());
    let effects: u64 = report
        .faults
        .iter()
        .filter(|fault| fault.what.starts_with(&what))
        .map(|fault| fault.effects)
        .sum();
    assert!(effects > 0, "nobody passed {}: {:?}", point.word(), report.faults);
    report
}

#[test]
fn a_crash_at_any_named_point_loses_nothing() {
    let lost_and_found = r#"
[[step]]
at = "60s"
do = "pull-disk"
disks = "main/2/1"
for = "2m"
"#;
    for point in Point::ALL {
        match point {
            Point::GroupDurable
            | Point::CheckpointDurable
            | Point::HalfSwitched
            | Point::WritePublished
            | Point::DeleteFiled => drop(panics_at(*point, "main/3", "")),
            Point::CopyMade | Point::TrimAllowed => {
                drop(panics_at(*point, "main/1, main/3, main/4", lost_and_found));
            }
            Point::FeedDelivered | Point::FeedTableFiled => {
                drop(panics_in(&world_with_a_feed(), *point, "main/3", ""));
            }
        }
    }
}

#[test]
fn the_words_of_the_points_are_those_of_the_code() {
    let words: Vec<&str> = crate::language::words::POINTS.iter().map(|word| word.word).collect();
    let points: Vec<&str> = Point::ALL.iter().map(|point| point.word()).collect();
    assert_eq!(words, points);
}
