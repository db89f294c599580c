//! Groups and half headers: the frames of the journal.
//!
//! Owns their codec (`docs/on-disk.md`, "Journal"). Does no I/O and does not look into payloads.

use swarm_types::{Timestamp, VolumeId};

use crate::codec::{Cursor, Malformed, Put};
use crate::layout::{BLOCK, align_up, usize_of};
use crate::record::RECORD_MAX;

/// How the records of a half are encoded; its magics say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Encoding {
    /// Read, and brought to [`Self::NEWEST`] at mount.
    One,
    /// The same.
    Two,
    /// The same.
    Three,
    /// What is written.
    Four,
}

impl Encoding {
    const ALL: [Self; 4] = [Self::One, Self::Two, Self::Three, Self::Four];

    /// What is written.
    pub(crate) const NEWEST: Self = Self::Four;

    const fn group_magic(self) -> &'static [u8; 8] {
        match self {
            Self::One => b"SWGROUP1",
            Self::Two => b"SWGROUP2",
            Self::Three => b"SWGROUP3",
            Self::Four => b"SWGROUP4",
        }
    }

    const fn half_magic(self) -> &'static [u8; 8] {
        match self {
            Self::One => b"SWHALF_1",
            Self::Two => b"SWHALF_2",
            Self::Three => b"SWHALF_3",
            Self::Four => b"SWHALF_4",
        }
    }
}

/// Length of a group's header in bytes.
pub(crate) const GROUP_HEADER: usize = 72;

/// Largest payload that any group has: a full one of checkpoint size, or one record.
pub(crate) const PAYLOAD_MAX: usize = (512 << 10) + RECORD_MAX;

/// What binds a journal's checksums to its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) volume: VolumeId,
    pub(crate) salt: u64,
}

impl Seal {
    fn checksum(&self, parts: [&[u8]; 2]) -> u32 {
        parts.iter().fold(crc32c::crc32c(&self.salt.to_le_bytes()), |sum, part| {
            crc32c::crc32c_append(sum, part)
        })
    }
}

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupKind {
    /// A commit group; without records it only tells that the volume is in use.
    Commit,
    /// A part of the checkpoint at the beginning of a half.
    Checkpoint,
    /// The volume was mounted; the records put right what a crash had left.
    Mount,
    /// The volume was unmounted; everything before is durable.
    Clean,
}

impl GroupKind {
    const ALL: [Self; 4] = [Self::Commit, Self::Checkpoint, Self::Mount, Self::Clean];

    const fn code(self) -> u32 {
        match self {
            Self::Commit => 1,
            Self::Checkpoint => 2,
            Self::Mount => 3,
            Self::Clean => 4,
        }
    }
}

/// The header of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    /// Of the half; grows with every checkpoint.
    pub(crate) generation: u64,
    /// Grows by one with every group.
    pub(crate) sequence: u64,
    /// Grows by one with every mount.
    pub(crate) epoch: u32,
    pub(crate) kind: GroupKind,
    /// When it was written, by the node's clock.
    pub(crate) wall: Timestamp,
    pub(crate) payload_len: u32,
    pub(crate) records: u32,
    /// [`Chained::checksum`] of the group before.
    pub(crate) previous: u32,
}

/// A header with the checksum that the next group chains to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chained {
    pub(crate) header: GroupHeader,
    pub(crate) checksum: u32,
}

impl GroupHeader {
    /// Encodes the group in the newest encoding, padded to whole blocks.
    pub(crate) fn encode(&self, seal: &Seal, payload: &[u8]) -> (Vec<u8>, u32) {
        let size = group_size(payload.len());
        let mut out = Vec::with_capacity(usize_of(size));
        out.put(Encoding::NEWEST.group_magic());
        out.put(seal.volume.as_bytes());
        out.put_u64(self.generation);
        out.put_u64(self.sequence);
        out.put_u32(self.epoch);
        out.put_u32(self.kind.code());
        out.put_i64(self.wall.0);
        out.put_u32(self.payload_len);
        out.put_u32(self.records);
        out.put_u32(self.previous);
        let checksum = seal.checksum([&out, payload]);
        out.put_u32(checksum);
        out.put(payload);
        out.resize(usize_of(size), 0);
        (out, checksum)
    }

