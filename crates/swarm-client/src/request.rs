//! What a caller asks for.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::BoxFuture;
use swarm_types::HeaderList;

use crate::Auth;

/// A request. It can be sent more than once: a redirect resends all of it.
#[derive(Clone)]
pub struct Request {
    /// The node to ask.
    pub to: SocketAddr,
    /// The verb, any token: `GET`, `COPY`, `SEND`.
    pub method: String,
    /// Path and query, already encoded; begins with `/`.
    pub target: String,
    /// Fields to send, in order. Their names go out in title case, whatever their spelling here (hyper's limit). `Host`
    /// and `Content-Length` are added where absent; a `Host` given here is sent on the first hop only, as other clients do.
    pub headers: HeaderList,
    /// The body.
    pub body: Body,
    /// Hold the body back for `100 Continue` even if it is short.
    pub expect: bool,
    /// How many redirects to follow; 0 returns them to the caller.
    pub follow: usize,
    /// When it is given up.
    pub patience: Patience,
    /// Credentials, resent on every hop.
    pub auth: Option<Auth>,
}

/// When a request is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The whole chain may take this long, the body of the last answer included.
    Whole(Duration),
    /// For this long not a byte has moved in either direction; it is noticed at twice that time at the latest. A transfer over
    /// a slow way may take any time.
    Idle(Duration),
}

impl Patience {
    pub(crate) const fn span(self) -> Duration {
        match self {
            Self::Whole(span) | Self::Idle(span) => span,
        }
    }
}

/// Makes a piece of a generated body: the bytes at this offset, at most that many, at least one.
pub type MakeBody = Arc<dyn Fn(u64, usize) -> Bytes + Send + Sync>;

/// A body that is read somewhere while it is sent.
pub trait Source: Send {
    /// The next piece, not empty; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read: the request fails, and its connection is closed.
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>>;
}

/// Opens a body that is read while it is sent, once for each hop.
pub type OpenSource = Arc<dyn Fn() -> Box<dyn Source> + Send + Sync>;

/// The body of a request.
#[derive(Clone, Default)]
pub enum Body {
    /// None. Verbs that usually carry one announce a length of 0.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// A body generated while it is sent, and again on each hop: it never lies in memory as a whole.
    Stream {
        /// Its length in bytes.
        length: u64,
        /// Makes its pieces.
        make: MakeBody,
    },
    /// A body that is read while it is sent: it never lies in memory as a whole.
    Source {
        /// Its length in bytes; a source that ends elsewhere fails the request.
        length: u64,
        /// Opens it.
        open: OpenSource,
    },
    /// A client that vanishes: announces `length`, sends `after` bytes, then nothing until patience runs out.
    Stalls {
        /// Length announced, in bytes.
        length: u64,
        /// Bytes sent; less than `length`.
        after: u64,
        /// Makes its pieces.
        make: MakeBody,
    },
}

impl Body {
    /// Length in bytes, as announced.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stream { length, .. }
            | Self::Source { length, .. }
            | Self::Stalls { length, .. } => *length,
        }
    }

    /// True for a body of no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}

impl Request {
    /// Redirects followed unless the caller says otherwise (our choice).
    pub const FOLLOW: usize = 5;
    /// Patience unless the caller says otherwise (our choice).
    pub const PATIENCE: Duration = Duration::from_secs(60);

    /// A request without headers, body or credentials.
    pub fn new(to: SocketAddr, method: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            to,
            method: method.into(),
            target: target.into(),
            headers: HeaderList::default(),
            body: Body::Empty,
            expect: false,
            follow: Self::FOLLOW,
            patience: Patience::Whole(Self::PATIENCE),
            auth: None,
        }
    }

    /// With this header field besides the others.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// With these credentials.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Following at most that many redirects.
    #[must_use]
    pub fn follow(mut self, hops: usize) -> Self {
        self.follow = hops;
        self
    }

    /// With this patience for the whole chain.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Patience::Whole(patience);
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password must not reach a log.
        write!(f, "{} http://{}{} {:?}", self.method, self.to, self.target, self.body)
    }
}
