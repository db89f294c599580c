//! Bidirectional GET: a target that is told what to fetch, and fetches it (Managing and Optimizing Feeds).
//!
//! A batch has at most 200 items, or what comes in 30 seconds, and goes to one node of the target in one long request, which
//! says what came of each item. One request is open at a time; the next batch is filled meanwhile. Whoever puts the first item into a batch sees it through; the others wait
//! for what it learns.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use swarm_client::Body;
use swarm_env::{BoxFuture, Env};
use swarm_types::NodeId;
use tokio::sync::{Notify, Semaphore, oneshot};

use crate::backoff::ObjectTrouble;
use crate::blockade::TargetTrouble;
use crate::definition::Definition;
use crate::home::Home;
use crate::hosts::{Hosts, Tried, tried};
use crate::result::{Answer, Delivery, Op, of_answer};
use crate::service::lock;
use crate::target::{FeedTarget, Manner, Parcel};
use crate::wire::{
    BATCH_ITEMS, Batch, Item, Pushed, Results, Retrieve, encode_retrieve, read_answer,
};

/// How long a batch is filled (Managing and Optimizing Feeds).
const COLLECT: Duration = Duration::from_secs(30);

/// A target that fetches what it is told.
pub struct RetrieveTarget {
    hosts: Hosts,
    home: Arc<dyn Home>,
    filling: Mutex<Option<Arc<Filling>>>,
    /// Who has it hands a batch over.
    turn: Semaphore,
}

/// A batch that is being filled.
#[derive(Default)]
struct Filling {
    items: Mutex<Items>,
    /// It is full, or somebody does not want to wait.
    full: Notify,
}

#[derive(Default)]
struct Items {
    batch: Batch,
    waiting: Vec<Waiting>,
}

/// An item, and who waits for what becomes of it.
struct Waiting {
    item: Item,
    outcome: oneshot::Sender<Delivery>,
}

/// The items of a batch that nothing is known of yet, by their numbers in it.
type Left = BTreeMap<usize, Waiting>;

impl RetrieveTarget {
    /// The target of a definition.
    #[must_use]
    pub fn new(env: &Env, home: Arc<dyn Home>, definition: &Definition) -> Self {
        let hosts = Hosts::new(env, home.cluster(), definition, home.administrator());
        Self { hosts, home, filling: Mutex::default(), turn: Semaphore::new(1) }
    }

    fn item(&self, parcel: &Parcel) -> Item {
        match parcel {
            Parcel::Version(shipment) => Item::Version {
                identity: shipment.identity.clone(),
                stamp: shipment.stamp,
                ticket: self.home.ticket(shipment.id),
            },
            Parcel::Delete(deletion) => Item::Delete(deletion.clone()),
        }
    }

    /// Puts an item into the batch that is being filled. Returns that batch if the item is its first.
    fn put(&self, item: Item, outcome: oneshot::Sender<Delivery>, manner: Manner) -> Put {
        let mut current = lock(&self.filling);
        loop {
            let filling = Arc::clone(current.get_or_insert_default());
            let mut items = lock(&filling.items);
            match items.batch.push(&item) {
                Pushed::TooLong => return Put::TooLong,
                Pushed::Full => {
                    filling.full.notify_one();
                    *current = None;
                }
                Pushed::Taken => {
                    items.waiting.push(Waiting { item, outcome });
                    if manner.at_once || items.batch.len() >= BATCH_ITEMS {
                        filling.full.notify_one();
                    }
                    let first = items.waiting.len() == 1;
                    drop(items);
                    return if first { Put::First(filling) } else { Put::Joined };
                }
            }
        }
    }

