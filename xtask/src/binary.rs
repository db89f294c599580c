//! Builds one of the project's binaries, quietly, and becomes it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ChildStderr, Command, Stdio};

use anyhow::{Context, bail};
use cargo_metadata::Message;

use crate::cargo::{CHECKED, Workspace};

/// A binary to build.
pub(crate) struct Binary {
    package: &'static str,
    name: &'static str,
    features: &'static [&'static str],
}

/// A binary that is built.
pub(crate) struct Built {
    path: PathBuf,
    /// The root of the workspace that it was built from.
    root: PathBuf,
}

/// Tells the binary where the scenarios of the project are, from whichever folder it is called (see its `scenario --help`).
/// The current folder stays the caller's: paths among the arguments are seen from there.
const ROOT: &str = "SWARM_SIM_WORKSPACE";

/// After how many milliseconds the binary gives memory that it does not need back to the system; never, at -1. Runs take the same
/// memory again and again, and a page that is new is cleared first, which took a twentieth of the time of a batch.
const KEEP_MEMORY: &str = "MIMALLOC_PURGE_DELAY";

impl Binary {
    /// The scenario runner and live cluster; one that can plant bugs is another build.
    pub(crate) fn swarm_sim(planted: bool) -> Self {
        let features: &[_] = if planted { &["--features", "planted-bugs"] } else { &[] };
        Self { package: "swarm-cli", name: "swarm-sim", features }
    }

    pub(crate) fn swarm_bench() -> Self {
        Self { package: "swarm-bench", name: "swarm-bench", features: &[] }
    }

    /// Builds it in the checked profile. Says so in one line if there is anything to compile, and shows what cargo says
    /// only if it fails.
    pub(crate) fn build(&self, workspace: &Workspace) -> anyhow::Result<Built> {
        let mut cargo = workspace.cargo(["build", "--package", self.package, "--bin", self.name]);
        cargo.args(CHECKED).args(self.features).arg("--message-format=json-render-diagnostics");
        let mut cargo = cargo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stderr = cargo.stderr.take().context("cargo's stderr is piped")?;
        let stdout = cargo.stdout.take().context("cargo's stdout is piped")?;
        let name = self.name;
        let said = std::thread::spawn(move || watch(stderr, name));
        let mut path = None;
        for message in Message::parse_stream(BufReader::new(stdout)) {
            if let Message::CompilerArtifact(artifact) = message?
                && artifact.target.name == name
                && artifact.executable.is_some()
            {
                path = artifact.executable;
            }
        }
        let said = said.join().unwrap_or_default();
        if !cargo.wait()?.success() {
            eprint!("{said}");
            bail!("{name} does not compile");
        }
        let path = path.with_context(|| format!("cargo built no {name}"))?;
        Ok(Built { path: path.into_std_path_buf(), root: workspace.root().to_owned() })
    }
}

impl Built {
    /// A call of the binary.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env(ROOT, &self.root);
        if std::env::var_os(KEEP_MEMORY).is_none() {
            command.env(KEEP_MEMORY, "-1");
        }
        command
    }

    /// Runs the binary in place of this process: its exit status and its signals are its own. Returns only if it cannot
    /// be started.
    pub(crate) fn replace_self(&self, arguments: &[OsString]) -> anyhow::Result<()> {
        become_process(self.command().args(arguments))
    }
}

#[cfg(unix)]
fn become_process(command: &mut Command) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", crate::cargo::shown(command)))
}

#[cfg(not(unix))]
fn become_process(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(3))
}

/// Reads what cargo says to its end, and tells the user once why it takes a while.
fn watch(stderr: ChildStderr, name: &str) -> String {
    let (mut said, mut noticed) = (String::new(), false);
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !noticed && matches!(first, "Compiling" | "Blocking") {
            noticed = true;
            eprintln!("compiling {name} …");
        }
        said.push_str(&line);
        said.push('\n');
    }
    said
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_binary_is_told_the_root_of_the_workspace_and_left_in_the_folder_of_its_caller() {
        let built = Built { path: "target/swarm-sim".into(), root: "/project".into() };
        let command = built.command();
        let told: Vec<_> = command.get_envs().filter(|(name, _)| *name != KEEP_MEMORY).collect();
        assert_eq!(told, [(OsStr::new(ROOT), Some(OsStr::new("/project")))]);
        assert_eq!(command.get_current_dir(), None);
    }
}
