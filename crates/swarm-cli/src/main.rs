//! The swarm-sim binary.

fn main() {}
