//! One feed at work on one node: what waits, what is under way, how far the volumes were walked through, how the target is.
//!
//! Every feed has all of this for itself, so that one whose target is dead slows no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use swarm_types::{FeedMark, Instant, StreamId, Timestamp, VolumeId};

use crate::backoff::time_left;
use crate::blockade::{Blockade, Kind, TargetTrouble};
use crate::definition::Mode;
use crate::home::Brief;
use crate::lanes::{Lane, Lanes, Limits, Load, Offer, Offered};
use crate::missed::Missed;
use crate::result::Delivery;
use crate::settings::FeedSettings;
use crate::stats::{Counters, FeedState, Rate};
use crate::table::Feed;
use crate::target::FeedTarget;
use crate::wire::BATCH_ITEMS;

/// Bodies above this are large: half of the transfers at most carry one (our choice).
const BIG: u64 = 1 << 20;
/// Streams whose domain is being looked up, at most.
pub(crate) const UNSURE_MAX: usize = 1_024;
/// A walk goes on when there is room for so many.
const WALK_ROOM: usize = 256;
/// From one walk through the volumes to the next, where something was dropped.
const WALK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// From one walk to the next where slots could not be kept: each walk costs a question to the target for each of those.
const NOT_KEPT_AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// How often it is complained that an object is refused as it is.
const COMPLAIN_EVERY: Duration = Duration::from_secs(3600);

/// One feed at work.
pub(crate) struct Line {
    pub(crate) feed: Arc<Feed>,
    pub(crate) mark: FeedMark,
    pub(crate) target: Arc<dyn FeedTarget>,
    pub(crate) lanes: Lanes,
    pub(crate) blockade: Blockade,
    /// A greeting is under way.
    pub(crate) greeting: bool,
    /// The target is to be greeted before anything is sent.
    pub(crate) greeting_due: bool,
    /// It was deleted.
    closed: bool,
    /// When this evaluation began here.
    pub(crate) since: Instant,
    /// When the definition last changed without a new evaluation: what failed before is due at once.
    pub(crate) edited: Timestamp,
    walks: BTreeMap<VolumeId, Walk>,
    /// Which mount of each volume that is.
    mounts: BTreeMap<VolumeId, u64>,
    walk_begun: Instant,
    /// When the volumes are walked through once more.
    walk_again: Option<Instant>,
    /// Something was dropped, or could not be kept, since the walk began.
    behind: bool,
    /// Streams whose domain is to be looked up, and when they came up.
    pub(crate) unsure: Vec<(Brief, Instant)>,
    /// They are being looked up.
    pub(crate) evaluating: bool,
    /// Contexts that are being brought because something in them was refused for want of them.
    pub(crate) pushing: BTreeSet<StreamId>,
    /// Streams that are being delivered, as those are not that are under way but wait for an answer of another holder.
    pub(crate) delivering: BTreeSet<StreamId>,
    /// Streams that have come up again while they were under way, as one does of which another copy is filed or mounted here:
    /// they come up once more when that has ended.
    pub(crate) copied: BTreeMap<StreamId, Brief>,
    pub(crate) counters: Counters,
    pub(crate) rate: Rate,
    pub(crate) answers: Answers,
    pub(crate) missed: Missed,
    complained: Option<Instant>,
}

/// How far a volume was walked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walk {
    /// Behind this stream; from the beginning.
    At(Option<StreamId>),
    /// To the end.
    Over,
}

/// Whether the target had what it was given, for the last 64 versions.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers(u64);

impl Answers {
    fn note(&mut self, already: bool) {
        self.0 = self.0 << 1 | u64::from(already);
    }

    /// Whether it pays to ask before a body is sent.
    pub(crate) const fn are_often_already(self) -> bool {
        self.0.count_ones() >= 16
    }
}

impl Line {
    pub(crate) fn new(
        feed: Feed,
        mark: FeedMark,
        target: Arc<dyn FeedTarget>,
        settings: &FeedSettings,
        missed: Missed,
        now: Instant,
    ) -> Self {
        let limits =
            Limits { fresh: settings.max_queue, retry: settings.max_queue, ..Limits::default() };
        Self {
            blockade: Blockade::new(settings.blocked_threshold, feed.definition.retry_wait),
            feed: Arc::new(feed),
            mark,
            target,
            lanes: Lanes::new(limits),
            greeting: false,
            greeting_due: false,
            closed: false,
            since: now,
            edited: Timestamp(i64::MIN),
            walks: BTreeMap::new(),
            mounts: BTreeMap::new(),
            walk_begun: now,
            walk_again: None,
            behind: false,
            unsure: Vec::new(),
            evaluating: false,
            pushing: BTreeSet::new(),
            delivering: BTreeSet::new(),
            copied: BTreeMap::new(),
            counters: Counters::default(),
            rate: Rate::default(),
            answers: Answers::default(),
            missed,
            complained: None,
        }
    }

