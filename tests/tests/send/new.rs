//! The sentences of SCSP SEND, as of Swarm 11.2.

use std::time::Duration;

use serde_json::json;

use super::kit::{SECOND, Sent, is_date, told, told_over, told_with};

/// "The SCSP SEND method applies to both named and unnamed objects."
#[test]
fn named_and_unnamed_objects() {
    told(1, |pair| async move {
        let feed = pair.feed("dr", &json!({})).await;
        pair.write("named", "n").await;
        assert_eq!(pair.send("named", &format!("feedid={feed}")).await.code(feed), 0);
        assert_eq!(pair.at_dr("named").await.as_deref(), Some("n"));
        for target in ["/", "/?alias"] {
            let written = pair.ask_with("main", &format!("POST {target}"), &[], "u").await;
            let uuid = written.header("content-uuid").expect("an unnamed object").to_owned();
            let alias = if target == "/" { "" } else { "alias&" };
            let line = format!("SEND /{uuid}?{alias}admin&feedid={feed}");
            assert_eq!(pair.ask("main", &line, &[]).await.code(feed), 0, "{target}");
            let read = pair.ask("dr", &format!("GET /{uuid}"), &[]).await;
            assert_eq!((read.status, read.body.as_str()), (200, "u"), "{target}");
        }
    });
}

/// A domain or a bucket is an object too.
#[test]
fn a_context_can_be_sent() {
    told(31, |pair| async move {
        let feed = pair.feed("dr", &json!({})).await;
        let bucket = pair.ask_with("main", "POST /more?domain=acme.example", &[], "").await;
        assert_eq!(bucket.status, 201, "{bucket:?}");
        for context in ["/?domain=acme.example", "/more?domain=acme.example"] {
            let line = format!("SEND {context}&admin&feedid={feed}");
            let sent = pair.ask("main", &line, &[]).await;
            assert_eq!((sent.status, sent.code(feed)), (200, 0), "{context}: {sent:?}");
            let there = pair.ask("dr", &format!("HEAD {context}"), &[]).await;
            assert_eq!(there.status, 200, "{context}: {there:?}");
        }
    });
}

/// "The SEND request lets you explicitly transmit a newly written object from a source cluster to a remote one, such as for
/// keeping two clusters immediately synchronized."
#[test]
fn a_newly_written_object_is_there_at_once() {
    told(2, |pair| async move {
        let feed = pair.feed("dr", &json!({})).await;
        for version in 0..5 {
            let body = format!("version {version}");
            pair.write("x", &body).await;
            let sent = pair.send("x", &format!("feedid={feed}")).await;
            assert_eq!((sent.status, sent.code(feed)), (200, 0));
            assert!(sent.took < 2 * SECOND, "{:?}", sent.took);
            assert_eq!(pair.at_dr("x").await, Some(body), "before anything else happens");
        }
    });
}

/// "As of Swarm 11.2, the feed SEND method works with any feed type, so that it can force synchronous processing of a
/// specific object on one or more of those feeds."
#[test]
fn any_type_and_any_number_of_feeds() {
    told(3, |pair| async move {
        let one = pair.feed("one", &json!({})).await;
        let two = pair.feed("two", &json!({})).await;
        pair.write("x", "x").await;
        let sent = pair.send("x", &format!("feedid={one}&feedid={two}")).await;
        assert_eq!((sent.code(one), sent.code(two)), (0, 0));
        pair.write("y", "y").await;
        let sent = pair.send("y", "feedtype=replication").await;
        assert_eq!((sent.code(one), sent.code(two)), (0, 0));
        for kind in ["search", "indexing", "s3backup"] {
            let sent = pair.send("y", &format!("feedtype={kind}")).await;
            assert_eq!((sent.status, sent.feed(one)), (200, None), "{kind}: there is none of them");
        }
        pair.write("z", "z").await;
        let sent = pair.send("z", &format!("feedtype=search&feedid={two}")).await;
        assert_eq!((sent.feed(one), sent.code(two)), (None, 0));
    });
}

