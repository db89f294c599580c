//! `swarm-sim scenario …`: arguments to calls, results to text and exit status.

mod batch;
mod run;

use std::path::Path;
use std::process::ExitCode;

use swarm_scenario::catalogue::{self, FOLDER, LoadError, Loaded};
use swarm_scenario::language::words;

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
        let arguments: Vec<&str> = verb.arguments.iter().map(|word| word.word).collect();
        println!("  {:<16} {}", verb.word.word, verb.says);
        let mut notes = vec![format!("takes {}", or_nothing(&arguments.join(", ")))];
        if !verb.undo.is_empty() {
            notes.push(format!("undone by {}", verb.undo));
        }
        if !verb.effect.is_empty() {
            notes.push(format!("bites by {}", verb.effect));
        }
        println!("  {:<16} {}", "", notes.join("; "));
    }
    let later: Vec<&str> =
        words::VERBS.iter().filter(|verb| !verb.word.built).map(|verb| verb.word.word).collect();
    println!("  not yet: {}", later.join(", "));
    println!("\nEvents (`after`, `until`):");
    for (form, says) in words::EVENTS {
        println!("  {form:<34} {says}");
    }
    println!("\nSubjects (`that`):");
    for subject in words::SUBJECTS.iter().filter(|subject| subject.word.built) {
        let arguments: Vec<&str> =
            subject.arguments.iter().filter(|word| word.built).map(|word| word.word).collect();
        println!(
            "  {:<16} {} Takes {}.",
            subject.word.word,
            subject.says,
            or_nothing(&arguments.join(", "))
        );
    }
    let later: Vec<&str> = words::SUBJECTS
        .iter()
        .filter(|subject| !subject.word.built)
        .map(|subject| subject.word.word)
        .collect();
    println!("  not yet: {}", later.join(", "));
    println!("\nMetrics of a workload (`metric`):");
    for (form, says) in words::METRICS {
        println!("  {form:<24} {says}");
    }
    ExitCode::SUCCESS
}

fn or_nothing(arguments: &str) -> &str {
    if arguments.is_empty() { "nothing" } else { arguments }
}
