//! What is shown of the feeds: statistics, the status of a stream, and what can fill up.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use swarm_env::Bug;
use swarm_plan::feeds::Told;
use swarm_types::{FeedId, FeedOutcome, FeedSlot, FeedSlots, Instant, Stamp, StreamId};

use crate::home::{MayWork, SlotCounts};
use crate::inbox::INBOX_MAX;
use crate::lanes::Limits;
use crate::line::UNSURE_MAX;
use crate::peers::{About, FoundContext, To};
use crate::results::Results;
use crate::send::{Shown, WAITERS_MAX};
use crate::service::{Feeds, Look, State, lock};
use crate::stats::{Gauges, NodeFeed};
use crate::turns::last_taken_back;

/// What a node can tell of a version of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// It is here, or a newer one.
    Here,
    /// It was deleted since.
    Deleted,
    /// It is not here any more. It may well be elsewhere: a newer version may have taken its place on other nodes.
    NotHere,
}

impl Feeds {
    /// Every feed as it stands on this node.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<FeedId, NodeFeed> {
        let stores = self.home().stores();
        let pauses = self.home().may_work() == MayWork::Paused;
        let now = self.now();
        let marks: Vec<_> =
            self.state().lines.values().map(|line| (line.feed.id, line.mark)).collect();
        let mut stats = BTreeMap::new();
        for (feed, mark) in marks {
            let mut durable = SlotCounts::default();
            let (mut streams, mut counts) = (0, Vec::new());
            for store in &stores {
                streams += store.streams();
                counts.push((store.id(), store.counts(feed, mark)));
            }
            let mut state = self.state();
            for (volume, mut count) in counts {
                state.results.adjust(volume, feed, mark, &mut count);
                durable.success += count.success;
                durable.unqualified += count.unqualified;
                durable.retrying += count.retrying;
            }
            let Some(line) = state.lines.get_mut(&feed) else { continue };
            let gauges = gauges(streams, durable, line.lanes.busy(), line.lanes.waiting());
            let oldest =
                line.lanes.oldest().into_iter().chain(line.is_walking().then_some(line.since));
            let idle = gauges.waiting() + gauges.in_progress + gauges.retrying == 0;
            let node = NodeFeed {
                state: line.state(now, pauses),
                reason: line.blockade.reason(),
                gauges,
                counters: line.counters.clone(),
                oldest_pending: oldest.min().filter(|_| !idle).map(|since| now.since(since)),
                rate: line.rate.lately(now),
            };
            stats.insert(feed, node);
        }
        stats
    }

    /// What every feed has come to with a version of a stream, as far as this node knows; feeds that do not select it are left
    /// out.
    #[must_use]
    pub fn status(&self, id: StreamId, stamp: Stamp) -> BTreeMap<FeedId, Shown> {
        let Some(look) = self.look(id).filter(|look| look.filed.stamp >= stamp) else {
            return BTreeMap::new();
        };
        let state = self.state();
        let open = state.lines.values().filter(|line| !line.is_closed());
        open.filter_map(|line| {
            let is_sent = line.delivering.contains(&id);
            let shown = match look.filed.slots.get(line.feed.id, line.mark) {
                _ if is_sent && self.env().planted(Bug::StatusZeroEarly) => {
                    Shown { status: 0, at: Some(self.env().wall()) }
                }
                None => Shown::NOT_YET,
                Some(slot) if slot.outcome == FeedOutcome::Unqualified => return None,
                Some(slot) => Shown { status: slot.status, at: Some(slot.at) },
            };
            Some((line.feed.id, shown))
        })
        .collect()
    }

    /// The same, with what the other holders of the stream say: success is success, whichever replica brought it about, until a
    /// later attempt fails because it was asked for. So it is the same whoever is asked.
    pub async fn status_everywhere(&self, id: StreamId, stamp: Stamp) -> BTreeMap<FeedId, Shown> {
        let mut all = self.status(id, stamp);
        let Some(look) = self.look(id) else { return all };
        let open: Vec<_> = all
            .iter()
            .filter(|(_, shown)| shown.status != 0)
            .map(|(feed, own)| (*feed, *own))
            .collect();
        // All feeds at once: a holder that is silent is waited for once.
        let asked = open.into_iter().map(|(feed, own)| self.shown_everywhere(&look, feed, own));
        for (feed, shown) in join_all(asked).await {
            match shown {
                Some(shown) => drop(all.insert(feed, shown)),
                None => drop(all.remove(&feed)),
            }
        }
        all
    }

    async fn shown_everywhere(
        &self,
        look: &Look,
        feed: FeedId,
        own: Shown,
    ) -> (FeedId, Option<Shown>) {
        let line = |state: &State| {
            let line = state.lines.get(&feed)?;
            Some((line.mark, line.lanes.is_forced(look.filed.id)))
        };
        let Some((mark, forced)) = line(&self.state()) else { return (feed, Some(own)) };
        let about = About { id: look.filed.id, stamp: look.filed.stamp, feed, mark };
        let told = self.peers().ask(To::holders(&look.filed.holders), about).await;
        (feed, with_told(own, forced, &told))
    }

    /// What this node can tell of a version of a stream.
    #[must_use]
    pub fn whereabouts(&self, id: StreamId, stamp: Stamp) -> Whereabouts {
        match self.look(id).filter(|look| look.filed.stamp >= stamp) {
            None => Whereabouts::NotHere,
            Some(look) if look.filed.is_tombstone() => Whereabouts::Deleted,
            Some(_) => Whereabouts::Here,
        }
    }

    /// Whether any feed has still to carry over a delete with these slots, so that it must not be forgotten.
    #[must_use]
    pub fn needs(&self, slots: &FeedSlots) -> bool {
        if self.env().planted(Bug::TombstoneDroppedEarly) {
            return false;
        }
        let state = self.state();
        let mut open = state.lines.values().filter(|line| !line.is_closed());
        open.any(|line| {
            let slot = slots.get(line.feed.id, line.mark);
            line.feed.definition.propagate_deletes
                && !slot.is_some_and(|slot| slot.outcome.is_final())
        })
    }

    /// Whether anything that came of deliveries is not durable yet, or not told: a node that stops now would ask again.
    #[must_use]
    pub fn has_unfiled(&self) -> bool {
        !self.state().results.is_empty()
    }

    /// All that holds work, with its limits: name, how much is in it, how much may be. All is empty when nothing is left to be
    /// done.
    #[must_use]
    pub fn queues(&self) -> Vec<(String, u64, u64)> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let volumes = self.home().stores().len();
        let arrivals = lock(&self.shared.inbox).len();
        let max = self.shared.settings.max_queue;
        let Limits { urgent, backlog, .. } = Limits::default();
        let state = self.state();
        let mut queues = vec![
            ("feed arrivals".to_owned(), count(arrivals), count(INBOX_MAX)),
            ("feed results".to_owned(), count(state.results.len()), count(Results::limit(volumes))),
            ("feed sends".to_owned(), count(state.sends.len()), count(WAITERS_MAX)),
        ];
        for line in state.lines.values() {
            let depth = line.lanes.waiting() + line.lanes.busy() + line.unsure.len();
            let limit = urgent + backlog + 2 * max + line.threads() + UNSURE_MAX;
            queues.push((format!("feed {}", line.feed.id), count(depth), count(limit)));
        }
        queues
    }

    /// Most bytes of memory that the feeds take for what they keep in mind; bodies under way are not counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let inbox = lock(&self.shared.inbox).bytes();
        let state = self.state();
        let lines: usize = state
            .lines
            .values()
            .map(|line| {
                line.lanes.bytes() + line.unsure.capacity() * size_of::<(crate::Brief, Instant)>()
            })
            .sum();
        let contexts = state.contexts.len() * 2 * size_of::<FoundContext>();
        inbox + lines + contexts + state.results.bytes()
    }
}

