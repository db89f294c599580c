//! Domains and buckets: which objects a feed selects by them, and that they are there before what is in them.

use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::stats::FeedState;
use swarm_feeds::{Filed, FoundContext, What};
use swarm_types::{FeedOutcome, ObjectKind};

use crate::kit::{
    Asked, HOUR, MINUTE, Mood, Plan, SECOND, alias, named, object, of_domains, stamp, stream, to,
    tombstone,
};

#[test]
fn contexts_go_before_what_is_in_them() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.change(|table, author| table.pause(id, true, author).unwrap());
        (0..50).for_each(|nth| town.write(&[1], &named(stream(nth), stamp(1_000), alias(2))));
        let contexts = town.found_domain(1, (1, "acme.example"), 2);
        town.change(|table, author| table.pause(id, false, author).unwrap());
        town.rest(10 * SECOND).await;
        let order: Vec<_> = town.west().calls().iter().map(|call| call.id).collect();
        let place = |id| order.iter().position(|other| *other == id).unwrap();
        assert!(contexts.iter().all(|context| place(*context) < 6), "{order:?}");
    });
}

#[test]
fn what_is_refused_for_want_of_a_context_brings_it_along() {
    // The member is on the first node, its domain and bucket are on the second alone, whose feeds rest.
    Plan::of(2).run(|town| async move {
        let [domain, bucket] = town.found_domain(2, (1, "acme.example"), 2);
        town.set_may(2, swarm_feeds::MayWork::Paused);
        town.west().demand(&[domain, bucket]);
        town.create(to("west"));
        (0..20).for_each(|nth| town.write(&[1], &named(stream(nth), stamp(1_000), alias(2))));
        town.until(10 * SECOND, "all are there", || town.west().held() == 22).await;
        let writes: Vec<_> =
            town.west().calls().into_iter().filter(|call| call.asked == Asked::Write).collect();
        let place = |id| writes.iter().position(|call| call.id == id).unwrap();
        assert!(place(domain) < place(bucket), "the domain first");
        let stats = town.stats(1, 0);
        assert_eq!((stats.gauges.success, stats.gauges.retrying), (20, 0));
        assert!(writes.len() <= 22 + 6 * 2 + 6, "{} writes for 22 objects", writes.len());
    });
}

#[test]
fn a_context_that_is_here_too_has_its_outcome_when_a_member_brought_it() {
    Plan::of(1).run(|town| async move {
        let [domain, bucket] = town.found_domain(1, (1, "acme.example"), 2);
        // They do not go first, so that the member comes before them.
        for id in [domain, bucket] {
            let filed = town.shelf(1, 1).all().into_iter().find(|filed| filed.id == id).unwrap();
            town.shelf(1, 1).put(Filed { first: false, ..filed });
        }
        town.west().demand(&[domain, bucket]);
        town.create(to("west"));
        town.write(&[1], &named(stream(5), stamp(1_000), alias(2)));
        town.wait(5 * SECOND).await;
        assert_eq!((town.west().held(), town.stats(1, 0).gauges.success), (3, 3));
        town.rest(6 * MINUTE).await;
        assert_eq!(town.west().asked(Asked::Probe), 0);
    });
}

#[test]
fn a_member_whose_context_is_not_taken_waits_with_412() {
    Plan::of(1).run(|town| async move {
        let [domain, bucket] = town.found_domain(1, (1, "acme.example"), 2);
        town.west().demand(&[stream(77_777), domain, bucket]);
        town.create(to("west"));
        town.write(&[1], &named(stream(5), stamp(1_000), alias(2)));
        town.wait(30 * SECOND).await;
        let slot = town.shelf(1, 1).slot(stream(5), 0).unwrap();
        assert_eq!(slot.status, 412);
        assert!(matches!(slot.outcome, FeedOutcome::Retrying { attempts: 1, .. }));
        assert_eq!(town.stats(1, 0).state, FeedState::Ok);
        town.west().demand(&[]);
        town.rest(5 * MINUTE).await;
        assert_eq!(town.west().held(), 3);
    });
}

