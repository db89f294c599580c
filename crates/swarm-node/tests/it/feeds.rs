//! Feeds of whole nodes: what clients write arrives in another cluster, once, whatever becomes of the nodes; all nodes come to
//! have one table of feeds.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::Env;
use swarm_feeds::definition::{DefinitionError, RawFeed};
use swarm_feeds::scope::RawScope;
use swarm_feeds::stats::FeedState;
use swarm_feeds::table::{Table, TableError};
use swarm_feeds::wire::{Deletion, Route};
use swarm_node::api::{Address, WriteReply};
use swarm_node::feeds::{ChangeFeedsError, FeedChange};
use swarm_node::{Node, VolumeState, names};
use swarm_plan::version::next_version;
use swarm_sim::{DiskModel, LinkModel};
use swarm_types::{Etag, FeedId, ObjectKind, Stamp, StreamId};

use crate::cluster::{Cluster, Form, Lost, Put, Shape, by_uuid, named, post, unnamed};
use crate::west::{ADDRESS, West};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A feed of everything to the other cluster.
fn to_west() -> RawFeed {
    RawFeed {
        name: Some("to west".to_owned()),
        kind: Some("replication".to_owned()),
        hosts: Some(vec![ADDRESS.to_string()]),
        cluster_name: Some("west".to_owned()),
        ..RawFeed::default()
    }
}

/// A cluster, and the other one.
struct Story {
    cluster: Cluster,
    west: West,
    nodes: u8,
}

impl Story {
    fn of(nodes: u8, seed: u64) -> Self {
        Self::shaped(&Shape::of(nodes, seed))
    }

    fn with_settings(nodes: u8, seed: u64, settings: &[(&str, &str)]) -> Self {
        Self::shaped(&Shape { settings, ..Shape::of(nodes, seed) })
    }

    fn shaped(shape: &Shape<'_>) -> Self {
        let cluster = Cluster::shaped(shape).and_bucket();
        let west = West::begin(cluster.world());
        Self { cluster, west, nodes: shape.nodes }
    }

    /// The same with a feed.
    fn fed(mut self) -> Self {
        let id = self.change(1, FeedChange::Create(to_west()));
        assert_eq!(id, Ok(FeedId(0)));
        self.cluster.run_for(SECOND);
        self
    }

    fn change(&mut self, via: u8, change: FeedChange) -> Result<FeedId, ChangeFeedsError> {
        self.cluster.on(via, move |node| async move { node.change_feeds(change).await })
    }

    /// Stores some objects, of different lengths.
    fn store(&mut self, names: std::ops::Range<usize>) {
        for number in names {
            let body = Bytes::from(vec![7; number * 7001]);
            let put = Put { body, ..post(named(&format!("o{number}")), b"") };
            self.cluster.put(1, &put).expect("stored");
        }
    }

    fn running(&self) -> Vec<u8> {
        (1..=self.nodes).filter(|node| self.cluster.client().node(*node).is_some()).collect()
    }

    /// Any node.
    fn via(&self, env: &Env) -> u8 {
        u8::try_from(dice(env, u64::from(self.nodes))).expect("few nodes") + 1
    }

    fn node(&self, number: u8) -> Node {
        self.cluster.client().node(number).expect("it runs")
    }

    fn table(&self, number: u8) -> Table {
        self.node(number).feeds().table()
    }

    /// Streams with which the feed has not come to an end, on all nodes.
    fn pending(&self) -> u64 {
        let feeds = self.running().into_iter().map(|node| self.node(node).feeds().stats());
        feeds
            .flat_map(std::collections::BTreeMap::into_values)
            .map(|feed| feed.gauges.waiting() + feed.gauges.in_progress + feed.gauges.retrying)
            .sum()
    }

    /// Waits until everything was delivered and every holder knows it.
    fn drain(&mut self) {
        for _ in 0..1800 {
            self.cluster.run_for(SECOND);
            if self.pending() == 0 {
                return;
            }
        }
        panic!("{} streams are still pending", self.pending());
    }

