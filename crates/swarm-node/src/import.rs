//! What other clusters bring: versions and deletes that have their place already, and the question what is here.
//!
//! Whatever comes, in whatever order and however often, is merged by one rule (`swarm_plan::feeds`), so that clusters which
//! feed each other end alike. "It is there already" is said only where the same or something newer is filed; what is taken
//! is durable before it is said so, and what went wrong takes nothing back.

use std::collections::BTreeSet;

use swarm_feeds::wire::{Deletion, Identity, Import, Route};
use swarm_plan::feeds::{Held, Verdict, judge_import_delete};
use swarm_plan::lookup::{Answer, Answers, Form, Holding, Room};
use swarm_store::Tombstone;
use swarm_types::{Instant, NodeId, ObjectKind, Stamp, StreamId, Uuid};

use crate::api::{Nonce, Redirect, Refusal, Reply};
use crate::nonces::Purpose;
use crate::write::{Draft, Rule, Stay, Winner, WriteSession};
use crate::{Node, names};

/// Nodes that must remember a delete before it is there already, where so many can.
const REMEMBERED_BY: usize = 2;

/// A version of another cluster, before its body.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// From which cluster to which.
    pub route: Route,
    /// What it is.
    pub import: Import,
    /// `auth` argument of a redirected request.
    pub nonce: Option<Nonce>,
    /// Whether it is stored by this node or by another that would take it for less.
    pub stay: Stay,
}

/// Where something is filed, and what is held there.
struct Whereabouts {
    id: StreamId,
    asked: Instant,
    answers: Answers,
}

impl Node {
    /// Agrees to store a version of another cluster, or says who should be asked. Its body follows.
    ///
    /// # Errors
    /// Any [`Refusal`]: [`Refusal::Conflict`] where the same or a newer version is here; nothing is stored.
    pub async fn begin_import(
        &self,
        request: ImportRequest,
    ) -> Result<Reply<WriteSession>, Refusal> {
        let busy = self.inner.admit()?;
        self.check_target(&request.route)?;
        let ImportRequest { import: Import { identity, stamp, meta }, nonce, stay, .. } = request;
        let place = self.place_of(&identity, stamp, &meta.cluster, meta.length).await?;
        let Whereabouts { id, asked, answers } = place;
        self.check_import(meta.kind, stamp, &answers)?;
        let needs_parent = matches!(meta.kind, ObjectKind::Named | ObjectKind::Bucket);
        if needs_parent && !self.has_parent(&identity).await {
            return Err(Refusal::MissingContext { context: described(&identity) });
        }
        let sent_here =
            nonce.is_some_and(|nonce| self.inner.nonces.accepts(Purpose::Stream(id), nonce));
        let context = Some(id).filter(|_| meta.kind.is_context());
        let stay = if sent_here { Stay::Always } else { stay };
        let winner = self.auction(&answers, 1, stay, context).map_err(|few| {
            if few.candidates > 0 {
                Refusal::NoSpace
            } else {
                Refusal::Unavailable { why: "no node takes objects now" }
            }
        })?;
        let candidates = match winner {
            Winner::Here(candidates) => candidates,
            Winner::Elsewhere(redirect) => return Ok(Reply::Redirect(redirect)),
        };
        let copies = self.copies(&meta.headers, None);
        let rule = Rule::Given { stamp, digest: meta.digest };
        let (uuid, domain) = (identity.uuid, identity.place.domain);
        let (if_match, base) = (None, None);
        let draft = Draft { id, meta, rule, if_match, base, uuid, domain, copies, answers, asked };
        self.stage_write(draft, 1, candidates, busy).await.map(Reply::Served)
    }

