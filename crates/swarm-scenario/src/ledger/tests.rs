//! Histories as operators would tell them, and what a read may then see.

use std::collections::BTreeSet;

use proptest::prelude::*;
use swarm_types::{Etag, Version};

use super::legal::{Illegal, Scope, Seen, Untroubled, Window, judge, legal_outcomes, out_of_order};
use super::*;

/// The halves of a cluster know nothing of each other. A read goes through one of them, or through a cluster that is
/// whole again.
struct Halves<'a> {
    history: &'a [Entry],
    read_through: Option<usize>,
}

impl Scope for Halves<'_> {
    fn sees(&self, entry: usize) -> bool {
        self.read_through.is_none_or(|node| self.history[entry].nodes[0].0 == node)
    }

    fn sees_all(&self) -> bool {
        self.read_through.is_none()
    }

    fn knew(&self, later: usize, earlier: usize) -> bool {
        self.history[later].nodes[0] == self.history[earlier].nodes[0]
    }

    fn knew_all(&self, _: usize) -> bool {
        false
    }
}

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

fn stamp(version: u64) -> Stamp {
    Stamp { version: Version(version), etag: Etag::from_bytes([1; 16]) }
}

/// Times in ms: sent, answered.
fn entry(act: Act, sent: u64, ended: u64, outcome: Outcome) -> Entry {
    Entry { act, sent: at(sent), ended: Some(at(ended)), outcome, nodes: vec![NodeNumber(0)] }
}

fn acknowledged(version: Option<u64>) -> Outcome {
    Outcome::Acknowledged { stamp: version.map(stamp), holders: vec![NodeNumber(0)], replicas: 2 }
}

fn write(content: u32, sent: u64, ended: u64, version: u64) -> Entry {
    entry(Act::Write { content, length: 1 }, sent, ended, acknowledged(Some(version)))
}

fn lost_write(content: u32, sent: u64, ended: u64) -> Entry {
    entry(Act::Write { content, length: 1 }, sent, ended, Outcome::Unknown("timeout".to_owned()))
}

fn delete(sent: u64, ended: u64) -> Entry {
    entry(Act::Delete, sent, ended, acknowledged(None))
}

fn lost_delete(sent: u64, ended: u64) -> Entry {
    entry(Act::Delete, sent, ended, Outcome::Unknown("503".to_owned()))
}

fn through(node: usize, mut entry: Entry) -> Entry {
    entry.nodes = vec![NodeNumber(node)];
    entry
}

const LATE: Window = Window { started: Instant(1_000_000_000), ended: Instant(1_001_000_000) };

/// What a read long after all of it may see.
fn late(history: &[Entry]) -> (Vec<u32>, bool) {
    let (contents, absent) = legal_outcomes(history, LATE, &Untroubled::default());
    (contents.into_iter().collect(), absent)
}

#[test]
fn what_its_lifepoint_has_ended_may_be_gone_and_hides_what_it_replaced() {
    for (what, history, ended, contents, absent) in [
        ("it alone", vec![write(1, 0, 1, 10)], vec![0], vec![1], true),
        (
            "what it replaced stays hidden",
            vec![write(1, 0, 1, 10), write(2, 2, 3, 11)],
            vec![1],
            vec![2],
            true,
        ),
        (
            "what replaced it stays",
            vec![write(1, 0, 1, 10), write(2, 2, 3, 11)],
            vec![0],
            vec![2],
            false,
        ),
        (
            "it may have happened",
            vec![write(1, 0, 1, 10), lost_write(2, 2, 3)],
            vec![1],
            vec![1, 2],
            true,
        ),
        (
            "it may not have",
            vec![write(1, 0, 1, 10), lost_write(2, 2, 3)],
            vec![0],
            vec![1, 2],
            true,
        ),
        (
            "refused",
            vec![
                write(1, 0, 1, 10),
                entry(Act::Write { content: 2, length: 1 }, 3, 4, Outcome::Refused(409)),
            ],
            vec![1],
            vec![1],
            false,
        ),
    ] {
        let (seen, none) = legal_outcomes(&history, LATE, &Untroubled(ended.into_iter().collect()));
        assert_eq!((seen.into_iter().collect::<Vec<_>>(), none), (contents, absent), "{what}");
    }
}

