//! The SEND of old: one stream, fetched by one address of another cluster, whatever feeds there are (SCSP SEND - Legacy).
//!
//! It goes as a batch of one the way of bidirectional GET, which is what this SEND always did; where the other cluster lacks the
//! domain or the bucket that it is in, they go before it. Nothing of it is noted: no feed is named.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarm_types::{ClusterName, StreamId};
use tokio::sync::oneshot;

use crate::definition::{Definition, Login, Mode, RETRY_WAIT};
use crate::deliver::{AT_ONCE, parcel};
use crate::evaluate::Belongs;
use crate::pull::RetrieveTarget;
use crate::result::Delivery;
use crate::scope::{RawScope, Scope};
use crate::service::Feeds;
use crate::target::FeedTarget;

/// Where a stream is sent once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// `cluster.name` there.
    pub cluster: ClusterName,
    /// A node, or a reverse proxy before the nodes.
    pub at: SocketAddr,
    /// An administrator there; none: this cluster's own.
    pub login: Option<Login>,
}

impl Destination {
    /// It, as the definition of a feed that goes nowhere else.
    fn definition(self) -> Option<Definition> {
        Some(Definition {
            name: "SEND".to_owned(),
            paused: false,
            retry_wait: RETRY_WAIT,
            scope: Scope::parse(&RawScope::default()).ok()?,
            hosts: vec![self.at.ip().to_string()],
            port: self.at.port(),
            cluster_name: self.cluster,
            mode: Mode::Get,
            threads: 1,
            remote_auth: self.login,
            propagate_deletes: false,
        })
    }
}

/// What a remote cluster returns for one that it has already.
const ALREADY: u16 = 409;
/// And for one that it has stored.
const STORED: u16 = 201;
/// Where nobody can tell what it would have returned.
const NOBODY_KNOWS: u16 = 503;

impl Feeds {
    /// Has the newest version of a stream that this node has fetched by another cluster, in a task of its own, which goes on
    /// whatever becomes of the answer, but not longer than `limit`. The answer is the status which the remote cluster returned,
    /// or one that says why it did not. `kept` is dropped when it is over.
    #[must_use]
    pub fn send_once<K: Send + 'static>(
        &self,
        id: StreamId,
        to: Destination,
        limit: Option<Duration>,
        kept: K,
    ) -> oneshot::Receiver<u16> {
        let (tell, told) = oneshot::channel();
        let feeds = self.clone();
        drop(self.env().spawn("feed-send", async move {
            let hold = feeds.home().hold();
            let delivery = feeds.deliver_once(id, to);
            let status = match limit {
                Some(limit) => feeds.env().timeout(limit, delivery).await.unwrap_or(NOBODY_KNOWS),
                None => delivery.await,
            };
            drop((hold, kept));
            // Who asked may have gone.
            let _gone = tell.send(status);
        }));
        told
    }

    async fn deliver_once(&self, id: StreamId, to: Destination) -> u16 {
        let Some(look) = self.look(id).filter(|look| !look.filed.is_tombstone()) else {
            return 404;
        };
        let Some(definition) = to.definition() else { return NOBODY_KNOWS };
        let belongs = self.belongs(&look.filed).await;
        let parcel = parcel(&look, belongs.place(look.filed.kind()));
        let home = Arc::clone(&self.shared.around.home);
        let target = RetrieveTarget::new(self.env(), home, &definition);
        let mut delivery = target.deliver(parcel.clone(), AT_ONCE).await;
        if delivery == Delivery::Context && self.bring_above(&target, &belongs).await {
            delivery = target.deliver(parcel, AT_ONCE).await;
        }
        match delivery {
            Delivery::Done { already: true } => ALREADY,
            Delivery::Done { already: false } => STORED,
            Delivery::Unknown => NOBODY_KNOWS,
            other => other.status(),
        }
    }

    /// Has the domain and the bucket fetched in which a stream is, for which it was refused. False if it will be refused again.
    /// Where nothing is missing, another has changed a context meanwhile, and the next time goes well.
    async fn bring_above(&self, target: &RetrieveTarget, belongs: &Belongs) -> bool {
        for context in belongs.above() {
            let Some((parcel, _)) = self.pack_context(context).await else { return false };
            let mut delivery = target.deliver(parcel.clone(), AT_ONCE).await;
            if delivery == Delivery::Context {
                delivery = target.deliver(parcel, AT_ONCE).await;
            }
            if !matches!(delivery, Delivery::Done { .. }) {
                return false;
            }
        }
        true
    }
}
