//! Carries out what steps do to nodes, links and disks, and keeps the account: what is off, what is broken, what it changed.

pub(crate) mod clocks;
pub(crate) mod disks;
pub(crate) mod losses;
pub(crate) mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use swarm_cluster::{Action, Damage, DamageKind, DiskRef, Life, NodeRef, Point};
use swarm_types::Instant;

use super::copies::Known;
use super::watch::{self, LOOK_EVERY};
use super::{Run, carried, lock, manage};
use crate::language::model::Power;
use crate::language::tell::listed;
use crate::oracle::image;
use crate::reach::TroubleNumber;

/// How often somebody looks whether a node has passed the point where it is to panic.
const LOOK_FOR_PANIC: Duration = Duration::from_millis(100);

/// One fault or order, for reports.
#[derive(Debug, Clone, Default)]
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
    /// How many volumes and settings are in another state after an order of the administration.
    pub(crate) changed: u64,
}

/// What is in force.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    off: BTreeMap<NodeRef, Off>,
    /// By the number of the world's action.
    reversible: BTreeMap<u64, Reversible>,
    pub(crate) lines: Vec<FaultLine>,
    /// Disks that were pulled, until they are back where they were, or somewhere.
    pulled: BTreeMap<DiskRef, disks::Pulled>,
    /// How much of the world's damage is in the books.
    damage_seen: usize,
    pub(crate) known: Known,
}

/// A node that is off.
#[derive(Debug, Clone, Copy)]
struct Off {
    trouble: TroubleNumber,
    since: Instant,
}

/// A fault that a heal undoes.
#[derive(Debug, Clone)]
struct Reversible {
    trouble: Option<TroubleNumber>,
    /// Its line of the account.
    line: usize,
    of: Of,
}

/// What a fault is one of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Network,
    /// Of the network, and over once it has happened.
    Once,
    Disk(DiskRef),
    Clock,
}

impl InForce {
    /// The numbers of the faults in force for which this holds.
    fn of(&self, holds: impl Fn(&Reversible) -> bool) -> Vec<u64> {
        self.reversible
            .iter()
            .filter(|(_, fault)| holds(fault))
            .map(|(number, _)| *number)
            .collect()
    }

    /// The faults of the network in force, of one step or of all.
    pub(crate) fn of_network(&self, step: Option<usize>) -> Vec<u64> {
        self.of(|fault| {
            matches!(fault.of, Of::Network | Of::Once)
                && step.is_none_or(|step| self.lines[fault.line].step == step)
        })
    }

    /// What is wrong with these disks.
    pub(crate) fn of_disks(&self, disks: &[DiskRef]) -> Vec<u64> {
        self.of(|fault| matches!(&fault.of, Of::Disk(disk) if disks.contains(disk)))
    }

    /// The faults that a line of the account stands for.
    pub(crate) fn of_line(&self, line: usize) -> Vec<u64> {
        self.of(|fault| fault.line == line)
    }
}

/// The disks that steps have taken out or whose bytes are damaged, and those that are refused or were given up after errors:
/// what is wrong with them stays so.
pub(crate) fn broken_for_good(run: &Run) -> BTreeSet<String> {
    let refused = losses::refused(run);
    let damaged = damaged(&run.world.damage(), |disk| image::read(&*run.world.image(disk)).is_ok());
    let given_up = lock(&run.tally).given_up.clone();
    let state = lock(&run.steps);
    let gone = state.faults.pulled.keys().chain(&refused).chain(&given_up);
    gone.chain(&damaged).map(ToString::to_string).collect()
}

/// The disks that have damaged bytes and have not been made blank since. What a disk only said it had leaves a volume that
/// can be used wherever its journal can be read.
fn damaged(damage: &[Damage], is_readable: impl Fn(&DiskRef) -> bool) -> BTreeSet<DiskRef> {
    let (mut damaged, mut lied) = (BTreeSet::new(), BTreeSet::new());
    for Damage { disk, kind, .. } in damage {
        match kind {
            DamageKind::Rot | DamageKind::Unreadable | DamageKind::Misdirected => {
                damaged.insert(disk.clone());
            }
            DamageKind::Unsynced => {
                lied.insert(disk.clone());
            }
            DamageKind::Wiped => {
                damaged.remove(disk);
                lied.remove(disk);
            }
        }
    }
    damaged.extend(lied.into_iter().filter(|disk| !is_readable(disk)));
    damaged
}

