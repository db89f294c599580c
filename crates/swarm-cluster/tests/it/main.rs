//! Clusters under the control surface.

mod disks;
mod faults;
mod live;
mod simulated;
