//! Writes: the auction, the replicas, the commit.
//!
//! A write is staged on this node and on its peers while the body arrives, and published at the end only. The version is
//! taken at the commit, above everything known. Where it turns out that a newer version was stored meanwhile, what was
//! published is taken back before the client hears of a conflict.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use md5::{Digest, Md5};
use swarm_env::{Bug, Point};
use swarm_plan::bids::ranked;
use swarm_plan::lookup::{Answers, Holding, longest};
use swarm_plan::outcome::{Made, WriteVerdict, judge_write};
use swarm_plan::version::next_version;
use swarm_policy::{Lifecycle, synchronous_copies, target_copies};
use swarm_store::{Hints, Publish, Staged, Volume};
use swarm_types::{
    HeaderList, Instant, NodeId, ObjectKind, ObjectMeta, Stamp, StreamId, Uuid, VolumeId,
};

use crate::Node;
use crate::api::{
    Address, Nonce, Redirect, Refusal, ReplicaAt, Reply, WriteKind, WriteReply, WriteRequest,
};
use crate::contexts::Place;
use crate::links::PeerReplica;
use crate::node::Busy;
use crate::nonces::Purpose;
use crate::slots::DISK_TIMEOUT;
use crate::wire::{Message, ReplicaWire};

/// How long what a lookup told is good enough to choose a version by. A write whose body took longer asks again.
const FACTS_FRESH_FOR: Duration = Duration::from_secs(1);
/// How long superseded replicas are kept at most for the sake of lookups, however patient those are set.
const SUPERSEDE_DELAY_MAX: Duration = Duration::from_secs(10);

/// A write that this node has agreed to take: feed it the body, then finish it. Dropping it leaves nothing visible.
pub struct WriteSession {
    node: Node,
    draft: Draft,
    volume: Volume,
    local: Staged,
    peers: Vec<PeerReplica>,
    digest: Md5,
    received: u64,
    _busy: Busy,
}

impl std::fmt::Debug for WriteSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriteSession({} at {})", self.draft.id, self.received)
    }
}

/// What will be published, as far as it is known before the body is.
struct Draft {
    id: StreamId,
    meta: ObjectMeta,
    /// The ETag that an immutable object has from its UUID; others draw one at the commit.
    etag: Option<swarm_types::Etag>,
    kind: WriteKind,
    uuid: Option<Uuid>,
    domain: Option<String>,
    copies: u32,
    answers: Answers,
    asked: Instant,
}

impl Draft {
    /// A context keeps the alias UUID that it has by now: its children are filed under it.
    fn keep_alias(&mut self) {
        let alias = self.answers.existing().and_then(|existing| existing.alias);
        if self.meta.kind.is_context() && alias.is_some() {
            (self.uuid, self.meta.alias) = (alias, alias);
        }
    }
}

