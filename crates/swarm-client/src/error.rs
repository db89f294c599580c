//! What can go wrong with a request, and whether the server may have acted upon it.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;

/// A request that got no answer, or an answer that broke off.
#[derive(Debug, thiserror::Error)]
#[error("{at} (hop {hop}): {kind}")]
pub struct Error {
    /// What happened.
    pub kind: ErrorKind,
    /// The address asked last.
    pub at: SocketAddr,
    /// Which request of the chain failed: 1 is the first, above that a redirect was followed.
    pub hop: usize,
    /// Whether the server asked last may have acted.
    pub sent: Sent,
}

/// Whether the server asked last may have acted upon the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It cannot have: not all of the request's head left this host, or a held-back body was never sent.
    Nothing,
    /// It may have.
    Perhaps,
}

/// What happened to a request.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The connection was broken off.
    #[error("connection reset")]
    Reset,
    /// The server closed the connection before the answer was complete.
    #[error("connection closed before the answer was complete")]
    Closed,
    /// No connection in time, or patience ran out.
    #[error("timed out")]
    Timeout,
    /// More redirects than the request allows.
    #[error("more redirects than allowed, the last to {location:?}")]
    TooManyRedirects {
        /// `Location` of the redirect that was not followed.
        location: String,
    },
    /// A redirect that cannot be followed.
    #[error("redirect to {location:?}, which is no usable address")]
    BadRedirect {
        /// `Location` as received; empty if there was none.
        location: String,
    },
    /// The body of the answer is longer than the caller allows.
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// The request cannot be written, or the answer is not HTTP.
    #[error("protocol violated: {0}")]
    Protocol(String),
    /// Anything else that the network says.
    #[error("network error")]
    Io(#[source] io::Error),
}

impl Error {
    /// True if it was the connection that failed, not the request on it.
    #[must_use]
    pub fn is_closed_connection(&self) -> bool {
        matches!(self.kind, ErrorKind::Reset | ErrorKind::Closed)
    }

    pub(crate) fn new(kind: ErrorKind, at: SocketAddr, sent: Sent) -> Self {
        Self { kind, at, hop: 1, sent }
    }

    pub(crate) fn on_hop(mut self, at: SocketAddr, hop: usize) -> Self {
        self.at = at;
        self.hop = hop;
        self
    }
}

impl ErrorKind {
    pub(crate) fn of_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Io(error),
        }
    }

    pub(crate) fn of_hyper(error: &hyper::Error) -> Self {
        if let Some(io) = error.source().and_then(find_io) {
            return Self::of_io(copy_of(io));
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Self::Closed;
        }
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Protocol(format!("{error}{cause}"))
    }
}

fn find_io<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    loop {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        error = error.source()?;
    }
}

/// hyper keeps the error; what a caller can use of it is its kind and its text.
fn copy_of(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
