//! Group commit: the one task per volume that writes its journal.
//!
//! Owns the order of things: a group's data and records go to the disk in one submission, its sync completes, only then
//! are the index and the books told and the callers answered (`docs/on-disk.md`, "Commit"). No timer: while a group is
//! being synced the next one gathers in the queue.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use swarm_env::{Bug, Point, SyncMode};
use swarm_types::{FeedId, FeedMark, FeedSlot, Stamp, StreamId};
use tokio::sync::{mpsc, oneshot};

use crate::books::Resettled;
use crate::codec::Malformed;
use crate::error::{AppendError, PublishError, copy_of};
use crate::extent::Extent;
use crate::feeds::Share;
use crate::group::{Encoding, GroupHeader, GroupKind, HalfHeader, HalfState, group_size};
use crate::index::{IndexError, Mark};
use crate::journal::{ChosenHalf, Tail};
use crate::record::{
    Brief, Entry, Known, Note, brief, gist, in_place_of, known, with_extent, with_note, with_slots,
};
use crate::service::Service;
use crate::stage::Reservation;
use crate::volume::Shared;

mod work;

pub(crate) use work::{FEED_BYTES, Follows, Noted, Request, Work};
use work::{data_of, payload_of};

/// Requests that may wait for a group; beyond it callers wait to be queued.
pub(crate) const QUEUE_MAX: usize = 64;

/// Most data that one group writes beside its records: bounds memory and the time that its first caller waits.
const GROUP_DATA_MAX: usize = 4 << 20;

/// Why a group was not written; every caller in it gets the same.
pub(crate) enum Failure {
    Disk(io::Error),
    Full { needed: u64, free: u64 },
    Index(IndexError),
}

/// Where the next group goes and what it chains to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) which: usize,
    pub(crate) header: HalfHeader,
    pub(crate) sequence: u64,
    pub(crate) previous: u32,
    pub(crate) epoch: u32,
    pub(crate) offset: u64,
}

impl Position {
    /// Behind the last group of a journal that was just read.
    pub(crate) fn behind(half: &ChosenHalf, tail: &Tail, epoch: u32) -> Self {
        let last = &tail.last.chained;
        Self {
            which: half.which,
            header: half.header,
            sequence: last.header.sequence + 1,
            previous: last.checksum,
            epoch,
            offset: tail.next_offset,
        }
    }
}

/// The writer of one volume's journal.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) position: Position,
    /// Highest generation ever begun: one given up is not begun again, so that what it left cannot be mistaken for a part
    /// of another.
    pub(crate) generation_tried: u64,
    /// A switch to another half that is durable in part; nothing is written before it is complete.
    pub(crate) switch: Option<Switch>,
}

/// The two writes that make another half the one that counts, each synced before the next. Repeating them does no harm.
pub(crate) struct Switch {
    pub(crate) steps: Vec<(u64, Bytes)>,
    pub(crate) then: Position,
}

/// A group being put together.
#[derive(Default)]
struct Draft {
    payload: Vec<u8>,
    records: u32,
    writes: Vec<(u64, Bytes)>,
    changes: BTreeMap<StreamId, Option<Vec<u8>>>,
    /// Growth of the records that a checkpoint holds.
    record_bytes: i64,
    /// End of the last extent.
    end: u64,
    /// Where the head comes down to.
    lowered: Option<u64>,
    service: Option<Service>,
    table: Option<Bytes>,
    caught_up: bool,
    reservations: Vec<Reservation>,
}

impl Draft {
    fn add_extent(
        &mut self,
        extent: &Extent,
        tail: Option<(u64, Bytes)>,
        reservation: Reservation,
    ) {
        self.end = self.end.max(extent.end());
        self.writes.extend(tail);
        self.reservations.push(reservation);
    }

    fn push(&mut self, entry: &Entry) {
        entry.encode(&mut self.payload);
        self.records += 1;
    }
}

/// Adds what the volume is for; always 1.
fn mark(draft: &mut Draft, service: Service) -> u64 {
    draft.push(&Entry::Service(service));
    draft.service = Some(service);
    1
}

/// What is filed under an id.
struct Filed {
    value: Vec<u8>,
    brief: Brief,
    /// None for a tombstone.
    known: Option<Known>,
}

type Answers = Vec<(oneshot::Sender<Result<u64, PublishError>>, Result<u64, PublishError>)>;

