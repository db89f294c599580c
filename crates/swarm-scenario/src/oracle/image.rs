//! Reads the raw image of a volume, as `docs/on-disk.md` describes format versions 1 to 4.
//!
//! Owns superblock, journal chain and the map that results. It trusts nothing: what does not fit is a [`Fault`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use swarm_cluster::Image;
use swarm_types::{Etag, Stamp, Timestamp, Version};

use super::record::{Slot, burial_len, slots, slots_len};

pub(crate) const BLOCK: u64 = 4096;
const BODY_BLOCK: usize = 65_536;
const GROUP_HEAD: usize = 72;
const PAYLOAD_MAX: usize = 786_432;
const HINTS_MAX: usize = 15;
/// Where in a value of an ADD lies what a NOTE changes.
const NOTE_AT: usize = 1 + 68 - 16;
/// Where in a value of a TOMBSTONE its flags are.
const BURIAL_AT: usize = 1 + 49 - 16;
const TABLE_MAX: usize = 32_768;
/// How far behind the end of a chain a later group would prove damage.
const LOOK_BEYOND: u64 = 4 << 20;

/// An id of 16 bytes.
pub(crate) type Id = [u8; 16];

/// Why an image cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No superblock and nothing that looks like one.
    Blank,
    /// What is there contradicts the format.
    Damaged(String),
}

/// A volume as its journal tells it.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) id: Id,
    /// Where bodies lie.
    pub(crate) data: Range<u64>,
    /// What is filed under each stream id.
    pub(crate) filed: BTreeMap<Id, Filed>,
    /// From here on the data region is free.
    pub(crate) head: u64,
    /// Since when it may have missed what happened to its streams, if it may.
    pub(crate) behind: Option<Timestamp>,
    pub(crate) generation: u64,
    /// Sequence and checksum of the last group.
    pub(crate) last: (u64, u32),
}

/// What is filed under a stream id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filed {
    /// The record as version 3 has it, without length and stream id: type, then body from offset 16 on.
    pub(crate) value: Vec<u8>,
    /// The extent of an ADD; none for a tombstone.
    pub(crate) extent: Option<Extent>,
    pub(super) stamp: (u64, Id),
}

impl Filed {
    pub(crate) fn version(&self) -> Stamp {
        Stamp { version: Version(self.stamp.0), etag: Etag::from_bytes(self.stamp.1) }
    }
}

/// Where a body lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) number: u64,
    pub(crate) offset: u64,
    /// Of the body, in bytes.
    pub(crate) length: u64,
    pub(super) checksum: u32,
}

impl Extent {
    fn blocks(&self) -> u64 {
        self.length.div_ceil(BODY_BLOCK as u64)
    }

    /// Bytes taken on the disk: body and table, in whole blocks.
    pub(crate) fn size(&self) -> u64 {
        (self.length + 4 * self.blocks()).next_multiple_of(BLOCK)
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.size()
    }
}

/// What damage has met on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    /// The versions whose extents it met.
    pub(crate) versions: BTreeSet<Stamp>,
    /// It met something beside the bodies: the journal, a superblock.
    pub(crate) journal: bool,
    /// It met room of bodies where nothing is filed: perhaps what is being written there.
    pub(crate) unfiled: bool,
}

impl Volume {
    /// Sum of the sizes of all extents that are filed.
    pub(crate) fn used(&self) -> u64 {
        self.extents().map(|(_, extent)| extent.size()).sum()
    }

    /// Room behind the head.
    pub(crate) fn free(&self) -> u64 {
        self.data.end - self.head
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.data.end - self.data.start
    }

