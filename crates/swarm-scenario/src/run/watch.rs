//! Watches clusters from outside, through their management ports: healthy, at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use swarm_client::Request;
use swarm_cluster::{Life, NodeRef};
use swarm_types::Instant;

use super::{Kind, Run, faults, feeds, lock, tally};
use crate::language::units;
use crate::oracle::protected::ROOM_FACTOR;

/// How often a condition is looked at while somebody waits for it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often is looked while waiting for rest, which takes whole health cycles.
const REST_LOOK_EVERY: Duration = Duration::from_secs(60);
/// Connections have had time to end.
const REST: Duration = Duration::from_secs(600);
/// So many whole cycles in a row without an action are rest.
const QUIET_CYCLES: u64 = 2;
/// In real time nobody waits for health cycles: quiet for so long is rest.
const LIVE_REST: Duration = Duration::from_secs(5);
/// A retire needs room for two replicas of everything elsewhere, and waits for capacity where there is none (Managing Chassis
/// and Drives).
const RETIRE_NEEDS: usize = 2;
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
    health: Health,
    #[serde(default)]
    pub(crate) feeds: Vec<FeedStatus>,
}

/// How a feed stands on a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct FeedStatus {
    pub(crate) id: u64,
    pub(crate) state: String,
    /// Streams that the feed has not come to an end with there.
    pub(crate) pending: u64,
    /// Version of the definitions that the node works by.
    pub(crate) table: String,
}

/// What a node tells of its health processor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Health {
    actions: u64,
    recoveries: Vec<String>,
    counters: BTreeMap<String, u64>,
}

/// How far the health processor is with a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Walks {
    cycles: u64,
    quiet_cycles: u64,
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
    /// Absent where nothing is walked.
    health: Option<Walks>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Member {
    node: String,
    state: String,
}

impl Status {
    /// True if the node has nothing that stays: it sends clients away by decision.
    pub(crate) fn is_leaving(&self) -> bool {
        let leaves =
            |volume: &VolumeStatus| matches!(volume.state.as_str(), "retiring" | "retired");
        self.volumes.iter().any(leaves)
            && self.volumes.iter().all(|volume| leaves(volume) || volume.state == "unavailable")
    }

    /// True if some volume here takes what is new.
    pub(crate) fn takes(&self) -> bool {
        self.volumes.iter().any(|volume| volume.state == "ok")
    }

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
    let sent = run.now();
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
    let status: Status = serde_json::from_slice(&body)
        .map_err(|error| format!("tells a status that cannot be read ({error})"))?;
    let copies = status.health.counters.get(tally::COPIES).copied().unwrap_or(0);
    lock(&run.tally).told(node, sent, run.now(), copies);
    Ok(status)
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
    well_but(run, cluster, None).await
}

/// The statuses of all nodes of a cluster, if it is healthy; at rest it may be so but for volumes on disks that are broken for
/// good, and nodes that are retired have nothing left to do.
async fn well_but(
    run: &Run,
    cluster: &str,
    broken: Option<&BTreeSet<String>>,
) -> Result<Vec<Status>, String> {
    let nodes = run.world.nodes(cluster);
    let mut statuses = Vec::with_capacity(nodes.len());
    for node in &nodes {
        statuses.push(status(run, node).await.map_err(|why| format!("{node} {why}"))?);
    }
    let room = lock(&run.ledger).largest_body().saturating_mul(ROOM_FACTOR);
    judge_health(&nodes, &statuses, broken, room)?;
    Ok(statuses)
}

/// What is not well about a cluster whose nodes tell this of themselves and of each other.
fn judge_health(
    nodes: &[NodeRef],
    statuses: &[Status],
    broken: Option<&BTreeSet<String>>,
    room: u64,
) -> Result<(), String> {
    for (node, status) in nodes.iter().zip(statuses) {
        let is_broken =
            |volume: &VolumeStatus| broken.is_some_and(|broken| broken.contains(&volume.disk));
        let is_lost = |volume: &VolumeStatus| volume.state == "unavailable" && is_broken(volume);
        let waits = |volume: &VolumeStatus| {
            volume.state == "retiring" && is_broken(volume) && has_nowhere_to_go(statuses, room)
        };
        let excused = match status.state.as_str() {
            "error" => status.volumes.iter().any(is_lost),
            "retired" => broken.is_some(),
            "retiring" => status.volumes.iter().any(waits),
            _ => false,
        };
        if !is_well(&status.state) && !excused {
            return Err(format!("{node} is {}", status.state));
        }
        let well = |volume: &VolumeStatus| {
            matches!(volume.state.as_str(), "ok" | "retired") || is_lost(volume) || waits(volume)
        };
        if let Some(volume) = status.volumes.iter().find(|volume| !well(volume)) {
            let problem =
                volume.problem.as_deref().map(|problem| format!(": {problem}")).unwrap_or_default();
            return Err(format!("volume {} of {node} is {}{problem}", volume.disk, volume.state));
        }
    }
    for (node, status) in nodes.iter().zip(statuses) {
        for (other, name) in nodes.iter().zip(statuses).filter(|(other, _)| *other != node) {
            let known = status.members.iter().find(|member| member.node == name.node);
            if known.is_none_or(|member| !is_well(&member.state) && member.state != name.state) {
                let as_what = known.map_or("not at all", |member| member.state.as_str());
                return Err(format!("{node} knows {other} as {as_what}"));
            }
        }
    }
    Ok(())
}

