//! `swarm-sim cluster up FILE` and `swarm-sim cluster feed` as scripts use them: what they do, what they refuse and with which
//! status. Each test has a cluster in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tempfile::TempDir;

const DONE: i32 = 0;
const REFUSED: i32 = 1;
const WRONG: i32 = 2;
const NOT_THERE: i32 = 3;

/// Two small clusters, the first with as many nodes as a domain needs; the feeds of the first lead to the second, and to one that is not of the file.
const FILE: &str = r#"schema = 1
title = "Two small sites"
why = "Feeds need somewhere to go."
[cluster.NAME]
nodes = 2
volumes = { size = "64MiB" }
[cluster.NAME-dr]
nodes = 1
volumes = { size = "64MiB" }
[link.wan]
between = ["NAME", "NAME-dr"]
latency = "40ms"
[domain."acme.example"]
on = "NAME"
[bucket."acme.example/scans"]
on = "NAME"
[feed.to-dr]
from = "NAME"
to = "NAME-dr"
paused = true
[feed.elsewhere]
from = "NAME"
hosts = ["127.0.0.9"]
port = 9
cluster_name = "west"
threads = 3
[[step]]
at = "1s"
do = "cut"
link = "wan"
"#;

/// What a command said, and how it ended.
#[derive(Debug)]
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A folder with the file, and names, addresses and ports of their own.
struct Place {
    folder: TempDir,
    name: String,
    address: String,
}

