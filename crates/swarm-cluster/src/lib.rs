//! Whole clusters in either world, and the controls that break and mend them.
//!
//! Owns the assembly of worlds from a [`spec::WorldSpec`] and the control surface [`World`]. What it offers is made of
//! its own types and of `swarm-env`'s: a harness above it reaches no type of node, store or HTTP.

mod check;
pub mod control;
pub mod live;
pub mod log;
pub mod sim;
pub mod spec;

// A harness waits, throws dice and spawns through the environments of a world.
pub use swarm_env::{BoxFuture, Env, Point};

pub use check::{VOLUME_SIZE_MIN, check_change, check_setting, setting_names};
pub use control::{
    Action, Applied, Cut, Damage, DamageKind, DiskFault, Ending, Image, Life, LinkChange,
    NodePanic, Reply, Ways, World,
};
pub use spec::{
    ClockSpec, ClusterSpec, DiskKind, DiskRef, InterLinkSpec, LatencySpec, LinkSpec, NodeRef,
    WorldSpec,
};
