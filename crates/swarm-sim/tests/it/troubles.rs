//! Disks that are slow, stand still, fail, lie, are full or put bytes where they do not belong.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Disk, Env, SyncMode};
use swarm_sim::{DestructionKind, DiskNumber, DiskTrouble, HostId, SimHandle};

use crate::world::{DISK_BYTES, disk, hosts};

const BLOCK: usize = 4096;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What a story has: a harness, and an open disk in a host of its own.
struct Stage {
    env: Env,
    controls: SimHandle,
    host: HostId,
    number: DiskNumber,
    disk: Arc<dyn Disk>,
}

impl Stage {
    async fn trouble(&self, trouble: DiskTrouble) -> u64 {
        self.controls.trouble_disk(self.number, trouble).await
    }

    async fn heal(&self, fault: u64) {
        assert!(self.controls.heal(fault).await && !self.controls.heal(fault).await);
    }

    /// Writes and syncs a block that is full of this byte.
    async fn put(&self, block: u64, byte: u8) -> std::io::Result<()> {
        let bytes = Bytes::from(vec![byte; BLOCK]);
        self.disk.submit(vec![(block * BLOCK as u64, bytes)], SyncMode::Sync).await
    }

    async fn get(&self, block: u64) -> std::io::Result<u8> {
        let bytes = self.disk.read_at(block * BLOCK as u64, BLOCK).await?;
        assert!(bytes.iter().all(|byte| *byte == bytes[0]));
        Ok(bytes[0])
    }

    /// The first byte of a block as it is on the medium.
    fn durable(&self, block: u64) -> u8 {
        let mut byte = [0];
        self.controls.image(self.number).read(block * BLOCK as u64, &mut byte);
        byte[0]
    }
}

fn story<F, Fut>(seed: u64, story: F)
where
    F: FnOnce(Stage) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (mut sim, world, ids) = hosts(seed, 2);
    let number = disk(&world, ids[1], "disk");
    let (here, there, controls, host) = (world.env(ids[0]), world.env(ids[1]), world, ids[1]);
    sim.block_on(ids[0], async move {
        let opened = there.clone().spawn("open", async move {
            there.disks().open(&"disk".into()).await.expect("plugged in")
        });
        let disk = opened.join().await.expect("the host lives");
        story(Stage { env: here, controls, host, number, disk }).await;
    });
}

#[test]
fn a_disk_slows_down_by_degrees_and_is_fast_again_when_healed() {
    story(1, |stage| async move {
        let took = async || {
            let before = stage.env.now();
            stage.get(1).await.expect("in range");
            stage.env.now() - before
        };
        assert!(took().await < millis(1));
        let slow =
            DiskTrouble::Slow { request: millis(100), bandwidth: 1_000_000, over: seconds(100) };
        let fault = stage.trouble(slow).await;
        assert!(took().await < millis(1), "not yet");
        assert_eq!(stage.controls.effects(fault), 0);
        stage.env.sleep(seconds(50)).await;
        let half = took().await;
        assert!(half > millis(50) && half < millis(52), "{half:?}");
        stage.env.sleep(seconds(500)).await;
        let whole = took().await;
        assert!(whole > millis(104) && whole < millis(105), "{whole:?}");
        assert_eq!(stage.controls.effects(fault), 2);
        stage.heal(fault).await;
        assert!(took().await < millis(1));
        assert_eq!(stage.controls.effects(fault), 2);
    });
}

#[test]
fn a_stalled_disk_completes_nothing_until_it_is_healed() {
    story(2, |stage| async move {
        let fault = stage.trouble(DiskTrouble::Stalled).await;
        let (write, read) = (stage.put(1, 1), stage.get(2));
        let mut both = std::pin::pin!(async { (write.await, read.await) });
        assert!(stage.env.timeout(seconds(100), both.as_mut()).await.is_err());
        assert_eq!(stage.controls.effects(fault), 1, "the read was not asked for yet");
        assert_eq!(stage.durable(1), 0);
        stage.heal(fault).await;
        let (write, read) = stage.env.timeout(seconds(1), both).await.expect("it goes on");
        assert_eq!((write.is_ok(), read.expect("in range")), (true, 0));
        assert_eq!(stage.durable(1), 1);
        assert_eq!(stage.controls.effects(fault), 1);
    });
}

