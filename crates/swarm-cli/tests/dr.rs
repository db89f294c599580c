//! docs/dr.md as its reader pastes it: two processes, each with a cluster, and every command of the page in its order. Ports,
//! addresses and folders are replaced, so that the page may be tried while this runs.
#![expect(
    clippy::disallowed_methods,
    reason = "the reader of the page is outside every world, on a machine of their own"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Commands of the set-up: the page promises fewer than ten.
const SETUP_MAX: usize = 9;
/// What the page says takes a few seconds.
const SOON: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A command of the page.
struct Block {
    /// The heading that it stands under.
    under: String,
    command: String,
    /// What the page says that it prints; empty where it says nothing.
    printed: String,
}

/// The fenced blocks of the page: a command, or what the one before prints.
fn blocks(page: &str) -> Vec<Block> {
    const PROGRAMS: [&str; 4] = ["cargo ", "curl ", "kill ", "until "];
    let mut blocks: Vec<Block> = Vec::new();
    let (mut under, mut within) = (String::new(), None::<String>);
    for line in page.lines() {
        match &mut within {
            None if line.starts_with("```") => within = Some(String::new()),
            None => {
                if let Some(heading) = line.strip_prefix("## ") {
                    under = heading.to_owned();
                }
            }
            Some(text) if line == "```" => {
                let text = std::mem::take(text);
                within = None;
                if PROGRAMS.iter().any(|program| text.starts_with(program)) {
                    let (under, printed) = (under.clone(), String::new());
                    blocks.push(Block { under, command: text, printed });
                } else if let Some(block) = blocks.last_mut() {
                    block.printed = text;
                }
            }
            Some(text) => *text += &format!("{line}\n"),
        }
    }
    blocks
}

/// The reader, with a folder, addresses and ports of their own.
struct Reader {
    folder: tempfile::TempDir,
    /// The first three numbers of all addresses.
    network: String,
    port: u16,
}

impl Reader {
    fn new() -> Self {
        let id = std::process::id();
        let port = 20_000 + u16::try_from(id % 5_000).expect("small") * 4;
        let network = format!("127.79.{}.", id % 251);
        Self { folder: tempfile::TempDir::new().expect("a folder"), network, port }
    }

    /// The command as it is run here.
    fn here(&self, command: &str) -> String {
        let folder = self.folder.path().join("sites");
        let program = env!("CARGO_BIN_EXE_swarm-sim");
        command
            .replace("cargo xtask cluster", &format!("exec {program} cluster"))
            .replace("--dir", &format!("{}--dir", self.place_of(command)))
            .replace("/tmp/sites", folder.to_str().expect("a plain path"))
            .replace("127.0.0.", &self.network)
            .replace(":8080", &format!(":{}", self.port))
            .replace(":8081", &format!(":{}", self.port + 1))
    }

    fn place_of(&self, command: &str) -> String {
        match command.contains("cluster up") {
            true => format!("--address {}11 --port {} ", self.network, self.port),
            false => String::new(),
        }
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        shell.args(["-c", &self.here(command)]).stdin(Stdio::null());
        // What a killed one leaves behind goes with the folder.
        shell.env("TMPDIR", self.folder.path());
        shell.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        shell
    }

    /// What a command prints, wherever it prints it; it is to succeed.
    fn runs(&self, command: &str) -> String {
        let output = self.shell(command).output().expect("bash runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command}{said}");
        said
    }

    /// What it prints once that is as it should be.
    fn sees(&self, command: &str, is_right: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let said = self.runs(command);
            if is_right(&said) {
                return said;
            }
            assert!(begun.elapsed() < SOON, "{command}goes on to print {said}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// A cluster in a terminal of its own.
    fn terminal(&self, command: &str) -> Terminal {
        let mut child = self.shell(command).stdout(Stdio::piped()).spawn().expect("bash runs");
        let (said, lines) = channel();
        let stdout = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| said.send(line))
        });
        Terminal { child, lines }
    }
}

/// A terminal in which a cluster runs; closed, the cluster ends.
struct Terminal {
    child: Child,
    lines: Receiver<String>,
}

