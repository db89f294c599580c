//! The planted bugs bite, and only when they are planted.

use std::sync::Arc;

use swarm_env::{Bug, PlantedBugs};
use swarm_store::{ReadError, Tombstone};
use swarm_types::{ObjectKind, Timestamp};

use crate::kit::live::{Recorder, on_host_with};
use crate::kit::{Lab, TestDisk, body, format, fresh, id, mount, put, read, stamp, try_mount};

const DEVICE: usize = 4 << 20;

/// Bugs can be planted only in a build that has the feature.
const POSSIBLE: bool = {
    // Else a build that was meant to show that the bugs bite would show only that they do not.
    assert!(
        PlantedBugs::POSSIBLE || !cfg!(feature = "planted-bugs"),
        "the feature reaches the environment"
    );
    PlantedBugs::POSSIBLE
};

/// Runs a story without and with `bug`; it is told the bugs that are chosen and whether they must bite.
fn without_and_with(bug: Bug, story: impl Fn(Vec<Bug>, bool)) {
    story(Vec::new(), false);
    story(vec![bug], POSSIBLE);
}

#[test]
fn acknowledged_before_sync() {
    without_and_with(Bug::AckBeforeSync, |bugs, bites| {
        let mut lab = Lab::planted(1, bugs);
        let disk = TestDisk::new(DEVICE);
        let volume = fresh(&mut lab, &disk);
        disk.hold_syncs(true);
        let mut writing = Box::pin(put(&volume, id(1), 1, 100));
        assert_eq!(lab.for_a_while(&mut writing).is_some(), bites);
        assert_eq!(volume.find(id(1)).is_some(), bites);
    });
}

#[test]
fn acknowledged_before_sync_on_a_live_disk() {
    without_and_with(Bug::AckBeforeSync, |bugs, bites| {
        let folder = tempfile::tempdir().unwrap();
        on_host_with(bugs, folder.path(), async |host| {
            let disk = Recorder::open(&host).await;
            format(host.env(), &disk).await;
            let (volume, _) = mount(host.env(), &disk).await;
            let ours = volume.clone();
            let writing = async move { put(&ours, id(1), 1, 100).await };
            let written = disk.hold_back(&host, writing, || volume.find(id(1)).is_some()).await;
            assert_eq!((written.too_early, written.before), (bites, bites));
            written.answer.unwrap();
            drop(volume);
            host.kill().await.unwrap();
        });
    });
}

#[test]
fn tombstones_forgotten() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let tombstone = Tombstone::new(stamp(2), ObjectKind::Named, Timestamp(0));
    lab.run(async {
        put(&volume, id(1), 1, 100).await.unwrap();
        put(&volume, id(2), 1, 100).await.unwrap();
        volume.bury(id(1), tombstone).await.unwrap();
    });
    without_and_with(Bug::ForgetTombstones, |bugs, bites| {
        for index in [Arc::default(), disk.index()] {
            let mut lab = Lab::planted(2, bugs.clone());
            let env = lab.env.clone();
            let (volume, _) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), index)));
            assert_eq!(volume.find(id(1)).is_none(), bites);
            assert!(volume.find(id(2)).is_some());
        }
    });
}

#[test]
fn the_cache_trusted_by_a_mount() {
    without_and_with(Bug::MountTrustsCache, |bugs, bites| {
        let disk = TestDisk::new(DEVICE);
        let mut lab = Lab::new(1);
        let volume = fresh(&mut lab, &disk);
        disk.give_up(0, 1);
        lab.run(put(&volume, id(1), 1, 4_000)).unwrap_err();
        drop((volume, lab));
        let mut lab = Lab::planted(2, bugs);
        let env = lab.env.clone();
        let (volume, _) = lab.run(mount(&env, &disk));
        lab.run(put(&volume, id(2), 2, 4_000)).unwrap();
        let left = TestDisk::of_image(disk.durable(), Arc::default());
        assert_eq!(lab.run(try_mount(&env, &left)).is_err(), bites);
    });
}

#[test]
fn served_unverified() {
    without_and_with(Bug::ServeUnverified, |bugs, bites| {
        let mut lab = Lab::planted(1, bugs);
        let disk = TestDisk::new(DEVICE);
        let volume = fresh(&mut lab, &disk);
        lab.run(put(&volume, id(1), 1, 4_000)).unwrap();
        let bytes = body(id(1), 1, 4_000);
        let image = disk.seen();
        let mut blocks = (0..image.len()).step_by(4096);
        let at = blocks.find(|at| image[*at..].starts_with(&bytes)).unwrap();
        disk.flip(at);
        let record = volume.find(id(1)).unwrap();
        let served = match lab.run(read(&volume, &record)) {
            // What goes out is the damage, not the body: the bug hides nothing else.
            Ok(served) => served.len() == bytes.len() && served != bytes,
            Err(ReadError::Corrupt { at: 0 }) => false,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(served, bites);
    });
}
