//! Damage in place: it is told from a crash, and no damaged byte is ever given out.

use std::sync::Arc;

use proptest::prelude::{any, prop, proptest};
use proptest::test_runner::Config;
use swarm_store::{BODY_BLOCK, MountError, ReadError, Volume};

use crate::kit::{Lab, TestDisk, body, expect_body, fresh, id, mount, place, put, read, try_mount};

const DEVICE: usize = 4 << 20;
const BLOCK: usize = 4096;

/// Where the groups of the first half begin.
fn groups(disk: &TestDisk) -> Vec<usize> {
    let image = disk.seen();
    (2 * BLOCK..image.len() / 16)
        .step_by(BLOCK)
        .filter(|at| image[*at..].starts_with(b"SWGROUP4"))
        .collect()
}

fn remount(
    image: Vec<u8>,
) -> (Lab, Result<(Volume, swarm_store::MountReport), MountError>, Arc<TestDisk>) {
    let mut lab = Lab::new(9);
    let env = lab.env.clone();
    let disk = TestDisk::of_image(image, Arc::default());
    let mounted = lab.run(try_mount(&env, &disk));
    (lab, mounted, disk)
}

proptest! {
    #![proptest_config(Config { cases: 64, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_flipped_byte_is_never_given_out(len in 1usize..400_000, at in any::<prop::sample::Index>()) {
        let mut lab = Lab::new(1);
        let disk = TestDisk::new(DEVICE);
        let volume = fresh(&mut lab, &disk);
        lab.run(put(&volume, id(1), 1, len)).unwrap();
        let expected = body(id(1), 1, len);
        let start = place(&disk, &expected);
        let table = len.div_ceil(65_536) * 4;
        let at = at.index(len + table);
        disk.flip(start + at);
        let block = if at < len { at / 65_536 } else { (at - len) / 4 };
        lab.run(async {
            let mut reader = volume.open(&volume.find(id(1)).unwrap()).unwrap();
            let mut given = Vec::new();
            let corrupt = loop {
                match reader.next().await {
                    Ok(Some(piece)) => given.extend_from_slice(&piece),
                    Ok(None) => panic!("the damage was not seen"),
                    Err(ReadError::Corrupt { at }) => break at,
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!(corrupt, block as u64 * BODY_BLOCK);
            assert!(given == expected[..block * 65_536], "everything before is given out");
        });
    }
}

#[test]
fn a_block_of_another_place_does_not_pass() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    let publish = |number, bytes: Vec<u8>| {
        let volume = volume.clone();
        async move {
            let mut staged = volume.stage(id(number), bytes.len() as u64).unwrap();
            let meta = crate::kit::meta(1, bytes.len());
            staged.write(bytes.into()).await.unwrap();
            let stamp = crate::kit::stamp(1);
            let publish = swarm_store::Publish::new(stamp, meta, swarm_store::Hints::NONE);
            staged.publish(publish).await.unwrap();
        }
    };
    let (ones, twos) = (vec![1; 4000], vec![2; 4000]);
    lab.run(publish(1, ones.clone()));
    lab.run(publish(2, twos.clone()));
    let (first, second) = (place(&disk, &ones), place(&disk, &twos));
    let mut image = disk.durable();
    image.copy_within(second..second + BLOCK, first);
    let (mut lab, mounted, _) = remount(image);
    let (volume, report) = mounted.unwrap();
    assert_eq!((report.damaged, report.dropped), (vec![id(1)], vec![]));
    let record = volume.find(id(1)).expect("it is known that there was something");
    assert!(matches!(lab.run(read(&volume, &record)), Err(ReadError::Corrupt { at: 0 })));
}

#[test]
fn rot_found_at_mount_is_reported_and_kept() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, id(1), 1, 100_000).await.unwrap();
        put(&volume, id(2), 1, 100_000).await.unwrap();
    });
    disk.flip(place(&disk, &body(id(1), 1, 100_000)) + 70_000);
    let (mut lab, mounted, _) = remount(disk.durable());
    let (volume, report) = mounted.unwrap();
    assert_eq!((report.damaged, report.verified), (vec![id(1)], 2));
    let record = volume.find(id(1)).unwrap();
    assert!(matches!(lab.run(read(&volume, &record)), Err(ReadError::Corrupt { at: 65_536 })));
    lab.run(expect_body(&volume, id(2), 1, 100_000));
}

#[test]
fn an_incomplete_last_write_is_dropped_and_the_version_before_is_back() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, id(1), 1, 5_000).await.unwrap();
        put(&volume, id(1), 2, 6_000).await.unwrap();
    });
    disk.flip(place(&disk, &body(id(1), 2, 6_000)));
    let (mut lab, mounted, disk) = remount(disk.durable());
    let (volume, report) = mounted.unwrap();
    assert_eq!((report.dropped, report.damaged), (vec![id(1)], vec![]));
    lab.run(expect_body(&volume, id(1), 1, 5_000));
    lab.run(put(&volume, id(2), 1, 10)).unwrap();
    let space = volume.space();
    let (mut lab, mounted, _) = remount(disk.durable());
    let (volume, report) = mounted.unwrap();
    assert_eq!((report.dropped, report.damaged), (vec![], vec![]), "it was put right for good");
    assert_eq!(volume.space(), space);
    lab.run(expect_body(&volume, id(1), 1, 5_000));
}

