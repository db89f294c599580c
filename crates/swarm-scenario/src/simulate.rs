//! Runs one scenario with one seed in a simulated world of its own.
//!
//! Nothing global is touched and nothing survives a run, so runs may go on side by side on several threads.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use swarm_cluster::WorldSpec;
use swarm_cluster::log::Reports;
use swarm_cluster::sim::{self, Finished, RunError, RunOptions, TraceMode};

use crate::catalogue::Loaded;
use crate::language::model::Scenario;
use crate::report::{
    ClosestReport, ExpectationReport, FaultReport, FeedReport, RecoveryReport, RunReport, Verdict,
    ViolationReport,
};
use crate::run::{Kind, Progress, Run, RunResult, drive};
use crate::token::Token;

/// More hosts than this would only multiply connections: every host speaks to every node.
const CLIENT_HOSTS_MAX: u32 = 4;

/// How a scenario is run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The seed of every choice.
    pub seed: u64,
    /// Planted bugs by name.
    pub plant: Vec<String>,
    /// Where the trace goes as text.
    pub trace: Option<PathBuf>,
    /// Set by another thread to end the run.
    pub abort: Arc<AtomicBool>,
    /// How far it is.
    pub progress: Arc<Progress>,
}

/// Runs a scenario to its verdict. Wall time is left to the caller, who has a clock.
#[must_use]
pub fn simulate(loaded: &Loaded, options: &Options) -> RunReport {
    let scenario = &loaded.scenario;
    if let Some(problem) = scenario.only_live.first() {
        let verdict = Verdict::Wrong(problem.to_string());
        return RunReport::without_result(loaded, options, verdict);
    }
    let spec = world_of(scenario, options);
    let reports = Reports::default();
    let run_options = RunOptions {
        reports: Some(reports.clone()),
        trace: options.trace.clone().map_or(TraceMode::Hash, TraceMode::Text),
        abort: Arc::clone(&options.abort),
    };
    let (of_run, progress, seed) = (scenario.clone(), Arc::clone(&options.progress), options.seed);
    let ended = sim::run(&spec, run_options, move |world| async move {
        let kind = Kind::Simulated;
        drive(Arc::new(Run::new(of_run, seed, world, progress, reports, kind))).await
    });
    let mut report = RunReport::without_result(loaded, options, Verdict::Held);
    match ended {
        Ok(finished) => finish(&mut report, &finished),
        Err(error) => {
            fail(&mut report, &error);
            how_far(&mut report, &options.progress);
        }
    }
    report
}

impl RunReport {
    /// The report of a run that found nothing, or nothing yet.
    #[must_use]
    pub fn without_result(loaded: &Loaded, options: &Options, verdict: Verdict) -> Self {
        let scenario = &loaded.scenario;
        Self {
            scenario: scenario.name.clone(),
            seed: options.seed,
            verdict,
            trace_hash: String::new(),
            events: 0,
            simulated: Duration::ZERO,
            wall: Duration::ZERO,
            operations: 0,
            body_bytes: 0,
            faults: Vec::new(),
            expectations: Vec::new(),
            violations: Vec::new(),
            closest: None,
            recovery: None,
            feeds: Vec::new(),
            never: Vec::new(),
            story: Vec::new(),
            waived: scenario
                .waive
                .iter()
                .map(|waiver| format!("{} ({})", waiver.invariant, waiver.because))
                .collect(),
            replay: Token::new(&loaded.path, options.seed, loaded.checksum, &options.plant)
                .to_string(),
        }
    }
}

/// The world that a scenario asks for.
pub(crate) fn world_of(scenario: &Scenario, options: &Options) -> WorldSpec {
    let clients: u32 =
        scenario.workloads.iter().map(|workload| workload.clients).max().unwrap_or(1);
    WorldSpec {
        seed: options.seed,
        clusters: scenario.clusters.clone(),
        links: scenario.links.clone(),
        planted: options.plant.clone(),
        client_hosts: clients.clamp(1, CLIENT_HOSTS_MAX),
    }
}

