//! Retiring volumes: emptied into the cluster, never below what is wanted.

use std::time::Duration;

use swarm_plan::membership::VolumeState;
use swarm_store::{Retire, RetireCause, RetirePace, Service};
use swarm_types::Timestamp;

use crate::kit::{PLAIN, Plan, stamp, stream, tombstone};

const HOUR: Duration = Duration::from_secs(3600);

fn retire(pace: RetirePace) -> Service {
    Service::Retiring(Retire { cause: RetireCause::ByHand, pace, since: Timestamp(0) })
}

#[test]
fn a_slow_retire_is_done_by_the_walk() {
    Plan::of(&["", "", "", ""]).run(|town| async move {
        for nth in 0..20 {
            town.protect(&[1, 2], stream(nth), stamp(5), PLAIN).await;
            town.guard(stream(nth), 2);
        }
        town.serve(1, 0, retire(RetirePace::Slow)).await;
        town.wait(2 * HOUR).await;
        assert_eq!(town.state(1, 0), VolumeState::Retired);
        assert!(matches!(town.volumes(1)[0].service(), Service::Retired(_)));
        for nth in 0..20 {
            let holders = town.holders(stream(nth), stamp(5));
            assert!(holders.len() == 2 && !holders.contains(&1), "{holders:?}");
        }
        town.rest(HOUR).await;
    });
}

#[test]
fn a_fast_retire_does_not_wait_for_the_walk_and_is_helped() {
    let mut plan = Plan::of(&["", "", "", "", ""]);
    plan.settings.cycle_time = 1000 * HOUR;
    plan.run(|town| async move {
        for nth in 0..40 {
            let other = u8::try_from(2 + nth % 4).unwrap();
            town.protect(&[1, other], stream(nth), stamp(5), PLAIN).await;
            town.guard(stream(nth), 2);
        }
        town.serve(1, 0, retire(RetirePace::Fast)).await;
        town.wait(HOUR / 4).await;
        assert_eq!(town.state(1, 0), VolumeState::Retired);
        for nth in 0..40 {
            let holders = town.holders(stream(nth), stamp(5));
            assert!(holders.len() == 2 && !holders.contains(&1), "{holders:?}");
        }
        // The holders elsewhere have made copies too, and none was made twice.
        assert_eq!(town.counted("copies made"), 40);
        assert!(town.counted("recoveries begun") >= 4);
    });
}

#[test]
fn a_volume_that_retires_to_nowhere_keeps_what_it_has() {
    Plan::of(&["", ""]).run(|town| async move {
        town.protect(&[1, 2], stream(1), stamp(5), PLAIN).await;
        town.guard(stream(1), 2);
        town.serve(1, 0, retire(RetirePace::Slow)).await;
        town.wait(2 * HOUR).await;
        assert_eq!(town.state(1, 0), VolumeState::Retiring);
        assert_eq!(town.filed(stream(1)).len(), 2);
        // Cancelled, it counts again.
        town.serve(1, 0, Service::InService).await;
        town.rest(HOUR).await;
        assert_eq!(town.holders(stream(1), stamp(5)), [1, 2]);
    });
}

#[test]
fn a_retiring_volume_hands_its_tombstones_on() {
    Plan::of(&["", "", ""]).run(|town| async move {
        town.env().sleep(Duration::from_secs(1)).await;
        let delete = tombstone(stamp(6), town.env().wall());
        town.volumes(1)[0].bury(stream(1), delete).await.unwrap();
        town.serve(1, 0, retire(RetirePace::Fast)).await;
        town.wait(HOUR).await;
        assert_eq!(town.state(1, 0), VolumeState::Retired);
        let filed = town.filed(stream(1));
        let nodes: Vec<u8> = filed.iter().map(|(nth, ..)| *nth).collect();
        assert_eq!(nodes, [2, 3]);
        assert!(filed.iter().all(|(.., record)| record.is_tombstone()));
    });
}

/// Two nodes are left, and each has a volume that retires: what stays in service on both remembers the delete.
#[test]
fn a_retiring_volume_hands_its_tombstones_to_another_of_its_node_where_others_are_too_few() {
    let plan = Plan { volumes: 2, ..Plan::of(&["", ""]) };
    plan.run(|town| async move {
        town.env().sleep(Duration::from_secs(1)).await;
        for node in [1, 2] {
            let delete = tombstone(stamp(6), town.env().wall());
            town.volumes(node)[0].bury(stream(1), delete).await.unwrap();
            town.serve(node, 0, retire(RetirePace::Fast)).await;
        }
        town.wait(HOUR).await;
        for node in [1, 2] {
            assert_eq!(town.state(node, 0), VolumeState::Retired);
        }
        let filed = town.filed(stream(1));
        let nodes: Vec<u8> = filed.iter().map(|(nth, ..)| *nth).collect();
        assert_eq!(nodes, [1, 2]);
        assert!(filed.iter().all(|(.., record)| record.is_tombstone()));
    });
}

#[test]
fn a_retiring_volume_hands_on_an_old_delete_that_a_feed_still_needs() {
    let mut plan = Plan::of(&["", "", ""]);
    plan.settings.obsolete_timeout = HOUR;
    plan.run(|town| async move {
        town.env().sleep(Duration::from_secs(1)).await;
        town.feed_needs_deletes();
        let delete = tombstone(stamp(6), town.env().wall());
        town.volumes(1)[0].bury(stream(1), delete).await.unwrap();
        town.wait(3 * HOUR).await;
        assert_eq!(town.filed(stream(1)).len(), 1, "it is old, and kept for the feed");
        town.serve(1, 0, retire(RetirePace::Fast)).await;
        town.wait(HOUR).await;
        assert_eq!(town.state(1, 0), VolumeState::Retired);
        let nodes: Vec<u8> = town.filed(stream(1)).iter().map(|(nth, ..)| *nth).collect();
        assert_eq!(nodes, [2, 3]);
    });
}
