//! The disks of one node and what has become of each: mounting it, watching it, giving it up, and whether its volume is in
//! service. The node's rules depend on [`VolumeState`] alone, which is told here.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use swarm_env::{Disk, Env, Task};
use swarm_plan::health::retire::{ErrorRules, Errors};
use swarm_plan::lookup::Room;
use swarm_plan::membership::{UNREACHABLE_AFTER, VolumeCounts, VolumeState};
use swarm_store::{
    AppendError, FormatError, FormatOptions, MountError, MountOptions, Retire, RetireCause,
    RetirePace, Service, Volume,
};
use swarm_types::{ClusterName, DiskId, VolumeId};

use crate::{MemberStatus, Settings, VolumeStatus};

/// How long one operation of a disk may take before it counts as failed (our choice).
pub(crate) const DISK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a starting node waits for its volumes. One that takes longer goes on mounting while the node serves from the
/// others: a disk that hangs must not keep them away (our choice; long against reading any journal).
const MOUNT_PATIENCE: Duration = Duration::from_secs(300);
/// When a volume that could not be mounted is tried again for the first time. What hinders it may pass at any moment, and
/// what it holds serves nobody until then (our choice).
const MOUNT_AGAIN: Duration = Duration::from_secs(5);
/// When it is tried again after that: a mount may read much.
const MOUNT_AGAIN_LATER: Duration = Duration::from_secs(10);
/// How much is read to see whether a disk that takes no writes still delivers: one block.
const PROBE_LEN: usize = 4096;

/// A volume that does not do what an operator asks of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetireError {
    /// The node has no such volume.
    #[error("no such volume")]
    NoSuchVolume,
    /// Its state does not allow it.
    #[error("the volume is {}", .0.word())]
    State(VolumeState),
    /// Errors of its disk retired it, so that it cannot go back into service (our choice).
    #[error("the volume retires because of errors of its disk")]
    Failing,
    /// The disk does not take the note that says so durably.
    #[error("the volume cannot be marked: {0}")]
    Disk(String),
}

/// A volume that is not mounted although an operator asks for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountStaleError {
    /// The node has no such disk.
    #[error("no such volume")]
    NoSuchVolume,
    /// It is not stale.
    #[error("the volume is {} and not stale", .0.word())]
    NotStale(VolumeState),
    /// It was tried, and something else is wrong.
    #[error("the volume cannot be mounted: {0}")]
    Refused(String),
}

/// The disks of one node.
pub(crate) struct Slots {
    env: Env,
    options: MountOptions,
    rules: ErrorRules,
    table: Mutex<Vec<Slot>>,
}

struct Slot {
    disk: DiskId,
    /// The volume that was mounted here last.
    volume: Option<VolumeId>,
    content: Content,
    /// What it was for when it was last looked at: a volume that is mounted says it itself.
    service: Service,
    /// What is wrong with a volume that works all the same.
    trouble: Option<String>,
    /// Why it was not mounted the last time, as the log has it.
    complaint: Option<String>,
    /// Errors of the disk, as judged at its heartbeats.
    errors: Errors,
    /// How many of those since the mount were judged already.
    errors_judged: u64,
}

#[derive(Clone)]
enum Content {
    Mounting,
    Mounted(Mounted),
    Unavailable { why: String, hope: Hope },
}

#[derive(Clone)]
struct Mounted {
    volume: Volume,
    device: Arc<dyn Disk>,
}

impl Content {
    /// Ends what goes on there, so that the disk is free for whoever opens it next.
    fn end(self) {
        if let Self::Mounted(Mounted { volume, .. }) = self {
            volume.close();
        }
    }
}

/// What would have to happen before a volume is mounted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hope {
    /// Nothing: it is tried again from time to time.
    Retry,
    /// Its disk must be unplugged first: it would be refused again.
    Refused,
    /// It was away for too long: an operator must say that it is mounted all the same.
    Stale,
    /// Its disk must come back.
    Gone,
}

