//! What comes from the network and was never sent by a node of ours: it is refused or ignored, and nobody panics.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use swarm_env::{Env, Stream, UdpOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cluster::{Cluster, named, post};

const WIRE_VERSION: u8 = 4;
const NODE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

/// What every message begins with: version and cluster.
fn head() -> Vec<u8> {
    let mut bytes = vec![WIRE_VERSION];
    bytes.extend_from_slice(&blake3::hash(b"main").as_bytes()[..4]);
    bytes
}

/// A datagram of the cluster `main`, whatever it says.
fn datagram(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = head();
    bytes.extend(postcard::to_stdvec(message).expect("a small message"));
    bytes
}

/// A frame of a replica stream, whatever it says.
fn frame(content: &impl Serialize) -> Vec<u8> {
    let content = postcard::to_stdvec(content).expect("a small frame");
    let mut bytes = head();
    bytes.extend(u32::try_from(content.len()).expect("small").to_be_bytes());
    bytes.extend(content);
    bytes
}

fn stage(length: u64) -> Vec<u8> {
    frame(&(0_u8, [7_u8; 16], length))
}

fn data(bytes: &[u8]) -> Vec<u8> {
    frame(&(2_u8, bytes))
}

/// A publish of a named object that claims this length.
fn publish(length: u64) -> Vec<u8> {
    let stamp = (u64::MAX, [1_u8; 16]);
    let (none, no_text) = (None::<[u8; 16]>, None::<String>);
    let headers = Vec::<(String, Vec<u8>)>::new();
    let meta = (2_u8, none, none, no_text.clone(), "main", no_text, headers, length, [0_u8; 16]);
    let (hints, slots, first) = (Vec::<[u8; 16]>::new(), Vec::<u8>::new(), false);
    let follows = None::<(u64, [u8; 16])>;
    frame(&(3_u8, stamp, meta, hints, slots, first, follows))
}

/// Sends frames to node 1 and returns the kinds of frames that come back before it closes.
async fn converse(env: Env, frames: Vec<Vec<u8>>) -> Vec<u8> {
    let address = SocketAddr::new(IpAddr::V4(NODE), 6000);
    let mut stream: Stream = env.net().connect(address).await.expect("a listening node");
    let mut answers = Vec::new();
    for frame in frames {
        if stream.write_all(&frame).await.is_err() {
            break;
        }
    }
    let mut head = [0; 9];
    while let Ok(Ok(_)) = env.timeout(Duration::from_secs(30), stream.read_exact(&mut head)).await {
        let length = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut body = vec![0; usize::try_from(length).expect("small")];
        stream.read_exact(&mut body).await.expect("a whole frame");
        answers.push(body[0]);
    }
    answers
}

fn stranger(cluster: &Cluster, last: u8) -> Env {
    let host =
        cluster.world().add_host(&format!("stranger/{last}"), Ipv4Addr::new(10, 250, 1, last));
    cluster.world().env(host)
}

#[test]
fn beacons_that_claim_all_the_space_there_can_be_do_not_overflow_the_sums() {
    let mut cluster = Cluster::of(2, 1);
    for last in 1..=2 {
        let env = stranger(&cluster, last);
        cluster.block_on(async move {
            let options = UdpOptions { port: 7000, group: None };
            let socket = env.net().udp(options).await.expect("a free port");
            let none = None::<Vec<u8>>;
            let feeds = (0_u64, 0_u32);
            let counts = (0_u64, feeds, 1_u32);
            let beacon = (0_u8, false, 1_u64, 1_u64, 2_u8, u64::MAX, u64::MAX, counts, none);
            let to = SocketAddr::new(IpAddr::V4(NODE), 7000);
            socket.send(to, datagram(&beacon).into()).expect("sent");
        });
    }
    cluster.run_for(Duration::from_secs(1));
    let status = cluster.status(1);
    assert_eq!(status.members.len(), 3);
    assert_eq!((status.cluster_capacity, status.cluster_free), (u64::MAX, u64::MAX));
}

#[test]
fn replicas_of_impossible_sizes_are_refused() {
    let mut cluster = Cluster::of(2, 2);
    for length in [u64::MAX, u64::MAX / 2, 1 << 40] {
        let env = stranger(&cluster, u8::try_from(length.count_ones()).expect("small"));
        let answers = cluster.block_on(converse(env, vec![stage(length)]));
        assert_eq!(answers, vec![6], "Refused");
    }
}

#[test]
fn a_replica_of_another_length_than_its_metadata_claims_is_not_stored() {
    let mut cluster = Cluster::of(2, 3);
    for (last, claimed) in [(1, 4), (2, u64::MAX)] {
        let env = stranger(&cluster, last);
        let frames = vec![stage(5), data(b"hello"), publish(claimed)];
        assert_eq!(cluster.block_on(converse(env, frames)), vec![1], "Staged, then the end");
    }
    assert_eq!(cluster.status(1).volumes[0].streams, 0);
    let env = stranger(&cluster, 3);
    let frames = vec![stage(5), data(b"hello"), publish(5)];
    assert_eq!(cluster.block_on(converse(env, frames)), vec![1, 4], "Staged, Published");
    assert_eq!(cluster.status(1).volumes[0].streams, 1);
}

#[test]
fn a_node_that_was_sent_nonsense_goes_on() {
    let mut cluster = Cluster::with_bucket(3, 4);
    let env = stranger(&cluster, 1);
    cluster.block_on(async move {
        let options = UdpOptions { port: 7000, group: None };
        let socket = env.net().udp(options).await.expect("a free port");
        let to = SocketAddr::new(IpAddr::V4(NODE), 7000);
        for length in 0..300_usize {
            let noise: Vec<u8> =
                (0..length).map(|_| env.random_u64("noise").to_le_bytes()[0]).collect();
            let mut message = datagram(&());
            message.extend_from_slice(&noise);
            socket.send(to, noise.into()).expect("sent");
            socket.send(to, message.into()).expect("sent");
        }
    });
    let env = stranger(&cluster, 2);
    let noise = vec![vec![WIRE_VERSION, 0, 0, 0, 3, 9, 9, 9]];
    assert_eq!(cluster.block_on(converse(env, noise)), Vec::<u8>::new());
    cluster.put(1, &post(named("x"), b"still there")).expect("created");
    assert_eq!(cluster.get(1, &named("x")).as_deref(), Ok(&b"still there"[..]));
}
