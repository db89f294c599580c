//! Direct POST over real sockets of the simulated world, to a server that answers as it is told.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use swarm_client::{Auth, Secret};
use swarm_env::{BoxFuture, Env, Stream};
use swarm_feeds::backoff::ObjectTrouble;
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::definition::{RawFeed, check};
use swarm_feeds::result::Delivery;
use swarm_feeds::wire::{
    Deletion, Identity, Place, encode_held, read_delete, read_import, read_probe,
};
use swarm_feeds::{Broken, FeedTarget, Manner, Parcel, PostTarget, Pull, Shipment};
use swarm_plan::feeds::Held;
use swarm_sim::Sim;
use swarm_types::{ClusterName, ObjectKind, SERVER, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kit::{Heard, MINUTE, SECOND, alias, named, read_heard, stamp, stream, to, with};

const WEST: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 2, 0, 1), Ipv4Addr::new(10, 2, 0, 2)];

const PROBE: Manner = Manner { probe: true, at_once: false };

/// What a server does.
enum Reply {
    /// Reads the body, then answers with this status and these lines.
    Say(u16, String),
    /// Answers at once, and closes.
    AtOnce(u16),
    /// Reads so much of the body, and closes.
    Cut(usize),
    /// Never answers.
    Silence,
}

type Script = fn(&Heard) -> Reply;
type Log = Arc<Mutex<Vec<Heard>>>;

fn say(status: u16) -> Reply {
    Reply::Say(status, String::new())
}

/// What a node of the cluster `west` says of itself.
fn welcome() -> Reply {
    let lines = "Castor-System-Cluster: west\r\nServer: CAStor Cluster/12.1.0\r\n";
    Reply::Say(200, lines.to_owned())
}

async fn listen(env: Env, host: usize, script: Script, log: Log) {
    let listener = env.net().listen(80).await.unwrap();
    let mut connection = 0;
    while let Ok((stream, _)) = listener.accept().await {
        connection += 1;
        let log = Arc::clone(&log);
        drop(env.spawn("connection", async move {
            drop(serve(stream, host, connection, script, &log).await);
        }));
    }
}

async fn serve(
    mut stream: Stream,
    host: usize,
    connection: usize,
    script: Script,
    log: &Log,
) -> std::io::Result<()> {
    let mut unread = Vec::new();
    loop {
        let Some(mut heard) = read_heard(&mut stream, &mut unread, host, connection).await? else {
            return Ok(());
        };
        let length = heard.headers.text("content-length").map_or(0, |text| text.parse().unwrap());
        let reply = script(&heard);
        let wanted: usize = match reply {
            Reply::Say(..) => length,
            Reply::Cut(bytes) => bytes,
            Reply::AtOnce(_) | Reply::Silence => 0,
        };
        if wanted > 0 && heard.headers.text("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while unread.len() < wanted && stream.read_buf(&mut unread).await? > 0 {}
        heard.body = unread.drain(..wanted.min(unread.len())).collect();
        let whole = heard.body.len() == length;
        log.lock().unwrap().push(heard);
        match reply {
            Reply::Say(status, lines) if whole => {
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{lines}\r\n");
                stream.write_all(answer.as_bytes()).await?;
            }
            Reply::AtOnce(status) => {
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await?;
                return stream.shutdown().await;
            }
            Reply::Silence => return std::future::pending().await,
            Reply::Say(..) | Reply::Cut(_) => return Ok(()),
        }
    }
}

/// A target, and what its hosts have heard.
struct Setup {
    env: Env,
    world: swarm_sim::SimHandle,
    west: swarm_sim::HostId,
    target: Arc<PostTarget>,
    log: Log,
}

impl Setup {
    fn heard(&self) -> Vec<Heard> {
        self.log.lock().unwrap().clone()
    }

    fn verbs(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.verb).collect()
    }

    async fn deliver(&self, parcel: &Parcel) -> Delivery {
        self.target.deliver(parcel.clone(), Manner::default()).await
    }
}

