//! Nothing is acknowledged or visible before a sync that covers it; what a failed sync may have lost is not published.

use std::sync::Arc;

use swarm_store::{AppendError, Publish, PublishError, Tombstone};
use swarm_types::{ObjectKind, Timestamp};

use crate::kit::disk::Event;
use crate::kit::live::{Recorder, on_host};
use crate::kit::{
    Lab, TestDisk, body, check_space, expect_body, format, fresh, id, meta, mount, put, stamp,
};

const DEVICE: usize = 8 << 20;

#[test]
fn nothing_is_acknowledged_or_visible_before_its_sync() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let tombstone = Tombstone::new(stamp(9), ObjectKind::Named, Timestamp(0));
    disk.hold_syncs(true);
    {
        let mut writing = Box::pin(put(&volume, id(1), 1, 400_000));
        assert!(lab.for_a_while(&mut writing).is_none(), "no answer before the sync");
        assert_eq!(volume.find(id(1)), None, "not visible before the sync");
        disk.hold_syncs(false);
        lab.run(writing).unwrap();
    }
    assert!(volume.find(id(1)).is_some());
    disk.hold_syncs(true);
    {
        let mut burying = Box::pin(volume.bury(id(1), tombstone));
        assert!(lab.for_a_while(&mut burying).is_none());
        assert!(!volume.find(id(1)).unwrap().is_tombstone());
        disk.hold_syncs(false);
        lab.run(burying).unwrap();
    }
    let mut touching = Box::pin(volume.touch());
    disk.hold_syncs(true);
    assert!(lab.for_a_while(&mut touching).is_none());
    disk.hold_syncs(false);
    lab.run(touching).unwrap();
}

/// The same on a live host: its disk is a file, and syncs when the thread of that disk has synced the file.
#[test]
fn nothing_on_a_live_disk_is_acknowledged_or_visible_before_its_sync() {
    let folder = tempfile::tempdir().unwrap();
    let tombstone = Tombstone::new(stamp(9), ObjectKind::Named, Timestamp(0));
    on_host(folder.path(), async |host| {
        let disk = Recorder::open(&host).await;
        format(host.env(), &disk).await;
        let (volume, _) = mount(host.env(), &disk).await;
        let begun = disk.events().len();

        let ours = volume.clone();
        let writing = async move { put(&ours, id(1), 1, 400_000).await };
        let written = disk.hold_back(&host, writing, || volume.find(id(1)).is_some()).await;
        assert!(!written.too_early && !written.before, "a write before its sync");
        written.answer.unwrap();
        expect_body(&volume, id(1), 1, 400_000).await;

        let ours = volume.clone();
        let burying = async move { ours.bury(id(1), tombstone).await };
        let is_buried = || volume.find(id(1)).unwrap().is_tombstone();
        let buried = disk.hold_back(&host, burying, is_buried).await;
        assert!(!buried.too_early && !buried.before, "a delete before its sync");
        buried.answer.unwrap();
        assert!(is_buried());

        let ours = volume.clone();
        let touched = disk.hold_back(&host, async move { ours.touch().await }, || false).await;
        assert!(!touched.too_early, "a touch before its sync");
        touched.answer.unwrap();

        let events = disk.events().split_off(begun);
        let synced = events.iter().filter(|event| **event == Event::Synced).count();
        assert_eq!(synced, 3, "one sync for each: {events:?}");
        assert_eq!(events.last(), Some(&Event::Synced), "nothing is written behind the last");
        drop(volume);
        host.kill().await.unwrap();
    });
}

#[test]
fn every_answer_survives_the_loss_of_everything_not_synced() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    for (number, len) in (0..).zip([0, 10, 5_000, 70_000, 300_000, 1_500_000]) {
        lab.run(put(&volume, id(number), 3, len)).unwrap();
        let mut after = Lab::new(2);
        let env = after.env.clone();
        let image = TestDisk::of_image(disk.durable(), Arc::default());
        let (survived, _) = after.run(mount(&env, &image));
        after.run(expect_body(&survived, id(number), 3, len));
    }
}

