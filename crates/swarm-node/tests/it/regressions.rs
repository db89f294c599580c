//! Faults that were found once, each by the history that showed it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use swarm_node::api::{Refusal, WriteKind};
use swarm_types::VolumeId;

use crate::cluster::{Cluster, Put, Shape, by_uuid, named, post, unnamed};

const ONE_REPLICA: &[(&str, &str)] = &[("policy.replicas", "min:1 max:16 default:1")];

/// Free bytes on this volume of node 1, and on its other one.
fn free(cluster: &Cluster, volume: VolumeId) -> (u64, u64) {
    let volumes = cluster.status(1).volumes;
    let (mine, others): (Vec<_>, Vec<_>) =
        volumes.into_iter().partition(|status| status.id == Some(volume));
    (mine[0].free, others[0].free)
}

/// A volume files nothing of what its neighbours know, so the node has to compare.
#[test]
fn a_write_that_would_lose_to_a_tombstone_on_another_volume_of_the_node_is_a_conflict() {
    let shape =
        Shape { disks_per_node: 2, disk_bytes: 16 << 20, settings: ONE_REPLICA, ..Shape::of(1, 1) };
    let mut cluster = Cluster::shaped(&shape).and_bucket();
    let old = cluster.put(1, &post(named("x"), b"old")).expect("created");
    let filed = old.replicas[0].volume;
    let filler: &'static [u8] = vec![0; 800_000].leak();
    let has_less_room = |cluster: &Cluster| {
        let (here, there) = free(cluster, filed);
        here + 400_000 < there && here < 6_000_000
    };
    for number in 0..40 {
        if has_less_room(&cluster) {
            break;
        }
        cluster.put(1, &post(named(&format!("filler {number}")), filler)).expect("room");
    }
    assert!(has_less_room(&cluster), "the volume with the object is the fuller one");
    // Room for this and its reserve is on the other volume only.
    let length = usize::try_from(free(&cluster, filed).0 / 3 + 50_000).expect("small");
    let slow = Put {
        body: Bytes::from(vec![1; length]),
        pause: Duration::from_millis(500),
        ..post(named("x"), b"")
    };
    let (writer, deleter, host) = (cluster.client(), cluster.client(), cluster.host(1));
    let (env, world) = (cluster.env(), cluster.world().clone());
    let (written, deleted) = cluster.block_on(async move {
        let meanwhile = async move {
            env.sleep(Duration::from_millis(200)).await;
            let deleted = deleter.delete(1, &named("x")).await;
            // The version of the write, taken from now on, is below that of the delete.
            world.skew(host, -10_000_000_000).await;
            deleted
        };
        join(writer.put(1, &slow), meanwhile).await
    });
    assert_eq!(deleted, Ok(Ok(())));
    assert_eq!(written.map(|reply| reply.map(|_| ())), Ok(Err(Refusal::Conflict)));
    assert_eq!(cluster.get(1, &named("x")), Err(Refusal::NotFound));
}

/// Its own beacons lost, a node knew nobody until the others' next ones, waited for nobody, and found nothing.
#[test]
fn a_node_whose_hellos_were_lost_gets_to_know_whoever_asks_it() {
    let mut cluster = Cluster::with_bucket(3, 2);
    let reply = cluster.put(1, &post(named("x"), b"there")).expect("created");
    let away = (1..=3).find(|node| !Cluster::holders(&reply).contains(node)).expect("a third node");
    cluster.power_off(away);
    let fault = cluster.world().break_multicast(vec![cluster.host(away)]).done();
    cluster.start(away);
    assert!(cluster.world().heal(fault).done());
    for node in Cluster::holders(&reply) {
        assert_eq!(cluster.get(node, &named("x")).as_deref(), Ok(&b"there"[..]));
    }
    assert_eq!(cluster.get(away, &named("x")).as_deref(), Ok(&b"there"[..]));
}

/// Stress seed 851: the nodes of the new version had answered before they had it, the others after they had dropped the old
/// one, and a read found neither.
#[test]
fn a_read_that_is_under_way_while_an_object_moves_finds_one_version_or_the_other() {
    let mut moved = 0;
    for seed in 0..60 {
        let mut cluster = Cluster::with_bucket(5, seed);
        let old = Cluster::holders(&cluster.put(1, &post(named("x"), b"old")).expect("created"));
        let reader = (1..=5).find(|node| !old.contains(node)).expect("five nodes");
        assert_eq!(cluster.get(reader, &named("x")).as_deref(), Ok(&b"old"[..]));
        let hosts = |nodes: &[u8]| nodes.iter().map(|node| cluster.host(*node)).collect::<Vec<_>>();
        let cut = cluster.world().cut(vec![hosts(&[reader]), hosts(&old)]).done();
        let (client, writer, world, env) =
            (cluster.client(), cluster.client(), cluster.world().clone(), cluster.env());
        let via = (1..=5).rfind(|node| !old.contains(node)).expect("five nodes");
        let ((read, new), ()) = cluster.block_on(async move {
            let (x, pause) = (named("x"), Duration::from_millis(50));
            let read = client.get(reader, &x);
            let write = async {
                env.sleep(pause).await;
                writer.put(via, &post(named("x"), b"new")).await
            };
            let heal = async {
                env.sleep(pause * 2).await;
                assert!(world.heal(cut).await);
            };
            join(join(read, write), heal).await
        });
        let new = Cluster::holders(&new.expect("they live").expect("stored"));
        moved += u32::from(new.iter().all(|node| *node != reader && !old.contains(node)));
        let body = read.expect("they live").expect("one version or the other");
        assert!(body == b"old"[..] || body == b"new"[..]);
    }
    assert!(moved > 0, "in some world the new version is on two other nodes");
}

/// SCSP WRITE: `putcreate` and its setting are for named objects; a UUID is never used again (SCSP DELETE).
#[test]
fn put_creates_neither_contexts_nor_unnamed_objects() {
    let settings = [("scsp.allowPutCreate", "True")];
    let mut cluster = Cluster::with_settings(3, 3, &settings);
    let once = cluster.put(1, &unnamed(false, b"once")).expect("created");
    cluster.delete(1, &by_uuid(&once)).expect("deleted");
    let again = Put { kind: WriteKind::Replace { or_create: true }, ..post(by_uuid(&once), b"2") };
    assert_eq!(cluster.put(2, &again).map(|_| ()), Err(Refusal::NotFound));
}
