//! Tests of the lanes: order, bounds, and that nothing is forgotten without a word.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use swarm_types::{Etag, Version};

/// A version, the first of its millisecond.
fn stamp(ms: u64) -> Stamp {
    Stamp { version: Version(ms), etag: Etag::from_bytes([1; 16]) }
}

/// A later one of the same millisecond.
fn second(ms: u64) -> Stamp {
    Stamp { etag: Etag::from_bytes([2; 16]), ..stamp(ms) }
}

fn id(number: u64) -> StreamId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    StreamId::from_bytes(bytes)
}

fn at(secs: u64) -> Instant {
    Instant(secs * 1_000_000_000)
}

fn offer(number: u64, lane: Lane, due: u64) -> Offer {
    let (id, stamp, due) = (id(number), stamp(1), at(due));
    Offer { id, stamp, lane, due, since: at(0), first: true, load: Load::Small, forced: false }
}

fn lanes() -> Lanes {
    Lanes::new(Limits { urgent: 4, fresh: 4, backlog: 4, retry: 4 })
}

/// What is next, one after the other, each done at once.
fn drained(lanes: &mut Lanes, now: u64) -> Vec<u64> {
    let mut order = Vec::new();
    while let Some(work) = lanes.next(at(now), 1) {
        let number =
            work.id.as_bytes()[8..].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        order.push(number);
        lanes.done(work.id);
    }
    order
}

#[test]
fn contexts_go_first_then_new_writes_the_backlog_and_what_failed() {
    let mut lanes = lanes();
    for (number, lane) in
        [(1, Lane::Retry), (2, Lane::Backlog), (3, Lane::Fresh), (4, Lane::Urgent)]
    {
        assert_eq!(lanes.offer(offer(number, lane, 0)), Offered::Taken);
    }
    lanes.offer(offer(5, Lane::Urgent, 9));
    assert_eq!(drained(&mut lanes, 0), [4, 3, 2, 1], "the fifth is not due");
    assert_eq!(drained(&mut lanes, 9), [5]);
    assert_eq!((lanes.waiting(), lanes.busy(), lanes.bytes()), (0, 0, 0));
}

#[test]
fn within_a_lane_the_longest_due_goes_first() {
    let mut lanes = lanes();
    for (number, due) in [(1, 7), (2, 3), (3, 5)] {
        lanes.offer(offer(number, Lane::Fresh, due));
    }
    assert_eq!(drained(&mut lanes, 2), [0; 0]);
    assert_eq!(drained(&mut lanes, 10), [2, 3, 1]);
}

#[test]
fn one_pick_in_sixteen_goes_to_whoever_waits_behind() {
    let mut lanes = Lanes::new(Limits::default());
    for number in 0..100 {
        lanes.offer(offer(number, Lane::Fresh, 0));
    }
    lanes.offer(offer(500, Lane::Retry, 0));
    lanes.offer(offer(501, Lane::Retry, 0));
    lanes.offer(offer(400, Lane::Backlog, 0));
    let order = drained(&mut lanes, 0);
    assert_eq!([order[15], order[31], order[47]], [500, 400, 501]);
}

/// Objects that fail again and again, and new ones without end: the backlog goes on.
#[test]
fn the_backlog_is_not_starved_by_what_fails_again_and_again() {
    let mut lanes = Lanes::new(Limits::default());
    for number in 0..8 {
        lanes.offer(offer(900 + number, Lane::Retry, 0));
    }
    for number in 0..20 {
        lanes.offer(offer(500 + number, Lane::Backlog, 0));
    }
    for number in 0..320 {
        lanes.offer(offer(10_000 + number, Lane::Fresh, 0));
        let work = lanes.next(at(0), 1).expect("there is always something");
        if (id(900)..id(908)).contains(&work.id) {
            lanes.retry(work.id, at(0), false);
        } else {
            lanes.done(work.id);
        }
    }
    let left = (500..520).filter(|number| lanes.knows(id(*number), stamp(1))).count();
    assert_eq!(left, 10, "every other of twenty picks");
}

