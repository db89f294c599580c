//! Runs one scenario on live clusters: real sockets, real files, real time.
//!
//! The seed decides what the harness draws from it and nothing else; no two runs are the same, and there is no trace. A verb
//! that only a simulated world has is refused before anything starts (`Scenario::not_live`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use swarm_cluster::World;
use swarm_cluster::live::{LiveClusters, UpError};
use swarm_cluster::log::Reports;
use tokio::runtime::Handle;

use crate::catalogue::Loaded;
use crate::report::{RunReport, Verdict};
use crate::run::{Kind, Run, drive};
use crate::simulate::{Options, fill_in, how_far, world_of};

/// How often it is looked whether the run is to be ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs a scenario to its verdict on clusters that it starts and stops. `reports` is where the process keeps what its nodes
/// log. Wall time is left to the caller, who has a clock; simulated time is real time here.
pub async fn run_live(
    runtime: &Handle,
    loaded: &Loaded,
    options: &Options,
    reports: Reports,
) -> RunReport {
    let scenario = &loaded.scenario;
    let mut report = RunReport::without_result(loaded, options, Verdict::Held);
    if let Some(problem) = scenario.not_live.first() {
        report.verdict = Verdict::Wrong(problem.to_string());
        return report;
    }
    let clusters = match LiveClusters::start(runtime, &world_of(scenario, options)).await {
        Ok(clusters) => Arc::new(clusters),
        Err(UpError::Spec { why }) => {
            report.verdict = Verdict::Wrong(why);
            return report;
        }
        Err(error) => {
            report.verdict = Verdict::Harness(error.to_string());
            return report;
        }
    };
    let begun = clusters.env().now();
    let world: Arc<dyn World> = Arc::clone(&clusters) as Arc<dyn World>;
    let progress = Arc::clone(&options.progress);
    let run = Run::new(scenario.clone(), options.seed, world, progress, reports, Kind::Live);
    let driven = Box::pin(drive(Arc::new(run)));
    let aborted = Box::pin(until_set(&*clusters, &options.abort));
    match select(driven, aborted).await {
        Either::Left((result, _)) => fill_in(&mut report, &result),
        Either::Right(_) => {
            report.verdict = Verdict::Inconclusive;
            how_far(&mut report, &options.progress);
        }
    }
    report.simulated = clusters.env().now().since(begun);
    clusters.stop_nodes().await;
    report
}

async fn until_set(world: &dyn World, abort: &AtomicBool) {
    while !abort.load(Ordering::Relaxed) {
        world.env().sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::small;

    /// Runs to its verdict, on threads of its own.
    fn live(text: &str) -> RunReport {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let runtime = threads.enable_all().build().expect("threads");
        let options = Options { seed: 1, ..Options::default() };
        runtime.block_on(run_live(runtime.handle(), &small(text), &options, Reports::default()))
    }

    #[test]
    fn a_program_finds_the_nodes_in_its_environment_and_its_failure_is_the_run_s() {
        let report = live(
            r#"
schema = 1
title = "Programs of somebody else's"
why = "They find the cluster, and are ended with it."
[cluster.dr-site]
nodes = 1
volumes = { size = "64MiB" }
[workload.finds]
run = "test -n \"$SWARM_NODES\" -a \"$SWARM_NODES\" = \"$SWARM_NODES_DR_SITE\" -a -n \"$SWARM_MANAGEMENT\""
[workload.fails]
run = "exit 3"
[workload.lingers]
run = "sleep 600; true"
for = "1s"
"#,
        );
        assert_eq!(report.verdict, Verdict::Failed, "{}", report.line());
        let ended: Vec<(&str, bool)> = report
            .expectations
            .iter()
            .map(|expected| (expected.detail.as_str(), expected.held))
            .collect();
        assert_eq!(
            ended,
            [("exit status: 0", true), ("exit status: 3", false), ("ended by the scenario", true)]
        );
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}
