//! Hosts: machines with an address, and the incarnations of the process on them.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use swarm_env::{BoxFuture, Env, Point};
use swarm_types::Instant;

use crate::clocks::WallClock;
use crate::dice::Dice;
use crate::env::HostEnv;
use crate::kernel::{Body, Kernel, OnDone, State, TaskSlot};
use crate::log;
use crate::slab::Key;
use crate::trace::Kind;
use crate::wake::{Memory, TaskWaker, Waiter, lock};

/// First port that is handed out to those who ask for any.
const FIRST_FREE_PORT: u16 = 49_152;

/// One host of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct HostId(pub(crate) u32);

/// Whether the process of a host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostLife {
    /// Running.
    Running,
    /// Standing still: no task is polled, its buffers fill.
    Paused,
    /// No process; the machine may be on or off.
    Off,
}

/// How an incarnation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Kill,
    PowerOff,
    Panic,
}

/// What a panic that the harness ordered carries: nobody is at fault.
pub(crate) struct OrderedPanic;

/// A host whose code panicked; its incarnation ended there. Panics that the harness ordered are none of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPanic {
    /// Which.
    pub host: HostId,
    /// Its name.
    pub name: Arc<str>,
    /// When.
    pub at: Instant,
    /// Name of the task.
    pub task: &'static str,
    /// Message and place.
    pub message: String,
}

/// Runs first in every incarnation of a host.
pub(crate) type Boot = Arc<dyn Fn(Env) -> BoxFuture<'static, ()> + Send + Sync>;

/// One machine.
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) ip: Ipv4Addr,
    pub(crate) memory: Memory,
    pub(crate) incarnation: u32,
    pub(crate) life: HostLife,
    /// True while the machine has no power: it answers nothing at all.
    pub(crate) dark: bool,
    /// The fault that ended the last incarnation, 0 for none.
    pub(crate) off_fault: u64,
    /// Where the process is to panic when it passes there next, and the faults that ordered it.
    traps: Vec<(Point, u64)>,
    pub(crate) boot: Option<Boot>,
    pub(crate) entropy: BTreeMap<&'static str, Dice>,
    pub(crate) clock: WallClock,
    /// The fault that makes the process stand still, 0 for none.
    pause_fault: u64,
    /// Tasks that were woken while the process stood still, and when their turn would have been.
    parked: Vec<(Key, u64)>,
    pub(crate) next_port: u16,
    pub(crate) listeners: BTreeMap<u16, Key>,
    pub(crate) sockets: BTreeMap<u16, Key>,
    pub(crate) zone: u32,
}

impl Host {
    pub(crate) fn is_on(&self) -> bool {
        self.life != HostLife::Off
    }

    /// A free port, counted upwards.
    pub(crate) fn free_port(&mut self) -> Option<u16> {
        for _ in FIRST_FREE_PORT..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
            if !self.listeners.contains_key(&port) && !self.sockets.contains_key(&port) {
                return Some(port);
            }
        }
        None
    }
}

impl State {
    /// Adds a host; one of the harness shares the harness' memory.
    pub(crate) fn add_host(
        &mut self,
        name: &str,
        ip: Ipv4Addr,
        zone: u32,
        harness: bool,
    ) -> HostId {
        let id = HostId(u32::try_from(self.hosts.len()).expect("fewer than 2^32 hosts"));
        assert!(self.by_ip.insert(ip, id).is_none(), "two hosts with the address {ip}");
        self.hosts.push(Host {
            name: name.into(),
            ip,
            memory: if harness { Memory::HARNESS } else { Memory::of(id) },
            incarnation: 0,
            life: HostLife::Off,
            dark: false,
            off_fault: 0,
            traps: Vec::new(),
            boot: None,
            entropy: BTreeMap::new(),
            clock: WallClock::default(),
            pause_fault: 0,
            parked: Vec::new(),
            next_port: FIRST_FREE_PORT,
            listeners: BTreeMap::new(),
            sockets: BTreeMap::new(),
            zone,
        });
        id
    }

    /// The host is to panic when it passes there next; the number of the fault, whose effect is the panic.
    pub(crate) fn order_panic(&mut self, host: HostId, point: Point) -> u64 {
        let fault = self.new_fault(54, u64::from(host.0));
        self.host_mut(host).traps.push((point, fault));
        fault
    }