/// Opens a line of the account.
pub(crate) fn begin(run: &Run, step: usize, what: String) -> usize {
    // What is about to be destroyed must have been seen.
    carried::look(run);
    let at = run.since_start(run.now());
    let mut state = lock(&run.steps);
    state.faults.lines.push(FaultLine { step, what, at, until: None, ..FaultLine::default() });
    state.faults.lines.len() - 1
}

fn note(run: &Run, line: usize, number: u64) {
    lock(&run.steps).faults.lines[line].numbers.push(number);
}

/// Notes that what this line stands for changed so many states more.
pub(crate) fn changed(run: &Run, line: usize, states: u64) {
    lock(&run.steps).faults.lines[line].changed += states;
}

/// Notes that the fault of this line is undone.
pub(crate) fn undone(run: &Run, line: usize) {
    let at = run.since_start(run.now());
    lock(&run.steps).faults.lines[line].until.get_or_insert(at);
}

fn count(run: &Run) {
    let state = lock(&run.steps);
    let active = state.faults.off.len() + state.faults.reversible.len() + state.faults.pulled.len();
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
            Power::Panic(point, within) => panic_at(run, line, (point, within), node).await,
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
    // Another step may have been there first; and what stands still hears of no order to stop.
    let ends_itself = matches!(power, Power::Stop | Power::Restart(_) | Power::Pause);
    match run.world.life(node) {
        Life::Off => return Ok(()),
        Life::Paused if ends_itself => return Ok(()),
        Life::Paused | Life::Running => {}
    }
    let number = run.number(node);
    {
        // From before it happens: an answer that is under way may already suffer.
        let mut state = lock(&run.steps);
        let off = Off { trouble: lock(&run.reach).off(run.now(), number), since: run.now() };
        if let Some(older) = state.faults.off.insert(node.clone(), off) {
            lock(&run.reach).over(run.now(), older.trouble);
        }
    }
    let (disks, since) = (run.world.disks(node), run.now());
    // A process that ends takes nothing with it that a disk has; with the power goes what a disk only said it had.
    let before = match power {
        Power::Wipe | Power::PowerOff => losses::held(run, &disks),
        _ => Vec::new(),
    };
    let said = match power {
        Power::PowerOff => losses::said(run, &disks),
        _ => BTreeMap::new(),
    };
    let action = match power {
        Power::Kill => Action::Kill(node.clone()),
        Power::PowerOff => Action::PowerOff(node.clone()),
        Power::Pause => Action::Pause(node.clone()),
        Power::Wipe => Action::Wipe(node.clone()),
        Power::Panic(point, _) => Action::Panic { node: node.clone(), point },
        Power::Stop | Power::Restart(_) | Power::Start => Action::Stop(node.clone()),
    };
    if power == Power::Wipe {
        lock(&run.reach).damage_mut(number).wiped(run.now(), number);
    }
    match run.world.apply(action).await {
        Ok(applied) => note(run, line, applied.number),
        // Another step was faster while this one was at work.
        Err(_) if run.world.life(node) == Life::Off => {}
        Err(why) => return Err(why),
    }
    disks::note_damage(run);
    let lied = |damage: &Damage| {
        damage.kind == DamageKind::Unsynced && damage.at >= since && disks.contains(&damage.disk)
    };
    if power == Power::Wipe {
        losses::blank(run, &disks);
    }
    if power == Power::Wipe || run.world.damage().iter().any(lied) {
        losses::book(run, node, &before, None);
        losses::book_what_was_said(run, node, said);
    }
    if power != Power::Pause {
        losses::stopped(run, node);
        forget_settings(run, &node.cluster);
    }
    run.look_for_close_call();
    count(run);
    Ok(())
}

