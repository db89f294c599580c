//! Writes: the replicas and the commit. How a write begins is in `begin`.
//!
//! A write is staged on this node and on its peers while the body arrives, and published at the end only. The version is
//! taken at the commit, above everything known. Where it turns out that a newer version was stored meanwhile, what was
//! published is taken back before the client hears of a conflict. An object that has one version only is taken back by a delete,
//! for feeds may have carried it away by then.
//!
//! What another cluster brings has its version already, and is never taken back: the same may have been brought twice at a
//! time, and somebody else have been told that it is stored.

mod amend;
mod begin;
mod deleted;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use md5::{Digest, Md5};
use swarm_env::{Bug, Env, Point};
use swarm_plan::feeds::{Held, Verdict, judge_import};
use swarm_plan::health::visit::ended;
use swarm_plan::lookup::{Answers, Holding, longest};
use swarm_plan::outcome::{Made, WriteVerdict, judge_write};
use swarm_plan::version::next_version;
use swarm_store::{Hints, Publish, Staged, Tombstone, Volume};
use swarm_types::{
    Etag, HeaderList, Instant, NodeId, ObjectKind, ObjectMeta, Stamp, StreamId, Uuid, VolumeId,
};

use crate::Node;
use crate::api::{Refusal, ReplicaAt, WriteKind, WriteReply};
use crate::delete::witness;
use crate::import::other_of_the_name;
use crate::links::PeerReplica;
use crate::node::Busy;
use crate::slots::DISK_TIMEOUT;
use crate::wire::{BuryWire, Message, ReplicaWire, TombstoneWire};

pub use begin::Stay;
pub(crate) use begin::Winner;

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
    /// What it takes over of the version before, as far as that has not been done.
    base: Option<amend::BaseBody>,
    _busy: Busy,
}

impl std::fmt::Debug for WriteSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriteSession({} at {})", self.draft.id, self.received)
    }
}

/// What will be published, as far as it is known before the body is.
pub(crate) struct Draft {
    pub(crate) id: StreamId,
    pub(crate) meta: ObjectMeta,
    pub(crate) rule: Rule,
    /// ETags of which what is there must have one.
    pub(crate) if_match: Option<Vec<Etag>>,
    /// The version that it takes over, or that the request demands: no other may have come after it.
    pub(crate) base: Option<Stamp>,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) domain: Option<String>,
    pub(crate) copies: u32,
    pub(crate) answers: Answers,
    pub(crate) asked: Instant,
}

/// What decides whether it is published, and which place among the versions it has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// A client's conditions; above everything known.
    Next {
        kind: WriteKind,
        /// The ETag that an immutable object has from its UUID; others draw one at the commit.
        etag: Option<Etag>,
    },
    /// The merge rule; the place that another cluster has given it, if this is its digest.
    Given { stamp: Stamp, digest: [u8; 16] },
}

impl Draft {
    /// A context keeps the alias UUID that it has by now: its children are filed under it. One that was deleted meanwhile is
    /// made anew, for its contents were deleted with it; whoever else had the name since, and lost it.
    fn keep_alias(&mut self, env: &Env) {
        if !self.meta.kind.is_context() {
            return;
        }
        let alias = match self.answers.newest() {
            Some(newest) if newest.form.exists() => newest.alias,
            Some(_) => Some(env.random_uuid("uuid")),
            None => None,
        };
        if alias.is_some() {
            (self.uuid, self.meta.alias) = (alias, alias);
        }
    }

    /// Asks again where the body took long, and judges by what is there now. Of a context the last word is always asked for: the
    /// name may have been given away since; and of what must be the very version that was asked about before.
    async fn look_again(&mut self, node: &Node) -> Result<(), Refusal> {
        let (is_mutable, is_context) = (self.meta.kind.is_mutable(), self.meta.kind.is_context());
        let is_old = is_context
            || self.base.is_some()
            || self.if_match.is_some()
            || node.env().now().since(self.asked) > FACTS_FRESH_FOR;
        match self.rule {
            Rule::Next { kind, .. } if is_old && is_mutable => {
                self.answers = node.ask(Some(self.id), None).await;
                self.keep_alias(node.env());
                let named = self.meta.kind == ObjectKind::Named;
                let (condition, may_create) =
                    (self.if_match.as_deref(), or_create(node, kind, named));
                check_preconditions(kind, condition, &self.answers, may_create)?;
                amend::check_base(self.base, &self.answers)
            }
            Rule::Given { stamp, .. } if is_old => {
                let answers = node.ask(Some(self.id), None).await;
                let other = |answers: &Answers| {
                    let other = other_of_the_name(self.uuid, answers)?;
                    Some((other.stamp, other.alias, other.form.exists()))
                };
                if is_context && other(&answers) != other(&self.answers) {
                    // It belongs elsewhere by now. Whoever hears that a context is missing brings it at once, and begins anew.
                    let context = self.meta.name.clone().unwrap_or_default();
                    return Err(Refusal::MissingContext { context });
                }
                self.answers = answers;
                node.check_import(self.meta.kind, stamp, &self.answers)
            }
            Rule::Next { .. } | Rule::Given { .. } => Ok(()),
        }
    }

