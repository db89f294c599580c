//! The datagrams of peers: what each of them asks for, and doing it. Every message may be lost, late or doubled, and each
//! is safe under all three.

use swarm_feeds::table::TableVersion;
use swarm_plan::lookup::Answer;
use swarm_store::Tombstone;
use swarm_types::{NodeId, StreamId};

use crate::Node;
use crate::lookup::Heard;
use crate::slots::DISK_TIMEOUT;
use crate::wire::{self, Beacon, BuryWire, Decoded, DoneWire, Message, ReplicaWire};

/// Pieces of disk work begun by datagrams and still under way; beyond that a datagram is dropped, as the network might
/// have, and its sender repeats it.
pub(crate) const ORDERS_MAX: u64 = 1024;

impl Node {
    /// Receives datagrams for ever.
    pub(crate) async fn receive_messages(self) {
        loop {
            let Ok(datagram) = self.inner.datagrams.recv().await else {
                // A socket that fails for good ends here; the node is unreachable then, which its peers notice.
                tracing::error!(node = self.env().name(), "datagram socket failed");
                return;
            };
            let std::net::IpAddr::V4(from) = datagram.from.ip() else { continue };
            let peer = NodeId(from);
            if peer == self.inner.id {
                continue;
            }
            match wire::decode(self.inner.tag, &datagram.payload) {
                Decoded::Message(message) => self.handle(peer, message),
                Decoded::Stranger => self.inner.count("datagrams of other clusters"),
                Decoded::Garbage => self.inner.count("datagrams not understood"),
            }
        }
    }

    fn handle(&self, peer: NodeId, message: Message) {
        match message {
            Message::Beacon(beacon) => return self.hear_beacon(peer, beacon),
            // Before its volumes are mounted, or after, a node can neither say that it has nothing nor carry anything out.
            Message::Query(_)
            | Message::Bury(_)
            | Message::Retract(_)
            | Message::Superseded(_)
            | Message::Examine(_)
                if !self.inner.knows_its_holdings() => {}
            Message::Query(query) => self.answer_to(peer, &query),
            Message::Answer(answer) => {
                let heard = Answer {
                    node: peer,
                    holding: answer.holding.map(Into::into),
                    serving: answer.serving,
                    room: answer.room.into(),
                    read_cost: answer.read_cost,
                    write_cost: answer.write_cost,
                    nonce: answer.nonce,
                };
                self.inner.members.answered(peer);
                self.inner.pending.hear(answer.request, Heard::Answer(heard));
            }
            Message::Done(done) => {
                self.inner
                    .pending
                    .hear(done.request, Heard::Done { node: peer, durable: done.durable });
            }
            Message::Bury(order) => {
                if order.tombstone.is_fresh() {
                    self.inner.wake();
                }
                self.carry_out("bury", peer, order.request, |node| node.bury(order))
            }
            Message::Retract(order) => {
                self.carry_out("retract", peer, order.request, |node| node.retract(order))
            }
            // Beside much other work a read can wait: deletes share the bound.
            Message::Examine(_) if self.inner.background_now() >= ORDERS_MAX / 16 => {
                self.inner.count("orders dropped");
            }
            Message::Examine(order) => {
                self.carry_out("examine", peer, order.request, async move |node| {
                    node.is_sound_after_all(wire::stream_id(order.id), order.stamp.into()).await
                });
            }
            Message::Superseded(notice) => self.spawn_order("superseded", |node| async move {
                node.inner
                    .volumes
                    .drop_older(wire::stream_id(notice.id), notice.stamp.into())
                    .await;
            }),
            Message::Health(message) => self.hear_health(peer, message),
            Message::Feeds(message) => self.hear_feeds(peer, message),
            Message::Settings(changes) => self.inner.hear_changes(changes),
            Message::ContextChanged(id) => self.inner.contexts.forget(wire::stream_id(id)),
        }
        if !self.inner.members.heard(peer, self.inner.present()) {
            // It may not know us either, and a lookup must know whom to wait for.
            self.inner.send(peer, &Message::Beacon(self.inner.beacon(true, true)));
        }
    }

    fn hear_beacon(&self, peer: NodeId, beacon: Beacon) {
        let hello = beacon.hello;
        self.inner.compare_changes(peer, beacon.settings);
        let (number, digest) = beacon.feeds;
        self.compare_tables(peer, TableVersion { number, digest });
        let after = self.inner.members.beacon(peer, beacon, self.inner.present());
        // Whoever has just come, or come back, learns at once that we are here.
        if hello || after.is_news || after.volumes_unknown {
            let answer = self.inner.beacon(after.volumes_unknown, true);
            self.inner.send(peer, &Message::Beacon(answer));
        }
    }

    /// Carries an order out in a task of its own and tells the sender how it went.
    fn carry_out<F>(
        &self,
        name: &'static str,
        peer: NodeId,
        request: u64,
        order: impl FnOnce(Self) -> F,
    ) where
        F: Future<Output = bool> + Send + 'static,
    {
        self.spawn_order(name, |node| {
            let work = order(node.clone());
            async move {
                let durable = node.env().timeout(DISK_TIMEOUT, work).await.unwrap_or(false);
                node.inner.send(peer, &Message::Done(DoneWire { request, durable }));
            }
        });
    }

    /// Does a piece of work in a task of its own; drops it where too many are under way.
    pub(crate) fn spawn_order<F>(&self, name: &'static str, order: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.inner.background_now() >= ORDERS_MAX {
            self.inner.count("orders dropped");
            return;
        }
        let held = self.inner.background();
        let work = order(self.clone());
        drop(self.env().spawn(name, async move {
            work.await;
            drop(held);
        }));
    }

    async fn bury(self, order: BuryWire) -> bool {
        let tombstone = order.tombstone.told(self.env().wall());
        self.file_tombstone(wire::stream_id(order.id), tombstone).await
    }

    /// Files a tombstone on this node. True when it is durable, or something newer is.
    pub(crate) async fn file_tombstone(&self, id: StreamId, tombstone: Tombstone) -> bool {
        if tombstone.kind.is_context() {
            self.inner.contexts.forget(id);
        }
        match self.inner.volumes.bury(id, tombstone).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(node = self.env().name(), stream = %id, %error, "tombstone not stored");
                false
            }
        }
    }

    async fn retract(self, order: ReplicaWire) -> bool {
        self.inner.volumes.retract(wire::stream_id(order.id), order.stamp.into()).await
    }
}
