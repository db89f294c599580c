//! The resources under `/api/storage`: nodes and their volumes, and what an administrator does with them.
//!
//! Owns their shapes, in HAL (KB on the management API names some of the paths; the rest is our choice). A node tells of
//! the others only what it has heard; whoever wants more, or something done, asks the node itself. Looking is free, as on
//! the rest of this port; changing anything needs an administrator.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};
use swarm_node::{
    MemberStatus, MountStaleError, Node, NodeState, NodeStatus, RetireError, RetirePace,
    VolumeState, VolumeStatus,
};
use swarm_types::{DiskId, VolumeId};

use crate::auth;
use crate::status::ManagementFault;

/// What an administrator may say at most, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// The name under which a node knows itself.
pub(super) const SELF: &str = "_self";
const NODES: &str = "/api/storage/nodes";

pub(super) type Answer = Result<Response, ManagementFault>;

/// What is to be done.
#[derive(Debug, Deserialize)]
struct Order {
    action: String,
    /// Of a retire: `slow`, which is the default, or `fast`.
    pace: Option<String>,
}

/// What can be done with a volume, or with all volumes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Retire(RetirePace),
    CancelRetire,
    MountStale,
}

impl Action {
    /// Whether it makes sense for a volume, so that it is meant where all volumes of a node are.
    fn is_meant_for(self, volume: &VolumeStatus) -> bool {
        match self {
            Self::Retire(_) => volume.state == VolumeState::Ok,
            Self::CancelRetire => volume.state == VolumeState::Retiring,
            Self::MountStale => volume.stale,
        }
    }
}