impl Committer {
    /// A writer that goes on behind a journal that was just read.
    pub(crate) fn new(shared: Arc<Shared>, half: &ChosenHalf, tail: &Tail, epoch: u32) -> Self {
        let position = Position::behind(half, tail, epoch);
        let generation_tried = position.header.generation;
        // A crash came between the two steps of a switch, or it cannot be known whether the second is durable: the old
        // half is still to be marked.
        let unmarked = |other: &HalfHeader| other.state == HalfState::Active || tail.is_bare();
        let switch = half.other.filter(unmarked).map(|other| {
            let superseded = HalfHeader { state: HalfState::Superseded, ..other };
            let at = shared.superblock.layout.halves[1 - half.which];
            Switch { steps: vec![(at, superseded.encode(&shared.seal).into())], then: position }
        });
        Self { shared, position, generation_tried, switch }
    }

    /// Serves requests until the volume is unmounted or nobody can ask any more.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut waiting = queue.recv().await;
        while let Some(first) = waiting.take() {
            let mut batch = vec![first];
            waiting = self.gather(&mut batch, &mut queue);
            if self.shared.check_open().is_err() {
                // Who waits in the queue hears that nobody answers any more.
                return;
            }
            let closing = matches!(batch.last(), Some(Request { work: Work::Close, .. }));
            let close = if closing { batch.pop() } else { None };
            self.commit(batch).await;
            if let Some(close) = close {
                let unmounted = self.close().await;
                let closed = unmounted.is_ok();
                let answer =
                    unmounted.map(|()| 0).map_err(|failure| self.shared.error(&failure).into());
                // The caller may have gone; the volume is unmounted all the same.
                drop(close.answer.send(answer));
                if closed {
                    return;
                }
            }
            if waiting.is_none() {
                waiting = queue.recv().await;
            }
        }
    }

    /// Takes what is queued, up to the size of a group; hands back what did not fit any more.
    fn gather(
        &self,
        batch: &mut Vec<Request>,
        queue: &mut mpsc::Receiver<Request>,
    ) -> Option<Request> {
        let payload_max = self.shared.superblock.layout.group_payload_max();
        let (mut payload, mut data) = (0, 0);
        for request in batch.iter() {
            payload += payload_of(&request.work);
            data += data_of(&request.work);
        }
        while !matches!(batch.last(), Some(Request { work: Work::Close, .. })) {
            let request = queue.try_recv().ok()?;
            payload += payload_of(&request.work);
            data += data_of(&request.work);
            if payload > payload_max || data > GROUP_DATA_MAX {
                return Some(request);
            }
            batch.push(request);
        }
        None
    }

    /// Writes one group of everything in the batch that changes something, then answers everybody.
    async fn commit(&mut self, batch: Vec<Request>) {
        let touches = batch.iter().any(|request| matches!(request.work, Work::Touch));
        let mut draft = Draft::default();
        let mut answers: Answers = Vec::with_capacity(batch.len());
        for request in batch {
            let answer = self.add(request.work, &mut draft);
            answers.push((request.answer, answer));
        }
        let written = if draft.records == 0 && !touches { Ok(()) } else { self.write(draft).await };
        for (caller, answer) in answers {
            let answer = match &written {
                Ok(()) => answer,
                Err(failure) => answer.and_then(|_| Err(self.shared.error(failure).into())),
            };
            // The caller may have gone; what was committed stays committed.
            drop(caller.send(answer));
        }
    }

    /// Judges one change against what is filed and what the group already changes, and adds it to the group.
    fn add(&self, work: Work, draft: &mut Draft) -> Result<u64, PublishError> {
        match work {
            Work::Publish { id, stamp, follows, value, extent, tail, reservation } => {
                self.check_service(draft)?;
                self.check_sync(&reservation)?;
                let limit = self.shared.superblock.layout.records_max();
                if self.file(draft, id, (stamp, follows), value, limit)? {
                    draft.add_extent(&extent, tail, reservation);
                }
                Ok(0)
            }
            Work::Move { id, stamp, from, extent, tail, reservation, .. } => {
                self.check_sync(&reservation)?;
                let moved = self.move_to(draft, id, stamp, from, &extent)?;
                if moved > 0 {
                    draft.add_extent(&extent, tail, reservation);
                }
                Ok(moved)
            }
            Work::Lower => Ok(self.lower(draft)),
            Work::Bury { id, stamp, value } => {
                self.check_service(draft)?;
                let limit = self.shared.superblock.layout.tombstones_max();
                self.file(draft, id, (stamp, None), value, limit)?;
                Ok(0)
            }
            Work::Remove { id, stamp } => {
                self.remove(draft, id, stamp, |filed| filed.brief.extent.is_some())
            }
            Work::RemoveQuarantined { id, stamp, number } => {
                self.remove(draft, id, stamp, |filed| {
                    filed.brief.extent.is_some_and(|extent| extent.number == number)
                        && filed.known.as_ref().is_some_and(|known| known.quarantined)
                })
            }
            Work::Forget { id, stamp } => {
                self.remove(draft, id, stamp, |filed| filed.brief.extent.is_none())
            }
            Work::Note { id, stamp, what } => self.note(draft, id, stamp, what),
            Work::Service(service) => Ok(mark(draft, service)),
            Work::RetireIfEmpty => Ok(self.retire_if_empty(draft)),
            Work::Feed { settled, known } => settled
                .into_iter()
                .try_fold(0, |count, of| Ok(count + u64::from(self.settle(draft, of, &known)?))),
            Work::FeedTable(table) => self.keep_table(draft, table),
            Work::CaughtUp => {
                draft.push(&Entry::Behind(None));
                draft.caught_up = true;
                Ok(1)
            }
            Work::Touch | Work::Close => Ok(0),
        }
    }

    /// Marks the volume as retired if nothing is filed, in this group neither; 1 if it was.
    fn retire_if_empty(&self, draft: &mut Draft) -> u64 {
        let Service::Retiring(retire) = self.service(draft) else { return 0 };
        let fills = draft.changes.values().any(Option::is_some);
        if fills || !self.shared.books().totals.is_empty() {
            return 0;
        }
        mark(draft, Service::Retired(retire));
        1
    }

    /// What the volume is for when the group is committed.
    fn service(&self, draft: &Draft) -> Service {
        draft.service.unwrap_or_else(|| self.shared.books().marks.service)
    }

    /// A retired volume is empty for good: nobody looks after what would be filed there.
    fn check_service(&self, draft: &Draft) -> Result<(), PublishError> {
        if matches!(self.service(draft), Service::Retired(_)) {
            return Err(AppendError::Retired { volume: self.shared.superblock.volume }.into());
        }
        Ok(())
    }

    /// Refuses an extent of which a part may have been lost with a failed sync.
    fn check_sync(&self, reservation: &Reservation) -> Result<(), PublishError> {
        if reservation.lost_to_failed_sync() {
            let source = io::Error::other("an earlier sync failed");
            return Err(self.shared.disk_error(source).into());
        }
        Ok(())
    }

    /// Adds the new place of a replica; 1 if it was at the old one.
    fn move_to(
        &self,
        draft: &mut Draft,
        id: StreamId,
        stamp: Stamp,
        from: u64,
        to: &Extent,
    ) -> Result<u64, PublishError> {
        let Some(filed) = self.filed(draft, id)? else { return Ok(0) };
        let is_meant = filed.brief.stamp == stamp
            && filed.brief.extent.is_some_and(|extent| extent.number == from);
        if !is_meant {
            return Ok(0);
        }
        let value = with_extent(&filed.value, to).map_err(|error| self.failed(error))?;
        draft.push(&Entry::File { id, value: value.clone() });
        draft.changes.insert(id, Some(value));
        Ok(1)
    }

    /// Lets the head come down as far as it can; 1 if it does.
    fn lower(&self, draft: &mut Draft) -> u64 {
        let books = self.shared.books();
        let head = books.room.lowest_head().max(draft.end);
        if head >= books.room.head() {
            return 0;
        }
        drop(books);
        draft.push(&Entry::Space { head });
        draft.lowered = Some(head);
        1
    }

    /// Adds a replica or tombstone, if it is newer than what is filed, and nothing came in between that must not; false if it is
    /// filed already.
    fn file(
        &self,
        draft: &mut Draft,
        id: StreamId,
        (stamp, follows): (Stamp, Option<Follows>),
        mut value: Vec<u8>,
        limit: u64,
    ) -> Result<bool, PublishError> {
        let filed = self.filed(draft, id)?;
        if let Some(filed) = &filed {
            let is_bad = filed.known.as_ref().is_some_and(|known| known.quarantined);
            let is_tombstone = filed.known.is_none();
            let gives_way =
                follows.is_some_and(|it| it.gives_way_to(filed.brief.stamp, is_tombstone));
            if filed.brief.stamp > stamp || gives_way && filed.brief.stamp != stamp {
                return Err(PublishError::Superseded { by: filed.brief.stamp });
            }
            if filed.brief.stamp == stamp {
                if !is_bad {
                    return Ok(false);
                }
                value = in_place_of(value, &filed.value).map_err(|error| self.failed(error))?;
            }
        }
        let freed = filed.map_or(0, |filed| Entry::framed(&filed.value));
        let growth = signed(Entry::framed(&value)) - signed(freed);
        self.check_room(draft, growth, limit)?;
        draft.record_bytes += growth;
        draft.push(&Entry::File { id, value: value.clone() });
        draft.changes.insert(id, Some(value));
        Ok(true)
    }

    /// Refuses what would let the records outgrow their share of the journal.
    fn check_room(&self, draft: &Draft, growth: i64, limit: u64) -> Result<(), PublishError> {
        if self.has_room(draft, growth, limit) {
            return Ok(());
        }
        let records = self.records(draft);
        let full = Failure::Full {
            needed: u64::try_from(growth).unwrap_or(0),
            free: u64::try_from(signed(limit) - records).unwrap_or(0),
        };
        Err(self.shared.error(&full).into())
    }

    /// Whether that leaves the records within their share of the journal.
    fn has_room(&self, draft: &Draft, growth: i64, limit: u64) -> bool {
        growth <= 0 || self.records(draft) + growth <= signed(limit)
    }

    /// Bytes that a checkpoint needs once the group is written.
    fn records(&self, draft: &Draft) -> i64 {
        signed(self.shared.books().checkpoint_bytes()) + draft.record_bytes
    }

    fn remove(
        &self,
        draft: &mut Draft,
        id: StreamId,
        stamp: Stamp,
        is_meant: impl Fn(&Filed) -> bool,
    ) -> Result<u64, PublishError> {
        let Some(filed) = self.filed(draft, id)? else { return Ok(0) };
        if filed.brief.stamp != stamp || !is_meant(&filed) {
            return Ok(0);
        }
        draft.record_bytes -= signed(Entry::framed(&filed.value));
        draft.push(&Entry::Remove { id, stamp });
        draft.changes.insert(id, None);
        Ok(1)
    }

    /// Adds what is new about a replica; 1 if that replica is filed.
    fn note(
        &self,
        draft: &mut Draft,
        id: StreamId,
        stamp: Stamp,
        what: Noted,
    ) -> Result<u64, PublishError> {
        let Some(filed) = self.filed(draft, id)? else { return Ok(0) };
        let Some(extent) = filed.brief.extent.filter(|_| filed.brief.stamp == stamp) else {
            return Ok(0);
        };
        let Some(mut known) = filed.known else { return Ok(0) };
        match what {
            Noted::Hints(hints) => known.hints = hints,
            Noted::Quarantined { number, .. } if number != extent.number => return Ok(0),
            Noted::Quarantined { quarantined, .. } => known.quarantined = quarantined,
        }
        let note = Note { stamp, number: extent.number, known };
        let value = with_note(&filed.value, &note).map_err(|error| self.failed(error))?;
        let Some(value) = value else { return Ok(0) };
        if value == filed.value {
            return Ok(1);
        }
        let growth = signed(value.len() as u64) - signed(filed.value.len() as u64);
        self.check_room(draft, growth, self.shared.superblock.layout.records_max())?;
        draft.record_bytes += growth;
        draft.push(&Entry::Note { id, note });
        draft.changes.insert(id, Some(value));
        Ok(1)
    }

    /// Adds what a feed has come to with a version; true if it is filed then. A journal without room leaves it out, which
    /// costs the feed a question to its target.
    fn settle(
        &self,
        draft: &mut Draft,
        (id, stamp, slot): (StreamId, Stamp, FeedSlot),
        known: &[(FeedId, FeedMark)],
    ) -> Result<bool, PublishError> {
        let Some(filed) = self.filed(draft, id)?.filter(|filed| filed.brief.stamp == stamp) else {
            return Ok(false);
        };
        let mut slots = gist(&filed.value).map_err(|error| self.failed(error))?.slots;
        slots.set_among(slot, |feed, mark| known.contains(&(feed, mark)));
        let value = with_slots(&filed.value, stamp, &slots).map_err(|error| self.failed(error))?;
        let Some(value) = value else { return Ok(false) };
        if value == filed.value {
            return Ok(true);
        }
        let growth = signed(value.len() as u64) - signed(filed.value.len() as u64);
        if !self.has_room(draft, growth, self.shared.superblock.layout.slots_max()) {
            self.shared.slots_not_kept.fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        }
        draft.record_bytes += growth;
        draft.push(&Entry::Feed { id, stamp, slots });
        draft.changes.insert(id, Some(value));
        Ok(true)
    }

    /// Adds a table of feeds, if it is another one.
    fn keep_table(&self, draft: &mut Draft, table: Bytes) -> Result<u64, PublishError> {
        let kept = draft.table.clone().unwrap_or_else(|| self.shared.books().marks.table.clone());
        if table == kept {
            return Ok(0);
        }
        let growth = signed(table.len() as u64) - signed(kept.len() as u64);
        self.check_room(draft, growth, self.shared.superblock.layout.tombstones_max())?;
        draft.record_bytes += growth;
        draft.push(&Entry::FeedTable(table.clone()));
        draft.table = Some(table);
        Ok(0)
    }

    /// What a caller is told of a value that is no record.
    fn failed(&self, error: Malformed) -> AppendError {
        self.shared.error(&Failure::Index(error.into()))
    }

    /// What is filed under an id once the group is written.
    fn filed(&self, draft: &Draft, id: StreamId) -> Result<Option<Filed>, PublishError> {
        let value = match draft.changes.get(&id) {
            Some(change) => change.clone(),
            None => self
                .shared
                .index
                .get(id)
                .map_err(|error| self.shared.error(&Failure::Index(error)))?,
        };
        let Some(value) = value else { return Ok(None) };
        let brief = brief(&value).map_err(|error| self.failed(error))?;
        let known = known(&value).map_err(|error| self.failed(error))?;
        Ok(Some(Filed { value, brief, known }))
    }

    /// Makes a group durable, then visible.
    async fn write(&mut self, draft: Draft) -> Result<(), Failure> {
        let Draft { payload, records, writes, changes, end, lowered, caught_up, .. } = draft;
        let (service, table, reservations) = (draft.service, draft.table, draft.reservations);
        self.write_group(GroupKind::Commit, &payload, records, writes).await?;
        self.tell(changes, lowered, end)?;
        let mut books = self.shared.books();
        books.marks.service = service.unwrap_or(books.marks.service);
        books.marks.behind = books.marks.behind.filter(|_| !caught_up);
        if let Some(table) = table {
            books.marks.table = table;
        }
        drop(books);
        // Only now may the room of what was staged be counted anew.
        drop(reservations);
        Ok(())
    }

    /// Tells index and books of a durable group.
    fn tell(
        &self,
        changes: BTreeMap<StreamId, Option<Vec<u8>>>,
        lowered: Option<u64>,
        end: u64,
    ) -> Result<(), Failure> {
        let failed = |error: Malformed| Failure::Index(error.into());
        let mut totals = self.shared.books().totals;
        let mut resettled = Resettled { lowered, end, ..Resettled::default() };
        for (id, value) in &changes {
            if let Some(old) = self.shared.index.get(*id).map_err(Failure::Index)? {
                totals.subtract(*id, &old).map_err(failed)?;
                let extent = brief(&old).map_err(failed)?.extent;
                resettled.forgotten.extend(extent.map(|extent| (*id, extent)));
                resettled.unsummed.extend(Share::of(*id, &old).map_err(failed)?);
            }
            if let Some(new) = value {
                totals.add(*id, new).map_err(failed)?;
                let extent = brief(new).map_err(failed)?.extent;
                resettled.filed.extend(extent.map(|extent| (*id, extent)));
                resettled.summed.extend(Share::of(*id, new).map_err(failed)?);
            }
        }
        let mark = Mark {
            volume: self.shared.superblock.volume,
            generation: self.position.header.generation,
            sequence: self.position.sequence - 1,
            checksum: self.position.previous,
            totals,
        };
        self.shared
            .index
            .apply(changes.into_iter().collect(), Some(&mark))
            .map_err(Failure::Index)?;
        self.shared.books().committed(totals, resettled);
        Ok(())
    }

    /// The first group after a mount: puts right what the crash had left, and claims the epoch.
    pub(crate) async fn open(
        &mut self,
        repairs: Vec<(u64, Bytes)>,
        restated: Vec<Entry>,
    ) -> Result<(), AppendError> {
        let mut draft = Draft { writes: repairs, ..Draft::default() };
        restated.iter().for_each(|entry| draft.push(entry));
        let opened = async {
            let old = self.position.header.encoding != Encoding::NEWEST;
            if old || draft.payload.len() > self.shared.superblock.layout.group_payload_max() {
                // The index is right already: a checkpoint says the same, and in the newest encoding.
                self.checkpoint().await?;
                (draft.payload, draft.records) = (Vec::new(), 0);
            }
            self.write_group(GroupKind::Mount, &draft.payload, draft.records, draft.writes).await?;
            self.tell(BTreeMap::new(), None, 0)
        };
        opened.await.map_err(|failure| self.shared.error(&failure))
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.write_group(GroupKind::Clean, &[], 0, Vec::new()).await?;
        self.tell(BTreeMap::new(), None, 0)?;
        self.shared.closed.store(true, Ordering::Release);
        if let Err(error) = self.shared.index.flush() {
            // The volume is clean all the same: the next mount rebuilds the index.
            tracing::warn!(volume = %self.shared.superblock.volume, why = %error, "index not flushed");
        }
        Ok(())
    }

    /// Writes data and one group, and waits until both are durable. After a failure the next group takes its place.
    async fn write_group(
        &mut self,
        kind: GroupKind,
        payload: &[u8],
        records: u32,
        mut writes: Vec<(u64, Bytes)>,
    ) -> Result<(), Failure> {
        self.make_room(group_size(payload.len())).await?;
        let header = self.next_header(kind, payload, records);
        let (bytes, checksum) = header.encode(&self.shared.seal, payload);
        writes.push((self.position.offset, bytes.into()));
        if self.shared.env.planted(Bug::AckBeforeSync) {
            self.submit(writes, SyncMode::NoSync).await?;
            drop(self.shared.disk.submit(Vec::new(), SyncMode::Sync));
        } else {
            self.submit(writes, SyncMode::Sync).await?;
        }
        self.shared.env.passes(Point::GroupDurable);
        self.position.offset += header.size();
        self.position.sequence += 1;
        self.position.previous = checksum;
        Ok(())
    }

    fn next_header(&self, kind: GroupKind, payload: &[u8], records: u32) -> GroupHeader {
        GroupHeader {
            generation: self.position.header.generation,
            sequence: self.position.sequence,
            epoch: self.position.epoch,
            kind,
            wall: self.shared.env.wall(),
            payload_len: u32::try_from(payload.len()).expect("groups are limited to PAYLOAD_MAX"),
            records,
            previous: self.position.previous,
        }
    }

    /// Makes sure that a group of this size fits into the half, switching to the other one if it must.
    async fn make_room(&mut self, size: u64) -> Result<(), Failure> {
        self.finish_switch().await?;
        if self.room() < size {
            self.checkpoint().await?;
        }
        let free = self.room();
        if free < size { Err(Failure::Full { needed: size, free }) } else { Ok(()) }
    }

    fn room(&self) -> u64 {
        let layout = &self.shared.superblock.layout;
        (layout.halves[self.position.which] + layout.half_len).saturating_sub(self.position.offset)
    }

    /// Hands writes to the disk. A failed sync may have lost any write since the one before, so that whatever is being
    /// staged now cannot be published any more.
    pub(crate) async fn submit(
        &self,
        writes: Vec<(u64, Bytes)>,
        mode: SyncMode,
    ) -> Result<(), Failure> {
        self.shared.disk.submit(writes, mode).await.map_err(|source| {
            self.shared.failed_syncs.fetch_add(1, Ordering::AcqRel);
            Failure::Disk(source)
        })
    }
}

impl Shared {
    /// What a caller is told. An index that failed closes the volume: only a mount can rebuild it.
    pub(crate) fn error(&self, failure: &Failure) -> AppendError {
        let volume = self.superblock.volume;
        match failure {
            Failure::Disk(source) => AppendError::Disk { volume, source: copy_of(source) },
            Failure::Full { needed, free } => {
                AppendError::Full { volume, needed: *needed, free: *free }
            }
            Failure::Index(why) => {
                self.give_up_index(why);
                AppendError::Closed
            }
        }
    }

    pub(crate) fn disk_error(&self, source: io::Error) -> AppendError {
        AppendError::Disk { volume: self.superblock.volume, source }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).expect("journals are far smaller than i64::MAX bytes")
}
