//! What the health processor asks of other nodes: implemented by `swarm-node` with its messages.
//!
//! Every message may be lost, late or doubled, and each is safe under all three: a survey changes nothing; a copy that is
//! made twice is the same copy; a trim is validated by its victim with fresh questions of its own; a tombstone is filed
//! once whoever brings it; claims and announcements are hints.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use swarm_env::BoxFuture;
use swarm_plan::health::recovery::Standing;
use swarm_plan::health::{Place, Subcluster, Survey};
use swarm_store::Tombstone;
use swarm_types::{FeedSlots, NodeId, ObjectMeta, Stamp, StreamId, VolumeId};

/// The other nodes.
pub trait Peers: Send + Sync + 'static {
    /// The members that are present and open, this node left out. From memory; asks nobody.
    fn members(&self) -> Vec<Member>;

    /// What a volume of another node counts as by now ([`swarm_plan::health::recovery::standing`]). From memory.
    fn standing(&self, volume: VolumeId) -> Standing;

    /// The volumes of other nodes that were heard of since this node started and count as lost. From memory; asked all
    /// the time, so nothing may be gone through to say that there are none.
    fn lost(&self) -> Vec<VolumeId>;

    /// Asks what other nodes hold under an id. Every answer is given after the question was asked. Silent nodes are asked
    /// again, as lookups do; after that they are named in [`Survey::silent`]. Does not contain this node's own report.
    fn survey(&self, question: Question) -> BoxFuture<'_, Survey>;

    /// Opens another node's intact replica of exactly this version.
    fn fetch(
        &self,
        from: NodeId,
        id: StreamId,
        stamp: Stamp,
    ) -> BoxFuture<'_, Result<Incoming, FetchError>>;

    /// Has another node make a copy, which it fetches from one of the sources. Completes when it is durable there, refused,
    /// or given up waiting for; then it may still come.
    fn make(&self, at: NodeId, order: MakeOrder) -> BoxFuture<'_, MakeOutcome>;

    /// Asks the node of a copy that seems surplus to look for itself, and to erase it if it is.
    fn trim(&self, at: NodeId, order: TrimOrder) -> BoxFuture<'_, LeaveOutcome>;

    /// Has these nodes file a tombstone, in place of whatever older they hold. Returns those where it is durable.
    fn bury(
        &self,
        at: BTreeSet<NodeId>,
        id: StreamId,
        tombstone: Tombstone,
    ) -> BoxFuture<'_, BTreeSet<NodeId>>;

    /// Tells these nodes that copies are about to be made. Best effort.
    fn claim(&self, to: &BTreeSet<NodeId>, claim: Claim);

    /// Tells everybody that what a volume holds is to be made anew. Best effort; told again while the recovery goes on.
    fn announce(&self, recovery: Recovery);
}

/// Another node that is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub node: NodeId,
    /// Its subcluster.
    pub subcluster: Subcluster,
    /// Whether it takes copies: open, and with a volume that is not retiring.
    pub takes_copies: bool,
}

/// What a survey asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The stream.
    pub id: StreamId,
    /// Length of the body, where the cost of a copy is asked for.
    pub size: Option<u64>,
    /// Who is asked.
    pub whom: Whom,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// The nodes that have these volumes, as far as known.
    Volumes(Vec<VolumeId>),
    /// These nodes.
    Nodes(BTreeSet<NodeId>),
    /// Everybody, by multicast.
    Everybody,
}

/// A replica being fetched from another node.
pub struct Incoming {
    /// What persists with it.
    pub meta: ObjectMeta,
    /// What feeds have come to with it there.
    pub slots: FeedSlots,
    /// The body.
    pub body: Box<dyn Pull>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({} bytes)", self.meta.length)
    }
}

/// The verified body of a replica on another node.
pub trait Pull: Send {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`FetchError`]: the rest will not come.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, FetchError>>;
}

/// A replica that could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The node does not have this version, or not intact.
    #[error("the node does not have it intact")]
    NotThere,
    /// The node cannot be reached, or the connection broke.
    #[error("the node cannot be reached")]
    Unreachable,
}

/// An order to make a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeOrder {
    /// The stream.
    pub id: StreamId,
    /// The version.
    pub stamp: Stamp,
    /// Who holds it intact, best first.
    pub sources: Vec<NodeId>,
    /// Volumes that hold it, for the new copy's hints.
    pub hints: Vec<VolumeId>,
}

/// What became of an order to make a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MakeOutcome {
    /// The copy is durable on this volume; also where it was there already.
    Made(VolumeId),
    /// The node knows something newer.
    Superseded,
    /// Certainly not made: no room, no source, no wish.
    Refused,
    /// No answer.
    Unknown,
}

/// An order to look whether a copy is surplus, and then to erase it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrimOrder {
    /// The stream.
    pub id: StreamId,
    /// The version.
    pub stamp: Stamp,
    /// The volume with the copy.
    pub victim: VolumeId,
    /// How many sound copies must be left.
    pub wanted: u32,
    /// Where they seem to be.
    pub others: Vec<Place>,
}

/// What became of a copy that might go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveOutcome {
    /// Erased, durably; also where it was not there any more.
    Gone,
    /// It stays: too few others have vouched for theirs.
    Stays,
    /// No answer, or the disk failed.
    Unknown,
}

/// "I am about to make copies of this."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The stream.
    pub id: StreamId,
    /// The version.
    pub stamp: Stamp,
    /// The volume whose visit makes them: of two, the lower goes on.
    pub visitor: VolumeId,
    /// How many are made.
    pub missing: u32,
}

/// "What this volume holds is to be made anew."
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recovery {
    /// The volume.
    pub volume: VolumeId,
    /// Why.
    pub cause: RecoveryCause,
}

/// Why a volume is recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecoveryCause {
    /// It is lost.
    Lost,
    /// It is being retired fast: it is still there, but its copies do not count.
    Retiring,
}
