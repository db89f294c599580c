//! Syncs that fail for good: the system gives out what was written as if it were there, never writes it again, and the power
//! takes it much later. Whatever is acknowledged by then is there and true.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::test_runner::Config;
use swarm_store::{MountError, RecordState, Tombstone, Volume};
use swarm_types::Timestamp;

use crate::kit::{
    Lab, TestDisk, body, check_space, expect_body, format, fresh, id, kind, meta, mix, mount, put,
    read, stamp, try_mount,
};

const DEVICE: usize = 2 << 20;
const IDS: u8 = 5;

/// A version, and the length of its body or `None` for a tombstone.
type Filed = Option<(u64, Option<usize>)>;

#[derive(Debug, Default)]
struct Model {
    version: u64,
    /// Acknowledged.
    filed: BTreeMap<u8, Filed>,
    /// Asked for and not acknowledged since: an error leaves open whether it was done.
    asked: BTreeMap<u8, Vec<Filed>>,
}

type Shared = Arc<Mutex<Model>>;

#[derive(Debug, Clone)]
enum Op {
    Put {
        id: u8,
        len: usize,
    },
    /// Several writers at once, so that they share a group.
    PutMany {
        len: usize,
    },
    Delete {
        id: u8,
    },
    Touch,
    Defragment,
    /// Syncs fail for good.
    GiveUp {
        after: u32,
        count: u32,
    },
    /// Submissions fail; a later sync makes up for them.
    Fail {
        count: u32,
    },
}

/// One process, from its mount to its end; the disk goes on unless the power goes as well.
#[derive(Debug, Clone)]
struct Life {
    ops: Vec<Op>,
    /// At this step of the disk at the latest.
    ends_at: u64,
    /// With the first operation that fails.
    ends_with_error: bool,
    power: Option<u64>,
    index_lost: bool,
    unmount: bool,
}

fn any_op() -> impl Strategy<Value = Op> {
    let len =
        prop_oneof![6 => 0usize..6_000, 1 => 60_000usize..140_000, 1 => 250_000usize..400_000];
    prop_oneof![
        8 => (0..IDS, len).prop_map(|(id, len)| Op::Put { id, len }),
        2 => (1usize..5_000).prop_map(|len| Op::PutMany { len }),
        2 => (0..IDS).prop_map(|id| Op::Delete { id }),
        1 => Just(Op::Touch),
        1 => Just(Op::Defragment),
        3 => (0u32..6, 1u32..4).prop_map(|(after, count)| Op::GiveUp { after, count }),
        1 => (1u32..3).prop_map(|count| Op::Fail { count }),
    ]
}

fn any_life() -> impl Strategy<Value = Life> {
    let ops = prop::collection::vec(any_op(), 0..25);
    let power = prop::option::weighted(0.4, any::<u64>());
    (ops, 1u64..90, power, prop::bool::weighted(0.3), prop::bool::weighted(0.2)).prop_map(
        |(ops, ends_at, power, index_lost, unmount)| Life {
            ops,
            ends_at,
            ends_with_error: ends_at % 2 == 0,
            power,
            index_lost,
            unmount,
        },
    )
}

async fn put_next(volume: &Volume, model: &Shared, number: u8, len: usize) {
    let version = ask(model, number, Some(len));
    let done = put(volume, id(number), version, len).await.is_ok();
    answer(model, number, done, Some((version, Some(len))));
}

async fn delete_next(volume: &Volume, model: &Shared, number: u8) {
    let version = ask(model, number, None);
    let tombstone = Tombstone::new(stamp(version), kind(version), Timestamp(0));
    let done = volume.bury(id(number), tombstone).await.is_ok();
    answer(model, number, done, Some((version, None)));
}

fn ask(model: &Shared, number: u8, len: Option<usize>) -> u64 {
    let mut model = model.lock().unwrap();
    model.version += 1;
    let version = model.version;
    model.asked.entry(number).or_default().push(Some((version, len)));
    version
}

fn answer(model: &Shared, number: u8, done: bool, filed: Filed) {
    if done {
        let mut model = model.lock().unwrap();
        model.asked.remove(&number);
        model.filed.insert(number, filed);
    }
}

