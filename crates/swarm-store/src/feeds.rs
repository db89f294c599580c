//! Feeds as a volume knows them: what is still to be done, how much is done, and which buckets and domains are here.
//!
//! Owns the sums over the slots of everything filed, and the look for streams that a feed has not finished with. The
//! queue of a feed is the index itself; nothing is kept for what waits.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use swarm_types::{FeedId, FeedMark, FeedOutcome, FeedSlots, ObjectKind, Stamp, StreamId, Uuid};

use crate::codec::Malformed;
use crate::index::{Index, IndexError};
use crate::record::{Gist, gist};

/// Longest table of feeds that a volume keeps, in bytes; small devices keep less.
pub const FEED_TABLE_MAX: usize = 32 << 10;

/// How many streams of a volume have come to which outcome with one feed. What is in none of the numbers has not been
/// evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotCounts {
    /// Out of scope.
    pub unqualified: u64,
    /// The target has them.
    pub success: u64,
    /// They are tried again.
    pub retrying: u64,
}

impl SlotCounts {
    fn of(&mut self, outcome: FeedOutcome) -> &mut u64 {
        match outcome {
            FeedOutcome::Unqualified => &mut self.unqualified,
            FeedOutcome::Success => &mut self.success,
            FeedOutcome::Retrying { .. } => &mut self.retrying,
        }
    }
}

/// A stream with which at least one of the feeds asked about has not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedBrief {
    /// The stream.
    pub id: StreamId,
    /// The version, or the place of the delete among the versions.
    pub stamp: Stamp,
    /// What it is or was.
    pub kind: ObjectKind,
    /// The record here goes first.
    pub first: bool,
    /// It was deleted.
    pub tombstone: bool,
    /// The bytes here are known to be bad: they cannot be sent.
    pub quarantined: bool,
    /// Length of the body; 0 for a tombstone.
    pub length: u64,
    /// What feeds have come to so far, those that were not asked about too.
    pub slots: FeedSlots,
}

/// What a look at some records found for some feeds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedPage {
    /// Those among the records looked at that are not done with.
    pub found: Vec<FeedBrief>,
    /// Where to go on; `None` at the end.
    pub next: Option<StreamId>,
}

/// Looks at up to `scan` records behind an id for those without a final slot of one of these feeds.
pub(crate) fn unfinished(
    index: &dyn Index,
    of: &[(FeedId, FeedMark)],
    after: Option<StreamId>,
    scan: usize,
) -> Result<FeedPage, IndexError> {
    let page = index.scan(after, scan)?;
    let mut found = Vec::new();
    for (id, value) in &page {
        let gist = gist(value)?;
        let finished =
            |feed, mark| gist.slots.get(feed, mark).is_some_and(|slot| slot.outcome.is_final());
        if of.iter().any(|(feed, mark)| !finished(*feed, *mark)) {
            found.push(brief_of(*id, gist));
        }
    }
    let next = page.last().filter(|_| page.len() == scan).map(|(id, _)| *id);
    Ok(FeedPage { found, next })
}

fn brief_of(id: StreamId, gist: Gist) -> FeedBrief {
    let Gist { stamp, extent, kind, first, quarantined, slots, .. } = gist;
    FeedBrief {
        id,
        stamp,
        kind,
        first,
        tombstone: extent.is_none(),
        quarantined,
        length: extent.map_or(0, |extent| extent.length),
        slots,
    }
}

/// What the sums take from one value: nothing for most.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Share {
    slots: FeedSlots,
    context: Option<(Uuid, StreamId)>,
}

impl Share {
    pub(crate) fn of(id: StreamId, value: &[u8]) -> Result<Option<Self>, Malformed> {
        let Gist { kind, alias, slots, .. } = gist(value)?;
        let context = alias.filter(|_| kind.is_context()).map(|alias| (alias, id));
        Ok((context.is_some() || !slots.is_empty()).then_some(Self { slots, context }))
    }
}

/// Sums over everything filed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FeedSums {
    counts: BTreeMap<(FeedId, FeedMark), SlotCounts>,
    /// Domains and buckets by their alias, deleted ones that still are known by it too.
    contexts: BTreeSet<(Uuid, StreamId)>,
}

impl FeedSums {
    pub(crate) fn add(&mut self, share: Share) {
        for slot in share.slots.iter() {
            *self.counts.entry((slot.feed, slot.mark)).or_default().of(slot.outcome) += 1;
        }
        self.contexts.extend(share.context);
    }

    pub(crate) fn subtract(&mut self, share: &Share) {
        for slot in share.slots.iter() {
            let key = (slot.feed, slot.mark);
            let Some(counts) = self.counts.get_mut(&key) else { continue };
            let count = counts.of(slot.outcome);
            *count = count.saturating_sub(1);
            if *counts == SlotCounts::default() {
                self.counts.remove(&key);
            }
        }
        if let Some(context) = &share.context {
            self.contexts.remove(context);
        }
    }

    pub(crate) fn counts(&self, feed: FeedId, mark: FeedMark) -> SlotCounts {
        self.counts.get(&(feed, mark)).copied().unwrap_or_default()
    }

    /// The context with this alias; the lowest id where there are several.
    pub(crate) fn context(&self, alias: Uuid) -> Option<StreamId> {
        let from = (alias, StreamId::from_bytes([0; 16]));
        let found = self.contexts.range((Bound::Included(from), Bound::Unbounded)).next();
        found.filter(|(of, _)| *of == alias).map(|(_, id)| *id)
    }
}
