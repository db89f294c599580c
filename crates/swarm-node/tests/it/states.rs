//! The states of nodes and volumes: who shows what, and what a node in each of them is still asked for.

use std::time::Duration;

use swarm_node::api::{BodyWish, ReadRequest, Refusal, Reply};
use swarm_node::{NodeState, RetireError, VolumeState};

use crate::cluster::{Cluster, Shape, named, post, target};

/// The states of a node's volumes, in the order of its disks.
fn volumes(cluster: &Cluster, number: u8) -> Vec<VolumeState> {
    cluster.status(number).volumes.iter().map(|volume| volume.state).collect()
}

#[test]
fn a_node_with_a_strangers_disk_is_in_error_and_serves_from_the_other() {
    let shape = Shape { disks_per_node: 2, ..Shape::of(3, 1) };
    let mut cluster = Cluster::shaped(&shape).and_bucket();
    cluster.restart_with_a_strangers_disk(3);
    assert_eq!(cluster.seen(3), [NodeState::Error; 3]);
    assert_eq!(volumes(&cluster, 3), [VolumeState::Ok, VolumeState::Unavailable]);
    let problem = cluster.status(3).volumes[1].problem.clone().expect("a reason");
    assert!(problem.contains("belongs to cluster other"), "{problem}");
    let mut stored_there = 0;
    for _ in 0..20 {
        let reply = cluster.put(3, &post(named("x"), b"x")).expect("stored");
        stored_there += usize::from(Cluster::holders(&reply).contains(&3));
    }
    assert!(stored_there > 0, "it bids for its other volume");
    for via in 1..=3 {
        assert_eq!(cluster.get(via, &named("x")).as_deref(), Ok(&b"x"[..]));
    }
}

#[test]
fn a_node_without_a_working_volume_takes_nothing_and_still_receives_clients() {
    let mut cluster = Cluster::with_bucket(3, 2);
    cluster.restart_with_a_strangers_disk(3);
    assert_eq!(cluster.seen(3), [NodeState::Error; 3]);
    for _ in 0..10 {
        let reply = cluster.put(3, &post(named("x"), b"x")).expect("sent on");
        assert!(!Cluster::holders(&reply).contains(&3));
        assert_eq!(cluster.get(3, &named("x")).as_deref(), Ok(&b"x"[..]));
    }
    cluster.delete(3, &named("x")).expect("sent on");
}

/// Configuring Power Management Settings: no SCSP activity for `power.sleepAfter`.
#[test]
fn a_cluster_without_work_falls_asleep_and_wakes_at_once_when_asked() {
    let settings = [("power.sleepAfter", "60")];
    let mut cluster = Cluster::with_settings(3, 3, &settings).and_bucket();
    cluster.put(1, &post(named("x"), b"x")).expect("stored");
    cluster.run_for(Duration::from_secs(50));
    assert_eq!(cluster.status(1).state, NodeState::Ok);
    cluster.run_for(Duration::from_secs(25));
    for node in 1..=3 {
        assert_eq!(cluster.seen(node), [NodeState::Idle; 3]);
    }
    assert_eq!(cluster.get(1, &named("x")).as_deref(), Ok(&b"x"[..]));
    // Everybody has heard of it long before the next beacon is due.
    cluster.run_for(Duration::from_millis(10));
    assert_eq!(cluster.seen(1), [NodeState::Ok; 3]);
}

#[test]
fn an_idle_node_is_left_to_sleep_while_others_are_awake() {
    let settings = [("power.sleepAfter", "60")];
    let mut cluster = Cluster::with_settings(3, 4, &settings).and_bucket();
    cluster.run_for(Duration::from_secs(80));
    let first = cluster.put(1, &post(named("first"), b"x")).expect("stored");
    let awake = Cluster::holders(&first);
    assert!(awake.contains(&1), "the node that was asked is awake and the cheapest");
    let sleeper = (1..=3).find(|node| !awake.contains(node)).expect("two of three");
    for round in 0..10 {
        let name = format!("again{round}");
        let reply = cluster.put(awake[0], &post(named(&name), b"x")).expect("stored");
        assert_eq!(Cluster::holders(&reply).iter().max(), awake.iter().max());
        assert_eq!(Cluster::holders(&reply).iter().min(), awake.iter().min());
    }
    assert_eq!(cluster.status(sleeper).state, NodeState::Idle);
}

