//! Which replica does the work, and how the others learn of it.

use std::sync::Arc;

use swarm_types::FeedId;

use crate::kit::{
    Asked, HOUR, MINUTE, Mood, Plan, SECOND, Town, object, stamp, stream, to, tombstone, volume,
};
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::{FeedSettings, Filed};
use swarm_types::FeedOutcome;

fn all_done(town: &Town, nodes: &[usize], nth: u32) -> bool {
    nodes.iter().all(|node| {
        let slot = town.shelf(*node, 1).slot(stream(nth), 0);
        slot.is_some_and(|slot| slot.outcome == FeedOutcome::Success)
    })
}

#[test]
fn the_bytes_cross_once_and_the_others_hear_of_it() {
    Plan::of(3).run(|town| async move {
        town.create(to("west"));
        for nth in 0..30 {
            let nodes = [[1, 2], [2, 3], [3, 1]][nth as usize % 3];
            town.write(&nodes, &object(stream(nth), stamp(1_000)));
        }
        town.rest(3 * SECOND).await;
        let west = town.west();
        assert_eq!((west.held(), west.asked(Asked::Write), west.asked(Asked::Probe)), (30, 30, 0));
        for call in west.calls().iter().filter(|call| call.asked == Asked::Write) {
            let first = (0..30).find(|nth| stream(*nth) == call.id).unwrap() as usize % 3 + 1;
            assert_eq!(call.node, first, "the replica that goes first goes");
        }
        assert!((0..30).all(|nth| all_done(
            &town,
            &[[1, 2], [2, 3], [3, 1]][nth as usize % 3],
            nth
        )));
        // The date is that of the node that did it.
        let [one, two] = [1, 2].map(|node| town.shelf(node, 1).slot(stream(0), 0).unwrap());
        assert_eq!(one, two);
    });
}

/// Who remembers a delete nobody knows; all are told, so that many deletes are no backlog for five minutes.
#[test]
fn whoever_remembers_a_delete_hears_what_came_of_it() {
    Plan::of(3).run(|town| async move {
        town.create(to("west"));
        (0..30).for_each(|nth| town.write(&[1, 2], &object(stream(nth), stamp(1_000))));
        town.rest(5 * SECOND).await;
        for nth in 0..30 {
            for node in [1, 2] {
                let deleted = tombstone(stream(nth), stamp(2_000));
                let deleted = Filed { first: node == 1, ..deleted };
                let brief = deleted.brief();
                town.shelf(node, 1).put(deleted);
                town.feeds(node).filed(brief);
            }
        }
        town.rest(5 * SECOND).await;
        assert!((0..30).all(|nth| all_done(&town, &[1, 2], nth)));
        assert_eq!(town.west().asked(Asked::Delete), 30);
    });
}

#[test]
fn who_has_not_heard_asks_when_the_hold_off_is_over() {
    Plan::of(2).run(|town| async move {
        town.create(to("west"));
        town.set_deaf(true);
        (0..10).for_each(|nth| town.write(&[1, 2], &object(stream(nth), stamp(1_000))));
        town.wait(MINUTE).await;
        town.set_deaf(false);
        assert!((0..10).all(|nth| all_done(&town, &[1], nth) && !all_done(&town, &[2], nth)));
        let (id, stamp) = (stream(3), stamp(1_000));
        let here = town.feeds(2).status(id, stamp)[&FeedId(0)];
        assert_eq!((here.status, here.at), (1, None));
        let there = town.feeds(1).status(id, stamp)[&FeedId(0)];
        assert_eq!(town.feeds(2).status_everywhere(id, stamp).await[&FeedId(0)], there);
        assert_eq!(there.status, 0);
        town.wait(3 * MINUTE).await;
        assert!(!all_done(&town, &[2], 0), "not before its time");
        town.rest(90 * SECOND).await;
        assert!((0..10).all(|nth| all_done(&town, &[2], nth)));
        assert_eq!((town.west().asked(Asked::Write), town.west().asked(Asked::Probe)), (10, 0));
    });
}

