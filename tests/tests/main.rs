//! The one integration test binary.

mod live;
mod scsp;
mod talk;
