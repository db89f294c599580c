//! A town of health processors: each has volumes of its own, and they reach each other through calls that take time, get
//! lost and come twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use swarm_env::{BoxFuture, Disk, Env};
use swarm_health::{
    Claim, FetchError, Health, HealthSettings, Home, Incoming, LeaveOutcome, MakeOrder,
    MakeOutcome, Member, Peers, Pull, Question, Recovery, TrimOrder, Whom,
};
use swarm_plan::health::recovery::Standing;
use swarm_plan::health::{Subcluster, Survey};
use swarm_plan::membership::VolumeState;
use swarm_plan::outcome::Made;
use swarm_sim::{DiskModel, DiskNumber, DiskTrouble, HostId, Sim, SimHandle};
use swarm_store::{
    FormatOptions, Hints, MountOptions, Publish, PublishError, Reader, Record, RecordState,
    Service, Staged, Tombstone, Volume,
};
use swarm_types::{
    ClusterName, DiskId, Etag, HeaderList, NodeId, ObjectKind, ObjectMeta, Stamp, StreamId,
    Timestamp, Uuid, Version, VolumeId,
};
use tokio::sync::Notify;

/// Size of every disk.
const DISK: u64 = 32 << 20;
/// Longest way of a message, microseconds.
const WAY: u64 = 900;
/// What every object is in, and the domain of that.
const BUCKET: Uuid = Uuid::from_bytes([0xb1; 16]);
pub(crate) const DOMAIN: &str = "town.example";

/// The nth node, from 1.
pub(crate) fn node(nth: u8) -> NodeId {
    NodeId(Ipv4Addr::new(10, 0, 0, nth))
}

/// A stream of the tests.
pub(crate) fn stream(nth: u32) -> StreamId {
    let mixed = u64::from(nth + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mixed.to_be_bytes());
    bytes[12..].copy_from_slice(&nth.to_be_bytes());
    StreamId::from_bytes(bytes)
}

/// A version written at this millisecond.
pub(crate) fn stamp(ms: u64) -> Stamp {
    Stamp { version: Version(ms), etag: Etag::from_bytes([1; 16]) }
}

/// The body of a version.
pub(crate) fn body(id: StreamId, stamp: Stamp, length: usize) -> Bytes {
    let seed = id.as_bytes()[3] ^ stamp.version.0.to_le_bytes()[0];
    (0..length).map(|at| seed ^ at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect()
}

/// One node.
pub(crate) struct Neighbour {
    id: NodeId,
    subcluster: Subcluster,
    volumes: Mutex<Vec<(Volume, VolumeState)>>,
    up: AtomicBool,
    suspects: Mutex<BTreeSet<(StreamId, Stamp)>>,
    short_of_room: Notify,
    health: OnceLock<Health>,
}

/// The town. All of it runs on one host of the harness, whose tasks may share memory.
#[derive(Clone)]
pub(crate) struct Town {
    inner: Arc<Inner>,
}

struct Inner {
    env: Env,
    world: SimHandle,
    /// Every disk ever delivered, by the node and its number there.
    disks: BTreeMap<(u8, u8), DiskNumber>,
    nodes: BTreeMap<NodeId, Neighbour>,
    /// What the volumes of nodes that are down count as.
    down_counts_as: Mutex<Standing>,
    /// Volumes that were taken out, by what they count as.
    pulled: Mutex<BTreeMap<VolumeId, Standing>>,
    /// Messages in a hundred that are lost; those that come twice.
    loss: AtomicU64,
    doubles: AtomicU64,
    copies_least: Mutex<BTreeMap<StreamId, usize>>,
    /// Whether some feed still needs every delete.
    feed_needs_deletes: AtomicBool,
}

/// How a town is built.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// One node each.
    pub(crate) subclusters: &'static [&'static str],
    pub(crate) volumes: u8,
    pub(crate) settings: HealthSettings,
}

