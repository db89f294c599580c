//! A volume in the simulated world: power cuts in virtual time, and the same run from the same seed.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarm_env::Env;
use swarm_sim::{DiskModel, DiskTrouble, Sim};
use swarm_store::{AppendError, FormatOptions, MountError, Volume};
use swarm_types::DiskId;

use crate::kit::{body, check_space, cluster, id, options, put, read, stamp};

const IDS: u8 = 8;

/// The last version acknowledged of each stream.
type Ledger = Arc<Mutex<[u64; IDS as usize]>>;

async fn open(env: &Env) -> Volume {
    let disk = env.disks().open(&DiskId::from("main/1/1")).await.unwrap();
    match Volume::mount(env, disk.clone(), options()).await {
        Ok((volume, _)) => volume,
        Err(MountError::Blank) => {
            Volume::format(env, &disk, FormatOptions { cluster: cluster() }).await.unwrap();
            Volume::mount(env, disk, options()).await.unwrap().0
        }
        Err(error) => panic!("{error}"),
    }
}

fn len_of(version: u64) -> usize {
    usize::try_from(crate::kit::mix(version) % 90_000).unwrap()
}

async fn check(volume: &Volume, ledger: &Ledger) {
    check_space(volume);
    for number in 0..IDS {
        let acknowledged = ledger.lock().unwrap()[usize::from(number)];
        let Some(record) = volume.find(id(number)) else {
            assert_eq!(acknowledged, 0, "{number} is lost");
            continue;
        };
        let version = record.stamp.version.0;
        assert!(version >= acknowledged, "{number} went back from {acknowledged} to {version}");
        assert!(read(volume, &record).await.unwrap() == body(id(number), version, len_of(version)));
    }
}

/// Checks what is there, then writes until the power goes.
async fn node(env: Env, ledger: Ledger) {
    let volume = open(&env).await;
    check(&volume, &ledger).await;
    let newest = volume.records(None, 100).iter().map(|record| record.stamp.version.0).max();
    for round in newest.unwrap_or(0) + 1.. {
        let writers = (0..IDS).map(|number| put(&volume, id(number), round, len_of(round)));
        for (number, written) in
            futures_util::future::join_all(writers).await.into_iter().enumerate()
        {
            match written {
                Ok(_) => ledger.lock().unwrap()[number] = round,
                Err(error) => assert!(error.to_string().contains("written"), "{error}"),
            }
        }
        if round % 3 == 0 {
            volume.defragment(200_000).await.ok();
        }
        env.sleep(Duration::from_millis(1)).await;
    }
}

fn run(seed: u64) -> (String, [u64; IDS as usize]) {
    let mut sim = Sim::seeded(seed);
    let world = sim.handle();
    let host = world.add_node("main/1", Ipv4Addr::new(10, 0, 0, 1), 1);
    world.add_disk(host, DiskId::from("main/1/1"), 64 << 20, DiskModel::SSD);
    let ledger = Ledger::default();
    let theirs = Arc::clone(&ledger);
    world.set_boot(host, move |env| node(env, Arc::clone(&theirs)));
    for life in 0..6 {
        drop(world.start(host));
        sim.run_for(Duration::from_micros(20_000 + 3_777 * (seed + life))).unwrap();
        assert_eq!(world.panics().len(), 0, "{:?}", world.panics());
        drop(world.power_off(host));
        sim.run_for(Duration::from_millis(1)).unwrap();
    }
    let written = *ledger.lock().unwrap();
    (world.trace_hash(), written)
}

#[test]
fn power_cuts_lose_nothing_acknowledged() {
    for seed in 0..12 {
        let (_, written) = run(seed);
        assert!(written.iter().all(|version| *version > 3), "it wrote: {written:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).0, run(4).0);
}

#[test]
fn a_device_that_others_fill_is_full_and_its_journal_goes_on() {
    let mut sim = Sim::seeded(3);
    let world = sim.handle();
    let host = world.add_host("main/1", Ipv4Addr::new(10, 0, 0, 1));
    let disk = world.add_disk(host, DiskId::from("main/1/1"), 64 << 20, DiskModel::SSD);
    let (env, controls) = (world.env(host), world.clone());
    sim.block_on(host, async move {
        let volume = open(&env).await;
        put(&volume, id(1), 1, 50_000).await.unwrap();
        let before = volume.space();
        let half = controls.trouble_disk(disk, DiskTrouble::Full(500_000)).await;
        let filled = volume.space();
        assert!(filled.free < before.free && filled.free > 20 << 20, "{filled:?}");
        assert_eq!(filled.used + filled.free + filled.trapped, filled.capacity);
        put(&volume, id(2), 1, 50_000).await.unwrap();

        let whole = controls.trouble_disk(disk, DiskTrouble::Full(1_000_000)).await;
        assert_eq!(volume.space().free, 0);
        let refused = volume.stage(id(3), 50_000).map(drop).unwrap_err();
        assert!(matches!(refused, AppendError::Full { free: 0, .. }), "{refused}");
        assert!(volume.remove(id(2), stamp(1)).await.unwrap(), "the journal has its own room");
        // Half of it left room for everything that was asked for.
        assert_eq!(controls.effects(half), 0);
        assert!(controls.effects(whole) > 0);
        assert!(controls.heal(half).await && controls.heal(whole).await);
        put(&volume, id(3), 1, 50_000).await.unwrap();
        assert_eq!(volume.space().streams, 2);
    });
}
