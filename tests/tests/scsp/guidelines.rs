//! Lifepoint Metadata Headers, guideline by guideline: each test quotes the heading that it is about.
//!
//! What only the health processor does about a lifepoint is seen in scenarios; here is what a client sees.

use std::time::Duration;

use super::lifepoints::date_in;
use crate::talk::{ADMIN, CONTEXT, Heard, Wire, told, told_with};

const X: &str = "/scans/x?domain=acme.example";

/// Writes the object with these lifepoints, each as a header of its own.
async fn write(wire: &Wire, query: &str, lifepoints: &[&str]) -> Heard {
    let headers: Vec<String> =
        lifepoints.iter().map(|lifepoint| format!("Lifepoint: {lifepoint}")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let written = wire.ask(1, &format!("POST {X}{query}"), &headers, "x").await;
    assert_eq!(written.status, 201, "{lifepoints:?}: {written:?}");
    written
}

async fn delete(wire: &Wire) -> u16 {
    wire.ask(2, &format!("DELETE {X}"), &[], "").await.status
}

/// The three forms of a date of HTTP, from the first of them.
fn forms(date: &str) -> [String; 3] {
    let parts: Vec<&str> = date.split(' ').collect();
    let [_, day, month, year, clock, "GMT"] = parts[..] else { panic!("{date}") };
    let unpadded: u32 = day.parse().expect("a day");
    [
        date.to_owned(),
        format!("Thursday, {day}-{month}-{} {clock} GMT", &year[2..]),
        format!("Thu {month} {unpadded:>2} {clock} {year}"),
    ]
}

/// "Make every lifepoint stand alone"
#[test]
fn deletable_no_is_not_inherited_by_the_next_lifepoint() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let first = format!("[{}] reps=2, deletable=no", date_in(&wire, 60).await);
        let second = format!("[{}] reps=2", date_in(&wire, 120).await);
        write(&wire, "", &[&first, &second, "[] reps=2, deletable=no"]).await;
        assert_eq!(delete(&wire).await, 403, "the first lifepoint forbids it");
        wire.env().sleep(Duration::from_secs(61)).await;
        // The second says nothing about deletes, so clients may.
        assert_eq!(delete(&wire).await, 200, "the second does not");
    });
}

/// "Make every lifepoint stand alone"
#[test]
fn deletable_no_can_come_back_with_a_later_lifepoint() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let first = format!("[{}] reps=2", date_in(&wire, 60).await);
        write(&wire, "", &[&first, "[] reps=2,deletable=no"]).await;
        wire.env().sleep(Duration::from_secs(61)).await;
        assert_eq!(delete(&wire).await, 403);
        assert_eq!(wire.ask(1, &format!("GET {X}"), &[], "").await.text(), "x");
    });
}

/// "Make every lifepoint stand alone"
#[test]
fn reps_of_another_lifepoint_do_not_count() {
    told_with(4, &[("policy.replicas", "min:1 max:4 default:2")], |wire| async move {
        wire.make_bucket().await;
        let past = "[Thu, 01 Jan 1970 00:00:00 GMT] reps=4";
        let soon = date_in(&wire, 1_000).await;
        for (lifepoints, copies) in [
            // The one in force says 3.
            (vec![past.to_owned(), format!("[{soon}] reps=3"), "[] reps=1".to_owned()], "3"),
            // It says nothing of replicas: the policy's default, and not what the others say.
            (vec![past.to_owned(), format!("[{soon}] deletable=yes"), "[] reps=4".into()], "2"),
            // None is in force any more.
            (vec![past.to_owned()], "2"),
        ] {
            let lifepoints: Vec<&str> = lifepoints.iter().map(String::as_str).collect();
            let written = write(&wire, "&replicate=full", &lifepoints).await;
            assert_eq!(written.must("replica-count"), copies, "{lifepoints:?}");
            wire.env().sleep(Duration::from_secs(1)).await;
        }
    });
}