impl Plan {
    /// Nodes in one subcluster, with one volume each, whose cycle takes ten minutes and always asks everybody.
    pub(crate) fn of(nodes: &'static [&'static str]) -> Self {
        let settings = HealthSettings {
            multicast_percent: 100,
            cycle_time: Duration::from_secs(600),
            ..HealthSettings::default()
        };
        Self { seed: 1, subclusters: nodes, volumes: 1, settings }
    }

    /// Builds it and runs the story to its end.
    pub(crate) fn run<F, Fut>(self, story: F) -> Fut::Output
    where
        F: FnOnce(Town) -> Fut + Send + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Send + 'static,
    {
        let mut sim = Sim::seeded(self.seed);
        let world = sim.handle();
        let host = world.add_host("town", Ipv4Addr::new(10, 9, 9, 9));
        let mut disks = BTreeMap::new();
        for (_, nth) in self.subclusters.iter().zip(1u8..) {
            for disk in 1..=self.volumes {
                let id = DiskId::from(format!("{nth}/{disk}").as_str());
                disks.insert((nth, disk), world.add_disk(host, id, DISK, DiskModel::SSD));
            }
        }
        let theirs = world.clone();
        let out = sim.block_on(host, async move {
            let town = Town::build(theirs, host, disks, &self).await;
            story(town).await
        });
        assert!(world.panics().is_empty(), "{:?}", world.panics());
        out
    }
}

async fn open(env: &Env, disk: &DiskId) -> Volume {
    let device: Arc<dyn Disk> = env.disks().open(disk).await.unwrap();
    let cluster = ClusterName::from("town");
    Volume::format(env, &device, FormatOptions { cluster: cluster.clone() }).await.unwrap();
    let obsolete_after = Duration::from_secs(1_209_600);
    let options = MountOptions { cluster, obsolete_after, force_stale: false };
    Volume::mount(env, device, options).await.unwrap().0
}

impl Town {
    async fn build(
        world: SimHandle,
        host: HostId,
        disks: BTreeMap<(u8, u8), DiskNumber>,
        plan: &Plan,
    ) -> Self {
        let env = world.env(host);
        let mut nodes = BTreeMap::new();
        for (name, nth) in plan.subclusters.iter().zip(1u8..) {
            let mut volumes = Vec::new();
            for disk in 1..=plan.volumes {
                let disk = DiskId::from(format!("{nth}/{disk}").as_str());
                volumes.push((open(&env, &disk).await, VolumeState::Ok));
            }
            let neighbour = Neighbour {
                id: node(nth),
                subcluster: (*name).into(),
                volumes: Mutex::new(volumes),
                up: AtomicBool::new(true),
                suspects: Mutex::default(),
                short_of_room: Notify::new(),
                health: OnceLock::new(),
            };
            nodes.insert(node(nth), neighbour);
        }
        let inner = Arc::new(Inner {
            env,
            world,
            disks,
            nodes,
            down_counts_as: Mutex::new(Standing::Away),
            pulled: Mutex::default(),
            loss: AtomicU64::new(0),
            doubles: AtomicU64::new(0),
            copies_least: Mutex::default(),
            feed_needs_deletes: AtomicBool::new(false),
        });
        for id in inner.nodes.keys() {
            let seat = Arc::new(Seat { inner: Arc::clone(&inner), me: *id });
            let health = Health::start(
                &inner.env,
                Arc::clone(&seat) as Arc<dyn Home>,
                seat,
                plan.settings.clone(),
            );
            assert!(inner.nodes[id].health.set(health).is_ok(), "started once");
        }
        Self { inner }
    }

    /// Some feed needs every delete, however old.
    pub(crate) fn feed_needs_deletes(&self) {
        self.inner.feed_needs_deletes.store(true, Ordering::Relaxed);
    }

    pub(crate) fn env(&self) -> &Env {
        &self.inner.env
    }

