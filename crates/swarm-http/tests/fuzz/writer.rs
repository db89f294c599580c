//! The client role: what our writer puts on the wire, as hyper's client reads it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use swarm_env::{BoxFuture, Duplex, Env, Stream, hyper_rt};
use swarm_http::codec::{
    Body, BodySource, Broken, FieldBlock, Limits, Request, Response, serve_connection,
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::engine::Dice;

/// An answer as it is meant.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    to_head: bool,
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    framing_at: Option<usize>,
    body: Meant,
    close: bool,
}

#[derive(Debug, Clone)]
enum Meant {
    Empty,
    Full(Bytes),
    Sized(Vec<Bytes>),
    Chunked(Vec<Bytes>, Vec<(String, Vec<u8>)>),
}

const STATUSES: [u16; 10] = [200, 201, 204, 301, 304, 307, 400, 412, 503, 507];

impl Answer {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let fields: Vec<_> = (0..dice.below(12)).map(|_| field(dice)).collect();
        let framing_at = (dice.below(2) == 0).then(|| dice.below(fields.len() + 1));
        let body = match dice.below(4) {
            0 => Meant::Empty,
            1 => Meant::Full(piece(dice)),
            2 => Meant::Sized((0..dice.below(5)).map(|_| piece(dice)).collect()),
            _ => Meant::Chunked(
                (0..dice.below(5)).map(|_| piece(dice)).collect(),
                (0..dice.below(3)).map(|_| field(dice)).collect(),
            ),
        };
        let to_head = dice.below(5) == 0;
        let status = STATUSES[dice.below(STATUSES.len())];
        Self { to_head, status, fields, framing_at, body, close: dice.below(8) == 0 }
    }

    fn response(&self) -> Response {
        let mut response = Response::new(self.status, "Some Reason");
        for (number, (name, value)) in self.fields.iter().enumerate() {
            if self.framing_at == Some(number) {
                response.fields.framing_here();
            }
            response.fields.push(name, value);
        }
        response.close = self.close;
        response.body = match &self.body {
            Meant::Empty => Body::Empty,
            Meant::Full(bytes) => Body::Full(bytes.clone()),
            Meant::Sized(pieces) => Body::Sized(self.body.len(), Pieces::boxed(pieces, &[])),
            Meant::Chunked(pieces, trailers) => Body::Chunked(Pieces::boxed(pieces, trailers)),
        };
        response
    }

    fn has_body(&self) -> bool {
        !self.to_head && self.status != 204 && self.status != 304
    }
}

impl Meant {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Full(bytes) => bytes.to_vec(),
            Self::Sized(pieces) | Self::Chunked(pieces, _) => pieces.concat(),
        }
    }

    fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    fn trailers(&self) -> &[(String, Vec<u8>)] {
        match self {
            Self::Chunked(_, trailers) => trailers,
            _ => &[],
        }
    }
}

fn field(dice: &mut Dice) -> (String, Vec<u8>) {
    let name = ["Location", "vOLUME", "x-a-meta", "Castor-System-Version", "E"][dice.below(5)];
    let mut value: Vec<u8> =
        (0..dice.below(30)).map(|_| b" \t!az~\x80\xff:,\""[dice.below(11)]).collect();
    // The writer sends values as they are; blanks around them are not part of a value.
    value = value.trim_ascii().to_vec();
    (name.to_owned(), value)
}

fn piece(dice: &mut Dice) -> Bytes {
    let len = [0, 1, 10, 16 * 1024, 16 * 1024 + 1, 70_000][dice.below(6)];
    let fill = dice.next().to_le_bytes()[0];
    vec![fill; len].into()
}

struct Pieces {
    pieces: VecDeque<Bytes>,
    trailers: Vec<(String, Vec<u8>)>,
}

impl Pieces {
    fn boxed(pieces: &[Bytes], trailers: &[(String, Vec<u8>)]) -> Box<Self> {
        Box::new(Self { pieces: pieces.iter().cloned().collect(), trailers: trailers.to_vec() })
    }
}

