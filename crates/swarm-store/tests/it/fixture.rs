//! Images of every format version, kept as text: this version must mount them, and still writes the newest byte for byte.
//!
//! A fixture lists the rows of 32 bytes that are not all zero: offset and bytes in hexadecimal. `SWARM_STORE_FIXTURES=write`
//! writes the newest one anew, which is right only together with a new format version.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::MemoryIndex;
use swarm_store::{
    FORMAT_VERSION, Hints, IndexUse, Publish, RecordState, Retire, RetireCause, RetirePace,
    Service, Tombstone, Volume,
};
use swarm_types::{
    FeedId, FeedMark, FeedOutcome, FeedSlot, FeedSlots, ObjectKind, Timestamp, Uuid, VolumeId,
};

use crate::kit::{Lab, TestDisk, check_space, fresh, id, meta, mount, place, put, read, stamp};

const DEVICE: usize = 2 << 20;
const ROW: usize = 32;

fn path(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/version-{version}.hex"))
}

/// A body of three blocks that is nearly all zeros, so that the fixture stays small.
fn sparse_body() -> Vec<u8> {
    let mut body = vec![0; 140_000];
    body[..5].copy_from_slice(b"begin");
    body[65_530..65_542].copy_from_slice(b"block border");
    body[139_997..].copy_from_slice(b"end");
    body
}

async fn put_body(volume: &Volume, number: u8, version: u64, body: Vec<u8>) {
    let mut staged = volume.stage(id(number), body.len() as u64).unwrap();
    let meta = meta(version, body.len());
    staged.write(Bytes::from(body)).await.unwrap();
    let publish = Publish::new(stamp(version), meta, Hints::new([volume.id()]));
    staged.publish(Publish { first: number == 2, ..publish }).await.unwrap();
}

fn retiring() -> Service {
    let since = Timestamp::from_secs(1_000_001);
    Service::Retiring(Retire { cause: RetireCause::IoErrors, pace: RetirePace::Fast, since })
}

/// An outcome of a feed; the feed's number says which.
fn slot(feed: u32) -> FeedSlot {
    let (outcome, status) = match feed {
        1 => (FeedOutcome::Unqualified, 0),
        2 => (FeedOutcome::Success, 0),
        _ => {
            let next_at = Timestamp::from_secs(1_000_060);
            (FeedOutcome::Retrying { attempts: 3, next_at }, 503)
        }
    };
    let (mark, at) = (FeedMark(0x0102_0304_0506_0708), Timestamp::from_secs(1_000_002));
    FeedSlot { feed: FeedId(feed), mark, outcome, status, at }
}

fn slots(feeds: impl IntoIterator<Item = u32>) -> FeedSlots {
    let mut slots = FeedSlots::default();
    feeds.into_iter().for_each(|feed| slots.set(slot(feed)));
    slots
}

/// A delete of a domain of which everything is known.
fn deleted_domain() -> Tombstone {
    let bare = Tombstone::new(stamp(8), ObjectKind::Domain, Timestamp::from_secs(9));
    let (alias, parent) = (Some(Uuid::from_bytes([8; 16])), Some(Uuid::ROOT));
    let name = Some("domain.example.com".into());
    Tombstone { alias, parent, name, slots: slots([2]), first: true, ..bare }
}

fn hints() -> Hints {
    (1..=3).map(|number| VolumeId::from_bytes([number; 16])).collect()
}

