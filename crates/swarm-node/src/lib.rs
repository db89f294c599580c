//! One Swarm node: membership, lookup, bidding, writes, reads and deletes.
//!
//! There is no master and no quorum: any node takes any request ([`api`]), asks the cluster where the object is or who
//! would take it, and serves it or sends the client on. Decisions are `swarm-plan`'s; this crate gathers the facts,
//! speaks with its peers (`wire.rs` is the format), and carries the decisions out on `swarm-store`'s volumes. It knows
//! nothing of HTTP.

pub mod api;
mod changes;
mod contexts;
mod delete;
pub mod feeds;
mod hand_out;
mod health;
mod import;
mod links;
mod lookup;
mod members;
mod messages;
pub mod names;
mod node;
mod nonces;
mod pending;
mod queues;
pub mod read;
pub mod settings;
mod slots;
mod state;
mod status;
mod volumes;
mod wire;
pub mod write;

pub use changes::{ChangeError, SettingSource, SettingStatus};
pub use hand_out::HandedOut;
pub use import::ImportRequest;
pub use node::{Node, NodeConfig, StartError, WeakNode};
pub use nonces::{Login, LoginNonces};
pub use queues::{Queue, QueueKind};
pub use settings::{SettingError, Settings};
pub use slots::{MountStaleError, RetireError};
pub use status::{MemberStatus, NodeStatus, VolumeStatus};
pub use swarm_health::{HealthStatus, Walks};
pub use swarm_plan::membership::{Clients, NodeState, VolumeState};
pub use swarm_store::RetirePace;
pub use write::Stay;
