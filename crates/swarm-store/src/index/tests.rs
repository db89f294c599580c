//! One suite for every implementation.

use std::sync::Arc;

use swarm_env::MemoryIndex;
use swarm_types::{Etag, ObjectKind, Stamp, Timestamp, Version};

use super::memory::Memory;
use super::sled::Sled;
use super::*;
use crate::record::{Record, RecordState, Tombstone, encode_value};

fn id(number: u8) -> StreamId {
    StreamId::from_bytes([number; 16])
}

fn value(version: u64) -> Vec<u8> {
    let stamp = Stamp { version: Version(version), etag: Etag::from_bytes([1; 16]) };
    let tombstone = Tombstone::new(stamp, ObjectKind::Named, Timestamp(0));
    encode_value(&Record { id: id(0), stamp, state: RecordState::Tombstone(tombstone) })
}

fn mark(sequence: u64) -> Mark {
    let totals = Totals { streams: 1, tombstones: 2, used: 3, record_bytes: 4, digest: u64::MAX };
    Mark { volume: VolumeId::from_bytes([9; 16]), generation: 1, sequence, checksum: 77, totals }
}

fn conforms(index: &dyn Index) {
    assert_eq!(index.get(id(1)).unwrap(), None);
    assert_eq!(index.mark().unwrap(), None);
    assert_eq!(totals(index).unwrap(), Totals::default());

    let filed = (1..=9).rev().map(|number| (id(number), Some(value(u64::from(number))))).collect();
    index.apply(filed, Some(&mark(1))).unwrap();
    assert_eq!(index.get(id(3)).unwrap(), Some(value(3)));
    assert_eq!(index.mark().unwrap(), Some(mark(1)));

    index
        .apply(vec![(id(3), Some(value(33))), (id(4), None), (id(99), None)], Some(&mark(2)))
        .unwrap();
    assert_eq!(index.get(id(3)).unwrap(), Some(value(33)));
    assert_eq!(index.get(id(4)).unwrap(), None);
    assert_eq!(index.mark().unwrap(), Some(mark(2)));

    let ids = |after, limit| {
        index.scan(after, limit).unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, 3), [id(1), id(2), id(3)]);
    assert_eq!(
        ids(Some(id(3)), 2),
        [id(5), id(6)],
        "the mark is no id, and the id behind is exclusive"
    );
    assert_eq!(ids(Some(id(9)), 5), []);
    assert_eq!(ids(None, 100).len(), 8);
    assert_eq!(totals(index).unwrap().tombstones, 8);

    index.apply(Vec::new(), None).unwrap();
    assert_eq!(index.mark().unwrap(), None, "no mark while it is being rebuilt");
    assert_eq!(ids(None, 100).len(), 8);
    index.flush().unwrap();
    index.clear().unwrap();
    assert_eq!(ids(None, 100), []);
}

#[test]
fn the_ordered_map_conforms() {
    conforms(&Memory::new(Arc::new(MemoryIndex::default())));
}

#[test]
fn the_database_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&Sled::open(&folder.path().join("index")).unwrap());
}

#[test]
fn the_database_keeps_what_was_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Sled::open(&folder.path().join("index")).unwrap();
    let index = open();
    index.apply(vec![(id(1), Some(value(1)))], Some(&mark(1))).unwrap();
    index.flush().unwrap();
    drop(index);
    let index = open();
    assert_eq!(index.get(id(1)).unwrap(), Some(value(1)));
    assert_eq!(index.mark().unwrap(), Some(mark(1)));
}

#[test]
fn a_damaged_mark_is_no_mark() {
    let whole = mark(5).encode();
    assert_eq!(Mark::decode(&whole), Ok(mark(5)));
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        assert_eq!(Mark::decode(&bad), Err(Malformed));
        assert_eq!(Mark::decode(&whole[..at]), Err(Malformed));
    }
}

#[test]
fn a_value_that_is_no_record_is_noticed() {
    let index = Memory::new(Arc::new(MemoryIndex::default()));
    index.apply(vec![(id(1), Some(vec![250]))], None).unwrap();
    assert!(totals(&index).is_err());
}
