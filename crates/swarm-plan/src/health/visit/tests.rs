//! The table of cases, and what holds of a whole cluster that is visited again and again.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::super::testing::{Cluster, STREAM, TOMBSTONE, Volume, node, place, stamp};
use super::*;

use CopyForm::{Damaged, Leaving, Retiring, Sound};

/// The version that the cases are about.
const NOW: u64 = 5;

/// One line of the table.
struct Case {
    story: &'static str,
    /// One node each, from 10.0.0.1 on, with four volumes.
    nodes: &'static [&'static str],
    /// Node, volume, version, form. The visit is to the first of them.
    copies: &'static [(u8, u8, u64, CopyForm)],
    wanted: u32,
    expected: fn() -> Vec<Action>,
}

fn make(last: u8, why: Why) -> Action {
    Action::Make { at: node(last), why }
}

fn trims(victim: (u8, u8), wanted: u32, others: &[(u8, u8)], why: Why) -> Action {
    let others = others.iter().map(|(last, nth)| place(*last, *nth)).collect();
    Action::Trim { victim: place(victim.0, victim.1), wanted, others, why }
}

fn too_few(have: u32, wanted: u32) -> Action {
    Action::Tell(Trouble::TooFew { have, wanted })
}

const ABCD: &[&str] = &["", "", "", ""];

