//! The `swarm-sim` binary: `swarm-sim scenario …` and `swarm-sim cluster …`.
//!
//! Owns the command line and the exit status. What the commands do is in the crates below.
#![expect(clippy::print_stderr, reason = "a command line talks to its user through it")]

mod cluster;
mod say;
mod scenario;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// A tenth of a scenario is spent on memory: tasks, bodies and messages that live for a moment.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

/// Simulated Swarm clusters: scenarios that break them, and live ones to develop against.
#[derive(Parser)]
#[command(name = "swarm-sim", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run, list, check and replay scenarios.
    #[command(subcommand, after_help = scenario::WHERE)]
    Scenario(scenario::Command),
    /// Run clusters on this machine, on real sockets and files.
    #[command(subcommand)]
    Cluster(cluster::Command),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Scenario(command) => command.run(),
        Command::Cluster(command) => command.run(),
    }
}
