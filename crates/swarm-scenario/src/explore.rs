//! Scenarios that nobody wrote: a small cluster, and a few faults on one thing, at the edges of each other, drawn from a
//! seed. Every fourth seed draws two clusters of which one feeds the other, or each the other.
//!
//! What nobody thinks of putting together is where the bugs are. A file that is drawn expects nothing of its own: the
//! invariants judge it as they judge every run, and they know what its faults may cost. Most faults meet the same node or its
//! first disk, since what one fault leaves half done is where the next one bites.

mod pair;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::catalogue::Loaded;
use crate::language::{self, Problem};

/// One seed in so many draws two clusters.
const PAIRS: u64 = 4;
/// Most faults of one file.
const FAULTS_MAX: u64 = 6;
/// Seconds from one fault to the next: at once, in its midst, long after.
const APART: &[u64] = &[0, 0, 1, 3, 8, 20, 60, 150];
/// Seconds that a fault lasts.
const LASTS: &[u64] = &[1, 4, 15, 60, 200];
/// Seconds until the first fault.
const FIRST: &[u64] = &[15, 40, 80];

/// What a fault is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Nodes,
    Disks,
}

/// Whether a fault ends with `for`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// It does: otherwise no run would come to rest.
    Always,
    /// It may.
    Maybe,
    /// It is done in a moment.
    Never,
}

/// A verb and what may be drawn for it.
struct Fault {
    verb: &'static str,
    on: On,
    ends: Ends,
    /// It may be done to everything at once: it destroys nothing.
    wide: bool,
    /// Its words, and what each may be: as it is written in the file.
    words: &'static [(&'static str, &'static [&'static str])],
}

const fn fault(
    verb: &'static str,
    (on, ends, wide): (On, Ends, bool),
    words: &'static [(&'static str, &'static [&'static str])],
) -> Fault {
    Fault { verb, on, ends, wide, words }
}

const SHARES: &[&str] = &["\"2%\"", "\"30%\"", "\"100%\""];
const POINTS: &[&str] = &[
    "\"group-durable\"",
    "\"checkpoint-durable\"",
    "\"half-switched\"",
    "\"write-published\"",
    "\"delete-filed\"",
    "\"copy-made\"",
    "\"trim-allowed\"",
];

const FAULTS: &[Fault] = &[
    fault("kill", (On::Nodes, Ends::Always, true), &[]),
    fault("power-off", (On::Nodes, Ends::Always, true), &[]),
    fault("stop", (On::Nodes, Ends::Always, true), &[]),
    fault("pause", (On::Nodes, Ends::Always, true), &[]),
    fault("wipe", (On::Nodes, Ends::Always, false), &[]),
    fault("panic", (On::Nodes, Ends::Always, true), &[("point", POINTS), ("within", &["\"5m\""])]),
    fault("isolate", (On::Nodes, Ends::Always, true), &[]),
    fault("break-multicast", (On::Nodes, Ends::Always, true), &[]),
    fault(
        "cut",
        (On::Nodes, Ends::Always, false),
        &[("direction", &["\"both\"", "\"out\"", "\"in\""])],
    ),
    fault("half-open", (On::Nodes, Ends::Never, true), &[]),
    fault(
        "degrade",
        (On::Nodes, Ends::Always, true),
        &[("loss", &["\"1%\"", "\"20%\""]), ("latency", &["\"5ms\"", "\"400ms\""])],
    ),
    fault(
        "lose-reply",
        (On::Nodes, Ends::Never, true),
        &[("reply", &["\"success\"", "\"any\""]), ("ending", &["\"reset\"", "\"silence\""])],
    ),
    fault("skew", (On::Nodes, Ends::Always, false), &[("offset", &["\"-40s\"", "\"+10m\""])]),
    fault("step-clock", (On::Nodes, Ends::Always, false), &[("by", &["\"-15m\"", "\"+15m\""])]),
    fault("drift", (On::Nodes, Ends::Always, true), &[("ppm", &["-400", "400"])]),
    fault("retire", (On::Nodes, Ends::Maybe, false), &[("pace", &["\"slow\"", "\"fast\""])]),
    fault("rot", (On::Disks, Ends::Never, false), &[("share", SHARES)]),
    fault("unreadable", (On::Disks, Ends::Never, false), &[("share", SHARES)]),
    fault(
        "slow-disk",
        (On::Disks, Ends::Always, true),
        &[("latency", &["\"20ms\"", "\"2s\""]), ("bandwidth", &["\"2MiB/s\"", "\"50MiB/s\""])],
    ),
    fault("stall-disk", (On::Disks, Ends::Always, true), &[]),
    fault("fail-reads", (On::Disks, Ends::Always, true), &[("share", SHARES)]),
    fault("fail-writes", (On::Disks, Ends::Always, true), &[("share", SHARES)]),
    fault("fail-syncs", (On::Disks, Ends::Always, true), &[("share", SHARES)]),
    fault("lie-about-syncs", (On::Disks, Ends::Always, false), &[]),
    fault("misdirect", (On::Disks, Ends::Always, false), &[("share", SHARES)]),
    fault("fill", (On::Disks, Ends::Always, true), &[("to", &["\"95%\"", "\"100%\""])]),
    fault("read-only", (On::Disks, Ends::Always, true), &[]),
    fault("pull-disk", (On::Disks, Ends::Always, true), &[]),
    fault("replace-disk", (On::Disks, Ends::Never, false), &[]),
    fault("lose-index", (On::Disks, Ends::Never, true), &[]),
];

