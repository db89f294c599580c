//! Looks that requests ask for: an object all of whose replicas serve nobody is not refused before they were verified once
//! more. A disk that could not read for a while has lost nothing, and it reads again at a moment that nobody tells.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_store::Volume;
use swarm_types::{Instant, Stamp, StreamId, VolumeId};
use tokio::sync::watch;

use crate::service::{Health, lock};
use crate::visit::Verified;

/// Replicas under look, or found damaged, at once; nobody looks at what is beyond before its turn.
pub const LOOKS_MAX: usize = 256;
/// How long bytes that were found damaged are taken to be so (our choice). What cannot be read at all is read anew for
/// every request: that costs no more than the request.
const DAMAGED_FOR: Duration = Duration::from_secs(60);

/// The replicas that requests have asked to be looked at.
pub(crate) type Looks = BTreeMap<(VolumeId, StreamId, Stamp), Look>;

/// A look at a replica.
#[derive(Debug)]
pub(crate) enum Look {
    /// Under way: whoever asks meanwhile waits for its end too.
    UnderWay(watch::Receiver<Option<Verified>>),
    /// It found damage then.
    Damaged(Instant),
}

impl Health {
    /// Verifies a replica of this node that serves nobody, for a request that has found no other. True if it is sound, and
    /// serves again. The look goes on if the caller stops waiting; callers that come meanwhile wait for the same one.
    pub async fn look_again(&self, volume: &Volume, id: StreamId, stamp: Stamp) -> bool {
        let Some(mut end) = self.begin_look(volume, id, stamp) else { return false };
        // A look whose task is gone has found nothing.
        let verified = end.wait_for(Option::is_some).await.map_or(None, |found| *found);
        verified == Some(Verified::Sound)
    }

    /// How many looks are under way or remembered.
    #[must_use]
    pub fn looks_now(&self) -> usize {
        lock(&self.shared.looks).len()
    }

    /// Begins a look, or joins the one that is under way; `None` where one has found damage lately, or there are too many.
    fn begin_look(
        &self,
        volume: &Volume,
        id: StreamId,
        stamp: Stamp,
    ) -> Option<watch::Receiver<Option<Verified>>> {
        let (now, key) = (self.env().now(), (volume.id(), id, stamp));
        let mut looks = lock(&self.shared.looks);
        looks.retain(|_, look| match look {
            Look::UnderWay(_) => true,
            Look::Damaged(found) => now.since(*found) < DAMAGED_FOR,
        });
        match looks.get(&key) {
            Some(Look::UnderWay(end)) => return Some(end.clone()),
            Some(Look::Damaged(_)) => return None,
            None if looks.len() >= LOOKS_MAX => return None,
            None => {}
        }
        let (tell, end) = watch::channel(None);
        looks.insert(key, Look::UnderWay(end.clone()));
        drop(looks);
        let (health, volume) = (self.clone(), volume.clone());
        drop(self.env().spawn("health-look", async move {
            let verified = health.look(&volume, id, stamp).await;
            let mut looks = lock(&health.shared.looks);
            if verified == Verified::Damaged {
                looks.insert(key, Look::Damaged(health.env().now()));
            } else {
                looks.remove(&key);
            }
            drop(looks);
            tell.send_replace(Some(verified));
        }));
        Some(end)
    }

    async fn look(&self, volume: &Volume, id: StreamId, stamp: Stamp) -> Verified {
        let Some(record) = volume.find(id).filter(|record| record.stamp == stamp) else {
            return Verified::Nothing;
        };
        if record.is_tombstone() {
            return Verified::Nothing;
        }
        self.count("looks for requests", 1);
        self.verify(volume, &record).await
    }
}
