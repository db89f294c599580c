//! What a simulated world is made of, as values.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use swarm_env::PlantedBugs;
use swarm_types::Timestamp;

/// The UTC time at which every world begins: 2026-01-01 00:00:00.
pub const WORLD_BEGINS: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Polls without an event in between after which a run is called stuck: far above what a few hundred hosts do at once, and reached
/// within a second by two tasks that wake each other for ever.
pub const POLLS_WITHOUT_EVENT_MAX: u64 = 200_000;

/// How a world is run.
pub struct SimOptions {
    /// The seed of every choice.
    pub seed: u64,
    /// What is recorded of the run.
    pub trace: Trace,
    /// The planted bugs that every environment of this world reports.
    pub planted: PlantedBugs,
    /// The network between hosts that have no link of their own.
    pub link: LinkModel,
    /// Polls without an event after which the run fails, see [`POLLS_WITHOUT_EVENT_MAX`].
    pub polls_without_event_max: u64,
    /// When another thread sets this, the run ends with [`crate::Halt::Aborted`].
    pub abort: Arc<AtomicBool>,
}

impl SimOptions {
    /// A traced world of this seed on a default network.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            trace: Trace::Hash,
            planted: PlantedBugs::default(),
            link: LinkModel::default(),
            polls_without_event_max: POLLS_WITHOUT_EVENT_MAX,
            abort: Arc::default(),
        }
    }
}

/// What is recorded of a run.
pub enum Trace {
    /// Nothing: the hash is all zeros.
    Off,
    /// The rolling hash.
    Hash,
    /// The rolling hash, and every record as a line of text.
    Text(Box<dyn Write + Send>),
}

/// The network between two hosts, one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkModel {
    /// Delay, drawn anew for every delivery.
    pub latency: Latency,
    /// Bits per second, shared by everything that a host sends into this link.
    pub bandwidth_bits: u64,
    /// Lost packets in a million: datagrams are lost, streams delayed by a retransmission.
    pub loss_ppm: u32,
    /// Doubled datagrams in a million.
    pub duplicate_ppm: u32,
    /// Datagrams in a million that are held back by up to ten times the longest delay.
    pub reorder_ppm: u32,
}

impl Default for LinkModel {
    /// 0.2 to 0.9 ms, 10 Gbit/s, nothing lost.
    fn default() -> Self {
        Self {
            latency: Latency::even(Duration::from_micros(200), Duration::from_micros(900)),
            bandwidth_bits: 10_000_000_000,
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
        }
    }
}

/// How long a way takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    min: Duration,
    max: Duration,
    /// Half of all delays are below the first, 99 in 100 below the second; evenly spread in between, as from the shortest and
    /// to the longest. `None`: evenly from the shortest to the longest.
    bends: Option<(Duration, Duration)>,
}

impl Latency {
    /// Evenly spread between two delays; the longest is at least the shortest.
    #[must_use]
    pub const fn even(min: Duration, max: Duration) -> Self {
        let max = if max.as_nanos() < min.as_nanos() { min } else { max };
        Self { min, max, bends: None }
    }

    /// Half of all delays are below `p50`, 99 in 100 below `p99`, which is at least `p50`. The shortest is four fifths of
    /// `p50`, the longest as far beyond `p99` as that is beyond `p50` (our choice: long ways have a floor and a short tail).
    #[must_use]
    pub fn of_percentiles(p50: Duration, p99: Duration) -> Self {
        let p99 = p99.max(p50);
        let max = p99.saturating_add(p99.saturating_sub(p50));
        Self { min: p50 / 5 * 4, max, bends: Some((p50, p99)) }
    }

    /// The shortest.
    #[must_use]
    pub const fn min(&self) -> Duration {
        self.min
    }

    /// The longest.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }

    pub(crate) const fn bends(&self) -> Option<(Duration, Duration)> {
        self.bends
    }
}

/// What a fault makes of a link; what is not named stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkChange {
    /// Delay.
    pub latency: Option<Latency>,
    /// Bits per second.
    pub bandwidth_bits: Option<u64>,
    /// Lost packets in a million.
    pub loss_ppm: Option<u32>,
    /// Doubled datagrams in a million.
    pub duplicate_ppm: Option<u32>,
    /// Datagrams in a million that are held back.
    pub reorder_ppm: Option<u32>,
}

impl LinkChange {
    pub(crate) fn of(&self, link: LinkModel) -> LinkModel {
        LinkModel {
            latency: self.latency.unwrap_or(link.latency),
            bandwidth_bits: self.bandwidth_bits.unwrap_or(link.bandwidth_bits),
            loss_ppm: self.loss_ppm.unwrap_or(link.loss_ppm),
            duplicate_ppm: self.duplicate_ppm.unwrap_or(link.duplicate_ppm),
            reorder_ppm: self.reorder_ppm.unwrap_or(link.reorder_ppm),
        }
    }
}

/// Speed of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskModel {
    /// Time of one request.
    pub request: Duration,
    /// Bytes per second.
    pub bandwidth: u64,
    /// Time of one sync.
    pub sync: Duration,
    /// Whether requests wait for each other (one head) or overlap.
    pub heads: Heads,
}

/// Whether the requests of a disk overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// One after another.
    One,
    /// Only their bytes queue.
    Many,
}

impl DiskModel {
    /// 20 µs a request, 3 GB/s, sync 30 µs.
    pub const NVME: Self = Self {
        request: Duration::from_micros(20),
        bandwidth: 3_000_000_000,
        sync: Duration::from_micros(30),
        heads: Heads::Many,
    };
    /// 80 µs a request, 500 MB/s, sync 400 µs.
    pub const SSD: Self = Self {
        request: Duration::from_micros(80),
        bandwidth: 500_000_000,
        sync: Duration::from_micros(400),
        heads: Heads::Many,
    };
    /// 6 ms a request, 180 MB/s, sync 8 ms.
    pub const HDD: Self = Self {
        request: Duration::from_millis(6),
        bandwidth: 180_000_000,
        sync: Duration::from_millis(8),
        heads: Heads::One,
    };
}
