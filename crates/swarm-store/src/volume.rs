//! A mounted volume: what the rest of a node sees of it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use swarm_env::{Disk, Env};
use swarm_types::{DiskId, FeedId, FeedMark, FeedSlot, Stamp, StreamId, Timestamp, Uuid, VolumeId};
use tokio::sync::{mpsc, oneshot};

use crate::books::{Books, Space};
use crate::commit::{Committer, FEED_BYTES, Noted, QUEUE_MAX, Request, Work};
use crate::counted::{Counters, IoErrors};
use crate::defrag::Defragmented;
use crate::error::{AppendError, FormatError, MountError, PublishError};
use crate::feeds::{FeedPage, SlotCounts, unfinished};
use crate::format::FormatOptions;
use crate::group::Seal;
use crate::hints::Hints;
use crate::index::{Index, IndexError};
use crate::layout::Superblock;
use crate::mount::{MountOptions, MountReport};
use crate::read::{PinnedExtent, Reader};
use crate::record::{Brief, Record, RecordState, Tombstone, brief, decode_value, encode_value};
use crate::service::Service;
use crate::stage::Staged;
use crate::verify::{Examination, Verdict};
use crate::walk::Walk;

/// One mounted disk. Cheap to clone; the volume ends with its last clone or with [`Volume::unmount`].
#[derive(Clone)]
pub struct Volume {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Request>,
}

/// What a volume, its committer, its writers and its readers share.
pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) disk: Arc<dyn Disk>,
    /// The same disk, for reads whose errors say nothing new about it.
    uncounted: Arc<dyn Disk>,
    errors: Arc<Counters>,
    pub(crate) superblock: Superblock,
    pub(crate) seal: Seal,
    pub(crate) index: Arc<dyn Index>,
    books: Mutex<Books>,
    load: AtomicU32,
    /// Number of submissions of the committer that failed.
    pub(crate) failed_syncs: AtomicU64,
    pub(crate) closed: AtomicBool,
    /// Outcomes of feeds that found no room since the mount.
    pub(crate) slots_not_kept: AtomicU64,
    /// Held by the one who defragments.
    pub(crate) defragmenting: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn new(
        env: Env,
        [disk, uncounted]: [Arc<dyn Disk>; 2],
        errors: Arc<Counters>,
        superblock: Superblock,
        index: Arc<dyn Index>,
        books: Mutex<Books>,
    ) -> Self {
        let seal = superblock.seal();
        let (load, failed_syncs, closed) =
            (AtomicU32::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self {
            env,
            disk,
            uncounted,
            errors,
            superblock,
            seal,
            index,
            books,
            load,
            failed_syncs,
            closed,
            slots_not_kept: AtomicU64::new(0),
            defragmenting: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        // Every change of the books is complete before anything in it can panic.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn check_open(&self) -> Result<(), AppendError> {
        if self.closed.load(Ordering::Acquire) { Err(AppendError::Closed) } else { Ok(()) }
    }

    /// What the index says; `None` where the volume is closed, or now is because the index failed.
    fn look_up<T>(&self, look: impl FnOnce(&dyn Index) -> Result<T, IndexError>) -> Option<T> {
        self.check_open().ok()?;
        look(&*self.index).map_err(|why| self.give_up_index(&why)).ok()
    }

    /// What is filed under an id, without its metadata.
    pub(crate) fn filed(&self, id: StreamId) -> Option<Brief> {
        self.look_up(|index| Ok(index.get(id)?.map(|value| brief(&value)).transpose()?)).flatten()
    }

    /// Closes the volume: only a mount can rebuild the index. Without a mark it will.
    pub(crate) fn give_up_index(&self, why: &IndexError) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            tracing::error!(volume = %self.superblock.volume, %why, "index failed, volume closed");
            // It may fail as well; its mark is judged against the journal anyway.
            drop(self.index.apply(Vec::new(), None));
        }
    }
}