/// The index is told of a group only when it is durable, so here the same damage is rot.
#[test]
fn an_index_that_knows_the_last_group_proves_it_complete() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, id(1), 1, 5_000).await.unwrap();
        put(&volume, id(1), 2, 6_000).await.unwrap();
    });
    disk.flip(place(&disk, &body(id(1), 2, 6_000)));
    let mut lab = Lab::new(2);
    let env = lab.env.clone();
    let (volume, report) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), disk.index())));
    assert_eq!((report.dropped, report.damaged), (vec![], vec![id(1)]));
    let record = volume.find(id(1)).unwrap();
    assert!(matches!(lab.run(read(&volume, &record)), Err(ReadError::Corrupt { at: 0 })));
}

#[test]
fn damage_in_the_middle_of_the_journal_is_no_torn_tail() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        for number in 0..10 {
            put(&volume, id(number), 1, 100).await.unwrap();
        }
    });
    let groups = groups(&disk);
    let (last, middle) = groups.split_last().unwrap();
    for at in middle {
        for byte in [0, 30, 60, 70] {
            let mut image = disk.durable();
            image[at + byte] ^= 1;
            let (_, mounted, disk) = remount(image.clone());
            assert!(
                matches!(mounted, Err(MountError::JournalDamaged { .. })),
                "byte {byte} of the group at {at}"
            );
            assert!(disk.seen() == image, "nothing was changed");
        }
    }
    let mut image = disk.durable();
    image[last + 100] ^= 1; // in its payload
    let (_, mounted, _) = remount(image);
    let (volume, _) = mounted.expect("the last group may be torn");
    assert_eq!(volume.space().streams, 9);
}

/// A group that a crash had left behind the end of the chain never comes back behind a new one of the same size.
#[test]
fn a_stale_group_is_not_replayed_behind_a_new_one() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        for number in 0..4 {
            put(&volume, id(number), 1, 0).await.unwrap();
        }
    });
    let groups = groups(&disk);
    let [.., third, fourth] = groups[..] else { panic!("there are groups") };
    let whole = disk.durable();
    let mut image = whole.clone();
    image[third..fourth + BLOCK].fill(0);
    let (mut lab, mounted, disk) = remount(image);
    let (volume, _) = mounted.unwrap();
    assert_eq!(volume.space().streams, 2);
    // The mount took the place of the third group. A disk that lied brings the fourth back behind it.
    let mut image = disk.durable();
    image[fourth..fourth + BLOCK].copy_from_slice(&whole[fourth..fourth + BLOCK]);
    let (_, mounted, _) = remount(image);
    assert_eq!(mounted.unwrap().0.space().streams, 2);
    lab.run(put(&volume, id(9), 1, 0)).unwrap();
}

#[test]
fn one_superblock_is_enough_and_is_copied_back() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put(&volume, id(1), 1, 10)).unwrap();
    let (first, second) = (0, DEVICE - BLOCK);
    for at in [first, second] {
        let mut image = disk.durable();
        image[at..at + BLOCK].fill(0xee);
        let (mut lab, mounted, disk) = remount(image);
        let (volume, _) = mounted.unwrap();
        lab.run(expect_body(&volume, id(1), 1, 10));
        let repaired = disk.durable();
        assert!(repaired[first..first + BLOCK] == repaired[second..second + BLOCK]);
    }
    let mut image = disk.durable();
    image[first + 20] ^= 1;
    image[second + 20] ^= 1;
    let (_, mounted, _) = remount(image);
    assert!(
        matches!(mounted, Err(MountError::JournalDamaged { .. })),
        "once formatted, never blank"
    );
}

#[test]
fn a_lost_half_header_is_damage() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(2 << 20);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        for version in 1..50 {
            put(&volume, id(1), version, 10).await.unwrap();
        }
    });
    let image = disk.durable();
    let headers: Vec<_> = (0..image.len())
        .step_by(BLOCK)
        .filter(|at| image[*at..].starts_with(b"SWHALF_4"))
        .collect();
    assert_eq!(headers.len(), 2, "the journal went to its other half");
    let newest = headers.iter().max_by_key(|at| image[**at + 24]).unwrap();
    let mut image = disk.durable();
    image[newest + 24] ^= 1;
    let (_, mounted, _) = remount(image);
    assert!(
        matches!(mounted, Err(MountError::JournalDamaged { .. })),
        "the old half must not come back"
    );
}

/// Offsets of the half headers that say that their half is active.
fn active_halves(image: &[u8]) -> Vec<usize> {
    let headers =
        (0..image.len()).step_by(BLOCK).filter(|at| image[*at..].starts_with(b"SWHALF_4"));
    headers.filter(|at| image[at + 52] == 1).collect()
}

/// Otherwise the old half could come back when the header of the new one is lost later.
#[test]
fn a_switch_that_a_crash_interrupted_is_completed_by_the_mount() {
    let mut interrupted = 0;
    for crash_at in 1..75 {
        let mut lab = Lab::new(1);
        let disk = TestDisk::new(2 << 20);
        let volume = fresh(&mut lab, &disk);
        disk.crash_at(crash_at);
        lab.until_crash(&disk, async {
            for version in 1..50 {
                put(&volume, id(1), version, 10).await.unwrap();
            }
        });
        let image = disk.durable();
        if active_halves(&image).len() < 2 {
            continue;
        }
        interrupted += 1;
        let (_, mounted, disk) = remount(image);
        assert!(mounted.unwrap().0.find(id(1)).is_some());
        assert_eq!(active_halves(&disk.durable()).len(), 1);
    }
    assert!(interrupted > 0, "no crash came between the two steps");
}
