//! An HTTP/1.1 client over the seam, as patient and as literal as an SCSP client has to be.
//!
//! Owns pooled connections, redirects that resend method, body and credentials, and bodies that are held back until
//! the server says `100 Continue`. Knows nothing of Swarm beyond that: no verb, header or status has a meaning here
//! except the redirects. Every wait ends with the request's patience. The connection is driven by whoever waits for it,
//! so a request or an answer that is dropped takes its connection with it and no task stays behind.

mod body;
mod connection;
mod error;
mod login;
mod pool;
mod redirect;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarm_env::{Env, Sleep};

pub use error::{Error, ErrorKind, Sent};
pub use login::{Auth, Secret, basic_auth};
pub use request::{Body, MakeBody, OpenSource, Patience, Request, Source};
pub use response::{BodyReader, Response};

use connection::{Connection, Deadline};
use login::Challenges;
use pool::Pool;
use redirect::Hop;

/// A client. Clones share the pool of connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    options: ClientOptions,
    pool: Pool,
    challenges: Challenges,
}

/// Limits of a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Idle connections kept per address; 0 opens one per request.
    pub idle_per_address: usize,
    /// An idle connection older than this is not used again. Below the time after which a server closes it, so that a
    /// request seldom meets a connection that is being closed.
    pub idle_for: Duration,
    /// How long a connection may take to open.
    pub connect: Duration,
    /// How long to hold a body back for `100 Continue`; then it is sent anyway (RFC 9110, 10.1.1).
    pub expect: Duration,
    /// Bodies above this many bytes are announced with `Expect: 100-continue`, as the SDK does.
    pub expect_above: u64,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            idle_per_address: 16,
            idle_for: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            expect: Duration::from_secs(5),
            expect_above: 32_768,
        }
    }
}

impl Client {
    /// A client on the host of `env`.
    #[must_use]
    pub fn new(env: Env, options: ClientOptions) -> Self {
        let pool = Pool::new(options.idle_per_address, options.idle_for);
        Self { shared: Arc::new(Shared { env, options, pool, challenges: Challenges::default() }) }
    }

    /// Sends a request and follows its redirects; completes with the head of the last answer. Its body is read, within
    /// the same patience, through [`Response::body`]. A server that wants a signature gets one, once for each hop.
    ///
    /// # Errors
    /// See [`ErrorKind`]; [`Error::sent`] says whether the server may have acted upon the request.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let mut deadline = Deadline::new(&self.shared.env, request.patience);
        let mut hop = Hop::first(&request);
        let mut hops = Vec::new();
        let mut challenged = false;
        loop {
            if !challenged {
                hops.push(hop.to);
            }
            let exchange = self.exchange(&request, &hop, &mut deadline).await;
            let (connection, answer) =
                exchange.map_err(|error| error.on_hop(hop.to, hops.len()))?;
            let mut response = Response::new(connection, answer, deadline, &hops, self);
            if !challenged && self.is_to_be_signed(&request, &response) {
                challenged = true;
                response.body.drain().await;
                deadline = response.body.into_deadline();
                continue;
            }
            challenged = false;
            let Some(next) = redirect::next_hop(&request, &hop, &response, hops.len())? else {
                response.body.settle().await;
                return Ok(response);
            };
            response.body.drain().await;
            deadline = response.body.into_deadline();
            hop = next;
        }
    }

    /// Closes the connections that are kept for further requests, of all clones of this client.
    pub fn close_idle(&self) {
        self.shared.pool.clear();
    }

    /// Closes those of them that have been idle for longer than this.
    pub fn close_idle_for(&self, longer_than: Duration) {
        self.shared.pool.prune(&self.shared.env, longer_than);
    }

    /// True if the answer asks for a signature that can be given.
    fn is_to_be_signed(&self, request: &Request, response: &Response) -> bool {
        response.status == 401
            && matches!(request.auth, Some(Auth::Digest { .. }))
            && self.shared.challenges.learn(response.served_by, &response.headers)
    }

    /// One request and the head of its answer, on a pooled connection if there is one. A pooled connection may have
    /// been closed by the server meanwhile: then a fresh one is tried, once, if the server cannot have acted yet.
    async fn exchange(
        &self,
        request: &Request,
        hop: &Hop,
        deadline: &mut Deadline,
    ) -> Result<(Connection, connection::Answer), Error> {
        let shared = &self.shared;
        if let Some(mut pooled) = shared.pool.take(&shared.env, hop.to) {
            let error = match pooled.ask(shared, request, hop, deadline).await {
                Ok(answer) => return Ok((pooled, answer)),
                Err(error) => error,
            };
            let safe = error.sent == Sent::Nothing || matches!(&*request.method, "GET" | "HEAD");
            if !(error.is_closed_connection() && pooled.silent() && safe) {
                return Err(error);
            }
        }
        let mut fresh = Connection::open(shared, hop.to, deadline).await?;
        let answer = fresh.ask(shared, request, hop, deadline).await?;
        Ok((fresh, answer))
    }

    fn recycle(&self, to: SocketAddr, connection: Connection) {
        self.shared.pool.put(&self.shared.env, to, connection);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.shared.env.name())
    }
}

impl Shared {
    fn sleep(&self, duration: Duration) -> Sleep {
        self.env.sleep(duration)
    }
}
