//! SEND: who waits for one object.

use std::time::Duration;

use swarm_feeds::backoff::ObjectTrouble;
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::definition::RawFeed;
use swarm_feeds::result::Delivery;
use swarm_feeds::{SendOrder, SendRefused, SendTicket, Verdict};
use swarm_types::{Etag, FeedId, Stamp};

use crate::kit::{
    Asked, HOUR, MINUTE, Mood, Plan, SECOND, Town, alias, named, object, of_domains, stamp, stream,
    to, tombstone,
};

fn order(nth: u32) -> SendOrder {
    SendOrder {
        id: stream(nth),
        stamp: stamp(1_000),
        feeds: vec![FeedId(0)],
        force: false,
        wait_while_paused: true,
    }
}

/// The one verdict of a ticket, if it comes within this time.
async fn verdict(town: &Town, ticket: &mut SendTicket, limit: Duration) -> Option<Verdict> {
    if let Some((_, verdict)) = ticket.done.first() {
        return Some(*verdict);
    }
    let next = town.env().timeout(limit, ticket.rest.next()).await.ok()?;
    next.map(|(_, verdict)| verdict)
}

async fn status(town: &Town, order: &SendOrder, limit: Duration) -> Option<u16> {
    let mut ticket = town.feeds(1).send(order).unwrap();
    verdict(town, &mut ticket, limit).await.and_then(Verdict::status)
}

#[test]
fn a_send_goes_before_all_others_and_is_known_at_once_when_it_was_done() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.west().set_mood(Mood::Fine(SECOND / 10));
        town.wait(SECOND).await;
        (0..500).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.wait(SECOND / 20).await;
        let begun = town.env().now();
        assert_eq!(status(&town, &order(499), MINUTE).await, Some(0));
        let took = town.env().now().since(begun);
        assert!(took < SECOND / 2, "{took:?} among 500");
        // Status 0 is known before it is durable.
        let done = town.feeds(1).send(&order(499)).unwrap();
        assert_eq!((done.done.len(), done.rest.left()), (1, 0));
        let shown = town.feeds(1).status(stream(499), stamp(1_000))[&FeedId(0)];
        assert_eq!(done.done[0].1, Verdict::Shown(shown), "SEND and HEAD say the same");
        town.rest(MINUTE).await;
        assert_eq!(town.west().asked(Asked::Write), 500);
    });
}

#[test]
fn a_send_joins_the_transfer_that_is_under_way() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.west().set_mood(Mood::Fine(2 * SECOND));
        town.wait(3 * SECOND).await;
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.wait(SECOND).await;
        let mut tickets: Vec<SendTicket> =
            (0..5).map(|_| town.feeds(1).send(&order(1)).unwrap()).collect();
        for ticket in &mut tickets {
            let told = verdict(&town, ticket, 2 * SECOND).await.and_then(Verdict::status);
            assert_eq!(told, Some(0));
        }
        assert_eq!(town.west().asked(Asked::Write), 1);
        // Of a newer version it does not.
        town.write(&[1], &object(stream(1), stamp(2_000)));
        town.wait(SECOND).await;
        town.write(&[1], &object(stream(1), stamp(3_000)));
        let newest = SendOrder { stamp: stamp(3_000), ..order(1) };
        let begun = town.env().now();
        assert_eq!(status(&town, &newest, MINUTE).await, Some(0));
        assert!(town.env().now().since(begun) > 2 * SECOND, "the older was no answer");
        assert_eq!(town.west().holds(stream(1)), Some((stamp(3_000), false)));
    });
}

#[test]
fn a_send_is_not_served_by_an_older_version_of_the_same_millisecond() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.west().set_mood(Mood::Fine(2 * SECOND));
        town.wait(3 * SECOND).await;
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.wait(SECOND).await;
        let newer = Stamp { etag: Etag::from_bytes([2; 16]), ..stamp(1_000) };
        town.write(&[1], &object(stream(1), newer));
        let newest = SendOrder { stamp: newer, ..order(1) };
        assert_eq!(status(&town, &newest, MINUTE).await, Some(0));
        assert_eq!(town.west().holds(stream(1)), Some((newer, false)));
    });
}

