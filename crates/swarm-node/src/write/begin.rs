//! How a write begins: who takes it, on which nodes room is reserved, what is known of it before its body.

use futures_util::future::join_all;
use md5::{Digest, Md5};
use swarm_plan::bids::{Bid, ranked, spread};
use swarm_plan::health::Subcluster;
use swarm_plan::lookup::{Answers, Holding};
use swarm_policy::{Lifecycle, Replicate, synchronous_copies, target_copies};
use swarm_types::{HeaderList, Instant, NodeId, ObjectKind, ObjectMeta, StreamId, Uuid};

use super::{Draft, Rule, WriteSession, check_preconditions, header_block, or_create};
use crate::Node;
use crate::api::{Address, Nonce, Redirect, Refusal, Reply, WriteKind, WriteRequest};
use crate::contexts::{Place, seat};
use crate::links::PeerReplica;
use crate::node::Busy;
use crate::nonces::Purpose;

/// Who takes a write.
pub(crate) enum Winner {
    /// This node; the others that would, in the order in which they are asked for replicas.
    Here(Vec<NodeId>),
    /// Another node.
    Elsewhere(Redirect),
}

/// Whether this node takes a write that another would take for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Never: clients are sent to the cheapest bidder.
    IfCheapest,
    /// If it is hardly dearer. A context goes where writes of that name go.
    IfNear,
    /// If it bids at all, be it a context: it was sent here, or nobody else can be reached.
    Always,
}

/// By so much a bid may be dearer that is near: five operations in flight, or a volume a third full beside an empty one. What comes
/// from another cluster has come a long way, and would be sent all of it once more.
const NEAR: u64 = 100;

/// Too few nodes bid for a write.
pub(crate) struct TooFew {
    /// How many did.
    pub(crate) found: u32,
    /// How many more would, if they were not full.
    pub(crate) candidates: u32,
}

impl TooFew {
    /// Why a write is refused that needs so many.
    const fn refusal(&self, needed: u32) -> Refusal {
        if self.candidates >= needed {
            Refusal::NoSpace
        } else {
            Refusal::TooFewNodes { found: self.found, wanted: needed }
        }
    }
}

impl Node {
    /// Agrees to a write before its body, or says who should be asked.
    ///
    /// # Errors
    /// Any [`Refusal`]; nothing is stored.
    pub async fn begin_write(
        &self,
        mut request: WriteRequest,
    ) -> Result<Reply<WriteSession>, Refusal> {
        let busy = self.inner.admit()?;
        let place = self.resolve(&request.target, request.fresh_contexts).await?;
        let purpose = place.id.map_or(Purpose::NewUnnamed, Purpose::Stream);
        let sent_here =
            request.nonce.is_some_and(|nonce| self.inner.nonces.accepts(purpose, nonce));
        let asked = self.env().now();
        let mut answers = self.ask(place.id, Some(request.length)).await;
        let named = matches!(request.target.address, Address::Named { .. });
        let may_create = or_create(self, request.kind, named);
        let (kind, condition) = (request.kind, request.if_match.clone());
        let check = |answers: &Answers| {
            check_preconditions(kind, condition.as_deref(), answers, may_create)
        };
        check(&answers)?;

        let is_context = matches!(request.target.address, Address::Domain | Address::Bucket(_));
        let context = place.id.filter(|_| is_context);
        let mut stay = if sent_here { Stay::Always } else { Stay::IfCheapest };
        let mut base = None;
        if let (WriteKind::Amend { headers }, Some(id)) = (kind, place.id) {
            // Who takes it is settled before anything is fetched, and its room once it is known how much there is.
            let winner = self.auction(&answers, 1, stay, context).map_err(|few| few.refusal(1))?;
            if let Winner::Elsewhere(redirect) = winner {
                return Ok(Reply::Redirect(Redirect { domain: place.domain, ..redirect }));
            }
            // Boxed, for most writes have none, and all would carry its room along.
            let opened = Box::pin(self.open_base(id, &answers)).await?;
            request.amend(&opened.meta, headers)?;
            answers = self.ask(place.id, Some(request.length)).await;
            check(&answers)?;
            opened.is_what_is_there(&answers)?;
            (base, stay) = (Some(opened), Stay::Always);
        }
        let copies = self.copies(&request.headers, request.replicate);
        let needed = copies.min(2);
        let winner = self.auction(&answers, needed, stay, context);
        let candidates = match winner.map_err(|few| few.refusal(needed))? {
            Winner::Here(candidates) => candidates,
            Winner::Elsewhere(redirect) => {
                return Ok(Reply::Redirect(Redirect { domain: place.domain, ..redirect }));
            }
        };
        let mut draft = self.draft(request, place, copies, answers, asked);
        let demanded = draft.answers.existing().filter(|_| draft.if_match.is_some());
        draft.base =
            base.as_ref().map(|base| base.stamp).or(demanded.map(|existing| existing.stamp));
        let mut session = self.stage_write(draft, needed, candidates, busy).await?;
        session.base = base.map(|base| base.body);
        Ok(Reply::Served(session))
    }