#[test]
fn who_starts_anew_asks_the_others_what_came_of_what_waits() {
    Plan::of(2).run(|town| async move {
        town.create(to("west"));
        town.set_deaf(true);
        (0..10).for_each(|nth| town.write(&[1, 2], &object(stream(nth), stamp(1_000))));
        town.wait(MINUTE).await;
        town.set_deaf(false);
        assert!((0..10).all(|nth| all_done(&town, &[1], nth) && !all_done(&town, &[2], nth)));
        let again = town.start(2, town.feeds(2).table(), FeedSettings::default());
        town.wait(5 * SECOND).await;
        assert!((0..10).all(|nth| all_done(&town, &[2], nth)));
        assert_eq!((town.west().asked(Asked::Write), town.west().asked(Asked::Probe)), (10, 0));
        drop(again);
    });
}

#[test]
fn nobody_waits_for_the_dead_and_who_hears_nothing_asks_the_target() {
    Plan::of(3).run(|town| async move {
        town.create(to("west"));
        town.wait(SECOND).await;
        town.down(1);
        (0..10).for_each(|nth| town.write(&[1, 2, 3], &object(stream(nth), stamp(1_000))));
        town.wait(4 * MINUTE).await;
        assert_eq!(town.west().held(), 0);
        town.wait(2 * MINUTE).await;
        assert_eq!(town.west().held(), 10);
        assert!((0..10).all(|nth| all_done(&town, &[2, 3], nth)));
        let (writes, probes) = (town.west().asked(Asked::Write), town.west().asked(Asked::Probe));
        assert_eq!((writes, probes), (10, 10), "one of the two did it, and told the other");
    });
}

#[test]
fn who_goes_first_and_cannot_is_waited_for_but_not_for_ever() {
    Plan::of(2).run(|town| async move {
        town.create(to("west"));
        town.wait(SECOND).await;
        // The first node cannot work, but answers its neighbours.
        town.set_may(1, swarm_feeds::MayWork::Paused);
        town.write(&[1, 2], &object(stream(1), stamp(1_000)));
        town.wait(19 * MINUTE).await;
        assert_eq!(town.west().held(), 0, "it says that it will");
        town.wait(10 * MINUTE).await;
        assert_eq!(town.west().held(), 1);
        assert!(all_done(&town, &[1, 2], 1), "and is told");
    });
}

#[test]
fn a_new_feed_over_what_is_there_sends_each_object_once() {
    Plan::of(3).run(|town| async move {
        // More than the walk may bring at a time, replicas that have to wait among them.
        for nth in 0..3_000 {
            let nodes = [[1, 2], [2, 3], [3, 1]][nth as usize % 3];
            town.write(&nodes, &object(stream(nth), stamp(1_000)));
        }
        town.create(to("west"));
        town.wait(MINUTE).await;
        assert_eq!((town.west().held(), town.west().asked(Asked::Write)), (3_000, 3_000));
        town.rest(6 * MINUTE).await;
        assert_eq!((town.west().asked(Asked::Write), town.west().asked(Asked::Probe)), (3_000, 0));
    });
}

#[test]
fn replicas_of_which_none_goes_first_find_their_way() {
    Plan::of(2).run(|town| async move {
        for node in [1, 2] {
            for nth in 0..50 {
                let holders = vec![volume(3 - node, 1)];
                let filed = Filed { first: false, holders, ..object(stream(nth), stamp(1_000)) };
                town.shelf(node, 1).put(filed);
            }
        }
        town.create(to("west"));
        town.wait(4 * MINUTE).await;
        assert_eq!(town.west().held(), 0);
        town.rest(7 * MINUTE).await;
        assert_eq!(town.west().held(), 50);
        assert!((0..50).all(|nth| all_done(&town, &[1, 2], nth)));
    });
}