/// Waits until a node has panicked at this point, or for so long.
async fn panic_at(
    run: &Arc<Run>,
    line: usize,
    (point, within): (Point, Duration),
    node: &NodeRef,
) -> Result<(), String> {
    if run.world.life(node) == Life::Off {
        return Ok(());
    }
    // From before it happens, whenever that is: an answer that is under way then may suffer.
    let number = run.number(node);
    let trouble = lock(&run.reach).off(run.now(), number);
    let action = Action::Panic { node: node.clone(), point };
    let ordered = run.world.apply(action).await?.number;
    note(run, line, ordered);
    let deadline = run.now() + within;
    while run.world.life(node) != Life::Off && run.now() < deadline {
        run.env().sleep(LOOK_FOR_PANIC).await;
    }
    let others = {
        let mut state = lock(&run.steps);
        let panicked = run.world.effects(ordered) > 0 && !state.faults.off.contains_key(node);
        if panicked {
            state.faults.off.insert(node.clone(), Off { trouble, since: run.now() });
        } else {
            lock(&run.reach).over(run.now(), trouble);
        }
        !panicked
    };
    if others {
        // Nobody passed there, or another step was faster: a later process is not meant.
        drop(run.world.apply(Action::Heal(ordered)).await);
        return Ok(());
    }
    losses::stopped(run, node);
    forget_settings(run, &node.cluster);
    run.look_for_close_call();
    count(run);
    Ok(())
}

/// What steps have set at run time is gone once no node of the cluster runs any more.
fn forget_settings(run: &Run, cluster: &str) {
    if run.world.nodes(cluster).iter().all(|node| run.world.life(node) == Life::Off) {
        lock(&run.steps).changed.retain(|(of, _), _| of != cluster);
    }
}

/// Starts a node that is off, lets a paused one go on, and leaves a running one alone.
pub(crate) async fn switch_on(run: &Arc<Run>, node: &NodeRef) -> Result<(), String> {
    let life = run.world.life(node);
    match life {
        Life::Running => {}
        Life::Paused => drop(run.world.apply(Action::Resume(node.clone())).await?),
        Life::Off => drop(run.world.apply(Action::Start(node.clone())).await?),
    }
    let off = lock(&run.steps).faults.off.remove(node);
    if let Some(Off { trouble, since }) = off {
        if life == Life::Off && is_held_up(run, node) {
            over_when_started(run, node, trouble);
        } else {
            lock(&run.reach).over(run.now(), trouble);
        }
        // A process that stood still has mounted nothing anew.
        if life == Life::Off {
            losses::returned(run, node, since);
        }
    }
    count(run);
    Ok(())
}

/// True while something is wrong with a disk of this node: until it has mounted its volumes, it serves nobody, and it waits
/// for a disk that hangs (our choice).
fn is_held_up(run: &Run, node: &NodeRef) -> bool {
    let disks = run.world.disks(node);
    !lock(&run.steps).faults.of_disks(&disks).is_empty()
}

/// True if the node has not mounted a volume whose disk has something wrong with it.
async fn lacks_volumes(run: &Run, node: &NodeRef) -> bool {
    let Ok(status) = watch::status(run, node).await else { return false };
    let in_trouble =
        |disk: &DiskRef| !lock(&run.steps).faults.of_disks(std::slice::from_ref(disk)).is_empty();
    run.world.disks(node).iter().any(|disk| {
        let name = disk.to_string();
        let mut volumes = status.volumes.iter();
        volumes.any(|volume| volume.disk == name && volume.state == "unavailable")
            && in_trouble(disk)
    })
}

/// The node counts as off until it says that it has started, but no longer than something holds it up. Nobody can count on its
/// copies then for as long as a disk with something wrong keeps it from mounting a volume: that is tried again every few
/// seconds.
fn over_when_started(run: &Arc<Run>, node: &NodeRef, trouble: TroubleNumber) {
    let (run, node) = (Arc::clone(run), node.clone());
    drop(run.env().clone().spawn("node starts", async move {
        while !run.is_rested() && is_held_up(&run, &node) {
            let starts = match watch::status(&run, &node).await {
                Ok(status) => matches!(status.state.as_str(), "mounting" | "initializing"),
                Err(_) => run.world.life(&node) != Life::Off,
            };
            if !starts {
                break;
            }
            run.pause(LOOK_EVERY).await;
        }
        let (number, now) = (run.number(&node), run.now());
        let without_copies = {
            let mut reach = lock(&run.reach);
            reach.over(now, trouble);
            reach.copies_out(now, number)
        };
        while !run.is_rested() && is_held_up(&run, &node) && lacks_volumes(&run, &node).await {
            run.pause(LOOK_EVERY).await;
        }
        lock(&run.reach).over(run.now(), without_copies);
    }));
}

