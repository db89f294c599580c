//! The bytes of one disk: a sparse durable image per block, and a cache of writes that are not durable yet.
//!
//! What faults do to these bytes is in `damage`.

pub(crate) mod damage;
mod medium;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::dice::Dice;

use damage::{Astray, Loss};
use medium::Medium;

/// Unit of the image, and of what a power cut drops, keeps or tears.
pub(crate) const BLOCK: usize = 4096;

/// Unit that a device writes whole: a torn block has its first sectors new and the others old.
const SECTOR: usize = 512;

/// Bytes of one block.
type Block = [u8; BLOCK];

/// One disk's bytes.
pub(crate) struct Image {
    capacity: u64,
    durable: Medium,
    /// Blocks as a reader sees them, where writes that are not durable have touched them.
    cache: BTreeMap<u64, Cached>,
    /// The writes that are not durable, in order.
    log: VecDeque<Logged>,
    /// Damaged bytes: from offset to length and fault.
    damage: BTreeMap<u64, (u64, u64)>,
    /// Blocks of the medium that cannot be read, and the fault of each.
    unreadable: BTreeMap<u64, u64>,
    /// Everything up to this write was said to be durable, by this fault; 0 and 0 if nothing was.
    claimed: (u64, u64),
    /// Blocks of the cache that no sync writes any more, and the fault of each.
    forgotten: BTreeMap<u64, u64>,
}

struct Cached {
    bytes: Arc<Block>,
    /// The last write that touched it.
    sequence: u64,
}

struct Logged {
    sequence: u64,
    offset: u64,
    bytes: Bytes,
}

/// The durable bytes of a disk at one moment; later writes do not change it.
#[derive(Clone)]
pub struct DiskImage {
    capacity: u64,
    blocks: Medium,
}

impl DiskImage {
    /// Size of the disk in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.capacity
    }

    /// True for a disk of no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.capacity == 0
    }

    /// Copies bytes at `offset`; those never written, and those beyond the end, are zero.
    pub fn read(&self, offset: u64, out: &mut [u8]) {
        copy(&self.blocks, offset, out);
    }
}

fn copy(blocks: &Medium, offset: u64, out: &mut [u8]) {
    for (block, at, range) in pieces(offset, out.len()) {
        match blocks.get(block) {
            Some(bytes) => out[range.clone()].copy_from_slice(&bytes[at..at + range.len()]),
            None => out[range].fill(0),
        }
    }
}

/// Splits a range into blocks: the block, where in it, and which part of the range.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let position = offset + done as u64;
        let at = (position % BLOCK as u64) as usize;
        let piece = (BLOCK - at).min(len - done);
        let range = done..done + piece;
        done += piece;
        Some((position / BLOCK as u64, at, range))
    })
}

/// A copy of these bytes as a block, if they are one; made in place, since most of what is written is whole blocks.
fn whole_block(bytes: &[u8]) -> Option<Arc<Block>> {
    if bytes.len() != BLOCK {
        return None;
    }
    Arc::<[u8]>::from(bytes).try_into().ok()
}