    pub(crate) fn health(&self, nth: u8) -> Health {
        self.inner.nodes[&node(nth)].health.get().unwrap().clone()
    }

    /// The volumes of a node.
    pub(crate) fn volumes(&self, nth: u8) -> Vec<Volume> {
        let volumes = self.inner.nodes[&node(nth)].volumes.lock().unwrap();
        volumes.iter().map(|(volume, _)| volume.clone()).collect()
    }

    /// Stores a replica on the nth volume of a node.
    pub(crate) async fn put(&self, at: (u8, usize), id: StreamId, stamp: Stamp, with: Object<'_>) {
        let volume = self.volumes(at.0)[at.1].clone();
        let mut headers = HeaderList::default();
        for lifepoint in with.lifepoints {
            headers.push("Lifepoint", (*lifepoint).to_owned());
        }
        let meta = ObjectMeta {
            kind: with.kind,
            alias: None,
            cid: Some(BUCKET),
            name: Some("name".to_owned()),
            cluster: "town".to_owned(),
            owner: None,
            headers,
            length: with.length as u64,
            digest: [0; 16],
        };
        let mut staged = volume.stage(id, meta.length).unwrap();
        staged.write(body(id, stamp, with.length)).await.unwrap();
        let hints = with.hints.iter().map(|(nth, volume)| self.volumes(*nth)[*volume].id());
        let hints: Hints = hints.collect();
        staged.publish(Publish::new(stamp, meta, hints)).await.unwrap();
    }

    /// Stores replicas of one object on the first volumes of these nodes; each knows of the others.
    pub(crate) async fn protect(
        &self,
        nodes: &[u8],
        id: StreamId,
        stamp: Stamp,
        object: Object<'_>,
    ) {
        for nth in nodes {
            let others: Vec<(u8, usize)> =
                nodes.iter().filter(|other| *other != nth).map(|other| (*other, 0)).collect();
            self.put((*nth, 0), id, stamp, Object { hints: &others, ..object }).await;
        }
    }

    /// Everything that is filed under an id on nodes that are up: node, volume, record.
    pub(crate) fn filed(&self, id: StreamId) -> Vec<(u8, VolumeId, Record)> {
        let mut filed = Vec::new();
        for (node, neighbour) in &self.inner.nodes {
            if neighbour.up.load(Ordering::Relaxed) {
                for (volume, _) in neighbour.volumes.lock().unwrap().iter() {
                    let record = volume.find(id);
                    filed.extend(record.map(|record| (node.0.octets()[3], volume.id(), record)));
                }
            }
        }
        filed
    }

    /// The nodes with a replica of this version that is not quarantined, one entry for each replica.
    pub(crate) fn holders(&self, id: StreamId, stamp: Stamp) -> Vec<u8> {
        let good = |record: &Record| {
            record.stamp == stamp && !record.is_tombstone() && !record.is_quarantined()
        };
        let filed = self.filed(id).into_iter();
        filed.filter(|(.., record)| good(record)).map(|(nth, ..)| nth).collect()
    }

    /// Reads every replica of this version and compares it.
    pub(crate) async fn check_bodies(&self, id: StreamId, stamp: Stamp, length: usize) {
        for (_, volume, record) in self.filed(id) {
            if record.stamp != stamp || record.is_tombstone() || record.is_quarantined() {
                continue;
            }
            let all = self.inner.nodes.values();
            let volume = all
                .flat_map(|neighbour| neighbour.volumes.lock().unwrap().clone())
                .map(|(volume, _)| volume)
                .find(|one| one.id() == volume)
                .unwrap();
            let mut reader = volume.open(&record).unwrap();
            let mut read = Vec::new();
            while let Some(piece) = reader.next().await.unwrap() {
                read.extend_from_slice(&piece);
            }
            assert_eq!(read, body(id, stamp, length));
        }
    }

