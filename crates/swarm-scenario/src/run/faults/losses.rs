//! What destruction took from disks, and what it left nowhere: the damage ledger is told.
//!
//! Before something is destroyed the disks that it meets are read; afterwards they are read again, and every disk of the
//! cluster is searched for another whole copy of what they lost, or for another record that is as new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::{DiskRef, Life, NodeRef};
use swarm_types::{Instant, Stamp};

use crate::damage::Taken;
use crate::oracle::image::{self, Id, Volume};
use crate::run::copies::{Disk, Known};
use crate::run::{Run, lock, protection};

/// Unless the file says otherwise (Settings Reference, disk.obsoleteTimeout).
const OBSOLETE: Duration = Duration::from_secs(1_209_600);

/// The disks that their node refuses for their age.
pub(crate) fn refused(run: &Run) -> BTreeSet<DiskRef> {
    lock(&run.steps).faults.known.refused.clone()
}

/// Disks before something happens to them.
pub(crate) fn held<'a>(run: &Run, disks: impl IntoIterator<Item = &'a DiskRef>) -> Vec<Disk> {
    let known = Known::of(run);
    disks.into_iter().filter_map(|disk| known.read(run, disk).ok()).collect()
}

/// Something has happened to these disks of a node: books what they lost. `gone` is the disk that went with it and may come
/// back.
pub(crate) fn book(run: &Run, node: &NodeRef, before: &[Disk], gone: Option<&DiskRef>) {
    let known = Known::of(run);
    let (mut copies, mut records) = (BTreeSet::new(), BTreeMap::new());
    for before in before {
        let now = known.read(run, &before.disk).ok();
        for (stream, filed) in &before.volume.filed {
            let kept = now.as_ref().and_then(|now| Some((now, now.volume.filed.get(stream)?)));
            if kept.is_none_or(|(_, kept)| kept.version() < filed.version()) {
                records.insert(*stream, filed.version());
            }
            let Some(extent) = filed.extent else { continue };
            // What took its place is no loss.
            let is_kept = kept.is_some_and(|(now, kept)| {
                kept.version() > filed.version()
                    || kept.extent.is_some_and(|extent| now.is_whole(stream, &extent))
            });
            if !is_kept && before.is_whole(stream, &extent) {
                copies.insert(filed.version());
            }
        }
    }
    took(run, node, copies, records, gone);
}

/// What disks only say that they have: the versions that their nodes have filed, and that are not in what is durable of their
/// journals. Disks that lie about syncs have such; with the power they are gone.
pub(crate) fn said(run: &Run, disks: &[DiskRef]) -> BTreeMap<DiskRef, BTreeMap<Id, Stamp>> {
    let versions = |volume: &Volume| -> BTreeMap<Id, Stamp> {
        volume.filed.iter().map(|(stream, filed)| (*stream, filed.version())).collect()
    };
    let of_disk = |disk: &DiskRef| {
        let image = run.world.image(disk);
        let filed = versions(&image::read_index(&*image, &run.world.index(disk)?).ok()?);
        let durable = versions(&image::read(&*image).ok()?);
        let only_said: BTreeMap<Id, Stamp> = filed
            .into_iter()
            .filter(|(stream, stamp)| durable.get(stream).is_none_or(|durable| durable < stamp))
            .collect();
        (!only_said.is_empty()).then(|| (disk.clone(), only_said))
    };
    disks.iter().filter_map(of_disk).collect()
}

/// The power of a node has gone, and with it what its disks only said that they have.
pub(crate) fn book_what_was_said(
    run: &Run,
    node: &NodeRef,
    said: BTreeMap<DiskRef, BTreeMap<Id, Stamp>>,
) {
    for (disk, mut records) in said {
        if let Ok(volume) = image::read(&*run.world.image(&disk)) {
            let has = |stream: &Id, stamp: &Stamp| {
                volume.filed.get(stream).is_some_and(|filed| filed.version() >= *stamp)
            };
            records.retain(|stream, stamp| !has(stream, stamp));
        }
        let copies = records.values().copied().collect();
        took(run, node, copies, records, None);
    }
}

/// A node has lost these copies and records: books them, and those that are nowhere else in its cluster.
pub(crate) fn took(
    run: &Run,
    node: &NodeRef,
    copies: BTreeSet<Stamp>,
    records: BTreeMap<Id, Stamp>,
    gone: Option<&DiskRef>,
) {
    let (mut missing, mut last) = (copies.clone(), records.clone());
    let known = Known::of(run);
    for disk in known.on(run, run.world.nodes(&node.cluster)) {
        if missing.is_empty() && last.is_empty() {
            break;
        }
        for (stream, filed) in &disk.volume.filed {
            let stamp = filed.version();
            if last.get(stream).is_some_and(|taken| stamp >= *taken) {
                last.remove(stream);
            }
            if missing.contains(&stamp)
                && filed.extent.is_some_and(|extent| disk.is_whole(stream, &extent))
            {
                missing.remove(&stamp);
            }
        }
    }
    let destroyed = protection::least_demanded(run, &node.cluster, &missing);
    let (node, at, disk) = (run.number(node), run.now(), gone.cloned());
    if !copies.is_empty() || !records.is_empty() {
        let taken = Taken { node, at, disk, copies, records, last };
        lock(&run.reach).damage_mut(node).took(taken, destroyed);
    }
}

