//! Asking the cluster: queries and their answers, and the small messages that are answered once.

use std::collections::BTreeSet;
use std::time::Duration;

use swarm_plan::bids::{node_turn, offered};
use swarm_plan::lookup::{Answer, Answers, Course, Form, Step, next_step};
use swarm_plan::membership::Bidding;
use swarm_types::{NodeId, StreamId};

use crate::Node;
use crate::nonces::Purpose;
use crate::pending::Waiting;
use crate::wire::{AnswerWire, Message, Query};

/// How long an order to a peer waits for its answer before it is repeated.
const ORDER_WAIT: Duration = Duration::from_millis(500);
/// How often an order is sent: with [`ORDER_WAIT`], two seconds in all.
const ORDER_TRIES: u32 = 4;

/// What comes back for a request.
#[derive(Debug)]
pub(crate) enum Heard {
    Answer(Answer),
    Done { node: NodeId, durable: bool },
}

impl Node {
    /// Asks every member what it holds under `id` and, with a `size`, what storing that much would cost there. Returns
    /// when every present member has answered, or after the last try.
    pub(crate) async fn ask(&self, id: Option<StreamId>, size: Option<u64>) -> Answers {
        let inner = &self.inner;
        let mut waiting = Waiting::new(&self.inner.pending, self.env());
        let query = Query { request: waiting.request, id: id.map(|id| *id.as_bytes()), size };
        let message = Message::Query(query.clone());
        let mut answers = Answers::default();
        answers.add(self.answer(&query));
        let expected = inner.members.expectation(inner.present());
        let (mut attempt, mut began) = (1, self.env().now());
        inner.multicast(&message);
        // These have a moment only, and no second try: twice is safer on a network that loses datagrams.
        for node in &expected.missing {
            inner.send(*node, &message);
        }
        loop {
            let course = Course {
                silent: answers.silent(&expected.present),
                missing: answers.silent(&expected.missing),
                attempt,
                elapsed: self.env().now().since(began),
                multiplier_permille: inner.settings().query_retry_multiplier_permille,
            };
            match next_step(course) {
                Step::Conclude => break,
                Step::Listen(until) => {
                    let rest = until.saturating_sub(course.elapsed);
                    if let Ok(Some(Heard::Answer(answer))) =
                        self.env().timeout(rest, waiting.answers.recv()).await
                    {
                        answers.add(answer);
                    }
                }
                Step::AskAgain => {
                    (attempt, began) = (attempt + 1, self.env().now());
                    inner.multicast(&message);
                    // Multicast may be broken where unicast still works.
                    for node in expected.present.iter().filter(|node| !answers.has(**node)) {
                        inner.send(*node, &message);
                    }
                }
            }
        }
        let newest = answers.newest();
        tracing::debug!(
            node = self.env().name(),
            ?id,
            attempt,
            answers = answers.iter().count(),
            ?newest,
            "lookup"
        );
        answers
    }

    /// This node's own answer to a query.
    pub(crate) fn answer(&self, query: &Query) -> Answer {
        let inner = &self.inner;
        let id = query.id.map(StreamId::from_bytes);
        let holding = id.and_then(|id| inner.volumes.holding(id, self.env().wall()));
        let admission = inner.state().admission();
        let serving = admission.read != Bidding::Never;
        let write_cost = query
            .size
            .and_then(|size| inner.volumes.write_cost(id, size, node_turn(query.request, inner.id)))
            .and_then(|cost| offered(admission.write, cost));
        let delivers = serving
            && holding.is_some_and(|held| matches!(held.form, Form::Replica(_) | Form::Damaged(_)));
        // Only a node to which a client may be sent issues a token.
        let nonce = if delivers || write_cost.is_some() {
            inner.nonces.issue(id.map_or(Purpose::NewUnnamed, Purpose::Stream)).0
        } else {
            0
        };
        let read_cost = if delivers { inner.volumes.read_cost(id) } else { 0 };
        let read_cost = offered(admission.read, read_cost).unwrap_or(0);
        let room = inner.slots.room();
        Answer { node: inner.id, holding, serving, room, read_cost, write_cost, nonce }
    }

    /// Answers a peer's query.
    pub(crate) fn answer_to(&self, peer: NodeId, query: &Query) {
        let answer = self.answer(query);
        let wire = AnswerWire {
            request: query.request,
            holding: answer.holding.map(Into::into),
            serving: answer.serving,
            room: answer.room.into(),
            read_cost: answer.read_cost,
            write_cost: answer.write_cost,
            nonce: answer.nonce,
        };
        self.inner.send(peer, &Message::Answer(wire));
    }

    /// Gives each of these nodes the same order until it has answered, for at most two seconds in all. Returns those
    /// that have carried it out durably.
    pub(crate) async fn order(
        &self,
        nodes: &BTreeSet<NodeId>,
        make: impl Fn(u64) -> Message,
    ) -> BTreeSet<NodeId> {
        self.order_until(nodes.len(), nodes, make).await
    }

    /// [`Self::order`], until so many have carried it out.
    pub(crate) async fn order_until(
        &self,
        enough: usize,
        nodes: &BTreeSet<NodeId>,
        make: impl Fn(u64) -> Message,
    ) -> BTreeSet<NodeId> {
        let mut waiting = Waiting::new(&self.inner.pending, self.env());
        let message = make(waiting.request);
        let (mut silent, mut done) = (nodes.clone(), BTreeSet::new());
        for _ in 0..ORDER_TRIES {
            if silent.is_empty() || done.len() >= enough {
                break;
            }
            for node in &silent {
                self.inner.send(*node, &message);
            }
            let until = self.env().now() + ORDER_WAIT;
            while !silent.is_empty() && done.len() < enough {
                let rest = until.since(self.env().now());
                match self.env().timeout(rest, waiting.answers.recv()).await {
                    Ok(Some(Heard::Done { node, durable })) => {
                        if silent.remove(&node) && durable {
                            done.insert(node);
                        }
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        }
        done
    }
}