    /// The ids under which the nodes file something in this form.
    fn filed(&self, form: Form) -> BTreeSet<Vec<u8>> {
        let all = (1..=self.nodes).flat_map(|node| self.cluster.filed(node));
        all.filter(|filed| filed.form == form).map(|filed| filed.id).collect()
    }

    /// Both clusters hold the same.
    fn is_mirrored(&self) {
        let here = self.filed(Form::Sound);
        assert_eq!(here.len(), self.west.versions());
        for id in here {
            let id = StreamId::from_bytes(id.try_into().expect("sixteen bytes"));
            assert!(self.west.body(id).is_some(), "{id} is not there");
        }
    }
}

/// Draws below a bound.
fn dice(env: &Env, bound: u64) -> u64 {
    env.random_below("story", bound)
}

/// The node whose replica goes first.
fn first(reply: &WriteReply) -> u8 {
    reply.replicas.last().expect("a replica").node.0.octets()[3]
}

#[test]
fn what_clients_write_and_delete_arrives_once_and_at_once() {
    let mut story = Story::of(3, 1).fed();
    story.store(0..12);
    story.cluster.put(2, &post(named("o1"), b"replaced")).expect("stored");
    story.cluster.run_for(10 * SECOND);
    story.is_mirrored();
    let versions = story.west.versions();
    assert_eq!(versions, 12 + 2, "with the domain and its bucket");
    story.cluster.delete(3, &named("o2")).expect("deleted");
    story.cluster.run_for(10 * SECOND);
    assert_eq!((story.west.versions(), story.west.deletes()), (versions - 1, 1));
    story.drain();
    story.is_mirrored();
    // The first version of the one that was replaced may have gone too.
    assert!((versions..=versions + 1).contains(&story.west.asked("POST")));
    assert_eq!(story.west.asked("DELETE"), 1);
}

/// A delete belongs where what it deleted was, whatever became of the bucket and the domain since.
#[test]
fn deletes_arrive_though_their_bucket_and_their_domain_were_deleted_after_them() {
    for seed in 30..34 {
        let mut story = Story::of(4, seed);
        let scope = RawScope { domains: vec!["d".to_owned()], ..RawScope::default() };
        let feed = RawFeed { scope: Some(scope), ..to_west() };
        assert_eq!(story.change(1, FeedChange::Create(feed)), Ok(FeedId(0)));
        story.store(0..2);
        story.drain();
        assert_eq!(story.west.versions(), 4);
        assert_eq!(story.change(1, FeedChange::Pause(FeedId(0))), Ok(FeedId(0)));
        // Longer than a context is believed to be where it was.
        story.cluster.run_for(11 * MINUTE);
        let gone = [named("o0"), named("o1"), Address::Bucket("b".to_owned()), Address::Domain];
        for address in gone {
            story.cluster.delete(2, &address).expect("deleted");
        }
        story.cluster.run_for(MINUTE);
        assert_eq!(story.west.deletes(), 0);
        assert_eq!(story.change(3, FeedChange::Resume(FeedId(0))), Ok(FeedId(0)));
        story.drain();
        assert_eq!((story.west.versions(), story.west.deletes()), (0, 4), "seed {seed}");
    }
}