/// "Use this feature with a replication feed, which will act as a catch-up mechanism if the intracluster network is down or
/// the SEND command should fail."
#[test]
fn the_feed_catches_up_where_a_send_has_failed() {
    told(4, |pair| async move {
        let feed = pair.feed("dr", &json!({})).await;
        let cut = pair.cut().await;
        pair.write("x", "x").await;
        let sent = pair.send("x", &format!("feedid={feed}&timeout=5")).await;
        assert_ne!(sent.code(feed), 0, "nobody can have it");
        pair.heal(cut).await;
        pair.wait(300 * SECOND).await;
        assert_eq!(pair.at_dr("x").await.as_deref(), Some("x"), "nobody has asked again");
        assert_eq!(pair.head("x").await.code(feed), 0);
    });
}

/// "With a SEND request, you provide the path or UUID for the Swarm object to be sent to one or more feeds."
#[test]
fn what_is_not_there_cannot_be_sent() {
    told(5, |pair| async move {
        let feed = pair.feed("dr", &json!({})).await;
        assert_eq!(pair.send("nothing", &format!("feedid={feed}")).await.status, 404);
        let line = format!("SEND /0123456789abcdef0123456789abcdef?admin&feedid={feed}");
        assert_eq!(pair.ask("main", &line, &[]).await.status, 404);
        let line = format!("SEND /?admin&feedid={feed}");
        assert_eq!(pair.ask("main", &line, &[]).await.status, 400, "neither path nor UUID");
    });
}

/// "Swarm checks the destination cluster to verify whether the object already exists there."
#[test]
fn what_the_target_has_is_not_sent_again() {
    // A body of 100,000 bytes takes four seconds.
    told_over(6, Duration::from_millis(20), 200_000, |pair| async move {
        let first = pair.feed("first", &json!({})).await;
        pair.write("x", &"x".repeat(100_000)).await;
        let sent = pair.send("x", &format!("feedid={first}")).await;
        assert_eq!(sent.code(first), 0);
        assert!(sent.took > 3 * SECOND, "its body crosses: {:?}", sent.took);
        let dr = pair.ask("dr", "HEAD /scans/x?domain=acme.example", &[]).await;
        let version = dr.header("castor-system-version").map(str::to_owned);
        pair.delete_feed(first).await;
        // It knows nothing of what the first has done, and has done nothing itself.
        let second = pair.feed("second", &json!({ "paused": true })).await;
        assert_ne!(first, second);
        assert_eq!(pair.head("x").await.code(second), 1);
        pair.resume(second).await;
        let sent = pair.send("x", &format!("feedid={second}")).await;
        assert_eq!((sent.in_head(), sent.code(second)), (vec![], 0), "done because of the SEND");
        assert!(sent.took < SECOND, "no body crosses: {:?}", sent.took);
        let dr = pair.ask("dr", "HEAD /scans/x?domain=acme.example", &[]).await;
        assert_eq!(dr.header("castor-system-version"), version.as_deref());
        pair.wait(100 * SECOND).await;
        let stats = &pair.shown(second).await["stats"];
        assert!(stats["alreadyPresent"].as_u64() > Some(0), "{stats}");
        assert_eq!(
            (&stats["transferredObjects"], &stats["transferredBytes"]),
            (&0.into(), &0.into())
        );
    });
}