    /// How many streams may be under way at once.
    pub(crate) fn threads(&self) -> usize {
        match self.feed.definition.mode {
            Mode::Post => self.feed.definition.threads,
            Mode::Get => BATCH_ITEMS,
        }
    }

    /// Takes another definition; `target` if it goes elsewhere, or otherwise. What is under way ends as it began. Returns what
    /// is not needed any more.
    pub(crate) fn redefine(
        &mut self,
        feed: Feed,
        mark: FeedMark,
        target: Option<Arc<dyn FeedTarget>>,
        settings: &FeedSettings,
        now: Instant,
        wall: Timestamp,
    ) -> Option<Arc<dyn FeedTarget>> {
        if mark != self.mark || self.closed {
            (self.mark, self.closed) = (mark, false);
            self.lanes.clear();
            self.walks.values_mut().for_each(|walk| *walk = Walk::At(None));
            self.walk_begun = now;
            self.walk_again = None;
            self.behind = false;
            self.unsure.clear();
            self.since = now;
            self.answers = Answers::default();
            self.missed = Missed::default();
        }
        let retry_wait = feed.definition.retry_wait;
        self.feed = Arc::new(feed);
        let before = std::mem::replace(&mut self.target, target?);
        self.edited = wall;
        self.lanes.retry_now(now);
        self.blockade = Blockade::new(settings.blocked_threshold, retry_wait);
        self.greeting = false;
        self.greeting_due = false;
        Some(before)
    }

