//! Datagrams: lost, doubled, held back; to one host or to a group.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::task::{Context, Poll};

use bytes::Bytes;
use swarm_env::{BoxFuture, Datagram, Datagrams, Reach, UdpOptions};

use crate::env::HostEnv;
use crate::host::HostId;
use crate::kernel::{Event, State};
use crate::net::dead;
use crate::slab::Key;
use crate::trace::Kind;
use crate::wake::{Waiter, lock, register};

/// Largest payload of a datagram.
const PAYLOAD_BYTES_MAX: usize = 65_507;

/// Bytes that wait in a socket; more are lost, as with a socket buffer of the usual size.
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// What a datagram costs in a socket's queue besides its payload.
const QUEUE_OVERHEAD_BYTES: usize = 256;

/// An open socket.
pub(crate) struct Socket {
    host: HostId,
    group: Option<SocketAddrV4>,
    queue: VecDeque<Datagram>,
    queued_bytes: usize,
    waker: Option<Waiter>,
}

/// A datagram on its way to one receiver.
pub(crate) struct Flying {
    from: HostId,
    to: Target,
    datagram: Datagram,
}

#[derive(Clone, Copy)]
enum Target {
    Address(HostId, u16),
    Member(Key),
}

impl State {
    /// Sends one copy to one receiver, by the dice of the link.
    fn send_datagram(&mut self, from: HostId, host: HostId, to: Target, datagram: Datagram) {
        let bytes = datagram.payload.len();
        let mut way = self.way(from, host);
        let departs = self.departs(&mut way, bytes);
        if self.loses_datagram(&way) {
            return;
        }
        let copies = 1 + u32::from(self.doubles_datagram(&way));
        for copy in 1..=copies {
            let mut way = way.clone();
            let latency = self.latency(&mut way) + self.holds_back(&mut way);
            let arrives = self.arrival(&way, departs.saturating_add(latency));
            if copy == copies {
                // By far the most datagrams have one copy, whose payload need not be shared.
                return self.datagram_leaves(Flying { from, to, datagram }, arrives);
            }
            self.datagram_leaves(Flying { from, to, datagram: datagram.clone() }, arrives);
        }
    }

    fn datagram_leaves(&mut self, flying: Flying, arrives: u64) {
        let key = self.net.flying.insert(flying);
        self.schedule(arrives, Event::Datagram(key));
    }

    pub(crate) fn datagram_arrives(&mut self, key: Key) {
        let Some(Flying { from, to, datagram }) = self.net.flying.remove(key) else { return };
        let (host, socket) = match to {
            Target::Address(host, port) => (host, self.host(host).sockets.get(&port).copied()),
            Target::Member(socket) => match self.net.sockets.get(socket) {
                Some(member) => (member.host, Some(socket)),
                None => return,
            },
        };
        let blocked = match datagram.reach {
            Reach::Unicast => self.blocked(from, host),
            Reach::Multicast => self.multicast_blocked(from, host),
        };
        if let Some(fault) = blocked {
            return self.bite(fault, 1);
        }
        let Some(socket) = socket.and_then(|key| self.net.sockets.get_mut(key)) else {
            if !self.host(host).is_on() {
                self.bite(self.host(host).off_fault, 1);
            }
            return;
        };
        let weight = datagram.payload.len() + QUEUE_OVERHEAD_BYTES;
        if socket.queued_bytes + weight > QUEUE_BYTES_MAX {
            return;
        }
        socket.queued_bytes += weight;
        socket.queue.push_back(datagram);
        let waker = socket.waker.take();
        self.to_wake.extend(waker);
        let now = self.now;
        self.trace.record(now, Kind::DatagramDelivered, key.bits(), u64::from(host.0), 0);
    }

    /// Closes a socket whose port is free already.
    pub(crate) fn drop_socket(&mut self, key: Key) {
        let Some(socket) = self.net.sockets.remove(key) else { return };
        self.to_drop.extend(socket.waker);
        if let Some(group) = socket.group
            && let Some(members) = self.net.groups.get_mut(&group)
        {
            members.retain(|member| *member != key);
        }
    }
}