/// The new domain has the record in which the delete of the old one was remembered.
#[test]
fn deletes_arrive_though_their_bucket_and_their_domain_were_made_anew() {
    for seed in 34..38 {
        let mut story = Story::of(4, seed);
        let scope = RawScope { domains: vec!["d".to_owned()], ..RawScope::default() };
        let feed = RawFeed { scope: Some(scope), ..to_west() };
        assert_eq!(story.change(1, FeedChange::Create(feed)), Ok(FeedId(0)));
        story.store(0..2);
        let unnamed = story.cluster.put(1, &unnamed(false, b"in d")).expect("stored");
        story.drain();
        assert_eq!(story.west.versions(), 5);
        assert_eq!(story.change(1, FeedChange::Pause(FeedId(0))), Ok(FeedId(0)));
        let contexts = [Address::Bucket("b".to_owned()), Address::Domain];
        let gone =
            [by_uuid(&unnamed), named("o0"), named("o1")].into_iter().chain(contexts.clone());
        for address in gone {
            story.cluster.delete(2, &address).expect("deleted");
        }
        for address in contexts.into_iter().rev() {
            story.cluster.put(3, &post(address, b"")).expect("created");
        }
        // Longer than a context is believed to be where it was.
        story.cluster.run_for(11 * MINUTE);
        assert_eq!(story.west.deletes(), 0);
        assert_eq!(story.change(3, FeedChange::Resume(FeedId(0))), Ok(FeedId(0)));
        story.drain();
        assert_eq!((story.west.versions(), story.west.deletes()), (2, 4), "seed {seed}");
        story.is_mirrored();
    }
}

/// What comes from another cluster need not say in which domain it was: that is looked up while it can be.
#[test]
fn deletes_that_were_brought_arrive_further_on_though_their_domain_was_made_anew() {
    for seed in 38..46 {
        let mut story = Story::of(4, seed);
        let scope = RawScope { domains: vec!["d".to_owned()], ..RawScope::default() };
        let feed = RawFeed { scope: Some(scope), ..to_west() };
        assert_eq!(story.change(1, FeedChange::Create(feed)), Ok(FeedId(0)));
        story.store(0..2);
        let bucket = Address::Bucket("b".to_owned());
        let cid = story.cluster.put(1, &post(bucket.clone(), b"")).expect("updated").alias;
        story.drain();
        assert_eq!(story.west.versions(), 4);
        assert_eq!(story.change(1, FeedChange::Pause(FeedId(0))), Ok(FeedId(0)));
        for name in ["o0", "o1"] {
            let brought = story.cluster.on(2, move |node| async move {
                let version = next_version(node.env().wall(), None);
                let deletion = Deletion {
                    stream: names::object_stream(cid.expect("a bucket"), name),
                    kind: ObjectKind::Named,
                    stamp: Stamp { version, etag: Etag::from_bytes([7; 16]) },
                    alias: None,
                    cid,
                    name: None,
                };
                let route = Route { from: "east".into(), to: "main".into() };
                node.import_delete(&route, deletion).await.map(drop)
            });
            assert_eq!(brought, Ok(()));
        }
        let contexts = [bucket, Address::Domain];
        for address in &contexts {
            story.cluster.delete(2, address).expect("deleted");
        }
        for address in contexts.into_iter().rev() {
            story.cluster.put(3, &post(address, b"")).expect("created");
        }
        // Longer than a context is believed to be where it was.
        story.cluster.run_for(11 * MINUTE);
        assert_eq!(story.change(3, FeedChange::Resume(FeedId(0))), Ok(FeedId(0)));
        story.drain();
        assert_eq!((story.west.versions(), story.west.deletes()), (2, 3), "seed {seed}");
    }
}

#[test]
fn what_was_there_before_the_feed_arrives_too() {
    let mut story = Story::of(3, 2);
    story.store(0..20);
    story.cluster.delete(1, &named("o5")).expect("deleted");
    let mut story = story.fed();
    story.drain();
    story.is_mirrored();
    assert_eq!(story.west.deletes(), 1);
}

#[test]
fn nothing_is_sent_again_when_all_nodes_start_anew() {
    let mut story = Story::of(3, 3).fed();
    story.store(0..12);
    story.cluster.delete(1, &named("o3")).expect("deleted");
    story.drain();
    let bothered = story.west.bothered();
    for power in [true, false] {
        for node in 1..=3 {
            if power {
                story.cluster.power_off(node);
            } else {
                story.cluster.stop(node);
            }
        }
        for node in 1..=3 {
            story.cluster.start(node);
        }
        story.cluster.run_for(15 * MINUTE);
        assert_eq!(story.pending(), 0);
        assert_eq!(story.west.bothered(), bothered);
    }
    story.store(20..21);
    story.cluster.run_for(10 * SECOND);
    assert_eq!(story.west.bothered(), bothered + 1, "the feed lives on");
}

