//! Verifying what is stored: every block of a body and the table of their checksums, against what was published.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use swarm_env::{Bug, Disk, SyncMode};

use crate::extent::{BODY_BLOCK, Binding, Extent};
use crate::layout::usize_of;
use crate::read::{PinnedExtent, READ_AHEAD, TABLE_PAGE};
use crate::volume::{InFlight, Shared};

/// Most damaged blocks that a verdict lists.
const BLOCKS_LISTED: usize = 64;

/// What was found out about a record.
#[derive(Debug)]
pub enum Verdict {
    /// Every byte is what was published.
    Whole,
    /// Other bytes than those published.
    Damaged {
        /// Where damaged blocks begin in the body; no more than 64 are listed.
        blocks: Vec<u64>,
        /// The table of checksums is not the one that was written. Blocks may be listed because of that alone.
        table: bool,
    },
    /// The device failed; it is counted among its errors, but by [`Volume::verify_again`](crate::Volume::verify_again).
    Unreadable {
        /// Where in the body.
        at: u64,
        /// What the device said.
        source: io::Error,
    },
    /// Nothing was found out: the version is not filed any more, or the volume is closed.
    Gone,
}

/// A record being verified, in steps of bounded size.
pub struct Examination {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    pinned: PinnedExtent,
    check: Check,
    _in_flight: InFlight,
}

impl Examination {
    pub(crate) fn new(shared: &Arc<Shared>, disk: Arc<dyn Disk>, pinned: PinnedExtent) -> Self {
        let mut check = Check::new(&pinned.binding, &pinned.extent);
        if shared.env.planted(Bug::ScrubSkipsLastBlock) {
            check.compared = check.compared.saturating_sub(1);
        }
        let in_flight = InFlight::new(shared);
        let shared = Arc::clone(shared);
        Self { shared, disk, pinned, check, _in_flight: in_flight }
    }

    /// Reads and compares the next few blocks, at most 256 KiB; the verdict at the end or at the first error of the device.
    pub async fn step(&mut self) -> Option<Verdict> {
        if self.shared.check_open().is_err() {
            return Some(Verdict::Gone);
        }
        let PinnedExtent { binding, extent, .. } = &self.pinned;
        match self.check.step(&self.disk, binding, extent).await {
            Ok(()) => self.check.verdict(extent),
            Err(source) => Some(Verdict::Unreadable { at: self.check.block * BODY_BLOCK, source }),
        }
    }

    /// Bytes of the body that were read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        (self.check.block * BODY_BLOCK).min(self.pinned.extent.length)
    }
}

/// How far an extent was compared, and what was wrong with it.
struct Check {
    /// The next block.
    block: u64,
    /// So many are compared.
    compared: u64,
    /// Checksums of blocks from there on, as the table has them.
    page: Bytes,
    /// Of the table as far as it was read.
    sum: u32,
    damaged: Vec<u64>,
}

impl Check {
    fn new(binding: &Binding, extent: &Extent) -> Self {
        let sum = binding.table_start(extent.length);
        Self { block: 0, compared: extent.blocks(), page: Bytes::new(), sum, damaged: Vec::new() }
    }

    async fn step(
        &mut self,
        disk: &Arc<dyn Disk>,
        binding: &Binding,
        extent: &Extent,
    ) -> io::Result<()> {
        if self.block == extent.blocks() {
            return Ok(());
        }
        if self.page.is_empty() {
            let count = TABLE_PAGE.min(extent.blocks() - self.block);
            self.page = disk.read_at(extent.table_at(self.block), usize_of(4 * count)).await?;
            self.sum = crc32c::crc32c_append(self.sum, &self.page);
        }
        let from = self.block * BODY_BLOCK;
        let in_page = self.page.len() as u64 / 4;
        let len = (READ_AHEAD.min(in_page) * BODY_BLOCK).min(extent.length - from);
        let bytes = disk.read_at(extent.offset + from, usize_of(len)).await?;
        for bytes in bytes.chunks(usize_of(BODY_BLOCK)) {
            let expected = self.page.get_u32_le();
            let is_damaged =
                self.block < self.compared && binding.block(self.block, bytes) != expected;
            if is_damaged && self.damaged.len() < BLOCKS_LISTED {
                self.damaged.push(self.block * BODY_BLOCK);
            }
            self.block += 1;
        }
        Ok(())
    }

