//! The volumes of one node as one: finding what they hold together, choosing one for a new stream.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use swarm_env::Env;
use swarm_feeds::{Brief, Feeds};
use swarm_plan::bids::{self, VolumeFacts};
use swarm_plan::lookup::{Form, Holding};
use swarm_plan::membership::VolumeState;
use swarm_plan::outcome::Made;
use swarm_policy::Lifecycle;
use swarm_store::{
    AppendError, Publish, PublishError, Record, RecordState, Service, Staged, Tombstone, Volume,
};
use swarm_types::{ObjectMeta, Stamp, StreamId, Timestamp, VolumeId};
use tokio::sync::Notify;

use crate::slots::{DISK_TIMEOUT, Slots};

/// How many damaged replicas a node remembers; beyond that the oldest id is forgotten and found out again.
pub(crate) const DAMAGED_MAX: usize = 65_536;

/// The volumes of one node.
pub(crate) struct Volumes {
    env: Env,
    slots: Arc<Slots>,
    /// Replicas of which a damaged block was met: they serve nobody.
    damaged: Mutex<BTreeSet<(StreamId, Stamp)>>,
    /// Told when room runs short.
    short_of_room: Arc<Notify>,
    /// Told of all that is filed; without feeds that costs a look at a flag.
    feeds: Feeds,
}

/// What was found under an id.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) volume: Volume,
    pub(crate) record: Record,
}

impl Volumes {
    pub(crate) fn new(env: &Env, slots: Arc<Slots>, feeds: Feeds) -> Self {
        let (damaged, short_of_room) = (Mutex::default(), Arc::default());
        Self { env: env.clone(), slots, damaged, short_of_room, feeds }
    }

    /// Told when a stream was stored on a volume that is short of room, or found none.
    pub(crate) fn short_of_room(&self) -> Arc<Notify> {
        Arc::clone(&self.short_of_room)
    }

    /// The mounted volumes, in the order of their disks.
    pub(crate) fn mounted(&self) -> Vec<Volume> {
        self.slots.mounted()
    }

    /// The mounted volume with this id.
    pub(crate) fn volume(&self, id: VolumeId) -> Option<Volume> {
        self.slots.volume(id)
    }

    /// The newest record under an id on any volume.
    pub(crate) fn find(&self, id: StreamId) -> Option<Found> {
        self.mounted()
            .into_iter()
            .filter_map(|volume| volume.find(id).map(|record| Found { volume, record }))
            .max_by_key(|found| (found.record.stamp, !found.record.is_quarantined()))
    }

    /// The replica of exactly this version on any volume, with what persists beside it, if no damage of it is known.
    pub(crate) fn find_intact(&self, id: StreamId, stamp: Stamp) -> Option<(Found, ObjectMeta)> {
        if self.is_damaged(id, stamp) {
            return None;
        }
        self.mounted().into_iter().find_map(|volume| {
            let record = volume.find(id).filter(|record| record.stamp == stamp)?;
            let meta = record.meta().filter(|_| !record.is_quarantined())?.clone();
            Some((Found { volume, record }, meta))
        })
    }

    /// What to answer about an id.
    pub(crate) fn holding(&self, id: StreamId, now: Timestamp) -> Option<Holding> {
        self.find(id).map(|found| self.holding_of(&found, now))
    }

    /// What to answer about a record.
    pub(crate) fn holding_of(&self, found: &Found, now: Timestamp) -> Holding {
        let (record, volume) = (&found.record, found.volume.id());
        let stamp = record.stamp;
        match &record.state {
            RecordState::Tombstone(tombstone) => Holding {
                stamp,
                kind: tombstone.kind,
                form: Form::Tombstone,
                alias: tombstone.alias,
                cid: tombstone.parent,
            },
            RecordState::Live { meta, .. } => {
                let form = if has_ended(meta, stamp, now) {
                    Form::Ended(volume)
                } else if record.is_quarantined() || self.is_damaged(record.id, stamp) {
                    Form::Damaged(volume)
                } else {
                    Form::Replica(volume)
                };
                Holding { stamp, kind: meta.kind, form, alias: meta.alias, cid: meta.cid }
            }
        }
    }

    /// The cost of storing a stream here; `None` where no volume has room. The volume that files the id already comes first,
    /// because there the new version replaces the old one in one step; where it is full, the cheapest of the others does.
    pub(crate) fn write_cost(&self, id: Option<StreamId>, size: u64, jitter: u64) -> Option<u64> {
        self.best_volume(id, size, jitter).map(|(cost, _)| cost)
    }

    /// The cost of delivering what is filed under an id.
    pub(crate) fn read_cost(&self, id: Option<StreamId>) -> u64 {
        id.and_then(|id| self.find(id)).map_or(0, |found| bids::read_cost(found.volume.load()))
    }

