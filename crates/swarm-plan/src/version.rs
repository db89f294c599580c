//! The version of a new write.

use swarm_types::{Timestamp, Version};

/// The version of a write that begins now: the node's clock, raised above the newest version known, so that a slow clock
/// cannot make an update or a delete invisible (our choice).
#[must_use]
pub fn next_version(clock: Timestamp, newest_known: Option<Version>) -> Version {
    let by_clock = Version(clock.millis());
    newest_known.map_or(by_clock, |newest| by_clock.max(Version(newest.0.saturating_add(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_clock_is_raised_above_what_is_known() {
        assert_eq!(next_version(Timestamp::from_secs(5), None), Version(5000));
        assert_eq!(next_version(Timestamp::from_secs(5), Some(Version(4000))), Version(5000));
        assert_eq!(next_version(Timestamp::from_secs(5), Some(Version(9000))), Version(9001));
    }
}
