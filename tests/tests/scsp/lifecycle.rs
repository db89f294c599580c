//! Lifepoint Metadata Headers, as the health processor carries them out: copies made, copies dropped, bytes gone.

use std::time::Duration;

use super::lifepoints::date_in;
use crate::talk::{CONTEXT, Wire, told_with};

const X: &str = "/scans/x?domain=acme.example";

/// A cycle in a minute, in which surplus copies are found.
const FAST: [(&str, &str); 4] = [
    ("health.cycleTime", "60"),
    ("health.visitsPerSecond", "1000"),
    ("health.replicationMulticastFrequency", "100"),
    ("policy.replicas", "min:2 max:4 default:2"),
];

/// In which whatever follows from a date has been done: two cycles, and one that has begun before.
const CYCLES: Duration = Duration::from_secs(180);

/// A cluster of four nodes with the bucket, after its first cycles.
fn healing<F, Fut>(tell: F)
where
    F: FnOnce(Wire) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    told_with(4, &FAST, |wire| async move {
        wire.make_bucket().await;
        wire.env().sleep(CYCLES).await;
        tell(wire).await;
    });
}

/// What the nodes tell of themselves, one number of each added up.
async fn sum(wire: &Wire, of: impl Fn(&serde_json::Value) -> Option<u64>) -> u64 {
    let mut sum = 0;
    for node in 1..=4 {
        let answer = wire.manage(node, "/api/status").await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        sum += of(&serde_json::from_str(body).expect("JSON")).unwrap_or(0);
    }
    sum
}

/// Copies of everything on all volumes.
async fn copies(wire: &Wire) -> u64 {
    sum(wire, |status| {
        let volumes = status["volumes"].as_array()?.iter();
        volumes.map(|volume| volume["streams"].as_u64()).sum()
    })
    .await
}

/// Lines of the log about lifepoints, on all nodes.
async fn complaints(wire: &Wire) -> u64 {
    sum(wire, |status| status["health"]["counters"]["lifepoint complaints"].as_u64()).await
}

