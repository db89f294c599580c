//! The end of a run: everything mended, at rest, and every object that was ever touched read once more.

use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::NodeRef;

use super::operate::{Ask, Ended, Order, perform};
use super::watch::{LOOK_EVERY, Rest};
use super::{Run, faults, lock, watch};
use crate::language::model::Retry;
use crate::ledger::ObjectNumber;
use crate::oracle::tidy::{self, Claimed};
use crate::reach::GRACE;
use crate::verdict::Invariant;

/// Reading at rest takes no longer, whatever the disks.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a disk is looked at before what was seen counts.
const LOOKS_MAX: u32 = 3;
/// Reads at rest that are under way together.
const READERS: usize = 4;

/// Mends what steps left broken and waits for rest.
///
/// # Errors
/// What the world said about mending, as a sentence.
pub(crate) async fn come_to_rest(run: &Arc<Run>) -> Result<(), String> {
    faults::mend_all(run).await?;
    let mut clusters: Vec<(String, Rest)> =
        run.scenario.clusters.keys().map(|cluster| (cluster.clone(), Rest::default())).collect();
    loop {
        let mut restless = None;
        for (cluster, rest) in &mut clusters {
            if !rest.look(run, cluster).await {
                restless = Some(format!("{cluster}: {}", rest.why_not));
            }
        }
        let rested = restless.is_none();
        *lock(&run.restless) = restless;
        if rested {
            // Whoever is at rest has no trouble any more: from here on nothing is excused.
            let was_open = lock(&run.reach).all_over(run.now());
            if was_open {
                run.env().sleep(GRACE + LOOK_EVERY).await;
            }
            return Ok(());
        }
        run.pause(run.rest_look_every()).await;
    }
}

/// Reads every object once more, in its own cluster and wherever it may have come to. The judgement of each answer is that of
/// every read; here there is no excuse left.
pub(crate) async fn read_all(run: &Arc<Run>) {
    let all: Vec<ObjectNumber> = {
        let mut ledger = lock(&run.ledger);
        ledger.make_twins();
        ledger.numbers().collect()
    };
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (run_of_task, mine) = (
                Arc::clone(run),
                all.iter().skip(reader).step_by(READERS).copied().collect::<Vec<_>>(),
            );
            run.env().spawn("final reads", async move {
                for object in mine {
                    read_one(&run_of_task, object).await;
                }
            })
        })
        .collect();
    for reader in readers {
        reader.join().await;
    }
}

async fn read_one(run: &Arc<Run>, object: ObjectNumber) {
    let (cluster, readable) = {
        let ledger = lock(&run.ledger);
        let object = ledger.object(object);
        (object.cluster.clone(), object.target.is_some())
    };
    // An unnamed object whose id nobody told us cannot be asked for.
    if !readable {
        return;
    }
    let nodes = run.world.nodes(&cluster);
    let mut first = nodes[object.0 as usize % nodes.len()].clone();
    let mut last = None;
    // A damaged replica may break an answer off; another node may choose another replica.
    for _ in 0..nodes.len() {
        let order = Order {
            object,
            ask: Ask::Fetch { with_body: true },
            client: object.0,
            first: first.clone(),
            retry: Retry::default(),
            patience: PATIENCE,
            auth: None,
            headers: Vec::new(),
        };
        let done = perform(run, &order).await;
        if !matches!(done.ended, Ended::Broken(_)) {
            return;
        }
        last = Some(done.ended);
        first = run.next_node(&first);
    }
    if let Some(Ended::Broken(how)) = last
        && must_be_whole(run, object)
    {
        let what = format!("at rest every node breaks off a read of it ({how:?})");
        run.violation(Invariant::Durable, Some(object), what, None);
    }
}

/// Looks at every disk: what its node tells of it, what its journal says, what its index says.
pub(crate) async fn judge_disks(run: &Arc<Run>) {
    let nodes: Vec<NodeRef> =
        run.scenario.clusters.keys().flat_map(|cluster| run.world.nodes(cluster)).collect();
    for node in nodes {
        for what in untidy_disks(run, &node).await {
            run.violation(Invariant::Tidy, None, what, None);
        }
    }
}

/// What is untidy about the disks of a node, at several moments.
pub(crate) async fn untidy_disks(run: &Run, node: &NodeRef) -> Vec<String> {
    let mut found = look_at_disks(run, node).await;
    for _ in 0..LOOKS_MAX {
        if found.is_empty() {
            break;
        }
        // A group may have become durable a moment before the index was told.
        run.env().sleep(LOOK_EVERY).await;
        found = look_at_disks(run, node).await;
    }
    found
}

async fn look_at_disks(run: &Run, node: &NodeRef) -> Vec<String> {
    let status = match watch::status(run, node).await {
        Ok(status) => status,
        Err(why) => return vec![format!("{node} {why}")],
    };
    let damage = run.world.damage();
    let mut out_of_service = faults::losses::refused(run);
    out_of_service.extend(lock(&run.tally).given_up.iter().cloned());
    let mut found = Vec::new();
    for disk in run.world.disks(node) {
        let Some(told) = status.volumes.iter().find(|volume| volume.disk == disk.to_string())
        else {
            found.push(format!("{node} tells nothing of its disk {disk}"));
            continue;
        };
        // What is on it is nobody's, and its node says nothing of it.
        if told.state == "unavailable" && out_of_service.contains(&disk) {
            continue;
        }
        let claimed = Claimed {
            capacity: told.capacity,
            used: told.used,
            free: told.free,
            trapped: told.trapped,
            streams: told.streams,
        };
        let of_disk: Vec<_> = damage.iter().filter(|damage| damage.disk == disk).cloned().collect();
        let index = run.world.index(&disk);
        let untidy = tidy::judge(&*run.world.image(&disk), index.as_deref(), claimed, &of_disk);
        found.extend(untidy.into_iter().map(|what| format!("disk {disk}: {what}")));
    }
    found
}

/// True if some disk must have a whole copy of its last acknowledged write.
fn must_be_whole(run: &Run, object: ObjectNumber) -> bool {
    let ledger = lock(&run.ledger);
    let reach = lock(&run.reach);
    let (history, cluster) = (ledger.history(object), &ledger.object(object).cluster);
    let writes = history.iter().filter(|entry| entry.write_stamp().is_some());
    let newest = writes.max_by_key(|entry| entry.write_stamp());
    newest.is_none_or(|write| reach.damage(cluster).left_some(write))
}
