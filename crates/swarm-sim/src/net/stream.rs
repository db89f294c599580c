//! Streams: per direction a queue of bytes with arrival times, a window, and at most one event in the heap.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use swarm_env::Duplex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::host::{Ending, HostId};
use crate::kernel::{Event, Kernel, State, on_grid};
use crate::net::traps::Losing;
use crate::net::{RETRANSMIT_NS, Side, dead};
use crate::slab::Key;
use crate::trace::Kind;
use crate::wake::{Waiter, lock, register};

/// Bytes of one direction that are sent and not yet read; a writer beyond that waits.
const WINDOW_BYTES: usize = 1 << 20;

/// Largest piece that travels as a unit.
const SEGMENT_BYTES_MAX: usize = 64 * 1024;

/// A connection whose way has been broken for so long ends with a time-out (keep-alive or retransmission limit).
const SILENCE_MAX_NS: u64 = 60_000_000_000;

/// One connection.
pub(crate) struct Connection {
    pub(super) hosts: [HostId; 2],
    pub(super) addresses: [SocketAddrV4; 2],
    ends: [End; 2],
    /// By the side that sends.
    pub(super) ways: [Way; 2],
    /// Counts breaks and repairs; a pending silence of another number is void.
    silence: u32,
    broken: bool,
    /// The network has forgotten it: nothing of it arrives any more. The fault, 0 for one that has counted already.
    void: Option<u64>,
}

/// What one host has of a connection.
#[derive(Default)]
struct End {
    /// The stream was dropped, or its incarnation is gone.
    closed: bool,
    /// The machine lost power and knows nothing of the connection any more.
    lost: bool,
    /// What reads and writes end with.
    error: Option<io::ErrorKind>,
    /// What writes end with, while reads still go on.
    write_error: Option<io::ErrorKind>,
    reader: Option<Waiter>,
    writer: Option<Waiter>,
}

/// One direction.
#[derive(Default)]
pub(super) struct Way {
    /// On the wire, by arrival time.
    pub(super) flying: VecDeque<(u64, Segment)>,
    /// Arrived and not read.
    arrived: VecDeque<Bytes>,
    /// Sent and not known by the sender to be read.
    unacknowledged: usize,
    /// Read and not known by the sender.
    uncredited: usize,
    /// The sender has closed.
    finished: bool,
    /// The end has arrived.
    ended: bool,
    /// A delivery is in the heap.
    delivery: bool,
    /// A credit is in the heap.
    crediting: bool,
    /// Something was written.
    pub(super) spoken: bool,
    /// A trap has sprung on it.
    pub(super) losing: Option<Losing>,
}

pub(super) enum Segment {
    Bytes(Bytes),
    /// The sender closed in order.
    End,
    /// The sender no longer takes bytes; what it wrote before stays readable.
    StopSending,
    /// The sender is gone.
    Reset,
}

impl Way {
    fn clear(&mut self) {
        self.flying.clear();
        self.arrived.clear();
    }
}

impl State {
    pub(crate) fn new_connection(
        &mut self,
        hosts: [HostId; 2],
        addresses: [SocketAddrV4; 2],
    ) -> Key {
        self.net.connections.insert(Connection {
            hosts,
            addresses,
            ends: Default::default(),
            ways: Default::default(),
            silence: 0,
            broken: false,
            void: None,
        })
    }

    pub(crate) fn peer_of(&self, key: Key, side: Side) -> Option<SocketAddrV4> {
        let connection = self.net.connections.get(key)?;
        Some(connection.addresses[side.other().index()])
    }

    /// Puts a segment on the wire.
    fn send_segment(&mut self, key: Key, from: Side, segment: Segment) {
        let Some(connection) = self.net.connections.get(key) else { return };
        if let Some(fault) = connection.void {
            return self.bite(fault, 1);
        }
        let (source, target) =
            (connection.hosts[from.index()], connection.hosts[from.other().index()]);
        let bytes = match &segment {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::End | Segment::StopSending | Segment::Reset => 0,
        };
        let mut road = self.way(source, target);
        let departs = self.departs(&mut road, bytes);
        let delay = self.latency(&mut road) + self.retransmissions(&mut road, bytes);
        let arrives = self.arrival(&road, departs.saturating_add(delay));
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let way = &mut connection.ways[from.index()];
        let before = way.flying.back().map_or(0, |(at, _)| *at);
        way.flying.push_back((arrives.max(before), segment));
        self.schedule_delivery(key, from);
    }