/// A journal was hit; this is what it said.
pub(crate) fn journal_hit(run: &Run, disk: &DiskRef, before: Arc<Volume>) {
    lock(&run.steps).faults.known.journals.insert(disk.clone(), before);
}

/// The node has stopped: what it starts from is what its disks say.
pub(crate) fn stopped(run: &Run, node: &NodeRef) {
    let disks = run.world.disks(node);
    let mut before = held(run, &disks);
    for disk in &disks {
        lock(&run.steps).faults.known.journals.remove(disk);
    }
    before.retain(|disk| image::read(&*disk.image).is_err());
    book(run, node, &before, None);
}

/// A node that was off since then is back, with its disks. One that was plugged in meanwhile may have worked elsewhere until
/// later, or not for longer.
pub(crate) fn returned(run: &Run, node: &NodeRef, since: Instant) {
    for disk in run.world.disks(node) {
        let idle = lock(&run.steps).faults.known.idle.remove(&disk);
        if !is_obsolete(run, &disk, &node.cluster, idle.unwrap_or(since)) {
            continue;
        }
        let before = held(run, [&disk]);
        // A blank one is formatted, whoever had it before.
        if before.is_empty() {
            continue;
        }
        lock(&run.steps).faults.known.refused.insert(disk.clone());
        book(run, node, &before, Some(&disk));
    }
}

/// Since when no node has worked with a disk that is plugged into this one: it may be off, or stand still.
pub(crate) fn idle_since(run: &Run, disk: &DiskRef, node: &NodeRef) -> Instant {
    let mut state = lock(&run.steps);
    let idle = state.faults.known.idle.remove(disk);
    idle.or_else(|| state.faults.off.get(node).map(|off| off.since)).unwrap_or_else(|| run.now())
}

/// A disk that was pulled is back; no node has worked with it since then.
pub(crate) fn plugged_in(run: &Run, disk: &DiskRef, into: &NodeRef, since: Instant) {
    lock(&run.steps).faults.known.journals.remove(disk);
    if run.world.life(into) == Life::Off {
        lock(&run.steps).faults.known.idle.insert(disk.clone(), since);
    }
    if is_obsolete(run, disk, &into.cluster, since) {
        lock(&run.steps).faults.known.refused.insert(disk.clone());
    } else {
        counts_again(run, disk);
    }
}

/// A node takes these volumes, by the names of their disks: none of them is refused any more.
pub(crate) fn accepted(run: &Run, takes: impl Fn(&str) -> bool) {
    for disk in refused(run).into_iter().filter(|disk| takes(&disk.to_string())) {
        lock(&run.steps).faults.known.refused.remove(&disk);
        counts_again(run, &disk);
    }
}

/// These disks are blank: nobody refuses them, and nothing is known of them.
pub(crate) fn blank<'a>(run: &Run, disks: impl IntoIterator<Item = &'a DiskRef>) {
    let mut state = lock(&run.steps);
    for disk in disks {
        state.faults.known.refused.remove(disk);
        state.faults.known.journals.remove(disk);
        state.faults.known.idle.remove(disk);
    }
}

fn counts_again(run: &Run, disk: &DiskRef) {
    let Some(node) = run.world.plugged_into(disk).map(|node| run.number(&node)) else { return };
    if let Ok(disk) = Known::of(run).read(run, disk) {
        let (copies, records) = (disk.copies(), disk.records());
        lock(&run.reach).damage_mut(node).returned(&disk.disk, &copies, &records);
    }
}

/// Whether a node refuses a disk with which none has worked since then. Those that have worked with it for a moment before may
/// have left it behind since longer ago, as its journal says.
fn is_obsolete(run: &Run, disk: &DiskRef, cluster: &str, since: Instant) -> bool {
    let marked = image::read(&*run.world.image(disk)).ok().and_then(|volume| volume.behind);
    let behind = marked.map_or(Duration::ZERO, |marked| run.env().wall().since(marked));
    behind.max(run.now().since(since)) >= obsolete(run, cluster)
}

fn obsolete(run: &Run, cluster: &str) -> Duration {
    let limit = run.settings(cluster).get("disk.obsoleteTimeout");
    let limit = limit.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    limit.unwrap_or(OBSOLETE)
}
