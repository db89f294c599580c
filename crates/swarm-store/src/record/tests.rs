//! Round trips of the record codec.

use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};

use super::*;

fn any_meta() -> impl Strategy<Value = ObjectMeta> {
    let kind = prop::sample::select(vec![
        ObjectKind::Immutable,
        ObjectKind::Alias,
        ObjectKind::Named,
        ObjectKind::Bucket,
        ObjectKind::Domain,
    ]);
    let uuid = || prop::option::of(any::<[u8; 16]>().prop_map(Uuid::from_bytes));
    let text = || prop::option::of(".{0,20}");
    let header = (".{0,12}", prop::collection::vec(any::<u8>(), 0..30))
        .prop_map(|(name, value)| Header::new(name, value));
    let headers = prop::collection::vec(header, 0..6).prop_map(HeaderList);
    let ids = (kind, uuid(), uuid(), any::<u64>(), any::<[u8; 16]>());
    (ids, text(), text(), ".{0,20}", headers).prop_map(
        |((kind, alias, cid, length, digest), name, owner, cluster, headers)| ObjectMeta {
            kind,
            alias,
            cid,
            name,
            cluster,
            owner,
            headers,
            length,
            digest,
        },
    )
}

fn any_record() -> impl Strategy<Value = Record> {
    let stamp = (any::<u64>(), any::<[u8; 16]>()).prop_map(|(version, etag)| Stamp {
        version: Version(version),
        etag: Etag::from_bytes(etag),
    });
    let hint = prop::option::of((1u8..).prop_map(|byte| VolumeId::from_bytes([byte; 16])));
    let extent = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>())
        .prop_map(|(number, offset, length, checksum)| Extent { number, offset, length, checksum });
    let live = (any_meta(), hint, extent).prop_map(|(meta, hint, extent)| RecordState::Live {
        meta,
        hint,
        extent,
    });
    let tombstone =
        (any_meta(), any::<i64>()).prop_map(|(meta, written)| (meta.kind, Timestamp(written)));
    (any::<[u8; 16]>(), stamp, prop_oneof![live.prop_map(Ok), tombstone.prop_map(Err)]).prop_map(
        |(id, stamp, state)| {
            let state = state.unwrap_or_else(|(kind, written)| {
                RecordState::Tombstone(Tombstone { stamp, kind, written })
            });
            Record { id: StreamId::from_bytes(id), stamp, state }
        },
    )
}

proptest! {
    #[test]
    fn a_record_survives_index_and_journal(record in any_record()) {
        let value = encode_value(&record);
        assert_eq!(decode_value(record.id, &value), Ok(record.clone()));
        let brief = brief(&value).expect("it has the fixed part");
        assert_eq!((brief.stamp, brief.extent.as_ref()), (record.stamp, record.extent()));
        let entry = Entry::File { id: record.id, value: value.clone() };
        let mut framed = Vec::new();
        entry.encode(&mut framed);
        assert_eq!(framed.len() as u64, Entry::framed(&value));
        let mut cursor = Cursor::new(&framed);
        assert_eq!(Entry::decode(&mut cursor), Ok(entry));
        assert!(cursor.is_empty());
    }

    #[test]
    fn a_cut_record_is_refused(record in any_record(), cut in any::<prop::sample::Index>()) {
        let value = encode_value(&record);
        let cut = cut.index(value.len());
        assert_eq!(decode_value(record.id, &value[..cut]), Err(Malformed));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let id = StreamId::from_bytes([0; 16]);
        if let Ok(record) = decode_value(id, &bytes) {
            assert_eq!(decode_value(id, &encode_value(&record)), Ok(record));
        }
        let mut cursor = Cursor::new(&bytes);
        while Entry::decode(&mut cursor).is_ok_and(|_| !cursor.is_empty()) {}
    }
}

#[test]
fn the_other_records_of_the_journal_survive_it_too() {
    let stamp = Stamp { version: Version(5), etag: Etag::from_bytes([6; 16]) };
    for entry in
        [Entry::Remove { id: StreamId::from_bytes([7; 16]), stamp }, Entry::Space { head: 8 }]
    {
        let mut framed = Vec::new();
        entry.encode(&mut framed);
        assert_eq!(Entry::decode(&mut Cursor::new(&framed)), Ok(entry));
    }
}
