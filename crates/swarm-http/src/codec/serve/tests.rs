//! Whole connections: what goes in, what comes out, what becomes of the connection.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::codec::{Body, BodySource, Broken, FieldBlock};
use crate::testing::{self, Hand};

/// What the test service has seen: the method and target of each request, and what it read of the body.
type Seen = Arc<Mutex<Vec<String>>>;

/// Echoes bodies, except where the target says what else to do.
async fn behave(mut request: Request, seen: Seen) -> Result<Response, Infallible> {
    let target = request.head.target().to_owned();
    let note = |text: String| seen.lock().expect("no test panics while it holds this").push(text);
    note(format!("{} {target}", request.head.method()));
    let mut response = Response::new(200, "OK");
    match target.as_str() {
        "/unread" => {}
        "/close" => response.close = true,
        "/big" => response.body = Body::Full(vec![b'x'; 1_000_000].into()),
        "/announced" => response.body = Body::Announced(77),
        "/short" => response.body = Body::Sized(10, Box::new(Pieces::of(&["five5"], true))),
        "/sized" => {
            response.body = Body::Sized(10, Box::new(Pieces::of(&["five5", "", "more5"], false)))
        }
        "/chunked" => {
            response.body = Body::Chunked(Box::new(Pieces::of(&["hello", "", "!"], false)))
        }
        _ => {
            let mut all = Vec::new();
            loop {
                match request.body.next().await {
                    Ok(Some(piece)) => all.extend_from_slice(&piece),
                    Ok(None) => break,
                    Err(error) => {
                        note(format!("{error:?}"));
                        return Ok(Response { close: true, ..Response::new(400, "Bad Request") });
                    }
                }
            }
            for (name, value) in request.body.trailers().into_iter().flat_map(|all| all.iter()) {
                response.fields.push(name, value);
            }
            response.body = Body::Full(all.into());
        }
    }
    response.fields.push("X-Last", "1");
    Ok(response)
}

struct Pieces {
    rest: std::vec::IntoIter<Bytes>,
    breaks: bool,
}

impl Pieces {
    fn of(pieces: &[&'static str], breaks: bool) -> Self {
        let all: Vec<_> = pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        Self { rest: all.into_iter(), breaks }
    }
}

impl BodySource for Pieces {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        let next = match self.rest.next() {
            None if self.breaks => Err(Broken),
            piece => Ok(piece),
        };
        Box::pin(std::future::ready(next))
    }

    fn trailers(&mut self) -> FieldBlock {
        let mut block = FieldBlock::new();
        block.push("Feed-3-Status", "0");
        block
    }
}

/// A connection to the test service, and what drives it.
struct Fixture {
    client: DuplexStream,
    hand: Hand,
    seen: Seen,
    server: BoxFuture<'static, ConnectionEnd>,
}

fn connect() -> Fixture {
    let (env, hand) = testing::env();
    // Small enough that long answers have to wait for the client.
    let (stream, client) = testing::stream(64 * 1024);
    let seen = Seen::default();
    let of_service = Arc::clone(&seen);
    let service = tower::service_fn(move |request| behave(request, Arc::clone(&of_service)));
    let server = Box::pin(serve_connection(stream, env, service, Limits::default()));
    Fixture { client, hand, seen, server }
}

impl Fixture {
    /// Lets the server run until it can do no more.
    async fn run(&mut self) -> Option<ConnectionEnd> {
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            if let std::task::Poll::Ready(end) = self.server.as_mut().poll(cx) {
                return std::task::Poll::Ready(Some(end));
            }
            if turns < 50 {
                cx.waker().wake_by_ref();
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(None)
        })
        .await
    }

    async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.client.write_all(text.as_ref()).await.expect("the server reads");
    }

    /// What the server has sent so far.
    async fn hear(&mut self) -> String {
        let mut heard = Vec::new();
        poll_fn(|cx| {
            loop {
                let mut piece = [0; 65_536];
                let mut buffer = tokio::io::ReadBuf::new(&mut piece);
                let polled = tokio::io::AsyncRead::poll_read(
                    std::pin::Pin::new(&mut self.client),
                    cx,
                    &mut buffer,
                );
                if polled.is_pending() || buffer.filled().is_empty() {
                    return std::task::Poll::Ready(());
                }
                heard.extend_from_slice(buffer.filled());
            }
        })
        .await;
        String::from_utf8(heard).expect("the test service answers in ASCII")
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no test panics while it holds this").clone()
    }
}

