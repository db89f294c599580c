//! The table of feeds on this node and between nodes: changing it, keeping it on every volume, and agreeing on it with the
//! others.
//!
//! Tables are merged, never replaced ([`swarm_feeds::table`]), so that it matters neither who tells whom, nor when. Every
//! beacon carries the version of its sender's table; whoever hears another one than its own fetches that table over a link,
//! makes what comes of both durable on all its volumes, works by it from then on, and says so. Volumes bring the tables along
//! that they had when they were last mounted, wherever that was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use swarm_env::Point;
use swarm_feeds::definition::{DefinitionError, RawFeed, check};
use swarm_feeds::table::{Author, Merged, Table, TableError, TableVersion};
use swarm_plan::membership::Phase;
use swarm_store::Volume;
use swarm_types::{FeedId, Instant, NodeId, VolumeId};

use crate::Node;
use crate::node::Inner;
use crate::slots::DISK_TIMEOUT;
use crate::wire::{Frame, Message};

/// A node that does not get the newest table works by the one that it has after this long: as long as a change may take to
/// reach all nodes (Understanding Feeds).
const FETCHED_WITHIN: Duration = Duration::from_secs(60);
/// Tables fetched at a time: a peer that has gone silent does not keep this node from asking another.
const FETCHES_MAX: usize = 3;
/// How long a peer may take to give out its table.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A change of the feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedChange {
    /// A new feed.
    Create(RawFeed),
    /// Fields of a definition; those that are left out stay.
    Edit(FeedId, RawFeed),
    /// It rests.
    Pause(FeedId),
    /// It goes on.
    Resume(FeedId),
    /// Everything is evaluated anew.
    Restart(FeedId),
    /// Everything is verified anew; of a replication feed the same as a restart.
    Refresh(FeedId),
    /// It is no more.
    Delete(FeedId),
}

/// Why the feeds were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFeedsError {
    /// The definition is no good.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The table does not take it.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The node is starting or stopping, or does not have the newest table yet.
    #[error("the node does not know the feeds of its cluster now")]
    NotReady,
    /// No volume has kept it; what was begun may come up again when one is mounted next.
    #[error("no volume has kept the change; the outcome is unknown")]
    NotKept,
}

/// What a node knows of tables.
#[derive(Default)]
pub(crate) struct Tables {
    /// Held while the table changes, from its reading to its adoption: one change after the other.
    changing: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Version of this node's own.
    own: TableVersion,
    /// The same, as its volumes keep it.
    bytes: Bytes,
    /// What the others have told.
    peers: BTreeMap<NodeId, Heard>,
    /// Whose tables are being fetched.
    fetching: BTreeSet<NodeId>,
    /// News are not listened to yet: how long a change travels is drawn (`feeds.propagation`).
    travelling: bool,
    /// Volumes with a table that cannot be read: it is left alone.
    unreadable: BTreeSet<VolumeId>,
}

/// What a peer has told of its table.
struct Heard {
    told: TableVersion,
    /// When that was news.
    since: Instant,
    /// When it was told last.
    at: Instant,
    /// The one that was merged last.
    merged: TableVersion,
}

impl Known {
    /// Whoever has the same table has nothing that is not part of it.
    fn note_agreement(&mut self) {
        let own = self.own;
        self.peers
            .values_mut()
            .filter(|heard| heard.told == own)
            .for_each(|heard| heard.merged = own);
    }

    /// The peers whose tables are not merged yet.
    fn behind(&self) -> impl Iterator<Item = (NodeId, &Heard)> {
        let own = self.own;
        let news = move |heard: &Heard| {
            heard.told != own && heard.told != heard.merged && heard.told != TableVersion::default()
        };
        self.peers.iter().filter(move |(_, heard)| news(heard)).map(|(peer, heard)| (*peer, heard))
    }
}

impl Tables {
    /// What the beacons tell.
    pub(crate) fn version(&self) -> TableVersion {
        self.lock().own
    }

    /// Takes note of what a peer tells. True if its table is to be fetched now; `travels` if the news take their time.
    fn hear(
        &self,
        peer: NodeId,
        told: TableVersion,
        now: Instant,
        travels: impl FnOnce() -> bool,
    ) -> bool {
        let mut known = self.lock();
        if known.own == told && known.peers.is_empty() {
            return false;
        }
        let heard = known.peers.entry(peer).or_insert_with(|| Heard {
            told: TableVersion::default(),
            since: now,
            at: now,
            merged: TableVersion::default(),
        });
        heard.at = now;
        if heard.told != told {
            (heard.told, heard.since) = (told, now);
        }
        known.note_agreement();
        if known.travelling || known.fetching.len() >= FETCHES_MAX {
            return false;
        }
        // Whoever says nothing any more is not asked again and again.
        let begin = known.behind().any(|(behind, _)| behind == peer) && known.fetching.insert(peer);
        known.travelling = begin && travels();
        begin
    }

