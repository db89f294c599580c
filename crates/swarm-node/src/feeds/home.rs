//! What the feeds ask of their own node.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use swarm_env::Env;
use swarm_feeds::wire::Ticket;
use swarm_feeds::{Auth, Home, MayWork, Secret, Streams};
use swarm_health::Health;
use swarm_plan::membership::Phase;
use swarm_types::{ClusterName, StreamId};

use super::streams::VolumeStreams;
use crate::WeakNode;
use crate::settings::{Settings, configured_ha1};

/// This node, as its feeds see it. It does not keep the node alive.
pub(super) struct OwnNode {
    node: WeakNode,
    cluster: ClusterName,
    scsp: SocketAddr,
    administrator: Option<Auth>,
}

impl OwnNode {
    pub(super) fn new(
        env: &Env,
        node: WeakNode,
        cluster: ClusterName,
        scsp_port: u16,
        settings: &Settings,
    ) -> Self {
        let scsp = SocketAddr::new(IpAddr::V4(env.net().local_ip()), scsp_port);
        let first = settings.administrators.first_key_value();
        let administrator = first
            .map(|(user, password)| Auth::Digest { user: user.clone(), secret: secret(password) });
        Self { node, cluster, scsp, administrator }
    }
}

fn secret(configured: &str) -> Secret {
    configured_ha1(configured).map_or_else(|| Secret::Clear(configured.to_owned()), Secret::Ha1)
}

impl Home for OwnNode {
    fn cluster(&self) -> ClusterName {
        self.cluster.clone()
    }

    fn may_work(&self) -> MayWork {
        let Some(node) = self.node.upgrade() else { return MayWork::No };
        let inner = &node.inner;
        if inner.phase() != Phase::Open || inner.feeds.tables.is_behind(inner) {
            MayWork::No
        } else if inner.health.processor().is_some_and(Health::is_recovering) {
            MayWork::Paused
        } else {
            MayWork::Yes
        }
    }

    fn stores(&self) -> Vec<Arc<dyn Streams>> {
        let Some(node) = self.node.upgrade() else { return Vec::new() };
        let volumes = node.inner.volumes.mounted().into_iter();
        volumes
            .map(|volume| -> Arc<dyn Streams> {
                Arc::new(VolumeStreams::new(&volume, self.node.clone()))
            })
            .collect()
    }

    fn administrator(&self) -> Option<Auth> {
        self.administrator.clone()
    }

    fn scsp(&self) -> SocketAddr {
        self.scsp
    }

    fn ticket(&self, id: StreamId) -> Ticket {
        // A node that has gone lets nobody fetch anything.
        self.node.upgrade().map_or(Ticket(0), |node| node.ticket(id))
    }

    fn hold(&self) -> Box<dyn Send> {
        match self.node.upgrade() {
            Some(node) => node.hold(),
            None => Box::new(()),
        }
    }
}