#[test]
fn what_a_late_read_may_see() {
    let refused = entry(Act::Write { content: 9, length: 1 }, 3, 4, Outcome::Refused(409));
    let pending = Entry { ended: None, outcome: Outcome::Pending, ..lost_write(2, 30, 31) };
    for (what, history, contents, absent) in [
        ("nothing was written", vec![], vec![], true),
        ("an acknowledged write is there", vec![write(1, 0, 1, 10)], vec![1], false),
        ("a refused write is not", vec![refused], vec![], true),
        ("the newer version wins", vec![write(1, 0, 1, 10), write(2, 2, 3, 11)], vec![2], false),
        (
            "concurrent writes: the version decides",
            vec![write(1, 0, 9, 12), write(2, 1, 8, 11)],
            vec![1],
            false,
        ),
        ("a delete after the write", vec![write(1, 0, 1, 10), delete(2, 3)], vec![], true),
        (
            "a delete concurrent with the write",
            vec![write(1, 0, 5, 10), delete(2, 3)],
            vec![1],
            true,
        ),
        (
            "written anew after the delete",
            vec![write(1, 0, 1, 10), delete(2, 3), write(2, 4, 5, 20)],
            vec![2],
            false,
        ),
        (
            "a write of unknown fate",
            vec![write(1, 0, 1, 10), lost_write(2, 2, 3)],
            vec![1, 2],
            false,
        ),
        ("a write still on its way", vec![write(1, 0, 1, 10), pending], vec![1, 2], false),
        (
            "a delete of unknown fate may happen later",
            vec![write(1, 0, 1, 10), lost_delete(2, 3), write(2, 4, 5, 20)],
            vec![2],
            true,
        ),
        (
            "an unknown write may happen after the delete",
            vec![lost_write(1, 0, 1), delete(2, 3)],
            vec![1],
            true,
        ),
        (
            "a delete below a write that lies below another",
            vec![delete(2, 3), write(1, 4, 5, 20), write(2, 0, 9, 30)],
            vec![2],
            false,
        ),
        (
            "a delete above a write lies above all older ones",
            vec![write(1, 0, 9, 10), write(2, 0, 1, 20), delete(2, 3)],
            vec![],
            true,
        ),
        (
            "a delete after a delete lies above what that one lies above",
            vec![write(1, 0, 1, 10), delete(2, 3), delete(4, 5)],
            vec![],
            true,
        ),
    ] {
        assert_eq!(late(&history), (contents, absent), "{what}");
    }
}

#[test]
fn a_read_concurrent_with_a_change_may_see_either() {
    let history = [write(1, 0, 1, 10), write(2, 5, 20, 11)];
    let during = Window { started: at(6), ended: at(7) };
    assert_eq!(
        legal_outcomes(&history, during, &Untroubled::default()),
        (BTreeSet::from([1, 2]), false)
    );
    let history = [write(1, 0, 1, 10), delete(5, 20)];
    assert_eq!(
        legal_outcomes(&history, during, &Untroubled::default()),
        (BTreeSet::from([1]), true)
    );
}