    /// The extents of everything filed that has a body, and of empty ones.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (&Id, &Extent)> {
        self.filed.iter().filter_map(|(id, filed)| Some((id, filed.extent.as_ref()?)))
    }

    /// The stream, extent and version of everything filed that has bytes.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&Id, &Extent, Stamp)> {
        self.filed
            .iter()
            .filter_map(|(id, filed)| Some((id, filed.extent.as_ref()?, filed.version())))
    }

    /// What these ranges (offset and length) meet.
    pub(crate) fn hit_by(&self, ranges: &[(u64, u64)]) -> Hit {
        let meets = |of: &Range<u64>, (offset, length): &(u64, u64)| {
            *offset < of.end && of.start < offset + length
        };
        let bodies: Vec<(Stamp, Range<u64>)> = self
            .filed
            .values()
            .filter_map(|filed| Some((filed.version(), filed.extent?.range())))
            .collect();
        let met = bodies.iter().filter(|(_, body)| ranges.iter().any(|range| meets(body, range)));
        let is_data = |(offset, _): &&(u64, u64)| self.data.contains(offset);
        let is_filed = |range: &(u64, u64)| bodies.iter().any(|(_, body)| meets(body, range));
        Hit {
            versions: met.map(|(version, _)| *version).collect(),
            journal: !ranges.iter().all(|range| is_data(&range)),
            unfiled: ranges.iter().filter(is_data).any(|range| !is_filed(range)),
        }
    }

    /// True if it holds a whole copy of one of these versions.
    pub(crate) fn holds_whole(&self, image: &dyn Image, stamps: &BTreeSet<Stamp>) -> bool {
        self.filed.iter().any(|(stream, filed)| {
            stamps.contains(&filed.version())
                && filed.extent.is_some_and(|extent| self.is_whole(image, stream, &extent))
        })
    }

    /// The versions of which it holds whole copies.
    pub(crate) fn whole(&self, image: &dyn Image) -> BTreeSet<Stamp> {
        let whole = self.filed.iter().filter(|(stream, filed)| {
            filed.extent.is_some_and(|extent| self.is_whole(image, stream, &extent))
        });
        whole.map(|(_, filed)| filed.version()).collect()
    }

    /// True if every block of the extent and its table hold.
    pub(crate) fn is_whole(&self, image: &dyn Image, stream: &Id, extent: &Extent) -> bool {
        let table_len = usize::try_from(4 * extent.blocks()).unwrap_or(0);
        let mut table = vec![0; table_len];
        if extent.range().end > image.len() {
            return false;
        }
        image.read(extent.offset + extent.length, &mut table);
        let bound = [&self.id[..], &stream[..], &extent.number.to_le_bytes()].concat();
        let checksum = crc(&[&bound, &extent.length.to_le_bytes(), &table]);
        let mut block = vec![0; BODY_BLOCK];
        checksum == extent.checksum
            && (0..extent.blocks()).zip(table.chunks_exact(4)).all(|(number, expected)| {
                let at = number * BODY_BLOCK as u64;
                let length =
                    usize::try_from((extent.length - at).min(BODY_BLOCK as u64)).unwrap_or(0);
                image.read(extent.offset + at, &mut block[..length]);
                crc(&[&bound, &number.to_le_bytes(), &block[..length]]).to_le_bytes() == expected
            })
    }
}

/// Reads a volume.
///
/// # Errors
/// [`Fault`]; a mounted volume that is sound has none.
pub(crate) fn read(image: &dyn Image) -> Result<Volume, Fault> {
    let superblock = superblock(image)?;
    let half = half_that_counts(image, &superblock)?;
    let mut volume = Volume {
        id: superblock.id,
        data: superblock.data.clone(),
        filed: BTreeMap::new(),
        head: superblock.data.start,
        behind: None,
        generation: half.generation,
        last: (0, 0),
    };
    walk(image, &superblock, &half, &mut volume)?;
    Ok(volume)
}

/// Where bodies lie, if a superblock says so.
pub(crate) fn data_region(image: &dyn Image) -> Option<Range<u64>> {
    superblock(image).ok().map(|superblock| superblock.data)
}

/// A volume as its index tells it: what its node goes by when damage has hit the journal.
///
/// # Errors
/// [`Fault`]
pub(crate) fn read_index(image: &dyn Image, index: &[(Vec<u8>, Vec<u8>)]) -> Result<Volume, Fault> {
    let superblock = superblock(image)?;
    let mut volume = Volume {
        id: superblock.id,
        head: superblock.data.start,
        data: superblock.data,
        behind: None,
        filed: BTreeMap::new(),
        generation: 0,
        last: (0, 0),
    };
    for (key, value) in index.iter().filter(|(key, value)| key.len() == 16 && !value.is_empty()) {
        let record = [&value[..1], key, &value[1..]].concat();
        apply_to_stream(&record, 3, &mut volume)
            .map_err(|what| Fault::Damaged(format!("the index: {what}")))?;
    }
    Ok(volume)
}

