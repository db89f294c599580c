//! Real sockets, bound to one host's address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::{HostState, explain_bind};
use crate::{BoxFuture, Datagram, Datagrams, Duplex, Listener, Net, Reach, Stream, UdpOptions};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Largest payload of a datagram over IPv4.
const DATAGRAM_MAX: usize = 65_507;
/// Receive buffer asked of the system: a burst of bids from 64 nodes fits many times over.
const DATAGRAM_BUFFER: usize = 1 << 20;
/// How often another local port is tried when the one drawn is still busy with an old connection to the same peer.
const CONNECT_TRIES: u32 = 4;

pub(super) struct LiveNet {
    host: Arc<HostState>,
    ip: Ipv4Addr,
}

impl LiveNet {
    pub(super) fn new(host: Arc<HostState>, ip: Ipv4Addr) -> Self {
        Self { host, ip }
    }

    fn own(&self, port: u16) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(self.ip, port))
    }

    /// The interface for multicast: on loopback addresses all of them are the one interface of 127.0.0.1.
    fn multicast_interface(&self) -> Ipv4Addr {
        if self.ip.is_loopback() { Ipv4Addr::LOCALHOST } else { self.ip }
    }

    fn check_alive(&self) -> io::Result<()> {
        if self.host.is_silent() { Err(dead()) } else { Ok(()) }
    }

    fn bind_unicast(&self, port: u16) -> io::Result<UdpSocket> {
        let address = self.own(port);
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&address.into()).map_err(|error| explain_bind(error, address))?;
        socket.set_multicast_if_v4(&self.multicast_interface())?;
        socket.set_multicast_loop_v4(true)?;
        into_tokio(socket)
    }

    /// A socket that hears the group and nothing else; all nodes of a machine bind the same address.
    fn bind_group(&self, group: SocketAddrV4) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        if cfg!(not(target_os = "linux")) {
            // The BSDs and macOS share a multicast address only with this option; on Linux the first one does.
            socket.set_reuse_port(true)?;
        }
        let address = SocketAddr::V4(group);
        socket.bind(&address.into()).map_err(|error| explain_bind(error, address))?;
        socket.join_multicast_v4(group.ip(), &self.multicast_interface())?;
        into_tokio(socket)
    }
}

fn into_tokio(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_recv_buffer_size(DATAGRAM_BUFFER)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

impl Net for LiveNet {
    fn local_ip(&self) -> Ipv4Addr {
        self.ip
    }

    fn listen(&self, port: u16) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            self.check_alive()?;
            let address = self.own(port);
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(address).map_err(|error| explain_bind(error, address))?;
            let listener = socket.listen(BACKLOG).map_err(|error| explain_bind(error, address))?;
            let local = listener.local_addr()?;
            let host = Arc::clone(&self.host);
            Ok(Box::new(LiveListener { listener, local, host }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            for tries_left in (0..CONNECT_TRIES).rev() {
                self.check_alive()?;
                let address = self.own(0);
                let socket = TcpSocket::new_v4()?;
                // Lets a port whose old connection led elsewhere be used again; one that led here fails and is drawn anew.
                socket.set_reuseaddr(true)?;
                socket.bind(address).map_err(|error| explain_bind(error, address))?;
                match socket.connect(to).await {
                    Ok(inner) => return LiveStream::new(inner, &self.host),
                    Err(error) if tries_left > 0 && is_port_clash(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(io::ErrorKind::AddrNotAvailable.into())
        })
    }

    fn udp(&self, options: UdpOptions) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            self.check_alive()?;
            let unicast = self.bind_unicast(options.port)?;
            let group = options
                .group
                .map(|group| self.bind_group(group).map(|socket| (socket, group)))
                .transpose()?;
            let local = unicast.local_addr()?;
            Ok(Box::new(LiveDatagrams {
                host: Arc::clone(&self.host),
                unicast,
                group,
                local,
                group_first: AtomicBool::new(false),
                buffer: Mutex::new(vec![0; DATAGRAM_MAX + 1]),
            }) as Box<dyn Datagrams>)
        })
    }
}

fn is_port_clash(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse)
}

fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "this host has been stopped")
}