#[test]
fn the_version_of_a_write_of_unknown_fate_is_taken_from_the_read() {
    let history = [lost_write(1, 0, 1), write(2, 2, 3, 20), delete(4, 5)];
    let seen = |version| {
        judge(
            &history,
            LATE,
            &Untroubled::default(),
            Seen::Content { content: 1, stamp: stamp(version) },
        )
    };
    // The delete covers the newer write and what is older: it has the last word.
    assert_eq!(seen(10), Err(Illegal::Resurrected { delete: 2 }));
    assert_eq!(seen(30), Ok(()));
    assert_eq!(
        judge(
            &history[..2],
            LATE,
            &Untroubled::default(),
            Seen::Content { content: 1, stamp: stamp(10) }
        ),
        Err(Illegal::Stale { newer: 1 })
    );
    let history = [lost_write(1, 0, 1), write(2, 2, 3, 20), delete(4, 5)];
    assert_eq!(
        judge(
            &history[..1],
            LATE,
            &Untroubled::default(),
            Seen::Content { content: 1, stamp: stamp(10) }
        ),
        Ok(())
    );
}

#[test]
fn each_illegal_answer_has_its_own_name() {
    let refused = entry(Act::Write { content: 3, length: 1 }, 3, 4, Outcome::Refused(409));
    let history = [write(1, 0, 1, 10), refused, delete(5, 6), write(2, 7, 8, 20)];
    let seen = |content, version| {
        judge(
            &history,
            LATE,
            &Untroubled::default(),
            Seen::Content { content, stamp: stamp(version) },
        )
    };
    assert_eq!(seen(7, 1), Err(Illegal::NeverWritten));
    assert_eq!(seen(3, 1), Err(Illegal::Refused { write: 1 }));
    assert_eq!(seen(2, 21), Err(Illegal::OtherVersion { write: 3 }));
    assert_eq!(seen(1, 10), Err(Illegal::Resurrected { delete: 2 }));
    assert_eq!(
        judge(&history, LATE, &Untroubled::default(), Seen::Absent),
        Err(Illegal::Lost { write: 3 })
    );
    let history = [write(1, 0, 1, 10), write(2, 2, 3, 20)];
    assert_eq!(
        judge(
            &history,
            LATE,
            &Untroubled::default(),
            Seen::Content { content: 1, stamp: stamp(10) }
        ),
        Err(Illegal::Stale { newer: 1 })
    );
}

#[test]
fn during_a_partition_only_ones_own_side_is_demanded() {
    let history =
        [through(0, write(1, 0, 1, 10)), through(1, write(2, 2, 3, 20)), through(1, delete(4, 5))];
    let legal =
        |read_through| legal_outcomes(&history, LATE, &Halves { history: &history, read_through });
    // Write 2, newer and on the other side, may have cleared write 1 away before the sides parted.
    assert_eq!(legal(Some(0)), (BTreeSet::from([1, 2]), true));
    // The delete certainly lies above write 2, hence above the older write 1.
    assert_eq!(legal(Some(1)), (BTreeSet::new(), true));
}

#[test]
fn what_nothing_newer_can_have_replaced_is_demanded_even_in_a_partition() {
    let history = [through(0, write(1, 0, 1, 10)), through(1, write(2, 2, 3, 5))];
    let scope = Halves { history: &history, read_through: Some(0) };
    assert_eq!(legal_outcomes(&history, LATE, &scope), (BTreeSet::from([1]), false));
    assert_eq!(judge(&history, LATE, &scope, Seen::Absent), Err(Illegal::Lost { write: 0 }));
}

#[test]
fn after_a_partition_a_delete_and_a_write_of_the_other_side_may_go_either_way() {
    let history = [through(0, write(1, 0, 1, 10)), through(1, delete(4, 5))];
    let healed = Halves { history: &history, read_through: None };
    assert_eq!(legal_outcomes(&history, LATE, &healed), (BTreeSet::from([1]), true));
}

#[test]
fn a_write_need_not_know_what_was_replaced_out_of_its_reach() {
    let known = [through(0, write(1, 0, 1, 20)), through(0, write(2, 4, 5, 10))];
    assert_eq!(out_of_order(&known, 1, &Halves { history: &known, read_through: None }), Some(0));
    let replaced = [
        through(0, write(1, 0, 1, 20)),
        through(1, write(3, 2, 3, 21)),
        through(0, write(2, 4, 5, 10)),
    ];
    assert_eq!(
        out_of_order(&replaced, 2, &Halves { history: &replaced, read_through: None }),
        None
    );
}

