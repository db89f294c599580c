//! Bays: which disk is plugged in where, who is told of arrivals and departures, and opening.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use swarm_env::{BoxFuture, Disk, Disks};
use swarm_types::DiskId;

use super::{DiskNumber, SimDisk, dead};
use crate::env::HostEnv;
use crate::host::HostId;
use crate::kernel::State;
use crate::slab::Key;
use crate::trace::Kind;
use crate::wake::{Waiter, lock, register};

/// Somebody who wants to hear of arrivals and departures.
pub(crate) struct BayWatch {
    host: HostId,
    waiter: Option<Waiter>,
}

impl State {
    fn serials(&self, host: HostId) -> Vec<DiskId> {
        let mine = self.disks.iter().filter(|disk| disk.host == Some(host));
        let mut ids: Vec<DiskId> = mine.map(|disk| disk.id.clone()).collect();
        ids.sort();
        ids
    }

    /// A disk of this host has come or gone.
    pub(super) fn bays_changed(&mut self, host: HostId) {
        for key in self.bay_watches.keys() {
            if let Some(watch) = self.bay_watches.get_mut(key).filter(|watch| watch.host == host) {
                self.to_wake.extend(watch.waiter.take());
            }
        }
    }

    /// Takes a disk out of its host; the number of the fault, or `None` if it is in none. It loses its power with that.
    pub(crate) fn pull_disk(&mut self, device: usize) -> Option<u64> {
        let host = self.disks[device].host?;
        let fault = self.new_fault(48, device as u64);
        let under_way = self
            .disk_ops
            .iter()
            .filter(|(_, operation)| operation.device == device && operation.outcome.is_none());
        // Taken from somebody, and from each of its operations.
        let bereaved = under_way.count() as u64 + u64::from(self.disks[device].open_by.is_some());
        self.bite(fault, bereaved);
        self.power_lost(device, fault);
        let disk = &mut self.disks[device];
        disk.host = None;
        disk.open_by = None;
        disk.pulls += 1;
        disk.pulled_by = fault;
        disk.inserted_by = 0;
        self.bays_changed(host);
        Some(fault)
    }

    /// Plugs a disk in; the number of the fault, or `None` if it is in a host already.
    pub(crate) fn insert_disk(&mut self, device: usize, host: HostId) -> Option<u64> {
        if self.disks[device].host.is_some() {
            return None;
        }
        let fault = self.new_fault(49, (device as u64) << 32 | u64::from(host.0));
        let disk = &mut self.disks[device];
        disk.host = Some(host);
        disk.inserted_by = fault;
        self.bays_changed(host);
        Some(fault)
    }

    /// A disk that was just delivered counts who opens it; the number of the fault.
    pub(crate) fn new_disk_inserted(&mut self, disk: DiskNumber) -> u64 {
        let fault = self.new_fault(49, u64::from(disk.0));
        self.disks[disk.0 as usize].inserted_by = fault;
        fault
    }

    /// Takes the index of a disk, before somebody opens it next: who has it open goes on with what there is.
    pub(crate) fn take_index(&mut self, device: usize) -> u64 {
        let fault = self.new_fault(50, device as u64);
        self.disks[device].index_taken_by = fault;
        fault
    }
}

impl Disks for HostEnv {
    fn list(&self) -> Vec<DiskId> {
        lock(&self.kernel.state).serials(self.host)
    }

    fn open(&self, disk: &DiskId) -> BoxFuture<'_, io::Result<Arc<dyn Disk>>> {
        let opened = self.open_now(disk);
        Box::pin(std::future::ready(opened))
    }

    fn changed(&self, seen: &[DiskId]) -> BoxFuture<'_, Vec<DiskId>> {
        Box::pin(Changed { env: self.clone(), seen: seen.to_vec(), watch: None })
    }
}

impl HostEnv {
    fn open_now(&self, id: &DiskId) -> io::Result<Arc<dyn Disk>> {
        let mut guard = lock(&self.kernel.state);
        let state = &mut *guard;
        if !state.alive(self.host, self.incarnation) {
            return Err(dead());
        }
        let mine = |disk: &super::Device| disk.host == Some(self.host) && disk.id == *id;
        let device = state.disks.iter().position(mine);
        let device = device.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let disk = &mut state.disks[device];
        if disk.open_by == Some(self.incarnation) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        disk.open_by = Some(self.incarnation);
        let inserted_by = std::mem::take(&mut disk.inserted_by);
        let index_taken_by = std::mem::take(&mut disk.index_taken_by);
        if index_taken_by != 0 {
            let old = std::mem::take(&mut disk.index);
            let entries = lock(&old).len() as u64;
            state.bite(index_taken_by, entries);
            state.trace.record(state.now, Kind::Fault, index_taken_by, device as u64, entries);
        }
        state.bite(inserted_by, 1);
        let disk = &state.disks[device];
        Ok(Arc::new(SimDisk {
            env: self.clone(),
            device,
            pulls: disk.pulls,
            id: id.clone(),
            capacity: disk.image.capacity(),
            index: Arc::clone(&disk.index),
        }))
    }
}

/// Waits until the list of disks is another one than was seen.
struct Changed {
    env: HostEnv,
    seen: Vec<DiskId>,
    watch: Option<Key>,
}

impl Future for Changed {
    type Output = Vec<DiskId>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waiter = self.env.kernel.wakes.waiter(cx.waker());
        let (host, watch) = (self.env.host, self.watch);
        let mut begun = watch;
        let (polled, unused) = {
            let mut state = lock(&self.env.kernel.state);
            let disks = state.serials(host);
            if disks == self.seen {
                let watch = watch
                    .unwrap_or_else(|| state.bay_watches.insert(BayWatch { host, waiter: None }));
                begun = Some(watch);
                let slot = state.bay_watches.get_mut(watch);
                (Poll::Pending, slot.and_then(|watch| register(&mut watch.waiter, waiter)))
            } else {
                (Poll::Ready(disks), Some(waiter))
            }
        };
        drop(unused);
        self.watch = begun;
        polled
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let Some(watch) = self.watch else { return };
        let gone = lock(&self.env.kernel.state).bay_watches.remove(watch);
        drop(gone);
    }
}