#[test]
fn a_stream_is_never_under_way_twice_and_a_newer_version_follows() {
    let mut lanes = lanes();
    lanes.offer(offer(1, Lane::Fresh, 0));
    assert_eq!(lanes.offer(offer(1, Lane::Backlog, 0)), Offered::Known);
    let work = lanes.next(at(0), 8).expect("it is due");
    assert_eq!(lanes.offer(offer(1, Lane::Backlog, 0)), Offered::Known);
    assert_eq!(lanes.next(at(0), 8), None);
    let newer = Offer { stamp: stamp(2), ..offer(1, Lane::Fresh, 0) };
    assert_eq!(lanes.offer(newer), Offered::Taken);
    assert_eq!(lanes.offer(newer), Offered::Known);
    assert_eq!(lanes.next(at(0), 8), None);
    lanes.done(work.id);
    assert_eq!(lanes.next(at(0), 8).map(|work| work.stamp), Some(stamp(2)));

    lanes.offer(Offer { stamp: stamp(3), ..newer });
    lanes.retry(id(1), at(3600), false);
    let next = lanes.next(at(0), 8).map(|work| work.stamp);
    assert_eq!(next, Some(stamp(3)), "the failure was of the older");
    lanes.retry(id(1), at(60), true);
    assert_eq!((lanes.next(at(59), 8), lanes.waiting()), (None, 1));
    assert!(lanes.next(at(60), 8).is_some_and(|work| work.doubtful));
}

#[test]
fn of_two_versions_in_one_millisecond_the_larger_etag_is_the_newer() {
    let mut lanes = lanes();
    let newer = Offer { stamp: second(1), ..offer(1, Lane::Fresh, 0) };
    lanes.offer(offer(1, Lane::Fresh, 0));
    assert!(lanes.knows(id(1), stamp(1)) && !lanes.knows(id(1), second(1)));
    let work = lanes.next(at(0), 8).expect("it is due");
    assert_eq!(lanes.offer(newer), Offered::Taken, "the older one is under way");
    assert_eq!(lanes.offer(offer(1, Lane::Fresh, 0)), Offered::Known);
    lanes.done(work.id);
    assert_eq!(lanes.next(at(0), 8).map(|work| work.stamp), Some(second(1)));
    lanes.done(id(1));

    lanes.offer(offer(2, Lane::Fresh, 0));
    assert_eq!(lanes.offer(Offer { id: id(2), ..newer }), Offered::Taken, "the older one waits");
    lanes.forget(id(2), stamp(1));
    assert_eq!(lanes.next(at(0), 8).map(|work| work.stamp), Some(second(1)));
}

#[test]
fn a_waiting_stream_moves_forward_never_back() {
    let mut lanes = lanes();
    lanes.offer(offer(1, Lane::Retry, 900));
    lanes.offer(offer(2, Lane::Fresh, 0));
    assert_eq!(lanes.offer(offer(1, Lane::Retry, 950)), Offered::Known);
    assert_eq!(lanes.offer(offer(1, Lane::Urgent, 0)), Offered::Known);
    assert_eq!(lanes.offer(offer(1, Lane::Backlog, 0)), Offered::Known);
    assert_eq!(drained(&mut lanes, 0), [1, 2], "a SEND does not wait for the next try");
    assert_eq!(lanes.waiting(), 0);
}

#[test]
fn large_bodies_hold_half_of_the_transfers_at_most() {
    let mut lanes = Lanes::new(Limits::default());
    let big = |number| Offer { load: Load::Big, ..offer(number, Lane::Fresh, 0) };
    for number in 0..10 {
        lanes.offer(big(number));
    }
    for number in 10..20 {
        lanes.offer(offer(number, Lane::Backlog, 0));
    }
    let picked: Vec<Work> = std::iter::from_fn(|| lanes.next(at(0), 6)).collect();
    let number_of_big = picked.iter().filter(|work| work.id < id(10)).count();
    assert_eq!((picked.len(), number_of_big), (6, 3));
    lanes.done(picked[5].id);
    assert_eq!(lanes.next(at(0), 6).map(|work| work.id), Some(id(13)));
    lanes.done(picked[0].id);
    assert_eq!(lanes.next(at(0), 6).map(|work| work.id), Some(id(3)));

    let mut alone = Lanes::new(Limits::default());
    alone.offer(big(1));
    assert!(alone.next(at(0), 1).is_some(), "a single thread carries large bodies too");
}

#[test]
fn what_is_due_earlier_takes_the_place_of_what_is_due_later() {
    let mut lanes = lanes();
    for number in 0..4 {
        lanes.offer(offer(number, Lane::Fresh, 300));
    }
    assert_eq!(lanes.take_overflowed(), None);
    assert_eq!(lanes.offer(offer(9, Lane::Fresh, 301)), Offered::Full);
    assert_eq!(lanes.take_overflowed(), Some(Lane::Fresh));
    assert_eq!(lanes.take_overflowed(), None);
    assert_eq!(lanes.offer(offer(9, Lane::Fresh, 0)), Offered::Taken);
    assert!(lanes.take_overflowed().is_some(), "another was dropped for it");
    assert_eq!(drained(&mut lanes, 300), [9, 0, 1, 2]);
}

