//! What a stream remembers of a delivery, and whose turn it is to deliver.
//!
//! All replicas of an object process it for every feed; one of them goes first, so that the bytes cross the wire once
//! (SCSP SEND). The others wait, hear what came of it, ask before they act, and act alone only if nobody else will (our
//! choice): whoever goes first may be lost, and no outcome that a node notes is taken for more than it says.

use std::time::Duration;

use swarm_types::{FeedId, FeedMark, FeedOutcome, FeedSlot, Instant, Timestamp};

/// What came of working on a stream for a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The feed does not select it.
    OutOfScope,
    /// The target has it, or there is nothing that this feed would carry over.
    Done,
    /// The target, or the source, has a reason of its own against this object.
    Failed {
        /// What `Feed-<id>-Status` shows.
        status: u16,
        /// How long to wait before the next try.
        wait: Duration,
    },
    /// The target takes nothing at all, or nobody knows what became of it: the object is not blamed.
    NotBlamed,
}

/// The slot to file, if anything is to be filed. An outcome that is known already is not filed again.
#[must_use]
pub fn settle(
    before: Option<&FeedSlot>,
    feed: FeedId,
    mark: FeedMark,
    settled: Settled,
    now: Timestamp,
) -> Option<FeedSlot> {
    let (outcome, status) = match settled {
        Settled::OutOfScope => (FeedOutcome::Unqualified, 0),
        Settled::Done => (FeedOutcome::Success, 0),
        Settled::Failed { status, wait } => {
            let attempts = failures(before, mark).saturating_add(1);
            (FeedOutcome::Retrying { attempts, next_at: now + wait }, status)
        }
        Settled::NotBlamed => return None,
    };
    let known = before
        .is_some_and(|slot| slot.feed == feed && slot.mark == mark && slot.outcome == outcome);
    (!known).then_some(FeedSlot { feed, mark, outcome, status, at: now })
}

/// How often the object has failed in this evaluation.
#[must_use]
pub fn failures(before: Option<&FeedSlot>, mark: FeedMark) -> u16 {
    match before {
        Some(FeedSlot { mark: of, outcome: FeedOutcome::Retrying { attempts, .. }, .. })
            if *of == mark =>
        {
            *attempts
        }
        _ => 0,
    }
}

/// For how many hold-offs a replica waits for one that goes first and has not: its node may be unable to reach a target
/// that this one reaches.
pub const PATIENCE: u32 = 4;

/// What another holder of the same version says of it at the same feed and mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// This came of it.
    Done(FeedSlot),
    /// This failed because somebody had it sent again: what was done before does not count.
    TakenBack(FeedSlot),
    /// It is being delivered right now.
    Doing,
    /// The replica there goes first, and has not come to it.
    FirstAndPending,
    /// Nothing has been done about it there.
    NotMine,
}

/// Whether, and when, a replica is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At once; with a question first whether the target has it already.
    Now {
        /// Whether to ask the target first.
        probe: bool,
    },
    /// Not before then.
    At(Instant),
    /// When the other holders were asked.
    Ask,
    /// Not at all: another holder has come to this.
    Adopt(FeedSlot),
}

/// What the turn of a replica hangs on.
#[derive(Debug, Clone, Copy)]
pub struct TurnFacts<'a> {
    /// Whether this replica goes first.
    pub first: bool,
    /// When the work came up here: the write, the feed's creation, or the node's start.
    pub since: Instant,
    /// The present.
    pub now: Instant,
    /// `feeds.secondaryDelay`.
    pub hold_off: Duration,
    /// What the other holders said just now; none if they were not asked.
    pub told: Option<&'a [Told]>,
}

