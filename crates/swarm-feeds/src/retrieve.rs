//! The other side of bidirectional GET: this cluster is the target, was handed a batch, and fetches what it wants of it.
//!
//! What stores it is the node, behind [`Importer`]; a batch goes on when whoever handed it over has gone, since what was begun
//! is done anyway, and is found there next time.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use swarm_client::{BodyReader, Client, ClientOptions, ErrorKind, Patience, Request};
use swarm_env::{BoxFuture, Env};
use swarm_plan::feeds::{Held, Verdict, judge_import};
use swarm_types::{NodeId, Stamp};
use tokio::sync::mpsc;

use crate::home::{Broken, Pull};
use crate::wire::{
    BATCH_ITEMS, BadLine, Deletion, Identity, Import, Item, ItemResult, Route, Ticket,
    encode_fetch, read_fetched,
};

/// Items of one batch that are fetched at a time (our choice: as many as a feed sends).
const AT_ONCE: usize = 6;
/// A fetch is given up when not a byte has moved for so long.
const SILENCE: Duration = Duration::from_secs(60);

/// What stores what another cluster brings.
pub trait Importer: Send + Sync + 'static {
    /// What this cluster holds of an object; otherwise the status that a write of it would get.
    fn held<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Held, u16>>;

    /// Stores a version on this node, unless it is there already.
    fn store(&self, route: Route, import: Import, body: Box<dyn Pull>) -> BoxFuture<'_, Imported>;

    /// Takes over a delete.
    fn delete(&self, route: Route, deletion: Deletion) -> BoxFuture<'_, Imported>;
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// The status that its answer would have.
    Answered(u16),
    /// There is no room here, but on that node.
    Elsewhere(NodeId),
}

/// A batch that is being fetched.
#[derive(Debug)]
pub struct Retrieval {
    results: mpsc::Receiver<ItemResult>,
}

impl Retrieval {
    /// Begins to fetch the items of a batch from `source`, in a task of its own, which has its own connections and lets go of
    /// the importer at its end.
    #[must_use]
    pub fn begin(
        env: &Env,
        importer: Arc<dyn Importer>,
        (route, source): (Route, SocketAddr),
        items: Vec<Result<Item, BadLine>>,
    ) -> Self {
        let (done, results) = mpsc::channel(BATCH_ITEMS);
        let options = ClientOptions { idle_per_address: AT_ONCE, ..ClientOptions::default() };
        let client = Client::new(env.clone(), options);
        let fetcher = Fetcher { client, importer, route, source };
        drop(env.spawn("feed-retrieve", async move {
            let all = items.into_iter().enumerate();
            let mut all = futures_util::stream::iter(all)
                .map(|(nth, item)| fetcher.item(nth, item))
                .buffer_unordered(AT_ONCE);
            while let Some(result) = all.next().await {
                // Who handed it over may have gone; the rest is fetched all the same.
                let _gone = done.send(result).await;
            }
            drop(all);
            fetcher.client.close_idle();
        }));
        Self { results }
    }

    /// What came of the next item; `None` at the end. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<ItemResult> {
        self.results.recv().await
    }
}

struct Fetcher {
    client: Client,
    importer: Arc<dyn Importer>,
    route: Route,
    source: SocketAddr,
}

impl Fetcher {
    async fn item(&self, nth: usize, item: Result<Item, BadLine>) -> ItemResult {
        let imported = match item {
            Err(_) => Imported::Answered(400),
            Ok(Item::Delete(deletion)) => self.importer.delete(self.route.clone(), deletion).await,
            Ok(Item::Version { identity, stamp, ticket }) => {
                self.version(&identity, stamp, ticket).await
            }
        };
        match imported {
            Imported::Answered(status) => ItemResult { item: nth, status, node: None },
            Imported::Elsewhere(node) => ItemResult { item: nth, status: 307, node: Some(node) },
        }
    }

    async fn version(&self, identity: &Identity, stamp: Stamp, ticket: Ticket) -> Imported {
        match self.importer.held(identity).await {
            Err(status) => return Imported::Answered(status),
            Ok(held) => match judge_import(identity.kind, stamp, held) {
                Verdict::AlreadyThere | Verdict::Older => return Imported::Answered(409),
                Verdict::Store | Verdict::StoreAgain => {}
            },
        }
        // The way of the feed, on which its target asks back.
        let (target, headers) = encode_fetch(identity, ticket, &self.route);
        let mut request = Request::new(self.source, "GET", target);
        (request.headers, request.patience) = (headers, Patience::Idle(SILENCE));
        let response = match self.client.send(request).await {
            Ok(response) => response,
            // Whoever cannot be reached at all cannot be reached for other items either.
            Err(error) if matches!(error.kind, ErrorKind::Refused | ErrorKind::Timeout) => {
                return Imported::Answered(504);
            }
            Err(_) => return Imported::Answered(500),
        };
        if response.status != 200 {
            // The source has changed its mind: it is gone there, or cannot be read.
            return Imported::Answered(if response.status == 404 { 404 } else { 500 });
        }
        match read_fetched(identity, &response.headers) {
            Ok(import) => {
                let body = Fetched { body: response.body, left: import.meta.length };
                self.importer.store(self.route.clone(), import, Box::new(body)).await
            }
            Err(_) => Imported::Answered(500),
        }
    }
}

/// A body as it comes from the source.
struct Fetched {
    body: BodyReader,
    left: u64,
}

impl Pull for Fetched {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(async move {
            match self.body.next().await {
                Some(Ok(piece)) => {
                    let left = self.left.checked_sub(piece.len() as u64);
                    self.left = left.ok_or(Broken)?;
                    Ok(Some(piece))
                }
                None if self.left == 0 => Ok(None),
                Some(Err(_)) | None => Err(Broken),
            }
        })
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetcher({})", self.source)
    }
}
