//! What feeds need of a volume: outcomes that stay with their stream wherever it goes, sums that cost no look, and a table
//! that travels with the disk.

use std::sync::Arc;

use bytes::Bytes;
use swarm_store::{AppendError, FEED_TABLE_MAX, Hints, Publish, SlotCounts, Tombstone, Volume};
use swarm_types::{
    FeedId, FeedMark, FeedOutcome, FeedSlot, FeedSlots, ObjectKind, StreamId, Timestamp, Uuid,
};

use crate::kit::disk::Event;
use crate::kit::{
    ALIAS, Lab, TestDisk, body, check_feeds, check_space, expect_body, fresh, id, meta, mount, put,
    stamp,
};

const DEVICE: usize = 4 << 20;
const MARK: FeedMark = FeedMark(77);
const RETRYING: FeedOutcome =
    FeedOutcome::Retrying { attempts: 2, next_at: Timestamp::from_secs(1_000_060) };

fn slot(feed: u32, outcome: FeedOutcome) -> FeedSlot {
    let (feed, at) = (FeedId(feed), Timestamp::from_secs(1_000_000));
    FeedSlot { feed, mark: MARK, outcome, status: 0, at }
}

fn slots(all: impl IntoIterator<Item = FeedSlot>) -> FeedSlots {
    let mut slots = FeedSlots::default();
    all.into_iter().for_each(|slot| slots.set(slot));
    slots
}

/// One outcome of one stream.
async fn settle(volume: &Volume, number: u8, version: u64, slot: FeedSlot) -> u64 {
    volume.settle_feeds(vec![(id(number), stamp(version), slot)], Arc::default()).await.unwrap()
}

fn of(volume: &Volume, number: u8) -> FeedSlots {
    volume.find(id(number)).unwrap().slots().clone()
}

/// The volume as another mount finds it, with and without its index.
fn after_power_loss(disk: &TestDisk, check: impl Fn(&mut Lab, &Volume)) {
    for index in [disk.index(), Arc::default()] {
        let mut lab = Lab::new(9);
        let env = lab.env.clone();
        let (volume, _) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), index)));
        check_feeds(&volume);
        check_space(&volume);
        check(&mut lab, &volume);
    }
}

fn syncs(disk: &TestDisk) -> usize {
    disk.events().iter().filter(|event| **event == Event::Synced).count()
}

#[test]
fn an_outcome_belongs_to_one_version_and_survives() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, id(1), 5, 70_000).await.unwrap();
        put(&volume, id(2), 5, 10).await.unwrap();
        let space = volume.space();
        assert_eq!(settle(&volume, 1, 5, slot(1, RETRYING)).await, 1);
        assert_eq!(settle(&volume, 1, 4, slot(1, FeedOutcome::Success)).await, 0, "older");
        assert_eq!(settle(&volume, 3, 5, slot(1, FeedOutcome::Success)).await, 0, "not filed");
        assert_eq!(of(&volume, 1), slots([slot(1, RETRYING)]));
        assert_eq!(settle(&volume, 1, 5, slot(1, FeedOutcome::Success)).await, 1);
        assert_eq!(settle(&volume, 1, 5, slot(2, FeedOutcome::Unqualified)).await, 1);
        assert_eq!(settle(&volume, 2, 5, slot(1, FeedOutcome::Success)).await, 1);
        assert_eq!(volume.space(), space, "bodies are not touched");
        put(&volume, id(2), 6, 10).await.unwrap();
    });
    let written = syncs(&disk);
    assert_eq!(lab.run(settle(&volume, 1, 5, slot(1, FeedOutcome::Success))), 1);
    assert_eq!(syncs(&disk), written, "nothing is written for what is known already");
    after_power_loss(&disk, |lab, volume| {
        let both = [slot(1, FeedOutcome::Success), slot(2, FeedOutcome::Unqualified)];
        assert_eq!(of(volume, 1), slots(both));
        assert!(of(volume, 2).is_empty(), "a new version begins anew");
        lab.run(expect_body(volume, id(1), 5, 70_000));
    });
}

/// Many outcomes share a group, and no body is written again for them.
#[test]
fn outcomes_of_many_streams_are_one_write() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(64 << 20);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        for number in 0..64 {
            put(&volume, id(number), 1, 4096).await.unwrap();
        }
    });
    let before = disk.events().len();
    let settled = (0..64).map(|n| (id(n), stamp(1), slot(1, FeedOutcome::Success))).collect();
    assert_eq!(lab.run(volume.settle_feeds(settled, Arc::default())).unwrap(), 64);
    // 64 records of 69 bytes and the header of their group.
    let group = Event::Submitted { writes: 1, bytes: 8192, sync: true };
    assert_eq!(disk.events()[before..], [group, Event::Synced]);
}

