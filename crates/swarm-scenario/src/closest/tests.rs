//! The closest call of histories written by hand, and of disks read from outside.

use std::collections::BTreeSet;

use swarm_cluster::NodeRef;
use swarm_types::{Etag, Version};

use super::*;
use crate::ledger::{Object, Outcome};
use crate::oracle::image::Hit;

fn at(secs: u64) -> Instant {
    Instant(secs * 1_000_000_000)
}

fn stamp(version: u64) -> Stamp {
    Stamp { version: Version(version), etag: Etag::from_bytes([1; 16]) }
}

fn nodes(numbers: &[usize]) -> NodeSet {
    numbers.iter().map(|number| NodeNumber(*number)).collect()
}

/// A history under construction, with what is known of its disks.
struct Story {
    ledger: Ledger,
    reach: Reach,
    closest: Closest,
    up: NodeSet,
}

impl Story {
    /// Three nodes, all of them up, and one of another cluster.
    fn new() -> Self {
        Self {
            ledger: Ledger::new(1),
            reach: Reach::new(
                [("main", 1), ("main", 2), ("main", 3), ("dr", 1)]
                    .map(|(cluster, node)| NodeRef { cluster: cluster.to_owned(), node })
                    .into(),
            ),
            closest: Closest::default(),
            up: nodes(&[0, 1, 2]),
        }
    }

    fn object(&mut self, name: &str) -> ObjectNumber {
        self.ledger.named("main", name, || Object::new(name, "main", Some(format!("/{name}"))))
    }

    fn sent(&mut self, object: ObjectNumber, act: Act, secs: u64) -> usize {
        self.ledger.sent(object, act, at(secs), NodeNumber(0))
    }

    fn ended(&mut self, object: ObjectNumber, entry: usize, secs: u64, outcome: Outcome) {
        self.ledger.ended(object, entry, at(secs), Vec::new(), outcome);
        self.closest.acknowledged(&self.ledger, &self.reach, object, entry, self.up);
    }

    /// A write that is acknowledged as this version in the second after it was sent.
    fn write(&mut self, name: &str, version: u64, secs: u64, holders: &[usize]) {
        let object = self.object(name);
        let entry = self.sent(object, Act::Write { content: 1, length: 1 }, secs);
        let holders: Vec<_> = holders.iter().map(|node| NodeNumber(*node)).collect();
        let replicas = u32::try_from(holders.len()).expect("few");
        let stamp = Some(stamp(version));
        self.ended(object, entry, secs + 1, Outcome::Acknowledged { stamp, holders, replicas });
    }

    /// These nodes run from now on; whoever runs has on its disks what answers said, and this besides.
    fn fault(&mut self, secs: u64, up: &[usize], besides: &[(u64, usize)]) {
        self.up = nodes(up);
        let mut census = Census::default();
        for (_, write, stamp) in counting(&self.ledger) {
            census.holders.insert(stamp, by_answer(write, &self.reach, nodes(&[0, 1, 2])));
        }
        for (version, node) in besides {
            census.holders.entry(stamp(*version)).or_default().insert(NodeNumber(*node));
        }
        self.closest.look(&self.ledger, &self.reach, &census, self.up, at(secs));
    }

    /// Copies, name and second of the closest call.
    fn told(&self) -> (usize, &str, u64) {
        let call = self.closest.fewest().expect("something was acknowledged");
        (call.copies, &self.ledger.object(call.object).name, call.at.0 / 1_000_000_000)
    }
}

#[test]
fn without_faults_it_is_the_replica_count_of_the_least_protected_object() {
    let mut story = Story::new();
    assert_eq!(story.closest.fewest(), None, "nothing is acknowledged yet");
    story.write("a", 1, 10, &[0, 1, 2]);
    story.write("b", 2, 20, &[1, 2]);
    story.write("c", 3, 30, &[0, 1]);
    assert_eq!(story.told(), (2, "b", 21));
    assert_eq!(story.closest.fewest().map(|call| call.acknowledged), Some(2));
}

