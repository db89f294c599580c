//! Values of the language as text again, in the words that a file uses: for reports and for `scenario show`.

use std::fmt;
use std::time::Duration;

use swarm_cluster::{DiskFault, LatencySpec, LinkChange};

use super::model::{
    ClockVerb, ClusterMetric, Company, Comparison, Counted, Direction, DiskSelector, DiskVerb,
    Event, FeedMetric, Is, Metric, NetworkVerb, NodeSelector, ObjectRef, Percentile, Power, Retire,
    Start, Subject, Targets, Truncated, Verb, Via, When, Window, WorkloadMetric,
};
use super::units::{Span, show, show_size};

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return f.write_str(&show(self.min));
        }
        write!(f, "{}..{}", show(self.min), show(self.max))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts(name) => write!(f, "{name} starts"),
            Self::Ends(name) => write!(f, "{name} ends"),
            Self::Acknowledged { workload, nth, of } => {
                write!(f, "{workload}: {} {} acknowledged", ordinal(*nth), of.word())
            }
            Self::HalfSent { workload, nth, of } => {
                write!(f, "{workload}: {} {} half sent", ordinal(*nth), of.word())
            }
            Self::Healthy(cluster) => write!(f, "{cluster} healthy"),
            Self::AtRest(cluster) => write!(f, "{cluster} at rest"),
            Self::Protected(cluster) => write!(f, "{cluster} fully protected"),
            Self::Gone(object) => write!(f, "{} is gone", object.object),
            Self::Drained(feed) => write!(f, "{feed} drained"),
        }
    }
}

/// `1st`, `22nd`, `200th`.
fn ordinal(number: u64) -> String {
    let end = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(span) => write!(f, "{span}"),
            Self::After { event, wait } if wait.max.is_zero() => write!(f, "{event}"),
            Self::After { event, wait } => write!(f, "{event} + {wait}"),
        }
    }
}

impl fmt::Display for NodeSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::These(nodes) => f.write_str(&listed(nodes)),
            Self::Some(count, cluster) => write!(f, "{count} of {cluster}"),
            Self::All(cluster) => write!(f, "all of {cluster}"),
            Self::Rest(cluster) => write!(f, "rest of {cluster}"),
            Self::Step(name) => write!(f, "those of {name}"),
            Self::Each => f.write_str("each"),
        }
    }
}

impl fmt::Display for DiskSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::These(disks) => f.write_str(&listed(disks)),
            Self::SomeOfNode(count, node) => write!(f, "{count} of {node}"),
            Self::Some(count, cluster) => write!(f, "{count} disks of {cluster}"),
            Self::All(cluster) => write!(f, "all disks of {cluster}"),
            Self::Step(name) => write!(f, "those of {name}"),
            Self::Each => f.write_str("each"),
        }
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(nodes) => nodes.fmt(f),
            Self::Disks(disks) => disks.fmt(f),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyNode => f.write_str("any node"),
            Self::RoundRobin => f.write_str("round robin"),
            Self::Node(node) => node.fmt(f),
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::PowerOff => "power-off",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart(_) => "restart",
            Self::Pause => "pause",
            Self::Wipe => "wipe",
            Self::Panic(point, _) => return write!(f, "panic at {}", point.word()),
        })
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power(power @ Power::Restart(down), nodes) => {
                write!(f, "{power} {nodes}, down for {down}")
            }
            Self::Power(power, nodes) => write!(f, "{power} {nodes}"),
            Self::Network(verb) => verb.fmt(f),
            Self::Disk(verb) => verb.fmt(f),
            Self::Clock(verb) => verb.fmt(f),
            Self::Request(request) => write!(f, "request {} {}", request.method, request.path),
            Self::StartWorkload(name) => write!(f, "start-workload {name}"),
            Self::StopWorkload(name) => write!(f, "stop-workload {name}"),
            Self::Retire { of, how: Retire::Slow } => write!(f, "retire {of}"),
            Self::Retire { of, how: Retire::Fast } => write!(f, "retire {of}, fast"),
            Self::Retire { of, how: Retire::Cancel } => write!(f, "cancel-retire {of}"),
            Self::MountStale(of) => write!(f, "mount-stale {of}"),
            Self::Set { cluster, name, value } => write!(f, "set {name} of {cluster} to {value}"),
            Self::Remember(cluster) => write!(f, "remember {cluster}"),
            Self::Feed(verb, feed) => write!(f, "{} {feed}", verb.word()),
            Self::Restore { snapshot, from, to } => {
                write!(f, "restore {snapshot} from {from} to {to}")
            }
        }
    }
}

