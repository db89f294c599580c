//! What a harness does to time: wall clocks that are wrong, and stretches in which nothing is asked of anybody.

use std::time::Duration;

use swarm_types::Instant;

use super::{Command, SimHandle};
use crate::clocks::Off;
use crate::host::HostId;
use crate::net::nanos;

/// A quiet stretch that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietStretch {
    /// Its number, as of a fault: the effects are the beats of background intervals that came late for it.
    pub number: u64,
    /// When it ends.
    pub until: Instant,
}

impl SimHandle {
    /// Sets how far the wall clock of a host is off, in nanoseconds, in place of what an earlier call set; the number of the
    /// fault. The effects of this and the next two are the times that a host has read its wall clock while it was wrong.
    pub fn skew(&self, host: HostId, offset_ns: i64) -> Command<u64> {
        self.with_state(move |state| state.put_clock_off(host, 35, Off::Set(offset_ns)))
    }

    /// Moves the wall clock of a host by so many nanoseconds, at once; the number of the fault.
    pub fn step_clock(&self, host: HostId, by_ns: i64) -> Command<u64> {
        self.with_state(move |state| state.put_clock_off(host, 36, Off::Stepped(by_ns)))
    }

    /// From now on the wall clock of a host gains so many microseconds in a second, or loses them; the number of the fault.
    pub fn drift(&self, host: HostId, ppm: i32) -> Command<u64> {
        self.with_state(move |state| {
            let since = state.now;
            state.put_clock_off(host, 37, Off::Drifts { ppm, since })
        })
    }

    /// Begins a quiet stretch of this length: a promise of the harness that it asks nothing of the hosts meanwhile.
    /// Background intervals are stretched so that each runs about 200 times in it; dates stay. It ends by itself. `None`
    /// while another one lasts.
    pub fn skip(&self, by: Duration) -> Command<Option<QuietStretch>> {
        self.with_state(move |state| {
            let (number, until) = state.begin_stretch(nanos(by))?;
            Some(QuietStretch { number, until: Instant(until) })
        })
    }
}
