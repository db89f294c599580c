//! Wakes: from any waker of the world into one list that the kernel empties between polls.
//!
//! Knows whose memory the running task may touch, so that a wake across is caught: two nodes share nothing but the
//! network. The hosts of the harness (its own and its clients) share one memory.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
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

/// Who waits for something that the kernel brings about.
pub(crate) enum Waiter {
    /// The task itself: woken without a waker being cloned, called or dropped.
    Task(Key),
    /// Something between the task and what it waits for, such as one branch of a join.
    Waker(Waker),
}

/// Where wakes arrive. The numbers are atomic for the sake of `Sync` alone: one thread reads and writes them.
#[derive(Default)]
pub(crate) struct WakeQueue {
    woken: Mutex<Vec<Key>>,
    /// False only if `woken` is empty, so that looking costs no lock.
    any_woken: AtomicBool,
    current: AtomicU32,
    /// The host whose code ran last.
    host: AtomicU32,
    /// The task that is being polled, and the address of its waker; the address is 0 between polls.
    task: AtomicU64,
    task_mark: AtomicUsize,
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

    /// Code of this host runs until [`WakeQueue::leave`].
    pub(crate) fn enter(&self, host: HostId, memory: Memory) {
        self.host.store(host.0, Ordering::Relaxed);
        self.current.store(memory.0, Ordering::Relaxed);
    }

    /// This task is polled until [`WakeQueue::leave`]: its next wake counts again.
    pub(crate) fn begin_poll(&self, host: HostId, task: &Arc<TaskWaker>) {
        task.queued.store(false, Ordering::Relaxed);
        self.task.store(task.task.bits(), Ordering::Relaxed);
        self.task_mark.store(task.mark(), Ordering::Relaxed);
        self.enter(host, task.memory);
    }

    /// The kernel is at work again.
    pub(crate) fn leave(&self) {
        self.task_mark.store(0, Ordering::Relaxed);
        self.current.store(KERNEL, Ordering::Relaxed);
    }

    /// Who waits if this is the waker of the wait. Called without a lock: the waker may be anybody's.
    pub(crate) fn waiter(&self, waker: &Waker) -> Waiter {
        // The address alone, without the table of functions that `will_wake` compares as well: that may stand in a program
        // more than once, and the choice made here must be the same in every build.
        if waker.data().addr() == self.task_mark.load(Ordering::Relaxed) {
            Waiter::Task(Key::from_bits(self.task.load(Ordering::Relaxed)))
        } else {
            Waiter::Waker(waker.clone())
        }
    }

    /// The host whose code runs.
    pub(crate) fn inside(&self) -> Option<HostId> {
        self.inside_host().then(|| HostId(self.host.load(Ordering::Relaxed)))
    }

    /// True while code of a host runs.
    pub(crate) fn inside_host(&self) -> bool {
        self.current.load(Ordering::Relaxed) != KERNEL
    }

    /// Moves the woken tasks, in the order of their wakes, behind those in `into`.
    pub(crate) fn take(&self, into: &mut Vec<Key>) {
        if self.any_woken.load(Ordering::Relaxed) {
            self.any_woken.store(false, Ordering::Relaxed);
            into.append(&mut lock(&self.woken));
        }
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

    /// What the wakers of this task have in common with no other waker.
    fn mark(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// True if the task stood in no list until now; whoever asks puts it into one.
    pub(crate) fn queue(&self) -> bool {
        // No swap, which costs as much as a lock: the one thread that may wake is this one.
        let queued = self.queued.load(Ordering::Relaxed);
        self.queued.store(true, Ordering::Relaxed);
        !queued
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
        if self.queue() {
            lock(&self.queue.woken).push(self.task);
            self.queue.any_woken.store(true, Ordering::Relaxed);
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

/// Makes `slot` hold `waiter`; hands back the one that is not needed, to be dropped outside the locks.
#[must_use]
pub(crate) fn register(slot: &mut Option<Waiter>, waiter: Waiter) -> Option<Waiter> {
    match (&*slot, &waiter) {
        (Some(Waiter::Task(old)), Waiter::Task(new)) if old == new => None,
        (Some(Waiter::Waker(old)), Waiter::Waker(new)) if old.will_wake(new) => Some(waiter),
        _ => slot.replace(waiter),
    }
}

/// [`register`] for what tasks of the harness wait for among themselves.
#[must_use]
pub(crate) fn register_waker(slot: &mut Option<Waker>, waker: Waker) -> Option<Waker> {
    match slot {
        Some(old) if old.will_wake(&waker) => Some(waker),
        _ => slot.replace(waker),
    }
}
