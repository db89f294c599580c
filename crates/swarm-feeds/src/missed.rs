//! What a node may have missed while it was away: others have noted what came of a stream, and here it was lost in the crash,
//! or never heard.
//!
//! A replica that does not go first waits for the one that does, and asks only when that is overdue. What waits since before
//! the node started is most often done: a few of those are asked about soon, so that a feed that has nothing left to do says
//! so. It is the other holders that are asked, not the target; what they do not know waits as it would have.

use std::time::Duration;

use swarm_plan::feeds::Told;
use swarm_types::{FeedId, FeedMark, Instant, StreamId};

use crate::line::Line;
use crate::peers::{About, Done, To};
use crate::service::{Feeds, State};
use crate::turns::still_stand;

/// Streams asked about, at most: a crash loses what came of no more than a few, and a feed may have millions to do.
const MISSED_MAX: usize = 256;
/// From the start of the feed on this node: who goes first has most often told by then, and the others are there.
const ASK_AFTER: Duration = Duration::from_secs(2);

/// Asked so often more about what nobody answered to: a holder may be starting as well.
const ASK_AGAIN: u32 = 2;
/// From one time to the next.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Streams of one feed that others may have done.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    /// How many more may be asked about.
    left: usize,
    waiting: Vec<StreamId>,
    /// How often what nobody answered to may be asked about once more, and when the next time is.
    again: u32,
    not_before: Instant,
    /// They are being asked about.
    asking: bool,
}

impl Missed {
    /// Of a feed that was there before the node started, if it was.
    pub(crate) fn of(was_there: bool) -> Self {
        let left = if was_there { MISSED_MAX } else { 0 };
        Self { left, again: ASK_AGAIN, ..Self::default() }
    }

    /// A walk came by a stream that waits for another holder.
    pub(crate) fn note(&mut self, id: StreamId) {
        if self.left > 0 {
            self.left -= 1;
            self.waiting.push(id);
        }
    }
}

impl Feeds {
    /// Has the other holders asked of what may have been missed.
    pub(crate) fn begin_asking(&self) {
        let now = self.now();
        let mut begun = Vec::new();
        for (feed, Line { missed, mark, since, .. }) in &mut self.state().lines {
            if !missed.asking
                && !missed.waiting.is_empty()
                && now >= missed.not_before.max(*since + ASK_AFTER)
            {
                missed.asking = true;
                begun.push((*feed, *mark, std::mem::take(&mut missed.waiting)));
            }
        }
        for (feed, mark, ids) in begun {
            drop(self.env().spawn("feed-ask", self.clone().ask_of_missed(feed, mark, ids)));
        }
    }

    async fn ask_of_missed(self, feed: FeedId, mark: FeedMark, ids: Vec<StreamId>) {
        let mut unanswered = Vec::new();
        for id in ids {
            if !self.state().knows(feed, mark) {
                break;
            }
            let Some(filed) = self.look(id).map(|look| look.filed) else { continue };
            if filed.slots.get(feed, mark).is_some() {
                continue;
            }
            let stamp = filed.stamp;
            let about = About { id, stamp, feed, mark };
            let mut told = self.peers().ask(To::holders(&filed.holders), about).await;
            if told.is_empty() {
                unanswered.push(id);
                continue;
            }
            still_stand(&mut told);
            let done = told.into_iter().find_map(|told| match told {
                Told::Done(slot) if slot.outcome.is_final() => Some(Done { id, stamp, slot }),
                _ => None,
            });
            if let Some(done) = done.filter(|_| self.is_missed_still(feed, mark, id)) {
                self.hear_done(&[done]);
            }
        }
        let now = self.now();
        let State { lines, .. } = &mut *self.state();
        if let Some(line) = lines.get_mut(&feed) {
            let missed = &mut line.missed;
            missed.asking = false;
            if line.mark == mark && missed.again > 0 && !unanswered.is_empty() {
                missed.again -= 1;
                missed.not_before = now + ASK_AGAIN_AFTER;
                missed.waiting.append(&mut unanswered);
            }
        }
    }

    /// Whether nothing has come of a stream here while others were asked, and nobody has it sent whatever they say.
    fn is_missed_still(&self, feed: FeedId, mark: FeedMark, id: StreamId) -> bool {
        let here = self.look(id).and_then(|look| look.filed.slots.get(feed, mark).copied());
        let state = self.state();
        let line = state.lines.get(&feed);
        here.is_none() && line.is_some_and(|line| !line.lanes.is_forced(id))
    }
}
