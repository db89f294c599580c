//! A world for one volume: an executor that can stop anywhere, and a disk that loses what was not synced.

pub(crate) mod disk;
pub(crate) mod live;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::clock::Sleep;
use swarm_env::{
    BoxFuture, Bug, Clock, Datagrams, Disk, Disks, Entropy, Env, Listener, Net, Parts, PlantedBugs,
    Stream, Tasks, UdpOptions,
};
use swarm_store::{
    FeedBrief, FormatOptions, MountError, MountOptions, MountReport, Publish, PublishError,
    ReadError, Reader, Record, RecordState, SlotCounts, Volume,
};
use swarm_types::{
    ClusterName, DiskId, Etag, FeedId, FeedMark, FeedOutcome, FeedSlot, HeaderList, Instant,
    ObjectKind, ObjectMeta, Stamp, StreamId, Timestamp, Uuid, Version,
};

pub(crate) use disk::TestDisk;

/// Polls after which a future that is not ready never will be.
const POLLS_MAX: u32 = 1_000_000;

type Ready = Arc<Mutex<Vec<BoxFuture<'static, ()>>>>;

/// Runs the tasks of one incarnation. Dropping it is the end of them.
pub(crate) struct Lab {
    ready: Ready,
    tasks: Vec<BoxFuture<'static, ()>>,
    pub(crate) env: Env,
    wall: Arc<AtomicI64>,
}

impl Lab {
    pub(crate) fn new(seed: u64) -> Self {
        Self::planted(seed, Vec::new())
    }

    pub(crate) fn planted(seed: u64, bugs: Vec<Bug>) -> Self {
        let ready = Ready::default();
        let wall = Arc::new(AtomicI64::new(Timestamp::from_secs(1_000_000).0));
        let env = Env::new(Parts {
            name: "lab".into(),
            clock: Arc::new(LabClock { wall: Arc::clone(&wall) }),
            entropy: Arc::new(LabDice { state: AtomicU64::new(seed) }),
            net: Arc::new(Nothing),
            disks: Arc::new(Nothing),
            tasks: Arc::new(LabTasks { ready: Arc::clone(&ready) }),
            planted: PlantedBugs::new(bugs),
        });
        Self { ready, tasks: Vec::new(), env, wall }
    }

    /// Lets the wall clock go on.
    pub(crate) fn pass(&self, time: Duration) {
        let nanos = i64::try_from(time.as_nanos()).expect("short");
        self.wall.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Runs to the end of `future`; `None` if the disk lost power first.
    pub(crate) fn until_crash<T>(
        &mut self,
        disk: &TestDisk,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        self.drive(future, || disk.is_dead())
    }

    /// Runs to the end of `future`.
    pub(crate) fn run<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.drive(future, || false).expect("nothing stops it")
    }

    /// Polls `future` and all tasks many times, but not for ever; its output if it completed.
    pub(crate) fn for_a_while<T>(
        &mut self,
        future: &mut (impl Future<Output = T> + Unpin),
    ) -> Option<T> {
        let mut left = 1000_u32;
        self.drive(future, || {
            left = left.saturating_sub(1);
            left == 0
        })
    }

    fn drive<T>(
        &mut self,
        future: impl Future<Output = T>,
        mut stop: impl FnMut() -> bool,
    ) -> Option<T> {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..POLLS_MAX {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return Some(output);
            }
            self.tasks.append(&mut self.ready.lock().unwrap());
            self.tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
            if stop() {
                return None;
            }
        }
        panic!("nothing happens any more");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A task that was spawned and never polled holds the environment, which holds the list of such tasks.
        let unpolled = std::mem::take(&mut *self.ready.lock().unwrap());
        drop(unpolled);
    }
}

struct LabClock {
    wall: Arc<AtomicI64>,
}

impl Clock for LabClock {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, _: Instant) -> Sleep {
        Box::pin(std::future::pending())
    }
}

struct LabDice {
    state: AtomicU64,
}

impl Entropy for LabDice {
    fn fill(&self, _: &'static str, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = mix(self.state.fetch_add(1, Ordering::SeqCst)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

struct LabTasks {
    ready: Ready,
}

impl Tasks for LabTasks {
    fn spawn(&self, _: &'static str, future: BoxFuture<'static, ()>) {
        self.ready.lock().unwrap().push(future);
    }

    fn offload(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { work() })
    }
}

struct Nothing;

impl Disks for Nothing {
    fn list(&self) -> Vec<DiskId> {
        Vec::new()
    }

