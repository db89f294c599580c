//! Scenario files on disk: where they lie, how they are found by name, what was in them when a run was recorded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::language::{self, Problem, model::Scenario};

/// Where the scenarios of the project lie, from the root of the workspace.
pub const FOLDER: &str = "scenarios";

/// A scenario file, read and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The path as it was given.
    pub path: String,
    /// What it says.
    pub scenario: Scenario,
    /// A checksum of its text, so that a replay notices that the file was changed.
    pub checksum: u32,
}

/// A scenario file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read, or there is none of that name.
    #[error("{path}: {source}")]
    Unreadable {
        /// The path or name as it was given.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// What it says makes no sense.
    #[error("{}", shown(.0))]
    Wrong(Vec<Problem>),
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

/// Reads a scenario by the path of its file or by its name in [`FOLDER`].
///
/// # Errors
/// [`LoadError`], with everything that is wrong with the file.
pub fn load(file_or_name: &str) -> Result<Loaded, LoadError> {
    let path = if file_or_name.ends_with(".toml") || file_or_name.contains('/') {
        file_or_name.to_owned()
    } else {
        format!("{FOLDER}/{file_or_name}.toml")
    };
    let text = fs::read_to_string(&path)
        .map_err(|source| LoadError::Unreadable { path: path.clone(), source })?;
    let scenario = language::read(&path, &text).map_err(LoadError::Wrong)?;
    Ok(Loaded { path, scenario, checksum: crc32c::crc32c(text.as_bytes()) })
}
