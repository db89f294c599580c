//! Networks: refused or silent, cut and healed, lost and doubled.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Env, Reach, UdpOptions};
use swarm_sim::{Latency, LinkModel, Sim, SimOptions};
use swarm_types::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{ECHO_PORT, echo, echo_at, hosts, ip, ping};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn group() -> Option<std::net::SocketAddrV4> {
    Some("224.0.0.9:9".parse().expect("an address"))
}

#[test]
fn a_closed_port_refuses_and_silence_times_out() {
    let (mut sim, world, ids) = hosts(1, 3);
    let (env, controls) = (world.env(ids[0]), world.clone());
    sim.block_on(ids[0], async move {
        let dial = async |to| {
            let before = env.now();
            let error = env.net().connect(to).await.map(drop).expect_err("nobody listens");
            (error.kind(), env.now() - before)
        };
        let (kind, took) = dial(echo_at(2)).await;
        assert_eq!(kind, ErrorKind::ConnectionRefused);
        assert!(took < Duration::from_millis(10), "{took:?}");

        controls.kill(ids[1]).await;
        assert_eq!(dial(echo_at(2)).await.0, ErrorKind::ConnectionRefused, "the machine answers");

        controls.power_off(ids[2]).await;
        let (kind, took) = dial(echo_at(3)).await;
        assert_eq!(kind, ErrorKind::TimedOut);
        assert!(took >= seconds(20) && took < seconds(21), "{took:?}");
        assert_eq!(
            dial(SocketAddr::from((ip(77), 1))).await.0,
            ErrorKind::TimedOut,
            "no such host"
        );
    });
}

#[test]
fn a_cut_stream_stalls_and_goes_on_after_healing() {
    let (mut sim, world, ids) = hosts(1, 2);
    drop(world.env(ids[1]).spawn("echo", echo(world.env(ids[1]))));
    let (env, controls) = (world.env(ids[0]), world.clone());
    sim.block_on(ids[0], async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        ping(&mut stream).await.expect("it answers");
        let cut = controls.cut(vec![vec![ids[0]], vec![ids[1]]]).await;
        let stalled = env.timeout(seconds(10), ping(&mut stream)).await;
        assert!(stalled.is_err(), "nothing comes through");
        assert!(controls.effects(cut) >= 1, "the cut bit");
        assert!(controls.heal(cut).await);
        // The word that was under way arrives, and its echo.
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.expect("the stream lives");
        ping(&mut stream).await.expect("and goes on");
        assert!(!controls.heal(cut).await, "healed already");
    });
}

#[test]
fn a_stream_that_is_cut_for_too_long_times_out_at_both_ends() {
    let (mut sim, world, ids) = hosts(1, 2);
    let there = world.env(ids[1]);
    let server = world.spawn_on(ids[1], "server", async move {
        let listener = there.net().listen(ECHO_PORT).await.expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.read_u8().await.expect_err("nothing ever comes").kind()
    });
    let (env, controls) = (world.env(ids[0]), world.clone());
    sim.block_on(ids[0], async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        env.sleep(seconds(1)).await;
        controls.cut(vec![vec![ids[0]], vec![ids[1]]]).await;
        stream.write_all(b"x").await.expect("the window has room");
        let error = stream.read_u8().await.expect_err("silence");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(server.await, Some(ErrorKind::TimedOut));
    });
}

#[test]
fn a_killed_peer_resets_and_a_dark_one_is_silent() {
    for power_off in [false, true] {
        let (mut sim, world, ids) = hosts(1, 2);
        drop(world.env(ids[1]).spawn("echo", echo(world.env(ids[1]))));
        let (env, controls) = (world.env(ids[0]), world.clone());
        sim.block_on(ids[0], async move {
            let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
            ping(&mut stream).await.expect("it answers");
            let before = env.now();
            let fault = if power_off {
                controls.power_off(ids[1]).await
            } else {
                controls.kill(ids[1]).await
            };
            let kind = stream.read_u8().await.expect_err("the peer is gone").kind();
            let took = env.now() - before;
            if power_off {
                assert_eq!(kind, ErrorKind::TimedOut);
                assert!(took >= seconds(60), "{took:?}");
            } else {
                assert_eq!(kind, ErrorKind::ConnectionReset);
                assert!(took < Duration::from_millis(10), "{took:?}");
            }
            assert!(controls.effects(fault.expect("it ran")) >= 1);
        });
    }
}

