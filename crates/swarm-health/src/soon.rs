//! Visits out of turn: what a request found damaged, what serves nobody meanwhile, and what was left to another visitor
//! that had claimed it.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_store::Volume;
use swarm_types::{Instant, StreamId, VolumeId};
use tokio::sync::mpsc;

use crate::service::{Health, lock};
use crate::visit::Mode;

/// Visits out of turn that wait; what is beyond comes in its turn.
pub(crate) const SOON_MAX: usize = 1024;

/// When a replica that serves nobody is looked at again; doubled each time, up to a cycle.
const DOUBTED_FOR: Duration = Duration::from_secs(60);

/// When replicas that serve nobody are looked at again, and how long they waited for that.
pub(crate) type Doubted = BTreeMap<(VolumeId, StreamId), (Instant, Duration)>;

/// A visit to be made out of turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Soon {
    pub(crate) volume: VolumeId,
    pub(crate) id: StreamId,
    pub(crate) due: Instant,
    pub(crate) mode: Mode,
}

impl Health {
    /// A request met a damaged block in a replica of this node: it is verified, quarantined and replaced at once.
    pub fn suspect(&self, volume: VolumeId, id: StreamId) {
        self.visit_later(volume, id, Duration::ZERO, Mode::Walk);
    }

    /// Asks for a visit after `wait`.
    pub(crate) fn visit_later(&self, volume: VolumeId, id: StreamId, wait: Duration, mode: Mode) {
        let soon = Soon { volume, id, due: self.env().now() + wait, mode };
        if self.shared.soon.try_send(soon).is_err() {
            self.count("visits left to their turn", 1);
        }
    }

    /// After a visit: as long as what is filed here serves nobody, it is looked at again, more and more seldom. A disk that
    /// could not read for a while has lost nothing, and where all copies were met by that, nobody can read the object until
    /// one of them is found whole.
    pub(crate) fn doubt(&self, volume: &Volume, id: StreamId) {
        let serves_nobody = volume.find(id).is_some_and(|record| {
            record.is_quarantined() || self.home().is_suspect(id, record.stamp)
        });
        let (now, key) = (self.env().now(), (volume.id(), id));
        let mut doubted = lock(&self.shared.doubted);
        if !serves_nobody {
            doubted.remove(&key);
            return;
        }
        let before = doubted.get(&key).copied();
        if before.is_some_and(|(due, _)| due > now) {
            return;
        }
        if before.is_none() && doubted.len() >= SOON_MAX {
            // What was not looked at when it was due is gone, or comes in its turn.
            doubted.retain(|_, (due, _)| *due > now);
            if doubted.len() >= SOON_MAX {
                return;
            }
        }
        let longest = self.settings().cycle_time.max(DOUBTED_FOR);
        let wait = before.map_or(DOUBTED_FOR, |(_, waited)| (waited * 2).min(longest));
        doubted.insert(key, (now + wait, wait));
        drop(doubted);
        self.visit_later(volume.id(), id, wait, Mode::Walk);
    }

    /// Makes the visits that were asked for, for ever.
    pub(crate) async fn visit_soon(self, mut asked: mpsc::Receiver<Soon>) {
        let mut waiting: BTreeMap<(Instant, VolumeId, StreamId), Mode> = BTreeMap::new();
        loop {
            let next = waiting.first_key_value().map(|((due, ..), _)| *due);
            let soon = match next {
                None => asked.recv().await,
                Some(due) => {
                    let rest = due.since(self.env().now());
                    match self.env().timeout(rest, asked.recv()).await {
                        Ok(soon) => soon,
                        Err(_) => {
                            self.visit_due(&mut waiting).await;
                            continue;
                        }
                    }
                }
            };
            let Some(soon) = soon else { return };
            if waiting.len() < SOON_MAX {
                waiting.insert((soon.due, soon.volume, soon.id), soon.mode);
            } else {
                self.count("visits left to their turn", 1);
            }
        }
    }

    async fn visit_due(&self, waiting: &mut BTreeMap<(Instant, VolumeId, StreamId), Mode>) {
        let Some(((_, volume, id), mode)) = waiting.pop_first() else { return };
        if let Some((volume, _)) = self.volume(volume)
            && self.home().is_open()
        {
            self.visit(&volume, id, mode).await;
        }
    }
}