/// The scenario of this seed, as the file at `path` would be read, and its text. The same on every machine, as long as this
/// version of the program draws it.
///
/// # Errors
/// What is wrong with the text, which is a mistake here and not of whoever asks.
pub fn drawn(seed: u64, path: &str) -> Result<(Loaded, String), Vec<Problem>> {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let text = if seed % PAIRS == PAIRS - 1 {
        pair::drawn(&mut dice, seed, path)
    } else {
        let nodes = 3 + dice.below(3);
        let volumes = 1 + dice.below(2);
        let mut text = world(&mut dice, seed, (nodes, volumes));
        let (node, faults) = (1 + dice.below(nodes), 2 + dice.below(FAULTS_MAX - 1));
        let mut at = dice.of(FIRST);
        for _ in 0..faults {
            let step = step(&mut dice, ("main", node), at);
            add(path, &mut text, &step);
            at += dice.of(APART);
        }
        text
    };
    let scenario = language::read(path, &text)?;
    let checksum = crc32c::crc32c(text.as_bytes());
    Ok((Loaded { path: path.to_owned(), scenario, checksum }, text))
}

/// Adds a step to a file, unless it cannot be in it, such as one that overlaps another of which only one may be. Returns
/// whether it is in it.
fn add(path: &str, text: &mut String, step: &str) -> bool {
    let with = format!("{text}{step}");
    let is_right = language::read(path, &with).is_ok();
    if is_right {
        *text = with;
    }
    is_right
}

fn world(dice: &mut Dice, seed: u64, (nodes, volumes): (u64, u64)) -> String {
    let size = dice.of(&["24MiB", "128MiB"]);
    let kind = dice.of(&["nvme", "ssd", "ssd", "hdd"]);
    let replicas =
        if dice.below(4) == 0 { "min:2 max:4 default:3" } else { "min:1 max:4 default:2" };
    let mix = dice.of(&[
        "write = 60, read = 20, delete = 10, update = 10",
        "write = 40, read = 20, delete = 30, update = 5, info = 5",
        "write = 30, read = 60, delete = 5, update = 5",
        "write = 30, append = 25, copy = 10, read = 15, delete = 12, update = 8",
    ]);
    let (rate, keys) = (dice.of(&["2/s", "4/s", "8/s"]), dice.of(&["20", "100"]));
    let overwrite = dice.of(&["10%", "50%"]);
    let sizes = dice.of(&[
        "\"4KiB\" = 80, \"64KiB\" = 18, \"300KiB\" = 2",
        "\"1KiB\" = 90, \"1MiB\" = 10",
        "\"64KiB\" = 100",
    ]);
    format!(
        r#"schema = 1
title = "Drawn from seed {seed}"
why = "What nobody thought of putting together must hold as well."
tags = ["drawn"]
limit = {{ sim = "24h", wall = "120s" }}

[cluster.main]
nodes = {nodes}
volumes = {{ per_node = {volumes}, size = "{size}", kind = "{kind}" }}
settings = {{ "policy.replicas" = "{replicas}" }}

[domain."acme.example"]
[bucket."acme.example/scans"]
[workload.ingest]
during = "0s..3m"
rate = "{rate}"
clients = 6
mix = {{ {mix} }}
kind = {{ named = 70, unnamed = 25, alias = 5 }}
in = "acme.example/scans"
sizes = {{ {sizes} }}
keys = {{ count = {keys}, overwrite = "{overwrite}" }}
retry = {{ times = 3, on = ["503", "timeout", "reset", "refused"] }}
"#
    )
}