    /// The feed was deleted: nothing new begins.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.lanes.clear();
        self.unsure.clear();
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the feed was deleted and its last transfer has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.closed && self.lanes.busy() == 0 && !self.evaluating && !self.greeting
    }

    /// Volumes come and go, some between two looks at them: each mount is walked through from its beginning.
    pub(crate) fn meet(&mut self, mounts: &BTreeMap<VolumeId, u64>, now: Instant) {
        if self.mounts != *mounts {
            let before = std::mem::replace(&mut self.mounts, mounts.clone());
            self.walks.retain(|volume, _| before.get(volume) == mounts.get(volume));
            for volume in mounts.keys() {
                self.walks.entry(*volume).or_insert(Walk::At(None));
            }
        }
        match self.lanes.take_overflowed() {
            None => {}
            // What failed before has a date, and need not be found before it.
            Some(Lane::Retry) => self.walk_again_at(now + self.feed.definition.retry_wait),
            Some(_) => self.walk_again_soon(),
        }
        let over = self.walks.values().all(|walk| *walk == Walk::Over);
        if over && self.walk_again.is_some_and(|at| now >= at) {
            self.walks.values_mut().for_each(|walk| *walk = Walk::At(None));
            self.walk_begun = now;
            self.walk_again = None;
            self.behind = false;
        }
    }

    /// Something was dropped that a walk finds again.
    pub(crate) fn walk_again_soon(&mut self) {
        self.behind = true;
        self.walk_again_at(self.walk_begun + WALK_AGAIN_AFTER);
    }

    /// Outcomes could not be kept. What they were of is looked at again, but not soon.
    pub(crate) fn not_kept(&mut self) {
        self.behind = true;
        self.walk_again_at(self.walk_begun + NOT_KEPT_AGAIN_AFTER);
    }

    /// There will be something then that a walk finds.
    pub(crate) fn walk_again_at(&mut self, at: Instant) {
        self.walk_again = Some(self.walk_again.map_or(at, |before| before.min(at)));
    }

    /// Where the walk through a volume is to go on, if there is room for what it brings.
    pub(crate) fn walks(&self) -> impl Iterator<Item = (VolumeId, Option<StreamId>)> {
        let room = !self.closed
            && self.lanes.room(Lane::Backlog) >= WALK_ROOM
            && self.lanes.room(Lane::Urgent) > 0
            && self.unsure.len() < UNSURE_MAX;
        self.walks.iter().filter(move |_| room).filter_map(|(volume, walk)| match walk {
            Walk::At(after) => Some((*volume, *after)),
            Walk::Over => None,
        })
    }

    /// Whether any volume has not been walked through.
    pub(crate) fn is_walking(&self) -> bool {
        self.walks.values().any(|walk| *walk != Walk::Over)
    }

    pub(crate) fn walked(&mut self, volume: VolumeId, to: Walk) {
        self.walks.entry(volume).and_modify(|walk| *walk = to);
    }

    /// Has a stream wait for its turn. `since` is when it came up, `lane` where it waits unless it is a context, or failed
    /// before. What a walk found takes nobody's place.
    pub(crate) fn offer(
        &mut self,
        brief: &Brief,
        lane: Lane,
        since: Instant,
        hold_off: Duration,
        (now, wall): (Instant, Timestamp),
    ) -> Offered {
        let walked = lane == Lane::Backlog;
        let held_off = if brief.first { now } else { now.max(since + hold_off) };
        let (lane, due) = match brief.retry_at.and_then(|at| time_left(at, wall)) {
            Some(left) => (Lane::Retry, now + left),
            _ if brief.kind.is_context() => (Lane::Urgent, held_off),
            _ => (lane, held_off),
        };
        if walked && self.lanes.room(lane) == 0 {
            if lane != Lane::Retry {
                return Offered::Full;
            }
            // The walk goes on without it: it will be found when its date has come.
            self.walk_again_at(due.max(now + self.feed.definition.retry_wait));
            return Offered::Taken;
        }
        let offer = Offer {
            id: brief.id,
            stamp: brief.stamp,
            lane,
            due,
            since,
            first: brief.first,
            load: load(brief),
            forced: false,
        };
        self.lanes.offer(offer)
    }

    /// What the target said, whatever becomes of the stream.
    pub(crate) fn heard(&mut self, delivery: Delivery, kind: Kind, length: u64, now: Instant) {
        let before = self.blockade.reason();
        match delivery {
            Delivery::Target(trouble) => self.blockade.failed(trouble, now),
            Delivery::Unknown | Delivery::Unreadable => {}
            _ => self.blockade.answered(kind),
        }
        match delivery {
            Delivery::Done { already } => {
                if kind == Kind::Write {
                    self.answers.note(already);
                }
                if already {
                    self.counters.already_present += 1;
                } else {
                    self.counters.transferred_objects += 1;
                    self.counters.transferred_bytes += length;
                }
            }
            other => *self.counters.failures_by_code.entry(other.status()).or_default() += 1,
        }
        self.log_blockade(before);
    }

    /// What came of a greeting.
    pub(crate) fn greeted(&mut self, answer: Result<(), TargetTrouble>, now: Instant) {
        let before = self.blockade.reason();
        match answer {
            Ok(()) => self.blockade.answered(Kind::Greeting),
            Err(trouble) => self.blockade.failed(trouble, now),
        }
        self.log_blockade(before);
    }

    fn log_blockade(&self, before: Option<TargetTrouble>) {
        let (feed, name) = (self.feed.id.0, &self.feed.definition.name);
        match (before, self.blockade.reason()) {
            (None, Some(reason)) => {
                tracing::warn!(feed, name, ?reason, "feed takes a rest: its target takes nothing");
            }
            (Some(_), None) => tracing::info!(feed, name, "feed goes on: its target answers"),
            _ => {}
        }
    }

    /// Whether it is time again to complain of an object that is refused as it is.
    pub(crate) fn may_complain(&mut self, now: Instant) -> bool {
        let may = self.complained.is_none_or(|at| now >= at + COMPLAIN_EVERY);
        if may {
            self.complained = Some(now);
        }
        may
    }

    /// The state that is shown.
    pub(crate) fn state(&self, now: Instant, node_pauses: bool) -> FeedState {
        if self.closed {
            return FeedState::Closed;
        }
        if self.feed.definition.paused || node_pauses {
            return FeedState::Paused;
        }
        let standing = self.blockade.state(now);
        if standing == FeedState::Unknown {
            return standing;
        }
        if self.behind {
            return standing.max(FeedState::Overloaded);
        }
        let due = self.lanes.next_due().is_some_and(|due| due <= now);
        let walks = self.is_walking() || self.walk_again.is_some();
        let works = due || self.lanes.busy() > 0 || walks || self.evaluating;
        if works { standing.max(FeedState::Processing) } else { standing }
    }
}

/// What a stream asks of the target.
const fn load(brief: &Brief) -> Load {
    if brief.tombstone {
        Load::Delete
    } else if brief.length > BIG {
        Load::Big
    } else {
        Load::Small
    }
}
