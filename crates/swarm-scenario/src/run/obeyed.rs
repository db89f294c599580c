//! Judges whether lifepoints are obeyed, as far as answers show it.
//!
//! By the clock of the node that answers, which its own `Date` tells: what has ended is 404 a second later, what says
//! `deletable=no` is not deleted by a client, and nothing else refuses to be. Whether the bytes of what has ended are
//! gone is told from the disks at rest, in `protection.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use swarm_types::{HeaderList, Instant, Timestamp, httpdate};

use super::operate::{Ask, Order};
use super::scope::{Faults, streams};
use super::{Run, lock};
use crate::language::lifepoint;
use crate::language::model::{ClockVerb, Scenario, Verb};
use crate::ledger::legal::{self, Window};
use crate::ledger::{Clocks, Object, ObjectNumber};
use crate::oracle::image::Id;
use crate::oracle::lifepoint::{Intent, Locked};
use crate::verdict::Invariant;

/// The header of a lifepoint (Lifepoint Metadata Headers).
pub(crate) const HEADER: &str = "Lifepoint";

/// So long after its end an object may still be seen (our choice).
const LATE_MAX: Duration = Duration::from_secs(1);

/// What the clocks of this run show: those that the file sets off count as ahead from beginning to end, by the sum of
/// all that it does to them.
pub(crate) fn clocks(run: &Run) -> Clocks {
    let (now, wall) = (run.now(), run.env().wall());
    let began = Timestamp(wall.0.saturating_sub(i64::try_from(now.0).unwrap_or(i64::MAX)));
    let (_, ahead) = off_max(&run.scenario);
    Clocks { began, ahead }
}

/// How far a clock is behind and ahead at most, at any time of a run: what the file does to any of them adds up.
pub(crate) fn off_max(scenario: &Scenario) -> (Duration, Duration) {
    let drifted = |ppm: i32, lasts: Duration| {
        let lasts = i128::try_from(lasts.as_nanos()).unwrap_or(i128::MAX);
        lasts.saturating_mul(i128::from(ppm)) / 1_000_000
    };
    let whole = scenario.limit.sim;
    let clocks = scenario.clusters.values().flat_map(|cluster| cluster.clocks.values());
    let from_start: Vec<[i128; 2]> = clocks
        .map(|clock| [i128::from(clock.offset_ns), drifted(clock.drift_ppm, whole)])
        .collect();
    let by_steps: Vec<i128> = scenario
        .steps
        .iter()
        .map(|step| {
            // What is undone after a while is undone before it is done again; the rest adds up.
            let times = match (step.lasts, step.repeat) {
                (None, Some((_, times))) => i128::from(times),
                _ => 1,
            };
            let Verb::Clock(verb) = &step.verb else { return 0 };
            match *verb {
                // A clock that is set is set in place of what an earlier step set.
                ClockVerb::Skew(_, offset_ns) => i128::from(offset_ns),
                ClockVerb::Step(_, by_ns) => times * i128::from(by_ns),
                ClockVerb::Drift(_, ppm) => {
                    times * drifted(ppm, step.lasts.map_or(whole, |lasts| lasts.max))
                }
                ClockVerb::Skip(_) => 0,
            }
        })
        .collect();
    let most = |sign: i128| {
        let part = |off: &i128| (sign * off).max(0);
        let started = from_start.iter().map(|off| off.iter().map(part).sum::<i128>()).max();
        let sum = started.unwrap_or(0) + by_steps.iter().map(part).sum::<i128>();
        Duration::from_nanos(u64::try_from(sum).unwrap_or(u64::MAX))
    };
    (most(-1), most(1))
}

/// Notes with which lifepoints a content is going to be written, and returns the headers that say so. The dates count
/// from now.
pub(crate) fn intend(
    run: &Run,
    object: ObjectNumber,
    content: u32,
    lifepoints: &[lifepoint::Lifepoint],
) -> Vec<(String, String)> {
    if lifepoints.is_empty() {
        return Vec::new();
    }
    let intent = Intent::of(lifepoints, run.env().wall());
    let headers = intent.sent().iter().map(|value| (HEADER.to_owned(), value.clone())).collect();
    lock(&run.ledger).object_mut(object).intend(content, intent);
    headers
}

/// The same for headers of a step: lifepoints as workloads write them are dated and judged, others go out as they stand.
pub(crate) fn intend_as_written(
    run: &Run,
    object: ObjectNumber,
    content: u32,
    headers: &mut Vec<(String, String)>,
) {
    let Some(at) = headers.iter().position(|(name, _)| name.eq_ignore_ascii_case(HEADER)) else {
        return;
    };
    let text = headers[at].1.clone();
    if let Some(lifepoints) = lifepoint::line(&text) {
        let dated = intend(run, object, content, &lifepoints);
        headers.splice(at..=at, dated);
    } else {
        lock(&run.ledger).object_mut(object).intend(content, Intent::unclear(vec![text]));
    }
}

