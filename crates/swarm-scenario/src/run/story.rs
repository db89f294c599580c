//! The story of a failure: the object, what happened to it, the faults before, and the rule.

use std::collections::BTreeSet;
use std::time::Duration;

use swarm_types::{Instant, StreamId};

use super::drive::FaultResult;
use super::scope::streams;
use super::{Run, lock};
use crate::language::tell::listed;
use crate::language::units::{show, show_size};
use crate::ledger::{Act, Entry, Outcome};
use crate::oracle::image;
use crate::reach::Reach;
use crate::verdict::Violation;

/// A failure is told in at most 25 lines: these are what is left beside headline, rule and replay line.
const HISTORY_MAX: usize = 10;
const FAULTS_MAX: usize = 6;
const MOVES_MAX: usize = 4;

/// Tells one violation; the replay line is added by whoever knows it.
pub(crate) fn tell(run: &Run, violation: &Violation, faults: &[FaultResult]) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", violation.invariant.word(), violation.what)];
    if let Some(object) = violation.object {
        // It looks at the ledger itself.
        let streams = streams(run, object, None);
        let ledger = lock(&run.ledger);
        let reach = lock(&run.reach);
        let asked = ledger.history(object);
        let object = ledger.object(object);
        lines.push(format!(
            "  {} on {}, seen at {}",
            object.name,
            object.cluster,
            show(violation.at)
        ));
        lines.extend(history(run, &reach, &asked, violation));
        lines.extend(moves(run, &streams, violation.at));
        lines.extend(copies(run, &object.cluster, &asked));
    } else {
        lines.push(format!("  seen at {}", show(violation.at)));
    }
    let before: Vec<&FaultResult> =
        faults.iter().filter(|fault| fault.at <= violation.at).collect();
    if before.len() > FAULTS_MAX {
        lines.push(format!("  {} earlier faults", before.len() - FAULTS_MAX));
    }
    for fault in before.iter().skip(before.len().saturating_sub(FAULTS_MAX)) {
        let until =
            fault.until.map_or_else(|| " on".to_owned(), |until| format!(" to {}", show(until)));
        lines.push(format!(
            "  fault: {} from {}{until}, {} effects",
            fault.what,
            show(fault.at),
            fault.effects
        ));
    }
    lines.push(format!("  rule: {}", violation.invariant.rule()));
    lines
}

/// The entries around what matters: the newest before the violation, and always the one that it is held against.
fn history(run: &Run, reach: &Reach, history: &[Entry], violation: &Violation) -> Vec<String> {
    let end = run.started() + violation.at;
    let told: Vec<usize> =
        (0..history.len()).filter(|number| history[*number].sent <= end).collect();
    let skipped = told.len().saturating_sub(HISTORY_MAX);
    let mut lines = Vec::new();
    if skipped > 0 {
        lines.push(format!("  … {skipped} earlier requests"));
    }
    for (position, number) in told.iter().enumerate() {
        let against = violation.against == Some(*number);
        if position >= skipped || against {
            let mark = if against { " <-" } else { "" };
            lines.push(format!("  {}{mark}", line(run, reach, &history[*number])));
        }
    }
    lines
}

/// What nodes reported of the copies of an object last: made, let go, damaged, erased.
fn moves(run: &Run, streams: &BTreeSet<image::Id>, until: Duration) -> Vec<String> {
    let streams: Vec<String> =
        streams.iter().map(|id| format!("stream={}", StreamId::from_bytes(*id))).collect();
    let since_start = |at: Instant| run.since_start(at);
    let reports = run.reports.last(MOVES_MAX, |report| {
        report.at.is_none_or(|at| since_start(at) <= until)
            && streams.iter().any(|stream| report.text.contains(stream.as_str()))
    });
    let told = reports.into_iter().map(|report| {
        let at = report.at.map_or_else(|| "-".to_owned(), |at| show_at(since_start(at)));
        let shown: Vec<&str> = report.text.split(' ').filter(|word| !is_plain(word)).collect();
        format!("  {at} {}: {}", report.host, shown.join(" "))
    });
    told.collect()
}

/// What a story says of an object anyway.
fn is_plain(word: &str) -> bool {
    word.starts_with("stream=") || word.starts_with("node=")
}

/// What the disks of the cluster hold now of the newest version that was acknowledged.
fn copies(run: &Run, cluster: &str, history: &[Entry]) -> Option<String> {
    let written = |entry: &Entry| match entry.act {
        Act::Write { content, .. } => Some((entry.write_stamp()?, content)),
        Act::Delete => None,
    };
    let (stamp, content) = history.iter().filter_map(written).max()?;
    let (mut whole, mut damaged, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    let nodes = run.world.nodes(cluster);
    for disk in nodes.iter().flat_map(|node| run.world.disks(node)) {
        let image = run.world.image(&disk);
        let volume = match image::read(&*image) {
            Ok(volume) => volume,
            Err(image::Fault::Blank) => continue,
            Err(image::Fault::Damaged(_)) => {
                unread.push(disk);
                continue;
            }
        };
        for (stream, extent, _) in volume.versions().filter(|(_, _, held)| *held == stamp) {
            let is_whole = volume.is_whole(&*image, stream, extent);
            if is_whole { &mut whole } else { &mut damaged }.push(disk.clone());
        }
    }
    let parts =
        [("whole", whole), ("damaged", damaged), ("perhaps, the journal being damaged,", unread)];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, disks)| !disks.is_empty())
        .map(|(how, disks)| format!("{how} on {}", listed(&disks)))
        .collect();
    let held = if parts.is_empty() { "on no disk".to_owned() } else { parts.join("; ") };
    Some(format!("  write {content} in the end: {held}"))
}

fn line(run: &Run, reach: &Reach, entry: &Entry) -> String {
    let what = match entry.act {
        Act::Write { content, length } => format!("write {content} ({})", show_size(length)),
        Act::Delete => "delete".to_owned(),
    };
    let names = |nodes: &[crate::reach::NodeNumber]| {
        nodes.iter().map(|node| reach.node(*node).to_string()).collect::<Vec<_>>()
    };
    let asked = names(&entry.nodes).join(" then ");
    let ended = entry.ended.map_or_else(|| "-".to_owned(), |ended| show_at(run.since_start(ended)));
    let outcome = match &entry.outcome {
        Outcome::Pending => "no answer yet".to_owned(),
        Outcome::Acknowledged { stamp: Some(stamp), holders, replicas } => {
            format!(
                "acknowledged as version {}, {replicas} copies on {}",
                stamp.version,
                names(holders).join(", ")
            )
        }
        Outcome::Acknowledged { .. } => "acknowledged".to_owned(),
        Outcome::Refused(status) => format!("refused: {status}"),
        Outcome::NotSent(why) => format!("never reached a node: {why}"),
        Outcome::Unknown(why) => format!("outcome unknown: {why}"),
        Outcome::Elsewhere { stamp: Some(stamp) } => {
            format!("acknowledged there as version {}", stamp.version)
        }
        Outcome::Elsewhere { stamp: None } => "elsewhere".to_owned(),
    };
    format!("{} {what} to {asked}; {ended} {outcome}", show_at(run.since_start(entry.sent)))
}

/// Times of a story need milliseconds.
fn show_at(at: Duration) -> String {
    let (minutes, rest) = (at.as_secs() / 60, at.as_millis() % 60_000);
    format!("{minutes}m{:02}.{:03}s", rest / 1000, rest % 1000)
}