/// Where the streams stand. What waits and what is under way is known by id, not by volume, and may have gone meanwhile: so it
/// is never more than what no slot tells of.
fn gauges(streams: u64, durable: SlotCounts, busy: usize, waiting: usize) -> Gauges {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let SlotCounts { success, unqualified, retrying } = durable;
    let rest = streams.saturating_sub(success + unqualified + retrying);
    let in_progress = count(busy).min(rest);
    let pending_processing = count(waiting).saturating_sub(retrying).min(rest - in_progress);
    let pending_evaluation = rest - in_progress - pending_processing;
    Gauges { pending_evaluation, pending_processing, in_progress, retrying, success, unqualified }
}

/// What is shown where this node has come to no final outcome and others say this; `None` where they have found that the feed
/// does not select it. A success stands until an attempt fails that was `forced`, here or there: one that fails by itself was
/// made because nobody had told of the success.
fn with_told(own: Shown, forced: bool, told: &[Told]) -> Option<Shown> {
    let slots = told.iter().filter_map(|told| match told {
        Told::Done(slot) | Told::TakenBack(slot) => Some(slot),
        _ => None,
    });
    let slots: Vec<&FeedSlot> = slots.collect();
    if slots.iter().any(|slot| slot.outcome == FeedOutcome::Unqualified) {
        return None;
    }
    let shown = |slot: &&FeedSlot| Shown { status: slot.status, at: Some(slot.at) };
    let taken_back = last_taken_back(told).max(own.at.filter(|_| forced));
    let done = slots.iter().filter(|slot| slot.outcome == FeedOutcome::Success);
    let done = done.map(shown).max_by_key(|shown| shown.at).filter(|done| done.at >= taken_back);
    let failed = slots.iter().filter(|slot| !slot.outcome.is_final()).map(shown);
    // Of failures of one moment its own is shown.
    let last = failed.chain([own]).max_by_key(|shown| shown.at);
    Some(done.or(last).unwrap_or(own))
}

