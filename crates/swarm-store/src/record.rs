//! What is filed under a stream id, and its encoding in the journal and in the index.
//!
//! Owns the record codec (`docs/on-disk.md`, "Records" and "Index"). One value encodes what is filed under one id; the
//! journal frames it with the id, the index keeps it under the id.

use std::sync::Arc;

use bytes::Bytes;
use swarm_types::{
    Etag, FeedSlots, Header, HeaderList, ObjectKind, ObjectMeta, Stamp, StreamId, Timestamp, Uuid,
    Version, VolumeId,
};

use crate::codec::{Cursor, Malformed, Put};
use crate::extent::Extent;
use crate::feeds::FEED_TABLE_MAX;
use crate::group::Encoding;
use crate::hints::Hints;
use crate::service::Service;
use crate::slots::{merged, put_slots, slots, slots_bytes};
use crate::upgrade::upgrade;

/// Largest record with its frame, in bytes. Swarm's own limit on persisted headers is far lower; ours keeps a checkpoint's
/// groups well filled.
pub(crate) const RECORD_MAX: usize = 256 << 10;

/// What a volume has filed under one stream id: at most one record per id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The stream.
    pub id: StreamId,
    /// The version, or the place of the delete among the versions.
    pub stamp: Stamp,
    /// A replica or a tombstone.
    pub state: RecordState,
}

/// See [`Record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordState {
    /// A replica.
    Live {
        /// Its metadata.
        meta: ObjectMeta,
        /// Volumes last known to hold other replicas, for recovery of one of them.
        hints: Hints,
        /// Its bytes are known to be bad: it serves nobody and does not count.
        quarantined: bool,
        /// Where the body lies.
        extent: Extent,
        /// What feeds have come to with this version.
        slots: FeedSlots,
        /// Feeds begin with this replica; the others wait for it.
        first: bool,
    },
    /// It was deleted.
    Tombstone(Tombstone),
}

/// The durable memory of a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The delete's place among the versions.
    pub stamp: Stamp,
    /// What was deleted.
    pub kind: ObjectKind,
    /// When the tombstone was written, by the clock of the node that did; tombstones expire by it.
    pub written: Timestamp,
    /// Permanent UUID of what was deleted, if it had one.
    pub alias: Option<Uuid>,
    /// Alias of the bucket or domain that it was in: what tells a feed whether the delete is in its scope.
    pub parent: Option<Uuid>,
    /// Name of the domain that it was in, for the same reason, as far as known; its own if it was a domain. The domain may be
    /// deleted and made anew before a feed carries the delete over.
    pub name: Option<Arc<str>>,
    /// What feeds have come to with the delete.
    pub slots: FeedSlots,
    /// Feeds begin with this record of the delete.
    pub first: bool,
}

impl Tombstone {
    /// Longest name that is kept, in bytes: that of a domain.
    pub const NAME_MAX: usize = 253;

    /// A delete of which nothing else is known.
    #[must_use]
    pub fn new(stamp: Stamp, kind: ObjectKind, written: Timestamp) -> Self {
        let slots = FeedSlots::default();
        Self { stamp, kind, written, alias: None, parent: None, name: None, slots, first: false }
    }

    /// A delete of what had this metadata, with all of it that is kept.
    #[must_use]
    pub fn of(meta: &ObjectMeta, stamp: Stamp, written: Timestamp) -> Self {
        let is_kept = |name: &&str| meta.kind == ObjectKind::Domain && name.len() <= Self::NAME_MAX;
        let name = meta.name.as_deref().filter(is_kept).map(Arc::from);
        let bare = Self::new(stamp, meta.kind, written);
        Self { alias: meta.alias, parent: meta.cid, name, ..bare }
    }

    /// The same of something that was in this domain.
    #[must_use]
    pub fn in_domain(mut self, domain: Option<&str>) -> Self {
        if self.name.is_none() {
            self.name = domain.filter(|name| name.len() <= Self::NAME_MAX).map(Arc::from);
        }
        self
    }
}

