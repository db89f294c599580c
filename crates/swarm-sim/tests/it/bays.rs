//! Disks that are pulled, plugged in elsewhere, replaced, or without their index.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Disk, Env, IndexHome, SyncMode};
use swarm_sim::{DiskModel, DiskNumber, HostId, SimHandle};
use swarm_types::DiskId;

use crate::world::{DISK_BYTES, disk, hosts};

/// Runs a story on the second of three hosts, which has a disk.
fn story<F, Fut>(story: F)
where
    F: FnOnce(Env, SimHandle, Vec<HostId>, DiskNumber) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (mut sim, world, ids) = hosts(1, 3);
    let number = disk(&world, ids[1], "disk");
    sim.block_on(ids[1], story(world.env(ids[1]), world.clone(), ids.clone(), number));
}

async fn open(env: &Env, serial: &str) -> Arc<dyn Disk> {
    env.disks().open(&serial.into()).await.expect("plugged in")
}

fn write(bytes: &'static [u8]) -> Vec<(u64, Bytes)> {
    vec![(0, Bytes::from_static(bytes))]
}

#[test]
fn a_pulled_disk_fails_what_is_under_way_and_all_that_follows() {
    story(|env, controls, _, number| async move {
        let disk = open(&env, "disk").await;
        disk.submit(write(b"kept"), SyncMode::Sync).await.expect("room");
        let under_way = disk.submit(vec![(4096, vec![1; 4096].into())], SyncMode::Sync);
        let pulled = controls.pull_disk(number).await.expect("it was in");
        assert!(under_way.await.is_err());
        let lost = controls.effects(pulled);
        assert!(lost >= 2, "the disk itself, an operation, and bytes: {lost}");
        assert_eq!(disk.read_at(0, 4).await.expect_err("gone").kind(), ErrorKind::NotConnected);
        assert_eq!(controls.effects(pulled), lost + 1);
        assert!(controls.pull_disk(number).await.is_none(), "only once");
        assert_eq!(env.disks().list(), Vec::new());
        let missing = env.disks().open(&"disk".into()).await.map(drop).expect_err("gone");
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_disk_that_nobody_uses_is_pulled_without_effect() {
    story(|_, controls, _, number| async move {
        let pulled = controls.pull_disk(number).await.expect("it was in");
        assert_eq!(controls.effects(pulled), 0);
        assert_eq!(controls.plugged_into(number), None);
    });
}

#[test]
fn a_disk_comes_back_after_weeks_or_goes_to_another_host() {
    story(|env, controls, ids, number| async move {
        let disk = open(&env, "disk").await;
        disk.submit(write(b"kept"), SyncMode::Sync).await.expect("room");
        controls.pull_disk(number).await.expect("it was in");
        env.sleep(Duration::from_secs(5 * 7 * 24 * 3600)).await;
        let back = controls.insert_disk(number, ids[1]).await.expect("it was out");
        assert_eq!(controls.effects(back), 0, "nobody has opened it");
        assert!(controls.insert_disk(number, ids[2]).await.is_none(), "it is in a host");
        let again = open(&env, "disk").await;
        assert_eq!(controls.effects(back), 1);
        drop(disk);
        let taken = env.disks().open(&"disk".into()).await.map(drop).expect_err("open");
        assert_eq!(taken.kind(), ErrorKind::ResourceBusy, "the handle of before frees nothing");
        assert_eq!(again.read_at(0, 4).await.expect("in range"), "kept");

        controls.pull_disk(number).await.expect("it was in");
        let other = controls.env(ids[2]);
        let watch = controls.spawn_on(ids[2], "watch", async move {
            let disks = other.disks().changed(&[]).await;
            let disk = other.disks().open(&disks[0]).await.expect("plugged in");
            disk.read_at(0, 4).await.expect("in range")
        });
        let moved = controls.insert_disk(number, ids[2]).await.expect("it was out");
        assert_eq!(watch.await.as_deref(), Some(&b"kept"[..]));
        assert_eq!((controls.plugged_into(number), controls.effects(moved)), (Some(ids[2]), 1));
        assert_eq!(env.disks().list(), Vec::new());
    });
}

#[test]
fn a_blank_disk_is_delivered_to_a_running_host() {
    story(|env, controls, ids, number| async move {
        controls.pull_disk(number).await.expect("it was in");
        let id = DiskId::from("new");
        let (new, fault) =
            controls.deliver_disk(ids[1], id.clone(), DISK_BYTES, DiskModel::SSD).await;
        assert_eq!(env.disks().changed(&[]).await, vec![id]);
        assert_eq!((controls.plugged_into(new), controls.effects(fault)), (Some(ids[1]), 0));
        assert_eq!(open(&env, "new").await.read_at(0, 4).await.expect("in range"), "\0\0\0\0");
        assert_eq!(controls.effects(fault), 1);
    });
}

#[test]
fn a_lost_index_is_missing_when_the_disk_is_opened_next() {
    story(|env, controls, _, number| async move {
        let entries = |disk: &Arc<dyn Disk>| {
            let IndexHome::Memory(index) = disk.index_home() else { panic!("simulated") };
            index
        };
        let disk = open(&env, "disk").await;
        let index = entries(&disk);
        index.lock().expect("no panic before").insert(vec![1], vec![2]);
        let fault = controls.lose_index(number).await;
        assert_eq!(controls.index(number).len(), 1, "who has it open goes on");
        assert_eq!(controls.effects(fault), 0);
        drop(disk);
        let again = entries(&open(&env, "disk").await);
        assert!(again.lock().expect("no panic before").is_empty());
        assert_eq!(controls.effects(fault), 1);
        let empty = controls.lose_index(number).await;
        drop(open(&env, "disk"));
        assert_eq!(controls.effects(empty), 0, "there was nothing to lose");
    });
}
