//! Ways that get worse at run time, and connections of which a message is lost.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Env, UdpOptions};
use swarm_sim::{
    Begins, HostId, Latency, LinkChange, SimHandle, Speaker, StreamEnding, StreamTrap,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{ECHO_PORT, echo, echo_at, hosts, ip, ping};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a story on the first of three hosts; the others echo.
fn story<F, Fut>(seed: u64, story: F)
where
    F: FnOnce(Env, SimHandle, Vec<HostId>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (mut sim, world, ids) = hosts(seed, 3);
    for other in &ids[1..] {
        drop(world.spawn_on(*other, "echo", echo(world.env(*other))));
    }
    // The others listen by then.
    sim.run_for(millis(1)).expect("nothing is wrong");
    sim.block_on(ids[0], story(world.env(ids[0]), world.clone(), ids.clone()));
}

/// The ways between one host and another, there and back.
fn between(a: HostId, b: HostId) -> Vec<(Vec<HostId>, Vec<HostId>)> {
    vec![(vec![a], vec![b]), (vec![b], vec![a])]
}

/// How long a word takes to the echo of host `n` and back, on a new connection.
async fn there_and_back(env: &Env, n: u8) -> Duration {
    let mut stream = env.net().connect(echo_at(n)).await.expect("it listens");
    let before = env.now();
    ping(&mut stream).await.expect("it answers");
    env.now() - before
}

#[test]
fn a_lossy_way_delays_a_stream_and_does_not_break_it() {
    story(1, |env, controls, ids| async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        let change = LinkChange { loss_ppm: Some(200_000), ..LinkChange::default() };
        let fault = controls.degrade(between(ids[0], ids[1]), change).await;
        let elsewhere = controls.degrade(between(ids[1], ids[2]), change).await;
        let mut late = 0;
        for _ in 0..200 {
            let before = env.now();
            ping(&mut stream).await.expect("the stream holds");
            late += u64::from(env.now() - before >= millis(200));
        }
        assert!((40..120).contains(&late), "a third of the words is hit: {late}");
        let effects = controls.effects(fault);
        assert!(effects >= late && effects < late + 30, "{effects} of {late}");
        assert!(controls.heal(fault).await && !controls.heal(fault).await);
        for _ in 0..50 {
            ping(&mut stream).await.expect("the stream holds");
        }
        assert_eq!(controls.effects(fault), effects, "healed");
        assert_eq!(controls.effects(elsewhere), 0, "nobody went there");
    });
}

#[test]
fn a_way_gets_slow_in_one_direction_and_only_for_its_pair() {
    story(2, |env, controls, ids| async move {
        let latency = Some(Latency::even(millis(100), millis(100)));
        let change = LinkChange { latency, ..LinkChange::default() };
        let fault = controls.degrade(vec![(vec![ids[1]], vec![ids[0]])], change).await;
        assert!(there_and_back(&env, 3).await < millis(3));
        assert_eq!(controls.effects(fault), 0, "another pair");
        let took = there_and_back(&env, 2).await;
        assert!(took > millis(100) && took < millis(102), "{took:?}");
        assert_eq!(
            controls.effects(fault),
            2,
            "the answer to the dial, and the word that came back"
        );
        assert!(controls.heal(fault).await);
        assert!(there_and_back(&env, 2).await < millis(3));
    });
}

#[test]
fn a_narrow_way_takes_as_long_as_its_bytes_do() {
    story(3, |env, controls, ids| async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        let change = LinkChange { bandwidth_bits: Some(8_000_000), ..LinkChange::default() };
        let fault = controls.degrade(vec![(vec![ids[0]], vec![ids[1]])], change).await;
        let before = env.now();
        stream.write_all(&vec![1; 500_000]).await.expect("it fits the window");
        let mut back = vec![0; 500_000];
        stream.read_exact(&mut back).await.expect("it comes back");
        let took = env.now() - before;
        assert!(took > millis(500) && took < millis(520), "a megabyte a second: {took:?}");
        assert!(controls.effects(fault) >= 8, "pieces of 64 KiB");
    });
}