impl Record {
    /// True for a tombstone.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        matches!(self.state, RecordState::Tombstone(_))
    }

    /// The metadata of a replica; `None` for a tombstone.
    #[must_use]
    pub const fn meta(&self) -> Option<&ObjectMeta> {
        match &self.state {
            RecordState::Live { meta, .. } => Some(meta),
            RecordState::Tombstone(_) => None,
        }
    }

    /// The volumes last known to hold other replicas; none for a tombstone.
    #[must_use]
    pub fn hints(&self) -> &[VolumeId] {
        match &self.state {
            RecordState::Live { hints, .. } => hints.volumes(),
            RecordState::Tombstone(_) => &[],
        }
    }

    /// True for a replica whose bytes are known to be bad.
    #[must_use]
    pub const fn is_quarantined(&self) -> bool {
        matches!(self.state, RecordState::Live { quarantined: true, .. })
    }

    /// What feeds have come to with it.
    #[must_use]
    pub const fn slots(&self) -> &FeedSlots {
        match &self.state {
            RecordState::Live { slots, .. } => slots,
            RecordState::Tombstone(tombstone) => &tombstone.slots,
        }
    }

    /// True for the one among the replicas, or records of a delete, that feeds begin with.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        match &self.state {
            RecordState::Live { first, .. } => *first,
            RecordState::Tombstone(tombstone) => tombstone.first,
        }
    }

    pub(crate) const fn extent(&self) -> Option<&Extent> {
        match &self.state {
            RecordState::Live { extent, .. } => Some(extent),
            RecordState::Tombstone(_) => None,
        }
    }
}

pub(crate) const ADD: u8 = 1;
const TOMBSTONE: u8 = 2;
const REMOVE: u8 = 3;
const SPACE: u8 = 4;
const NOTE: u8 = 5;
const SERVICE: u8 = 6;
const FEED: u8 = 7;
const FEED_TABLE: u8 = 8;
const BEHIND: u8 = 9;

/// What may change about a replica without its body being written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) stamp: Stamp,
    /// [`Extent::number`] of the replica meant.
    pub(crate) number: u64,
    pub(crate) known: Known,
}

/// What a [`Note`] tells of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) hints: Hints,
    pub(crate) quarantined: bool,
    pub(crate) first: bool,
}

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// From here on this is filed under the id, whatever was before.
    File { id: StreamId, value: Vec<u8> },
    /// From here on nothing is filed under the id.
    Remove { id: StreamId, stamp: Stamp },
    /// Where the room behind everything published begins, in bytes from the start of the device.
    Space { head: u64 },
    /// If exactly this replica is filed under the id, this is known about it from here on.
    Note { id: StreamId, note: Note },
    /// What the volume is for, from here on.
    Service(Service),
    /// If exactly this version or delete is filed under the id, feeds have come to this with it from here on.
    Feed { id: StreamId, stamp: Stamp, slots: FeedSlots },
    /// The table of feeds, from here on.
    FeedTable(Bytes),
    /// Since when the volume may have missed what happened to its streams, from here on; `None` if it has missed nothing.
    Behind(Option<Timestamp>),
}

impl Entry {
    /// Length of the frame around a value: length, type and stream id.
    const FRAME: usize = 4 + 16;

