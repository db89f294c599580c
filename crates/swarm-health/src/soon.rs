//! Visits out of turn: what a request found damaged, and what was left to another visitor that had claimed it.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_types::{Instant, StreamId, VolumeId};
use tokio::sync::mpsc;

use crate::service::Health;
use crate::visit::Mode;

/// Visits out of turn that wait; what is beyond comes in its turn.
pub(crate) const SOON_MAX: usize = 1024;

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
