//! Objects that are appended to and deleted at the same time, or by two at a time: what was deleted never comes back.

use std::time::Duration;

use futures_util::future::join;
use swarm_node::api::{Amended, Refusal, WriteKind};

use crate::cluster::{Cluster, Put, named, post};

fn append(body: &'static [u8]) -> Put {
    Put { kind: WriteKind::Amend { headers: Amended::Old }, ..post(named("o"), body) }
}

/// What the races came to.
#[derive(Debug, Default)]
struct Tally {
    deleted: u32,
    appended: u32,
    refused: u32,
    given_way: u32,
}

/// Appends through one node, and deletes some time later through another one that has the object. A member that keeps silent makes
/// each look take so long that what was found may be old when it is acted upon.
fn race(seed: u64, ahead: i64, later: Duration, tally: &mut Tally) {
    let mut cluster = Cluster::with_bucket(4, seed);
    let object = cluster.put(2, &post(named("o"), b"old")).expect("stored");
    let [writer_at, keeper] = Cluster::holders(&object)[..] else { panic!("two have it") };
    let silent = (1..=4).find(|node| ![writer_at, keeper].contains(node)).expect("four nodes");
    cluster.power_off(silent);
    let _fault = cluster.world().skew(cluster.host(writer_at), ahead).done();
    let (writer, other, env) = (cluster.client(), cluster.client(), cluster.env());
    let (appended, deleted) = cluster.block_on(async move {
        let delete = async {
            env.sleep(later).await;
            other.delete(keeper, &named("o")).await
        };
        let write = async {
            env.sleep(Duration::from_millis(1_500)).await;
            writer.put(writer_at, &append(b" and new")).await
        };
        join(write, delete).await
    });
    match appended.expect("they lived") {
        Ok(_) => tally.appended += 1,
        Err(
            Refusal::NotFound
            | Refusal::Conflict
            | Refusal::Unavailable { .. }
            | Refusal::Unknown { .. },
        ) => tally.refused += 1,
        Err(other) => panic!("seed {seed}, {later:?}: {other:?}"),
    }
    cluster.start(silent);
    for node in 1..=4 {
        let counters = cluster.status(node).counters;
        tally.given_way += u32::from(counters.contains_key("deleted while written"));
    }
    if deleted.expect("they lived").is_ok() {
        tally.deleted += 1;
        for via in 1..=4 {
            let read = cluster.get(via, &named("o"));
            assert!(read.is_err(), "seed {seed}, {ahead} ahead, {later:?}: {read:?}");
        }
    }
}

/// SCSP APPEND: the bytes are those of the object as it is. Once it is deleted there is none, whatever looked before.
#[test]
fn an_object_that_is_appended_to_and_deleted_at_once_never_comes_back() {
    // The clock of whoever writes is ahead, or not.
    for ahead in [0, 400_000_000] {
        let mut tally = Tally::default();
        for nth in 0..100 {
            race(4000 + nth, ahead, Duration::from_millis(40 * nth), &mut tally);
        }
        let Tally { deleted, appended, refused, given_way } = tally;
        assert!(deleted >= 90, "hardly a delete is refused: {tally:?}");
        assert!(appended > 0 && refused > 0 && given_way > 0, "either is first: {tally:?}");
    }
}

/// SCSP APPEND: bytes are added to the end of the object. Of what was told to be added, nothing is lost to somebody who added at
/// the same time; and the object is there, whatever came of them.
#[test]
fn appends_at_once_lose_nothing_that_was_acknowledged() {
    let (mut acknowledged, mut rivals) = ([0; 4], 0);
    for nth in 0..300 {
        let mut cluster = Cluster::with_bucket(5, 9000 + nth);
        cluster.put(2, &post(named("o"), b"old")).expect("stored");
        let env = cluster.env();
        let parties = [b"a", b"b", b"c"].into_iter().zip([0, 100 * nth, 70 * nth]).enumerate();
        let appends = parties.map(|(via, (byte, later))| {
            let (client, env) = (cluster.client(), env.clone());
            async move {
                env.sleep(Duration::from_micros(later)).await;
                client.put(u8::try_from(via).unwrap_or(0) + 1, &append(byte)).await
            }
        });
        let told = cluster.block_on(futures_util::future::join_all(appends.collect::<Vec<_>>()));
        let read = cluster.get(4, &named("o")).expect("it is there");
        assert!(read.starts_with(b"old"), "seed {nth}: {read:?}");
        let mut count = 0;
        for (byte, told) in b"abc".iter().zip(told) {
            match told.expect("they lived") {
                Ok(_) => {
                    count += 1;
                    let times = read.iter().filter(|it| *it == byte).count();
                    assert_eq!(times, 1, "seed {nth}: {} in {read:?}", char::from(*byte));
                }
                Err(Refusal::Conflict | Refusal::Unknown { .. } | Refusal::Unavailable { .. }) => {}
                Err(other) => panic!("seed {nth}: {other:?}"),
            }
        }
        acknowledged[count] += 1;
        for node in 1..=5 {
            let counters = cluster.status(node).counters;
            rivals += u32::from(counters.contains_key("rivals of a version"));
        }
    }
    let [_, one, _, all] = acknowledged;
    assert!(one > 0 && all > 0 && rivals > 0, "{acknowledged:?}, {rivals}");
}
