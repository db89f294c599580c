//! Which scenario finds which planted bug: the proof that the scenarios would notice.

use std::ffi::OsString;

use anyhow::{Context, ensure};

use crate::binary::Binary;
use crate::cargo::{CHECKED, Workspace, run, shown};

/// A planted bug, and a run that must fail with it and hold without it.
struct Planted {
    bug: &'static str,
    scenario: &'static str,
    seed: &'static str,
}

/// One line for every bug in `swarm-env`'s list.
const PLANTED: &[Planted] = &[
    Planted { bug: "ack-before-sync", scenario: "power-loss", seed: "0" },
    Planted { bug: "forget-tombstones", scenario: "power-loss", seed: "0" },
    Planted { bug: "serve-unverified", scenario: "rot", seed: "0" },
    Planted { bug: "clock-only-version", scenario: "split-clocks", seed: "0" },
    Planted { bug: "delete-here-only", scenario: "rolling-restart", seed: "0" },
];

/// The scenario in which nothing fails: no planted bug may show there, or it would prove nothing about faults.
const WITHOUT_FAULTS: &str = "plain-writes";

/// Exit status of a run in which an invariant or an expectation failed.
const FAILED: i32 = 1;

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
    for Planted { bug, scenario, seed } in PLANTED {
        let runs =
            [(scenario, Some(bug), FAILED), (scenario, None, 0), (&WITHOUT_FAULTS, Some(bug), 0)];
        for (scenario, plant, expected) in runs {
            let mut command = binary.command();
            command
                .current_dir(workspace.root())
                .args(["scenario", "run", scenario, "--seed", seed]);
            command.args(plant.iter().flat_map(|bug| ["--plant", bug]));
            let output = command.output()?;
            let status = output.status.code();
            ensure!(
                status == Some(expected),
                "{} ended with {status:?}, not with {expected}\n{}{}",
                shown(&command),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
        }
        println!("{bug}: found by {scenario}, seed {seed}; not seen without a fault");
    }
    Ok(())
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