impl Image {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            durable: Medium::default(),
            cache: BTreeMap::new(),
            log: VecDeque::new(),
            damage: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            claimed: (0, 0),
            forgotten: BTreeMap::new(),
        }
    }

    pub(crate) const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes of the blocks that were ever written.
    pub(crate) fn held_bytes(&self) -> u64 {
        (self.durable.held() * BLOCK) as u64
    }

    /// Blocks that hold something, durable or not.
    pub(crate) fn held_blocks(&self) -> u64 {
        let loose = self.cache.keys().filter(|block| !self.durable.holds(**block)).count();
        (self.durable.held() + loose) as u64
    }

    /// How many blocks these writes touch that hold nothing yet.
    pub(crate) fn new_blocks(&self, writes: &[(u64, Bytes)]) -> u64 {
        let touched = writes.iter().flat_map(|(offset, bytes)| pieces(*offset, bytes.len()));
        let new: BTreeSet<u64> = touched
            .map(|(block, _, _)| block)
            .filter(|block| !self.durable.holds(*block) && !self.cache.contains_key(block))
            .collect();
        new.len() as u64
    }

    /// How often what is durable has changed so far.
    pub(crate) const fn changes(&self) -> u64 {
        self.durable.changes()
    }

    /// A blank disk in its place.
    pub(crate) fn wipe(&mut self) {
        self.durable.wipe();
        *self = Self { durable: std::mem::take(&mut self.durable), ..Self::new(self.capacity) };
    }

    pub(crate) fn read_durable(&self, offset: u64, out: &mut [u8]) {
        copy(&self.durable, offset, out);
    }

    pub(crate) fn snapshot(&self) -> DiskImage {
        DiskImage { capacity: self.capacity, blocks: self.durable.clone() }
    }

    /// Takes a write; the caller has checked that it fits.
    pub(crate) fn write(&mut self, sequence: u64, offset: u64, bytes: &Bytes) {
        for (block, at, range) in pieces(offset, bytes.len()) {
            if let Some(bytes) = whole_block(&bytes[range.clone()]) {
                self.cache.insert(block, Cached { bytes, sequence });
                continue;
            }
            let cached = self.cache.entry(block).or_insert_with(|| Cached {
                bytes: match self.durable.get(block) {
                    Some(bytes) => Arc::clone(bytes),
                    None => Arc::new([0; BLOCK]),
                },
                sequence,
            });
            Arc::make_mut(&mut cached.bytes)[at..at + range.len()].copy_from_slice(&bytes[range]);
            cached.sequence = sequence;
        }
        self.log.push_back(Logged { sequence, offset, bytes: bytes.clone() });
    }

    /// Everything up to this write is durable, but for blocks that land elsewhere.
    pub(crate) fn make_durable(&mut self, sequence: u64, mut astray: Option<&mut Astray<'_>>) {
        while self.log.front().is_some_and(|logged| logged.sequence <= sequence) {
            let Some(logged) = self.log.pop_front() else { return };
            self.heal_damage(logged.offset, logged.bytes.len() as u64);
            for (block, at, range) in pieces(logged.offset, logged.bytes.len()) {
                let Some(cached) = self.cache.get(&block) else {
                    // Moved by an earlier piece of this sync, or discarded since.
                    continue;
                };
                if cached.sequence > sequence {
                    self.unreadable.remove(&block);
                    apply(&mut self.durable, block, at, &logged.bytes[range]);
                } else if let Some(cached) = self.cache.remove(&block) {
                    // The cached block may be older than damage to its other bytes: they are whole again.
                    self.heal_damage(block * BLOCK as u64, BLOCK as u64);
                    self.settle(block, cached.bytes, astray.as_deref_mut());
                }
            }
        }
    }

    /// Drops, keeps or tears every write that is not durable.
    pub(crate) fn power_loss(&mut self, dice: &mut Dice) -> Loss {
        let mut loss = Loss::default();
        for logged in std::mem::take(&mut self.log) {
            for (block, at, range) in pieces(logged.offset, logged.bytes.len()) {
                let piece = &logged.bytes[range];
                let kept = match dice.below(3) {
                    0 => 0,
                    1 => piece.len(),
                    _ => torn_at(dice, at, piece.len()),
                };
                let offset = block * BLOCK as u64 + at as u64;
                let lost = (piece.len() - kept) as u64;
                loss.bytes += lost;
                if lost > 0 && logged.sequence <= self.claimed.0 {
                    loss.claimed.push((self.claimed.1, offset + kept as u64, lost));
                }
                if kept > 0 {
                    self.heal_damage(offset, kept as u64);
                    self.unreadable.remove(&block);
                    apply(&mut self.durable, block, at, &piece[..kept]);
                }
            }
        }
        self.claimed = (0, 0);
        self.forgotten_are_lost(&mut loss);
        self.cache.clear();
        loss
    }

    /// Exactly these bytes, and the faults whose damage is among them.
    pub(crate) fn read(&self, offset: u64, len: usize) -> (Bytes, Vec<u64>) {
        let mut out = BytesMut::with_capacity(len);
        let mut cached = false;
        for (block, at, range) in pieces(offset, len) {
            let bytes = match self.cache.get(&block) {
                Some(block) => {
                    cached = true;
                    Some(&block.bytes)
                }
                None => self.durable.get(block),
            };
            match bytes {
                Some(bytes) => out.extend_from_slice(&bytes[at..at + range.len()]),
                None => out.resize(range.end, 0),
            }
        }
        let met = if self.damage.is_empty() { Vec::new() } else { self.met(offset, len, cached) };
        (out.freeze(), met)
    }

    /// Faults whose damaged bytes lie in the range and are not hidden by the cache.
    fn met(&self, offset: u64, len: usize, cached: bool) -> Vec<u64> {
        let end = offset + len as u64;
        let from = offset.saturating_sub(BLOCK as u64);
        let hits = self.damage.range(from..end).filter(|(at, (length, _))| *at + length > offset);
        hits.filter(|(at, _)| !cached || !self.cache.contains_key(&(*at / BLOCK as u64)))
            .map(|(_, (_, fault))| *fault)
            .collect()
    }

    /// Blocks that lie in the range as a whole are forgotten.
    pub(crate) fn discard(&mut self, offset: u64, len: u64) {
        let first = offset.div_ceil(BLOCK as u64);
        let end = (offset + len) / BLOCK as u64;
        if first >= end {
            return;
        }
        let mut blocks: Vec<u64> = self.durable.among(first..end).collect();
        blocks.extend(self.cache.range(first..end).map(|(block, _)| *block));
        for block in blocks {
            self.durable.remove(block);
            self.cache.remove(&block);
            self.forgotten.remove(&block);
            self.unreadable.remove(&block);
        }
        self.heal_damage(first * BLOCK as u64, (end - first) * BLOCK as u64);
    }

    /// These bytes were written anew: damage that lies in them is gone.
    fn heal_damage(&mut self, offset: u64, len: u64) {
        if self.damage.is_empty() {
            return;
        }
        let inside = self.damage.range(offset..offset + len);
        let gone: Vec<u64> = inside
            .filter(|(at, (length, _))| *at + length <= offset + len)
            .map(|(at, _)| *at)
            .collect();
        for at in gone {
            self.damage.remove(&at);
        }
    }
}

