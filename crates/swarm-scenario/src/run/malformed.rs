//! Clients that send what no client should: one wrong request at a time, on a connection of its own.
//!
//! Each is noted in the ledger as refused, whatever came back: reads judge that nothing was stored by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use swarm_cluster::{Env, NodeRef};
use swarm_types::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::operate::Ended;
use super::workload::Record;
use super::{Run, lock};
use crate::language::model::{Operation, RetryOn, Workload};
use crate::ledger::{Act, Object, ObjectNumber, Outcome};
use crate::malformed::{self, CASES, Came, Case, Target};
use crate::reach::GRACE;
use crate::verdict::Invariant;
use crate::wire;

/// What a wrong request would store, in bytes.
const LENGTH: u64 = 4;

/// Sends one wrong request, drawn by the seed, and judges what comes back.
pub(crate) async fn operate(run: &Arc<Run>, workload: &Workload, client: u32, due: Instant) {
    let case = &CASES[run.choose(CASES.len())];
    let node = run.first_node(&workload.on, &workload.via);
    let (object, target) = object(run, workload, case);
    let body = lock(&run.ledger).new_body(object, LENGTH);
    let named = format!(
        "{}: {}\r\n",
        wire::OPERATION_HEADER,
        wire::operation_value(body.object, body.content)
    );
    let address = run.world.scsp(&node);
    let bytes = case.bytes(&Target { path: &target, host: &address.to_string(), named: &named });
    let sent = run.now();
    let act = Act::Write { content: body.content, length: LENGTH };
    let entry = lock(&run.ledger).sent(object, act, sent, run.number(&node));
    let clients = run.world.clients();
    let env = &clients[client as usize % clients.len()];
    let came = exchange(env, address, &bytes, case.ends_early(), workload.patience).await;
    let now = run.now();
    let status = if let Came::Answer(status) = came { status } else { 400 };
    lock(&run.ledger).ended(object, entry, now, Vec::new(), Outcome::Refused(status));
    if let Some(wrong) = case.judge(&came, is_troubled(run, &node, sent, now)) {
        run.violation(Invariant::Alive, Some(object), format!("{wrong} by {node}"), Some(entry));
    }
    run.progress.operations.fetch_add(1, Ordering::Relaxed);
    let ended = match came {
        Came::Answer(status) => Ended::of_status(status),
        Came::Closed => Ended::Refused(400),
        Came::Garbage => Ended::Broken(RetryOn::Reset),
        Came::Nothing => Ended::Broken(RetryOn::Timeout),
        Came::Unreached => Ended::Broken(RetryOn::Refused),
    };
    lock(&run.workloads[&workload.name].records).push(Record {
        operation: Operation::Malformed,
        overwrite: false,
        due: run.since_start(due),
        latency: now.since(due),
        ended,
    });
}

/// Whether a fault may have been in the way of the node, or of what it needed of others.
fn is_troubled(run: &Run, node: &NodeRef, sent: Instant, now: Instant) -> bool {
    let number = run.number(node);
    let reach = lock(&run.reach);
    // What a node does not know yet of a fault that is over counts as trouble too; `always` has its own grace for that.
    let from = Instant(sent.0.saturating_sub(u64::try_from(GRACE.as_nanos()).unwrap_or(0)));
    reach.always(number, from, now) != reach.whole(number)
}

/// The object that a wrong request names: one for each way of being wrong, which nobody else writes to.
fn object(run: &Run, workload: &Workload, case: &Case) -> (ObjectNumber, String) {
    let (domain, bucket) = workload.within.split_once('/').unwrap_or((&workload.within, ""));
    let name = format!("{}/{}", workload.name, case.name);
    let path = format!("{}/{name}", workload.within);
    // Without a bucket there are only unnamed objects, and of those only an answer would tell the id.
    let readable = (!bucket.is_empty()).then(|| wire::named_target(domain, bucket, &name));
    let target = readable.clone().unwrap_or_else(|| match domain {
        "" => "/".to_owned(),
        domain => format!("/?domain={}", wire::encode(domain)),
    });
    let mut ledger = lock(&run.ledger);
    let parents =
        [ledger.context(&workload.on, domain), ledger.context(&workload.on, &workload.within)];
    let object = ledger.named(&workload.on, &path, || {
        let mut object = Object::new(path.clone(), workload.on.clone(), readable);
        object.parents = parents.into_iter().flatten().collect();
        object
    });
    (object, target)
}

/// Sends the bytes as they are and waits for the first line of an answer, or for the end.
async fn exchange(
    env: &Env,
    to: SocketAddr,
    bytes: &[u8],
    ends_early: bool,
    patience: Duration,
) -> Came {
    let Ok(Ok(mut stream)) = env.timeout(patience, env.net().connect(to)).await else {
        return Came::Unreached;
    };
    let talk = async {
        // A node may answer and close before it has read all of it.
        let sent = stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok();
        if sent && ends_early {
            drop(stream.shutdown().await);
        }
        let mut read = Vec::new();
        loop {
            if let Some(came) = malformed::answer(&read) {
                return came;
            }
            match stream.read_buf(&mut read).await {
                Ok(1..) => {}
                Ok(0) | Err(_) if read.is_empty() => return Came::Closed,
                Ok(0) | Err(_) => return Came::Garbage,
            }
        }
    };
    env.timeout(patience, talk).await.unwrap_or(Came::Nothing)
}
