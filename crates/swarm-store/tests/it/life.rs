//! The ordinary life of a volume: what can be asked of it, and what it refuses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::Disk;
use swarm_store::{
    AppendError, DEVICE_MIN, FormatError, FormatOptions, Hints, IndexUse, MountError, MountOptions,
    Publish, PublishError, Tombstone, Volume,
};
use swarm_types::{ClusterName, ObjectKind, ObjectMeta, Timestamp};

use crate::kit::{
    Lab, TestDisk, body, check_space, cluster, expect_body, format, fresh, id, meta, mount,
    options, put, read_on, stamp, try_mount,
};

const DEVICE: usize = 4 << 20;

fn tombstone(version: u64, written: i64) -> Tombstone {
    Tombstone::new(stamp(version), ObjectKind::Named, Timestamp(written))
}

#[test]
fn bodies_of_every_size_come_back_as_they_were() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(16 << 20);
    let volume = fresh(&mut lab, &disk);
    let sizes =
        [0, 1, 4091, 4092, 4093, 65_535, 65_536, 65_537, 131_072, 262_144, 262_145, 3_000_000];
    lab.run(async {
        for (number, len) in (0..).zip(sizes) {
            put(&volume, id(number), 5, len).await.unwrap();
            expect_body(&volume, id(number), 5, len).await;
        }
    });
    check_space(&volume);
    assert_eq!(volume.space().streams, sizes.len() as u64);
    assert_eq!(volume.load(), 0);
    let mut lab = Lab::new(2);
    let env = lab.env.clone();
    let space = volume.space();
    lab.run(async {
        let (volume, report) =
            mount(&env, &TestDisk::of_image(disk.durable(), Arc::default())).await;
        assert_eq!(report.index, IndexUse::Rebuilt);
        assert_eq!(volume.space(), space);
        for (number, len) in (0..).zip(sizes) {
            expect_body(&volume, id(number), 5, len).await;
        }
    });
}

#[test]
fn a_reader_can_begin_in_the_middle() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    lab.run(async {
        put(&volume, id(1), 5, 300_000).await.unwrap();
        let mut reader = volume.open(&volume.find(id(1)).unwrap()).unwrap();
        reader.seek(200_000);
        assert_eq!(reader.position(), 196_608);
        let piece = reader.next().await.unwrap().unwrap();
        assert!(piece == crate::kit::body(id(1), 5, 300_000)[196_608..262_144]);
        reader.seek(300_000);
        assert_eq!(reader.position(), 300_000);
        assert_eq!(reader.next().await.unwrap(), None);
    });
}

#[test]
fn the_newest_version_wins_and_an_equal_one_is_success() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    lab.run(async {
        put(&volume, id(1), 5, 100).await.unwrap();
        assert_eq!(put(&volume, id(1), 5, 100).await.unwrap(), stamp(5));
        assert!(matches!(put(&volume, id(1), 4, 100).await, Err(PublishError::Superseded { by }) if by == stamp(5)));
        expect_body(&volume, id(1), 5, 100).await;
        volume.bury(id(1), tombstone(6, 0)).await.unwrap();
        volume.bury(id(1), tombstone(6, 0)).await.unwrap();
        assert!(matches!(volume.bury(id(1), tombstone(5, 0)).await, Err(PublishError::Superseded { .. })));
        let record = volume.find(id(1)).unwrap();
        assert!(record.is_tombstone() && volume.open(&record).is_none());
        assert!(!volume.remove(id(1), stamp(6)).await.unwrap(), "a tombstone is not removed");
        put(&volume, id(1), 7, 50).await.unwrap();
        expect_body(&volume, id(1), 7, 50).await;
        assert!(!volume.remove(id(1), stamp(6)).await.unwrap(), "another version is not removed");
        assert!(volume.remove(id(1), stamp(7)).await.unwrap());
        assert_eq!(volume.find(id(1)), None);
    });
    check_space(&volume);
    assert_eq!((volume.space().streams, volume.space().tombstones, volume.space().used), (0, 0, 0));
}