impl BodySource for Pieces {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(std::future::ready(Ok(self.pieces.pop_front())))
    }

    fn trailers(&mut self) -> FieldBlock {
        let mut block = FieldBlock::new();
        self.trailers.iter().for_each(|(name, value)| block.push(name, value));
        block
    }
}

/// How much was compared on one connection.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Answers that hyper read as they were meant.
    pub(crate) answers: u64,
    /// Those of them whose body was not empty.
    pub(crate) bodies: u64,
}

/// Lets hyper's client ask for each answer on one connection, and compares what it reads.
pub(crate) async fn check(env: &Env, answers: &[Answer]) -> Compared {
    let (ours, theirs) = tokio::io::duplex(100_000);
    let queue = Arc::new(Mutex::new(answers.iter().cloned().collect::<VecDeque<_>>()));
    let service = tower::service_fn(move |_: Request| {
        let next = queue.lock().expect("no panic while it is held").pop_front();
        std::future::ready(Ok::<_, Infallible>(next.expect("one request per answer").response()))
    });
    let server = serve_connection(Box::new(Pipe(ours)), env.clone(), service, Limits::default());
    let client = async {
        let stream: Stream = Box::new(Pipe(theirs));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_rt::io(stream)).await.expect("ready");
        let asking = async move {
            let mut compared = Compared::default();
            for answer in answers {
                let body = ask(&mut sender, answer).await;
                compared.answers += 1;
                compared.bodies += u64::from(!body.is_empty());
                if answer.close {
                    break;
                }
            }
            compared
        };
        let (ended, compared) = futures_util::join!(connection, asking);
        ended.expect("what was sent is what was announced");
        compared
    };
    futures_util::join!(server, client).1
}

/// Compares one answer; returns the body that was heard.
async fn ask(
    sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    answer: &Answer,
) -> Bytes {
    let method = if answer.to_head { "HEAD" } else { "GET" };
    let request = hyper::Request::builder()
        .method(method)
        .uri("/")
        .header("host", "h")
        .body(Empty::new())
        .expect("a legal request");
    sender.ready().await.expect("the connection goes on");
    let response =
        sender.send_request(request).await.unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!(response.status().as_u16(), answer.status);
    let own = ["content-length", "transfer-encoding", "connection", "keep-alive"];
    let heard: Vec<_> =
        response.headers().iter().filter(|(name, _)| !own.contains(&name.as_str())).collect();
    same_fields(&heard, &answer.fields, answer);
    assert_eq!(response.headers().contains_key("connection"), answer.close, "{answer:?}");
    if answer.to_head && !matches!(answer.body, Meant::Chunked(..)) && answer.status != 204 {
        let length = response.headers()["content-length"].to_str().expect("digits");
        assert_eq!(length, answer.body.len().to_string());
    }
    let body =
        response.into_body().collect().await.unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    let trailers = body.trailers().cloned().unwrap_or_default();
    let bytes = body.to_bytes();
    if answer.has_body() {
        same_fields(&trailers.iter().collect::<Vec<_>>(), answer.body.trailers(), answer);
        assert_eq!(bytes, answer.body.bytes(), "{:?}", answer.fields);
    } else {
        assert!(bytes.is_empty());
    }
    bytes
}

/// hyper keeps fields as a map: compares by name, values of one name in order.
fn same_fields(
    heard: &[(&hyper::header::HeaderName, &hyper::header::HeaderValue)],
    meant: &[(String, Vec<u8>)],
    answer: &Answer,
) {
    assert_eq!(heard.len(), meant.len(), "{answer:?}");
    for (name, _) in meant {
        let of_heard = heard.iter().filter(|(other, _)| name.eq_ignore_ascii_case(other.as_str()));
        let of_meant = meant.iter().filter(|(other, _)| name.eq_ignore_ascii_case(other));
        let heard: Vec<_> = of_heard.map(|(_, value)| value.as_bytes()).collect();
        let meant: Vec<_> = of_meant.map(|(_, value)| value.as_slice()).collect();
        assert_eq!(heard, meant, "{name} of {answer:?}");
    }
}

/// A pipe in memory.
struct Pipe(DuplexStream);

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Duplex for Pipe {
    fn peer_addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }

    fn local_addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], 80).into()
    }
}