#[test]
fn a_node_that_goes_off_takes_its_copies_until_it_returns() {
    let mut story = Story::new();
    story.write("a", 1, 10, &[0, 1, 2]);
    story.write("b", 2, 20, &[1, 2]);
    story.fault(30, &[1, 2], &[]);
    assert_eq!(story.told(), (2, "b", 21), "the node that went held no copy of it");
    story.fault(40, &[0, 2], &[]);
    assert_eq!(story.told(), (1, "b", 40), "the first one is back, the second is off");
    story.fault(50, &[0, 1], &[]);
    assert_eq!(story.told(), (1, "b", 40), "as close as before is not closer");
    story.fault(60, &[0], &[]);
    assert_eq!(story.told(), (0, "b", 60));
    assert!(story.closest.is_at_the_bottom());
}

#[test]
fn damaged_copies_do_not_count_and_copies_that_no_answer_told_of_do() {
    let mut story = Story::new();
    story.write("a", 1, 10, &[0, 1]);
    story.write("b", 2, 10, &[0, 1]);
    let versions = BTreeSet::from([stamp(2)]);
    story.reach.damage_mut(NodeNumber(0)).rotten(
        at(20),
        NodeNumber(0),
        Hit { versions, journal: false, unfiled: false },
    );
    story.fault(20, &[0, 1, 2], &[(2, 2)]);
    assert_eq!(story.told(), (2, "a", 11), "a third node had made itself a copy of b");
    story.fault(30, &[0, 1, 2], &[]);
    assert_eq!(story.told(), (1, "b", 30));
    story.reach.damage_mut(NodeNumber(1)).wiped(at(40), NodeNumber(1));
    story.fault(40, &[0, 1, 2], &[]);
    assert_eq!(story.told(), (0, "b", 40));
}

#[test]
fn what_may_have_been_replaced_or_deleted_is_nobodys_closest_call() {
    let mut story = Story::new();
    story.write("deleted", 1, 10, &[0, 1]);
    let object = story.object("deleted");
    story.sent(object, Act::Delete, 20);
    story.write("unknown", 2, 10, &[0, 1]);
    let object = story.object("unknown");
    let entry = story.sent(object, Act::Write { content: 2, length: 1 }, 20);
    story.ended(object, entry, 21, Outcome::Unknown("503".to_owned()));
    story.fault(30, &[], &[]);
    assert_eq!(story.told(), (2, "deleted", 11), "nothing has a current version for certain");
    story.write("unknown", 5, 40, &[0, 1]);
    story.fault(50, &[1, 2], &[]);
    assert_eq!(story.told(), (0, "unknown", 41), "acknowledged while no node ran");
}

#[test]
fn copies_in_another_cluster_do_not_count() {
    let mut story = Story::new();
    story.write("a", 1, 10, &[0, 1]);
    story.fault(20, &[0, 3], &[(1, 3)]);
    assert_eq!(story.told(), (1, "a", 20));
}

#[test]
fn an_overwrite_counts_with_its_own_copies() {
    let mut story = Story::new();
    story.write("a", 1, 10, &[0, 1]);
    story.write("a", 2, 20, &[1, 2]);
    story.fault(30, &[1, 2], &[]);
    assert_eq!(story.told(), (2, "a", 11), "who goes held the older version only");
    story.fault(40, &[0, 1], &[]);
    assert_eq!(story.told(), (1, "a", 40));
}

#[test]
fn a_disk_that_cannot_be_read_holds_what_answers_said() {
    let mut story = Story::new();
    story.write("a", 1, 10, &[0, 1]);
    let mut census = Census::default();
    census.cannot_read(NodeNumber(0));
    let up = nodes(&[0]);
    story.closest.look(&story.ledger, &story.reach, &census, up, at(20));
    assert_eq!(story.told(), (1, "a", 20));
}
