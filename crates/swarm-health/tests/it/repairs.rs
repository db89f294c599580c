//! What a walk puts right.

use std::time::Duration;

use swarm_sim::DiskTrouble;

use crate::kit::{DOMAIN, Object, PLAIN, Plan, domain_of, stamp, stream, tombstone};

const FOUR: &[&str] = &["", "", "", ""];
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_missing_copy_is_made_and_then_nothing_happens_any_more() {
    Plan::of(FOUR).run(|town| async move {
        for nth in 0..20 {
            town.put((1, 0), stream(nth), stamp(5), PLAIN).await;
            town.guard(stream(nth), 1);
        }
        town.rest(HOUR).await;
        for nth in 0..20 {
            let holders = town.holders(stream(nth), stamp(5));
            assert_eq!(holders.len(), 2, "{holders:?}");
            assert_ne!(holders[0], holders[1]);
            town.check_bodies(stream(nth), stamp(5), PLAIN.length).await;
        }
        assert_eq!(town.counted("copies made"), 20);
        assert_eq!(town.counted("copies trimmed"), 0);
    });
}

#[test]
fn surplus_copies_go_one_by_one_and_never_too_many() {
    Plan::of(FOUR).run(|town| async move {
        for nth in 0..10 {
            town.protect(&[1, 2, 3, 4], stream(nth), stamp(5), PLAIN).await;
            town.guard(stream(nth), 2);
        }
        town.rest(HOUR).await;
        for nth in 0..10 {
            assert_eq!(town.holders(stream(nth), stamp(5)).len(), 2);
        }
        assert_eq!(town.counted("copies trimmed"), 20);
    });
}

#[test]
fn at_the_default_frequency_hints_settle_almost_every_visit() {
    let mut plan = Plan::of(FOUR);
    plan.settings.multicast_percent = 1;
    plan.run(|town| async move {
        for nth in 0..50 {
            town.protect(&[1, 2], stream(nth), stamp(5), PLAIN).await;
        }
        town.wait(2 * HOUR).await;
        let (visits, multicasts) = (town.counted("visits"), town.counted("multicasts"));
        assert!(
            visits > 500 && multicasts > 0 && multicasts < visits / 20,
            "{multicasts} of {visits}"
        );
        assert!(town.is_quiet_for(2));
    });
}

#[test]
fn copies_spread_over_subclusters() {
    Plan::of(&["a", "a", "b", "b"]).run(|town| async move {
        for nth in 0..10 {
            town.protect(&[1, 2], stream(nth), stamp(5), PLAIN).await;
            town.guard(stream(nth), 2);
        }
        town.rest(HOUR).await;
        for nth in 0..10 {
            let holders = town.holders(stream(nth), stamp(5));
            assert_eq!(holders.len(), 2);
            assert!(holders[0] <= 2 && holders[1] >= 3, "{holders:?}");
        }
    });
}

#[test]
fn an_update_that_was_missed_is_made_up_for() {
    Plan::of(FOUR).run(|town| async move {
        town.env().sleep(Duration::from_secs(600)).await;
        town.protect(&[1, 2], stream(1), stamp(5), PLAIN).await;
        town.protect(&[3, 4], stream(1), stamp(6), PLAIN).await;
        town.rest(HOUR).await;
        assert_eq!(town.filed(stream(1)).len(), 2);
        assert_eq!(town.holders(stream(1), stamp(6)), [3, 4]);
    });
}

#[test]
fn a_delete_that_was_missed_is_made_up_for() {
    Plan::of(FOUR).run(|town| async move {
        town.protect(&[1, 2], stream(1), stamp(5), PLAIN).await;
        let delete = tombstone(stamp(6), town.env().wall());
        town.volumes(2)[0].bury(stream(1), delete).await.unwrap();
        town.rest(HOUR).await;
        let filed = town.filed(stream(1));
        assert_eq!(filed.len(), 2);
        assert!(filed.iter().all(|(.., record)| record.is_tombstone() && record.stamp == stamp(6)));
        // Where it was is known of the replica that missed the delete.
        let domains: Vec<_> = filed.iter().filter_map(|(.., record)| domain_of(record)).collect();
        assert_eq!(domains, [DOMAIN]);
    });
}

