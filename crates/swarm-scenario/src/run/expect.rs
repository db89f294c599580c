//! Expectations: looked at while the run goes on, or judged at its end.

use std::sync::Arc;
use std::time::Duration;

use swarm_types::Instant;

use super::Run;
use super::look::{Look, Verdict};
use super::watch::LOOK_EVERY;
use super::{RESOLUTION, SELDOM, metrics};
use crate::language::model::{ClusterMetric, Event, FeedMetric, Metric, Subject, When, Window};

/// What became of one expectation.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) held: bool,
    /// When it was decided, since the start of the scenario.
    pub(crate) at: Duration,
    pub(crate) detail: String,
}

/// Looks after one expectation to its end.
pub(crate) async fn watch_over(run: Arc<Run>, number: usize) -> Expected {
    let expect = run.scenario.expects[number].clone();
    let mut watch = Watch { run: &run, look: Look::new(&run, &expect.subject) };
    let verdict = match &expect.when {
        When::Within(event, within) => watch.within(event.as_ref(), *within).await,
        When::During(window) => watch.during(window).await,
        When::At(at) => {
            run.env().sleep_until(run.started() + *at).await;
            watch.look.now().await
        }
        When::Never => watch.never().await,
        When::End => {
            run.until_rested().await;
            watch.look.now().await
        }
    };
    let at = run.since_start(run.now());
    let (held, detail) = match verdict {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Expected {
        line: expect.line,
        text: format!("{} {}", expect.subject, expect.when),
        held,
        at,
        detail,
    }
}

/// One subject being looked at for as long as it takes.
struct Watch<'a> {
    run: &'a Arc<Run>,
    look: Look<'a>,
}

