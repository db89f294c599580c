//! Clusters that heal: what is missing is made anew, what is too much goes, what is rotten is replaced, and nothing that
//! was deleted comes back. Whether copies are there is read from the indexes of the volumes, not asked of the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use swarm_node::api::Refusal;
use swarm_node::{NodeState, VolumeState};
use swarm_sim::LinkModel;
use swarm_types::{Timestamp, httpdate};

use crate::cluster::{Cluster, Form, Put, Shape, named, post};

/// A cycle in a minute, in which surplus copies are found.
const FAST: [(&str, &str); 3] = [
    ("health.cycleTime", "60"),
    ("health.visitsPerSecond", "1000"),
    ("health.replicationMulticastFrequency", "100"),
];
const CYCLE: Duration = Duration::from_secs(60);
/// When a node that vanished counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(180);
/// Until lost volumes are looked for again, and what was on one of these small ones is made anew.
const RECOVERED_WITHIN: Duration = Duration::from_secs(40);
/// Copies of a domain or bucket.
const CONTEXT_COPIES: usize = 3;

/// The nodes that file something of this kind, by stream.
type Census = BTreeMap<Vec<u8>, Vec<u8>>;

/// A cluster with some objects.
struct Story {
    cluster: Cluster,
    nodes: u8,
    objects: BTreeMap<String, Bytes>,
}

impl Story {
    fn of(nodes: u8, seed: u64, more: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = FAST.iter().chain(more).copied().collect();
        Self::shaped(&Shape { settings: &settings, ..Shape::of(nodes, seed) })
    }

    fn shaped(shape: &Shape<'_>) -> Self {
        let cluster = Cluster::shaped(shape).and_bucket();
        Self { cluster, nodes: shape.nodes, objects: BTreeMap::new() }
    }

    /// Stores some objects of different lengths.
    fn with_objects(mut self, count: usize) -> Self {
        for number in 0..count {
            let body = Bytes::from(vec![u8::try_from(number % 251).unwrap_or(0); number * 5003]);
            self.put(&format!("o{number}"), body, None);
        }
        self.settle();
        self
    }

    fn put(&mut self, name: &str, body: Bytes, lifepoints: Option<&'static str>) {
        let mut put = Put { body: body.clone(), ..post(named(name), b"") };
        if let Some(lifepoints) = lifepoints {
            put = put.header("Lifepoint", lifepoints);
        }
        self.cluster.put(1, &put).expect("stored");
        self.objects.insert(name.to_owned(), body);
    }

    fn running(&self) -> Vec<u8> {
        (1..=self.nodes).filter(|node| self.cluster.client().node(*node).is_some()).collect()
    }

    /// Waits until every volume has seen two whole cycles more in which nothing was done.
    fn settle(&mut self) {
        let cycles = |story: &Self| -> Vec<u64> {
            let statuses = story.running().into_iter().map(|node| story.cluster.status(node));
            statuses
                .flat_map(|status| status.health.volumes.into_values())
                .map(|w| w.cycles)
                .collect()
        };
        let before = cycles(self);
        for _ in 0..240 {
            self.cluster.run_for(Duration::from_secs(5));
            let quiet = self.running().into_iter().all(|node| {
                let status = self.cluster.status(node);
                status.health.is_quiet_for(2)
            });
            let on = cycles(self).iter().zip(&before).all(|(now, then)| *now >= then + 3);
            if quiet && on {
                return;
            }
        }
        let health: Vec<_> =
            self.running().into_iter().map(|node| self.cluster.status(node).health).collect();
        panic!("no rest in twenty minutes: {health:#?}\n{:?}", self.census(Form::Sound));
    }

    fn census(&self, of: Form) -> Census {
        let mut census = Census::new();
        for node in self.running() {
            for filed in self.cluster.filed(node).into_iter().filter(|filed| filed.form == of) {
                census.entry(filed.id).or_default().push(node);
            }
        }
        census
    }

