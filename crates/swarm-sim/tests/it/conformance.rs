//! The conformance suite of `swarm_env`: what a host may rely on in either world. Every case runs simulated and live.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::live::{HostSpec, LiveDisk, LiveWorld};
use swarm_env::{BoxFuture, Disk, Env, Reach, Stream, SyncMode, UdpOptions};
use swarm_types::DiskId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{disk, hosts};

/// Serial of the disk of host `b`.
const SERIAL: &str = "conformance";

/// Two hosts of one world, and what ends one of them.
struct Ground {
    a: Env,
    b: Env,
    /// A group and port that no other case uses.
    group: SocketAddrV4,
    /// Where a connect is neither taken nor refused, at the latest after a few that were taken.
    silent: SocketAddr,
    kill_b: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// The next incarnation of a killed `b`, on the same disks.
    start_b: Box<dyn Fn() -> BoxFuture<'static, Env> + Send + Sync>,
    /// Pulls the disk of `b`, or plugs it in again with what it holds.
    plug_b: Box<dyn Fn(Plug) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// What is done to a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plug {
    Out,
    In,
}

/// Runs a case in both worlds. Cases have numbers, so that live ones that run at once do not meet.
fn check<F, Fut>(number: u8, case: F)
where
    F: Fn(Ground) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    for seed in 0..4 {
        let (mut sim, world, ids) = hosts(seed, 2);
        let plugged = disk(&world, ids[1], SERIAL);
        let (controls, b) = (world.clone(), ids[1]);
        let plug_b = move |plug| -> BoxFuture<'static, ()> {
            let done = match plug {
                Plug::Out => controls.pull_disk(plugged),
                Plug::In => controls.insert_disk(plugged, b),
            };
            Box::pin(async move { assert!(done.await.is_some(), "it was in, or out") })
        };
        let (controls, b) = (world.clone(), ids[1]);
        let kill_b = move || -> BoxFuture<'static, ()> {
            let killed = controls.kill(b);
            Box::pin(async move { assert!(killed.await.is_some(), "it ran") })
        };
        let controls = world.clone();
        let start_b = move || -> BoxFuture<'static, Env> {
            let (controls, started) = (controls.clone(), controls.start(b));
            Box::pin(async move {
                assert!(started.await, "it was off");
                controls.env(b)
            })
        };
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, 0, number), 7000);
        let (a, b) = (world.env(ids[0]), world.env(ids[1]));
        // An address that no host has.
        let silent = SocketAddr::from((crate::world::ip(77), 1));
        let (kill_b, start_b) = (Box::new(kill_b), Box::new(start_b));
        let plug_b = Box::new(plug_b);
        sim.block_on(ids[0], case(Ground { a, b, group, silent, kill_b, start_b, plug_b }));
    }
    live(number, case);
}

fn live<F, Fut>(number: u8, case: F)
where
    F: Fn(Ground) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    // Each process has addresses of its own, as two may test at once.
    let [low, middle, ..] = std::process::id().to_le_bytes();
    let ip = |last| Ipv4Addr::new(127, 100 + middle % 100, low, number * 2 + last);
    let disk = LiveDisk {
        id: DiskId::from(SERIAL),
        folder: folder.path().join("disk"),
        size: crate::world::DISK_BYTES,
    };
    let host = |name: &str, ip, disks| HostSpec { name: name.to_owned(), ip, disks };
    let world = LiveWorld::new(runtime.handle().clone());
    let a = world.host(host("a", ip(0), Vec::new()));
    let spec = host("b", ip(1), vec![disk]);
    let b = world.host(spec.clone());
    let victim = b.clone();
    let kill_b = move || -> BoxFuture<'static, ()> {
        let victim = victim.clone();
        Box::pin(async move { victim.kill().await.expect("it lets go") })
    };
    let start_b = move || -> BoxFuture<'static, Env> {
        let next = world.host(spec.clone());
        Box::pin(std::future::ready(next.env().clone()))
    };
    let unheard = runtime.block_on(async { unheard(ip(1)) });
    let silent = unheard.local_addr().expect("it is bound");
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, low, number), 7000 + u16::from(middle));
    let (env_a, env_b) = (a.env().clone(), b.env().clone());
    let (here, away) = (folder.path().join("disk"), folder.path().join("pulled"));
    let plug_b = move |plug| -> BoxFuture<'static, ()> {
        let (from, to) = if plug == Plug::Out { (&here, &away) } else { (&away, &here) };
        std::fs::rename(from, to).expect("the folder moves");
        Box::pin(std::future::ready(()))
    };
    let (kill_b, start_b) = (Box::new(kill_b), Box::new(start_b));
    let plug_b = Box::new(plug_b);
    let ground = Ground { a: env_a.clone(), b: env_b, group, silent, kill_b, start_b, plug_b };
    let task = env_a.spawn("case", case(ground));
    let outcome = runtime.block_on(task.join());
    assert!(outcome.is_some(), "live: {:?}", a.panic());
    drop(unheard);
}

