//! Clocks: how far the wall clock of each host is off, and the quiet stretches in which background intervals run slower.

use crate::host::HostId;
use crate::kernel::{Event, State};

/// How often a background interval runs in a quiet stretch, at most.
const BEATS_IN_A_STRETCH: u64 = 200;

/// What is wrong with the wall clock of one host.
#[derive(Default)]
pub(crate) struct WallClock {
    faults: Vec<Fault>,
}

struct Fault {
    number: u64,
    off: Off,
}

/// One way in which a clock is off.
#[derive(Clone, Copy)]
pub(crate) enum Off {
    /// Set by so many nanoseconds; a later one replaces it.
    Set(i64),
    /// Stepped by so many nanoseconds.
    Stepped(i64),
    /// Too fast by so many millionths since then.
    Drifts { ppm: i32, since: u64 },
}

impl Off {
    /// Nanoseconds added to true time.
    fn at(self, now: u64) -> i64 {
        match self {
            Self::Set(offset) | Self::Stepped(offset) => offset,
            Self::Drifts { ppm, since } => {
                let gained = i128::from(now.saturating_sub(since)) * i128::from(ppm) / 1_000_000;
                i64::try_from(gained).unwrap_or(if ppm < 0 { i64::MIN } else { i64::MAX })
            }
        }
    }
}

/// A time in which a harness asks nothing of anybody.
struct Stretch {
    fault: u64,
    from: u64,
    until: u64,
    /// Shorter periods are as long as this one meanwhile.
    period: u64,
}

impl Stretch {
    /// How much of this much real time passes for an interval of `period`.
    fn counted(&self, real: u64, period: u64) -> u64 {
        if period >= self.period {
            return real;
        }
        // Below `real`, since the period is shorter.
        (u128::from(real) * u128::from(period) / u128::from(self.period)) as u64
    }

    /// How much real time must pass until so much has passed for an interval of `period`.
    fn takes(&self, counted: u64, period: u64) -> u64 {
        if period >= self.period {
            return counted;
        }
        let real = (u128::from(counted) * u128::from(self.period)).div_ceil(u128::from(period));
        u64::try_from(real).unwrap_or(u64::MAX)
    }
}

/// The quiet stretches so far; of these, only the last can be in force.
#[derive(Default)]
pub(crate) struct Stretches {
    all: Vec<Stretch>,
    /// Counts beginnings and ends: what was computed at another one may be wrong.
    pub(crate) changes: u32,
}

impl Stretches {
    /// Time as an interval of this period counts it.
    pub(crate) fn counted(&self, now: u64, period: u64) -> u64 {
        let lost = |stretch: &Stretch| {
            let real = now.min(stretch.until).saturating_sub(stretch.from);
            real - stretch.counted(real, period)
        };
        now - self.all.iter().map(lost).sum::<u64>()
    }

    /// The present stretch, if this period is longer than it was meant to be.
    fn stretching(&self, now: u64, period: u64) -> Option<&Stretch> {
        self.all.last().filter(|last| now < last.until && period < last.period)
    }

    /// When the counted time of this period, `counted` now, comes to `due` unless something changes.
    pub(crate) fn reaches(&self, now: u64, period: u64, counted: u64, due: u64) -> u64 {
        let missing = due.saturating_sub(counted);
        match self.stretching(now, period) {
            None => now.saturating_add(missing),
            // At its end all who wait look again.
            Some(stretch) => now.saturating_add(stretch.takes(missing, period)).min(stretch.until),
        }
    }
}

impl State {
    /// Nanoseconds by which the wall clock of a host is off now; each fault with a part in it has bitten.
    pub(crate) fn wall_off(&mut self, host: HostId) -> i64 {
        let mut off = 0_i64;
        for at in 0..self.host(host).clock.faults.len() {
            let fault = &self.host(host).clock.faults[at];
            let (number, by) = (fault.number, fault.off.at(self.now));
            if by != 0 {
                self.bite(number, 1);
                off = off.saturating_add(by);
            }
        }
        off
    }

