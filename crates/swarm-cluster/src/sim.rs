//! Clusters in a simulated world.
//!
//! Owns how a [`WorldSpec`] becomes hosts, disks and links of `swarm-sim`, and what each [`Action`](crate::Action) means
//! there. Holds no state of a node but weak handles: after a kill or a power cut a node is rebuilt from its disks alone.

mod disks;
mod network;
mod world;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use swarm_env::{Bug, Env, PlantedBugs};
use swarm_http::{HttpConfig, Server};
use swarm_node::{Node, NodeConfig, WeakNode};
use swarm_sim::{DiskModel, Heads, HostId, Latency, LinkModel, Sim, SimHandle, SimOptions, Trace};
use swarm_types::ClusterName;

use crate::control::World;
use crate::log::Reports;
use crate::spec::{
    ClusterSpec, DiskKind, DiskRef, LatencySpec, LinkSpec, NodeRef, WorldSpec, settings_of,
};
use disks::SimulatedDisk;
use world::{SimWorld, SimulatedNode};

/// Name of the host on which the harness runs.
const HARNESS: &str = "harness";
/// SCSP port of every node.
const SCSP_PORT: u16 = 80;
/// Management port of every node.
const MANAGEMENT_PORT: u16 = 91;
/// Port for replicas between nodes.
const PEER_PORT: u16 = 6000;
/// Port of the nodes' datagrams.
const GROUP_PORT: u16 = 7000;
/// Nodes of a cluster: the last part of their addresses is their number.
const NODES_MAX: u32 = 250;
/// Clusters side by side.
const CLUSTERS_MAX: usize = 100;

/// How a simulated world is run.
#[derive(Default)]
pub struct RunOptions {
    /// What is recorded of the run.
    pub trace: TraceMode,
    /// When another thread sets this, the run ends with [`RunError::Aborted`].
    pub abort: Arc<AtomicBool>,
    /// Where what the nodes report is kept, if anybody wants it.
    pub reports: Option<Reports>,
}

/// What is recorded of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TraceMode {
    /// The rolling hash.
    #[default]
    Hash,
    /// Nothing: the hash is all zeros.
    Off,
    /// The rolling hash, and every record as a line of this file.
    Text(PathBuf),
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Finished<T> {
    /// What the harness returned.
    pub output: T,
    /// Hash of the event trace: equal for equal runs.
    pub trace_hash: String,
    /// Events that fired.
    pub events: u64,
    /// Tasks that were polled.
    pub polls: u64,
    /// Virtual time that passed.
    pub simulated: Duration,
}

/// A run that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The world cannot be built; a sentence for whoever wrote its description.
    #[error("{0}")]
    Spec(String),
    /// The file for the trace cannot be written.
    #[error("cannot write the trace to {path}")]
    Trace {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another thread ended the run.
    #[error("the run was ended from outside")]
    Aborted,
    /// The kernel refused to go on: a deadlock, tasks that spin, memory shared between machines.
    #[error(transparent)]
    Halted(swarm_sim::Halt),
}

impl RunError {
    /// True if the nodes ended the run by what no program may do: tasks that spin, memory shared between machines,
    /// threads of their own. The rest is the doing of whoever described or drove the world.
    #[must_use]
    pub fn is_fault_of_the_code(&self) -> bool {
        match self {
            Self::Halted(swarm_sim::Halt::Stuck { host, .. }) => host != HARNESS,
            Self::Halted(halt) => matches!(
                halt,
                swarm_sim::Halt::ForeignWake { .. } | swarm_sim::Halt::WakeAcrossHosts { .. }
            ),
            Self::Spec(_) | Self::Trace { .. } | Self::Aborted => false,
        }
    }
}

/// Whether this build can plant bugs: a normal one cannot.
pub const CAN_PLANT: bool = PlantedBugs::POSSIBLE;

/// The names of the bugs that a [`WorldSpec`] may plant, if this build [can](CAN_PLANT).
pub fn planted_names() -> impl Iterator<Item = &'static str> {
    Bug::ALL.iter().map(|bug| bug.name())
}

