//! Replicas that another node pulls: both ends, over the pooled connections of `links.rs`.
//!
//! The source gives out verified blocks of exactly the version that was asked for, or refuses. The puller checks what it
//! has received as a whole against the digest that was computed when the object was written, before it says that this was
//! the end: what does not match is never published.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use md5::{Digest, Md5};
use swarm_env::{BoxFuture, Env};
use swarm_health::{FetchError, Incoming, Pull};
use swarm_types::{NodeId, ObjectMeta, Stamp, StreamId};

use crate::Node;
use crate::links::{Connection, within};
use crate::wire::Frame;
use crate::write::header_block;

/// How long the source may take for the first byte, its disk included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(35);
/// How long it may take for the next piece, its disk included.
const PIECE_TIMEOUT: Duration = Duration::from_secs(35);
/// How long the puller may take to accept a piece: it writes to a disk meanwhile.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// The body of a replica on another node, on its way here.
struct Pulled {
    node: Node,
    from: NodeId,
    id: StreamId,
    /// None after the end, and after an error.
    link: Option<Connection>,
    /// Whether all of it was received, and matched.
    whole: bool,
    digest: Md5,
    expected: [u8; 16],
    left: u64,
}

impl Node {
    /// Opens another node's replica of exactly this version.
    pub(crate) async fn fetch(
        &self,
        from: NodeId,
        id: StreamId,
        stamp: Stamp,
    ) -> Result<Incoming, FetchError> {
        // A pooled connection may have died unseen; a fresh one tells.
        if let Some(link) = self.pooled(from)
            && let Ok(opened) = self.open_over(link, from, id, stamp).await
        {
            return opened;
        }
        let link = self.connect(from).await.map_err(|_| FetchError::Unreachable)?;
        self.open_over(link, from, id, stamp).await.unwrap_or(Err(FetchError::Unreachable))
    }

    async fn open_over(
        &self,
        mut link: Connection,
        from: NodeId,
        id: StreamId,
        stamp: Stamp,
    ) -> io::Result<Result<Incoming, FetchError>> {
        let answer = within(self.env(), OPEN_TIMEOUT, async {
            link.send(&Frame::Fetch { id: *id.as_bytes(), stamp: stamp.into() }).await?;
            link.receive().await
        });
        match answer.await? {
            Frame::Replica { meta, slots } => {
                let (meta, slots) = (ObjectMeta::from(meta), slots.into());
                let mut digest = Md5::new();
                digest.update(header_block(&meta.headers));
                let (expected, left) = (meta.digest, meta.length);
                let node = self.clone();
                let (link, whole) = (Some(link), false);
                let body = Pulled { node, from, id, link, whole, digest, expected, left };
                Ok(Ok(Incoming { meta, slots, body: Box::new(body) }))
            }
            Frame::Refused { why } => {
                tracing::debug!(node = self.env().name(), peer = %from, stream = %id, why, "replica not given out");
                self.give_back(from, link);
                Ok(Err(FetchError::NotThere))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Gives a replica out over a connection on which it was asked for. An error means that the connection is of no more
    /// use.
    pub(crate) async fn serve_fetch(
        &self,
        link: &mut Connection,
        id: StreamId,
        stamp: Stamp,
    ) -> io::Result<()> {
        let refused = |why: &str| Frame::Refused { why: why.to_owned() };
        let found = if self.inner.knows_its_holdings() {
            self.inner.volumes.find_intact(id, stamp)
        } else {
            None
        };
        let Some((found, meta)) = found else {
            return send(self.env(), link, &refused("not here, or not intact")).await;
        };
        let Some(mut reader) = found.volume.open(&found.record) else {
            return send(self.env(), link, &refused("not here any more")).await;
        };
        let volume = found.volume.id();
        // Its first block shows whether the replica is any good before anything is said about it.
        let Ok(mut piece) = self.verified(&mut reader, volume, id, stamp).await else {
            return send(self.env(), link, &refused("damaged")).await;
        };
        let slots = found.record.slots().into();
        send(self.env(), link, &Frame::Replica { meta: (&meta).into(), slots }).await?;
        while let Some(bytes) = piece {
            send(self.env(), link, &Frame::Data(bytes)).await?;
            let Ok(next) = self.verified(&mut reader, volume, id, stamp).await else {
                return send(self.env(), link, &refused("damaged")).await;
            };
            piece = next;
        }
        self.inner.count("replicas given out");
        send(self.env(), link, &Frame::End).await
    }
}

/// Sends a frame to a puller, which may have stopped reading.
async fn send(env: &Env, link: &mut Connection, frame: &Frame) -> io::Result<()> {
    within(env, SEND_TIMEOUT, link.send(frame)).await
}

impl Pulled {
    async fn take(&mut self) -> Result<Option<Bytes>, FetchError> {
        let Some(mut link) = self.link.take() else {
            return if self.whole { Ok(None) } else { Err(FetchError::Unreachable) };
        };
        let frame = within(self.node.env(), PIECE_TIMEOUT, link.receive()).await;
        match frame.map_err(|_| FetchError::Unreachable)? {
            Frame::Data(bytes) if bytes.len() as u64 <= self.left => {
                self.left -= bytes.len() as u64;
                self.digest.update(&bytes);
                self.link = Some(link);
                Ok(Some(bytes))
            }
            Frame::End => {
                self.node.give_back(self.from, link);
                let digest: [u8; 16] = std::mem::take(&mut self.digest).finalize().into();
                self.whole = self.left == 0 && digest == self.expected;
                if self.whole {
                    return Ok(None);
                }
                tracing::error!(node = self.node.env().name(), peer = %self.from, stream = %self.id, "a replica does not match its digest");
                Err(FetchError::NotThere)
            }
            Frame::Refused { .. } => {
                self.node.give_back(self.from, link);
                Err(FetchError::NotThere)
            }
            _ => Err(FetchError::NotThere),
        }
    }
}

impl Pull for Pulled {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, FetchError>> {
        Box::pin(self.take())
    }
}
