//! A world for tests of one connection: a clock that stands until it is pushed, streams in memory, no disks.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use swarm_env::{
    BoxFuture, Clock, Datagrams, Disk, Disks, Duplex, Entropy, Env, Listener, Net, Parts,
    PlantedBugs, Sleep, Stream, Tasks, UdpOptions,
};
use swarm_types::{DiskId, Instant, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// A clock that stands until [`Hand::push`].
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<Mutex<Standing>>);

#[derive(Default)]
struct Standing {
    now: Instant,
    waiting: BTreeMap<(Instant, u64), Waker>,
    sleeps: u64,
}

impl Hand {
    fn with<T>(&self, act: impl FnOnce(&mut Standing) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves the clock and wakes whoever slept until then.
    pub(crate) fn push(&self, by: Duration) {
        let due = self.with(|standing| {
            standing.now = standing.now + by;
            let later = standing.waiting.split_off(&(standing.now + Duration::from_nanos(1), 0));
            std::mem::replace(&mut standing.waiting, later)
        });
        due.into_values().for_each(Waker::wake);
    }
}

impl Clock for Hand {
    fn now(&self) -> Instant {
        self.with(|standing| standing.now)
    }

    fn wall(&self) -> Timestamp {
        // Tue, 14 Oct 2025 09:30:00 GMT, as in the documents' samples.
        Timestamp::from_secs(1_760_434_200) + Duration::from_nanos(self.now().0)
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        let number = self.with(|standing| {
            standing.sleeps += 1;
            standing.sleeps
        });
        Box::pin(Sleeping { hand: self.clone(), key: (at, number) })
    }
}

struct Sleeping {
    hand: Hand,
    key: (Instant, u64),
}

impl Future for Sleeping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.hand.with(|standing| {
            if standing.now >= self.key.0 {
                return Poll::Ready(());
            }
            standing.waiting.insert(self.key, cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        let waker = self.hand.with(|standing| standing.waiting.remove(&self.key));
        drop(waker);
    }
}

struct Nothing;

impl Entropy for Nothing {
    fn fill(&self, _: &'static str, out: &mut [u8]) {
        out.fill(7);
    }
}

impl Net for Nothing {
    fn local_ip(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }

    fn listen(&self, _: u16) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn udp(&self, _: UdpOptions) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

impl Disks for Nothing {
    fn list(&self) -> Vec<DiskId> {
        Vec::new()
    }

    fn open(&self, _: &DiskId) -> BoxFuture<'_, io::Result<Arc<dyn Disk>>> {
        Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
    }
}

impl Tasks for Nothing {
    fn spawn(&self, _: &'static str, _: BoxFuture<'static, ()>) {}

    fn offload(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        work();
        Box::pin(std::future::ready(()))
    }
}

/// An environment whose time is in the caller's hand.
pub(crate) fn env() -> (Env, Hand) {
    let hand = Hand::default();
    let env = Env::new(Parts {
        name: "test".into(),
        clock: Arc::new(hand.clone()),
        entropy: Arc::new(Nothing),
        net: Arc::new(Nothing),
        disks: Arc::new(Nothing),
        tasks: Arc::new(Nothing),
        planted: PlantedBugs::default(),
    });
    (env, hand)
}

/// A request's head with these fields, as the codec reads it.
pub(crate) fn head(line: &str, fields: &[(&str, &str)]) -> crate::codec::RequestHead {
    let mut text = format!("{line} HTTP/1.1\r\n");
    fields.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    text.push_str("\r\n");
    crate::codec::read_head(text.as_bytes()).expect("a legal head")
}

/// These fields, as the codec reads them.
pub(crate) fn fields(fields: &[(&str, &str)]) -> crate::codec::Fields {
    head("GET /", fields).fields().clone()
}

/// One end of a stream in memory as the codec takes it, and the other end.
pub(crate) fn stream(buffer: usize) -> (Stream, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(buffer);
    (Box::new(InMemory(ours)), theirs)
}

struct InMemory(DuplexStream);

impl AsyncRead for InMemory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for InMemory {
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

impl Duplex for InMemory {
    fn peer_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 1).into()
    }

    fn local_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 80).into()
    }
}
