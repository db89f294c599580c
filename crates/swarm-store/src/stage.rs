//! Writing a body: reserve an extent, stream into it, publish it at the end.
//!
//! Nothing is visible before [`Staged::publish`] returns. Memory is bounded by one window whatever the object's size,
//! but for four bytes of checksum per block.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use swarm_env::{BoxFuture, SyncMode};
use swarm_types::{FeedSlots, ObjectMeta, Stamp, StreamId};

use crate::commit::{Follows, Work};
use crate::error::{AppendError, PublishError};
use crate::extent::{BODY_BLOCK, Binding, Extent, size_of_body};
use crate::hints::{HINTS_MAX, Hints};
use crate::layout::usize_of;
use crate::record::{RECORD_MAX, Record, RecordState, encode_value};
use crate::slots::{SLOTS_BYTES_MAX, slots_bytes};
use crate::volume::{InFlight, Shared, Volume};

/// Bytes of one body that may be on their way to the disk; beyond it the writer waits.
const WINDOW: usize = 1 << 20;

/// Bytes submitted at once: large enough for direct I/O to pay, a whole number of blocks of the body.
const PIECE: usize = 256 << 10;

/// What a body is published as.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Its place among the versions.
    pub stamp: Stamp,
    /// What persists beside the body.
    pub meta: ObjectMeta,
    /// Volumes known to hold other replicas, for recovery of one of them.
    pub hints: Hints,
    /// What feeds have come to with this version elsewhere; nothing for a new one.
    pub slots: FeedSlots,
    /// Whether the replica is the one that feeds begin with (SCSP SEND: the last location of the write).
    pub first: bool,
    /// The version that this one follows, where it must not take the place of what has come since: of an object whatever it is,
    /// for this one has the bytes of that version; of a context a delete, for it would live again with all that was deleted with
    /// it.
    pub follows: Option<Stamp>,
}

impl Publish {
    /// A replica that no feed knows of.
    #[must_use]
    pub fn new(stamp: Stamp, meta: ObjectMeta, hints: Hints) -> Self {
        let slots = FeedSlots::default();
        Self { stamp, meta, hints, slots, first: false, follows: None }
    }
}

/// A body being written. Dropping it leaves nothing visible.
pub struct Staged {
    volume: Volume,
    binding: Binding,
    extent: Extent,
    reservation: Reservation,
    written: u64,
    /// Not submitted yet; less than [`PIECE`].
    buffer: BytesMut,
    /// Bytes submitted, whole blocks of the body.
    submitted: u64,
    /// Checksums of the blocks submitted.
    table: Vec<u8>,
    pending: VecDeque<(usize, BoxFuture<'static, io::Result<()>>)>,
    pending_bytes: usize,
    _in_flight: InFlight,
}

impl Staged {
    pub(crate) fn new(volume: Volume, id: StreamId, length: u64) -> Result<Self, AppendError> {
        volume.shared().check_open()?;
        let reservation = Reservation::new(volume.shared(), length)?;
        Ok(Self::at(volume, id, length, reservation))
    }

    /// A body to be written where there is room for it already.
    pub(crate) fn at(volume: Volume, id: StreamId, length: u64, reservation: Reservation) -> Self {
        let extent =
            Extent { number: reservation.number, offset: reservation.offset, length, checksum: 0 };
        let binding = Binding { volume: volume.id(), stream: id, number: extent.number };
        let in_flight = InFlight::new(volume.shared());
        Self {
            binding,
            extent,
            reservation,
            written: 0,
            buffer: BytesMut::new(),
            submitted: 0,
            table: Vec::new(),
            pending: VecDeque::new(),
            pending_bytes: 0,
            _in_flight: in_flight,
            volume,
        }
    }

