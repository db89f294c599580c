//! Bringing an index to the end of the journal at mount.
//!
//! Owns the rules of `docs/on-disk.md`, "Mount", steps 4 to 6: when an index is good enough to go on with, what is
//! replayed, and how the last group is judged, the only one that a crash can have left incomplete.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarm_env::{Bug, Disk, Env};
use swarm_types::{Stamp, StreamId};

use crate::error::MountError;
use crate::extent::{Binding, Extent};
use crate::group::{Encoding, GroupKind};
use crate::index::{Change, Index, IndexError, Mark, totals};
use crate::journal::{ChosenHalf, Group, Tail, Walker};
use crate::layout::Superblock;
use crate::mount::IndexUse;
use crate::record::{Entry, brief, decode_value, with_note, with_slots};
use crate::verify::{Rewritten, extent_is_whole, rewrite_extent};

/// Why an index could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// Another index may do.
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Mount(#[from] MountError),
}

/// What a replay works on.
pub(crate) struct Replay<'a> {
    pub(crate) env: &'a Env,
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) superblock: &'a Superblock,
    pub(crate) half: &'a ChosenHalf,
    pub(crate) tail: &'a Tail,
}

/// What a replay found out.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) index_use: IndexUse,
    /// Streams whose write in the last group was not complete: never acknowledged, now forgotten.
    pub(crate) dropped: Vec<(StreamId, Stamp)>,
    /// Streams added since the checkpoint whose bytes are damaged. They stay filed, so that it is known that there was
    /// something; reads of them say so.
    pub(crate) damaged: Vec<StreamId>,
    /// Number of extents verified.
    pub(crate) verified: u64,
}

impl Replay<'_> {
    /// Brings the index to the end of the journal and verifies what was added since the checkpoint.
    pub(crate) async fn run(&self, index: &dyn Index) -> Result<Replayed, ReplayError> {
        let mark = self.usable_mark(index)?;
        let last = self.tail.last.chained.header;
        // An index is told of a group only when the group is durable. One that reflects the last group proves it complete.
        let proven = mark.is_some_and(|mark| mark.sequence == last.sequence);
        // The values of an index are in the encoding of its journal; those of an older one are of no further use.
        let mark = mark.filter(|_| self.half.header.encoding == Encoding::NEWEST);
        if mark.is_none() {
            index.clear()?;
        }
        let suspect = last.kind == GroupKind::Commit && !proven;
        let mut added = BTreeMap::new();
        let mut walker = Walker::new(self.disk, self.superblock, self.half);
        let mut groups = 0;
        while let Some(group) = walker.next().await.map_err(|source| MountError::Disk { source })? {
            let header = group.chained.header;
            if header.sequence > last.sequence {
                break;
            }
            let extents = extents(&group)?;
            if suspect && header.sequence == last.sequence {
                continue;
            }
            if header.kind != GroupKind::Checkpoint {
                added.extend(extents);
            }
            if mark.is_some_and(|mark| header.sequence <= mark.sequence) {
                continue;
            }
            groups += 1;
            index.apply(changes(index, group.entries()?)?, None)?;
        }
        let index_use = match mark {
            Some(_) => IndexUse::Replayed { groups },
            None => IndexUse::Rebuilt,
        };
        let mut replayed =
            Replayed { index_use, dropped: Vec::new(), damaged: Vec::new(), verified: 0 };
        if suspect {
            self.judge_last(index, &mut replayed).await?;
        }
        if !self.tail.is_clean() {
            self.verify(index, &added, &mut replayed).await?;
        }
        Ok(replayed)
    }

    /// The index's mark, if the index is of this journal and holds exactly what it should.
    fn usable_mark(&self, index: &dyn Index) -> Result<Option<Mark>, ReplayError> {
        let Some(mark) = index.mark()? else { return Ok(None) };
        let fits = mark.volume == self.superblock.volume
            && mark.generation == self.half.header.generation
            && self.tail.marked == Some(mark.checksum);
        if !fits {
            return Ok(None);
        }
        // A value that is no record is as good a reason to rebuild as a wrong sum.
        Ok(totals(index).is_ok_and(|totals| totals == mark.totals).then_some(mark))
    }

    /// Applies the last group without the extents that are not whole. Those that are it writes again: they may be in a
    /// cache alone, like the group itself ([`crate::settle`]). What cannot be read may have been acknowledged: it stays filed,
    /// as damaged.
    async fn judge_last(
        &self,
        index: &dyn Index,
        replayed: &mut Replayed,
    ) -> Result<(), ReplayError> {
        let mut whole = Vec::new();
        for entry in self.tail.last.entries()? {
            if let Entry::File { id, value } = &entry {
                let brief = brief(value).map_err(|_| self.shapeless())?;
                if let Some(extent) = brief.extent {
                    replayed.verified += 1;
                    match self.rewrite(*id, &extent).await? {
                        Rewritten::Whole => {}
                        Rewritten::Unreadable => replayed.damaged.push(*id),
                        Rewritten::NotWhole => {
                            replayed.dropped.push((*id, brief.stamp));
                            continue;
                        }
                    }
                }
            }
            whole.push(entry);
        }
        index.apply(changes(index, whole)?, None)?;
        Ok(())
    }

    async fn verify(
        &self,
        index: &dyn Index,
        added: &BTreeMap<StreamId, u64>,
        replayed: &mut Replayed,
    ) -> Result<(), ReplayError> {
        for (id, number) in added {
            let Some(value) = index.get(*id)? else { continue };
            let Some(extent) = brief(&value).map_err(|_| self.shapeless())?.extent else {
                continue;
            };
            if extent.number != *number {
                continue;
            }
            replayed.verified += 1;
            if !self.is_whole(*id, &extent).await {
                replayed.damaged.push(*id);
            }
        }
        Ok(())
    }

    /// A range that cannot be read is as bad as one that reads wrong.
    async fn is_whole(&self, stream: StreamId, extent: &Extent) -> bool {
        extent_is_whole(self.disk, &self.binding(stream, extent), extent).await.unwrap_or(false)
    }

    /// The same; what is whole is written again, for the next sync to make it durable.
    async fn rewrite(&self, stream: StreamId, extent: &Extent) -> Result<Rewritten, MountError> {
        if self.env.planted(Bug::MountTrustsCache) {
            let is_whole = self.is_whole(stream, extent).await;
            return Ok(if is_whole { Rewritten::Whole } else { Rewritten::NotWhole });
        }
        rewrite_extent(self.disk, &self.binding(stream, extent), extent)
            .await
            .map_err(|source| MountError::Disk { source })
    }

    const fn binding(&self, stream: StreamId, extent: &Extent) -> Binding {
        Binding { volume: self.superblock.volume, stream, number: extent.number }
    }

    fn shapeless(&self) -> MountError {
        MountError::JournalDamaged { at: self.tail.last.offset, why: "a record has no known shape" }
    }
}

