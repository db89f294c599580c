//! What healing costs: the walk over an idle cluster in wall time, a recovery in simulated time, a quiet stretch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use swarm_client::{Client, ClientOptions, Request};
use swarm_cluster::{Action, DiskRef, NodeRef, World, WorldSpec};

use crate::report::{Report, Target};
use crate::rounds::Summary;
use crate::worlds::{SETTLED, in_world, spec, write_once};

pub(crate) const CYCLE: &str = "16 nodes, 10,000 objects a 6 h cycle, over real time";
pub(crate) const SKIP: &str = "three weeks skipped, ten nodes, wall";
pub(crate) const RECOVERIES: [&str; 4] = [
    "recovery of a volume, 5 nodes, simulated",
    "recovery of a volume, 10 nodes, simulated",
    "recovery of a volume, 20 nodes, simulated",
    "recovery of a volume, 40 nodes, simulated",
];
pub(crate) const FASTER: [&str; 3] =
    ["recovery, 10 nodes over 5", "recovery, 20 nodes over 10", "recovery, 40 nodes over 20"];

const CYCLE_TARGET: Target = Target::AtLeast(2000.0);
const SKIP_TARGET: Target = Target::AtMost(1.0);
const RECOVERY_TARGET: Target = Target::AtMost(60.0);
/// Twice the nodes, less than seven tenths of the time.
const FASTER_TARGET: Target = Target::AtMost(0.7);

/// Objects of the idle cluster.
const OBJECTS: u32 = 10_000;
/// The default length of a cycle.
const CYCLE_TIME: Duration = Duration::from_secs(6 * 3600);
/// Objects of the cluster that skips.
const SKIP_OBJECTS: u32 = 500;
const THREE_WEEKS: Duration = Duration::from_secs(21 * 24 * 3600);
/// Replicas on the volume that is lost: enough for forty nodes to be busy with it for a while.
const PER_VOLUME: u64 = 4000;
/// How often a recovery is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const RECOVERED_WITHIN: Duration = Duration::from_secs(600);

/// Nodes do not sleep, so that the walk goes on.
fn awake(mut spec: WorldSpec) -> WorldSpec {
    for cluster in spec.clusters.values_mut() {
        cluster.settings.insert("power.sleepAfter".to_owned(), "0".to_owned());
    }
    spec
}

async fn fill(world: &Arc<dyn World>, objects: u32) -> anyhow::Result<()> {
    let client = Client::new(world.clients()[0].clone(), ClientOptions::default());
    let nodes = world.nodes("main");
    for (node, _) in nodes.iter().cycle().zip(0..objects) {
        write_once(&client, world.scsp(node)).await?;
    }
    Ok(())
}

/// The simulated time of whole cycles over the wall time that they take.
pub(crate) fn cycle(report: &mut Report) -> anyhow::Result<()> {
    let cost = in_world(&awake(spec(&["main"], 16)), |world| async move {
        world.env().sleep(SETTLED).await;
        fill(&world, OBJECTS).await?;
        // The first cycle learns what the others are.
        world.env().sleep(CYCLE_TIME).await;
        let begun = Instant::now();
        world.env().sleep(CYCLE_TIME).await;
        let cost = begun.elapsed().as_secs_f64() / CYCLE_TIME.as_secs_f64();
        let mut visits = 0;
        for node in world.nodes("main") {
            visits += count(&world, &node, "visits").await?;
        }
        anyhow::ensure!(visits > 3 * u64::from(OBJECTS), "only {visits} visits in two cycles");
        Ok(cost)
    })?;
    report.add(CYCLE, Summary::once(1.0 / cost), "x", CYCLE_TARGET);
    Ok(())
}

