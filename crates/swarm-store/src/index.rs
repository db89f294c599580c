//! The index of a volume: what is filed under which id, as of which point of the journal.
//!
//! A cache: it can be lost or damaged at any time and is rebuilt from the journal at mount. Keys and values are specified
//! in `docs/on-disk.md`, "Index". One conformance suite runs on both implementations.

pub(crate) mod memory;
pub(crate) mod sled;

use swarm_types::{StreamId, VolumeId};

use crate::books::Totals;
use crate::codec::{Cursor, Malformed, Put};
use crate::feeds::{FeedSums, Share};
use crate::record::brief;
use crate::room::Lying;

/// The key of the mark; no stream id has this length.
pub(crate) const MARK_KEY: &[u8] = b"mark";

/// The index cannot be used any more; the journal can rebuild it at the next mount.
#[derive(Debug, thiserror::Error)]
#[error("the index failed: {why}")]
pub(crate) struct IndexError {
    pub(crate) why: String,
}

impl From<Malformed> for IndexError {
    fn from(Malformed: Malformed) -> Self {
        Self { why: "it holds a value that is no record".to_owned() }
    }
}

/// What changes under one id: a new value, or nothing filed any more.
pub(crate) type Change = (StreamId, Option<Vec<u8>>);

/// Values by stream id, and a mark. No method is atomic towards a crash; the mark tells whether the content is whole.
pub(crate) trait Index: Send + Sync {
    /// What is filed under an id.
    fn get(&self, id: StreamId) -> Result<Option<Vec<u8>>, IndexError>;

    /// Up to `limit` values behind this id, in the order of ids.
    fn scan(
        &self,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<(StreamId, Vec<u8>)>, IndexError>;

    /// Makes these changes and replaces the mark, or removes it: all seen at once by readers.
    fn apply(&self, changes: Vec<Change>, mark: Option<&Mark>) -> Result<(), IndexError>;

    /// The mark, if there is a whole one.
    fn mark(&self) -> Result<Option<Mark>, IndexError>;

    /// Forgets everything.
    fn clear(&self) -> Result<(), IndexError>;

    /// Hands everything to the operating system, before a clean end.
    fn flush(&self) -> Result<(), IndexError>;
}

/// The point of the journal that an index reflects, and what it must then hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) volume: VolumeId,
    pub(crate) generation: u64,
    pub(crate) sequence: u64,
    /// Checksum of the group of that sequence.
    pub(crate) checksum: u32,
    pub(crate) totals: Totals,
}

impl Mark {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        out.put(self.volume.as_bytes());
        out.put_u64(self.generation);
        out.put_u64(self.sequence);
        out.put_u32(self.checksum);
        let Totals { streams, tombstones, used, record_bytes, digest } = self.totals;
        for field in [streams, tombstones, used, record_bytes, digest] {
            out.put_u64(field);
        }
        out.put_u32(crc32c::crc32c(&out));
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(value);
        let volume = VolumeId::from_bytes(cursor.array()?);
        let (generation, sequence, checksum) = (cursor.u64()?, cursor.u64()?, cursor.u32()?);
        let totals = Totals {
            streams: cursor.u64()?,
            tombstones: cursor.u64()?,
            used: cursor.u64()?,
            record_bytes: cursor.u64()?,
            digest: cursor.u64()?,
        };
        let content = value.get(..value.len().saturating_sub(4)).ok_or(Malformed)?;
        if cursor.u32()? != crc32c::crc32c(content) || !cursor.is_empty() {
            return Err(Malformed);
        }
        Ok(Self { volume, generation, sequence, checksum, totals })
    }
}

/// Sums up everything that an index holds.
pub(crate) fn totals(index: &dyn Index) -> Result<Totals, IndexError> {
    let mut totals = Totals::default();
    for_each(index, |id, value| totals.add(id, value))?;
    Ok(totals)
}

/// The same, where the extents of everything lie, and the sums for feeds.
pub(crate) fn survey(index: &dyn Index) -> Result<(Totals, Vec<Lying>, FeedSums), IndexError> {
    let (mut totals, mut lying, mut feeds) = (Totals::default(), Vec::new(), FeedSums::default());
    for_each(index, |id, value| {
        totals.add(id, value)?;
        let extent = brief(value)?.extent.filter(|extent| extent.size() > 0);
        lying.extend(extent.map(|extent| Lying { id, offset: extent.offset, size: extent.size() }));
        Share::of(id, value)?.into_iter().for_each(|share| feeds.add(share));
        Ok(())
    })?;
    Ok((totals, lying, feeds))
}

fn for_each(
    index: &dyn Index,
    mut look: impl FnMut(StreamId, &[u8]) -> Result<(), Malformed>,
) -> Result<(), IndexError> {
    let mut after = None;
    loop {
        let page = index.scan(after, SCAN_PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (id, value) in &page {
            look(*id, value)?;
        }
    }
}

/// Values read at once by a walk over an index: bounds the memory it takes.
pub(crate) const SCAN_PAGE: usize = 256;

#[cfg(test)]
mod tests;