/// The extents that a group adds, by their numbers. Whole records are decoded once here, so that what the index holds can
/// always be read.
fn extents(group: &Group) -> Result<Vec<(StreamId, u64)>, MountError> {
    let mut extents = Vec::new();
    for entry in group.entries()? {
        if let Entry::File { id, value } = entry {
            let damaged = |_| MountError::JournalDamaged {
                at: group.offset,
                why: "a record has no known shape",
            };
            extents.extend(
                decode_value(id, &value)
                    .map_err(damaged)?
                    .extent()
                    .map(|extent| (id, extent.number)),
            );
        }
    }
    Ok(extents)
}

/// What the records of a group change in an index.
fn changes(index: &dyn Index, entries: Vec<Entry>) -> Result<Vec<Change>, IndexError> {
    let mut changes: BTreeMap<StreamId, Option<Vec<u8>>> = BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::File { id, value } => {
                changes.insert(id, Some(value));
            }
            Entry::Remove { id, stamp } => {
                let filed = filed(&changes, index, id)?;
                if filed.is_some_and(|value| brief(&value).is_ok_and(|brief| brief.stamp == stamp))
                {
                    changes.insert(id, None);
                }
            }
            Entry::Note { id, note } => {
                let noted = match filed(&changes, index, id)? {
                    Some(value) => with_note(&value, &note)?,
                    None => None,
                };
                if noted.is_some() {
                    changes.insert(id, noted);
                }
            }
            Entry::Feed { id, stamp, slots } => {
                let settled = match filed(&changes, index, id)? {
                    Some(value) => with_slots(&value, stamp, &slots)?,
                    None => None,
                };
                if settled.is_some() {
                    changes.insert(id, settled);
                }
            }
            Entry::Space { .. } | Entry::Service(_) | Entry::FeedTable(_) | Entry::Behind(_) => {}
        }
    }
    Ok(changes.into_iter().collect())
}

/// What is filed under an id once these changes are made.
fn filed(
    changes: &BTreeMap<StreamId, Option<Vec<u8>>>,
    index: &dyn Index,
    id: StreamId,
) -> Result<Option<Vec<u8>>, IndexError> {
    match changes.get(&id) {
        Some(change) => Ok(change.clone()),
        None => index.get(id),
    }
}
