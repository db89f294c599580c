//! The feeds' decisions: facts in, what to do out.
//!
//! Owns what a cluster does with a version or a delete that another cluster sends ([`merge`]), what a stream remembers of
//! a delivery, and whose turn it is to make one ([`slot`]). Which objects a feed selects, and when a target counts as
//! blocked, is in `swarm-feeds`: the first needs regular expressions, the second a course of time.

pub mod merge;
pub mod slot;

pub use merge::{Held, Verdict, judge_import, judge_import_delete};
pub use slot::{Settled, Told, Turn, TurnFacts, failures, settle, turn};
