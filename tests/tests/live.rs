//! The program itself, as a developer starts it: real processes, sockets and files.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests stand outside every world, on the developer's own machine"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::program::program;
use crate::talk::{ADMIN, CONTEXT, Heard, request};

/// The command line's mistake, or something that this machine cannot give.
const WRONG: i32 = 2;

/// A name, and an address from which nobody else counts: tests and test processes may all run at once.
struct Place {
    name: String,
    address: Ipv4Addr,
}

const PORT: u16 = 18_480;

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id().wrapping_mul(16) + NEXT.fetch_add(1, Ordering::Relaxed);
        // 127.77.0.0/16, sixteen addresses each.
        let address = Ipv4Addr::from(0x7f4d_0000 | (number << 4 & 0x0000_fff0) | 1);
        Self { name: format!("live-{number}"), address }
    }

    /// `swarm-sim cluster up` here, with more arguments.
    fn up(&self, more: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(["cluster", "up", "--json", "--size", "128MiB", "--name", &self.name]);
        command.args(["--address", &self.address.to_string(), "--port", &PORT.to_string()]);
        command.args(more).stdin(Stdio::null());
        command
    }

    fn start(&self, more: &[&str]) -> Running {
        let mut child = self
            .up(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("text");
        if line.is_empty() {
            let output = child.wait_with_output().expect("its end");
            panic!("not ready: {}", String::from_utf8_lossy(&output.stderr));
        }
        let described: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let nodes = described["clusters"][0]["nodes"].as_array().expect("nodes");
        let scsp = nodes.iter().map(|node| {
            let address = node["scsp"].as_str().expect("an address");
            address.parse().expect("address and port")
        });
        Running { nodes: scsp.collect(), described, child }
    }

    /// A start that must fail: its exit status and the one sentence that it says.
    fn refused(&self, more: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.up(more).output().expect("the program runs");
        let said = String::from_utf8_lossy(&stderr).trim_end().to_owned();
        assert!(stdout.is_empty(), "{}", String::from_utf8_lossy(&stdout));
        assert_eq!(said.lines().count(), 1, "one sentence: {said}");
        (status.code(), said)
    }
}

/// A cluster in a process of its own. Dropped, it is killed.
struct Running {
    described: serde_json::Value,
    nodes: Vec<SocketAddr>,
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
    /// SIGKILL: nothing is written, said or tidied up.
    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("its end");
    }

    /// Ctrl-C; the exit status.
    fn interrupt(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
        self.child.wait().expect("its end").code()
    }
}