/// Tells a story between a feed of these hosts and servers that follow a script.
fn tell<F, Fut>(hosts: &[&str], script: Script, story: F)
where
    F: FnOnce(Setup) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut sim = Sim::seeded(1);
    let world = sim.handle();
    let log = Log::default();
    let servers = [0, 1].map(|nth| world.add_host(&format!("west{nth}"), WEST[nth]));
    for (nth, server) in servers.into_iter().enumerate() {
        let (env, log) = (world.env(server), Arc::clone(&log));
        drop(world.spawn_on(server, "listen", listen(env, nth, script, log)));
    }
    let host = world.add_host("east", Ipv4Addr::new(10, 1, 0, 1));
    let env = world.env(host);
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let raw = RawFeed { hosts: Some(hosts), ..to("west") };
    let definition = check(raw, &ClusterName::from("east")).unwrap();
    let admin = Auth::Digest { user: "admin".to_owned(), secret: Secret::Clear("key".to_owned()) };
    let target = PostTarget::new(&env, ClusterName::from("east"), &definition, Some(admin));
    let setup = Setup { env, world, west: servers[0], target: Arc::new(target), log };
    let world = setup.world.clone();
    sim.block_on(host, async move { story(setup).await });
    assert!(world.panics().is_empty(), "{:?}", world.panics());
}

/// A body of this length, which breaks off there.
struct Body(u64, u64);

impl Pull for Body {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(async move {
            if self.0 <= self.1 {
                return Err(Broken);
            }
            let piece = self.0.min(30_000);
            self.0 -= piece;
            let bytes = vec![7; usize::try_from(piece).unwrap()];
            Ok((piece > 0).then(|| Bytes::from(bytes)))
        })
    }
}

fn parcel_that_breaks(id: StreamId, length: u64, at: u64) -> Parcel {
    let filed = with(named(id, stamp(1_000), alias(2)), |meta| {
        meta.length = length;
        meta.headers.push("X-Acme-Meta-Page", "1");
    });
    let swarm_feeds::What::Version(meta) = filed.what else { panic!("it is a version") };
    let place = Place { domain: Some("acme.example".to_owned()), bucket: Some("b".to_owned()) };
    Parcel::Version(Box::new(Shipment {
        id,
        identity: Identity::of(id, &meta, place),
        stamp: stamp(1_000),
        meta,
        open: Arc::new(move || Some(Box::new(Body(length + 1, at + 1)))),
    }))
}

/// A version whose body is whole.
fn parcel(length: u64) -> Parcel {
    let Parcel::Version(shipment) = parcel_that_breaks(stream(1), length, 0) else {
        panic!("it is a version")
    };
    let open = move || -> Option<Box<dyn Pull>> { Some(Box::new(Whole(length))) };
    Parcel::Version(Box::new(Shipment { open: Arc::new(open), ..*shipment }))
}

struct Whole(u64);

impl Pull for Whole {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        let piece = self.0.min(30_000);
        self.0 -= piece;
        let bytes = vec![7; usize::try_from(piece).unwrap()];
        Box::pin(async move { Ok((piece > 0).then(|| Bytes::from(bytes))) })
    }
}

#[test]
fn a_version_arrives_as_it_is_and_the_host_is_asked_first_who_it_is() {
    let script: Script = |heard| if heard.verb == "GET" { welcome() } else { say(201) };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        for length in [0, 100, 60_000, 1_000_000] {
            let sent = parcel(length);
            assert_eq!(setup.deliver(&sent).await, Delivery::Done { already: false });
            let last = setup.heard().pop().unwrap();
            let (route, import) = read_import(&last.path, &last.query, &last.headers).unwrap();
            assert_eq!((route.from.as_str(), route.to.as_str()), ("east", "west"));
            let Parcel::Version(sent) = sent else { panic!("it is a version") };
            assert_eq!((import.identity, import.stamp), (sent.identity, sent.stamp));
            assert_eq!((import.meta, last.body.len() as u64), (sent.meta, length));
        }
        assert_eq!(setup.verbs(), ["GET", "POST", "POST", "POST", "POST"]);
        let connections: Vec<usize> = setup.heard().iter().map(|heard| heard.connection).collect();
        assert_eq!(connections, [1; 5], "one connection serves them all");
    });
}

