//! GET/retrieve: another cluster hands a batch over, this node fetches what it wants of it, and tells what came of each item
//! (Managing and Optimizing Feeds).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use swarm_env::{BoxFuture, Env};
use swarm_feeds::wire::{
    BATCH_BYTES, Deletion, Identity, Import, Retrieve, Route, read_items, read_retrieve,
};
use swarm_feeds::{Imported, Importer, Pull, Retrieval};
use swarm_node::api::{Refusal, Reply};
use swarm_node::{ImportRequest, Node, Stay};
use swarm_plan::feeds::Held;
use tokio::sync::OwnedSemaphorePermit;

use super::import::bad;
use super::{Call, Scsp};
use crate::codec::{Body, BodySource, Broken, FieldBlock, Response};
use crate::status::{self, Fault};

/// Batches that are fetched at a time: each feed of each node of a source has one, so this is several sources (our choice).
pub(crate) const BATCHES: usize = 256;

impl Scsp {
    pub(super) async fn retrieve(&self, mut call: Call) -> Result<Response, Fault> {
        let read = read_retrieve(&call.target.raw_query).map_err(bad)?;
        let batch = read.ok_or(Fault::InvalidRequest("There is no batch."))?;
        let Retrieve { route, source, stay } = batch;
        self.node.check_target(&route).map_err(Fault::Write)?;
        let permit = Arc::clone(&self.batches).try_acquire_owned().map_err(|_| Fault::Busy)?;
        let mut batch = BytesMut::new();
        while let Some(piece) = call.body.next().await.map_err(Fault::Body)? {
            if batch.len() + piece.len() > BATCH_BYTES {
                return Err(Fault::BadReplication("The batch is too long.".to_owned()));
            }
            batch.extend_from_slice(&piece);
        }
        let items = read_items(&batch);
        let items = items.map_err(|error| Fault::BadReplication(format!("{error}.")))?;
        let env = self.node.env();
        let importer = Arc::new(ThisNode { node: self.node.clone(), stay, _permit: permit });
        let results = Retrieval::begin(env, importer, (route, source), items);
        let mut fields = FieldBlock::new();
        fields.push("Content-Type", "application/x-ndjson");
        let body = Body::Chunked(Box::new(Results {
            env: env.clone(),
            keep_alive: self.rules.keep_alive,
            results,
        }));
        Ok(status::ok(fields, body, env.wall()))
    }
}

/// What came of the items, a line for each, and empty lines while there is nothing to tell.
struct Results {
    env: Env,
    /// How often whoever waits is told that it goes on.
    keep_alive: Duration,
    results: Retrieval,
}

impl BodySource for Results {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(async {
            Ok(match self.env.timeout(self.keep_alive, self.results.next()).await {
                Ok(result) => result.map(|result| result.line().into()),
                Err(_) => Some(Bytes::from_static(b"\n")),
            })
        })
    }
}

/// Stores what is fetched, on this node. It keeps the place of its batch until all of it is done.
struct ThisNode {
    node: Node,
    /// Contexts too, though writes of their names go elsewhere: whoever handed the batch over may not reach that.
    stay: bool,
    _permit: OwnedSemaphorePermit,
}

fn refused(refusal: Refusal) -> u16 {
    status::of(&Fault::Write(refusal))
}

impl Importer for ThisNode {
    fn held<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Held, u16>> {
        Box::pin(async move { self.node.probe(identity).await.map_err(refused) })
    }

    fn store(&self, route: Route, import: Import, body: Box<dyn Pull>) -> BoxFuture<'_, Imported> {
        Box::pin(async move {
            let stored = self.take(route, import, body).await;
            stored.unwrap_or_else(Imported::Answered)
        })
    }

    fn delete(&self, route: Route, deletion: Deletion) -> BoxFuture<'_, Imported> {
        Box::pin(async move {
            match self.node.import_delete(&route, deletion).await {
                Ok(Reply::Served(())) => Imported::Answered(status::taken(true)),
                Ok(Reply::Redirect(redirect)) => Imported::Elsewhere(redirect.node),
                Err(refusal) => Imported::Answered(refused(refusal)),
            }
        })
    }
}

impl ThisNode {
    async fn take(
        &self,
        route: Route,
        import: Import,
        mut body: Box<dyn Pull>,
    ) -> Result<Imported, u16> {
        // What was fetched has come a long way, and another node would fetch it again.
        let stays = self.stay || !import.meta.kind.is_context();
        let stay = if stays { Stay::Always } else { Stay::IfNear };
        let request = ImportRequest { route, import, nonce: None, stay };
        let mut session = match self.node.begin_import(request).await.map_err(refused)? {
            Reply::Served(session) => session,
            Reply::Redirect(redirect) => return Ok(Imported::Elsewhere(redirect.node)),
        };
        loop {
            match body.next().await {
                Ok(Some(piece)) => session.write(piece).await.map_err(refused)?,
                Ok(None) => break,
                Err(_) => return Err(status::SOURCE_FAILED),
            }
        }
        session.finish().await.map_err(refused)?;
        Ok(Imported::Answered(status::taken(false)))
    }
}
