//! Everything in a node that fills up and empties, with its limit: for operators, and for judges who want to see that
//! nothing grows without bound.

use swarm_health::LOOKS_MAX;

use crate::Node;
use crate::contexts::CACHE_MAX;
use crate::health::ORDERS_MAX as HEALTH_ORDERS_MAX;
use crate::links::POOL_PER_PEER;
use crate::messages::ORDERS_MAX;
use crate::node::{PEER_CONNECTIONS_MAX, REQUESTS_MAX};
use crate::volumes::DAMAGED_MAX;

/// Lookups and orders that one request or one order waits for at a time: the object, its domain and its bucket, and what
/// each of them tells the holders meanwhile.
const QUESTIONS_EACH: u64 = 4;

/// Questions and orders of the health processor that wait for answers: each visit waits for one, or for the copies that it
/// has made, and visits run a few at a time for each volume and for each order of others. There is always a next visit, so
/// this is no sign of work left to be done.
const HEALTH_QUESTIONS_MAX: u64 = 4096;

/// Questions of the feeds to other holders that wait for answers: one for each stream under way, each feed as many as it has
/// threads, or items of a batch, and one for each request of SEND.
const FEED_QUESTIONS_MAX: u64 = 4096;

/// An admitted request counts for itself, and once more for what is left to do after its answer.
const COUNTS_PER_REQUEST: u64 = 2;

/// One queue, table or pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// What it is called, the same on every node.
    pub name: String,
    /// What fills it.
    pub kind: QueueKind,
    /// How much is in it now.
    pub depth: u64,
    /// How much may be.
    pub limit: u64,
}

/// What fills a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// Work: empty when nothing is to be done.
    Work,
    /// What is kept for later: caches and open connections.
    Kept,
}

impl QueueKind {
    /// The word shown to users.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Kept => "kept",
        }
    }
}

impl Queue {
    /// Something that is worked off.
    #[must_use]
    pub fn work(name: impl Into<String>, depth: u64, limit: u64) -> Self {
        Self { name: name.into(), kind: QueueKind::Work, depth, limit }
    }

    /// Something that is kept.
    #[must_use]
    pub fn kept(name: impl Into<String>, depth: u64, limit: u64) -> Self {
        Self { name: name.into(), kind: QueueKind::Kept, depth, limit }
    }
}

impl Node {
    /// All that can fill up in this node. Its front end has more.
    #[must_use]
    pub fn queues(&self) -> Vec<Queue> {
        let inner = &self.inner;
        let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        let (idle, peers) = inner.links.idle_now();
        let mut queues = vec![
            Queue::work("requests", inner.requests_now(), COUNTS_PER_REQUEST * REQUESTS_MAX),
            Queue::work(
                "background",
                inner.background_now(),
                ORDERS_MAX + PEER_CONNECTIONS_MAX * 2,
            ),
            Queue::work(
                "questions",
                count(inner.pending.len()),
                QUESTIONS_EACH * (COUNTS_PER_REQUEST * REQUESTS_MAX + ORDERS_MAX),
            ),
            Queue::kept(
                "health questions",
                count(inner.health.questions_now()),
                HEALTH_QUESTIONS_MAX,
            ),
            Queue::kept(
                "health orders",
                count(inner.health.orders_now()),
                count(HEALTH_ORDERS_MAX),
            ),
            Queue::kept("looks for requests", count(inner.health.looks_now()), count(LOOKS_MAX)),
            Queue::kept("feed questions", count(inner.feeds.questions_now()), FEED_QUESTIONS_MAX),
            Queue::kept("peer connections", inner.peer_connections_now(), PEER_CONNECTIONS_MAX),
            Queue::kept("idle links", count(idle), count(peers * POOL_PER_PEER)),
            Queue::kept("contexts", count(inner.contexts.len()), count(CACHE_MAX)),
            Queue::kept("damaged replicas", count(inner.volumes.damaged_now()), count(DAMAGED_MAX)),
        ];
        let feeds = inner.feeds.engine.queues();
        queues
            .extend(feeds.into_iter().map(|(name, depth, limit)| Queue::work(name, depth, limit)));
        queues.extend(inner.volumes.mounted().iter().map(|volume| {
            let (depth, limit) = volume.queued();
            Queue::work(format!("commits {}", volume.disk_id()), count(depth), count(limit))
        }));
        queues
    }
}
