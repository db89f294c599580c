//! Clusters under the control surface.

mod simulated;
