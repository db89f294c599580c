//! Whose turn it is: what replicas of one object tell and ask each other about a feed.

use swarm_env::Bug;
use swarm_plan::feeds::{Settled, Told, Turn, TurnFacts, settle, turn};
use swarm_types::{FeedId, FeedMark, FeedOutcome, FeedSlot};

use crate::deliver::Job;
use crate::peers::{About, Done, To};
use crate::send::Verdict;
use crate::service::{Feeds, Look, State};

impl Feeds {
    /// Whose turn a stream is. A SEND does not wait; but what another holder has done need not be done again.
    pub(crate) async fn turn(&self, job: &Job, look: &Look) -> Turn {
        if job.send == Some(true) {
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
        let sent_for = job.send.is_some() && !facts.first;
        if whose != Turn::Ask && !sent_for {
            return whose;
        }
        let (id, stamp) = (look.filed.id, look.filed.stamp);
        let about = About { id, stamp, feed: job.feed.id, mark: job.mark };
        let told = self.peers().ask(To::holders(&look.filed.holders), about).await;
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
        let before = look.filed.slots.get(slot.feed, slot.mark).map(|slot| slot.outcome);
        let news = slot.outcome.is_final() && !before.is_some_and(FeedOutcome::is_final);
        if line.is_closed() || !news {
            return;
        }
        let (now, at) = (self.now(), self.env().now());
        if !results.file_everywhere(&look, slot, at) {
            line.walk_again_soon();
        }
        line.rate.count(1, now);
        line.lanes.forget(id, stamp);
        if sends.wants(slot.feed, id) == Some(false) {
            let verdict = Verdict::on(&look.filed, &slot, &line.feed.definition);
            sends.settle(slot.feed, id, stamp, verdict);
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
    /// it says anything new.
    pub(crate) fn note(
        &self,
        state: &mut State,
        look: &Look,
        (feed, mark): (FeedId, FeedMark),
        settled: Settled,
    ) -> Option<FeedSlot> {
        let before = look.filed.slots.get(feed, mark);
        let slot = settle(before, feed, mark, settled, self.env().wall())?;
        self.adopt_slot(state, look, slot);
        let (results, now) = (&mut state.results, self.env().now());
        if slot.outcome.is_final() {
            let done = Done { id: look.filed.id, stamp: look.filed.stamp, slot };
            results.tell(&look.filed.holders, done, now);
        }
        Some(slot)
    }
}
