//! SEND: who waits for one object.

use std::sync::atomic::Ordering;
use std::time::Duration;

use swarm_feeds::backoff::ObjectTrouble;
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::definition::RawFeed;
use swarm_feeds::result::Delivery;
use swarm_feeds::stats::FeedState;
use swarm_feeds::{MayWork, SendOrder, SendRefused, SendTicket, Shown, Verdict, Whereabouts};
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
        assert_eq!(town.west().hurries.load(Ordering::Relaxed), 5, "it waits for no others");
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
fn what_is_deleted_before_it_is_sent_is_not_said_to_be_there() {
    Plan::of(1).run(|town| async move {
        for (nth, propagates) in [(0, false), (1, true)] {
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
            assert_eq!(verdict, Some(404), "propagates: {propagates}");
            assert_eq!(status(&town, &order, SECOND).await, Some(404), "nor later");
            town.rest(MINUTE).await;
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
        assert_eq!(town.feeds(1).send(&at_once).unwrap().done, [(id, Verdict::Paused)]);
        assert_eq!(Verdict::Paused.status(), Some(1), "a time-out");
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
        town.set_may(2, MayWork::Paused);
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
        assert_eq!(verdict(&town, &mut ticket, SECOND).await, Some(Verdict::NotHere));
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
        // Those who are gone make room at once.
        tickets.truncate(2_047);
        tickets.push(town.feeds(1).send(&order(1)).unwrap());
        drop(tickets);
        town.wait(MINUTE).await;
        let queues = town.feeds(1).queues();
        assert!(queues.iter().any(|(name, depth, _)| name == "feed sends" && *depth == 0));
        town.change(|table, author| table.pause(id, false, author).unwrap());
        town.rest(MINUTE).await;
        assert_eq!(town.west().held(), 1);
    });
}

/// SCSP SEND: "If a feed-to-be-processed is blocked or paused, a failure or timeout response is given": also where it is paused
/// while a request waits that would wait for ever.
#[test]
fn a_feed_that_is_paused_later_lets_nobody_wait_for_ever() {
    Plan::of(1).run(|town| async move {
        let id = town.create(RawFeed { threads: Some(1), ..to("west") });
        town.rest(5 * SECOND).await;
        for (nth, pause_the_node) in [(1, false), (2, true)] {
            // Another object has its turn.
            town.west().set_mood(Mood::Fine(20 * SECOND));
            town.write(&[1], &object(stream(10 + nth), stamp(1_000)));
            town.wait(SECOND).await;
            town.write(&[1], &object(stream(nth), stamp(1_000)));
            let for_ever = SendOrder { wait_while_paused: false, ..order(nth) };
            let mut ticket = town.feeds(1).send(&for_ever).unwrap();
            let mut patient = town.feeds(1).send(&order(nth)).unwrap();
            assert_eq!(verdict(&town, &mut ticket, 3 * SECOND).await, None, "it waits");
            if pause_the_node {
                town.set_may(1, MayWork::Paused);
            } else {
                town.change(|table, author| table.pause(id, true, author).unwrap());
            }
            let told = verdict(&town, &mut ticket, 3 * SECOND).await;
            assert_eq!(told, Some(Verdict::Paused), "{pause_the_node}");
            assert_eq!(verdict(&town, &mut patient, 2 * SECOND).await, None, "it asked to");
            town.west().set_mood(Mood::Fine(SECOND / 100));
            town.set_may(1, MayWork::Yes);
            town.change(|table, author| table.pause(id, false, author).unwrap());
            let told = verdict(&town, &mut patient, MINUTE).await;
            assert_eq!(told.and_then(Verdict::status), Some(0));
            town.rest(MINUTE).await;
        }
    });
}

/// A transfer that is under way when its feed is paused ends as it began, and serves whoever waits for it.
#[test]
fn a_transfer_under_way_serves_also_when_its_feed_is_paused() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.west().set_mood(Mood::Fine(5 * SECOND));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.wait(SECOND).await;
        let for_ever = SendOrder { wait_while_paused: false, ..order(1) };
        let mut before = town.feeds(1).send(&for_ever).unwrap();
        town.change(|table, author| table.pause(id, true, author).unwrap());
        let mut after = town.feeds(1).send(&for_ever).unwrap();
        for ticket in [&mut before, &mut after] {
            let told = verdict(&town, ticket, 10 * SECOND).await;
            assert_eq!(told.and_then(Verdict::status), Some(0));
        }
    });
}

