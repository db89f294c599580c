//! The live world alone; what it has in common with the simulated one is the conformance suite's business.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;

use super::{HostSpec, LiveDisk, LiveHost, LiveWorld};
use crate::{Datagram, Disk, Reach, SyncMode, UdpOptions};

const SOON: Duration = Duration::from_secs(5);
const MIB: u64 = 1 << 20;

/// Addresses and groups differ between tests and between test processes, which may all run at once.
fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    std::process::id().wrapping_mul(64) + NEXT.fetch_add(1, Ordering::Relaxed)
}

fn address() -> Ipv4Addr {
    let number = unique();
    Ipv4Addr::new(
        127,
        100 + (number >> 16 & 0x3f) as u8,
        (number >> 8) as u8,
        (number as u8).max(1),
    )
}

fn group() -> SocketAddrV4 {
    let number = unique();
    SocketAddrV4::new(
        Ipv4Addr::new(239, 77, (number >> 8) as u8, number as u8),
        47_000 + (number % 1000) as u16,
    )
}

fn host(world: &LiveWorld, ip: Ipv4Addr, disks: Vec<LiveDisk>) -> LiveHost {
    world.host(HostSpec { name: format!("test/{ip}"), ip, disks })
}

fn world() -> LiveWorld {
    LiveWorld::new(Handle::current())
}

fn disk(folder: &TempDir, size: u64) -> LiveDisk {
    LiveDisk { id: "disk-1".into(), folder: folder.path().join("disk-1"), size }
}