#[test]
fn a_node_that_was_away_works_by_the_newest_table_only() {
    let mut story = Story::of(3, 4);
    story.store(0..8);
    let mut story = story.fed();
    story.drain();
    story.cluster.power_off(3);
    story.cluster.client().forget(3);
    assert_eq!(story.change(2, FeedChange::Delete(FeedId(0))), Ok(FeedId(0)));
    let other = RawFeed { name: Some("another".to_owned()), paused: Some(true), ..to_west() };
    assert_eq!(story.change(2, FeedChange::Create(other)), Ok(FeedId(1)));
    let bothered = story.west.bothered();
    story.cluster.start(3);
    story.cluster.run_for(SECOND);
    let newest = story.table(2);
    assert_eq!(newest.feeds().map(|feed| feed.id).collect::<Vec<_>>(), [FeedId(1)]);
    assert_eq!(story.table(3), newest);
    assert_eq!(story.west.bothered(), bothered, "the deleted feed has not come back for a moment");
    // It keeps it: when it is alone, too.
    for node in 1..=3 {
        story.cluster.power_off(node);
        story.cluster.client().forget(node);
    }
    story.cluster.start(3);
    assert_eq!(story.table(3), newest);
}

/// Understanding Feeds: a change may need up to 60 seconds until all nodes know it.
#[test]
fn every_change_reaches_all_nodes_within_a_minute_however_long_news_take() {
    for (seed, propagation) in [(5, "0"), (6, "60")] {
        let mut story = Story::with_settings(4, seed, &[("feeds.propagation", propagation)]).fed();
        story.cluster.run_for(60 * SECOND);
        let second = RawFeed {
            name: Some("west again".to_owned()),
            scope: Some(RawScope {
                domains: vec!["other.example".to_owned()],
                ..RawScope::default()
            }),
            ..to_west()
        };
        let renamed = RawFeed { name: Some("west too".to_owned()), ..RawFeed::default() };
        let changes = [
            FeedChange::Create(second),
            FeedChange::Edit(FeedId(1), renamed),
            FeedChange::Restart(FeedId(1)),
            FeedChange::Delete(FeedId(1)),
        ];
        let mut known = vec![story.table(1)];
        for (via, change) in (1..).zip(changes) {
            let name = format!("{change:?}");
            assert_eq!(story.change(via, change), Ok(FeedId(1)), "{name}");
            story.cluster.run_for(60 * SECOND);
            let table = story.table(via);
            assert!(!known.contains(&table), "{name} changes something");
            for node in 1..=4 {
                assert_eq!(story.table(node), table, "node {node}, seed {seed}: {name}");
            }
            known.push(table);
        }
    }
}

#[test]
fn a_pause_is_kept_by_all_nodes_after_a_minute() {
    for (seed, propagation) in [(5, "0"), (6, "60")] {
        let mut story = Story::with_settings(4, seed, &[("feeds.propagation", propagation)]).fed();
        story.cluster.run_for(75 * SECOND);
        assert_eq!(story.change(3, FeedChange::Pause(FeedId(0))), Ok(FeedId(0)));
        story.cluster.run_for(60 * SECOND);
        for node in 1..=4 {
            let feeds = story.node(node).feeds().stats();
            assert_eq!(feeds[&FeedId(0)].state, FeedState::Paused, "node {node}");
        }
        let bothered = story.west.bothered();
        story.store(0..4);
        story.cluster.run_for(10 * MINUTE);
        assert_eq!(story.west.bothered(), bothered);
        assert_eq!(story.change(1, FeedChange::Resume(FeedId(0))), Ok(FeedId(0)));
        story.cluster.run_for(75 * SECOND);
        story.is_mirrored();
    }
}

