//! Carries out what steps do to nodes, links and disks, and keeps the account: what is off, what is cut, what it changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use swarm_cluster::{Action, Cut, DiskRef, Life, NodeRef};

use super::{Run, lock};
use crate::language::model::Power;
use crate::language::tell::{listed, show_offset};
use crate::oracle::image;
use crate::reach::TroubleNumber;

/// One fault, for reports.
#[derive(Debug, Clone)]
pub(crate) struct FaultLine {
    /// Index of its step.
    pub(crate) step: usize,
    /// What was done to whom.
    pub(crate) what: String,
    /// Since the start of the scenario.
    pub(crate) at: Duration,
    /// When it was undone.
    pub(crate) until: Option<Duration>,
    /// Numbers of the world's actions, to ask for their effects.
    pub(crate) numbers: Vec<u64>,
}

/// What is in force.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    off: BTreeMap<NodeRef, TroubleNumber>,
    cuts: BTreeMap<u64, (TroubleNumber, usize)>,
    pub(crate) lines: Vec<FaultLine>,
}

impl InForce {
    /// The cuts in force, of one step or of all.
    pub(crate) fn cuts_of(&self, step: Option<usize>) -> Vec<u64> {
        self.cuts
            .iter()
            .filter(|(_, (_, of))| step.is_none_or(|step| step == *of))
            .map(|(number, _)| *number)
            .collect()
    }
}

/// Opens a line of the account.
fn begin(run: &Run, step: usize, what: String) -> usize {
    let at = run.since_start(run.now());
    let mut state = lock(&run.steps);
    state.faults.lines.push(FaultLine { step, what, at, until: None, numbers: Vec::new() });
    state.faults.lines.len() - 1
}

fn note(run: &Run, line: usize, number: u64) {
    lock(&run.steps).faults.lines[line].numbers.push(number);
}

/// Notes that the fault of this line is undone.
pub(crate) fn undone(run: &Run, line: usize) {
    let at = run.since_start(run.now());
    lock(&run.steps).faults.lines[line].until.get_or_insert(at);
}

fn count(run: &Run) {
    let state = lock(&run.steps);
    let active = state.faults.off.len() + state.faults.cuts.len();
    run.progress.faults.store(active as u64, Ordering::Relaxed);
}

/// Does something to the power or the process of nodes, to all at once. Returns the line of the account.
///
/// # Errors
/// What the world says about an action that makes no sense.
pub(crate) async fn power(
    run: &Arc<Run>,
    step: usize,
    power: Power,
    nodes: &[NodeRef],
) -> Result<usize, String> {
    let line = begin(run, step, format!("{} {}", power, listed(nodes)));
    let all = nodes.iter().map(|node| async move {
        match power {
            Power::Start => switch_on(run, node).await,
            Power::Restart(down) => {
                switch_off(run, line, Power::Stop, node).await?;
                run.env().sleep(run.draw(down)).await;
                switch_on(run, node).await
            }
            _ => switch_off(run, line, power, node).await,
        }
    });
    join_all(all).await.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(line)
}

async fn switch_off(
    run: &Arc<Run>,
    line: usize,
    power: Power,
    node: &NodeRef,
) -> Result<(), String> {
    // Another step may have been there first.
    if run.world.life(node) == Life::Off {
        return Ok(());
    }
    let number = run.number(node);
    {
        // From before it happens: an answer that is under way may already suffer.
        let mut state = lock(&run.steps);
        let trouble = lock(&run.reach).off(run.now(), number);
        if let Some(older) = state.faults.off.insert(node.clone(), trouble) {
            lock(&run.reach).over(run.now(), older);
        }
    }
    let action = match power {
        Power::Kill => Action::Kill(node.clone()),
        Power::PowerOff => Action::PowerOff(node.clone()),
        Power::Pause => Action::Pause(node.clone()),
        Power::Wipe => Action::Wipe(node.clone()),
        Power::Stop | Power::Restart(_) | Power::Start => Action::Stop(node.clone()),
    };
    if power == Power::Wipe {
        lock(&run.reach).damage.wiped(run.now(), number);
    }
    match run.world.apply(action).await {
        Ok(applied) => note(run, line, applied.number),
        // Another step was faster while this one was at work.
        Err(_) if run.world.life(node) == Life::Off => {}
        Err(why) => return Err(why),
    }
    run.look_for_close_call();
    count(run);
    Ok(())
}

