//! Slots: the part of a record that says what the feeds have come to with its stream.
//!
//! Owns their codec (`docs/on-disk.md`, "Slots"). What an outcome means is the business of those who ask for it.

use swarm_types::{FEED_SLOTS_MAX, FeedId, FeedMark, FeedOutcome, FeedSlot, FeedSlots, Timestamp};

use crate::codec::{Cursor, Malformed, Put};

/// Most bytes that the slots of one record take.
pub(crate) const SLOTS_BYTES_MAX: usize = 1 + FEED_SLOTS_MAX * (SLOT_BYTES + RETRY_BYTES);

/// A slot that is final.
const SLOT_BYTES: usize = 4 + 8 + 1 + 2 + 8;

/// What a slot has more while the feed still tries.
const RETRY_BYTES: usize = 2 + 8;

const UNQUALIFIED: u8 = 1;
const SUCCESS: u8 = 2;
const RETRYING: u8 = 3;

/// Bytes that these slots take.
pub(crate) fn slots_bytes(slots: &FeedSlots) -> usize {
    let of_one =
        |slot: &FeedSlot| SLOT_BYTES + if slot.outcome.is_final() { 0 } else { RETRY_BYTES };
    1 + slots.iter().map(of_one).sum::<usize>()
}

/// Their number in one byte, then the slots.
pub(crate) fn put_slots(out: &mut Vec<u8>, slots: &FeedSlots) {
    out.push(u8::try_from(slots.iter().len()).expect("there are at most FEED_SLOTS_MAX"));
    for FeedSlot { feed, mark, outcome, status, at } in slots.iter() {
        out.put_u32(feed.0);
        out.put_u64(mark.0);
        out.push(match outcome {
            FeedOutcome::Unqualified => UNQUALIFIED,
            FeedOutcome::Success => SUCCESS,
            FeedOutcome::Retrying { .. } => RETRYING,
        });
        out.put_u16(*status);
        out.put_i64(at.0);
        if let FeedOutcome::Retrying { attempts, next_at } = outcome {
            out.put_u16(*attempts);
            out.put_i64(next_at.0);
        }
    }
}

/// Reads what [`put_slots`] wrote. Nothing is allocated where there are none.
pub(crate) fn slots(cursor: &mut Cursor<'_>) -> Result<FeedSlots, Malformed> {
    let count = usize::from(cursor.u8()?);
    if count > FEED_SLOTS_MAX {
        return Err(Malformed);
    }
    let mut slots = FeedSlots::default();
    let mut before = None;
    for _ in 0..count {
        let slot = slot(cursor)?;
        if before.is_some_and(|before| before >= slot.feed) {
            return Err(Malformed);
        }
        before = Some(slot.feed);
        slots.set(slot);
    }
    Ok(slots)
}

fn slot(cursor: &mut Cursor<'_>) -> Result<FeedSlot, Malformed> {
    let (feed, mark) = (FeedId(cursor.u32()?), FeedMark(cursor.u64()?));
    let (outcome, status, at) = (cursor.u8()?, cursor.u16()?, Timestamp(cursor.i64()?));
    let outcome = match outcome {
        UNQUALIFIED => FeedOutcome::Unqualified,
        SUCCESS => FeedOutcome::Success,
        RETRYING => {
            FeedOutcome::Retrying { attempts: cursor.u16()?, next_at: Timestamp(cursor.i64()?) }
        }
        _ => return Err(Malformed),
    };
    Ok(FeedSlot { feed, mark, outcome, status, at })
}

/// The slots of two records of one version: of each feed the later outcome.
pub(crate) fn merged(slots: &FeedSlots, others: &FeedSlots) -> FeedSlots {
    let mut merged = slots.clone();
    for other in others.iter() {
        let known = slots.iter().find(|slot| slot.feed == other.feed);
        if known.is_none_or(|slot| slot.at < other.at) {
            merged.set(*other);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(feed: u32, outcome: FeedOutcome, at: i64) -> FeedSlot {
        FeedSlot { feed: FeedId(feed), mark: FeedMark(7), outcome, status: 412, at: Timestamp(at) }
    }

    fn of(all: impl IntoIterator<Item = FeedSlot>) -> FeedSlots {
        let mut slots = FeedSlots::default();
        all.into_iter().for_each(|slot| slots.set(slot));
        slots
    }

    #[test]
    fn the_fullest_record_has_eight_that_are_tried_again() {
        let outcome = FeedOutcome::Retrying { attempts: 3, next_at: Timestamp(9) };
        let slots = of((0..8).map(|feed| slot(feed, outcome, 1)));
        let mut bytes = Vec::new();
        put_slots(&mut bytes, &slots);
        assert_eq!((bytes.len(), slots_bytes(&slots)), (SLOTS_BYTES_MAX, SLOTS_BYTES_MAX));
        assert_eq!(slots_bytes(&FeedSlots::default()), 1);
    }

    #[test]
    fn nine_of_them_or_two_of_one_feed_or_an_unknown_outcome_are_none() {
        let mut bytes = Vec::new();
        put_slots(&mut bytes, &of([1, 2].map(|feed| slot(feed, FeedOutcome::Success, 1))));
        assert!(super::slots(&mut Cursor::new(&bytes)).is_ok());
        for (at, byte) in [(0, 9), (0, 3), (1, 2), (1, 3), (13, 0), (13, 3), (13, 4)] {
            let mut bad = bytes.clone();
            bad[at] = byte;
            assert_eq!(super::slots(&mut Cursor::new(&bad)), Err(Malformed), "{at}: {byte}");
        }
    }

    #[test]
    fn of_two_records_the_later_outcomes_count() {
        let success = FeedOutcome::Success;
        let here = of([slot(1, success, 10), slot(2, success, 10)]);
        let there =
            of([slot(2, FeedOutcome::Unqualified, 11), slot(1, FeedOutcome::Unqualified, 9)]);
        let both = of([slot(1, success, 10), slot(2, FeedOutcome::Unqualified, 11)]);
        assert_eq!((merged(&here, &there), merged(&there, &here)), (both.clone(), both));
    }
}
