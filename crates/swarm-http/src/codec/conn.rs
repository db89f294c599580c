//! One connection's stream, buffers, clock and place within the request being read.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use swarm_env::{Env, Sleep, Stream};
use swarm_types::Instant;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::Limits;
use super::chunked::{Decoder, Step};
use super::head::{BadHead, Framing, HeadProgress, RequestHead, take_head};
use crate::status;

/// Room asked for before a read of a head or a short body.
const READ_BYTES: usize = 8 * 1024;

/// Room asked for before a read of a long body.
const BULK_READ_BYTES: usize = 64 * 1024;

/// A connection between two requests or within one. Moves as a whole between the serving loop and the body it lends it to.
pub(super) struct Conn {
    stream: Stream,
    pub(super) env: Env,
    pub(super) limits: Limits,
    read: BytesMut,
    pub(super) write: Vec<u8>,
    timer: Timer,
    pace: Pace,
    progress: HeadProgress,
    pub(super) decoder: Decoder,
    /// A `100 Continue` is still owed, and due when the body is first asked for.
    pub(super) continue_due: bool,
    /// The request's bytes ended early, made no sense or came too slowly: nothing behind them can be understood.
    pub(super) broken: bool,
}

/// How reading from or writing to the peer ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("the peer is gone")]
    Gone(#[from] io::Error),
    #[error("the peer is too slow")]
    TimedOut,
}

/// Why there is no next head.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The connection ended between two requests, or idled for too long.
    Ended,
    /// It ended or stalled within a head.
    Stopped,
    /// The head makes no sense and deserves an answer.
    Bad(BadHead),
}

/// Why there is no next piece of a body.
#[derive(Debug)]
pub(super) enum NoPiece {
    Ended,
    TimedOut,
    Malformed(&'static str),
}

/// A deadline that is nearly always moved before it is met: one pending sleep serves many deadlines, and is replaced only
/// when it fires or a nearer one is needed.
#[derive(Default)]
struct Timer {
    pending: Option<(Instant, Sleep)>,
}

impl Timer {
    fn poll(&mut self, env: &Env, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (_, sleep) = match &mut self.pending {
                Some(pending) if pending.0 <= deadline => pending,
                pending => pending.insert((deadline, env.sleep_until(deadline))),
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.pending = None;
            if env.now() >= deadline {
                return Poll::Ready(());
            }
        }
    }
}

/// Demands a least number of bytes per period from whoever moves a body.
#[derive(Default)]
struct Pace {
    deadline: Instant,
    missing: u64,
}

impl Pace {
    fn start(&mut self, env: &Env, limits: &Limits) {
        self.deadline = env.now() + limits.progress_time;
        self.missing = limits.progress_bytes;
    }

    fn moved(&mut self, bytes: usize, env: &Env, limits: &Limits) {
        self.missing = self.missing.saturating_sub(bytes as u64);
        if self.missing == 0 {
            self.start(env, limits);
        }
    }
}

impl Conn {
    pub(super) fn new(stream: Stream, env: Env, limits: Limits) -> Self {
        Self {
            stream,
            env,
            limits,
            read: BytesMut::new(),
            write: Vec::new(),
            timer: Timer::default(),
            pace: Pace::default(),
            progress: HeadProgress::default(),
            decoder: Decoder::new(Framing::Absent),
            continue_due: false,
            broken: false,
        }
    }

    pub(super) fn peer(&self) -> std::net::SocketAddr {
        self.stream.peer_addr()
    }

    /// Waits for the next request head and gets ready for its body.
    pub(super) async fn next_head(&mut self) -> Result<RequestHead, NoHead> {
        let mut deadline = None;
        loop {
            match take_head(&mut self.read, &mut self.progress, &self.limits) {
                Ok(Some(head)) => {
                    self.decoder = Decoder::new(head.framing());
                    self.continue_due = head.expects_continue() && !self.decoder.is_done();
                    return Ok(head);
                }
                Ok(None) => {}
                Err(bad) => {
                    self.broken = true;
                    return Err(NoHead::Bad(bad));
                }
            }
            let begun = !self.read.is_empty();
            if !begun && self.read.capacity() > 2 * READ_BYTES {
                // What a long body needed must not be kept while nobody asks for anything.
                self.read = BytesMut::new();
            }
            if begun && deadline.is_none() {
                deadline = Some(self.env.now() + self.limits.head_time);
            }
            let until = deadline.unwrap_or_else(|| self.env.now() + self.limits.idle_time);
            match self.fill(READ_BYTES, until).await {
                Ok(1..) => {}
                _ if begun => return Err(NoHead::Stopped),
                _ => return Err(NoHead::Ended),
            }
        }
    }

