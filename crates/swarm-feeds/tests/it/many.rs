//! A backlog of any length: ten million streams wait, and the feeds take no more memory than a few thousand need.

#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarm_client::Auth;
use swarm_env::{BoxFuture, Env};
use swarm_feeds::backoff::ObjectTrouble;
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::definition::{RawFeed, check};
use swarm_feeds::result::Delivery;
use swarm_feeds::table::{Author, Feed, Table};
use swarm_feeds::wire::Ticket;
use swarm_feeds::{
    About, Around, Brought, Context, Done, FeedSettings, FeedTarget, Feeds, Filed, Home, Manner,
    MayWork, NotKept, Page, Parcel, Peers, Pull, SlotCounts, Streams, Targets, To,
};
use swarm_plan::feeds::Told;
use swarm_sim::Sim;
use swarm_types::{
    ClusterName, FeedId, FeedMark, FeedOutcome, FeedSlot, NodeId, Stamp, StreamId, Uuid, VolumeId,
};

use crate::kit::{SECOND, object, stamp, to, volume};

const STREAMS: u64 = 10_000_000;
/// Most that the whole process may take: the feeds, the harness and the stand-in for the volume together.
const MEMORY_MIB: u64 = 64;
/// Tells the process that it is the one that is measured.
const MEASURED: &str = "SWARM_FEEDS_MEASURED";
const FEEDS: usize = 4;

/// A volume whose streams are computed: it remembers two bits of each for each feed.
struct Generator {
    outcomes: Vec<Mutex<Vec<u8>>>,
    /// Successes and retries of each feed.
    counts: [[AtomicU64; 2]; FEEDS],
    pages: AtomicU64,
}

fn number(id: StreamId) -> u64 {
    id.as_bytes()[..8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

fn id(number: u64) -> StreamId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    StreamId::from_bytes(bytes)
}

impl Generator {
    fn has(&self, feed: FeedId, number: u64) -> bool {
        let place = usize::try_from(number).unwrap();
        let bits = self.outcomes[feed.0 as usize].lock().unwrap();
        bits[place / 8] & (1 << (place % 8)) != 0
    }
}

impl Streams for Generator {
    fn id(&self) -> VolumeId {
        volume(1, 1)
    }

    fn mount(&self) -> u64 {
        1
    }

    fn page(&self, of: (FeedId, FeedMark), after: Option<StreamId>, scan: usize) -> Page {
        self.pages.fetch_add(1, Ordering::Relaxed);
        let first = after.map_or(0, |after| number(after) + 1);
        let last = STREAMS.min(first + scan as u64);
        let open = (first..last).filter(|number| !self.has(of.0, *number));
        let found = open.map(|number| object(id(number), stamp(1_000)).brief()).collect();
        Page { found, next: (last < STREAMS).then(|| id(last - 1)) }
    }

    fn find(&self, id: StreamId) -> Option<Filed> {
        Some(object(id, stamp(1_000)))
    }

    fn read(&self, _: &Filed) -> Option<Box<dyn Pull>> {
        None
    }

    fn settle(
        &self,
        slots: Vec<(StreamId, Stamp, FeedSlot)>,
        _: Arc<[(FeedId, FeedMark)]>,
    ) -> BoxFuture<'_, Result<u64, NotKept>> {
        for (id, _, slot) in &slots {
            let place = usize::try_from(number(*id)).unwrap();
            let feed = slot.feed.0 as usize;
            let kind = usize::from(slot.outcome != FeedOutcome::Success);
            self.counts[feed][kind].fetch_add(1, Ordering::Relaxed);
            if slot.outcome.is_final() {
                self.outcomes[feed].lock().unwrap()[place / 8] |= 1 << (place % 8);
            }
        }
        Box::pin(async move { Ok(slots.len() as u64) })
    }

    fn counts(&self, feed: FeedId, _: FeedMark) -> SlotCounts {
        let [success, retrying] =
            self.counts[feed.0 as usize].each_ref().map(|count| count.load(Ordering::Relaxed));
        SlotCounts { success, unqualified: 0, retrying }
    }

    fn streams(&self) -> u64 {
        STREAMS
    }
}

/// The node, its neighbours, of which it has none, and its targets.
struct Node {
    env: Env,
    volume: Arc<Generator>,
}

impl Home for Node {
    fn cluster(&self) -> ClusterName {
        ClusterName::from("east")
    }

    fn may_work(&self) -> MayWork {
        MayWork::Yes
    }

    fn stores(&self) -> Vec<Arc<dyn Streams>> {
        vec![Arc::clone(&self.volume) as Arc<dyn Streams>]
    }

    fn administrator(&self) -> Option<Auth> {
        None
    }

    fn scsp(&self) -> SocketAddr {
        SocketAddr::from(([10, 1, 0, 1], 80))
    }

    fn ticket(&self, _: StreamId) -> Ticket {
        Ticket(7)
    }

    fn hold(&self) -> Box<dyn Send> {
        Box::new(())
    }
}

