//! What the committer is asked for, and how much room that takes in a group.

use std::sync::Arc;

use bytes::Bytes;
use swarm_types::{FeedId, FeedMark, FeedSlot, Stamp, StreamId};
use tokio::sync::oneshot;

use crate::error::PublishError;
use crate::extent::Extent;
use crate::hints::{HINTS_MAX, Hints};
use crate::service::Service;
use crate::slots::SLOTS_BYTES_MAX;
use crate::stage::Reservation;

/// A framed REMOVE record.
const REMOVE_BYTES: usize = 45;

/// The largest framed NOTE record.
const NOTE_BYTES: usize = 55 + 16 * HINTS_MAX;

/// The largest framed FEED record.
pub(crate) const FEED_BYTES: usize = 45 + SLOTS_BYTES_MAX;

/// The version that another one follows.
#[derive(Clone, Copy)]
pub(crate) struct Follows {
    pub(crate) stamp: Stamp,
    /// Nothing may have come in between; else nothing may have been deleted.
    pub(crate) directly: bool,
}

impl Follows {
    /// Whether what is filed stays, and what follows this gives way.
    pub(crate) fn gives_way_to(self, filed: Stamp, is_tombstone: bool) -> bool {
        filed > self.stamp && (self.directly || is_tombstone)
    }
}

/// A change asked for.
pub(crate) enum Work {
    /// File a replica whose extent was written up to its tail.
    Publish {
        id: StreamId,
        stamp: Stamp,
        follows: Option<Follows>,
        value: Vec<u8>,
        extent: Extent,
        tail: Option<(u64, Bytes)>,
        reservation: Reservation,
    },
    /// File the same replica at another place, if it still is at the one that it was copied from.
    Move {
        id: StreamId,
        stamp: Stamp,
        /// [`Extent::number`] of the place that it was copied from.
        from: u64,
        extent: Extent,
        tail: Option<(u64, Bytes)>,
        reservation: Reservation,
        /// Size of the record.
        bytes: usize,
    },
    /// Let the head come down to the end of what is filed.
    Lower,
    /// File a tombstone.
    Bury { id: StreamId, stamp: Stamp, value: Vec<u8> },
    /// Remove exactly this replica.
    Remove { id: StreamId, stamp: Stamp },
    /// Remove the copy with this number of extent, if it is known to be bad by then.
    RemoveQuarantined { id: StreamId, stamp: Stamp, number: u64 },
    /// Drop exactly this tombstone.
    Forget { id: StreamId, stamp: Stamp },
    /// Say something else about exactly this replica.
    Note { id: StreamId, stamp: Stamp, what: Noted },
    /// Say what the volume is for.
    Service(Service),
    /// Say that it is retired, if it is being emptied and nothing is filed.
    RetireIfEmpty,
    /// Say what feeds have come to with exactly these versions. The slots of other feeds than these make way, if need be.
    Feed { settled: Vec<(StreamId, Stamp, FeedSlot)>, known: Arc<[(FeedId, FeedMark)]> },
    /// Keep this table of feeds.
    FeedTable(Bytes),
    /// Say that the volume is not behind any more.
    CaughtUp,
    /// Tell that the volume is in use.
    Touch,
    /// Unmount.
    Close,
}

/// What is new about a replica.
pub(crate) enum Noted {
    Hints(Hints),
    /// Of the replica with this number of extent, and no other of its version.
    Quarantined {
        number: u64,
        quarantined: bool,
    },
}

/// A change asked for, and who waits. The answer is the number of records removed, found or settled.
pub(crate) struct Request {
    pub(crate) work: Work,
    pub(crate) answer: oneshot::Sender<Result<u64, PublishError>>,
}

/// Bytes of records, at most.
pub(super) fn payload_of(work: &Work) -> usize {
    match work {
        Work::Publish { value, .. } | Work::Bury { value, .. } => value.len() + 20,
        Work::Move { bytes, .. } => *bytes,
        Work::Lower => 13,
        Work::CaughtUp => 14,
        Work::Remove { .. } | Work::RemoveQuarantined { .. } | Work::Forget { .. } => REMOVE_BYTES,
        Work::Note { .. } => NOTE_BYTES,
        Work::Service(_) | Work::RetireIfEmpty => 5 + Service::BYTES,
        Work::Feed { settled, .. } => settled.len() * FEED_BYTES,
        Work::FeedTable(table) => 5 + table.len(),
        Work::Touch | Work::Close => 0,
    }
}

/// Bytes of data beside the records.
pub(super) fn data_of(work: &Work) -> usize {
    match work {
        Work::Publish { tail: Some((_, bytes)), .. }
        | Work::Move { tail: Some((_, bytes)), .. } => bytes.len(),
        _ => 0,
    }
}