    /// Its place among the versions.
    fn stamp(&self, env: &swarm_env::Env) -> Stamp {
        match self.rule {
            Rule::Given { stamp, .. } => self.given(stamp, env),
            Rule::Next { etag, .. } => {
                let newest = self.answers.newest().map(|newest| newest.stamp.version);
                let known = newest.filter(|_| !env.planted(Bug::ClockOnlyVersion));
                let etag = etag.unwrap_or_else(|| env.random_etag("etag"));
                Stamp { version: next_version(env.wall(), known), etag }
            }
        }
    }

    /// The place that another cluster has given it, as long as no bug is planted.
    fn given(&self, stamp: Stamp, env: &swarm_env::Env) -> Stamp {
        let newest = self.answers.newest();
        let is_over = newest.is_some_and(|held| !held.form.exists() && held.stamp >= stamp);
        let is_raised = is_over && env.planted(Bug::ImportOverTombstone);
        if !is_raised && !env.planted(Bug::EchoVersions) {
            return stamp;
        }
        let known = newest.map(|newest| newest.stamp.version);
        Stamp { version: next_version(env.wall(), known), ..stamp }
    }

    /// What persists with it, as it was given unless a bug is planted.
    fn meta(&self, env: &swarm_env::Env) -> ObjectMeta {
        let mut meta = self.meta.clone();
        if self.is_brought() && env.planted(Bug::SpellingLost) {
            let mut headers = HeaderList::default();
            for header in meta.headers.iter() {
                headers.push(header.name.to_ascii_lowercase(), header.value.clone());
            }
            meta.headers = headers;
        }
        meta
    }

    /// Whether another cluster brings it.
    const fn is_brought(&self) -> bool {
        matches!(self.rule, Rule::Given { .. })
    }

    /// The answer to whoever wrote it.
    fn reply(self, stamp: Stamp, replicas: Vec<ReplicaAt>, stored_digest: [u8; 16]) -> WriteReply {
        WriteReply {
            replicas,
            stamp,
            uuid: self.uuid,
            alias: self.meta.alias,
            replaced: self.answers.existing().is_some(),
            domain: self.domain,
            stored_digest,
        }
    }

    /// What to answer.
    fn judge(&self, made: &[Made], env: &swarm_env::Env) -> WriteVerdict {
        match self.rule {
            Rule::Given { .. } if env.planted(Bug::ImportTakesBack) => {
                judge_write(self.meta.kind, self.copies, made)
            }
            Rule::Next { .. } => judge_write(self.meta.kind, self.copies, made),
            // Whatever protection it is to have, it is stored: the health processor sees to the rest.
            Rule::Given { .. } => judge_write(self.meta.kind, 1, made).without_taking_back(),
        }
    }
}