    /// One event per direction: for the first segment on the wire.
    fn schedule_delivery(&mut self, key: Key, from: Side) {
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let way = &mut connection.ways[from.index()];
        if way.delivery {
            return;
        }
        if let Some((at, _)) = way.flying.front() {
            let at = *at;
            way.delivery = true;
            self.schedule(at, Event::Deliver(key, from));
        }
    }

    pub(crate) fn deliver(&mut self, key: Key, from: Side) {
        let now = self.now;
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        connection.ways[from.index()].delivery = false;
        let hosts = connection.hosts;
        if let Some(fault) = self.stalled(hosts, from) {
            let Some(connection) = self.net.connections.get(key) else { return };
            let way = &connection.ways[from.index()];
            let due = way.flying.iter().take_while(|(at, _)| *at <= now).count();
            return self.bite(fault, due as u64);
        }
        while let Some(connection) = self.net.connections.get_mut(key) {
            let way = &mut connection.ways[from.index()];
            match way.flying.front() {
                Some((at, _)) if *at <= now => {}
                _ => break,
            }
            let Some((_, segment)) = way.flying.pop_front() else { break };
            self.segment_arrives(key, from, segment);
        }
        self.schedule_delivery(key, from);
    }

    fn segment_arrives(&mut self, key: Key, from: Side, segment: Segment) {
        let to = from.other();
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let way = &mut connection.ways[from.index()];
        let end = &mut connection.ends[to.index()];
        let mut length = 0;
        let mut refused = false;
        match segment {
            Segment::Bytes(bytes) => {
                length = bytes.len() as u64;
                if end.closed {
                    refused = true;
                } else {
                    way.arrived.push_back(bytes);
                }
            }
            Segment::End => way.ended = true,
            Segment::StopSending => end.write_error = Some(io::ErrorKind::BrokenPipe),
            Segment::Reset => {
                way.arrived.clear();
                end.error = Some(io::ErrorKind::ConnectionReset);
            }
        }
        self.to_wake.extend(end.reader.take());
        if end.error.is_some() || end.write_error.is_some() {
            self.to_wake.extend(end.writer.take());
        }
        let (now, id) = (self.now, key.bits() << 1 | from.index() as u64);
        self.trace.record(now, Kind::Delivered, id, length, 0);
        if refused {
            self.refuse(key, to);
        }
    }

    /// Bytes came to a closed end: its host answers that they are not wanted.
    fn refuse(&mut self, key: Key, side: Side) {
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let way = &mut connection.ways[side.index()];
        let answered = way
            .flying
            .iter()
            .any(|(_, segment)| !matches!(segment, Segment::Bytes(_) | Segment::End));
        let known = connection.ends[side.other().index()].write_error.is_some();
        let lost = connection.ends[side.index()].lost;
        if !answered && !known {
            let answer = if lost { Segment::Reset } else { Segment::StopSending };
            self.send_segment(key, side, answer);
        }
    }

    /// The sender learns that bytes were read.
    pub(crate) fn credit(&mut self, key: Key, from: Side) {
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        connection.ways[from.index()].crediting = false;
        let hosts = connection.hosts;
        if self.stalled(hosts, from.other()).is_some() {
            return;
        }
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let way = &mut connection.ways[from.index()];
        way.unacknowledged -= std::mem::take(&mut way.uncredited);
        self.to_wake.extend(connection.ends[from.index()].writer.take());
    }

    /// Lets a waiting writer know what was read. Nobody else needs to.
    fn schedule_credit(&mut self, key: Key, from: Side) {
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let way = &mut connection.ways[from.index()];
        let waits = connection.ends[from.index()].writer.is_some();
        if way.crediting || !waits || way.uncredited == 0 {
            return;
        }
        way.crediting = true;
        let hosts = connection.hosts;
        let at = self.arrives(hosts[from.other().index()], hosts[from.index()]);
        self.schedule(at, Event::Credit(key, from));
    }

