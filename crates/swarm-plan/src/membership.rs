//! States of nodes and volumes: what a node shows of itself, what a member counts as after a silence, and what a node in
//! each state may be asked for.
//!
//! The names are those of Viewing and Managing Chassis; `unreachable` is ours.

use std::time::Duration;

/// How often a node announces itself.
pub const BEACON_EVERY: Duration = Duration::from_secs(10);
/// Six missed beacons: no bids are expected any more (our choice).
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(60);
/// Shown as offline (our choice).
pub const OFFLINE_AFTER: Duration = Duration::from_secs(120);
/// Grace after a graceful stop (Managing Chassis and Drives: three hours of maintenance).
pub const MAINTENANCE_FOR: Duration = Duration::from_secs(3 * 3600);

/// States of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// At least one volume is being mounted at the start.
    Mounting,
    /// Mounted, learning the cluster; not ready for clients.
    Initializing,
    /// Normal.
    Ok,
    /// No SCSP activity for `power.sleepAfter`. Whatever is asked of it is done at once, and wakes it.
    Idle,
    /// A volume is unavailable; the node serves from the others.
    Error,
    /// At least one volume is being emptied.
    Retiring,
    /// All volumes are retired: clients are not answered any more.
    Retired,
    /// Finishing open requests before a graceful stop.
    Finalizing,
    /// Stopped by its administrator; expected back.
    Maintenance,
    /// Silent for 60 s: not asked for bids.
    Unreachable,
    /// Silent for 120 s, or longer in maintenance than that may take.
    Offline,
}

impl NodeState {
    /// Every state.
    pub const ALL: [Self; 11] = [
        Self::Mounting,
        Self::Initializing,
        Self::Ok,
        Self::Idle,
        Self::Error,
        Self::Retiring,
        Self::Retired,
        Self::Finalizing,
        Self::Maintenance,
        Self::Unreachable,
        Self::Offline,
    ];

    /// The word shown to users, lower case.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mounting => "mounting",
            Self::Initializing => "initializing",
            Self::Ok => "ok",
            Self::Idle => "idle",
            Self::Error => "error",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Finalizing => "finalizing",
            Self::Maintenance => "maintenance",
            Self::Unreachable => "unreachable",
            Self::Offline => "offline",
        }
    }
}

/// States of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeState {
    /// Being mounted, at the start or because its disk has just come.
    Mounting,
    /// Normal.
    Ok,
    /// Being emptied into the cluster: it delivers and takes nothing new.
    Retiring,
    /// Empty, and takes nothing ever again.
    Retired,
    /// Failed, refused or gone.
    Unavailable,
}

impl VolumeState {
    /// The word shown to users, lower case.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mounting => "mounting",
            Self::Ok => "ok",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether new streams may be stored there.
    #[must_use]
    pub const fn takes_streams(self) -> bool {
        matches!(self, Self::Ok)
    }

    /// Whether a tombstone may be filed there where no better volume is left: it is better remembered on a volume that is
    /// being emptied than forgotten.
    #[must_use]
    pub const fn takes_tombstones(self) -> bool {
        matches!(self, Self::Ok | Self::Retiring)
    }
}

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Mounting the volumes that it has at its start.
    Mounting,
    /// Learning the cluster.
    Initializing,
    /// Open.
    Open,
    /// Finishing open requests before a graceful stop.
    Finalizing,
    /// Stopped gracefully.
    Stopped,
}

/// Facts of a node's volumes and of what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VolumeCounts {
    /// Volumes in any state.
    pub all: usize,
    /// Those that are retiring.
    pub retiring: usize,
    /// Those that are retired.
    pub retired: usize,
    /// Those that are unavailable, and those that work with trouble, such as a disk that takes no writes.
    pub in_trouble: usize,
}

