//! The invariant *tidy*: space adds up, extents do not overlap and are whole, the index equals what the journal says.

use std::ops::Range;

use swarm_cluster::{Damage, DamageKind, Image};
use swarm_types::Hex;

use super::image::{self, BLOCK, Extent, Fault, Id, Volume, crc, number32, number64};

/// What a node tells of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) capacity: u64,
    pub(crate) used: u64,
    pub(crate) free: u64,
    pub(crate) trapped: u64,
    pub(crate) streams: u64,
}

/// Everything that is untidy about one disk, as sentences; `damage` is what faults did to this disk.
pub(crate) fn judge(
    image: &dyn Image,
    index: Option<&[(Vec<u8>, Vec<u8>)]>,
    claimed: Claimed,
    damage: &[Damage],
) -> Vec<String> {
    let rotten = hit(damage);
    let volume = match image::read(image) {
        Ok(volume) => volume,
        Err(_) if may_be_unreadable(image, damage) => return Vec::new(),
        Err(Fault::Blank) => return vec!["the disk is blank".to_owned()],
        Err(Fault::Damaged(why)) => return vec![format!("the journal cannot be read: {why}")],
    };
    let mut found = space(&volume, claimed);
    found.extend(extents(image, &volume, &rotten));
    if let Some(index) = index {
        found.extend(index_against_journal(&volume, index));
    }
    found
}

/// True if damage excuses that nobody can read the journal of a disk: it has met the journal or a superblock.
pub(crate) fn may_be_unreadable(image: &dyn Image, damage: &[Damage]) -> bool {
    let outside = match image::data_region(image) {
        Some(data) => [0..data.start, data.end..image.len()],
        // Without a superblock nobody knows where the journal ends; what matters then is what became of the superblocks.
        None => [0..BLOCK, image.len().saturating_sub(2 * BLOCK)..image.len()],
    };
    hit(damage)
        .iter()
        .any(|hit| outside.iter().any(|range| hit.start < range.end && range.start < hit.end))
}

/// What damage has hit on one disk since it was blank.
fn hit(damage: &[Damage]) -> Vec<Range<u64>> {
    let mut hit = Vec::new();
    for damage in damage {
        if damage.kind == DamageKind::Wiped {
            hit.clear();
        }
        hit.extend(damage.ranges.iter().map(|(offset, length)| *offset..offset + length));
    }
    hit
}

fn space(volume: &Volume, claimed: Claimed) -> Vec<String> {
    let mut found = Vec::new();
    let Claimed { capacity, used, free, trapped, streams } = claimed;
    if used + free + trapped != capacity {
        found.push(format!(
            "used {used} + free {free} + trapped {trapped} is not the capacity {capacity}"
        ));
    }
    let told = [capacity, used, free, streams];
    let (used, free) = (volume.used(), volume.free());
    let read = [volume.capacity(), used, free, volume.extents().count() as u64];
    for ((what, told), read) in ["capacity", "used", "free", "streams"].iter().zip(told).zip(read) {
        if told != read {
            found.push(format!("{what}: the node says {told}, its journal {read}"));
        }
    }
    found
}

fn extents(image: &dyn Image, volume: &Volume, rotten: &[Range<u64>]) -> Vec<String> {
    let mut found = Vec::new();
    let mut bodies: Vec<(&Id, &Extent)> =
        volume.extents().filter(|(_, extent)| extent.length > 0).collect();
    bodies.sort_by_key(|(_, extent)| extent.offset);
    let mut end = volume.data.start;
    for (stream, extent) in bodies {
        let range = extent.range();
        if range.start < end || range.end > volume.data.end {
            found.push(format!(
                "the extent of {} overlaps another or leaves the data region",
                Hex(stream)
            ));
        }
        end = range.end;
        let is_rotten = rotten.iter().any(|rot| rot.start < range.end && range.start < rot.end);
        if !is_rotten && !volume.is_whole(image, stream, extent) {
            found.push(format!(
                "the extent of {} is not whole, and nothing damaged it",
                Hex(stream)
            ));
        }
    }
    found
}

fn index_against_journal(volume: &Volume, index: &[(Vec<u8>, Vec<u8>)]) -> Vec<String> {
    let mut found = Vec::new();
    let (mut adds, mut tombstones, mut size, mut records, mut sum) = (0, 0, 0, 0, 0u64);
    let mut mark = None;
    let mut values = 0;
    for (key, value) in index {
        if key == b"mark" {
            mark = Some(value);
            continue;
        }
        values += 1;
        let filed = <Id>::try_from(key.as_slice()).ok().and_then(|id| volume.filed.get(&id));
        match filed {
            None => found.push(format!("the index has {}, the journal has not", Hex(key))),
            Some(filed) if filed.value != *value => {
                found.push(format!("index and journal differ about {}", Hex(key)))
            }
            Some(filed) => {
                adds += u64::from(filed.extent.is_some());
                tombstones += u64::from(filed.extent.is_none());
                size += filed.extent.map_or(0, |extent| extent.size());
            }
        }
        records += value.len() as u64 + 20;
        let (forth, back) = (crc(&[key, value]), crc(&[value, key]));
        sum = sum.wrapping_add((u64::from(forth) << 32) + u64::from(back));
    }
    if values != volume.filed.len() {
        found.push(format!("the index has {values} values, the journal {}", volume.filed.len()));
    }
    let Some(mark) = mark.filter(|mark| mark.len() == 80) else {
        found.push("the index has no mark".to_owned());
        return found;
    };
    if crc(&[&mark[..76]]) != number32(mark, 76) {
        found.push("the mark of the index is damaged".to_owned());
    }
    let reflected = (number64(mark, 24), number32(mark, 32));
    if mark[..16] != volume.id
        || number64(mark, 16) != volume.generation
        || reflected != volume.last
    {
        found.push(format!(
            "the index reflects group {}, the journal ends with {}",
            reflected.0, volume.last.0
        ));
    }
    let told = [36, 44, 52, 60, 68].map(|at| number64(mark, at));
    if told != [adds, tombstones, size, records, sum] {
        found.push("the sums of the index do not hold".to_owned());
    }
    found
}
