//! When a copy may go: the one rule that every erasure of a sound copy of the newest version obeys, whether the copy is
//! surplus, its volume is being retired, or it has been moved.
//!
//! The holder first marks its copy as leaving: from then on it does not vouch for it any more. Then it asks the other
//! holders, and counts only those that vouch for theirs now. Of two holders that want to go at the same time, the later
//! one to ask hears that the other is leaving and stays, or both hear it and both stay; never do both go.

use std::collections::BTreeSet;

use swarm_types::{NodeId, Stamp, VolumeId};

use super::{CopyForm, Survey};

/// Whether the copy of this version on volume `here` may be erased: `wanted` nodes, and never none, vouch for a sound copy
/// on another volume. `fresh` holds answers to a question that was asked after the copy was marked as leaving.
#[must_use]
pub fn may_go(here: VolumeId, stamp: Stamp, wanted: u32, fresh: &Survey) -> bool {
    let vouching: BTreeSet<NodeId> = fresh
        .places(stamp, CopyForm::Sound)
        .into_iter()
        .filter(|place| place.volume != here)
        .map(|place| place.node)
        .collect();
    // Something newer would make all of this pointless; then it is not for this rule to decide.
    fresh.newest() <= Some(stamp)
        && vouching.len() >= usize::try_from(wanted.max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::super::testing::{Cluster, place, stamp};
    use super::*;

    fn survey(copies: &[(u8, u8, u64, CopyForm)]) -> Survey {
        Cluster::reporting(copies).survey_everybody()
    }

    #[test]
    fn enough_sound_copies_elsewhere_let_it_go() {
        use CopyForm::{Damaged, Leaving, Retiring, Sound};
        let here = place(1, 1).volume;
        let own = (1, 1, 5, Leaving);
        let go = |copies: &[(u8, u8, u64, CopyForm)], wanted| {
            let mut all = vec![own];
            all.extend_from_slice(copies);
            may_go(here, stamp(5), wanted, &survey(&all))
        };
        assert!(go(&[(2, 1, 5, Sound), (3, 1, 5, Sound)], 2));
        // Too few, or not of the kind that counts.
        assert!(!go(&[(2, 1, 5, Sound)], 2));
        assert!(!go(&[], 0));
        for form in [Leaving, Damaged, Retiring] {
            assert!(!go(&[(2, 1, 5, Sound), (3, 1, 5, form)], 2));
        }
        // Two volumes of one node fail together.
        assert!(!go(&[(2, 1, 5, Sound), (2, 2, 5, Sound)], 2));
        // An older version is no copy of this one; a newer one changes the question.
        assert!(!go(&[(2, 1, 5, Sound), (3, 1, 4, Sound)], 2));
        assert!(!go(&[(2, 1, 5, Sound), (3, 1, 5, Sound), (4, 1, 6, Sound)], 2));
    }

    /// One holder's attempt to let its copy go: it marks it, asks every other one in turn, and decides.
    #[derive(Clone, Default)]
    struct Attempt {
        marked: bool,
        heard: Survey,
        asked: u8,
        over: bool,
    }

    proptest! {
        /// All holders of an object are asked to let their copies go, at the same time, and their steps mix in any order:
        /// as many copies as are wanted stay.
        #[test]
        fn holders_that_want_to_go_together_never_leave_too_few(
            holders in 2..6u8, wanted in 1..4u32, steps in proptest::collection::vec(0..6u8, 0..80),
        ) {
            let mut cluster = Cluster::reporting(
                &(1..=holders).map(|last| (last, 1, 5, CopyForm::Sound)).collect::<Vec<_>>(),
            );
            let mut attempts = vec![Attempt::default(); usize::from(holders)];
            for which in steps.into_iter().map(|step| step % holders) {
                let (attempt, here) = (&mut attempts[usize::from(which)], place(which + 1, 1));
                if attempt.over {
                    continue;
                }
                if !attempt.marked {
                    cluster.volume(here).copy = Some((stamp(5), CopyForm::Leaving));
                    attempt.marked = true;
                } else if attempt.asked < holders {
                    attempt.asked += 1;
                    let answer = cluster.survey_everybody().reports[&place(attempt.asked, 1).node].clone();
                    attempt.heard.add(answer);
                } else {
                    let goes = may_go(here.volume, stamp(5), wanted, &attempt.heard);
                    cluster.volume(here).copy = (!goes).then_some((stamp(5), CopyForm::Sound));
                    attempt.over = true;
                }
            }
            let left = cluster.places().len();
            prop_assert!(left >= usize::try_from(wanted).expect("few").min(usize::from(holders)), "{left} left");
        }
    }

    #[test]
    fn a_volume_that_two_nodes_report_is_one_copy() {
        let mut moved = survey(&[(1, 1, 5, CopyForm::Leaving), (2, 1, 5, CopyForm::Sound)]);
        let mut again = moved.reports[&place(2, 1).node].clone();
        again.node = place(3, 1).node;
        moved.add(again);
        assert!(!may_go(place(1, 1).volume, stamp(5), 2, &moved));
    }
}