    /// Takes back the order of this number; false if there is none, or none any more.
    pub(crate) fn call_off_panic(&mut self, fault: u64) -> bool {
        self.hosts.iter_mut().any(|host| {
            let before = host.traps.len();
            host.traps.retain(|(_, number)| *number != fault);
            host.traps.len() < before
        })
    }

    /// True if the host is to panic here, now.
    pub(crate) fn is_to_panic(&mut self, host: HostId, point: Point) -> bool {
        let traps = &mut self.host_mut(host).traps;
        let Some(at) = traps.iter().position(|(trap, _)| *trap == point) else { return false };
        let (_, fault) = traps.swap_remove(at);
        self.bite(fault, 1);
        true
    }

    /// Keeps a drawn task back if its host stands still.
    pub(crate) fn park_if_paused(&mut self, task: Key, host: HostId) -> bool {
        let now = self.now;
        let host = self.host_mut(host);
        if host.life != HostLife::Paused {
            return false;
        }
        host.parked.push((task, now));
        true
    }

    /// The tasks that were held back by a pause; each that would have run earlier than now is an effect of it.
    fn unpark(&mut self, host: HostId) -> Vec<Key> {
        let now = self.now;
        let host = self.host_mut(host);
        let (parked, fault) = (std::mem::take(&mut host.parked), host.pause_fault);
        host.pause_fault = 0;
        let late = parked.iter().filter(|(_, since)| *since < now).count();
        self.bite(fault, late as u64);
        parked.into_iter().map(|(task, _)| task).collect()
    }
}

/// What is left of a task when its incarnation has ended.
struct Remains {
    name: &'static str,
    future: Option<BoxFuture<'static, ()>>,
    on_done: Option<Arc<dyn OnDone>>,
}

impl Kernel {
    /// The environment of the present incarnation.
    pub(crate) fn env(self: &Arc<Self>, host: HostId) -> Env {
        let (name, ip, incarnation) = {
            let state = lock(&self.state);
            let host = state.host(host);
            (Arc::clone(&host.name), host.ip, host.incarnation)
        };
        HostEnv::new(Arc::clone(self), host, incarnation, ip).into_env(name)
    }

    /// Begins an incarnation; false if one lives.
    pub(crate) fn start_host(self: &Arc<Self>, id: HostId) -> bool {
        let boot = {
            let mut state = lock(&self.state);
            let now = state.now;
            let host = state.host_mut(id);
            if host.is_on() {
                return false;
            }
            host.incarnation += 1;
            host.life = HostLife::Running;
            host.dark = false;
            host.entropy.clear();
            let (incarnation, boot) = (host.incarnation, host.boot.clone());
            state.trace.record(now, Kind::Started, u64::from(id.0), u64::from(incarnation), 0);
            state.connections_may_be_healed();
            boot
        };
        if let Some(boot) = boot {
            let env = self.env(id);
            let incarnation = lock(&self.state).host(id).incarnation;
            // The closure is code of the host: it may panic like any other.
            let task = Box::pin(async move { boot(env).await });
            self.spawn_task(id, incarnation, "boot", task, None);
        }
        true
    }

    /// Registers a task; a dead incarnation gets none.
    pub(crate) fn spawn_task(
        self: &Arc<Self>,
        host: HostId,
        incarnation: u32,
        name: &'static str,
        future: BoxFuture<'static, ()>,
        on_done: Option<Arc<dyn OnDone>>,
    ) {
        let mut future = Some(future);
        let wakes = {
            let mut state = lock(&self.state);
            state.alive(host, incarnation).then_some(()).and_then(|()| {
                state.spawned += 1;
                let sequence = state.spawned;
                let memory = state.host(host).memory;
                let mut made = None;
                state.tasks.insert_with(|key| {
                    let wakes = TaskWaker::new(Arc::clone(&self.wakes), key, memory);
                    made = Some(Arc::clone(&wakes));
                    TaskSlot {
                        host,
                        name,
                        sequence,
                        body: future
                            .take()
                            .map(|future| Body { future, waker: Arc::clone(&wakes).into() }),
                        wakes,
                        on_done: on_done.clone(),
                    }
                });
                made
            })
        };
        match wakes {
            Some(wakes) => wakes.first(),
            None => {
                drop(future);
                if let Some(on_done) = on_done {
                    on_done.finish();
                }
            }
        }
    }