/// "Make every lifepoint stand alone"
#[test]
fn lifepoints_may_stand_on_one_line_and_in_any_order() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let soon = date_in(&wire, 300).await;
        let locked = format!("[{soon}] reps=2, deletable=no");
        for lifepoints in [
            vec![format!("{locked}, [] delete")],
            vec![format!("[] delete,{locked}")],
            vec!["[] delete".to_owned(), locked.clone()],
            vec![locked.clone(), "[] delete".to_owned()],
        ] {
            let lifepoints: Vec<&str> = lifepoints.iter().map(String::as_str).collect();
            write(&wire, "", &lifepoints).await;
            assert_eq!(delete(&wire).await, 403, "{lifepoints:?}");
            wire.env().sleep(Duration::from_secs(1)).await;
        }
        wire.env().sleep(Duration::from_secs(300)).await;
        wire.assert_nothing_at(2, X).await;
    });
}

/// "Provide time in GMT"
#[test]
fn all_three_forms_of_a_date_are_understood() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for form in 0..3 {
            let end = forms(&date_in(&wire, 60).await)[form].clone();
            write(&wire, "", &[&format!("[{end}] deletable=no"), "[] delete"]).await;
            assert_eq!(delete(&wire).await, 403, "{end}");
            wire.env().sleep(Duration::from_secs(61)).await;
            wire.assert_nothing_at(2, X).await;
        }
    });
}

/// "Provide time in GMT"
#[test]
fn the_instant_of_the_end_belongs_to_the_next_lifepoint() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let end = date_in(&wire, 60).await;
        write(&wire, "", &[&format!("[{end}] reps=2"), "[] delete"]).await;
        loop {
            // An answer's date is that of the node that gave it, taken after it looked at the lifepoint.
            let heard = wire.ask(1, &format!("GET {X}"), &[], "").await;
            let date = heard.must("date").to_owned();
            if heard.status == 404 {
                assert!(date >= end, "404 at {date}, before {end}");
                break;
            }
            assert!(date <= end, "{} at {date}, after {end}", heard.status);
            wire.env().sleep(Duration::from_millis(100)).await;
        }
    });
}

/// "Provide time in GMT"
#[test]
fn another_zone_makes_the_lifepoint_void() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let good = date_in(&wire, 600).await;
        for bad in [
            good.replace("GMT", "UTC"),
            good.replace("GMT", "EST"),
            good.replace("GMT", "+0000"),
            good.replace(" GMT", ""),
            "2026-01-01T00:10:00Z".to_owned(),
        ] {
            // The date is not understood, so `deletable=no` does not hold.
            write(&wire, "", &[&format!("[{bad}] reps=2, deletable=no")]).await;
            assert_eq!(delete(&wire).await, 200, "{bad}");
            wire.env().sleep(Duration::from_secs(1)).await;
        }
    });
}

/// "Provide time in GMT"
#[test]
fn the_weekday_is_not_looked_at() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let end = date_in(&wire, 60).await.replace("Thu", "Mon");
        write(&wire, "", &[&format!("[{end}] deletable=no"), "[] delete"]).await;
        assert_eq!(delete(&wire).await, 403);
        wire.env().sleep(Duration::from_secs(61)).await;
        wire.assert_nothing_at(2, X).await;
    });
}

/// "Do not use deletable= without reps="
#[test]
fn of_two_lifepoints_without_an_end_the_first_counts() {
    told_with(3, &[("policy.replicas", "min:1 max:3 default:2")], |wire| async move {
        wire.make_bucket().await;
        // The page's own example of what is wrong.
        let written = write(&wire, "&replicate=full", &["[] reps=1", "[] deletable=no"]).await;
        assert_eq!(written.field("replica-count"), None, "one replica");
        assert_eq!(delete(&wire).await, 200, "the second is not there");
        wire.env().sleep(Duration::from_secs(1)).await;
        let written = write(&wire, "&replicate=full", &["[] deletable=no", "[] reps=3"]).await;
        assert_eq!(written.must("replica-count"), "2", "the policy's default");
        assert_eq!(delete(&wire).await, 403, "the first is there");
    });
}