#[test]
fn a_machine_that_is_back_knows_nothing_of_its_old_streams() {
    let (mut sim, world, ids) = hosts(1, 2);
    drop(world.env(ids[1]).spawn("echo", echo(world.env(ids[1]))));
    let (env, controls) = (world.env(ids[0]), world.clone());
    sim.block_on(ids[0], async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        ping(&mut stream).await.expect("it answers");
        controls.power_off(ids[1]).await;
        env.sleep(seconds(5)).await;
        assert!(controls.start(ids[1]).await);
        let before = env.now();
        let error = ping(&mut stream).await.expect_err("an old stream");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(env.now() - before < seconds(1));
    });
}

#[test]
fn a_writer_waits_for_a_reader_that_does_not_read() {
    let (mut sim, world, ids) = hosts(1, 2);
    let there = world.env(ids[1]);
    let server = world.spawn_on(ids[1], "server", async move {
        let listener = there.net().listen(ECHO_PORT).await.expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("a client");
        there.sleep(seconds(10)).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("all of it");
        bytes
    });
    let env = world.env(ids[0]);
    sim.block_on(ids[0], async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let before = env.now();
        stream.write_all(&sent).await.expect("it reads in the end");
        assert!(env.now() - before > seconds(9), "three megabytes do not fit the window");
        drop(stream);
        assert!(server.await == Some(sent), "all of it, in order");
    });
}

#[test]
fn bytes_to_a_stream_that_was_dropped_end_in_a_broken_pipe() {
    let (mut sim, world, ids) = hosts(1, 2);
    let there = world.env(ids[1]);
    drop(world.spawn_on(ids[1], "server", async move {
        let listener = there.net().listen(ECHO_PORT).await.expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"bye").await.expect("room");
    }));
    let env = world.env(ids[0]);
    sim.block_on(ids[0], async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        let error = loop {
            if let Err(error) = stream.write_all(&[0; 1000]).await {
                break error;
            }
            env.sleep(Duration::from_millis(1)).await;
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("what was written before still arrives");
        assert_eq!(text, "bye");
    });
}

/// How many of a thousand datagrams arrive over this link.
fn datagrams_over(link: LinkModel) -> (usize, bool) {
    let mut sim = Sim::new(SimOptions { link, ..SimOptions::new(1) });
    let world = sim.handle();
    let (a, b) = (world.add_host("a", ip(1)), world.add_host("b", ip(2)));
    let (here, there) = (world.env(a), world.env(b));
    let receiver = world.spawn_on(b, "receiver", async move {
        let socket = there.net().udp(UdpOptions { port: 9, group: None }).await.expect("free");
        let mut numbers = Vec::new();
        while let Ok(datagram) = there.timeout(seconds(5), socket.recv()).await {
            let payload = datagram.expect("the host lives").payload;
            numbers.push(u32::from_le_bytes(payload[..].try_into().expect("four bytes")));
        }
        numbers
    });
    let numbers = sim.block_on(a, async move {
        let socket = here.net().udp(UdpOptions { port: 0, group: None }).await.expect("free");
        for number in 0..1000_u32 {
            let payload = Bytes::copy_from_slice(&number.to_le_bytes());
            socket.send(SocketAddr::from((ip(2), 9)), payload).expect("small");
            here.sleep(Duration::from_millis(2)).await;
        }
        receiver.await.expect("it lives")
    });
    (numbers.len(), numbers.is_sorted())
}

#[test]
fn datagrams_are_lost_doubled_and_reordered_as_the_link_says() {
    let clean = LinkModel::default();
    assert_eq!(datagrams_over(clean), (1000, true));
    let (arrived, _) = datagrams_over(LinkModel { loss_ppm: 100_000, ..clean });
    assert!((850..950).contains(&arrived), "{arrived}");
    let (arrived, _) = datagrams_over(LinkModel { duplicate_ppm: 100_000, ..clean });
    assert!((1050..1150).contains(&arrived), "{arrived}");
    let (arrived, sorted) = datagrams_over(LinkModel { reorder_ppm: 500_000, ..clean });
    assert!(arrived == 1000 && !sorted);
}