async fn perform(disk: &TestDisk, volume: &Volume, model: &Shared, op: Op) {
    match op {
        Op::Put { id, len } => put_next(volume, model, id, len).await,
        Op::PutMany { len } => {
            let writers = (0..IDS).map(|id| put_next(volume, model, id, len + usize::from(id)));
            futures_util::future::join_all(writers).await;
        }
        Op::Delete { id } => delete_next(volume, model, id).await,
        // Whether these are done is nobody's business: what is filed stays as it is.
        Op::Touch => drop(volume.touch().await),
        Op::Defragment => drop(volume.defragment(u64::MAX).await),
        Op::GiveUp { after, count } => disk.give_up(after, count),
        Op::Fail { count } => disk.fail(count),
    }
    check_space(volume);
}

/// What is filed is what was acknowledged, or what was asked for since and failed; its bytes are true. From now on it counts
/// as acknowledged.
async fn check(volume: &Volume, model: &Shared) {
    check_space(volume);
    for number in 0..IDS {
        let record = volume.find(id(number));
        let found = record.as_ref().map(|record| {
            let len = match &record.state {
                RecordState::Live { meta, .. } => Some(usize::try_from(meta.length).unwrap()),
                RecordState::Tombstone(_) => None,
            };
            (record.stamp.version.0, len)
        });
        {
            let mut model = model.lock().unwrap();
            let acknowledged = model.filed.get(&number).copied().flatten();
            let asked = model.asked.remove(&number).unwrap_or_default();
            assert!(
                found == acknowledged || asked.contains(&found),
                "id {number}: found {found:?}, acknowledged {acknowledged:?}, asked {asked:?}"
            );
            model.filed.insert(number, found);
        }
        if let (Some(record), Some((version, Some(len)))) = (record, found) {
            assert_eq!(record.meta(), Some(&meta(version, len)));
            let bytes = read(volume, &record).await.expect("what is filed can be read");
            assert!(bytes == body(id(number), version, len), "id {number} has other bytes");
        }
    }
}

/// What a mounted volume says is what it says if the power goes at once and nothing is left but what is durable.
fn check_durable(disk: &TestDisk, volume: &Volume) {
    let mut lab = Lab::new(77);
    let env = lab.env.clone();
    let left = TestDisk::of_image(disk.durable(), Arc::default());
    let (after, report) = lab.run(mount(&env, &left));
    assert_eq!((&report.dropped[..], &report.damaged[..]), (&[][..], &[][..]));
    assert_eq!(after.records(None, 1000), volume.records(None, 1000));
    assert_eq!(after.space(), volume.space());
}

