//! The kernel: the world's state behind one lock, its event heap and its ready list.
//!
//! Everything that happens is an event at a time or a poll of a task. What a host's code may call lives with its
//! subject (`env`, `net`, `disk`); the loop that drives it all is in `run`.

use std::cmp::Ordering as Order;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use swarm_env::{BoxFuture, PlantedBugs};

use crate::clocks::Stretches;
use crate::dice::Dice;
use crate::disk::Device;
use crate::disk::bays::BayWatch;
use crate::disk::faults::Destruction;
use crate::host::{Host, HostId, HostPanic};
use crate::net::{NetState, Side};
use crate::options::SimOptions;
use crate::slab::{Key, Slab};
use crate::trace::{Kind, Tracer};
use crate::wake::{TaskWaker, Waiter, WakeQueue};

/// Network and disk completions fall on multiples of this, so that several tasks are ready at once and the draw among
/// them has something to draw from.
pub(crate) const GRID_NS: u64 = 10_000;

/// One woken task in this many is held back.
const DELAYED_ONE_IN: u64 = 16;

/// A held back task waits for at most this many steps of the grid.
const DELAY_GRID_STEPS_MAX: u64 = 5;

/// Cancelled timers in the heap below this many are not worth a sweep.
const STALE_TIMERS_MIN: usize = 1024;

/// Rounds up to the grid.
pub(crate) const fn on_grid(at: u64) -> u64 {
    at.div_ceil(GRID_NS) * GRID_NS
}

/// Something that will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A held back task may be polled.
    Ready(Key),
    /// A sleep is over.
    Timer(Key),
    /// Bytes of this direction arrive.
    Deliver(Key, Side),
    /// The sender of this direction learns what was read.
    Credit(Key, Side),
    /// A connection may have been silent for too long; the number says which silence.
    Silence(Key, u32),
    /// An attempt to connect makes its next step.
    Dial(Key),
    /// A datagram arrives.
    Datagram(Key),
    /// A disk operation completes.
    Disk(Key),
    /// A quiet stretch is over.
    StretchEnds,
    /// The driver wants to look.
    Stop,
}

struct Entry {
    /// Time, then the drawn tie-break, then the order of scheduling, in one number, since the heap does little but compare.
    /// The order of scheduling wraps after 2^32 events, long after any other of the same time and draw.
    rank: u128,
    event: Event,
}

impl Entry {
    const fn new(at: u64, tie: u32, sequence: u32, event: Event) -> Self {
        Self { rank: (at as u128) << 64 | (tie as u128) << 32 | sequence as u128, event }
    }

