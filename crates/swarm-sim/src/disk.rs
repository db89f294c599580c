//! Disks: when an operation completes, and what a power cut leaves of it.
//!
//! The bytes are in `image`, what makes a disk fail in `faults`, and which disk is plugged in where in `bays`.

pub(crate) mod bays;
pub(crate) mod faults;
pub(crate) mod image;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use swarm_env::{BoxFuture, Disk, IndexHome, MemoryIndex, SyncMode};
use swarm_types::DiskId;

use crate::dice::Dice;
use crate::env::HostEnv;
use crate::host::{Ending, HostId};
use crate::kernel::{Event, Kernel, State, on_grid};
use crate::net::nanos;
use crate::options::{DiskModel, Heads};
use crate::slab::Key;
use crate::trace::Kind;
use crate::wake::{Waiter, lock, register};

use faults::{DestructionKind, Troubles};
use image::Image;

/// One disk, wherever it is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskNumber(pub(crate) u32);

/// A simulated disk.
pub(crate) struct Device {
    pub(crate) id: DiskId,
    /// Where it is plugged in.
    pub(crate) host: Option<HostId>,
    model: DiskModel,
    pub(crate) image: Image,
    index: Arc<MemoryIndex>,
    /// Nanoseconds until when the device is busy with what was asked of it.
    busy_until: u64,
    last_write_done: u64,
    /// Number of the last write.
    sequence: u64,
    /// The incarnation that has it open.
    open_by: Option<u32>,
    /// Counts how often it was pulled: an open disk of another count is not there any more.
    pulls: u32,
    troubles: Troubles,
    /// Operations that a stall keeps from completing.
    held: Vec<Key>,
    /// The fault that pulled it last, 0 for none.
    pulled_by: u64,
    /// The fault that plugged it in, until somebody has opened it; 0 for none.
    inserted_by: u64,
    /// The fault that takes the index before somebody opens the disk next, 0 for none.
    index_taken_by: u64,
    dice: Dice,
}

/// A read or write under way.
pub(crate) struct Operation {
    device: usize,
    work: Work,
    outcome: Option<io::Result<Bytes>>,
    waker: Option<Waiter>,
    /// Nobody waits for it any more; it is removed when it completes.
    detached: bool,
}

#[derive(Clone, Copy)]
enum Work {
    Read {
        offset: u64,
        len: usize,
    },
    Write {
        sequence: u64,
        sync: SyncMode,
    },
    /// What was refused when it was asked for.
    Failed(io::ErrorKind),
}

/// Why an operation of a disk that is gone fails.
pub(crate) const GONE: io::ErrorKind = io::ErrorKind::NotConnected;

impl Device {
    pub(crate) fn index(&self) -> &Arc<MemoryIndex> {
        &self.index
    }

    /// When a request of this size, made now, completes; and by how many nanoseconds faults make that later.
    fn completes(&mut self, now: u64, bytes: u64, sync: SyncMode) -> (u64, u64) {
        let (time, overlapping) = service(&self.model, bytes, sync);
        let mut added = 0;
        let (mut slow_time, mut slow_overlapping) = (time, overlapping);
        if let Some(slow) = self.troubles.slowed(&self.model, now) {
            (slow_time, slow_overlapping) = service(&slow, bytes, sync);
            added = (slow_time + slow_overlapping).saturating_sub(time + overlapping);
        }
        let start = self.busy_until.max(now);
        self.busy_until = start.saturating_add(slow_time);
        let done = on_grid(self.busy_until.saturating_add(slow_overlapping).max(now + 1));
        (done, if on_grid(done - added.min(done)) < done { added } else { 0 })
    }
}

/// How long a device works on a request: what others wait for, and what they do not.
fn service(model: &DiskModel, bytes: u64, sync: SyncMode) -> (u64, u64) {
    let time = u128::from(bytes) * 1_000_000_000 / u128::from(model.bandwidth.max(1));
    let mut time = u64::try_from(time).unwrap_or(u64::MAX / 4);
    let mut overlapping = nanos(model.request);
    if sync == SyncMode::Sync {
        overlapping += nanos(model.sync);
    }
    if model.heads == Heads::One {
        time += overlapping;
        overlapping = 0;
    }
    (time, overlapping)
}

impl State {
    pub(crate) fn add_disk(
        &mut self,
        host: HostId,
        id: DiskId,
        capacity: u64,
        model: DiskModel,
    ) -> DiskNumber {
        let number = u32::try_from(self.disks.len()).expect("fewer than 2^32 disks");
        let dice = Dice::new(self.seed, &[b"kernel", b"disk", id.0.as_bytes()]);
        self.disks.push(Device {
            id,
            host: Some(host),
            model,
            image: Image::new(capacity),
            index: Arc::default(),
            busy_until: 0,
            last_write_done: 0,
            sequence: 0,
            open_by: None,
            pulls: 0,
            troubles: Troubles::default(),
            held: Vec::new(),
            pulled_by: 0,
            inserted_by: 0,
            index_taken_by: 0,
            dice,
        });
        self.bays_changed(host);
        DiskNumber(number)
    }

