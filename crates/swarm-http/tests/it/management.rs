//! The resources under `/api/storage`: looking at nodes and volumes, and taking volumes out of service.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::{ADMIN, Answer, Cluster};

const RETIRE: &str = r#"{"action": "retire"}"#;
const CANCEL: &str = r#"{"action": "cancelRetire"}"#;
const MOUNT_STALE: &str = r#"{"action": "mountStale"}"#;

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// The path of a node's only volume.
fn volume_path(cluster: &mut Cluster, node: u8) -> String {
    let volumes = json(&cluster.manage(node, "/api/storage/nodes/_self/volumes"));
    let path = &volumes["_embedded"]["volumes"][0]["_links"]["self"]["href"];
    path.as_str().expect("a path").to_owned()
}

#[test]
fn every_node_lists_itself_and_the_others() {
    let mut cluster = Cluster::of(3, 1);
    let answer = cluster.manage(2, "/api/storage/nodes");
    assert_eq!((answer.status, answer.must("content-type")), (200, "application/hal+json"));
    let list = json(&answer);
    assert_eq!(list["count"], 3);
    let nodes = list["_embedded"]["nodes"].as_array().expect("a list");
    let ids: Vec<_> = nodes.iter().map(|node| node["id"].as_str()).collect();
    assert_eq!(ids, [Some("10.1.0.1"), Some("10.1.0.2"), Some("10.1.0.3")]);
    assert!(nodes.iter().all(|node| node["state"] == "ok"), "{list}");
    // Every link leads somewhere.
    let root = json(&cluster.manage(2, "/api/storage"));
    assert_eq!(root["_links"]["nodes"]["href"], "/api/storage/nodes");
    for node in nodes {
        let path = node["_links"]["self"]["href"].as_str().expect("a path");
        assert_eq!(json(&cluster.manage(2, path))["id"], node["id"]);
    }
    let own = json(&cluster.manage(2, "/api/storage/nodes/_self"));
    assert_eq!((&own["id"], &own["streams"]), (&"10.1.0.2".into(), &0.into()));
    let path = volume_path(&mut cluster, 2);
    let volume = json(&cluster.manage(2, &path));
    assert_eq!((&volume["disk"], &volume["state"]), (&"main/2/1".into(), &"ok".into()));
    for nothing in ["/api/storage/nodes/10.1.0.9", "/api/storage/nodes/10.1.0.1/volumes"] {
        assert_eq!(cluster.manage(2, nothing).status, 404, "{nothing}");
    }
}

#[test]
fn only_administrators_change_anything_and_only_what_there_is() {
    let mut cluster = Cluster::of(2, 2);
    let path = volume_path(&mut cluster, 1);
    let line = format!("PATCH {path}");
    let refused = cluster.order(1, &line, &[], RETIRE);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.must("www-authenticate"), "Basic realm=\"CAStor administrator\"");
    let wrong = "Authorization: Basic YWRtaW46d3Jvbmc=";
    assert_eq!(cluster.order(1, &line, &[wrong], RETIRE).status, 401);
    let mut order = |line: &str, body: &str| cluster.order(1, line, &[ADMIN], body).status;
    assert_eq!(order(&line, "retire!"), 400);
    assert_eq!(order(&line, r#"{"action": "explode"}"#), 422);
    assert_eq!(order("PATCH /api/storage/nodes/_self/volumes/none", RETIRE), 404);
    assert_eq!(order("PATCH /api/storage/nodes/10.1.0.2", RETIRE), 404, "only by itself");
    assert_eq!(order(&format!("DELETE {path}"), ""), 405);
    assert_eq!(json(&cluster.manage(1, &path))["state"], "ok");
}

/// Retiring Volumes; of redirects, DX Application Guide: 301 names a better first address, 307 does not.
#[test]
fn a_retiring_node_delivers_redirects_for_good_and_may_be_put_back() {
    let mut cluster = Cluster::with_bucket(3, 3);
    let path = volume_path(&mut cluster, 3);
    for name in 0..6 {
        let line = format!("POST /b/o{name}?domain=d.example");
        assert_eq!(cluster.ask(1, &line, &[], b"kept").status, 201);
    }
    let retired = cluster.order(3, &format!("PATCH {path}"), &[ADMIN], RETIRE);
    assert_eq!((retired.status, json(&retired)["state"].clone()), (200, "retiring".into()));
    let again = cluster.order(3, &format!("PATCH {path}"), &[ADMIN], RETIRE);
    assert_eq!(json(&again)["state"], "retiring", "saying it twice changes nothing");
    cluster.run_for(Duration::from_millis(10));
    let seen = json(&cluster.manage(1, "/api/storage/nodes/10.1.0.3"));
    assert_eq!(seen["state"], "retiring");
    let sent_on = cluster.ask_once(3, "POST /b/new?domain=d.example", &[], b"new");
    assert_eq!(sent_on.status, 301);
    for name in 0..6 {
        let line = format!("GET /b/o{name}?domain=d.example");
        let answer = cluster.ask(3, &line, &[], b"");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"kept"[..]));
    }
    let back = cluster.order(3, "PATCH /api/storage/nodes/_self", &[ADMIN], CANCEL);
    assert_eq!((back.status, json(&back)["state"].clone()), (200, "ok".into()));
    assert_eq!(json(&cluster.manage(3, &path))["state"], "ok");
}