/// What a HEAD shows of the first object.
async fn shown(town: &Town, node: usize) -> Option<Verdict> {
    let all = town.feeds(node).status_everywhere(stream(1), stamp(1_000)).await;
    all.get(&FeedId(0)).copied().map(Verdict::Shown)
}

/// SCSP SEND: "The same value as a verbose HEAD/GET request", whichever replica is asked.
#[test]
fn what_was_forced_and_failed_is_not_done_any_more_whoever_is_asked() {
    for node in [1, 2] {
        Plan::of(2).run(move |town| async move {
            town.create(to("west"));
            town.rest(5 * SECOND).await;
            town.write(&[1, 2], &object(stream(1), stamp(1_000)));
            let done = |node| town.shelf(node, 1).slot(stream(1), 0).map(|slot| slot.status);
            town.until(MINUTE, "both know", || done(1) == Some(0) && done(2) == Some(0)).await;
            town.west().lose(stream(1));
            let refused = Delivery::Object { status: 500, trouble: ObjectTrouble::Transient };
            town.west().refuse(stream(1), Some(refused));
            town.wait(SECOND).await;
            let force = SendOrder { force: true, ..order(1) };
            let mut ticket = town.feeds(node).send(&force).unwrap();
            let told = verdict(&town, &mut ticket, SECOND).await;
            assert_eq!(told.and_then(Verdict::status), Some(500));
            assert_eq!(shown(&town, node).await, told, "a HEAD there shows the same at once");
            town.wait(SECOND).await;
            for asked in [1, 2] {
                assert_eq!(shown(&town, asked).await, told, "{asked} of {node}");
            }
            // And it is done in the end, though it was done before.
            town.west().refuse(stream(1), None);
            town.until(10 * MINUTE, "it is sent again", || town.west().held() == 1).await;
            town.until(MINUTE, "both know", || done(1) == Some(0) && done(2) == Some(0)).await;
            town.rest(20 * MINUTE).await;
        });
    }
}

/// SCSP SEND: "The HTTP time of the last replication attempt or success."
#[test]
fn what_was_forced_is_shown_with_its_own_time_whoever_is_asked() {
    Plan::of(2).run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.write(&[1, 2], &object(stream(1), stamp(1_000)));
        let at = |node| town.shelf(node, 1).slot(stream(1), 0).map(|slot| slot.at);
        town.until(MINUTE, "both know", || at(1).is_some() && at(1) == at(2)).await;
        let (first, begun) = (at(1), town.env().wall());
        town.wait(100 * SECOND).await;
        let force = SendOrder { force: true, ..order(1) };
        let mut ticket = town.feeds(2).send(&force).unwrap();
        let told = verdict(&town, &mut ticket, SECOND).await;
        let Some(Verdict::Shown(shown)) = told else { panic!("{told:?}") };
        assert!(shown.status == 0 && shown.at > Some(begun + 99 * SECOND), "{shown:?}");
        assert!(shown.at > first);
        let known = town.feeds(2).status(stream(1), stamp(1_000))[&FeedId(0)];
        assert_eq!(known, shown, "before it is durable");
        town.until(MINUTE, "both know", || at(1) == shown.at && at(2) == shown.at).await;
        town.rest(MINUTE).await;
    });
}

/// Somebody else's success of before is none for who has it sent again.
#[test]
fn who_forces_is_not_served_by_what_another_holder_did_before() {
    Plan::of(2).run(|town| async move {
        let id = town.create(to("west"));
        town.change(|table, author| table.pause(id, true, author).unwrap());
        town.rest(5 * SECOND).await;
        town.set_may(1, MayWork::Paused);
        town.write(&[2, 1], &object(stream(1), stamp(1_000)));
        let force = SendOrder { force: true, ..order(1) };
        let mut ticket = town.feeds(1).send(&force).unwrap();
        let mut plain = town.feeds(1).send(&order(1)).unwrap();
        town.change(|table, author| table.pause(id, false, author).unwrap());
        let told = verdict(&town, &mut plain, MINUTE).await.and_then(Verdict::status);
        assert_eq!(told, Some(0), "node 2 has done it, and said so");
        assert_eq!(town.west().asked(Asked::Write), 1);
        assert_eq!(verdict(&town, &mut ticket, MINUTE).await, None, "it waits for its own");
        town.set_may(1, MayWork::Yes);
        let told = verdict(&town, &mut ticket, MINUTE).await.and_then(Verdict::status);
        assert_eq!((told, town.west().asked(Asked::Write)), (Some(0), 2));
        town.rest(MINUTE).await;
    });
}

