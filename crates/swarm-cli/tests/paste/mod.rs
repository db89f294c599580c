//! A page of docs/ as its reader pastes it: its commands in their order, each cluster in a process of its own. Ports, addresses
//! and folders are replaced, so that the page may be tried while this runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What a page says takes a few seconds.
const SOON: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A command of the page.
pub(crate) struct Block {
    /// The heading that it stands under.
    pub(crate) under: String,
    pub(crate) command: String,
    /// What the page says that it prints; empty where it says nothing.
    pub(crate) printed: String,
}

/// The fenced blocks of the page: a command, or what the one before prints.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    const BEGINS: [&str; 6] = ["cargo ", "curl ", "kill ", "until ", "uuid=", "later="];
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
                if BEGINS.iter().any(|begin| text.starts_with(begin)) {
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
pub(crate) struct Reader {
    folder: tempfile::TempDir,
    /// The first three numbers of all addresses.
    network: String,
    port: u16,
}

impl Reader {
    pub(crate) fn new(nth: u16) -> Self {
        let id = std::process::id();
        let port = 20_000 + u16::try_from(id % 5_000).expect("small") * 4;
        let network = format!("127.{}.{}.", 79 + nth, id % 251);
        let folder = tempfile::TempDir::new().expect("a folder");
        std::fs::write(folder.path().join(".curlrc"), "no-progress-meter\n").expect("a file");
        Self { folder, network, port }
    }

    /// The command as it is run here.
    fn here(&self, command: &str) -> String {
        let folder = self.folder.path().join("sites");
        let program = env!("CARGO_BIN_EXE_swarm-sim");
        let mut command =
            command.replace("cargo xtask cluster", &format!("exec {program} cluster"));
        if command.contains("cluster up") {
            command = command.trim_end().to_owned() + " --port 8080";
            if !command.contains("--address") {
                command += " --address 127.0.0.11";
            }
        }
        command
            .replace("/tmp/sites", folder.to_str().expect("a plain path"))
            .replace("127.0.0.", &self.network)
            .replace("8080", &self.port.to_string())
            .replace("8081", &(self.port + 1).to_string())
    }

    /// One command after another in one shell, as far as variables go.
    fn shell(&self, command: &str) -> Command {
        const SHELL: &str = r#"source "$1" 2>/dev/null; eval "$2" || exit; declare -p uuid later >"$1" 2>/dev/null; true"#;
        let variables = self.folder.path().join("variables");
        let mut shell = Command::new("bash");
        shell.args(["-c", SHELL, "bash"]).arg(variables).arg(self.here(command));
        // What a killed one leaves behind goes with the folder.
        shell.stdin(Stdio::null()).env("TMPDIR", self.folder.path());
        shell.env("CURL_HOME", self.folder.path());
        shell.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        shell
    }

    /// What a command prints, wherever it prints it; it is to succeed.
    pub(crate) fn runs(&self, command: &str) -> String {
        let output = self.shell(command).output().expect("bash runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command}{said}");
        said
    }

    /// What it prints once that is as it should be.
    pub(crate) fn sees(&self, command: &str, is_right: impl Fn(&str) -> bool) -> String {
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
    pub(crate) fn terminal(&self, command: &str) -> Terminal {
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
pub(crate) struct Terminal {
    pub(crate) child: Child,
    lines: Receiver<String>,
}

impl Terminal {
    /// Everything that it says until its cluster is ready.
    pub(crate) fn until_ready(&self) -> String {
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
