//! Recovering what was on a lost or retiring volume: every survivor walks what it holds and makes anew what had a copy
//! there. Goes before the ordinary walk, behind clients; stops when the volume is back.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join_all, select};
use swarm_env::{Bug, Interval};
use swarm_plan::health::recovery::{Standing, acts_first};
use swarm_plan::membership::VolumeState;
use swarm_store::{Record, RetirePace, Service, Volume};
use swarm_types::{Instant, StreamId, VolumeId};

use crate::service::{Health, lock};
use crate::visit::Mode;
use crate::{Recovery, RecoveryCause};

/// How often lost volumes are looked for: as often as nodes announce themselves.
const WATCH_EVERY: Duration = Duration::from_secs(10);
/// Records looked through at once.
const PAGE: usize = 64;
/// Visits to one volume at a time.
const PARALLEL: usize = 4;
/// How long the holders that are not the first to act wait at least, and how much longer by the dice, milliseconds.
const SECOND_WAIT: u64 = 1000;
const SECOND_WAIT_MORE: u64 = 4000;
/// How often the records that still lack copies are gone through.
const PASSES: u32 = 3;
/// How long a volume that is being retired fast is not recovered a second time.
const RETIRING_AGAIN: Duration = Duration::from_secs(3600);
/// Announcements of a fast retire: datagrams get lost.
const ANNOUNCEMENTS: u32 = 3;
/// Looks between two drains of a volume that is being retired fast.
const DRAIN_EVERY: u32 = 30;
/// Recoveries remembered at once.
const RECOVERIES_MAX: usize = 4096;

/// What is to be recovered, is being recovered, and was.
#[derive(Debug, Default)]
pub(crate) struct Recoveries {
    waiting: BTreeSet<Recovery>,
    running: BTreeSet<Recovery>,
    over: BTreeMap<Recovery, Instant>,
    /// Lost volumes that have come back: noted for a planted bug only.
    returned: BTreeSet<VolumeId>,
}

impl Recoveries {
    /// Those that wait or are under way.
    pub(crate) fn open(&self) -> Vec<Recovery> {
        self.waiting.union(&self.running).copied().collect()
    }

    /// True if it was not known.
    fn add(&mut self, recovery: Recovery) -> bool {
        let known = self.running.contains(&recovery)
            || self.over.contains_key(&recovery)
            || self.waiting.len() >= RECOVERIES_MAX;
        !known && self.waiting.insert(recovery)
    }

    /// Whether a lost volume is being recovered.
    pub(crate) fn is_running(&self) -> bool {
        self.running.iter().any(|recovery| recovery.cause == RecoveryCause::Lost)
    }

    /// Whether any recovery waits to be begun.
    fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The volumes that were lost at some time.
    fn lost(&self) -> Vec<VolumeId> {
        let all = self.waiting.iter().chain(&self.running).chain(self.over.keys());
        let lost = all.filter(|recovery| recovery.cause == RecoveryCause::Lost);
        lost.map(|recovery| recovery.volume).collect()
    }

    /// Whether a volume was lost and is back, as [`Bug::CountReturningTwice`] has it noted.
    pub(crate) fn has_returned(&self, volume: VolumeId) -> bool {
        self.returned.contains(&volume)
    }

    /// The volume is back, or not lost after all: what is lost next time is recovered again. A recovery that is under way
    /// looks for itself which volumes are still gone.
    fn forget_lost(&mut self, volume: VolumeId) {
        let recovery = Recovery { volume, cause: RecoveryCause::Lost };
        self.waiting.remove(&recovery);
        self.running.remove(&recovery);
        self.over.remove(&recovery);
    }

    fn begin(&mut self) -> BTreeSet<Recovery> {
        self.running = std::mem::take(&mut self.waiting);
        self.running.clone()
    }

    /// What is under way is begun again, together with what waits.
    fn break_off(&mut self) {
        self.waiting.append(&mut self.running);
    }

    fn end(&mut self, now: Instant) {
        for recovery in std::mem::take(&mut self.running) {
            self.over.insert(recovery, now);
        }
        self.over.retain(|recovery, at| {
            recovery.cause == RecoveryCause::Lost || now.since(*at) < RETIRING_AGAIN
        });
        while self.over.len() > RECOVERIES_MAX {
            self.over.pop_first();
        }
    }
}

impl Health {
    /// Takes note that somebody else recovers a volume. Of a lost one it does so only if this node does not know better.
    pub fn announced(&self, recovery: Recovery) {
        let standing = self.peers().standing(recovery.volume);
        let here = self.volume(recovery.volume).is_some();
        let agreed = match recovery.cause {
            RecoveryCause::Lost => !here && matches!(standing, Standing::Lost | Standing::Unknown),
            RecoveryCause::Retiring => !here,
        };
        if agreed && lock(&self.shared.recoveries).add(recovery) {
            self.shared.recoveries_changed.notify_one();
        }
    }

