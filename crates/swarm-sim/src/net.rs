//! The network: a flow model. Who can reach whom, how long it takes, and what a host leaves behind when it goes.
//!
//! Streams are in `stream`, connecting and listening in `dial`, datagrams in `datagram`, broken links in `cuts`.

pub(crate) mod cuts;
pub(crate) mod datagram;
pub(crate) mod dial;
pub(crate) mod stream;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use swarm_env::{BoxFuture, Datagrams, Listener, Net, Stream, UdpOptions};

use crate::dice::Dice;
use crate::env::HostEnv;
use crate::host::{Ending, HostId};
use crate::kernel::{State, on_grid};
use crate::options::LinkModel;
use crate::slab::{Key, Slab};

use cuts::Cut;
use datagram::{Flying, Socket};
use dial::{Dial, Listening};
use stream::Connection;

/// One way within a host: no wire, no loss.
const LOOPBACK_LATENCY_NS: u64 = 20_000;

/// Bytes of a packet on the wire; each can be lost.
const PACKET_BYTES: u64 = 1448;

/// Shortest retransmission time-out (RFC 6298 recommends a second, every system in use takes a fifth of it).
pub(crate) const RETRANSMIT_NS: u64 = 200_000_000;

/// One end of a connection; also the direction that starts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who connected.
    A,
    /// Who accepted.
    B,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// Everything of the network.
pub(crate) struct NetState {
    pub(crate) dice: Dice,
    default_link: LinkModel,
    /// Links by the zones of sender and receiver.
    links: BTreeMap<(u32, u32), LinkModel>,
    /// When a host's sending side into a zone is free again.
    free_at: BTreeMap<(HostId, u32), u64>,
    pub(crate) connections: Slab<Connection>,
    pub(crate) dials: Slab<Dial>,
    pub(crate) listeners: Slab<Listening>,
    pub(crate) sockets: Slab<Socket>,
    pub(crate) groups: BTreeMap<SocketAddrV4, Vec<Key>>,
    pub(crate) flying: Slab<Flying>,
    pub(crate) cuts: Vec<Cut>,
}

impl NetState {
    pub(crate) fn new(seed: u64, default_link: LinkModel) -> Self {
        Self {
            dice: Dice::kernel(seed, "network"),
            default_link,
            links: BTreeMap::new(),
            free_at: BTreeMap::new(),
            connections: Slab::default(),
            dials: Slab::default(),
            listeners: Slab::default(),
            sockets: Slab::default(),
            groups: BTreeMap::new(),
            flying: Slab::default(),
            cuts: Vec::new(),
        }
    }

    pub(crate) fn set_link(&mut self, from: u32, to: u32, link: LinkModel) {
        self.links.insert((from, to), link);
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl State {
    pub(crate) fn link(&self, from: HostId, to: HostId) -> LinkModel {
        if self.net.links.is_empty() {
            return self.net.default_link;
        }
        let zones = (self.host(from).zone, self.host(to).zone);
        self.net.links.get(&zones).copied().unwrap_or(self.net.default_link)
    }

    /// Draws a delay on the way from one host to another, in nanoseconds.
    pub(crate) fn latency(&mut self, from: HostId, to: HostId) -> u64 {
        if from == to {
            return LOOPBACK_LATENCY_NS;
        }
        let link = self.link(from, to);
        self.net.dice.between(nanos(link.latency_min), nanos(link.latency_max))
    }

    /// When the last of these bytes has left the sender, who has one wire into each zone.
    pub(crate) fn departs(&mut self, from: HostId, to: HostId, bytes: usize) -> u64 {
        if from == to {
            return self.now;
        }
        let bandwidth = u128::from(self.link(from, to).bandwidth_bits.max(1));
        let takes = bytes as u128 * 8 * 1_000_000_000 / bandwidth;
        let zone = self.host(to).zone;
        let free = self.net.free_at.entry((from, zone)).or_insert(0);
        *free = (*free).max(self.now).saturating_add(u64::try_from(takes).unwrap_or(u64::MAX));
        *free
    }

    /// Time that retransmissions add to these bytes, in nanoseconds.
    pub(crate) fn retransmissions(&mut self, from: HostId, to: HostId, bytes: usize) -> u64 {
        if from == to {
            return 0;
        }
        let link = self.link(from, to);
        if link.loss_ppm == 0 {
            return 0;
        }
        let packets = (bytes as u64).div_ceil(PACKET_BYTES).max(1);
        // Several losses within one window are repaired together, so that half of all windows is the limit.
        let first = u64::from(link.loss_ppm).saturating_mul(packets).min(500_000);
        let (mut delay, mut timeout) = (0, RETRANSMIT_NS);
        let mut chance = u32::try_from(first).unwrap_or(500_000);
        while timeout < RETRANSMIT_NS << 6 && self.net.dice.chance_ppm(chance) {
            delay += timeout;
            timeout *= 2;
            chance = link.loss_ppm.min(500_000);
        }
        delay
    }

    /// When a packet without weight, sent now, arrives.
    pub(crate) fn arrives(&mut self, from: HostId, to: HostId) -> u64 {
        let latency = self.latency(from, to);
        on_grid(self.now + latency)
    }

    /// The process of a host is gone: its sockets close; its peers hear of it unless the power went.
    pub(crate) fn net_host_down(&mut self, host: HostId, how: Ending) {
        // First, so that what follows finds every end closed and tells nobody.
        self.connections_host_down(host, how);
        let machine = self.host_mut(host);
        let listeners = std::mem::take(&mut machine.listeners);
        let sockets = std::mem::take(&mut machine.sockets);
        for key in listeners.into_values() {
            self.drop_listener(key);
        }
        for key in sockets.into_values() {
            self.drop_socket(key);
        }
        for key in self.net.dials.keys() {
            if self.net.dials.get(key).is_some_and(|dial| dial.host == host) {
                self.drop_dial(key);
            }
        }
    }
}

impl Net for HostEnv {
    fn local_ip(&self) -> Ipv4Addr {
        self.ip
    }

    fn listen(&self, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        let listener = dial::listen(self, port);
        Box::pin(std::future::ready(listener))
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(dial::Connecting::new(self.clone(), to))
    }

    fn udp(&self, options: UdpOptions) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        let socket = datagram::bind(self, options);
        Box::pin(std::future::ready(socket))
    }
}

/// The error of a host whose incarnation has ended, or whose code is unwinding.
pub(crate) fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "this incarnation of the host has ended")
}