#[test]
fn loss_delays_a_stream_and_does_not_break_it() {
    let link = LinkModel { loss_ppm: 50_000, ..LinkModel::default() };
    let mut sim = Sim::new(SimOptions { link, ..SimOptions::new(1) });
    let world = sim.handle();
    let (a, b) = (world.add_host("a", ip(1)), world.add_host("b", ip(2)));
    drop(world.env(b).spawn("echo", echo(world.env(b))));
    let env = world.env(a);
    let took = sim.block_on(a, async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        let before = env.now();
        for _ in 0..100 {
            ping(&mut stream).await.expect("late, not broken");
        }
        env.now() - before
    });
    assert!(took > seconds(1), "several retransmissions: {took:?}");
}

#[test]
fn bandwidth_limits_what_a_host_sends() {
    let link = LinkModel { bandwidth_bits: 8_000_000, ..LinkModel::default() };
    let mut sim = Sim::new(SimOptions { link, ..SimOptions::new(1) });
    let world = sim.handle();
    let (a, b) = (world.add_host("a", ip(1)), world.add_host("b", ip(2)));
    drop(world.env(b).spawn("echo", echo(world.env(b))));
    let env = world.env(a);
    let took = sim.block_on(a, async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        let before = env.now();
        stream.write_all(&vec![1; 500_000]).await.expect("room");
        let mut back = vec![0; 500_000];
        stream.read_exact(&mut back).await.expect("all of it");
        env.now() - before
    });
    // Half a megabyte at a megabyte a second, there; the way back overlaps.
    assert!(took > Duration::from_millis(500) && took < Duration::from_millis(700), "{took:?}");
}

/// Sends one datagram to the group from host 1, and tells which hosts got it.
async fn heard_by(
    controls: &swarm_sim::SimHandle,
    sender: &Env,
    all: &[swarm_sim::HostId],
) -> Vec<usize> {
    let mut listeners = Vec::new();
    for host in all {
        let env = controls.env(*host);
        listeners.push(controls.spawn_on(*host, "listener", async move {
            let socket = env.net().udp(UdpOptions { port: 9, group: group() }).await.expect("free");
            let heard = env.timeout(seconds(1), socket.recv()).await;
            heard.is_ok_and(|datagram| datagram.expect("it lives").reach == Reach::Multicast)
        }));
    }
    sender.sleep(Duration::from_millis(1)).await;
    let socket = sender.net().udp(UdpOptions { port: 0, group: group() }).await.expect("free");
    socket.multicast(Bytes::from_static(b"hello")).expect("small");
    let mut heard = Vec::new();
    for (n, listener) in listeners.into_iter().enumerate() {
        if listener.await == Some(true) {
            heard.push(n);
        }
    }
    heard
}

#[test]
fn multicast_reaches_all_and_can_fail_while_unicast_works() {
    let (mut sim, world, ids) = hosts(1, 3);
    drop(world.env(ids[2]).spawn("echo", echo(world.env(ids[2]))));
    let (env, controls) = (world.env(ids[0]), world.clone());
    sim.block_on(ids[0], async move {
        assert_eq!(heard_by(&controls, &env, &ids).await, [0, 1, 2], "the sender too");
        let broken = controls.break_multicast(vec![ids[2]]).await;
        assert_eq!(heard_by(&controls, &env, &ids).await, [0, 1]);
        assert_eq!(controls.effects(broken), 1);
        let mut stream = env.net().connect(echo_at(3)).await.expect("unicast works");
        ping(&mut stream).await.expect("both ways");
        controls.heal(broken).await;
        assert_eq!(heard_by(&controls, &env, &ids).await, [0, 1, 2]);
    });
}

