//! Where work comes from: what was filed on the node just now, and the walk through the volumes that finds everything else.
//!
//! The walk is what makes feeds whole: whatever a feed has not come to an end with, it finds. It brings no more at a time
//! than there is room for, and goes on where it was; so a backlog of any length takes no memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use swarm_env::Bug;
use swarm_plan::feeds::{Settled, settle};
use swarm_types::{FeedId, FeedMark, Instant, StreamId, Timestamp, VolumeId};

use crate::evaluate::Sorted;
use crate::home::{Brief, Page, Streams};
use crate::lanes::{Lane, Offered};
use crate::line::Walk;
use crate::send::Verdict;
use crate::service::{Feeds, State, lock};
use crate::table::Feed;

/// Streams looked through at a time.
const PAGE: usize = 256;
/// Pages at a time, over all feeds and volumes: whoever else runs on this thread is not to wait for more.
const PAGES: usize = 8;
/// From one such part of the walks to the next, so that they leave the disks to others too.
const PACE: Duration = Duration::from_millis(10);
/// Streams taken from the inbox in one pass.
const ARRIVALS: usize = 1_024;

/// What one pass is made at.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// By the engine's clock.
    pub(crate) now: Instant,
    pub(crate) wall: Timestamp,
}

/// A feed whose walk through a volume is to go on.
struct Wanted {
    feed: Arc<Feed>,
    mark: FeedMark,
    volume: VolumeId,
    after: Option<StreamId>,
}

impl Feeds {
    /// Takes note of volumes that came and went.
    pub(crate) fn meet(&self, stores: &[Arc<dyn Streams>], moment: Moment) {
        let mounts: BTreeMap<VolumeId, u64> =
            stores.iter().map(|store| (store.id(), store.mount())).collect();
        for line in self.state().lines.values_mut() {
            line.meet(&mounts, moment.now);
        }
    }

    /// Has the feeds look at what was filed. True if there is more.
    pub(crate) fn take_arrivals(&self, moment: Moment) -> bool {
        let (arrivals, overflowed, more) = {
            let mut inbox = lock(&self.shared.inbox);
            let (arrivals, overflowed) = inbox.take(ARRIVALS);
            (arrivals, overflowed, inbox.len() > 0)
        };
        let feeds: Vec<(Arc<Feed>, FeedMark)> = {
            let mut state = self.state();
            let State { contexts, lines, sends, .. } = &mut *state;
            for brief in arrivals.iter().filter(|brief| brief.kind.is_context()) {
                contexts.forget(brief.id);
            }
            let deletes: Vec<_> = arrivals.iter().filter(|brief| brief.tombstone).collect();
            let lines = lines.values_mut().filter(|line| !line.is_closed());
            lines
                .map(|line| {
                    for delete in &deletes {
                        sends.settle(line.feed.id, delete.id, delete.stamp, Verdict::StreamGone);
                    }
                    if overflowed {
                        line.walk_again_soon();
                    }
                    (Arc::clone(&line.feed), line.mark)
                })
                .collect()
        };
        for brief in arrivals {
            // Copies bring along what came of them. Who goes first has just been written.
            let look = if brief.first { None } else { self.look(brief.id) };
            for (feed, mark) in &feeds {
                if let Some(look) = look.as_ref().filter(|look| look.filed.stamp == brief.stamp)
                    && let Some(slot) = look.filed.slots.get(feed.id, *mark).copied()
                    && slot.outcome.is_final()
                {
                    // Another volume of this node may know what this one does not.
                    self.adopt_slot(&mut self.state(), look, slot);
                    continue;
                }
                let sorted = self.sort(&feed.definition.scope, brief.id);
                self.take_brief((feed.id, *mark), None, &brief, sorted, moment);
            }
        }
        more
    }

    /// Goes on with the walks through the volumes. Returns when there is more to be walked, if there is room for it.
    pub(crate) fn scan(&self, stores: &[Arc<dyn Streams>], moment: Moment) -> Option<Duration> {
        let at = self.env().now();
        let mut wanted: Vec<Wanted> = {
            let mut state = self.state();
            let wanted = wanted(&state);
            if wanted.is_empty() {
                return None;
            }
            if at < state.walked + PACE {
                return Some((state.walked + PACE).since(at));
            }
            state.walked = at;
            state.walks = state.walks.wrapping_add(PAGES);
            wanted
        };
        // All come to their turn, however many there are.
        let first = self.state().walks % wanted.len();
        wanted.rotate_left(first);
        let mut more = wanted.len() > PAGES;
        for wanted in wanted.into_iter().take(PAGES) {
            if let Some(store) = stores.iter().find(|store| store.id() == wanted.volume) {
                more |= self.walk(&**store, &wanted, moment);
            }
        }
        more.then_some(PACE)
    }