/// A port with room for one or two connections that nobody takes: the system is silent to any further one.
fn unheard(ip: Ipv4Addr) -> tokio::net::TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((ip, 0))).expect("a free port");
    socket.listen(1).expect("it is bound")
}

/// A stream from `a` to `b`: the end of each.
async fn connected(ground: &Ground) -> (Stream, Stream) {
    let listener = ground.b.net().listen(0).await.expect("a free port");
    let at = listener.local_addr();
    let accepted = ground.b.spawn("accept", async move { listener.accept().await });
    let ours = ground.a.net().connect(at).await.expect("it listens");
    let (theirs, from) = accepted.join().await.expect("b lives").expect("a connection");
    assert_eq!(from, ours.local_addr());
    assert_eq!((theirs.peer_addr(), theirs.local_addr()), (from, ours.peer_addr()));
    (ours, theirs)
}

async fn opened(env: &Env) -> io::Result<Arc<dyn Disk>> {
    env.disks().open(&DiskId::from(SERIAL)).await
}

/// Opens the disk as soon as its last user has let go of it.
async fn opened_again(env: &Env) -> Arc<dyn Disk> {
    let limit = env.now() + Duration::from_secs(5);
    loop {
        // A device may still be writing when its last handle goes; it is free once it has.
        match opened(env).await {
            Ok(disk) => return disk,
            Err(error) => {
                let busy = [ErrorKind::ResourceBusy, ErrorKind::AlreadyExists];
                assert!(busy.contains(&error.kind()), "{error}");
                assert!(env.now() < limit, "never free again: {error}");
            }
        }
        env.sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_stream_half_closes_and_goes_on_the_other_way() {
    check(1, async |ground: Ground| {
        let (mut ours, mut theirs) = connected(&ground).await;
        ours.write_all(b"question").await.expect("room");
        ours.shutdown().await.expect("half closed");
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).await.expect("the question, then the end");
        assert_eq!(heard, "question");
        theirs.write_all(b"answer").await.expect("this way is open");
        drop(theirs);
        let mut answer = String::new();
        ours.read_to_string(&mut answer).await.expect("what was written still arrives");
        assert_eq!(answer, "answer");
        assert!(ours.write_all(b"more").await.is_err(), "closed for writing");
    });
}

#[test]
fn many_bytes_arrive_in_order_at_a_slow_reader() {
    check(2, async |ground: Ground| {
        let (mut ours, mut theirs) = connected(&ground).await;
        let sent: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
        let copy = sent.clone();
        let writer = ground.a.spawn("writer", async move { ours.write_all(&copy).await });
        ground.b.sleep(Duration::from_millis(20)).await;
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.expect("all of it");
        assert!(got == sent);
        writer.join().await.expect("a lives").expect("all of it");
    });
}

#[test]
fn a_closed_port_refuses_and_a_taken_one_is_in_use() {
    check(3, async |ground: Ground| {
        let listener = ground.b.net().listen(0).await.expect("a free port");
        let at = listener.local_addr();
        let again = ground.b.net().listen(at.port()).await.map(drop);
        assert_eq!(again.expect_err("taken").kind(), ErrorKind::AddrInUse);
        let elsewhere = ground.a.net().listen(at.port()).await.map(drop);
        elsewhere.expect("another host has ports of its own");
        drop(listener);
        let refused = ground.a.net().connect(at).await.map(drop);
        assert_eq!(refused.expect_err("closed").kind(), ErrorKind::ConnectionRefused);
        ground.b.net().listen(at.port()).await.map(drop).expect("free again");
    });
}

#[test]
fn a_time_out_drops_what_it_drove() {
    check(4, async |ground: Ground| {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let limit = Duration::from_millis(20);
        let before = ground.a.now();
        let never = async move {
            std::future::pending::<()>().await;
            drop(inside);
        };
        assert!(ground.a.timeout(limit, never).await.is_err());
        assert!(ground.a.now() - before >= limit);
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(ground.a.timeout(limit, async { 7 }).await, Ok(7));
    });
}

#[test]
fn datagrams_say_who_sent_them() {
    check(5, async |ground: Ground| {
        let options = UdpOptions { port: 0, group: None };
        let ours = ground.a.net().udp(options).await.expect("a free port");
        let theirs = ground.b.net().udp(options).await.expect("a free port");
        ours.send(theirs.local_addr(), Bytes::from_static(b"ping")).expect("small");
        let got = ground.a.timeout(Duration::from_secs(5), theirs.recv()).await;
        let got = got.expect("in time").expect("b lives");
        assert_eq!((got.from, got.reach), (ours.local_addr(), Reach::Unicast));
        assert_eq!(got.payload, "ping");
        let long = Bytes::from(vec![0; 65_508]);
        assert!(ours.send(theirs.local_addr(), long).is_err(), "no datagram is so long");
        assert!(ours.multicast(Bytes::from_static(b"x")).is_err(), "no group");
        let nobody = SocketAddr::from(([127, 0, 0, 99], 9));
        ours.send(nobody, Bytes::from_static(b"x")).expect("best effort");
    });
}

#[test]
fn multicast_reaches_the_group_and_the_sender() {
    check(6, async |ground: Ground| {
        let options = UdpOptions { port: 0, group: Some(ground.group) };
        let ours = ground.a.net().udp(options).await.expect("a free port");
        let theirs = ground.b.net().udp(options).await.expect("a free port");
        ours.multicast(Bytes::from_static(b"hello")).expect("small");
        for socket in [&ours, &theirs] {
            let got = ground.a.timeout(Duration::from_secs(5), socket.recv()).await;
            let got = got.expect("in time").expect("the host lives");
            assert_eq!((got.from, got.reach), (ours.local_addr(), Reach::Multicast));
            assert_eq!(got.payload, "hello");
        }
        ours.send(theirs.local_addr(), Bytes::from_static(b"you")).expect("small");
        let got = ground.a.timeout(Duration::from_secs(5), theirs.recv()).await;
        assert_eq!(got.expect("in time").expect("b lives").reach, Reach::Unicast);
    });
}

#[test]
fn a_disk_reads_what_was_submitted_in_order() {
    check(7, async |ground: Ground| {
        let serial = DiskId::from(SERIAL);
        assert_eq!(ground.b.disks().list(), vec![serial.clone()]);
        let disk = opened(&ground.b).await.expect("plugged in");
        let capacity = disk.capacity();
        assert_eq!((disk.id(), capacity), (&serial, crate::world::DISK_BYTES));
        assert_eq!(
            &disk.read_at(1000, 3).await.expect("in range")[..],
            [0; 3],
            "zero until written"
        );
        let (first, second) = (Bytes::from_static(b"abcdef"), Bytes::from_static(b"XY"));
        // Not waited for, and dropped: the writes belong to the disk.
        drop(disk.submit(vec![(4094, first), (4095, second)], SyncMode::NoSync));
        let third = disk.submit(vec![(4098, Bytes::from_static(b"Z"))], SyncMode::Sync);
        assert_eq!(disk.read_at(4093, 8).await.expect("in range"), "\0aXYdZf\0");
        third.await.expect("durable");
        let beyond = disk.read_at(capacity - 1, 2).await.expect_err("beyond the end");
        assert_eq!(beyond.kind(), ErrorKind::UnexpectedEof);
        let beyond = vec![(capacity - 1, Bytes::from_static(b"ab"))];
        assert!(disk.submit(beyond, SyncMode::Sync).await.is_err());
    });
}

#[test]
fn a_disk_is_open_once_and_must_be_there() {
    check(8, async |ground: Ground| {
        let disk = opened(&ground.b).await.expect("plugged in");
        let kind = opened(&ground.b).await.map(drop).expect_err("open").kind();
        assert!(matches!(kind, ErrorKind::ResourceBusy | ErrorKind::AlreadyExists), "{kind:?}");
        let kind = opened(&ground.a).await.map(drop).expect_err("not in a").kind();
        assert_eq!(kind, ErrorKind::NotFound);
        disk.submit(vec![(5, Bytes::from_static(b"kept"))], SyncMode::Sync).await.expect("room");
        drop(disk);
        let disk = opened_again(&ground.b).await;
        assert_eq!(disk.read_at(5, 4).await.expect("in range"), "kept");
    });
}

#[test]
fn tasks_return_and_work_is_offloaded() {
    check(9, async |ground: Ground| {
        let env = ground.a.clone();
        let task = ground.a.spawn("sum", async move {
            env.sleep(Duration::from_millis(1)).await;
            env.offload("product", || 6 * 7).await
        });
        assert_eq!(task.join().await, Some(Some(42)));
        assert_ne!(ground.a.random_u64("dice"), ground.a.random_u64("dice"));
        assert!(ground.a.random_below("dice", 10) < 10);
    });
}

#[test]
fn a_killed_host_keeps_nothing_and_can_do_nothing() {
    check(10, async |ground: Ground| {
        let (mut ours, mut theirs) = connected(&ground).await;
        let memory = Arc::new(());
        let left: Weak<()> = Arc::downgrade(&memory);
        let task = ground.b.spawn("holder", async move {
            theirs.write_all(b"hi").await.expect("room");
            std::future::pending::<()>().await;
            drop((theirs, memory));
        });
        assert_eq!(ours.read_u16().await.expect("it writes"), u16::from_be_bytes(*b"hi"));
        (ground.kill_b)().await;
        assert_eq!(left.strong_count(), 0);
        assert_eq!(task.join().await, None);
        let kind = ours.read_u8().await.expect_err("the peer is gone").kind();
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{kind:?}");
        assert!(ground.b.net().listen(0).await.is_err());
        assert!(ground.b.net().connect(ours.local_addr()).await.is_err());
        assert!(opened(&ground.b).await.is_err());
        assert_eq!(ground.b.spawn("ghost", async {}).join().await, None);
    });
}

#[test]
fn a_panic_ends_its_own_host_only() {
    check(11, async |ground: Ground| {
        let (mut ours, theirs) = connected(&ground).await;
        let env = ground.b.clone();
        let task = ground.b.spawn("clumsy", async move {
            let _held = theirs;
            env.sleep(Duration::from_millis(1)).await;
            panic!("a panic that the suite wants");
        });
        assert_eq!(task.join().await, None::<()>);
        let gone = ground.a.timeout(Duration::from_secs(5), ours.read_u8()).await;
        assert!(gone.expect("in time").is_err());
        let limit = Duration::from_secs(5);
        let before = ground.a.now();
        while ground.b.net().listen(0).await.is_ok() {
            assert!(ground.a.now() - before < limit, "b still lives");
            ground.a.sleep(Duration::from_millis(1)).await;
        }
        ground.a.net().listen(0).await.map(drop).expect("a lives");
    });
}

#[test]
fn a_read_that_timed_out_takes_nothing_from_the_stream() {
    check(12, async |ground: Ground| {
        let (mut ours, mut theirs) = connected(&ground).await;
        let limit = Duration::from_millis(20);
        for word in [b"one", b"two"] {
            let before = ground.a.now();
            let mut lost = [0; 3];
            let heard = ground.a.timeout(limit, ours.read(&mut lost)).await;
            assert!(heard.is_err(), "the peer says nothing");
            assert!(ground.a.now() - before >= limit);
            theirs.write_all(word).await.expect("room");
            let mut got = [0; 3];
            ours.read_exact(&mut got).await.expect("what came after the time-out");
            assert_eq!(&got, word);
            ours.write_all(word).await.expect("this way is open too");
            theirs.read_exact(&mut got).await.expect("the echo");
            assert_eq!(&got, word);
        }
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 3]).await.expect("closed in order"), 0);
    });
}