    /// Bytes that a value with its frame takes in the journal.
    pub(crate) const fn framed(value: &[u8]) -> u64 {
        (value.len() + Self::FRAME) as u64
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::File { id, value } => {
                let (kind, rest) = value.split_first().expect("a value begins with its type");
                put_len(out, 1 + 16 + rest.len());
                out.push(*kind);
                out.put(id.as_bytes());
                out.put(rest);
            }
            Self::Remove { id, stamp } => {
                put_len(out, 1 + 16 + 24);
                out.push(REMOVE);
                out.put(id.as_bytes());
                put_stamp(out, stamp);
            }
            Self::Space { head } => {
                put_len(out, 1 + 8);
                out.push(SPACE);
                out.put_u64(*head);
            }
            Self::Note { id, note } => {
                put_len(out, 1 + 16 + 24 + 8 + known_bytes(&note.known));
                out.push(NOTE);
                out.put(id.as_bytes());
                put_stamp(out, &note.stamp);
                out.put_u64(note.number);
                put_known(out, &note.known);
            }
            Self::Service(service) => {
                put_len(out, 1 + Service::BYTES);
                out.push(SERVICE);
                service.encode(out);
            }
            Self::Feed { id, stamp, slots } => {
                put_len(out, 1 + 16 + 24 + slots_bytes(slots));
                out.push(FEED);
                out.put(id.as_bytes());
                put_stamp(out, stamp);
                put_slots(out, slots);
            }
            Self::FeedTable(table) => {
                put_len(out, 1 + table.len());
                out.push(FEED_TABLE);
                out.put(table);
            }
            Self::Behind(since) => {
                put_len(out, 1 + 1 + 8);
                out.put(&[BEHIND, u8::from(since.is_some())]);
                out.put_i64(since.map_or(0, |since| since.0));
            }
        }
    }

    /// Reads the next record of a group's payload. Values come out in the newest encoding.
    pub(crate) fn decode(cursor: &mut Cursor<'_>, encoding: Encoding) -> Result<Self, Malformed> {
        let mut body = Cursor::new(cursor.bytes()?);
        let kind = body.u8()?;
        let entry = match kind {
            ADD | TOMBSTONE => {
                let id = StreamId::from_bytes(body.array()?);
                let mut value = vec![kind];
                value.put(body.rest());
                return Ok(Self::File { id, value: upgrade(value, encoding)? });
            }
            REMOVE => {
                Self::Remove { id: StreamId::from_bytes(body.array()?), stamp: stamp(&mut body)? }
            }
            SPACE => Self::Space { head: body.u64()? },
            NOTE if encoding != Encoding::One => {
                let id = StreamId::from_bytes(body.array()?);
                let (stamp, number) = (stamp(&mut body)?, body.u64()?);
                let known = read_known(&mut body)?;
                if known.first && encoding < Encoding::Three {
                    return Err(Malformed);
                }
                Self::Note { id, note: Note { stamp, number, known } }
            }
            SERVICE if encoding != Encoding::One => Self::Service(Service::decode(&mut body)?),
            FEED if encoding >= Encoding::Three => {
                let id = StreamId::from_bytes(body.array()?);
                Self::Feed { id, stamp: stamp(&mut body)?, slots: slots(&mut body)? }
            }
            FEED_TABLE if encoding >= Encoding::Three => {
                let table = body.rest();
                if table.len() > FEED_TABLE_MAX {
                    return Err(Malformed);
                }
                return Ok(Self::FeedTable(Bytes::copy_from_slice(table)));
            }
            BEHIND if encoding >= Encoding::Four => {
                Self::Behind(match (body.u8()?, Timestamp(body.i64()?)) {
                    (0, Timestamp(0)) => None,
                    (1, since) => Some(since),
                    _ => return Err(Malformed),
                })
            }
            _ => return Err(Malformed),
        };
        if body.is_empty() { Ok(entry) } else { Err(Malformed) }
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.put_u32(u32::try_from(len).expect("records are limited to RECORD_MAX"));
}

/// Encodes what is filed under an id: the value of the index, and without its frame the record of the journal.
pub(crate) fn encode_value(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    match &record.state {
        RecordState::Live { meta, hints, quarantined, extent, slots, first } => {
            out.push(ADD);
            put_stamp(&mut out, &record.stamp);
            put_extent(&mut out, extent);
            out.push(flag(*quarantined, QUARANTINED) | flag(*first, FIRST));
            hints.encode(&mut out);
            put_slots(&mut out, slots);
            put_meta(&mut out, meta);
        }
        RecordState::Tombstone(tombstone) => {
            out.push(TOMBSTONE);
            put_stamp(&mut out, &record.stamp);
            put_burial(&mut out, tombstone);
            put_slots(&mut out, &tombstone.slots);
        }
    }
    out
}

/// Decodes what [`encode_value`] wrote.
pub(crate) fn decode_value(id: StreamId, value: &[u8]) -> Result<Record, Malformed> {
    let mut cursor = Cursor::new(value);
    let kind = cursor.u8()?;
    let stamp = stamp(&mut cursor)?;
    let state = match kind {
        ADD => {
            let extent = extent(&mut cursor)?;
            let Known { hints, quarantined, first } = read_known(&mut cursor)?;
            let slots = slots(&mut cursor)?;
            let meta = meta(&mut cursor)?;
            RecordState::Live { meta, hints, quarantined, extent, slots, first }
        }
        TOMBSTONE => {
            let mut tombstone = burial(&mut cursor, stamp)?;
            tombstone.slots = slots(&mut cursor)?;
            RecordState::Tombstone(tombstone)
        }
        _ => return Err(Malformed),
    };
    if cursor.is_empty() { Ok(Record { id, stamp, state }) } else { Err(Malformed) }
}

