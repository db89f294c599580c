//! `swarm-sim scenario …` as scripts use it: exit statuses, results as JSON, replays. Each test has a folder of its own.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::program;

/// Everything held.
const HELD: i32 = 0;
/// An invariant or an expectation failed.
const FAILED: i32 = 1;
/// The scenario or the command line is wrong.
const WRONG: i32 = 2;
/// The harness failed, or a fault never bit.
const HARNESS: i32 = 3;
/// The wall limit ended it.
const INCONCLUSIVE: i32 = 4;

/// Half a minute of three nodes, one of which loses power in the middle of a write.
const SMALL: &str = r#"schema = 1
title = "A node loses power while a few clients write"
why = "It is over soon."
limit = { sim = "1h", wall = "60s" }
[cluster.main]
nodes = 3
volumes = { size = "64MiB" }
[domain."acme.example"]
[bucket."acme.example/scans"]
[workload.ingest]
operations = 40
clients = 2
in = "acme.example/scans"
retry = { times = 3, on = ["503", "timeout", "reset", "refused"] }
[[step]]
after = "ingest: 10th write half sent"
do = "power-off"
nodes = "1 of main"
for = "20s"
as = "blackout"
[[expect]]
at = "end"
that = "healthy"
"#;

/// Nobody can write that much in it.
const TOO_MUCH: &str = r#"
[[expect]]
at = "end"
that = "metric"
of = "ingest"
metric = "acknowledged write count"
is = ">= 5000"
"#;

/// What a command said, and how it ended.
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ends_with(&self, status: i32) -> &Self {
        assert_eq!(self.status, Some(status), "{}{}", self.out, self.err);
        self
    }

    /// The word behind `scenario replay` in what was printed.
    fn replay_token(&self) -> &str {
        let line = self.out.lines().find_map(|line| line.split_once("scenario replay "));
        line.expect("a replay line").1.trim()
    }
}

/// A folder with one scenario, in which the program is run.
struct Place(TempDir);

impl Place {
    fn with(text: &str) -> Self {
        let place = Self(TempDir::new().expect("a folder"));
        place.write("small.toml", text);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a file");
    }

    /// `swarm-sim scenario` with these words.
    fn scenario(&self, words: &[&str]) -> Said {
        self.scenario_in(".", words)
    }

