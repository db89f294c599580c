//! Who waits for a feed to deliver a certain stream: requests of SEND.
//!
//! A SEND has its stream worked on before all others, or joins the transfer that is under way (SCSP SEND). It gives up when
//! it likes; the transfer goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarm_types::{FeedId, FeedOutcome, FeedSlot, Instant, Stamp, StreamId, Timestamp};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::evaluate::Sorted;
use crate::home::{Filed, MayWork};
use crate::lanes::{Lane, Load, Offer};
use crate::line::Line;
use crate::service::{Feeds, Look, State};
use crate::table::Feed;

/// Most that wait at once, each for one feed: 256 requests for all eight.
pub(crate) const WAITERS_MAX: usize = 2_048;

/// What a SEND asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendOrder {
    /// The stream, of which this node has a replica.
    pub id: StreamId,
    /// The version that was current when the request came. A newer one counts too.
    pub stamp: Stamp,
    /// To which feeds.
    pub feeds: Vec<FeedId>,
    /// Whether it is sent although the target has acknowledged it.
    pub force: bool,
    /// Whether to wait for a feed that is paused.
    pub wait_while_paused: bool,
}

/// What a SEND gets.
#[derive(Debug)]
pub struct SendTicket {
    /// What is known at once.
    pub done: Vec<(FeedId, Verdict)>,
    /// The rest.
    pub rest: Rest,
}

/// What of a SEND is still to come.
#[derive(Debug)]
pub struct Rest {
    verdicts: mpsc::Receiver<(FeedId, Verdict)>,
    left: usize,
}

impl Rest {
    /// How many feeds are still to come.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.left
    }

    /// The next verdict, when it comes; `None` when all have come. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<(FeedId, Verdict)> {
        if self.left == 0 {
            return None;
        }
        let verdict = self.verdicts.recv().await;
        self.left = if verdict.is_some() { self.left - 1 } else { 0 };
        verdict
    }
}

/// What came of a stream at one feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This is shown.
    Shown(Shown),
    /// The feed does not select it: nothing is shown.
    OutOfScope,
    /// The feed was deleted.
    FeedGone,
    /// The stream was deleted.
    StreamGone,
    /// It is not on this node any more, or only an older version is. It may well be on others, whose feeds see to it: here nothing
    /// more will be known.
    NotHere,
    /// The feed is paused, and the request does not wait for that: what was known before is shown, as by a HEAD.
    Paused,
}

/// `Feed-<id>-Status` and `Feed-<id>-StatusTime` (SCSP SEND).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// 0 for success, 1 for not processed yet, else a failure.
    pub status: u16,
    /// When that came about; none of what was not processed.
    pub at: Option<Timestamp>,
}

impl Shown {
    /// What is shown of a stream that the feed has not come to an outcome with.
    pub(crate) const NOT_YET: Self = Self { status: 1, at: None };
}

impl Verdict {
    /// The verdict that a slot gives.
    pub(crate) fn of(slot: &FeedSlot) -> Self {
        match slot.outcome {
            FeedOutcome::Unqualified => Self::OutOfScope,
            _ => Self::Shown(Shown { status: slot.status, at: Some(slot.at) }),
        }
    }

    /// The verdict that a slot gives on what is filed of its stream. Nothing is left to be done with what was deleted before it
    /// was sent; but whoever asked for it is not told that the target has it.
    pub(crate) fn on(filed: &Filed, slot: &FeedSlot) -> Self {
        match slot.outcome {
            FeedOutcome::Success if filed.is_tombstone() => Self::StreamGone,
            _ => Self::of(slot),
        }
    }

    /// `Feed-<id>-Status`; `None` where nothing is shown. Codes over 1 are failures (SCSP SEND); which, is our choice.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Shown(shown) => Some(shown.status),
            Self::OutOfScope => None,
            Self::FeedGone => Some(410),
            Self::StreamGone => Some(404),
            Self::Paused | Self::NotHere => Some(Shown::NOT_YET.status),
        }
    }
}

/// Why a SEND was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendRefused {
    /// There is no such feed.
    #[error("feed {0} does not exist")]
    UnknownFeed(FeedId),
    /// Too many wait already.
    #[error("too many requests wait for feeds")]
    TooMany,
}

/// Those who wait.
#[derive(Default)]
pub(crate) struct Sends {
    waiters: BTreeMap<(FeedId, StreamId), Vec<Waiter>>,
}

