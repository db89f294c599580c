//! Trimming under trouble: whatever is lost, late or doubled, as many copies stay as are wanted.

use std::time::Duration;

use swarm_health::LeaveOutcome;
use swarm_plan::health::CopyForm;
use swarm_sim::DiskTrouble;

use crate::kit::{PLAIN, Plan, stamp, stream};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn trouble_with_messages_makes_copies_too_many_and_never_too_few() {
    for seed in 0..6 {
        let mut plan = Plan::of(&["", "", "", "", "", ""]);
        plan.seed = seed;
        plan.run(|town| async move {
            for nth in 0..8 {
                town.protect(&[1, 2, 3, 4, 5], stream(nth), stamp(5), PLAIN).await;
                town.guard(stream(nth), 2);
            }
            town.trouble(25, 50);
            town.wait(HOUR).await;
            // Late doubles are still on their way when the trouble ends.
            town.trouble(0, 50);
            town.rest(2 * HOUR).await;
            for nth in 0..8 {
                assert_eq!(town.holders(stream(nth), stamp(5)).len(), 2);
            }
        });
    }
}

#[test]
fn two_volumes_that_let_go_at_the_same_time_do_not_both_go() {
    Plan::of(&["", "", ""]).run(|town| async move {
        town.protect(&[1, 2, 3], stream(1), stamp(5), PLAIN).await;
        town.guard(stream(1), 2);
        let places: Vec<_> = (1..=3)
            .map(|nth| swarm_plan::health::Place {
                node: crate::kit::node(nth),
                volume: town.volumes(nth)[0].id(),
            })
            .collect();
        let orders = (1..=3u8).map(|nth| {
            let victim = town.volumes(nth)[0].id();
            let others = places.iter().copied().filter(|place| place.volume != victim).collect();
            let (id, stamp) = (stream(1), stamp(5));
            let order = swarm_health::TrimOrder { id, stamp, victim, wanted: 2, others };
            let health = town.health(nth);
            async move { health.trim_here(order).await }
        });
        let outcomes = futures_util::future::join_all(orders).await;
        let gone =
            |outcome: &&swarm_health::LeaveOutcome| **outcome == swarm_health::LeaveOutcome::Gone;
        assert!(outcomes.iter().filter(gone).count() <= 1, "{outcomes:?}");
        town.rest(HOUR).await;
        assert_eq!(town.holders(stream(1), stamp(5)).len(), 2);
    });
}

/// An order to the nth node of three to let go of what all of them hold.
fn order(town: &crate::kit::Town, nth: u8) -> swarm_health::TrimOrder {
    let others = (1..=3).filter(|other| *other != nth).map(|other| swarm_plan::health::Place {
        node: crate::kit::node(other),
        volume: town.volumes(other)[0].id(),
    });
    swarm_health::TrimOrder {
        id: stream(1),
        stamp: stamp(5),
        victim: town.volumes(nth)[0].id(),
        wanted: 2,
        others: others.collect(),
    }
}

/// What a node says of the copy that it holds.
fn told(town: &crate::kit::Town, nth: u8) -> Vec<CopyForm> {
    let whom = swarm_health::Whom::Everybody;
    let question = swarm_health::Question { id: stream(1), size: None, whom };
    let report = town.health(nth).report(&question);
    report.copies.iter().map(|copy| copy.form).collect()
}

#[test]
fn nobody_counts_on_a_copy_whose_removal_nobody_waits_for_any_more() {
    Plan::of(&["", "", ""]).run(|town| async move {
        town.protect(&[1, 2, 3], stream(1), stamp(5), PLAIN).await;
        town.guard(stream(1), 2);
        town.disk(1, Some(DiskTrouble::Stalled)).await;
        let outcome = town.health(1).trim_here(order(&town, 1)).await;
        assert_eq!(outcome, LeaveOutcome::Unknown, "its disk does not answer");
        assert_eq!(told(&town, 1), [CopyForm::Leaving], "the removal waits in the queue");
        // Two copies are wanted, and the one that may go at any moment is none of them.
        let outcome = town.health(2).trim_here(order(&town, 2)).await;
        assert_eq!(outcome, LeaveOutcome::Stays);
        town.disk(1, None).await;
        town.wait(Duration::from_secs(10)).await;
        assert_eq!(town.holders(stream(1), stamp(5)), [2, 3]);
    });
}

#[test]
fn a_copy_whose_removal_failed_counts_again_when_the_journal_is_certain_to_keep_it() {
    Plan::of(&["", "", ""]).run(|town| async move {
        town.protect(&[1, 2, 3], stream(1), stamp(5), PLAIN).await;
        town.disk(1, Some(DiskTrouble::FailingSyncs(1_000_000))).await;
        let outcome = town.health(1).trim_here(order(&town, 1)).await;
        assert_eq!(outcome, LeaveOutcome::Unknown);
        town.wait(Duration::from_secs(60)).await;
        assert_eq!(told(&town, 1), [CopyForm::Leaving], "a mount may find the removal");
        town.disk(1, None).await;
        town.wait(Duration::from_secs(10)).await;
        assert_eq!(told(&town, 1), [CopyForm::Sound]);
    });
}

#[test]
fn a_holder_goes_by_its_own_clock_and_rules() {
    Plan::of(&["", "", ""]).run(|town| async move {
        let three = crate::kit::Object { lifepoints: &["[] reps=3"], ..PLAIN };
        town.protect(&[1, 2, 3], stream(1), stamp(5), three).await;
        let others = [2, 3].map(|nth| swarm_plan::health::Place {
            node: crate::kit::node(nth),
            volume: town.volumes(nth)[0].id(),
        });
        let order = swarm_health::TrimOrder {
            id: stream(1),
            stamp: stamp(5),
            victim: town.volumes(1)[0].id(),
            wanted: 2,
            others: others.to_vec(),
        };
        let outcome = town.health(1).trim_here(order).await;
        assert_eq!(outcome, swarm_health::LeaveOutcome::Stays);
        assert_eq!(town.holders(stream(1), stamp(5)), [1, 2, 3]);
    });
}