/// True if fewer nodes than [`RETIRE_NEEDS`], its own among them, have a volume with so much room that it could take anything
/// that lies on a volume that retires: it waits for capacity, however long that takes.
fn has_nowhere_to_go(statuses: &[Status], room: u64) -> bool {
    let takes = |status: &&Status| {
        status.volumes.iter().any(|volume| volume.state == "ok" && volume.free >= room)
    };
    statuses.iter().filter(takes).count() < RETIRE_NEEDS
}

/// Waits until a cluster is healthy; gives up when the run is to end.
pub(crate) async fn until_healthy(run: &Run, cluster: &str) {
    while healthy(run, cluster).await.is_err() && !run.is_over() {
        run.pause(LOOK_EVERY).await;
    }
}

impl Run {
    /// How often it is looked whether the clusters are at rest.
    pub(crate) const fn rest_look_every(&self) -> Duration {
        match self.kind {
            Kind::Simulated => REST_LOOK_EVERY,
            Kind::Live => LOOK_EVERY,
        }
    }
}

/// Waits until a cluster is at rest.
pub(crate) async fn until_at_rest(run: &Arc<Run>, cluster: &str) {
    let mut rest = Rest::default();
    while !rest.look(run, cluster).await {
        run.pause(run.rest_look_every()).await;
    }
}

/// Rest as seen so far: healthy, no request and no recovery under way, nothing left to do for its feeds, and [`QUIET_CYCLES`] whole health cycles in a row
/// on every volume, begun since it was first seen to be healthy, during which no node took an action.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    quiet: Option<Quiet>,
    /// Why the last look found no rest.
    pub(crate) why_not: String,
}

/// Since when nothing has happened.
#[derive(Debug)]
struct Quiet {
    since: Instant,
    /// Actions of all nodes so far.
    actions: u64,
    /// The cycles that each volume had completed by then, by disk.
    cycles: BTreeMap<String, u64>,
}

impl Rest {
    /// Looks once; true when the cluster is at rest.
    pub(crate) async fn look(&mut self, run: &Run, cluster: &str) -> bool {
        let statuses = well_but(run, cluster, Some(&faults::broken_for_good(run)))
            .await
            .inspect_err(|_| self.quiet = None);
        let feeds = feeds::at_rest(run, cluster).await.inspect_err(|_| self.quiet = None);
        match feeds.and(statuses).and_then(|statuses| self.judge(run, &statuses)) {
            Ok(()) => true,
            Err(why) => {
                self.why_not = why;
                false
            }
        }
    }

    fn judge(&mut self, run: &Run, statuses: &[Status]) -> Result<(), String> {
        for status in statuses {
            let node = &status.node;
            if status.requests > 0 {
                self.quiet = None;
                return Err(format!("{node} has {} requests under way", status.requests));
            }
            if let Some(volume) = status.health.recoveries.first() {
                self.quiet = None;
                return Err(format!("{node} is recovering volume {volume}"));
            }
        }
        let actions = statuses.iter().map(|status| status.health.actions).sum();
        let walks = || {
            let volumes = statuses.iter().flat_map(|status| &status.volumes);
            volumes.filter_map(|volume| Some((&volume.disk, volume.health?)))
        };
        let quiet = match self.quiet.take() {
            Some(quiet) if quiet.actions == actions => quiet,
            _ => {
                let cycles = walks().map(|(disk, walks)| (disk.clone(), walks.cycles)).collect();
                Quiet { since: run.now(), actions, cycles }
            }
        };
        if run.kind == Kind::Live {
            let since = run.now().since(quiet.since);
            self.quiet = Some(quiet);
            return if since >= LIVE_REST {
                Ok(())
            } else {
                Err("quiet for some seconds only".to_owned())
            };
        }
        // Where nothing is walked, as much time must pass as if something were.
        if run.now().since(quiet.since) < REST {
            self.quiet = Some(quiet);
            return Err(format!("quiet for less than {}", units::show(REST)));
        }
        let missing = walks().find_map(|(disk, walks)| {
            let seen = quiet_seen(quiet.cycles.get(disk).copied(), walks);
            (seen < QUIET_CYCLES).then(|| {
                format!("{seen} quiet health cycles of {QUIET_CYCLES} so far on disk {disk}")
            })
        });
        self.quiet = Some(quiet);
        missing.map_or(Ok(()), Err)
    }
}

