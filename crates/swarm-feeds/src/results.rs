//! What came of deliveries and is not durable yet.
//!
//! Outcomes are filed together, 64 or what came within 50 milliseconds, so that a delivery costs no sync of its own. Until
//! then, whoever asks is told of them from here. A crash loses them: each costs a question to the target later. So does what
//! finds no place here because a disk hangs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use swarm_types::{FeedId, FeedMark, FeedOutcome, FeedSlot, Instant, Stamp, StreamId, VolumeId};

use crate::home::{NotKept, SlotCounts, Streams};
use crate::peers::{Done, To};
use crate::service::{Feeds, Filing, Look, State};

/// So many outcomes are filed without waiting for more.
const BATCH: usize = 64;
/// How long an outcome waits for others.
const WAIT: Duration = Duration::from_millis(50);
/// Most outcomes that wait for one volume: it does not answer, or not fast enough.
pub(crate) const QUEUE_MAX: usize = 1_024;
/// Most outcomes that wait to be told to other holders. What is beyond they find out by asking.
const TELL_MAX: usize = 4_096;

/// Outcomes that are not durable, and those that other holders are to be told of.
#[derive(Default)]
pub(crate) struct Results {
    volumes: BTreeMap<VolumeId, Queue>,
    tell: BTreeMap<To, Vec<Done>>,
    to_tell: usize,
    /// When the first of those came.
    tell_since: Instant,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(StreamId, Stamp, FeedSlot)>,
    /// When the first of them came.
    since: Instant,
    /// How many are being filed.
    filing: usize,
    /// All of them, and those that are being filed.
    known: BTreeMap<(StreamId, FeedId), Known>,
}

#[derive(Clone, Copy)]
struct Known {
    stamp: Stamp,
    slot: FeedSlot,
    /// What the durable slot of the same mark says.
    before: Option<FeedOutcome>,
}

impl Results {
    /// Whether an outcome of a stream on this volume would find a place.
    pub(crate) fn has_room(&self, volume: VolumeId) -> bool {
        self.volumes.get(&volume).is_none_or(|queue| queue.known.len() < QUEUE_MAX)
    }

    /// Takes an outcome, if there is room. `before` is the durable slot of the same mark.
    fn file(
        &mut self,
        volume: VolumeId,
        id: StreamId,
        stamp: Stamp,
        slot: FeedSlot,
        before: Option<FeedOutcome>,
        now: Instant,
    ) -> bool {
        let queue = self.volumes.entry(volume).or_default();
        let before = queue.known.get(&(id, slot.feed)).map_or(before, |known| known.before);
        if queue.known.len() >= QUEUE_MAX {
            return false;
        }
        if queue.waiting.is_empty() {
            queue.since = now;
        }
        queue.waiting.push((id, stamp, slot));
        queue.known.insert((id, slot.feed), Known { stamp, slot, before });
        true
    }

    /// Takes an outcome for every place where a stream is filed here, but for those that have it: of successes the last one is
    /// kept. False if there was no room for all.
    pub(crate) fn file_everywhere(&mut self, look: &Look, slot: FeedSlot, now: Instant) -> bool {
        let of = (slot.feed, slot.mark);
        let mut kept = true;
        for Filing { volume, stamp, slots } in &look.places {
            let durable = slots.get(of.0, of.1).copied();
            let known = self.of(*volume, look.filed.id, *stamp, of).or(durable);
            let again =
                |known: FeedSlot| slot.outcome == FeedOutcome::Success && slot.at > known.at;
            if known.is_none_or(|known| known.outcome != slot.outcome || again(known)) {
                let durable = durable.map(|slot| slot.outcome);
                kept &= self.file(*volume, look.filed.id, *stamp, slot, durable, now);
            }
        }
        kept
    }

    /// Whether there is room for an outcome in every place where a stream is filed here.
    pub(crate) fn have_room(&self, look: &Look) -> bool {
        look.places.iter().all(|place| self.has_room(place.volume))
    }

    /// Others are to be told of an outcome.
    pub(crate) fn tell(&mut self, to: To, done: Done, now: Instant) {
        if self.to_tell >= TELL_MAX {
            return;
        }
        if self.to_tell == 0 {
            self.tell_since = now;
        }
        self.tell.entry(to).or_default().push(done);
        self.to_tell += 1;
    }

    /// The outcomes for this version on this volume that are not durable yet.
    pub(crate) fn not_durable(
        &self,
        volume: VolumeId,
        id: StreamId,
        stamp: Stamp,
    ) -> impl Iterator<Item = FeedSlot> {
        let queue = self.volumes.get(&volume);
        let all = queue
            .into_iter()
            .flat_map(move |queue| queue.known.range((id, FeedId(0))..=(id, FeedId(u32::MAX))));
        all.filter(move |(_, known)| known.stamp == stamp).map(|(_, known)| known.slot)
    }

    /// The outcome for this version on this volume at one feed, if there is one that is not durable yet.
    pub(crate) fn of(
        &self,
        volume: VolumeId,
        id: StreamId,
        stamp: Stamp,
        (feed, mark): (FeedId, FeedMark),
    ) -> Option<FeedSlot> {
        let known = self.volumes.get(&volume)?.known.get(&(id, feed))?;
        (known.stamp == stamp && known.slot.mark == mark).then_some(known.slot)
    }

