//! Letting a copy go: the only way in which a sound copy of the newest version is ever erased.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use swarm_env::{Env, Point, Task};
use swarm_plan::health::leave::may_go;
use swarm_plan::membership::VolumeState;
use swarm_store::{AppendError, Record, Volume};
use swarm_types::{NodeId, Stamp, StreamId, VolumeId};

use crate::service::{DISK_TIMEOUT, Health, Shared, lock};
use crate::{LeaveOutcome, Question, TrimOrder, Whom};

/// How often a disk that failed to take a removal is tried again.
const SETTLE_EVERY: Duration = Duration::from_secs(5);

/// While it lives, nobody is told to count on this copy.
struct Mark {
    shared: Arc<Shared>,
    copy: (VolumeId, StreamId),
}

impl Drop for Mark {
    fn drop(&mut self) {
        lock(&self.shared.leaving).remove(&self.copy);
    }
}

impl Health {
    /// Looks whether a copy of this node is surplus, and erases it if enough others vouch for theirs. An order that comes
    /// twice is carried out once; while it is, the second one is answered [`LeaveOutcome::Unknown`], which the caller need
    /// not pass on.
    ///
    /// The copy counts again only when it is certain that it stays: a removal that nobody waits for any more goes on.
    pub async fn trim_here(&self, order: TrimOrder) -> LeaveOutcome {
        let Some((volume, state)) = self.volume(order.victim) else { return LeaveOutcome::Stays };
        let filed = volume.find(order.id).filter(|record| record.stamp == order.stamp);
        let Some(record) = filed.filter(|record| !record.is_tombstone()) else {
            return LeaveOutcome::Gone;
        };
        let Some(mark) = self.mark(order.victim, order.id) else { return LeaveOutcome::Unknown };
        // The one who orders may go by another clock.
        let own_wish = if state == VolumeState::Ok { self.wanted(&record) } else { 0 };
        let mut others: BTreeSet<NodeId> = order.others.iter().map(|place| place.node).collect();
        others.remove(&self.home().node());
        let question = Question { id: order.id, size: None, whom: Whom::Nodes(others) };
        let mut fresh = self.peers().survey(question.clone()).await;
        fresh.add(self.report(&question));
        let own_wish = own_wish.saturating_sub(self.counted_twice(order.stamp, &fresh));
        if !may_go(order.victim, order.stamp, order.wanted.max(own_wish), &fresh) {
            self.count("trims refused", 1);
            return LeaveOutcome::Stays;
        }
        self.env().passes(Point::TrimAllowed);
        let removal = self.remove_marked(&volume, order.id, order.stamp, mark);
        match self.env().timeout(DISK_TIMEOUT, removal.join()).await {
            Ok(Some(Ok(()))) => {
                tracing::info!(node = self.env().name(), stream = %order.id, volume = %order.victim, "copy let go");
                self.act("copies trimmed");
                LeaveOutcome::Gone
            }
            Ok(Some(Err(error))) => {
                tracing::warn!(node = self.env().name(), stream = %order.id, %error, "copy not let go");
                LeaveOutcome::Unknown
            }
            Ok(None) => LeaveOutcome::Unknown,
            Err(_) => {
                volume.note_slow();
                LeaveOutcome::Unknown
            }
        }
    }

    /// Removes a marked copy in a task of its own, which keeps the mark for as long as the copy may still vanish: whoever
    /// orders may lose patience, the disk does not forget what it was asked for.
    fn remove_marked(
        &self,
        volume: &Volume,
        id: StreamId,
        stamp: Stamp,
        mark: Mark,
    ) -> Task<Result<(), AppendError>> {
        let (env, volume) = (self.env().clone(), volume.clone());
        self.env().spawn("health.leave", async move {
            let removed = volume.remove(id, stamp).await;
            if removed.is_err() {
                drop(env.clone().spawn("health.settle", settle(env, volume, mark)));
            }
            removed.map(drop)
        })
    }

    fn mark(&self, volume: VolumeId, id: StreamId) -> Option<Mark> {
        let copy = (volume, id);
        let new = lock(&self.shared.leaving).insert(copy);
        new.then(|| Mark { shared: Arc::clone(&self.shared), copy })
    }

    /// How many copies there must be by this node's clock; none of what has ended.
    pub(crate) fn wanted(&self, record: &Record) -> u32 {
        self.demand(record).map_or(0, swarm_policy::Demand::copies)
    }
}

/// Keeps a mark until the journal is certain to say that the copy stays. A removal that failed may be on the disk all the
/// same, for the next mount to find; whatever is written next takes its place there.
async fn settle(env: Env, volume: Volume, mark: Mark) {
    while !volume.is_closed() && volume.touch().await.is_err() {
        env.sleep(SETTLE_EVERY).await;
    }
    drop(mark);
}
