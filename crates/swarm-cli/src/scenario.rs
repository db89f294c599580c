//! `swarm-sim scenario …`: arguments to calls, results to text and exit status.

mod batch;
mod explore;
mod run;

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use swarm_scenario::catalogue::{Catalogue, FOLDER, LoadError, Loaded, TEMPLATE};
use swarm_scenario::language::words::{self, Takes, Word};
use swarm_scenario::show::show_scenario;

use crate::say::say;

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
    Verbs {
        /// The JSON Schema of a scenario file instead, for editors.
        #[arg(long)]
        schema: bool,
    },
    /// Read scenario files and tell everything that is wrong with them.
    Check {
        /// Files or names; all of the project if left out.
        files: Vec<String>,
    },
    /// Run scenarios.
    Run(run::Run),
    /// Repeat the run that a failure printed.
    Replay(run::Replay),
    /// Draw scenarios that nobody wrote, run each, and keep those that fail.
    Explore(explore::Explore),
    /// What a scenario will do: its world, its timeline, what must hold.
    Show {
        /// File or name.
        file: String,
    },
    /// Start a new scenario with a commented file that is right as it stands.
    New {
        /// Its name in scenarios/, or the path of its file.
        name: String,
    },
}

impl Command {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::List { tag } => list(tag.as_deref()),
            Self::Verbs { schema: false } => verbs(),
            Self::Verbs { schema: true } => schema(),
            Self::Check { files } => check(&files),
            Self::Run(run) => run.run(),
            Self::Replay(replay) => replay.run(),
            Self::Explore(explore) => explore.run(),
            Self::Show { file } => show(&file),
            Self::New { name } => new(&name),
        }
    }
}

/// The root of the project whose scenarios are meant where the current folder has none.
const WORKSPACE: &str = "SWARM_SIM_WORKSPACE";

/// Which scenarios a name stands for, as the help tells it.
pub(crate) const WHERE: &str = "\
Scenarios are named by their files in scenarios/, or given as paths of files. Where the current folder has no scenarios/, \
that of the folder in SWARM_SIM_WORKSPACE is meant; `cargo xtask` sets it to the root of its workspace.";

/// The scenarios that names stand for: those of the current folder, else of the project that [`WORKSPACE`] names.
pub(crate) fn catalogue() -> Catalogue {
    let here = Catalogue::default();
    match std::env::var_os(WORKSPACE) {
        Some(root) if !here.is_there() => Catalogue::of(root),
        _ => here,
    }
}

fn show(file: &str) -> ExitCode {
    match catalogue().load(file) {
        Ok(loaded) => {
            show_scenario(&loaded.scenario).iter().for_each(|line| say!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(WRONG)
        }
    }
}

fn new(name: &str) -> ExitCode {
    let path = match catalogue().path_of_new(name) {
        Ok(path) => path,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(WRONG);
        }
    };
    // A file that is there is somebody's work.
    let written = File::create_new(&path).and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    match written {
        Ok(()) => {
            say!("{}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::from(WRONG)
        }
    }
}

fn schema() -> ExitCode {
    say!("{:#}", swarm_scenario::language::schema::schema());
    ExitCode::SUCCESS
}

/// The scenarios that were named, or all of the project.
fn load_all(named: &[String]) -> Vec<Result<Loaded, LoadError>> {
    let catalogue = catalogue();
    if !named.is_empty() {
        return named.iter().map(|name| catalogue.load(name)).collect();
    }
    catalogue.load_all().unwrap_or_else(|source| {
        vec![Err(LoadError::Unreadable { path: FOLDER.to_owned(), source })]
    })
}

fn list(tag: Option<&str>) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for loaded in load_all(&[]) {
        match loaded {
            Ok(loaded) => {
                let scenario = loaded.scenario;
                if tag.is_none_or(|tag| scenario.tags.iter().any(|own| own == tag)) {
                    say!(
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
            Ok(loaded) => say!("{}: ok", loaded.path),
            Err(error) => {
                eprintln!("{error}");
                status = ExitCode::from(WRONG);
            }
        }
    }
    status
}

fn verbs() -> ExitCode {
    say!("Verbs (`do`):");
    for verb in words::VERBS.iter().filter(|verb| verb.word.built) {
        say!("  {:<16} {}", verb.word.word, verb.word.says);
        let mut notes = vec![format!("takes {}", or_nothing(&arguments(verb.arguments)))];
        if !verb.undo.is_empty() {
            notes.push(format!("undone by {}", verb.undo));
        }
        if !verb.effect.is_empty() {
            notes.push(format!("bites by {}", verb.effect));
        }
        say!("  {:<16} {}", "", notes.join("; "));
    }
    not_built(words::VERBS.iter().map(|verb| verb.word));
    say!("\nSelectors (`nodes`, `disks`, `object`):");
    for (form, says) in words::SELECTORS {
        say!("  {:<34} {says}", form.replace('`', ""));
    }
    say!("\nEvents (`after`, `until`):");
    for event in words::EVENTS {
        say!("  {:<34} {}", event.form, if event.built { event.says } else { "not yet" });
    }
    say!("\nSubjects (`that`):");
    for subject in words::SUBJECTS.iter().filter(|subject| subject.word.built) {
        say!("  {:<16} {}", subject.word.word, subject.word.says);
        say!("  {:<16} takes {}", "", or_nothing(&arguments(subject.arguments)));
    }
    not_built(words::SUBJECTS.iter().map(|subject| subject.word));
    say!("\nMetrics (`metric`):");
    for metric in words::METRICS {
        let says = if metric.built { metric.says } else { "not yet" };
        say!("  {:<24} of a {}: {says}", metric.form, metric.of);
    }
    say!("\nStates (`state`):");
    say!("  of a node: {}", words::NODE_STATES.join(", "));
    say!("  of a disk: {}", words::DISK_STATES.join(", "));
    ExitCode::SUCCESS
}

fn arguments(words: &[Word]) -> String {
    let built = words.iter().filter(|word| word.built);
    let shown = built.map(|word| match word.takes {
        Takes::OneOf(choices) => {
            let choices: Vec<&str> = choices.iter().map(|choice| choice.word).collect();
            format!("{} ({})", word.word, choices.join(" | "))
        }
        _ => word.word.to_owned(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn not_built(words: impl Iterator<Item = Word>) {
    let later: Vec<&str> = words.filter(|word| !word.built).map(|word| word.word).collect();
    if !later.is_empty() {
        say!("  not yet: {}", later.join(", "));
    }
}

fn or_nothing(arguments: &str) -> &str {
    if arguments.is_empty() { "nothing" } else { arguments }
}