    /// What these outcomes make of the counts of durable ones.
    pub(crate) fn adjust(
        &self,
        volume: VolumeId,
        feed: FeedId,
        mark: FeedMark,
        counts: &mut SlotCounts,
    ) {
        let Some(queue) = self.volumes.get(&volume) else { return };
        for known in queue.known.values() {
            if (known.slot.feed, known.slot.mark) == (feed, mark) {
                if let Some(before) = known.before {
                    let count = counts.of(before);
                    *count = count.saturating_sub(1);
                }
                *counts.of(known.slot.outcome) += 1;
            }
        }
    }

    /// How many outcomes are not durable yet, and how many are to be told.
    pub(crate) fn len(&self) -> usize {
        self.volumes.values().map(|queue| queue.known.len()).sum::<usize>() + self.to_tell
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Most that [`Results::len`] may be with so many volumes.
    pub(crate) const fn limit(volumes: usize) -> usize {
        volumes * QUEUE_MAX + TELL_MAX
    }

    pub(crate) fn bytes(&self) -> usize {
        let each = size_of::<Known>() + 2 * size_of::<(StreamId, Stamp, FeedSlot)>();
        self.len() * each * 2
    }

    /// Forgets volumes that are gone: other replicas have their own slots.
    fn keep(&mut self, stores: &[Arc<dyn Streams>]) {
        self.volumes.retain(|volume, queue| {
            queue.filing > 0 || stores.iter().any(|store| store.id() == *volume)
        });
    }

    /// What is to be filed now.
    fn take(&mut self, stores: &[Arc<dyn Streams>], now: Instant) -> Vec<Batch> {
        let mut batches = Vec::new();
        for store in stores {
            let Some(queue) = self.volumes.get_mut(&store.id()) else { continue };
            let ripe = queue.waiting.len() >= BATCH || now >= queue.since + WAIT;
            if !queue.waiting.is_empty() && queue.filing == 0 && ripe {
                let slots = std::mem::take(&mut queue.waiting);
                queue.filing = slots.len();
                batches.push(Batch { store: Arc::clone(store), slots });
            }
        }
        batches
    }

    fn take_tell(&mut self, now: Instant) -> BTreeMap<To, Vec<Done>> {
        if self.to_tell < BATCH && now < self.tell_since + WAIT {
            return BTreeMap::new();
        }
        self.to_tell = 0;
        std::mem::take(&mut self.tell)
    }

    /// When something is ripe next; what is being filed wakes the engine itself.
    fn ripe_at(&self) -> Option<Instant> {
        let idle = |queue: &&Queue| queue.filing == 0 && !queue.waiting.is_empty();
        let volumes = self.volumes.values().filter(idle).map(|queue| queue.since + WAIT);
        let tell = (self.to_tell > 0).then(|| self.tell_since + WAIT);
        volumes.chain(tell).min()
    }

    fn filed(&mut self, volume: VolumeId, slots: &[(StreamId, Stamp, FeedSlot)]) {
        let Some(queue) = self.volumes.get_mut(&volume) else { return };
        queue.filing = 0;
        for (id, stamp, slot) in slots {
            let key = (*id, slot.feed);
            match queue.known.get_mut(&key) {
                Some(known) if known.stamp == *stamp && known.slot == *slot => {
                    queue.known.remove(&key);
                }
                // Something newer waits; what it replaces is durable now.
                Some(known) if known.stamp == *stamp => known.before = Some(slot.outcome),
                _ => {}
            }
        }
        if queue.known.is_empty() {
            self.volumes.remove(&volume);
        }
    }
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

/// Outcomes on their way into one volume.
struct Batch {
    store: Arc<dyn Streams>,
    slots: Vec<(StreamId, Stamp, FeedSlot)>,
}

impl Feeds {
    /// Files and tells what is ripe. Returns how long to wait for what is not.
    pub(crate) fn flush(&self, stores: &[Arc<dyn Streams>]) -> Option<Duration> {
        let now = self.env().now();
        let mut state = self.state();
        state.results.keep(stores);
        let batches = state.results.take(stores, now);
        let tell = state.results.take_tell(now);
        let ripe_at = state.results.ripe_at();
        let known = if batches.is_empty() { Arc::default() } else { state.known() };
        drop(state);
        for (to, done) in tell {
            self.peers().tell(to, done);
        }
        for batch in batches {
            let feeds = self.clone();
            let known = Arc::clone(&known);
            drop(self.env().spawn("feed-settle", feeds.settle(batch, known)));
        }
        ripe_at.map(|at| at.since(now))
    }

    async fn settle(self, batch: Batch, known: Arc<[(FeedId, FeedMark)]>) {
        let hold = self.home().hold();
        let kept = batch.store.settle(batch.slots.clone(), known).await;
        let mut state = self.state();
        let State { results, lines, .. } = &mut *state;
        results.filed(batch.store.id(), &batch.slots);
        if let Err(NotKept) = kept {
            tracing::warn!(volume = %batch.store.id(), slots = batch.slots.len(), "slots of feeds not kept");
            for (.., slot) in &batch.slots {
                if let Some(line) = lines.get_mut(&slot.feed) {
                    line.not_kept();
                }
            }
        }
        drop(state);
        drop(hold);
        self.shared.wake.notify_one();
    }
}
