//! What the feeds ask of other nodes: implemented by `swarm-node` with its messages.
//!
//! Every message may be lost, late or doubled. What is told is an outcome that was noted somewhere, so that it is true
//! whenever it comes; who asks and hears nothing does the work, at the cost of a question to the target.

use bytes::Bytes;
use swarm_env::BoxFuture;
use swarm_plan::feeds::Told;
use swarm_types::{
    FeedId, FeedMark, FeedSlot, ObjectKind, ObjectMeta, Stamp, StreamId, Uuid, VolumeId,
};

/// The other nodes.
pub trait Peers: Send + Sync + 'static {
    /// Tells the holders of some streams what came of them. Best effort.
    fn tell(&self, to: To, done: Vec<Done>);

    /// Asks the holders of a stream what they know of it. Completes soon, whoever is silent.
    fn ask(&self, to: To, about: About) -> BoxFuture<'_, Vec<Told>>;

    /// Finds a domain or a bucket by its alias UUID, on this node or another.
    fn context(&self, alias: Uuid) -> BoxFuture<'_, Context>;

    /// Brings the newest version of a domain or a bucket, wherever it is.
    fn bring(&self, context: StreamId) -> BoxFuture<'_, Option<Brought>>;
}

/// Who is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    /// The nodes that have these volumes, as far as known.
    Volumes(Vec<VolumeId>),
    /// Everybody, by multicast.
    Everybody,
}

impl To {
    /// The holders of a stream: everybody where none is known.
    pub(crate) fn holders(volumes: &[VolumeId]) -> Self {
        if volumes.is_empty() { Self::Everybody } else { Self::Volumes(volumes.to_vec()) }
    }
}

/// "This came of it."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The stream.
    pub id: StreamId,
    /// The version.
    pub stamp: Stamp,
    /// What came of it, at which feed and mark.
    pub slot: FeedSlot,
}

/// "What do you know of it?"
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// The stream.
    pub id: StreamId,
    /// The version.
    pub stamp: Stamp,
    /// The feed.
    pub feed: FeedId,
    /// Which evaluation of it.
    pub mark: FeedMark,
}

/// A domain or a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// It is there.
    Found(FoundContext),
    /// It was deleted, and the delete is remembered: it still tells where the deletes belong of what was in it.
    Deleted(DeletedContext),
    /// Everybody was asked, and nobody has it.
    Gone,
    /// Not everybody answered.
    Unknown,
}

/// A domain or a bucket that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundContext {
    /// The stream that it is filed under.
    pub stream: StreamId,
    /// Domain or bucket.
    pub kind: ObjectKind,
    /// Its name within its parent.
    pub name: String,
    /// Alias UUID of its parent; [`Uuid::ROOT`] of a domain.
    pub parent: Option<Uuid>,
}

/// A domain or a bucket that was deleted, as far as its delete tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedContext {
    /// The stream that it was filed under.
    pub stream: StreamId,
    /// Domain or bucket.
    pub kind: ObjectKind,
    /// Its name within its parent: that of a domain; others are not remembered.
    pub name: Option<String>,
    /// Alias UUID of its parent.
    pub parent: Option<Uuid>,
}

impl From<FoundContext> for DeletedContext {
    fn from(FoundContext { stream, kind, name, parent }: FoundContext) -> Self {
        Self { stream, kind, name: Some(name), parent }
    }
}

/// A version of a domain or a bucket, with its body, which is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// Which version.
    pub stamp: Stamp,
    /// What persists with it.
    pub meta: ObjectMeta,
    /// The body.
    pub body: Bytes,
}
