//! What a client of a small cluster lives through.

use std::time::Duration;

use swarm_node::api::{Address, Refusal, Replicate, WriteKind};

use crate::cluster::{Cluster, Put, by_uuid, named, post, unnamed};

#[test]
fn a_named_object_is_stored_twice_and_read_through_any_node() {
    let mut cluster = Cluster::with_bucket(3, 1);
    let reply = cluster.put(1, &post(named("cat"), b"meow")).expect("created");
    assert_eq!(reply.replicas.len(), 2);
    assert_ne!(reply.replicas[0].node, reply.replicas[1].node);
    for via in 1..=3 {
        assert_eq!(cluster.get(via, &named("cat")).as_deref(), Ok(&b"meow"[..]));
    }
}

#[test]
fn a_body_of_many_blocks_comes_back_as_it_was() {
    let mut cluster = Cluster::with_bucket(3, 2);
    let body: &'static [u8] = (0..700_001_u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>().leak();
    cluster.put(2, &post(named("big"), body)).expect("created");
    assert_eq!(cluster.get(3, &named("big")).as_deref(), Ok(body));
}

#[test]
fn the_newest_version_wins_on_every_node() {
    let mut cluster = Cluster::with_bucket(5, 3);
    for (via, body) in [(1, &b"one"[..]), (3, b"two"), (5, b"three"), (2, b"four")] {
        cluster.put(via, &post(named("x"), body)).expect("stored");
    }
    for via in 1..=5 {
        assert_eq!(cluster.get(via, &named("x")).as_deref(), Ok(&b"four"[..]));
    }
}

#[test]
fn a_deleted_object_is_gone_everywhere_and_may_be_created_again() {
    let mut cluster = Cluster::with_bucket(3, 4);
    cluster.put(1, &post(named("x"), b"old")).expect("created");
    cluster.delete(2, &named("x")).expect("deleted");
    for via in 1..=3 {
        assert_eq!(cluster.get(via, &named("x")), Err(Refusal::NotFound));
    }
    assert_eq!(cluster.delete(3, &named("x")), Err(Refusal::NotFound));
    cluster.put(3, &post(named("x"), b"new")).expect("created again");
    assert_eq!(cluster.get(1, &named("x")).as_deref(), Ok(&b"new"[..]));
}

#[test]
fn a_delete_that_a_node_missed_is_not_undone_by_its_return() {
    let mut cluster = Cluster::with_bucket(3, 5);
    let reply = cluster.put(1, &post(named("x"), b"old")).expect("created");
    let away = Cluster::holders(&reply)[0];
    let here = (1..=3).find(|node| *node != away).expect("three nodes");
    cluster.power_off(away);
    cluster.delete(here, &named("x")).expect("deleted");
    cluster.start(away);
    for via in 1..=3 {
        assert_eq!(cluster.get(via, &named("x")), Err(Refusal::NotFound));
    }
}

#[test]
fn everything_acknowledged_survives_a_power_cut_of_all_nodes() {
    let mut cluster = Cluster::with_bucket(3, 6);
    cluster.put(1, &post(named("kept"), b"kept")).expect("created");
    cluster.put(1, &post(named("gone"), b"gone")).expect("created");
    let plain = cluster.put(2, &unnamed(false, b"plain")).expect("created");
    cluster.delete(2, &named("gone")).expect("deleted");
    for node in 1..=3 {
        cluster.power_off(node);
    }
    for node in 1..=3 {
        cluster.start(node);
    }
    assert_eq!(cluster.get(3, &named("kept")).as_deref(), Ok(&b"kept"[..]));
    assert_eq!(cluster.get(1, &by_uuid(&plain)).as_deref(), Ok(&b"plain"[..]));
    assert_eq!(cluster.get(2, &named("gone")), Err(Refusal::NotFound));
}

#[test]
fn an_immutable_object_has_its_uuid_as_etag_and_cannot_be_updated() {
    let mut cluster = Cluster::of(3, 7);
    let reply = cluster.put(1, &unnamed(false, b"once")).expect("created");
    assert_eq!(reply.uuid.map(|uuid| uuid.etag()), Some(reply.stamp.etag));
    assert_eq!(reply.alias, None);
    let update = post(by_uuid(&reply), b"twice").into_put();
    assert_eq!(cluster.put(2, &update).map(|_| ()), Err(Refusal::Immutable));
    cluster.delete(2, &by_uuid(&reply)).expect("deleted");
    assert_eq!(cluster.get(3, &by_uuid(&reply)), Err(Refusal::NotFound));
}