/// How many whole quiet cycles a volume has had since it had completed so many; since its first one where it was not walked
/// yet.
fn quiet_seen(before: Option<u64>, walks: Walks) -> u64 {
    // The cycle that was under way at first does not count.
    let whole = before.map_or(walks.cycles, |before| walks.cycles.saturating_sub(before + 1));
    whole.min(walks.quiet_cycles)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u64 = 1000;

    /// What a node tells that has one volume in this state, and knows all others as they are.
    fn told(number: usize, states: &[&str]) -> Status {
        let name = |number: usize| format!("node {number}");
        // A node with one volume goes by its state.
        let of_node = |state: &str| match state {
            "unavailable" => "error".to_owned(),
            state => state.replace("full", "ok"),
        };
        let members = states
            .iter()
            .enumerate()
            .map(|(other, state)| Member { node: name(other), state: of_node(state) });
        let volume = VolumeStatus {
            disk: format!("main/{}/1", number + 1),
            state: states[number].replace("full", "ok"),
            problem: None,
            capacity: 2 * ROOM,
            used: ROOM,
            free: if states[number] == "full" { ROOM - 1 } else { ROOM },
            trapped: 0,
            streams: 0,
            health: None,
        };
        Status {
            node: name(number),
            state: of_node(states[number]),
            volumes: vec![volume],
            members: members.collect(),
            requests: 0,
            feeds: Vec::new(),
            health: Health { actions: 0, recoveries: Vec::new(), counters: BTreeMap::new() },
        }
    }

    /// What keeps a cluster from being well whose volumes are in these states, those on the disks of `broken` after errors.
    fn unwell(states: &[&str], broken: Option<&[u32]>) -> Option<String> {
        let node = |number: usize| NodeRef { cluster: "main".to_owned(), node: number as u32 + 1 };
        let nodes: Vec<NodeRef> = (0..states.len()).map(node).collect();
        let statuses: Vec<Status> = (0..states.len()).map(|number| told(number, states)).collect();
        let disk = |node: &u32| format!("main/{node}/1");
        let broken: Option<BTreeSet<String>> = broken.map(|nodes| nodes.iter().map(disk).collect());
        judge_health(&nodes, &statuses, broken.as_ref(), ROOM).err()
    }

    #[test]
    fn a_volume_that_retires_after_errors_with_nowhere_to_go_may_wait_at_rest_and_no_other() {
        let (all, one_left) = (["retiring"; 3], ["retiring", "retiring", "ok"]);
        assert_eq!(unwell(&all, Some(&[1, 2, 3])), None, "there is no place at all");
        assert_eq!(unwell(&one_left, Some(&[1, 2])), None, "one place is not enough for two");
        assert_eq!(unwell(&["retiring", "ok", "full"], Some(&[1])), None, "it has no room");
        let two_left = unwell(&["retiring", "ok", "ok"], Some(&[1]));
        assert_eq!(two_left.as_deref(), Some("main/1 is retiring"), "it could be emptied");
        let ordered = unwell(&one_left, Some(&[1]));
        assert_eq!(
            ordered.as_deref(),
            Some("main/2 is retiring"),
            "nothing is wrong with its disk"
        );
        let now = unwell(&all, None);
        assert_eq!(
            now.as_deref(),
            Some("main/1 is retiring"),
            "at rest it may be, healthy it is not"
        );
    }

    #[test]
    fn a_volume_that_appears_in_quiet_times_must_be_walked_too() {
        let walks = |cycles, quiet_cycles| Walks { cycles, quiet_cycles };
        assert_eq!(quiet_seen(None, walks(0, 0)), 0);
        assert_eq!(quiet_seen(None, walks(2, 2)), 2);
        assert_eq!(quiet_seen(Some(7), walks(8, 8)), 0, "that one was under way");
        assert_eq!(quiet_seen(Some(7), walks(10, 1)), 1);
        assert_eq!(quiet_seen(Some(7), walks(3, 3)), 0, "it was counted anew");
    }
}