impl WriteSession {
    /// Takes the next piece of the body; waits while the disks are behind. A peer that fails is left behind: whether the
    /// remaining replicas suffice is judged at the end.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where this node's own disk fails; the write is over then, with nothing stored.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Refusal> {
        self.received += piece.len() as u64;
        if self.received > self.draft.meta.length {
            return Err(Refusal::Unavailable { why: "more body than announced" });
        }
        self.digest.update(&piece);
        let node = self.node.clone();
        let fed = join_all(self.peers.iter_mut().map(|peer| node.feed(peer, &piece)));
        let local = self.node.env().timeout(DISK_TIMEOUT, self.local.write(piece.clone()));
        let (fed, local) = futures_util::future::join(fed, local).await;
        match local {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(node = self.node.env().name(), %error, "body not written");
                return Err(Refusal::Unavailable { why: "the disk does not take the body" });
            }
            Err(_) => return Err(Refusal::Unavailable { why: "the disk does not answer" }),
        }
        let mut alive = fed.iter().map(Result::is_ok);
        self.peers.retain(|_| alive.next().unwrap_or(false));
        Ok(())
    }

    /// Publishes the object: durable on every replica named in the reply when this returns. Runs in a task of its own, so
    /// that a client that vanishes cannot cancel half a commit.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub async fn finish(self) -> Result<WriteReply, Refusal> {
        if self.received != self.draft.meta.length {
            return Err(Refusal::ShortBody {
                got: self.received,
                announced: self.draft.meta.length,
            });
        }
        let env = self.node.env().clone();
        let commit = env.spawn("commit", self.commit());
        commit.join().await.unwrap_or(Err(Refusal::Unknown { why: "the node is stopping" }))
    }

    async fn commit(mut self) -> Result<WriteReply, Refusal> {
        let node = self.node.clone();
        let env = node.env();
        if env.now().since(self.draft.asked) > FACTS_FRESH_FOR && self.draft.meta.kind.is_mutable()
        {
            self.draft.answers = node.ask(Some(self.draft.id), None).await;
            self.draft.keep_alias();
            check_preconditions(
                self.draft.kind,
                &self.draft.answers,
                or_create(&node, self.draft.kind, self.draft.meta.kind == ObjectKind::Named),
            )?;
        }
        let newest = self.draft.answers.newest();
        let known = newest
            .map(|newest| newest.stamp.version)
            .filter(|_| !env.planted(Bug::ClockOnlyVersion));
        let etag = self.draft.etag.unwrap_or_else(|| env.random_etag("etag"));
        let stamp = Stamp { version: next_version(env.wall(), known), etag };
        let mut meta = self.draft.meta.clone();
        meta.digest = self.digest.finalize().into();

        let here = ReplicaAt { node: node.inner.id, volume: self.volume.id() };
        let (draft, local) = (self.draft, self.local);
        let places: Vec<ReplicaAt> = std::iter::once(here)
            .chain(self.peers.iter().map(|peer| ReplicaAt { node: peer.node, volume: peer.volume }))
            .collect();
        let hints_at = |at: VolumeId| {
            places
                .iter()
                .map(|place| place.volume)
                .filter(|volume| *volume != at)
                .collect::<Hints>()
        };
        let publish = Publish::new(stamp, meta.clone(), hints_at(here.volume));
        let at_peer: Vec<Publish> = places[1..]
            .iter()
            .map(|place| Publish { hints: hints_at(place.volume), ..publish.clone() })
            .collect();
        let at_peers = join_all(
            self.peers
                .into_iter()
                .zip(&at_peer)
                .map(|(peer, publish)| node.publish_at(peer, publish)),
        );
        let at_home = node.inner.volumes.publish(&self.volume, draft.id, local, publish);
        let (at_peers, at_home) = futures_util::future::join(at_peers, at_home).await;
        let made: Vec<Made> = std::iter::once(at_home).chain(at_peers).collect();
        node.env().passes(Point::WritePublished);

        match judge_write(meta.kind, draft.copies, &made) {
            WriteVerdict::Created(_) => {
                let replicas = published(&places, &made);
                node.tell_others(&draft, stamp, &replicas);
                node.inner.count("writes");
                Ok(WriteReply {
                    replicas,
                    stamp,
                    uuid: draft.uuid,
                    alias: meta.alias,
                    replaced: newest.is_some_and(|newest| newest.form.exists()),
                    domain: draft.domain,
                    stored_digest: meta.digest,
                })
            }
            WriteVerdict::Conflict => Err(Refusal::Conflict),
            WriteVerdict::NothingStored => {
                Err(Refusal::Unavailable { why: "no replica could be stored" })
            }
            WriteVerdict::TakeBackForConflict => {
                node.take_back(draft.id, stamp, &places, &made).await;
                Err(Refusal::Unknown { why: "a newer version was stored meanwhile" })
            }
            WriteVerdict::LeaveUnclear => {
                Err(Refusal::Unknown { why: "no replica is known to be stored" })
            }
            WriteVerdict::TakeBackTooFew => {
                // The client is told that the outcome is unknown, so it need not wait for this.
                node.take_back(draft.id, stamp, &places, &made).await;
                Err(Refusal::Unknown { why: "too few replicas could be stored" })
            }
        }
    }
}

fn published(places: &[ReplicaAt], made: &[Made]) -> Vec<ReplicaAt> {
    places
        .iter()
        .zip(made)
        .filter(|(_, made)| **made == Made::Published)
        .map(|(place, _)| *place)
        .collect()
}