    /// A process is gone. Its disks go on with what they were given; without power they lose what was not synced.
    pub(crate) fn disks_host_down(&mut self, host: HostId, how: Ending) {
        for device in 0..self.disks.len() {
            if self.disks[device].host != Some(host) {
                continue;
            }
            self.disks[device].open_by = None;
            if how == Ending::PowerOff {
                self.power_lost(device, self.host(host).off_fault);
            }
        }
    }

    /// The cache of a disk is gone, and its operations with it; the fault that took its power.
    fn power_lost(&mut self, device: usize, fault: u64) {
        self.void_operations(device, "the disk lost power");
        let disk = &mut self.disks[device];
        let loss = disk.image.power_loss(&mut disk.dice);
        let index_lost = disk.dice.below(2) == 0;
        if index_lost {
            // A new map instead of an emptied one: nobody can hold the old one and write into the new.
            disk.index = Arc::default();
        }
        self.bite(fault, loss.bytes);
        let detail = loss.bytes << 1 | u64::from(index_lost);
        self.trace.record(self.now, Kind::Fault, fault, device as u64, detail);
        for (fault, bytes) in loss.forgotten {
            self.bite(fault, bytes);
        }
        let claimed = loss.claimed.iter().map(|(_, offset, bytes)| (*offset, *bytes)).collect();
        for (fault, _, bytes) in &loss.claimed {
            self.bite(*fault, *bytes);
        }
        self.destroyed(device, DestructionKind::Unsynced, claimed);
    }

    /// Operations under way never complete; their waiters are dead or get an error.
    fn void_operations(&mut self, device: usize, why: &'static str) {
        let disk = &mut self.disks[device];
        disk.busy_until = 0;
        disk.last_write_done = 0;
        disk.held.clear();
        for key in self.disk_ops.keys() {
            let Some(operation) = self.disk_ops.get_mut(key) else { continue };
            if operation.device != device || operation.outcome.is_some() {
                continue;
            }
            operation.outcome = Some(Err(io::Error::other(why)));
            self.to_wake.extend(operation.waker.take());
            if operation.detached {
                self.disk_ops.remove(key);
            }
        }
    }

    /// A blank disk in place of the old one; the number of bytes that held data.
    pub(crate) fn wipe_disk(&mut self, device: usize) -> u64 {
        self.void_operations(device, "the disk was wiped");
        let disk = &mut self.disks[device];
        let held = disk.image.held_bytes();
        disk.image.wipe();
        disk.index = Arc::default();
        held
    }

    /// The event of an operation.
    pub(crate) fn disk_done(&mut self, key: Key) {
        let Some(operation) = self.disk_ops.get(key) else { return };
        if operation.outcome.is_some() || self.stall_holds(operation.device, key) {
            return;
        }
        let Some(operation) = self.disk_ops.get(key) else { return };
        let (device, work) = (operation.device, operation.work);
        let (outcome, sequence, synced) = match work {
            Work::Read { offset, len } => (self.read_done(device, offset, len), 0, false),
            Work::Write { sequence, sync } => {
                let synced = sync == SyncMode::Sync;
                let outcome = if synced { self.sync_done(device, sequence) } else { Ok(()) };
                (outcome.map(|()| Bytes::new()), sequence, synced)
            }
            Work::Failed(kind) => (Err(kind.into()), 0, false),
        };
        let Some(operation) = self.disk_ops.get_mut(key) else { return };
        let failed = outcome.is_err();
        operation.outcome = Some(outcome);
        self.to_wake.extend(operation.waker.take());
        if operation.detached {
            self.disk_ops.remove(key);
        }
        let flags = u64::from(synced) | u64::from(failed) << 1;
        self.trace.record(self.now, Kind::DiskDone, device as u64, sequence, flags);
    }

    fn start_operation(&mut self, device: usize, at: u64, work: Work) -> Key {
        let operation = Operation { device, work, outcome: None, waker: None, detached: false };
        let key = self.disk_ops.insert(operation);
        self.schedule(at, Event::Disk(key));
        key
    }

    fn submit(&mut self, device: usize, writes: &[(u64, Bytes)], sync: SyncMode) -> Key {
        let now = self.now;
        if let Some(kind) = self.refuses(device, writes) {
            let (done, _) = self.disks[device].completes(now, 0, SyncMode::NoSync);
            return self.start_operation(device, done, Work::Failed(kind));
        }
        let disk = &mut self.disks[device];
        disk.sequence += 1;
        let sequence = disk.sequence;
        let mut total = 0;
        for (offset, bytes) in writes {
            total += bytes.len() as u64;
            disk.image.write(sequence, *offset, bytes);
        }
        let (done, added) = disk.completes(now, total, sync);
        let done = done.max(disk.last_write_done);
        disk.last_write_done = done;
        if added > 0 {
            self.slowed(device);
        }
        if self.trace.on() {
            for (offset, bytes) in writes {
                let digest = self.trace.digest(bytes);
                self.trace.record(now, Kind::Written, device as u64, *offset, digest);
            }
        }
        self.start_operation(device, done, Work::Write { sequence, sync })
    }
}

fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "this incarnation of the host has ended")
}

/// An open disk.
struct SimDisk {
    env: HostEnv,
    device: usize,
    /// The count of pulls when it was opened.
    pulls: u32,
    id: DiskId,
    capacity: u64,
    index: Arc<MemoryIndex>,
}

impl SimDisk {
    fn kernel(&self) -> &Arc<Kernel> {
        &self.env.kernel
    }

    /// The state, if this incarnation may still touch the disk.
    fn locked(&self) -> io::Result<std::sync::MutexGuard<'_, State>> {
        let mut state = lock(&self.env.kernel.state);
        if std::thread::panicking() || !state.alive(self.env.host, self.env.incarnation) {
            return Err(dead());
        }
        let disk = &state.disks[self.device];
        if disk.pulls != self.pulls {
            let fault = disk.pulled_by;
            state.bite(fault, 1);
            return Err(GONE.into());
        }
        Ok(state)
    }

    fn fits(&self, offset: u64, len: usize) -> io::Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.capacity => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn begin_write(&self, writes: &[(u64, Bytes)], sync: SyncMode) -> io::Result<Key> {
        for (offset, bytes) in writes {
            self.fits(*offset, bytes.len())?;
        }
        Ok(self.locked()?.submit(self.device, writes, sync))
    }

    fn begin_read(&self, offset: u64, len: usize) -> io::Result<Key> {
        self.fits(offset, len)?;
        let mut state = self.locked()?;
        let now = state.now;
        let (at, added) = state.disks[self.device].completes(now, len as u64, SyncMode::NoSync);
        if added > 0 {
            state.slowed(self.device);
        }
        state.trace.record(now, Kind::Read, self.device as u64, offset, len as u64);
        Ok(state.start_operation(self.device, at, Work::Read { offset, len }))
    }

    fn wait(&self, begun: io::Result<Key>) -> Waiting {
        Waiting { kernel: Arc::clone(self.kernel()), begun: Some(begun) }
    }
}

impl Disk for SimDisk {
    fn id(&self) -> &DiskId {
        &self.id
    }

    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn room(&self) -> u64 {
        self.locked().map_or(0, |mut state| state.disk_room(self.device))
    }

    fn submit(
        &self,
        writes: Vec<(u64, Bytes)>,
        sync: SyncMode,
    ) -> BoxFuture<'static, io::Result<()>> {
        let waiting = self.wait(self.begin_write(&writes, sync));
        Box::pin(async move { waiting.await.map(drop) })
    }

    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        Box::pin(self.wait(self.begin_read(offset, len)))
    }

    fn discard(&self, offset: u64, len: u64) {
        if let Ok(mut state) = self.locked()
            && !state.disks[self.device].troubles.read_only()
        {
            let len = len.min(self.capacity.saturating_sub(offset));
            state.disks[self.device].image.discard(offset, len);
            let now = state.now;
            state.trace.record(now, Kind::Written, self.device as u64, offset, len);
        }
    }

    fn index_home(&self) -> IndexHome {
        IndexHome::Memory(Arc::clone(&self.index))
    }
}

impl Drop for SimDisk {
    fn drop(&mut self) {
        let mut state = lock(&self.env.kernel.state);
        if state.alive(self.env.host, self.env.incarnation)
            && state.disks[self.device].pulls == self.pulls
        {
            state.disks[self.device].open_by = None;
        }
    }
}

/// Waits for an operation. Dropped, it recalls nothing.
struct Waiting {
    kernel: Arc<Kernel>,
    begun: Option<io::Result<Key>>,
}

impl Future for Waiting {
    type Output = io::Result<Bytes>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let key = match &self.begun {
            Some(Ok(key)) => *key,
            _ => {
                let failed = self.begun.take();
                return Poll::Ready(match failed {
                    Some(Err(error)) => Err(error),
                    _ => Err(dead()),
                });
            }
        };
        let waiter = self.kernel.wakes.waiter(cx.waker());
        let (outcome, unused) = {
            let mut state = lock(&self.kernel.state);
            match state.disk_ops.get_mut(key) {
                None => (Some(Err(dead())), None),
                Some(operation) if operation.outcome.is_some() => (
                    state.disk_ops.remove(key).and_then(|operation| operation.outcome),
                    Some(waiter),
                ),
                Some(operation) => (None, register(&mut operation.waker, waiter)),
            }
        };
        drop(unused);
        match outcome {
            Some(outcome) => {
                self.begun = None;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(Ok(key)) = self.begun.take() else { return };
        let waker = {
            let mut state = lock(&self.kernel.state);
            match state.disk_ops.get_mut(key) {
                None => None,
                Some(operation) if operation.outcome.is_some() => {
                    state.disk_ops.remove(key).and_then(|operation| operation.waker)
                }
                Some(operation) => {
                    operation.detached = true;
                    operation.waker.take()
                }
            }
        };
        drop(waker);
    }
}

/// A memory index, for judges.
pub(crate) fn index_entries(
    index: &Mutex<std::collections::BTreeMap<Vec<u8>, Vec<u8>>>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    lock(index).iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
