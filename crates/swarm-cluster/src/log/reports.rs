//! What nodes logged in a run, kept for whoever judges it: every line of informational level or graver, as a person reads it.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarm_types::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// So many lines are kept, the newest.
const KEPT_MAX: usize = 100_000;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Name of the host whose code wrote it, such as `main/3`.
    pub host: Arc<str>,
    /// When, in a simulated world.
    pub at: Option<Instant>,
    /// Its phrase and fields: `replica damaged stream=… why=…`.
    pub text: String,
}

/// The lines of a run so far. Cheap to clone: all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Reports(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Report>,
    /// How many older ones there were.
    dropped: usize,
}

impl Reports {
    /// Forgets them all, for a run that begins.
    pub fn clear(&self) {
        *self.kept() = Kept::default();
    }

    /// How many there were so far.
    #[must_use]
    pub fn count(&self) -> usize {
        let kept = self.kept();
        kept.dropped + kept.lines.len()
    }

    /// The first line from this one on for which `holds` says so, among those that are still kept.
    pub fn find(&self, from: usize, holds: impl Fn(&Report) -> bool) -> Option<Report> {
        let kept = self.kept();
        kept.lines.iter().skip(from.saturating_sub(kept.dropped)).find(|line| holds(line)).cloned()
    }

    /// True if lines from this one on are not kept any more, so that nobody can say what they were.
    #[must_use]
    pub fn is_cut(&self, from: usize) -> bool {
        from < self.kept().dropped
    }

    /// The last `count` lines for which `holds` says so, in their order.
    pub fn last(&self, count: usize, holds: impl Fn(&Report) -> bool) -> Vec<Report> {
        let kept = self.kept();
        let mut found: Vec<Report> =
            kept.lines.iter().rev().filter(|line| holds(line)).take(count).cloned().collect();
        found.reverse();
        found
    }

    /// What sends every event on to `next` and keeps what hosts report.
    #[must_use]
    pub fn beside(&self, next: Dispatch) -> Dispatch {
        let level = LevelFilter::current().max(LevelFilter::INFO);
        super::dispatch(Tee { next, reports: self.clone(), level })
    }

    fn keep(&self, report: Report) {
        let mut kept = self.kept();
        if kept.lines.len() >= KEPT_MAX {
            kept.lines.pop_front();
            kept.dropped += 1;
        }
        kept.lines.push_back(report);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Tee {
    next: Dispatch,
    reports: Reports,
    level: LevelFilter,
}

/// Events of our own crates that an operator would be told.
fn is_report(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
        && *metadata.level() <= Level::INFO
        && metadata.target().starts_with("swarm_")
}

/// The host whose code runs on this thread, and the time in its world if that is simulated.
fn speaker() -> Option<(Arc<str>, Option<Instant>)> {
    match swarm_sim::log_clock() {
        Some(stamp) => stamp.host.map(|host| (host, Some(stamp.at))),
        None => swarm_env::live::log_clock().map(|stamp| (stamp.host, None)),
    }
}

impl Subscriber for Tee {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let next = self.next.register_callsite(metadata);
        if is_report(metadata) || !next.is_never() {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_report(metadata) || self.next.enabled(metadata)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.next.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.next.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.next.record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        if self.next.enabled(event.metadata()) {
            self.next.event(event);
        }
        if is_report(event.metadata())
            && let Some((host, at)) = speaker()
        {
            let mut line = Line::default();
            event.record(&mut line);
            let text = format!("{}{}", line.phrase, line.fields);
            self.reports.keep(Report { host, at, text });
        }
    }

    fn enter(&self, span: &Id) {
        self.next.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.next.exit(span);
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.next.clone_span(span)
    }

    fn try_close(&self, span: Id) -> bool {
        self.next.try_close(span)
    }
}

#[derive(Default)]
struct Line {
    phrase: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Text is told as it is; only where it might be taken apart it stands in quotes.
        match field.name() {
            "message" => self.phrase.push_str(value),
            name if value.contains(' ') => drop(write!(self.fields, " {name}={value:?}")),
            name => drop(write!(self.fields, " {name}={value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => drop(write!(self.phrase, "{value:?}")),
            name => drop(write!(self.fields, " {name}={value:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use swarm_sim::Sim;

    use super::*;

    #[test]
    fn what_a_node_reports_is_kept_with_its_name_and_what_it_only_notes_is_not() {
        let reports = Reports::default();
        let next = tracing::dispatcher::get_default(Clone::clone);
        tracing::dispatcher::with_default(&reports.beside(next), || {
            let mut sim = Sim::seeded(1);
            let world = sim.handle();
            let harness = world.add_host("harness", Ipv4Addr::new(10, 250, 0, 1));
            let node = world.add_node("main/2", Ipv4Addr::new(10, 1, 0, 2), 1);
            world.set_boot(node, |_| async {
                tracing::warn!(volume = %"v7", why = "two words", left = 3, "a volume is full");
                tracing::debug!("a beacon was heard");
            });
            let clock = world.env(harness);
            let (run_world, clock) = (world.clone(), clock.clone());
            let ended = sim.run(harness, async move {
                run_world.start(node).await;
                clock.sleep(Duration::from_secs(1)).await;
                tracing::info!("the harness says this");
            });
            assert!(ended.is_ok(), "{ended:?}");
        });
        let of_node = |report: &Report| &*report.host == "main/2";
        let found = reports.find(0, of_node).expect("one line");
        assert_eq!(found.text, "a volume is full volume=v7 why=\"two words\" left=3");
        assert_eq!(reports.find(1, of_node), None);
        assert_eq!(reports.count(), 2, "the harness is a host too");
    }
}
