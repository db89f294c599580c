//! The SEND of old: another cluster, named by headers, fetches one object, and what it returned stands in the body.

use std::time::Duration;

use crate::cluster::{ADMIN, Chunked, Cluster, request};
use crate::printed::{Head, check_send};
use crate::target::{Mood, Target};

const SECOND: Duration = Duration::from_secs(1);

const CLUSTER: &str = "Castor-System-Cluster: dr";
const TARGET: &str = "Castor-System-Target: 10.2.0.1:80";

/// A cluster of one node, the cluster `dr`, and an alias object.
fn stage(seed: u64) -> (Cluster, Target, String) {
    let mut cluster = Cluster::alone(seed, &[("scsp.keepAliveInterval", "2")]);
    let target = cluster.add_target();
    let headers = ["Content-type: text/xml"];
    let written = cluster.ask(1, "POST /?alias&replicate=1", &headers, b"<x/>");
    let alias = written.must("castor-system-alias").to_owned();
    (cluster, target, alias)
}

fn send(cluster: &mut Cluster, alias: &str, headers: &[&'static str]) -> Chunked {
    let line = format!("SEND /{alias}?alias&admin");
    let headers = headers.to_vec();
    cluster.talk(1, move |mut talk| async move {
        talk.say(&request(&line, &headers, b"")).await;
        talk.hear_chunked().await
    })
}

/// What the body says behind its line ends.
fn returned(sent: &Chunked) -> String {
    sent.chunks.concat().trim_start_matches('\n').to_owned()
}

/// SCSP SEND - Legacy prints the exchange: outer 200 with the headers of a HEAD, the remote cluster's answer in the body.
#[test]
fn the_answer_looks_as_printed_to_the_byte() {
    let (mut cluster, target, alias) = stage(1);
    target.set(Mood::Fetches(Duration::from_millis(2_500), 201));
    let line = format!("SEND /{alias}?alias&admin");
    let bytes = cluster.talk(1, move |mut talk| async move {
        talk.say(&request(&line, &[ADMIN, CLUSTER, TARGET], b"")).await;
        talk.bytes_until_silent_for(5 * SECOND).await
    });
    check_send(
        &String::from_utf8(bytes).expect("ASCII"),
        &Head { alias: &alias, framing: &[], feeds: &[] },
        &["1", "\n", "1c", "Remote cluster returned: 201", "0", "", ""],
    );
}

/// Our choice: a node that is to stop does not wait for the remote cluster for ever.
#[test]
fn a_node_that_stops_says_that_nobody_has_returned_anything() {
    let (mut cluster, target, alias) = stage(4);
    target.set(Mood::Fetches(500 * SECOND, 201));
    let took = cluster.stop_after(1, 3 * SECOND);
    let line = format!("SEND /{alias}?alias&admin");
    let (sent, heard_after) = cluster.talk(1, move |mut talk| async move {
        let begun = talk.now();
        talk.say(&request(&line, &[ADMIN, CLUSTER, TARGET], b"")).await;
        let sent = talk.hear_chunked().await;
        (sent, talk.now().since(begun))
    });
    assert_eq!(returned(&sent), "Remote cluster returned: 503");
    assert!(heard_after < 15 * SECOND, "{heard_after:?}");
    cluster.run_for(40 * SECOND);
    let took = took.lock().expect("nobody panicked").expect("it has stopped");
    assert!(took <= 31 * SECOND, "{took:?}");
}

/// SCSP SEND - Legacy: 201 and 409 are the usual codes; others are the remote cluster's too, or say that there was none.
#[test]
fn what_the_remote_cluster_returned_stands_in_the_body() {
    let (mut cluster, target, alias) = stage(2);
    let at_once = Duration::ZERO;
    for (mood, code) in [
        (Mood::Fetches(at_once, 201), "201"),
        (Mood::Fetches(at_once, 409), "409"),
        (Mood::Fetches(at_once, 404), "404"),
        (Mood::Fetches(at_once, 412), "412"),
        (Mood::Refuses(403), "403"),
        (Mood::Refuses(507), "507"),
    ] {
        target.set(mood);
        let sent = send(&mut cluster, &alias, &[ADMIN, CLUSTER, TARGET]);
        assert_eq!((sent.head.status, sent.trailers.len()), (200, 0), "{mood:?}");
        assert_eq!(returned(&sent), format!("Remote cluster returned: {code}"), "{mood:?}");
        assert!(sent.head.fields.iter().all(|(name, _)| !name.starts_with("Feed-")), "{mood:?}");
    }
    target.set(Mood::Fetches(at_once, 201));
    let other = send(&mut cluster, &alias, &[ADMIN, "Castor-System-Cluster: west", TARGET]);
    assert_eq!(returned(&other), "Remote cluster returned: 412", "it is another cluster");
    let nobody = send(&mut cluster, &alias, &[ADMIN, CLUSTER, "Castor-System-Target: 10.2.0.1:81"]);
    assert_eq!(returned(&nobody), "Remote cluster returned: 503", "nobody is there");
}

/// SCSP SEND - Legacy: two of its headers are required; it is for administrators.
#[test]
fn what_is_missing_is_said() {
    let (mut cluster, target, alias) = stage(3);
    for (headers, expected) in [
        (&[ADMIN, TARGET][..], (400, "MissingHeader")),
        (&[ADMIN, CLUSTER], (400, "MissingHeader")),
        (&[ADMIN], (400, "MissingHeader")),
        (&[ADMIN, CLUSTER, "Castor-System-Target: dr.example.com"], (400, "InvalidHeader")),
        (&[ADMIN, CLUSTER, TARGET, "Castor-System-Auth: admin"], (400, "InvalidHeader")),
        (&[CLUSTER, TARGET], (401, "")),
    ] {
        let refused = send(&mut cluster, &alias, headers);
        assert_eq!(refused.head.error(), expected, "{headers:?}");
    }
    let refused = send(&mut cluster, &alias, &[ADMIN, CLUSTER]);
    assert_eq!(refused.head.must("castor-system-error-text"), "Castor-System-Target is required.");
    let unknown = "0123456789abcdef0123456789abcdef";
    let missing = send(&mut cluster, unknown, &[ADMIN, CLUSTER, TARGET]);
    assert_eq!(missing.head.error(), (404, "NotFound"));
    assert_eq!(target.asked(), 0);
}
