//! Space and counts of one volume: what is used, free and trapped, and where the next extent goes.
//!
//! Owns the arithmetic (`docs/on-disk.md`, "Space"). Allocation is append-only: the head only moves back over extents
//! that were staged behind everything ever published and then abandoned.

use std::collections::BTreeMap;

use swarm_types::StreamId;

use crate::codec::Malformed;
use crate::layout::Layout;
use crate::record::{Entry, brief};
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

/// An extent being read.
#[derive(Debug, Clone, Copy)]
struct Pinned {
    size: u64,
    readers: u64,
}

/// The books of a mounted volume.
#[derive(Debug)]
pub(crate) struct Books {
    data: u64,
    data_len: u64,
    pub(crate) totals: Totals,
    pub(crate) service: Service,
    /// End of the last extent ever published.
    head: u64,
    /// Extents being written: size by offset.
    staged: BTreeMap<u64, u64>,
    /// Extents being read, by offset: their room is not written to, whatever becomes of what they hold.
    pinned: BTreeMap<u64, Pinned>,
    next_number: u64,
}

impl Books {
    /// Books that begin with what the journal says. Numbers of extents begin with the epoch, so that no mount repeats
    /// one of an earlier mount.
    pub(crate) fn new(
        layout: &Layout,
        totals: Totals,
        service: Service,
        head: u64,
        epoch: u32,
    ) -> Self {
        let Layout { data, data_len, .. } = *layout;
        Self {
            data,
            data_len,
            totals,
            service,
            head: head.max(data),
            staged: BTreeMap::new(),
            pinned: BTreeMap::new(),
            next_number: u64::from(epoch) << 32,
        }
    }

    /// A number for a new extent.
    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Where an extent of this size goes; `Err` with the bytes free where it does not fit. Empty ones are at 0.
    pub(crate) fn allocate(&mut self, size: u64) -> Result<u64, u64> {
        if size == 0 {
            return Ok(0);
        }
        let (offset, free) = (self.allocation_head(), self.free());
        if size > free {
            return Err(free);
        }
        self.staged.insert(offset, size);
        Ok(offset)
    }

    /// The extent at this offset is not being written any more: it was published or abandoned.
    pub(crate) fn release(&mut self, offset: u64) {
        self.staged.remove(&offset);
    }

    /// The extent at this offset is being read.
    pub(crate) fn pin(&mut self, offset: u64, size: u64) {
        let pinned = self.pinned.entry(offset).or_insert(Pinned { size, readers: 0 });
        pinned.readers += 1;
        pinned.size = pinned.size.max(size);
    }

    /// One reader less.
    pub(crate) fn unpin(&mut self, offset: u64) {
        if let Some(pinned) = self.pinned.get_mut(&offset) {
            pinned.readers -= 1;
            if pinned.readers == 0 {
                self.pinned.remove(&offset);
            }
        }
    }

    /// A group was committed: these are the new totals, and this is where its last extent ends.
    pub(crate) fn committed(&mut self, totals: Totals, end: u64) {
        self.totals = totals;
        self.head = self.head.max(end);
    }

    /// End of the last extent ever published.
    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    pub(crate) fn space(&self) -> Space {
        let used = self.totals.used + self.staged.values().sum::<u64>();
        let free = self.free();
        Space {
            capacity: self.data_len,
            used,
            free,
            trapped: self.data_len.saturating_sub(used + free),
            streams: self.totals.streams,
            tombstones: self.totals.tombstones,
        }
    }

    fn allocation_head(&self) -> u64 {
        self.staged
            .last_key_value()
            .map_or(self.head, |(offset, size)| self.head.max(offset + size))
    }

    fn free(&self) -> u64 {
        (self.data + self.data_len).saturating_sub(self.allocation_head())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Books {
        let layout = Layout::of_device(64 << 20).expect("large enough");
        Books::new(&layout, Totals::default(), Service::default(), 0, 1)
    }

    #[test]
    fn abandoned_extents_at_the_end_become_free_again() {
        let mut books = books();
        let empty = books.space();
        let first = books.allocate(8192).expect("room");
        let second = books.allocate(4096).expect("room");
        assert_eq!(second, first + 8192);
        books.release(first);
        assert_eq!(books.space().trapped, 8192, "a hole below an extent being written");
        books.release(second);
        assert_eq!(books.space(), empty);
    }

    #[test]
    fn an_abandoned_extent_below_a_published_one_is_trapped() {
        let mut books = books();
        let first = books.allocate(8192).expect("room");
        let second = books.allocate(4096).expect("room");
        books.release(first);
        books.release(second);
        books.committed(Totals { used: 4096, streams: 1, ..Totals::default() }, second + 4096);
        let space = books.space();
        assert_eq!((space.used, space.trapped), (4096, 8192));
        assert_eq!(space.used + space.free + space.trapped, space.capacity);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_room_there_is() {
        let mut books = books();
        let free = books.space().free;
        assert_eq!(books.allocate(free + 1), Err(free));
        assert!(books.allocate(free).is_ok());
        assert_eq!(books.allocate(4096), Err(0));
    }
}