    /// Sees a batch through, from its first item to what came of all.
    async fn see_through(&self, filling: Arc<Filling>) {
        let _full = self.hosts.env.timeout(COLLECT, filling.full.notified()).await;
        let turn = self.turn.acquire().await;
        {
            let mut current = lock(&self.filling);
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &filling)) {
                *current = None;
            }
        }
        let Items { batch, waiting } = std::mem::take(&mut *lock(&filling.items));
        let mut left: Left = waiting.into_iter().enumerate().collect();
        let delivery = self.hand_over(batch.into_body(), &mut left).await;
        tell_all(left, delivery);
        drop(turn);
    }

    /// Hands a batch to one host after the other. Returns what came of those items that it has not told of.
    async fn hand_over(&self, body: Bytes, left: &mut Left) -> Delivery {
        let mut astray = false;
        for host in self.hosts.to_try(false) {
            let Ok(at) = self.hosts.greet_host(host).await else { continue };
            let mut elsewhere = BTreeMap::new();
            let tried = self.hand_to(at, false, body.clone(), left, &mut elsewhere).await;
            for (node, items) in elsewhere {
                self.hand_on(node, items, at).await;
            }
            if let Some(delivery) = self.hosts.after(host, tried, &mut astray) {
                return delivery;
            }
        }
        self.hosts.nobody_took(astray)
    }

    /// Hands items to a node that was named because the first one has no room, or writes of their names go there. There is no
    /// third. A node that is not reached from here may stand behind a proxy, which may choose another one itself: then they go the
    /// way that they came, and stay where they arrive, for the proxy may never choose the one that was named.
    async fn hand_on(&self, node: NodeId, items: Vec<Waiting>, from: SocketAddr) {
        let mut batch = Batch::default();
        let all_taken = items.iter().all(|waiting| batch.push(&waiting.item) == Pushed::Taken);
        debug_assert!(all_taken, "they were in one batch before");
        let mut left: Left = items.into_iter().enumerate().collect();
        let (at, mut elsewhere) = (self.hosts.at(IpAddr::V4(node.0)), BTreeMap::new());
        let body = batch.into_body();
        let mut tried = self.hand_to(at, true, body.clone(), &mut left, &mut elsewhere).await;
        if matches!(tried, Tried::BadHost(_)) && at != from {
            tried = self.hand_to(from, true, body, &mut left, &mut elsewhere).await;
        }
        for waiting in elsewhere.into_values().flatten() {
            let nowhere = Delivery::Object { status: 307, trouble: ObjectTrouble::Transient };
            tell(waiting, nowhere);
        }
        let delivery = match tried {
            Tried::Over(delivery) => delivery,
            Tried::BadHost(_) | Tried::Astray | Tried::Unknown => Delivery::Unknown,
        };
        tell_all(left, delivery);
    }

    /// Hands a batch to one node, there to `stay`, and tells what comes of each item as it is known.
    async fn hand_to(
        &self,
        at: SocketAddr,
        stay: bool,
        body: Bytes,
        left: &mut Left,
        elsewhere: &mut BTreeMap<NodeId, Vec<Waiting>>,
    ) -> Tried {
        let (route, source) = (self.hosts.route.clone(), self.home.scsp());
        let (target, headers) = encode_retrieve(&Retrieve { route, source, stay });
        let mut request = self.hosts.request(at, "GET", target, headers);
        request.body = Body::Bytes(body);
        let mut response = match self.hosts.client.send(request).await {
            Ok(response) => response,
            Err(error) => return tried(&error, false),
        };
        if response.status != 200 {
            let (to, now) = (&self.hosts.route.to, self.hosts.env.wall());
            let answer = read_answer(response.status, &response.headers, to, now);
            // It is of no item that this speaks: whatever it means, none has been told of.
            return match self.hosts.answered(Op::Write, answer, &response, at) {
                Tried::Over(
                    Delivery::Done { .. }
                    | Delivery::Context
                    | Delivery::Object { status: 200..=299, .. },
                ) => Tried::Unknown,
                tried => tried,
            };
        }
        let items = left.last_key_value().map_or(0, |(last, _)| last + 1);
        let mut results = Results::of(items);
        while let Some(piece) = response.body.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(_) => return Tried::Unknown,
            };
            for result in results.push(&piece).into_iter().flatten() {
                let Some(waiting) = left.remove(&result.item) else { continue };
                match result.node {
                    Some(node) if result.status == 307 => {
                        elsewhere.entry(node).or_default().push(waiting);
                    }
                    _ => {
                        let delivery = of_item(&waiting.item, result.status);
                        tell(waiting, delivery);
                    }
                }
            }
        }
        // It answered to the end, and said nothing of what is left.
        Tried::Over(Delivery::Unknown)
    }
}

/// What became of an item that was put into a batch.
enum Put {
    /// It is the first there.
    First(Arc<Filling>),
    /// There are others, whose first sees to it.
    Joined,
    /// It fits into none.
    TooLong,
}

impl FeedTarget for RetrieveTarget {
    fn greet(&self) -> BoxFuture<'_, Result<(), TargetTrouble>> {
        Box::pin(self.hosts.greet())
    }

    fn deliver(&self, parcel: Parcel, manner: Manner) -> BoxFuture<'_, Delivery> {
        Box::pin(async move {
            let (outcome, delivery) = oneshot::channel();
            match self.put(self.item(&parcel), outcome, manner) {
                Put::First(filling) => self.see_through(filling).await,
                Put::Joined => {}
                Put::TooLong => {
                    return Delivery::Object { status: 413, trouble: ObjectTrouble::Permanent };
                }
            }
            delivery.await.unwrap_or(Delivery::Unknown)
        })
    }

    fn hurry(&self) {
        if let Some(filling) = &*lock(&self.filling) {
            filling.full.notify_one();
        }
    }

    fn tidy(&self) {
        self.hosts.tidy();
    }
}

impl std::fmt::Debug for RetrieveTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RetrieveTarget({})", self.hosts.route.to.as_str())
    }
}

fn of_item(item: &Item, status: u16) -> Delivery {
    let op = match item {
        Item::Version { .. } => Op::Write,
        Item::Delete(_) => Op::Delete,
    };
    of_answer(op, Answer { status, retry_after: None, wrong_cluster: false })
}

fn tell(waiting: Waiting, delivery: Delivery) {
    // Who is gone needs no answer.
    let _gone = waiting.outcome.send(delivery);
}

fn tell_all(left: Left, delivery: Delivery) {
    left.into_values().for_each(|waiting| tell(waiting, delivery));
}
