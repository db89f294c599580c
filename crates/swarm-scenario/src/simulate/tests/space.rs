//! Small disks that are written over and over: what is trapped must become free again in time.

use super::{assert_held, run_text};

/// Three disks that together take a third of what is written to them.
const SMALL: &str = r#"
schema = 1
title = "t"
why = "w"
limit = { sim = "24h", wall = "60s" }
[cluster.main]
nodes = 3
volumes = { size = "16MiB" }
[domain."acme.example"]
[bucket."acme.example/scans"]
[workload.ingest]
during = "0s..20m"
rate = "1/s"
clients = 4
mix = { write = 70, delete = 30 }
in = "acme.example/scans"
sizes = { "64KiB" = 100 }
keys = { count = 60, overwrite = "60%" }
retry = { times = 3, on = ["503", "timeout", "reset", "refused"] }
[[expect]]
at = "end"
that = "metric"
of = "ingest"
metric = "failed write share"
is = "<= 1%"
[[expect]]
at = "end"
that = "metric"
of = "ingest"
metric = "acknowledged write count"
is = ">= 700"
"#;

#[test]
fn what_is_overwritten_makes_room_for_what_comes() {
    for seed in 0..3 {
        assert_held(&run_text(SMALL, seed));
    }
}

/// What clients leave free at one look of the health processor they fill before the next.
#[test]
fn clients_that_fill_a_disk_within_a_minute_find_room_all_the_same() {
    let hasty = SMALL.replace("0s..20m", "0s..30s").replace("1/s", "40/s");
    for seed in 0..3 {
        assert_held(&run_text(&hasty, seed));
    }
}
