//! The whole way: nodes with their feeds, a wide-area network that can be cut, and a cluster on its other side.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarm_feeds::stats::FeedState;
use swarm_feeds::wire::{encode_held, read_delete, read_import, read_probe};
use swarm_plan::feeds::{Held, Verdict, judge_import, judge_import_delete};
use swarm_sim::{HostId, Latency, LinkModel, SimHandle};
use swarm_types::{FeedOutcome, HeaderList, Stamp, StreamId};

use crate::kit::Heard;
use crate::kit::{HOUR, MINUTE, Plan, SECOND, Town, object, stamp, stream, to, tombstone, with};
use crate::pull::listen;

/// What the cluster on the other side has.
#[derive(Default)]
struct West {
    holds: BTreeMap<StreamId, (Stamp, Option<u64>)>,
    host: Option<HostId>,
    bodies: usize,
}

type Shared = Arc<Mutex<West>>;

impl West {
    fn held(&self, id: StreamId) -> Held {
        match self.holds.get(&id) {
            None => Held::Nothing,
            Some((stamp, Some(_))) => Held::Version { stamp: *stamp, intact: true },
            Some((stamp, None)) => Held::Tombstone(*stamp),
        }
    }

    fn answer(&mut self, heard: &Heard, body: &[u8]) -> (u16, HeaderList) {
        let Heard { path, query, headers, .. } = heard;
        let mut fields = HeaderList::default();
        let status = match heard.verb.as_str() {
            "GET" => {
                fields.push("Castor-System-Cluster", "west");
                200
            }
            "HEAD" => {
                let (_, identity) = read_probe(path, query, headers).unwrap();
                fields = encode_held(
                    self.held(StreamId::from_bytes(*identity.uuid.unwrap().as_bytes())),
                );
                200
            }
            "DELETE" => {
                let (_, deletion) = read_delete(query, headers).unwrap();
                let held = self.held(deletion.stream);
                let store = judge_import_delete(deletion.stamp, held) == Verdict::Store;
                if store {
                    self.holds.insert(deletion.stream, (deletion.stamp, None));
                }
                if store { 200 } else { 409 }
            }
            _ => {
                self.bodies += 1;
                let (_, import) = read_import(path, query, headers).unwrap();
                let id = StreamId::from_bytes(*import.identity.uuid.unwrap().as_bytes());
                assert_eq!(import.meta.length, body.len() as u64);
                let store =
                    judge_import(import.meta.kind, import.stamp, self.held(id)) == Verdict::Store;
                if store {
                    self.holds.insert(id, (import.stamp, Some(import.meta.length)));
                }
                if store { 201 } else { 409 }
            }
        };
        (status, fields)
    }
}

/// A town of so many nodes, and `west` behind a network of 20 to 60 ms.
fn plan(nodes: usize, seed: u64) -> (Plan, Shared) {
    let west = Shared::default();
    let theirs = Arc::clone(&west);
    let build = move |world: &SimHandle| {
        let host = world.add_node("west", Ipv4Addr::new(10, 2, 0, 1), 1);
        assert!(world.start(host).done(), "it was off");
        theirs.lock().unwrap().host = Some(host);
        let link = LinkModel {
            latency: Latency::even(Duration::from_millis(20), Duration::from_millis(60)),
            bandwidth_bits: 100_000_000,
            ..LinkModel::default()
        };
        world.set_link(0, 1, link);
        world.set_link(1, 0, link);
        drop(world.spawn_on(
            host,
            "listen",
            listen(world.env(host), move |heard, body| {
                let (status, fields) = theirs.lock().unwrap().answer(&heard, &body);
                let lines = fields.iter().fold(String::new(), |lines, header| {
                    format!("{lines}{}: {}\r\n", header.name, header.text().unwrap())
                });
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{lines}\r\n");
                async move { (answer.into_bytes(), true) }
            }),
        ));
    };
    (Plan { seed, world: Some(Box::new(build)), ..Plan::of(nodes) }, west)
}

/// Whatever a slot says was delivered is there.
fn check_honest(town: &Town, west: &Shared) {
    let west = west.lock().unwrap();
    for node in 1..=2 {
        for filed in town.shelf(node, 1).all() {
            let done = filed.slots.iter().any(|slot| slot.outcome == FeedOutcome::Success);
            let there = west.holds.get(&filed.id).is_some_and(|(stamp, _)| *stamp >= filed.stamp);
            assert!(there || !done, "{} is shown as delivered", filed.id);
        }
    }
}

/// Writes the nth object, or deletes it: the first replica on one of two nodes.
fn write(town: &Town, nth: u32, version: u64) {
    let nodes = if nth.is_multiple_of(2) { [1, 2] } else { [2, 1] };
    let (id, stamp) = (stream(nth), stamp(version));
    if version > 2_000 && nth.is_multiple_of(5) {
        town.write(&nodes, &tombstone(id, stamp));
        return;
    }
    let length = [100, 20_000, 400_000, 0][nth as usize % 4];
    town.write(&nodes, &with(object(id, stamp), |meta| meta.length = length));
}

#[test]
fn everything_crosses_a_wide_area_network_once() {
    let (plan, west) = plan(2, 1);
    plan.run(|town| async move {
        town.create(to("west"));
        town.wait(SECOND).await;
        (0..200).for_each(|nth| write(&town, nth, 1_000));
        town.rest(MINUTE).await;
        check_honest(&town, &west);
        {
            let west = west.lock().unwrap();
            assert_eq!((west.holds.len(), west.bodies), (200, 200));
            assert_eq!(west.holds[&stream(2)], (stamp(1_000), Some(400_000)));
        }
        (0..200).for_each(|nth| write(&town, nth, 3_000));
        town.rest(MINUTE).await;
        let west = west.lock().unwrap();
        assert_eq!(west.holds.values().filter(|(_, body)| body.is_none()).count(), 40);
    });
}

#[test]
fn a_network_that_is_cut_for_hours_costs_nothing_but_time() {
    for seed in 0..4 {
        let (plan, west) = plan(2, seed);
        plan.run(move |town| async move {
            town.create(to("west"));
            town.wait(SECOND).await;
            (0..100).for_each(|nth| write(&town, nth, 1_000));
            // In the middle of it.
            town.wait(SECOND / 2).await;
            let there = west.lock().unwrap().host.unwrap();
            let cut = town.world().cut(vec![vec![town.host()], vec![there]]).await;
            (100..300).for_each(|nth| write(&town, nth, 1_000));
            town.wait(10 * MINUTE).await;
            (0..100).for_each(|nth| write(&town, nth, 3_000));
            assert_eq!(town.stats(1, 0).state, FeedState::Blocked);
            check_honest(&town, &west);
            town.wait(2 * HOUR).await;
            assert!(town.world().heal(cut).await);
            let healed = town.env().now();
            town.rest(5 * MINUTE).await;
            let took = town.env().now().since(healed);
            assert!(took < 3 * MINUTE, "{took:?} to drain");
            check_honest(&town, &west);
            let west = west.lock().unwrap();
            for nth in 0..300 {
                let deleted = nth < 100 && nth % 5 == 0;
                let (held, body) = west.holds[&stream(nth)];
                assert_eq!(held, stamp(if nth < 100 { 3_000 } else { 1_000 }));
                assert_eq!(body.is_none(), deleted);
            }
            assert!(west.bodies <= 300 + 100 + 24, "{} bodies", west.bodies);
        });
    }
}
