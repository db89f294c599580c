//! Traffic: which operation becomes due when, on which object, and what came of it.
//!
//! The clients of a workload share its keys, so that operations on one object really meet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarm_cluster::Ending;
use swarm_types::{Etag, Instant};
use tokio::sync::Semaphore;

use super::faults::network::{self, Victim};
use super::operate::{Ask, Done, Ended, HalfSent, Order, Sent, amended, if_match, perform};
use super::{Run, lock, malformed, obeyed, outside, setup};
use crate::language::model::{Counted, Event, Kind, Operation, Pace, Start, Workload};
use crate::ledger::{Object, ObjectNumber};
use crate::wire;

/// An open loop stops adding here when nothing ends any more; what is due then waits, and its latency counts.
const IN_FLIGHT_MAX: usize = 512;

/// What a workload has done so far.
#[derive(Debug)]
pub(crate) struct State {
    keys: Arc<Mutex<Keys>>,
    pub(crate) records: Mutex<Vec<Record>>,
    counts: Mutex<BTreeMap<Counted, Counts>>,
    /// Writes and updates that are to be cut short.
    traps: Mutex<Vec<Trap>>,
    stopped: AtomicBool,
}

/// Waits for a write or update to be cut short.
#[derive(Debug, Clone)]
pub(crate) struct Trap {
    /// How many of them begin before, this one included.
    pub(crate) nth: u32,
    /// So much of its body goes through.
    pub(crate) at_byte: u64,
    pub(crate) ending: Ending,
    /// Its line of the account of faults.
    pub(crate) line: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    begun: u64,
    acknowledged: u64,
}

/// One operation that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) operation: Operation,
    /// It went over something that was there.
    pub(crate) overwrite: bool,
    /// Since the start of the scenario.
    pub(crate) due: Duration,
    /// From when it was due to its last answer.
    pub(crate) latency: Duration,
    pub(crate) ended: Ended,
}

impl Record {
    pub(crate) fn counts_as(&self, counted: Counted) -> bool {
        counted == Counted::Operation(self.operation)
            || (counted == Counted::Overwrite && self.overwrite)
    }
}

#[derive(Debug, Default)]
struct Keys {
    slots: Vec<Slot>,
}

/// One key: a name, or a place for an unnamed object that is kept alive.
#[derive(Debug, Default)]
struct Slot {
    kind: Option<Kind>,
    object: Option<ObjectNumber>,
    /// The last acknowledged operation left it there.
    present: bool,
}

/// What is going to be done.
struct Plan {
    operation: Operation,
    slot: usize,
    overwrite: bool,
    order: Order,
}

/// The states of all workloads before anything happens. Those whose clients use the same names of the same cluster know together
/// what is there.
pub(crate) fn states(workloads: &[Workload]) -> BTreeMap<String, State> {
    let names = |workload: &Workload| {
        (workload.on.clone(), workload.within.clone(), workload.names_of.clone())
    };
    let mut keys: BTreeMap<_, Arc<Mutex<Keys>>> = BTreeMap::new();
    let mut state = |workload: &Workload| {
        let shared = Arc::clone(keys.entry(names(workload)).or_default());
        lock(&shared).grow(workload.keys);
        (workload.name.clone(), State::new(shared))
    };
    workloads.iter().map(&mut state).collect()
}

