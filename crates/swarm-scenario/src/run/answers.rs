//! Judges answers at the moment they come, with the faults in force then.

use std::collections::BTreeSet;

use bytes::Bytes;
use swarm_client::Response;
use swarm_cluster::NodeRef;
use swarm_types::{Etag, HeaderList, Instant, Stamp};

use super::copies::Known;
use super::faults::disks::note_damage;
use super::operate::{Ask, Order};
use super::scope::{Faults, streams};
use super::{Run, lock, obeyed};
use crate::body::Verifier;
use crate::ledger::legal::{self, Illegal, Seen, Window};
use crate::ledger::{Entry, Object, ObjectNumber};
use crate::oracle::image::Id;
use crate::reach::{NodeNumber, NodeSet, Reach};
use crate::verdict::Invariant;
use crate::wire::{self, Broken};

/// The answer to a `request` of the scenario.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// `None` where there was none.
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderList,
    pub(crate) trailers: HeaderList,
    pub(crate) body: Bytes,
}

/// Judges the answer to a write or delete.
pub(crate) fn judge_change(
    run: &Run,
    order: &Order,
    entry: usize,
    status: u16,
    headers: &HeaderList,
) {
    if order.is_breakdown(status) {
        let what = format!("answered {status} to a legal request");
        run.violation(Invariant::Alive, Some(order.object), what, Some(entry));
    }
    let is_write = matches!(order.ask, Ask::Store { .. });
    // Whatever but a POST meets something that is not there is a read that saw nothing.
    let must_exist = match &order.ask {
        Ask::Store { method, .. } => *method != "POST",
        _ => true,
    };
    if status == 412 && headers.text("castor-system-error-token") == Some("ConditionalIfMatch") {
        judge_unmatched(run, order);
    }
    if status == 404 && must_exist {
        let (nodes, sent) = {
            let ledger = lock(&run.ledger);
            let entry = &ledger.object(order.object).history[entry];
            (entry.nodes.clone(), entry.sent)
        };
        let window = Window { started: sent, ended: run.now() };
        judge_seen(run, order.object, &nodes, window, Seen::Absent, "answered 404 to a change");
    }
    if !(is_write && (200..300).contains(&status)) {
        return;
    }
    let acknowledged = {
        let ledger = lock(&run.ledger);
        let entry = &ledger.object(order.object).history[entry];
        entry.stamp().is_some() && !entry.holders().is_empty()
    };
    let below = misplaced(run, order.object, entry, &BTreeSet::new())
        .and_then(|_| misplaced(run, order.object, entry, &streams(run, order.object, None)));
    if !acknowledged {
        run.violation(
            Invariant::Durable,
            Some(order.object),
            "a 201 without ETag, Castor-System-Version or Location",
            Some(entry),
        );
    }
    if let Some(earlier) = below {
        let what =
            "acknowledged with a version below one that was acknowledged before and could be known";
        run.violation(Invariant::Durable, Some(order.object), what, Some(earlier));
    }
}

/// Judges an answer that what is there is another version than the request demands, which had been acknowledged: something
/// must have come after that. Before anything was ever wrong there is no excuse.
fn judge_unmatched(run: &Run, order: &Order) {
    let demands = |name: &str| name.eq_ignore_ascii_case("if-match");
    let Some((_, wanted)) = order.headers.iter().find(|(name, _)| demands(name)) else { return };
    let Ok(etag) = wanted.trim_matches('"').parse::<Etag>() else { return };
    let unmatched = {
        let ledger = lock(&run.ledger);
        let history = &*ledger.history(order.object);
        let has_it = |entry: &Entry| entry.write_stamp().is_some_and(|stamp| stamp.etag == etag);
        history.iter().position(has_it).filter(|base| {
            let sent = history[*base].sent;
            let other = |(number, entry): (usize, &Entry)| {
                number != *base
                    && entry.may_have_happened()
                    && entry.ended.is_none_or(|ended| ended > sent)
            };
            !history.iter().enumerate().any(other)
        })
    };
    if unmatched.is_some() && lock(&run.reach).was_always_well(run.now()) {
        let what = "answered 412 to If-Match with the ETag of the newest version";
        run.violation(Invariant::Durable, Some(order.object), what, unmatched);
    }
}

