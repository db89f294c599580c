//! Whose turn it is: what replicas of one object tell and ask each other about a feed.

use swarm_env::Bug;
use swarm_plan::feeds::{Settled, Told, Turn, TurnFacts, settle, turn};
use swarm_types::{FeedId, FeedMark, FeedOutcome, FeedSlot, Timestamp};

use crate::deliver::Job;
use crate::peers::{About, Done, To};
use crate::send::Verdict;
use crate::service::{Feeds, Look, State};

impl Feeds {
    /// Whose turn a stream is. A SEND does not wait; but what another holder has done need not be done again.
    pub(crate) async fn turn(&self, job: &Job, look: &Look) -> Turn {
        if job.forced {
            return Turn::Now { probe: false };
        }
        let mut facts = TurnFacts {
            first: job.work.first || look.filed.first,
            since: job.work.since,
            now: self.now(),
            hold_off: self.shared.hold_off,
            told: None,
        };
        let mut whose = turn(facts);
        let sent_for = job.send && !facts.first;
        if whose != Turn::Ask && !sent_for {
            return whose;
        }
        let (id, stamp) = (look.filed.id, look.filed.stamp);
        let about = About { id, stamp, feed: job.feed.id, mark: job.mark };
        let mut told = self.peers().ask(To::holders(&look.filed.holders), about).await;
        still_stand(&mut told);
        facts.told = Some(&told);
        facts.now = self.now();
        whose = turn(facts);
        match whose {
            Turn::Adopt(_) => whose,
            _ if !sent_for && self.env().planted(Bug::FirstOnly) => {
                Turn::At(facts.now + facts.hold_off)
            }
            _ if sent_for => Turn::Now { probe: true },
            Turn::Ask => Turn::Now { probe: true },
            _ => whose,
        }
    }

    /// Other holders tell what came of streams.
    pub fn hear_done(&self, done: &[Done]) {
        for done in done {
            self.hear_one(*done);
        }
        self.shared.wake.notify_one();
    }

    fn hear_one(&self, Done { id, stamp, slot }: Done) {
        let Some(look) = self.look(id).filter(|look| look.filed.stamp == stamp) else { return };
        let mut state = self.state();
        let State { lines, results, sends, .. } = &mut *state;
        let Some(line) = lines.get_mut(&slot.feed).filter(|line| line.mark == slot.mark) else {
            return;
        };
        let before = look.filed.slots.get(slot.feed, slot.mark);
        let Some(news) = News::of(before, &slot).filter(|_| !line.is_closed()) else { return };
        let (now, at) = (self.now(), self.env().now());
        if !results.file_everywhere(&look, slot, at) {
            line.walk_again_soon();
        }
        match news {
            News::Again => {}
            // Who told it tries again; only if nothing comes of that does this node.
            News::TakenBack { next_at } => {
                let wait = next_at.since(self.env().wall());
                line.walk_again_at(now + wait + self.shared.hold_off);
            }
            News::Done => {
                line.rate.count(1, now);
                let verdict = Verdict::on(&look.filed, &slot);
                let left = sends.settle_known(slot.feed, id, stamp, verdict);
                if !left && !line.lanes.is_forced(id) {
                    line.lanes.forget(id, stamp);
                }
            }
        }
    }

    /// Answers another holder that asks about a stream.
    #[must_use]
    pub fn hear_ask(&self, about: About) -> Told {
        let About { id, stamp, feed, mark } = about;
        let Some(look) = self.look(id).filter(|look| look.filed.stamp == stamp) else {
            return Told::NotMine;
        };
        let state = self.state();
        let line = state.lines.get(&feed).filter(|line| line.mark == mark);
        if let Some(slot) = look.filed.slots.get(feed, mark).filter(|slot| slot.outcome.is_final())
        {
            return Told::Done(*slot);
        }
        let Some(line) = line else { return Told::NotMine };
        if line.delivering.contains(&id) {
            return Told::Doing;
        }
        match look.filed.slots.get(feed, mark) {
            Some(slot) if line.lanes.is_forced(id) => Told::TakenBack(*slot),
            Some(slot) => Told::Done(*slot),
            None if look.filed.first => Told::FirstAndPending,
            None => Told::NotMine,
        }
    }

    /// Notes a slot for a stream wherever it is filed here.
    pub(crate) fn adopt_slot(&self, state: &mut State, look: &Look, slot: FeedSlot) {
        let State { lines, results, .. } = state;
        if !results.file_everywhere(look, slot, self.env().now())
            && let Some(line) = lines.get_mut(&slot.feed)
        {
            line.walk_again_soon();
        }
    }

    /// Notes an outcome for a stream wherever it is filed here, and tells the other holders if it is final. Returns the slot, if
    /// it says anything new. What was forced is news even if it comes to the same, and for all holders.
    pub(crate) fn note(
        &self,
        state: &mut State,
        look: &Look,
        (feed, mark): (FeedId, FeedMark),
        settled: Settled,
        forced: bool,
    ) -> Option<FeedSlot> {
        let before = look.filed.slots.get(feed, mark);
        let before = before.filter(|slot| !(forced && slot.outcome.is_final()));
        let slot = settle(before, feed, mark, settled, self.env().wall())?;
        self.adopt_slot(state, look, slot);
        let (results, now) = (&mut state.results, self.env().now());
        let holders = &look.filed.holders;
        // Who remembers a delete nobody knows, and it is many at once that are deleted. Of a version without other holders nobody
        // needs to know.
        let is_of_others = look.filed.is_tombstone() || !holders.is_empty();
        if is_of_others && (slot.outcome.is_final() || forced) {
            let done = Done { id: look.filed.id, stamp: look.filed.stamp, slot };
            results.tell(To::holders(holders), done, now);
        }
        Some(slot)
    }
}

/// What a holder hears from another one that is news to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// It is done.
    Done,
    /// It was done, and was done again since, because it was forced.
    Again,
    /// It was done, and failed when it was forced since.
    TakenBack {
        /// When it is tried again where it failed.
        next_at: Timestamp,
    },
}

impl News {
    fn of(before: Option<&FeedSlot>, slot: &FeedSlot) -> Option<Self> {
        let Some(before) = before.filter(|before| before.outcome.is_final()) else {
            return slot.outcome.is_final().then_some(Self::Done);
        };
        if before.outcome != FeedOutcome::Success || slot.at <= before.at {
            return None;
        }
        match slot.outcome {
            FeedOutcome::Success => Some(Self::Again),
            FeedOutcome::Retrying { next_at, .. } => Some(Self::TakenBack { next_at }),
            FeedOutcome::Unqualified => None,
        }
    }
}

/// Leaves out the successes that were taken back since.
pub(crate) fn still_stand(told: &mut Vec<Told>) {
    let failed = last_taken_back(told);
    told.retain(|told| !is_overtaken(told, failed));
}

/// When an attempt last failed that was forced, as far as is told.
pub(crate) fn last_taken_back(told: &[Told]) -> Option<Timestamp> {
    let at = told.iter().filter_map(|told| match told {
        Told::TakenBack(slot) => Some(slot.at),
        _ => None,
    });
    at.max()
}

/// Whether a success that is told came about before an attempt failed that was forced. One that fails by itself takes nothing
/// back: it would not have been made had this been known.
fn is_overtaken(told: &Told, failed: Option<Timestamp>) -> bool {
    matches!(told, Told::Done(slot) if slot.outcome == FeedOutcome::Success && failed > Some(slot.at))
}
