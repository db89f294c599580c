//! What another cluster fetches of a batch that a feed of this one has handed it: by a ticket, from the node that signed it.

use swarm_feeds::Brought;
use swarm_feeds::wire::{Identity, Route, Ticket};
use swarm_types::{ObjectMeta, Stamp, StreamId};

use crate::api::{Nonce, Refusal};
use crate::nonces::Purpose;
use crate::read::Body;
use crate::{Node, names};

const DAMAGED: Refusal = Refusal::Unavailable { why: "the replica is damaged" };

/// A version that is handed out.
#[derive(Debug)]
pub struct HandedOut {
    /// Which object.
    pub identity: Identity,
    /// Which version of it.
    pub stamp: Stamp,
    /// What persists with it.
    pub meta: ObjectMeta,
    /// The verified body.
    pub body: Body,
}

impl Node {
    /// Leave to fetch from this node what it files under an id, for six hours.
    #[must_use]
    pub fn ticket(&self, id: StreamId) -> Ticket {
        Ticket(self.inner.nonces.issue(Purpose::Fetch(id)).0)
    }

    /// Hands the newest version that this node has to whoever shows a ticket of it. A context that something here is in may be
    /// filed elsewhere, or a newer version of it: the newest of the cluster is handed out.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where it is not here any more, or the ticket is none; [`Refusal::Unavailable`] where the
    /// replica is damaged; [`Refusal::WrongCluster`].
    pub async fn hand_out(
        &self,
        route: &Route,
        asked: &Identity,
        ticket: Ticket,
    ) -> Result<HandedOut, Refusal> {
        let _busy = self.inner.admit()?;
        // The way of the feed: it comes from here.
        self.check_name(route.from.as_str())?;
        let aside = asked.uuid.filter(|_| asked.kind.is_context());
        let ids = [names::stream_of(asked), aside.map(names::collided_stream)];
        let is_meant =
            |id: &StreamId| self.inner.nonces.accepts(Purpose::Fetch(*id), Nonce(ticket.0));
        let id = ids.into_iter().flatten().find(is_meant).ok_or(Refusal::NotFound)?;
        if !asked.kind.is_context() {
            return self.hand_out_from_here(id, asked, None).await;
        }
        let newest = self.ask(Some(id), None).await.existing().ok_or(Refusal::NotFound)?.stamp;
        match self.hand_out_from_here(id, asked, Some(newest)).await {
            Err(_) => self.hand_out_from_elsewhere(id, asked).await,
            handed => handed,
        }
    }

    /// Hands out what this node has; only this version if it must be a certain one.
    async fn hand_out_from_here(
        &self,
        id: StreamId,
        asked: &Identity,
        only: Option<Stamp>,
    ) -> Result<HandedOut, Refusal> {
        let found = self.inner.volumes.find(id).ok_or(Refusal::NotFound)?;
        let (stamp, meta) = (found.record.stamp, found.record.meta().cloned());
        let meta = meta.filter(|_| only.is_none_or(|only| only == stamp));
        let meta = meta.ok_or(Refusal::NotFound)?;
        let identity = same(id, &meta, asked)?;
        if self.inner.volumes.find_intact(id, stamp).is_none() {
            return Err(DAMAGED);
        }
        let body = self.open(&found).await.ok_or(DAMAGED)?;
        Ok(HandedOut { identity, stamp, meta, body })
    }

    async fn hand_out_from_elsewhere(
        &self,
        id: StreamId,
        asked: &Identity,
    ) -> Result<HandedOut, Refusal> {
        let Brought { stamp, meta, body } = self.bring(id).await.ok_or(Refusal::NotFound)?;
        let identity = same(id, &meta, asked)?;
        Ok(HandedOut { identity, stamp, meta, body: self.body_of(id, stamp, body) })
    }
}

/// What is filed, if it is what was asked for.
fn same(id: StreamId, meta: &ObjectMeta, asked: &Identity) -> Result<Identity, Refusal> {
    let identity = Identity::of(id, meta, asked.place.clone());
    if identity == *asked { Ok(identity) } else { Err(Refusal::NotFound) }
}
