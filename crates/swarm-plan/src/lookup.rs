//! The course of a lookup: whom to wait for, when to ask again, what the answers say.
//!
//! A lookup asks the whole group. Holders of a replica or of a tombstone answer with what they have; the other members
//! answer that they have nothing, so that a lookup ends as soon as everybody was heard (our choice). The newest version
//! among the answers wins, so a copy that missed an update or a delete loses before anybody has cleared it away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use swarm_types::{NodeId, ObjectKind, Stamp, Uuid, VolumeId};

use crate::bids::Bid;

/// How often the group is asked: datagrams get lost (CAStor 5.0 release notes advise clients to retry a 404).
pub const TRIES: u32 = 3;
/// How long the first try waits for members that have not answered; `cip.queryRetryMultiplier` scales the later ones.
pub const FIRST_WAIT: Duration = Duration::from_millis(250);
/// How long a lookup listens at least while a known member is missing: one that has just come back, and has not been
/// heard since, still gets its word in. Long against a local network, short against a disk.
pub const LISTEN_FOR_MISSING: Duration = Duration::from_millis(20);

/// What a node holds under an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Version and ETag.
    pub stamp: Stamp,
    /// Class of the object.
    pub kind: ObjectKind,
    /// What there is of it.
    pub form: Form,
    /// Alias UUID of alias objects, buckets and domains.
    pub alias: Option<Uuid>,
    /// Alias UUID of the parent.
    pub cid: Option<Uuid>,
}

/// What there is of a version on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A replica on this volume, as far as the node knows intact.
    Replica(VolumeId),
    /// A replica on this volume of which the node has met a damaged block: it proves the version, it serves nobody.
    Damaged(VolumeId),
    /// A replica on this volume whose lifepoint has ended it by the holder's clock: it counts as absent.
    Ended(VolumeId),
    /// A tombstone.
    Tombstone,
}

impl Form {
    /// True for a version that requests treat as an existing object.
    #[must_use]
    pub const fn exists(self) -> bool {
        matches!(self, Self::Replica(_) | Self::Damaged(_))
    }
}

/// For what the volumes of a node have a place, however full they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Nothing new.
    Nothing,
    /// A tombstone at most: every volume that works is being emptied.
    Tombstones,
    /// Streams.
    Streams,
}

/// One node's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Who answers.
    pub node: NodeId,
    /// What it holds; `None` says that it has nothing.
    pub holding: Option<Holding>,
    /// Whether the node serves clients now.
    pub serving: bool,
    /// For what its volumes have a place.
    pub room: Room,
    /// Cost of delivering the stream from there.
    pub read_cost: u64,
    /// Cost of storing the stream there; `None` where it does not bid.
    pub write_cost: Option<u64>,
    /// The token that sends a client there.
    pub nonce: u128,
}

/// What to do about a lookup now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Listen until this long after the try began.
    Listen(Duration),
    /// Ask the group again, and the silent members one by one.
    AskAgain,
    /// Conclude from what is known.
    Conclude,
}

/// Facts of a lookup under way.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Expected members that have not answered.
    pub silent: usize,
    /// Known members that are not expected to answer (silent for a minute or more), and have not.
    pub missing: usize,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Time since this try began.
    pub elapsed: Duration,
    /// `cip.queryRetryMultiplier`, in thousandths.
    pub multiplier_permille: u32,
}

/// What to do next.
#[must_use]
pub fn next_step(course: Course) -> Step {
    if course.silent == 0 {
        // Later tries have listened long enough already.
        let done =
            course.missing == 0 || course.attempt > 1 || course.elapsed >= LISTEN_FOR_MISSING;
        return if done { Step::Conclude } else { Step::Listen(LISTEN_FOR_MISSING) };
    }
    let wait = wait_of(course.attempt, course.multiplier_permille);
    if course.elapsed < wait {
        Step::Listen(wait)
    } else if course.attempt < TRIES {
        Step::AskAgain
    } else {
        Step::Conclude
    }
}

/// How long a lookup takes at most. A replica that was superseded stays for that long: a lookup under way may have heard the
/// holders of the new version before they had it, and must not come too late for the old one.
#[must_use]
pub fn longest(multiplier_permille: u32) -> Duration {
    (1..=TRIES).map(|attempt| wait_of(attempt, multiplier_permille)).sum()
}