struct Superblock {
    id: Id,
    halves: [u64; 2],
    half_len: u64,
    data: Range<u64>,
    salt: [u8; 8],
}

fn superblock(image: &dyn Image) -> Result<Superblock, Fault> {
    let device = image.len() / BLOCK * BLOCK;
    let copies = [0, device.saturating_sub(BLOCK)].map(|at| {
        let mut block = vec![0; BLOCK as usize];
        image.read(at, &mut block);
        block
    });
    let has_magic = |block: &Vec<u8>| block.starts_with(b"SWARMVOL");
    let whole =
        |block: &&Vec<u8>| has_magic(block) && crc(&[&block[..4092]]) == number32(block, 4092);
    let Some(block) = copies.iter().find(whole) else {
        let damaged = copies.iter().any(has_magic);
        return Err(if damaged {
            Fault::Damaged("no superblock is whole".to_owned())
        } else {
            Fault::Blank
        });
    };
    if copies.iter().filter(|copy| whole(copy)).any(|copy| copy != block) {
        return Err(Fault::Damaged("the copies of the superblock differ".to_owned()));
    }
    if !matches!(number32(block, 8), 1..=4) {
        return Err(Fault::Damaged(format!("format version {}", number32(block, 8))));
    }
    let data = number64(block, 64);
    Ok(Superblock {
        id: id_at(block, 16),
        halves: [number64(block, 40), number64(block, 48)],
        half_len: number64(block, 56),
        data: data..data + number64(block, 72),
        salt: block[80..88].try_into().unwrap_or_default(),
    })
}

struct Half {
    at: u64,
    version: u8,
    generation: u64,
    first: u64,
    checkpoint_end: u64,
    seed: u32,
}

fn half_that_counts(image: &dyn Image, superblock: &Superblock) -> Result<Half, Fault> {
    let mut newest: Option<(Half, u32)> = None;
    for at in superblock.halves {
        let mut head = [0; 64];
        image.read(at, &mut head);
        let state = number32(&head, 52);
        let version = match head.strip_prefix(b"SWHALF_") {
            Some([digit @ b'1'..=b'4', ..]) => digit - b'0',
            _ => continue,
        };
        let whole = id_at(&head, 8) == superblock.id
            && matches!(state, 1 | 2)
            && crc(&[&superblock.salt, &head[..60]]) == number32(&head, 60);
        let generation = number64(&head, 24);
        if whole && newest.as_ref().is_none_or(|(half, _)| generation > half.generation) {
            let half = Half {
                at,
                version,
                generation,
                first: number64(&head, 32),
                checkpoint_end: number64(&head, 40),
                seed: number32(&head, 48),
            };
            newest = Some((half, state));
        }
    }
    match newest {
        None => Err(Fault::Damaged("no half of the journal has a whole header".to_owned())),
        Some((_, 2)) => Err(Fault::Damaged("the half after a superseded one is lost".to_owned())),
        Some((half, _)) => Ok(half),
    }
}

struct Group {
    version: u8,
    sequence: u64,
    epoch: u32,
    previous: u32,
    checksum: u32,
    payload: Vec<u8>,
    records: u32,
    is_checkpoint: bool,
}

impl Group {
    fn end(&self, at: u64) -> u64 {
        at + ((GROUP_HEAD + self.payload.len()) as u64).next_multiple_of(BLOCK)
    }
}

/// A whole group of this half at this place.
fn group_at(image: &dyn Image, superblock: &Superblock, half: &Half, at: u64) -> Option<Group> {
    let mut head = [0; GROUP_HEAD];
    if at + BLOCK > half.at + superblock.half_len {
        return None;
    }
    image.read(at, &mut head);
    let (kind, length) = (number32(&head, 44), number32(&head, 56) as usize);
    let fits = head.starts_with(b"SWGROUP")
        && head[7] == b'0' + half.version
        && id_at(&head, 8) == superblock.id
        && number64(&head, 24) == half.generation
        && (1..=4).contains(&kind)
        && length <= PAYLOAD_MAX
        && at + (GROUP_HEAD + length) as u64 <= half.at + superblock.half_len;
    if !fits {
        return None;
    }
    let mut payload = vec![0; length];
    image.read(at + GROUP_HEAD as u64, &mut payload);
    let checksum = number32(&head, 68);
    (crc(&[&superblock.salt, &head[..68], &payload]) == checksum).then(|| Group {
        version: half.version,
        sequence: number64(&head, 32),
        epoch: number32(&head, 40),
        previous: number32(&head, 64),
        records: number32(&head, 60),
        is_checkpoint: kind == 2,
        checksum,
        payload,
    })
}

