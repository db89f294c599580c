//! What is carried, how often it is tried, and how much at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use swarm_feeds::backoff::ObjectTrouble;
use swarm_feeds::definition::RawFeed;
use swarm_feeds::result::Delivery;
use swarm_feeds::stats::FeedState;
use swarm_types::{ClusterName, FeedOutcome, FeedSlot};

use crate::kit::{
    Asked, HOUR, MINUTE, Mood, Plan, SECOND, object, stamp, stream, to, tombstone, with,
};

const REFUSED: Delivery = Delivery::Object { status: 500, trouble: ObjectTrouble::Transient };

#[test]
fn what_is_there_and_what_comes_is_carried_once() {
    Plan::of(1).run(|town| async move {
        for nth in 0..50 {
            town.write(&[1], &object(stream(nth), stamp(1_000)));
        }
        town.create(to("west"));
        for nth in 50..100 {
            town.write(&[1], &object(stream(nth), stamp(1_000)));
        }
        town.rest(10 * SECOND).await;
        let west = town.west();
        assert_eq!(
            (west.held(), west.asked(Asked::Write), west.asked(Asked::Probe)),
            (100, 100, 0)
        );
        let stats = town.stats(1, 0);
        assert_eq!((stats.gauges.success, stats.gauges.streams()), (100, 100));
        assert_eq!((stats.state, stats.oldest_pending), (FeedState::Ok, None));
        assert_eq!(stats.counters.transferred_objects, 100);
        assert_eq!((stats.counters.transferred_bytes, stats.rate), (10_000, 100));
        // Outcomes are filed together.
        let settles = town.shelf(1, 1).settles.load(Ordering::Relaxed);
        assert!(settles <= 10, "{settles} commits for 100 outcomes");
        town.wait(HOUR).await;
        assert_eq!(west.asked(Asked::Write), 100);
    });
}

#[test]
fn a_node_that_starts_again_sends_nothing_again() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        (0..40).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.rest(10 * SECOND).await;
        town.down(1);
        town.west().forget_calls();
        town.set_may(1, swarm_feeds::MayWork::Yes);
        let settings = swarm_feeds::FeedSettings::default();
        let again = town.start(1, town.feeds(1).table(), settings);
        town.wait(HOUR).await;
        let stats = &again.stats()[&swarm_types::FeedId(0)];
        assert_eq!((stats.gauges.success, stats.gauges.streams()), (40, 40));
        assert!(town.west().calls().iter().all(|call| call.asked == Asked::Greeting));
    });
}

/// Row 18 of the failure matrix: one object is refused and shown as that, the others flow.
#[test]
fn what_is_refused_is_tried_for_ever_more_and_more_seldom() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        let west = town.west();
        west.refuse(stream(1), Some(REFUSED));
        (1..4).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(24 * HOUR).await;
        assert_eq!(west.held(), 2, "the others are carried");
        let calls = west.calls();
        let tries: Vec<_> = calls.iter().filter(|call| call.id == stream(1)).collect();
        let waits: Vec<u64> = tries.windows(2).map(|two| two[1].at.since(two[0].at).as_secs()).collect();
        for (wait, law) in waits.iter().zip([60, 120, 240, 480, 960, 1920, 3600, 3600]) {
            assert!((law * 9 / 10..=law * 11 / 10 + 2).contains(wait), "{wait} of {law} s");
        }
        assert!((25..32).contains(&tries.len()), "{} tries in a day", tries.len());
        assert!(waits.iter().all(|wait| *wait <= 3_962), "{waits:?}");
        let slot = town.shelf(1, 1).slot(stream(1), 0).unwrap();
        let attempts = u16::try_from(tries.len()).unwrap();
        assert!(matches!(slot.outcome, FeedOutcome::Retrying { attempts: noted, .. } if noted == attempts));
        let stats = town.stats(1, 0);
        assert_eq!((stats.gauges.retrying, stats.gauges.success), (1, 2));
        assert_eq!(stats.counters.failures_by_code[&500], u64::from(attempts));
        assert_eq!(stats.state, FeedState::Ok, "one object's trouble is not the target's");

        west.refuse(stream(1), None);
        town.wait(2 * HOUR).await;
        assert_eq!(west.held(), 3);
        town.rest(SECOND).await;
    });
}

