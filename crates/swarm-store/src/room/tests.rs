//! The room of a volume against a map of its blocks.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::test_runner::Config;

use super::*;
use crate::layout::BLOCK;

fn room() -> Room {
    let layout = Layout::of_device(64 << 20).expect("large enough");
    Room::new(&layout, 0, Vec::new())
}

fn id(number: u64) -> StreamId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    StreamId::from_bytes(bytes)
}

fn extent(offset: u64, size: u64) -> Extent {
    Extent { number: 1, offset, length: size - 4, checksum: 0 }
}

fn file(room: &mut Room, number: u64, offset: u64, size: u64) {
    room.release(offset);
    room.file(id(number), &extent(offset, size));
    room.set_head(None, offset + size);
}

#[test]
fn abandoned_extents_at_the_end_become_free_again() {
    let mut room = room();
    let free = room.free();
    let first = room.allocate(8192).expect("room");
    let second = room.allocate(4096).expect("room");
    assert_eq!(second, first + 8192);
    room.release(first);
    assert_eq!(room.free(), free - 12_288, "a hole below an extent being written");
    room.release(second);
    assert_eq!(room.free(), free);
}

#[test]
fn what_does_not_fit_is_refused_with_the_room_there_is() {
    let mut room = room();
    let free = room.free();
    assert_eq!(room.allocate(free + 1), Err(free));
    assert!(room.allocate(free).is_ok());
    assert_eq!(room.allocate(4096), Err(0));
}

#[test]
fn the_head_comes_down_to_what_is_filed_or_read() {
    let mut room = room();
    let start = room.head();
    for number in 0..4 {
        let offset = room.allocate(4096).expect("room");
        file(&mut room, number, offset, 4096);
    }
    assert_eq!(room.lowest_head(), start + 4 * 4096);
    room.pin(start + 2 * 4096, 4096);
    for number in 2..4 {
        room.forget(id(number), &extent(start + number * 4096, 4096));
    }
    assert_eq!(room.lowest_head(), start + 3 * 4096, "somebody reads there");
    room.unpin(start + 2 * 4096);
    assert_eq!(room.lowest_head(), start + 2 * 4096);
    let staged = room.allocate(4096).expect("room");
    room.set_head(Some(start + 2 * 4096), 0);
    assert_eq!(room.free(), room.region.end - staged - 4096, "an extent is being written there");
    room.release(staged);
    assert_eq!(room.allocate(4096), Ok(start + 2 * 4096));
}

#[test]
fn an_offered_hole_is_written_to_first_and_taken_back_when_unused() {
    let mut room = room();
    let start = room.head();
    let offset = room.allocate(5 * 4096).expect("room");
    file(&mut room, 1, offset, 5 * 4096);
    room.forget(id(1), &extent(offset, 5 * 4096));
    room.offer(start..start + 3 * 4096);
    assert_eq!(room.holes().largest(), Some(start + 3 * 4096..start + 5 * 4096));
    assert_eq!(room.allocate(2 * 4096), Ok(start));
    assert_eq!(room.allocate(2 * 4096), Ok(start + 5 * 4096), "it does not fit any more");
    room.take_back_unused();
    assert_eq!(room.allocate(4096), Ok(start + 2 * 4096), "it was in use");
    room.take_back_unused();
    room.offer(start + 3 * 4096..start + 5 * 4096);
    room.take_back_unused();
    assert_eq!(room.allocate(4096), Ok(start + 7 * 4096));
}

#[test]
fn extents_that_overlap_leave_no_hole_to_believe_in() {
    let layout = Layout::of_device(64 << 20).expect("large enough");
    let at = layout.data;
    let filed = [
        Lying { id: id(2), offset: at + 4096, size: 4096 },
        Lying { id: id(1), offset: at, size: 3 * 4096 },
    ];
    let mut room = Room::new(&layout, at + 100 * 4096, filed.to_vec());
    assert_eq!(room.holes(), Holes::default());
    assert_eq!(room.lowest_head(), room.head());
    assert!(!room.allocate_at(at + 50 * 4096, 4096));
    assert_eq!(room.allocate(4096), Ok(at + 100 * 4096), "writing goes on behind everything");
}

#[derive(Debug, Clone)]
enum Op {
    Write(u64),
    Publish(usize),
    Abandon(usize),
    Remove(usize),
    Read(usize),
    Leave(usize),
    MoveLast,
    Lower,
    Offer,
}

fn any_op() -> impl Strategy<Value = Op> {
    let which = || any::<prop::sample::Index>().prop_map(|index| index.index(1000));
    prop_oneof![
        6 => (1u64..6).prop_map(Op::Write),
        6 => which().prop_map(Op::Publish),
        1 => which().prop_map(Op::Abandon),
        3 => which().prop_map(Op::Remove),
        1 => which().prop_map(Op::Read),
        1 => which().prop_map(Op::Leave),
        3 => Just(Op::MoveLast),
        1 => Just(Op::Lower),
        1 => Just(Op::Offer),
    ]
}