    fn open(&self, _: &DiskId) -> BoxFuture<'_, io::Result<Arc<dyn Disk>>> {
        Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
    }
}

impl Net for Nothing {
    fn local_ip(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }

    fn listen(&self, _: u16) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn udp(&self, _: UdpOptions) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

/// One step of splitmix64: numbers that look random and repeat with the seed.
pub(crate) const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

pub(crate) fn id(number: u8) -> StreamId {
    StreamId::from_bytes([number; 16])
}

pub(crate) fn stamp(version: u64) -> Stamp {
    Stamp { version: Version(version), etag: Etag::from_bytes([7; 16]) }
}

/// The body that belongs to a stream and a version.
pub(crate) fn body(id: StreamId, version: u64, len: usize) -> Bytes {
    let seed = mix(u64::from(id.as_bytes()[0]) << 32 | version);
    let mut bytes = Vec::with_capacity(len + 8);
    for word in 0..len.div_ceil(8) as u64 {
        bytes.extend_from_slice(&mix(seed.wrapping_add(word)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// The alias of everything: also of what has none in life, so that it is seen that only contexts are found by it.
pub(crate) const ALIAS: Uuid = Uuid::from_bytes([3; 16]);

/// Most versions are of an object, some of a context.
pub(crate) const fn kind(version: u64) -> ObjectKind {
    if version % 7 == 6 { ObjectKind::Bucket } else { ObjectKind::Named }
}

/// Whether feeds begin with what [`put`] files.
pub(crate) const fn is_first(version: u64) -> bool {
    version % 2 == 1
}

/// A slot; the draw says of which feed and mark, and which outcome.
pub(crate) fn slot(draw: u64) -> FeedSlot {
    let draw = mix(draw);
    let outcome = match draw % 4 {
        0 => FeedOutcome::Unqualified,
        1 => FeedOutcome::Retrying { attempts: 7, next_at: Timestamp(-5) },
        _ => FeedOutcome::Success,
    };
    let [feed, mark, status, ..] = (draw >> 8).to_le_bytes();
    FeedSlot {
        feed: FeedId(u32::from(feed % FEEDS)),
        mark: FeedMark(u64::from(mark % MARKS)),
        outcome,
        status: u16::from(status),
        at: Timestamp(i64::try_from(draw >> 32).expect("half of it")),
    }
}

/// One more than a record has room for.
const FEEDS: u8 = 9;
const MARKS: u8 = 2;

/// Compares what the volume says of feeds with what its records say, one by one.
pub(crate) fn check_feeds(volume: &Volume) {
    let records = volume.records(None, 10_000);
    for (feed, mark) in (0..FEEDS).flat_map(|feed| (0..MARKS).map(move |mark| (feed, mark))) {
        let (feed, mark) = (FeedId(feed.into()), FeedMark(mark.into()));
        let outcome = |record: &Record| record.slots().get(feed, mark).map(|slot| slot.outcome);
        let mut counts = SlotCounts::default();
        for outcome in records.iter().filter_map(outcome) {
            match outcome {
                FeedOutcome::Unqualified => counts.unqualified += 1,
                FeedOutcome::Success => counts.success += 1,
                FeedOutcome::Retrying { .. } => counts.retrying += 1,
            }
        }
        assert_eq!(volume.feed_counts(feed, mark), counts, "feed {feed} {mark:?}");
        let open = records.iter().filter(|one| !outcome(one).is_some_and(FeedOutcome::is_final));
        let open: Vec<_> = open.map(brief_of).collect();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = volume.feed_page(&[(feed, mark)], after, 2);
            found.extend(page.found);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, open, "feed {feed} {mark:?}");
    }
    let alias = |record: &Record| match &record.state {
        RecordState::Live { meta, .. } => meta.alias.filter(|_| meta.kind.is_context()),
        RecordState::Tombstone(buried) => buried.alias.filter(|_| buried.kind.is_context()),
    };
    let mut contexts = records.iter().filter(|record| alias(record) == Some(ALIAS));
    assert_eq!(volume.context(ALIAS), contexts.next().map(|record| record.id));
}

fn brief_of(record: &Record) -> FeedBrief {
    let (kind, length) = match &record.state {
        RecordState::Live { meta, .. } => (meta.kind, meta.length),
        RecordState::Tombstone(tombstone) => (tombstone.kind, 0),
    };
    FeedBrief {
        id: record.id,
        stamp: record.stamp,
        kind,
        first: record.is_first(),
        tombstone: record.is_tombstone(),
        quarantined: record.is_quarantined(),
        length,
        slots: record.slots().clone(),
    }
}

pub(crate) fn meta(version: u64, len: usize) -> ObjectMeta {
    let mut headers = HeaderList::default();
    headers.push("X-Version", version.to_string());
    ObjectMeta {
        kind: kind(version),
        alias: Some(ALIAS),
        cid: Some(Uuid::ROOT),
        name: Some(format!("photos/{version}")),
        cluster: "main".to_owned(),
        owner: None,
        headers,
        length: len as u64,
        digest: [9; 16],
    }
}

pub(crate) fn cluster() -> ClusterName {
    ClusterName::from("main")
}

pub(crate) fn options() -> MountOptions {
    MountOptions {
        cluster: cluster(),
        obsolete_after: Duration::from_secs(14 * 24 * 3600),
        force_stale: false,
    }
}

pub(crate) async fn format(env: &Env, disk: &Arc<impl Disk + 'static>) {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as Arc<dyn Disk>;
    Volume::format(env, &disk, FormatOptions { cluster: cluster() }).await.expect("the disk works");
}

pub(crate) async fn try_mount(
    env: &Env,
    disk: &Arc<impl Disk + 'static>,
) -> Result<(Volume, MountReport), MountError> {
    Volume::mount(env, Arc::clone(disk) as Arc<dyn Disk>, options()).await
}

pub(crate) async fn mount(env: &Env, disk: &Arc<impl Disk + 'static>) -> (Volume, MountReport) {
    try_mount(env, disk).await.expect("the volume is sound")
}

/// A freshly formatted volume.
pub(crate) fn fresh(lab: &mut Lab, disk: &Arc<TestDisk>) -> Volume {
    let env = lab.env.clone();
    lab.run(async {
        format(&env, disk).await;
        mount(&env, disk).await.0
    })
}

/// Writes one object in pieces.
pub(crate) async fn put(
    volume: &Volume,
    id: StreamId,
    version: u64,
    len: usize,
) -> Result<Stamp, PublishError> {
    let mut staged = volume.stage(id, len as u64)?;
    let mut body = body(id, version, len);
    while !body.is_empty() {
        staged.write(body.split_to(body.len().min(10_000))).await?;
    }
    let publish = Publish::new(stamp(version), meta(version, len), swarm_store::Hints::NONE);
    staged.publish(Publish { first: is_first(version), ..publish }).await
}

/// Reads a whole body.
pub(crate) async fn read(volume: &Volume, record: &Record) -> Result<Vec<u8>, ReadError> {
    read_on(volume.open(record).expect("a replica")).await
}

/// Reads the rest of a body.
pub(crate) async fn read_on(mut reader: Reader) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while let Some(piece) = reader.next().await? {
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Checks that exactly this version is filed, with its bytes and metadata.
pub(crate) async fn expect_body(volume: &Volume, id: StreamId, version: u64, len: usize) {
    let record = volume.find(id).unwrap_or_else(|| panic!("{id} version {version} is lost"));
    assert_eq!(record.stamp, stamp(version), "{id}");
    assert_eq!(record.meta(), Some(&meta(version, len)), "{id}");
    let bytes =
        read(volume, &record).await.unwrap_or_else(|error| panic!("{id} {version}: {error}"));
    assert!(bytes == body(id, version, len), "{id} version {version} has other bytes");
}

/// Where a body lies on the disk.
pub(crate) fn place(disk: &TestDisk, bytes: &[u8]) -> usize {
    let image = disk.seen();
    let mut blocks = (0..image.len() - bytes.len()).step_by(4096);
    blocks.find(|at| image[*at..].starts_with(bytes)).expect("the body is on the disk")
}

pub(crate) fn check_space(volume: &Volume) {
    let space = volume.space();
    assert_eq!(space.used + space.free + space.trapped, space.capacity, "{space:?}");
}