    /// What this cluster holds of an object. Of a context whose name is another's here, nothing is said that is not certain.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub async fn probe(&self, identity: &Identity) -> Result<Held, Refusal> {
        let _busy = self.inner.admit()?;
        let id = names::stream_of(identity).ok_or(Refusal::NotFound)?;
        let answers = self.ask(Some(id), None).await;
        let Some(alias) = taken_by_another(identity, &answers) else {
            return Ok(Held::of(&answers));
        };
        let aside = names::collided_stream(alias);
        Ok(Held::of(&self.ask(Some(aside), None).await))
    }

    /// Takes over a delete of another cluster, or says who should be asked. Acknowledged like any delete; remembered even
    /// where there is nothing to delete, for an older version may still be on its way.
    ///
    /// # Errors
    /// Any [`Refusal`]: [`Refusal::Conflict`] where it is remembered already, or something newer is here.
    pub async fn import_delete(
        &self,
        route: &Route,
        deletion: Deletion,
    ) -> Result<Reply<()>, Refusal> {
        let busy = self.inner.admit()?;
        self.check_target(route)?;
        let (id, answers) = self.place_of_deleted(&deletion, route).await?;
        match judge_import_delete(deletion.stamp, Held::of(&answers)) {
            Verdict::Older => return Err(Refusal::Conflict),
            Verdict::AlreadyThere if is_remembered(&answers, deletion.stamp) => {
                return Err(Refusal::Conflict);
            }
            Verdict::AlreadyThere | Verdict::Store | Verdict::StoreAgain => {}
        }
        if self.inner.volumes.find(id).is_none() && self.inner.slots.room() < Room::Tombstones {
            return self.who_remembers(&answers).map(Reply::Redirect);
        }
        let Deletion { stamp, kind, alias, cid, name, .. } = deletion;
        // Feeds of this cluster may have to know, when the domain is another by then.
        let name = match (name, cid) {
            (None, Some(cid)) => self.feeds().domain_of(cid).await,
            (name, _) => name,
        };
        let tombstone =
            Tombstone { alias, parent: cid, ..Tombstone::new(stamp, kind, self.env().wall()) }
                .in_domain(name.as_deref());
        let node = self.clone();
        let commit = self.env().spawn("delete", async move {
            let _busy = busy;
            node.bury_everywhere(id, tombstone, answers).await.map_err(Refusal::of_one)?;
            node.inner.count("imported deletes");
            Ok(Reply::Served(()))
        });
        commit.join().await.unwrap_or(Err(Refusal::Unknown { why: "the node is stopping" }))
    }

    /// Refuses what is meant for another cluster.
    ///
    /// # Errors
    /// [`Refusal::WrongCluster`].
    pub fn check_target(&self, route: &Route) -> Result<(), Refusal> {
        self.check_name(route.to.as_str())
    }

    /// Refuses what names another cluster than this one.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let own = self.config().cluster.as_str();
        if name.eq_ignore_ascii_case(own) {
            return Ok(());
        }
        Err(Refusal::WrongCluster { cluster: own.to_owned() })
    }

    /// Where a version is filed: under the id that it has in all clusters, unless it is a context whose name is taken here.
    async fn place_of(
        &self,
        identity: &Identity,
        stamp: Stamp,
        origin: &str,
        length: u64,
    ) -> Result<Whereabouts, Refusal> {
        let id = names::stream_of(identity).ok_or(Refusal::NotFound)?;
        let asked = self.env().now();
        let answers = self.ask(Some(id), Some(length)).await;
        let here = Whereabouts { id, asked, answers };
        let (Some(alias), Some(held)) =
            (taken_by_another(identity, &here.answers), here.answers.newest())
        else {
            return Ok(here);
        };
        let id = names::collided_stream(alias);
        let answers = self.ask(Some(id), Some(length)).await;
        let aside = Whereabouts { id, asked, answers };
        let is_aside = aside.answers.newest().is_some();
        let is_free = !held.form.exists() && held.stamp < stamp;
        if is_aside || !is_free && !self.is_of(&here, held, origin).await? {
            if !is_aside && held.form.exists() {
                self.tell_of_collision(identity, held);
            } else if !is_aside {
                self.tell_of_late_delete(identity, held);
            }
            return Ok(aside);
        }
        Ok(here)
    }

    /// Where the memory of a delete belongs, and what is held there.
    async fn place_of_deleted(
        &self,
        deletion: &Deletion,
        route: &Route,
    ) -> Result<(StreamId, Answers), Refusal> {
        let id = deletion.stream;
        // With bids, for they tell who could remember the delete.
        let answers = self.ask(Some(id), Some(0)).await;
        let Some(alias) = deletion.alias.filter(|_| deletion.kind.is_context()) else {
            return Ok((id, answers));
        };
        let held = answers.newest();
        if held.is_some_and(|held| held.alias == Some(alias)) {
            return Ok((id, answers));
        }
        let aside = names::collided_stream(alias);
        let elsewhere = if id == aside { self.stream_by_alias(alias).await } else { Some(aside) };
        if let Some(other) = elsewhere.filter(|other| *other != id) {
            let there = self.ask(Some(other), Some(0)).await;
            if there.newest().is_some() {
                return Ok((other, there));
            }
        }
        let Some(held) = held.filter(|held| held.form.exists() && held.alias.is_some()) else {
            return Ok((id, answers));
        };
        let here = Whereabouts { id, asked: self.env().now(), answers };
        if self.is_of(&here, held, route.from.as_str()).await? {
            return Ok((id, here.answers));
        }
        // Another's name: what is deleted never was here.
        let answers = self.ask(Some(aside), Some(0)).await;
        Ok((aside, answers))
    }

    /// Whether a context that is filed under a name comes from a cluster. There, one has the name at a time: of two, the later
    /// was made when the earlier was gone, and takes its place here too.
    async fn is_of(
        &self,
        place: &Whereabouts,
        held: Holding,
        origin: &str,
    ) -> Result<bool, Refusal> {
        if !held.form.exists() {
            return Ok(false);
        }
        if let Some((_, meta)) = self.inner.volumes.find_intact(place.id, held.stamp) {
            return Ok(meta.cluster.eq_ignore_ascii_case(origin));
        }
        for source in place.answers.sources(held.stamp) {
            if let Ok(incoming) = self.fetch(source.node, place.id, held.stamp).await {
                return Ok(incoming.meta.cluster.eq_ignore_ascii_case(origin));
            }
        }
        Err(Refusal::NotTaken { why: "the context that has the name cannot be read" })
    }

    /// Content Metadata: duplicate names are told with both ids, so that one can be renamed.
    fn tell_of_collision(&self, identity: &Identity, kept: Holding) {
        let name = identity.name.as_deref().unwrap_or_default();
        let text = |uuid: Option<Uuid>| uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        let (kept, other) = (text(kept.alias), text(identity.uuid));
        self.inner.count("context collisions");
        tracing::error!(
            node = self.env().name(),
            "CRITICAL context collision name={name} kept={kept} other={other}; the other is found by its UUID alone until it is \
             deleted where it comes from and created there anew, under another name or when the one that is kept is deleted here"
        );
    }

    /// The name was given back after this context got it elsewhere. A delete never gives way to what is older, so that the context
    /// cannot be filed in its place.
    fn tell_of_late_delete(&self, identity: &Identity, deleted: Holding) {
        let name = identity.name.as_deref().unwrap_or_default();
        let text = |uuid: Option<Uuid>| uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        let (gone, other) = (text(deleted.alias), text(identity.uuid));
        self.inner.count("contexts set aside");
        tracing::warn!(
            node = self.env().name(),
            "context set aside name={name} deleted={gone} other={other}; the one that had the name was deleted here after the other \
             was changed last, which is found by its UUID alone until it is created anew where it comes from"
        );
    }

    /// Another node, where this one has no place for a delete.
    fn who_remembers(&self, answers: &Answers) -> Result<Redirect, Refusal> {
        let remembers = |answer: &&Answer| {
            answer.node != self.inner.id
                && answer.serving
                && (answer.holding.is_some() || answer.room >= Room::Tombstones)
        };
        let keeper = answers.iter().filter(remembers).max_by_key(|answer| {
            (answer.holding.is_some(), answer.room, std::cmp::Reverse(answer.node))
        });
        let keeper =
            keeper.ok_or(Refusal::Unavailable { why: "no node has a place for the delete" })?;
        Ok(Redirect {
            node: keeper.node,
            nonce: Nonce(keeper.nonce),
            permanent: self.inner.sends_clients_away(),
            domain: None,
        })
    }
}

