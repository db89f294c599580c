//! The durable blocks of one disk: sparse, and cheap to take a copy of, since judges look at disks all the time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::Block;

/// Blocks that are shared as one between a disk and the copies taken of it.
const GROUP: u64 = 64;

/// Blocks by number. A copy shares all of them; whoever writes afterwards copies the group that it touches.
#[derive(Clone, Default)]
pub(crate) struct Medium {
    groups: BTreeMap<u64, Arc<Group>>,
    /// Blocks that hold something.
    held: usize,
    /// How often it was written so far.
    changes: u64,
}

#[derive(Clone)]
struct Group {
    blocks: [Option<Arc<Block>>; GROUP as usize],
}

impl Default for Group {
    fn default() -> Self {
        Self { blocks: [const { None }; GROUP as usize] }
    }
}

/// The group of a block, and which of it.
const fn place(block: u64) -> (u64, usize) {
    (block / GROUP, (block % GROUP) as usize)
}

impl Medium {
    /// How many blocks hold something.
    pub(crate) const fn held(&self) -> usize {
        self.held
    }

    /// How often it was written so far.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Nothing is held any more.
    pub(crate) fn wipe(&mut self) {
        *self = Self { changes: self.changes + 1, ..Self::default() };
    }

    pub(crate) fn get(&self, block: u64) -> Option<&Arc<Block>> {
        let (group, nth) = place(block);
        self.groups.get(&group)?.blocks[nth].as_ref()
    }

    pub(crate) fn holds(&self, block: u64) -> bool {
        self.get(block).is_some()
    }

    /// The block, to be changed, if it holds something.
    pub(crate) fn get_mut(&mut self, block: u64) -> Option<&mut Arc<Block>> {
        self.changes += 1;
        let (group, nth) = place(block);
        let group = self.groups.get_mut(&group).filter(|group| group.blocks[nth].is_some())?;
        Arc::make_mut(group).blocks[nth].as_mut()
    }

    pub(crate) fn insert(&mut self, block: u64, bytes: Arc<Block>) {
        self.changes += 1;
        let (group, nth) = place(block);
        let group = Arc::make_mut(self.groups.entry(group).or_default());
        self.held += usize::from(group.blocks[nth].replace(bytes).is_none());
    }

    pub(crate) fn remove(&mut self, block: u64) {
        self.changes += 1;
        let (number, nth) = place(block);
        let Some(group) = self.groups.get_mut(&number).filter(|group| group.blocks[nth].is_some())
        else {
            return;
        };
        let group = Arc::make_mut(group);
        group.blocks[nth] = None;
        self.held -= 1;
        if group.blocks.iter().all(Option::is_none) {
            self.groups.remove(&number);
        }
    }

    /// What holds something, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Arc<Block>)> {
        self.in_groups(0..u64::MAX)
    }

    /// Numbers of the blocks of a range that hold something, in order.
    pub(crate) fn among(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        let groups = range.start / GROUP..range.end.div_ceil(GROUP);
        self.in_groups(groups).map(|(block, _)| block).filter(move |block| range.contains(block))
    }

    fn in_groups(&self, groups: Range<u64>) -> impl Iterator<Item = (u64, &Arc<Block>)> {
        self.groups.range(groups).flat_map(|(number, group)| {
            let first = number * GROUP;
            (first..).zip(&group.blocks).filter_map(|(block, bytes)| Some((block, bytes.as_ref()?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::image::BLOCK;

    fn block(byte: u8) -> Arc<Block> {
        Arc::new([byte; BLOCK])
    }

    proptest! {
        /// It is a map of blocks, and a copy of it stays as it was.
        #[test]
        fn it_is_a_map_whose_copies_stay(
            steps in prop::collection::vec((0..4 * GROUP, prop::option::of(any::<u8>())), 0..60),
            copied_after in 0..60_usize,
            range in (0..4 * GROUP, 0..5 * GROUP),
        ) {
            let (mut medium, mut model) = (Medium::default(), BTreeMap::new());
            let mut copy = None;
            for (nth, (number, byte)) in steps.into_iter().enumerate() {
                if nth == copied_after {
                    copy = Some((medium.clone(), model.clone()));
                }
                match byte {
                    Some(byte) if medium.holds(number) => {
                        let held = medium.get_mut(number).expect("it holds something");
                        Arc::make_mut(held).fill(byte);
                        model.insert(number, byte);
                    }
                    Some(byte) => {
                        medium.insert(number, block(byte));
                        model.insert(number, byte);
                    }
                    None => {
                        medium.remove(number);
                        model.remove(&number);
                    }
                }
            }
            for (medium, model) in copy.into_iter().chain([(medium, model)]) {
                let seen: Vec<(u64, u8)> = medium.iter().map(|(number, bytes)| (number, bytes[0])).collect();
                let expected: Vec<(u64, u8)> = model.iter().map(|(number, byte)| (*number, *byte)).collect();
                prop_assert_eq!(seen, expected);
                prop_assert_eq!(medium.held(), model.len());
                let (from, to) = range;
                let inside: Vec<u64> = medium.among(from..to.max(from)).collect();
                let expected: Vec<u64> = model.range(from..to.max(from)).map(|(number, _)| *number).collect();
                prop_assert_eq!(inside, expected);
            }
        }
    }
}