/// How far a chain of groups has been read.
#[derive(Debug, Clone, Copy)]
struct Chain {
    at: u64,
    expected: u64,
    previous: u32,
    epoch: u32,
}

impl Chain {
    const fn of(half: &Half) -> Self {
        Self { at: half.at + BLOCK, expected: half.first, previous: half.seed, epoch: 0 }
    }

    /// The next group, if it is there.
    fn next(&mut self, image: &dyn Image, superblock: &Superblock, half: &Half) -> Option<Group> {
        let group = group_at(image, superblock, half, self.at)?;
        let follows = group.sequence == self.expected
            && group.previous == self.previous
            && group.epoch >= self.epoch;
        if !follows {
            return None;
        }
        self.at = group.end(self.at);
        (self.expected, self.previous, self.epoch) =
            (self.expected + 1, group.checksum, group.epoch);
        Some(group)
    }
}

/// Reads journals on from where they were read last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Follower {
    /// The volume, the half that counted and its generation; and how far it was read.
    last: Option<((Id, u64, u64), Chain)>,
}

impl Follower {
    /// Tells what was filed since the last look. Where another half of the journal counts by now, everything is told anew, and
    /// this is true.
    ///
    /// # Errors
    /// [`Fault`]
    pub(crate) fn follow(
        &mut self,
        image: &dyn Image,
        mut tell: impl FnMut(News),
    ) -> Result<bool, Fault> {
        let superblock = superblock(image)?;
        let half = half_that_counts(image, &superblock)?;
        let journal = (superblock.id, half.at, half.generation);
        let before = self.last.filter(|(of, _)| *of == journal);
        let mut chain = before.map_or_else(|| Chain::of(&half), |(_, chain)| chain);
        while let Some(group) = chain.next(image, &superblock, &half) {
            let mut rest = &group.payload[..];
            while let Some((record, left)) = first_record(rest) {
                rest = left;
                if let Some(news) = News::of(record, half.version) {
                    tell(news);
                }
            }
        }
        self.last = Some((journal, chain));
        Ok(before.is_none())
    }
}

/// Something that a journal tells of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) stream: Id,
    pub(crate) stamp: Stamp,
    pub(crate) what: Told,
    /// What feeds have come to with it.
    pub(crate) slots: Vec<Slot>,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is there.
    Object,
    /// It is deleted.
    Delete,
    /// Nothing of it is kept on this disk any more.
    Gone,
    /// Nothing but what feeds have come to.
    Slots,
}

impl News {
    fn of(record: &[u8], version: u8) -> Option<Self> {
        let [kind, body @ ..] = record else { return None };
        let what = match kind {
            1 => Told::Object,
            2 => Told::Delete,
            3 => Told::Gone,
            7 => Told::Slots,
            _ => return None,
        };
        let slots_at = || match what {
            Told::Object => Some(68 + known_len(body.get(68..)?, version)?),
            Told::Delete => Some(49 + burial_len(body.get(49..)?)?),
            Told::Gone | Told::Slots => Some(40),
        };
        let stamp = Stamp {
            version: Version(number64(body.get(..40)?, 16)),
            etag: Etag::from_bytes(id_at(body, 24)),
        };
        let has_none = version < 3 || what == Told::Gone;
        let slots = if has_none { Vec::new() } else { slots(body.get(slots_at()?..)?)? };
        Some(Self { stream: id_at(body, 0), stamp, what, slots })
    }
}

/// The record at the beginning of these bytes, and what follows it.
fn first_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(4)?;
    let (record, rest) = rest.split_at_checked(number32(length, 0) as usize)?;
    (!record.is_empty()).then_some((record, rest))
}

