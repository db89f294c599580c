//! The data region of one volume: which ranges are taken, where the next extent goes, which holes there are.
//!
//! Owns the rules of `docs/on-disk.md`, "Space". New extents go behind the head. Holes are used by the defragmenter, which
//! moves extents into them and then lets the head come down, and by what is written while it does, through one hole that
//! it offers. Holds one entry of about 60 bytes per stream in memory.

use std::collections::BTreeMap;
use std::ops::Range;

use swarm_types::StreamId;

use crate::extent::Extent;
use crate::layout::Layout;

/// An extent that is filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lying {
    pub(crate) id: StreamId,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl Lying {
    pub(crate) const fn end(&self) -> u64 {
        self.offset + self.size
    }
}

/// An extent being read.
#[derive(Debug, Clone, Copy)]
struct Pinned {
    size: u64,
    readers: u64,
}

/// A hole below the head that is written to instead of the room behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gap {
    range: Range<u64>,
    used: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Room {
    region: Range<u64>,
    /// Where the room behind everything published begins, as the journal says.
    head: u64,
    /// Extents that are filed, by offset: id and size. Empty ones have no place.
    filed: BTreeMap<u64, (StreamId, u64)>,
    /// Extents being written: size by offset.
    staged: BTreeMap<u64, u64>,
    /// Extents being read, by offset: they are not written over, whatever became of their records.
    pinned: BTreeMap<u64, Pinned>,
    gap: Option<Gap>,
    /// Two extents claim the same bytes, which only a disk that lies can bring about: then no hole is believed in.
    overlap: bool,
}

impl Room {
    /// The room that what is filed leaves.
    pub(crate) fn new(layout: &Layout, head: u64, mut lying: Vec<Lying>) -> Self {
        let region = layout.data..layout.data + layout.data_len;
        lying.sort_unstable_by_key(|extent| extent.offset);
        let mut end = region.start;
        let mut overlap = false;
        for extent in &lying {
            overlap |= extent.offset < end;
            end = end.max(extent.offset.saturating_add(extent.size));
        }
        debug_assert!(
            overlap || end <= head.max(region.start),
            "what is filed lies below the head"
        );
        let filed = lying.into_iter().map(|extent| (extent.offset, (extent.id, extent.size)));
        Self {
            head: head.max(end),
            region,
            filed: filed.collect(),
            staged: BTreeMap::new(),
            pinned: BTreeMap::new(),
            gap: None,
            overlap,
        }
    }

    /// Where an extent of this size goes; `Err` with the bytes free where it does not fit. Empty ones are at 0.
    pub(crate) fn allocate(&mut self, size: u64) -> Result<u64, u64> {
        if let Some(gap) = &mut self.gap
            && size > 0
            && size <= gap.range.end - gap.range.start
        {
            let offset = gap.range.start;
            (gap.range.start, gap.used) = (offset + size, true);
            self.staged.insert(offset, size);
            return Ok(offset);
        }
        self.allocate_behind(size)
    }

    /// The same, behind everything that there is.
    pub(crate) fn allocate_behind(&mut self, size: u64) -> Result<u64, u64> {
        if size == 0 {
            return Ok(0);
        }
        let (offset, free) = (self.end(), self.free());
        if size > free {
            return Err(free);
        }
        self.staged.insert(offset, size);
        Ok(offset)
    }

    /// Takes exactly this range, if it is nobody's.
    pub(crate) fn allocate_at(&mut self, offset: u64, size: u64) -> bool {
        let range = offset..offset + size;
        let is_clear = !self.overlap && range.end <= self.head && !self.taken(&range);
        if is_clear {
            self.staged.insert(offset, size);
        }
        is_clear
    }