#[test]
fn what_the_target_has_is_asked_for_without_the_body() {
    let script: Script = |heard| {
        if heard.verb == "GET" {
            return welcome();
        }
        if heard.verb == "POST" {
            return say(201);
        }
        let (_, identity) = read_probe(&heard.path, &heard.query, &heard.headers).unwrap();
        assert_eq!(identity.kind, ObjectKind::Named);
        let held = Held::Version { stamp: stamp(1_000), intact: true };
        let lines = encode_held(held).iter().fold(String::new(), |lines, header| {
            format!("{lines}{}: {}\r\n", header.name, header.text().unwrap())
        });
        Reply::Say(200, lines)
    };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        let there = setup.target.deliver(parcel(100), PROBE).await;
        assert_eq!(there, Delivery::Done { already: true });
        let Parcel::Version(newer) = parcel(100) else { panic!("it is a version") };
        let newer = Parcel::Version(Box::new(Shipment { stamp: stamp(2_000), ..*newer }));
        let stored = setup.target.deliver(newer, PROBE).await;
        assert_eq!(stored, Delivery::Done { already: false });
        assert_eq!(setup.verbs(), ["GET", "HEAD", "HEAD", "POST"]);
    });
}

#[test]
fn a_conflict_is_told_before_the_body_is_sent() {
    let script: Script = |heard| if heard.verb == "GET" { welcome() } else { Reply::AtOnce(409) };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        let there = setup.deliver(&parcel(1_000_000)).await;
        assert_eq!(there, Delivery::Done { already: true });
        let last = setup.heard().pop().unwrap();
        assert_eq!(last.headers.text("expect"), Some("100-continue"));
    });
}

#[test]
fn answers_mean_what_they_say() {
    fn answer(heard: &Heard) -> Reply {
        if heard.verb == "GET" {
            return welcome();
        }
        let length: usize = heard.headers.text("castor-system-length").unwrap().parse().unwrap();
        match length {
            412 => say(412),
            413 => Reply::Say(412, "Castor-System-Cluster: north\r\n".to_owned()),
            503 => Reply::Say(503, "Retry-After: 7\r\n".to_owned()),
            status => say(u16::try_from(status).unwrap()),
        }
    }
    tell(&["10.2.0.1"], answer, async |setup: Setup| {
        let refused = Delivery::Object { status: 400, trouble: ObjectTrouble::Transient };
        let cases = [
            (412, Delivery::Context),
            (400, refused),
            (507, Delivery::Target(TargetTrouble::Full)),
            (403, Delivery::Target(TargetTrouble::Auth(403))),
            (502, Delivery::Target(TargetTrouble::Refused)),
            (503, Delivery::Target(TargetTrouble::Busy { retry_after: 7 * SECOND })),
            // Last: the address belongs to another cluster by now.
            (413, Delivery::Target(TargetTrouble::WrongCluster)),
        ];
        for (length, meant) in cases {
            assert_eq!(setup.deliver(&parcel(length)).await, meant, "{length}");
        }
        let heard = setup.heard().len();
        let again = setup.deliver(&parcel(201)).await;
        assert_eq!(again, Delivery::Target(TargetTrouble::WrongCluster));
        assert_eq!(setup.heard().len(), heard, "it is sent nothing more");
    });
}

/// Of several hosts, one that takes nothing says nothing of the others, and is not asked again at once.
#[test]
fn a_host_that_takes_nothing_is_left_alone_and_the_next_one_asked() {
    for refused in [502, 503, 504] {
        fn answer(heard: &Heard) -> Reply {
            let length = heard.headers.text("castor-system-length");
            match length.and_then(|length| length.parse().ok()) {
                Some(status) if heard.host == 0 => say(status),
                Some(_) => say(201),
                None => welcome(),
            }
        }
        tell(&["10.2.0.1", "10.2.0.2"], answer, async move |setup: Setup| {
            for _ in 0..4 {
                let stored = setup.deliver(&parcel(refused)).await;
                assert_eq!(stored, Delivery::Done { already: false });
            }
            let asked = |host: usize| {
                setup
                    .heard()
                    .iter()
                    .filter(|heard| heard.verb == "POST" && heard.host == host)
                    .count()
            };
            assert_eq!((asked(0), asked(1)), (1, 4), "{refused}");
        });
    }
}

