//! Every check that a change has to pass, cheapest first. Each is also a command of its own.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::binary::Binary;
use crate::cargo::{CHECKED, Workspace, output, run};
use crate::{planted, tidy};

/// What all of it should take at most on two cores with an empty target folder.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// The seed whose trace is compared between the profiles.
const TRACE_SEED: &str = "1";

/// The scenario whose trace is compared between the profiles.
const TRACE_SCENARIO: &str = "rolling-restart";

/// Seeds of every scenario.
const SCENARIO_SEEDS: &str = "0..3";

/// Seeds of scenarios that are drawn.
const DRAWN_SEEDS: &str = "0..60";

/// A run of the gate has no more operations.
const OPERATIONS_MAX: u64 = 3_000;

/// The bodies that its clients send are no more bytes.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Seconds of fuzzing beyond the fixed cases.
const FUZZ_SECONDS: &str = "20";

/// Run every check that a change has to pass, in the order of their cost.
#[derive(clap::Args)]
pub(crate) struct Ci {
    /// Run only the parts whose name contains this.
    only: Option<String>,
}

struct Part {
    name: &'static str,
    check: fn(&Workspace) -> anyhow::Result<()>,
}

const PARTS: &[Part] = &[
    Part { name: "format", check: format },
    Part { name: "tidy", check: tidy::check },
    Part { name: "clippy", check: clippy },
    Part { name: "docs", check: docs },
    Part { name: "tests", check: |workspace| workspace.test(&[]) },
    Part { name: "fuzz", check: fuzz },
    Part { name: "same trace in both profiles", check: traces },
    Part { name: "scenarios twice", check: scenarios },
    Part { name: "drawn scenarios", check: drawn },
    Part { name: "planted bugs", check: planted::check },
];

impl Ci {
    /// Stops at the first part that fails, and says how long each took.
    pub(crate) fn run(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let chosen = |part: &&Part| self.only.as_ref().is_none_or(|word| part.name.contains(word));
        let parts: Vec<&Part> = PARTS.iter().filter(chosen).collect();
        ensure!(!parts.is_empty(), "there is no such part");
        let begun = Instant::now();
        let mut took = Vec::new();
        for part in parts {
            println!("== {}", part.name);
            let begun = Instant::now();
            (part.check)(workspace).with_context(|| format!("ci stopped at: {}", part.name))?;
            took.push((part.name, begun.elapsed()));
        }
        println!("== all passed");
        for (name, time) in &took {
            println!("{:>6.0} s  {name}", time.as_secs_f64());
        }
        let total = begun.elapsed();
        println!("{:>6.0} s  in all", total.as_secs_f64());
        // The hours of a shared machine differ by a quarter and more: said, and no reason to fail.
        if total > LIMIT {
            println!("that is over {} minutes: make it faster", LIMIT.as_secs() / 60);
        }
        Ok(())
    }
}

