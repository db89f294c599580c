//! Reading a body: block by block, each verified before it is given out.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use swarm_env::{Bug, Disk};

use crate::codec::Cursor;
use crate::error::ReadError;
use crate::extent::{BODY_BLOCK, Binding, Extent};
use crate::layout::usize_of;
use crate::record::Record;
use crate::volume::{InFlight, Shared};

/// Blocks read at once after the first: fewer, larger reads for long bodies.
pub(crate) const READ_AHEAD: u64 = 4;

/// Checksums read at once: those of 256 MiB of body in 16 KiB.
pub(crate) const TABLE_PAGE: u64 = 4096;

/// The verified body of one replica. It goes on to read that version while newer ones are published.
pub struct Reader {
    shared: Arc<Shared>,
    binding: Binding,
    extent: Extent,
    _pin: Pin,
    /// The next block to give out.
    block: u64,
    /// Unverified bytes from that block on.
    ahead: Bytes,
    table: TablePage,
    _in_flight: InFlight,
}

impl Reader {
    pub(crate) fn new(shared: &Arc<Shared>, pinned: PinnedExtent) -> Self {
        let in_flight = InFlight::new(shared);
        let PinnedExtent { binding, extent, pin } = pinned;
        Self {
            shared: Arc::clone(shared),
            binding,
            extent,
            _pin: pin,
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
        let trusting = self.shared.env.planted(Bug::ServeUnverified);
        self.next_block(trusting).await
    }

    /// The next block, compared with its checksum unless the reader is `trusting`.
    pub(crate) async fn next_block(&mut self, trusting: bool) -> Result<Option<Bytes>, ReadError> {
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
        if !true_bytes && !trusting {
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

/// Keeps what an extent holds from being written over while it is read, whatever becomes of its record.
pub(crate) struct Pin {
    shared: Arc<Shared>,
    offset: u64,
}

impl Pin {
    fn new(shared: &Arc<Shared>, extent: &Extent) -> Self {
        shared.books().room.pin(extent.offset, extent.size());
        Self { shared: Arc::clone(shared), offset: extent.offset }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.shared.books().room.unpin(self.offset);
    }
}

/// An extent that is filed when the pin is set, so that its bytes stay what they are until it is gone.
pub(crate) struct PinnedExtent {
    pub(crate) binding: Binding,
    pub(crate) extent: Extent,
    pub(crate) pin: Pin,
}

impl PinnedExtent {
    /// Pins where the body of this version lies now, which is another place than the record's if it was moved; `None` if
    /// the version is not filed any more.
    pub(crate) fn new(shared: &Arc<Shared>, record: &Record) -> Option<Self> {
        let mut extent = *record.extent()?;
        loop {
            // First the pin, then the look: room is given up only after the index was told.
            let pin = Pin::new(shared, &extent);
            let filed = shared.filed(record.id)?;
            let now = filed.extent.filter(|_| filed.stamp == record.stamp)?;
            if now.number == extent.number {
                let volume = shared.superblock.volume;
                let binding = Binding { volume, stream: record.id, number: now.number };
                return Some(Self { binding, extent: now, pin });
            }
            extent = now;
        }
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
