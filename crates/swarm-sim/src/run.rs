//! The loop: commands, wakes, then one drawn poll or the next instant.
//!
//! The state is locked from the end of one poll to the beginning of the next, and let go for whatever runs code of a
//! host: polls, calls of wakers, drops.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, Once};
use std::task::{Context, Poll, Waker};

use swarm_types::Instant;

use crate::host::{Ending, HostId};
use crate::kernel::{Body, Kernel, OnDone, State};
use crate::log;
use crate::slab::Key;
use crate::trace::Kind;
use crate::wake::{BadWake, Memory, Waiter, lock};

/// The abort flag is looked at every so many steps.
const ABORT_CHECK_STEPS: u64 = 1024;

/// Why a run ended before its future did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// Nothing is left that could ever happen, and the future still waits.
    #[error("deadlock at {at:?}: the future waits and no event is left")]
    Deadlock {
        /// When.
        at: Instant,
    },
    /// Tasks wake each other without time passing.
    #[error(
        "stuck at {at:?}: {polls} polls without time advancing, the last of task {task:?} on {host}"
    )]
    Stuck {
        /// When.
        at: Instant,
        /// Polls since the last event.
        polls: u64,
        /// The task polled last.
        task: &'static str,
        /// Its host.
        host: String,
    },
    /// A thread outside the world woke a task of a host.
    #[error("a task of {host} was woken from a foreign thread")]
    ForeignWake {
        /// The host.
        host: String,
    },
    /// A task of a node woke one of another node or of the harness, or was woken by it: they share memory, which two
    /// machines cannot.
    #[error("a task of {from} woke a task of {to}: they share memory")]
    WakeAcrossHosts {
        /// Who woke.
        from: String,
        /// Who was woken.
        to: String,
    },
    /// The future's own host panicked or was killed.
    #[error("the host of the future ended: {why}")]
    HostEnded {
        /// The panic message, or that it was killed.
        why: String,
    },
    /// The abort flag was set.
    #[error("aborted at {at:?}")]
    Aborted {
        /// When.
        at: Instant,
    },
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs code of a host: a panic in it is kept for the report and not printed.
pub(crate) fn guarded<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            GUARDED.set(self.0);
        }
    }
    let _restore = Restore(GUARDED.replace(true));
    run()
}

/// Makes panics in guarded code leave their place behind; others go to the hook that was there before.
pub(crate) fn install_panic_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if !GUARDED.get() {
                before(info);
                return;
            }
            let place = info.location().map(ToString::to_string);
            PLACE.with_borrow_mut(|kept| *kept = place);
        }));
    });
}

/// Message and place of the panic that was just caught.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    match PLACE.with_borrow_mut(Option::take) {
        Some(place) => format!("{message}, at {place}"),
        None => message,
    }
}

/// A task taken out to be polled.
struct Turn {
    task: Key,
    host: HostId,
    name: &'static str,
    body: Body,
}

enum Step {
    Poll(Turn),
    Advanced,
}

/// What must be called or dropped without the lock, in buffers that live as long as the loop.
#[derive(Default)]
struct Outside {
    wakers: Vec<Waker>,
    trash: Vec<Waiter>,
}

impl Kernel {
    /// Runs the world until `done`, which must not lock its state.
    pub(crate) fn run(self: &Arc<Self>, done: impl Fn() -> bool) -> Result<(), Halt> {
        assert!(
            tokio::runtime::Handle::try_current().is_err(),
            "a simulated world must not run inside a tokio runtime"
        );
        install_panic_hook();
        self.wakes.adopt_thread();
        let _at_work = log::at_work(self);
        let mut outside = Outside::default();
        let mut steps = 0_u64;
        let mut state = lock(&self.state);
        loop {
            state = self.between_polls(state, &mut outside);
            if done() {
                return Ok(());
            }
            if let Some(bad) = self.wakes.failure() {
                return Err(explain(&state, bad));
            }
            if steps.is_multiple_of(ABORT_CHECK_STEPS) && self.abort.load(Ordering::Relaxed) {
                return Err(Halt::Aborted { at: Instant(self.now()) });
            }
            steps += 1;
            match self.step(&mut state)? {
                Step::Poll(turn) => {
                    drop(state);
                    state = self.poll(turn);
                }
                Step::Advanced => {}
            }
        }
    }

