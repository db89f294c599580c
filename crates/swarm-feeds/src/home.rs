//! What the feeds need of their own node: implemented by `swarm-node` with its volumes.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use swarm_client::Auth;
use swarm_env::BoxFuture;
use swarm_types::{
    ClusterName, FeedId, FeedMark, FeedSlot, FeedSlots, ObjectKind, ObjectMeta, Stamp, StreamId,
    Timestamp, Uuid, VolumeId,
};

use crate::wire::Ticket;

/// The node that the feeds run on.
pub trait Home: Send + Sync + 'static {
    /// The cluster that the node belongs to.
    fn cluster(&self) -> ClusterName;

    /// Whether feeds may work. Asked at every pass.
    fn may_work(&self) -> MayWork;

    /// The mounted volumes.
    fn stores(&self) -> Vec<Arc<dyn Streams>>;

    /// The administrator of this cluster, who is taken for one of the target's where a feed names none.
    fn administrator(&self) -> Option<Auth>;

    /// Where other clusters reach the node's SCSP port.
    fn scsp(&self) -> SocketAddr;

    /// Leave to fetch one stream from this node, for whoever shows it; good for a while.
    fn ticket(&self, id: StreamId) -> Ticket;

    /// Keeps the node from stopping as long as the answer is not dropped.
    fn hold(&self) -> Box<dyn Send>;
}

/// Whether feeds may work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayWork {
    /// Yes.
    Yes,
    /// As if all feeds were paused: a volume is being recovered here.
    Paused,
    /// Nothing may begin: the node is not open yet, has not fetched the newest table, or is about to stop.
    No,
}

/// The streams of one volume.
pub trait Streams: Send + Sync {
    /// Which volume.
    fn id(&self) -> VolumeId;

    /// Tells this mount of the volume from others: what was filed between two of them is found by walking through it again.
    fn mount(&self) -> u64;

    /// Looks through so many streams behind `after`, or from the beginning, and tells of those without a final slot of this
    /// feed and mark, in the order of their ids.
    fn page(&self, of: (FeedId, FeedMark), after: Option<StreamId>, scan: usize) -> Page;

    /// What is filed under an id.
    fn find(&self, id: StreamId) -> Option<Filed>;

    /// Opens the body of a version; `None` if it is not there any more, or not intact.
    fn read(&self, filed: &Filed) -> Option<Box<dyn Pull>>;

    /// Files slots, each in the record with exactly this stamp; where there is none any more, nothing is done. Completes when
    /// they are durable, and tells how many were filed. `known` are the feeds that there are, and their marks: where a record has
    /// no place left, the slots of others make way.
    fn settle(
        &self,
        slots: Vec<(StreamId, Stamp, FeedSlot)>,
        known: Arc<[(FeedId, FeedMark)]>,
    ) -> BoxFuture<'_, Result<u64, NotKept>>;

    /// How many streams have which slot of this feed and mark.
    fn counts(&self, feed: FeedId, mark: FeedMark) -> SlotCounts;

    /// How many streams there are, deletes that are remembered included.
    fn streams(&self) -> u64;
}

/// The slots could not be kept: the journal is full, or the disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("slots of feeds could not be kept")]
pub struct NotKept;

/// How many streams have which slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotCounts {
    /// [`swarm_types::FeedOutcome::Success`].
    pub success: u64,
    /// [`swarm_types::FeedOutcome::Unqualified`].
    pub unqualified: u64,
    /// [`swarm_types::FeedOutcome::Retrying`].
    pub retrying: u64,
}

/// A part of a volume's streams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Those without a final slot.
    pub found: Vec<Brief>,
    /// Where to go on; `None` at the end.
    pub next: Option<StreamId>,
}

/// What is known of a stream without reading all that is filed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief {
    /// The stream.
    pub id: StreamId,
    /// Its version.
    pub stamp: Stamp,
    /// Its class.
    pub kind: ObjectKind,
    /// Whether the replica here goes first.
    pub first: bool,
    /// Whether it is the memory of a delete.
    pub tombstone: bool,
    /// Length of its body.
    pub length: u64,
    /// The date before which its slot says that it is not tried again.
    pub retry_at: Option<Timestamp>,
}

/// A stream as it is filed on one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// The stream.
    pub id: StreamId,
    /// Its version.
    pub stamp: Stamp,
    /// What there is of it.
    pub what: What,
    /// What feeds have come to with it.
    pub slots: FeedSlots,
    /// Whether the replica here goes first.
    pub first: bool,
    /// The volumes that hold the others, as far as known.
    pub holders: Vec<VolumeId>,
}

/// What there is of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A version.
    Version(ObjectMeta),
    /// The memory of a delete.
    Tombstone {
        /// The class of what was deleted.
        kind: ObjectKind,
        /// Its alias UUID, if known.
        alias: Option<Uuid>,
        /// Its parent's, if known.
        parent: Option<Uuid>,
        /// The name of the domain that it was in, if known; its own if it was a domain.
        name: Option<Arc<str>>,
    },
}

impl Filed {
    /// The class.
    #[must_use]
    pub const fn kind(&self) -> ObjectKind {
        match &self.what {
            What::Version(meta) => meta.kind,
            What::Tombstone { kind, .. } => *kind,
        }
    }

    /// Whether it is the memory of a delete.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        matches!(self.what, What::Tombstone { .. })
    }

    /// What a volume tells of it in a page.
    #[must_use]
    pub fn brief(&self) -> Brief {
        let length = match &self.what {
            What::Version(meta) => meta.length,
            What::Tombstone { .. } => 0,
        };
        Brief {
            id: self.id,
            stamp: self.stamp,
            kind: self.kind(),
            first: self.first,
            tombstone: self.is_tombstone(),
            length,
            retry_at: None,
        }
    }
}

/// A verified body.
pub trait Pull: Send {
    /// The next piece, not empty; `None` at the end.
    ///
    /// # Errors
    /// [`Broken`]: the rest will not come.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>>;
}

/// A body that cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body cannot be read to its end")]
pub struct Broken;
