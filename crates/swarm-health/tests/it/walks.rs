//! The walk itself: its pace, and what a harness sees of it.

use std::time::Duration;

use crate::kit::{Object, PLAIN, Plan, stamp, stream, tombstone};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn every_stream_is_visited_once_in_a_cycle_evenly_over_its_time() {
    let mut plan = Plan::of(&["", "", ""]);
    plan.settings.cycle_time = 6 * HOUR;
    plan.run(|town| async move {
        let small = Object { length: 100, ..PLAIN };
        for nth in 0..300 {
            town.protect(&[1, 2], stream(nth), stamp(5), small).await;
        }
        town.wait(3 * HOUR).await;
        let half = town.counted("visits");
        assert!((200..400).contains(&half), "{half} of 600 in half a cycle");
        // The nodes have begun up to a beat after each other.
        town.wait(3 * HOUR + HOUR / 2).await;
        let all = town.counted("visits");
        assert!((600..700).contains(&all), "{all} of 600 in one cycle");
        let volume = town.volumes(1)[0].id();
        let walks = town.health(1).status().volumes[&volume];
        assert_eq!((walks.cycles, walks.quiet_cycles), (1, 1));
        let last = walks.last.unwrap();
        assert!(last >= 6 * HOUR - HOUR / 5 && last < 7 * HOUR, "{last:?}");
    });
}

#[test]
fn a_volume_is_not_visited_more_often_than_its_most_in_a_second() {
    let mut plan = Plan::of(&["", "", ""]);
    plan.settings.cycle_time = Duration::from_secs(1);
    plan.settings.visits_per_second = 2;
    plan.run(|town| async move {
        let small = Object { length: 100, ..PLAIN };
        for nth in 0..60 {
            town.protect(&[1, 2], stream(nth), stamp(5), small).await;
        }
        let before = town.counted("visits");
        town.wait(Duration::from_secs(60)).await;
        let visits = town.counted("visits") - before;
        // Two volumes; the pace is kept, not just not exceeded.
        assert!((200..=244).contains(&visits), "{visits} visits in a minute");
    });
}

#[test]
fn an_action_ends_the_quiet() {
    Plan::of(&["", "", ""]).run(|town| async move {
        town.protect(&[1, 2], stream(1), stamp(5), PLAIN).await;
        town.rest(HOUR).await;
        let before = town.health(1).status().actions;
        town.put((3, 0), stream(1), stamp(5), PLAIN).await;
        town.wait(Duration::from_secs(1200)).await;
        let actions: u64 = (1..=3).map(|nth| town.health(nth).status().actions).sum();
        assert!(actions > before);
        assert!(!town.is_quiet_for(2), "the surplus copy went just now");
        town.rest(HOUR).await;
    });
}

#[test]
fn an_empty_volume_has_cycles_too() {
    Plan::of(&[""]).run(|town| async move {
        town.rest(HOUR).await;
        assert_eq!(town.counted("visits"), 0);
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let mut plan = Plan::of(&["a", "a", "b"]);
        plan.seed = seed;
        plan.run(|town| async move {
            for nth in 0..10 {
                town.protect(&[1, 2, 3], stream(nth), stamp(5), PLAIN).await;
            }
            town.trouble(20, 20);
            town.wait(HOUR).await;
            let counters = (1..=3).map(|nth| town.health(nth).status());
            format!("{:?}", counters.collect::<Vec<_>>())
        })
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

const CYCLE: Duration = Duration::from_secs(600);

#[test]
fn a_volume_that_was_away_has_caught_up_when_a_walk_that_began_after_its_mount_is_over() {
    Plan::of(&["", "", ""]).run(|town| async move {
        for nth in 0..20 {
            town.protect(&[1, 2], stream(nth), stamp(5), PLAIN).await;
        }
        // The walk that is under way is nearly over; it has not seen what is missed from now on.
        town.wait(CYCLE * 5 / 6).await;
        town.remount(1).await;
        let is_behind = || town.volumes(1)[0].behind_since().is_some();
        assert!(is_behind());
        town.wait(CYCLE * 5 / 6).await;
        assert!(is_behind(), "only a part of it was compared with the others");
        town.wait(CYCLE / 2).await;
        assert!(!is_behind());
        assert_eq!(town.volumes(2)[0].behind_since(), None, "it was new when it was mounted");
    });
}

#[test]
fn a_walk_during_which_others_do_not_answer_does_not_make_up_for_anything() {
    Plan::of(&["", "", ""]).run(|town| async move {
        town.protect(&[1, 2], stream(1), stamp(5), PLAIN).await;
        town.remount(1).await;
        town.trouble(100, 0);
        town.wait(CYCLE * 3).await;
        assert!(town.health(1).status().volumes[&town.volumes(1)[0].id()].cycles > 0);
        assert!(town.volumes(1)[0].behind_since().is_some());
        town.trouble(0, 0);
        town.wait(CYCLE * 3).await;
        assert_eq!(town.volumes(1)[0].behind_since(), None);
    });
}

/// Their hints name each other, so that neither would ask the one who knows of the delete.
#[test]
fn volumes_that_were_away_together_do_not_vouch_for_each_other() {
    let mut plan = Plan::of(&["", "", ""]);
    plan.settings.multicast_percent = 0;
    plan.run(|town| async move {
        town.protect(&[1, 2], stream(1), stamp(5), PLAIN).await;
        town.wait(CYCLE * 3).await;
        let deleted = tombstone(stamp(6), town.env().wall());
        town.volumes(3)[0].bury(stream(1), deleted).await.unwrap();
        town.remount(1).await;
        town.remount(2).await;
        town.wait(CYCLE * 3).await;
        for nth in [1, 2] {
            assert_eq!(town.volumes(nth)[0].behind_since(), None);
            let left = town.volumes(nth)[0].find(stream(1));
            assert!(left.is_none_or(|record| record.is_tombstone()), "on node {nth}");
        }
    });
}