#[test]
fn a_one_way_cut_loses_one_direction() {
    let (mut sim, world, ids) = hosts(1, 2);
    let (env, controls) = (world.env(ids[0]), world.clone());
    sim.block_on(ids[0], async move {
        controls.cut_one_way(vec![vec![ids[1]], vec![ids[0]]]).await;
        let there = controls.env(ids[1]);
        let heard = controls.spawn_on(ids[1], "listener", async move {
            let socket = there.net().udp(UdpOptions { port: 9, group: None }).await.expect("free");
            let datagram = socket.recv().await.expect("it lives");
            socket.send(datagram.from, datagram.payload).expect("small");
        });
        let socket = env.net().udp(UdpOptions { port: 9, group: None }).await.expect("free");
        env.sleep(Duration::from_millis(1)).await;
        socket.send(SocketAddr::from((ip(2), 9)), Bytes::from_static(b"x")).expect("small");
        assert_eq!(heard.await, Some(()), "there it goes");
        assert!(env.timeout(seconds(5), socket.recv()).await.is_err(), "not back");
    });
}

#[test]
fn the_delays_of_a_long_way_have_the_percentiles_that_were_asked_for() {
    let (p50, p99) = (Duration::from_millis(38), Duration::from_millis(90));
    let link = LinkModel { latency: Latency::of_percentiles(p50, p99), ..LinkModel::default() };
    let mut sim = Sim::new(SimOptions { link, ..SimOptions::new(4) });
    let world = sim.handle();
    let (a, b) = (world.add_host("a", ip(1)), world.add_host("b", ip(2)));
    let (here, there) = (world.env(a), world.env(b));
    let receiver = world.spawn_on(b, "receiver", async move {
        let socket = there.net().udp(UdpOptions { port: 9, group: None }).await.expect("free");
        let mut delays = Vec::new();
        while let Ok(datagram) = there.timeout(seconds(5), socket.recv()).await {
            let payload = datagram.expect("the host lives").payload;
            let sent = Instant(u64::from_le_bytes(payload[..].try_into().expect("eight bytes")));
            delays.push(there.now() - sent);
        }
        delays.sort_unstable();
        delays
    });
    let delays = sim.block_on(a, async move {
        let socket = here.net().udp(UdpOptions { port: 0, group: None }).await.expect("free");
        for _ in 0..40_000 {
            let payload = Bytes::copy_from_slice(&here.now().0.to_le_bytes());
            socket.send(SocketAddr::from((ip(2), 9)), payload).expect("small");
            here.sleep(Duration::from_millis(2)).await;
        }
        receiver.await.expect("it lives")
    });
    assert_eq!(delays.len(), 40_000);
    let near = |found: Duration, wanted: Duration| found.abs_diff(wanted) * 50 <= wanted;
    assert!(near(delays[20_000], p50), "{:?}", delays[20_000]);
    assert!(near(delays[39_600], p99), "{:?}", delays[39_600]);
    assert!(delays[0] >= p50 / 5 * 4, "{:?}", delays[0]);
    assert!(delays[39_999] <= p99 + (p99 - p50) + Duration::from_millis(1), "{:?}", delays[39_999]);
}

#[test]
fn what_one_zone_sends_into_another_is_counted_and_what_stays_is_not() {
    async fn send(env: &Env, to: u8, bytes: usize) {
        let socket = env.net().udp(UdpOptions { port: 0, group: None }).await.expect("free");
        socket.send(SocketAddr::from((ip(to), 9)), vec![0; bytes].into()).expect("small");
    }
    let mut sim = Sim::new(SimOptions::new(5));
    let world = sim.handle();
    let here = world.add_host("here", ip(1));
    let there = world.add_node("there", ip(2), 7);
    let _ = world.add_host("neighbour", ip(3));
    world.set_boot(there, async move |env: Env| {
        send(&env, 1, 1).await;
        send(&env, 1, 1).await;
    });
    let (env, controls) = (world.env(here), world.clone());
    sim.block_on(here, async move {
        assert!(controls.start(there).await);
        send(&env, 2, 3).await;
        send(&env, 3, 5).await;
        env.sleep(seconds(1)).await;
    });
    assert_eq!((world.carried(0, 7), world.carried(7, 0)), (3, 2));
    assert_eq!((world.carried(0, 0), world.carried(7, 7)), (0, 0));
}
