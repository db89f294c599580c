//! Direct POST: a target that is another cluster, to which every object is sent in a request of its own.
//!
//! What an answer means is in [`crate::result`], which host is turned to in [`crate::hosts`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use swarm_client::{Auth, Body, Source};
use swarm_env::{BoxFuture, Env};
use swarm_plan::feeds::{Verdict, judge_import};
use swarm_types::ClusterName;

use crate::blockade::TargetTrouble;
use crate::definition::Definition;
use crate::home::Pull;
use crate::hosts::{Hosts, Tried, tried};
use crate::result::{Delivery, Op};
use crate::target::{FeedTarget, Manner, OpenBody, Parcel, Shipment};
use crate::wire::{Deletion, encode_delete, encode_import, encode_probe, read_held};

/// Bodies up to this length are read before they are sent.
const IN_MEMORY: u64 = 64 * 1024;
/// A target that is another cluster.
pub struct PostTarget {
    hosts: Hosts,
}

impl PostTarget {
    /// The target of a definition. `administrator` is taken where the definition names none.
    #[must_use]
    pub fn new(
        env: &Env,
        own: ClusterName,
        definition: &Definition,
        administrator: Option<Auth>,
    ) -> Self {
        Self { hosts: Hosts::new(env, own, definition, administrator) }
    }

    async fn deliver_to(&self, at: SocketAddr, parcel: &Parcel, probe: bool) -> Tried {
        match parcel {
            Parcel::Delete(deletion) => self.delete(at, deletion).await,
            Parcel::Version(shipment) => {
                if probe && let Some(tried) = self.probe(at, shipment).await {
                    return tried;
                }
                self.store(at, shipment).await
            }
        }
    }

    async fn delete(&self, at: SocketAddr, deletion: &Deletion) -> Tried {
        let (target, headers) = encode_delete(deletion, &self.hosts.route);
        match self.hosts.ask(self.hosts.request(at, "DELETE", target, headers)).await {
            Ok((answer, by)) => self.hosts.answered(Op::Delete, answer, &by, at),
            // It may be repeated at any time: whether it was done is not asked.
            Err(error) => tried(&error, true),
        }
    }

    /// Asks whether the version is wanted. None if it is, or nobody says.
    async fn probe(&self, at: SocketAddr, shipment: &Shipment) -> Option<Tried> {
        let (target, headers) = encode_probe(&shipment.identity, &self.hosts.route);
        let (answer, response) =
            match self.hosts.ask(self.hosts.request(at, "HEAD", target, headers)).await {
                Ok(answered) => answered,
                Err(error) => return Some(tried(&error, true)),
            };
        if let Some(held) = read_held(&response.headers) {
            return match judge_import(shipment.meta.kind, shipment.stamp, held) {
                Verdict::AlreadyThere | Verdict::Older => {
                    Some(Tried::Over(Delivery::Done { already: true }))
                }
                Verdict::Store | Verdict::StoreAgain => None,
            };
        }
        match self.hosts.answered(Op::Write, answer, &response, at) {
            Tried::Over(delivery) if !matches!(delivery, Delivery::Target(_)) => None,
            tried => Some(tried),
        }
    }

    async fn store(&self, at: SocketAddr, shipment: &Shipment) -> Tried {
        let Shipment { identity, meta, stamp, open, .. } = shipment;
        let (target, headers) = encode_import(identity, meta, *stamp, &self.hosts.route);
        let broken = Arc::new(AtomicBool::new(false));
        let body = if meta.length > IN_MEMORY {
            stream(meta.length, open, &broken)
        } else {
            match read_whole(open, meta.length).await {
                Some(body) => Body::Bytes(body),
                None => return Tried::Over(Delivery::Unreadable),
            }
        };
        let mut request = self.hosts.request(at, "POST", target, headers);
        request.body = body;
        match self.hosts.ask(request).await {
            Ok((answer, by)) => self.hosts.answered(Op::Write, answer, &by, at),
            Err(_) if broken.load(Ordering::Relaxed) => Tried::Over(Delivery::Unreadable),
            Err(error) => tried(&error, false),
        }
    }
}

impl FeedTarget for PostTarget {
    fn greet(&self) -> BoxFuture<'_, Result<(), TargetTrouble>> {
        Box::pin(self.hosts.greet())
    }

    fn deliver(&self, parcel: Parcel, manner: Manner) -> BoxFuture<'_, Delivery> {
        Box::pin(async move {
            let mut astray = false;
            for host in self.hosts.to_try(false) {
                let Ok(at) = self.hosts.greet_host(host).await else { continue };
                let tried = self.deliver_to(at, &parcel, manner.probe).await;
                if let Some(delivery) = self.hosts.after(host, tried, &mut astray) {
                    return delivery;
                }
            }
            self.hosts.nobody_took(astray)
        })
    }

    fn tidy(&self) {
        self.hosts.tidy();
    }
}

impl std::fmt::Debug for PostTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostTarget({})", self.hosts.route.to.as_str())
    }
}

/// A short body as a whole, if it is what it should be.
async fn read_whole(open: &OpenBody, length: u64) -> Option<Bytes> {
    let length = usize::try_from(length).ok()?;
    let mut pull = open()?;
    let mut body = BytesMut::with_capacity(length);
    while let Some(piece) = pull.next().await.ok()? {
        if body.is_empty() && piece.len() == length {
            return Some(piece);
        }
        body.extend_from_slice(&piece);
    }
    (body.len() == length).then(|| body.freeze())
}

/// A long body, read while it is sent. `broken` tells that it was the reading that failed.
fn stream(length: u64, open: &OpenBody, broken: &Arc<AtomicBool>) -> Body {
    let (open, broken) = (Arc::clone(open), Arc::clone(broken));
    let open = move || -> Box<dyn Source> {
        Box::new(Reading { pull: open(), broken: Arc::clone(&broken) })
    };
    Body::Source { length, open: Arc::new(open) }
}

struct Reading {
    pull: Option<Box<dyn Pull>>,
    broken: Arc<AtomicBool>,
}

impl Source for Reading {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async move {
            let piece = match &mut self.pull {
                Some(pull) => pull.next().await.ok(),
                None => None,
            };
            piece.ok_or_else(|| {
                self.broken.store(true, Ordering::Relaxed);
                io::Error::other("a body cannot be read to its end")
            })
        })
    }
}
