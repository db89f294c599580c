//! Lifepoints and storage policies: text to values, and what holds at an instant.
//!
//! Owns what [`lifepoint`] headers and the `policy.replicas` setting mean, how many copies follow from them
//! ([`replicas`]), and what both together demand of an object ([`demand()`]). Knows nothing of clocks, nodes or disks: the
//! caller says what time it is and acts on the answer.

pub mod demand;
pub mod lifepoint;
pub mod replicas;

pub use demand::{CopyRules, Demand, demand, diagnose};
pub use lifepoint::{
    Complaint, Diagnostic, Effective, Lifecycle, Lifepoint, Reps, Severity, parse_lifecycle,
};
pub use replicas::{
    ReplicaPolicy, ReplicaPolicyError, Replicate, ReplicateError, ReplicateOnWrite, context_copies,
    synchronous_copies, target_copies,
};
