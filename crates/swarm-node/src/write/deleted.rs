//! Contexts that are deleted while a write of them is under way. Such a write may have looked before the delete was filed, and be
//! published above it: the context would live again under its UUID, with all that was deleted with it.
//!
//! Deletes come from everywhere, so that no turn keeps them apart from writes. Instead both look again when they are done. A
//! write that finds a delete behind what it followed gives way; a delete that finds the context alive deletes once more
//! ([`Node::bury_for_good`]). Whichever is later finds the other, and what a write finds it cannot have replaced
//! ([`Publish::follows`](swarm_store::Publish)).

use swarm_plan::lookup::{Form, Holding};
use swarm_plan::outcome::Made;
use swarm_types::Stamp;

use super::{Draft, Rule};
use crate::Node;
use crate::api::Refusal;

impl Draft {
    /// The version of a context whose UUID a client's write keeps. What other clusters bring has its place already.
    pub(super) fn follows(&self) -> Option<Stamp> {
        let is_context = self.meta.kind.is_context() && matches!(self.rule, Rule::Next { .. });
        self.answers.existing().filter(|_| is_context).map(|held| held.stamp)
    }
}

impl Node {
    /// Looks once more whether the context that was just written was deleted after what the write followed. Then it is deleted
    /// again, above what was written: a feed may have carried that away by now.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] if it was deleted. Written again, it is another.
    pub(super) async fn give_way_to_delete(
        &self,
        draft: &Draft,
        stamp: Stamp,
        made: &[Made],
    ) -> Result<(), Refusal> {
        let may_be_there = made.iter().any(|made| matches!(made, Made::Published | Made::Unknown));
        let Some(follows) = draft.follows().filter(|_| may_be_there) else { return Ok(()) };
        let answers = self.ask(Some(draft.id), Some(0)).await;
        let came_between = |held: Holding| {
            held.form == Form::Tombstone && held.stamp > follows && held.stamp < stamp
        };
        if !answers.iter().any(|answer| answer.holding.is_some_and(came_between)) {
            return Ok(());
        }
        self.inner.count("contexts deleted while they were written");
        let buried =
            self.bury_for_good(draft.id, &draft.meta, draft.domain.as_deref(), answers).await;
        if buried.is_err() {
            tracing::warn!(
                node = self.env().name(), stream = %draft.id,
                "a context that was deleted while it was written may be there again"
            );
        }
        Err(Refusal::Unknown { why: "the domain or bucket was deleted meanwhile" })
    }
}
