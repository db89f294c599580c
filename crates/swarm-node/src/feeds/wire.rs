//! What the feeds of nodes say to each other, as bytes: the shapes inside `Message::Feeds`, and those of statistics, which
//! go over links.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::stats::{Counters, FeedState, Gauges, NodeFeed};
use swarm_feeds::{About, Done};
use swarm_plan::feeds::Told;
use swarm_types::{FeedId, FeedMark, StreamId};

use crate::wire::{SlotWire, StampWire};

/// Outcomes that are told in one datagram.
pub(crate) const DONE_MAX: usize = 16;

/// A message of the feeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum FeedMessage {
    /// This came of these streams. Best effort.
    Done(Vec<DoneWire>),
    /// What do you know of this stream?
    Ask(AskWire),
    /// The answer.
    Told(ToldWire),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct DoneWire {
    id: [u8; 16],
    stamp: StampWire,
    slot: SlotWire,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct AskWire {
    pub(crate) request: u64,
    id: [u8; 16],
    stamp: StampWire,
    feed: u32,
    mark: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToldWire {
    pub(crate) request: u64,
    pub(crate) what: KnownWire,
}

/// What another holder knows of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum KnownWire {
    Done(SlotWire),
    Doing,
    FirstAndPending,
    NotMine,
    TakenBack(SlotWire),
}

impl From<Done> for DoneWire {
    fn from(done: Done) -> Self {
        Self { id: *done.id.as_bytes(), stamp: done.stamp.into(), slot: done.slot.into() }
    }
}

impl From<DoneWire> for Done {
    fn from(wire: DoneWire) -> Self {
        let id = StreamId::from_bytes(wire.id);
        Self { id, stamp: wire.stamp.into(), slot: wire.slot.into() }
    }
}

impl AskWire {
    pub(crate) fn new(request: u64, about: About) -> Self {
        let About { id, stamp, feed, mark } = about;
        Self { request, id: *id.as_bytes(), stamp: stamp.into(), feed: feed.0, mark: mark.0 }
    }

    pub(crate) fn about(self) -> About {
        About {
            id: StreamId::from_bytes(self.id),
            stamp: self.stamp.into(),
            feed: FeedId(self.feed),
            mark: FeedMark(self.mark),
        }
    }
}

impl From<Told> for KnownWire {
    fn from(told: Told) -> Self {
        match told {
            Told::Done(slot) => Self::Done(slot.into()),
            Told::TakenBack(slot) => Self::TakenBack(slot.into()),
            Told::Doing => Self::Doing,
            Told::FirstAndPending => Self::FirstAndPending,
            Told::NotMine => Self::NotMine,
        }
    }
}

impl From<KnownWire> for Told {
    fn from(wire: KnownWire) -> Self {
        match wire {
            KnownWire::Done(slot) => Self::Done(slot.into()),
            KnownWire::TakenBack(slot) => Self::TakenBack(slot.into()),
            KnownWire::Doing => Self::Doing,
            KnownWire::FirstAndPending => Self::FirstAndPending,
            KnownWire::NotMine => Self::NotMine,
        }
    }
}

/// A feed as it stands on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatsWire {
    feed: u32,
    state: FeedStateWire,
    reason: Option<TroubleWire>,
    /// Pending evaluation and processing, in progress, retrying, success, unqualified.
    gauges: [u64; 6],
    /// Transferred bytes and objects, already present.
    counters: [u64; 3],
    failures: Vec<(u16, u64)>,
    oldest_pending: Option<Duration>,
    rate: u64,
}

