//! What the store is about to offer itself; inherent methods of the same names take over as they arrive.

use swarm_store::{AppendError, Volume};
use swarm_types::{Stamp, StreamId};

pub(crate) struct Defragmented {
    pub(crate) moved: u64,
    pub(crate) freed: u64,
    pub(crate) done: bool,
    pub(crate) damaged: Vec<(StreamId, Stamp)>,
}

pub(crate) trait Coming {
    fn defragment(
        &self,
        budget: u64,
    ) -> impl Future<Output = Result<Defragmented, AppendError>> + Send;
    fn forget(
        &self,
        id: StreamId,
        stamp: Stamp,
    ) -> impl Future<Output = Result<bool, AppendError>> + Send;
}

impl Coming for Volume {
    async fn defragment(&self, _budget: u64) -> Result<Defragmented, AppendError> {
        Ok(Defragmented { moved: 0, freed: 0, done: true, damaged: Vec::new() })
    }

    async fn forget(&self, id: StreamId, stamp: Stamp) -> Result<bool, AppendError> {
        let record = self.find(id).filter(|record| record.stamp == stamp);
        let Some(swarm_store::RecordState::Tombstone(tombstone)) = record.map(|one| one.state)
        else {
            return Ok(false);
        };
        let behind = swarm_types::Timestamp(tombstone.written.0.saturating_add(1));
        Ok(self.expire_tombstones(behind).await? > 0)
    }
}