    /// Puts a clock wrong; the number of the fault.
    pub(crate) fn put_clock_off(&mut self, host: HostId, what: u64, off: Off) -> u64 {
        let detail = match off {
            Off::Set(by) | Off::Stepped(by) => by.cast_unsigned(),
            Off::Drifts { ppm, .. } => i64::from(ppm).cast_unsigned(),
        };
        let number = self.new_fault(what, detail);
        let faults = &mut self.host_mut(host).clock.faults;
        if matches!(off, Off::Set(_)) {
            faults.retain(|fault| !matches!(fault.off, Off::Set(_)));
        }
        faults.push(Fault { number, off });
        number
    }

    /// Puts a clock right as far as this fault is concerned; false if it is not in force on any.
    pub(crate) fn mend_clock(&mut self, number: u64) -> bool {
        for host in &mut self.hosts {
            let faults = &mut host.clock.faults;
            if let Some(at) = faults.iter().position(|fault| fault.number == number) {
                faults.remove(at);
                return true;
            }
        }
        false
    }

    /// Begins a quiet stretch: its number and end; `None` while there is one.
    pub(crate) fn begin_stretch(&mut self, by: u64) -> Option<(u64, u64)> {
        let now = self.now;
        if self.stretches.all.last().is_some_and(|last| now < last.until) {
            return None;
        }
        let (until, fault) = (now.saturating_add(by), self.new_fault(38, by));
        let period = (until - now).div_ceil(BEATS_IN_A_STRETCH).max(1);
        self.stretches.all.push(Stretch { fault, from: now, until, period });
        self.schedule(until, Event::StretchEnds);
        self.stretches_changed();
        Some((fault, until))
    }

    /// Whoever waits for a beat computes anew when it comes.
    pub(crate) fn stretches_changed(&mut self) {
        self.stretches.changes += 1;
        for key in self.timers.keys() {
            if let Some(timer) = self.timers.get_mut(key).filter(|timer| timer.background) {
                self.to_wake.extend(timer.waiter.take());
            }
        }
    }

    /// A beat of an interval of this period comes now.
    pub(crate) fn beat(&mut self, period: u64) {
        if let Some(stretch) = self.stretches.stretching(self.now, period) {
            let fault = stretch.fault;
            self.bite(fault, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn stretches() -> Stretches {
        let stretch = |from: u64, until: u64| Stretch {
            fault: 1,
            from: from * SECOND,
            until: until * SECOND,
            period: (until - from) * SECOND / BEATS_IN_A_STRETCH,
        };
        Stretches { all: vec![stretch(100, 2_100), stretch(3_000, 23_000)], changes: 0 }
    }

    #[test]
    fn counted_time_runs_slower_in_a_stretch_and_as_fast_as_real_time_outside() {
        let counted = |now: u64, period: u64| {
            stretches().counted(now * SECOND, period * SECOND) as f64 / SECOND as f64
        };
        assert_eq!(counted(100, 1), 100.0);
        assert_eq!(counted(1_100, 1), 200.0, "a tenth: periods of ten seconds instead of one");
        assert_eq!(counted(2_100, 1), 300.0);
        assert_eq!(counted(2_200, 1), 400.0);
        assert_eq!(counted(23_000, 1), 300.0 + 900.0 + 200.0);
        assert_eq!(counted(1_100, 10), 1_100.0, "long enough as it is");
        assert_eq!(counted(23_000, 50), 3_000.0 + 10_000.0);
    }

    #[test]
    fn a_beat_is_reached_when_it_was_computed_to_be() {
        for (now, period, due_in) in [(50, 3, 3), (150, 1, 1), (2_099, 1, 7), (5_000, 60, 60)] {
            let (now, period) = (now * SECOND + 7, period * SECOND);
            let mut stretches = stretches();
            stretches.all.retain(|stretch| stretch.from <= now);
            let due = stretches.counted(now, period) + due_in * SECOND;
            let mut at = now;
            // Ends of stretches are waited for in between.
            for _ in 0..3 {
                at = stretches.reaches(at, period, stretches.counted(at, period), due);
            }
            let reached = stretches.counted(at, period);
            assert!((due..due + 2).contains(&reached), "{due} {reached}");
        }
    }
}
