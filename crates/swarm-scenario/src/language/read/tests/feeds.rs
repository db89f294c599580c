//! Feeds in a file: what is accepted, and what a user is told who wrote something else.

use std::time::Duration;

use crate::language::model::{
    Event, FeedMetric, FeedMode, FeedVerb, Is, Metric, Percentile, Scenario, Start, Subject, Verb,
};
use crate::language::{Problem, read, read_feeds};

const HEAD: &str = r#"schema = 1
title = "t"
why = "w"
[cluster.main]
nodes = 3
[cluster.dr]
nodes = 2
[link.wan]
between = ["main", "dr"]
[domain."acme.example"]
on = "main"
[bucket."acme.example/scans"]
on = "main"
[workload.ingest]
on = "main"
operations = 10
in = "acme.example/scans"
[feed.to-dr]
from = "main"
to = "dr"
"#;

fn read_with(tail: &str) -> Result<Scenario, Vec<Problem>> {
    read("scenarios/x.toml", &format!("{HEAD}{tail}"))
}

fn accept(tail: &str) -> Scenario {
    read_with(tail).unwrap_or_else(|problems| {
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("refused:\n{}", shown.join("\n"))
    })
}

/// The problems of HEAD plus `tail`, with lines counted from the first line of `tail`.
fn refuse(tail: &str) -> Vec<String> {
    let problems = read_with(tail).expect_err("this must be refused");
    let lines = HEAD.matches('\n').count();
    let told = |problem: Problem| {
        let line = problem.line.saturating_sub(lines);
        Problem { line, path: "x".to_owned(), ..problem }.to_string()
    };
    problems.into_iter().map(told).collect()
}

#[test]
fn a_feed_that_says_no_more_is_as_swarm_has_it() {
    let feed = &accept("").feeds[0];
    assert_eq!((feed.name.as_str(), feed.from.as_str()), ("to-dr", "main"));
    assert_eq!((feed.to.as_deref(), feed.by_step), (Some("dr"), false));
    assert_eq!(feed.fields, crate::language::model::FeedFields::default());
    assert!(feed.propagates() && feed.domains().select(None));
}

#[test]
fn every_field_of_a_feed_can_be_written() {
    let scenario = accept(
        r#"type = "replication"
mode = "get"
domains = { include = ["acme.example", '.*\.acme\.example'], exclude = ['tmp\..*'], untenanted = true }
propagate_deletes = false
threads = 12
retry_wait = "90s"
hosts = ["10.2.0.11", "proxy.example"]
port = 8080
cluster_name = "west"
remote_auth = "root:a:b"
paused = true
ssl = "none"
"#,
    );
    let feed = &scenario.feeds[0];
    let fields = &feed.fields;
    assert_eq!((fields.mode, fields.threads), (Some(FeedMode::Get), Some(12)));
    assert_eq!(fields.retry_wait, Some(Duration::from_secs(90)));
    assert_eq!(fields.hosts.as_ref().map(Vec::len), Some(2));
    assert_eq!((fields.port, fields.cluster_name.as_deref()), (Some(8080), Some("west")));
    assert_eq!(fields.remote_auth.as_deref(), Some("root:a:b"));
    assert_eq!((fields.paused, fields.propagate_deletes), (Some(true), Some(false)));
    let domains = feed.domains();
    for (domain, selected) in [
        (Some("acme.example"), true),
        (Some("lab.acme.example"), true),
        (Some("tmp.acme.example"), false),
        (Some("other.example"), false),
        (None, true),
    ] {
        assert_eq!(domains.select(domain), selected, "{domain:?}");
    }
    assert_eq!(domains.shown(), r"acme.example, .*\.acme\.example, what has no domain but tmp\..*");
}

