//! One connection: hyper's side of it, driven inline by whoever waits for its answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use swarm_env::{Env, Sleep, Stream};
use swarm_types::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::body::{Gate, Outgoing};
use crate::redirect::Hop;
use crate::{Error, ErrorKind, Patience, Request, Sent, Shared};

/// Header fields in an answer; Swarm allows 500 stored ones besides its own.
const HEADERS_MAX: usize = 600;
/// Bytes of an answer's head, and of the read buffer.
const HEAD_BYTES_MAX: usize = 512 * 1024;

/// The head of an answer, its body still to come.
pub(crate) type Answer = hyper::Response<Incoming>;

/// When a chain of requests is given up.
pub(crate) struct Deadline {
    env: Env,
    patience: Patience,
    at: Instant,
    sleep: Sleep,
    /// Bytes that had moved when it was set.
    moved: u64,
    over: bool,
}

impl Deadline {
    pub(crate) fn new(env: &Env, patience: Patience) -> Self {
        let at = env.now() + patience.span();
        let sleep = env.sleep_until(at);
        Self { env: env.clone(), patience, at, sleep, moved: 0, over: false }
    }

    pub(crate) fn left(&self) -> Duration {
        self.at.since(self.env.now())
    }

    /// Ready when patience has run out, then and ever after; `moved` are the bytes of this connection so far.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<()> {
        while !self.over {
            ready!(self.sleep.as_mut().poll(cx));
            match self.patience {
                Patience::Idle(span) if moved != self.moved => {
                    self.moved = moved;
                    self.at = self.env.now() + span;
                    self.sleep = self.env.sleep_until(self.at);
                }
                Patience::Idle(_) | Patience::Whole(_) => self.over = true,
            }
        }
        Poll::Ready(())
    }
}

/// A connection that can carry one request at a time.
pub(crate) struct Connection {
    to: SocketAddr,
    sender: http1::SendRequest<Outgoing>,
    /// hyper's half; gone when it has ended.
    driver: Option<http1::Connection<TokioIo<Counted>, Outgoing>>,
    /// Why it ended, where it told nobody else.
    failure: Option<ErrorKind>,
    traffic: Arc<Traffic>,
    /// Traffic when the present request began.
    written_before: u64,
    read_before: u64,
}

impl Connection {
    /// Opens a connection.
    pub(crate) async fn open(
        shared: &Shared,
        to: SocketAddr,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let fail = |kind| Error::new(kind, to, Sent::Nothing);
        let limit = shared.options.connect.min(deadline.left());
        let stream = match shared.env.timeout(limit, shared.env.net().connect(to)).await {
            Err(_) => return Err(fail(ErrorKind::Timeout)),
            Ok(Err(error)) => return Err(fail(ErrorKind::of_io(error))),
            Ok(Ok(stream)) => stream,
        };
        let traffic = Arc::new(Traffic::default());
        let counted = Counted { stream, traffic: Arc::clone(&traffic) };
        let handshake = http1::Builder::new()
            .title_case_headers(true)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(counted))
            .await;
        let (sender, driver) = handshake.map_err(|error| fail(ErrorKind::of_hyper(&error)))?;
        Ok(Self {
            to,
            sender,
            driver: Some(driver),
            failure: None,
            traffic,
            written_before: 0,
            read_before: 0,
        })
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn ask(
        &mut self,
        shared: &Shared,
        request: &Request,
        hop: &Hop,
        deadline: &mut Deadline,
    ) -> Result<Answer, Error> {
        self.written_before = self.traffic.written();
        self.read_before = self.traffic.read();
        let held = !request.body.is_empty()
            && (request.expect || request.body.len() > shared.options.expect_above);
        let gate = Gate::new(!held);
        let authorization = request.auth.as_ref().and_then(|auth| {
            let Shared { env, challenges, .. } = shared;
            challenges.authorize(env, self.to, auth, &request.method, &hop.target)
        });
        let message = compose(request, hop, held, &gate, authorization)
            .map_err(|why| Error::new(ErrorKind::Protocol(why), self.to, Sent::Nothing))?;
        let mut hold = held.then(|| shared.sleep(shared.options.expect));
        let mut answer = std::pin::pin!(self.sender.try_send_request(message));
        let outcome = std::future::poll_fn(|cx| {
            loop {
                drive(&mut self.driver, &mut self.failure, cx);
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(answer.map_err(|error| ErrorKind::of_hyper(error.error())));
                }
                if deadline.poll(cx, self.traffic.both()).is_ready() {
                    return Poll::Ready(Err(ErrorKind::Timeout));
                }
                match &mut hold {
                    Some(sleep) => ready!(sleep.as_mut().poll(cx)),
                    None => return Poll::Pending,
                }
                hold = None;
                gate.open();
            }
        })
        .await;
        outcome.map_err(|kind| Error::new(kind, self.to, self.sent(&gate)))
    }

    /// Bytes that have passed in both directions.
    pub(crate) fn moved(&self) -> u64 {
        self.traffic.both()
    }

    /// Where it leads.
    pub(crate) fn to(&self) -> SocketAddr {
        self.to
    }

    /// Drives the connection as far as it goes now.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, &mut self.failure, cx);
    }

    /// Why the connection ended, if it told nobody else.
    pub(crate) fn take_failure(&mut self) -> Option<ErrorKind> {
        self.failure.take()
    }

    /// True if it can carry the next request.
    pub(crate) fn is_reusable(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// True if not a byte has arrived since the present request began.
    pub(crate) fn silent(&self) -> bool {
        self.traffic.read() == self.read_before
    }

    fn sent(&self, gate: &Gate) -> Sent {
        let nothing = self.traffic.written() == self.written_before || !gate.is_open();
        if nothing { Sent::Nothing } else { Sent::Perhaps }
    }
}