impl Terminal {
    /// Everything that it says until its cluster is ready.
    fn until_ready(&self) -> String {
        let mut said = String::new();
        while !said.contains("Ctrl-C stops.") {
            said += &self.lines.recv_timeout(SOON).expect("it says that it is ready");
            said.push('\n');
        }
        said
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the one feed of a list has nothing left to do.
fn is_drained(list: &str) -> bool {
    let words: Vec<&str> = list.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    let from_the_right = |nth: usize| words.iter().rev().nth(nth).copied();
    words.contains(&"OK") || from_the_right(2) == Some("0")
}

/// The names of the fields that the page shows of an answer; those of feeds come before or behind the body.
fn fields(printed: &str) -> impl Iterator<Item = &str> {
    let fields = printed.lines().filter_map(|line| line.split_once(": "));
    fields.map(|(name, _)| name).filter(|name| !name.starts_with("Feed-") && *name != "Trailer")
}

#[test]
fn the_page_does_what_it_says() {
    let page = include_str!("../../../docs/dr.md");
    let excerpt = include_str!("../../../docs/dr.toml").split_once("[cluster.main]").expect("it").1;
    assert!(page.contains(excerpt.trim_end()), "the page shows docs/dr.toml as it is");
    let blocks = blocks(page);
    let setup = |block: &&Block| block.under.chars().next().is_some_and(|c| c.is_ascii_digit());
    assert!(blocks.iter().filter(setup).count() <= SETUP_MAX, "more commands than promised");
    let reader = Reader::new();
    let mut at = 0;
    let mut next = |begins: &str| {
        let block = blocks.get(at).unwrap_or_else(|| panic!("{begins}: the page has ended"));
        assert!(block.command.starts_with(begins), "not {begins}: {}", block.command);
        at += 1;
        block
    };

    let mut main = reader.terminal(&next("cargo xtask cluster up").command);
    let said = main.until_ready();
    assert!(said.contains("feed 0 'to-dr' to dr at") && said.contains("created"), "{said}");
    let dr = reader.terminal(&next("cargo xtask cluster up").command);
    dr.until_ready();
    // A cluster says that it is ready once it is; the domain may take a moment to the other.
    assert!(reader.runs(&next("curl").command).contains("New stream created"));
    let send = next("curl");
    assert!(send.command.contains("--raw") && send.command.contains("--digest"));
    let said = reader.runs(&send.command);
    assert!(said.contains("HTTP/1.1 401") && said.contains("HTTP/1.1 200 OK"), "{said}");
    assert!(said.contains("Feed-0-Status: 0"), "{said}");
    for field in fields(&send.printed) {
        assert!(said.contains(&format!("{field}: ")), "no {field} in {said}");
    }
    let read = next("curl");
    assert!(reader.runs(&read.command).contains(read.printed.trim_end()));

    reader.runs(&next("kill -9").command);
    main.child.wait().expect("it is gone");
    assert!(reader.runs(&next("curl").command).contains("New stream created"));
    let command = &next("cargo xtask cluster up").command;
    main = reader.terminal(command);
    let said = main.until_ready();
    assert!(said.contains("as it was"), "a second start changes nothing: {said}");
    let read = next("until");
    assert!(reader.runs(&read.command).contains(read.printed.trim_end()));

    let list = next("cargo xtask cluster feed list");
    let said = reader.sees(&list.command, is_drained);
    let head = |text: &str| text.lines().next().map(|line| line.split_whitespace().count());
    assert_eq!(head(&said), head(&list.printed), "the columns of the page");
    for wrong in ["the target does not take the credentials", "the target is another cluster"] {
        reader.runs(&next("curl").command);
        let list = next("cargo xtask cluster feed list");
        assert!(list.printed.contains(wrong), "{}", list.printed);
        reader.sees(&list.command, |said| said.contains(wrong));
    }
    let back = next("cargo xtask cluster feed create");
    assert!(reader.runs(&back.command).contains("changed"), "{}", back.command);
    reader.sees(&list.command, is_drained);
    assert!(blocks.get(at).is_none(), "the page goes on: {}", blocks[at].command);
}
