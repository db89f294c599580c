//! Time, dice, tasks and streams on one or two hosts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use swarm_sim::Sim;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn time_jumps_to_what_happens_next() {
    let mut sim = Sim::seeded(1);
    let host = sim.handle().add_host("a", Ipv4Addr::new(10, 0, 0, 1));
    let env = sim.handle().env(host);
    let slept = sim.block_on(host, async move {
        let before = env.now();
        env.sleep(Duration::from_secs(3600)).await;
        env.now() - before
    });
    assert!(slept >= Duration::from_secs(3600) && slept < Duration::from_secs(3601));
}

#[test]
fn a_stream_carries_bytes_both_ways() {
    let mut sim = Sim::seeded(1);
    let world = sim.handle();
    let a = world.add_host("a", Ipv4Addr::new(10, 0, 0, 1));
    let b = world.add_host("b", Ipv4Addr::new(10, 0, 0, 2));
    let (here, there) = (world.env(a), world.env(b));
    let server = there.clone();
    drop(there.spawn("server", async move {
        let listener = server.net().listen(80).await.expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("the request");
        text.reverse();
        stream.write_all(&text).await.expect("the client reads");
    }));
    let answer = sim.block_on(a, async move {
        let to = SocketAddr::from(([10, 0, 0, 2], 80));
        let mut stream = here.net().connect(to).await.expect("it listens");
        stream.write_all(b"hello").await.expect("it reads");
        stream.shutdown().await.expect("half closed");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("the answer");
        text
    });
    assert_eq!(answer, b"olleh");
}
