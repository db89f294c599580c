//! The streams that one feed keeps in mind on one node: what waits, what is next, what is under way.
//!
//! Bounded, whatever the backlog: the queue of a feed is the index itself, in which every stream without a final outcome is
//! found again. What does not fit is dropped, and that it was is remembered, so that the index is walked once more: nothing
//! is lost, only order is. Order (our choice): what is urgent, then new writes, then the backlog, then what failed before;
//! one pick in sixteen goes the other way round, so that a backlog of days starves nobody.

use std::collections::{BTreeMap, BTreeSet};

use swarm_types::{Instant, StreamId, Version};

/// Where a stream waits; earlier lanes go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Domains and buckets, without which the target refuses what is in them, and what a SEND waits for.
    Urgent,
    /// What was written just now.
    Fresh,
    /// What the walk over the index found.
    Backlog,
    /// What failed before.
    Retry,
}

impl Lane {
    const ALL: [Self; 4] = [Self::Urgent, Self::Fresh, Self::Backlog, Self::Retry];
}

/// Most streams that wait in each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of [`Lane::Urgent`].
    pub urgent: usize,
    /// Of [`Lane::Fresh`]: `feeds.maxQueue`.
    pub fresh: usize,
    /// Of [`Lane::Backlog`]: what a walk brings at a time.
    pub backlog: usize,
    /// Of [`Lane::Retry`]: `feeds.maxQueue`.
    pub retry: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { urgent: 1_024, fresh: 16_384, backlog: 512, retry: 16_384 }
    }
}

impl Limits {
    const fn of(&self, lane: Lane) -> usize {
        match lane {
            Lane::Urgent => self.urgent,
            Lane::Fresh => self.fresh,
            Lane::Backlog => self.backlog,
            Lane::Retry => self.retry,
        }
    }

    /// Most bytes that [`Lanes`] of these limits ever take, with so many transfers at once.
    #[must_use]
    pub const fn bytes(&self, threads: usize) -> usize {
        let waiting = self.urgent + self.fresh + self.backlog + self.retry;
        waiting * WAITING_BYTES + threads * BUSY_BYTES
    }
}

/// A stream that is to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The stream.
    pub id: StreamId,
    /// Its version: an older one than is known is no news, a newer one takes its place.
    pub version: Version,
    /// Where it waits.
    pub lane: Lane,
    /// Not before then is it worked on.
    pub due: Instant,
    /// Whether the replica here goes first.
    pub first: bool,
    /// Whether its body is large. At most half of the transfers may be, so that large ones that break again and again do
    /// not keep small ones waiting.
    pub big: bool,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It waits, or will once the transfer under way is over.
    Taken,
    /// It waits, or is under way, already.
    Known,
    /// It found no place, and will be found in the index again.
    Full,
}

/// A stream to be worked on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// The stream.
    pub id: StreamId,
    /// The version that was offered; the index may have a newer one by now.
    pub version: Version,
    /// Whether the replica here goes first.
    pub first: bool,
}

/// A waiting stream.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    version: Version,
    due: Instant,
    lane: Lane,
    first: bool,
    big: bool,
}

/// A stream under way.
#[derive(Debug)]
struct Busy {
    version: Version,
    first: bool,
    big: bool,
    /// A newer version that came meanwhile.
    newer: Option<Offer>,
}

/// What a waiting stream takes at most, in the map and in its lane: the nodes of a tree may be less than half full.
const WAITING_BYTES: usize = {
    let entry = size_of::<(StreamId, Waiting)>() + size_of::<(Instant, StreamId)>();
    TREE_FACTOR * entry
};
/// What a stream under way takes at most.
const BUSY_BYTES: usize = TREE_FACTOR * size_of::<(StreamId, Busy)>();
/// A node of the library's trees has room for eleven entries and holds five at least; its own fields, and the nodes above
/// it, take less than one entry more for each.
const TREE_FACTOR: usize = 3;
/// One pick in so many begins with the last lane.
const OTHER_WAY_ROUND: u64 = 16;

/// The streams that one feed keeps in mind.
#[derive(Debug)]
pub struct Lanes {
    limits: Limits,
    waiting: BTreeMap<StreamId, Waiting>,
    /// For each lane those with small and with large bodies, by when they are due.
    queues: [[BTreeSet<(Instant, StreamId)>; 2]; 4],
    busy: BTreeMap<StreamId, Busy>,
    picks: u64,
    overflowed: bool,
}

