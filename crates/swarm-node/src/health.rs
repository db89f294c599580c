//! The node's side of the health processor: what it asks of other nodes and of this one ([`swarm_health::Peers`],
//! [`swarm_health::Home`]), and what the others ask of it. What there is to do is decided in `swarm-plan` and done by
//! `swarm-health`; this module carries words and bytes.
//!
//! The health processor reaches its node through handles that do not keep the node alive, so that the end of an
//! incarnation frees all of it.

pub(crate) mod directory;
mod fetch;
mod home;
mod orders;
mod peers;
pub(crate) mod wire;

use std::sync::{Arc, OnceLock};

use swarm_health::{Health, HealthStatus};

use crate::Node;
use crate::pending::Pending;

pub(crate) use orders::ORDERS_MAX;

use home::OwnNode;
use orders::Orders;
use peers::{Heard, OtherNodes};

/// What a node keeps for its health processor.
#[derive(Default)]
pub(crate) struct HealthSide {
    processor: OnceLock<Health>,
    /// Surveys and orders whose answers are waited for.
    pending: Pending<Heard>,
    /// Orders of others.
    orders: Arc<Orders>,
}

impl HealthSide {
    /// The health processor, once the node has mounted what it has.
    pub(crate) fn processor(&self) -> Option<&Health> {
        self.processor.get()
    }

    /// Surveys and orders of this node that wait for answers.
    pub(crate) fn questions_now(&self) -> usize {
        self.pending.len()
    }

    /// Orders of others that are under way or remembered.
    pub(crate) fn orders_now(&self) -> usize {
        self.orders.len()
    }

    /// Replicas being looked at, or found damaged, for requests.
    pub(crate) fn looks_now(&self) -> usize {
        self.processor().map_or(0, Health::looks_now)
    }

    /// What it tells of itself.
    pub(crate) fn status(&self) -> HealthStatus {
        self.processor().map(Health::status).unwrap_or_default()
    }
}

impl Node {
    /// Starts the health processor. It walks as soon as the node is open; what others ask it answers from now on.
    pub(crate) fn start_health(&self) {
        let home = Arc::new(OwnNode::new(self));
        let peers = Arc::new(OtherNodes::new(self.downgrade()));
        let settings = self.inner.settings().health();
        let start = || Health::start(self.env(), home, peers, settings);
        self.inner.health.processor.get_or_init(start);
    }
}
