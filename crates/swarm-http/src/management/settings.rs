//! The resources under `/api/storage/clusters`: the settings of the cluster, and changing those that may be changed while it
//! runs.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};
use swarm_node::{ChangeError, Node, SettingSource, SettingStatus};

use super::storage::{Answer, SELF, administrators_only, hal, link, no_such_resource};
use crate::status::ManagementFault;

const CLUSTERS: &str = "/api/storage/clusters";

/// What a setting is to be: text, a number, or true or false.
#[derive(Debug, Deserialize)]
struct Change {
    value: Value,
}

pub(super) fn router() -> Router<Node> {
    Router::new()
        .route(CLUSTERS, get(clusters))
        .route("/api/storage/clusters/{cluster}", get(cluster))
        .route("/api/storage/clusters/{cluster}/settings", get(settings))
        .route("/api/storage/clusters/{cluster}/settings/{name}", get(setting).put(change))
}

async fn clusters(State(node): State<Node>) -> Response {
    hal(&json!({
        "_links": { "self": link(CLUSTERS) },
        "count": 1,
        "_embedded": { "clusters": [cluster_json(&node)] },
    }))
}

async fn cluster(State(node): State<Node>, Path(cluster): Path<String>) -> Answer {
    own_only(&node, &cluster)?;
    Ok(hal(&cluster_json(&node)))
}

async fn settings(State(node): State<Node>, Path(cluster): Path<String>) -> Answer {
    own_only(&node, &cluster)?;
    let path = format!("{}/settings", path_of(&node));
    let all: Vec<Value> =
        node.setting_values().iter().map(|setting| setting_json(&path, setting)).collect();
    Ok(hal(&json!({
        "_links": { "self": link(&path), "up": link(&path_of(&node)) },
        "count": all.len(),
        "_embedded": { "settings": all },
    })))
}

async fn setting(
    State(node): State<Node>,
    Path((cluster, name)): Path<(String, String)>,
) -> Answer {
    own_only(&node, &cluster)?;
    show(&node, &name)
}

async fn change(
    State(node): State<Node>,
    Path((cluster, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    administrators_only(&node, &headers)?;
    own_only(&node, &cluster)?;
    let change: Change = serde_json::from_slice(&body)
        .map_err(|error| ManagementFault::BadBody(format!("The body makes no sense: {error}.")))?;
    let value = text_of(&change.value).ok_or_else(|| {
        let what = "A value is text, a number, or true or false.";
        ManagementFault::BadValue(what.to_owned())
    })?;
    match node.change_setting(&name, &value) {
        Ok(()) => show(&node, &name),
        Err(ChangeError::Unknown) => Err(no_such_resource()),
        Err(error @ ChangeError::Static) => Err(ManagementFault::Conflict(error.to_string())),
        Err(ChangeError::Value(error)) => Err(ManagementFault::BadValue(error.to_string())),
    }
}

fn show(node: &Node, name: &str) -> Answer {
    let path = format!("{}/settings", path_of(node));
    let all = node.setting_values();
    let found = all.iter().find(|setting| setting.name == name).ok_or_else(no_such_resource)?;
    Ok(hal(&setting_json(&path, found)))
}

pub(super) fn own_only(node: &Node, cluster: &str) -> Result<(), ManagementFault> {
    let own = cluster == SELF || cluster == node.config().cluster.as_str();
    if own { Ok(()) } else { Err(no_such_resource()) }
}

pub(super) fn path_of(node: &Node) -> String {
    format!("{CLUSTERS}/{}", node.config().cluster)
}

fn cluster_json(node: &Node) -> Value {
    let path = path_of(node);
    json!({
        "_links": {
            "self": link(&path),
            "settings": link(&format!("{path}/settings")),
            "feeds": link(&format!("{path}/feeds")),
        },
        "name": node.config().cluster.as_str(),
    })
}

fn setting_json(path: &str, setting: &SettingStatus) -> Value {
    let source = match setting.source {
        SettingSource::Cluster => "cluster",
        SettingSource::Node => "node",
        SettingSource::Default => "default",
    };
    json!({
        "_links": {
            "self": link(&format!("{path}/{}", setting.name)),
            "up": link(path),
        },
        "name": setting.name,
        "value": setting.value.as_deref().map(value_of),
        "default": setting.default.map(value_of),
        "dynamic": setting.dynamic,
        "source": source,
        "purpose": setting.purpose,
    })
}

/// A value as the client wrote it, as settings are written in files.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(if *yes { "True" } else { "False" }.to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The other way round.
fn value_of(text: &str) -> Value {
    match text {
        "True" => true.into(),
        "False" => false.into(),
        text => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
    }
}
