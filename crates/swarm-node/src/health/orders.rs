//! What other nodes' health processors ask of this one: surveys, orders to make a copy and to give one up, announcements.
//!
//! An order that comes again, because its answer was lost or the network doubled it, is not begun again: it is answered
//! with what became of it, or that it is under way. What is forgotten by then is carried out anew, and finds its work
//! done: a copy that is there already is made, one that is gone is gone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarm_types::NodeId;

use crate::Node;
use crate::wire::Message;

use super::peers::Heard;
use super::wire::{DoneWith, HealthMessage, OutcomeWire, ReportWire, SurveyWire};

/// Orders whose outcome is remembered. Their senders ask again for minutes at most, and wait for few at a time.
const REMEMBERED_MAX: usize = 1024;
/// Orders under way at once; more are not heard, as if the network had lost them, and their senders repeat them.
const UNDER_WAY_MAX: usize = 64;

/// Orders that are kept in mind at once.
pub(crate) const ORDERS_MAX: usize = REMEMBERED_MAX + UNDER_WAY_MAX;

/// An order: who gave it, and its number there.
type Order = (NodeId, u64);

/// The orders that were taken lately.
#[derive(Default)]
pub(crate) struct Orders {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    /// `None` while it is under way.
    outcomes: BTreeMap<Order, Option<DoneWith>>,
    /// Those that are done, oldest first.
    done: VecDeque<Order>,
}

/// What to do about an order that has just come.
enum Course {
    /// Carry it out, and say what became of it.
    Begin(Begun),
    /// Answer so.
    Answer(DoneWith),
    /// Nothing: too much is under way.
    Ignore,
}

/// An order under way; forgotten if it is dropped unfinished.
struct Begun {
    orders: Arc<Orders>,
    order: Order,
}

impl Begun {
    fn finish(self, with: DoneWith) {
        let mut taken = self.orders.lock();
        taken.outcomes.insert(self.order, Some(with));
        taken.done.push_back(self.order);
        if taken.done.len() > REMEMBERED_MAX
            && let Some(oldest) = taken.done.pop_front()
        {
            taken.outcomes.remove(&oldest);
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut taken = self.orders.lock();
        if taken.outcomes.get(&self.order).is_some_and(Option::is_none) {
            taken.outcomes.remove(&self.order);
        }
    }
}

impl Orders {
    /// How many are kept in mind.
    pub(super) fn len(&self) -> usize {
        self.lock().outcomes.len()
    }

    fn take(self: &Arc<Self>, order: Order) -> Course {
        let mut taken = self.lock();
        if let Some(outcome) = taken.outcomes.get(&order) {
            return Course::Answer(outcome.unwrap_or(DoneWith::UnderWay));
        }
        if taken.outcomes.len() - taken.done.len() >= UNDER_WAY_MAX {
            return Course::Ignore;
        }
        taken.outcomes.insert(order, None);
        Course::Begin(Begun { orders: Arc::clone(self), order })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Takes a message of another node's health processor.
    pub(crate) fn hear_health(&self, peer: NodeId, message: HealthMessage) {
        let inner = &self.inner;
        match message {
            HealthMessage::Report(wire) => {
                inner.members.answered(peer);
                let request = wire.request;
                inner.health.pending.hear(request, Heard::Report(wire.report(peer)));
            }
            HealthMessage::Outcome(OutcomeWire { request, done }) => {
                inner.health.pending.hear(request, Heard::Done { by: peer, with: done });
            }
            // Before its volumes are mounted, or after, a node can neither say what it holds nor change it.
            _ if !inner.knows_its_holdings() => {}
            HealthMessage::Survey(survey) => self.report_to(peer, &survey),
            HealthMessage::Make(make) => {
                let request = make.request;
                self.carry_out_order("health.make", peer, request, async move |node| {
                    let health = node.inner.health.processor()?;
                    Some(health.make_here(make.order()).await.into())
                });
            }
            HealthMessage::Trim(trim) => {
                let request = trim.request;
                self.carry_out_order("health.trim", peer, request, async move |node| {
                    let health = node.inner.health.processor()?;
                    Some(health.trim_here(trim.order()).await.into())
                });
            }
            HealthMessage::Claim(claim) => {
                if let Some(health) = inner.health.processor() {
                    health.claimed(claim.into());
                }
            }
            HealthMessage::Recover(recovery) => {
                if let Some(health) = inner.health.processor() {
                    health.announced(recovery.into());
                }
            }
        }
    }

    fn report_to(&self, peer: NodeId, survey: &SurveyWire) {
        let Some(health) = self.inner.health.processor() else { return };
        let report = health.report(&survey.question());
        let wire = ReportWire::new(survey.request, report);
        self.inner.send(peer, &Message::Health(HealthMessage::Report(wire)));
    }

    /// Carries an order out in a task of its own and tells its sender what became of it.
    fn carry_out_order<F>(
        &self,
        name: &'static str,
        peer: NodeId,
        request: u64,
        work: impl FnOnce(Self) -> F + Send + 'static,
    ) where
        F: Future<Output = Option<DoneWith>> + Send + 'static,
    {
        let tell = move |node: &Self, done| {
            let outcome = OutcomeWire { request, done };
            node.inner.send(peer, &Message::Health(HealthMessage::Outcome(outcome)));
        };
        match self.inner.health.orders.take((peer, request)) {
            Course::Ignore => self.inner.count("orders dropped"),
            Course::Answer(with) => tell(self, with),
            Course::Begin(begun) => self.spawn_order(name, move |node| async move {
                let done = work(node.clone()).await;
                if let Some(done) = done {
                    begun.finish(done);
                    tell(&node, done);
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PEER: NodeId = NodeId(Ipv4Addr::new(10, 0, 0, 1));

    fn begin(orders: &Arc<Orders>, request: u64) -> Option<Begun> {
        match orders.take((PEER, request)) {
            Course::Begin(begun) => Some(begun),
            Course::Answer(_) | Course::Ignore => None,
        }
    }

    fn answer(orders: &Arc<Orders>, request: u64) -> Option<DoneWith> {
        match orders.take((PEER, request)) {
            Course::Answer(done) => Some(done),
            Course::Begin(_) | Course::Ignore => None,
        }
    }

    #[test]
    fn an_order_that_comes_again_is_answered_and_not_begun_again() {
        let orders = Arc::new(Orders::default());
        let begun = begin(&orders, 7).expect("a new order");
        assert_eq!(answer(&orders, 7), Some(DoneWith::UnderWay));
        begun.finish(DoneWith::Gone);
        assert_eq!(answer(&orders, 7), Some(DoneWith::Gone));
    }

    #[test]
    fn an_order_that_was_dropped_may_come_again() {
        let orders = Arc::new(Orders::default());
        drop(begin(&orders, 7).expect("a new order"));
        assert!(begin(&orders, 7).is_some());
    }

    #[test]
    fn what_is_remembered_and_what_is_under_way_is_bounded() {
        let orders = Arc::new(Orders::default());
        for request in 0..2 * REMEMBERED_MAX as u64 {
            begin(&orders, request).expect("a new order").finish(DoneWith::Gone);
        }
        assert_eq!(orders.lock().outcomes.len(), REMEMBERED_MAX);
        let under_way: Vec<_> =
            (0..2 * UNDER_WAY_MAX as u64).filter_map(|n| begin(&orders, n)).collect();
        assert_eq!(under_way.len(), UNDER_WAY_MAX);
    }
}
