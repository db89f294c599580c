//! What is shown of the feeds: statistics, the status of a stream, and what can fill up.

use std::collections::BTreeMap;

use swarm_env::Bug;
use swarm_plan::feeds::Told;
use swarm_types::{FeedId, FeedOutcome, FeedSlots, Instant, Stamp, StreamId};

use crate::home::{MayWork, SlotCounts};
use crate::inbox::INBOX_MAX;
use crate::lanes::Limits;
use crate::line::UNSURE_MAX;
use crate::peers::{About, FoundContext, To};
use crate::results::Results;
use crate::send::{Shown, Verdict, WAITERS_MAX};
use crate::service::{Feeds, lock};
use crate::stats::{Gauges, NodeFeed};

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
                Some(slot) => match Verdict::on(&look.filed, slot, &line.feed.definition) {
                    Verdict::Shown(shown) => shown,
                    // It was deleted, and that is not carried over: the target need not have it.
                    verdict => Shown { status: verdict.status()?, at: Some(slot.at) },
                },
            };
            Some((line.feed.id, shown))
        })
        .collect()
    }

    /// The same, with what the other holders of the stream say: success is success, whichever replica brought it about, and of
    /// attempts the last one counts. So it is the same whoever is asked.
    pub async fn status_everywhere(&self, id: StreamId, stamp: Stamp) -> BTreeMap<FeedId, Shown> {
        let mut all = self.status(id, stamp);
        let Some(look) = self.look(id) else { return all };
        let open: Vec<_> = all
            .iter()
            .filter(|(_, shown)| shown.status != 0)
            .map(|(feed, own)| (*feed, *own))
            .collect();
        for (feed, own) in open {
            let known = self.state().lines.get(&feed).map(|line| {
                (line.mark, line.feed.definition.propagate_deletes || !look.filed.is_tombstone())
            });
            let Some((mark, true)) = known else { continue };
            let about = About { id, stamp: look.filed.stamp, feed, mark };
            let told = self.peers().ask(To::holders(&look.filed.holders), about).await;
            match with_told(own, &told) {
                Some(shown) => drop(all.insert(feed, shown)),
                None => drop(all.remove(&feed)),
            }
        }
        all
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
/// does not select it.
fn with_told(own: Shown, told: &[Told]) -> Option<Shown> {
    let slots = told.iter().filter_map(|told| match told {
        Told::Done(slot) => Some(slot),
        _ => None,
    });
    let Some(last) = slots.max_by_key(|slot| (slot.outcome.is_final(), slot.at)) else {
        return Some(own);
    };
    match last.outcome {
        FeedOutcome::Unqualified => None,
        FeedOutcome::Retrying { .. } if own.at >= Some(last.at) => Some(own),
        _ => Some(Shown { status: last.status, at: Some(last.at) }),
    }
}

#[cfg(test)]
mod tests {
    use swarm_types::{FeedMark, FeedSlot, Timestamp};

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

    #[test]
    fn success_anywhere_is_success_and_of_attempts_the_last_one_counts() {
        let done = slot(FeedOutcome::Success, 0, 5);
        let tried = shown(500, 8);
        assert_eq!(with_told(tried, &[]), Some(tried));
        assert_eq!(with_told(tried, &[Told::Doing, Told::NotMine]), Some(tried));
        assert_eq!(with_told(tried, &[failed(9), done, Told::Doing]), Some(shown(0, 5)));
        assert_eq!(with_told(tried, &[failed(7), failed(9)]), Some(shown(503, 9)));
        assert_eq!(with_told(tried, &[failed(7)]), Some(tried));
        assert_eq!(with_told(Shown::NOT_YET, &[failed(7)]), Some(shown(503, 7)));
        let unqualified = slot(FeedOutcome::Unqualified, 0, 1);
        assert_eq!(with_told(Shown::NOT_YET, &[failed(7), unqualified]), None);
    }
}
