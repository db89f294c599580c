//! Reads: find the newest version, choose who delivers it, deliver it verified.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use swarm_plan::lookup::{Answers, Form};
use swarm_store::{ReadError, Reader, RecordState};
use swarm_types::{NodeId, Stamp, StreamId, VolumeId};

use crate::Node;
use crate::api::{BodyBroken, BodyWish, Nonce, ReadReply, ReadRequest, Redirect, Refusal, Reply};
use crate::contexts::Place;
use crate::node::Busy;
use crate::nonces::Purpose;
use crate::slots::DISK_TIMEOUT;
use crate::volumes::{Found, has_ended};
use crate::wire::{Message, ReplicaWire};

/// How often a read starts over when the replica that it chose turns out damaged or gone: once per replica of the
/// largest policy.
const ATTEMPTS: u32 = 16;

/// How long a read waits for replicas that serve nobody to be verified: as long as an order waits for its answers.
/// Verification goes on after that, and the next read finds what came of it.
const EXAMINED_WITHIN: Duration = Duration::from_secs(2);

/// The verified body of an object, in pieces of at most 64 KiB.
pub struct Body {
    node: Node,
    id: StreamId,
    stamp: Stamp,
    /// The replica; none if it was read already.
    replica: Option<(VolumeId, Reader)>,
    /// The first piece, read before the answer began, so that a bad one can still be answered from elsewhere.
    first: Option<Bytes>,
    _busy: Busy,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.replica.as_ref().map(|(_, reader)| reader.position());
        write!(f, "Body({} at {at:?})", self.id)
    }
}

impl Body {
    /// The next verified piece; `None` at the end.
    ///
    /// # Errors
    /// [`BodyBroken`] where the replica is damaged: no byte of the bad block is given out.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyBroken> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some((volume, reader)) = &mut self.replica else { return Ok(None) };
        let at = reader.position();
        let piece = self.node.verified(reader, *volume, self.id, self.stamp).await;
        piece.map_err(|()| BodyBroken { at })
    }
}

