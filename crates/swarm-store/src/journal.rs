//! Reading a journal: which half counts, which groups follow each other, where the chain ends.
//!
//! Owns the rules of `docs/on-disk.md`, "Mount", steps 2 and 3. Changes nothing on disk. Memory is bounded by one group.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use swarm_env::Disk;

use crate::books::Marks;
use crate::codec::Cursor;
use crate::error::MountError;
use crate::group::{
    Chained, Encoding, GROUP_HEADER, GroupHeader, GroupKind, HalfHeader, HalfState, PAYLOAD_MAX,
    Seal, group_size,
};
use crate::layout::{BLOCK, Layout, Superblock, usize_of};
use crate::record::Entry;

/// How far behind the end of the chain a later group is looked for. The group behind a damaged one begins less than one
/// largest group further on; this leaves room for several damaged ones in a row.
const LOOK_AHEAD: u64 = 4 << 20;

/// Bytes read from the journal at once.
const READ_AHEAD: u64 = 64 << 10;

impl Superblock {
    pub(crate) const fn seal(&self) -> Seal {
        Seal { volume: self.volume, salt: self.salt }
    }
}

/// The half that counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChosenHalf {
    pub(crate) which: usize,
    pub(crate) header: HalfHeader,
    /// The header of the other half, if it has one. Where that still says that it is active, a crash came between the two
    /// writes of a switch.
    pub(crate) other: Option<HalfHeader>,
}

/// Finds the half that counts: the newest one, which must be active.
pub(crate) async fn choose_half(
    disk: &Arc<dyn Disk>,
    superblock: &Superblock,
) -> Result<ChosenHalf, MountError> {
    let mut found = Vec::new();
    for (which, at) in superblock.layout.halves.into_iter().enumerate() {
        let block = disk
            .read_at(at, usize_of(BLOCK))
            .await
            .map_err(|source| MountError::Disk { source })?;
        if let Ok(header) = HalfHeader::decode(&superblock.seal(), &block) {
            found.push((which, header));
        }
    }
    found.sort_by_key(|(_, header)| std::cmp::Reverse(header.generation));
    let damaged = |why| MountError::JournalDamaged { at: superblock.layout.halves[0], why };
    let (which, header) = *found.first().ok_or_else(|| damaged("neither half has a header"))?;
    if header.state == HalfState::Superseded {
        return Err(damaged("the newest half has no header"));
    }
    let other = found.get(1).map(|(_, other)| *other);
    Ok(ChosenHalf { which, header, other })
}

/// One group in its place.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) chained: Chained,
    /// Where it begins on the device.
    pub(crate) offset: u64,
    encoding: Encoding,
    /// As they lie on the device.
    pub(crate) bytes: Bytes,
}

impl Group {
    /// Its records, in order.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, MountError> {
        let header = &self.chained.header;
        let payload = self
            .bytes
            .get(GROUP_HEADER..GROUP_HEADER + header.payload_len as usize)
            .unwrap_or_default();
        let mut cursor = Cursor::new(payload);
        let mut entries = Vec::new();
        let damaged = |why| MountError::JournalDamaged { at: self.offset, why };
        while !cursor.is_empty() {
            entries.push(
                Entry::decode(&mut cursor, self.encoding)
                    .map_err(|_| damaged("a record has no known shape"))?,
            );
        }
        if entries.len() != header.records as usize {
            return Err(damaged("the number of records is wrong"));
        }
        Ok(entries)
    }
}

/// Walks the chain of groups of one half.
pub(crate) struct Walker {
    chunks: Chunks,
    seal: Seal,
    encoding: Encoding,
    generation: u64,
    /// What the next group must carry.
    pub(crate) sequence: u64,
    pub(crate) previous: u32,
    pub(crate) epoch: u32,
    /// Where the next group begins.
    pub(crate) offset: u64,
}

impl Walker {
    pub(crate) fn new(disk: &Arc<dyn Disk>, superblock: &Superblock, half: &ChosenHalf) -> Self {
        let Layout { halves, half_len, .. } = superblock.layout;
        let start = halves[half.which];
        let chunks =
            Chunks { disk: Arc::clone(disk), end: start + half_len, start: 0, bytes: Bytes::new() };
        let HalfHeader { encoding, generation, first, seed, .. } = half.header;
        Self {
            chunks,
            seal: superblock.seal(),
            encoding,
            generation,
            sequence: first,
            previous: seed,
            epoch: 0,
            offset: start + BLOCK,
        }
    }

