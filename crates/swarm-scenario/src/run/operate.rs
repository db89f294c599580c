//! One operation of a client: its whole chain of redirects and retries, noted in the ledger and judged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use swarm_client::{Auth, Body, Error, Request, Response};
use swarm_cluster::NodeRef;
use swarm_types::{Etag, HeaderList, Instant};

use super::{Run, answers, carried, fed, lock, obeyed, watch};
use crate::body::{BodySpec, Content};
use crate::language::model::{Request as Wanted, Retry, RetryOn, Via};
use crate::ledger::legal::{Seen, Window};
use crate::ledger::{Act, ObjectNumber, Outcome};
use crate::reach::NodeNumber;
use crate::verdict::Invariant;
use crate::wire::{self, Broken};

/// Bodies of answers to writes, deletes and plain requests are small; more of them is not kept.
const ANSWER_MAX: usize = 64 * 1024;

/// Called when half of a body has left the client.
pub(crate) type HalfSent = Arc<dyn Fn() + Send + Sync>;

/// What a client wants.
pub(crate) struct Order {
    pub(crate) object: ObjectNumber,
    pub(crate) ask: Ask,
    /// Number of the client.
    pub(crate) client: u32,
    /// The node asked first.
    pub(crate) first: NodeRef,
    pub(crate) retry: Retry,
    pub(crate) patience: Duration,
    /// User and password.
    pub(crate) auth: Option<Auth>,
    /// Headers besides those that the object's writes always carry.
    pub(crate) headers: Vec<(String, String)>,
}

impl Order {
    /// What somebody wants who comes to the object's cluster by any node, and asks elsewhere for what an answer leaves open.
    pub(crate) fn of_anybody(run: &Run, object: ObjectNumber, ask: Ask) -> Self {
        let cluster = lock(&run.ledger).object(object).cluster.clone();
        let unclear = [500, 503].map(RetryOn::Status).into_iter();
        let broken = [RetryOn::Timeout, RetryOn::Reset, RetryOn::Refused];
        Self {
            object,
            ask,
            client: object.0,
            first: run.first_node(&cluster, &Via::AnyNode),
            retry: Retry { times: 3, on: unclear.chain(broken).collect() },
            patience: Duration::from_secs(30),
            auth: None,
            headers: Vec::new(),
        }
    }

    /// True for a request that is legal and asks for nothing that is not built: whatever the file may have put into one
    /// of its own steps, this carries only what clients always send.
    fn is_ordinary(&self) -> bool {
        let usual = |name: &str| {
            ["content-type", "lifepoint", "if-match"]
                .iter()
                .any(|usual| name.eq_ignore_ascii_case(usual))
        };
        self.headers.iter().all(|(name, _)| usual(name)) && self.auth.is_none()
    }

    /// True if the node answered with a breakdown of its own. Nothing ordinary is refused as not implemented, nor for its
    /// version of HTTP; a 503 says only that the node cannot do it now, which expectations judge by its share.
    pub(crate) fn is_breakdown(&self, status: u16) -> bool {
        status == 500 || (self.is_ordinary() && matches!(status, 501 | 505))
    }
}

/// What a client sends to be stored.
pub(crate) struct Sent {
    /// The number of the content that comes of it.
    pub(crate) content: u32,
    pub(crate) bytes: Content,
    /// How many bytes that content has, with those that it takes over.
    pub(crate) stored: u64,
}

impl From<BodySpec> for Sent {
    fn from(body: BodySpec) -> Self {
        Self { content: body.content, stored: body.length, bytes: body.into() }
    }
}

/// The request itself.
pub(crate) enum Ask {
    /// POST, PUT, COPY or APPEND of a body to a target.
    Store { method: &'static str, target: String, body: Sent, half_sent: Option<HalfSent> },
    /// DELETE.
    Remove,
    /// GET, or HEAD where no body is wanted.
    Fetch { with_body: bool },
    /// SEND to all feeds, which waits so many seconds for them.
    Send { wait: u64 },
}

/// The target of a COPY or APPEND whose version has the headers of the request, or with `preserve` the old ones besides.
pub(crate) fn amended(mut target: String, method: &str, preserve: bool) -> String {
    let argument = match method {
        _ if preserve => "preserve",
        "APPEND" => "replace",
        _ => return target,
    };
    target.push(if target.contains('?') { '&' } else { '?' });
    target.push_str(argument);
    target
}

/// Demands that an object be this version.
pub(crate) fn if_match(etag: Etag) -> (String, String) {
    ("If-Match".to_owned(), format!("\"{etag}\""))
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// 2xx.
    Acknowledged,
    /// 3xx or 4xx.
    Refused(u16),
    /// 5xx.
    Unavailable(u16),
    /// No whole answer.
    Broken(RetryOn),
}

impl Ended {
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            200..300 => Self::Acknowledged,
            500.. => Self::Unavailable(status),
            other => Self::Refused(other),
        }
    }

    /// True for a chain that ended in 5xx, time-out or reset.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Broken(_))
    }

    fn calls_for(self, retry: &Retry) -> bool {
        let outcome = match self {
            Self::Acknowledged => return false,
            Self::Refused(status) | Self::Unavailable(status) => RetryOn::Status(status),
            Self::Broken(how) => how,
        };
        retry.on.contains(&outcome)
    }
}