fn format(workspace: &Workspace) -> anyhow::Result<()> {
    run(&mut workspace.cargo(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cargo = workspace.cargo(["clippy", "--workspace", "--all-targets", "--quiet"]);
    run(cargo.args(["--", "-D", "warnings"]))
}

fn docs(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cargo = workspace.cargo(["doc", "--workspace", "--no-deps", "--quiet"]);
    run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

fn fuzz(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cargo = workspace.cargo(["test", "--package", "swarm-http"]);
    // The number of executions is printed by a test that passes.
    cargo.args(CHECKED).args(["--test", "fuzz", "--", "--nocapture"]);
    run(cargo.env("SWARM_FUZZ_SECONDS", FUZZ_SECONDS))
}

/// The same seed gives the same trace with and without optimisation: of the kernel alone, and of a whole scenario with
/// every layer in it.
fn traces(workspace: &Workspace) -> anyhow::Result<()> {
    let kernel = |profile: &[&str]| {
        let mut cargo = workspace.cargo(["run", "--quiet", "--package", "swarm-sim"]);
        output(cargo.args(profile).args(["--example", "trace_hash", "--", TRACE_SEED]))
    };
    let json = workspace.root().join("target").join("trace.json");
    let whole = |profile: &[&str]| {
        let mut cargo = workspace.cargo(["run", "--quiet", "--package", "swarm-cli"]);
        cargo.args(profile).args(["--", "scenario", "run", TRACE_SCENARIO, "--seed", TRACE_SEED]);
        run(cargo.arg("--json").arg(&json).current_dir(workspace.root()))?;
        let printed = std::fs::read_to_string(&json).with_context(|| json.display().to_string())?;
        let hash = printed.lines().find(|line| line.contains("\"trace_hash\""));
        hash.map(|line| line.trim().to_owned()).context("the run printed no trace hash")
    };
    same("the kernel", &kernel(&[])?, &kernel(&CHECKED)?)?;
    same(TRACE_SCENARIO, &whole(&[])?, &whole(&CHECKED)?)
}

fn same(what: &str, plain: &str, checked: &str) -> anyhow::Result<()> {
    let (plain, checked) = (plain.trim(), checked.trim());
    ensure!(!plain.is_empty(), "{what}: no trace hash was printed");
    ensure!(plain == checked, "{what}, seed {TRACE_SEED}: {plain} in dev, {checked} in checked");
    println!("{what}, seed {TRACE_SEED}: {plain}");
    Ok(())
}

fn scenarios(workspace: &Workspace) -> anyhow::Result<()> {
    let json = workspace.root().join("target").join("scenarios.json");
    let mut command = Binary::swarm_sim(false).build(workspace)?.command();
    command.current_dir(workspace.root());
    command.args(["scenario", "run", "--all", "--seeds", SCENARIO_SEEDS, "--twice"]);
    run(command.arg("--json").arg(&json))?;
    let results = std::fs::read_to_string(&json).with_context(|| json.display().to_string())?;
    let too_large = too_large(&results)?;
    ensure!(
        too_large.is_empty(),
        "more than {OPERATIONS_MAX} operations or {BODY_BYTES_MAX} bytes of bodies in a run of the gate: {}",
        too_large.join(", ")
    );
    Ok(())
}

fn drawn(workspace: &Workspace) -> anyhow::Result<()> {
    let mut command = Binary::swarm_sim(false).build(workspace)?.command();
    command.current_dir(workspace.root());
    run(command.args(["scenario", "explore", "--seeds", DRAWN_SEEDS]))
}

/// The runs among these results that have more operations, or more bytes of bodies, than a run of the gate may have.
fn too_large(results: &str) -> anyhow::Result<Vec<String>> {
    let results: Vec<serde_json::Value> = serde_json::from_str(results)?;
    let mut found = Vec::new();
    for result in &results {
        for (what, most) in [("operations", OPERATIONS_MAX), ("body_bytes", BODY_BYTES_MAX)] {
            let count = result[what].as_u64().with_context(|| format!("a run without {what}"))?;
            if count > most {
                let scenario = result["scenario"].as_str().unwrap_or_default();
                found.push(format!("{scenario} seed {}: {count} {what}", result["seed"]));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_with_more_operations_than_the_gate_allows_is_told() {
        let results = r#"[
            { "scenario": "rot", "seed": 1, "operations": 3000, "body_bytes": 67108864 },
            { "scenario": "kill", "seed": 2, "operations": 3001, "body_bytes": 1 },
            { "scenario": "rot", "seed": 3, "operations": 1, "body_bytes": 67108865 }
        ]"#;
        assert_eq!(
            too_large(results).expect("reads"),
            ["kill seed 2: 3001 operations", "rot seed 3: 67108865 body_bytes"]
        );
        assert!(too_large(r#"[{ "scenario": "rot", "seed": 1 }]"#).is_err());
        assert!(too_large("{}").is_err(), "a list is expected");
    }
}