/// What a SEND joins may turn out to be done already: who forces has it sent then.
#[test]
fn who_forces_while_it_is_looked_up_has_it_sent() {
    Plan::of(2).run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.set_deaf(true);
        town.write(&[2, 1], &object(stream(1), stamp(1_000)));
        town.wait(SECOND).await;
        town.set_deaf(false);
        assert!(town.shelf(1, 1).slot(stream(1), 0).is_none(), "nobody told it");
        let mut plain = town.feeds(1).send(&order(1)).unwrap();
        // It asks the other holder now.
        town.wait(Duration::from_micros(1)).await;
        let force = SendOrder { force: true, ..order(1) };
        let mut ticket = town.feeds(1).send(&force).unwrap();
        let told = verdict(&town, &mut plain, SECOND).await.and_then(Verdict::status);
        assert_eq!(told, Some(0));
        let told = verdict(&town, &mut ticket, SECOND).await.and_then(Verdict::status);
        assert_eq!((told, town.west().asked(Asked::Write)), (Some(0), 2));
        town.rest(MINUTE).await;
    });
}

/// Our choice: 404 for what was deleted while the request waits, also where the delete is carried over.
#[test]
fn what_is_deleted_meanwhile_is_gone() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.rest(5 * SECOND).await;
        // While it is being delivered.
        town.west().set_mood(Mood::Fine(5 * SECOND));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        let mut ticket = town.feeds(1).send(&order(1)).unwrap();
        town.wait(SECOND).await;
        town.write(&[1], &tombstone(stream(1), stamp(2_000)));
        assert_eq!(verdict(&town, &mut ticket, SECOND).await, Some(Verdict::StreamGone));
        assert_eq!(Verdict::StreamGone.status(), Some(404));
        let late = town.feeds(1).send(&order(1)).unwrap();
        assert_eq!(late.done, [(FeedId(0), Verdict::StreamGone)]);
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.rest(MINUTE).await;
        assert_eq!(town.west().holds(stream(1)), Some((stamp(2_000), true)), "and carried over");
        // While the feed is paused.
        town.change(|table, author| table.pause(id, true, author).unwrap());
        town.write(&[1], &object(stream(2), stamp(1_000)));
        let mut ticket = town.feeds(1).send(&order(2)).unwrap();
        assert_eq!(verdict(&town, &mut ticket, SECOND).await, None);
        assert_eq!(town.feeds(1).whereabouts(stream(2), stamp(1_000)), Whereabouts::Here);
        town.write(&[1], &tombstone(stream(2), stamp(2_000)));
        assert_eq!(town.feeds(1).whereabouts(stream(2), stamp(1_000)), Whereabouts::Deleted);
        assert_eq!(verdict(&town, &mut ticket, SECOND).await, Some(Verdict::StreamGone));
    });
}

/// What was to be delivered has gone with its volume; something older, which was done before, is no success.
#[test]
fn an_older_version_that_is_left_is_no_answer() {
    Plan { volumes: 2, ..Plan::of(1) }.run(|town| async move {
        let id = town.create(to("west"));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.rest(5 * SECOND).await;
        town.change(|table, author| table.pause(id, true, author).unwrap());
        let newer = object(stream(1), stamp(2_000));
        town.shelf(1, 2).put(newer.clone());
        town.feeds(1).filed(newer.brief());
        let newest = SendOrder { stamp: stamp(2_000), ..order(1) };
        let mut ticket = town.feeds(1).send(&newest).unwrap();
        town.wait(SECOND).await;
        drop(town.pull(1, 2));
        town.change(|table, author| table.pause(id, false, author).unwrap());
        assert_eq!(verdict(&town, &mut ticket, SECOND).await, Some(Verdict::NotHere));
        town.rest(MINUTE).await;
    });
}

