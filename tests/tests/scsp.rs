//! SCSP as a client sees it, over HTTP, against a simulated cluster. What is asked in bytes is in the modules, by topic.

mod admin;
mod arguments;
mod contexts;
mod domains;
mod expect;
mod framing;
mod guidelines;
mod integrity;
mod lifecycle;
mod lifepoints;
mod metadata;
mod named;
mod names;
mod redirects;
mod replicas;
mod status;
mod unbuilt;
mod unnamed;

use swarm_tests::{cluster_of, story};

#[test]
fn an_object_is_written_read_overwritten_and_deleted_through_any_node() {
    story(&cluster_of(3, 1), |client| async move {
        client.create_bucket().await;
        let path = "/scans/cat.txt?domain=acme.example";
        let created = client
            .send(client.request(1, "POST", path).header("X-Acme-Meta-Color", "blue").body("meow"))
            .await;
        assert_eq!((created.status, created.header("Replica-Count")), (201, Some("2")));
        for node in 1..=3 {
            let read = client.send(client.request(node, "GET", path)).await;
            assert_eq!((read.status, read.text().as_str()), (200, "meow"));
            assert_eq!(read.header("x-acme-meta-color"), Some("blue"));
            assert_eq!(read.header("Castor-System-Path"), Some("/acme.example/scans/cat.txt"));
        }
        let replaced = client.send(client.request(2, "POST", path).body("purr")).await;
        assert_eq!(replaced.status, 201);
        assert_eq!(client.send(client.request(3, "GET", path)).await.text(), "purr");
        assert_eq!(client.send(client.request(3, "DELETE", path)).await.status, 200);
        for node in 1..=3 {
            let gone = client.send(client.request(node, "GET", path)).await;
            assert_eq!(gone.status, 404);
        }
    });
}

#[test]
fn the_same_seed_is_the_same_run_and_another_seed_is_another() {
    let hash = |seed| {
        story(&cluster_of(3, seed), |client| async move {
            for number in 1..=10 {
                let body = bytes::Bytes::from(format!("body {number}"));
                let created = client.send(client.request(1, "POST", "/").body(body)).await;
                assert_eq!(created.status, 201);
            }
        })
        .trace_hash
    };
    let first = hash(1);
    assert_eq!(first, hash(1));
    assert_ne!(first, hash(2));
}
