//! What steps do to disks, and what of that destroyed which replicas: the damage ledger is written here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarm_cluster::{Action, Damage, DamageKind, DiskFault, DiskRef, NodeRef};
use swarm_types::Instant;

use super::{Of, apply_reversible, begin, count, losses, note, reverse, undone};
use crate::language::tell::{listed, show_disk_fault, show_share};
use crate::oracle::image::{self, Hit};
use crate::reach::TroubleNumber;
use crate::run::copies::Disk;
use crate::run::watch::{self, LOOK_EVERY};
use crate::run::{Run, lock};

/// A disk that is in no node.
#[derive(Debug, Clone)]
pub(crate) struct Pulled {
    /// Where it was.
    from: NodeRef,
    since: Instant,
    line: usize,
}

/// How blocks are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocks {
    Rotten,
    Unreadable,
}

/// Damages blocks.
///
/// # Errors
/// What the world says about an action that makes no sense.
pub(crate) async fn damage(
    run: &Arc<Run>,
    step: usize,
    disks: &[DiskRef],
    how: Blocks,
    share_ppm: u32,
) -> Result<usize, String> {
    let word = if how == Blocks::Rotten { "rot" } else { "unreadable" };
    let line = begin(run, step, format!("{word} {}, {}", listed(disks), show_share(share_ppm)));
    for disk in disks {
        let node = node_with(run, disk);
        // The journal as it was tells what lies where; afterwards it may be damaged itself.
        let before = losses::held(run, [disk]);
        let was_readable = image::read(&*run.world.image(disk)).is_ok();
        let disk_of_action = disk.clone();
        let applied = run
            .world
            .apply(match how {
                Blocks::Rotten => Action::Rot { disk: disk_of_action, share_ppm },
                Blocks::Unreadable => Action::Unreadable { disk: disk_of_action, share_ppm },
            })
            .await?;
        note(run, line, applied.number);
        let damage = run.world.damage();
        let ranges = damage
            .iter()
            .rfind(|damage| damage.disk == *disk)
            .map(|damage| damage.ranges.clone())
            .unwrap_or_default();
        let number = run.number(&node);
        match before.first() {
            Some(Disk { volume, .. }) => {
                let hit = volume.hit_by(&ranges);
                let journal = hit.journal;
                lock(&run.reach).damage_mut(number).rotten(applied.at, number, hit);
                if journal && was_readable {
                    losses::journal_hit(run, disk, Arc::clone(volume));
                }
            }
            // Nobody knew what was on it.
            None => lock(&run.reach).damage_mut(number).wiped(applied.at, number),
        }
        losses::book(run, &node, &before, None);
        run.look_for_close_call();
    }
    Ok(line)
}

/// Lets something be wrong with disks.
///
/// # Errors
/// As [`damage`].
pub(crate) async fn fault(
    run: &Arc<Run>,
    step: usize,
    disks: &[DiskRef],
    fault: DiskFault,
) -> Result<usize, String> {
    let (word, how) = show_disk_fault(&fault);
    let line = begin(run, step, format!("{word} {}{how}", listed(disks)));
    for disk in disks {
        let trouble = {
            let node = run.number(&node_with(run, disk));
            let mut reach = lock(&run.reach);
            match fault {
                // A disk that only lies does what it is asked until the power goes, and one that takes no writes delivers
                // what it has.
                DiskFault::LieAboutSyncs
                | DiskFault::FailWrites { .. }
                | DiskFault::FailSyncs { .. }
                | DiskFault::ReadOnly
                | DiskFault::Full { .. } => reach.disturbed(run.now()),
                DiskFault::Slow { .. }
                | DiskFault::Stalled
                | DiskFault::FailReads { .. }
                | DiskFault::Misdirect { .. } => reach.copies_out(run.now(), node),
            }
        };
        let action = Action::DiskFault { disk: disk.clone(), fault };
        apply_reversible(run, line, action, Some(trouble), Of::Disk(disk.clone())).await?;
    }
    Ok(line)
}

/// Ends whatever is wrong with disks.
///
/// # Errors
/// As [`damage`].
pub(crate) async fn heal(run: &Arc<Run>, disks: &[DiskRef]) -> Result<(), String> {
    let numbers = lock(&run.steps).faults.of_disks(disks);
    reverse(run, numbers).await
}

