//! Benchmarks: `cargo xtask bench sim`, `bench health`, `bench feeds` and `bench live-feeds`.
//!
//! Owns what is measured and the targets; the product measures nothing of itself. Wall time on a shared machine says
//! little, so what can be is a ratio between two sides of one run, and each figure is the median or the best of several
//! rounds.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark measures real time, on a runtime of its own, for a reader at a terminal"
)]

mod codec;
mod feeds;
mod healing;
mod kernel;
mod live;
mod report;
mod rounds;
mod worlds;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

use crate::report::Report;

/// A tenth of a scenario is spent on memory: tasks, bodies and messages that live for a moment.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

/// Benchmarks of swarm-sim.
#[derive(Parser)]
#[command(name = "cargo xtask bench", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The simulated world and the codec.
    Sim(Wanted),
    /// What healing costs: walks, quiet stretches, recoveries.
    Health(Wanted),
    /// What feeds cost: a backlog, SENDs.
    Feeds(Wanted),
    /// What a feed does on real sockets and files.
    LiveFeeds(Wanted),
}

#[derive(clap::Args)]
struct Wanted {
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
    /// Measure only the figures whose name contains this.
    only: Option<String>,
}

/// A group of figures that are measured together; the names decide whether it is asked for.
type Group = (&'static [&'static str], fn(&mut Report) -> anyhow::Result<()>);

/// All recoveries, each of which the ratios need.
const RECOVERY: &[&str] = &[
    healing::RECOVERIES[0],
    healing::RECOVERIES[1],
    healing::RECOVERIES[2],
    healing::RECOVERIES[3],
    healing::FASTER[0],
    healing::FASTER[1],
    healing::FASTER[2],
];

/// The start of large worlds comes first: it reads the peak memory of the process.
const SIM: &[Group] = &[
    (&[worlds::START, worlds::START_MEMORY], worlds::start),
    (&[worlds::IDLE], worlds::idle),
    (&[worlds::WRITE], worlds::write),
    (&[codec::READ, codec::WRITE], codec::measure),
    (&[kernel::UNTRACED, kernel::TRACED], kernel::measure),
];

const HEALTH: &[Group] = &[
    (&[healing::CYCLE], healing::cycle),
    (&[healing::SKIP], healing::skip),
    (RECOVERY, healing::recovery),
];

const FEEDS: &[Group] = &[
    (&[feeds::DRAIN], feeds::drain),
    (&[feeds::SEND_MEDIAN, feeds::SEND_WORST, feeds::SEND_REST], feeds::send),
];

const LIVE_FEEDS: &[Group] = &[(&[live::RATIO], live::feeds)];

fn main() -> ExitCode {
    let run = match Cli::parse().command {
        Command::Sim(wanted) => wanted.run(SIM),
        Command::Health(wanted) => wanted.run(HEALTH),
        Command::Feeds(wanted) => wanted.run(FEEDS),
        Command::LiveFeeds(wanted) => wanted.run(LIVE_FEEDS),
    };
    match run {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Wanted {
    /// Succeeds if every figure measured meets its target.
    fn run(&self, groups: &[Group]) -> anyhow::Result<ExitCode> {
        let wanted =
            |name: &&str| self.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
        let groups: Vec<&Group> =
            groups.iter().filter(|(names, _)| names.iter().any(wanted)).collect();
        anyhow::ensure!(!groups.is_empty(), "there is no such figure");
        let mut report = Report::default();
        for (_, measure) in groups {
            measure(&mut report)?;
        }
        if self.json {
            println!("{}", report.json()?);
        } else {
            print!("{report}");
        }
        Ok(if report.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