#[test]
fn a_connect_is_refused_or_ends_by_its_time_out() {
    check(13, async |ground: Ground| {
        let listener = ground.b.net().listen(0).await.expect("a free port");
        let closed = listener.local_addr();
        drop(listener);
        let refused = async || {
            let limit = Duration::from_secs(5);
            let dialled = ground.a.timeout(limit, ground.a.net().connect(closed)).await;
            let refused = dialled.expect("at once").map(drop).expect_err("nobody listens");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        };
        refused().await;
        let limit = Duration::from_millis(200);
        let mut waiting = Vec::new();
        let ended_after = loop {
            let before = ground.a.now();
            match ground.a.timeout(limit, ground.a.net().connect(ground.silent)).await {
                Ok(stream) => waiting.push(stream.expect("there is still room")),
                Err(_) => break ground.a.now() - before,
            }
            assert!(waiting.len() < 16, "nobody takes so many");
        };
        assert!(ended_after >= limit);
        refused().await;
        drop(connected(&ground).await);
    });
}

#[test]
fn the_next_life_finds_what_was_synced_in_the_order_submitted() {
    check(14, async |ground: Ground| {
        let disk = opened(&ground.b).await.expect("plugged in");
        let bytes = Bytes::from_static;
        // Overlapping, across the border of a sector, some in one submit; only the last is waited for.
        let base = vec![(4090, bytes(b"aaaaaaaaaaaa"))];
        drop(disk.submit(base, SyncMode::NoSync));
        let pair = vec![(4092, bytes(b"bbbbbbbb")), (4094, bytes(b"cccc"))];
        drop(disk.submit(pair, SyncMode::NoSync));
        disk.submit(vec![(4095, bytes(b"dd"))], SyncMode::Sync).await.expect("durable");
        // Under way, and elsewhere, when the host dies: it may be there or not.
        drop(disk.submit(vec![(1 << 20, vec![b'u'; 100_000].into())], SyncMode::NoSync));
        (ground.kill_b)().await;

        let next = (ground.start_b)().await;
        assert_eq!(next.disks().list(), vec![DiskId::from(SERIAL)]);
        let found = opened_again(&next).await;
        assert_eq!(found.capacity(), crate::world::DISK_BYTES);
        let late = vec![(4090, bytes(b"late"))];
        assert!(disk.submit(late, SyncMode::Sync).await.is_err(), "this handle is dead");
        let whole = "\0aabbcddcbbaa\0";
        assert_eq!(found.read_at(4089, 14).await.expect("in range"), whole);
        found.submit(vec![(4091, bytes(b"e"))], SyncMode::Sync).await.expect("it goes on");
        assert_eq!(found.read_at(4090, 4).await.expect("in range"), "aebb");
    });
}