    /// The node is gone, and its volumes count as this to the others.
    pub(crate) fn down(&self, nth: u8, counts_as: Standing) {
        *self.inner.down_counts_as.lock().unwrap() = counts_as;
        self.inner.nodes[&node(nth)].up.store(false, Ordering::Relaxed);
    }

    pub(crate) fn up(&self, nth: u8) {
        self.inner.nodes[&node(nth)].up.store(true, Ordering::Relaxed);
    }

    /// Bits rot in this share of the blocks that the first disk of a node has ever written.
    pub(crate) async fn rot(&self, nth: u8, share_ppm: u32) {
        self.inner.world.rot(self.inner.disks[&(nth, 1)], share_ppm).await;
    }

    /// A request has met a bad block in a replica of a node, and no visit has seen it yet.
    pub(crate) fn suspect(&self, nth: u8, id: StreamId, stamp: Stamp) {
        self.inner.nodes[&node(nth)].suspects.lock().unwrap().insert((id, stamp));
    }

    /// How many replicas of a node are suspected.
    pub(crate) fn suspected(&self, nth: u8) -> usize {
        self.inner.nodes[&node(nth)].suspects.lock().unwrap().len()
    }

    /// Something is wrong with the first disk of a node from now on, or nothing any more.
    pub(crate) async fn disk(&self, nth: u8, trouble: Option<DiskTrouble>) {
        let disk = self.inner.disks[&(nth, 1)];
        match trouble {
            Some(trouble) => drop(self.inner.world.trouble_disk(disk, trouble).await),
            None => assert!(self.inner.world.heal_disk(disk).await > 0, "it was ill"),
        }
    }

    /// Takes a volume out of its node.
    pub(crate) fn pull(&self, nth: u8, which: usize) -> Volume {
        let (volume, _) = self.inner.nodes[&node(nth)].volumes.lock().unwrap().remove(which);
        self.inner.pulled.lock().unwrap().insert(volume.id(), Standing::Lost);
        volume
    }

    /// The only volume of a node goes off in good order, and is back at once.
    pub(crate) async fn remount(&self, nth: u8) {
        let volume = self.pull(nth, 0);
        volume.unmount().await.unwrap();
        drop(volume);
        // Whoever is in the middle of a visit lets go of it.
        self.wait(Duration::from_secs(2)).await;
        let id = DiskId::from(format!("{nth}/1").as_str());
        let device: Arc<dyn Disk> = self.env().disks().open(&id).await.unwrap();
        let cluster = ClusterName::from("town");
        let obsolete_after = Duration::from_secs(1_209_600);
        let options = MountOptions { cluster, obsolete_after, force_stale: false };
        let (volume, _) = Volume::mount(self.env(), device, options).await.unwrap();
        self.insert(nth, volume);
    }

    /// Puts a volume into a node.
    pub(crate) fn insert(&self, nth: u8, volume: Volume) {
        self.inner.pulled.lock().unwrap().remove(&volume.id());
        let neighbour = &self.inner.nodes[&node(nth)];
        neighbour.volumes.lock().unwrap().push((volume, VolumeState::Ok));
    }

    /// Changes the state of a volume, as its durable mark says.
    pub(crate) async fn serve(&self, nth: u8, which: usize, service: Service) {
        self.volumes(nth)[which].set_service(service).await.unwrap();
        let state = match service {
            Service::InService => VolumeState::Ok,
            Service::Retiring(_) => VolumeState::Retiring,
            Service::Retired(_) => VolumeState::Retired,
        };
        self.inner.nodes[&node(nth)].volumes.lock().unwrap()[which].1 = state;
    }

    pub(crate) fn state(&self, nth: u8, which: usize) -> VolumeState {
        self.inner.nodes[&node(nth)].volumes.lock().unwrap()[which].1
    }

    /// A stream has found no room on a node.
    pub(crate) fn refuse(&self, nth: u8) {
        self.inner.nodes[&node(nth)].short_of_room.notify_one();
    }

