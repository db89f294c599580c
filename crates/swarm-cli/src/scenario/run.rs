//! `scenario run` and `scenario replay`: which runs, on how many threads, and what is said of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rand::{RngCore, SeedableRng};
use swarm_cluster::log::Reports;
use swarm_cluster::sim::{CAN_PLANT, planted_names};
use swarm_scenario::catalogue::Loaded;
use swarm_scenario::junit::junit;
use swarm_scenario::language;
use swarm_scenario::report::{RunReport, Verdict};
use swarm_scenario::token::Token;
use tracing::Dispatch;

use super::batch::{self, Job};
use super::{WRONG, catalogue, load_all};

use crate::say::say;

/// The harness failed, or a fault never bit.
pub(super) const HARNESS: u8 = 3;
/// Failures of one scenario that are told in full.
const TOLD_MAX: usize = 2;

#[derive(clap::Args)]
pub(crate) struct Run {
    /// Files or names of scenarios.
    scenarios: Vec<String>,
    /// All scenarios of the project.
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// Only scenarios with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// The seed; drawn and printed if none is given.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Seeds from A to B, without B: `A..B`.
    #[arg(long, value_parser = seed_range)]
    seeds: Option<(u64, u64)>,
    /// Run everything twice and compare the traces.
    #[arg(long)]
    twice: bool,
    /// Run on live clusters of this machine: real sockets, files and time, one run after another.
    #[arg(long, conflicts_with_all = ["twice", "jobs"])]
    live: bool,
    /// Switch on a planted bug; may be given more than once.
    #[arg(long, value_name = "BUG")]
    plant: Vec<String>,
    /// How many runs go on at once; one per processor if not given.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Write the results as JSON: one object for one run, else a list.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write junit.xml, and result.json and trace.txt of every run, into this folder.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// What is logged, such as `swarm_node=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct Replay {
    /// The token that a failure printed.
    token: String,
    /// Write junit.xml, result.json and trace.txt into this folder.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// What is logged, such as `swarm_node=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

pub(super) fn seed_range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("write it like 0..100")?;
    let number =
        |text: &str| text.trim().parse::<u64>().map_err(|_| format!("{text:?} is no seed"));
    let (from, to) = (number(from)?, number(to)?);
    if from < to { Ok((from, to)) } else { Err("the range holds no seed".to_owned()) }
}

impl Run {
    pub(crate) fn run(self) -> ExitCode {
        if self.scenarios.is_empty() && !self.all && self.tag.is_none() {
            eprintln!("which scenario? give files or names, --tag or --all");
            return ExitCode::from(WRONG);
        }
        if let Err(why) = check_planted(&self.plant) {
            eprintln!("--plant: {why}");
            return ExitCode::from(WRONG);
        }
        let live = self.live.then(Reports::default);
        if let Err(why) = start_log(self.log.as_deref(), live.as_ref()) {
            eprintln!("--log: {why}");
            return ExitCode::from(WRONG);
        }
        let Some(scenarios) = self.load() else { return ExitCode::from(WRONG) };
        if !may_run(&scenarios, self.live) {
            return ExitCode::from(WRONG);
        }
        let (from, to) = self.seeds.unwrap_or_else(|| {
            let seed = self.seed.unwrap_or_else(|| {
                let seed = u64::from(drawn_seed());
                say!("seed {seed}");
                seed
            });
            (seed, seed.saturating_add(1))
        });
        let mut jobs = Vec::new();
        for loaded in &scenarios {
            for seed in from..to {
                let trace =
                    self.report.as_ref().map(|dir| run_folder(dir, loaded, seed).join("trace.txt"));
                jobs.push(Job {
                    loaded: Arc::clone(loaded),
                    seed,
                    plant: self.plant.clone(),
                    twice: self.twice,
                    trace,
                    live: live.clone(),
                });
            }
        }
        // Before the runs: their results are worth too much to be lost to a path that was mistyped.
        let json = match self.json.as_deref().map(Output::open).transpose() {
            Ok(json) => json,
            Err(why) => {
                eprintln!("--json: {why}");
                return ExitCode::from(WRONG);
            }
        };
        // Live runs share the machine: side by side they would wait for each other.
        let threads = if self.live { Some(NonZeroUsize::MIN) } else { self.jobs };
        carry_out(&scenarios, &jobs, threads, json, self.report.as_deref())
    }

    fn load(&self) -> Option<Vec<Arc<Loaded>>> {
        let mut scenarios = Vec::new();
        let mut wrong = false;
        for loaded in load_all(&self.scenarios) {
            match loaded {
                Ok(loaded) => scenarios.push(Arc::new(loaded)),
                Err(error) => {
                    eprintln!("{error}");
                    wrong = true;
                }
            }
        }
        if let Some(tag) = &self.tag {
            scenarios.retain(|loaded| loaded.scenario.tags.contains(tag));
        }
        if scenarios.is_empty() && !wrong {
            eprintln!("no scenario matches");
            return None;
        }
        (!wrong).then_some(scenarios)
    }
}

