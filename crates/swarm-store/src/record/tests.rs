//! Round trips of the record codec.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use swarm_types::{FeedId, FeedMark, FeedOutcome, FeedSlot};

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

pub(crate) fn any_slots() -> impl Strategy<Value = FeedSlots> {
    let outcome = prop_oneof![
        Just(FeedOutcome::Unqualified),
        Just(FeedOutcome::Success),
        (any::<u16>(), any::<i64>()).prop_map(|(attempts, next_at)| {
            FeedOutcome::Retrying { attempts, next_at: Timestamp(next_at) }
        }),
    ];
    let slot = (0..10u32, any::<u64>(), outcome, any::<u16>(), any::<i64>()).prop_map(
        |(feed, mark, outcome, status, at)| {
            let (feed, mark, at) = (FeedId(feed), FeedMark(mark), Timestamp(at));
            FeedSlot { feed, mark, outcome, status, at }
        },
    );
    prop::collection::vec(slot, 0..10).prop_map(|all| {
        let mut slots = FeedSlots::default();
        all.into_iter().for_each(|slot| slots.set(slot));
        slots
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    let stamp = (any::<u64>(), any::<[u8; 16]>()).prop_map(|(version, etag)| Stamp {
        version: Version(version),
        etag: Etag::from_bytes(etag),
    });
    let extent = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>())
        .prop_map(|(number, offset, length, checksum)| Extent { number, offset, length, checksum });
    let fed = || (any_slots(), any::<bool>());
    let live = (any_meta(), any_hints(), any::<bool>(), extent, fed()).prop_map(
        |(meta, hints, quarantined, extent, (slots, first))| RecordState::Live {
            meta,
            hints,
            quarantined,
            extent,
            slots,
            first,
        },
    );
    let tombstone = (any_meta(), any::<i64>(), fed());
    let state = prop_oneof![live.prop_map(Ok), tombstone.prop_map(Err)];
    (any::<[u8; 16]>(), stamp, state).prop_map(|(id, stamp, state)| {
        let state = state.unwrap_or_else(|(meta, written, (slots, first))| {
            let bare = Tombstone::new(stamp, meta.kind, Timestamp(written));
            let (alias, parent, name) = (meta.alias, meta.cid, meta.name.map(Into::into));
            RecordState::Tombstone(Tombstone { alias, parent, name, slots, first, ..bare })
        });
        Record { id: StreamId::from_bytes(id), stamp, state }
    })
}

proptest! {
    #[test]
    fn a_record_survives_index_and_journal(record in any_record()) {
        let value = encode_value(&record);
        assert_eq!(decode_value(record.id, &value), Ok(record.clone()));
        let brief = brief(&value).expect("it has the fixed part");
        assert_eq!((brief.stamp, brief.extent.as_ref()), (record.stamp, record.extent()));
        let gist = gist(&value).expect("it has the parts behind it too");
        assert_eq!((gist.stamp, gist.extent.as_ref()), (record.stamp, record.extent()));
        assert_eq!((gist.first, gist.quarantined), (record.is_first(), record.is_quarantined()));
        assert_eq!(&gist.slots, record.slots());
        let (kind, alias) = match &record.state {
            RecordState::Live { meta, .. } => (meta.kind, meta.alias),
            RecordState::Tombstone(tombstone) => (tombstone.kind, tombstone.alias),
        };
        assert_eq!((gist.kind, gist.alias), (kind, alias));
        let entry = Entry::File { id: record.id, value: value.clone() };
        let mut framed = Vec::new();
        entry.encode(&mut framed);
        assert_eq!(framed.len() as u64, Entry::framed(&value));
        let mut cursor = Cursor::new(&framed);
        assert_eq!(Entry::decode(&mut cursor, Encoding::NEWEST), Ok(entry));
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
        while Entry::decode(&mut cursor, Encoding::NEWEST).is_ok_and(|_| !cursor.is_empty()) {}
        for older in [Encoding::One, Encoding::Two, Encoding::Three] {
            let mut cursor = Cursor::new(&bytes);
            while Entry::decode(&mut cursor, older).is_ok_and(|_| !cursor.is_empty()) {}
        }
        drop((gist(&bytes), brief(&bytes), known(&bytes)));
    }

    #[test]
    fn a_note_changes_what_is_known_and_nothing_else(
        record in any_record(),
        new_hints in any_hints(),
        (bad, begins) in (any::<bool>(), any::<bool>()),
    ) {
        let value = encode_value(&record);
        let number = record.extent().map_or(0, |extent| extent.number);
        let told = Known { hints: new_hints.clone(), quarantined: bad, first: begins };
        let note = Note { stamp: record.stamp, number, known: told.clone() };
        let mut expected = record.clone();
        if let RecordState::Live { hints, quarantined, first, .. } = &mut expected.state {
            (*hints, *quarantined, *first) = (new_hints, bad, begins);
        }
        let expected = (!record.is_tombstone()).then(|| encode_value(&expected));
        assert_eq!(with_note(&value, &note), Ok(expected.clone()));
        if let Some(value) = expected {
            assert_eq!(known(&value), Ok(Some(told)));
            let other = Note { number: number ^ 1, ..note.clone() };
            assert_eq!(with_note(&value, &other), Ok(None), "another extent");
            let other = Stamp { version: Version(!record.stamp.version.0), ..record.stamp };
            assert_eq!(with_note(&value, &Note { stamp: other, ..note }), Ok(None));
        }
    }

    #[test]
    fn slots_change_and_nothing_else(record in any_record(), new in any_slots()) {
        let value = encode_value(&record);
        let mut expected = record.clone();
        match &mut expected.state {
            RecordState::Live { slots, .. } => *slots = new.clone(),
            RecordState::Tombstone(tombstone) => tombstone.slots = new.clone(),
        }
        let settled = with_slots(&value, record.stamp, &new);
        assert_eq!(settled, Ok(Some(encode_value(&expected))));
        let other = Stamp { version: Version(!record.stamp.version.0), ..record.stamp };
        assert_eq!(with_slots(&value, other, &new), Ok(None), "another version");
    }

    /// What version 2 wrote: no slots, and nothing of a tombstone behind its date.
    #[test]
    fn a_record_of_version_2_comes_out_as_one_of_today(record in any_record()) {
        let mut today = record.clone();
        forget_version_3(&mut today);
        let value = encode_value(&today);
        let old = match &today.state {
            RecordState::Live { hints, .. } => {
                let slots_at = NOTE_AT + 2 + 16 * hints.volumes().len();
                [&value[..slots_at], &value[slots_at + 1..]].concat()
            }
            RecordState::Tombstone(_) => value[..value.len() - 2].to_vec(),
        };
        assert_eq!(read_as(record.id, old, Encoding::Two), Ok(value));
        let longer = [&encode_value(&today)[..], &[0]].concat();
        if record.is_tombstone() {
            assert_eq!(read_as(record.id, longer, Encoding::Two), Err(Malformed));
        }
    }

    /// What version 1 wrote: one hint or zeros in the place of flags, hints and slots.
    #[test]
    fn a_record_of_version_1_comes_out_as_one_of_today(
        record in any_record(),
        hint in prop::option::of(1u8..),
    ) {
        let hint = hint.map(|number| VolumeId::from_bytes([number; 16]));
        let mut today = record.clone();
        forget_version_3(&mut today);
        let old = match &mut today.state {
            RecordState::Live { hints, quarantined, .. } => {
                (*hints, *quarantined) = (Hints::NONE, false);
                let value = encode_value(&today);
                let hint = hint.map_or([0; 16], |hint| *hint.as_bytes());
                [&value[..NOTE_AT], &hint, &value[NOTE_AT + 3..]].concat()
            }
            RecordState::Tombstone(_) => {
                let value = encode_value(&today);
                value[..value.len() - 2].to_vec()
            }
        };
        if let RecordState::Live { hints, .. } = &mut today.state {
            *hints = Hints::new(hint);
        }
        assert_eq!(read_as(record.id, old, Encoding::One), Ok(encode_value(&today)));
    }

    /// A copy that replaces a bad one knows what either knew of feeds.
    #[test]
    fn what_feeds_had_come_to_survives_the_replacement_of_a_bad_replica(
        new in any_record(),
        bad in any_record(),
    ) {
        let replaced = in_place_of(encode_value(&new), &encode_value(&bad)).expect("both are records");
        let replaced = decode_value(new.id, &replaced).expect("it is a record");
        if new.is_tombstone() {
            assert_eq!(replaced, new);
        } else {
            assert_eq!(replaced.slots(), &merged(new.slots(), bad.slots()));
            assert_eq!(replaced.is_first(), new.is_first() || bad.is_first());
            assert_eq!((replaced.meta(), replaced.hints()), (new.meta(), new.hints()));
            assert_eq!(replaced.extent(), new.extent());
        }
    }
}

/// What older versions could not say.
fn forget_version_3(record: &mut Record) {
    match &mut record.state {
        RecordState::Live { slots, first, .. } => {
            (*slots, *first) = (FeedSlots::default(), false);
        }
        RecordState::Tombstone(tombstone) => {
            let Tombstone { stamp, kind, written, .. } = *tombstone;
            *tombstone = Tombstone::new(stamp, kind, written);
        }
    }
}

fn read_as(id: StreamId, value: Vec<u8>, encoding: Encoding) -> Result<Vec<u8>, Malformed> {
    let mut framed = Vec::new();
    Entry::File { id, value }.encode(&mut framed);
    match Entry::decode(&mut Cursor::new(&framed), encoding)? {
        Entry::File { value, .. } => Ok(value),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_other_records_of_the_journal_survive_it_too() {
    let stamp = Stamp { version: Version(5), etag: Etag::from_bytes([6; 16]) };
    let id = StreamId::from_bytes([7; 16]);
    let hints = Hints::new([VolumeId::from_bytes([8; 16])]);
    let note = |first| {
        let known = Known { hints: hints.clone(), quarantined: true, first };
        Entry::Note { id, note: Note { stamp, number: 9, known } }
    };
    let mut slots = FeedSlots::default();
    let outcome = FeedOutcome::Retrying { attempts: 4, next_at: Timestamp(5) };
    let (feed, mark, at) = (FeedId(1), FeedMark(2), Timestamp(3));
    slots.set(FeedSlot { feed, mark, outcome, status: 503, at });
    let table = Entry::FeedTable(Bytes::from_static(b"whatever they say"));
    for (entry, since) in [
        (Entry::Remove { id, stamp }, Encoding::One),
        (Entry::Space { head: 8 }, Encoding::One),
        (note(false), Encoding::Two),
        (Entry::Service(Service::InService), Encoding::Two),
        (note(true), Encoding::Three),
        (Entry::Feed { id, stamp, slots }, Encoding::Three),
        (Entry::FeedTable(Bytes::new()), Encoding::Three),
        (table, Encoding::Three),
        (Entry::Behind(None), Encoding::Four),
        (Entry::Behind(Some(Timestamp(-5))), Encoding::Four),
    ] {
        let mut framed = Vec::new();
        entry.encode(&mut framed);
        let mut known = false;
        for encoding in [Encoding::One, Encoding::Two, Encoding::Three, Encoding::Four] {
            known |= encoding == since;
            let decoded = Entry::decode(&mut Cursor::new(&framed), encoding);
            assert_eq!(decoded, if known { Ok(entry.clone()) } else { Err(Malformed) });
        }
    }
    let mut framed = Vec::new();
    Entry::FeedTable(vec![0; FEED_TABLE_MAX + 1].into()).encode(&mut framed);
    let decoded = Entry::decode(&mut Cursor::new(&framed), Encoding::NEWEST);
    assert_eq!(decoded, Err(Malformed), "longer than any table");
}

#[test]
fn a_name_too_long_for_a_domain_is_not_kept() {
    let stamp = Stamp { version: Version(5), etag: Etag::from_bytes([6; 16]) };
    let bare = Tombstone::new(stamp, ObjectKind::Domain, Timestamp(7));
    for (len, kept) in [(253, true), (254, false)] {
        let name: Arc<str> = "n".repeat(len).into();
        let tombstone = Tombstone { name: Some(Arc::clone(&name)), ..bare.clone() };
        let id = StreamId::from_bytes([7; 16]);
        let value = encode_value(&Record { id, stamp, state: RecordState::Tombstone(tombstone) });
        let RecordState::Tombstone(read) = decode_value(id, &value).expect("a record").state else {
            panic!("a replica");
        };
        assert_eq!(read.name, kept.then_some(name));
    }
}
