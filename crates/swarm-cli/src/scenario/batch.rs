//! Many runs side by side: one thread a run, results in the order of the jobs.
//!
//! Owns the threads, the wall clock and the watchdog. Each run is a function of its scenario and seed alone, so it does
//! not matter which thread takes which.
#![expect(
    clippy::disallowed_methods,
    reason = "the command line runs on the user's machine: it needs its clock and its threads"
)]

use std::any::Any;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use swarm_cluster::log::Reports;
use swarm_scenario::Progress;
use swarm_scenario::catalogue::Loaded;
use swarm_scenario::live::run_live;
use swarm_scenario::report::{RunReport, Verdict};
use swarm_scenario::simulate::{Options, simulate};

/// How often the watchdog looks, and the progress line is drawn anew.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a line of progress is written where there is no terminal to draw it on: a log stays readable.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// A run that does not end so long after it was told to will not end at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is left of a live run is given this long to go.
const ENDING: Duration = Duration::from_secs(5);

/// One run to do.
pub(crate) struct Job {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) seed: u64,
    pub(crate) plant: Vec<String>,
    /// Run it twice and compare.
    pub(crate) twice: bool,
    /// Where its trace goes.
    pub(crate) trace: Option<PathBuf>,
    /// On live clusters, which have no trace; here the process keeps what they report.
    pub(crate) live: Option<Reports>,
}

/// A run under way.
struct Running {
    job: usize,
    began: Instant,
    abort: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

/// Runs all jobs on so many threads; `done` is called with each result as it comes.
///
/// A run that cannot be ended ends the process, with the status of an inconclusive one.
pub(crate) fn run_all(
    jobs: &[Job],
    threads: usize,
    done: impl Fn(usize, &RunReport) + Sync,
) -> Vec<RunReport> {
    let next = AtomicUsize::new(0);
    let ended = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<RunReport>>> =
        Mutex::new((0..jobs.len()).map(|_| None).collect());
    let running: Mutex<Vec<Running>> = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| watch(jobs, &running, &ended, &over));
        let workers: Vec<_> = (0..threads.clamp(1, jobs.len().max(1)))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(job) = jobs.get(number) else { break };
                        let report = run_one(job, number, &running);
                        done(number, &report);
                        lock(&results)[number] = Some(report);
                        ended.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for worker in workers {
            // Panics of a run are caught in it; one of this loop is reported as a missing result below.
            drop(worker.join());
        }
        over.store(true, Ordering::Relaxed);
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().flatten().collect()
}

fn run_one(job: &Job, number: usize, running: &Mutex<Vec<Running>>) -> RunReport {
    let first = run_once(job, number, running);
    if !job.twice || !matches!(first.verdict, Verdict::Held | Verdict::Failed) {
        return first;
    }
    let second = run_once(job, number, running);
    let same = first.trace_hash == second.trace_hash
        && first.verdict == second.verdict
        && first.operations == second.operations;
    if same {
        return first;
    }
    let why = format!(
        "two runs of one seed differ: trace {} and {}",
        first.trace_hash, second.trace_hash
    );
    RunReport { verdict: Verdict::Harness(why), ..first }
}

fn run_once(job: &Job, number: usize, running: &Mutex<Vec<Running>>) -> RunReport {
    let options = Options {
        seed: job.seed,
        plant: job.plant.clone(),
        trace: job.trace.clone(),
        ..Options::default()
    };
    let began = Instant::now();
    lock(running).push(Running {
        job: number,
        began,
        abort: Arc::clone(&options.abort),
        progress: Arc::clone(&options.progress),
    });
    let report = catch_unwind(AssertUnwindSafe(|| match &job.live {
        None => simulate(&job.loaded, &options),
        Some(reports) => on_live_clusters(job, &options, reports),
    }));
    lock(running).retain(|running| running.job != number);
    let mut report = report.unwrap_or_else(|panic| panicked(job, &*panic));
    report.wall = began.elapsed();
    report
}

