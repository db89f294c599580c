//! The table of a cluster's feeds, as every node keeps it.
//!
//! Any node takes a change; the others learn it within a minute (Understanding Feeds), so that tables may differ meanwhile,
//! and for longer where nodes cannot hear each other. Tables are therefore merged, never replaced: whatever the order in
//! which nodes meet, all end with the same table. Of two feeds that two sides gave one number the one created later keeps
//! it, and the other is created anew by the node that took it; of two changes of one part of a feed the later stands; a deleted
//! feed stays deleted, and its number is never given again (our choices).
//!
//! Bytes: one of version (1), then JSON. Passwords are in clear, as in the vendor's settings object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swarm_types::{ClusterName, FeedId, FeedMark, NodeId, Timestamp};

use crate::definition::{self, Definition, DefinitionError, RawFeed};

mod feed;

pub use feed::{Feed, Parts};

/// Most feeds that work in one cluster: an object may be bound to so many (Understanding Feeds), and whether two scopes
/// overlap nobody can say (our choice).
pub const FEEDS_MAX: usize = swarm_types::FEED_SLOTS_MAX;
/// Most bytes of a table that a volume keeps.
pub const TABLE_BYTES_MAX: usize = 32 * 1024;
/// Most bytes of a table after a change: those of two sides that could not hear each other fit together.
const CHANGED_BYTES_MAX: usize = TABLE_BYTES_MAX / 2;
/// Deleted feeds that are remembered one by one. Two sides that could not hear each other may have given one number to two feeds,
/// which only this tells apart; of numbers that were given so many deletes ago nobody has a feed that nobody else has heard of.
const GONE_MAX: usize = 128;
/// First byte of an encoded table.
const VERSION: u8 = 1;

/// The place of a change among all changes of all feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Change {
    /// Milliseconds since the epoch by the clock of the node that took it, raised above every change that it knew.
    pub number: u64,
    /// Address of that node.
    pub node: u32,
}

impl Change {
    /// Whether it was taken before then, by the clocks of the two nodes.
    pub(crate) const fn is_before(self, at: Timestamp) -> bool {
        self.number < at.millis()
    }
}

/// Who takes a change, and when by its own clock.
#[derive(Debug, Clone, Copy)]
pub struct Author {
    /// The node.
    pub node: NodeId,
    /// Its wall clock.
    pub now: Timestamp,
}

/// What nodes tell each other of their tables: where two differ, the tables do, and are to be merged. The number never
/// goes back on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct TableVersion {
    /// Number of the newest change.
    pub number: u64,
    /// Checksum of the content; zero of an empty table.
    pub digest: u32,
}

/// Why a change was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is no such feed.
    #[error("feed {0} does not exist.")]
    Unknown(FeedId),
    /// Another feed has the name.
    #[error("feed {id} has the name {name:?}")]
    Taken {
        /// The name.
        name: String,
        /// The feed that has it.
        id: FeedId,
    },
    /// There are as many feeds as may be.
    #[error("there are {FEEDS_MAX} feeds, and no more may be")]
    TooMany,
    /// The definitions together are too long to keep.
    #[error("the definitions of all feeds take more than {CHANGED_BYTES_MAX} bytes")]
    TooLong,
}

/// A text of bytes that is no table.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It does not begin with a version that is known here.
    #[error("a feed table of a version that is not known")]
    Version,
    /// What follows the version cannot be read.
    #[error("a feed table that cannot be read")]
    Malformed(#[from] serde_json::Error),
    /// A definition in it would not be taken here.
    #[error("a feed table with a definition that is not taken here")]
    Definition(#[from] DefinitionError),
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// Whether the table is another now.
    pub changed: bool,
    /// Feeds of this table whose number belongs to another now. The node that created one creates it anew.
    pub lost: Vec<Feed>,
}

/// What is known of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Live(Box<Feed>),
    Gone { created: Change },
}

impl Entry {
    /// The larger stands, in all tables: the later creation, then the deletion. Two that are live and equal are one feed.
    fn rank(&self) -> (Change, bool) {
        match self {
            Self::Live(feed) => (feed.created, false),
            Self::Gone { created } => (*created, true),
        }
    }
}

