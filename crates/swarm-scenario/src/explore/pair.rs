//! Two clusters drawn from a seed: a link, one feed or one each way, and faults of nodes, disks, the link and the feeds.
//!
//! A feed is always healed and defined again in the end, so that *fed* has something to say.

use super::{APART, Dice, FAULTS_MAX, FIRST, LASTS, add, step};

/// What an `edit-feed` may change for a while.
const EDITS: &[&str] = &[
    "remote_auth = \"admin:wrong\"",
    "cluster_name = \"nobody\"",
    "mode = \"get\"",
    "mode = \"post\"",
    "threads = 1",
    "propagate_deletes = false",
    "domains = { exclude = [\"acme.example\"] }",
];

/// What may become of the link for a while.
const LINKS: &[&str] = &[
    "do = \"cut\"\nlink = \"wan\"",
    "do = \"cut\"\nlink = \"wan\"\ndirection = \"out\"",
    "do = \"cut\"\nlink = \"wan\"\ndirection = \"in\"",
    "do = \"degrade\"\nlink = \"wan\"\nloss = \"5%\"",
    "do = \"degrade\"\nlink = \"wan\"\nlatency = \"900ms\"",
    "do = \"degrade\"\nlink = \"wan\"\nbandwidth = \"1Mbit\"",
];

/// A feed of a file that is being drawn.
struct Feed {
    name: &'static str,
    /// From then on nothing else is being done to it.
    free: u64,
    /// A step defines it: one that is deleted and defined again is not there by itself.
    by_step: bool,
}

/// The text of a file for this seed.
pub(super) fn drawn(dice: &mut Dice, seed: u64, path: &str) -> String {
    let (here, there) = (3 + dice.below(2), 2 + dice.below(2));
    let both = dice.below(3) == 0;
    let mut text = world(dice, seed, (here, there), both);
    let mut feeds = vec![Feed { name: "to-dr", free: 0, by_step: false }];
    if both {
        feeds.push(Feed { name: "to-main", free: 0, by_step: false });
    }
    let about = [("main", 1 + dice.below(here)), ("dr", 1 + dice.below(there))];
    let mut at = dice.of(FIRST);
    for _ in 0..2 + dice.below(FAULTS_MAX - 1) {
        let of_whom = about[usize::from(dice.below(3) == 0)];
        match dice.below(8) {
            0 | 1 => drop(add(path, &mut text, &of_link(dice, at))),
            2..=4 => {
                let nth = dice.below(feeds.len() as u64);
                let feed = &mut feeds[usize::try_from(nth).unwrap_or_default()];
                let (steps, over) = of_feed(dice, feed, at.max(feed.free));
                if add(path, &mut text, &steps) {
                    feed.free = over;
                    feed.by_step |= steps.contains("create-feed");
                }
            }
            _ => drop(add(path, &mut text, &step(dice, of_whom, at))),
        }
        at += dice.of(APART);
    }
    text
}

fn world(dice: &mut Dice, seed: u64, (here, there): (u64, u64), both: bool) -> String {
    let volumes = 1 + dice.below(2);
    // What comes from both sides would fill a small cluster for good, and then nothing comes to rest.
    let size = if both { "128MiB" } else { dice.of(&["24MiB", "128MiB"]) };
    let kind = dice.of(&["nvme", "ssd", "ssd", "hdd"]);
    let latency = dice.of(&["0.5ms..2ms", "20ms..60ms", "100ms..300ms"]);
    let (bandwidth, loss) = (dice.of(&["4Mbit", "1Gbit"]), dice.of(&["0%", "0.05%", "1%"]));
    let (mode, wait) = (dice.of(&["post", "post", "get"]), dice.of(&["20s", "60s"]));
    let deletes = dice.below(5) != 0;
    let (rate, keys) = (dice.of(&["1/s", "2/s", "4/s"]), dice.of(&["20", "80"]));
    let overwrite = dice.of(&["10%", "50%"]);
    let mix = dice.of(&[
        "write = 55, read = 10, delete = 15, update = 15, send = 5",
        "write = 45, delete = 35, update = 15, info = 5",
    ]);
    let sizes =
        dice.of(&["\"4KiB\" = 80, \"64KiB\" = 18, \"300KiB\" = 2", "\"1KiB\" = 95, \"1MiB\" = 5"]);
    let feed = |name: &str, from: &str, to: &str, propagates: bool| {
        format!(
            "\n[feed.{name}]\nfrom = \"{from}\"\nto = \"{to}\"\nmode = \"{mode}\"\nretry_wait = \"{wait}\"\n\
             propagate_deletes = {propagates}\n"
        )
    };
    let workload = |name: &str, on: &str, with: &str| {
        format!(
            r#"
[workload.{name}]
on = "{on}"
during = "30s..4m"
rate = "{rate}"
clients = 6
mix = {{ {mix} }}
kind = {{ named = 75, unnamed = 15, alias = 10 }}
in = "acme.example/scans"
sizes = {{ {sizes} }}
keys = {{ {with}count = {keys}, overwrite = "{overwrite}" }}
retry = {{ times = 3, on = ["503", "timeout", "reset", "refused"] }}
"#
        )
    };
    let mut text = format!(
        r#"schema = 1
title = "Drawn from seed {seed}"
why = "What nobody thought of putting together must hold as well."
tags = ["drawn", "feeds"]
limit = {{ sim = "24h", wall = "120s" }}

[cluster.main]
nodes = {here}
volumes = {{ per_node = {volumes}, size = "{size}", kind = "{kind}" }}

[cluster.dr]
nodes = {there}
volumes = {{ size = "128MiB", kind = "ssd" }}

[link.wan]
between = ["main", "dr"]
latency = "{latency}"
bandwidth = "{bandwidth}"
loss = "{loss}"

[domain."acme.example"]
on = "main"
[bucket."acme.example/scans"]
on = "main"
"#
    );
    // Where each feeds the other, a delete that only one of them tells would come back from the other.
    text.push_str(&feed("to-dr", "main", "dr", deletes || both));
    text.push_str(&workload("ingest", "main", ""));
    if both {
        text.push_str(&feed("to-main", "dr", "main", true));
        text.push_str(&workload("there", "dr", "with = \"ingest\", "));
    }
    text
}

fn of_link(dice: &mut Dice, at: u64) -> String {
    let (what, lasts) = (dice.of(LINKS), dice.of(LASTS));
    format!("\n[[step]]\nat = \"{at}s\"\n{what}\nfor = \"{lasts}s\"\ninert = \"allow\"\n")
}

/// Something that is done to a feed, and when that is over.
fn of_feed(dice: &mut Dice, feed: &Feed, at: u64) -> (String, u64) {
    let (lasts, name) = (dice.of(LASTS), feed.name);
    let step = |at: u64, verb: &str, more: &str| {
        format!(
            "\n[[step]]\nat = \"{at}s\"\ndo = \"{verb}\"\nfeed = \"{name}\"\n{more}inert = \"allow\"\n"
        )
    };
    let lasting = format!("for = \"{lasts}s\"\n");
    let text = match dice.below(6) {
        0 | 1 => step(at, "pause-feed", &lasting),
        2 => step(at, "restart-feed", ""),
        3 => {
            let first = if feed.by_step { String::new() } else { step(0, "create-feed", "") };
            let [gone, again] = [(at, "delete-feed"), (at + lasts, "create-feed")];
            format!("{first}{}{}", step(gone.0, gone.1, ""), step(again.0, again.1, ""))
        }
        _ => step(at, "edit-feed", &format!("{}\n{lasting}", dice.of(EDITS))),
    };
    (text, at + lasts + 1)
}
