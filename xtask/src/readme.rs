//! The failing scenario in the README: its command, and what that prints.

use anyhow::{Context, ensure};

use crate::binary::{Binary, Built};
use crate::cargo::{Workspace, shown};

/// Compare the output of the README's failing scenario with what its command prints now.
#[derive(clap::Args)]
pub(crate) struct Readme {
    /// Put what it prints now into the README.
    #[arg(long)]
    write: bool,
}

const FILE: &str = "README.md";
/// What begins the line of the command, whose output stands in the block behind it.
const COMMAND: &str = "cargo xtask scenario run ";
const FENCE: &str = "```";
/// Exit status of a run in which an invariant or an expectation failed.
const FAILED: i32 = 1;

/// The command, and what the README says that it prints.
#[derive(Debug, PartialEq, Eq)]
struct Example<'t> {
    /// Its words behind `cargo xtask`.
    command: &'t str,
    before: &'t str,
    output: &'t str,
    after: &'t str,
}

impl Readme {
    pub(crate) fn run(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let binary = Binary::swarm_sim(true).build(workspace)?;
        if !self.write {
            return check(workspace, &binary);
        }
        let path = workspace.root().join(FILE);
        let text = std::fs::read_to_string(&path).context(FILE)?;
        let example = Example::find(&text).context("the README shows no failing scenario")?;
        let printed = example.print(workspace, &binary)?;
        if is_same(example.output, &printed) {
            println!("{FILE} is current");
            return Ok(());
        }
        std::fs::write(&path, [example.before, &printed, example.after].concat()).context(FILE)?;
        println!("{FILE} has been renewed");
        Ok(())
    }
}

/// As a part of `ci`: `binary` can plant bugs.
pub(crate) fn check(workspace: &Workspace, binary: &Built) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(workspace.root().join(FILE)).context(FILE)?;
    let example = Example::find(&text).context("the README shows no failing scenario")?;
    let printed = example.print(workspace, binary)?;
    ensure!(
        is_same(example.output, &printed),
        "{FILE} shows another output of `{}` than it has; `cargo xtask readme --write` renews it. It is now\n{printed}",
        example.command,
    );
    println!("{FILE}: the failing scenario prints what is shown");
    Ok(())
}

impl<'t> Example<'t> {
    /// The first command that plants a bug, and the block behind its own.
    fn find(text: &'t str) -> Option<Self> {
        let mut at = 0;
        let line = text.split_inclusive('\n').find(|line| {
            let found = line.starts_with(COMMAND) && line.contains(" --plant ");
            at += if found { 0 } else { line.len() };
            found
        })?;
        // Its own block ends, and the next one begins.
        let begin = fence(text, fence(text, at + line.len())?.1)?.1;
        let (end, _) = fence(text, begin)?;
        let command = line.trim_end().strip_prefix("cargo xtask ")?;
        Some(Self {
            command,
            before: &text[..begin],
            output: &text[begin..end],
            after: &text[end..],
        })
    }

    /// What the command prints now.
    fn print(&self, workspace: &Workspace, binary: &Built) -> anyhow::Result<String> {
        let mut command = binary.command();
        command.current_dir(workspace.root()).args(self.command.split_whitespace());
        let output = command.output()?;
        ensure!(
            output.status.code() == Some(FAILED),
            "{} ended with {}, not with {FAILED}\n{}",
            shown(&command),
            output.status,
            String::from_utf8_lossy(&output.stderr),
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Where the first fence from `from` on begins, and where its line ends.
fn fence(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    for line in text.get(from..)?.split_inclusive('\n') {
        if line.starts_with(FENCE) {
            return Some((at, at + line.len()));
        }
        at += line.len();
    }
    None
}

/// Whether both are the output of one run: all of it hangs on the seed but the time that the machine took.
fn is_same(shown: &str, printed: &str) -> bool {
    without_wall_time(shown) == without_wall_time(printed)
}

/// The first line of a run without its wall time: `… simulated in 1.07s, …`.
fn without_wall_time(output: &str) -> (&str, &str) {
    const BEFORE: &str = " simulated in ";
    let timed = output.split_once(BEFORE).and_then(|(head, rest)| {
        let (time, rest) = rest.split_once(',')?;
        (!head.contains('\n') && !time.contains('\n')).then_some((head, rest))
    });
    timed.unwrap_or((output, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Run them:

```
cargo xtask scenario run --all
```

A bug:

```
cargo xtask scenario run rot --seed 0 --plant serve-unverified
```

```
FAIL rot seed 0: 14m12s simulated in 1.07s, 1620 operations
  replay: …
```

The last line.
";

    #[test]
    fn the_block_behind_the_command_that_plants_a_bug_is_its_output() {
        let example = Example::find(TEXT).expect("it is there");
        assert_eq!(example.command, "scenario run rot --seed 0 --plant serve-unverified");
        let printed = "FAIL rot seed 0: 14m12s simulated in 1.07s, 1620 operations\n  replay: …\n";
        assert_eq!(example.output, printed);
        assert!(example.before.ends_with("unverified\n```\n\n```\n"), "{}", example.before);
        assert_eq!(example.after, "```\n\nThe last line.\n");
        assert_eq!([example.before, example.output, example.after].concat(), TEXT);
        assert_eq!(Example::find(&TEXT.replace(" --plant ", " ")), None);
        let cut = TEXT.split_once("FAIL").map(|(before, _)| before).unwrap_or_default();
        assert_eq!(Example::find(cut), None, "a block without an end");
    }

    #[test]
    fn only_the_time_that_the_machine_took_may_differ() {
        let run = "FAIL rot seed 0: 14m12s simulated in 1.07s, 1620 operations\n  fault: rot, 9 effects\n";
        assert!(is_same(run, &run.replace("1.07s", "980ms")));
        for (what, other) in [("1620", "1621"), ("14m12s", "14m13s"), ("9 effects", "8 effects")] {
            assert!(!is_same(run, &run.replace(what, other)), "{what}");
        }
        assert!(!is_same(run, ""));
    }
}
