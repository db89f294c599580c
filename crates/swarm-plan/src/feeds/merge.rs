//! The merge rule: what a cluster does with a version or a delete that a feed of another cluster brings.
//!
//! Every version and every delete has its place in one order ([`Stamp`]), the same in all clusters, and the last one stands.
//! So deliveries may be lost, doubled and swapped: whatever the order, all clusters end with the same (Replicating Domains
//! to Other Clusters lets clusters feed each other; the rule itself is our choice).

use swarm_types::{ObjectKind, Stamp};

use crate::lookup::{Answers, Form, Holding};

/// The newest that the receiving cluster holds under the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing, not even the memory of a delete.
    Nothing,
    /// A version.
    Version {
        /// Its place among the versions.
        stamp: Stamp,
        /// Whether any replica of it is intact, as far as its holders know.
        intact: bool,
    },
    /// A delete.
    Tombstone(Stamp),
}

impl Held {
    /// What the answers to a lookup tell. What a lifepoint has ended is there until it is erased.
    #[must_use]
    pub fn of(answers: &Answers) -> Self {
        let Some(newest) = answers.newest() else { return Self::Nothing };
        let stamp = newest.stamp;
        if newest.form == Form::Tombstone {
            return Self::Tombstone(stamp);
        }
        let is_intact = |held: Holding| {
            held.stamp == stamp && matches!(held.form, Form::Replica(_) | Form::Ended(_))
        };
        let intact = answers.iter().filter_map(|answer| answer.holding).any(is_intact);
        Self::Version { stamp, intact }
    }
}

/// What to do with what arrives. The last two are answered alike: the same or a newer version is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest: take it.
    Store,
    /// It is there already, but in damaged replicas only: take it once more.
    StoreAgain,
    /// It is there already.
    AlreadyThere,
    /// Something newer is there, or a delete that covers it.
    Older,
}

/// What to do with a version of an object of this class. An immutable object has one version only, so that nothing is
/// stored where one is intact, whatever its stamp. A delete covers the version of its own stamp.
#[must_use]
pub fn judge_import(kind: ObjectKind, incoming: Stamp, held: Held) -> Verdict {
    match held {
        Held::Nothing => Verdict::Store,
        Held::Tombstone(stamp) if stamp >= incoming => Verdict::Older,
        Held::Tombstone(_) => Verdict::Store,
        Held::Version { intact: true, .. } if kind == ObjectKind::Immutable => {
            Verdict::AlreadyThere
        }
        Held::Version { stamp, intact } if stamp == incoming => {
            if intact {
                Verdict::AlreadyThere
            } else {
                Verdict::StoreAgain
            }
        }
        Held::Version { stamp, .. } if stamp > incoming => Verdict::Older,
        Held::Version { .. } => Verdict::Store,
    }
}