pub(crate) fn bind(env: &HostEnv, options: UdpOptions) -> io::Result<Box<dyn Datagrams>> {
    if options.group.is_some_and(|group| !group.ip().is_multicast()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a multicast group"));
    }
    let mut guard = lock(&env.kernel.state);
    let state = &mut *guard;
    if !state.alive(env.host, env.incarnation) {
        return Err(dead());
    }
    let host = state.host_mut(env.host);
    let port = match options.port {
        0 => host.free_port().ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))?,
        port if host.sockets.contains_key(&port) => return Err(io::ErrorKind::AddrInUse.into()),
        port => port,
    };
    let key = state.net.sockets.insert(Socket {
        host: env.host,
        group: options.group,
        queue: VecDeque::new(),
        queued_bytes: 0,
        waker: None,
    });
    state.host_mut(env.host).sockets.insert(port, key);
    if let Some(group) = options.group {
        state.net.groups.entry(group).or_default().push(key);
    }
    let local = SocketAddrV4::new(env.ip, port);
    Ok(Box::new(SimSocket { env: env.clone(), key, local, group: options.group }))
}

/// A socket in the hands of a host.
struct SimSocket {
    env: HostEnv,
    key: Key,
    local: SocketAddrV4,
    group: Option<SocketAddrV4>,
}

impl SimSocket {
    fn begin(&self, payload: &Bytes) -> io::Result<std::sync::MutexGuard<'_, State>> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too long for a datagram"));
        }
        let state = lock(&self.env.kernel.state);
        if std::thread::panicking() || !state.alive(self.env.host, self.env.incarnation) {
            return Err(dead());
        }
        Ok(state)
    }

    /// The datagram, its payload copied: nothing of the sender's memory is on the wire.
    fn datagram(&self, state: &mut State, to: u64, reach: Reach, payload: &Bytes) -> Datagram {
        let digest = state.trace.digest(payload);
        let now = state.now;
        state.trace.record(now, Kind::DatagramSent, to, payload.len() as u64, digest);
        let payload = Bytes::copy_from_slice(payload);
        Datagram { from: self.local.into(), reach, payload }
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Datagram>> {
        let waiter = self.env.kernel.wakes.waiter(cx.waker());
        let (polled, unused) = {
            let mut state = lock(&self.env.kernel.state);
            match state.net.sockets.get_mut(self.key) {
                None => (Poll::Ready(Err(dead())), Some(waiter)),
                Some(socket) => match socket.queue.pop_front() {
                    Some(datagram) => {
                        socket.queued_bytes -= datagram.payload.len() + QUEUE_OVERHEAD_BYTES;
                        (Poll::Ready(Ok(datagram)), Some(waiter))
                    }
                    None => (Poll::Pending, register(&mut socket.waker, waiter)),
                },
            }
        };
        drop(unused);
        polled
    }
}

/// An address as one number, for the trace.
pub(crate) fn address_bits(address: SocketAddrV4) -> u64 {
    u64::from(address.ip().to_bits()) << 16 | u64::from(address.port())
}

impl Datagrams for SimSocket {
    fn send(&self, to: SocketAddr, payload: Bytes) -> io::Result<()> {
        let mut state = self.begin(&payload)?;
        let SocketAddr::V4(to) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        let datagram = self.datagram(&mut state, address_bits(to), Reach::Unicast, &payload);
        if let Some(host) = host_at(&state, *to.ip()) {
            let target = Target::Address(host, to.port());
            state.send_datagram(self.env.host, host, target, datagram);
        }
        drop(state);
        Ok(())
    }

    fn multicast(&self, payload: Bytes) -> io::Result<()> {
        let mut guard = self.begin(&payload)?;
        let state = &mut *guard;
        let Some(group) = self.group else {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the socket has no group"));
        };
        let datagram = self.datagram(state, address_bits(group), Reach::Multicast, &payload);
        let members = state.net.groups.get(&group).cloned().unwrap_or_default();
        for member in members {
            if let Some(host) = state.net.sockets.get(member).map(|socket| socket.host) {
                state.send_datagram(self.env.host, host, Target::Member(member), datagram.clone());
            }
        }
        Ok(())
    }

    fn recv(&self) -> BoxFuture<'_, io::Result<Datagram>> {
        Box::pin(poll_fn(|cx| self.poll_recv(cx)))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local.into()
    }
}

/// The host with this address.
pub(crate) fn host_at(state: &State, ip: Ipv4Addr) -> Option<HostId> {
    state.by_ip.get(&ip).copied()
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut state = lock(&self.env.kernel.state);
        if state.net.sockets.contains(self.key) {
            state.host_mut(self.env.host).sockets.remove(&self.local.port());
            state.drop_socket(self.key);
        }
    }
}
