//! The invariants *protected* and *obeyed*, as far as disks tell: each object has exactly the copies that are demanded of
//! it, spread as demanded and all alike; of what was deleted, replaced or has ended nothing is left.
//!
//! Written from `docs/on-disk.md`; what is demanded comes from the caller.

use std::collections::{BTreeMap, BTreeSet};

use swarm_cluster::{Image, NodeRef};
use swarm_types::{Hex, Stamp};

use super::image::{Extent, Id, Volume, crc};
use super::record::{self, Object, Record};

/// What a volume must have free for a body, in lengths of it: it keeps room to move it (our choice).
pub(crate) const ROOM_FACTOR: u64 = 3;
/// At most so many findings are told; the first ones say what is wrong.
const FOUND_MAX: usize = 20;

/// A volume that takes part in the cluster.
pub(crate) struct Seen {
    pub(crate) disk: String,
    pub(crate) node: NodeRef,
    pub(crate) subcluster: String,
    pub(crate) service: Service,
    pub(crate) image: Box<dyn Image>,
    pub(crate) volume: Volume,
}

/// What a volume is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Its copies count, and it takes further ones while there is so much free, bytes.
    Takes { free: u64 },
    /// Its copies are to go elsewhere and do not count.
    Leaves,
}

/// How many copies there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// So many, on so many nodes.
    Copies(usize),
    /// None: the object has ended.
    Ended,
    /// Nobody can tell: it changes about now, or depends on whose clock is asked.
    Unsure,
}

/// How closely is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// What journals say is believed.
    Records,
    /// Every body is read, and all copies of it are compared.
    Bodies,
}

/// Something that is not as demanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// True if bytes of something that has ended are left, which is *obeyed*; else it is *protected*.
    pub(crate) obeyed: bool,
    pub(crate) what: String,
    /// All versions that any volume has of the object, the newest last.
    pub(crate) stamps: BTreeSet<Stamp>,
}

/// One record on one volume.
struct Held<'a> {
    on: &'a Seen,
    record: Record,
    extent: Option<Extent>,
    stamp: Stamp,
}

/// The volumes of a cluster.
pub(crate) struct Volumes {
    pub(crate) seen: Vec<Seen>,
    /// On each of these nodes there may be copies that nobody can see from outside, because damage has hit the journal of
    /// a disk.
    pub(crate) unread: BTreeSet<NodeRef>,
}

/// Everything that is not as demanded, in the order of stream ids.
pub(crate) fn judge(
    cluster: &Volumes,
    care: Care,
    demand: impl Fn(&Object, Stamp) -> Demand,
) -> Vec<Finding> {
    let mut streams: BTreeMap<Id, Vec<Held<'_>>> = BTreeMap::new();
    let mut found = Vec::new();
    for on in &cluster.seen {
        for (id, filed) in &on.volume.filed {
            match record::read(&filed.value) {
                Some(record) => streams.entry(*id).or_default().push(Held {
                    on,
                    record,
                    extent: filed.extent,
                    stamp: filed.version(),
                }),
                None => found.push(Finding {
                    obeyed: false,
                    what: format!("{} holds a record of no known shape", on.disk),
                    stamps: BTreeSet::from([filed.version()]),
                }),
            }
        }
    }
    for (id, held) in &streams {
        if found.len() >= FOUND_MAX {
            break;
        }
        let (newest, older): (Vec<_>, Vec<_>) = {
            let newest = held.iter().map(|held| held.stamp).max();
            held.iter().partition(|held| Some(held.stamp) == newest)
        };
        let judged = stream((cluster, care), id, &newest, &older, &demand);
        let stamps = || held.iter().map(|held| held.stamp).collect();
        found.extend(judged.map(|(obeyed, what)| Finding { obeyed, what, stamps: stamps() }));
    }
    found
}