#[cfg(test)]
mod tests {
    use swarm_types::{FeedMark, Timestamp};

    use super::*;

    fn slot(outcome: FeedOutcome, status: u16, secs: i64) -> Told {
        let at = Timestamp::from_secs(secs);
        Told::Done(FeedSlot { feed: FeedId(0), mark: FeedMark(1), outcome, status, at })
    }

    fn failed(secs: i64) -> Told {
        let next_at = Timestamp::from_secs(secs + 60);
        slot(FeedOutcome::Retrying { attempts: 1, next_at }, 503, secs)
    }

    fn shown(status: u16, secs: i64) -> Shown {
        Shown { status, at: Some(Timestamp::from_secs(secs)) }
    }

    fn taken_back(secs: i64) -> Told {
        match failed(secs) {
            Told::Done(slot) => Told::TakenBack(slot),
            other => other,
        }
    }

    #[test]
    fn success_anywhere_is_success_until_an_attempt_fails_that_was_forced() {
        let done = slot(FeedOutcome::Success, 0, 8);
        let tried = shown(500, 8);
        let of = |own, told: &[Told]| with_told(own, false, told);
        assert_eq!(of(tried, &[]), Some(tried));
        assert_eq!(of(tried, &[Told::Doing, Told::NotMine]), Some(tried));
        assert_eq!(of(tried, &[failed(7), done, Told::Doing]), Some(shown(0, 8)));
        assert_eq!(of(tried, &[failed(9), done]), Some(shown(0, 8)), "nobody had told that one");
        assert_eq!(of(shown(500, 300), &[done]), Some(shown(0, 8)), "nor this one");
        assert_eq!(of(tried, &[taken_back(9), done]), Some(shown(503, 9)), "it was sent again");
        let again = slot(FeedOutcome::Success, 0, 10);
        assert_eq!(of(tried, &[taken_back(9), done, again]), Some(shown(0, 10)));
        let before = slot(FeedOutcome::Success, 0, 7);
        assert_eq!(with_told(tried, true, &[before]), Some(tried), "here");
        assert_eq!(with_told(tried, true, &[done]), Some(shown(0, 8)));
        assert_eq!(with_told(Shown::NOT_YET, true, &[before]), Some(shown(0, 7)), "not yet");
        assert_eq!(of(Shown::NOT_YET, &[before, done]), Some(shown(0, 8)));
        assert_eq!(of(tried, &[failed(7), failed(9)]), Some(shown(503, 9)));
        assert_eq!(of(tried, &[failed(7), failed(8)]), Some(tried));
        assert_eq!(of(Shown::NOT_YET, &[failed(7)]), Some(shown(503, 7)));
        let unqualified = slot(FeedOutcome::Unqualified, 0, 1);
        assert_eq!(of(Shown::NOT_YET, &[failed(7), done, unqualified]), None);
    }
}
