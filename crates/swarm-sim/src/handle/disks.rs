//! What a harness does to disks, and what it may see of them.

use std::sync::Arc;

use swarm_types::DiskId;

use super::{Command, SimHandle};
use crate::disk::faults::{Destruction, DiskTrouble};
use crate::disk::image::DiskImage;
use crate::disk::{DiskNumber, index_entries};
use crate::host::HostId;
use crate::options::DiskModel;
use crate::wake::lock;

impl SimHandle {
    /// Plugs a blank disk into a host. Serials are unique in a world.
    pub fn add_disk(
        &self,
        host: HostId,
        id: DiskId,
        capacity: u64,
        model: DiskModel,
    ) -> DiskNumber {
        lock(&self.kernel.state).add_disk(host, id, capacity, model)
    }

    /// Plugs a blank disk into a host that may be running; the disk, and the number of the fault, whose effect is that it
    /// is opened.
    pub fn deliver_disk(
        &self,
        host: HostId,
        id: DiskId,
        capacity: u64,
        model: DiskModel,
    ) -> Command<(DiskNumber, u64)> {
        self.with_state(move |state| {
            let disk = state.add_disk(host, id, capacity, model);
            (disk, state.new_disk_inserted(disk))
        })
    }

    /// Pulls a disk out of its host; the number of the fault, or `None` if it is in none. What was not synced is lost as
    /// by a power cut. The effects are bytes lost and operations failed, and the disk itself if somebody had it open.
    pub fn pull_disk(&self, disk: DiskNumber) -> Command<Option<u64>> {
        self.with_state(move |state| state.pull_disk(disk.0 as usize))
    }

    /// Plugs a disk into a host, its own or another; the number of the fault, whose effect is that somebody opens the disk,
    /// or `None` if it is in a host already.
    pub fn insert_disk(&self, disk: DiskNumber, into: HostId) -> Command<Option<u64>> {
        self.with_state(move |state| state.insert_disk(disk.0 as usize, into))
    }

    /// The host that a disk is plugged into.
    #[must_use]
    pub fn plugged_into(&self, disk: DiskNumber) -> Option<HostId> {
        lock(&self.kernel.state).disks[disk.0 as usize].host
    }

    /// Lets something be wrong with a disk until [`SimHandle::heal`] or [`SimHandle::heal_disk`]; the number of the fault.
    /// Its effects are operations slowed or failed, reads that met a block out of place, and bytes lost with the power
    /// though they were acknowledged.
    pub fn trouble_disk(&self, disk: DiskNumber, trouble: DiskTrouble) -> Command<u64> {
        self.with_state(move |state| state.trouble_disk(disk.0 as usize, trouble))
    }

    /// Ends every trouble of a disk; how many that were. What was destroyed stays so.
    pub fn heal_disk(&self, disk: DiskNumber) -> Command<usize> {
        self.with_state(move |state| state.heal_disk(disk.0 as usize))
    }

    /// Damages this share of the blocks of a disk that hold data, in parts per million, at least one: the number of the
    /// fault and the damaged ranges (offset and length in bytes).
    pub fn rot(&self, disk: DiskNumber, share_ppm: u32) -> Command<(u64, Vec<(u64, u64)>)> {
        self.with_state(move |state| {
            let fault = state.new_fault(34, u64::from(disk.0));
            let ranges = state.rot_disk(disk.0 as usize, share_ppm, fault);
            (fault, ranges)
        })
    }

    /// Makes this share of the blocks of a disk that hold data unreadable, in parts per million, at least one: the number
    /// of the fault and the lost ranges (offset and length in bytes). Such a block can be written again.
    pub fn lose_sectors(
        &self,
        disk: DiskNumber,
        share_ppm: u32,
    ) -> Command<(u64, Vec<(u64, u64)>)> {
        self.with_state(move |state| {
            let fault = state.new_fault(51, u64::from(disk.0));
            let ranges = state.lose_sectors(disk.0 as usize, share_ppm, fault);
            (fault, ranges)
        })
    }

    /// Takes the index of a disk before it is opened next; the number of the fault, whose effects are the entries that are
    /// missing then.
    pub fn lose_index(&self, disk: DiskNumber) -> Command<u64> {
        self.with_state(move |state| state.take_index(disk.0 as usize))
    }

    /// What troubles of disks have destroyed so far, in order.
    #[must_use]
    pub fn destructions(&self) -> Vec<Destruction> {
        lock(&self.kernel.state).destructions.clone()
    }

    /// What is durable on a disk now.
    #[must_use]
    pub fn image(&self, disk: DiskNumber) -> DiskImage {
        lock(&self.kernel.state).disks[disk.0 as usize].image.snapshot()
    }

    /// Copies what is durable on a disk now, at `offset`, without a snapshot of all of it; bytes never written are zero.
    pub fn peek(&self, disk: DiskNumber, offset: u64, out: &mut [u8]) {
        lock(&self.kernel.state).disks[disk.0 as usize].image.read_durable(offset, out);
    }

    /// How often what is durable on a disk has changed so far.
    #[must_use]
    pub fn changes(&self, disk: DiskNumber) -> u64 {
        lock(&self.kernel.state).disks[disk.0 as usize].image.changes()
    }

    /// The memory index of a disk's volume, copied.
    #[must_use]
    pub fn index(&self, disk: DiskNumber) -> Vec<(Vec<u8>, Vec<u8>)> {
        let index = Arc::clone(lock(&self.kernel.state).disks[disk.0 as usize].index());
        index_entries(&index)
    }
}