impl Node {
    /// Agrees to a write before its body, or says who should be asked.
    ///
    /// # Errors
    /// Any [`Refusal`]; nothing is stored.
    pub async fn begin_write(&self, request: WriteRequest) -> Result<Reply<WriteSession>, Refusal> {
        let busy = self.inner.admit()?;
        let place = self.resolve(&request.target, request.fresh_contexts).await?;
        let purpose = place.id.map_or(Purpose::NewUnnamed, Purpose::Stream);
        let sent_here =
            request.nonce.is_some_and(|nonce| self.inner.nonces.accepts(purpose, nonce));
        let asked = self.env().now();
        let answers = self.ask(place.id, Some(request.length)).await;
        let named = matches!(request.target.address, Address::Named { .. });
        check_preconditions(request.kind, &answers, or_create(self, request.kind, named))?;

        let copies = self.copies(&request);
        let bids = ranked(&answers.write_bids(), self.env().random_u64("turn"));
        let needed = copies.min(2);
        let found = u32::try_from(bids.len()).unwrap_or(u32::MAX);
        if found < needed {
            let enough_nodes = u32::try_from(answers.candidates()).unwrap_or(u32::MAX) >= needed;
            return Err(if enough_nodes {
                Refusal::NoSpace
            } else {
                Refusal::TooFewNodes { found, wanted: needed }
            });
        }
        let here = bids.iter().any(|bid| bid.node == self.inner.id);
        let winner = if sent_here && here { self.inner.id } else { bids[0].node };
        if winner != self.inner.id {
            let nonce = answers
                .iter()
                .find(|answer| answer.node == winner)
                .map_or(0, |answer| answer.nonce);
            let domain = place.domain;
            return Ok(Reply::Redirect(Redirect {
                node: winner,
                nonce: Nonce(nonce),
                permanent: self.inner.sends_clients_away(),
                domain,
            }));
        }
        let candidates =
            bids.iter().map(|bid| bid.node).filter(|node| *node != self.inner.id).collect();
        let draft = self.draft(request, place, copies, answers, asked);
        self.stage_write(draft, candidates, busy).await.map(Reply::Served)
    }

    /// Reserves room here and at as many peers as there are to be replicas.
    async fn stage_write(
        &self,
        draft: Draft,
        candidates: Vec<NodeId>,
        busy: Busy,
    ) -> Result<WriteSession, Refusal> {
        let length = draft.meta.length;
        let (volume, local) = self.inner.volumes.stage(draft.id, length).ok_or(Refusal::NoSpace)?;
        let wanted = usize::try_from(draft.copies.saturating_sub(1)).unwrap_or(0);
        let mut peers: Vec<PeerReplica> = Vec::new();
        let mut candidates = candidates.into_iter();
        while peers.len() < wanted {
            let next: Vec<NodeId> = candidates.by_ref().take(wanted - peers.len()).collect();
            if next.is_empty() {
                break;
            }
            let staged =
                join_all(next.into_iter().map(|peer| self.stage_at(peer, draft.id, length))).await;
            peers.extend(staged.into_iter().flatten());
        }
        let found = u32::try_from(peers.len() + 1).unwrap_or(u32::MAX);
        let needed = draft.copies.min(2);
        if found < needed {
            return Err(Refusal::TooFewNodes { found, wanted: needed });
        }
        let mut digest = Md5::new();
        digest.update(header_block(&draft.meta.headers));
        Ok(WriteSession {
            node: self.clone(),
            draft,
            volume,
            local,
            peers,
            digest,
            received: 0,
            _busy: busy,
        })
    }

    fn draft(
        &self,
        request: WriteRequest,
        place: Place,
        copies: u32,
        answers: Answers,
        asked: Instant,
    ) -> Draft {
        let existing = answers.existing();
        let kind = object_kind(&request, existing);
        let fresh = || self.env().random_uuid("uuid");
        let uuid = match (kind, &request.target.address) {
            (ObjectKind::Named, _) => None,
            (_, Address::Unnamed(uuid)) => Some(*uuid),
            (ObjectKind::Bucket | ObjectKind::Domain, _) => {
                Some(existing.and_then(|existing| existing.alias).unwrap_or_else(fresh))
            }
            (ObjectKind::Immutable | ObjectKind::Alias, _) => Some(fresh()),
        };
        let id = place.id.or(uuid.map(Uuid::stream)).unwrap_or_else(|| fresh().stream());
        let cid = if place.id.is_some() && place.name.is_none() {
            existing.and_then(|existing| existing.cid)
        } else {
            place.cid
        };
        let immutable = kind == ObjectKind::Immutable;
        let meta = ObjectMeta {
            kind,
            alias: uuid.filter(|_| !immutable),
            cid,
            name: place.name,
            cluster: self.config().cluster.to_string(),
            owner: request.owner,
            headers: request.headers,
            length: request.length,
            digest: [0; 16],
        };
        let etag = uuid.filter(|_| immutable).map(Uuid::etag);
        Draft {
            id,
            meta,
            etag,
            kind: request.kind,
            uuid,
            domain: place.domain,
            copies,
            answers,
            asked,
        }
    }