impl WriteSession {
    /// Takes the next piece of the body; waits while the disks are behind. A peer that fails is left behind: whether the
    /// remaining replicas suffice is judged at the end.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where this node's own disk fails, or [`Refusal::NotTaken`]; the write is over then, with nothing
    /// stored.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Refusal> {
        let written = self.take(piece).await;
        written.map_err(|refusal| if self.draft.is_brought() { refusal.of_one() } else { refusal })
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), Refusal> {
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
        let (env, is_brought) = (self.node.env().clone(), self.draft.is_brought());
        let commit = env.spawn("commit", async move {
            let done = self.commit().await;
            done.map_err(|refusal| if is_brought { refusal.of_one() } else { refusal })
        });
        commit.join().await.unwrap_or(Err(Refusal::Unknown { why: "the node is stopping" }))
    }

    async fn commit(self) -> Result<WriteReply, Refusal> {
        let Self { node, mut draft, volume, local, peers, digest, _busy, .. } = self;
        let digest: [u8; 16] = digest.finalize().into();
        if matches!(draft.rule, Rule::Given { digest: given, .. } if given != digest) {
            return Err(Refusal::DigestMismatch);
        }
        let turns = &node.inner.context_turns;
        let is_context = draft.meta.kind.is_context();
        let turn = if is_context { Some(turns.take(draft.id, node.env()).await?) } else { None };
        let staged = Replicas { volume, local, peers };
        if let Err(refusal) = draft.look_again(&node).await {
            node.undo_import(&draft, staged.places(&node)).await;
            return Err(refusal);
        }
        let stamp = draft.stamp(node.env());
        let meta = ObjectMeta { digest, ..draft.meta(node.env()) };
        let publish = Publish {
            follows: draft.follows(),
            first: draft.base.is_none(),
            ..Publish::new(stamp, meta, Hints::NONE)
        };
        let (places, made) = staged.publish(&node, draft.id, publish).await;
        node.env().passes(Point::WritePublished);
        node.give_way(&draft, stamp, &places, &made).await?;
        drop(turn);

        match draft.judge(&made, node.env()) {
            WriteVerdict::Created(_) => {
                let replicas = published(&places, &made);
                node.see_to_feeds(&draft, stamp, &made);
                node.tell_others(&draft, stamp, &replicas);
                node.inner.count(if draft.is_brought() { "imports" } else { "writes" });
                Ok(draft.reply(stamp, replicas, digest))
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
                match draft.rule {
                    Rule::Next { .. } => {
                        node.bury_again(&draft, stamp, &places, &made).await;
                    }
                    // The bug is planted that this must never happen to.
                    Rule::Given { .. } => node.take_back(draft.id, stamp, &places, &made).await,
                }
                Err(Refusal::Unknown { why: "too few replicas could be stored" })
            }
        }
    }
}

/// The replicas of a write, fed to their ends.
struct Replicas {
    volume: Volume,
    local: Staged,
    peers: Vec<PeerReplica>,
}

impl Replicas {
    /// Where they are, this node's first.
    fn places(&self, node: &Node) -> Vec<ReplicaAt> {
        let here = ReplicaAt { node: node.inner.id, volume: self.volume.id() };
        let at_peer = |peer: &PeerReplica| ReplicaAt { node: peer.node, volume: peer.volume };
        std::iter::once(here).chain(self.peers.iter().map(at_peer)).collect()
    }