/// Builds the world, starts every node, runs `harness` in it to its end. Everything in the harness that waits, throws
/// dice or speaks must do so through the environments of the [`World`] that it is given.
///
/// # Errors
/// See [`RunError`].
pub fn run<T, F, Fut>(
    spec: &WorldSpec,
    options: RunOptions,
    harness: F,
) -> Result<Finished<T>, RunError>
where
    F: FnOnce(Arc<dyn World>) -> Fut,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let reports = options.reports.clone();
    let mut sim = Sim::new(sim_options(spec, options)?);
    let handle = sim.handle();
    let host = handle.add_host(HARNESS, Ipv4Addr::new(10, 250, 0, 1));
    let world = build(spec, &handle, host)?;
    for node in &world.nodes {
        drop(handle.start(node.host));
    }
    let run = || sim.run(host, harness(Arc::new(world)));
    let ended = match reports {
        Some(reports) => {
            let next = tracing::dispatcher::get_default(Clone::clone);
            tracing::dispatcher::with_default(&reports.beside(next), run)
        }
        None => run(),
    };
    let output = ended.map_err(|halt| match halt {
        swarm_sim::Halt::Aborted { .. } => RunError::Aborted,
        halt => RunError::Halted(halt),
    })?;
    let counts = handle.counts();
    Ok(Finished {
        output,
        trace_hash: handle.trace_hash(),
        events: counts.events,
        polls: counts.polls,
        simulated: handle.now().since(swarm_types::Instant::ZERO),
    })
}

fn sim_options(spec: &WorldSpec, options: RunOptions) -> Result<SimOptions, RunError> {
    let mut planted = Vec::new();
    for name in &spec.planted {
        planted.push(
            Bug::from_name(name)
                .ok_or_else(|| RunError::Spec(format!("no planted bug {name:?}")))?,
        );
    }
    if !planted.is_empty() && !PlantedBugs::POSSIBLE {
        return Err(RunError::Spec(
            "this build cannot plant bugs: it lacks the feature planted-bugs".to_owned(),
        ));
    }
    let trace = match options.trace {
        TraceMode::Off => Trace::Off,
        TraceMode::Hash => Trace::Hash,
        TraceMode::Text(path) => match std::fs::File::create(&path) {
            Ok(file) => Trace::Text(Box::new(std::io::BufWriter::new(file))),
            Err(source) => return Err(RunError::Trace { path, source }),
        },
    };
    Ok(SimOptions {
        trace,
        planted: PlantedBugs::new(planted),
        abort: options.abort,
        ..SimOptions::new(spec.seed)
    })
}

fn build(spec: &WorldSpec, handle: &SimHandle, harness: HostId) -> Result<SimWorld, RunError> {
    if spec.clusters.len() > CLUSTERS_MAX {
        return Err(RunError::Spec(format!("more than {CLUSTERS_MAX} clusters")));
    }
    let clients = (1..=spec.client_hosts)
        .map(|number| {
            let last = u8::try_from(number).ok().filter(|last| *last <= 250);
            let last =
                last.ok_or_else(|| RunError::Spec("more than 250 client hosts".to_owned()))?;
            let host =
                handle.add_host(&format!("client/{number}"), Ipv4Addr::new(10, 200, 0, last));
            Ok((host, handle.env(host)))
        })
        .collect::<Result<Vec<(HostId, Env)>, RunError>>()?;
    let (mut nodes, mut disks) = (Vec::new(), Vec::new());
    for (number, (name, cluster)) in (1_u8..).zip(&spec.clusters) {
        if !(1..=NODES_MAX).contains(&cluster.nodes) {
            return Err(RunError::Spec(format!("cluster {name} needs 1 to {NODES_MAX} nodes")));
        }
        let (zone, link) = (u32::from(number), link_model(&cluster.lan));
        handle.set_link(zone, zone, link);
        handle.set_link(0, zone, link);
        handle.set_link(zone, 0, link);
        for node in 1..=cluster.nodes {
            nodes.push(add_node(handle, number, name, cluster, node, &mut disks));
        }
    }
    let zones: BTreeMap<&str, u32> = spec.clusters.keys().map(String::as_str).zip(1..).collect();
    for (name, link) in &spec.links {
        let (from, to) = &link.between;
        let (Some(from), Some(to)) = (zones.get(from.as_str()), zones.get(to.as_str())) else {
            return Err(RunError::Spec(format!("link {name} is not between two clusters")));
        };
        if from == to {
            return Err(RunError::Spec(format!("link {name} needs two clusters")));
        }
        let model = link_model(&link.link);
        handle.set_link(*from, *to, model);
        handle.set_link(*to, *from, model);
    }
    let zones = zones.into_iter().map(|(name, zone)| (name.to_owned(), zone)).collect();
    Ok(SimWorld::new(handle.clone(), handle.env(harness), clients, nodes, disks, zones))
}