/// Mounts as often as it takes: a mount whose own sync fails is none.
async fn mount_at_last(lab: &swarm_env::Env, disk: &Arc<TestDisk>) -> Volume {
    loop {
        match try_mount(lab, disk).await {
            Ok((volume, report)) => {
                assert_eq!(report.damaged, [], "no bytes rot here");
                return volume;
            }
            Err(MountError::Disk { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn live_and_die(seed: u64, lives: Vec<Life>) {
    let model = Shared::default();
    let mut disk = TestDisk::new(DEVICE);
    let mut lab = Lab::new(seed);
    let formatter = lab.env.clone();
    lab.run(format(&formatter, &disk));
    for (number, life) in lives.into_iter().enumerate() {
        let env = lab.env.clone();
        disk.crash_at(life.ends_at);
        let story = async {
            let volume = mount_at_last(&env, &disk).await;
            check(&volume, &model).await;
            check_durable(&disk, &volume);
            for op in life.ops {
                perform(&disk, &volume, &model, op).await;
                if life.ends_with_error && !model.lock().unwrap().asked.is_empty() {
                    return;
                }
            }
            if life.unmount {
                drop(volume.unmount().await);
            }
        };
        lab.until_crash(&disk, story);
        lab = Lab::new(mix(seed ^ number as u64));
        if let Some(loss) = life.power {
            disk = TestDisk::of_image(disk.power_loss(loss), disk.index());
        }
        disk.outlives_process();
        if life.index_lost {
            disk.index().lock().unwrap().clear();
        }
    }
    let env = lab.env.clone();
    let volume = lab.run(mount_at_last(&env, &disk));
    lab.run(check(&volume, &model));
    check_durable(&disk, &volume);
}

fn cases() -> u32 {
    std::env::var("SWARM_STORE_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(128)
}

proptest! {
    #![proptest_config(Config { cases: cases(), failure_persistence: None, ..Config::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_whichever_syncs_are_given_up(
        seed in any::<u64>(),
        lives in prop::collection::vec(any_life(), 1..7),
    ) {
        live_and_die(seed, lives);
    }
}

#[test]
fn what_is_acknowledged_behind_a_group_that_was_given_up_outlives_the_power() {
    for index_lost in [false, true] {
        let mut lab = Lab::new(1);
        let disk = TestDisk::new(DEVICE);
        let volume = fresh(&mut lab, &disk);
        lab.run(put(&volume, id(1), 1, 4_000)).unwrap();
        disk.give_up(0, 1);
        lab.run(put(&volume, id(2), 2, 300_000)).unwrap_err();
        // The process is killed and started again. The group that was given up reads as whole.
        drop((volume, lab));
        if index_lost {
            disk.index().lock().unwrap().clear();
        }
        let mut lab = Lab::new(2);
        let env = lab.env.clone();
        let (volume, _) = lab.run(mount(&env, &disk));
        lab.run(expect_body(&volume, id(2), 2, 300_000));
        lab.run(put(&volume, id(3), 3, 4_000)).unwrap();
        drop((volume, lab));

        let disk = TestDisk::of_image(disk.durable(), disk.index());
        let mut lab = Lab::new(3);
        let env = lab.env.clone();
        let (volume, _) = lab.run(mount(&env, &disk));
        lab.run(async {
            expect_body(&volume, id(1), 1, 4_000).await;
            expect_body(&volume, id(2), 2, 300_000).await;
            expect_body(&volume, id(3), 3, 4_000).await;
        });
    }
}

#[test]
fn any_sync_of_a_story_and_of_the_mounts_behind_it_can_be_given_up() {
    // Long enough for several switches between the halves of the journal.
    let story = || (0..45).map(|number| Op::Put { id: number % IDS, len: 5_000 });
    for after in 0..70 {
        for count in [1, 2, 3, 4] {
            let mut ops = vec![Op::GiveUp { after, count }];
            ops.extend(story());
            let life = Life {
                ops,
                ends_at: 1000,
                ends_with_error: true,
                power: None,
                index_lost: after % 2 == 0,
                unmount: false,
            };
            let next = Life { power: Some(u64::from(after)), ..life.clone() };
            live_and_die(u64::from(after), vec![life, next]);
        }
    }
}

#[test]
fn a_mount_whose_sync_is_given_up_is_none_and_the_next_one_is() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put(&volume, id(1), 1, 4_000)).unwrap();
    drop((volume, lab));
    for after in 0..2 {
        let mut lab = Lab::new(2);
        let env = lab.env.clone();
        disk.give_up(after, 1);
        let refused = lab.run(try_mount(&env, &disk));
        assert!(matches!(refused, Err(MountError::Disk { .. })), "after {after}");
    }
    let mut lab = Lab::new(3);
    let env = lab.env.clone();
    let (volume, _) = lab.run(mount(&env, &disk));
    lab.run(expect_body(&volume, id(1), 1, 4_000));
    check_durable(&disk, &volume);
}

#[test]
fn a_volume_whose_format_was_given_up_at_its_end_is_durable_once_it_is_mounted() {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let env = lab.env.clone();
    let device: Arc<dyn swarm_env::Disk> = disk.clone();
    let options = swarm_store::FormatOptions { cluster: crate::kit::cluster() };
    disk.give_up(2, 1);
    lab.run(Volume::format(&env, &device, options)).unwrap_err();
    let (volume, _) = lab.run(mount(&env, &disk));
    lab.run(put(&volume, id(1), 1, 4_000)).unwrap();
    check_durable(&disk, &volume);
}
