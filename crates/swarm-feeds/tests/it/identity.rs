//! Every stream is in exactly one state, whatever happens; and in the end all is where it belongs.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_env::Env;
use swarm_feeds::backoff::ObjectTrouble;
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::definition::RawFeed;
use swarm_feeds::result::Delivery;
use swarm_feeds::{Filed, MayWork, SendOrder, Streams, Verdict};
use swarm_types::{FeedId, FeedOutcome, Stamp, StreamId};

use crate::kit::{
    HOUR, MINUTE, Mood, Plan, SECOND, Town, object, of_domains, stamp, stream, to, tombstone,
};

/// The newest of everything that was written, and whether it is a delete.
type Written = BTreeMap<StreamId, (Stamp, bool)>;

fn check_gauges(town: &Town, nodes: usize) {
    for node in 1..=nodes {
        let all: Vec<_> = (1..=2).flat_map(|nth| town.shelf(node, nth).all()).collect();
        for (feed, shown) in town.feeds(node).stats() {
            let streams = u64::try_from(all.len()).unwrap();
            let gauges = shown.gauges;
            assert_eq!(gauges.streams(), streams, "feed {feed} on node {node}: {gauges:?}");
        }
    }
}

/// What is durable says the same as what is shown, once nothing moves.
fn check_census(town: &Town, nodes: usize) {
    for node in 1..=nodes {
        let all: Vec<_> = (1..=2).flat_map(|nth| town.shelf(node, nth).all()).collect();
        let table = town.feeds(node).table();
        for (feed, shown) in town.feeds(node).stats() {
            let mark = table.get(feed).unwrap().mark(&"east".into());
            let count = |wanted: FeedOutcome| {
                let slots = all.iter().filter_map(|filed| filed.slots.get(feed, mark));
                slots.filter(|slot| slot.outcome == wanted).count() as u64
            };
            assert_eq!(shown.gauges.success, count(FeedOutcome::Success));
            assert_eq!(shown.gauges.unqualified, count(FeedOutcome::Unqualified));
            assert_eq!(shown.gauges.retrying, 0);
            assert_eq!(shown.gauges.waiting() + shown.gauges.in_progress, 0);
        }
    }
}

fn draw(env: &Env, bound: u64) -> u64 {
    env.random_below("story", bound)
}

/// Something happens.
fn happens(town: &Town, written: &mut Written) {
    let env = town.env().clone();
    let west = town.west();
    match draw(&env, 26) {
        20 | 21 => {
            // An old copy turns up, on a volume that has been away.
            let id = stream(u32::try_from(draw(&env, 150)).unwrap());
            let node = 1 + usize::try_from(draw(&env, 3)).unwrap();
            if written.contains_key(&id) {
                town.shelf(node, 2).put(Filed { first: false, ..object(id, stamp(5)) });
                town.feeds(node).filed(town.shelf(node, 2).find(id).unwrap().brief());
            }
        }
        22 => {
            let node = 1 + usize::try_from(draw(&env, 3)).unwrap();
            let shelf = town.pull(node, 2);
            shelf.take(stream(u32::try_from(draw(&env, 150)).unwrap()));
            town.insert(node, shelf);
        }
        23 => {
            let node = 1 + usize::try_from(draw(&env, 3)).unwrap();
            let may = [MayWork::Yes, MayWork::Paused, MayWork::No];
            town.set_may(node, may[usize::try_from(draw(&env, 3)).unwrap()]);
        }
        24 | 25 => {
            let node = 1 + usize::try_from(draw(&env, 3)).unwrap();
            let id = stream(u32::try_from(draw(&env, 150)).unwrap());
            let stamp = written.get(&id).map_or(stamp(1), |(stamp, _)| *stamp);
            let feeds = vec![FeedId(0), FeedId(1)];
            let force = draw(&env, 2) == 0;
            let order = SendOrder { id, stamp, feeds, force, wait_while_paused: true };
            let mut ticket = town.feeds(node).send(&order).unwrap();
            let patience = Duration::from_secs(draw(&env, 100));
            let theirs = env.clone();
            drop(env.spawn("send", async move {
                while let Ok(Some((_, verdict))) =
                    theirs.timeout(patience, ticket.rest.next()).await
                {
                    assert_ne!(verdict, Verdict::FeedGone);
                }
            }));
        }
        0..12 => {
            let id = stream(u32::try_from(draw(&env, 150)).unwrap());
            let stamp = stamp(env.wall().millis() + 1_000);
            let deletes = draw(&env, 4) == 0;
            let filed = if deletes { tombstone(id, stamp) } else { object(id, stamp) };
            written.insert(id, (stamp, deletes));
            let nodes = [[1, 2], [2, 3], [3, 1]][usize::try_from(draw(&env, 3)).unwrap()];
            for node in 1..=3 {
                // Whoever has the older drops it.
                town.shelf(node, 1).take(id);
            }
            town.write(&nodes, &filed);
        }
        12 => west.set_mood(Mood::Trouble(TargetTrouble::Silent)),
        13 => west.set_mood(Mood::Trouble(TargetTrouble::Full)),
        14 => west.set_mood(Mood::Forgets),
        15 => west.set_mood(Mood::Fine(Duration::from_millis(draw(&env, 2_000)))),
        16 => {
            let id = stream(u32::try_from(draw(&env, 150)).unwrap());
            let refused = Delivery::Object { status: 500, trouble: ObjectTrouble::Transient };
            west.refuse(id, Some(refused));
        }
        17 => town.set_deaf(draw(&env, 2) == 0),
        18 => town.change(|table, author| {
            let paused = table.get(FeedId(0)).unwrap().definition.paused;
            table.pause(FeedId(0), !paused, author).unwrap();
        }),
        _ => match draw(&env, 3) {
            0 => town.change(|table, author| table.restart(FeedId(0), author).unwrap()),
            1 => town.edit(
                FeedId(0),
                RawFeed { threads: Some(1 + draw(&env, 8)), ..RawFeed::default() },
            ),
            _ => {}
        },
    }
}

#[test]
fn whatever_happens_nothing_is_lost_or_counted_twice() {
    for seed in 0..20 {
        let plan = Plan { seed, volumes: 2, elsewhere: &["west", "north"], ..Plan::of(3) };
        plan.run(|town| async move {
            town.create(to("west"));
            town.create(of_domains("north", &["nowhere.example"]));
            let mut written = Written::new();
            for _ in 0..400 {
                happens(&town, &mut written);
                let pause = draw(town.env(), 4_000);
                town.wait(Duration::from_millis(pause)).await;
                check_gauges(&town, 3);
            }
            town.west().set_mood(Mood::Fine(SECOND / 100));
            town.set_deaf(false);
            (1..=3).for_each(|node| town.set_may(node, MayWork::Yes));
            (0..150).for_each(|nth| town.west().refuse(stream(nth), None));
            town.change(|table, author| table.pause(FeedId(0), false, author).unwrap());
            town.wait(3 * HOUR).await;
            town.rest(20 * MINUTE).await;
            check_gauges(&town, 3);
            check_census(&town, 3);
            for (id, newest) in &written {
                assert_eq!(town.west().holds(*id), Some(*newest), "{id}");
            }
            assert_eq!((town.west().held(), town.elsewhere("north").held()), (written.len(), 0));
        });
    }
}
