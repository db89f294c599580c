//! Two whole clusters in one world that feed each other: what is written here is there, as it was, once.

use std::time::Duration;

use swarm_feeds::definition::RawFeed;
use swarm_node::feeds::FeedChange;

use crate::cluster::{ADMIN, Answer, CONTEXT, Cluster, EAST, East};

/// A feed of everything.
fn feed(to: &str, hosts: &[&str], mode: &str) -> RawFeed {
    RawFeed {
        name: Some(format!("to {to}")),
        kind: Some("replication".to_owned()),
        mode: Some(mode.to_owned()),
        hosts: Some(hosts.iter().map(|host| (*host).to_owned()).collect()),
        cluster_name: Some(to.to_owned()),
        ..RawFeed::default()
    }
}

/// `main` of three nodes and `east` of one, each with a feed of everything to the other.
fn mirrored(seed: u64, mode: &str) -> (Cluster, East) {
    let mut cluster = Cluster::of(3, seed);
    let east = cluster.and_east();
    let there = FeedChange::Create(feed("east", &[&EAST.to_string()], mode));
    let back = FeedChange::Create(feed("main", &["10.1.0.1", "10.1.0.2", "10.1.0.3"], mode));
    let made = cluster.on(2, move |node| async move { node.change_feeds(there).await });
    assert!(made.is_ok(), "{made:?}");
    let made = cluster.on_east(&east, move |node| async move { node.change_feeds(back).await });
    assert!(made.is_ok(), "{made:?}");
    cluster.run_for(Duration::from_secs(2));
    (cluster, east)
}

/// What tells a version, and what its client has said of it.
fn told(answer: &Answer) -> Vec<(String, String)> {
    let own = |name: &str| {
        let name = name.to_ascii_lowercase();
        !["volume", "volume-hint", "date", "server", "keep-alive"].contains(&name.as_str())
    };
    answer.fields.iter().filter(|(name, _)| own(name)).cloned().collect()
}

/// How many versions the cluster `main` has taken of another.
fn imports(cluster: &mut Cluster) -> u64 {
    (1..=3).map(|node| cluster.on(node, imported)).sum()
}

async fn imported(node: swarm_node::Node) -> u64 {
    let counters = node.status().counters;
    ["imports", "imported deletes"]
        .map(|name| counters.get(name).copied().unwrap_or(0))
        .iter()
        .sum()
}

fn in_both(mode: &str, seed: u64, patience: Duration) {
    let (mut cluster, east) = mirrored(seed, mode);
    let domain = cluster.ask(1, "POST /?domain=d.example", &[CONTEXT, ADMIN], b"");
    assert_eq!(domain.status, 201, "{domain:?}");
    assert_eq!(cluster.ask(2, "POST /b?domain=d.example", &[CONTEXT], b"").status, 201);
    let headers =
        ["X-Custom-META-Colour: Blue", "content-TYPE: image/TIFF", "Cache-Control: no-cache"];
    let body: Vec<u8> = (0..200_000_u32).map(|n| (n % 249) as u8).collect();
    let line = |verb: &str, name: &str| format!("{verb} /b/{name}?domain=d.example");
    for name in ["small", "large", "gone"] {
        let body = if name == "large" { &body[..] } else { b"small" };
        assert_eq!(cluster.ask(3, &line("POST", name), &headers, body).status, 201);
    }
    let unnamed = cluster.ask(1, "POST /", &headers, b"unnamed");
    let uuid = unnamed.must("content-uuid").to_owned();
    cluster.run_for(patience);
    assert_eq!(cluster.ask(1, &line("DELETE", "gone"), &[], b"").status, 200);
    cluster.run_for(patience);
    let lines = [line("GET", "small"), line("GET", "large"), format!("GET /{uuid}")];
    for line in &lines {
        let (here, there) = (cluster.ask(1, line, &[], b""), cluster.ask_east(line, &[], b""));
        assert_eq!((here.status, there.status), (200, 200), "{line}");
        assert_eq!(told(&here), told(&there), "{line}");
        assert!(here.body == there.body, "{line}");
        assert_eq!(there.must("castor-system-cluster"), "main");
    }
    assert_eq!(cluster.ask_east(&line("GET", "gone"), &[], b"").status, 404);
    assert_eq!(imports(&mut cluster), 0, "nothing comes back: no echo");
    assert_eq!(cluster.on_east(&east, imported), 2 + 4 + 1, "and nothing is brought twice");

    // The other way, and over what came from here.
    let update = line("PUT", "small");
    assert_eq!(cluster.ask_east(&update, &["X-Custom-Meta-Colour: green"], b"updated").status, 201);
    assert_eq!(cluster.ask_east(&line("DELETE", "large"), &[], b"").status, 200);
    cluster.run_for(patience);
    let (here, there) =
        (cluster.ask(2, &lines[0], &[], b""), cluster.ask_east(&lines[0], &[], b""));
    assert_eq!((told(&here), &*here.body), (told(&there), &b"updated"[..]));
    assert_eq!(here.must("castor-system-cluster"), "east");
    assert_eq!(cluster.ask(3, &lines[1], &[], b"").status, 404);
    cluster.run_for(patience * 2);
    assert_eq!(imports(&mut cluster), 2);
    assert_eq!(cluster.on_east(&east, imported), 2 + 4 + 1);
}

/// Replicating Domains to Other Clusters: clusters may feed each other.
#[test]
fn two_clusters_that_push_to_each_other_hold_the_same() {
    in_both("post", 1, Duration::from_secs(20));
}

/// Managing and Optimizing Feeds: a batch holds what comes in 30 seconds, and is fetched by the target.
#[test]
fn two_clusters_that_fetch_from_each_other_hold_the_same() {
    in_both("get", 2, Duration::from_secs(90));
}