#[test]
fn retiring_sends_nothing_again() {
    let settings = [("health.cycleTime", "60"), ("health.visitsPerSecond", "1000")];
    let mut story = Story::with_settings(4, 7, &settings).fed();
    story.store(0..16);
    story.drain();
    let bothered = story.west.bothered();
    story.cluster.retire(2, 0).expect("it retires");
    for _ in 0..60 {
        story.cluster.run_for(MINUTE);
        if story.cluster.status(2).volumes[0].state == VolumeState::Retired {
            break;
        }
    }
    assert_eq!(story.cluster.status(2).volumes[0].state, VolumeState::Retired);
    story.cluster.run_for(10 * MINUTE);
    assert_eq!(story.pending(), 0);
    assert_eq!(story.west.bothered(), bothered);
}

#[test]
fn a_delete_is_remembered_as_long_as_a_feed_needs_it() {
    let settings = [
        ("health.cycleTime", "600"),
        ("disk.obsoleteTimeout", "7200"),
        ("feeds.tombstoneMaximum", "36000"),
        ("power.sleepAfter", "0"),
    ];
    for comes_back in [true, false] {
        let mut story = Story::with_settings(3, 8, &settings).fed();
        story.store(0..2);
        story.drain();
        story.west.is_away(true);
        story.cluster.delete(1, &named("o1")).expect("deleted");
        story.cluster.run_for(Duration::from_secs(4 * 3600));
        assert_eq!(story.filed(Form::Tombstone).len(), 1, "without a feed it would be forgotten");
        if comes_back {
            story.west.is_away(false);
            story.drain();
            assert_eq!(story.west.deletes(), 1);
        } else {
            story.cluster.run_for(Duration::from_secs(6 * 3600));
        }
        story.cluster.run_for(Duration::from_secs(3600));
        assert_eq!(story.filed(Form::Tombstone).len(), 0, "not for ever");
    }
}

/// The warnings that are logged, as text.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Those of deletes that are forgotten.
    fn of_deletes(&self) -> Vec<String> {
        let all = self.0.lock().expect("nobody panics while it is held");
        all.iter().filter(|text| text.contains("a delete is forgotten")).cloned().collect()
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            text += &format!("{field}={value:?} ");
        });
        self.0.lock().expect("nobody panics while it is held").push(text);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Our choice: a delete that no feed has carried over is remembered for `feeds.tombstoneMaximum`; who forgets it then says so,
/// once. Of one that was carried over nothing is said.
#[test]
fn who_forgets_a_delete_that_was_not_carried_over_says_so() {
    let settings = [
        ("health.cycleTime", "600"),
        ("disk.obsoleteTimeout", "7200"),
        ("feeds.tombstoneMaximum", "10800"),
        ("power.sleepAfter", "0"),
    ];
    let logged = Warnings::default();
    // With one subscriber only, tracing would ask the thread of whichever test comes by a line first.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    tracing::subscriber::with_default(logged.clone(), || {
        let mut story = Story::with_settings(3, 9, &settings).fed();
        story.store(0..2);
        story.drain();
        story.cluster.delete(1, &named("o0")).expect("deleted");
        story.drain();
        let carried = story.filed(Form::Tombstone);
        story.west.is_away(true);
        story.cluster.delete(1, &named("o1")).expect("deleted");
        // Without a feed it would be forgotten after two hours and a quarter.
        story.cluster.run_for(150 * MINUTE);
        let mut left = story.filed(Form::Tombstone);
        left.retain(|id| !carried.contains(id));
        assert_eq!((left.len(), logged.of_deletes()), (1, vec![]), "before its time");
        let id = left.pop_first().expect("it is remembered");
        let remembers = |node: &u8| story.cluster.filed(*node).iter().any(|filed| filed.id == id);
        let holders = (1..=3).filter(remembers).count();
        story.cluster.run_for(90 * MINUTE);
        assert_eq!(story.filed(Form::Tombstone).len(), 0, "all are forgotten");
        let id = StreamId::from_bytes(id.try_into().expect("sixteen bytes")).to_string();
        let warned = logged.of_deletes();
        assert_eq!(warned.len(), holders, "each says it once: {warned:?}");
        assert!(warned.iter().all(|text| text.contains(&id)), "{id}: {warned:?}");
    });
}

