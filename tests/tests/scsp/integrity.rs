//! Content that is not what it should be, or does not arrive: nothing of it is ever seen.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::talk::{request, told};

const X: &str = "/scans/x?domain=acme.example";

/// MD5 of "hello swarm\n".
const MD5: &str = "U3PaSMfKl5CHM1OlUleHoQ==";

/// Content-MD5 Checksums: a digest that fits is stored and comes back.
#[test]
fn a_content_md5_that_fits_is_stored() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let md5 = format!("Content-MD5: {MD5}");
        let written = wire.ask(1, &format!("POST {X}"), &[&md5], "hello swarm\n").await;
        assert_eq!(written.status, 201, "{written:?}");
        for verb in ["GET", "HEAD"] {
            let read = wire.ask(2, &format!("{verb} {X}"), &[], "").await;
            assert_eq!(read.must("content-md5"), MD5, "{verb}");
        }
    });
}

/// Content-MD5 Checksums: a digest that does not fit is 400, and nothing is stored.
#[test]
fn a_content_md5_that_does_not_fit_stores_nothing() {
    told(3, |wire| async move {
        wire.make_bucket().await;
        let md5 = format!("Content-MD5: {MD5}");
        for body in ["hello swarn\n", "", "hello swarm\n\n"] {
            for expect in [&[][..], &["Expect: 100-continue"]] {
                let headers = [&[md5.as_str()], expect].concat();
                let refused = wire.ask(1, &format!("POST {X}"), &headers, body).await;
                assert_eq!(refused.error(), (400, "ContentMD5Mismatch"), "{body:?}");
                assert_eq!(refused.why(), "Content-MD5 mismatch.");
                assert!(refused.closes());
                assert_eq!(refused.must("content-length"), "74");
            }
        }
        wire.assert_nothing_at(3, X).await;
        assert_eq!(wire.ask(1, &format!("POST {X}"), &[], "old").await.status, 201);
        for verb in ["PUT", "POST"] {
            let refused = wire.ask(2, &format!("{verb} {X}"), &[&md5], "new").await;
            assert_eq!(refused.error(), (400, "ContentMD5Mismatch"), "{verb}");
            for node in 1..=3 {
                assert_eq!(wire.ask(node, &format!("GET {X}"), &[], "").await.text(), "old");
            }
        }
    });
}

/// Our choice: a digest that cannot be one is refused before the body.
#[test]
fn a_malformed_content_md5_is_400() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let short = format!("Content-MD5: {}", BASE64_STANDARD.encode([0; 15]));
        for header in ["Content-MD5: ???", "Content-MD5:", &short] {
            let refused = wire.ask(1, &format!("POST {X}"), &[header], "x").await;
            assert_eq!(refused.error(), (400, "InvalidHeader"), "{header}");
        }
        wire.assert_nothing_at(2, X).await;
    });
}

/// SCSP WRITE; our choice: of a body that ends early nothing is visible, of what it was to replace nothing is lost.
#[test]
fn a_client_that_vanishes_mid_body_leaves_nothing_visible() {
    told(3, |wire| async move {
        wire.make_bucket().await;
        let old = "/scans/old?domain=acme.example";
        assert_eq!(wire.ask(1, &format!("POST {old}"), &[], "old").await.status, 201);
        for (target, verb) in [(X, "POST"), (old, "POST"), (old, "PUT")] {
            for length in [10, 300_000] {
                let line = format!("{verb} {target}");
                for node in 1..=3 {
                    let whole = request(&line, &[], vec![b'x'; length]);
                    let mut talk = wire.dial(node).await;
                    talk.say(&whole[..whole.len() - 1]).await;
                    wire.env().sleep(Duration::from_millis(500)).await;
                    drop(talk);
                }
            }
        }
        wire.env().sleep(Duration::from_secs(2)).await;
        wire.assert_nothing_at(3, X).await;
        for node in 1..=3 {
            assert_eq!(wire.ask(node, &format!("GET {old}"), &[], "").await.text(), "old");
            let status = wire.manage(node, "/api/status").await;
            assert!(status.contains("\"requests\":0"), "a session is left: {status}");
        }
        assert_eq!(wire.ask(2, &format!("POST {X}"), &[], "whole").await.status, 201);
    });
}

/// Our choice: a client that ends its side early can still hear that this was too little.
#[test]
fn a_short_body_is_400_to_whoever_still_listens() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let mut heard = Vec::new();
        for node in 1..=2 {
            let whole = request(&format!("POST {X}"), &[], "hello");
            let mut talk = wire.dial(node).await;
            talk.say(&whole[..whole.len() - 1]).await;
            talk.fall_silent().await;
            let answer = talk.hear("POST ").await;
            assert!(answer.closes() && talk.is_closed().await, "{answer:?}");
            heard.push(answer.status);
        }
        assert!(heard.contains(&400), "{heard:?}");
        wire.assert_nothing_at(2, X).await;
    });
}

/// SDK client.py: the same body comes back byte for byte, through every node.
#[test]
fn bodies_of_many_lengths_come_back_whole() {
    told(3, |wire| async move {
        wire.make_bucket().await;
        for length in [0_usize, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_500_001] {
            let body: Vec<u8> = (0..length).map(|number| (number * 7 % 251) as u8).collect();
            let line = format!("/scans/{length}?domain=acme.example");
            assert_eq!(wire.ask(1, &format!("POST {line}"), &[], &body).await.status, 201);
            for node in 1..=3 {
                let read = wire.ask(node, &format!("GET {line}"), &[], "").await;
                assert!(read.status == 200 && read.body == body, "{length} through {node}");
            }
        }
    });
}