/// A newer version has taken its place, on other nodes: it was not deleted, and their feeds see to it.
#[test]
fn what_is_not_here_any_more_was_not_deleted() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.change(|table, author| table.pause(id, true, author).unwrap());
        town.write(&[1], &object(stream(1), stamp(1_000)));
        let mut ticket = town.feeds(1).send(&order(1)).unwrap();
        assert_eq!(verdict(&town, &mut ticket, SECOND).await, None);
        assert_eq!(town.feeds(1).whereabouts(stream(1), stamp(1_000)), Whereabouts::Here);
        assert_eq!(town.feeds(1).whereabouts(stream(1), stamp(2_000)), Whereabouts::NotHere);
        town.shelf(1, 1).take(stream(1));
        assert_eq!(town.feeds(1).whereabouts(stream(1), stamp(1_000)), Whereabouts::NotHere);
        town.change(|table, author| table.pause(id, false, author).unwrap());
        let told = verdict(&town, &mut ticket, MINUTE).await;
        assert_eq!(told, Some(Verdict::NotHere));
        assert_eq!(told.and_then(Verdict::status), Some(1), "not processed, and not 404");
        town.rest(MINUTE).await;
    });
}

/// SCSP SEND: "If there is no matching feed, there are no feed status headers": a feed that is paused does not match either,
/// whether its scope is judged before the request comes, or by it.
#[test]
fn out_of_scope_is_known_of_a_paused_feed_too() {
    Plan::of(1).run(|town| async move {
        let id = town.create(of_domains("west", &["acme.example"]));
        town.rest(5 * SECOND).await;
        town.change(|table, author| table.pause(id, true, author).unwrap());
        town.found_domain(1, (1, "other.example"), 2);
        for (nth, wait_while_paused) in [(1, true), (2, false), (3, true)] {
            town.write(&[1], &named(stream(nth), stamp(1_000), alias(2)));
            let order = SendOrder { wait_while_paused, ..order(nth) };
            let mut ticket = town.feeds(1).send(&order).unwrap();
            let told = verdict(&town, &mut ticket, SECOND).await;
            assert_eq!(told, Some(Verdict::OutOfScope), "{nth}");
            town.wait(SECOND).await;
            let again = town.feeds(1).send(&order).unwrap();
            assert_eq!(again.done, [(id, Verdict::OutOfScope)]);
            assert!(!town.feeds(1).status(stream(nth), stamp(1_000)).contains_key(&id));
        }
        assert_eq!(town.stats(1, 0).gauges.unqualified, 5, "the domain and the bucket too");
    });
}

/// SCSP SEND: "with no automatic retries".
#[test]
fn at_a_blocked_target_one_attempt_is_all_also_if_nobody_knows_what_came_of_it() {
    Plan::of(1).run(|town| async move {
        town.create(RawFeed { retry_wait: Some(3_600), ..to("west") });
        town.rest(5 * SECOND).await;
        town.west().set_mood(Mood::Trouble(TargetTrouble::Full));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.wait(MINUTE).await;
        assert_eq!(town.stats(1, 0).state, FeedState::Blocked);
        town.west().set_mood(Mood::Forgets);
        town.west().forget_calls();
        let mut ticket = town.feeds(1).send(&order(1)).unwrap();
        let told = verdict(&town, &mut ticket, MINUTE).await;
        let shown = town.feeds(1).status(stream(1), stamp(1_000))[&FeedId(0)];
        assert_eq!(told, Some(Verdict::Shown(shown)), "what a HEAD shows");
        town.wait(MINUTE).await;
        let asked = [Asked::Greeting, Asked::Probe, Asked::Write].map(|it| town.west().asked(it));
        assert!(asked[1] + asked[2] == 1, "one attempt: {asked:?}");
    });
}

/// A holder that does not answer is waited for once, not for every feed.
#[test]
fn all_feeds_are_asked_about_at_once() {
    Plan::of(2).run(|town| async move {
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            let id = town.create(RawFeed { name: Some(name.to_owned()), ..to("west") });
            town.change(|table, author| table.pause(id, true, author).unwrap());
        }
        town.write(&[1, 2], &object(stream(1), stamp(1_000)));
        let begun = town.env().now();
        let shown = town.feeds(1).status_everywhere(stream(1), stamp(1_000)).await;
        let took = town.env().now().since(begun);
        assert_eq!(shown.values().filter(|shown| shown.status == 1).count(), 8);
        // There and back, each less than a millisecond.
        assert!(took < Duration::from_millis(2), "{took:?}");
    });
}