/// One that asks to be left alone for a while is, and the others go on without it.
#[test]
fn a_busy_host_keeps_nothing_from_the_others() {
    for busy in [429, 503] {
        fn answer(heard: &Heard) -> Reply {
            let length = heard.headers.text("castor-system-length");
            match length.and_then(|length| length.parse().ok()) {
                Some(status) if heard.host == 0 => {
                    Reply::Say(status, "Retry-After: 40\r\n".to_owned())
                }
                Some(_) => say(201),
                None => welcome(),
            }
        }
        tell(&["10.2.0.1", "10.2.0.2"], answer, async move |setup: Setup| {
            let asked = |host: usize| {
                let heard = setup.heard();
                heard.iter().filter(|heard| heard.verb == "POST" && heard.host == host).count()
            };
            for (posts, wait) in [((1, 8), 35 * SECOND), ((1, 16), 10 * SECOND), ((2, 24), SECOND)]
            {
                for _ in 0..8 {
                    let stored = setup.deliver(&parcel(busy)).await;
                    assert_eq!(stored, Delivery::Done { already: false });
                }
                assert_eq!((asked(0), asked(1)), posts, "{busy}: it is asked when it wants to be");
                setup.env.sleep(wait).await;
            }
            assert_eq!(setup.verbs().iter().filter(|verb| *verb == "GET").count(), 2);
        });
    }
}

/// Where all ask for it, the target is left alone until the first of them may be asked again.
#[test]
fn hosts_that_are_all_busy_are_a_busy_target() {
    fn answer(heard: &Heard) -> Reply {
        let wait = if heard.host == 0 { 60 } else { 7 };
        match heard.verb.as_str() {
            "GET" => welcome(),
            _ => Reply::Say(503, format!("Retry-After: {wait}\r\n")),
        }
    }
    tell(&["10.2.0.1", "10.2.0.2"], answer, async |setup: Setup| {
        let Delivery::Target(TargetTrouble::Busy { retry_after }) = setup.deliver(&parcel(1)).await
        else {
            panic!("it is busy");
        };
        assert!(retry_after > 6 * SECOND && retry_after <= 7 * SECOND, "{retry_after:?}");
        assert_eq!(setup.verbs().iter().filter(|verb| *verb == "POST").count(), 2);
    });
}

/// How long one asks to be left alone says nothing of when those come back that are silent.
#[test]
fn one_that_is_busy_for_long_does_not_speak_for_those_that_are_gone() {
    let script: Script = |heard| match heard.verb.as_str() {
        "GET" => welcome(),
        _ => Reply::Say(503, "Retry-After: 3600\r\n".to_owned()),
    };
    // Nobody listens at the second.
    tell(&["10.2.0.1", "10.2.0.9"], script, async |setup: Setup| {
        let gone = setup.deliver(&parcel(100)).await;
        let meant = [TargetTrouble::Silent, TargetTrouble::Refused].map(Delivery::Target);
        assert!(meant.contains(&gone), "{gone:?}");
        assert_eq!(setup.target.greet().await, Ok(()));
        setup.deliver(&parcel(100)).await;
        let posts = setup.verbs().iter().filter(|verb| *verb == "POST").count();
        assert_eq!(posts, 1, "it is left alone though it says who it is");
    });
}

/// A host that has sent it on to a node which asks to be left alone is not busy itself.
#[test]
fn a_busy_node_is_not_the_host_that_named_it() {
    fn answer(heard: &Heard) -> Reply {
        match (heard.verb.as_str(), heard.host) {
            ("GET", _) => welcome(),
            (_, 0) => Reply::Say(
                307,
                format!("Location: http://10.2.0.2{}?{}\r\n", heard.path, heard.query),
            ),
            _ => Reply::Say(503, "Retry-After: 5\r\n".to_owned()),
        }
    }
    tell(&["10.2.0.1"], answer, async |setup: Setup| {
        let waits = Delivery::Object { status: 503, trouble: ObjectTrouble::Transient };
        assert_eq!(setup.deliver(&parcel(100)).await, waits);
    });
}