    /// The same from a folder in this one, which `cargo xtask` says is the workspace.
    fn scenario_in(&self, folder: &str, words: &[&str]) -> Said {
        let mut command = Command::new(program());
        command.env("SWARM_SIM_WORKSPACE", self.path());
        command.current_dir(self.path().join(folder)).arg("scenario").args(words);
        let output = command.output().expect("the program runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn json(&self, name: &str) -> Value {
        let text = std::fs::read_to_string(self.path().join(name)).expect("a result");
        serde_json::from_str(&text).expect("JSON")
    }
}

#[test]
fn a_run_that_holds_ends_with_0_and_says_so_in_json() {
    let place = Place::with(SMALL);
    let said = place.scenario(&["run", "small.toml", "--seed", "7", "--json", "result.json"]);
    said.ends_with(HELD);
    assert!(said.out.starts_with("PASS small seed 7: "), "{}", said.out);
    let result = place.json("result.json");
    assert_eq!((&result["scenario"], &result["verdict"]), (&"small".into(), &"held".into()));
    assert_eq!(result["seed"], 7);
    assert!(result["trace_hash"].as_str().is_some_and(|hash| hash.len() >= 16), "{result}");
    for number in ["events", "operations"] {
        assert!(result[number].as_u64().is_some_and(|count| count > 40), "{number}: {result}");
    }
    for seconds in ["simulated_s", "wall_s"] {
        assert!(result[seconds].as_f64().is_some_and(|time| time > 0.0), "{seconds}: {result}");
    }
    let fault = &result["faults"][0];
    assert!(fault["what"].as_str().is_some_and(|what| what.starts_with("power-off main/")));
    assert!(fault["at"].is_number() && fault["effects"].as_u64() > Some(0), "{fault}");
    let expectation = &result["expectations"][0];
    assert!(expectation["text"].is_string() && expectation["detail"].is_string());
    assert!(expectation["held"] == true && expectation["at"].is_number(), "{expectation}");
    assert!(result["replay"].as_str().is_some_and(|token| token.starts_with("small.toml:7:")));
}

#[test]
fn a_failed_expectation_ends_with_1_and_is_told_once() {
    let place = Place::with(&format!("{SMALL}{TOO_MUCH}"));
    let said = place.scenario(&["run", "small.toml", "--seed", "7", "--json", "result.json"]);
    said.ends_with(FAILED);
    let fails = said.out.lines().filter(|line| line.starts_with("FAIL ")).count();
    assert_eq!(fails, 1, "{}", said.out);
    assert!(said.out.contains("acknowledged write count of ingest >= 5000"), "{}", said.out);
    let result = place.json("result.json");
    assert_eq!(result["verdict"], "failed");
    assert_eq!(result["replay"], said.replay_token());
}

#[test]
fn the_replay_line_repeats_the_run_and_a_changed_file_is_noticed() {
    let place = Place::with(&format!("{SMALL}{TOO_MUCH}"));
    let first = place.scenario(&["run", "small.toml", "--seed", "7", "--report", "first"]);
    let token = first.ends_with(FAILED).replay_token();
    let again = place.scenario(&["replay", token, "--report", "again"]);
    again.ends_with(FAILED);
    assert_eq!(again.err, "", "nothing has changed");
    let junit = std::fs::read_to_string(place.path().join("first/junit.xml")).expect("results");
    assert!(junit.contains("failures=\"1\"") && junit.contains(token), "{junit}");
    let hash =
        |report: &str| place.json(&format!("{report}/small-7/result.json"))["trace_hash"].clone();
    assert_eq!(hash("first"), hash("again"));
    let trace = |report: &str| {
        std::fs::read(place.path().join(report).join("small-7/trace.txt")).expect("a trace")
    };
    assert!(trace("first") == trace("again") && !trace("first").is_empty());
    place.write("small.toml", SMALL);
    let changed = place.scenario(&["replay", token]);
    assert!(changed.ends_with(HELD).err.contains("small.toml has changed"), "{}", changed.err);
}

#[test]
fn one_seed_gives_one_trace_and_another_seed_another() {
    let place = Place::with(SMALL);
    let run = |more: &[&str]| {
        let words = [&["run", "small.toml", "--json", "result.json"], more].concat();
        place.scenario(&words).ends_with(HELD);
        place.json("result.json")
    };
    let twice = run(&["--seed", "7", "--twice"]);
    let several = run(&["--seeds", "7..9", "--jobs", "2"]);
    assert_eq!(several[0]["trace_hash"], twice["trace_hash"]);
    assert_ne!(several[1]["trace_hash"], twice["trace_hash"]);
}

#[test]
fn a_mistake_in_a_file_ends_with_2_at_its_line_and_column_with_the_nearest_word() {
    for (right, wrong, told) in [
        (
            "nodes = 3",
            "nodez = 3",
            "small.toml:6:1: unknown key in cluster main: `nodez`; did you mean `nodes`?",
        ),
        (
            "\"power-off\"",
            "\"poweroff\"",
            "small.toml:17:6: unknown verb `poweroff`; did you mean `power-off`?",
        ),
        (
            "nodes = 3\n",
            "nodes = 3\nsettings = { \"policy.replica\" = \"x\" }\n",
            "small.toml:7:14: unknown setting `policy.replica`; did you mean `policy.replicas`?",
        ),
    ] {
        let place = Place::with(&SMALL.replacen(right, wrong, 1));
        for words in [&["run", "small.toml", "--seed", "7"][..], &["check", "small.toml"]] {
            let said = place.scenario(words);
            assert!(said.ends_with(WRONG).err.contains(told), "{told}: {}", said.err);
            assert_eq!(said.out, "", "nothing was run");
        }
    }
    let place = Place::with(SMALL);
    assert_eq!(place.scenario(&["check", "small.toml"]).ends_with(HELD).out, "small.toml: ok\n");
}

#[test]
fn a_new_scenario_is_right_as_it_stands_and_shown_as_a_timeline() {
    let place = Place::with(SMALL);
    std::fs::create_dir(place.path().join("scenarios")).expect("a folder");
    let made = place.scenario(&["new", "a-storm"]);
    assert_eq!(made.ends_with(HELD).out, "scenarios/a-storm.toml\n");
    place.scenario(&["check", "a-storm"]).ends_with(HELD);
    let again = place.scenario(&["new", "a-storm"]);
    assert!(again.ends_with(WRONG).err.contains("a-storm.toml"), "{}", again.err);
    assert!(place.scenario(&["new", "a storm"]).ends_with(WRONG).err.contains("cannot be a name"));
    let shown = place.scenario(&["show", "a-storm"]);
    let shown = &shown.ends_with(HELD).out;
    for line in [
        "  0s until 2m  ingest: 5 operations every 1s of 8 clients on main",
        "    after ingest: 100th write half sent  blackout: power-off 1 of main, for 40s..1m20s",
        "  within 1m after blackout ends: main healthy",
    ] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
}

#[test]
fn names_stand_for_the_scenarios_of_the_workspace_in_all_of_its_folders() {
    let place = Place::with(SMALL);
    for folder in ["scenarios", "crates", "other/scenarios"] {
        std::fs::create_dir_all(place.path().join(folder)).expect("a folder");
    }
    place.write("scenarios/storm.toml", &format!("{SMALL}{TOO_MUCH}"));
    let at_the_root = place.scenario(&["list"]);
    let within = place.scenario_in("crates", &["list"]);
    assert!(at_the_root.ends_with(HELD).out.starts_with("storm "), "{}", at_the_root.out);
    assert_eq!(within.ends_with(HELD).out, at_the_root.out);
    let checked = place.scenario_in("crates", &["check", "storm", "../small.toml"]);
    assert_eq!(checked.ends_with(HELD).out, "scenarios/storm.toml: ok\n../small.toml: ok\n");
    let unknown = place.scenario_in("crates", &["show", "strom"]);
    assert!(unknown.ends_with(WRONG).err.contains("did you mean `storm`?"), "{}", unknown.err);

    let words = ["run", "--all", "--seed", "7", "--json", "result.json"];
    let failed = place.scenario_in("crates", &words);
    let token = failed.ends_with(FAILED).replay_token();
    assert!(token.starts_with("storm:7:"), "the token of everywhere: {token}");
    assert_eq!(place.json("crates/result.json")["replay"], token, "written where it was asked for");
    let again = place.scenario_in("crates", &["replay", token]);
    assert_eq!(again.ends_with(FAILED).err, "", "the same file");

    let own = place.scenario_in("other", &["list"]);
    assert_eq!(own.ends_with(HELD).out, "", "the current folder has scenarios of its own: none");
    let new = place.scenario_in("crates", &["new", "calm"]);
    assert!(new.ends_with(HELD).out.ends_with("scenarios/calm.toml\n"), "{}", new.out);
    assert!(place.path().join("scenarios/calm.toml").is_file());
}

#[test]
fn without_a_workspace_there_are_only_the_scenarios_of_the_current_folder() {
    let place = Place::with(SMALL);
    let mut command = Command::new(program());
    command.env_remove("SWARM_SIM_WORKSPACE").current_dir(place.path());
    let output = command.args(["scenario", "list"]).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(WRONG));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("scenarios: "), "{output:?}");
}