impl fmt::Display for NetworkVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isolate(nodes) => write!(f, "isolate {nodes}"),
            Self::Partition(groups) => {
                let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
                write!(f, "partition {}", groups.join(" | "))
            }
            Self::BreakMulticast(nodes) => write!(f, "break-multicast {nodes}"),
            Self::Heal(None) => f.write_str("heal the whole network"),
            Self::Heal(Some(step)) => write!(f, "heal {step}"),
            Self::Cut { nodes, to, direction } => {
                write!(f, "cut {nodes} off")?;
                if let Some(to) = to {
                    write!(f, " from {to}")?;
                }
                f.write_str(match direction {
                    Direction::Both => "",
                    Direction::Out => ", outwards",
                    Direction::In => ", inwards",
                })
            }
            Self::HalfOpen(nodes) => write!(f, "half-open {nodes}"),
            Self::Degrade { nodes, with, change } => {
                write!(f, "degrade {nodes}")?;
                match with {
                    Company::Nodes => {}
                    Company::Clients => f.write_str(" with clients")?,
                    Company::These(others) => write!(f, " with {others}")?,
                }
                write!(f, ": {}", show_change(change))
            }
            Self::Truncate { request, at_byte, .. } => {
                write!(f, "truncate {request} at {}", show_size(*at_byte))
            }
            Self::LoseReply { nodes, .. } => write!(f, "lose-reply {nodes}"),
        }
    }
}

impl fmt::Display for DiskVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rot(disks, share) => write!(f, "rot {} of {disks}", show_share(*share)),
            Self::Unreadable(disks, share) => {
                write!(f, "unreadable {} of {disks}", show_share(*share))
            }
            Self::Fault(disks, fault) => {
                let (word, how) = show_disk_fault(fault);
                write!(f, "{word} {disks}{how}")
            }
            Self::Heal(disks) => write!(f, "heal-disk {disks}"),
            Self::Pull(disks) => write!(f, "pull-disk {disks}"),
            Self::Insert(disks, None) => write!(f, "insert-disk {disks}"),
            Self::Insert(disks, Some(into)) => write!(f, "insert-disk {disks} into {into}"),
            Self::Replace(disks) => write!(f, "replace-disk {disks}"),
            Self::LoseIndex(disks) => write!(f, "lose-index {disks}"),
        }
    }
}

