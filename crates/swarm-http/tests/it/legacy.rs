//! The SEND of old: another cluster, named by headers, fetches one object, and what it returned stands in the body.

use std::time::Duration;

use md5::{Digest as _, Md5};
use swarm_types::Hex;

use crate::cluster::{ADMIN, Chunked, Cluster, request};
use crate::printed::{Head, check_challenge, check_send};
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

/// SCSP SEND - Legacy prints the exchange: "SEND behaves like a HEAD request, with the headers of the response resembling that of a
/// HEAD request." "The response body may contain additional leading newlines sent incrementally, which keeps the connection open in
/// long requests."
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
        &Head { alias: &alias, framing: &[], feeds: &[], hinted: false },
        &["1", "\n", "1c", "Remote cluster returned: 201", "0", "", ""],
    );
}

fn md5_of(text: &str) -> String {
    let hash: [u8; 16] = Md5::digest(text).into();
    Hex(&hash).to_string()
}

/// A quoted parameter of the challenge of Digest.
fn challenged<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("{name}=\"")).expect("it is told");
    rest.split_once('"').expect("a quote").0
}

/// What curl signs by `--anyauth -u admin:ourpwdofchoicehere` when it has been challenged.
fn signed(challenge: &str, target: &str) -> String {
    let (nonce, opaque) = (challenged(challenge, "nonce"), challenged(challenge, "opaque"));
    let ha1 = md5_of("admin:CAStor administrator:ourpwdofchoicehere");
    let ha2 = md5_of(&format!("SEND:{target}"));
    let cnonce = "MzA0MDI1NWY4ZTc5";
    let response = md5_of(&format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"admin\",realm=\"CAStor administrator\",nonce=\"{nonce}\",\
         uri=\"{target}\",cnonce=\"{cnonce}\",nc=00000001,algorithm=MD5,response=\"{response}\",\
         qop=\"auth\",opaque=\"{opaque}\""
    )
}