#[test]
fn a_copy_that_health_makes_asks_and_a_replica_that_is_told_to_goes_first() {
    Plan::of(3).run(|town| async move {
        town.create(to("west"));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.rest(5 * SECOND).await;
        let holders = vec![volume(1, 1)];
        let copy = Filed { first: false, holders, ..object(stream(1), stamp(1_000)) };
        town.shelf(2, 1).put(copy.clone());
        town.feeds(2).filed(copy.brief());
        town.rest(6 * MINUTE).await;
        assert!(all_done(&town, &[2], 1));
        assert_eq!((town.west().asked(Asked::Write), town.west().asked(Asked::Probe)), (1, 0));
        // One that brought its outcome along waits for nothing.
        let moved = town.shelf(2, 1).all()[0].clone();
        town.shelf(3, 1).put(moved.clone());
        town.feeds(3).filed(moved.brief());
        town.rest(SECOND).await;

        // The coordinator finds that the node which was to go first has failed.
        let second = Filed { first: false, ..object(stream(2), stamp(1_000)) };
        town.shelf(2, 1).put(second.clone());
        town.feeds(2).filed(second.brief());
        town.wait(SECOND).await;
        town.feeds(2).filed(swarm_feeds::Brief { first: true, ..second.brief() });
        town.wait(SECOND).await;
        assert!(town.west().holds(stream(2)).is_some(), "it does not wait");
    });
}

/// How a second copy comes to a node that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    /// It is made of the first.
    Copied,
    /// It is stored as a new one is, by who goes first.
    Stored,
    /// A disk that has it is plugged in, and a walk finds it.
    Mounted,
}

/// A second copy comes to the node of a replica, and then the first is taken away, or not.
#[test]
fn a_copy_on_another_volume_learns_what_came_of_what_was_under_way() {
    for second in [Second::Copied, Second::Stored, Second::Mounted] {
        for (taken_away, during) in [(false, true), (true, true), (false, false)] {
            learns_what_came_of_it(second, taken_away, during);
        }
    }
}

fn learns_what_came_of_it(second: Second, taken_away: bool, during: bool) {
    let plan = Plan { volumes: 2, ..Plan::of(1) };
    plan.run(move |town| async move {
        town.create(to("west"));
        town.west().set_mood(Mood::Fine(10 * SECOND));
        let is_plugged_in = second != Second::Mounted;
        let other = if is_plugged_in { town.shelf(1, 2) } else { town.pull(1, 2) };
        let filed = object(stream(1), stamp(1_000));
        town.write(&[1], &filed);
        let is_asked = || town.west().asked(Asked::Write) == 1;
        town.until(MINUTE, "a transfer", is_asked).await;
        if !during {
            town.until(MINUTE, "its end", || all_done(&town, &[1], 1)).await;
        }
        assert_eq!(all_done(&town, &[1], 1), !during);
        let copy = Filed { first: second == Second::Stored, ..filed };
        other.put(copy.clone());
        if is_plugged_in {
            town.feeds(1).filed(copy.brief());
        } else {
            town.insert(1, Arc::clone(&other));
        }
        town.wait(SECOND).await;
        if taken_away {
            town.pull(1, 1);
        }
        town.rest(10 * MINUTE).await;
        let slot = other.slot(stream(1), 0).expect("its outcome");
        assert_eq!(slot.outcome, FeedOutcome::Success, "{second:?}");
        // Who goes first does not ask before, and what the first copy knew has gone with it.
        let writes = if second == Second::Stored && taken_away { 2 } else { 1 };
        assert_eq!(town.west().asked(Asked::Write), writes, "{second:?}");
        assert_eq!(town.west().holds(stream(1)), Some((stamp(1_000), false)));
    });
}

#[test]
fn a_node_that_cannot_reach_the_target_is_relieved_by_one_that_can() {
    Plan::of(2).run(|town| async move {
        let id = town.create(to("west"));
        town.wait(SECOND).await;
        town.west().set_mood_of(1, Mood::Trouble(TargetTrouble::Silent));
        (0..10).for_each(|nth| town.write(&[1, 2], &object(stream(nth), stamp(1_000))));
        town.wait(25 * MINUTE).await;
        assert_eq!(town.west().held(), 10);
        assert!((0..10).all(|nth| all_done(&town, &[1, 2], nth)));
        assert_eq!(town.feeds(1).stats()[&id].gauges.success, 10);
        assert_eq!(id, FeedId(0));
        town.rest(HOUR).await;
    });
}
