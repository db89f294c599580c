//! Walking over everything filed: for the health processor in an order of its own, for recovery by hint.

use swarm_types::StreamId;

use crate::index::{Index, IndexError};
use crate::record::{Record, decode_value};

/// Ranges of ids that a walk goes through: one for each value of the first byte.
const RANGES: usize = 256;

/// One walk over a volume: every record that is there all the while comes once.
///
/// The ranges of ids come in an order drawn from the seed, ids within a range in their own order. Volumes that hold the
/// same streams so go different ways, and one that comes late to a stream on one lap is not late to all the others.
/// A permutation of single ids would do no more and need a list of them.
#[derive(Debug, Clone)]
pub struct Walk {
    order: Vec<u8>,
    /// How many ranges are done.
    done: usize,
    /// The last id given out of the next one.
    after: Option<StreamId>,
}

impl Walk {
    /// A walk that has not begun.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut order: Vec<u8> = (0..=u8::MAX).collect();
        let mut draw = seed;
        for last in (1..RANGES).rev() {
            draw = mix(draw);
            let other = usize::try_from(draw % (last as u64 + 1)).unwrap_or(last);
            order.swap(last, other);
        }
        Self { order, done: 0, after: None }
    }

    /// True when nothing is left to walk over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done == RANGES
    }

    /// How much of the space of ids is done, from 0 to 1.
    #[must_use]
    pub fn share_done(&self) -> f64 {
        f64::from(u32::try_from(self.done).unwrap_or(u32::MAX)) / 256.0
    }

    /// Up to `limit` records; fewer only when the walk is done.
    pub(crate) fn next(
        &mut self,
        index: &dyn Index,
        limit: usize,
    ) -> Result<Vec<Record>, IndexError> {
        let mut records = Vec::new();
        while let Some(range) = self.order.get(self.done).filter(|_| records.len() < limit) {
            let wanted = limit - records.len();
            let page = index.scan(self.after.or_else(|| before(*range)), wanted)?;
            let read = page.len();
            for (id, value) in page.iter().take_while(|(id, _)| id.as_bytes()[0] == *range) {
                records.push(decode_value(*id, value)?);
                self.after = Some(*id);
            }
            let is_last = page.last().is_none_or(|(id, _)| id.as_bytes()[0] != *range);
            if is_last || read < wanted {
                (self.done, self.after) = (self.done + 1, None);
            }
        }
        Ok(records)
    }
}

/// The last id below a range; none below the first one.
fn before(range: u8) -> Option<StreamId> {
    let below = range.checked_sub(1)?;
    let mut id = [u8::MAX; 16];
    id[0] = below;
    Some(StreamId::from_bytes(id))
}

/// One step of splitmix64.
const fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_repeat_and_miss_no_range() {
        let walk = Walk::seeded(7);
        assert_eq!(walk.order, Walk::seeded(7).order);
        assert_ne!(walk.order, Walk::seeded(8).order);
        let mut ranges = walk.order.clone();
        ranges.sort_unstable();
        assert_eq!(ranges, (0..=255).collect::<Vec<u8>>());
    }
}
