//! What steps ask of the clusters' administration: volumes retired or mounted, settings changed, recovery held.
//!
//! All of it goes over the management port, as an operator's tools do it. What a node refuses is told like an answer that
//! was not as expected: the clusters may be at fault.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use swarm_client::Request;
use swarm_cluster::{DiskRef, Life, NodeRef};

use super::setup::admin;
use super::{Run, faults, lock};
use crate::language::model::{RECOVERY_SUSPENDED, Retire, Verb};
use crate::language::tell::listed;
use crate::wire;

const PATIENCE: Duration = Duration::from_secs(30);
/// A node that does not answer is asked again: it may just be starting.
const TRIES: u32 = 3;
const TRY_AGAIN: Duration = Duration::from_secs(2);
const ANSWER_MAX: usize = 64 * 1024;
const OWN_NODE: &str = "/api/storage/nodes/_self";
const OWN_VOLUMES: &str = "/api/storage/nodes/_self/volumes";

/// What is asked of volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VolumeOrder {
    Retire(Retire),
    MountStale,
}

impl fmt::Display for VolumeOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retire(Retire::Slow | Retire::Fast) => "retire",
            Self::Retire(Retire::Cancel) => "cancel-retire",
            Self::MountStale => "mount-stale",
        })
    }
}

fn body(order: VolumeOrder) -> Value {
    match order {
        VolumeOrder::Retire(Retire::Slow) => json!({ "action": "retire", "pace": "slow" }),
        VolumeOrder::Retire(Retire::Fast) => json!({ "action": "retire", "pace": "fast" }),
        VolumeOrder::Retire(Retire::Cancel) => json!({ "action": "cancelRetire" }),
        VolumeOrder::MountStale => json!({ "action": "mountStale" }),
    }
}

/// Asks something of volumes: all of these nodes for which it makes sense, and those on these disks. Returns the line of the
/// account, whose effects are the volumes that are in another state afterwards.
pub(crate) async fn order(
    run: &Arc<Run>,
    step: usize,
    nodes: &[NodeRef],
    disks: &[DiskRef],
    what: VolumeOrder,
) -> usize {
    let whose = if disks.is_empty() { listed(nodes) } else { listed(disks) };
    let line = faults::begin(run, step, format!("{what} {whose}"));
    ask_volumes(run, step, line, nodes, disks, what).await;
    if what != VolumeOrder::Retire(Retire::Slow) && what != VolumeOrder::Retire(Retire::Fast) {
        faults::undone(run, line);
    }
    line
}

/// Volumes are not emptied any more: undoes the order of this line.
pub(crate) async fn call_off(
    run: &Arc<Run>,
    step: usize,
    line: usize,
    nodes: &[NodeRef],
    disks: &[DiskRef],
) {
    ask_volumes(run, step, line, nodes, disks, VolumeOrder::Retire(Retire::Cancel)).await;
    faults::undone(run, line);
}

async fn ask_volumes(
    run: &Arc<Run>,
    step: usize,
    line: usize,
    nodes: &[NodeRef],
    disks: &[DiskRef],
    what: VolumeOrder,
) {
    let of_nodes = nodes.iter().map(|node| (node.clone(), OWN_NODE.to_owned()));
    let of_disks = disks.iter().map(|disk| {
        let node = run.world.plugged_into(disk).unwrap_or_else(|| disk.node.clone());
        (node, path_of(disk))
    });
    for (node, path) in of_nodes.chain(of_disks) {
        let before = volume_states(run, &node).await;
        let answered = ask(run, &node, "PATCH", path, Some(&body(what))).await;
        let after = volume_states(run, &node).await;
        if answered.is_ok() {
            let changed = after.iter().filter(|(disk, state)| before.get(*disk) != Some(state));
            faults::changed(run, line, changed.count() as u64);
            if what == VolumeOrder::MountStale {
                let taken =
                    |disk: &str| after.get(disk).is_some_and(|state| state != "unavailable");
                faults::losses::accepted(run, taken);
            }
        }
        note(run, step, answered);
    }
}

fn path_of(disk: &DiskRef) -> String {
    format!("{OWN_VOLUMES}/{}", wire::encode(&disk.to_string()))
}

/// True if this node refuses the volume on a disk because it was away for too long.
pub(crate) async fn is_stale(run: &Arc<Run>, node: &NodeRef, disk: &DiskRef) -> bool {
    let told = ask(run, node, "GET", path_of(disk), None).await;
    told.is_ok_and(|volume| volume["stale"] == true)
}

/// The states of a node's volumes by their disks; empty where it does not tell.
async fn volume_states(run: &Arc<Run>, node: &NodeRef) -> BTreeMap<String, String> {
    let answered = ask(run, node, "GET", OWN_VOLUMES.to_owned(), None).await.unwrap_or_default();
    let volumes = answered["_embedded"]["volumes"].as_array().cloned().unwrap_or_default();
    let text = |volume: &Value, key: &str| volume[key].as_str().unwrap_or_default().to_owned();
    volumes.iter().map(|volume| (text(volume, "disk"), text(volume, "state"))).collect()
}

/// Changes a setting of a cluster, through the first of its nodes that runs. Returns the line of the account.
pub(crate) async fn set(
    run: &Arc<Run>,
    step: usize,
    cluster: &str,
    setting: &str,
    value: &str,
) -> usize {
    let line = faults::begin(run, step, format!("set {setting} = {value} of {cluster}"));
    set_again(run, step, line, cluster, setting, value).await;
    line
}

