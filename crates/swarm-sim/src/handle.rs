//! The controls of a world: what a harness does to hosts, and what it may look at.
//!
//! What it does to clocks is in `clocks`, to disks in `disks`, to the network in `net`.

pub(crate) mod clocks;
mod disks;
mod net;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use swarm_env::{BoxFuture, Env, Point};
use swarm_types::Instant;

use crate::host::{Ending, HostId, HostLife, HostPanic};
use crate::kernel::{Event, Kernel, OnDone, State};
use crate::options::{LinkModel, SimOptions};
use crate::run::{Halt, install_panic_hook};
use crate::trace::Checkpoint;
use crate::wake::{lock, register_waker};

/// A simulated world, in the hands of the thread that drives it. Dropped, every host is killed.
pub struct Sim {
    handle: SimHandle,
}

/// What a run was, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Events fired.
    pub events: u64,
    /// Tasks polled.
    pub polls: u64,
    /// Records in the trace.
    pub records: u64,
}

impl Sim {
    /// An empty world at time zero.
    #[must_use]
    pub fn new(options: SimOptions) -> Self {
        install_panic_hook();
        Self { handle: SimHandle { kernel: Kernel::new(options) } }
    }

    /// A traced world of this seed, all else as by default.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::new(SimOptions::new(seed))
    }

    /// The controls.
    #[must_use]
    pub fn handle(&self) -> SimHandle {
        self.handle.clone()
    }

    /// Runs the world until `future`, a task of `host`, has completed.
    ///
    /// # Errors
    /// See [`Halt`]; the world can not be driven on after most of them.
    pub fn run<F>(&mut self, host: HostId, future: F) -> Result<F::Output, Halt>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let kernel = &self.handle.kernel;
        let task = self.handle.spawn_on(host, "main", future);
        kernel.run(|| task.cell.finished.load(Ordering::Relaxed))?;
        let output = lock(&task.cell.ending).output.take();
        output.ok_or_else(|| {
            let panics = self.handle.panics();
            let mine = panics.iter().rev().find(|panic| panic.host == host);
            let why =
                mine.map_or_else(|| "it was killed".to_owned(), |panic| panic.message.clone());
            Halt::HostEnded { why }
        })
    }

    /// [`Sim::run`], for tests.
    ///
    /// # Panics
    /// With the sentence of the [`Halt`].
    pub fn block_on<F>(&mut self, host: HostId, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self.run(host, future) {
            Ok(output) => output,
            Err(halt) => panic!("{halt}"),
        }
    }

    /// Runs the world for this long.
    ///
    /// # Errors
    /// See [`Halt`].
    pub fn run_for(&mut self, duration: Duration) -> Result<(), Halt> {
        let kernel = &self.handle.kernel;
        let until = (Instant(kernel.now()) + duration).0;
        lock(&kernel.state).schedule(until, Event::Stop);
        kernel.run(|| kernel.now() >= until)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.handle.kernel.shut_down();
    }
}

/// The controls of a world. Called between polls they act at once; called from a task of the harness they act before
/// the next poll of any task, and the returned [`Command`] completes then. Only the thread that drives the world may
/// use them.
#[derive(Clone)]
pub struct SimHandle {
    kernel: Arc<Kernel>,
}

