//! Connecting and listening: refused where nobody listens, retried and timed out where nobody answers.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use swarm_env::{BoxFuture, Listener, Stream};

use crate::env::HostEnv;
use crate::host::{HostId, HostLife};
use crate::kernel::{Event, State};
use crate::net::datagram::{address_bits, host_at};
use crate::net::stream::SimStream;
use crate::net::{Side, dead};
use crate::slab::Key;
use crate::trace::Kind;
use crate::wake::{Waiter, lock, register};

/// Connections that wait to be accepted; more are not answered, as with a full backlog.
const BACKLOG_MAX: usize = 1024;

/// After this long without an answer an attempt has failed.
const GIVE_UP_NS: u64 = 20_000_000_000;

/// The first repetition; each further one waits twice as long (as in common TCP stacks).
const FIRST_RETRY_NS: u64 = 1_000_000_000;

/// A port that is listened on.
pub(crate) struct Listening {
    backlog: VecDeque<Key>,
    waker: Option<Waiter>,
}

/// An attempt to connect.
pub(crate) struct Dial {
    pub(crate) host: HostId,
    to: SocketAddrV4,
    local: SocketAddrV4,
    started: u64,
    retry_ns: u64,
    stage: Stage,
    waker: Option<Waiter>,
}

enum Stage {
    /// The request is on its way.
    Asking,
    /// The answer is on its way.
    Answered(Result<Key, io::ErrorKind>),
    /// Nobody answered; asking again at the next step.
    Silent,
    /// The outcome is there to be fetched.
    Done(Result<Key, io::ErrorKind>),
}

impl State {
    /// The next step of an attempt: its request or its answer arrives, or it is repeated.
    pub(crate) fn dial_step(&mut self, key: Key) {
        let Some(dial) = self.net.dials.get(key) else { return };
        let (host, to) = (dial.host, dial.to);
        match dial.stage {
            Stage::Asking => self.dial_asked(key, host, to),
            Stage::Silent => {
                let arrives = match host_at(self, *to.ip()) {
                    Some(target) => self.arrives(host, target),
                    None => self.now,
                };
                self.dial_next(key, Stage::Asking, arrives);
            }
            Stage::Answered(outcome) => {
                let target = host_at(self, *to.ip());
                match target.and_then(|target| self.blocked(target, host)) {
                    // The answer is lost; it is repeated until the asker gives up.
                    Some(fault) => {
                        self.bite(fault, 1);
                        self.dial_retry(key, Stage::Answered(outcome));
                    }
                    None => self.dial_done(key, outcome),
                }
            }
            Stage::Done(_) => {}
        }
    }

    fn dial_asked(&mut self, key: Key, host: HostId, to: SocketAddrV4) {
        let Some(target) = host_at(self, *to.ip()) else {
            return self.dial_retry(key, Stage::Silent);
        };
        if let Some(fault) = self.blocked(host, target) {
            self.bite(fault, 1);
            return self.dial_retry(key, Stage::Silent);
        }
        let listening = self.host(target).listeners.get(&to.port()).copied();
        let outcome = match listening.and_then(|key| self.net.listeners.get(key)) {
            _ if self.host(target).life == HostLife::Off => Err(io::ErrorKind::ConnectionRefused),
            None => Err(io::ErrorKind::ConnectionRefused),
            Some(listening) if listening.backlog.len() >= BACKLOG_MAX => {
                return self.dial_retry(key, Stage::Silent);
            }
            Some(_) => Ok(self.accept_dial(key, host, target)),
        };
        if outcome.is_err() && !self.host(target).is_on() {
            self.bite(self.host(target).off_fault, 1);
        }
        if let (Ok(connection), Some(listener)) = (outcome, listening)
            && let Some(listening) = self.net.listeners.get_mut(listener)
        {
            listening.backlog.push_back(connection);
            let waker = listening.waker.take();
            self.to_wake.extend(waker);
        }
        let arrives = self.arrives(target, host);
        self.dial_next(key, Stage::Answered(outcome), arrives);
    }

    fn accept_dial(&mut self, key: Key, host: HostId, target: HostId) -> Key {
        let addresses = match self.net.dials.get(key) {
            Some(dial) => [dial.local, dial.to],
            None => [SocketAddrV4::new(self.host(host).ip, 0); 2],
        };
        self.new_connection([host, target], addresses)
    }

    fn dial_next(&mut self, key: Key, stage: Stage, at: u64) {
        if let Some(dial) = self.net.dials.get_mut(key) {
            dial.stage = stage;
            self.schedule(at, Event::Dial(key));
        }
    }

    fn dial_retry(&mut self, key: Key, stage: Stage) {
        let now = self.now;
        let Some(dial) = self.net.dials.get_mut(key) else { return };
        let give_up = dial.started + GIVE_UP_NS;
        if now >= give_up {
            if let Stage::Answered(Ok(connection)) = stage {
                self.close_end(connection, Side::A);
            }
            return self.dial_done(key, Err(io::ErrorKind::TimedOut));
        }
        let at = (now + dial.retry_ns).min(give_up);
        dial.retry_ns *= 2;
        self.dial_next(key, stage, at);
    }

    fn dial_done(&mut self, key: Key, outcome: Result<Key, io::ErrorKind>) {
        let now = self.now;
        let Some(dial) = self.net.dials.get_mut(key) else { return };
        let (host, to) = (u64::from(dial.host.0), address_bits(dial.to));
        dial.stage = Stage::Done(outcome);
        let waker = dial.waker.take();
        self.to_wake.extend(waker);
        self.trace.record(now, Kind::Dialed, host, to, u64::from(outcome.is_ok()));
    }

