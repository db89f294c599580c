//! The client against a server that does exactly what it is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::live::{HostSpec, LiveWorld};
use swarm_env::{Env, Stream};
use swarm_sim::Sim;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    Auth, Body, Client, ClientOptions, ErrorKind, Patience, Request, Secret, Sent, Source,
};

const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const PATIENCE: Duration = Duration::from_millis(500);

/// What the server does with a request whose head it has read.
enum Step {
    /// Writes this.
    Say(&'static str),
    /// Writes this, with every `{n}` being the address of the server of that number.
    Point(&'static str),
    /// Reads the announced body.
    Take,
    /// Reads this many bytes of the body.
    TakeSome(usize),
    /// Leaves the connection open and does nothing for ever.
    Hang,
    /// Closes the connection.
    Close,
}
use Step::{Close, Hang, Point, Say, Take, TakeSome};

/// A request as a server saw it.
#[derive(Debug, Clone, Default)]
struct Seen {
    server: usize,
    connection: usize,
    head: String,
    body: Vec<u8>,
}

type Log = Arc<Mutex<Vec<Seen>>>;
type Script = fn(&Seen) -> Vec<Step>;

/// Two servers that follow one script, on one host.
struct Servers {
    addresses: [SocketAddr; 2],
    log: Log,
}

impl Servers {
    async fn start(env: Env, script: Script) -> Self {
        let log = Log::default();
        let mut listeners = Vec::new();
        for _ in 0..2 {
            listeners.push(env.net().listen(0).await.expect("a free port"));
        }
        let addresses = [listeners[0].local_addr(), listeners[1].local_addr()];
        for (number, listener) in listeners.into_iter().enumerate() {
            let (log, own) = (Arc::clone(&log), env.clone());
            drop(env.spawn("server", async move {
                let mut connection = 0;
                while let Ok((stream, _)) = listener.accept().await {
                    connection += 1;
                    let seen = Seen { server: number, connection, ..Seen::default() };
                    let serving = serve(stream, seen, addresses, Arc::clone(&log), script);
                    drop(own.spawn("connection", serving));
                }
            }));
        }
        Self { addresses, log }
    }
}

/// A client of such servers.
struct Setup {
    servers: [SocketAddr; 2],
    log: Log,
    env: Env,
    client: Client,
}

impl Setup {
    fn new(servers: Servers, env: Env, options: ClientOptions) -> Self {
        let client = Client::new(env.clone(), options);
        Self { servers: servers.addresses, log: servers.log, env, client }
    }

    fn get(&self, target: &str) -> Request {
        Request::new(self.servers[0], "GET", target).patience(PATIENCE)
    }

    fn post(&self, target: &str, body: impl Into<Body>) -> Request {
        Request::new(self.servers[0], "POST", target).body(body).patience(PATIENCE)
    }

    fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends and reads the whole answer.
    async fn fetch(&self, request: Request) -> (u16, Bytes) {
        let mut response = self.client.send(request).await.expect("an answer");
        (response.status, response.body.collect(1 << 20).await.expect("a whole body"))
    }
}

async fn serve(
    mut stream: Stream,
    first: Seen,
    servers: [SocketAddr; 2],
    log: Log,
    script: Script,
) {
    let mut unread = Vec::new();
    loop {
        let mut seen = first.clone();
        let Some(end) = read_until_head(&mut stream, &mut unread).await else { return };
        seen.head = String::from_utf8_lossy(&unread[..end]).into_owned();
        unread.drain(..end);
        let index = {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(seen.clone());
            log.len() - 1
        };
        for step in script(&seen) {
            let length = header(&seen.head, "content-length")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            let (say, wanted) = match step {
                Say(text) => (text.to_owned(), 0),
                Point(text) => (
                    text.replace("{0}", &servers[0].to_string())
                        .replace("{1}", &servers[1].to_string()),
                    0,
                ),
                Take => (String::new(), length),
                TakeSome(bytes) => (String::new(), bytes),
                Hang => return std::future::pending().await,
                Close => return,
            };
            while unread.len() < wanted
                && stream.read_buf(&mut unread).await.is_ok_and(|read| read > 0)
            {}
            let taken: Vec<u8> = unread.drain(..wanted.min(unread.len())).collect();
            log.lock().unwrap_or_else(PoisonError::into_inner)[index].body.extend(taken);
            if stream.write_all(say.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

async fn read_until_head(stream: &mut Stream, unread: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            return Some(at + 4);
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

/// Tells one story in both worlds: live once, simulated under a few seeds.
fn check<T, F>(script: Script, test: T)
where
    T: Fn(Setup) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let options = ClientOptions { expect: Duration::from_millis(100), ..ClientOptions::default() };
    check_with(options, script, test);
}

fn check_with<T, F>(options: ClientOptions, script: Script, test: T)
where
    T: Fn(Setup) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    for seed in 0..4 {
        let mut sim = Sim::seeded(seed);
        let handle = sim.handle();
        let server = handle.add_host("server", SERVER);
        let client = handle.add_host("client", CLIENT);
        let servers = sim.block_on(server, Servers::start(handle.env(server), script));
        sim.block_on(client, test(Setup::new(servers, handle.env(client), options.clone())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let world = LiveWorld::new(runtime.handle().clone());
    let host =
        |name: &str, ip| world.host(HostSpec { name: name.to_owned(), ip, disks: Vec::new() });
    let (server, client) = (host("server", SERVER), host("client", CLIENT));
    let servers = runtime.block_on(Servers::start(server.env().clone(), script));
    runtime.block_on(test(Setup::new(servers, client.env().clone(), options)));
}

fn ann() -> Auth {
    Auth::basic("ann", "secret")
}

/// A generated body whose every byte tells its place.
fn pattern(length: u64) -> Body {
    Body::Stream { length, make: Arc::new(|at, wanted| pattern_bytes(at, wanted.min(10_000))) }
}

fn pattern_bytes(at: u64, length: usize) -> Bytes {
    (at..).take(length).map(|place| (place % 251) as u8).collect()
}

#[test]
fn an_answer_arrives_with_its_fields_in_order() {
    let script: Script = |_| {
        vec![
            Say(
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVolume: a\r\nNode: x\r\nVolume: b\r\n\r\nhel",
            ),
            Say("lo"),
        ]
    };
    check(script, async |setup: Setup| {
        let request = setup.get("/bucket/a%20b?x=1").header("x-Test", "yes");
        let mut response = setup.client.send(request).await.expect("an answer");
        assert_eq!((response.status, response.served_by), (200, setup.servers[0]));
        let volumes: Vec<_> =
            response.headers.all("volume").filter_map(|field| field.text()).collect();
        assert_eq!(volumes, ["a", "b"]);
        assert_eq!(response.body.collect(5).await.expect("a body"), "hello");
        let head = &setup.seen()[0].head;
        assert!(head.starts_with("GET /bucket/a%20b?x=1 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("X-Test: yes\r\n"), "{head}");
        assert_eq!(header(head, "host"), Some(&*setup.servers[0].to_string()));
        assert_eq!(header(head, "content-length"), None);
    });
}

#[test]
fn a_redirect_resends_verb_body_and_credentials() {
    let script: Script = |seen| match seen.server {
        0 => vec![
            Take,
            Point(
                "HTTP/1.1 301 Moved\r\nContent-Length: 4\r\nLocation: http://{1}/b?domain=d&auth=7\r\n\r\ngone",
            ),
        ],
        _ => vec![Take, Say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")],
    };
    check(script, async |setup: Setup| {
        let request = setup.post("/b", "precious").auth(ann()).header("Host", "d");
        let response = setup.client.send(request).await.expect("an answer");
        assert_eq!(response.status, 201);
        assert_eq!(response.hops, setup.servers);
        assert_eq!(response.served_by, setup.servers[1]);
        let seen = setup.seen();
        assert!(
            seen[1].head.starts_with("POST /b?domain=d&auth=7 HTTP/1.1\r\n"),
            "{}",
            seen[1].head
        );
        for (seen, host) in seen.iter().zip(["d", &*setup.servers[1].to_string()]) {
            assert_eq!(seen.body, b"precious");
            assert_eq!(header(&seen.head, "authorization"), Some("Basic YW5uOnNlY3JldA=="));
            assert_eq!(header(&seen.head, "host"), Some(host));
        }
    });
}

#[test]
fn a_long_body_is_held_back_until_the_right_node_asks_for_it() {
    const LENGTH: u64 = 300_000;
    let script: Script = |seen| match seen.server {
        0 => vec![
            Point("HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\nLocation: http://{1}/\r\n\r\n"),
            TakeSome(1),
        ],
        _ => vec![
            Say("HTTP/1.1 100 Continue\r\n\r\n"),
            Take,
            Say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
        ],
    };
    check(script, async |setup: Setup| {
        let (status, _) = setup.fetch(setup.post("/", pattern(LENGTH))).await;
        assert_eq!(status, 201);
        let seen = setup.seen();
        assert_eq!(header(&seen[0].head, "expect"), Some("100-continue"));
        assert_eq!(seen[0].body.len(), 0, "the redirecting node got part of the body");
        assert!(seen[1].body == pattern_bytes(0, 300_000), "the body differs");
    });
}

#[test]
fn a_server_that_never_says_continue_gets_the_body_anyway() {
    let script: Script = |_| vec![Take, Say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")];
    check(script, async |setup: Setup| {
        let before = setup.env.now();
        let mut request = setup.post("/", "short");
        request.expect = true;
        assert_eq!(setup.fetch(request).await.0, 201);
        assert_eq!(setup.seen()[0].body, b"short");
        assert!(setup.env.now().since(before) >= Duration::from_millis(100));
    });
}

#[test]
fn redirects_end_somewhere() {
    let script: Script = |_| {
        vec![Point("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://{0}/again\r\n\r\n")]
    };
    check(script, async |setup: Setup| {
        let error = setup.client.send(setup.get("/").follow(3)).await.expect_err("a loop");
        assert!(matches!(error.kind, ErrorKind::TooManyRedirects { .. }), "{error}");
        assert_eq!((error.hop, error.sent, setup.seen().len()), (4, Sent::Nothing, 4));
        let unfollowed =
            setup.client.send(setup.get("/").follow(0)).await.expect("the redirect itself");
        assert_eq!(unfollowed.status, 302);
    });
}

#[test]
fn a_redirect_to_nowhere_names_its_hop() {
    let script: Script = |_| {
        vec![Say(
            "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:9/\r\n\r\n",
        )]
    };
    check(script, async |setup: Setup| {
        let error = setup.client.send(setup.get("/")).await.expect_err("nobody listens there");
        assert!(matches!(error.kind, ErrorKind::Refused), "{error}");
        assert_eq!((error.hop, error.at.port(), error.sent), (2, 9, Sent::Nothing));
    });
}

#[test]
fn silence_ends_with_patience() {
    check(
        |_| vec![Hang],
        async |setup: Setup| {
            let before = setup.env.now();
            let error = setup.client.send(setup.post("/", "x")).await.expect_err("silence");
            assert!(matches!(error.kind, ErrorKind::Timeout), "{error}");
            assert_eq!(error.sent, Sent::Perhaps);
            let waited = setup.env.now().since(before);
            assert!(waited >= PATIENCE && waited < 4 * PATIENCE, "{waited:?}");
        },
    );
}

#[test]
fn a_body_that_breaks_off_is_an_error_after_its_last_byte() {
    let script: Script = |seen| match seen.head.contains("/stall") {
        true => vec![Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Hang],
        false => vec![Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Close],
    };
    check(script, async |setup: Setup| {
        for (target, expected) in [("/close", "Closed"), ("/stall", "Timeout")] {
            let mut response = setup.client.send(setup.get(target)).await.expect("a head");
            assert_eq!(response.body.next().await.expect("a piece").expect("good"), "half");
            let error =
                response.body.next().await.expect("more was announced").expect_err("broken");
            assert_eq!(format!("{:?}", error.kind), expected);
            assert!(response.body.next().await.is_none(), "nothing follows an error");
        }
    });
}

#[test]
fn a_connection_is_used_again_once_its_answer_was_read() {
    let script: Script = |seen| match seen.head.starts_with("HEAD") {
        true => vec![Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")],
        false => vec![Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")],
    };
    check(script, async |setup: Setup| {
        setup.fetch(setup.get("/1")).await;
        let mut head = setup.get("/2");
        head.method = "HEAD".to_owned();
        setup.client.send(head).await.expect("an answer without a body");
        let unread = setup.client.send(setup.get("/3")).await.expect("an answer");
        let side_by_side = setup.fetch(setup.get("/4")).await;
        drop(unread);
        setup.fetch(setup.get("/5")).await;
        assert_eq!(side_by_side.1, "hello");
        let connections: Vec<usize> = setup.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [1, 1, 1, 2, 2]);
    });
}

#[test]
fn without_a_pool_every_request_has_its_own_connection() {
    let script: Script = |_| vec![Say("HTTP/1.1 204 No Content\r\n\r\n")];
    check_with(
        ClientOptions { idle_per_address: 0, ..ClientOptions::default() },
        script,
        async |setup: Setup| {
            for _ in 0..3 {
                setup.fetch(setup.get("/")).await;
            }
            assert_eq!(
                setup.seen().iter().map(|seen| seen.connection).collect::<Vec<_>>(),
                [1, 2, 3]
            );
        },
    );
}

#[test]
fn a_connection_closed_while_idle_is_replaced() {
    let script: Script = |seen| match seen.connection {
        1 => vec![Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Close],
        _ => vec![Take, Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
    };
    check(script, async |setup: Setup| {
        setup.fetch(setup.get("/")).await;
        setup.env.sleep(Duration::from_millis(20)).await;
        let (status, body) = setup.fetch(setup.post("/", "not lost")).await;
        assert_eq!((status, &*body), (200, &b"ok"[..]));
        assert_eq!(setup.seen()[1].body, b"not lost");
    });
}

#[test]
fn a_request_that_may_have_happened_is_not_repeated() {
    let script: Script = |seen| match (seen.head.contains("/first"), seen.connection) {
        (true, _) => vec![Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
        (false, 1) => vec![Take, Close],
        _ => vec![Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
    };
    check(script, async |setup: Setup| {
        setup.fetch(setup.get("/first")).await;
        let error =
            setup.client.send(setup.post("/", "once")).await.expect_err("closed without an answer");
        assert!(error.is_closed_connection(), "{error}");
        assert_eq!(error.sent, Sent::Perhaps);
        assert_eq!(setup.seen().len(), 2);
    });
    check(script, async |setup: Setup| {
        setup.fetch(setup.get("/first")).await;
        assert_eq!(setup.fetch(setup.get("/")).await.0, 200, "reading twice does no harm");
        assert_eq!(setup.seen().iter().map(|seen| seen.connection).collect::<Vec<_>>(), [1, 1, 2]);
    });
}

#[test]
fn trailers_follow_the_body() {
    let script: Script = |_| {
        vec![Say(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nContent-MD5: abc\r\n\r\n",
        )]
    };
    check(script, async |setup: Setup| {
        let mut response = setup.client.send(setup.get("/")).await.expect("an answer");
        assert_eq!(response.body.collect(100).await.expect("a body"), "hello");
        assert_eq!(
            response.body.trailers().and_then(|trailers| trailers.text("content-md5")),
            Some("abc")
        );
        setup.fetch(setup.get("/")).await;
        assert_eq!(setup.seen()[1].connection, 1, "a chunked answer frees its connection too");
    });
}

#[test]
fn an_answer_before_the_body_is_heard() {
    let script: Script =
        |_| vec![Say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"), Take];
    check(script, async |setup: Setup| {
        assert_eq!(
            setup.fetch(setup.post("/", pattern(8_000_000))).await,
            (403, Bytes::from_static(b"no"))
        );
        let at_once = setup.post("/", pattern(1000));
        assert_eq!(setup.fetch(at_once).await.0, 403);
    });
}

#[test]
fn a_client_can_vanish_in_the_middle_of_its_body() {
    check(
        |_| vec![Take, Say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")],
        async |setup: Setup| {
            let body = Body::Stalls { length: 1000, after: 400, make: Arc::new(pattern_bytes) };
            let error =
                setup.client.send(setup.post("/", body)).await.expect_err("the body never ends");
            assert!(matches!(error.kind, ErrorKind::Timeout), "{error}");
            setup.env.sleep(Duration::from_millis(20)).await;
            assert_eq!(
                setup.seen()[0].body,
                pattern_bytes(0, 400),
                "the server saw the connection end"
            );
        },
    );
}

#[test]
fn a_body_longer_than_the_caller_wants_is_refused() {
    let script: Script = |_| vec![Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")];
    check(script, async |setup: Setup| {
        let mut response = setup.client.send(setup.get("/")).await.expect("an answer");
        let error = response.body.collect(4).await.expect_err("five bytes");
        assert!(matches!(error.kind, ErrorKind::TooLong { limit: 4 }), "{error}");
    });
}

#[test]
fn nonsense_is_a_protocol_error() {
    check(
        |_| vec![Say("NOT HTTP AT ALL\r\n\r\n"), Close],
        async |setup: Setup| {
            let error = setup.client.send(setup.get("/")).await.expect_err("no HTTP");
            assert!(matches!(error.kind, ErrorKind::Protocol(_)), "{error}");
            let unsendable =
                setup.client.send(setup.get("no slash")).await.expect_err("not a target");
            assert!(matches!(unsendable.kind, ErrorKind::Protocol(_)), "{unsendable}");
            assert_eq!(unsendable.sent, Sent::Nothing);
        },
    );
}

#[test]
fn a_password_is_never_shown() {
    let request = Request::new(([127, 0, 0, 1], 80).into(), "GET", "/").auth(ann());
    assert!(!format!("{request:?}").contains("secret"));
}

fn ann_signs() -> Auth {
    Auth::Digest { user: "ann".into(), secret: Secret::Clear("secret".into()) }
}

/// The nonce and the number of its use in a signature.
fn signature(seen: &Seen) -> Option<(&str, &str)> {
    let signed = header(&seen.head, "authorization")?.strip_prefix("Digest username=\"ann\", ")?;
    let part = |name: &str| signed.split(", ").find_map(|part| part.strip_prefix(name));
    Some((part("nonce=")?.trim_matches('"'), part("nc=")?))
}

#[test]
fn a_server_that_wants_a_signature_gets_one_and_is_not_asked_again() {
    let script: Script = |seen| match (seen.server, signature(seen)) {
        (0, None) => vec![
            Take,
            Say(
                "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nWWW-Authenticate: Digest realm=\"r\", \
                 nonce=\"n0\", qop=\"auth\"\r\nWWW-Authenticate: Basic realm=\"r\"\r\n\r\nno",
            ),
        ],
        (0, Some(_)) => vec![
            Take,
            Point("HTTP/1.1 307 Moved\r\nContent-Length: 0\r\nLocation: http://{1}/b?x\r\n\r\n"),
        ],
        // The second server's challenge is too old after one use.
        (_, Some(("n1", "00000001"))) => {
            vec![Take, Say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")]
        }
        _ => vec![
            Take,
            Say(
                "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Digest realm=\"r\", \
                 nonce=\"n1\", stale=true, qop=\"auth\"\r\n\r\n",
            ),
        ],
    };
    check(script, async |setup: Setup| {
        for round in 0..2 {
            let request = setup.post("/b", "precious").auth(ann_signs());
            let response = setup.client.send(request).await.expect("an answer");
            assert_eq!(response.status, 201, "round {round}");
            assert_eq!(response.hops, setup.servers, "a server that challenges is one hop");
        }
        let seen = setup.seen();
        let asked: Vec<_> = seen.iter().map(|seen| (seen.server, signature(seen))).collect();
        let expected = [
            (0, None),
            (0, Some(("n0", "00000001"))),
            (1, None),
            (1, Some(("n1", "00000001"))),
            (0, Some(("n0", "00000002"))),
            (1, Some(("n1", "00000002"))),
            (1, Some(("n1", "00000001"))),
        ];
        assert_eq!(asked, expected);
        assert!(seen.iter().all(|seen| seen.body == b"precious"), "all of it every time");
        assert!(!seen.iter().any(|seen| seen.head.contains("secret")));
    });
}

#[test]
fn a_wrong_password_is_refused_once_for_each_request() {
    let script: Script = |_| {
        vec![Say(
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Digest realm=\"r\", \
             nonce=\"n\"\r\n\r\n",
        )]
    };
    check(script, async |setup: Setup| {
        let response =
            setup.client.send(setup.get("/").auth(ann_signs())).await.expect("an answer");
        assert_eq!((response.status, setup.seen().len()), (401, 2), "unsigned, and signed");
        let response = setup.client.send(setup.get("/")).await.expect("an answer");
        assert_eq!((response.status, setup.seen().len()), (401, 3), "nobody to sign");
    });
}

/// Gives pieces of a pattern, each after a while.
struct Slow {
    env: Env,
    at: u64,
    pieces: u64,
    wait: Duration,
}

const SLOW_PIECE: u64 = 1000;

impl Source for Slow {
    fn next(&mut self) -> swarm_env::BoxFuture<'_, std::io::Result<Option<Bytes>>> {
        Box::pin(async move {
            self.env.sleep(self.wait).await;
            if self.pieces == 0 {
                return Err(std::io::Error::other("the disk is gone"));
            }
            self.pieces -= 1;
            let piece = pattern_bytes(self.at, 1000);
            self.at += SLOW_PIECE;
            Ok(Some(piece))
        })
    }
}

fn slow(env: &Env, pieces: u64, wait: Duration, length: u64) -> Body {
    let env = env.clone();
    let open =
        move || -> Box<dyn Source> { Box::new(Slow { env: env.clone(), at: 0, pieces, wait }) };
    Body::Source { length, open: Arc::new(open) }
}

#[test]
fn a_body_is_read_while_it_is_sent_for_as_long_as_it_moves() {
    let script: Script = |_| vec![Take, Say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")];
    check(script, async |setup: Setup| {
        // It takes five times the patience; between two pieces it is never at its end.
        let body = slow(&setup.env, 20, PATIENCE / 4, 20_000);
        let request =
            Request { patience: Patience::Idle(PATIENCE), ..setup.post("/a", body.clone()) };
        let response = setup.client.send(request).await.expect("an answer");
        assert_eq!((response.status, setup.seen()[0].body.len()), (201, 20_000));
        assert_eq!(setup.seen()[0].body, pattern_bytes(0, 20_000));
        let whole = setup.client.send(setup.post("/a", body)).await.expect_err("too long");
        assert!(matches!(whole.kind, ErrorKind::Timeout), "{whole}");
        let still = slow(&setup.env, 20, PATIENCE * 3, 20_000);
        let request = Request { patience: Patience::Idle(PATIENCE), ..setup.post("/a", still) };
        let error = setup.client.send(request).await.expect_err("nothing moves");
        assert!(matches!(error.kind, ErrorKind::Timeout), "{error}");
    });
}

#[test]
fn a_body_that_cannot_be_read_fails_its_request() {
    let script: Script = |_| vec![Take, Say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")];
    check(script, async |setup: Setup| {
        for (pieces, length) in [(2, 5000), (3, 2500)] {
            let body = slow(&setup.env, pieces, Duration::ZERO, length);
            let failed = setup.client.send(setup.post("/a", body)).await;
            assert!(failed.is_err(), "{pieces} pieces for {length} bytes: {failed:?}");
        }
        let (status, _) = setup.fetch(setup.post("/a", "x")).await;
        assert_eq!(status, 201, "on another connection");
    });
}

#[test]
fn connections_that_are_idle_for_long_can_be_closed() {
    let script: Script = |_| vec![Say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")];
    check(script, async |setup: Setup| {
        setup.fetch(setup.get("/")).await;
        setup.env.sleep(Duration::from_millis(50)).await;
        setup.client.close_idle_for(Duration::from_secs(60));
        setup.fetch(setup.get("/")).await;
        setup.env.sleep(Duration::from_millis(50)).await;
        setup.client.close_idle_for(Duration::from_millis(10));
        setup.fetch(setup.get("/")).await;
        let connections: Vec<usize> = setup.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [1, 1, 2]);
    });
}