#[test]
fn an_old_tombstone_goes_when_nobody_is_behind_it() {
    let mut plan = Plan::of(FOUR);
    plan.settings.obsolete_timeout = HOUR;
    plan.run(|town| async move {
        town.protect(&[1, 2], stream(1), stamp(5), PLAIN).await;
        let delete = tombstone(stamp(6), town.env().wall());
        for nth in [2, 3] {
            town.volumes(nth)[0].bury(stream(1), delete.clone()).await.unwrap();
        }
        // Node 1 missed the delete, and was away until now.
        let away = town.pull(1, 0);
        town.wait(HOUR).await;
        assert_eq!(town.filed(stream(1)).len(), 2);
        town.insert(1, away);
        town.wait(2 * HOUR).await;
        assert!(town.filed(stream(1)).is_empty(), "{:?}", town.filed(stream(1)));
        assert_eq!(town.counted("copies made"), 0);
    });
}

#[test]
fn contexts_have_three_copies() {
    Plan::of(FOUR).run(|town| async move {
        let context = Object { kind: swarm_types::ObjectKind::Bucket, length: 0, ..PLAIN };
        town.protect(&[1, 2], stream(1), stamp(5), context).await;
        town.rest(HOUR).await;
        assert_eq!(town.holders(stream(1), stamp(5)).len(), 3);
    });
}

#[test]
fn bits_that_rot_are_found_and_replaced() {
    Plan::of(&["", "", ""]).run(|town| async move {
        for nth in 0..20 {
            town.protect(&[1, 2], stream(nth), stamp(5), PLAIN).await;
            town.guard(stream(nth), 1);
        }
        town.rot(1, 10_000).await;
        town.wait(Duration::from_secs(1200)).await;
        let found = town.counted("replicas quarantined");
        assert!(found > 2 && found < 20, "{found}");
        town.rest(HOUR).await;
        for nth in 0..20 {
            assert_eq!(town.holders(stream(nth), stamp(5)).len(), 2);
            assert_eq!(town.filed(stream(nth)).len(), 2);
            town.check_bodies(stream(nth), stamp(5), PLAIN.length).await;
        }
    });
}

#[test]
fn with_no_other_node_a_bad_copy_is_replaced_in_its_place() {
    Plan::of(&["", ""]).run(|town| async move {
        for nth in 0..20 {
            town.protect(&[1, 2], stream(nth), stamp(5), PLAIN).await;
        }
        town.rot(1, 10_000).await;
        town.rest(HOUR).await;
        assert!(town.counted("replicas quarantined") > 2);
        for nth in 0..20 {
            assert_eq!(town.holders(stream(nth), stamp(5)), [1, 2]);
            town.check_bodies(stream(nth), stamp(5), PLAIN.length).await;
        }
    });
}

#[test]
fn the_last_copy_is_kept_bad_as_it_is() {
    Plan::of(&["", "", ""]).run(|town| async move {
        for nth in 0..20 {
            town.put(
                (1, 0),
                stream(nth),
                stamp(5),
                crate::kit::Object { lifepoints: &["[] reps=2"], ..PLAIN },
            )
            .await;
        }
        town.rot(1, 10_000).await;
        town.wait(HOUR).await;
        let found = town.counted("replicas quarantined");
        assert!(found > 2 && found < 20, "{found}");
        for nth in 0..20 {
            assert!(!town.filed(stream(nth)).is_empty());
        }
    });
}

#[test]
fn a_request_that_met_a_bad_block_does_not_wait_for_the_walk() {
    let mut plan = Plan::of(&["", "", ""]);
    plan.settings.cycle_time = 1000 * HOUR;
    plan.run(|town| async move {
        for nth in 0..20 {
            town.protect(&[1, 2], stream(nth), stamp(5), PLAIN).await;
        }
        town.rot(1, 10_000).await;
        for nth in 0..20 {
            town.health(1).suspect(town.volumes(1)[0].id(), stream(nth));
        }
        town.wait(Duration::from_secs(120)).await;
        assert!(town.counted("replicas quarantined") > 2);
        for nth in 0..20 {
            assert_eq!(town.holders(stream(nth), stamp(5)).len(), 2);
        }
    });
}