/// What the books need to know of a value, read without its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Brief {
    pub(crate) stamp: Stamp,
    /// None for a tombstone.
    pub(crate) extent: Option<Extent>,
}

/// Reads the fixed part at the beginning of a value.
pub(crate) fn brief(value: &[u8]) -> Result<Brief, Malformed> {
    let mut cursor = Cursor::new(value);
    let kind = cursor.u8()?;
    let stamp = stamp(&mut cursor)?;
    let extent = match kind {
        ADD => Some(extent(&mut cursor)?),
        TOMBSTONE => None,
        _ => return Err(Malformed),
    };
    Ok(Brief { stamp, extent })
}

/// What feeds need to know of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gist {
    pub(crate) stamp: Stamp,
    /// None for a tombstone.
    pub(crate) extent: Option<Extent>,
    pub(crate) kind: ObjectKind,
    pub(crate) alias: Option<Uuid>,
    pub(crate) quarantined: bool,
    pub(crate) first: bool,
    pub(crate) slots: FeedSlots,
}

/// Reads a value as far as feeds need it. Every write passes here twice: nothing is allocated where no feed was.
pub(crate) fn gist(value: &[u8]) -> Result<Gist, Malformed> {
    let mut cursor = Cursor::new(value);
    let record = cursor.u8()?;
    let stamp = stamp(&mut cursor)?;
    match record {
        ADD => {
            let extent = Some(extent(&mut cursor)?);
            let (quarantined, first) = replica_flags(&mut cursor)?;
            Hints::skip(&mut cursor)?;
            let slots = slots(&mut cursor)?;
            let kind = kind_of(cursor.u8()?)?;
            let flags = cursor.u8()?;
            cursor.take(8 + 16)?;
            let has_alias = flags & HAS_ALIAS != 0;
            let alias = has_alias.then(|| cursor.array().map(Uuid::from_bytes)).transpose()?;
            Ok(Gist { stamp, extent, kind, alias, quarantined, first, slots })
        }
        TOMBSTONE => {
            let Tombstone { kind, alias, first, .. } = burial(&mut cursor, stamp)?;
            let slots = slots(&mut cursor)?;
            Ok(Gist { stamp, extent: None, kind, alias, quarantined: false, first, slots })
        }
        _ => Err(Malformed),
    }
}

/// Where in the value of a replica begins what a [`Note`] changes.
pub(crate) const NOTE_AT: usize = EXTENT_AT + 28;

/// Where in the value of a replica its extent is.
const EXTENT_AT: usize = 1 + 24;

/// Flags of the replica.
pub(crate) const QUARANTINED: u8 = 1;
const FIRST: u8 = 2;

const fn flag(present: bool, flag: u8) -> u8 {
    if present { flag } else { 0 }
}

fn known_bytes(known: &Known) -> usize {
    2 + 16 * known.hints.volumes().len()
}

fn put_known(out: &mut Vec<u8>, known: &Known) {
    out.push(flag(known.quarantined, QUARANTINED) | flag(known.first, FIRST));
    known.hints.encode(out);
}

/// Whether the replica is quarantined, and whether it is the first.
fn replica_flags(cursor: &mut Cursor<'_>) -> Result<(bool, bool), Malformed> {
    match cursor.u8()? {
        flags if flags & !(QUARANTINED | FIRST) != 0 => Err(Malformed),
        flags => Ok((flags & QUARANTINED != 0, flags & FIRST != 0)),
    }
}

fn read_known(cursor: &mut Cursor<'_>) -> Result<Known, Malformed> {
    let (quarantined, first) = replica_flags(cursor)?;
    Ok(Known { hints: Hints::decode(cursor)?, quarantined, first })
}

/// What is known about the replica that a value files; `None` for a tombstone.
pub(crate) fn known(value: &[u8]) -> Result<Option<Known>, Malformed> {
    match value.first() {
        Some(&ADD) => {
            read_known(&mut Cursor::new(value.get(NOTE_AT..).ok_or(Malformed)?)).map(Some)
        }
        Some(&TOMBSTONE) => Ok(None),
        _ => Err(Malformed),
    }
}

