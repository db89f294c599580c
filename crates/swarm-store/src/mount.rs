//! Mounting a volume: `docs/on-disk.md`, "Mount".

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Bug, Disk, Env, IndexHome, MemoryIndex};
use swarm_types::{ClusterName, Stamp, StreamId, Timestamp};

use crate::books::Books;
use crate::commit::Committer;
use crate::counted::{Counted, Counters};
use crate::error::{AppendError, MountError};
use crate::index::memory::Memory;
use crate::index::sled::Sled;
use crate::index::{Index, IndexError, SCAN_PAGE, survey};
use crate::journal::{ChosenHalf, Tail, choose_half, read_tail};
use crate::layout::{BLOCK, Found, Superblock, align_down, usize_of};
use crate::record::{Entry, brief};
use crate::replay::{Replay, ReplayError, Replayed};
use crate::room::Room;
use crate::settle::settle;
use crate::volume::{Shared, Volume};

/// How a volume is mounted.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// The cluster that it must belong to.
    pub cluster: ClusterName,
    /// Absent for longer, it is refused (`disk.obsoleteTimeout`).
    pub obsolete_after: Duration,
    /// Mount it although it is stale; deleted objects may come back.
    pub force_stale: bool,
}

/// What a mount found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountReport {
    /// The volume had been unmounted in good order.
    pub clean: bool,
    /// It was stale and mounted all the same.
    pub forced_stale: bool,
    /// When it was last known to be in use, by the clock of the node that used it.
    pub last_touched: Timestamp,
    /// What could be done with the index.
    pub index: IndexUse,
    /// Number of extents verified.
    pub verified: u64,
    /// Streams whose last write was not complete: never acknowledged, now forgotten.
    pub dropped: Vec<StreamId>,
    /// Streams whose bytes are damaged. They stay filed; reads of them say so.
    pub damaged: Vec<StreamId>,
}

/// What a mount could do with the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexUse {
    /// It was whole up to a point of the journal; this many groups behind it were replayed.
    Replayed {
        /// Number of groups.
        groups: u64,
    },
    /// It was missing, damaged or of another journal, and was rebuilt.
    Rebuilt,
}

/// See [`Volume::mount`].
pub(crate) async fn mount(
    env: &Env,
    disk: Arc<dyn Disk>,
    options: MountOptions,
) -> Result<(Volume, MountReport), MountError> {
    let errors = Arc::new(Counters::default());
    let uncounted = Arc::clone(&disk);
    let disk: Arc<dyn Disk> = Arc::new(Counted::new(disk, Arc::clone(&errors)));
    let (superblock, repairs) = read_superblock(&disk).await?;
    if superblock.cluster != options.cluster {
        return Err(MountError::OtherCluster { found: superblock.cluster });
    }
    let mut index = open_index(env, &disk).await;
    let half = choose_half(&disk, &superblock).await?;
    let marked = index.mark().ok().flatten().map(|mark| mark.sequence);
    let tail = read_tail(&disk, &superblock, &half, marked).await?;
    let last_touched = tail.last.chained.header.wall;
    let behind_since = behind_since(tail.marks.behind, last_touched);
    let behind = env.wall().since(behind_since);
    let stale = behind > options.obsolete_after;
    if stale && !options.force_stale && !env.planted(Bug::MountStale) {
        return Err(MountError::Stale { last_touched, behind_since });
    }
    let replay = Replay { env, disk: &disk, superblock: &superblock, half: &half, tail: &tail };
    let replayed = match replay.run(&*index).await {
        Ok(replayed) => replayed,
        Err(ReplayError::Mount(error)) => return Err(error),
        Err(ReplayError::Index(error)) => {
            tracing::warn!(disk = %disk.id(), why = %error, "index given up, kept in memory");
            index = in_memory();
            replay.run(&*index).await.map_err(without_index)?
        }
    };
    let report = MountReport {
        clean: tail.is_clean(),
        forced_stale: stale,
        last_touched,
        index: replayed.index_use,
        verified: replayed.verified,
        dropped: replayed.dropped.iter().map(|(id, _)| *id).collect(),
        damaged: replayed.damaged.clone(),
    };
    if !env.planted(Bug::MountTrustsCache) {
        let settled = settle(&disk, &superblock, &half, &tail).await;
        settled.map_err(|source| MountError::Disk { source })?;
    }
    if !stale && behind > options.obsolete_after / 2 {
        tracing::warn!(volume = %superblock.volume, disk = %disk.id(), ?behind, "volume behind for more than half the time after which it is refused");
    }
    // Who orders a stale volume to be mounted takes what it has missed upon himself.
    let behind_since = if stale { env.wall() } else { behind_since };
    let disks = [disk, uncounted];
    let opening =
        Opening { env, disks, errors, superblock, half, tail, replayed, repairs, behind_since };
    Ok((opening.start(index).await?, report))
}

/// Since when a volume may have missed what happened to its streams. That it was mounted meanwhile does not count: only a walk
/// that has compared it with the others takes the mark away.
fn behind_since(marked: Option<Timestamp>, last_touched: Timestamp) -> Timestamp {
    marked.map_or(last_touched, |marked| marked.min(last_touched))
}

fn without_index(error: ReplayError) -> MountError {
    match error {
        ReplayError::Mount(error) => error,
        ReplayError::Index(error) => MountError::Disk { source: std::io::Error::other(error) },
    }
}