/// The end of an operation, and the answer of its last try if there was one.
pub(crate) struct Done {
    pub(crate) ended: Ended,
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderList,
    pub(crate) trailers: HeaderList,
    pub(crate) body: Bytes,
}

impl Done {
    pub(crate) fn broken(how: RetryOn) -> Self {
        Self {
            ended: Ended::Broken(how),
            status: None,
            headers: HeaderList::default(),
            trailers: HeaderList::default(),
            body: Bytes::new(),
        }
    }
}

/// Carries out an operation: tries at the next node as long as the retry rule says so.
pub(crate) async fn perform(run: &Arc<Run>, order: &Order) -> Done {
    let mut node = order.first.clone();
    let mut left = order.retry.times;
    loop {
        let done = match &order.ask {
            Ask::Fetch { with_body } => fetch(run, order, &node, *with_body).await,
            Ask::Send { wait } => send(run, order, &node, *wait).await,
            Ask::Store { .. } | Ask::Remove => change(run, order, &node).await,
        };
        if left == 0 || !done.ended.calls_for(&order.retry) {
            run.progress.operations.fetch_add(1, Ordering::Relaxed);
            return done;
        }
        left -= 1;
        node = run.next_node(&node);
    }
}

/// One try of a write or delete.
async fn change(run: &Arc<Run>, order: &Order, node: &NodeRef) -> Done {
    let (request, act) = {
        let ledger = lock(&run.ledger);
        let object = ledger.object(order.object);
        let (method, target, act) = match &order.ask {
            Ask::Store { method, target, body, .. } => (
                *method,
                Some(target.clone()),
                Act::Write { content: body.content, length: body.stored },
            ),
            _ => ("DELETE", object.target.clone(), Act::Delete),
        };
        let Some(target) = target else { return Done::broken(RetryOn::Refused) };
        let mut request = base(run, order, node, method, target);
        if let Ask::Store { body, half_sent, .. } = &order.ask {
            let family = ledger.family(order.object).0;
            let operation = wire::operation_value(family, body.content);
            request = request.header(wire::OPERATION_HEADER, operation);
            for (name, value) in &object.headers {
                request = request.header(name.clone(), value.clone());
            }
            let length = body.bytes.length();
            run.progress.body_bytes.fetch_add(length, Ordering::Relaxed);
            let make = body.bytes.clone().maker(half_sent.clone());
            request.body = Body::Stream { length, make };
            if length == 0 {
                request.body = Body::Bytes(Bytes::new());
            }
        }
        (request, act)
    };
    let sent = run.now();
    let entry = lock(&run.ledger).sent(order.object, act, sent, run.number(node));
    match run.client(order.client).send(request).await {
        Ok(response) => answered(run, order, entry, node, response).await,
        Err(error) => {
            let broken = Broken::of(&error);
            let outcome = if broken.nothing_sent {
                Outcome::NotSent(broken.text)
            } else {
                Outcome::Unknown(broken.text)
            };
            let nodes = asked(run, node, &[error.at]);
            lock(&run.ledger).ended(order.object, entry, run.now(), nodes, outcome);
            Done::broken(broken.how)
        }
    }
}