/// All feeds of a cluster, and the numbers of those that were deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    entries: BTreeMap<FeedId, Entry>,
    long_gone: LongGone,
    newest: Change,
}

/// Every feed with a number below one of these that has no entry, and was created then at the latest, was deleted. There is more than
/// one only where two sides that could not hear each other went through many feeds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct LongGone(Vec<(u32, Change)>);

impl LongGone {
    fn covers(&self, id: FeedId, created: Change) -> bool {
        self.0.iter().any(|(below, latest)| id.0 < *below && created <= *latest)
    }

    /// The number after all that it speaks of.
    fn end(&self) -> u32 {
        self.0.iter().map(|(below, _)| *below).max().unwrap_or(0)
    }

    fn add(&mut self, (below, latest): (u32, Change)) {
        let says_it = |other: &(u32, Change)| other.0 >= below && other.1 >= latest;
        if !self.0.iter().any(says_it) {
            self.0.retain(|other| other.0 > below || other.1 > latest);
            self.0.push((below, latest));
            self.0.sort_unstable();
        }
    }
}

impl Table {
    /// The feed with this number.
    #[must_use]
    pub fn get(&self, id: FeedId) -> Option<&Feed> {
        match self.entries.get(&id) {
            Some(Entry::Live(feed)) => Some(feed),
            _ => None,
        }
    }

