//! Trapped space becomes free space, and nobody who reads or writes meanwhile notices.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::test_runner::Config;
use swarm_env::Bug;
use swarm_store::{AppendError, Defragmented, PublishError, ReadError, Space, Tombstone, Volume};
use swarm_types::{ObjectKind, Timestamp};

use crate::kit::disk::Event;
use crate::kit::{
    Lab, TestDisk, body, check_space, expect_body, fresh, id, mix, mount, place, put, read,
    read_on, stamp,
};

const DEVICE: usize = 16 << 20;

/// Calls until nothing more can be gained.
async fn defragment_all(volume: &Volume, budget: u64) -> Vec<Defragmented> {
    let mut calls = Vec::new();
    loop {
        let told = volume.defragment(budget).await.unwrap();
        check_space(volume);
        calls.push(told.clone());
        if told.done {
            return calls;
        }
        assert!(calls.len() < 10_000, "it ends");
    }
}

/// The bodies that a story left, by number: version and length.
type Left = Vec<(u8, u64, usize)>;

/// Everything is there and true, now and after a power loss with and without the index; the sums are the same.
fn check_all(lab: &mut Lab, disk: &TestDisk, volume: &Volume, left: &Left) {
    for (number, version, len) in left {
        lab.run(expect_body(volume, id(*number), *version, *len));
    }
    assert_eq!(volume.space().streams, left.len() as u64);
    for index in [disk.index(), Arc::default()] {
        let mut lab = Lab::new(9);
        let env = lab.env.clone();
        let (again, report) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), index)));
        assert_eq!((report.dropped, report.damaged), (vec![], vec![]));
        assert_eq!(again.space(), volume.space());
        for (number, version, len) in left {
            lab.run(expect_body(&again, id(*number), *version, *len));
        }
    }
}

/// Writes bodies of these lengths and removes those of which the second value is false.
async fn scatter(volume: &Volume, bodies: &[(usize, bool)]) -> Left {
    let mut left = Vec::new();
    for (number, (len, stays)) in (0..).zip(bodies) {
        put(volume, id(number), 1, *len).await.unwrap();
        if *stays {
            left.push((number, 1, *len));
        }
    }
    for (number, (_, stays)) in (0..).zip(bodies) {
        if !*stays {
            assert!(volume.remove(id(number), stamp(1)).await.unwrap());
        }
    }
    left
}

fn everything_used_lies_together(space: &Space) {
    assert_eq!(space.trapped, 0, "{space:?}");
    assert!((space.free_share() - 1.0).abs() < 1e-9);
}

#[test]
fn trapped_space_becomes_free() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let bodies: Vec<_> = (0..40).map(|number| (50_000, number % 2 == 1)).collect();
    let left = lab.run(scatter(&volume, &bodies));
    let before = volume.space();
    assert_eq!(before.trapped, 20 * 53_248);
    let told = lab.run(volume.defragment(u64::MAX)).unwrap();
    assert_eq!(
        (told.moved, told.freed),
        (10 * 53_248, before.trapped),
        "each byte moved frees two"
    );
    assert!(told.done && told.damaged.is_empty());
    let after = volume.space();
    everything_used_lies_together(&after);
    assert_eq!((after.used, after.free), (before.used, before.free + before.trapped));
    check_all(&mut lab, &disk, &volume, &left);
    let told = lab.run(volume.defragment(u64::MAX)).unwrap();
    assert_eq!(told, Defragmented { done: true, ..Defragmented::default() }, "and nothing is left");
    lab.run(put(&volume, id(99), 1, 4_000_000)).unwrap();
    check_space(&volume);
}

