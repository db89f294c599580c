//! When an object that the target did not take is tried again.
//!
//! The wait begins at `retryWait` (Understanding Feeds has the name) and doubles with every failure up to an hour; what can
//! only be mended by somebody waits an hour at once. Nothing is ever given up (our choices).

use std::time::Duration;

use swarm_types::Timestamp;

/// What kind of trouble an object has at the target, or at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectTrouble {
    /// It may pass: a context that is missing, a body that could not be read, an error of the target's own.
    Transient,
    /// The target refuses it as it is.
    Permanent,
}

/// Longest wait, but for the jitter.
pub const WAIT_MAX: Duration = Duration::from_secs(3600);

/// How long to wait after this many failures, the one just met included. `draw` is any number from the dice: it moves the
/// wait by up to a tenth either way, so that what failed at once is not tried at once.
#[must_use]
pub fn next_try(
    trouble: ObjectTrouble,
    failures: u16,
    retry_wait: Duration,
    draw: u64,
) -> Duration {
    let wait = match trouble {
        ObjectTrouble::Permanent => WAIT_MAX,
        ObjectTrouble::Transient => {
            // An hour is 3600 of the shortest wait: more doublings change nothing.
            let doublings = failures.saturating_sub(1).min(12);
            retry_wait.saturating_mul(1 << doublings).min(WAIT_MAX)
        }
    };
    let permille = 900 + u32::try_from(draw % 201).unwrap_or(100);
    wait * permille / 1000
}

/// How long it is until a date before which something is not tried again; nothing if it has come. A date that is further away than
/// any wait was noted by a clock that was ahead: it says nothing, and has come.
#[must_use]
pub fn time_left(next_at: Timestamp, wall: Timestamp) -> Option<Duration> {
    let longest = WAIT_MAX * 11 / 10;
    (next_at > wall).then(|| next_at.since(wall)).filter(|left| *left <= longest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let secs = |failures| {
            // The draw that moves nothing.
            next_try(ObjectTrouble::Transient, failures, Duration::from_secs(60), 100).as_secs()
        };
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8].map(secs), [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!((secs(0), secs(u16::MAX)), (60, 3600));
        let refused = next_try(ObjectTrouble::Permanent, 1, Duration::from_secs(60), 100);
        assert_eq!(refused, WAIT_MAX);
    }

    #[test]
    fn a_date_that_no_wait_leads_to_has_come() {
        let left =
            |secs: i64| time_left(Timestamp::from_secs(1_000 + secs), Timestamp::from_secs(1_000));
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!([-5, 0, 1, 3_960].map(left), [None, None, secs(1), secs(3_960)]);
        assert_eq!([3_961, 365 * 86_400].map(left), [None; 2]);
    }

    proptest! {
        #[test]
        fn a_wait_is_within_a_tenth_of_its_law(failures: u16, secs in 1..=3600u64, draw: u64) {
            for trouble in [ObjectTrouble::Transient, ObjectTrouble::Permanent] {
                let retry_wait = Duration::from_secs(secs);
                let law = next_try(trouble, failures, retry_wait, 100);
                let wait = next_try(trouble, failures, retry_wait, draw);
                prop_assert!(wait >= law * 9 / 10 && wait <= law * 11 / 10);
                prop_assert!(law >= retry_wait && law <= WAIT_MAX);
                let later = next_try(trouble, failures.saturating_add(1), retry_wait, 100);
                prop_assert!(later >= law);
            }
        }
    }
}