impl State {
    fn new(keys: Arc<Mutex<Keys>>) -> Self {
        Self {
            keys,
            records: Mutex::default(),
            counts: Mutex::default(),
            traps: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// One of the writes and updates that begin from now on is to be cut short.
    pub(crate) fn set_trap(&self, trap: Trap) {
        lock(&self.traps).push(trap);
    }

    /// It is not.
    pub(crate) fn take_traps(&self, line: usize) {
        lock(&self.traps).retain(|trap| trap.line != line);
    }

    /// The traps for a write or update that begins now.
    fn springing(&self) -> Vec<Trap> {
        let mut traps = lock(&self.traps);
        traps.iter_mut().for_each(|trap| trap.nth -= 1);
        let springing = traps.iter().filter(|trap| trap.nth == 0).cloned().collect();
        traps.retain(|trap| trap.nth > 0);
        springing
    }

    /// No operation becomes due any more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Runs a workload from its start to its end, and tells the board.
pub(crate) async fn run_workload(run: Arc<Run>, workload: Arc<Workload>) {
    let started = match &workload.start {
        // A step starts it; one that never does leaves nothing to wait for.
        None => match run.board.act_after(&Event::Starts(workload.name.clone())).await {
            Some(at) => at,
            None => return never_came(&run, &workload),
        },
        Some(Start::At(span)) => {
            let at = run.started() + run.draw(*span);
            run.env().sleep_until(at).await;
            at
        }
        Some(Start::After { event, wait }) => match run.board.act_after(event).await {
            Some(at) => {
                let at = at + run.draw(*wait);
                run.env().sleep_until(at).await;
                at
            }
            None => return never_came(&run, &workload),
        },
    };
    run.board.fire(Event::Starts(workload.name.clone()), started);
    let until = workload.lasts.map(|span| started + run.draw(span));
    match (&workload.program, workload.pace) {
        (Some(command), _) => outside::run_program(&run, &workload, command, until).await,
        (None, Pace::Open { .. }) => open_loop(&run, &workload, started, until).await,
        (None, Pace::Closed(operations)) => {
            closed_loop(&run, &workload, operations, until).await;
        }
    }
    run.board.fire(Event::Ends(workload.name.clone()), run.now());
}

fn never_came(run: &Run, workload: &Workload) {
    lock(&run.steps).never.push(workload.name.clone());
}

/// True while more is to become due.
pub(crate) fn goes_on(
    run: &Run,
    workload: &Workload,
    due: Instant,
    until: Option<Instant>,
) -> bool {
    let stopped = run.workloads[&workload.name].stopped.load(Ordering::Relaxed);
    !stopped && !run.is_over() && until.is_none_or(|until| due < until)
}

async fn open_loop(
    run: &Arc<Run>,
    workload: &Arc<Workload>,
    started: Instant,
    until: Option<Instant>,
) {
    let Pace::Open { rate, operations } = workload.pace else { return };
    let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut number = 0;
    while operations.is_none_or(|operations| number < operations) {
        let due = started + rate.due(number);
        run.env().sleep_until(due).await;
        if !goes_on(run, workload, due, until) {
            break;
        }
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
        let client = u32::try_from(number % u64::from(workload.clients)).unwrap_or(0);
        let (run_of_task, workload) = (Arc::clone(run), Arc::clone(workload));
        drop(run.env().spawn("operation", async move {
            operate(&run_of_task, &workload, client, due).await;
            drop(permit);
        }));
        number += 1;
    }
    // All permits back means that all operations have ended.
    drop(room.acquire_many(u32::try_from(IN_FLIGHT_MAX).unwrap_or(u32::MAX)).await);
}

async fn closed_loop(
    run: &Arc<Run>,
    workload: &Arc<Workload>,
    operations: u64,
    until: Option<Instant>,
) {
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..workload.clients)
        .map(|client| {
            let (run_of_task, workload, next) =
                (Arc::clone(run), Arc::clone(workload), Arc::clone(&next));
            run.env().spawn("client", async move {
                while next.fetch_add(1, Ordering::Relaxed) < operations {
                    let due = run_of_task.now();
                    if !goes_on(&run_of_task, &workload, due, until) {
                        break;
                    }
                    operate(&run_of_task, &workload, client, due).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.join().await;
    }
}

async fn operate(run: &Arc<Run>, workload: &Workload, client: u32, due: Instant) {
    let state = &run.workloads[&workload.name];
    let wanted = weighted(run, &workload.mix);
    if wanted == Operation::Malformed {
        return malformed::operate(run, workload, client, due).await;
    }
    let plan = plan(run, workload, state, client, wanted);
    if let Ask::Store { body, .. } = &plan.order.ask {
        spring_traps(run, state, plan.order.object, body).await;
    }
    let done = perform(run, &plan.order).await;
    let now = run.now();
    settle(state, &plan, &done);
    lock(&state.records).push(Record {
        operation: plan.operation,
        overwrite: plan.overwrite,
        due: run.since_start(due),
        latency: now.since(due),
        ended: done.ended,
    });
    if done.ended == Ended::Acknowledged {
        for of in counted(&plan) {
            let nth = {
                let mut counts = lock(&state.counts);
                let counts = counts.entry(of).or_default();
                counts.acknowledged += 1;
                counts.acknowledged
            };
            let event = Event::Acknowledged { workload: workload.name.clone(), nth, of };
            if run.board.wants(&event) {
                run.board.fire(event, now);
            }
        }
    }
}

/// Sets the network's traps for a write that begins now, if it is the one that was waited for.
async fn spring_traps(run: &Arc<Run>, state: &State, object: ObjectNumber, body: &Sent) {
    for Trap { at_byte, ending, line, .. } in state.springing() {
        // A body too short for its label is known by the header that names it.
        let marker = body.bytes.label().map_or_else(
            || {
                let family = lock(&run.ledger).family(object).0;
                format!(": {}\r\n", wire::operation_value(family, body.content)).into_bytes()
            },
            |label| label.to_vec(),
        );
        let victim = Victim::Marked(marker);
        if let Err(why) = network::truncate(run, line, victim, at_byte, ending).await {
            lock(&run.steps).nonsense.push(why);
        }
    }
}

fn counted(plan: &Plan) -> impl Iterator<Item = Counted> + use<> {
    [Some(Counted::Operation(plan.operation)), plan.overwrite.then_some(Counted::Overwrite)]
        .into_iter()
        .flatten()
}

/// Draws one of several values by their weights.
fn weighted<T: Copy>(run: &Run, values: &[(T, u32)]) -> T {
    let total: usize = values.iter().map(|(_, weight)| *weight as usize).sum();
    let mut drawn = run.choose(total.max(1));
    for (value, weight) in values {
        match drawn.checked_sub(*weight as usize) {
            Some(rest) => drawn = rest,
            None => return *value,
        }
    }
    values[0].0
}

impl Keys {
    /// At least so many.
    fn grow(&mut self, count: u32) {
        let count = self.slots.len().max(count as usize);
        self.slots.resize_with(count, Slot::default);
    }

    /// One of the first `count` slots, of those for which `fits` holds.
    fn any(&self, run: &Run, count: u32, fits: impl Fn(&Slot) -> bool) -> Option<usize> {
        let fitting: Vec<usize> =
            (0..count as usize).filter(|slot| fits(&self.slots[*slot])).collect();
        (!fitting.is_empty()).then(|| fitting[run.choose(fitting.len())])
    }
}

/// Decides what is done, and on which object. What cannot be done now becomes a write, so that no operation is lost.
fn plan(run: &Run, workload: &Workload, state: &State, client: u32, wanted: Operation) -> Plan {
    let mut keys = lock(&state.keys);
    let mutable =
        |slot: &Slot| slot.present && matches!(slot.kind, Some(Kind::Named | Kind::Alias));
    let count = workload.keys;
    let found = match wanted {
        Operation::Write | Operation::Malformed => None,
        Operation::Read | Operation::Info => keys.any(run, count, |slot| slot.object.is_some()),
        Operation::Delete | Operation::Send => keys.any(run, count, |slot| slot.present),
        Operation::Update | Operation::Append | Operation::Copy => keys.any(run, count, mutable),
    };
    let Some(slot) = found else {
        let over = run.choose(1_000_000) < workload.overwrite_ppm as usize;
        let present = || keys.any(run, count, mutable);
        let free = || keys.any(run, count, |slot| !slot.present);
        let slot = if over { present().or_else(free) } else { free().or_else(present) };
        // With every key taken by an immutable object, one of them makes room: its object stays in the ledger.
        let slot = slot.unwrap_or_else(|| run.choose(count as usize));
        return plan_write(run, workload, &mut keys, state, slot, client);
    };
    let object = keys.slots[slot].object.expect("only slots with an object fit");
    match wanted {
        Operation::Update => plan_store(
            run,
            workload,
            state,
            slot,
            true,
            client,
            object,
            StoreHow::update(run, object),
        ),
        Operation::Append | Operation::Copy => {
            let base = lock(&run.ledger).newest_acknowledged(object);
            match base {
                Some(base) => {
                    plan_amend(run, workload, state, (slot, object), client, wanted, base)
                }
                None => plan_write(run, workload, &mut keys, state, slot, client),
            }
        }
        operation => {
            let ask = match operation {
                Operation::Delete => Ask::Remove,
                // Whoever waits for feeds is told in time that it was in vain.
                Operation::Send => Ask::Send { wait: (workload.patience.as_secs() / 2).max(1) },
                _ => Ask::Fetch { with_body: operation == Operation::Read },
            };
            let mut order = order(run, workload, client, object, ask);
            order.auth = (operation == Operation::Send).then(setup::admin);
            Plan { operation, slot, overwrite: false, order }
        }
    }
}

/// COPY or APPEND, of the very version that is known: so it is known what comes of it.
fn plan_amend(
    run: &Run,
    workload: &Workload,
    state: &State,
    (slot, object): (usize, ObjectNumber),
    client: u32,
    operation: Operation,
    (base, etag): (u32, Etag),
) -> Plan {
    let method = if operation == Operation::Copy { "COPY" } else { "APPEND" };
    // What is preserved are the same headers, but for lifepoints, of which each content has its own.
    let preserve = workload.lifepoints.is_empty() && run.choose(2) == 0;
    let target = lock(&run.ledger).object(object).target.clone().unwrap_or_default();
    let target = amended(target, method, preserve);
    let how = StoreHow { operation, method, target };
    let mut plan = plan_store(run, workload, state, slot, true, client, object, how);
    if let Ask::Store { body, .. } = &mut plan.order.ask {
        body.stored = lock(&run.ledger).builds_on(object, body.content, base, body.bytes.length());
    }
    plan.order.headers.push(if_match(etag));
    plan
}

/// How a body is stored.
struct StoreHow {
    operation: Operation,
    method: &'static str,
    target: String,
}

impl StoreHow {
    fn update(run: &Run, object: ObjectNumber) -> Self {
        let target = lock(&run.ledger).object(object).target.clone().unwrap_or_default();
        Self { operation: Operation::Update, method: "PUT", target }
    }
}

fn plan_write(
    run: &Run,
    workload: &Workload,
    keys: &mut Keys,
    state: &State,
    slot: usize,
    client: u32,
) -> Plan {
    let kind = *keys.slots[slot].kind.get_or_insert_with(|| weighted(run, &workload.kinds));
    let present = keys.slots[slot].present;
    let domain = workload.within.split('/').next().unwrap_or("");
    match kind {
        Kind::Named => {
            let object = named_object(run, workload, slot);
            keys.slots[slot].object = Some(object);
            let target = lock(&run.ledger).object(object).target.clone().unwrap_or_default();
            plan_store(
                run,
                workload,
                state,
                slot,
                present,
                client,
                object,
                StoreHow { operation: Operation::Write, method: "POST", target },
            )
        }
        // An alias object that is there is overwritten; everything else unnamed is created anew.
        Kind::Alias if present => {
            let object = keys.slots[slot].object.expect("what is present has an object");
            let how = StoreHow { operation: Operation::Write, ..StoreHow::update(run, object) };
            plan_store(run, workload, state, slot, true, client, object, how)
        }
        Kind::Alias | Kind::Unnamed => {
            let word = if kind == Kind::Alias { "alias" } else { "unnamed" };
            let mut new = Object::new(
                format!("{word} object of {}", workload.name),
                workload.on.clone(),
                None,
            );
            new.headers.clone_from(&workload.headers);
            let object = {
                let mut ledger = lock(&run.ledger);
                new.parents = ledger.context(&workload.on, domain).into_iter().collect();
                ledger.add(new)
            };
            keys.slots[slot].object = Some(object);
            keys.slots[slot].present = false;
            let mut arguments = Vec::new();
            arguments.extend((kind == Kind::Alias).then(|| "alias=yes".to_owned()));
            arguments
                .extend((!domain.is_empty()).then(|| format!("domain={}", wire::encode(domain))));
            let target = if arguments.is_empty() {
                "/".to_owned()
            } else {
                format!("/?{}", arguments.join("&"))
            };
            plan_store(
                run,
                workload,
                state,
                slot,
                false,
                client,
                object,
                StoreHow { operation: Operation::Write, method: "POST", target },
            )
        }
    }
}

fn named_object(run: &Run, workload: &Workload, slot: usize) -> ObjectNumber {
    let (domain, bucket) = workload.within.split_once('/').unwrap_or((&workload.within, ""));
    let name = format!("{}/{slot:04}", workload.names_of);
    let path = format!("{}/{name}", workload.within);
    let mut ledger = lock(&run.ledger);
    let parents =
        [ledger.context(&workload.on, domain), ledger.context(&workload.on, &workload.within)];
    ledger.named(&workload.on, &path, || {
        let mut object = Object::new(
            path.clone(),
            workload.on.clone(),
            Some(wire::named_target(domain, bucket, &name)),
        );
        object.headers.clone_from(&workload.headers);
        object.parents = parents.into_iter().flatten().collect();
        object
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "private, with two callers; a struct would only rename its arguments"
)]
fn plan_store(
    run: &Run,
    workload: &Workload,
    state: &State,
    slot: usize,
    overwrite: bool,
    client: u32,
    object: ObjectNumber,
    how: StoreHow,
) -> Plan {
    let size = if how.method == "COPY" { 0 } else { weighted(run, &workload.sizes) };
    let body = lock(&run.ledger).new_body(object, size);
    let lifepoints = obeyed::intend(run, object, body.content, &workload.lifepoints);
    let StoreHow { operation, method, target } = how;
    let ask = Ask::Store { method, target, body: body.into(), half_sent: None };
    let mut plan =
        Plan { operation, slot, overwrite, order: order(run, workload, client, object, ask) };
    plan.order.headers.push(("Content-Type".to_owned(), "application/octet-stream".to_owned()));
    plan.order.headers.extend(lifepoints);
    let half = half_sent_events(run, workload, state, &plan);
    if let Ask::Store { half_sent, .. } = &mut plan.order.ask {
        *half_sent = half;
    }
    plan
}

fn order(run: &Run, workload: &Workload, client: u32, object: ObjectNumber, ask: Ask) -> Order {
    Order {
        object,
        ask,
        client,
        first: run.first_node(&workload.on, &workload.via),
        retry: workload.retry.clone(),
        patience: workload.patience,
        auth: None,
        headers: Vec::new(),
    }
}

/// Counts a store as begun; if somebody waits for its half, returns what tells them.
fn half_sent_events(
    run: &Run,
    workload: &Workload,
    state: &State,
    plan: &Plan,
) -> Option<HalfSent> {
    let mut wanted = Vec::new();
    for of in counted(plan) {
        let mut counts = lock(&state.counts);
        let counts = counts.entry(of).or_default();
        counts.begun += 1;
        let event = Event::HalfSent { workload: workload.name.clone(), nth: counts.begun, of };
        wanted.extend(run.board.wants(&event).then_some(event));
    }
    if wanted.is_empty() {
        return None;
    }
    let board = Arc::clone(&run.board);
    let env = run.env().clone();
    Some(Arc::new(move || {
        for event in &wanted {
            board.fire(event.clone(), env.now());
        }
    }))
}

/// What is there now, as far as answers tell.
fn settle(state: &State, plan: &Plan, done: &Done) {
    let mut keys = lock(&state.keys);
    let slot = &mut keys.slots[plan.slot];
    if slot.object != Some(plan.order.object) {
        return;
    }
    match (plan.operation, done.ended) {
        (
            Operation::Write | Operation::Update | Operation::Append | Operation::Copy,
            Ended::Acknowledged,
        ) => slot.present = true,
        (Operation::Delete, Ended::Acknowledged | Ended::Refused(404))
        // Its lifepoint has ended what was to be replaced.
        | (
            Operation::Write | Operation::Update | Operation::Append | Operation::Copy,
            Ended::Refused(404),
        ) => slot.present = false,
        _ => {}
    }
}
