//! What a member counts as, from what it announced and how long it has been silent.

use std::time::Duration;

/// How often a node announces itself.
pub const BEACON_EVERY: Duration = Duration::from_secs(10);
/// Six missed beacons: no bids are expected any more (our choice).
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(60);
/// Shown as offline (our choice).
pub const OFFLINE_AFTER: Duration = Duration::from_secs(120);
/// Grace after a graceful stop (Managing Chassis and Drives: three hours of maintenance).
pub const MAINTENANCE_FOR: Duration = Duration::from_secs(3 * 3600);

/// What a member last announced of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// It runs; the state is its own business.
    Running,
    /// It was stopped by its administrator.
    Stopped,
}

/// What a member counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Heard lately: its answers are waited for.
    Present,
    /// Stopped gracefully: not waited for, not missed either.
    Maintenance,
    /// Silent for a minute: not waited for.
    Unreachable,
    /// Silent for two minutes, or past its maintenance.
    Offline,
}

/// What a member counts as after `silence`.
#[must_use]
pub fn presence(announced: Announced, silence: Duration) -> Presence {
    match announced {
        Announced::Stopped if silence < MAINTENANCE_FOR => Presence::Maintenance,
        Announced::Stopped => Presence::Offline,
        Announced::Running if silence >= OFFLINE_AFTER => Presence::Offline,
        Announced::Running if silence >= UNREACHABLE_AFTER => Presence::Unreachable,
        Announced::Running => Presence::Present,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_turns_a_running_member_unreachable_then_offline() {
        let after = |secs| presence(Announced::Running, Duration::from_secs(secs));
        assert_eq!(after(59), Presence::Present);
        assert_eq!(after(60), Presence::Unreachable);
        assert_eq!(after(120), Presence::Offline);
    }

    #[test]
    fn a_graceful_stop_is_maintenance_for_three_hours() {
        let after = |secs| presence(Announced::Stopped, Duration::from_secs(secs));
        assert_eq!(after(3 * 3600 - 1), Presence::Maintenance);
        assert_eq!(after(3 * 3600), Presence::Offline);
    }
}