    /// The stream at this end is dropped: what was written still arrives, then the end.
    pub(crate) fn close_end(&mut self, key: Key, side: Side) {
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let end = &mut connection.ends[side.index()];
        if end.closed {
            return;
        }
        end.closed = true;
        let failed = end.error.is_some();
        self.to_drop.extend(end.reader.take());
        self.to_drop.extend(end.writer.take());
        let unread = !connection.ways[side.other().index()].arrived.is_empty();
        connection.ways[side.other().index()].arrived.clear();
        let finished = std::mem::replace(&mut connection.ways[side.index()].finished, true);
        if !finished && !failed {
            self.send_segment(key, side, Segment::End);
        }
        if unread && !failed {
            // A peer that waits for its window would wait for ever.
            self.refuse(key, side);
        }
        self.forget_if_over(key);
    }

    /// This end vanishes and its peer is told so.
    pub(crate) fn reset_from(&mut self, key: Key, side: Side) {
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let end = &mut connection.ends[side.index()];
        if std::mem::replace(&mut end.closed, true) {
            return;
        }
        self.to_drop.extend(end.reader.take());
        self.to_drop.extend(end.writer.take());
        connection.ways[side.other().index()].clear();
        connection.ways[side.index()].finished = true;
        self.send_segment(key, side, Segment::Reset);
        self.forget_if_over(key);
    }

    fn forget_if_over(&mut self, key: Key) {
        let over = self
            .net
            .connections
            .get(key)
            .is_some_and(|connection| connection.ends[0].closed && connection.ends[1].closed);
        if over {
            self.net.connections.remove(key);
        }
    }

    /// A process is gone: its peers are reset, or hear nothing any more.
    pub(crate) fn connections_host_down(&mut self, host: HostId, how: Ending) {
        let fault = self.host(host).off_fault;
        for key in self.net.connections.keys() {
            for side in [Side::A, Side::B] {
                let Some(connection) = self.net.connections.get(key) else { break };
                let end = &connection.ends[side.index()];
                if connection.hosts[side.index()] != host || end.closed {
                    continue;
                }
                if !connection.ends[side.other().index()].closed {
                    self.bite(fault, 1);
                }
                match how {
                    Ending::Kill | Ending::Panic => self.reset_from(key, side),
                    Ending::PowerOff => self.silence_from(key, side),
                }
            }
        }
        if how == Ending::PowerOff {
            self.connections_may_be_broken();
        }
    }

    /// This end vanishes and says nothing. What has left its wire is still under way.
    fn silence_from(&mut self, key: Key, side: Side) {
        let Some(connection) = self.net.connections.get(key) else { return };
        let hosts = connection.hosts;
        let way = self.way(hosts[side.index()], hosts[side.other().index()]);
        let last = on_grid(self.now + way.latency_max());
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let end = &mut connection.ends[side.index()];
        end.closed = true;
        end.lost = true;
        self.to_drop.extend(end.reader.take());
        self.to_drop.extend(end.writer.take());
        connection.ways[side.other().index()].arrived.clear();
        let way = &mut connection.ways[side.index()];
        way.finished = true;
        while way.flying.back().is_some_and(|(at, _)| *at > last) {
            way.flying.pop_back();
        }
        self.forget_if_over(key);
    }

    /// Starts the clock of every connection that has just lost its way.
    pub(crate) fn connections_may_be_broken(&mut self) {
        for key in self.net.connections.keys() {
            let Some(connection) = self.net.connections.get(key) else { continue };
            let hosts = connection.hosts;
            let blocked =
                self.stalled(hosts, Side::A).is_some() || self.stalled(hosts, Side::B).is_some();
            let at = self.now + SILENCE_MAX_NS;
            let Some(connection) = self.net.connections.get_mut(key) else { continue };
            if blocked && !connection.broken {
                connection.broken = true;
                connection.silence += 1;
                let silence = connection.silence;
                self.schedule(at, Event::Silence(key, silence));
            }
        }
    }

    /// Sets going again every connection that has its way back: what waited is sent anew.
    pub(crate) fn connections_may_be_healed(&mut self) {
        for key in self.net.connections.keys() {
            let Some(connection) = self.net.connections.get(key) else { continue };
            let hosts = connection.hosts;
            let blocked =
                self.stalled(hosts, Side::A).is_some() || self.stalled(hosts, Side::B).is_some();
            if blocked || !connection.broken {
                continue;
            }
            for from in [Side::A, Side::B] {
                let again = on_grid(self.now + self.net.dice.between(1, RETRANSMIT_NS));
                let Some(connection) = self.net.connections.get_mut(key) else { continue };
                // An end that lost power answers what it is sent; a peer that sends nothing still runs out of patience.
                connection.broken =
                    connection.void.is_some() || connection.ends.iter().any(|end| end.lost);
                for (at, _) in &mut connection.ways[from.index()].flying {
                    *at = again.max(*at);
                }
                self.schedule_delivery(key, from);
                self.schedule_credit(key, from);
            }
        }
    }