    /// How many replicas are made before the answer.
    fn copies(&self, request: &WriteRequest) -> u32 {
        let now = self.env().wall();
        let effective = Lifecycle::of_headers(&request.headers, now).0.at(now);
        let target = target_copies(&effective, &self.inner.settings().replicas);
        synchronous_copies(request.replicate, self.inner.settings().replicate_by_default(), target)
    }

    /// Tells the holders of older versions to drop them, and everybody that a context has changed. Best effort: the
    /// newest version wins in any case.
    fn tell_others(&self, draft: &Draft, stamp: Stamp, replicas: &[ReplicaAt]) {
        if draft.meta.kind.is_context() {
            self.tell_context_changed(draft.id, &draft.answers);
        }
        let mut older: BTreeSet<NodeId> = draft.answers.holders().collect();
        older.remove(&self.inner.id);
        replicas.iter().for_each(|replica| {
            older.remove(&replica.node);
        });
        if older.is_empty() {
            return;
        }
        let notice = ReplicaWire { request: 0, id: *draft.id.as_bytes(), stamp: stamp.into() };
        let lookups_end = longest(self.inner.settings().query_retry_multiplier_permille);
        self.spawn_order("supersede", |node| async move {
            node.env().sleep(lookups_end.min(SUPERSEDE_DELAY_MAX)).await;
            for holder in older {
                node.inner.send(holder, &Message::Superseded(notice.clone()));
            }
        });
    }

    /// Takes back what may have been published of a failed write, as far as its holders can be reached. A publish without
    /// an answer may still be carried out afterwards.
    async fn take_back(&self, id: StreamId, stamp: Stamp, places: &[ReplicaAt], made: &[Made]) {
        let stored = |made: &Made| matches!(made, Made::Published | Made::Unknown);
        let nodes: BTreeSet<NodeId> = places
            .iter()
            .zip(made)
            .filter(|(_, made)| stored(made))
            .map(|(place, _)| place.node)
            .collect();
        let mut peers = nodes.clone();
        let here = peers.remove(&self.inner.id);
        if here {
            self.inner.volumes.retract(id, stamp).await;
        }
        let order = |request| {
            Message::Retract(ReplicaWire { request, id: *id.as_bytes(), stamp: stamp.into() })
        };
        self.order(&peers, order).await;
    }
}

/// Whether a PUT may create: only named objects, by the argument or by the setting (SCSP WRITE).
fn or_create(node: &Node, kind: WriteKind, named: bool) -> bool {
    let WriteKind::Replace { or_create } = kind else { return false };
    named && (or_create || node.inner.settings().allow_put_create)
}

/// Checks what the request demands of what is there now.
fn check_preconditions(
    kind: WriteKind,
    answers: &Answers,
    may_create: bool,
) -> Result<(), Refusal> {
    let existing = answers.existing();
    match (kind, existing) {
        (WriteKind::Create { only_if_absent: true }, Some(existing)) => {
            Err(Refusal::Exists { etag: existing.stamp.etag })
        }
        (WriteKind::Replace { .. }, None) if !may_create => Err(Refusal::NotFound),
        (WriteKind::Replace { .. } | WriteKind::Create { .. }, Some(existing))
            if existing.kind == ObjectKind::Immutable =>
        {
            Err(Refusal::Immutable)
        }
        _ => Ok(()),
    }
}

fn object_kind(request: &WriteRequest, existing: Option<Holding>) -> ObjectKind {
    match (&request.target.address, request.kind) {
        (Address::Domain, _) => ObjectKind::Domain,
        (Address::Bucket(_), _) => ObjectKind::Bucket,
        (Address::Named { .. }, _) => ObjectKind::Named,
        (_, WriteKind::Unnamed { alias: false }) => ObjectKind::Immutable,
        (_, WriteKind::Unnamed { alias: true }) => ObjectKind::Alias,
        (_, WriteKind::Create { .. } | WriteKind::Replace { .. }) => {
            existing.map_or(ObjectKind::Alias, |existing| existing.kind)
        }
    }
}

/// The persisted headers as they enter the stored digest: sorted by name without regard to case, one per line, then an
/// empty line (our choice; the vendor's digest covers metadata too, its input is unpublished).
pub(crate) fn header_block(headers: &HeaderList) -> Vec<u8> {
    let mut sorted: Vec<_> = headers.iter().collect();
    sorted.sort_by_key(|header| header.name.to_ascii_lowercase());
    let mut block = Vec::new();
    for header in sorted {
        block.extend_from_slice(header.name.as_bytes());
        block.extend_from_slice(b": ");
        block.extend_from_slice(&header.value);
        block.extend_from_slice(b"\r\n");
    }
    block.extend_from_slice(b"\r\n");
    block
}
