//! Looks at one subject of an expectation, now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::{DiskRef, Life, NodeRef};
use swarm_types::HeaderList;

use super::copies::Known;
use super::operate::{Ask, Done, Ended, Order, perform};
use super::steps::{choose_disks, choose_nodes, object_at};
use super::watch::{self, LOOK_EVERY, Rest};
use super::{Run, compare, feeds, finish, lock, manage, metrics, protection, snapshot};
use crate::language::model::{
    ClusterMetric, Event, Is, Metric, NodeSelector, ObjectRef, Retry, RetryOn, Subject, Targets,
    Via,
};
use crate::language::pattern::Pattern;
use crate::ledger::ObjectNumber;
use crate::wire;

/// Nobody waits longer for an answer that an expectation asks for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Subjects that read whole disks or ask for every object are looked at less often.
const LOOK_WIDE_EVERY: Duration = Duration::from_secs(10);

/// The word for a volume that its node refuses because it was away for too long; its state is `unavailable`.
const STALE: &str = "stale";

/// Whoever waits for weeks is told within an hour.
const LOOK_RARELY_EVERY: Duration = Duration::from_secs(3600);

/// What was seen: `Ok` says that it holds, `Err` that it does not.
pub(crate) type Verdict = Result<String, String>;

/// One subject being looked at.
pub(crate) struct Look<'a> {
    run: &'a Arc<Run>,
    pub(crate) subject: &'a Subject,
    rest: Rest,
    /// The first line of the log that counts.
    from_line: usize,
}

impl<'a> Look<'a> {
    pub(crate) fn new(run: &'a Arc<Run>, subject: &'a Subject) -> Self {
        Self { run, subject, rest: Rest::default(), from_line: 0 }
    }

    /// What was logged before does not count.
    pub(crate) fn begin_log(&mut self) {
        self.from_line = self.run.reports.count();
    }

    /// Goes on at this line of the log. True if lines before it were lost that nobody had looked at.
    pub(crate) fn go_on_in_log(&mut self, at: usize) -> bool {
        let cut = self.run.reports.is_cut(self.from_line);
        self.from_line = at;
        cut
    }

    /// How long lies between two looks.
    pub(crate) const fn pace(&self) -> Duration {
        match self.subject {
            Subject::Copies(..)
            | Subject::Equals { .. }
            | Subject::Protected(_)
            | Subject::NoOrphans(_)
            | Subject::SameObjects(..)
            | Subject::HoldsAll { .. }
            | Subject::Metric {
                metric: Metric::Cluster(_, ClusterMetric::RecoveryTime | ClusterMetric::CopiesMoved),
                ..
            } => LOOK_WIDE_EVERY,
            _ => LOOK_EVERY,
        }
    }

    /// Looks once.
    pub(crate) async fn now(&mut self) -> Verdict {
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
            Subject::Protected(cluster) => {
                protection::full(self.run, cluster).await.map(|()| "fully protected".to_owned())
            }
            Subject::NoOrphans(cluster) => no_orphans(self.run, cluster).await,
            Subject::Readable(object) => match read(self.run, object, true).await {
                Ok(done) if done.ended == Ended::Acknowledged => Ok("readable".to_owned()),
                Ok(done) => Err(done.answer()),
                Err(why) => Err(why),
            },
            Subject::Gone(object) => match read(self.run, object, true).await {
                Ok(done) if done.ended == Ended::Refused(404) => Ok("gone".to_owned()),
                Ok(done) => Err(done.answer()),
                Err(why) => Err(why),
            },
            Subject::Copies(object, is) => copies(self.run, object, is).await,
            Subject::Header { object, name, is } => header(self.run, object, name, is).await,
            Subject::Answer { of, status, header, trailer, body } => {
                answer(self.run, of, *status, [header, trailer], body.as_deref())
            }
            Subject::State { of, is } => state(self.run, of, is).await,
            Subject::Reports { of, is } => reports(self.run, of, is, self.from_line),
            Subject::Equals { cluster, snapshot } => {
                snapshot::compare(self.run, cluster, snapshot).await
            }
            Subject::Drained(feed) => {
                feeds::drained(self.run, feed).await.map(|()| "drained".to_owned())
            }
            Subject::FeedState { feed, is } => {
                let state = feeds::state(self.run, feed).await?;
                let detail = format!("{feed} is {state}");
                if state == *is { Ok(detail) } else { Err(detail) }
            }
            Subject::SameObjects(one, other) => compare::same(self.run, one, other).await,
            Subject::HoldsAll { cluster, of } => compare::holds_all(self.run, cluster, of).await,
            Subject::Metric { metric, is, value } => {
                metrics::now(self.run, metric, *is, *value).await
            }
        }
    }
}