async fn write(wire: &Wire, lifepoints: &[&str]) {
    let headers: Vec<String> =
        lifepoints.iter().map(|lifepoint| format!("Lifepoint: {lifepoint}")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let written = wire.ask(1, &format!("POST {X}"), &headers, "x").await;
    assert_eq!(written.status, 201, "{lifepoints:?}: {written:?}");
}

async fn assert_whole(wire: &Wire) {
    for node in 1..=4 {
        let read = wire.ask(node, &format!("GET {X}"), &[], "").await;
        assert_eq!((read.status, &*read.text()), (200, "x"), "node {node}");
    }
}

/// "Make every lifepoint stand alone": `reps=` changes the number of copies when its date comes, up and down, and a
/// lifepoint without it has the policy's.
#[test]
fn reps_change_the_number_of_copies_when_their_date_comes() {
    healing(|wire| async move {
        let before = copies(&wire).await;
        let ends = [300, 600, 900];
        let mut dates = Vec::new();
        for end in ends {
            dates.push(date_in(&wire, end).await);
        }
        let [first, second, third] = &dates[..] else { panic!("three dates") };
        let lifepoints = [
            format!("[{first}] reps=3"),
            format!("[{second}] reps=4"),
            format!("[{third}] deletable=yes"),
            "[] reps=3".to_owned(),
        ];
        write(&wire, &lifepoints.each_ref().map(String::as_str)).await;
        for expected in [3, 4, 2, 3] {
            wire.env().sleep(CYCLES).await;
            assert_eq!(copies(&wire).await - before, expected);
            assert_whole(&wire).await;
            wire.env().sleep(Duration::from_secs(300) - CYCLES).await;
        }
    });
}

/// "Make every lifepoint stand alone": the policy keeps what lifepoints ask for within its limits.
#[test]
fn the_policy_limits_the_copies_of_lifepoints() {
    healing(|wire| async move {
        let before = copies(&wire).await;
        for (lifepoint, expected) in
            [("[] reps=1", 2), ("[] reps=20", 4), ("[] deletable=yes", 2), ("[] reps=5:2", 3)]
        {
            write(&wire, &[lifepoint]).await;
            wire.env().sleep(CYCLES).await;
            assert_eq!(copies(&wire).await - before, expected, "{lifepoint}");
            assert_whole(&wire).await;
        }
    });
}

/// "Do not replicate chunked uploads": erasure coding is not built, so `reps=k:p` is kept as p + 1 replicas (our choice),
/// and each holder says so once.
#[test]
fn an_encoding_is_kept_as_replicas_with_one_warning() {
    healing(|wire| async move {
        write(&wire, &["[] reps=5:2"]).await;
        wire.env().sleep(CYCLES).await;
        assert_eq!(complaints(&wire).await, 3);
        wire.env().sleep(5 * CYCLES).await;
        assert_eq!(complaints(&wire).await, 3, "once, and not in every cycle");
    });
}

/// An open "delete" ends an object: when its date has come nobody sees it, and two cycles later its bytes are gone.
#[test]
fn what_a_lifepoint_ends_leaves_the_disks() {
    healing(|wire| async move {
        let before = copies(&wire).await;
        let end = date_in(&wire, 300).await;
        write(&wire, &[&format!("[{end}] reps=3, deletable=no"), "[] delete"]).await;
        wire.env().sleep(CYCLES).await;
        assert_eq!(copies(&wire).await - before, 3);
        wire.env().sleep(Duration::from_secs(301) - CYCLES).await;
        wire.assert_nothing_at(4, X).await;
        wire.env().sleep(CYCLES).await;
        assert_eq!(copies(&wire).await, before, "not a copy is left");
        wire.assert_nothing_at(4, X).await;
        // The name can be used again, and what is written now stays.
        write(&wire, &["[] reps=2"]).await;
        wire.env().sleep(CYCLES).await;
        assert_eq!(copies(&wire).await - before, 2);
        assert_whole(&wire).await;
    });
}

/// "Do not use deletable= without reps=": "delete" with a value, an end or `deletable=no` beside it deletes nothing.
#[test]
fn an_ill_formed_delete_is_not_carried_out() {
    healing(|wire| async move {
        let before = copies(&wire).await;
        let soon = date_in(&wire, 30).await;
        for lifepoints in [
            vec![format!("[{soon}] delete")],
            vec!["[] delete=yes".to_owned()],
            vec!["[] delete, deletable=no".to_owned()],
            vec![format!("[{}] reps=3", soon.replace("GMT", "UTC")), "[] delete".to_owned()],
        ] {
            let lifepoints: Vec<&str> = lifepoints.iter().map(String::as_str).collect();
            write(&wire, &lifepoints).await;
            wire.env().sleep(CYCLES).await;
            assert_eq!(copies(&wire).await - before, 2, "{lifepoints:?}");
            assert_whole(&wire).await;
        }
    });
}

/// "Do not delete contexts by lifepoint": they stay, with the copies that contexts have, and the log says why.
#[test]
fn the_health_processor_deletes_no_context() {
    told_with(4, &FAST, |wire| async move {
        wire.make_domain("acme.example").await;
        wire.env().sleep(CYCLES).await;
        let before = copies(&wire).await;
        let headers = [CONTEXT, "Lifepoint: [] delete"];
        let bucket = "/scans?domain=acme.example";
        assert_eq!(wire.ask(1, &format!("POST {bucket}"), &headers, "").await.status, 201);
        wire.env().sleep(CYCLES).await;
        assert_eq!(copies(&wire).await - before, 3, "scsp.defaultContextReplicas");
        assert_eq!(complaints(&wire).await, 3, "one line on each holder");
        write(&wire, &[]).await;
        wire.env().sleep(3 * CYCLES).await;
        assert_eq!(wire.ask(2, &format!("HEAD {bucket}"), &[], "").await.status, 200);
        assert_whole(&wire).await;
    });
}

/// "Do not expect Swarm to validate lifepoints": each holder logs once that it cannot parse one, and nothing is deleted.
#[test]
fn a_lifepoint_that_cannot_be_parsed_is_logged_once() {
    healing(|wire| async move {
        let before = copies(&wire).await;
        write(&wire, &["[Mon, 99 Mar 2027 00:00:00 GMT] reps=4"]).await;
        assert_eq!(complaints(&wire).await, 0, "a write does not look");
        wire.env().sleep(CYCLES).await;
        assert_eq!((copies(&wire).await - before, complaints(&wire).await), (2, 2));
        wire.env().sleep(5 * CYCLES).await;
        assert_eq!(complaints(&wire).await, 2);
        assert_whole(&wire).await;
        let read = wire.ask(1, &format!("HEAD {X}"), &[], "").await;
        assert_eq!(read.must("lifepoint"), "[Mon, 99 Mar 2027 00:00:00 GMT] reps=4");
    });
}
