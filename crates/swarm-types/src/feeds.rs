//! What a stream remembers of the feeds: one slot for each that has come to an outcome with it.
//!
//! Only outcomes are kept. A feed without a slot has not evaluated the stream, or has begun something that a restart
//! forgets; either way it looks at the stream again, which costs a question to the target and loses nothing (our choice).

use std::fmt;

use crate::Timestamp;

/// Number of a feed, given by the cluster when the feed is created and never given again (Replication Feeds: read only).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(pub u32);

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which evaluation a slot belongs to: equal marks mean the same standing order. It differs after every change that makes
/// the feed evaluate everything again, and between feeds of one number that two clusters, or two sides of a cluster that
/// could not hear each other, created for themselves (our choice).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedMark(pub u64);

impl fmt::Debug for FeedMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What came of a stream at a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedOutcome {
    /// It is out of the feed's scope. Final for this mark.
    Unqualified,
    /// The target has acknowledged this version or a newer one. Final for this mark.
    Success,
    /// The target did not take it; it is tried again, for ever.
    Retrying {
        /// How often it has failed.
        attempts: u16,
        /// Not before this date is it tried again.
        next_at: Timestamp,
    },
}

impl FeedOutcome {
    /// True if there is nothing left to do for this mark.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Unqualified | Self::Success)
    }
}

/// What one feed has come to with one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FeedSlot {
    /// The feed.
    pub feed: FeedId,
    /// The evaluation that the outcome belongs to; under another mark the slot says nothing.
    pub mark: FeedMark,
    /// What came of it.
    pub outcome: FeedOutcome,
    /// `Feed-<id>-Status`: 0 for success, over 1 for a failure (SCSP SEND); 0 too where it is out of scope and not shown.
    pub status: u16,
    /// `Feed-<id>-StatusTime`: when the outcome came about, by the clock of the node that noted it.
    pub at: Timestamp,
}

/// Most feeds that an object may be bound to (Understanding Feeds).
pub const FEED_SLOTS_MAX: usize = 8;

/// The slots of one stream, by feed: one each, [`FEED_SLOTS_MAX`] at most.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct FeedSlots(Vec<FeedSlot>);

impl FeedSlots {
    /// The slot of this feed, if it belongs to this mark.
    #[must_use]
    pub fn get(&self, feed: FeedId, mark: FeedMark) -> Option<&FeedSlot> {
        let at = self.0.binary_search_by_key(&feed, |slot| slot.feed).ok()?;
        self.0.get(at).filter(|slot| slot.mark == mark)
    }

    /// Files a slot in the place of the feed's earlier one. Where all places are taken, the oldest outcome makes way: it
    /// belongs to a feed that is gone, or is found anew at the cost of a question (our choice).
    pub fn set(&mut self, slot: FeedSlot) {
        if let Ok(at) = self.0.binary_search_by_key(&slot.feed, |slot| slot.feed) {
            self.0[at] = slot;
            return;
        }
        if self.0.len() >= FEED_SLOTS_MAX {
            let oldest = (0..self.0.len()).min_by_key(|at| (self.0[*at].at, *at));
            oldest.map(|at| self.0.remove(at));
        }
        let place = self.0.partition_point(|other| other.feed < slot.feed);
        self.0.insert(place, slot);
    }

    /// Files a slot as [`FeedSlots::set`] does. Where all places are taken, the slots of feeds and evaluations that are not known
    /// make way first: nobody looks again for what those that live have lost.
    pub fn set_among(&mut self, slot: FeedSlot, known: impl Fn(FeedId, FeedMark) -> bool) {
        let is_new = self.0.binary_search_by_key(&slot.feed, |slot| slot.feed).is_err();
        if is_new && self.0.len() >= FEED_SLOTS_MAX {
            self.retain(known);
        }
        self.set(slot);
    }

    /// Forgets the slots of all other feeds and evaluations: of feeds that were deleted, or of another cluster whose disk
    /// this was.
    pub fn retain(&mut self, known: impl Fn(FeedId, FeedMark) -> bool) {
        self.0.retain(|slot| known(slot.feed, slot.mark));
    }

