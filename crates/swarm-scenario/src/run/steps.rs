//! The timeline: when each step happens, to whom, and when it is undone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::{Cut, DiskRef, NodeRef};
use swarm_types::Instant;

use super::faults::{self, InForce};
use super::operate::{Ask, Done, Ended, Order, perform};
use super::snapshot::{self, Snapshot};
use super::{Run, answers::Answer, lock, obeyed, operate, watch};
use crate::language::model::{
    DiskSelector, Event, NodeSelector, Power, Request, Retry, Start, Step, Targets, Verb,
};
use crate::ledger::{Object, ObjectNumber};
use crate::wire;

/// A request of a scenario waits as long as a client's default.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the steps have done so far.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) faults: InForce,
    /// Nodes and disks that named steps chose.
    chosen: BTreeMap<String, Chosen>,
    /// Objects that named requests touched.
    pub(crate) objects: BTreeMap<String, ObjectNumber>,
    /// What named `remember`s saw.
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    /// Actions that made no sense, as sentences.
    pub(crate) nonsense: Vec<String>,
    /// Requests that were not answered as `expect_status` says.
    pub(crate) unexpected: Vec<(usize, Duration, String)>,
}

#[derive(Debug, Default, Clone)]
struct Chosen {
    nodes: Vec<NodeRef>,
    disks: Vec<DiskRef>,
}

/// Where a step is: which of its targets `each` has come to.
#[derive(Debug, Clone, Default)]
struct Current {
    node: Option<NodeRef>,
    disk: Option<DiskRef>,
}

/// Runs a step from its start to its last end.
pub(crate) async fn run_step(run: Arc<Run>, number: usize) {
    let step = run.scenario.steps[number].clone();
    let Some(base) = base(&run, &step).await else { return };
    let occurrences = step.repeat.map_or(1, |(_, times)| times);
    let mut due = base;
    for occurrence in 0..occurrences {
        if let Some((every, _)) = step.repeat {
            // The first comes one period after the base, so that `every` alone counts from the start.
            due = due + run.draw(every);
            run.env().sleep_until(due).await;
        }
        if run.is_over() {
            break;
        }
        if occurrence == 0
            && let Some(name) = &step.name
        {
            run.board.fire(Event::Starts(name.clone()), run.now());
        }
        if let Err(why) = occur(&run, number, &step).await {
            let label = step.label();
            lock(&run.steps).nonsense.push(format!("{label}: {why}"));
            break;
        }
    }
    if let Some(name) = &step.name {
        run.board.fire(Event::Ends(name.clone()), run.now());
    }
}

async fn base(run: &Run, step: &Step) -> Option<Instant> {
    let at = match &step.start {
        Start::At(span) => run.started() + run.draw(*span),
        Start::After { event, wait } => run.board.act_after(event).await? + run.draw(*wait),
    };
    run.env().sleep_until(at).await;
    Some(at)
}

/// One occurrence: once, or for each target one after another.
async fn occur(run: &Arc<Run>, number: usize, step: &Step) -> Result<(), String> {
    let Some(each) = &step.each else { return once(run, number, step, &Current::default()).await };
    let targets: Vec<Current> = match &each.targets {
        Targets::Nodes(selector) => {
            let nodes = choose_nodes(run, selector);
            nodes.into_iter().map(|node| Current { node: Some(node), disk: None }).collect()
        }
        Targets::Disks(selector) => {
            let disks = choose_disks(run, selector);
            disks.into_iter().map(|disk| Current { node: None, disk: Some(disk) }).collect()
        }
    };
    for (position, current) in targets.iter().enumerate() {
        if position > 0 {
            run.env().sleep(run.draw(each.wait)).await;
        }
        if run.is_over() {
            break;
        }
        once(run, number, step, current).await?;
        match &each.until {
            None => {}
            Some(Event::Healthy(cluster)) => watch::until_healthy(run, cluster).await,
            Some(Event::AtRest(cluster)) => watch::until_at_rest(run, cluster).await,
            Some(event) => drop(run.board.act_after(event).await),
        }
    }
    Ok(())
}

