//! Making a copy here: fetched from a node that has it, published like any other replica.

use std::sync::Arc;

use swarm_env::{Bug, Point};
use swarm_plan::health::CopyForm;
use swarm_plan::outcome::Made;
use swarm_store::{Hints, Publish};
use swarm_types::{HeaderList, NodeId, StreamId};

use crate::service::{DISK_TIMEOUT, Health, Shared, lock};
use crate::{FetchError, Incoming, MakeOrder, MakeOutcome, Question};

/// Copies fetched at once: bounds memory, and the share of the disks that others can claim.
const MAKES_MAX: usize = 16;

/// While it lives, the same copy is not fetched a second time.
struct Making {
    shared: Arc<Shared>,
    id: StreamId,
}

impl Drop for Making {
    fn drop(&mut self) {
        lock(&self.shared.making).remove(&self.id);
    }
}

impl Health {
    /// Makes a copy on this node. An order that comes twice makes one copy; while it is being made, the second order is
    /// answered [`MakeOutcome::Unknown`], which the caller need not pass on.
    pub async fn make_here(&self, order: MakeOrder) -> MakeOutcome {
        if !self.home().takes_copies() {
            return MakeOutcome::Refused;
        }
        if let Some(known) = self.known_here(&order) {
            return known;
        }
        let Some(_making) = self.begin_making(order.id) else { return MakeOutcome::Unknown };
        if lock(&self.shared.making).len() > MAKES_MAX {
            return MakeOutcome::Refused;
        }
        let mut outcome = MakeOutcome::Refused;
        for source in &order.sources {
            if *source == self.home().node() {
                continue;
            }
            match self.peers().fetch(*source, order.id, order.stamp).await {
                Ok(incoming) => outcome = self.take(&order, *source, incoming).await,
                Err(error) => {
                    tracing::debug!(node = self.env().name(), stream = %order.id, %source, %error, "copy not fetched");
                }
            }
            if outcome != MakeOutcome::Refused {
                break;
            }
        }
        outcome
    }

    /// The answer where nothing need be fetched.
    fn known_here(&self, order: &MakeOrder) -> Option<MakeOutcome> {
        let report = self.report(&Question {
            id: order.id,
            size: None,
            whom: crate::Whom::Nodes(std::iter::once(self.home().node()).collect()),
        });
        if report.copies.iter().any(|copy| copy.stamp > order.stamp) {
            return Some(MakeOutcome::Superseded);
        }
        let same = report.copies.iter().filter(|copy| copy.stamp == order.stamp);
        same.filter_map(|copy| match copy.form {
            CopyForm::Sound => Some(MakeOutcome::Made(copy.volume)),
            // It may be gone in a moment; then there will be room for it anew.
            CopyForm::Leaving => Some(MakeOutcome::Refused),
            CopyForm::Retiring | CopyForm::Damaged | CopyForm::Tombstone { .. } => None,
        })
        .next()
    }

    fn begin_making(&self, id: StreamId) -> Option<Making> {
        let new = lock(&self.shared.making).insert(id);
        new.then(|| Making { shared: Arc::clone(&self.shared), id })
    }

    async fn take(&self, order: &MakeOrder, source: NodeId, incoming: Incoming) -> MakeOutcome {
        let Incoming { mut meta, slots, mut body } = incoming;
        if self.env().planted(Bug::CopyWithoutHeaders) && !meta.kind.is_context() {
            meta.headers = HeaderList::default();
        }
        let Some((volume, mut staged)) = self.home().stage(order.id, meta.length) else {
            return MakeOutcome::Refused;
        };
        loop {
            let piece = match body.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(FetchError::NotThere | FetchError::Unreachable) => {
                    return MakeOutcome::Refused;
                }
            };
            match self.env().timeout(DISK_TIMEOUT, staged.write(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(node = self.env().name(), stream = %order.id, %error, "copy not written");
                    return MakeOutcome::Refused;
                }
                Err(_) => {
                    volume.note_slow();
                    return MakeOutcome::Refused;
                }
            }
        }
        if staged.written() != meta.length {
            return MakeOutcome::Refused;
        }
        let at = volume.id();
        let hints: Hints = order.hints.iter().copied().filter(|hint| *hint != at).collect();
        // What feeds have come to with this version is true of every replica of it; none is to go first but the one that was.
        let publish = Publish { slots, ..Publish::new(order.stamp, meta, hints) };
        match self.home().publish(volume, order.id, staged, publish).await {
            Made::Published => {
                self.env().passes(Point::CopyMade);
                tracing::info!(node = self.env().name(), stream = %order.id, volume = %at, %source, "copy made");
                self.home().clear_suspicion(order.id, order.stamp);
                self.count("copies received", 1);
                MakeOutcome::Made(at)
            }
            Made::Superseded => MakeOutcome::Superseded,
            Made::NotStored => MakeOutcome::Refused,
            Made::Unknown => MakeOutcome::Unknown,
        }
    }
}