#[test]
fn a_blocked_feed_gets_exactly_one_attempt_and_its_code() {
    Plan::of(1).run(|town| async move {
        let cases = [
            (TargetTrouble::Silent, 503),
            (TargetTrouble::Auth(403), 403),
            (TargetTrouble::WrongCluster, 412),
        ];
        town.create(to("west"));
        for (nth, (trouble, code)) in cases.into_iter().enumerate() {
            let nth = u32::try_from(nth).unwrap();
            town.west().set_mood(Mood::Trouble(trouble));
            town.write(&[1], &object(stream(nth), stamp(1_000)));
            town.wait(2 * MINUTE).await;
            town.west().forget_calls();
            assert_eq!(status(&town, &order(nth), 10 * SECOND).await, Some(code), "{trouble:?}");
            let shown = town.feeds(1).status(stream(nth), stamp(1_000))[&FeedId(0)];
            assert_eq!((shown.status, shown.at.is_some()), (code, true), "a HEAD shows the same");
            assert_eq!(town.west().calls().len(), 1, "{:?}", town.west().calls());
            town.west().set_mood(Mood::Fine(SECOND / 100));
            assert_eq!(status(&town, &order(nth), 10 * SECOND).await, Some(0), "it may succeed");
            town.rest(20 * MINUTE).await;
        }
    });
}

#[test]
fn what_is_deleted_before_it_is_sent_is_not_said_to_be_there_where_deletes_are_not_carried() {
    Plan::of(1).run(|town| async move {
        for (nth, propagates, told) in [(0, false, 404), (1, true, 0)] {
            let west = town.create(RawFeed {
                name: Some(format!("west {nth}")),
                propagate_deletes: Some(propagates),
                ..to("west")
            });
            town.rest(MINUTE).await;
            town.change(|table, author| table.pause(west, true, author).unwrap());
            town.write(&[1], &object(stream(nth), stamp(1_000)));
            let order = SendOrder { feeds: vec![west], ..order(nth) };
            let mut waits = town.feeds(1).send(&order).unwrap();
            town.write(&[1], &tombstone(stream(nth), stamp(2_000)));
            town.change(|table, author| table.pause(west, false, author).unwrap());
            let verdict = verdict(&town, &mut waits, MINUTE).await.and_then(Verdict::status);
            assert_eq!(verdict, Some(told), "propagates: {propagates}");
            assert_eq!(status(&town, &order, SECOND).await, Some(told), "nor later");
            let there = town.west().holds(stream(nth));
            assert_eq!(there, propagates.then_some((stamp(2_000), true)));
            town.change(|table, author| table.delete(west, author).unwrap());
            town.rest(MINUTE).await;
        }
    });
}

#[test]
fn a_paused_feed_lets_it_wait_or_fails_at_once() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.change(|table, author| table.pause(id, true, author).unwrap());
        town.write(&[1], &object(stream(1), stamp(1_000)));
        assert_eq!(status(&town, &order(1), 30 * SECOND).await, None, "it waits");
        let at_once = SendOrder { wait_while_paused: false, ..order(1) };
        assert_eq!(status(&town, &at_once, SECOND).await, Some(2));
        let mut waits = town.feeds(1).send(&order(1)).unwrap();
        town.wait(HOUR).await;
        town.change(|table, author| table.pause(id, false, author).unwrap());
        assert_eq!(verdict(&town, &mut waits, SECOND).await.and_then(Verdict::status), Some(0));
        town.rest(SECOND).await;
    });
}