    /// Every feed, by number.
    pub fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.entries.keys().filter_map(|id| self.get(*id))
    }

    /// The feeds that work: all, but where two sides that could not hear each other created too many.
    pub fn working(&self) -> impl Iterator<Item = &Feed> {
        self.feeds().take(FEEDS_MAX)
    }

    /// Whether a slot of this feed and mark still says anything, in the cluster of this name.
    #[must_use]
    pub fn knows(&self, id: FeedId, mark: FeedMark, cluster: &ClusterName) -> bool {
        self.get(id).is_some_and(|feed| feed.mark(cluster) == mark)
    }

    /// Creates a feed, under the number after all that were ever given.
    ///
    /// # Errors
    /// The name is taken, or there is no room for another feed.
    pub fn create(&mut self, definition: Definition, by: Author) -> Result<FeedId, TableError> {
        if self.feeds().count() >= FEEDS_MAX {
            return Err(TableError::TooMany);
        }
        let behind = match self.entries.last_key_value() {
            Some((last, _)) => last.0.checked_add(1).ok_or(TableError::TooMany)?,
            None => 0,
        };
        let id = FeedId(behind.max(self.long_gone.end()));
        self.name_is_free(&definition.name, id)?;
        let created = self.next(by);
        let feed = Feed::new(id, created, definition);
        let before = self.clone();
        self.file(Entry::Live(Box::new(feed)), id, created);
        self.short_enough_or(before)?;
        Ok(id)
    }

    /// Gives a feed another definition. Everything is evaluated anew if it selects other objects, or goes elsewhere; the one that it
    /// has changes nothing.
    ///
    /// # Errors
    /// There is no such feed, the name is taken, or there is no room.
    pub fn edit(
        &mut self,
        id: FeedId,
        definition: Definition,
        by: Author,
    ) -> Result<(), TableError> {
        self.name_is_free(&definition.name, id)?;
        if self.get(id).is_some_and(|feed| feed.definition == definition) {
            return Ok(());
        }
        let before = self.clone();
        self.change(id, by, |feed, change| feed.define(definition, change))?;
        self.short_enough_or(before)
    }

    /// Pauses a feed, or lets it go on.
    ///
    /// # Errors
    /// There is no such feed.
    pub fn pause(&mut self, id: FeedId, paused: bool, by: Author) -> Result<(), TableError> {
        self.change(id, by, |feed, change| feed.pause(paused, change))
    }

    /// Has everything evaluated anew: the target is asked about every object. For a replication feed, whose target compares
    /// whatever is sent, that is a refresh too.
    ///
    /// # Errors
    /// There is no such feed.
    pub fn restart(&mut self, id: FeedId, by: Author) -> Result<(), TableError> {
        self.change(id, by, Feed::restart)
    }

    /// Deletes a feed. What it brought to its target stays there (Managing and Optimizing Feeds).
    ///
    /// # Errors
    /// There is no such feed.
    pub fn delete(&mut self, id: FeedId, by: Author) -> Result<(), TableError> {
        let created = self.get(id).ok_or(TableError::Unknown(id))?.created;
        self.file(Entry::Gone { created }, id, self.next(by));
        self.forget_long_gone();
        Ok(())
    }

    /// Remembers the first half of many deleted feeds all together.
    fn forget_long_gone(&mut self) {
        let gone = self.entries.iter().filter_map(|(id, entry)| match entry {
            Entry::Gone { created } => Some((*id, *created)),
            Entry::Live(_) => None,
        });
        let gone: Vec<_> = gone.collect();
        if gone.len() > GONE_MAX {
            let first = &gone[..gone.len() / 2];
            let below = first.iter().map(|(id, _)| id.0.saturating_add(1)).max();
            let latest = first.iter().map(|(_, created)| *created).max();
            self.long_gone.add((below.unwrap_or(0), latest.unwrap_or_default()));
        }
        self.drop_covered();
    }

    /// Drops what is remembered of deleted feeds one by one and all together.
    fn drop_covered(&mut self) {
        let Self { entries, long_gone, .. } = self;
        entries.retain(|id, entry| match entry {
            Entry::Live(_) => true,
            Entry::Gone { created } => !long_gone.covers(*id, *created),
        });
    }

    /// Takes over what another node's table has and this has not.
    pub fn merge(&mut self, other: &Self) -> Merged {
        let mut merged = Merged::default();
        let before = self.long_gone.clone();
        // What the other side has deleted, and does not remember one by one.
        self.entries.retain(|id, ours| {
            let covered = other.long_gone.covers(*id, ours.rank().0);
            let stays = !covered || other.entries.contains_key(id);
            merged.changed |= !stays;
            stays
        });
        for (id, theirs) in &other.entries {
            if let (Some(Entry::Live(ours)), Entry::Live(theirs)) =
                (self.entries.get_mut(id), theirs)
                && ours.created == theirs.created
            {
                let was = ours.clone();
                ours.merge(theirs);
                merged.changed |= *ours != was;
                continue;
            }
            let ours = self.entries.get(id);
            let is_old = match ours {
                Some(ours) => ours.rank() >= theirs.rank(),
                None => before.covers(*id, theirs.rank().0),
            };
            if is_old {
                continue;
            }
            merged.changed = true;
            if let Some(Entry::Live(feed)) = self.entries.insert(*id, theirs.clone())
                && feed.created != theirs.rank().0
            {
                merged.lost.push(*feed);
            }
        }
        other.long_gone.0.iter().for_each(|one| self.long_gone.add(*one));
        merged.changed |= self.long_gone != before;
        self.drop_covered();
        merged.changed |= other.newest > self.newest;
        self.newest = self.newest.max(other.newest);
        merged
    }

    /// What to tell other nodes of this table. It is encoded for that: keep the answer.
    #[must_use]
    pub fn version(&self) -> TableVersion {
        if self == &Self::default() {
            return TableVersion::default();
        }
        let mut digest = Digest::new();
        digest.add(&self.encode());
        let digest = digest.end();
        TableVersion { number: self.newest.number, digest: (digest ^ (digest >> 32)) as u32 }
    }

    /// The table as bytes, the same for equal tables. Longer than [`TABLE_BYTES_MAX`] only if three sides or more that could
    /// not hear each other filled theirs.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let long_gone = self.long_gone.0.iter();
        let mut stored = Stored {
            newest: self.newest,
            feeds: Vec::new(),
            gone: Vec::new(),
            long_gone: long_gone.map(|(id, latest)| (*id, latest.number, latest.node)).collect(),
        };
        for (id, entry) in &self.entries {
            match entry {
                Entry::Live(feed) => stored.feeds.push(StoredFeed {
                    id: id.0,
                    created: feed.created,
                    changed: feed.changed,
                    generation: feed.generation,
                    scope: feed.parts.scope,
                    deletes: feed.parts.deletes,
                    target: feed.parts.target,
                    cluster: feed.parts.cluster,
                    manner: feed.parts.manner,
                    pause: feed.parts.pause,
                    restart: feed.parts.restart,
                    definition: feed.definition.raw(),
                }),
                Entry::Gone { created } => stored.gone.push((id.0, created.number, created.node)),
            }
        }
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, &stored).expect("numbers and texts go into memory");
        bytes
    }

    /// The table of these bytes.
    ///
    /// # Errors
    /// They are none, or of a version or with a definition that is not known here.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Some((&VERSION, json)) = bytes.split_first() else { return Err(DecodeError::Version) };
        let stored: Stored = serde_json::from_slice(json)?;
        let mut table = Self { newest: stored.newest, ..Self::default() };
        for (below, number, node) in stored.long_gone {
            table.long_gone.add((below, Change { number, node }));
        }
        for (id, number, node) in stored.gone {
            table.entries.insert(FeedId(id), Entry::Gone { created: Change { number, node } });
        }
        for stored in stored.feeds {
            let StoredFeed { id, created, changed, generation, .. } = stored;
            let StoredFeed { scope, deletes, target, cluster, manner, pause, restart, .. } = stored;
            let (id, definition) = (FeedId(id), definition::check_alone(stored.definition)?);
            let parts = Parts { scope, deletes, target, cluster, manner, pause, restart };
            let feed = Feed { id, created, changed, generation, parts, definition };
            table.entries.insert(id, Entry::Live(Box::new(feed)));
        }
        Ok(table)
    }

    fn change(
        &mut self,
        id: FeedId,
        by: Author,
        make: impl FnOnce(&mut Feed, Change),
    ) -> Result<(), TableError> {
        let mut feed = Box::new(self.get(id).ok_or(TableError::Unknown(id))?.clone());
        let change = self.next(by);
        make(&mut feed, change);
        self.file(Entry::Live(feed), id, change);
        Ok(())
    }

    fn file(&mut self, entry: Entry, id: FeedId, change: Change) {
        self.entries.insert(id, entry);
        self.newest = change;
    }

    /// Undoes a change that makes the table too long. One that makes a longer one shorter stands.
    fn short_enough_or(&mut self, before: Self) -> Result<(), TableError> {
        let length = self.encode().len();
        if length > CHANGED_BYTES_MAX && length > before.encode().len() {
            *self = before;
            return Err(TableError::TooLong);
        }
        Ok(())
    }

    fn next(&self, by: Author) -> Change {
        let number = by.now.millis().max(self.newest.number.saturating_add(1));
        Change { number, node: u32::from(by.node.0) }
    }

    fn name_is_free(&self, name: &str, id: FeedId) -> Result<(), TableError> {
        let lower = name.to_lowercase();
        let has_it = |feed: &&Feed| feed.id != id && feed.definition.name.to_lowercase() == lower;
        match self.feeds().find(has_it) {
            Some(other) => Err(TableError::Taken { name: name.to_owned(), id: other.id }),
            None => Ok(()),
        }
    }
}

/// The table as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    newest: Change,
    feeds: Vec<StoredFeed>,
    /// Number, and change of the creation, of each feed that was deleted.
    gone: Vec<(u32, u64, u32)>,
    /// The same of all below a number that are not named here; the change is that of the latest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    long_gone: Vec<(u32, u64, u32)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFeed {
    id: u32,
    created: Change,
    changed: Change,
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Change>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletes: Option<Change>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Change>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<Change>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manner: Option<Change>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<Change>,
    /// Before the parts had changes of their own, this was that of the last evaluation whatever asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "begun")]
    restart: Option<Change>,
    definition: RawFeed,
}

/// FNV-1a with a mixer at its end: durable, so the same on every machine and in every version.
struct Digest(u64);

impl Digest {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a part; its length goes with it, so that parts cannot be cut otherwise.
    fn add(&mut self, part: &[u8]) {
        let length = part.len() as u64;
        for byte in length.to_le_bytes().iter().chain(part) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The last bytes have reached the low bits only: spreads them.
    const fn end(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    }
}

#[cfg(test)]
mod tests;
