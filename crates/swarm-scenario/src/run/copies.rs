//! Which disks hold what: one reading for everybody who judges copies.
//!
//! Copies move, so only the disks tell where they are. A journal that was hit counts as it was until its node stops, for the
//! node goes by what it knows. What lies on a disk that no node has, or that was away for so long that its node refuses it,
//! does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use swarm_cluster::{DiskRef, Image, NodeRef};
use swarm_types::{Instant, Stamp};

use super::{Run, lock};
use crate::oracle::image::{self, Extent, Fault, Id, Volume};

/// What is known of disks beyond what can be read on them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Journals as they were before damage hit them, of nodes that have not stopped since.
    pub(crate) journals: BTreeMap<DiskRef, Arc<Volume>>,
    /// Disks that their node refuses for their age.
    pub(crate) refused: BTreeSet<DiskRef>,
    /// Disks that were plugged into a node that is off, and since when no node has worked with each.
    pub(crate) idle: BTreeMap<DiskRef, Instant>,
}

/// A disk and what its node knows to be on it, at one moment.
pub(crate) struct Disk {
    pub(crate) disk: DiskRef,
    pub(crate) image: Box<dyn Image>,
    pub(crate) volume: Arc<Volume>,
}

/// Why nothing is read on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRead {
    /// It holds nothing, or nothing that counts.
    Nothing,
    /// Damage has hit its journal, and nobody remembers what that said.
    Unknown,
}

impl Disk {
    /// True if this is a whole copy.
    pub(crate) fn is_whole(&self, stream: &Id, extent: &Extent) -> bool {
        self.volume.is_whole(&*self.image, stream, extent)
    }

    /// True if it holds a whole copy of one of these versions.
    pub(crate) fn holds_whole(&self, stamps: &BTreeSet<Stamp>) -> bool {
        self.volume.holds_whole(&*self.image, stamps)
    }

    /// The versions of which it holds whole copies.
    pub(crate) fn copies(&self) -> BTreeSet<Stamp> {
        self.volume.whole(&*self.image)
    }

    /// How new what is filed under each stream is.
    pub(crate) fn records(&self) -> BTreeMap<Id, Stamp> {
        self.volume.filed.iter().map(|(stream, filed)| (*stream, filed.version())).collect()
    }
}

impl Known {
    /// What is known now.
    pub(crate) fn of(run: &Run) -> Self {
        lock(&run.steps).faults.known.clone()
    }

    /// What lies on a disk, if that counts.
    ///
    /// # Errors
    /// [`NotRead`]
    pub(crate) fn read(&self, run: &Run, disk: &DiskRef) -> Result<Disk, NotRead> {
        if self.refused.contains(disk) || run.world.plugged_into(disk).is_none() {
            return Err(NotRead::Nothing);
        }
        let image = run.world.image(disk);
        let volume = match (image::read(&*image), self.journals.get(disk)) {
            (Ok(volume), _) => Arc::new(volume),
            (Err(_), Some(known)) => Arc::clone(known),
            (Err(Fault::Blank), None) => return Err(NotRead::Nothing),
            (Err(Fault::Damaged(_)), None) => return Err(NotRead::Unknown),
        };
        Ok(Disk { disk: disk.clone(), image, volume })
    }

    /// What lies on the disks of these nodes, one after the other.
    pub(crate) fn on<'a>(
        &'a self,
        run: &'a Run,
        nodes: impl IntoIterator<Item = NodeRef> + 'a,
    ) -> impl Iterator<Item = Disk> + 'a {
        let disks = nodes.into_iter().flat_map(|node| run.world.disks(&node));
        disks.filter_map(|disk| self.read(run, &disk).ok())
    }
}