proptest! {
    #![proptest_config(Config { cases: 48, failure_persistence: None, ..Config::default() })]

    /// However bodies and holes lie: with room for the largest body everything comes together, and it ends.
    #[test]
    fn whatever_lies_between_holes_comes_together(
        bodies in prop::collection::vec((length(), any::<bool>()), 1..40),
        budget in prop_oneof![Just(1), Just(50_000), Just(u64::MAX)],
    ) {
        let mut lab = Lab::new(1);
        let disk = TestDisk::new(DEVICE);
        let volume = fresh(&mut lab, &disk);
        let left = lab.run(scatter(&volume, &bodies));
        let before = volume.space();
        let calls = lab.run(defragment_all(&volume, budget));
        everything_used_lies_together(&volume.space());
        assert_eq!(volume.space().free, before.free + before.trapped);
        let (moved, slots) = (calls.iter().map(|told| told.moved).sum::<u64>(), bodies.len() as u64);
        assert!(moved <= 2 * slots * before.used, "{moved} bytes moved of {}", before.used);
        check_all(&mut lab, &disk, &volume, &left);
    }
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0usize..20_000, 2 => 60_000usize..80_000, 1 => 150_000usize..400_000]
}

#[test]
fn a_volume_that_was_emptied_begins_anew() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let empty = volume.space();
    lab.run(scatter(&volume, &[(100_000, false), (0, false), (3_000, false)]));
    let told = lab.run(volume.defragment(1)).unwrap();
    assert_eq!((told.moved, told.done), (0, true));
    assert_eq!(volume.space(), empty);
    check_all(&mut lab, &disk, &volume, &Vec::new());
}

#[test]
fn a_call_copies_little_more_than_its_budget() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let bodies: Vec<_> = (0..60).map(|number| (10_000, number % 3 == 2)).collect();
    let left = lab.run(scatter(&volume, &bodies));
    let calls = lab.run(defragment_all(&volume, 30_000));
    assert!(calls.len() > 3);
    assert!(calls.iter().all(|told| told.moved < 30_000 + 12_288), "{calls:?}");
    everything_used_lies_together(&volume.space());
    check_all(&mut lab, &disk, &volume, &left);
}

#[test]
fn small_holes_grow_together_until_a_large_body_fits() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let mut bodies: Vec<_> = (0..60).map(|number| (20_000, number % 3 != 0)).collect();
    bodies.push((450_000, true));
    let left = lab.run(scatter(&volume, &bodies));
    let calls = lab.run(defragment_all(&volume, 200_000));
    everything_used_lies_together(&volume.space());
    assert!(calls.iter().map(|told| told.freed).sum::<u64>() >= 20 * 20_480);
    check_all(&mut lab, &disk, &volume, &left);
}

/// Every body is larger than the hole below it, so that each must go up before it can come down.
#[test]
fn a_body_larger_than_its_hole_goes_up_and_down() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let bodies = [(5_000, false), (700_000, true), (5_000, false), (900_000, true)];
    let left = lab.run(scatter(&volume, &bodies));
    lab.run(defragment_all(&volume, 1));
    everything_used_lies_together(&volume.space());
    check_all(&mut lab, &disk, &volume, &left);
}

#[test]
fn without_room_to_turn_round_nothing_is_risked() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(4 << 20);
    let volume = fresh(&mut lab, &disk);
    let large = usize::try_from(volume.space().free / 2).unwrap() - 20_000;
    let left = lab.run(scatter(&volume, &[(5_000, false), (large, true), (large, true)]));
    let rest = volume.space().free;
    assert!(rest < large as u64);
    let calls = lab.run(defragment_all(&volume, u64::MAX));
    assert_eq!(calls, [Defragmented { done: true, ..Defragmented::default() }]);
    assert_eq!(volume.space().free, rest);
    check_all(&mut lab, &disk, &volume, &left);
}

#[test]
fn a_reader_keeps_its_bytes_while_they_are_moved_and_their_room_is_used_again() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(scatter(&volume, &[(400_000, false), (300_000, true)]));
    let old = volume.find(id(1)).unwrap();
    let mut reader = volume.open(&old).unwrap();
    let first = lab.run(reader.next()).unwrap().unwrap();
    let told = lab.run(volume.defragment(u64::MAX)).unwrap();
    assert_eq!(told.moved, 303_104);
    assert!(volume.space().trapped > 0, "the room that is read is not given out");
    // Written over the old place, if it could be.
    for number in 10..14 {
        lab.run(put(&volume, id(number), 1, 300_000)).unwrap();
        lab.run(volume.defragment(u64::MAX)).unwrap();
    }
    let mut bytes = first.to_vec();
    bytes.extend(lab.run(read_on(reader)).unwrap());
    assert!(bytes == body(id(1), 1, 300_000));
    let again = volume.open(&old).expect("a record from before the move leads to the new place");
    assert!(lab.run(read_on(again)).unwrap() == bytes);
    lab.run(defragment_all(&volume, u64::MAX));
    everything_used_lies_together(&volume.space());
    let left = [1, 10, 11, 12, 13].map(|number| (number, 1, 300_000)).to_vec();
    check_all(&mut lab, &disk, &volume, &left);
}