impl Replay {
    pub(crate) fn run(self) -> ExitCode {
        let token: Token = match self.token.parse() {
            Ok(token) => token,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(WRONG);
            }
        };
        if let Err(why) = check_planted(&token.plant) {
            eprintln!("{}: {why}", self.token);
            return ExitCode::from(WRONG);
        }
        if let Err(why) = start_log(self.log.as_deref(), None) {
            eprintln!("--log: {why}");
            return ExitCode::from(WRONG);
        }
        let loaded = match catalogue().load(&token.scenario) {
            Ok(loaded) => Arc::new(loaded),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(WRONG);
            }
        };
        if loaded.checksum != token.checksum {
            eprintln!("{} has changed since: this may be another run", loaded.path);
        }
        let trace =
            self.report.as_ref().map(|dir| run_folder(dir, &loaded, token.seed).join("trace.txt"));
        let job = Job {
            loaded: Arc::clone(&loaded),
            seed: token.seed,
            plant: token.plant,
            twice: false,
            trace,
            live: None,
        };
        carry_out(&[loaded], &[job], Some(NonZeroUsize::MIN), None, self.report.as_deref())
    }
}

/// Whether all of these can be run in that kind of world; tells what cannot.
fn may_run(scenarios: &[Arc<Loaded>], live: bool) -> bool {
    let of = |loaded: &'_ Arc<Loaded>| {
        let scenario = &loaded.scenario;
        if live { scenario.not_live.clone() } else { scenario.only_live.clone() }
    };
    let problems: Vec<_> = scenarios.iter().flat_map(of).collect();
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    problems.is_empty()
}

/// Whether every one of these bugs can be planted; if not, the sentence that says so.
pub(super) fn check_planted(names: &[String]) -> Result<(), String> {
    let known: Vec<&str> = planted_names().collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let meant = language::nearest(unknown, known.iter().copied())
            .map(|name| format!("; did you mean `{name}`?"))
            .unwrap_or_default();
        return Err(format!("no planted bug `{unknown}` (there are {}){meant}", known.join(", ")));
    }
    if !names.is_empty() && !CAN_PLANT {
        return Err("this build cannot plant bugs: it lacks the feature planted-bugs \
                    (cargo xtask scenario has one that can)"
            .to_owned());
    }
    Ok(())
}

/// A file for results, open since before the runs.
pub(super) struct Output<'p> {
    path: &'p Path,
    file: File,
}

impl<'p> Output<'p> {
    fn open(path: &'p Path) -> Result<Self, String> {
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, file })
    }

    fn write(mut self, value: &serde_json::Value) -> Result<(), String> {
        let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
        writeln!(self.file, "{text}").map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// A seed that is short enough to be read aloud.
#[expect(
    clippy::disallowed_methods,
    reason = "a seed that nobody gave is the one thing that no seed decides"
)]
pub(super) fn drawn_seed() -> u32 {
    rand::rngs::StdRng::from_os_rng().next_u32()
}

fn run_folder(dir: &Path, loaded: &Loaded, seed: u64) -> PathBuf {
    dir.join(format!("{}-{seed}", loaded.scenario.name))
}

