//! The folder of a live cluster: what is in it, whose it is, and that one process uses it at a time.
//!
//! `cluster.toml` says what the folder holds, `lock` is held while a process runs the cluster, `running.json` says where it
//! answers meanwhile, and `node-1/disk-1/` holds `volume.img` and `index/` of the first disk of the first node.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use swarm_env::live::LiveDisk;
use tempfile::TempDir;

use crate::NodeRef;

use super::Running;

/// The file whose lock a process holds that runs the cluster.
pub(super) const LOCK: &str = "lock";
/// Version of the layout; a folder of another version is refused.
const FORMAT: u32 = 1;

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Name of the cluster.
    pub name: String,
    /// Number of nodes.
    pub nodes: u32,
    /// Disks of each node.
    pub volumes_per_node: u32,
    /// Size of each disk in bytes.
    pub volume_size: u64,
}

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It belongs to a cluster that differs in this respect.
    #[error(
        "folder {folder} holds cluster {found}, not {wanted}: choose another folder, or start what it holds"
    )]
    OtherCluster {
        /// The folder.
        folder: String,
        /// What it holds, such as `'main' (3 nodes, 1 volume of 4GiB each)`.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Another process runs the cluster in it.
    #[error("folder {folder} is in use: another process runs the cluster in it")]
    InUse {
        /// The folder.
        folder: String,
    },
    /// It holds files, but no cluster.
    #[error("folder {folder} holds other files: choose an empty or a new one")]
    Strange {
        /// The folder.
        folder: String,
    },
    /// Its `cluster.toml` cannot be understood.
    #[error("{file} cannot be understood: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The system refuses.
    #[error("folder {folder} cannot be used: {source}")]
    Io {
        /// The folder.
        folder: String,
        /// What it says.
        source: io::Error,
    },
}

/// The locked folder of one running cluster.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Unlocked when it is dropped.
    _lock: File,
    /// Set if the folder lives only as long as the cluster runs.
    temporary: Option<TempDir>,
}

impl Folder {
    /// What the folder at this path holds; `None` for one that does not exist or is empty.
    ///
    /// # Errors
    /// [`FolderError::Unreadable`], [`FolderError::Strange`], [`FolderError::Io`].
    pub fn contents(path: &Path) -> Result<Option<Contents>, FolderError> {
        let file = path.join("cluster.toml");
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let unreadable =
                    |why| FolderError::Unreadable { file: file.display().to_string(), why };
                parse(&text).map(Some).map_err(unreadable)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The lock alone may be left by a process that was killed before it wrote anything else.
                let strange = match std::fs::read_dir(path) {
                    Ok(entries) => entries.flatten().any(|entry| entry.file_name() != LOCK),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                    Err(source) => return Err(io_error(path, source)),
                };
                if strange {
                    return Err(FolderError::Strange { folder: path.display().to_string() });
                }
                Ok(None)
            }
            Err(source) => Err(io_error(path, source)),
        }
    }

    /// Makes or takes the folder at this path for this cluster.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn take(path: &Path, wanted: &Contents) -> Result<Self, FolderError> {
        Self::take_with(path, wanted, None)
    }

    /// Makes a folder that [`Folder::close`] removes.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn temporary(wanted: &Contents) -> Result<Self, FolderError> {
        let parent = std::env::temp_dir();
        let made = tempfile::Builder::new().prefix("swarm-sim-").tempdir_in(&parent);
        let made = made.map_err(|source| io_error(&parent, source))?;
        let path = made.path().to_owned();
        Self::take_with(&path, wanted, Some(made))
    }

    fn take_with(
        path: &Path,
        wanted: &Contents,
        temporary: Option<TempDir>,
    ) -> Result<Self, FolderError> {
        let found = Self::contents(path)?;
        let fail = |source| io_error(path, source);
        std::fs::create_dir_all(path).map_err(fail)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(path.join(LOCK));
        let lock = lock.map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FolderError::InUse { folder: path.display().to_string() });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        match found {
            Some(found) if found != *wanted => {
                return Err(FolderError::OtherCluster {
                    folder: path.display().to_string(),
                    found: found.to_string(),
                    wanted: wanted.to_string(),
                });
            }
            Some(_) => {}
            None => std::fs::write(path.join("cluster.toml"), print(wanted)).map_err(fail)?,
        }
        // Of a process that was killed: what it told is true no more.
        Running::untell(path);
        Ok(Self { path: path.to_owned(), _lock: lock, temporary })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True if it is removed when the cluster stops.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The disks of a node.
    #[must_use]
    pub fn disks(&self, node: &NodeRef, contents: &Contents) -> Vec<LiveDisk> {
        let disk = |number: u32| LiveDisk {
            id: (&*format!("{node}/{number}")).into(),
            folder: self.path.join(format!("node-{}", node.node)).join(format!("disk-{number}")),
            size: contents.volume_size,
        };
        (1..=contents.volumes_per_node).map(disk).collect()
    }

    /// Tells other processes where the cluster answers, until the folder is closed.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn tell(&self, running: &Running) -> Result<(), FolderError> {
        running.tell(&self.path).map_err(|source| io_error(&self.path, source))
    }

    /// Unlocks the folder, and removes it if it is temporary.
    ///
    /// # Errors
    /// [`FolderError::Io`] if it cannot be removed.
    pub fn close(self) -> Result<(), FolderError> {
        Running::untell(&self.path);
        match self.temporary {
            Some(made) => made.close().map_err(|source| io_error(&self.path, source)),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        let Self { name, nodes, volumes_per_node: volumes, volume_size } = self;
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("B", 1)];
        let (unit, bytes) =
            units.into_iter().find(|(_, bytes)| volume_size % bytes == 0).unwrap_or(("B", 1));
        write!(f, "'{name}' ({nodes} node{}, ", plural(*nodes))?;
        write!(f, "{volumes} volume{} of {}{unit} each)", plural(*volumes), volume_size / bytes)
    }
}

