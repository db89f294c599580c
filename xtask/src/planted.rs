//! Which scenario finds which planted bug: the proof that the scenarios would notice.

use std::collections::BTreeSet;
use std::ffi::OsString;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::binary::{Binary, Built};
use crate::cargo::{CHECKED, Workspace, run, shown};
use crate::readme;

/// A planted bug, and runs of which at least one must fail with it by the invariant that it breaks. All hold without it.
struct Planted {
    bug: &'static str,
    scenario: &'static str,
    /// From the first to before the last. Where a run finds the bug only now and then, as many as make sure of it.
    seeds: &'static str,
    /// The invariant that is told first.
    invariant: &'static str,
}

/// One line for every bug in `swarm-env`'s list.
const PLANTED: &[Planted] = &[
    // A power loss must meet the moment between an acknowledgement and its sync, and *durable* tell it first.
    planted("ack-before-sync", "power-loss", "20..36", "durable"),
    planted("forget-tombstones", "power-loss", "0..2", "no resurrection"),
    planted("serve-unverified", "rot", "0..2", "true bytes"),
    planted("clock-only-version", "split-clocks", "0..2", "durable"),
    planted("delete-here-only", "rolling-restart", "0..2", "no resurrection"),
    planted("trim-on-old-answer", "late-return", "0..2", "durable"),
    // Its copies are trimmed and made anew for ever.
    planted("count-returning-twice", "late-return", "0..2", "alive"),
    planted("delete-not-made-up-for", "late-return", "0..2", "protected"),
    planted("inherit-lifepoint", "lifepoints", "0..2", "obeyed"),
    planted("scrub-skips-last-block", "rot", "0..2", "protected"),
    planted("forget-deletes-early", "late-return", "0..2", "no resurrection"),
    planted("mount-stale", "stale-volume-returns", "0..2", "no resurrection"),
    planted("mount-trusts-cache", "failed-syncs-then-kill", "0..4", "durable"),
    planted("two-on-one-node", "disk-moves", "0..2", "protected"),
    planted("quarantined-counts", "rot", "0..2", "protected"),
    planted("hints-vouch", "late-return", "0..2", "protected"),
    planted("surplus-stays", "late-return", "0..2", "protected"),
    planted("superseded-stays", "late-return", "0..2", "protected"),
    planted("ended-stays", "lifepoints", "0..2", "obeyed"),
    planted("context-ends", "lifepoints", "0..2", "durable"),
    planted("retire-before-copied", "retire-while-one-fails", "0..8", "durable"),
    planted("erase-last-suspect", "failing-reads", "0..2", "durable"),
    planted("copy-without-headers", "rot", "0..2", "true bytes"),
    planted("feed-skips-failed", "dr-wan-cut", "0..2", "honest"),
    planted("deletes-lost-while-paused", "feed-rests", "0..2", "alive"),
    planted("status-zero-early", "mirrored-clocks", "0..4", "honest"),
    planted("echo-versions", "mirrored-clocks", "0..2", "honest"),
    planted("success-outlives-feed", "dr-replaced", "0..2", "fed"),
    planted("import-over-tombstone", "mirrored-clocks", "0..4", "true bytes"),
    planted("first-only", "dr-wan-cut", "0..2", "alive"),
    planted("tombstone-dropped-early", "dr-week-apart", "0..2", "fed"),
    planted("spelling-lost", "dr-basic", "0..2", "protected"),
    planted("import-takes-back", "wan-flaps", "0..4", "fed"),
    planted("context-after-member", "dr-wan-cut", "0..4", "fed"),
    planted("append-to-old", "append-and-copy", "0..2", "true bytes"),
];

const fn planted(
    bug: &'static str,
    scenario: &'static str,
    seeds: &'static str,
    invariant: &'static str,
) -> Planted {
    Planted { bug, scenario, seeds, invariant }
}

/// The scenario in which nothing fails: no planted bug may show there, or it would prove nothing about faults.
const WITHOUT_FAULTS: &str = "plain-writes";

/// Exit status of a run in which an invariant or an expectation failed.
const FAILED: i32 = 1;

