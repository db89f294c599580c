//! Lost volumes: when a volume counts as lost, and who makes its copies anew.
//!
//! A volume whose disk was pulled from a node that goes on is lost at once; one whose node falls silent is lost a minute
//! after the node counts as offline (our choice; the vendor publishes no figures), one whose node was stopped by its
//! administrator after three hours (Managing Chassis and Drives). Every survivor then walks what it holds and looks for
//! copies whose siblings were there (How Swarm Responds to Disk Changes).

use std::collections::BTreeSet;
use std::time::Duration;

use swarm_types::VolumeId;

use crate::membership::{
    Announced, MAINTENANCE_FOR, OFFLINE_AFTER, UNREACHABLE_AFTER, VolumeState,
};

/// How long a node is offline before its volumes are lost.
pub const RECOVERY_HOLD: Duration = Duration::from_secs(60);
/// How long a node that has just started gives volumes of which it has not heard yet: as long as one that falls silent.
pub const UNHEARD_GRACE: Duration = OFFLINE_AFTER.saturating_add(RECOVERY_HOLD);

/// What a node knows of a volume of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// What the node that had it last announced of itself.
    pub announced: Announced,
    /// Whether that node said that it is still mounting what it has.
    pub mounting: bool,
    /// How long that node has been silent.
    pub silence: Duration,
    /// The volume's state in the newest beacon of that node; `None` where it is not named there any more.
    pub listed: Option<VolumeState>,
}

/// Settings that decide when a volume is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryRules {
    /// Volume recovery is suspended for the whole cluster: nothing is lost until that ends.
    pub suspended: bool,
    /// `recovery.nodeMaintenanceInterval`.
    pub maintenance: Duration,
}

impl Default for RecoveryRules {
    fn default() -> Self {
        Self { suspended: false, maintenance: MAINTENANCE_FOR }
    }
}

/// What a volume counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is there: what it holds, it can say itself.
    Present,
    /// It is not there and expected back: what it holds is neither counted as live nor made anew.
    Away,
    /// It is given up: what it held is made anew.
    Lost,
    /// Never heard of since this node started.
    Unknown,
}

/// What a volume counts as by what is known of it.
#[must_use]
pub fn standing(sighting: Sighting, rules: RecoveryRules) -> Standing {
    let Sighting { announced, mounting, silence, listed } = sighting;
    let lost = if rules.suspended { Standing::Away } else { Standing::Lost };
    match announced {
        Announced::Stopped if silence < rules.maintenance => Standing::Away,
        Announced::Stopped => lost,
        Announced::Running if silence >= OFFLINE_AFTER + RECOVERY_HOLD => lost,
        Announced::Running if silence >= UNREACHABLE_AFTER => Standing::Away,
        Announced::Running => match listed {
            Some(VolumeState::Ok | VolumeState::Retiring | VolumeState::Retired) => {
                Standing::Present
            }
            Some(VolumeState::Mounting) => Standing::Away,
            None if mounting => Standing::Away,
            Some(VolumeState::Unavailable) | None => lost,
        },
    }
}

impl Standing {
    /// Whether a copy that was last known there is waited for and not made anew. `uptime` is how long this node has been
    /// open: before it could have heard of everybody it makes nothing anew for the sake of strangers.
    #[must_use]
    pub fn is_waited_for(self, uptime: Duration) -> bool {
        match self {
            Self::Away => true,
            Self::Unknown => uptime < UNHEARD_GRACE,
            Self::Present | Self::Lost => false,
        }
    }
}

/// Whether the holder on volume `here` makes the lost copies of a stream at once: the lowest of those that are left does,
/// the others look again a little later, so that they do not all make the same copy.
#[must_use]
pub fn acts_first(here: VolumeId, hints: &[VolumeId], gone: &BTreeSet<VolumeId>) -> bool {
    hints.iter().filter(|hint| !gone.contains(hint)).all(|hint| here <= *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: Sighting = Sighting {
        announced: Announced::Running,
        mounting: false,
        silence: Duration::ZERO,
        listed: Some(VolumeState::Ok),
    };

    fn after(secs: u64, sighting: Sighting) -> Standing {
        let silence = Duration::from_secs(secs);
        standing(Sighting { silence, ..sighting }, RecoveryRules::default())
    }

    #[test]
    fn a_node_that_falls_silent_is_given_three_minutes() {
        assert_eq!(after(59, RUNNING), Standing::Present);
        assert_eq!(after(60, RUNNING), Standing::Away);
        assert_eq!(after(179, RUNNING), Standing::Away);
        assert_eq!(after(180, RUNNING), Standing::Lost);
    }

    #[test]
    fn a_disk_that_a_living_node_lost_is_lost_at_once() {
        assert_eq!(after(0, Sighting { listed: None, ..RUNNING }), Standing::Lost);
        let unavailable = Some(VolumeState::Unavailable);
        assert_eq!(after(0, Sighting { listed: unavailable, ..RUNNING }), Standing::Lost);
    }

    #[test]
    fn a_node_that_is_mounting_is_waited_for() {
        let starting = Sighting { listed: None, mounting: true, ..RUNNING };
        assert_eq!(after(5, starting), Standing::Away);
        let mounting = Some(VolumeState::Mounting);
        assert_eq!(after(5, Sighting { listed: mounting, ..RUNNING }), Standing::Away);
    }

    #[test]
    fn maintenance_lasts_three_hours() {
        let stopped = Sighting { announced: Announced::Stopped, ..RUNNING };
        assert_eq!(after(3 * 3600 - 1, stopped), Standing::Away);
        assert_eq!(after(3 * 3600, stopped), Standing::Lost);
    }

    #[test]
    fn nothing_is_lost_while_recovery_is_suspended() {
        let rules = RecoveryRules { suspended: true, ..RecoveryRules::default() };
        let gone = [
            Sighting { silence: Duration::from_secs(9999), ..RUNNING },
            Sighting { listed: None, ..RUNNING },
        ];
        for sighting in gone {
            assert_eq!(standing(sighting, rules), Standing::Away);
        }
    }

    #[test]
    fn strangers_are_waited_for_only_while_they_may_not_have_been_heard_yet() {
        assert!(Standing::Unknown.is_waited_for(Duration::from_secs(179)));
        assert!(!Standing::Unknown.is_waited_for(Duration::from_secs(180)));
        assert!(Standing::Away.is_waited_for(Duration::from_secs(9999)));
        assert!(!Standing::Lost.is_waited_for(Duration::ZERO));
    }

    #[test]
    fn the_lowest_survivor_acts_first() {
        let volume = |byte| VolumeId::from_bytes([byte; 16]);
        let gone = BTreeSet::from([volume(1)]);
        let hints = [volume(1), volume(3), volume(4)];
        assert!(acts_first(volume(2), &hints, &gone));
        assert!(!acts_first(volume(5), &hints, &gone));
        assert!(acts_first(volume(9), &[volume(1)], &gone));
    }
}