#[test]
fn verbs_events_subjects_and_metrics_speak_of_feeds() {
    let scenario = accept(
        r#"[[step]]
after = "to-dr drained"
do = "pause-feed"
feed = "to-dr"
for = "5m"
as = "rest"
[[step]]
after = "rest ends"
do = "edit-feed"
feed = "to-dr"
threads = 2
domains = { include = "acme.example" }
[[step]]
at = "9m"
do = "remember"
cluster = "dr"
as = "before"
[[step]]
at = "10m"
do = "restore"
snapshot = "before"
from = "dr"
to = "main"
[[expect]]
within = "5m"
that = "feed state"
feed = "to-dr"
is = "config error"
[[expect]]
at = "end"
that = "same objects"
clusters = ["main", "dr"]
[[expect]]
at = "end"
that = "holds every acknowledged object"
cluster = "dr"
of = "main"
[[expect]]
during = "rest"
that = "metric"
of = "to-dr"
metric = "rpo p99"
is = "<= 41s"
[[expect]]
at = "end"
that = "metric"
of = "wan"
metric = "bytes"
is = "<= 2GiB"
"#,
    );
    let Start::After { event, .. } = &scenario.steps[0].start else { panic!("an event") };
    assert_eq!(*event, Event::Drained("to-dr".to_owned()));
    let told: Vec<String> = scenario.steps.iter().map(|step| step.verb.to_string()).collect();
    let verbs =
        ["pause-feed to-dr", "edit-feed to-dr", "remember dr", "restore before from dr to main"];
    assert_eq!(told, verbs);
    let Verb::Feed(FeedVerb::Edit(fields), _) = &scenario.steps[1].verb else { panic!("an edit") };
    assert_eq!((fields.threads, fields.mode), (Some(2), None));
    let told: Vec<String> =
        scenario.expects.iter().map(|expect| expect.subject.to_string()).collect();
    assert_eq!(
        told,
        [
            "to-dr config error",
            "same objects on main and dr",
            "dr holds every acknowledged object of main",
            "rpo p99 of to-dr <= 41s",
            "bytes of wan <= 2.0GiB",
        ]
        .map(|line| line.replace("2.0GiB", &crate::language::units::show_size(2 << 30)))
    );
    let Subject::Metric { metric, .. } = &scenario.expects[3].subject else { panic!("a metric") };
    assert_eq!(*metric, Metric::Feed("to-dr".to_owned(), FeedMetric::Rpo(Percentile::P99)));
}

#[test]
fn a_feed_that_a_step_creates_is_not_there_from_the_start() {
    let scenario = accept("[[step]]\nat = \"1m\"\ndo = \"create-feed\"\nfeed = \"to-dr\"\n");
    assert!(scenario.feeds[0].by_step);
}

#[test]
fn a_domain_can_be_made_in_several_clusters_each_by_itself() {
    let twice = "[domain.\"twice.example\"]\non = \"main\"\nalso_on = [\"dr\"]\n";
    let scenario = accept(twice);
    let twice_made = scenario.domains.iter().filter(|domain| domain.path == "twice.example");
    let on: Vec<&str> = twice_made.map(|domain| domain.on.as_str()).collect();
    assert_eq!(on, ["main", "dr"]);
}

#[test]
fn names_can_be_those_of_another_workload() {
    let scenario = accept(
        "[workload.there]\non = \"dr\"\noperations = 9\nin = \"acme.example/scans\"\nkeys = { with = \"ingest\" }\n",
    );
    let names: Vec<&str> =
        scenario.workloads.iter().map(|workload| workload.names_of.as_str()).collect();
    assert_eq!(names, ["ingest", "ingest"]);
}

const ANSWERED: &str = r#"[[step]]
at = "1m"
do = "request"
method = "SEND"
path = "/scans/a?domain=acme.example&admin&feedid=all&timeout=9"
cluster = "main"
timeout = "2s"
as = "sent"
[[expect]]
at = "2m"
that = "answer"
of = "sent"
header = "Etag: /x/y"
trailer = 'Feed-0-Status: PATTERN'
"#;

