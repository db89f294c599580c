//! The resources under `/api/storage/clusters/<cluster>/feeds`: the definitions of the cluster's feeds, how each of them
//! stands, and what an administrator does with them.
//!
//! Owns their shapes (paths and names are our choice). A password is never shown, but as `***`, which in a change says that
//! it stays. Which definitions are good is `swarm-feeds`' business.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use serde_json::{Value, json};
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::definition::RawFeed;
use swarm_feeds::stats::{ClusterFeed, Counters, Gauges};
use swarm_feeds::table::{Feed, TableError};
use swarm_node::Node;
use swarm_node::feeds::{ChangeFeedsError, FeedChange};
use swarm_types::{FeedId, Timestamp, Version, httpdate};

use super::settings::{own_only, path_of};
use super::storage::{Answer, administrators_only, hal, link, no_such_resource};
use crate::status::{self, ManagementFault};

pub(super) fn router() -> Router<Node> {
    const FEED: &str = "/api/storage/clusters/{cluster}/feeds/{feed}";
    Router::new()
        .route("/api/storage/clusters/{cluster}/feeds", get(feeds).post(create))
        .route(FEED, get(feed).patch(edit).delete(delete))
        .route("/api/storage/clusters/{cluster}/feeds/{feed}/restart", post(restart))
        .route("/api/storage/clusters/{cluster}/feeds/{feed}/refresh", post(refresh))
}

async fn feeds(State(node): State<Node>, Path(cluster): Path<String>) -> Answer {
    own_only(&node, &cluster)?;
    let (table, path) = (node.feeds().table(), path_of(&node));
    let stands = node.feed_statistics().await;
    let all: Vec<Value> =
        table.feeds().map(|feed| feed_json(&node, feed, stands.get(&feed.id))).collect();
    Ok(hal(&json!({
        "_links": { "self": link(&format!("{path}/feeds")), "up": link(&path) },
        "count": all.len(),
        "_embedded": { "feeds": all },
    })))
}

async fn feed(State(node): State<Node>, Path((cluster, feed)): Path<(String, String)>) -> Answer {
    own_only(&node, &cluster)?;
    show(&node, id_of(&feed)?).await
}

async fn create(
    State(node): State<Node>,
    Path(cluster): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    administrators_only(&node, &headers)?;
    own_only(&node, &cluster)?;
    let id = node.change_feeds(FeedChange::Create(definition(&body)?)).await?;
    let path = format!("{}/feeds/{id}", path_of(&node));
    Ok(status::management_created(&path, show(&node, id).await?))
}

