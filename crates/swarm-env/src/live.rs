//! The live world: wall clock, real sockets, real files, on tokio.
//!
//! Owns the hosts of one process and what each of them may touch. The caller owns the tokio runtime. A host is one
//! incarnation: [`LiveHost::kill`] ends all of its tasks and closes its disks, and a new host of the same
//! [`HostSpec`] is the next incarnation. The only place besides the command line where real time, real dice, real
//! threads and real sockets are used directly.

#![expect(clippy::disallowed_methods, reason = "the live world is what the bans point to")]

mod clock;
mod disk;
mod entropy;
mod log;
mod net;
mod tasks;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use swarm_types::{DiskId, Instant, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

use crate::{Env, Parts, PlantedBugs};

pub use disk::DiskFault;
pub use log::{LogStamp, log_clock};

use self::disk::LiveDisks;
use self::tasks::Registry;

/// How long a killed host may take to let go of its tasks and disks; a task that does not yield is left behind then.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Everything that live hosts of one process share. Cheap to clone.
#[derive(Clone)]
pub struct LiveWorld {
    shared: Arc<Shared>,
}

struct Shared {
    runtime: Handle,
    origin: std::time::Instant,
    /// Bounds the blocking work that runs at a time.
    offload: Arc<Semaphore>,
    planted: PlantedBugs,
}

/// What a host is made of.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// Its name for logs and reports, such as `main/3`.
    pub name: String,
    /// Its address, such as 127.0.0.11. Two hosts never share one.
    pub ip: Ipv4Addr,
    /// The disks plugged into it.
    pub disks: Vec<LiveDisk>,
}

/// A disk: a folder with a sparse file of fixed size and room for an index.
#[derive(Debug, Clone)]
pub struct LiveDisk {
    /// Its serial.
    pub id: DiskId,
    /// The folder that holds `volume.img` and `index/`; made when the disk is opened first. Removed while the host lives it
    /// is a disk that was pulled, and made again one that was plugged in.
    pub folder: PathBuf,
    /// Size in bytes when `volume.img` is made; an existing one keeps its size.
    pub size: u64,
}

/// Why a host stopped by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// When.
    pub at: Instant,
    /// The task that panicked.
    pub task: &'static str,
    /// What it said.
    pub message: String,
}

impl LiveWorld {
    /// A world whose tasks run on this runtime; its time begins now.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self::with_planted(runtime, PlantedBugs::default())
    }

    /// The same with planted bugs.
    #[must_use]
    pub fn with_planted(runtime: Handle, planted: PlantedBugs) -> Self {
        let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let offload = Arc::new(Semaphore::new(workers));
        let origin = std::time::Instant::now();
        Self { shared: Arc::new(Shared { runtime, origin, offload, planted }) }
    }

    /// Brings a host up. Nothing is opened yet: sockets and disks are opened through its [`Env`].
    #[must_use]
    pub fn host(&self, spec: HostSpec) -> LiveHost {
        let state = Arc::new(HostState {
            name: spec.name.as_str().into(),
            world: Arc::clone(&self.shared),
            dead: AtomicBool::new(false),
            skew_ns: AtomicI64::new(0),
            died: Notify::new(),
            registry: Registry::default(),
        });
        let disks = Arc::new(LiveDisks::new(Arc::clone(&state), spec.disks));
        let env = Env::new(Parts {
            name: spec.name.into(),
            clock: Arc::new(clock::LiveClock::new(Arc::clone(&state))),
            entropy: Arc::new(entropy::LiveEntropy::default()),
            net: Arc::new(net::LiveNet::new(Arc::clone(&state), spec.ip)),
            disks: Arc::clone(&disks) as Arc<dyn crate::Disks>,
            tasks: Arc::new(tasks::LiveTasks::new(Arc::clone(&state))),
            planted: self.shared.planted.clone(),
        });
        LiveHost { env, state, disks }
    }

    /// Time since the world began.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.now()
    }
}

impl Shared {
    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }
}

/// One incarnation of a host. Clones are the same incarnation.
#[derive(Clone)]
pub struct LiveHost {
    env: Env,
    state: Arc<HostState>,
    disks: Arc<LiveDisks>,
}

/// What the parts of one incarnation share.
struct HostState {
    name: Arc<str>,
    world: Arc<Shared>,
    dead: AtomicBool,
    died: Notify,
    skew_ns: AtomicI64,
    registry: Registry,
}

impl HostState {
    /// The wall clock as this host sees it.
    fn wall(&self) -> Timestamp {
        let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)
            }
        };
        Timestamp(nanos.saturating_add(self.skew_ns.load(Ordering::Relaxed)))
    }

    /// True if nothing may leave this host any more: it is dead, or this thread is unwinding from a panic in it.
    fn is_silent(&self) -> bool {
        self.dead.load(Ordering::Acquire) || std::thread::panicking()
    }

    /// Marks the incarnation dead and aborts its tasks, without waiting for them.
    fn stop(&self) {
        self.dead.store(true, Ordering::Release);
        self.died.notify_waiters();
        self.registry.abort_all();
    }
}

impl LiveHost {
    /// The environment of this incarnation.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Ends the incarnation: its tasks are dropped, its connections reset, its disks closed once they have written what
    /// they were given. Completes when all of that has happened.
    ///
    /// # Errors
    /// `TimedOut` if a task or a disk did not let go within ten seconds.
    pub async fn kill(&self) -> io::Result<()> {
        self.state.stop();
        let gone = async {
            self.state.registry.empty().await;
            self.disks.closed().await;
        };
        tokio::time::timeout(KILL_LIMIT, gone).await.map_err(|_| {
            let left = self.state.registry.names().join(", ");
            let why = format!(
                "{} did not end within {KILL_LIMIT:?}; tasks left: {left}",
                self.env.name()
            );
            io::Error::new(io::ErrorKind::TimedOut, why)
        })
    }

    /// Begins what [`LiveHost::kill`] does, without waiting for it.
    pub fn abort(&self) {
        self.state.stop();
    }

    /// True until the host is killed or one of its tasks panics.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.state.dead.load(Ordering::Acquire)
    }

    /// Completes when the host has been killed or has stopped by itself.
    pub async fn died(&self) {
        let died = self.state.died.notified();
        let mut died = std::pin::pin!(died);
        // Enabled before looking, so that a death in between is not missed.
        died.as_mut().enable();
        if self.is_alive() {
            died.await;
        }
    }

    /// The panic that stopped this host, if one did.
    #[must_use]
    pub fn panic(&self) -> Option<Panic> {
        self.state.registry.panic()
    }

    /// Sets how far the host's wall clock is off, in nanoseconds.
    pub fn set_skew(&self, offset_ns: i64) {
        self.state.skew_ns.store(offset_ns, Ordering::Relaxed);
    }
}

/// Says what to do where the system refuses an address or a port; other errors pass unchanged.
fn explain_bind(error: io::Error, address: SocketAddr) -> io::Error {
    let (ip, port) = (address.ip(), address.port());
    let what = match error.kind() {
        io::ErrorKind::AddrNotAvailable if cfg!(target_os = "macos") => {
            format!(
                "this machine does not have the address {ip}; `sudo ifconfig lo0 alias {ip} up` adds it"
            )
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "this machine does not have the address {ip}; use one of 127.0.0.0/8 or add it with `sudo ip address add {ip}/32 dev lo`"
        ),
        io::ErrorKind::AddrInUse => {
            format!(
                "port {port} of {ip} is taken by another program; stop it or choose another port"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} of {ip} may not be opened by this user; choose one above 1023")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), what)
}
