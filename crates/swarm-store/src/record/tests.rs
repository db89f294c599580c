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

fn any_hints() -> impl Strategy<Value = Hints> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(|numbers| {
        numbers.into_iter().map(|number| VolumeId::from_bytes([number; 16])).collect()
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    let stamp = (any::<u64>(), any::<[u8; 16]>()).prop_map(|(version, etag)| Stamp {
        version: Version(version),
        etag: Etag::from_bytes(etag),
    });
    let extent = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>())
        .prop_map(|(number, offset, length, checksum)| Extent { number, offset, length, checksum });
    let live = (any_meta(), any_hints(), any::<bool>(), extent).prop_map(
        |(meta, hints, quarantined, extent)| RecordState::Live { meta, hints, quarantined, extent },
    );
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
        assert_eq!(Entry::decode(&mut cursor, Encoding::Two), Ok(entry));
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
        while Entry::decode(&mut cursor, Encoding::Two).is_ok_and(|_| !cursor.is_empty()) {}
        let mut cursor = Cursor::new(&bytes);
        while Entry::decode(&mut cursor, Encoding::One).is_ok_and(|_| !cursor.is_empty()) {}
    }

    #[test]
    fn a_note_changes_what_is_known_and_nothing_else(
        record in any_record(),
        hints in any_hints(),
        quarantined in any::<bool>(),
    ) {
        let value = encode_value(&record);
        let number = record.extent().map_or(0, |extent| extent.number);
        let note = Note { stamp: record.stamp, number, hints: hints.clone(), quarantined };
        let expected = match record.state.clone() {
            RecordState::Live { meta, extent, .. } => {
                Some(RecordState::Live { meta, hints: hints.clone(), quarantined, extent })
            }
            RecordState::Tombstone(_) => None,
        };
        let expected = expected.map(|state| encode_value(&Record { state, ..record.clone() }));
        assert_eq!(with_note(&value, &note), Ok(expected.clone()));
        if let Some(value) = expected {
            assert_eq!(noted(&value), Ok(Some((hints, quarantined))));
            let other = Note { number: number ^ 1, ..note.clone() };
            assert_eq!(with_note(&value, &other), Ok(None), "another extent");
            let other = Stamp { version: Version(!record.stamp.version.0), ..record.stamp };
            assert_eq!(with_note(&value, &Note { stamp: other, ..note }), Ok(None));
        }
    }

    /// What version 1 wrote: one hint or zeros in the place of flags and hints.
    #[test]
    fn a_record_of_version_1_comes_out_as_one_of_today(
        record in any_record(),
        hint in prop::option::of(1u8..),
    ) {
        let hint = hint.map(|number| VolumeId::from_bytes([number; 16]));
        let mut today = record.clone();
        let old = match &mut today.state {
            RecordState::Live { hints, quarantined, .. } => {
                (*hints, *quarantined) = (Hints::NONE, false);
                let value = encode_value(&today);
                let hint = hint.map_or([0; 16], |hint| *hint.as_bytes());
                [&value[..NOTE_AT], &hint, &value[NOTE_AT + 2..]].concat()
            }
            RecordState::Tombstone(_) => encode_value(&today),
        };
        if let RecordState::Live { hints, .. } = &mut today.state {
            *hints = Hints::new(hint);
        }
        let mut framed = Vec::new();
        Entry::File { id: record.id, value: old }.encode(&mut framed);
        let decoded = Entry::decode(&mut Cursor::new(&framed), Encoding::One);
        assert_eq!(decoded, Ok(Entry::File { id: record.id, value: encode_value(&today) }));
    }
}

#[test]
fn the_other_records_of_the_journal_survive_it_too() {
    let stamp = Stamp { version: Version(5), etag: Etag::from_bytes([6; 16]) };
    let id = StreamId::from_bytes([7; 16]);
    let hints = Hints::new([VolumeId::from_bytes([8; 16])]);
    let note = Note { stamp, number: 9, hints, quarantined: true };
    for (entry, known_to_one) in [
        (Entry::Remove { id, stamp }, true),
        (Entry::Space { head: 8 }, true),
        (Entry::Note { id, note }, false),
        (Entry::Service(Service::InService), false),
    ] {
        let mut framed = Vec::new();
        entry.encode(&mut framed);
        let one = Entry::decode(&mut Cursor::new(&framed), Encoding::One);
        assert_eq!(one.is_ok(), known_to_one, "{entry:?}");
        assert_eq!(Entry::decode(&mut Cursor::new(&framed), Encoding::Two), Ok(entry));
    }
}