    /// Whether a member that is there has told of a newer table, which this node has not fetched yet.
    pub(crate) fn is_behind(&self, inner: &Inner) -> bool {
        let now = inner.env.now();
        let known = self.lock();
        if known.travelling {
            return false;
        }
        let mut newer = known.behind().filter(|(_, heard)| {
            heard.told.number >= known.own.number && now < heard.since + FETCHED_WITHIN
        });
        newer.next().is_some()
    }

    /// Whose table to fetch after that of `done`. `tried` says who was asked in vain.
    fn next(&self, done: NodeId, tried: &BTreeSet<NodeId>, now: Instant) -> Option<NodeId> {
        let mut known = self.lock();
        known.fetching.remove(&done);
        let there = known.behind().filter(|(_, heard)| now < heard.at + FETCHED_WITHIN);
        let mut peers = there.map(|(peer, _)| peer);
        let next = peers.find(|peer| !tried.contains(peer) && !known.fetching.contains(peer));
        drop(peers);
        known.fetching.extend(next);
        next
    }

    /// A peer's table of this version is part of the own one.
    fn merged(&self, peer: NodeId, version: TableVersion) {
        if let Some(heard) = self.lock().peers.get_mut(&peer) {
            (heard.told, heard.merged) = (version, version);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change of what it guards is complete before anything in it can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Changes the feeds: durable on the volumes of this node on return, and on its way to the others, which a change reaches
    /// within 60 s. The number of the feed.
    ///
    /// # Errors
    /// See [`ChangeFeedsError`].
    pub async fn change_feeds(&self, change: FeedChange) -> Result<FeedId, ChangeFeedsError> {
        let node = self.clone();
        // Whoever asked for it cannot cancel half of it by going away.
        let changed = self.env().spawn("feed-change", async move {
            let _busy = node.inner.background();
            node.change_feeds_here(change).await
        });
        changed.join().await.unwrap_or(Err(ChangeFeedsError::NotKept))
    }

    async fn change_feeds_here(&self, change: FeedChange) -> Result<FeedId, ChangeFeedsError> {
        let inner = &self.inner;
        let _changing = inner.feeds.tables.changing.lock().await;
        if inner.phase() != Phase::Open || inner.feeds.tables.is_behind(inner) {
            return Err(ChangeFeedsError::NotReady);
        }
        let mut table = self.feeds().table();
        let before = table.version();
        let id = self.apply(&mut table, change)?;
        if table.version() == before {
            return Ok(id);
        }
        if !self.keep_table(&table).await {
            return Err(ChangeFeedsError::NotKept);
        }
        self.work_by(table);
        Ok(id)
    }

    fn apply(&self, table: &mut Table, change: FeedChange) -> Result<FeedId, ChangeFeedsError> {
        let (by, own) = (self.author(), &self.config().cluster);
        let id = match change {
            FeedChange::Create(raw) => table.create(check(raw, own)?, by)?,
            FeedChange::Edit(id, raw) => {
                let feed = table.get(id).ok_or(TableError::Unknown(id))?;
                let definition = feed.definition.edited(raw, own)?;
                table.edit(id, definition, by).map(|()| id)?
            }
            FeedChange::Pause(id) => table.pause(id, true, by).map(|()| id)?,
            FeedChange::Resume(id) => table.pause(id, false, by).map(|()| id)?,
            FeedChange::Restart(id) | FeedChange::Refresh(id) => {
                table.restart(id, by).map(|()| id)?
            }
            FeedChange::Delete(id) => table.delete(id, by).map(|()| id)?,
        };
        Ok(id)
    }

    fn author(&self) -> Author {
        Author { node: self.id(), now: self.env().wall() }
    }

    /// Makes a table durable on every mounted volume. False if none has it.
    async fn keep_table(&self, table: &Table) -> bool {
        let bytes = Bytes::from(table.encode());
        let unreadable = self.inner.feeds.tables.lock().unreadable.clone();
        let volumes = self.inner.volumes.mounted().into_iter();
        let keep = volumes
            .filter(|volume| !unreadable.contains(&volume.id()))
            .map(|volume| self.keep_table_on(volume, bytes.clone()));
        join_all(keep).await.contains(&true)
    }

    async fn keep_table_on(&self, volume: Volume, bytes: Bytes) -> bool {
        if volume.feed_table() == bytes {
            return true;
        }
        match self.env().timeout(DISK_TIMEOUT, volume.set_feed_table(bytes)).await {
            Ok(Ok(())) => {
                self.env().passes(Point::FeedTableFiled);
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(node = self.env().name(), volume = %volume.id(), %error, "table of feeds not kept");
                false
            }
            Err(_) => {
                volume.note_slow();
                false
            }
        }
    }

    /// Works by a table from now on, and tells everybody.
    fn work_by(&self, table: Table) {
        let inner = &self.inner;
        {
            let mut known = inner.feeds.tables.lock();
            known.note_agreement();
            known.own = table.version();
            known.bytes = table.encode().into();
        }
        tracing::info!(node = self.env().name(), feeds = table.feeds().count(), "feeds changed");
        inner.feeds.engine.adopt(table);
        inner.multicast(&Message::Beacon(inner.beacon(false, false)));
    }

    /// Takes over what another table has: durable here before it counts.
    async fn take_table(&self, other: &Table) {
        let _busy = self.inner.background();
        let _changing = self.inner.feeds.tables.changing.lock().await;
        let mut table = self.feeds().table();
        let merged = table.merge(other);
        self.create_anew(&mut table, merged);
        if !self.keep_table(&table).await && !self.inner.volumes.mounted().is_empty() {
            tracing::error!(node = self.env().name(), "no volume has kept the table of feeds");
        }
        if table != self.feeds().table() {
            self.work_by(table);
        }
    }

    /// Feeds that this node took, and whose numbers belong to others, created while the two could not hear each other, get
    /// new ones.
    fn create_anew(&self, table: &mut Table, merged: Merged) {
        for feed in merged.lost {
            if feed.created.node != u32::from(self.id().0) {
                continue;
            }
            let (id, name) = (feed.id, feed.definition.name.clone());
            match table.create(feed.definition, self.author()) {
                Ok(anew) => tracing::warn!(
                    node = self.env().name(), feed = %id, %anew, name,
                    "the number of a feed belongs to another, created elsewhere: it gets a new one"
                ),
                Err(error) => tracing::error!(
                    node = self.env().name(), feed = %id, name, %error,
                    "the number of a feed belongs to another, created elsewhere: it is lost"
                ),
            }
        }
    }

    /// The volumes were mounted at the node's start: what they brought along is its table.
    pub(crate) fn begin_with_tables(&self) {
        let mut table = self.feeds().table();
        for brought in self.tables_of_volumes() {
            let merged = table.merge(&brought);
            self.create_anew(&mut table, merged);
        }
        if table != self.feeds().table() {
            self.work_by(table);
        }
        self.meet_tables();
    }

    /// Volumes may have come: what they brought along is taken over, and they are given what they lack.
    pub(crate) fn meet_tables(&self) {
        if self.tables_of_volumes().is_empty() {
            return;
        }
        self.spawn_order("feed-table", |node| async move {
            for brought in node.tables_of_volumes() {
                node.take_table(&brought).await;
            }
        });
    }

    /// The tables on mounted volumes that are not this node's.
    fn tables_of_volumes(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for volume in self.inner.volumes.mounted() {
            let bytes = volume.feed_table();
            let mut known = self.inner.feeds.tables.lock();
            if bytes == known.bytes || known.unreadable.contains(&volume.id()) {
                continue;
            }
            let brought =
                if bytes.is_empty() { Ok(Table::default()) } else { Table::decode(&bytes) };
            match brought {
                Ok(table) => tables.push(table),
                Err(error) => {
                    tracing::error!(node = self.env().name(), volume = %volume.id(), %error, "table of feeds not read");
                    known.unreadable.insert(volume.id());
                }
            }
        }
        tables
    }

    /// Compares notes with a peer whose table has this version.
    pub(crate) fn compare_tables(&self, peer: NodeId, version: TableVersion) {
        // One that is starting asks at once.
        let longest = || self.inner.settings().feeds_propagation;
        let travels = || !longest().is_zero() && self.inner.phase() == Phase::Open;
        if self.inner.feeds.tables.hear(peer, version, self.env().now(), travels) {
            drop(self.env().spawn("feed-table", self.clone().fetch_tables(peer)));
        }
    }

    /// Fetches a table that is not known here, and then others.
    async fn fetch_tables(self, mut peer: NodeId) {
        let tables = &self.inner.feeds.tables;
        self.let_news_travel().await;
        let mut tried = BTreeSet::new();
        loop {
            match self.fetch_table(peer).await {
                Ok(table) => {
                    self.take_table(&table).await;
                    tables.merged(peer, table.version());
                }
                Err(error) => {
                    tracing::debug!(node = self.env().name(), %peer, %error, "table of feeds not fetched");
                    tried.insert(peer);
                }
            }
            match tables.next(peer, &tried, self.env().now()) {
                Some(next) => peer = next,
                None => return,
            }
        }
    }

    /// Waits as long as a change takes to reach this node, by the dice.
    async fn let_news_travel(&self) {
        if !self.inner.feeds.tables.lock().travelling {
            return;
        }
        let longest = self.inner.settings().feeds_propagation;
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let way = Duration::from_millis(self.env().random_below("feed table", millis.max(1)));
        self.env().sleep(way).await;
        self.inner.feeds.tables.lock().travelling = false;
    }

    async fn fetch_table(&self, peer: NodeId) -> std::io::Result<Table> {
        match self.ask_over_link(peer, &Frame::FeedTableWanted, FETCH_TIMEOUT).await? {
            Frame::FeedTable(bytes) => Table::decode(&bytes).map_err(std::io::Error::other),
            _ => Err(std::io::ErrorKind::InvalidData.into()),
        }
    }

    /// The own table, for a peer.
    pub(crate) fn feed_table_frame(&self) -> Frame {
        Frame::FeedTable(self.feeds().table().encode().into())
    }
}