/// A ninth feed takes the place of one that is gone, whose outcome may be the newest of all.
#[test]
fn a_feed_that_is_gone_gives_its_place_to_one_that_lives() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let known: Arc<[(FeedId, FeedMark)]> =
        (0..9).filter(|feed| *feed != 7).map(|feed| (FeedId(feed), MARK)).collect();
    let lives = |number: u32| {
        let at = Timestamp::from_secs(1_000_000 + i64::from(number));
        FeedSlot { at, ..slot(number, FeedOutcome::Success) }
    };
    lab.run(async {
        put(&volume, id(1), 5, 100).await.unwrap();
        for feed in 0..9 {
            let settled = vec![(id(1), stamp(5), lives(feed))];
            assert_eq!(volume.settle_feeds(settled, Arc::clone(&known)).await.unwrap(), 1);
        }
    });
    after_power_loss(&disk, |_, volume| {
        let feeds: Vec<u32> = of(volume, 1).iter().map(|slot| slot.feed.0).collect();
        assert_eq!(feeds, [0, 1, 2, 3, 4, 5, 6, 8]);
    });
}

#[test]
fn a_delete_has_outcomes_of_its_own() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let deleted = Tombstone::new(stamp(6), ObjectKind::Named, Timestamp(0));
    lab.run(async {
        put(&volume, id(1), 5, 100).await.unwrap();
        settle(&volume, 1, 5, slot(1, FeedOutcome::Success)).await;
        volume.bury(id(1), deleted.clone()).await.unwrap();
        assert!(
            of(&volume, 1).is_empty(),
            "that the write was delivered says nothing of the delete"
        );
        assert_eq!(settle(&volume, 1, 6, slot(1, RETRYING)).await, 1);
        // Told again, which changes nothing.
        volume.bury(id(1), deleted).await.unwrap();
    });
    after_power_loss(&disk, |_, volume| {
        assert_eq!(of(volume, 1), slots([slot(1, RETRYING)]));
        let page = volume.feed_page(&[(FeedId(1), MARK)], None, 10);
        assert!(page.found.len() == 1 && page.found[0].tombstone);
    });
}

#[test]
fn a_replica_that_is_filed_already_keeps_its_outcomes_and_a_bad_one_hands_them_on() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let copy = async |slots: FeedSlots| {
        let mut staged = volume.stage(id(1), 100).unwrap();
        staged.write(body(id(1), 5, 100)).await.unwrap();
        let publish = Publish::new(stamp(5), meta(5, 100), Hints::NONE);
        staged.publish(Publish { slots, ..publish }).await.unwrap();
    };
    let told = slots([slot(2, FeedOutcome::Unqualified)]);
    lab.run(async {
        put(&volume, id(1), 5, 100).await.unwrap();
        settle(&volume, 1, 5, slot(1, FeedOutcome::Success)).await;
        copy(told.clone()).await;
        assert_eq!(of(&volume, 1), slots([slot(1, FeedOutcome::Success)]));
        assert!(volume.set_quarantined(&volume.find(id(1)).unwrap(), true).await.unwrap());
        copy(told.clone()).await;
    });
    after_power_loss(&disk, |lab, volume| {
        let record = volume.find(id(1)).unwrap();
        let both = [slot(1, FeedOutcome::Success), slot(2, FeedOutcome::Unqualified)];
        assert_eq!((record.slots(), record.is_quarantined()), (&slots(both), false));
        assert!(record.is_first(), "feeds still begin here");
        lab.run(expect_body(volume, id(1), 5, 100));
    });
}

#[test]
fn a_copy_brings_what_feeds_have_come_to_elsewhere() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let known = slots([slot(1, FeedOutcome::Success), slot(2, RETRYING)]);
    lab.run(async {
        let publish = Publish::new(stamp(5), meta(5, 0), Hints::NONE);
        let publish = Publish { slots: known.clone(), ..publish };
        volume.stage(id(1), 0).unwrap().publish(publish).await.unwrap();
    });
    assert_eq!(volume.feed_counts(FeedId(1), MARK), SlotCounts { success: 1, ..<_>::default() });
    after_power_loss(&disk, |_, volume| assert_eq!(of(volume, 1), known));
}

