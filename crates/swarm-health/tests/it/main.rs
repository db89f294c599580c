//! The health processor from outside: whole clusters of them on simulated disks, with messages that may be lost.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod kit;
mod lifepoints;
mod recoveries;
mod repairs;
mod retires;
mod space;
mod trims;
mod walks;