/// Another holder comes before the visit that would find it bad: its copy takes the place of what is filed, though the volume
/// itself knows nothing against that.
#[test]
fn a_copy_takes_the_place_of_a_suspected_one_that_nobody_has_verified() {
    let mut plan = Plan::of(&["", ""]);
    plan.settings.cycle_time = 1000 * HOUR;
    plan.run(|town| async move {
        for nth in 0..20 {
            town.protect(&[1, 2], stream(nth), stamp(5), PLAIN).await;
            town.suspect(1, stream(nth), stamp(5));
        }
        town.rot(1, 10_000).await;
        for nth in 0..20 {
            town.health(2).suspect(town.volumes(2)[0].id(), stream(nth));
        }
        town.wait(Duration::from_secs(120)).await;
        assert_eq!(town.counted("copies received"), 20);
        assert_eq!(town.counted("replicas quarantined"), 0, "no visit has found anything");
        assert_eq!(town.suspected(1), 0, "what is there now is above suspicion");
        for nth in 0..20 {
            assert_eq!(town.holders(stream(nth), stamp(5)), [1, 2]);
            town.check_bodies(stream(nth), stamp(5), PLAIN.length).await;
        }
    });
}

#[test]
fn a_copy_that_was_taken_for_bad_counts_again_when_it_reads_well() {
    Plan::of(&[""]).run(|town| async move {
        town.put((1, 0), stream(1), stamp(5), PLAIN).await;
        let volume = &town.volumes(1)[0];
        let record = volume.find(stream(1)).unwrap();
        assert!(volume.set_quarantined(&record, true).await.unwrap());
        town.wait(HOUR).await;
        assert_eq!(town.holders(stream(1), stamp(5)), [1]);
        assert_eq!(town.counted("replicas released"), 1);
    });
}

#[test]
fn disks_that_failed_to_read_for_a_moment_keep_nobody_waiting_for_the_walk() {
    let mut plan = Plan::of(&["", ""]);
    plan.settings.cycle_time = 1000 * HOUR;
    plan.run(|town| async move {
        town.protect(&[1, 2], stream(1), stamp(5), PLAIN).await;
        for nth in [1, 2] {
            town.disk(nth, Some(DiskTrouble::FailingReads(1_000_000))).await;
            town.health(nth).suspect(town.volumes(nth)[0].id(), stream(1));
        }
        // Longer than the first wait: they are looked at more than once.
        town.wait(Duration::from_secs(100)).await;
        assert_eq!(town.counted("replicas quarantined"), 2);
        assert!(town.holders(stream(1), stamp(5)).is_empty());
        let visits = town.counted("visits");
        assert!(visits < 10, "{visits}");
        for nth in [1, 2] {
            town.disk(nth, None).await;
        }
        town.wait(Duration::from_secs(120)).await;
        assert_eq!(town.holders(stream(1), stamp(5)), [1, 2]);
        assert_eq!(town.counted("replicas released"), 2);
        let visits = town.counted("visits");
        town.wait(HOUR).await;
        assert_eq!(town.counted("visits"), visits, "nothing is in doubt any more");
    });
}

#[test]
fn of_two_versions_written_at_once_the_older_goes_although_its_holders_vouch_for_each_other() {
    let mut plan = Plan::of(FOUR);
    plan.settings.multicast_percent = 0;
    plan.run(|town| async move {
        let now = u64::try_from(town.env().wall().0 / 1_000_000).unwrap();
        let (older, newer) = (stamp(now), stamp(now + 1));
        for nth in 0..20 {
            town.protect(&[1, 2], stream(nth), older, PLAIN).await;
            town.protect(&[3, 4], stream(nth), newer, PLAIN).await;
        }
        // Two cycles: each walk takes its own way.
        town.wait(Duration::from_secs(1300)).await;
        for nth in 0..20 {
            assert_eq!(town.holders(stream(nth), newer), [3, 4]);
            assert_eq!(town.filed(stream(nth)).len(), 2);
        }
        let before = town.counted("multicasts");
        town.wait(HOUR).await;
        assert_eq!(town.counted("multicasts"), before, "nothing is new any more");
    });
}