#[test]
fn bodies_that_are_moved_keep_their_outcomes() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        for number in 1..=4 {
            put(&volume, id(number), 1, 100_000).await.unwrap();
            settle(&volume, number, 1, slot(number.into(), FeedOutcome::Success)).await;
        }
        assert!(volume.remove(id(1), stamp(1)).await.unwrap());
        assert!(volume.defragment(u64::MAX).await.unwrap().moved > 0);
    });
    after_power_loss(&disk, |lab, volume| {
        for number in 2..=4 {
            assert_eq!(of(volume, number), slots([slot(number.into(), FeedOutcome::Success)]));
            assert!(volume.find(id(number)).unwrap().is_first());
            lab.run(expect_body(volume, id(number), 1, 100_000));
        }
    });
}

#[test]
fn the_sums_follow_every_change_and_another_mark_begins_at_nothing() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let counts = |mark| {
        let SlotCounts { unqualified, success, retrying } = volume.feed_counts(FeedId(1), mark);
        [unqualified, success, retrying]
    };
    lab.run(async {
        for number in 0..4 {
            put(&volume, id(number), 1, 10).await.unwrap();
        }
        settle(&volume, 0, 1, slot(1, FeedOutcome::Unqualified)).await;
        settle(&volume, 1, 1, slot(1, FeedOutcome::Success)).await;
        settle(&volume, 2, 1, slot(1, RETRYING)).await;
        assert_eq!((counts(MARK), counts(FeedMark(78))), ([1, 1, 1], [0, 0, 0]));
        let restarted = FeedSlot { mark: FeedMark(78), ..slot(1, FeedOutcome::Success) };
        settle(&volume, 1, 1, restarted).await;
        assert_eq!((counts(MARK), counts(FeedMark(78))), ([1, 0, 1], [0, 1, 0]));
        put(&volume, id(1), 2, 10).await.unwrap();
        assert!(volume.remove(id(2), stamp(1)).await.unwrap());
        volume
            .bury(id(0), Tombstone::new(stamp(2), ObjectKind::Named, Timestamp(0)))
            .await
            .unwrap();
        assert_eq!((counts(MARK), counts(FeedMark(78))), ([0, 0, 0], [0, 0, 0]));
    });
    check_feeds(&volume);
}

#[test]
fn a_look_for_what_is_to_be_done_goes_on_where_the_last_one_ended() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    lab.run(async {
        for number in 0..10 {
            put(&volume, id(number), 1, 10).await.unwrap();
        }
        for number in [0, 1, 2, 5, 9] {
            settle(&volume, number, 1, slot(1, FeedOutcome::Success)).await;
            settle(&volume, number, 1, slot(2, RETRYING)).await;
        }
    });
    let look = |of: &[u32], after: Option<u8>| {
        let of: Vec<_> = of.iter().map(|feed| (FeedId(*feed), MARK)).collect();
        let page = volume.feed_page(&of, after.map(id), 3);
        let number = |id: StreamId| id.as_bytes()[0];
        let found: Vec<_> = page.found.iter().map(|brief| number(brief.id)).collect();
        (found, page.next.map(number))
    };
    assert_eq!(look(&[1], None), (vec![], Some(2)), "everything looked at is done");
    assert_eq!(look(&[1], Some(2)), (vec![3, 4], Some(5)));
    assert_eq!(look(&[1], Some(8)), (vec![], None));
    assert_eq!(look(&[1, 2], None), (vec![0, 1, 2], Some(2)), "one of two feeds still tries");
    assert_eq!(look(&[], None), (vec![], Some(2)));
    volume.close();
    assert_eq!(look(&[1], None), (vec![], None));
}

#[test]
fn buckets_and_domains_are_found_by_their_alias() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let other = Uuid::from_bytes([4; 16]);
    lab.run(async {
        // Version 6 is of a bucket, version 7 of an object.
        put(&volume, id(3), 6, 10).await.unwrap();
        put(&volume, id(2), 6, 10).await.unwrap();
        put(&volume, id(1), 7, 10).await.unwrap();
        assert_eq!(volume.context(ALIAS), Some(id(2)), "the lowest of those who share it");
        volume
            .bury(id(2), Tombstone::new(stamp(7), ObjectKind::Bucket, Timestamp(0)))
            .await
            .unwrap();
        assert_eq!(volume.context(ALIAS), Some(id(3)), "a delete that does not know it is none");
        let bare = Tombstone::new(stamp(7), ObjectKind::Bucket, Timestamp(0));
        volume.bury(id(3), Tombstone { alias: Some(other), ..bare }).await.unwrap();
    });
    after_power_loss(&disk, |_, volume| {
        assert_eq!((volume.context(ALIAS), volume.context(other)), (None, Some(id(3))));
    });
}