    const fn at(&self) -> u64 {
        (self.rank >> 64) as u64
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// Reversed: the heap hands out its greatest entry, and the next event is the earliest.
    fn cmp(&self, other: &Self) -> Order {
        other.rank.cmp(&self.rank)
    }
}

/// One task of one host.
pub(crate) struct TaskSlot {
    pub(crate) host: HostId,
    pub(crate) name: &'static str,
    /// Order of spawning over the whole run.
    pub(crate) sequence: u64,
    /// Absent while it is being polled.
    pub(crate) body: Option<Body>,
    pub(crate) wakes: Arc<TaskWaker>,
    pub(crate) on_done: Option<Arc<dyn OnDone>>,
}

/// A sleep that is not over.
pub(crate) struct Timer {
    pub(crate) waiter: Option<Waiter>,
    /// It waits for a beat of a background interval, whose time a quiet stretch moves.
    pub(crate) background: bool,
}

/// What a poll needs of a task; it leaves the slot for that long, so that nothing of it need be cloned.
pub(crate) struct Body {
    pub(crate) future: BoxFuture<'static, ()>,
    pub(crate) waker: Waker,
}

/// Told by the kernel, between polls, that a task has ended, whichever way.
pub(crate) trait OnDone: Send + Sync {
    fn finish(&self);
}

/// Something to do before the next poll.
pub(crate) type Command = Box<dyn FnOnce(&Arc<Kernel>) + Send>;

/// The world.
pub(crate) struct Kernel {
    /// Nanoseconds since the world began; written with the state locked.
    now: AtomicU64,
    pub(crate) seed: u64,
    pub(crate) planted: PlantedBugs,
    pub(crate) wakes: Arc<WakeQueue>,
    pub(crate) state: Mutex<State>,
    pub(crate) commands: Mutex<VecDeque<Command>>,
    pub(crate) commanded: AtomicBool,
    pub(crate) abort: Arc<AtomicBool>,
    pub(crate) polls_without_event_max: u64,
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) now: u64,
    pub(crate) seed: u64,
    pub(crate) trace: Tracer,
    heap: BinaryHeap<Entry>,
    sequence: u32,
    ties: Dice,
    scheduling: Dice,
    pub(crate) ready: Vec<Key>,
    pub(crate) woken: Vec<Key>,
    pub(crate) tasks: Slab<TaskSlot>,
    pub(crate) spawned: u64,
    pub(crate) timers: Slab<Timer>,
    stale_timers: usize,
    pub(crate) stretches: Stretches,
    pub(crate) hosts: Vec<Host>,
    pub(crate) by_ip: BTreeMap<Ipv4Addr, HostId>,
    pub(crate) net: NetState,
    pub(crate) disks: Vec<Device>,
    pub(crate) disk_ops: Slab<crate::disk::Operation>,
    pub(crate) bay_watches: Slab<BayWatch>,
    pub(crate) destructions: Vec<Destruction>,
    /// Effects by fault number less one.
    effects: Vec<u64>,
    pub(crate) panics: Vec<HostPanic>,
    /// To be woken before the next poll.
    pub(crate) to_wake: Vec<Waiter>,
    /// To be dropped once the lock is gone.
    pub(crate) to_drop: Vec<Waiter>,
    pub(crate) events: u64,
    pub(crate) polls: u64,
    pub(crate) polls_without_event: u64,
}

impl Kernel {
    pub(crate) fn new(options: SimOptions) -> Arc<Self> {
        let seed = options.seed;
        let state = State {
            now: 0,
            seed,
            trace: Tracer::new(options.trace, seed),
            heap: BinaryHeap::new(),
            sequence: 0,
            ties: Dice::kernel(seed, "ties"),
            scheduling: Dice::kernel(seed, "scheduling"),
            ready: Vec::new(),
            woken: Vec::new(),
            tasks: Slab::default(),
            spawned: 0,
            timers: Slab::default(),
            stale_timers: 0,
            stretches: Stretches::default(),
            hosts: Vec::new(),
            by_ip: BTreeMap::new(),
            net: NetState::new(seed, options.link),
            disks: Vec::new(),
            disk_ops: Slab::default(),
            bay_watches: Slab::default(),
            destructions: Vec::new(),
            effects: Vec::new(),
            panics: Vec::new(),
            to_wake: Vec::new(),
            to_drop: Vec::new(),
            events: 0,
            polls: 0,
            polls_without_event: 0,
        };
        Arc::new(Self {
            now: AtomicU64::new(0),
            seed,
            planted: options.planted,
            wakes: Arc::new(WakeQueue::new()),
            state: Mutex::new(state),
            commands: Mutex::default(),
            commanded: AtomicBool::new(false),
            abort: options.abort,
            polls_without_event_max: options.polls_without_event_max,
        })
    }

    /// Nanoseconds since the world began.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Moves time to the next event and fires all events of that instant. False if there is none.
    pub(crate) fn advance(&self, state: &mut State) -> bool {
        let Some(next) = state.heap.peek() else { return false };
        if next.at() > state.now {
            state.now = next.at();
            self.now.store(state.now, Ordering::Relaxed);
        }
        while let Some(event) = state.next_due() {
            state.events += 1;
            if !matches!(event, Event::Ready(_)) {
                // A task that was only held back is no progress: two that wake each other would never be stuck.
                state.polls_without_event = 0;
            }
            state.fire(event);
        }
        true
    }
}