#[test]
fn a_feed_takes_the_domains_that_it_is_told_and_needs_no_target_to_know() {
    Plan::of(1).run(|town| async move {
        town.west().set_mood(Mood::Trouble(TargetTrouble::Silent));
        town.create(of_domains("west", &["acme.example", r".*\.acme\.example"]));
        town.found_domain(1, (1, "acme.example"), 2);
        town.found_domain(1, (3, "sub.acme.example"), 4);
        town.found_domain(1, (5, "other.example"), 6);
        for nth in 0..40 {
            let bucket = [2, 4, 6, 6][nth as usize % 4];
            town.write(&[1], &named(stream(nth), stamp(1_000), alias(bucket)));
        }
        (40..50).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(MINUTE).await;
        let stats = town.stats(1, 0);
        assert_eq!((stats.gauges.unqualified, stats.gauges.waiting()), (32, 24));
        assert_eq!((stats.state, town.west().held()), (FeedState::Blocked, 0));
        assert!(town.lookups() <= 40, "{} lookups of six contexts", town.lookups());
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(3 * MINUTE).await;
        let stats = town.stats(1, 0);
        assert_eq!(
            (stats.gauges.unqualified, stats.gauges.success, town.west().held()),
            (32, 24, 24)
        );
    });
}

#[test]
fn who_cannot_learn_where_an_object_belongs_asks_again() {
    Plan::of(1).run(|town| async move {
        town.found_domain(1, (1, "acme.example"), 2);
        town.create(of_domains("west", &["acme.example"]));
        town.rest(10 * SECOND).await;
        let found = FoundContext {
            stream: stream(80_000),
            kind: ObjectKind::Bucket,
            name: "new".to_owned(),
            parent: Some(alias(1)),
        };
        town.name_context(alias(7), found);
        town.set_deaf(true);
        (5..205).for_each(|nth| town.write(&[1], &named(stream(nth), stamp(1_000), alias(7))));
        town.wait(10 * MINUTE).await;
        assert_eq!(town.west().holds(stream(5)), None);
        assert_eq!(town.stats(1, 0).gauges.retrying, 0, "it is not the object's fault");
        assert!(town.lookups() < 60, "{} lookups in ten minutes", town.lookups());
        town.set_deaf(false);
        town.rest(2 * MINUTE).await;
        assert!((5..205).all(|nth| town.west().holds(stream(nth)).is_some()));
    });
}

#[test]
fn what_is_in_a_context_that_is_gone_is_kept_in_mind() {
    Plan::of(1).run(|town| async move {
        town.create(of_domains("west", &["acme.example"]));
        town.write(&[1], &named(stream(5), stamp(1_000), alias(9)));
        town.wait(HOUR).await;
        let slot = town.shelf(1, 1).slot(stream(5), 0).unwrap();
        assert_eq!((slot.status, town.west().held()), (412, 0));
        // Health takes it away.
        town.shelf(1, 1).take(stream(5));
        town.rest(2 * HOUR).await;
    });
}

/// Every copy of a domain or bucket is lost, and then something that was in it is deleted.
#[test]
fn a_delete_is_carried_even_if_nobody_knows_its_domain_any_more() {
    Plan::of(1).run(|town| async move {
        town.create(of_domains("west", &["acme.example"]));
        town.found_domain(1, (1, "acme.example"), 2);
        town.write(&[1], &named(stream(5), stamp(1_000), alias(2)));
        town.rest(MINUTE).await;
        assert_eq!(town.west().holds(stream(5)), Some((stamp(1_000), false)));

        let deleted = tombstone(stream(5), stamp(2_000));
        let kind = ObjectKind::Named;
        let what = What::Tombstone { kind, alias: None, parent: Some(alias(9)), name: None };
        let deleted = Filed { what, ..deleted };
        // Whether nobody has it, or not all can be asked, is another thing.
        town.set_deaf(true);
        town.write(&[1], &deleted);
        town.wait(MINUTE).await;
        assert_eq!(town.west().asked(Asked::Delete), 0);
        town.set_deaf(false);
        town.rest(5 * MINUTE).await;
        assert_eq!(town.west().holds(stream(5)), Some((stamp(2_000), true)));
    });
}