/// Sends `input`, closes the sending direction, and returns all that comes back.
async fn exchange(input: &str) -> (String, Option<ConnectionEnd>, Vec<String>) {
    let mut fixture = connect();
    fixture.say(input).await;
    fixture.client.shutdown().await.expect("memory");
    let end = fixture.run().await;
    (fixture.hear().await, end, fixture.seen())
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nX-Last: 1\r\nContent-Length: {}\r\nKeep-Alive: timeout=14400\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let (heard, end, seen) = exchange(
        "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n\r\n\r\n\
         PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(heard, [ok("hello"), ok(""), ok("abc")].concat());
    assert_eq!(end, Some(ConnectionEnd::Idle));
    assert_eq!(seen, ["POST /a", "GET /b", "PUT /c"]);
}

#[tokio::test]
async fn trailers_of_a_chunked_request_reach_the_service() {
    let (heard, ..) = exchange(
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-a-Meta: late\r\n\r\n",
    )
    .await;
    assert!(heard.contains("\r\nX-a-Meta: late\r\n"), "{heard}");
}

/// SCSP WRITE: the node answers `Expect` with 100 when it is ready for the body, and not before.
#[tokio::test]
async fn a_body_is_asked_for_when_it_is_wanted() {
    let mut fixture = connect();
    fixture.say("POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    fixture.run().await;
    assert_eq!(fixture.hear().await, "HTTP/1.1 100 Continue\r\n\r\n");
    fixture.say("hi").await;
    fixture.run().await;
    assert_eq!(fixture.hear().await, ok("hi"));
}

#[tokio::test]
async fn an_empty_body_needs_no_100() {
    let (heard, ..) =
        exchange("POST / HTTP/1.1\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(heard, ok(""));
}

/// Our choice: who waits for a 100 and gets an answer instead loses the connection, because nobody knows whether the
/// body follows.
#[tokio::test]
async fn an_answer_instead_of_100_ends_the_connection() {
    let (heard, end, seen) = exchange(
        "POST /unread HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    )
    .await;
    assert!(heard.contains("\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), "{heard}");
    assert!(!heard.contains("100 Continue") && !heard.contains("Keep-Alive"), "{heard}");
    assert_eq!(end, Some(ConnectionEnd::Announced));
    assert_eq!(seen, ["POST /unread"], "the body is no request");
}

/// SCSP WRITE: without `Expect` the node reads and discards the whole body first.
#[tokio::test]
async fn an_unwanted_body_is_discarded_before_the_answer() {
    let mut fixture = connect();
    fixture.say("POST /unread HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello").await;
    fixture.run().await;
    assert_eq!(fixture.hear().await, "", "not before the whole body has come");
    fixture.say("world").await;
    fixture
        .say("POST /unread HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
        .await;
    fixture.say("GET / HTTP/1.1\r\n\r\n").await;
    fixture.run().await;
    assert_eq!(fixture.hear().await, ok("").repeat(3));
}

/// Our choice: more than 8 MiB are not read for a connection's sake.
#[tokio::test]
async fn a_huge_unwanted_body_costs_the_connection() {
    for framing in ["Content-Length: 9000000", "Transfer-Encoding: chunked"] {
        let mut fixture = connect();
        fixture.say(format!("POST /unread HTTP/1.1\r\n{framing}\r\n\r\nA00000\r\n")).await;
        let mut heard = String::new();
        for _ in 0..200 {
            fixture.run().await;
            heard.push_str(&fixture.hear().await);
            if !heard.is_empty() {
                break;
            }
            fixture.say(vec![b'x'; 60_000]).await;
        }
        assert!(heard.contains("Connection: close"), "{framing}: {heard}");
        fixture.hand.push(Duration::from_secs(3));
        assert_eq!(fixture.run().await, Some(ConnectionEnd::Announced));
    }
}

#[tokio::test]
async fn both_sides_may_close_after_an_answer() {
    let closing = "Connection: close\r\nContent-Length: 0\r\n\r\n";
    for input in ["GET /close HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"] {
        let (heard, end, _) = exchange(&format!("{input}GET /never HTTP/1.1\r\n\r\n")).await;
        assert!(heard.ends_with(closing), "{heard}");
        assert_eq!(end, Some(ConnectionEnd::Announced));
    }
}

#[tokio::test]
async fn answers_to_head_have_no_body() {
    let (heard, ..) = exchange(
        "HEAD /announced HTTP/1.1\r\n\r\nHEAD /big HTTP/1.1\r\n\r\nHEAD /sized HTTP/1.1\r\n\r\n\
         HEAD /chunked HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    )
    .await;
    let head = |framing: &str| ok("").replace("Content-Length: 0", framing);
    let expected = [
        head("Content-Length: 77"),
        head("Content-Length: 1000000"),
        head("Content-Length: 10"),
        head("Transfer-Encoding: chunked"),
        ok(""),
    ];
    assert_eq!(heard, expected.concat());
}

#[tokio::test]
async fn streamed_bodies_have_a_length_or_chunks_and_trailers() {
    let (heard, ..) = exchange("GET /sized HTTP/1.1\r\n\r\nGET /chunked HTTP/1.1\r\n\r\n").await;
    let chunked = ok("").replace("Content-Length: 0", "Transfer-Encoding: chunked")
        + "5\r\nhello\r\n1\r\n!\r\n0\r\nFeed-3-Status: 0\r\n\r\n";
    assert_eq!(heard, ok("five5more5") + &chunked);
}

/// Content Integrity Assurance: damage that is found while sending closes the connection early; no further request is
/// answered on it.
#[tokio::test]
async fn a_body_that_breaks_off_closes_the_connection_early() {
    let (heard, end, seen) = exchange("GET /short HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n").await;
    assert!(
        heard.contains("Content-Length: 10\r\n") && heard.ends_with("\r\n\r\nfive5"),
        "{heard}"
    );
    assert_eq!(end, Some(ConnectionEnd::Broken));
    assert_eq!(seen, ["GET /short"]);
}

#[tokio::test]
async fn bad_heads_are_answered_and_end_the_connection() {
    for (input, status) in [
        ("GET / HTTP/1.0\r\n\r\n", "505 HTTP Version not supported"),
        ("GET / HTTP/1.1\r\nnocolon\r\n\r\n", "400 Bad Request"),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 Bad Request",
        ),
    ] {
        let (heard, end, seen) = exchange(&format!("{input}GET / HTTP/1.1\r\n\r\n")).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{heard}");
        assert!(heard.contains("\r\nConnection: close\r\n"), "{heard}");
        assert_eq!(heard.matches("Server: ").count(), 1, "one answer: {heard}");
        assert_eq!(end, Some(ConnectionEnd::Announced));
        assert!(seen.is_empty(), "{seen:?}");
    }
}

#[tokio::test]
async fn a_client_that_vanishes_within_a_body_is_noticed_by_the_service() {
    let (_, end, seen) = exchange("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello").await;
    assert_eq!(seen, ["POST /", "Ended { got: 5 }"]);
    assert_eq!(end, Some(ConnectionEnd::Announced));
    let (_, end, seen) = exchange("POST / HTTP/1.1\r\nHost: half").await;
    assert_eq!((end, seen.len()), (Some(ConnectionEnd::Broken), 0));
    let (_, _, seen) =
        exchange("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n").await;
    assert_eq!(seen[1], "Malformed { why: \"chunk size is missing\" }");
}

#[tokio::test]
async fn silence_ends_a_connection_sooner_or_later() {
    let limits = Limits::default();
    let mut idle = connect();
    idle.say("GET / HTTP/1.1\r\n\r\n").await;
    idle.run().await;
    idle.hand.push(limits.idle_time - Duration::from_secs(1));
    assert_eq!(idle.run().await, None, "it may idle as long as it was told");
    idle.hand.push(Duration::from_secs(1));
    assert_eq!(idle.run().await, Some(ConnectionEnd::Idle));

    let mut dripping = connect();
    for byte in 0..6 {
        dripping.say("G").await;
        let end = dripping.run().await;
        assert_eq!(end.is_some(), byte == 6, "a head has one deadline, however it drips");
        dripping.hand.push(limits.head_time / 6);
    }
    assert_eq!(dripping.run().await, Some(ConnectionEnd::Broken));
}

#[tokio::test]
async fn a_body_must_move() {
    let limits = Limits::default();
    let mut fixture = connect();
    fixture.say("POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n").await;
    for _ in 0..4 {
        fixture.say(vec![b'x'; 8 * 1024]).await;
        assert_eq!(fixture.run().await, None);
        fixture.hand.push(limits.progress_time - Duration::from_secs(1));
    }
    assert_eq!(fixture.run().await, None, "slow, and fast enough");
    fixture.hand.push(limits.progress_time);
    fixture.run().await;
    assert_eq!(fixture.seen()[1], format!("TimedOut {{ got: {} }}", 4 * 8 * 1024));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let mut fixture = connect();
    fixture.say("GET /big HTTP/1.1\r\n\r\n").await;
    assert_eq!(fixture.run().await, None, "the answer does not fit into the buffers");
    fixture.hand.push(Limits::default().progress_time + Duration::from_secs(1));
    assert_eq!(fixture.run().await, Some(ConnectionEnd::Broken));
}

#[tokio::test]
async fn a_dropped_body_gives_its_connection_back() {
    static POLLS: AtomicU64 = AtomicU64::new(0);
    let (env, _hand) = testing::env();
    let (stream, mut client) = testing::stream(64 * 1024);
    // The service gives up between two pieces, as a time-out would make it.
    let service = tower::service_fn(|mut request: Request| async move {
        let watched = request.body.watch();
        let first = request.body.next().await;
        POLLS.store(watched.load(Ordering::Relaxed), Ordering::Relaxed);
        drop(request);
        assert!(matches!(first, Ok(Some(_))));
        Ok(Response::new(200, "OK"))
    });
    client
        .write_all(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
        )
        .await
        .expect("memory");
    client.shutdown().await.expect("memory");
    let end = serve_connection(stream, env, service, Limits::default()).await;
    assert_eq!(end, ConnectionEnd::Idle, "the rest was discarded and the connection kept");
    assert_eq!(POLLS.load(Ordering::Relaxed), 1, "progress can be watched");
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.expect("memory");
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n"), "{heard}");
}
