//! Disks: when an operation completes, and what a power cut leaves of it. The bytes are in `image`.

pub(crate) mod image;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use swarm_env::{BoxFuture, Disk, Disks, IndexHome, MemoryIndex, SyncMode};
use swarm_types::DiskId;

use crate::dice::Dice;
use crate::env::HostEnv;
use crate::host::{Ending, HostId};
use crate::kernel::{Event, Kernel, State, on_grid};
use crate::options::{DiskModel, Heads};
use crate::slab::Key;
use crate::trace::Kind;
use crate::wake::{Waiter, lock, register};

use image::Image;

/// One disk, wherever it is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskNumber(pub(crate) u32);

/// A simulated disk.
pub(crate) struct Device {
    pub(crate) id: DiskId,
    pub(crate) host: HostId,
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

enum Work {
    Read { offset: u64, len: usize },
    Write { sequence: u64, sync: SyncMode },
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Device {
    pub(crate) fn index(&self) -> &Arc<MemoryIndex> {
        &self.index
    }

    /// When a request of this size, made now, completes.
    fn completes(&mut self, now: u64, bytes: u64, sync: SyncMode) -> u64 {
        let model = self.model;
        let mut time = u128::from(bytes) * 1_000_000_000 / u128::from(model.bandwidth.max(1));
        let mut overlapping = u128::from(nanos(model.request));
        if sync == SyncMode::Sync {
            overlapping += u128::from(nanos(model.sync));
        }
        if model.heads == Heads::One {
            time += overlapping;
            overlapping = 0;
        }
        let start = self.busy_until.max(now);
        self.busy_until = start.saturating_add(u64::try_from(time).unwrap_or(u64::MAX));
        let after = u64::try_from(overlapping).unwrap_or(u64::MAX);
        on_grid(self.busy_until.saturating_add(after).max(now + 1))
    }
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
            host,
            model,
            image: Image::new(capacity),
            index: Arc::default(),
            busy_until: 0,
            last_write_done: 0,
            sequence: 0,
            open_by: None,
            dice,
        });
        DiskNumber(number)
    }

    /// A process is gone. Its disks go on with what they were given; without power they lose what was not synced.
    pub(crate) fn disks_host_down(&mut self, host: HostId, how: Ending) {
        for device in 0..self.disks.len() {
            if self.disks[device].host != host {
                continue;
            }
            self.disks[device].open_by = None;
            if how == Ending::PowerOff {
                self.power_lost(device);
            }
        }
    }

    fn power_lost(&mut self, device: usize) {
        self.void_operations(device);
        let disk = &mut self.disks[device];
        let lost = disk.image.power_loss(&mut disk.dice);
        let index_lost = disk.dice.below(2) == 0;
        if index_lost {
            // A new map instead of an emptied one: nobody can hold the old one and write into the new.
            disk.index = Arc::default();
        }
        let (host, at) = (disk.host, device as u64);
        let fault = self.host(host).off_fault;
        self.bite(fault, lost);
        self.trace.record(self.now, Kind::Fault, fault, at, lost << 1 | u64::from(index_lost));
    }

    /// Operations under way never complete; their waiters are dead or get an error.
    fn void_operations(&mut self, device: usize) {
        let disk = &mut self.disks[device];
        disk.busy_until = 0;
        disk.last_write_done = 0;
        for key in self.disk_ops.keys() {
            let Some(operation) = self.disk_ops.get_mut(key) else { continue };
            if operation.device != device || operation.outcome.is_some() {
                continue;
            }
            operation.outcome = Some(Err(io::Error::other("the disk lost power")));
            self.to_wake.extend(operation.waker.take());
            if operation.detached {
                self.disk_ops.remove(key);
            }
        }
    }

    /// A blank disk in place of the old one; the number of bytes that held data.
    pub(crate) fn wipe_disk(&mut self, device: usize) -> u64 {
        self.void_operations(device);
        let disk = &mut self.disks[device];
        let held = disk.image.held_bytes();
        disk.image = Image::new(disk.image.capacity());
        disk.index = Arc::default();
        held
    }

    /// Damages this share of the durable blocks that hold data, at least one; the damaged ranges.
    pub(crate) fn rot_disk(
        &mut self,
        device: usize,
        share_ppm: u32,
        fault: u64,
    ) -> Vec<(u64, u64)> {
        let disk = &mut self.disks[device];
        let ranges = disk.image.rot(&mut disk.dice, share_ppm, fault);
        for (offset, len) in &ranges {
            self.trace.record(self.now, Kind::Fault, fault, *offset, *len);
        }
        ranges
    }

    /// The event of an operation.
    pub(crate) fn disk_done(&mut self, key: Key) {
        let Some(operation) = self.disk_ops.get_mut(key) else { return };
        if operation.outcome.is_some() {
            return;
        }
        let disk = &mut self.disks[operation.device];
        let (outcome, met, sequence, synced) = match operation.work {
            Work::Read { offset, len } => {
                let (bytes, damage) = disk.image.read(offset, len);
                (Ok(bytes), damage, 0, 0)
            }
            Work::Write { sequence, sync } => {
                if sync == SyncMode::Sync {
                    disk.image.make_durable(sequence);
                }
                (Ok(Bytes::new()), Vec::new(), sequence, u64::from(sync == SyncMode::Sync))
            }
        };
        let device = operation.device as u64;
        operation.outcome = Some(outcome);
        self.to_wake.extend(operation.waker.take());
        if operation.detached {
            self.disk_ops.remove(key);
        }
        for fault in met {
            self.bite(fault, 1);
        }
        self.trace.record(self.now, Kind::DiskDone, device, sequence, synced);
    }

    fn start_operation(&mut self, device: usize, at: u64, work: Work) -> Key {
        let operation = Operation { device, work, outcome: None, waker: None, detached: false };
        let key = self.disk_ops.insert(operation);
        self.schedule(at, Event::Disk(key));
        key
    }

    fn submit(&mut self, device: usize, writes: &[(u64, Bytes)], sync: SyncMode) -> Key {
        let now = self.now;
        let disk = &mut self.disks[device];
        disk.sequence += 1;
        let sequence = disk.sequence;
        let mut total = 0;
        for (offset, bytes) in writes {
            total += bytes.len() as u64;
            disk.image.write(sequence, *offset, bytes);
        }
        let done = disk.completes(now, total, sync).max(disk.last_write_done);
        disk.last_write_done = done;
        if self.trace.on() {
            for (offset, bytes) in writes {
                let digest = self.trace.digest(bytes);
                self.trace.record(now, Kind::Written, device as u64, *offset, digest);
            }
        }
        self.start_operation(device, done, Work::Write { sequence, sync })
    }
}