/// The image of a volume with some of everything, that went through a checkpoint and was not unmounted.
fn image() -> Vec<u8> {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(put_body(&volume, 1, 1, Vec::new()));
    lab.run(volume.unmount()).unwrap();
    lab.pass(Duration::from_secs(3));
    let env = lab.env.clone();
    let (volume, _) = lab.run(mount(&env, &disk));
    lab.run(async {
        put_body(&volume, 2, 1, b"superseded".to_vec()).await;
        put_body(&volume, 3, 1, b"removed".to_vec()).await;
        put_body(&volume, 6, 1, b"noted before the checkpoint".to_vec()).await;
        assert!(volume.set_quarantined(&volume.find(id(6)).unwrap(), true).await.unwrap());
        volume.set_service(retiring()).await.unwrap();
        let settled = [(id(6), stamp(1), slot(1)), (id(6), stamp(1), slot(3))];
        assert_eq!(volume.settle_feeds(settled.to_vec(), Arc::default()).await.unwrap(), 2);
        volume.set_feed_table(b"the table of feeds".as_slice().into()).await.unwrap();
        volume.bury(id(8), deleted_domain()).await.unwrap();
        for _ in 0..30 {
            volume.touch().await.unwrap();
        }
        put_body(&volume, 2, 2, b"small".to_vec()).await;
        assert!(volume.remove(id(3), stamp(1)).await.unwrap());
        let tombstone = Tombstone::new(stamp(4), ObjectKind::Bucket, Timestamp::from_secs(7));
        volume.bury(id(4), tombstone).await.unwrap();
        put_body(&volume, 5, 5, sparse_body()).await;
        put_body(&volume, 7, 1, b"moved down".to_vec()).await;
        assert_eq!(volume.defragment(1).await.unwrap().freed, 4096);
        assert!(volume.set_hints(id(5), stamp(5), hints()).await.unwrap());
        let settled = [(id(2), stamp(2), slot(2)), (id(4), stamp(4), slot(3))];
        assert_eq!(volume.settle_feeds(settled.to_vec(), Arc::default()).await.unwrap(), 2);
        volume.set_feed_table(b"the newer table of feeds".as_slice().into()).await.unwrap();
    });
    disk.durable()
}

fn to_text(image: &[u8]) -> String {
    let mut text = format!("size {}\n", image.len());
    for (row, bytes) in image.chunks(ROW).enumerate() {
        if bytes.iter().any(|byte| *byte != 0) {
            write!(text, "{:08x} ", row * ROW).unwrap();
            bytes.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
            text.push('\n');
        }
    }
    text
}

fn from_text(text: &str) -> Vec<u8> {
    let mut lines = text.lines();
    let size = lines.next().unwrap().strip_prefix("size ").unwrap().parse().unwrap();
    let mut image = vec![0; size];
    for line in lines {
        let (offset, bytes) = line.split_once(' ').unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        for at in 0..bytes.len() / 2 {
            image[offset + at] = u8::from_str_radix(&bytes[2 * at..2 * at + 2], 16).unwrap();
        }
    }
    image
}

fn fixture(version: u32) -> Vec<u8> {
    from_text(&std::fs::read_to_string(path(version)).unwrap())
}

/// What every version's image holds.
fn check_content(lab: &mut Lab, volume: &Volume) {
    let bodies = [(1, 1, Vec::new()), (2, 2, b"small".to_vec()), (5, 5, sparse_body())];
    for (number, version, body) in bodies {
        let record = volume.find(id(number)).unwrap();
        assert_eq!(
            (record.stamp, record.meta()),
            (stamp(version), Some(&meta(version, body.len())))
        );
        assert!(lab.run(read(volume, &record)).unwrap() == body);
    }
    assert_eq!(volume.find(id(3)), None);
    assert!(volume.find(id(4)).unwrap().is_tombstone());
}

fn magics(image: &[u8], magic: &[u8]) -> usize {
    image.chunks(4096).filter(|block| block.starts_with(magic)).count()
}

#[test]
fn version_1_is_mounted_with_everything_in_it() {
    let mut lab = Lab::new(5);
    let env = lab.env.clone();
    let disk = TestDisk::of_image(fixture(1), Arc::default());
    let (volume, report) = lab.run(mount(&env, &disk));
    assert_eq!((report.clean, report.index), (false, IndexUse::Rebuilt));
    assert_eq!((report.dropped, report.damaged), (vec![], vec![]));
    let space = volume.space();
    assert_eq!((space.streams, space.tombstones), (3, 1));
    assert_eq!((space.capacity, space.used, space.trapped), (1_826_816, 147_456, 8_192));
    check_content(&mut lab, &volume);
    let only_hint = [volume.id()];
    for number in [1, 2, 5] {
        let record = volume.find(id(number)).unwrap();
        assert_eq!((record.hints(), record.is_quarantined()), (&only_hint[..], false));
    }
    assert_eq!(volume.service(), Service::InService);
}

