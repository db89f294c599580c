//! Images of every format version, kept as text: this version must mount them, and still writes the newest byte for byte.
//!
//! A fixture lists the rows of 32 bytes that are not all zero: offset and bytes in hexadecimal. `SWARM_STORE_FIXTURES=write`
//! writes the newest one anew, which is right only together with a new format version.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use swarm_store::{IndexUse, Publish, Tombstone, Volume};
use swarm_types::{ObjectKind, Timestamp};

use crate::kit::{Lab, TestDisk, fresh, id, meta, mount, read, stamp};

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

async fn put(volume: &Volume, number: u8, version: u64, body: Vec<u8>) {
    let mut staged = volume.stage(id(number), body.len() as u64).unwrap();
    let meta = meta(version, body.len());
    staged.write(Bytes::from(body)).await.unwrap();
    let publish = Publish { stamp: stamp(version), meta, hint: Some(volume.id()) };
    staged.publish(publish).await.unwrap();
}

/// The image of a volume with some of everything, that went through a checkpoint and was not unmounted.
fn image() -> Vec<u8> {
    let mut lab = Lab::new(1);
    let disk = TestDisk::new(DEVICE);
    let volume = fresh(&mut lab, &disk);
    lab.run(async {
        put(&volume, 1, 1, Vec::new()).await;
        put(&volume, 2, 1, b"superseded".to_vec()).await;
        put(&volume, 3, 1, b"removed".to_vec()).await;
        for _ in 0..30 {
            volume.touch().await.unwrap();
        }
        put(&volume, 2, 2, b"small".to_vec()).await;
        assert!(volume.remove(id(3), stamp(1)).await.unwrap());
        let tombstone = Tombstone {
            stamp: stamp(4),
            kind: ObjectKind::Bucket,
            written: Timestamp::from_secs(7),
        };
        volume.bury(id(4), tombstone).await.unwrap();
        put(&volume, 5, 5, sparse_body()).await;
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

#[test]
fn version_1_is_mounted_with_everything_in_it() {
    let image = from_text(&std::fs::read_to_string(path(1)).unwrap());
    let mut lab = Lab::new(5);
    let env = lab.env.clone();
    let (volume, report) = lab.run(mount(&env, &TestDisk::of_image(image, Arc::default())));
    assert_eq!((report.clean, report.index), (false, IndexUse::Rebuilt));
    assert_eq!((report.dropped, report.damaged), (vec![], vec![]));
    let space = volume.space();
    assert_eq!((space.streams, space.tombstones), (3, 1));
    assert_eq!((space.capacity, space.used, space.trapped), (1_826_816, 147_456, 8_192));
    let bodies = [(1, 1, Vec::new()), (2, 2, b"small".to_vec()), (5, 5, sparse_body())];
    for (number, version, body) in bodies {
        let record = volume.find(id(number)).unwrap();
        assert_eq!(
            (record.stamp, record.meta()),
            (stamp(version), Some(&meta(version, body.len())))
        );
        assert!(lab.run(read(&volume, &record)).unwrap() == body);
    }
    assert_eq!(volume.find(id(3)), None);
    assert!(volume.find(id(4)).unwrap().is_tombstone());
}

#[test]
fn version_1_is_still_written_byte_for_byte() {
    let text = to_text(&image());
    assert!(from_text(&text) == image(), "the text form is faithful");
    if std::env::var("SWARM_STORE_FIXTURES").is_ok_and(|what| what == "write") {
        std::fs::write(path(swarm_store::FORMAT_VERSION), &text).unwrap();
    }
    assert!(
        text == std::fs::read_to_string(path(1)).unwrap(),
        "the format changed without a new version"
    );
}