fn add_node(
    handle: &SimHandle,
    number: u8,
    name: &str,
    cluster: &ClusterSpec,
    node: u32,
    disks: &mut Vec<SimulatedDisk>,
) -> SimulatedNode {
    let reference = NodeRef { cluster: name.to_owned(), node };
    let last = u8::try_from(node).expect("NODES_MAX is checked before");
    let ip = Ipv4Addr::new(10, number, 0, last);
    let host = handle.add_node(&reference.to_string(), ip, u32::from(number));
    for disk in 1..=cluster.volumes_per_node {
        let disk = DiskRef { node: reference.clone(), disk };
        let model = disk_model(cluster.disk);
        disks.push(SimulatedDisk::deliver(handle, host, disk, cluster.volume_size, model));
    }
    if let Some(clock) = cluster.clocks.get(&node) {
        drop(handle.skew(host, clock.offset_ns));
        if clock.drift_ppm != 0 {
            drop(handle.drift(host, clock.drift_ppm));
        }
    }
    let config = NodeConfig {
        cluster: ClusterName::from(name),
        scsp_port: SCSP_PORT,
        peer_port: PEER_PORT,
        group: SocketAddrV4::new(Ipv4Addr::new(224, 0, 10, 100 + number), GROUP_PORT),
        settings: settings_of(&cluster.settings, &cluster.node_settings, node),
    };
    let running: Arc<Mutex<Option<WeakNode>>> = Arc::default();
    let slot = Arc::clone(&running);
    handle.set_boot(host, move |env| boot(env, config.clone(), Arc::clone(&slot)));
    SimulatedNode {
        reference,
        host,
        running,
        scsp: SocketAddr::from((ip, SCSP_PORT)),
        management: SocketAddr::from((ip, MANAGEMENT_PORT)),
    }
}

/// What an incarnation of a node runs first. A node that cannot start is a mistake of the harness, and stops as a panic.
async fn boot(env: Env, config: NodeConfig, slot: Arc<Mutex<Option<WeakNode>>>) {
    let scsp_port = config.scsp_port;
    let node = Node::start(env, config)
        .await
        .unwrap_or_else(|error| panic!("the node does not start: {error}"));
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(node.downgrade());
    let http = HttpConfig { scsp_port, management_port: MANAGEMENT_PORT };
    if let Err(error) = Server::start(&node, http).await {
        panic!("the node does not listen: {error}");
    }
}

fn latency_of(latency: LatencySpec) -> Latency {
    match latency {
        LatencySpec::Even { min, max } => Latency::even(min, max),
        LatencySpec::Percentiles { p50, p99 } => Latency::of_percentiles(p50, p99),
    }
}

fn link_model(link: &LinkSpec) -> LinkModel {
    LinkModel {
        latency: latency_of(link.latency),
        bandwidth_bits: link.bandwidth_bits,
        loss_ppm: link.loss_ppm,
        ..LinkModel::default()
    }
}

const fn disk_model(kind: DiskKind) -> DiskModel {
    match kind {
        DiskKind::Nvme => DiskModel::NVME,
        DiskKind::Ssd => DiskModel::SSD,
        DiskKind::Hdd => DiskModel::HDD,
        DiskKind::Own { latency, bandwidth } => {
            DiskModel { request: latency, bandwidth, sync: latency, heads: Heads::Many }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_sim::Halt;

    #[test]
    fn a_run_that_halts_is_the_fault_of_the_nodes_or_of_their_harness() {
        let stuck = |host: &str| Halt::Stuck {
            at: swarm_types::Instant::ZERO,
            polls: 1,
            task: "spins",
            host: host.to_owned(),
        };
        for (halt, of_the_code) in [
            (stuck("main/1"), true),
            (stuck(HARNESS), false),
            (Halt::ForeignWake { host: "main/1".to_owned() }, true),
            (Halt::WakeAcrossHosts { from: "main/1".to_owned(), to: "main/2".to_owned() }, true),
            (Halt::Deadlock { at: swarm_types::Instant::ZERO }, false),
            (Halt::HostEnded { why: "it panicked".to_owned() }, false),
        ] {
            let text = halt.to_string();
            assert_eq!(RunError::Halted(halt).is_fault_of_the_code(), of_the_code, "{text}");
        }
    }
}