impl Disks for HostEnv {
    fn list(&self) -> Vec<DiskId> {
        let state = lock(&self.kernel.state);
        let mine = state.disks.iter().filter(|disk| disk.host == self.host);
        let mut ids: Vec<DiskId> = mine.map(|disk| disk.id.clone()).collect();
        ids.sort();
        ids
    }

    fn open(&self, disk: &DiskId) -> BoxFuture<'_, io::Result<Arc<dyn Disk>>> {
        let opened = self.open_now(disk);
        Box::pin(std::future::ready(opened))
    }
}

impl HostEnv {
    fn open_now(&self, id: &DiskId) -> io::Result<Arc<dyn Disk>> {
        let mut state = lock(&self.kernel.state);
        if !state.alive(self.host, self.incarnation) {
            return Err(dead());
        }
        let found = state.disks.iter().position(|disk| disk.host == self.host && disk.id == *id);
        let device = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let disk = &mut state.disks[device];
        if disk.open_by == Some(self.incarnation) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        disk.open_by = Some(self.incarnation);
        Ok(Arc::new(SimDisk {
            env: self.clone(),
            device,
            id: id.clone(),
            capacity: disk.image.capacity(),
            index: Arc::clone(&disk.index),
        }))
    }
}

fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "this incarnation of the host has ended")
}

/// An open disk.
struct SimDisk {
    env: HostEnv,
    device: usize,
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
        let state = lock(&self.env.kernel.state);
        if std::thread::panicking() || !state.alive(self.env.host, self.env.incarnation) {
            return Err(dead());
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
        let at = state.disks[self.device].completes(now, len as u64, SyncMode::NoSync);
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
        if let Ok(mut state) = self.locked() {
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
        if let Ok(mut state) = self.locked() {
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
