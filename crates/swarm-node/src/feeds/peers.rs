//! What the feeds ask of other nodes, as messages: outcomes that are told, questions to other holders, contexts.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::BoxFuture;
use swarm_feeds::{About, Brought, Context, Done, Peers, To};
use swarm_plan::feeds::Told;
use swarm_types::{NodeId, ObjectMeta, Stamp, StreamId, Uuid};

use super::wire::{AskWire, DONE_MAX, FeedMessage, ToldWire};
use crate::members::Expectation;
use crate::pending::Waiting;
use crate::wire::Message;
use crate::{Node, WeakNode};

/// How long holders of a stream have for an answer before they are asked again.
const ASK_WAIT: Duration = Duration::from_millis(150);
/// How often they are asked.
const ASK_TRIES: u32 = 3;
/// Longest body of a context that is brought: as much as a feed reads ahead of a request.
const CONTEXT_MAX: u64 = 64 * 1024;

/// What comes back from another holder.
#[derive(Debug)]
pub(super) struct Heard {
    from: NodeId,
    told: Told,
}

/// The other nodes, as this node's feeds see them. It does not keep the node alive.
pub(super) struct OtherNodes {
    node: WeakNode,
}

impl OtherNodes {
    pub(super) const fn new(node: WeakNode) -> Self {
        Self { node }
    }
}

impl Peers for OtherNodes {
    fn tell(&self, to: To, done: Vec<Done>) {
        let Some(node) = self.node.upgrade() else { return };
        let holders = node.holders(&to);
        for some in done.chunks(DONE_MAX) {
            let done = some.iter().map(|done| (*done).into()).collect();
            let message = Message::Feeds(FeedMessage::Done(done));
            match &holders {
                Some(holders) => {
                    holders.iter().for_each(|holder| node.inner.send(*holder, &message))
                }
                None => node.inner.multicast(&message),
            }
        }
    }

    fn ask(&self, to: To, about: About) -> BoxFuture<'_, Vec<Told>> {
        Box::pin(async move {
            match self.node.upgrade() {
                Some(node) => node.ask_holders(&to, about).await,
                None => Vec::new(),
            }
        })
    }

    fn context(&self, alias: Uuid) -> BoxFuture<'_, Context> {
        Box::pin(async move {
            match self.node.upgrade() {
                Some(node) => node.context_by_alias(alias).await,
                None => Context::Unknown,
            }
        })
    }

    fn bring(&self, context: StreamId) -> BoxFuture<'_, Option<Brought>> {
        Box::pin(async move { self.node.upgrade()?.bring(context).await })
    }
}

impl Node {
    /// The other nodes that have these volumes, as far as known; `None` for everybody.
    fn holders(&self, to: &To) -> Option<BTreeSet<NodeId>> {
        let To::Volumes(volumes) = to else { return None };
        let directory = self.inner.members.directory();
        let holders = volumes.iter().filter_map(|volume| Some(directory.find(*volume)?.0));
        Some(holders.filter(|holder| *holder != self.inner.id).collect())
    }

    /// Asks the holders of a stream what they know of it; those that are present have half a second.
    async fn ask_holders(&self, to: &To, about: About) -> Vec<Told> {
        let inner = &self.inner;
        let holders = self.holders(to);
        let Expectation { mut present, missing } = inner.members.expectation(inner.present());
        present.retain(|node| holders.as_ref().is_none_or(|holders| holders.contains(node)));
        let absent = missing
            .iter()
            .filter(|node| holders.as_ref().is_some_and(|holders| holders.contains(*node)));
        let mut waiting = Waiting::new(&inner.feeds.pending, self.env());
        let ask = AskWire::new(waiting.request, about);
        let message = Message::Feeds(FeedMessage::Ask(ask));
        // These are not waited for, but for as long as others are.
        absent.for_each(|node| inner.send(*node, &message));
        let mut told = Vec::new();
        for attempt in 0..ASK_TRIES {
            if present.is_empty() {
                break;
            }
            if holders.is_none() && attempt == 0 {
                inner.multicast(&message);
            } else {
                // Multicast may be broken where unicast still works.
                present.iter().for_each(|node| inner.send(*node, &message));
            }
            let until = self.env().now() + ASK_WAIT;
            while !present.is_empty() {
                let rest = until.since(self.env().now());
                match self.env().timeout(rest, waiting.answers.recv()).await {
                    Ok(Some(heard)) => {
                        present.remove(&heard.from);
                        told.push(heard.told);
                    }
                    Ok(None) | Err(_) => break,
                }
            }
        }
        told
    }

    /// Takes a message of another node's feeds.
    pub(crate) fn hear_feeds(&self, peer: NodeId, message: FeedMessage) {
        let inner = &self.inner;
        match message {
            FeedMessage::Told(ToldWire { request, what }) => {
                inner.feeds.pending.hear(request, Heard { from: peer, told: what.into() });
            }
            // Before its volumes are mounted, or after, a node can neither say what it knows nor note anything.
            _ if !inner.knows_its_holdings() => {}
            FeedMessage::Done(done) => {
                let done: Vec<Done> = done.into_iter().map(Into::into).collect();
                inner.feeds.engine.hear_done(&done);
            }
            FeedMessage::Ask(ask) => {
                let what = inner.feeds.engine.hear_ask(ask.about()).into();
                let told = FeedMessage::Told(ToldWire { request: ask.request, what });
                inner.send(peer, &Message::Feeds(told));
            }
        }
    }

    /// The newest version of a context, wherever it is.
    pub(crate) async fn bring(&self, id: StreamId) -> Option<Brought> {
        let answers = self.ask(Some(id), None).await;
        let stamp = answers.existing()?.stamp;
        if let Some(brought) = self.bring_from_here(id, stamp).await {
            return Some(brought);
        }
        for source in answers.sources(stamp) {
            if source.node == self.inner.id {
                continue;
            }
            let Ok(incoming) = self.fetch(source.node, id, stamp).await else { continue };
            let (meta, mut body) = (incoming.meta, incoming.body);
            let mut read = Reading::new(&meta)?;
            loop {
                match body.next().await {
                    Ok(Some(piece)) if read.takes(&piece) => {}
                    Ok(None) => return read.end(stamp, meta),
                    Ok(Some(_)) | Err(_) => break,
                }
            }
        }
        None
    }

    async fn bring_from_here(&self, id: StreamId, stamp: Stamp) -> Option<Brought> {
        let (found, meta) = self.inner.volumes.find_intact(id, stamp)?;
        let mut reader = found.volume.open(&found.record)?;
        let volume = found.volume.id();
        let mut read = Reading::new(&meta)?;
        while let Some(piece) = self.verified(&mut reader, volume, id, stamp).await.ok()? {
            if !read.takes(&piece) {
                return None;
            }
        }
        read.end(stamp, meta)
    }
}

/// A short body as it comes.
struct Reading {
    bytes: Vec<u8>,
    length: u64,
}

impl Reading {
    fn new(meta: &ObjectMeta) -> Option<Self> {
        (meta.length <= CONTEXT_MAX).then_some(Self { bytes: Vec::new(), length: meta.length })
    }

    fn takes(&mut self, piece: &Bytes) -> bool {
        let fits = (self.bytes.len() + piece.len()) as u64 <= self.length;
        if fits {
            self.bytes.extend_from_slice(piece);
        }
        fits
    }

    fn end(self, stamp: Stamp, meta: ObjectMeta) -> Option<Brought> {
        let whole = self.bytes.len() as u64 == self.length;
        whole.then(|| Brought { stamp, meta, body: self.bytes.into() })
    }
}
