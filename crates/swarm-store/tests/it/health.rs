//! What the health of a cluster needs of a volume: hints, marks, verification, walks, errors, and a disk that goes away.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join;
use swarm_store::{
    AppendError, HINTS_MAX, Hints, IoErrors, Publish, PublishError, ReadError, Record, Retire,
    RetireCause, RetirePace, Service, Tombstone, Verdict, Volume, Walk,
};
use swarm_types::{FeedId, FeedOutcome, FeedSlot, ObjectKind, StreamId, Timestamp, VolumeId};

use crate::kit::disk::Event;
use crate::kit::{
    Lab, TestDisk, body, check_space, expect_body, fresh, id, meta, mix, mount, place, put, read,
    slot, stamp,
};

const DEVICE: usize = 4 << 20;

fn volume_id(number: u8) -> VolumeId {
    VolumeId::from_bytes([number; 16])
}

fn hints(numbers: impl IntoIterator<Item = u8>) -> Hints {
    numbers.into_iter().map(volume_id).collect()
}

/// The volume as another mount finds it, with and without its index.
fn after_power_loss(disk: &TestDisk, check: impl Fn(&mut Lab, &Volume)) {
    for index in [disk.index(), Arc::default()] {
        let mut lab = Lab::new(9);
        let env = lab.env.clone();
        let (volume, _) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), index)));
        check(&mut lab, &volume);
    }
}

fn syncs(disk: &TestDisk) -> usize {
    disk.events().iter().filter(|event| **event == Event::Synced).count()
}

#[test]
fn hints_change_without_the_body_and_survive() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, id(1), 5, 70_000).await.unwrap();
        let before = volume.space();
        assert!(volume.set_hints(id(1), stamp(5), hints(0..15)).await.unwrap());
        assert_eq!(volume.find(id(1)).unwrap().hints().len(), HINTS_MAX);
        assert!(volume.set_hints(id(1), stamp(5), hints([3, 4])).await.unwrap());
        assert_eq!(volume.space(), before);
        expect_body(&volume, id(1), 5, 70_000).await;
        assert!(!volume.set_hints(id(1), stamp(4), hints([9])).await.unwrap(), "another version");
        assert!(!volume.set_hints(id(2), stamp(5), hints([9])).await.unwrap(), "another stream");
    });
    let written = syncs(&disk);
    assert!(lab.run(volume.set_hints(id(1), stamp(5), hints([3, 4]))).unwrap());
    assert_eq!(syncs(&disk), written, "nothing is written for what is known already");
    after_power_loss(&disk, |lab, volume| {
        assert_eq!(volume.find(id(1)).unwrap().hints(), hints([3, 4]).volumes());
        lab.run(expect_body(volume, id(1), 5, 70_000));
    });
}

#[test]
fn a_tombstone_has_no_hints() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    let tombstone = Tombstone::new(stamp(5), ObjectKind::Named, Timestamp(0));
    lab.run(async {
        volume.bury(id(1), tombstone).await.unwrap();
        assert!(!volume.set_hints(id(1), stamp(5), hints([9])).await.unwrap());
        assert!(!volume.set_quarantined(&volume.find(id(1)).unwrap(), true).await.unwrap());
    });
    assert!(volume.find(id(1)).unwrap().hints().is_empty());
}

