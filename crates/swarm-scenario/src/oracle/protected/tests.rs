//! Clusters drawn by hand: which copies are too few, too many, badly spread, left over, unlike.

use swarm_cluster::{Image, NodeRef};

use super::*;
use crate::oracle::image::Filed;

const SECOND_VERSION: u64 = 20;

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

/// What a disk holds of the one stream of these tests.
#[derive(Clone)]
enum Has {
    Nothing,
    Copy { version: u64, body: &'static [u8], header: &'static str },
    Quarantined,
    Rotten,
    Tombstone,
}

fn copy() -> Has {
    Has::Copy { version: 10, body: b"hello", header: "a" }
}

struct Disk {
    node: NodeRef,
    subcluster: &'static str,
    service: Service,
    has: Has,
}

fn disk(node: u32, has: Has) -> Disk {
    let node = NodeRef { cluster: "main".to_owned(), node };
    Disk { node, subcluster: "", service: Service::Takes { free: 1 << 30 }, has }
}

fn in_rack(subcluster: &'static str, disk: Disk) -> Disk {
    Disk { subcluster, ..disk }
}

fn leaving(disk: Disk) -> Disk {
    Disk { service: Service::Leaves, ..disk }
}

/// The value of an ADD with this version, extent left out: only what follows it is read from values.
fn value(quarantined: bool, header: &str) -> Vec<u8> {
    let text = |text: &str| {
        [&u32::try_from(text.len()).expect("short").to_le_bytes()[..], text.as_bytes()].concat()
    };
    [
        &[1][..],
        &[0; 52],
        &[u8::from(quarantined), 0, 0, 3, 4],
        &5u64.to_le_bytes(),
        &[4; 16],
        &text("17"),
        &text("main"),
        &1u32.to_le_bytes(),
        &text("x-header"),
        &text(header),
    ]
    .concat()
}

const ID: Id = [8; 16];

fn volume(number: u8, has: &Has) -> (Bytes, Volume) {
    let mut image = vec![0; 8192];
    let mut volume = Volume {
        id: [number; 16],
        data: 0..8192,
        filed: BTreeMap::new(),
        head: 0,
        behind: None,
        generation: 1,
        last: (1, 1),
    };
    let (version, body, header): (u64, &[u8], &str) = match has {
        Has::Nothing => return (Bytes(image), volume),
        Has::Tombstone => {
            // Type, version, ETag; a named object, when; it says nothing of it, nor does any feed.
            let value = [&[2][..], &[0; 24], &[3], &[0; 8], &[0, 0]].concat();
            let filed = Filed { value, extent: None, stamp: (SECOND_VERSION, [2; 16]) };
            volume.filed.insert(ID, filed);
            return (Bytes(image), volume);
        }
        Has::Copy { version, body, header } => (*version, body, header),
        Has::Quarantined | Has::Rotten => (10, b"hello", "a"),
    };
    image[..body.len()].copy_from_slice(body);
    let bound = [&volume.id[..], &ID, &7u64.to_le_bytes()].concat();
    let table = crc(&[&bound, &0u64.to_le_bytes(), body]).to_le_bytes();
    image[body.len()..body.len() + 4].copy_from_slice(&table);
    let length = body.len() as u64;
    let checksum = crc(&[&bound, &length.to_le_bytes(), &table]);
    if matches!(has, Has::Rotten) {
        image[0] ^= 1;
    }
    let extent = Extent { number: 7, offset: 0, length, checksum };
    let value = value(matches!(has, Has::Quarantined), header);
    volume.filed.insert(ID, Filed { value, extent: Some(extent), stamp: (version, [1; 16]) });
    (Bytes(image), volume)
}

fn judged(disks: &[Disk], demand: Demand) -> Vec<String> {
    judged_with(disks, &[], demand)
}

fn judged_with(disks: &[Disk], unread: &[u32], demand: Demand) -> Vec<String> {
    judged_by(disks, unread, Care::Bodies, demand)
}