#[test]
fn what_a_reader_of_a_removed_body_reads_is_not_written_over() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(scatter(&volume, &[(10_000, true), (300_000, true)]));
    let readers = [0, 1].map(|number| volume.open(&volume.find(id(number)).unwrap()).unwrap());
    lab.run(async {
        let kind = ObjectKind::Named;
        let tombstone = Tombstone::new(stamp(2), kind, Timestamp(0));
        volume.bury(id(0), tombstone).await.unwrap();
        assert!(volume.remove(id(1), stamp(1)).await.unwrap());
        volume.defragment(u64::MAX).await.unwrap();
        for number in 2..10 {
            put(&volume, id(number), 1, 300_000).await.unwrap();
            volume.defragment(u64::MAX).await.unwrap();
        }
    });
    for (reader, (number, len)) in readers.into_iter().zip([(0, 10_000), (1, 300_000)]) {
        assert!(lab.run(read_on(reader)).unwrap() == body(id(number), 1, len));
    }
    lab.run(volume.defragment(u64::MAX)).unwrap();
    everything_used_lies_together(&volume.space());
}

#[test]
fn a_reader_that_followed_a_move_keeps_its_bytes_too() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(scatter(&volume, &[(400_000, false), (300_000, true)]));
    let old = volume.find(id(1)).unwrap();
    lab.run(volume.defragment(u64::MAX)).unwrap();
    let reader = volume.open(&old).unwrap();
    lab.run(async {
        assert!(volume.remove(id(1), stamp(1)).await.unwrap());
        volume.defragment(u64::MAX).await.unwrap();
        for number in 2..10 {
            put(&volume, id(number), 1, 300_000).await.unwrap();
            volume.defragment(u64::MAX).await.unwrap();
        }
    });
    assert!(lab.run(read_on(reader)).unwrap() == body(id(1), 1, 300_000));
}

/// Polls until something was written that is not synced: a copy is under way.
fn until_copying(lab: &mut Lab, disk: &TestDisk, moving: &mut (impl Future + Unpin)) {
    let before = disk.events().len();
    let written = |event: &Event| matches!(event, Event::Submitted { sync: false, .. });
    while !disk.events()[before..].iter().any(written) {
        lab.run(std::future::poll_fn(|cx| {
            assert!(Pin::new(&mut *moving).poll(cx).is_pending(), "the body is long");
            Poll::Ready(())
        }));
    }
}

#[test]
fn the_room_of_a_body_is_not_written_to_before_it_is_gone_for_good() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(scatter(&volume, &[(700_000, true), (600_000, true)]));
    let at = place(&disk, &body(id(0), 1, 700_000));
    for superseded in [true, false] {
        disk.hold_syncs(true);
        let version = if superseded { 2 } else { 3 };
        let mut writing = Box::pin(async {
            if superseded {
                put(&volume, id(0), version, 10).await.unwrap();
            } else {
                let written = Timestamp(0);
                let tombstone = Tombstone::new(stamp(3), ObjectKind::Named, written);
                volume.bury(id(0), tombstone).await.unwrap();
            }
        });
        assert_eq!(lab.for_a_while(&mut writing), None);
        let mut moving = Box::pin(volume.defragment(u64::MAX));
        assert!(lab.for_a_while(&mut moving).is_none());
        if superseded {
            assert!(disk.seen()[at..].starts_with(&body(id(0), 1, 700_000)), "a crash needs it");
        }
        disk.hold_syncs(false);
        lab.run(writing);
        lab.run(moving).unwrap();
    }
    lab.run(defragment_all(&volume, u64::MAX));
    everything_used_lies_together(&volume.space());
    lab.run(expect_body(&volume, id(1), 1, 600_000));
}

