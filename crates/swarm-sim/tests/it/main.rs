//! The simulated world from outside: what its hosts see, what its faults do, and that a seed is a run.

mod basics;
mod bays;
mod clocks;
mod conformance;
mod disks;
mod http;
mod lives;
mod networks;
mod seeds;
mod troubles;
mod ways;
mod world;