    fn taken(&self, range: &Range<u64>) -> bool {
        let reaches_in = |(offset, size): (&u64, &u64)| offset + size > range.start;
        let below = ..range.end;
        self.filed.range(below).next_back().is_some_and(|(at, (_, size))| reaches_in((at, size)))
            || self.staged.range(below).next_back().is_some_and(reaches_in)
            || self.pinned.range(below).any(|(at, pinned)| reaches_in((at, &pinned.size)))
            || self.gap.as_ref().is_some_and(|gap| {
                gap.range.start < range.end && range.start < gap.range.end && !gap.range.is_empty()
            })
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

    /// Whether something reads what lies at this offset.
    pub(crate) fn is_pinned(&self, offset: u64) -> bool {
        self.pinned.contains_key(&offset)
    }

    /// This extent is not filed any more.
    pub(crate) fn forget(&mut self, id: StreamId, extent: &Extent) {
        // Where extents overlap the place may be another one's by now.
        if self.filed.get(&extent.offset).is_some_and(|(filed, _)| *filed == id) {
            self.filed.remove(&extent.offset);
        }
    }

    /// This extent is filed.
    pub(crate) fn file(&mut self, id: StreamId, extent: &Extent) {
        if extent.size() > 0 {
            self.filed.insert(extent.offset, (id, extent.size()));
        }
    }

    /// The head as a committed group leaves it: lowered or not, then raised to the end of the group's last extent.
    pub(crate) fn set_head(&mut self, lowered: Option<u64>, end: u64) {
        self.head = lowered.unwrap_or(self.head).max(end);
        let head = self.head;
        if let Some(gap) = &mut self.gap {
            gap.range.end = gap.range.end.min(head).max(gap.range.start);
        }
    }

    /// Where the room behind everything published begins.
    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    /// How far the head could come down: to the end of the last extent that is filed or read.
    pub(crate) fn lowest_head(&self) -> u64 {
        if self.overlap {
            return self.head;
        }
        let filed = self.last().map_or(self.region.start, |last| last.end());
        let pinned = self.pinned.iter().map(|(offset, pinned)| offset + pinned.size);
        pinned.max().unwrap_or(0).max(filed)
    }

    /// Where the room begins that nobody uses, to the end of the region.
    pub(crate) fn end(&self) -> u64 {
        self.staged
            .last_key_value()
            .map_or(self.head, |(offset, size)| self.head.max(offset + size))
    }

    /// Bytes behind the end.
    pub(crate) fn free(&self) -> u64 {
        self.region.end.saturating_sub(self.end())
    }

    /// Bytes of everything being written.
    pub(crate) fn staged(&self) -> u64 {
        self.staged.values().sum()
    }

    pub(crate) const fn capacity(&self) -> u64 {
        self.region.end - self.region.start
    }

    /// The last extent that is filed.
    pub(crate) fn last(&self) -> Option<Lying> {
        let (offset, (id, size)) = self.filed.last_key_value()?;
        Some(Lying { id: *id, offset: *offset, size: *size })
    }

    /// The extent that is filed at this offset.
    pub(crate) fn at(&self, offset: u64) -> Option<Lying> {
        let (id, size) = self.filed.get(&offset)?;
        Some(Lying { id: *id, offset, size: *size })
    }

    /// Offers a hole to what is written from now on.
    pub(crate) fn offer(&mut self, hole: Range<u64>) {
        self.gap = Some(Gap { range: hole, used: false });
    }

    /// Takes back a hole that was offered and that nothing was written to since the last call.
    pub(crate) fn take_back_unused(&mut self) {
        self.gap = self.gap.take().filter(|gap| gap.used && !gap.range.is_empty());
        if let Some(gap) = &mut self.gap {
            gap.used = false;
        }
    }

    /// Takes back a hole that was offered.
    pub(crate) fn take_back(&mut self) {
        self.gap = None;
    }

    /// The holes below the head: nobody's, and not offered. None where extents overlap.
    pub(crate) fn holes(&self) -> Holes {
        let mut taken: Vec<(u64, u64)> =
            self.filed.iter().map(|(offset, (_, size))| (*offset, offset + size)).collect();
        taken.extend(self.staged.iter().map(|(offset, size)| (*offset, offset + size)));
        taken.extend(self.pinned.iter().map(|(offset, pinned)| (*offset, offset + pinned.size)));
        taken.extend(self.gap.iter().map(|gap| (gap.range.start, gap.range.end)));
        taken.sort_unstable();
        let mut holes = Holes::default();
        let mut end = self.region.start;
        for (from, to) in taken {
            if from > end && !self.overlap {
                holes.give(end..from.min(self.head).max(end));
            }
            end = end.max(to);
        }
        if !self.overlap {
            holes.give(end..self.head.max(end));
        }
        holes
    }
}

/// Holes by offset, none adjoining another.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Holes(BTreeMap<u64, u64>);

impl Holes {
    /// The smallest hole below `limit` that an extent of this size fits into; of equal ones the first.
    pub(crate) fn best_fit(&self, size: u64, limit: u64) -> Option<u64> {
        let fitting = self.0.range(..limit).filter(|(_, len)| **len >= size);
        fitting.min_by_key(|(_, len)| **len).map(|(offset, _)| *offset)
    }

    /// Every hole below `limit`, from the first on.
    pub(crate) fn below(&self, limit: u64) -> impl Iterator<Item = Range<u64>> {
        self.0.range(..limit).map(|(offset, len)| *offset..offset + len)
    }

    /// This many bytes at the beginning of a hole are taken.
    pub(crate) fn take(&mut self, offset: u64, size: u64) {
        if let Some(len) = self.0.remove(&offset)
            && len > size
        {
            self.0.insert(offset + size, len - size);
        }
    }

    /// This range is a hole now too.
    pub(crate) fn give(&mut self, mut range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some(len) = self.0.remove(&range.end) {
            range.end += len;
        }
        let before = self.0.range(..range.start).next_back().map(|(offset, len)| (*offset, *len));
        if let Some((offset, len)) = before.filter(|(offset, len)| offset + len == range.start) {
            self.0.insert(offset, len + range.end - range.start);
        } else {
            self.0.insert(range.start, range.end - range.start);
        }
    }

    /// The largest hole.
    pub(crate) fn largest(&self) -> Option<Range<u64>> {
        let (offset, len) = self.0.iter().max_by_key(|(_, len)| **len)?;
        Some(*offset..offset + len)
    }
}

#[cfg(test)]
mod tests;