struct Waiter {
    stamp: Stamp,
    force: bool,
    wait_while_paused: bool,
    verdict: mpsc::Sender<(FeedId, Verdict)>,
}

impl Sends {
    /// Whether anybody waits for this; and whether it is to be sent whatever is known.
    pub(crate) fn wants(&self, feed: FeedId, id: StreamId) -> Option<bool> {
        let waiters = self.waiters.get(&(feed, id))?;
        Some(waiters.iter().any(|waiter| waiter.force))
    }

    /// The streams that are waited for at a feed.
    pub(crate) fn of(&self, feed: FeedId) -> Vec<StreamId> {
        let first = (feed, StreamId::from_bytes([0; 16]));
        let last = (feed, StreamId::from_bytes([0xff; 16]));
        self.waiters.range(first..=last).map(|((_, id), _)| *id).collect()
    }

    /// Tells those who wait for this version or an older one. True if others still wait.
    pub(crate) fn settle(
        &mut self,
        feed: FeedId,
        id: StreamId,
        stamp: Stamp,
        verdict: Verdict,
    ) -> bool {
        self.settle_those(feed, id, verdict, |waiter| waiter.stamp <= stamp)
    }

    /// The same with what was known before: who has it sent again goes on waiting, unless it is not selected at all.
    pub(crate) fn settle_known(
        &mut self,
        feed: FeedId,
        id: StreamId,
        stamp: Stamp,
        verdict: Verdict,
    ) -> bool {
        let all = verdict == Verdict::OutOfScope;
        self.settle_those(feed, id, verdict, |waiter| {
            waiter.stamp <= stamp && (all || !waiter.force)
        })
    }

    /// Tells those who do not wait for a feed that is paused. What is under way comes to an end by itself.
    pub(crate) fn settle_paused(&mut self, line: &Line) {
        for id in self.of(line.feed.id) {
            if !line.lanes.is_busy(id) {
                self.settle_those(line.feed.id, id, Verdict::Paused, |waiter| {
                    !waiter.wait_while_paused
                });
            }
        }
    }

    /// Tells all who wait for a feed.
    pub(crate) fn settle_all(&mut self, feed: FeedId, verdict: Verdict) {
        for id in self.of(feed) {
            self.settle_those(feed, id, verdict, |_| true);
        }
    }

    fn settle_those(
        &mut self,
        feed: FeedId,
        id: StreamId,
        verdict: Verdict,
        is_served: impl Fn(&Waiter) -> bool,
    ) -> bool {
        let Some(waiters) = self.waiters.get_mut(&(feed, id)) else { return false };
        waiters.retain(|waiter| {
            let served = is_served(waiter);
            if served {
                // There is room for one verdict of each feed.
                let told = waiter.verdict.try_send((feed, verdict));
                debug_assert!(
                    told != Err(TrySendError::Full((feed, verdict))),
                    "room for each feed"
                );
            }
            !served
        });
        let left = !waiters.is_empty();
        if !left {
            self.waiters.remove(&(feed, id));
        }
        left
    }

    /// Has the streams worked on that a feed has forgotten since it was asked for them. Those that it knows have their dates.
    pub(crate) fn offer_again(&self, line: &mut Line, now: Instant) {
        for id in self.of(line.feed.id) {
            let waiters = self.waiters.get(&(line.feed.id, id)).into_iter().flatten();
            let newest = waiters.map(|waiter| waiter.stamp).max();
            if let Some(stamp) = newest.filter(|stamp| !line.lanes.knows(id, *stamp)) {
                let forced = self.wants(line.feed.id, id) == Some(true);
                line.lanes.urge(urgent(id, stamp, now, forced));
            }
        }
    }

    /// Forgets those who wait no more.
    pub(crate) fn tidy(&mut self) {
        self.waiters.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.verdict.is_closed());
            !waiters.is_empty()
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.values().map(Vec::len).sum()
    }
}

/// What is worked on before all others. Whether this replica goes first, it says itself; how large it is, nobody asks.
pub(crate) fn urgent(id: StreamId, stamp: Stamp, now: Instant, forced: bool) -> Offer {
    let (lane, load) = (Lane::Urgent, Load::Small);
    Offer { id, stamp, lane, due: now, since: now, first: false, load, forced }
}

