//! Volumes and the index of one node: what is stored on one disk, and how it survives.
//!
//! A [`Volume`] is one disk image: a journal, which is the truth about what exists and where, and a data region of
//! checksummed extents. The index beside it is a cache that can be lost at any time. The byte layout, its version number
//! and what a mount does are specified once, in `docs/on-disk.md`. Knows nothing of replicas, policies, clusters or HTTP;
//! reaches its disk, the clock and tasks only through [`swarm_env::Env`].

mod books;
mod checkpoint;
mod codec;
mod commit;
mod counted;
mod defrag;
mod error;
mod extent;
mod feeds;
mod format;
mod group;
mod hints;
mod index;
mod journal;
mod layout;
mod mount;
mod read;
mod record;
mod replay;
mod room;
mod service;
mod settle;
mod slots;
mod stage;
mod upgrade;
mod verify;
mod volume;
mod walk;

pub use books::Space;
pub use counted::IoErrors;
pub use defrag::Defragmented;
pub use error::{AppendError, FormatError, MountError, PublishError, ReadError};
pub use extent::{BODY_BLOCK, Extent};
pub use feeds::{FEED_TABLE_MAX, FeedBrief, FeedPage, SlotCounts};
pub use format::FormatOptions;
pub use hints::{HINTS_MAX, Hints};
pub use layout::{DEVICE_MIN, FORMAT_VERSION};
pub use mount::{IndexUse, MountOptions, MountReport};
pub use read::Reader;
pub use record::{Record, RecordState, Tombstone};
pub use service::{Retire, RetireCause, RetirePace, Service};
pub use stage::{Publish, Staged};
pub use verify::{Examination, Verdict};
pub use volume::Volume;
pub use walk::Walk;
