//! The SCSP port's codec against hyper: the same service, the same requests, the same streams, one run.
//!
//! Both sides run on one thread over in-memory pipes, with a time-out on heads, and answer the same fields and body. The
//! client is a loop over raw bytes, so that the servers are most of what is measured. The sides take turns, because
//! other work on the machine comes and goes.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use swarm_env::live::{HostSpec, LiveWorld};
use swarm_env::{Duplex, Env, Stream, hyper_rt};
use swarm_http::codec::{self, Body, FieldBlock, Limits};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};

use crate::report::{Report, Target};
use crate::rounds::{ROUNDS, Summary};

/// Requests a second, ours over hyper's.
pub(crate) const READ: &str = "codec: reads of 4 KiB, over hyper's";
pub(crate) const WRITE: &str = "codec: writes of 4 KiB, over hyper's";

/// At least as fast as hyper.
const TARGET: Target = Target::AtLeast(1.0);

/// Requests in one turn of one side: a few tens of milliseconds.
const REQUESTS: usize = 4_000;

/// Bytes that a pipe holds: a request or an answer in one go.
const PIPE_BYTES: usize = 64 * 1024;

static BODY: [u8; 4096] = [b'x'; 4096];

/// The fields of every answer, beside the framing.
const FIELDS: [(&str, &str); 6] = [
    ("Castor-System-Cluster", "main.example.com"),
    ("Castor-System-Created", "Mon, 01 Mar 2027 00:00:00 GMT"),
    ("Content-Type", "application/octet-stream"),
    ("Date", "Mon, 01 Mar 2027 00:00:00 GMT"),
    ("Etag", "\"d41d8cd98f00b204e9800998ecf8427e\""),
    ("Server", "CAStor Cluster/15.2.0"),
];

/// The names of [`FIELDS`] as hyper wants them, made once.
static HYPER_NAMES: [HeaderName; FIELDS.len()] = [
    HeaderName::from_static("castor-system-cluster"),
    HeaderName::from_static("castor-system-created"),
    http::header::CONTENT_TYPE,
    http::header::DATE,
    http::header::ETAG,
    http::header::SERVER,
];

/// Fields of every request, as a usual client sends them.
const REQUEST_FIELDS: &str = "Host: main.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
    X-Trace-Meta-Team: radiology\r\nX-Trace-Meta-Run: nightly\r\n";

/// A request, and how long the body of its answer is.
struct Exchange {
    name: &'static str,
    request: Vec<u8>,
    answer_body_len: usize,
}

/// One server side.
#[derive(Clone, Copy)]
enum Side {
    Ours,
    Hyper,
}

/// Measures both exchanges.
pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let world = LiveWorld::new(runtime.handle().clone());
    let host = world.host(HostSpec {
        name: "bench".to_owned(),
        ip: Ipv4Addr::LOCALHOST,
        disks: Vec::new(),
    });
    for exchange in exchanges() {
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let ours = runtime.block_on(turn(Side::Ours, host.env(), &exchange))?;
            let hypers = runtime.block_on(turn(Side::Hyper, host.env(), &exchange))?;
            ratios.push(hypers.as_secs_f64() / ours.as_secs_f64());
        }
        report.add(exchange.name, Summary::median(ratios), "x", TARGET);
    }
    Ok(())
}

fn exchanges() -> [Exchange; 2] {
    let read = format!("GET /photos/2027/cat.jpg HTTP/1.1\r\n{REQUEST_FIELDS}\r\n").into_bytes();
    let length = BODY.len();
    let write = format!(
        "POST /photos/2027/cat.jpg HTTP/1.1\r\n{REQUEST_FIELDS}Content-Length: {length}\r\n\r\n"
    );
    let write = [write.as_bytes(), &BODY].concat();
    [
        Exchange { name: READ, request: read, answer_body_len: BODY.len() },
        Exchange { name: WRITE, request: write, answer_body_len: 0 },
    ]
}

/// How long one side takes for all requests, on one connection.
async fn turn(side: Side, env: &Env, exchange: &Exchange) -> anyhow::Result<Duration> {
    let (client, server) = tokio::io::duplex(PIPE_BYTES);
    let stream: Stream = Box::new(Pipe(server));
    let serve = async {
        match side {
            Side::Ours => serve_ours(stream, env).await,
            Side::Hyper => serve_hyper(stream, env).await,
        }
    };
    let ask = async {
        // A few requests fill caches and buffers first.
        let mut client = Client { stream: client, buffer: vec![0; PIPE_BYTES] };
        client.ask(exchange, REQUESTS / 10).await?;
        let begun = Instant::now();
        client.ask(exchange, REQUESTS).await?;
        Ok::<_, anyhow::Error>(begun.elapsed())
    };
    let (served, took) = tokio::join!(serve, ask);
    served?;
    took
}

async fn serve_ours(stream: Stream, env: &Env) -> anyhow::Result<()> {
    let service = tower::service_fn(answer_ours);
    codec::serve_connection(stream, env.clone(), service, Limits::default()).await;
    Ok(())
}

async fn answer_ours(mut request: codec::Request) -> Result<codec::Response, Infallible> {
    let mut got = 0;
    while let Ok(Some(piece)) = request.body.next().await {
        got += piece.len();
    }
    let mut response = codec::Response::new(200, "OK");
    let mut fields = FieldBlock::new();
    for (name, value) in FIELDS {
        fields.push(name, value);
    }
    response.fields = fields;
    if got == 0 {
        response.body = Body::Full(Bytes::from_static(&BODY));
    }
    Ok(response)
}

async fn serve_hyper(stream: Stream, env: &Env) -> anyhow::Result<()> {
    hyper::server::conn::http1::Builder::new()
        .timer(hyper_rt::EnvTimer::new(env))
        .header_read_timeout(Limits::default().head_time)
        .auto_date_header(false)
        .serve_connection(hyper_rt::io(stream), hyper::service::service_fn(answer_hyper))
        .await
        .context("hyper's side")
}

async fn answer_hyper(
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, hyper::Error> {
    let mut body = request.into_body();
    let mut got = 0;
    while let Some(frame) = body.frame().await {
        got += frame?.data_ref().map_or(0, Bytes::len);
    }
    let body = if got == 0 { Bytes::from_static(&BODY) } else { Bytes::new() };
    let mut response = hyper::Response::new(Full::new(body));
    for (name, (_, value)) in HYPER_NAMES.iter().zip(FIELDS) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// A client that knows how long the answers are.
struct Client {
    stream: DuplexStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn ask(&mut self, exchange: &Exchange, times: usize) -> anyhow::Result<()> {
        for _ in 0..times {
            self.stream.write_all(&exchange.request).await?;
            self.answer(exchange.answer_body_len).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, body_len: usize) -> anyhow::Result<()> {
        let mut filled = 0;
        loop {
            let got = self.stream.read(&mut self.buffer[filled..]).await?;
            anyhow::ensure!(got > 0, "the server closed the connection");
            filled += got;
            let answer = &self.buffer[..filled];
            let Some(head_len) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                continue;
            };
            if filled >= head_len + 4 + body_len {
                anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "the server refused");
                anyhow::ensure!(filled == head_len + 4 + body_len, "the server said too much");
                return Ok(());
            }
        }
    }
}

/// An in-memory pipe as a stream of the seam.
struct Pipe(DuplexStream);

impl Duplex for Pipe {
    fn peer_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 1))
    }

    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 80))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, from)
    }
}
