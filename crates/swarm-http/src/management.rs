//! The management port: `GET /api/status` as JSON, `GET /metrics` for Prometheus, and the resources under `/api/storage`.
//!
//! Owns the shapes on this wire. Whoever reaches this port may look at everything; what changes something needs an
//! administrator. SCSP is elsewhere.

mod feeds;
mod settings;
mod statistics;
mod storage;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use swarm_env::hyper_rt::{self, EnvTimer};
use swarm_env::{Env, Stream};
use swarm_feeds::stats::NodeFeed;
use swarm_node::{Node, NodeStatus, Queue, VolumeStatus, Walks};
use swarm_types::FeedId;
use tower::ServiceExt as _;

use crate::Doors;

use statistics::FeedJson;

/// From the opening of a connection to the last byte of a request head.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// A connection is closed after this, whatever it does: these answers are small.
const CONNECTION_TIME: Duration = Duration::from_secs(600);

#[derive(Debug, Serialize)]
struct StatusJson {
    node: String,
    cluster: String,
    state: &'static str,
    volumes: Vec<VolumeJson>,
    members: Vec<MemberJson>,
    requests: u64,
    background: u64,
    counters: BTreeMap<&'static str, u64>,
    health: HealthJson,
    feeds: Vec<FeedJson>,
}

#[derive(Debug, Serialize)]
struct HealthJson {
    /// Since the node started: copies made or erased, tombstones filed or dropped, replicas quarantined.
    actions: u64,
    /// Volumes whose replicas are being made anew, or are about to be.
    recoveries: Vec<String>,
    counters: BTreeMap<&'static str, u64>,
}

/// How far the health processor is with a volume.
#[derive(Debug, Serialize)]
struct WalksJson {
    cycles: u64,
    /// How much of the present cycle is done.
    percent: u8,
    last_cycle_s: Option<f64>,
    last_cycle_actions: u64,
    /// Cycles in a row in which the node took no action.
    quiet_cycles: u64,
}

#[derive(Debug, Serialize)]
struct VolumeJson {
    id: Option<String>,
    disk: String,
    state: &'static str,
    problem: Option<String>,
    capacity: u64,
    used: u64,
    free: u64,
    trapped: u64,
    streams: u64,
    /// Absent where nothing is walked: the volume is not mounted, or is retired.
    health: Option<WalksJson>,
}

#[derive(Debug, Serialize)]
struct MemberJson {
    node: String,
    state: &'static str,
}

impl StatusJson {
    fn new(status: NodeStatus, cluster: &str, feeds: Vec<FeedJson>) -> Self {
        let health = status.health;
        let walks = |volume: &VolumeStatus| health.volumes.get(&volume.id?).copied();
        let recoveries = health.recoveries.iter().map(|one| one.volume.to_string()).collect();
        Self {
            node: status.id.to_string(),
            cluster: cluster.to_owned(),
            state: status.state.word(),
            volumes: status
                .volumes
                .into_iter()
                .map(|volume| VolumeJson::new(walks(&volume), volume))
                .collect(),
            members: status
                .members
                .into_iter()
                .map(|(node, state)| MemberJson { node: node.to_string(), state: state.word() })
                .collect(),
            requests: status.requests,
            background: status.background,
            counters: status.counters,
            health: HealthJson {
                actions: health.actions,
                recoveries,
                counters: health.counters.clone(),
            },
            feeds,
        }
    }
}

impl WalksJson {
    fn new(walks: Walks) -> Self {
        Self {
            cycles: walks.cycles,
            percent: walks.percent,
            last_cycle_s: walks.last.map(|last| last.as_secs_f64()),
            last_cycle_actions: walks.last_actions,
            quiet_cycles: walks.quiet_cycles,
        }
    }
}

impl VolumeJson {
    fn new(walks: Option<Walks>, volume: VolumeStatus) -> Self {
        Self {
            id: volume.id.map(|id| id.to_string()),
            disk: volume.disk,
            state: volume.state.word(),
            problem: volume.problem,
            capacity: volume.capacity,
            used: volume.used,
            free: volume.free,
            trapped: volume.trapped,
            streams: volume.streams,
            health: walks.map(WalksJson::new),
        }
    }
}

/// The routes.
pub(crate) fn router(node: Node, doors: Doors) -> Router {
    Router::new()
        .route("/api/status", get(status))
        .route("/metrics", get(prometheus))
        .merge(storage::router().with_state(node.clone()))
        .with_state((node, doors))
}

async fn status(State((node, _)): State<(Node, Doors)>) -> Json<StatusJson> {
    let feeds = statistics::feeds(&node);
    Json(StatusJson::new(node.status(), node.config().cluster.as_str(), feeds))
}