    /// Reads the header of a group in a half of this encoding; whether it is true shows only with [`Chained::checks`].
    pub(crate) fn decode(
        seal: &Seal,
        encoding: Encoding,
        bytes: &[u8],
    ) -> Result<Chained, Malformed> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != *encoding.group_magic() || cursor.array()? != *seal.volume.as_bytes()
        {
            return Err(Malformed);
        }
        let (generation, sequence, epoch) = (cursor.u64()?, cursor.u64()?, cursor.u32()?);
        let code = cursor.u32()?;
        let kind = GroupKind::ALL.into_iter().find(|kind| kind.code() == code).ok_or(Malformed)?;
        let wall = Timestamp(cursor.i64()?);
        let (payload_len, records, previous) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let checksum = cursor.u32()?;
        if usize::try_from(payload_len).map_or(true, |len| len > PAYLOAD_MAX) {
            return Err(Malformed);
        }
        let header =
            Self { generation, sequence, epoch, kind, wall, payload_len, records, previous };
        Ok(Chained { header, checksum })
    }

    /// Bytes that the group takes in the journal.
    pub(crate) fn size(&self) -> u64 {
        align_up(GROUP_HEADER as u64 + u64::from(self.payload_len))
    }
}

impl Chained {
    /// True if these bytes, header and payload, have the checksum that they carry.
    pub(crate) fn checks(&self, seal: &Seal, group: &[u8]) -> bool {
        let payload_end = GROUP_HEADER + self.header.payload_len as usize;
        match (group.get(..GROUP_HEADER - 4), group.get(GROUP_HEADER..payload_end)) {
            (Some(header), Some(payload)) => seal.checksum([header, payload]) == self.checksum,
            _ => false,
        }
    }
}

/// Bytes that a group with a payload of this length takes in the journal.
pub(crate) const fn group_size(payload_len: usize) -> u64 {
    align_up((GROUP_HEADER + payload_len) as u64)
}

/// Whether a half is the one to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HalfState {
    Active,
    /// A half of the next generation was active when this was written.
    Superseded,
}

/// The first block of a half. It is written when the checkpoint behind it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfHeader {
    pub(crate) encoding: Encoding,
    pub(crate) generation: u64,
    /// Sequence of the first group.
    pub(crate) first: u64,
    /// Sequence of the last group of the checkpoint.
    pub(crate) checkpoint_end: u64,
    /// [`GroupHeader::previous`] of the first group.
    pub(crate) seed: u32,
    pub(crate) state: HalfState,
}

impl HalfHeader {
    /// One block.
    pub(crate) fn encode(&self, seal: &Seal) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize_of(BLOCK));
        out.put(self.encoding.half_magic());
        out.put(seal.volume.as_bytes());
        out.put_u64(self.generation);
        out.put_u64(self.first);
        out.put_u64(self.checkpoint_end);
        out.put_u32(self.seed);
        out.put_u32(match self.state {
            HalfState::Active => 1,
            HalfState::Superseded => 2,
        });
        out.put_u32(0);
        out.put_u32(seal.checksum([&out, &[]]));
        out.resize(usize_of(BLOCK), 0);
        out
    }

    /// The header in this block, if it is whole.
    pub(crate) fn decode(seal: &Seal, block: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(block);
        let magic = cursor.array()?;
        let encoding = Encoding::ALL.into_iter().find(|encoding| *encoding.half_magic() == magic);
        let encoding = encoding.ok_or(Malformed)?;
        if cursor.array()? != *seal.volume.as_bytes() {
            return Err(Malformed);
        }
        let (generation, first, checkpoint_end) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let seed = cursor.u32()?;
        let state = match cursor.u32()? {
            1 => HalfState::Active,
            2 => HalfState::Superseded,
            _ => return Err(Malformed),
        };
        cursor.u32()?;
        let expected = seal.checksum([block.get(..60).ok_or(Malformed)?, &[]]);
        if cursor.u32()? != expected {
            return Err(Malformed);
        }
        Ok(Self { encoding, generation, first, checkpoint_end, seed, state })
    }
}