/// What was asked for is done, be it that nobody waits for it any more.
#[test]
fn what_was_forced_is_sent_though_nobody_waits_any_more() {
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.rest(5 * SECOND).await;
        let first = town.shelf(1, 1).slot(stream(1), 0).unwrap().at;
        let force = SendOrder { force: true, ..order(1) };
        // While the feed is paused.
        town.change(|table, author| table.pause(id, true, author).unwrap());
        assert_eq!(status(&town, &force, 5 * SECOND).await, None);
        town.wait(MINUTE).await;
        town.change(|table, author| table.pause(id, false, author).unwrap());
        town.rest(MINUTE).await;
        assert_eq!(town.west().asked(Asked::Write), 2);
        let second = town.shelf(1, 1).slot(stream(1), 0).unwrap().at;
        assert!(second > first + MINUTE, "{second:?}");
        // Where nobody knows what came of it, and where it fails.
        let refused = Delivery::Object { status: 500, trouble: ObjectTrouble::Transient };
        for how in [Delivery::Unknown, refused, Delivery::Target(TargetTrouble::Refused)] {
            town.west().lose(stream(1));
            town.west().refuse(stream(1), Some(how));
            drop(town.feeds(1).send(&force).unwrap());
            town.wait(30 * SECOND).await;
            town.west().refuse(stream(1), None);
            let there = || town.west().holds(stream(1)).is_some();
            town.until(10 * MINUTE, "it is brought all the same", there).await;
            town.rest(10 * MINUTE).await;
        }
        // Once, and not for ever.
        town.west().forget_calls();
        town.wait(HOUR).await;
        assert_eq!(town.west().asked(Asked::Write), 0);
    });
}

/// SCSP SEND: `force`. Our choice: 1,024 at a time find a place at a feed, and each is carried out though nobody waits any more;
/// one more is refused, and not forgotten.
#[test]
fn what_is_forced_is_refused_or_carried_out() {
    const PLACES: u32 = 1_024;
    Plan::of(1).run(|town| async move {
        let id = town.create(to("west"));
        (0..=PLACES).for_each(|nth| town.write(&[1], &object(stream(nth), stamp(1_000))));
        town.rest(5 * MINUTE).await;
        assert_eq!(town.west().asked(Asked::Write), 1_025);
        town.west().forget_calls();
        town.change(|table, author| table.pause(id, true, author).expect("it is there"));
        let force = |nth| town.feeds(1).send(&SendOrder { force: true, ..order(nth) });
        (0..PLACES).for_each(|nth| drop(force(nth).expect("there is a place")));
        assert_eq!(force(PLACES).err(), Some(SendRefused::TooMany));
        assert!(force(3).is_ok(), "it has its place");
        town.wait(MINUTE).await;
        town.change(|table, author| table.pause(id, false, author).expect("it is there"));
        town.rest(MINUTE).await;
        assert_eq!(town.west().asked(Asked::Write), 1_024);
        assert!(force(PLACES).is_ok(), "there are places again");
        town.rest(MINUTE).await;
        assert_eq!(town.west().asked(Asked::Write), 1_025);
    });
}

/// Who forces what is being looked up, and goes, has it sent.
#[test]
fn who_forces_and_goes_while_it_is_looked_up_has_it_sent() {
    Plan::of(2).run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.set_deaf(true);
        town.write(&[2, 1], &object(stream(1), stamp(1_000)));
        town.wait(SECOND).await;
        town.set_deaf(false);
        let _plain = town.feeds(1).send(&order(1)).unwrap();
        town.wait(Duration::from_micros(1)).await;
        drop(town.feeds(1).send(&SendOrder { force: true, ..order(1) }).unwrap());
        town.rest(MINUTE).await;
        assert_eq!(town.west().asked(Asked::Write), 2);
    });
}

