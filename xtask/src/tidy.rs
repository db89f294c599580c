//! Checks what the compiler does not. A finding names its file and line.

mod layers;
mod sources;

use std::fmt;
use std::path::PathBuf;

use anyhow::bail;
use cargo_metadata::MetadataCommand;

use crate::cargo::Workspace;

/// Findings shown unless all are asked for.
const SHOWN: usize = 20;

/// Check what the compiler does not: layers, module docs, lint opt-in, words that go around the seam.
#[derive(clap::Args)]
pub(crate) struct Tidy {
    /// Print every finding, not only the first twenty.
    #[arg(long)]
    all: bool,
}

/// Something to mend.
#[derive(Clone)]
pub(crate) struct Finding {
    /// Relative to the workspace.
    file: PathBuf,
    /// From 1.
    line: usize,
    text: String,
}

impl Tidy {
    pub(crate) fn run(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let metadata = MetadataCommand::new().current_dir(workspace.root()).no_deps().exec()?;
        let mut findings = layers::check(workspace, &metadata)?;
        findings.extend(sources::check(workspace)?);
        let shown = if self.all { findings.len() } else { SHOWN };
        for finding in findings.iter().take(shown) {
            println!("{finding}");
        }
        match findings.len() {
            0 => Ok(()),
            count if count > shown => bail!("{count} findings; --all shows the rest"),
            count => bail!("{count} findings"),
        }
    }
}

/// As a part of `ci`.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    Tidy { all: true }.run(workspace)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.text)
    }
}