#[test]
fn a_retry_survives_a_restart_with_its_date() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.west().refuse(
            stream(1),
            Some(Delivery::Object { status: 413, trouble: ObjectTrouble::Permanent }),
        );
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.wait(MINUTE).await;
        town.down(1);
        town.set_may(1, swarm_feeds::MayWork::Yes);
        town.west().forget_calls();
        let again = town.start(1, town.feeds(1).table(), swarm_feeds::FeedSettings::default());
        town.wait(40 * MINUTE).await;
        assert_eq!(town.west().asked(Asked::Write), 0, "it is refused as it is: an hour");
        assert_eq!(again.stats()[&swarm_types::FeedId(0)].gauges.retrying, 1);
        town.wait(30 * MINUTE).await;
        assert!(town.west().asked(Asked::Write) >= 1);
    });
}

/// What cuts a transfer off each time it has lasted too long lets others pass: it is this object that waits longer and longer.
#[test]
fn an_object_that_breaks_off_each_time_waits_longer_and_longer_and_is_shown() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        let west = town.west();
        west.refuse(stream(1), Some(Delivery::Unknown));
        (1..4).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(30 * SECOND).await;
        let gauges = town.stats(1, 0).gauges;
        assert_eq!((gauges.retrying, gauges.success), (0, 2), "nobody knows what came of it");
        town.wait(24 * HOUR).await;
        let gauges = town.stats(1, 0).gauges;
        assert_eq!((gauges.retrying, gauges.success), (1, 2));
        let slot = town.shelf(1, 1).slot(stream(1), 0).unwrap();
        assert!(slot.status > 1, "{slot:?}");
        let calls = west.calls();
        let of =
            |asked| calls.iter().filter(|call| call.id == stream(1) && call.asked == asked).count();
        let (writes, probes) = (of(Asked::Write), of(Asked::Probe));
        assert!((25..33).contains(&writes), "{writes} transfers in a day");
        assert_eq!(writes, probes + 1, "it is asked for each time but the first");
        assert_eq!(town.stats(1, 0).state, FeedState::Ok, "the target is not to blame");
        west.refuse(stream(1), None);
        town.rest(2 * HOUR).await;
        assert_eq!(west.held(), 3);
    });
}

/// Twice in a row is what counts: an answer in between says that the object gets through to the target.
#[test]
fn a_break_long_after_another_is_the_first_again() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        let west = town.west();
        let tries = || west.asked(Asked::Write);
        west.refuse(stream(1), Some(Delivery::Unknown));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.until(MINUTE, "the first break", || tries() == 1).await;
        town.wait(SECOND).await;
        west.refuse(stream(1), Some(REFUSED));
        town.until(5 * MINUTE, "an answer", || tries() == 2).await;
        town.wait(SECOND).await;
        let answered = town.shelf(1, 1).slot(stream(1), 0).unwrap();
        assert_eq!(answered.status, 500);
        west.refuse(stream(1), Some(Delivery::Unknown));
        town.until(5 * MINUTE, "another break", || tries() == 3).await;
        town.wait(SECOND).await;
        assert_eq!(town.shelf(1, 1).slot(stream(1), 0), Some(answered), "it is not blamed");
        town.until(5 * MINUTE, "and one at once", || tries() == 4).await;
        town.wait(SECOND).await;
        assert_eq!(town.shelf(1, 1).slot(stream(1), 0).map(|slot| slot.status), Some(504));
        west.refuse(stream(1), None);
        town.rest(HOUR).await;
    });
}

/// A clock that is a year ahead notes dates that are a year away. It is set right, and nothing is parked.
#[test]
fn a_date_of_a_clock_that_was_ahead_holds_nothing_up() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.rest(5 * SECOND).await;
        let mark = town.feeds(1).table().get(id).unwrap().mark(&ClusterName::from("east"));
        town.down(1);
        for (nth, wait) in [(1, 365 * 24 * HOUR), (2, HOUR)] {
            let next_at = town.env().wall() + wait;
            let at = next_at;
            let outcome = FeedOutcome::Retrying { attempts: 3, next_at };
            let mut filed = object(stream(nth), stamp(1_000));
            filed.slots.set(FeedSlot { feed: id, mark, outcome, status: 500, at });
            town.shelf(1, 1).put(filed);
        }
        town.set_may(1, swarm_feeds::MayWork::Yes);
        let _again = town.start(1, town.feeds(1).table(), swarm_feeds::FeedSettings::default());
        town.wait(MINUTE).await;
        assert!(town.west().holds(stream(1)).is_some());
        assert!(town.west().holds(stream(2)).is_none(), "this one may be right");
        town.wait(HOUR).await;
        assert_eq!(town.west().held(), 2);
    });
}