/// The state that a node shows of itself. Trouble is told before a retire, a retire before sleep: each hides less than the
/// next would. A volume that comes while the node is open does not make the whole node `mounting`.
#[must_use]
pub const fn shown(phase: Phase, volumes: VolumeCounts, idle: bool) -> NodeState {
    match phase {
        Phase::Mounting => NodeState::Mounting,
        Phase::Initializing => NodeState::Initializing,
        Phase::Finalizing => NodeState::Finalizing,
        Phase::Stopped => NodeState::Maintenance,
        Phase::Open if volumes.in_trouble > 0 => NodeState::Error,
        Phase::Open if volumes.all > 0 && volumes.retired == volumes.all => NodeState::Retired,
        Phase::Open if volumes.retiring > 0 => NodeState::Retiring,
        Phase::Open if idle => NodeState::Idle,
        Phase::Open => NodeState::Ok,
    }
}

/// Whether a node without SCSP activity for so long is idle (Configuring Power Management Settings). It goes to sleep after `sleep_after`, wakes `wake_after` after the last activity so that what it
/// holds is checked, and goes to sleep again. Zero for the first means never idle, for the second never woken.
#[must_use]
pub fn is_idle(quiet: Duration, sleep_after: Duration, wake_after: Duration) -> bool {
    if sleep_after.is_zero() {
        return false;
    }
    // Whole rounds of sleep are over; what is left of the time counts.
    let round = wake_after.as_nanos();
    let left = if round == 0 { quiet.as_nanos() } else { quiet.as_nanos() % round };
    left >= sleep_after.as_nanos()
}

/// What a node does with a client that comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// It is served, or sent on for this one request.
    Served,
    /// It is served, or sent on and told to ask elsewhere from now on.
    SentAway,
    /// It hears that the node cannot serve now.
    Refused,
    /// It hears nothing.
    Unanswered,
}

/// How a node bids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bidding {
    /// Not at all.
    Never,
    /// By its costs.
    ByCost,
    /// By its costs and a premium, so that it is left to sleep.
    AtPremium,
}

/// What a node in some state may be asked for. Which of its volumes may take part is for [`VolumeState`] to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Clients that come to it first.
    pub clients: Clients,
    /// Bids for new streams.
    pub write: Bidding,
    /// Bids for delivering streams.
    pub read: Bidding,
    /// Whether it takes replicas from its peers.
    pub replicas: bool,
}

