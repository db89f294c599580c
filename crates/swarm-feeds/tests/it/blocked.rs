//! Targets that take nothing.

use std::time::Duration;

use swarm_feeds::backoff::ObjectTrouble;
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::result::Delivery;
use swarm_feeds::stats::FeedState;
use swarm_feeds::{FeedSettings, MayWork};

use crate::kit::{Asked, HOUR, MINUTE, Mood, Plan, SECOND, object, stamp, stream, to, tombstone};

#[test]
fn a_dead_feed_slows_no_other() {
    /// When the living feed had everything, with or without a dead one beside it.
    fn alone_or_not(dead: bool) -> Duration {
        let plan = Plan { elsewhere: &["west", "north"], ..Plan::of(1) };
        plan.run(move |town| async move {
            if dead {
                town.elsewhere("north").set_mood(Mood::Trouble(TargetTrouble::Silent));
                town.create(to("north"));
            }
            town.create(to("west"));
            for nth in 0..2_000 {
                town.shelf(1, 1).put(object(stream(nth), stamp(1_000)));
            }
            town.wait(MINUTE).await;
            let begun = town.env().now();
            for nth in 2_000..4_000 {
                town.write(&[1], &object(stream(nth), stamp(1_000)));
            }
            town.until(MINUTE, "the living feed has it all", || town.west().held() >= 2_000).await;
            let took = town.env().now().since(begun);
            if dead {
                assert_eq!(town.elsewhere("north").held(), 0);
                let north = town.stats(1, 0);
                assert_eq!(north.state, FeedState::Blocked);
                assert_eq!(north.gauges.streams(), 4_000);
                for (name, depth, limit) in town.feeds(1).queues() {
                    assert!(depth <= limit, "{name}: {depth} of {limit}");
                }
                town.elsewhere("north").set_mood(Mood::Fine(SECOND / 1_000));
                town.rest(3 * MINUTE).await;
                assert_eq!(town.elsewhere("north").held(), 4_000, "nothing was forgotten");
            }
            took
        })
    }
    let (alone, beside) = (alone_or_not(false), alone_or_not(true));
    assert!(beside <= alone + SECOND / 10, "{alone:?} alone, {beside:?} beside a dead one");
}

#[test]
fn a_target_that_is_left_alone_is_asked_once_a_minute() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        (0..500).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.west().set_mood(Mood::Trouble(TargetTrouble::Silent));
        town.wait(2 * MINUTE).await;
        assert_eq!(town.stats(1, 0).state, FeedState::Blocked);
        town.west().forget_calls();
        town.wait(HOUR).await;
        let calls = town.west().calls();
        assert!(calls.iter().all(|call| call.asked == Asked::Greeting), "objects are left alone");
        assert!((55..=60).contains(&calls.len()), "{} greetings in an hour", calls.len());
        assert!(calls.windows(2).all(|two| two[1].at.since(two[0].at) >= MINUTE));
        let stats = town.stats(1, 0);
        assert_eq!(stats.gauges.retrying, 0, "no object is blamed");
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(2 * MINUTE).await;
        assert_eq!(town.west().held(), 500);
    });
}

#[test]
fn a_week_that_is_skipped_is_not_a_week_of_questions() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.west().set_mood(Mood::Trouble(TargetTrouble::Silent));
        (0..50).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(2 * MINUTE).await;
        town.west().forget_calls();
        let week = 7 * 24 * HOUR;
        let stretch = town.world().skip(week).await.unwrap();
        town.env().sleep_until(stretch.until).await;
        let asked = town.west().calls().len();
        assert!((1..=210).contains(&asked), "{asked} questions in a week that was skipped");
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(2 * MINUTE).await;
        assert_eq!(town.west().held(), 50);
    });
}

#[test]
fn wrong_credentials_and_another_cluster_at_the_address_are_told_apart() {
    Plan::of(1).run(|town| async move {
        let cases = [
            (TargetTrouble::Auth(401), FeedState::Blocked, 60),
            (TargetTrouble::WrongCluster, FeedState::ConfigError, 600),
        ];
        town.create(to("west"));
        for (trouble, state, wait) in cases {
            town.west().set_mood(Mood::Trouble(trouble));
            town.write(&[1], &object(stream(wait), stamp(1_000)));
            town.wait(10 * SECOND).await;
            let stats = town.stats(1, 0);
            assert_eq!((stats.state, stats.reason), (state, Some(trouble)));
            town.west().forget_calls();
            town.wait(Duration::from_secs(u64::from(wait)) * 3).await;
            assert!((2..=3).contains(&town.west().calls().len()), "{:?}", town.west().calls());
            town.west().set_mood(Mood::Fine(SECOND / 100));
            town.rest(15 * MINUTE).await;
        }
        assert_eq!((town.west().held(), town.stats(1, 0).state), (2, FeedState::Ok));
    });
}