#[test]
fn another_holder_sends_what_the_first_one_cannot_any_more() {
    for seed in 10..14 {
        let settings = [("feeds.secondaryDelay", "30")];
        let mut story = Story::with_settings(4, seed, &settings).fed();
        story.drain();
        story.west.is_away(true);
        let reply = story.cluster.put(1, &post(named("x"), b"precious")).expect("stored");
        story.cluster.run_for(SECOND);
        story.cluster.power_off(first(&reply));
        story.cluster.client().forget(first(&reply));
        story.west.is_away(false);
        assert_eq!(story.west.versions(), 2, "the domain and the bucket");
        story.cluster.run_for(5 * MINUTE);
        assert_eq!(story.west.versions(), 3, "seed {seed}");
    }
}

#[test]
fn two_sides_that_give_one_number_agree_in_the_end() {
    let mut story = Story::of(4, 20);
    let hosts = |nodes: [u8; 2]| nodes.map(|node| story.cluster.host(node)).to_vec();
    let cut = story.cluster.world().cut(vec![hosts([1, 2]), hosts([3, 4])]).done();
    for (via, name) in [(1, "left"), (4, "right")] {
        let feed = RawFeed { name: Some(name.to_owned()), ..to_west() };
        assert_eq!(story.change(via, FeedChange::Create(feed)), Ok(FeedId(0)));
        story.cluster.run_for(15 * SECOND);
    }
    assert!(story.cluster.world().heal(cut).done());
    story.cluster.run_for(30 * SECOND);
    let table = story.table(1);
    let named: Vec<_> =
        table.feeds().map(|feed| (feed.id, feed.definition.name.as_str())).collect();
    assert_eq!(
        named,
        [(FeedId(0), "right"), (FeedId(1), "left")],
        "the later one keeps its number"
    );
    assert!((2..=4).all(|node| story.table(node) == table));
}

#[test]
fn a_change_that_is_no_good_changes_nothing() {
    let mut story = Story::of(3, 21).fed();
    let table = story.table(1);
    let changes = [
        FeedChange::Create(to_west()),
        FeedChange::Create(RawFeed { name: Some("b".to_owned()), port: Some(0), ..to_west() }),
        FeedChange::Create(RawFeed {
            name: Some("b".to_owned()),
            cluster_name: Some("MAIN".to_owned()),
            ..to_west()
        }),
        FeedChange::Edit(FeedId(7), RawFeed::default()),
        FeedChange::Delete(FeedId(7)),
    ];
    let errors: Vec<_> =
        changes.into_iter().map(|change| story.change(2, change).expect_err("no good")).collect();
    assert!(
        matches!(
            errors.as_slice(),
            [
                ChangeFeedsError::Table(TableError::Taken { .. }),
                ChangeFeedsError::Definition(DefinitionError::Bad { field: "port", .. }),
                ChangeFeedsError::Definition(DefinitionError::SelfLoop),
                ChangeFeedsError::Table(TableError::Unknown(FeedId(7))),
                ChangeFeedsError::Table(TableError::Unknown(FeedId(7))),
            ]
        ),
        "{errors:?}"
    );
    assert_eq!(story.table(2), table);
    let threads = RawFeed { threads: Some(2), ..RawFeed::default() };
    assert_eq!(story.change(2, FeedChange::Edit(FeedId(0), threads)), Ok(FeedId(0)));
    story.cluster.run_for(SECOND);
    assert_eq!(story.table(3).get(FeedId(0)).map(|feed| feed.definition.threads), Some(2));
}