#[test]
fn one_group_takes_everything_that_waits() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let before = disk.events().len();
    lab.run(async {
        let writers = (0..20).map(|number| put(&volume, id(number), 1, 100));
        for written in futures_util::future::join_all(writers).await {
            written.unwrap();
        }
    });
    let events = disk.events().split_off(before);
    let syncs = events.iter().filter(|event| **event == Event::Synced).count();
    assert!(syncs <= 3, "20 writers needed {syncs} syncs: {events:?}");
}

#[test]
fn long_bodies_are_written_in_pieces_as_they_come() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let before = disk.events().len();
    lab.run(put(&volume, id(1), 1, 2_000_000)).unwrap();
    let events = disk.events().split_off(before);
    let largest = events.iter().filter_map(|event| match event {
        Event::Submitted { bytes, .. } => Some(*bytes),
        Event::Synced => None,
    });
    assert!(largest.max().unwrap() <= 512 << 10, "{events:?}");
    let unsynced =
        events.iter().filter(|event| matches!(event, Event::Submitted { sync: false, .. }));
    assert_eq!(
        unsynced.count(),
        7,
        "2,000,000 bytes in pieces of 256 KiB, the last one with the group"
    );
}

#[test]
fn after_a_failed_sync_the_next_group_takes_its_place() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, id(1), 1, 100).await.unwrap();
        disk.fail(1);
        let failed = put(&volume, id(1), 2, 100).await;
        assert!(
            matches!(failed, Err(PublishError::Append(AppendError::Disk { .. }))),
            "{failed:?}"
        );
        expect_body(&volume, id(1), 1, 100).await;
        put(&volume, id(2), 1, 100).await.unwrap();
        put(&volume, id(1), 3, 100).await.unwrap();
    });
    check_space(&volume);
    let mut after = Lab::new(2);
    let env = after.env.clone();
    let (survived, _) = after.run(mount(&env, &TestDisk::of_image(disk.durable(), Arc::default())));
    after.run(expect_body(&survived, id(1), 3, 100));
    after.run(expect_body(&survived, id(2), 1, 100));
    assert_eq!(survived.space(), volume.space());
}

#[test]
fn a_body_begun_before_a_failed_sync_is_not_published() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        let len = 600_000;
        let mut staged = volume.stage(id(1), len as u64).unwrap();
        staged.write(body(id(1), 1, len)).await.unwrap();
        disk.fail(1);
        put(&volume, id(2), 1, 100).await.unwrap_err();
        let published =
            staged.publish(Publish::new(stamp(1), meta(1, len), swarm_store::Hints::NONE)).await;
        assert!(matches!(published, Err(PublishError::Append(AppendError::Disk { .. }))));
        put(&volume, id(1), 1, len).await.unwrap();
        expect_body(&volume, id(1), 1, len).await;
    });
}

/// The journal goes round many times while the disk fails now and then, at every write of the switch too.
#[test]
fn failures_during_a_checkpoint_lose_nothing() {
    for failing in 0..60 {
        let mut lab = Lab::new(failing);
        let disk = TestDisk::new(2 << 20);
        let volume = fresh(&mut lab, &disk);
        let mut acknowledged = 0;
        lab.run(async {
            for version in 1..80 {
                if version == failing {
                    disk.fail(1 + u32::try_from(failing % 3).unwrap());
                }
                if put(&volume, id(1), version, 10).await.is_ok() {
                    acknowledged = version;
                }
            }
            expect_body(&volume, id(1), acknowledged, 10).await;
        });
        assert_eq!(acknowledged, 79);
        let mut after = Lab::new(1);
        let env = after.env.clone();
        let (survived, _) =
            after.run(mount(&env, &TestDisk::of_image(disk.durable(), Arc::default())));
        after.run(expect_body(&survived, id(1), acknowledged, 10));
        assert_eq!(survived.space(), volume.space());
    }
}