const CASES: &[Case] = &[
    Case {
        story: "enough copies on different nodes: nothing to do",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW, Sound)],
        wanted: 2,
        expected: Vec::new,
    },
    Case {
        story: "one copy is missing: the cheapest node that has none makes it",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![make(3, Why::Missing)],
    },
    Case {
        story: "two are missing: both are made in the same visit, each on a node of its own",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound)],
        wanted: 3,
        expected: || vec![make(3, Why::Missing), make(4, Why::Missing)],
    },
    Case {
        story: "two copies on one node count once",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (1, 2, NOW, Sound)],
        wanted: 2,
        expected: || vec![make(3, Why::Missing)],
    },
    Case {
        story: "with enough nodes served, the second copy on a node goes first",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (1, 2, NOW, Sound), (3, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![trims((1, 2), 2, &[(1, 1), (3, 1)], Why::Surplus)],
    },
    Case {
        story: "fewer nodes than copies wanted: one on each, and the operator is told",
        nodes: &["", ""],
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW, Sound)],
        wanted: 3,
        expected: || vec![too_few(2, 3)],
    },
    Case {
        story: "a copy too many: the one on the highest volume goes, and one at a time",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW, Sound), (3, 1, NOW, Sound), (4, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![trims((4, 1), 2, &[(1, 1), (2, 1), (3, 1)], Why::Surplus)],
    },
    Case {
        story: "a copy too many goes from the subcluster that has most",
        nodes: &["a", "a", "a", "b"],
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW, Sound), (4, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![trims((2, 1), 2, &[(1, 1), (4, 1)], Why::Surplus)],
    },
    Case {
        story: "all copies in one subcluster: one is made in the other before any goes",
        nodes: &["a", "a", "b", "b"],
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![make(3, Why::Spread)],
    },
    Case {
        story: "three copies over two subclusters are even two to one",
        nodes: &["a", "a", "b", "b"],
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW, Sound), (3, 1, NOW, Sound)],
        wanted: 3,
        expected: Vec::new,
    },
    Case {
        story: "a missing copy is made in the subcluster that has none, dearer or not",
        nodes: &["a", "a", "a", "b", "b"],
        copies: &[(1, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![make(4, Why::Missing)],
    },
    Case {
        story: "a damaged copy does not count: a new one comes first",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Damaged), (2, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![make(3, Why::Damaged)],
    },
    Case {
        story: "a damaged copy goes when enough sound ones have answered",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Damaged), (2, 1, NOW, Sound), (3, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![Action::DropDamaged { too_few: false }],
    },
    Case {
        story: "a damaged copy is replaced in its place where no other node can take one",
        nodes: &["", ""],
        copies: &[(1, 1, NOW, Damaged), (2, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![make(1, Why::Damaged)],
    },
    Case {
        story: "the last copy is never dropped on suspicion",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Damaged)],
        wanted: 2,
        expected: || vec![Action::Tell(Trouble::NoneSound)],
    },
    Case {
        story: "all copies damaged: all of them stay",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Damaged), (2, 1, NOW, Damaged)],
        wanted: 2,
        expected: || vec![Action::Tell(Trouble::NoneSound)],
    },
    Case {
        story: "a newer version makes this one obsolete",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW + 1, Sound)],
        wanted: 2,
        expected: || vec![Action::Supersede(Newer::Version(stamp(NOW + 1)))],
    },
    Case {
        story: "a newer version without an intact copy neither costs the older one nor has it copied",
        nodes: &["", ""],
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW + 1, Damaged)],
        wanted: 2,
        expected: || vec![Action::Tell(Trouble::NoneSound)],
    },
    Case {
        story: "a delete that was missed is made up for",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW + 1, TOMBSTONE)],
        wanted: 2,
        expected: || {
            let CopyForm::Tombstone { kind, written, .. } = TOMBSTONE else { unreachable!() };
            let stamp = stamp(NOW + 1);
            vec![Action::Supersede(Newer::Tombstone { stamp, kind, written })]
        },
    },
    Case {
        story: "an older tombstone says nothing about a newer version",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW, Sound), (3, 1, NOW - 1, TOMBSTONE)],
        wanted: 2,
        expected: Vec::new,
    },
    Case {
        story: "an older version elsewhere is no copy of this one",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW - 1, Sound)],
        wanted: 2,
        expected: || vec![make(3, Why::Missing)],
    },
    Case {
        story: "a copy on a retiring volume does not count",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW, Retiring)],
        wanted: 2,
        expected: || vec![make(3, Why::Missing)],
    },
    Case {
        story: "a retiring volume has its copies made elsewhere, and on its own node too",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Retiring), (2, 1, NOW, Sound), (3, 1, NOW, Damaged)],
        wanted: 3,
        expected: || vec![make(3, Why::Retiring), make(1, Why::Retiring)],
    },
    Case {
        story: "a retiring volume lets go when enough others have theirs",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Retiring), (2, 1, NOW, Sound), (3, 1, NOW, Sound)],
        wanted: 2,
        expected: || vec![trims((1, 1), 2, &[(2, 1), (3, 1)], Why::Retiring)],
    },
    Case {
        story: "a copy that is being let go is neither counted nor in the way of making another",
        nodes: ABCD,
        copies: &[(1, 1, NOW, Sound), (2, 1, NOW, Leaving)],
        wanted: 2,
        expected: || vec![make(3, Why::Missing)],
    },
];

#[test]
fn the_table_of_cases() {
    for Case { story, nodes, copies, wanted, expected } in CASES {
        let mut cluster = Cluster::of(nodes, 4);
        for (last, nth, ms, form) in *copies {
            let volume = cluster.volume(place(*last, *nth));
            let filed = if *form == Retiring { Sound } else { *form };
            (volume.copy, volume.retiring) = (Some((stamp(*ms), filed)), *form == Retiring);
        }
        let (last, nth, ..) = copies[0];
        assert_eq!(cluster.decide(place(last, nth), *wanted, true), expected(), "{story}");
    }
}

/// A cluster of four nodes with one volume each and two copies that hint at each other.
fn protected() -> Cluster {
    let mut cluster = Cluster::of(ABCD, 1);
    for (here, other) in [(1, 2), (2, 1)] {
        let volume = cluster.volume(place(here, 1));
        volume.copy = Some((stamp(NOW), Sound));
        volume.hints = vec![place(other, 1).volume];
    }
    cluster
}

#[test]
fn hints_that_hold_settle_a_visit() {
    assert_eq!(protected().decide(place(1, 1), 2, false), []);
}