/// Configuring Power Management Settings: after `power.wakeAfter` without activity all nodes wake for integrity checks.
#[test]
fn a_sleeping_node_wakes_to_be_checked_and_falls_asleep_again() {
    let settings = [("power.sleepAfter", "60"), ("power.wakeAfter", "200")];
    let mut cluster = Cluster::with_settings(2, 5, &settings);
    let mut at = |secs| {
        cluster.run_for(Duration::from_secs(secs));
        cluster.seen(1)
    };
    assert_eq!(at(100), [NodeState::Idle; 2]);
    assert_eq!(at(120), [NodeState::Ok; 2]);
    assert_eq!(at(60), [NodeState::Idle; 2]);
}

#[test]
fn a_node_never_sleeps_that_is_not_allowed_to() {
    let mut cluster = Cluster::with_settings(2, 6, &[("power.sleepAfter", "0")]);
    cluster.run_for(Duration::from_secs(100_000));
    assert_eq!(cluster.seen(1), [NodeState::Ok; 2]);
}

/// Retiring Volumes: no new or updated objects; what is there is read.
#[test]
fn a_retiring_node_takes_nothing_new_and_delivers_what_it_has() {
    let mut cluster = Cluster::with_bucket(3, 7);
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        cluster.put(1, &post(named(name), b"before")).expect("stored");
    }
    let held = cluster.status(3).volumes[0].streams;
    assert!(held > 0, "it holds something");
    assert_eq!(cluster.retire(3, 0), Ok(VolumeState::Retiring));
    cluster.run_for(Duration::from_millis(10));
    assert_eq!(cluster.seen(3), [NodeState::Retiring; 3]);
    for name in names {
        for via in 1..=3 {
            assert_eq!(cluster.get(via, &named(name)).as_deref(), Ok(&b"before"[..]));
        }
        let reply = cluster.put(3, &post(named(name), b"after")).expect("sent on");
        assert!(!Cluster::holders(&reply).contains(&3), "an update goes elsewhere too");
        assert_eq!(cluster.get(3, &named(name)).as_deref(), Ok(&b"after"[..]));
    }
    cluster.run_for(Duration::from_secs(5));
    let left = cluster.status(3).volumes[0].streams;
    assert!(left < held, "what was replaced elsewhere is gone from it: {left} of {held}");
    assert_eq!(cluster.cancel_retire(3, 0), Ok(VolumeState::Ok));
    cluster.run_for(Duration::from_millis(10));
    assert_eq!(cluster.seen(3), [NodeState::Ok; 3]);
}

/// A retiring node is no good first address any more: it says 301, where others say 307.
#[test]
fn a_retiring_node_sends_clients_away_for_good() {
    let mut cluster = Cluster::with_bucket(3, 8);
    let reply = cluster.put(1, &post(named("x"), b"x")).expect("stored");
    let holders = Cluster::holders(&reply);
    let other = (1..=3).find(|node| !holders.contains(node)).expect("two of three");
    let mut redirected = |retire: bool| {
        if retire {
            cluster.put(other, &post(named("y"), b"y")).expect("stored");
            cluster.retire(other, 0).expect("it may");
        }
        let target = target(named("x"));
        let request =
            ReadRequest { target, nonce: None, body: BodyWish::Body, fresh_contexts: false };
        match cluster.on(other, move |node| async move { node.read(request).await }) {
            Ok(Reply::Redirect(redirect)) => redirect.permanent,
            answer => panic!("a redirect was expected: {answer:?}"),
        }
    };
    assert!(!redirected(false));
    assert!(redirected(true));
}

#[test]
fn a_node_whose_only_volume_is_empty_is_retired_at_once_and_serves_nobody() {
    let mut cluster = Cluster::of(3, 9);
    assert_eq!(cluster.retire(3, 0), Ok(VolumeState::Retired));
    cluster.run_for(Duration::from_millis(10));
    assert_eq!(cluster.seen(3), [NodeState::Retired; 3]);
    let mut cluster = cluster.and_bucket();
    for round in 0..10 {
        let reply = cluster.put(1, &post(named(&format!("x{round}")), b"x")).expect("stored");
        assert!(!Cluster::holders(&reply).contains(&3));
    }
    let refused = Refusal::Unavailable { why: "the node is retired" };
    assert_eq!(cluster.get(3, &named("x1")), Err(refused.clone()));
    assert_eq!(cluster.put(3, &post(named("x"), b"x")).map(|_| ()), Err(refused));
    assert_eq!(cluster.cancel_retire(3, 0), Err(RetireError::State(VolumeState::Retired)));
    cluster.run_for(Duration::from_secs(120));
    assert_eq!(cluster.status(3).volumes[0].streams, 0);
    assert_eq!(cluster.seen(3), [NodeState::Retired; 3]);
}

