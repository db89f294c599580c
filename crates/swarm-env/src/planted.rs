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
    /// A holder that hears of a copy too many lets its own go half a health cycle later, on what it heard then.
    TrimOnOldAnswer,
    /// A lost volume that is back counts twice: as what is there, and as what was waited for.
    CountReturningTwice,
    /// A node that was away is not told of what was deleted meanwhile: its old replica stays.
    DeleteNotMadeUpFor,
    /// What a lifepoint does not say it takes from the one before.
    InheritLifepoint,
    /// The health processor verifies every block of a body but the last.
    ScrubSkipsLastBlock,
    /// Seconds are taken for milliseconds: deletes are remembered for a thousandth of `disk.obsoleteTimeout`.
    ForgetDeletesEarly,
    /// A volume is mounted however long it was away.
    MountStale,
    /// A mount goes on behind the end of the journal that it reads, without making sure that this is on the medium.
    MountTrustsCache,
    /// Two copies on volumes of one node count as two.
    TwoOnOneNode,
    /// A replica that is known to be damaged counts as a copy.
    QuarantinedCounts,
    /// A copy that is remembered counts although the volume that had it is lost.
    HintsVouch,
    /// Copies beyond what is demanded are never trimmed.
    SurplusStays,
    /// A replica of an older version stays where it is.
    SupersededStays,
    /// What a lifepoint has ended is hidden from clients and kept on disk.
    EndedStays,
    /// A lifepoint ends domains and buckets as it ends objects.
    ContextEnds,
    /// A retiring volume lets go of a replica before the copy elsewhere is durable.
    RetireBeforeCopied,
    /// A replica that cannot be read is erased although no other is known to be sound.
    EraseLastSuspect,
    /// A copy made by the health processor has the body and not the client's headers.
    CopyWithoutHeaders,
    /// An object that a feed's target did not take is noted as brought: what failed once is not tried again.
    FeedSkipsFailed,
    /// A paused feed does not keep deletes in mind.
    DeletesLostWhilePaused,
    /// `Feed-N-Status` is 0 as soon as a feed has begun to send, before its target has answered.
    StatusZeroEarly,
    /// What another cluster brings is given a version of this cluster's own: two that feed each other never come to rest.
    EchoVersions,
    /// A slot says of which feed it is, and not of which of its evaluations: what was brought once is never looked at again.
    SuccessOutlivesFeed,
    /// What another cluster brings is stored above a newer delete.
    ImportOverTombstone,
    /// The replicas that do not go first never act, also where the first one is lost.
    FirstOnly,
    /// A delete is forgotten in time though a feed has still to carry it over.
    TombstoneDroppedEarly,
    /// The names of headers are stored as they came over the wire, in lower case, and not as the client wrote them.
    SpellingLost,
    /// An import that fails, be it because another was faster, takes back what it may have stored, as a client's write does: also
    /// what whoever brought the other was told is there.
    ImportTakesBack,
    /// A member that arrives before its bucket is given up: the bucket is not brought because of it.
    ContextAfterMember,
    /// An APPEND goes to the copy that is at hand, be it the newest version or not.
    AppendToOld,
}

impl Bug {
    /// Every planted bug.
    pub const ALL: &'static [Self] = &[
        Self::AckBeforeSync,
        Self::ForgetTombstones,
        Self::ServeUnverified,
        Self::ClockOnlyVersion,
        Self::DeleteHereOnly,
        Self::TrimOnOldAnswer,
        Self::CountReturningTwice,
        Self::DeleteNotMadeUpFor,
        Self::InheritLifepoint,
        Self::ScrubSkipsLastBlock,
        Self::ForgetDeletesEarly,
        Self::MountStale,
        Self::MountTrustsCache,
        Self::TwoOnOneNode,
        Self::QuarantinedCounts,
        Self::HintsVouch,
        Self::SurplusStays,
        Self::SupersededStays,
        Self::EndedStays,
        Self::ContextEnds,
        Self::RetireBeforeCopied,
        Self::EraseLastSuspect,
        Self::CopyWithoutHeaders,
        Self::FeedSkipsFailed,
        Self::DeletesLostWhilePaused,
        Self::StatusZeroEarly,
        Self::EchoVersions,
        Self::SuccessOutlivesFeed,
        Self::ImportOverTombstone,
        Self::FirstOnly,
        Self::TombstoneDroppedEarly,
        Self::SpellingLost,
        Self::ImportTakesBack,
        Self::ContextAfterMember,
        Self::AppendToOld,
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
            Self::TrimOnOldAnswer => "trim-on-old-answer",
            Self::CountReturningTwice => "count-returning-twice",
            Self::DeleteNotMadeUpFor => "delete-not-made-up-for",
            Self::InheritLifepoint => "inherit-lifepoint",
            Self::ScrubSkipsLastBlock => "scrub-skips-last-block",
            Self::ForgetDeletesEarly => "forget-deletes-early",
            Self::MountStale => "mount-stale",
            Self::MountTrustsCache => "mount-trusts-cache",
            Self::TwoOnOneNode => "two-on-one-node",
            Self::QuarantinedCounts => "quarantined-counts",
            Self::HintsVouch => "hints-vouch",
            Self::SurplusStays => "surplus-stays",
            Self::SupersededStays => "superseded-stays",
            Self::EndedStays => "ended-stays",
            Self::ContextEnds => "context-ends",
            Self::RetireBeforeCopied => "retire-before-copied",
            Self::EraseLastSuspect => "erase-last-suspect",
            Self::CopyWithoutHeaders => "copy-without-headers",
            Self::FeedSkipsFailed => "feed-skips-failed",
            Self::DeletesLostWhilePaused => "deletes-lost-while-paused",
            Self::StatusZeroEarly => "status-zero-early",
            Self::EchoVersions => "echo-versions",
            Self::SuccessOutlivesFeed => "success-outlives-feed",
            Self::ImportOverTombstone => "import-over-tombstone",
            Self::FirstOnly => "first-only",
            Self::TombstoneDroppedEarly => "tombstone-dropped-early",
            Self::SpellingLost => "spelling-lost",
            Self::ImportTakesBack => "import-takes-back",
            Self::ContextAfterMember => "context-after-member",
            Self::AppendToOld => "append-to-old",
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
