//! The timeline: when each step happens, to whom, and when it is undone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use swarm_client::Auth;
use swarm_cluster::{Cut, DiskRef, Ending, NodeRef, Ways};
use swarm_types::Instant;

use super::faults::disks::{self, Blocks};
use super::faults::network::{self, Victim};
use super::faults::{self, InForce, clocks};
use super::manage::VolumeOrder;
use super::operate::{Ask, Done, Ended, Order, Sent, amended, if_match, perform};
use super::snapshot::{self, Snapshot};
use super::workload::Trap;
use super::{
    Expected, Run, answers::Answer, compare, feeds, lock, manage, obeyed, operate, protection,
    tally, watch,
};
use crate::language::model::{
    ClockVerb, Company, Direction, DiskSelector, DiskVerb, Event, FeedVerb, NetworkVerb,
    NodeSelector, Power, RECOVERY_SUSPENDED, Request, Retry, Start, Step, Targets, Truncated, Verb,
};
use crate::language::tell::listed;
use crate::ledger::{Object, ObjectNumber};
use crate::wire;

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
    /// Steps and workloads that waited for what never came.
    pub(crate) never: Vec<String>,
    /// How the programs of workloads ended.
    pub(crate) programs: Vec<Expected>,
    /// The settings of clusters that steps have changed, by cluster and name.
    pub(crate) changed: BTreeMap<(String, String), String>,
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
    let Some(base) = base(&run, &step).await else { return never_came(&run, number, &step) };
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

/// A step never happened. An answer that was expected of it is missed; of a fault it is enough to say so.
fn never_came(run: &Run, number: usize, step: &Step) {
    let at = run.since_start(run.now());
    let mut state = lock(&run.steps);
    state.never.push(step.label());
    if matches!(&step.verb, Verb::Request(wanted) if wanted.expect_status.is_some()) {
        state.unexpected.push((number, at, "what it waits for never came".to_owned()));
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
            Some(Event::Protected(cluster)) => protection::until_full(run, cluster).await,
            Some(Event::Drained(feed)) => feeds::until_drained(run, feed).await,
            Some(event) => drop(run.board.act_after(event).await),
        }
    }
    Ok(())
}

/// Does it, and undoes it after `for`.
async fn once(run: &Arc<Run>, number: usize, step: &Step, current: &Current) -> Result<(), String> {
    let undo = Doing { run, number, step, current }.begin().await?;
    if let Some(lasts) = step.lasts {
        run.env().sleep(run.draw(lasts)).await;
        undo.carry_out(run, number).await?;
    } else {
        run.env().sleep(step.verb.takes()).await;
    }
    Ok(())
}

/// How what a step did is undone.
enum Undo {
    Nothing,
    /// Nodes are started; the line of the account.
    PowerOn(Vec<NodeRef>, usize),
    /// Whatever this line of the account stands for.
    Reverse(usize),
    /// Clocks go back to what they were; the line of the account.
    Unskew(Vec<NodeRef>, usize),
    /// Disks are plugged in where they were.
    PlugIn(Vec<DiskRef>),
    /// Volumes are not emptied any more; the line of the account.
    CancelRetire(usize, Vec<NodeRef>, Vec<DiskRef>),
    /// Recovery of this cluster goes on; the line of the account.
    ResumeRecovery(usize, String),
    /// What was done to this feed; the line of the account.
    Feed(usize, FeedVerb, String),
    /// The request of a workload that was to be cut short is not.
    TakeTraps(String, usize),
}

impl Undo {
    /// `step` is the one that did it.
    async fn carry_out(self, run: &Arc<Run>, step: usize) -> Result<(), String> {
        match self {
            Self::Nothing => {}
            Self::PowerOn(nodes, line) => {
                faults::power_on(run, &nodes).await?;
                faults::undone(run, line);
            }
            Self::Reverse(line) => faults::reverse_line(run, line).await?,
            Self::Unskew(nodes, line) => {
                clocks::unskew(run, &nodes).await?;
                faults::undone(run, line);
            }
            Self::PlugIn(disks) => disks::plug_in(run, None, &disks, None).await?,
            Self::CancelRetire(line, nodes, disks) => {
                manage::call_off(run, step, line, &nodes, &disks).await;
            }
            Self::ResumeRecovery(line, cluster) => {
                manage::set_again(run, step, line, &cluster, RECOVERY_SUSPENDED, "False").await;
                faults::undone(run, line);
            }
            Self::Feed(line, verb, feed) => feeds::undo(run, step, line, &verb, &feed).await,
            Self::TakeTraps(workload, line) => {
                run.workloads[&workload].take_traps(line);
                faults::reverse_line(run, line).await?;
                faults::undone(run, line);
            }
        }
        Ok(())
    }
}