    /// Reserves room for a stream on the best volume; `None` where none has room.
    pub(crate) fn stage(&self, id: StreamId, length: u64) -> Option<(Volume, Staged)> {
        loop {
            let (_, volume) = self.best_volume(Some(id), length, 0)?;
            match volume.stage(id, length) {
                Ok(staged) => return Some((volume, staged)),
                Err(AppendError::Closed) => self.give_up(&volume),
                Err(_) => return None,
            }
        }
    }

    /// Publishes a body and drops what is older on the other volumes, unless one of them files something newer: a volume
    /// knows only what it files itself.
    pub(crate) async fn publish(
        &self,
        volume: &Volume,
        id: StreamId,
        staged: Staged,
        publish: Publish,
    ) -> Made {
        let (stamp, kind) = (publish.stamp, publish.meta.kind);
        let follows = publish.follows;
        let stays = |record: &Record| {
            let came_since = follows.is_some_and(|follows| record.stamp > follows);
            let counts = record.is_tombstone() || !kind.is_context() && record.stamp != stamp;
            record.stamp > stamp || came_since && counts
        };
        let brief = Brief {
            id,
            stamp,
            kind: publish.meta.kind,
            first: publish.first,
            tombstone: false,
            length: publish.meta.length,
            retry_at: None,
        };
        if self.is_elsewhere(volume, id, &stays) {
            return Made::Superseded;
        }
        let again = self.is_damaged(id, stamp);
        if again && !self.make_way(id, stamp).await {
            return Made::NotStored;
        }
        match self.env.timeout(DISK_TIMEOUT, staged.publish(publish)).await {
            Ok(Ok(_)) => {}
            Err(_) => return Made::Unknown,
            Ok(Err(PublishError::Superseded { .. })) => return Made::Superseded,
            Ok(Err(PublishError::Append(error))) => {
                tracing::warn!(node = self.env.name(), stream = %id, %error, "replica not stored");
                return not_published(&error);
            }
        }
        if swarm_health::is_short(volume.space()) {
            self.short_of_room.notify_one();
        }
        // It may have been filed while this was being written.
        if self.is_elsewhere(volume, id, &stays) {
            let gone = self.remove(volume, id, stamp).await;
            return if gone { Made::Superseded } else { Made::Unknown };
        }
        self.drop_older(id, stamp).await;
        if again {
            self.clear_damaged(id, stamp);
        }
        self.feeds.filed(brief);
        Made::Published
    }

    /// Lets a replica of which a damaged block was met give way to a sound one of the same version: a volume keeps what it
    /// believes in.
    async fn make_way(&self, id: StreamId, stamp: Stamp) -> bool {
        for volume in self.mounted() {
            let Some(record) = volume.find(id).filter(|record| record.stamp == stamp) else {
                continue;
            };
            let marked = volume.set_quarantined(&record, true);
            if !matches!(self.env.timeout(DISK_TIMEOUT, marked).await, Ok(Ok(_))) {
                return false;
            }
        }
        true
    }

    /// Whether another volume files something under an id that a new version gives way to: what is newer, or came after what the
    /// version follows.
    fn is_elsewhere(
        &self,
        than: &Volume,
        id: StreamId,
        stays: &(impl Fn(&Record) -> bool + Sync),
    ) -> bool {
        self.mounted()
            .iter()
            .filter(|volume| volume.id() != than.id())
            .any(|volume| volume.find(id).is_some_and(|record| stays(&record)))
    }

    /// A volume that closed itself is to be mounted again.
    pub(crate) fn give_up(&self, volume: &Volume) {
        self.slots.give_up(volume.id(), "its index failed", true);
    }

    fn best_volume(&self, id: Option<StreamId>, size: u64, jitter: u64) -> Option<(u64, Volume)> {
        let cost = |volume: &Volume| {
            let space = volume.space();
            let facts = VolumeFacts {
                capacity: space.capacity,
                free: space.free,
                in_flight: volume.load(),
            };
            bids::write_cost(facts, size, jitter)
        };
        // Whoever asks what a stream costs, and then stores it, means the same volume.
        let draw = id.map_or(0, bids::stream_draw);
        let filed = id
            .and_then(|id| self.find(id))
            .map(|found| found.volume)
            .filter(|volume| self.slots.takes_streams(volume.id()));
        if let Some((cost, volume)) =
            filed.and_then(|volume| cost(&volume).map(|cost| (cost, volume)))
        {
            return Some((cost, volume));
        }
        let best = self
            .slots
            .mounted_where(VolumeState::takes_streams)
            .into_iter()
            .filter_map(|volume| cost(&volume).map(|cost| (cost, volume)))
            .min_by_key(|(cost, volume)| {
                (*cost, bids::volume_turn(draw, volume.id()), volume.id())
            });
        if best.is_none() {
            self.short_of_room.notify_one();
        }
        best
    }

