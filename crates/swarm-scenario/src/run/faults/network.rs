//! What steps do to the network: cuts, bad ways, connections forgotten, messages lost.

use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::{Action, Cut, Ending, LinkChange, NodeRef, Reply, Ways};

use super::{Of, apply_reversible, begin, count, note, reverse};
use crate::language::tell::{listed, show_change};
use crate::language::units::show_size;
use crate::run::{Run, lock};

/// Connections that the network has forgotten are found out by then: nodes give up on a peer that is silent for a minute.
const FOUND_OUT: Duration = Duration::from_secs(60);
/// What takes longer than this one way may come too late for a node that asks.
const LATE: Duration = Duration::from_millis(50);
/// Less than this holds up what nodes tell each other.
const NARROW: u64 = 10_000_000;

/// Cuts nodes off.
///
/// # Errors
/// What the world says about an action that makes no sense.
pub(crate) async fn cut(run: &Arc<Run>, step: usize, cut: Cut) -> Result<usize, String> {
    let line = begin(run, step, describe(&cut));
    let trouble = lock(&run.reach).cut(run.now(), &cut);
    apply_reversible(run, line, Action::Cut(cut), Some(trouble), Of::Network).await?;
    Ok(line)
}

/// Makes the network around nodes worse.
///
/// # Errors
/// As [`cut`].
pub(crate) async fn degrade(
    run: &Arc<Run>,
    step: usize,
    ways: Ways,
    change: LinkChange,
) -> Result<usize, String> {
    let (nodes, whose) = match &ways {
        Ways::Around(nodes) => (nodes, String::new()),
        Ways::Clients(nodes) => (nodes, " with clients".to_owned()),
        Ways::Between(nodes, others) => (nodes, format!(" with {}", listed(others))),
        Ways::OneWay { from, to } => (from, format!(" to {}", listed(to))),
    };
    let what = format!("degrade {}{whose}: {}", listed(nodes), show_change(&change));
    let line = begin(run, step, what);
    let is_bad = change.loss_ppm.is_some_and(|loss| loss > 0)
        || change.latency.is_some_and(|latency| latency.mostly_below() > LATE)
        || change.bandwidth_bits.is_some_and(|bits| bits < NARROW);
    let trouble = {
        let mut reach = lock(&run.reach);
        match &ways {
            Ways::Around(nodes) if is_bad => reach.cut(run.now(), &Cut::Isolate(nodes.clone())),
            Ways::Between(nodes, others) if is_bad => {
                reach.cut(run.now(), &Cut::Partition(vec![nodes.clone(), others.clone()]))
            }
            _ => reach.disturbed(run.now()),
        }
    };
    let action = Action::Degrade { ways, change };
    apply_reversible(run, line, action, Some(trouble), Of::Network).await?;
    Ok(line)
}

/// Makes the network forget the connections of nodes with others.
///
/// # Errors
/// As [`cut`].
pub(crate) async fn half_open(
    run: &Arc<Run>,
    step: usize,
    nodes: Vec<NodeRef>,
) -> Result<usize, String> {
    let line = begin(run, step, format!("half-open {}", listed(&nodes)));
    {
        let mut reach = lock(&run.reach);
        let trouble = reach.cut(run.now(), &Cut::Isolate(nodes.clone()));
        reach.over(run.now() + FOUND_OUT, trouble);
    }
    let applied = run.world.apply(Action::Forget(nodes)).await?;
    note(run, line, applied.number);
    Ok(line)
}

/// Which request is cut short.
pub(crate) enum Victim {
    /// The one whose beginning contains these bytes.
    Marked(Vec<u8>),
    /// The next to this node.
    To(NodeRef),
}

/// Waits for a request and cuts it short.
///
/// # Errors
/// As [`cut`].
pub(crate) async fn truncate(
    run: &Arc<Run>,
    line: usize,
    victim: Victim,
    at_byte: u64,
    ending: Ending,
) -> Result<(), String> {
    let trouble = lock(&run.reach).disturbed(run.now());
    let (node, marker) = match victim {
        Victim::Marked(marker) => (None, marker),
        // Every request begins with a line that says this.
        Victim::To(node) => (Some(node), b" HTTP/1.1".to_vec()),
    };
    let action = Action::Truncate { client: None, node, marker: Some(marker), at_byte, ending };
    apply_reversible(run, line, action, Some(trouble), Of::Once).await
}

/// Opens the line of a request that is to be cut short.
pub(crate) fn begin_truncate(run: &Run, step: usize, whose: &str, at_byte: u64) -> usize {
    begin(run, step, format!("truncate {whose} at {}", show_size(at_byte)))
}

/// Loses an answer of each node.
///
/// # Errors
/// As [`cut`].
pub(crate) async fn lose_reply(
    run: &Arc<Run>,
    step: usize,
    nodes: &[NodeRef],
    reply: Reply,
    ending: Ending,
) -> Result<usize, String> {
    let line = begin(run, step, format!("lose-reply {}", listed(nodes)));
    for node in nodes {
        let trouble = lock(&run.reach).disturbed(run.now());
        let action = Action::LoseReply { node: node.clone(), reply, ending };
        apply_reversible(run, line, action, Some(trouble), Of::Once).await?;
    }
    Ok(line)
}

/// Undoes what one step did to the network, or all of it.
///
/// # Errors
/// As [`cut`].
pub(crate) async fn heal(run: &Arc<Run>, step: Option<usize>) -> Result<(), String> {
    let numbers = lock(&run.steps).faults.of_network(step);
    reverse(run, numbers).await?;
    count(run);
    Ok(())
}

fn describe(cut: &Cut) -> String {
    match cut {
        Cut::Isolate(nodes) => format!("isolate {}", listed(nodes)),
        Cut::Multicast(nodes) => format!("break-multicast {}", listed(nodes)),
        Cut::OneWay { from, to } => format!("cut {} from {}", listed(to), listed(from)),
        Cut::Partition(groups) => {
            let groups: Vec<String> = groups.iter().map(|group| listed(group)).collect();
            format!("partition {}", groups.join(" | "))
        }
    }
}
