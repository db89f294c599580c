//! The planted bugs bite, and only when they are planted.

use std::sync::Arc;

use swarm_env::Bug;
use swarm_store::{ReadError, Tombstone};
use swarm_types::{ObjectKind, Timestamp};

use crate::kit::{Lab, TestDisk, body, fresh, id, mount, put, read, stamp};

const DEVICE: usize = 4 << 20;

/// Bugs can be planted only in a build that has the feature.
const POSSIBLE: bool = swarm_env::PlantedBugs::POSSIBLE;

#[test]
fn acknowledged_before_sync() {
    let mut lab = Lab::planted(1, vec![Bug::AckBeforeSync]);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    disk.hold_syncs(true);
    let mut writing = Box::pin(put(&volume, id(1), 1, 100));
    assert_eq!(lab.for_a_while(&mut writing).is_some(), POSSIBLE);
    assert_eq!(volume.find(id(1)).is_some(), POSSIBLE);
}

#[test]
fn tombstones_forgotten() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let tombstone = Tombstone { stamp: stamp(2), kind: ObjectKind::Named, written: Timestamp(0) };
    lab.run(async {
        put(&volume, id(1), 1, 100).await.unwrap();
        put(&volume, id(2), 1, 100).await.unwrap();
        volume.bury(id(1), tombstone).await.unwrap();
    });
    for index in [Arc::default(), disk.index()] {
        let mut lab = Lab::planted(2, vec![Bug::ForgetTombstones]);
        let env = lab.env.clone();
        let (volume, _) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), index)));
        assert_eq!(volume.find(id(1)).is_none(), POSSIBLE);
        assert!(volume.find(id(2)).is_some());
    }
}

#[test]
fn served_unverified() {
    let mut lab = Lab::planted(1, vec![Bug::ServeUnverified]);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put(&volume, id(1), 1, 4_000)).unwrap();
    let bytes = body(id(1), 1, 4_000);
    let image = disk.seen();
    let at = (0..image.len()).step_by(4096).find(|at| image[*at..].starts_with(&bytes)).unwrap();
    disk.flip(at);
    let record = volume.find(id(1)).unwrap();
    let served = match lab.run(read(&volume, &record)) {
        Ok(bytes) => bytes.len() == 4_000,
        Err(ReadError::Corrupt { at: 0 }) => false,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(served, POSSIBLE);
}