#[test]
fn the_table_of_feeds_travels_with_the_disk() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(2 * DEVICE);
    let volume = fresh(&mut lab, &disk);
    assert!(volume.feed_table().is_empty());
    let largest = body(id(1), 1, FEED_TABLE_MAX);
    lab.run(volume.set_feed_table(largest.clone())).unwrap();
    let written = syncs(&disk);
    lab.run(volume.set_feed_table(largest.clone())).unwrap();
    assert_eq!(syncs(&disk), written, "it is there already");
    after_power_loss(&disk, |_, volume| assert_eq!(volume.feed_table(), largest));
    // Round the journal, twice.
    for _ in 0..300 {
        lab.run(volume.touch()).unwrap();
    }
    after_power_loss(&disk, |_, volume| assert_eq!(volume.feed_table(), largest));
    lab.run(volume.set_feed_table(Bytes::new())).unwrap();
    after_power_loss(&disk, |_, volume| assert!(volume.feed_table().is_empty()));
}

#[test]
fn a_table_that_the_journal_cannot_take_is_refused_and_the_one_before_stays() {
    let refused = |capacity, len| {
        let mut lab = Lab::new(1);
        let disk = TestDisk::new(capacity);
        let volume = fresh(&mut lab, &disk);
        let before = Bytes::from_static(b"the one before");
        lab.run(volume.set_feed_table(before.clone())).unwrap();
        let answer = lab.run(volume.set_feed_table(body(id(1), 1, len)));
        // The journal goes round all the same.
        for version in 1..60 {
            lab.run(put(&volume, id(1), version, 10)).unwrap();
        }
        let limit = match answer {
            Err(AppendError::MetadataTooLarge { bytes, limit }) => {
                assert_eq!((bytes, volume.feed_table()), (len as u64, before));
                limit
            }
            other => panic!("{other:?}"),
        };
        after_power_loss(&disk, |lab, volume| lab.run(expect_body(volume, id(1), 59, 10)));
        limit
    };
    assert_eq!(refused(2 << 20, 32 << 10), 16 << 10, "half of it fits into the smallest volume");
    assert_eq!(refused(64 << 20, FEED_TABLE_MAX + 1), FEED_TABLE_MAX as u64);
}

/// A new table that is no longer than the one before finds room in the fullest journal of the smallest volume.
#[test]
fn a_full_journal_takes_another_table() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(2 << 20);
    let volume = fresh(&mut lab, &disk);
    let table = |number| body(id(number), 1, 16 << 10);
    lab.run(async {
        volume.set_feed_table(table(1)).await.unwrap();
        let tombstones = fill_with_tombstones(&volume).await;
        assert!(tombstones > 500, "{tombstones}");
        for number in 2..20 {
            volume.set_feed_table(table(number)).await.unwrap();
        }
        volume.set_feed_table(Bytes::new()).await.unwrap();
        assert!(fill_with_tombstones(&volume).await > 100, "the table took their room");
        let full = volume.set_feed_table(table(1)).await;
        assert!(matches!(full, Err(AppendError::Full { .. })), "{full:?}");
    });
    after_power_loss(&disk, |_, volume| assert!(volume.feed_table().is_empty()));
}

