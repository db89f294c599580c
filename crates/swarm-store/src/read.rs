//! Reading a body: block by block, each verified before it is given out.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use swarm_env::{Bug, Disk};

use crate::codec::Cursor;
use crate::error::ReadError;
use crate::extent::{BODY_BLOCK, Binding, Extent};
use crate::layout::usize_of;
use crate::volume::{InFlight, Shared};

/// Blocks read at once after the first: fewer, larger reads for long bodies.
const READ_AHEAD: u64 = 4;

/// Checksums read at once: those of 256 MiB of body in 16 KiB.
const TABLE_PAGE: u64 = 4096;

/// The verified body of one replica. It goes on to read that version while newer ones are published.
pub struct Reader {
    shared: Arc<Shared>,
    binding: Binding,
    extent: Extent,
    /// The next block to give out.
    block: u64,
    /// Unverified bytes from that block on.
    ahead: Bytes,
    table: TablePage,
    _in_flight: InFlight,
}

impl Reader {
    pub(crate) fn new(shared: &Arc<Shared>, binding: Binding, extent: Extent) -> Self {
        let in_flight = InFlight::new(shared);
        Self {
            shared: Arc::clone(shared),
            binding,
            extent,
            block: 0,
            ahead: Bytes::new(),
            table: TablePage::default(),
            _in_flight: in_flight,
        }
    }

    /// The next block, at most [`BODY_BLOCK`] bytes; `None` at the end. After an error the same block is tried again.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`], [`ReadError::Disk`], [`ReadError::Gone`]: no byte of the block is given out.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if self.shared.check_open().is_err() {
            return Err(ReadError::Gone);
        }
        if self.block == self.extent.blocks() {
            return Ok(None);
        }
        let at = self.position();
        let failed = |source| ReadError::Disk { at, source };
        if self.extent.blocks() == 1 {
            self.read_all().await.map_err(failed)?;
        } else if self.ahead.is_empty() {
            self.read_ahead().await.map_err(failed)?;
        }
        let expected = self
            .table
            .checksum(&self.shared.disk, &self.extent, self.block)
            .await
            .map_err(failed)?;
        let bytes = self.ahead.split_to(usize_of(self.extent.block_len(self.block)));
        let true_bytes = self.binding.block(self.block, &bytes) == expected;
        if !true_bytes && !self.shared.env.planted(Bug::ServeUnverified) {
            // The next try reads the disk again.
            self.ahead = Bytes::new();
            self.table = TablePage::default();
            return Err(ReadError::Corrupt { at });
        }
        self.block += 1;
        Ok(Some(bytes))
    }

    /// Where the next block begins in the body, in bytes.
    #[must_use]
    pub fn position(&self) -> u64 {
        (self.block * BODY_BLOCK).min(self.extent.length)
    }

    /// Goes to the block that holds this byte of the body: the next block begins at or before it. Beyond the end it goes
    /// to the end.
    pub fn seek(&mut self, at: u64) {
        self.block = (at / BODY_BLOCK).min(self.extent.blocks());
        if at >= self.extent.length {
            self.block = self.extent.blocks();
        }
        self.ahead = Bytes::new();
    }

    /// Reads a body of one block with its checksum.
    async fn read_all(&mut self) -> io::Result<()> {
        let Extent { offset, length, .. } = self.extent;
        let mut bytes = self.shared.disk.read_at(offset, usize_of(length + 4)).await?;
        self.ahead = bytes.split_to(usize_of(length));
        self.table = TablePage { first: 0, bytes };
        Ok(())
    }

    /// Reads some blocks: one at first, because many readers look no further.
    async fn read_ahead(&mut self) -> io::Result<()> {
        let count = if self.block == 0 { 1 } else { READ_AHEAD };
        let from = self.block * BODY_BLOCK;
        let len = (count * BODY_BLOCK).min(self.extent.length - from);
        self.ahead = self.shared.disk.read_at(self.extent.offset + from, usize_of(len)).await?;
        Ok(())
    }
}

/// A part of the table of checksums.
#[derive(Default)]
struct TablePage {
    /// Block of the first checksum.
    first: u64,
    bytes: Bytes,
}

impl TablePage {
    /// The checksum that a block should have.
    async fn checksum(
        &mut self,
        disk: &Arc<dyn Disk>,
        extent: &Extent,
        block: u64,
    ) -> io::Result<u32> {
        let held = self.first..self.first + self.bytes.len() as u64 / 4;
        if !held.contains(&block) {
            let count = TABLE_PAGE.min(extent.blocks() - block);
            self.bytes = disk.read_at(extent.table_at(block), usize_of(4 * count)).await?;
            self.first = block;
        }
        let at = usize_of(4 * (block - self.first));
        let entry = self.bytes.get(at..).unwrap_or_default();
        Cursor::new(entry).u32().map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Whether an extent holds exactly what was published: every block and the table, against the journal's checksum.
pub(crate) async fn extent_is_whole(
    disk: &Arc<dyn Disk>,
    binding: &Binding,
    extent: &Extent,
) -> io::Result<bool> {
    let mut sum = binding.table_start(extent.length);
    let mut page = Bytes::new();
    let mut block = 0;
    while block < extent.blocks() {
        if page.is_empty() {
            let count = TABLE_PAGE.min(extent.blocks() - block);
            page = disk.read_at(extent.table_at(block), usize_of(4 * count)).await?;
            sum = crc32c::crc32c_append(sum, &page);
        }
        let from = block * BODY_BLOCK;
        let len = (READ_AHEAD * BODY_BLOCK).min(extent.length - from);
        let bytes = disk.read_at(extent.offset + from, usize_of(len)).await?;
        for bytes in bytes.chunks(usize_of(BODY_BLOCK)) {
            if page.is_empty() || binding.block(block, bytes) != page.get_u32_le() {
                return Ok(false);
            }
            block += 1;
        }
    }
    Ok(sum == extent.checksum)
}
