//! The node's side of the feeds: the engine that carries this node's streams to other clusters ([`swarm_feeds`]), with what
//! it needs of this node ([`swarm_feeds::Home`], [`swarm_feeds::Streams`]) and of the others ([`swarm_feeds::Peers`]), the
//! table of feeds as the nodes of a cluster share it, and what is told of them.
//!
//! The engine reaches its node through handles that do not keep the node alive. What it is made of is in `swarm-feeds`.

mod home;
mod peers;
mod statistics;
mod streams;
pub(crate) mod table;
pub(crate) mod wire;

use std::sync::Arc;

use swarm_env::Env;
use swarm_feeds::table::Table;
use swarm_feeds::{Brief, Feeds};
use swarm_store::Tombstone;
use swarm_types::{ClusterName, ObjectKind, Stamp, StreamId};

use crate::pending::Pending;
use crate::settings::Settings;
use crate::{Node, WeakNode};

pub use table::{ChangeFeedsError, FeedChange};

use home::OwnNode;
use peers::{Heard, OtherNodes};
use statistics::Told;
use table::Tables;

/// What a node keeps for its feeds.
pub(crate) struct FeedSide {
    /// There from the node's birth; without feeds it waits, and costs nothing.
    pub(crate) engine: Feeds,
    /// The table as this node and the others have it.
    pub(crate) tables: Tables,
    /// Questions to other holders whose answers are waited for.
    pending: Pending<Heard>,
    /// What the other nodes told of their feeds.
    told: Told,
}

impl FeedSide {
    /// Starts the engine of a node that is being born. It begins to work when the node is open.
    pub(crate) fn start(
        env: &Env,
        node: WeakNode,
        cluster: ClusterName,
        scsp_port: u16,
        settings: &Settings,
    ) -> Self {
        let own = OwnNode::new(env, node.clone(), cluster, scsp_port, settings);
        let home: Arc<dyn swarm_feeds::Home> = Arc::new(own);
        let targets = Arc::new(swarm_feeds::ClusterTargets::new(env, Arc::clone(&home)));
        let peers = Arc::new(OtherNodes::new(node));
        let around = swarm_feeds::Around { home, peers, targets };
        // The tables of the volumes are merged into it when those are mounted.
        let engine = Feeds::start(env, around, Table::default(), settings.feeds());
        let (tables, pending) = (Tables::default(), Pending::default());
        Self { engine, tables, pending, told: Told::default() }
    }

    /// Questions of this node that wait for answers.
    pub(crate) fn questions_now(&self) -> usize {
        self.pending.len()
    }
}

impl Node {
    /// The feeds of this node.
    #[must_use]
    pub fn feeds(&self) -> &Feeds {
        &self.inner.feeds.engine
    }

    /// The replica here goes first after all: the one that was chosen has not come about.
    pub(crate) fn goes_first(&self, id: StreamId, stamp: Stamp, kind: ObjectKind, length: u64) {
        let (first, tombstone, retry_at) = (true, false, None);
        self.feeds().filed(Brief { id, stamp, kind, first, tombstone, length, retry_at });
    }

    /// Whether a delete is remembered although it is old enough to be forgotten: a feed has not carried it over. A target that
    /// is away for too long will not hear of it.
    pub(crate) fn feeds_hold_back(&self, id: StreamId, tombstone: &Tombstone) -> bool {
        if !self.feeds().needs(&tombstone.slots) {
            return false;
        }
        let age = self.env().wall().since(tombstone.written);
        let held = age <= self.inner.settings().feeds_tombstone_maximum;
        if !held {
            tracing::warn!(
                node = self.env().name(), stream = %id, stamp = ?tombstone.stamp,
                "a delete is forgotten that a feed has not carried over"
            );
        }
        held
    }
}
