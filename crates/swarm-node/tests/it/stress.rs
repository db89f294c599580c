//! Random histories: many clients, few names, a lossy network, one node at a time without power. What is there in the end
//! must be what the acknowledged operations say. In most worlds the health processors walk all the time; there, at rest,
//! each object must have exactly the copies that it should have.
//!
//! `SWARM_STRESS_SEEDS=A..B` chooses the worlds (without B). In a build with `swarm-env/planted-bugs`,
//! `SWARM_STRESS_PLANT=NAME` plants a bug that this should find.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use swarm_env::{Bug, Env};
use swarm_node::NodeState;
use swarm_node::api::{Refusal, WriteKind};
use swarm_sim::LinkModel;
use swarm_types::Instant;

use crate::cluster::{Client, Cluster, Filed, Form, Lost, Put, Shape, named, post};

const NAMES: [&str; 2] = ["x", "y"];
const CLIENTS: u64 = 5;
const OPERATIONS: u64 = 12;
/// No operation may take longer: every wait in a node has a time-out.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Write(Bytes),
    Delete,
    Read(Option<Bytes>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Acknowledged, with that many replicas in the case of a write.
    Done(usize),
    /// Certainly did not happen.
    Refused,
    /// May have happened.
    Unknown,
}

#[derive(Clone)]
struct Operation {
    name: &'static str,
    what: What,
    via: u8,
    begin: Instant,
    end: Instant,
    outcome: Outcome,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, via, begin, end, outcome, .. } = self;
        write!(f, "[{begin:?} to {end:?} through {via}: {what:?}, {outcome:?}]")
    }
}

impl Operation {
    /// Whether this ended before the other began.
    fn before(&self, other: &Self) -> bool {
        self.end < other.begin
    }

    fn acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Done(_))
    }

    /// Whether everybody who begins afterwards meets it, even with one node away. What is less well known may have a
    /// version above that of a later operation if its node's clock is fast.
    fn well_known(&self) -> bool {
        match self.what {
            What::Write(_) => matches!(self.outcome, Outcome::Done(2..)),
            What::Delete | What::Read(_) => self.acknowledged(),
        }
    }

    fn changes(&self) -> bool {
        !matches!(self.what, What::Read(_)) && self.outcome != Outcome::Refused
    }
}

type History = Arc<Mutex<Vec<Operation>>>;

