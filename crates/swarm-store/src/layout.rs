//! Where the regions of a volume lie, and the superblock that says so.
//!
//! Owns the geometry and the superblock's codec (`docs/on-disk.md`, "Regions" and "Superblock"). Does no I/O.

use swarm_types::{ClusterName, Timestamp, VolumeId};

use crate::codec::{Cursor, Malformed, Put};
use crate::feeds::FEED_TABLE_MAX;

/// Version of the byte layout written by this crate.
pub const FORMAT_VERSION: u32 = 4;

/// Oldest version that is still mounted.
const FORMAT_VERSION_MIN: u32 = 1;

/// Smallest device that can be formatted, in bytes: below it a journal half cannot hold a checkpoint and a group.
pub const DEVICE_MIN: u64 = 2 << 20;

/// Unit of alignment: what a disk writes whole or not at all at best, and where tearing is expected.
pub(crate) const BLOCK: u64 = 4096;

/// The journal's share of a device: one part in this many (about 4%, our choice).
const JOURNAL_SHARE: u64 = 25;

/// A journal below this size holds too few records of small objects; it is given up to [`JOURNAL_SHARE_MAX`] of a small device.
const JOURNAL_MIN: u64 = 256 << 20;

/// Largest share of a small device that goes to the journal: one part in this many.
const JOURNAL_SHARE_MAX: u64 = 8;

/// Longest cluster name that a superblock holds, in bytes.
pub(crate) const CLUSTER_NAME_MAX: usize = 1024;

const MAGIC: &[u8; 8] = b"SWARMVOL";
const CHECKSUM_AT: usize = 4092;

/// Rounds up to the next multiple of [`BLOCK`].
pub(crate) const fn align_up(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

/// Rounds down to a multiple of [`BLOCK`].
pub(crate) const fn align_down(bytes: u64) -> u64 {
    bytes / BLOCK * BLOCK
}

/// A length in memory from one on disk; only used below limits that fit every platform.
pub(crate) fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).expect("lengths of buffers are limited far below the address space")
}

/// Where the regions of one volume lie, in bytes from the start of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Size of the device, a multiple of [`BLOCK`].
    pub(crate) device: u64,
    /// Where the two halves of the journal begin.
    pub(crate) halves: [u64; 2],
    /// Length of one half.
    pub(crate) half_len: u64,
    /// Where the data region begins.
    pub(crate) data: u64,
    /// Length of the data region.
    pub(crate) data_len: u64,
}

impl Layout {
    /// The layout of a new volume on a device of this many bytes; `None` below [`DEVICE_MIN`].
    pub(crate) fn of_device(capacity: u64) -> Option<Self> {
        let device = align_down(capacity);
        if device < DEVICE_MIN {
            return None;
        }
        let journal = (device / JOURNAL_SHARE).max(JOURNAL_MIN.min(device / JOURNAL_SHARE_MAX));
        let half_len = align_down(journal / 2);
        let data = BLOCK + 2 * half_len;
        let halves = [BLOCK, BLOCK + half_len];
        Some(Self { device, halves, half_len, data, data_len: device - BLOCK - data })
    }

    /// Where the two copies of the superblock lie.
    pub(crate) const fn superblocks(&self) -> [u64; 2] {
        [0, self.device - BLOCK]
    }

    /// Largest payload of a commit group of more than one record. Small against a half, so that what a checkpoint leaves
    /// free always takes a group.
    pub(crate) fn group_payload_max(&self) -> usize {
        usize_of((self.half_len / 8).min(512 << 10))
    }

    /// Records filed on the volume may take this many bytes of journal before further objects are refused; the rest of a
    /// half is left to tombstones, which must find room longer, and to the groups between two checkpoints.
    pub(crate) const fn records_max(&self) -> u64 {
        self.half_len / 8 * 5
    }

    /// The same for what feeds have come to: beyond what objects may take, and without what is left to tombstones alone.
    pub(crate) const fn slots_max(&self) -> u64 {
        self.half_len / 16 * 11
    }

    /// The same for tombstones.
    pub(crate) const fn tombstones_max(&self) -> u64 {
        self.half_len / 8 * 6
    }

    /// Longest table of feeds: one that a commit group takes.
    pub(crate) fn feed_table_max(&self) -> usize {
        self.group_payload_max().min(FEED_TABLE_MAX)
    }

    fn is_sound(&self) -> bool {
        let Self { device, halves: [a, b], half_len, data, data_len } = *self;
        let edges = [
            Some(BLOCK),
            a.checked_add(half_len),
            b.checked_add(half_len),
            data.checked_add(data_len),
        ];
        let aligned = [device, a, b, half_len, data, data_len].iter().all(|edge| edge % BLOCK == 0);
        aligned
            && half_len >= 16 * BLOCK
            && edges == [Some(a), Some(b), Some(data), device.checked_sub(BLOCK)]
    }
}

