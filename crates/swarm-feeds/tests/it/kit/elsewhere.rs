//! A cluster that feeds of a town lead to: it answers as it is told, and remembers what it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use swarm_env::{BoxFuture, Env};
use swarm_feeds::blockade::TargetTrouble;
use swarm_feeds::result::Delivery;
use swarm_feeds::{FeedTarget, Manner, Parcel};
use swarm_types::{Instant, Stamp, StreamId};

use super::SECOND;
use super::streams::{stamp, stream};

/// How a target behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers after this time.
    Fine(Duration),
    /// It takes nothing, and says so after a second: not until it is asked again.
    Trouble(TargetTrouble),
    /// It stores what it is given, and never says so.
    Forgets,
}

/// What a target was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Greeting,
    Probe,
    Write,
    Delete,
}

/// One question to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) node: usize,
    pub(crate) asked: Asked,
    pub(crate) id: StreamId,
    pub(crate) stamp: Stamp,
}

/// A cluster elsewhere.
pub(crate) struct Elsewhere {
    env: Env,
    mood: Mutex<Mood>,
    moods: Mutex<BTreeMap<usize, Mood>>,
    holds: Mutex<BTreeMap<StreamId, (Stamp, bool)>>,
    calls: Mutex<Vec<Call>>,
    /// Objects that it refuses, and how.
    refuses: Mutex<BTreeMap<StreamId, Delivery>>,
    /// Streams that must be there before anything else but them is taken.
    demands: Mutex<Vec<StreamId>>,
    under_way: Mutex<BTreeMap<usize, BTreeSet<StreamId>>>,
    most: AtomicUsize,
    /// How often it was told that somebody waits.
    pub(crate) hurries: AtomicUsize,
}

impl Elsewhere {
    pub(super) fn new(env: &Env) -> Self {
        Self {
            env: env.clone(),
            mood: Mutex::new(Mood::Fine(Duration::from_millis(5))),
            moods: Mutex::default(),
            holds: Mutex::default(),
            calls: Mutex::default(),
            refuses: Mutex::default(),
            demands: Mutex::default(),
            under_way: Mutex::default(),
            most: AtomicUsize::new(0),
            hurries: AtomicUsize::new(0),
        }
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The same as one node meets it.
    pub(crate) fn set_mood_of(&self, node: usize, mood: Mood) {
        self.moods.lock().unwrap().insert(node, mood);
    }

    fn mood(&self, node: usize) -> Mood {
        let own = self.moods.lock().unwrap().get(&node).copied();
        own.unwrap_or(*self.mood.lock().unwrap())
    }

    pub(crate) fn lose(&self, id: StreamId) {
        self.holds.lock().unwrap().remove(&id);
    }

    pub(crate) fn refuse(&self, id: StreamId, how: Option<Delivery>) {
        let mut refuses = self.refuses.lock().unwrap();
        match how {
            Some(how) => drop(refuses.insert(id, how)),
            None => drop(refuses.remove(&id)),
        }
    }

    pub(crate) fn demand(&self, contexts: &[StreamId]) {
        *self.demands.lock().unwrap() = contexts.to_vec();
    }

    pub(crate) fn holds(&self, id: StreamId) -> Option<(Stamp, bool)> {
        self.holds.lock().unwrap().get(&id).copied()
    }

    pub(crate) fn held(&self) -> usize {
        self.holds.lock().unwrap().len()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// How often it was asked this.
    pub(crate) fn asked(&self, asked: Asked) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.asked == asked).count()
    }

    pub(crate) fn forget_calls(&self) {
        self.calls.lock().unwrap().clear();
    }

    /// Most transfers of one node at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Transfers under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.lock().unwrap().values().map(BTreeSet::len).sum()
    }

    fn note(&self, node: usize, asked: Asked, id: StreamId, stamp: Stamp) {
        let at = self.env.now();
        self.calls.lock().unwrap().push(Call { at, node, asked, id, stamp });
    }

    async fn deliver(&self, node: usize, parcel: Parcel, probe: bool) -> Delivery {
        let id = parcel.id();
        {
            let mut under_way = self.under_way.lock().unwrap();
            let here = under_way.entry(node).or_default();
            assert!(here.insert(id), "{id} is under way twice on node {node}");
            self.most.fetch_max(here.len(), Ordering::Relaxed);
        }
        let delivery = self.answer(node, &parcel, probe).await;
        assert!(self.under_way.lock().unwrap().get_mut(&node).unwrap().remove(&id));
        delivery
    }

    async fn answer(&self, node: usize, parcel: &Parcel, probe: bool) -> Delivery {
        let (id, stamp) = (parcel.id(), parcel.stamp());
        let deletes = matches!(parcel, Parcel::Delete(_));
        let before = self.mood(node);
        let pause = match before {
            Mood::Fine(pause) => pause,
            Mood::Trouble(_) | Mood::Forgets => SECOND,
        };
        if probe && !deletes {
            self.note(node, Asked::Probe, id, stamp);
            self.env.sleep(pause).await;
            if let Mood::Trouble(trouble) = before
                && trouble != TargetTrouble::Full
            {
                return Delivery::Target(trouble);
            }
            if self.holds(id).is_some_and(|(held, _)| held >= stamp) {
                return Delivery::Done { already: true };
            }
        }
        self.note(node, if deletes { Asked::Delete } else { Asked::Write }, id, stamp);
        if let Parcel::Version(shipment) = parcel {
            let Some(mut body) = (shipment.open)() else { return Delivery::Unreadable };
            let mut length = 0;
            while let Some(piece) = body.next().await.unwrap() {
                length += piece.len() as u64;
            }
            assert_eq!(length, shipment.meta.length);
        }
        self.env.sleep(pause).await;
        match before {
            Mood::Trouble(TargetTrouble::Full) if deletes => {}
            Mood::Trouble(trouble) => return Delivery::Target(trouble),
            _ => {}
        }
        if let Some(how) = self.refuses.lock().unwrap().get(&id) {
            return *how;
        }
        let demands = self.demands.lock().unwrap().clone();
        let missing = demands.iter().take_while(|demanded| **demanded != id);
        if missing.into_iter().any(|demanded| self.holds(*demanded).is_none()) && !deletes {
            return Delivery::Context;
        }
        let mut holds = self.holds.lock().unwrap();
        let already = holds.get(&id).is_some_and(|(held, _)| *held >= stamp);
        if !already {
            holds.insert(id, (stamp, deletes));
        }
        if before == Mood::Forgets { Delivery::Unknown } else { Delivery::Done { already } }
    }
}

/// The way from one node to a cluster elsewhere.
pub(super) struct Door {
    pub(super) node: usize,
    pub(super) to: Arc<Elsewhere>,
}

impl FeedTarget for Door {
    fn greet(&self) -> BoxFuture<'_, Result<(), TargetTrouble>> {
        Box::pin(async move {
            self.to.note(self.node, Asked::Greeting, stream(0), stamp(0));
            let mood = self.to.mood(self.node);
            match mood {
                Mood::Fine(pause) => {
                    self.to.env.sleep(pause).await;
                    Ok(())
                }
                Mood::Forgets | Mood::Trouble(TargetTrouble::Full) => Ok(()),
                Mood::Trouble(trouble) => {
                    self.to.env.sleep(SECOND).await;
                    Err(trouble)
                }
            }
        })
    }

    fn deliver(&self, parcel: Parcel, manner: Manner) -> BoxFuture<'_, Delivery> {
        Box::pin(self.to.deliver(self.node, parcel, manner.probe))
    }

    fn hurry(&self) {
        self.to.hurries.fetch_add(1, Ordering::Relaxed);
    }
}