/// SCSP SEND - Legacy: "The following request transfers the object to the "dr" cluster at 192.168.1.13, with a 201 in that cluster:"
/// It prints the whole exchange of `curl -i --anyauth`: a request that nobody has signed, two challenges, the request with a Digest on
/// the same connection, and the answer of a node that knows of another replica.
#[test]
fn the_exchange_goes_as_printed() {
    let mut cluster = Cluster::with_bucket(2, 6);
    let target = cluster.add_target();
    target.set(Mood::Fetches(Duration::ZERO, 201));
    let written = cluster.ask(1, "POST /?alias", &["Content-type: text/xml"], b"<x/>");
    assert_eq!(written.must("replica-count"), "2");
    let alias = written.must("castor-system-alias").to_owned();
    let uri = format!("/{alias}?alias&admin");
    let (challenge, answer) = cluster.talk(1, move |mut talk| async move {
        let line = format!("SEND {uri}");
        talk.say(&request(&line, &[CLUSTER, TARGET], b"")).await;
        let challenge = talk.bytes_until_silent_for(SECOND).await;
        let challenge = String::from_utf8(challenge).expect("ASCII");
        let signed = signed(&challenge, &uri);
        talk.say(&request(&line, &[&signed, CLUSTER, TARGET], b"")).await;
        (challenge, talk.bytes_until_silent_for(5 * SECOND).await)
    });
    check_challenge(&challenge);
    check_send(
        &String::from_utf8(answer).expect("ASCII"),
        &Head { alias: &alias, framing: &[], feeds: &[], hinted: true },
        &["1c", "Remote cluster returned: 201", "0", "", ""],
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

/// SCSP SEND - Legacy: "201 - the object has been transferred successfully", "409 - the object already exists in the destination
/// cluster"; others are the remote cluster's too, or say that there was none.
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

/// Where another writes a context there at the same moment, what is fetched finds it changed, and goes well the next time.
#[test]
fn what_meets_a_race_is_fetched_once_more() {
    let (mut cluster, target, alias) = stage(4);
    target.set(Mood::Races);
    let sent = send(&mut cluster, &alias, &[ADMIN, CLUSTER, TARGET]);
    assert_eq!(returned(&sent), "Remote cluster returned: 201");
}

/// SCSP SEND - Legacy: two of its headers are "required"; "SEND can only be used by an admin user."
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

/// Our choice: `timeout` means what it means where feeds are named. The transfer does not go on for ever, and when its time is
/// over nobody knows what the remote cluster would have returned.
#[test]
fn the_send_of_old_has_a_limit() {
    let (mut cluster, target, alias) = stage(4);
    for (takes, timeout, code, secs) in [
        (20, "&timeout=5", "503", 5),
        (20, "&timeout=60", "201", 20),
        (50, "", "201", 50),
        (50, "&timeout=no", "201", 50),
        (50, "&timeout=true", "503", 30),
    ] {
        target.set(Mood::Fetches(takes * SECOND, 201));
        let line = format!("SEND /{alias}?alias&admin{timeout}");
        let (sent, took) = cluster.talk(1, move |mut talk| async move {
            let begun = talk.now();
            talk.say(&request(&line, &[ADMIN, CLUSTER, TARGET], b"")).await;
            (talk.hear_chunked().await, talk.now().since(begun))
        });
        assert_eq!(returned(&sent), format!("Remote cluster returned: {code}"), "{timeout}");
        let exact = Duration::from_secs(secs);
        assert!(took >= exact && took < exact + SECOND, "{timeout}: {took:?}");
    }
    target.asked();
    for timeout in ["abc", "0", "-5"] {
        let line = format!("SEND /{alias}?alias&admin&timeout={timeout}");
        let refused = cluster.ask(1, &line, &[ADMIN, CLUSTER, TARGET], b"");
        assert_eq!(refused.error(), (400, "InvalidQueryArgument"), "{timeout}");
    }
    assert_eq!(target.asked(), 0);
}

/// SCSP SEND - Legacy: "You issue SEND directly on a Swarm node in the source cluster": any node. One without a replica sends on,
/// with the query of the request, and its three headers come again.
#[test]
fn a_node_without_a_replica_sends_on() {
    let mut cluster = Cluster::with_bucket(4, 5);
    let target = cluster.add_target();
    target.set(Mood::Fetches(Duration::ZERO, 201));
    let written = cluster.ask(1, "POST /?alias", &[], b"x");
    assert_eq!(written.status, 201);
    let alias = written.must("castor-system-alias").to_owned();
    let holders: Vec<String> = written.all("location").map(str::to_owned).collect();
    let is_holder = |node: &u8| {
        holders.iter().any(|location| location.starts_with(&format!("http://10.1.0.{node}:80/")))
    };
    let other = (1..=4).find(|node| !is_holder(node)).expect("two of four have it");
    let line = format!("SEND /{alias}?alias&admin&timeout=5");
    let led = cluster.ask_once(other, &line, &[ADMIN, CLUSTER, TARGET], b"");
    assert_eq!(led.status, 307, "{led:?}");
    let location = led.must("location").to_owned();
    let to = location.strip_prefix("http://10.1.0.").and_then(|rest| rest.split_once(":80"));
    let (node, target_of) = to.expect("a node of the cluster");
    let node: u8 = node.parse().expect("a number");
    assert!(is_holder(&node), "{location}");
    assert!(target_of.starts_with(&format!("/{alias}?alias&admin&timeout=5")), "{location}");
    let line = format!("SEND {target_of}");
    let sent = cluster.talk(node, move |mut talk| async move {
        talk.say(&request(&line, &[ADMIN, CLUSTER, TARGET], b"")).await;
        talk.hear_chunked().await
    });
    assert_eq!((sent.head.status, returned(&sent).as_str()), (200, "Remote cluster returned: 201"));
}
