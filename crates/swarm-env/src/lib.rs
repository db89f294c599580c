//! The seam between a node and the world.
//!
//! A node is built with one [`Env`] and reaches time, dice, networks, disks and tasks through nothing else. There are
//! two worlds behind it: the simulated one (`swarm-sim`) and the live one on tokio ([`live`]). One conformance suite
//! runs on both. All futures are `Send`, none needs a runtime of its own, and a cancelled future leaves nothing behind
//! except where [`Disk::submit`] says so.

pub mod clock;
pub mod disk;
pub mod entropy;
pub mod hyper_rt;
pub mod live;
pub mod net;
pub mod planted;
pub mod points;
pub mod tasks;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use clock::{Clock, Elapsed, Interval, Sleep};
pub use disk::{Disk, Disks, IndexHome, MemoryIndex, SyncMode};
pub use entropy::Entropy;
pub use net::{Datagram, Datagrams, Duplex, Listener, Net, Reach, Stream, UdpOptions};
pub use planted::{Bug, PlantedBugs};
pub use points::Point;
pub use tasks::{Task, Tasks};

/// A boxed future, as the methods of the seam return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything that one incarnation of one node may touch of the world. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    parts: Arc<Parts>,
}

/// What an [`Env`] is made of; a world fills it in.
pub struct Parts {
    /// Name of the host for logs and reports, such as `main/3`.
    pub name: Arc<str>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Dice.
    pub entropy: Arc<dyn Entropy>,
    /// Streams and datagrams, from this host's address.
    pub net: Arc<dyn Net>,
    /// The disks plugged into this host.
    pub disks: Arc<dyn Disks>,
    /// Tasks that die with this incarnation.
    pub tasks: Arc<dyn Tasks>,
    /// The planted bugs chosen for this run.
    pub planted: PlantedBugs,
}

impl Env {
    /// An environment of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Name of the host, such as `main/3`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// The network, from this host's address.
    #[must_use]
    pub fn net(&self) -> &dyn Net {
        &*self.parts.net
    }

    /// The disks plugged into this host.
    #[must_use]
    pub fn disks(&self) -> &dyn Disks {
        &*self.parts.disks
    }

    /// True if this planted bug was chosen for the run; always false without the feature `planted-bugs`.
    #[must_use]
    pub fn planted(&self, bug: Bug) -> bool {
        self.parts.planted.has(bug)
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Env({})", self.name())
    }
}
