//! A disk in memory that knows what is durable.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use bytes::Bytes;
use swarm_env::{BoxFuture, Disk, IndexHome, MemoryIndex, SyncMode};
use swarm_types::DiskId;

use super::mix;

const BLOCK: usize = 4096;
const SECTOR: usize = 512;

/// What the disk was told and what it answered, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Submitted { writes: usize, bytes: usize, sync: bool },
    Synced,
}

#[derive(Default)]
struct State {
    durable: Vec<u8>,
    /// Durable and cached writes together: what reads see.
    seen: Vec<u8>,
    cached: Vec<(usize, Bytes)>,
    /// Number of writes that were cached and are durable now.
    synced: usize,
    /// Points so far at which power could have been lost.
    steps: u64,
    crash_at: Option<u64>,
    dead: bool,
    /// Syncs do not complete while this is set.
    held: bool,
    /// Submissions that are to fail, from now on.
    failing: u32,
    /// Reads that are to fail, from now on.
    failing_reads: u32,
    /// Syncs that are to be given up, once so many others have been submitted.
    giving_up: u32,
    before_giving_up: u32,
    events: Vec<Event>,
}

impl State {
    /// One point at which power can be lost.
    fn step(&mut self) {
        self.steps += 1;
        self.dead |= self.crash_at.is_some_and(|at| self.steps >= at);
    }

    /// Whether this submission is to be given up.
    fn gives_up(&mut self, sync: SyncMode) -> bool {
        if sync == SyncMode::NoSync || self.giving_up == 0 {
            return false;
        }
        if self.before_giving_up > 0 {
            self.before_giving_up -= 1;
            return false;
        }
        self.giving_up -= 1;
        true
    }

    /// The first writes that are cached are so no more; they count as done.
    fn settle(&mut self, covered: usize) -> Vec<(usize, Bytes)> {
        let settled = covered.saturating_sub(self.synced);
        self.synced += settled;
        self.cached.drain(..settled).collect()
    }
}

pub(crate) struct TestDisk {
    id: DiskId,
    state: Arc<Mutex<State>>,
    index: IndexHome,
}

impl TestDisk {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Self::of_image(vec![0; capacity], Arc::default())
    }

    pub(crate) fn of_image(image: Vec<u8>, index: Arc<MemoryIndex>) -> Arc<Self> {
        Self::with_index(image, IndexHome::Memory(index))
    }

    pub(crate) fn with_index(image: Vec<u8>, index: IndexHome) -> Arc<Self> {
        let state = State { seen: image.clone(), durable: image, ..State::default() };
        Arc::new(Self { id: DiskId::from("lab/1"), state: Arc::new(Mutex::new(state)), index })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn index(&self) -> Arc<MemoryIndex> {
        match &self.index {
            IndexHome::Memory(index) => Arc::clone(index),
            IndexHome::Folder(_) => panic!("the index is elsewhere"),
        }
    }

    /// Power is lost at this step from now on, counted from 1.
    pub(crate) fn crash_at(&self, step: u64) {
        let mut state = self.state();
        state.crash_at = Some(state.steps + step);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Lets syncs wait, or go on.
    pub(crate) fn hold_syncs(&self, held: bool) {
        self.state().held = held;
    }

    /// The next submissions fail; their writes stay cached all the same.
    pub(crate) fn fail(&self, count: u32) {
        self.state().failing = count;
    }

    /// After so many more syncs the next ones fail, and what they were to make durable is taken for written all the same:
    /// it is read as it was written, and no later sync writes it.
    pub(crate) fn give_up(&self, after: u32, count: u32) {
        let mut state = self.state();
        (state.before_giving_up, state.giving_up) = (after, count);
    }

    /// The process that used the disk is gone, and the power has stayed on.
    pub(crate) fn outlives_process(&self) {
        let mut state = self.state();
        (state.crash_at, state.dead) = (None, false);
    }

    /// The next reads fail.
    pub(crate) fn fail_reads(&self, count: u32) {
        self.state().failing_reads = count;
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    /// Changes a byte where it lies.
    pub(crate) fn flip(&self, at: usize) {
        let mut state = self.state();
        state.durable[at] ^= 0x40;
        state.seen[at] ^= 0x40;
    }

    /// Everything written, as a reader sees it.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.state().seen.clone()
    }

    /// What power loss leaves: of every cached write each block is kept, dropped or torn, as the seed says.
    pub(crate) fn power_loss(&self, seed: u64) -> Vec<u8> {
        let state = self.state();
        let mut image = state.durable.clone();
        let mut draw = mix(seed);
        for (offset, bytes) in &state.cached {
            let mut at = 0;
            while at < bytes.len() {
                let start = offset + at;
                let len = (BLOCK - start % BLOCK).min(bytes.len() - at);
                draw = mix(draw);
                let kept = match draw % 4 {
                    0 => 0,
                    1 => (usize::try_from(draw >> 8).unwrap() % 8 * SECTOR).min(len),
                    _ => len,
                };
                image[start..start + kept].copy_from_slice(&bytes[at..at + kept]);
                at += len;
            }
        }
        image
    }

    /// What power loss leaves if everything not synced is lost.
    pub(crate) fn durable(&self) -> Vec<u8> {
        self.state().durable.clone()
    }
}

impl Disk for TestDisk {
    fn id(&self) -> &DiskId {
        &self.id
    }

    fn capacity(&self) -> u64 {
        self.state().seen.len() as u64
    }

    fn submit(
        &self,
        writes: Vec<(u64, Bytes)>,
        sync: SyncMode,
    ) -> BoxFuture<'static, io::Result<()>> {
        let mut state = self.state();
        let bytes = writes.iter().map(|(_, bytes)| bytes.len()).sum();
        state.events.push(Event::Submitted {
            writes: writes.len(),
            bytes,
            sync: sync == SyncMode::Sync,
        });
        let failed = state.failing > 0;
        state.failing = state.failing.saturating_sub(1);
        let gives_up = state.gives_up(sync);
        for (offset, bytes) in writes {
            let at = usize::try_from(offset).unwrap();
            state.seen[at..at + bytes.len()].copy_from_slice(&bytes);
            state.cached.push((at, bytes));
        }
        state.step();
        let covered = state.synced + state.cached.len();
        drop(state);
        let state = Arc::clone(&self.state);
        let mut polls = 0;
        Box::pin(std::future::poll_fn(move |_| {
            let mut state = state.lock().unwrap();
            polls += 1;
            if state.dead || polls < 3 || (sync == SyncMode::Sync && state.held) {
                return Poll::Pending;
            }
            if gives_up {
                drop(state.settle(covered));
            }
            if failed || gives_up {
                return Poll::Ready(Err(io::Error::other("the device said no")));
            }
            if sync == SyncMode::Sync {
                for (at, bytes) in state.settle(covered) {
                    state.durable[at..at + bytes.len()].copy_from_slice(&bytes);
                }
                state.step();
                if state.dead {
                    return Poll::Pending;
                }
                state.events.push(Event::Synced);
            }
            Poll::Ready(Ok(()))
        }))
    }

    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, io::Result<Bytes>> {
        let mut state = self.state();
        if state.failing_reads > 0 {
            state.failing_reads -= 1;
            return Box::pin(std::future::ready(Err(io::Error::other("the device said no"))));
        }
        let at = usize::try_from(offset).unwrap();
        let read = state.seen.get(at..at + len).map(Bytes::copy_from_slice);
        Box::pin(std::future::ready(read.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())))
    }

    fn discard(&self, _: u64, _: u64) {}

    fn index_home(&self) -> IndexHome {
        self.index.clone()
    }
}
