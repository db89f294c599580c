//! The live world: wall clock, real sockets, real files, on tokio.
