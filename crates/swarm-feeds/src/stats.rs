//! What is shown of a feed: its state, its counters on one node, and both rolled up over the cluster.
//!
//! The counters count streams, not objects: every replica is processed (Viewing and Managing the Cluster tells the two
//! apart). That there is an estimated completion is from Viewing and Editing Feeds - Legacy Admin Console; names, precedence
//! of the states and times are our choice.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_types::{Instant, NodeId};

use crate::blockade::TargetTrouble;

/// The state of a feed. Where several hold, the largest is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedState {
    /// Right after the start, before the first look.
    Unknown,
    /// Nothing to do.
    Ok,
    /// Working.
    Processing,
    /// The target asks to be left alone, or more is waiting than the node can keep in mind.
    Overloaded,
    /// The target takes nothing: it is silent, refuses, is full, or does not take the credentials.
    Blocked,
    /// It cannot work until an administrator acts, or the name of the target resolves.
    ConfigError,
    /// An administrator paused it, or a volume is being recovered.
    Paused,
    /// It was deleted, and its last transfers are ending.
    Closed,
}

impl FeedState {
    /// The state as it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Ok => "OK",
            Self::Processing => "Processing",
            Self::Overloaded => "Overloaded",
            Self::Blocked => "Blocked",
            Self::ConfigError => "Config error",
            Self::Paused => "Paused",
            Self::Closed => "Closed",
        }
    }
}

/// How many streams of one node, or of all, stand where. Together they are all streams that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Not looked at since the feed was created, changed, or the node started.
    pub pending_evaluation: u64,
    /// Selected, and waiting for their turn.
    pub pending_processing: u64,
    /// Being delivered.
    pub in_progress: u64,
    /// Not taken by the target, and to be tried again.
    pub retrying: u64,
    /// Delivered.
    pub success: u64,
    /// Out of the feed's scope.
    pub unqualified: u64,
}

impl Gauges {
    /// All streams.
    #[must_use]
    pub const fn streams(&self) -> u64 {
        self.waiting() + self.in_progress + self.retrying + self.success + self.unqualified
    }

    /// Those that nothing has been tried with.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.pending_evaluation + self.pending_processing
    }

    fn add(&mut self, other: &Self) {
        self.pending_evaluation += other.pending_evaluation;
        self.pending_processing += other.pending_processing;
        self.in_progress += other.in_progress;
        self.retrying += other.retrying;
        self.success += other.success;
        self.unqualified += other.unqualified;
    }
}

/// What was done since the node started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// Bytes of bodies that were sent to their end.
    pub transferred_bytes: u64,
    /// Objects that the target stored.
    pub transferred_objects: u64,
    /// Objects that the target had already.
    pub already_present: u64,
    /// Failures by the code that they show.
    pub failures_by_code: BTreeMap<u16, u64>,
}

impl Counters {
    fn add(&mut self, other: &Self) {
        self.transferred_bytes += other.transferred_bytes;
        self.transferred_objects += other.transferred_objects;
        self.already_present += other.already_present;
        for (code, count) in &other.failures_by_code {
            *self.failures_by_code.entry(*code).or_default() += count;
        }
    }
}

/// A feed on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFeed {
    /// Its state there.
    pub state: FeedState,
    /// Why the target takes nothing, if it does not.
    pub reason: Option<TargetTrouble>,
    /// Where the streams stand.
    pub gauges: Gauges,
    /// What was done.
    pub counters: Counters,
    /// Age of the oldest stream that waits or is tried again, at least.
    pub oldest_pending: Option<Duration>,
    /// Streams that left the waiting ones within the last [`WINDOW`].
    pub rate: u64,
}

/// A feed on one node, as the cluster's view shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeView {
    /// The state that it told last.
    pub state: FeedState,
    /// And why.
    pub reason: Option<TargetTrouble>,
    /// Whether that was too long ago to be believed.
    pub stale: bool,
}