struct LiveListener {
    listener: TcpListener,
    local: SocketAddr,
    host: Arc<HostState>,
}

impl Listener for LiveListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move {
            let (inner, from) = self.listener.accept().await?;
            Ok((LiveStream::new(inner, &self.host)?, from))
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

struct LiveStream {
    inner: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    host: Arc<HostState>,
}

impl LiveStream {
    #[expect(
        clippy::new_ret_no_self,
        reason = "the world hands out streams only as the seam names them"
    )]
    fn new(inner: TcpStream, host: &Arc<HostState>) -> io::Result<Stream> {
        // Every answer is written in as few pieces as possible already; waiting for more only delays it.
        inner.set_nodelay(true)?;
        let (peer, local) = (inner.peer_addr()?, inner.local_addr()?);
        Ok(Box::new(Self { inner, peer, local, host: Arc::clone(host) }))
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        if self.host.dead.load(Ordering::Acquire) {
            // The peers of a killed process are reset. Where the system will not, they see an end of stream instead.
            drop(SockRef::from(&self.inner).set_linger(Some(Duration::ZERO)));
        }
    }
}

impl Duplex for LiveStream {
    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl AsyncRead for LiveStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for LiveStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.host.is_silent() {
            return Poll::Ready(Err(dead()));
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.host.is_silent() {
            return Poll::Ready(Err(dead()));
        }
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

struct LiveDatagrams {
    host: Arc<HostState>,
    /// Sends everything, so that `from` is always this host's own address and port.
    unicast: UdpSocket,
    group: Option<(UdpSocket, SocketAddrV4)>,
    local: SocketAddr,
    /// Which socket is asked first; it changes with every datagram, so that neither starves the other.
    group_first: AtomicBool,
    buffer: Mutex<Vec<u8>>,
}

impl LiveDatagrams {
    fn send_best_effort(&self, to: SocketAddr, payload: &Bytes) -> io::Result<()> {
        if payload.len() > DATAGRAM_MAX {
            let why = format!("{} bytes do not fit into a datagram", payload.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        if !self.host.is_silent() {
            // Whatever the system says, a datagram that did not go is a lost datagram. Asked directly, because tokio
            // would not send before it has once heard from the poller that the socket is writable.
            drop(SockRef::from(&self.unicast).send_to(payload, &to.into()));
        }
        Ok(())
    }

    /// Takes a datagram that has arrived on this socket.
    fn take(&self, socket: &UdpSocket, reach: Reach) -> io::Result<Datagram> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let (length, from) = socket.try_recv_from(&mut buffer)?;
        Ok(Datagram { from, reach, payload: Bytes::copy_from_slice(&buffer[..length]) })
    }

    /// Waits until either socket may have something.
    async fn arrival(&self) -> io::Result<()> {
        match &self.group {
            None => self.unicast.readable().await,
            Some((group, _)) => {
                let unicast = std::pin::pin!(self.unicast.readable());
                match select(unicast, std::pin::pin!(group.readable())).await {
                    Either::Left((ready, _)) | Either::Right((ready, _)) => ready,
                }
            }
        }
    }
}

impl Datagrams for LiveDatagrams {
    fn send(&self, to: SocketAddr, payload: Bytes) -> io::Result<()> {
        self.send_best_effort(to, &payload)
    }

    fn multicast(&self, payload: Bytes) -> io::Result<()> {
        match &self.group {
            Some((_, group)) => self.send_best_effort(SocketAddr::V4(*group), &payload),
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, "this socket has no group")),
        }
    }

    fn recv(&self) -> BoxFuture<'_, io::Result<Datagram>> {
        Box::pin(async move {
            loop {
                let mut sockets = vec![(&self.unicast, Reach::Unicast)];
                if let Some((group, _)) = &self.group {
                    sockets.push((group, Reach::Multicast));
                    if self.group_first.fetch_xor(true, Ordering::Relaxed) {
                        sockets.swap(0, 1);
                    }
                }
                for (socket, reach) in sockets {
                    match self.take(socket, reach) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        outcome => return outcome,
                    }
                }
                self.arrival().await?;
            }
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}
