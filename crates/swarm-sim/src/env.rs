//! The seam as one incarnation of one host sees it: clock, dice and tasks. Network and disks are in `net` and `disk`.

use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use swarm_env::{BoxFuture, Clock, Entropy, Env, Parts, Point, Sleep, Tasks};
use swarm_types::{Instant, Timestamp};

use crate::dice::Dice;
use crate::host::{HostId, OrderedPanic};
use crate::kernel::{Event, Kernel, Timer};
use crate::net::nanos;
use crate::options::WORLD_BEGINS;
use crate::slab::Key;
use crate::trace::Kind;
use crate::wake::{lock, register};

/// What work away from the other tasks costs in virtual time: about what handing 64 KiB to a digest thread takes.
const OFFLOAD_COST: Duration = Duration::from_micros(20);

/// One incarnation of one host.
#[derive(Clone)]
pub(crate) struct HostEnv {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) host: HostId,
    pub(crate) incarnation: u32,
    pub(crate) ip: Ipv4Addr,
}

impl HostEnv {
    pub(crate) fn new(kernel: Arc<Kernel>, host: HostId, incarnation: u32, ip: Ipv4Addr) -> Self {
        Self { kernel, host, incarnation, ip }
    }

    pub(crate) fn into_env(self, name: Arc<str>) -> Env {
        let planted = self.kernel.planted.clone();
        let this = Arc::new(self);
        Env::new(Parts {
            name,
            clock: Arc::clone(&this) as Arc<dyn Clock>,
            entropy: Arc::clone(&this) as Arc<dyn Entropy>,
            net: Arc::clone(&this) as Arc<dyn swarm_env::Net>,
            disks: Arc::clone(&this) as Arc<dyn swarm_env::Disks>,
            tasks: this,
            planted,
        })
    }
}

impl Clock for HostEnv {
    fn now(&self) -> Instant {
        Instant(self.kernel.now())
    }

    fn wall(&self) -> Timestamp {
        let mut state = lock(&self.kernel.state);
        let off = state.wall_off(self.host);
        let passed = i64::try_from(state.now).unwrap_or(i64::MAX);
        Timestamp(WORLD_BEGINS.0.saturating_add(passed).saturating_add(off))
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        Box::pin(SimSleep::new(Arc::clone(&self.kernel), at.0, false))
    }

    fn background_now(&self, period: Duration) -> Instant {
        let state = lock(&self.kernel.state);
        Instant(state.stretches.counted(state.now, nanos(period)))
    }

    fn background_until(&self, period: Duration, due: Instant) -> Sleep {
        let kernel = Arc::clone(&self.kernel);
        Box::pin(Beat { kernel, period: nanos(period), due: due.0, changes: 0, sleep: None })
    }
}

/// Waits for a beat of a background interval, through the beginnings and ends of quiet stretches.
struct Beat {
    kernel: Arc<Kernel>,
    period: u64,
    /// In time as the interval counts it.
    due: u64,
    /// What the stretches were when the sleep was computed.
    changes: u32,
    sleep: Option<SimSleep>,
}

impl Future for Beat {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (at, changes) = {
                let mut state = lock(&self.kernel.state);
                let (now, period) = (state.now, self.period);
                let counted = state.stretches.counted(now, period);
                if counted >= self.due {
                    state.beat(period);
                    return Poll::Ready(());
                }
                let at = state.stretches.reaches(now, period, counted, self.due);
                (at, state.stretches.changes)
            };
            if self.sleep.is_none() || self.changes != changes {
                let kernel = Arc::clone(&self.kernel);
                self.changes = changes;
                self.sleep = Some(SimSleep::new(kernel, at, true));
            }
            let Some(sleep) = &mut self.sleep else { return Poll::Pending };
            if Pin::new(sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            // Over, and what was counted meanwhile is looked at anew.
            self.sleep = None;
        }
    }
}

/// A sleep; it is in the heap from its first poll on.
struct SimSleep {
    kernel: Arc<Kernel>,
    at: u64,
    /// It waits for a beat of a background interval.
    background: bool,
    timer: Option<Key>,
}

impl SimSleep {
    const fn new(kernel: Arc<Kernel>, at: u64, background: bool) -> Self {
        Self { kernel, at, background, timer: None }
    }
}

impl Future for SimSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.kernel.now() >= self.at {
            return Poll::Ready(());
        }
        let waiter = self.kernel.wakes.waiter(cx.waker());
        let (timer, unused) = {
            let mut state = lock(&self.kernel.state);
            match self.timer {
                Some(timer) => {
                    let slot = state.timers.get_mut(timer);
                    (timer, slot.and_then(|slot| register(&mut slot.waiter, waiter)))
                }
                None => {
                    let background = self.background;
                    let timer = state.timers.insert(Timer { waiter: Some(waiter), background });
                    state.schedule(self.at, Event::Timer(timer));
                    (timer, None)
                }
            }
        };
        drop(unused);
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for SimSleep {
    fn drop(&mut self) {
        // All events of an instant fire before any task runs: a timer whose time has come is gone already.
        if let Some(timer) = self.timer
            && self.kernel.now() < self.at
        {
            let waiter = lock(&self.kernel.state).cancel_timer(timer);
            drop(waiter);
        }
    }
}

impl Entropy for HostEnv {
    fn fill(&self, label: &'static str, out: &mut [u8]) {
        let mut guard = lock(&self.kernel.state);
        let state = &mut *guard;
        if !state.alive(self.host, self.incarnation) {
            // What a dead incarnation draws while it is dropped reaches nobody and must not move the living.
            out.fill(0);
            return;
        }
        let host = &mut state.hosts[self.host.0 as usize];
        let incarnation = host.incarnation.to_le_bytes();
        let name = Arc::clone(&host.name);
        let dice = host.entropy.entry(label).or_insert_with(|| {
            Dice::new(self.kernel.seed, &[b"host", name.as_bytes(), &incarnation, label.as_bytes()])
        });
        dice.fill(out);
        if state.trace.on() {
            let (label, bytes) = (state.trace.digest(label.as_bytes()), state.trace.digest(out));
            state.trace.record(state.now, Kind::Draw, u64::from(self.host.0), label, bytes);
        }
    }
}

impl Tasks for HostEnv {
    fn passes(&self, point: Point) {
        if lock(&self.kernel.state).is_to_panic(self.host, point) {
            std::panic::panic_any(OrderedPanic);
        }
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        if std::thread::panicking() {
            return;
        }
        self.kernel.spawn_task(self.host, self.incarnation, name, future, None);
    }

    fn offload(
        &self,
        _name: &'static str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, ()> {
        let cost = self.sleep_until(Instant(self.kernel.now()) + OFFLOAD_COST);
        Box::pin(async move {
            cost.await;
            work();
        })
    }
}
