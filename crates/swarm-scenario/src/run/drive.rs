//! The order of a run: prepare, start the clock, let everything happen, come to rest, judge.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::tally::Recovery;
use super::{
    Expected, Kind, Run, carried, expect, fed, feeds, finish, idle, lock, look, metrics,
    protection, setup, steps, story, tally, watch, workload,
};
use crate::language::model::Event;
use crate::verdict::{Invariant, Violation};

/// How often the outside is told how far the run is.
const PULSE: Duration = Duration::from_secs(5);

/// What a run has found.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunResult {
    /// Violations that are not waived, in the order of their times.
    pub(crate) violations: Vec<Violation>,
    /// How many there were beyond these.
    pub(crate) more: u64,
    /// The first of them told in full; empty if there was none.
    pub(crate) story: Vec<String>,
    pub(crate) expected: Vec<Expected>,
    pub(crate) faults: Vec<FaultResult>,
    pub(crate) closest: Option<Closest>,
    /// Of the volumes that were lost, if any were.
    pub(crate) recovery: Option<Recovery>,
    /// Replicas that no client's write made.
    pub(crate) copies_moved: u64,
    /// What feeds carried.
    pub(crate) feeds: Vec<FeedResult>,
    pub(crate) operations: u64,
    pub(crate) body_bytes: u64,
    /// Actions that made no sense: the scenario is wrong.
    pub(crate) nonsense: Vec<String>,
    /// Steps and workloads that waited for what never came.
    pub(crate) never: Vec<String>,
}

/// The object that once had the fewest usable copies.
#[derive(Debug, Clone)]
pub(crate) struct Closest {
    pub(crate) copies: usize,
    pub(crate) acknowledged: usize,
    pub(crate) object: String,
    pub(crate) at: Duration,
}

/// What came of one feed.
#[derive(Debug, Clone)]
pub(crate) struct FeedResult {
    pub(crate) name: String,
    /// How many acknowledged changes it was to carry.
    pub(crate) changes: usize,
    /// How long they took: half of them, 99 in 100, the slowest; `None` where that has not come.
    pub(crate) rpo: [Option<Duration>; 3],
    /// From the end of the last fault until nothing was missing.
    pub(crate) drain: Option<Duration>,
    /// Bytes from the one cluster to the other; `None` where nobody counts them.
    pub(crate) bytes: Option<u64>,
}

/// One fault and what it changed.
#[derive(Debug, Clone)]
pub(crate) struct FaultResult {
    /// Index of its step.
    pub(crate) step: usize,
    pub(crate) what: String,
    pub(crate) at: Duration,
    pub(crate) until: Option<Duration>,
    pub(crate) effects: u64,
}

/// Carries out the whole scenario.
pub(crate) async fn drive(run: Arc<Run>) -> RunResult {
    let pulse = Arc::clone(&run);
    drop(run.env().spawn("pulse", async move {
        loop {
            pulse.progress.simulated_ns.store(pulse.now().0, Ordering::Relaxed);
            pulse.pause(PULSE).await;
        }
    }));
    if let Err(why) = setup::prepare(&run).await {
        run.violation(Invariant::Alive, None, why, None);
        return collect(&run, Vec::new());
    }
    run.start_clock();
    drop(run.env().spawn("queues", idle::watch_queues(Arc::clone(&run))));
    if !run.scenario.feeds.is_empty() {
        drop(run.env().spawn("carried", carried::watch(Arc::clone(&run))));
        drop(run.env().spawn("claims", fed::ask_around(Arc::clone(&run))));
    }
    let expected: Vec<_> = (0..run.scenario.expects.len())
        .map(|number| run.env().spawn("expectation", expect::watch_over(Arc::clone(&run), number)))
        .collect();
    let whole = run.env().timeout(run.scenario.limit.sim, act(&run)).await;
    let mut results = Vec::new();
    match whole {
        Ok(Ok(())) => {
            run.set_rested();
            for (number, task) in expected.into_iter().enumerate() {
                results.extend(decided(&run, number, task.join()).await);
            }
        }
        Ok(Err(why)) => lock(&run.steps).nonsense.push(why),
        Err(_) => {
            let why = lock(&run.restless)
                .clone()
                .unwrap_or_else(|| "steps or workloads are still under way".to_owned());
            let what = format!(
                "not at rest within limit.sim ({}): {why}",
                crate::language::units::show(run.scenario.limit.sim)
            );
            run.violation(Invariant::Alive, None, what, None);
        }
    }
    judge_panics(&run);
    collect(&run, results)
}

/// What became of an expectation; one that is open at the limit does not hold. `None` if its task died.
async fn decided(
    run: &Run,
    number: usize,
    result: impl Future<Output = Option<Expected>>,
) -> Option<Expected> {
    let limit = run.scenario.limit.sim;
    let left = limit.saturating_sub(run.since_start(run.now()));
    if let Ok(result) = run.env().timeout(left, result).await {
        return result;
    }
    let expect = &run.scenario.expects[number];
    Some(Expected {
        line: expect.line,
        text: format!("{} {}", expect.subject, expect.when),
        held: false,
        at: run.since_start(run.now()),
        detail: format!("not decided within limit.sim ({})", crate::language::units::show(limit)),
    })
}