/// A failure takes a success back only if it was asked for: who had not heard of the success tried in vain.
#[test]
fn a_success_that_was_not_told_stands_against_a_later_failure() {
    Plan::of(2).run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.set_deaf(true);
        town.write(&[1, 2], &object(stream(1), stamp(1_000)));
        town.wait(MINUTE).await;
        let done = town.shelf(1, 1).slot(stream(1), 0).unwrap();
        // The other comes to its turn while nobody answers, and the target has lost it and fails.
        town.west().lose(stream(1));
        let refused = Delivery::Object { status: 500, trouble: ObjectTrouble::Transient };
        town.west().refuse(stream(1), Some(refused));
        let failed = || town.shelf(2, 1).slot(stream(1), 0).is_some_and(|slot| slot.status == 500);
        town.until(10 * MINUTE, "it fails", failed).await;
        town.set_deaf(false);
        let of_done = Some(Verdict::Shown(Shown { status: 0, at: Some(done.at) }));
        for asked in [1, 2] {
            assert_eq!(shown(&town, asked).await, of_done, "{asked}");
        }
        town.rest(10 * MINUTE).await;
        assert_eq!(town.shelf(2, 1).slot(stream(1), 0), Some(done), "its next turn adopts it");
        assert_eq!(town.shelf(1, 1).slot(stream(1), 0), Some(done));
    });
}

/// One that was forced takes it back, also where its holder has not heard of it, and the next attempt is made.
#[test]
fn a_forced_failure_that_was_not_told_takes_a_success_back() {
    Plan::of(3).run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.write(&[1, 2, 3], &object(stream(1), stamp(1_000)));
        let done = |node| town.shelf(node, 1).slot(stream(1), 0).map(|slot| slot.status);
        town.until(MINUTE, "all know", || (1..=3).all(|node| done(node) == Some(0))).await;
        town.west().lose(stream(1));
        let refused = Delivery::Object { status: 500, trouble: ObjectTrouble::Transient };
        town.west().refuse(stream(1), Some(refused));
        town.wait(SECOND).await;
        town.set_deaf(true);
        let force = SendOrder { force: true, ..order(1) };
        let mut ticket = town.feeds(2).send(&force).unwrap();
        let told = verdict(&town, &mut ticket, SECOND).await;
        assert_eq!(told.and_then(Verdict::status), Some(500));
        town.wait(SECOND).await;
        town.set_deaf(false);
        assert_eq!(shown(&town, 2).await, told, "the others say that it was done before");
        town.west().refuse(stream(1), None);
        town.until(10 * MINUTE, "it is sent again", || town.west().held() == 1).await;
        town.rest(20 * MINUTE).await;
    });
}

/// SCSP SEND: "with no automatic retries": an attempt of which nobody knows what came is not repeated because somebody waits.
#[test]
fn who_waits_makes_no_attempt_come_earlier() {
    Plan::of(1).run(|town| async move {
        town.create(to("west"));
        town.rest(5 * SECOND).await;
        town.west().refuse(stream(1), Some(Delivery::Unknown));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        let mut ticket = town.feeds(1).send(&order(1)).unwrap();
        assert_eq!(verdict(&town, &mut ticket, 55 * SECOND).await, None);
        assert_eq!(town.west().asked(Asked::Write), 1);
        town.west().refuse(stream(1), None);
        let told = verdict(&town, &mut ticket, 30 * SECOND).await.and_then(Verdict::status);
        assert_eq!(told, Some(0), "the feed goes on by itself");
    });
}

/// What is tried at a target that takes nothing is not to blame for what becomes of it.
#[test]
fn nothing_is_blamed_for_attempts_at_a_blocked_target() {
    Plan::of(1).run(|town| async move {
        town.create(RawFeed { retry_wait: Some(3_600), ..to("west") });
        town.rest(5 * SECOND).await;
        town.west().set_mood(Mood::Trouble(TargetTrouble::Full));
        town.write(&[1], &object(stream(1), stamp(1_000)));
        town.wait(MINUTE).await;
        assert_eq!(town.stats(1, 0).state, FeedState::Blocked);
        town.west().set_mood(Mood::Fine(SECOND / 100));
        town.west().refuse(stream(1), Some(Delivery::Unknown));
        for attempt in 1..=3 {
            assert_eq!(status(&town, &order(1), MINUTE).await, Some(1), "{attempt}");
            town.wait(SECOND).await;
            assert_eq!(town.shelf(1, 1).slot(stream(1), 0), None, "{attempt}");
        }
    });
}