#[test]
fn an_alias_object_keeps_its_uuid_and_changes_its_etag() {
    let mut cluster = Cluster::of(3, 8);
    let first = cluster.put(1, &unnamed(true, b"one")).expect("created");
    let second = cluster.put(2, &post(by_uuid(&first), b"two").into_put()).expect("updated");
    assert_eq!(second.uuid, first.uuid);
    assert_eq!(second.alias, first.uuid);
    assert_ne!(second.stamp.etag, first.stamp.etag);
    assert!(second.replaced && second.stamp > first.stamp);
    assert_eq!(cluster.get(3, &by_uuid(&first)).as_deref(), Ok(&b"two"[..]));
}

#[test]
fn a_write_below_a_missing_context_is_refused() {
    let mut cluster = Cluster::of(3, 9);
    let refused = cluster.put(1, &post(named("x"), b"")).map(|_| ());
    assert_eq!(refused, Err(Refusal::MissingContext { context: "d".to_owned() }));
    cluster.put(1, &post(Address::Domain, b"")).expect("a domain");
    let refused = cluster.put(1, &post(named("x"), b"")).map(|_| ());
    assert_eq!(refused, Err(Refusal::MissingContext { context: "d/b".to_owned() }));
}

/// What is filed under no domain cannot be given one later.
#[test]
fn an_unnamed_object_waits_for_a_domain_that_nobody_can_be_asked_about() {
    let mut cluster = Cluster::of(4, 31);
    let keepers = Cluster::holders(&cluster.put(1, &post(Address::Domain, b"")).expect("a domain"));
    let other = (1..=4).find(|node| !keepers.contains(node)).expect("four nodes, two replicas");
    keepers.iter().for_each(|keeper| cluster.power_off(*keeper));
    // Longer than domains are remembered that were looked up.
    cluster.run_for(Duration::from_secs(700));
    let refused = cluster.put(other, &unnamed(false, b"x")).map(|_| ());
    assert!(matches!(refused, Err(Refusal::Unavailable { .. })), "{refused:?}");
    keepers.iter().for_each(|keeper| cluster.start(*keeper));
    cluster.put(other, &unnamed(false, b"x")).expect("the domain is known again");
}

#[test]
fn create_only_and_put_look_at_what_is_there() {
    let mut cluster = Cluster::with_bucket(3, 10);
    let create_only =
        Put { kind: WriteKind::Create { only_if_absent: true }, ..post(named("x"), b"1") };
    let put = post(named("x"), b"2").into_put();
    assert_eq!(cluster.put(1, &put).map(|_| ()), Err(Refusal::NotFound));
    let created = cluster.put(1, &create_only).expect("created");
    let refused = cluster.put(2, &create_only).map(|_| ());
    assert_eq!(refused, Err(Refusal::Exists { etag: created.stamp.etag }));
    cluster.put(3, &put).expect("replaced");
    assert_eq!(cluster.get(1, &named("x")).as_deref(), Ok(&b"2"[..]));
}

#[test]
fn a_lifepoint_forbids_deletes_or_ends_the_object() {
    let mut cluster = Cluster::with_bucket(3, 11);
    let kept = post(named("kept"), b"k").header("Lifepoint", "[] reps=2, deletable=no");
    cluster.put(1, &kept).expect("created");
    assert_eq!(cluster.delete(2, &named("kept")), Err(Refusal::NotDeletable));
    assert_eq!(cluster.get(3, &named("kept")).as_deref(), Ok(&b"k"[..]));
    // The world begins on 1 January 2026 at midnight.
    let brief = post(named("brief"), b"b")
        .header("Lifepoint", "[Thu, 01 Jan 2026 00:10:00 GMT] reps=2")
        .header("Lifepoint", "[] delete");
    cluster.put(1, &brief).expect("created");
    assert_eq!(cluster.get(3, &named("brief")).as_deref(), Ok(&b"b"[..]));
    cluster.run_for(Duration::from_secs(600));
    assert_eq!(cluster.get(3, &named("brief")), Err(Refusal::NotFound));
    assert_eq!(cluster.delete(1, &named("brief")), Err(Refusal::NotFound));
}

#[test]
fn one_node_alone_refuses_two_replicas_and_takes_one() {
    let mut cluster =
        Cluster::with_settings(1, 12, &[("policy.replicas", "min:1 max:16 default:2")]);
    let refused = cluster.put(1, &unnamed(false, b"x")).map(|_| ());
    assert_eq!(refused, Err(Refusal::TooFewNodes { found: 1, wanted: 2 }));
    let single = Put { replicate: Some(Replicate::Exactly(1)), ..unnamed(false, b"x") };
    assert_eq!(cluster.put(1, &single).expect("created").replicas.len(), 1);
}

