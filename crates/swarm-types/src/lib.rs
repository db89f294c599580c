//! Ids, names, units, timestamps, versions and the metadata that persists with an object.
//!
//! Owns the vocabulary of every other crate. Knows nothing of disks, networks, clocks or dice: values come in, values
//! go out. None of these types is a wire or disk shape; the crate that owns the wire or the disk has its own.

pub mod feeds;
pub mod headers;
pub mod httpdate;
pub mod id;
pub mod meta;
pub mod time;
pub mod version;

pub use feeds::{FEED_SLOTS_MAX, FeedId, FeedMark, FeedOutcome, FeedSlot, FeedSlots};
pub use headers::{HEADERS_MAX, HEADERS_MAX_BYTES, Header, HeaderList};
pub use id::{ClusterName, DiskId, Etag, Hex, NodeId, ParseIdError, StreamId, Uuid, VolumeId};
pub use meta::{ObjectKind, ObjectMeta};
pub use time::{Instant, Timestamp};
pub use version::{Stamp, Version};

/// The `Server` field of every answer, and in it the version of the software; the brand on the wire is still the old one
/// (Content-MD5 Checksums).
pub const SERVER: &str = "CAStor Cluster/15.0.1";