/// Does it, and undoes it after `for`.
async fn once(run: &Arc<Run>, number: usize, step: &Step, current: &Current) -> Result<(), String> {
    let nodes =
        |selector: &NodeSelector| remember_nodes(run, step, nodes_of(run, selector, current, &[]));
    match &step.verb {
        Verb::Power(power, selector) => {
            let nodes = nodes(selector);
            let line = faults::power(run, number, *power, &nodes).await?;
            if let Some(lasts) = step.lasts {
                run.env().sleep(run.draw(lasts)).await;
                faults::power_on(run, &nodes).await?;
                faults::undone(run, line);
            } else if matches!(power, Power::Restart(_) | Power::Start) {
                faults::undone(run, line);
            }
        }
        Verb::Isolate(selector) => cut(run, number, step, Cut::Isolate(nodes(selector))).await?,
        Verb::BreakMulticast(selector) => {
            cut(run, number, step, Cut::Multicast(nodes(selector))).await?
        }
        Verb::Partition(groups) => {
            cut(run, number, step, Cut::Partition(choose_groups(run, groups, current))).await?
        }
        Verb::Heal(name) => {
            let of = name.as_ref().and_then(|name| {
                run.scenario.steps.iter().position(|step| step.name.as_ref() == Some(name))
            });
            let cuts = lock(&run.steps).faults.cuts_of(of);
            faults::heal(run, cuts).await?;
        }
        Verb::Rot(selector, share_ppm) => {
            let disks = disks_of(run, selector, current);
            if let Some(name) = &step.name {
                lock(&run.steps).chosen.entry(name.clone()).or_default().disks.clone_from(&disks);
            }
            faults::rot(run, number, &disks, *share_ppm).await?;
        }
        Verb::Skew(selector, offset_ns) => {
            let nodes = nodes(selector);
            let line = faults::skew(run, number, &nodes, *offset_ns).await?;
            if let Some(lasts) = step.lasts {
                run.env().sleep(run.draw(lasts)).await;
                faults::unskew(run, &nodes).await?;
                faults::undone(run, line);
            }
        }
        Verb::Request(wanted) => request(run, number, step, wanted).await,
        Verb::StartWorkload(workload) => run.board.fire(Event::Starts(workload.clone()), run.now()),
        Verb::StopWorkload(workload) => run.workloads[workload].stop(),
        Verb::Remember(cluster) => {
            let snapshot = snapshot::take(run, cluster).await;
            let name = step.name.clone().unwrap_or_default();
            lock(&run.steps).snapshots.insert(name, snapshot);
        }
    }
    Ok(())
}

async fn cut(run: &Arc<Run>, number: usize, step: &Step, cut: Cut) -> Result<(), String> {
    let line = faults::cut(run, number, cut).await?;
    if let Some(lasts) = step.lasts {
        run.env().sleep(run.draw(lasts)).await;
        faults::heal(run, faults::cuts_of_line(run, line)).await?;
    }
    Ok(())
}

fn remember_nodes(run: &Run, step: &Step, nodes: Vec<NodeRef>) -> Vec<NodeRef> {
    if let Some(name) = &step.name {
        lock(&run.steps).chosen.entry(name.clone()).or_default().nodes.clone_from(&nodes);
    }
    nodes
}

/// Draws so many of these, in their order.
fn some_of<T: Clone>(run: &Run, count: u32, of: &[T]) -> Vec<T> {
    let mut left: Vec<usize> = (0..of.len()).collect();
    let mut drawn = BTreeSet::new();
    for _ in 0..count {
        if !left.is_empty() {
            drawn.insert(left.remove(run.choose(left.len())));
        }
    }
    drawn.into_iter().map(|number| of[number].clone()).collect()
}

/// The nodes of a selector outside of `each` and of groups.
pub(crate) fn choose_nodes(run: &Run, selector: &NodeSelector) -> Vec<NodeRef> {
    nodes_of(run, selector, &Current::default(), &[])
}

/// The disks of a selector outside of `each`.
pub(crate) fn choose_disks(run: &Run, selector: &DiskSelector) -> Vec<DiskRef> {
    disks_of(run, selector, &Current::default())
}

fn nodes_of(
    run: &Run,
    selector: &NodeSelector,
    current: &Current,
    taken: &[NodeRef],
) -> Vec<NodeRef> {
    let free = |cluster: &str| -> Vec<NodeRef> {
        run.world.nodes(cluster).into_iter().filter(|node| !taken.contains(node)).collect()
    };
    match selector {
        NodeSelector::These(nodes) => nodes.clone(),
        NodeSelector::Some(count, cluster) => some_of(run, *count, &free(cluster)),
        NodeSelector::All(cluster) => run.world.nodes(cluster),
        NodeSelector::Rest(cluster) => free(cluster),
        NodeSelector::Step(name) => {
            let state = lock(&run.steps);
            let chosen = state.chosen.get(name).cloned().unwrap_or_default();
            if chosen.nodes.is_empty() {
                chosen.disks.into_iter().map(|disk| disk.node).collect()
            } else {
                chosen.nodes
            }
        }
        NodeSelector::Each => current.node.iter().cloned().collect(),
    }
}

/// The groups of a partition; `rest of` comes last, whatever its place in the list.
fn choose_groups(run: &Run, groups: &[NodeSelector], current: &Current) -> Vec<Vec<NodeRef>> {
    let mut chosen: Vec<Vec<NodeRef>> = vec![Vec::new(); groups.len()];
    let mut taken = Vec::new();
    let is_rest = |group: &NodeSelector| matches!(group, NodeSelector::Rest(_));
    let rank = |group: &NodeSelector| match group {
        NodeSelector::Some(..) => 1,
        _ if is_rest(group) => 2,
        _ => 0,
    };
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|number| rank(&groups[*number]));
    for number in order {
        chosen[number] = nodes_of(run, &groups[number], current, &taken);
        taken.extend(chosen[number].iter().cloned());
    }
    chosen
}

