//! Lifepoints as far as a request meets them (Lifepoint Metadata Headers).

use std::time::Duration;

use serde_json::Value;

use crate::talk::{Wire, told};

const X: &str = "/scans/x?domain=acme.example";

/// What the node's clock will say, as a date of HTTP.
pub(super) async fn date_in(wire: &Wire, seconds: u64) -> String {
    // The node's own clock, read from its answer; the day is far from over in these stories.
    let heard = wire.once(1, "HEAD /", &[], "").await;
    let date = heard.must("date");
    let (day, clock) = date.split_at(17);
    let parts: Vec<u64> =
        clock[..8].split(':').map(|part| part.parse().expect("two digits")).collect();
    let all = parts[0] * 3600 + parts[1] * 60 + parts[2] + seconds;
    assert!(all < 86_400, "the story crosses midnight");
    format!("{day}{:02}:{:02}:{:02} GMT", all / 3600, all / 60 % 60, all % 60)
}

/// How many streams the two nodes of a cluster file, as they say themselves.
async fn streams(wire: &Wire) -> Vec<u64> {
    let mut filed = Vec::new();
    for node in 1..=2 {
        let answer = wire.manage(node, "/api/status").await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let status: Value = serde_json::from_str(body).expect("JSON");
        let volumes = status["volumes"].as_array().expect("a list");
        filed.extend(volumes.iter().map(|volume| volume["streams"].as_u64().expect("a number")));
    }
    filed
}

/// Lifepoint Metadata Headers; Error Responses to DELETE: `deletable=no` refuses DELETE, and DELETE only.
#[test]
fn an_object_that_is_not_deletable_refuses_delete() {
    told(3, |wire| async move {
        wire.make_bucket().await;
        for value in ["[] deletable=no", "[] reps=2, deletable=False", "[] DELETABLE=NO"] {
            let lifepoint = format!("Lifepoint: {value}");
            assert_eq!(wire.ask(1, &format!("POST {X}"), &[&lifepoint], "1").await.status, 201);
            for node in 1..=3 {
                let refused = wire.ask(node, &format!("DELETE {X}"), &[], "").await;
                assert_eq!(refused.error(), (403, "DeleteNotAllowed"), "{value}");
                assert_eq!(refused.must("content-length"), "77");
            }
            assert_eq!(wire.ask(2, &format!("GET {X}"), &[], "").await.text(), "1", "{value}");
            // Our choice: an overwrite is no delete.
            let line = format!("PUT {X}");
            assert_eq!(wire.ask(2, &line, &["Lifepoint: [] deletable=yes"], "2").await.status, 201);
            assert_eq!(wire.ask(3, &format!("DELETE {X}"), &[], "").await.status, 200, "{value}");
            wire.env().sleep(Duration::from_secs(1)).await;
        }
    });
}

/// Lifepoint Metadata Headers: `admin` does not lift `deletable=no` (our choice), and unnamed objects obey too.
#[test]
fn an_immutable_object_that_is_not_deletable_stays() {
    told(2, |wire| async move {
        let uuid = wire.post("/", &["Lifepoint: [] deletable=no"], "x").await;
        for (query, headers) in [("", vec![]), ("?admin", vec![crate::talk::ADMIN])] {
            let line = format!("DELETE /{uuid}{query}");
            let refused = wire.ask(1, &line, &headers, "").await;
            assert_eq!(refused.error(), (403, "DeleteNotAllowed"), "{query}");
        }
        assert_eq!(wire.ask(2, &format!("GET /{uuid}"), &[], "").await.status, 200);
    });
}

/// Lifepoint Metadata Headers: only the lifepoint in force counts.
#[test]
fn deletable_no_ends_with_its_lifepoint() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let end = date_in(&wire, 100).await;
        let lifepoint = format!("Lifepoint: [{end}] deletable=no, [] reps=2");
        assert_eq!(wire.ask(1, &format!("POST {X}"), &[&lifepoint], "x").await.status, 201);
        let line = format!("DELETE {X}");
        assert_eq!(wire.ask(1, &line, &[], "").await.status, 403);
        wire.env().sleep(Duration::from_secs(101)).await;
        assert_eq!(wire.ask(1, &line, &[], "").await.status, 200);
    });
}

