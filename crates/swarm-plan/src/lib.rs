//! Decisions as functions over facts: what a node should do, and why, without doing it.
//!
//! Owns placement by bids, the course of a lookup, the order of versions, the outcome of writes and deletes, what a silent
//! member counts as, what the health processor does, and what the feeds do. Nothing here waits, sends, reads a clock or
//! throws dice: a node gathers the facts, asks, and carries out the answer.

pub mod bids;
pub mod feeds;
pub mod health;
pub mod lookup;
pub mod membership;
pub mod outcome;
pub mod version;