impl SimHandle {
    /// Carries `act` out when no task is being polled.
    fn command<R: Send + 'static>(
        &self,
        act: impl FnOnce(&Arc<Kernel>) -> R + Send + 'static,
    ) -> Command<R> {
        let cell = Arc::new(Mutex::new(CommandCell { output: None, waker: None }));
        if !self.kernel.wakes.inside_host() {
            let output = act(&self.kernel);
            lock(&cell).output = Some(output);
            return Command { cell };
        }
        let theirs = Arc::clone(&cell);
        lock(&self.kernel.commands).push_back(Box::new(move |kernel| {
            let output = act(kernel);
            let waker = {
                let mut cell = lock(&theirs);
                cell.output = Some(output);
                cell.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }));
        self.kernel.commanded.store(true, Ordering::Relaxed);
        Command { cell }
    }

    fn with_state<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State) -> R + Send + 'static,
    ) -> Command<R> {
        self.command(move |kernel| act(&mut lock(&kernel.state)))
    }

    /// Adds a host of the harness (its own, or a client's) that runs nothing yet but lives: its first incarnation begins
    /// at once. Tasks of all hosts of the harness may share memory.
    ///
    /// # Panics
    /// If another host has the address.
    pub fn add_host(&self, name: &str, ip: Ipv4Addr) -> HostId {
        let host = lock(&self.kernel.state).add_host(name, ip, 0, true);
        self.kernel.start_host(host);
        host
    }

    /// Adds a host that is off, in this zone; links are chosen by the zones of their ends, and 0 is the zone of
    /// [`SimHandle::add_host`]. Its tasks share memory with nobody: a wake from or to another host ends the run.
    ///
    /// # Panics
    /// If another host has the address.
    pub fn add_node(&self, name: &str, ip: Ipv4Addr, zone: u32) -> HostId {
        lock(&self.kernel.state).add_host(name, ip, zone, false)
    }

    /// What every further incarnation of this host runs first.
    pub fn set_boot<F, Fut>(&self, host: HostId, boot: F)
    where
        F: Fn(Env) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let boot = Arc::new(move |env| -> BoxFuture<'static, ()> { Box::pin(boot(env)) });
        let old = lock(&self.kernel.state).host_mut(host).boot.replace(boot);
        drop(old);
    }

    /// The network from one zone to another, in that direction.
    pub fn set_link(&self, from: u32, to: u32, link: LinkModel) {
        lock(&self.kernel.state).net.set_link(from, to, link);
    }

    /// Bytes that the hosts of one zone have sent into another so far: what streams and datagrams carry, lost ones too, and
    /// nothing of their envelopes.
    #[must_use]
    pub fn carried(&self, from: u32, to: u32) -> u64 {
        lock(&self.kernel.state).net.carried(from, to)
    }

    /// The environment of the present incarnation of a host.
    #[must_use]
    pub fn env(&self, host: HostId) -> Env {
        self.kernel.env(host)
    }

    /// Runs `future` as a task of the present incarnation of a host, which another host may wait for.
    pub fn spawn_on<F>(&self, host: HostId, name: &'static str, future: F) -> HostTask<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cell = Arc::new(TaskCell::default());
        let theirs = Arc::clone(&cell);
        let future = Box::pin(async move {
            let output = future.await;
            lock(&theirs.ending).output = Some(output);
        });
        let on_done = Arc::new(Finisher(Arc::clone(&cell)));
        drop(self.command(move |kernel| {
            let incarnation = lock(&kernel.state).host(host).incarnation;
            kernel.spawn_task(host, incarnation, name, future, Some(on_done));
        }));
        HostTask { cell }
    }

    /// Begins an incarnation; false if one lives.
    pub fn start(&self, host: HostId) -> Command<bool> {
        self.command(move |kernel| kernel.start_host(host))
    }

    /// Ends the process of a host: peers' connections are reset, what its disks were given they still write. The number
    /// of the fault, or `None` if it was off already.
    pub fn kill(&self, host: HostId) -> Command<Option<u64>> {
        self.command(move |kernel| kernel.end_host(host, Ending::Kill))
    }

    /// Takes the power from a host: silence on the network, and of every write that is not synced each block is dropped,
    /// kept or torn. The number of the fault, or `None` if the host was off already.
    pub fn power_off(&self, host: HostId) -> Command<Option<u64>> {
        self.command(move |kernel| kernel.end_host(host, Ending::PowerOff))
    }

    /// The process of a host panics when it passes this place next; [`SimHandle::heal`] calls it off. The number of the
    /// fault; its effect is the panic, which [`SimHandle::panics`] does not list.
    pub fn order_panic(&self, host: HostId, point: Point) -> Command<u64> {
        self.with_state(move |state| state.order_panic(host, point))
    }

    /// [`SimHandle::kill`], then its disks are blank. Also of a host that is off.
    pub fn wipe(&self, host: HostId) -> Command<u64> {
        self.command(move |kernel| {
            let ended = kernel.end_host(host, Ending::Kill);
            let mut state = lock(&kernel.state);
            let fault = match ended {
                Some(fault) => fault,
                None => state.new_fault(32, u64::from(host.0)),
            };
            for disk in 0..state.disks.len() {
                if state.disks[disk].host == Some(host) {
                    let lost = state.wipe_disk(disk);
                    state.bite(fault, lost);
                }
            }
            fault
        })
    }

    /// The process stands still until [`SimHandle::resume`]; the number of the fault, or `None` if it does not run. Its
    /// effects are the tasks that ran late for it.
    pub fn pause(&self, host: HostId) -> Command<Option<u64>> {
        self.command(move |kernel| kernel.pause_host(host))
    }

    /// The process goes on; false if it did not stand still.
    pub fn resume(&self, host: HostId) -> Command<bool> {
        self.command(move |kernel| kernel.resume_host(host))
    }

    /// How many outcomes a fault has changed so far: bytes lost, reads that met damage, messages not delivered,
    /// connections reset, wall clocks read while off.
    #[must_use]
    pub fn effects(&self, fault: u64) -> u64 {
        lock(&self.kernel.state).effects(fault)
    }

    /// Whether the process of a host runs.
    #[must_use]
    pub fn life(&self, host: HostId) -> HostLife {
        lock(&self.kernel.state).host(host).life
    }

    /// Hosts that panicked so far, in order.
    #[must_use]
    pub fn panics(&self) -> Vec<HostPanic> {
        lock(&self.kernel.state).panics.clone()
    }

    /// Time since the world began.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant(self.kernel.now())
    }

    /// How many tasks of each name a host has now.
    #[must_use]
    pub fn tasks(&self, host: HostId) -> BTreeMap<&'static str, u64> {
        let mut tasks = BTreeMap::new();
        for (_, slot) in lock(&self.kernel.state).tasks.iter().filter(|(_, slot)| slot.host == host)
        {
            *tasks.entry(slot.name).or_insert(0) += 1;
        }
        tasks
    }

    /// Hash of everything that happened so far, in hexadecimal; all zeros in a world that is not traced.
    #[must_use]
    pub fn trace_hash(&self) -> String {
        lock(&self.kernel.state).trace.hash()
    }

    /// Hashes along the way: the first that differs between two runs tells when they parted.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        lock(&self.kernel.state).trace.checkpoints()
    }

    /// How much has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = lock(&self.kernel.state);
        Counts { events: state.events, polls: state.polls, records: state.trace.records() }
    }
}