#[test]
fn a_change_for_the_better_is_no_effect() {
    story(4, |env, controls, ids| async move {
        let latency = Some(Latency::even(Duration::ZERO, Duration::ZERO));
        let bandwidth_bits = Some(100_000_000_000);
        let change = LinkChange { latency, bandwidth_bits, ..LinkChange::default() };
        let fault = controls.degrade(between(ids[0], ids[1]), change).await;
        assert!(there_and_back(&env, 2).await < millis(1));
        assert_eq!(controls.effects(fault), 0);
    });
}

#[test]
fn datagrams_are_lost_doubled_and_overtaken_where_the_way_is_bad() {
    story(5, |env, controls, ids| async move {
        let there = controls.env(ids[1]);
        let sink = there.net().udp(UdpOptions { port: 9, group: None }).await.expect("free");
        let socket = env.net().udp(UdpOptions { port: 9, group: None }).await.expect("free");
        let round = async |change: LinkChange| {
            let fault = controls.degrade(between(ids[0], ids[1]), change).await;
            for word in 0..100_u8 {
                socket.send((ip(2), 9).into(), Bytes::from(vec![word])).expect("small");
                env.sleep(millis(1)).await;
            }
            env.sleep(seconds(1)).await;
            let mut heard = Vec::new();
            while let Ok(Ok(datagram)) = env.timeout(Duration::ZERO, sink.recv()).await {
                heard.push(datagram.payload[0]);
            }
            assert!(controls.heal(fault).await);
            (heard, controls.effects(fault))
        };
        let share = Some(300_000);
        let (heard, effects) = round(LinkChange { loss_ppm: share, ..LinkChange::default() }).await;
        assert_eq!(effects, 100 - heard.len() as u64);
        assert!((10..60).contains(&effects), "{effects}");
        let doubled = LinkChange { duplicate_ppm: share, ..LinkChange::default() };
        let (heard, effects) = round(doubled).await;
        assert_eq!(effects, heard.len() as u64 - 100);
        assert!((10..60).contains(&effects), "{effects}");
        let (heard, effects) =
            round(LinkChange { reorder_ppm: share, ..LinkChange::default() }).await;
        assert!(!heard.is_sorted() && heard.len() == 100);
        assert!((10..60).contains(&effects), "{effects}");
        let (heard, effects) = round(LinkChange::default()).await;
        assert!(heard.is_sorted() && heard.len() == 100 && effects == 0);
    });
}

#[test]
fn a_one_way_cut_stalls_a_stream_until_it_is_healed() {
    story(6, |env, controls, ids| async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        ping(&mut stream).await.expect("it answers");
        let cut = controls.cut_one_way(vec![vec![ids[1]], vec![ids[0]]]).await;
        assert_eq!(controls.effects(cut), 0);
        assert!(env.timeout(seconds(5), ping(&mut stream)).await.is_err(), "the answer is lost");
        assert!(controls.effects(cut) >= 1);
        assert!(there_and_back(&env, 3).await < millis(3), "others are not concerned");
        assert!(controls.heal(cut).await);
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.expect("it is sent again");
        let effects = controls.effects(cut);
        ping(&mut stream).await.expect("as before");
        assert_eq!(controls.effects(cut), effects);
    });
}

#[test]
fn a_forgotten_connection_is_half_open_until_its_ends_give_up() {
    story(7, |env, controls, ids| async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        let mut other = env.net().connect(echo_at(3)).await.expect("it listens");
        ping(&mut stream).await.expect("it answers");
        let fault = controls.forget_connections(vec![vec![ids[0]], vec![ids[1]]]).await;
        assert_eq!(controls.effects(fault), 0, "nothing was under way");
        let before = env.now();
        stream.write_all(b"word").await.expect("this end believes in it");
        assert_eq!(controls.effects(fault), 1, "it arrives nowhere");
        let error = stream.read_u8().await.expect_err("nothing comes back");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(env.now() - before, seconds(60));
        assert_eq!(controls.effects(fault), 2);
        ping(&mut other).await.expect("another pair");
        assert!(there_and_back(&env, 2).await < millis(3), "a new connection works");
        assert_eq!(controls.effects(fault), 2);
    });
}