impl State {
    /// Lets `event` happen at `at`, not before now.
    #[inline]
    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.sequence = self.sequence.wrapping_add(1);
        let tie = self.ties.word();
        self.heap.push(Entry::new(at.max(self.now), tie, self.sequence, event));
    }

    /// Takes the first event whose time has come.
    #[inline]
    fn next_due(&mut self) -> Option<Event> {
        let first = self.heap.peek_mut()?;
        (first.at() <= self.now).then(|| PeekMut::pop(first).event)
    }

    fn fire(&mut self, event: Event) {
        match event {
            Event::Ready(task) => self.ready.push(task),
            Event::Timer(timer) => self.fire_timer(timer),
            Event::Deliver(connection, from) => self.deliver(connection, from),
            Event::Credit(connection, from) => self.credit(connection, from),
            Event::Silence(connection, which) => self.silence(connection, which),
            Event::Dial(dial) => self.dial_step(dial),
            Event::Datagram(datagram) => self.datagram_arrives(datagram),
            Event::Disk(operation) => self.disk_done(operation),
            Event::StretchEnds => self.stretches_changed(),
            Event::Stop => {}
        }
    }

    fn fire_timer(&mut self, timer: Key) {
        match self.timers.remove(timer) {
            Some(gone) => {
                self.trace.record(self.now, Kind::Timer, timer.bits(), 0, 0);
                self.to_wake.extend(gone.waiter);
            }
            None => self.stale_timers = self.stale_timers.saturating_sub(1),
        }
    }

    /// Forgets a timer whose event is still in the heap; sweeps the heap when most of it is such timers.
    pub(crate) fn cancel_timer(&mut self, timer: Key) -> Option<Waiter> {
        let gone = self.timers.remove(timer)?;
        self.stale_timers += 1;
        if self.stale_timers >= STALE_TIMERS_MIN && self.stale_timers * 2 > self.heap.len() {
            let timers = &self.timers;
            self.heap.retain(|entry| match entry.event {
                Event::Timer(timer) => timers.contains(timer),
                _ => true,
            });
            self.stale_timers = 0;
        }
        gone.waiter
    }

    /// Wakes the tasks that wait themselves; the wakers of the others go to `wakers`, to be called without the lock.
    pub(crate) fn wake_waiters(&mut self, wakers: &mut Vec<Waker>) {
        for waiter in self.to_wake.drain(..) {
            match waiter {
                Waiter::Task(task) => {
                    if self.tasks.get(task).is_some_and(|slot| slot.wakes.queue()) {
                        self.woken.push(task);
                    }
                }
                Waiter::Waker(waker) => wakers.push(waker),
            }
        }
    }

    /// Takes the woken tasks into the ready list, holding some of them back.
    pub(crate) fn admit_woken(&mut self) {
        if self.woken.is_empty() {
            return;
        }
        let mut woken = std::mem::take(&mut self.woken);
        for task in woken.drain(..) {
            if self.scheduling.below(DELAYED_ONE_IN) == 0 {
                let steps = self.scheduling.between(1, DELAY_GRID_STEPS_MAX);
                self.schedule(self.now + steps * GRID_NS, Event::Ready(task));
            } else {
                self.ready.push(task);
            }
        }
        self.woken = woken;
    }

    /// Draws the next task to poll.
    pub(crate) fn draw_ready(&mut self) -> Option<Key> {
        match self.ready.len() {
            0 => None,
            1 => self.ready.pop(),
            many => {
                let at = self.scheduling.below(many as u64) as usize;
                Some(self.ready.swap_remove(at))
            }
        }
    }

    /// Numbers a new fault, from 1.
    pub(crate) fn new_fault(&mut self, what: u64, detail: u64) -> u64 {
        self.effects.push(0);
        let number = self.effects.len() as u64;
        self.trace.record(self.now, Kind::Fault, number, what, detail);
        number
    }

    /// Counts outcomes that a fault has changed; 0 is no fault.
    pub(crate) fn bite(&mut self, fault: u64, outcomes: u64) {
        if let Some(at) = fault.checked_sub(1)
            && let Some(count) = usize::try_from(at).ok().and_then(|at| self.effects.get_mut(at))
        {
            *count += outcomes;
        }
    }

    pub(crate) fn effects(&self, fault: u64) -> u64 {
        let at = fault.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.effects.get(at)).copied().unwrap_or(0)
    }

    pub(crate) fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.0 as usize]
    }

    pub(crate) fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0 as usize]
    }

    /// True while this incarnation of the host lives, running or paused.
    pub(crate) fn alive(&self, host: HostId, incarnation: u32) -> bool {
        let host = self.host(host);
        host.incarnation == incarnation && host.is_on()
    }
}
