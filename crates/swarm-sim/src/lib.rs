//! The simulated world: kernel, network, disks, faults and the event trace.