/// The number of the object that a file names.
///
/// # Errors
/// A sentence where nobody knows it yet.
pub(crate) fn number_of(run: &Run, object: &ObjectRef) -> Result<ObjectNumber, String> {
    let named = lock(&run.steps).objects.get(&object.object).copied();
    match named {
        Some(number) => Ok(number),
        None if object.object.contains('/') => Ok(object_at(run, &object.cluster, &object.object)),
        None => Err("the request has not been made".to_owned()),
    }
}

/// Reads an object as a client does; the answer is judged like every other. Where a cluster is asked, a node that does not
/// answer says nothing of the object, and the others are asked too.
///
/// # Errors
/// As [`number_of`].
pub(crate) async fn read(
    run: &Arc<Run>,
    object: &ObjectRef,
    with_body: bool,
) -> Result<Done, String> {
    let number = number_of(run, object)?;
    let order = Order {
        object: number,
        ask: Ask::Fetch { with_body },
        client: 0,
        first: run.first_node(&object.cluster, &object.via),
        retry: over_all_nodes(run.world.nodes(&object.cluster).len(), &object.via),
        patience: PATIENCE,
        auth: None,
        headers: Vec::new(),
    };
    Ok(perform(run, &order).await)
}

/// Whoever asks one node takes its answer; whoever asks a cluster asks each of its nodes.
fn over_all_nodes(nodes: usize, via: &Via) -> Retry {
    let times = match via {
        Via::Node(_) => 0,
        Via::AnyNode | Via::RoundRobin => u32::try_from(nodes.saturating_sub(1)).unwrap_or(0),
    };
    let on = vec![RetryOn::Status(503), RetryOn::Timeout, RetryOn::Reset, RetryOn::Refused];
    Retry { times, on }
}

/// Waits until an object that was there is gone, and tells the board. Whoever waits for that holds up the end of the run.
pub(crate) async fn tell_when_gone(run: Arc<Run>, object: ObjectRef) {
    let begun = run.now();
    loop {
        let was_there = number_of(&run, &object).is_ok_and(|number| {
            let ledger = lock(&run.ledger);
            ledger.object(number).history.iter().any(|entry| entry.write_stamp().is_some())
        });
        if was_there
            && let Ok(done) = read(&run, &object, false).await
            && done.ended == Ended::Refused(404)
        {
            return run.board.fire(Event::Gone(object), run.now());
        }
        // What takes weeks is not looked for every second.
        let waited = run.now().since(begun);
        run.pause((waited / 100).clamp(LOOK_EVERY, LOOK_RARELY_EVERY)).await;
    }
}

impl Done {
    /// The answer as a part of a sentence.
    pub(crate) fn answer(&self) -> String {
        self.status.map_or_else(|| "no answer".to_owned(), |status| format!("answered {status}"))
    }
}

/// Looks at the disks of all nodes that run.
async fn no_orphans(run: &Arc<Run>, cluster: &str) -> Verdict {
    let mut disks = 0;
    for node in run.world.nodes(cluster) {
        if let Some(untidy) = finish::untidy_disks(run, &node).await.into_iter().next() {
            return Err(untidy);
        }
        disks += run.world.disks(&node).len();
    }
    Ok(format!("no orphans on {disks} disks"))
}

async fn header(run: &Arc<Run>, object: &ObjectRef, name: &str, is: &Is) -> Verdict {
    let done = read(run, object, false).await?;
    if done.status != Some(200) {
        return Err(done.answer());
    }
    let values: Vec<&str> = done.headers.all(name).filter_map(|header| header.text()).collect();
    let shown = if values.is_empty() { "(none)".to_owned() } else { values.join(", ") };
    let detail = format!("{name}: {shown}");
    if values.iter().any(|value| is.holds(value)) { Ok(detail) } else { Err(detail) }
}

/// Counts the disks that hold a whole copy of what a client sees; of an object that is gone, of any of its versions. A
/// volume that its node has given up serves nothing and does not count; that of a node that is off will be back.
async fn copies(run: &Arc<Run>, object: &ObjectRef, is: &Is) -> Verdict {
    let number = number_of(run, object)?;
    let done = read(run, object, false).await?;
    let stamps: BTreeSet<_> = match done.status {
        Some(200) => wire::stamp(&done.headers).into_iter().collect(),
        Some(404) => {
            let ledger = lock(&run.ledger);
            let history = ledger.history(number);
            history.iter().filter_map(|entry| entry.write_stamp()).collect()
        }
        _ => return Err(done.answer()),
    };
    let cluster = lock(&run.ledger).object(number).cluster.clone();
    let mut given_up = BTreeSet::new();
    for node in run.world.nodes(&cluster) {
        let Ok(status) = watch::status(run, &node).await else { continue };
        let lost = status.volumes.into_iter().filter(|volume| volume.state == "unavailable");
        given_up.extend(lost.map(|volume| volume.disk));
    }
    let known = Known::of(run);
    let holders: Vec<String> = known
        .on(run, run.world.nodes(&cluster))
        .filter(|held| held.holds_whole(&stamps))
        .map(|held| held.disk.to_string())
        .filter(|disk| !given_up.contains(disk))
        .collect();
    let detail = format!("{} on {}", holders.len(), holders.join(", "));
    if is.holds(&holders.len().to_string()) { Ok(detail) } else { Err(detail) }
}

