//! What destruction left: the versions of which no disk has a whole copy any more go into the damage ledger, and no others.
//!
//! Copies move, so only the disks tell where they are. Before something is destroyed the journals that it meets tell what was
//! there; afterwards every disk of every node is searched for another whole copy. A journal that was hit counts as it was
//! until its node stops, for the node goes by what it knows. What lies on a disk that no node has, or that was away for so
//! long that its node refuses it, does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use swarm_cluster::{DiskRef, Image, NodeRef};
use swarm_types::Stamp;

use crate::oracle::image::{self, Volume};
use crate::run::{Run, lock};

/// Unless the file says otherwise (Settings Reference, disk.obsoleteTimeout).
const OBSOLETE: Duration = Duration::from_secs(1_209_600);

/// What is known of disks beyond what can be read on them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Journals as they were before damage hit them, of nodes that have not stopped since.
    journals: BTreeMap<DiskRef, Volume>,
    /// Disks that their node refuses for their age.
    refused: BTreeSet<DiskRef>,
}

/// The disks that their node refuses for their age.
pub(crate) fn refused(run: &Run) -> BTreeSet<DiskRef> {
    lock(&run.steps).faults.known.refused.clone()
}

/// The acknowledged versions that disks list, before something happens to them.
pub(crate) fn listed<'a>(
    run: &Run,
    disks: impl IntoIterator<Item = &'a DiskRef>,
) -> BTreeSet<Stamp> {
    let mut stamps = BTreeSet::new();
    for disk in disks {
        let image = run.world.image(disk);
        if let Some(volume) = volume(run, disk, &*image) {
            stamps.extend(volume.versions().map(|(_, _, stamp)| stamp));
        }
    }
    stamps
}

/// Something was destroyed, and with it copies of these versions: books those that are whole nowhere.
pub(crate) fn book(run: &Run, mut had: BTreeSet<Stamp>) {
    {
        let ledger = lock(&run.ledger);
        let stamps: BTreeSet<Stamp> =
            ledger.numbers().filter_map(|number| ledger.object(number).newest_stamp()).collect();
        had.retain(|stamp| stamps.contains(stamp));
    }
    let nodes = run.scenario.clusters.keys().flat_map(|cluster| run.world.nodes(cluster));
    for disk in nodes.flat_map(|node| run.world.disks(&node)) {
        if had.is_empty() {
            return;
        }
        if lock(&run.steps).faults.known.refused.contains(&disk) {
            continue;
        }
        let image = run.world.image(&disk);
        if let Some(volume) = volume(run, &disk, &*image) {
            for (stream, extent, stamp) in volume.versions() {
                if had.contains(&stamp) && volume.is_whole(&*image, stream, extent) {
                    had.remove(&stamp);
                }
            }
        }
    }
    lock(&run.reach).damage.destroyed(had);
}

/// A journal was hit; this is what it said.
pub(crate) fn journal_hit(run: &Run, disk: &DiskRef, before: Volume) {
    lock(&run.steps).faults.known.journals.insert(disk.clone(), before);
}

/// The node has stopped: what it starts from is what its disks say.
pub(crate) fn stopped(run: &Run, node: &NodeRef) {
    let mut had = BTreeSet::new();
    for disk in run.world.disks(node) {
        let before = lock(&run.steps).faults.known.journals.remove(&disk);
        if let Some(before) = before
            && image::read(&*run.world.image(&disk)).is_err()
        {
            had.extend(before.versions().map(|(_, _, stamp)| stamp));
        }
    }
    if !had.is_empty() {
        book(run, had);
    }
}

/// Disks are back after so long.
pub(crate) fn returned(run: &Run, cluster: &str, disks: &[DiskRef], away: Duration) {
    let limit = run.settings(cluster).get("disk.obsoleteTimeout");
    let limit = limit.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    if away < limit.unwrap_or(OBSOLETE) {
        return;
    }
    let had = listed(run, disks);
    lock(&run.steps).faults.known.refused.extend(disks.iter().cloned());
    book(run, had);
}

fn volume(run: &Run, disk: &DiskRef, image: &dyn Image) -> Option<Volume> {
    match image::read(image) {
        Ok(volume) => {
            // Compaction may have written the journal anew.
            lock(&run.steps).faults.known.journals.remove(disk);
            Some(volume)
        }
        Err(_) => lock(&run.steps).faults.known.journals.get(disk).cloned(),
    }
}
