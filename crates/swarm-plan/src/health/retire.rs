//! Giving a volume up: after too many errors of its disk it is retired, and after far too many it counts as failed
//! (Retiring Volumes). Errors are judged at the disk's heartbeat, so several within a minute are seen together.

use std::collections::VecDeque;
use std::time::Duration;

use swarm_types::Instant;

use crate::membership::VolumeState;

/// How many errors of a disk its volume survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRules {
    /// `disk.ioErrorToRetire`: this many errors within the window retire the volume.
    pub to_retire: u64,
    /// `disk.ioErrorWindow`.
    pub window: Duration,
    /// `disk.ioErrorTolerance`: more errors than this while it is being retired, and it counts as failed.
    pub tolerance: u64,
}

impl Default for ErrorRules {
    /// The defaults of the settings.
    fn default() -> Self {
        Self { to_retire: 50, window: Duration::from_secs(172_800), tolerance: 200 }
    }
}

/// The errors of one volume's disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors {
    /// Those within the window: when a heartbeat saw them, and how many.
    recent: VecDeque<(Instant, u64)>,
    /// All since the volume began to be retired.
    while_retiring: u64,
}

impl Errors {
    /// Takes note of the errors since the last heartbeat and says which state the volume must go to, if any.
    pub fn beat(
        &mut self,
        now: Instant,
        errors: u64,
        state: VolumeState,
        rules: &ErrorRules,
    ) -> Option<VolumeState> {
        if errors > 0 {
            self.recent.push_back((now, errors));
        }
        while self.recent.front().is_some_and(|(seen, _)| now.since(*seen) > rules.window) {
            self.recent.pop_front();
        }
        match state {
            VolumeState::Ok => {
                self.while_retiring = 0;
                let recent: u64 = self.recent.iter().map(|(_, errors)| errors).sum();
                (rules.to_retire > 0 && recent >= rules.to_retire).then_some(VolumeState::Retiring)
            }
            VolumeState::Retiring => {
                self.while_retiring = self.while_retiring.saturating_add(errors);
                (self.while_retiring > rules.tolerance).then_some(VolumeState::Unavailable)
            }
            VolumeState::Mounting | VolumeState::Retired | VolumeState::Unavailable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ErrorRules =
        ErrorRules { to_retire: 5, window: Duration::from_secs(100), tolerance: 7 };

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn enough_errors_within_the_window_retire_a_volume() {
        let mut errors = Errors::default();
        let mut beat = |secs, count| errors.beat(at(secs), count, VolumeState::Ok, &RULES);
        assert_eq!(beat(0, 4), None);
        assert_eq!(beat(60, 0), None);
        // The first four are too long ago.
        assert_eq!(beat(120, 1), None);
        assert_eq!(beat(180, 4), Some(VolumeState::Retiring));
    }

    #[test]
    fn far_more_errors_while_it_is_emptied_end_it() {
        let mut errors = Errors::default();
        assert_eq!(errors.beat(at(0), 9, VolumeState::Ok, &RULES), Some(VolumeState::Retiring));
        let mut beat = |secs, count| errors.beat(at(secs), count, VolumeState::Retiring, &RULES);
        assert_eq!(beat(60, 7), None);
        assert_eq!(beat(600, 0), None);
        assert_eq!(beat(660, 1), Some(VolumeState::Unavailable));
    }

    #[test]
    fn nothing_is_left_to_happen_to_a_volume_that_is_gone() {
        let mut errors = Errors::default();
        for state in [VolumeState::Mounting, VolumeState::Retired, VolumeState::Unavailable] {
            assert_eq!(errors.beat(at(0), 1000, state, &RULES), None);
        }
    }

    #[test]
    fn zero_errors_to_retire_means_never() {
        let never = ErrorRules { to_retire: 0, ..RULES };
        assert_eq!(Errors::default().beat(at(0), 1000, VolumeState::Ok, &never), None);
    }
}
