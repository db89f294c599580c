//! Refuses what can never happen, or not before the run is cut off, as far as the file tells when things happen.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::language::model::{ClockVerb, Expect, Start, Step, Verb, When, Window, Workload};
use crate::language::reader::Reader;
use crate::language::timeline::{self, Timeline, plus};
use crate::language::units::{Span, show};

/// A value of the file.
pub(super) type Value<'v> = &'v Spanned<DeValue<'v>>;

/// Everything that happens or is asked at some time, and where it stands.
pub(super) struct Check<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// `limit.sim`
    pub(super) limit: Duration,
    pub(super) workloads: (&'a [Workload], &'a [Value<'a>]),
    pub(super) steps: (&'a [Step], &'a [Value<'a>]),
    pub(super) expects: (&'a [Expect], &'a [Value<'a>]),
}

/// The keys that say when something starts.
const STARTS: &[&str] = &["during", "at", "after", "every"];

/// The place of the first of these keys in a table, or else of the table.
fn place(value: Value<'_>, keys: &[&str]) -> Range<usize> {
    let table = value.get_ref().as_table();
    let found = keys.iter().find_map(|key| table?.get(*key));
    found.map_or_else(|| value.span(), Spanned::span)
}

impl Check<'_> {
    /// Reports all that is wrong.
    pub(super) fn report(&self) {
        let timeline = Timeline::of(self.workloads.0, self.steps.0);
        self.limits(&timeline);
        self.circles();
        self.skips(&timeline);
    }

    /// What lies past the limit never comes, or keeps the clusters from being at rest by then.
    fn limits(&self, timeline: &Timeline<'_>) {
        let is_past = |time: Option<Span>| time.is_some_and(|time| time.max >= self.limit);
        let report = |what: &str, place: &Range<usize>| {
            let limit = show(self.limit);
            self.reader.problem(place, format!("this {what} past `limit.sim` ({limit})"));
        };
        for (number, value) in self.workloads.1.iter().enumerate() {
            let times = timeline.of_workload(number);
            if is_past(times.from) {
                report("lies", &place(value, STARTS));
            } else if is_past(times.to) {
                report("goes on", &place(value, &["during", "for"]));
            }
        }
        for (number, (step, value)) in self.steps.0.iter().zip(self.steps.1).enumerate() {
            let times = timeline.of_step(number);
            if is_past(times.from) {
                report("lies", &place(value, STARTS));
            } else if is_past(times.to) {
                let skips = matches!(step.verb, Verb::Clock(ClockVerb::Skip(_)));
                let what = if skips { "skips" } else { "goes on" };
                report(what, &place(value, &["by", "times", "for", "down", "over"]));
            }
        }
        for (expect, value) in self.expects.0.iter().zip(self.expects.1) {
            let (until, key) = match &expect.when {
                When::At(at) => (*at, "at"),
                When::During(Window::Times(_, to)) => (*to, "during"),
                When::Within(event, within) => {
                    let from = event.as_ref().and_then(|event| timeline.when(event));
                    (from.map_or(Duration::ZERO, |from| from.min).saturating_add(*within), "within")
                }
                When::During(Window::Named(_)) | When::Never | When::End => continue,
            };
            // Whatever has to hold by the limit can be looked at until then, but not at that very moment.
            if until > self.limit || (until == self.limit && key != "within") {
                report("lies", &place(value, &[key]));
            }
        }
    }

    /// What waits for itself, or for something that waits for it, never happens.
    fn circles(&self) {
        for (number, value) in self.workloads.1.iter().chain(self.steps.1).enumerate() {
            let mut circle = vec![number];
            let mut last = number;
            let closed = loop {
                match self.awaited(last) {
                    Some(next) if next == number => break true,
                    // Whoever waits for a circle is in none; and each circle is told where it begins in the file.
                    Some(next) if next < number || circle.contains(&next) => break false,
                    None => break false,
                    Some(next) => {
                        circle.push(next);
                        last = next;
                    }
                }
            };
            if closed {
                let others: Vec<String> = circle[1..]
                    .iter()
                    .map(|other| format!("`{}`, which waits for ", self.label(*other)))
                    .collect();
                let itself = if others.is_empty() {
                    "itself".to_owned()
                } else {
                    format!("`{}`", self.label(number))
                };
                let what = format!(
                    "`{}` waits for {}{itself}: it never happens",
                    self.label(number),
                    others.concat()
                );
                self.reader.problem(&place(value, &["after"]), what);
            }
        }
    }

    /// The step or workload that this one waits for.
    fn awaited(&self, number: usize) -> Option<usize> {
        let (workloads, steps) = (self.workloads.0, self.steps.0);
        let start = match workloads.get(number) {
            Some(workload) => workload.start.as_ref(),
            None => Some(&steps[number - workloads.len()].start),
        };
        match start {
            Some(Start::After { event, .. }) => {
                let name = timeline::whose(event)?;
                let workload = workloads.iter().position(|workload| workload.name == name);
                let step = || steps.iter().position(|step| step.name.as_deref() == Some(name));
                workload.or_else(|| Some(workloads.len() + step()?))
            }
            Some(Start::At(_)) => None,
            // Steps start it; if there are several, any of them may.
            None => {
                let name = &workloads[number].name;
                let starts =
                    |step: &Step| matches!(&step.verb, Verb::StartWorkload(of) if of == name);
                let mut starting = (0..steps.len()).filter(|step| starts(&steps[*step]));
                let only = starting.next().filter(|_| starting.next().is_none())?;
                Some(workloads.len() + only)
            }
        }
    }

    fn label(&self, number: usize) -> String {
        let workloads = self.workloads.0;
        match workloads.get(number) {
            Some(workload) => workload.name.clone(),
            None => self.steps.0[number - workloads.len()].label(),
        }
    }

    /// While a quiet stretch is skipped nothing is asked of the clusters, and no other is skipped.
    fn skips(&self, timeline: &Timeline<'_>) {
        let skips: Vec<(usize, Span, Span)> = self
            .steps
            .0
            .iter()
            .enumerate()
            .filter_map(|(number, step)| match step.verb {
                Verb::Clock(ClockVerb::Skip(by)) => {
                    let from = timeline.of_step(number).from?;
                    Some((number, from, plus(from, by)))
                }
                _ => None,
            })
            .collect();
        for (nth, (number, from, to)) in skips.iter().enumerate() {
            let place = place(self.steps.1[*number], STARTS);
            // In every seed.
            let overlaps = |other: Span, end: Duration| from.max < end && other.max < to.min;
            for (other, other_from, other_to) in &skips[..nth] {
                if overlaps(*other_from, other_to.min) {
                    let line = self.steps.0[*other].line;
                    let what = format!("the quiet stretch of line {line} is being skipped then");
                    self.reader.problem(&place, what);
                }
            }
            for (number, workload) in self.workloads.0.iter().enumerate() {
                let times = timeline.of_workload(number);
                let Some(begins) = times.from else { continue };
                // One that goes on for as long as it takes is at work at its beginning at least.
                let ends = times.to.map_or(begins.min + Duration::from_nanos(1), |to| to.min);
                if overlaps(begins, ends) {
                    let what = format!(
                        "a quiet stretch promises that nothing is asked of the clusters, and {} is at work then",
                        workload.name
                    );
                    self.reader.problem(&place, what);
                }
            }
        }
    }
}
