//! What is filed under a stream id, and its encoding in the journal and in the index.
//!
//! Owns the record codec (`docs/on-disk.md`, "Records" and "Index"). One value encodes what is filed under one id; the
//! journal frames it with the id, the index keeps it under the id.

use bytes::Bytes;
use swarm_types::{
    Etag, Header, HeaderList, ObjectKind, ObjectMeta, Stamp, StreamId, Timestamp, Uuid, Version,
    VolumeId,
};

use crate::codec::{Cursor, Malformed, Put};
use crate::extent::Extent;
use crate::group::Encoding;
use crate::hints::Hints;
use crate::service::Service;

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
    },
    /// It was deleted.
    Tombstone(Tombstone),
}

/// The durable memory of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The delete's place among the versions.
    pub stamp: Stamp,
    /// What was deleted.
    pub kind: ObjectKind,
    /// When the tombstone was written, by the clock of the node that did; tombstones expire by it.
    pub written: Timestamp,
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

    pub(crate) const fn extent(&self) -> Option<&Extent> {
        match &self.state {
            RecordState::Live { extent, .. } => Some(extent),
            RecordState::Tombstone(_) => None,
        }
    }
}

const ADD: u8 = 1;
const TOMBSTONE: u8 = 2;
const REMOVE: u8 = 3;
const SPACE: u8 = 4;
const NOTE: u8 = 5;
const SERVICE: u8 = 6;

/// What may change about a replica without its body being written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) stamp: Stamp,
    /// [`Extent::number`] of the replica meant.
    pub(crate) number: u64,
    pub(crate) hints: Hints,
    pub(crate) quarantined: bool,
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
                put_len(out, 1 + 16 + 24 + 8 + note_bytes(&note.hints));
                out.push(NOTE);
                out.put(id.as_bytes());
                put_stamp(out, &note.stamp);
                out.put_u64(note.number);
                put_note(out, &note.hints, note.quarantined);
            }
            Self::Service(service) => {
                put_len(out, 1 + Service::BYTES);
                out.push(SERVICE);
                service.encode(out);
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
                if kind == ADD && encoding == Encoding::One {
                    value = of_encoding_one(&value)?;
                }
                return Ok(Self::File { id, value });
            }
            REMOVE => {
                Self::Remove { id: StreamId::from_bytes(body.array()?), stamp: stamp(&mut body)? }
            }
            SPACE => Self::Space { head: body.u64()? },
            NOTE if encoding == Encoding::Two => {
                let id = StreamId::from_bytes(body.array()?);
                let (stamp, number) = (stamp(&mut body)?, body.u64()?);
                let (hints, quarantined) = note(&mut body)?;
                Self::Note { id, note: Note { stamp, number, hints, quarantined } }
            }
            SERVICE if encoding == Encoding::Two => Self::Service(Service::decode(&mut body)?),
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
        RecordState::Live { meta, hints, quarantined, extent } => {
            out.push(ADD);
            put_stamp(&mut out, &record.stamp);
            put_extent(&mut out, extent);
            put_note(&mut out, hints, *quarantined);
            put_meta(&mut out, meta);
        }
        RecordState::Tombstone(tombstone) => {
            out.push(TOMBSTONE);
            put_stamp(&mut out, &record.stamp);
            out.push(kind_code(tombstone.kind));
            out.put_i64(tombstone.written.0);
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
            let (hints, quarantined) = note(&mut cursor)?;
            RecordState::Live { meta: meta(&mut cursor)?, hints, quarantined, extent }
        }
        TOMBSTONE => {
            let kind = kind_of(cursor.u8()?)?;
            RecordState::Tombstone(Tombstone { stamp, kind, written: Timestamp(cursor.i64()?) })
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

/// Where in the value of a replica begins what a [`Note`] changes.
const NOTE_AT: usize = EXTENT_AT + 28;

/// Where in the value of a replica its extent is.
const EXTENT_AT: usize = 1 + 24;

const QUARANTINED: u8 = 1;

fn note_bytes(hints: &Hints) -> usize {
    2 + 16 * hints.volumes().len()
}

fn put_note(out: &mut Vec<u8>, hints: &Hints, quarantined: bool) {
    out.push(if quarantined { QUARANTINED } else { 0 });
    hints.encode(out);
}

fn note(cursor: &mut Cursor<'_>) -> Result<(Hints, bool), Malformed> {
    let quarantined = match cursor.u8()? {
        0 => false,
        QUARANTINED => true,
        _ => return Err(Malformed),
    };
    Ok((Hints::decode(cursor)?, quarantined))
}

/// What is known about the replica that a value files; `None` for a tombstone.
pub(crate) fn noted(value: &[u8]) -> Result<Option<(Hints, bool)>, Malformed> {
    match value.first() {
        Some(&ADD) => note(&mut Cursor::new(value.get(NOTE_AT..).ok_or(Malformed)?)).map(Some),
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
    note(&mut cursor)?;
    let mut changed = fixed.to_vec();
    put_note(&mut changed, &new.hints, new.quarantined);
    changed.put(cursor.rest());
    Ok(Some(changed))
}

/// The value with the body at another place.
pub(crate) fn with_extent(value: &[u8], to: &Extent) -> Result<Vec<u8>, Malformed> {
    let (stamped, _) = value.split_at_checked(EXTENT_AT).ok_or(Malformed)?;
    let mut changed = stamped.to_vec();
    put_extent(&mut changed, to);
    changed.put(value.get(NOTE_AT..).ok_or(Malformed)?);
    Ok(changed)
}

/// The value of a replica as format version 1 encoded it, with one hint or zeros, in the newest encoding.
fn of_encoding_one(value: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (fixed, rest) = value.split_at_checked(NOTE_AT).ok_or(Malformed)?;
    let mut cursor = Cursor::new(rest);
    let hint = Some(cursor.array()?).filter(|bytes| *bytes != [0; 16]).map(VolumeId::from_bytes);
    let mut out = fixed.to_vec();
    put_note(&mut out, &Hints::new(hint), false);
    out.put(cursor.rest());
    Ok(out)
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

fn put_meta(out: &mut Vec<u8>, meta: &ObjectMeta) {
    out.push(kind_code(meta.kind));
    let flag = |present: bool, flag: u8| if present { flag } else { 0 };
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
