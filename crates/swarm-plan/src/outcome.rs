//! What to answer when replicas or tombstones have been made, or not.

use swarm_types::ObjectKind;

/// What became of one replica of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Durable and visible.
    Published,
    /// The node holds a newer version and stored nothing.
    Superseded,
    /// Certainly not stored.
    NotStored,
    /// No answer: it may be stored.
    Unknown,
}

/// What to answer a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteVerdict {
    /// Created, with that many replicas.
    Created(u32),
    /// A newer version was stored meanwhile, and nobody can ever have seen this one: answer conflict.
    Conflict,
    /// A newer version was stored meanwhile: take back what was published and answer unknown, for somebody may have read it.
    TakeBackForConflict,
    /// Too few replicas of an object that has no other version: take back what was published and answer unknown.
    TakeBackTooFew,
    /// Nobody knows whether it is stored, answer unknown. It is not taken back: wherever it is, it has replaced an older
    /// version, and would leave nothing behind.
    LeaveUnclear,
    /// Too few replicas and nothing anywhere: unavailable.
    NothingStored,
}

impl WriteVerdict {
    /// The same for what another cluster brings. It may have been brought twice at the same time, and the other time may have
    /// been answered: where this time fails, what is stored stays.
    #[must_use]
    pub const fn without_taking_back(self) -> Self {
        match self {
            Self::TakeBackForConflict => Self::Conflict,
            Self::TakeBackTooFew => Self::LeaveUnclear,
            Self::Created(_) | Self::Conflict | Self::LeaveUnclear | Self::NothingStored => self,
        }
    }
}

/// The answer to a write, from what became of its replicas. An immutable object needs two replicas, or all that were
/// asked for if that is fewer; anything that may supersede an older version is created with one (WRITE with Replicate
/// ROW): reporting it as failed would leave the newest version in the cluster.
#[must_use]
pub fn judge_write(kind: ObjectKind, wanted: u32, made: &[Made]) -> WriteVerdict {
    let count = |what: Made| made.iter().filter(|one| **one == what).count();
    let published = u32::try_from(count(Made::Published)).unwrap_or(u32::MAX);
    if count(Made::Superseded) > 0 {
        let may_be_visible = published > 0 || count(Made::Unknown) > 0;
        return if may_be_visible {
            WriteVerdict::TakeBackForConflict
        } else {
            WriteVerdict::Conflict
        };
    }
    let needed = if kind == ObjectKind::Immutable { wanted.min(2) } else { 1 };
    if published >= needed {
        WriteVerdict::Created(published)
    } else if published == 0 && count(Made::Unknown) == 0 {
        WriteVerdict::NothingStored
    } else if kind.is_mutable() {
        WriteVerdict::LeaveUnclear
    } else {
        WriteVerdict::TakeBackTooFew
    }
}

/// Whether a delete may be acknowledged: its tombstone is durable on every holder that answered, and on at least two
/// nodes where two were reachable (our choice).
#[must_use]
pub fn delete_is_safe(
    holders: usize,
    durable_holders: usize,
    durable_nodes: usize,
    reachable_nodes: usize,
) -> bool {
    durable_holders >= holders && durable_nodes >= reachable_nodes.min(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_immutable_object_needs_two_replicas() {
        let two = [Made::Published, Made::Published];
        assert_eq!(judge_write(ObjectKind::Immutable, 2, &two), WriteVerdict::Created(2));
        let one = [Made::Published, Made::NotStored];
        assert_eq!(judge_write(ObjectKind::Immutable, 2, &one), WriteVerdict::TakeBackTooFew);
        assert_eq!(
            judge_write(ObjectKind::Immutable, 1, &[Made::Published]),
            WriteVerdict::Created(1)
        );
    }

    #[test]
    fn a_named_object_is_created_with_one() {
        let one = [Made::Published, Made::Unknown];
        assert_eq!(judge_write(ObjectKind::Named, 2, &one), WriteVerdict::Created(1));
        let none = [Made::NotStored, Made::NotStored];
        assert_eq!(judge_write(ObjectKind::Named, 2, &none), WriteVerdict::NothingStored);
    }

    #[test]
    fn what_may_have_replaced_an_older_version_is_not_taken_back_for_want_of_replicas() {
        let unclear = [Made::NotStored, Made::Unknown];
        for kind in [ObjectKind::Alias, ObjectKind::Named, ObjectKind::Bucket, ObjectKind::Domain] {
            assert_eq!(judge_write(kind, 2, &unclear), WriteVerdict::LeaveUnclear);
        }
        assert_eq!(judge_write(ObjectKind::Immutable, 2, &unclear), WriteVerdict::TakeBackTooFew);
    }

    #[test]
    fn a_write_that_would_not_win_is_a_conflict_unless_somebody_may_have_seen_it() {
        for unseen in [Made::Superseded, Made::NotStored] {
            let made = [unseen, Made::Superseded];
            assert_eq!(judge_write(ObjectKind::Named, 2, &made), WriteVerdict::Conflict);
        }
        for seen in [Made::Published, Made::Unknown] {
            let made = [seen, Made::Superseded];
            assert_eq!(judge_write(ObjectKind::Named, 2, &made), WriteVerdict::TakeBackForConflict);
        }
    }

    #[test]
    fn what_another_cluster_brings_is_never_taken_back() {
        let judge =
            |made: &[Made]| judge_write(ObjectKind::Immutable, 1, made).without_taking_back();
        assert_eq!(judge(&[Made::Published, Made::Unknown]), WriteVerdict::Created(1));
        assert_eq!(judge(&[Made::NotStored, Made::Unknown]), WriteVerdict::LeaveUnclear);
        assert_eq!(judge(&[Made::Published, Made::Superseded]), WriteVerdict::Conflict);
        assert_eq!(judge(&[Made::NotStored, Made::NotStored]), WriteVerdict::NothingStored);
    }

    #[test]
    fn a_delete_needs_every_holder_and_two_nodes() {
        assert!(delete_is_safe(2, 2, 2, 3));
        assert!(!delete_is_safe(2, 1, 2, 3));
        assert!(!delete_is_safe(1, 1, 1, 2));
        assert!(delete_is_safe(1, 1, 1, 1));
    }
}