#[test]
fn the_statistics_of_all_nodes_add_up_to_all_streams() {
    let mut story = Story::of(3, 22).fed();
    story.store(0..10);
    story.drain();
    // Until everybody's hold-off is over there is something left to look at.
    story.cluster.run_for(7 * MINUTE);
    let told = story.cluster.on(2, |node| async move { node.feed_statistics().await });
    let feed = &told[&FeedId(0)];
    assert_eq!((feed.state, feed.nodes.len()), (FeedState::Ok, 3));
    let filed: usize = (1..=3).map(|node| story.cluster.filed(node).len()).sum();
    assert_eq!(feed.gauges.success, filed as u64);
    assert_eq!(feed.gauges.streams(), filed as u64);
    assert_eq!(feed.counters.transferred_objects, story.west.versions() as u64);
    // One that does not answer counts with what it told last.
    story.cluster.power_off(3);
    story.cluster.client().forget(3);
    story.cluster.run_for(125 * SECOND);
    let told = story.cluster.on(2, |node| async move { node.feed_statistics().await });
    let feed = &told[&FeedId(0)];
    assert_eq!(feed.gauges.success, filed as u64);
    assert_eq!(feed.nodes.values().filter(|view| view.stale).count(), 1);
}

#[test]
fn disks_bring_their_tables_along_and_are_given_newer_ones() {
    let shape = Shape { disks_per_node: 2, ..Shape::of(3, 23) };
    let mut story = Story::shaped(&shape).fed();
    story.store(0..8);
    story.drain();
    // Node 3 alone knows of a change, dies, and one of its disks goes to node 1.
    let others = [1, 2].map(|node| story.cluster.host(node)).to_vec();
    let alone = vec![story.cluster.host(3)];
    let cut = story.cluster.world().cut(vec![others, alone]).done();
    assert_eq!(story.change(3, FeedChange::Pause(FeedId(0))), Ok(FeedId(0)));
    let newest = story.table(3);
    story.cluster.power_off(3);
    story.cluster.client().forget(3);
    story.cluster.run_for(SECOND);
    assert!(story.cluster.world().heal(cut).done());
    let (disk, host) = (story.cluster.disk(3, 1), story.cluster.host(1));
    assert!(story.cluster.world().pull_disk(disk).done().is_some());
    assert_ne!(story.table(2), newest);
    assert!(story.cluster.world().insert_disk(disk, host).done().is_some());
    story.cluster.run_for(5 * SECOND);
    assert_eq!([1, 2].map(|node| story.table(node)), [newest.clone(), newest.clone()]);
    // A blank disk remembers it alone.
    let host = story.cluster.host(2);
    let fresh =
        story.cluster.world().deliver_disk(host, "main/2/9".into(), 64 << 20, DiskModel::SSD);
    let _ = fresh.done();
    story.cluster.run_for(5 * SECOND);
    for node in [1, 2] {
        story.cluster.power_off(node);
        story.cluster.client().forget(node);
    }
    for nth in 0..2 {
        let disk = story.cluster.disk(2, nth);
        assert!(story.cluster.world().pull_disk(disk).done().is_some());
    }
    story.cluster.start(2);
    assert_eq!(story.table(2), newest);
}

