//! The streams of one volume, as the feeds see them.

use std::sync::Arc;

use bytes::Bytes;
use swarm_env::BoxFuture;
use swarm_feeds::{Brief, Broken, Filed, NotKept, Page, Pull, SlotCounts, Streams, What};
use swarm_store::{AppendError, FeedBrief, Reader, Record, RecordState, Tombstone, Volume};
use swarm_types::{FeedId, FeedMark, FeedOutcome, FeedSlot, Stamp, StreamId, VolumeId};

use crate::slots::DISK_TIMEOUT;
use crate::{Node, WeakNode};

/// A volume that is mounted, or was a moment ago. It does not keep it: what was pulled can be mounted again while a transfer
/// is under way.
pub(super) struct VolumeStreams {
    id: VolumeId,
    mount: u64,
    node: WeakNode,
}

impl VolumeStreams {
    pub(super) fn new(volume: &Volume, node: WeakNode) -> Self {
        Self { id: volume.id(), mount: volume.epoch(), node }
    }

    fn volume(&self) -> Option<Volume> {
        self.node.upgrade()?.inner.volumes.volume(self.id)
    }

    async fn file(
        &self,
        slots: Vec<(StreamId, Stamp, FeedSlot)>,
        known: Arc<[(FeedId, FeedMark)]>,
    ) -> Result<u64, NotKept> {
        let node = self.node.upgrade().ok_or(NotKept)?;
        // Outcomes for a volume that has gone are of no use here; other replicas have their own.
        let Some(volume) = self.volume() else { return Ok(0) };
        let before = volume.feed_slots_not_kept();
        match node.env().timeout(DISK_TIMEOUT, volume.settle_feeds(slots, known)).await {
            // That fewer are filed than were asked for may mean that their versions are gone; this means that there is no room.
            Ok(Ok(_)) if volume.feed_slots_not_kept() > before => Err(NotKept),
            Ok(Ok(kept)) => Ok(kept),
            Ok(Err(AppendError::Closed)) => {
                if node.inner.knows_its_holdings() {
                    node.inner.volumes.give_up(&volume);
                }
                Ok(0)
            }
            Ok(Err(_)) => Err(NotKept),
            Err(_) => {
                volume.note_slow();
                Err(NotKept)
            }
        }
    }
}

impl Streams for VolumeStreams {
    fn id(&self) -> VolumeId {
        self.id
    }

    fn mount(&self) -> u64 {
        self.mount
    }

    fn page(&self, of: (FeedId, FeedMark), after: Option<StreamId>, scan: usize) -> Page {
        let Some(volume) = self.volume() else { return Page::default() };
        let page = volume.feed_page(&[of], after, scan);
        let found = page.found.into_iter().map(|found| brief(&found, of)).collect();
        Page { found, next: page.next }
    }

    fn find(&self, id: StreamId) -> Option<Filed> {
        self.volume()?.find(id).map(filed)
    }

    fn read(&self, filed: &Filed) -> Option<Box<dyn Pull>> {
        let node = self.node.upgrade()?;
        // Any replica of this version that the node has will do.
        let (found, _) = node.inner.volumes.find_intact(filed.id, filed.stamp)?;
        let reader = found.volume.open(&found.record)?;
        let (volume, id, stamp) = (found.volume.id(), filed.id, filed.stamp);
        Some(Box::new(Body { node, volume, id, stamp, reader }))
    }

    fn settle(
        &self,
        slots: Vec<(StreamId, Stamp, FeedSlot)>,
        known: Arc<[(FeedId, FeedMark)]>,
    ) -> BoxFuture<'_, Result<u64, NotKept>> {
        Box::pin(self.file(slots, known))
    }

    fn counts(&self, feed: FeedId, mark: FeedMark) -> SlotCounts {
        let counts = self.volume().map(|volume| volume.feed_counts(feed, mark));
        let counts = counts.unwrap_or_default();
        SlotCounts {
            success: counts.success,
            unqualified: counts.unqualified,
            retrying: counts.retrying,
        }
    }

    fn streams(&self) -> u64 {
        let space = self.volume().map(|volume| volume.space()).unwrap_or_default();
        space.streams + space.tombstones
    }
}

fn brief(found: &FeedBrief, (feed, mark): (FeedId, FeedMark)) -> Brief {
    let retry_at = found.slots.get(feed, mark).and_then(|slot| match slot.outcome {
        FeedOutcome::Retrying { next_at, .. } => Some(next_at),
        FeedOutcome::Success | FeedOutcome::Unqualified => None,
    });
    Brief {
        id: found.id,
        stamp: found.stamp,
        kind: found.kind,
        first: found.first,
        tombstone: found.tombstone,
        length: found.length,
        retry_at,
    }
}

fn filed(record: Record) -> Filed {
    let Record { id, stamp, state } = record;
    match state {
        RecordState::Live { meta, hints, slots, first, .. } => {
            let holders = hints.volumes().to_vec();
            Filed { id, stamp, what: What::Version(meta), slots, first, holders }
        }
        RecordState::Tombstone(tombstone) => {
            let Tombstone { kind, alias, parent, name, slots, first, .. } = tombstone;
            let what = What::Tombstone { kind, alias, parent, name };
            // Who else remembers a delete is not known.
            Filed { id, stamp, what, slots, first, holders: Vec::new() }
        }
    }
}

/// The body of a replica of this node, verified.
struct Body {
    node: Node,
    volume: VolumeId,
    id: StreamId,
    stamp: Stamp,
    reader: Reader,
}

impl Pull for Body {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(async move {
            let piece =
                self.node.verified(&mut self.reader, self.volume, self.id, self.stamp).await;
            piece.map_err(|()| Broken)
        })
    }
}