/// Feeds come and go; those that stay keep what they have come to.
#[test]
fn eight_feeds_keep_their_outcomes_when_a_ninth_takes_the_place_of_one() {
    const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let plan = Plan { elsewhere: &NAMES, ..Plan::of(1) };
    plan.run(|town| async move {
        for name in &NAMES[..7] {
            town.create(to(name));
        }
        (0..20).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.rest(MINUTE).await;
        let last = town.create(to("h"));
        town.rest(MINUTE).await;
        town.change(|table, author| table.delete(last, author).unwrap());
        town.wait(MINUTE).await;
        town.create(to("i"));
        town.rest(MINUTE).await;
        for filed in town.shelf(1, 1).all() {
            let feeds: Vec<u32> = filed.slots.iter().map(|slot| slot.feed.0).collect();
            assert_eq!(feeds, [0, 1, 2, 3, 4, 5, 6, 8]);
        }
        for name in NAMES {
            assert_eq!(town.elsewhere(name).held(), 20, "{name}");
        }
    });
}

#[test]
fn no_more_is_under_way_than_there_are_threads_and_half_of_it_is_large() {
    Plan::of(1).run(|town| async move {
        let threads = RawFeed { threads: Some(6), ..to("west") };
        town.create(threads);
        town.west().set_mood(Mood::Fine(SECOND));
        town.wait(2 * SECOND).await;
        for nth in 0..60 {
            let large = with(object(stream(nth), stamp(1_000)), |meta| meta.length = 2 << 20);
            town.write(&[1], &large);
        }
        town.wait(SECOND / 2).await;
        assert_eq!(town.west().under_way(), 3);
        for nth in 60..100 {
            town.write(&[1], &object(stream(nth), stamp(1_000)));
        }
        let limit = 40 * SECOND;
        town.until(limit, "all are there", || town.west().held() == 100).await;
        assert_eq!(town.west().most_at_once(), 6);
        town.rest(SECOND).await;
    });
}

#[test]
fn only_the_newest_version_counts_and_it_is_not_lost_while_the_older_is_under_way() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.west().set_mood(Mood::Fine(SECOND));
        town.wait(2 * SECOND).await;
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.wait(SECOND / 2).await;
        assert_eq!(town.west().under_way(), 1);
        town.write(&[1], &object(stream(1), stamp(2_000)));
        town.write(&[1], &object(stream(1), stamp(3_000)));
        town.wait(SECOND).await;
        assert_eq!(town.shelf(1, 1).slot(stream(1), 0), None, "what came of the older is no more");
        town.rest(5 * SECOND).await;
        assert_eq!(town.west().holds(stream(1)), Some((stamp(3_000), false)));
        assert_eq!(town.west().asked(Asked::Write), 2, "the second version was skipped");
    });
}

#[test]
fn deletes_are_carried_and_not_where_the_feed_is_told_not_to() {
    let plan = Plan { elsewhere: &["west", "north"], ..Plan::of(1) };
    plan.run(|town| async move {
        town.create(to("west"));
        town.create(RawFeed { propagate_deletes: Some(false), ..to("north") });
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.rest(5 * SECOND).await;
        town.write(&[1], &tombstone(stream(1), stamp(2_000)));
        let slots = town.shelf(1, 1).all()[0].slots.clone();
        assert!(town.feeds(1).needs(&slots), "the delete is still to be carried");
        town.rest(5 * SECOND).await;
        let [west, north] = ["west", "north"].map(|name| town.elsewhere(name).holds(stream(1)));
        assert_eq!((west, north), (Some((stamp(2_000), true)), Some((stamp(1_000), false))));
        let slots = town.shelf(1, 1).all()[0].slots.clone();
        assert!(!town.feeds(1).needs(&slots) && slots.iter().len() == 2);
    });
}

#[test]
fn an_older_version_on_another_volume_is_never_sent_and_has_its_outcome_too() {
    let plan = Plan { volumes: 2, ..Plan::of(1) };
    plan.run(|town| async move {
        town.shelf(1, 1).put(object(stream(1), stamp(1_000)));
        town.shelf(1, 2).put(object(stream(1), stamp(2_000)));
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        assert_eq!(town.west().holds(stream(1)), Some((stamp(2_000), false)));
        assert_eq!(town.west().asked(Asked::Write), 1);
        let stats = town.stats(1, 0);
        assert_eq!((stats.gauges.success, stats.gauges.streams()), (2, 2));
    });
}