/// A volume that was not mounted.
struct NotMounted {
    why: String,
    hope: Hope,
}

impl Slot {
    fn new(disk: DiskId) -> Self {
        let (content, service) = (Content::Mounting, Service::InService);
        let (errors, errors_judged) = (Errors::default(), 0);
        let (volume, trouble, complaint) = (None, None, None);
        Self { disk, volume, content, service, trouble, complaint, errors, errors_judged }
    }

    fn state(&self) -> VolumeState {
        match &self.content {
            Content::Mounting => VolumeState::Mounting,
            Content::Unavailable { .. } => VolumeState::Unavailable,
            Content::Mounted(Mounted { volume, .. }) => match volume.service() {
                Service::InService => VolumeState::Ok,
                Service::Retiring(_) => VolumeState::Retiring,
                Service::Retired(_) => VolumeState::Retired,
            },
        }
    }

    /// Puts something else in the place of what there was, which is to be ended, but not under a lock.
    fn replace(&mut self, content: Content) -> Content {
        if let Content::Mounted(Mounted { volume, .. }) = &self.content {
            self.service = volume.service();
        }
        (self.trouble, self.errors_judged) = (None, 0);
        std::mem::replace(&mut self.content, content)
    }

    const fn mounted(&self) -> Option<&Mounted> {
        match &self.content {
            Content::Mounted(mounted) => Some(mounted),
            Content::Mounting | Content::Unavailable { .. } => None,
        }
    }

    fn holds(&self, volume: VolumeId) -> bool {
        self.mounted().is_some_and(|mounted| mounted.volume.id() == volume)
    }

    const fn hope(&self) -> Option<Hope> {
        match self.content {
            Content::Unavailable { hope, .. } => Some(hope),
            Content::Mounting | Content::Mounted(_) => None,
        }
    }

    fn status(&self) -> VolumeStatus {
        let mut status = VolumeStatus {
            id: self.volume,
            disk: self.disk.to_string(),
            state: self.state(),
            problem: self.trouble.clone(),
            capacity: 0,
            used: 0,
            free: 0,
            trapped: 0,
            streams: 0,
            stale: self.hope() == Some(Hope::Stale),
        };
        match &self.content {
            Content::Mounting => {}
            Content::Unavailable { why, .. } => status.problem = Some(why.clone()),
            Content::Mounted(Mounted { volume, .. }) => {
                let space = volume.space();
                (status.capacity, status.used) = (space.capacity, space.used);
                (status.free, status.trapped) = (space.free, space.trapped);
                status.streams = space.streams;
            }
        }
        status
    }
}

impl Slots {
    /// The disks plugged in now, none of them mounted yet.
    pub(crate) fn new(env: &Env, cluster: ClusterName, settings: &Settings) -> Self {
        let obsolete_after = settings.obsolete_timeout;
        let options = MountOptions { cluster, obsolete_after, force_stale: false };
        let rules = settings.io_errors;
        let table = env.disks().list().into_iter().map(Slot::new).collect();
        Self { env: env.clone(), options, rules, table: Mutex::new(table) }
    }

    /// Mounts every disk, one task each; blank ones are formatted first. Returns when each is mounted or given up, or after
    /// five minutes.
    pub(crate) async fn mount_all(self: &Arc<Self>) {
        let disks: Vec<DiskId> = self.lock().iter().map(|slot| slot.disk.clone()).collect();
        let mounts: Vec<_> =
            disks.into_iter().map(|disk| self.mount_in_task(disk, false)).collect();
        let all = async {
            for mount in mounts {
                mount.join().await;
            }
        };
        if self.env.timeout(MOUNT_PATIENCE, all).await.is_err() {
            tracing::error!(node = self.env.name(), "a disk hangs, the node goes on without it");
        }
    }

    fn mount_in_task(self: &Arc<Self>, disk: DiskId, force_stale: bool) -> Task<()> {
        let slots = Arc::clone(self);
        self.env.spawn("mount", async move {
            if slots.mount_one(&disk, force_stale).await == Some(Hope::Retry) {
                slots.mount_again(disk);
            }
        })
    }

