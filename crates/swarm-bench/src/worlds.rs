//! Whole simulated clusters: how fast nothing happens, what a write costs, how quickly large ones stand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use swarm_client::{Client, ClientOptions, Request};
use swarm_cluster::sim::{RunOptions, TraceMode, run};
use swarm_cluster::{ClusterSpec, DiskKind, LinkSpec, World, WorldSpec};

use crate::report::{Report, Target};
use crate::rounds::{ROUNDS, Summary, time};

pub(crate) const IDLE: &str = "16 idle nodes, over real time";
pub(crate) const WRITE: &str = "replicated write of 4 KiB, wall time";
pub(crate) const START: &str = "start of two clusters of 50 nodes";
pub(crate) const START_MEMORY: &str = "peak memory after that start";

const IDLE_TARGET: Target = Target::AtLeast(50_000.0);
const WRITE_TARGET: Target = Target::AtMost(100.0);
const START_TARGET: Target = Target::AtMost(1.0);
const START_MEMORY_TARGET: Target = Target::AtMost(1024.0);

/// Simulated time before anything is measured: every node has heard of every other.
pub(crate) const SETTLED: Duration = Duration::from_secs(60);

/// Simulated time of one idle round.
const IDLE_FOR: Duration = Duration::from_secs(4 * 3600);

/// Writes in one slice: some ten milliseconds, which often run through without the machine doing anything else.
const SLICE_WRITES: u32 = 100;

/// Slices of one world.
const SLICES: usize = 10;

/// Nodes of the cluster that is written to.
const WRITE_NODES: u32 = 4;

/// How long a node may take to listen, in simulated time, and how often it is tried.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
const TRY_EVERY: Duration = Duration::from_millis(10);

/// 16 empty nodes with beacons every 10 s and disk ticks every 60 s: simulated time over wall time.
pub(crate) fn idle(report: &mut Report) -> anyhow::Result<()> {
    let costs = round_by_round(|| {
        in_world(&spec(&["main"], 16), |world| async move {
            world.env().sleep(SETTLED).await;
            let begun = Instant::now();
            world.env().sleep(IDLE_FOR).await;
            Ok(begun.elapsed().as_secs_f64() / IDLE_FOR.as_secs_f64())
        })
    })?;
    let faster = Summary::best(costs).map(|cost| 1.0 / cost);
    report.add(IDLE, faster, "x", IDLE_TARGET);
    Ok(())
}

/// One write after the other by one client, always through the same node: bid, redirect, two copies.
pub(crate) fn write(report: &mut Report) -> anyhow::Result<()> {
    let costs = round_by_round(|| {
        in_world(&spec(&["main"], WRITE_NODES), |world| async move {
            world.env().sleep(SETTLED).await;
            let client = Client::new(world.clients()[0].clone(), ClientOptions::default());
            let to = world.scsp(&world.nodes("main")[0]);
            write_once(&client, to).await?;
            let mut slices = Vec::with_capacity(SLICES);
            for _ in 0..SLICES {
                let begun = Instant::now();
                let mut redirected = 0;
                for _ in 0..SLICE_WRITES {
                    redirected += u32::from(write_once(&client, to).await? > 1);
                }
                slices.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(SLICE_WRITES));
                anyhow::ensure!(redirected > SLICE_WRITES / 2, "only {redirected} were redirected");
            }
            Ok(slices)
        })
    })?;
    report.add(WRITE, Summary::best(costs.concat()), "µs", WRITE_TARGET);
    Ok(())
}

/// Two clusters of 50 nodes, from nothing until every node listens. Run before anything else: the memory is the peak of
/// this process.
pub(crate) fn start(report: &mut Report) -> anyhow::Result<()> {
    let seconds = round_by_round(|| {
        let (ready, took) = time(|| in_world(&spec(&["dr", "main"], 50), all_listen));
        ready.map(|()| took.as_secs_f64())
    })?;
    report.add(START, Summary::best(seconds), "s", START_TARGET);
    report.add(START_MEMORY, Summary::once(peak_memory_mib()?), "MiB", START_MEMORY_TARGET);
    Ok(())
}

fn round_by_round<T>(round: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
    std::iter::repeat_with(round).take(ROUNDS).collect()
}

/// Runs a traced world, as scenarios do.
pub(crate) fn in_world<T, F, Fut>(spec: &WorldSpec, harness: F) -> anyhow::Result<T>
where
    F: FnOnce(Arc<dyn World>) -> Fut,
    Fut: Future<Output = anyhow::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let options = RunOptions { trace: TraceMode::Hash, ..RunOptions::default() };
    run(spec, options, harness)?.output
}

pub(crate) fn spec(names: &[&str], nodes: u32) -> WorldSpec {
    let cluster = ClusterSpec {
        nodes,
        volumes_per_node: 2,
        volume_size: 64 << 30,
        disk: DiskKind::Nvme,
        settings: BTreeMap::new(),
        lan: LinkSpec::default(),
        clocks: BTreeMap::new(),
        node_settings: BTreeMap::new(),
    };
    let clusters = names.iter().map(|name| ((*name).to_owned(), cluster.clone())).collect();
    WorldSpec { seed: 1, clusters, links: BTreeMap::new(), planted: Vec::new(), client_hosts: 1 }
}

/// How many nodes were asked until one took the write.
pub(crate) async fn write_once(client: &Client, to: SocketAddr) -> anyhow::Result<usize> {
    static BODY: [u8; 4096] = [b'x'; 4096];
    let request = Request::new(to, "POST", "/").body(Bytes::from_static(&BODY));
    let mut response = client.send(request).await?;
    response.body.collect(64 * 1024).await?;
    anyhow::ensure!(response.status == 201, "the write was answered {}", response.status);
    let copies = response.header("Replica-Count").unwrap_or("1");
    anyhow::ensure!(copies == "2", "the write made {copies} copies");
    Ok(response.hops.len())
}

async fn all_listen(world: Arc<dyn World>) -> anyhow::Result<()> {
    let client = world.clients().first().context("the world has a client host")?;
    let limit = client.now() + LISTENS_WITHIN;
    for node in ["dr", "main"].into_iter().flat_map(|cluster| world.nodes(cluster)) {
        while client.net().connect(world.scsp(&node)).await.is_err() {
            anyhow::ensure!(client.now() < limit, "{node} does not listen");
            client.sleep(TRY_EVERY).await;
        }
    }
    Ok(())
}

fn peak_memory_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")
        .context("the peak memory is read from Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .context("VmHWM in /proc/self/status")?;
    Ok(kib.trim().parse::<f64>()? / 1024.0)
}