    fn verdict(&self, extent: &Extent) -> Option<Verdict> {
        if self.block < extent.blocks() {
            return None;
        }
        let table = self.sum != extent.checksum;
        if self.damaged.is_empty() && !table {
            return Some(Verdict::Whole);
        }
        Some(Verdict::Damaged { blocks: self.damaged.clone(), table })
    }
}

/// Whether an extent holds exactly what was published.
pub(crate) async fn extent_is_whole(
    disk: &Arc<dyn Disk>,
    binding: &Binding,
    extent: &Extent,
) -> io::Result<bool> {
    let mut check = Check::new(binding, extent);
    loop {
        check.step(disk, binding, extent).await?;
        if let Some(verdict) = check.verdict(extent) {
            return Ok(matches!(verdict, Verdict::Whole));
        }
        if !check.damaged.is_empty() {
            return Ok(false);
        }
    }
}

/// What writing an extent again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewritten {
    /// It is whole, and every byte was written again.
    Whole,
    /// It does not hold what was published.
    NotWhole,
    /// The disk does not give all of it out, so that nobody knows.
    Unreadable,
}

/// The same; writes the bytes that were compared to where they are. Where they are not whole or cannot be read, some may have
/// been written again, as they are. The sync is left to the caller.
///
/// # Errors
/// What the disk says to a write.
pub(crate) async fn rewrite_extent(
    disk: &Arc<dyn Disk>,
    binding: &Binding,
    extent: &Extent,
) -> io::Result<Rewritten> {
    let table = match extent.blocks() {
        0 => Bytes::new(),
        blocks => match disk.read_at(extent.table_at(0), usize_of(4 * blocks)).await {
            Ok(table) => table,
            Err(_) => return Ok(Rewritten::Unreadable),
        },
    };
    if binding.table(extent.length, &table) != extent.checksum {
        return Ok(Rewritten::NotWhole);
    }
    let step = READ_AHEAD * BODY_BLOCK;
    for from in (0..extent.size()).step_by(usize_of(step)) {
        let len = step.min(extent.size() - from);
        let Ok(bytes) = disk.read_at(extent.offset + from, usize_of(len)).await else {
            return Ok(Rewritten::Unreadable);
        };
        if !piece_is_whole(binding, extent, &table, (from, &bytes)) {
            return Ok(Rewritten::NotWhole);
        }
        disk.submit(vec![(extent.offset + from, bytes)], SyncMode::NoSync).await?;
    }
    Ok(Rewritten::Whole)
}

/// Whether these bytes of an extent, from the beginning of a block of the body on, belong to this table: what may lie
/// there of the body, and of the table itself.
fn piece_is_whole(
    binding: &Binding,
    extent: &Extent,
    table: &[u8],
    (from, bytes): (u64, &[u8]),
) -> bool {
    let body_end = usize_of(extent.length.saturating_sub(from)).min(bytes.len());
    let (body, behind) = bytes.split_at(body_end);
    let mut sums = table.chunks(4).skip(usize_of(from / BODY_BLOCK));
    let body_holds =
        (from / BODY_BLOCK..).zip(body.chunks(usize_of(BODY_BLOCK))).all(|(block, bytes)| {
            sums.next().is_some_and(|sum| *sum == binding.block(block, bytes).to_le_bytes())
        });
    let rest = table.get(usize_of(from.saturating_sub(extent.length))..).unwrap_or_default();
    let common = rest.len().min(behind.len());
    body_holds && rest[..common] == behind[..common]
}