#[test]
fn hints_never_show_a_surplus() {
    let mut cluster = protected();
    cluster.volume(place(3, 1)).copy = Some((stamp(NOW), Sound));
    cluster.volume(place(1, 1)).hints.push(place(3, 1).volume);
    assert_eq!(cluster.decide(place(1, 1), 2, false), []);
    assert!(matches!(cluster.decide(place(1, 1), 2, true)[..], [Action::Trim { .. }]));
}

#[test]
fn of_copies_too_many_the_fullest_volume_loses_its_own_unless_a_node_has_two() {
    let mut cluster = Cluster::of(ABCD, 2);
    for last in [1, 2, 3] {
        cluster.volume(place(last, 1)).copy = Some((stamp(NOW), Sound));
    }
    cluster.volume(place(2, 1)).fullness = 700;
    cluster.volume(place(3, 1)).fullness = 699;
    let goes = |victim: u8, others: &[(u8, u8)]| trims((victim, 1), 2, others, Why::Surplus);
    assert_eq!(cluster.decide(place(1, 1), 2, true), [goes(2, &[(1, 1), (3, 1)])]);
    cluster.volume(place(3, 1)).fullness = 701;
    assert_eq!(cluster.decide(place(1, 1), 2, true), [goes(3, &[(1, 1), (2, 1)])]);
    cluster.volume(place(1, 2)).copy = Some((stamp(NOW), Sound));
    let second = trims((1, 2), 2, &[(1, 1), (2, 1), (3, 1)], Why::Surplus);
    assert_eq!(cluster.decide(place(1, 1), 2, true), [second]);
}

#[test]
fn a_hint_is_no_copy() {
    let mut cluster = protected();
    cluster.volume(place(2, 1)).copy = None;
    assert_eq!(cluster.decide(place(1, 1), 2, false), [make(3, Why::Missing)]);
}

#[test]
fn an_answer_that_is_lost_makes_a_copy_too_many() {
    let mut cluster = protected();
    cluster.members.get_mut(&node(2)).expect("node 2").heard = false;
    assert_eq!(cluster.decide(place(1, 1), 2, false), [make(3, Why::Missing)]);
}

/// The decision of a visit to node 1 that waits for the volumes of these nodes.
fn decide_waiting(cluster: &Cluster, wanted: u32, away: &[u8]) -> (Vec<Action>, Vec<VolumeId>) {
    let mut survey = cluster.survey_everybody();
    survey.reports.retain(|node, _| !away.iter().any(|last| place(*last, 1).node == *node));
    let away: BTreeSet<VolumeId> = away.iter().map(|last| place(*last, 1).volume).collect();
    let takers = survey.reports.values().map(|report| (report.node, report.subcluster.clone()));
    let facts = Facts {
        id: STREAM,
        here: place(1, 1),
        stamp: stamp(NOW),
        form: Sound,
        wanted,
        survey: &survey,
        away: &away,
        takers: &takers.collect(),
    };
    let before: Vec<VolumeId> = away.iter().copied().chain([place(9, 1).volume]).collect();
    (decide(&facts), hints(&facts, &before, &away))
}

#[test]
fn a_copy_that_is_expected_back_is_not_made_anew() {
    let cluster = protected();
    assert_eq!(decide_waiting(&cluster, 2, &[2]).0, []);
    // One is waited for, another is missing.
    assert_eq!(decide_waiting(&cluster, 3, &[2]).0, [make(3, Why::Missing)]);
}

#[test]
fn a_volume_that_is_back_already_is_not_counted_as_expected_too() {
    let mut cluster = protected();
    let survey = cluster.survey_everybody();
    let away = BTreeSet::from([place(2, 1).volume]);
    let facts = Facts {
        id: STREAM,
        here: place(1, 1),
        stamp: stamp(NOW),
        form: Sound,
        wanted: 3,
        survey: &survey,
        away: &away,
        takers: &BTreeMap::new(),
    };
    assert_eq!(decide(&facts), [make(3, Why::Missing)]);
    // It is back, and its copy is not there any more.
    cluster.volume(place(2, 1)).copy = Some((stamp(NOW), Damaged));
    let survey = cluster.survey_everybody();
    assert_eq!(decide(&Facts { wanted: 2, survey: &survey, ..facts }), [make(3, Why::Missing)]);
}