/// What a write that was just acknowledged wrongly lies below, knowing this of faults that made deletes forgotten.
fn misplaced(
    run: &Run,
    object: ObjectNumber,
    entry: usize,
    streams: &BTreeSet<Id>,
) -> Option<usize> {
    let known = Known::of(run);
    let ledger = lock(&run.ledger);
    let reach = lock(&run.reach);
    let history = &*ledger.history(object);
    let scope = Faults::of_nobody(&ledger, &reach, object, streams);
    let disks = Disks { run, known: &known, reach: &reach, all: scope.cluster() };
    legal::out_of_order(history, entry, &scope)
        .filter(|earlier| disks.have(history, *earlier, scope.in_reach_of(entry)))
}

/// Judges a read that brought no whole answer: before anything was ever wrong there is no excuse.
pub(crate) fn judge_broken(
    run: &Run,
    object: ObjectNumber,
    node: &NodeRef,
    Window { started, ended }: Window,
    broken: &Broken,
) {
    let was_well = lock(&run.reach).was_always_well(ended);
    if was_well {
        let what = format!(
            "a read through {node}, begun at {}, broke off ({}) though nothing was wrong",
            show(run, started),
            broken.text
        );
        run.violation(Invariant::Durable, Some(object), what, None);
    }
}

/// A read under way.
pub(crate) struct Reading {
    object: ObjectNumber,
    /// The number by which bytes and metadata name it.
    family: u32,
    status: u16,
    headers: HeaderList,
    content: Option<u32>,
    /// Compares the bytes; `None` where there are none to compare or nothing to compare them with.
    verifier: Option<Verifier>,
    with_body: bool,
    taken: u64,
    heard: Instant,
}

impl Reading {
    pub(crate) fn new(
        run: &Run,
        object: ObjectNumber,
        response: &Response,
        with_body: bool,
    ) -> Self {
        let mut reading = Self {
            object,
            family: lock(&run.ledger).family(object).0,
            status: response.status,
            headers: response.headers.clone(),
            content: None,
            verifier: None,
            with_body,
            taken: 0,
            heard: run.now(),
        };
        if response.status == 200 {
            reading.content = wire::operation(&response.headers)
                .filter(|(named, _)| *named == reading.family)
                .map(|(_, content)| content);
            let body = reading.content.and_then(|content| lock(&run.ledger).body(object, content));
            reading.verifier = body.filter(|_| with_body).map(Verifier::new);
        }
        reading
    }

    pub(crate) fn take(&mut self, piece: &Bytes) {
        self.taken += piece.len() as u64;
        if let Some(verifier) = &mut self.verifier {
            verifier.take(piece);
        }
    }

    /// Judges the bytes of a body that broke off.
    pub(crate) fn judge_part(&mut self, run: &Run) {
        let Some(wrong) = self.verifier.take().and_then(Verifier::wrong) else { return };
        let whose = match wrong.belongs_to {
            Some((object, content)) if object == self.family => {
                format!("they are of write {content} of the same object")
            }
            Some((object, content)) => {
                format!("they are of write {content} of {}", name(run, object))
            }
            None => "nobody wrote them".to_owned(),
        };
        let content = self.content.unwrap_or_default();
        let what = format!(
            "wrong bytes from offset {} on where write {content} was announced; {whose}",
            wrong.at
        );
        run.violation(Invariant::TrueBytes, Some(self.object), what, None);
    }