    /// Publishes them all at once. Tells where they are, this node's first, and what became of each. Feeds begin with the last
    /// one (SCSP SEND), if with any.
    async fn publish(
        self,
        node: &Node,
        id: StreamId,
        publish: Publish,
    ) -> (Vec<ReplicaAt>, Vec<Made>) {
        let places = self.places(node);
        let here = places[0];
        let hints_at = |at: VolumeId| {
            places
                .iter()
                .map(|place| place.volume)
                .filter(|volume| *volume != at)
                .collect::<Hints>()
        };
        let begins = publish.first;
        let last = places.last().map_or(here.volume, |place| place.volume);
        let publish = Publish { hints: hints_at(here.volume), ..publish };
        let at_peer: Vec<Publish> = places[1..]
            .iter()
            .map(|place| Publish {
                hints: hints_at(place.volume),
                first: begins && place.volume == last,
                ..publish.clone()
            })
            .collect();
        let at_home = Publish { first: begins && here.volume == last, ..publish };
        let at_peers = join_all(
            self.peers
                .into_iter()
                .zip(&at_peer)
                .map(|(peer, publish)| node.publish_at(peer, publish)),
        );
        let at_home = node.inner.volumes.publish(&self.volume, id, self.local, at_home);
        let (at_peers, at_home) = futures_util::future::join(at_peers, at_home).await;
        let made: Vec<Made> = std::iter::once(at_home).chain(at_peers).collect();
        (places, made)
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
    /// Whether a version that another cluster brings is wanted.
    pub(crate) fn check_import(
        &self,
        kind: ObjectKind,
        stamp: Stamp,
        answers: &Answers,
    ) -> Result<(), Refusal> {
        let held = match Held::of(answers) {
            Held::Tombstone(_) if self.env().planted(Bug::ImportOverTombstone) => Held::Nothing,
            held => held,
        };
        match judge_import(kind, stamp, held) {
            Verdict::Store | Verdict::StoreAgain => Ok(()),
            Verdict::AlreadyThere | Verdict::Older => Err(Refusal::Conflict),
        }
    }

    /// Where the replica has not come about that feeds were to begin with, or none was to, they begin with the one that is here. Only what was
    /// created is told to them: what is taken back is not to cross over first.
    fn see_to_feeds(&self, draft: &Draft, stamp: Stamp, made: &[Made]) {
        let is_here = made.first() == Some(&Made::Published);
        if is_here && (draft.base.is_some() || made.last() != Some(&Made::Published)) {
            self.goes_first(draft.id, stamp, draft.meta.kind, draft.meta.length);
        }
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

    /// [`Bug::ImportTakesBack`]
    async fn undo_import(&self, draft: &Draft, places: Vec<ReplicaAt>) {
        if let Rule::Given { stamp, .. } = draft.rule
            && self.env().planted(Bug::ImportTakesBack)
        {
            self.take_back(draft.id, stamp, &places, &vec![Made::Unknown; places.len()]).await;
        }
    }

    /// Takes back what may have been published of a failed write, as far as its holders can be reached. A publish without
    /// an answer may still be carried out afterwards.
    async fn take_back(&self, id: StreamId, stamp: Stamp, places: &[ReplicaAt], made: &[Made]) {
        let mut peers = stored_on(places, made);
        let here = peers.remove(&self.inner.id);
        if here {
            self.inner.volumes.retract(id, stamp).await;
        }
        let order = |request| {
            Message::Retract(ReplicaWire { request, id: *id.as_bytes(), stamp: stamp.into() })
        };
        self.order(&peers, order).await;
    }

    /// Takes back what may have been published of the only version of an object, by a delete that comes directly behind it: a
    /// feed may have carried it to another cluster, and carries the delete there too; and a publish without an answer that is
    /// carried out afterwards finds it. A node that may hold none remembers it too, for of the others most may be gone.
    async fn bury_again(&self, draft: &Draft, stamp: Stamp, places: &[ReplicaAt], made: &[Made]) {
        let id = draft.id;
        let mut told = stored_on(places, made);
        told.insert(self.inner.id);
        told.extend(witness(id, &draft.answers, &told));
        told.remove(&self.inner.id);
        let tombstone = Tombstone::of(&draft.meta, ended(stamp), self.env().wall())
            .in_domain(draft.domain.as_deref());
        let wire = TombstoneWire::fresh(&tombstone);
        let order = |request| {
            let tombstone = wire.clone();
            Message::Bury(BuryWire { request, id: *id.as_bytes(), tombstone })
        };
        // Feeds begin with the one that is here.
        let here = self.bury_here(id, Tombstone { first: true, ..tombstone });
        let (here, there) = futures_util::future::join(here, self.order(&told, order)).await;
        if here.is_ok() || !there.is_empty() {
            self.inner.count("writes taken back");
        } else {
            self.inner.count("writes not taken back");
            tracing::warn!(node = self.env().name(), stream = %id, "a write is not taken back");
        }
    }
}

/// The nodes where a replica is stored, or may be.
fn stored_on(places: &[ReplicaAt], made: &[Made]) -> BTreeSet<NodeId> {
    let stored = |made: &Made| matches!(made, Made::Published | Made::Unknown);
    let replicas = places.iter().zip(made);
    replicas.filter(|(_, made)| stored(made)).map(|(place, _)| place.node).collect()
}

/// Whether a PUT may create: only named objects, by the argument or by the setting (SCSP WRITE).
fn or_create(node: &Node, kind: WriteKind, named: bool) -> bool {
    let WriteKind::Replace { or_create } = kind else { return false };
    named && (or_create || node.inner.settings().allow_put_create)
}

/// Checks what the request demands of what is there now.
fn check_preconditions(
    kind: WriteKind,
    if_match: Option<&[Etag]>,
    answers: &Answers,
    may_create: bool,
) -> Result<(), Refusal> {
    let existing = answers.existing();
    match (kind, existing) {
        (WriteKind::Create { only_if_absent: true }, Some(existing)) => {
            Err(Refusal::Exists { etag: existing.stamp.etag })
        }
        (WriteKind::Replace { .. }, None) if !may_create => Err(Refusal::NotFound),
        (WriteKind::Amend { .. }, None) => Err(Refusal::NotFound),
        (_, None) if if_match.is_some() => Err(Refusal::NotFound),
        (_, Some(existing)) if existing.kind == ObjectKind::Immutable => Err(Refusal::Immutable),
        (_, Some(Holding { stamp: Stamp { etag, .. }, .. }))
            if if_match.is_some_and(|wanted| !wanted.contains(&etag)) =>
        {
            Err(Refusal::Changed { etag })
        }
        _ => Ok(()),
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