#[test]
fn an_answer_is_held_against_a_text_or_a_pattern_by_a_client_of_some_patience() {
    let scenario = accept(&ANSWERED.replace("PATTERN", r"/^[1-9]\d*$/"));
    let Verb::Request(request) = &scenario.steps[0].verb else { panic!("a request") };
    assert_eq!(request.patience, Duration::from_secs(2));
    let Subject::Answer { header, trailer, .. } = &scenario.expects[0].subject else {
        panic!("an answer")
    };
    assert_eq!(*header, Some(("Etag".to_owned(), Is::Text("/x/y".to_owned()))));
    let (name, is) = trailer.clone().expect("a trailer");
    assert_eq!(name, "Feed-0-Status");
    assert_eq!(["0", "1", "503", ""].map(|value| is.holds(value)), [false, true, true, false]);
    let told = refuse(&ANSWERED.replace("PATTERN", "/(/"));
    assert_eq!(told, ["x:14:11: no pattern: unclosed group"]);
}

#[test]
fn a_feed_can_be_run_live_and_a_link_cannot() {
    let scenario = accept("[[step]]\nat = \"1m\"\ndo = \"restart-feed\"\nfeed = \"to-dr\"\n");
    let not_live: Vec<usize> = scenario.not_live.iter().map(|problem| problem.line).collect();
    assert_eq!(not_live, [8], "the link alone: {:?}", scenario.not_live);
}

#[test]
fn whoever_mistypes_a_feed_is_told_where_and_what_was_meant() {
    for (tail, message) in [
        ("tread = 3", "x:1:1: unknown key in feed to-dr: `tread`; did you mean `threads`?"),
        ("mode = \"pst\"", "x:1:8: unknown mode `pst`; did you mean `post`?"),
        (
            "hosts = [\"10.2.0.11\", \"http://x/\"]",
            "x:1:23: \"http://x/\" is no address: no scheme, no port, no path",
        ),
        ("threads = 65", "x:1:1: `threads` of feed to-dr must be at most 64"),
        ("retry_wait = \"500ms\"", "x:1:1: `retry_wait` is from 1s to 1h, in whole seconds"),
        ("remote_auth = \"admin\"", "x:1:15: `remote_auth` is written \"user:password\""),
        ("domains = { include = \"a(b\" }", "x:1:23: \"a(b\" is no expression: unclosed group"),
        ("domains = { include = [] }", "x:1:13: the feed would carry nothing"),
        (
            "domains = { untenanted = false }",
            "x:1:13: without `include` everything is selected, objects without a domain too",
        ),
        (
            "[feed.back]\nfrom = \"dr\"\nto = \"mian\"",
            "x:3:6: unknown cluster `mian`; did you mean `main`?",
        ),
        ("[feed.back]\nfrom = \"dr\"\nto = \"dr\"", "x:3:1: a feed goes to another cluster"),
        (
            "[feed.back]\nfrom = \"dr\"",
            "x:1:1: feed back goes `to` a cluster, or to `hosts` of a `cluster_name`",
        ),
        ("[feed.wan]\nfrom = \"dr\"\nto = \"main\"", "x:1:7: the name `wan` is used twice"),
        (
            "[[step]]\nat = \"1m\"\ndo = \"pause-feed\"\nfeed = \"to-rd\"",
            "x:4:8: unknown feed `to-rd`; did you mean `to-dr`?",
        ),
        (
            "[[step]]\nat = \"1m\"\ndo = \"edit-feed\"\nfeed = \"to-dr\"",
            "x:1:1: say what is changed, such as `threads` or `domains`",
        ),
        (
            "[[step]]\nat = \"1m\"\ndo = \"restart-feed\"\nfeed = \"to-dr\"\nfor = \"1m\"",
            "x:5:1: `restart-feed` does not undo itself",
        ),
        (
            "[[step]]\nafter = \"to-rd drained\"\ndo = \"kill\"\nnodes = \"main/1\"",
            "x:2:9: unknown feed `to-rd`; did you mean `to-dr`?",
        ),
        (
            "[[expect]]\nat = \"end\"\nthat = \"feed state\"\nfeed = \"to-dr\"\nis = \"blockd\"",
            "x:5:6: unknown state of a feed `blockd`; did you mean `blocked`?",
        ),
        (
            "[[expect]]\nat = \"end\"\nthat = \"same objects\"\nclusters = [\"main\"]",
            "x:4:1: two clusters are compared",
        ),
        (
            "[[expect]]\nat = \"end\"\nthat = \"holds every acknowledged object\"\ncluster = \"main\"\nof = \"dr\"",
            "x:4:1: no feed goes from dr to main",
        ),
        (
            "[[expect]]\nat = \"end\"\nthat = \"metric\"\nof = \"to-dr\"\nmetric = \"rop p99\"\nis = \"< 1s\"",
            "x:5:10: unknown metric of a feed `rop p99`; did you mean `rpo p99`?",
        ),
        (
            "[[expect]]\nat = \"end\"\nthat = \"metric\"\nof = \"to-dr\"\nmetric = \"rpo p98\"\nis = \"< 1s\"",
            "x:5:10: unknown percentile `p98`; did you mean `p99`?",
        ),
        (
            "[[expect]]\nat = \"end\"\nthat = \"metric\"\nof = \"wan\"\nmetric = \"byte\"\nis = \"< 1GiB\"",
            "x:5:10: unknown metric of a link `byte`; did you mean `bytes`?",
        ),
        (
            "[[expect]]\nat = \"end\"\nthat = \"metric\"\nof = \"to-dr\"\nmetric = \"drain time\"\nis = \"< 1\"",
            "x:6:6: cannot compare `drain time` with \"1\"; write it like \"<= 5m\"",
        ),
        (
            "[workload.there]\non = \"dr\"\noperations = 9\nin = \"acme.example/scans\"\nkeys = { with = \"ingets\" }",
            "x:5:17: unknown workload `ingets`; did you mean `ingest`?",
        ),
    ] {
        assert_eq!(refuse(tail), [message], "{tail}");
    }
}