/// Changes a setting of a cluster as part of what this line of the account stands for.
pub(crate) async fn set_again(
    run: &Arc<Run>,
    step: usize,
    line: usize,
    cluster: &str,
    setting: &str,
    value: &str,
) {
    let Some(node) = &spokesman(run, cluster) else { return };
    let path = format!("/api/storage/clusters/_self/settings/{}", wire::encode(setting));
    let before = ask(run, node, "GET", path.clone(), None).await;
    let answered = ask(run, node, "PUT", path, Some(&json!({ "value": value }))).await;
    if let Ok(after) = &answered {
        let differs = before.is_ok_and(|before| before["value"] != after["value"]);
        faults::changed(run, line, u64::from(differs));
        let key = (cluster.to_owned(), setting.to_owned());
        lock(&run.steps).changed.insert(key, value.to_owned());
    }
    note(run, step, answered);
}

/// The node that an administrator speaks to: the first one that runs.
pub(crate) fn spokesman(run: &Run, cluster: &str) -> Option<NodeRef> {
    let nodes = run.world.nodes(cluster);
    let running = nodes.iter().find(|node| run.world.life(node) == Life::Running);
    running.or(nodes.first()).cloned()
}

/// Resumes recovery wherever a step left it suspended.
pub(crate) async fn resume_recovery(run: &Arc<Run>) {
    let suspended: Vec<String> = {
        let state = lock(&run.steps);
        let left = state.changed.iter().filter(|((_, name), value)| {
            name == RECOVERY_SUSPENDED && !value.eq_ignore_ascii_case("false")
        });
        left.map(|((cluster, _), _)| cluster.clone()).collect()
    };
    for cluster in suspended {
        let by = |line: &faults::FaultLine| {
            line.until.is_none()
                && matches!(
                    &run.scenario.steps[line.step].verb,
                    Verb::Set { cluster: of, name, .. } if *of == cluster && name == RECOVERY_SUSPENDED
                )
        };
        let lines: Vec<(usize, usize)> = {
            let state = lock(&run.steps);
            let numbered = state.faults.lines.iter().enumerate();
            numbered
                .filter(|(_, line)| by(line))
                .map(|(number, line)| (number, line.step))
                .collect()
        };
        if let Some((line, step)) = lines.last() {
            set_again(run, *step, *line, &cluster, RECOVERY_SUSPENDED, "False").await;
        }
        lines.iter().for_each(|(line, _)| faults::undone(run, *line));
    }
}

/// Asks a node something. Returns the body of the answer.
///
/// # Errors
/// As [`ask_any`].
pub(crate) async fn ask(
    run: &Run,
    node: &NodeRef,
    method: &str,
    path: String,
    body: Option<&Value>,
) -> Result<Value, String> {
    ask_any(run, std::slice::from_ref(node), method, path, body).await
}

/// Asks something of a cluster: the node that an administrator speaks to, and others that run where that one cannot do it.
///
/// # Errors
/// As [`ask_any`].
pub(crate) async fn ask_cluster(
    run: &Run,
    cluster: &str,
    method: &str,
    path: String,
    body: Option<&Value>,
) -> Result<Value, String> {
    let mut nodes = run.world.nodes(cluster);
    nodes.sort_by_key(|node| run.world.life(node) != Life::Running);
    ask_any(run, &nodes, method, path, body).await
}

/// Sends one request of an administrator, to one node after the other. Returns the body of the answer.
///
/// # Errors
/// What came instead of success, as a sentence.
async fn ask_any(
    run: &Run,
    nodes: &[NodeRef],
    method: &str,
    path: String,
    body: Option<&Value>,
) -> Result<Value, String> {
    let text = body.map(Value::to_string).unwrap_or_default();
    let mut left = TRIES;
    let mut turns = nodes.iter().cycle();
    loop {
        let node = turns.next().ok_or("the cluster has no node")?;
        left -= 1;
        let mut request = Request::new(run.world.management(node), method.to_owned(), path.clone())
            .patience(PATIENCE);
        if body.is_some() {
            request =
                request.header("Content-Type", "application/json").body(Bytes::from(text.clone()));
        }
        let answered = run.management.send(request.auth(admin())).await;
        let why = match answered {
            Ok(mut response) => {
                let said = response.body.collect(ANSWER_MAX).await.unwrap_or_default();
                if (200..300).contains(&response.status) {
                    return Ok(serde_json::from_slice(&said).unwrap_or_default());
                }
                let said = String::from_utf8_lossy(&said).trim().to_owned();
                let why = format!(
                    "{node} answered {} to {method} {path} {text}: {said}",
                    response.status
                );
                // A refusal is an answer; only a node that cannot is asked again.
                if response.status < 500 {
                    return Err(why);
                }
                why
            }
            Err(error) => format!("{node} does not answer {method} {path} ({})", error.kind),
        };
        if left == 0 {
            return Err(why);
        }
        run.env().sleep(TRY_AGAIN).await;
    }
}

/// Notes that an order of a step was not carried out.
pub(crate) fn note(run: &Run, step: usize, answered: Result<Value, String>) {
    if let Err(why) = answered {
        let at = run.since_start(run.now());
        lock(&run.steps).unexpected.push((step, at, why));
    }
}
