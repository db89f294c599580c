//! Domains and buckets by their alias UUIDs: from what is filed under one, nobody knows the name that it is found by.
//!
//! The volumes know which contexts they file; what none of this node's files is asked of all members, over the connections for
//! replicas, for the name of a bucket may be longer than a datagram.

use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use swarm_feeds::wire::Identity;
use swarm_feeds::{Context, FoundContext};
use swarm_types::{NodeId, ObjectKind, ObjectMeta, StreamId, Uuid};

use crate::wire::{ContextWire, Frame};
use crate::{Node, names};

/// How long a member may take to look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What was heard of a context.
enum Heard {
    Found(FoundContext),
    /// No member has it; and whether all have said so.
    Nobody {
        all_answered: bool,
    },
}

impl Node {
    /// Finds the domain or bucket that has this alias UUID, wherever it is filed.
    pub async fn context_by_alias(&self, alias: Uuid) -> Context {
        let found = match self.context_anywhere(alias).await {
            Heard::Found(found) => found,
            Heard::Nobody { all_answered: true } => return Context::Gone,
            Heard::Nobody { all_answered: false } => return Context::Unknown,
        };
        // Whoever has it may have missed that it was deleted.
        let expected = self.inner.members.expectation(self.inner.present()).present;
        let answers = self.ask(Some(found.stream), None).await;
        match answers.existing() {
            Some(held) if held.alias == Some(alias) => Context::Found(found),
            Some(_) => Context::Gone,
            None if answers.silent(&expected) == 0 => Context::Gone,
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
            Heard::Nobody { .. } => None,
        }
    }

    async fn context_anywhere(&self, alias: Uuid) -> Heard {
        if let Some(found) = self.context_here(alias) {
            return Heard::Found(found);
        }
        let members = self.inner.members.expectation(self.inner.present()).present;
        let asked = members.into_iter().map(|member| self.ask_for_context(member, alias));
        let answers = join_all(asked).await;
        let all_answered = answers.iter().all(Result::is_ok);
        // The lowest, so that everybody means the same.
        let found = answers.into_iter().filter_map(|answer| answer.ok().flatten());
        found.min_by_key(|found| found.stream).map_or(Heard::Nobody { all_answered }, Heard::Found)
    }

    /// The context with this alias UUID that a volume of this node files.
    fn context_here(&self, alias: Uuid) -> Option<FoundContext> {
        let volumes = &self.inner.volumes;
        let filed = volumes.mounted().into_iter().filter_map(|volume| volume.context(alias));
        filed
            .filter_map(|stream| {
                let found = volumes.find(stream)?;
                found_context(stream, found.record.meta()?).filter(|_| has(&found.record, alias))
            })
            .min_by_key(|found| found.stream)
    }

    async fn ask_for_context(
        &self,
        member: NodeId,
        alias: Uuid,
    ) -> io::Result<Option<FoundContext>> {
        let question = Frame::FindContext { alias: *alias.as_bytes() };
        match self.ask_over_link(member, &question, LOOK_TIMEOUT).await? {
            Frame::ContextFound(found) => Ok(Some(found.told())),
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
        let found = self.context_here(alias).map(|found| ContextWire::new(&found));
        found.map_or(Frame::NoContext, Frame::ContextFound)
    }
}

fn has(record: &swarm_store::Record, alias: Uuid) -> bool {
    record.meta().is_some_and(|meta| meta.kind.is_context() && meta.alias == Some(alias))
}

fn found_context(stream: StreamId, meta: &ObjectMeta) -> Option<FoundContext> {
    let name = meta.name.clone()?;
    Some(FoundContext { stream, kind: meta.kind, name, parent: meta.cid })
}