fn walk(
    image: &dyn Image,
    superblock: &Superblock,
    half: &Half,
    volume: &mut Volume,
) -> Result<(), Fault> {
    let mut chain = Chain::of(half);
    while let Some(group) = chain.next(image, superblock, half) {
        apply(&group, volume)?;
        volume.last = (group.sequence, group.checksum);
    }
    let Chain { at, expected, epoch, .. } = chain;
    if expected <= half.checkpoint_end {
        return Err(Fault::Damaged("the chain ends within its checkpoint".to_owned()));
    }
    let mut beyond = at;
    while beyond < (at + LOOK_BEYOND).min(half.at + superblock.half_len) {
        if group_at(image, superblock, half, beyond)
            .is_some_and(|group| group.sequence >= expected && group.epoch >= epoch)
        {
            return Err(Fault::Damaged(format!("the chain breaks before group {expected}")));
        }
        beyond += BLOCK;
    }
    Ok(())
}

fn apply(group: &Group, volume: &mut Volume) -> Result<(), Fault> {
    let wrong = |what: &str| Fault::Damaged(format!("group {}: {what}", group.sequence));
    let mut rest = &group.payload[..];
    let mut records = 0;
    while !rest.is_empty() {
        let (record, left) = first_record(rest).ok_or_else(|| wrong("a record is cut off"))?;
        rest = left;
        let at = Place { version: group.version, opens: records == 0 && group.is_checkpoint };
        apply_record(record, at, volume).map_err(wrong)?;
        records += 1;
    }
    if records != group.records { Err(wrong("the number of its records is wrong")) } else { Ok(()) }
}

/// Where a record was found.
#[derive(Clone, Copy)]
struct Place {
    version: u8,
    /// It is the first one of a group of a checkpoint.
    opens: bool,
}

fn apply_record(record: &[u8], place: Place, volume: &mut Volume) -> Result<(), &'static str> {
    let (kind, body) = (record[0], &record[1..]);
    match (kind, place.version) {
        (4, version) => {
            if body.len() != 8 || (version == 1 && !place.opens) {
                return Err("a SPACE where none belongs");
            }
            volume.head = number64(body, 0);
            let sound = volume.data.start..=volume.data.end;
            if sound.contains(&volume.head) {
                Ok(())
            } else {
                Err("a head outside the data region")
            }
        }
        (6, 2..) => service(body),
        (8, 3..) if body.len() <= TABLE_MAX => Ok(()),
        (9, 4..) => {
            volume.behind = behind(body)?;
            Ok(())
        }
        (1..=3, _) | (5, 2..) | (7, 3..) => apply_to_stream(record, place.version, volume),
        _ => Err("a record of no known shape"),
    }
}

/// Judges a SERVICE; what the volume is for changes nothing that is filed.
fn service(body: &[u8]) -> Result<(), &'static str> {
    let sound = match body {
        [0, rest @ ..] => rest.iter().all(|byte| *byte == 0),
        [state, cause, pace, ..] => [state, cause, pace].iter().all(|code| matches!(code, 1 | 2)),
        _ => false,
    };
    if body.len() == 11 && sound { Ok(()) } else { Err("a SERVICE of no known shape") }
}

/// What a BEHIND says.
fn behind(body: &[u8]) -> Result<Option<Timestamp>, &'static str> {
    let since = Timestamp(number64(body, 1).cast_signed());
    match (body, since) {
        ([0, ..], Timestamp(0)) if body.len() == 9 => Ok(None),
        ([1, ..], since) if body.len() == 9 => Ok(Some(since)),
        _ => Err("a BEHIND of no known shape"),
    }
}