#[test]
fn a_share_of_reads_writes_and_syncs_fails() {
    story(3, |stage| async move {
        for block in 0..100 {
            stage.put(block, 1).await.expect("room");
        }
        let reads = stage.trouble(DiskTrouble::FailingReads(300_000)).await;
        let mut failed = 0;
        for block in 0..100 {
            failed += u64::from(stage.get(block).await.is_err());
        }
        assert!((10..60).contains(&failed), "{failed}");
        assert_eq!(stage.controls.effects(reads), failed);
        stage.heal(reads).await;

        let writes = stage.trouble(DiskTrouble::FailingWrites(300_000)).await;
        let (mut failed, mut written_all_the_same) = (0, 0);
        for block in 0..100 {
            let outcome = stage.put(block, 2).await;
            failed += u64::from(outcome.is_err());
            let read = stage.get(block).await.expect("reads are healed");
            assert!(read == 2 || outcome.is_err());
            written_all_the_same += u64::from(outcome.is_err() && read == 2);
        }
        assert_eq!(stage.controls.effects(writes), failed);
        assert!(
            written_all_the_same > 0 && written_all_the_same < failed,
            "{written_all_the_same} of {failed}"
        );
        stage.heal(writes).await;

        let syncs = stage.trouble(DiskTrouble::FailingSyncs(300_000)).await;
        let mut failed = 0;
        for block in 0..100 {
            failed += u64::from(stage.put(block, 3).await.is_err());
            assert_eq!(stage.get(block).await.expect("reads are healed"), 3);
        }
        assert!((10..60).contains(&failed), "{failed}");
        assert_eq!(stage.controls.effects(syncs), failed);
        stage.heal(syncs).await;
        stage.put(200, 3).await.expect("healed");
        let given_up = (0..100).filter(|block| stage.durable(*block) != 3).count();
        assert!(given_up > 3, "no later sync writes them: {given_up}");
        stage.controls.power_off(stage.host).await.expect("it ran");
        let lost = stage.controls.effects(syncs) - failed;
        assert_eq!(lost, (given_up * BLOCK) as u64, "bytes that the power cut took");
    });
}

#[test]
fn a_lying_disk_loses_with_the_power_what_it_acknowledged() {
    for power in [true, false] {
        story(4, move |stage| async move {
            stage.put(0, 9).await.expect("room");
            let fault = stage.trouble(DiskTrouble::LyingSyncs).await;
            for block in 1..65 {
                stage.put(block, 1).await.expect("it says so");
                assert_eq!(stage.get(block).await.expect("in range"), 1);
            }
            assert_eq!(stage.controls.effects(fault), 0, "nobody can tell yet");
            if !power {
                stage.heal(fault).await;
                assert!((1..65).all(|block| stage.durable(block) == 1), "it catches up");
                return;
            }
            let cut = stage.controls.power_off(stage.host).await.expect("it ran");
            let lost = stage.controls.effects(fault);
            assert!(lost > 0 && lost == stage.controls.effects(cut), "{lost}");
            let destroyed = stage.controls.destructions();
            assert_eq!(destroyed.len(), 1);
            assert_eq!(destroyed[0].kind, DestructionKind::Unsynced);
            assert_eq!(destroyed[0].ranges.iter().map(|(_, len)| len).sum::<u64>(), lost);
            for (offset, _) in &destroyed[0].ranges {
                assert!((BLOCK as u64..65 * BLOCK as u64).contains(offset));
            }
            assert_eq!(stage.durable(0), 9, "what was synced before is safe");
        });
    }
}

#[test]
fn an_honest_disk_destroys_nothing_that_it_acknowledged() {
    story(5, |stage| async move {
        stage.put(0, 9).await.expect("room");
        let loose = vec![(BLOCK as u64, Bytes::from(vec![1; 4 * BLOCK]))];
        stage.disk.submit(loose, SyncMode::NoSync).await.expect("room");
        stage.controls.power_off(stage.host).await.expect("it ran");
        assert_eq!(stage.controls.destructions(), []);
    });
}

#[test]
fn blocks_land_elsewhere_and_readers_meet_both_places() {
    story(6, |stage| async move {
        for block in 0..200 {
            stage.put(block, 1).await.expect("room");
        }
        let fault = stage.trouble(DiskTrouble::Misdirecting(100_000)).await;
        for block in 0..100 {
            stage.put(block, 2).await.expect("it does not know");
        }
        stage.heal(fault).await;
        assert_eq!(stage.controls.effects(fault), 0, "nobody has read it yet");
        let (mut stale, mut hit) = (0, 0);
        for block in 0..100 {
            stale += u64::from(stage.get(block).await.expect("in range") == 1);
        }
        for block in 100..200 {
            hit += u64::from(stage.get(block).await.expect("in range") == 2);
        }
        assert!(stale > 2 && hit > 0, "{stale} not written, {hit} overwritten");
        assert!(stage.controls.effects(fault) >= stale + hit);
        let destroyed = stage.controls.destructions();
        assert!(destroyed.len() as u64 >= stale);
        assert!(destroyed.iter().all(|one| one.kind == DestructionKind::Misdirected));
        assert!(destroyed.iter().all(|one| one.ranges.len() == 2));
        let effects = stage.controls.effects(fault);
        for block in 0..200 {
            stage.put(block, 3).await.expect("healed");
            assert_eq!(stage.get(block).await.expect("in range"), 3);
        }
        assert_eq!(stage.controls.effects(fault), effects, "written anew");
    });
}

