//! Bidirectional GET over real sockets of the simulated world: the source hands batches over, the target fetches what it wants.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use swarm_client::Auth;
use swarm_env::{BoxFuture, Env, Stream};
use swarm_feeds::definition::{RawFeed, check};
use swarm_feeds::result::Delivery;
use swarm_feeds::wire::{
    Deletion, Identity, Import, Place, Retrieve, Route, Ticket, encode_fetched, read_fetch,
    read_items, read_retrieve,
};
use swarm_feeds::{
    FeedTarget, Home, Imported, Importer, Manner, MayWork, Parcel, Pull, Retrieval, RetrieveTarget,
    Shipment, Streams, What,
};
use swarm_plan::feeds::Held;
use swarm_sim::Sim;
use swarm_types::{ClusterName, NodeId, ObjectKind, ObjectMeta, Stamp, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kit::{Heard, SECOND, alias, named, read_heard, stamp, stream, to, with};

const EAST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const WEST: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 2, 0, 1), Ipv4Addr::new(10, 2, 0, 2)];
const AT_ONCE: Manner = Manner { probe: false, at_once: true };
const STORED: Delivery = Delivery::Done { already: false };
const THERE: Delivery = Delivery::Done { already: true };

/// What the whole story shares.
#[derive(Default)]
struct Shared {
    /// By name: the version, and the length of its body; by stream: deletes.
    holds: BTreeMap<String, (Stamp, u64)>,
    deletes: BTreeMap<StreamId, Stamp>,
    /// Batches: the host, and how many items.
    batches: Vec<(usize, usize)>,
    /// Which of the batches were to stay where they came.
    stayed: Vec<bool>,
    fetches: usize,
    /// So many objects the first host has no room for.
    full: usize,
    /// Which node it names then, if that is not the second host.
    names: Option<Ipv4Addr>,
    /// The connection breaks after so many results.
    breaks_after: Option<usize>,
    /// A whole batch is answered so, once.
    answers: Option<u16>,
    /// Objects that the source has no more.
    gone: Vec<String>,
}

type Story = Arc<Mutex<Shared>>;

/// A node of the target, as it stores things.
struct Store {
    host: usize,
    story: Story,
}

impl Importer for Store {
    fn held<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Held, u16>> {
        let story = self.story.lock().unwrap();
        let held = story.holds.get(identity.name.as_deref().unwrap());
        let held = held.map(|(stamp, _)| Held::Version { stamp: *stamp, intact: true });
        Box::pin(async move { Ok(held.unwrap_or(Held::Nothing)) })
    }

    fn store(
        &self,
        route: Route,
        import: Import,
        mut body: Box<dyn Pull>,
    ) -> BoxFuture<'_, Imported> {
        Box::pin(async move {
            assert_eq!(route.to.as_str(), "west");
            if self.host == 0 && self.story.lock().unwrap().full > 0 {
                let mut story = self.story.lock().unwrap();
                story.full -= 1;
                return Imported::Elsewhere(NodeId(story.names.unwrap_or(WEST[1])));
            }
            let mut length = 0;
            while let Ok(Some(piece)) = body.next().await {
                length += piece.len() as u64;
            }
            if length != import.meta.length {
                return Imported::Answered(500);
            }
            let mut story = self.story.lock().unwrap();
            story.holds.insert(import.identity.name.unwrap(), (import.stamp, length));
            Imported::Answered(201)
        })
    }

    fn delete(&self, _: Route, deletion: Deletion) -> BoxFuture<'_, Imported> {
        self.story.lock().unwrap().deletes.insert(deletion.stream, deletion.stamp);
        Box::pin(async { Imported::Answered(200) })
    }
}

/// Hears requests on port 80 and has each answered.
pub(crate) async fn listen<F, Fut>(env: Env, answer: F)
where
    F: Fn(Heard, Vec<u8>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = (Vec<u8>, bool)> + Send,
{
    let listener = env.net().listen(80).await.unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let answer = answer.clone();
        drop(env.spawn("connection", async move { drop(serve(stream, answer).await) }));
    }
}

