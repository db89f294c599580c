//! What a world is made of, as values.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A world: clusters side by side. Simulated worlds are a function of this value alone.
#[derive(Debug, Clone)]
pub struct WorldSpec {
    /// The seed of every choice.
    pub seed: u64,
    /// The clusters, by name.
    pub clusters: BTreeMap<String, ClusterSpec>,
    /// The links between clusters, by name. Two clusters without one are as close as the nodes of one cluster.
    pub links: BTreeMap<String, InterLinkSpec>,
    /// Names of planted bugs to switch on; refused in a build without the feature `planted-bugs`.
    pub planted: Vec<String>,
    /// How many client hosts stand outside the clusters.
    pub client_hosts: u32,
}

/// One cluster.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// Number of nodes; they are `NAME/1` … `NAME/n`.
    pub nodes: u32,
    /// Disks of each node; they are `NAME/NODE/1` ….
    pub volumes_per_node: u32,
    /// Size of each disk in bytes. Only what is written takes memory.
    pub volume_size: u64,
    /// Speed of the disks.
    pub disk: DiskKind,
    /// Swarm settings by their documented names, as text.
    pub settings: BTreeMap<String, String>,
    /// Settings of single nodes, by node number, laid over those of the cluster.
    pub node_settings: BTreeMap<u32, BTreeMap<String, String>>,
    /// The network between the nodes and to the clients.
    pub lan: LinkSpec,
    /// Clocks that are off, by node number.
    pub clocks: BTreeMap<u32, ClockSpec>,
}

/// The settings of a node: its own, over those of its cluster.
pub(crate) fn settings_of(
    cluster: &BTreeMap<String, String>,
    nodes: &BTreeMap<u32, BTreeMap<String, String>>,
    node: u32,
) -> BTreeMap<String, String> {
    let own = nodes.get(&node).into_iter().flatten();
    let all = cluster.iter().chain(own);
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Speed of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskKind {
    /// 20 µs a request, 3 GB/s, sync 30 µs.
    Nvme,
    /// 80 µs a request, 500 MB/s, sync 400 µs.
    Ssd,
    /// 6 ms a request, 180 MB/s, sync 8 ms.
    Hdd,
    /// A disk whose requests overlap, as fast as this; a sync takes as long as a request.
    Own {
        /// Time of one request.
        latency: Duration,
        /// Bytes per second.
        bandwidth: u64,
    },
}

/// A network link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSpec {
    /// One-way delay.
    pub latency: LatencySpec,
    /// Bits per second.
    pub bandwidth_bits: u64,
    /// Lost share, in parts per million: datagrams are lost, streams delayed by a retransmission.
    pub loss_ppm: u32,
}

/// The network between two clusters, the same in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterLinkSpec {
    /// The names of the two.
    pub between: (String, String),
    /// What it is like.
    pub link: LinkSpec,
}

/// A delay, drawn anew for every delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatencySpec {
    /// Evenly spread between two.
    Even {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// Half of all delays are below the one, 99 in 100 below the other; the shortest is four fifths of `p50`, the longest as
    /// far beyond `p99` as that is beyond `p50` (our choice).
    Percentiles {
        /// The median.
        p50: Duration,
        /// The 99th percentile.
        p99: Duration,
    },
}

impl LatencySpec {
    /// A delay that is exceeded once in a hundred times at most.
    #[must_use]
    pub const fn mostly_below(&self) -> Duration {
        match self {
            Self::Even { max, .. } => *max,
            Self::Percentiles { p99, .. } => *p99,
        }
    }
}

impl Default for LinkSpec {
    /// 0.2 to 0.9 ms, 10 Gbit/s, no loss.
    fn default() -> Self {
        Self {
            latency: LatencySpec::Even {
                min: Duration::from_micros(200),
                max: Duration::from_micros(900),
            },
            bandwidth_bits: 10_000_000_000,
            loss_ppm: 0,
        }
    }
}

/// A clock that is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockSpec {
    /// Added to true time, in nanoseconds.
    pub offset_ns: i64,
    /// Microseconds that it gains in a second; a live world does not have this.
    pub drift_ppm: i32,
}

/// One node: `main/3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeRef {
    /// Name of its cluster.
    pub cluster: String,
    /// Its number, from 1.
    pub node: u32,
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.node)
    }
}

/// One disk: `main/3/1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskRef {
    /// The node it was delivered in.
    pub node: NodeRef,
    /// Its number in that node, from 1.
    pub disk: u32,
}

impl fmt::Display for DiskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.disk)
    }
}
