//! Disks: what a sync promises, what a power cut takes, and what rot does.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{IndexHome, SyncMode};
use swarm_sim::{DiskNumber, HostId, Sim, SimHandle};

use crate::world::{DISK_BYTES, disk, hosts};

const BLOCK: usize = 4096;

/// A world with a harness and a host with one disk.
fn one_disk(seed: u64) -> (Sim, SimHandle, HostId, HostId, DiskNumber) {
    let (sim, world, ids) = hosts(seed, 2);
    let number = disk(&world, ids[1], "disk");
    (sim, world, ids[0], ids[1], number)
}

fn durable(world: &SimHandle, disk: DiskNumber, offset: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    world.image(disk).read(offset, &mut out);
    out
}

#[test]
fn after_a_power_cut_only_what_was_synced_is_sure() {
    let (mut kept_bytes, mut index_fates) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..48 {
        let (mut sim, world, harness, host, number) = one_disk(seed);
        let (env, here, controls) = (world.env(host), world.env(harness), world.clone());
        drop(env.clone().spawn("writer", async move {
            let disk = env.disks().open(&"disk".into()).await.expect("plugged in");
            let IndexHome::Memory(index) = disk.index_home() else { panic!("simulated") };
            index.lock().expect("no panic before").insert(vec![1], vec![2]);
            let synced = vec![(0, Bytes::from(vec![1; 2 * BLOCK]))];
            disk.submit(synced, SyncMode::Sync).await.expect("room");
            let loose = vec![(2 * BLOCK as u64, Bytes::from(vec![2; 4 * BLOCK]))];
            disk.submit(loose, SyncMode::NoSync).await.expect("room");
            std::future::pending::<()>().await;
        }));
        let fault = sim.block_on(harness, async move {
            here.sleep(Duration::from_secs(1)).await;
            controls.power_off(host).await.expect("it ran")
        });
        assert_eq!(durable(&world, number, 0, 2 * BLOCK), vec![1; 2 * BLOCK]);
        let kept = durable(&world, number, 2 * BLOCK as u64, 4 * BLOCK);
        let kept = kept.iter().filter(|byte| **byte == 2).count();
        assert_eq!(world.effects(fault), (4 * BLOCK - kept) as u64, "effects are bytes lost");
        kept_bytes.insert(kept);
        index_fates.insert(world.index(number).len());
    }
    assert!(kept_bytes.len() > 10, "the seed decides: {kept_bytes:?}");
    assert_eq!(index_fates, BTreeSet::from([0, 1]), "the index is kept or lost");
}

#[test]
fn a_killed_process_leaves_its_submitted_writes_to_the_disk() {
    let (mut sim, world, harness, host, number) = one_disk(1);
    let (env, here, controls) = (world.env(host), world.env(harness), world.clone());
    drop(env.clone().spawn("writer", async move {
        let disk = env.disks().open(&"disk".into()).await.expect("plugged in");
        // Submitted and not waited for: it belongs to the disk.
        drop(disk.submit(vec![(0, Bytes::from_static(b"kept"))], SyncMode::Sync));
        std::future::pending::<()>().await;
    }));
    sim.block_on(harness, async move {
        here.sleep(Duration::from_micros(100)).await;
        controls.kill(host).await.expect("it ran");
        here.sleep(Duration::from_millis(10)).await;
        assert_eq!(durable(&controls, number, 0, 4), b"kept");
        // The next incarnation finds the disk free and the bytes there.
        assert!(controls.start(host).await);
        let env = controls.env(host);
        let read = controls.spawn_on(host, "reader", async move {
            let disk = env.disks().open(&"disk".into()).await.expect("the old handle is dead");
            disk.read_at(0, 4).await.expect("in range")
        });
        assert_eq!(read.await.as_deref(), Some(&b"kept"[..]));
    });
}