/// Compares the state of nodes or disks; all of them must be in it.
async fn state(run: &Arc<Run>, of: &Targets, is: &str) -> Verdict {
    let mut seen = Vec::new();
    match of {
        Targets::Nodes(selector) => {
            for node in choose_nodes(run, selector) {
                seen.push((node.to_string(), node_state(run, &node).await));
            }
        }
        Targets::Disks(selector) => {
            for disk in choose_disks(run, selector) {
                seen.push((disk.to_string(), disk_state(run, &disk, is).await));
            }
        }
    }
    if seen.is_empty() {
        return Err("the step has chosen nothing yet".to_owned());
    }
    let detail: Vec<String> =
        seen.iter().map(|(whose, state)| format!("{whose} is {state}")).collect();
    let detail = detail.join(", ");
    if seen.iter().all(|(_, state)| state == is) { Ok(detail) } else { Err(detail) }
}

/// What a node says of itself; of one that does not answer, what all others say that know it.
async fn node_state(run: &Arc<Run>, node: &NodeRef) -> String {
    if let Ok(status) = watch::status(run, node).await {
        return status.state;
    }
    // A node is known to the others by its address.
    let id = run.world.scsp(node).ip().to_string();
    let mut states = BTreeSet::new();
    for other in run.world.nodes(&node.cluster) {
        if other == *node || run.world.life(&other) == Life::Off {
            continue;
        }
        if let Ok(status) = watch::status(run, &other).await {
            states.insert(status.state_of(&id).unwrap_or("unknown to some").to_owned());
        }
    }
    if states.is_empty() {
        return "seen by nobody".to_owned();
    }
    states.into_iter().collect::<Vec<_>>().join(" to some, ")
}

/// What the node says that has the disk now, in the word that was asked for if both that and a more general one fit.
async fn disk_state(run: &Arc<Run>, disk: &DiskRef, asked: &str) -> String {
    let serial = disk.to_string();
    // The one that it was moved away from still tells of it, as of one that is not there.
    let has_it = run.world.plugged_into(disk);
    let mut nodes = run.world.nodes(&disk.node.cluster);
    nodes.sort_by_key(|node| has_it.as_ref() != Some(node));
    for node in nodes {
        let Ok(status) = watch::status(run, &node).await else { continue };
        if let Some(volume) = status.volumes.into_iter().find(|volume| volume.disk == serial) {
            let is_stale = asked == STALE && manage::is_stale(run, &node, disk).await;
            return if is_stale { asked.to_owned() } else { volume.state };
        }
    }
    "gone".to_owned()
}

/// Looks for a line that matches.
fn reports(run: &Run, of: &NodeSelector, is: &Pattern, from: usize) -> Verdict {
    let hosts: BTreeSet<String> = choose_nodes(run, of).iter().map(ToString::to_string).collect();
    let found =
        run.reports.find(from, |line| hosts.contains(&*line.host) && is.matches(&line.text));
    match found {
        Some(line) => Ok(format!("{}: {}", line.host, line.text)),
        None => Err("no such line".to_owned()),
    }
}

fn answer(
    run: &Run,
    of: &str,
    status: Option<u16>,
    [header, trailer]: [&Option<(String, Is)>; 2],
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
    has_field(&answer.headers, header.as_ref())?;
    has_field(&answer.trailers, trailer.as_ref())?;
    if let Some(part) = body
        && !String::from_utf8_lossy(&answer.body).contains(part)
    {
        return Err("the body does not contain it".to_owned());
    }
    Ok("as expected".to_owned())
}

fn has_field(fields: &HeaderList, wanted: Option<&(String, Is)>) -> Result<(), String> {
    let Some((name, is)) = wanted else { return Ok(()) };
    if fields.all(name).any(|field| field.text().is_some_and(|value| is.holds(value))) {
        return Ok(());
    }
    Err(format!("{name}: {}", fields.text(name).unwrap_or("(none)")))
}