impl Feeds {
    /// Has a stream delivered to some feeds as soon as may be.
    ///
    /// # Errors
    /// A feed that does not exist, or too many who wait: nothing was begun.
    pub fn send(&self, order: &SendOrder) -> Result<SendTicket, SendRefused> {
        let now = self.now();
        let may = self.home().may_work();
        let look = self.look(order.id);
        let sorted = self.sorted(order);
        let mut state = self.state();
        let State { lines, sends, .. } = &mut *state;
        let open = |feed: &FeedId| lines.get(feed).filter(|line| !line.is_closed());
        if let Some(unknown) = order.feeds.iter().find(|feed| open(feed).is_none()) {
            return Err(SendRefused::UnknownFeed(*unknown));
        }
        if sends.len() + order.feeds.len() > WAITERS_MAX {
            sends.tidy();
        }
        let has_place = |feed| {
            let line: Option<&Line> = lines.get(feed);
            line.is_none_or(|line| line.lanes.has_place(Lane::Urgent, order.id))
        };
        let is_lost = order.force && !order.feeds.iter().all(has_place);
        if is_lost || sends.len() + order.feeds.len() > WAITERS_MAX {
            return Err(SendRefused::TooMany);
        }
        let (verdict, verdicts) = mpsc::channel(order.feeds.len().max(1));
        let mut done = Vec::new();
        let mut joined = Vec::new();
        let mut left = 0;
        for feed in &order.feeds {
            let Some(line) = lines.get_mut(feed) else { continue };
            let sorted = sorted.get(feed).copied().unwrap_or(Sorted::In);
            let rests = line.feed.definition.paused || may != MayWork::Yes;
            if let Some(known) = known_at_once(order, look.as_ref(), line, sorted, rests) {
                done.push((*feed, known));
                continue;
            }
            left += 1;
            line.lanes.urge(urgent(order.id, order.stamp, now, order.force));
            if line.lanes.is_busy(order.id) {
                joined.push(Arc::clone(&line.target));
            }
            if let (true, Sorted::Unsure, Some(look)) = (rests, sorted, &look) {
                // Its turn, which would tell, does not come.
                line.note_unsure(look.filed.brief(), now);
            }
            let waiter = Waiter {
                stamp: order.stamp,
                force: order.force,
                wait_while_paused: order.wait_while_paused,
                verdict: verdict.clone(),
            };
            sends.waiters.entry((*feed, order.id)).or_default().push(waiter);
        }
        drop(state);
        joined.iter().for_each(|target| target.hurry());
        self.shared.wake.notify_one();
        Ok(SendTicket { done, rest: Rest { verdicts, left } })
    }

    /// What can be said at once of whether feeds select a stream.
    fn sorted(&self, order: &SendOrder) -> BTreeMap<FeedId, Sorted> {
        let feeds: Vec<_> = {
            let state = self.state();
            let lines = order.feeds.iter().filter_map(|feed| state.lines.get(feed));
            lines.map(|line| Arc::clone(&line.feed)).collect()
        };
        let sort = |feed: &Arc<Feed>| (feed.id, self.sort(&feed.definition.scope, order.id));
        feeds.iter().map(sort).collect()
    }

    /// Tells those who do not wait for feeds that are paused.
    pub(crate) fn settle_paused(&self, may: MayWork) {
        let mut state = self.state();
        let State { lines, sends, .. } = &mut *state;
        let rests = |line: &&Line| line.feed.definition.paused || may != MayWork::Yes;
        lines.values().filter(rests).for_each(|line| sends.settle_paused(line));
    }
}

/// What is known of a stream at a feed when the order comes, if that is an end.
fn known_at_once(
    order: &SendOrder,
    look: Option<&Look>,
    line: &Line,
    sorted: Sorted,
    rests: bool,
) -> Option<Verdict> {
    let Some(look) = look else { return Some(Verdict::NotHere) };
    if look.filed.is_tombstone() {
        return Some(Verdict::StreamGone);
    }
    match look.filed.slots.get(line.feed.id, line.mark) {
        Some(slot) if slot.outcome == FeedOutcome::Unqualified => Some(Verdict::OutOfScope),
        Some(slot) if slot.outcome.is_final() && !order.force => Some(Verdict::of(slot)),
        _ if sorted == Sorted::Out => Some(Verdict::OutOfScope),
        _ => {
            let waits = order.wait_while_paused || line.lanes.is_busy(order.id);
            (rests && !waits).then_some(Verdict::Paused)
        }
    }
}
