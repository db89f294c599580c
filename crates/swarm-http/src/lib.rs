//! The SCSP port with its own HTTP/1.1 codec, and the management port.
//!
//! Owns everything that a client of one node sees: [`codec`] reads and writes HTTP, a stack of tower layers limits,
//! watches and authenticates requests, the SCSP service turns them into requests to the node and its replies into answers.
//! Knows the node by [`swarm_node::api`] only. Status codes are in one file, `status.rs`.

mod auth;
pub mod codec;
mod management;
mod scsp;
mod stack;
mod status;
#[cfg(test)]
mod testing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarm_env::{Env, Listener, Stream};
use swarm_node::{Clients, Node, Queue};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;

/// Connections to the SCSP port at a time. An idle one holds at most 80 KiB of buffers, so this bounds them to 160 MiB.
const SCSP_CONNECTIONS: usize = 2048;

/// Connections to the management port at a time.
const MANAGEMENT_CONNECTIONS: usize = 64;

/// How long an accept loop rests when the system has no more sockets or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Which ports a node's front end listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpConfig {
    /// SCSP port, the same on every node of a cluster; 0 picks a free one, and redirects then lead nowhere.
    pub scsp_port: u16,
    /// Management port; 0 picks a free one.
    pub management_port: u16,
}

/// The front end of a running node. It serves until the node's incarnation ends; dropping this handle changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    scsp: SocketAddr,
    management: SocketAddr,
}

/// A front end that could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl Server {
    /// Listens on both ports and serves; both are open when this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(node: &Node, config: HttpConfig) -> Result<Self, StartError> {
        let env = node.env();
        let scsp = listen(env, config.scsp_port).await?;
        let management = listen(env, config.management_port).await?;
        let server = Self { scsp: scsp.local_addr(), management: management.local_addr() };
        let doors = Doors::new();
        serve_scsp(node, scsp, &doors);
        serve_management(node, management, doors);
        Ok(server)
    }

    /// Where SCSP is answered.
    #[must_use]
    pub fn scsp_addr(&self) -> SocketAddr {
        self.scsp
    }

    /// Where management requests are answered.
    #[must_use]
    pub fn management_addr(&self) -> SocketAddr {
        self.management
    }
}

/// How many may be let in, and how many more could be.
#[derive(Clone)]
pub(crate) struct Doors {
    requests: Arc<Semaphore>,
    sends: Arc<Semaphore>,
    scsp: Arc<Semaphore>,
    management: Arc<Semaphore>,
    batches: Arc<Semaphore>,
}

impl Doors {
    pub(crate) fn new() -> Self {
        let door = |limit| Arc::new(Semaphore::new(limit));
        Self {
            requests: door(stack::REQUESTS_AT_A_TIME),
            sends: door(scsp::SENDS_AT_A_TIME),
            scsp: door(SCSP_CONNECTIONS),
            management: door(MANAGEMENT_CONNECTIONS),
            batches: door(scsp::BATCHES),
        }
    }

    /// Who is inside.
    pub(crate) fn queues(&self) -> [Queue; 5] {
        let inside = |door: &Semaphore, limit: usize| {
            let depth = limit.saturating_sub(door.available_permits());
            (depth as u64, limit as u64)
        };
        let (requests, at_a_time) = inside(&self.requests, stack::REQUESTS_AT_A_TIME);
        let (sends, sends_limit) = inside(&self.sends, scsp::SENDS_AT_A_TIME);
        let (scsp, scsp_limit) = inside(&self.scsp, SCSP_CONNECTIONS);
        let (management, management_limit) = inside(&self.management, MANAGEMENT_CONNECTIONS);
        let (batches, batches_limit) = inside(&self.batches, scsp::BATCHES);
        [
            Queue::work("scsp requests", requests, at_a_time),
            Queue::work("scsp sends", sends, sends_limit),
            Queue::work("feed batches", batches, batches_limit),
            Queue::kept("scsp connections", scsp, scsp_limit),
            Queue::kept("management connections", management, management_limit),
        ]
    }
}

async fn listen(env: &Env, port: u16) -> Result<Box<dyn Listener>, StartError> {
    env.net().listen(port).await.map_err(|source| StartError::Listen {
        address: (env.net().local_ip(), port).into(),
        source,
    })
}

fn serve_scsp(node: &Node, listener: Box<dyn Listener>, doors: &Doors) {
    let env = node.env().clone();
    let stack = ServiceBuilder::new()
        .layer(stack::TraceLayer(env.clone()))
        .layer(stack::LimitLayer::new(env.clone(), Arc::clone(&doors.requests)))
        .layer(stack::DeadlineLayer { env: env.clone(), stuck_after: stack::STUCK_AFTER })
        .layer(stack::UnderstandLayer(env.clone()))
        .layer(auth::AuthenticateLayer {
            env: env.clone(),
            gate: Arc::new(auth::Gate::new(&env, node.settings().administrators.clone())),
        })
        .service(scsp::Scsp::new(node.clone(), rules(node), doors));
    // Retiring Volumes: a node whose volumes are all retired stops responding. An open connection hears it once more.
    let asked = node.downgrade();
    let answers = move || {
        let node = asked.upgrade();
        node.is_some_and(|node| node.state().admission().clients != Clients::Unanswered)
    };
    env.clone().spawn(
        "scsp accept",
        accept(env, listener, Arc::clone(&doors.scsp), answers, move |env, stream| {
            let stack = stack.clone();
            async move {
                let end =
                    codec::serve_connection(stream, env, stack, codec::Limits::default()).await;
                tracing::trace!(?end, "connection ended");
            }
        }),
    );
}

fn serve_management(node: &Node, listener: Box<dyn Listener>, doors: Doors) {
    let free = Arc::clone(&doors.management);
    let (env, router) = (node.env().clone(), management::router(node.clone(), doors));
    env.clone().spawn(
        "management accept",
        accept(
            env,
            listener,
            free,
            || true,
            move |env, stream| management::serve(env, stream, router.clone()),
        ),
    );
}

/// Accepts for ever, each connection in a task of its own. Beyond the limit, and where the node answers nobody, a connection
/// is closed at once: the client learns sooner than by waiting, and asks another node.
async fn accept<F, C>(
    env: Env,
    listener: Box<dyn Listener>,
    free: Arc<Semaphore>,
    answers: impl Fn() -> bool + Send + 'static,
    serve: F,
) where
    F: Fn(Env, Stream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((_, peer)) if !answers() => {
                tracing::debug!(node = env.name(), %peer, "nobody is answered here");
            }
            Ok((stream, peer)) => match Arc::clone(&free).try_acquire_owned() {
                Ok(permit) => {
                    let serving = serve(env.clone(), stream);
                    env.spawn("connection", async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(_) => tracing::warn!(node = env.name(), %peer, "connection refused"),
            },
            Err(error) => {
                tracing::warn!(node = env.name(), %error, "cannot accept a connection");
                env.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn rules(node: &Node) -> scsp::Rules {
    let settings = node.settings();
    scsp::Rules {
        allow_put_create: settings.allow_put_create,
        require_explicit_context_create: settings.require_explicit_context_create,
        auto_recursive_delete: settings.auto_recursive_delete,
        feed_send_timeout: settings.feed_send_timeout,
        keep_alive: settings.keep_alive_interval,
    }
}