/// The superblock, and what puts a damaged copy of it right.
async fn read_superblock(
    disk: &Arc<dyn Disk>,
) -> Result<(Superblock, Vec<(u64, Bytes)>), MountError> {
    let capacity = align_down(disk.capacity());
    if capacity < 2 * BLOCK {
        return Err(MountError::Blank);
    }
    let mut found = Vec::new();
    for at in [0, capacity - BLOCK] {
        // A copy that cannot be read is as good as a damaged one, as long as the other can.
        found.push(match disk.read_at(at, usize_of(BLOCK)).await {
            Ok(block) => Ok(Superblock::decode(&block)),
            Err(source) => Err(MountError::Disk { source }),
        });
    }
    let good = found.iter().find_map(|copy| match copy {
        Ok(Found::Superblock(superblock)) => Some(superblock.clone()),
        _ => None,
    });
    if let Some(superblock) = good {
        let needed = superblock.layout.device;
        if needed > capacity {
            return Err(MountError::TooSmall { needed, found: disk.capacity() });
        }
        let whole = found.iter().all(|copy| matches!(copy, Ok(Found::Superblock(_))));
        let block = Bytes::from(superblock.encode());
        let repairs = if whole {
            Vec::new()
        } else {
            superblock.layout.superblocks().map(|at| (at, block.clone())).to_vec()
        };
        return Ok((superblock, repairs));
    }
    let mut verdict = MountError::Blank;
    for copy in found {
        match (copy, &verdict) {
            (Err(error), _) => return Err(error),
            (Ok(Found::Version(found)), _) => verdict = MountError::Version { found },
            (Ok(Found::Damaged), MountError::Blank) => {
                verdict = MountError::JournalDamaged { at: 0, why: "no superblock is whole" };
            }
            _ => {}
        }
    }
    Err(verdict)
}

/// The index that belongs to the disk or, where that cannot be opened, one in memory.
async fn open_index(env: &Env, disk: &Arc<dyn Disk>) -> Arc<dyn Index> {
    match disk.index_home() {
        IndexHome::Memory(map) => Arc::new(Memory::new(map)),
        IndexHome::Folder(folder) => {
            match env.offload("store.index", move || Sled::open(&folder)).await {
                Some(Ok(sled)) => Arc::new(sled),
                Some(Err(error)) => {
                    tracing::warn!(disk = %disk.id(), why = %error, "index does not open, kept in memory");
                    in_memory()
                }
                None => in_memory(),
            }
        }
    }
}

fn in_memory() -> Arc<dyn Index> {
    Arc::new(Memory::new(Arc::new(MemoryIndex::default())))
}

/// Everything that is known when the journal has been read.
struct Opening<'a> {
    env: &'a Env,
    /// The disk as its errors are counted, and as they are not.
    disks: [Arc<dyn Disk>; 2],
    errors: Arc<Counters>,
    superblock: Superblock,
    half: ChosenHalf,
    tail: Tail,
    replayed: Replayed,
    repairs: Vec<(u64, Bytes)>,
    behind_since: Timestamp,
}

impl Opening<'_> {
    /// Writes the group that says that the volume is mounted, and starts the committer.
    async fn start(self, index: Arc<dyn Index>) -> Result<Volume, MountError> {
        let failed = |error: IndexError| MountError::Disk { source: std::io::Error::other(error) };
        let mut restated = restate(&*index, &self.replayed.dropped).map_err(failed)?;
        if self.env.planted(Bug::ForgetTombstones) {
            forget_tombstones(&*index).map_err(failed)?;
        }
        let scanned = Arc::clone(&index);
        let scan = self.env.offload("store.totals", move || survey(&*scanned)).await;
        let (totals, lying, feeds) = match scan {
            Some(found) => found.map_err(failed)?,
            None => {
                return Err(MountError::Disk {
                    source: std::io::Error::other("the node is stopping"),
                });
            }
        };
        let epoch = self.tail.last.chained.header.epoch.saturating_add(1);
        let mut marks = self.tail.marks.clone();
        // What holds nothing has missed nothing.
        marks.behind = (!totals.is_empty()).then_some(self.behind_since);
        if marks.behind != self.tail.marks.behind {
            restated.push(Entry::Behind(marks.behind));
        }
        let room = Room::new(&self.superblock.layout, self.tail.head, lying);
        let books = Mutex::new(Books::new(totals, feeds, marks, room, epoch));
        let shared =
            Shared::new(self.env.clone(), self.disks, self.errors, self.superblock, index, books);
        let shared = Arc::new(shared);
        let mut committer = Committer::new(Arc::clone(&shared), &self.half, &self.tail, epoch);
        committer.open(self.repairs, restated).await.map_err(|error| match error {
            AppendError::Disk { source, .. } => MountError::Disk { source },
            other => MountError::Disk { source: std::io::Error::other(other) },
        })?;
        Ok(Volume::start(shared, committer))
    }
}

/// Records that say what is filed under these ids, for the journal to agree with the index about them.
fn restate(index: &dyn Index, dropped: &[(StreamId, Stamp)]) -> Result<Vec<Entry>, IndexError> {
    let mut entries: Vec<_> =
        dropped.iter().map(|(id, stamp)| Entry::Remove { id: *id, stamp: *stamp }).collect();
    let ids: BTreeSet<_> = dropped.iter().map(|(id, _)| *id).collect();
    for id in &ids {
        if let Some(value) = index.get(*id)? {
            entries.push(Entry::File { id: *id, value });
        }
    }
    Ok(entries)
}

/// Planted: an index without its tombstones.
fn forget_tombstones(index: &dyn Index) -> Result<(), IndexError> {
    let mut after = None;
    loop {
        let page = index.scan(after, SCAN_PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        let forgotten =
            page.iter().filter(|(_, value)| brief(value).is_ok_and(|brief| brief.extent.is_none()));
        let changes = forgotten.map(|(id, _)| (*id, None)).collect();
        index.apply(changes, None)?;
    }
}
