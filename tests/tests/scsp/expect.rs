//! `Expect: 100-continue`, and bodies that nobody asked for (SCSP WRITE).

use std::time::Duration;

use crate::talk::{CONTEXT, head_of, request, told};

const NOWHERE: &str = "POST /none/x?domain=acme.example";

/// SCSP WRITE: a redirect, an error, or `100 Continue` when the node is ready to store; nothing is read before.
#[test]
fn a_write_that_asks_first_gets_a_redirect_or_leave_to_continue() {
    told(4, |wire| async move {
        wire.make_bucket().await;
        let mut seen = (0, 0);
        for number in 0..12 {
            let line = format!("POST /scans/{number}?domain=acme.example");
            let mut talk = wire.dial(1 + number % 4).await;
            talk.say(head_of(&line, &["Expect: 100-Continue"], "hello")).await;
            let first = talk.hear(&line).await;
            match first.status {
                100 => {
                    seen.0 += 1;
                    talk.say("hello").await;
                    assert_eq!(talk.hear(&line).await.status, 201);
                }
                307 => {
                    seen.1 += 1;
                    assert!(first.closes() && talk.is_closed().await, "the body may follow or not");
                }
                other => panic!("{other}: {first:?}"),
            }
        }
        assert!(seen.0 > 0 && seen.1 > 0, "{seen:?}");
    });
}

/// SCSP WRITE: an error in place of `100 Continue`; the connection cannot be kept.
#[test]
fn an_error_comes_instead_of_leave_to_continue() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for (line, headers, status) in [
            (NOWHERE, vec![], 412),
            ("POST /?domain=new.example", vec![CONTEXT], 401),
            ("PUT /scans/none?domain=acme.example", vec![], 404),
            ("POST /scans/x?domain=acme.example&hashtype=md5", vec![], 501),
        ] {
            let headers = [&headers[..], &["Expect: 100-continue"]].concat();
            let mut talk = wire.dial(1).await;
            talk.say(head_of(line, &headers, "hello")).await;
            let heard = talk.hear(line).await;
            assert_eq!(heard.status, status, "{line}: {heard:?}");
            assert!(heard.closes() && talk.is_closed().await, "{line}: {heard:?}");
        }
    });
}

/// SDK client.py: a zero-length write can be final without a 100.
#[test]
fn an_empty_write_gets_no_leave_to_continue() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let line = "POST /scans/empty?domain=acme.example";
        let heard = wire.ask(1, line, &["Expect: 100-continue"], "").await;
        assert_eq!(heard.status, 201, "{heard:?}");
    });
}

/// SCSP WRITE: a client that does not ask may send everything at once, of any length.
#[test]
fn a_long_body_without_expect_is_stored() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let body: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
        let line = "/scans/long?domain=acme.example";
        assert_eq!(wire.ask(1, &format!("POST {line}"), &[], &body).await.status, 201);
        let read = wire.ask(2, &format!("GET {line}"), &[], "").await;
        assert!(read.status == 200 && read.body == body);
    });
}

/// SCSP WRITE: before a redirect or an error the whole unasked body is read; the connection goes on.
#[test]
fn a_connection_is_kept_behind_a_body_that_was_not_wanted() {
    told(4, |wire| async move {
        wire.make_bucket().await;
        let mut redirects = 0;
        for number in 0..8 {
            let line = format!("POST /scans/{number}?domain=acme.example");
            let mut talk = wire.dial(1).await;
            talk.say(request(&line, &[], vec![b'x'; 200_000])).await;
            let first = talk.hear(&line).await;
            redirects += u32::from(first.status == 307);
            assert!(matches!(first.status, 201 | 307) && !first.closes(), "{first:?}");
            talk.say(request(NOWHERE, &[], vec![b'y'; 100_000])).await;
            assert_eq!(talk.hear(NOWHERE).await.status, 412);
            talk.say(request("GET /", &[], "")).await;
            assert_eq!(talk.hear("GET /").await.status, 200);
        }
        assert!(redirects > 0);
    });
}

/// SCSP WRITE: the body is read first, so the answer waits for all of it.
#[test]
fn an_error_waits_for_the_end_of_an_unasked_body() {
    told(2, |wire| async move {
        let mut talk = wire.dial(1).await;
        let whole = request(NOWHERE, &[], vec![b'x'; 100_000]);
        talk.say(&whole[..60_000]).await;
        assert!(talk.hears_nothing_for(Duration::from_secs(5)).await);
        talk.say(&whole[60_000..]).await;
        assert_eq!(talk.hear(NOWHERE).await.status, 412);
    });
}

/// Our choice: beyond 8 MiB an unwanted body costs its client the connection.
#[test]
fn a_very_long_unwanted_body_ends_the_connection() {
    told(2, |wire| async move {
        let mut talk = wire.dial(1).await;
        let length = format!("Content-Length: {}", (8 << 20) + 1);
        talk.say(head_of(NOWHERE, &[&length], "")).await;
        let heard = talk.hear(NOWHERE).await;
        assert!(heard.status == 412 && heard.closes(), "{heard:?}");
        assert!(talk.is_closed().await);
        let mut talk = wire.dial(1).await;
        talk.say(request(NOWHERE, &[], vec![b'x'; 8 << 20])).await;
        let heard = talk.hear(NOWHERE).await;
        assert!(heard.status == 412 && !heard.closes(), "{heard:?}");
    });
}
