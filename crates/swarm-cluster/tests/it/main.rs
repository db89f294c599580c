//! Clusters under the control surface.

mod faults;
mod simulated;