/// The document that tells how often each bug is found.
const DOCUMENT: &str = "docs/planted-bugs.md";

/// Measure in how many seeds each planted bug is found, and write it into docs/planted-bugs.md.
#[derive(clap::Args)]
pub(crate) struct Measure {
    /// How many seeds, from 0 on.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Only bugs whose name contains this.
    bug: Option<String>,
}

impl Measure {
    pub(crate) fn run(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let binary = Binary::swarm_sim(true).build(workspace)?;
        let path = workspace.root().join(DOCUMENT);
        let asked_for = |planted: &&Planted| {
            self.bug.as_ref().is_none_or(|part| planted.bug.contains(part.as_str()))
        };
        for Planted { bug, scenario, .. } in PLANTED.iter().filter(asked_for) {
            let seeds = format!("0..{}", self.seeds);
            let (_, results) =
                runs(workspace, &binary, (scenario, &seeds), Some(bug), &[0, FAILED])?;
            let found = failures(&results).context("a result cannot be read")?;
            let first = found.iter().map(|(seed, _)| *seed).min();
            let told = match first {
                Some(first) => format!("{} of {}, first {first}", found.len(), self.seeds),
                None => format!("0 of {}", self.seeds),
            };
            println!("{bug}: {scenario} finds it in {told}");
            let text = std::fs::read_to_string(&path).context(DOCUMENT)?;
            let text = with_share(&text, bug, &told)
                .with_context(|| format!("{DOCUMENT} has no row for {bug}"))?;
            std::fs::write(&path, text).context(DOCUMENT)?;
        }
        Ok(())
    }
}

/// The document with this in the last column of a bug's row.
fn with_share(text: &str, bug: &str, told: &str) -> Option<String> {
    let begin = format!("| `{bug}` |");
    let mut found = false;
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.strip_suffix(" |").and_then(|row| row.rsplit_once(" | ")) {
            Some((row, _)) if line.starts_with(&begin) => {
                found = true;
                format!("{row} | {told} |")
            }
            _ => line.to_owned(),
        })
        .collect();
    found.then(|| lines.join("\n") + "\n")
}

/// Whether these arguments of `scenario` need a build that can plant bugs. Where in doubt they do: that build runs
/// everything else as well.
pub(crate) fn is_asked_for(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().map(|word| word.to_string_lossy());
    let replays = words.clone().next().is_some_and(|verb| verb == "replay");
    words.any(|word| {
        word == "--plant" || word.starts_with("--plant=") || (replays && is_planted_token(&word))
    })
}

/// A replay token ends in a checksum, unless the bugs planted in that run stand behind it.
fn is_planted_token(word: &str) -> bool {
    let checksum =
        |part: &str| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    word.rsplit_once(':').is_some_and(|(_, end)| !checksum(end))
}

/// Runs each planted bug's scenario with the bug, which must fail, and without, which must hold.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    for bug in listed(workspace)? {
        let found = PLANTED.iter().any(|planted| planted.bug == bug);
        ensure!(
            found,
            "no scenario is known to find the planted bug {bug}: add it to xtask/src/planted.rs"
        );
    }
    let binary = Binary::swarm_sim(true).build(workspace)?;
    let stores =
        ["--package", "swarm-store", "--features", "planted-bugs", "--test", "it", "planted"];
    run(workspace.cargo(["test", "--quiet"]).args(CHECKED).args(stores))?;
    let mut held = BTreeSet::new();
    for planted in PLANTED {
        let without = (planted.scenario, planted.seeds);
        if held.insert(without) {
            runs(workspace, &binary, without, None, &[0])?;
        }
        let found = find(workspace, &binary, planted)?;
        let Planted { bug, scenario, seeds, invariant } = planted;
        let told: Vec<String> =
            found.iter().map(|(seed, invariant)| format!("{seed} ({invariant})")).collect();
        println!(
            "{bug}: {invariant} finds it in {scenario}, seeds {seeds}, at {}; not seen without a fault",
            told.join(", ")
        );
    }
    readme::check(workspace, &binary)
}

