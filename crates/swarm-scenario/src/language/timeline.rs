//! When things happen, as far as the file tells: times that follow from it are worked out, what waits for an event of a run has
//! none.

use std::time::Duration;

use super::model::{ClockVerb, Event, Pace, Power, Start, Step, Verb, Workload};
use super::units::Span;

/// When a step or a workload happens, counted from the start of the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Times {
    /// The first start.
    pub(crate) from: Option<Span>,
    /// The last end.
    pub(crate) to: Option<Span>,
}

/// One thing that happens.
#[derive(Clone, Copy)]
struct Item<'a> {
    name: Option<&'a str>,
    start: Option<&'a Start>,
    /// How long after its base it starts first: one period, if it is repeated.
    first: Span,
    /// How long after its base it ends.
    lasts: Option<Span>,
    times: Times,
}

/// When all workloads and steps of a file happen.
pub(crate) struct Timeline<'a> {
    /// The workloads, then the steps.
    items: Vec<Item<'a>>,
    workloads: usize,
}

impl<'a> Timeline<'a> {
    pub(crate) fn of(workloads: &'a [Workload], steps: &'a [Step]) -> Self {
        let of_workloads = workloads.iter().map(|workload| Item {
            name: Some(workload.name.as_str()),
            start: workload.start.as_ref(),
            first: NONE,
            lasts: lasts_workload(workload, steps),
            times: Times::default(),
        });
        let of_steps = steps.iter().map(|step| Item {
            name: step.name.as_deref(),
            start: Some(&step.start),
            first: step.repeat.map_or(NONE, |(every, _)| every),
            lasts: lasts_step(step),
            times: Times::default(),
        });
        let mut timeline =
            Self { items: of_workloads.chain(of_steps).collect(), workloads: workloads.len() };
        // One thing can follow from another that stands further down; each round knows at least one more.
        for _ in 0..timeline.items.len() {
            for number in 0..timeline.items.len() {
                let Item { start, first, lasts, .. } = timeline.items[number];
                let base = match start {
                    Some(Start::At(span)) => Some(*span),
                    Some(Start::After { event, wait }) => {
                        timeline.when(event).map(|event| plus(event, *wait))
                    }
                    None => None,
                };
                let from = base.map(|base| plus(base, first));
                let to = base.zip(lasts).map(|(base, lasts)| plus(base, lasts));
                timeline.items[number].times = Times { from, to };
            }
        }
        timeline
    }

    pub(crate) fn of_workload(&self, number: usize) -> Times {
        self.items[number].times
    }

    pub(crate) fn of_step(&self, number: usize) -> Times {
        self.items[self.workloads + number].times
    }

    /// When an event happens, where that follows from the file.
    pub(crate) fn when(&self, event: &Event) -> Option<Span> {
        let named = |name: &str| self.items.iter().find(|item| item.name == Some(name));
        match event {
            Event::Starts(name) => named(name)?.times.from,
            Event::Ends(name) => named(name)?.times.to,
            Event::Healthy(_) => Some(NONE),
            _ => None,
        }
    }
}

/// The step or workload without which an event never happens.
pub(crate) fn whose(event: &Event) -> Option<&str> {
    match event {
        Event::Starts(name) | Event::Ends(name) => Some(name),
        Event::Acknowledged { workload, .. } | Event::HalfSent { workload, .. } => Some(workload),
        Event::Gone(object) => Some(&object.object),
        Event::Healthy(_) | Event::AtRest(_) | Event::Protected(_) | Event::Drained(_) => None,
    }
}

const NONE: Span = Span::exactly(Duration::ZERO);

pub(crate) fn plus(a: Span, b: Span) -> Span {
    Span { min: a.min.saturating_add(b.min), max: a.max.saturating_add(b.max) }
}

fn repeated(span: Span, count: u32) -> Span {
    Span { min: span.min.saturating_mul(count), max: span.max.saturating_mul(count) }
}

/// How long a workload lasts from its start; `None` where that depends on the run, or on a step that ends it.
fn lasts_workload(workload: &Workload, steps: &[Step]) -> Option<Span> {
    let ends_it = |verb: &Verb| matches!(verb, Verb::StopWorkload(name) if *name == workload.name);
    match workload.pace {
        _ if steps.iter().any(|step| ends_it(&step.verb)) => None,
        Pace::Open { operations: None, .. } => workload.lasts,
        Pace::Open { .. } | Pace::Closed(_) => None,
    }
}

/// How long after its base a step ends; `None` where that depends on the run.
fn lasts_step(step: &Step) -> Option<Span> {
    let takes_long =
        matches!(step.verb, Verb::Request(_) | Verb::Remember(_) | Verb::Restore { .. });
    if step.each.is_some() || takes_long {
        return None;
    }
    let down = match &step.verb {
        Verb::Power(Power::Restart(down), _) => *down,
        Verb::Clock(ClockVerb::Skip(by)) => *by,
        verb if step.lasts.is_none() => Span::exactly(verb.takes()),
        _ => NONE,
    };
    let once = plus(step.lasts.unwrap_or(NONE), down);
    let before = step.repeat.map_or(NONE, |(every, count)| repeated(every, count));
    Some(plus(before, once))
}
