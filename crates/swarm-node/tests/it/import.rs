//! What another cluster brings: the same whatever comes first, together, twice or half.

mod twins;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use md5::{Digest, Md5};
use swarm_env::Env;
use swarm_feeds::Context;
use swarm_feeds::wire::{Deletion, Identity, Import, Place, Route};
use swarm_node::api::{Address, Nonce, Refusal, Reply, WriteReply};
use swarm_node::{ImportRequest, Node, NodeState, Stay, names};
use swarm_plan::feeds::Held;
use swarm_sim::DiskTrouble;
use swarm_types::{
    ClusterName, Etag, HeaderList, ObjectKind, ObjectMeta, Stamp, StreamId, Uuid, Version,
};

use crate::cluster::{Client, Cluster, Lost, Shape, by_uuid, named, post, unnamed};

/// The world begins on 1 January 2026 at midnight; what comes was written in its first second.
const BEGIN: u64 = 1_767_225_600_000;
const HOUR: u64 = 3_600_000;

/// A version of the cluster `east`, with its body.
#[derive(Clone)]
struct Thing {
    import: Import,
    body: Bytes,
}

fn stamp(ms: u64, etag: u8) -> Stamp {
    Stamp { version: Version(BEGIN + ms), etag: Etag::from_bytes([etag; 16]) }
}

fn uuid(byte: u8) -> Uuid {
    Uuid::from_bytes([byte; 16])
}

/// Alias UUIDs of the domain `d` of `east` and of its bucket `b`.
const DOMAIN: u8 = 0xd1;
const BUCKET: u8 = 0xb1;

