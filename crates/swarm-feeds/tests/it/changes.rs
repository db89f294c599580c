//! Changes of a feed's definition while it works.

use swarm_feeds::backoff::ObjectTrouble;
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::definition::RawFeed;
use swarm_feeds::result::Delivery;
use swarm_feeds::stats::FeedState;

use crate::kit::{Asked, HOUR, MINUTE, Mood, Plan, SECOND, object, of_domains, stamp, stream, to};

#[test]
fn a_pause_lets_transfers_end_begins_none_and_forgets_nothing() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.west().set_mood(Mood::Fine(2 * SECOND));
        town.wait(3 * SECOND).await;
        (0..40).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(SECOND).await;
        town.change(|table, author| table.pause(id, true, author).unwrap());
        assert_eq!(town.west().under_way(), 6);
        (40..60).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(HOUR).await;
        assert_eq!((town.west().held(), town.west().asked(Asked::Write)), (6, 6));
        let stats = town.stats(1, 0);
        assert_eq!((stats.state, stats.gauges.success), (FeedState::Paused, 6));
        assert_eq!(stats.gauges.waiting(), 54);
        town.change(|table, author| table.pause(id, false, author).unwrap());
        town.rest(MINUTE).await;
        assert_eq!((town.west().held(), town.west().asked(Asked::Write)), (60, 60));
        assert_eq!(town.west().asked(Asked::Greeting), 1, "a pause is no new definition");
    });
}

#[test]
fn a_restart_asks_about_everything_and_sends_what_is_missing() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        (0..100).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.rest(10 * SECOND).await;
        (0..10).for_each(|nth| town.west().lose(stream(nth)));
        town.west().forget_calls();
        town.west().set_mood(Mood::Fine(SECOND));
        for nth in 100..104 {
            town.write(&[1], &object(stream(nth), stamp(1_000)));
        }
        town.wait(SECOND / 2).await;
        assert_eq!(town.west().under_way(), 4);
        town.change(|table, author| table.restart(id, author).unwrap());
        assert_eq!(town.stats(1, 0).gauges.success, 0, "another evaluation");
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(MINUTE).await;
        let west = town.west();
        assert_eq!((west.held(), west.asked(Asked::Write)), (104, 14));
        assert_eq!(west.asked(Asked::Probe), 104, "those that were under way too");
        assert_eq!(town.stats(1, 0).gauges.success, 104);
    });
}

#[test]
fn a_feed_that_is_deleted_ends_with_its_transfers() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.west().set_mood(Mood::Fine(5 * SECOND));
        town.wait(6 * SECOND).await;
        (0..40).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(SECOND).await;
        town.change(|table, author| table.delete(id, author).unwrap());
        assert_eq!((town.west().under_way(), town.stats(1, 0).state), (6, FeedState::Closed));
        town.wait(MINUTE).await;
        assert!(town.feeds(1).stats().is_empty());
        assert_eq!((town.west().held(), town.west().asked(Asked::Write)), (6, 6));
        assert_eq!(town.shelf(1, 1).counts_all(), 0, "what came of them is noted nowhere");
        town.rest(SECOND).await;
        // Another feed to the same place is another feed.
        town.create(RawFeed { name: Some("again".to_owned()), ..to("west") });
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(MINUTE).await;
        assert_eq!((town.west().held(), town.stats(1, 1).gauges.success), (40, 40));
    });
}

#[test]
fn an_edit_without_another_route_makes_what_failed_due_and_looks_at_the_target_anew() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        let refused = Delivery::Object { status: 413, trouble: ObjectTrouble::Permanent };
        (0..5).for_each(|nth| town.west().refuse(stream(nth), Some(refused)));
        (0..20).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(MINUTE).await;
        assert_eq!(town.stats(1, 0).gauges.retrying, 5);
        (0..5).for_each(|nth| town.west().refuse(stream(nth), None));
        town.west().forget_calls();
        town.edit(id, RawFeed { threads: Some(3), ..RawFeed::default() });
        town.rest(10 * SECOND).await;
        assert_eq!((town.west().held(), town.west().asked(Asked::Write)), (20, 5));

        town.west().set_mood(Mood::Trouble(TargetTrouble::WrongCluster));
        town.write(&[1], &object(stream(30), stamp(1_000)));
        town.wait(MINUTE).await;
        assert_eq!(town.stats(1, 0).state, FeedState::ConfigError);
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.edit(id, RawFeed { hosts: Some(vec!["10.2.0.2".to_owned()]), ..RawFeed::default() });
        town.rest(10 * SECOND).await;
        assert_eq!((town.west().held(), town.stats(1, 0).state), (21, FeedState::Ok));
    });
}

#[test]
fn another_scope_is_another_evaluation_and_takes_nothing_away() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        (0..20).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.rest(10 * SECOND).await;
        let scope = of_domains("west", &["acme.example"]).scope;
        town.edit(id, RawFeed { scope, ..RawFeed::default() });
        town.rest(10 * SECOND).await;
        let stats = town.stats(1, 0);
        assert_eq!(
            (stats.gauges.unqualified, stats.gauges.success, town.west().held()),
            (20, 0, 20)
        );
        let status = town.feeds(1).status(stream(3), stamp(1_000));
        assert!(status.is_empty(), "what is not selected is not shown: {status:?}");
    });
}

#[test]
fn a_node_without_feeds_waits_for_nothing() {
    Plan::of(1).run(|town| async move {
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.wait(SECOND).await;
        let before = town.world().counts().polls;
        town.wait(HOUR).await;
        assert!(town.world().counts().polls - before < 10, "a feed that is not there ticks");
        let id = town.create(to("west"));
        town.rest(10 * SECOND).await;
        town.change(|table, author| table.delete(id, author).unwrap());
        town.wait(MINUTE).await;
        let before = town.world().counts().polls;
        town.wait(HOUR).await;
        assert!(town.world().counts().polls - before < 10, "a feed that was deleted ticks");
    });
}