/// The value with this note; `None` if it files another replica or none.
pub(crate) fn with_note(value: &[u8], new: &Note) -> Result<Option<Vec<u8>>, Malformed> {
    let brief = brief(value)?;
    if brief.stamp != new.stamp || brief.extent.is_none_or(|extent| extent.number != new.number) {
        return Ok(None);
    }
    let (fixed, rest) = value.split_at_checked(NOTE_AT).ok_or(Malformed)?;
    let mut cursor = Cursor::new(rest);
    read_known(&mut cursor)?;
    let mut changed = fixed.to_vec();
    put_known(&mut changed, &new.known);
    changed.put(cursor.rest());
    Ok(Some(changed))
}

/// The value with these slots; `None` if it files another version.
pub(crate) fn with_slots(
    value: &[u8],
    of: Stamp,
    new: &FeedSlots,
) -> Result<Option<Vec<u8>>, Malformed> {
    let mut cursor = Cursor::new(value);
    let record = cursor.u8()?;
    if stamp(&mut cursor)? != of {
        return Ok(None);
    }
    match record {
        ADD => {
            extent(&mut cursor)?;
            replica_flags(&mut cursor)?;
            Hints::skip(&mut cursor)?;
        }
        TOMBSTONE => drop(burial(&mut cursor, of)?),
        _ => return Err(Malformed),
    }
    let rest = cursor.rest();
    let mut changed = value[..value.len() - rest.len()].to_vec();
    let mut cursor = Cursor::new(rest);
    slots(&mut cursor)?;
    put_slots(&mut changed, new);
    changed.put(cursor.rest());
    Ok(Some(changed))
}

/// The value of a replica that takes the place of a bad one of the same version: what feeds had come to with that one is
/// true of this one too, and so is whether they begin here.
pub(crate) fn in_place_of(value: Vec<u8>, bad: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (new, old) = (gist(&value)?, gist(bad)?);
    if new.extent.is_none() {
        return Ok(value);
    }
    let mut value = if old.slots.is_empty() {
        value
    } else {
        let slots = merged(&new.slots, &old.slots);
        with_slots(&value, new.stamp, &slots)?.ok_or(Malformed)?
    };
    if let Some(flags) = value.get_mut(NOTE_AT).filter(|_| old.first) {
        *flags |= FIRST;
    }
    Ok(value)
}

/// The value with the body at another place.
pub(crate) fn with_extent(value: &[u8], to: &Extent) -> Result<Vec<u8>, Malformed> {
    let (stamped, _) = value.split_at_checked(EXTENT_AT).ok_or(Malformed)?;
    let mut changed = stamped.to_vec();
    put_extent(&mut changed, to);
    changed.put(value.get(NOTE_AT..).ok_or(Malformed)?);
    Ok(changed)
}

fn put_extent(out: &mut Vec<u8>, extent: &Extent) {
    for field in [extent.number, extent.offset, extent.length] {
        out.put_u64(field);
    }
    out.put_u32(extent.checksum);
}

fn extent(cursor: &mut Cursor<'_>) -> Result<Extent, Malformed> {
    let (number, offset, length) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
    Ok(Extent { number, offset, length, checksum: cursor.u32()? })
}

fn put_stamp(out: &mut Vec<u8>, stamp: &Stamp) {
    out.put_u64(stamp.version.0);
    out.put(stamp.etag.as_bytes());
}

fn stamp(cursor: &mut Cursor<'_>) -> Result<Stamp, Malformed> {
    Ok(Stamp { version: Version(cursor.u64()?), etag: Etag::from_bytes(cursor.array()?) })
}

const HAS_ALIAS: u8 = 1;
const HAS_CID: u8 = 2;
const HAS_NAME: u8 = 4;
const HAS_OWNER: u8 = 8;
/// In the place of the owner: tombstones have none.
const FIRST_BURIED: u8 = 8;