    /// The next piece of the request's body, `None` behind the last.
    pub(super) async fn next_piece(&mut self) -> Result<Option<bytes::Bytes>, NoPiece> {
        if self.continue_due {
            self.continue_due = false;
            self.write.extend_from_slice(status::CONTINUE);
        }
        self.pace.start(&self.env, &self.limits);
        loop {
            match self.decoder.step(&mut self.read, &self.limits) {
                Ok(Step::Piece(piece)) => return Ok(Some(piece)),
                Ok(Step::End) => return Ok(None),
                Ok(Step::NeedMore) => {}
                Err(why) => {
                    self.broken = true;
                    return Err(NoPiece::Malformed(why));
                }
            }
            let bulk = self.decoder.remaining().is_none_or(|left| left > READ_BYTES as u64);
            let room = if bulk { BULK_READ_BYTES } else { READ_BYTES };
            let stopped = match self.fill(room, self.pace.deadline).await {
                Ok(0) | Err(Stopped::Gone(_)) => NoPiece::Ended,
                Err(Stopped::TimedOut) => NoPiece::TimedOut,
                Ok(bytes) => {
                    self.pace.moved(bytes, &self.env, &self.limits);
                    continue;
                }
            };
            self.broken = true;
            return Err(stopped);
        }
    }

    /// Reads on and throws away, at most `limits.discard_bytes`; true if the body ended within them.
    pub(super) async fn discard_body(&mut self) -> bool {
        let allowed = self.limits.discard_bytes;
        if self.broken || self.decoder.remaining().is_some_and(|left| left > allowed) {
            return false;
        }
        let mut discarded = 0;
        while discarded <= allowed {
            match self.next_piece().await {
                Ok(Some(piece)) => discarded += piece.len() as u64,
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        false
    }

    /// Reads what the peer sends, after sending what was written: nobody may wait for bytes that lie in our buffer.
    async fn fill(&mut self, room: usize, deadline: Instant) -> Result<usize, Stopped> {
        if !self.write.is_empty() {
            self.flush().await?;
        }
        self.read.reserve(room);
        let Self { stream, read, timer, env, .. } = self;
        let mut reading = pin!(stream.read_buf(read));
        poll_fn(|cx| {
            if let Poll::Ready(done) = reading.as_mut().poll(cx) {
                return Poll::Ready(done.map_err(Stopped::Gone));
            }
            timer.poll(env, deadline, cx).map(|()| Err(Stopped::TimedOut))
        })
        .await
    }

    /// Sends what was written.
    pub(super) async fn flush(&mut self) -> Result<(), Stopped> {
        self.send_with(&[]).await
    }

    /// Sends what was written and `body` behind it.
    pub(super) async fn send_with(&mut self, body: &[u8]) -> Result<(), Stopped> {
        self.pace.start(&self.env, &self.limits);
        let Self { stream, write, timer, pace, env, limits, .. } = self;
        let (mut head, mut body) = (write.as_slice(), body);
        while !(head.is_empty() && body.is_empty()) {
            let sent = poll_fn(|cx| {
                let polled = poll_write_both(stream, head, body, cx);
                if let Poll::Ready(done) = polled {
                    return Poll::Ready(done.map_err(Stopped::Gone));
                }
                timer.poll(env, pace.deadline, cx).map(|()| Err(Stopped::TimedOut))
            })
            .await?;
            if sent == 0 {
                return Err(Stopped::Gone(io::ErrorKind::WriteZero.into()));
            }
            pace.moved(sent, env, limits);
            let of_head = sent.min(head.len());
            head = &head[of_head..];
            body = &body[sent - of_head..];
        }
        write.clear();
        // A long head (a status page, a listing) must not be kept for the life of an idle connection.
        write.shrink_to(BULK_READ_BYTES);
        poll_fn(|cx| {
            if let Poll::Ready(done) = Pin::new(&mut *stream).poll_flush(cx) {
                return Poll::Ready(done.map_err(Stopped::Gone));
            }
            timer.poll(env, pace.deadline, cx).map(|()| Err(Stopped::TimedOut))
        })
        .await
    }

    /// Says that nothing more will be sent, then reads on for a while: closing while bytes arrive would reset the connection
    /// and might destroy the answer on its way.
    pub(super) async fn linger(mut self) {
        let deadline = self.env.now() + self.limits.linger_time;
        let Self { stream, timer, env, .. } = &mut self;
        let shut = poll_fn(|cx| match Pin::new(&mut *stream).poll_shutdown(cx) {
            Poll::Ready(done) => Poll::Ready(done.is_ok()),
            Poll::Pending => timer.poll(env, deadline, cx).map(|()| false),
        });
        if !shut.await {
            return;
        }
        let mut allowed = self.limits.discard_bytes;
        loop {
            self.read.clear();
            match self.fill(READ_BYTES, deadline).await {
                Ok(bytes @ 1..) if bytes as u64 <= allowed => allowed -= bytes as u64,
                _ => return,
            }
        }
    }
}

fn poll_write_both(
    stream: &mut Stream,
    head: &[u8],
    body: &[u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    if head.is_empty() {
        stream.poll_write(cx, body)
    } else if body.is_empty() || !stream.is_write_vectored() {
        stream.poll_write(cx, head)
    } else {
        stream.poll_write_vectored(cx, &[io::IoSlice::new(head), io::IoSlice::new(body)])
    }
}

/// How long the serving loop waits for a connection that a dropped or runaway body still holds.
pub(super) const LENT_TIME: Duration = Duration::from_secs(60);