async fn serve<F, Fut>(mut stream: Stream, answer: F) -> std::io::Result<()>
where
    F: Fn(Heard, Vec<u8>) -> Fut,
    Fut: Future<Output = (Vec<u8>, bool)>,
{
    let mut unread = Vec::new();
    loop {
        let Some(heard) = read_heard(&mut stream, &mut unread, 0, 0).await? else { return Ok(()) };
        let length = heard.headers.text("content-length").map_or(0, |text| text.parse().unwrap());
        if heard.headers.text("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while unread.len() < length && stream.read_buf(&mut unread).await? > 0 {}
        let body = unread.drain(..length).collect();
        let (answer, whole) = answer(heard, body).await;
        stream.write_all(&answer).await?;
        if !whole {
            return Ok(());
        }
    }
}

/// A node of the target answers.
async fn west(env: Env, host: usize, story: Story, heard: Heard, body: Vec<u8>) -> (Vec<u8>, bool) {
    let Some(Retrieve { route, source, stay }) = read_retrieve(&heard.query).unwrap() else {
        let welcome = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCastor-System-Cluster: west\r\n\r\n";
        return (welcome.into(), true);
    };
    let items = read_items(&body).unwrap();
    let (breaks_after, answers) = {
        let mut story = story.lock().unwrap();
        story.batches.push((host, items.len()));
        story.stayed.push(stay);
        (story.breaks_after.take(), story.answers.take())
    };
    if let Some(status) = answers {
        return (format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into(), true);
    }
    let store: Arc<dyn Importer> = Arc::new(Store { host, story });
    let mut results = Retrieval::begin(&env, store, (route, source), items);
    let mut answer =
        String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n");
    let mut told = 0;
    while let Some(result) = results.next().await {
        if breaks_after.is_some_and(|after| told >= after) {
            return (answer.into(), false);
        }
        told += 1;
        let line = result.line();
        answer += &format!("{:x}\r\n{line}\r\n", line.len());
    }
    (format!("{answer}0\r\n\r\n").into(), true)
}

/// The source hands out what was named in a batch, to whoever shows its ticket.
fn east(story: &Story, heard: &Heard) -> (Vec<u8>, bool) {
    let (_, identity, ticket) = read_fetch(&heard.path, &heard.query, &heard.headers).unwrap();
    assert_eq!(ticket, Ticket(77));
    let mut story = story.lock().unwrap();
    story.fetches += 1;
    let name = identity.name.clone().unwrap();
    if story.gone.contains(&name) {
        return ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(), true);
    }
    let nth: u32 = name.parse().unwrap();
    let meta = meta(nth);
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", meta.length);
    for header in encode_fetched(&identity, &meta, stamp(1_000)).iter() {
        answer += &format!("{}: {}\r\n", header.name, header.text().unwrap());
    }
    let mut answer = format!("{answer}\r\n").into_bytes();
    answer.extend(std::iter::repeat_n(7, usize::try_from(meta.length).unwrap()));
    (answer, true)
}

/// What is filed with the nth object: every tenth is large.
fn meta(nth: u32) -> ObjectMeta {
    let filed = with(named(stream(nth), stamp(1_000), alias(2)), |meta| {
        meta.name = Some(nth.to_string());
        meta.length = if nth.is_multiple_of(10) { 300_000 } else { 500 };
    });
    let What::Version(meta) = filed.what else { panic!("it is a version") };
    meta
}

fn parcel(nth: u32) -> Parcel {
    let (id, meta) = (stream(nth), meta(nth));
    let identity = Identity::of(id, &meta, Place::default());
    let stamp = stamp(1_000);
    Parcel::Version(Box::new(Shipment { id, identity, stamp, meta, open: Arc::new(|| None) }))
}

fn delete(nth: u32) -> Parcel {
    let kind = ObjectKind::Named;
    let (stream, stamp, cid) = (stream(nth), stamp(2_000), Some(alias(2)));
    Parcel::Delete(Deletion { stream, kind, stamp, alias: None, cid, name: None })
}

/// The node at the source.
struct Source;

impl Home for Source {
    fn cluster(&self) -> ClusterName {
        ClusterName::from("east")
    }

    fn may_work(&self) -> MayWork {
        MayWork::Yes
    }

    fn stores(&self) -> Vec<Arc<dyn Streams>> {
        Vec::new()
    }

    fn administrator(&self) -> Option<Auth> {
        None
    }

    fn scsp(&self) -> SocketAddr {
        SocketAddr::from((EAST, 80))
    }

