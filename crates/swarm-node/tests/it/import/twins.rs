//! Contexts of one name that come into being at the same time, or whose versions are not the same everywhere.

use std::time::Duration;

use futures_util::future::join;
use swarm_feeds::Context;
use swarm_feeds::wire::Route;
use swarm_node::api::{Address, Refusal, WriteReply};
use swarm_node::names;
use swarm_types::{ClusterName, StreamId, Uuid};

use super::{BUCKET, DOMAIN, HOUR, Thing, bring_as, bucket, domain};
use crate::cluster::{Client, Cluster, Lost, Put, named, post, unnamed};

/// What a context is found under, through every node.
fn streams_of(cluster: &mut Cluster, alias: Uuid) -> Vec<Option<StreamId>> {
    let through = |via| {
        let found = cluster.on(via, move |node| async move { node.context_by_alias(alias).await });
        match found {
            Context::Found(found) => Some(found.stream),
            _ => None,
        }
    };
    let mut all: Vec<_> = (1..=4).map(through).collect();
    all.dedup();
    all
}

/// Brings a context as a feed does: where it hears that one is missing, it brings that, and this one again.
/// A node that is handed a batch fetches it itself, and has no nonce of another.
async fn brought_at_last(
    client: &Client,
    via: u8,
    thing: &Thing,
    pulled: bool,
) -> Result<(), Refusal> {
    let mut answer = Err(Refusal::NotFound);
    for _ in 0..5 {
        let bring = |node, nonce: Option<_>| {
            bring_as(pulled, node, nonce.filter(|_| !pulled), thing.clone())
        };
        answer = client.hop(via, bring).await.expect("they lived").map(drop);
        if !matches!(answer, Err(Refusal::MissingContext { .. })) {
            break;
        }
    }
    answer
}

/// Resolving Duplicate Domain and Bucket Names: two domains of one name are both there, and nothing that was acknowledged is lost.
/// Whichever comes a moment later finds the other, on a network where every node hears every other.
#[test]
fn a_context_that_is_created_here_and_one_that_arrives_at_once_are_both_kept() {
    for pulled in [false, true] {
        both_are_kept(pulled);
    }
}

fn both_are_kept(pulled: bool) {
    let (mut adopted, mut aside) = (0, 0);
    for seed in 0..90 {
        let mut cluster = Cluster::of(4, 2000 + seed);
        // The clock of the other cluster is ahead in some worlds and behind in others.
        let ms = if seed % 3 == 0 { HOUR } else { 10 };
        let (is_bucket, theirs) = if seed % 2 == 0 {
            (false, domain(DOMAIN, ms))
        } else {
            assert_eq!(cluster.bring(1, &domain(DOMAIN, 1)), Ok(()));
            (true, bucket(BUCKET, DOMAIN, ms))
        };
        let address = if is_bucket { Address::Bucket("b".to_owned()) } else { Address::Domain };
        let (writer, feed, env) = (cluster.client(), cluster.client(), cluster.env());
        let (thing, put) = (theirs.clone(), post(address.clone(), b""));
        let wait = Duration::from_micros(100 * seed);
        let (written, answer) = cluster.block_on(async move {
            let feed = async {
                env.sleep(wait).await;
                brought_at_last(&feed, u8::from(seed % 4 > 1) + 2, &thing, pulled).await
            };
            join(writer.put(1, &put), feed).await
        });
        let ours = written.expect("they lived").expect("it is created").alias.expect("a context");
        assert!(matches!(answer, Ok(()) | Err(Refusal::Conflict)), "seed {seed}: {answer:?}");
        let theirs_is = theirs.import.identity.uuid.expect("a context");
        let name = theirs.id();
        assert_eq!(streams_of(&mut cluster, ours), [Some(name)], "seed {seed}: ours");
        if ours == theirs_is {
            adopted += 1;
        } else {
            aside += 1;
            let beside = names::collided_stream(theirs_is);
            assert_eq!(streams_of(&mut cluster, theirs_is), [Some(beside)], "seed {seed}: theirs");
        }
        let again = cluster.put(3, &post(address, b"")).expect("it is updated");
        assert_eq!(again.alias, Some(ours), "seed {seed}: everybody means the same");
    }
    assert!(adopted > 0 && aside > 0, "either comes first: {adopted}, {aside}, {pulled}");
}