#[test]
fn a_stream_keeps_its_place_where_a_better_one_is_not_free() {
    let mut lanes = lanes();
    for number in 0..4 {
        lanes.offer(offer(number, Lane::Urgent, 0));
    }
    lanes.offer(offer(9, Lane::Backlog, 0));
    assert_eq!(lanes.offer(offer(9, Lane::Urgent, 5)), Offered::Known);
    assert_eq!(lanes.take_overflowed(), None);
    let order = drained(&mut lanes, 5);
    assert_eq!((order.len(), order[4]), (5, 9));
}

#[test]
fn a_newer_version_does_not_lose_the_place_that_the_older_had() {
    let mut lanes = lanes();
    lanes.offer(offer(1, Lane::Urgent, 0));
    let later = Offer { stamp: stamp(2), first: false, ..offer(1, Lane::Fresh, 300) };
    assert_eq!(lanes.offer(later), Offered::Taken);
    let work = lanes.next(at(0), 1);
    assert_eq!(work.map(|work| (work.stamp, work.first)), Some((stamp(2), false)));
}

#[test]
fn a_full_target_is_given_deletes_and_a_send_takes_its_own_stream() {
    let mut lanes = lanes();
    lanes.offer(offer(1, Lane::Fresh, 0));
    lanes.offer(Offer { load: Load::Delete, ..offer(2, Lane::Backlog, 0) });
    assert!(lanes.is_due(at(0), 2) && !lanes.is_due(at(0), 0));
    assert_eq!(lanes.next_delete(at(0), 2).map(|work| work.id), Some(id(2)));
    assert_eq!(lanes.next_delete(at(0), 2), None);
    lanes.offer(offer(3, Lane::Fresh, 900));
    assert_eq!(
        lanes.take(id(3), at(899), 2),
        None,
        "one attempt is not made again before it is due"
    );
    assert_eq!(lanes.take(id(3), at(900), 1), None, "the other is under way");
    assert_eq!(lanes.take(id(3), at(900), 2).map(|work| work.id), Some(id(3)));
    assert_eq!((lanes.take(id(3), at(900), 9), lanes.next_due()), (None, Some(at(0))));
    assert!(lanes.knows(id(3), stamp(1)) && !lanes.knows(id(3), stamp(2)));
}

#[test]
fn what_another_has_done_is_forgotten_and_an_edit_makes_retries_due() {
    let mut lanes = lanes();
    lanes.offer(offer(1, Lane::Fresh, 300));
    lanes.forget(id(1), stamp(0));
    assert_eq!(lanes.waiting(), 1, "that was an older version");
    lanes.forget(id(1), stamp(1));
    assert_eq!(lanes.waiting(), 0);
    lanes.offer(offer(2, Lane::Retry, 3600));
    lanes.offer(offer(3, Lane::Fresh, 3600));
    lanes.retry_now(at(5));
    assert_eq!(drained(&mut lanes, 5), [2]);
    lanes.clear();
    assert_eq!((lanes.waiting(), lanes.next_due(), lanes.oldest()), (0, None, None));
}

/// Failure matrix: a backlog of any length. Ten million streams are offered, as a walk, new writes and retries would.
#[test]
fn ten_million_offers_stay_within_the_bound() {
    const STREAMS: u64 = 10_000_000;
    const THREADS: usize = 6;
    let mut lanes = Lanes::new(Limits::default());
    let bound = Limits::default().bytes(THREADS);
    assert!(8 * bound < 63 << 20, "eight feeds of {bound} bytes");
    let (mut most, mut picked) = (0, 0u64);
    for number in 0..STREAMS {
        // Ids come in no order: an odd factor spreads them.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let lane = Lane::ALL[(spread >> 62) as usize];
        let due = at(number / 1_000 + (spread >> 32) % 300);
        let load = if spread.is_multiple_of(50) { Load::Big } else { Load::Small };
        lanes.offer(Offer { due, load, ..offer(spread, lane, 0) });
        let now = at(number / 1_000);
        let work = if number.is_multiple_of(3) { lanes.next(now, THREADS) } else { None };
        if let Some(work) = work {
            picked += 1;
            match work.id.as_bytes()[15] % 4 {
                0 => lanes.retry(work.id, now + Duration::from_secs(60), false),
                _ => lanes.done(work.id),
            }
        }
        most = most.max(lanes.bytes());
    }
    assert!(most <= bound, "{most} of {bound} bytes");
    assert!(most > bound / 2 && picked > STREAMS / 4, "{most} bytes, {picked} picked");
    assert_eq!(lanes.take_overflowed(), Some(Lane::Urgent));
}

