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
/// Who has been silent for so long is no part of the cluster any more: its disks are elsewhere, or lost (our choice).
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);
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

    /// Forgets what all other nodes told.
    fn keep(&self, known: impl Fn(NodeId) -> bool) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|node, _| known(*node));
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
        let is_silent = |node| {
            let sight = inner.members.sight(node, inner.present());
            sight.is_none_or(|sight| sight.silence > FORGOTTEN_AFTER)
        };
        inner.feeds.told.keep(|node| !is_silent(node));
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// A node that is gone for good neither counts for ever nor takes the place of another.
    #[test]
    fn a_node_that_is_gone_is_forgotten() {
        let told = Told::default();
        let node = |number: u32| NodeId(Ipv4Addr::from(number));
        let many = u32::try_from(NODES_MAX).expect("small");
        (0..many).for_each(|number| told.note(node(number), Instant(1), BTreeMap::new()));
        let knows =
            |number| told.nodes.lock().expect("nobody panicked").contains_key(&node(number));
        told.note(node(many), Instant(2), BTreeMap::new());
        assert!(!knows(many), "there is no place for it");
        told.keep(|other| other != node(7));
        told.note(node(many), Instant(3), BTreeMap::new());
        assert_eq!([7, 8, many].map(knows), [false, true, true]);
    }
}