/// Where a host has sent it on, the trouble is that node's: the object waits, and others go elsewhere.
#[test]
fn a_node_that_takes_nothing_is_not_the_host_that_named_it() {
    fn answer(heard: &Heard) -> Reply {
        match (heard.verb.as_str(), heard.host) {
            ("GET", _) => welcome(),
            (_, 0) => Reply::Say(
                307,
                format!("Location: http://10.2.0.2{}?{}\r\n", heard.path, heard.query),
            ),
            _ => say(503),
        }
    }
    tell(&["10.2.0.1"], answer, async |setup: Setup| {
        for _ in 0..3 {
            let waits = Delivery::Object { status: 503, trouble: ObjectTrouble::Transient };
            assert_eq!(setup.deliver(&parcel(100)).await, waits);
        }
        assert_eq!(setup.verbs().iter().filter(|verb| *verb == "POST").count(), 6);
    });
}

#[test]
fn a_delete_is_carried_by_its_stream() {
    let script: Script = |heard| if heard.verb == "GET" { welcome() } else { say(404) };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        let deletion = Deletion {
            stream: stream(5),
            kind: ObjectKind::Named,
            stamp: stamp(2_000),
            alias: None,
            cid: Some(alias(2)),
            name: None,
        };
        let gone = setup.deliver(&Parcel::Delete(deletion.clone())).await;
        assert_eq!(gone, Delivery::Done { already: true });
        let last = setup.heard().pop().unwrap();
        let (_, read) = read_delete(&last.query, &last.headers).unwrap();
        assert_eq!((last.verb.as_str(), read), ("DELETE", deletion));
    });
}

/// Rows 9 and 11 of the failure matrix: the address of another cluster, and a name that has no address.
#[test]
fn nothing_is_sent_to_another_cluster_or_to_a_name() {
    let script: Script = |_| Reply::Say(200, "Castor-System-Cluster: north\r\n".to_owned());
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        let wrong = TargetTrouble::WrongCluster;
        assert_eq!(setup.deliver(&parcel(100)).await, Delivery::Target(wrong));
        assert_eq!(setup.target.greet().await, Err(wrong));
        assert_eq!(setup.verbs(), ["GET", "GET"]);
    });
    tell(&["west.example"], script, async |setup: Setup| {
        let nobody = TargetTrouble::Unresolvable;
        assert_eq!(setup.target.greet().await, Err(nobody));
        assert_eq!(setup.deliver(&parcel(100)).await, Delivery::Target(nobody));
        assert!(setup.heard().is_empty());
    });
}

/// An address can change hands: who is there is asked anew every hour, before anything is sent.
#[test]
fn an_address_that_belongs_to_another_cluster_by_now_is_sent_nothing_after_an_hour() {
    let script: Script = |heard| match (heard.verb.as_str(), heard.connection) {
        ("GET", 1) => welcome(),
        ("GET", _) => Reply::Say(200, "Castor-System-Cluster: north\r\n".to_owned()),
        _ => say(201),
    };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        for _ in 0..2 {
            assert_eq!(setup.deliver(&parcel(100)).await, Delivery::Done { already: false });
            setup.env.sleep(59 * MINUTE).await;
            setup.target.tidy();
        }
        assert_eq!(setup.verbs(), ["GET", "POST", "POST"], "it is believed for an hour");
        let wrong = TargetTrouble::WrongCluster;
        assert_eq!(setup.deliver(&parcel(100)).await, Delivery::Target(wrong));
        assert_eq!(setup.verbs(), ["GET", "POST", "POST", "GET"]);
    });
}

/// The warnings that are logged, as text.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            text += &format!("{field}={value:?} ");
        });
        self.0.lock().unwrap().push(text);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Row 42 of the failure matrix. Object Versioning: clusters that replicate what is versioned run one version of the software. Others are complained of, once.
