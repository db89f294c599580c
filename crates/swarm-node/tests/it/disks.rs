//! Disks that come, go and fail while a node runs.

use std::time::Duration;

use swarm_node::api::Refusal;
use swarm_node::{NodeState, RetireError, VolumeState};
use swarm_sim::{DiskModel, DiskTrouble};

use crate::cluster::{Cluster, Shape, named, post};

const TICK: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_secs(1);

/// Three nodes with two disks each that hold a few objects.
fn cluster(seed: u64, settings: &[(&str, &str)]) -> Cluster {
    let shape = Shape { disks_per_node: 2, settings, ..Shape::of(3, seed) };
    let mut cluster = Cluster::shaped(&shape).and_bucket();
    for name in ["a", "b", "c", "d", "e", "f"] {
        cluster.put(1, &post(named(name), b"kept")).expect("stored");
    }
    cluster
}

fn all_are_read(cluster: &mut Cluster) {
    for name in ["a", "b", "c", "d", "e", "f"] {
        for via in 1..=3 {
            assert_eq!(cluster.get(via, &named(name)).as_deref(), Ok(&b"kept"[..]), "{name}");
        }
    }
}

fn states(cluster: &Cluster, number: u8) -> Vec<VolumeState> {
    cluster.status(number).volumes.iter().map(|volume| volume.state).collect()
}

/// How Swarm Responds to Disk Changes: content is used again when the disk is back.
#[test]
fn a_pulled_disk_is_missed_at_once_and_welcome_when_it_returns() {
    let mut cluster = cluster(1, &[]);
    let (disk, host) = (cluster.disk(3, 0), cluster.host(3));
    let streams = cluster.status(3).volumes[0].streams;
    assert!(cluster.world().pull_disk(disk).done().is_some());
    cluster.run_for(MOMENT);
    assert_eq!(states(&cluster, 3), [VolumeState::Unavailable, VolumeState::Ok]);
    assert_eq!(cluster.seen(3), [NodeState::Error; 3]);
    all_are_read(&mut cluster);
    assert!(cluster.world().insert_disk(disk, host).done().is_some());
    cluster.run_for(MOMENT);
    assert_eq!(states(&cluster, 3), [VolumeState::Ok; 2]);
    assert_eq!(cluster.seen(3), [NodeState::Ok; 3]);
    assert!(cluster.status(3).volumes[0].streams >= streams);
    all_are_read(&mut cluster);
}

#[test]
fn a_blank_disk_takes_the_place_of_one_that_was_pulled() {
    let mut cluster = cluster(2, &[]);
    let (disk, host) = (cluster.disk(3, 0), cluster.host(3));
    assert!(cluster.world().pull_disk(disk).done().is_some());
    cluster.run_for(MOMENT);
    assert_eq!(cluster.status(3).state, NodeState::Error);
    let fresh = cluster.world().deliver_disk(host, "main/3/9".into(), 64 << 20, DiskModel::SSD);
    let _ = fresh.done();
    cluster.run_for(MOMENT);
    let disks: Vec<_> = cluster.status(3).volumes.into_iter().map(|volume| volume.disk).collect();
    assert_eq!(disks, ["main/3/2", "main/3/9"]);
    assert_eq!(states(&cluster, 3), [VolumeState::Ok; 2]);
    assert_eq!(cluster.seen(3), [NodeState::Ok; 3]);
}

#[test]
fn a_disk_that_moves_to_another_node_serves_there_and_is_missed_no_longer() {
    let mut cluster = cluster(3, &[]);
    let (disk, other) = (cluster.disk(3, 0), cluster.host(2));
    let volume = cluster.status(3).volumes[0].id;
    assert!(cluster.world().pull_disk(disk).done().is_some());
    cluster.run_for(MOMENT);
    assert!(cluster.world().insert_disk(disk, other).done().is_some());
    cluster.run_for(TICK + MOMENT);
    assert_eq!(cluster.status(2).volumes.len(), 3);
    assert!(cluster.status(2).volumes.iter().any(|found| found.id == volume));
    assert_eq!(cluster.status(3).volumes.len(), 1);
    assert_eq!(cluster.seen(3), [NodeState::Ok; 3]);
    all_are_read(&mut cluster);
}

