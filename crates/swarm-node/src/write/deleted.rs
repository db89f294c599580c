//! What is deleted while a write of it is under way that keeps something of it. Such a write may have looked before the delete was
//! filed, and be published above it: a context would live again under its UUID, with all that was deleted with it, and an object
//! with the bytes that COPY and APPEND take over.
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
use crate::api::{Refusal, ReplicaAt};

impl Draft {
    /// The version of which a client's write keeps something: the UUID of a context, the bytes of an object. What other clusters
    /// bring has its place already.
    pub(super) fn follows(&self) -> Option<Stamp> {
        let is_context = self.meta.kind.is_context() && matches!(self.rule, Rule::Next { .. });
        let keeps = is_context || self.base.is_some();
        self.answers.existing().filter(|_| keeps).map(|held| held.stamp)
    }
}

impl Node {
    /// Looks once more whether what was just written, if it keeps something of another version, was deleted after that. Then it is
    /// deleted again, above what was written. Or whether another version has come of the same one
    /// ([`Node::give_way_to_rival`]).
    ///
    /// # Errors
    /// [`Refusal::Unknown`] if so. A context that is written again is another.
    pub(super) async fn give_way(
        &self,
        draft: &Draft,
        stamp: Stamp,
        places: &[ReplicaAt],
        made: &[Made],
    ) -> Result<(), Refusal> {
        let may_be_there = made.iter().any(|made| matches!(made, Made::Published | Made::Unknown));
        let Some(follows) = draft.follows().filter(|_| may_be_there) else { return Ok(()) };
        let answers = self.ask(Some(draft.id), Some(0)).await;
        let came_between = |held: Holding| {
            held.form == Form::Tombstone && held.stamp > follows && held.stamp < stamp
        };
        if !answers.iter().any(|answer| answer.holding.is_some_and(came_between)) {
            return self.give_way_to_rival(draft, stamp, &answers, (places, made)).await;
        }
        self.inner.count("deleted while written");
        let buried =
            self.bury_for_good(draft.id, &draft.meta, draft.domain.as_deref(), answers).await;
        if buried.is_err() {
            tracing::warn!(
                node = self.env().name(), stream = %draft.id,
                "what was deleted while it was written may be there again"
            );
        }
        Err(Refusal::Unknown { why: "it was deleted meanwhile" })
    }
}