/// Dice of one party.
struct Dice {
    env: Env,
    label: &'static str,
}

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        self.env.random_u64(self.label) % bound
    }

    fn millis(&self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

fn outcome<T>(
    answer: &Result<Result<T, Refusal>, Lost>,
    replicas: impl Fn(&T) -> usize,
) -> Outcome {
    match answer {
        Ok(Ok(reply)) => Outcome::Done(replicas(reply)),
        Err(Lost) | Ok(Err(Refusal::Unknown { .. })) => Outcome::Unknown,
        // To a client both kinds of unavailability look alike, but this kind promises that nothing happened.
        Ok(Err(_)) => Outcome::Refused,
    }
}

async fn client(number: u64, world: World, client: Client, dice: Dice, history: History) {
    let World { nodes, names, .. } = world;
    for operation in 0..OPERATIONS {
        if dice.below(3) > 0 {
            dice.env.sleep(dice.millis(900)).await;
        }
        let name = NAMES[usize::try_from(dice.below(names)).unwrap_or(0)];
        let via = u8::try_from(dice.below(u64::from(nodes))).unwrap_or(0) + 1;
        if client.node(via).is_none() {
            continue;
        }
        let begin = dice.env.now();
        let (what, outcome) = match dice.below(10) {
            0..5 => {
                let body = Bytes::from(format!("{number}.{operation}"));
                let pause = if dice.below(6) == 0 { dice.millis(2500) } else { Duration::ZERO };
                let kind = match dice.below(4) {
                    0 => WriteKind::Replace { or_create: dice.below(2) == 0 },
                    _ => WriteKind::Create { only_if_absent: false },
                };
                let put = Put { body: body.clone(), pause, kind, ..post(named(name), b"") };
                let answer = client.put(via, &put).await;
                (What::Write(body), outcome(&answer, |reply| reply.replicas.len()))
            }
            5..7 => {
                let answer = client.delete(via, &named(name)).await;
                (What::Delete, outcome(&answer, |()| 0))
            }
            _ => match client.get(via, &named(name)).await {
                Ok(Ok(body)) => (What::Read(Some(body)), Outcome::Done(0)),
                Ok(Err(Refusal::NotFound)) => (What::Read(None), Outcome::Done(0)),
                _ => (What::Read(None), Outcome::Unknown),
            },
        };
        let end = dice.env.now();
        assert!(end.since(begin) < PATIENCE, "{what:?} of {name} took {:?}", end.since(begin));
        let operation = Operation { name, what, via, begin, end, outcome };
        history.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }
}

/// Takes the power from one node after another; each is `ok` again before the next one loses it.
async fn nemesis(nodes: u8, client: Client, dice: Dice) {
    for _ in 0..4 {
        dice.env.sleep(dice.millis(2000)).await;
        let victim = u8::try_from(dice.below(u64::from(nodes))).unwrap_or(0) + 1;
        if dice.below(3) == 0 {
            client.kill(victim).await;
        } else {
            client.power_off(victim).await;
        }
        let brief = dice.below(2) == 0;
        dice.env.sleep(dice.millis(if brief { 300 } else { 2500 })).await;
        client.start(victim).await;
        let serves = |client: &Client| {
            client.node(victim).is_some_and(|node| node.status().state == NodeState::Ok)
        };
        while !serves(&client) {
            dice.env.sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What a seed makes of the world.
#[derive(Clone, Copy)]
struct World {
    nodes: u8,
    disks_per_node: u8,
    names: u64,
    loss_ppm: u32,
    skewed: bool,
    /// Health processors that walk in seconds; in hours otherwise.
    healing: bool,
}

/// Settings of a world that heals.
const HEALING: [(&str, &str); 3] = [
    ("health.cycleTime", "4"),
    ("health.visitsPerSecond", "1000"),
    ("health.replicationMulticastFrequency", "100"),
];
/// How long such a world is left alone: superseded replicas are kept for a minute, claims hold for another.
const REST: Duration = Duration::from_secs(240);

impl World {
    fn of(seed: u64) -> Self {
        let part = |divisor: u64, modulus: u64| seed / divisor % modulus;
        Self {
            nodes: 3 + u8::try_from(part(1, 3)).unwrap_or(0),
            disks_per_node: 1 + u8::try_from(part(3, 2)).unwrap_or(0),
            loss_ppm: [0, 20_000, 50_000][usize::try_from(part(6, 3)).unwrap_or(0)],
            names: 1 + part(18, 2),
            skewed: part(36, 3) == 2,
            healing: part(108, 3) < 2,
        }
    }
}

/// What each node answers in the end, by name.
type Finals = BTreeMap<&'static str, Vec<Option<Bytes>>>;

/// One world from its seed: the history, and what there is in the end.
fn live_through(seed: u64, world: World) -> (Vec<Operation>, Finals, Option<String>) {
    let World { nodes, disks_per_node, loss_ppm, skewed, .. } = world;
    let settings: &[_] = if world.healing { &HEALING } else { &[] };
    let shape = Shape { disks_per_node, settings, planted: planted(), ..Shape::of(nodes, seed) };
    let mut cluster = Cluster::shaped(&shape).and_bucket();
    let calm = LinkModel::default();
    let rough = LinkModel { loss_ppm, duplicate_ppm: 50_000, reorder_ppm: 100_000, ..calm };
    cluster.world().set_link(1, 1, rough);
    let history = History::default();
    let dice = |label| Dice { env: cluster.env(), label };
    for node in 1..=nodes {
        let ahead = i64::try_from(dice("skew").below(6_000_000_000)).unwrap_or(0) - 3_000_000_000;
        if skewed {
            let _ = cluster.world().skew(cluster.host(node), ahead).done();
        }
    }
    let clients = (0..CLIENTS).map(|number| {
        client(number, world, cluster.client(), dice("client"), Arc::clone(&history))
    });
    let faults = nemesis(nodes, cluster.client(), dice("nemesis"));
    let everybody = join(join_all(clients.collect::<Vec<_>>()), faults);
    cluster.block_on(async move {
        everybody.await;
    });
    cluster.world().set_link(1, 1, calm);
    cluster.run_for(Duration::from_secs(25));
    let mut finals = BTreeMap::new();
    for name in NAMES {
        let answers = (1..=nodes).map(|via| match cluster.get(via, &named(name)) {
            Ok(body) => Some(body),
            Err(Refusal::NotFound) => None,
            Err(refusal) => panic!("seed {seed}: {name} through {via}: {refusal}"),
        });
        finals.insert(name, answers.collect());
    }
    let history = history.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let unprotected = if world.healing { unprotected(&mut cluster, world) } else { None };
    (history, finals, unprotected)
}

/// Why the objects are not protected as they should be after some time of rest; `None` if they are.
fn unprotected(cluster: &mut Cluster, world: World) -> Option<String> {
    cluster.run_for(REST);
    let mut by_id: BTreeMap<Vec<u8>, Vec<(u8, Filed)>> = BTreeMap::new();
    for node in 1..=world.nodes {
        for filed in cluster.filed(node) {
            by_id.entry(filed.id.clone()).or_default().push((node, filed));
        }
    }
    let mut contexts = 0;
    for (id, filed) in by_id {
        let newest = filed.iter().map(|(_, filed)| &filed.stamp).max()?;
        // Older deletes are remembered for two weeks whatever has come after them.
        let copies: Vec<_> = filed.iter().filter(|(_, one)| one.form != Form::Tombstone).collect();
        let all_good =
            copies.iter().all(|(_, one)| one.form == Form::Sound && one.stamp == *newest);
        let nodes: BTreeSet<u8> = copies.iter().map(|(node, _)| *node).collect();
        let enough = nodes.len() == copies.len() && matches!(copies.len(), 0 | 2 | 3);
        if !(all_good && enough) {
            let told: Vec<_> =
                filed.iter().map(|(node, one)| (node, one.form, one.stamp.0)).collect();
            return Some(format!("{:02x?} is held as {told:?}", &id[..4]));
        }
        // A context may be told from an object by the number of its copies only.
        contexts += usize::from(copies.len() == 3);
    }
    (contexts != 2).then(|| format!("{contexts} streams have three copies, not the two contexts"))
}

/// Why this cannot be what is there in the end; `None` if it can.
fn objection(history: &[Operation], there: Option<&Bytes>, skewed: bool) -> Option<String> {
    let explained = |by: &Operation| {
        let after = |later: &&Operation| {
            (by.well_known() || !skewed)
                && later.acknowledged()
                && later.changes()
                && by.before(later)
        };
        history.iter().find(after).map(|later| format!("{by:?} came before {later:?}"))
    };
    let causes: Vec<&Operation> = history
        .iter()
        .filter(|one| match (&one.what, there) {
            (What::Write(body), Some(there)) => body == there,
            (What::Delete, None) => true,
            _ => false,
        })
        .collect();
    let Some(body) = there else {
        let written =
            history.iter().find(|one| matches!(one.what, What::Write(_)) && one.acknowledged())?;
        let mut objections = Vec::new();
        for delete in causes.iter().filter(|delete| delete.changes()) {
            objections.push(explained(delete)?);
        }
        return Some(format!("nothing there, but {written:?}; {objections:?}"));
    };
    match causes.as_slice() {
        [write] if write.outcome == Outcome::Refused => {
            Some(format!("refused, but there: {write:?}"))
        }
        [write] => explained(write),
        _ => Some(format!("nobody wrote {body:?}")),
    }
}

/// Why a read cannot have been answered so; `None` if it can.
fn read_objection(history: &[Operation], read: &Operation, world: World) -> Option<String> {
    let What::Read(there) = &read.what else { return None };
    if !read.acknowledged() {
        return None;
    }
    let earlier = |one: &&Operation| one.before(read) && one.acknowledged();
    let Some(body) = there else {
        // Lookups of which every datagram was lost are excused.
        let written = history.iter().filter(earlier).find(|one| {
            let harmless = |other: &Operation| match other.what {
                What::Delete => other.before(one) && (other.well_known() || !world.skewed),
                _ => other.well_known() || (other.before(one) && !world.skewed),
            };
            matches!(one.what, What::Write(_))
                && one.well_known()
                && history.iter().filter(|other| other.changes()).all(harmless)
        });
        return written
            .filter(|_| world.loss_ppm == 0)
            .map(|written| format!("{read:?}: nothing there, but {written:?}"));
    };
    let write = history.iter().find(|one| one.what == What::Write(body.clone()));
    let Some(write) = write else { return Some(format!("{read:?}: nobody wrote that")) };
    let delete = history.iter().filter(earlier).find(|one| {
        one.what == What::Delete && write.before(one) && (write.well_known() || !world.skewed)
    });
    delete.map(|delete| format!("{read:?}: {write:?} was deleted by {delete:?}"))
}

fn planted() -> Vec<Bug> {
    let named = std::env::var("SWARM_STRESS_PLANT").ok();
    named.map(|name| Bug::from_name(&name).expect("a planted bug's name")).into_iter().collect()
}

fn check(seed: u64) -> Result<(), String> {
    let world = World::of(seed);
    let (history, finals, unprotected) = live_through(seed, world);
    if let Some(unprotected) = unprotected {
        return Err(format!("seed {seed}: {unprotected}"));
    }
    let mut objections = Vec::new();
    for name in NAMES {
        let of_name: Vec<Operation> =
            history.iter().filter(|one| one.name == name).cloned().collect();
        let answers = &finals[name];
        if answers.iter().any(|answer| answer != &answers[0]) {
            objections.push(format!("the nodes disagree about {name}: {answers:?}"));
        }
        objections.extend(objection(&of_name, answers[0].as_ref(), world.skewed));
        objections.extend(of_name.iter().filter_map(|read| read_objection(&of_name, read, world)));
        if !objections.is_empty() {
            let lines: Vec<String> = of_name.iter().map(|one| format!("{one:?}")).collect();
            return Err(format!(
                "seed {seed}, {name}: {}\n  {}",
                objections.join("; "),
                lines.join("\n  ")
            ));
        }
    }
    Ok(())
}

#[test]
fn what_is_there_in_the_end_is_what_was_acknowledged() {
    let range = std::env::var("SWARM_STRESS_SEEDS").unwrap_or_else(|_| "0..108".to_owned());
    let (from, to) = range.split_once("..").expect("SWARM_STRESS_SEEDS=A..B");
    let (from, to): (u64, u64) = (from.parse().expect("a seed"), to.parse().expect("a seed"));
    let failures: Vec<String> = (from..to).filter_map(|seed| check(seed).err()).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), to - from, failures.join("\n"));
}