#[test]
fn a_delete_gives_way_to_what_is_newer_but_not_to_what_follows_the_version_that_it_deleted() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    lab.run(async {
        let after = async |follows: Option<u64>| {
            let mut staged = volume.stage(id(1), 100).unwrap();
            staged.write(body(id(1), 7, 100)).await.unwrap();
            let publish = Publish::new(stamp(7), meta(7, 100), Hints::NONE);
            staged.publish(Publish { follows: follows.map(stamp), ..publish }).await
        };
        put(&volume, id(1), 5, 100).await.unwrap();
        volume.bury(id(1), tombstone(6, 0)).await.unwrap();
        let follows = after(Some(5)).await;
        assert!(matches!(follows, Err(PublishError::Superseded { by }) if by == stamp(6)));
        assert!(volume.find(id(1)).unwrap().is_tombstone());
        // Whoever knew of the delete may replace it, and what is there already is no other.
        assert_eq!(after(Some(6)).await.unwrap(), stamp(7));
        expect_body(&volume, id(1), 7, 100).await;
        assert_eq!(after(Some(5)).await.unwrap(), stamp(7));
    });
}

#[test]
fn an_object_that_follows_a_version_follows_it_directly_and_a_context_may_not() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    lab.run(async {
        for (object, kind) in
            [(1, ObjectKind::Named), (2, ObjectKind::Alias), (3, ObjectKind::Bucket)]
        {
            put(&volume, id(object), 6, 100).await.unwrap();
            let after = async |follows: u64| {
                let mut staged = volume.stage(id(object), 100).unwrap();
                staged.write(body(id(object), 7, 100)).await.unwrap();
                let meta = ObjectMeta { kind, ..meta(7, 100) };
                let publish = Publish::new(stamp(7), meta, Hints::NONE);
                staged.publish(Publish { follows: Some(stamp(follows)), ..publish }).await
            };
            let skipped = after(5).await;
            if kind == ObjectKind::Bucket {
                assert_eq!(skipped.unwrap(), stamp(7));
            } else {
                let by = stamp(6);
                assert!(matches!(skipped, Err(PublishError::Superseded { by: it }) if it == by));
                assert_eq!(volume.find(id(object)).unwrap().stamp, stamp(6));
                assert_eq!(after(6).await.unwrap(), stamp(7));
            }
            assert_eq!(volume.find(id(object)).unwrap().stamp, stamp(7));
        }
    });
}

#[test]
fn a_reader_goes_on_with_its_version_while_a_newer_one_is_published() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    lab.run(async {
        put(&volume, id(1), 5, 200_000).await.unwrap();
        let old = volume.find(id(1)).unwrap();
        let reader = volume.open(&old).unwrap();
        put(&volume, id(1), 6, 10).await.unwrap();
        let bytes = read_on(reader).await.unwrap();
        assert!(bytes == crate::kit::body(id(1), 5, 200_000));
        assert!(volume.open(&old).is_none(), "its room may be written to from now on");
        expect_body(&volume, id(1), 6, 10).await;
    });
}

#[test]
fn tombstones_that_are_forgotten_stay_so_and_the_others_are_remembered() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        for number in 0..200 {
            volume.bury(id(number), tombstone(1, i64::from(number))).await.unwrap();
        }
        for number in 0..150 {
            assert!(volume.forget(id(number), stamp(1)).await.unwrap());
            assert!(!volume.forget(id(number), stamp(1)).await.unwrap(), "once is enough");
        }
        assert!(!volume.forget(id(160), stamp(2)).await.unwrap(), "another delete");
    });
    assert_eq!(volume.space().tombstones, 50);
    let mut lab = Lab::new(2);
    let env = lab.env.clone();
    let (volume, _) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), Arc::default())));
    assert_eq!(volume.space().tombstones, 50);
}

#[test]
fn exactly_the_tombstone_that_is_named_is_forgotten() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    lab.run(async {
        let buried = tombstone(2, 0);
        let other = tombstone(3, 0);
        volume.bury(id(1), buried.clone()).await.unwrap();
        put(&volume, id(2), 2, 100).await.unwrap();
        assert!(!volume.forget(id(1), other.stamp).await.unwrap());
        assert!(volume.forget(id(1), buried.stamp).await.unwrap());
        let replica = volume.find(id(2)).unwrap();
        assert!(!volume.forget(id(2), replica.stamp).await.unwrap(), "a replica is no tombstone");
    });
    assert_eq!((volume.space().tombstones, volume.space().streams), (0, 1));
}