#[test]
fn volumes_come_and_go_while_transfers_run() {
    let plan = Plan { volumes: 2, ..Plan::of(1) };
    plan.run(|town| async move {
        for nth in 0..20 {
            town.shelf(1, 1).put(object(stream(nth), stamp(1_000)));
            town.shelf(1, 2).put(object(stream(100 + nth), stamp(1_000)));
        }
        let held = town.pull(1, 2);
        town.west().set_mood(Mood::Fine(SECOND));
        town.create(to("west"));
        town.wait(2 * SECOND).await;
        let gone = town.pull(1, 1);
        town.wait(10 * SECOND).await;
        assert!(town.west().held() <= 12, "nothing of what is gone is begun");
        assert_eq!(town.stats(1, 0).gauges.streams(), 0);
        town.insert(1, held);
        town.until(20 * SECOND, "the new volume is walked", || {
            (100..120).all(|nth| town.west().holds(stream(nth)).is_some())
        })
        .await;
        town.insert(1, gone);
        town.rest(20 * SECOND).await;
        assert_eq!(town.west().held(), 40);
        let stats = town.stats(1, 0);
        assert_eq!((stats.gauges.success, stats.gauges.streams()), (40, 40));
    });
}

/// What was filed while it was away is found, though nobody saw that it was away.
#[test]
fn a_volume_that_goes_and_comes_back_at_once_is_walked_through_again() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.rest(5 * SECOND).await;
        let away = town.pull(1, 1);
        away.put(object(stream(2), stamp(1_000)));
        town.insert(1, away);
        town.until(MINUTE, "what is new is found", || town.west().holds(stream(2)).is_some()).await;
        assert_eq!(town.west().asked(Asked::Write), 2);
    });
}

#[test]
fn a_stream_that_goes_while_it_waits_is_forgotten() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.west().set_mood(Mood::Trouble(swarm_feeds::blockade::TargetTrouble::Full));
        (0..20).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(SECOND).await;
        (0..20).for_each(|nth| town.shelf(1, 1).take(stream(nth)));
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(3 * MINUTE).await;
        assert_eq!(town.stats(1, 0).gauges.streams(), 0);
    });
}

#[test]
fn outcomes_that_cannot_be_kept_are_no_reason_to_send_again_and_again() {
    Plan::of(1).run(|town| async move {
        town.shelf(1, 1).full.store(true, Ordering::Relaxed);
        town.create(to("west"));
        (0..100).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(30 * MINUTE).await;
        assert_eq!((town.west().held(), town.west().calls().len()), (100, 101));
        let stats = town.stats(1, 0);
        assert_eq!(stats.state, FeedState::Overloaded);
        assert_eq!((stats.gauges.success, stats.gauges.pending_evaluation), (0, 100));
        // There is room again: each costs one question, which nobody asks in a hurry.
        town.shelf(1, 1).full.store(false, Ordering::Relaxed);
        town.rest(2 * HOUR).await;
        assert_eq!(town.stats(1, 0).gauges.success, 100);
    });
}

#[test]
fn a_disk_that_hangs_holds_up_its_own_outcomes_only() {
    let plan = Plan { volumes: 2, ..Plan::of(1) };
    plan.run(|town| async move {
        town.shelf(1, 1).hangs.store(true, Ordering::Relaxed);
        for nth in 0..3_000 {
            town.shelf(1, 1).put(object(stream(nth), stamp(1_000)));
            town.shelf(1, 2).put(object(stream(10_000 + nth), stamp(1_000)));
        }
        town.create(to("west"));
        town.until(5 * MINUTE, "the other volume's outcomes are kept", || {
            town.shelf(1, 2).counts_all() == 3_000
        })
        .await;
        for (name, depth, limit) in town.feeds(1).queues() {
            assert!(depth <= limit, "{name}: {depth} of {limit}");
        }
        // What cannot be noted is not begun.
        town.wait(30 * MINUTE).await;
        let writes = town.west().asked(Asked::Write);
        assert!(
            writes < 3_000 + 1_024 + 100,
            "{writes} writes of 6,000 objects, half of them on a disk that hangs"
        );
        // What was done is shown, though it is not durable.
        let first = town.shelf(1, 1).all()[0].id;
        assert_eq!(town.feeds(1).status(first, stamp(1_000))[&swarm_types::FeedId(0)].status, 0);
    });
}

#[test]
fn a_body_that_cannot_be_read_here_is_the_objects_trouble() {
    Plan::of(2).run(|town| async move {
        town.create(to("west"));
        town.shelf(1, 1).broken.store(true, Ordering::Relaxed);
        town.write(&[1, 2], &object(stream(1), stamp(1_000)));
        town.wait(MINUTE / 2).await;
        assert!(!town.shelf(1, 1).slot(stream(1), 0).unwrap().outcome.is_final());
        assert_eq!(town.stats(1, 0).state, FeedState::Ok);
        // The other replica goes when its time has come, and tells.
        town.wait(6 * MINUTE).await;
        assert!(town.west().holds(stream(1)).is_some());
        assert!(town.shelf(1, 1).slot(stream(1), 0).unwrap().outcome.is_final());
        town.rest(Duration::from_secs(700)).await;
    });
}
