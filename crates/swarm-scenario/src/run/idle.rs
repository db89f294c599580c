//! What nodes have to do when nobody asks them for anything: their queues, watched all the time, and their tasks, compared
//! with those of the beginning.

use std::sync::Arc;
use std::time::Duration;

use swarm_client::Request;
use swarm_cluster::{DiskRef, Life, NodeRef};

use super::{Run, faults, lock, tally};
use crate::oracle::queues::{self, Moment};
use crate::oracle::tasks;
use crate::verdict::Invariant;

/// How often queues are looked at while things happen, at first: often enough to see one grow, seldom enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_secs(45);
/// How often nodes are looked at again before what was seen counts; at other moments than [`LOOK_EVERY`], whose own
/// connections would be seen every time.
const JUDGE_EVERY: Duration = Duration::from_secs(7);
/// The task of a node that tries to mount what could not be mounted.
const MOUNT_AGAIN: &str = "mount-again";
/// A node that does not answer by then is judged by others.
const PATIENCE: Duration = Duration::from_secs(5);
/// Metrics of hundreds of volumes fit.
const METRICS_MAX: usize = 1 << 20;
/// What a node needs to see that a connection was closed.
const CLOSING: Duration = Duration::from_secs(1);
/// How long a node may take to be idle after the last reads: a damaged replica that they met is made anew, and connections
/// between nodes end by time-outs of up to five minutes.
const IDLE_WITHIN: Duration = Duration::from_secs(600);

fn running(run: &Run) -> Vec<NodeRef> {
    let nodes = run.scenario.clusters.keys().flat_map(|cluster| run.world.nodes(cluster));
    nodes.filter(|node| run.world.life(node) == Life::Running).collect()
}

/// Hangs up, so that nobody but the nodes keeps the nodes busy.
async fn hang_up(run: &Run) {
    run.clients.iter().chain([&run.management]).for_each(swarm_client::Client::close_idle);
    run.env().sleep(CLOSING).await;
}

/// Notes the tasks that nodes have when they are healthy and nobody has asked for anything yet.
pub(crate) async fn remember_tasks(run: &Run) {
    hang_up(run).await;
    let tasks = running(run).into_iter().filter_map(|node| {
        let tasks = run.world.tasks(&node)?;
        Some((node, tasks))
    });
    lock(&run.idle_tasks).extend(tasks);
}

/// Judges what nodes have left to do at rest: the work in their queues, and their tasks.
pub(crate) async fn judge(run: &Run) {
    run.leave_alone();
    let deadline = run.now() + IDLE_WITHIN;
    loop {
        let mut found = look_at_queues(run, Moment::AtRest).await;
        hang_up(run).await;
        found.extend(surplus_tasks(run));
        if found.is_empty() {
            return;
        }
        if run.now() >= deadline {
            return report(run, found);
        }
        *lock(&run.restless) = found.into_iter().next();
        run.env().sleep(JUDGE_EVERY).await;
    }
}

fn report(run: &Run, found: Vec<String>) {
    for what in found {
        run.violation(Invariant::Alive, None, what, None);
    }
}

fn surplus_tasks(run: &Run) -> Vec<String> {
    let (idle, broken) = (lock(&run.idle_tasks).clone(), faults::broken_for_good(run));
    let both: Vec<_> = running(run)
        .into_iter()
        .filter_map(|node| {
            let (before, mut now) = (idle.get(&node)?.clone(), run.world.tasks(&node)?);
            // A disk that cannot be mounted is tried again for as long as it is plugged in, by one task.
            if let Some(tries) = now.get_mut(MOUNT_AGAIN) {
                let disks = run.world.disks(&node);
                let is_broken = |disk: &&DiskRef| broken.contains(&disk.to_string());
                *tries = tries.saturating_sub(disks.iter().filter(is_broken).count() as u64);
            }
            Some((node, before, now))
        })
        .collect();
    tasks::judge(&both)
}

/// Looks at all queues now and then, until the run is over.
pub(crate) async fn watch_queues(run: Arc<Run>) {
    while !run.is_over() {
        let found = look_at_queues(&run, Moment::UnderWay).await;
        report(&run, found);
        run.pause(run.seldom(LOOK_EVERY)).await;
    }
}

async fn look_at_queues(run: &Run, moment: Moment) -> Vec<String> {
    let mut found = Vec::new();
    for node in running(run) {
        // One that is going down meanwhile, or cannot be reached, is no matter of its queues.
        let Some(text) = metrics(run, &node).await else { continue };
        let wrong = queues::judge(&text, moment).into_iter();
        found.extend(wrong.map(|what| format!("{node} {what}")));
    }
    found
}

async fn metrics(run: &Run, node: &NodeRef) -> Option<String> {
    let sent = run.now();
    let request = Request::new(run.world.management(node), "GET", "/metrics").patience(PATIENCE);
    let mut response = run.management.send(request).await.ok()?;
    let body = response.body.collect(METRICS_MAX).await.ok()?;
    if response.status != 200 {
        run.violation(
            Invariant::Alive,
            None,
            format!("{node} answers {} to a question for its metrics", response.status),
            None,
        );
        return None;
    }
    let text = String::from_utf8(body.to_vec()).ok()?;
    let counter = format!("swarm_health_total{{name=\"{}\"}} ", tally::COPIES);
    let copies = text.lines().find_map(|line| line.strip_prefix(&counter)?.parse().ok());
    lock(&run.tally).told(node, sent, run.now(), copies.unwrap_or(0));
    Some(text)
}