fn wait_of(attempt: u32, multiplier_permille: u32) -> Duration {
    (1..attempt).fold(FIRST_WAIT, |wait, _| wait * multiplier_permille / 1000)
}

/// Everything that was answered, one answer per node; a later answer of a node replaces its earlier one.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    by_node: BTreeMap<NodeId, Answer>,
}

impl Answers {
    /// Adds an answer.
    pub fn add(&mut self, answer: Answer) {
        self.by_node.insert(answer.node, answer);
    }

    /// True if this node has answered.
    #[must_use]
    pub fn has(&self, node: NodeId) -> bool {
        self.by_node.contains_key(&node)
    }

    /// Every answer, by node.
    pub fn iter(&self) -> impl Iterator<Item = &Answer> {
        self.by_node.values()
    }

    /// How many of these nodes have not answered.
    #[must_use]
    pub fn silent(&self, expected: &BTreeSet<NodeId>) -> usize {
        expected.iter().filter(|node| !self.has(**node)).count()
    }

    /// The newest version that anybody holds, tombstones included. Where the holders' clocks disagree about whether its
    /// lifepoint has ended it, it exists: the node that serves it judges by its own clock.
    #[must_use]
    pub fn newest(&self) -> Option<Holding> {
        self.iter()
            .filter_map(|answer| answer.holding)
            .max_by_key(|holding| (holding.stamp, holding.form.exists()))
    }

    /// The newest version, if it is an object to requests: not a tombstone, not ended by its lifepoint.
    #[must_use]
    pub fn existing(&self) -> Option<Holding> {
        self.newest().filter(|holding| holding.form.exists())
    }

    /// The nodes that can deliver this version, cheapest first.
    #[must_use]
    pub fn sources(&self, stamp: Stamp) -> Vec<Answer> {
        self.places(stamp, |form| matches!(form, Form::Replica(_)))
    }

    /// The nodes that hold this version in any form that exists, cheapest first.
    #[must_use]
    pub fn keepers(&self, stamp: Stamp) -> Vec<Answer> {
        self.places(stamp, Form::exists)
    }

    fn places(&self, stamp: Stamp, fits: impl Fn(Form) -> bool) -> Vec<Answer> {
        let mut places: Vec<Answer> = self
            .iter()
            .filter(|answer| answer.serving)
            .filter(|answer| {
                answer.holding.is_some_and(|held| held.stamp == stamp && fits(held.form))
            })
            .copied()
            .collect();
        places.sort_by_key(|answer| (answer.read_cost, answer.node));
        places
    }

    /// The nodes that hold anything under the id, in the order of their addresses.
    pub fn holders(&self) -> impl Iterator<Item = NodeId> {
        self.iter().filter(|answer| answer.holding.is_some()).map(|answer| answer.node)
    }

