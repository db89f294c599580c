//! What was asked of every object and what came of it: acknowledged, refused, or unknown.
//!
//! Owns the history per name or id, and which of them are the same object in several clusters. It judges nothing by itself;
//! [`legal`] does, from the history alone.

pub(crate) mod family;
pub(crate) mod legal;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_types::{Etag, Instant, Stamp, Timestamp};

use crate::body::{BodySpec, Content};
use crate::oracle::lifepoint::Intent;
use crate::reach::NodeNumber;

use family::Joins;

/// Number of an object in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectNumber(pub(crate) u32);

/// One object that a client ever touched.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// What reports call it: `acme.example/scans/17`, a UUID, or where it would have been.
    pub(crate) name: String,
    /// The cluster that it was written to.
    pub(crate) cluster: String,
    /// Request target to read it by; `None` for an unnamed object whose id nobody told us.
    pub(crate) target: Option<String>,
    /// Bucket and domain that must be found before it is.
    pub(crate) parents: Vec<ObjectNumber>,
    /// Headers that every write of it carries and every read must show.
    pub(crate) headers: BTreeMap<String, String>,
    /// Everything that was asked, in the order of sending.
    pub(crate) history: Vec<Entry>,
    /// What the lifepoints of each content demand; contents without lifepoints have none here.
    intents: BTreeMap<u32, Intent>,
    /// Contents of its family so far, if it is the first member.
    contents: u32,
    /// Those of them that take another one over.
    bases: BTreeMap<u32, u32>,
    /// The first member of its family; in one cluster, itself.
    family: ObjectNumber,
    /// Its path, if it has one.
    path: Option<String>,
}

/// What an operation does to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// A version with these bytes, `length` in all. Tries of one operation share the content.
    Write { content: u32, length: u64 },
    /// None any more.
    Delete,
}

/// One request that may have changed an object.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) act: Act,
    pub(crate) sent: Instant,
    /// When its answer came, or nothing any more.
    pub(crate) ended: Option<Instant>,
    pub(crate) outcome: Outcome,
    /// The nodes that were asked, the last of them being the one that answered.
    pub(crate) nodes: Vec<NodeNumber>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not answered yet.
    Pending,
    /// 2xx.
    Acknowledged {
        /// The version, as the answer showed it; deletes show none.
        stamp: Option<Stamp>,
        /// The nodes that hold a copy, as the answer's locations say.
        holders: Vec<NodeNumber>,
        /// `Replica-Count`.
        replicas: u32,
    },
    /// 4xx: nothing happened.
    Refused(u16),
    /// It never reached a node.
    NotSent(String),
    /// It may have happened, may happen later, or never.
    Unknown(String),
    /// It was asked of another cluster, from which its outcome may have come, may come later, or never.
    Elsewhere {
        /// The version, where an answer there showed it.
        stamp: Option<Stamp>,
    },
}

impl Entry {
    pub(crate) fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged { .. })
    }

    pub(crate) fn may_have_happened(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused(_) | Outcome::NotSent(_))
    }

    /// The version of an operation that was acknowledged here or elsewhere, where the answer showed it.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self.outcome {
            Outcome::Acknowledged { stamp, .. } | Outcome::Elsewhere { stamp } => stamp,
            _ => None,
        }
    }

    /// The version of a write that was acknowledged here or elsewhere.
    pub(crate) fn write_stamp(&self) -> Option<Stamp> {
        self.stamp().filter(|_| matches!(self.act, Act::Write { .. }))
    }

    pub(crate) fn holders(&self) -> &[NodeNumber] {
        match &self.outcome {
            Outcome::Acknowledged { holders, .. } => holders,
            _ => &[],
        }
    }
}

impl Object {
    /// Notes with which lifepoints a content is going to be written.
    pub(crate) fn intend(&mut self, content: u32, intent: Intent) {
        self.intents.insert(content, intent);
    }

    /// The lifepoints that a content was written with.
    pub(crate) fn intent(&self, content: u32) -> Option<&Intent> {
        self.intents.get(&content)
    }

    /// The write that a content belongs to.
    pub(crate) fn length_of(&self, content: u32) -> Option<u64> {
        self.history.iter().find_map(|entry| match entry.act {
            Act::Write { content: own, length } if own == content => Some(length),
            _ => None,
        })
    }
}

/// The history of all objects.
#[derive(Debug)]
pub(crate) struct Ledger {
    seed: u64,
    objects: Vec<Object>,
    by_path: BTreeMap<(String, String), ObjectNumber>,
    /// The members of families that have more than one, by the first.
    families: BTreeMap<ObjectNumber, Vec<ObjectNumber>>,
    joins: Joins,
    clocks: Clocks,
    /// Length of the longest body that was sent.
    largest_body: u64,
}

/// How the world's time and what clocks show belong together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clocks {
    /// What a clock that is right showed when the world began.
    pub(crate) began: Timestamp,
    /// No node's clock is ever further ahead than this.
    pub(crate) ahead: Duration,
}

impl Clocks {
    /// What a clock that is right shows at this instant.
    pub(crate) fn at(&self, at: Instant) -> Timestamp {
        self.began + at.since(Instant::ZERO)
    }
}

