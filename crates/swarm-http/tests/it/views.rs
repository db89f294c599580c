//! What a node tells about itself: `GET /` and the management port.

use crate::cluster::Cluster;

/// SCSP READ; SCSP Compatibility and Support: the node's status page, without credentials.
#[test]
fn the_status_page_tells_capacity_and_version() {
    let mut cluster = Cluster::of(2, 1);
    let page = cluster.ask_once(1, "GET /", &[], b"");
    assert_eq!(page.status, 200);
    let begin =
        "<html><head><title>CAStor Node Status</title></head><body><h2>CAStor Node IP 10.1.0.1";
    assert!(page.text().starts_with(begin), "{}", page.text());
    assert_eq!(
        page.must("allow"),
        "HEAD, HOLD, GET, SEND, PUT, RELEASE, POST, COPY, GEN, APPEND, DELETE"
    );
    assert_eq!(page.must("castor-system-cluster"), "main");
    assert_eq!((page.must("age"), page.must("cache-control")), ("0", "no-cache"));
    assert_eq!(page.must("server"), "CAStor Cluster/15.0.1");
    for name in ["castor-system-totalgbavailable", "castor-system-totalgbcapacity"] {
        page.must(name).parse::<u64>().expect("whole gigabytes");
    }
    let head = cluster.ask_once(2, "HEAD /", &["Host: any.example"], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_ne!(head.must("etag"), page.must("etag"), "a random one each time");
}

#[test]
fn the_management_port_tells_the_state_of_the_node() {
    let mut cluster = Cluster::of(3, 2);
    cluster.ask(1, "POST /", &[], b"counted");
    let answer = cluster.manage(2, "/api/status");
    assert_eq!((answer.status, answer.must("content-type")), (200, "application/json"));
    let status: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(status["node"], "10.1.0.2");
    assert_eq!(status["cluster"], "main");
    assert_eq!(status["state"], "ok");
    assert_eq!(
        status["members"],
        serde_json::json!([
            { "node": "10.1.0.1", "state": "ok" },
            { "node": "10.1.0.3", "state": "ok" },
        ])
    );
    let volume = &status["volumes"][0];
    assert_eq!((&volume["disk"], &volume["state"]), (&"main/2/1".into(), &"ok".into()));
    assert_eq!(volume["problem"], serde_json::Value::Null);
    let bytes = |name: &str| volume[name].as_u64().expect("a number");
    assert_eq!(bytes("used") + bytes("free") + bytes("trapped"), bytes("capacity"));
    assert!(status["counters"].is_object() && status["requests"].is_u64(), "{status}");
    assert_eq!(status["feeds"], serde_json::json!([]));
    assert_eq!(cluster.manage(2, "/nothing").status, 404);
}

#[test]
fn metrics_are_readable_by_prometheus() {
    let mut cluster = Cluster::of(2, 3);
    let answer = cluster.manage(1, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.must("content-type").starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    assert!(text.contains("swarm_member_state{node=\"10.1.0.2\",state=\"ok\"} 1\n"), "{text}");
    assert!(text.contains("swarm_volume_capacity_bytes{disk=\"main/1/1\"} "), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        assert!(name.starts_with("swarm_") && value.parse::<u64>().is_ok(), "{line}");
    }
}
