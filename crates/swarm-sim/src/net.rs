//! The network: a flow model. Who can reach whom, how long it takes, and what a host leaves behind when it goes.
//!
//! How long a way takes is in `links`, streams in `stream`, connecting and listening in `dial`, datagrams in `datagram`,
//! broken links in `cuts`, and what befalls single connections in `traps`.

pub(crate) mod cuts;
pub(crate) mod datagram;
pub(crate) mod dial;
pub(crate) mod links;
pub(crate) mod stream;
pub(crate) mod traps;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use swarm_env::{BoxFuture, Datagrams, Listener, Net, Stream, UdpOptions};

use crate::dice::Dice;
use crate::env::HostEnv;
use crate::host::{Ending, HostId};
use crate::kernel::State;
use crate::options::LinkModel;
use crate::slab::{Key, Slab};

use cuts::Cut;
use datagram::{Flying, Socket};
use dial::{Dial, Listening};
use links::Links;
use stream::Connection;
use traps::Trap;

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
    links: Links,
    pub(crate) connections: Slab<Connection>,
    pub(crate) dials: Slab<Dial>,
    pub(crate) listeners: Slab<Listening>,
    pub(crate) sockets: Slab<Socket>,
    pub(crate) groups: BTreeMap<SocketAddrV4, Vec<Key>>,
    pub(crate) flying: Slab<Flying>,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) traps: Vec<Trap>,
}

impl NetState {
    pub(crate) fn new(seed: u64, default_link: LinkModel) -> Self {
        Self {
            dice: Dice::kernel(seed, "network"),
            links: Links::new(default_link),
            connections: Slab::default(),
            dials: Slab::default(),
            listeners: Slab::default(),
            sockets: Slab::default(),
            groups: BTreeMap::new(),
            flying: Slab::default(),
            cuts: Vec::new(),
            traps: Vec::new(),
        }
    }

    pub(crate) fn set_link(&mut self, from: u32, to: u32, link: LinkModel) {
        self.links.set(from, to, link);
    }

    pub(crate) fn carried(&self, from: u32, to: u32) -> u64 {
        self.links.carried(from, to)
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl State {
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
