//! Deletes: a tombstone above everything known, durable where it has to be before the client hears of it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join;
use swarm_env::{Bug, Point};
use swarm_plan::bids::{ranked, stream_draw};
use swarm_plan::lookup::Answers;
use swarm_plan::outcome::delete_is_safe;
use swarm_plan::version::next_version;
use swarm_policy::Lifecycle;
use swarm_store::{RecordState, Tombstone};
use swarm_types::{NodeId, ObjectMeta, Stamp, StreamId};

use crate::Node;
use crate::api::{Address, DeleteReply, DeleteRequest, Nonce, Redirect, Refusal, Reply};
use crate::contexts::Turn;
use crate::node::Busy;
use crate::volumes::has_ended;
use crate::wire::{BuryWire, Message, TombstoneWire};

/// How often a delete starts over because the object was replaced while it was looked up.
const ATTEMPTS: u32 = 16;
/// How long this node's own disk may take for the tombstone: as long as its peers (our choice).
const OWN_DISK_TIMEOUT: Duration = Duration::from_secs(2);

impl Node {
    /// Deletes an object, or says who should be asked. Acknowledged when the tombstone is durable on every holder that
    /// answered, and on at least two nodes where two are reachable.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub async fn delete(&self, request: DeleteRequest) -> Result<Reply<DeleteReply>, Refusal> {
        let busy = self.inner.admit()?;
        let place = self.resolve(&request.target, request.fresh_contexts).await?;
        let id = place.id.ok_or(Refusal::NotFound)?;
        let is_context = matches!(request.target.address, Address::Domain | Address::Bucket(_));
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            // With bids, for they tell who could remember the delete.
            let answers = self.ask(Some(id), Some(0)).await;
            let newest = answers.existing().ok_or(Refusal::NotFound)?;
            let recursive = request.recursive || self.inner.settings().auto_recursive_delete;
            if newest.kind.is_context() && !recursive {
                return Err(Refusal::RecursiveRequired);
            }
            let keepers = answers.keepers(newest.stamp);
            if keepers.iter().all(|keeper| keeper.node != self.inner.id) {
                let keeper = keepers.first();
                let keeper = keeper.ok_or(Refusal::Unavailable {
                    why: "no node with the object can be reached",
                })?;
                return Ok(Reply::Redirect(Redirect {
                    node: keeper.node,
                    nonce: Nonce(keeper.nonce),
                    permanent: self.inner.sends_clients_away(),
                    domain: place.domain,
                }));
            }
            let domain = match (&place.domain, newest.cid) {
                (None, Some(cid)) => self.feeds().domain_of(cid).await,
                (domain, _) => domain.clone(),
            };
            // A lookup takes a while where a member is silent, and the object may have been replaced meanwhile.
            let Some(meta) = self.deletable_here(id, newest.stamp)? else { continue };
            if is_context && turn.is_none() {
                turn = Some(self.inner.context_turns.take(id, self.env()).await?);
                // Whoever had it before may have changed what was found.
                continue;
            }
            let what = (id, meta, domain);
            return self.bury_in_task((busy, turn), what, answers).await.map(Reply::Served);
        }
        Err(Refusal::Unavailable { why: "the object keeps changing" })
    }

    /// Deletes in a task of its own: a client that vanishes cannot cancel half of it.
    async fn bury_in_task(
        &self,
        hold: (Busy, Option<Turn>),
        (id, meta, domain): (StreamId, ObjectMeta, Option<String>),
        answers: Answers,
    ) -> Result<DeleteReply, Refusal> {
        let stamp = answers.newest().map(|newest| newest.stamp).ok_or(Refusal::NotFound)?;
        let node = self.clone();
        let commit = self.env().spawn("delete", async move {
            let _hold = hold;
            node.bury_for_good(id, &meta, domain.as_deref(), answers).await?;
            node.inner.count("deletes");
            Ok(DeleteReply { meta, stamp })
        });
        commit.join().await.unwrap_or(Err(Refusal::Unknown { why: "the node is stopping" }))
    }

    /// Files a delete above everything known. A write of a context that had looked before may have been published above that:
    /// it is deleted too, or what is in it would live on.
    pub(crate) async fn bury_for_good(
        &self,
        id: StreamId,
        meta: &ObjectMeta,
        domain: Option<&str>,
        mut answers: Answers,
    ) -> Result<(), Refusal> {
        for _ in 0..ATTEMPTS {
            let tombstone = self.next_tombstone(meta, &answers).in_domain(domain);
            self.bury_everywhere(id, tombstone, answers).await?;
            if !meta.kind.is_context() {
                return Ok(());
            }
            answers = self.ask(Some(id), Some(0)).await;
            if answers.existing().is_none_or(|held| held.alias != meta.alias) {
                return Ok(());
            }
        }
        Err(Refusal::Unknown { why: "the domain or bucket keeps changing" })
    }

    /// The metadata of this version, if it is still here and a client may delete it now; `None` if it is not here any more.
    fn deletable_here(&self, id: StreamId, stamp: Stamp) -> Result<Option<ObjectMeta>, Refusal> {
        let found = self.inner.volumes.find(id).filter(|found| found.record.stamp == stamp);
        let Some(RecordState::Live { meta, .. }) = found.map(|found| found.record.state) else {
            return Ok(None);
        };
        let now = self.env().wall();
        if has_ended(&meta, stamp, now) {
            return Err(Refusal::NotFound);
        }
        let mut lifecycle = Lifecycle::of_headers(&meta.headers, stamp.version.timestamp()).0;
        if self.env().planted(Bug::InheritLifepoint) {
            lifecycle = lifecycle.inheriting();
        }
        if lifecycle.at(now).deletable { Ok(Some(meta)) } else { Err(Refusal::NotDeletable) }
    }

    /// A delete that comes after everything known.
    fn next_tombstone(&self, meta: &ObjectMeta, answers: &Answers) -> Tombstone {
        let known = answers.newest().map(|newest| newest.stamp.version);
        let known = known.filter(|_| !self.env().planted(Bug::ClockOnlyVersion));
        let version = next_version(self.env().wall(), known);
        let stamp = Stamp { version, etag: self.env().random_etag("etag") };
        Tombstone::of(meta, stamp, self.env().wall())
    }

    /// Files the tombstone on this node, durably.
    pub(crate) async fn bury_here(
        &self,
        id: StreamId,
        tombstone: Tombstone,
    ) -> Result<(), Refusal> {
        let buried = self.inner.volumes.bury(id, tombstone);
        match self.env().timeout(OWN_DISK_TIMEOUT, buried).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(node = self.env().name(), %error, "tombstone not stored");
                Err(Refusal::Unknown { why: "the disk does not take the tombstone" })
            }
            Err(_) => Err(Refusal::Unknown { why: "the disk does not answer" }),
        }
    }

    /// Files a delete on this node and on all that have anything under the id; on another one where nobody has.
    pub(crate) async fn bury_everywhere(
        &self,
        id: StreamId,
        tombstone: Tombstone,
        answers: Answers,
    ) -> Result<(), Refusal> {
        let wire = TombstoneWire::fresh(&tombstone);
        let is_context = tombstone.kind.is_context();
        // Feeds begin with the one that is here, as well as with any other.
        let here = self.bury_here(id, Tombstone { first: true, ..tombstone });
        if self.env().planted(Bug::DeleteHereOnly) {
            return here.await;
        }
        let holders: BTreeSet<NodeId> =
            answers.holders().filter(|node| *node != self.inner.id).collect();
        let mut told = holders.clone();
        if told.is_empty() {
            // Nobody else has the object; a second node remembers the delete in case this one is lost.
            told.extend(witness(id, &answers, &BTreeSet::from([self.inner.id])));
        }
        let order = |request| {
            let tombstone = wire.clone();
            Message::Bury(BuryWire { request, id: *id.as_bytes(), tombstone })
        };
        let (here, done) = join(here, self.order(&told, order)).await;
        self.env().passes(Point::DeleteFiled);
        if is_context {
            self.tell_context_changed(id, &answers);
        }
        here?;
        let durable_holders = holders.intersection(&done).count();
        let reachable = answers.memories();
        if delete_is_safe(holders.len(), durable_holders, done.len() + 1, reachable) {
            Ok(())
        } else {
            Err(Refusal::Unknown { why: "the delete is not yet known where it must be" })
        }
    }
}

/// Who besides the nodes `told` remembers the delete of an object that nobody else holds: the cheapest bidder, for a node
/// without a working volume cannot; else anybody, whose answer will tell.
pub(crate) fn witness(id: StreamId, answers: &Answers, told: &BTreeSet<NodeId>) -> Option<NodeId> {
    let bidder = ranked(&answers.write_bids(), stream_draw(id)).into_iter().map(|bid| bid.node);
    bidder.chain(answers.iter().map(|answer| answer.node)).find(|node| !told.contains(node))
}
