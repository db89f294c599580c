//! Watches clusters from outside, through their management ports: healthy, at rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use swarm_client::Request;
use swarm_cluster::{Life, NodeRef};
use swarm_types::Instant;

use super::Run;

/// How often a condition is looked at while somebody waits for it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Quiet for so long is at rest, as long as there is no health processor whose cycles could be counted.
pub(crate) const REST: Duration = Duration::from_secs(600);
/// How often is looked while waiting for rest: work that begins and ends in between moves a counter.
pub(crate) const REST_LOOK_EVERY: Duration = Duration::from_secs(10);
/// A node that does not answer by then is not well.
const PATIENCE: Duration = Duration::from_secs(5);
/// A status of hundreds of volumes fits.
const STATUS_MAX: usize = 1 << 20;

/// What a node tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    pub(crate) node: String,
    pub(crate) state: String,
    pub(crate) volumes: Vec<VolumeStatus>,
    members: Vec<Member>,
    requests: u64,
    background: u64,
    counters: BTreeMap<String, u64>,
}

/// What a node tells of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct VolumeStatus {
    pub(crate) disk: String,
    pub(crate) state: String,
    problem: Option<String>,
    pub(crate) capacity: u64,
    pub(crate) used: u64,
    pub(crate) free: u64,
    pub(crate) trapped: u64,
    pub(crate) streams: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Member {
    node: String,
    state: String,
}

impl Status {
    /// The state in which this node knows the one with this id.
    pub(crate) fn state_of(&self, id: &str) -> Option<&str> {
        self.members.iter().find(|member| member.node == id).map(|member| member.state.as_str())
    }
}

/// Asks a node for its status.
///
/// # Errors
/// Why there is none, as a part of a sentence.
pub(crate) async fn status(run: &Run, node: &NodeRef) -> Result<Status, String> {
    if run.world.life(node) == Life::Off {
        return Err("is off".to_owned());
    }
    let request = Request::new(run.world.management(node), "GET", "/api/status").patience(PATIENCE);
    let mut response = run
        .management
        .send(request)
        .await
        .map_err(|error| format!("does not tell its status ({})", error.kind))?;
    let body = response
        .body
        .collect(STATUS_MAX)
        .await
        .map_err(|error| format!("breaks off its status ({})", error.kind))?;
    if response.status != 200 {
        return Err(format!("answers {} to a question for its status", response.status));
    }
    serde_json::from_slice(&body)
        .map_err(|error| format!("tells a status that cannot be read ({error})"))
}

/// A node that sleeps for want of work is as well as one that is awake.
fn is_well(state: &str) -> bool {
    matches!(state, "ok" | "idle")
}

/// The statuses of all nodes of a cluster, if it is healthy.
///
/// # Errors
/// What is not well, in a sentence.
pub(crate) async fn healthy(run: &Run, cluster: &str) -> Result<Vec<Status>, String> {
    let nodes = run.world.nodes(cluster);
    let mut statuses = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let status = status(run, node).await.map_err(|why| format!("{node} {why}"))?;
        if !is_well(&status.state) {
            return Err(format!("{node} is {}", status.state));
        }
        if let Some(volume) =
            status.volumes.iter().find(|volume| !matches!(volume.state.as_str(), "ok" | "retired"))
        {
            let problem =
                volume.problem.as_deref().map(|problem| format!(": {problem}")).unwrap_or_default();
            return Err(format!("volume {} of {node} is {}{problem}", volume.disk, volume.state));
        }
        statuses.push(status);
    }
    for (node, status) in nodes.iter().zip(&statuses) {
        for (other, name) in nodes.iter().zip(&statuses).filter(|(other, _)| *other != node) {
            let known = status.members.iter().find(|member| member.node == name.node);
            if known.is_none_or(|member| !is_well(&member.state)) {
                let as_what = known.map_or("not at all", |member| member.state.as_str());
                return Err(format!("{node} knows {other} as {as_what}"));
            }
        }
    }
    Ok(statuses)
}

/// Waits until a cluster is healthy; gives up when the run is to end.
pub(crate) async fn until_healthy(run: &Run, cluster: &str) {
    while healthy(run, cluster).await.is_err() && !run.is_over() {
        run.env().sleep(LOOK_EVERY).await;
    }
}

/// Waits until a cluster is at rest: healthy, nothing under way, and no counter of work has moved for [`REST`].
pub(crate) async fn until_at_rest(run: &Arc<Run>, cluster: &str) {
    let mut rest = Rest::default();
    while !rest.look(run, cluster).await {
        run.env().sleep(REST_LOOK_EVERY).await;
    }
}

/// Rest as seen so far.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Counters and since when they have not moved.
    quiet: Option<(Vec<BTreeMap<String, u64>>, Instant)>,
    /// Why the last look found no rest.
    pub(crate) why_not: String,
}

impl Rest {
    /// Looks once; true when the cluster has been quiet for [`REST`].
    pub(crate) async fn look(&mut self, run: &Run, cluster: &str) -> bool {
        let statuses = match healthy(run, cluster).await {
            Ok(statuses) => statuses,
            Err(why) => return self.disturbed(why),
        };
        if let Some(busy) = statuses.iter().find(|status| status.requests + status.background > 0) {
            return self.disturbed(format!(
                "{} has {} requests and {} other things under way",
                busy.node, busy.requests, busy.background
            ));
        }
        let counters: Vec<_> = statuses.into_iter().map(|status| work(status.counters)).collect();
        match &self.quiet {
            Some((before, since)) if *before == counters => {
                self.why_not = format!(
                    "quiet only since {}",
                    crate::language::units::show(run.since_start(*since))
                );
                run.now().since(*since) >= REST
            }
            _ => {
                self.quiet = Some((counters, run.now()));
                false
            }
        }
    }

    fn disturbed(&mut self, why: String) -> bool {
        self.quiet = None;
        self.why_not = why;
        false
    }
}

/// The counters of work; those of datagrams count beacons and strangers too.
fn work(mut counters: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    counters.retain(|name, _| !name.starts_with("datagrams"));
    counters
}
