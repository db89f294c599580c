//! The index in a sled database, one per volume, so that a volume moves or dies as a unit.
//!
//! Never flushed per write: what a crash loses of it is replayed from the journal. sled 0.34 may fail or panic when it
//! opens what a crash left; then it is thrown away and made anew.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use swarm_types::StreamId;

use super::{Change, Index, IndexError, MARK_KEY, Mark};

/// Memory for sled's page cache. Its default of 1 GiB per database would be 64 GiB for 64 volumes.
const CACHE_BYTES: u64 = 8 << 20;

/// See the module.
pub(crate) struct Sled {
    db: ::sled::Db,
}

impl Sled {
    /// Opens the database in this folder, or a new one if there is none that can be opened. Blocks.
    pub(crate) fn open(folder: &Path) -> Result<Self, IndexError> {
        try_open(folder).or_else(|first| {
            tracing::warn!(folder = %folder.display(), why = %first, "index thrown away");
            std::fs::remove_dir_all(folder)
                .map_err(|source| IndexError { why: source.to_string() })?;
            try_open(folder)
        })
    }
}

fn try_open(folder: &Path) -> Result<Sled, IndexError> {
    let open = || ::sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).open();
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => Ok(Sled { db: opened? }),
        Err(_) => Err(IndexError { why: "sled panicked while opening".to_owned() }),
    }
}

impl From<::sled::Error> for IndexError {
    fn from(error: ::sled::Error) -> Self {
        Self { why: error.to_string() }
    }
}

impl Index for Sled {
    fn get(&self, id: StreamId) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.db.get(id.as_bytes())?.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<(StreamId, Vec<u8>)>, IndexError> {
        let from =
            after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_bytes().as_slice()));
        let mut page = Vec::new();
        for entry in self.db.range::<&[u8], _>((from, Bound::Unbounded)) {
            if page.len() == limit {
                break;
            }
            let (key, value) = entry?;
            if let Ok(id) = key.as_ref().try_into() {
                page.push((StreamId::from_bytes(id), value.to_vec()));
            }
        }
        Ok(page)
    }

    fn apply(&self, changes: Vec<Change>, mark: Option<&Mark>) -> Result<(), IndexError> {
        let mut batch = ::sled::Batch::default();
        for (id, value) in changes {
            match value {
                Some(value) => batch.insert(id.as_bytes(), value),
                None => batch.remove(id.as_bytes()),
            }
        }
        match mark {
            Some(mark) => batch.insert(MARK_KEY, mark.encode()),
            None => batch.remove(MARK_KEY),
        }
        Ok(self.db.apply_batch(batch)?)
    }

    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        Ok(self.db.get(MARK_KEY)?.and_then(|value| Mark::decode(&value).ok()))
    }

    fn clear(&self) -> Result<(), IndexError> {
        Ok(self.db.clear()?)
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.db.flush()?;
        Ok(())
    }
}
