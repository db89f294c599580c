//! The settings of the health processor, typed; `swarm-node` reads their texts.

use std::time::Duration;

use swarm_policy::CopyRules;

/// The settings in force. Names and defaults are Swarm's (Settings Reference) unless marked as ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// `policy.replicas`, `scsp.defaultContextReplicas`, `scsp.maxContextReplicas`.
    pub rules: CopyRules,
    /// `health.replicationMulticastFrequency`: how many of a hundred visits ask everybody although the hinted holders
    /// would do; 0 to 100, default 1. Surplus copies are found by these visits only.
    pub multicast_percent: u8,
    /// `health.cycleTime` (ours): how long a walk over everything on a volume takes, if it is not slower by itself;
    /// default 6 hours.
    pub cycle_time: Duration,
    /// `health.visitsPerSecond` (ours): most visits to one volume in a second; default 100.
    pub visits_per_second: u32,
    /// `recovery.share` (ours): share of its time in percent that a volume spends on a recovery; 1 to 100, default 30.
    pub recovery_share_percent: u8,
    /// `disk.obsoleteTimeout`: volumes that were away for longer are refused, so older deletes need not be remembered;
    /// default two weeks.
    pub obsolete_timeout: Duration,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            rules: CopyRules::default(),
            multicast_percent: 1,
            cycle_time: Duration::from_secs(6 * 3600),
            visits_per_second: 100,
            recovery_share_percent: 30,
            obsolete_timeout: Duration::from_secs(1_209_600),
        }
    }
}