    /// Every object is there with its bytes, whoever is asked.
    fn all_readable(&mut self) {
        for (name, body) in self.objects.clone() {
            for via in self.running() {
                assert_eq!(self.cluster.get(via, &named(&name)), Ok(body.clone()), "{name}");
            }
        }
    }

    /// Every object has exactly so many copies, each on a node of its own, and so have the contexts.
    fn protected_by(&mut self, copies: usize) {
        let census = self.census(Form::Sound);
        let mut counts: Vec<usize> = census.values().map(Vec::len).collect();
        counts.sort_unstable();
        let mut expected = vec![copies; self.objects.len()];
        expected.extend([CONTEXT_COPIES.min(self.running().len()); 2]);
        expected.sort_unstable();
        assert_eq!(counts, expected, "{census:?}");
        for nodes in census.values() {
            assert_eq!(nodes.iter().collect::<BTreeSet<_>>().len(), nodes.len(), "{census:?}");
        }
        self.all_readable();
    }

    fn fewest_copies(&self) -> usize {
        self.census(Form::Sound).values().map(Vec::len).min().unwrap_or(0)
    }

    fn count(&self, node: u8, what: &str) -> u64 {
        self.cluster.status(node).health.counters.get(what).copied().unwrap_or(0)
    }

    fn actions(&self) -> Vec<u64> {
        self.running().into_iter().map(|node| self.cluster.status(node).health.actions).collect()
    }

    fn power_off(&mut self, number: u8) {
        let client = self.cluster.client();
        self.cluster.block_on(async move { client.power_off(number).await });
    }

