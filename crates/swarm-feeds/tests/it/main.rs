//! The feeds from outside: nodes with shelves in the place of volumes, whose targets do what a test tells them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod blocked;
mod changes;
mod clusters;
mod contexts;
mod delivery;
mod identity;
mod kit;
mod many;
mod post;
mod pull;
mod sends;
mod turns;