fn apply(durable: &mut Medium, block: u64, at: usize, bytes: &[u8]) {
    if let Some(held) = durable.get_mut(block) {
        Arc::make_mut(held)[at..at + bytes.len()].copy_from_slice(bytes);
        return;
    }
    let mut new = [0; BLOCK];
    new[at..at + bytes.len()].copy_from_slice(bytes);
    durable.insert(block, Arc::new(new));
}

/// How much of a piece of a block was written when the power went: whole sectors of the device.
fn torn_at(dice: &mut Dice, at: usize, len: usize) -> usize {
    let sector = dice.between((at / SECTOR) as u64, ((at + len) / SECTOR) as u64) as usize;
    (sector * SECTOR).saturating_sub(at).min(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(image: &Image, offset: u64, len: usize) -> Vec<u8> {
        image.read(offset, len).0.to_vec()
    }

    fn durable(image: &Image, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![9; len];
        image.snapshot().read(offset, &mut out);
        out
    }

    fn write(image: &mut Image, sequence: u64, offset: u64, bytes: &[u8]) {
        image.write(sequence, offset, &Bytes::copy_from_slice(bytes));
    }

    #[test]
    fn a_reader_sees_writes_that_are_not_durable() {
        let mut image = Image::new(1 << 20);
        write(&mut image, 1, 4090, b"across two blocks");
        assert_eq!(read(&image, 4090, 17), b"across two blocks");
        assert_eq!(durable(&image, 4090, 17), [0; 17]);
        image.make_durable(1, None);
        assert_eq!(durable(&image, 4090, 17), b"across two blocks");
    }

    #[test]
    fn a_sync_covers_what_came_before_and_nothing_after() {
        let mut image = Image::new(1 << 20);
        write(&mut image, 1, 0, b"one");
        write(&mut image, 2, 3, b"two");
        write(&mut image, 3, 1, b"three");
        image.make_durable(2, None);
        assert_eq!(durable(&image, 0, 6), b"onetwo");
        assert_eq!(read(&image, 0, 6), b"othree");
        image.make_durable(3, None);
        assert_eq!(durable(&image, 0, 6), b"othree");
        assert!(image.cache.is_empty() && image.log.is_empty());
    }

    #[test]
    fn a_snapshot_stays_as_it_was() {
        let mut image = Image::new(1 << 20);
        write(&mut image, 1, 0, b"before");
        image.make_durable(1, None);
        let snapshot = image.snapshot();
        write(&mut image, 2, 0, b"after!");
        image.make_durable(2, None);
        let mut out = [0; 6];
        snapshot.read(0, &mut out);
        assert_eq!(&out, b"before");
    }

    #[test]
    fn power_loss_spares_what_is_durable_and_draws_about_the_rest() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let mut image = Image::new(1 << 20);
            write(&mut image, 1, 0, &[1; BLOCK]);
            image.make_durable(1, None);
            write(&mut image, 2, BLOCK as u64, &[2; BLOCK]);
            drop(image.power_loss(&mut Dice::kernel(seed, "test")));
            assert_eq!(durable(&image, 0, BLOCK), [1; BLOCK]);
            assert_eq!(read(&image, 0, 3 * BLOCK), durable(&image, 0, 3 * BLOCK));
            let kept =
                durable(&image, BLOCK as u64, BLOCK).iter().filter(|byte| **byte == 2).count();
            assert_eq!(kept % SECTOR, 0);
            seen.insert(kept);
        }
        assert!(seen.contains(&0) && seen.contains(&BLOCK) && seen.len() > 4, "{seen:?}");
    }

    #[test]
    fn rot_changes_bytes_that_hold_data_and_readers_meet_it() {
        let mut image = Image::new(1 << 20);
        write(&mut image, 1, 0, &[7; 3 * BLOCK]);
        image.make_durable(1, None);
        let ranges = image.rot(&mut Dice::kernel(1, "test"), 1, 5);
        assert_eq!(ranges.len(), 1, "at least one block");
        let (offset, len) = ranges[0];
        assert!(durable(&image, offset, len as usize).iter().all(|byte| *byte != 7));
        assert_eq!(image.read(0, 3 * BLOCK).1, vec![5]);
        write(&mut image, 2, 0, &[8; 3 * BLOCK]);
        assert!(image.read(0, 3 * BLOCK).1.is_empty(), "hidden by the cache");
        image.make_durable(2, None);
        assert!(image.read(0, 3 * BLOCK).1.is_empty(), "written anew");
        assert!(Image::new(1 << 20).rot(&mut Dice::kernel(1, "test"), 1, 5).is_empty());
    }

    /// What a disk of a few blocks is made to do.
    #[derive(Debug, Clone)]
    enum Step {
        Write { offset: u64, len: usize, byte: u8 },
        Sync,
        PowerLoss { seed: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        let write = (0..4 * BLOCK as u64, 1..2 * BLOCK, 1..=255_u8);
        prop_oneof![
            6 => write.prop_map(|(offset, len, byte)| Step::Write { offset, len, byte }),
            2 => Just(Step::Sync),
            1 => any::<u64>().prop_map(|seed| Step::PowerLoss { seed }),
        ]
    }

    proptest! {
        #[test]
        fn synced_bytes_stay_and_others_are_old_or_new(steps in prop::collection::vec(step(), 1..40)) {
            const LEN: usize = 6 * BLOCK;
            let mut image = Image::new(LEN as u64);
            // Per byte, what it may be after a power loss; the last is what a reader sees.
            let mut may_be = vec![vec![0_u8]; LEN];
            for (sequence, step) in (1..).zip(steps) {
                match step {
                    Step::Write { offset, len, byte } => {
                        write(&mut image, sequence, offset, &vec![byte; len]);
                        let touched = offset as usize..offset as usize + len;
                        may_be[touched].iter_mut().for_each(|values| values.push(byte));
                    }
                    Step::Sync => {
                        image.make_durable(sequence, None);
                        may_be.iter_mut().for_each(|values| drop(values.drain(..values.len() - 1)));
                    }
                    Step::PowerLoss { seed } => {
                        drop(image.power_loss(&mut Dice::kernel(seed, "test")));
                        for (values, byte) in may_be.iter_mut().zip(read(&image, 0, LEN)) {
                            prop_assert!(values.contains(&byte));
                            *values = vec![byte];
                        }
                        prop_assert_eq!(read(&image, 0, LEN), durable(&image, 0, LEN));
                    }
                }
                let seen: Vec<u8> = may_be.iter().filter_map(|values| values.last().copied()).collect();
                prop_assert!(read(&image, 0, LEN) == seen);
            }
        }
    }
}
