//! The index as an ordered map: of a simulated disk, whose fate it shares, or in place of a database that does not open.

use std::ops::Bound;
use std::sync::{Arc, MutexGuard, PoisonError};

use swarm_env::MemoryIndex;
use swarm_types::StreamId;

use super::{Change, Index, IndexError, MARK_KEY, Mark};

/// See the module.
pub(crate) struct Memory {
    map: Arc<MemoryIndex>,
}

impl Memory {
    pub(crate) fn new(map: Arc<MemoryIndex>) -> Self {
        Self { map }
    }

    fn lock(&self) -> MutexGuard<'_, std::collections::BTreeMap<Vec<u8>, Vec<u8>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index for Memory {
    fn get(&self, id: StreamId) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.lock().get(id.as_bytes().as_slice()).cloned())
    }

    fn scan(
        &self,
        after: Option<StreamId>,
        limit: usize,
    ) -> Result<Vec<(StreamId, Vec<u8>)>, IndexError> {
        let map = self.lock();
        let from =
            after.as_ref().map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_bytes().as_slice()));
        let ids = map.range::<[u8], _>((from, Bound::Unbounded)).filter_map(|(key, value)| {
            let id = key.as_slice().try_into().ok()?;
            Some((StreamId::from_bytes(id), value.clone()))
        });
        Ok(ids.take(limit).collect())
    }

    fn apply(&self, changes: Vec<Change>, mark: Option<&Mark>) -> Result<(), IndexError> {
        let mut map = self.lock();
        for (id, value) in changes {
            match value {
                Some(value) => map.insert(id.as_bytes().to_vec(), value),
                None => map.remove(id.as_bytes().as_slice()),
            };
        }
        match mark {
            Some(mark) => map.insert(MARK_KEY.to_vec(), mark.encode()),
            None => map.remove(MARK_KEY),
        };
        Ok(())
    }

    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        Ok(self.lock().get(MARK_KEY).and_then(|value| Mark::decode(value).ok()))
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.lock().clear();
        Ok(())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}
