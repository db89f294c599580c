//! A node of a town as its feeds see it: its own shelves, and the others, whom messages reach late or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use swarm_client::Auth;
use swarm_env::BoxFuture;
use swarm_feeds::table::Feed;
use swarm_feeds::wire::Ticket;
use swarm_feeds::{
    About, Brought, Context, Done, FeedTarget, Filed, Home, MayWork, Peers, Streams, Targets, To,
    What,
};
use swarm_plan::feeds::Told;
use swarm_types::{ClusterName, StreamId, Uuid};

use super::elsewhere::Door;
use super::{Neighbour, TOWN, Town};

/// Longest way of a message, microseconds.
const WAY: u64 = 900;

/// A node as its feeds see it.
pub(super) struct Seat {
    pub(super) town: Town,
    pub(super) me: usize,
}

impl Seat {
    fn here(&self) -> &Neighbour {
        self.town.node(self.me)
    }

    /// The nodes that are meant, but for this one and those that are down.
    fn meant(&self, to: &To) -> Vec<usize> {
        let all = 1..=self.town.inner.nodes.len();
        let deaf = self.town.inner.deaf.load(Ordering::Relaxed);
        all.filter(|node| *node != self.me && !deaf)
            .filter(|node| self.town.node(*node).up.load(Ordering::Relaxed))
            .filter(|node| match to {
                To::Everybody => true,
                To::Volumes(volumes) => {
                    let shelves = self.town.node(*node).shelves.lock().unwrap();
                    shelves.iter().any(|shelf| volumes.contains(&shelf.id))
                }
            })
            .collect()
    }

    async fn way(&self) {
        let env = self.town.env();
        env.sleep(Duration::from_micros(env.random_below("way", WAY))).await;
    }
}

/// Counts what keeps a node from stopping.
struct Hold(Arc<AtomicUsize>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Home for Seat {
    fn cluster(&self) -> ClusterName {
        ClusterName::from("east")
    }

    fn may_work(&self) -> MayWork {
        *self.here().may.lock().unwrap()
    }

    fn stores(&self) -> Vec<Arc<dyn Streams>> {
        let shelves = self.here().shelves.lock().unwrap();
        shelves.iter().map(|shelf| Arc::clone(shelf) as Arc<dyn Streams>).collect()
    }

    fn administrator(&self) -> Option<Auth> {
        None
    }

    fn scsp(&self) -> SocketAddr {
        SocketAddr::from((TOWN, 80))
    }

    fn ticket(&self, _: StreamId) -> Ticket {
        Ticket(7)
    }

    fn hold(&self) -> Box<dyn Send> {
        let holds = Arc::clone(&self.here().holds);
        holds.fetch_add(1, Ordering::Relaxed);
        Box::new(Hold(holds))
    }
}

impl Peers for Seat {
    fn tell(&self, to: To, done: Vec<Done>) {
        for node in self.meant(&to) {
            let (feeds, done) = (self.town.feeds(node).clone(), done.clone());
            let env = self.town.env().clone();
            let way = Duration::from_micros(env.random_below("way", WAY));
            drop(self.town.env().spawn("message", async move {
                env.sleep(way).await;
                feeds.hear_done(&done);
            }));
        }
    }

    fn ask(&self, to: To, about: About) -> BoxFuture<'_, Vec<Told>> {
        Box::pin(async move {
            self.way().await;
            let told = self.meant(&to);
            let told = told.into_iter().map(|node| self.town.feeds(node).hear_ask(about)).collect();
            self.way().await;
            told
        })
    }

    fn context(&self, alias: Uuid) -> BoxFuture<'_, Context> {
        Box::pin(async move {
            self.way().await;
            self.town.inner.lookups.fetch_add(1, Ordering::Relaxed);
            if self.town.inner.deaf.load(Ordering::Relaxed) {
                return Context::Unknown;
            }
            let contexts = self.town.inner.contexts.lock().unwrap();
            contexts.get(&alias).cloned().map_or(Context::Gone, Context::Found)
        })
    }

    fn bring(&self, context: StreamId) -> BoxFuture<'_, Option<Brought>> {
        Box::pin(async move {
            self.way().await;
            for node in self.meant(&To::Everybody) {
                let shelves = self.town.node(node).shelves.lock().unwrap().clone();
                let found = shelves.iter().find_map(|shelf| shelf.find(context));
                if let Some(Filed { stamp, what: What::Version(meta), .. }) = found {
                    let body = Bytes::from(vec![7; usize::try_from(meta.length).unwrap()]);
                    return Some(Brought { stamp, meta, body });
                }
            }
            None
        })
    }
}

impl Targets for Seat {
    fn open(&self, feed: &Feed) -> Arc<dyn FeedTarget> {
        let to = self.town.elsewhere(feed.definition.cluster_name.as_str());
        Arc::new(Door { node: self.me, to })
    }
}
