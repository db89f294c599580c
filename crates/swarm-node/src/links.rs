//! Replica streams between nodes: both ends, and the pool of open connections.
//!
//! A replica is staged, fed and published over one connection; only publishing makes it visible, and a connection that
//! ends before leaves nothing. The answer to a publish may be lost, so what is not answered counts as unknown.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use swarm_env::{Env, Stream};
use swarm_plan::outcome::Made;
use swarm_store::{Publish, Staged, Volume};
use swarm_types::{NodeId, ObjectMeta, StreamId, Uuid, VolumeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Node;
use crate::wire::{self, ClusterTag, FRAME_HEAD, Frame};

/// How long a peer may take to reserve room.
const STAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer may take to accept the next piece, or to make a replica durable. A slower one is left behind, so that
/// the client has its answer before it loses patience.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the receiving end waits for the next piece: a client may be slow, but not for ever.
const PIECE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long an unused connection is kept by the receiving end.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long an unused connection is kept by the sending end; shorter, so that it does not send into a closing one.
const POOL_TIMEOUT: Duration = Duration::from_secs(120);
/// Unused connections kept per peer.
pub(crate) const POOL_PER_PEER: usize = 16;
/// Largest piece of a body in one frame.
const PIECE: usize = 64 * 1024;

/// The pool of unused connections to peers.
#[derive(Default)]
pub(crate) struct Links {
    idle: Mutex<BTreeMap<NodeId, Vec<(swarm_types::Instant, Connection)>>>,
}

impl Links {
    fn take(&self, peer: NodeId, now: swarm_types::Instant) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = idle.get_mut(&peer)?;
        // The freshest is the one least likely to have been closed; if it is too old, all are.
        let newest = pool.pop();
        let usable =
            newest.filter(|(since, _)| now.since(*since) < POOL_TIMEOUT).map(|(_, link)| link);
        let stale = if usable.is_none() { std::mem::take(pool) } else { Vec::new() };
        drop(idle);
        drop(stale);
        usable
    }

    /// How many unused connections are kept, and to how many peers.
    pub(crate) fn idle_now(&self) -> (usize, usize) {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        (idle.values().map(Vec::len).sum(), idle.len())
    }

    fn give_back(&self, peer: NodeId, now: swarm_types::Instant, link: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = idle.entry(peer).or_default();
        let surplus = if pool.len() < POOL_PER_PEER {
            pool.push((now, link));
            None
        } else {
            Some(link)
        };
        drop(idle);
        drop(surplus);
    }
}

/// One connection with its buffers.
pub(crate) struct Connection {
    stream: Stream,
    cluster: ClusterTag,
    out: BytesMut,
    body: Vec<u8>,
}

impl Connection {
    fn new(stream: Stream, cluster: ClusterTag) -> Self {
        Self { stream, cluster, out: BytesMut::new(), body: Vec::new() }
    }

    pub(crate) async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.out.clear();
        wire::put_frame(&mut self.out, self.cluster, frame)?;
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await
    }

    pub(crate) async fn receive(&mut self) -> io::Result<Frame> {
        let mut head = [0; FRAME_HEAD];
        self.stream.read_exact(&mut head).await?;
        self.body.resize(wire::frame_length(self.cluster, head)?, 0);
        self.stream.read_exact(&mut self.body).await?;
        wire::frame(&self.body)
    }
}

/// A replica being made on a peer.
pub(crate) struct PeerReplica {
    pub(crate) node: NodeId,
    pub(crate) volume: VolumeId,
    link: Connection,
}