#[test]
fn what_is_learned_later_finds_room_in_the_largest_record() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(64 << 20);
    let volume = fresh(&mut lab, &disk);
    let publish = async |len| {
        let mut meta = meta(1, 0);
        meta.headers.push("X-Long", vec![b'x'; len]);
        let publish = Publish::new(stamp(1), meta, Hints::NONE);
        volume.stage(id(1), 0).unwrap().publish(publish).await
    };
    lab.run(async {
        for len in (0..1000).map(|less| 262_144 - less) {
            match publish(len).await {
                Ok(_) => break,
                Err(PublishError::Append(AppendError::MetadataTooLarge { .. })) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(volume.find(id(1)).is_some(), "1000 bytes are enough for the rest of a record");
        assert!(volume.set_hints(id(1), stamp(1), hints(0..15)).await.unwrap());
        let outcome = FeedOutcome::Retrying { attempts: 1, next_at: Timestamp(2) };
        let retrying = |feed| FeedSlot { feed: FeedId(feed), outcome, ..slot(1) };
        let slots = (0..8).map(|feed| (id(1), stamp(1), retrying(feed))).collect();
        assert_eq!(volume.settle_feeds(slots, Arc::default()).await.unwrap(), 8);
        // Round the journal, so that the record is in a checkpoint.
        for _ in 0..1100 {
            volume.touch().await.unwrap();
        }
    });
    after_power_loss(&disk, |_, volume| {
        let record = volume.find(id(1)).unwrap();
        assert_eq!((record.hints().len(), record.slots().iter().len()), (HINTS_MAX, 8));
    });
}

#[test]
fn quarantine_survives_even_where_the_bytes_do_not_hold() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put(&volume, id(1), 5, 70_000)).unwrap();
    disk.flip(place(&disk, &body(id(1), 5, 70_000)));
    assert!(lab.run(volume.set_quarantined(&volume.find(id(1)).unwrap(), true)).unwrap());
    assert!(volume.find(id(1)).unwrap().is_quarantined());
    // The note is in the last group, which a mount without an index must doubt.
    after_power_loss(&disk, |lab, volume| {
        let record = volume.find(id(1)).unwrap();
        assert!(record.is_quarantined());
        assert!(matches!(lab.run(read(volume, &record)), Err(ReadError::Corrupt { at: 0 })));
        assert!(lab.run(volume.set_quarantined(&volume.find(id(1)).unwrap(), false)).unwrap());
        assert!(!volume.find(id(1)).unwrap().is_quarantined());
    });
}

/// Who decided to drop a bad copy may come late.
#[test]
fn only_the_copy_that_is_known_to_be_bad_is_removed_as_such() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, id(1), 5, 70_000).await.unwrap();
        let first = volume.find(id(1)).unwrap();
        assert!(!volume.remove_quarantined(&first).await.unwrap(), "nobody says that it is bad");
        assert!(volume.set_quarantined(&first, true).await.unwrap());
        put(&volume, id(1), 5, 70_000).await.unwrap();
        assert!(!volume.remove_quarantined(&first).await.unwrap(), "a sound one is in its place");
        let second = volume.find(id(1)).unwrap();
        assert!(volume.set_quarantined(&second, true).await.unwrap());
        assert!(!volume.remove_quarantined(&first).await.unwrap(), "it is another that is bad");
        // The note that takes the mark back goes before the removal that was decided when it was still there.
        let (back, removed) = futures_util::future::join(
            volume.set_quarantined(&second, false),
            volume.remove_quarantined(&second),
        )
        .await;
        assert!(back.unwrap() && !removed.unwrap());
        expect_body(&volume, id(1), 5, 70_000).await;
        assert!(volume.set_quarantined(&second, true).await.unwrap());
        assert!(volume.remove_quarantined(&second).await.unwrap());
        assert!(volume.find(id(1)).is_none());
        check_space(&volume);
    });
}

#[test]
fn a_quarantined_replica_gives_way_to_a_good_one_of_its_version() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put(&volume, id(1), 5, 70_000)).unwrap();
    disk.flip(place(&disk, &body(id(1), 5, 70_000)));
    lab.run(async {
        put(&volume, id(1), 5, 70_000).await.unwrap();
        let record = volume.find(id(1)).unwrap();
        assert!(read(&volume, &record).await.is_err(), "filed already, so nothing was written");
        assert!(volume.set_quarantined(&record, true).await.unwrap());
        put(&volume, id(1), 5, 70_000).await.unwrap();
        assert!(!volume.find(id(1)).unwrap().is_quarantined());
        assert!(
            !volume.set_quarantined(&record, true).await.unwrap(),
            "a look that ends late says nothing of the copy that took the place of the one it read"
        );
        assert!(!volume.find(id(1)).unwrap().is_quarantined());
        expect_body(&volume, id(1), 5, 70_000).await;
        assert_eq!(volume.space().streams, 1);
        check_space(&volume);
    });
    after_power_loss(&disk, |lab, volume| {
        assert!(!volume.find(id(1)).unwrap().is_quarantined());
        lab.run(expect_body(volume, id(1), 5, 70_000));
    });
}