impl Ledger {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            objects: Vec::new(),
            by_path: BTreeMap::new(),
            families: BTreeMap::new(),
            joins: Joins::default(),
            clocks: Clocks::default(),
            largest_body: 0,
        }
    }

    /// Tells what clocks show.
    pub(crate) fn set_clocks(&mut self, clocks: Clocks) {
        self.clocks = clocks;
    }

    /// True if its lifepoints may have ended a content of an object by then: some node's clock may have said so.
    pub(crate) fn may_have_ended(&self, object: ObjectNumber, content: u32, by: Instant) -> bool {
        self.intent(object, content).is_some_and(|intent| {
            let latest = self.clocks.at(by) + self.clocks.ahead;
            intent.may_end_at_any_time() || intent.ends_at().is_some_and(|ends| ends <= latest)
        })
    }

    /// The object at this path of this cluster; made if it is new. It is of one family with that at the same path of a
    /// cluster that has to do with this one.
    pub(crate) fn named(
        &mut self,
        cluster: &str,
        path: &str,
        make: impl FnOnce() -> Object,
    ) -> ObjectNumber {
        let key = (cluster.to_owned(), path.to_owned());
        if let Some(number) = self.by_path.get(&key) {
            return *number;
        }
        let number = self.add(make());
        self.object_mut(number).path = Some(path.to_owned());
        if let Some(kin) = self.find_kin(cluster, path) {
            self.join(number, kin);
        }
        self.by_path.insert(key, number);
        number
    }

    pub(crate) fn find(&self, cluster: &str, path: &str) -> Option<ObjectNumber> {
        self.by_path.get(&(cluster.to_owned(), path.to_owned())).copied()
    }

    /// A new object that has no path.
    pub(crate) fn add(&mut self, object: Object) -> ObjectNumber {
        let number = ObjectNumber(
            u32::try_from(self.objects.len()).expect("a run has fewer than 2^32 objects"),
        );
        self.objects.push(Object { family: number, ..object });
        number
    }

    pub(crate) fn object(&self, number: ObjectNumber) -> &Object {
        &self.objects[number.0 as usize]
    }

    pub(crate) fn object_mut(&mut self, number: ObjectNumber) -> &mut Object {
        &mut self.objects[number.0 as usize]
    }

    /// All objects in the order in which they were first touched.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = ObjectNumber> + use<> {
        (0..u32::try_from(self.objects.len()).unwrap_or(u32::MAX)).map(ObjectNumber)
    }

    /// The body of a new write of an object.
    pub(crate) fn new_body(&mut self, number: ObjectNumber, length: u64) -> BodySpec {
        self.largest_body = self.largest_body.max(length);
        let family = self.family(number);
        let first = self.object_mut(family);
        first.contents += 1;
        BodySpec { content: first.contents, seed: self.seed, object: family.0, length }
    }

    /// The content of an object that was acknowledged last, and its ETag.
    pub(crate) fn newest_acknowledged(&self, number: ObjectNumber) -> Option<(u32, Etag)> {
        self.object(number).history.iter().rev().find_map(|entry| match entry.act {
            Act::Write { content, .. } => Some((content, entry.write_stamp()?.etag)),
            Act::Delete => None,
        })
    }

    /// Notes that a content begins with the bytes of another one, and returns how many there are in all.
    pub(crate) fn builds_on(
        &mut self,
        number: ObjectNumber,
        content: u32,
        base: u32,
        more: u64,
    ) -> u64 {
        let family = self.family(number);
        self.object_mut(family).bases.insert(content, base);
        let length = self.body(number, base).map_or(0, |base| base.length()) + more;
        self.largest_body = self.largest_body.max(length);
        length
    }

    /// The lifepoints that a content of an object was written with, wherever that was.
    pub(crate) fn intent(&self, number: ObjectNumber, content: u32) -> Option<&Intent> {
        self.writer(number, content)?.intent(content)
    }

    /// Length of the longest body that was sent; an update has that of the version before.
    pub(crate) const fn largest_body(&self) -> u64 {
        self.largest_body
    }

    /// The body that a content of an object must have; `None` for one that was never sent.
    pub(crate) fn body(&self, number: ObjectNumber, content: u32) -> Option<Content> {
        let length = self.writer(number, content)?.length_of(content)?;
        let family = self.family(number);
        let own = |length| BodySpec { seed: self.seed, object: family.0, content, length };
        match self.object(family).bases.get(&content) {
            None => Some(own(length).into()),
            Some(base) => {
                let base = self.body(number, *base)?;
                let more = length.saturating_sub(base.length());
                Some(base.with(own(more)))
            }
        }
    }

    /// Notes that a request is being sent, and returns its place in the history.
    pub(crate) fn sent(
        &mut self,
        number: ObjectNumber,
        act: Act,
        sent: Instant,
        node: NodeNumber,
    ) -> usize {
        let history = &mut self.object_mut(number).history;
        history.push(Entry {
            act,
            sent,
            ended: None,
            outcome: Outcome::Pending,
            nodes: vec![node],
        });
        history.len() - 1
    }

    /// Notes what came of it.
    pub(crate) fn ended(
        &mut self,
        number: ObjectNumber,
        entry: usize,
        at: Instant,
        nodes: Vec<NodeNumber>,
        outcome: Outcome,
    ) {
        let entry = &mut self.object_mut(number).history[entry];
        entry.ended = Some(at);
        entry.outcome = outcome;
        if !nodes.is_empty() {
            entry.nodes = nodes;
        }
    }
}

impl Object {
    /// An object that nobody has touched yet.
    pub(crate) fn new(
        name: impl Into<String>,
        cluster: impl Into<String>,
        target: Option<String>,
    ) -> Self {
        Self {
            name: name.into(),
            cluster: cluster.into(),
            target,
            parents: Vec::new(),
            headers: BTreeMap::new(),
            history: Vec::new(),
            intents: BTreeMap::new(),
            contents: 0,
            bases: BTreeMap::new(),
            family: ObjectNumber(u32::MAX),
            path: None,
        }
    }
}