/// What the clock of the node that answered showed from the sending of a request to its answer.
fn node_time(
    headers: &HeaderList,
    sent: Instant,
    heard: Instant,
) -> Option<(Timestamp, Timestamp)> {
    let date = httpdate::parse(headers.text("date")?, Timestamp::default())?;
    let took = i64::try_from(heard.since(sent).as_nanos()).unwrap_or(i64::MAX);
    // The date is cut off to the second.
    Some((Timestamp(date.0.saturating_sub(took)), date + Duration::from_secs(1)))
}

/// Judges a read that was answered with a content.
pub(crate) fn judge_read(
    run: &Run,
    object: ObjectNumber,
    content: u32,
    headers: &HeaderList,
    sent: Instant,
    heard: Instant,
) {
    let (differs, ended) = {
        let ledger = lock(&run.ledger);
        let writer = ledger.writer(object, content);
        let ends = ledger.intent(object, content).and_then(Intent::ends_at);
        let asked = node_time(headers, sent, heard).map(|(from, _)| from);
        let late = ends.zip(asked).filter(|(ends, asked)| *asked >= *ends + LATE_MAX);
        (writer.is_some_and(|writer| !comes_back(writer, content, headers)), late)
    };
    if differs {
        let what = format!("the lifepoints of write {content} are missing or changed");
        run.violation(Invariant::TrueBytes, Some(object), what, None);
    }
    if let Some((ends, asked)) = ended {
        let what = format!(
            "answered with write {content}, which its lifepoint ended at {}, by a node whose clock showed {}",
            httpdate::format(ends),
            httpdate::format(asked)
        );
        run.violation(Invariant::Obeyed, Some(object), what, None);
    }
}

/// Whether an answer shows the lifepoints of a content exactly as they were sent with it.
fn comes_back(object: &Object, content: u32, headers: &HeaderList) -> bool {
    let shown = headers.all(HEADER).map(|header| header.text().unwrap_or_default());
    match object.intent(content) {
        Some(intent) => shown.eq(intent.sent().iter().map(String::as_str)),
        None => {
            let always = object.headers.iter();
            let always = always.filter(|(name, _)| name.eq_ignore_ascii_case(HEADER));
            shown.eq(always.map(|(_, value)| value.as_str()))
        }
    }
}

/// Judges the answer to a delete against the contents that a read in its place could have seen.
pub(crate) fn judge_delete(
    run: &Run,
    order: &Order,
    entry: usize,
    status: u16,
    headers: &HeaderList,
) {
    if !matches!(order.ask, Ask::Remove) || !matches!(status, 200..300 | 403) {
        return;
    }
    let heard = run.now();
    let wrong = |streams: &BTreeSet<Id>| {
        let ledger = lock(&run.ledger);
        let reach = lock(&run.reach);
        let history = ledger.history(order.object);
        let asked = &history[entry];
        let window = Window { started: asked.sent, ended: heard };
        let scope = Faults::of_read(&ledger, &reach, order.object, &asked.nodes, window, streams);
        let (contents, _) = legal::legal_outcomes(&history, window, &scope);
        let (from, to) = node_time(headers, asked.sent, heard)?;
        let intents: Vec<Option<&Intent>> =
            contents.iter().map(|content| ledger.intent(order.object, *content)).collect();
        wrong_delete(&intents, status, from, to)
    };
    // Where faults made an earlier delete forgotten, what it deleted may be what is deleted now.
    if wrong(&BTreeSet::new()).is_some()
        && let Some(what) = wrong(&streams(run, order.object, None))
    {
        run.violation(Invariant::Obeyed, Some(order.object), what, Some(entry));
    }
}

/// What is wrong with the answer to a delete of one of these, by a node whose clock showed something from `from` to `to`.
fn wrong_delete(
    contents: &[Option<&Intent>],
    status: u16,
    from: Timestamp,
    to: Timestamp,
) -> Option<&'static str> {
    let locked =
        |intent: &Option<&Intent>| intent.map_or(Locked::Never, |intent| intent.locked(from, to));
    let has_ended = |intent: &Option<&Intent>| {
        let ends = intent.and_then(Intent::ends_at);
        ends.is_some_and(|ends| from >= ends + LATE_MAX)
    };
    let all = |holds: &dyn Fn(&Option<&Intent>) -> bool| {
        !contents.is_empty() && contents.iter().all(holds)
    };
    if status == 403 {
        return all(&|intent| locked(intent) == Locked::Never)
            .then_some("a delete was refused with 403 though no lifepoint forbids it");
    }
    if all(&|intent| locked(intent) == Locked::Always) {
        return Some("a client deleted it though its lifepoint says deletable=no");
    }
    all(&has_ended).then_some("a client deleted it after its lifepoint had ended it")
}

#[cfg(test)]
mod tests;
