//! Domains that are written and deleted at the same time: what was in a deleted one never comes back.

use std::time::Duration;

use futures_util::future::join;
use swarm_node::api::{Address, DeleteRequest, Refusal};
use swarm_sim::DiskTrouble;

use crate::cluster::{Cluster, Put, named, post, target};

/// What the races of a test came to.
#[derive(Debug, Default)]
struct Tally {
    deleted: u32,
    written: u32,
    refused: u32,
    /// Writes that found out when they were published already.
    given_way: u32,
}

/// Updates a domain on the node where its writes go, and deletes it some time later through another one that has it. A member that
/// keeps silent makes each look take so long that what was found may be old when it is acted upon.
fn race(seed: u64, ahead: i64, later: Duration, tally: &mut Tally) {
    let mut cluster = Cluster::with_bucket(4, seed);
    cluster.put(1, &post(named("o"), b"old")).expect("stored");
    let domain = cluster.put(2, &post(Address::Domain, b"")).expect("updated");
    let [seat, keeper] = Cluster::holders(&domain)[..] else { panic!("two have it") };
    let silent = (1..=4).find(|node| ![seat, keeper].contains(node)).expect("four nodes");
    cluster.power_off(silent);
    let _fault = cluster.world().skew(cluster.host(seat), ahead).done();
    let (writer, other, env) = (cluster.client(), cluster.client(), cluster.env());
    let (written, deleted) = cluster.block_on(async move {
        let delete = async {
            env.sleep(later).await;
            other.delete(keeper, &Address::Domain).await
        };
        let write = async {
            env.sleep(Duration::from_millis(1_500)).await;
            writer.put(seat, &post(Address::Domain, b"new")).await
        };
        join(write, delete).await
    });
    match written.expect("they lived") {
        Ok(_) => tally.written += 1,
        Err(Refusal::Conflict | Refusal::Unknown { .. }) => tally.refused += 1,
        Err(other) => panic!("seed {seed}, {later:?}: {other:?}"),
    }
    let counters = cluster.status(seat).counters;
    tally.given_way += u32::from(counters.contains_key("deleted while written"));
    cluster.start(silent);
    if deleted.expect("they lived").is_ok() {
        tally.deleted += 1;
        for via in 1..=4 {
            let read = cluster.get(via, &named("o"));
            assert!(read.is_err(), "seed {seed}, {ahead} ahead, {later:?}: {read:?}");
        }
    }
}

/// SCSP DELETE: what is in a domain goes with it. Deletes are carried out by any node that has the domain, writes by one.
#[test]
fn a_domain_that_is_written_and_deleted_at_once_never_comes_back_with_what_was_in_it() {
    // The clock of whoever writes is ahead, or not.
    for ahead in [0, 400_000_000] {
        let mut tally = Tally::default();
        for nth in 0..65 {
            race(3000 + nth, ahead, Duration::from_millis(40 * nth), &mut tally);
        }
        let Tally { deleted, written, refused, given_way } = tally;
        assert!(deleted >= 60, "hardly a delete is refused: {tally:?}");
        assert!(written > 0 && refused > 0 && given_way > 0, "either is first: {tally:?}");
    }
}

/// The name may have been another domain's in between, and that is gone too.
#[test]
fn a_slow_write_does_not_bring_back_a_domain_whose_name_was_given_away_and_given_back() {
    for seed in 0..6 {
        let mut cluster = Cluster::with_bucket(4, 3100 + seed);
        cluster.put(1, &post(named("o"), b"old")).expect("stored");
        let old = cluster.put(2, &post(Address::Domain, b"")).expect("updated").alias;
        let (writer, other, env) = (cluster.client(), cluster.client(), cluster.env());
        let slow = Put { pause: Duration::from_secs(9), ..post(Address::Domain, b"slow") };
        let (written, between) = cluster.block_on(async move {
            let given_away = async {
                env.sleep(Duration::from_secs(1)).await;
                let first = other.delete(3, &Address::Domain).await;
                let between = other.put(4, &post(Address::Domain, b"another")).await;
                let second = other.delete(2, &Address::Domain).await;
                assert_eq!((first, second), (Ok(Ok(())), Ok(Ok(()))));
                between
            };
            join(writer.put(1, &slow), given_away).await
        });
        let new = written.expect("they lived").expect("it is created").alias;
        let between = between.expect("they lived").expect("it is created").alias;
        assert!(new.is_some() && new != old && new != between, "seed {seed}: {old:?}, {new:?}");
        for via in 1..=4 {
            let read = cluster.get(via, &named("o"));
            assert!(read.is_err(), "seed {seed}: {read:?}");
        }
    }
}

/// Names share turns: whoever changes nothing does not wait for the disk of somebody else.
#[test]
fn a_delete_that_is_refused_waits_for_no_write() {
    let mut cluster = Cluster::with_bucket(4, 3200);
    let domain = cluster.put(2, &post(Address::Domain, b"")).expect("updated");
    let seat = Cluster::holders(&domain)[0];
    let (writer, other, env) = (cluster.client(), cluster.client(), cluster.env());
    let (world, disk) = (cluster.world().clone(), cluster.disk(seat, 0));
    let slow = Put { pause: Duration::from_secs(1), ..post(Address::Domain, b"slow") };
    let (_, (refused, took)) = cluster.block_on(async move {
        let delete = async {
            env.sleep(Duration::from_millis(500)).await;
            let _ = world.trouble_disk(disk, DiskTrouble::Stalled).await;
            // Now it is being published.
            env.sleep(Duration::from_millis(700)).await;
            let begun = env.now();
            let request = DeleteRequest {
                target: target(Address::Domain),
                nonce: None,
                recursive: false,
                fresh_contexts: false,
            };
            let refused = other.on(seat, |node| async move { node.delete(request).await }).await;
            (refused.expect("it lives").map(drop), env.now().since(begun))
        };
        join(writer.put(seat, &slow), delete).await
    });
    assert_eq!(refused, Err(Refusal::RecursiveRequired));
    assert!(took < Duration::from_millis(500), "{took:?}");
}
