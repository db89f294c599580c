//! What steps ask of the clusters' administration: volumes retired or mounted, settings changed, recovery held.
//!
//! All of it goes over the management port, as an operator's tools do it. What a node refuses is told like an answer that
//! was not as expected: the clusters may be at fault.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use swarm_client::Request;
use swarm_cluster::{DiskRef, Life, NodeRef};

use super::{Run, lock};
use crate::language::model::Retire;
use crate::wire;

/// The administrator that every node knows from the start (Defining Swarm Admins and Users).
const ADMIN: (&str, &str) = ("admin", "ourpwdofchoicehere");
const PATIENCE: Duration = Duration::from_secs(30);
/// A node that does not answer is asked again: it may just be starting.
const TRIES: u32 = 3;
const TRY_AGAIN: Duration = Duration::from_secs(2);
const ANSWER_MAX: usize = 64 * 1024;

/// What is asked of volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VolumeOrder {
    Retire(Retire),
    MountStale,
}

fn body(order: VolumeOrder) -> Value {
    match order {
        VolumeOrder::Retire(Retire::Slow) => json!({ "action": "retire", "pace": "slow" }),
        VolumeOrder::Retire(Retire::Fast) => json!({ "action": "retire", "pace": "fast" }),
        VolumeOrder::Retire(Retire::Cancel) => json!({ "action": "cancelRetire" }),
        VolumeOrder::MountStale => json!({ "action": "mountStale" }),
    }
}

/// Asks something of all volumes of nodes for which it makes sense.
pub(crate) async fn order_nodes(run: &Arc<Run>, step: usize, nodes: &[NodeRef], what: VolumeOrder) {
    for node in nodes {
        let path = "/api/storage/nodes/_self".to_owned();
        let answered = ask(run, node, "PATCH", path, &body(what)).await;
        note(run, step, answered);
    }
}

/// Asks something of volumes.
pub(crate) async fn order_disks(run: &Arc<Run>, step: usize, disks: &[DiskRef], what: VolumeOrder) {
    for disk in disks {
        let node = run.world.plugged_into(disk).unwrap_or_else(|| disk.node.clone());
        let path = format!("/api/storage/nodes/_self/volumes/{}", wire::encode(&disk.to_string()));
        let answered = ask(run, &node, "PATCH", path, &body(what)).await;
        note(run, step, answered);
    }
}

/// Changes a setting of a cluster, through the first of its nodes that runs.
pub(crate) async fn set(run: &Arc<Run>, step: usize, cluster: &str, setting: &str, value: &str) {
    let nodes = run.world.nodes(cluster);
    let running = nodes.iter().find(|node| run.world.life(node) == Life::Running);
    let Some(node) = running.or(nodes.first()) else { return };
    let path = format!("/api/storage/clusters/_self/settings/{}", wire::encode(setting));
    let answered = ask(run, node, "PUT", path, &json!({ "value": value })).await;
    if answered.is_ok() {
        let key = (cluster.to_owned(), setting.to_owned());
        lock(&run.steps).changed.insert(key, value.to_owned());
    }
    note(run, step, answered);
}

/// Sends one request of an administrator.
///
/// # Errors
/// What came instead of 200, as a sentence.
async fn ask(
    run: &Arc<Run>,
    node: &NodeRef,
    method: &str,
    path: String,
    body: &Value,
) -> Result<(), String> {
    let text = body.to_string();
    let mut left = TRIES;
    loop {
        left -= 1;
        let request = Request::new(run.world.management(node), method.to_owned(), path.clone())
            .patience(PATIENCE)
            .header("Content-Type", "application/json")
            .body(Bytes::from(text.clone()));
        let request = Request { auth: Some((ADMIN.0.to_owned(), ADMIN.1.to_owned())), ..request };
        let answered = run.management.send(request).await;
        let why = match answered {
            Ok(response) if response.status == 200 => return Ok(()),
            Ok(mut response) => {
                let said = response.body.collect(ANSWER_MAX).await.unwrap_or_default();
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

fn note(run: &Run, step: usize, answered: Result<(), String>) {
    if let Err(why) = answered {
        let at = run.since_start(run.now());
        lock(&run.steps).unexpected.push((step, at, why));
    }
}
