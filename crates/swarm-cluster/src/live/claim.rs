//! The claim of a running cluster to its name: clusters of one name and port share a multicast group and would join.
//!
//! A locked file in the system's folder for temporary files stands for the claim. The lock goes with the process however
//! that ends; the file goes when the claim is dropped, and one that was left by a killed process is taken over.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{LiveSpec, UpError};

/// How often a file is opened anew that its holder removed between opening and locking.
const TRIES: u32 = 16;

/// Held while a cluster runs; dropped, another of its name may start.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    _lock: File,
}

impl Claim {
    /// Claims the group and port of this cluster on this machine; `None` for one that is kept apart by its address.
    pub(super) fn take(spec: &LiveSpec) -> Result<Option<Self>, UpError> {
        if spec.apart {
            return Ok(None);
        }
        let group = spec.group();
        let file = format!("swarm-sim-{}-{}.lock", group.ip(), group.port());
        let path = std::env::temp_dir().join(file);
        match lock(&path) {
            Ok(Some(lock)) => Ok(Some(Self { path, _lock: lock })),
            Ok(None) => Err(UpError::NameTaken { name: spec.name.clone(), port: spec.port }),
            Err(error) => {
                Err(UpError::Spec { why: format!("{} cannot be locked: {error}", path.display()) })
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Still locked: nobody else can be using the file. One that another user made stays.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, file = %self.path.display(), "a lock file stays");
        }
    }
}

/// The locked file; `None` if another holds it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    for _ in 0..TRIES {
        let file = match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        match file.try_lock() {
            // A lock on a file that was removed meanwhile keeps nobody out.
            Ok(()) if file.metadata()?.nlink() == 0 => {}
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// Nothing is written, so a file that another user left can be locked too.
fn open(path: &Path) -> io::Result<File> {
    match OpenOptions::new().append(true).create(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_a_file_left_behind_is_taken_over() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("lock");
        File::create(&path).expect("left by a killed process");
        let held = lock(&path).expect("usable").expect("free");
        assert!(lock(&path).expect("usable").is_none(), "held");
        drop(held);
        let claim =
            Claim { path: path.clone(), _lock: lock(&path).expect("usable").expect("free") };
        drop(claim);
        assert!(!path.exists(), "the file goes with the claim");
        assert!(lock(&path).expect("usable").is_some());
    }
}
