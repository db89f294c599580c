//! Where a feed goes, and what is carried there.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use swarm_env::{BoxFuture, Env};
use swarm_types::{ObjectMeta, Stamp, StreamId};

use crate::blockade::TargetTrouble;
use crate::definition::Mode;
use crate::home::{Broken, Home, Pull};
use crate::post::PostTarget;
use crate::pull::RetrieveTarget;
use crate::result::Delivery;
use crate::table::Feed;
use crate::wire::{Deletion, Identity};

/// The target of one feed.
pub trait FeedTarget: Send + Sync + 'static {
    /// Learns whether it is the cluster that the feed means, and answers. Completes, whoever is silent.
    fn greet(&self) -> BoxFuture<'_, Result<(), TargetTrouble>>;

    /// Carries something there. Never fails as a whole: whatever happens is an outcome.
    fn deliver(&self, parcel: Parcel, manner: Manner) -> BoxFuture<'_, Delivery>;

    /// Somebody waits now for what is being carried: it waits for nothing more to go with it.
    fn hurry(&self) {}

    /// Lets go of what is only kept in case it is needed soon. Called once in a while.
    fn tidy(&self) {}
}

/// How something is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// The target is asked first whether it has it.
    pub probe: bool,
    /// Somebody waits: it does not wait for others to go with. Who begins to wait later says [`FeedTarget::hurry`].
    pub at_once: bool,
}

/// Makes the targets of feeds.
pub trait Targets: Send + Sync + 'static {
    /// The target of this feed, as it is defined now.
    fn open(&self, feed: &Feed) -> Arc<dyn FeedTarget>;
}

/// Targets that are other clusters, as this node reaches them.
pub struct ClusterTargets {
    env: Env,
    home: Arc<dyn Home>,
}

impl ClusterTargets {
    /// The targets of this node's feeds.
    #[must_use]
    pub fn new(env: &Env, home: Arc<dyn Home>) -> Self {
        Self { env: env.clone(), home }
    }
}

impl Targets for ClusterTargets {
    fn open(&self, feed: &Feed) -> Arc<dyn FeedTarget> {
        let (definition, home) = (&feed.definition, &self.home);
        match definition.mode {
            Mode::Post => {
                let administrator = home.administrator();
                Arc::new(PostTarget::new(&self.env, home.cluster(), definition, administrator))
            }
            Mode::Get => Arc::new(RetrieveTarget::new(&self.env, Arc::clone(home), definition)),
        }
    }
}

impl fmt::Debug for ClusterTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterTargets")
    }
}

/// What is carried.
#[derive(Debug, Clone)]
pub enum Parcel {
    /// A version.
    Version(Box<Shipment>),
    /// A delete.
    Delete(Deletion),
}

/// A version and its body.
#[derive(Clone)]
pub struct Shipment {
    /// The stream.
    pub id: StreamId,
    /// Which object.
    pub identity: Identity,
    /// Which version of it.
    pub stamp: Stamp,
    /// What persists with it.
    pub meta: ObjectMeta,
    /// Opens the body, anew for every try; `None` if it is not to be had.
    pub open: OpenBody,
}

/// Opens a body.
pub type OpenBody = Arc<dyn Fn() -> Option<Box<dyn Pull>> + Send + Sync>;

impl fmt::Debug for Shipment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shipment({}, {} bytes)", self.id, self.meta.length)
    }
}

impl Parcel {
    /// The stream.
    #[must_use]
    pub const fn id(&self) -> StreamId {
        match self {
            Self::Version(shipment) => shipment.id,
            Self::Delete(deletion) => deletion.stream,
        }
    }

    /// The version.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        match self {
            Self::Version(shipment) => shipment.stamp,
            Self::Delete(deletion) => deletion.stamp,
        }
    }

    /// Length of the body.
    #[must_use]
    pub const fn length(&self) -> u64 {
        match self {
            Self::Version(shipment) => shipment.meta.length,
            Self::Delete(_) => 0,
        }
    }
}

/// A body that lies in memory.
pub(crate) struct InMemory(pub(crate) Option<Bytes>);

impl Pull for InMemory {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        let piece = self.0.take().filter(|piece| !piece.is_empty());
        Box::pin(async move { Ok(piece) })
    }
}