/// What a tombstone says behind its stamp and before its slots.
fn put_burial(out: &mut Vec<u8>, tombstone: &Tombstone) {
    let Tombstone { kind, written, alias, parent, first, .. } = tombstone;
    let name = tombstone.name.as_deref().filter(|name| name.len() <= Tombstone::NAME_MAX);
    out.push(kind_code(*kind));
    out.put_i64(written.0);
    out.push(
        flag(alias.is_some(), HAS_ALIAS)
            | flag(parent.is_some(), HAS_CID)
            | flag(name.is_some(), HAS_NAME)
            | flag(*first, FIRST_BURIED),
    );
    for uuid in [alias, parent].into_iter().flatten() {
        out.put(uuid.as_bytes());
    }
    if let Some(name) = name {
        out.put_bytes(name.as_bytes());
    }
}

/// Reads what [`put_burial`] wrote.
fn burial(cursor: &mut Cursor<'_>, stamp: Stamp) -> Result<Tombstone, Malformed> {
    let kind = kind_of(cursor.u8()?)?;
    let mut tombstone = Tombstone::new(stamp, kind, Timestamp(cursor.i64()?));
    let flags = cursor.u8()?;
    if flags & !(HAS_ALIAS | HAS_CID | HAS_NAME | FIRST_BURIED) != 0 {
        return Err(Malformed);
    }
    let mut uuid =
        |flag: u8| (flags & flag != 0).then(|| cursor.array().map(Uuid::from_bytes)).transpose();
    (tombstone.alias, tombstone.parent) = (uuid(HAS_ALIAS)?, uuid(HAS_CID)?);
    if flags & HAS_NAME != 0 {
        let name = cursor.text()?;
        if name.len() > Tombstone::NAME_MAX {
            return Err(Malformed);
        }
        tombstone.name = Some(name.into());
    }
    tombstone.first = flags & FIRST_BURIED != 0;
    Ok(tombstone)
}

fn put_meta(out: &mut Vec<u8>, meta: &ObjectMeta) {
    out.push(kind_code(meta.kind));
    out.push(
        flag(meta.alias.is_some(), HAS_ALIAS)
            | flag(meta.cid.is_some(), HAS_CID)
            | flag(meta.name.is_some(), HAS_NAME)
            | flag(meta.owner.is_some(), HAS_OWNER),
    );
    out.put_u64(meta.length);
    out.put(&meta.digest);
    for uuid in [meta.alias, meta.cid].into_iter().flatten() {
        out.put(uuid.as_bytes());
    }
    for text in [meta.name.as_deref(), meta.owner.as_deref(), Some(meta.cluster.as_str())]
        .into_iter()
        .flatten()
    {
        out.put_bytes(text.as_bytes());
    }
    out.put_u32(u32::try_from(meta.headers.0.len()).unwrap_or(u32::MAX));
    for header in meta.headers.iter() {
        out.put_bytes(header.name.as_bytes());
        out.put_bytes(&header.value);
    }
}

fn meta(cursor: &mut Cursor<'_>) -> Result<ObjectMeta, Malformed> {
    let kind = kind_of(cursor.u8()?)?;
    let flags = cursor.u8()?;
    let length = cursor.u64()?;
    let digest = cursor.array()?;
    let mut uuid =
        |flag: u8| (flags & flag != 0).then(|| cursor.array().map(Uuid::from_bytes)).transpose();
    let (alias, cid) = (uuid(HAS_ALIAS)?, uuid(HAS_CID)?);
    let mut text = |flag: u8| (flags & flag != 0).then(|| cursor.text()).transpose();
    let (name, owner) = (text(HAS_NAME)?, text(HAS_OWNER)?);
    let cluster = cursor.text()?;
    let mut headers = HeaderList::default();
    for _ in 0..cursor.u32()? {
        let name = cursor.text()?;
        headers.0.push(Header::new(name, Bytes::copy_from_slice(cursor.bytes()?)));
    }
    Ok(ObjectMeta { kind, alias, cid, name, cluster, owner, headers, length, digest })
}

const fn kind_code(kind: ObjectKind) -> u8 {
    match kind {
        ObjectKind::Immutable => 1,
        ObjectKind::Alias => 2,
        ObjectKind::Named => 3,
        ObjectKind::Bucket => 4,
        ObjectKind::Domain => 5,
    }
}

const fn kind_of(code: u8) -> Result<ObjectKind, Malformed> {
    Ok(match code {
        1 => ObjectKind::Immutable,
        2 => ObjectKind::Alias,
        3 => ObjectKind::Named,
        4 => ObjectKind::Bucket,
        5 => ObjectKind::Domain,
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests;
