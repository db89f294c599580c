//! The project's one command: `cargo xtask …`.
//!
//! Builds and starts the binaries, and runs every check that the project has. Knows nothing of what the binaries do:
//! `scenario`, `cluster` and `bench` hand their arguments on unread, but for a planted bug, which needs a build of its
//! own. Depends on nothing of ours, so that it compiles in seconds.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a build tool runs on the developer's machine and talks to the developer"
)]

mod binary;
mod cargo;
mod ci;
mod planted;
mod readme;
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::binary::Binary;
use crate::cargo::Workspace;

/// The one command of swarm-sim.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run, list, check and replay scenarios.
    #[command(disable_help_flag = true)]
    Scenario(HandedOn),
    /// Start a live cluster and look after it.
    #[command(disable_help_flag = true)]
    Cluster(HandedOn),
    /// Measure: `bench sim`, `bench health`, `bench feeds`, `bench live-feeds`.
    #[command(disable_help_flag = true)]
    Bench(HandedOn),
    /// Run all tests, optimised and with every assertion; further arguments go to `cargo test`.
    Test(HandedOn),
    /// Run every check that a change has to pass, in the order of their cost.
    Ci(ci::Ci),
    /// Check what the compiler does not: layers, module docs, lint opt-in, words that go around the seam.
    Tidy(tidy::Tidy),
    /// Measure in how many seeds each planted bug is found, and write it into docs/planted-bugs.md.
    Planted(planted::Measure),
    /// Compare the output of the README's failing scenario with what its command prints now.
    Readme(readme::Readme),
}

/// Arguments that are for somebody else.
#[derive(clap::Args)]
struct HandedOn {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl HandedOn {
    /// The arguments behind a verb that the binary knows too.
    fn after(mut self, verb: &str) -> Vec<OsString> {
        self.arguments.insert(0, verb.into());
        self.arguments
    }
}

/// Exit status of a scenario whose harness failed; 1 would say that an invariant did.
const HARNESS_FAILED: u8 = 3;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runs_a_scenario = matches!(command, Command::Scenario(_));
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if runs_a_scenario { ExitCode::from(HARNESS_FAILED) } else { ExitCode::FAILURE }
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Scenario(scenario) => {
            let planted = planted::is_asked_for(&scenario.arguments);
            let binary = Binary::swarm_sim(planted).build(&workspace)?;
            binary.replace_self(&scenario.after("scenario"))
        }
        Command::Cluster(cluster) => {
            let binary = Binary::swarm_sim(false).build(&workspace)?;
            binary.replace_self(&cluster.after("cluster"))
        }
        Command::Bench(bench) => {
            Binary::swarm_bench().build(&workspace)?.replace_self(&bench.arguments)
        }
        Command::Test(more) => workspace.test(&more.arguments),
        Command::Ci(ci) => ci.run(&workspace),
        Command::Tidy(tidy) => tidy.run(&workspace),
        Command::Planted(measure) => measure.run(&workspace),
        Command::Readme(readme) => readme.run(&workspace),
    }
}