    /// Files a tombstone where the id is filed, else on the emptiest volume, else on any that can remember it, and drops
    /// older records elsewhere. Durable on return. `Ok` also where something newer is filed.
    pub(crate) async fn bury(
        &self,
        id: StreamId,
        tombstone: Tombstone,
    ) -> Result<(), PublishError> {
        let stamp = tombstone.stamp;
        let brief = Brief {
            id,
            stamp,
            kind: tombstone.kind,
            first: tombstone.first,
            tombstone: true,
            length: 0,
            retry_at: None,
        };
        let is_filed = loop {
            // A volume that is being emptied and remembers it already will not for long.
            let remembers = |volume: &Volume| {
                volume.service() == Service::InService
                    && volume.find(id).is_some_and(|record| record.stamp >= stamp)
            };
            let volume = self
                .find(id)
                .filter(|found| found.record.stamp < stamp)
                .map(|found| found.volume)
                .or_else(|| self.mounted().into_iter().find(remembers))
                .or_else(|| self.best_volume(Some(id), 0, 0).map(|(_, v)| v));
            let any = || self.slots.mounted_where(VolumeState::takes_tombstones).into_iter().next();
            let Some(volume) = volume.or_else(any) else {
                return Err(PublishError::Append(AppendError::Closed));
            };
            match self.env.timeout(DISK_TIMEOUT, volume.bury(id, tombstone.clone())).await {
                Ok(Ok(())) => break true,
                Ok(Err(PublishError::Superseded { .. })) => break false,
                Ok(Err(PublishError::Append(AppendError::Closed))) => self.give_up(&volume),
                // It was emptied meanwhile, and is not asked again.
                Ok(Err(PublishError::Append(AppendError::Retired { .. }))) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    volume.note_slow();
                    return Err(no_answer(&volume).into());
                }
            }
        };
        self.drop_older(id, stamp).await;
        if is_filed {
            self.feeds.filed(brief);
        }
        Ok(())
    }

    /// Removes replicas under this id that are older than `stamp`, on whichever volume.
    pub(crate) async fn drop_older(&self, id: StreamId, stamp: Stamp) {
        for volume in self.mounted() {
            if let Some(record) = volume.find(id).filter(|record| record.stamp < stamp)
                && !record.is_tombstone()
            {
                self.remove(&volume, id, record.stamp).await;
            }
        }
    }

    /// Removes exactly this replica, wherever it is. True if it is certainly gone.
    pub(crate) async fn retract(&self, id: StreamId, stamp: Stamp) -> bool {
        // A volume that is not mounted may hold it.
        let mut gone = self.slots.all_mounted();
        for volume in self.mounted() {
            gone &= self.remove(&volume, id, stamp).await;
        }
        gone
    }

    /// True if exactly this replica is certainly not on the volume any more. A disk that does not answer keeps nobody
    /// waiting.
    async fn remove(&self, volume: &Volume, id: StreamId, stamp: Stamp) -> bool {
        let error = match self.env.timeout(DISK_TIMEOUT, volume.remove(id, stamp)).await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) => error,
            Err(_) => {
                volume.note_slow();
                no_answer(volume)
            }
        };
        tracing::warn!(node = self.env.name(), stream = %id, volume = %volume.id(), %error, "replica not removed");
        false
    }

    /// Remembers that a replica has a damaged block.
    pub(crate) fn mark_damaged(&self, id: StreamId, stamp: Stamp) {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.len() >= DAMAGED_MAX {
            damaged.pop_first();
        }
        damaged.insert((id, stamp));
    }

    /// How many replicas with a damaged block are remembered.
    pub(crate) fn damaged_now(&self) -> usize {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets what was met of a replica: it was verified or replaced since.
    pub(crate) fn clear_damaged(&self, id: StreamId, stamp: Stamp) {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).remove(&(id, stamp));
    }

    /// Whether a damaged block of this replica was met.
    pub(crate) fn is_damaged(&self, id: StreamId, stamp: Stamp) -> bool {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).contains(&(id, stamp))
    }
}

/// Whether a lifepoint has ended this version. Lifepoints never end contexts.
pub(crate) fn has_ended(meta: &ObjectMeta, stamp: Stamp, now: Timestamp) -> bool {
    !meta.kind.is_context()
        && meta.headers.get("lifepoint").is_some()
        && Lifecycle::of_headers(&meta.headers, stamp.version.timestamp()).0.at(now).delete
}

/// What became of a replica whose publishing failed. After a failure of the disk the journal may hold it or not, so it may
/// come up at the next mount.
fn not_published(error: &AppendError) -> Made {
    match error {
        AppendError::Disk { .. } | AppendError::Closed => Made::Unknown,
        AppendError::Full { .. }
        | AppendError::Retired { .. }
        | AppendError::Short { .. }
        | AppendError::Long { .. }
        | AppendError::MetadataTooLarge { .. } => Made::NotStored,
    }
}

/// What a disk that keeps silent for too long comes to.
fn no_answer(volume: &Volume) -> AppendError {
    let source = io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer");
    AppendError::Disk { volume: volume.id(), source }
}