#[derive(Debug, Clone)]
enum Act {
    Offer(Offer),
    Next(u64),
    Done(usize),
    Retry(usize, u64),
}

fn act() -> impl Strategy<Value = Act> {
    let lane = prop::sample::select(Lane::ALL.to_vec());
    let load = prop::sample::select(vec![Load::Delete, Load::Small, Load::Big]);
    let offered = (0..24u64, 1..3u64, any::<bool>(), lane, 0..20u64, any::<bool>(), load).prop_map(
        |(number, ms, is_second, lane, due, first, load)| {
            let stamp = if is_second { second(ms) } else { stamp(ms) };
            Act::Offer(Offer { stamp, first, load, ..offer(number, lane, due) })
        },
    );
    prop_oneof![
        4 => offered,
        2 => (0..20u64).prop_map(Act::Next),
        1 => (0..8usize).prop_map(Act::Done),
        1 => (0..8usize, 0..20u64).prop_map(|(nth, due)| Act::Retry(nth, due)),
    ]
}

/// Notes the newest version of a stream that was worked on.
fn begin(begun: &mut BTreeMap<StreamId, Stamp>, work: Work) {
    let stamp = begun.entry(work.id).or_insert(work.stamp);
    *stamp = work.stamp.max(*stamp);
}

proptest! {
    #[test]
    fn bounds_hold_and_nothing_is_forgotten_without_a_word(acts in prop::collection::vec(act(), 0..200)) {
        const THREADS: usize = 4;
        let limits = Limits { urgent: 3, fresh: 5, backlog: 2, retry: 4 };
        let mut lanes = Lanes::new(limits);
        // The newest version of each stream that was offered, and those that came to an end or began.
        let mut newest: BTreeMap<StreamId, Stamp> = BTreeMap::new();
        let mut begun: BTreeMap<StreamId, Stamp> = BTreeMap::new();
        let mut under_way: Vec<Work> = Vec::new();
        let mut overflowed = false;
        for act in acts {
            match act {
                Act::Offer(offer) => {
                    lanes.offer(offer);
                    let known = newest.entry(offer.id).or_insert(offer.stamp);
                    *known = offer.stamp.max(*known);
                }
                Act::Next(now) => if let Some(work) = lanes.next(at(now), THREADS) {
                    prop_assert!(under_way.iter().all(|other| other.id != work.id));
                    begin(&mut begun, work);
                    under_way.push(work);
                },
                Act::Done(nth) => if nth < under_way.len() {
                    lanes.done(under_way.swap_remove(nth).id);
                },
                Act::Retry(nth, due) => if nth < under_way.len() {
                    lanes.retry(under_way.swap_remove(nth).id, at(due), nth == 1);
                },
            }
            overflowed |= lanes.take_overflowed().is_some();
            prop_assert!(lanes.bytes() <= limits.bytes(THREADS));
            prop_assert_eq!(lanes.busy(), under_way.len());
            for lane in Lane::ALL {
                let queued: usize = lanes.queues[lane as usize].iter().map(BTreeSet::len).sum();
                prop_assert!(queued <= limits.of(lane));
            }
            let queued: usize = lanes.queues.iter().flatten().map(BTreeSet::len).sum();
            prop_assert_eq!(queued, lanes.waiting());
        }
        // Whatever is left can be worked off; unless something was dropped, the newest of everything has begun by then.
        under_way.into_iter().for_each(|work| lanes.done(work.id));
        while let Some(work) = lanes.next(at(100), THREADS) {
            begin(&mut begun, work);
            lanes.done(work.id);
        }
        overflowed |= lanes.take_overflowed().is_some();
        prop_assert_eq!((lanes.waiting(), lanes.busy()), (0, 0));
        if !overflowed {
            for (id, stamp) in newest {
                prop_assert!(begun.get(&id) >= Some(&stamp), "{:?} {:?}", id, stamp);
            }
        }
    }
}