#[test]
fn a_mount_brings_older_versions_to_the_newest_and_they_stay_so() {
    let halves =
        |image: &[u8]| [1, 2, 3, 4].map(|n| magics(image, format!("SWHALF_{n}").as_bytes()));
    for (version, was, is) in [
        (1, [2, 0, 0, 0], [1, 0, 0, 1]),
        (2, [0, 2, 0, 0], [0, 1, 0, 1]),
        (3, [0, 0, 2, 0], [0, 0, 1, 1]),
    ] {
        let mut lab = Lab::new(5);
        let env = lab.env.clone();
        let disk = TestDisk::of_image(fixture(version), Arc::default());
        let before = disk.durable();
        assert_eq!(halves(&before), was);
        let (volume, _) = lab.run(mount(&env, &disk));
        let after = disk.durable();
        assert_eq!(halves(&after), is);
        assert!(before[..4096] == after[..4096], "the superblock is never changed");
        lab.run(async {
            assert!(volume.set_hints(id(5), stamp(5), hints()).await.unwrap());
            let settled = [(id(5), stamp(5), slot(2)), (id(4), stamp(4), slot(3))];
            assert_eq!(volume.settle_feeds(settled.to_vec(), Arc::default()).await.unwrap(), 2);
            put(&volume, id(9), 1, 70_000).await.unwrap();
        });
        let (space, records) = (volume.space(), volume.records(None, 100));
        for index in [Arc::default(), disk.index()] {
            let mut lab = Lab::new(6);
            let env = lab.env.clone();
            let (volume, _) = lab.run(mount(&env, &TestDisk::of_image(disk.durable(), index)));
            assert_eq!((volume.space(), volume.records(None, 100)), (space, records.clone()));
            assert_eq!(volume.find(id(5)).unwrap().slots(), &slots([2]));
            assert_eq!(volume.find(id(4)).unwrap().slots(), &slots([3]));
            check_content(&mut lab, &volume);
        }
    }
}

/// The index that an older version had beside its image: keys and values, one to a line.
fn index_of(version: u32) -> Arc<MemoryIndex> {
    let path = path(version).with_extension("index.hex");
    let text = std::fs::read_to_string(path).unwrap();
    let bytes = |digits: &str| -> Vec<u8> {
        let pairs = (0..digits.len()).step_by(2);
        pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    };
    let entries = text.lines().map(|line| {
        let (key, value) = line.split_once(' ').unwrap();
        (bytes(key), bytes(value))
    });
    Arc::new(MemoryIndex::new(entries.collect()))
}

/// Its values are of the old encoding and must not be taken for new ones.
#[test]
fn the_index_of_an_older_version_is_rebuilt() {
    for (version, streams) in [(1, 3), (2, 5)] {
        let mut lab = Lab::new(5);
        let env = lab.env.clone();
        let disk = TestDisk::of_image(fixture(version), index_of(version));
        let (volume, report) = lab.run(mount(&env, &disk));
        assert_eq!((report.index, volume.space().streams), (IndexUse::Rebuilt, streams));
        assert_eq!((report.dropped, report.damaged), (vec![], vec![]));
        check_content(&mut lab, &volume);
    }
}

/// Rot in the last body: only the index knows that its group had been completed.
#[test]
fn the_index_of_version_1_still_proves_the_last_group_complete() {
    let found = |index| {
        let disk = TestDisk::of_image(fixture(1), index);
        disk.flip(place(&disk, b"begin"));
        let mut lab = Lab::new(5);
        let env = lab.env.clone();
        let (_, report) = lab.run(mount(&env, &disk));
        (report.dropped, report.damaged)
    };
    assert_eq!(found(index_of(1)), (vec![], vec![id(5)]));
    assert_eq!(found(Arc::default()), (vec![id(5)], vec![]));
}

#[test]
fn every_point_of_the_way_from_an_older_version_can_be_the_last() {
    for (version, streams) in [(1, 3), (2, 5)] {
        let mut crashes = 0;
        for (crash_at, loss) in (1..40).flat_map(|at| (0..8).map(move |loss| (at, loss))) {
            let mut lab = Lab::new(loss);
            let env = lab.env.clone();
            let disk = TestDisk::of_image(fixture(version), Arc::default());
            disk.crash_at(crash_at);
            if lab.until_crash(&disk, mount(&env, &disk)).is_some() {
                continue;
            }
            crashes += 1;
            let index = if loss % 2 == 0 { disk.index() } else { Arc::default() };
            let disk = TestDisk::of_image(disk.power_loss(loss), index);
            let mut lab = Lab::new(loss + 100);
            let env = lab.env.clone();
            let (volume, report) = lab.run(mount(&env, &disk));
            assert_eq!((report.dropped, report.damaged), (vec![], vec![]));
            check_content(&mut lab, &volume);
            check_space(&volume);
            assert_eq!((volume.space().streams, volume.space().tombstones), (streams, 1));
        }
        assert!(crashes > 40, "it has steps: {crashes}");
    }
}

