//! The simulated world: kernel, network, disks, faults and the event trace.
//!
//! A [`Sim`] is one thread, one virtual clock and one seed. Hosts reach it through `swarm_env::Env` alone; a harness breaks
//! and mends them through a [`SimHandle`]. The same seed gives the same run, event by event, on every machine and in
//! every build profile: nothing here asks the machine for time, dice, threads or the order of a hash map.
//!
//! It knows nothing of Swarm. Deliberately absent: packets (streams are flows of bytes), threads, and a tokio runtime.

mod clocks;
mod dice;
mod disk;
mod env;
mod handle;
mod host;
mod kernel;
mod log;
mod net;
mod options;
mod run;
mod slab;
mod trace;
mod wake;

pub use disk::DiskNumber;
pub use disk::faults::{Destruction, DestructionKind, DiskTrouble};
pub use disk::image::DiskImage;
pub use handle::clocks::QuietStretch;
pub use handle::{Command, Counts, HostTask, Sim, SimHandle};
pub use host::{HostId, HostLife, HostPanic};
pub use log::{LogStamp, log_clock};
pub use net::traps::{Begins, Speaker, StreamEnding, StreamTrap, WritePredicate};
pub use options::{
    DiskModel, Heads, Latency, LinkChange, LinkModel, POLLS_WITHOUT_EVENT_MAX, SimOptions, Trace,
    WORLD_BEGINS,
};
pub use run::Halt;
pub use trace::Checkpoint;