/// Starts a node that is off, lets a paused one go on, and leaves a running one alone.
pub(crate) async fn switch_on(run: &Arc<Run>, node: &NodeRef) -> Result<(), String> {
    match run.world.life(node) {
        Life::Running => {}
        Life::Paused => drop(run.world.apply(Action::Resume(node.clone())).await?),
        Life::Off => drop(run.world.apply(Action::Start(node.clone())).await?),
    }
    let trouble = lock(&run.steps).faults.off.remove(node);
    if let Some(trouble) = trouble {
        lock(&run.reach).over(run.now(), trouble);
    }
    count(run);
    Ok(())
}

/// Starts these nodes, at once.
///
/// # Errors
/// As [`power`].
pub(crate) async fn power_on(run: &Arc<Run>, nodes: &[NodeRef]) -> Result<(), String> {
    let all = nodes.iter().map(|node| switch_on(run, node));
    join_all(all).await.into_iter().collect::<Result<Vec<()>, _>>().map(drop)
}

/// Cuts nodes off.
///
/// # Errors
/// As [`power`].
pub(crate) async fn cut(run: &Arc<Run>, step: usize, cut: Cut) -> Result<usize, String> {
    let line = begin(run, step, describe(&cut));
    let trouble = lock(&run.reach).cut(run.now(), &cut);
    let applied = run.world.apply(Action::Cut(cut)).await?;
    note(run, line, applied.number);
    lock(&run.steps).faults.cuts.insert(applied.number, (trouble, line));
    count(run);
    Ok(line)
}

/// Heals cuts by their numbers; those that are healed already are passed over.
///
/// # Errors
/// As [`power`].
pub(crate) async fn heal(run: &Arc<Run>, cuts: Vec<u64>) -> Result<(), String> {
    for number in cuts {
        let Some((trouble, line)) = lock(&run.steps).faults.cuts.remove(&number) else { continue };
        run.world.apply(Action::Heal(number)).await?;
        lock(&run.reach).over(run.now(), trouble);
        undone(run, line);
    }
    count(run);
    Ok(())
}

/// The cuts that a line of the account stands for.
pub(crate) fn cuts_of_line(run: &Run, line: usize) -> Vec<u64> {
    lock(&run.steps).faults.lines[line].numbers.clone()
}

/// Damages blocks.
///
/// # Errors
/// As [`power`].
pub(crate) async fn rot(
    run: &Arc<Run>,
    step: usize,
    disks: &[DiskRef],
    share_ppm: u32,
) -> Result<usize, String> {
    let line = begin(run, step, format!("rot {}", listed(disks)));
    for disk in disks {
        // The journal as it was tells what lies where; afterwards it may be damaged itself.
        let before = image::read(&*run.world.image(disk));
        let applied = run.world.apply(Action::Rot { disk: disk.clone(), share_ppm }).await?;
        note(run, line, applied.number);
        let damage = run.world.damage();
        let ranges = damage
            .iter()
            .rfind(|damage| damage.disk == *disk)
            .map(|damage| damage.ranges.clone())
            .unwrap_or_default();
        let node = run.number(&disk.node);
        let mut reach = lock(&run.reach);
        match before {
            Ok(volume) => {
                let (hit, journal) = volume.hit_by(&ranges);
                reach.damage.rotten(applied.at, node, hit, journal);
            }
            // Whatever was on it, nobody can tell.
            Err(_) => reach.damage.wiped(applied.at, node),
        }
        drop(reach);
        run.look_for_close_call();
    }
    Ok(line)
}

/// Sets clocks off.
///
/// # Errors
/// As [`power`].
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
/// As [`power`].
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

/// Starts every node and heals every cut that a step left (what was wiped or is rotten stays so).
///
/// # Errors
/// As [`power`].
pub(crate) async fn mend_all(run: &Arc<Run>) -> Result<(), String> {
    let cuts = lock(&run.steps).faults.cuts_of(None);
    heal(run, cuts).await?;
    let nodes: Vec<NodeRef> =
        run.scenario.clusters.keys().flat_map(|cluster| run.world.nodes(cluster)).collect();
    for node in nodes {
        // A node that panicked stays down: that is a failure already, and nothing of it is to be hidden.
        let panicked = run.world.panics().iter().any(|panic| panic.node == node);
        if !panicked {
            switch_on(run, &node).await?;
        }
    }
    Ok(())
}

fn describe(cut: &Cut) -> String {
    match cut {
        Cut::Isolate(nodes) => format!("isolate {}", listed(nodes)),
        Cut::Multicast(nodes) => format!("break-multicast {}", listed(nodes)),
        Cut::OneWay { from, to } => format!("cut {} from {}", listed(to), listed(from)),
        Cut::Partition(groups) => {
            let groups: Vec<String> = groups.iter().map(|group| listed(group)).collect();
            format!("partition {}", groups.join(" | "))
        }
    }
}