/// A trap for what the first host says to the second.
fn trap(ids: &[HostId], begins: Begins, at_byte: u64, ending: StreamEnding) -> StreamTrap {
    StreamTrap {
        from: vec![ids[0]],
        to: vec![ids[1]],
        speaker: Speaker::Opener,
        port: Some(ECHO_PORT),
        begins,
        at_byte,
        ending,
    }
}

#[test]
fn a_message_is_cut_short_at_its_byte() {
    story(8, |env, controls, ids| async move {
        let begins = Begins::Write(Arc::new(|bytes| bytes.starts_with(b"second")));
        let trap = trap(&ids, begins, 3, StreamEnding::Reset);
        let fault = controls.set_trap(trap).await;
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        stream.write_all(b"first ").await.expect("open");
        stream.write_all(b"second ").await.expect("nobody knows yet");
        let mut back = [0; 9];
        stream.read_exact(&mut back).await.expect("what came before the byte arrives");
        assert_eq!(&back, b"first sec");
        let error = stream.read_u8().await.expect_err("then the connection is over");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(controls.effects(fault), 1);
        let mut next = env.net().connect(echo_at(2)).await.expect("it listens");
        next.write_all(b"second ").await.expect("open");
        next.read_exact(&mut back[..7]).await.expect("a trap springs once");
        assert!(!controls.heal(fault).await, "it has sprung");
    });
}

#[test]
fn a_message_is_cut_short_and_nobody_is_told() {
    story(9, |env, controls, ids| async move {
        let elsewhere =
            StreamTrap { port: Some(1), ..trap(&ids, Begins::Connection, 0, StreamEnding::Reset) };
        let elsewhere = controls.set_trap(elsewhere).await;
        let fault =
            controls.set_trap(trap(&ids, Begins::Connection, 10, StreamEnding::Silence)).await;
        let mut other = env.net().connect(echo_at(3)).await.expect("it listens");
        ping(&mut other).await.expect("not its receiver");
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        ping(&mut stream).await.expect("four bytes");
        ping(&mut stream).await.expect("four more");
        assert_eq!(controls.effects(fault), 0);
        let before = env.now();
        stream.write_all(b"ping").await.expect("this end believes in it");
        let mut half = [0; 2];
        let error = stream.read_exact(&mut half).await.expect_err("the echo of it is lost too");
        assert_eq!((error.kind(), env.now() - before), (ErrorKind::TimedOut, seconds(60)));
        assert_eq!((controls.effects(fault), controls.effects(elsewhere)), (1, 0));
        assert!(controls.heal(elsewhere).await, "a trap that waits is taken away");
    });
}

#[test]
fn a_reply_is_lost_after_its_request_was_taken() {
    for ending in [StreamEnding::Reset, StreamEnding::Silence] {
        story(10, |env, controls, ids| async move {
            let reply = StreamTrap {
                from: vec![ids[1]],
                to: Vec::new(),
                speaker: Speaker::Accepter,
                port: None,
                begins: Begins::Write(Arc::new(|bytes| bytes == b"ping")),
                at_byte: 0,
                ending,
            };
            let fault = controls.set_trap(reply).await;
            let to = SocketAddr::from((ip(2), 99));
            let listener = controls.env(ids[1]).net().listen(99).await.expect("free");
            let server = controls.spawn_on(ids[1], "server", async move {
                let (mut stream, _) = listener.accept().await.expect("it lives");
                let taken = ping_back(&mut stream).await;
                (taken, stream.read_u8().await.expect_err("it is over").kind())
            });
            let mut stream = env.net().connect(to).await.expect("it listens");
            stream.write_all(b"ping").await.expect("open");
            let wanted = match ending {
                StreamEnding::Reset => ErrorKind::ConnectionReset,
                StreamEnding::Silence => ErrorKind::TimedOut,
            };
            assert_eq!(stream.read_u8().await.expect_err("it is lost").kind(), wanted);
            assert_eq!(server.await, Some((true, wanted)), "it took the request and answered");
            assert_eq!(controls.effects(fault), 1);
        });
    }
}

/// Takes a word and answers with the same.
async fn ping_back(stream: &mut swarm_env::Stream) -> bool {
    let mut word = [0; 4];
    stream.read_exact(&mut word).await.is_ok() && stream.write_all(&word).await.is_ok()
}
