//! Domains and buckets by their alias UUIDs: from what is filed under one, nobody knows the name that it is found by.
//!
//! The volumes know which contexts they file, and which were deleted that they remember; what none of this node's files is asked of all members, over the connections for
//! replicas, for the name of a bucket may be longer than a datagram.

use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use swarm_feeds::wire::Identity;
use swarm_feeds::{Context, DeletedContext, FoundContext};
use swarm_store::{Record, RecordState};
use swarm_types::{NodeId, ObjectKind, StreamId, Uuid};

use crate::wire::{ContextWire, Frame};
use crate::{Node, names};

/// How long a member may take to look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What was heard of a context.
enum Heard {
    Found(FoundContext),
    /// No member has it, and this is remembered of it.
    Deleted(DeletedContext),
    /// No member knows of it; and whether all have said so.
    Nobody {
        all_answered: bool,
    },
}

impl Node {
    /// Finds the domain or bucket that has this alias UUID, wherever it is filed.
    pub async fn context_by_alias(&self, alias: Uuid) -> Context {
        let found = match self.context_anywhere(alias).await {
            Heard::Found(found) => found,
            Heard::Deleted(deleted) => return Context::Deleted(deleted),
            // It may be on a volume that comes back.
            Heard::Nobody { all_answered } if !all_answered || self.expects_volumes() => {
                return Context::Unknown;
            }
            Heard::Nobody { .. } => return Context::Gone,
        };
        // Whoever has it may have missed that it was deleted.
        let expected = self.inner.members.expectation(self.inner.present()).present;
        let answers = self.ask(Some(found.stream), None).await;
        match answers.existing() {
            Some(held) if held.alias == Some(alias) => Context::Found(found),
            Some(_) => Context::Deleted(found.into()),
            None if answers.silent(&expected) == 0 => Context::Deleted(found.into()),
            None => Context::Unknown,
        }
    }

    /// Whether the parent of an object is here. It is looked for by its name first, because names are remembered.
    pub(crate) async fn has_parent(&self, identity: &Identity) -> bool {
        let Some(parent) = identity.cid.filter(|cid| *cid != Uuid::ROOT) else { return true };
        if self.parent_by_name(identity).await == Some(parent) {
            return true;
        }
        // The name may be unknown, or another's here.
        matches!(self.context_by_alias(parent).await, Context::Found(_))
    }

    async fn parent_by_name(&self, identity: &Identity) -> Option<Uuid> {
        let domain = identity.place.domain.as_deref()?;
        let domain = self.context(names::domain_stream(domain), false).await?;
        if identity.kind != ObjectKind::Named {
            return Some(domain);
        }
        let bucket = identity.place.bucket.as_deref()?;
        self.context(names::bucket_stream(domain, bucket), false).await
    }

    /// Where a context with this alias UUID is filed on any member, deleted or not as that one knows it.
    pub(crate) async fn stream_by_alias(&self, alias: Uuid) -> Option<StreamId> {
        match self.context_anywhere(alias).await {
            Heard::Found(found) => Some(found.stream),
            Heard::Deleted(_) | Heard::Nobody { .. } => None,
        }
    }

    /// A context that is there, as far as whoever has it knows, before one that was deleted.
    async fn context_anywhere(&self, alias: Uuid) -> Heard {
        let here = self.context_here(alias);
        if let Some(Known::There(found)) = here {
            return Heard::Found(found);
        }
        let members = self.inner.members.expectation(self.inner.present()).present;
        let asked = members.into_iter().map(|member| self.ask_for_context(member, alias));
        let answers = join_all(asked).await;
        let all_answered = answers.iter().all(Result::is_ok);
        let known = answers.into_iter().filter_map(|answer| answer.ok().flatten()).chain(here);
        match known.min_by_key(Known::order) {
            Some(Known::There(found)) => Heard::Found(found),
            Some(Known::Deleted(deleted)) => Heard::Deleted(deleted),
            None => Heard::Nobody { all_answered },
        }
    }

    /// The context with this alias UUID that a volume of this node files, or remembers.
    fn context_here(&self, alias: Uuid) -> Option<Known> {
        let volumes = &self.inner.volumes;
        let filed = volumes.mounted().into_iter().filter_map(|volume| volume.context(alias));
        filed
            .filter_map(|stream| Known::of(volumes.find(stream)?.record, alias))
            .min_by_key(Known::order)
    }

    async fn ask_for_context(&self, member: NodeId, alias: Uuid) -> io::Result<Option<Known>> {
        let question = Frame::FindContext { alias: *alias.as_bytes() };
        match self.ask_over_link(member, &question, LOOK_TIMEOUT).await? {
            Frame::ContextFound(found) => Ok(Some(Known::There(found.told()))),
            Frame::ContextDeleted(deleted) => Ok(Some(Known::Deleted(deleted.into()))),
            Frame::NoContext => Ok(None),
            // It cannot say yet.
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Answers a member that looks for a context.
    pub(crate) fn answer_about_context(&self, alias: Uuid) -> Frame {
        if !self.inner.knows_its_holdings() {
            return Frame::Refused { why: "not ready".to_owned() };
        }
        match self.context_here(alias) {
            Some(Known::There(found)) => Frame::ContextFound(ContextWire::new(&found)),
            Some(Known::Deleted(deleted)) => Frame::ContextDeleted(deleted.into()),
            None => Frame::NoContext,
        }
    }
}

/// What a member knows of a context.
#[derive(Debug)]
enum Known {
    There(FoundContext),
    Deleted(DeletedContext),
}

impl Known {
    /// What a record tells of the context with this alias.
    fn of(record: Record, alias: Uuid) -> Option<Self> {
        let stream = record.id;
        match record.state {
            RecordState::Live { meta, .. } => {
                let is_it = meta.kind.is_context() && meta.alias == Some(alias);
                let (name, parent) = (meta.name.filter(|_| is_it)?, meta.cid);
                Some(Self::There(FoundContext { stream, kind: meta.kind, name, parent }))
            }
            RecordState::Tombstone(tombstone) => {
                let is_it = tombstone.kind.is_context() && tombstone.alias == Some(alias);
                let (kind, parent) = (tombstone.kind, tombstone.parent);
                // Any other delete tells the name of the domain that it belongs to.
                let name = tombstone.name.filter(|_| kind == ObjectKind::Domain);
                let name = name.map(|name| name.to_string());
                is_it.then_some(Self::Deleted(DeletedContext { stream, kind, name, parent }))
            }
        }
    }

    /// The least counts: one that is there, and the lowest id, so that everybody means the same.
    const fn order(&self) -> (bool, StreamId) {
        match self {
            Self::There(found) => (false, found.stream),
            Self::Deleted(deleted) => (true, deleted.stream),
        }
    }
}