    /// So many messages in a hundred are lost, and so many come twice.
    pub(crate) fn trouble(&self, loss: u64, doubles: u64) {
        self.inner.loss.store(loss, Ordering::Relaxed);
        self.inner.doubles.store(doubles, Ordering::Relaxed);
    }

    /// From now on no replica of this object may go that leaves fewer good ones than this.
    pub(crate) fn guard(&self, id: StreamId, least: usize) {
        self.inner.copies_least.lock().unwrap().insert(id, least);
    }

    /// Waits, and looks after every guarded object all the while.
    pub(crate) async fn wait(&self, time: Duration) {
        let until = self.env().now() + time;
        while self.env().now() < until {
            self.env().sleep(Duration::from_millis(500)).await;
            self.check_guards();
        }
    }

    fn check_guards(&self) {
        let guards = self.inner.copies_least.lock().unwrap().clone();
        for (id, least) in guards {
            let good = self.filed(id);
            let newest = good.iter().map(|(.., record)| record.stamp).max();
            let left = newest.map_or(0, |newest| self.holders(id, newest).len());
            assert!(
                left >= least,
                "{left} replicas left of {id}, at least {least} there should be"
            );
        }
    }

    /// A counter, over all nodes.
    pub(crate) fn counted(&self, what: &str) -> u64 {
        let healths = self.inner.nodes.values().filter_map(|neighbour| neighbour.health.get());
        healths.map(|health| health.status().counters.get(what).copied().unwrap_or(0)).sum()
    }

    /// Whether every node that is up has seen so many quiet cycles.
    pub(crate) fn is_quiet_for(&self, cycles: u64) -> bool {
        let up = self.inner.nodes.values().filter(|one| one.up.load(Ordering::Relaxed));
        let mut healths = up.filter_map(|neighbour| neighbour.health.get());
        healths.all(|health| health.status().is_quiet_for(cycles))
    }

    /// Waits until every node has seen two quiet cycles; after this long it fails.
    pub(crate) async fn rest(&self, limit: Duration) {
        let until = self.env().now() + limit;
        while !self.is_quiet_for(2) {
            assert!(self.env().now() < until, "no rest");
            self.wait(Duration::from_secs(10)).await;
        }
    }
}

/// What is stored in a test.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a> {
    pub(crate) kind: ObjectKind,
    pub(crate) length: usize,
    pub(crate) lifepoints: &'a [&'a str],
    /// Node and number of the volume.
    pub(crate) hints: &'a [(u8, usize)],
}

/// A named object of a few blocks.
pub(crate) const PLAIN: Object<'static> =
    Object { kind: ObjectKind::Named, length: 150_000, lifepoints: &[], hints: &[] };

/// One node's place in the town: what its health processor sees.
struct Seat {
    inner: Arc<Inner>,
    me: NodeId,
}

impl Seat {
    fn here(&self) -> &Neighbour {
        &self.inner.nodes[&self.me]
    }

    /// The way of one message; false if it is lost.
    async fn way(&self) -> bool {
        let env = &self.inner.env;
        env.sleep(Duration::from_micros(env.random_below("way", WAY))).await;
        env.random_below("loss", 100) >= self.inner.loss.load(Ordering::Relaxed)
    }

    fn doubles(&self) -> bool {
        let share = self.inner.doubles.load(Ordering::Relaxed);
        self.inner.env.random_below("doubles", 100) < share
    }

    /// The health processor of another node, if it can be reached.
    fn other(&self, at: NodeId) -> Option<&Health> {
        let both = [self.here(), self.inner.nodes.get(&at)?];
        let up = both.iter().all(|one| one.up.load(Ordering::Relaxed));
        up.then(|| both[1].health.get()).flatten()
    }

    fn others(&self) -> BTreeSet<NodeId> {
        let all = self.inner.nodes.keys().copied();
        all.filter(|node| *node != self.me && self.other(*node).is_some()).collect()
    }
}