impl NodeState {
    /// What a node in this state may be asked for.
    #[must_use]
    pub fn admission(self) -> Admission {
        let all = |clients, bidding| Admission {
            clients,
            write: bidding,
            read: bidding,
            replicas: bidding != Bidding::Never,
        };
        match self {
            // An open node with a failed volume serves from the others; one with none left still knows the cluster.
            Self::Ok | Self::Error => all(Clients::Served, Bidding::ByCost),
            Self::Idle => all(Clients::Served, Bidding::AtPremium),
            Self::Retiring => all(Clients::SentAway, Bidding::ByCost),
            Self::Retired => all(Clients::Unanswered, Bidding::Never),
            Self::Mounting
            | Self::Initializing
            | Self::Finalizing
            | Self::Maintenance
            | Self::Unreachable
            | Self::Offline => all(Clients::Refused, Bidding::Never),
        }
    }
}

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

    const ALL_OK: VolumeCounts = VolumeCounts { all: 2, retiring: 0, retired: 0, in_trouble: 0 };

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

    /// One line per state: as what a client is received, bids for writes, bids for reads, replicas.
    #[test]
    fn every_state_admits_what_the_documents_say() {
        use {Bidding as B, Clients as C, NodeState as S};
        let table = [
            (S::Mounting, C::Refused, B::Never, B::Never, false),
            (S::Initializing, C::Refused, B::Never, B::Never, false),
            (S::Ok, C::Served, B::ByCost, B::ByCost, true),
            (S::Idle, C::Served, B::AtPremium, B::AtPremium, true),
            (S::Error, C::Served, B::ByCost, B::ByCost, true),
            (S::Retiring, C::SentAway, B::ByCost, B::ByCost, true),
            (S::Retired, C::Unanswered, B::Never, B::Never, false),
            (S::Finalizing, C::Refused, B::Never, B::Never, false),
            (S::Maintenance, C::Refused, B::Never, B::Never, false),
            (S::Unreachable, C::Refused, B::Never, B::Never, false),
            (S::Offline, C::Refused, B::Never, B::Never, false),
        ];
        for (state, clients, write, read, replicas) in table {
            let expected = Admission { clients, write, read, replicas };
            assert_eq!(state.admission(), expected, "{}", state.word());
        }
        assert_eq!(table.map(|(state, ..)| state), NodeState::ALL);
    }

    #[test]
    fn a_volume_that_is_not_in_service_takes_nothing_new() {
        use VolumeState as V;
        let table = [
            (V::Mounting, false, false),
            (V::Ok, true, true),
            (V::Retiring, false, true),
            (V::Retired, false, false),
            (V::Unavailable, false, false),
        ];
        for (state, streams, tombstones) in table {
            assert_eq!(state.takes_streams(), streams, "{}", state.word());
            assert_eq!(state.takes_tombstones(), tombstones, "{}", state.word());
        }
    }

    #[test]
    fn before_it_is_open_a_node_shows_its_phase_whatever_its_volumes_are() {
        let broken = VolumeCounts { in_trouble: 2, ..ALL_OK };
        for (phase, state) in [
            (Phase::Mounting, NodeState::Mounting),
            (Phase::Initializing, NodeState::Initializing),
            (Phase::Finalizing, NodeState::Finalizing),
            (Phase::Stopped, NodeState::Maintenance),
        ] {
            assert_eq!(shown(phase, broken, true), state);
        }
    }

    #[test]
    fn an_open_node_shows_what_its_volumes_are() {
        let open = |volumes| shown(Phase::Open, volumes, false);
        assert_eq!(open(ALL_OK), NodeState::Ok);
        assert_eq!(open(VolumeCounts { all: 0, ..ALL_OK }), NodeState::Ok, "without disks");
        assert_eq!(open(VolumeCounts { in_trouble: 1, ..ALL_OK }), NodeState::Error);
        assert_eq!(open(VolumeCounts { retiring: 1, ..ALL_OK }), NodeState::Retiring);
        assert_eq!(open(VolumeCounts { retired: 1, ..ALL_OK }), NodeState::Ok);
        assert_eq!(open(VolumeCounts { retired: 2, ..ALL_OK }), NodeState::Retired);
        assert_eq!(
            open(VolumeCounts { retired: 1, retiring: 1, ..ALL_OK }),
            NodeState::Retiring,
            "one of them still holds something"
        );
        let both = VolumeCounts { retiring: 1, in_trouble: 1, ..ALL_OK };
        assert_eq!(open(both), NodeState::Error, "an operator must see the trouble");
    }

    #[test]
    fn only_a_node_that_would_be_ok_is_shown_as_idle() {
        let asleep = |volumes| shown(Phase::Open, volumes, true);
        assert_eq!(asleep(ALL_OK), NodeState::Idle);
        assert_eq!(asleep(VolumeCounts { retiring: 1, ..ALL_OK }), NodeState::Retiring);
        assert_eq!(asleep(VolumeCounts { retired: 2, ..ALL_OK }), NodeState::Retired);
        assert_eq!(asleep(VolumeCounts { in_trouble: 1, ..ALL_OK }), NodeState::Error);
    }

    #[test]
    fn a_quiet_node_sleeps_wakes_to_be_checked_and_sleeps_again() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let idle = |after| is_idle(hours(after), hours(2), hours(8));
        let asleep: Vec<u64> = (0..20).filter(|after| idle(*after)).collect();
        assert_eq!(asleep, vec![2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 18, 19]);
    }

    #[test]
    fn zero_means_never_asleep_and_never_woken() {
        let (hour, never) = (Duration::from_secs(3600), Duration::ZERO);
        assert!(!is_idle(hour * 1000, never, hour));
        assert!(is_idle(hour * 1000, hour, never));
        assert!(!is_idle(hour * 1000, hour, hour), "woken before it could fall asleep");
    }
}