impl Volume {
    /// Makes a disk an empty volume; whatever it held is lost. Durable on return.
    ///
    /// # Errors
    /// See [`FormatError`].
    pub async fn format(
        env: &Env,
        disk: &Arc<dyn Disk>,
        options: FormatOptions,
    ) -> Result<VolumeId, FormatError> {
        crate::format::format(env, disk, options).await
    }

    /// Opens a volume: reads its journal, brings the index up to date, verifies what was added since the last checkpoint
    /// unless it was unmounted in good order, and notes durably that it is in use.
    ///
    /// # Errors
    /// See [`MountError`]; nothing was changed then, except after [`MountError::Disk`].
    pub async fn mount(
        env: &Env,
        disk: Arc<dyn Disk>,
        options: MountOptions,
    ) -> Result<(Self, MountReport), MountError> {
        crate::mount::mount(env, disk, options).await
    }

    /// Starts the committer of a volume that was just opened.
    pub(crate) fn start(shared: Arc<Shared>, committer: Committer) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        drop(shared.env.spawn("store.commit", committer.run(requests)));
        Self { shared, queue }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its id, for its whole life.
    #[must_use]
    pub fn id(&self) -> VolumeId {
        self.shared.superblock.volume
    }

    /// The disk that it is on.
    #[must_use]
    pub fn disk_id(&self) -> &DiskId {
        self.shared.disk.id()
    }

