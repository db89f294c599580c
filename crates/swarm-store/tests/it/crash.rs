//! Whatever is done, and wherever the power goes: what was acknowledged is there and true, nothing else is half there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::test_runner::Config;
use swarm_env::MemoryIndex;
use swarm_store::{
    AppendError, Hints, PublishError, Record, RecordState, Retire, RetireCause, RetirePace,
    Service, Tombstone, Volume,
};
use swarm_types::{FeedId, FeedMark, FeedSlots, Timestamp, VolumeId};

use crate::kit::{
    ALIAS, Lab, TestDisk, body, check_feeds, check_space, format, id, is_first, kind, meta, mix,
    mount, put, read, slot, stamp,
};

const IDS: u8 = 6;

#[derive(Debug, Clone)]
enum Op {
    Put {
        id: u8,
        len: usize,
    },
    /// A version older than what is filed: refused.
    PutOld {
        id: u8,
    },
    /// Several writers at once, so that they share a group.
    PutMany {
        len: usize,
    },
    Delete {
        id: u8,
    },
    Remove {
        id: u8,
    },
    Abandon {
        id: u8,
        len: usize,
    },
    Touch,
    Expire,
    /// Another set of hints, none of them or the most that there can be.
    Hint {
        id: u8,
        hints: u8,
    },
    Quarantine {
        id: u8,
        quarantined: bool,
    },
    Service {
        service: u8,
    },
    Defragment {
        budget: u64,
    },
    /// What feeds have come to with some streams, all in one request.
    Settle {
        slots: Vec<(u8, u64)>,
    },
    /// The same while bodies are moved.
    SettleAndDefragment {
        slots: Vec<(u8, u64)>,
    },
    /// A table of feeds of this length.
    Table {
        len: usize,
    },
    /// Several writers and the defragmenter at once.
    Busy {
        len: usize,
    },
}

/// What becomes of the index in a crash.
#[derive(Debug, Clone, Copy)]
enum IndexFate {
    Kept,
    Lost,
    /// As it was at the last mount, like a database that was not flushed since.
    Old,
    Corrupt {
        seed: u64,
    },
}

/// One incarnation, from mount to power loss.
#[derive(Debug, Clone)]
struct Life {
    ops: Vec<Op>,
    crash_at: u64,
    loss: u64,
    index: IndexFate,
    unmount: bool,
}

fn any_op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![
        1 => Just(0usize),
        6 => 1usize..6_000,
        2 => 60_000usize..140_000,
        1 => 250_000usize..700_000,
    ];
    prop_oneof![
        8 => (0..IDS, len.clone()).prop_map(|(id, len)| Op::Put { id, len }),
        1 => (0..IDS).prop_map(|id| Op::PutOld { id }),
        2 => (1usize..5_000).prop_map(|len| Op::PutMany { len }),
        2 => (0..IDS).prop_map(|id| Op::Delete { id }),
        2 => (0..IDS).prop_map(|id| Op::Remove { id }),
        1 => (0..IDS, len).prop_map(|(id, len)| Op::Abandon { id, len }),
        1 => Just(Op::Touch),
        1 => Just(Op::Expire),
        2 => (0..IDS, 0u8..20).prop_map(|(id, hints)| Op::Hint { id, hints }),
        1 => (0..IDS, any::<bool>())
            .prop_map(|(id, quarantined)| Op::Quarantine { id, quarantined }),
        1 => (0u8..3).prop_map(|service| Op::Service { service }),
        3 => prop_oneof![Just(1), Just(100_000), Just(u64::MAX)]
            .prop_map(|budget| Op::Defragment { budget }),
        2 => (1usize..60_000).prop_map(|len| Op::Busy { len }),
        3 => any_slots().prop_map(|slots| Op::Settle { slots }),
        1 => any_slots().prop_map(|slots| Op::SettleAndDefragment { slots }),
        1 => prop_oneof![0usize..100, 0usize..16_384].prop_map(|len| Op::Table { len }),
    ]
}

fn any_slots() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((0..IDS, any::<u64>()), 1..20)
}

fn any_life() -> impl Strategy<Value = Life> {
    let index = prop_oneof![
        2 => Just(IndexFate::Kept),
        2 => Just(IndexFate::Lost),
        1 => Just(IndexFate::Old),
        1 => any::<u64>().prop_map(|seed| IndexFate::Corrupt { seed }),
    ];
    let ops = prop::collection::vec(any_op(), 0..40);
    (ops, 1u64..110, any::<u64>(), index, prop::bool::weighted(0.2)).prop_map(
        |(ops, crash_at, loss, index, unmount)| Life { ops, crash_at, loss, index, unmount },
    )
}