#[test]
fn a_disk_is_pulled_and_comes_back_with_what_it_holds() {
    check(15, async |ground: Ground| {
        let serial = vec![DiskId::from(SERIAL)];
        let disk = opened(&ground.b).await.expect("plugged in");
        let kept = vec![(0, Bytes::from_static(b"kept"))];
        disk.submit(kept, SyncMode::Sync).await.expect("durable");
        let limit = Duration::from_millis(100);
        let nothing = ground.a.timeout(limit, ground.b.disks().changed(&serial)).await;
        assert!(nothing.is_err(), "nothing has changed");
        let disks = ground.b.disks().changed(&[]).await;
        assert_eq!(disks, serial, "what was seen is not what is there");

        let env = ground.b.clone();
        let seen = serial.clone();
        let watch = ground.b.spawn("watch", async move { env.disks().changed(&seen).await });
        (ground.plug_b)(Plug::Out).await;
        let limit = Duration::from_secs(10);
        let left = ground.a.timeout(limit, watch.join()).await.expect("in time");
        assert_eq!(left, Some(Vec::new()));
        assert_eq!(ground.b.disks().list(), Vec::new());
        let gone = disk.read_at(0, 4).await.expect_err("pulled");
        assert_eq!(gone.kind(), ErrorKind::NotConnected);
        let write = vec![(0, Bytes::from_static(b"lost"))];
        let gone = disk.submit(write, SyncMode::Sync).await.expect_err("pulled");
        assert_eq!(gone.kind(), ErrorKind::NotConnected);

        (ground.plug_b)(Plug::In).await;
        let back = ground.a.timeout(limit, ground.b.disks().changed(&[])).await;
        assert_eq!(back.expect("in time"), serial);
        assert!(disk.read_at(0, 4).await.is_err(), "the old handle stays dead");
        drop(disk);
        let found = opened_again(&ground.b).await;
        assert_eq!(found.read_at(0, 4).await.expect("in range"), "kept");
    });
}