/// Of two clients that create a domain at once, through different nodes, none gets one that nobody will find.
#[test]
fn two_clients_that_create_a_context_at_once_get_the_same_one() {
    for seed in 0..60 {
        let mut cluster = Cluster::with_settings(4, 2100 + seed, &[("power.sleepAfter", "60")]);
        if seed % 2 == 0 {
            // Some are awake, and bid less than those that sleep.
            cluster.run_for(Duration::from_secs(120));
            cluster.put(2, &unnamed(false, b"awake")).expect("stored");
        }
        let (one, other, env) = (cluster.client(), cluster.client(), cluster.env());
        let wait = Duration::from_micros(100 * seed);
        let (one, other) = cluster.block_on(async move {
            let later = async {
                env.sleep(wait).await;
                other.put(3, &post(Address::Domain, b"")).await
            };
            join(one.put(1, &post(Address::Domain, b"")), later).await
        });
        let alias = |reply: Result<Result<WriteReply, Refusal>, Lost>| {
            reply.expect("they lived").expect("it is created").alias.expect("a context")
        };
        assert_eq!(alias(one), alias(other), "seed {seed}");
    }
}

/// SCSP DELETE: what is in a domain goes with it. A write that began before is one of a new domain then.
#[test]
fn a_context_that_is_deleted_while_it_is_written_does_not_come_back_with_what_was_in_it() {
    for seed in 0..8 {
        let mut cluster = Cluster::with_bucket(4, 2200 + seed);
        cluster.put(1, &post(named("o"), b"old")).expect("stored");
        let old = cluster.put(2, &post(Address::Domain, b"")).expect("updated").alias;
        let (writer, other, env) = (cluster.client(), cluster.client(), cluster.env());
        let slow = Put { pause: Duration::from_secs(5), ..post(Address::Domain, b"slow") };
        let (written, deleted) = cluster.block_on(async move {
            let delete = async {
                env.sleep(Duration::from_secs(1)).await;
                other.delete(3, &Address::Domain).await
            };
            join(writer.put(1, &slow), delete).await
        });
        assert_eq!(deleted, Ok(Ok(())), "seed {seed}");
        let new = written.expect("they lived").expect("it is created").alias;
        assert!(new.is_some() && new != old, "seed {seed}: {old:?}");
        for via in 1..=4 {
            let read = cluster.get(via, &named("o"));
            assert!(read.is_err(), "seed {seed}: {read:?}");
        }
        assert_eq!(streams_of(&mut cluster, old.expect("a context")), [None], "seed {seed}");
    }
}

/// Whoever has an old version of a domain, or a bad one, hands out what the cluster has.
#[test]
fn a_context_is_handed_out_as_the_cluster_has_it() {
    let mut cluster = Cluster::of(3, 13);
    let (old, new) = (domain(DOMAIN, 10), domain(DOMAIN, 20));
    assert_eq!(cluster.bring(1, &old), Ok(()));
    let (id, identity) = (old.id(), old.import.identity.clone());
    let has = |cluster: &Cluster, node: u8| {
        cluster.filed(node).iter().any(|filed| filed.id == id.as_bytes())
    };
    let away = (1..=3).find(|node| has(&cluster, *node)).expect("somebody has it");
    cluster.power_off(away);
    assert_eq!(cluster.bring(away % 3 + 1, &new), Ok(()));
    cluster.start(away);
    for node in [away, 1, 2, 3] {
        let (identity, back) = (
            identity.clone(),
            Route { from: ClusterName::from("main"), to: ClusterName::from("east") },
        );
        let handed = cluster.on(node, move |node| async move {
            let ticket = node.ticket(id);
            node.hand_out(&back, &identity, ticket).await.map(|handed| handed.stamp)
        });
        assert_eq!(handed, Ok(new.import.stamp), "node {node}");
    }
}