#[test]
fn the_schema_for_editors_is_printed_as_it_lies_in_the_tree() {
    let place = Place::with(SMALL);
    let printed = place.scenario(&["verbs", "--schema"]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenario.schema.json");
    let in_tree = std::fs::read_to_string(file).expect("the schema");
    assert!(printed.ends_with(HELD).out == in_tree);
}

/// Both files as they stand, but that what takes two minutes there is written in half a minute here.
#[test]
fn plain_writes_and_a_kill_hold_on_live_clusters_too() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let live = |name: &str, faults: usize, quicker: &[(&str, &str)]| {
        let path = Path::new(folder).join(name).with_extension("toml");
        let mut text = std::fs::read_to_string(path).expect("a scenario");
        for (slow, quick) in quicker {
            assert_eq!(text.matches(slow).count(), 1, "{slow} in {name}");
            text = text.replace(slow, quick);
        }
        let place = Place::with(&text);
        let said =
            place.scenario(&["run", "small.toml", "--live", "--seed", "7", "--json", "r.json"]);
        said.ends_with(HELD);
        let result = place.json("r.json");
        assert_eq!(result["verdict"], "held", "{name}");
        assert!(result["operations"].as_u64() > Some(600), "{name}: {result}");
        assert_eq!(result["faults"].as_array().map(Vec::len), Some(faults), "{name}");
        assert_eq!(result["trace_hash"], "", "real time leaves no trace");
    };
    live("plain-writes", 0, &[("\"0s..2m\"", "\"0s..30s\""), ("\"8/s\"", "\"32/s\"")]);
    live("kill", 2, &[]);
}

