//! What the folder of a running cluster tells other processes: `running.json`, with its addresses.
//!
//! It is written when the cluster is ready and removed when it stops. A process that is killed leaves it behind; the lock of
//! the folder, which goes with the process, tells one from the other.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::LOCK;

const FILE: &str = "running.json";

/// A running cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// The process that runs it.
    pub process: u32,
    /// Its nodes, in order.
    pub nodes: Vec<RunningNode>,
}

/// A node of a running cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningNode {
    /// Its name, such as `main/3`.
    pub node: String,
    /// Where it answers SCSP.
    pub scsp: SocketAddr,
    /// Where it answers management requests.
    pub management: SocketAddr,
}

/// No cluster runs in a folder.
#[derive(Debug, thiserror::Error)]
pub enum NotRunning {
    /// There is none, or it was stopped.
    #[error("no cluster runs in {folder}{}", elsewhere(.others))]
    Stopped {
        /// The folder.
        folder: String,
        /// Folders in it in which clusters run.
        others: Vec<PathBuf>,
    },
    /// Its process ended without stopping it.
    #[error(
        "the cluster '{name}' in {folder} does not run: its process {process} was killed. Start it again as before"
    )]
    Killed {
        /// The cluster.
        name: String,
        /// The folder.
        folder: String,
        /// The process that ran it.
        process: u32,
    },
    /// What the folder tells cannot be read.
    #[error("{file} cannot be read: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
}

fn elsewhere(others: &[PathBuf]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let others: Vec<String> = others.iter().map(|other| other.display().to_string()).collect();
    format!("; there is one in {}", others.join(", and one in "))
}

impl Running {
    /// The cluster that runs in this folder.
    ///
    /// # Errors
    /// See [`NotRunning`].
    pub fn find(folder: &Path) -> Result<Self, NotRunning> {
        let file = folder.join(FILE);
        let unreadable = |why| NotRunning::Unreadable { file: file.display().to_string(), why };
        let shown = folder.display().to_string();
        let running: Self = match std::fs::read_to_string(&file) {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(NotRunning::Stopped { folder: shown, others: within(folder) });
            }
            Err(error) => return Err(unreadable(error.to_string())),
        };
        match is_locked(&folder.join(LOCK)) {
            Ok(true) => Ok(running),
            Ok(false) => Err(NotRunning::Killed {
                name: running.name,
                folder: shown,
                process: running.process,
            }),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// Tells of it in this folder, all at once: no reader sees half of it.
    pub(super) fn tell(&self, folder: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.persist(folder.join(FILE)).map(|_| ()).map_err(|error| error.error)
    }

    /// Tells no more.
    pub(super) fn untell(folder: &Path) {
        match std::fs::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, folder = %folder.display(), "{FILE} stays");
            }
            _ => {}
        }
    }
}

/// Whether a process holds the lock. It is taken for a moment, shared, if none does.
fn is_locked(lock: &Path) -> io::Result<bool> {
    match File::open(lock) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The folders in this one that tell of a running cluster.
fn within(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.join(FILE).is_file()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Running {
        let at = |port| SocketAddr::from(([127, 0, 0, 11], port));
        let node = RunningNode { node: "main/1".to_owned(), scsp: at(8080), management: at(8081) };
        Running { name: "main".to_owned(), process: 77, nodes: vec![node] }
    }

    #[test]
    fn a_cluster_is_found_while_its_folder_is_locked_and_missed_by_name_afterwards() {
        let parent = tempfile::TempDir::new().expect("a folder");
        let folder = parent.path().join("main");
        std::fs::create_dir(&folder).expect("made");
        let stopped = Running::find(&folder).expect_err("nothing there").to_string();
        assert_eq!(stopped, format!("no cluster runs in {}", folder.display()));
        let lock = File::create(folder.join(LOCK)).expect("made");
        lock.try_lock().expect("free");
        running().tell(&folder).expect("told");
        assert_eq!(Running::find(&folder).expect("it runs"), running());
        let above = Running::find(parent.path()).expect_err("one folder further down").to_string();
        assert!(above.ends_with(&format!("; there is one in {}", folder.display())), "{above}");
        drop(lock);
        let killed = Running::find(&folder).expect_err("its process is gone").to_string();
        assert!(killed.contains("'main'") && killed.contains("process 77 was killed"), "{killed}");
        Running::untell(&folder);
        assert!(matches!(Running::find(&folder), Err(NotRunning::Stopped { .. })));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_file() {
        let folder = tempfile::TempDir::new().expect("a folder");
        std::fs::write(folder.path().join(FILE), "{}").expect("written");
        let error = Running::find(folder.path()).expect_err("it says nothing").to_string();
        assert!(error.contains(FILE) && error.contains("name"), "{error}");
    }
}