/// Nodes lose their power and their processes, the network loses and doubles, the other cluster goes away and comes back.
#[test]
fn whatever_becomes_of_the_nodes_the_other_cluster_has_it_all_in_the_end() {
    for seed in 100..112 {
        let settings = [
            ("feeds.secondaryDelay", "20"),
            ("health.cycleTime", "60"),
            ("health.visitsPerSecond", "1000"),
            ("health.replicationMulticastFrequency", "100"),
        ];
        let mut story = Story::with_settings(4, seed, &settings).fed();
        let env = story.cluster.env();
        let calm = LinkModel::default();
        let rough =
            LinkModel { loss_ppm: 20_000, duplicate_ppm: 50_000, reorder_ppm: 100_000, ..calm };
        story.cluster.world().set_link(1, 1, rough);
        for round in 0..12 {
            for _ in 0..4 {
                let (via, name) = (story.via(&env), format!("o{}", dice(&env, 12)));
                let client = story.cluster.client();
                let put = Put { body: vec![round; 3000].into(), ..post(named(&name), b"") };
                let delete = dice(&env, 4) == 0;
                story.cluster.block_on(async move {
                    if delete {
                        drop(client.delete(via, &named(&name)).await);
                    } else {
                        drop(client.put(via, &put).await);
                    }
                });
            }
            story.west.is_away(dice(&env, 4) == 0);
            let victim = story.via(&env);
            story.cluster.run_for(Duration::from_millis(dice(&env, 3000)));
            story.cluster.power_off(victim);
            story.cluster.client().forget(victim);
            story.cluster.run_for(Duration::from_millis(dice(&env, 20_000)));
            story.cluster.start(victim);
        }
        story.cluster.world().set_link(1, 1, calm);
        story.west.is_away(false);
        story.cluster.run_for(10 * MINUTE);
        story.drain();
        story.is_mirrored();
        assert!(story.west.versions() > 2 && story.west.deletes() > 0, "seed {seed}");
        assert!((2..=4).all(|node| story.table(node) == story.table(1)), "seed {seed}");
    }
}

/// A client that hears that too few replicas could be stored must not find one in the other cluster for ever: the feed may have
/// carried what was taken back here. Either the second node dies, or it lives, stores, and is not heard.
#[test]
fn what_a_write_has_taken_back_does_not_stay_in_the_other_cluster() {
    let (mut died, mut carried) = (0, 0);
    for seed in 0..120 {
        let mut story = Story::of(3, 500 + seed).fed();
        story.drain();
        let (versions, posts) = (story.west.versions(), story.west.asked("POST"));
        let (writer, env) = (story.cluster.client(), story.cluster.env());
        let victim = story.via(&env);
        let task = env.spawn("write", async move {
            writer.put(victim % 3 + 1, &unnamed(false, b"once")).await
        });
        story.cluster.run_for(Duration::from_micros(1_000 + 100 * (seed / 2)));
        let dies = seed % 2 == 0;
        let cut = if dies {
            story.cluster.power_off(victim);
            None
        } else {
            // They reach the other cluster, and not each other.
            let alone = (1..=3).map(|node| vec![story.cluster.host(node)]).collect();
            Some(story.cluster.world().cut(alone).done())
        };
        story.cluster.run_for(20 * SECOND);
        let written = story.cluster.block_on(async move { task.join().await.unwrap_or(Err(Lost)) });
        let alive = (1..=3).filter(|node| !dies || *node != victim).collect::<Vec<u8>>();
        let back = alive
            .iter()
            .any(|node| story.cluster.status(*node).counters.contains_key("writes taken back"));
        assert!(!back || !matches!(written, Ok(Ok(_))), "seed {seed}: {written:?}");
        if back && dies {
            died += 1;
            let remembers = |node: &&u8| {
                story.cluster.filed(**node).iter().any(|filed| filed.form == Form::Tombstone)
            };
            assert_eq!(alive.iter().filter(remembers).count(), 2, "seed {seed}: a witness");
            assert_eq!(story.west.asked("POST"), posts, "seed {seed}: nothing is sent first");
        }
        match cut {
            None => story.cluster.start(victim),
            Some(cut) => assert!(story.cluster.world().heal(cut).done()),
        }
        story.cluster.run_for(10 * MINUTE);
        story.drain();
        if back {
            assert_eq!(story.west.versions(), versions, "seed {seed}");
            carried += story.west.undone();
        } else {
            story.is_mirrored();
        }
    }
    assert!(died > 0 && carried > 0, "{died}, {carried}");
}
