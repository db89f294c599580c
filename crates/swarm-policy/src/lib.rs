//! Lifepoints and storage policies: text to values, and what holds at an instant.
//!
//! Owns what [`lifepoint`] headers and the `policy.replicas` setting mean, and how many copies follow from them
//! ([`replicas`]). Knows nothing of clocks, nodes or disks: the caller says what time it is and acts on the answer.

pub mod lifepoint;
pub mod replicas;

pub use lifepoint::{
    Complaint, Diagnostic, Effective, Lifecycle, Lifepoint, Reps, Severity, parse_lifecycle,
};
pub use replicas::{
    ReplicaPolicy, ReplicaPolicyError, Replicate, ReplicateError, ReplicateOnWrite, context_copies,
    synchronous_copies, target_copies,
};