/// What to do with a delete. It is remembered even where nothing is: an older version that is still under way must not
/// come to life after it.
#[must_use]
pub fn judge_import_delete(incoming: Stamp, held: Held) -> Verdict {
    match held {
        Held::Nothing => Verdict::Store,
        Held::Version { stamp, .. } if stamp <= incoming => Verdict::Store,
        Held::Tombstone(stamp) if stamp < incoming => Verdict::Store,
        Held::Tombstone(stamp) if stamp == incoming => Verdict::AlreadyThere,
        Held::Version { .. } | Held::Tombstone(_) => Verdict::Older,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swarm_types::{Etag, Version};

    use super::*;

    /// What feeds bring.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Delivery {
        Put(Stamp),
        Delete(Stamp),
    }

    fn stamp(ms: u64, etag: u8) -> Stamp {
        Stamp { version: Version(ms), etag: Etag::from_bytes([etag; 16]) }
    }

    fn version(ms: u64) -> Held {
        Held::Version { stamp: stamp(ms, 1), intact: true }
    }

    fn deliver(kind: ObjectKind, held: Held, delivery: Delivery) -> Held {
        let (verdict, after) = match delivery {
            Delivery::Put(stamp) => {
                (judge_import(kind, stamp, held), Held::Version { stamp, intact: true })
            }
            Delivery::Delete(stamp) => (judge_import_delete(stamp, held), Held::Tombstone(stamp)),
        };
        match verdict {
            Verdict::Store | Verdict::StoreAgain => after,
            Verdict::AlreadyThere | Verdict::Older => held,
        }
    }

    fn after(kind: ObjectKind, deliveries: &[Delivery]) -> Held {
        deliveries.iter().fold(Held::Nothing, |held, delivery| deliver(kind, held, *delivery))
    }

    /// What a cluster ends with to which a feed of another brings what that one holds.
    fn merged(kind: ObjectKind, here: Held, there: Held) -> Held {
        match there {
            Held::Nothing => here,
            Held::Version { stamp, .. } => deliver(kind, here, Delivery::Put(stamp)),
            Held::Tombstone(stamp) => deliver(kind, here, Delivery::Delete(stamp)),
        }
    }

    #[test]
    fn two_writes_and_a_later_delete_end_deleted_in_all_six_orders() {
        let [a, b, c] =
            [Delivery::Put(stamp(1, 1)), Delivery::Put(stamp(2, 2)), Delivery::Delete(stamp(3, 3))];
        for order in [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
            let end = after(ObjectKind::Named, &order);
            assert_eq!(end, Held::Tombstone(stamp(3, 3)), "{order:?}");
        }
    }

    #[test]
    fn a_version_is_intact_if_any_replica_of_it_is() {
        let volume = swarm_types::VolumeId::from_bytes([7; 16]);
        let held = |forms: &[(u64, Form)]| {
            let mut answers = Answers::default();
            for (last, (ms, form)) in (1..).zip(forms) {
                let (stamp, kind) = (stamp(*ms, 1), ObjectKind::Named);
                answers.add(crate::lookup::Answer {
                    node: swarm_types::NodeId(std::net::Ipv4Addr::new(10, 0, 0, last)),
                    holding: Some(Holding { stamp, kind, form: *form, alias: None, cid: None }),
                    serving: true,
                    room: crate::lookup::Room::Streams,
                    read_cost: 0,
                    write_cost: None,
                    nonce: 0,
                });
            }
            Held::of(&answers)
        };
        let (sound, damaged) = (Form::Replica(volume), Form::Damaged(volume));
        let damaged_only = Held::Version { stamp: stamp(5, 1), intact: false };
        assert_eq!(held(&[]), Held::Nothing);
        assert_eq!(held(&[(5, damaged), (5, sound)]), version(5));
        assert_eq!(held(&[(5, damaged), (4, sound)]), damaged_only);
        assert_eq!(held(&[(5, Form::Ended(volume))]), version(5));
        assert_eq!(held(&[(4, sound), (5, Form::Tombstone)]), Held::Tombstone(stamp(5, 1)));
    }

    #[test]
    fn what_arrives_is_judged_by_what_is_there() {
        use Verdict::{AlreadyThere, Older, Store, StoreAgain};
        let damaged = |ms| Held::Version { stamp: stamp(ms, 1), intact: false };
        let cases = [
            // Incoming, held, verdict on a named object, on an immutable one, on a delete.
            (5, Held::Nothing, Store, Store, Store),
            (5, version(4), Store, AlreadyThere, Store),
            (5, version(5), AlreadyThere, AlreadyThere, Store),
            (5, version(6), Older, AlreadyThere, Older),
            (5, damaged(4), Store, Store, Store),
            (5, damaged(5), StoreAgain, StoreAgain, Store),
            (5, damaged(6), Older, Older, Older),
            (5, Held::Tombstone(stamp(4, 1)), Store, Store, Store),
            (5, Held::Tombstone(stamp(5, 1)), Older, Older, AlreadyThere),
            (5, Held::Tombstone(stamp(6, 1)), Older, Older, Older),
        ];
        for (ms, held, named, immutable, delete) in cases {
            let incoming = stamp(ms, 1);
            assert_eq!(judge_import(ObjectKind::Named, incoming, held), named, "{held:?}");
            assert_eq!(judge_import(ObjectKind::Immutable, incoming, held), immutable, "{held:?}");
            assert_eq!(judge_import_delete(incoming, held), delete, "{held:?}");
        }
    }

    #[test]
    fn of_two_writes_in_one_millisecond_the_larger_etag_stands_in_both_clusters() {
        let [east, west] = [Delivery::Put(stamp(7, 1)), Delivery::Put(stamp(7, 2))];
        let kind = ObjectKind::Bucket;
        assert_eq!(after(kind, &[east, west]), after(kind, &[west, east]));
        assert_eq!(after(kind, &[east, west]), Held::Version { stamp: stamp(7, 2), intact: true });
    }

    /// Everything that may happen to one id: an immutable object has one write, the others any number.
    fn history() -> impl Strategy<Value = (ObjectKind, Vec<Delivery>)> {
        let kind = prop::sample::select(vec![
            ObjectKind::Immutable,
            ObjectKind::Alias,
            ObjectKind::Named,
            ObjectKind::Domain,
        ]);
        let deliveries = prop::collection::vec((any::<bool>(), 0..6u64, 0..3u8), 1..8);
        (kind, deliveries, 0..6u64).prop_map(|(kind, deliveries, only)| {
            let delivery = |(put, ms, etag)| match put {
                true if kind == ObjectKind::Immutable => Delivery::Put(stamp(only, 1)),
                true => Delivery::Put(stamp(ms, etag)),
                false => Delivery::Delete(stamp(ms, etag)),
            };
            (kind, deliveries.into_iter().map(delivery).collect())
        })
    }

    proptest! {
        #[test]
        fn any_order_of_deliveries_any_of_them_twice_ends_the_same(
            (kind, deliveries) in history(),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..16),
        ) {
            // Some of them any number of times and in any order, then all of them backwards.
            let mut others: Vec<_> =
                picks.iter().map(|pick| deliveries[pick.index(deliveries.len())]).collect();
            others.extend(deliveries.iter().rev());
            prop_assert_eq!(after(kind, &deliveries), after(kind, &others));
        }

        #[test]
        fn merging_clusters_is_commutative_associative_and_idempotent(
            (kind, deliveries) in history(),
            cuts in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let (one, two) = (cuts.0.index(deliveries.len()), cuts.1.index(deliveries.len()));
            let [a, b, c] = [
                after(kind, &deliveries[..one.min(two)]),
                after(kind, &deliveries[one.min(two)..one.max(two)]),
                after(kind, &deliveries[one.max(two)..]),
            ];
            let merge = |here, there| merged(kind, here, there);
            prop_assert_eq!(merge(a, b), merge(b, a));
            prop_assert_eq!(merge(merge(a, b), c), merge(a, merge(b, c)));
            prop_assert_eq!(merge(a, a), a);
        }

        #[test]
        fn what_stands_is_the_largest_stamp_and_nothing_older_than_a_delete_lives((kind, deliveries) in history()) {
            let stamp_of = |one: &Delivery| match *one {
                Delivery::Put(stamp) | Delivery::Delete(stamp) => stamp,
            };
            let largest = deliveries.iter().map(stamp_of).max();
            let stands = match after(kind, &deliveries) {
                Held::Nothing => None,
                Held::Version { stamp, .. } | Held::Tombstone(stamp) => Some(stamp),
            };
            prop_assert_eq!(stands, largest);
        }
    }
}
