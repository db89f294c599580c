//! Scenario files on disk: where they lie, how they are found by name, what was in them when a run was recorded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::language::{self, Problem, model::Scenario};

/// Where the scenarios of a project lie, from its root.
pub const FOLDER: &str = "scenarios";

/// The scenarios of one project. Wherever it lies, their paths are told from its root, so that a run has the same name and
/// the same token in all of its folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Empty for the current folder.
    root: PathBuf,
}

/// What a new scenario begins as: a commented file that is right as it stands.
pub const TEMPLATE: &str = include_str!("template.toml");

/// A scenario file, read and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The path as it was given, or from the root of the project.
    pub path: String,
    /// What it says.
    pub scenario: Scenario,
    /// A checksum of its text, so that a replay notices that the file was changed.
    pub checksum: u32,
}

/// A scenario file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read, or there is none at that path.
    #[error("{path}: {source}")]
    Unreadable {
        /// The path or name as it was given.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// There is none of that name in [`FOLDER`].
    #[error("no scenario `{name}` in {FOLDER}/{}", meant(nearest.as_deref()))]
    Unknown {
        /// The name as it was given.
        name: String,
        /// The name that may have been meant.
        nearest: Option<String>,
    },
    /// What it says makes no sense.
    #[error("{}", shown(.0))]
    Wrong(Vec<Problem>),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The scenario files in `folder`, sorted by name.
///
/// # Errors
/// What the system says about the folder.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl Catalogue {
    /// The scenarios below this folder.
    #[must_use]
    pub fn of(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether there is a [`FOLDER`] at all.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.folder().is_dir()
    }

    fn folder(&self) -> PathBuf {
        self.root.join(FOLDER)
    }

    /// Reads a scenario by the path of its file, as seen from the current folder, or by its name in [`FOLDER`].
    ///
    /// # Errors
    /// [`LoadError`], with everything that is wrong with the file.
    pub fn load(&self, file_or_name: &str) -> Result<Loaded, LoadError> {
        if file_or_name.ends_with(".toml") || file_or_name.contains('/') {
            return read(Path::new(file_or_name), file_or_name.to_owned());
        }
        let (file, path) = self.named(&format!("{file_or_name}.toml"));
        match read(&file, path) {
            Err(LoadError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Err(self.unknown(file_or_name))
            }
            read => read,
        }
    }

    /// Reads every scenario of the project, sorted by name.
    ///
    /// # Errors
    /// What the system says about the folder.
    pub fn load_all(&self) -> io::Result<Vec<Result<Loaded, LoadError>>> {
        let files = files(&self.folder())?;
        let names = files.iter().filter_map(|file| file.file_name()?.to_str());
        Ok(names
            .map(|name| {
                let (file, path) = self.named(name);
                read(&file, path)
            })
            .collect())
    }

    /// A file in [`FOLDER`], and its path as it is told.
    fn named(&self, file: &str) -> (PathBuf, String) {
        (self.folder().join(file), format!("{FOLDER}/{file}"))
    }

    /// Where a new scenario of this name belongs: the path itself if it is one, else a file in [`FOLDER`].
    ///
    /// # Errors
    /// A sentence where the name would be none that a command line can say.
    pub fn path_of_new(&self, file_or_name: &str) -> Result<PathBuf, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if file_or_name.ends_with(".toml") {
            Ok(PathBuf::from(file_or_name))
        } else if !file_or_name.is_empty() && file_or_name.chars().all(plain) {
            Ok(self.folder().join(format!("{file_or_name}.toml")))
        } else {
            Err(format!("{file_or_name:?} cannot be a name: use letters, digits, - and _"))
        }
    }

    fn unknown(&self, name: &str) -> LoadError {
        // A folder that cannot be listed has no name to offer; that there is none of this name is all that is left to say.
        let stems: Vec<String> = files(&self.folder())
            .unwrap_or_default()
            .iter()
            .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
            .collect();
        let nearest = language::nearest(name, stems.iter().map(String::as_str)).map(str::to_owned);
        LoadError::Unknown { name: name.to_owned(), nearest }
    }
}

/// Reads a file whose path is told like this.
fn read(file: &Path, path: String) -> Result<Loaded, LoadError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(source) => return Err(LoadError::Unreadable { path, source }),
    };
    let scenario = language::read(&path, &text).map_err(LoadError::Wrong)?;
    Ok(Loaded { path, scenario, checksum: crc32c::crc32c(text.as_bytes()) })
}