/// KB on I/O errors: disks are judged at a heartbeat of 60 s.
#[test]
fn a_disk_that_fails_is_given_up_within_a_heartbeat_and_taken_back_when_it_works() {
    let mut cluster = cluster(4, &[]);
    let disk = cluster.disk(3, 1);
    for trouble in [DiskTrouble::FailingReads(1_000_000), DiskTrouble::FailingWrites(1_000_000)] {
        let _ = cluster.world().trouble_disk(disk, trouble).done();
    }
    cluster.run_for(TICK + MOMENT);
    assert_eq!(states(&cluster, 3), [VolumeState::Ok, VolumeState::Unavailable]);
    assert_eq!(cluster.seen(3), [NodeState::Error; 3]);
    let problem = cluster.status(3).volumes[1].problem.clone().expect("a reason");
    assert!(problem.contains("its disk has failed"), "{problem}");
    all_are_read(&mut cluster);
    cluster.run_for(TICK);
    assert_eq!(cluster.seen(3), [NodeState::Error; 3], "it is tried again and fails again");
    assert_eq!(cluster.world().heal_disk(disk).done(), 2);
    cluster.run_for(TICK + MOMENT);
    assert_eq!(cluster.seen(3), [NodeState::Ok; 3]);
    all_are_read(&mut cluster);
}

#[test]
fn a_disk_that_hangs_is_given_up_and_taken_back_when_it_goes_on() {
    let mut cluster = cluster(5, &[]);
    let disk = cluster.disk(3, 1);
    let _ = cluster.world().trouble_disk(disk, DiskTrouble::Stalled).done();
    cluster.run_for(2 * TICK + MOMENT);
    assert_eq!(cluster.seen(3), [NodeState::Error; 3]);
    assert_eq!(states(&cluster, 3), [VolumeState::Ok, VolumeState::Unavailable]);
    assert_eq!(cluster.world().heal_disk(disk).done(), 1);
    cluster.run_for(2 * TICK + MOMENT);
    assert_eq!(cluster.seen(3), [NodeState::Ok; 3]);
    all_are_read(&mut cluster);
}

#[test]
fn a_disk_that_takes_no_writes_still_delivers() {
    let mut cluster = cluster(6, &[]);
    for disk in [0, 1] {
        let disk = cluster.disk(3, disk);
        let _ = cluster.world().trouble_disk(disk, DiskTrouble::ReadOnly).done();
    }
    cluster.run_for(TICK + MOMENT);
    assert_eq!(cluster.seen(3), [NodeState::Error; 3]);
    assert_eq!(states(&cluster, 3), [VolumeState::Ok; 2]);
    let problem = cluster.status(3).volumes[0].problem.clone().expect("a reason");
    assert!(problem.contains("takes no writes"), "{problem}");
    for round in 0..6 {
        let reply = cluster.put(3, &post(named(&format!("new{round}")), b"x")).expect("sent on");
        assert!(!Cluster::holders(&reply).contains(&3));
    }
    cluster.power_off(1);
    cluster.power_off(2);
    cluster.run_for(3 * TICK);
    let served = ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .filter(|name| cluster.get(3, &named(name)).as_deref() == Ok(&b"kept"[..]));
    assert!(served.count() > 0, "what only it can deliver now it delivers");
    for disk in [0, 1] {
        let disk = cluster.disk(3, disk);
        assert_eq!(cluster.world().heal_disk(disk).done(), 1);
    }
    cluster.run_for(TICK + MOMENT);
    assert_eq!(cluster.status(3).state, NodeState::Ok);
}

/// Retiring Volumes: `disk.ioErrorToRetire` errors within `disk.ioErrorWindow`.
#[test]
fn a_disk_with_many_errors_is_emptied_and_no_operator_can_change_that() {
    let mut cluster = cluster(7, &[("disk.ioErrorToRetire", "3")]);
    let more: Vec<String> = (0..12).map(|nth| format!("more{nth}")).collect();
    for name in &more {
        cluster.put(1, &post(named(name), b"kept")).expect("stored");
    }
    let fuller = cluster.status(3).volumes.iter().map(|volume| volume.streams).collect::<Vec<_>>();
    let fuller = usize::from(fuller[1] > fuller[0]);
    let disk = cluster.disk(3, fuller);
    let _ = cluster.world().trouble_disk(disk, DiskTrouble::FailingReads(1_000_000)).done();
    // Of each replica that it has to deliver one block fails; what cannot be read here is read elsewhere.
    for name in &more {
        assert_eq!(cluster.get(3, &named(name)).as_deref(), Ok(&b"kept"[..]), "{name}");
    }
    cluster.run_for(TICK + MOMENT);
    assert_eq!(states(&cluster, 3)[fuller], VolumeState::Retiring);
    assert_eq!(cluster.seen(3), [NodeState::Retiring; 3]);
    assert_eq!(cluster.cancel_retire(3, fuller), Err(RetireError::Failing));
}