/// Starts these nodes, at once.
///
/// # Errors
/// As [`power`].
pub(crate) async fn power_on(run: &Arc<Run>, nodes: &[NodeRef]) -> Result<(), String> {
    let all = nodes.iter().map(|node| switch_on(run, node));
    join_all(all).await.into_iter().collect::<Result<Vec<()>, _>>().map(drop)
}

/// Carries out an action that a heal undoes, and notes it in the account.
async fn apply_reversible(
    run: &Arc<Run>,
    line: usize,
    action: Action,
    trouble: Option<TroubleNumber>,
    of: Of,
) -> Result<(), String> {
    let applied = run.world.apply(action).await?;
    note(run, line, applied.number);
    lock(&run.steps).faults.reversible.insert(applied.number, Reversible { trouble, line, of });
    count(run);
    Ok(())
}

/// Undoes faults by their numbers; those that are undone already are passed over.
///
/// # Errors
/// As [`power`].
pub(crate) async fn reverse(run: &Arc<Run>, numbers: Vec<u64>) -> Result<(), String> {
    for number in numbers {
        let removed = lock(&run.steps).faults.reversible.remove(&number);
        let Some(Reversible { trouble, line, of }) = removed else { continue };
        match run.world.apply(Action::Heal(number)).await {
            Ok(_) => {}
            // What happens once may have happened.
            Err(_) if of == Of::Once => {}
            Err(why) => return Err(why),
        }
        undone(run, line);
        match (trouble, of) {
            (Some(trouble), Of::Disk(disk)) => disks::end_when_well(run, &disk, trouble),
            (Some(trouble), _) => lock(&run.reach).over(run.now(), trouble),
            (None, _) => {}
        }
    }
    count(run);
    Ok(())
}

/// Undoes whatever a line of the account stands for.
///
/// # Errors
/// As [`power`].
pub(crate) async fn reverse_line(run: &Arc<Run>, line: usize) -> Result<(), String> {
    let numbers = lock(&run.steps).faults.of_line(line);
    reverse(run, numbers).await
}

/// Starts every node, mends every link and disk that a step left broken, resumes recovery that one left suspended (what was wiped, is rotten or was pulled stays
/// so; a clock that is off is a fact of the world).
///
/// # Errors
/// As [`power`].
pub(crate) async fn mend_all(run: &Arc<Run>) -> Result<(), String> {
    let broken = lock(&run.steps).faults.of(|fault| fault.of != Of::Clock);
    reverse(run, broken).await?;
    let nodes: Vec<NodeRef> =
        run.scenario.clusters.keys().flat_map(|cluster| run.world.nodes(cluster)).collect();
    for node in nodes {
        // A node that panicked stays down: that is a failure already, and nothing of it is to be hidden.
        let panicked = run.world.panics().iter().any(|panic| panic.node == node);
        if !panicked {
            switch_on(run, &node).await?;
        }
    }
    manage::resume_recovery(run).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_broken_for_good_by_damaged_bytes_until_it_is_made_blank() {
        let of = |kinds: &[DamageKind], is_readable: bool| {
            let node = NodeRef { cluster: "main".to_owned(), node: 1 };
            let disk = DiskRef { node, disk: 1 };
            let damage = |kind: &DamageKind| Damage {
                at: Instant(1),
                disk: disk.clone(),
                kind: *kind,
                ranges: Vec::new(),
            };
            let damage: Vec<Damage> = kinds.iter().map(damage).collect();
            damaged(&damage, |_| is_readable).contains(&disk)
        };
        use DamageKind::{Misdirected, Rot, Unreadable, Unsynced, Wiped};
        for kind in [Rot, Unreadable, Misdirected] {
            assert!(of(&[kind], true) && of(&[Wiped, kind], true), "{kind:?}");
            assert!(!of(&[kind, Wiped], true), "{kind:?}");
        }
        assert!(!of(&[Wiped], false), "such a volume can be used");
        assert!(!of(&[Unsynced], true) && of(&[Unsynced], false) && !of(&[Unsynced, Wiped], false));
    }
}
