//! `swarm-sim scenario …`: arguments to calls, results to text and exit status.

mod batch;
mod run;

use std::path::Path;
use std::process::ExitCode;

use swarm_scenario::catalogue::{self, FOLDER, LoadError, Loaded};
use swarm_scenario::language::words::{self, Word};

/// The scenario or the command line is wrong.
const WRONG: u8 = 2;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// The scenarios of the project, one per line.
    List {
        /// Only those with this tag.
        #[arg(long)]
        tag: Option<String>,
    },
    /// The words of the language: verbs, events, subjects, metrics.
    Verbs,
    /// Read scenario files and tell everything that is wrong with them.
    Check {
        /// Files or names; all of the project if left out.
        files: Vec<String>,
    },
    /// Run scenarios.
    Run(run::Run),
    /// Repeat the run that a failure printed.
    Replay(run::Replay),
    /// What a scenario does, as a table (not yet).
    Show {
        /// File or name.
        file: String,
    },
    /// Start a new scenario file (not yet).
    New {
        /// Its name.
        name: String,
    },
}

impl Command {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::List { tag } => list(tag.as_deref()),
            Self::Verbs => verbs(),
            Self::Check { files } => check(&files),
            Self::Run(run) => run.run(),
            Self::Replay(replay) => replay.run(),
            Self::Show { file } => not_yet(&format!("show {file}")),
            Self::New { name } => not_yet(&format!("new {name}")),
        }
    }
}

fn not_yet(what: &str) -> ExitCode {
    eprintln!("scenario {what}: not yet");
    ExitCode::from(WRONG)
}

/// The scenarios that were named, or all of the project.
fn load_all(named: &[String]) -> Vec<Result<Loaded, LoadError>> {
    if !named.is_empty() {
        return named.iter().map(|name| catalogue::load(name)).collect();
    }
    match catalogue::files(Path::new(FOLDER)) {
        Ok(files) => files.iter().map(|file| catalogue::load(&file.to_string_lossy())).collect(),
        Err(source) => vec![Err(LoadError::Unreadable { path: FOLDER.to_owned(), source })],
    }
}

fn list(tag: Option<&str>) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for loaded in load_all(&[]) {
        match loaded {
            Ok(loaded) => {
                let scenario = loaded.scenario;
                if tag.is_none_or(|tag| scenario.tags.iter().any(|own| own == tag)) {
                    println!(
                        "{:<28} {}  [{}]",
                        scenario.name,
                        scenario.title,
                        scenario.tags.join(", ")
                    );
                }
            }
            Err(error) => {
                eprintln!("{error}");
                status = ExitCode::from(WRONG);
            }
        }
    }
    status
}

fn check(files: &[String]) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for loaded in load_all(files) {
        match loaded {
            Ok(loaded) => println!("{}: ok", loaded.path),
            Err(error) => {
                eprintln!("{error}");
                status = ExitCode::from(WRONG);
            }
        }
    }
    status
}

fn verbs() -> ExitCode {
    println!("Verbs (`do`):");
    for verb in words::VERBS.iter().filter(|verb| verb.word.built) {
        println!("  {:<16} {}", verb.word.word, verb.word.says);
        let mut notes = vec![format!("takes {}", or_nothing(&arguments(verb.arguments)))];
        if !verb.undo.is_empty() {
            notes.push(format!("undone by {}", verb.undo));
        }
        if !verb.effect.is_empty() {
            notes.push(format!("bites by {}", verb.effect));
        }
        println!("  {:<16} {}", "", notes.join("; "));
    }
    not_built(words::VERBS.iter().map(|verb| verb.word));
    println!("\nSelectors (`nodes`, `disks`, `object`):");
    for (form, says) in words::SELECTORS {
        println!("  {:<34} {says}", form.replace('`', ""));
    }
    println!("\nEvents (`after`, `until`):");
    for event in words::EVENTS {
        println!("  {:<34} {}", event.form, if event.built { event.says } else { "not yet" });
    }
    println!("\nSubjects (`that`):");
    for subject in words::SUBJECTS.iter().filter(|subject| subject.word.built) {
        println!("  {:<16} {}", subject.word.word, subject.word.says);
        println!("  {:<16} takes {}", "", or_nothing(&arguments(subject.arguments)));
    }
    not_built(words::SUBJECTS.iter().map(|subject| subject.word));
    println!("\nMetrics (`metric`):");
    for metric in words::METRICS {
        let says = if metric.built { metric.says } else { "not yet" };
        println!("  {:<24} of a {}: {says}", metric.form, metric.of);
    }
    println!("\nStates (`state`):");
    println!("  of a node: {}", words::NODE_STATES.join(", "));
    println!("  of a disk: {}", words::DISK_STATES.join(", "));
    ExitCode::SUCCESS
}

fn arguments(words: &[Word]) -> String {
    let built = words.iter().filter(|word| word.built);
    built.map(|word| word.word).collect::<Vec<_>>().join(", ")
}

fn not_built(words: impl Iterator<Item = Word>) {
    let later: Vec<&str> = words.filter(|word| !word.built).map(|word| word.word).collect();
    if !later.is_empty() {
        println!("  not yet: {}", later.join(", "));
    }
}

fn or_nothing(arguments: &str) -> &str {
    if arguments.is_empty() { "nothing" } else { arguments }
}
