//! The one task of a node's feeds: again and again it takes what came in, walks on, and begins what may be begun.
//!
//! Without feeds it costs nothing: it waits until there is one. Whatever takes time is done in tasks beside it, of which each
//! feed has as many as its definition allows.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use swarm_types::{FeedId, Instant};

use crate::blockade::{Kind, Leave, TargetTrouble};
use crate::deliver::Job;
use crate::home::MayWork;
use crate::lanes::Work;
use crate::line::Line;
use crate::scan::Moment;
use crate::send::Sends;
use crate::service::{Feeds, State, TICK};
use crate::target::FeedTarget;

/// From one part of what was filed to the next, so that others come in between.
const ARRIVALS_PACE: Duration = Duration::from_millis(1);
/// How often idle connections are looked after.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// A stream that another transfer is bringing as a context is left alone for so long.
const PUSHED_BY_ANOTHER: Duration = Duration::from_secs(1);

impl Feeds {
    /// Works for ever.
    pub(crate) async fn work_for_ever(self) {
        let mut tick = self.env().background("feeds", TICK);
        loop {
            if !self.is_active() {
                self.shared.wake.notified().await;
                continue;
            }
            let woken = pin!(self.shared.wake.notified());
            match self.pass() {
                Some(soon) => drop(self.env().timeout(soon, woken).await),
                None => {
                    select(woken, pin!(tick.tick())).await;
                }
            }
        }
    }

    /// Does what can be done now. Returns how long to wait until there is more, if that is known.
    fn pass(&self) -> Option<Duration> {
        let stores = self.home().stores();
        let ripe = self.flush(&stores);
        let may = self.home().may_work();
        self.tidy();
        self.settle_paused(may);
        if may == MayWork::No {
            return ripe;
        }
        let moment = Moment { now: self.now(), wall: self.env().wall() };
        self.meet(&stores, moment);
        let more = self.take_arrivals(moment).then_some(ARRIVALS_PACE);
        let walk = self.scan(&stores, moment);
        self.begin_evaluations();
        self.begin_asking();
        self.begin_work(may, moment.now);
        // Outcomes that came of the walk itself are filed in time too.
        let ripe = self.flush(&stores);
        [more, walk, ripe].into_iter().flatten().min()
    }

    /// Begins transfers and greetings.
    fn begin_work(&self, may: MayWork, now: Instant) {
        let mut jobs = Vec::new();
        let mut greetings = Vec::new();
        {
            let mut state = self.state();
            let State { lines, sends, .. } = &mut *state;
            for (id, line) in lines.iter_mut() {
                if line.is_closed() || line.feed.definition.paused || may == MayWork::Paused {
                    continue;
                }
                for (work, greet) in pick(line, sends, now) {
                    jobs.push(job(line, sends, work, greet));
                }
                if is_to_be_greeted(line, now) {
                    line.greeting = true;
                    greetings.push((*id, Arc::clone(&line.target)));
                }
            }
        }
        for job in jobs {
            drop(self.env().spawn("feed-transfer", self.clone().transfer(job)));
        }
        for (feed, target) in greetings {
            drop(self.env().spawn("feed-greet", self.clone().greet(feed, target)));
        }
    }

    async fn greet(self, feed: FeedId, target: Arc<dyn FeedTarget>) {
        let answer = target.greet().await;
        let now = self.now();
        let mut state = self.state();
        if let Some(line) = state.lines.get_mut(&feed)
            && Arc::ptr_eq(&line.target, &target)
        {
            line.greeting = false;
            line.greeted(answer, now);
        }
        let over = state.drop_closed();
        drop(state);
        drop(over);
        self.shared.wake.notify_one();
    }

    /// Lets go of what nobody needs any more.
    fn tidy(&self) {
        let now = self.env().now();
        let mut state = self.state();
        if now < state.tidied + TIDY_EVERY {
            return;
        }
        state.tidied = now;
        let State { sends, lines, .. } = &mut *state;
        sends.tidy();
        // Where there was no room for what somebody waits for, there may be by now.
        let clock = self.now();
        lines.values_mut().for_each(|line| sends.offer_again(line, clock));
        let over = state.drop_closed();
        let targets: Vec<_> = state.lines.values().map(|line| Arc::clone(&line.target)).collect();
        self.set_active(&state);
        drop(state);
        drop(over);
        targets.iter().for_each(|target| target.tidy());
    }
}

/// What is to be begun now, and whether the target is to be greeted first.
fn pick(line: &mut Line, sends: &Sends, now: Instant) -> Vec<(Work, bool)> {
    let threads = line.threads();
    let mut picked = Vec::new();
    let mut put_off = Vec::new();
    let mut shut = false;
    loop {
        let full = line.blockade.reason() == Some(TargetTrouble::Full);
        let deletes = full && line.blockade.may(Kind::Delete, now) == Leave::Go;
        let delete = if deletes { line.lanes.next_delete(now, threads) } else { None };
        let work = match delete {
            Some(work) => Some(work),
            None if !line.lanes.is_due(now, threads) || line.greeting => None,
            None => match line.blockade.may(Kind::Write, now) {
                Leave::Go => line.lanes.next(now, threads),
                Leave::ProbeFirst => {
                    line.greeting_due = true;
                    None
                }
                Leave::Wait(_) => {
                    shut = true;
                    None
                }
            },
        };
        let Some(work) = work else { break };
        if line.pushing.contains(&work.id) {
            put_off.push(work);
        } else {
            picked.push((work, false));
        }
    }
    for work in put_off {
        line.lanes.retry(work.id, now + PUSHED_BY_ANOTHER, work.doubtful);
    }
    if shut {
        // Whoever waits for a stream at a target that is left alone gets one attempt.
        let sent_for = sends.of(line.feed.id).into_iter();
        picked.extend(
            sent_for.filter_map(|id| line.lanes.take(id, now, threads)).map(|work| (work, true)),
        );
    }
    picked
}

/// Whether to look how the target is, be there work or not: what is shown of it is to be true.
fn is_to_be_greeted(line: &mut Line, now: Instant) -> bool {
    if line.greeting || line.blockade.is_open() {
        return false;
    }
    std::mem::take(&mut line.greeting_due)
        || line.blockade.may(Kind::Greeting, now) == Leave::ProbeFirst
}

fn job(line: &Line, sends: &Sends, work: Work, greet: bool) -> Job {
    let send = sends.wants(line.feed.id, work.id);
    Job {
        feed: Arc::clone(&line.feed),
        mark: line.mark,
        target: Arc::clone(&line.target),
        work,
        edited: line.edited,
        // What is new is seldom there.
        ask_before: line.answers.are_often_already() && work.since <= line.since,
        send: send.is_some(),
        forced: work.forced || send == Some(true),
        greet,
    }
}