#[test]
fn a_disk_is_open_once() {
    let (mut sim, world, _, host, _) = one_disk(1);
    let env = world.env(host);
    sim.block_on(host, async move {
        let first = env.disks().open(&"disk".into()).await.expect("plugged in");
        let second = env.disks().open(&"disk".into()).await.map(drop);
        assert_eq!(second.expect_err("open").kind(), std::io::ErrorKind::ResourceBusy);
        drop(first);
        env.disks().open(&"disk".into()).await.expect("closed again");
        let missing = env.disks().open(&"other".into()).await.map(drop);
        assert_eq!(missing.expect_err("absent").kind(), std::io::ErrorKind::NotFound);
    });
}

#[test]
fn rot_is_met_by_readers_and_counted() {
    let (mut sim, world, _, host, number) = one_disk(2);
    let (env, controls) = (world.env(host), world.clone());
    sim.block_on(host, async move {
        let disk = env.disks().open(&"disk".into()).await.expect("plugged in");
        let bytes = Bytes::from(vec![7; 64 * BLOCK]);
        disk.submit(vec![(0, bytes)], SyncMode::Sync).await.expect("room");
        let (fault, ranges) = controls.rot(number, 100_000).await;
        assert_eq!(ranges.len(), 6, "a tenth of 64 blocks");
        assert_eq!(controls.effects(fault), 0, "nobody has read it yet");
        let read = disk.read_at(0, 64 * BLOCK).await.expect("in range");
        for (offset, len) in &ranges {
            let range = *offset as usize..(*offset + *len) as usize;
            assert!(read[range].iter().all(|byte| *byte != 7));
        }
        let changed: u64 = ranges.iter().map(|(_, len)| len).sum();
        assert_eq!(read.iter().filter(|byte| **byte != 7).count() as u64, changed);
        assert_eq!(controls.effects(fault), 6);
    });
}

#[test]
fn a_wiped_disk_is_blank() {
    let (mut sim, world, _, host, number) = one_disk(1);
    let env = world.env(host);
    sim.block_on(host, async move {
        let disk = env.disks().open(&"disk".into()).await.expect("plugged in");
        let write = vec![(5, Bytes::from_static(b"gone soon"))];
        disk.submit(write, SyncMode::Sync).await.expect("room");
    });
    let fault = world.wipe(host).done();
    assert_eq!(durable(&world, number, 5, 9), [0; 9]);
    assert!(world.effects(fault) > 0);
}

#[test]
fn nothing_is_written_or_read_beyond_the_end() {
    let (mut sim, world, _, host, _) = one_disk(1);
    let env = world.env(host);
    sim.block_on(host, async move {
        let disk = env.disks().open(&"disk".into()).await.expect("plugged in");
        let beyond = vec![(DISK_BYTES - 1, Bytes::from_static(b"ab"))];
        assert!(disk.submit(beyond, SyncMode::NoSync).await.is_err());
        let error = disk.read_at(DISK_BYTES - 1, 2).await.expect_err("beyond the end");
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(&disk.read_at(DISK_BYTES - 2, 2).await.expect("in range")[..], [0, 0]);
    });
}

#[test]
fn discarded_blocks_may_be_written_again() {
    let (mut sim, world, _, host, number) = one_disk(1);
    let (env, controls) = (world.env(host), world.clone());
    sim.block_on(host, async move {
        let disk = env.disks().open(&"disk".into()).await.expect("plugged in");
        let full = Bytes::from(vec![1; 3 * BLOCK]);
        disk.submit(vec![(0, full)], SyncMode::NoSync).await.expect("room");
        disk.discard(10, 2 * BLOCK as u64);
        let again = Bytes::from(vec![2; 10]);
        disk.submit(vec![(BLOCK as u64, again)], SyncMode::Sync).await.expect("room");
        let read = disk.read_at(0, 3 * BLOCK).await.expect("in range");
        assert!(read[..BLOCK].iter().all(|byte| *byte == 1), "only touched in part");
        assert!(read[BLOCK..BLOCK + 10].iter().all(|byte| *byte == 2));
        assert!(read[2 * BLOCK..].iter().all(|byte| *byte == 1));
        assert_eq!(durable(&controls, number, 0, 3 * BLOCK), read);
    });
}
