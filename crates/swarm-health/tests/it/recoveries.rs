//! Lost volumes: when they are recovered, by whom, and when not.

use std::time::Duration;

use swarm_plan::health::recovery::Standing;

use crate::kit::{PLAIN, Plan, Town, stamp, stream};

const FIVE: &[&str] = &["", "", "", "", ""];
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A cycle so long that only recoveries act.
fn slow(nodes: &'static [&'static str]) -> Plan {
    let mut plan = Plan::of(nodes);
    plan.settings.cycle_time = 1000 * HOUR;
    plan
}

/// So many objects, each on node 1 and on one other.
async fn fill(town: &Town, objects: u32) {
    let others = u32::try_from(FIVE.len() - 1).unwrap();
    for nth in 0..objects {
        let other = u8::try_from(2 + nth % others).unwrap();
        town.protect(&[1, other], stream(nth), stamp(5), PLAIN).await;
    }
}

fn protected(town: &Town, objects: u32) -> usize {
    let two = |nth: &u32| {
        let holders = town.holders(stream(*nth), stamp(5));
        holders.len() == 2 && holders[0] != holders[1]
    };
    (0..objects).filter(two).count()
}

#[test]
fn what_was_on_a_lost_volume_is_made_anew_once() {
    slow(FIVE).run(|town| async move {
        fill(&town, 40).await;
        town.down(1, Standing::Lost);
        town.wait(5 * MINUTE).await;
        assert_eq!(protected(&town, 40), 40);
        assert_eq!(town.counted("copies made"), 40);
        assert_eq!(town.counted("recoveries completed"), 4);
        for nth in 0..40 {
            town.check_bodies(stream(nth), stamp(5), PLAIN.length).await;
        }
    });
}

#[test]
fn holders_that_share_a_loss_do_not_all_make_the_same_copy() {
    slow(FIVE).run(|town| async move {
        for nth in 0..20 {
            let three = crate::kit::Object { lifepoints: &["[] reps=4"], ..PLAIN };
            town.protect(&[1, 2, 3, 4], stream(nth), stamp(5), three).await;
        }
        town.down(1, Standing::Lost);
        town.wait(5 * MINUTE).await;
        for nth in 0..20 {
            assert_eq!(town.holders(stream(nth), stamp(5)), [2, 3, 4, 5]);
        }
        assert_eq!(town.counted("copies made"), 20);
    });
}

#[test]
fn a_node_in_maintenance_is_waited_for_by_recovery_and_by_the_walk() {
    Plan::of(FIVE).run(|town| async move {
        fill(&town, 20).await;
        town.down(1, Standing::Away);
        town.wait(HOUR).await;
        assert_eq!(town.counted("copies made"), 0);
        assert!(town.is_quiet_for(2));
        town.up(1);
        town.rest(HOUR).await;
        assert_eq!((town.counted("copies made"), protected(&town, 20)), (0, 20));
    });
}

#[test]
fn recovery_stops_when_the_volume_is_back_and_the_surplus_goes() {
    let mut plan = Plan::of(FIVE);
    plan.settings.recovery_share_percent = 1;
    plan.run(|town| async move {
        fill(&town, 60).await;
        town.down(1, Standing::Lost);
        town.wait(Duration::from_secs(12)).await;
        town.up(1);
        let made = town.counted("copies made");
        assert!(made > 0 && made < 60, "{made} made");
        for nth in 0..60 {
            town.guard(stream(nth), 2);
        }
        town.rest(4 * HOUR).await;
        assert_eq!(protected(&town, 60), 60);
        assert_eq!(town.counted("recoveries given up"), 4);
    });
}

#[test]
fn a_disk_that_is_pulled_is_recovered_and_pushed_in_elsewhere_it_counts_again() {
    Plan::of(FIVE).run(|town| async move {
        fill(&town, 20).await;
        let disk = town.pull(1, 0);
        town.wait(5 * MINUTE).await;
        assert_eq!(protected(&town, 20), 20);
        // Into a node that has copies of its own: two of them on one node count once, and the second goes.
        town.insert(2, disk);
        for nth in 0..20 {
            town.guard(stream(nth), 2);
        }
        town.rest(4 * HOUR).await;
        assert_eq!(protected(&town, 20), 20);
    });
}

#[test]
fn with_every_copy_lost_nothing_is_invented() {
    slow(FIVE).run(|town| async move {
        town.protect(&[1, 2], stream(1), stamp(5), PLAIN).await;
        town.down(1, Standing::Lost);
        town.down(2, Standing::Lost);
        town.wait(5 * MINUTE).await;
        assert!(town.filed(stream(1)).is_empty());
    });
}

#[test]
fn whoever_knows_better_does_not_follow_an_announcement() {
    slow(FIVE).run(|town| async move {
        fill(&town, 8).await;
        let volume = town.volumes(1)[0].id();
        let cause = swarm_health::RecoveryCause::Lost;
        town.health(2).announced(swarm_health::Recovery { volume, cause });
        town.wait(MINUTE).await;
        assert_eq!(town.counted("recoveries begun"), 0);
    });
}