#[test]
fn a_copy_that_a_failed_sync_may_have_lost_is_not_filed() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let left = lab.run(scatter(&volume, &[(2_000_000, false), (1_900_000, true)]));
    let mut moving = Box::pin(volume.defragment(u64::MAX));
    until_copying(&mut lab, &disk, &mut moving);
    disk.fail(1);
    lab.run(put(&volume, id(9), 1, 10)).unwrap_err();
    assert!(matches!(lab.run(moving), Err(AppendError::Disk { .. })));
    check_all(&mut lab, &disk, &volume, &left);
}

#[test]
fn a_body_that_is_replaced_while_it_is_copied_stays_replaced() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(scatter(&volume, &[(2_000_000, false), (1_900_000, true)]));
    let mut moving = Box::pin(volume.defragment(u64::MAX));
    until_copying(&mut lab, &disk, &mut moving);
    lab.run(async {
        assert!(volume.set_quarantined(&volume.find(id(1)).unwrap(), true).await.unwrap());
        put(&volume, id(1), 1, 50_000).await.unwrap();
    });
    lab.run(moving).unwrap();
    lab.run(expect_body(&volume, id(1), 1, 50_000));
    assert!(!volume.find(id(1)).unwrap().is_quarantined());
    lab.run(defragment_all(&volume, u64::MAX));
    everything_used_lies_together(&volume.space());
    check_all(&mut lab, &disk, &volume, &vec![(1, 1, 50_000)]);
}

/// The journal itself must say so: what is read from it alone is judged by `Room::new` at every mount.
#[test]
fn what_is_published_in_the_group_that_lowers_the_head_lies_below_it() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(scatter(&volume, &[(50_000, true), (400_000, false)]));
    // Both wait for the same group.
    disk.hold_syncs(true);
    let mut first = Box::pin(volume.touch());
    assert!(lab.for_a_while(&mut first).is_none());
    let mut writing = Box::pin(put(&volume, id(2), 1, 10_000));
    assert!(lab.for_a_while(&mut writing).is_none());
    let mut lowering = Box::pin(volume.defragment(1));
    assert!(lab.for_a_while(&mut lowering).is_none());
    disk.hold_syncs(false);
    lab.run(first).unwrap();
    lab.run(writing).unwrap();
    lab.run(lowering).unwrap();
    check_all(&mut lab, &disk, &volume, &vec![(0, 1, 50_000), (2, 1, 10_000)]);
    lab.run(defragment_all(&volume, u64::MAX));
    everything_used_lies_together(&volume.space());
    check_all(&mut lab, &disk, &volume, &vec![(0, 1, 50_000), (2, 1, 10_000)]);
}

#[test]
fn hints_and_quarantine_move_along() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let left = lab.run(scatter(&volume, &[(50_000, false), (40_000, true)]));
    let hints: swarm_store::Hints = [volume.id()].into_iter().collect();
    lab.run(async {
        assert!(volume.set_hints(id(1), stamp(1), hints.clone()).await.unwrap());
        assert!(volume.set_quarantined(&volume.find(id(1)).unwrap(), true).await.unwrap());
        assert!(volume.defragment(u64::MAX).await.unwrap().moved > 0);
    });
    let record = volume.find(id(1)).unwrap();
    assert_eq!((record.hints(), record.is_quarantined()), (hints.volumes(), true));
    check_all(&mut lab, &disk, &volume, &left);
}