/// What is filed under an id, as the writer knows it: a version, and the length of its body or `None` for a tombstone.
type Filed = Option<(u64, Option<usize>)>;

#[derive(Debug, Default)]
struct Model {
    version: u64,
    /// Acknowledged.
    filed: BTreeMap<u8, Filed>,
    /// Asked for and not answered.
    asked: BTreeMap<u8, Filed>,
    /// What was acknowledged to be known about replicas: numbers of the hints, and whether they are quarantined.
    known: BTreeMap<u8, Known>,
    asked_known: BTreeMap<u8, Known>,
    /// What feeds have come to, as acknowledged and as asked for.
    settled: BTreeMap<u8, FeedSlots>,
    asked_settled: BTreeMap<u8, FeedSlots>,
    service: u8,
    asked_service: Option<u8>,
    /// Length of the table of feeds.
    table: usize,
    asked_table: Option<usize>,
}

type Known = (u8, bool);

type Shared = Arc<Mutex<Model>>;

impl Model {
    fn ask(&mut self, id: u8, filed: Filed) {
        self.asked.insert(id, filed);
    }

    /// The last thing asked for under this id was answered.
    fn answer(&mut self, id: u8, done: bool) {
        let asked = self.asked.remove(&id).expect("it was asked for");
        if done {
            self.known.remove(&id);
            self.settled.remove(&id);
            self.filed.insert(id, asked);
        }
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn filed(&self, id: u8) -> Filed {
        self.filed.get(&id).copied().flatten()
    }
}

async fn put_next(volume: &Volume, model: &Shared, number: u8, len: usize) {
    let version = {
        let mut model = model.lock().unwrap();
        let version = model.next_version();
        model.ask(number, Some((version, Some(len))));
        version
    };
    let done = match put(volume, id(number), version, len).await {
        Ok(_) => true,
        Err(PublishError::Append(AppendError::Full { .. })) => false,
        Err(error) => panic!("{error}"),
    };
    model.lock().unwrap().answer(number, done);
}

fn hints(number: u8) -> Hints {
    (0..number).map(|volume| VolumeId::from_bytes([volume; 16])).collect()
}

fn service(number: u8) -> Service {
    let since = Timestamp(i64::from(number));
    let pace = match number {
        0 => return Service::InService,
        1 => RetirePace::Slow,
        _ => RetirePace::Fast,
    };
    Service::Retiring(Retire { cause: RetireCause::ByHand, pace, since })
}

/// Says something about a replica and notes the answer.
async fn note(volume: &Volume, model: &Shared, number: u8, change: impl FnOnce(&mut Known)) {
    let (filed, before) = {
        let model = model.lock().unwrap();
        (model.filed(number), model.known.get(&number).copied().unwrap_or_default())
    };
    let Some((version, len)) = filed else { return };
    let mut known = before;
    change(&mut known);
    model.lock().unwrap().asked_known.insert(number, known);
    let done = if known.0 == before.0 {
        match volume.find(id(number)).filter(|record| record.stamp == stamp(version)) {
            Some(record) => volume.set_quarantined(&record, known.1).await,
            None => Ok(false),
        }
    } else {
        volume.set_hints(id(number), stamp(version), hints(known.0)).await
    };
    let mut model = model.lock().unwrap();
    model.asked_known.remove(&number);
    match done {
        Ok(done) => {
            assert_eq!(done, len.is_some(), "only about a replica");
            if done {
                model.known.insert(number, known);
            }
        }
        Err(AppendError::Full { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The feeds, with their evaluations, that are not gone: their outcomes keep their places where there are more than fit.
const LIVING_FEEDS: [(FeedId, FeedMark); 3] =
    [(FeedId(1), FeedMark(0)), (FeedId(4), FeedMark(1)), (FeedId(6), FeedMark(0))];

/// Notes outcomes of feeds and the answer.
async fn settle(volume: &Volume, model: &Shared, slots: &[(u8, u64)]) {
    let (mut request, mut expected) = (Vec::new(), 0);
    {
        let mut model = model.lock().unwrap();
        for (number, draw) in slots {
            // Of a version that is not filed, every now and then.
            let wrong = draw % 8 == 0;
            let version = model.filed(*number).map_or(1, |(version, _)| version);
            request.push((id(*number), stamp(version + u64::from(wrong)), slot(*draw)));
            if model.filed(*number).is_some() && !wrong {
                expected += 1;
                let known = model.settled.get(number).cloned().unwrap_or_default();
                let asked = model.asked_settled.entry(*number).or_insert(known);
                asked.set_among(slot(*draw), |feed, mark| LIVING_FEEDS.contains(&(feed, mark)));
            }
        }
    }
    let kept = volume.settle_feeds(request, Arc::new(LIVING_FEEDS)).await.unwrap();
    assert_eq!(kept, expected);
    let mut model = model.lock().unwrap();
    let settled = std::mem::take(&mut model.asked_settled);
    for (number, slots) in &settled {
        let filed = volume.find(id(*number)).expect("it has slots");
        assert_eq!(filed.slots(), slots, "id {number}");
    }
    model.settled.extend(settled);
}

fn table(len: usize) -> Bytes {
    body(id(99), 0, len)
}

async fn delete_next(volume: &Volume, model: &Shared, number: u8) {
    let version = {
        let mut model = model.lock().unwrap();
        let version = model.next_version();
        model.ask(number, Some((version, None)));
        version
    };
    let bare = Tombstone::new(stamp(version), kind(version), Timestamp(0));
    let tombstone = Tombstone { alias: Some(ALIAS), first: is_first(version), ..bare };
    let done = match volume.bury(id(number), tombstone).await {
        Ok(()) => true,
        Err(PublishError::Append(AppendError::Full { .. })) => false,
        Err(error) => panic!("{error}"),
    };
    model.lock().unwrap().answer(number, done);
}

async fn perform(volume: &Volume, model: &Shared, op: Op) {
    match op {
        Op::Put { id, len } => put_next(volume, model, id, len).await,
        Op::PutOld { id: number } => {
            let Some((version, _)) = model.lock().unwrap().filed(number) else { return };
            match put(volume, id(number), version - 1, 100).await {
                Err(PublishError::Superseded { by }) => assert_eq!(by, stamp(version)),
                Err(PublishError::Append(AppendError::Full { .. })) => {}
                other => panic!("an old version was taken: {other:?}"),
            }
        }
        Op::PutMany { len } => {
            let writers = (0..IDS).map(|id| put_next(volume, model, id, len + usize::from(id)));
            futures_util::future::join_all(writers).await;
        }
        Op::Busy { len } => {
            let writers = (0..IDS).map(|id| put_next(volume, model, id, len * usize::from(id)));
            let defragmenter = async {
                for _ in 0..4 {
                    volume.defragment(len as u64).await.unwrap();
                    check_space(volume);
                }
            };
            futures_util::future::join(defragmenter, futures_util::future::join_all(writers)).await;
        }
        Op::Delete { id } => delete_next(volume, model, id).await,
        Op::Remove { id: number } => {
            let Some((version, len)) = model.lock().unwrap().filed(number) else { return };
            model.lock().unwrap().ask(number, None);
            let removed = volume.remove(id(number), stamp(version)).await.unwrap();
            assert_eq!(removed, len.is_some(), "only a replica is removed");
            model.lock().unwrap().answer(number, removed);
        }
        Op::Abandon { id: number, len } => {
            if let Ok(mut staged) = volume.stage(id(number), len as u64 + 1) {
                staged.write(body(id(number), 0, len)).await.unwrap();
            }
        }
        Op::Touch => volume.touch().await.unwrap(),
        Op::Hint { id, hints } => note(volume, model, id, |known| known.0 = hints).await,
        Op::Quarantine { id, quarantined } => {
            note(volume, model, id, |known| known.1 = quarantined).await;
        }
        Op::Service { service: number } => {
            model.lock().unwrap().asked_service = Some(number);
            volume.set_service(service(number)).await.unwrap();
            let mut model = model.lock().unwrap();
            (model.service, model.asked_service) = (number, None);
        }
        Op::Defragment { budget } => {
            let before = volume.space();
            let told = volume.defragment(budget).await.unwrap();
            let after = volume.space();
            assert_eq!((after.used, after.streams), (before.used, before.streams));
            assert_eq!(after.free.saturating_sub(before.free), told.freed);
            assert_eq!(told.damaged, []);
            if told.done {
                assert!(after.free >= before.free);
            }
        }
        Op::Settle { slots } => settle(volume, model, &slots).await,
        Op::SettleAndDefragment { slots } => {
            let defragmenter = volume.defragment(u64::MAX);
            let settling = async {
                for slots in slots.chunks(3) {
                    settle(volume, model, slots).await;
                }
            };
            futures_util::future::join(defragmenter, settling).await.0.unwrap();
        }
        Op::Table { len } => {
            model.lock().unwrap().asked_table = Some(len);
            volume.set_feed_table(table(len)).await.unwrap();
            let mut model = model.lock().unwrap();
            (model.table, model.asked_table) = (len, None);
        }
        Op::Expire => {
            let tombstones: Vec<_> = {
                let mut model = model.lock().unwrap();
                let buried = |filed: &Filed| matches!(filed, Some((_, None)));
                let ids: Vec<_> = model
                    .filed
                    .iter()
                    .filter(|(_, filed)| buried(filed))
                    .map(|(id, _)| *id)
                    .collect();
                ids.iter().for_each(|id| model.ask(*id, None));
                ids
            };
            for number in tombstones {
                let stamp = volume.find(id(number)).unwrap().stamp;
                assert!(volume.forget(id(number), stamp).await.unwrap());
                model.lock().unwrap().answer(number, true);
            }
        }
    }
    check_space(volume);
}

fn filed_of(record: &Record) -> Filed {
    let len = match &record.state {
        RecordState::Live { meta, .. } => Some(usize::try_from(meta.length).unwrap()),
        RecordState::Tombstone(_) => None,
    };
    Some((record.stamp.version.0, len))
}

/// Compares what is filed with what was acknowledged and asked for; from now on what is there counts as acknowledged.
async fn check(volume: &Volume, model: &Shared) {
    check_space(volume);
    check_feeds(volume);
    check_service(volume, model);
    check_table(volume, model);
    for number in 0..IDS {
        let record = volume.find(id(number));
        let found = record.as_ref().and_then(filed_of);
        {
            let mut model = model.lock().unwrap();
            let acknowledged = model.filed(number);
            let asked = model.asked.remove(&number);
            assert!(
                found == acknowledged || Some(found) == asked,
                "id {number}: found {found:?}, acknowledged {acknowledged:?}, asked {asked:?}"
            );
            if found != acknowledged {
                model.known.remove(&number);
                model.settled.remove(&number);
            }
            model.filed.insert(number, found);
            let known = model.known.get(&number).copied().unwrap_or_default();
            let asked = model.asked_known.remove(&number).unwrap_or(known);
            check_settled(number, record.as_ref(), &mut model);
            if let Some(record) = record.as_ref().filter(|record| !record.is_tombstone()) {
                let found = [known, asked].into_iter().find(|(number, quarantined)| {
                    record.hints() == hints(*number).volumes()
                        && record.is_quarantined() == *quarantined
                });
                let found = found.unwrap_or_else(|| panic!("{record:?}: {known:?}, {asked:?}"));
                model.known.insert(number, found);
            }
        }
        if let (Some(record), Some((version, Some(len)))) = (record, found) {
            assert_eq!(record.meta(), Some(&meta(version, len)));
            let bytes = read(volume, &record).await.expect("what is filed can be read");
            assert!(bytes == body(id(number), version, len), "id {number} has other bytes");
        }
    }
}

fn check_settled(number: u8, record: Option<&Record>, model: &mut Model) {
    let settled = model.settled.get(&number).cloned().unwrap_or_default();
    let asked = model.asked_settled.remove(&number).unwrap_or_else(|| settled.clone());
    let Some(record) = record else { return };
    assert_eq!(record.is_first(), is_first(record.stamp.version.0));
    let found = [settled, asked].into_iter().find(|slots| slots == record.slots());
    model.settled.insert(number, found.expect("what was acknowledged or asked for"));
}

fn check_table(volume: &Volume, model: &Shared) {
    let mut model = model.lock().unwrap();
    let asked = model.asked_table.take().unwrap_or(model.table);
    let found = [model.table, asked].into_iter().find(|len| table(*len) == volume.feed_table());
    model.table = found.expect("what was acknowledged or asked for");
}

fn check_service(volume: &Volume, model: &Shared) {
    let mut model = model.lock().unwrap();
    let asked = model.asked_service.take().unwrap_or(model.service);
    let found =
        [model.service, asked].into_iter().find(|number| service(*number) == volume.service());
    model.service = found.expect("what was acknowledged or asked for");
}

fn index_after(
    fate: IndexFate,
    now: &MemoryIndex,
    at_mount: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Arc<MemoryIndex> {
    let mut map = now.lock().unwrap().clone();
    match fate {
        IndexFate::Kept => {}
        IndexFate::Lost => map.clear(),
        IndexFate::Old => map = at_mount.clone(),
        IndexFate::Corrupt { seed } => {
            let count = map.len().max(1);
            let victim = usize::try_from(mix(seed)).unwrap_or(0) % count;
            if let Some((_, value)) = map.iter_mut().nth(victim) {
                let at = usize::try_from(mix(seed + 1) % value.len() as u64).unwrap();
                value[at] ^= 1;
            }
        }
    }
    Arc::new(MemoryIndex::new(map))
}

/// The same image mounted with no index must come out the same.
fn check_rebuilt(image: Vec<u8>, volume: &Volume) {
    let disk = TestDisk::of_image(image, Arc::default());
    let mut lab = Lab::new(77);
    let env = lab.env.clone();
    let (rebuilt, _) = lab.run(mount(&env, &disk));
    assert_eq!((rebuilt.space(), rebuilt.service()), (volume.space(), volume.service()));
    assert_eq!(rebuilt.feed_table(), volume.feed_table());
    check_feeds(&rebuilt);
    assert_eq!(rebuilt.records(None, 1000), volume.records(None, 1000));
}

fn live_and_die(seed: u64, capacity: usize, lives: Vec<Life>) {
    let model = Shared::default();
    let mut disk = TestDisk::new(capacity);
    let mut lab = Lab::new(seed);
    let formatter = lab.env.clone();
    lab.run(format(&formatter, &disk));
    for life in lives {
        let env = lab.env.clone();
        disk.crash_at(life.crash_at);
        let at_mount = disk.index().lock().unwrap().clone();
        let story = async {
            let (volume, _) = mount(&env, &disk).await;
            check(&volume, &model).await;
            check_rebuilt(disk.durable(), &volume);
            for op in life.ops {
                perform(&volume, &model, op).await;
            }
            if life.unmount {
                volume.unmount().await.unwrap();
                assert!(volume.touch().await.is_err(), "it is closed");
            }
        };
        lab.until_crash(&disk, story);
        lab.pass(Duration::from_secs(60));
        lab = Lab::new(mix(seed ^ life.loss));
        let index = index_after(life.index, &disk.index(), &at_mount);
        disk = TestDisk::of_image(disk.power_loss(life.loss), index);
    }
    let env = lab.env.clone();
    let (volume, _) = lab.run(mount(&env, &disk));
    lab.run(check(&volume, &model));
}

fn cases() -> u32 {
    std::env::var("SWARM_STORE_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(128)
}

proptest! {
    #![proptest_config(Config { cases: cases(), failure_persistence: None, ..Config::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_wherever_the_power_goes(
        seed in any::<u64>(),
        large in any::<bool>(),
        lives in prop::collection::vec(any_life(), 1..5),
    ) {
        live_and_die(seed, if large { 8 << 20 } else { 2 << 20 }, lives);
    }
}

#[test]
fn every_single_point_of_a_short_story_can_be_the_last() {
    let story = |crash_at, loss, index| {
        let ops = vec![
            Op::Put { id: 0, len: 300_000 },
            Op::PutMany { len: 700 },
            Op::Delete { id: 1 },
            Op::Put { id: 0, len: 5_000 },
            Op::Hint { id: 0, hints: 3 },
            Op::Quarantine { id: 3, quarantined: true },
            Op::Service { service: 1 },
            Op::Remove { id: 2 },
            Op::Put { id: 1, len: 70_000 },
        ];
        Life { ops, crash_at, loss, index, unmount: false }
    };
    for crash_at in 1..40 {
        for loss in 0..3 {
            for index in [IndexFate::Kept, IndexFate::Lost] {
                let lives = vec![story(crash_at, loss, index), story(crash_at, loss + 99, index)];
                live_and_die(crash_at, 2 << 20, lives);
            }
        }
    }
}

#[test]
fn every_single_point_of_what_feeds_note_can_be_the_last() {
    let story = || {
        let slots = |number: u8| (0..10).map(|draw| (number, draw)).collect::<Vec<_>>();
        let mut ops = vec![Op::Put { id: 0, len: 20_000 }, Op::Put { id: 1, len: 300_000 }];
        ops.extend([Op::Settle { slots: slots(1) }, Op::Table { len: 16_384 }]);
        ops.extend([Op::Delete { id: 0 }, Op::Settle { slots: slots(0) }]);
        ops.push(Op::Settle { slots: [slots(0), slots(1)].concat() });
        ops.extend([Op::Table { len: 10 }, Op::SettleAndDefragment { slots: slots(1) }]);
        // Round the journal.
        ops.extend([16_000, 15_000, 14_000].map(|len| Op::Table { len }));
        ops.extend([Op::Settle { slots: vec![(1, 77), (0, 78)] }, Op::Put { id: 1, len: 5 }]);
        ops.extend([Op::Settle { slots: vec![(1, 79)] }, Op::Table { len: 0 }]);
        ops
    };
    for crash_at in 5..90 {
        for loss in 0..4 {
            let index = if loss % 2 == 0 { IndexFate::Kept } else { IndexFate::Lost };
            let life = Life { ops: story(), crash_at, loss, index, unmount: false };
            let next =
                Life { ops: story(), crash_at: crash_at / 2 + 9, loss: loss + 9, ..life.clone() };
            live_and_die(crash_at, 2 << 20, vec![life, next]);
        }
    }
}

#[test]
fn outcomes_make_way_as_asked_wherever_the_power_goes() {
    // More feeds than a record has places for, some of them gone, and some that are not.
    let draws = |first: u64| (first..first + 12).filter(|draw| draw % 8 != 0);
    let settle = |first: u64| Op::Settle { slots: draws(first).map(|n| (0, n)).collect() };
    let firsts = || (0..9).map(|nth| 12 * nth);
    let story = || [vec![Op::Put { id: 0, len: 5 }], firsts().map(settle).collect()].concat();
    let (mut slots, mut made_way, mut kept) = (FeedSlots::default(), 0, 0);
    for slot in firsts().flat_map(draws).map(slot) {
        let before = slots.iter().len();
        let is_living = |feed, mark| LIVING_FEEDS.contains(&(feed, mark));
        slots.set_among(slot, is_living);
        if slots.iter().len() < before {
            made_way += 1;
            kept += slots.iter().filter(|one| is_living(one.feed, one.mark)).count();
        }
    }
    assert!(made_way > 1 && kept > 1, "{made_way} times, {kept} of living feeds kept");
    for crash_at in 5..40 {
        for (loss, index) in [(0, IndexFate::Kept), (1, IndexFate::Lost)] {
            let life = Life { ops: story(), crash_at, loss, index, unmount: false };
            live_and_die(crash_at, 2 << 20, vec![life.clone(), life]);
        }
    }
}

#[test]
fn every_single_point_of_a_defragmentation_can_be_the_last() {
    // The last body fits into no hole at first, so that others are moved out of its way, up and down.
    let story = || {
        let put = |id, len| Op::Put { id, len };
        let mut ops = vec![put(0, 9_000), put(1, 20_000), put(2, 9_000), put(3, 300_000)];
        ops.extend([put(4, 150_000), put(5, 160_000)]);
        ops.extend([Op::Remove { id: 0 }, Op::Remove { id: 2 }, Op::Remove { id: 4 }]);
        ops.push(Op::Defragment { budget: u64::MAX });
        ops.extend([put(0, 400_000), Op::Delete { id: 1 }, Op::Defragment { budget: 1 }]);
        ops
    };
    for crash_at in 20..90 {
        for loss in 0..4 {
            let index = if loss % 2 == 0 { IndexFate::Kept } else { IndexFate::Lost };
            let life = Life { ops: story(), crash_at, loss, index, unmount: false };
            let next =
                Life { ops: story(), crash_at: crash_at / 2, loss: loss + 9, ..life.clone() };
            live_and_die(crash_at, 2 << 20, vec![life, next]);
        }
    }
}

#[test]
fn every_point_of_a_checkpoint_can_be_the_last() {
    for crash_at in 1..75 {
        for loss in 0..8 {
            let ops = (0..40).map(|number| Op::Put { id: number % IDS, len: 10 }).collect();
            let index = if loss % 2 == 0 { IndexFate::Kept } else { IndexFate::Lost };
            live_and_die(1, 2 << 20, vec![Life { ops, crash_at, loss, index, unmount: false }]);
        }
    }
}