fn apply_to_stream(record: &[u8], version: u8, volume: &mut Volume) -> Result<(), &'static str> {
    let (kind, body) = (record[0], &record[1..]);
    if body.len() < 40 {
        return Err("a record is too short");
    }
    let (stream, stamp) = (id_at(body, 0), (number64(body, 16), id_at(body, 24)));
    match kind {
        1 => {
            let value = value_of_add(record, version).ok_or("an ADD of no known shape")?;
            let extent = Extent {
                number: number64(body, 40),
                offset: number64(body, 48),
                length: number64(body, 56),
                checksum: number32(body, 64),
            };
            if extent.length > 0 {
                volume.head = volume.head.max(extent.range().end);
            }
            volume.filed.insert(stream, Filed { value, extent: Some(extent), stamp });
        }
        2 => {
            let value =
                value_of_tombstone(record, version).ok_or("a TOMBSTONE of no known shape")?;
            volume.filed.insert(stream, Filed { value, extent: None, stamp });
        }
        3 if body.len() == 40 => {
            if volume.filed.get(&stream).is_some_and(|filed| filed.stamp == stamp) {
                volume.filed.remove(&stream);
            }
        }
        5 if body.len() >= 50 && known_len(&body[48..], version) == Some(body.len() - 48) => {
            let number = number64(body, 40);
            let meant = volume.filed.get_mut(&stream).filter(|filed| {
                filed.stamp == stamp && filed.extent.is_some_and(|extent| extent.number == number)
            });
            if let Some(filed) = meant {
                let old = known_len(&filed.value[NOTE_AT..], 3).unwrap_or(0);
                filed.value.splice(NOTE_AT..NOTE_AT + old, body[48..].iter().copied());
            }
        }
        7 if slots_len(&body[40..]) == Some(body.len() - 40) => {
            let meant = volume.filed.get_mut(&stream).filter(|filed| filed.stamp == stamp);
            if let Some((slots, filed)) =
                meant.and_then(|filed| Some((slots_of(&filed.value)?, filed)))
            {
                filed.value.splice(slots, body[40..].iter().copied());
            }
        }
        _ => return Err("a record of no known shape"),
    }
    Ok(())
}

/// The value of an ADD, brought to version 3.
fn value_of_add(record: &[u8], version: u8) -> Option<Vec<u8>> {
    let (fixed, rest) = record[17..].split_at_checked(NOTE_AT - 1)?;
    let (known, rest) = if version == 1 {
        let (hint, rest) = rest.split_at_checked(16)?;
        let count = u8::from(hint.iter().any(|byte| *byte != 0));
        ([&[0, count][..], if count == 1 { hint } else { &[] }].concat(), rest)
    } else {
        let (known, rest) = rest.split_at_checked(known_len(rest, version)?)?;
        (known.to_vec(), rest)
    };
    let (slots, object) =
        if version < 3 { (NO_SLOTS, rest) } else { rest.split_at_checked(slots_len(rest)?)? };
    // Kind, flags, length, digest, the text of the cluster and the number of headers at least.
    (object.len() >= 34).then(|| [&record[..1], fixed, &known, slots, object].concat())
}

/// The value of a TOMBSTONE, brought to version 3.
fn value_of_tombstone(record: &[u8], version: u8) -> Option<Vec<u8>> {
    let mut value = [&record[..1], &record[17..]].concat();
    if version < 3 {
        value.extend([&[0], NO_SLOTS].concat());
        return (value.len() == BURIAL_AT + 2).then_some(value);
    }
    (slots_of(&value)?.end == value.len()).then_some(value)
}

const NO_SLOTS: &[u8] = &[0];

/// Where in a value of version 3 its slots are.
fn slots_of(value: &[u8]) -> Option<Range<usize>> {
    let at = match value.first()? {
        1 => NOTE_AT + known_len(value.get(NOTE_AT..)?, 3)?,
        _ => BURIAL_AT + burial_len(value.get(BURIAL_AT..)?)?,
    };
    Some(at..at + slots_len(value.get(at..)?)?)
}

/// Length of flags and hints at the beginning of these bytes.
fn known_len(bytes: &[u8], version: u8) -> Option<usize> {
    let [flags, count, ..] = bytes else { return None };
    let flags_max = if version < 3 { 1 } else { 3 };
    let length = 2 + 16 * usize::from(*count);
    let sound = *flags <= flags_max && usize::from(*count) <= HINTS_MAX;
    (sound && length <= bytes.len()).then_some(length)
}

/// CRC-32C over the concatenation.
pub(crate) fn crc(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

pub(crate) fn number32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(crate) fn number64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn id_at(bytes: &[u8], at: usize) -> Id {
    bytes.get(at..at + 16).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
}