struct CommandCell<R> {
    output: Option<R>,
    waker: Option<Waker>,
}

/// Something that the world does before its next poll. It is done even if nobody waits for it.
pub struct Command<R> {
    cell: Arc<Mutex<CommandCell<R>>>,
}

impl<R> Command<R> {
    /// The outcome of a command given between polls, where it is there at once.
    ///
    /// # Panics
    /// If the command was given by a task: that one has to await it.
    #[must_use]
    pub fn done(self) -> R {
        let output = lock(&self.cell).output.take();
        output.expect("a command given between polls is carried out at once")
    }
}

impl<R> Future for Command<R> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let waker = cx.waker().clone();
        let (output, unused) = {
            let mut cell = lock(&self.cell);
            match cell.output.take() {
                Some(output) => (Some(output), Some(waker)),
                None => (None, register_waker(&mut cell.waker, waker)),
            }
        };
        drop(unused);
        output.map_or(Poll::Pending, Poll::Ready)
    }
}

struct TaskCell<T> {
    /// Apart from the rest, since a run looks at it before every poll.
    finished: AtomicBool,
    ending: Mutex<TaskEnding<T>>,
}

struct TaskEnding<T> {
    output: Option<T>,
    waker: Option<Waker>,
}

impl<T> Default for TaskCell<T> {
    fn default() -> Self {
        let ending = Mutex::new(TaskEnding { output: None, waker: None });
        Self { finished: AtomicBool::new(false), ending }
    }
}

struct Finisher<T>(Arc<TaskCell<T>>);

impl<T: Send> OnDone for Finisher<T> {
    fn finish(&self) {
        let waker = {
            let mut ending = lock(&self.0.ending);
            self.0.finished.store(true, Ordering::Relaxed);
            ending.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A task of a host that another host waits for.
pub struct HostTask<T> {
    cell: Arc<TaskCell<T>>,
}

impl<T> Future for HostTask<T> {
    /// What the task returned; `None` if it died with its incarnation or panicked.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let waker = cx.waker().clone();
        let (polled, unused) = {
            let mut ending = lock(&self.cell.ending);
            if self.cell.finished.load(Ordering::Relaxed) {
                (Poll::Ready(ending.output.take()), Some(waker))
            } else {
                (Poll::Pending, register_waker(&mut ending.waker, waker))
            }
        };
        drop(unused);
        polled
    }
}