fn judged_by(disks: &[Disk], unread: &[u32], care: Care, demand: Demand) -> Vec<String> {
    let seen: Vec<Seen> = (1u8..)
        .zip(disks)
        .map(|(number, disk)| {
            let (image, volume) = volume(number, &disk.has);
            Seen {
                disk: format!("{}/1", disk.node),
                node: disk.node.clone(),
                subcluster: disk.subcluster.to_owned(),
                service: disk.service,
                image: Box::new(image),
                volume,
            }
        })
        .collect();
    let unread =
        unread.iter().map(|node| NodeRef { cluster: "main".to_owned(), node: *node }).collect();
    judge(&Volumes { seen, unread }, care, |_, _| demand)
        .into_iter()
        .map(|finding| finding.what)
        .collect()
}

#[track_caller]
fn assert_says(disks: &[Disk], demand: Demand, part: &str) {
    let found = judged(disks, demand);
    assert!(found.len() == 1 && found[0].contains(part), "{found:?} does not say {part:?}");
}

#[test]
fn as_many_copies_as_demanded_are_right() {
    let disks = [disk(1, copy()), disk(2, copy()), disk(3, Has::Nothing)];
    assert_eq!(judged(&disks, Demand::Copies(2)), [] as [&str; 0]);
}

#[test]
fn one_copy_too_few_or_too_many_is_wrong() {
    let disks = [disk(1, copy()), disk(2, copy()), disk(3, Has::Nothing)];
    assert_says(&disks, Demand::Copies(3), "has 2 copies instead of 3");
    assert_says(&disks, Demand::Copies(1), "has 2 copies instead of 1");
}

#[test]
fn fewer_are_right_where_no_other_node_can_take_one() {
    let judged_at = |free| {
        let full = |disk: Disk| Disk { service: Service::Takes { free }, ..disk };
        let disks = [disk(1, copy()), full(disk(2, Has::Nothing)), leaving(disk(3, Has::Nothing))];
        judged(&disks, Demand::Copies(2)).len()
    };
    // A volume keeps room for two bodies more (`scenario explore`, seed 72 of its mixes that append).
    let enough = ROOM_FACTOR * 65_536;
    assert_eq!([4096, enough - 1, enough].map(judged_at), [0, 0, 1]);
}

#[test]
fn a_copy_may_be_on_a_disk_that_cannot_be_read_from_outside() {
    let disks = [disk(1, copy()), disk(3, Has::Nothing)];
    assert_eq!(judged_with(&disks, &[2], Demand::Copies(2)), [] as [&str; 0]);
    assert_eq!(judged_with(&disks, &[2], Demand::Copies(3)).len(), 1);
    // Nor can its node take one on another disk.
    let other = [disk(1, copy()), disk(2, Has::Nothing)];
    assert_eq!(judged_with(&other, &[2], Demand::Copies(3)), [] as [&str; 0]);
    // What it holds counts only once.
    assert_eq!(judged_with(&disks, &[1], Demand::Copies(2)).len(), 1);
}

#[test]
fn copies_on_one_node_or_on_a_retiring_volume_do_not_count_twice() {
    let disks = [disk(1, copy()), disk(1, copy()), disk(2, Has::Nothing)];
    assert_says(&disks, Demand::Copies(2), "two copies on one node");
    // A second one is kept for as long as no other node can take one.
    let disks = [disk(1, copy()), disk(1, copy()), disk(2, copy())];
    assert_eq!(judged(&disks, Demand::Copies(3)), [] as [&str; 0]);
    assert_says(&disks, Demand::Copies(2), "two copies on one node");
    let disks = [disk(1, copy()), leaving(disk(2, copy())), disk(3, Has::Nothing)];
    assert_says(&disks, Demand::Copies(2), "has 1 copies instead of 2");
}

#[test]
fn copies_belong_to_different_subclusters() {
    let disks = [
        in_rack("a", disk(1, copy())),
        in_rack("a", disk(2, copy())),
        in_rack("b", disk(3, Has::Nothing)),
    ];
    assert_says(&disks, Demand::Copies(2), "badly spread, b should have one more");
    let disks = [in_rack("a", disk(1, copy())), in_rack("b", disk(2, copy()))];
    assert_eq!(judged(&disks, Demand::Copies(2)), [] as [&str; 0]);
}