/// Ranges that are somebody's; no two may overlap.
#[derive(Default)]
struct Model {
    staged: Vec<(u64, u64)>,
    filed: Vec<(u64, u64, u64)>,
    read: Vec<(u64, u64)>,
    next: u64,
}

impl Model {
    fn check_new(&self, room: &Room, offset: u64, size: u64) {
        let all = self.staged.iter().chain(&self.read).copied();
        let all = all.chain(self.filed.iter().map(|(_, offset, size)| (*offset, *size)));
        for (other, len) in all {
            assert!(offset + size <= other || other + len <= offset, "{offset} is taken");
        }
        assert!(offset >= room.region.start && offset + size <= room.region.end);
    }

    fn check(&self, room: &Room) {
        let used: u64 = self.filed.iter().map(|(_, _, size)| size).sum::<u64>() + room.staged();
        assert!(used + room.free() <= room.capacity());
        let holes: u64 = room.holes().below(u64::MAX).map(|hole| hole.end - hole.start).sum();
        assert!(used + room.free() + holes <= room.capacity());
        for hole in room.holes().below(u64::MAX) {
            self.check_new(room, hole.start, hole.end - hole.start);
            assert!(hole.end <= room.head());
        }
        assert!(self.filed.iter().all(|(_, offset, size)| offset + size <= room.head()));
    }
}

fn perform(room: &mut Room, model: &mut Model, op: Op) {
    match op {
        Op::Write(blocks) => {
            let size = blocks * BLOCK;
            let offset = room.allocate(size).expect("the region is large");
            model.check_new(room, offset, size);
            model.staged.push((offset, size));
        }
        Op::Publish(which) if which < model.staged.len() * 8 => {
            let (offset, size) = model.staged.remove(which % model.staged.len());
            model.next += 1;
            file(room, model.next, offset, size);
            model.filed.push((model.next, offset, size));
        }
        Op::Abandon(which) if which < model.staged.len() * 8 => {
            let (offset, _) = model.staged.remove(which % model.staged.len());
            room.release(offset);
        }
        Op::Remove(which) if which < model.filed.len() * 8 => {
            let (number, offset, size) = model.filed.remove(which % model.filed.len());
            room.forget(id(number), &extent(offset, size));
        }
        Op::Read(which) if which < model.filed.len() * 8 => {
            let (_, offset, size) = model.filed[which % model.filed.len()];
            room.pin(offset, size);
            model.read.push((offset, size));
        }
        Op::Leave(which) if which < model.read.len() * 8 => {
            let (offset, _) = model.read.remove(which % model.read.len());
            room.unpin(offset);
        }
        Op::MoveLast => {
            let Some(last) = room.last() else { return };
            let Some(to) = room.holes().best_fit(last.size, last.offset) else { return };
            model.check_new(room, to, last.size);
            assert!(room.allocate_at(to, last.size));
            model.filed.retain(|(_, offset, _)| *offset != last.offset);
            room.forget(last.id, &extent(last.offset, last.size));
            let number = u64::from_be_bytes(last.id.as_bytes()[..8].try_into().expect("8 bytes"));
            file(room, number, to, last.size);
            model.filed.push((number, to, last.size));
        }
        Op::Lower => {
            let lowest = room.lowest_head();
            assert!(lowest <= room.head());
            room.set_head(Some(lowest), 0);
        }
        Op::Offer => match room.holes().largest() {
            Some(hole) => room.offer(hole),
            None => room.take_back(),
        },
        Op::Publish(_) | Op::Abandon(_) | Op::Remove(_) | Op::Read(_) | Op::Leave(_) => {}
    }
    model.check(room);
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn nothing_is_ever_given_out_twice(ops in prop::collection::vec(any_op(), 0..200)) {
        let (mut room, mut model) = (room(), Model::default());
        for op in ops {
            perform(&mut room, &mut model, op);
        }
    }

    #[test]
    fn holes_join_their_neighbours(order in Just((0u64..20).collect::<Vec<_>>()).prop_shuffle()) {
        let mut holes = Holes::default();
        for block in order {
            holes.give(block * BLOCK..(block + 1) * BLOCK);
        }
        assert_eq!(holes.largest(), Some(0..20 * BLOCK));
        assert_eq!(holes.below(u64::MAX).count(), 1);
        holes.take(0, 3 * BLOCK);
        assert_eq!(holes.best_fit(17 * BLOCK, u64::MAX), Some(3 * BLOCK));
        assert_eq!(holes.best_fit(18 * BLOCK, u64::MAX), None);
    }
}