/// Lifepoint Metadata Headers: an object that its lifepoint has ended is not found, to any verb.
#[test]
fn an_object_past_its_end_is_404() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let end = date_in(&wire, 100).await;
        let (first, second) = (format!("Lifepoint: [{end}] reps=2"), "Lifepoint: [] delete");
        assert_eq!(wire.ask(1, &format!("POST {X}"), &[&first, second], "x").await.status, 201);
        let alias = wire.post("/?alias", &[&first, second], "x").await;
        let alias = format!("/{alias}");
        wire.env().sleep(Duration::from_secs(90)).await;
        for target in [X, &alias] {
            assert_eq!(wire.ask(2, &format!("GET {target}"), &[], "").await.status, 200);
        }
        wire.env().sleep(Duration::from_secs(12)).await;
        for target in [X, &alias] {
            for verb in ["GET", "HEAD", "PUT", "DELETE"] {
                for node in 1..=2 {
                    let gone = wire.ask(node, &format!("{verb} {target}"), &[], "").await;
                    assert_eq!(gone.error(), (404, "NotFound"), "{verb} {target}");
                }
            }
        }
        let created = wire.ask(1, &format!("POST {X}"), &["If-None-Match: *"], "new").await;
        assert_eq!(created.status, 201, "the name is free: {created:?}");
        assert_eq!(wire.ask(2, &format!("GET {X}"), &[], "").await.text(), "new");
    });
}

/// Lifepoint Metadata Headers: a context is never ended by a lifepoint.
#[test]
fn a_bucket_outlives_its_lifepoint() {
    told(2, |wire| async move {
        wire.make_domain("acme.example").await;
        let headers = [crate::talk::CONTEXT, "Lifepoint: [] delete"];
        let line = "POST /scans?domain=acme.example";
        assert_eq!(wire.ask(1, line, &headers, "").await.status, 201);
        wire.env().sleep(Duration::from_secs(5)).await;
        assert_eq!(wire.ask(2, "GET /scans?domain=acme.example", &[], "").await.status, 200);
        assert_eq!(wire.ask(2, &format!("POST {X}"), &[], "x").await.status, 201);
    });
}

/// Lifepoint Metadata Headers: an invalid lifepoint is stored as it is and hinders nothing.
#[test]
fn an_invalid_lifepoint_is_stored_verbatim() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for value in [
            "nonsense",
            "[",
            "[Tue, 99 Foo 2025 25:00:00 GMT] reps=2",
            "[] reps=",
            "[] reps=minus one,  deletable = perhaps",
            "[yesterday] delete",
            "[] reps=99999999999999999999",
            "",
        ] {
            let lifepoint = format!("Lifepoint: {value}");
            let written = wire.ask(1, &format!("POST {X}"), &[&lifepoint], "x").await;
            assert_eq!(written.status, 201, "{value}");
            let read = wire.ask(2, &format!("GET {X}"), &[], "").await;
            assert_eq!(read.must("lifepoint"), value);
            assert_eq!(wire.ask(1, &format!("DELETE {X}"), &[], "").await.status, 200, "{value}");
            wire.env().sleep(Duration::from_secs(1)).await;
        }
    });
}

/// Working with Large Objects; Lifepoint Metadata Headers: a chunked write whose lifepoint asks for whole replicas.
#[test]
fn a_chunked_write_with_whole_replicas_is_400() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let soon = format!("Lifepoint: [{}] reps=3", date_in(&wire, 100).await);
        for lifepoint in ["Lifepoint: [] reps=3", &soon] {
            let headers = ["Transfer-Encoding: chunked", lifepoint];
            let refused =
                wire.ask(1, &format!("POST {X}"), &headers, "5\r\nhello\r\n0\r\n\r\n").await;
            assert_eq!(refused.error(), (400, "ErasureCodingRequired"), "{lifepoint}");
            assert!(refused.closes());
            // The body of the documented sample, with the line end of later versions.
            assert_eq!(refused.must("content-length"), "97");
        }
        wire.assert_nothing_at(2, X).await;
    });
}

/// Lifepoint Metadata Headers, "Do not replicate chunked uploads": whatever is written, and what was there stays.
#[test]
fn chunked_writes_of_every_kind_with_whole_replicas_are_400() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        assert_eq!(wire.ask(1, &format!("POST {X}"), &[], "old").await.status, 201);
        let alias = wire.post("/?alias", &[], "old").await;
        let stored = streams(&wire).await;
        for line in [
            format!("POST {X}"),
            format!("PUT {X}"),
            "PUT /scans/y?domain=acme.example&putcreate".to_owned(),
            "POST /".to_owned(),
            "POST /?domain=acme.example".to_owned(),
            "POST /?alias".to_owned(),
            format!("PUT /{alias}"),
        ] {
            let headers = ["Transfer-Encoding: chunked", "Lifepoint: [] reps=3"];
            let refused = wire.ask(1, &line, &headers, "5\r\nhello\r\n0\r\n\r\n").await;
            assert_eq!(refused.error(), (400, "ErasureCodingRequired"), "{line}");
            assert!(refused.closes(), "{line}");
        }
        wire.assert_nothing_at(2, "/scans/y?domain=acme.example").await;
        for there in [X, &format!("/{alias}")] {
            assert_eq!(wire.ask(2, &format!("GET {there}"), &[], "").await.text(), "old");
        }
        assert_eq!(streams(&wire).await, stored, "nothing else was stored");
    });
}
