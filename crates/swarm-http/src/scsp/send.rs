//! SEND: one object is delivered to some feeds now, and the answer tells what came of it (SCSP SEND).
//!
//! Owns the way of such a request: its arguments ([`arguments`]), the object, what feeds have come to already, the order to
//! them, and the answer, which begins at once and ends when all have come to something ([`report`], [`stream`]). The feeds do
//! the work, and go on with it when the client has gone. Without the arguments it is the SEND before 11.2 ([`legacy`]).

mod arguments;
mod legacy;
mod report;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use swarm_feeds::{SendOrder, SendRefused};
use swarm_node::api::{BodyWish, ReadReply, ReadRequest, Reply};
use swarm_types::Instant;

use super::{Call, Scsp, blocks};
use crate::codec::Response;
use crate::status::{self, Fault};

use arguments::{SendArguments, Wait, wait};
use legacy::LegacyBody;
use report::Progress;
pub(crate) use report::{Report, push_report};
use stream::{LOOK, Patience, SendBody, Vigil, Watch};

/// SENDs that are answered at a time by one node. Each holds a connection and little else; what they wait for is bounded by
/// the feeds.
pub(crate) const SENDS_AT_A_TIME: usize = 256;

impl Scsp {
    pub(super) async fn send(&self, call: Call) -> Result<Response, Fault> {
        let begun = self.node.env().now();
        let Some(arguments) = SendArguments::read(&call.target.query)? else {
            return self.send_of_old(call, begun).await;
        };
        let feeds = self.node.feeds();
        let selected = arguments.select(&feeds.table())?;
        let place = Arc::clone(&self.sends).try_acquire_owned().map_err(|_| Fault::Busy)?;
        let reply = match self.find(looked_for(&call)?).await? {
            Reply::Served(reply) => reply,
            Reply::Redirect(redirect) => return Ok(self.redirect(&redirect, &call)),
        };
        let (id, stamp) = (reply.id, reply.stamp);
        let env = self.node.env().clone();
        let until = self.deadline(arguments.wait, begun);
        let watch = Watch { feeds: feeds.clone(), id, stamp };
        let known = match selected[..] {
            [] => Report::new(),
            _ => watch.report(&env, left(until, env.now()).unwrap_or(LOOK)).await,
        };
        let mut progress = Progress::new(&selected, &known, arguments.force);
        let order = SendOrder {
            id,
            stamp,
            feeds: progress.waiting.iter().copied().collect(),
            force: arguments.force,
            wait_while_paused: arguments.wait != Wait::Unbounded,
        };
        let vigil = Vigil::new(&self.node);
        let ticket = feeds.send(&order)?;
        progress.learn_at_once(ticket.done, &known, env.wall());
        if left(until, env.now()).is_some_and(|left| left.is_zero()) {
            // Who has taken all the time to look has no other look.
            progress.give_up(Some(&known), env.wall());
        }
        let block = blocks::sent(&reply, &progress.before, &progress.announced());
        let patience = Patience { until, keep_alive: self.rules.keep_alive };
        let body = SendBody::new(env, watch, progress, ticket.rest, patience, (vigil, place));
        Ok(status::sending(block, Box::new(body), self.node.env().wall()))
    }

    async fn send_of_old(&self, call: Call, begun: Instant) -> Result<Response, Fault> {
        let to = legacy::destination(call.head.fields())?;
        let limit = wait(&call.target.query)?.limit(legacy::LIMIT, self.rules.feed_send_timeout);
        let place = Arc::clone(&self.sends).try_acquire_owned().map_err(|_| Fault::Busy)?;
        let reply = match self.find(looked_for(&call)?).await? {
            Reply::Served(reply) => reply,
            Reply::Redirect(redirect) => return Ok(self.redirect(&redirect, &call)),
        };
        let vigil = Vigil::new(&self.node);
        let elapsed = self.node.env().now().since(begun);
        let limit = limit.map(|limit| limit.saturating_sub(elapsed));
        let returned = self.node.feeds().send_once(reply.id, to, limit, place);
        let env = self.node.env().clone();
        let body = LegacyBody::new(env, self.rules.keep_alive, vigil, returned);
        let block = blocks::sent(&reply, &Report::new(), "");
        Ok(status::sending(block, Box::new(body), self.node.env().wall()))
    }

    /// Finds the object, which must have a replica here for the feeds of this node to see to it.
    async fn find(&self, request: ReadRequest) -> Result<Reply<ReadReply>, Fault> {
        self.node.read(request).await.map_err(Fault::Read)
    }

    fn deadline(&self, wait: Wait, begun: Instant) -> Option<Instant> {
        let default = self.rules.feed_send_timeout;
        wait.limit(default, default).map(|limit| begun + limit)
    }
}

/// How much time is left, where there is a limit.
fn left(until: Option<Instant>, now: Instant) -> Option<Duration> {
    until.map(|until| until.since(now))
}

fn looked_for(call: &Call) -> Result<ReadRequest, Fault> {
    Ok(ReadRequest {
        target: call.node_target()?,
        nonce: call.nonce(),
        body: BodyWish::HeadersOnly,
        fresh_contexts: call.fresh_contexts(),
    })
}

impl From<SendRefused> for Fault {
    fn from(refused: SendRefused) -> Self {
        match refused {
            SendRefused::UnknownFeed(id) => Self::UnknownFeed(id.to_string()),
            SendRefused::TooMany => Self::Busy,
        }
    }
}