impl fmt::Display for ClockVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skew(nodes, offset) => write!(f, "skew {nodes} by {}", show_offset(*offset)),
            Self::Drift(nodes, ppm) => write!(f, "drift {nodes} by {ppm} ppm"),
            Self::Step(nodes, by) => write!(f, "step-clock {nodes} by {}", show_offset(*by)),
            Self::Skip(by) => write!(f, "skip {by}"),
        }
    }
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfWorkload(name, 1) => write!(f, "the next write of {name}"),
            Self::OfWorkload(name, nth) => {
                write!(f, "the {} write of {name}", ordinal((*nth).into()))
            }
            Self::ToNodes(nodes) => write!(f, "the next request to {nodes}"),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Times(from, to) => write!(f, "{}..{}", show(*from), show(*to)),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(None, within) => write!(f, "within {}", show(*within)),
            Self::Within(Some(event), within) => {
                write!(f, "within {} after {event}", show(*within))
            }
            Self::During(window) => write!(f, "during {window}"),
            Self::At(at) => write!(f, "at {}", show(*at)),
            Self::End => f.write_str("at the end"),
            Self::Never => f.write_str("at no time"),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.object)?;
        match &self.via {
            Via::Node(node) => write!(f, " through {node}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "= {text}"),
            Self::Matches(pattern) => write!(f, "matches {pattern}"),
            Self::Number(comparison, number) => write!(f, "{} {number}", comparison.word()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy(cluster) => write!(f, "{cluster} healthy"),
            Self::AtRest(cluster) => write!(f, "{cluster} at rest"),
            Self::Protected(cluster) => write!(f, "{cluster} fully protected"),
            Self::NoOrphans(cluster) => write!(f, "{cluster} without orphans"),
            Self::Readable(object) => write!(f, "{object} readable"),
            Self::Gone(object) => write!(f, "{object} gone"),
            Self::Copies(object, is) => write!(f, "copies of {object} {is}"),
            Self::Header { object, name, is } => write!(f, "header {name} of {object} {is}"),
            Self::Answer { of, .. } => write!(f, "the answer to {of}"),
            Self::State { of, is } => write!(f, "{of} {is}"),
            Self::Reports { of, is } => write!(f, "{of} reports {is}"),
            Self::Equals { cluster, snapshot } => write!(f, "{cluster} equals {snapshot}"),
            Self::Drained(feed) => write!(f, "{feed} drained"),
            Self::FeedState { feed, is } => write!(f, "{feed} {is}"),
            Self::SameObjects(one, other) => write!(f, "same objects on {one} and {other}"),
            Self::HoldsAll { cluster, of } => {
                write!(f, "{cluster} holds every acknowledged object of {of}")
            }
            Self::Metric { metric, is, value } => {
                write!(f, "{metric} {} {}", is.word(), metric.shown(*value))
            }
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(of, metric) => write!(f, "{metric} of {of}"),
            Self::Cluster(of, metric) => write!(f, "{metric} of {of}"),
            Self::Feed(of, metric) => write!(f, "{metric} of {of}"),
            Self::Bytes(of) => write!(f, "bytes of {of}"),
        }
    }
}

impl fmt::Display for WorkloadMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |counted: &Counted| counted.word();
        match self {
            Self::Latency(counted, Percentile::P50) => write!(f, "{} latency p50", word(counted)),
            Self::Latency(counted, Percentile::P99) => write!(f, "{} latency p99", word(counted)),
            Self::Latency(counted, Percentile::Max) => write!(f, "{} latency max", word(counted)),
            Self::FailedShare(counted) => write!(f, "failed {} share", word(counted)),
            Self::AcknowledgedCount(counted) => write!(f, "acknowledged {} count", word(counted)),
        }
    }
}

impl fmt::Display for ClusterMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UsedSpace => "used space",
            Self::RecoveryTime => "recovery time",
            Self::CopiesMoved => "copies moved",
        })
    }
}

impl fmt::Display for FeedMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rpo(Percentile::P50) => "rpo p50",
            Self::Rpo(Percentile::P99) => "rpo p99",
            Self::Rpo(Percentile::Max) => "rpo max",
            Self::DrainTime => "drain time",
            Self::Backlog => "backlog",
            Self::OldestPending => "oldest pending",
        })
    }
}

impl Metric {
    /// A value of it as people write it.
    pub(crate) fn shown(&self, value: u64) -> String {
        match self {
            Self::Workload(_, WorkloadMetric::Latency(..)) => show(Duration::from_nanos(value)),
            Self::Workload(_, WorkloadMetric::FailedShare(_)) => {
                format!("{}.{:02}%", value / 10_000, value % 10_000 / 100)
            }
            Self::Workload(_, WorkloadMetric::AcknowledgedCount(_)) => value.to_string(),
            Self::Cluster(_, ClusterMetric::UsedSpace) => show_size(value),
            Self::Cluster(_, ClusterMetric::RecoveryTime) => show(Duration::from_nanos(value)),
            Self::Cluster(_, ClusterMetric::CopiesMoved) => value.to_string(),
            Self::Feed(_, FeedMetric::Backlog) => value.to_string(),
            Self::Feed(..) => show(Duration::from_nanos(value)),
            Self::Bytes(_) => show_size(value),
        }
    }
}