    fn ticket(&self, _: StreamId) -> Ticket {
        Ticket(77)
    }

    fn hold(&self) -> Box<dyn Send> {
        Box::new(())
    }
}

/// A feed, and what happens at both its ends.
struct Setup {
    env: Env,
    target: Arc<RetrieveTarget>,
    story: Story,
}

impl Setup {
    /// Delivers all of them side by side.
    async fn deliver(&self, parcels: Vec<Parcel>, manner: Manner) -> Vec<Delivery> {
        let under_way: Vec<_> = parcels
            .into_iter()
            .map(|parcel| {
                let target = Arc::clone(&self.target);
                self.env.spawn("one", async move { target.deliver(parcel, manner).await })
            })
            .collect();
        let mut deliveries = Vec::new();
        for one in under_way {
            deliveries.push(one.join().await.unwrap());
        }
        deliveries
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.story.lock().unwrap()
    }
}

fn tell<F, Fut>(story: F)
where
    F: FnOnce(Setup) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut sim = Sim::seeded(1);
    let world = sim.handle();
    let shared = Story::default();
    for (nth, ip) in WEST.into_iter().enumerate() {
        let server = world.add_host(&format!("west{nth}"), ip);
        let (env, shared) = (world.env(server), Arc::clone(&shared));
        let own = env.clone();
        drop(world.spawn_on(
            server,
            "listen",
            listen(env, move |heard, body| {
                west(own.clone(), nth, Arc::clone(&shared), heard, body)
            }),
        ));
    }
    let host = world.add_host("east", EAST);
    let env = world.env(host);
    let theirs = Arc::clone(&shared);
    drop(world.spawn_on(
        host,
        "listen",
        listen(world.env(host), move |heard, _| {
            let answer = east(&theirs, &heard);
            async move { answer }
        }),
    ));
    let mode = Some("get".to_owned());
    let raw = RawFeed { hosts: Some(vec!["10.2.0.1".to_owned()]), mode, ..to("west") };
    let definition = check(raw, &ClusterName::from("east")).unwrap();
    let target = Arc::new(RetrieveTarget::new(&env, Arc::new(Source), &definition));
    let setup = Setup { env, target, story: shared };
    sim.block_on(host, async move { story(setup).await });
    assert!(world.panics().is_empty(), "{:?}", world.panics());
}

#[test]
fn a_batch_goes_when_it_is_full_or_its_time_is_over() {
    tell(async |setup: Setup| {
        assert_eq!(setup.target.greet().await, Ok(()));
        let begun = setup.env.now();
        let mut parcels: Vec<Parcel> = (0..40).map(parcel).collect();
        parcels.extend((40..50).map(delete));
        let deliveries = setup.deliver(parcels, Manner::default()).await;
        assert_eq!(deliveries, [STORED; 50]);
        let took = setup.env.now().since(begun);
        assert!(took >= 30 * SECOND && took < 32 * SECOND, "{took:?}");
        assert_eq!(setup.shared().batches, [(0, 50)]);
        {
            let story = setup.shared();
            assert_eq!((story.holds.len(), story.deletes.len(), story.fetches), (40, 10, 40));
            assert_eq!(story.holds["20"], (stamp(1_000), 300_000));
        }
        let begun = setup.env.now();
        let deliveries = setup.deliver((0..200).map(parcel).collect(), Manner::default()).await;
        let took = setup.env.now().since(begun);
        assert!(took < 10 * SECOND, "{took:?}: it was full");
        assert_eq!(setup.shared().batches, [(0, 50), (0, 200)]);
        assert_eq!(deliveries.iter().filter(|delivery| **delivery == THERE).count(), 40);
        assert_eq!(setup.shared().fetches, 200, "what is there is not fetched");
    });
}

#[test]
fn whoever_waits_for_an_object_need_not_wait_for_a_batch() {
    tell(async |setup: Setup| {
        let begun = setup.env.now();
        assert_eq!(setup.deliver(vec![parcel(1)], AT_ONCE).await, [STORED]);
        let took = setup.env.now().since(begun);
        assert!(took < SECOND, "{took:?}");
    });
}