/// Notes the answer to a write or delete.
async fn answered(
    run: &Arc<Run>,
    order: &Order,
    entry: usize,
    node: &NodeRef,
    mut response: Response,
) -> Done {
    // The head is the acknowledgement; what follows is a page for people.
    let at = run.now();
    let ended = Ended::of_status(response.status);
    let nodes = asked(run, node, &response.hops);
    let is_write = matches!(order.ask, Ask::Store { .. });
    let outcome = match ended {
        Ended::Acknowledged => Outcome::Acknowledged {
            stamp: if is_write { wire::stamp(&response.headers) } else { None },
            holders: wire::holders(&response.headers)
                .into_iter()
                .filter_map(|ip| run.node_at(ip))
                .collect(),
            replicas: wire::replica_count(&response.headers),
        },
        Ended::Refused(status) => Outcome::Refused(status),
        Ended::Unavailable(status) => Outcome::Unknown(status.to_string()),
        Ended::Broken(_) => Outcome::Unknown("broken".to_owned()),
    };
    {
        let mut ledger = lock(&run.ledger);
        ledger.ended(order.object, entry, at, nodes, outcome);
        // An unnamed object is known by the id in the answer that created it.
        if let (Ended::Acknowledged, Some(uuid)) = (ended, response.header("content-uuid")) {
            ledger.known_as(order.object, uuid);
        }
    }
    if ended == Ended::Acknowledged {
        carried::note(run, order.object, entry);
    }
    if ended == Ended::Acknowledged && is_write {
        run.note_acknowledged(order.object, entry);
    }
    answers::judge_change(run, order, entry, response.status, &response.headers);
    obeyed::judge_delete(run, order, entry, response.status, &response.headers);
    let body = response.body.collect(ANSWER_MAX).await.unwrap_or_default();
    Done {
        ended,
        status: Some(response.status),
        trailers: trailers(&response),
        headers: response.headers,
        body,
    }
}

/// One try of a read.
async fn fetch(run: &Arc<Run>, order: &Order, node: &NodeRef, with_body: bool) -> Done {
    let target = lock(&run.ledger).object(order.object).target.clone();
    let Some(target) = target else { return Done::broken(RetryOn::Refused) };
    let request = base(run, order, node, if with_body { "GET" } else { "HEAD" }, target);
    let started = run.now();
    let mut response = match run.client(order.client).send(request).await {
        Ok(response) => response,
        Err(error) => return broken_read(run, order, node, started, &error).await,
    };
    let nodes = asked(run, node, &response.hops);
    let mut reading = answers::Reading::new(run, order.object, &response, with_body);
    let mut kept = Vec::new();
    while let Some(piece) = response.body.next().await {
        match piece {
            Ok(piece) => {
                if kept.len() < ANSWER_MAX {
                    kept.extend_from_slice(&piece[..piece.len().min(ANSWER_MAX - kept.len())]);
                }
                reading.take(&piece);
            }
            Err(error) => {
                // What came until then must be right all the same.
                reading.judge_part(run);
                return broken_read(run, order, node, started, &error).await;
            }
        }
    }
    let window = Window { started, ended: run.now() };
    let last = nodes.last().copied().unwrap_or_else(|| run.number(node));
    let retired = |status: &watch::Status| status.state == "retired";
    if response.status != 503 || !says(run, last, retired).await {
        reading.judge_whole(run, order, &nodes, window);
    }
    Done {
        ended: Ended::of_status(response.status),
        status: Some(response.status),
        trailers: trailers(&response),
        headers: response.headers,
        body: kept.into(),
    }
}

/// One try of a SEND: what the feeds have come to is in its trailers.
async fn send(run: &Arc<Run>, order: &Order, node: &NodeRef, wait: u64) -> Done {
    let target = lock(&run.ledger).object(order.object).target.clone();
    let Some(target) = target else { return Done::broken(RetryOn::Refused) };
    let separator = if target.contains('?') { '&' } else { '?' };
    let target = format!("{target}{separator}admin&feedtype=all&timeout={wait}");
    let request = base(run, order, node, "SEND", target);
    let started = run.now();
    let mut response = match run.client(order.client).send(request).await {
        Ok(response) => response,
        Err(error) => return Done::broken(Broken::of(&error).how),
    };
    let nodes = asked(run, node, &response.hops);
    let body = response.body.collect(ANSWER_MAX).await;
    let window = Window { started, ended: run.now() };
    match (response.status, &body) {
        (_, Err(error)) => return Done::broken(Broken::of(error).how),
        (404, _) => {
            answers::judge_seen(run, order.object, &nodes, window, Seen::Absent, "answered 404");
        }
        (500 | 501, _) => {
            let what = format!("answered {} to a legal SEND", response.status);
            run.violation(Invariant::Alive, Some(order.object), what, None);
        }
        _ => {}
    }
    let trailers = trailers(&response);
    judge_claims(run, &node.cluster, &response, &trailers);
    Done {
        ended: Ended::of_status(response.status),
        status: Some(response.status),
        trailers,
        headers: response.headers,
        body: body.unwrap_or_default(),
    }
}

