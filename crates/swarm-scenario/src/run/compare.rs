//! What clients of two clusters see of the same objects: compared, judged by what was acknowledged, and written again.

use std::collections::BTreeMap;
use std::sync::Arc;

use swarm_types::Stamp;

use super::look::Verdict;
use super::operate::{Ask, Done, Ended, Order, Sent, perform};
use super::snapshot::Seen as Remembered;
use super::{Run, lock};
use crate::language::domains::Domains;
use crate::language::model::Feed;
use crate::ledger::legal::{self, Illegal, Seen, Untroubled, Window};
use crate::ledger::{Act, ObjectNumber};
use crate::wire;

/// Objects asked for together.
const READERS: usize = 4;

/// What a client saw: a version and its content, or none; or why that is unclear.
type Look = Result<Option<(u32, Stamp)>, String>;

/// An object in two clusters.
type Pair = (ObjectNumber, ObjectNumber);

/// The feeds between two clusters, in either direction, with the domains that they select.
fn between<'a>(run: &'a Run, one: &str, other: &str) -> Vec<(&'a Feed, Domains)> {
    let joins = |feed: &&Feed| {
        let to = feed.to.as_deref().unwrap_or("");
        (feed.from == one && to == other) || (feed.from == other && to == one)
    };
    run.scenario
        .feeds
        .iter()
        .filter(joins)
        .map(|feed| (feed, super::feeds::domains(run, feed)))
        .collect()
}

/// Every object that one of these feeds selects, as both clusters have it; what has no address that a client knows is left
/// out.
fn pairs(run: &Run, one: &str, other: &str, feeds: &[(&Feed, Domains)]) -> Vec<Pair> {
    let mut ledger = lock(&run.ledger);
    let mut pairs = BTreeMap::new();
    for number in ledger.numbers() {
        let object = ledger.object(number);
        let is_theirs = object.cluster == one || object.cluster == other;
        let domain = ledger.domain(number);
        let is_selected = feeds.iter().any(|(_, domains)| domains.select(domain));
        if !is_theirs || object.target.is_none() || !is_selected {
            continue;
        }
        if let (Some(here), Some(there)) = (ledger.twin(number, one), ledger.twin(number, other)) {
            pairs.insert(ledger.family(number), (here, there));
        }
    }
    pairs.into_values().collect()
}

async fn look(run: &Arc<Run>, object: ObjectNumber) -> Look {
    let done = perform(run, &Order::of_anybody(run, object, Ask::Fetch { with_body: false })).await;
    match done.status {
        Some(404) => Ok(None),
        Some(200) => {
            let content = wire::operation(&done.headers).map(|(_, content)| content);
            let seen = content.zip(wire::stamp(&done.headers));
            seen.map(Some).ok_or_else(|| "answered with metadata of no write".to_owned())
        }
        _ => Err(done.answer()),
    }
}

/// Looks at the first of each pair, at the second or at both.
async fn look_at(
    run: &Arc<Run>,
    pairs: &[Pair],
    first: bool,
    second: bool,
) -> Vec<[Option<Look>; 2]> {
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let mine: Vec<Pair> = pairs.iter().skip(reader).step_by(READERS).copied().collect();
            let run_of_task = Arc::clone(run);
            run.env().spawn("comparison", async move {
                let mut seen = Vec::new();
                for (one, other) in mine {
                    let one = if first { Some(look(&run_of_task, one).await) } else { None };
                    let other = if second { Some(look(&run_of_task, other).await) } else { None };
                    seen.push([one, other]);
                }
                seen
            })
        })
        .collect();
    let mut looks: Vec<[Option<Look>; 2]> = vec![[None, None]; pairs.len()];
    for (reader, task) in readers.into_iter().enumerate() {
        let seen = task.join().await.unwrap_or_default();
        for (nth, seen) in seen.into_iter().enumerate() {
            looks[reader + nth * READERS] = seen;
        }
    }
    looks
}

fn shown(look: &Look) -> String {
    match look {
        Ok(Some((content, stamp))) => format!("write {content} as version {}", stamp.version),
        Ok(None) => "404".to_owned(),
        Err(why) => why.clone(),
    }
}

/// Whether clients of both clusters see the same of what feeds carry between them.
pub(crate) async fn same(run: &Arc<Run>, one: &str, other: &str) -> Verdict {
    let feeds = between(run, one, other);
    let pairs = pairs(run, one, other, &feeds);
    let looks = look_at(run, &pairs, true, true).await;
    let mut differing = Vec::new();
    let mut present = 0;
    for ((object, _), looks) in pairs.iter().zip(&looks) {
        let [Some(here), Some(there)] = looks else { continue };
        if here != there || here.is_err() {
            let name = lock(&run.ledger).object(*object).name.clone();
            differing.push(format!(
                "{name}: {} on {one}, {} on {other}",
                shown(here),
                shown(there)
            ));
        }
        present += usize::from(matches!(here, Ok(Some(_))));
    }
    match differing.first() {
        None => Ok(format!("{present} objects alike, {} on neither", pairs.len() - present)),
        Some(first) => Err(format!("{} objects differ, among them {first}", differing.len())),
    }
}

