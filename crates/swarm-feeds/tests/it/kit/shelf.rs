//! A volume of a town.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{BoxFuture, Env};
use swarm_feeds::{Brief, Broken, Filed, NotKept, Page, Pull, SlotCounts, Streams};
use swarm_types::{FeedId, FeedMark, FeedOutcome, FeedSlot, Stamp, StreamId, VolumeId};

/// One volume.
pub(crate) struct Shelf {
    pub(super) id: VolumeId,
    env: Env,
    streams: Mutex<BTreeMap<StreamId, Filed>>,
    /// Slots are not kept.
    pub(crate) full: AtomicBool,
    /// Nothing is ever filed: the disk hangs.
    pub(crate) hangs: AtomicBool,
    /// Bodies cannot be read.
    pub(crate) broken: AtomicBool,
    pub(crate) settles: AtomicUsize,
    pub(crate) pages: AtomicUsize,
    /// How often it was put into a node.
    pub(super) mounts: AtomicU64,
}

impl Shelf {
    pub(super) fn new(env: &Env, id: VolumeId) -> Self {
        Self {
            id,
            env: env.clone(),
            streams: Mutex::default(),
            full: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            settles: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
            mounts: AtomicU64::new(1),
        }
    }

    pub(crate) fn put(&self, filed: Filed) {
        self.streams.lock().unwrap().insert(filed.id, filed);
    }

    pub(crate) fn take(&self, id: StreamId) {
        self.streams.lock().unwrap().remove(&id);
    }

    pub(crate) fn slot(&self, id: StreamId, feed: u32) -> Option<FeedSlot> {
        let streams = self.streams.lock().unwrap();
        let slots = &streams.get(&id)?.slots;
        slots.iter().find(|slot| slot.feed == FeedId(feed)).copied()
    }

    /// How many slots there are.
    pub(crate) fn counts_all(&self) -> usize {
        self.streams.lock().unwrap().values().map(|filed| filed.slots.iter().len()).sum()
    }

    pub(crate) fn all(&self) -> Vec<Filed> {
        self.streams.lock().unwrap().values().cloned().collect()
    }
}

impl Streams for Shelf {
    fn id(&self) -> VolumeId {
        self.id
    }

    fn mount(&self) -> u64 {
        self.mounts.load(Ordering::Relaxed)
    }

    fn page(&self, of: (FeedId, FeedMark), after: Option<StreamId>, scan: usize) -> Page {
        self.pages.fetch_add(1, Ordering::Relaxed);
        let streams = self.streams.lock().unwrap();
        let behind = streams.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        let part: Vec<_> = behind.take(scan).collect();
        let next = if part.len() == scan { part.last().map(|(id, _)| **id) } else { None };
        let found = part.into_iter().filter_map(|(_, filed)| {
            let slot = filed.slots.get(of.0, of.1);
            let retry_at = match slot.map(|slot| slot.outcome) {
                None => None,
                Some(FeedOutcome::Retrying { next_at, .. }) => Some(next_at),
                Some(_) => return None,
            };
            Some(Brief { retry_at, ..filed.brief() })
        });
        Page { found: found.collect(), next }
    }

    fn find(&self, id: StreamId) -> Option<Filed> {
        self.streams.lock().unwrap().get(&id).cloned()
    }

    fn read(&self, filed: &Filed) -> Option<Box<dyn Pull>> {
        let length = filed.brief().length;
        (!self.broken.load(Ordering::Relaxed)).then(|| Box::new(Body(length)) as Box<dyn Pull>)
    }

    fn settle(
        &self,
        slots: Vec<(StreamId, Stamp, FeedSlot)>,
        known: Arc<[(FeedId, FeedMark)]>,
    ) -> BoxFuture<'_, Result<u64, NotKept>> {
        Box::pin(async move {
            self.settles.fetch_add(1, Ordering::Relaxed);
            if self.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            self.env.sleep(Duration::from_millis(3)).await;
            if self.full.load(Ordering::Relaxed) {
                return Err(NotKept);
            }
            let mut streams = self.streams.lock().unwrap();
            let mut kept = 0;
            for (id, stamp, slot) in slots {
                if let Some(filed) = streams.get_mut(&id).filter(|filed| filed.stamp == stamp) {
                    filed.slots.set_among(slot, |feed, mark| known.contains(&(feed, mark)));
                    kept += 1;
                }
            }
            Ok(kept)
        })
    }

    fn counts(&self, feed: FeedId, mark: FeedMark) -> SlotCounts {
        let mut counts = SlotCounts::default();
        for filed in self.streams.lock().unwrap().values() {
            match filed.slots.get(feed, mark).map(|slot| slot.outcome) {
                None => {}
                Some(FeedOutcome::Success) => counts.success += 1,
                Some(FeedOutcome::Unqualified) => counts.unqualified += 1,
                Some(FeedOutcome::Retrying { .. }) => counts.retrying += 1,
            }
        }
        counts
    }

    fn streams(&self) -> u64 {
        self.streams.lock().unwrap().len() as u64
    }
}

/// A body of this many bytes.
struct Body(u64);

impl Pull for Body {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        let piece = self.0.min(50_000);
        self.0 -= piece;
        let bytes = (piece > 0).then(|| Bytes::from(vec![7; usize::try_from(piece).unwrap()]));
        Box::pin(async move { Ok(bytes) })
    }
}
