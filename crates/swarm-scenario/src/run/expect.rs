//! Expectations: looked at while the run goes on, or judged at its end.

use std::sync::Arc;
use std::time::Duration;

use super::Run;
use super::look::{Look, Verdict};
use super::metrics;
use super::watch::LOOK_EVERY;
use crate::language::model::{Event, Metric, Subject, When, Window};

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
            while !run.is_rested() {
                run.pause(LOOK_EVERY).await;
            }
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
            self.pause().await;
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
        let counts = self.counts_operations();
        let reports = matches!(self.look.subject, Subject::Reports { .. });
        self.look.begin_log();
        let mut largest = None;
        loop {
            if over(self.run) {
                break;
            }
            if let Subject::Metric { metric: Metric::Cluster(cluster, metric), .. } =
                self.look.subject
            {
                largest = largest.max(metrics::of_cluster(self.run, cluster, *metric).await.ok());
            } else if !counts && !reports {
                self.look.now().await?;
            }
            self.pause().await;
        }
        if counts {
            // Operations that became due in the window may end after it.
            while !self.run.is_over() {
                self.run.pause(LOOK_EVERY).await;
            }
            return metrics::of_window(self.run, self.look.subject, self.run.bounds(window));
        }
        if reports {
            return self.look.now().await;
        }
        match (self.look.subject, largest) {
            (Subject::Metric { metric, is, value }, Some(seen)) => {
                metrics::compare(metric, *is, *value, seen, "at most")
            }
            (Subject::Metric { .. }, None) => Err("no node told it".to_owned()),
            _ => Ok("all the time".to_owned()),
        }
    }

    async fn never(&mut self) -> Verdict {
        let counts = self.counts_operations();
        while !self.run.is_rested() {
            if !counts && let Ok(detail) = self.look.now().await {
                return Err(detail);
            }
            self.pause().await;
        }
        match self.look.now().await {
            Ok(detail) => Err(detail),
            Err(detail) => Ok(detail),
        }
    }

    /// True for a subject that is judged over the operations of a whole window.
    fn counts_operations(&self) -> bool {
        matches!(self.look.subject, Subject::Metric { metric: Metric::Workload(..), .. })
    }

    async fn pause(&self) {
        self.run.pause(self.look.pace()).await;
    }
}