impl Is {
    /// Whether this value is so; a number is read out of it where one is asked for.
    pub(crate) fn holds(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::Matches(pattern) => pattern.matches(value),
            Self::Number(comparison, number) => match value.trim().parse() {
                Ok(value) => comparison.holds(value, *number),
                // Text that only looks like a number is compared as text.
                Err(_) => *comparison == Comparison::Equal && number.to_string() == value,
            },
        }
    }
}

/// A delay, as a user might write it.
pub(crate) fn show_latency(latency: LatencySpec) -> String {
    match latency {
        LatencySpec::Even { min, max } => Span { min, max }.to_string(),
        LatencySpec::Percentiles { p50, p99 } => format!("p50 {}, p99 {}", show(p50), show(p99)),
    }
}

/// `latency 50ms..90ms, loss 2%`.
pub(crate) fn show_change(change: &LinkChange) -> String {
    let LinkChange { latency, bandwidth_bits, loss_ppm, duplicate_ppm, reorder_ppm } = change;
    let share =
        |word: &str, ppm: &Option<u32>| ppm.map(|ppm| format!("{word} {}", show_share(ppm)));
    let parts = [
        latency.map(|latency| format!("latency {}", show_latency(latency))),
        bandwidth_bits.map(|bits| format!("bandwidth {bits} bit/s")),
        share("loss", loss_ppm),
        share("duplicate", duplicate_ppm),
        share("reorder", reorder_ppm),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The verb of a fault of disks, and how it is, as what follows the disks.
pub(crate) fn show_disk_fault(fault: &DiskFault) -> (&'static str, String) {
    let share = |ppm: &u32| format!(", {}", show_share(*ppm));
    match fault {
        DiskFault::Slow { latency, bandwidth, over } => {
            let over =
                if over.is_zero() { String::new() } else { format!(" over {}", show(*over)) };
            let how = format!(" to {} and {}/s{over}", show(*latency), show_size(*bandwidth));
            ("slow-disk", how)
        }
        DiskFault::Stalled => ("stall-disk", String::new()),
        DiskFault::FailReads { share_ppm } => ("fail-reads", share(share_ppm)),
        DiskFault::FailWrites { share_ppm } => ("fail-writes", share(share_ppm)),
        DiskFault::FailSyncs { share_ppm } => ("fail-syncs", share(share_ppm)),
        DiskFault::LieAboutSyncs => ("lie-about-syncs", String::new()),
        DiskFault::Misdirect { share_ppm } => ("misdirect", share(share_ppm)),
        DiskFault::ReadOnly => ("read-only", String::new()),
        DiskFault::Full { share_ppm } => ("fill", format!(" to {}", show_share(*share_ppm))),
    }
}

/// `+10m`, `-30s`.
pub(crate) fn show_offset(offset_ns: i64) -> String {
    let sign = if offset_ns < 0 { '-' } else { '+' };
    format!("{sign}{}", show(Duration::from_nanos(offset_ns.unsigned_abs())))
}

/// `0.1%`, `20%` of parts per million.
pub(crate) fn show_share(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `main/1, main/2`.
pub(crate) fn listed<T: fmt::Display>(things: &[T]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_shares_and_offsets_are_told_as_they_are_written() {
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 13, 21, 112, 200].map(ordinal).join(" "),
            "1st 2nd 3rd 4th 11th 12th 13th 21st 112th 200th"
        );
        assert_eq!(
            [1_000, 200_000, 1_000_000, 1].map(show_share).join(" "),
            "0.1% 20% 100% 0.0001%"
        );
        assert_eq!(show_offset(-30_000_000_000), "-30s");
    }

    #[test]
    fn values_of_answers_are_compared_as_text_number_or_pattern() {
        let number = Is::Number(Comparison::AtLeast, 3);
        assert!(number.holds("3") && !number.holds("2") && !number.holds("three"));
        assert!(Is::Number(Comparison::Equal, 3).holds(" 3"));
        assert!(Is::Text("a b".to_owned()).holds("a b"));
    }
}
