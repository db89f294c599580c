//! Defragmentation: turning trapped space into free space by moving bodies.
//!
//! Owns the choice of what is moved where. The last body goes into the smallest hole that takes it, so that each byte
//! copied frees a byte. Where none takes it, the body above the largest hole is moved down, by way of the end of the volume
//! if it is larger than the hole, which lets the holes grow together. Each step leaves one body lower than it was, so that
//! there is an end. When nothing is left above, the head comes down (`docs/on-disk.md`, "Space").

use std::collections::BTreeSet;

use swarm_types::{Stamp, StreamId};

use crate::commit::Work;
use crate::error::{AppendError, ReadError};
use crate::hints::HINTS_MAX;
use crate::read::{PinnedExtent, Reader};
use crate::record::{Entry, Record, encode_value};
use crate::room::{Holes, Lying};
use crate::slots::SLOTS_BYTES_MAX;
use crate::stage::{Reservation, Staged};
use crate::volume::Volume;

/// What a call of [`Volume::defragment`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defragmented {
    /// Bytes of the bodies that were copied, with their checksums and padding.
    pub moved: u64,
    /// Bytes by which the free space is larger now.
    pub freed: u64,
    /// At present nothing more can be gained.
    pub done: bool,
    /// Replicas that stand in the way and cannot be moved, because their bytes cannot be read or are not what was written.
    pub damaged: Vec<(StreamId, Stamp)>,
}

/// How often in one call something else may come first, before it is left to the next call.
const OVERTAKEN_MAX: u32 = 64;

/// A body to be moved to this offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    body: Lying,
    to: u64,
    /// It takes its old place in part, so that it must be copied behind everything first.
    detour: bool,
}

/// How a move ended.
enum Moved {
    /// It is at this offset now.
    To(u64),
    /// The body is not there any more, or the hole is not.
    Overtaken,
    /// It cannot be read.
    Stuck(Stamp),
}

pub(crate) async fn defragment(volume: &Volume, budget: u64) -> Result<Defragmented, AppendError> {
    let shared = volume.shared();
    shared.check_open()?;
    let _alone = shared.defragmenting.lock().await;
    let before = volume.space().free;
    let (holes, end) = {
        let mut books = shared.books();
        books.room.take_back_unused();
        (books.room.holes(), books.room.end())
    };
    let mut pass = Pass { volume, holes, stuck: BTreeSet::new(), told: Defragmented::default() };
    let (mut overtaken, mut lifted) = (0, false);
    while pass.told.moved < budget.max(1) && overtaken < OVERTAKEN_MAX {
        let Some(step) = pass.next_step() else {
            pass.told.done = true;
            break;
        };
        let to = step.to;
        let moved = if step.detour {
            lifted = true;
            match pass.move_body(step.body, None).await? {
                Some(above) => pass.move_body(above, Some(to)).await?,
                None => None,
            }
        } else {
            pass.move_body(step.body, Some(to)).await?
        };
        lifted &= moved.is_none();
        overtaken += u32::from(moved.is_none());
    }
    let mut told = pass.told;
    volume.append(Work::Lower).await?;
    let mut books = shared.books();
    if told.done {
        books.room.take_back();
    } else if books.room.end() > end && !lifted {
        // Others wrote meanwhile, behind what was to come down. From now on they fill a hole as well.
        match books.room.holes().largest() {
            Some(hole) => books.room.offer(hole),
            None => books.room.take_back(),
        }
    }
    drop(books);
    told.freed = volume.space().free.saturating_sub(before);
    Ok(told)
}

/// One call under way.
struct Pass<'a> {
    volume: &'a Volume,
    holes: Holes,
    /// Offsets of bodies that cannot be read.
    stuck: BTreeSet<u64>,
    told: Defragmented,
}

impl Pass<'_> {
    /// The next body to move; `None` where nothing can be gained.
    fn next_step(&self) -> Option<Step> {
        let shared = self.volume.shared();
        let device_room = shared.disk.room();
        let books = shared.books();
        let room = &books.room;
        let last = room.last().filter(|last| !self.stuck.contains(&last.offset))?;
        if let Some(to) = self.holes.best_fit(last.size, last.offset) {
            return Some(Step { body: last, to, detour: false });
        }
        // No hole takes it. The largest one above which something can be moved is to grow.
        let free = room.free().min(books.unpromised(device_room));
        let steps = self.holes.below(last.offset).filter_map(|hole| {
            let len = hole.end - hole.start;
            let body = room.at(hole.end)?;
            let detour = body.size > len;
            let movable = !self.stuck.contains(&body.offset) && !room.is_pinned(body.offset);
            let step = Step { body, to: hole.start, detour };
            (movable && (!detour || body.size <= free)).then_some((len, step))
        });
        steps.max_by_key(|(len, _)| *len).map(|(_, step)| step)
    }

    /// Moves a body to this offset, or behind everything; where it is now, or `None` if something came first or it cannot
    /// be read.
    async fn move_body(
        &mut self,
        body: Lying,
        to: Option<u64>,
    ) -> Result<Option<Lying>, AppendError> {
        let moved = copy_body(self.volume, body, to).await?;
        let books = self.volume.shared().books();
        match moved {
            Moved::To(offset) => {
                self.told.moved += body.size;
                if let Some(to) = to {
                    self.holes.take(to, body.size);
                }
                // Where it lay is a hole now, unless somebody still reads there.
                if !books.room.is_pinned(body.offset) {
                    self.holes.give(body.offset..body.end());
                }
                return Ok(Some(Lying { offset, ..body }));
            }
            Moved::Overtaken => self.holes = books.room.holes(),
            Moved::Stuck(stamp) => {
                self.stuck.insert(body.offset);
                self.told.damaged.push((body.id, stamp));
            }
        }
        Ok(None)
    }
}

/// Copies a body, every block verified, and files it at its new place.
async fn copy_body(volume: &Volume, body: Lying, to: Option<u64>) -> Result<Moved, AppendError> {
    let shared = volume.shared();
    let pinned = volume.find(body.id).and_then(|record| {
        let pinned = PinnedExtent::new(shared, &record)?;
        Some((record, pinned))
    });
    shared.check_open()?;
    let Some((record, pinned)) = pinned.filter(|(_, now)| now.extent.offset == body.offset) else {
        return Ok(Moved::Overtaken);
    };
    let Some(reservation) = Reservation::to_move(shared, body.size, to) else {
        return Ok(Moved::Overtaken);
    };
    let (number, length) = (pinned.extent.number, pinned.extent.length);
    let offset = reservation.offset();
    let mut copy = Staged::at(volume.clone(), record.id, length, reservation);
    let mut reader = Reader::new(shared, pinned);
    loop {
        match reader.next_block(false).await {
            Ok(Some(block)) => copy.write(block).await?,
            Ok(None) => break,
            Err(ReadError::Gone) => return Err(AppendError::Closed),
            Err(ReadError::Corrupt { .. } | ReadError::Disk { .. }) => {
                return Ok(Moved::Stuck(record.stamp));
            }
        }
    }
    // Else it would itself keep the old place from being a hole.
    drop(reader);
    let moved = copy.take_place_of(record.stamp, number, size_of(&record)).await?;
    Ok(if moved { Moved::To(offset) } else { Moved::Overtaken })
}

/// Bytes that the record of a move takes in the journal at most: hints and slots may be added meanwhile.
fn size_of(record: &Record) -> usize {
    let value = encode_value(record);
    usize::try_from(Entry::framed(&value)).unwrap_or(usize::MAX) + 16 * HINTS_MAX + SLOTS_BYTES_MAX
}