fn disks_of(run: &Run, selector: &DiskSelector, current: &Current) -> Vec<DiskRef> {
    let all = |cluster: &str| -> Vec<DiskRef> {
        run.world.nodes(cluster).iter().flat_map(|node| run.world.disks(node)).collect()
    };
    match selector {
        DiskSelector::These(disks) => disks.clone(),
        DiskSelector::SomeOfNode(count, node) => some_of(run, *count, &run.world.disks(node)),
        DiskSelector::Some(count, cluster) => some_of(run, *count, &all(cluster)),
        DiskSelector::All(cluster) => all(cluster),
        DiskSelector::Step(name) => {
            let chosen = lock(&run.steps).chosen.get(name).cloned().unwrap_or_default();
            if chosen.disks.is_empty() {
                chosen.nodes.iter().flat_map(|node| run.world.disks(node)).collect()
            } else {
                chosen.disks
            }
        }
        DiskSelector::Each => current.disk.iter().cloned().collect(),
    }
}

/// Sends one request; on an object it goes through the ledger like every other operation.
async fn request(run: &Arc<Run>, number: usize, step: &Step, wanted: &Request) {
    let done = if wanted.path.starts_with('/') {
        plain(run, wanted).await
    } else {
        on_object(run, step, wanted).await
    };
    let status = done.status;
    if let Some(expected) = wanted.expect_status
        && status != Some(expected)
    {
        let got = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let what = format!("{} {}: {got}, expected {expected}", wanted.method, wanted.path);
        let at = run.since_start(run.now());
        lock(&run.steps).unexpected.push((number, at, what));
    }
    if let Some(name) = &step.name {
        let Done { headers, trailers, body, .. } = done;
        let answer = Answer { status, headers, trailers, body };
        lock(&run.answers).insert(name.clone(), answer);
    }
}

fn credentials(wanted: &Request) -> Option<(String, String)> {
    let (user, password) = wanted.auth.as_deref()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

async fn on_object(run: &Arc<Run>, step: &Step, wanted: &Request) -> Done {
    let object = object_at(run, &wanted.cluster, &wanted.path);
    if let Some(name) = &step.name {
        lock(&run.steps).objects.insert(name.clone(), object);
    }
    let method = match wanted.method.as_str() {
        "POST" => Some("POST"),
        "PUT" => Some("PUT"),
        _ => None,
    };
    let mut headers: Vec<(String, String)> = wanted.headers.clone().into_iter().collect();
    let ask = match (method, wanted.method.as_str()) {
        (Some(method), _) => {
            let (target, body) = {
                let mut ledger = lock(&run.ledger);
                let target = ledger.object(object).target.clone().unwrap_or_default();
                (target, ledger.new_body(object, wanted.size.unwrap_or(0)))
            };
            obeyed::intend_as_written(run, object, body.content, &mut headers);
            Ask::Store { method, target, body, half_sent: None }
        }
        (None, "DELETE") => Ask::Remove,
        (None, "HEAD") => Ask::Fetch { with_body: false },
        (None, "GET") => Ask::Fetch { with_body: true },
        (None, _) => return plain(run, wanted).await,
    };
    let order = Order {
        object,
        ask,
        client: 0,
        first: run.first_node(&wanted.cluster, &wanted.via),
        retry: Retry::default(),
        patience: PATIENCE,
        auth: credentials(wanted),
        headers,
    };
    perform(run, &order).await
}

/// The object at `DOMAIN/BUCKET/NAME`.
pub(crate) fn object_at(run: &Run, cluster: &str, path: &str) -> ObjectNumber {
    let mut parts = path.splitn(3, '/');
    let (domain, bucket, name) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let mut ledger = lock(&run.ledger);
    let parents =
        [ledger.find(cluster, domain), ledger.find(cluster, &format!("{domain}/{bucket}"))];
    ledger.named(cluster, path, || {
        let mut object = Object::new(path, cluster, Some(wire::named_target(domain, bucket, name)));
        object.parents = parents.into_iter().flatten().collect();
        object
    })
}

/// Sends a request as it stands. It may be bad on purpose, so only a 500 is held against the node.
async fn plain(run: &Arc<Run>, wanted: &Request) -> Done {
    let node = run.first_node(&wanted.cluster, &wanted.via);
    let target = if wanted.path.starts_with('/') {
        wanted.path.clone()
    } else {
        let object = object_at(run, &wanted.cluster, &wanted.path);
        lock(&run.ledger).object(object).target.clone().unwrap_or_default()
    };
    let done = operate::plain(run, &node, wanted, target, credentials(wanted)).await;
    if done.ended == Ended::Unavailable(500) {
        let what = format!("{node} answered 500 to {} {}", wanted.method, wanted.path);
        run.violation(crate::verdict::Invariant::Alive, None, what, None);
    }
    done
}