    /// The next group of the chain; `None` at its end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Group>> {
        let Some(group) = self.group_at(self.offset).await? else { return Ok(None) };
        let GroupHeader { generation, sequence, epoch, previous, .. } = group.chained.header;
        let follows = generation == self.generation
            && sequence == self.sequence
            && previous == self.previous
            && epoch >= self.epoch;
        if !follows {
            return Ok(None);
        }
        self.sequence += 1;
        self.previous = group.chained.checksum;
        self.epoch = epoch;
        self.offset += group.chained.header.size();
        Ok(Some(group))
    }

    /// At the end of the chain: the offset of a later group of the same journal, if there is one. Then the chain was
    /// broken by damage, not by a crash: a group is only written when all before it are durable, and a mount, which cannot
    /// know that of the last one, makes it so first.
    pub(crate) async fn later_group(&mut self) -> io::Result<Option<u64>> {
        let end = self.chunks.end.min(self.offset.saturating_add(LOOK_AHEAD));
        let mut at = self.offset;
        while at < end {
            if let Some(group) = self.group_at(at).await? {
                let GroupHeader { generation, sequence, epoch, .. } = group.chained.header;
                if generation == self.generation && sequence >= self.sequence && epoch >= self.epoch
                {
                    return Ok(Some(at));
                }
            }
            at += BLOCK;
        }
        Ok(None)
    }

    /// The group at this offset, if there is a whole one.
    async fn group_at(&mut self, offset: u64) -> io::Result<Option<Group>> {
        let Some(start) = self.chunks.get(offset, BLOCK).await? else { return Ok(None) };
        let Ok(chained) = GroupHeader::decode(&self.seal, self.encoding, &start) else {
            return Ok(None);
        };
        let Some(bytes) = self.chunks.get(offset, chained.header.size()).await? else {
            return Ok(None);
        };
        let encoding = self.encoding;
        Ok(chained.checks(&self.seal, &bytes).then_some(Group { chained, offset, encoding, bytes }))
    }
}

/// Reads a region front to back in chunks.
struct Chunks {
    disk: Arc<dyn Disk>,
    /// Where the region ends.
    end: u64,
    /// What is in memory: these bytes, from this offset.
    start: u64,
    bytes: Bytes,
}

impl Chunks {
    /// These bytes; `None` beyond the end of the region. Lengths are limited by the caller to the largest group.
    async fn get(&mut self, offset: u64, len: u64) -> io::Result<Option<Bytes>> {
        debug_assert!(len <= group_size(PAYLOAD_MAX), "the header's decoder limits payloads");
        if offset + len > self.end {
            return Ok(None);
        }
        let held = self.start..self.start + self.bytes.len() as u64;
        if !(held.contains(&offset) && offset + len <= held.end) {
            let ahead = len.max(READ_AHEAD).min(self.end - offset);
            self.bytes = self.disk.read_at(offset, usize_of(ahead)).await?;
            self.start = offset;
        }
        let from = usize_of(offset - self.start);
        Ok(Some(self.bytes.slice(from..from + usize_of(len))))
    }
}

/// What the first walk over a half found.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The last group of the chain.
    pub(crate) last: Group,
    /// Where the next group goes.
    pub(crate) next_offset: u64,
    /// Where the room behind everything published begins.
    pub(crate) head: u64,
    pub(crate) marks: Marks,
    /// The checksum of the group that the index's mark names, if the chain has it behind the checkpoint.
    pub(crate) marked: Option<u32>,
}

impl Tail {
    /// True if nothing was written behind the checkpoint.
    pub(crate) fn is_bare(&self) -> bool {
        self.last.chained.header.kind == GroupKind::Checkpoint
    }

    /// True if nothing was written after a clean unmount.
    pub(crate) fn is_clean(&self) -> bool {
        self.last.chained.header.kind == GroupKind::Clean
    }
}

/// Walks a half to the end of its chain and judges that end.
pub(crate) async fn read_tail(
    disk: &Arc<dyn Disk>,
    superblock: &Superblock,
    half: &ChosenHalf,
    marked_sequence: Option<u64>,
) -> Result<Tail, MountError> {
    let failed = |source| MountError::Disk { source };
    let mut walker = Walker::new(disk, superblock, half);
    let (mut last, mut marked) = (None, None);
    let (mut head, mut marks) = (superblock.layout.data, Marks::default());
    while let Some(group) = walker.next().await.map_err(failed)? {
        for entry in group.entries()? {
            match entry {
                Entry::Space { head: told } => head = told.max(superblock.layout.data),
                Entry::Service(told) => marks.service = told,
                Entry::File { value, .. } => head = head.max(end_of(&value, &group)?),
                Entry::FeedTable(told) => marks.table = told,
                Entry::Behind(told) => marks.behind = told,
                Entry::Remove { .. } | Entry::Note { .. } | Entry::Feed { .. } => {}
            }
        }
        let Chained { header, checksum } = group.chained;
        if Some(header.sequence) == marked_sequence && header.sequence >= half.header.checkpoint_end
        {
            marked = Some(checksum);
        }
        last = Some(group);
    }
    let at = walker.offset;
    if let Some(at) = walker.later_group().await.map_err(failed)? {
        return Err(MountError::JournalDamaged { at, why: "a group follows a gap in the chain" });
    }
    match last {
        Some(last) if last.chained.header.sequence >= half.header.checkpoint_end => {
            Ok(Tail { last, next_offset: at, head, marks, marked })
        }
        _ => Err(MountError::JournalDamaged { at, why: "the checkpoint is not whole" }),
    }
}

fn end_of(value: &[u8], group: &Group) -> Result<u64, MountError> {
    let brief = crate::record::brief(value).map_err(|_| MountError::JournalDamaged {
        at: group.offset,
        why: "a record has no known shape",
    })?;
    Ok(brief.extent.map_or(0, |extent| extent.end()))
}
