//! The SCSP service: calls in, requests to the node, its replies and refusals as answers.
//!
//! Owns the protocol's meaning: what a target names, which headers persist, which verb does what to which class of object,
//! what the answers carry. Statuses and texts are in [`crate::status`]; framing is the codec's. Order of evaluation: the
//! call makes sense ([`Call::read`]), credentials ([`crate::auth`]), node status, what is not built, then the node.

mod blocks;
mod call;
mod import;
mod metadata;
mod names;
mod page;
mod query;
mod retrieve;
mod send;
mod target;
mod unbuilt;
mod write;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::BoxFuture;
use swarm_node::Node;
use swarm_node::api::{BodyWish, DeleteRequest, ReadRequest, Redirect, Reply};
use tokio::sync::Semaphore;
use tower::Service;

pub(crate) use call::{Call, Verb};
pub(crate) use retrieve::BATCHES;
use send::Report;
pub(crate) use send::SENDS_AT_A_TIME;

use crate::Doors;
use crate::codec::{Body, BodySource, Broken, Response};
use crate::status::{self, Fault};

/// What the settings of the node mean for this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `scsp.allowPutCreate`.
    pub(crate) allow_put_create: bool,
    /// `scsp.requireExplicitContextCreate`.
    pub(crate) require_explicit_context_create: bool,
    /// `scsp.autoRecursiveDelete`.
    pub(crate) auto_recursive_delete: bool,
    /// `scsp.defaultFeedSendTimeout`.
    pub(crate) feed_send_timeout: Duration,
    /// `scsp.keepAliveInterval`.
    pub(crate) keep_alive: Duration,
}

/// Serves calls with one node.
#[derive(Clone)]
pub(crate) struct Scsp {
    node: Node,
    rules: Arc<Rules>,
    /// Free places for batches of other clusters.
    batches: Arc<Semaphore>,
    /// Places for SENDs.
    sends: Arc<Semaphore>,
}

impl Service<Call> for Scsp {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let answer = service.answer(call).await;
            Ok(answer.unwrap_or_else(|fault| status::fault(&fault, service.node.env().wall())))
        })
    }
}

impl Scsp {
    pub(crate) fn new(node: Node, rules: Rules, doors: &Doors) -> Self {
        let (batches, sends) = (Arc::clone(&doors.batches), Arc::clone(&doors.sends));
        Self { node, rules: Arc::new(rules), batches, sends }
    }

    async fn answer(&self, call: Call) -> Result<Response, Fault> {
        if call.is_replication() {
            return self.replicate(call).await;
        }
        unbuilt::check(&call)?;
        if call.is_node_status() {
            return Ok(self.node_status());
        }
        match call.verb {
            Verb::Post | Verb::Put | Verb::Copy | Verb::Append => self.write(call).await,
            Verb::Delete => self.delete(call).await,
            Verb::Send => self.send(call).await,
            _ => self.read(call).await,
        }
    }

    fn node_status(&self) -> Response {
        let (env, status) = (self.node.env(), self.node.status());
        let page = page::html(&status, self.node.config());
        let block = page::block(&status, self.node.config(), env);
        status::ok(block, Body::Full(page.into()), env.wall())
    }

    async fn read(&self, call: Call) -> Result<Response, Fault> {
        let wish = if call.verb == Verb::Head { BodyWish::HeadersOnly } else { BodyWish::Body };
        let request = ReadRequest {
            target: call.node_target()?,
            nonce: call.nonce(),
            body: wish,
            fresh_contexts: call.fresh_contexts(),
        };
        let mut reply = match self.node.read(request).await.map_err(Fault::Read)? {
            Reply::Served(reply) => reply,
            Reply::Redirect(redirect) => return Ok(self.redirect(&redirect, &call)),
        };
        // Feed status is shown to administrators (Understanding Feeds), where more than usual is asked for (SCSP Headers).
        let feeds = if call.is("admin") && call.target.query.wanted("verbose") {
            self.node.feeds().status_everywhere(reply.id, reply.stamp).await
        } else {
            Report::new()
        };
        let length = reply.meta.length;
        let body = match reply.body.take() {
            Some(body) if length > 0 => Body::Sized(length, Box::new(NodeBody(body))),
            _ => Body::Announced(length),
        };
        Ok(status::ok(blocks::object(&reply, &feeds), body, self.node.env().wall()))
    }

    async fn delete(&self, call: Call) -> Result<Response, Fault> {
        let recursive = call.target.query.flag("recursive")? || self.rules.auto_recursive_delete;
        let request = DeleteRequest {
            target: call.node_target()?,
            nonce: call.nonce(),
            recursive,
            fresh_contexts: call.fresh_contexts(),
        };
        match self.node.delete(request).await.map_err(Fault::Read)? {
            Reply::Served(reply) => {
                let block = blocks::deleted(&reply);
                Ok(status::ok(block, Body::Empty, self.node.env().wall()))
            }
            Reply::Redirect(redirect) => Ok(self.redirect(&redirect, &call)),
        }
    }

    fn redirect(&self, redirect: &Redirect, call: &Call) -> Response {
        let port = self.node.config().scsp_port;
        let location = blocks::redirect_location(redirect, &call.target, port);
        status::redirect(&location, redirect.permanent, self.node.env().wall())
    }
}

/// A node's verified body as the codec takes it.
struct NodeBody(swarm_node::read::Body);

impl BodySource for NodeBody {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(async {
            self.0.next().await.map_err(|broken| {
                // The node has dealt with the damage; here only the client's view is left to tell.
                tracing::debug!(%broken, "answer cut short");
                Broken
            })
        })
    }
}

/// What a call is about, or why it is refused before any node is asked.
#[cfg(test)]
pub(crate) fn describe(call: &Call) -> Result<String, Fault> {
    unbuilt::check(call)?;
    let about = if call.is_node_status() {
        "node status".to_owned()
    } else {
        format!("{:?}", call.address()?)
    };
    Ok(format!("{about} by {}", call.owner.as_deref().unwrap_or("nobody")))
}
