//! What the health processor tells of itself: counters, and how far its walks are.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_types::{Instant, VolumeId};

use crate::Recovery;

/// A snapshot of the health processor of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthStatus {
    /// Its walks, by volume.
    pub volumes: BTreeMap<VolumeId, Walks>,
    /// Recoveries under way or waiting.
    pub recoveries: Vec<Recovery>,
    /// Actions taken so far: copies made or erased, tombstones filed or dropped, replicas quarantined. Hints that were
    /// refreshed and bodies that defragmentation has moved are none.
    pub actions: u64,
    /// Counters by name, sorted.
    pub counters: BTreeMap<&'static str, u64>,
}

impl HealthStatus {
    /// Whether every volume has seen this many whole cycles in a row during which the node took no action, and no
    /// recovery is under way.
    #[must_use]
    pub fn is_quiet_for(&self, cycles: u64) -> bool {
        self.recoveries.is_empty()
            && self.volumes.values().all(|walks| walks.quiet_cycles >= cycles)
    }
}

/// The walks over one volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walks {
    /// Whole cycles since the volume was mounted here.
    pub cycles: u64,
    /// When the present cycle began.
    pub began: Instant,
    /// How long the last whole cycle took (`lastHPCycleTm`).
    pub last: Option<Duration>,
    /// Actions that the node took during the last whole cycle.
    pub last_actions: u64,
    /// Cycles in a row, up to the last, during which the node took no action.
    pub quiet_cycles: u64,
    /// How much of the present cycle is done, percent.
    pub percent: u8,
}

impl Walks {
    /// Nothing done yet.
    pub(crate) const fn begun(began: Instant) -> Self {
        Self { cycles: 0, began, last: None, last_actions: 0, quiet_cycles: 0, percent: 0 }
    }
}