    /// Chooses who takes a write. Who takes one of a `context` hangs on that alone, unless it is to stay in any case.
    pub(crate) fn auction(
        &self,
        answers: &Answers,
        needed: u32,
        stay: Stay,
        context: Option<StreamId>,
    ) -> Result<Winner, TooFew> {
        let bids = ranked(&answers.write_bids(), self.env().random_u64("turn"));
        let found = u32::try_from(bids.len()).unwrap_or(u32::MAX);
        if found < needed.max(1) {
            let candidates = u32::try_from(answers.candidates()).unwrap_or(u32::MAX);
            return Err(TooFew { found, candidates });
        }
        let here = bids.iter().find(|bid| bid.node == self.inner.id);
        let seat = context.and_then(|id| seat(id, &bids));
        let stays = |here: &Bid| match stay {
            Stay::Always => true,
            Stay::IfNear => seat.is_none() && here.cost <= bids[0].cost.saturating_add(NEAR),
            Stay::IfCheapest => false,
        };
        let cheapest = seat.unwrap_or(bids[0].node);
        let winner = if here.is_some_and(stays) { self.inner.id } else { cheapest };
        if winner == self.inner.id {
            return Ok(Winner::Here(self.in_other_subclusters(&bids)));
        }
        let nonce =
            answers.iter().find(|answer| answer.node == winner).map_or(0, |answer| answer.nonce);
        Ok(Winner::Elsewhere(Redirect {
            node: winner,
            nonce: Nonce(nonce),
            permanent: self.inner.sends_clients_away(),
            domain: None,
        }))
    }

    /// The other bidders, as they are asked to take a copy beside the one that is here.
    fn in_other_subclusters(&self, bids: &[Bid]) -> Vec<NodeId> {
        let others = bids.iter().map(|bid| bid.node).filter(|node| *node != self.inner.id);
        let directory = self.inner.members.directory();
        let labelled = others.map(|node| (node, directory.of(node).map(|(label, _)| label)));
        let own = Subcluster::from(self.inner.settings().subcluster.as_str());
        spread(labelled.collect(), Some(own))
    }

    /// Reserves room here and at as many peers as there are to be replicas.
    pub(crate) async fn stage_write(
        &self,
        draft: Draft,
        needed: u32,
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
            base: None,
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
        let rule = Rule::Next { kind: request.kind, etag };
        let if_match = request.if_match;
        let domain = place.domain;
        Draft { id, meta, rule, if_match, base: None, uuid, domain, copies, answers, asked }
    }

    /// How many replicas are made before the answer.
    pub(crate) fn copies(&self, headers: &HeaderList, replicate: Option<Replicate>) -> u32 {
        let now = self.env().wall();
        let effective = Lifecycle::of_headers(headers, now).0.at(now);
        let target = target_copies(&effective, &self.inner.settings().replicas);
        synchronous_copies(replicate, self.inner.settings().replicate_by_default(), target)
    }
}

fn object_kind(request: &WriteRequest, existing: Option<Holding>) -> ObjectKind {
    match (&request.target.address, request.kind) {
        (Address::Domain, _) => ObjectKind::Domain,
        (Address::Bucket(_), _) => ObjectKind::Bucket,
        (Address::Named { .. }, _) => ObjectKind::Named,
        (_, WriteKind::Unnamed { alias: false }) => ObjectKind::Immutable,
        (_, WriteKind::Unnamed { alias: true }) => ObjectKind::Alias,
        (_, WriteKind::Create { .. } | WriteKind::Replace { .. } | WriteKind::Amend { .. }) => {
            existing.map_or(ObjectKind::Alias, |existing| existing.kind)
        }
    }
}