#[test]
fn a_copy_that_is_expected_back_stays_remembered_while_copies_are_few() {
    let cluster = protected();
    // Volume 9/1 is there to be asked and did not answer for a copy.
    assert_eq!(decide_waiting(&cluster, 2, &[2]).1, [place(2, 1).volume]);
    assert_eq!(decide_waiting(&cluster, 1, &[2]).1, []);
    assert_eq!(decide_waiting(&cluster, 2, &[]).1, [place(2, 1).volume]);
}

#[test]
fn a_retiring_volume_waits_for_two_copies_but_not_for_more_than_can_be() {
    let mut cluster = Cluster::of(&["", ""], 1);
    for last in [1, 2] {
        cluster.volume(place(last, 1)).copy = Some((stamp(NOW), Sound));
    }
    cluster.volume(place(1, 1)).retiring = true;
    assert_eq!(cluster.decide(place(1, 1), 2, true), [too_few(1, 2)]);

    let mut cluster = Cluster::of(&["", "", ""], 1);
    for last in [1, 2, 3] {
        cluster.volume(place(last, 1)).copy = Some((stamp(NOW), Sound));
    }
    cluster.volume(place(1, 1)).retiring = true;
    let goes = trims((1, 1), 2, &[(2, 1), (3, 1)], Why::Retiring);
    assert_eq!(cluster.decide(place(1, 1), 3, true), [goes, too_few(2, 3)]);
    // Somebody has not been heard: perhaps that one can take a copy.
    cluster.members.get_mut(&node(3)).expect("node 3").heard = false;
    assert_eq!(cluster.decide(place(1, 1), 3, true), [too_few(1, 3)]);
}

#[test]
fn the_tombstone_of_an_ended_object_buries_no_newer_version() {
    let old = stamp(NOW);
    let newer_at_once = Stamp { version: Version(NOW + 1), etag: Etag::from_bytes([0; 16]) };
    assert!(ended(old) > old && ended(old) < newer_at_once);
    let last = Stamp { version: Version(NOW), etag: Etag::from_bytes([0xff; 16]) };
    assert!(ended(last) > last);
}

fn any_volume() -> impl Strategy<Value = Volume> {
    let copy = prop_oneof![
        4 => Just(None),
        6 => Just(Some((stamp(NOW), Sound))),
        2 => Just(Some((stamp(NOW), Damaged))),
        1 => Just(Some((stamp(NOW - 1), Sound))),
    ];
    (copy, any::<bool>(), 0..8u8, proptest::collection::vec((1..7u8, 1..3u8), 0..3), 0..3u16)
        .prop_map(|(copy, has_room, retiring, hints, fullness)| Volume {
            retiring: retiring == 0,
            has_room,
            copy,
            hints: hints.into_iter().map(|(last, nth)| place(last, nth).volume).collect(),
            fullness,
        })
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let node = ("[ab]", proptest::collection::vec(any_volume(), 2));
    proptest::collection::vec(node, 2..7).prop_map(|nodes| {
        let names: Vec<&str> = nodes.iter().map(|(name, _)| name.as_str()).collect();
        let mut cluster = Cluster::of(&names, 2);
        for ((_, volumes), last) in nodes.iter().zip(1u8..) {
            for (volume, nth) in volumes.iter().zip(1u8..) {
                *cluster.volume(place(last, nth)) = volume.clone();
            }
        }
        cluster
    })
}

/// Visits every copy, beginning somewhere; true if any visit acted.
fn visit_all(cluster: &mut Cluster, wanted: u32, first: usize, everybody: bool) -> bool {
    let mut places = cluster.places();
    let turn = first % places.len().max(1);
    places.rotate_left(turn);
    places.into_iter().fold(false, |acted, here| cluster.visit(here, wanted, everybody) | acted)
}