    /// How many requests wait for a commit group, and how many may.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        (self.queue.max_capacity() - self.queue.capacity(), self.queue.max_capacity())
    }

    /// How full it is.
    #[must_use]
    pub fn space(&self) -> Space {
        let device_room = self.shared.disk.room();
        self.shared.books().space(device_room)
    }

    /// Operations in flight: bodies being written or read, changes being committed.
    #[must_use]
    pub fn load(&self) -> u32 {
        self.shared.load.load(Ordering::Relaxed)
    }

    /// What is filed under an id, from the index: durable, without I/O on the volume. `None` also when the volume is
    /// closed.
    #[must_use]
    pub fn find(&self, id: StreamId) -> Option<Record> {
        let found = self.look_up(|index| match index.get(id)? {
            Some(value) => Ok(Some(decode_value(id, &value)?)),
            None => Ok(None),
        });
        found.flatten()
    }

    /// Up to `limit` records behind this id, in the order of ids.
    #[must_use]
    pub fn records(&self, after: Option<StreamId>, limit: usize) -> Vec<Record> {
        let page = self.look_up(|index| {
            let page = index.scan(after, limit)?;
            page.iter().map(|(id, value)| Ok(decode_value(*id, value)?)).collect()
        });
        page.unwrap_or_default()
    }

    fn look_up<T>(&self, look: impl FnOnce(&dyn Index) -> Result<T, IndexError>) -> Option<T> {
        self.shared.look_up(look)
    }

    /// Reserves room for a body of exactly `length` bytes.
    ///
    /// # Errors
    /// [`AppendError::Full`], [`AppendError::Closed`].
    pub fn stage(&self, id: StreamId, length: u64) -> Result<Staged, AppendError> {
        Staged::new(self.clone(), id, length)
    }

    /// Files a tombstone in place of whatever older is filed under the id; durable on return. An equal stamp that is filed
    /// already is success too.
    ///
    /// # Errors
    /// [`PublishError::Superseded`] where something newer is filed, or that it could not be written.
    pub async fn bury(&self, id: StreamId, tombstone: Tombstone) -> Result<(), PublishError> {
        let stamp = tombstone.stamp;
        let value = encode_value(&Record { id, stamp, state: RecordState::Tombstone(tombstone) });
        self.ask(Work::Bury { id, stamp, value }).await?;
        Ok(())
    }

    /// Removes exactly this replica, not a tombstone, if it is what is filed; durable on return. True if it was removed.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn remove(&self, id: StreamId, stamp: Stamp) -> Result<bool, AppendError> {
        Ok(self.append(Work::Remove { id, stamp }).await? > 0)
    }

    /// Removes exactly this copy if it is what is filed, and marked as known to be bad; durable on return. True if it was removed: a
    /// copy that took its place meanwhile, even of the same version, and one whose mark was taken back stay.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn remove_quarantined(&self, record: &Record) -> Result<bool, AppendError> {
        let Some(number) = record.extent().map(|extent| extent.number) else { return Ok(false) };
        let work = Work::RemoveQuarantined { id: record.id, stamp: record.stamp, number };
        Ok(self.append(work).await? > 0)
    }

    /// Changes which volumes are said to hold other replicas of exactly this version; durable on return. The body is not
    /// touched, and nothing is written where the hints are these already. True if that version is filed.
    ///
    /// # Errors
    /// [`AppendError::Full`] where the journal has no room for them, [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn set_hints(
        &self,
        id: StreamId,
        stamp: Stamp,
        hints: Hints,
    ) -> Result<bool, AppendError> {
        Ok(self.append(Work::Note { id, stamp, what: Noted::Hints(hints) }).await? > 0)
    }

    /// Marks exactly this replica as known to be bad, or takes that back; durable on return. A quarantined replica stays
    /// filed and readable block by block, and gives way to a replica of the same version. True if it is still the one that
    /// is filed: a copy that took its place meanwhile, even of the same version, is not marked.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn set_quarantined(
        &self,
        record: &Record,
        quarantined: bool,
    ) -> Result<bool, AppendError> {
        let Some(number) = record.extent().map(|extent| extent.number) else { return Ok(false) };
        let what = Noted::Quarantined { number, quarantined };
        Ok(self.append(Work::Note { id: record.id, stamp: record.stamp, what }).await? > 0)
    }

    /// What the volume is for, as durably marked.
    #[must_use]
    pub fn service(&self) -> Service {
        self.shared.books().marks.service
    }

    /// Marks what the volume is for; durable on return. The mark travels with the disk. Whether a change makes sense is
    /// for the caller to judge.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn set_service(&self, service: Service) -> Result<(), AppendError> {
        self.append(Work::Service(service)).await.map(|_| ())
    }

    /// Marks a volume that is being emptied as retired, if nothing is filed there any more, not even the memory of a delete;
    /// durable on return. From then on it takes nothing, whatever was being written meanwhile. False where it is not being
    /// emptied, or not empty.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn retire_if_empty(&self) -> Result<bool, AppendError> {
        let is_due = {
            let books = self.shared.books();
            matches!(books.marks.service, Service::Retiring(_)) && books.totals.is_empty()
        };
        Ok(is_due && self.append(Work::RetireIfEmpty).await? > 0)
    }

    /// Notes what feeds have come to with exactly these versions, replicas or deletes; durable on return, nothing is
    /// written where it is known already. The number of outcomes that are filed now: not those of versions that are not
    /// filed any more, and not those for which the journal had no room, which [`Self::feed_slots_not_kept`] counts. Where a
    /// stream has no place for another slot, those of feeds that are not `known` make way.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn settle_feeds(
        &self,
        mut settled: Vec<(StreamId, Stamp, FeedSlot)>,
        known: Arc<[(FeedId, FeedMark)]>,
    ) -> Result<u64, AppendError> {
        let most = (self.shared.superblock.layout.group_payload_max() / FEED_BYTES).max(1);
        let mut kept = 0;
        while !settled.is_empty() {
            let rest = settled.split_off(settled.len().min(most));
            kept += self.append(Work::Feed { settled, known: Arc::clone(&known) }).await?;
            settled = rest;
        }
        Ok(kept)
    }

    /// Since when it may have missed what happened to its streams, as durably marked: it was away, and no walk has compared
    /// it with the others since. By the clock of the node that had it then.
    #[must_use]
    pub fn behind_since(&self) -> Option<Timestamp> {
        self.shared.books().marks.behind
    }

    /// Marks that it has missed nothing any more; durable on return. Whether that is so is for the caller to judge, who must
    /// have begun to look after this mount.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn caught_up(&self) -> Result<(), AppendError> {
        if self.behind_since().is_some() {
            self.append(Work::CaughtUp).await?;
        }
        Ok(())
    }

    /// Tells this mount of the volume from earlier ones.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.books().epoch()
    }

    /// Outcomes of feeds that were not kept since the mount because the journal has no room for them.
    #[must_use]
    pub fn feed_slots_not_kept(&self) -> u64 {
        self.shared.slots_not_kept.load(Ordering::Relaxed)
    }

    /// Looks at up to `scan` records behind this id for those with which one of these feeds has not finished: without a
    /// final slot of that mark.
    #[must_use]
    pub fn feed_page(
        &self,
        of: &[(FeedId, FeedMark)],
        after: Option<StreamId>,
        scan: usize,
    ) -> FeedPage {
        self.look_up(|index| unfinished(index, of, after, scan)).unwrap_or_default()
    }

    /// How many streams have come to which outcome with a feed. Costs no look at them.
    #[must_use]
    pub fn feed_counts(&self, feed: FeedId, mark: FeedMark) -> SlotCounts {
        self.shared.books().feeds.counts(feed, mark)
    }

    /// The bucket or domain with this alias, a deleted one too if its tombstone knows it; the lowest id where there are
    /// several.
    #[must_use]
    pub fn context(&self, alias: Uuid) -> Option<StreamId> {
        self.shared.books().feeds.context(alias)
    }

    /// The table of feeds that was filed last; empty if none was.
    #[must_use]
    pub fn feed_table(&self) -> Bytes {
        self.shared.books().marks.table.clone()
    }

    /// Files a table of feeds in place of the one before; durable on return. It travels with the disk. What it says, and
    /// which of two is the newer, is for the caller to judge.
    ///
    /// # Errors
    /// [`AppendError::MetadataTooLarge`] beyond [`crate::FEED_TABLE_MAX`], or beyond what the journal of a small device
    /// takes at once; [`AppendError::Full`], [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn set_feed_table(&self, table: Bytes) -> Result<(), AppendError> {
        let limit = self.shared.superblock.layout.feed_table_max();
        if table.len() > limit {
            let (bytes, limit) = (table.len() as u64, limit as u64);
            return Err(AppendError::MetadataTooLarge { bytes, limit });
        }
        self.append(Work::FeedTable(table)).await.map(|_| ())
    }

    /// Drops exactly this tombstone, if it is what is filed; durable on return. True if it was dropped.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn forget(&self, id: StreamId, stamp: Stamp) -> Result<bool, AppendError> {
        Ok(self.append(Work::Forget { id, stamp }).await? > 0)
    }

    /// Up to `limit` records of a walk; none only when the walk is done or the volume is closed.
    #[must_use]
    pub fn walk(&self, walk: &mut Walk, limit: usize) -> Vec<Record> {
        self.look_up(|index| walk.next(index, limit)).unwrap_or_default()
    }

    /// The body of a record, wherever it lies now; `None` for a tombstone, and where this version is not filed any more.
    /// While the reader lives, the room of what it reads is not used for anything else.
    #[must_use]
    pub fn open(&self, record: &Record) -> Option<Reader> {
        Some(Reader::new(&self.shared, PinnedExtent::new(&self.shared, record)?))
    }

    /// Begins to verify a record block by block; `None` where there is nothing to verify: for a tombstone, and where this
    /// version is not filed any more.
    #[must_use]
    pub fn examine(&self, record: &Record) -> Option<Examination> {
        self.examine_on(&self.shared.disk, record)
    }

    /// Verifies a record at once: every block and the table of checksums against what was published. Reads the whole body
    /// at bounded memory; sets no mark.
    ///
    /// The stored MD5 is not computed: it covers headers that only the writer can put together, costs thirty times as much,
    /// and tells nothing of the disk that the checksums do not.
    pub async fn verify(&self, record: &Record) -> Verdict {
        self.verify_on(&self.shared.disk, record).await
    }

    /// [`Volume::verify`], of a record that is known to be bad: that it cannot be read is not counted as one more error of
    /// the disk, however often somebody asks.
    pub async fn verify_again(&self, record: &Record) -> Verdict {
        self.verify_on(&self.shared.uncounted, record).await
    }

    fn examine_on(&self, disk: &Arc<dyn Disk>, record: &Record) -> Option<Examination> {
        let pinned = PinnedExtent::new(&self.shared, record)?;
        Some(Examination::new(&self.shared, Arc::clone(disk), pinned))
    }

    async fn verify_on(&self, disk: &Arc<dyn Disk>, record: &Record) -> Verdict {
        if record.is_tombstone() {
            return Verdict::Whole;
        }
        let Some(mut examination) = self.examine_on(disk, record) else { return Verdict::Gone };
        loop {
            if let Some(verdict) = examination.step().await {
                return verdict;
            }
        }
    }

    /// Turns trapped space into free space: moves bodies from the end of the volume into its holes and lets the end come
    /// down, until about `budget` bytes are copied, at least one body if there is something to gain. Each move is durable
    /// on its own, so that a crash at any time leaves each body at the one place or the other; readers are not disturbed.
    /// One call at a time, a second one waits.
    ///
    /// # Errors
    /// [`AppendError::Disk`] where a write failed, [`AppendError::Closed`]. What was moved stays moved.
    pub async fn defragment(&self, budget: u64) -> Result<Defragmented, AppendError> {
        crate::defrag::defragment(self, budget).await
    }

    /// Errors of the disk since the mount.
    #[must_use]
    pub fn io_errors(&self) -> IoErrors {
        self.shared.errors.now()
    }

    /// Counts an operation that the caller gave up waiting for as an error.
    pub fn note_slow(&self) {
        self.shared.errors.slow();
    }

    /// Gives the volume up without another word to its disk, which went away or is to: from now on every call fails with
    /// [`AppendError::Closed`] or [`crate::ReadError::Gone`]. Those that wait are told so when the disk answers what it was
    /// given before. The disk can be opened again when the last clone, reader and body being written are gone.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        let (answer, _) = oneshot::channel();
        // Wakes the committer, so that it ends. If the queue is full it is awake.
        drop(self.queue.try_send(Request { work: Work::Touch, answer }));
    }

    /// True once nothing can be asked of it any more: it was unmounted or closed, or its index failed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.check_open().is_err()
    }

    /// Notes that the volume is in use, so that it does not become stale; durable on return.
    ///
    /// # Errors
    /// [`AppendError::Disk`], [`AppendError::Closed`].
    pub async fn touch(&self) -> Result<(), AppendError> {
        self.append(Work::Touch).await.map(|_| ())
    }

    /// Unmounts: what was asked before is completed, then the volume is marked clean, durably. Later calls fail with
    /// [`AppendError::Closed`].
    ///
    /// # Errors
    /// [`AppendError::Disk`], where the volume stays mounted; [`AppendError::Closed`].
    pub async fn unmount(&self) -> Result<(), AppendError> {
        self.append(Work::Close).await.map(|_| ())
    }

    /// Hands a change to the committer and waits for the outcome. A caller that goes away does not recall it.
    pub(crate) async fn ask(&self, work: Work) -> Result<u64, PublishError> {
        self.shared.check_open()?;
        let _in_flight = InFlight::new(&self.shared);
        let (answer, outcome) = oneshot::channel();
        self.queue.send(Request { work, answer }).await.map_err(|_| AppendError::Closed)?;
        outcome.await.map_err(|_| AppendError::Closed)?
    }

    pub(crate) async fn append(&self, work: Work) -> Result<u64, AppendError> {
        self.ask(work).await.map_err(|error| match error {
            PublishError::Append(error) => error,
            PublishError::Superseded { .. } => unreachable!("only publish and bury are superseded"),
        })
    }
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Volume({} on {})", self.id(), self.disk_id())
    }
}

/// Counts one operation in flight while it lives.
pub(crate) struct InFlight {
    shared: Arc<Shared>,
}

impl InFlight {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.load.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared) }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shared.load.fetch_sub(1, Ordering::Relaxed);
    }
}