    /// Tries again from time to time, until the volume is mounted, or somebody else has taken care of the disk.
    fn mount_again(self: &Arc<Self>, disk: DiskId) {
        let slots = Arc::clone(self);
        drop(self.env.spawn("mount-again", async move {
            let mut wait = MOUNT_AGAIN;
            loop {
                slots.env.background("mount-again", wait).tick().await;
                wait = MOUNT_AGAIN_LATER;
                let is_ours = slots.lock().iter_mut().any(|slot| {
                    let ours = slot.disk == disk && slot.hope() == Some(Hope::Retry);
                    if ours {
                        drop(slot.replace(Content::Mounting));
                    }
                    ours
                });
                if !is_ours || slots.mount_one(&disk, false).await != Some(Hope::Retry) {
                    return;
                }
            }
        }));
    }

    /// Mounts a disk; what has to happen before it is tried again if that fails.
    async fn mount_one(&self, disk: &DiskId, force_stale: bool) -> Option<Hope> {
        let options = MountOptions { force_stale, ..self.options.clone() };
        match mount(&self.env, disk, &options).await {
            Ok((mounted, blank)) => {
                if blank {
                    self.forget_one_that_is_gone(disk);
                }
                self.put(disk, Content::Mounted(mounted));
                None
            }
            Err(NotMounted { why, hope }) => {
                if self.is_news(disk, &why) {
                    tracing::error!(node = self.env.name(), %disk, why, "volume not mounted");
                }
                self.put(disk, Content::Unavailable { why, hope });
                Some(hope)
            }
        }
    }

    /// Whether the log has another reason, or none, why this disk was not mounted.
    fn is_news(&self, disk: &DiskId, why: &str) -> bool {
        let mut table = self.lock();
        let Some(slot) = table.iter_mut().find(|slot| slot.disk == *disk) else { return true };
        let is_news = slot.complaint.as_deref() != Some(why);
        slot.complaint = Some(why.to_owned());
        is_news
    }

    /// A blank disk replaces one that was pulled: nobody waits for that one here any more.
    fn forget_one_that_is_gone(&self, blank: &DiskId) {
        let mut table = self.lock();
        let gone =
            table.iter().position(|slot| slot.hope() == Some(Hope::Gone) && slot.disk != *blank);
        if let Some(gone) = gone {
            table.remove(gone);
        }
    }

    fn put(&self, disk: &DiskId, content: Content) {
        let before = self.lock().iter_mut().find(|slot| slot.disk == *disk).map(|slot| {
            if let Content::Mounted(mounted) = &content {
                slot.volume = Some(mounted.volume.id());
                slot.complaint = None;
            }
            slot.replace(content)
        });
        if let Some(before) = before {
            before.end();
        }
    }

    /// The mounted volumes, in the order of their disks.
    pub(crate) fn mounted(&self) -> Vec<Volume> {
        self.lock().iter().filter_map(|slot| Some(slot.mounted()?.volume.clone())).collect()
    }

    /// The mounted volume with this id.
    pub(crate) fn volume(&self, id: VolumeId) -> Option<Volume> {
        let table = self.lock();
        let slot = table.iter().find(|slot| slot.holds(id))?;
        Some(slot.mounted()?.volume.clone())
    }

    /// The mounted volumes with their states, in the order of their disks.
    pub(crate) fn in_states(&self) -> Vec<(Volume, VolumeState)> {
        let table = self.lock();
        table
            .iter()
            .filter_map(|slot| Some((slot.mounted()?.volume.clone(), slot.state())))
            .collect()
    }

    /// The mounted volumes in states like these, in the order of their disks.
    pub(crate) fn mounted_where(&self, fits: impl Fn(VolumeState) -> bool) -> Vec<Volume> {
        let table = self.lock();
        let fitting = table.iter().filter(|slot| slot.trouble.is_none() && fits(slot.state()));
        fitting.filter_map(|slot| Some(slot.mounted()?.volume.clone())).collect()
    }