impl Home for Seat {
    fn node(&self) -> NodeId {
        self.me
    }

    fn subcluster(&self) -> Subcluster {
        self.here().subcluster.clone()
    }

    fn is_open(&self) -> bool {
        self.here().up.load(Ordering::Relaxed)
    }

    fn may_walk(&self) -> bool {
        self.is_open()
    }

    fn takes_copies(&self) -> bool {
        let volumes = self.here().volumes.lock().unwrap();
        self.may_walk() && volumes.iter().any(|(_, state)| state.takes_streams())
    }

    fn is_busy(&self) -> bool {
        false
    }

    fn volumes(&self) -> Vec<(Volume, VolumeState)> {
        self.here().volumes.lock().unwrap().clone()
    }

    fn short_of_room(&self) -> &Notify {
        &self.here().short_of_room
    }

    fn copy_cost(&self, id: StreamId, length: u64) -> Option<u64> {
        let space = self.best(id, length)?.space();
        Some(space.used * 1000 / space.capacity)
    }

    fn stage(&self, id: StreamId, length: u64) -> Option<(Volume, Staged)> {
        let volume = self.best(id, length)?;
        let staged = volume.stage(id, length).ok()?;
        Some((volume, staged))
    }

    fn publish(
        &self,
        volume: Volume,
        id: StreamId,
        staged: Staged,
        publish: Publish,
    ) -> BoxFuture<'_, Made> {
        let stamp = publish.stamp;
        Box::pin(async move {
            let newer = |(one, _): &(Volume, VolumeState)| {
                one.id() != volume.id() && one.find(id).is_some_and(|filed| filed.stamp > stamp)
            };
            if Home::volumes(self).iter().any(newer) {
                return Made::Superseded;
            }
            // A volume keeps what it believes in.
            if let Some(record) = volume.find(id).filter(|filed| filed.stamp == stamp)
                && self.is_suspect(id, stamp)
            {
                assert!(volume.set_quarantined(&record, true).await.unwrap());
            }
            match staged.publish(publish).await {
                Ok(_) => {}
                Err(PublishError::Superseded { .. }) => return Made::Superseded,
                Err(PublishError::Append(_)) => return Made::Unknown,
            }
            for (one, _) in Home::volumes(self) {
                if let Some(old) = one.find(id).filter(|filed| filed.stamp < stamp) {
                    one.remove(id, old.stamp).await.unwrap();
                }
            }
            Made::Published
        })
    }

    fn domain_of(&self, parent: Uuid) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move { (parent == BUCKET).then(|| DOMAIN.to_owned()) })
    }

    fn bury(&self, id: StreamId, tombstone: Tombstone) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let volumes = Home::volumes(self);
            let filed = volumes.iter().find(|(volume, state)| {
                let stays = |stamp| stamp < tombstone.stamp || state.takes_streams();
                volume.find(id).is_some_and(|record| stays(record.stamp))
            });
            let takes = volumes.iter().find(|(_, state)| state.takes_streams());
            let Some((volume, _)) = filed.or(takes) else { return false };
            let done = matches!(
                volume.bury(id, tombstone.clone()).await,
                Ok(()) | Err(PublishError::Superseded { .. })
            );
            for (one, _) in &volumes {
                if let Some(old) = one.find(id).filter(|filed| filed.stamp < tombstone.stamp) {
                    one.remove(id, old.stamp).await.unwrap();
                }
            }
            done
        })
    }

    fn holds_back(&self, _: StreamId, _: &Tombstone) -> bool {
        self.inner.feed_needs_deletes.load(Ordering::Relaxed)
    }

    fn is_suspect(&self, id: StreamId, stamp: Stamp) -> bool {
        self.here().suspects.lock().unwrap().contains(&(id, stamp))
    }

    fn clear_suspicion(&self, id: StreamId, stamp: Stamp) {
        self.here().suspects.lock().unwrap().remove(&(id, stamp));
    }

    fn retired(&self, volume: VolumeId) {
        for (one, state) in self.here().volumes.lock().unwrap().iter_mut() {
            if one.id() == volume {
                *state = VolumeState::Retired;
            }
        }
    }
}