/// Bounds a step of a conversation with a peer.
pub(crate) async fn within<T>(
    env: &Env,
    limit: Duration,
    step: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    env.timeout(limit, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Node {
    /// Reserves room for a replica on a peer; `None` where it cannot be reached or has no room. Nothing is stored there.
    pub(crate) async fn stage_at(
        &self,
        peer: NodeId,
        id: StreamId,
        length: u64,
    ) -> Option<PeerReplica> {
        // A pooled connection may have died unseen; a fresh one tells.
        if let Some(link) = self.pooled(peer)
            && let Ok(staged) = self.stage_over(link, peer, id, length).await
        {
            return staged;
        }
        let link = self.connect(peer).await.ok()?;
        self.stage_over(link, peer, id, length).await.ok().flatten()
    }

    /// An unused connection to a peer; it may have died unseen.
    pub(crate) fn pooled(&self, peer: NodeId) -> Option<Connection> {
        self.inner.links.take(peer, self.env().now())
    }

    /// Opens a connection to a peer.
    pub(crate) async fn connect(&self, peer: NodeId) -> io::Result<Connection> {
        let address = SocketAddr::new(IpAddr::V4(peer.0), self.config().peer_port);
        let stream = within(self.env(), STAGE_TIMEOUT, self.env().net().connect(address)).await?;
        Ok(Connection::new(stream, self.inner.tag))
    }

    /// Keeps a connection on which nothing is under way for the next use.
    pub(crate) fn give_back(&self, peer: NodeId, link: Connection) {
        self.inner.links.give_back(peer, self.env().now(), link);
    }

    /// Asks a peer something that it answers with one frame.
    pub(crate) async fn ask_over_link(
        &self,
        peer: NodeId,
        question: &Frame,
        patience: Duration,
    ) -> io::Result<Frame> {
        // A pooled connection may have died unseen; a fresh one tells.
        if let Some(link) = self.pooled(peer)
            && let Ok(answer) = self.ask_over(link, peer, question, patience).await
        {
            return Ok(answer);
        }
        let link = self.connect(peer).await?;
        self.ask_over(link, peer, question, patience).await
    }

    async fn ask_over(
        &self,
        mut link: Connection,
        peer: NodeId,
        question: &Frame,
        patience: Duration,
    ) -> io::Result<Frame> {
        let answer = within(self.env(), patience, async {
            link.send(question).await?;
            link.receive().await
        });
        let answer = answer.await?;
        self.give_back(peer, link);
        Ok(answer)
    }

    async fn stage_over(
        &self,
        mut link: Connection,
        node: NodeId,
        id: StreamId,
        length: u64,
    ) -> io::Result<Option<PeerReplica>> {
        let env = self.env();
        let answer = within(env, STAGE_TIMEOUT, async {
            link.send(&Frame::Stage { id: *id.as_bytes(), length }).await?;
            link.receive().await
        });
        match answer.await? {
            Frame::Staged { volume } => {
                Ok(Some(PeerReplica { node, volume: VolumeId::from_bytes(volume), link }))
            }
            Frame::Refused { why } => {
                tracing::debug!(node = env.name(), peer = %node, why, "peer refused a replica");
                self.give_back(node, link);
                Ok(None)
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Sends the next piece of the body.
    pub(crate) async fn feed(&self, replica: &mut PeerReplica, piece: &Bytes) -> io::Result<()> {
        let mut rest = piece.clone();
        while !rest.is_empty() {
            let next = rest.split_to(rest.len().min(PIECE));
            within(self.env(), STEP_TIMEOUT, replica.link.send(&Frame::Data(next))).await?;
        }
        Ok(())
    }

    /// Publishes a fed replica.
    pub(crate) async fn publish_at(&self, mut replica: PeerReplica, publish: &Publish) -> Made {
        let env = self.env();
        let hints = publish.hints.volumes().iter().map(|volume| *volume.as_bytes()).collect();
        let frame = Frame::Publish {
            stamp: publish.stamp.into(),
            meta: (&publish.meta).into(),
            hints,
            slots: (&publish.slots).into(),
            first: publish.first,
            follows: publish.follows.map(Into::into),
        };
        let answer = within(env, STEP_TIMEOUT, async {
            replica.link.send(&frame).await?;
            replica.link.receive().await
        });
        let made = match answer.await {
            Ok(Frame::Published) => Made::Published,
            Ok(Frame::Superseded) => Made::Superseded,
            Ok(Frame::Refused { why }) => {
                tracing::warn!(node = env.name(), peer = %replica.node, why, "replica not stored");
                Made::NotStored
            }
            Ok(Frame::Unclear) => Made::Unknown,
            Ok(_) => return Made::Unknown,
            Err(error) => {
                tracing::warn!(node = env.name(), peer = %replica.node, %error, "no answer to a publish");
                return Made::Unknown;
            }
        };
        self.give_back(replica.node, replica.link);
        made
    }

    /// Serves the replica streams that one peer opens over one connection.
    pub(crate) async fn serve_peer(&self, stream: Stream) {
        let mut link = Connection::new(stream, self.inner.tag);
        // Every error means that the connection is of no more use; the sender learns from its end.
        while self.serve_replica(&mut link).await.is_ok() {}
    }

    async fn serve_replica(&self, link: &mut Connection) -> io::Result<()> {
        let (id, length) = match within(self.env(), IDLE_TIMEOUT, link.receive()).await? {
            Frame::Stage { id, length } => (wire::stream_id(id), length),
            Frame::Fetch { id, stamp } => {
                let _background = self.inner.background();
                return self.serve_fetch(link, wire::stream_id(id), stamp.into()).await;
            }
            Frame::FindContext { alias } => {
                let _background = self.inner.background();
                let answer = self.answer_about_context(Uuid::from_bytes(alias));
                return self.reply(link, &answer).await;
            }
            Frame::FeedTableWanted => return self.reply(link, &self.feed_table_frame()).await,
            Frame::FeedStatsWanted => return self.reply(link, &self.feed_stats_frame()).await,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let _background = self.inner.background();
        self.inner.wake();
        let room =
            if self.inner.takes_replicas() { self.inner.volumes.stage(id, length) } else { None };
        let Some((volume, mut staged)) = room else {
            return self.reply(link, &Frame::Refused { why: "no room".to_owned() }).await;
        };
        self.reply(link, &Frame::Staged { volume: *volume.id().as_bytes() }).await?;
        loop {
            match within(self.env(), PIECE_TIMEOUT, link.receive()).await? {
                Frame::Data(piece) => {
                    if let Err(error) = staged.write(piece).await {
                        // The sender is in the middle of the body, so the connection ends here.
                        tracing::warn!(node = self.env().name(), %error, "replica not received");
                        return Err(io::ErrorKind::Other.into());
                    }
                }
                Frame::Publish { stamp, meta, hints, slots, first, follows } => {
                    let hints = hints.into_iter().map(VolumeId::from_bytes).collect();
                    let bare = Publish::new(stamp.into(), ObjectMeta::from(meta), hints);
                    let (slots, follows) = (slots.into(), follows.map(Into::into));
                    let publish = Publish { slots, first, follows, ..bare };
                    if publish.meta.length != length {
                        // Readers would be promised another length than there is.
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    let answer = self.publish_received(volume, id, staged, publish).await;
                    return self.reply(link, &answer).await;
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Answers a sender, which may have stopped reading.
    async fn reply(&self, link: &mut Connection, answer: &Frame) -> io::Result<()> {
        within(self.env(), STEP_TIMEOUT, link.send(answer)).await
    }

    /// Publishes in a task of its own: a sender that vanishes now cannot cancel half a commit.
    async fn publish_received(
        &self,
        volume: Volume,
        id: StreamId,
        staged: Staged,
        publish: Publish,
    ) -> Frame {
        let node = self.clone();
        let commit = self.env().spawn("publish", async move {
            let _background = node.inner.background();
            let is_context = publish.meta.kind.is_context();
            let made = node.inner.volumes.publish(&volume, id, staged, publish).await;
            if is_context {
                node.inner.contexts.forget(id);
            }
            match made {
                Made::Published => {
                    node.inner.count("replicas received");
                    Frame::Published
                }
                Made::Superseded => Frame::Superseded,
                Made::NotStored => Frame::Refused { why: "it could not be written".to_owned() },
                Made::Unknown => Frame::Unclear,
            }
        });
        commit.join().await.unwrap_or(Frame::Unclear)
    }
}