/// Codes of failures that are told of one feed; there are not that many.
const CODES_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum FeedStateWire {
    Unknown,
    Ok,
    Processing,
    Overloaded,
    Blocked,
    ConfigError,
    Paused,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum TroubleWire {
    Silent,
    Refused,
    Auth(u16),
    Full,
    Busy(Duration),
    WrongCluster,
    Unresolvable,
    TooOld,
}

impl StatsWire {
    pub(crate) fn new(feed: FeedId, of: NodeFeed) -> Self {
        let NodeFeed { state, reason, gauges, counters, oldest_pending, rate } = of;
        Self {
            feed: feed.0,
            state: state.into(),
            reason: reason.map(Into::into),
            gauges: [
                gauges.pending_evaluation,
                gauges.pending_processing,
                gauges.in_progress,
                gauges.retrying,
                gauges.success,
                gauges.unqualified,
            ],
            counters: [
                counters.transferred_bytes,
                counters.transferred_objects,
                counters.already_present,
            ],
            failures: counters.failures_by_code.into_iter().take(CODES_MAX).collect(),
            oldest_pending,
            rate,
        }
    }

    pub(crate) fn told(self) -> (FeedId, NodeFeed) {
        let [pending_evaluation, pending_processing, in_progress, retrying, success, unqualified] =
            self.gauges;
        let [transferred_bytes, transferred_objects, already_present] = self.counters;
        let gauges = Gauges {
            pending_evaluation,
            pending_processing,
            in_progress,
            retrying,
            success,
            unqualified,
        };
        let failures_by_code: BTreeMap<u16, u64> =
            self.failures.into_iter().take(CODES_MAX).collect();
        let counters =
            Counters { transferred_bytes, transferred_objects, already_present, failures_by_code };
        let of = NodeFeed {
            state: self.state.into(),
            reason: self.reason.map(Into::into),
            gauges,
            counters,
            oldest_pending: self.oldest_pending,
            rate: self.rate,
        };
        (FeedId(self.feed), of)
    }
}

impl From<FeedState> for FeedStateWire {
    fn from(state: FeedState) -> Self {
        match state {
            FeedState::Unknown => Self::Unknown,
            FeedState::Ok => Self::Ok,
            FeedState::Processing => Self::Processing,
            FeedState::Overloaded => Self::Overloaded,
            FeedState::Blocked => Self::Blocked,
            FeedState::ConfigError => Self::ConfigError,
            FeedState::Paused => Self::Paused,
            FeedState::Closed => Self::Closed,
        }
    }
}

impl From<FeedStateWire> for FeedState {
    fn from(wire: FeedStateWire) -> Self {
        match wire {
            FeedStateWire::Unknown => Self::Unknown,
            FeedStateWire::Ok => Self::Ok,
            FeedStateWire::Processing => Self::Processing,
            FeedStateWire::Overloaded => Self::Overloaded,
            FeedStateWire::Blocked => Self::Blocked,
            FeedStateWire::ConfigError => Self::ConfigError,
            FeedStateWire::Paused => Self::Paused,
            FeedStateWire::Closed => Self::Closed,
        }
    }
}

impl From<TargetTrouble> for TroubleWire {
    fn from(trouble: TargetTrouble) -> Self {
        match trouble {
            TargetTrouble::Silent => Self::Silent,
            TargetTrouble::Refused => Self::Refused,
            TargetTrouble::Auth(status) => Self::Auth(status),
            TargetTrouble::Full => Self::Full,
            TargetTrouble::Busy { retry_after } => Self::Busy(retry_after),
            TargetTrouble::WrongCluster => Self::WrongCluster,
            TargetTrouble::Unresolvable => Self::Unresolvable,
            TargetTrouble::TooOld => Self::TooOld,
        }
    }
}

impl From<TroubleWire> for TargetTrouble {
    fn from(wire: TroubleWire) -> Self {
        match wire {
            TroubleWire::Silent => Self::Silent,
            TroubleWire::Refused => Self::Refused,
            TroubleWire::Auth(status) => Self::Auth(status),
            TroubleWire::Full => Self::Full,
            TroubleWire::Busy(retry_after) => Self::Busy { retry_after },
            TroubleWire::WrongCluster => Self::WrongCluster,
            TroubleWire::Unresolvable => Self::Unresolvable,
            TroubleWire::TooOld => Self::TooOld,
        }
    }
}

#[cfg(test)]
mod tests {
    use swarm_types::{ClusterName, Etag, FeedOutcome, FeedSlot, Stamp, Timestamp, Version};

    use super::*;
    use crate::wire::{ClusterTag, Decoded, Message, decode, encode};

    fn travelled(message: FeedMessage) -> FeedMessage {
        let tag = ClusterTag::of(&ClusterName::from("main"));
        let bytes = encode(tag, &Message::Feeds(message)).expect("no larger than a datagram");
        match decode(tag, &bytes) {
            Decoded::Message(Message::Feeds(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    fn slot(outcome: FeedOutcome) -> FeedSlot {
        let (feed, mark) = (FeedId(u32::MAX), FeedMark(u64::MAX));
        FeedSlot { feed, mark, outcome, status: u16::MAX, at: Timestamp(i64::MIN) }
    }

    const RETRYING: FeedOutcome =
        FeedOutcome::Retrying { attempts: u16::MAX, next_at: Timestamp(i64::MIN) };

    fn stamp() -> Stamp {
        Stamp { version: Version(u64::MAX), etag: Etag::from_bytes([0xff; 16]) }
    }

    #[test]
    fn the_largest_messages_fit_into_a_datagram_and_come_back_as_they_were() {
        let id = StreamId::from_bytes([0xff; 16]);
        let done = Done { id, stamp: stamp(), slot: slot(RETRYING) };
        let all = FeedMessage::Done(vec![done.into(); DONE_MAX]);
        let FeedMessage::Done(wire) = travelled(all) else { panic!("another message") };
        assert_eq!(wire.into_iter().map(Done::from).collect::<Vec<_>>(), [done; DONE_MAX]);

        let (feed, mark) = (FeedId(u32::MAX), FeedMark(u64::MAX));
        let about = About { id, stamp: stamp(), feed, mark };
        let ask = FeedMessage::Ask(AskWire::new(u64::MAX, about));
        let FeedMessage::Ask(wire) = travelled(ask) else { panic!("another message") };
        assert_eq!((wire.request, wire.about()), (u64::MAX, about));
    }

    #[test]
    fn whatever_a_holder_knows_comes_back_as_it_was() {
        let outcomes = [RETRYING, FeedOutcome::Success, FeedOutcome::Unqualified];
        let done = outcomes.map(|outcome| Told::Done(slot(outcome)));
        let others = [Told::Doing, Told::FirstAndPending, Told::NotMine];
        for told in done.into_iter().chain(others) {
            let wire = ToldWire { request: 7, what: told.into() };
            let FeedMessage::Told(wire) = travelled(FeedMessage::Told(wire)) else {
                panic!("another message")
            };
            assert_eq!((wire.request, Told::from(wire.what)), (7, told));
        }
    }

    #[test]
    fn statistics_come_back_as_they_were() {
        let gauges = Gauges {
            pending_evaluation: 1,
            pending_processing: 2,
            in_progress: 3,
            retrying: 4,
            success: 5,
            unqualified: 6,
        };
        let counters = Counters {
            transferred_bytes: 7,
            transferred_objects: 8,
            already_present: 9,
            failures_by_code: BTreeMap::from([(412, 10), (507, 11)]),
        };
        let of = |state, reason| NodeFeed {
            state,
            reason,
            gauges,
            counters: counters.clone(),
            oldest_pending: Some(Duration::from_millis(1500)),
            rate: 12,
        };
        let states = [
            (FeedState::Unknown, None),
            (FeedState::Ok, None),
            (FeedState::Processing, None),
            (FeedState::Overloaded, Some(TargetTrouble::Busy { retry_after: Duration::MAX })),
            (FeedState::Blocked, Some(TargetTrouble::Silent)),
            (FeedState::Blocked, Some(TargetTrouble::Refused)),
            (FeedState::Blocked, Some(TargetTrouble::Auth(403))),
            (FeedState::Blocked, Some(TargetTrouble::Full)),
            (FeedState::ConfigError, Some(TargetTrouble::WrongCluster)),
            (FeedState::ConfigError, Some(TargetTrouble::Unresolvable)),
            (FeedState::ConfigError, Some(TargetTrouble::TooOld)),
            (FeedState::Paused, None),
            (FeedState::Closed, None),
        ];
        for (state, reason) in states {
            let told = StatsWire::new(FeedId(3), of(state, reason)).told();
            assert_eq!(told, (FeedId(3), of(state, reason)));
        }
    }
}