fn thing(identity: Identity, stamp: Stamp, body: &str) -> Thing {
    let mut headers = HeaderList::default();
    headers.push("X-Custom-META-Colour", "Blue");
    headers.push("content-TYPE", "text/plain");
    let mut digest = Md5::new();
    digest.update(b"content-TYPE: text/plain\r\nX-Custom-META-Colour: Blue\r\n\r\n");
    digest.update(body);
    let meta = ObjectMeta {
        kind: identity.kind,
        alias: identity.uuid.filter(|_| identity.kind.is_mutable()),
        cid: identity.cid,
        name: identity.name.clone(),
        cluster: "east".to_owned(),
        owner: Some("jane@acme".to_owned()),
        headers,
        length: body.len() as u64,
        digest: digest.finalize().into(),
    };
    Thing {
        import: Import { identity, stamp, meta },
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn place(domain: Option<&str>, bucket: Option<&str>) -> Place {
    Place { domain: domain.map(str::to_owned), bucket: bucket.map(str::to_owned) }
}

/// The domain `d` as `east` has it.
fn domain(alias: u8, ms: u64) -> Thing {
    let identity = Identity {
        kind: ObjectKind::Domain,
        uuid: Some(uuid(alias)),
        cid: Some(Uuid::ROOT),
        name: Some("d".to_owned()),
        place: Place::default(),
    };
    thing(identity, stamp(ms, alias), "")
}

/// The bucket `b` in a domain.
fn bucket(alias: u8, domain: u8, ms: u64) -> Thing {
    let identity = Identity {
        kind: ObjectKind::Bucket,
        uuid: Some(uuid(alias)),
        cid: Some(uuid(domain)),
        name: Some("b".to_owned()),
        place: place(Some("d"), None),
    };
    thing(identity, stamp(ms, alias), "")
}

fn object_in(bucket: u8, name: &str, stamp: Stamp, body: &str) -> Thing {
    let identity = Identity {
        kind: ObjectKind::Named,
        uuid: None,
        cid: Some(uuid(bucket)),
        name: Some(name.to_owned()),
        place: place(Some("d"), Some("b")),
    };
    thing(identity, stamp, body)
}

/// An object in the bucket `b` of `east`, whose ETag follows from its body.
fn object(name: &str, ms: u64, body: &str) -> Thing {
    object_in(BUCKET, name, stamp(ms, body.as_bytes()[0]), body)
}

fn immutable(byte: u8, body: &str) -> Thing {
    let identity = Identity {
        kind: ObjectKind::Immutable,
        uuid: Some(uuid(byte)),
        cid: None,
        name: None,
        place: Place::default(),
    };
    thing(identity, stamp(1, byte), body)
}

impl Thing {
    fn id(&self) -> StreamId {
        names::stream_of(&self.import.identity).expect("all that it needs")
    }

    /// The delete of what has this identity.
    fn deletion(&self, ms: u64) -> Deletion {
        let Identity { kind, uuid, cid, name, .. } = self.import.identity.clone();
        let name = name.filter(|_| kind == ObjectKind::Domain);
        Deletion { stream: self.id(), kind, stamp: stamp(ms, 0xff), alias: uuid, cid, name }
    }
}

fn route() -> Route {
    Route { from: ClusterName::from("east"), to: ClusterName::from("MAIN") }
}

async fn bring(
    node: Node,
    nonce: Option<Nonce>,
    thing: Thing,
) -> Result<Reply<WriteReply>, Refusal> {
    bring_as(false, node, nonce, thing).await
}

/// Brings a version as a node does that fetches it itself, or as one that sends it.
async fn bring_as(
    stay: bool,
    node: Node,
    nonce: Option<Nonce>,
    thing: Thing,
) -> Result<Reply<WriteReply>, Refusal> {
    let stays = stay && !thing.import.meta.kind.is_context();
    let stay = if stays { Stay::Always } else { Stay::IfNear };
    let request = ImportRequest { route: route(), import: thing.import, nonce, stay };
    let mut session = match node.begin_import(request).await? {
        Reply::Redirect(redirect) => return Ok(Reply::Redirect(redirect)),
        Reply::Served(session) => session,
    };
    for piece in thing.body.chunks(10_000) {
        session.write(Bytes::copy_from_slice(piece)).await?;
    }
    session.finish().await.map(Reply::Served)
}

/// Brings a version through a node, following redirects.
async fn brought(client: &Client, via: u8, thing: &Thing) -> Result<Result<(), Refusal>, Lost> {
    let answer = client.hop(via, |node, nonce| bring(node, nonce, thing.clone())).await?;
    Ok(answer.map(|reply| assert_eq!(reply.stamp, thing.import.stamp, "it keeps its place")))
}

async fn deleted(
    client: &Client,
    via: u8,
    deletion: &Deletion,
) -> Result<Result<(), Refusal>, Lost> {
    client
        .hop(via, |node, _| {
            let deletion = deletion.clone();
            async move { node.import_delete(&route(), deletion).await }
        })
        .await
}

impl Cluster {
    fn bring(&mut self, via: u8, thing: &Thing) -> Result<(), Refusal> {
        let (client, thing) = (self.client(), thing.clone());
        self.block_on(async move { brought(&client, via, &thing).await }).expect("they lived")
    }

    fn bring_delete(&mut self, via: u8, deletion: &Deletion) -> Result<(), Refusal> {
        let (client, deletion) = (self.client(), deletion.clone());
        self.block_on(async move { deleted(&client, via, &deletion).await }).expect("they lived")
    }

    fn probe(&mut self, via: u8, thing: &Thing) -> Held {
        let identity = thing.import.identity.clone();
        self.on(via, |node| async move { node.probe(&identity).await }).expect("an answer")
    }

    fn context(&mut self, via: u8, alias: u8) -> Context {
        self.on(via, move |node| async move { node.context_by_alias(uuid(alias)).await })
    }

    /// What every node answers to whoever asks for an object in `b`.
    fn everybody_reads(&mut self, name: &str) -> Result<Bytes, Refusal> {
        let mut answers: Vec<_> = (1..=3).map(|via| self.get(via, &named(name))).collect();
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    /// Three nodes to which `east` has brought its domain and its bucket.
    fn fed(seed: u64) -> Self {
        Self::fed_with(&Shape::of(3, seed))
    }

    fn fed_with(shape: &Shape<'_>) -> Self {
        let mut cluster = Self::shaped(shape);
        assert_eq!(cluster.bring(1, &domain(DOMAIN, 1)), Ok(()));
        assert_eq!(cluster.bring(2, &bucket(BUCKET, DOMAIN, 2)), Ok(()));
        cluster
    }
}

/// Setting Remote Synchronous Write: the copy has the same UUID and metadata as the original.
#[test]
fn what_arrives_is_stored_as_it_is_and_once() {
    let mut cluster = Cluster::fed(1);
    let cat = object("cat", 10, "meow");
    assert_eq!(cluster.probe(3, &cat), Held::Nothing);
    assert_eq!(cluster.bring(3, &cat), Ok(()));
    for via in 1..=3 {
        assert_eq!(cluster.get(via, &named("cat")).as_deref(), Ok(&b"meow"[..]));
        let intact = Held::Version { stamp: cat.import.stamp, intact: true };
        assert_eq!(cluster.probe(via, &cat), intact);
        assert_eq!(cluster.bring(via, &cat), Err(Refusal::Conflict), "it is there already");
    }
    let id = cat.id();
    let filed: Vec<_> = (1..=3).flat_map(|node| cluster.filed(node)).collect();
    let copies = filed.iter().filter(|filed| filed.id == id.as_bytes()).count();
    assert_eq!(copies, 2, "as many as a client's write would have");
    let import = cat.import.clone();
    let (stamp, meta) = (1..=3)
        .find_map(|node| {
            let (ticket, identity) = (
                cluster.on(node, move |node| async move { node.ticket(id) }),
                import.identity.clone(),
            );
            let back = Route { from: ClusterName::from("main"), to: ClusterName::from("east") };
            cluster.on(node, move |node| async move {
                let handed = node.hand_out(&back, &identity, ticket).await.ok()?;
                Some((handed.stamp, handed.meta))
            })
        })
        .expect("a node has it");
    assert_eq!((stamp, meta), (import.stamp, import.meta), "down to spelling, owner and origin");
}

/// A redirect would have its body sent a long way once more.
#[test]
fn what_arrives_stays_on_its_node_unless_another_has_far_more_room() {
    let mut cluster = Cluster::fed(12);
    for via in 1..=3 {
        let thing = immutable(0x20 + via, "here");
        let answer = cluster.on(via, move |node| bring(node, None, thing));
        assert!(matches!(answer, Ok(Reply::Served(_))), "{answer:?}");
    }
    let is_half_full = |cluster: &Cluster| {
        let volume = &cluster.status(1).volumes[0];
        2 * volume.used > volume.capacity
    };
    while !is_half_full(&cluster) {
        cluster.put(2, &unnamed(false, &[7; 1 << 20])).expect("stored");
    }
    cluster.wipe(3);
    let thing = immutable(0x30, "there");
    let answer = cluster.on(1, move |node| bring(node, None, thing));
    let Ok(Reply::Redirect(redirect)) = answer else { panic!("{answer:?}") };
    assert_eq!(redirect.node.0.octets()[3], 3);
}

/// Whatever the order, and through whichever node (rows 20 and 21 of the failure matrix of feeds).
#[test]
fn two_versions_and_a_later_delete_end_deleted_in_every_order() {
    let [one, two] = [object("x", 10, "one"), object("x", 20, "two")];
    let delete = one.deletion(30);
    for (seed, order) in
        (0..).zip([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    {
        let mut cluster = Cluster::fed(20 + seed);
        let mut newest = None;
        for (via, what) in (1..).zip(order) {
            let answer = match what {
                0 => cluster.bring(via, &one),
                1 => cluster.bring(via, &two),
                _ => cluster.bring_delete(via, &delete),
            };
            let is_newest = newest < Some(what);
            assert_eq!(
                answer,
                if is_newest { Ok(()) } else { Err(Refusal::Conflict) },
                "{order:?}"
            );
            newest = newest.max(Some(what));
        }
        assert_eq!(cluster.everybody_reads("x"), Err(Refusal::NotFound), "{order:?}");
        for node in 1..=3 {
            cluster.power_off(node);
        }
        for node in 1..=3 {
            cluster.start(node);
        }
        assert_eq!(cluster.everybody_reads("x"), Err(Refusal::NotFound), "{order:?}");
        assert_eq!(cluster.bring(2, &two), Err(Refusal::Conflict));
        assert_eq!(cluster.bring_delete(3, &delete), Err(Refusal::Conflict));
        assert_eq!(cluster.probe(1, &two), Held::Tombstone(delete.stamp));
    }
}

/// Both replicas of the source may bring a version at the same time. Whatever becomes of one of them, what the other was told is
/// true.
#[test]
fn of_two_that_bring_the_same_one_may_fail_and_what_the_other_stored_stays() {
    let (mut both, mut one) = (0, 0);
    for seed in 0..40 {
        let mut cluster = Cluster::fed(100 + seed);
        let thing = if seed % 2 == 0 { object("x", 10, "once") } else { immutable(7, "once") };
        let (first, second, nemesis) = (cluster.client(), cluster.client(), cluster.client());
        let env = cluster.env();
        let brought_thing = thing.clone();
        let victim = u8::try_from(seed % 3).expect("small") + 1;
        let wait = Duration::from_micros(300 + 70 * seed);
        let ((a, b), ()) = cluster.block_on(async move {
            let power = async {
                env.sleep(wait).await;
                nemesis.power_off(victim).await;
            };
            let (a, b) = (brought(&first, 1, &brought_thing), brought(&second, 2, &brought_thing));
            join(join(a, b), power).await
        });
        cluster.start(victim);
        let says_so = |answer: &Result<Result<(), Refusal>, Lost>| {
            matches!(answer, Ok(Ok(()) | Err(Refusal::Conflict)))
        };
        both += u32::from(says_so(&a) && says_so(&b));
        one += u32::from(says_so(&a) != says_so(&b));
        if says_so(&a) || says_so(&b) {
            let address = match thing.import.identity.uuid {
                Some(uuid) => Address::Unnamed(uuid),
                None => named("x"),
            };
            for via in 1..=3 {
                let read = cluster.get(via, &address);
                assert_eq!(read.as_deref(), Ok(&b"once"[..]), "seed {seed}: {a:?}, {b:?}");
            }
        }
        // Whoever was told nothing brings it again.
        let again = cluster.bring(3, &thing);
        assert!(matches!(again, Ok(()) | Err(Refusal::Conflict)), "seed {seed}: {again:?}");
    }
    assert!(both > 0 && one > 0, "in some world one of them fails: {both}, {one}");
}

#[test]
fn of_a_client_and_another_cluster_that_write_at_once_the_later_version_stands_everywhere() {
    let (mut theirs, mut ours) = (0, 0);
    for seed in 0..30 {
        let mut cluster = Cluster::fed(200 + seed);
        // The clock of the other cluster is ahead in some worlds and behind in others.
        let ms = if seed % 3 == 0 { HOUR } else { 10 };
        let thing = object("x", ms, "theirs");
        let (writer, feed, env) = (cluster.client(), cluster.client(), cluster.env());
        let brought_thing = thing.clone();
        let wait = Duration::from_micros(50 * seed);
        let (written, answer) = cluster.block_on(async move {
            let feed = async {
                env.sleep(wait).await;
                brought(&feed, 2, &brought_thing).await
            };
            join(writer.put(1, &post(named("x"), b"ours")), feed).await
        });
        let written = written.expect("they lived");
        let answer = answer.expect("they lived");
        let read = cluster.everybody_reads("x").expect("one of them");
        let acknowledged = written.as_ref().ok().map(|reply| reply.stamp);
        let wins = acknowledged.is_some_and(|stamp| stamp > thing.import.stamp);
        assert_eq!(&read[..], if wins { &b"ours"[..] } else { b"theirs" }, "seed {seed}");
        if let Err(refusal) = written {
            let beaten = matches!(refusal, Refusal::Conflict | Refusal::Unknown { .. });
            assert!(beaten, "seed {seed}: {refusal}");
        }
        assert!(matches!(answer, Ok(()) | Err(Refusal::Conflict)), "seed {seed}: {answer:?}");
        theirs += u32::from(!wins);
        ours += u32::from(wins);
        // Read-your-write, whatever clock the version came from: an update is above it.
        let update = cluster.put(3, &post(named("x"), b"update")).expect("stored");
        assert!(update.stamp > thing.import.stamp, "seed {seed}");
        assert_eq!(cluster.everybody_reads("x").as_deref(), Ok(&b"update"[..]));
    }
    assert!(theirs > 0 && ours > 0, "{theirs}, {ours}");
}

#[test]
fn of_a_delete_here_and_a_version_from_elsewhere_the_later_stands_everywhere() {
    for seed in 0..30 {
        let mut cluster = Cluster::fed(300 + seed);
        assert_eq!(cluster.bring(1, &object("x", 10, "old")), Ok(()));
        let ms = if seed % 2 == 0 { HOUR } else { 20 };
        let thing = object("x", ms, "new");
        let (deleter, feed, env) = (cluster.client(), cluster.client(), cluster.env());
        let brought_thing = thing.clone();
        let wait = Duration::from_micros(50 * seed);
        let (gone, answer) = cluster.block_on(async move {
            let feed = async {
                env.sleep(wait).await;
                brought(&feed, 2, &brought_thing).await
            };
            join(deleter.delete(1, &named("x")), feed).await
        });
        assert_eq!(gone, Ok(Ok(())), "seed {seed}");
        let answer = answer.expect("they lived");
        assert!(matches!(answer, Ok(()) | Err(Refusal::Conflict)), "seed {seed}: {answer:?}");
        // The delete comes after whatever it knew of.
        match cluster.probe(3, &thing) {
            Held::Tombstone(stamp) => {
                assert!(stamp > thing.import.stamp || ms == 20, "seed {seed}");
                assert_eq!(cluster.everybody_reads("x"), Err(Refusal::NotFound), "seed {seed}");
                let again = cluster.bring(1, &thing);
                assert_eq!(again, Err(Refusal::Conflict), "seed {seed}");
            }
            held => {
                let stamp = thing.import.stamp;
                assert_eq!(held, Held::Version { stamp, intact: true }, "seed {seed}");
                assert_eq!(cluster.everybody_reads("x").as_deref(), Ok(&b"new"[..]));
            }
        }
    }
}

/// Objects, buckets and deletes: each local change comes after what arrived, though its clock is an hour behind.
#[test]
fn whatever_is_changed_here_comes_after_what_arrived_from_a_fast_clock() {
    let mut cluster = Cluster::fed(2);
    let [x, y] = ["x", "y"].map(|name| object(name, HOUR, "east"));
    assert_eq!((cluster.bring(1, &x), cluster.bring(1, &y)), (Ok(()), Ok(())));
    let updated = cluster.put(2, &post(named("x"), b"main").into_put()).expect("updated");
    assert!(updated.stamp > x.import.stamp && updated.replaced);
    assert_eq!(cluster.everybody_reads("x").as_deref(), Ok(&b"main"[..]));
    assert_eq!(cluster.bring(3, &x), Err(Refusal::Conflict));
    cluster.delete(3, &named("y")).expect("deleted");
    assert_eq!(cluster.everybody_reads("y"), Err(Refusal::NotFound));
    assert_eq!(cluster.bring(2, &y), Err(Refusal::Conflict));
    let renewed = bucket(BUCKET, DOMAIN, HOUR);
    assert_eq!(cluster.bring(1, &renewed), Ok(()));
    let updated = cluster.put(2, &post(Address::Bucket("b".to_owned()), b"")).expect("updated");
    assert_eq!(updated.alias, Some(uuid(BUCKET)), "its members are filed under it");
    assert!(updated.stamp > renewed.import.stamp);
}

#[test]
fn a_version_that_is_there_in_damaged_replicas_only_is_stored_again() {
    let mut cluster = Cluster::fed(3);
    let body: String = (0..50_000_u32).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let thing = object("x", 10, &body);
    assert_eq!(cluster.bring(1, &thing), Ok(()));
    for node in 1..=3 {
        if cluster.filed(node).iter().any(|filed| filed.id == thing.id().as_bytes()) {
            cluster.rot_all(node);
        }
    }
    for via in 1..=3 {
        assert!(matches!(cluster.get(via, &named("x")), Err(Refusal::Unavailable { .. })));
    }
    let damaged = Held::Version { stamp: thing.import.stamp, intact: false };
    assert_eq!(cluster.probe(2, &thing), damaged);
    assert_eq!(cluster.bring(2, &thing), Ok(()));
    // A failure is not to print 50,000 numbers.
    let read = cluster.everybody_reads("x").expect("it is stored again");
    assert!(read == body.as_bytes());
    assert_eq!(cluster.bring(1, &thing), Err(Refusal::Conflict));
}

/// "It is there already" makes the source forget about it.
#[test]
fn it_is_there_already_is_said_where_it_is_there_and_nowhere_else() {
    let mut cluster = Cluster::fed(4);
    let x = |ms, body| object("x", ms, body);
    assert_eq!(cluster.bring(1, &x(20, "b")), Ok(()));
    // Older, the same, of the same millisecond with a smaller ETag.
    for (ms, body) in [(10, "z"), (20, "b"), (20, "a")] {
        assert_eq!(cluster.bring(2, &x(ms, body)), Err(Refusal::Conflict), "{ms} {body}");
    }
    assert_eq!(cluster.bring(3, &x(20, "c")), Ok(()), "a larger ETag comes after it");
    assert_eq!(cluster.everybody_reads("x").as_deref(), Ok(&b"c"[..]));
    assert_eq!(cluster.bring_delete(1, &x(20, "c").deletion(15)), Err(Refusal::Conflict));
    assert_eq!(cluster.bring_delete(1, &x(20, "c").deletion(30)), Ok(()));
    assert_eq!(cluster.bring(2, &x(30, "z")), Err(Refusal::Conflict));
    assert_eq!(cluster.bring(3, &x(31, "d")), Ok(()), "created again after the delete");
    assert_eq!(cluster.everybody_reads("x").as_deref(), Ok(&b"d"[..]));
    // What did not arrive whole, or not as it was, is not there.
    let mut broken = x(40, "e");
    broken.import.meta.digest = [0; 16];
    assert_eq!(cluster.bring(1, &broken), Err(Refusal::DigestMismatch));
    let mut short = x(40, "e");
    short.import.meta.length = 2;
    assert_eq!(cluster.bring(1, &short), Err(Refusal::ShortBody { got: 1, announced: 2 }));
    assert_eq!(cluster.everybody_reads("x").as_deref(), Ok(&b"d"[..]));
    let other = Route { from: ClusterName::from("east"), to: ClusterName::from("north") };
    let refused = cluster.on(1, move |node| async move {
        let request = ImportRequest {
            route: other,
            import: x(40, "e").import,
            nonce: None,
            stay: Stay::IfNear,
        };
        node.begin_import(request).await.map(drop)
    });
    assert_eq!(refused, Err(Refusal::WrongCluster { cluster: "main".to_owned() }));
}

/// SCSP WRITE: an object needs its bucket, a bucket its domain; what has no name needs neither.
#[test]
fn what_belongs_to_a_context_that_is_missing_waits_for_it() {
    let mut cluster = Cluster::of(3, 5);
    let missing = |answer| matches!(answer, Err(Refusal::MissingContext { .. }));
    let (cat, lone) = (object("cat", 10, "meow"), immutable(9, "alone"));
    assert_eq!(cluster.bring(2, &lone), Ok(()));
    assert!(missing(cluster.bring(1, &cat)));
    assert!(missing(cluster.bring(1, &bucket(BUCKET, DOMAIN, 2))));
    assert_eq!(cluster.context(1, BUCKET), Context::Gone);
    assert_eq!(cluster.bring(1, &domain(DOMAIN, 1)), Ok(()));
    assert!(missing(cluster.bring(1, &cat)));
    assert_eq!(cluster.bring(1, &bucket(BUCKET, DOMAIN, 2)), Ok(()));
    // Whoever does not know what the bucket is called finds it too.
    let mut nameless = cat.clone();
    nameless.import.identity.place = Place::default();
    assert_eq!(cluster.bring(3, &nameless), Ok(()));
    assert_eq!(cluster.everybody_reads("cat").as_deref(), Ok(&b"meow"[..]));
    for via in 1..=3 {
        let Context::Found(found) = cluster.context(via, BUCKET) else { panic!("through {via}") };
        let (kind, parent) = (ObjectKind::Bucket, Some(uuid(DOMAIN)));
        assert_eq!((found.kind, found.name.as_str(), found.parent), (kind, "b", parent));
        assert_eq!(found.stream, bucket(BUCKET, DOMAIN, 2).id());
    }
    assert_eq!(cluster.bring_delete(2, &bucket(BUCKET, DOMAIN, 2).deletion(50)), Ok(()));
    for via in 1..=3 {
        let Context::Deleted(was) = cluster.context(via, BUCKET) else { panic!("through {via}") };
        // What it was in is remembered, its name need not be.
        assert_eq!((was.kind, was.parent), (ObjectKind::Bucket, Some(uuid(DOMAIN))));
    }
    assert!(missing(cluster.bring(3, &object("dog", 60, "woof"))));
}

/// Whoever could have the context is away: nobody says that it is gone.
#[test]
fn a_context_is_unknown_while_somebody_who_may_have_it_is_silent() {
    let mut cluster = Cluster::fed(6);
    let id = bucket(BUCKET, DOMAIN, 2).id();
    let holds =
        |cluster: &Cluster, node| cluster.filed(node).iter().any(|filed| filed.id == id.as_bytes());
    let away = (1..=3).find(|node| !holds(&cluster, *node)).expect("two of three have it");
    for node in (1..=3).filter(|node| *node != away) {
        cluster.power_off(node);
    }
    assert_eq!(cluster.context(away, BUCKET), Context::Unknown);
}

/// Replicating Domains to Other Clusters: a domain created independently in both clusters is two domains of one name.
#[test]
fn two_contexts_of_one_name_are_both_kept_and_the_first_one_answers() {
    let mut cluster = Cluster::with_bucket(3, 7);
    cluster.put(1, &post(named("x"), b"ours")).expect("stored");
    // Later than ours, and it must not take its place all the same.
    let (theirs, b) = (domain(DOMAIN, HOUR), bucket(BUCKET, DOMAIN, HOUR));
    assert_eq!(cluster.probe(1, &theirs), Held::Nothing, "of this one there is nothing");
    assert_eq!(cluster.bring(1, &theirs), Ok(()));
    assert_eq!(cluster.bring(2, &b), Ok(()));
    let x = object("x", HOUR, "theirs");
    assert_eq!(cluster.bring(3, &x), Ok(()));
    let intact = |thing: &Thing| Held::Version { stamp: thing.import.stamp, intact: true };
    for via in 1..=3 {
        assert_eq!(cluster.bring(via, &theirs), Err(Refusal::Conflict));
        assert_eq!(cluster.probe(via, &theirs), intact(&theirs));
        assert_eq!(cluster.probe(via, &x), intact(&x));
        assert_eq!(cluster.get(via, &named("x")).as_deref(), Ok(&b"ours"[..]));
        let Context::Found(found) = cluster.context(via, DOMAIN) else { panic!("through {via}") };
        assert_eq!(found.stream, names::collided_stream(uuid(DOMAIN)));
    }
    assert!((1..=3).any(|node| cluster.status(node).counters.contains_key("context collisions")));
    // Its delete is not ours.
    assert_eq!(cluster.bring_delete(1, &theirs.deletion(2 * HOUR)), Ok(()));
    let Context::Deleted(was) = cluster.context(2, DOMAIN) else { panic!("it is remembered") };
    assert_eq!(was.name.as_deref(), Some("d"));
    assert_eq!(cluster.everybody_reads("x").as_deref(), Ok(&b"ours"[..]));
    cluster.put(2, &post(named("x"), b"still ours")).expect("stored");
}

/// Trouble with one object says nothing of others: a feed that brings it is not to take the whole cluster for one that takes
/// nothing. A node that lets nobody in says so otherwise.
#[test]
fn what_fails_when_it_has_begun_is_the_trouble_of_one_object() {
    for (seed, trouble) in
        [(30, DiskTrouble::FailingWrites(1_000_000)), (31, DiskTrouble::FailingSyncs(1_000_000))]
    {
        let mut cluster = Cluster::of(1, seed);
        for context in [domain(DOMAIN, 1), bucket(BUCKET, DOMAIN, 2)] {
            assert_eq!(cluster.bring(1, &context), Ok(()));
        }
        let disk = cluster.disk(1, 0);
        let _ = cluster.world().trouble_disk(disk, trouble).done();
        let refused = cluster.bring(1, &object("cat", 10, "meow"));
        assert!(matches!(refused, Err(Refusal::NotTaken { .. })), "{trouble:?}: {refused:?}");
    }
    let mut cluster = Cluster::fed(32);
    for node in 1..=3 {
        let disk = cluster.disk(node, 0);
        let _ = cluster.world().trouble_disk(disk, DiskTrouble::FailingSyncs(1_000_000)).done();
    }
    let deletion = bucket(BUCKET, DOMAIN, 2).deletion(50);
    let refused = cluster.bring_delete(1, &deletion);
    assert!(matches!(refused, Err(Refusal::NotTaken { .. })), "{refused:?}");
    let closed = cluster.on(2, move |node| async move {
        node.stop().await;
        node.import_delete(&route(), deletion).await.map(drop)
    });
    assert!(matches!(closed, Err(Refusal::Unavailable { .. })), "{closed:?}");
}

/// A domain on volumes that are expected back is not gone: a delete of something in it would be carried whatever feeds select.
#[test]
fn a_context_is_gone_when_no_volume_that_may_have_it_is_expected_back() {
    let mut cluster = Cluster::of(3, 12);
    assert_eq!(cluster.bring(1, &domain(DOMAIN, 1)), Ok(()));
    let stream = names::domain_stream("d");
    let has = |cluster: &Cluster, node| {
        cluster.filed(node).iter().any(|filed| filed.id == stream.as_bytes())
    };
    let holders: Vec<u8> = (1..=3).filter(|node| has(&cluster, *node)).collect();
    let other = (1..=3).find(|node| !holders.contains(node)).expect("two copies on three nodes");
    assert_eq!(holders.len(), 2);
    for node in &holders {
        cluster.stop(*node);
    }
    cluster.run_for(Duration::from_secs(120));
    assert_eq!(cluster.context(other, DOMAIN), Context::Unknown, "stopped for maintenance");
    cluster.run_for(Duration::from_secs(4 * 3600));
    assert_eq!(cluster.context(other, DOMAIN), Context::Gone, "given up");
    for node in &holders {
        cluster.start(*node);
    }
    cluster.run_for(Duration::from_secs(120));
    assert!(matches!(cluster.context(other, DOMAIN), Context::Found(_)));
}

/// In one cluster one domain has the name at a time: a later one was made when the earlier was gone.
#[test]
fn a_context_that_was_deleted_and_created_again_takes_the_place_of_the_first() {
    let mut cluster = Cluster::fed(8);
    let again = domain(0xd2, 500);
    assert_eq!(cluster.bring(2, &again), Ok(()));
    let Context::Found(found) = cluster.context(1, 0xd2) else { panic!("it is there") };
    assert_eq!(found.stream, names::domain_stream("d"));
    // A node that has not heard of the second, if there is one, still knows what the first was called.
    match cluster.context(1, DOMAIN) {
        Context::Deleted(was) => assert_eq!(was.name.as_deref(), Some("d")),
        known => assert_eq!(known, Context::Gone),
    }
    assert_eq!(cluster.bring(3, &domain(DOMAIN, 1)), Err(Refusal::Conflict));
    // After its delete the name is free for whoever comes later.
    assert_eq!(cluster.bring_delete(1, &again.deletion(600)), Ok(()));
    assert_eq!(cluster.bring(1, &domain(0xd3, 700)), Ok(()));
    let Context::Found(found) = cluster.context(3, 0xd3) else { panic!("it is there") };
    assert_eq!(found.stream, names::domain_stream("d"));
}

/// A delete gives way to nothing older, be it of another domain: what is set aside for it is told of.
#[test]
fn a_context_older_than_the_delete_of_a_namesake_is_set_aside_and_told_of() {
    let mut cluster = Cluster::fed(12);
    assert_eq!(cluster.bring_delete(1, &domain(DOMAIN, 1).deletion(600)), Ok(()));
    assert_eq!(cluster.bring(1, &domain(0xd4, 500)), Ok(()));
    let Context::Found(found) = cluster.context(2, 0xd4) else { panic!("it is there") };
    assert_eq!(found.stream, names::collided_stream(uuid(0xd4)));
    let told = |node| cluster.status(node).counters.contains_key("contexts set aside");
    assert!((1..=3).any(told));
}

/// A delete is remembered where nothing was, on two nodes, so that a late version does not come to life.
#[test]
fn a_delete_that_comes_first_is_remembered() {
    let mut cluster = Cluster::fed(9);
    let thing = immutable(5, "late");
    assert_eq!(cluster.bring_delete(1, &thing.deletion(50)), Ok(()));
    let remember = |cluster: &Cluster| {
        let knows =
            |node: &u8| cluster.filed(*node).iter().any(|filed| filed.id == thing.id().as_bytes());
        (1..=3).filter(knows).collect::<Vec<_>>()
    };
    let nodes = remember(&cluster);
    assert_eq!(nodes.len(), 2);
    cluster.wipe(nodes[0]);
    assert_eq!(cluster.bring(nodes[0], &thing), Err(Refusal::Conflict));
    // Brought once more, it is on two nodes again.
    assert_eq!(cluster.bring_delete(3, &thing.deletion(50)), Ok(()));
    assert_eq!(remember(&cluster).len(), 2);
    assert_eq!(cluster.bring_delete(3, &thing.deletion(50)), Err(Refusal::Conflict));
}

/// What arrives needs one replica to be taken: strict protection is for clients, and health makes the rest.
#[test]
fn one_node_that_is_left_takes_what_arrives_and_the_others_get_theirs_later() {
    let settings = [("health.cycleTime", "4"), ("health.visitsPerSecond", "1000")];
    let mut cluster = Cluster::fed_with(&Shape { settings: &settings, ..Shape::of(3, 10) });
    let thing = immutable(6, "alone");
    let client = cluster.put(1, &unnamed(false, b"client's")).expect("stored");
    cluster.power_off(2);
    cluster.power_off(3);
    let refused = cluster.put(1, &unnamed(false, b"client's")).map(drop);
    assert!(matches!(refused, Err(Refusal::TooFewNodes { .. })), "{refused:?}");
    assert_eq!(cluster.bring(1, &thing), Ok(()));
    cluster.start(2);
    cluster.start(3);
    cluster.run_for(Duration::from_secs(120));
    let id = thing.id();
    let holders = (1..=3)
        .filter(|node| cluster.filed(*node).iter().any(|filed| filed.id == id.as_bytes()))
        .count();
    assert_eq!(holders, 2);
    assert_eq!(cluster.get(3, &by_uuid(&client)).as_deref(), Ok(&b"client's"[..]));
}

/// Brings everything in an order of its own, each until it is said that it is here.
async fn deliver_all(client: Client, env: Env, things: Vec<Delivery>) {
    let below = |bound: u64| env.random_u64("deliver") % bound;
    let mut left = things;
    while !left.is_empty() {
        let next = usize::try_from(below(left.len() as u64)).expect("small");
        let via = u8::try_from(below(3)).expect("small") + 1;
        let answer = if client.node(via).is_none() {
            Err(Lost)
        } else {
            match &left[next] {
                Delivery::Put(thing) => brought(&client, via, thing).await,
                Delivery::Delete(deletion) => deleted(&client, via, deletion).await,
            }
        };
        if matches!(answer, Ok(Ok(()) | Err(Refusal::Conflict))) {
            left.swap_remove(next);
        } else {
            env.sleep(Duration::from_millis(below(200))).await;
        }
    }
}

/// What feeds bring.
#[derive(Clone)]
enum Delivery {
    Put(Box<Thing>),
    Delete(Deletion),
}

/// Takes one node after the other away in the middle of something.
async fn nemesis(client: Client, env: Env) {
    let below = |bound: u64| env.random_u64("nemesis") % bound;
    for _ in 0..6 {
        env.sleep(Duration::from_micros(below(60_000))).await;
        let victim = u8::try_from(below(3)).expect("small") + 1;
        if below(2) == 0 {
            client.kill(victim).await
        } else {
            client.power_off(victim).await
        }
        env.sleep(Duration::from_millis(below(400))).await;
        client.start(victim).await;
        while client.node(victim).is_none_or(|node| node.state() != NodeState::Ok) {
            env.sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The flood of a feed that comes back after an outage: several nodes of the source bring everything, in any order, while nodes
/// here come and go. What was said to be here is here in the end, and the newest stands.
#[test]
fn whatever_is_brought_while_nodes_come_and_go_the_newest_stands_in_the_end() {
    let names = ["w", "x", "y", "z"];
    let put = |thing| Delivery::Put(Box::new(thing));
    for seed in 0..40 {
        let mut cluster = Cluster::fed(1000 + seed);
        let mut all: Vec<Delivery> = Vec::new();
        for (nth, name) in (0..).zip(names) {
            let body = |version: u64| format!("{version} of {name}");
            all.extend((1..5).map(|version| put(object(name, 10 * version, &body(version)))));
            // Deleted in the end, in between, or not at all; or written again a millisecond later.
            let at = [None, Some(25), Some(45), Some(39)][nth];
            all.extend(at.map(|ms| Delivery::Delete(object(name, 0, "x").deletion(ms))));
        }
        all.push(put(immutable(3, "once")));
        let env = cluster.env();
        let feeds = (0..3).map(|_| deliver_all(cluster.client(), env.clone(), all.clone()));
        let everybody = join(join_all(feeds.collect::<Vec<_>>()), nemesis(cluster.client(), env));
        cluster.block_on(async move {
            everybody.await;
        });
        cluster.run_for(Duration::from_secs(25));
        for (name, is_there) in names.into_iter().zip([true, true, false, true]) {
            let read = cluster.everybody_reads(name);
            let newest = format!("4 of {name}");
            let expected = if is_there { Ok(Bytes::from(newest)) } else { Err(Refusal::NotFound) };
            assert_eq!(read, expected, "seed {seed}: {name}");
        }
        for via in 1..=3 {
            let read = cluster.get(via, &Address::Unnamed(uuid(3)));
            assert_eq!(read.as_deref(), Ok(&b"once"[..]), "seed {seed}");
        }
    }
}

/// A ticket is leave for one object on one node, and nobody else's word counts.
#[test]
fn what_is_handed_out_needs_a_ticket_of_this_object_from_this_node() {
    let mut cluster = Cluster::fed(11);
    let (x, y) = (object("x", 10, "fetched"), object("y", 10, "other"));
    assert_eq!((cluster.bring(1, &x), cluster.bring(1, &y)), (Ok(()), Ok(())));
    let holds = |cluster: &Cluster, node: u8, thing: &Thing| {
        cluster.filed(node).iter().any(|filed| filed.id == thing.id().as_bytes())
    };
    let here = (1..=3).find(|node| holds(&cluster, *node, &x)).expect("somebody has it");
    let (ours, its) = (x.id(), y.id());
    let good = cluster.on(here, move |node| async move { node.ticket(ours) });
    let others = cluster.on(here, move |node| async move { node.ticket(its) });
    let elsewhere = cluster.on(here % 3 + 1, move |node| async move { node.ticket(ours) });
    let back = |from: &str| Route { from: from.into(), to: ClusterName::from("east") };
    let mut fetch = |from: &str, ticket| {
        let (identity, back) = (x.import.identity.clone(), back(from));
        cluster.on(here, move |node| async move {
            let mut handed = node.hand_out(&back, &identity, ticket).await?;
            let mut body = Vec::new();
            while let Some(piece) = handed.body.next().await.expect("intact") {
                body.extend_from_slice(&piece);
            }
            Ok((handed.stamp, body))
        })
    };
    assert_eq!(fetch("Main", good), Ok((x.import.stamp, b"fetched".to_vec())));
    assert_eq!(fetch("main", others), Err(Refusal::NotFound));
    assert_eq!(fetch("main", elsewhere), Err(Refusal::NotFound));
    let wrong = Refusal::WrongCluster { cluster: "main".to_owned() };
    assert_eq!(fetch("west", good), Err(wrong));
}
