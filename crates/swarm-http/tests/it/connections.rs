//! Connections: what is kept, what is closed, what a vanishing client leaves behind.

use std::time::Duration;

use crate::cluster::{Cluster, request};

/// SCSP WRITE: a redirect or an error in place of `100 Continue`, or the 100 when the node is ready to store.
#[test]
fn a_redirect_comes_instead_of_100_and_ends_the_connection() {
    let mut cluster = Cluster::with_bucket(4, 1);
    let mut seen = (false, false);
    for number in 0..12 {
        let head = request(
            &format!("POST /b/{number}?domain=d.example"),
            &["Expect: 100-continue"],
            b"hello",
        );
        let head = head.strip_suffix(b"hello").expect("the body is last").to_vec();
        let (first, closed) = cluster.talk(1 + number % 4, |mut talk| async move {
            talk.say(&head).await;
            let first = talk.hear(false).await;
            if first.status == 100 {
                talk.say(b"hello").await;
                let stored = talk.hear(false).await;
                assert_eq!(stored.status, 201, "{stored:?}");
                return (first, false);
            }
            let closed = talk.is_closed().await;
            (first, closed)
        });
        match first.status {
            100 => seen.0 = true,
            307 => {
                seen.1 = true;
                assert!(closed, "nobody knows whether the body follows");
                let location = first.must("location");
                assert!(
                    location.contains(&format!("/b/{number}?domain=d.example&auth=")),
                    "{location}"
                );
                let auth = location.rsplit("auth=").next().unwrap_or_default();
                assert_eq!(auth.len(), 32);
                assert!(
                    auth.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()),
                    "{auth}"
                );
                assert_eq!(first.must("content-length"), "0");
                assert_eq!(first.must("connection"), "close");
            }
            other => panic!("{other}: {first:?}"),
        }
    }
    assert_eq!(seen, (true, true), "some are stored where they were asked, some are sent on");
}

/// SCSP WRITE: without `Expect` the whole body is read and discarded before a redirect; the connection is kept.
#[test]
fn a_redirect_behind_a_body_keeps_the_connection() {
    let mut cluster = Cluster::with_bucket(4, 2);
    let mut redirected = 0;
    for number in 0..8 {
        let post = request(&format!("POST /b/{number}?domain=d.example"), &[], &[b'x'; 100_000]);
        let both = [post, request("HEAD /", &[], b"")].concat();
        let answers = cluster.talk(1, |mut talk| async move {
            talk.say(&both).await;
            [talk.hear(false).await, talk.hear(true).await]
        });
        redirected += u32::from(answers[0].status == 307);
        assert_eq!(answers[1].status, 200, "the connection goes on: {answers:?}");
        assert_eq!(answers[0].must("keep-alive"), "timeout=14400");
    }
    assert!(redirected > 0);
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    let mut cluster = Cluster::with_bucket(2, 3);
    for body in [&b"x"[..], &[b'x'; 300_000]] {
        for node in [1, 2] {
            let whole = request("POST /b/half?domain=d.example", &[], &[body, b"rest"].concat());
            let half = whole[..whole.len() - 4].to_vec();
            cluster.talk(node, |mut talk| async move {
                talk.say(&half).await;
                talk.sleep(Duration::from_secs(1)).await;
            });
        }
    }
    cluster.run_for(Duration::from_secs(1));
    assert_eq!(cluster.ask(1, "GET /b/half?domain=d.example", &[], b"").status, 404);
    let status: serde_json::Value =
        serde_json::from_slice(&cluster.manage(1, "/api/status").body).expect("JSON");
    assert_eq!(status["requests"], 0, "no session is left: {status}");
    assert_eq!(cluster.ask(2, "POST /b/half?domain=d.example", &[], b"whole").status, 201);
}

/// A client that vanishes once all was said cannot take a commit back, nor cancel half of it.
#[test]
fn a_client_that_vanishes_after_its_body_may_find_it_stored() {
    let mut cluster = Cluster::with_bucket(3, 4);
    for node in 1..=3 {
        let whole = request(&format!("POST /b/{node}?domain=d.example"), &[], b"whole");
        cluster.talk(node, |mut talk| async move { talk.say(&whole).await });
    }
    cluster.run_for(Duration::from_secs(5));
    for node in 1..=3 {
        let read = cluster.ask(1, &format!("GET /b/{node}?domain=d.example"), &[], b"");
        // A client that was redirected and did not follow has stored nothing.
        assert!(read.status == 404 || read.text() == "whole", "{read:?}");
    }
}

/// Undefined Responses; Error Responses to READ: what ends a connection.
#[test]
fn bad_requests_end_the_connection() {
    let mut cluster = Cluster::of(1, 5);
    for (bytes, line) in [
        (&b"GET / HTTP/1.0\r\n\r\n"[..], "505 HTTP Version not supported"),
        (b"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"PATCH / HTTP/1.1\r\nHost: h\r\n\r\n", "501 Not Implemented"),
        (b"RELEASE /a/b HTTP/1.1\r\nHost: h\r\n\r\n", "501 Not Implemented"),
    ] {
        let bytes = bytes.to_vec();
        let (answer, closed) = cluster.talk(1, |mut talk| async move {
            talk.say(&bytes).await;
            let answer = talk.hear(false).await;
            let closed = talk.is_closed().await;
            (answer, closed)
        });
        assert_eq!(answer.line, line);
        assert!(closed && answer.must("connection") == "close", "{answer:?}");
        assert_eq!(answer.body.is_empty(), answer.status == 505);
    }
}