/// A quiet stretch.
pub(crate) fn skip(report: &mut Report) -> anyhow::Result<()> {
    let took = in_world(&awake(spec(&["main"], 10)), |world| async move {
        world.env().sleep(SETTLED).await;
        fill(&world, SKIP_OBJECTS).await?;
        let begun = Instant::now();
        world.apply(Action::Skip(THREE_WEEKS)).await.map_err(anyhow::Error::msg)?;
        Ok(begun.elapsed().as_secs_f64())
    })?;
    report.add(SKIP, Summary::once(took), "s", SKIP_TARGET);
    Ok(())
}

/// From the moment at which the first node begins until every node has made anew what was on a disk that is pulled; the
/// same bytes on it in every cluster. How soon the first one notices is a matter of its next look, not of the work.
pub(crate) fn recovery(report: &mut Report) -> anyhow::Result<()> {
    let mut times: Vec<f64> = Vec::new();
    for (nodes, name) in [5, 10, 20, 40].into_iter().zip(RECOVERIES) {
        let mut spec = awake(spec(&["main"], nodes));
        for cluster in spec.clusters.values_mut() {
            cluster.volumes_per_node = 1;
        }
        let took = in_world(&spec, move |world| async move {
            world.env().sleep(SETTLED).await;
            while streams(&world).await? < PER_VOLUME {
                fill(&world, nodes).await?;
            }
            recover(&world).await
        })?;
        report.add(name, Summary::once(took), "s", RECOVERY_TARGET);
        times.push(took);
    }
    for (pair, name) in times.windows(2).zip(FASTER) {
        report.add(name, Summary::once(pair[1] / pair[0]), "x", FASTER_TARGET);
    }
    Ok(())
}

async fn recover(world: &Arc<dyn World>) -> anyhow::Result<f64> {
    let nodes = world.nodes("main");
    let victim: DiskRef = world.disks(&nodes[0]).first().context("a node has a disk")?.clone();
    let expected = streams(world).await?;
    world.apply(Action::PullDisk(victim)).await.map_err(anyhow::Error::msg)?;
    let pulled = world.env().now();
    let waits = || world.env().now().since(pulled) < RECOVERED_WITHIN;
    while sum(world, "recoveries begun").await? == 0 {
        anyhow::ensure!(waits(), "nobody recovers the volume");
        world.env().sleep(LOOK_EVERY).await;
    }
    let begun = world.env().now();
    for node in &nodes[1..] {
        while count(world, node, "recoveries completed").await? == 0 {
            anyhow::ensure!(waits(), "{node} has not recovered the volume");
            world.env().sleep(LOOK_EVERY).await;
        }
    }
    let took = world.env().now().since(begun).as_secs_f64();
    let made = sum(world, "copies made").await?;
    anyhow::ensure!(
        (expected * 9 / 10..expected * 11 / 10).contains(&made),
        "{made} copies were made in place of about {expected}"
    );
    Ok(took)
}

/// Replicas on the first volume of the first node, the one that is lost.
async fn streams(world: &Arc<dyn World>) -> anyhow::Result<u64> {
    let status = status(world, &world.nodes("main")[0]).await?;
    Ok(status["volumes"][0]["streams"].as_u64().unwrap_or(0))
}

/// A counter of all nodes' health processors.
async fn sum(world: &Arc<dyn World>, name: &str) -> anyhow::Result<u64> {
    let mut sum = 0;
    for node in world.nodes("main") {
        sum += count(world, &node, name).await?;
    }
    Ok(sum)
}

/// A counter of a node's health processor.
async fn count(world: &Arc<dyn World>, node: &NodeRef, name: &str) -> anyhow::Result<u64> {
    let status = status(world, node).await?;
    Ok(status["health"]["counters"][name].as_u64().unwrap_or(0))
}

async fn status(world: &Arc<dyn World>, node: &NodeRef) -> anyhow::Result<serde_json::Value> {
    let client = Client::new(world.clients()[0].clone(), ClientOptions::default());
    let request = Request::new(world.management(node), "GET", "/api/status");
    let mut response = client.send(request).await?;
    let body = response.body.collect(4 << 20).await?;
    Ok(serde_json::from_slice(&body)?)
}