/// The other context that has the name of this one, or had it.
pub(crate) fn other_of_the_name(alias: Option<Uuid>, answers: &Answers) -> Option<Holding> {
    answers.newest().filter(|held| held.alias.is_some() && held.alias != alias)
}

/// The alias UUID of a context whose name another one has or had here.
fn taken_by_another(identity: &Identity, answers: &Answers) -> Option<Uuid> {
    let alias = identity.uuid.filter(|_| identity.kind.is_context())?;
    other_of_the_name(Some(alias), answers).map(|_| alias)
}

/// Whether a delete needs nobody any more who remembers it: all that have anything know of it, and enough of them.
fn is_remembered(answers: &Answers, stamp: Stamp) -> bool {
    let knows = |holding: &Holding| holding.stamp >= stamp;
    let holdings = || answers.iter().filter_map(|answer| answer.holding);
    let by: BTreeSet<NodeId> = answers
        .iter()
        .filter(|answer| {
            answer.holding.is_some_and(|held| held.form == Form::Tombstone && held.stamp >= stamp)
        })
        .map(|answer| answer.node)
        .collect();
    holdings().all(|holding| knows(&holding)) && by.len() >= answers.memories().min(REMEMBERED_BY)
}

/// What an object lacks, for whoever reads the answer.
fn described(identity: &Identity) -> String {
    let place = &identity.place;
    let names = [place.domain.as_deref(), place.bucket.as_deref()];
    let known: Vec<&str> = names.into_iter().flatten().collect();
    let cid = identity.cid.map(|cid| cid.to_string()).unwrap_or_default();
    if known.is_empty() { cid } else { format!("{} ({cid})", known.join("/")) }
}
