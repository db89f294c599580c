//! Bugs planted on purpose, to prove that the scenarios would find them. The whole list is here.

/// One wrong decision in product code. Off unless the cargo feature `planted-bugs` is on and the run chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A commit group is acknowledged when the disk has taken it, before the sync that makes it durable.
    AckBeforeSync,
    /// Tombstones are left out when a volume is mounted.
    ForgetTombstones,
    /// A block goes out to the client without its checksum being compared; the check at mount stays.
    ServeUnverified,
    /// The version of a write comes from the clock alone, not raised above the newest version known.
    ClockOnlyVersion,
    /// A delete is acknowledged with the tombstone of one node; the other holders are not told.
    DeleteHereOnly,
}

impl Bug {
    /// Every planted bug.
    pub const ALL: &'static [Self] = &[
        Self::AckBeforeSync,
        Self::ForgetTombstones,
        Self::ServeUnverified,
        Self::ClockOnlyVersion,
        Self::DeleteHereOnly,
    ];

    /// The name that `--plant` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::ForgetTombstones => "forget-tombstones",
            Self::ServeUnverified => "serve-unverified",
            Self::ClockOnlyVersion => "clock-only-version",
            Self::DeleteHereOnly => "delete-here-only",
        }
    }

    /// The bug with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}

/// The planted bugs chosen for a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlantedBugs {
    chosen: Vec<Bug>,
}

impl PlantedBugs {
    /// Whether this build can plant bugs at all.
    pub const POSSIBLE: bool = cfg!(feature = "planted-bugs");

    /// These bugs, or none in a build without the feature `planted-bugs`.
    #[must_use]
    pub fn new(chosen: Vec<Bug>) -> Self {
        Self { chosen: if Self::POSSIBLE { chosen } else { Vec::new() } }
    }

    /// True if this bug was chosen.
    #[must_use]
    pub fn has(&self, bug: Bug) -> bool {
        Self::POSSIBLE && self.chosen.contains(&bug)
    }
}
