//! Who waits for a feed to deliver a certain stream: requests of SEND.
//!
//! A SEND has its stream worked on before all others, or joins the transfer that is under way (SCSP SEND). It gives up when
//! it likes; the transfer goes on.

use std::collections::BTreeMap;

use swarm_types::{FeedId, FeedOutcome, FeedSlot, Instant, Stamp, StreamId, Timestamp};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::definition::Definition;
use crate::home::Filed;
use crate::lanes::{Lane, Load, Offer};
use crate::line::Line;
use crate::service::{Feeds, Look, State};

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
    /// The stream is not there any more.
    StreamGone,
    /// The feed is paused, and the request does not wait for that.
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

    /// The verdict that a slot gives on what is filed of its stream. Where deletes are not carried over, nothing is left to be
    /// done with what was deleted before it was sent; but whoever asked for it is not told that the target has it.
    pub(crate) fn on(filed: &Filed, slot: &FeedSlot, definition: &Definition) -> Self {
        match slot.outcome {
            FeedOutcome::Success if filed.is_tombstone() && !definition.propagate_deletes => {
                Self::StreamGone
            }
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
            Self::Paused => Some(2),
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

    /// Has the streams worked on that a feed has forgotten since it was asked for them.
    pub(crate) fn offer_again(&self, line: &mut Line, now: Instant) {
        for id in self.of(line.feed.id) {
            let newest = self.waiters.get(&(line.feed.id, id)).into_iter().flatten();
            if let Some(stamp) = newest.map(|waiter| waiter.stamp).max() {
                line.lanes.offer(urgent(id, stamp, now));
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
fn urgent(id: StreamId, stamp: Stamp, now: Instant) -> Offer {
    let (lane, load) = (Lane::Urgent, Load::Small);
    Offer { id, stamp, lane, due: now, since: now, first: false, load }
}

impl Feeds {
    /// Has a stream delivered to some feeds as soon as may be.
    ///
    /// # Errors
    /// A feed that does not exist, or too many who wait: nothing was begun.
    pub fn send(&self, order: &SendOrder) -> Result<SendTicket, SendRefused> {
        let now = self.now();
        let look = self.look(order.id);
        let mut state = self.state();
        let State { lines, sends, .. } = &mut *state;
        let open = |feed: &FeedId| lines.get(feed).filter(|line| !line.is_closed());
        if let Some(unknown) = order.feeds.iter().find(|feed| open(feed).is_none()) {
            return Err(SendRefused::UnknownFeed(*unknown));
        }
        if sends.len() + order.feeds.len() > WAITERS_MAX {
            return Err(SendRefused::TooMany);
        }
        let (verdict, verdicts) = mpsc::channel(order.feeds.len().max(1));
        let mut done = Vec::new();
        let mut left = 0;
        for feed in &order.feeds {
            let Some(line) = lines.get_mut(feed) else { continue };
            let Some(Look { filed, .. }) = &look else {
                done.push((*feed, Verdict::StreamGone));
                continue;
            };
            match filed.slots.get(*feed, line.mark) {
                Some(slot) if slot.outcome == FeedOutcome::Unqualified => {
                    done.push((*feed, Verdict::OutOfScope));
                }
                Some(slot) if slot.outcome.is_final() && !order.force => {
                    done.push((*feed, Verdict::on(filed, slot, &line.feed.definition)));
                }
                _ if line.feed.definition.paused && !order.wait_while_paused => {
                    done.push((*feed, Verdict::Paused));
                }
                _ => {
                    left += 1;
                    line.lanes.offer(urgent(order.id, order.stamp, now));
                    let (stamp, force) = (order.stamp, order.force);
                    let waiter = Waiter { stamp, force, verdict: verdict.clone() };
                    sends.waiters.entry((*feed, order.id)).or_default().push(waiter);
                }
            }
        }
        drop(state);
        self.shared.wake.notify_one();
        Ok(SendTicket { done, rest: Rest { verdicts, left } })
    }
}
