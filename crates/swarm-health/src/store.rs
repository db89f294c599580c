//! What the store is about to offer itself; inherent methods of the same names take over as they arrive.

use std::io;
use std::time::Duration;

use swarm_store::{AppendError, ReadError, Record, Space, Volume};
use swarm_types::{Stamp, StreamId};

#[derive(Debug, Clone)]
pub(crate) struct Walk {
    start: StreamId,
    after: Option<StreamId>,
    wrapped: bool,
    done: bool,
}

impl Walk {
    pub(crate) fn seeded(seed: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let start = StreamId::from_bytes(bytes);
        Self { start, after: Some(start), wrapped: false, done: false }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn share_done(&self) -> f64 {
        if self.done {
            return 1.0;
        }
        let head = |id: StreamId| u128::from_be_bytes(*id.as_bytes()) as f64 / u128::MAX as f64;
        match (self.after, self.wrapped) {
            (Some(after), false) => head(after) - head(self.start),
            (after, _) => 1.0 - head(self.start) + after.map_or(0.0, head),
        }
    }
}

pub(crate) enum Verdict {
    Whole,
    Damaged { blocks: Vec<u64>, table: bool },
    Unreadable { at: u64, source: io::Error },
    Gone,
}

pub(crate) struct Defragmented {
    pub(crate) moved: u64,
    pub(crate) freed: u64,
    pub(crate) done: bool,
    pub(crate) damaged: Vec<(StreamId, Stamp)>,
}

pub(crate) trait Coming {
    fn note_slow(&self) {}
    fn walk(&self, walk: &mut Walk, limit: usize) -> Vec<Record>;
    fn verify(&self, record: &Record) -> impl Future<Output = Verdict> + Send;
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
    fn walk(&self, walk: &mut Walk, limit: usize) -> Vec<Record> {
        if walk.done {
            return Vec::new();
        }
        let mut page = self.records(walk.after, limit);
        if walk.wrapped {
            page.retain(|record| record.id <= walk.start);
        }
        if let Some(last) = page.last() {
            walk.after = Some(last.id);
            return page;
        }
        if walk.wrapped {
            walk.done = true;
            return Vec::new();
        }
        (walk.wrapped, walk.after) = (true, None);
        self.walk(walk, limit)
    }

    async fn verify(&self, record: &Record) -> Verdict {
        let Some(mut reader) = self.open(record) else { return Verdict::Gone };
        loop {
            match reader.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Verdict::Whole,
                Err(ReadError::Corrupt { at }) => {
                    return Verdict::Damaged { blocks: vec![at], table: false };
                }
                Err(ReadError::Disk { at, source }) => return Verdict::Unreadable { at, source },
                Err(ReadError::Gone) => return Verdict::Gone,
            }
        }
    }

    async fn defragment(&self, _budget: u64) -> Result<Defragmented, AppendError> {
        Ok(Defragmented { moved: 0, freed: 0, done: true, damaged: Vec::new() })
    }

    async fn forget(&self, _id: StreamId, _stamp: Stamp) -> Result<bool, AppendError> {
        let _ = Duration::ZERO;
        Ok(false)
    }
}

pub(crate) trait ComingSpace {
    fn free_share(&self) -> f64;
}

impl ComingSpace for Space {
    fn free_share(&self) -> f64 {
        let all = self.free + self.trapped;
        if all == 0 { 1.0 } else { self.free as f64 / all as f64 }
    }
}