    /// Every slot, by feed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &FeedSlot> {
        self.0.iter()
    }

    /// True if no feed has come to an outcome.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot(feed: u32, mark: u64, at: i64) -> FeedSlot {
        let (feed, mark, at) = (FeedId(feed), FeedMark(mark), Timestamp(at));
        FeedSlot { feed, mark, outcome: FeedOutcome::Success, status: 0, at }
    }

    #[test]
    fn a_slot_of_another_mark_says_nothing_and_gives_way() {
        let mut slots = FeedSlots::default();
        slots.set(slot(1, 7, 100));
        assert_eq!(slots.get(FeedId(1), FeedMark(7)), Some(&slot(1, 7, 100)));
        assert_eq!(slots.get(FeedId(1), FeedMark(8)), None);
        assert_eq!(slots.get(FeedId(2), FeedMark(7)), None);
        slots.set(slot(1, 8, 101));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [&slot(1, 8, 101)]);
    }

    #[test]
    fn a_ninth_feed_takes_the_place_of_the_oldest_outcome() {
        let mut slots = FeedSlots::default();
        (0..8).for_each(|feed| slots.set(slot(feed, 1, if feed == 5 { 10 } else { 20 })));
        slots.set(slot(8, 1, 30));
        let feeds: Vec<u32> = slots.iter().map(|slot| slot.feed.0).collect();
        assert_eq!(feeds, [0, 1, 2, 3, 4, 6, 7, 8]);
    }

    #[test]
    fn a_feed_that_is_gone_makes_way_before_an_older_outcome_of_one_that_lives() {
        let mut slots = FeedSlots::default();
        (0..8).for_each(|feed| slots.set(slot(feed, 1, if feed == 5 { 90 } else { 20 })));
        let known = |feed: FeedId, mark: FeedMark| feed != FeedId(5) && mark == FeedMark(1);
        slots.set_among(slot(3, 1, 30), |_, _| false);
        assert_eq!(slots.iter().len(), 8, "there is a place for it");
        slots.set_among(slot(8, 1, 30), known);
        let feeds: Vec<u32> = slots.iter().map(|slot| slot.feed.0).collect();
        assert_eq!(feeds, [0, 1, 2, 3, 4, 6, 7, 8]);
        // All live: two sides that could not hear each other created too many.
        slots.set_among(slot(9, 1, 40), |_, _| true);
        assert_eq!(slots.iter().len(), 8);
        assert!(slots.get(FeedId(9), FeedMark(1)).is_some());
    }

    #[test]
    fn slots_of_feeds_that_are_gone_are_forgotten() {
        let mut slots = FeedSlots::default();
        (0..3).for_each(|feed| slots.set(slot(feed, u64::from(feed), 0)));
        slots.retain(|feed, mark| feed == FeedId(1) && mark == FeedMark(1));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [&slot(1, 1, 0)]);
        slots.retain(|_, _| false);
        assert!(slots.is_empty());
    }

    #[test]
    fn only_success_and_out_of_scope_are_final() {
        let retrying = FeedOutcome::Retrying { attempts: 1, next_at: Timestamp(0) };
        assert!(FeedOutcome::Unqualified.is_final() && FeedOutcome::Success.is_final());
        assert!(!retrying.is_final());
    }

    proptest! {
        #[test]
        fn slots_stay_few_and_sorted_and_the_last_one_set_is_found(
            all in prop::collection::vec((0..12u32, 0..3u64, 0..50i64), 1..40),
        ) {
            let mut slots = FeedSlots::default();
            for (feed, mark, at) in all {
                slots.set(slot(feed, mark, at));
                prop_assert_eq!(slots.get(FeedId(feed), FeedMark(mark)), Some(&slot(feed, mark, at)));
                prop_assert!(slots.iter().len() <= FEED_SLOTS_MAX);
                prop_assert!(slots.iter().is_sorted_by(|one, next| one.feed < next.feed));
            }
        }

        /// Eight living feeds beside any that are gone: after one more round of outcomes all eight have theirs.
        #[test]
        fn living_feeds_get_their_places_from_dead_ones(dead in prop::collection::vec((0..8u32, 0..50i64), 0..20)) {
            let mut slots = FeedSlots::default();
            dead.into_iter().for_each(|(feed, at)| slots.set(slot(feed, 1, at)));
            (8..16).for_each(|feed| slots.set(slot(feed, 1, 100)));
            prop_assert!((8..16).all(|feed| slots.get(FeedId(feed), FeedMark(1)).is_some()));
        }
    }
}
