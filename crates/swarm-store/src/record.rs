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
        /// A volume known to hold another replica, for recovery of that volume.
        hint: Option<VolumeId>,
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

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// From here on this is filed under the id, whatever was before.
    File { id: StreamId, value: Vec<u8> },
    /// From here on nothing is filed under the id.
    Remove { id: StreamId, stamp: Stamp },
    /// The end of the last extent ever published, in bytes from the start of the device.
    Space { head: u64 },
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
        }
    }

    /// Reads the next record of a group's payload.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let mut body = Cursor::new(cursor.bytes()?);
        let kind = body.u8()?;
        let entry = match kind {
            ADD | TOMBSTONE => {
                let id = StreamId::from_bytes(body.array()?);
                let mut value = vec![kind];
                value.put(body.rest());
                return Ok(Self::File { id, value });
            }
            REMOVE => {
                Self::Remove { id: StreamId::from_bytes(body.array()?), stamp: stamp(&mut body)? }
            }
            SPACE => Self::Space { head: body.u64()? },
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
        RecordState::Live { meta, hint, extent } => {
            out.push(ADD);
            put_stamp(&mut out, &record.stamp);
            for field in [extent.number, extent.offset, extent.length] {
                out.put_u64(field);
            }
            out.put_u32(extent.checksum);
            out.put(hint.map_or([0; 16], |hint| *hint.as_bytes()).as_slice());
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
            let hint =
                Some(cursor.array()?).filter(|bytes| *bytes != [0; 16]).map(VolumeId::from_bytes);
            RecordState::Live { meta: meta(&mut cursor)?, hint, extent }
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
