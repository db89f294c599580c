//! The walk: every stream of every volume once in a cycle, evenly over its time.
//!
//! One task walks all volumes of the node, with a cursor for each. A cycle is divided into beats, one background interval
//! each, so that in a quiet stretch whole cycles stretch and not single visits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::future::join_all;
use swarm_plan::membership::VolumeState;
use swarm_store::{Volume, Walk};
use swarm_types::{Instant, StreamId, VolumeId};

use crate::service::{DISK_TIMEOUT, Health};
use crate::status::Walks;
use crate::visit::Mode;

/// Beats of a cycle. A quiet stretch of about 200 beats is five cycles.
pub(crate) const BEATS: u32 = 40;
/// Streams taken from the index at once.
const PAGE_MAX: u64 = 32;
/// How long a visit waits for clients at most, and how often it looks.
const YIELD_MAX: u32 = 20;
const YIELD_POLL: Duration = Duration::from_millis(50);

/// How far the walk over one volume is.
struct Cursor {
    walk: Walk,
    /// Streams that the walk has come to and that were not visited yet; at most a page.
    rest: VecDeque<StreamId>,
    beats: u32,
    /// Actions of the node when the cycle began.
    actions: u64,
    /// Which mount of the volume it is that is walked over.
    epoch: u64,
    /// Every visit so far has heard everybody who is present.
    settled: bool,
    walks: Walks,
}

impl Cursor {
    /// The next stream to visit in this beat, which ends with this share of the walk.
    fn next(&mut self, volume: &Volume, page: usize, share: f64) -> Option<StreamId> {
        let due = self.beats >= BEATS || self.walk.share_done() < share;
        if self.rest.is_empty() && due && !self.walk.is_done() {
            self.rest.extend(volume.walk(&mut self.walk, page).iter().map(|record| record.id));
        }
        self.rest.pop_front()
    }
}

impl Health {
    /// Walks for ever.
    pub(crate) async fn walk_for_ever(self) {
        let beat = self.settings().cycle_time / BEATS;
        // Nodes that start together need not walk in step.
        let stagger = self.env().random_below("health-stagger", as_nanos(beat));
        self.env().sleep(Duration::from_nanos(stagger)).await;
        let mut beats = self.env().background("health", beat);
        let mut cursors: BTreeMap<VolumeId, Cursor> = BTreeMap::new();
        loop {
            beats.tick().await;
            if !self.home().may_walk() {
                continue;
            }
            let volumes = self.walked_volumes();
            let mut walks = Vec::with_capacity(volumes.len());
            for (volume, state) in volumes {
                // What began before a mount has not seen what was missed until then.
                let cursor =
                    cursors.remove(&volume.id()).filter(|cursor| cursor.epoch == volume.epoch());
                let cursor = cursor.unwrap_or_else(|| self.begin(&volume, None));
                walks.push(self.beat(volume, state, cursor));
            }
            cursors = join_all(walks).await.into_iter().collect();
            self.forget_walks(|volume| cursors.contains_key(&volume));
        }
    }

    /// The next cycle of a volume.
    fn begin(&self, volume: &Volume, last: Option<Walks>) -> Cursor {
        let began = self.env().now();
        let walks = Walks { began, percent: 0, ..last.unwrap_or(Walks::begun(began)) };
        let walk = Walk::seeded(self.env().random_u64("health-walk"));
        let (rest, epoch) = (VecDeque::new(), volume.epoch());
        Cursor { walk, rest, beats: 0, actions: self.actions(), epoch, settled: true, walks }
    }

    async fn beat(
        &self,
        volume: Volume,
        state: VolumeState,
        mut cursor: Cursor,
    ) -> (VolumeId, Cursor) {
        cursor.beats += 1;
        let share = f64::from(cursor.beats) / f64::from(BEATS);
        let space = volume.space();
        let page = (space.streams + space.tombstones) / u64::from(BEATS);
        let page = usize::try_from(page.clamp(1, PAGE_MAX)).unwrap_or(1);
        while let Some(id) = cursor.next(&volume, page, share) {
            self.let_clients_go_first().await;
            let began = self.env().now();
            cursor.settled &= self.visit(&volume, id, Mode::Walk).await.settled;
            if self.env().now().since(began) >= DISK_TIMEOUT {
                // The other volumes wait for this one at the end of the beat.
                break;
            }
            self.keep_pace(began).await;
        }
        if state == VolumeState::Retiring {
            self.retire_if_empty(&volume).await;
        }
        if cursor.walk.is_done() && cursor.rest.is_empty() && cursor.beats >= BEATS {
            self.catch_up(&volume, &cursor).await;
            self.complete(&volume, &mut cursor);
        }
        let percent = (cursor.walk.share_done() * 100.0) as u8;
        cursor.walks.percent = if cursor.beats == 0 { 0 } else { percent };
        self.note_walks(volume.id(), cursor.walks);
        (volume.id(), cursor)
    }

    fn complete(&self, volume: &Volume, cursor: &mut Cursor) {
        let actions = self.actions() - cursor.actions;
        let quiet = actions == 0 && self.status().recoveries.is_empty();
        let walks = &mut cursor.walks;
        walks.last_actions = actions;
        walks.cycles += 1;
        walks.quiet_cycles = if quiet { walks.quiet_cycles + 1 } else { 0 };
        let took = self.env().now().since(walks.began);
        walks.last = Some(took);
        tracing::debug!(
            node = self.env().name(), volume = %volume.id(), cycle = walks.cycles, ?took, quiet, "health cycle"
        );
        *cursor = self.begin(volume, Some(*walks));
    }

    /// A whole walk that began after the mount is over. If it has heard everybody of every stream, the volume has made up for
    /// what it missed while it was away.
    async fn catch_up(&self, volume: &Volume, cursor: &Cursor) {
        let Some(since) = volume.behind_since() else { return };
        if cursor.settled {
            match self.env().timeout(DISK_TIMEOUT, volume.caught_up()).await {
                Ok(Ok(())) => self.count("volumes caught up", 1),
                Ok(Err(error)) => {
                    tracing::warn!(node = self.env().name(), volume = %volume.id(), %error, "not marked as caught up");
                }
                Err(_) => volume.note_slow(),
            }
            return;
        }
        let behind = self.env().wall().since(since);
        if behind > self.settings().obsolete_timeout / 2 {
            tracing::warn!(
                node = self.env().name(), volume = %volume.id(), ?behind,
                "volume behind: not everybody answers; once it is for too long, its next mount is refused"
            );
        }
    }

    pub(crate) async fn let_clients_go_first(&self) {
        for _ in 0..YIELD_MAX {
            if !self.home().is_busy() {
                return;
            }
            self.env().sleep(YIELD_POLL).await;
        }
    }

    async fn keep_pace(&self, began: Instant) {
        let Some(slot) = Duration::from_secs(1).checked_div(self.settings().visits_per_second)
        else {
            return;
        };
        let rest = slot.saturating_sub(self.env().now().since(began));
        if !rest.is_zero() {
            self.env().sleep(rest).await;
        }
    }
}

fn as_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
