//! Contexts of one name that come into being at the same time.

use std::time::Duration;

use futures_util::future::join;
use swarm_feeds::Context;
use swarm_node::api::{Address, Refusal, WriteReply};
use swarm_node::names;
use swarm_types::{StreamId, Uuid};

use super::{BUCKET, DOMAIN, HOUR, Thing, brought, bucket, domain};
use crate::cluster::{Client, Cluster, Lost, post};

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
async fn brought_at_last(client: &Client, via: u8, thing: &Thing) -> Result<(), Refusal> {
    let mut answer = Err(Refusal::NotFound);
    for _ in 0..5 {
        answer = brought(client, via, thing).await.expect("they lived");
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
                brought_at_last(&feed, 2, &thing).await
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
    assert!(adopted > 0 && aside > 0, "either comes first: {adopted}, {aside}");
}

/// Of two clients that create a domain at once, through different nodes, none gets one that nobody will find.
#[test]
fn two_clients_that_create_a_context_at_once_get_the_same_one() {
    for seed in 0..30 {
        let mut cluster = Cluster::of(4, 2100 + seed);
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