/// "Feed-<id>-Status — (The same value as a verbose HEAD/GET request.)" and "Feed-<id>-StatusTime — (The same value as a
/// verbose HEAD/GET request)."
#[test]
fn the_values_are_those_of_a_verbose_head_or_get() {
    told(7, |pair| async move {
        let feed = pair.feed("dr", &json!({ "retryWait": 3600 })).await;
        pair.write("done", "d").await;
        let mut all: Vec<(&str, Sent)> =
            vec![("done", pair.send("done", &format!("feedid={feed}")).await)];
        pair.kill_dr().await;
        pair.write("failed", "f").await;
        all.push(("failed", pair.send("failed", &format!("feedid={feed}")).await));
        pair.change(feed, r#"{"paused": true}"#).await;
        pair.write("waiting", "w").await;
        all.push(("waiting", pair.send("waiting", &format!("feedid={feed}&timeout=1")).await));
        for (name, sent) in &all {
            for verb in ["HEAD", "GET"] {
                let line = format!("{verb} /scans/{name}?domain=acme.example&admin&verbose");
                let seen = pair.ask("main", &line, &[]).await;
                assert_eq!(seen.feed(feed), sent.feed(feed), "{verb} {name}");
                assert!(seen.feed(feed).is_some(), "{verb} {name}");
            }
        }
        let codes: Vec<u16> = all.iter().map(|(_, sent)| sent.code(feed)).collect();
        assert!(codes[0] == 0 && codes[1] > 1 && codes[2] == 1, "{codes:?}");
    });
}

/// "The ID refers to the Swarm-assigned ID field in the feed definition."
#[test]
fn the_id_is_that_of_the_definition() {
    told(8, |pair| async move {
        let gone = pair.feed("gone", &json!({})).await;
        pair.delete_feed(gone).await;
        let feed = pair.feed("dr", &json!({})).await;
        assert_eq!(pair.shown(feed).await["id"], feed);
        assert_ne!(gone, feed);
        pair.write("x", "x").await;
        let sent = pair.send("x", "feedid=all").await;
        assert_eq!(sent.code(feed), 0);
        assert_eq!(sent.feed(gone), None);
    });
}

/// "0 is a success, meaning that no writes remain to be completed."
#[test]
fn after_success_nothing_remains_to_be_written() {
    told(9, |pair| async move {
        let feed = pair.feed("dr", &json!({})).await;
        pair.write("x", "x").await;
        assert_eq!(pair.send("x", &format!("feedid={feed}")).await.code(feed), 0);
        assert_eq!(pair.at_dr("x").await.as_deref(), Some("x"));
        pair.wait(400 * SECOND).await;
        let shown = pair.shown(feed).await;
        assert_eq!(
            (&shown["status"], &shown["stats"]["pendingProcessing"]),
            (&"OK".into(), &0.into())
        );
        let cut = pair.cut().await;
        let again = pair.send("x", &format!("feedid={feed}")).await;
        assert_eq!((again.code(feed), again.in_trailers()), (0, vec![]), "there is nothing to do");
        assert!(again.took < 2 * SECOND, "{:?}", again.took);
        pair.heal(cut).await;
    });
}

/// "1 is a timeout." and "If Feed-<id>-Status is 1, then Feed-<id>-StatusTime will be blank because the object has not been
/// processed by the feed."
#[test]
fn a_time_out_is_1_and_has_a_blank_time() {
    told(10, |pair| async move {
        let feed = pair.feed("dr", &json!({ "paused": true })).await;
        pair.write("x", "x").await;
        let sent = pair.send("x", &format!("feedid={feed}&timeout=3")).await;
        assert_eq!((sent.status, sent.feed(feed)), (200, Some(("1", ""))));
        assert!(sent.took >= 3 * SECOND && sent.took <= 4 * SECOND, "{:?}", sent.took);
    });
}

/// "Any other positive number is a failure."
#[test]
fn other_numbers_are_failures() {
    told(11, |pair| async move {
        let wrong = json!({ "remoteAuth": { "user": "admin", "password": "wrong" } });
        let refused = pair.feed("wrong password", &wrong).await;
        let elsewhere = pair.feed("wrong name", &json!({ "clusterName": "west" })).await;
        pair.write("x", "x").await;
        let sent = pair.send("x", "feedid=all&timeout=20").await;
        assert_eq!((sent.status, sent.code(refused), sent.code(elsewhere)), (200, 401, 412));
        assert_eq!(pair.at_dr("x").await, None);
        for feed in [refused, elsewhere] {
            let (_, at) = sent.feed(feed).expect("told");
            assert!(is_date(at), "{at}");
        }
    });
}

/// "The HTTP time of the last replication attempt or success."
#[test]
fn the_time_is_that_of_the_last_attempt_or_success() {
    told(12, |pair| async move {
        let feed = pair.feed("dr", &json!({ "retryWait": 3600 })).await;
        pair.write("x", "x").await;
        let sent = pair.send("x", &format!("feedid={feed}")).await;
        let (_, first) = sent.feed(feed).expect("told");
        assert_eq!(
            Some(first),
            sent.header("date"),
            "in the second of the answer, on a fast network"
        );
        pair.wait(100 * SECOND).await;
        assert_eq!(pair.send("x", &format!("feedid={feed}")).await.feed(feed), Some(("0", first)));
        pair.kill_dr().await;
        pair.write("y", "y").await;
        let one = pair.send("y", &format!("feedid={feed}")).await;
        pair.wait(100 * SECOND).await;
        let other = pair.send("y", &format!("feedid={feed}")).await;
        assert_eq!(one.code(feed), other.code(feed));
        assert_ne!(one.feed(feed), other.feed(feed), "each is an attempt");
    });
}

/// "The response is chunked encoded and may include trailing headers"
#[test]
fn the_response_is_chunked() {
    told(13, |pair| async move {
        let feed = pair.feed("dr", &json!({})).await;
        pair.write("x", "x").await;
        for _ in 0..2 {
            let sent = pair.send("x", &format!("feedid={feed}")).await;
            assert_eq!(sent.header("transfer-encoding"), Some("chunked"));
            assert_eq!(sent.header("content-length"), None);
        }
    });
}

/// "The above feed statuses are provided immediately in the 200 response headers for feeds with a successful status (0)
/// prior to the request."
#[test]
fn what_was_successful_before_stands_in_the_response_headers() {
    told(14, |pair| async move {
        let done = pair.feed("done", &json!({})).await;
        pair.write("x", "x").await;
        pair.wait(10 * SECOND).await;
        let waits = pair.feed("waits", &json!({ "paused": true })).await;
        let sent = pair.send("x", "feedid=all&timeout=2").await;
        let (head, behind) = (sent.in_head(), sent.in_trailers());
        assert_eq!(head[0], (format!("feed-{done}-status").as_str(), "0"));
        assert_eq!(head[1].0, format!("feed-{done}-statustime"));
        assert_eq!(head.len(), 2, "{sent:?}");
        assert_eq!(behind[0], (format!("feed-{waits}-status").as_str(), "1"));
        assert_eq!(behind.len(), 2, "{sent:?}");
    });
}

/// "If there is no matching feed, there are no feed status headers."
#[test]
fn without_a_matching_feed_there_are_no_headers() {
    told(15, |pair| async move {
        pair.write("x", "x").await;
        for feeds in ["feedid=all", "feedtype=all", "feedtype=replication"] {
            let sent = pair.send("x", feeds).await;
            assert_eq!((sent.status, sent.in_head(), sent.in_trailers()), (200, vec![], vec![]));
        }
        let scope = json!({ "scope": { "domains": ["other.example"] } });
        pair.feed("out of scope", &scope).await;
        let sent = pair.send("x", "feedid=all").await;
        assert_eq!((sent.status, sent.in_head(), sent.in_trailers()), (200, vec![], vec![]));
        pair.wait(60 * SECOND).await;
        assert_eq!(pair.at_dr("x").await, None);
    });
}

/// "Any other feed statuses are provided as trailing headers." and "At the end of the quest, the trailing headers are sent
/// both in the body of the request and as trailing headers."
#[test]
fn other_statuses_are_trailing_headers_and_lines_of_the_body() {
    told(16, |pair| async move {
        let done = pair.feed("done", &json!({})).await;
        let waits = pair.feed("waits", &json!({ "paused": true })).await;
        pair.kill_dr().await;
        pair.write("x", "x").await;
        let sent = pair.send("x", "feedtype=all&timeout=2").await;
        assert_eq!(sent.in_head(), []);
        assert!(sent.code(done) > 1 && sent.code(waits) == 1, "{sent:?}");
        let lines: String = sent
            .in_trailers()
            .iter()
            .map(|(name, value)| {
                let name = name.replace("feed", "Feed").replace("statustime", "StatusTime");
                format!("{}: {value}\r\n", name.replace("status", "Status"))
            })
            .collect();
        assert_eq!(sent.body.trim_start_matches('\n'), lines);
    });
}

/// "A newline keep-alive chunk is sent periodically as per scsp.keepAliveInterval during processing."
#[test]
fn newlines_keep_it_alive() {
    let settings = [("scsp.keepAliveInterval", "0.5")];
    told_with(17, &settings, |pair| async move {
        let feed = pair.feed("dr", &json!({ "paused": true })).await;
        pair.write("x", "x").await;
        let sent = pair.send("x", &format!("feedid={feed}&timeout=5.25")).await;
        let newlines = sent.body.bytes().take_while(|byte| *byte == b'\n').count();
        assert_eq!(newlines, 10, "{sent:?}");
        assert_eq!(
            sent.body.trim_start(),
            format!("Feed-{feed}-Status: 1\r\nFeed-{feed}-StatusTime: \r\n")
        );
    });
}

/// "All results are sent at the end of the response, not when processing completes for an individual feed."
#[test]
fn all_results_come_at_the_end() {
    told(18, |pair| async move {
        let fast = pair.feed("fast", &json!({})).await;
        let slow = pair.feed("slow", &json!({ "paused": true })).await;
        pair.write("x", "x").await;
        let sent = pair.send("x", "feedid=all&timeout=25").await;
        assert_eq!((sent.code(fast), sent.code(slow)), (0, 1));
        let end = format!("Feed-{fast}-Status: 0\r\n");
        let results = sent.body.trim_start_matches('\n');
        assert_eq!(
            sent.body.len() - results.len(),
            2,
            "twice a sign of life, and nothing of the fast one"
        );
        assert!(results.starts_with(&end), "{sent:?}");
        let exact = Duration::from_secs(25);
        assert!(sent.took >= exact && sent.took < exact + SECOND, "{:?}", sent.took);
    });
}

/// "If a feed-to-be-processed is blocked or paused, a failure or timeout response is provided, with no automatic retries."
#[test]
fn blocked_and_paused_feeds_are_not_tried_again() {
    told(19, |pair| async move {
        let blocked = pair.feed("blocked", &json!({ "retryWait": 3600 })).await;
        let paused = pair.feed("paused", &json!({ "paused": true })).await;
        pair.kill_dr().await;
        // Every node finds out for itself, by what it tries to send.
        let mut nth = 0;
        while !pair.is_blocked_everywhere(blocked).await {
            pair.write(&format!("before{nth}"), "b").await;
            pair.wait(10 * SECOND).await;
            nth += 1;
            assert!(nth < 30, "{}", pair.shown(blocked).await);
        }
        pair.write("x", "x").await;
        let sent = pair.send("x", "feedid=all&timeout=5").await;
        assert!(sent.code(blocked) > 1 && sent.code(paused) == 1, "{sent:?}");
        // It could be reached again, but nobody tries before its time.
        pair.start_dr().await;
        pair.wait(60 * SECOND).await;
        assert_eq!(pair.at_dr("x").await, None);
        let sent = pair.send("x", &format!("feedid={blocked}")).await;
        assert_eq!(sent.code(blocked), 0, "who asks again is served");
        assert_eq!(pair.at_dr("x").await.as_deref(), Some("x"));
    });
}