#[test]
fn version_2_is_mounted_with_everything_in_it() {
    let mut lab = Lab::new(5);
    let env = lab.env.clone();
    let (volume, report) = lab.run(mount(&env, &TestDisk::of_image(fixture(2), Arc::default())));
    assert_eq!((report.clean, report.index), (false, IndexUse::Rebuilt));
    assert_eq!((report.dropped, report.damaged), (vec![], vec![]));
    let space = volume.space();
    assert_eq!((space.streams, space.tombstones), (5, 1));
    assert_eq!((space.capacity, space.used, space.trapped), (1_826_816, 155_648, 4_096));
    check_content(&mut lab, &volume);
    let moved = volume.find(id(7)).unwrap();
    assert!(lab.run(read(&volume, &moved)).unwrap() == b"moved down");
    assert_eq!(volume.find(id(5)).unwrap().hints(), hints().volumes());
    let noted = volume.find(id(6)).unwrap();
    assert_eq!((noted.hints(), noted.is_quarantined()), (&[volume.id()][..], true));
    assert_eq!(volume.service(), retiring());
    for record in volume.records(None, 100) {
        assert!(record.slots().is_empty() && !record.is_first());
    }
    let expected = Tombstone::new(stamp(4), ObjectKind::Bucket, Timestamp::from_secs(7));
    assert_eq!(volume.find(id(4)).unwrap().state, RecordState::Tombstone(expected));
    assert!(volume.feed_table().is_empty());
}

#[test]
fn version_3_is_mounted_with_everything_in_it() {
    let mut lab = Lab::new(5);
    let (volume, last_touched) = mount_with_feeds(&mut lab, 3);
    assert_eq!(volume.behind_since(), Some(last_touched));
}

#[test]
fn version_4_is_mounted_with_everything_in_it() {
    let mut lab = Lab::new(5);
    let (volume, last_touched) = mount_with_feeds(&mut lab, 4);
    let behind = volume.behind_since().unwrap();
    assert!(behind < last_touched, "since before the last mount: {behind:?}");
}

/// Mounts an image of a version that knows of feeds, and looks at everything in it.
fn mount_with_feeds(lab: &mut Lab, version: u32) -> (Volume, Timestamp) {
    let env = lab.env.clone();
    let disk = TestDisk::of_image(fixture(version), Arc::default());
    let (volume, report) = lab.run(mount(&env, &disk));
    assert_eq!((report.clean, report.index), (false, IndexUse::Rebuilt));
    assert_eq!((report.dropped, report.damaged), (vec![], vec![]));
    let space = volume.space();
    assert_eq!((space.streams, space.tombstones), (5, 2));
    assert_eq!((space.capacity, space.used, space.trapped), (1_826_816, 155_648, 4_096));
    check_content(lab, &volume);
    let moved = volume.find(id(7)).unwrap();
    assert!(lab.run(read(&volume, &moved)).unwrap() == b"moved down");
    assert_eq!(volume.find(id(5)).unwrap().hints(), hints().volumes());
    let noted = volume.find(id(6)).unwrap();
    assert_eq!((noted.hints(), noted.is_quarantined()), (&[volume.id()][..], true));
    assert_eq!(volume.service(), retiring());
    let of = |number| volume.find(id(number)).unwrap().slots().clone();
    assert_eq!(
        [2, 4, 5, 6, 7].map(of),
        [slots([2]), slots([3]), slots([]), slots([1, 3]), slots([])]
    );
    let first = |number: &u8| volume.find(id(*number)).unwrap().is_first();
    assert_eq!((1..=8).filter(|n| *n != 3).filter(first).collect::<Vec<_>>(), [2, 8]);
    let state = volume.find(id(8)).unwrap().state;
    assert_eq!(state, RecordState::Tombstone(deleted_domain()));
    assert_eq!(volume.context(Uuid::from_bytes([8; 16])), Some(id(8)));
    assert_eq!(volume.feed_table(), b"the newer table of feeds".as_slice());
    (volume, report.last_touched)
}

#[test]
fn the_newest_version_is_still_written_byte_for_byte() {
    let text = to_text(&image());
    assert!(from_text(&text) == image(), "the text form is faithful");
    if std::env::var("SWARM_STORE_FIXTURES").is_ok_and(|what| what == "write") {
        std::fs::write(path(FORMAT_VERSION), &text).unwrap();
    }
    assert!(
        text == std::fs::read_to_string(path(FORMAT_VERSION)).unwrap(),
        "the format changed without a new version"
    );
}