/// Sends a request as it stands, redirects followed, and notes it nowhere.
pub(crate) async fn plain(
    run: &Arc<Run>,
    node: &NodeRef,
    wanted: &Wanted,
    target: String,
    auth: Option<Auth>,
) -> Done {
    let mut request =
        Request::new(run.world.scsp(node), wanted.method.clone(), target).patience(wanted.patience);
    request.auth = auth;
    for (name, value) in &wanted.headers {
        request = request.header(name.clone(), value.clone());
    }
    if let Some(length) = wanted.size {
        let body = BodySpec { seed: 0, object: u32::MAX, content: 0, length };
        request.body = Body::Stream { length, make: Content::from(body).maker(None) };
        run.progress.body_bytes.fetch_add(length, Ordering::Relaxed);
    }
    let sent = run.client(0).send(request).await;
    run.progress.operations.fetch_add(1, Ordering::Relaxed);
    match sent {
        Ok(mut response) => {
            let body = response.body.collect(ANSWER_MAX).await.unwrap_or_default();
            let (status, trailers) = (response.status, trailers(&response));
            judge_claims(run, &node.cluster, &response, &trailers);
            Done {
                ended: Ended::of_status(status),
                status: Some(status),
                trailers,
                headers: response.headers,
                body,
            }
        }
        Err(error) => Done::broken(Broken::of(&error).how),
    }
}

/// Judges what an answer says that feeds have carried, whatever the request was.
fn judge_claims(run: &Run, cluster: &str, response: &Response, trailers: &HeaderList) {
    let (status, headers) = (response.status, &response.headers);
    fed::judge_answer(run, cluster, fed::Answer { status, headers, trailers }, "an answer");
}

/// The trailers of an answer whose body has been read to its end.
fn trailers(response: &Response) -> HeaderList {
    response.body.trailers().cloned().unwrap_or_default()
}

async fn broken_read(
    run: &Run,
    order: &Order,
    node: &NodeRef,
    started: Instant,
    error: &Error,
) -> Done {
    let broken = Broken::of(error);
    let last = run.node_at(error.at.ip()).unwrap_or_else(|| run.number(node));
    let window = Window { started, ended: run.now() };
    if !says(run, last, watch::Status::is_leaving).await {
        answers::judge_broken(run, order.object, node, window, &broken);
    }
    Done::broken(broken.how)
}

/// Whether a node that has just turned a client away says this of itself. That its volumes retire may be an order of the
/// administration, or come of the errors of its disks; it is no trouble, and stays so at rest.
async fn says(run: &Run, node: NodeNumber, what: impl Fn(&watch::Status) -> bool) -> bool {
    let node = lock(&run.reach).node(node).clone();
    watch::status(run, &node).await.is_ok_and(|status| what(&status))
}

fn base(run: &Run, order: &Order, node: &NodeRef, method: &'static str, target: String) -> Request {
    let mut request = Request::new(run.world.scsp(node), method, target).patience(order.patience);
    request.auth.clone_from(&order.auth);
    for (name, value) in &order.headers {
        request = request.header(name.clone(), value.clone());
    }
    request
}

/// The nodes that were asked: where the request went first, and wherever it was sent on to.
fn asked(run: &Run, first: &NodeRef, hops: &[SocketAddr]) -> Vec<NodeNumber> {
    let mut nodes = vec![run.number(first)];
    nodes.extend(hops.iter().filter_map(|hop| run.node_at(hop.ip())));
    nodes.dedup();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_never_told_that_what_it_always_asks_is_not_built() {
        let mut order = Order {
            object: ObjectNumber(0),
            ask: Ask::Remove,
            client: 0,
            first: NodeRef { cluster: "main".to_owned(), node: 1 },
            retry: Retry::default(),
            patience: Duration::from_secs(30),
            auth: None,
            headers: Vec::new(),
        };
        let breakdowns = |order: &Order| -> Vec<u16> {
            [200, 404, 500, 501, 503, 505]
                .into_iter()
                .filter(|status| order.is_breakdown(*status))
                .collect()
        };
        assert_eq!(breakdowns(&order), [500, 501, 505]);
        order.headers.push(("Lifepoint".to_owned(), "[] reps=3".to_owned()));
        assert_eq!(breakdowns(&order), [500, 501, 505]);
        order.headers.push(("Range".to_owned(), "bytes=0-1".to_owned()));
        assert_eq!(breakdowns(&order), [500], "a step may ask for what is not built");
    }
}
