//! What faults do to the bytes of a disk: rot, blocks that cannot be read, blocks that land elsewhere, and writes that are
//! not durable although somebody was told so.

use std::sync::Arc;

use super::{BLOCK, Block, Image};
use crate::dice::Dice;

/// Longest run of bytes that one rotten block gets.
const ROT_BYTES_MAX: u64 = 16;

/// What a power cut has taken.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    /// Bytes of all writes that were not durable.
    pub(crate) bytes: u64,
    /// Those of them that were said to be durable: the fault that said so, offset and length in bytes.
    pub(crate) claimed: Vec<(u64, u64, u64)>,
    /// Bytes that a failed sync had given up: the fault, how many.
    pub(crate) forgotten: Vec<(u64, u64)>,
}

/// A device that puts blocks where they do not belong.
pub(crate) struct Astray<'a> {
    pub(crate) dice: &'a mut Dice,
    /// Of a million blocks written.
    pub(crate) share_ppm: u32,
    pub(crate) fault: u64,
    /// What became of it: the block that was meant, and the one that was written instead.
    pub(crate) landed: Vec<(u64, u64)>,
}

impl Image {
    /// A block of the cache becomes durable, in its place or in another.
    pub(super) fn settle(
        &mut self,
        block: u64,
        bytes: Arc<Block>,
        astray: Option<&mut Astray<'_>>,
    ) {
        self.forgotten.remove(&block);
        if let Some(astray) = astray
            && astray.dice.chance_ppm(astray.share_ppm)
            && let Some(instead) = self.elsewhere(astray.dice, block)
        {
            for wrong in [block, instead] {
                // What nobody wrote before is nobody's damage.
                if wrong == block || self.durable.holds(wrong) {
                    self.damage.insert(wrong * BLOCK as u64, (BLOCK as u64, astray.fault));
                }
            }
            self.durable.insert(instead, bytes);
            astray.landed.push((block, instead));
            return;
        }
        self.unreadable.remove(&block);
        self.durable.insert(block, bytes);
    }

    /// Another block: as often as not one that is in use.
    fn elsewhere(&self, dice: &mut Dice, block: u64) -> Option<u64> {
        let anywhere = dice.below(self.capacity / BLOCK as u64);
        let instead = match dice.below(2) {
            0 => anywhere,
            _ => {
                let nth = dice.below(self.durable.held() as u64) as usize;
                self.durable.iter().nth(nth).map_or(anywhere, |(block, _)| block)
            }
        };
        (instead != block).then_some(instead)
    }

    /// Somebody is told that everything up to this write is durable.
    pub(crate) fn claim(&mut self, sequence: u64, fault: u64) {
        self.claimed = (self.claimed.0.max(sequence), fault);
    }

    /// What somebody was told to be durable becomes so.
    pub(crate) fn make_good(&mut self) {
        let (sequence, _) = std::mem::take(&mut self.claimed);
        self.make_durable(sequence, None);
    }

    /// A sync up to this write has failed, and the writes are taken for written all the same: readers see them as long as
    /// there is power, and no later sync writes them.
    pub(crate) fn give_up(&mut self, sequence: u64, fault: u64) {
        while self.log.front().is_some_and(|logged| logged.sequence <= sequence) {
            let Some(logged) = self.log.pop_front() else { return };
            for (block, _, _) in super::pieces(logged.offset, logged.bytes.len()) {
                self.forgotten.insert(block, fault);
            }
        }
    }

    pub(super) fn forgotten_are_lost(&mut self, loss: &mut Loss) {
        for (block, fault) in std::mem::take(&mut self.forgotten) {
            let Some(cached) = self.cache.get(&block) else { continue };
            let durable = self.durable.get(block).map_or(&[0; BLOCK], |bytes| &**bytes);
            let lost = cached.bytes.iter().zip(durable).filter(|(new, old)| new != old).count();
            loss.forgotten.push((fault, lost as u64));
        }
    }

    /// Flips bytes in this share of the durable blocks that hold data, in at least one if there is any.
    pub(crate) fn rot(&mut self, dice: &mut Dice, share_ppm: u32, fault: u64) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        for block in self.choose(dice, share_ppm) {
            ranges.push(self.rot_block(dice, block, fault));
        }
        ranges.sort_unstable();
        ranges
    }

    /// Makes this share of the durable blocks that hold data unreadable, at least one if there is any.
    pub(crate) fn make_unreadable(
        &mut self,
        dice: &mut Dice,
        share_ppm: u32,
        fault: u64,
    ) -> Vec<(u64, u64)> {
        let mut blocks = self.choose(dice, share_ppm);
        blocks.sort_unstable();
        for block in &blocks {
            self.unreadable.insert(*block, fault);
            // Gone for good: what is written to a part of it later does not bring the rest back.
            self.durable.insert(*block, Arc::new([0; BLOCK]));
            self.damage.insert(*block * BLOCK as u64, (BLOCK as u64, fault));
        }
        blocks.into_iter().map(|block| (block * BLOCK as u64, BLOCK as u64)).collect()
    }

    /// The fault that keeps this range from being read. What is in the cache needs no medium.
    pub(crate) fn unreadable(&self, offset: u64, len: usize) -> Option<u64> {
        if self.unreadable.is_empty() || len == 0 {
            return None;
        }
        let last = (offset + len as u64 - 1) / BLOCK as u64;
        let mut met = self.unreadable.range(offset / BLOCK as u64..=last);
        met.find(|(block, _)| !self.cache.contains_key(block)).map(|(_, fault)| *fault)
    }

    /// Draws this share of the durable blocks that hold data, at least one if there is any.
    fn choose(&self, dice: &mut Dice, share_ppm: u32) -> Vec<u64> {
        let holding = self.durable.iter().filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0));
        let mut candidates: Vec<u64> = holding.map(|(block, _)| block).collect();
        let share = candidates.len() as u64 * u64::from(share_ppm.min(1_000_000)) / 1_000_000;
        let wanted = (share.max(1) as usize).min(candidates.len());
        for chosen in 0..wanted {
            let other = dice.between(chosen as u64, candidates.len() as u64 - 1) as usize;
            candidates.swap(chosen, other);
        }
        candidates.truncate(wanted);
        candidates
    }

    fn rot_block(&mut self, dice: &mut Dice, block: u64, fault: u64) -> (u64, u64) {
        let Some(bytes) = self.durable.get_mut(block) else { return (block * BLOCK as u64, 0) };
        // Around a byte that holds something: damage to zeros that nobody wrote would change nothing.
        let holding: Vec<usize> = (0..BLOCK).filter(|at| bytes[*at] != 0).collect();
        let at = holding[dice.below(holding.len() as u64) as usize];
        let length = (dice.between(1, ROT_BYTES_MAX) as usize).min(BLOCK - at);
        for byte in &mut Arc::make_mut(bytes)[at..at + length] {
            *byte ^= dice.between(1, 255) as u8;
        }
        let range = (block * BLOCK as u64 + at as u64, length as u64);
        self.damage.insert(range.0, (range.1, fault));
        range
    }
}