    /// Whether this node is making anew what was on lost volumes.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        lock(&self.shared.recoveries).is_running()
    }

    /// Looks for lost volumes and recovers them, for ever.
    pub(crate) async fn recover_for_ever(self) {
        let mut ticks = self.env().background("health-recovery", WATCH_EVERY);
        let mut retiring: BTreeMap<VolumeId, u32> = BTreeMap::new();
        loop {
            {
                let told = pin!(self.shared.recoveries_changed.notified());
                select(told, pin!(ticks.tick())).await;
            }
            if !self.home().is_open() {
                continue;
            }
            self.look_for_lost();
            let work = pin!(self.recover_and_drain(&mut retiring));
            select(work, pin!(self.keep_looking(&mut ticks))).await;
        }
    }

    /// Looks for lost volumes while others are recovered or drained, which takes hours: what returns meanwhile must be
    /// noticed before it is lost again, and a second loss must not wait for the end of the first.
    async fn keep_looking(&self, ticks: &mut Interval) {
        loop {
            ticks.tick().await;
            if self.home().is_open() {
                self.look_for_lost();
            }
            if self.recoveries_wait() {
                self.shared.recoveries_changed.notify_one();
            }
        }
    }

    /// Whether recoveries wait: then what is under way breaks off, so that it can begin again with them.
    fn recoveries_wait(&self) -> bool {
        lock(&self.shared.recoveries).wait()
    }

    /// Recovers what waits, and what comes to wait meanwhile: every loss is added once, so this ends.
    async fn recover_and_drain(&self, retiring: &mut BTreeMap<VolumeId, u32>) {
        loop {
            let recoveries = lock(&self.shared.recoveries).begin();
            if recoveries.is_empty() {
                break;
            }
            if self.recover(&recoveries).await {
                lock(&self.shared.recoveries).end(self.env().now());
            } else {
                lock(&self.shared.recoveries).break_off();
            }
        }
        self.drain_retiring(retiring).await;
    }

    fn look_for_lost(&self) {
        let before = lock(&self.shared.recoveries).lost();
        for volume in before {
            if matches!(self.peers().standing(volume), Standing::Present | Standing::Away) {
                let mut recoveries = lock(&self.shared.recoveries);
                recoveries.forget_lost(volume);
                if self.env().planted(Bug::CountReturningTwice) {
                    recoveries.returned.insert(volume);
                }
            }
        }
        for volume in self.peers().lost() {
            let recovery = Recovery { volume, cause: RecoveryCause::Lost };
            if lock(&self.shared.recoveries).add(recovery) {
                tracing::warn!(node = self.env().name(), %volume, "volume lost");
                self.peers().announce(recovery);
            }
        }
    }

    /// The volumes of these recoveries that still need one.
    fn gone(&self, recoveries: &BTreeSet<Recovery>) -> BTreeSet<VolumeId> {
        let needs = |recovery: &&Recovery| match recovery.cause {
            RecoveryCause::Retiring => true,
            RecoveryCause::Lost => {
                let standing = self.peers().standing(recovery.volume);
                matches!(standing, Standing::Lost | Standing::Unknown)
                    && self.volume(recovery.volume).is_none()
            }
        };
        recoveries.iter().filter(needs).map(|recovery| recovery.volume).collect()
    }

    /// False if it was broken off because others have come to wait.
    async fn recover(&self, recoveries: &BTreeSet<Recovery>) -> bool {
        tracing::info!(node = self.env().name(), volumes = recoveries.len(), "recovery begins");
        self.count("recoveries begun", 1);
        let mut left = self.go_through(recoveries, true).await;
        for _ in 0..PASSES {
            if !left || self.gone(recoveries).is_empty() || self.recoveries_wait() {
                break;
            }
            let more = self.env().random_below("health-recovery", SECOND_WAIT_MORE);
            self.env().sleep(Duration::from_millis(SECOND_WAIT + more)).await;
            left = self.go_through(recoveries, false).await;
        }
        if self.gone(recoveries).is_empty() {
            tracing::info!(node = self.env().name(), "recovery ends, the volumes are back");
            self.count("recoveries given up", 1);
        } else if left && self.recoveries_wait() {
            tracing::info!(node = self.env().name(), "recovery begins again with more volumes");
            self.count("recoveries widened", 1);
            return false;
        } else {
            tracing::info!(node = self.env().name(), "recovery ends");
            self.count("recoveries completed", 1);
        }
        true
    }

    /// Goes through all volumes; true if any record is left to be visited again.
    async fn go_through(&self, recoveries: &BTreeSet<Recovery>, first: bool) -> bool {
        let volumes = self.walked_volumes();
        let passes = volumes.iter().map(|(volume, _)| self.pass(volume, recoveries, first));
        join_all(passes.collect::<Vec<_>>()).await.into_iter().any(|left| left)
    }

    /// Visits what had copies on the volumes that are gone: in the first pass what this holder is the first to care for.
    async fn pass(&self, volume: &Volume, recoveries: &BTreeSet<Recovery>, first: bool) -> bool {
        let mut after: Option<StreamId> = None;
        let mut due: Vec<StreamId> = Vec::new();
        let mut left = false;
        loop {
            let gone = self.gone(recoveries);
            if gone.is_empty() {
                return false;
            }
            if self.recoveries_wait() {
                return true;
            }
            let page = volume.records(after, PAGE);
            let Some(last) = page.last() else {
                return self.repair(volume, &due).await || left;
            };
            after = Some(last.id);
            let (now, later): (Vec<Record>, Vec<Record>) = page
                .into_iter()
                .filter(|record| record.hints().iter().any(|hint| gone.contains(hint)))
                .partition(|record| !first || self.is_first(volume, record, &gone));
            left |= !later.is_empty();
            due.extend(now.into_iter().map(|record| record.id));
            // Where many nodes share the work a page has little of it: what does not fill a round waits for the next page's.
            let whole = due.len() - due.len() % PARALLEL;
            let some: Vec<StreamId> = due.drain(..whole).collect();
            left |= self.repair(volume, &some).await;
        }
    }

    fn is_first(&self, volume: &Volume, record: &Record, gone: &BTreeSet<VolumeId>) -> bool {
        let absent = |hint: &VolumeId| {
            gone.contains(hint)
                || self.volume(*hint).is_none() && self.peers().standing(*hint) != Standing::Present
        };
        let absent = record.hints().iter().copied().filter(absent).collect();
        acts_first(volume.id(), record.hints(), &absent)
    }

    /// Visits these streams, a few at a time, and rests in between; true if something is left to be done. Breaks off where
    /// recoveries wait.
    async fn repair(&self, volume: &Volume, ids: &[StreamId]) -> bool {
        let mut left = false;
        for some in ids.chunks(PARALLEL) {
            if self.recoveries_wait() {
                return true;
            }
            self.let_clients_go_first().await;
            let began = self.env().now();
            let visits = some.iter().map(|id| self.visit(volume, *id, Mode::Repair));
            let visited = join_all(visits.collect::<Vec<_>>()).await;
            left |= visited.iter().any(|visited| visited.short);
            let share = u32::from(self.settings().recovery_share_percent.clamp(1, 100));
            let rest = self.env().now().since(began) * (100 - share) / share;
            if !rest.is_zero() {
                self.env().sleep(rest).await;
            }
        }
        left
    }

    /// Empties the volumes of this node that are being retired fast; the others help. `looks` counts for each how often it
    /// was looked at.
    async fn drain_retiring(&self, looks: &mut BTreeMap<VolumeId, u32>) {
        let mut volumes = self.home().volumes();
        volumes.retain(|(_, state)| *state == VolumeState::Retiring);
        looks.retain(|id, _| volumes.iter().any(|(volume, _)| volume.id() == *id));
        for (volume, _) in volumes {
            self.retire_if_empty(&volume).await;
            let Service::Retiring(retire) = volume.service() else { continue };
            if retire.pace != RetirePace::Fast {
                continue;
            }
            let look = looks.entry(volume.id()).or_insert(0);
            let (nth, due) = (*look, look.is_multiple_of(DRAIN_EVERY));
            if nth < ANNOUNCEMENTS {
                let cause = RecoveryCause::Retiring;
                self.peers().announce(Recovery { volume: volume.id(), cause });
            }
            if due {
                self.drain(&volume).await;
            }
            // A drain that gave way to a recovery is due again at the next look.
            if !(due && self.recoveries_wait()) {
                *look += 1;
            }
        }
    }

    async fn drain(&self, volume: &Volume) {
        let mut after = None;
        loop {
            let page = volume.records(after, PAGE);
            let retiring = matches!(volume.service(), Service::Retiring(_));
            let Some(last) = page.last().filter(|_| retiring) else { break };
            if self.recoveries_wait() {
                return;
            }
            after = Some(last.id);
            let ids: Vec<StreamId> = page.iter().map(|record| record.id).collect();
            self.repair(volume, &ids).await;
        }
        self.retire_if_empty(volume).await;
    }
}