#[test]
fn three_copies_in_one_rack_are_misplaced_while_another_rack_can_take_one() {
    let crowded = |other: Disk| {
        let a = |node| in_rack("a", disk(node, copy()));
        [a(1), a(2), a(3), in_rack("b", other)]
    };
    assert_says(
        &crowded(disk(4, Has::Nothing)),
        Demand::Copies(3),
        "badly spread, b should have one more: main/1/1, main/2/1, main/3/1",
    );
    // Two in one rack and one in the other is as wide as it gets.
    let wide = [
        in_rack("a", disk(1, copy())),
        in_rack("a", disk(2, copy())),
        in_rack("a", disk(3, Has::Nothing)),
        in_rack("b", disk(4, copy())),
    ];
    assert_eq!(judged(&wide, Demand::Copies(3)), [] as [&str; 0]);
    // A rack without room, or whose volumes are being emptied, takes none: the count is kept, the spread is not.
    let full = Disk { service: Service::Takes { free: 4096 }, ..disk(4, Has::Nothing) };
    assert_eq!(judged(&crowded(full), Demand::Copies(3)), [] as [&str; 0]);
    let retiring = leaving(disk(4, Has::Nothing));
    assert_eq!(judged(&crowded(retiring), Demand::Copies(3)), [] as [&str; 0]);
}

#[test]
fn who_believes_the_journals_sees_what_they_say_and_nothing_of_the_bodies() {
    let by_records = |disks: &[Disk]| judged_by(disks, &[], Care::Records, Demand::Copies(2));
    let rotten = [disk(1, copy()), disk(2, Has::Rotten), disk(3, Has::Nothing)];
    assert_eq!(by_records(&rotten), [] as [&str; 0]);
    assert_eq!(judged(&rotten, Demand::Copies(2)).len(), 1);
    let quarantined = [disk(1, copy()), disk(2, Has::Quarantined), disk(3, Has::Nothing)];
    assert_eq!(by_records(&quarantined).len(), 1);
    let short = [disk(1, copy()), disk(3, Has::Nothing)];
    assert_eq!(by_records(&short).len(), 1);
}

#[test]
fn nothing_older_than_a_tombstone_or_a_newer_version_is_left() {
    let deleted = [disk(1, copy()), disk(2, Has::Tombstone)];
    assert_says(&deleted, Demand::Copies(2), "a copy of what was deleted is left on main/1/1");
    let newer = Has::Copy { version: SECOND_VERSION, body: b"hello", header: "a" };
    let replaced = [disk(1, copy()), disk(2, newer.clone()), disk(3, newer)];
    assert_says(&replaced, Demand::Copies(2), "a copy of an older version is left on main/1/1");
}

#[test]
fn what_has_ended_has_no_bytes_and_what_is_unsure_is_not_judged() {
    let disks = [disk(1, copy())];
    assert_says(&disks, Demand::Ended, "has ended, and main/1/1 has its bytes");
    assert_eq!(judged(&disks, Demand::Unsure), [] as [&str; 0]);
}

#[test]
fn all_copies_are_alike() {
    let body = Has::Copy { version: 10, body: b"jello", header: "a" };
    let disks = [disk(1, copy()), disk(2, body)];
    assert_says(&disks, Demand::Copies(2), "differ");
    let header = Has::Copy { version: 10, body: b"hello", header: "b" };
    let disks = [disk(1, copy()), disk(2, header)];
    assert_says(&disks, Demand::Copies(2), "tell different things");
}

#[test]
fn a_bad_copy_counts_for_nothing_and_is_to_be_cleared_away() {
    for bad in [Has::Rotten, Has::Quarantined] {
        let short = [disk(1, copy()), disk(2, bad.clone()), disk(3, Has::Nothing)];
        assert_says(&short, Demand::Copies(2), "has 1 copies instead of 2");
        let left = [disk(1, copy()), disk(2, bad.clone()), disk(3, copy())];
        assert_says(&left, Demand::Copies(2), "a damaged copy of 17");
        // The last one stays, however bad; whether it may be is for *durable* to say.
        assert_eq!(
            judged(&[disk(1, bad), disk(2, Has::Nothing)], Demand::Copies(2)),
            [] as [&str; 0]
        );
    }
}
