//! Expectations: looked at while the run goes on, or judged at its end.

use std::sync::Arc;
use std::time::Duration;

use super::operate::{Ask, Ended, Order, perform};
use super::steps::object_at;
use super::watch::{self, LOOK_EVERY, Rest};
use super::{Run, lock};
use crate::language::model::{
    Counted, Event, Metric, ObjectRef, Percentile, Retry, Subject, When, Window,
};
use crate::language::units::show;

/// A percentile over fewer operations says nothing, so it fails.
const PERCENTILE_OF_MIN: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);

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
    let mut look = Look { run: &run, subject: &expect.subject, rest: Rest::default() };
    let verdict = match &expect.when {
        When::Within(event, within) => look.within(event.as_ref(), *within).await,
        When::During(window) => look.during(window).await,
        When::At(at) => {
            run.env().sleep_until(run.started() + *at).await;
            look.now().await
        }
        When::Never => look.never().await,
        When::End => {
            while !run.is_rested() {
                run.env().sleep(LOOK_EVERY).await;
            }
            look.now().await
        }
    };
    let at = run.since_start(run.now());
    let (held, detail) = match verdict {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Expected { line: expect.line, text: describe(&expect.subject, &expect.when), held, at, detail }
}

/// One subject being looked at. `Ok` says that it holds, `Err` that it does not; both say what was seen.
struct Look<'a> {
    run: &'a Arc<Run>,
    subject: &'a Subject,
    rest: Rest,
}

type Verdict = Result<String, String>;

impl Look<'_> {
    async fn within(&mut self, event: Option<&Event>, within: Duration) -> Verdict {
        let from = match event {
            None => self.run.started(),
            Some(event) => match self.run.board.wait(event).await {
                Some(at) => at,
                None => return Err("what it waits for never came".to_owned()),
            },
        };
        let deadline = from + within;
        loop {
            let seen = self.now().await;
            if seen.is_ok() || self.run.now() >= deadline {
                return seen;
            }
            self.run.env().sleep(LOOK_EVERY).await;
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
        let whole = matches!(self.subject, Subject::Metric { .. });
        loop {
            if over(self.run) {
                break;
            }
            if !whole {
                self.now().await?;
            }
            self.run.env().sleep(LOOK_EVERY).await;
        }
        if whole {
            // Operations that became due in the window may end after it.
            while !self.run.is_over() {
                self.run.env().sleep(LOOK_EVERY).await;
            }
            return metric(self.run, self.subject, self.run.bounds(window));
        }
        Ok("all the time".to_owned())
    }

    async fn never(&mut self) -> Verdict {
        let whole = matches!(self.subject, Subject::Metric { .. });
        while !self.run.is_rested() {
            if !whole && let Ok(detail) = self.now().await {
                return Err(detail);
            }
            self.run.env().sleep(LOOK_EVERY).await;
        }
        match self.now().await {
            Ok(detail) => Err(detail),
            Err(detail) => Ok(detail),
        }
    }

    async fn now(&mut self) -> Verdict {
        match self.subject {
            Subject::Healthy(cluster) => {
                watch::healthy(self.run, cluster).await.map(|_| "healthy".to_owned())
            }
            Subject::AtRest(cluster) => {
                if self.run.is_rested() || self.rest.look(self.run, cluster).await {
                    return Ok("at rest".to_owned());
                }
                Err(self.rest.why_not.clone())
            }
            Subject::Readable(object) => match read(self.run, object).await {
                (Ended::Acknowledged, _) => Ok("readable".to_owned()),
                (_, answer) => Err(answer),
            },
            Subject::Gone(object) => match read(self.run, object).await {
                (Ended::Refused(404), _) => Ok("gone".to_owned()),
                (_, answer) => Err(answer),
            },
            Subject::Answer { of, status, header, body } => {
                answer(self.run, of, *status, header.as_ref(), body.as_deref())
            }
            Subject::Metric { .. } => metric(self.run, self.subject, None),
        }
    }
}

async fn read(run: &Arc<Run>, object: &ObjectRef) -> (Ended, String) {
    let named = lock(&run.steps).objects.get(&object.object).copied();
    let number = match named {
        Some(number) => number,
        None if object.object.contains('/') => object_at(run, &object.cluster, &object.object),
        None => return (Ended::Refused(0), "the request has not been made".to_owned()),
    };
    let order = Order {
        object: number,
        ask: Ask::Fetch { with_body: true },
        client: 0,
        first: run.first_node(&object.cluster, &object.via),
        retry: Retry::default(),
        patience: PATIENCE,
        auth: None,
        headers: Vec::new(),
    };
    let done = perform(run, &order).await;
    let answer =
        done.status.map_or_else(|| "no answer".to_owned(), |status| format!("answered {status}"));
    (done.ended, answer)
}

fn answer(
    run: &Run,
    of: &str,
    status: Option<u16>,
    header: Option<&(String, String)>,
    body: Option<&str>,
) -> Verdict {
    let answers = lock(&run.answers);
    let Some(answer) = answers.get(of) else {
        return Err("the request has not been answered".to_owned());
    };
    if status.is_some() && answer.status != status {
        let got = answer
            .status
            .map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
        return Err(got);
    }
    if let Some((name, value)) = header
        && !answer.headers.all(name).any(|header| header.text() == Some(value.as_str()))
    {
        return Err(format!("{name}: {}", answer.headers.text(name).unwrap_or("(none)")));
    }
    if let Some(part) = body
        && !String::from_utf8_lossy(&answer.body).contains(part)
    {
        return Err("the body does not contain it".to_owned());
    }
    Ok("as expected".to_owned())
}

