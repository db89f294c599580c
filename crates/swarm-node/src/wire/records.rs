//! What a record remembers beside a version, as bytes: what feeds have come to with it, and what is left of a delete.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use swarm_store::Tombstone;
use swarm_types::{
    FEED_SLOTS_MAX, FeedId, FeedMark, FeedOutcome, FeedSlot, FeedSlots, Stamp, Timestamp, Uuid,
};

use super::{KindWire, StampWire};

/// What feeds have come to with a version or a delete.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct SlotsWire(Vec<SlotWire>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotWire {
    feed: u32,
    mark: u64,
    outcome: OutcomeWire,
    status: u16,
    at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum OutcomeWire {
    Unqualified,
    Success,
    Retrying { attempts: u16, next_at: i64 },
}

/// The durable memory of a delete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TombstoneWire {
    stamp: StampWire,
    kind: KindWire,
    /// When an older one that is told again was written, by the clock of the node that did; absent in a new delete, which
    /// each node files by its own clock.
    written: Option<i64>,
    alias: Option<[u8; 16]>,
    parent: Option<[u8; 16]>,
    name: Option<String>,
    slots: SlotsWire,
    first: bool,
}

impl From<&FeedSlots> for SlotsWire {
    fn from(slots: &FeedSlots) -> Self {
        Self(slots.iter().map(|slot| SlotWire::from(*slot)).collect())
    }
}

impl From<SlotsWire> for FeedSlots {
    fn from(wire: SlotsWire) -> Self {
        let mut slots = Self::default();
        for slot in wire.0.into_iter().take(FEED_SLOTS_MAX) {
            slots.set(slot.into());
        }
        slots
    }
}

impl From<FeedSlot> for SlotWire {
    fn from(slot: FeedSlot) -> Self {
        let outcome = match slot.outcome {
            FeedOutcome::Unqualified => OutcomeWire::Unqualified,
            FeedOutcome::Success => OutcomeWire::Success,
            FeedOutcome::Retrying { attempts, next_at } => {
                OutcomeWire::Retrying { attempts, next_at: next_at.0 }
            }
        };
        let FeedSlot { feed, mark, status, at, .. } = slot;
        Self { feed: feed.0, mark: mark.0, outcome, status, at: at.0 }
    }
}

impl From<SlotWire> for FeedSlot {
    fn from(wire: SlotWire) -> Self {
        let outcome = match wire.outcome {
            OutcomeWire::Unqualified => FeedOutcome::Unqualified,
            OutcomeWire::Success => FeedOutcome::Success,
            OutcomeWire::Retrying { attempts, next_at } => {
                FeedOutcome::Retrying { attempts, next_at: Timestamp(next_at) }
            }
        };
        let (feed, mark) = (FeedId(wire.feed), FeedMark(wire.mark));
        Self { feed, mark, outcome, status: wire.status, at: Timestamp(wire.at) }
    }
}

impl TombstoneWire {
    /// A delete that is being made: whoever files it dates it.
    pub(crate) fn fresh(tombstone: &Tombstone) -> Self {
        let uuid = |uuid: &Option<Uuid>| uuid.map(|uuid| *uuid.as_bytes());
        Self {
            stamp: tombstone.stamp.into(),
            kind: tombstone.kind.into(),
            written: None,
            alias: uuid(&tombstone.alias),
            parent: uuid(&tombstone.parent),
            name: tombstone.name.as_deref().map(str::to_owned),
            slots: (&tombstone.slots).into(),
            first: tombstone.first,
        }
    }

    /// A delete that was made before, and has its date.
    pub(crate) fn told_again(tombstone: &Tombstone) -> Self {
        Self { written: Some(tombstone.written.0), ..Self::fresh(tombstone) }
    }

    /// Whether it is being made.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.written.is_none()
    }

    /// What is to be filed, on this date if it has none yet.
    pub(crate) fn told(self, now: Timestamp) -> Tombstone {
        let stamp: Stamp = self.stamp.into();
        let written = self.written.map_or(now, Timestamp);
        let name = self.name.filter(|name| name.len() <= Tombstone::NAME_MAX);
        Tombstone {
            alias: self.alias.map(Uuid::from_bytes),
            parent: self.parent.map(Uuid::from_bytes),
            name: name.map(Arc::from),
            slots: self.slots.into(),
            first: self.first,
            ..Tombstone::new(stamp, self.kind.into(), written)
        }
    }
}

#[cfg(test)]
mod tests {
    use swarm_types::{ClusterName, Etag, ObjectKind, Version};

    use super::*;
    use crate::wire::{BuryWire, ClusterTag, Decoded, Message, decode, encode};

    fn slots() -> FeedSlots {
        let mut slots = FeedSlots::default();
        let (attempts, next_at) = (u16::MAX, Timestamp(i64::MIN));
        for nth in 0..8 {
            let outcome = match nth {
                0 => FeedOutcome::Unqualified,
                1 => FeedOutcome::Success,
                _ => FeedOutcome::Retrying { attempts, next_at },
            };
            let (feed, mark) = (FeedId(u32::MAX - nth), FeedMark(u64::MAX));
            let at = Timestamp(i64::MIN);
            slots.set(FeedSlot { feed, mark, outcome, status: u16::MAX, at });
        }
        slots
    }

    /// Whatever does not fit is not sent, and a delete that is not sent is not remembered.
    #[test]
    fn the_largest_tombstone_fits_into_a_datagram_and_comes_back_as_it_was() {
        let stamp = Stamp { version: Version(u64::MAX), etag: Etag::from_bytes([0xff; 16]) };
        let tombstone = Tombstone {
            alias: Some(Uuid::from_bytes([0xff; 16])),
            parent: Some(Uuid::from_bytes([0xff; 16])),
            name: Some("d".repeat(Tombstone::NAME_MAX).into()),
            slots: slots(),
            first: true,
            ..Tombstone::new(stamp, ObjectKind::Domain, Timestamp(i64::MIN))
        };
        let tag = ClusterTag::of(&ClusterName::from("main"));
        let travelled = |wire| {
            let order = BuryWire { request: u64::MAX, id: [0xff; 16], tombstone: wire };
            let bytes = encode(tag, &Message::Bury(order)).expect("no larger than a datagram");
            match decode(tag, &bytes) {
                Decoded::Message(Message::Bury(order)) => order.tombstone.told(Timestamp(5)),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(travelled(TombstoneWire::told_again(&tombstone)), tombstone);
        let dated = Tombstone { written: Timestamp(5), ..tombstone.clone() };
        assert_eq!(travelled(TombstoneWire::fresh(&tombstone)), dated);
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let bare = Tombstone::new(
            Stamp { version: Version(1), etag: Etag::from_bytes([1; 16]) },
            ObjectKind::Domain,
            Timestamp(0),
        );
        let name = Some("d".repeat(Tombstone::NAME_MAX + 1).into());
        let told = TombstoneWire::fresh(&Tombstone { name, ..bare.clone() }).told(Timestamp(0));
        assert_eq!(told, bare);
        let many = SlotsWire(SlotsWire::from(&slots()).0.repeat(100));
        assert_eq!(FeedSlots::from(many), slots());
    }
}
