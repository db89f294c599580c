//! Trapped space becomes free again: when it is looked for, and when that is over.

use std::time::Duration;

use swarm_store::{Space, Volume};

use crate::kit::{Object, PLAIN, Plan, Town, stamp, stream};

const MINUTE: Duration = Duration::from_secs(60);

/// So many parts of a hundred of what is not used can be written directly.
fn percent_free(space: Space) -> u64 {
    space.free * 100 / (space.free + space.trapped)
}

/// Stores so many objects on one volume and takes every second of them away again.
async fn riddle(town: &Town, objects: u32) -> Volume {
    let object = Object { lifepoints: &["[] reps=1"], ..PLAIN };
    for nth in 0..objects {
        town.protect(&[1], stream(nth), stamp(5), object).await;
    }
    let volume = town.volumes(1)[0].clone();
    for nth in (0..objects).step_by(2) {
        assert!(volume.remove(stream(nth), stamp(5)).await.unwrap());
    }
    volume
}

/// How do I fix trapped space?: every hour, where less than 0.8 of what is not used can be written directly.
#[test]
fn what_is_trapped_is_free_after_an_hour() {
    Plan::of(&[""]).run(|town| async move {
        let volume = riddle(&town, 80).await;
        let before = volume.space();
        assert!(percent_free(before) < 80, "{before:?}");
        town.wait(59 * MINUTE).await;
        assert_eq!(volume.space(), before, "there is room, so nobody is in a hurry");
        town.wait(2 * MINUTE).await;
        let after = volume.space();
        assert!(percent_free(after) >= 80, "{after:?}");
        assert_eq!(after.used, before.used);
        let moved = town.counted("bytes moved by defragmentation");
        assert!(moved > 0 && moved < before.used, "no more than it takes: {moved}");
        for nth in (1..80).step_by(2) {
            town.check_bodies(stream(nth), stamp(5), PLAIN.length).await;
        }
    });
}

/// What is Trapped Space in Swarm?: the less free space there is, the more urgent.
#[test]
fn where_free_space_runs_short_nobody_waits_for_the_hour() {
    Plan::of(&[""]).run(|town| async move {
        let volume = riddle(&town, 160).await;
        let before = volume.space();
        assert!(before.free < before.capacity / 5, "{before:?}");
        town.wait(MINUTE / 2).await;
        assert_eq!(volume.space(), before, "nobody has asked for room");
        town.wait(2 * MINUTE).await;
        let after = volume.space();
        assert!(percent_free(after) >= 80, "{after:?}");
        assert_eq!(after.used, before.used);
        for nth in (1..160).step_by(2) {
            town.check_bodies(stream(nth), stamp(5), PLAIN.length).await;
        }
    });
}

#[test]
fn a_volume_with_little_trapped_is_left_alone() {
    Plan::of(&[""]).run(|town| async move {
        let volume = riddle(&town, 30).await;
        let before = volume.space();
        assert!(before.trapped > 0 && percent_free(before) >= 80, "{before:?}");
        town.wait(130 * MINUTE).await;
        assert_eq!(volume.space(), before);
        assert_eq!(town.counted("bytes moved by defragmentation"), 0);
    });
}

/// In a minute clients may have filled what is left.
#[test]
fn where_room_is_asked_for_it_is_made_at_once() {
    Plan::of(&[""]).run(|town| async move {
        let volume = riddle(&town, 160).await;
        town.refuse(1);
        town.wait(MINUTE / 20).await;
        let after = volume.space();
        assert!(percent_free(after) >= 80, "{after:?}");
        // With room enough the hour counts all the same.
        for nth in (1..100).step_by(2) {
            assert!(volume.remove(stream(nth), stamp(5)).await.unwrap());
        }
        let before = volume.space();
        assert!(before.free > before.capacity / 5 && percent_free(before) < 80, "{before:?}");
        town.refuse(1);
        town.wait(10 * MINUTE).await;
        assert_eq!(volume.space(), before);
        town.wait(50 * MINUTE).await;
        assert!(percent_free(volume.space()) >= 80);
    });
}