#[test]
fn records_come_in_pages_in_the_order_of_ids() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    lab.run(async {
        for number in [9, 3, 7, 1] {
            put(&volume, id(number), 1, 10).await.unwrap();
        }
    });
    let ids = |after, limit| {
        volume.records(after, limit).iter().map(|record| record.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 2), [id(1), id(3)]);
    assert_eq!(ids(Some(id(3)), 10), [id(7), id(9)]);
    assert_eq!(ids(Some(id(9)), 10), []);
}

#[test]
fn a_body_must_have_the_length_announced() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(DEVICE));
    let empty = volume.space();
    lab.run(async {
        let mut staged = volume.stage(id(1), 10).unwrap();
        staged.write(Bytes::from_static(b"short")).await.unwrap();
        assert_eq!((staged.written(), volume.load()), (5, 1));
        let publish = Publish::new(stamp(1), meta(1, 10), Hints::NONE);
        let published = staged.publish(publish.clone()).await;
        assert!(matches!(
            published,
            Err(PublishError::Append(AppendError::Short { announced: 10, written: 5 }))
        ));
        let mut staged = volume.stage(id(1), 4).unwrap();
        let written = staged.write(Bytes::from_static(b"too long")).await;
        assert!(matches!(written, Err(AppendError::Long { announced: 4 })));
        assert!(staged.publish(publish).await.is_err());
    });
    assert_eq!(volume.find(id(1)), None);
    assert_eq!(volume.space(), empty, "abandoned at the end, so free again");
}

#[test]
fn metadata_has_a_limit() {
    let mut lab = Lab::new(1);
    let volume = fresh(&mut lab, &TestDisk::new(64 << 20));
    lab.run(async {
        for (len, fits) in [(200_000, true), (300_000, false)] {
            let mut large = meta(1, 0);
            large.headers.push("X-Large", vec![b'x'; len]);
            let staged = volume.stage(id(1), 0).unwrap();
            let published =
                staged.publish(Publish::new(stamp(len as u64), large.clone(), Hints::NONE)).await;
            assert_eq!(published.is_ok(), fits, "{published:?}");
            if !fits {
                assert!(matches!(
                    published,
                    Err(PublishError::Append(AppendError::MetadataTooLarge { .. }))
                ));
            }
        }
    });
    assert_eq!(volume.find(id(1)).unwrap().stamp, stamp(200_000));
}

#[test]
fn a_full_volume_refuses_and_keeps_what_it_has() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let fits = usize::try_from(volume.space().free).unwrap() - 4096;
    lab.run(async {
        put(&volume, id(1), 1, fits - fits / 16_384 - 4).await.unwrap();
        let free = volume.space().free;
        match volume.stage(id(2), 100_000) {
            Err(AppendError::Full { volume: which, needed, free: told }) => {
                assert_eq!((which, needed, told), (volume.id(), 102_400, free));
            }
            _ => panic!("there is no room for it"),
        }
        volume.bury(id(3), tombstone(1, 0)).await.unwrap();
    });
    assert!(volume.find(id(3)).is_some(), "a delete still finds room");
    check_space(&volume);
}

/// Thousands of small objects: the journal is full before the data region, and the journal goes round and round.
#[test]
fn a_full_journal_refuses_objects_but_not_deletes() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let name = |number: u64| swarm_types::StreamId::from_bytes(u128::from(number).to_be_bytes());
    let mut count = 0;
    lab.run(async {
        loop {
            match put(&volume, name(count), 1, 0).await {
                Ok(_) => count += 1,
                Err(PublishError::Append(AppendError::Full { .. })) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(count > 300, "{count} records fit into a half of 256 KiB");
        for number in 0..count {
            volume.bury(name(number), tombstone(2, 0)).await.unwrap();
        }
        put(&volume, name(count), 1, 0).await.unwrap();
    });
    let mut lab = Lab::new(2);
    let env = lab.env.clone();
    let (again, _) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), Arc::default())));
    assert_eq!(again.space(), volume.space());
    assert_eq!(again.space().tombstones, count);
}

