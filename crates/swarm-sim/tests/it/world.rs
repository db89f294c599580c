//! What the stories need: hosts, a workload that uses everything, and two-line servers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Env, Stream, SyncMode, UdpOptions};
use swarm_sim::{
    Begins, DiskModel, DiskNumber, DiskTrouble, HostId, LinkChange, Sim, SimHandle, Speaker,
    StreamEnding, StreamTrap,
};
use swarm_types::DiskId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Port of [`echo`].
pub(crate) const ECHO_PORT: u16 = 7;

/// Size of a test disk.
pub(crate) const DISK_BYTES: u64 = 64 << 20;

/// The address of host `n`.
pub(crate) fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

/// The echo server of host `n`.
pub(crate) fn echo_at(n: u8) -> SocketAddr {
    SocketAddr::from((ip(n), ECHO_PORT))
}

/// A world of this seed with so many running hosts.
pub(crate) fn hosts(seed: u64, many: u8) -> (Sim, SimHandle, Vec<HostId>) {
    let sim = Sim::seeded(seed);
    let world = sim.handle();
    let hosts = (1..=many).map(|n| world.add_host(&format!("host-{n}"), ip(n))).collect();
    (sim, world, hosts)
}

/// Sends back what it gets, on every connection, until its host ends.
pub(crate) async fn echo(env: Env) {
    let listener = env.net().listen(ECHO_PORT).await.expect("the port is free");
    loop {
        let (stream, _) = listener.accept().await.expect("the host lives");
        drop(env.spawn("echo", echo_stream(stream)));
    }
}

async fn echo_stream(mut stream: Stream) {
    let mut buffer = vec![0; 4096];
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 || stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Sends a word and waits for it to come back.
pub(crate) async fn ping(stream: &mut Stream) -> std::io::Result<()> {
    stream.write_all(b"ping").await?;
    let mut word = [0; 4];
    stream.read_exact(&mut word).await?;
    assert_eq!(&word, b"ping");
    Ok(())
}

/// A blank disk in a host.
pub(crate) fn disk(world: &SimHandle, host: HostId, serial: &str) -> swarm_sim::DiskNumber {
    world.add_disk(host, DiskId::from(serial), DISK_BYTES, DiskModel::SSD)
}

/// Streams, datagrams, groups, disks, dice and timers on three hosts, with a kill and a restart; the trace's hash.
pub(crate) fn busy_world(seed: u64, extra_draw: bool) -> String {
    let mut sim = Sim::seeded(seed);
    let world = sim.handle();
    let harness = world.add_host("harness", ip(100));
    let nodes: Vec<HostId> = (1..=3).map(|n| world.add_node(&format!("n/{n}"), ip(n), 1)).collect();
    let mut disks = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        disks.push(disk(&world, *node, &format!("disk-{n}")));
        world.set_boot(*node, busy_node);
        assert!(world.start(*node).done());
    }
    let (env, controls) = (world.env(harness), world.clone());
    sim.block_on(harness, async move {
        env.sleep(Duration::from_secs(2)).await;
        if extra_draw {
            assert_ne!(env.random_u64("planted"), 0);
        }
        controls.power_off(nodes[1]).await;
        env.sleep(Duration::from_secs(1)).await;
        controls.start(nodes[1]).await;
        let cut = controls.cut(vec![vec![nodes[0]], vec![nodes[1], nodes[2]]]).await;
        env.sleep(Duration::from_secs(1)).await;
        controls.heal(cut).await;
        everything_at_once(&env, &controls, &nodes, &disks).await;
        controls.kill(nodes[2]).await;
        env.sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(world.panics(), []);
    world.trace_hash()
}

/// Every fault that draws, counts or waits, on hosts that are busy.
async fn everything_at_once(
    env: &Env,
    controls: &SimHandle,
    nodes: &[HostId],
    disks: &[DiskNumber],
) {
    let change = LinkChange {
        loss_ppm: Some(50_000),
        duplicate_ppm: Some(50_000),
        reorder_ppm: Some(50_000),
        ..LinkChange::default()
    };
    let mut faults = vec![
        controls.degrade(vec![(nodes.to_vec(), nodes.to_vec())], change).await,
        controls.drift(nodes[0], -300).await,
        controls.step_clock(nodes[1], 1_000_000_000).await,
    ];
    let slow = DiskTrouble::Slow {
        request: Duration::from_millis(3),
        bandwidth: 10_000_000,
        over: Duration::from_millis(500),
    };
    for (disk, trouble) in [
        (disks[0], slow),
        (disks[0], DiskTrouble::FailingReads(100_000)),
        (disks[0], DiskTrouble::FailingWrites(100_000)),
        (disks[1], DiskTrouble::FailingSyncs(100_000)),
        (disks[1], DiskTrouble::Misdirecting(100_000)),
        (disks[2], DiskTrouble::LyingSyncs),
    ] {
        faults.push(controls.trouble_disk(disk, trouble).await);
    }
    for ending in [StreamEnding::Reset, StreamEnding::Silence] {
        let trap = StreamTrap {
            from: Vec::new(),
            to: Vec::new(),
            speaker: Speaker::Accepter,
            port: Some(ECHO_PORT),
            begins: Begins::Connection,
            at_byte: 2,
            ending,
        };
        controls.set_trap(trap).await;
    }
    env.sleep(Duration::from_millis(700)).await;
    controls.forget_connections(vec![vec![nodes[0]], vec![nodes[1]]]).await;
    controls.trouble_disk(disks[0], DiskTrouble::Stalled).await;
    controls.lose_sectors(disks[1], 200_000).await;
    env.sleep(Duration::from_millis(300)).await;
    controls.heal_disk(disks[0]).await;
    controls.pull_disk(disks[1]).await.expect("it was in");
    controls.power_off(nodes[2]).await.expect("it ran");
    controls.start(nodes[2]).await;
    controls.insert_disk(disks[1], nodes[1]).await.expect("it was out");
    env.sleep(Duration::from_millis(300)).await;
    for fault in faults {
        // Those of the first disk were healed with it.
        controls.heal(fault).await;
    }
}

async fn busy_node(env: Env) {
    let group = Some("224.0.0.9:9".parse().expect("an address"));
    let socket = env.net().udp(UdpOptions { port: 9, group }).await.expect("a free port");
    drop(env.spawn("echo", echo(env.clone())));
    drop(env.spawn("talk", talk(env.clone())));
    loop {
        let wait = Duration::from_micros(1 + env.random_below("jitter", 50_000));
        let heard = env.timeout(wait, socket.recv()).await;
        if !matches!(heard, Ok(Ok(_))) {
            let beacon = Bytes::copy_from_slice(&env.random_u64("beacon").to_le_bytes());
            socket.multicast(beacon).expect("a small datagram");
        }
    }
}

async fn talk(env: Env) {
    let serial = env.disks().list().remove(0);
    let disk = env.disks().open(&serial).await.expect("it is plugged in");
    loop {
        let peer = 1 + env.random_below("peer", 3) as u8;
        let words = async {
            let mut stream = env.net().connect(echo_at(peer)).await?;
            for _ in 0..20 {
                ping(&mut stream).await?;
                let bytes = Bytes::from(vec![peer; 5000]);
                let at = env.random_below("offset", DISK_BYTES - 5000);
                disk.submit(vec![(at, bytes)], SyncMode::Sync).await?;
            }
            std::io::Result::Ok(())
        };
        // Whatever happens to the peer, this host goes on.
        drop(env.timeout(Duration::from_millis(500), words).await);
        env.sleep(Duration::from_millis(1)).await;
    }
}
