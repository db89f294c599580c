//! The one integration test binary.

mod scsp;