    /// Both ends of a connection that is still broken give up.
    pub(crate) fn silence(&mut self, key: Key, which: u32) {
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        if connection.silence != which || !connection.broken {
            return;
        }
        let (hosts, void) = (connection.hosts, connection.void);
        connection.ways.iter_mut().for_each(Way::clear);
        for end in &mut connection.ends {
            if !end.closed {
                end.error = Some(io::ErrorKind::TimedOut);
            }
            self.to_wake.extend(end.reader.take());
            self.to_wake.extend(end.writer.take());
        }
        let stalled = || self.stalled(hosts, Side::A).or_else(|| self.stalled(hosts, Side::B));
        let fault = void.or_else(stalled);
        self.bite(fault.unwrap_or(0), 1);
    }

    /// From now on nothing of a connection arrives, in either direction; its ends run out of patience.
    pub(super) fn forget_connection(&mut self, key: Key, fault: u64) {
        let at = self.now + SILENCE_MAX_NS;
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        if connection.void.is_some() {
            return;
        }
        connection.void = Some(fault);
        connection.broken = true;
        connection.silence += 1;
        let silence = connection.silence;
        self.schedule(at, Event::Silence(key, silence));
    }

    /// Something between the two ends tells both that the connection is over. What is under way arrives before.
    pub(super) fn reset_both(&mut self, key: Key) {
        // The answer to a repetition, which comes after what was sent.
        let at = on_grid(self.now + RETRANSMIT_NS);
        for from in [Side::A, Side::B] {
            let Some(connection) = self.net.connections.get_mut(key) else { return };
            let way = &mut connection.ways[from.index()];
            let before = way.flying.back().map_or(0, |(at, _)| *at);
            way.flying.push_back((at.max(before), Segment::Reset));
            self.schedule_delivery(key, from);
        }
    }

    fn read_from(&mut self, key: Key, side: Side, out: &mut ReadBuf<'_>) -> Reading {
        let Some(connection) = self.net.connections.get_mut(key) else {
            return Reading::Failed(io::ErrorKind::BrokenPipe);
        };
        let end = &connection.ends[side.index()];
        if end.closed {
            return Reading::Failed(io::ErrorKind::BrokenPipe);
        }
        let from = side.other();
        let way = &mut connection.ways[from.index()];
        let mut taken = 0;
        while out.remaining() > 0
            && let Some(first) = way.arrived.front_mut()
        {
            let piece = first.len().min(out.remaining());
            out.put_slice(&first[..piece]);
            first.advance(piece);
            taken += piece;
            if first.is_empty() {
                way.arrived.pop_front();
            }
        }
        if taken > 0 {
            way.uncredited += taken;
            self.schedule_credit(key, from);
            return Reading::Done;
        }
        match end.error {
            Some(error) => Reading::Failed(error),
            None if way.ended || out.remaining() == 0 => Reading::Done,
            None => Reading::Wait,
        }
    }

    fn room(&mut self, key: Key, side: Side) -> Result<usize, io::ErrorKind> {
        let Some(connection) = self.net.connections.get_mut(key) else {
            return Err(io::ErrorKind::BrokenPipe);
        };
        let end = &connection.ends[side.index()];
        let way = &connection.ways[side.index()];
        if let Some(error) = end.error.or(end.write_error) {
            return Err(error);
        }
        if end.closed || way.finished {
            return Err(io::ErrorKind::BrokenPipe);
        }
        Ok(WINDOW_BYTES.saturating_sub(way.unacknowledged).min(SEGMENT_BYTES_MAX))
    }

