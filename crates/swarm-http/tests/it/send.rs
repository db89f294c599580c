//! SEND: what of each feed comes back for one object, when, and in which bytes.

use std::time::Duration;

use crate::cluster::{ADMIN, Answer, Chunked, Cluster, request};
use crate::printed::{Head, check_send, is_date};
use crate::target::{Mood, Target};

const SECOND: Duration = Duration::from_secs(1);

/// Every way to say how long to wait, and how long that is.
const WAITS: [(&str, Option<u64>); 4] = [
    ("&timeout=true", Some(30)),
    ("&timeout=5", Some(5)),
    ("&timeout=false", None),
    ("", Some(30)),
];

/// A cluster of one node with feed 0 to the cluster `dr`.
struct Stage {
    cluster: Cluster,
    target: Target,
}

/// What came of a SEND, and how long it took.
#[derive(Debug)]
struct Sent {
    answer: Chunked,
    took: Duration,
}

impl Sent {
    fn head(&self) -> &Answer {
        &self.answer.head
    }

    /// All fields of feeds in the head.
    fn feeds_in_head(&self) -> Vec<(&str, &str)> {
        feed_fields(self.head())
    }

    /// Status and time of the one feed behind the body, which are told twice in the same words.
    fn behind(&self) -> (&str, &str) {
        let [status, time] = &self.answer.trailers[..] else { panic!("{self:?}") };
        let text = self.answer.chunks.last().expect("a text");
        assert_eq!(*text, format!("{status}\r\n{time}\r\n"), "the same lines as trailers");
        assert_eq!(self.head().must("trailer"), "Feed-0-Status, Feed-0-StatusTime");
        let status = status.strip_prefix("Feed-0-Status: ").expect("the status first");
        (status, time.strip_prefix("Feed-0-StatusTime: ").expect("then its time"))
    }

    /// Nothing is told of any feed.
    fn assert_silent(&self) {
        assert_eq!(self.head().status, 200, "{self:?}");
        assert_eq!(self.feeds_in_head(), [], "{self:?}");
        assert_eq!(self.answer.trailers, Vec::<String>::new(), "{self:?}");
        assert!(self.answer.chunks.iter().all(|chunk| chunk == "\n"), "{self:?}");
    }
}