impl Seat {
    fn best(&self, id: StreamId, length: u64) -> Option<Volume> {
        let volumes = self.here().volumes.lock().unwrap();
        let takes = |(volume, state): &&(Volume, VolumeState)| {
            state.takes_streams() && volume.space().free > 2 * length
        };
        let mut able: Vec<_> = volumes.iter().filter(takes).map(|(volume, _)| volume).collect();
        able.sort_by_key(|volume| (volume.find(id).is_none(), volume.space().used, volume.id()));
        able.first().map(|volume| (*volume).clone())
    }
}

impl Peers for Seat {
    fn members(&self) -> Vec<Member> {
        let nodes = self.others();
        let neighbours = nodes.iter().map(|node| &self.inner.nodes[node]);
        neighbours
            .map(|one| {
                let volumes = one.volumes.lock().unwrap();
                let takes_copies = volumes.iter().any(|(_, state)| state.takes_streams());
                Member { node: one.id, subcluster: one.subcluster.clone(), takes_copies }
            })
            .collect()
    }

    fn standing(&self, volume: VolumeId) -> Standing {
        if let Some(pulled) = self.inner.pulled.lock().unwrap().get(&volume) {
            return *pulled;
        }
        for neighbour in self.inner.nodes.values() {
            let volumes = neighbour.volumes.lock().unwrap();
            if volumes.iter().any(|(one, _)| one.id() == volume) {
                let up = neighbour.up.load(Ordering::Relaxed);
                let down = *self.inner.down_counts_as.lock().unwrap();
                return if up { Standing::Present } else { down };
            }
        }
        Standing::Unknown
    }

    fn lost(&self) -> Vec<VolumeId> {
        let mut all: Vec<VolumeId> = self.inner.pulled.lock().unwrap().keys().copied().collect();
        for neighbour in self.inner.nodes.values().filter(|one| one.id != self.me) {
            all.extend(neighbour.volumes.lock().unwrap().iter().map(|(volume, _)| volume.id()));
        }
        all.retain(|volume| self.standing(*volume) == Standing::Lost);
        all
    }

