//! The thread of one disk and its bounded queue.
//!
//! The thread writes in the order submitted, and syncs once for all that wait for durability at that moment.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use swarm_types::DiskId;
use tokio::sync::{oneshot, watch};

use super::dead;
use crate::SyncMode;
use crate::live::{HostState, log};

/// Submits that may wait for the thread. Whoever awaits what it submits never meets this limit.
const QUEUE_MAX: usize = 4096;
/// Submits that one sync may serve: bounds how long the first of them waits for the others.
const GROUP_MAX: usize = 256;
/// Bytes that one sync may serve, for the same reason.
const GROUP_BYTES_MAX: u64 = 64 << 20;

/// What the thread asks of the file of its disk.
pub(super) trait Device: Send + Sync + 'static {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Once this has succeeded, no loss of power takes what was written before.
    fn sync_data(&self) -> io::Result<()>;

    /// Others may open the disk from now on.
    fn unlock(&self) -> io::Result<()>;
}

/// A submit on its way to the thread.
pub(super) struct Job {
    pub(super) writes: Vec<(u64, Bytes)>,
    pub(super) sync: SyncMode,
    /// Told once the writes are applied, or with [`SyncMode::Sync`] durable.
    pub(super) done: oneshot::Sender<io::Result<()>>,
}

/// How far the thread has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// Submits whose writes have been applied, durable or not.
    pub(super) applied: u64,
    /// The thread has ended and the file is unlocked.
    pub(super) closed: bool,
}

/// What is submitted and not yet applied.
pub(super) struct Queue {
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Gone when the disk is being closed.
    jobs: Option<SyncSender<Job>>,
    submitted: u64,
    applied: u64,
    /// Ranges of the submits from `applied` on, start and end in bytes.
    ranges: VecDeque<Vec<(u64, u64)>>,
}

impl Queue {
    /// A queue of this disk, and the end of it that its thread takes from.
    fn new() -> (Self, Receiver<Job>) {
        let (jobs, waiting) = sync_channel(QUEUE_MAX);
        let state = Mutex::new(Waiting { jobs: Some(jobs), ..Waiting::default() });
        (Self { state }, waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn submit(&self, job: Job) -> io::Result<()> {
        let ranges = job.writes.iter().map(|(at, bytes)| (*at, at + bytes.len() as u64)).collect();
        let mut state = self.lock();
        let jobs = state.jobs.as_ref().ok_or_else(dead)?;
        // Sent under the lock, so that the order of the ranges is the order of the jobs; sending never waits.
        match jobs.try_send(job) {
            Ok(()) => {
                state.submitted += 1;
                state.ranges.push_back(ranges);
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                Err(io::Error::other(format!("{QUEUE_MAX} submits already wait for this disk")))
            }
            Err(TrySendError::Disconnected(_)) => Err(dead()),
        }
    }

    /// How many submits must have been applied before this range can be read.
    pub(super) fn applied_needed(&self, start: u64, end: u64) -> Option<u64> {
        let state = self.lock();
        let touching = state
            .ranges
            .iter()
            .rposition(|ranges| ranges.iter().any(|(from, to)| *from < end && start < *to));
        touching.map(|position| state.applied + position as u64 + 1)
    }

    /// One more submit was applied; returns how many that makes.
    fn applied(&self) -> u64 {
        let mut state = self.lock();
        state.ranges.pop_front();
        state.applied += 1;
        state.applied
    }

    /// The thread ends when it has done what is queued.
    pub(super) fn close(&self) {
        let jobs = self.lock().jobs.take();
        drop(jobs);
    }
}

/// Starts the thread of a disk, which ends when its queue is closed and empty.
pub(super) fn start<D: Device>(
    host: &Arc<HostState>,
    disk: &DiskId,
    device: Arc<D>,
) -> io::Result<(Arc<Queue>, watch::Receiver<Progress>)> {
    let (queue, waiting) = Queue::new();
    let queue = Arc::new(queue);
    let (told, progress) = watch::channel(Progress::default());
    let writer = Writer { device, queue: Arc::clone(&queue), told, lost: false };
    let speaks = Arc::clone(host);
    std::thread::Builder::new()
        .name(format!("disk {disk}"))
        .spawn(move || log::of_host_blocking(speaks, || writer.run(&waiting)))?;
    Ok((queue, progress))
}

/// The thread of one disk.
struct Writer<D> {
    device: Arc<D>,
    queue: Arc<Queue>,
    told: watch::Sender<Progress>,
    /// A sync failed: the system may have forgotten which writes it owes, so no later one can be believed.
    lost: bool,
}

impl<D: Device> Writer<D> {
    fn run(mut self, waiting: &Receiver<Job>) {
        while let Ok(first) = waiting.recv() {
            self.serve(first, waiting);
        }
        // Unlocked by name: reads under way may hold the file a moment longer.
        if let Err(error) = self.device.unlock() {
            tracing::warn!(%error, "a disk file could not be unlocked");
        }
        self.told.send_modify(|progress| progress.closed = true);
    }

    /// Applies what waits, in order, then syncs once for all who asked.
    fn serve(&mut self, first: Job, waiting: &Receiver<Job>) {
        let mut synced = Vec::new();
        let (mut bytes, mut count) = (0, 0);
        let mut next = Some(first);
        while let Some(job) = next.take() {
            bytes += job.writes.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
            count += 1;
            let outcome = self.apply(job.writes);
            let applied = self.queue.applied();
            self.told.send_modify(|progress| progress.applied = applied);
            match (outcome, job.sync) {
                (Ok(()), SyncMode::Sync) => synced.push(job.done),
                // Nobody may be waiting any more; the writes stay all the same.
                (outcome, _) => drop(job.done.send(outcome)),
            }
            if count < GROUP_MAX && bytes < GROUP_BYTES_MAX {
                next = waiting.try_recv().ok();
            }
        }
        if synced.is_empty() {
            return;
        }
        let failure = self.sync().err();
        for done in synced {
            let outcome = failure
                .as_ref()
                .map_or(Ok(()), |error| Err(io::Error::new(error.kind(), error.to_string())));
            drop(done.send(outcome));
        }
    }

    fn apply(&self, writes: Vec<(u64, Bytes)>) -> io::Result<()> {
        writes.into_iter().try_for_each(|(at, bytes)| self.device.write_all_at(&bytes, at))
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.lost {
            return Err(io::Error::other("an earlier sync of this disk failed"));
        }
        self.device.sync_data().inspect_err(|_| self.lost = true)
    }
}

#[cfg(test)]
mod tests;
