//! The streams that one feed keeps in mind on one node: what waits, what is next, what is under way.
//!
//! Bounded, whatever the backlog: the queue of a feed is the index itself, in which every stream without a final outcome is
//! found again. What does not fit is dropped, and that it was is remembered, so that the index is walked once more: nothing
//! is lost, only order is. What is forced cannot be found again and is never dropped: whoever forces asks for a place before.
//! Order (our choice): what is urgent, then new writes, then the backlog, then what failed before;
//! one pick in sixteen goes the other way round, to what failed and to the backlog in turns, so that neither is starved.

use std::collections::{BTreeMap, BTreeSet};

use swarm_types::{Instant, Stamp, StreamId};

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
    /// Its version: an older one than is known is no news, a newer one takes its place, be it of the same millisecond.
    pub stamp: Stamp,
    /// Where it waits.
    pub lane: Lane,
    /// Not before then is it worked on.
    pub due: Instant,
    /// When the work came up here: hold-offs are counted from then.
    pub since: Instant,
    /// Whether the replica here goes first.
    pub first: bool,
    /// What it asks of the target.
    pub load: Load,
    /// Whether it is sent whatever is known: a SEND has said so, be it that nobody waits for it any more.
    pub forced: bool,
}

/// What a stream asks of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// To delete: a target that is full takes that too.
    Delete,
    /// To store a body that is short.
    Small,
    /// To store a large one. At most half of the transfers may be of these, so that large ones that break again and again do
    /// not keep small ones waiting.
    Big,
}

impl Load {
    const COUNT: usize = 3;
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
    pub stamp: Stamp,
    /// When the work came up here.
    pub since: Instant,
    /// Whether the replica here goes first.
    pub first: bool,
    /// What it asks of the target.
    pub load: Load,
    /// Whether the target may have it already, because nobody knows what became of the last try.
    pub doubtful: bool,
    /// Whether it is sent whatever is known.
    pub forced: bool,
}

/// A waiting stream.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    stamp: Stamp,
    due: Instant,
    since: Instant,
    lane: Lane,
    first: bool,
    load: Load,
    doubtful: bool,
    forced: bool,
}

/// A stream under way.
#[derive(Debug)]
struct Busy {
    stamp: Stamp,
    since: Instant,
    first: bool,
    load: Load,
    forced: bool,
    /// A newer version that came meanwhile.
    newer: Option<Offer>,
}

/// What a waiting stream takes at most, in the map and in its lane: the nodes of a tree may be less than half full.
const WAITING_BYTES: usize =
    in_tree(size_of::<(StreamId, Waiting)>()) + in_tree(size_of::<(Instant, StreamId)>());
/// What a stream under way takes at most.
const BUSY_BYTES: usize = in_tree(size_of::<(StreamId, Busy)>());
/// What a tree of the library takes at most for each entry of this size: a node has room for eleven, and holds five at least.
const fn in_tree(entry: usize) -> usize {
    (11 * entry + NODE_BYTES).div_ceil(5)
}
/// What a node takes beside its entries: its own fields, what the allocator adds, and its share of the twelve pointers that one
/// node in six has.
const NODE_BYTES: usize = 48;
/// One pick in so many begins with the last lane, or the one before it.
const OTHER_WAY_ROUND: u64 = 16;