#[test]
fn a_file_of_feeds_alone_is_for_a_cluster_that_runs() {
    let file = read_feeds(
        "f.toml",
        "[feed.b]\nhosts = \"10.2.0.11\"\ncluster_name = \"dr\"\n[feed.a]\nfrom = \"main\"\nhosts = \"x\"\ncluster_name = \"y\"\n",
    )
    .expect("a good file");
    let told: Vec<_> = file.feeds.iter().map(|feed| (&*feed.name, &*feed.from)).collect();
    assert_eq!(told, [("b", ""), ("a", "main")]);
    assert!(file.clusters.is_empty());
    let whole = read_feeds("f.toml", HEAD).expect("a scenario");
    assert_eq!(
        whole.clusters,
        [("main".to_owned(), 3), ("dr".to_owned(), 2)],
        "as the file has it"
    );
    for (text, message) in [
        ("", "f.toml:1:1: the file has no `[feed.NAME]`"),
        ("[feed.a]\nto = \"dr\"\n", "f.toml:2:1: this file has no clusters: say `hosts`"),
        ("[feed.a]\nhosts = \"x\"\n", "f.toml:1:1: feed a goes `to` a cluster, or to `hosts`"),
        (
            "[feed.a]\nhots = \"x\"\n",
            "f.toml:2:1: unknown key in feed a: `hots`; did you mean `hosts`?",
        ),
        ("[feed.a\n", "f.toml:1:8: unclosed table"),
        ("[fed.a]\n", "f.toml:1:2: unknown key in the file: `fed`; did you mean `feed`?"),
    ] {
        let problems = read_feeds("f.toml", text).expect_err("this must be refused");
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|told| told.starts_with(message)), "{message}: {told:?}");
    }
}