/// One occurrence of a step, or its turn for one target of `each`.
struct Doing<'a> {
    run: &'a Arc<Run>,
    number: usize,
    step: &'a Step,
    current: &'a Current,
}

impl Doing<'_> {
    /// The nodes of a selector, noted as what this step chose.
    fn nodes(&self, selector: &NodeSelector) -> Vec<NodeRef> {
        remember_nodes(self.run, self.step, nodes_of(self.run, selector, self.current, &[]))
    }

    /// The volumes that an order is for: those of nodes, or on disks.
    fn targets(&self, targets: &Targets) -> (Vec<NodeRef>, Vec<DiskRef>) {
        match targets {
            Targets::Nodes(selector) => (self.nodes(selector), Vec::new()),
            Targets::Disks(selector) => (Vec::new(), self.disks(selector)),
        }
    }

    /// The disks of a selector, noted as what this step chose.
    fn disks(&self, selector: &DiskSelector) -> Vec<DiskRef> {
        let disks = disks_of(self.run, selector, self.current);
        if let Some(name) = &self.step.name {
            let mut state = lock(&self.run.steps);
            state.chosen.entry(name.clone()).or_default().disks.clone_from(&disks);
        }
        disks
    }

    async fn begin(&self) -> Result<Undo, String> {
        let Self { run, number, step, .. } = *self;
        match &step.verb {
            Verb::Power(power, selector) => {
                let nodes = self.nodes(selector);
                let (at, wiped) = match power {
                    Power::Wipe => (run.now(), tally::wiped(run, &nodes)),
                    _ => (run.now(), Vec::new()),
                };
                let line = faults::power(run, number, *power, &nodes).await?;
                tally::lost(run, wiped, at);
                if matches!(power, Power::Restart(_) | Power::Start) {
                    faults::undone(run, line);
                }
                Ok(Undo::PowerOn(nodes, line))
            }
            Verb::Request(wanted) => {
                request(run, number, step, wanted).await;
                Ok(Undo::Nothing)
            }
            Verb::StartWorkload(workload) => {
                run.board.fire(Event::Starts(workload.clone()), run.now());
                Ok(Undo::Nothing)
            }
            Verb::StopWorkload(workload) => {
                run.workloads[workload].stop();
                Ok(Undo::Nothing)
            }
            Verb::Retire { of, how } => {
                let (nodes, disks) = self.targets(of);
                let order = VolumeOrder::Retire(*how);
                let line = manage::order(run, number, &nodes, &disks, order).await;
                Ok(Undo::CancelRetire(line, nodes, disks))
            }
            Verb::MountStale(of) => {
                let (nodes, disks) = self.targets(of);
                manage::order(run, number, &nodes, &disks, VolumeOrder::MountStale).await;
                Ok(Undo::Nothing)
            }
            Verb::Set { cluster, name, value } => {
                let line = manage::set(run, number, cluster, name, value).await;
                // Only suspended recovery has a `for`: it is resumed.
                if name != RECOVERY_SUSPENDED {
                    faults::undone(run, line);
                }
                Ok(Undo::ResumeRecovery(line, cluster.clone()))
            }
            Verb::Remember(cluster) => {
                let snapshot = snapshot::take(run, cluster).await;
                let name = step.name.clone().unwrap_or_default();
                lock(&run.steps).snapshots.insert(name, snapshot);
                Ok(Undo::Nothing)
            }
            Verb::Feed(verb, feed) => {
                let line = feeds::act(run, number, verb, feed).await;
                Ok(Undo::Feed(line, verb.clone(), feed.clone()))
            }
            Verb::Restore { snapshot, from, to } => {
                compare::restore(run, snapshot, from, to).await.map(|_| Undo::Nothing)
            }
            Verb::Clock(verb) => self.to_clocks(verb).await,
            Verb::Disk(verb) => self.to_disks(verb).await,
            Verb::Network(verb) => self.to_network(verb).await,
        }
    }

    async fn to_clocks(&self, verb: &ClockVerb) -> Result<Undo, String> {
        let Self { run, number, .. } = *self;
        match verb {
            ClockVerb::Skew(selector, offset_ns) => {
                let nodes = self.nodes(selector);
                let line = clocks::skew(run, number, &nodes, *offset_ns).await?;
                Ok(Undo::Unskew(nodes, line))
            }
            ClockVerb::Drift(selector, ppm) => {
                let nodes = self.nodes(selector);
                clocks::drift(run, number, &nodes, *ppm).await.map(Undo::Reverse)
            }
            ClockVerb::Step(selector, by_ns) => {
                let nodes = self.nodes(selector);
                clocks::step_clock(run, number, &nodes, *by_ns).await.map(Undo::Reverse)
            }
            ClockVerb::Skip(by) => {
                let line = clocks::skip(run, number, run.draw(*by)).await?;
                faults::undone(run, line);
                Ok(Undo::Nothing)
            }
        }
    }

    async fn to_disks(&self, verb: &DiskVerb) -> Result<Undo, String> {
        let Self { run, number, current, .. } = *self;
        match verb {
            DiskVerb::Rot(selector, share_ppm) => {
                let (disks, how) = (self.disks(selector), Blocks::Rotten);
                disks::damage(run, number, &disks, how, *share_ppm).await?;
            }
            DiskVerb::Unreadable(selector, share_ppm) => {
                let (disks, how) = (self.disks(selector), Blocks::Unreadable);
                disks::damage(run, number, &disks, how, *share_ppm).await?;
                tally::watch_errors(run, &disks);
            }
            DiskVerb::Fault(selector, fault) => {
                let disks = self.disks(selector);
                let line = disks::fault(run, number, &disks, *fault).await?;
                tally::watch_errors(run, &disks);
                return Ok(Undo::Reverse(line));
            }
            DiskVerb::Heal(selector) => disks::heal(run, &self.disks(selector)).await?,
            DiskVerb::Pull(selector) => {
                let disks = self.disks(selector);
                let (at, taken) = (run.now(), tally::plugged(run, &disks));
                disks::pull(run, number, &disks).await?;
                tally::lost(run, taken, at);
                return Ok(Undo::PlugIn(disks));
            }
            DiskVerb::Insert(selector, into) => {
                let into = into.as_ref().map(|into| nodes_of(run, into, current, &[]));
                let into = match &into {
                    None => None,
                    Some(nodes) => match nodes.as_slice() {
                        [node] => Some(node),
                        _ => {
                            return Err(format!(
                                "disks are plugged into one node, not {}",
                                nodes.len()
                            ));
                        }
                    },
                };
                disks::insert(run, number, &self.disks(selector), into).await?;
            }
            DiskVerb::Replace(selector) => {
                let disks = self.disks(selector);
                let (at, taken) = (run.now(), tally::plugged(run, &disks));
                disks::replace(run, number, &disks).await?;
                tally::lost(run, taken, at);
            }
            DiskVerb::LoseIndex(selector) => {
                disks::lose_index(run, number, &self.disks(selector)).await?;
            }
        }
        Ok(Undo::Nothing)
    }

    async fn to_network(&self, verb: &NetworkVerb) -> Result<Undo, String> {
        let Self { run, number, current, .. } = *self;
        let cut = match verb {
            NetworkVerb::Isolate(selector) => Cut::Isolate(self.nodes(selector)),
            NetworkVerb::BreakMulticast(selector) => Cut::Multicast(self.nodes(selector)),
            NetworkVerb::Partition(groups) => Cut::Partition(choose_groups(run, groups, current)),
            NetworkVerb::Cut { nodes, to, direction } => {
                let nodes = self.nodes(nodes);
                let others = match to {
                    Some(to) => nodes_of(run, to, current, &nodes),
                    None => rest_of_clusters(run, &nodes),
                };
                match direction {
                    Direction::Both => Cut::Partition(vec![nodes, others]),
                    Direction::Out => Cut::OneWay { from: nodes, to: others },
                    Direction::In => Cut::OneWay { from: others, to: nodes },
                }
            }
            NetworkVerb::HalfOpen(selector) => {
                network::half_open(run, number, self.nodes(selector)).await?;
                return Ok(Undo::Nothing);
            }
            NetworkVerb::Degrade { nodes, with, change } => {
                let nodes = self.nodes(nodes);
                let ways = match with {
                    Company::Nodes => Ways::Around(nodes),
                    Company::Clients => Ways::Clients(nodes),
                    Company::These(others) => {
                        let others = nodes_of(run, others, current, &nodes);
                        Ways::Between(nodes, others)
                    }
                };
                let line = network::degrade(run, number, ways, *change).await?;
                return Ok(Undo::Reverse(line));
            }
            NetworkVerb::Truncate { request, at_byte, ending } => {
                return self.truncate(request, *at_byte, *ending).await;
            }
            NetworkVerb::LoseReply { nodes, reply, ending } => {
                let nodes = self.nodes(nodes);
                let line = network::lose_reply(run, number, &nodes, *reply, *ending).await?;
                return Ok(Undo::Reverse(line));
            }
            NetworkVerb::Heal(name) => {
                let of = name.as_ref().and_then(|name| {
                    run.scenario.steps.iter().position(|step| step.name.as_ref() == Some(name))
                });
                network::heal(run, of).await?;
                return Ok(Undo::Nothing);
            }
        };
        network::cut(run, number, cut).await.map(Undo::Reverse)
    }

    async fn truncate(
        &self,
        request: &Truncated,
        at_byte: u64,
        ending: Ending,
    ) -> Result<Undo, String> {
        let Self { run, number, .. } = *self;
        match request {
            Truncated::OfWorkload(name, nth) => {
                let line = network::begin_truncate(run, number, &request.to_string(), at_byte);
                run.workloads[name].set_trap(Trap { nth: *nth, at_byte, ending, line });
                Ok(Undo::TakeTraps(name.clone(), line))
            }
            Truncated::ToNodes(selector) => {
                let nodes = self.nodes(selector);
                let whose = format!("the next request to {}", listed(&nodes));
                let line = network::begin_truncate(run, number, &whose, at_byte);
                for node in nodes {
                    network::truncate(run, line, Victim::To(node), at_byte, ending).await?;
                }
                Ok(Undo::Reverse(line))
            }
        }
    }
}