    /// Takes the next piece of the body; waits while more than a window is unwritten.
    ///
    /// # Errors
    /// [`AppendError::Long`] beyond the length announced, [`AppendError::Disk`], [`AppendError::Closed`]. The body cannot
    /// be published after any of them.
    pub async fn write(&mut self, mut piece: Bytes) -> Result<(), AppendError> {
        self.volume.shared().check_open()?;
        let announced = self.extent.length;
        self.written = self.written.saturating_add(piece.len() as u64);
        if self.written > announced {
            return Err(AppendError::Long { announced });
        }
        while !piece.is_empty() {
            let room = PIECE - self.buffer.len();
            let part = piece.split_to(room.min(piece.len()));
            self.buffer.extend_from_slice(&part);
            if self.buffer.len() == PIECE {
                self.submit_piece();
            }
            while self.pending_bytes > WINDOW {
                self.settle_oldest().await?;
            }
        }
        Ok(())
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Publishes the body under its stream id: durable and visible on return. An equal stamp that is filed already is
    /// success too and changes nothing; a quarantined replica is replaced by it, and what feeds had come to with that stays.
    ///
    /// # Errors
    /// [`PublishError::Superseded`] where something newer is filed, or a delete that must not give way, [`AppendError::Short`] where bytes are missing,
    /// [`AppendError::MetadataTooLarge`], [`AppendError::Full`] where the journal has no room, [`AppendError::Disk`],
    /// [`AppendError::Closed`].
    pub async fn publish(mut self, version: Publish) -> Result<Stamp, PublishError> {
        let tail = self.finish().await?;
        let Publish { stamp, meta, hints, slots, first, follows } = version;
        let follows = follows.map(|stamp| Follows { stamp, directly: !meta.kind.is_context() });
        let Self { volume, binding, extent, reservation, _in_flight, .. } = self;
        let id = binding.stream;
        // Hints that are learned later, and what feeds come to, must find room in the record.
        let to_come =
            16 * (HINTS_MAX - hints.volumes().len()) + SLOTS_BYTES_MAX - slots_bytes(&slots);
        let state = RecordState::Live { meta, hints, quarantined: false, extent, slots, first };
        let value = encode_value(&Record { id, stamp, state });
        let bytes = value.len() + to_come;
        if bytes > RECORD_MAX {
            return Err(AppendError::MetadataTooLarge {
                bytes: bytes as u64,
                limit: RECORD_MAX as u64,
            }
            .into());
        }
        volume.ask(Work::Publish { id, stamp, follows, value, extent, tail, reservation }).await?;
        Ok(stamp)
    }

    /// Files the body, a copy of what a replica has at another place, instead of that; durable and visible on return. False
    /// if that is not where the replica is any more. `bytes` is the size of its record.
    pub(crate) async fn take_place_of(
        mut self,
        stamp: Stamp,
        from: u64,
        bytes: usize,
    ) -> Result<bool, AppendError> {
        let tail = self.finish().await?;
        let Self { volume, binding, extent, reservation, _in_flight, .. } = self;
        let id = binding.stream;
        let work = Work::Move { id, stamp, from, extent, tail, reservation, bytes };
        Ok(volume.append(work).await? > 0)
    }

    /// Completes the extent; what is left to be written goes with the commit group.
    async fn finish(&mut self) -> Result<Option<(u64, Bytes)>, AppendError> {
        let (announced, written) = (self.extent.length, self.written);
        if written != announced {
            return Err(AppendError::Short { announced, written });
        }
        let tail = self.tail().await?;
        self.extent.checksum = self.binding.table(announced, &self.table);
        Ok(tail)
    }

    /// Submits what the buffer holds: at the end of the body less than a piece.
    fn submit_piece(&mut self) {
        let bytes = self.buffer.split().freeze();
        self.note_checksums(&bytes);
        let at = self.extent.offset + self.submitted;
        self.submitted += bytes.len() as u64;
        self.submit(at, bytes);
    }

    fn note_checksums(&mut self, bytes: &[u8]) {
        let first = self.submitted / BODY_BLOCK;
        for (block, bytes) in (first..).zip(bytes.chunks(usize_of(BODY_BLOCK))) {
            self.table.extend_from_slice(&self.binding.block(block, bytes).to_le_bytes());
        }
    }

    fn submit(&mut self, at: u64, bytes: Bytes) {
        let len = bytes.len();
        self.pending_bytes += len;
        let submitted = self.volume.shared().disk.submit(vec![(at, bytes)], SyncMode::NoSync);
        self.pending.push_back((len, submitted));
    }

    async fn settle_oldest(&mut self) -> Result<(), AppendError> {
        let Some((len, submitted)) = self.pending.front_mut() else { return Ok(()) };
        let result = submitted.await;
        self.pending_bytes -= *len;
        self.pending.pop_front();
        result.map_err(|source| {
            // What else was lost with it is unknown: this body is not published even if the caller tries.
            self.written = u64::MAX;
            self.volume.shared().disk_error(source)
        })
    }

    /// The last bytes of the body with the table and the padding: they go with the commit group, unless they are large.
    async fn tail(&mut self) -> Result<Option<(u64, Bytes)>, AppendError> {
        if self.extent.length == 0 {
            return Ok(None);
        }
        let at = self.extent.offset + self.submitted;
        let mut rest = std::mem::take(&mut self.buffer);
        self.note_checksums(&rest);
        rest.extend_from_slice(&self.table);
        rest.resize(usize_of(self.extent.end() - at), 0);
        let rest = rest.freeze();
        let small = rest.len() <= 2 * PIECE;
        if !small {
            self.submit(at, rest.clone());
        }
        while !self.pending.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(small.then_some((at, rest)))
    }
}

/// Room for an extent that is not published yet; given back when dropped.
pub(crate) struct Reservation {
    shared: Arc<Shared>,
    number: u64,
    offset: u64,
    failed_syncs: u64,
}

impl Reservation {
    fn new(shared: &Arc<Shared>, length: u64) -> Result<Self, AppendError> {
        let needed = size_of_body(length);
        let full = |free| AppendError::Full { volume: shared.superblock.volume, needed, free };
        let records_max = shared.superblock.layout.records_max();
        let failed_syncs = shared.failed_syncs.load(Ordering::Acquire);
        let device_room = shared.disk.room();
        let mut books = shared.books();
        if books.checkpoint_bytes() >= records_max {
            return Err(full(0));
        }
        let unpromised = books.unpromised(device_room);
        if needed > unpromised {
            return Err(full(unpromised));
        }
        let offset = books.room.allocate(needed).map_err(full)?;
        let number = books.number();
        drop(books);
        Ok(Self { shared: Arc::clone(shared), number, offset, failed_syncs })
    }

    /// Room for an extent of this size that is to be moved: at this offset, or behind everything; `None` where there is
    /// none.
    pub(crate) fn to_move(shared: &Arc<Shared>, size: u64, to: Option<u64>) -> Option<Self> {
        let failed_syncs = shared.failed_syncs.load(Ordering::Acquire);
        let mut books = shared.books();
        let offset = match to {
            Some(offset) => books.room.allocate_at(offset, size).then_some(offset)?,
            None => books.room.allocate_behind(size).ok()?,
        };
        let number = books.number();
        drop(books);
        Some(Self { shared: Arc::clone(shared), number, offset, failed_syncs })
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// True if a sync has failed since: bytes submitted before it may be gone.
    pub(crate) fn lost_to_failed_sync(&self) -> bool {
        self.shared.failed_syncs.load(Ordering::Acquire) != self.failed_syncs
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.books().room.release(self.offset);
    }
}