/// What is waited for is raised also where a newer version of it waits, which keeps its stamp.
#[test]
fn who_waits_for_an_older_version_raises_the_newer_one() {
    let mut lanes = lanes();
    for number in 1..=3 {
        lanes.offer(Offer { stamp: stamp(5), ..offer(number, Lane::Retry, number) });
    }
    let urgent = Offer { stamp: stamp(4), first: false, ..offer(3, Lane::Urgent, 0) };
    assert_eq!(lanes.offer(urgent), Offered::Known, "what is older is no news");
    assert_eq!(lanes.next(at(0), 9), None);
    assert_eq!(lanes.urge(urgent), Offered::Known);
    let work = lanes.next(at(0), 9).unwrap();
    assert_eq!((work.id, work.stamp, work.first), (id(3), stamp(5), true));
    assert_eq!(lanes.urge(urgent), Offered::Known, "it is under way");
    let newer = Offer { stamp: stamp(6), ..urgent };
    assert_eq!(lanes.urge(newer), Offered::Taken);
    lanes.done(work.id);
    assert_eq!(lanes.next(at(0), 9).map(|work| work.stamp), Some(stamp(6)));
}

/// What is forced stays so until it is done, whatever becomes of whoever wanted it.
#[test]
fn what_is_forced_stays_so_until_it_is_done() {
    let mut lanes = lanes();
    let forced = |number| Offer { forced: true, ..offer(number, Lane::Urgent, 0) };
    lanes.offer(offer(1, Lane::Urgent, 0));
    assert!(!lanes.is_forced(id(1)));
    assert_eq!(lanes.urge(forced(1)), Offered::Known);
    assert_eq!(lanes.offer(Offer { stamp: stamp(2), ..offer(1, Lane::Fresh, 9) }), Offered::Taken);
    for due in [0, 60, 180] {
        let work = lanes.next(at(due), 8).unwrap();
        assert!(work.forced && lanes.is_forced(id(1)), "{work:?}");
        lanes.retry(id(1), at(due + 60), false);
    }
    assert!(lanes.next(at(240), 8).is_some_and(|work| work.forced));
    lanes.done(id(1));
    assert!(!lanes.is_forced(id(1)));

    // One that is under way when somebody comes who has it sent again, and a newer version that follows it.
    lanes.offer(offer(2, Lane::Fresh, 0));
    assert!(lanes.next(at(0), 8).is_some_and(|work| !work.forced));
    assert_eq!(lanes.urge(forced(2)), Offered::Known);
    assert!(lanes.is_forced(id(2)));
    lanes.retry(id(2), at(60), true);
    assert!(lanes.next(at(60), 8).is_some_and(|work| work.forced && work.doubtful));
    lanes.offer(Offer { stamp: stamp(2), ..offer(2, Lane::Fresh, 60) });
    lanes.urge(Offer { stamp: stamp(2), ..forced(2) });
    lanes.offer(Offer { stamp: stamp(3), ..offer(2, Lane::Fresh, 60) });
    lanes.done(id(2));
    let work = lanes.next(at(60), 8).map(|work| (work.stamp, work.forced));
    assert_eq!(work, Some((stamp(3), true)));
}

/// What is forced gives way to nothing, for the index does not tell of it: whoever forces asks for a place before. What waits
/// already is forced where it is.
#[test]
fn what_is_forced_gives_way_to_nothing() {
    let mut lanes = lanes();
    let forced = |number| Offer { forced: true, ..offer(number, Lane::Urgent, 5) };
    for number in 1..=4 {
        assert!(lanes.has_place(Lane::Urgent, id(number)));
        assert_eq!(lanes.urge(forced(number)), Offered::Taken);
    }
    assert!(lanes.has_place(Lane::Urgent, id(4)) && !lanes.has_place(Lane::Urgent, id(5)));
    assert_eq!(lanes.urge(forced(5)), Offered::Full);
    assert_eq!(lanes.offer(offer(7, Lane::Urgent, 0)), Offered::Full, "though it is due before");
    assert_eq!(lanes.take_overflowed(), Some(Lane::Urgent));
    assert!((1..=4).all(|number| lanes.is_forced(id(number))) && !lanes.is_forced(id(5)));
    lanes.offer(offer(6, Lane::Backlog, 0));
    assert_eq!(lanes.urge(forced(6)), Offered::Known);
    assert_eq!(lanes.take_overflowed(), None);
    assert!(lanes.is_forced(id(6)), "it keeps its place");
    let work = lanes.next(at(5), 1).expect("they are due");
    lanes.done(work.id);
    assert!(lanes.has_place(Lane::Urgent, id(5)));
    assert_eq!(lanes.urge(forced(5)), Offered::Taken);
    assert!(lanes.is_forced(id(5)), "there is a place by now");
}