/// A free function so that the answer's future can be polled beside it.
fn drive(
    driver: &mut Option<http1::Connection<TokioIo<Counted>, Outgoing>>,
    failure: &mut Option<ErrorKind>,
    cx: &mut Context<'_>,
) {
    let Some(running) = driver else { return };
    if let Poll::Ready(ended) = Pin::new(running).poll(cx) {
        *driver = None;
        *failure = ended.err().map(|error| ErrorKind::of_hyper(&error));
    }
}

/// The request as hyper sends it.
fn compose(
    request: &Request,
    hop: &Hop,
    held: bool,
    gate: &Gate,
    authorization: Option<String>,
) -> Result<hyper::Request<Outgoing>, String> {
    let mut builder = hyper::Request::builder().method(&*request.method).uri(&*hop.target);
    let host = request.headers.get("host").filter(|_| !hop.redirected);
    builder = match host {
        Some(host) => builder.header("host", &*host.value),
        None => builder.header("host", hop.to.to_string()),
    };
    for header in request.headers.iter().filter(|header| !header.is("host")) {
        builder = builder.header(&*header.name, &*header.value);
    }
    if let Some(authorization) = authorization {
        builder = builder.header("authorization", authorization);
    }
    let framed = request.headers.get("content-length").is_some()
        || request.headers.get("transfer-encoding").is_some();
    let bodiless = matches!(&*request.method, "GET" | "HEAD" | "DELETE" | "OPTIONS" | "TRACE");
    if !(framed || bodiless && request.body.is_empty()) {
        builder = builder.header("content-length", request.body.len());
    }
    if held && request.headers.get("expect").is_none() {
        builder = builder.header("expect", "100-continue");
    }
    let body = Outgoing::new(request.body.clone(), gate.clone());
    let mut message = builder.body(body).map_err(|error| error.to_string())?;
    if held {
        let gate = gate.clone();
        hyper::ext::on_informational(&mut message, move |answer| {
            if answer.status() == hyper::StatusCode::CONTINUE {
                gate.open();
            }
        });
    }
    Ok(message)
}

/// How many bytes have passed.
#[derive(Default)]
struct Traffic {
    written: AtomicU64,
    read: AtomicU64,
}

impl Traffic {
    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    fn both(&self) -> u64 {
        self.written() + self.read()
    }
}

/// A stream that counts: an error alone does not tell whether the server can have seen the request.
struct Counted {
    stream: Stream,
    traffic: Arc<Traffic>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.traffic.read.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.count_written(&outcome);
        Poll::Ready(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices));
        self.count_written(&outcome);
        Poll::Ready(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Counted {
    fn count_written(&self, outcome: &io::Result<usize>) {
        let written = outcome.as_ref().map_or(0, |written| *written as u64);
        self.traffic.written.fetch_add(written, Ordering::Relaxed);
    }
}