#[test]
fn what_a_volume_is_for_survives_and_travels_with_the_disk() {
    let retire = |cause, pace| Retire { cause, pace, since: Timestamp::from_secs(77) };
    let marks = [
        Service::Retiring(retire(RetireCause::ByHand, RetirePace::Slow)),
        Service::Retiring(retire(RetireCause::IoErrors, RetirePace::Fast)),
        Service::Retired(retire(RetireCause::IoErrors, RetirePace::Fast)),
        Service::InService,
    ];
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(2 << 20);
    let volume = fresh(&mut lab, &disk);
    assert_eq!(volume.service(), Service::InService);
    for mark in marks {
        lab.run(volume.set_service(mark)).unwrap();
        assert_eq!(volume.service(), mark);
        after_power_loss(&disk, |_, volume| assert_eq!(volume.service(), mark));
        // Through a checkpoint.
        lab.run(async {
            for version in 0..40 {
                put(&volume, id(1), 100 + version, 10).await.ok();
                volume.touch().await.unwrap();
            }
        });
        after_power_loss(&disk, |_, volume| assert_eq!(volume.service(), mark));
    }
}

#[test]
fn a_mark_that_was_not_written_is_not_told() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let (cause, pace) = (RetireCause::ByHand, RetirePace::Fast);
    let retiring = Service::Retiring(Retire { cause, pace, since: Timestamp(1) });
    disk.fail(1);
    assert!(matches!(lab.run(volume.set_service(retiring)), Err(AppendError::Disk { .. })));
    assert_eq!(volume.service(), Service::InService);
    lab.run(volume.set_service(retiring)).unwrap();
    assert_eq!(volume.service(), retiring);
}

#[test]
fn verification_tells_where_the_damage_is() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let len = 700_000;
    for length in [0, 1, 65_536, 65_537, len] {
        lab.run(put(&volume, id(1), 1 + length as u64, length)).unwrap();
        let record = volume.find(id(1)).unwrap();
        assert!(matches!(lab.run(volume.verify(&record)), Verdict::Whole), "{length}");
    }
    let record = volume.find(id(1)).unwrap();
    let start = place(&disk, &body(id(1), 1 + len as u64, len));
    disk.flip(start + 65_536 * 3);
    disk.flip(start + len - 1);
    let verdict = lab.run(volume.verify(&record));
    let Verdict::Damaged { blocks, table } = verdict else { panic!("{verdict:?}") };
    assert_eq!((blocks, table), (vec![3 * 65_536, 10 * 65_536], false));
    // A byte of the table: it is not what was written, and a block does not fit it.
    disk.flip(start + 65_536 * 3);
    disk.flip(start + len - 1);
    disk.flip(start + len + 4);
    let verdict = lab.run(volume.verify(&record));
    let Verdict::Damaged { blocks, table } = verdict else { panic!("{verdict:?}") };
    assert_eq!((blocks, table), (vec![65_536], true));
}

#[test]
fn verification_goes_in_bounded_steps() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put(&volume, id(1), 5, 1_000_000)).unwrap();
    let mut examination = volume.examine(&volume.find(id(1)).unwrap()).unwrap();
    assert_eq!(volume.load(), 1);
    for step in 1..4 {
        assert!(lab.run(examination.step()).is_none());
        assert_eq!(examination.position(), step * 262_144);
    }
    assert!(matches!(lab.run(examination.step()), Some(Verdict::Whole)));
    assert_eq!(examination.position(), 1_000_000);
    drop(examination);
    assert_eq!(volume.load(), 0);
}

#[test]
fn what_cannot_be_judged_is_no_damage() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put(&volume, id(1), 5, 300_000)).unwrap();
    let record = volume.find(id(1)).unwrap();
    disk.fail_reads(1);
    let verdict = lab.run(volume.verify(&record));
    assert!(matches!(verdict, Verdict::Unreadable { at: 0, .. }), "{verdict:?}");
    assert_eq!(volume.io_errors(), IoErrors { reads: 1, ..IoErrors::default() });
    // Whoever looks again, knowing this, learns nothing new about the disk.
    disk.fail_reads(1);
    let verdict = lab.run(volume.verify_again(&volume.find(id(1)).unwrap()));
    assert!(matches!(verdict, Verdict::Unreadable { at: 0, .. }), "{verdict:?}");
    assert_eq!(volume.io_errors(), IoErrors { reads: 1, ..IoErrors::default() });
    assert!(matches!(lab.run(volume.verify(&record)), Verdict::Whole), "it was the device");
    assert!(lab.run(volume.remove(id(1), stamp(5))).unwrap());
    assert!(matches!(lab.run(volume.verify(&record)), Verdict::Gone));
    assert!(volume.open(&record).is_none());
}

