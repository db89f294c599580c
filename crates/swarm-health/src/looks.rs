//! Looks that requests ask for: an object all of whose replicas serve nobody is not refused before they were verified once
//! more. A disk that could not read for a while has lost nothing, and it reads again at a moment that nobody tells.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use swarm_store::Volume;
use swarm_types::{Instant, Stamp, StreamId, VolumeId};
use tokio::sync::oneshot;

use crate::service::{Health, lock};
use crate::visit::{Errors, Verified};

/// Replicas under look at once.
const UNDER_WAY_MAX: usize = 64;
/// Of these, on one volume: a disk that hangs keeps nobody from the others.
const UNDER_WAY_EACH: usize = 16;
/// Replicas remembered as unfit at once; beyond that the one that will be looked at next is forgotten.
const UNFIT_MAX: usize = 1024;
/// Replicas under look or remembered at once.
pub const LOOKS_MAX: usize = UNDER_WAY_MAX + UNFIT_MAX;
/// How long bytes that were found damaged are taken to be so (our choice).
const DAMAGED_FOR: Duration = Duration::from_secs(60);
/// How long what the disk does not give out is taken to be so at first; doubled each time (our choice).
const UNREADABLE_FOR: Duration = Duration::from_secs(1);
/// The longest of these times: nobody waits longer than this once the disk reads again.
const UNREADABLE_FOR_MAX: Duration = Duration::from_secs(8);

/// The replicas that requests have asked to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// Whoever asks meanwhile waits for the same end.
    under_way: BTreeMap<Replica, End>,
    unfit: BTreeMap<Replica, Unfit>,
}

/// What a look has found, when it ends; it wakes those who wait in the order in which they came.
type End = Shared<oneshot::Receiver<Verified>>;

/// A replica of this node.
type Replica = (VolumeId, StreamId, Stamp);

/// A replica that was found unfit.
#[derive(Debug, Clone, Copy)]
struct Unfit {
    until: Instant,
    waited: Duration,
}

impl Looks {
    /// Takes note of what a look has found.
    fn end(&mut self, replica: Replica, verified: Verified, now: Instant) {
        self.under_way.remove(&replica);
        let waited = match verified {
            Verified::Sound => {
                self.unfit.remove(&replica);
                return;
            }
            Verified::Damaged => DAMAGED_FOR,
            Verified::Unreadable | Verified::Nothing => {
                let before = self.unfit.get(&replica).map(|unfit| unfit.waited);
                before.map_or(UNREADABLE_FOR, |waited| (waited * 2).min(UNREADABLE_FOR_MAX))
            }
        };
        if self.unfit.len() >= UNFIT_MAX && !self.unfit.contains_key(&replica) {
            let next = self.unfit.iter().min_by_key(|(_, unfit)| unfit.until).map(|(key, _)| *key);
            next.and_then(|next| self.unfit.remove(&next));
        }
        self.unfit.insert(replica, Unfit { until: now + waited, waited });
    }

    fn len(&self) -> usize {
        self.under_way.len() + self.unfit.len()
    }
}

impl Health {
    /// Verifies a replica of this node that serves nobody, for a request that has found no other. True if it is sound, and
    /// serves again. The look goes on if the caller stops waiting; callers that come meanwhile wait for the same one.
    pub async fn look_again(&self, volume: &Volume, id: StreamId, stamp: Stamp) -> bool {
        let Some(end) = self.begin_look(volume, id, stamp) else { return false };
        // A look whose task is gone has found nothing.
        end.await == Ok(Verified::Sound)
    }

    /// How many replicas are under look or remembered as unfit.
    #[must_use]
    pub fn looks_now(&self) -> usize {
        lock(&self.shared.looks).len()
    }

    /// Begins a look, or joins the one that is under way; `None` where one has found the replica unfit a moment ago, or there
    /// are too many.
    fn begin_look(&self, volume: &Volume, id: StreamId, stamp: Stamp) -> Option<End> {
        let replica = (volume.id(), id, stamp);
        let mut looks = lock(&self.shared.looks);
        if let Some(end) = looks.under_way.get(&replica) {
            return Some(end.clone());
        }
        let is_unfit =
            looks.unfit.get(&replica).is_some_and(|unfit| self.env().now() < unfit.until);
        let on_volume = looks.under_way.keys().filter(|(on, ..)| *on == volume.id()).count();
        if is_unfit || looks.under_way.len() >= UNDER_WAY_MAX || on_volume >= UNDER_WAY_EACH {
            return None;
        }
        let (tell, end) = oneshot::channel();
        let end = end.shared();
        looks.under_way.insert(replica, end.clone());
        drop(looks);
        let (health, volume) = (self.clone(), volume.clone());
        drop(self.env().spawn("health-look", async move {
            let verified = health.look(&volume, id, stamp).await;
            lock(&health.shared.looks).end(replica, verified, health.env().now());
            // Those who asked may have gone.
            tell.send(verified).ok();
        }));
        Some(end)
    }

    async fn look(&self, volume: &Volume, id: StreamId, stamp: Stamp) -> Verified {
        let record = volume.find(id).filter(|record| record.stamp == stamp);
        let Some(record) = record.filter(|record| !record.is_tombstone()) else {
            return Verified::Nothing;
        };
        self.count("looks for requests", 1);
        self.verify(volume, &record, Errors::Known).await
    }
}