/// One request on a connection of its own, redirects followed; an error if the node is gone.
fn ask(node: SocketAddr, line: &str, headers: &[&str], body: &[u8]) -> std::io::Result<Heard> {
    let (verb, target) = line.split_once(' ').expect("a verb and a target");
    let (mut node, mut target) = (node, target.to_owned());
    loop {
        let mut stream = TcpStream::connect_timeout(&node, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let headers = [headers, &["Connection: close"]].concat();
        stream.write_all(&request(&format!("{verb} {target}"), &headers, body))?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let heard = Heard::whole(&bytes);
        if heard.status != 307 {
            return Ok(heard);
        }
        let rest = heard.must("location").strip_prefix("http://").expect("an absolute URI");
        let (authority, path) = rest.split_at(rest.find('/').expect("a path"));
        node = authority.parse().expect("address and port");
        target = path.to_owned();
    }
}

fn must(node: SocketAddr, line: &str, headers: &[&str], body: &[u8]) -> Heard {
    let heard = ask(node, line, headers, body).expect("a node that answers");
    assert!(heard.status < 300, "{line}: {heard:?}");
    heard
}

/// Writes object after object, named and unnamed in turn, until enough are acknowledged or the cluster is gone; where
/// each is found, and what it holds.
fn write(nodes: &[SocketAddr], enough: usize, label: &str) -> Vec<(String, Vec<u8>)> {
    let mut written = Vec::new();
    for number in 0..enough {
        let node = nodes[number % nodes.len()];
        let body = format!("{label} {number} ").repeat(1 + number * 7 % 400).into_bytes();
        let named = format!("/scans/{label}-{number}?domain=acme.example");
        let line = if number % 2 == 0 { "POST /".to_owned() } else { format!("POST {named}") };
        let Ok(heard) = ask(node, &line, &[], &body) else { break };
        if heard.status != 201 {
            break;
        }
        let target = heard.field("content-uuid").map_or(named, |uuid| format!("/{uuid}"));
        written.push((target, body));
    }
    written
}

/// SIGKILL in the middle of writes: everything that was acknowledged is back, byte for byte, through every node.
#[test]
fn what_a_killed_cluster_acknowledged_is_back_when_it_starts_again() {
    let (place, folder) = (Place::new(), TempDir::new().expect("a folder"));
    let dir = folder.path().join("cluster");
    let more = ["--dir", dir.to_str().expect("a path that is text")];
    let cluster = place.start(&more);
    let nodes = cluster.nodes.clone();
    assert_eq!(nodes.len(), 3);
    must(nodes[0], "POST /?domain=acme.example", &[CONTEXT, ADMIN], b"");
    must(nodes[1], "POST /scans?domain=acme.example", &[CONTEXT], b"");
    let mut written = write(&nodes, 200, "calm");
    assert_eq!(written.len(), 200);
    must(nodes[0], &format!("DELETE {}", written[0].0), &[], b"");
    let deleted = written.remove(0).0;
    let during = std::thread::scope(|scope| {
        let nodes = &nodes;
        let writers = ["a", "b"].map(|label| scope.spawn(move || write(nodes, usize::MAX, label)));
        std::thread::sleep(Duration::from_millis(300));
        cluster.kill();
        let written = writers.into_iter().map(|writer| writer.join().expect("a writer"));
        written.collect::<Vec<_>>().concat()
    });
    assert!(!during.is_empty(), "it was killed while being written to");
    written.extend(during);
    let cluster = place.start(&more);
    assert_eq!(cluster.nodes, nodes);
    for (number, (target, body)) in written.iter().enumerate() {
        let read = must(nodes[number % 3], &format!("GET {target}"), &[], b"");
        assert!(read.body == *body, "{target}: {} bytes", read.body.len());
    }
    let gone = ask(nodes[0], &format!("GET {deleted}"), &[], b"").expect("an answer");
    assert_eq!(gone.status, 404, "what was deleted stays deleted");
    must(nodes[2], "POST /scans/new?domain=acme.example", &[], b"it goes on");
    assert_eq!(cluster.interrupt(), Some(0));
}

/// Ctrl-C stops a cluster in order; a temporary folder goes with it.
#[test]
fn ctrl_c_stops_a_cluster_and_removes_its_temporary_folder() {
    let place = Place::new();
    let cluster = place.start(&[]);
    let described = &cluster.described["clusters"][0];
    assert_eq!(described["name"], place.name);
    assert_eq!(described["temporary"], true);
    let folder = PathBuf::from(described["folder"].as_str().expect("a folder"));
    assert!(folder.is_dir());
    must(cluster.nodes[0], "GET /", &[], b"");
    assert_eq!(cluster.interrupt(), Some(0));
    assert!(!folder.exists(), "{}", folder.display());
}

#[test]
fn a_taken_port_is_one_clear_sentence() {
    let place = Place::new();
    let second = Ipv4Addr::from(u32::from(place.address) + 1);
    for (address, port) in [(place.address, PORT), (second, PORT), (place.address, PORT + 1)] {
        let taken = TcpListener::bind((address, port)).expect("a free port");
        let (status, said) = place.refused(&[]);
        assert_eq!(status, Some(WRONG), "{said}");
        for word in [port.to_string(), address.to_string()] {
            assert!(said.contains(&word), "{word}: {said}");
        }
        assert!(said.contains("taken"), "{said}");
        drop(taken);
    }
}

#[test]
fn an_address_that_cannot_be_bound_is_one_clear_sentence() {
    // Reserved for ever, so no machine has it.
    let place = Place { address: Ipv4Addr::new(240, 0, 0, 1), ..Place::new() };
    let (status, said) = place.refused(&[]);
    assert_eq!(status, Some(WRONG), "{said}");
    assert!(said.contains("240.0.0.1"), "{said}");
    assert!(said.to_lowercase().contains("address"), "{said}");
}

#[test]
fn the_folder_of_another_cluster_is_one_clear_sentence() {
    let (place, other) = (Place::new(), Place::new());
    let folder = TempDir::new().expect("a folder");
    let dir = folder.path().join("cluster");
    let dir = dir.to_str().expect("a path that is text");
    let running = other.start(&["--dir", dir]);
    let (status, said) = place.refused(&["--dir", dir]);
    assert_eq!(status, Some(WRONG), "{said}");
    assert!(said.contains(dir) && said.contains("in use"), "it runs: {said}");
    assert_eq!(running.interrupt(), Some(0));
    let (status, said) = place.refused(&["--dir", dir]);
    assert_eq!(status, Some(WRONG), "{said}");
    for word in [dir, &place.name, &other.name] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let (status, said) = other.refused(&["--dir", dir, "--nodes", "4"]);
    assert_eq!(status, Some(WRONG), "{said}");
    assert!(said.contains("3 nodes") && said.contains("4 nodes"), "{said}");
}

#[test]
fn a_folder_of_other_files_is_one_clear_sentence() {
    let (place, folder) = (Place::new(), TempDir::new().expect("a folder"));
    std::fs::write(folder.path().join("letter.txt"), "dear reader").expect("a file");
    let dir = folder.path().to_str().expect("a path that is text");
    let (status, said) = place.refused(&["--dir", dir]);
    assert_eq!(status, Some(WRONG), "{said}");
    assert!(said.contains(dir), "{said}");
    let left: Vec<_> = std::fs::read_dir(dir).expect("a folder").collect();
    assert_eq!(left.len(), 1, "nothing is added: {left:?}");
}
