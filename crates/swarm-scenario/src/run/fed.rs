//! The invariants *fed* and *honest*: gathers what the disks of both clusters of a feed say, and what nodes claim.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use swarm_client::Request;
use swarm_cluster::DiskFault;
use swarm_types::{HeaderList, Instant, Stamp};

use super::copies::{Disk, Known, NotRead};
use super::watch::LOOK_EVERY;
use super::{Run, carried, feeds, lock, protection, setup};
use crate::language::model::{DiskVerb, Feed, Step, Verb, Via};
use crate::ledger::ObjectNumber;
use crate::oracle::fed::{self, Finding, Line, Side};
use crate::oracle::honest::{self, Claim};
use crate::oracle::image::Id;
use crate::verdict::Invariant;
use crate::wire;

/// How often disks are looked at before what was seen counts.
const LOOKS_MAX: u32 = 3;
/// How often nodes are asked what feeds have come to, at first, and about how many objects.
const ASK_EVERY: Duration = Duration::from_secs(10);
const ASKED_MAX: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);
/// The answer to a HEAD has no body.
const BODY_MAX: usize = 1024;

/// The disks of a cluster, and what they say.
struct Cluster {
    disks: Vec<Disk>,
    side: Side,
    /// Some disk cannot be read: nobody knows what is on it.
    is_unread: bool,
}

fn gather(run: &Run, cluster: &str) -> Cluster {
    let known = Known::of(run);
    let (mut disks, mut side, mut is_unread) = (Vec::new(), Side::new(cluster), false);
    for disk in run.world.nodes(cluster).iter().flat_map(|node| run.world.disks(node)) {
        match known.read(run, &disk) {
            Ok(disk) => {
                side.take(&disk.volume);
                disks.push(disk);
            }
            Err(NotRead::Nothing) => {}
            Err(NotRead::Unknown) => is_unread = true,
        }
    }
    Cluster { disks, side, is_unread }
}

/// Everything that is wrong with what the feeds of a run have carried, but those that lead nowhere.
fn look(run: &Run, dead: &BTreeSet<&str>) -> Vec<(String, Finding)> {
    let mut found = Vec::new();
    let mut clusters: BTreeMap<&str, Cluster> = BTreeMap::new();
    for feed in &run.scenario.feeds {
        for cluster in [Some(&feed.from), feed.to.as_ref()].into_iter().flatten() {
            clusters.entry(cluster).or_insert_with(|| gather(run, cluster));
        }
    }
    let works = |feed: &&Feed| feeds::works(run, feed) && !dead.contains(feed.name.as_str());
    for feed in run.scenario.feeds.iter().filter(works) {
        let Some(to) = &feed.to else { continue };
        let (source, target) = (&clusters[feed.from.as_str()], &clusters[to.as_str()]);
        let domains = feeds::domains(run, feed);
        let propagates = feeds::propagates(run, feed);
        let line = Line { name: &feed.name, domains: &domains, propagates };
        let since = feeds::evaluated_since(run, feed);
        let excused =
            |stream: &Id, stamp: Stamp| is_excused(run, to, since, (source, target), stream, stamp);
        let mut findings = fed::judge(&line, &source.side, &target.side, excused);
        let is_lost = |stream: &Id, stamp: Stamp| {
            let lost =
                lock(&run.reach).damage(&feed.from).took_last_of(stream, stamp, Instant::ZERO);
            source.is_unread || lost
        };
        findings.extend(fed::forgotten(&line, &source.side, &target.side, is_lost));
        found.extend(findings.into_iter().map(|finding| (feed.from.clone(), finding)));
    }
    // Also where no feed of the file leads: a wrong address must not be given anything.
    for cluster in run.scenario.clusters.keys() {
        let held = clusters.entry(cluster).or_insert_with(|| gather(run, cluster));
        let ever = feeds::ever_selected(run, cluster);
        let strays = fed::strays(&held.side, &ever.iter().collect::<Vec<_>>());
        found.extend(strays.into_iter().map(|finding| (cluster.clone(), finding)));
    }
    found
}

/// Whether a fault explains that the target has not got a version of a stream: it took it there, since the feed was last told to
/// begin anew, or left nothing whole of it that could be sent.
fn is_excused(
    run: &Run,
    to: &str,
    since: Instant,
    (source, target): (&Cluster, &Cluster),
    stream: &Id,
    stamp: Stamp,
) -> bool {
    let wanted = BTreeSet::from([stamp]);
    target.is_unread
        || lock(&run.reach).damage(to).took_last_of(stream, stamp, since)
        || !source.disks.iter().any(|disk| disk.holds_whole(&wanted))
}

/// Judges at rest what feeds have carried.
pub(crate) async fn judge(run: &Arc<Run>) {
    if run.scenario.feeds.is_empty() {
        return;
    }
    let mut dead = BTreeSet::new();
    let mut found = look(run, &dead);
    for _ in 1..LOOKS_MAX {
        if found.is_empty() {
            break;
        }
        for feed in &run.scenario.feeds {
            if feeds::is_dead_end(run, feed).await {
                dead.insert(feed.name.as_str());
            }
        }
        run.env().sleep(LOOK_EVERY).await;
        found = look(run, &dead);
    }
    for (cluster, finding) in found {
        let stamps = BTreeSet::from([finding.stamp]);
        let (object, against) = protection::object_of(run, &cluster, &stamps).unzip();
        run.violation(Invariant::Fed, object, finding.what, against.flatten());
    }
}