#[test]
fn nobody_misses_a_retired_disk_that_is_pulled() {
    let shape = Shape { disks_per_node: 2, ..Shape::of(2, 8) };
    let mut cluster = Cluster::shaped(&shape);
    assert_eq!(cluster.retire(2, 0), Ok(VolumeState::Retired));
    let disk = cluster.disk(2, 0);
    assert!(cluster.world().pull_disk(disk).done().is_some());
    cluster.run_for(MOMENT);
    assert_eq!(states(&cluster, 2), [VolumeState::Ok]);
    assert_eq!(cluster.seen(2), [NodeState::Ok; 2]);
}

fn count(cluster: &Cluster, number: u8, what: &str) -> u64 {
    cluster.status(number).health.counters.get(what).copied().unwrap_or(0)
}

/// Our choice: a disk that could not read for a while has lost nothing, and nobody waits for the next walk to say so.
#[test]
fn an_object_that_no_disk_could_read_is_served_as_soon_as_one_reads_again() {
    let mut cluster = cluster(9, &[("disk.ioErrorToRetire", "0")]);
    let disks: Vec<_> =
        (1..=3).flat_map(|node| [0, 1].map(|disk| cluster.disk(node, disk))).collect();
    for disk in &disks {
        let _ = cluster.world().trouble_disk(*disk, DiskTrouble::FailingReads(1_000_000)).done();
    }
    for via in 1..=3 {
        let refused = cluster.get(via, &named("a")).expect_err("nobody can read it");
        assert!(matches!(refused, Refusal::Unavailable { .. }), "{refused}");
    }
    cluster.run_for(MOMENT);
    for disk in &disks {
        let _ = cluster.world().heal_disk(*disk).done();
    }
    all_are_read(&mut cluster);
}

/// What was found rotten is not read through again for every client that asks.
#[test]
fn an_object_that_is_rotten_everywhere_is_refused_without_reading_all_of_it_each_time() {
    let mut cluster = Cluster::shaped(&Shape::of(3, 10)).and_bucket();
    cluster.put(1, &post(named("a"), &[7; 256 << 10])).expect("stored");
    for node in 1..=3 {
        cluster.rot_all(node);
    }
    for _ in 0..5 {
        for via in 1..=3 {
            assert!(cluster.get(via, &named("a")).is_err());
        }
    }
    let looks: u64 = (1..=3).map(|node| count(&cluster, node, "looks for requests")).sum();
    assert!((1..=2).contains(&looks), "each of the two replicas once at most: {looks}");
}

/// What a client asks for says nothing about the disks that was not known: nobody loses a disk to a popular object.
#[test]
fn an_unreadable_object_that_is_asked_for_all_the_time_retires_no_disk() {
    let mut cluster = cluster(11, &[]);
    let disks: Vec<_> =
        (1..=3).flat_map(|node| [0, 1].map(|disk| cluster.disk(node, disk))).collect();
    for disk in &disks {
        let _ = cluster.world().trouble_disk(*disk, DiskTrouble::FailingReads(1_000_000)).done();
    }
    for second in 0..250 {
        assert!(cluster.get(second % 3 + 1, &named("a")).is_err());
        cluster.run_for(MOMENT);
    }
    for node in 1..=3 {
        assert_eq!(states(&cluster, node), [VolumeState::Ok; 2]);
    }
}

/// Our choice: what holds up a mount may pass at any moment.
#[test]
fn a_volume_that_could_not_be_mounted_is_back_within_seconds_of_its_disk() {
    let mut cluster = cluster(12, &[]);
    let disks = [0, 1].map(|disk| cluster.disk(3, disk));
    cluster.power_off(3);
    for disk in disks {
        let _ = cluster.world().trouble_disk(disk, DiskTrouble::ReadOnly).done();
    }
    cluster.start(3);
    cluster.run_for(10 * TICK);
    assert_eq!(states(&cluster, 3), [VolumeState::Unavailable; 2]);
    let tries = cluster.world().tasks(cluster.host(3)).get("mount-again").copied();
    assert_eq!(tries, Some(2), "one for each disk");
    for disk in disks {
        assert_eq!(cluster.world().heal_disk(disk).done(), 1);
    }
    cluster.run_for(Duration::from_secs(11));
    assert_eq!(states(&cluster, 3), [VolumeState::Ok; 2]);
    all_are_read(&mut cluster);
}