    /// True if a new stream may be stored on this volume.
    pub(crate) fn takes_streams(&self, volume: VolumeId) -> bool {
        let takes = |slot: &Slot| slot.trouble.is_none() && slot.state().takes_streams();
        self.lock().iter().any(|slot| slot.holds(volume) && takes(slot))
    }

    /// True if everything that the node may have is mounted.
    pub(crate) fn all_mounted(&self) -> bool {
        self.lock().iter().all(|slot| slot.mounted().is_some())
    }

    /// For what there is a place.
    pub(crate) fn room(&self) -> Room {
        let place = |slot: &Slot| match slot.state() {
            state if slot.trouble.is_none() && state.takes_streams() => Room::Streams,
            state if slot.trouble.is_none() && state.takes_tombstones() => Room::Tombstones,
            _ => Room::Nothing,
        };
        self.lock().iter().map(place).max().unwrap_or(Room::Nothing)
    }

    /// How many volumes there are, and in what states.
    pub(crate) fn counts(&self) -> VolumeCounts {
        let mut counts = VolumeCounts::default();
        for slot in self.lock().iter() {
            let state = slot.state();
            counts.all += 1;
            counts.retiring += usize::from(state == VolumeState::Retiring);
            counts.retired += usize::from(state == VolumeState::Retired);
            let in_trouble = state == VolumeState::Unavailable || slot.trouble.is_some();
            counts.in_trouble += usize::from(in_trouble);
        }
        counts
    }

    /// The volumes that the node has, or had and misses, with their states.
    pub(crate) fn states(&self) -> Vec<(VolumeId, VolumeState)> {
        self.lock().iter().filter_map(|slot| Some((slot.volume?, slot.state()))).collect()
    }

    /// Capacity of all volumes that are not retired, and free bytes of those that take streams.
    pub(crate) fn space(&self) -> (u64, u64) {
        let mut sums = (0, 0);
        for slot in self.lock().iter().filter(|slot| slot.state() != VolumeState::Retired) {
            if let Some(mounted) = slot.mounted() {
                let space = mounted.volume.space();
                sums.0 += space.capacity;
                sums.1 += if slot.state().takes_streams() { space.free } else { 0 };
            }
        }
        sums
    }

    /// Every volume, for the operator.
    pub(crate) fn status(&self) -> Vec<VolumeStatus> {
        self.lock().iter().map(Slot::status).collect()
    }

    /// A volume that closed itself takes part in nothing until it is mounted again.
    pub(crate) fn give_up(self: &Arc<Self>, volume: VolumeId, why: &str, may_return: bool) {
        tracing::error!(node = self.env.name(), %volume, why, "volume given up");
        let disk = self.lock().iter().find(|slot| slot.holds(volume)).map(|slot| slot.disk.clone());
        if let Some(disk) = disk {
            let hope = if may_return { Hope::Retry } else { Hope::Refused };
            self.put(&disk, Content::Unavailable { why: why.to_owned(), hope });
            if may_return {
                self.mount_again(disk);
            }
        }
    }

    /// Takes a volume out of service, to be emptied; durable on return. An empty one is retired at once. Saying it again
    /// changes nothing.
    ///
    /// # Errors
    /// See [`RetireError`].
    pub(crate) async fn retire(
        &self,
        volume: VolumeId,
        pace: RetirePace,
    ) -> Result<VolumeState, RetireError> {
        let since = self.env.wall();
        let retire = Retire { cause: RetireCause::ByHand, pace, since };
        match self.working(volume)? {
            (volume, VolumeState::Ok) => {
                mark(&self.env, &volume, Service::Retiring(retire)).await?
            }
            (_, VolumeState::Retiring | VolumeState::Retired) => {}
            (_, state) => return Err(RetireError::State(state)),
        }
        self.finish_retires().await;
        self.working(volume).map(|(_, state)| state)
    }