fn on_live_clusters(job: &Job, options: &Options, reports: &Reports) -> RunReport {
    reports.clear();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let why = format!("no threads to run clusters on: {error}");
            return RunReport::without_result(&job.loaded, options, Verdict::Harness(why));
        }
    };
    let report =
        runtime.block_on(run_live(runtime.handle(), &job.loaded, options, reports.clone()));
    // Tasks of the harness may still wait for something; nothing of them is wanted any more.
    runtime.shutdown_timeout(ENDING);
    report
}

/// The harness' own panic is no verdict on the clusters.
fn panicked(job: &Job, panic: &(dyn Any + Send)) -> RunReport {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned());
    RunReport::without_result(
        &job.loaded,
        &Options { seed: job.seed, plant: job.plant.clone(), ..Options::default() },
        Verdict::Harness(format!("the harness panicked: {message}")),
    )
}

fn watch(jobs: &[Job], running: &Mutex<Vec<Running>>, ended: &AtomicUsize, over: &AtomicBool) {
    let draws = std::io::stderr().is_terminal();
    let mut told = Instant::now();
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK_EVERY);
        let mut line = String::new();
        for run in lock(running).iter() {
            let limit = wall_limit(&jobs[run.job]);
            let elapsed = run.began.elapsed();
            if elapsed > limit {
                run.abort.store(true, Ordering::Relaxed);
            }
            if elapsed > limit + PATIENCE {
                eprintln!(
                    "{} seed {} cannot be ended",
                    jobs[run.job].loaded.scenario.name, jobs[run.job].seed
                );
                std::process::exit(i32::from(Verdict::Inconclusive.exit_status()));
            }
            if line.is_empty() {
                let ended = ended.load(Ordering::Relaxed);
                let Job { loaded, seed, .. } = &jobs[run.job];
                line = progress_line(
                    (ended, jobs.len()),
                    (&loaded.scenario.name, *seed),
                    &run.progress,
                );
            }
        }
        if draws && !line.is_empty() {
            draw(&line);
        } else if !line.is_empty() && told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            eprintln!("{line}");
        }
    }
    if draws {
        draw("");
    }
}

/// Where the watchdog ends a run. A live one takes the time that a simulated one only counts.
fn wall_limit(job: &Job) -> Duration {
    let limit = job.loaded.scenario.limit;
    if job.live.is_some() { limit.sim + limit.wall } else { limit.wall }
}

/// How many runs have ended, and how far one of the others is.
fn progress_line(
    (ended, all): (usize, usize),
    (name, seed): (&str, u64),
    progress: &Progress,
) -> String {
    let seconds = progress.simulated_ns.load(Ordering::Relaxed) / 1_000_000_000;
    let operations = progress.operations.load(Ordering::Relaxed);
    let faults = progress.faults.load(Ordering::Relaxed);
    let behind = match progress.feeds_behind.load(Ordering::Relaxed) {
        0 => String::new(),
        1 => ", 1 feed behind".to_owned(),
        feeds => format!(", {feeds} feeds behind"),
    };
    let of_all = if all > 1 { format!("{ended} of {all} runs; ") } else { String::new() };
    format!(
        "{of_all}{name} seed {seed}: {}m{:02}s simulated, {operations} operations, {faults} faults active{behind}",
        seconds / 60,
        seconds % 60
    )
}

/// Draws the line over the one before. A terminal that does not take it shows no progress, and nothing else is lost.
fn draw(line: &str) {
    let mut stderr = std::io::stderr().lock();
    drop(write!(stderr, "\r\x1b[2K{line}"));
    drop(stderr.flush());
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_of_all_runs_and_of_one_that_goes_on() {
        let progress = Progress::default();
        progress.simulated_ns.store(125_000_000_000, Ordering::Relaxed);
        progress.operations.store(7, Ordering::Relaxed);
        progress.feeds_behind.store(2, Ordering::Relaxed);
        assert_eq!(
            progress_line((12, 4800), ("wan-flaps", 3), &progress),
            "12 of 4800 runs; wan-flaps seed 3: 2m05s simulated, 7 operations, 0 faults active, 2 feeds behind"
        );
        assert_eq!(
            progress_line((0, 1), ("wan-flaps", 3), &Progress::default()),
            "wan-flaps seed 3: 0m00s simulated, 0 operations, 0 faults active"
        );
    }
}