/// What is wrong with one stream, if anything; the most telling thing only.
fn stream(
    (cluster, care): (&Volumes, Care),
    id: &Id,
    newest: &[&Held<'_>],
    older: &[&Held<'_>],
    demand: &impl Fn(&Object, Stamp) -> Demand,
) -> Option<(bool, String)> {
    let replicas: Vec<(&Held<'_>, &Object, bool)> = newest
        .iter()
        .filter_map(|held| match &held.record {
            Record::Replica { object, quarantined } => Some((*held, object, *quarantined)),
            Record::Tombstone(_) => None,
        })
        .collect();
    let deleted = replicas.len() < newest.len();
    let obsolete = older.iter().find(|held| matches!(held.record, Record::Replica { .. }));
    if let Some(held) = obsolete {
        let what = if deleted { "of what was deleted" } else { "of an older version" };
        return Some((
            false,
            format!("a copy {what} is left on {} ({})", held.on.disk, name(held, id)),
        ));
    }
    let (first, object, _) = *replicas.first()?;
    let name = name(first, id);
    let wanted = match demand(object, first.stamp) {
        Demand::Unsure => return None,
        Demand::Ended => {
            return Some((true, format!("{name} has ended, and {} has its bytes", first.on.disk)));
        }
        Demand::Copies(wanted) => wanted,
    };
    if let Some((held, other, _)) = replicas.iter().find(|(_, other, _)| *other != object) {
        return Some((
            false,
            format!(
                "{} and {} tell different things of {name}: {object:?} and {other:?}",
                first.on.disk, held.on.disk
            ),
        ));
    }
    let sound: Vec<&Held<'_>> = replicas
        .iter()
        .filter(|(held, _, quarantined)| {
            let whole = |extent| {
                care == Care::Records || held.on.volume.is_whole(&*held.on.image, id, &extent)
            };
            !quarantined && held.extent.is_some_and(whole)
        })
        .map(|(held, ..)| *held)
        .collect();
    // Whether that was a legal loss is for *durable* to say.
    let model = sound.first()?;
    let differs = |held: &&&Held<'_>| care == Care::Bodies && body_sum(held) != body_sum(model);
    if let Some(other) = sound.iter().find(differs) {
        return Some((
            false,
            format!("the copies of {name} on {} and {} differ", model.on.disk, other.on.disk),
        ));
    }
    let counting: Vec<&Held<'_>> =
        sound.iter().filter(|held| held.on.service != Service::Leaves).copied().collect();
    if let Some(what) = counted(cluster, &counting, wanted, model) {
        return Some((false, format!("{name} {what}")));
    }
    let bad = replicas.iter().find(|(held, ..)| !sound.iter().any(|one| std::ptr::eq(*one, *held)));
    bad.map(|(held, ..)| (false, format!("a damaged copy of {name} is left on {}", held.on.disk)))
}

/// What is wrong with number and spread of the copies that count.
fn counted(
    Volumes { seen: volumes, unread }: &Volumes,
    copies: &[&Held<'_>],
    wanted: usize,
    model: &Held<'_>,
) -> Option<String> {
    let holders: BTreeSet<&NodeRef> = copies.iter().map(|held| &held.on.node).collect();
    let disks = || copies.iter().map(|held| held.on.disk.as_str()).collect::<Vec<_>>().join(", ");
    let doubled = || format!("has two copies on one node: {}", disks());
    // As long as too few nodes have one, a second copy on a node is kept.
    if holders.len() >= wanted && holders.len() < copies.len() {
        return Some(doubled());
    }
    if holders.len() >= wanted && copies.len() > wanted {
        return Some(format!("has {} copies instead of {wanted}: {}", copies.len(), disks()));
    }
    let size = model.extent.map_or(0, |extent| extent.size());
    let takes = |seen: &&Seen| {
        // Nobody is blamed for a copy that just fits.
        matches!(seen.service, Service::Takes { free } if free >= ROOM_FACTOR * size.max(65_536))
            && !holders.contains(&seen.node)
    };
    let unseen = unread.iter().filter(|node| !holders.contains(node)).count();
    // A node with a disk that nobody can read is counted as having a copy there: another disk of it can take none.
    let is_able = |seen: &&Seen| takes(seen) && !unread.contains(&seen.node);
    if holders.len() + unseen < wanted && volumes.iter().any(|seen| is_able(&seen)) {
        let lacking = || format!("has {} copies instead of {wanted}: {}", copies.len(), disks());
        return Some(if holders.len() < copies.len() { doubled() } else { lacking() });
    }
    if unseen > 0 {
        return None;
    }
    let mut spread: BTreeMap<&str, usize> = BTreeMap::new();
    for held in copies {
        *spread.entry(held.on.subcluster.as_str()).or_default() += 1;
    }
    let most = spread.values().max().copied().unwrap_or(0);
    let poor = volumes
        .iter()
        .filter(takes)
        .map(|seen| seen.subcluster.as_str())
        .find(|subcluster| spread.get(subcluster).copied().unwrap_or(0) + 2 <= most);
    poor.map(|poor| format!("is badly spread, {poor} should have one more: {}", disks()))
}

/// A checksum of a body, the same wherever it lies.
fn body_sum(held: &Held<'_>) -> u32 {
    let Some(extent) = held.extent else { return 0 };
    let mut block = vec![0; 65_536];
    let mut sum = 0;
    let mut at = 0;
    while at < extent.length {
        let length = usize::try_from((extent.length - at).min(block.len() as u64)).unwrap_or(0);
        held.on.image.read(extent.offset + at, &mut block[..length]);
        sum = crc(&[&u32::to_le_bytes(sum), &block[..length]]);
        at += length as u64;
    }
    sum
}

/// What reports call a stream: its name, or its id.
fn name(held: &Held<'_>, id: &Id) -> String {
    let hex = Hex(id);
    match &held.record {
        Record::Replica { object: Object { name: Some(name), .. }, .. } => {
            format!("{name} ({hex})")
        }
        _ => hex.to_string(),
    }
}

#[cfg(test)]
mod tests;