/// A step at this second: mostly against this node of this cluster, which the file is about.
fn step(dice: &mut Dice, (cluster, node): (&str, u64), at: u64) -> String {
    let fault = &FAULTS[usize::try_from(dice.below(FAULTS.len() as u64)).unwrap_or_default()];
    let wide = fault.wide && dice.below(8) == 0;
    let target = match (fault.on, dice.below(8)) {
        (On::Nodes, _) if wide => format!("all of {cluster}"),
        (On::Disks, _) if wide => format!("all disks of {cluster}"),
        (On::Nodes, 0) => format!("1 of {cluster}"),
        (On::Disks, 0) => format!("1 disks of {cluster}"),
        (On::Nodes, _) => format!("{cluster}/{node}"),
        (On::Disks, _) => format!("{cluster}/{node}/1"),
    };
    let key = match fault.on {
        On::Nodes => "nodes",
        On::Disks => "disks",
    };
    let mut text =
        format!("\n[[step]]\nat = \"{at}s\"\ndo = \"{}\"\n{key} = \"{target}\"\n", fault.verb);
    let mut word = |name: &str, value: &str| {
        text.push_str(&format!("{name} = {value}\n"));
    };
    for (name, values) in fault.words {
        word(name, dice.of(values));
    }
    let ends = match fault.ends {
        Ends::Always => true,
        Ends::Maybe => dice.below(2) == 0,
        Ends::Never => false,
    };
    if ends {
        word("for", &format!("\"{}s\"", dice.of(LASTS)));
    }
    // Nobody has looked whether it can bite here.
    word("inert", "\"allow\"");
    text
}

/// Draws that are the same on every machine.
struct Dice(ChaCha8Rng);

impl Dice {
    /// A number below this one.
    fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    fn of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::language::words;

    #[test]
    fn what_is_drawn_is_right_and_the_same_every_time() {
        let mut texts = BTreeSet::new();
        for seed in 0..300 {
            let (loaded, text) = drawn(seed, "drawn.toml").expect("a file that is right");
            assert!(!loaded.scenario.steps.is_empty(), "seed {seed} without a fault");
            assert_eq!(drawn(seed, "drawn.toml").expect("as before").1, text);
            texts.insert(text);
        }
        assert_eq!(texts.len(), 300, "no two seeds draw the same");
    }

    #[test]
    fn every_fault_is_drawn_by_some_seed_and_every_verb_that_breaks_something_is_a_fault() {
        let verbs: BTreeSet<String> = (0..600)
            .flat_map(|seed| {
                let (_, text) = drawn(seed, "drawn.toml").expect("a file that is right");
                let verbs = text.lines().filter_map(|line| line.strip_prefix("do = \""));
                verbs.map(|verb| verb.trim_end_matches('"').to_owned()).collect::<Vec<_>>()
            })
            .collect();
        for fault in FAULTS {
            assert!(verbs.contains(fault.verb), "no seed draws {}", fault.verb);
        }
        // What asks for something of its own: groups, a workload, an order of the administration.
        let left_out =
            ["restart", "partition", "truncate", "skip", "set", "suspend-recovery", "mount-stale"];
        let breaks = words::VERBS.iter().filter(|verb| verb.word.built && !verb.effect.is_empty());
        for verb in breaks.map(|verb| verb.word.word) {
            let is_order =
                ["start", "heal", "insert-disk", "cancel-retire", "resume-recovery", "resume-feed"];
            assert!(
                verbs.contains(verb) || left_out.contains(&verb) || is_order.contains(&verb),
                "{verb} is never drawn"
            );
        }
    }
}