/// A feed in the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFeed {
    /// The state of all nodes, or the worst of them.
    pub state: FeedState,
    /// Sums over all nodes, what stale ones told last included.
    pub gauges: Gauges,
    /// Sums over all nodes.
    pub counters: Counters,
    /// Age of the oldest stream that waits or is tried again, at least.
    pub oldest_pending: Option<Duration>,
    /// How long it will take to come to every stream at the present pace; none if nothing moves.
    pub completion: Option<Duration>,
    /// Each node.
    pub nodes: BTreeMap<NodeId, NodeView>,
}

/// What a node told is stale after this long.
pub const STALE_AFTER: Duration = Duration::from_secs(120);

/// Rolls up what the nodes told, each when it did. A stale node's counters go on counting, since its streams are still
/// somewhere; its state does not, unless there is no fresh one.
#[must_use]
pub fn roll_up(told: &BTreeMap<NodeId, (NodeFeed, Instant)>, now: Instant) -> ClusterFeed {
    let (mut gauges, mut counters) = (Gauges::default(), Counters::default());
    let (mut oldest_pending, mut rate) = (None, 0);
    let mut nodes = BTreeMap::new();
    for (node, (feed, at)) in told {
        gauges.add(&feed.gauges);
        counters.add(&feed.counters);
        oldest_pending = oldest_pending.max(feed.oldest_pending.map(|age| age + now.since(*at)));
        let stale = now.since(*at) > STALE_AFTER;
        rate += if stale { 0 } else { feed.rate };
        nodes.insert(*node, NodeView { state: feed.state, reason: feed.reason, stale });
    }
    let worst =
        |stale| nodes.values().filter(|view| view.stale == stale).map(|view| view.state).max();
    ClusterFeed {
        state: worst(false).or(worst(true)).unwrap_or(FeedState::Unknown),
        gauges,
        counters,
        oldest_pending,
        completion: completion(gauges.waiting(), rate),
        nodes,
    }
}

/// How long the waiting streams take where so many leave them within [`WINDOW`].
fn completion(waiting: u64, rate: u64) -> Option<Duration> {
    if waiting == 0 {
        return Some(Duration::ZERO);
    }
    let secs = u128::from(waiting) * u128::from(WINDOW.as_secs())
        / u128::from((rate > 0).then_some(rate)?);
    Some(Duration::from_secs(u64::try_from(secs).unwrap_or(u64::MAX)))
}

/// Over how long the rate is taken.
pub const WINDOW: Duration = Duration::from_secs(600);
/// Into how many parts that is divided.
const PARTS: usize = 10;

/// How many streams came through lately.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    /// One count for each part of the window, in a ring.
    counts: [u64; PARTS],
    /// The part that was counted in last, from the beginning of the world.
    last: u64,
}

impl Rate {
    /// Counts streams that come through now.
    pub fn count(&mut self, streams: u64, now: Instant) {
        self.turn_to(now);
        self.counts[Self::place(self.last)] += streams;
    }

    /// How many came through within the last [`WINDOW`].
    pub fn lately(&mut self, now: Instant) -> u64 {
        self.turn_to(now);
        self.counts.iter().sum()
    }

    /// Empties what has fallen out of the window.
    fn turn_to(&mut self, now: Instant) {
        let part = now.0 / (nanos(WINDOW) / PARTS as u64);
        let passed = part.saturating_sub(self.last).min(PARTS as u64);
        (0..passed).for_each(|nth| self.counts[Self::place(part - nth)] = 0);
        self.last = self.last.max(part);
    }

    const fn place(part: u64) -> usize {
        (part % PARTS as u64) as usize
    }
}

const fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    fn feed(state: FeedState, pending: u64, rate: u64) -> NodeFeed {
        NodeFeed {
            state,
            reason: None,
            gauges: Gauges { pending_processing: pending, success: 5, ..Gauges::default() },
            counters: Counters {
                transferred_objects: 5,
                failures_by_code: BTreeMap::from([(412, 1)]),
                ..Counters::default()
            },
            oldest_pending: (pending > 0).then_some(Duration::from_secs(pending)),
            rate,
        }
    }

    fn cluster(told: &[(NodeFeed, u64)], now: u64) -> ClusterFeed {
        let nodes = (1..).map(|last| NodeId(Ipv4Addr::new(10, 0, 0, last)));
        let told = told.iter().map(|(feed, secs)| (feed.clone(), at(*secs)));
        roll_up(&nodes.zip(told).collect(), at(now))
    }

    #[test]
    fn the_worst_state_is_the_clusters() {
        use FeedState::{
            Blocked, Closed, ConfigError, Ok, Overloaded, Paused, Processing, Unknown,
        };
        let order = [Closed, Paused, ConfigError, Blocked, Overloaded, Processing, Ok, Unknown];
        for (nth, worse) in order.iter().enumerate() {
            for better in &order[nth..] {
                for two in [[worse, better], [better, worse]] {
                    let told = two.map(|state| (feed(*state, 0, 0), 100));
                    assert_eq!(cluster(&told, 100).state, *worse, "{worse:?} {better:?}");
                }
            }
        }
        assert_eq!(cluster(&[], 0).state, Unknown);
    }

    #[test]
    fn counters_are_sums_and_a_node_that_is_not_heard_keeps_its_own() {
        let told =
            [(feed(FeedState::Processing, 30, 60), 100), (feed(FeedState::Blocked, 10, 60), 0)];
        let fresh = cluster(&told, 120);
        assert_eq!(fresh.state, FeedState::Blocked);
        assert_eq!((fresh.gauges.waiting(), fresh.gauges.success), (40, 10));
        assert_eq!(fresh.counters.failures_by_code, BTreeMap::from([(412, 2)]));
        assert_eq!(
            fresh.oldest_pending,
            Some(Duration::from_secs(130)),
            "ten seconds, told two minutes ago"
        );
        assert_eq!(fresh.completion, Some(Duration::from_secs(200)));
        assert!(fresh.nodes.values().all(|view| !view.stale));

        let later = cluster(&told, 121);
        assert_eq!(later.state, FeedState::Processing);
        assert_eq!(later.gauges, fresh.gauges);
        assert_eq!(
            later.completion,
            Some(Duration::from_secs(400)),
            "nothing comes of the stale one"
        );
        assert_eq!(later.nodes.values().filter(|view| view.stale).count(), 1);
        assert_eq!(cluster(&told, 1_000).state, FeedState::Blocked, "all are stale");
    }

    #[test]
    fn when_all_is_done_is_unknown_while_nothing_moves() {
        assert_eq!(cluster(&[(feed(FeedState::Blocked, 7, 0), 0)], 0).completion, None);
        let done = cluster(&[(feed(FeedState::Ok, 0, 0), 0)], 0);
        assert_eq!((done.completion, done.oldest_pending), (Some(Duration::ZERO), None));
        assert_eq!(completion(u64::MAX, 1), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn the_rate_forgets_after_ten_minutes() {
        let mut rate = Rate::default();
        rate.count(5, at(30));
        rate.count(7, at(599));
        assert_eq!(rate.lately(at(599)), 12);
        assert_eq!(rate.lately(at(600)), 7);
        assert_eq!(rate.lately(at(1_139)), 7);
        assert_eq!(rate.lately(at(1_140)), 0);
        rate.count(1, at(1_000_000));
        assert_eq!(rate.lately(at(1_000_000)), 1);
    }

    proptest! {
        #[test]
        fn the_rate_is_what_came_in_the_last_ten_parts(counts in prop::collection::vec((0..1_500u64, 0..9u64), 0..60)) {
            let (mut rate, mut now, mut all) = (Rate::default(), 0, Vec::new());
            for (wait, streams) in counts {
                now += wait;
                rate.count(streams, at(now));
                all.push((now / 60, streams));
                let lately = all.iter().filter(|(part, _)| part + 10 > now / 60);
                prop_assert_eq!(rate.lately(at(now)), lately.map(|(_, streams)| streams).sum::<u64>());
            }
        }
    }
}