#[test]
fn a_clean_unmount_makes_the_next_mount_quick() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, id(1), 1, 100).await.unwrap();
        volume.unmount().await.unwrap();
        assert!(matches!(volume.unmount().await, Err(AppendError::Closed)));
        assert!(matches!(volume.stage(id(2), 1), Err(AppendError::Closed)));
        assert!(matches!(
            put(&volume, id(2), 1, 0).await,
            Err(PublishError::Append(AppendError::Closed))
        ));
        assert!(matches!(volume.forget(id(1), stamp(1)).await, Err(AppendError::Closed)));
    });
    assert_eq!(volume.find(id(1)), None);
    assert!(volume.records(None, 10).is_empty());
    let env = lab.env.clone();
    let (volume, report) = lab.run(mount(&env, &disk));
    assert_eq!((report.clean, report.verified), (true, 0));
    assert_eq!(report.index, IndexUse::Replayed { groups: 0 });
    lab.run(expect_body(&volume, id(1), 1, 100));
    let mut lab = Lab::new(2);
    let env = lab.env.clone();
    let (_, report) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), disk.index())));
    assert_eq!((report.clean, report.verified), (false, 1), "mounted and not unmounted");
}

#[test]
fn an_unmount_waits_for_what_was_asked_before() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        let (written, unmounted) =
            futures_util::future::join(put(&volume, id(1), 1, 100), volume.unmount()).await;
        written.unwrap();
        unmounted.unwrap();
    });
    let env = lab.env.clone();
    let (volume, _) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), Arc::default())));
    lab.run(expect_body(&volume, id(1), 1, 100));
}

#[test]
fn a_volume_absent_for_too_long_is_refused_unless_forced() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.pass(Duration::from_secs(13 * 24 * 3600));
    lab.run(volume.touch()).unwrap();
    let touched = lab.env.wall();
    lab.pass(Duration::from_secs(14 * 24 * 3600));
    let env = lab.env.clone();
    assert!(lab.run(try_mount(&env, &disk)).is_ok(), "exactly two weeks");
    let touched_again = lab.env.wall();
    assert!(touched_again > touched);
    lab.pass(Duration::from_secs(14 * 24 * 3600 + 1));
    let before = disk.seen();
    match lab.run(try_mount(&env, &disk)) {
        Err(MountError::Stale { last_touched, .. }) => assert_eq!(last_touched, touched_again),
        other => panic!("a stale volume was mounted: {other:?}"),
    }
    assert!(disk.seen() == before, "nothing was changed");
    let forced = MountOptions { force_stale: true, ..options() };
    let (_, report) = lab.run(Volume::mount(&env, disk, forced)).unwrap();
    assert!(report.forced_stale);
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A short mount does not make up for what was missed: from then on its deletes would be forgotten elsewhere too early.
#[test]
fn a_volume_that_was_mounted_for_a_moment_is_as_stale_as_before() {
    let mut lab = Lab::new(1);
    let env = lab.env.clone();
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    assert_eq!(volume.behind_since(), None, "a new one has missed nothing");
    lab.run(put(&volume, id(1), 1, 100)).unwrap();
    lab.run(volume.unmount()).unwrap();
    let (left, mut volume) = (lab.env.wall(), None);
    for _ in 0..2 {
        lab.pass(6 * DAY);
        let (mounted, _) = lab.run(mount(&env, &disk));
        let marked = mounted.behind_since().unwrap();
        assert!(left.since(marked) < Duration::from_secs(1), "{marked:?} is not {left:?}");
        lab.run(mounted.touch()).unwrap();
        volume = Some(mounted);
    }
    // A checkpoint carries it on.
    let volume = volume.unwrap();
    lab.run(async {
        for _ in 0..3000 {
            volume.touch().await.unwrap();
        }
    });
    lab.pass(3 * DAY);
    let before = disk.seen();
    match lab.run(try_mount(&env, &disk)) {
        Err(MountError::Stale { last_touched, behind_since }) => {
            assert!(lab.env.wall().since(last_touched) < 4 * DAY);
            assert_eq!(Some(behind_since), volume.behind_since());
        }
        other => panic!("a volume that was away for 15 days was mounted: {other:?}"),
    }
    assert!(disk.seen() == before, "nothing was changed");
    let forced = MountOptions { force_stale: true, ..options() };
    let (volume, report) = lab.run(Volume::mount(&env, disk.clone(), forced)).unwrap();
    assert!(report.forced_stale);
    lab.run(volume.unmount()).unwrap();
    assert!(lab.run(try_mount(&env, &disk)).is_ok(), "the order is not for one mount only");
}