async fn edit(
    State(node): State<Node>,
    Path((cluster, feed)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let id = allowed(&node, &headers, &cluster, &feed)?;
    let id = node.change_feeds(FeedChange::Edit(id, definition(&body)?)).await?;
    show(&node, id).await
}

async fn delete(
    State(node): State<Node>,
    Path((cluster, feed)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let id = allowed(&node, &headers, &cluster, &feed)?;
    node.change_feeds(FeedChange::Delete(id)).await?;
    Ok(status::management_done())
}

async fn restart(
    State(node): State<Node>,
    Path((cluster, feed)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let id = allowed(&node, &headers, &cluster, &feed)?;
    show(&node, node.change_feeds(FeedChange::Restart(id)).await?).await
}

async fn refresh(
    State(node): State<Node>,
    Path((cluster, feed)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let id = allowed(&node, &headers, &cluster, &feed)?;
    show(&node, node.change_feeds(FeedChange::Refresh(id)).await?).await
}

/// The feed that an administrator of this cluster names.
fn allowed(
    node: &Node,
    headers: &HeaderMap,
    cluster: &str,
    feed: &str,
) -> Result<FeedId, ManagementFault> {
    administrators_only(node, headers)?;
    own_only(node, cluster)?;
    id_of(feed)
}

fn id_of(text: &str) -> Result<FeedId, ManagementFault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(FeedId).ok_or_else(no_such_resource)
}

/// A definition, or the fields of one that change. The error names a field that there is not.
fn definition(body: &[u8]) -> Result<RawFeed, ManagementFault> {
    serde_json::from_slice(body)
        .map_err(|error| ManagementFault::BadBody(format!("The body makes no sense: {error}.")))
}

impl From<ChangeFeedsError> for ManagementFault {
    fn from(error: ChangeFeedsError) -> Self {
        let text = sentence(&error.to_string());
        match error {
            ChangeFeedsError::Definition(_) => Self::BadBody(text),
            ChangeFeedsError::Table(TableError::Unknown(_)) => no_such_resource(),
            ChangeFeedsError::Table(_) => Self::Conflict(text),
            ChangeFeedsError::NotReady | ChangeFeedsError::NotKept => Self::Unavailable(text),
        }
    }
}

/// A message as a sentence. It may begin with the name of a field, which is spelt as it is.
fn sentence(message: &str) -> String {
    format!("{}.", message.trim_end_matches('.'))
}

async fn show(node: &Node, id: FeedId) -> Answer {
    let stands = node.feed_statistics().await;
    let table = node.feeds().table();
    let feed = table.get(id).ok_or_else(no_such_resource)?;
    Ok(hal(&feed_json(node, feed, stands.get(&id))))
}

/// The definition with all its fields, and how the feed stands.
fn feed_json(node: &Node, feed: &Feed, stands: Option<&ClusterFeed>) -> Value {
    let path = format!("{}/feeds/{}", path_of(node), feed.id);
    let mut shown = serde_json::to_value(feed.definition.shown()).unwrap_or_default();
    let date =
        |change: swarm_feeds::table::Change| httpdate::format(Version(change.number).timestamp());
    shown["_links"] = json!({
        "self": link(&path),
        "up": link(&format!("{}/feeds", path_of(node))),
        "restart": link(&format!("{path}/restart")),
        "refresh": link(&format!("{path}/refresh")),
    });
    shown["id"] = feed.id.0.into();
    shown["generation"] = feed.generation.into();
    shown["created"] = date(feed.created).into();
    shown["modified"] = date(feed.changed).into();
    shown["status"] = stands.map_or("Unknown", |stands| stands.state.name()).into();
    if let Some(stands) = stands {
        shown["stats"] = stats_json(stands, node.env().wall());
        let nodes = stands.nodes.iter().map(|(node, view)| {
            json!({
                "node": node.to_string(),
                "status": view.state.name(),
                "reason": view.reason.map(reason),
                "stale": view.stale,
            })
        });
        shown["nodes"] = nodes.collect();
    }
    shown
}

fn stats_json(stands: &ClusterFeed, now: Timestamp) -> Value {
    let Gauges {
        pending_evaluation,
        pending_processing,
        in_progress,
        retrying,
        success,
        unqualified,
    } = stands.gauges;
    let Counters { transferred_bytes, transferred_objects, already_present, failures_by_code } =
        &stands.counters;
    let at = |wait: Duration| httpdate::format(now + wait);
    json!({
        "pendingEvaluation": pending_evaluation,
        "pendingProcessing": pending_processing,
        "inProgress": in_progress,
        "retrying": retrying,
        "success": success,
        "unqualified": unqualified,
        "oldestPendingAge": stands.oldest_pending.map(|age| age.as_secs()),
        "estimatedCompletion": stands.completion.map(at),
        "transferredBytes": transferred_bytes,
        "transferredObjects": transferred_objects,
        "alreadyPresent": already_present,
        "failuresByCode": failures_by_code,
    })
}

/// Why a target takes nothing, in words.
fn reason(trouble: TargetTrouble) -> String {
    let words = match trouble {
        TargetTrouble::Silent => "the target does not answer",
        TargetTrouble::Refused => "the target refuses connections, or they break off",
        TargetTrouble::Auth(status) => {
            return format!("the target does not take the credentials ({status})");
        }
        TargetTrouble::Full => "the target has no room",
        TargetTrouble::Busy { .. } => "the target asks to be left alone",
        TargetTrouble::WrongCluster => "the target is another cluster",
        TargetTrouble::Unresolvable => "the name of the target has no address",
        TargetTrouble::TooOld => "the version of the target is too old",
    };
    words.to_owned()
}
