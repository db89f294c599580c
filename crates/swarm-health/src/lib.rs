//! The health processor of one node: it visits every stream of every volume at its pace and puts right what is wrong.
//!
//! What to do is decided by [`swarm_plan::health`]; this crate gathers the facts, carries the answers out, keeps the pace
//! and counts. It reaches its own node through [`Home`] and the others through [`Peers`], both of which `swarm-node`
//! implements, and answers what others ask of it: surveys with [`Health::report`], orders with [`Health::make_here`] and
//! [`Health::trim_here`].

mod claims;
mod copies;
mod cycle;
mod home;
mod leaving;
mod looks;
mod peers;
mod recovery;
mod report;
mod service;
mod settings;
mod soon;
mod space;
mod status;
mod tombstones;
mod visit;

pub use home::Home;
pub use looks::LOOKS_MAX;
pub use peers::{
    Claim, FetchError, Incoming, LeaveOutcome, MakeOrder, MakeOutcome, Member, Peers, Pull,
    Question, Recovery, RecoveryCause, TrimOrder, Whom,
};
pub use service::Health;
pub use settings::HealthSettings;
pub use space::is_short;
pub use status::{HealthStatus, Walks};
