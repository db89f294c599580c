//! The one integration test binary.

mod commands;
mod live;
mod program;
mod scsp;
mod send;
mod talk;