    /// So many seconds from now, as a lifepoint says it.
    fn date_in(&self, secs: u64) -> String {
        let at = self.cluster.env().wall() + Duration::from_secs(secs);
        httpdate::format(Timestamp::from_secs(at.secs()))
    }
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[test]
fn what_a_wiped_node_held_is_fully_protected_again_within_a_cycle() {
    let mut story = Story::of(4, 1, &[]).with_objects(24);
    story.protected_by(2);
    let before = story.cluster.filed(2).len();
    story.cluster.wipe(2);
    // The first copies may have come back to it already.
    assert!(story.cluster.filed(2).len() < before / 2, "most of what it had is gone");
    story.cluster.run_for(CYCLE + Duration::from_secs(10));
    assert!(story.fewest_copies() >= 2, "{:?}", story.census(Form::Sound));
    story.settle();
    story.protected_by(2);
}

#[test]
fn a_lost_node_is_recovered_three_minutes_after_it_vanished_and_not_before() {
    let mut story = Story::of(4, 2, &[]).with_objects(24);
    story.power_off(3);
    story.cluster.run_for(LOST_AFTER - Duration::from_secs(15));
    assert_eq!(story.fewest_copies(), 1, "it is waited for");
    story.cluster.run_for(Duration::from_secs(15) + RECOVERED_WITHIN);
    assert_eq!(story.fewest_copies(), 2, "{:?}", story.census(Form::Sound));
    story.settle();
    story.protected_by(2);
}

#[test]
fn nothing_is_recovered_within_three_hours_of_a_graceful_stop() {
    let mut story = Story::of(4, 3, &[("power.sleepAfter", "0")]).with_objects(24);
    story.cluster.stop(3);
    story.cluster.client().forget(3);
    story.cluster.run_for(Duration::from_secs(3 * 3600 - 60));
    assert_eq!(story.fewest_copies(), 1, "it is waited for");
    story.cluster.run_for(Duration::from_secs(60) + RECOVERED_WITHIN);
    assert_eq!(story.fewest_copies(), 2, "{:?}", story.census(Form::Sound));
}

#[test]
fn a_surplus_goes_and_nothing_else_whatever_the_network_loses() {
    for seed in 0..4 {
        let mut story = Story::of(5, seed, &[]).with_objects(16);
        let calm = LinkModel::default();
        let rough =
            LinkModel { loss_ppm: 50_000, duplicate_ppm: 100_000, reorder_ppm: 200_000, ..calm };
        story.power_off(3);
        story.cluster.run_for(LOST_AFTER + RECOVERED_WITHIN);
        story.cluster.start(3);
        let there =
            |story: &Story| -> usize { story.census(Form::Sound).values().map(Vec::len).sum() };
        let surplus = there(&story);
        assert!(surplus > 2 * 16 + 2 * CONTEXT_COPIES, "its copies were made anew meanwhile");
        story.cluster.world().set_link(1, 1, rough);
        for _ in 0..60 {
            story.cluster.run_for(Duration::from_secs(5));
            assert!(story.fewest_copies() >= 2, "seed {seed}: {:?}", story.census(Form::Sound));
        }
        assert!(there(&story) < surplus, "seed {seed}: some of it goes in a rough network too");
        story.cluster.world().set_link(1, 1, calm);
        story.settle();
        story.protected_by(2);
    }
}

#[test]
fn rotten_copies_are_quarantined_and_replaced() {
    let mut story = Story::of(4, 5, &[]).with_objects(24);
    story.cluster.rot_all(2);
    story.settle();
    assert!(story.count(2, "replicas quarantined") > 0);
    story.protected_by(2);
    assert_eq!(story.census(Form::Quarantined), Census::new());
    story.cluster.rot_all(1);
    story.all_readable();
}

#[test]
fn the_last_copy_is_kept_however_bad_it_is() {
    let one = [("policy.replicas", "min:1 max:16 default:1"), ("scsp.defaultContextReplicas", "1")];
    let mut story = Story::of(3, 6, &one).with_objects(8);
    for node in 1..=3 {
        story.cluster.rot_all(node);
    }
    story.cluster.run_for(5 * CYCLE);
    assert_eq!(story.census(Form::Sound).len(), 3, "empty bodies cannot rot");
    assert_eq!(story.census(Form::Quarantined).len(), 7, "everything else is still there");
}

#[test]
fn a_read_that_meets_a_bad_block_has_the_copy_replaced_at_once() {
    let settings = [("health.cycleTime", "86400"), ("policy.replicas", "min:2 max:16 default:2")];
    let mut story = Story::shaped(&Shape { settings: &settings, ..Shape::of(4, 7) });
    let body = Bytes::from(vec![7; 200_000]);
    let put = Put { body: body.clone(), ..post(named("x"), b"") };
    let holders = Cluster::holders(&story.cluster.put(1, &put).expect("stored"));
    // Longer than a version counts as just written.
    story.cluster.run_for(Duration::from_secs(20));
    story.cluster.rot_all(holders[0]);
    assert_eq!(story.cluster.get(holders[0], &named("x")), Ok(body));
    story.cluster.run_for(Duration::from_secs(5));
    assert_eq!(story.count(holders[0], "replicas quarantined"), 1, "nobody waits for a cycle");
    let census = story.census(Form::Sound);
    assert!(census.values().all(|nodes| nodes.len() >= 2), "{census:?}");
    assert_eq!(story.census(Form::Quarantined), Census::new());
}

/// With no other node left to take it, the copy takes the place of the bad one, and serves where that did not.
#[test]
fn a_copy_that_takes_the_place_of_a_bad_one_serves_at_once() {
    let settings = [("health.cycleTime", "86400"), ("policy.replicas", "min:2 max:16 default:2")];
    let mut story = Story::shaped(&Shape { settings: &settings, ..Shape::of(2, 16) });
    let body = Bytes::from(vec![7; 200_000]);
    let put = Put { body: body.clone(), ..post(named("x"), b"") };
    story.cluster.put(1, &put).expect("stored");
    story.cluster.run_for(Duration::from_secs(20));
    story.cluster.rot_all(1);
    assert_eq!(story.cluster.get(1, &named("x")), Ok(body.clone()));
    story.cluster.run_for(Duration::from_secs(5));
    assert_eq!(story.count(1, "copies received"), 1);
    story.power_off(2);
    assert_eq!(story.cluster.get(1, &named("x")), Ok(body));
}

#[test]
fn a_volume_that_returns_late_resurrects_nothing() {
    // Tombstones are dropped after 600 s and an eighth; what comes back after 600 s is refused.
    let mut story = Story::of(4, 8, &[("disk.obsoleteTimeout", "600")]).with_objects(24);
    story.power_off(3);
    for name in std::mem::take(&mut story.objects).into_keys() {
        story.cluster.delete(1, &named(&name)).expect("deleted");
    }
    assert!(!story.census(Form::Tombstone).is_empty());
    story.cluster.run_for(Duration::from_secs(900));
    assert_eq!(story.census(Form::Tombstone), Census::new(), "they have served their time");
    story.cluster.start(3);
    let status = story.cluster.status(3);
    assert_eq!(status.volumes[0].state, VolumeState::Unavailable);
    assert_eq!(status.state, NodeState::Error);
    story.cluster.run_for(3 * CYCLE);
    for number in 0..24 {
        for via in 1..=4 {
            let there = story.cluster.get(via, &named(&format!("o{number}")));
            assert_eq!(there, Err(Refusal::NotFound));
        }
    }
}

/// Data Protection, Stale Volumes and the ":k" flag: what clients deleted may come back with a stale volume that is mounted by
/// order; what a lifepoint has ended is gone again as soon as the health processor has come by.
#[test]
fn a_stale_volume_mounted_by_order_brings_back_what_clients_deleted_and_nothing_else() {
    let settings = [("disk.obsoleteTimeout", "600"), ("policy.replicas", "min:1 max:16 default:4")];
    let mut story = Story::of(4, 17, &settings);
    let lifepoints = leaked(format!("[{}] reps=4, [] delete", story.date_in(1200)));
    story.put("deleted", Bytes::from_static(b"by a client"), None);
    story.put("ended", Bytes::from_static(b"by its lifepoint"), Some(lifepoints));
    story.settle();
    story.protected_by(4);
    story.power_off(4);
    story.cluster.delete(1, &named("deleted")).expect("deleted");
    // Both have ended, and everybody has forgotten that: 600 s and an eighth later.
    story.cluster.run_for(Duration::from_secs(2400));
    assert_eq!(story.census(Form::Tombstone), Census::new());
    assert_eq!(story.census(Form::Sound).len(), 2, "the contexts");
    story.cluster.start(4);
    let refused = story.cluster.status(4).volumes.remove(0);
    assert_eq!(refused.state, VolumeState::Unavailable);
    let disk = refused.disk.as_str().into();
    let mounted = story.cluster.on(4, move |node| async move {
        node.mount_stale(&disk).await.expect("it is stale and nothing else")
    });
    assert_eq!(mounted, VolumeState::Ok);
    assert_eq!(story.census(Form::Sound).len(), 4, "on its disk both are there");
    story.cluster.run_for(2 * CYCLE);
    for via in 1..=4 {
        assert_eq!(story.cluster.get(via, &named("ended")), Err(Refusal::NotFound));
    }
    assert_eq!(story.census(Form::Sound).len(), 3, "nobody has a copy of what its lifepoint ended");
    story.objects.remove("ended");
    story.settle();
    story.protected_by(4);
}

#[test]
fn a_volume_that_returns_in_time_learns_what_was_deleted() {
    let mut story = Story::of(4, 9, &[]).with_objects(24);
    story.power_off(3);
    for number in 0..12 {
        let name = format!("o{number}");
        story.objects.remove(&name);
        story.cluster.delete(1, &named(&name)).expect("deleted");
    }
    story.cluster.run_for(LOST_AFTER + RECOVERED_WITHIN);
    story.cluster.start(3);
    story.settle();
    story.protected_by(2);
    for number in 0..12 {
        assert_eq!(story.cluster.get(3, &named(&format!("o{number}"))), Err(Refusal::NotFound));
    }
}

#[test]
fn a_retiring_node_is_emptied_and_then_retired() {
    let mut story = Story::of(4, 10, &[]).with_objects(24);
    story.cluster.delete(1, &named("o0")).expect("deleted");
    story.objects.remove("o0");
    assert_eq!(story.cluster.retire(4, 0), Ok(VolumeState::Retiring));
    for _ in 0..60 {
        story.cluster.run_for(Duration::from_secs(10));
        assert!(story.fewest_copies() >= 2, "{:?}", story.census(Form::Sound));
        if story.cluster.status(4).state == NodeState::Retired {
            break;
        }
    }
    assert_eq!(story.cluster.status(4).state, NodeState::Retired);
    assert_eq!(story.cluster.filed(4), vec![]);
    story.power_off(4);
    story.settle();
    story.protected_by(2);
}

#[test]
fn an_object_that_its_lifepoint_ends_is_gone_with_its_bytes() {
    let mut story = Story::of(3, 11, &[("disk.obsoleteTimeout", "600")]).with_objects(2);
    let lifepoints = leaked(format!("[{}] reps=2, [] delete", story.date_in(120)));
    story.put("short", Bytes::from_static(b"lived"), Some(lifepoints));
    let before = story.census(Form::Sound).len();
    story.cluster.run_for(Duration::from_secs(110));
    assert_eq!(story.cluster.get(2, &named("short")).as_deref(), Ok(&b"lived"[..]));
    story.cluster.run_for(Duration::from_secs(10) + 2 * CYCLE);
    assert_eq!(story.cluster.get(2, &named("short")), Err(Refusal::NotFound));
    assert_eq!(story.census(Form::Sound).len(), before - 1);
    assert_eq!(story.census(Form::Tombstone).len(), 1);
    story.objects.remove("short");
    story.cluster.run_for(Duration::from_secs(900));
    assert_eq!(story.census(Form::Tombstone), Census::new());
    story.protected_by(2);
}

#[test]
fn the_number_of_copies_follows_the_lifepoint_of_the_day() {
    let mut story = Story::of(5, 12, &[("policy.replicas", "min:1 max:16 default:2")]);
    let (first, second) = (story.date_in(400), story.date_in(1000));
    let lifepoints = leaked(format!("[{first}] reps=2, [{second}] reps=4, [] reps=1"));
    story.put("x", Bytes::from_static(b"x"), Some(lifepoints));
    for (copies, wait) in [(2, 200), (4, 400), (1, 700)] {
        story.cluster.run_for(Duration::from_secs(wait));
        story.protected_by(copies);
    }
}

#[test]
fn a_second_cycle_finds_nothing_to_do() {
    let mut story = Story::of(4, 13, &[]).with_objects(24);
    story.cluster.wipe(4);
    story.settle();
    let before = story.actions();
    story.cluster.run_for(4 * CYCLE);
    assert_eq!(story.actions(), before);
}

#[test]
fn copies_are_spread_over_subclusters() {
    let subclusters = ["east", "east", "west", "west"];
    let shape = Shape { settings: &FAST, subclusters: &subclusters, ..Shape::of(4, 14) };
    let mut story = Story::shaped(&shape).with_objects(24);
    for nodes in story.census(Form::Sound).values().filter(|nodes| nodes.len() == 2) {
        let east = nodes.iter().filter(|node| **node <= 2).count();
        assert_eq!(east, 1, "{:?}", story.census(Form::Sound));
    }
    story.protected_by(2);
}

#[test]
fn the_end_of_an_incarnation_leaves_nothing_of_its_node() {
    let mut story = Story::of(3, 15, &[]).with_objects(8);
    let node = story.cluster.client().node(2).expect("it runs").downgrade();
    story.cluster.run_for(CYCLE / 2);
    story.power_off(2);
    assert!(node.upgrade().is_none(), "tasks, health processor and volumes are gone with it");
}

#[test]
fn domains_and_buckets_are_kept_by_three_nodes() {
    let mut story = Story::of(5, 16, &[]);
    story.settle();
    let census = story.census(Form::Sound);
    assert_eq!(census.len(), 2);
    assert!(census.values().all(|nodes| nodes.len() == CONTEXT_COPIES), "{census:?}");
}