/// Whose turn it is.
#[must_use]
pub fn turn(facts: TurnFacts<'_>) -> Turn {
    if facts.first {
        return Turn::Now { probe: false };
    }
    let done = facts.told.unwrap_or_default().iter().find_map(|told| match told {
        Told::Done(slot) if slot.outcome.is_final() => Some(*slot),
        _ => None,
    });
    if let Some(slot) = done {
        return Turn::Adopt(slot);
    }
    if facts.now < facts.since + facts.hold_off {
        return Turn::At(facts.since + facts.hold_off);
    }
    let Some(told) = facts.told else { return Turn::Ask };
    let waited_enough = facts.now >= facts.since + facts.hold_off * PATIENCE;
    let will_be_done =
        told.contains(&Told::Doing) || (told.contains(&Told::FirstAndPending) && !waited_enough);
    if will_be_done { Turn::At(facts.now + facts.hold_off) } else { Turn::Now { probe: true } }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FEED: FeedId = FeedId(1);
    const MARK: FeedMark = FeedMark(7);
    const NOW: Timestamp = Timestamp::from_secs(1_000);
    const FAILED: Settled = Settled::Failed { status: 412, wait: Duration::from_secs(60) };
    const HOLD_OFF: Duration = Duration::from_secs(300);

    fn slot(outcome: FeedOutcome, status: u16) -> FeedSlot {
        FeedSlot { feed: FEED, mark: MARK, outcome, status, at: NOW }
    }

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    #[test]
    fn each_outcome_makes_the_slot_that_is_shown() {
        let retrying =
            |attempts| FeedOutcome::Retrying { attempts, next_at: Timestamp::from_secs(1_060) };
        let success = slot(FeedOutcome::Success, 0);
        let failed = slot(retrying(1), 412);
        let cases = [
            // What was there, what came of it, what is filed.
            (None, Settled::Done, Some(success)),
            (None, Settled::OutOfScope, Some(slot(FeedOutcome::Unqualified, 0))),
            (None, FAILED, Some(failed)),
            (Some(failed), FAILED, Some(slot(retrying(2), 412))),
            (Some(failed), Settled::Done, Some(success)),
            // A forced SEND of what was done fails: it is not done any more.
            (Some(success), FAILED, Some(failed)),
            (Some(success), Settled::Done, None),
            (Some(failed), Settled::NotBlamed, None),
            (None, Settled::NotBlamed, None),
        ];
        for (before, settled, filed) in cases {
            let after = settle(before.as_ref(), FEED, MARK, settled, NOW);
            assert_eq!(after, filed, "{before:?} {settled:?}");
        }
    }

    #[test]
    fn what_another_evaluation_came_to_counts_for_nothing() {
        let old = FeedSlot { mark: FeedMark(6), ..slot(FeedOutcome::Success, 0) };
        let after = settle(Some(&old), FEED, MARK, Settled::Done, NOW);
        assert_eq!(after, Some(slot(FeedOutcome::Success, 0)));
        let retrying = FeedOutcome::Retrying { attempts: 9, next_at: NOW };
        let old = FeedSlot { mark: FeedMark(6), ..slot(retrying, 500) };
        assert_eq!((failures(Some(&old), MARK), failures(Some(&old), old.mark)), (0, 9));
    }

    #[test]
    fn a_replica_waits_asks_and_acts_only_if_nobody_else_will() {
        let success = slot(FeedOutcome::Success, 0);
        let retrying = slot(FeedOutcome::Retrying { attempts: 1, next_at: NOW }, 500);
        let probe = Turn::Now { probe: true };
        let cases: [(u64, Option<&[Told]>, Turn); 13] = [
            // Seconds since it came up, what was told, whose turn it is.
            (0, None, Turn::At(at(300))),
            (299, Some(&[Told::NotMine]), Turn::At(at(300))),
            (10, Some(&[Told::Done(success)]), Turn::Adopt(success)),
            (300, None, Turn::Ask),
            (300, Some(&[]), probe),
            (300, Some(&[Told::NotMine, Told::NotMine]), probe),
            (300, Some(&[Told::NotMine, Told::Done(success)]), Turn::Adopt(success)),
            (300, Some(&[Told::Doing]), Turn::At(at(600))),
            (300, Some(&[Told::FirstAndPending]), Turn::At(at(600))),
            (1_200, Some(&[Told::FirstAndPending, Told::NotMine]), probe),
            (9_999, Some(&[Told::Doing]), Turn::At(at(10_299))),
            // Where another has failed, this one tries.
            (300, Some(&[Told::Done(retrying)]), probe),
            (300, Some(&[Told::TakenBack(retrying)]), probe),
        ];
        for (now, told, expected) in cases {
            let facts =
                TurnFacts { first: false, since: at(0), now: at(now), hold_off: HOLD_OFF, told };
            assert_eq!(turn(facts), expected, "{now} s, {told:?}");
            let first = turn(TurnFacts { first: true, ..facts });
            assert_eq!(first, Turn::Now { probe: false }, "{now} s, {told:?}");
        }
    }

    proptest! {
        /// Whatever is lost: a replica that comes back when it was told to, and asks when it was told to, is worked on
        /// once nobody answers, before two hold-offs are over.
        #[test]
        fn nobody_waits_for_the_dead(hold_off in 1..1_000u64, since in 0..1_000u64) {
            let hold_off = Duration::from_secs(hold_off);
            let mut facts =
                TurnFacts { first: false, since: at(since), now: at(since), hold_off, told: None };
            for _ in 0..3 {
                match turn(facts) {
                    Turn::At(then) => {
                        prop_assert!(then > facts.now);
                        facts = TurnFacts { now: then, ..facts };
                    }
                    Turn::Ask => facts.told = Some(&[]),
                    Turn::Now { probe } => prop_assert!(probe),
                    Turn::Adopt(_) => prop_assert!(false, "nobody has done anything"),
                }
            }
            prop_assert_eq!(turn(facts), Turn::Now { probe: true });
            prop_assert!(facts.now < facts.since + hold_off * 2);
        }
    }
}