/// Judges what a node of a cluster has just said that feeds have carried, in an answer about some object.
pub(crate) fn judge_answer(run: &Run, cluster: &str, answer: Answer<'_>, by: &str) {
    let Answer { status: 200, headers, trailers } = answer else { return };
    let done = [honest::done(headers), honest::done(trailers)].concat();
    let Some(stamp) = wire::stamp(headers).filter(|_| !done.is_empty()) else { return };
    carried::look(run);
    let Some(stream) = lock(&run.carried).stream(cluster, stamp) else { return };
    for feed in done {
        if let Some(wrong) = false_claim(run, cluster, Claim { feed, stream, stamp }) {
            let (object, against) =
                protection::object_of(run, cluster, &BTreeSet::from([stamp])).unzip();
            let what = format!("{by} says so of version {}: {wrong}", stamp.version);
            run.violation(Invariant::Honest, object, what, against.flatten());
        }
    }
}

/// What a node has answered.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderList,
    pub(crate) trailers: &'a HeaderList,
}

/// What is wrong with a claim of a cluster; `None` if it is true, or nobody can tell.
fn false_claim(run: &Run, cluster: &str, claim: Claim) -> Option<String> {
    let feed: &Feed = feeds::with_number(run, cluster, claim.feed)?;
    let to = feed.to.as_deref()?;
    let is_true = lock(&run.carried).is_true(feed, &claim, feeds::propagates(run, feed))?;
    let is_false = !is_true && !may_have_had(run, to, &claim);
    is_false.then(|| format!("feed {} is done, and {to} has never had it", feed.name))
}

/// Whether a cluster may have had what its journals did not tell: damage hides what a journal says, and a disk that lies about
/// syncs has what it was given without having it.
fn may_have_had(run: &Run, cluster: &str, claim: &Claim) -> bool {
    let lies =
        |step: &Step| matches!(step.verb, Verb::Disk(DiskVerb::Fault(_, DiskFault::LieAboutSyncs)));
    let known = Known::of(run);
    let mut disks = run.world.nodes(cluster).into_iter().flat_map(|node| run.world.disks(&node));
    run.scenario.steps.iter().any(lies)
        || disks.any(|disk| match known.read(run, &disk) {
            Ok(held) => {
                let filed = held.volume.filed.get(&claim.stream);
                known.journals.contains_key(&disk)
                    || filed.is_some_and(|filed| filed.version() >= claim.stamp)
            }
            Err(NotRead::Unknown) => true,
            Err(NotRead::Nothing) => false,
        })
}

/// Judges what disks of the sources claim since the last look.
pub(crate) fn judge_slots(run: &Run, claims: Vec<(String, Claim)>) {
    for (cluster, claim) in claims {
        if let Some(wrong) = false_claim(run, &cluster, claim) {
            let stamps = BTreeSet::from([claim.stamp]);
            let (object, against) = protection::object_of(run, &cluster, &stamps).unzip();
            let what =
                format!("a disk of {cluster} says so of version {}: {wrong}", claim.stamp.version);
            run.violation(Invariant::Honest, object, what, against.flatten());
        }
    }
}

/// Asks nodes again and again what feeds have come to with some objects, as long as anything happens.
pub(crate) async fn ask_around(run: Arc<Run>) {
    while !run.is_over() {
        run.pause(run.seldom(ASK_EVERY)).await;
        let sources: BTreeSet<&String> = run.scenario.feeds.iter().map(|feed| &feed.from).collect();
        let written: Vec<ObjectNumber> = {
            let ledger = lock(&run.ledger);
            let is_wanted = |number: &ObjectNumber| {
                let object = ledger.object(*number);
                sources.contains(&object.cluster)
                    && object.target.is_some()
                    && object.history.iter().any(|entry| entry.is_acknowledged())
            };
            ledger.numbers().filter(is_wanted).collect()
        };
        for _ in 0..ASKED_MAX.min(written.len()) {
            if run.is_over() {
                return;
            }
            ask_about(&run, written[run.choose(written.len())]).await;
        }
    }
}

async fn ask_about(run: &Run, object: ObjectNumber) {
    let (cluster, target) = {
        let ledger = lock(&run.ledger);
        let object = ledger.object(object);
        (object.cluster.clone(), object.target.clone().unwrap_or_default())
    };
    let node = run.first_node(&cluster, &Via::AnyNode);
    let separator = if target.contains('?') { '&' } else { '?' };
    let target = format!("{target}{separator}admin&verbose");
    let request = Request::new(run.world.scsp(&node), "HEAD", target).patience(PATIENCE);
    let Ok(mut response) = run.client(object.0).send(request.auth(setup::admin())).await else {
        return;
    };
    drop(response.body.collect(BODY_MAX).await);
    let (status, headers) = (response.status, &response.headers);
    let answer = Answer { status, headers, trailers: &HeaderList::default() };
    judge_answer(run, &cluster, answer, "a verbose HEAD");
}
