//! Making a disk a volume.

use std::sync::Arc;

use bytes::Bytes;
use swarm_env::{Disk, Env, SyncMode};
use swarm_types::{ClusterName, VolumeId};

use crate::error::FormatError;
use crate::group::{Encoding, GroupHeader, GroupKind, HalfHeader, HalfState};
use crate::layout::{
    BLOCK, CLUSTER_NAME_MAX, DEVICE_MIN, FORMAT_VERSION, Layout, Superblock, usize_of,
};
use crate::record::Entry;

/// What a new volume is for.
#[derive(Debug, Clone)]
pub struct FormatOptions {
    /// The cluster that it will belong to.
    pub cluster: ClusterName,
}

/// Writes an empty volume. The superblocks come last, so that a crash leaves a blank device and never half a volume.
pub(crate) async fn format(
    env: &Env,
    disk: &Arc<dyn Disk>,
    options: FormatOptions,
) -> Result<VolumeId, FormatError> {
    let capacity = disk.capacity();
    let layout = Layout::of_device(capacity)
        .ok_or(FormatError::TooSmall { needed: DEVICE_MIN, found: capacity })?;
    let bytes = options.cluster.as_str().len();
    if bytes > CLUSTER_NAME_MAX {
        return Err(FormatError::ClusterNameTooLong { bytes, limit: CLUSTER_NAME_MAX });
    }
    let volume = VolumeId::from_bytes(*env.random_uuid("store.volume").as_bytes());
    let salt = env.random_u64("store.salt");
    let superblock = Superblock {
        version: FORMAT_VERSION,
        volume,
        cluster: options.cluster,
        layout,
        salt,
        formatted: env.wall(),
    };
    let copies = |block: Bytes| layout.superblocks().map(|at| (at, block.clone())).to_vec();
    let blank = Bytes::from(vec![0; usize_of(BLOCK)]);
    let steps = [copies(blank), empty_journal(&superblock), copies(superblock.encode().into())];
    for writes in steps {
        disk.submit(writes, SyncMode::Sync).await.map_err(|source| FormatError::Disk { source })?;
    }
    disk.discard(layout.data, layout.data_len);
    Ok(volume)
}

/// A first half with the checkpoint of an empty volume, a second half without a header.
fn empty_journal(superblock: &Superblock) -> Vec<(u64, Bytes)> {
    let seal = superblock.seal();
    let layout = superblock.layout;
    let mut payload = Vec::new();
    Entry::Space { head: layout.data }.encode(&mut payload);
    let group = GroupHeader {
        generation: 1,
        sequence: 1,
        epoch: 0,
        kind: GroupKind::Checkpoint,
        wall: superblock.formatted,
        payload_len: u32::try_from(payload.len()).expect("one small record"),
        records: 1,
        previous: 0,
    };
    let (bytes, _) = group.encode(&seal, &payload);
    let header = HalfHeader {
        encoding: Encoding::NEWEST,
        generation: 1,
        first: 1,
        checkpoint_end: 1,
        seed: 0,
        state: HalfState::Active,
    };
    let [first, second] = layout.halves;
    vec![
        (first, header.encode(&seal).into()),
        (first + BLOCK, bytes.into()),
        (second, vec![0; usize_of(BLOCK)].into()),
    ]
}