/// What a superblock says; written at format and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// The format version that it was formatted with; the journal says which one it is in now.
    pub(crate) version: u32,
    pub(crate) volume: VolumeId,
    pub(crate) cluster: ClusterName,
    pub(crate) layout: Layout,
    /// Goes into every checksum of the journal, so that no client can craft bytes that look like a part of it.
    pub(crate) salt: u64,
    pub(crate) formatted: Timestamp,
}

/// What a block in the place of a superblock turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Superblock(Superblock),
    /// No trace of a volume.
    Blank,
    /// A volume of another format version.
    Version(u32),
    /// It was a superblock once.
    Damaged,
}

impl Superblock {
    /// One block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(usize_of(BLOCK));
        out.put(MAGIC);
        out.put_u32(self.version);
        out.put_u32(0);
        out.put(self.volume.as_bytes());
        let Layout { device, halves, half_len, data, data_len } = self.layout;
        for field in [device, halves[0], halves[1], half_len, data, data_len, self.salt] {
            out.put_u64(field);
        }
        out.put_i64(self.formatted.0);
        out.put_bytes(self.cluster.as_str().as_bytes());
        out.resize(CHECKSUM_AT, 0);
        out.put_u32(crc32c::crc32c(&out));
        out
    }

    /// Judges one block.
    pub(crate) fn decode(block: &[u8]) -> Found {
        if !block.starts_with(MAGIC) {
            return Found::Blank;
        }
        let Some((content, checksum)) = block.split_at_checked(CHECKSUM_AT) else {
            return Found::Damaged;
        };
        if crc32c::crc32c(content).to_le_bytes() != checksum {
            return Found::Damaged;
        }
        let version = Cursor::new(&content[8..]).u32();
        match version {
            Ok(FORMAT_VERSION_MIN..=FORMAT_VERSION) => {
                Self::fields(content).map_or(Found::Damaged, Found::Superblock)
            }
            Ok(other) => Found::Version(other),
            Err(Malformed) => Found::Damaged,
        }
    }

    fn fields(content: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(content);
        cursor.take(8)?;
        let version = cursor.u32()?;
        cursor.take(4)?;
        let volume = VolumeId::from_bytes(cursor.array()?);
        let device = cursor.u64()?;
        let halves = [cursor.u64()?, cursor.u64()?];
        let layout = Layout {
            device,
            halves,
            half_len: cursor.u64()?,
            data: cursor.u64()?,
            data_len: cursor.u64()?,
        };
        let salt = cursor.u64()?;
        let formatted = Timestamp(cursor.i64()?);
        let cluster = ClusterName::from(cursor.text()?.as_str());
        if layout.is_sound() {
            Ok(Self { version, volume, cluster, layout, salt, formatted })
        } else {
            Err(Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(device: u64) -> Superblock {
        Superblock {
            version: FORMAT_VERSION,
            volume: VolumeId::from_bytes([7; 16]),
            cluster: ClusterName::from("main"),
            layout: Layout::of_device(device).expect("large enough"),
            salt: 99,
            formatted: Timestamp::from_secs(5),
        }
    }

    #[test]
    fn regions_fill_the_device_without_gap_or_overlap() {
        for device in [DEVICE_MIN, DEVICE_MIN + 4095, 64 << 20, 10 << 30, 4 << 40] {
            let layout = Layout::of_device(device).expect("large enough");
            assert!(layout.is_sound(), "{layout:?}");
        }
        assert_eq!(Layout::of_device(DEVICE_MIN - 1), None);
    }

    #[test]
    fn a_superblock_survives_its_encoding_and_notices_any_flipped_byte() {
        let superblock = superblock(64 << 20);
        let block = superblock.encode();
        assert_eq!(block.len(), 4096);
        assert_eq!(Superblock::decode(&block), Found::Superblock(superblock));
        for at in 8..4096 {
            let mut bad = block.clone();
            bad[at] ^= 1;
            assert_eq!(Superblock::decode(&bad), Found::Damaged, "byte {at}");
        }
        assert_eq!(Superblock::decode(&[0; 4096]), Found::Blank);
    }

    #[test]
    fn another_format_version_is_told_apart_from_damage() {
        let mut block = superblock(64 << 20).encode();
        block[8] = 5;
        let checksum = crc32c::crc32c(&block[..CHECKSUM_AT]).to_le_bytes();
        block[CHECKSUM_AT..].copy_from_slice(&checksum);
        assert_eq!(Superblock::decode(&block), Found::Version(5));
    }
}