const PORT: &str = "18680";

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (id, nth) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let place = Self {
            folder: TempDir::new().expect("a folder"),
            name: format!("feed-{id}-{nth}"),
            address: format!("127.80.{}.{}", id % 251, 11 + 40 * nth),
        };
        place.write("sites.toml", &FILE.replace("NAME", &place.name));
        place
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a file");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-sim"));
        command.arg("cluster").args(words).stdin(Stdio::null());
        command.current_dir(self.folder.path()).env("TMPDIR", self.folder.path());
        command
    }

    fn up(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["up", "sites.toml", "--dir", "sites", "--json"]);
        command.args(["--address", &self.address, "--port", PORT]).args(more);
        command
    }

    /// The first cluster of the file.
    fn start(&self) -> Running {
        let mut command = self.up(&["--name", &self.name]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("text");
        if line.is_empty() {
            let output = child.wait_with_output().expect("its end");
            panic!("not ready: {}", String::from_utf8_lossy(&output.stderr));
        }
        Running { described: serde_json::from_str(&line).expect("JSON"), child }
    }

    fn run(&self, mut command: Command) -> Said {
        let Output { status, stdout, stderr } = command.output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said { status: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// `cluster feed` of the first cluster.
    fn feed(&self, words: &[&str]) -> Said {
        let dir = format!("sites/{}", self.name);
        let mut command = self.command(&["feed"]);
        command.args(words).args(["--dir", &dir]);
        self.run(command)
    }
}

/// A cluster in a process of its own. Dropped, it is killed.
struct Running {
    described: Value,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// How the feeds were defined: name and outcome.
    fn feeds(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let feeds = self.described["clusters"][0]["feeds"].as_array().expect("a list");
        feeds.iter().map(|feed| (text(&feed["name"]), text(&feed["outcome"]))).collect()
    }

    fn interrupt(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
        let mut said = String::new();
        let stderr = self.child.stderr.take().expect("piped");
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            said += &format!("{line}\n");
        }
        (self.child.wait().expect("its end").code(), said)
    }
}

fn outcomes(of: [&str; 2]) -> Vec<(String, String)> {
    let [to_dr, elsewhere] = of.map(str::to_owned);
    vec![("elsewhere".to_owned(), elsewhere), ("to-dr".to_owned(), to_dr)]
}

fn sorted(mut feeds: Vec<(String, String)>) -> Vec<(String, String)> {
    feeds.sort();
    feeds
}

#[test]
fn a_file_says_what_a_cluster_is_and_a_second_start_changes_nothing() {
    let place = Place::new();
    let running = place.start();
    assert_eq!(sorted(running.feeds()), outcomes(["created", "created"]));
    assert_eq!(running.described["clusters"].as_array().map(Vec::len), Some(1), "one of two");
    let shown = place.feed(&["show", "to-dr", "--json"]).ends_with(DONE).json();
    let (net, number) = place.address.rsplit_once('.').expect("four numbers");
    let number: u8 = number.parse().expect("a number");
    let other = format!("{net}.{}", number + 10);
    assert_eq!(
        shown["hosts"],
        serde_json::json!([other]),
        "where the other cluster of the file is"
    );
    assert_eq!(
        (&shown["port"], &shown["paused"]),
        (&PORT.parse::<u16>().expect("it").into(), &true.into())
    );
    place.feed(&["pause", "elsewhere"]).ends_with(DONE);
    let before = place.feed(&["show", "elsewhere", "--json"]).ends_with(DONE).json();
    let (status, said) = running.interrupt();
    assert_eq!(status, Some(DONE), "{said}");
    for told in ["sites.toml:10:", "1 step: left to `scenario run --live`"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert!(!Path::new(&place.path(&format!("sites/{}/running.json", place.name))).exists());
    let stopped = place.feed(&["list"]).ends_with(NOT_THERE);
    assert!(stopped.err.starts_with("no cluster runs in sites/"), "{stopped:?}");

    let again = place.start();
    assert_eq!(sorted(again.feeds()), outcomes(["as it was", "as it was"]));
    let after = place.feed(&["show", "elsewhere", "--json"]).ends_with(DONE).json();
    for field in ["id", "generation", "created", "modified", "paused", "threads"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    drop(again);
    let killed = place.feed(&["list"]).ends_with(NOT_THERE);
    assert!(
        killed.err.contains("was killed") && killed.err.contains("Start it again"),
        "{killed:?}"
    );
    let above = place.run(place.command(&["feed", "list", "--dir", "sites"])).ends_with(NOT_THERE);
    assert!(above.err.contains(&format!("there is one in sites/{}", place.name)), "{above:?}");
    assert_eq!(
        sorted(place.start().feeds()),
        outcomes(["as it was", "as it was"]),
        "after kill -9"
    );
}

#[test]
fn feeds_are_listed_changed_and_deleted_by_name_or_number() {
    let place = Place::new();
    let _running = place.start();
    let list = place.feed(&["list"]).ends_with(DONE).out;
    let head = "ID NAME STATUS TARGET PENDING RETRYING DONE WHY";
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(list.lines().next().map(words).as_deref(), Some(head));
    assert_eq!(list.lines().count(), 3, "{list}");
    for (words, told) in [
        (["pause", "elsewhere"], "'elsewhere': paused"),
        (["resume", "ELSEWHERE"], "'elsewhere': resumed"),
        (["restart", "1"], "feed 1 "),
        (["refresh", "to-dr"], "'to-dr': refreshed"),
        (["delete", "elsewhere"], "'elsewhere': deleted"),
    ] {
        let said = place.feed(&words).ends_with(DONE);
        assert!(said.out.contains(told), "{told}: {said:?}");
    }
    let left = place.feed(&["list", "--json"]).ends_with(DONE).json();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    assert!(left[0].get("_links").is_none(), "{left}");
    let unknown = place.feed(&["show", "elsewhere"]).ends_with(WRONG);
    assert_eq!(unknown.err, "no feed 'elsewhere'; there is to-dr\n");
    let refused = place.feed(&["delete", "to-dr", "--user", "admin:guess"]).ends_with(REFUSED);
    assert!(refused.err.contains("name and password"), "{refused:?}");
    assert!(
        place.feed(&["list", "--user", "admin"]).ends_with(WRONG).err.contains("NAME:PASSWORD")
    );
}

#[test]
fn feeds_of_a_file_are_created_and_changed_and_mistakes_are_told_with_their_place() {
    let place = Place::new();
    let _running = place.start();
    let alone = "[feed.more]\nhosts = \"127.0.0.9\"\ncluster_name = \"west\"\n";
    place.write("more.toml", alone);
    let create = |file: &str| place.feed(&["create", file, "--json"]);
    let outcome = |said: Said| said.ends_with(DONE).json()[0]["outcome"].clone();
    assert_eq!(outcome(create("more.toml")), "created");
    assert_eq!(outcome(create("more.toml")), "as it was");
    place.write("more.toml", &format!("{alone}threads = 9\n"));
    assert_eq!(outcome(create("more.toml")), "changed");
    let id =
        |name: &str| place.feed(&["show", name, "--json"]).ends_with(DONE).json()["id"].clone();
    let before = id("to-dr");
    create("sites.toml").ends_with(DONE);
    assert_eq!(id("to-dr"), before, "the file that the cluster was started with");
    for (text, status, told) in [
        (
            "[feed.x]\nhots = \"a\"\n",
            WRONG,
            "bad.toml:2:1: unknown key in feed x: `hots`; did you mean `hosts`?",
        ),
        ("[feed.x]\nto = \"dr\"\n", WRONG, "bad.toml:2:1: this file has no clusters"),
        (
            "[feed.x]\nhosts = \"http://a/\"\ncluster_name = \"b\"\n",
            WRONG,
            "bad.toml:2:9: \"http://a/\" is no",
        ),
        (
            "[feed.x]\nfrom = \"west\"\nhosts = \"a\"\ncluster_name = \"b\"\n",
            WRONG,
            "bad.toml has no feed from",
        ),
        ("[feed.x\n", WRONG, "bad.toml:1:8: unclosed table"),
        ("", WRONG, "bad.toml:1:1: the file has no `[feed.NAME]`"),
    ] {
        place.write("bad.toml", text);
        let said = place.feed(&["create", "bad.toml"]).ends_with(status);
        assert!(said.err.contains(told), "{told}: {said:?}");
    }
    let own = format!("[feed.x]\nhosts = \"127.0.0.9\"\ncluster_name = \"{}\"\n", place.name);
    place.write("own.toml", &own);
    let said = place.feed(&["create", "own.toml"]).ends_with(REFUSED);
    assert_eq!(said.err, "feed x: clusterName is this cluster's own name.\n");
    assert!(place.feed(&["create", "none.toml"]).ends_with(WRONG).err.starts_with("none.toml: "));
}

#[test]
fn a_file_that_cannot_be_started_starts_nothing() {
    let place = Place::new();
    let refuse = |more: &[&str]| place.run(place.up(more)).ends_with(WRONG).err;
    let name = format!("{}x", place.name);
    let told = refuse(&["--name", &name]);
    assert!(told.contains(&format!("no cluster `{name}` in sites.toml; did you mean")), "{told}");
    assert!(refuse(&["--nodes", "4"]).contains("--nodes"));
    place.write("sites.toml", &FILE.replace("nodes = 2", "nodez = 2"));
    let told = refuse(&[]);
    assert!(
        told.contains("sites.toml:5:1: unknown key in cluster NAME: `nodez`; did you mean"),
        "{told}"
    );
    assert!(!Path::new(&place.path("sites")).exists(), "nothing was started");
}