fn stream(number: u64) -> StreamId {
    let (a, b) = (mix(number), mix(number + 1_000_000));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&a.to_be_bytes());
    bytes[8..].copy_from_slice(&b.to_be_bytes());
    StreamId::from_bytes(bytes)
}

fn walk_over(volume: &Volume, seed: u64, limit: usize) -> Vec<StreamId> {
    let mut walk = Walk::seeded(seed);
    let mut ids = Vec::new();
    while !walk.is_done() {
        let page = volume.walk(&mut walk, limit);
        assert!(page.len() == limit || walk.is_done());
        ids.extend(page.iter().map(|record| record.id));
    }
    assert!((walk.share_done() - 1.0).abs() < 1e-9);
    assert!(volume.walk(&mut walk, limit).is_empty());
    ids
}

#[test]
fn a_walk_comes_by_everything_once_in_its_own_order() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(64 << 20));
    let everything: BTreeSet<StreamId> = (0..600).map(stream).collect();
    lab.run(async {
        for id in &everything {
            put(&volume, *id, 1, 10).await.unwrap();
        }
    });
    let first = walk_over(&volume, 1, 7);
    assert_eq!(first, walk_over(&volume, 1, 100), "whatever the size of its steps");
    let second = walk_over(&volume, 2, 7);
    for walk in [&first, &second] {
        assert_eq!(walk.len(), everything.len());
        assert_eq!(walk.iter().copied().collect::<BTreeSet<_>>(), everything);
    }
    let together = first.iter().zip(&second).filter(|(a, b)| a == b).count();
    assert!(together < 30, "{together} streams at the same time on both walks");
}

#[test]
fn a_walk_is_not_disturbed_by_what_comes_and_goes() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(64 << 20));
    lab.run(async {
        for number in 0..200 {
            put(&volume, stream(number), 1, 10).await.unwrap();
        }
    });
    let mut walk = Walk::seeded(3);
    let mut seen = Vec::new();
    let mut others = 200..;
    while !walk.is_done() {
        for Record { id, stamp, .. } in volume.walk(&mut walk, 5) {
            seen.push(id);
            lab.run(volume.remove(id, stamp)).unwrap();
            lab.run(put(&volume, stream(others.next().unwrap()), 1, 10)).unwrap();
            assert!(seen.len() < 10_000, "it ends");
        }
    }
    let stayed = (0..200).map(stream).filter(|id| seen.contains(id)).count();
    assert_eq!(stayed, 200);
    let different: BTreeSet<_> = seen.iter().collect();
    assert_eq!(different.len(), seen.len(), "none came twice");
}

#[test]
fn a_volume_is_retired_only_when_nothing_is_filed_and_takes_nothing_afterwards() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let (cause, pace) = (RetireCause::ByHand, RetirePace::Fast);
    let retire = Retire { cause, pace, since: Timestamp(1) };
    let buried = Tombstone::new(stamp(6), ObjectKind::Named, Timestamp(0));
    lab.run(async {
        assert!(!volume.retire_if_empty().await.unwrap(), "nobody wants it emptied");
        volume.set_service(Service::Retiring(retire)).await.unwrap();
        put(&volume, id(1), 5, 100).await.unwrap();
        assert!(!volume.retire_if_empty().await.unwrap(), "a stream is there");
        volume.bury(id(1), buried.clone()).await.unwrap();
        assert!(!volume.retire_if_empty().await.unwrap(), "a delete is remembered");
        assert!(volume.forget(id(1), stamp(6)).await.unwrap());
    });
    // A stream that is under way while it is retired, in the same group or behind it, is refused; one that comes first keeps
    // the volume from being retired.
    let mut late = volume.stage(id(2), 100).unwrap();
    lab.run(late.write(body(id(2), 5, 100))).unwrap();
    let publish = Publish::new(stamp(5), meta(5, 100), Hints::NONE);
    let (retired, published) = lab.run(join(volume.retire_if_empty(), late.publish(publish)));
    assert!(retired.unwrap());
    assert!(matches!(published, Err(PublishError::Append(AppendError::Retired { .. }))));
    assert!(matches!(
        lab.run(volume.bury(id(3), buried)),
        Err(PublishError::Append(AppendError::Retired { .. }))
    ));
    assert_eq!((volume.service(), volume.space().streams), (Service::Retired(retire), 0));
    after_power_loss(&disk, |_, volume| {
        assert_eq!((volume.service(), volume.space().streams), (Service::Retired(retire), 0));
    });
}