    fn write_to(&mut self, key: Key, side: Side, bytes: Bytes) {
        let digest = self.trace.digest(&bytes);
        let (now, id) = (self.now, key.bits() << 1 | side.index() as u64);
        self.trace.record(now, Kind::Sent, id, bytes.len() as u64, digest);
        if !self.net.traps.is_empty() {
            self.spring_trap(key, side, &bytes);
        }
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let way = &mut connection.ways[side.index()];
        way.unacknowledged += bytes.len();
        way.spoken = true;
        if way.losing.is_none() {
            return self.send_segment(key, side, Segment::Bytes(bytes));
        }
        let (kept, ending) = self.lose(key, side, bytes);
        if !kept.is_empty() {
            self.send_segment(key, side, Segment::Bytes(kept));
        }
        if let Some(ending) = ending {
            self.end_cut_short(key, ending);
        }
    }

    fn shut_down(&mut self, key: Key, side: Side) -> io::Result<()> {
        let Some(connection) = self.net.connections.get_mut(key) else { return Err(dead()) };
        let end = &connection.ends[side.index()];
        if end.closed {
            return Err(dead());
        }
        if let Some(error) = end.error {
            return Err(error.into());
        }
        if !std::mem::replace(&mut connection.ways[side.index()].finished, true) {
            self.send_segment(key, side, Segment::End);
        }
        Ok(())
    }
}

enum Reading {
    Done,
    Wait,
    Failed(io::ErrorKind),
}

/// A stream in the hands of a host.
pub(crate) struct SimStream {
    kernel: Arc<Kernel>,
    connection: Key,
    side: Side,
    local: SocketAddr,
    peer: SocketAddr,
}

impl SimStream {
    pub(crate) fn new(
        kernel: Arc<Kernel>,
        connection: Key,
        side: Side,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Self {
        Self { kernel, connection, side, local, peer }
    }

    fn write(&self, cx: &Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if std::thread::panicking() {
            return Poll::Ready(Err(dead()));
        }
        let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let waiter = self.kernel.wakes.waiter(cx.waker());
        let (polled, unused) = {
            let mut state = lock(&self.kernel.state);
            match state.room(self.connection, self.side) {
                Err(kind) => (Poll::Ready(Err(kind.into())), Some(waiter)),
                Ok(_) if wanted == 0 => (Poll::Ready(Ok(0)), Some(waiter)),
                Ok(0) => {
                    let connection = state.net.connections.get_mut(self.connection);
                    let unused = connection.and_then(|connection| {
                        register(&mut connection.ends[self.side.index()].writer, waiter)
                    });
                    state.schedule_credit(self.connection, self.side);
                    (Poll::Pending, unused)
                }
                Ok(room) => {
                    let bytes = gather(buffers, room.min(wanted));
                    let written = bytes.len();
                    state.write_to(self.connection, self.side, bytes);
                    (Poll::Ready(Ok(written)), Some(waiter))
                }
            }
        };
        drop(unused);
        polled
    }
}

/// The first bytes of these buffers, copied: nothing of the sender's memory is on the wire.
fn gather(buffers: &[IoSlice<'_>], len: usize) -> Bytes {
    if let [only] = buffers {
        return Bytes::copy_from_slice(&only[..len]);
    }
    let mut bytes = BytesMut::with_capacity(len);
    for buffer in buffers {
        let piece = buffer.len().min(len - bytes.len());
        bytes.extend_from_slice(&buffer[..piece]);
    }
    bytes.freeze()
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let waiter = self.kernel.wakes.waiter(cx.waker());
        let (polled, unused) = {
            let mut state = lock(&self.kernel.state);
            match state.read_from(self.connection, self.side, out) {
                Reading::Done => (Poll::Ready(Ok(())), Some(waiter)),
                Reading::Failed(kind) => (Poll::Ready(Err(kind.into())), Some(waiter)),
                Reading::Wait => {
                    let connection = state.net.connections.get_mut(self.connection);
                    let unused = connection.and_then(|connection| {
                        register(&mut connection.ends[self.side.index()].reader, waiter)
                    });
                    (Poll::Pending, unused)
                }
            }
        };
        drop(unused);
        polled
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::thread::panicking() {
            return Poll::Ready(Err(dead()));
        }
        Poll::Ready(lock(&self.kernel.state).shut_down(self.connection, self.side))
    }
}

impl Duplex for SimStream {
    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The host is about to end: its peers must see a reset, never an orderly end of half a message.
            return;
        }
        lock(&self.kernel.state).close_end(self.connection, self.side);
    }
}
