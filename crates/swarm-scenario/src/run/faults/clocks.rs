//! What steps do to clocks.

use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::{Action, NodeRef};

use super::{Of, apply_reversible, begin, note};
use crate::language::model::Event;
use crate::language::tell::{listed, show_offset};
use crate::language::units::show;
use crate::run::Run;

/// Sets clocks off.
///
/// # Errors
/// What the world says about an action that makes no sense.
pub(crate) async fn skew(
    run: &Arc<Run>,
    step: usize,
    nodes: &[NodeRef],
    offset_ns: i64,
) -> Result<usize, String> {
    let line = begin(run, step, format!("skew {} by {}", listed(nodes), show_offset(offset_ns)));
    for node in nodes {
        let applied = run.world.apply(Action::Skew { node: node.clone(), offset_ns }).await?;
        note(run, line, applied.number);
    }
    Ok(line)
}

/// Sets clocks back to what the world began with.
///
/// # Errors
/// As [`skew`].
pub(crate) async fn unskew(run: &Arc<Run>, nodes: &[NodeRef]) -> Result<(), String> {
    for node in nodes {
        let spec = run
            .scenario
            .clusters
            .get(&node.cluster)
            .and_then(|cluster| cluster.clocks.get(&node.node));
        let offset_ns = spec.map_or(0, |clock| clock.offset_ns);
        run.world.apply(Action::Skew { node: node.clone(), offset_ns }).await?;
    }
    Ok(())
}

/// Lets clocks gain or lose.
///
/// # Errors
/// As [`skew`].
pub(crate) async fn drift(
    run: &Arc<Run>,
    step: usize,
    nodes: &[NodeRef],
    ppm: i32,
) -> Result<usize, String> {
    let line = begin(run, step, format!("drift {} by {ppm} ppm", listed(nodes)));
    for node in nodes {
        let action = Action::Drift { node: node.clone(), ppm };
        apply_reversible(run, line, action, None, Of::Clock).await?;
    }
    Ok(line)
}

/// Moves clocks.
///
/// # Errors
/// As [`skew`].
pub(crate) async fn step_clock(
    run: &Arc<Run>,
    step: usize,
    nodes: &[NodeRef],
    by_ns: i64,
) -> Result<usize, String> {
    let line = begin(run, step, format!("step-clock {} by {}", listed(nodes), show_offset(by_ns)));
    for node in nodes {
        let action = Action::StepClock { node: node.clone(), by_ns };
        apply_reversible(run, line, action, None, Of::Clock).await?;
    }
    Ok(line)
}

/// Lets a quiet stretch pass. Returns its line of the account.
///
/// # Errors
/// A sentence where clients are at work, to whom it would be no quiet stretch; and as [`skew`].
pub(crate) async fn skip(run: &Arc<Run>, step: usize, by: Duration) -> Result<usize, String> {
    let at_work = |name: &&String| {
        run.board.when(&Event::Starts((*name).clone())).is_some()
            && run.board.when(&Event::Ends((*name).clone())).is_none()
    };
    if let Some(workload) = run.workloads.keys().find(at_work) {
        return Err(format!(
            "a quiet stretch promises that nothing is asked of the clusters, and {workload} is at work"
        ));
    }
    let line = begin(run, step, format!("skip {}", show(by)));
    let applied = run.world.apply(Action::Skip(by)).await?;
    note(run, line, applied.number);
    Ok(line)
}