/// The streams that one feed keeps in mind.
#[derive(Debug)]
pub struct Lanes {
    limits: Limits,
    waiting: BTreeMap<StreamId, Waiting>,
    /// For each lane those of each load, by when they are due.
    queues: [[BTreeSet<(Instant, StreamId)>; Load::COUNT]; 4],
    busy: BTreeMap<StreamId, Busy>,
    picks: u64,
    overflowed: Option<Lane>,
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
            overflowed: None,
        }
    }

    /// Takes a stream, if it is news and fits. Where its lane is full, it takes the place of the one that is due last, if it
    /// is due earlier itself. A stream that waits already moves forward, never back.
    pub fn offer(&mut self, offer: Offer) -> Offered {
        if let Some(busy) = self.busy.get_mut(&offer.id) {
            let known = busy.newer.map_or(busy.stamp, |newer| newer.stamp);
            if offer.stamp <= known {
                return Offered::Known;
            }
            let forced = offer.forced || busy.newer.is_some_and(|newer| newer.forced);
            busy.newer = Some(Offer { forced, ..offer });
            return Offered::Taken;
        }
        match self.waiting.get(&offer.id).copied() {
            None => self.place(offer, false),
            Some(there) if offer.stamp < there.stamp => Offered::Known,
            Some(there) => self.bring_forward(there, offer),
        }
    }

    /// Takes a stream that somebody waits for. A newer version than is waited for goes first with its own stamp.
    pub fn urge(&mut self, offer: Offer) -> Offered {
        if let Some(busy) = self.busy.get_mut(&offer.id).filter(|_| offer.forced) {
            match &mut busy.newer {
                Some(newer) => newer.forced = true,
                None => busy.forced |= offer.stamp <= busy.stamp,
            }
        }
        match self.waiting.get(&offer.id).copied() {
            Some(there) if offer.stamp < there.stamp => {
                let Waiting { stamp, since, first, .. } = there;
                self.bring_forward(there, Offer { stamp, since, first, ..offer })
            }
            _ => self.offer(offer),
        }
    }

    /// How many more streams find a place in a lane.
    #[must_use]
    pub fn room(&self, lane: Lane) -> usize {
        let there: usize = self.queues[lane as usize].iter().map(BTreeSet::len).sum();
        self.limits.of(lane).saturating_sub(there)
    }

    /// Whether this version of a stream, or a newer one, waits or is under way.
    #[must_use]
    pub fn knows(&self, id: StreamId, stamp: Stamp) -> bool {
        let busy = self.busy.get(&id).map(|busy| busy.newer.map_or(busy.stamp, |it| it.stamp));
        let waiting = self.waiting.get(&id).map(|waiting| waiting.stamp);
        busy.max(waiting).is_some_and(|known| known >= stamp)
    }

    /// Whether a transfer of this stream is under way.
    #[must_use]
    pub fn is_busy(&self, id: StreamId) -> bool {
        self.busy.contains_key(&id)
    }

    /// Whether a stream that waits, or is under way, is sent whatever is known.
    #[must_use]
    pub fn is_forced(&self, id: StreamId) -> bool {
        self.waiting.get(&id).is_some_and(|there| there.forced)
            || self.busy.get(&id).is_some_and(|busy| busy.forced)
    }

    /// Whether a stream finds a place in a lane: it has one, or one is free.
    #[must_use]
    pub fn has_place(&self, lane: Lane, id: StreamId) -> bool {
        let taken = self.queues[lane as usize].iter().map(BTreeSet::len).sum::<usize>();
        taken < self.limits.of(lane)
            || self.waiting.contains_key(&id)
            || self.busy.contains_key(&id)
    }

    /// Whether [`Lanes::next`] has something.
    #[must_use]
    pub fn is_due(&self, now: Instant, threads: usize) -> bool {
        self.choose(now, self.loads(threads)).is_some()
    }

    /// When the next stream is due, if any waits.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.queues.iter().flatten().filter_map(BTreeSet::first).map(|(due, _)| *due).min()
    }

    /// The next stream to work on, if one is due and fewer than so many are under way.
    pub fn next(&mut self, now: Instant, threads: usize) -> Option<Work> {
        let id = self.choose(now, self.loads(threads))?;
        self.begin(id)
    }

    /// The next delete to work on, as [`Lanes::next`].
    pub fn next_delete(&mut self, now: Instant, threads: usize) -> Option<Work> {
        let loads = self.loads(threads);
        let id = self.choose(now, &loads[..loads.len().min(1)])?;
        self.begin(id)
    }

    /// Begins to work on this stream, if it waits, is due, and fewer than so many are under way: whatever its turn.
    pub fn take(&mut self, id: StreamId, now: Instant, threads: usize) -> Option<Work> {
        let is_due = self.waiting.get(&id).is_some_and(|there| there.due <= now);
        if is_due && self.busy.len() < threads { self.begin(id) } else { None }
    }

    /// A stream that was under way has come to a final outcome, or is gone.
    pub fn done(&mut self, id: StreamId) {
        if let Some(Busy { newer: Some(newer), .. }) = self.busy.remove(&id) {
            self.place(newer, false);
        }
    }

    /// A stream that was under way is to be worked on again, not before then. A newer version that came meanwhile does not
    /// wait for that. `doubtful` as in [`Work`].
    pub fn retry(&mut self, id: StreamId, due: Instant, doubtful: bool) {
        if let Some(Busy { stamp, since, first, load, forced, newer }) = self.busy.remove(&id) {
            let again = Offer { id, stamp, lane: Lane::Retry, due, since, first, load, forced };
            match newer {
                Some(newer) => self.place(newer, false),
                None => self.place(again, doubtful),
            };
        }
    }

    /// A stream that waits with this version, or an older one, need not be worked on any more.
    pub fn forget(&mut self, id: StreamId, stamp: Stamp) {
        if self.waiting.get(&id).is_some_and(|there| there.stamp <= stamp) {
            self.remove(id);
        }
    }

    /// Forgets whatever waits. What is under way is still known to be.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.queues = Default::default();
        self.busy.values_mut().for_each(|busy| busy.newer = None);
        self.overflowed = None;
    }

    /// Whatever failed before is due now.
    pub fn retry_now(&mut self, now: Instant) {
        for load in 0..Load::COUNT {
            let later: Vec<_> = {
                let queue = &self.queues[Lane::Retry as usize][load];
                queue.iter().filter(|(due, _)| *due > now).copied().collect()
            };
            for (due, id) in later {
                let queue = &mut self.queues[Lane::Retry as usize][load];
                queue.remove(&(due, id));
                queue.insert((now, id));
                self.waiting.entry(id).and_modify(|there| there.due = now);
            }
        }
    }

    /// When the work on the stream that has waited longest came up.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        let waiting = self.waiting.values().map(|there| there.since);
        waiting.chain(self.busy.values().map(|busy| busy.since)).min()
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

    /// The foremost lane from which a stream was dropped since this was asked last: then the index has to be walked again.
    pub fn take_overflowed(&mut self) -> Option<Lane> {
        std::mem::take(&mut self.overflowed)
    }

    /// Takes over what an offer has that the waiting stream has not: a newer version, an earlier lane, an earlier date.
    fn bring_forward(&mut self, there: Waiting, offer: Offer) -> Offered {
        let news = offer.stamp > there.stamp;
        let (lane, due) = (offer.lane.min(there.lane), offer.due.min(there.due));
        let forced = offer.forced || there.forced;
        if !news && (lane, due, forced) == (there.lane, there.due, there.forced) {
            return Offered::Known;
        }
        let first = offer.first || (there.first && !news);
        let (since, load) =
            if news { (offer.since, offer.load) } else { (there.since, there.load) };
        let doubtful = there.doubtful && !news;
        let overflowed = self.overflowed;
        self.remove(offer.id);
        let moved = Offer { lane, due, first, since, load, forced, ..offer };
        if self.place(moved, doubtful) == Offered::Full {
            // It keeps the place that it had, so that nothing is dropped.
            self.overflowed = overflowed;
            self.place(Offer { lane: there.lane, due: there.due, ..moved }, doubtful);
        }
        if news { Offered::Taken } else { Offered::Known }
    }

    /// Files a stream that does not wait yet.
    fn place(&mut self, offer: Offer, doubtful: bool) -> Offered {
        let Offer { id, stamp, lane, due, since, first, load, forced } = offer;
        let queues = &self.queues[lane as usize];
        if queues.iter().map(BTreeSet::len).sum::<usize>() >= self.limits.of(lane) {
            self.overflowed = Some(self.overflowed.map_or(lane, |before| before.min(lane)));
            let unforced = |(_, id): &&(Instant, StreamId)| !self.waiting[id].forced;
            let lasts = queues.iter().filter_map(|queue| queue.iter().rev().find(unforced));
            match lasts.max().copied() {
                Some(last) if (due, id) < last => drop(self.remove(last.1)),
                _ => return Offered::Full,
            }
        }
        self.queues[lane as usize][load as usize].insert((due, id));
        let waiting = Waiting { stamp, due, since, lane, first, load, doubtful, forced };
        self.waiting.insert(id, waiting);
        Offered::Taken
    }

    /// Which loads may be begun: the first so many of all.
    fn loads(&self, threads: usize) -> &'static [Load] {
        const ALL: [Load; Load::COUNT] = [Load::Delete, Load::Small, Load::Big];
        if self.busy.len() >= threads {
            return &[];
        }
        let big = self.busy.values().filter(|busy| busy.load == Load::Big).count();
        if big < (threads / 2).max(1) { &ALL } else { &ALL[..2] }
    }

    fn choose(&self, now: Instant, loads: &[Load]) -> Option<StreamId> {
        let due = |lane: &Lane| {
            let queues = &self.queues[*lane as usize];
            let heads = loads.iter().filter_map(|load| queues[*load as usize].first());
            heads.filter(|(due, _)| *due <= now).min().map(|(_, id)| *id)
        };
        let pick = self.picks + 1;
        if !pick.is_multiple_of(OTHER_WAY_ROUND) {
            return Lane::ALL.iter().find_map(due);
        }
        // What fails again and again is always there: it leaves every other of these to the backlog.
        let backlog_first = (pick / OTHER_WAY_ROUND).is_multiple_of(2);
        let first = if backlog_first { Lane::Backlog } else { Lane::Retry };
        due(&first).or_else(|| Lane::ALL.iter().rev().find_map(due))
    }

    fn begin(&mut self, id: StreamId) -> Option<Work> {
        let Waiting { stamp, since, first, load, doubtful, forced, .. } = self.remove(id)?;
        self.picks += 1;
        self.busy.insert(id, Busy { stamp, since, first, load, forced, newer: None });
        Some(Work { id, stamp, since, first, load, doubtful, forced })
    }

    fn remove(&mut self, id: StreamId) -> Option<Waiting> {
        let there = self.waiting.remove(&id)?;
        self.queues[there.lane as usize][there.load as usize].remove(&(there.due, id));
        Some(there)
    }
}

#[cfg(test)]
mod tests;