#[test]
fn what_is_filed_in_the_group_that_would_retire_a_volume_keeps_it_in_service() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    let (cause, pace) = (RetireCause::ByHand, RetirePace::Fast);
    let retiring = Service::Retiring(Retire { cause, pace, since: Timestamp(1) });
    lab.run(volume.set_service(retiring)).unwrap();
    let mut staged = volume.stage(id(2), 100).unwrap();
    lab.run(staged.write(body(id(2), 5, 100))).unwrap();
    let publish = Publish::new(stamp(5), meta(5, 100), Hints::NONE);
    let (published, retired) = lab.run(join(staged.publish(publish), volume.retire_if_empty()));
    published.unwrap();
    assert!(!retired.unwrap());
    assert_eq!((volume.service(), volume.space().streams), (retiring, 1));
}

#[test]
fn errors_of_the_disk_are_counted() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    assert_eq!(volume.io_errors(), IoErrors::default());
    lab.run(async {
        put(&volume, id(1), 1, 300_000).await.unwrap();
        disk.fail(1);
        put(&volume, id(2), 1, 100).await.unwrap_err();
        assert_eq!(volume.io_errors(), IoErrors { syncs: 1, ..IoErrors::default() });
        disk.fail(1);
        put(&volume, id(2), 1, 1_500_000).await.unwrap_err();
        disk.fail_reads(1);
        read(&volume, &volume.find(id(1)).unwrap()).await.unwrap_err();
        volume.note_slow();
    });
    let errors = volume.io_errors();
    assert_eq!(errors, IoErrors { reads: 1, writes: 1, syncs: 1, slow: 1 });
    assert_eq!(errors.total(), 4);
}

#[test]
fn a_volume_whose_disk_went_away_is_closed_at_once() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put(&volume, id(1), 1, 300_000)).unwrap();
    let record = volume.find(id(1)).unwrap();
    let mut reader = volume.open(&record).unwrap();
    let mut staged = volume.stage(id(2), 10).unwrap();
    disk.hold_syncs(true);
    let mut waiting = Box::pin(put(&volume, id(3), 1, 10));
    assert!(lab.for_a_while(&mut waiting).is_none());
    let written = disk.events().len();
    assert!(!volume.is_closed());
    volume.close();
    assert!(volume.is_closed());
    assert!(volume.find(id(1)).is_none() && volume.open(&record).is_none());
    assert!(volume.records(None, 10).is_empty() && volume.walk(&mut Walk::seeded(1), 9).is_empty());
    assert!(matches!(lab.run(volume.touch()), Err(AppendError::Closed)));
    assert!(matches!(lab.run(reader.next()), Err(ReadError::Gone)));
    assert!(matches!(lab.run(volume.verify(&record)), Verdict::Gone));
    let publish = Publish::new(stamp(1), meta(1, 10), Hints::NONE);
    assert!(matches!(lab.run(staged.write(vec![0; 10].into())), Err(AppendError::Closed)));
    assert!(lab.run(staged.publish(publish)).is_err());
    assert_eq!(disk.events().len(), written, "not another word to the disk");
    drop(waiting);
}

#[test]
fn who_waits_for_a_closed_volume_is_told() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    disk.hold_syncs(true);
    let mut first = Box::pin(put(&volume, id(1), 1, 10));
    assert!(lab.for_a_while(&mut first).is_none());
    let mut queued = Box::pin(put(&volume, id(2), 1, 10));
    assert!(lab.for_a_while(&mut queued).is_none(), "behind the group that is being synced");
    volume.close();
    disk.hold_syncs(false);
    let told = lab.run(queued);
    assert!(matches!(told, Err(PublishError::Append(AppendError::Closed))), "{told:?}");
    drop(lab.for_a_while(&mut first));
}

#[test]
fn the_disk_is_let_go_with_the_last_that_uses_it() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put(&volume, id(1), 1, 300_000)).unwrap();
    let reader = volume.open(&volume.find(id(1)).unwrap()).unwrap();
    volume.close();
    assert_eq!(lab.for_a_while(&mut Box::pin(std::future::pending::<()>())), None);
    assert!(Arc::strong_count(&disk) > 1);
    drop((volume, reader));
    assert_eq!(Arc::strong_count(&disk), 1, "nobody has the disk open any more");
}