fn many(number: u64) -> StreamId {
    let mut bytes = [0xee; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    StreamId::from_bytes(bytes)
}

/// Files tombstones until no more find room; how many did.
async fn fill_with_tombstones(volume: &Volume) -> u64 {
    let from = volume.space().tombstones;
    for number in from.. {
        let tombstone = Tombstone::new(stamp(1), ObjectKind::Named, Timestamp(0));
        if volume.bury(many(number), tombstone).await.is_err() {
            return number - from;
        }
    }
    0
}

/// Publishes empty bodies until no more find room; how many did.
async fn fill_with_objects(volume: &Volume) -> u64 {
    for number in 0.. {
        let publish = Publish::new(stamp(1), meta(1, 0), Hints::NONE);
        let Ok(staged) = volume.stage(many(number), 0) else { return number };
        if staged.publish(publish).await.is_err() {
            return number;
        }
    }
    0
}

#[test]
fn a_full_journal_keeps_outcomes_out_and_counts_them_and_still_takes_deletes() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(2 << 20);
    let volume = fresh(&mut lab, &disk);
    let (objects, kept) = lab.run(async {
        let objects = fill_with_objects(&volume).await;
        let all = |feed| {
            let settled = move |number| (many(number), stamp(1), slot(feed, FeedOutcome::Success));
            (0..objects).map(settled).collect::<Vec<_>>()
        };
        let mut kept = 0;
        for feed in 0..3 {
            kept += volume.settle_feeds(all(feed), Arc::default()).await.unwrap();
        }
        assert!(kept > 100, "there is some room behind that of objects: {kept}");
        let left_out = volume.feed_slots_not_kept();
        assert_eq!(kept + left_out, 3 * objects);
        assert!(left_out > 0, "but not for everything: {kept}");
        // What takes no more room than before is always kept.
        let first = vec![(many(0), stamp(1), slot(0, FeedOutcome::Unqualified))];
        assert_eq!(volume.settle_feeds(first, Arc::default()).await.unwrap(), 1);
        assert_eq!(volume.feed_slots_not_kept(), left_out);
        // Deletes of what is not here still find theirs.
        let tombstone = Tombstone::new(stamp(1), ObjectKind::Named, Timestamp(0));
        for number in 1..100 {
            volume.bury(id(number), tombstone.clone()).await.unwrap();
        }
        (objects, kept)
    });
    after_power_loss(&disk, |_, volume| {
        assert_eq!((volume.space().streams, volume.space().tombstones), (objects, 99));
        let sum = |feed| {
            let counts = volume.feed_counts(FeedId(feed), MARK);
            counts.success + counts.unqualified
        };
        assert_eq!((0..3).map(sum).sum::<u64>(), kept);
        assert_eq!(volume.feed_slots_not_kept(), 0, "since the mount");
    });
}

/// What the headers of the two halves say of their first group.
fn begun(image: &[u8]) -> Vec<u64> {
    let headers = image.chunks(4096).filter(|block| block.starts_with(b"SWHALF_4"));
    headers.map(|block| u64::from_le_bytes(block[32..40].try_into().unwrap())).collect()
}

#[test]
fn a_hundred_thousand_outcomes_go_through_two_checkpoints() {
    const STREAMS: u64 = 100_000;
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(256 << 20);
    let volume = fresh(&mut lab, &disk);
    let settle_all = async |feed, outcome| {
        for from in (0..STREAMS).step_by(1000) {
            let numbers = from..from + 1000;
            let settled = numbers.map(|n| (many(n), stamp(1), slot(feed, outcome))).collect();
            assert_eq!(volume.settle_feeds(settled, Arc::default()).await.unwrap(), 1000);
        }
    };
    lab.run(async {
        for from in (0..STREAMS).step_by(1000) {
            let bury = |number| {
                let tombstone = Tombstone::new(stamp(1), ObjectKind::Named, Timestamp(0));
                volume.bury(many(number), tombstone)
            };
            let buried = futures_util::future::join_all((from..from + 1000).map(bury)).await;
            assert!(buried.iter().all(Result::is_ok));
        }
        settle_all(1, RETRYING).await;
        settle_all(1, FeedOutcome::Success).await;
        settle_all(2, FeedOutcome::Success).await;
        settle_all(2, FeedOutcome::Unqualified).await;
    });
    assert!(begun(&disk.durable()).iter().all(|first| *first > 1), "both halves were begun anew");
    for index in [disk.index(), Arc::default()] {
        let mut lab = Lab::new(9);
        let env = lab.env.clone();
        let (volume, _) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), index)));
        let counts = |feed| volume.feed_counts(FeedId(feed), MARK);
        assert_eq!(counts(1), SlotCounts { success: STREAMS, ..SlotCounts::default() });
        assert_eq!(counts(2), SlotCounts { unqualified: STREAMS, ..SlotCounts::default() });
        let both = [slot(1, FeedOutcome::Success), slot(2, FeedOutcome::Unqualified)];
        for number in [0, 1, STREAMS / 2, STREAMS - 1] {
            assert_eq!(volume.find(many(number)).unwrap().slots(), &slots(both));
        }
    }
}