#[test]
fn an_item_that_fails_fails_no_other() {
    tell(async |setup: Setup| {
        setup.shared().gone = vec!["3".to_owned(), "5".to_owned()];
        let deliveries = setup.deliver((0..8).map(parcel).collect(), Manner::default()).await;
        for (nth, delivery) in deliveries.iter().enumerate() {
            let fails = [3, 5].contains(&nth);
            assert_eq!(matches!(delivery, Delivery::Object { status: 404, .. }), fails);
            assert_eq!(*delivery == STORED, !fails);
        }
    });
}

#[test]
fn a_node_without_room_names_another() {
    tell(async |setup: Setup| {
        setup.shared().full = 30;
        let deliveries = setup.deliver((0..30).map(parcel).collect(), Manner::default()).await;
        assert_eq!(deliveries, [STORED; 30]);
        assert_eq!(setup.shared().batches, [(0, 30), (1, 30)]);
        assert_eq!(setup.shared().stayed, [false, true], "it is not led further");
        assert_eq!(setup.shared().holds.len(), 30);
    });
}

/// SCSP SEND - Legacy: "The IP:port of a node or reverse proxy of the destination cluster." Nodes behind a proxy are not reached
/// from here; the proxy may choose another one.
#[test]
fn what_is_to_go_to_a_node_that_is_not_reached_goes_the_same_way_once_more() {
    tell(async |setup: Setup| {
        setup.shared().full = 1;
        setup.shared().names = Some(Ipv4Addr::new(192, 168, 7, 7));
        assert_eq!(setup.deliver(vec![parcel(1)], AT_ONCE).await, [STORED]);
        assert_eq!(setup.shared().batches, [(0, 1), (0, 1)]);
        assert_eq!(setup.shared().stayed, [false, true], "whoever the proxy chooses keeps it");
        // Once, and no more: it is tried again later.
        setup.shared().full = 2;
        let nowhere = setup.deliver(vec![parcel(2)], AT_ONCE).await;
        assert!(matches!(nowhere[..], [Delivery::Object { status: 307, .. }]), "{nowhere:?}");
        assert_eq!(setup.shared().batches.len(), 4);
    });
}

#[test]
fn who_begins_to_wait_for_an_object_closes_its_batch() {
    tell(async |setup: Setup| {
        let begun = setup.env.now();
        let (target, env) = (Arc::clone(&setup.target), setup.env.clone());
        target.hurry();
        drop(setup.env.spawn("later", async move {
            env.sleep(5 * SECOND).await;
            target.hurry();
        }));
        let deliveries = setup.deliver((0..3).map(parcel).collect(), Manner::default()).await;
        let took = setup.env.now().since(begun);
        assert_eq!(deliveries, [STORED; 3]);
        assert!(took >= 5 * SECOND && took < 6 * SECOND, "{took:?}");
    });
}

#[test]
fn a_connection_that_breaks_leaves_open_what_was_not_told() {
    tell(async |setup: Setup| {
        setup.shared().breaks_after = Some(12);
        let parcels = || (0..30).map(parcel).collect();
        let deliveries = setup.deliver(parcels(), Manner::default()).await;
        let count = |wanted| deliveries.iter().filter(|delivery| **delivery == wanted).count();
        assert_eq!((count(STORED), count(Delivery::Unknown)), (12, 18));
        assert_eq!(setup.deliver(parcels(), Manner::default()).await, [THERE; 30]);
    });
}

/// An answer that speaks of no item says of none that it is there.
#[test]
fn an_answer_that_tells_of_no_item_is_no_success() {
    tell(async |setup: Setup| {
        for status in [201, 204, 409, 412] {
            setup.shared().answers = Some(status);
            let deliveries = setup.deliver(vec![parcel(1)], AT_ONCE).await;
            assert_eq!(deliveries, [Delivery::Unknown], "{status}");
        }
        assert_eq!(setup.deliver(vec![parcel(1)], AT_ONCE).await, [STORED]);
    });
}

#[test]
fn bodies_are_not_needed_at_the_source_until_they_are_fetched() {
    tell(async |setup: Setup| {
        // The parcels of these stories have no body to open at all.
        let Parcel::Version(shipment) = parcel(10) else { panic!("it is a version") };
        assert!((shipment.open)().is_none());
        assert_eq!(setup.deliver(vec![parcel(10)], AT_ONCE).await, [STORED]);
        assert_eq!(setup.shared().holds["10"].1, 300_000);
    });
}