/// Managing Nodes: a node whose volumes are all retired stops responding.
#[test]
fn a_retired_node_answers_no_client_and_is_retired_for_good() {
    let mut cluster = Cluster::of(3, 4);
    let node = "PATCH /api/storage/nodes/_self";
    let retired = cluster.order(3, node, &[ADMIN], RETIRE);
    assert_eq!((retired.status, json(&retired)["state"].clone()), (200, "retired".into()));
    let closed = cluster.talk(3, |mut talk| async move { talk.is_closed().await });
    assert!(closed, "no answer, not even a refusal");
    let status = json(&cluster.manage(3, "/api/status"));
    assert_eq!(status["state"], "retired", "operators are still answered");
    let path = volume_path(&mut cluster, 3);
    let refused = cluster.order(3, &format!("PATCH {path}"), &[ADMIN], CANCEL);
    assert_eq!(refused.status, 409);
    assert_eq!(json(&refused)["error"], "the volume is retired");
}

/// Stale Volumes and the ":k" flag; Returning a Stale Volume to Service.
#[test]
fn a_stale_volume_is_refused_until_an_operator_wants_it_all_the_same() {
    let mut cluster = Cluster::with_settings(2, 7, &[("disk.obsoleteTimeout", "3600")]);
    let written = cluster.ask(1, "POST /", &[], b"kept");
    assert_eq!((written.status, written.must("replica-count")), (201, "2"));
    let line = format!("GET {}", written.must("location").split_at("http://10.1.0.1:80".len()).1);
    cluster.power_off(2);
    cluster.run_for(Duration::from_secs(2 * 3600));
    cluster.start(2);
    let path = "/api/storage/nodes/_self/volumes/main%2F2%2F1";
    let refused = json(&cluster.manage(2, path));
    assert_eq!((&refused["state"], &refused["stale"]), (&"unavailable".into(), &true.into()));
    let problem = refused["problem"].as_str().expect("a reason");
    assert!(problem.contains("the volume is stale: last touched at"), "{problem}");
    assert_eq!(json(&cluster.manage(2, "/api/storage/nodes/_self"))["state"], "error");
    let order = format!("PATCH {path}");
    assert_eq!(cluster.order(2, &order, &[], MOUNT_STALE).status, 401);
    assert_eq!(cluster.order(2, &order, &[ADMIN], RETIRE).status, 404, "it says not who it is");
    let other = "PATCH /api/storage/nodes/_self/volumes/main%2F1%2F1";
    let fresh = cluster.order(1, other, &[ADMIN], MOUNT_STALE);
    assert_eq!(fresh.status, 409);
    assert_eq!(json(&fresh)["error"], "the volume is ok and not stale");
    let forced = cluster.order(2, &order, &[ADMIN], MOUNT_STALE);
    assert_eq!((forced.status, json(&forced)["state"].clone()), (200, "ok".into()), "{forced:?}");
    assert_eq!(json(&forced)["streams"], 1, "with what it had");
    assert_eq!(cluster.ask_once(2, &line, &[], b"").body, b"kept");
    // It was touched now, and is like any other.
    cluster.restart(2);
    assert_eq!(json(&cluster.manage(2, path))["state"], "ok");
    let whole = cluster.order(2, "PATCH /api/storage/nodes/_self", &[ADMIN], MOUNT_STALE);
    assert_eq!(whole.status, 200, "there is none to mount");
}