    /// Puts a volume that an operator is having emptied back into service; durable on return.
    ///
    /// # Errors
    /// See [`RetireError`]; a retired volume stays retired.
    pub(crate) async fn cancel_retire(&self, volume: VolumeId) -> Result<VolumeState, RetireError> {
        let (working, state) = self.working(volume)?;
        match (state, working.service()) {
            (VolumeState::Ok, _) => {}
            (_, Service::Retiring(Retire { cause: RetireCause::IoErrors, .. })) => {
                return Err(RetireError::Failing);
            }
            (VolumeState::Retiring, _) => mark(&self.env, &working, Service::InService).await?,
            (state, _) => return Err(RetireError::State(state)),
        }
        self.working(volume).map(|(_, state)| state)
    }

    /// A volume that is mounted, and its state.
    fn working(&self, volume: VolumeId) -> Result<(Volume, VolumeState), RetireError> {
        let table = self.lock();
        let slot = table.iter().find(|slot| slot.volume == Some(volume));
        let slot = slot.ok_or(RetireError::NoSuchVolume)?;
        let mounted = slot.mounted().ok_or_else(|| RetireError::State(slot.state()))?;
        Ok((mounted.volume.clone(), slot.state()))
    }

    /// Mounts a volume that was refused because it was away for too long (Stale Volumes and the ":k" flag). What was deleted
    /// meanwhile may come back with it. Returns when it is mounted, or after half a minute while that goes on.
    ///
    /// # Errors
    /// See [`MountStaleError`].
    pub(crate) async fn mount_stale(
        self: &Arc<Self>,
        disk: &DiskId,
    ) -> Result<VolumeState, MountStaleError> {
        let found = |slot: &&mut Slot| slot.disk == *disk;
        match self.lock().iter_mut().find(found).ok_or(MountStaleError::NoSuchVolume)? {
            slot if slot.hope() == Some(Hope::Stale) => drop(slot.replace(Content::Mounting)),
            slot => return Err(MountStaleError::NotStale(slot.state())),
        }
        tracing::warn!(node = self.env.name(), %disk, "a stale volume is mounted by order");
        let mount = self.mount_in_task(disk.clone(), true);
        if self.env.timeout(DISK_TIMEOUT, mount.join()).await.is_err() {
            tracing::warn!(node = self.env.name(), %disk, "a stale volume goes on being mounted");
        }
        let table = self.lock();
        let slot = table.iter().find(|slot| slot.disk == *disk);
        let slot = slot.ok_or(MountStaleError::NoSuchVolume)?;
        match &slot.content {
            Content::Unavailable { why, .. } => Err(MountStaleError::Refused(why.clone())),
            Content::Mounting | Content::Mounted(_) => Ok(slot.state()),
        }
    }

    /// Takes note that a volume has been emptied and is durably marked as retired.
    pub(crate) fn retired(&self, volume: VolumeId) {
        tracing::info!(node = self.env.name(), %volume, "volume retired");
    }