#[test]
fn a_volume_that_has_caught_up_is_behind_since_it_was_touched_last() {
    for clean in [true, false] {
        let mut lab = Lab::new(1);
        let env = lab.env.clone();
        let disk = TestDisk::new(DEVICE);
        let volume = fresh(&mut lab, &disk);
        lab.run(put(&volume, id(1), 1, 100)).unwrap();
        lab.pass(13 * DAY);
        let (volume, _) = lab.run(mount(&env, &disk));
        assert!(volume.behind_since().is_some());
        lab.run(volume.caught_up()).unwrap();
        assert_eq!(volume.behind_since(), None);
        let caught_up = lab.env.wall();
        if clean {
            lab.run(volume.unmount()).unwrap();
        }
        lab.pass(13 * DAY);
        let disk = TestDisk::of_image(disk.durable(), disk.index());
        let (volume, _) = lab.run(mount(&env, &disk));
        assert!(caught_up.since(volume.behind_since().unwrap()) < Duration::from_secs(1));
    }
}

#[test]
fn disks_that_hold_no_volume_of_ours_are_told_apart() {
    let mut lab = Lab::new(1);
    let env = lab.env.clone();
    let disk = TestDisk::new(DEVICE);
    assert!(matches!(lab.run(try_mount(&env, &disk)), Err(MountError::Blank)));
    assert!(matches!(lab.run(try_mount(&env, &TestDisk::new(100))), Err(MountError::Blank)));
    lab.run(format(&env, &disk));
    let other = MountOptions { cluster: ClusterName::from("other"), ..options() };
    let refused = lab.run(Volume::mount(&env, Arc::clone(&disk) as Arc<dyn Disk>, other));
    assert!(matches!(refused, Err(MountError::OtherCluster { found }) if found == cluster()));
    let shrunk = TestDisk::of_image(disk.durable()[..DEVICE / 2].to_vec(), Arc::default());
    assert!(matches!(
        lab.run(try_mount(&env, &shrunk)),
        Err(MountError::TooSmall { needed: 4_194_304, found: 2_097_152 })
    ));
    let small: Arc<dyn Disk> = TestDisk::new(usize::try_from(DEVICE_MIN).unwrap() - 1);
    let refused = lab.run(Volume::format(&env, &small, FormatOptions { cluster: cluster() }));
    assert!(matches!(refused, Err(FormatError::TooSmall { .. })));
    let long = FormatOptions { cluster: ClusterName::from("x".repeat(1025).as_str()) };
    let disk: Arc<dyn Disk> = disk;
    let refused = lab.run(Volume::format(&env, &disk, long));
    assert!(matches!(refused, Err(FormatError::ClusterNameTooLong { bytes: 1025, limit: 1024 })));
}

#[test]
fn formatting_again_leaves_nothing_of_before() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let first = fresh(&mut lab, &disk);
    lab.run(put(&first, id(1), 1, 100)).unwrap();
    let second = fresh(&mut lab, &disk);
    assert_ne!(first.id(), second.id());
    assert_eq!(second.find(id(1)), None);
    assert_eq!(second.space().used, 0);
}

#[test]
fn a_database_is_used_and_thrown_away_when_it_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    let on_files = |image| TestDisk::with_index(image, swarm_env::IndexHome::Folder(index.clone()));
    let mut lab = Lab::new(1);
    let disk = on_files(vec![0; DEVICE]);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, id(1), 1, 100).await.unwrap();
        put(&volume, id(2), 1, 70_000).await.unwrap();
        volume.unmount().await.unwrap();
    });
    drop(volume);
    drop(lab);
    let mut lab = Lab::new(2);
    let env = lab.env.clone();
    let disk = on_files(disk.durable());
    let (volume, report) = lab.run(mount(&env, &disk));
    assert_eq!(report.index, IndexUse::Replayed { groups: 0 });
    lab.run(expect_body(&volume, id(2), 1, 70_000));
    drop(volume);
    drop(lab);
    for entry in std::fs::read_dir(&index).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, b"this is no database").unwrap();
        }
    }
    let mut lab = Lab::new(3);
    let env = lab.env.clone();
    let (volume, report) = lab.run(mount(&env, &on_files(disk.durable())));
    assert_eq!(report.index, IndexUse::Rebuilt);
    lab.run(expect_body(&volume, id(1), 1, 100));
    lab.run(expect_body(&volume, id(2), 1, 70_000));
}