/// A copy with new checksums would make damage look sound.
#[test]
fn a_damaged_body_is_not_moved() {
    for bugs in [Vec::new(), vec![Bug::ServeUnverified]] {
        let mut lab = Lab::planted(1, bugs);
        let disk = TestDisk::new(DEVICE);
        let volume = fresh(&mut lab, &disk);
        lab.run(scatter(&volume, &[(400_000, false), (50_000, true), (300_000, true)]));
        disk.flip(place(&disk, &body(id(2), 1, 300_000)) + 200_000);
        let before = volume.space();
        let told = lab.run(volume.defragment(u64::MAX)).unwrap();
        assert_eq!(told.damaged, [(id(2), stamp(1))]);
        assert!(told.done && told.moved == 0);
        assert_eq!(volume.space(), before, "nothing was left lying about");
        let mut sound = Lab::new(2);
        let env = sound.env.clone();
        let (volume, report) =
            sound.run(mount(&env, &TestDisk::of_image(disk.durable(), disk.index())));
        assert_eq!(report.damaged, [id(2)]);
        let record = volume.find(id(2)).unwrap();
        assert!(matches!(sound.run(read(&volume, &record)), Err(ReadError::Corrupt { .. })));
        // Once it has given way, the rest comes down.
        sound.run(volume.remove(id(2), stamp(1))).unwrap();
        sound.run(defragment_all(&volume, u64::MAX));
        everything_used_lies_together(&volume.space());
        sound.run(expect_body(&volume, id(1), 1, 50_000));
    }
}

#[test]
fn an_unreadable_body_stops_nothing_but_its_own_move() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let left = lab.run(scatter(&volume, &[(50_000, false), (40_000, true)]));
    disk.fail_reads(1);
    let told = lab.run(volume.defragment(u64::MAX)).unwrap();
    assert_eq!((told.damaged, told.moved), (vec![(id(1), stamp(1))], 0));
    assert_eq!(volume.io_errors().reads, 1);
    lab.run(defragment_all(&volume, u64::MAX));
    everything_used_lies_together(&volume.space());
    check_all(&mut lab, &disk, &volume, &left);
}

#[test]
fn a_failed_write_leaves_every_body_where_it_was() {
    for failing in 1..6 {
        for length in [10_000, 300_000, 1_500_000] {
            let mut lab = Lab::new(1);
            let disk = TestDisk::new(DEVICE);
            let volume = fresh(&mut lab, &disk);
            let bodies = [(length + 5_000, false), (length, true), (length, true)];
            let left = lab.run(scatter(&volume, &bodies));
            disk.fail(failing);
            let failed = lab.run(volume.defragment(u64::MAX));
            assert!(matches!(failed, Err(AppendError::Disk { .. })), "{failed:?}");
            check_space(&volume);
            disk.fail(0);
            check_all(&mut lab, &disk, &volume, &left);
            lab.run(defragment_all(&volume, u64::MAX));
            everything_used_lies_together(&volume.space());
            check_all(&mut lab, &disk, &volume, &left);
        }
    }
}

/// Every other object is deleted again while new ones come all the time: without a hole to write to, the head would never
/// come down.
#[test]
fn room_is_won_while_others_write() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let capacity = volume.space().capacity;
    let mut left = Left::new();
    let mut written = 0;
    lab.run(async {
        for round in 0..60_u64 {
            let writers = (0..4_u8).map(|writer| {
                let volume = volume.clone();
                let len =
                    20_000 + usize::try_from(mix(round * 4 + u64::from(writer)) % 150_000).unwrap();
                async move {
                    let number = writer * 50 + u8::try_from(round % 8).unwrap();
                    match put(&volume, id(number), round + 1, len).await {
                        Ok(_) => Some((number, round + 1, len)),
                        Err(PublishError::Append(AppendError::Full { .. })) => None,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            let defragmenter = async {
                for _ in 0..3 {
                    volume.defragment(300_000).await.unwrap();
                    check_space(&volume);
                }
            };
            let (put, ()) =
                futures_util::future::join(futures_util::future::join_all(writers), defragmenter)
                    .await;
            for (number, version, len) in put.into_iter().map(|put| put.expect("there is room")) {
                left.retain(|(other, _, _)| *other != number);
                left.push((number, version, len));
                written += len as u64;
            }
        }
        defragment_all(&volume, u64::MAX).await;
    });
    assert!(written > 3 * capacity / 2, "more than the volume holds: {written} of {capacity}");
    everything_used_lies_together(&volume.space());
    check_all(&mut lab, &disk, &volume, &left);
}

#[test]
fn a_closed_volume_is_not_defragmented() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(scatter(&volume, &[(50_000, false), (40_000, true)]));
    volume.close();
    assert!(matches!(lab.run(volume.defragment(1)), Err(AppendError::Closed)));
}