/// Shows the lines that pass the filter, and keeps what live nodes report.
pub(super) fn start_log(filter: Option<&str>, reports: Option<&Reports>) -> Result<(), String> {
    let mut shown = Dispatch::none();
    if let Some(filter) = filter {
        let filter =
            tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        // Wall time says nothing about a simulated run: the stamp is the node's own time.
        shown = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_timer(swarm_cluster::log::Stamp)
            .with_writer(std::io::stderr)
            .finish()
            .into();
    }
    let dispatch = reports.map_or(shown.clone(), |reports| reports.beside(shown));
    if filter.is_some() || reports.is_some() {
        tracing::dispatcher::set_global_default(dispatch).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn carry_out(
    scenarios: &[Arc<Loaded>],
    jobs: &[Job],
    threads: Option<NonZeroUsize>,
    json: Option<Output<'_>>,
    report: Option<&Path>,
) -> ExitCode {
    for job in jobs {
        if let Some(folder) = job.trace.as_ref().and_then(|trace| trace.parent())
            && let Err(error) = std::fs::create_dir_all(folder)
        {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::from(WRONG);
        }
    }
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let single = jobs.len() == 1;
    let reports = batch::run_all(jobs, threads.unwrap_or(processors).get(), |_, report| {
        if single {
            say!("{}", report.line());
        }
    });
    tell_failures(&reports, single);
    if !single {
        table(scenarios, &reports);
    }
    if let Err(error) = write_results(jobs, &reports, json, report) {
        eprintln!("{error}");
        return ExitCode::from(HARNESS);
    }
    let inert = inert_steps(scenarios, &reports);
    for line in &inert {
        eprintln!("{line}");
    }
    if reports.len() < jobs.len() {
        eprintln!("{} runs brought no result", jobs.len() - reports.len());
        return ExitCode::from(HARNESS);
    }
    ExitCode::from(status(&reports, !inert.is_empty()))
}

/// The gravest verdict decides: a harness that failed has judged nothing, a wrong scenario hardly anything.
pub(super) fn status(reports: &[RunReport], inert: bool) -> u8 {
    let has = |status: u8| reports.iter().any(|report| report.verdict.exit_status() == status);
    [HARNESS, WRONG, 1, 4].into_iter().find(|status| has(*status)).unwrap_or(if inert {
        HARNESS
    } else {
        0
    })
}

/// Tells the first failures of each scenario; the line of a single run has been printed already.
pub(super) fn tell_failures(reports: &[RunReport], single: bool) {
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for report in reports.iter().filter(|report| report.verdict != Verdict::Held) {
        let count = told.entry(&report.scenario).or_insert(0);
        *count += 1;
        if *count > TOLD_MAX {
            continue;
        }
        if !single {
            say!("\n{}", report.line());
        }
        // What is wrong with a scenario stands in its line, and repeating it would not change it.
        if !matches!(report.verdict, Verdict::Wrong(_)) {
            report.told().iter().for_each(|line| say!("{line}"));
        }
    }
}

fn table(scenarios: &[Arc<Loaded>], reports: &[RunReport]) {
    say!(
        "\n{:<28} {:>6} {:>6} {:>9} {:>12} {:>10}  failed seeds",
        "scenario",
        "held",
        "failed",
        "effects",
        "operations",
        "wall/run"
    );
    for loaded in scenarios {
        let name = &loaded.scenario.name;
        let of: Vec<&RunReport> =
            reports.iter().filter(|report| report.scenario == *name).collect();
        let held = of.iter().filter(|report| report.verdict == Verdict::Held).count();
        let failed: Vec<String> = of
            .iter()
            .filter(|report| report.verdict != Verdict::Held)
            .map(|report| report.seed.to_string())
            .collect();
        let effects: u64 =
            of.iter().flat_map(|report| &report.faults).map(|fault| fault.effects).sum();
        let operations: u64 = of.iter().map(|report| report.operations).sum();
        let wall: u128 = of.iter().map(|report| report.wall.as_millis()).sum();
        let runs = of.len().max(1);
        say!(
            "{name:<28} {held:>6} {:>6} {effects:>9} {:>12} {:>8}ms  {}",
            failed.len(),
            operations / runs as u64,
            wall / runs as u128,
            shortened(&failed)
        );
    }
}

fn shortened(seeds: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text = seeds.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(" ");
    if seeds.len() > SHOWN {
        text.push_str(" …");
    }
    text
}

/// Steps that are meant to change something and changed nothing in any seed.
fn inert_steps(scenarios: &[Arc<Loaded>], reports: &[RunReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for loaded in scenarios {
        let scenario = &loaded.scenario;
        let of: Vec<&RunReport> =
            reports.iter().filter(|report| report.scenario == scenario.name).collect();
        // Runs that did not come to their end say nothing about their faults.
        if of.iter().any(|report| !matches!(report.verdict, Verdict::Held | Verdict::Failed)) {
            continue;
        }
        for (number, step) in scenario.steps.iter().enumerate() {
            let bit = of
                .iter()
                .flat_map(|report| &report.faults)
                .any(|fault| fault.step == number && fault.effects > 0);
            if step.verb.must_bite() && !step.may_be_inert && !bit {
                lines.push(format!(
                    "{}:{}: `{}` never bit in {} runs (inert = \"allow\" lifts this)",
                    loaded.path,
                    step.line,
                    step.label(),
                    of.len()
                ));
            }
        }
    }
    lines
}

fn write_results(
    jobs: &[Job],
    reports: &[RunReport],
    json: Option<Output<'_>>,
    report: Option<&Path>,
) -> Result<(), String> {
    if let Some(output) = json {
        let values: Vec<_> = reports.iter().map(RunReport::json).collect();
        match values.as_slice() {
            [one] => output.write(one)?,
            many => output.write(&serde_json::Value::Array(many.to_vec()))?,
        }
    }
    if let Some(dir) = report {
        for (job, report) in jobs.iter().zip(reports) {
            let path = run_folder(dir, &job.loaded, job.seed).join("result.json");
            Output::open(&path)?.write(&report.json())?;
        }
        let path = dir.join("junit.xml");
        std::fs::write(&path, junit(reports))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_without_its_end() {
        assert_eq!(seed_range("0..100"), Ok((0, 100)));
        assert!(seed_range("5..5").is_err());
        assert!(seed_range("5").is_err());
        assert!(seed_range("a..b").is_err());
    }

    #[test]
    fn a_mistyped_bug_is_told_the_name_that_is_meant_and_all_names() {
        assert_eq!(check_planted(&[]), Ok(()));
        let why = check_planted(&["ack-before-snyc".to_owned()]).expect_err("mistyped");
        assert!(why.contains("did you mean `ack-before-sync`?"), "{why}");
        assert!(planted_names().all(|name| why.contains(name)), "{why}");
        let known = check_planted(&["ack-before-sync".to_owned()]);
        assert_eq!(known.is_ok(), CAN_PLANT);
    }
}
