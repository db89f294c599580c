//! What can go wrong with a volume: one enum per operation, variants named for what the caller can do.

use std::io;

use swarm_types::{ClusterName, Stamp, Timestamp, VolumeId};

/// A disk that could not be formatted.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The device cannot hold a volume.
    #[error("a device of {found} bytes is too small for a volume; {needed} are needed")]
    TooSmall {
        /// Smallest size in bytes.
        needed: u64,
        /// Size of the device in bytes.
        found: u64,
    },
    /// The cluster's name does not fit into the superblock.
    #[error("a cluster name of {bytes} bytes is too long; at most {limit} fit")]
    ClusterNameTooLong {
        /// Length of the name.
        bytes: usize,
        /// Longest name that fits.
        limit: usize,
    },
    /// The device failed.
    #[error("the device failed while it was being formatted")]
    Disk {
        /// What the device said.
        source: io::Error,
    },
}

/// A volume that could not be mounted; nothing on it was changed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Never formatted: the caller may format it.
    #[error("the device is not formatted")]
    Blank,
    /// It belongs to another cluster.
    #[error("the volume belongs to cluster {found}")]
    OtherCluster {
        /// The cluster that it was formatted for.
        found: ClusterName,
    },
    /// Absent for so long that its peers may have forgotten deletes that it missed.
    #[error("the volume is stale: last touched at {last_touched:?}, behind since {behind_since:?}")]
    Stale {
        /// When it was last known to be in use, by the clock of the node that used it.
        last_touched: Timestamp,
        /// Since when it may have missed what happened to its streams: not later than it was last touched.
        behind_since: Timestamp,
    },
    /// The device is smaller than what was formatted.
    #[error("the device has {found} bytes; the volume needs {needed}")]
    TooSmall {
        /// Size in bytes that is needed.
        needed: u64,
        /// Size of the device in bytes.
        found: u64,
    },
    /// The journal, or both superblocks, lost something that had been durable. What exists cannot be told any more: the
    /// caller treats the volume as lost.
    #[error("the journal is damaged at byte {at}: {why}")]
    JournalDamaged {
        /// Offset on the device in bytes.
        at: u64,
        /// What is wrong there.
        why: &'static str,
    },
    /// A format that this software does not know.
    #[error("the volume has format version {found}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// The device failed.
    #[error("the device failed during the mount")]
    Disk {
        /// What the device said.
        source: io::Error,
    },
}

/// Something that could not be added to a volume. Nothing of it is visible; after [`AppendError::Disk`], and after
/// [`AppendError::Closed`] where the volume closed meanwhile, it may still turn up whole after the next mount.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No room; the caller bids elsewhere.
    #[error("volume {volume}: {needed} bytes needed, {free} free")]
    Full {
        /// Which volume.
        volume: VolumeId,
        /// Bytes needed, in the data region or, for metadata, in the journal.
        needed: u64,
        /// Bytes free there.
        free: u64,
    },
    /// The device failed; this counts towards retiring it.
    #[error("volume {volume}: a write failed")]
    Disk {
        /// Which volume.
        volume: VolumeId,
        /// What the device said.
        source: io::Error,
    },
    /// The volume is unmounted, or its index failed and it must be mounted again.
    #[error("the volume is closed")]
    Closed,
    /// The volume is retired: it was found empty, and stays so.
    #[error("volume {volume} is retired")]
    Retired {
        /// Which volume.
        volume: VolumeId,
    },
    /// Fewer bytes were written than had been announced.
    #[error("{written} bytes written of {announced} announced")]
    Short {
        /// Bytes announced.
        announced: u64,
        /// Bytes written.
        written: u64,
    },
    /// More bytes were written than had been announced.
    #[error("more than the {announced} bytes announced were written")]
    Long {
        /// Bytes announced.
        announced: u64,
    },
    /// The metadata does not fit into one record.
    #[error("metadata of {bytes} bytes is too large; at most {limit} fit")]
    MetadataTooLarge {
        /// Size of the record in bytes.
        bytes: u64,
        /// Largest record in bytes.
        limit: u64,
    },
}

/// A version or tombstone that was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The volume knows a newer version or tombstone of the stream.
    #[error("superseded by version {}", by.version)]
    Superseded {
        /// The newer one.
        by: Stamp,
    },
    /// It could not be written.
    #[error("it could not be written")]
    Append(#[from] AppendError),
}

/// A body that cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes on disk are not those that were written; none of them was given out.
    #[error("the block at byte {at} of the body is damaged")]
    Corrupt {
        /// Where the damaged block begins in the body.
        at: u64,
    },
    /// The device failed.
    #[error("reading the block at byte {at} of the body failed")]
    Disk {
        /// Where the block begins in the body.
        at: u64,
        /// What the device said.
        source: io::Error,
    },
    /// The volume was unmounted.
    #[error("the volume is closed")]
    Gone,
}

/// The same error for each of several callers.
pub(crate) fn copy_of(source: &io::Error) -> io::Error {
    source.raw_os_error().map_or_else(
        || io::Error::new(source.kind(), source.to_string()),
        io::Error::from_raw_os_error,
    )
}