#[test]
fn what_only_a_simulated_world_has_is_refused_before_a_live_run() {
    let place = Place::with(SMALL);
    let said = place.scenario(&["run", "small.toml", "--live", "--seed", "7"]);
    let told = "small.toml:17:6: `power-off` cannot be had in a live world";
    assert!(said.ends_with(WRONG).err.contains(told), "{}", said.err);
    assert_eq!(said.out, "", "nothing was run");
}

#[test]
fn a_wrong_command_line_ends_with_2_before_anything_runs() {
    let place = Place::with(SMALL);
    std::fs::create_dir(place.path().join("scenarios")).expect("a folder");
    place.write("scenarios/plain-writes.toml", SMALL);
    for (words, told) in [
        (&["run"][..], "which scenario?"),
        (
            &["run", "plain-write"],
            "no scenario `plain-write` in scenarios/; did you mean `plain-writes`?",
        ),
        (&["run", "none.toml"], "none.toml: "),
        (&["run", "small.toml", "--jobs", "0"], "--jobs"),
        (&["run", "small.toml", "--seeds", "5..5"], "the range holds no seed"),
        (&["run", "small.toml", "--sede", "5"], "--seed"),
        (&["run", "small.toml", "--plant", "ack-before-snyc"], "did you mean `ack-before-sync`?"),
        (&["run", "small.toml", "--plant", "ack-before-sync"], "this build cannot plant bugs"),
        (&["run", "small.toml", "--seed", "7", "--json", "no/result.json"], "no/result.json"),
        (&["replay", "small"], "\"small\" is no replay token"),
        (&["replay", "small.toml:7:00000000:bug"], "no planted bug `bug`"),
        (&["replay", "plain-write:7:00000000"], "did you mean `plain-writes`?"),
    ] {
        let said = place.scenario(words);
        assert!(said.ends_with(WRONG).err.contains(told), "{words:?}: {}", said.err);
        assert!(!said.out.contains("PASS"), "{words:?} ran: {}", said.out);
    }
}

#[test]
fn a_fault_that_never_bites_ends_with_3() {
    let step = "[[step]]\nafter = \"ingest: 900th write acknowledged\"\ndo = \"kill\"\nnodes = \"main/1\"\n";
    let place = Place::with(&format!("{SMALL}{step}"));
    let said = place.scenario(&["run", "small.toml", "--seed", "7"]);
    assert!(said.ends_with(HARNESS).err.contains("`kill (line 24)` never bit"), "{}", said.err);
    let place = Place::with(&format!("{SMALL}{step}inert = \"allow\"\n"));
    place.scenario(&["run", "small.toml", "--seed", "7"]).ends_with(HELD);
}

#[test]
fn a_run_that_the_wall_limit_ends_ends_with_4() {
    let text = SMALL.replace("wall = \"60s\"", "wall = \"1ms\"");
    let place = Place::with(&text.replace("operations = 40", "operations = 200000"));
    let said = place.scenario(&["run", "small.toml", "--seed", "7"]);
    said.ends_with(INCONCLUSIVE);
    assert!(said.out.contains("INCONCLUSIVE small seed 7"), "{}", said.out);
}
