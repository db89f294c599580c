//! Wakes: from any waker of the world into one list that the kernel empties between polls.
//!
//! Knows whose memory the running task may touch, so that a wake across is caught: two nodes share nothing but the
//! network. The hosts of the harness (its own and its clients) share one memory.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::host::HostId;
use crate::slab::Key;

/// Locks without regard to poison: nothing panics while it holds one of the world's locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No host: the kernel itself is at work.
const KERNEL: u32 = u32::MAX;

/// The memory that a host's tasks share: its own, or that of the whole harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory(u32);

impl Memory {
    /// Of everything outside the nodes.
    pub(crate) const HARNESS: Self = Self(u32::MAX - 1);

    /// Of one node.
    pub(crate) const fn of(host: HostId) -> Self {
        Self(host.0)
    }

    /// The node whose memory it is.
    pub(crate) fn node(self) -> Option<HostId> {
        (self != Self::HARNESS).then_some(HostId(self.0))
    }
}

thread_local! {
    /// Its address tells threads apart, for far less than a thread id costs.
    static MARK: Cell<u8> = const { Cell::new(0) };
}

fn thread_mark() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// A wake that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadWake {
    ForeignThread { of: Memory },
    Across { from: Memory, to: Memory },
}

/// Where wakes arrive.
#[derive(Default)]
pub(crate) struct WakeQueue {
    woken: Mutex<Vec<Key>>,
    current: AtomicU32,
    thread: AtomicUsize,
    failed: AtomicBool,
    failure: Mutex<Option<BadWake>>,
}

impl WakeQueue {
    pub(crate) fn new() -> Self {
        let queue = Self::default();
        queue.current.store(KERNEL, Ordering::Relaxed);
        queue.adopt_thread();
        queue
    }

    /// From now on this thread is the one that may wake.
    pub(crate) fn adopt_thread(&self) {
        self.thread.store(thread_mark(), Ordering::Relaxed);
    }

    /// Says whose code runs until the next call.
    pub(crate) fn enter(&self, memory: Option<Memory>) {
        self.current.store(memory.map_or(KERNEL, |memory| memory.0), Ordering::Relaxed);
    }

    /// True while code of a host runs.
    pub(crate) fn inside_host(&self) -> bool {
        self.current.load(Ordering::Relaxed) != KERNEL
    }

    /// Moves the woken tasks, in the order of their wakes, behind those in `into`.
    pub(crate) fn take(&self, into: &mut Vec<Key>) {
        into.append(&mut lock(&self.woken));
    }

    /// The first wake that must not have been.
    pub(crate) fn failure(&self) -> Option<BadWake> {
        if self.failed.load(Ordering::Acquire) { lock(&self.failure).clone() } else { None }
    }

    fn fail(&self, bad: BadWake) {
        lock(&self.failure).get_or_insert(bad);
        self.failed.store(true, Ordering::Release);
    }
}

/// The waker of one task.
pub(crate) struct TaskWaker {
    queue: Arc<WakeQueue>,
    task: Key,
    memory: Memory,
    /// Set from the wake until the poll, so that a task stands in the list once.
    queued: AtomicBool,
}

impl TaskWaker {
    pub(crate) fn new(queue: Arc<WakeQueue>, task: Key, memory: Memory) -> Arc<Self> {
        Arc::new(Self { queue, task, memory, queued: AtomicBool::new(false) })
    }

    /// The poll begins: the next wake counts again.
    pub(crate) fn polled(&self) {
        self.queued.store(false, Ordering::Relaxed);
    }

    /// Queues the first poll. Whoever has the environment of a host may start a task there.
    pub(crate) fn first(&self) {
        self.check_thread();
        self.enqueue();
    }

    fn wake_task(&self) {
        self.check_thread();
        let current = self.queue.current.load(Ordering::Relaxed);
        if current != KERNEL && current != self.memory.0 {
            self.queue.fail(BadWake::Across { from: Memory(current), to: self.memory });
        }
        self.enqueue();
    }

    fn check_thread(&self) {
        if self.queue.thread.load(Ordering::Relaxed) != thread_mark() {
            self.queue.fail(BadWake::ForeignThread { of: self.memory });
            panic!("a task of a simulated world was woken from a foreign thread");
        }
    }

    fn enqueue(&self) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            lock(&self.queue.woken).push(self.task);
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_task();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_task();
    }
}

/// Makes `slot` hold `waker`; hands back the one that is not needed, to be dropped outside the locks.
#[must_use]
pub(crate) fn register(slot: &mut Option<Waker>, waker: Waker) -> Option<Waker> {
    match slot {
        Some(old) if old.will_wake(&waker) => Some(waker),
        _ => slot.replace(waker),
    }
}