    /// Judges a whole answer.
    pub(crate) fn judge_whole(
        mut self,
        run: &Run,
        order: &Order,
        nodes: &[NodeNumber],
        window: Window,
    ) {
        match self.status {
            200 => {
                self.judge_metadata(run);
                self.judge_part(run);
                if let Some(content) = self.content {
                    obeyed::judge_read(
                        run,
                        self.object,
                        content,
                        &self.headers,
                        window.started,
                        self.heard,
                    );
                }
                if let (Some(content), Some(stamp)) = (self.content, wire::stamp(&self.headers)) {
                    let what =
                        format!("answered with write {content} as version {}", stamp.version);
                    judge_seen(
                        run,
                        self.object,
                        nodes,
                        window,
                        Seen::Content { content, stamp },
                        &what,
                    );
                }
            }
            status if order.is_breakdown(status) => run.violation(
                Invariant::Alive,
                Some(self.object),
                format!("answered {status} to a legal read"),
                None,
            ),
            status => judge_seen(
                run,
                self.object,
                nodes,
                window,
                Seen::Absent,
                &format!("answered {status}"),
            ),
        }
    }

    fn judge_metadata(&self, run: &Run) {
        let wrong =
            |what: String| run.violation(Invariant::TrueBytes, Some(self.object), what, None);
        let Some(content) = self.content else {
            let shown = self.headers.text(wire::OPERATION_HEADER).unwrap_or("none").to_owned();
            return wrong(format!(
                "answered with metadata that no write of it had ({}: {shown})",
                wire::OPERATION_HEADER
            ));
        };
        if wire::stamp(&self.headers).is_none() {
            return wrong("answered 200 without ETag or Castor-System-Version".to_owned());
        }
        let (length, differs) = {
            let ledger = lock(&run.ledger);
            let writer = ledger.writer(self.object, content);
            let differs = writer.and_then(|writer| differing_header(writer, &self.headers));
            (writer.and_then(|writer| writer.length_of(content)), differs)
        };
        let announced = self.headers.text("content-length").and_then(|length| length.parse().ok());
        if announced != length && length.is_some() {
            let announced = announced.map_or("none".to_owned(), |length| length.to_string());
            return wrong(format!(
                "Content-Length {announced} for write {content} of {} bytes",
                length.unwrap_or_default()
            ));
        }
        if self.with_body && length.is_some_and(|length| self.taken != length) {
            return wrong(format!(
                "{} bytes for write {content} of {}",
                self.taken,
                length.unwrap_or_default()
            ));
        }
        if let Some(header) = differs {
            wrong(format!("header {header} of write {content} is missing or changed"));
        }
    }
}

/// A header that every write of the object carried and this answer does not show.
fn differing_header(object: &Object, headers: &HeaderList) -> Option<String> {
    // Of the headers that a scenario may set, only custom metadata is sure to come back (Custom Metadata Headers).
    let comes_back = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with("x-") && (name.ends_with("-meta") || name.contains("-meta-"))
    };
    object
        .headers
        .iter()
        .find(|(name, value)| comes_back(name) && headers.text(name) != Some(value.as_str()))
        .map(|(name, _)| name.clone())
}

/// Judges what a read saw by the object's history and the faults in force.
pub(crate) fn judge_seen(
    run: &Run,
    object: ObjectNumber,
    nodes: &[NodeNumber],
    window: Window,
    seen: Seen,
    what: &str,
) {
    if judged(run, object, nodes, window, seen, &BTreeSet::new()).is_none() {
        return;
    }
    // What disks destroy by themselves gets into the books when somebody asks.
    note_damage(run);
    let stamp = match seen {
        Seen::Content { stamp, .. } => Some(stamp),
        Seen::Absent => None,
    };
    let streams = streams(run, object, stamp);
    let judged = judged(run, object, nodes, window, seen, &streams);
    let Some((illegal, asked, legal)) = judged else { return };
    let (invariant, why, against) = explain(illegal);
    let what = format!(
        "{asked} {what}: {why}; legal: {}",
        if legal.is_empty() { "nothing" } else { &legal }
    );
    run.violation(invariant, Some(object), what, against);
}