/// Whether clients of a cluster see what was acknowledged in another, as far as feeds carry it.
pub(crate) async fn holds_all(run: &Arc<Run>, cluster: &str, of: &str) -> Verdict {
    let feeds: Vec<(&Feed, Domains)> =
        between(run, of, cluster).into_iter().filter(|(feed, _)| feed.from == of).collect();
    let propagates = feeds.iter().any(|(feed, _)| super::feeds::propagates(run, feed));
    let pairs = pairs(run, of, cluster, &feeds);
    let started = run.now();
    let looks = look_at(run, &pairs, false, true).await;
    let window = Window { started, ended: run.now() };
    let mut missing = Vec::new();
    for ((object, twin), looks) in pairs.iter().zip(&looks) {
        let Some(seen) = &looks[1] else { continue };
        let ledger = lock(&run.ledger);
        let history = ledger.common_history(*object, *twin);
        let ended = history.iter().enumerate().filter(|(_, entry)| match entry.act {
            Act::Write { content, .. } => ledger.may_have_ended(*object, content, window.ended),
            Act::Delete => false,
        });
        let scope = Untroubled(ended.map(|(number, _)| number).collect());
        let judged = match seen {
            Ok(Some((content, stamp))) => {
                let seen = Seen::Content { content: *content, stamp: *stamp };
                legal::judge(&history, window, &scope, seen)
            }
            Ok(None) => legal::judge(&history, window, &scope, Seen::Absent),
            Err(_) => Err(Illegal::NeverWritten),
        };
        // What is deleted at the source may stay where deletes are not carried over.
        let is_kept = !propagates && matches!(judged, Err(Illegal::Resurrected { .. }));
        if judged.is_err() && !is_kept {
            missing.push(format!("{}: {}", ledger.object(*object).name, shown(seen)));
        }
    }
    match missing.first() {
        None => Ok(format!("all {} objects", pairs.len())),
        Some(first) => {
            Err(format!("{} objects are not as acknowledged, among them {first}", missing.len()))
        }
    }
}

/// Clients read every named object that a snapshot has from one cluster and write it to another, unless that shows it.
/// Returns how many were written.
///
/// # Errors
/// The snapshot has not been taken.
pub(crate) async fn restore(
    run: &Arc<Run>,
    snapshot: &str,
    from: &str,
    to: &str,
) -> Result<usize, String> {
    let Some(remembered) = lock(&run.steps).snapshots.get(snapshot).cloned() else {
        return Err(format!("{snapshot} has not been taken"));
    };
    let mut wanted = Vec::new();
    for (object, seen) in remembered {
        let Remembered::Content(content) = seen else { continue };
        let mut ledger = lock(&run.ledger);
        let ends = (ledger.twin(object, from), ledger.twin(object, to));
        if let ((Some(there), Some(here)), true) = (ends, ledger.is_named(object)) {
            wanted.push((content, there, here));
        }
    }
    let writers: Vec<_> = (0..READERS)
        .map(|writer| {
            let mine: Vec<_> = wanted.iter().skip(writer).step_by(READERS).copied().collect();
            let run_of_task = Arc::clone(run);
            run.env().spawn("restore", async move {
                let mut written = 0;
                for (content, there, here) in mine {
                    written += usize::from(restore_one(&run_of_task, content, there, here).await);
                }
                written
            })
        })
        .collect();
    let mut written = 0;
    for writer in writers {
        written += writer.join().await.unwrap_or_default();
    }
    Ok(written)
}

async fn restore_one(run: &Arc<Run>, content: u32, from: ObjectNumber, to: ObjectNumber) -> bool {
    if matches!(look(run, to).await, Ok(Some((seen, _))) if seen == content) {
        return false;
    }
    // Whatever is read there is judged as every read; what is written is what the snapshot has.
    let done: Done =
        perform(run, &Order::of_anybody(run, from, Ask::Fetch { with_body: true })).await;
    let is_it = wire::operation(&done.headers).is_some_and(|(_, seen)| seen == content);
    if done.ended != Ended::Acknowledged || !is_it {
        return false;
    }
    let (body, target, lifepoints) = {
        let ledger = lock(&run.ledger);
        let lifepoints = ledger.intent(to, content).map(|intent| intent.sent().to_vec());
        let target = ledger.object(to).target.clone();
        (ledger.body(to, content), target, lifepoints.unwrap_or_default())
    };
    let (Some(body), Some(target)) = (body, target) else { return false };
    let body = Sent { content, stored: body.length(), bytes: body };
    let mut order =
        Order::of_anybody(run, to, Ask::Store { method: "POST", target, body, half_sent: None });
    order.headers.push(("Content-Type".to_owned(), "application/octet-stream".to_owned()));
    let lifepoints = lifepoints.into_iter().map(|value| (super::obeyed::HEADER.to_owned(), value));
    order.headers.extend(lifepoints);
    perform(run, &order).await.ended == Ended::Acknowledged
}
