//! `scenario explore`: draws scenarios, runs them, keeps those that fail.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use swarm_scenario::explore::drawn;
use swarm_scenario::report::{RunReport, Verdict};

use super::WRONG;
use super::batch::{self, Job};
use super::run::{
    HARNESS, check_planted, drawn_seed, seed_range, start_log, status, tell_failures,
};
use crate::say::say;

/// How many are drawn where nobody says so.
const RUNS: u64 = 100;

#[derive(clap::Args)]
pub(crate) struct Explore {
    /// Seeds from A to B, without B: `A..B`. Each draws a scenario and runs it; 100 from one that is drawn if left out.
    #[arg(long, value_parser = seed_range)]
    seeds: Option<(u64, u64)>,
    /// Print what is drawn, and run nothing.
    #[arg(long)]
    print: bool,
    /// The folder that the files of those that fail are kept in; made when the first one fails.
    #[arg(long, value_name = "DIR", default_value = "target/explored")]
    keep: PathBuf,
    /// Run everything twice and compare the traces.
    #[arg(long)]
    twice: bool,
    /// Switch on a planted bug; may be given more than once.
    #[arg(long, value_name = "BUG")]
    plant: Vec<String>,
    /// How many runs go on at once; one per processor if not given.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// What is logged, such as `swarm_node=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Explore {
    pub(crate) fn run(self) -> ExitCode {
        if let Err(why) = check_planted(&self.plant) {
            eprintln!("--plant: {why}");
            return ExitCode::from(WRONG);
        }
        if let Err(why) = start_log(self.log.as_deref(), None) {
            eprintln!("--log: {why}");
            return ExitCode::from(WRONG);
        }
        let (from, to) = self.seeds.unwrap_or_else(|| {
            let seed = u64::from(drawn_seed());
            let seeds = (seed, seed + RUNS);
            if !self.print {
                say!("seeds {}..{}", seeds.0, seeds.1);
            }
            seeds
        });
        let mut jobs = Vec::new();
        let mut texts = Vec::new();
        for seed in from..to {
            let path = self.keep.join(format!("drawn-{seed}.toml"));
            let (loaded, text) = match drawn(seed, &path.to_string_lossy()) {
                Ok(drawn) => drawn,
                Err(problems) => {
                    problems.iter().for_each(|problem| eprintln!("{problem}"));
                    return ExitCode::from(HARNESS);
                }
            };
            let (loaded, plant) = (Arc::new(loaded), self.plant.clone());
            jobs.push(Job { loaded, seed, plant, twice: self.twice, trace: None, live: None });
            texts.push((path, text));
        }
        if self.print {
            texts.iter().for_each(|(_, text)| say!("{text}"));
            return ExitCode::SUCCESS;
        }
        self.carry_out(&jobs, &texts)
    }

    fn carry_out(&self, jobs: &[Job], texts: &[(PathBuf, String)]) -> ExitCode {
        let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = self.jobs.unwrap_or(processors).get();
        // Kept at once: whoever is interrupted has what was found until then.
        let reports = batch::run_all(jobs, threads, |number, report| {
            if report.verdict == Verdict::Held {
                return;
            }
            let (path, text) = &texts[number];
            if let Err(error) = keep(path, text) {
                eprintln!("{}: {error}", path.display());
            }
        });
        tell_failures(&reports, false);
        let failed = |report: &&RunReport| report.verdict != Verdict::Held;
        let failures = reports.iter().filter(failed).count();
        let operations: u64 = reports.iter().map(|report| report.operations).sum();
        say!(
            "\n{} of {} held, {operations} operations{}",
            reports.len() - failures,
            jobs.len(),
            kept(failures, &self.keep)
        );
        if reports.len() < jobs.len() {
            return ExitCode::from(HARNESS);
        }
        ExitCode::from(status(&reports, false))
    }
}

fn kept(failures: usize, folder: &Path) -> String {
    match failures {
        0 => String::new(),
        1 => format!("; the file of the other one is in {}", folder.display()),
        _ => format!("; the files of the others are in {}", folder.display()),
    }
}

fn keep(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