async fn open(host: &LiveHost) -> io::Result<Arc<dyn Disk>> {
    host.env().disks().open(&"disk-1".into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_carry_the_addresses_of_their_hosts() {
    let world = world();
    let (a, b) = (host(&world, address(), vec![]), host(&world, address(), vec![]));
    let listener = b.env().net().listen(0).await.expect("a free port");
    let mut ours = a.env().net().connect(listener.local_addr()).await.expect("someone listens");
    let (mut theirs, from) = listener.accept().await.expect("a connection");
    assert_eq!(from, ours.local_addr());
    assert_eq!(from.ip(), a.env().net().local_ip());
    assert_eq!(ours.peer_addr(), listener.local_addr());
    ours.write_all(b"last words").await.expect("written");
    drop(ours);
    let mut heard = String::new();
    theirs.read_to_string(&mut heard).await.expect("read to the end");
    assert_eq!(heard, "last words");
}

#[tokio::test]
async fn what_cannot_be_bound_is_said_in_a_sentence() {
    let world = world();
    let a = host(&world, address(), vec![]);
    let listener = a.env().net().listen(0).await.expect("a free port");
    let taken = a.env().net().listen(listener.local_addr().port()).await.err().expect("taken");
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    assert!(taken.to_string().contains("is taken by another program"), "{taken}");
    let elsewhere = host(&world, Ipv4Addr::new(192, 0, 2, 1), vec![]);
    let refused = elsewhere.env().net().listen(0).await.err().expect("not ours");
    assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable);
    assert!(refused.to_string().contains("does not have the address 192.0.2.1"), "{refused}");
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let world = world();
    let a = host(&world, address(), vec![]);
    let to = SocketAddr::from((a.env().net().local_ip(), 9));
    let refused = a.env().net().connect(to).await.err().expect("nobody listens");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn multicast_reaches_every_host_of_the_group_and_no_other() {
    let (one, two) = (world(), world());
    let (group, other) = (group(), group());
    let a = host(&one, address(), vec![]);
    let b = host(&two, address(), vec![]);
    let c = host(&two, address(), vec![]);
    let on = |group| UdpOptions { port: 0, group: Some(group) };
    let from_a = a.env().net().udp(on(group)).await.expect("a socket");
    let from_b = b.env().net().udp(on(group)).await.expect("a socket");
    let from_c = c.env().net().udp(on(other)).await.expect("a socket");

    from_a.multicast(Bytes::from_static(b"who is there?")).expect("sent");
    let expected = Datagram {
        from: from_a.local_addr(),
        reach: Reach::Multicast,
        payload: Bytes::from_static(b"who is there?"),
    };
    for socket in [&from_a, &from_b] {
        let heard = a.env().timeout(SOON, socket.recv()).await.expect("in time").expect("received");
        assert_eq!(heard, expected);
    }
    from_b.send(from_a.local_addr(), Bytes::from_static(b"me")).expect("sent");
    let heard = a.env().timeout(SOON, from_a.recv()).await.expect("in time").expect("received");
    assert_eq!((heard.from, heard.reach), (from_b.local_addr(), Reach::Unicast));
    let silence = a.env().timeout(Duration::from_millis(50), from_c.recv()).await;
    assert!(silence.is_err(), "another group heard {silence:?}");
}

#[tokio::test]
async fn an_oversized_datagram_is_refused() {
    let a = host(&world(), address(), vec![]);
    let socket = a.env().net().udp(UdpOptions { port: 0, group: None }).await.expect("a socket");
    let error = socket.send(socket.local_addr(), vec![0; 65_508].into()).expect_err("too long");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(socket.multicast(Bytes::new()).is_err(), "there is no group");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_resets_its_peers_and_leaves_nothing() {
    struct Told(Arc<AtomicBool>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let world = world();
    let (a, b) = (host(&world, address(), vec![]), host(&world, address(), vec![]));
    let listener = b.env().net().listen(0).await.expect("a free port");
    let port = listener.local_addr().port();
    let dropped = Arc::new(AtomicBool::new(false));
    let told = Told(Arc::clone(&dropped));
    let mut task = Some((listener, told));
    let env = b.env().clone();
    let serving = b.env().spawn("serve", async move {
        let (listener, _told) = task.take().expect("polled once");
        let (stream, _) = listener.accept().await.expect("a connection");
        env.sleep(Duration::from_secs(3600)).await;
        drop(stream);
    });
    let to = SocketAddr::from((b.env().net().local_ip(), port));
    let mut stream = a.env().net().connect(to).await.expect("someone listens");
    stream.write_all(b"unread").await.expect("written");
    b.kill().await.expect("all tasks yield");

    assert!(dropped.load(Ordering::SeqCst), "the task is gone when kill returns");
    assert_eq!(serving.join().await, None);
    let reset = stream.read_u8().await.expect_err("the peer is gone");
    assert!(
        matches!(reset.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof),
        "{reset}"
    );
    assert_eq!(b.env().spawn("late", async { 1 }).join().await, None);
    let next = host(&world, b.env().net().local_ip(), vec![]);
    next.env().net().listen(port).await.expect("the port is free for the next incarnation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_stops_its_own_host_only() {
    let world = world();
    let (a, b) = (host(&world, address(), vec![]), host(&world, address(), vec![]));
    let innocent = b.env().clone();
    let survivor = b.env().spawn("survivor", async move {
        innocent.sleep(Duration::from_millis(50)).await;
        7
    });
    let culprit = a.env().spawn("culprit", async { assert_eq!(1 + 1, 3, "arithmetic is broken") });
    assert_eq!(culprit.join().await, None);
    assert_eq!(survivor.join().await, Some(7));
    b.env().timeout(SOON, a.died()).await.expect("a panic ends its host");
    assert!(!a.is_alive() && b.is_alive());
    let panic = a.panic().expect("it was reported");
    assert_eq!(panic.task, "culprit");
    assert!(panic.message.contains("arithmetic is broken"), "{}", panic.message);
    assert_eq!(b.panic(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn offloaded_work_returns_its_value_and_its_panic_is_reported() {
    let a = host(&world(), address(), vec![]);
    assert_eq!(a.env().offload("sum", || (1..=10).sum::<u32>()).await, Some(55));
    let nothing = a.env().offload("fail", || -> u32 { panic!("no result") }).await;
    assert_eq!(nothing, None);
    a.died().await;
    assert_eq!(a.panic().map(|panic| panic.message), Some("no result".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_keeps_what_was_written_and_belongs_to_one_host() {
    let (world, folder) = (world(), TempDir::new().expect("a temporary folder"));
    let ip = address();
    let first = host(&world, ip, vec![disk(&folder, MIB)]);
    assert_eq!(first.env().disks().list(), vec!["disk-1".into()]);
    let opened = open(&first).await.expect("a new disk");
    assert_eq!(opened.capacity(), MIB);
    let writes = vec![(0, Bytes::from_static(b"head")), (MIB - 4, Bytes::from_static(b"tail"))];
    opened.submit(writes, SyncMode::Sync).await.expect("written");
    assert_eq!(opened.read_at(4096, 4).await.expect("in range"), Bytes::from_static(&[0; 4]));

    let second = host(&world, address(), vec![disk(&folder, MIB)]);
    let busy = open(&second).await.err().expect("locked");
    assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
    assert!(busy.to_string().contains("in use by another process"), "{busy}");

    // Not awaited: a submitted write belongs to the disk.
    drop(opened.submit(vec![(8, Bytes::from_static(b"late"))], SyncMode::NoSync));
    first.kill().await.expect("nothing runs");
    assert!(opened.submit(vec![(0, Bytes::from_static(b"ghost"))], SyncMode::Sync).await.is_err());
    let again = host(&world, ip, vec![disk(&folder, 2 * MIB)]);
    let opened = open(&again).await.expect("unlocked by the kill");
    assert_eq!(opened.capacity(), MIB, "an existing disk keeps its size");
    assert_eq!(&opened.read_at(0, 12).await.expect("in range")[..], b"head\0\0\0\0late");
    assert_eq!(&opened.read_at(MIB - 4, 4).await.expect("in range")[..], b"tail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_replaced_between_two_looks_is_gone_and_then_new() {
    let (world, folder) = (world(), TempDir::new().expect("a temporary folder"));
    let spec = disk(&folder, MIB);
    let image = spec.folder.join("volume.img");
    let a = host(&world, address(), vec![spec]);
    let old = open(&a).await.expect("a new disk");
    let seen = a.env().disks().list();
    assert_eq!(seen, vec!["disk-1".into()]);
    std::fs::remove_file(&image).expect("pulled");
    std::fs::write(&image, []).expect("another one");
    let now = a.env().timeout(Duration::from_secs(60), a.env().disks().changed(&seen)).await;
    let now = now.expect("it is noticed");
    assert!(now.is_empty(), "the old one is gone: {now:?}");
    assert!(old.read_at(0, 1).await.is_err());
    drop(old);
    let now = a.env().timeout(Duration::from_secs(60), a.env().disks().changed(&now)).await;
    assert_eq!(now.expect("it is noticed"), seen);
    open(&a).await.expect("the new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_see_every_write_submitted_before() {
    let (world, folder) = (world(), TempDir::new().expect("a temporary folder"));
    let a = host(&world, address(), vec![disk(&folder, MIB)]);
    let disk = open(&a).await.expect("a new disk");
    for round in 1..=200_u8 {
        let piece = Bytes::from(vec![round; 4096]);
        let writing = disk.submit(vec![(8192, piece.clone()), (12_288, piece)], SyncMode::Sync);
        let read = disk.read_at(10_000, 4096).await.expect("in range");
        assert!(read.iter().all(|byte| *byte == round), "round {round} reads {:?}", &read[..4]);
        if round % 8 == 0 {
            writing.await.expect("written");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_ends_where_it_ends() {
    let (world, folder) = (world(), TempDir::new().expect("a temporary folder"));
    let a = host(&world, address(), vec![disk(&folder, MIB)]);
    let disk = open(&a).await.expect("a new disk");
    let beyond = disk.submit(vec![(MIB - 1, Bytes::from_static(b"xy"))], SyncMode::NoSync).await;
    assert_eq!(beyond.expect_err("beyond the end").kind(), io::ErrorKind::InvalidInput);
    let beyond = disk.read_at(MIB - 1, 2).await;
    assert_eq!(beyond.expect_err("beyond the end").kind(), io::ErrorKind::UnexpectedEof);
    let unknown = a.env().disks().open(&"disk-2".into()).await;
    assert_eq!(unknown.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
}

#[tokio::test]
async fn time_passes_and_a_clock_may_be_off() {
    let a = host(&world(), address(), vec![]);
    let (before, wall) = (a.env().now(), a.env().wall());
    a.env().sleep(Duration::from_millis(20)).await;
    assert!(a.env().now().since(before) >= Duration::from_millis(20));
    assert!(a.env().wall().since(wall) >= Duration::from_millis(10));
    a.set_skew(-3_600_000_000_000);
    assert!(wall.since(a.env().wall()) > Duration::from_secs(3000));
    assert!(a.env().timeout(Duration::from_millis(5), std::future::pending::<()>()).await.is_err());
}

#[tokio::test]
async fn dice_differ_between_labels_and_hosts() {
    let world = world();
    let (a, b) = (host(&world, address(), vec![]), host(&world, address(), vec![]));
    let draws = [
        a.env().random_u64("x"),
        a.env().random_u64("x"),
        a.env().random_u64("y"),
        b.env().random_u64("x"),
    ];
    let distinct: std::collections::BTreeSet<u64> = draws.into_iter().collect();
    assert_eq!(distinct.len(), 4);
}