/// "Do not use deletable= without reps="
#[test]
fn deletable_without_reps_leaves_the_replicas_to_the_policy() {
    told_with(3, &[("policy.replicas", "min:1 max:3 default:3")], |wire| async move {
        wire.make_bucket().await;
        let written = write(&wire, "&replicate=full", &["[] deletable=no"]).await;
        assert_eq!(written.must("replica-count"), "3");
        assert_eq!(delete(&wire).await, 403);
    });
}

/// "Do not use deletable= without reps=": "delete" has neither a value nor an end.
#[test]
fn delete_with_a_value_or_an_end_deletes_nothing() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let soon = date_in(&wire, 30).await;
        for lifepoint in [
            format!("[{soon}] delete"),
            format!("[{soon}] reps=2, delete"),
            "[] delete=yes".to_owned(),
            "[] delete=".to_owned(),
        ] {
            write(&wire, "", &[&lifepoint]).await;
            wire.env().sleep(Duration::from_secs(31)).await;
            for node in 1..=2 {
                let read = wire.ask(node, &format!("GET {X}"), &[], "").await;
                assert_eq!((read.status, &*read.text()), (200, "x"), "{lifepoint}");
            }
        }
    });
}

/// "Do not use deletable= without reps=": who says both "delete" and `deletable=no` keeps the object.
#[test]
fn delete_beside_deletable_no_keeps_the_object() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        write(&wire, "", &["[] delete, deletable=no"]).await;
        assert_eq!(delete(&wire).await, 403);
        assert_eq!(wire.ask(2, &format!("GET {X}"), &[], "").await.status, 200);
    });
}

/// "Do not delete contexts by lifepoint"
#[test]
fn neither_a_domain_nor_a_bucket_is_ended_by_a_lifepoint() {
    told(2, |wire| async move {
        let end = date_in(&wire, 30).await;
        let ending = format!("Lifepoint: [{end}] reps=2, [] delete");
        for (line, admin) in
            [("POST /?domain=acme.example", true), ("POST /scans?domain=acme.example", false)]
        {
            let mut headers = vec![CONTEXT, &ending];
            headers.extend(admin.then_some(ADMIN));
            assert_eq!(wire.ask(1, line, &headers, "").await.status, 201, "{line}");
        }
        wire.env().sleep(Duration::from_secs(40)).await;
        for node in 1..=2 {
            for target in ["/?domain=acme.example", "/scans?domain=acme.example"] {
                let read = wire.ask(node, &format!("HEAD {target}"), &[], "").await;
                assert_eq!(read.status, 200, "{target}");
                assert_eq!(read.must("lifepoint"), &ending["Lifepoint: ".len()..]);
            }
        }
        // What is in them is not orphaned: it can be written and read.
        assert_eq!(wire.ask(1, &format!("POST {X}"), &[], "x").await.status, 201);
        assert_eq!(wire.ask(2, &format!("GET {X}"), &[], "").await.text(), "x");
    });
}

/// "Do not delete contexts by lifepoint": a client may, unless the lifepoint says `deletable=no`.
#[test]
fn a_bucket_that_is_not_deletable_refuses_delete() {
    told(2, |wire| async move {
        wire.make_domain("acme.example").await;
        let headers = [CONTEXT, "Lifepoint: [] reps=3, deletable=no"];
        let bucket = "/scans?domain=acme.example";
        assert_eq!(wire.ask(1, &format!("POST {bucket}"), &headers, "").await.status, 201);
        for query in ["&recursive", "&recursive=yes"] {
            let refused = wire.ask(2, &format!("DELETE {bucket}{query}"), &[], "").await;
            assert_eq!(refused.error(), (403, "DeleteNotAllowed"), "{query}");
        }
        assert_eq!(wire.ask(1, &format!("HEAD {bucket}"), &[], "").await.status, 200);
    });
}