fn setting(cluster: &mut Cluster, node: u8, name: &str) -> Value {
    json(&cluster.manage(node, &format!("/api/storage/clusters/_self/settings/{name}")))
}

/// Settings Reference: settings with a name for SNMP are changed while the cluster runs, and on every node.
#[test]
fn a_setting_is_changed_on_every_node_and_counts_for_requests_at_once() {
    let mut cluster = Cluster::with_bucket(3, 5);
    let path = "/api/storage/clusters/main/settings/policy.replicas";
    let policy = "min:1 max:16 default:3";
    let body = format!("{{\"value\": \"{policy}\"}}");
    assert_eq!(cluster.order(2, &format!("PUT {path}"), &[], &body).status, 401);
    let changed = cluster.order(2, &format!("PUT {path}"), &[ADMIN], &body);
    assert_eq!((changed.status, json(&changed)["value"].clone()), (200, policy.into()));
    cluster.run_for(Duration::from_millis(10));
    for node in 1..=3 {
        let found = setting(&mut cluster, node, "policy.replicas");
        assert_eq!((&found["value"], &found["source"]), (&policy.into(), &"cluster".into()));
    }
    let line = "POST /b/thrice?domain=d.example&replicate=full";
    assert_eq!(cluster.ask(1, line, &[], b"x").must("replica-count"), "3");
    // One that comes later learns it too.
    cluster.restart(3);
    assert_eq!(setting(&mut cluster, 3, "policy.replicas")["value"], policy);
}

#[test]
fn settings_are_listed_and_what_may_not_be_changed_stays() {
    let mut cluster = Cluster::with_settings(2, 6, &[("power.sleepAfter", "300")]);
    let list = json(&cluster.manage(1, "/api/storage/clusters/main/settings"));
    let all = list["_embedded"]["settings"].as_array().expect("a list");
    assert_eq!(list["count"], all.len());
    let named = |name: &str| all.iter().find(|setting| setting["name"] == name).expect("known");
    let sleep = named("power.sleepAfter");
    assert_eq!((&sleep["value"], &sleep["default"]), (&300.into(), &7200.into()));
    assert_eq!((&sleep["source"], &sleep["dynamic"]), (&"node".into(), &false.into()));
    assert_eq!(named("scsp.replicateOnWrite")["value"], true);
    assert_eq!(named("security.administrators")["value"], Value::Null, "passwords are not told");
    let mut put = |name: &str, body: &str| {
        let line = format!("PUT /api/storage/clusters/_self/settings/{name}");
        cluster.order(1, &line, &[ADMIN], body).status
    };
    assert_eq!(put("cluster.enforceTenancy", r#"{"value": true}"#), 409);
    assert_eq!(put("no.such", r#"{"value": 1}"#), 404);
    assert_eq!(put("policy.replicas", r#"{"value": "min:5 max:2 default:3"}"#), 422);
    assert_eq!(put("policy.replicas", r#"{"value": ["a"]}"#), 422);
    assert_eq!(put("policy.replicas", "min:2"), 400);
    assert_eq!(put("recovery.suspended", r#"{"value": true}"#), 200);
    assert_eq!(setting(&mut cluster, 1, "recovery.suspended")["value"], true);
    let other = "/api/storage/clusters/elsewhere/settings";
    assert_eq!(cluster.manage(1, other).status, 404);
}