#[test]
fn a_host_of_another_version_is_complained_of_once() {
    let script: Script = |heard| match (heard.verb.as_str(), heard.host) {
        ("GET", 0) => welcome(),
        ("GET", _) => {
            let lines = format!("Castor-System-Cluster: west\r\nServer: {SERVER}\r\n");
            Reply::Say(200, lines)
        }
        _ => say(201),
    };
    let logged = Warnings::default();
    // With one subscriber only, tracing would ask the thread of whichever test comes by a line first.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    tracing::subscriber::with_default(logged.clone(), || {
        tell(&["10.2.0.1", "10.2.0.2"], script, async |setup: Setup| {
            for _ in 0..4 {
                assert_eq!(setup.target.greet().await, Ok(()));
                assert_eq!(setup.deliver(&parcel(100)).await, Delivery::Done { already: false });
            }
            assert!(setup.heard().iter().any(|heard| heard.verb == "POST" && heard.host == 1));
        });
    });
    let warnings = logged.0.lock().unwrap();
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    for word in ["west", "10.2.0.1:80", "12.1.0"] {
        assert!(warning.contains(word), "{word}: {warning}");
    }
}

#[test]
fn one_host_stands_in_for_another_that_is_gone() {
    let script: Script = |heard| if heard.verb == "GET" { welcome() } else { say(201) };
    // Nobody listens at the second.
    tell(&["10.2.0.1", "10.2.0.9", "10.2.0.2"], script, async |setup: Setup| {
        assert_eq!(setup.target.greet().await, Ok(()));
        let begun = setup.env.now();
        for _ in 0..20 {
            assert_eq!(setup.deliver(&parcel(100)).await, Delivery::Done { already: false });
        }
        let took = setup.env.now().since(begun);
        assert!(took < 12 * SECOND, "{took:?}: it is tried once");
        let posts = setup.heard().into_iter().filter(|heard| heard.verb == "POST");
        let mut by_host = [0; 2];
        posts.for_each(|heard| by_host[heard.host] += 1);
        assert!(by_host.iter().all(|posts| *posts >= 6), "{by_host:?}: they take turns");
    });
}

#[test]
fn a_connection_that_breaks_in_the_body_leaves_the_outcome_open() {
    let script: Script = |heard| match (heard.verb.as_str(), heard.headers.text("expect")) {
        ("GET", _) => welcome(),
        (_, Some(_)) => Reply::Cut(100_000),
        (_, None) => say(201),
    };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        for _ in 0..3 {
            assert_eq!(setup.deliver(&parcel(2_000_000)).await, Delivery::Unknown);
            let short = setup.deliver(&parcel(100)).await;
            assert_eq!(short, Delivery::Done { already: false }, "others are not held up");
        }
        let round = ["GET", "POST", "GET", "POST"];
        assert_eq!(setup.verbs()[..4], round, "it says again who it is");
    });
}

#[test]
fn a_target_that_never_answers_is_silent() {
    let script: Script = |heard| if heard.verb == "GET" { welcome() } else { Reply::Silence };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        let begun = setup.env.now();
        assert_eq!(setup.deliver(&parcel(1_000)).await, Delivery::Unknown);
        let took = setup.env.now().since(begun);
        assert!(took <= 3 * MINUTE, "{took:?}");
        setup.env.sleep(MINUTE).await;
        let asked = setup.target.deliver(parcel(1_000), PROBE).await;
        assert_eq!(asked, Delivery::Target(TargetTrouble::Silent), "a question has no outcome");
    });
    let deaf: Script = |_| Reply::Silence;
    tell(&["10.2.0.1", "10.2.0.2"], deaf, async |setup: Setup| {
        let begun = setup.env.now();
        assert_eq!(setup.target.greet().await, Err(TargetTrouble::Silent));
        let took = setup.env.now().since(begun);
        assert!(took <= 30 * SECOND, "{took:?}: whoever is greeted, it does not take long");
    });
}

#[test]
fn a_body_that_cannot_be_read_is_not_the_targets_fault() {
    let script: Script = |heard| if heard.verb == "GET" { welcome() } else { say(201) };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        for length in [50_000, 2_000_000] {
            let breaks = parcel_that_breaks(stream(1), length, length / 2);
            assert_eq!(setup.deliver(&breaks).await, Delivery::Unreadable, "{length}");
        }
        assert_eq!(setup.deliver(&parcel(100)).await, Delivery::Done { already: false });
    });
}