/// The copies on a disk count again when its node has its volume: one that met errors may have closed it.
pub(super) fn end_when_well(run: &Arc<Run>, disk: &DiskRef, trouble: TroubleNumber) {
    let (run_of_task, node, disk) = (Arc::clone(run), node_with(run, disk), disk.to_string());
    drop(run.env().spawn("disk healed", async move {
        loop {
            let status = watch::status(&run_of_task, &node).await;
            let is_well = |volume: &watch::VolumeStatus| {
                volume.disk == disk
                    && matches!(volume.state.as_str(), "ok" | "idle" | "retiring" | "retired")
            };
            let well = status.is_ok_and(|status| status.volumes.iter().any(is_well));
            if well || run_of_task.is_rested() {
                break;
            }
            run_of_task.pause(LOOK_EVERY).await;
        }
        if !run_of_task.is_rested() {
            lock(&run_of_task.reach).over(run_of_task.now(), trouble);
        }
    }));
}

/// A disk goes: its copies are gone as far as answers named them, and for a moment the node may still say that it has them.
fn without_copies(run: &Run, node: &NodeRef, before: &[Disk]) {
    let number = run.number(node);
    let mut reach = lock(&run.reach);
    let trouble = reach.copies_out(run.now(), number);
    reach.over(run.now(), trouble);
    match before.first() {
        Some(disk) => {
            let versions = disk.volume.versions().map(|(_, _, stamp)| stamp).collect();
            let hit = Hit { versions, journal: false, unfiled: true };
            reach.damage_mut(number).rotten(run.now(), number, hit);
        }
        None => reach.damage_mut(number).wiped(run.now(), number),
    }
}

/// Pulls disks out of their nodes.
///
/// # Errors
/// As [`damage`].
pub(crate) async fn pull(run: &Arc<Run>, step: usize, disks: &[DiskRef]) -> Result<usize, String> {
    let line = begin(run, step, format!("pull-disk {}", listed(disks)));
    for disk in disks {
        let Some(from) = run.world.plugged_into(disk) else { continue };
        let before = losses::held(run, [disk]);
        let since = losses::idle_since(run, disk, &from);
        without_copies(run, &from, &before);
        let applied = run.world.apply(Action::PullDisk(disk.clone())).await?;
        note(run, line, applied.number);
        let pulled = Pulled { from: from.clone(), since, line };
        lock(&run.steps).faults.pulled.insert(disk.clone(), pulled);
        note_damage(run);
        losses::book(run, &from, &before, Some(disk));
        run.look_for_close_call();
    }
    count(run);
    Ok(line)
}

/// Plugs disks into a node, or each into the one it was pulled out of.
///
/// # Errors
/// As [`damage`].
pub(crate) async fn insert(
    run: &Arc<Run>,
    step: usize,
    disks: &[DiskRef],
    into: Option<&NodeRef>,
) -> Result<usize, String> {
    let place = into.map(|into| format!(" into {into}")).unwrap_or_default();
    let line = begin(run, step, format!("insert-disk {}{place}", listed(disks)));
    plug_in(run, Some(line), disks, into).await?;
    undone(run, line);
    Ok(line)
}

/// Plugs disks in that were pulled; one that another step has plugged in before stays where it is.
///
/// # Errors
/// As [`damage`].
pub(crate) async fn plug_in(
    run: &Arc<Run>,
    line: Option<usize>,
    disks: &[DiskRef],
    into: Option<&NodeRef>,
) -> Result<(), String> {
    for disk in disks {
        if run.world.plugged_into(disk).is_some() {
            continue;
        }
        let pulled = lock(&run.steps).faults.pulled.remove(disk);
        let home = pulled.as_ref().map_or(&disk.node, |pulled| &pulled.from);
        let into = into.unwrap_or(home).clone();
        let action = Action::InsertDisk { disk: disk.clone(), into: into.clone() };
        let applied = run.world.apply(action).await?;
        if let Some(line) = line {
            note(run, line, applied.number);
        }
        if let Some(Pulled { since, line, .. }) = pulled {
            undone(run, line);
            losses::plugged_in(run, disk, &into, since);
        }
    }
    count(run);
    Ok(())
}