fn feed_fields(answer: &Answer) -> Vec<(&str, &str)> {
    let fields = answer.fields.iter().filter(|(name, _)| name.starts_with("Feed-"));
    fields.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

impl Stage {
    /// `scope` as JSON.
    fn with_scope(seed: u64, scope: &str) -> Self {
        let mut cluster = Cluster::alone(seed, &[("scsp.keepAliveInterval", "2")]);
        let target = cluster.add_target();
        let feed = format!(
            r#"{{"name": "dr", "type": "replication", "hosts": ["10.2.0.1"], "clusterName": "dr",
                "retryWait": 3600, "scope": {scope}}}"#
        );
        let line = "POST /api/storage/clusters/_self/feeds";
        let created = cluster.order(1, line, &[ADMIN], &feed);
        assert_eq!(created.status, 201, "{created:?}");
        cluster.run_for(5 * SECOND);
        target.asked();
        Self { cluster, target }
    }

    fn new(seed: u64) -> Self {
        Self::with_scope(seed, r#"{"kind": "global"}"#)
    }

    fn change(&mut self, change: &str) {
        let line = "PATCH /api/storage/clusters/_self/feeds/0";
        let changed = self.cluster.order(1, line, &[ADMIN], change);
        assert_eq!(changed.status, 200, "{changed:?}");
    }

    /// Writes `/b/NAME`.
    fn write(&mut self, name: &str) {
        let line = format!("POST /b/{name}?domain=d.example&replicate=1");
        assert_eq!(self.cluster.ask(1, &line, &[], b"x").status, 201);
    }

    /// SENDs `/b/NAME` with these arguments.
    fn send(&mut self, name: &str, arguments: &str) -> Sent {
        let line = format!("SEND /b/{name}?domain=d.example&admin{arguments}");
        self.cluster.talk(1, move |mut talk| async move {
            let begun = talk.now();
            talk.say(&request(&line, &[ADMIN], b"")).await;
            let answer = talk.hear_chunked().await;
            Sent { answer, took: talk.now().since(begun) }
        })
    }

    /// What a verbose HEAD shows of the feeds.
    fn head(&mut self, name: &str) -> Vec<(String, String)> {
        let line = format!("HEAD /b/{name}?domain=d.example&admin&verbose");
        let head = self.cluster.ask(1, &line, &[ADMIN], b"");
        assert_eq!(head.status, 200, "{head:?}");
        let fields = feed_fields(&head).into_iter();
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The same of the one feed.
    fn head_of_one(&mut self, name: &str) -> (String, String) {
        match &self.head(name)[..] {
            [(status, code), (time, at)] => {
                assert_eq!(
                    (status.as_str(), time.as_str()),
                    ("Feed-0-Status", "Feed-0-StatusTime")
                );
                (code.clone(), at.clone())
            }
            other => panic!("{other:?}"),
        }
    }
}

/// SCSP SEND: the transfer that is under way is waited for; the result comes at the end, and in the head of the next. "0 is a
/// success, meaning that no writes remain to be completed." "Any other feed statuses are given as trailing headers. A newline
/// keep-alive chunk is sent periodically as per scsp.keepAliveInterval during processing. At the end of the quest, the trailing
/// headers are sent both in the body of the request and as trailing headers."
#[test]
fn what_is_delivered_is_told_behind_the_body_and_then_in_the_head() {
    let mut stage = Stage::new(1);
    stage.target.set(Mood::Takes(3 * SECOND));
    for (nth, (wait, _)) in WAITS.into_iter().enumerate() {
        let name = format!("x{nth}");
        stage.write(&name);
        let sent = stage.send(&name, &format!("&feedid=0{wait}"));
        assert_eq!(sent.head().line, "200 OK", "{wait}");
        assert_eq!(sent.feeds_in_head(), [], "{wait}");
        let (status, at) = sent.behind();
        assert!(status == "0" && is_date(at), "{wait}: {sent:?}");
        assert_eq!(sent.answer.chunks[..sent.answer.chunks.len() - 1], ["\n"], "one sign of life");
        assert!(sent.took > 2 * SECOND && sent.took < 4 * SECOND, "{wait}: {:?}", sent.took);
        assert_eq!(stage.target.writes(), 1, "{wait}: the transfer is joined");
        stage.target.asked();

        let again = stage.send(&name, &format!("&feedid=0{wait}"));
        let told = [("Feed-0-Status", "0"), ("Feed-0-StatusTime", at)];
        assert_eq!(again.feeds_in_head(), told, "{wait}");
        assert_eq!(again.head().field("trailer"), None, "{wait}");
        assert_eq!(again.answer.chunks, Vec::<String>::new(), "{wait}: nothing is left to do");
        assert_eq!(again.answer.trailers, Vec::<String>::new(), "{wait}");
        assert!(again.took < SECOND, "{wait}");
        assert_eq!(stage.target.asked(), 0, "{wait}");
        assert_eq!(stage.head_of_one(&name), ("0".to_owned(), at.to_owned()), "the same in a HEAD");
    }
}

/// SCSP SEND: "Swarm checks the destination cluster to verify whether the object already exists there." That it does is success.
#[test]
fn what_the_target_has_already_is_success() {
    let mut stage = Stage::new(2);
    stage.change(r#"{"paused": true}"#);
    stage.write("x");
    stage.target.set(Mood::HasIt);
    stage.change(r#"{"paused": false}"#);
    let sent = stage.send("x", "&feedtype=replication");
    let told = match sent.feeds_in_head()[..] {
        [] => sent.behind().0.to_owned(),
        [(_, status), _] => status.to_owned(),
        _ => panic!("{sent:?}"),
    };
    assert_eq!(told, "0");
}

/// One object that the target refuses is shown as that, to its reader and in the statistics, and the others flow (row 18 of the failure
/// matrix of feeds).
#[test]
fn an_object_that_is_refused_shows_with_its_code_and_the_others_are_done() {
    let mut stage = Stage::new(17);
    stage.target.set(Mood::RefusesOne(413));
    ["x", "unwanted", "y"].into_iter().for_each(|name| stage.write(name));
    stage.cluster.run_for(120 * SECOND);
    for name in ["x", "y"] {
        assert_eq!(stage.head_of_one(name).0, "0", "{name}");
    }
    let (status, at) = stage.head_of_one("unwanted");
    assert!(status == "413" && is_date(&at), "{status} {at}");
    let shown = stage.cluster.manage(1, "/api/storage/clusters/_self/feeds/0");
    let shown: serde_json::Value = serde_json::from_slice(&shown.body).expect("JSON");
    let text = shown.to_string();
    assert!(text.contains(r#""failuresByCode":{"413":1}"#), "{text}");
    assert!(text.contains(r#""retrying":1"#) && text.contains(r#""status":"OK""#), "{text}");
}

/// SCSP SEND: a feed that is blocked gives a failure, after exactly one attempt. "Any other positive number is a failure." So does
/// what stands before the target and lets no question for its name pass (row 41 of the failure matrix of feeds).
#[test]
fn a_blocked_feed_fails_at_once_and_is_not_tried_again() {
    let mut stage = Stage::new(3);
    stage.target.set(Mood::Refuses(403));
    for (nth, (wait, _)) in WAITS.into_iter().enumerate() {
        let name = format!("x{nth}");
        stage.write(&name);
        stage.cluster.run_for(120 * SECOND);
        stage.target.asked();
        let sent = stage.send(&name, &format!("&feedid=0{wait}"));
        assert_eq!((sent.head().status, sent.feeds_in_head()), (200, vec![]), "{wait}");
        let (status, at) = sent.behind();
        assert!(status == "403" && is_date(at), "{wait}: {sent:?}");
        assert!(sent.took < SECOND, "{wait}: {:?}", sent.took);
        assert_eq!(stage.target.asked(), 1, "{wait}: one attempt");
        stage.cluster.run_for(60 * SECOND);
        assert_eq!(stage.target.asked(), 0, "{wait}: and no other");
        let (status, at) = (status.to_owned(), at.to_owned());
        assert_eq!(stage.head_of_one(&name), (status, at), "the same in a HEAD");
    }
}

/// SCSP SEND: "If a feed-to-be-processed is blocked or paused, a failure or timeout response is given, with no automatic
/// retries." "If Feed-<id>-Status is 1, then Feed-<id>-StatusTime will be blank because the object has not been processed by the
/// feed." Who would wait for ever is told at once.
#[test]
fn a_paused_feed_is_a_time_out() {
    let mut stage = Stage::new(4);
    stage.change(r#"{"paused": true}"#);
    stage.write("x");
    for (wait, secs) in WAITS {
        let sent = stage.send("x", &format!("&feedid=all{wait}"));
        assert_eq!((sent.head().status, sent.feeds_in_head()), (200, vec![]), "{wait}");
        match secs {
            Some(secs) => {
                assert_eq!(sent.behind(), ("1", ""), "{wait}");
                let exact = Duration::from_secs(secs);
                assert!(sent.took >= exact && sent.took <= exact + SECOND, "{:?}", sent.took);
                // Every two seconds, but where the end comes.
                let signs = usize::try_from((secs - 1) / 2).expect("few");
                assert_eq!(sent.answer.chunks.len(), signs + 1, "{wait}: {sent:?}");
            }
            None => {
                assert_eq!(sent.behind(), ("1", ""), "{wait}");
                assert!(sent.took < SECOND, "{wait}: {:?}", sent.took);
            }
        }
        assert_eq!(stage.target.asked(), 0, "{wait}");
        assert_eq!(stage.head_of_one("x"), ("1".to_owned(), String::new()), "{wait}");
    }
}

/// SCSP SEND: an id of no feed is an error, also beside others, and nothing is begun.
#[test]
fn an_unknown_feed_is_an_error() {
    let mut stage = Stage::new(5);
    stage.change(r#"{"paused": true}"#);
    stage.write("x");
    for (wait, _) in WAITS {
        for feeds in ["&feedid=9", "&feedid=0&feedid=9", "&feedtype=all&feedid=9"] {
            let sent = stage.send("x", &format!("{feeds}{wait}"));
            assert_eq!(sent.head().error(), (400, "InvalidFeedId"), "{feeds}{wait}");
            let text = sent.head().must("castor-system-error-text");
            assert_eq!(text, "Unknown feed ID 9.", "{feeds}{wait}");
            assert_eq!(sent.feeds_in_head(), [], "{feeds}{wait}");
            assert!(sent.took < SECOND, "{feeds}{wait}");
        }
    }
    assert_eq!(stage.target.asked(), 0);
}

/// Understanding Feeds: a change may need up to 60 seconds until all nodes know it. Our choice: until then a node says of a new
/// feed what it says of one that does not exist, to SEND and on the management port.
#[test]
fn a_feed_of_which_a_node_has_not_heard_yet_is_unknown_there() {
    let mut cluster = Cluster::with_settings(2, 36, &[("feeds.propagation", "60")]);
    let written = cluster.ask(1, "POST /", &[], b"x");
    assert_eq!(holders(&written).len(), 2, "both have it");
    let feed = r#"{"name": "dr", "type": "replication", "hosts": ["10.2.0.1"], "clusterName": "dr", "paused": true}"#;
    let line = "POST /api/storage/clusters/_self/feeds";
    assert_eq!(cluster.order(1, line, &[ADMIN], feed).status, 201);
    let send = format!("SEND /{}?admin&feedid=0&timeout=false", written.must("content-uuid"));
    let change = "PATCH /api/storage/clusters/_self/feeds/0";
    let unknown = cluster.ask_once(2, &send, &[ADMIN], b"");
    assert_eq!(unknown.error(), (400, "InvalidFeedId"));
    assert_eq!(unknown.must("castor-system-error-text"), "Unknown feed ID 0.");
    assert_eq!(cluster.order(2, change, &[ADMIN], r#"{"threads": 2}"#).status, 404);
    assert_eq!(cluster.ask_once(1, &send, &[ADMIN], b"").status, 200, "who took it knows it");
    cluster.run_for(65 * SECOND);
    assert_eq!(cluster.ask_once(2, &send, &[ADMIN], b"").status, 200, "and now the other one");
    assert_eq!(cluster.order(2, change, &[ADMIN], r#"{"threads": 2}"#).status, 200);
}

/// SCSP SEND: for an object that the feed's scope leaves out the request succeeds, and nothing is sent. "If there is no matching
/// feed, there are no feed status headers", be it paused or not.
#[test]
fn out_of_scope_is_success_and_nothing_is_sent() {
    let scope = r#"{"kind": "domains", "domains": ["other.example"]}"#;
    for paused in [false, true] {
        let mut stage = Stage::with_scope(6, scope);
        if paused {
            stage.change(r#"{"paused": true}"#);
        }
        assert_out_of_scope(&mut stage);
    }
}

fn assert_out_of_scope(stage: &mut Stage) {
    for (nth, (wait, _)) in WAITS.into_iter().enumerate() {
        let name = format!("x{nth}");
        stage.write(&name);
        for _ in 0..2 {
            let sent = stage.send(&name, &format!("&feedid=0{wait}"));
            sent.assert_silent();
            assert!(sent.took < SECOND, "{wait}: {:?}", sent.took);
        }
        assert_eq!(stage.head(&name), [], "{wait}");
    }
    assert_eq!(stage.target.asked(), 0);
}

/// SCSP SEND: types of which there is no feed are no error, and `all` is none either where there is no feed at all.
#[test]
fn without_a_matching_feed_nothing_is_told() {
    let mut stage = Stage::new(7);
    stage.write("x");
    for feeds in ["&feedtype=search", "&feedtype=indexing", "&feedtype=s3backup&timeout=false"] {
        let sent = stage.send("x", feeds);
        sent.assert_silent();
        assert!(sent.took < SECOND, "{feeds}");
    }
    let deleted =
        stage.cluster.order(1, "DELETE /api/storage/clusters/_self/feeds/0", &[ADMIN], "");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    for feeds in ["&feedid=all", "&feedtype=all", "&feedtype=replication&feedid=all"] {
        stage.send("x", feeds).assert_silent();
    }
    let gone = stage.send("x", "&feedid=0");
    assert_eq!(gone.head().error(), (400, "InvalidFeedId"), "a deleted feed is none");
}

/// SCSP SEND: arguments that make no sense, and objects that are not there.
#[test]
fn what_makes_no_sense_is_refused() {
    let mut stage = Stage::new(8);
    stage.change(r#"{"paused": true}"#);
    stage.write("x");
    for (arguments, expected) in [
        ("&feedid=", (400, "InvalidQueryArgument")),
        ("&feedid", (400, "InvalidQueryArgument")),
        ("&feedid=one", (400, "InvalidQueryArgument")),
        ("&feedid=-1", (400, "InvalidQueryArgument")),
        ("&feedid=1.0", (400, "InvalidQueryArgument")),
        ("&feedid=4294967296", (400, "InvalidFeedId")),
        ("&feedtype=mirror", (400, "InvalidQueryArgument")),
        ("&feedtype=", (400, "InvalidQueryArgument")),
        ("&feedid=0&timeout=0", (400, "InvalidQueryArgument")),
        ("&feedid=0&timeout=-5", (400, "InvalidQueryArgument")),
        ("&feedid=0&timeout=soon", (400, "InvalidQueryArgument")),
        ("&feedid=0&timeout=5&timeout=6", (400, "InvalidQueryArgument")),
        ("&feedid=0&force=2", (400, "InvalidQueryArgument")),
        ("&feedid=0&version=0b7d5c1e9f2a4d38861c3e5f7a90b2c4", (501, "NotImplemented")),
    ] {
        let sent = stage.send("x", arguments);
        assert_eq!(sent.head().error(), expected, "{arguments}");
    }
    assert_eq!(stage.send("none", "&feedid=0").head().error(), (404, "NotFound"));
    let line = "SEND /none/x?domain=d.example&admin&feedid=0";
    let missing = stage.cluster.ask(1, line, &[ADMIN], b"");
    assert_eq!(missing.error(), (404, "RequiresContext"));
    let nowhere = stage.cluster.ask(1, "SEND /?admin&feedid=0", &[ADMIN], b"");
    assert_eq!(nowhere.error(), (400, "InvalidRequest"));
    let deleted = stage.cluster.ask(1, "DELETE /b/x?domain=d.example", &[], b"");
    assert_eq!(deleted.status, 200);
    assert_eq!(stage.send("x", "&feedid=0").head().error(), (404, "NotFound"));
    assert_eq!(stage.target.asked(), 0);
}

/// SCSP SEND: administrators only; the challenge is that of SCSP SEND - Legacy. Our choice: who does not say `admin` is
/// challenged too.
#[test]
fn only_an_administrator_who_says_so_may_send() {
    let mut stage = Stage::new(9);
    stage.write("x");
    let wrong = "Authorization: Basic YWRtaW46d3Jvbmc=";
    for (line, headers) in [
        ("SEND /b/x?domain=d.example&admin&feedid=0", &[][..]),
        ("SEND /b/x?domain=d.example&admin&feedid=0", &[wrong]),
        ("SEND /b/x?domain=d.example&feedid=0", &[ADMIN]),
        ("SEND /b/x?domain=d.example&admin=no&feedid=0", &[ADMIN]),
        ("SEND /b/none?domain=d.example&feedid=7", &[]),
    ] {
        let asked = stage.cluster.ask(1, line, headers, b"");
        assert_eq!((asked.line.as_str(), asked.body.len()), ("401 Unauthorized", 53), "{line}");
        let names = [
            "WWW-Authenticate",
            "WWW-Authenticate",
            "Content-Length",
            "Content-Type",
            "Date",
            "Server",
            "Allow",
        ];
        assert_eq!(asked.names(), names, "{line}");
        let challenges: Vec<&str> = asked.all("www-authenticate").collect();
        let digest = challenges[0];
        assert!(digest.starts_with("Digest realm=\"CAStor administrator\", nonce=\""), "{digest}");
        assert!(digest.ends_with("\", stale=false, qop=\"auth\", algorithm=MD5"), "{digest}");
        assert_eq!(challenges[1], "Basic realm=\"CAStor administrator\"");
    }
}

/// SCSP SEND; SCSP SEND - Legacy prints such a head: fields, their order and spelling. Trailers come whether or not the
/// client has said that it reads them.
#[test]
fn the_answer_looks_as_printed_to_the_byte() {
    let mut stage = Stage::new(10);
    for te in [&[][..], &["TE: trailers"]] {
        stage.target.set(Mood::Takes(Duration::from_millis(2_500)));
        let line = "POST /?alias&replicate=1";
        let written = stage.cluster.ask(1, line, &["Content-type: text/xml"], b"<x/>");
        let alias = written.must("castor-system-alias").to_owned();
        let line = format!("SEND /{alias}?alias&admin&feedid=0");
        let headers = [&[ADMIN][..], te].concat();
        let bytes = stage.cluster.talk(1, move |mut talk| async move {
            talk.say(&request(&line, &headers, b"")).await;
            talk.bytes_until_silent_for(5 * SECOND).await
        });
        let text = String::from_utf8(bytes).expect("ASCII");
        let status = ["Feed-0-Status: 0", "Feed-0-StatusTime: <date>", ""];
        check_send(
            &text,
            &Head {
                alias: &alias,
                framing: &["Trailer: Feed-0-Status, Feed-0-StatusTime"],
                feeds: &[],
                hinted: false,
            },
            &[&["1", "\n", "44"][..], &status, &["0"], &status, &[""]].concat(),
        );
        // Where nothing is left to be done, what is known stands in the head, and the body ends at once.
        let line = format!("SEND /{alias}?alias&admin&feedid=0");
        let bytes = stage.cluster.talk(1, move |mut talk| async move {
            talk.say(&request(&line, &[ADMIN, "Connection: close"], b"")).await;
            talk.bytes_until_silent_for(5 * SECOND).await
        });
        let text = String::from_utf8(bytes).expect("ASCII");
        let (framing, feeds) = (&["Connection: close"], &status[..2]);
        check_send(&text, &Head { alias: &alias, framing, feeds, hinted: false }, &["0", "", ""]);
    }
}

/// SCSP SEND; SCSP Headers: status is shown to administrators who ask for more than usual, the same by GET and HEAD. "(The same value
/// as a verbose HEAD/GET request.) The ID refers to the Swarm-assigned ID field in the feed definition."
#[test]
fn a_verbose_look_shows_what_the_feeds_have_come_to() {
    let mut stage = Stage::new(11);
    stage.change(r#"{"paused": true}"#);
    stage.write("x");
    let x = "/b/x?domain=d.example";
    for verb in ["GET", "HEAD"] {
        let line = format!("{verb} {x}&admin&verbose");
        let seen = stage.cluster.ask(1, &line, &[ADMIN], b"");
        assert_eq!((seen.status, seen.must("content-length")), (200, "1"));
        assert_eq!(feed_fields(&seen), [("Feed-0-Status", "1"), ("Feed-0-StatusTime", "")]);
        for line in [
            format!("{verb} {x}"),
            format!("{verb} {x}&admin"),
            format!("{verb} {x}&verbose"),
            format!("{verb} {x}&admin&verbose=no"),
        ] {
            let seen = stage.cluster.ask(1, &line, &[ADMIN], b"");
            assert_eq!((seen.status, feed_fields(&seen)), (200, vec![]), "{line}");
        }
    }
    stage.change(r#"{"paused": false}"#);
    stage.cluster.run_for(5 * SECOND);
    let (status, at) = stage.head_of_one("x");
    assert!(status == "0" && is_date(&at), "{status} {at}");
}

/// SCSP SEND: `force` does again what was done, and tells it behind the body. "The HTTP time of the last replication attempt or
/// success."
#[test]
fn what_is_forced_is_done_again() {
    let mut stage = Stage::new(12);
    stage.write("x");
    stage.cluster.run_for(5 * SECOND);
    let (status, before) = stage.head_of_one("x");
    assert_eq!(status, "0");
    stage.target.asked();
    stage.cluster.run_for(100 * SECOND);
    let sent = stage.send("x", "&feedid=0&force=yes");
    assert_eq!((sent.feeds_in_head(), sent.behind().0), (vec![], "0"));
    assert_eq!(stage.target.writes(), 1);
    let at = sent.behind().1.to_owned();
    assert!(is_date(&at) && at != before, "the time of the last success: {at}, not {before}");
    assert_eq!(stage.head_of_one("x"), ("0".to_owned(), at.clone()), "the same in a HEAD");
    // In vain: a time-out, not the success of before, which a HEAD shows until this attempt is over.
    stage.target.set(Mood::Takes(20 * SECOND));
    let sent = stage.send("x", "&feedid=0&force&timeout=3");
    assert_eq!(sent.behind(), ("1", ""));
    assert_eq!(stage.head_of_one("x"), ("0".to_owned(), at.clone()));
    stage.cluster.run_for(30 * SECOND);
    let (status, later) = stage.head_of_one("x");
    assert!(status == "0" && later > at, "{status} {later}");
}

/// Our choice: so many wait on one node at a time; who comes then asks again later, or elsewhere. Places are free again when answers
/// have ended.
#[test]
fn more_sends_than_a_node_takes_at_a_time_are_refused() {
    let mut stage = Stage::new(33);
    stage.change(r#"{"paused": true}"#);
    stage.write("x");
    let line = "SEND /b/x?domain=d.example&admin&feedid=0&timeout=60";
    let refused = stage.cluster.talk(1, move |mut talk| async move {
        let mut waiting = Vec::new();
        for _ in 0..256 {
            let mut one = talk.another().await;
            one.say(&request(line, &[ADMIN], b"")).await;
            waiting.push(one);
        }
        talk.sleep(SECOND).await;
        talk.say(&request(line, &[ADMIN], b"")).await;
        let refused = talk.hear(false).await;
        for mut one in waiting {
            assert_eq!(one.hear_chunked().await.trailers[0], "Feed-0-Status: 1");
        }
        refused
    });
    assert_eq!(refused.error(), (503, "NodeBusy"));
    assert_eq!(stage.send("x", "&feedid=0&timeout=1").behind(), ("1", ""));
}

/// Our choice: a node that is to stop sees to what is under way, for a while; whoever still waits then is told what is known.
#[test]
fn a_node_that_stops_answers_who_waits_and_is_not_held_up_for_longer() {
    for (seed, paused, takes, arguments, told, at, stops_within) in [
        (30, false, 8, "&timeout=false", "0", 8, 6),
        (31, false, 500, "&timeout=false", "1", 13, 30),
        (32, true, 1, "&timeout=300", "1", 13, 11),
    ] {
        let mut stage = Stage::new(seed);
        stage.target.set(Mood::Takes(takes * SECOND));
        if paused {
            stage.change(r#"{"paused": true}"#);
        }
        stage.write("x");
        let took = stage.cluster.stop_after(1, 3 * SECOND);
        let sent = stage.send("x", &format!("&feedid=0{arguments}"));
        assert_eq!((sent.head().status, sent.behind().0), (200, told), "{seed}: {sent:?}");
        let (at, late) = (at * SECOND, (at + 2) * SECOND);
        assert!(sent.took >= at - SECOND / 2 && sent.took < late, "{seed}: {:?}", sent.took);
        stage.cluster.run_for(40 * SECOND);
        let took = took.lock().expect("nobody panicked").expect("it has stopped");
        assert!(took <= (stops_within + 1) * SECOND, "{seed}: {took:?}");
    }
}

/// Our choice: who goes away does not stop the transfer, and several who wait for one object have one transfer.
#[test]
fn the_transfer_goes_on_without_its_clients_and_serves_them_all() {
    let mut stage = Stage::new(13);
    stage.target.set(Mood::Takes(8 * SECOND));
    stage.write("x");
    let line = "SEND /b/x?domain=d.example&admin&feedid=0";
    let answers = stage.cluster.talk(1, move |mut talk| async move {
        let mut gone = talk.another().await;
        gone.say(&request(line, &[ADMIN], b"")).await;
        let mut second = talk.another().await;
        second.say(&request(line, &[ADMIN], b"")).await;
        talk.say(&request(line, &[ADMIN], b"")).await;
        talk.sleep(SECOND).await;
        drop(gone);
        [talk.hear_chunked().await, second.hear_chunked().await]
    });
    for answer in &answers {
        assert_eq!(answer.trailers.first().map(String::as_str), Some("Feed-0-Status: 0"));
    }
    assert_eq!(stage.target.writes(), 1);
    stage.target.asked();

    stage.write("y");
    let line = "SEND /b/y?domain=d.example&admin&feedid=0";
    stage.cluster.talk(1, move |mut talk| async move {
        talk.say(&request(line, &[ADMIN], b"")).await;
        talk.sleep(SECOND).await;
    });
    stage.cluster.run_for(20 * SECOND);
    assert_eq!((stage.target.writes(), stage.head_of_one("y").0.as_str()), (1, "0"));
}

/// SCSP SEND - Legacy follows redirects: SEND goes where a replica is, with all its arguments.
#[test]
fn a_node_without_a_replica_sends_on() {
    let mut cluster = Cluster::with_bucket(4, 15);
    let written = cluster.ask(1, "POST /b/x?domain=d.example", &[], b"x");
    assert_eq!(written.status, 201);
    let holders: Vec<String> = written.all("location").map(str::to_owned).collect();
    let is_holder = |node: &u8| {
        holders.iter().any(|location| location.starts_with(&format!("http://10.1.0.{node}:80/")))
    };
    let other = (1..=4).find(|node| !is_holder(node)).expect("two of four have it");
    let line = "SEND /b/x?domain=d.example&admin&feedtype=all&timeout=5";
    let led = cluster.ask_once(other, line, &[ADMIN], b"");
    assert_eq!(led.status, 307, "{led:?}");
    let location = led.must("location");
    let arguments = "/b/x?domain=d.example&admin&feedtype=all&timeout=5&auth=";
    assert!(location.contains(arguments), "{location}");
    let sent = cluster.ask(other, line, &[ADMIN], b"");
    assert_eq!((sent.status, sent.must("transfer-encoding")), (200, "chunked"));
}

/// SCSP SEND: "All results are sent at the end of the response, not when processing completes for an individual feed." "The above
/// feed statuses are given immediately in the 200 response headers for feeds with a successful status (0) prior to the request."
#[test]
fn results_of_several_feeds_come_together_at_the_end() {
    let mut stage = Stage::new(16);
    stage.write("x");
    stage.cluster.run_for(5 * SECOND);
    assert_eq!(stage.head_of_one("x").0, "0");
    stage.target.set(Mood::Takes(3 * SECOND));
    for name in ["second", "third"] {
        let feed = format!(
            r#"{{"name": "{name}", "type": "replication", "hosts": ["10.2.0.1"], "clusterName": "dr",
                "paused": {}}}"#,
            name == "third"
        );
        let line = "POST /api/storage/clusters/_self/feeds";
        let created = stage.cluster.order(1, line, &[ADMIN], &feed);
        assert_eq!(created.status, 201, "{created:?}");
    }
    let sent = stage.send("x", "&feedid=all&timeout=9");
    let in_head: Vec<&str> = sent.feeds_in_head().iter().map(|(name, _)| *name).collect();
    assert_eq!(in_head, ["Feed-0-Status", "Feed-0-StatusTime"]);
    let announced = "Feed-1-Status, Feed-1-StatusTime, Feed-2-Status, Feed-2-StatusTime";
    assert_eq!(sent.head().must("trailer"), announced);
    assert!(sent.took >= 8 * SECOND, "{:?}", sent.took);
    let (last, signs) = sent.answer.chunks.split_last().expect("a text");
    assert!(!signs.is_empty() && signs.iter().all(|sign| sign == "\n"), "{signs:?}");
    assert_eq!(*last, sent.answer.trailers.join("\r\n") + "\r\n", "the same in the body");
    let [one, at, two, blank] = &sent.answer.trailers[..] else { panic!("{sent:?}") };
    assert_eq!((one.as_str(), two.as_str()), ("Feed-1-Status: 0", "Feed-2-Status: 1"));
    assert!(at.strip_prefix("Feed-1-StatusTime: ").is_some_and(is_date), "{at}");
    assert_eq!(blank.trim_end(), "Feed-2-StatusTime:");
}

/// Creates the paused feed 0 to a cluster that takes everything.
fn with_paused_feed(mut cluster: Cluster) -> (Cluster, Target) {
    let target = cluster.add_target();
    let feed = r#"{"name": "dr", "type": "replication", "hosts": ["10.2.0.1"], "clusterName": "dr", "paused": true}"#;
    let line = "POST /api/storage/clusters/_self/feeds";
    let created = cluster.order(1, line, &[ADMIN], feed);
    assert_eq!(created.status, 201, "{created:?}");
    cluster.run_for(65 * SECOND);
    (cluster, target)
}

/// The numbers of the nodes where a write was stored.
fn holders(written: &Answer) -> Vec<u8> {
    assert!(matches!(written.status, 200 | 201), "{written:?}");
    let number = |location: &str| {
        let rest = location.strip_prefix("http://10.1.0.").expect("a node of the cluster");
        rest.split_once(':').expect("a port").0.parse().expect("a number")
    };
    written.all("location").map(number).collect()
}

/// Our choice: 404 is for what was deleted. A newer version that took its place on other nodes is sent by those.
#[test]
fn what_is_replaced_elsewhere_meanwhile_was_not_deleted() {
    let (mut cluster, _target) = with_paused_feed(Cluster::with_bucket(5, 34));
    let mut replaced_elsewhere = 0;
    for nth in 0..6 {
        let x = format!("/b/x{nth}?domain=d.example");
        let node = holders(&cluster.ask(1, &format!("POST {x}"), &[], b"one"))[0];
        let line = format!("SEND {x}&admin&feedid=0&timeout=20");
        let mut waits = cluster.talk(node, move |mut talk| async move {
            talk.say(&request(&line, &[ADMIN], b"")).await;
            talk.sleep(SECOND).await;
            talk
        });
        let after = holders(&cluster.ask(1, &format!("PUT {x}"), &[], b"two"));
        replaced_elsewhere += usize::from(!after.contains(&node));
        let sent = cluster.talk(node, move |_| async move { waits.hear_chunked().await });
        assert_eq!(sent.head.status, 200, "{x}: {sent:?}");
        assert_eq!(sent.trailers, ["Feed-0-Status: 1", "Feed-0-StatusTime: "], "{x} {after:?}");
    }
    assert!(replaced_elsewhere > 0);
}

/// Our choice: time is counted from the beginning of the request, also while nodes are asked that do not answer.
#[test]
fn looking_for_it_counts() {
    let (mut cluster, _target) = with_paused_feed(Cluster::with_bucket(2, 35));
    let written = cluster.ask(1, "POST /b/x?domain=d.example", &[], b"x");
    assert_eq!(holders(&written).len(), 2, "both have it");
    let silence = cluster.silence();
    cluster.power_off(2);
    let target = format!("Castor-System-Target: {silence}");
    let old = ["Castor-System-Cluster: dr".to_owned(), target];
    let took = cluster.talk(1, move |mut talk| async move {
        let mut took = Vec::new();
        for (line, of_old) in [
            ("HEAD /b/x?domain=d.example", false),
            ("SEND /b/x?domain=d.example&admin&feedid=0&timeout=0.1", false),
            ("SEND /b/x?domain=d.example&admin&timeout=2", true),
        ] {
            let begun = talk.now();
            let mut headers = vec![ADMIN];
            headers.extend(old.iter().filter(|_| of_old).map(String::as_str));
            talk.say(&request(line, &headers, b"")).await;
            if line.starts_with("HEAD") {
                talk.hear(true).await;
            } else {
                assert_eq!(talk.hear_chunked().await.head.status, 200, "{line}");
            }
            took.push(talk.now().since(begun));
        }
        took
    });
    let [look, new, old] = took[..] else { panic!("{took:?}") };
    assert!(look > SECOND / 5, "it takes a while: {took:?}");
    assert!(new < look + SECOND / 10, "{took:?}");
    assert!(old > SECOND && old < 2 * SECOND + SECOND / 10, "{took:?}");
}
