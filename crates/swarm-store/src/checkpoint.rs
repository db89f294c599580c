//! Checkpoints: the live state written to the other half of the journal, which then counts.
//!
//! Owns the order of writes (`docs/on-disk.md`, "Checkpoint"): the state is durable before the header that makes it
//! count, and that before the old half is marked as superseded, all before any further group.

use swarm_env::{Point, SyncMode};

use crate::books::Totals;
use crate::commit::{Committer, Failure, Position, Switch};
use crate::group::{Encoding, GroupHeader, GroupKind, HalfHeader, HalfState, group_size};
use crate::index::{IndexError, SCAN_PAGE};
use crate::layout::BLOCK;
use crate::record::Entry;

/// Largest payload of a checkpoint group that holds more than one record.
const CHECKPOINT_PAYLOAD_MAX: usize = 512 << 10;

/// Generations are this far apart at most. A crash forgets which were tried, so that the next one is left to chance: what
/// an attempt before the crash had left must not look like a part of the next.
const GENERATION_STEP: u64 = 1 << 24;

/// Groups being written to the other half.
struct Writing {
    position: Position,
    end: u64,
    payload: Vec<u8>,
    records: u32,
}

impl Committer {
    /// Writes the live state to the other half and goes on there.
    pub(crate) async fn checkpoint(&mut self) -> Result<(), Failure> {
        self.finish_switch().await?;
        self.generation_tried +=
            1 + self.shared.env.random_u64("store.generation") % GENERATION_STEP;
        let layout = self.shared.superblock.layout;
        let which = 1 - self.position.which;
        let start = layout.halves[which];
        let header = HalfHeader {
            encoding: Encoding::NEWEST,
            generation: self.generation_tried,
            first: self.position.sequence,
            checkpoint_end: 0,
            seed: self.position.previous,
            state: HalfState::Active,
        };
        let position = Position { which, header, offset: start + BLOCK, ..self.position };
        let end = start + layout.half_len;
        let mut writing = Writing { position, end, payload: Vec::new(), records: 0 };
        let (head, marks) = {
            let books = self.shared.books();
            (books.room.head(), books.marks.clone())
        };
        self.put(&mut writing, &Entry::Space { head }).await?;
        self.put(&mut writing, &Entry::Service(marks.service)).await?;
        if marks.behind.is_some() {
            self.put(&mut writing, &Entry::Behind(marks.behind)).await?;
        }
        if !marks.table.is_empty() {
            self.put(&mut writing, &Entry::FeedTable(marks.table)).await?;
        }
        self.put_index(&mut writing).await?;
        self.flush(&mut writing).await?;
        self.submit(Vec::new(), SyncMode::Sync).await?;
        self.shared.env.passes(Point::CheckpointDurable);
        let mut then = writing.position;
        then.header.checkpoint_end = then.sequence - 1;
        let superseded = HalfHeader { state: HalfState::Superseded, ..self.position.header };
        let seal = &self.shared.seal;
        let steps = vec![
            (start, then.header.encode(seal).into()),
            (layout.halves[self.position.which], superseded.encode(seal).into()),
        ];
        self.switch = Some(Switch { steps, then });
        self.finish_switch().await
    }

    /// Completes a switch that was begun. It stays begun until every step is durable.
    pub(crate) async fn finish_switch(&mut self) -> Result<(), Failure> {
        let Some(switch) = self.switch.take() else { return Ok(()) };
        for step in &switch.steps {
            if let Err(failure) = self.submit(vec![step.clone()], SyncMode::Sync).await {
                self.switch = Some(switch);
                return Err(failure);
            }
            self.shared.env.passes(Point::HalfSwitched);
        }
        self.position = switch.then;
        Ok(())
    }

    /// Everything filed, in the order of ids. An index that does not add up to the books must not become the truth.
    async fn put_index(&self, writing: &mut Writing) -> Result<(), Failure> {
        let mut totals = Totals::default();
        let mut after = None;
        loop {
            let page = self.shared.index.scan(after, SCAN_PAGE).map_err(Failure::Index)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (id, value) in page {
                totals.add(id, &value).map_err(|error| Failure::Index(error.into()))?;
                self.put(writing, &Entry::File { id, value }).await?;
            }
        }
        if totals != self.shared.books().totals {
            return Err(Failure::Index(IndexError {
                why: "it does not add up to the books".to_owned(),
            }));
        }
        Ok(())
    }

    async fn put(&self, writing: &mut Writing, entry: &Entry) -> Result<(), Failure> {
        let mut encoded = Vec::new();
        entry.encode(&mut encoded);
        if writing.payload.len() + encoded.len() > CHECKPOINT_PAYLOAD_MAX {
            self.flush(writing).await?;
        }
        writing.payload.append(&mut encoded);
        writing.records += 1;
        Ok(())
    }

    /// Writes one group of the checkpoint; its sync comes at the end.
    async fn flush(&self, writing: &mut Writing) -> Result<(), Failure> {
        let position = &mut writing.position;
        let size = group_size(writing.payload.len());
        if position.offset + size > writing.end {
            return Err(Failure::Full { needed: size, free: writing.end - position.offset });
        }
        let header = GroupHeader {
            generation: position.header.generation,
            sequence: position.sequence,
            epoch: position.epoch,
            kind: GroupKind::Checkpoint,
            wall: self.shared.env.wall(),
            payload_len: u32::try_from(writing.payload.len())
                .expect("groups are limited to PAYLOAD_MAX"),
            records: writing.records,
            previous: position.previous,
        };
        let (bytes, checksum) = header.encode(&self.shared.seal, &writing.payload);
        self.submit(vec![(position.offset, bytes.into())], SyncMode::NoSync).await?;
        position.offset += size;
        position.sequence += 1;
        position.previous = checksum;
        writing.payload.clear();
        writing.records = 0;
        Ok(())
    }
}
