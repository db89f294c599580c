//! Defragmentation: turning trapped space into free space by moving bodies.
//!
//! Owns the choice of what is moved where. The last body goes into the smallest hole that takes it, so that each byte
//! copied frees a byte. Where none takes it, the body above the largest hole is moved down, or up and down again, which
//! lets the holes grow together. When nothing is left above, the head comes down (`docs/on-disk.md`, "Space").

use std::collections::BTreeSet;

use swarm_types::{Stamp, StreamId};

use crate::commit::Work;
use crate::error::{AppendError, ReadError};
use crate::read::{PinnedExtent, Reader};
use crate::record::{Entry, Record, encode_value};
use crate::room::{Holes, Lying, Room};
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

/// A body to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    body: Lying,
    /// Into the hole at this offset, or behind everything.
    to: Option<u64>,
}

/// How a move ended.
enum Moved {
    Done,
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
    let (mut holes, end) = {
        let mut books = shared.books();
        books.room.take_back_unused();
        (books.room.holes(), books.room.end())
    };
    let mut told = Defragmented::default();
    let mut stuck = BTreeSet::new();
    let (mut overtaken, mut lifted) = (0, false);
    while told.moved < budget.max(1) && overtaken < OVERTAKEN_MAX {
        let step = next_step(&shared.books().room, &holes, &stuck);
        let Some(step) = step else {
            told.done = true;
            break;
        };
        match move_body(volume, &step).await? {
            Moved::Done => {
                told.moved += step.body.size;
                lifted = step.to.is_none();
                settle(&shared.books().room, &mut holes, &step);
            }
            Moved::Overtaken => {
                overtaken += 1;
                holes = shared.books().room.holes();
            }
            Moved::Stuck(stamp) => {
                stuck.insert(step.body.offset);
                told.damaged.push((step.body.id, stamp));
            }
        }
    }
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

/// The next body to move; `None` where nothing can be gained. Bodies in `stuck` stay where they are.
fn next_step(room: &Room, holes: &Holes, stuck: &BTreeSet<u64>) -> Option<Step> {
    let last = room.last().filter(|last| !stuck.contains(&last.offset))?;
    if let Some(to) = holes.best_fit(last.size, last.offset) {
        return Some(Step { body: last, to: Some(to) });
    }
    // No hole takes it. The largest one above which something can be moved is to grow.
    let free = room.free();
    let steps = holes.below(last.offset).filter_map(|hole| {
        let len = hole.end - hole.start;
        let body = room.at(hole.end)?;
        let fits = body.size <= len;
        let movable = !stuck.contains(&body.offset) && !room.is_pinned(body.offset);
        let to = fits.then_some(hole.start);
        (movable && (fits || body.size <= free)).then_some((len, Step { body, to }))
    });
    steps.max_by_key(|(len, _)| *len).map(|(_, step)| step)
}

/// The holes after a move.
fn settle(room: &Room, holes: &mut Holes, step: &Step) {
    if let Some(to) = step.to {
        holes.take(to, step.body.size);
    }
    // Where it lay is a hole now, unless somebody still reads there.
    if !room.is_pinned(step.body.offset) {
        holes.give(step.body.offset..step.body.end());
    }
}

/// Copies a body, every block verified, and files it at its new place.
async fn move_body(volume: &Volume, step: &Step) -> Result<Moved, AppendError> {
    let shared = volume.shared();
    let Some(record) = volume.find(step.body.id) else {
        shared.check_open()?;
        return Ok(Moved::Overtaken);
    };
    let Some(pinned) = PinnedExtent::new(shared, &record) else {
        shared.check_open()?;
        return Ok(Moved::Overtaken);
    };
    let (number, length) = (pinned.extent.number, pinned.extent.length);
    let room = Reservation::to_move(shared, step.body.size, step.to);
    let Some(reservation) = room.filter(|_| pinned.extent.offset == step.body.offset) else {
        return Ok(Moved::Overtaken);
    };
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
    Ok(if moved { Moved::Done } else { Moved::Overtaken })
}

/// Bytes that the record of a move takes in the journal at most: hints may be added meanwhile.
fn size_of(record: &Record) -> usize {
    let value = encode_value(record);
    usize::try_from(Entry::framed(&value)).unwrap_or(usize::MAX) + 16 * crate::hints::HINTS_MAX
}
