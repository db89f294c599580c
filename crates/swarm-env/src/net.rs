//! The network as one host sees it: streams that are tokio `AsyncRead + AsyncWrite`, and datagrams.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::BoxFuture;

/// The network from one host's address.
pub trait Net: Send + Sync {
    /// The address of this host; listeners, connections and datagrams use it as their own.
    fn local_ip(&self) -> Ipv4Addr;

    /// Listens on a port of this host's address; 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse` for a taken port, `AddrNotAvailable` where the host does not have the address.
    fn listen(&self, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// Opens a stream. A closed port refuses at once; silence retries and ends in `TimedOut`.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>>;

    /// Opens a datagram socket.
    ///
    /// # Errors
    /// As [`Net::listen`].
    fn udp(&self, options: UdpOptions) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>>;
}

/// What a datagram socket is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpOptions {
    /// Port on this host's address; 0 picks a free one.
    pub port: u16,
    /// Multicast group (address and port) to join; its datagrams arrive on the same socket, also one's own.
    pub group: Option<SocketAddrV4>,
}

/// A listening socket; dropping it closes the port.
pub trait Listener: Send + Sync {
    /// The next connection and who opened it.
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>>;

    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;
}

/// A byte stream. Dropping it closes both directions in order: what was written still arrives.
pub type Stream = Box<dyn Duplex>;

/// What a [`Stream`] can do.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {
    /// The address at the other end.
    fn peer_addr(&self) -> SocketAddr;

    /// The address at this end.
    fn local_addr(&self) -> SocketAddr;
}

/// A datagram socket. Datagrams may be lost, doubled, late or out of order.
pub trait Datagrams: Send + Sync {
    /// Sends to one address, best effort, without waiting: a full queue loses the datagram.
    ///
    /// # Errors
    /// Only for a payload that cannot be a datagram (over 65,507 bytes).
    fn send(&self, to: SocketAddr, payload: Bytes) -> io::Result<()>;

    /// Sends to the group of [`UdpOptions`], best effort; the sender gets a copy too.
    ///
    /// # Errors
    /// As [`Datagrams::send`]; also without a group.
    fn multicast(&self, payload: Bytes) -> io::Result<()>;

    /// The next datagram.
    fn recv(&self) -> BoxFuture<'_, io::Result<Datagram>>;

    /// The unicast address of the socket.
    fn local_addr(&self) -> SocketAddr;
}

/// A datagram as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// How it came.
    pub reach: Reach,
    /// What it says.
    pub payload: Bytes,
}

/// How a datagram was addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To this host alone.
    Unicast,
    /// To the group.
    Multicast,
}