/// Compares a metric over the operations that became due in a window, or in the whole run.
fn metric(run: &Run, subject: &Subject, bounds: Option<(Duration, Duration)>) -> Verdict {
    let Subject::Metric { of, metric, is, value } = subject else {
        return Err("no metric".to_owned());
    };
    let counted = match metric {
        Metric::Latency(counted, _)
        | Metric::FailedShare(counted)
        | Metric::AcknowledgedCount(counted) => *counted,
    };
    let records = lock(&run.workloads[of].records);
    let inside = |due: Duration| bounds.is_none_or(|(from, to)| from <= due && due < to);
    let chosen: Vec<_> =
        records.iter().filter(|record| inside(record.due) && record.counts_as(counted)).collect();
    let measured = match metric {
        Metric::AcknowledgedCount(_) => {
            chosen.iter().filter(|record| record.ended == Ended::Acknowledged).count() as u64
        }
        Metric::FailedShare(_) if chosen.is_empty() => {
            return Err(format!("no {} at all", counted.word()));
        }
        Metric::FailedShare(_) => {
            let failed = chosen.iter().filter(|record| record.ended.is_failure()).count() as u64;
            failed * 1_000_000 / chosen.len() as u64
        }
        Metric::Latency(_, percentile) => {
            let mut latencies: Vec<u64> = chosen
                .iter()
                .map(|record| u64::try_from(record.latency.as_nanos()).unwrap_or(u64::MAX))
                .collect();
            if latencies.len() < PERCENTILE_OF_MIN {
                return Err(format!(
                    "only {} {} operations: too few for a percentile",
                    latencies.len(),
                    counted.word()
                ));
            }
            latencies.sort_unstable();
            point(&latencies, *percentile)
        }
    };
    let detail = format!("{} over {} operations", show_value(*metric, measured), chosen.len());
    if is.holds(measured, *value) { Ok(detail) } else { Err(detail) }
}

/// The smallest value that so many of the sorted values do not exceed.
fn point(sorted: &[u64], percentile: Percentile) -> u64 {
    let rank = match percentile {
        Percentile::P50 => sorted.len().div_ceil(2),
        Percentile::P99 => (sorted.len() * 99).div_ceil(100),
        Percentile::Max => sorted.len(),
    };
    sorted[rank.max(1) - 1]
}

fn show_value(metric: Metric, value: u64) -> String {
    match metric {
        Metric::Latency(..) => show(Duration::from_nanos(value)),
        Metric::FailedShare(_) => format!("{}.{:02}%", value / 10_000, value % 10_000 / 100),
        Metric::AcknowledgedCount(_) => value.to_string(),
    }
}

/// The expectation as a sentence.
fn describe(subject: &Subject, when: &When) -> String {
    let what = match subject {
        Subject::Healthy(cluster) => format!("{cluster} healthy"),
        Subject::AtRest(cluster) => format!("{cluster} at rest"),
        Subject::Readable(object) => format!("{} readable", object.object),
        Subject::Gone(object) => format!("{} gone", object.object),
        Subject::Answer { of, .. } => format!("the answer to {of}"),
        Subject::Metric { of, metric, is, value } => format!(
            "{} of {of} {} {}",
            metric_words(*metric),
            is.word(),
            show_value(*metric, *value)
        ),
    };
    let when = match when {
        When::Within(event, within) => {
            let after = event
                .as_ref()
                .map(|event| format!(" after {}", show_event(event)))
                .unwrap_or_default();
            format!("within {}{after}", show(*within))
        }
        When::During(Window::Named(name)) => format!("during {name}"),
        When::During(Window::Times(from, to)) => format!("during {}..{}", show(*from), show(*to)),
        When::At(at) => format!("at {}", show(*at)),
        When::End => "at the end".to_owned(),
        When::Never => "at no time".to_owned(),
    };
    format!("{what} {when}")
}

fn metric_words(metric: Metric) -> String {
    let word = |counted: Counted| counted.word();
    match metric {
        Metric::Latency(counted, Percentile::P50) => format!("{} latency p50", word(counted)),
        Metric::Latency(counted, Percentile::P99) => format!("{} latency p99", word(counted)),
        Metric::Latency(counted, Percentile::Max) => format!("{} latency max", word(counted)),
        Metric::FailedShare(counted) => format!("failed {} share", word(counted)),
        Metric::AcknowledgedCount(counted) => format!("acknowledged {} count", word(counted)),
    }
}

fn show_event(event: &Event) -> String {
    match event {
        Event::Starts(name) => format!("{name} starts"),
        Event::Ends(name) => format!("{name} ends"),
        Event::Acknowledged { workload, nth, of } => {
            format!("{workload}: {nth}th {} acknowledged", of.word())
        }
        Event::HalfSent { workload, nth, of } => {
            format!("{workload}: {nth}th {} half sent", of.word())
        }
        Event::Healthy(cluster) => format!("{cluster} healthy"),
        Event::AtRest(cluster) => format!("{cluster} at rest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::model::Comparison;

    #[test]
    fn percentiles_are_taken_by_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(point(&hundred, Percentile::P50), 50);
        assert_eq!(point(&hundred, Percentile::P99), 99);
        assert_eq!(point(&hundred, Percentile::Max), 100);
        assert_eq!(point(&[7], Percentile::P50), 7);
    }

    #[test]
    fn comparisons_read_as_they_are_written() {
        assert!(Comparison::AtMost.holds(3, 3) && !Comparison::Less.holds(3, 3));
        assert!(Comparison::AtLeast.holds(3, 3) && !Comparison::More.holds(3, 3));
        assert!(Comparison::Equal.holds(3, 3) && !Comparison::Equal.holds(3, 4));
    }
}