    /// Ends the incarnation: marks it dead, then drops its tasks in the order of their spawning, outside every lock.
    /// The number of the fault, or `None` if the host was off already.
    pub(crate) fn end_host(self: &Arc<Self>, id: HostId, how: Ending) -> Option<u64> {
        let (number, remains) = {
            let mut state = lock(&self.state);
            if !state.host(id).is_on() {
                return None;
            }
            // What a paused host did not do in time it will not do at all.
            drop(state.unpark(id));
            let number = state.new_fault(how as u64, u64::from(id.0));
            let now = state.now;
            let host = state.host_mut(id);
            host.life = HostLife::Off;
            host.dark = how == Ending::PowerOff;
            host.off_fault = number;
            host.entropy.clear();
            let incarnation = u64::from(host.incarnation);
            state.trace.record(now, Kind::Ended, u64::from(id.0), incarnation, how as u64);
            state.net_host_down(id, how);
            state.disks_host_down(id, how);
            (number, state.take_tasks(id))
        };
        self.bury(id, remains);
        Some(number)
    }

    fn bury(&self, id: HostId, remains: Vec<Remains>) {
        let mut finished = Vec::new();
        let memory = lock(&self.state).host(id).memory;
        self.wakes.enter(id, memory);
        for task in remains {
            let dropped =
                catch_unwind(AssertUnwindSafe(|| crate::run::guarded(|| drop(task.future))));
            if let Err(payload) = dropped {
                self.record_panic(id, task.name, &*payload);
            }
            finished.extend(task.on_done);
        }
        self.wakes.leave();
        for on_done in finished {
            on_done.finish();
        }
    }

    pub(crate) fn record_panic(&self, id: HostId, task: &'static str, payload: &(dyn Any + Send)) {
        let message = crate::run::panic_message(payload);
        if payload.is::<OrderedPanic>() {
            return;
        }
        let mut state = lock(&self.state);
        let (at, name) = (Instant(state.now), Arc::clone(&state.host(id).name));
        state.panics.push(HostPanic { host: id, name, at, task, message });
    }

    /// The number of the fault, or `None` if the process does not run.
    pub(crate) fn pause_host(&self, id: HostId) -> Option<u64> {
        let mut state = lock(&self.state);
        let now = state.now;
        if state.host(id).life != HostLife::Running {
            return None;
        }
        let fault = state.new_fault(33, u64::from(id.0));
        let host = state.host_mut(id);
        host.life = HostLife::Paused;
        host.pause_fault = fault;
        state.trace.record(now, Kind::Paused, u64::from(id.0), 1, 0);
        Some(fault)
    }

    pub(crate) fn resume_host(&self, id: HostId) -> bool {
        let mut state = lock(&self.state);
        let now = state.now;
        let host = state.host_mut(id);
        if host.life != HostLife::Paused {
            return false;
        }
        host.life = HostLife::Running;
        let parked = state.unpark(id);
        state.ready.extend(parked);
        state.trace.record(now, Kind::Paused, u64::from(id.0), 0, 0);
        true
    }

    /// Ends every incarnation and forgets the boot closures, so that nothing keeps the world alive but its owner.
    pub(crate) fn shut_down(self: &Arc<Self>) {
        self.wakes.adopt_thread();
        let _at_work = log::at_work(self);
        let hosts = lock(&self.state).hosts.len();
        for id in 0..hosts {
            let id = HostId(u32::try_from(id).unwrap_or(u32::MAX));
            self.end_host(id, Ending::Kill);
            let boot = lock(&self.state).host_mut(id).boot.take();
            drop(boot);
        }
        let commands = std::mem::take(&mut *lock(&self.commands));
        self.commanded.store(false, Ordering::Relaxed);
        drop(commands);
        let (wakers, trash) = {
            let mut state = lock(&self.state);
            state.trace.finish();
            (std::mem::take(&mut state.to_wake), std::mem::take(&mut state.to_drop))
        };
        drop((wakers, trash));
    }
}

impl State {
    fn take_tasks(&mut self, host: HostId) -> Vec<Remains> {
        let mut keys: Vec<(u64, Key)> = self
            .tasks
            .iter()
            .filter(|(_, slot)| slot.host == host)
            .map(|(key, slot)| (slot.sequence, key))
            .collect();
        keys.sort_unstable();
        let mut remains = Vec::with_capacity(keys.len());
        for (_, key) in keys {
            if let Some(slot) = self.tasks.remove(key) {
                let (future, waker) = slot.body.map(|body| (body.future, body.waker)).unzip();
                self.to_drop.extend(waker.map(Waiter::Waker));
                remains.push(Remains { name: slot.name, future, on_done: slot.on_done });
            }
        }
        remains
    }
}