/// How many copies there can be: nodes that have one, or room for one on a volume that is not retiring.
fn possible(cluster: &Cluster, wanted: u32) -> usize {
    let able = |volume: &Volume| !volume.retiring && (volume.has_room || volume.copy.is_some());
    let nodes = cluster.members.values().filter(|member| member.volumes.values().any(able)).count();
    nodes.min(usize::try_from(wanted).expect("few"))
}

proptest! {
    /// Whatever answers are lost and in whichever order visits come, no step leaves fewer intact copies than there were,
    /// or than are wanted.
    #[test]
    fn no_visit_takes_the_copies_below_what_is_wanted(
        mut cluster in any_cluster(),
        wanted in 1..5u32,
        visits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<bool>(), any::<u8>()), 0..60),
    ) {
        let wanted_copies = usize::try_from(wanted).expect("few");
        let mut least = cluster.intact(stamp(NOW)).len().min(wanted_copies);
        for (which, everybody, heard) in visits {
            let places = cluster.places();
            if places.is_empty() {
                break;
            }
            for (nth, member) in cluster.members.values_mut().enumerate() {
                member.heard = heard & (1 << nth) != 0;
            }
            cluster.visit(places[which.index(places.len())], wanted, everybody);
            let now = cluster.intact(stamp(NOW)).len().min(wanted_copies);
            // A retiring volume may go down to two where no more can be had.
            let floor = if cluster.members.values().flat_map(|member| member.volumes.values()).any(|volume| volume.retiring) {
                least.min(2)
            } else {
                least
            };
            prop_assert!(now >= floor, "{now} copies left of {least}");
            least = now;
        }
    }

    /// Undisturbed visits end with exactly what is wanted, or one copy on each node that can have one; then a further
    /// round finds nothing to do.
    #[test]
    fn visits_end_with_what_is_wanted_and_then_find_nothing(
        mut cluster in any_cluster(), wanted in 1..5u32, turns in proptest::collection::vec(any::<usize>(), 12),
    ) {
        let before = cluster.intact(stamp(NOW)).len();
        for turn in turns {
            visit_all(&mut cluster, wanted, turn, true);
        }
        prop_assert!(!visit_all(&mut cluster, wanted, 0, true), "a further round still acts");
        let places = cluster.intact(stamp(NOW));
        prop_assert_eq!(before == 0, places.is_empty());
        if before == 0 {
            return Ok(());
        }
        let on_retiring = |at: &&Place| cluster.members[&at.node].volumes[&at.volume].retiring;
        let good: Vec<&Place> = places.iter().filter(|at| !on_retiring(at)).collect();
        let nodes: BTreeSet<NodeId> = good.iter().map(|at| at.node).collect();
        prop_assert_eq!(nodes.len(), possible(&cluster, wanted));
        if nodes.len() == usize::try_from(wanted).expect("few") {
            // No second copies on a node, no copies on retiring volumes, no damaged ones, no older versions.
            prop_assert_eq!(cluster.places().len(), nodes.len());
        }
    }

    /// A second look at what the first has put right finds nothing to do, wherever it looks from. The first takes three rounds:
    /// copies are made before others may go, and a visit that finds that its own has to go leaves the rest to the next. Where
    /// visits ask those of whom they were told, and everybody only if that does not settle it, what is newer is found out one
    /// after the other, which takes a few rounds more.
    #[test]
    fn a_second_plan_after_the_first_finds_nothing(
        mut cluster in any_cluster(), wanted in 1..5u32, everybody: bool, turns in any::<[usize; 8]>(),
    ) {
        for turn in &turns[..if everybody { 3 } else { 8 }] {
            visit_all(&mut cluster, wanted, *turn, everybody);
        }
        for here in cluster.places() {
            let actions = cluster.decide(here, wanted, everybody);
            let tells = actions.iter().all(|action| matches!(action, Action::Tell(_)));
            prop_assert!(tells, "{here:?}: {actions:?}");
        }
    }
}
