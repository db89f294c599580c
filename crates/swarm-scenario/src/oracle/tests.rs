//! A volume written byte by byte from `docs/on-disk.md`, read back, and spoiled in every way.

use swarm_cluster::{Damage, DamageKind, DiskRef, Image, NodeRef};
use swarm_types::Instant;

use super::image::{Fault, Follower, News, Told, crc, read, read_index};
use super::tidy::{Claimed, judge};

const VOLUME: [u8; 16] = [7; 16];
const HINT: u8 = 0x44;
const SALT: [u8; 8] = [3; 8];
const HALF_LEN: u64 = 64 * 4096;
const DEVICE: u64 = 2 << 20;
const DATA: u64 = 4096 + 2 * HALF_LEN;

struct Bytes(Vec<u8>);

impl Image for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, out: &mut [u8]) {
        let at = usize::try_from(offset).expect("small");
        out.copy_from_slice(&self.0[at..at + out.len()]);
    }
}

/// Lays out a volume group by group.
struct Writer {
    version: u8,
    bytes: Vec<u8>,
    at: usize,
    sequence: u64,
    previous: u32,
}

impl Writer {
    fn new() -> Self {
        Self::of_version(3)
    }

    fn of_version(version: u8) -> Self {
        let mut superblock = vec![0; 4092];
        superblock[..8].copy_from_slice(b"SWARMVOL");
        superblock[8..12].copy_from_slice(&u32::from(version).to_le_bytes());
        superblock[16..32].copy_from_slice(&VOLUME);
        for (at, number) in [
            (32, DEVICE),
            (40, 4096),
            (48, 4096 + HALF_LEN),
            (56, HALF_LEN),
            (64, DATA),
            (72, DEVICE - 4096 - DATA),
        ] {
            superblock[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        superblock[80..88].copy_from_slice(&SALT);
        let checksum = crc(&[&superblock]);
        superblock.extend(checksum.to_le_bytes());
        let mut half = vec![0; 60];
        half[..8].copy_from_slice(b"SWHALF_0");
        half[7] += version;
        half[8..24].copy_from_slice(&VOLUME);
        half[24..32].copy_from_slice(&1u64.to_le_bytes());
        half[32..40].copy_from_slice(&1u64.to_le_bytes());
        half[48..52].copy_from_slice(&99u32.to_le_bytes());
        half[52..56].copy_from_slice(&1u32.to_le_bytes());
        let checksum = crc(&[&SALT, &half]);
        half.extend(checksum.to_le_bytes());
        let mut bytes = vec![0; usize::try_from(DEVICE).expect("small")];
        bytes[..4096].copy_from_slice(&superblock);
        let end = bytes.len();
        bytes[end - 4096..].copy_from_slice(&superblock);
        bytes[4096..4096 + 64].copy_from_slice(&half);
        Self { version, bytes, at: 2 * 4096, sequence: 1, previous: 99 }
    }

    fn group(&mut self, kind: u32, records: &[Vec<u8>]) -> &mut Self {
        let payload: Vec<u8> = records
            .iter()
            .flat_map(|record| {
                [&u32::try_from(record.len()).expect("small").to_le_bytes()[..], record].concat()
            })
            .collect();
        let mut group = vec![0; 68];
        group[..8].copy_from_slice(b"SWGROUP0");
        group[7] += self.version;
        group[8..24].copy_from_slice(&VOLUME);
        group[24..32].copy_from_slice(&1u64.to_le_bytes());
        group[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        group[44..48].copy_from_slice(&kind.to_le_bytes());
        group[56..60].copy_from_slice(&u32::try_from(payload.len()).expect("small").to_le_bytes());
        group[60..64].copy_from_slice(&u32::try_from(records.len()).expect("small").to_le_bytes());
        group[64..68].copy_from_slice(&self.previous.to_le_bytes());
        self.previous = crc(&[&SALT, &group, &payload]);
        group.extend(self.previous.to_le_bytes());
        group.extend(payload);
        self.bytes[self.at..self.at + group.len()].copy_from_slice(&group);
        self.at += group.len().next_multiple_of(4096);
        self.sequence += 1;
        self
    }

    /// Stores a body and returns its ADD record.
    fn add(&mut self, stream: u8, extent: u64, offset: u64, body: &[u8]) -> Vec<u8> {
        let bound = [&VOLUME[..], &[stream; 16], &extent.to_le_bytes()].concat();
        let table: Vec<u8> = (0u64..)
            .zip(body.chunks(65_536))
            .flat_map(|(number, block)| crc(&[&bound, &number.to_le_bytes(), block]).to_le_bytes())
            .collect();
        let at = usize::try_from(DATA + offset).expect("small");
        self.bytes[at..at + body.len()].copy_from_slice(body);
        self.bytes[at + body.len()..at + body.len() + table.len()].copy_from_slice(&table);
        let length = body.len() as u64;
        let checksum = crc(&[&bound, &length.to_le_bytes(), &table]);
        let mut record = vec![1];
        record.extend([stream; 16]);
        record.extend(5u64.to_le_bytes());
        record.extend([9; 16]);
        record.extend(extent.to_le_bytes());
        record.extend((DATA + offset).to_le_bytes());
        record.extend(length.to_le_bytes());
        record.extend(checksum.to_le_bytes());
        if self.version == 1 {
            record.extend([HINT; 16]);
        } else {
            record.extend([0, 1]);
            record.extend([HINT; 16]);
        }
        if self.version > 2 {
            record.push(0);
        }
        record.extend([0; 34]);
        record
    }

    /// The index that belongs to what was written.
    fn index(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let volume = read(&Bytes(self.bytes.clone())).expect("sound");
        let mut index: Vec<_> =
            volume.filed.iter().map(|(id, filed)| (id.to_vec(), filed.value.clone())).collect();
        let sum = |(key, value): &(Vec<u8>, Vec<u8>)| {
            (u64::from(crc(&[key, value])) << 32) + u64::from(crc(&[value, key]))
        };
        let sums = index.iter().map(sum).fold(0u64, u64::wrapping_add);
        let adds = volume.extents().count() as u64;
        let mut mark = [
            &VOLUME[..],
            &1u64.to_le_bytes(),
            &volume.last.0.to_le_bytes(),
            &volume.last.1.to_le_bytes(),
        ]
        .concat();
        let records: u64 = index.iter().map(|(_, value)| value.len() as u64 + 20).sum();
        for number in [adds, index.len() as u64 - adds, volume.used(), records, sums] {
            mark.extend(number.to_le_bytes());
        }
        mark.extend(crc(&[&mark]).to_le_bytes());
        index.push((b"mark".to_vec(), mark));
        index
    }

    fn judged(&self, claimed: Claimed, damage: &[Damage]) -> Vec<String> {
        judge(&Bytes(self.bytes.clone()), Some(&self.index()), claimed, damage)
    }
}

fn tombstone(stream: u8, version: u8) -> Vec<u8> {
    let old = [&[2][..], &[stream; 16], &5u64.to_le_bytes(), &[9; 16], &[3], &[0; 8]].concat();
    if version < 3 { old } else { [&old[..], &[0, 0]].concat() }
}

/// What feeds have come to with a stream: success, each of them.
fn feed(stream: u8, version: u64, feeds: &[u8]) -> Vec<u8> {
    let head = [&[7][..], &[stream; 16], &version.to_le_bytes(), &[9; 16]].concat();
    [&head[..], &slots(feeds)].concat()
}

fn slots(feeds: &[u8]) -> Vec<u8> {
    let slot = |feed: &u8| [&[*feed, 0, 0, 0][..], &[8; 8], &[2], &[0; 10]].concat();
    let count = u8::try_from(feeds.len()).expect("few");
    [vec![count], feeds.iter().flat_map(slot).collect()].concat()
}

/// Other hints, and quarantine, for an extent.
fn note(stream: u8, extent: u64, hints: &[u8]) -> Vec<u8> {
    let mut note = [&[5][..], &[stream; 16], &5u64.to_le_bytes(), &[9; 16]].concat();
    note.extend(extent.to_le_bytes());
    note.extend([1, u8::try_from(hints.len()).expect("few")]);
    hints.iter().for_each(|hint| note.extend([*hint; 16]));
    note
}

fn space(head: u64) -> Vec<u8> {
    [&[4][..], &head.to_le_bytes()].concat()
}

fn remove(stream: u8) -> Vec<u8> {
    [&[3][..], &[stream; 16], &5u64.to_le_bytes(), &[9; 16]].concat()
}

/// Two bodies, one of them removed; a tombstone.
fn sample() -> Writer {
    sample_of(3)
}

fn sample_of(version: u8) -> Writer {
    let mut writer = Writer::of_version(version);
    let first = writer.add(1, 1, 0, &[5; 70_000]);
    let second = writer.add(2, 2, 73_728, b"hello");
    writer.group(1, &[first]).group(1, &[second, tombstone(3, version)]).group(1, &[remove(2)]);
    writer
}

fn claimed() -> Claimed {
    let capacity = DEVICE - 4096 - DATA;
    Claimed { capacity, used: 73_728, trapped: 4096, free: capacity - 73_728 - 4096, streams: 1 }
}

fn rot(offset: u64) -> Damage {
    let node = NodeRef { cluster: "main".to_owned(), node: 1 };
    Damage {
        at: Instant(1),
        disk: DiskRef { node, disk: 1 },
        kind: DamageKind::Rot,
        ranges: vec![(offset, 4096)],
    }
}

#[test]
fn a_sound_volume_is_tidy() {
    let writer = sample();
    let volume = read(&Bytes(writer.bytes.clone())).expect("sound");
    assert_eq!(volume.filed.len(), 2);
    assert_eq!(volume.head, DATA + 73_728 + 4096);
    assert_eq!(writer.judged(claimed(), &[]), [] as [String; 0]);
}

#[test]
fn a_follower_tells_what_was_filed_since_its_last_look_and_all_of_another_volume() {
    let mut follower = Follower::default();
    let mut look = |bytes: &[u8]| {
        let mut news = Vec::new();
        let followed = follower.follow(&Bytes(bytes.to_vec()), |one| news.push(one));
        followed.expect("a journal");
        let told = |News { stream, what, slots, .. }: News| (stream[0], what, slots.len());
        news.into_iter().map(told).collect::<Vec<_>>()
    };
    let mut writer = sample();
    let all =
        [(1, Told::Object, 0), (2, Told::Object, 0), (3, Told::Delete, 0), (2, Told::Gone, 0)];
    assert_eq!(look(&writer.bytes), all);
    assert_eq!(look(&writer.bytes), [], "nothing since");
    writer.group(1, &[feed(1, 5, &[1, 2]), tombstone(4, 3)]);
    assert_eq!(look(&writer.bytes), [(1, Told::Slots, 2), (4, Told::Delete, 0)]);
    let mut older = Writer::of_version(2);
    older.group(1, &[tombstone(5, 2)]);
    let told_before = look(&older.bytes);
    assert_eq!(told_before, [], "of the same volume and generation it has read further");
    let mut fresh = Follower::default();
    let mut news = Vec::new();
    fresh.follow(&Bytes(older.bytes), |one| news.push(one)).expect("a journal");
    assert_eq!((news.len(), news[0].what, news[0].slots.len()), (1, Told::Delete, 0));
}

#[test]
fn sums_that_do_not_add_up_are_told() {
    let found = sample().judged(Claimed { used: 73_728 + 4096, ..claimed() }, &[]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("used: the node says 77824"), "{found:?}");
}

#[test]
fn a_flipped_bit_is_told_unless_a_fault_did_it() {
    let mut writer = sample();
    let at = usize::try_from(DATA + 66_000).expect("small");
    writer.bytes[at] ^= 1;
    assert_eq!(writer.judged(claimed(), &[]).len(), 1);
    assert_eq!(writer.judged(claimed(), &[rot(DATA + 65_536)]), [] as [String; 0]);
    assert_eq!(writer.judged(claimed(), &[rot(DATA + 1_000_000)]).len(), 1);
}

#[test]
fn damage_is_traced_to_the_versions_that_it_hit() {
    let volume = read(&Bytes(sample().bytes)).expect("sound");
    let hit = volume.hit_by(&[(DATA + 65_536, 4096)]);
    assert_eq!((hit.versions.len(), hit.journal, hit.unfiled), (1, false, false));
    let hit = volume.hit_by(&[(8192, 4096)]);
    assert_eq!((hit.versions.len(), hit.journal, hit.unfiled), (0, true, false));
    let hit = volume.hit_by(&[(DATA + 65_536, 4096), (DATA + 73_728, 4096)]);
    assert_eq!(
        (hit.versions.len(), hit.journal, hit.unfiled),
        (1, false, true),
        "what was removed is not hit, but something may be about to take its place"
    );
}

#[test]
fn an_index_that_forgot_a_tombstone_is_told() {
    let writer = sample();
    let mut index = writer.index();
    index.retain(|(key, _)| key != &[3; 16]);
    let found = judge(&Bytes(writer.bytes.clone()), Some(&index), claimed(), &[]);
    assert!(found.iter().any(|line| line.contains("1 values, the journal 2")), "{found:?}");
}

#[test]
fn overlapping_extents_are_told() {
    let mut writer = Writer::new();
    let (first, second) = (writer.add(1, 1, 0, &[5; 5000]), writer.add(2, 2, 4096, b"hello"));
    writer.group(1, &[first, second]);
    let capacity = DEVICE - 4096 - DATA;
    let found = writer.judged(
        Claimed { capacity, used: 12_288, trapped: 0, free: capacity - 8192, streams: 2 },
        &[],
    );
    assert!(found.iter().any(|line| line.contains("overlaps another")), "{found:?}");
}

#[test]
fn a_chain_that_breaks_in_the_middle_is_damage() {
    let mut writer = sample();
    // The second group, of the one that follows two whole blocks after the header of the half.
    writer.bytes[3 * 4096 + 80] ^= 1;
    let fault = read(&Bytes(writer.bytes.clone())).expect_err("a group follows the break");
    assert_eq!(fault, Fault::Damaged("the chain breaks before group 2".to_owned()));
}

#[test]
fn a_journal_that_cannot_be_read_is_excused_by_damage_to_it_or_to_a_superblock_only() {
    let mut writer = sample();
    writer.bytes[3 * 4096 + 80] ^= 1;
    let image = Bytes(writer.bytes);
    let told = |damage: &[Damage]| judge(&image, None, claimed(), damage).len();
    assert_eq!(told(&[rot(DATA)]), 1, "that was a body");
    assert_eq!(told(&[rot(3 * 4096)]), 0);
    assert_eq!(told(&[rot(DEVICE - 4096)]), 0, "and so may a superblock be to blame");
    let wiped = Damage { kind: DamageKind::Wiped, ranges: Vec::new(), ..rot(0) };
    assert_eq!(told(&[rot(3 * 4096), wiped.clone()]), 1, "that was before it was blank");
    assert_eq!(told(&[wiped, rot(3 * 4096)]), 0);
}

#[test]
fn a_disk_without_a_superblock_is_excused_by_damage_to_one() {
    let mut writer = sample();
    let device = writer.bytes.len();
    writer.bytes[100] ^= 1;
    writer.bytes[device - 4000] ^= 1;
    let image = Bytes(writer.bytes);
    let told = |damage: &[Damage]| judge(&image, None, claimed(), damage).len();
    assert_eq!((told(&[]), told(&[rot(3 * 4096)]), told(&[rot(0)])), (1, 1, 0));
}

#[test]
fn where_the_journal_is_damaged_the_index_tells_what_is_filed() {
    let mut writer = sample();
    let (index, whole) = (writer.index(), read(&Bytes(writer.bytes.clone())).expect("sound"));
    writer.bytes[3 * 4096 + 80] ^= 1;
    let image = Bytes(writer.bytes);
    let told = read_index(&image, &index).expect("the index is sound");
    assert_eq!(told.filed, whole.filed);
    assert_eq!(told.whole(&image), whole.whole(&image));
    let mut cut = index;
    cut.iter_mut().for_each(|(_, value)| value.truncate(20));
    assert!(matches!(read_index(&image, &cut), Err(Fault::Damaged(_))));
}

#[test]
fn a_last_group_that_is_torn_is_no_damage() {
    let mut writer = sample();
    let last = writer.at - 4096;
    writer.bytes[last + 80] ^= 1;
    let volume = read(&Bytes(writer.bytes)).expect("a crash may leave this");
    assert_eq!(volume.filed.len(), 3);
}

#[test]
fn a_blank_disk_is_no_volume() {
    assert_eq!(read(&Bytes(vec![0; 1 << 20])).map(|volume| volume.head), Err(Fault::Blank));
}

#[test]
fn older_versions_read_as_the_newest_says_the_same() {
    let of_version = |version| read(&Bytes(sample_of(version).bytes)).expect("sound");
    let new = of_version(3);
    for old in [of_version(1), of_version(2)] {
        assert_eq!((&old.filed, old.head), (&new.filed, new.head));
        let known = [[0, 1].as_slice(), &[HINT; 16], &[0]].concat();
        assert_eq!(old.filed[&[1; 16]].value[53..72], known, "flags, hints and no slots");
        assert_eq!(old.filed[&[3; 16]].value[34..], [0, 0]);
    }
}

/// An image that the store keeps for its own tests, as rows of offset and bytes.
fn fixture(version: u32) -> Bytes {
    let path = format!(
        "{}/../swarm-store/tests/fixtures/version-{version}.hex",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).expect("the fixture is in the tree");
    let mut lines = text.lines();
    let size = lines.next().and_then(|line| line.strip_prefix("size ")).expect("a size");
    let mut bytes = vec![0; size.parse().expect("a number")];
    let number = |digits: &str| usize::from_str_radix(digits, 16).expect("hexadecimal");
    for (offset, row) in lines.filter_map(|line| line.split_once(' ')) {
        for at in 0..row.len() / 2 {
            let byte = number(&row[2 * at..2 * at + 2]);
            bytes[number(offset) + at] = u8::try_from(byte).expect("two digits");
        }
    }
    Bytes(bytes)
}

#[test]
fn what_the_store_wrote_is_read_in_every_version() {
    for (version, streams, used, trapped) in
        [(1, 3, 147_456, 8_192), (2, 5, 155_648, 4_096), (3, 5, 155_648, 4_096)]
    {
        let image = fixture(version);
        let volume = read(&image).expect("sound");
        assert_eq!(volume.extents().count(), streams, "version {version}");
        assert_eq!((volume.capacity(), volume.used()), (1_826_816, used));
        assert_eq!(volume.capacity() - volume.used() - volume.free(), trapped);
        assert!(volume.extents().all(|(stream, extent)| volume.is_whole(&image, stream, extent)));
        let hints = |stream: u8| volume.filed[&[stream; 16]].value[53..55].to_vec();
        assert_eq!(hints(2), [if version == 3 { 2 } else { 0 }, 1], "one hint, and first since 3");
        assert_eq!(hints(5), if version == 1 { [0, 1] } else { [0, 3] });
        assert!(!volume.filed.contains_key(&[3; 16]), "it was removed");
    }
    for version in [2, 3] {
        let volume = read(&fixture(version)).expect("sound");
        assert_eq!(volume.filed[&[6; 16]].value[53], 1, "quarantined");
    }
}

#[test]
fn what_feeds_had_come_to_is_read() {
    let volume = read(&fixture(3)).expect("sound");
    let value = |stream: u8| &volume.filed[&[stream; 16]].value;
    // One hint each; then the number of slots, and of the first slot the feed, the mark and the outcome.
    let first = |slots: &[u8]| (slots[0], slots[1], slots[5..13].to_vec(), slots[13]);
    let mark = vec![8, 7, 6, 5, 4, 3, 2, 1];
    assert_eq!(first(&value(2)[71..]), (1, 2, mark.clone(), 2));
    assert_eq!(first(&value(6)[71..]), (2, 1, mark.clone(), 1));
    assert_eq!(first(&value(4)[35..]), (1, 3, mark.clone(), 3), "a tombstone");
    assert_eq!(value(7)[71], 0);
    let deleted = value(8);
    assert_eq!((deleted[34], &deleted[35..51]), (15, &[8; 16][..]), "everything, the alias first");
    let name = b"domain.example.com";
    assert_eq!(deleted[71..71 + name.len()], *name);
    assert_eq!(first(&deleted[71 + name.len()..]), (1, 2, mark, 2));
}

#[test]
fn outcomes_of_feeds_change_the_version_that_they_mean_and_nothing_else() {
    let mut writer = sample();
    let value = |writer: &Writer, stream: u8| {
        read(&Bytes(writer.bytes.clone())).expect("sound").filed[&[stream; 16]].value.clone()
    };
    let (replica, delete) = (value(&writer, 1), value(&writer, 3));
    writer.group(1, &[feed(1, 6, &[1]), feed(3, 4, &[1]), feed(9, 5, &[1])]);
    assert_eq!((value(&writer, 1), value(&writer, 3)), (replica.clone(), delete.clone()));
    writer.group(1, &[feed(1, 5, &[1]), feed(3, 5, &[1, 2])]);
    assert_eq!(value(&writer, 1), [&replica[..71], &slots(&[1]), &replica[72..]].concat());
    assert_eq!(value(&writer, 3), [&delete[..35], &slots(&[1, 2])].concat());
    // In place of what was, and a note leaves them alone.
    writer.group(1, &[feed(1, 5, &[2, 3]), note(1, 1, &[])]);
    let expected = [&replica[..53], &[1, 0], &slots(&[2, 3]), &replica[72..]].concat();
    assert_eq!(value(&writer, 1), expected);
    assert_eq!(writer.judged(claimed(), &[]), [] as [String; 0]);
}

#[test]
fn records_of_version_3_are_well_formed_and_not_in_older_ones() {
    let table = |len: usize| [&[8][..], &vec![1; len]].concat();
    let first = |stream| {
        let mut note = note(stream, 1, &[]);
        note[49] = 3;
        note
    };
    let reads = |version, record: Vec<u8>| {
        let mut writer = sample_of(version);
        writer.group(1, &[record]);
        read(&Bytes(writer.bytes)).is_ok()
    };
    for record in [feed(1, 5, &[]), feed(1, 5, &[4]), table(0), table(32_768), tombstone(4, 3)] {
        assert!(reads(3, record.clone()));
        assert!(!reads(2, record));
    }
    assert!(reads(3, first(1)) && !reads(2, first(1)), "a flag that there was not");
    assert!(reads(2, tombstone(4, 2)) && !reads(3, tombstone(4, 2)));
    let longer = [&feed(1, 5, &[4])[..], &[0]].concat();
    assert!(!reads(3, longer) && !reads(3, feed(1, 5, &[4, 4])) && !reads(3, table(32_769)));
}

#[test]
fn a_note_changes_the_replica_that_it_means_and_no_other() {
    let mut writer = sample();
    let noted = |writer: &Writer| {
        read(&Bytes(writer.bytes.clone())).expect("sound").filed[&[1; 16]].value.clone()
    };
    let before = noted(&writer);
    writer.group(1, &[note(1, 7, &[0x77])]);
    assert_eq!(noted(&writer), before, "another extent");
    writer.group(1, &[note(1, 1, &[0x55, 0x66])]);
    let after = noted(&writer);
    assert_eq!(after[53..87], [[1, 2].as_slice(), &[0x55; 16], &[0x66; 16]].concat());
    assert_eq!((&after[..53], &after[87..]), (&before[..53], &before[71..]));
    assert_eq!(writer.judged(claimed(), &[]), [] as [String; 0]);
}

#[test]
fn the_head_can_come_down_since_version_2_only() {
    let lowered = DATA + 73_728;
    let mut writer = sample();
    writer.group(1, &[space(lowered)]);
    assert_eq!(read(&Bytes(writer.bytes.clone())).expect("sound").head, lowered);
    let Claimed { free, trapped, .. } = claimed();
    let claimed = Claimed { free: free + trapped, trapped: 0, ..claimed() };
    assert_eq!(writer.judged(claimed, &[]), [] as [String; 0]);
    let mut old = sample_of(1);
    old.group(1, &[space(lowered)]);
    let fault = read(&Bytes(old.bytes)).expect_err("there was none in version 1");
    assert_eq!(fault, Fault::Damaged("group 4: a SPACE where none belongs".to_owned()));
}

#[test]
fn what_the_volume_is_for_must_be_well_formed() {
    let service = |codes: [u8; 3], since: i64| {
        let mut writer = sample();
        writer.group(1, &[[&[6][..], &codes, &since.to_le_bytes()].concat()]);
        read(&Bytes(writer.bytes)).is_ok()
    };
    assert!(service([1, 2, 1], 5) && service([2, 1, 2], 5) && service([0, 0, 0], 0));
    assert!(!service([3, 1, 1], 5) && !service([1, 0, 1], 5) && !service([0, 0, 0], 5));
}