    /// Wakes and drops what was left for when no task runs, and carries out the commands.
    fn between_polls<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        outside: &mut Outside,
    ) -> MutexGuard<'a, State> {
        loop {
            state.wake_waiters(&mut outside.wakers);
            if !outside.wakers.is_empty() || !state.to_drop.is_empty() {
                std::mem::swap(&mut state.to_drop, &mut outside.trash);
                drop(state);
                outside.wakers.drain(..).for_each(Waker::wake);
                outside.trash.clear();
                state = lock(&self.state);
                continue;
            }
            if !self.commanded.load(Ordering::Relaxed) {
                return state;
            }
            drop(state);
            let command = lock(&self.commands).pop_front();
            match command {
                Some(command) => command(self),
                None => self.commanded.store(false, Ordering::Relaxed),
            }
            state = lock(&self.state);
        }
    }

    fn step(&self, state: &mut State) -> Result<Step, Halt> {
        self.wakes.take(&mut state.woken);
        state.admit_woken();
        while let Some(task) = state.draw_ready() {
            let Some(host) = state.tasks.get(task).map(|slot| slot.host) else { continue };
            if state.park_if_paused(task, host) {
                continue;
            }
            self.check_progress(state, task)?;
            let Some(slot) = state.tasks.get_mut(task) else { continue };
            let Some(body) = slot.body.take() else { continue };
            self.wakes.begin_poll(host, &slot.wakes);
            let turn = Turn { task, host, name: slot.name, body };
            let sequence = slot.sequence;
            state.trace.record(state.now, Kind::Poll, sequence, u64::from(host.0), 0);
            return Ok(Step::Poll(turn));
        }
        if self.advance(state) {
            Ok(Step::Advanced)
        } else {
            Err(Halt::Deadlock { at: Instant(state.now) })
        }
    }

    /// Counts a poll; too many without an event are the end of the run.
    fn check_progress(&self, state: &mut State, task: Key) -> Result<(), Halt> {
        state.polls += 1;
        state.polls_without_event += 1;
        if state.polls_without_event <= self.polls_without_event_max {
            return Ok(());
        }
        let slot = state.tasks.get(task);
        Err(Halt::Stuck {
            at: Instant(state.now),
            polls: state.polls_without_event,
            task: slot.map_or("", |slot| slot.name),
            host: slot.map_or_else(String::new, |slot| state.host(slot.host).name.to_string()),
        })
    }

    /// Polls a task with the state free, and locks it again.
    fn poll<'a>(self: &'a Arc<Self>, turn: Turn) -> MutexGuard<'a, State> {
        let Turn { task, host, name, mut body } = turn;
        let mut context = Context::from_waker(&body.waker);
        let polled =
            catch_unwind(AssertUnwindSafe(|| guarded(|| body.future.as_mut().poll(&mut context))));
        if let Ok(Poll::Pending) = polled {
            self.wakes.leave();
            let mut state = lock(&self.state);
            if let Some(slot) = state.tasks.get_mut(task) {
                slot.body = Some(body);
            }
            return state;
        }
        let mut panicked = false;
        if let Err(payload) = polled {
            self.record_panic(host, name, &*payload);
            panicked = true;
        }
        // Dropped apart from the poll: a second panic while the first unwinds would end the process.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| guarded(|| drop(body)))) {
            self.record_panic(host, name, &*payload);
            panicked = true;
        }
        self.wakes.leave();
        self.retire_task(task);
        if panicked {
            self.end_host(host, Ending::Panic);
        }
        lock(&self.state)
    }

    fn retire_task(&self, task: Key) {
        let slot = lock(&self.state).tasks.remove(task);
        if let Some(slot) = slot {
            let on_done: Option<Arc<dyn OnDone>> = slot.on_done;
            if let Some(on_done) = on_done {
                on_done.finish();
            }
        }
    }
}

fn explain(state: &State, bad: BadWake) -> Halt {
    let name = |memory: Memory| match memory.node() {
        Some(host) => state.host(host).name.to_string(),
        None => "the harness".to_owned(),
    };
    match bad {
        BadWake::ForeignThread { of } => Halt::ForeignWake { host: name(of) },
        BadWake::Across { from, to } => Halt::WakeAcrossHosts { from: name(from), to: name(to) },
    }
}