impl Lanes {
    /// Empty lanes.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: BTreeMap::new(),
            queues: Default::default(),
            busy: BTreeMap::new(),
            picks: 0,
            overflowed: false,
        }
    }

    /// Takes a stream, if it is news and fits. Where its lane is full, it takes the place of the one that is due last, if it
    /// is due earlier itself. A stream that waits already moves forward, never back.
    pub fn offer(&mut self, offer: Offer) -> Offered {
        if let Some(busy) = self.busy.get_mut(&offer.id) {
            let known = busy.newer.map_or(busy.version, |newer| newer.version);
            if offer.version <= known {
                return Offered::Known;
            }
            busy.newer = Some(offer);
            return Offered::Taken;
        }
        match self.waiting.get(&offer.id).copied() {
            None => self.place(offer),
            Some(there) if offer.version < there.version => Offered::Known,
            Some(there) => self.bring_forward(there, offer),
        }
    }

    /// The next stream to work on, if one is due and fewer than so many are under way.
    pub fn next(&mut self, now: Instant, threads: usize) -> Option<Work> {
        if self.busy.len() >= threads {
            return None;
        }
        let big_busy = self.busy.values().filter(|busy| busy.big).count();
        let big_may = big_busy < (threads / 2).max(1);
        let other_way_round = (self.picks + 1).is_multiple_of(OTHER_WAY_ROUND);
        let due = |lane: &Lane| {
            let heads = self.queues[*lane as usize].iter().take(if big_may { 2 } else { 1 });
            let due = |head: &&(Instant, StreamId)| head.0 <= now;
            heads.filter_map(BTreeSet::first).filter(due).min().map(|(_, id)| *id)
        };
        let id = if other_way_round {
            Lane::ALL.iter().rev().find_map(due)
        } else {
            Lane::ALL.iter().find_map(due)
        }?;
        self.picks += 1;
        let Waiting { version, first, big, .. } = self.remove(id)?;
        self.busy.insert(id, Busy { version, first, big, newer: None });
        Some(Work { id, version, first })
    }

    /// A stream that was under way has come to a final outcome, or is gone.
    pub fn done(&mut self, id: StreamId) {
        if let Some(Busy { newer: Some(newer), .. }) = self.busy.remove(&id) {
            self.place(newer);
        }
    }

    /// A stream that was under way is to be worked on again, not before then. A newer version that came meanwhile does not
    /// wait for that.
    pub fn retry(&mut self, id: StreamId, due: Instant) {
        if let Some(Busy { version, first, big, newer }) = self.busy.remove(&id) {
            let again = Offer { id, version, lane: Lane::Retry, due, first, big };
            self.place(newer.unwrap_or(again));
        }
    }

    /// How many streams wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many streams are under way.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy.len()
    }

    /// Most bytes that this takes now; never more than [`Limits::bytes`].
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.waiting.len() * WAITING_BYTES + self.busy.len() * BUSY_BYTES
    }

    /// Whether a stream was dropped since this was asked last: then the index has to be walked again.
    pub fn take_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    /// Takes over what an offer has that the waiting stream has not: a newer version, an earlier lane, an earlier date.
    fn bring_forward(&mut self, there: Waiting, offer: Offer) -> Offered {
        let news = offer.version > there.version;
        let (lane, due) = (offer.lane.min(there.lane), offer.due.min(there.due));
        if !news && (lane, due) == (there.lane, there.due) {
            return Offered::Known;
        }
        let first = offer.first || (there.first && !news);
        let overflowed = self.overflowed;
        self.remove(offer.id);
        if self.place(Offer { lane, due, first, ..offer }) == Offered::Full {
            // It keeps the place that it had, so that nothing is dropped.
            self.overflowed = overflowed;
            self.place(Offer { lane: there.lane, due: there.due, first, ..offer });
        }
        if news { Offered::Taken } else { Offered::Known }
    }

    /// Files a stream that does not wait yet.
    fn place(&mut self, offer: Offer) -> Offered {
        let Offer { id, version, lane, due, first, big } = offer;
        let [small, large] = &self.queues[lane as usize];
        if small.len() + large.len() >= self.limits.of(lane) {
            self.overflowed = true;
            let last = small.last().max(large.last()).copied();
            match last {
                Some(last) if (due, id) < last => drop(self.remove(last.1)),
                _ => return Offered::Full,
            }
        }
        self.queues[lane as usize][usize::from(big)].insert((due, id));
        self.waiting.insert(id, Waiting { version, due, lane, first, big });
        Offered::Taken
    }

    fn remove(&mut self, id: StreamId) -> Option<Waiting> {
        let there = self.waiting.remove(&id)?;
        self.queues[there.lane as usize][usize::from(there.big)].remove(&(there.due, id));
        Some(there)
    }
}

#[cfg(test)]
mod tests;