#[test]
fn a_full_target_is_given_deletes_and_one_write_a_minute() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.west().set_mood(Mood::Trouble(TargetTrouble::Full));
        (0..50).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(5 * SECOND).await;
        (50..80).for_each(|nth| town.write(&[1], &tombstone(stream(nth), stamp(1_000))));
        town.wait(MINUTE / 2).await;
        assert_eq!(town.west().held(), 30, "all deletes");
        assert_eq!(town.stats(1, 0).state, FeedState::Blocked);
        town.west().forget_calls();
        town.wait(HOUR).await;
        let writes = town.west().asked(Asked::Write);
        assert!((55..=60).contains(&writes), "{writes} writes in an hour");
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(3 * MINUTE).await;
        assert_eq!(town.west().held(), 80);
    });
}

#[test]
fn an_answer_that_never_came_is_asked_for_before_the_body_goes_again() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.west().set_mood(Mood::Forgets);
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.wait(5 * SECOND).await;
        assert_eq!(
            town.feeds(1).status(stream(1), stamp(1_000))[&swarm_types::FeedId(0)].status,
            1
        );
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(2 * MINUTE).await;
        let west = town.west();
        assert_eq!((west.asked(Asked::Write), west.asked(Asked::Probe)), (1, 1));
        let counters = town.stats(1, 0).counters;
        assert_eq!((counters.already_present, counters.transferred_objects), (1, 0));
    });
}

#[test]
fn a_busy_target_is_left_alone_as_long_as_it_asks_for() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        let retry_after = 5 * MINUTE;
        town.west().set_mood(Mood::Trouble(TargetTrouble::Busy { retry_after }));
        (0..20).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(5 * SECOND).await;
        town.west().forget_calls();
        assert_eq!(town.stats(1, 0).state, FeedState::Overloaded);
        town.wait(4 * MINUTE).await;
        assert!(town.west().calls().is_empty());
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(2 * MINUTE).await;
        assert_eq!(town.west().held(), 20);
    });
}

#[test]
fn a_node_that_may_not_work_begins_nothing_and_one_that_recovers_a_volume_pauses() {
    Plan::of(1).run(|town| async move {
        town.set_may(1, MayWork::No);
        town.create(to("west"));
        (0..20).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(MINUTE).await;
        assert!(town.west().calls().is_empty());
        town.set_may(1, MayWork::Paused);
        town.wait(MINUTE).await;
        assert_eq!((town.west().calls().len(), town.stats(1, 0).state), (0, FeedState::Paused));
        town.set_may(1, MayWork::Yes);
        town.rest(MINUTE).await;
        assert_eq!(town.west().held(), 20);
    });
}

#[test]
fn what_finds_no_place_is_found_again() {
    let settings = FeedSettings { max_queue: 50, ..FeedSettings::default() };
    let plan = Plan { settings, ..Plan::of(1) };
    plan.run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.west().set_mood(Mood::Trouble(TargetTrouble::Silent));
        (0..1_500).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(3 * MINUTE).await;
        for (name, depth, limit) in town.feeds(1).queues() {
            assert!(depth <= limit, "{name}: {depth} of {limit}");
        }
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(3 * MINUTE).await;
        assert_eq!((town.west().held(), town.west().asked(Asked::Write)), (1_500, 1_506));

        // The same of what is refused, one by one.
        let refused = Delivery::Object { status: 500, trouble: ObjectTrouble::Transient };
        (2_000..2_300).for_each(|nth| town.west().refuse(stream(nth), Some(refused)));
        (2_000..2_300).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(10 * MINUTE).await;
        assert_eq!(town.stats(1, 0).gauges.retrying, 300);
        (2_000..2_300).for_each(|nth| town.west().refuse(stream(nth), None));
        town.rest(2 * HOUR).await;
        assert_eq!(town.west().held(), 1_800);
    });
}