#[test]
fn what_is_retiring_or_retired_is_so_after_a_power_cut_too() {
    let shape = Shape { disks_per_node: 2, ..Shape::of(3, 12) };
    let mut cluster = Cluster::shaped(&shape).and_bucket();
    let empty = cluster.status(3).volumes.iter().position(|volume| volume.streams == 0);
    let empty = empty.expect("two streams cannot fill six volumes");
    assert_eq!(cluster.retire(3, empty), Ok(VolumeState::Retired));
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        cluster.put(1, &post(named(name), b"x")).expect("stored");
    }
    assert_eq!(cluster.retire(3, 1 - empty), Ok(VolumeState::Retiring));
    let before = volumes(&cluster, 3);
    cluster.power_off(3);
    cluster.start(3);
    assert_eq!(volumes(&cluster, 3), before);
    assert_eq!(cluster.seen(3), [NodeState::Retiring; 3]);
}

#[test]
fn a_delete_is_remembered_by_those_that_can() {
    let mut cluster = Cluster::of(3, 10);
    assert_eq!(cluster.retire(2, 0), Ok(VolumeState::Retired));
    let mut cluster = cluster.and_bucket();
    cluster.put(1, &post(named("x"), b"x")).expect("stored");
    cluster.power_off(3);
    cluster.run_for(Duration::from_secs(150));
    // Of the two nodes that are left, the retired one can remember nothing.
    cluster.delete(1, &named("x")).expect("deleted");
    assert_eq!(cluster.get(1, &named("x")), Err(Refusal::NotFound));
}

#[test]
fn a_volume_that_is_emptied_is_retired_at_the_next_look_at_its_disk() {
    let shape = Shape { disks_per_node: 2, ..Shape::of(3, 11) };
    let mut cluster = Cluster::shaped(&shape).and_bucket();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        cluster.put(1, &post(named(name), b"before")).expect("stored");
    }
    let streams = |cluster: &Cluster| {
        cluster.status(3).volumes.iter().map(|volume| volume.streams).collect::<Vec<_>>()
    };
    let fuller = usize::from(streams(&cluster)[1] > streams(&cluster)[0]);
    assert_eq!(cluster.retire(3, fuller), Ok(VolumeState::Retiring));
    assert_eq!(cluster.status(3).state, NodeState::Retiring);
    // Updates empty it: each moves its object to another volume.
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        cluster.put(1, &post(named(name), b"after")).expect("stored");
    }
    cluster.put(1, &post(swarm_node::api::Address::Domain, b"")).expect("updated");
    let bucket = swarm_node::api::Address::Bucket("b".to_owned());
    cluster.put(1, &post(bucket, b"")).expect("updated");
    cluster.run_for(Duration::from_secs(70));
    assert_eq!(streams(&cluster)[fuller], 0);
    assert_eq!(volumes(&cluster, 3)[fuller], VolumeState::Retired);
    assert_eq!(cluster.seen(3), [NodeState::Ok; 3]);
}

/// A partition keeps a change from one side; afterwards everybody has it.
#[test]
fn a_setting_changed_on_both_sides_of_a_partition_is_in_the_end_the_newer_one_everywhere() {
    let mut cluster = Cluster::of(4, 13);
    let (left, right) = ([1, 2], [3, 4]);
    let hosts = |nodes: &[u8]| nodes.iter().map(|node| cluster.host(*node)).collect::<Vec<_>>();
    let cut = cluster.world().cut(vec![hosts(&left), hosts(&right)]).done();
    let change = |cluster: &mut Cluster, node, name: &'static str, value: &'static str| {
        cluster.on(node, move |node| async move { node.change_setting(name, value) })
    };
    assert_eq!(change(&mut cluster, 1, "policy.replicas", "min:1 max:16 default:3"), Ok(()));
    assert_eq!(change(&mut cluster, 2, "recovery.suspended", "True"), Ok(()));
    cluster.run_for(Duration::from_secs(1));
    assert_eq!(change(&mut cluster, 3, "policy.replicas", "min:1 max:16 default:4"), Ok(()));
    let replicas = |cluster: &mut Cluster| {
        [1, 2, 3, 4].map(|node| {
            cluster.on(node, |node| async move {
                let settings = node.settings();
                (settings.replicas.default, settings.recovery.suspended)
            })
        })
    };
    cluster.run_for(Duration::from_secs(1));
    assert_eq!(replicas(&mut cluster), [(3, true), (3, true), (4, false), (4, false)]);
    assert!(cluster.world().heal(cut).done());
    cluster.run_for(Duration::from_secs(25));
    assert_eq!(replicas(&mut cluster), [(4, true); 4]);
}
