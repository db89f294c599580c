//! Extents: where the body of one replica lies, and the checksums that guard it.
//!
//! Owns the arithmetic and the checksums (`docs/on-disk.md`, "Data region"). Does no I/O.

use swarm_types::{StreamId, VolumeId};

use crate::codec::Put;
use crate::layout::align_up;

/// Bodies are checksummed, verified and given out in blocks of this many bytes; the last block of a body may be shorter.
pub const BODY_BLOCK: u64 = 64 << 10;

/// Where the body of one replica lies on its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Unique among all extents ever staged on the volume.
    pub(crate) number: u64,
    /// Where it begins, in bytes from the start of the device; 0 for an empty body.
    pub(crate) offset: u64,
    /// Length of the body in bytes.
    pub(crate) length: u64,
    /// Checksum of the table of block checksums.
    pub(crate) checksum: u32,
}

impl Extent {
    /// Length of the body in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Number of blocks of the body.
    pub(crate) const fn blocks(&self) -> u64 {
        self.length.div_ceil(BODY_BLOCK)
    }

    /// Length of one block of the body.
    pub(crate) const fn block_len(&self, block: u64) -> u64 {
        let rest = self.length - block * BODY_BLOCK;
        if rest < BODY_BLOCK { rest } else { BODY_BLOCK }
    }

    /// Bytes that the extent takes of the data region.
    pub(crate) const fn size(&self) -> u64 {
        size_of_body(self.length)
    }

    /// Where the extent ends; 0 for an empty body.
    pub(crate) const fn end(&self) -> u64 {
        self.offset + self.size()
    }

    /// Where the checksum of a block lies.
    pub(crate) const fn table_at(&self, block: u64) -> u64 {
        self.offset + self.length + 4 * block
    }
}

/// Bytes that a body of this length takes of the data region: body, table of checksums, padding.
pub(crate) const fn size_of_body(length: u64) -> u64 {
    align_up(length.saturating_add(4 * length.div_ceil(BODY_BLOCK)))
}

/// Binds checksums to the place that their bytes belong to, so that bytes of another place never pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding {
    pub(crate) volume: VolumeId,
    pub(crate) stream: StreamId,
    /// [`Extent::number`].
    pub(crate) number: u64,
}

impl Binding {
    /// Checksum of one block of the body.
    pub(crate) fn block(&self, block: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.prefix(block)), bytes)
    }

    /// Checksum of the table of block checksums, as it goes into the journal.
    pub(crate) fn table(&self, length: u64, table: &[u8]) -> u32 {
        crc32c::crc32c_append(self.table_start(length), table)
    }

    /// The same, before the first byte of the table.
    pub(crate) fn table_start(&self, length: u64) -> u32 {
        crc32c::crc32c(&self.prefix(length))
    }

    fn prefix(&self, last: u64) -> Vec<u8> {
        let mut prefix = Vec::with_capacity(48);
        prefix.put(self.volume.as_bytes());
        prefix.put(self.stream.as_bytes());
        prefix.put_u64(self.number);
        prefix.put_u64(last);
        prefix
    }
}