    fn survey(&self, question: Question) -> BoxFuture<'_, Survey> {
        Box::pin(async move {
            let nodes = match &question.whom {
                Whom::Everybody => self.others(),
                Whom::Nodes(nodes) => nodes.clone(),
                Whom::Volumes(volumes) => {
                    let has = |one: &&Neighbour| {
                        let own = one.volumes.lock().unwrap();
                        own.iter().any(|(volume, _)| volumes.contains(&volume.id()))
                    };
                    self.inner.nodes.values().filter(has).map(|one| one.id).collect()
                }
            };
            let asked = nodes.iter().filter(|node| **node != self.me).map(|node| {
                let question = question.clone();
                async move {
                    for _ in 0..2 {
                        if self.way().await
                            && let Some(health) = self.other(*node)
                        {
                            let report = health.report(&question);
                            if self.way().await {
                                return Ok(report);
                            }
                        }
                    }
                    self.inner.env.sleep(Duration::from_millis(200)).await;
                    Err(*node)
                }
            });
            let mut survey =
                Survey { everybody: question.whom == Whom::Everybody, ..Survey::default() };
            for answer in join_all(asked).await {
                match answer {
                    Ok(report) => survey.add(report),
                    Err(node) if self.other(node).is_some() => {
                        survey.silent.insert(node);
                    }
                    Err(_) => {}
                }
            }
            survey
        })
    }

    fn fetch(
        &self,
        from: NodeId,
        id: StreamId,
        stamp: Stamp,
    ) -> BoxFuture<'_, Result<Incoming, FetchError>> {
        Box::pin(async move {
            self.way().await;
            if self.other(from).is_none() {
                return Err(FetchError::Unreachable);
            }
            let volumes = self.inner.nodes[&from].volumes.lock().unwrap().clone();
            for (volume, _) in volumes {
                let Some(record) = volume.find(id).filter(|record| record.stamp == stamp) else {
                    continue;
                };
                let good = !record.is_quarantined();
                if let RecordState::Live { meta, slots, .. } = &record.state
                    && good
                    && let Some(reader) = volume.open(&record)
                {
                    let (meta, slots) = (meta.clone(), slots.clone());
                    return Ok(Incoming { meta, slots, body: Box::new(Stream { reader }) });
                }
            }
            Err(FetchError::NotThere)
        })
    }

    fn make(&self, at: NodeId, order: MakeOrder) -> BoxFuture<'_, MakeOutcome> {
        Box::pin(async move {
            if !self.way().await {
                return MakeOutcome::Unknown;
            }
            let Some(health) = self.other(at) else { return MakeOutcome::Unknown };
            if self.doubles() {
                let (again, order) = (health.clone(), order.clone());
                drop(self.inner.env.spawn("double", async move { again.make_here(order).await }));
            }
            let outcome = health.make_here(order).await;
            if self.way().await { outcome } else { MakeOutcome::Unknown }
        })
    }

    fn trim(&self, at: NodeId, order: TrimOrder) -> BoxFuture<'_, LeaveOutcome> {
        Box::pin(async move {
            if !self.way().await {
                return LeaveOutcome::Unknown;
            }
            let Some(health) = self.other(at) else { return LeaveOutcome::Unknown };
            if self.doubles() {
                // The second one is late.
                let (again, order, env) = (health.clone(), order.clone(), self.inner.env.clone());
                drop(self.inner.env.spawn("double", async move {
                    env.sleep(Duration::from_millis(env.random_below("late", 90_000))).await;
                    again.trim_here(order).await
                }));
            }
            let outcome = health.trim_here(order).await;
            if self.way().await { outcome } else { LeaveOutcome::Unknown }
        })
    }

    fn bury(
        &self,
        at: BTreeSet<NodeId>,
        id: StreamId,
        tombstone: Tombstone,
    ) -> BoxFuture<'_, BTreeSet<NodeId>> {
        Box::pin(async move {
            let mut done = BTreeSet::new();
            for node in at {
                if self.way().await && self.other(node).is_some() {
                    let seat = Self { inner: Arc::clone(&self.inner), me: node };
                    if Home::bury(&seat, id, tombstone.clone()).await && self.way().await {
                        done.insert(node);
                    }
                }
            }
            done
        })
    }

    fn claim(&self, to: &BTreeSet<NodeId>, claim: Claim) {
        for node in to {
            if let Some(health) = self.other(*node) {
                health.claimed(claim);
            }
        }
    }

    fn announce(&self, recovery: Recovery) {
        for node in self.others() {
            if let Some(health) = self.other(node) {
                health.announced(recovery);
            }
        }
    }
}

/// The body of a replica on its way.
struct Stream {
    reader: Reader,
}

impl Pull for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, FetchError>> {
        Box::pin(async { self.reader.next().await.map_err(|_| FetchError::NotThere) })
    }
}

/// A tombstone.
pub(crate) fn tombstone(stamp: Stamp, written: Timestamp) -> Tombstone {
    Tombstone::new(stamp, ObjectKind::Named, written)
}

/// The domain that a delete says it was in; nothing of a replica.
pub(crate) fn domain_of(record: &Record) -> Option<String> {
    match &record.state {
        RecordState::Tombstone(tombstone) => tombstone.name.as_deref().map(str::to_owned),
        RecordState::Live { .. } => None,
    }
}