impl Node {
    /// Reads an object, or says who should be asked.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub async fn read(&self, request: ReadRequest) -> Result<Reply<ReadReply>, Refusal> {
        let _busy = self.inner.admit()?;
        self.inner.count("reads");
        let place = self.resolve(&request.target, request.fresh_contexts).await?;
        let id = place.id.ok_or(Refusal::NotFound)?;
        let sent_here = request
            .nonce
            .is_some_and(|nonce| self.inner.nonces.accepts(Purpose::Stream(id), nonce));
        if sent_here
            && let Some(found) = self.inner.volumes.find(id)
            && let Some(reply) = self.deliver(&place, found, request.body).await?
        {
            return Ok(Reply::Served(reply));
        }
        let mut examined = false;
        for _ in 0..ATTEMPTS {
            let answers = self.ask(Some(id), None).await;
            let newest = answers.existing().ok_or(Refusal::NotFound)?;
            let sources = answers.sources(newest.stamp);
            if sources.is_empty()
                && !std::mem::replace(&mut examined, true)
                && self.any_is_sound_after_all(id, newest.stamp, &answers).await
            {
                continue;
            }
            // At equal cost this node delivers itself and spares the client a redirect.
            let cheapest = sources
                .first()
                .ok_or(Refusal::Unavailable { why: "no intact replica can be reached" })?;
            let here = sources.iter().find(|source| source.node == self.inner.id);
            let chosen =
                here.filter(|here| here.read_cost <= cheapest.read_cost).unwrap_or(cheapest);
            if chosen.node != self.inner.id {
                return Ok(Reply::Redirect(Redirect {
                    node: chosen.node,
                    nonce: Nonce(chosen.nonce),
                    permanent: self.inner.sends_clients_away(),
                    domain: place.domain,
                }));
            }
            let found = self.inner.volumes.find(id);
            if let Some(found) = found.filter(|found| found.record.stamp >= newest.stamp)
                && let Some(reply) = self.deliver(&place, found, request.body).await?
            {
                return Ok(Reply::Served(reply));
            }
        }
        Err(Refusal::Unavailable { why: "the object keeps changing place" })
    }

    /// Has the replicas verified that serve nobody. True if one of them is sound, and serves again.
    async fn any_is_sound_after_all(&self, id: StreamId, stamp: Stamp, answers: &Answers) -> bool {
        self.inner.count("reads of doubted objects");
        let mut nodes: BTreeSet<NodeId> =
            answers.keepers(stamp).into_iter().map(|answer| answer.node).collect();
        let is_here = nodes.remove(&self.inner.id);
        let here = async { is_here && self.is_sound_after_all(id, stamp).await };
        let examine = |request| {
            Message::Examine(ReplicaWire { request, id: *id.as_bytes(), stamp: stamp.into() })
        };
        let elsewhere = async { !self.order_until(1, &nodes, examine).await.is_empty() };
        match select(pin!(here), pin!(elsewhere)).await {
            Either::Left((found, rest)) => found || rest.await,
            Either::Right((found, rest)) => found || rest.await,
        }
    }

    /// Verifies a replica of this node that serves nobody. True if it is sound, and serves again.
    pub(crate) async fn is_sound_after_all(&self, id: StreamId, stamp: Stamp) -> bool {
        let found = self.inner.volumes.find(id).filter(|found| found.record.stamp == stamp);
        let (Some(found), Some(health)) = (found, self.inner.health.processor()) else {
            return false;
        };
        let look = health.look_again(&found.volume, id, stamp);
        self.env().timeout(EXAMINED_WITHIN, look).await.unwrap_or(false)
    }

    /// Serves a replica of this node; `None` if it cannot be served from here after all.
    async fn deliver(
        &self,
        place: &Place,
        found: Found,
        wish: BodyWish,
    ) -> Result<Option<ReadReply>, Refusal> {
        let stamp = found.record.stamp;
        let RecordState::Live { meta, hints, .. } = &found.record.state else {
            return Err(Refusal::NotFound);
        };
        let (meta, volume_hint) = (meta.clone(), hints.first());
        if has_ended(&meta, stamp, self.env().wall()) {
            return Err(Refusal::NotFound);
        }
        let holding = self.inner.volumes.holding_of(&found, self.env().wall());
        if !matches!(holding.form, Form::Replica(_)) {
            return Ok(None);
        }
        let body = match wish {
            BodyWish::HeadersOnly => None,
            BodyWish::Body => match self.open(&found).await {
                Some(body) => Some(body),
                None => return Ok(None),
            },
        };
        Ok(Some(ReadReply {
            id: found.record.id,
            meta,
            stamp,
            volume: found.volume.id(),
            volume_hint,
            domain: place.domain.clone(),
            path: place.path.clone(),
            body,
        }))
    }

    /// Opens a replica and verifies its first piece; `None`, and the replica remembered as damaged, where that fails.
    pub(crate) async fn open(&self, found: &Found) -> Option<Body> {
        let (volume, id, stamp) = (found.volume.id(), found.record.id, found.record.stamp);
        let mut reader = found.volume.open(&found.record)?;
        let busy = self.inner.request();
        let first = self.verified(&mut reader, volume, id, stamp).await.ok()?;
        let replica = Some((volume, reader));
        Some(Body { node: self.clone(), id, stamp, replica, first, _busy: busy })
    }

    /// A short body that has been read as a whole.
    pub(crate) fn body_of(&self, id: StreamId, stamp: Stamp, whole: Bytes) -> Body {
        let first = Some(whole).filter(|whole| !whole.is_empty());
        Body { node: self.clone(), id, stamp, replica: None, first, _busy: self.inner.request() }
    }

    /// The next piece; the replica is remembered as damaged where its disk does not give it out.
    pub(crate) async fn verified(
        &self,
        reader: &mut Reader,
        volume: VolumeId,
        id: StreamId,
        stamp: Stamp,
    ) -> Result<Option<Bytes>, ()> {
        let why = match self.env().timeout(DISK_TIMEOUT, reader.next()).await {
            Ok(Ok(piece)) => return Ok(piece),
            // The volume is gone, which says nothing about the replica.
            Ok(Err(ReadError::Gone)) => return Err(()),
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::error!(node = self.env().name(), stream = %id, why, "replica damaged");
        self.inner.volumes.mark_damaged(id, stamp);
        if let Some(health) = self.inner.health.processor() {
            health.suspect(volume, id);
        }
        Err(())
    }
}