    /// Walks a little way through one volume for one feed. True if it may go on.
    fn walk(&self, store: &dyn Streams, wanted: &Wanted, moment: Moment) -> bool {
        let of = (wanted.feed.id, wanted.mark);
        let mut after = wanted.after;
        let Page { found, next } = store.page(of, after, PAGE);
        let mut stopped = false;
        for brief in found {
            let sorted = self.sort(&wanted.feed.definition.scope, brief.id);
            if !self.take_brief(of, Some(wanted.volume), &brief, sorted, moment) {
                stopped = true;
                break;
            }
            after = Some(brief.id);
        }
        let to = match next {
            _ if stopped => Walk::At(after),
            Some(next) => Walk::At(Some(next)),
            None => Walk::Over,
        };
        if let Some(line) = self.state().lines.get_mut(&of.0).filter(|line| line.mark == of.1) {
            line.walked(wanted.volume, to);
        }
        !stopped && next.is_some()
    }

    /// Does with a stream what it was sorted out to. `walked` is the volume whose walk found it; what was filed just now has
    /// no walk that could stop for it. False if there was no room, so that the walk has to stop before it.
    fn take_brief(
        &self,
        (feed, mark): (FeedId, FeedMark),
        walked: Option<VolumeId>,
        brief: &Brief,
        sorted: Sorted,
        Moment { now, wall }: Moment,
    ) -> bool {
        tracing::trace!(node = self.env().name(), feed = feed.0, stream = %brief.id, ?walked, ?sorted, "came up");
        let look = if sorted == Sorted::Out { self.look(brief.id) } else { None };
        let mut state = self.state();
        let State { lines, results, sends, .. } = &mut *state;
        let Some(line) = lines.get_mut(&feed).filter(|line| line.mark == mark && !line.is_closed())
        else {
            return false;
        };
        let rests = line.feed.definition.paused;
        // Who waits for it at a feed that is paused is told now if it is not selected: its turn does not come.
        let tells = rests && sorted != Sorted::In && sends.wants(feed, brief.id).is_some();
        let known = line.lanes.knows(brief.id, brief.stamp);
        let busy = known && line.lanes.is_busy(brief.id);
        if busy {
            // It may be filed elsewhere by now than where the transfer will note what came of it.
            line.copied.insert(brief.id, Brief { first: false, ..*brief });
        }
        let goes_first = walked.is_none() && brief.first;
        if known && !tells && (busy || !goes_first) {
            return true;
        }
        if rests && brief.tombstone && self.env().planted(Bug::DeletesLostWhilePaused) {
            return true;
        }
        if let Some(volume) = walked
            && let Some(slot) = results.of(volume, brief.id, brief.stamp, (feed, mark))
            && slot.outcome.is_final()
        {
            return true;
        }
        let (lane, since) =
            if walked.is_some() { (Lane::Backlog, line.since) } else { (Lane::Fresh, now) };
        let hold_off = self.shared.hold_off;
        let held_off = walked.is_some() && !brief.first && now < since + hold_off;
        match sorted {
            Sorted::Vanished => true,
            Sorted::In | Sorted::Unsure if held_off => {
                // Most of these will have been done by then; the others the next walk finds.
                line.walk_again_at(since + hold_off);
                if brief.retry_at.is_none() {
                    line.missed.note(brief.id);
                }
                true
            }
            Sorted::In => line.offer(brief, lane, since, hold_off, (now, wall)) != Offered::Full,
            Sorted::Unsure => {
                let room = line.note_unsure(*brief, since);
                if !room && walked.is_none() {
                    line.walk_again_soon();
                }
                room
            }
            Sorted::Out => {
                let Some(look) = look else { return true };
                let room = results.have_room(&look);
                if !room && walked.is_none() {
                    line.walk_again_soon();
                }
                let slot = settle(None, feed, mark, Settled::OutOfScope, wall);
                if let Some(slot) = slot.filter(|_| room) {
                    results.file_everywhere(&look, slot, self.env().now());
                    line.rate.count(1, now);
                    line.lanes.forget(brief.id, brief.stamp);
                    sends.settle(feed, brief.id, brief.stamp, Verdict::OutOfScope);
                }
                room
            }
        }
    }
}

/// The walks that may go on.
fn wanted(state: &State) -> Vec<Wanted> {
    let lines = state.lines.values();
    lines
        .flat_map(|line| {
            // A volume that takes no outcomes is not asked for more to do.
            let walks = line.walks().filter(|(volume, _)| state.results.has_room(*volume));
            walks.map(|(volume, after)| Wanted {
                feed: Arc::clone(&line.feed),
                mark: line.mark,
                volume,
                after,
            })
        })
        .collect()
}