/// The other nodes of the clusters of these.
fn rest_of_clusters(run: &Run, nodes: &[NodeRef]) -> Vec<NodeRef> {
    let clusters: BTreeSet<&str> = nodes.iter().map(|node| node.cluster.as_str()).collect();
    let all = clusters.into_iter().flat_map(|cluster| run.world.nodes(cluster));
    all.filter(|node| !nodes.contains(node)).collect()
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

fn credentials(wanted: &Request) -> Option<Auth> {
    let (user, password) = wanted.auth.as_deref()?.split_once(':')?;
    Some(Auth::basic(user, password))
}

async fn on_object(run: &Arc<Run>, step: &Step, wanted: &Request) -> Done {
    let object = object_at(run, &wanted.cluster, &wanted.path);
    if let Some(name) = &step.name {
        lock(&run.steps).objects.insert(name.clone(), object);
    }
    let base = lock(&run.ledger).newest_acknowledged(object);
    let method = match wanted.method.as_str() {
        "POST" => Some("POST"),
        "PUT" => Some("PUT"),
        // Of a version that is not known nobody could say what is to come of it.
        "APPEND" if base.is_some() => Some("APPEND"),
        "COPY" if base.is_some() => Some("COPY"),
        _ => None,
    };
    let mut headers: Vec<(String, String)> = wanted.headers.clone().into_iter().collect();
    let ask = match (method, wanted.method.as_str()) {
        (Some(method), _) => {
            let (target, mut body) = {
                let mut ledger = lock(&run.ledger);
                let target = ledger.object(object).target.clone().unwrap_or_default();
                let size = wanted.size.filter(|_| method != "COPY");
                (target, Sent::from(ledger.new_body(object, size.unwrap_or(0))))
            };
            obeyed::intend_as_written(run, object, body.content, &mut headers);
            let base = base.filter(|_| matches!(method, "APPEND" | "COPY"));
            if let Some((base, etag)) = base {
                let length = body.bytes.length();
                body.stored = lock(&run.ledger).builds_on(object, body.content, base, length);
                headers.push(if_match(etag));
            }
            let target = if base.is_some() { amended(target, method, false) } else { target };
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
        patience: wanted.patience,
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
        [ledger.context(cluster, domain), ledger.context(cluster, &format!("{domain}/{bucket}"))];
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