#[test]
fn who_wants_a_signature_gets_one_and_who_takes_none_is_told_apart() {
    let script: Script = |heard| {
        let signed = heard.headers.text("authorization").map(str::to_owned);
        match (signed, heard.verb.as_str()) {
            (None, _) => {
                let challenge = r#"Digest realm="CAStor administrator", nonce="abc", qop="auth""#;
                Reply::Say(401, format!("WWW-Authenticate: {challenge}\r\n"))
            }
            (Some(signed), verb) => {
                assert!(signed.contains("username=\"admin\""), "{signed}");
                if verb == "GET" { welcome() } else { say(201) }
            }
        }
    };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        for _ in 0..3 {
            assert_eq!(setup.deliver(&parcel(1_000)).await, Delivery::Done { already: false });
        }
        assert_eq!(setup.verbs(), ["GET", "GET", "POST", "POST", "POST"]);
    });
    let closed: Script = |_| {
        let challenge = r#"Digest realm="CAStor administrator", nonce="abc", qop="auth""#;
        Reply::Say(401, format!("WWW-Authenticate: {challenge}\r\n"))
    };
    tell(&["10.2.0.1"], closed, async |setup: Setup| {
        assert_eq!(setup.target.greet().await, Err(TargetTrouble::Auth(401)));
    });
}

#[test]
fn credentials_that_one_host_refuses_are_not_tried_at_the_next_and_a_slip_at_one_heals() {
    // Too many wrong passwords lock an account.
    let closed: Script = |_| say(401);
    tell(&["10.2.0.1", "10.2.0.2"], closed, async |setup: Setup| {
        for greetings in 1..=2 {
            assert_eq!(setup.target.greet().await, Err(TargetTrouble::Auth(401)));
            assert_eq!(setup.verbs().len(), greetings, "one of the target hears of it each time");
        }
    });
    let one_is_closed: Script = |heard| if heard.host == 0 { say(401) } else { welcome() };
    tell(&["10.2.0.1", "10.2.0.2"], one_is_closed, async |setup: Setup| {
        let greetings = [setup.target.greet().await, setup.target.greet().await];
        assert!(greetings.contains(&Ok(())), "{greetings:?}");
    });
}

#[test]
fn a_redirect_within_the_target_is_followed() {
    let script: Script = |heard| match (heard.verb.as_str(), heard.host) {
        ("GET", _) => welcome(),
        (_, 0) => {
            let target = format!("http://10.2.0.2{}?{}", heard.path, heard.query);
            Reply::Say(307, format!("Location: {target}\r\n"))
        }
        _ => say(201),
    };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        let done = setup.deliver(&parcel(50_000)).await;
        assert_eq!(done, Delivery::Done { already: false });
        assert_eq!(setup.heard().pop().unwrap().host, 1);
    });
}

#[test]
fn a_redirect_that_leads_nowhere_is_the_objects_trouble() {
    let script: Script = |heard| if heard.verb == "GET" { welcome() } else { say(307) };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        let nowhere = Delivery::Object { status: 307, trouble: ObjectTrouble::Transient };
        for _ in 0..2 {
            assert_eq!(setup.deliver(&parcel(100)).await, nowhere);
        }
        assert_eq!(setup.verbs(), ["GET", "POST", "POST"]);
    });
}

#[test]
fn connections_that_nobody_needs_are_closed() {
    let script: Script = |heard| if heard.verb == "GET" { welcome() } else { say(201) };
    tell(&["10.2.0.1"], script, async |setup: Setup| {
        let all: Vec<_> = (0..4)
            .map(|_| {
                let target = Arc::clone(&setup.target);
                setup.env.spawn("one", async move {
                    target.deliver(parcel(1_000), Manner::default()).await
                })
            })
            .collect();
        for one in all {
            assert_eq!(one.join().await, Some(Delivery::Done { already: false }));
        }
        let open = setup.world.tasks(setup.west).get("connection").copied();
        assert!(open >= Some(1), "{open:?}");
        for _ in 0..7 {
            setup.env.sleep(Duration::from_secs(10)).await;
            setup.target.tidy();
        }
        setup.env.sleep(SECOND).await;
        assert_eq!(setup.world.tasks(setup.west).get("connection"), None);
    });
}
