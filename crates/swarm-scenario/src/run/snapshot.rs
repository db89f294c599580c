//! Snapshots: which content every object of a cluster had when it was remembered, as clients saw it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::look::Verdict;
use super::operate::{Ask, Order, perform};
use super::{Run, lock};
use crate::ledger::ObjectNumber;
use crate::wire;

/// Objects asked for together.
const READERS: usize = 4;

/// What clients saw of the objects of a cluster.
pub(crate) type Snapshot = BTreeMap<ObjectNumber, Seen>;

/// What a client saw of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The write with this number.
    Content(u32),
    /// 404.
    Absent,
    /// Something that tells nothing.
    Unclear(String),
}

/// Asks for every object of the cluster that was ever touched there, or may have come to it.
pub(crate) async fn take(run: &Arc<Run>, cluster: &str) -> Snapshot {
    let all: Vec<ObjectNumber> = {
        let mut ledger = lock(&run.ledger);
        ledger.make_twins();
        let of_cluster = |number: &ObjectNumber| {
            let object = ledger.object(*number);
            object.cluster == cluster && object.target.is_some()
        };
        ledger.numbers().filter(of_cluster).collect()
    };
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let mine: Vec<_> = all.iter().skip(reader).step_by(READERS).copied().collect();
            let run_of_task = Arc::clone(run);
            run.env().spawn("snapshot", async move {
                let mut seen = Snapshot::new();
                for object in mine {
                    seen.insert(object, look(&run_of_task, object).await);
                }
                seen
            })
        })
        .collect();
    let mut snapshot = Snapshot::new();
    for reader in readers {
        snapshot.extend(reader.join().await.unwrap_or_default());
    }
    snapshot
}

async fn look(run: &Arc<Run>, object: ObjectNumber) -> Seen {
    let order = Order::of_anybody(run, object, Ask::Fetch { with_body: false });
    let done = perform(run, &order).await;
    match done.status {
        Some(404) => Seen::Absent,
        Some(200) => match wire::operation(&done.headers) {
            Some((_, content)) => Seen::Content(content),
            None => Seen::Unclear("answered with metadata of no write".to_owned()),
        },
        _ => Seen::Unclear(done.answer()),
    }
}

/// Compares what clients see now with what was remembered.
pub(crate) async fn compare(run: &Arc<Run>, cluster: &str, name: &str) -> Verdict {
    let Some(before) = lock(&run.steps).snapshots.get(name).cloned() else {
        return Err(format!("{name} has not been taken"));
    };
    let now = take(run, cluster).await;
    let ledger = lock(&run.ledger);
    let mut differing = Vec::new();
    for (number, seen) in &now {
        // What did not exist then must not exist now.
        let expected = before.get(number).unwrap_or(&Seen::Absent);
        if seen != expected || matches!(seen, Seen::Unclear(_)) {
            let object = &ledger.object(*number).name;
            differing.push(format!("{object}: {} instead of {}", seen.shown(), expected.shown()));
        }
    }
    let present = now.values().filter(|seen| matches!(seen, Seen::Content(_))).count();
    match differing.first() {
        None => {
            Ok(format!("{present} objects as they were, {} gone as before", now.len() - present))
        }
        Some(first) => Err(format!("{} objects differ, among them {first}", differing.len())),
    }
}

impl Seen {
    fn shown(&self) -> String {
        match self {
            Self::Content(content) => format!("write {content}"),
            Self::Absent => "404".to_owned(),
            Self::Unclear(what) => what.clone(),
        }
    }
}