/// The seeds of the runs that fail with the bug, and the invariant that each tells first.
fn find(
    workspace: &Workspace,
    binary: &Built,
    planted: &Planted,
) -> anyhow::Result<Vec<(u64, String)>> {
    let Planted { bug, scenario, seeds, invariant } = planted;
    runs(workspace, binary, (WITHOUT_FAULTS, seeds), Some(bug), &[0])?;
    let (told, results) = runs(workspace, binary, (scenario, seeds), Some(bug), &[FAILED])?;
    let found = failures(&results).context("a result cannot be read")?;
    ensure!(
        found.iter().any(|(_, first)| first == invariant),
        "{scenario} with {bug}: no run fails by the invariant '{invariant}' first, only {found:?}\n{told}",
    );
    Ok(found)
}

/// Runs a scenario with these seeds, which must end in one of these ways. What was told, and the results as JSON.
fn runs(
    workspace: &Workspace,
    binary: &Built,
    (scenario, seeds): (&str, &str),
    bug: Option<&str>,
    expected: &[i32],
) -> anyhow::Result<(String, String)> {
    let json = workspace.root().join("target").join("planted.json");
    let mut command = binary.command();
    command.current_dir(workspace.root()).args(["scenario", "run", scenario, "--seeds", seeds]);
    command.args(bug.iter().flat_map(|bug| ["--plant", bug])).arg("--json").arg(&json);
    let output = command.output()?;
    let status = output.status.code();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        status.is_some_and(|status| expected.contains(&status)),
        "{} ended with {status:?}, not with {expected:?}\n{told}{}",
        shown(&command),
        String::from_utf8_lossy(&output.stderr),
    );
    let results = std::fs::read_to_string(&json).with_context(|| json.display().to_string())?;
    Ok((told, results))
}

/// Seed and first invariant of every run that violated one.
fn failures(runs: &str) -> Option<Vec<(u64, String)>> {
    let runs: Value = serde_json::from_str(runs).ok()?;
    let mut found = Vec::new();
    for run in runs.as_array()? {
        if let Some(first) = run["violations"].as_array()?.first() {
            found.push((run["seed"].as_u64()?, first["invariant"].as_str()?.to_owned()));
        }
    }
    Some(found)
}

/// The names of all planted bugs, read from the source because nothing of ours is a dependency here.
fn listed(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let path = workspace.root().join("crates/swarm-env/src/planted.rs");
    let source = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let arms =
        source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let names: Vec<String> =
        arms.filter_map(|(_, rest)| Some(rest.split_once('"')?.0.to_owned())).collect();
    ensure!(!names.is_empty(), "no planted bug found in {}", path.display());
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_seeds_stands_in_the_last_column_of_the_row() {
        let text = "| bug | found in |\n| --- | --- |\n| `a-b` | *x*, y | 1 of 2 |\n| `a` | z | 3 of 4 |\nend\n";
        let written = with_share(text, "a", "9 of 100, first 7").expect("its row");
        assert_eq!(written, text.replace("3 of 4", "9 of 100, first 7"));
        assert_eq!(with_share(text, "b", "none"), None);
    }

    #[test]
    fn a_failure_is_known_by_its_seed_and_the_invariant_told_first() {
        let runs = r#"[
            {"seed": 21, "violations": []},
            {"seed": 22, "violations": [{"invariant": "durable"}, {"invariant": "tidy"}]},
            {"seed": 7, "violations": [{"invariant": "tidy"}]}
        ]"#;
        let found = failures(runs).expect("readable");
        assert_eq!(found, [(22, "durable".to_owned()), (7, "tidy".to_owned())]);
        assert_eq!(failures("[{}]"), None, "a result without violations is no result");
    }

    #[test]
    fn only_a_plant_needs_the_other_build() {
        let asked =
            |line: &str| is_asked_for(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(asked("run --all --plant forget-tombstones"));
        assert!(asked("run a --plant=forget-tombstones"));
        assert!(asked("replay rot:7:0000abcd:ack-before-sync"));
        assert!(!asked("replay rot:7:0000abcd"));
        assert!(!asked("run planted-trees.toml --seed 3"));
        assert!(!asked("list"));
    }
}