pub(super) fn router() -> Router<Node> {
    Router::new()
        .route("/api/storage", get(storage))
        .route(NODES, get(nodes))
        .route("/api/storage/nodes/{node}", get(node).patch(change_node))
        .route("/api/storage/nodes/{node}/volumes", get(volumes))
        .route("/api/storage/nodes/{node}/volumes/{volume}", get(volume).patch(change_volume))
        .merge(super::settings::router())
        .merge(super::feeds::router())
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

async fn storage() -> Response {
    hal(&json!({ "_links": {
        "self": link("/api/storage"),
        "clusters": link("/api/storage/clusters"),
        "nodes": link(NODES),
    } }))
}

async fn nodes(State(node): State<Node>) -> Response {
    let own = own_node(&node.status());
    let mut all: Vec<Value> = node.members().iter().map(other_node).collect();
    all.push(own);
    all.sort_by_key(|node| node["id"].as_str().map(str::to_owned));
    hal(&json!({
        "_links": { "self": link(NODES) },
        "count": all.len(),
        "_embedded": { "nodes": all },
    }))
}

async fn node(State(node): State<Node>, Path(id): Path<String>) -> Answer {
    if is_own(&node, &id) {
        return Ok(hal(&own_node(&node.status())));
    }
    let members = node.members();
    let known = members.iter().find(|member| member.node.to_string() == id);
    known.map(|member| hal(&other_node(member))).ok_or_else(no_such_resource)
}

async fn volumes(State(node): State<Node>, Path(id): Path<String>) -> Answer {
    own_only(&node, &id)?;
    let status = node.status();
    let path = format!("{NODES}/{}/volumes", status.id);
    let all: Vec<Value> =
        status.volumes.iter().map(|volume| volume_json(&status, volume)).collect();
    Ok(hal(&json!({
        "_links": { "self": link(&path), "up": link(&format!("{NODES}/{}", status.id)) },
        "count": all.len(),
        "_embedded": { "volumes": all },
    })))
}

async fn volume(State(node): State<Node>, Path((id, volume)): Path<(String, String)>) -> Answer {
    own_only(&node, &id)?;
    show_volume(&node, &volume)
}

async fn change_node(
    State(node): State<Node>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let action = allowed(&node, &headers, &body)?;
    own_only(&node, &id)?;
    // All or none as far as can be foreseen: what does not work cannot be marked.
    for volume in node.status().volumes.iter().filter(|volume| action.is_meant_for(volume)) {
        carry_out(&node, volume, action).await?;
    }
    Ok(hal(&own_node(&node.status())))
}

async fn change_volume(
    State(node): State<Node>,
    Path((id, volume)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let action = allowed(&node, &headers, &body)?;
    own_only(&node, &id)?;
    let status = node.status();
    carry_out(&node, find(&status, &volume).ok_or_else(no_such_resource)?, action).await?;
    show_volume(&node, &volume)
}

async fn carry_out(
    node: &Node,
    volume: &VolumeStatus,
    action: Action,
) -> Result<(), ManagementFault> {
    // In a task of its own: whoever hangs up now cannot leave half of it.
    let (env, worker) = (node.env().clone(), node.clone());
    let (id, disk) = (volume.id, DiskId::from(volume.disk.as_str()));
    let work = env.spawn("volume order", async move {
        match action {
            Action::Retire(pace) => worker.retire(mounted(id)?, pace).await?,
            Action::CancelRetire => worker.cancel_retire(mounted(id)?).await?,
            Action::MountStale => worker.mount_stale(&disk).await?,
        };
        Ok(())
    });
    work.join().await.unwrap_or_else(|| {
        let why = "the node is stopping".to_owned();
        Err(ManagementFault::Unavailable(why))
    })
}

fn mounted(id: Option<VolumeId>) -> Result<VolumeId, ManagementFault> {
    id.ok_or_else(no_such_resource)
}

impl From<RetireError> for ManagementFault {
    fn from(error: RetireError) -> Self {
        match error {
            RetireError::NoSuchVolume => no_such_resource(),
            RetireError::State(_) | RetireError::Failing => Self::Conflict(error.to_string()),
            RetireError::Disk(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<MountStaleError> for ManagementFault {
    fn from(error: MountStaleError) -> Self {
        match error {
            MountStaleError::NoSuchVolume => no_such_resource(),
            MountStaleError::NotStale(_) => Self::Conflict(error.to_string()),
            MountStaleError::Refused(_) => Self::Unavailable(error.to_string()),
        }
    }
}

/// Lets administrators pass.
pub(super) fn administrators_only(node: &Node, headers: &HeaderMap) -> Result<(), ManagementFault> {
    let credentials = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    if auth::administrator(credentials, &node.settings().administrators).is_none() {
        return Err(ManagementFault::Unauthorized);
    }
    Ok(())
}

/// What an administrator wants, if it is one.
fn allowed(node: &Node, headers: &HeaderMap, body: &[u8]) -> Result<Action, ManagementFault> {
    administrators_only(node, headers)?;
    let order: Order = serde_json::from_slice(body)
        .map_err(|error| ManagementFault::BadBody(format!("The body makes no sense: {error}.")))?;
    match (order.action.as_str(), order.pace.as_deref()) {
        ("retire", None | Some("slow")) => Ok(Action::Retire(RetirePace::Slow)),
        ("retire", Some("fast")) => Ok(Action::Retire(RetirePace::Fast)),
        ("cancelRetire", None) => Ok(Action::CancelRetire),
        ("mountStale", None) => Ok(Action::MountStale),
        _ => {
            let actions = "There is 'retire', with 'pace' 'slow' or 'fast', 'cancelRetire' and \
                           'mountStale'.";
            Err(ManagementFault::BadValue(actions.to_owned()))
        }
    }
}

fn is_own(node: &Node, id: &str) -> bool {
    id == SELF || id == node.id().to_string()
}

fn own_only(node: &Node, id: &str) -> Result<(), ManagementFault> {
    if is_own(node, id) { Ok(()) } else { Err(no_such_resource()) }
}

pub(super) const fn no_such_resource() -> ManagementFault {
    ManagementFault::NoSuchResource
}

fn show_volume(node: &Node, volume: &str) -> Answer {
    let status = node.status();
    let found = find(&status, volume).ok_or_else(no_such_resource)?;
    Ok(hal(&volume_json(&status, found)))
}

/// A volume by its id or by the serial of its disk.
fn find<'a>(status: &'a NodeStatus, name: &str) -> Option<&'a VolumeStatus> {
    let named = |volume: &&VolumeStatus| {
        volume.id.is_some_and(|id| id.to_string() == name) || volume.disk == name
    };
    status.volumes.iter().find(named)
}

fn own_node(status: &NodeStatus) -> Value {
    let mut shown = node_json(&status.id.to_string(), status.state);
    let sum = |of: fn(&VolumeStatus) -> u64| status.volumes.iter().map(of).sum::<u64>();
    const MB: u64 = 1_000_000;
    shown["streams"] = sum(|volume| volume.streams).into();
    shown["usedMB"] = (sum(|volume| volume.used) / MB).into();
    shown["freeMB"] = (sum(|volume| volume.free) / MB).into();
    shown["trappedMB"] = (sum(|volume| volume.trapped) / MB).into();
    shown["capacityMB"] = (sum(|volume| volume.capacity) / MB).into();
    shown["_links"]["volumes"] = link(&format!("{NODES}/{}/volumes", status.id));
    shown
}

fn other_node(member: &MemberStatus) -> Value {
    node_json(&member.node.to_string(), member.state)
}

fn node_json(id: &str, state: NodeState) -> Value {
    json!({
        "_links": { "self": link(&format!("{NODES}/{id}")), "up": link(NODES) },
        "id": id,
        "ip": id,
        "state": state.word(),
    })
}

fn volume_json(status: &NodeStatus, volume: &VolumeStatus) -> Value {
    let up = format!("{NODES}/{}/volumes", status.id);
    let name = volume.id.map_or_else(|| volume.disk.clone(), |id| id.to_string());
    json!({
        "_links": { "self": link(&format!("{up}/{name}")), "up": link(&up) },
        "id": volume.id.map(|id| id.to_string()),
        "disk": volume.disk,
        "state": volume.state.word(),
        "problem": volume.problem,
        "stale": volume.stale,
        "streams": volume.streams,
        "used": volume.used,
        "free": volume.free,
        "trapped": volume.trapped,
        "capacity": volume.capacity,
    })
}

pub(super) fn link(path: &str) -> Value {
    json!({ "href": path })
}

pub(super) fn hal(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/hal+json")], value.to_string()).into_response()
}
