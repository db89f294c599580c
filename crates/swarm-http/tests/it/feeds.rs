//! The feeds of a cluster on the management port: created, looked at, changed, deleted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{ADMIN, Answer, Cluster};

const FEEDS: &str = "/api/storage/clusters/_self/feeds";

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// A definition with what it needs, and these fields besides.
fn definition(name: &str, more: &Value) -> String {
    let mut all = json!({
        "name": name,
        "type": "replication",
        "hosts": ["10.2.0.1"],
        "clusterName": "dr",
    });
    let more = more.as_object().expect("fields");
    more.iter().for_each(|(name, value)| all[name] = value.clone());
    all.to_string()
}

fn create(cluster: &mut Cluster, name: &str, more: &Value) -> Answer {
    cluster.order(1, &format!("POST {FEEDS}"), &[ADMIN], &definition(name, more))
}

fn look(cluster: &mut Cluster, node: u8, id: u32) -> Value {
    json(&cluster.manage(node, &format!("{FEEDS}/{id}")))
}

/// Replication Feeds: the fields of a definition; ids are given by the system.
#[test]
fn a_feed_is_created_looked_at_changed_and_deleted() {
    let mut cluster = Cluster::of(2, 1);
    let target = cluster.add_target();
    let empty = json(&cluster.manage(1, FEEDS));
    assert_eq!((&empty["count"], &empty["_embedded"]["feeds"]), (&0.into(), &json!([])));

    let created = create(&mut cluster, "to-dr", &json!({ "threads": 3 }));
    assert_eq!((created.status, created.must("content-type")), (201, "application/hal+json"));
    assert_eq!(created.must("location"), "/api/storage/clusters/main/feeds/0");
    let feed = json(&created);
    assert_eq!((&feed["id"], &feed["name"]), (&0.into(), &"to-dr".into()));
    assert_eq!(
        (&feed["threads"], &feed["port"], &feed["mode"]),
        (&3.into(), &80.into(), &"post".into())
    );
    assert_eq!((&feed["paused"], &feed["generation"]), (&false.into(), &0.into()));
    assert!(target.asked() <= 2, "nothing is there to be sent, but somebody to be greeted");

    // Every node knows it, and every link leads somewhere.
    cluster.run_for(Duration::from_secs(5));
    for node in 1..=2 {
        let list = json(&cluster.manage(node, FEEDS));
        assert_eq!(list["count"], 1, "{list}");
        let path =
            list["_embedded"]["feeds"][0]["_links"]["self"]["href"].as_str().expect("a path");
        let found = json(&cluster.manage(node, path));
        assert_eq!((&found["name"], &found["status"]), (&"to-dr".into(), &"OK".into()), "{found}");
        assert_eq!(found["nodes"].as_array().map(Vec::len), Some(2), "{found}");
    }

    let line = format!("PATCH {FEEDS}/0");
    let changed = json(&cluster.order(2, &line, &[ADMIN], r#"{"paused": true, "name": "dr"}"#));
    assert_eq!(
        (&changed["paused"], &changed["name"], &changed["threads"]),
        (&true.into(), &"dr".into(), &3.into())
    );
    assert_eq!(changed["generation"], 0, "nothing is evaluated anew for that");
    cluster.run_for(Duration::from_secs(5));
    let paused = look(&mut cluster, 1, 0);
    assert_eq!(
        (&paused["paused"], &paused["status"]),
        (&true.into(), &"Paused".into()),
        "{paused}"
    );
    for (nth, action) in ["restart", "refresh"].into_iter().enumerate() {
        let line = format!("POST {FEEDS}/0/{action}");
        let done = json(&cluster.order(1, &line, &[ADMIN], ""));
        assert_eq!(done["generation"], nth + 1, "{action}: {done}");
    }

    assert_eq!(cluster.order(1, &format!("DELETE {FEEDS}/0"), &[ADMIN], "").status, 204);
    assert_eq!(cluster.manage(1, &format!("{FEEDS}/0")).status, 404);
    let next = create(&mut cluster, "to-dr", &json!({}));
    assert_eq!(json(&next)["id"], 1, "no number is given twice");
}

/// What is shown of a feed has no password, and `***` in a change says that the password stays.
#[test]
fn passwords_are_never_shown() {
    let mut cluster = Cluster::of(1, 2);
    let auth = json!({ "remoteAuth": { "user": "admin", "password": "hunter2" } });
    let created = create(&mut cluster, "to-dr", &auth);
    let line = format!("PATCH {FEEDS}/0");
    let stays = r#"{"remoteAuth": {"user": "root", "password": "***"}}"#;
    let changed = cluster.order(1, &line, &[ADMIN], stays);
    for answer in [&created, &changed, &cluster.manage(1, FEEDS), &cluster.manage(1, "/api/status")]
    {
        assert!(!answer.text().contains("hunter2"), "{answer:?}");
    }
    let shown = json(&changed);
    assert_eq!(shown["remoteAuth"], json!({ "user": "root", "password": "***" }));
    let unknown =
        create(&mut cluster, "other", &json!({ "remoteAuth": { "user": "a", "password": "***" } }));
    assert_eq!(unknown.status, 400);
}

/// Our choice: credentials that a change leaves out stay; empty ones take them away, and then it is the administrator of this
/// cluster again.
#[test]
fn empty_credentials_take_away_those_that_were_there() {
    let mut cluster = Cluster::of(1, 6);
    let auth = json!({ "remoteAuth": { "user": "admin", "password": "hunter2" } });
    assert_eq!(create(&mut cluster, "to-dr", &auth).status, 201);
    let line = format!("PATCH {FEEDS}/0");
    for empty in [r#"{"remoteAuth": {}}"#, r#"{"remoteAuth": null}"#] {
        let given = cluster.order(1, &line, &[ADMIN], &auth.to_string());
        assert_eq!(given.status, 200);
        let other = json(&cluster.order(1, &line, &[ADMIN], r#"{"threads": 2}"#));
        assert_eq!(other["remoteAuth"], json!({ "user": "admin", "password": "***" }));
        let changed = json(&cluster.order(1, &line, &[ADMIN], empty));
        assert_eq!((changed.get("remoteAuth"), &changed["threads"]), (None, &2.into()), "{empty}");
        assert_eq!(look(&mut cluster, 1, 0).get("remoteAuth"), None);
        // There is no password any more that could stay.
        let stays = r#"{"remoteAuth": {"user": "admin", "password": "***"}}"#;
        assert_eq!(cluster.order(1, &line, &[ADMIN], stays).status, 400);
    }
}

/// Our choices, but for the eight feeds (Understanding Feeds): what makes no sense is 400 and said, what contradicts what
/// is there 409; nothing is kept of either.
#[test]
fn what_is_no_feed_is_refused_and_said() {
    let mut cluster = Cluster::of(1, 3);
    for (more, text) in [
        (json!({ "name": "" }), "name is empty."),
        (json!({ "type": "mirror" }), "type is none of replication, search, indexing, s3backup."),
        (json!({ "type": "search" }), "type: search feeds are not built yet."),
        (json!({ "hosts": [] }), "hosts does not name 1 to 64 hosts."),
        (json!({ "port": 65_536 }), "port is not from 1 to 65535."),
        (json!({ "clusterName": "main" }), "clusterName is this cluster's own name."),
        (json!({ "ssl": "trusted" }), "ssl: TLS is not built yet."),
        (json!({ "ssl": "trusted", "mode": "get" }), "ssl needs the mode post."),
    ] {
        let refused = create(&mut cluster, "x", &more);
        assert_eq!(refused.status, 400, "{more}");
        assert_eq!(json(&refused)["error"], text, "{more}");
    }
    for body in ["", "[]", "{", r#"{"treads": 6}"#, r#"{"name": 7}"#] {
        let refused = cluster.order(1, &format!("POST {FEEDS}"), &[ADMIN], body);
        assert_eq!(refused.status, 400, "{body}");
    }
    let regex = create(&mut cluster, "x", &json!({ "scope": { "domains": ["(a"] } }));
    assert_eq!(regex.status, 400);
    assert_eq!(json(&cluster.manage(1, FEEDS))["count"], 0);

    for nth in 0..8 {
        assert_eq!(create(&mut cluster, &format!("feed {nth}"), &json!({})).status, 201);
    }
    let ninth = create(&mut cluster, "feed 8", &json!({}));
    assert_eq!(ninth.status, 409);
    assert_eq!(json(&ninth)["error"], "there are 8 feeds, and no more may be.");
    assert_eq!(cluster.order(1, &format!("DELETE {FEEDS}/3"), &[ADMIN], "").status, 204);
    let taken = create(&mut cluster, "FEED 4", &json!({}));
    assert_eq!(taken.status, 409);
    assert_eq!(json(&taken)["error"], "feed 4 has the name \"FEED 4\".");
    let line = format!("PATCH {FEEDS}/4");
    assert_eq!(cluster.order(1, &line, &[ADMIN], r#"{"name": "feed 5"}"#).status, 409);
    assert_eq!(cluster.order(1, &line, &[ADMIN], r#"{"threads": 0}"#).status, 400);
    assert_eq!(json(&cluster.manage(1, FEEDS))["count"], 7);
}

/// Looking is free, as on the rest of the port; what changes something needs an administrator, and a feed that is there.
#[test]
fn only_administrators_change_feeds_and_only_those_there_are() {
    let mut cluster = Cluster::of(1, 4);
    assert_eq!(create(&mut cluster, "to-dr", &json!({})).status, 201);
    let other = definition("other", &json!({}));
    for (line, body) in [
        (format!("POST {FEEDS}"), other.as_str()),
        (format!("PATCH {FEEDS}/0"), r#"{"paused": true}"#),
        (format!("DELETE {FEEDS}/0"), ""),
        (format!("POST {FEEDS}/0/restart"), ""),
        (format!("POST {FEEDS}/0/refresh"), ""),
    ] {
        let refused = cluster.order(1, &line, &[], body);
        assert_eq!(refused.status, 401, "{line}");
        assert_eq!(refused.must("www-authenticate"), "Basic realm=\"CAStor administrator\"");
        let nowhere = line.replace("/0", "/7").replace("_self", "elsewhere");
        assert_eq!(cluster.order(1, &nowhere, &[ADMIN], body).status, 404, "{nowhere}");
    }
    for line in ["PATCH", "DELETE"] {
        let nothing = cluster.order(1, &format!("{line} {FEEDS}/7"), &[ADMIN], r#"{"threads": 2}"#);
        assert_eq!(nothing.status, 404, "{line}");
    }
    for nothing in ["/7", "/x", "/+0", "/-1", "/"] {
        assert_eq!(cluster.manage(1, &format!("{FEEDS}{nothing}")).status, 404, "{nothing}");
    }
    let feed = look(&mut cluster, 1, 0);
    assert_eq!((&feed["paused"], &feed["generation"]), (&false.into(), &0.into()));
}

/// What a feed has done and has left to do, of the cluster, in the status of a node, and for Prometheus.
#[test]
fn what_a_feed_has_left_to_do_is_told() {
    let mut cluster = Cluster::with_bucket(2, 5);
    let target = cluster.add_target();
    assert_eq!(create(&mut cluster, "to-dr", &json!({ "paused": true })).status, 201);
    for name in ["x", "y"] {
        let line = format!("POST /b/{name}?domain=d.example");
        assert_eq!(cluster.ask(1, &line, &[], b"x").status, 201);
    }
    cluster.run_for(Duration::from_secs(5));
    let feed = look(&mut cluster, 2, 0);
    let stats = &feed["stats"];
    // Two nodes, each with a replica of the domain, the bucket and both objects.
    let waiting = stats["pendingEvaluation"].as_u64().zip(stats["pendingProcessing"].as_u64());
    assert_eq!(waiting.map(|(one, other)| one + other), Some(8), "{stats}");
    let status = json(&cluster.manage(1, "/api/status"));
    assert_eq!(
        (&status["feeds"][0]["id"], &status["feeds"][0]["pending"]),
        (&0.into(), &4.into()),
        "{status}"
    );
    assert_eq!(target.asked(), 0, "{feed}");

    let line = format!("PATCH {FEEDS}/0");
    assert_eq!(cluster.order(1, &line, &[ADMIN], r#"{"paused": false}"#).status, 200);
    cluster.run_for(Duration::from_secs(1_000));
    let feed = look(&mut cluster, 1, 0);
    assert_eq!((&feed["status"], &feed["stats"]["success"]), (&"OK".into(), &8.into()), "{feed}");
    assert_eq!(feed["stats"]["estimatedCompletion"].as_str().map(str::len), Some(29));
    let nodes = [1, 2].map(|node| json(&cluster.manage(node, "/api/status"))["feeds"][0].clone());
    assert!(nodes.iter().all(|feed| feed["pending"] == 0), "{nodes:?}");
    assert_eq!(nodes[0]["table"], nodes[1]["table"]);
    let metrics = cluster.manage(1, "/metrics").text();
    assert!(metrics.contains("swarm_feed_slots{feed=\"0\",state=\"success\"} 4\n"), "{metrics}");
    assert!(metrics.contains("swarm_feed_state{feed=\"0\",state=\"OK\"} 1\n"), "{metrics}");
}