#[test]
fn what_is_forced_is_sent_though_it_was_done_and_can_fail_then() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.rest(5 * SECOND).await;
        town.west().lose(stream(1));
        let force = SendOrder { force: true, ..order(1) };
        assert_eq!(status(&town, &force, SECOND).await, Some(0));
        assert!(town.west().holds(stream(1)).is_some());
        let refused = Delivery::Object { status: 400, trouble: ObjectTrouble::Permanent };
        town.west().refuse(stream(1), Some(refused));
        assert_eq!(status(&town, &force, SECOND).await, Some(400));
        town.west().refuse(stream(1), None);
        town.wait(SECOND).await;
        assert_eq!(town.stats(1, 0).gauges.retrying, 1);
        assert_eq!(
            status(&town, &order(1), SECOND).await,
            Some(0),
            "it does not wait for the date"
        );
        town.rest(SECOND).await;
    });
}

#[test]
fn another_replica_is_asked_and_not_waited_for() {
    Plan::of(2).run(|town| async move {
        town.create(to("west"));
        town.set_may(2, swarm_feeds::MayWork::Paused);
        town.rest(5 * SECOND).await;
        town.write(&[2, 1], &object(stream(1), stamp(1_000)));
        let begun = town.env().now();
        assert_eq!(status(&town, &order(1), MINUTE).await, Some(0));
        assert!(town.env().now().since(begun) < SECOND, "who goes first is not waited for");
        town.wait(SECOND).await;
        assert!(town.shelf(2, 1).slot(stream(1), 0).is_some(), "and told");
        assert_eq!((town.west().asked(Asked::Probe), town.west().asked(Asked::Write)), (1, 1));
    });
}

#[test]
fn what_is_not_selected_not_there_or_not_known_is_told_apart() {
    Plan::of(1).run(|town| async move {
        let id = town.create(of_domains("west", &["acme.example"]));
        town.found_domain(1, (1, "other.example"), 2);
        town.write(&[1], &named(stream(1), stamp(1_000), alias(2)));
        let mut ticket = town.feeds(1).send(&order(1)).unwrap();
        assert_eq!(verdict(&town, &mut ticket, SECOND).await, Some(Verdict::OutOfScope));
        let mut ticket = town.feeds(1).send(&order(9)).unwrap();
        assert_eq!(verdict(&town, &mut ticket, SECOND).await, Some(Verdict::StreamGone));
        let unknown = SendOrder { feeds: vec![FeedId(0), FeedId(7)], ..order(1) };
        let refused = town.feeds(1).send(&unknown).unwrap_err();
        assert_eq!(refused, SendRefused::UnknownFeed(FeedId(7)));

        town.west().set_mood(Mood::Fine(MINUTE));
        town.found_domain(1, (3, "acme.example"), 4);
        town.write(&[1], &named(stream(3), stamp(1_000), alias(4)));
        town.wait(SECOND).await;
        let mut ticket = town.feeds(1).send(&order(3)).unwrap();
        town.change(|table, author| table.delete(id, author).unwrap());
        assert_eq!(verdict(&town, &mut ticket, SECOND).await, Some(Verdict::FeedGone));
        town.rest(2 * MINUTE).await;
    });
}

#[test]
fn who_gives_up_leaves_nothing_behind_and_too_many_are_turned_away() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.change(|table, author| table.pause(id, true, author).unwrap());
        town.write(&[1], &object(stream(1), stamp(1_000)));
        let mut tickets = Vec::new();
        let refused = loop {
            match town.feeds(1).send(&order(1)) {
                Ok(ticket) => tickets.push(ticket),
                Err(refused) => break refused,
            }
        };
        assert_eq!((refused, tickets.len()), (SendRefused::TooMany, 2_048));
        drop(tickets);
        town.wait(MINUTE).await;
        let queues = town.feeds(1).queues();
        assert!(queues.iter().any(|(name, depth, _)| name == "feed sends" && *depth == 0));
        town.change(|table, author| table.pause(id, false, author).unwrap());
        town.rest(MINUTE).await;
        assert_eq!(town.west().held(), 1);
    });
}