async fn prometheus(
    State((node, doors)): State<(Node, Doors)>,
) -> ([(&'static str, &'static str); 1], String) {
    let queues: Vec<Queue> = node.queues().into_iter().chain(doors.queues()).collect();
    let text = metrics(&node.status(), &queues, &node.feeds().stats());
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// The text form of Prometheus.
fn metrics(status: &NodeStatus, queues: &[Queue], feeds: &BTreeMap<FeedId, NodeFeed>) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP swarm_{name} {help}\n# TYPE swarm_{name} {kind}\n");
        for (labels, value) in samples {
            let _ = writeln!(text, "swarm_{name}{labels} {value}");
        }
    };
    let plain = |value| [(String::new(), value)];
    family("requests", "gauge", "Requests being served.", &plain(status.requests));
    family("background", "gauge", "Other work under way.", &plain(status.background));
    family(
        "cluster_capacity_bytes",
        "gauge",
        "Capacity of all known volumes.",
        &plain(status.cluster_capacity),
    );
    family(
        "cluster_free_bytes",
        "gauge",
        "Free bytes of all known volumes.",
        &plain(status.cluster_free),
    );
    let of_volumes = |value: fn(&VolumeStatus) -> u64| -> Vec<(String, u64)> {
        let label = |volume: &VolumeStatus| format!("{{disk=\"{}\"}}", escape(&volume.disk));
        status.volumes.iter().map(|volume| (label(volume), value(volume))).collect()
    };
    family(
        "volume_capacity_bytes",
        "gauge",
        "Size of the data region.",
        &of_volumes(|v| v.capacity),
    );
    family("volume_used_bytes", "gauge", "Bytes of live streams.", &of_volumes(|v| v.used));
    family("volume_free_bytes", "gauge", "Writable bytes.", &of_volumes(|v| v.free));
    family("volume_trapped_bytes", "gauge", "Bytes of holes.", &of_volumes(|v| v.trapped));
    family("volume_streams", "gauge", "Live streams.", &of_volumes(|v| v.streams));
    let states: Vec<_> = status
        .members
        .iter()
        .map(|(node, state)| (format!("{{node=\"{node}\",state=\"{}\"}}", state.word()), 1))
        .collect();
    family("member_state", "gauge", "The other members, by state.", &states);
    let counters: Vec<_> = status
        .counters
        .iter()
        .map(|(name, count)| (format!("{{name=\"{}\"}}", escape(name)), *count))
        .collect();
    family("operations_total", "counter", "Operations by name.", &counters);
    health_metrics(status, &mut family);
    statistics::metrics(feeds, &mut family);
    let label = |queue: &Queue| {
        format!("{{queue=\"{}\",kind=\"{}\"}}", escape(&queue.name), queue.kind.word())
    };
    let of_queues = |value: fn(&Queue) -> u64| -> Vec<(String, u64)> {
        queues.iter().map(|queue| (label(queue), value(queue))).collect()
    };
    let help = "What is in a queue, table or pool now.";
    family("queue_depth", "gauge", help, &of_queues(|queue| queue.depth));
    family("queue_limit", "gauge", "What may be in it.", &of_queues(|queue| queue.limit));
    text
}

/// What the health processor counts.
fn health_metrics(
    status: &NodeStatus,
    family: &mut impl FnMut(&str, &str, &str, &[(String, u64)]),
) {
    let health = &status.health;
    let plain = |value| [(String::new(), value)];
    family("health_actions_total", "counter", "What was put right.", &plain(health.actions));
    let open = u64::try_from(health.recoveries.len()).unwrap_or(u64::MAX);
    family("health_recoveries", "gauge", "Volumes that are being recovered.", &plain(open));
    let counters: Vec<_> = health
        .counters
        .iter()
        .map(|(name, count)| (format!("{{name=\"{}\"}}", escape(name)), *count))
        .collect();
    family("health_total", "counter", "What the health processor counts, by name.", &counters);
    let of_walks = |value: fn(&Walks) -> u64| -> Vec<(String, u64)> {
        let sample = |volume: &VolumeStatus| {
            let walks = health.volumes.get(&volume.id?)?;
            Some((format!("{{disk=\"{}\"}}", escape(&volume.disk)), value(walks)))
        };
        status.volumes.iter().filter_map(sample).collect()
    };
    family("health_cycles_total", "counter", "Whole walks over a volume.", &of_walks(|w| w.cycles));
    family(
        "health_quiet_cycles",
        "gauge",
        "Walks in a row without an action.",
        &of_walks(|w| w.quiet_cycles),
    );
    family(
        "health_last_cycle_seconds",
        "gauge",
        "How long the last walk took.",
        &of_walks(|w| w.last.map_or(0, |last| last.as_secs())),
    );
}

fn escape(label: &str) -> Cow<'_, str> {
    if label.contains(['\\', '"', '\n']) {
        label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
    } else {
        label.into()
    }
}

/// Serves one connection with hyper.
pub(crate) async fn serve(env: Env, stream: Stream, router: Router) {
    let service = hyper::service::service_fn(move |request| router.clone().oneshot(request));
    let connection = hyper::server::conn::http1::Builder::new()
        // hyper's own dates come from the real clock.
        .auto_date_header(false)
        .timer(EnvTimer::new(&env))
        .header_read_timeout(HEAD_TIME)
        .serve_connection(hyper_rt::io(stream), service);
    match env.timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(node = env.name(), %error, "management connection broke"),
    }
}
