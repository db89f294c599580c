//! Space and counts of one volume: sums over what is filed and what is being written.
//!
//! Owns the arithmetic (`docs/on-disk.md`, "Space"); where things lie is in [`crate::room`].

use bytes::Bytes;
use swarm_types::{StreamId, Timestamp};

use crate::codec::Malformed;
use crate::extent::Extent;
use crate::feeds::{FeedSums, Share};
use crate::record::{Entry, brief};
use crate::room::Room;
use crate::service::Service;

/// How full a volume is: `used + free + trapped == capacity`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Size of the data region in bytes.
    pub capacity: u64,
    /// Bytes of live extents and of extents being written, with their checksums and padding.
    pub used: u64,
    /// Bytes that can be written directly.
    pub free: u64,
    /// Bytes of holes: superseded, removed and abandoned extents.
    pub trapped: u64,
    /// Number of replicas.
    pub streams: u64,
    /// Number of tombstones.
    pub tombstones: u64,
}

impl Space {
    /// Which share of the room that nothing uses can be written to directly: below 0.8 it is time to defragment (How do I
    /// fix trapped space?). 1 where everything is used.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    pub fn free_share(&self) -> f64 {
        let unused = self.free + self.trapped;
        if unused == 0 { 1.0 } else { self.free as f64 / unused as f64 }
    }
}

/// Sums over everything filed. The digest tells whether an index holds exactly that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) streams: u64,
    pub(crate) tombstones: u64,
    /// Bytes of live extents.
    pub(crate) used: u64,
    /// Bytes that a checkpoint needs for the records.
    pub(crate) record_bytes: u64,
    /// Wrapping sum of one hash per id and value, so that the order of changes does not matter.
    pub(crate) digest: u64,
}

impl Totals {
    /// True if nothing is filed, not even the memory of a delete.
    pub(crate) const fn is_empty(&self) -> bool {
        self.streams == 0 && self.tombstones == 0
    }

    pub(crate) fn add(&mut self, id: StreamId, value: &[u8]) -> Result<(), Malformed> {
        match brief(value)?.extent {
            Some(extent) => {
                self.streams += 1;
                self.used += extent.size();
            }
            None => self.tombstones += 1,
        }
        self.record_bytes += Entry::framed(value);
        self.digest = self.digest.wrapping_add(hash(id, value));
        Ok(())
    }

    pub(crate) fn subtract(&mut self, id: StreamId, value: &[u8]) -> Result<(), Malformed> {
        let less = |count: u64, by: u64| count.checked_sub(by).ok_or(Malformed);
        match brief(value)?.extent {
            Some(extent) => {
                self.streams = less(self.streams, 1)?;
                self.used = less(self.used, extent.size())?;
            }
            None => self.tombstones = less(self.tombstones, 1)?,
        }
        self.record_bytes = less(self.record_bytes, Entry::framed(value))?;
        self.digest = self.digest.wrapping_sub(hash(id, value));
        Ok(())
    }
}

fn hash(id: StreamId, value: &[u8]) -> u64 {
    let forward = crc32c::crc32c_append(crc32c::crc32c(id.as_bytes()), value);
    let backward = crc32c::crc32c_append(crc32c::crc32c(value), id.as_bytes());
    u64::from(forward) << 32 | u64::from(backward)
}

/// The books of a mounted volume.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) totals: Totals,
    pub(crate) feeds: FeedSums,
    pub(crate) marks: Marks,
    pub(crate) room: Room,
    next_number: u64,
}

/// What is known of the volume as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// What it is for.
    pub(crate) service: Service,
    /// The table of feeds, as its nodes want it kept.
    pub(crate) table: Bytes,
    /// Since when it may have missed what happened to its streams; `None` once a walk has made up for that.
    pub(crate) behind: Option<Timestamp>,
}

/// What a committed group changed about room and feeds.
#[derive(Debug, Default)]
pub(crate) struct Resettled {
    pub(crate) forgotten: Vec<(StreamId, Extent)>,
    pub(crate) filed: Vec<(StreamId, Extent)>,
    /// What the sums for feeds lose.
    pub(crate) unsummed: Vec<Share>,
    /// What they gain.
    pub(crate) summed: Vec<Share>,
    /// Where the head came down to.
    pub(crate) lowered: Option<u64>,
    /// End of the last extent mentioned.
    pub(crate) end: u64,
}

impl Books {
    /// Books that begin with what the journal says. Numbers of extents begin with the epoch, so that no mount repeats
    /// one of an earlier mount.
    pub(crate) fn new(
        totals: Totals,
        feeds: FeedSums,
        marks: Marks,
        room: Room,
        epoch: u32,
    ) -> Self {
        Self { totals, feeds, marks, room, next_number: u64::from(epoch) << 32 }
    }

    /// Bytes that a checkpoint needs for everything filed and the table of feeds.
    pub(crate) fn checkpoint_bytes(&self) -> u64 {
        self.totals.record_bytes + self.marks.table.len() as u64
    }

    /// Room of a device that is not promised to what is being written. Some of that is written already and counted twice,
    /// which errs on the safe side.
    pub(crate) fn unpromised(&self, device_room: u64) -> u64 {
        device_room.saturating_sub(self.room.staged())
    }

    /// Which mount this is.
    pub(crate) const fn epoch(&self) -> u64 {
        self.next_number >> 32
    }

    /// A number for a new extent.
    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// A group was committed: these are the new totals, and this is what it changed.
    pub(crate) fn committed(&mut self, totals: Totals, resettled: Resettled) {
        self.totals = totals;
        for (id, extent) in &resettled.forgotten {
            self.room.forget(*id, extent);
        }
        for (id, extent) in &resettled.filed {
            self.room.file(*id, extent);
        }
        self.room.set_head(resettled.lowered, resettled.end);
        resettled.unsummed.iter().for_each(|share| self.feeds.subtract(share));
        resettled.summed.into_iter().for_each(|share| self.feeds.add(share));
    }

    /// What there is, on a device that still has room for so many bytes: what others have taken of it counts as used.
    pub(crate) fn space(&self, device_room: u64) -> Space {
        let capacity = self.room.capacity();
        let free = self.room.free().min(self.unpromised(device_room));
        let used = self.totals.used + self.room.staged() + (self.room.free() - free);
        Space {
            capacity,
            used,
            free,
            trapped: capacity.saturating_sub(used + free),
            streams: self.totals.streams,
            tombstones: self.totals.tombstones,
        }
    }
}