    /// How many nodes could take a stream if they were not full.
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.iter().filter(|answer| answer.serving && answer.room == Room::Streams).count()
    }

    /// How many nodes can remember a delete: those that hold something under the id, and those with a place for a tombstone.
    #[must_use]
    pub fn memories(&self) -> usize {
        let remembers =
            |answer: &&Answer| answer.holding.is_some() || answer.room >= Room::Tombstones;
        self.iter().filter(remembers).count()
    }

    /// The bids for a write.
    #[must_use]
    pub fn write_bids(&self) -> Vec<Bid> {
        self.iter()
            .filter_map(|answer| answer.write_cost.map(|cost| Bid { cost, node: answer.node }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use swarm_types::{Etag, Version};

    use super::*;

    fn node(last: u8) -> NodeId {
        NodeId(Ipv4Addr::new(10, 0, 0, last))
    }

    fn holding(ms: u64, form: Form) -> Holding {
        let stamp = Stamp { version: Version(ms), etag: Etag::from_bytes([1; 16]) };
        Holding { stamp, kind: ObjectKind::Named, form, alias: None, cid: None }
    }

    fn answer(last: u8, holding: Option<Holding>, read_cost: u64) -> Answer {
        let room = Room::Streams;
        let node = node(last);
        Answer { node, holding, serving: true, room, read_cost, write_cost: None, nonce: 0 }
    }

    const VOLUME: VolumeId = VolumeId::from_bytes([7; 16]);

    fn course(silent: usize, missing: usize, attempt: u32, elapsed_ms: u64) -> Course {
        let elapsed = Duration::from_millis(elapsed_ms);
        Course { silent, missing, attempt, elapsed, multiplier_permille: 1000 }
    }

    #[test]
    fn a_lookup_ends_when_everybody_was_heard() {
        assert_eq!(next_step(course(0, 0, 1, 0)), Step::Conclude);
    }

    #[test]
    fn a_member_that_has_just_come_back_is_given_a_moment() {
        assert_eq!(next_step(course(0, 1, 1, 3)), Step::Listen(LISTEN_FOR_MISSING));
        assert_eq!(next_step(course(0, 1, 1, 20)), Step::Conclude);
    }

    #[test]
    fn silence_is_asked_three_times() {
        assert_eq!(next_step(course(1, 0, 1, 10)), Step::Listen(FIRST_WAIT));
        assert_eq!(next_step(course(1, 0, 1, 250)), Step::AskAgain);
        assert_eq!(next_step(course(1, 0, 3, 249)), Step::Listen(FIRST_WAIT));
        assert_eq!(next_step(course(1, 0, 3, 250)), Step::Conclude);
    }

    #[test]
    fn the_multiplier_scales_the_later_waits() {
        let slow = Course { multiplier_permille: 2000, ..course(1, 0, 3, 0) };
        assert_eq!(next_step(slow), Step::Listen(FIRST_WAIT * 4));
        assert_eq!((longest(1000), longest(2000)), (FIRST_WAIT * 3, FIRST_WAIT * 7));
    }

    #[test]
    fn the_newest_answer_wins_and_a_tombstone_counts() {
        let mut answers = Answers::default();
        answers.add(answer(1, Some(holding(5, Form::Replica(VOLUME))), 0));
        answers.add(answer(2, Some(holding(6, Form::Tombstone)), 0));
        answers.add(answer(3, None, 0));
        assert_eq!(answers.newest(), Some(holding(6, Form::Tombstone)));
        assert_eq!(answers.holders().collect::<Vec<_>>(), vec![node(1), node(2)]);
    }

    #[test]
    fn a_version_that_one_clock_has_ended_and_another_has_not_still_exists() {
        let (ended, there) = (holding(5, Form::Ended(VOLUME)), holding(5, Form::Replica(VOLUME)));
        for [first, second] in [[ended, there], [there, ended]] {
            let mut answers = Answers::default();
            answers.add(answer(1, Some(first), 0));
            answers.add(answer(2, Some(second), 0));
            assert_eq!(answers.existing(), Some(there));
        }
        let mut answers = Answers::default();
        answers.add(answer(1, Some(ended), 0));
        assert_eq!(answers.existing(), None);
    }

    #[test]
    fn who_can_take_and_who_can_remember_is_told_apart() {
        let mut answers = Answers::default();
        answers.add(answer(1, None, 0));
        answers.add(Answer { room: Room::Tombstones, ..answer(2, None, 0) });
        answers.add(Answer { room: Room::Nothing, ..answer(3, None, 0) });
        let held = Some(holding(5, Form::Tombstone));
        answers.add(Answer { room: Room::Nothing, ..answer(4, held, 0) });
        answers.add(Answer { serving: false, ..answer(5, None, 0) });
        assert_eq!((answers.candidates(), answers.memories()), (1, 4));
    }

    #[test]
    fn only_intact_replicas_of_the_version_deliver_it_cheapest_first() {
        let mut answers = Answers::default();
        answers.add(answer(1, Some(holding(6, Form::Replica(VOLUME))), 40));
        answers.add(answer(2, Some(holding(6, Form::Replica(VOLUME))), 20));
        answers.add(answer(3, Some(holding(6, Form::Damaged(VOLUME))), 0));
        answers.add(answer(4, Some(holding(5, Form::Replica(VOLUME))), 0));
        let order: Vec<_> =
            answers.sources(holding(6, Form::Tombstone).stamp).iter().map(|a| a.node).collect();
        assert_eq!(order, vec![node(2), node(1)]);
    }
}