/// Everything between the start of the clock and the last judgement.
async fn act(run: &Arc<Run>) -> Result<(), String> {
    let clusters: Vec<String> = run.scenario.clusters.keys().cloned().collect();
    for cluster in &clusters {
        run.board.fire(Event::Healthy(cluster.clone()), run.now());
    }
    let mut tasks = Vec::new();
    let mut set_out = |name: &'static str, future: swarm_cluster::BoxFuture<'static, ()>| {
        run.board.set_out(1);
        tasks.push((name, future));
    };
    for number in 0..run.scenario.steps.len() {
        set_out("step", Box::pin(steps::run_step(Arc::clone(run), number)));
    }
    for workload in run.scenario.workloads.clone() {
        set_out("workload", Box::pin(workload::run_workload(Arc::clone(run), Arc::new(workload))));
    }
    for cluster in clusters {
        if run.board.wants(&Event::AtRest(cluster.clone())) {
            let run = Arc::clone(run);
            set_out(
                "rest",
                Box::pin(async move {
                    watch::until_at_rest(&run, &cluster).await;
                    run.board.fire(Event::AtRest(cluster), run.now());
                }),
            );
        }
    }
    for event in run.board.wanted() {
        match event.clone() {
            Event::Gone(object) => {
                set_out("gone", Box::pin(look::tell_when_gone(Arc::clone(run), object)));
            }
            Event::Drained(feed) => {
                set_out("drained", Box::pin(feeds::tell_when_drained(Arc::clone(run), feed)));
            }
            // Where volumes are lost, whoever sees them lost looks after it.
            Event::Protected(cluster) if !tally::loses(&run.scenario, &cluster) => {
                let run = Arc::clone(run);
                let looks = async move {
                    protection::until_full(&run, &cluster).await;
                    run.board.fire(Event::Protected(cluster), run.now());
                };
                set_out("protected", Box::pin(looks));
            }
            _ => {}
        }
    }
    let tasks: Vec<_> = tasks
        .into_iter()
        .map(|(name, future)| {
            let of_task = Arc::clone(run);
            run.env().spawn(name, async move {
                future.await;
                of_task.board.is_done();
            })
        })
        .collect();
    for task in tasks {
        task.join().await;
    }
    run.set_over();
    finish::come_to_rest(run).await?;
    judge(run).await;
    Ok(())
}

/// The last judgements, at rest.
async fn judge(run: &Arc<Run>) {
    finish::read_all(run).await;
    finish::judge_disks(run).await;
    // In real time nobody waits for the health cycles that make it true.
    if run.kind != Kind::Live {
        protection::judge(run).await;
    }
    fed::judge(run).await;
    idle::judge(run).await;
}

fn judge_panics(run: &Run) {
    for panic in run.world.panics() {
        let what = format!(
            "{} panicked at {}: {}",
            panic.node,
            crate::language::units::show(run.since_start(panic.at)),
            panic.message
        );
        run.violation(Invariant::Alive, None, what, None);
    }
}

fn collect(run: &Run, mut expected: Vec<Expected>) -> RunResult {
    let (lines, nonsense, unexpected, never) = {
        let state = lock(&run.steps);
        let (lines, nonsense) = (state.faults.lines.clone(), state.nonsense.clone());
        (lines, nonsense, state.unexpected.clone(), state.never.clone())
    };
    expected.extend(unexpected.into_iter().map(|(step, at, detail)| {
        let step = &run.scenario.steps[step];
        Expected {
            line: step.line,
            text: format!("expect_status of {}", step.label()),
            held: false,
            at,
            detail,
        }
    }));
    expected.append(&mut lock(&run.steps).programs);
    expected.sort_by_key(|expected| expected.line);
    let faults: Vec<FaultResult> = lines
        .into_iter()
        .map(|line| FaultResult {
            effects: line.numbers.iter().map(|number| run.world.effects(*number)).sum::<u64>()
                + line.changed,
            step: line.step,
            what: line.what,
            at: line.at,
            until: line.until,
        })
        .collect();
    let (violations, more) = {
        let violations = lock(&run.violations);
        let mut judged = violations.judged(&run.scenario.waive, |window| run.bounds(window));
        judged.sort_by_key(|violation| violation.at);
        (judged, violations.more())
    };
    let story = violations
        .first()
        .map(|violation| story::tell(run, violation, &faults))
        .unwrap_or_default();
    let closest = lock(&run.closest).fewest().map(|call| Closest {
        copies: call.copies,
        acknowledged: call.acknowledged,
        object: lock(&run.ledger).object(call.object).name.clone(),
        at: run.since_start(call.at),
    });
    let (recovery, copies_moved) = {
        let tally = lock(&run.tally);
        (tally.recovery(None, |_| true), tally.copies(None))
    };
    RunResult {
        feeds: metrics::of_feeds(run),
        closest,
        recovery,
        copies_moved,
        more,
        violations,
        story,
        expected,
        faults,
        operations: run.progress.operations.load(Ordering::Relaxed),
        body_bytes: run.progress.body_bytes.load(Ordering::Relaxed),
        nonsense,
        never,
    }
}