    /// Forgets an attempt; a connection that it already made is closed at this end.
    pub(crate) fn drop_dial(&mut self, key: Key) {
        let Some(dial) = self.net.dials.remove(key) else { return };
        self.to_drop.extend(dial.waker);
        if let Stage::Answered(Ok(connection)) | Stage::Done(Ok(connection)) = dial.stage {
            self.close_end(connection, Side::A);
        }
    }

    /// Closes a port that is free already; who waits to be accepted is reset.
    pub(crate) fn drop_listener(&mut self, key: Key) {
        let Some(listening) = self.net.listeners.remove(key) else { return };
        self.to_drop.extend(listening.waker);
        for connection in listening.backlog {
            self.reset_from(connection, Side::B);
        }
    }
}

/// A future connection.
pub(crate) struct Connecting {
    env: HostEnv,
    to: SocketAddr,
    dial: Option<Key>,
}

impl Connecting {
    pub(crate) fn new(env: HostEnv, to: SocketAddr) -> Self {
        Self { env, to, dial: None }
    }

    fn begin(&self) -> io::Result<Key> {
        let SocketAddr::V4(to) = self.to else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut state = lock(&self.env.kernel.state);
        if std::thread::panicking() || !state.alive(self.env.host, self.env.incarnation) {
            return Err(dead());
        }
        let host = state.host_mut(self.env.host);
        let port = host.free_port().ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))?;
        let started = state.now;
        let dial = state.net.dials.insert(Dial {
            host: self.env.host,
            to,
            local: SocketAddrV4::new(self.env.ip, port),
            started,
            retry_ns: FIRST_RETRY_NS,
            stage: Stage::Silent,
            waker: None,
        });
        state.dial_step(dial);
        Ok(dial)
    }
}

impl Future for Connecting {
    type Output = io::Result<Stream>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let key = match self.dial {
            Some(key) => key,
            None => match self.begin() {
                Ok(key) => *self.dial.insert(key),
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        let waiter = self.env.kernel.wakes.waiter(cx.waker());
        let (outcome, unused) = {
            let mut state = lock(&self.env.kernel.state);
            match state.net.dials.get_mut(key) {
                None => (Some(Err(io::ErrorKind::BrokenPipe)), Some(waiter)),
                Some(dial) => match dial.stage {
                    Stage::Done(outcome) => {
                        let local = dial.local;
                        let done = state.net.dials.remove(key);
                        let waiter = done.and_then(|dial| dial.waker);
                        (Some(outcome.map(|connection| (connection, local))), waiter)
                    }
                    _ => (None, register(&mut dial.waker, waiter)),
                },
            }
        };
        drop(unused);
        let Some(outcome) = outcome else { return Poll::Pending };
        self.dial = None;
        Poll::Ready(match outcome {
            Ok((connection, local)) => {
                let (kernel, local) = (Arc::clone(&self.env.kernel), SocketAddr::V4(local));
                Ok(Box::new(SimStream::new(kernel, connection, Side::A, local, self.to)))
            }
            Err(kind) => Err(kind.into()),
        })
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(key) = self.dial {
            lock(&self.env.kernel.state).drop_dial(key);
        }
    }
}

pub(crate) fn listen(env: &HostEnv, port: u16) -> io::Result<Box<dyn Listener>> {
    let mut guard = lock(&env.kernel.state);
    let state = &mut *guard;
    if std::thread::panicking() || !state.alive(env.host, env.incarnation) {
        return Err(dead());
    }
    let host = state.host_mut(env.host);
    let port = match port {
        0 => host.free_port().ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))?,
        port if host.listeners.contains_key(&port) => return Err(io::ErrorKind::AddrInUse.into()),
        port => port,
    };
    let listening = Listening { backlog: VecDeque::new(), waker: None };
    let key = state.net.listeners.insert(listening);
    state.host_mut(env.host).listeners.insert(port, key);
    Ok(Box::new(SimListener { env: env.clone(), key, local: SocketAddrV4::new(env.ip, port) }))
}

/// A listener in the hands of a host.
struct SimListener {
    env: HostEnv,
    key: Key,
    local: SocketAddrV4,
}

impl SimListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        let waiter = self.env.kernel.wakes.waiter(cx.waker());
        let (accepted, unused) = {
            let mut state = lock(&self.env.kernel.state);
            match state.net.listeners.get_mut(self.key) {
                None => (Some(Err(dead())), Some(waiter)),
                Some(listening) => match listening.backlog.pop_front() {
                    Some(connection) => {
                        let peer = state.peer_of(connection, Side::B);
                        (Some(Ok((connection, peer.unwrap_or(self.local)))), Some(waiter))
                    }
                    None => (None, register(&mut listening.waker, waiter)),
                },
            }
        };
        drop(unused);
        match accepted {
            None => Poll::Pending,
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok((connection, peer))) => {
                let (kernel, local) = (Arc::clone(&self.env.kernel), self.local.into());
                let stream = SimStream::new(kernel, connection, Side::B, local, peer.into());
                Poll::Ready(Ok((Box::new(stream), peer.into())))
            }
        }
    }
}

impl Listener for SimListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(poll_fn(|cx| self.poll_accept(cx)))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local.into()
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut state = lock(&self.env.kernel.state);
        if state.net.listeners.contains(self.key) {
            state.host_mut(self.env.host).listeners.remove(&self.local.port());
            state.drop_listener(self.key);
        }
    }
}
