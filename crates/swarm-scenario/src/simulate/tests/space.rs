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