/// What is illegal about what a read saw, whom it asked, and what would have been legal.
fn judged(
    run: &Run,
    object: ObjectNumber,
    nodes: &[NodeNumber],
    window: Window,
    seen: Seen,
    streams: &BTreeSet<Id>,
) -> Option<(Illegal, String, String)> {
    let known = Known::of(run);
    let ledger = lock(&run.ledger);
    let reach = lock(&run.reach);
    let scope = Faults::of_read(&ledger, &reach, object, nodes, window, streams);
    let history = &*ledger.history(object);
    let disks = Disks { run, known: &known, reach: &reach, all: scope.cluster() };
    let illegal = legal::judge(history, window, &scope, seen).err()?;
    if let Illegal::Lost { write: missed } | Illegal::Stale { newer: missed } = illegal
        && !disks.have(history, missed, scope.in_reach())
    {
        return None;
    }
    let (contents, absent) = legal::legal_outcomes(history, window, &scope);
    let mut legal: Vec<String> =
        contents.iter().map(|content| format!("write {content}")).collect();
    legal.extend(absent.then(|| "404".to_owned()));
    let asked: Vec<String> = nodes.iter().map(|node| reach.node(*node).to_string()).collect();
    Some((illegal, asked.join(" then "), legal.join(", ")))
}

/// The disks of a cluster as they are now.
struct Disks<'a> {
    run: &'a Run,
    known: &'a Known,
    reach: &'a Reach,
    /// The nodes of the cluster.
    all: NodeSet,
}

impl Disks<'_> {
    /// Whether what an operation left was really where somebody could reach it. Health processors move copies, so that they
    /// need not be where an answer said: where not all nodes were in reach, the disks are asked. What no disk of the cluster
    /// has at all was lost, and that excuses nobody.
    fn have(&self, history: &[Entry], entry: usize, in_reach: Option<NodeSet>) -> bool {
        let (Some(in_reach), Some(oldest)) = (in_reach, history[entry].write_stamp()) else {
            return true;
        };
        let stamps = history.iter().filter_map(Entry::write_stamp);
        let wanted: BTreeSet<Stamp> = stamps.filter(|stamp| *stamp >= oldest).collect();
        let has = |node: &NodeNumber| {
            let node = self.reach.node(*node).clone();
            self.known.on(self.run, [node]).any(|disk| disk.holds_whole(&wanted))
        };
        let of_cluster = self.reach.nodes().filter(|node| self.all.contains(*node));
        let (near, far): (Vec<NodeNumber>, Vec<NodeNumber>) =
            of_cluster.partition(|node| in_reach.contains(*node));
        near.iter().any(has) || !far.iter().any(has)
    }
}

fn explain(illegal: Illegal) -> (Invariant, &'static str, Option<usize>) {
    match illegal {
        Illegal::NeverWritten => (Invariant::TrueBytes, "no such write was ever sent", None),
        Illegal::Refused { write } => (
            Invariant::TrueBytes,
            "that write was refused, so nothing may have happened",
            Some(write),
        ),
        Illegal::OtherVersion { write } => {
            (Invariant::TrueBytes, "that write was acknowledged as another version", Some(write))
        }
        Illegal::Stale { newer } => (
            Invariant::Durable,
            "a newer write was acknowledged before and is in reach",
            Some(newer),
        ),
        Illegal::Resurrected { delete } => {
            (Invariant::NoResurrection, "a delete after it was acknowledged before", Some(delete))
        }
        Illegal::Lost { write } => (
            Invariant::Durable,
            "an acknowledged write is in reach and nothing can have deleted it",
            Some(write),
        ),
    }
}

fn name(run: &Run, object: u32) -> String {
    let ledger = lock(&run.ledger);
    let known = ledger.numbers().any(|number| number.0 == object);
    if known {
        ledger.object(ObjectNumber(object)).name.clone()
    } else {
        format!("object {object}, which is not of this run")
    }
}

fn show(run: &Run, at: Instant) -> String {
    crate::language::units::show(run.since_start(at))
}
