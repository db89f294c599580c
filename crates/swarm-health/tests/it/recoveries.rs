//! Lost volumes: when they are recovered, by whom, and when not.

use std::time::Duration;

use swarm_plan::health::recovery::Standing;
use swarm_sim::DiskTrouble;
use swarm_types::StreamId;

use crate::kit::{Object, PLAIN, Plan, Town, stamp, stream};

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

/// How long it takes, from the first node that begins to the last that is done, where node 2 has the other copies of twenty
/// objects that were on node 1, among so many that lack nothing.
fn recovery_among(others: u32) -> Duration {
    slow(FIVE).run(move |town| async move {
        for nth in 0..20 {
            town.protect(&[1, 2], stream(nth), stamp(5), SMALL).await;
        }
        for nth in 20..20 + others {
            town.protect(&[2, 3], stream(nth), stamp(5), SMALL).await;
        }
        let (request, bandwidth) = (Duration::from_millis(5), 10_000_000);
        for nth in 2..=5 {
            let slow = DiskTrouble::Slow { request, bandwidth, over: Duration::ZERO };
            town.disk(nth, Some(slow)).await;
        }
        town.down(1, Standing::Lost);
        let counts = async |what: &str, least: u64| {
            while town.counted(what) < least {
                town.env().sleep(Duration::from_millis(1)).await;
            }
            town.env().now()
        };
        let begun = counts("recoveries begun", 1).await;
        let done = counts("recoveries completed", 4).await;
        assert_eq!((town.counted("copies made"), protected(&town, 20)), (20, 20));
        done.since(begun)
    })
}

#[test]
fn a_loss_that_many_share_is_recovered_at_the_pace_of_what_was_lost() {
    let (dense, thin) = (recovery_among(0), recovery_among(1_280));
    assert!(thin < dense * 3 / 2, "{dense:?} alone, {thin:?} with one in a page");
}

#[test]
fn holders_that_share_a_loss_do_not_all_make_the_same_copy() {
    slow(FIVE).run(|town| async move {
        for nth in 0..20 {
            let three = Object { lifepoints: &["[] reps=4"], ..PLAIN };
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

/// Objects so small that hundreds of them fit.
const SMALL: Object<'static> = Object { length: 1000, ..PLAIN };
/// So many of them that it takes minutes to recover them at the least share.
const MANY: u32 = 3_000;

/// A town whose recoveries take their time.
fn leisurely() -> Plan {
    let mut plan = slow(FIVE);
    plan.settings.recovery_share_percent = 1;
    plan
}

/// Many objects on a node, each with a second copy on node 3, 4, or 5.
async fn fill_many(town: &Town, on: u8) {
    for nth in 0..MANY {
        let other = u8::try_from(3 + nth % 3).unwrap();
        town.protect(&[on, other], stream(nth), stamp(5), SMALL).await;
    }
}

/// A stream that a recovery comes to before all of [`stream`].
fn early(nth: u8) -> StreamId {
    let mut bytes = [0; 16];
    bytes[15] = nth;
    StreamId::from_bytes(bytes)
}

/// A few objects on a node and on node 3, at the front.
async fn fill_early(town: &Town, on: u8) {
    for nth in 0..4 {
        town.protect(&[on, 3], early(nth), stamp(5), SMALL).await;
    }
}

/// How many of them have two copies.
fn early_protected(town: &Town) -> usize {
    (0..4).filter(|nth| town.holders(early(*nth), stamp(5)).len() == 2).count()
}

#[test]
fn a_second_loss_does_not_wait_for_the_end_of_the_first_recovery() {
    leisurely().run(|town| async move {
        fill_many(&town, 1).await;
        fill_early(&town, 2).await;
        town.down(1, Standing::Lost);
        town.wait(Duration::from_secs(15)).await;
        assert!(town.health(3).is_recovering());
        town.down(2, Standing::Lost);
        // The next look, and the long rest after visits that had waited for the node that fell silent.
        town.wait(Duration::from_secs(35)).await;
        assert_eq!(early_protected(&town), 4);
        let done = protected(&town, MANY);
        assert!(done < 2_500, "{done}: the first is long not over");
        town.wait(30 * MINUTE).await;
        assert_eq!(
            protected(&town, MANY),
            usize::try_from(MANY).unwrap(),
            "and it is not forgotten"
        );
        assert!(!town.health(3).is_recovering());
        assert!(town.counted("recoveries widened") >= 1);
    });
}

#[test]
fn a_volume_that_returns_during_another_recovery_and_is_lost_again_is_recovered_again() {
    leisurely().run(|town| async move {
        town.protect(&[1, 4], early(9), stamp(5), SMALL).await;
        fill_many(&town, 2).await;
        town.down(1, Standing::Lost);
        town.wait(MINUTE).await;
        assert_eq!(town.holders(early(9), stamp(5)).len(), 2, "recovered once");
        assert!(!town.health(3).is_recovering());
        town.down(2, Standing::Lost);
        town.wait(Duration::from_secs(15)).await;
        assert!(town.health(3).is_recovering());
        town.up(1);
        town.wait(Duration::from_secs(15)).await;
        // What it takes while it is back is what the second recovery is for.
        fill_early(&town, 1).await;
        town.down(1, Standing::Lost);
        let done = protected(&town, MANY);
        assert!(done < 2_500, "{done}: the other is not over");
        town.wait(Duration::from_secs(20)).await;
        assert_eq!(early_protected(&town), 4);
    });
}