impl Watch<'_> {
    async fn within(&mut self, event: Option<&Event>, within: Duration) -> Verdict {
        let from = match event {
            None => self.run.started(),
            Some(event) => match self.run.board.wait(event).await {
                Some(at) => at,
                None => return Err("what it waits for never came".to_owned()),
            },
        };
        if event.is_some() {
            self.look.begin_log();
        }
        let deadline = from + within;
        loop {
            let seen = self.look.now().await;
            if seen.is_ok() || self.run.now() >= deadline {
                return seen;
            }
            // To one part in sixty of the time that it takes, and at the end of the time that it may take.
            let now = self.run.now();
            let pace = self.look.pace();
            let rarely =
                if OverWhat::of(self.look.subject) == OverWhat::Log { pace } else { SELDOM };
            let wait = (now.since(from) / RESOLUTION).clamp(pace, pace.max(rarely));
            self.run.pause(wait.min(deadline.since(now))).await;
        }
    }

    async fn during(&mut self, window: &Window) -> Verdict {
        let end = match window {
            Window::Times(from, to) => {
                self.run.env().sleep_until(self.run.started() + *from).await;
                Some(self.run.started() + *to)
            }
            Window::Named(name) => {
                if self.run.board.wait(&Event::Starts(name.clone())).await.is_none() {
                    return Err(format!("{name} never started"));
                }
                None
            }
        };
        let over = |run: &Run| match (end, window) {
            (Some(end), _) => run.now() >= end,
            (None, Window::Named(name)) => run.board.when(&Event::Ends(name.clone())).is_some(),
            (None, Window::Times(..)) => true,
        };
        let over_what = OverWhat::of(self.look.subject);
        self.look.begin_log();
        let before = self.gauge().await;
        let mut largest = before;
        while !over(self.run) {
            match over_what {
                OverWhat::Always => drop(self.look.now().await?),
                OverWhat::Largest => largest = largest.max(self.gauge().await),
                OverWhat::Growth
                | OverWhat::Losses
                | OverWhat::Carried
                | OverWhat::Operations
                | OverWhat::Log => {
                    // Nothing is to be looked at before.
                    self.until_over(end, window).await;
                    break;
                }
            }
            self.pause().await;
        }
        self.over_the_window(window, over_what, (before, largest)).await
    }

    async fn until_over(&self, end: Option<Instant>, window: &Window) {
        match (end, window) {
            (None, Window::Named(name)) => {
                self.run.board.wait(&Event::Ends(name.clone())).await;
            }
            _ => self.run.env().sleep_until(end.unwrap_or(self.run.now())).await,
        }
    }

    /// The verdict after a window, in which a value was this before and that at most.
    async fn over_the_window(
        &mut self,
        window: &Window,
        over_what: OverWhat,
        (before, largest): (Option<u64>, Option<u64>),
    ) -> Verdict {
        let (run, Subject::Metric { metric, is, value }) = (self.run, self.look.subject) else {
            return match over_what {
                OverWhat::Log => self.look.now().await,
                _ => Ok("all the time".to_owned()),
            };
        };
        let compare = |seen: Option<u64>, when| match seen {
            Some(seen) => metrics::compare(metric, *is, *value, seen, when),
            None => Err("no node told it".to_owned()),
        };
        match (over_what, metric) {
            (OverWhat::Growth, _) => {
                let after = self.gauge().await;
                compare(after.zip(before).map(|(after, before)| after - before), "in the window")
            }
            (OverWhat::Losses, Metric::Cluster(cluster, _)) => {
                let bounds = run.bounds(window);
                let lost = || metrics::recovery(run, cluster, bounds);
                // What was lost in the window may be made good after it.
                while lost() == Ok(metrics::NOT_YET) && !run.is_rested() {
                    run.pause(run.seldom(LOOK_EVERY)).await;
                }
                compare(Some(lost()?), "at most")
            }
            (OverWhat::Carried, Metric::Feed(feed, metric)) => {
                let bounds = run.bounds(window);
                let carried = || metrics::of_feed(run, feed, *metric, bounds);
                // What was acknowledged in the window may come after it.
                while carried() == Ok(metrics::NOT_YET) && !run.is_rested() {
                    run.pause(run.seldom(LOOK_EVERY)).await;
                }
                compare(Some(carried()?), "in the window")
            }
            (OverWhat::Operations, _) => {
                // Operations that became due in the window may end after it.
                while !run.is_over() {
                    run.pause(run.seldom(LOOK_EVERY)).await;
                }
                metrics::of_window(run, self.look.subject, run.bounds(window))
            }
            _ => compare(largest, "at most"),
        }
    }

    /// What a metric is now, if the subject is one that has a value at every moment and it can be told.
    async fn gauge(&self) -> Option<u64> {
        match self.look.subject {
            Subject::Metric { metric, .. } => metrics::gauge(self.run, metric).await.ok(),
            _ => None,
        }
    }

    async fn never(&mut self) -> Verdict {
        let over_what = OverWhat::of(self.look.subject);
        while !self.run.is_rested() {
            let logged = self.run.reports.count();
            if over_what != OverWhat::Operations
                && let Ok(detail) = self.look.now().await
            {
                return Err(detail);
            }
            if over_what == OverWhat::Log && self.look.go_on_in_log(logged) {
                return Err("so much was logged that not all of it could be looked at".to_owned());
            }
            self.pause().await;
        }
        match self.look.now().await {
            Ok(detail) => Err(detail),
            Err(detail) => Ok(detail),
        }
    }

    async fn pause(&self) {
        self.run.pause(self.look.pace()).await;
    }
}

/// What a window is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OverWhat {
    /// It holds at every look.
    Always,
    /// The lines that were logged in it.
    Log,
    /// The operations that became due in it.
    Operations,
    /// The largest value.
    Largest,
    /// By how much a count has grown.
    Growth,
    /// The volumes that were lost in it.
    Losses,
    /// What a feed carried of what was acknowledged in it.
    Carried,
}

impl OverWhat {
    const fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Reports { .. } => Self::Log,
            Subject::Metric { metric: Metric::Workload(..), .. } => Self::Operations,
            Subject::Metric { metric: Metric::Cluster(_, metric), .. } => match metric {
                ClusterMetric::UsedSpace => Self::Largest,
                ClusterMetric::CopiesMoved => Self::Growth,
                ClusterMetric::RecoveryTime => Self::Losses,
            },
            Subject::Metric { metric: Metric::Bytes(_), .. } => Self::Growth,
            Subject::Metric { metric: Metric::Feed(_, metric), .. } => match metric {
                FeedMetric::Backlog | FeedMetric::OldestPending => Self::Largest,
                FeedMetric::Rpo(_) | FeedMetric::DrainTime => Self::Carried,
            },
            _ => Self::Always,
        }
    }
}