impl Peers for Node {
    fn tell(&self, _: To, _: Vec<Done>) {}

    fn ask(&self, _: To, _: About) -> BoxFuture<'_, Vec<Told>> {
        Box::pin(async { Vec::new() })
    }

    fn context(&self, _: Uuid) -> BoxFuture<'_, Context> {
        Box::pin(async { Context::Gone })
    }

    fn bring(&self, _: StreamId) -> BoxFuture<'_, Option<Brought>> {
        Box::pin(async { None })
    }
}

impl Targets for Node {
    fn open(&self, feed: &Feed) -> Arc<dyn FeedTarget> {
        Arc::new(Target { env: self.env.clone(), name: feed.definition.name.clone() })
    }
}

struct Target {
    env: Env,
    name: String,
}

impl FeedTarget for Target {
    fn greet(&self) -> BoxFuture<'_, Result<(), TargetTrouble>> {
        let dead = self.name == "dead";
        Box::pin(async move { if dead { Err(TargetTrouble::Silent) } else { Ok(()) } })
    }

    fn deliver(&self, _: Parcel, _: Manner) -> BoxFuture<'_, Delivery> {
        Box::pin(async move {
            self.env.sleep(Duration::from_millis(1)).await;
            if self.name == "refuses" {
                return Delivery::Object { status: 500, trouble: ObjectTrouble::Transient };
            }
            Delivery::Done { already: false }
        })
    }
}

/// One feed that works, one whose target is dead, one that refuses everything, and one that rests.
fn table(env: &Env) -> Table {
    let mut table = Table::default();
    let author = Author { node: NodeId(Ipv4Addr::new(10, 0, 0, 1)), now: env.wall() };
    for (name, paused) in [("works", false), ("dead", false), ("refuses", false), ("rests", true)] {
        let raw = RawFeed { threads: Some(64), paused: Some(paused), ..to(name) };
        let definition = check(raw, &ClusterName::from("east")).unwrap();
        table.create(definition, author).unwrap();
    }
    table
}

/// Works on the backlog for a while, with new writes on top. Returns what the feeds say that they took at most.
async fn work(env: Env) -> usize {
    let bits = usize::try_from(STREAMS / 8 + 1).unwrap();
    let volume = Arc::new(Generator {
        outcomes: (0..FEEDS).map(|_| Mutex::new(vec![0; bits])).collect(),
        counts: Default::default(),
        pages: AtomicU64::new(0),
    });
    let node = Arc::new(Node { env: env.clone(), volume: Arc::clone(&volume) });
    let around = Around {
        home: Arc::clone(&node) as Arc<dyn Home>,
        peers: Arc::clone(&node) as Arc<dyn Peers>,
        targets: node,
    };
    let feeds = Feeds::start(&env, around, table(&env), FeedSettings::default());
    let mut most = 0;
    let mut written = 0;
    while volume.counts[0][0].load(Ordering::Relaxed) < 40_000 {
        // Writes come faster than anything can be carried.
        for _ in 0..100 {
            written += 7_919;
            feeds.filed(object(id(written % STREAMS), stamp(1_000)).brief());
        }
        env.sleep(Duration::from_millis(1)).await;
        most = most.max(feeds.bytes());
        for (name, depth, limit) in feeds.queues() {
            assert!(depth <= limit, "{name}: {depth} of {limit}");
        }
        assert!(env.now().0 < 10 * 60 * 1_000_000_000, "nothing moves");
    }
    for (feed, shown) in feeds.stats() {
        assert_eq!(shown.gauges.streams(), STREAMS, "{feed}");
    }
    // A dead feed and one that rests look for nothing more once they know enough.
    env.sleep(SECOND).await;
    let before = volume.pages.load(Ordering::Relaxed);
    env.sleep(SECOND).await;
    let pages = volume.pages.load(Ordering::Relaxed) - before;
    let carried = volume.counts[0][0].load(Ordering::Relaxed);
    assert!(pages < 2 * carried, "{pages} pages for {carried} objects");
    most
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() / 1024
}

/// In a process of its own, whose memory is all its own.
#[test]
fn ten_million_pending_streams_take_less_than_64_mib() {
    if std::env::var_os(MEASURED).is_none() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "many::ten_million_pending_streams_take_less_than_64_mib"]);
        let output = again.env(MEASURED, "1").arg("--nocapture").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("MiB at most"), "it was measured: {text}");
        return;
    }
    let mut sim = Sim::seeded(1);
    let world = sim.handle();
    let host = world.add_host("node", Ipv4Addr::new(10, 1, 0, 1));
    let most = sim.block_on(host, work(world.env(host)));
    let (counted, peak) = (most as u64 / 1024 / 1024, peak_memory_mib());
    println!("{peak} MiB at most, of which the feeds count {counted}");
    assert!(peak < MEMORY_MIB, "{peak} MiB, of which the feeds count {counted}");
    assert!(counted >= 10, "{counted} MiB: what they keep in mind was full");
}