#[test]
fn sectors_are_lost_until_they_are_written_again() {
    story(7, |stage| async move {
        for block in 0..40 {
            stage.put(block, 1).await.expect("room");
        }
        let (fault, ranges) = stage.controls.lose_sectors(stage.number, 100_000).await;
        assert_eq!((ranges.len(), stage.controls.effects(fault)), (4, 0));
        let mut failed = Vec::new();
        for block in 0..40 {
            match stage.get(block).await {
                Ok(byte) => assert_eq!(byte, 1),
                Err(_) => failed.push((block * BLOCK as u64, BLOCK as u64)),
            }
        }
        assert_eq!((failed, stage.controls.effects(fault)), (ranges.clone(), 4));
        for (offset, _) in ranges {
            // A write to a part of it does not bring the rest back.
            let part = vec![(offset, Bytes::from_static(b"new"))];
            stage.disk.submit(part, SyncMode::Sync).await.expect("it is replaced");
            let bytes = stage.disk.read_at(offset, BLOCK).await.expect("it can be read again");
            assert!(bytes.starts_with(b"new") && bytes[3..].iter().all(|byte| *byte == 0));
        }
    });
}

#[test]
fn a_read_only_disk_refuses_writes_and_goes_on_reading() {
    story(8, |stage| async move {
        stage.put(0, 1).await.expect("room");
        let fault = stage.trouble(DiskTrouble::ReadOnly).await;
        let refused = stage.put(0, 2).await.expect_err("read-only");
        assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
        stage.disk.discard(0, BLOCK as u64);
        assert_eq!(stage.get(0).await.expect("in range"), 1);
        assert_eq!(stage.controls.effects(fault), 1);
        assert_eq!(stage.controls.heal_disk(stage.number).await, 1);
        stage.put(0, 2).await.expect("healed");
        assert_eq!(stage.controls.effects(fault), 1);
    });
}

#[test]
fn a_full_disk_takes_no_more_blocks_but_those_it_has() {
    story(9, |stage| async move {
        assert_eq!(stage.disk.room(), u64::MAX);
        stage.put(0, 1).await.expect("room");
        let full = stage.trouble(DiskTrouble::Full(1_000_000)).await;
        let reserve = Bytes::from(vec![1; DISK_BYTES as usize / 8]);
        let reserve = vec![(DISK_BYTES / 2, reserve)];
        stage.disk.submit(reserve, SyncMode::Sync).await.expect("nobody is told of this room");
        assert_eq!(stage.controls.effects(full), 0);
        let refused = stage.put(1, 1).await.expect_err("full");
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        stage.put(0, 2).await.expect("it holds this block");
        assert_eq!(stage.controls.effects(full), 1);
        assert_eq!(stage.disk.room(), 0);
        assert_eq!(stage.controls.effects(full), 2, "somebody was told that there is none");
        stage.disk.discard(0, BLOCK as u64);
        stage.put(1, 1).await.expect("there is room for one again");
        stage.heal(full).await;
        stage.put(2, 1).await.expect("healed");

        let half = stage.trouble(DiskTrouble::Full(500_000)).await;
        let room = stage.disk.room();
        assert_eq!(room, DISK_BYTES / 2);
        stage.put(3, 1).await.expect("room");
        assert_eq!(stage.disk.room(), room - BLOCK as u64);
        assert_eq!(stage.controls.effects(half), 0, "everybody found room");
    });
}

#[test]
fn troubles_of_one_disk_are_ended_together() {
    story(10, |stage| async move {
        let faults = [
            stage.trouble(DiskTrouble::Stalled).await,
            stage.trouble(DiskTrouble::FailingReads(1_000_000)).await,
        ];
        assert_eq!(stage.controls.heal_disk(stage.number).await, 2);
        assert_eq!(stage.controls.heal_disk(stage.number).await, 0);
        stage.put(0, 1).await.expect("healed");
        assert_eq!(stage.get(0).await.expect("healed"), 1);
        for fault in faults {
            assert_eq!(stage.controls.effects(fault), 0, "nobody met it");
        }
    });
}