/// Pulls disks and plugs blank ones in.
///
/// # Errors
/// As [`damage`].
pub(crate) async fn replace(
    run: &Arc<Run>,
    step: usize,
    disks: &[DiskRef],
) -> Result<usize, String> {
    let line = begin(run, step, format!("replace-disk {}", listed(disks)));
    for disk in disks {
        let Some(node) = run.world.plugged_into(disk) else { continue };
        let before = losses::held(run, [disk]);
        without_copies(run, &node, &before);
        let applied = run.world.apply(Action::ReplaceDisk(disk.clone())).await?;
        note(run, line, applied.number);
        losses::blank(run, [disk]);
        note_damage(run);
        losses::book(run, &node, &before, None);
        run.look_for_close_call();
    }
    Ok(line)
}

/// Takes the index of volumes.
///
/// # Errors
/// As [`damage`].
pub(crate) async fn lose_index(
    run: &Arc<Run>,
    step: usize,
    disks: &[DiskRef],
) -> Result<usize, String> {
    let line = begin(run, step, format!("lose-index {}", listed(disks)));
    for disk in disks {
        let applied = run.world.apply(Action::LoseIndex(disk.clone())).await?;
        note(run, line, applied.number);
    }
    Ok(line)
}

/// Books what disks destroyed by themselves since the last time: blocks that went astray, syncs that were a lie. What such a
/// lie took is for whoever cut the power to say, who knows what was there before.
pub(crate) fn note_damage(run: &Run) {
    let damage = run.world.damage();
    let new: Vec<Damage> = {
        let mut state = lock(&run.steps);
        let seen = std::mem::replace(&mut state.faults.damage_seen, damage.len());
        damage.into_iter().skip(seen).collect()
    };
    for damage in new {
        let node = node_with(run, &damage.disk);
        match damage.kind {
            // Whoever did it has booked it, with the journal as it was before.
            DamageKind::Rot | DamageKind::Wiped | DamageKind::Unreadable => {}
            DamageKind::Misdirected => misdirected(run, &node, &damage),
            DamageKind::Unsynced => {
                let left = whole_on(run, &node, &damage.disk);
                let number = run.number(&node);
                lock(&run.reach).damage_mut(number).all_but(damage.at, number, left);
            }
        }
    }
}

/// Blocks went astray on a disk.
fn misdirected(run: &Run, node: &NodeRef, damage: &Damage) {
    let number = run.number(node);
    let image = run.world.image(&damage.disk);
    let index = || {
        // What the node knows, though its journal is hit.
        let index = run.world.index(&damage.disk)?;
        image::read_index(&*image, &index).ok()
    };
    if image::read(&*image).is_err()
        && let Some(volume) = index()
    {
        losses::journal_hit(run, &damage.disk, Arc::new(volume));
    }
    let held = losses::held(run, [&damage.disk]);
    let Some(disk) = held.first() else {
        return lock(&run.reach).damage_mut(number).wiped(damage.at, number);
    };
    let hit = disk.volume.hit_by(&damage.ranges);
    lock(&run.reach).damage_mut(number).rotten(damage.at, number, hit.clone());
    let whole = disk.copies();
    let copies = hit.versions.into_iter().filter(|stamp| !whole.contains(stamp)).collect();
    losses::took(run, node, copies, BTreeMap::new(), None);
}

/// The versions of which a node has whole copies, on its disks and on this one.
fn whole_on(run: &Run, node: &NodeRef, disk: &DiskRef) -> BTreeSet<swarm_types::Stamp> {
    let mut disks = run.world.disks(node);
    if !disks.contains(disk) {
        disks.push(disk.clone());
    }
    let mut left = BTreeSet::new();
    for disk in disks {
        let image = run.world.image(&disk);
        // A journal that cannot be read has nothing that its node could serve.
        if let Ok(volume) = image::read(&*image) {
            left.extend(volume.whole(&*image));
        }
    }
    left
}

/// The node that has a disk, or had it before it was pulled.
fn node_with(run: &Run, disk: &DiskRef) -> NodeRef {
    let now = run.world.plugged_into(disk);
    now.or_else(|| lock(&run.steps).faults.pulled.get(disk).map(|pulled| pulled.from.clone()))
        .unwrap_or_else(|| disk.node.clone())
}