/// "Do not replicate chunked uploads": only the lifepoint in force at the write counts.
#[test]
fn a_chunked_write_is_refused_by_the_lifepoint_in_force() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let soon = date_in(&wire, 600).await;
        let past = "Thu, 01 Jan 1970 00:00:00 GMT";
        let chunks = "5\r\nhello\r\n0\r\n\r\n";
        for (lifepoint, status) in [
            ("[] reps=3".to_owned(), 400),
            (format!("[{soon}] reps=2, [] reps=5:2"), 400),
            (format!("[{past}] reps=5:2, [] reps=2"), 400),
            // Would be erasure-coded, which is not built yet.
            (format!("[{soon}] reps=5:2, [] reps=3"), 501),
            (format!("[{past}] reps=3"), 501),
            ("[] deletable=no".to_owned(), 501),
            ("[] reps=minus one".to_owned(), 501),
            (format!("[{}] reps=3", soon.replace("GMT", "UTC")), 501),
        ] {
            let header = format!("Lifepoint: {lifepoint}");
            let headers = ["Transfer-Encoding: chunked", &header];
            let refused = wire.ask(1, &format!("POST {X}"), &headers, chunks).await;
            assert_eq!(refused.status, status, "{lifepoint}");
        }
        wire.assert_nothing_at(2, X).await;
    });
}

/// "Do not expect Swarm to validate lifepoints": whatever is sent is taken, kept to the byte and given back.
#[test]
fn lifepoints_come_back_exactly_as_they_were_sent() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for lifepoints in [
            vec!["[Wed, 12 Dec 2016 15:59:02 GMT] reps=5:2", "[] reps=3"],
            vec!["[]reps=3,deletable=no"],
            vec!["[ ] REPS = 03 ,  Deletable = NO"],
            vec!["[] frobnicate=7", "[] delete=yes", "[Mon, 29 Feb 2027 00:00:00 GMT] reps=3"],
            vec!["[Monday, 01-Mar-27 00:00:00 GMT] reps=3, [] deletable"],
            vec!["[Mon Mar  1 00:00:00 2027] reps=3"],
            vec!["reps=3", "", "[[]]]", "%5B%5D delete"],
        ] {
            write(&wire, "", &lifepoints).await;
            for node in 1..=2 {
                for verb in ["HEAD", "GET"] {
                    let read = wire.ask(node, &format!("{verb} {X}"), &[], "").await;
                    assert_eq!(read.all("lifepoint"), lifepoints, "{verb}");
                }
            }
            wire.env().sleep(Duration::from_secs(1)).await;
        }
    });
}

/// "Do not expect Swarm to validate lifepoints": what cannot be parsed neither protects nor deletes.
#[test]
fn a_lifepoint_that_cannot_be_parsed_does_nothing() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for lifepoints in [
            vec!["[] deletable=nope, reps=2"],
            vec!["deletable=no"],
            vec!["[Mon, 99 Mar 2027 00:00:00 GMT] reps=4, deletable=no"],
            // Nobody knows until when it was to be kept.
            vec!["[Mon, 99 Mar 2027 00:00:00 GMT] reps=4", "[] delete"],
            vec!["[] delete", "[Mon, 01 Mar 2027 00:00:00 GMT reps=4"],
            vec!["[tomorrow] reps=2, [] delete"],
            vec!["[] reps=2 [] delete"],
        ] {
            write(&wire, "", &lifepoints).await;
            wire.env().sleep(Duration::from_secs(5)).await;
            let read = wire.ask(2, &format!("GET {X}"), &[], "").await;
            assert_eq!((read.status, &*read.text()), (200, "x"), "{lifepoints:?}");
            assert_eq!(delete(&wire).await, 200, "{lifepoints:?}");
            wire.env().sleep(Duration::from_secs(1)).await;
        }
    });
}

/// "Do not expect Swarm to validate lifepoints": an ill-formed one does not take a good one with it.
#[test]
fn a_good_lifepoint_counts_beside_a_bad_one() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        write(&wire, "", &["[yesterday] reps=7", "[] reps=2, deletable=no"]).await;
        assert_eq!(delete(&wire).await, 403);
        wire.env().sleep(Duration::from_secs(1)).await;
        write(&wire, "", &["[] deletable=no, reps=few"]).await;
        assert_eq!(delete(&wire).await, 403);
    });
}
