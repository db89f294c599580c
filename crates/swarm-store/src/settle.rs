//! Making the end of a journal durable, before a mount writes behind it.
//!
//! Owns step 7 of `docs/on-disk.md`, "Mount". Who reads the end of a chain cannot know that it is on the medium: where a
//! sync failed and the process ended, the system may give out what was written as if it were there and never write it again,
//! until the power goes. Writing the same bytes once more is right in any case. Everything before the end is durable, because
//! a writer goes on behind a group only when its sync has succeeded, and a mount only behind what it has written again.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use swarm_env::{Disk, SyncMode};

use crate::journal::{ChosenHalf, Tail};
use crate::layout::Superblock;

/// Writes the last group again, or where none follows the checkpoint what makes that count; durable on return, with
/// everything written before.
pub(crate) async fn settle(
    disk: &Arc<dyn Disk>,
    superblock: &Superblock,
    half: &ChosenHalf,
    tail: &Tail,
) -> io::Result<()> {
    let writes = if tail.is_bare() {
        // The checkpoint itself was durable before its header was written, all of that before a superblock.
        let header = half.header.encode(&superblock.seal()).into();
        let block = Bytes::from(superblock.encode());
        let copies = superblock.layout.superblocks().map(|at| (at, block.clone()));
        let header = (superblock.layout.halves[half.which], header);
        copies.into_iter().chain([header]).collect()
    } else {
        vec![(tail.last.offset, tail.last.bytes.clone())]
    };
    disk.submit(writes, SyncMode::Sync).await
}