fn io_error(path: &Path, source: io::Error) -> FolderError {
    FolderError::Io { folder: path.display().to_string(), source }
}

fn print(contents: &Contents) -> String {
    let Contents { name, nodes, volumes_per_node, volume_size } = contents;
    format!(
        "# What this folder holds; `swarm-sim cluster up` reads it.\n\
         format = {FORMAT}\n\
         name = \"{name}\"\n\
         nodes = {nodes}\n\
         volumes = {volumes_per_node}\n\
         size = {volume_size}\n"
    )
}

/// Reads what [`print`] writes: one `key = value` per line, comments apart.
fn parse(text: &str) -> Result<Contents, String> {
    let value = |key: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let mut pairs = lines.filter_map(|line| line.split_once('='));
        let found = pairs.find(|(found, _)| found.trim() == key).map(|(_, value)| value.trim());
        found.ok_or_else(|| format!("it does not say '{key}'"))
    };
    let number = |key: &str| {
        let text = value(key)?;
        text.parse::<u64>().map_err(|_| format!("{key} = {text} is not a number"))
    };
    let small = |key: &str| u32::try_from(number(key)?).map_err(|_| format!("{key} is too large"));
    if number("format")? != u64::from(FORMAT) {
        return Err(format!("format {} is not {FORMAT}", number("format")?));
    }
    Ok(Contents {
        name: value("name")?.trim_matches('"').to_owned(),
        nodes: small("nodes")?,
        volumes_per_node: small("volumes")?,
        volume_size: number("size")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        Contents { name: "main".to_owned(), nodes: 3, volumes_per_node: 2, volume_size: 1 << 30 }
    }

    #[test]
    fn a_folder_remembers_its_cluster() {
        let parent = TempDir::new().expect("a folder");
        let path = parent.path().join("made/on/demand");
        assert_eq!(Folder::contents(&path).expect("absent"), None);
        let folder = Folder::take(&path, &contents()).expect("new");
        assert_eq!(Folder::contents(&path).expect("written"), Some(contents()));
        let node = NodeRef { cluster: "main".to_owned(), node: 3 };
        let disks = folder.disks(&node, &contents());
        assert_eq!(disks.len(), 2);
        assert_eq!(
            (disks[1].id.to_string(), &disks[1].folder),
            ("main/3/2".to_owned(), &path.join("node-3/disk-2"))
        );
        folder.close().expect("closed");
        Folder::take(&path, &contents()).expect("the same cluster again");
    }

    #[test]
    fn another_cluster_and_a_second_process_are_refused() {
        let parent = TempDir::new().expect("a folder");
        let folder = Folder::take(parent.path(), &contents()).expect("new");
        let twice = Folder::take(parent.path(), &contents()).expect_err("in use");
        assert!(matches!(twice, FolderError::InUse { .. }), "{twice}");
        folder.close().expect("closed");
        let other = Contents { name: "dr".to_owned(), ..contents() };
        let refused = Folder::take(parent.path(), &other).expect_err("another name");
        assert!(
            refused.to_string().contains("holds cluster 'main' (3 nodes, 2 volumes of 1GiB each)"),
            "{refused}"
        );
        let larger = Contents { nodes: 4, ..contents() };
        assert!(Folder::take(parent.path(), &larger).is_err());
    }

    #[test]
    fn a_folder_of_other_things_is_left_alone() {
        let parent = TempDir::new().expect("a folder");
        std::fs::write(parent.path().join("thesis.txt"), "years of work").expect("written");
        let refused = Folder::take(parent.path(), &contents()).expect_err("not ours");
        assert!(matches!(refused, FolderError::Strange { .. }), "{refused}");
        std::fs::write(parent.path().join("cluster.toml"), "format = 2\n").expect("written");
        let refused = Folder::contents(parent.path()).expect_err("from the future");
        assert!(refused.to_string().contains("format 2 is not 1"), "{refused}");
    }

    #[test]
    fn a_temporary_folder_goes_with_its_cluster() {
        let folder = Folder::temporary(&contents()).expect("made");
        let path = folder.path().to_owned();
        assert!(folder.is_temporary() && path.join("cluster.toml").exists());
        folder.close().expect("removed");
        assert!(!path.exists());
    }
}
