//! Runs a fixed workload for the seed in the first argument and prints the hash of its trace, which must be the same in
//! every build profile and on every machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Env, SyncMode, UdpOptions};
use swarm_sim::{DiskModel, DiskTrouble, LinkChange, LinkModel, Sim, SimOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Nodes of the workload.
const NODES: u8 = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let link = LinkModel { loss_ppm: 1_000, duplicate_ppm: 500, ..LinkModel::default() };
    let mut sim = Sim::new(SimOptions { link, ..SimOptions::new(seed) });
    let world = sim.handle();
    let harness = world.add_host("harness", Ipv4Addr::new(10, 250, 0, 1));
    let (nodes, disks): (Vec<_>, Vec<_>) = (1..=NODES)
        .map(|n| {
            let node = world.add_node(&format!("node/{n}"), Ipv4Addr::new(10, 1, 0, n), 1);
            let serial = format!("disk-{n}");
            let disk = world.add_disk(node, serial.as_str().into(), 1 << 30, DiskModel::SSD);
            world.set_boot(node, move |env| run_node(env, n));
            (node, disk)
        })
        .unzip();
    let (env, controls) = (world.env(harness), world.clone());
    sim.run(harness, async move {
        for node in &nodes {
            controls.start(*node).await;
        }
        env.sleep(Duration::from_secs(3)).await;
        controls.power_off(nodes[0]).await;
        let cut = controls.cut(vec![vec![nodes[1]], vec![nodes[2], nodes[3]]]).await;
        env.sleep(Duration::from_secs(3)).await;
        controls.start(nodes[0]).await;
        controls.heal(cut).await;
        controls.kill(nodes[3]).await;
        let change = LinkChange { loss_ppm: Some(100_000), ..LinkChange::default() };
        controls.degrade(vec![(nodes.clone(), nodes.clone())], change).await;
        controls.drift(nodes[1], 200).await;
        for trouble in [
            DiskTrouble::FailingSyncs(100_000),
            DiskTrouble::Misdirecting(100_000),
            DiskTrouble::FailingReads(100_000),
        ] {
            controls.trouble_disk(disks[1], trouble).await;
        }
        controls.trouble_disk(disks[2], DiskTrouble::LyingSyncs).await;
        env.sleep(Duration::from_secs(3)).await;
        controls.pull_disk(disks[2]).await;
        env.sleep(Duration::from_secs(3)).await;
    })?;
    use std::io::Write;
    writeln!(std::io::stdout(), "{}", world.trace_hash())?;
    Ok(())
}

async fn run_node(env: Env, number: u8) {
    drop(env.spawn("serve", serve(env.clone())));
    drop(env.spawn("ask", ask(env.clone(), number)));
    let group = Some(std::net::SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 9), 9));
    let Ok(socket) = env.net().udp(UdpOptions { port: 9, group }).await else { return };
    loop {
        let wait = Duration::from_micros(1 + env.random_below("beacon", 20_000));
        if env.timeout(wait, socket.recv()).await.is_err()
            && socket.multicast(Bytes::from_static(b"here")).is_err()
        {
            return;
        }
    }
}

/// Stores every connection's bytes and answers with one byte once they are durable.
async fn serve(env: Env) {
    let serial = env.disks().list().remove(0);
    let Ok(disk) = env.disks().open(&serial).await else { return };
    let Ok(listener) = env.net().listen(80).await else { return };
    let mut at = 0;
    while let Ok((mut stream, _)) = listener.accept().await {
        let (disk, offset) = (std::sync::Arc::clone(&disk), at);
        at += 8192;
        drop(env.spawn("store", async move {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            disk.submit(vec![(offset, bytes.into())], SyncMode::Sync).await?;
            stream.write_all(b"k").await
        }));
    }
}

async fn ask(env: Env, number: u8) {
    loop {
        let other = 1 + (number + env.random_below("peer", u64::from(NODES)) as u8) % NODES;
        let attempt = async {
            let to = SocketAddr::from(([10, 1, 0, other], 80));
            let mut stream = env.net().connect(to).await?;
            stream.write_all(&vec![number; 6000]).await?;
            stream.shutdown().await?;
            stream.read_u8().await
        };
        // Whether it worked shows in the trace.
        drop(env.timeout(Duration::from_millis(200), attempt).await);
    }
}