    /// Retires the volumes that have been emptied: tombstones are streams too, and must have found another place.
    async fn finish_retires(&self) {
        for volume in self.mounted_where(|state| state == VolumeState::Retiring) {
            match self.env.timeout(DISK_TIMEOUT, volume.retire_if_empty()).await {
                Ok(Ok(true)) => self.retired(volume.id()),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(node = self.env.name(), volume = %volume.id(), %error, "not retired");
                }
                Err(_) => volume.note_slow(),
            }
        }
    }

    /// Looks at every disk: which do not work, which have had too many errors, which volumes are empty at last. Returns when
    /// each has answered or was given up.
    pub(crate) async fn heartbeat(self: &Arc<Self>) {
        let mounted: Vec<Mounted> =
            self.lock().iter().filter_map(|slot| slot.mounted().cloned()).collect();
        // A disk that does not answer must not keep the others from being looked at.
        join_all(mounted.into_iter().map(|mounted| self.beat(mounted))).await;
        for (volume, verdict) in self.judge_errors() {
            self.carry_out(&volume, verdict).await;
        }
        self.finish_retires().await;
    }

    /// The disks that are plugged in as far as is known here, sorted.
    pub(crate) fn plugged(&self) -> Vec<DiskId> {
        let table = self.lock();
        let plugged = table.iter().filter(|slot| slot.hope() != Some(Hope::Gone));
        plugged.map(|slot| slot.disk.clone()).collect()
    }

    /// A volume that another node has is missed here no longer.
    pub(crate) fn forget_what_is_elsewhere(&self, members: &[MemberStatus]) {
        let present = members.iter().filter(|member| member.silence < UNREACHABLE_AFTER);
        let told = present.filter_map(|member| member.volumes.as_ref()).flatten();
        let elsewhere: Vec<VolumeId> = told
            .filter(|(_, state)| *state != VolumeState::Unavailable)
            .map(|(volume, _)| *volume)
            .collect();
        self.lock().retain(|slot| {
            let found = slot.volume.is_some_and(|volume| elsewhere.contains(&volume));
            slot.hope() != Some(Hope::Gone) || !found
        });
    }

    /// Takes note of disks that were pulled or plugged in. The mounts of those that have come.
    pub(crate) fn compare_with(self: &Arc<Self>, plugged: &[DiskId]) -> Vec<Task<()>> {
        let to_mount = self.pull_and_plug(plugged);
        to_mount.into_iter().map(|disk| self.mount_in_task(disk, false)).collect()
    }

    fn pull_and_plug(&self, plugged: &[DiskId]) -> Vec<DiskId> {
        let mut ended = Vec::new();
        let mut to_mount = Vec::new();
        let mut table = self.lock();
        for slot in table.iter_mut().filter(|slot| !plugged.contains(&slot.disk)) {
            if slot.hope() != Some(Hope::Gone) {
                let why = "its disk is gone".to_owned();
                let gone = Content::Unavailable { why, hope: Hope::Gone };
                ended.push(slot.replace(gone));
            }
        }
        // Nobody misses what had nothing on it.
        let retired = |slot: &Slot| matches!(slot.service, Service::Retired(_));
        table.retain(|slot| slot.hope() != Some(Hope::Gone) || !retired(slot));
        for disk in plugged {
            let known = table.iter_mut().find(|slot| slot.disk == *disk);
            match known {
                Some(slot) if slot.hope() == Some(Hope::Gone) => {
                    ended.push(slot.replace(Content::Mounting));
                    to_mount.push(disk.clone());
                }
                Some(_) => {}
                None => {
                    let at = table.partition_point(|slot| slot.disk < *disk);
                    table.insert(at, Slot::new(disk.clone()));
                    to_mount.push(disk.clone());
                }
            }
        }
        drop(table);
        ended.into_iter().for_each(Content::end);
        to_mount
    }

    /// Renews a volume's last-touched time, which shows whether its disk takes writes. One that does not, but still
    /// delivers, keeps delivering and takes nothing new; one that does neither is given up until it answers again.
    async fn beat(self: &Arc<Self>, mounted: Mounted) {
        let Mounted { volume, device } = mounted;
        let why = match self.env.timeout(DISK_TIMEOUT, volume.touch()).await {
            Ok(Ok(())) => return self.note_trouble(volume.id(), None),
            Ok(Err(AppendError::Closed)) => {
                return self.give_up(volume.id(), "it closed itself", true);
            }
            Ok(Err(error)) => in_full(&error),
            Err(_) => {
                volume.note_slow();
                "no answer".to_owned()
            }
        };
        let why = match self.env.timeout(DISK_TIMEOUT, device.read_at(0, PROBE_LEN)).await {
            Ok(Ok(_)) => {
                let why = format!("its disk takes no writes: {why}");
                return self.note_trouble(volume.id(), Some(why));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        self.give_up(volume.id(), &format!("its disk has failed: {why}"), true);
    }

    /// What becomes of volumes whose disks have had too many errors (Retiring Volumes).
    fn judge_errors(&self) -> Vec<(Volume, VolumeState)> {
        let now = self.env.now();
        let mut verdicts = Vec::new();
        for slot in self.lock().iter_mut() {
            let state = slot.state();
            let Content::Mounted(Mounted { volume, .. }) = &slot.content else { continue };
            let all = volume.io_errors().total();
            let fresh = all.saturating_sub(slot.errors_judged);
            slot.errors_judged = all;
            if let Some(verdict) = slot.errors.beat(now, fresh, state, &self.rules) {
                verdicts.push((volume.clone(), verdict));
            }
        }
        verdicts
    }

    async fn carry_out(self: &Arc<Self>, volume: &Volume, verdict: VolumeState) {
        if verdict == VolumeState::Unavailable {
            return self.give_up(volume.id(), "its disk has had too many errors", false);
        }
        let (cause, pace) = (RetireCause::IoErrors, RetirePace::Fast);
        let retire = Retire { cause, pace, since: self.env.wall() };
        tracing::error!(node = self.env.name(), volume = %volume.id(), "its disk has many errors, volume retires");
        if let Err(error) = mark(&self.env, volume, Service::Retiring(retire)).await {
            // The next heartbeat tries again; a disk that takes no mark takes nothing else either.
            tracing::error!(node = self.env.name(), volume = %volume.id(), %error, "not marked");
        }
    }

    fn note_trouble(&self, volume: VolumeId, trouble: Option<String>) {
        for slot in self.lock().iter_mut().filter(|slot| slot.holds(volume)) {
            if slot.trouble != trouble {
                tracing::warn!(node = self.env.name(), %volume, ?trouble, "trouble with a disk");
                slot.trouble.clone_from(&trouble);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks what a volume is for. A disk that does not answer keeps nobody waiting: the mark may come to be there later.
async fn mark(env: &Env, volume: &Volume, service: Service) -> Result<(), RetireError> {
    match env.timeout(DISK_TIMEOUT, volume.set_service(service)).await {
        Ok(marked) => marked.map_err(|error| RetireError::Disk(in_full(&error))),
        Err(_) => {
            volume.note_slow();
            Err(RetireError::Disk("the disk does not answer".to_owned()))
        }
    }
}

/// Mounts a disk, formatting it first if it is blank; true if it was.
async fn mount(
    env: &Env,
    disk: &DiskId,
    options: &MountOptions,
) -> Result<(Mounted, bool), NotMounted> {
    let device = env.disks().open(disk).await.map_err(|error| NotMounted {
        why: format!("the disk cannot be opened: {error}"),
        hope: if error.kind() == io::ErrorKind::NotFound { Hope::Gone } else { Hope::Retry },
    })?;
    let again = |device: &Arc<dyn Disk>| Volume::mount(env, Arc::clone(device), options.clone());
    match again(&device).await {
        Ok((volume, _)) => return Ok((Mounted { volume, device }, false)),
        Err(MountError::Blank) => {}
        Err(error) => return Err(error.into()),
    }
    let cluster = options.cluster.clone();
    Volume::format(env, &device, FormatOptions { cluster }).await?;
    let (volume, _) = again(&device).await?;
    Ok((Mounted { volume, device }, true))
}

impl From<MountError> for NotMounted {
    fn from(error: MountError) -> Self {
        let hope = match error {
            MountError::Disk { .. } | MountError::Blank => Hope::Retry,
            MountError::Stale { .. } => Hope::Stale,
            MountError::OtherCluster { .. }
            | MountError::TooSmall { .. }
            | MountError::JournalDamaged { .. }
            | MountError::Version { .. } => Hope::Refused,
        };
        Self { why: in_full(&error), hope }
    }
}

impl From<FormatError> for NotMounted {
    fn from(error: FormatError) -> Self {
        let hope = match error {
            FormatError::Disk { .. } => Hope::Retry,
            FormatError::TooSmall { .. } | FormatError::ClusterNameTooLong { .. } => Hope::Refused,
        };
        Self { why: in_full(&error), hope }
    }
}

/// An error with what is behind it.
fn in_full(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
