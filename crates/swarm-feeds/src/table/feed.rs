//! One feed of a table, and what becomes of it where two sides that could not hear each other changed it.
//!
//! Its definition has parts that are changed for reasons of their own. Each part remembers the change that wrote it last, and
//! of two sides the later stands part by part: who gives a feed more threads takes back no pause and no restart that another
//! node has acknowledged (our choice).

use swarm_types::{ClusterName, FeedId, FeedMark};

use super::{Change, Digest};
use crate::definition::Definition;

/// One feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Its number.
    pub id: FeedId,
    /// When it was created.
    pub created: Change,
    /// When it was changed last.
    pub changed: Change,
    /// How often everything was to be evaluated anew, as far as the node knew that asked for it last.
    pub generation: u64,
    /// When its parts were changed last.
    pub parts: Parts,
    /// What it carries, and where.
    pub definition: Definition,
}

/// The last change of each part of a feed; `None` while it is as it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// What it selects.
    pub scope: Option<Change>,
    /// Whether deletes are carried.
    pub deletes: Option<Change>,
    /// Where it goes: name of the cluster, hosts, port, mode, login. They change hands together: the name of one cluster with the hosts of
    /// another would lead nowhere.
    pub target: Option<Change>,
    /// The change of [`Self::target`] that named the cluster.
    pub cluster: Option<Change>,
    /// Name, `retryWait`, threads.
    pub manner: Option<Change>,
    /// Whether it rests.
    pub pause: Option<Change>,
    /// The order to evaluate everything anew.
    pub restart: Option<Change>,
}

impl Feed {
    /// A feed as it is created.
    pub(super) fn new(id: FeedId, created: Change, definition: Definition) -> Self {
        let parts = Parts::default();
        Self { id, created, changed: created, generation: 0, parts, definition }
    }

    /// The mark of its present evaluation, in the cluster of this name.
    #[must_use]
    pub fn mark(&self, cluster: &ClusterName) -> FeedMark {
        let mut digest = Digest::new();
        digest.add(cluster.as_str().as_bytes());
        digest.add(&self.id.0.to_le_bytes());
        digest.add(&self.created.number.to_le_bytes());
        digest.add(&self.created.node.to_le_bytes());
        // Not how often: two nodes that have not heard of each other count the same, and mean another order.
        let Parts { scope, deletes, cluster, restart, .. } = self.parts;
        for change in [scope, deletes, cluster, restart] {
            let Change { number, node } = change.unwrap_or_default();
            digest.add(&number.to_le_bytes());
            digest.add(&node.to_le_bytes());
        }
        // Zero says in the journal that there is no slot.
        FeedMark(digest.end().max(1))
    }

    /// Gives it this definition; the parts in which it differs are changed.
    pub(super) fn define(&mut self, definition: Definition, change: Change) {
        let (new, old) = (&definition, &self.definition);
        if !new.routes_like(old) {
            self.generation = self.generation.saturating_add(1);
        }
        if new.scope != old.scope {
            self.parts.scope = Some(change);
        }
        if new.propagate_deletes != old.propagate_deletes {
            self.parts.deletes = Some(change);
        }
        if new.cluster_name != old.cluster_name {
            self.parts.cluster = Some(change);
            self.parts.target = Some(change);
        }
        let address =
            |of: &Definition| (of.hosts.clone(), of.port, of.mode, of.remote_auth.clone());
        if address(new) != address(old) {
            self.parts.target = Some(change);
        }
        let manner = |of: &Definition| (of.name.clone(), of.retry_wait, of.threads);
        if manner(new) != manner(old) {
            self.parts.manner = Some(change);
        }
        if new.paused != old.paused {
            self.parts.pause = Some(change);
        }
        self.definition = definition;
        self.changed = change;
    }

    /// Has it rest, or go on.
    pub(super) fn pause(&mut self, paused: bool, change: Change) {
        self.parts.pause = Some(change);
        self.definition.paused = paused;
        self.changed = change;
    }

    /// Has everything evaluated anew.
    pub(super) fn restart(&mut self, change: Change) {
        self.parts.restart = Some(change);
        self.generation = self.generation.saturating_add(1);
        self.changed = change;
    }

    /// Takes over the parts that the other side of the same feed changed later.
    pub(super) fn merge(&mut self, other: &Self) {
        let (parts, definition, theirs) =
            (&mut self.parts, &mut self.definition, &other.definition);
        if later(&mut parts.scope, other.parts.scope) {
            definition.scope = theirs.scope.clone();
        }
        if later(&mut parts.deletes, other.parts.deletes) {
            definition.propagate_deletes = theirs.propagate_deletes;
        }
        if later(&mut parts.target, other.parts.target) {
            parts.cluster = other.parts.cluster;
            definition.cluster_name = theirs.cluster_name.clone();
            definition.hosts.clone_from(&theirs.hosts);
            definition.port = theirs.port;
            definition.mode = theirs.mode;
            definition.remote_auth.clone_from(&theirs.remote_auth);
        }
        if later(&mut parts.manner, other.parts.manner) {
            definition.name.clone_from(&theirs.name);
            definition.retry_wait = theirs.retry_wait;
            definition.threads = theirs.threads;
        }
        if later(&mut parts.pause, other.parts.pause) {
            definition.paused = theirs.paused;
        }
        later(&mut parts.restart, other.parts.restart);
        self.generation = self.generation.max(other.generation);
        self.changed = self.changed.max(other.changed);
    }
}

/// Takes over the later change; true if it is the other one.
fn later(ours: &mut Option<Change>, theirs: Option<Change>) -> bool {
    let is_later = theirs > *ours;
    if is_later {
        *ours = theirs;
    }
    is_later
}