#[test]
fn multicast_may_be_broken_where_unicast_works() {
    let mut cluster = Cluster::with_bucket(3, 13);
    let hosts = (1..=3).map(|node| cluster.host(node)).collect();
    let fault = cluster.world().break_multicast(hosts).done();
    cluster.put(1, &post(named("x"), b"unicast")).expect("created");
    assert_eq!(cluster.get(2, &named("x")).as_deref(), Ok(&b"unicast"[..]));
    assert!(cluster.world().effects(fault) > 0);
}

#[test]
fn a_graceful_stop_is_shown_as_maintenance_and_a_power_cut_as_offline() {
    // The two beacons of a stop overtake each other in about every second of these worlds.
    for seed in 0..12 {
        let mut cluster = Cluster::of(3, seed);
        cluster.stop(2);
        cluster.power_off(3);
        cluster.run_for(Duration::from_secs(150));
        let members: Vec<_> =
            cluster.status(1).members.iter().map(|(_, state)| state.word()).collect();
        assert_eq!(members, vec!["maintenance", "offline"]);
        cluster.start(2);
        cluster.start(3);
        let members: Vec<_> =
            cluster.status(1).members.iter().map(|(_, state)| state.word()).collect();
        assert_eq!(members, vec!["ok", "ok"]);
    }
}

#[test]
fn a_damaged_replica_is_served_from_elsewhere() {
    let mut cluster = Cluster::with_bucket(3, 15);
    let reply = cluster.put(1, &post(named("x"), b"precious")).expect("created");
    let bad = Cluster::holders(&reply)[0];
    let other = Cluster::holders(&reply)[1];
    cluster.rot_all(bad);
    for via in [bad, other, bad] {
        assert_eq!(cluster.get(via, &named("x")).as_deref(), Ok(&b"precious"[..]));
    }
}

#[test]
fn an_update_through_a_node_with_a_slow_clock_wins() {
    let mut cluster = Cluster::with_bucket(3, 16);
    let (fast, slow) = (cluster.host(1), cluster.host(2));
    let _ = cluster.world().skew(fast, 60_000_000_000).done();
    let _ = cluster.world().skew(slow, -60_000_000_000).done();
    for (via, body) in [(1, &b"one"[..]), (2, b"two"), (3, b"three"), (2, b"four")] {
        cluster.put(via, &post(named("x"), body)).expect("stored");
    }
    assert_eq!(cluster.get(1, &named("x")).as_deref(), Ok(&b"four"[..]));
    cluster.delete(2, &named("x")).expect("deleted");
    assert_eq!(cluster.get(1, &named("x")), Err(Refusal::NotFound));
}

#[test]
fn both_sides_of_a_partition_go_on_and_the_newest_version_wins_afterwards() {
    let mut cluster = Cluster::with_bucket(5, 17);
    for name in ["left", "right", "both", "gone"] {
        cluster.put(1, &post(named(name), b"before")).expect("created");
    }
    // Every node knows the domain and the bucket, wherever these are.
    for via in 1..=5 {
        assert_eq!(cluster.get(via, &named("both")).as_deref(), Ok(&b"before"[..]));
    }
    let (left, right) = ([1, 2], [3, 4, 5]);
    let hosts = |nodes: &[u8]| nodes.iter().map(|node| cluster.host(*node)).collect::<Vec<_>>();
    let cut = cluster.world().cut(vec![hosts(&left), hosts(&right)]).done();
    cluster.put(1, &post(named("left"), b"from the left")).expect("two nodes are enough");
    cluster.put(3, &post(named("right"), b"from the right")).expect("three nodes are enough");
    cluster.put(2, &post(named("both"), b"older")).expect("stored");
    cluster.put(4, &post(named("both"), b"newer")).expect("stored");
    // A side that holds no replica does not know the object.
    let deleted: Vec<bool> = [1, 3].map(|via| cluster.delete(via, &named("gone")).is_ok()).to_vec();
    assert!(deleted.contains(&true));
    assert!(cluster.world().heal(cut).done());
    cluster.run_for(Duration::from_secs(12));
    for via in 1..=5 {
        assert_eq!(cluster.get(via, &named("left")).as_deref(), Ok(&b"from the left"[..]));
        assert_eq!(cluster.get(via, &named("right")).as_deref(), Ok(&b"from the right"[..]));
        assert_eq!(cluster.get(via, &named("both")).as_deref(), Ok(&b"newer"[..]));
        assert_eq!(cluster.get(via, &named("gone")), Err(Refusal::NotFound));
    }
}
