//! `swarm-sim cluster up` as a process: what it refuses, with which status, and that a killed one leaves its name free.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The status for a wrong command line.
const WRONG: i32 = 2;

/// A name, and an address in 127.78.0.0/16, for this process of tests.
fn place(number: u32) -> [String; 4] {
    let id = std::process::id();
    let address = format!("127.78.{}.{}", id % 251, 11 + 10 * number);
    ["--name".to_owned(), format!("up-{id}-{number}"), "--address".to_owned(), address]
}

fn up(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-sim"));
    command.args(["cluster", "up", "--nodes", "1", "--size", "64MiB"]).args(arguments);
    command
}

/// Refused: status 2, nothing on standard output, one sentence on standard error, which is returned.
fn refused(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!((status.code(), stdout), (Some(WRONG), Vec::new()), "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
    said
}

/// A cluster that says it is ready.
fn ready(mut command: Command) -> Child {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("it starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("it says something");
    assert!(line.contains("is ready"), "{line}");
    child
}

#[test]
fn what_cannot_be_is_one_sentence_and_leaves_no_folder() {
    let parent = tempfile::TempDir::new().expect("a folder");
    let folder = parent.path().join("new");
    let dir = folder.to_str().expect("a plain path");
    for (wrong, said) in [
        (["--set", "bad=1"], "setting bad: no such setting"),
        (["--set", "policy.replica=min:1 max:3 default:2"], "did you mean 'policy.replicas'?"),
        (["--set", "cluster.enforceTenancy=maybe"], "neither True nor False"),
        (["--address", "0.0.0.0"], "address 0.0.0.0 is every address of the machine"),
        (["--address", "255.255.255.255"], "is a broadcast address"),
        (["--address", "239.192.0.1"], "is a multicast address"),
    ] {
        let sentence = refused(up(&[wrong[0], wrong[1], "--dir", dir]));
        assert!(sentence.contains(said), "{sentence}");
        assert!(!Path::new(dir).exists(), "{sentence}: but the folder is claimed");
    }
}

#[test]
fn a_volume_too_small_to_format_is_refused_at_once() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarm-sim"));
    command.args(["cluster", "up", "--size", "1MiB"]).args(place(0));
    assert!(refused(command).contains("at least 2097152 (2 MiB)"));
}

#[test]
fn a_name_is_taken_while_its_cluster_runs_and_free_once_it_is_killed() {
    // What the killed ones leave behind goes with this folder.
    let temporary = tempfile::TempDir::new().expect("a folder");
    let up = |arguments: &[String]| {
        let mut command = up(&[]);
        command.args(arguments).env("TMPDIR", temporary.path());
        command
    };
    let (here, mut there) = (place(1), place(2));
    let name = &here[1];
    let mut first = ready(up(&here));
    there[1].clone_from(name);
    let sentence = refused(up(&there));
    let expected = format!("a cluster named '{name}' already runs on this machine with port 8080;");
    assert!(sentence.starts_with(&expected), "{sentence}");
    first.kill().expect("it runs");
    first.wait().expect("it is gone");
    let mut again = ready(up(&here));
    again.kill().expect("it runs");
    again.wait().expect("it is gone");
}
