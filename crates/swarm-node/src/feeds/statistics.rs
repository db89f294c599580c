//! What the feeds of the whole cluster come to: asked of every node over links, added up by `swarm-feeds`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use swarm_feeds::stats::{ClusterFeed, NodeFeed, roll_up};
use swarm_types::{FeedId, Instant, NodeId};

use super::wire::StatsWire;
use crate::Node;
use crate::wire::Frame;

/// How long a node may take to tell of its feeds.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Nodes whose last word is remembered; more than any cluster here has.
const NODES_MAX: usize = 1_024;

/// What the other nodes told last, and when.
#[derive(Default)]
pub(super) struct Told {
    nodes: Mutex<BTreeMap<NodeId, Word>>,
}

/// The feeds of a node, and when it told of them.
type Word = (Instant, BTreeMap<FeedId, NodeFeed>);
/// One feed, as the nodes told of it.
type ByNode = BTreeMap<NodeId, (NodeFeed, Instant)>;

impl Told {
    fn note(&self, node: NodeId, at: Instant, feeds: BTreeMap<FeedId, NodeFeed>) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() < NODES_MAX || nodes.contains_key(&node) {
            nodes.insert(node, (at, feeds));
        }
    }

    /// By feed.
    fn all(&self) -> BTreeMap<FeedId, ByNode> {
        let mut all: BTreeMap<FeedId, ByNode> = BTreeMap::new();
        for (node, (at, feeds)) in self.nodes.lock().unwrap_or_else(PoisonError::into_inner).iter()
        {
            for (id, feed) in feeds {
                all.entry(*id).or_default().insert(*node, (feed.clone(), *at));
            }
        }
        all
    }
}

impl Node {
    /// Every feed as it stands in the whole cluster. Nodes that do not answer within two seconds count with what they told
    /// last, marked as stale when that is too long ago.
    pub async fn feed_statistics(&self) -> BTreeMap<FeedId, ClusterFeed> {
        let inner = &self.inner;
        let members = inner.members.open(inner.present()).into_iter();
        let asked = members.map(|(member, _)| async move {
            let answer = self.ask_over_link(member, &Frame::FeedStatsWanted, TOLD_WITHIN).await;
            if let Ok(Frame::FeedStats(feeds)) = answer {
                let feeds = feeds.into_iter().map(StatsWire::told).collect();
                inner.feeds.told.note(member, self.env().now(), feeds);
            }
        });
        join_all(asked).await;
        let now = self.env().now();
        inner.feeds.told.note(inner.id, now, self.feeds().stats());
        let table = self.feeds().table();
        let mut all = inner.feeds.told.all();
        // What others still tell of a feed that is gone here is of no use any more.
        table
            .feeds()
            .map(|feed| (feed.id, roll_up(&all.remove(&feed.id).unwrap_or_default(), now)))
            .collect()
    }

    /// What this node tells of its feeds.
    pub(crate) fn feed_stats_frame(&self) -> Frame {
        let feeds = self.feeds().stats().into_iter();
        Frame::FeedStats(feeds.map(|(id, feed)| StatsWire::new(id, feed)).collect())
    }
}