fn finish(report: &mut RunReport, finished: &Finished<RunResult>) {
    report.trace_hash.clone_from(&finished.trace_hash);
    report.events = finished.events;
    report.simulated = finished.simulated;
    fill_in(report, &finished.output);
}

/// Puts what a run has found into its report.
pub(crate) fn fill_in(report: &mut RunReport, result: &RunResult) {
    report.operations = result.operations;
    report.body_bytes = result.body_bytes;
    report.faults = result
        .faults
        .iter()
        .map(|fault| FaultReport {
            step: fault.step,
            what: fault.what.clone(),
            at: fault.at,
            effects: fault.effects,
        })
        .collect();
    report.expectations = result
        .expected
        .iter()
        .map(|expected| ExpectationReport {
            text: expected.text.clone(),
            held: expected.held,
            at: expected.at,
            detail: expected.detail.clone(),
        })
        .collect();
    report.violations = result
        .violations
        .iter()
        .map(|violation| ViolationReport {
            invariant: violation.invariant.word(),
            at: violation.at,
            what: violation.what.clone(),
        })
        .collect();
    report.closest = result.closest.as_ref().map(|call| ClosestReport {
        copies: call.copies,
        acknowledged: call.acknowledged,
        object: call.object.clone(),
        at: call.at,
    });
    report.recovery = result.recovery.map(|recovery| RecoveryReport {
        volumes: recovery.volumes,
        longest: recovery.longest,
        copies_moved: result.copies_moved,
    });
    report.feeds = result
        .feeds
        .iter()
        .map(|feed| FeedReport {
            name: feed.name.clone(),
            changes: feed.changes,
            rpo: feed.rpo,
            drain: feed.drain,
            bytes: feed.bytes,
        })
        .collect();
    report.never.clone_from(&result.never);
    report.story = story(result);
    let failed =
        !result.violations.is_empty() || result.expected.iter().any(|expected| !expected.held);
    report.verdict = match result.nonsense.first() {
        Some(why) => Verdict::Wrong(why.clone()),
        None if failed => Verdict::Failed,
        None => Verdict::Held,
    };
}

/// The first violation in full, then the expectations that failed, then how much more there is.
fn story(result: &RunResult) -> Vec<String> {
    let mut lines = result.story.clone();
    let failed: Vec<_> = result.expected.iter().filter(|expected| !expected.held).collect();
    for expected in failed.iter().take(if lines.is_empty() { 8 } else { 2 }) {
        lines.push(format!(
            "expected (line {}): {}: {}",
            expected.line, expected.text, expected.detail
        ));
    }
    if lines.len() > 1 && result.story.is_empty() {
        lines.extend(result.faults.iter().take(8).map(|fault| {
            format!(
                "  fault: {} at {}, {} effects",
                fault.what,
                crate::language::units::show(fault.at),
                fault.effects
            )
        }));
    }
    let more = result.violations.len().saturating_sub(1) as u64 + result.more;
    match more {
        0 => {}
        1 => lines.push("  and 1 more violation".to_owned()),
        more => lines.push(format!("  and {more} more violations")),
    }
    lines
}

/// What is known of a run that did not end.
pub(crate) fn how_far(report: &mut RunReport, progress: &Progress) {
    report.simulated = Duration::from_nanos(progress.simulated_ns.load(Ordering::Relaxed));
    report.operations = progress.operations.load(Ordering::Relaxed);
    report.body_bytes = progress.body_bytes.load(Ordering::Relaxed);
}

fn fail(report: &mut RunReport, error: &RunError) {
    report.verdict = match error {
        RunError::Spec(why) => Verdict::Wrong(why.clone()),
        RunError::Aborted => Verdict::Inconclusive,
        RunError::Trace { .. } => Verdict::Harness(error.to_string()),
        RunError::Halted(_) if error.is_fault_of_the_code() => {
            report.story = vec![
                format!("alive: {error}"),
                format!("  rule: {}", crate::verdict::Invariant::Alive.rule()),
            ];
            Verdict::Failed
        }
        RunError::Halted(_) => Verdict::Harness(error.to_string()),
    };
}

#[cfg(test)]
mod tests;