#[test]
fn an_acknowledged_write_that_loses_to_one_it_could_know_is_out_of_order() {
    let history = [write(1, 0, 1, 20), write(2, 2, 3, 19)];
    assert_eq!(out_of_order(&history, 1, &Untroubled::default()), Some(0));
    let history = [write(1, 0, 1, 20), delete(2, 3), write(2, 4, 5, 20)];
    assert_eq!(out_of_order(&history, 2, &Untroubled::default()), Some(0));
    let history = [write(1, 0, 9, 20), write(2, 2, 3, 19)];
    assert_eq!(out_of_order(&history, 1, &Untroubled::default()), None);
}

#[test]
fn what_was_answered_when_another_was_sent_is_before_it() {
    let history = [write(1, 195, 196, 195), delete(183, 195)];
    assert_eq!(
        judge(&history, LATE, &Untroubled::default(), Seen::Absent),
        Err(Illegal::Lost { write: 0 })
    );
    // A message takes time, so that nothing happens at the instant at which it is asked for.
    let history = [write(1, 195, 196, 195), delete(183, 196)];
    assert_eq!(judge(&history, LATE, &Untroubled::default(), Seen::Absent), Ok(()));
}

/// One register with a clock, as every correct cluster looks from outside: operations take effect at one instant after they
/// were sent, and no later than their answer (or, if their fate is unknown, at any time after sending, or never).
fn arbitrary_run() -> impl Strategy<Value = (Vec<Entry>, Option<(u32, Stamp)>)> {
    let operation = (
        0u64..200,
        1u64..40,
        0u64..40,
        any::<bool>(),
        prop_oneof![8 => Just(0u8), 1 => Just(1), 1 => Just(2)],
    );
    proptest::collection::vec(operation, 0..9).prop_map(|operations| {
        let mut effects = Vec::new();
        for (number, (sent, length, inside, is_write, fate)) in operations.into_iter().enumerate() {
            let effect = match fate {
                0 => Some(sent + inside.clamp(1, length)),
                1 => Some(sent + inside.max(1) * 7),
                _ => None,
            };
            effects.push((effect, number, sent, sent + length, is_write, fate));
        }
        effects.sort();
        let (mut history, mut state, mut version) = (Vec::new(), None, 0);
        for (effect, number, sent, ended, is_write, fate) in effects {
            let content = u32::try_from(number).expect("small");
            if let Some(effect) = effect {
                version = effect.max(version + 1);
                state = is_write.then_some((content, stamp(version)));
            }
            let outcome = if fate == 0 {
                acknowledged(is_write.then_some(version))
            } else {
                Outcome::Unknown("503".to_owned())
            };
            let act = if is_write { Act::Write { content, length: 1 } } else { Act::Delete };
            history.push(entry(act, sent, ended, outcome));
        }
        (history, state)
    })
}

proptest! {
    #[test]
    fn a_correct_cluster_is_never_accused((history, state) in arbitrary_run()) {
        let seen = state.map_or(Seen::Absent, |(content, stamp)| Seen::Content { content, stamp });
        prop_assert_eq!(judge(&history, LATE, &Untroubled::default(), seen), Ok(()));
        for number in 0..history.len() {
            prop_assert_eq!(out_of_order(&history, number, &Untroubled::default()), None);
        }
    }

    #[test]
    fn what_nobody_wrote_is_never_legal((history, _) in arbitrary_run()) {
        let seen = Seen::Content { content: 99, stamp: stamp(1) };
        prop_assert_eq!(judge(&history, LATE, &Untroubled::default(), seen), Err(Illegal::NeverWritten));
    }

    #[test]
    fn something_is_always_legal((history, _) in arbitrary_run()) {
        let (contents, absent) = legal_outcomes(&history, LATE, &Untroubled::default());
        prop_assert!(absent || !contents.is_empty());
    }
}
