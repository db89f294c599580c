//! Tests of the feed table: numbers, marks, and the laws of merging.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::definition::tests::least;

fn by(node: u8, ms: u64) -> Author {
    let now = Timestamp(i64::try_from(ms).expect("small") * 1_000_000);
    Author { node: NodeId(Ipv4Addr::new(10, 1, 0, node)), now }
}

fn definition(name: &str) -> Definition {
    definition::check(least(name), &"east".into()).expect("good")
}

fn edited(of: &Definition, change: RawFeed) -> Definition {
    of.edited(change, &"east".into()).expect("good")
}

fn mark(table: &Table, id: FeedId) -> FeedMark {
    table.get(id).expect("it is there").mark(&"east".into())
}

#[test]
fn numbers_begin_at_zero_and_are_never_given_again() {
    let mut table = Table::default();
    assert_eq!(table.create(definition("a"), by(1, 10)), Ok(FeedId(0)));
    assert_eq!(table.create(definition("b"), by(1, 20)), Ok(FeedId(1)));
    table.delete(FeedId(1), by(1, 30)).expect("it is there");
    assert_eq!(table.get(FeedId(1)), None);
    assert_eq!(table.delete(FeedId(1), by(1, 40)), Err(TableError::Unknown(FeedId(1))));
    assert_eq!(table.create(definition("b"), by(1, 50)), Ok(FeedId(2)));
    let again = Table::decode(&table.encode()).expect("a table");
    assert_eq!(again.clone().create(definition("c"), by(1, 60)), Ok(FeedId(3)));
    assert_eq!(again, table);
}

#[test]
fn there_are_eight_feeds_at_most_with_eight_names() {
    let mut table = Table::default();
    for nth in 0..8 {
        assert_eq!(table.create(definition(&format!("Feed {nth}")), by(1, 1)), Ok(FeedId(nth)));
    }
    let before = table.clone();
    assert_eq!(table.create(definition("ninth"), by(1, 2)), Err(TableError::TooMany));
    table.delete(FeedId(3), by(1, 3)).expect("it is there");
    let taken = TableError::Taken { name: "feed 4".to_owned(), id: FeedId(4) };
    assert_eq!(table.create(definition("feed 4"), by(1, 4)), Err(taken.clone()));
    assert_eq!(table.edit(FeedId(5), definition("feed 4"), by(1, 4)), Err(taken));
    assert_eq!(table.edit(FeedId(4), definition("FEED 4"), by(1, 4)), Ok(()));
    assert_eq!(table.create(definition("ninth"), by(1, 5)), Ok(FeedId(8)));
    assert_eq!((before.feeds().count(), table.feeds().count()), (8, 8));
}

#[test]
fn definitions_that_are_too_long_to_keep_are_refused_and_change_nothing() {
    let mut table = Table::default();
    table.create(definition("short"), by(1, 1)).expect("room");
    let before = table.clone();
    let too_long = long("long", 600);
    assert_eq!(table.create(too_long.clone(), by(1, 2)), Err(TableError::TooLong));
    assert_eq!(table.edit(FeedId(0), too_long, by(1, 2)), Err(TableError::TooLong));
    assert_eq!(table, before);
}

/// A definition with so many domains of 40 bytes or so.
fn long(name: &str, domains: usize) -> Definition {
    let domains = (0..domains).map(|nth| format!("domain-{nth:05}.tenants.{name}.example.com"));
    let scope = crate::scope::RawScope { domains: domains.collect(), ..Default::default() };
    definition::check(RawFeed { scope: Some(scope), ..least(name) }, &"east".into()).expect("good")
}

#[test]
fn a_table_that_grew_too_long_by_a_merge_can_still_be_worked_with() {
    let (mut here, mut there) = (Table::default(), Table::default());
    here.create(long("a", 300), by(1, 9)).expect("room");
    there.create(definition("b"), by(2, 2)).expect("room");
    let id = there.create(long("c", 300), by(2, 3)).expect("room");
    here.merge(&there);
    let length = here.encode().len();
    assert!((CHANGED_BYTES_MAX..=TABLE_BYTES_MAX).contains(&length), "{length} bytes");
    assert_eq!(here.create(definition("d"), by(1, 10)), Err(TableError::TooLong));
    assert_eq!(here.edit(id, long("c", 301), by(1, 11)), Err(TableError::TooLong));
    for paused in [true, false] {
        assert_eq!(here.pause(id, paused, by(1, 12)), Ok(()));
    }
    assert_eq!(here.restart(id, by(1, 13)), Ok(()));
    assert_eq!(here.edit(id, long("c", 298), by(1, 14)), Ok(()), "it gets shorter");
    assert_eq!(Table::decode(&here.encode()).expect("a table"), here);
    assert_eq!(here.delete(id, by(1, 15)), Ok(()));
    assert_eq!(here.create(definition("d"), by(1, 16)), Ok(FeedId(2)));
}

#[test]
fn the_definition_that_a_feed_has_changes_nothing() {
    let mut table = Table::default();
    let id = table.create(definition("a"), by(1, 10)).expect("room");
    let before = table.clone();
    table.edit(id, definition("a"), by(2, 20)).expect("it is there");
    assert_eq!((&table, table.version()), (&before, before.version()));
    table.edit(id, definition("A"), by(2, 20)).expect("it is there");
    assert_ne!(table.version(), before.version());
}

#[test]
fn only_what_asks_for_a_new_evaluation_changes_the_mark() {
    let mut table = Table::default();
    let id = table.create(definition("a"), by(1, 10)).expect("room");
    let first = mark(&table, id);
    let renamed = edited(&definition("a"), RawFeed { threads: Some(2), ..RawFeed::default() });
    table.edit(id, renamed.clone(), by(1, 20)).expect("it is there");
    table.pause(id, true, by(1, 30)).expect("it is there");
    assert!(table.get(id).is_some_and(|feed| feed.definition.paused));
    assert_eq!(mark(&table, id), first);
    assert!(table.knows(id, first, &"east".into()));

    let fewer = RawFeed { propagate_deletes: Some(false), ..RawFeed::default() };
    table.edit(id, edited(&renamed, fewer), by(1, 40)).expect("it is there");
    let second = mark(&table, id);
    table.restart(id, by(1, 50)).expect("it is there");
    let third = mark(&table, id);
    assert!(first != second && second != third && first != third);
    assert!(!table.knows(id, first, &"east".into()));
    assert!(!table.knows(id, third, &"west".into()), "the disk of another cluster");

    // Deleted and created again, or created by a cluster that knows nothing of the first: another standing order.
    for mut other in [table.clone(), Table::default()] {
        other.delete(id, by(1, 60)).ok();
        let again = other.create(definition("a"), by(1, 70)).expect("room");
        assert_ne!(mark(&other, again), first);
        assert_ne!(mark(&other, again), third);
    }
}

#[test]
fn two_nodes_that_have_not_heard_of_each_other_never_ask_for_one_evaluation() {
    let mut here = Table::default();
    let id = here.create(definition("a"), by(1, 10)).expect("room");
    let mut there = here.clone();
    here.restart(id, by(1, 20)).expect("it is there");
    there.restart(id, by(2, 20)).expect("it is there");
    assert_ne!(mark(&here, id), mark(&there, id));
    let restarted = mark(&here, id);
    here.merge(&there);
    assert_eq!(mark(&here, id), mark(&there, id), "the later order");
    here.restart(id, by(1, 40)).expect("it is there");
    assert_ne!(mark(&here, id), restarted);
    assert_eq!(Table::decode(&here.encode()).expect("a table"), here);
}

/// What one node has acknowledged, another that has not heard of it does not take back with a change of its own.
#[test]
fn changes_of_two_sides_stand_both_unless_they_are_of_the_same_part() {
    type Change = fn(&mut Table, FeedId, Author);
    let restart: Change = |table, id, by| table.restart(id, by).expect("it is there");
    let pause: Change = |table, id, by| table.pause(id, true, by).expect("it is there");
    fn edit(table: &mut Table, id: FeedId, change: RawFeed, by: Author) {
        let definition = edited(&table.get(id).expect("it is there").definition, change);
        table.edit(id, definition, by).expect("it is there");
    }
    let threads: Change =
        |table, id, by| edit(table, id, RawFeed { threads: Some(2), ..RawFeed::default() }, by);
    let narrow: Change = |table, id, by| {
        let domains = vec!["acme.example".to_owned()];
        let scope = crate::scope::RawScope { domains, ..Default::default() };
        edit(table, id, RawFeed { scope: Some(scope), ..RawFeed::default() }, by);
    };
    let moved: Change =
        |table, id, by| edit(table, id, RawFeed { port: Some(81), ..RawFeed::default() }, by);
    let no_deletes: Change = |table, id, by| {
        edit(table, id, RawFeed { propagate_deletes: Some(false), ..RawFeed::default() }, by);
    };
    let changes = [restart, pause, threads, narrow, moved, no_deletes];
    for (nth, first) in changes.iter().enumerate() {
        for second in changes.iter().skip(nth + 1) {
            for times in [(20, 30), (30, 20)] {
                let mut here = Table::default();
                let id = here.create(definition("a"), by(1, 10)).expect("room");
                let mut there = here.clone();
                first(&mut here, id, by(1, times.0));
                second(&mut there, id, by(2, times.1));
                let both = merged(&here, &there);
                assert_eq!(both, merged(&there, &here));
                let mut one_after_the_other = here.clone();
                second(&mut one_after_the_other, id, by(2, 40));
                let [both, meant] =
                    [&both, &one_after_the_other].map(|table| table.get(id).expect("it is there"));
                assert_eq!(both.definition, meant.definition);
                let set = |feed: &Feed| {
                    let Parts { scope, deletes, restart, .. } = feed.parts;
                    [scope, deletes, restart].map(|at| at.is_some())
                };
                assert_eq!(set(both), set(meant));
            }
        }
    }
}

/// The name of one cluster never meets the hosts of another.
#[test]
fn of_two_targets_the_later_stands_whole() {
    let mut here = Table::default();
    let id = here.create(definition("a"), by(1, 10)).expect("room");
    let mut there = here.clone();
    let elsewhere = RawFeed {
        cluster_name: Some("south".to_owned()),
        hosts: Some(vec!["10.3.0.11".to_owned()]),
        ..RawFeed::default()
    };
    here.edit(id, edited(&definition("a"), elsewhere), by(1, 20)).expect("it is there");
    let port = RawFeed { port: Some(81), ..RawFeed::default() };
    there.edit(id, edited(&definition("a"), port), by(2, 30)).expect("it is there");
    let both = merged(&here, &there);
    assert_eq!(both, merged(&there, &here));
    let [both, there] = [&both, &there].map(|table| table.get(id).expect("it is there"));
    assert_eq!(both.definition, there.definition);
    assert_eq!(both.mark(&"east".into()), there.mark(&"east".into()), "it is evaluated for that");
}

#[test]
fn a_table_of_before_the_parts_is_read() {
    let old = VERSION_1.replace(
        "\"generation\":0,",
        "\"generation\":2,\"begun\":{\"number\":25,\"node\":167837697},",
    );
    let table = Table::decode(old.as_bytes()).expect("a table");
    let feed = table.get(FeedId(1)).expect("it is there");
    assert_eq!(feed.parts.restart.map(|change| change.number), Some(25));
    assert_eq!(Table::decode(&table.encode()).expect("a table"), table);
}

/// Neither side has evaluated what the two changes together ask for.
#[test]
fn a_restart_here_and_another_scope_there_are_an_evaluation_of_their_own() {
    let mut here = Table::default();
    let id = here.create(definition("a"), by(1, 10)).expect("room");
    let mut there = here.clone();
    let first = mark(&here, id);
    here.restart(id, by(1, 20)).expect("it is there");
    let fewer = RawFeed { propagate_deletes: Some(false), ..RawFeed::default() };
    there.edit(id, edited(&definition("a"), fewer), by(2, 30)).expect("it is there");
    let both = merged(&here, &there);
    let marks = [first, mark(&here, id), mark(&there, id)];
    assert!(!marks.contains(&mark(&both, id)), "{marks:?}");
    // A restart, and later elsewhere what asks for no evaluation: that of the restart.
    let mut calm = Table::decode(&there.encode()).expect("a table");
    calm.pause(id, true, by(2, 40)).expect("it is there");
    assert_eq!(mark(&merged(&both, &calm), id), mark(&both, id));
}

#[test]
fn marks_are_the_same_on_every_machine() {
    let mut table = Table::default();
    let id = table.create(definition("a"), by(1, 1_772_323_199_987)).expect("room");
    assert_eq!(mark(&table, id), FeedMark(0x80f8_9272_716f_7a85));
}

/// The first version of the bytes. A later version goes on reading it.
const VERSION_1: &str = concat!(
    "\u{1}{\"newest\":{\"number\":30,\"node\":167837698},\"feeds\":[{\"id\":1,\"created\":{\"number\":20,\"node\":167837697},",
    "\"changed\":{\"number\":20,\"node\":167837697},\"generation\":0,\"definition\":{\"name\":\"a\",\"type\":\"replication\",",
    "\"paused\":false,\"retryWait\":60,\"scope\":{},\"hosts\":[\"10.2.0.11\"],\"port\":80,\"clusterName\":\"west\",\"mode\":\"post\",",
    "\"threads\":6,\"ssl\":\"none\",\"propagateDeletes\":true}}],\"gone\":[[0,10,167837697]]}",
);

#[test]
fn the_bytes_of_version_1_are_read_and_written() {
    let mut table = Table::default();
    table.create(definition("b"), by(1, 10)).expect("room");
    table.create(definition("a"), by(1, 20)).expect("room");
    table.delete(FeedId(0), by(2, 30)).expect("it is there");
    assert_eq!(String::from_utf8(table.encode()).as_deref(), Ok(VERSION_1));
    assert_eq!(Table::decode(VERSION_1.as_bytes()).expect("a table"), table);
}

#[test]
fn a_clock_that_is_behind_takes_changes_after_those_it_knows() {
    let mut table = Table::default();
    let id = table.create(definition("a"), by(1, 1_000)).expect("room");
    table.pause(id, true, by(2, 10)).expect("it is there");
    let changed = table.get(id).expect("it is there").changed;
    assert!(changed > table.get(id).expect("it is there").created);
    assert_eq!(table.version().number, 1_001);
}

#[test]
fn of_two_feeds_with_one_number_the_later_keeps_it_and_the_other_is_made_anew() {
    let (mut here, mut there) = (Table::default(), Table::default());
    here.create(definition("to-west"), by(1, 10)).expect("room");
    there.create(definition("to-south"), by(2, 20)).expect("room");
    let before = here.clone();
    let Merged { changed, lost } = here.merge(&there);
    assert!(changed);
    assert_eq!(lost, before.feeds().cloned().collect::<Vec<_>>());
    assert_eq!(lost[0].created.node, u32::from(by(1, 0).node.0), "who is to create it anew");
    assert_eq!(here.create(lost[0].definition.clone(), by(1, 30)), Ok(FeedId(1)));
    assert_eq!(there.merge(&before), Merged::default());
    assert_eq!(there.merge(&here), Merged { changed: true, lost: vec![] });
    assert_eq!(here, there);
    // A node that was away brings the old table: nothing is created a second time.
    assert_eq!(here.merge(&before), Merged::default());
}

#[test]
fn a_deleted_feed_stays_deleted_whatever_another_side_changed() {
    let mut here = Table::default();
    let id = here.create(definition("a"), by(1, 10)).expect("room");
    let mut there = here.clone();
    here.delete(id, by(1, 20)).expect("it is there");
    there.restart(id, by(2, 30)).expect("it is there");
    assert!(there.merge(&here).lost.is_empty());
    here.merge(&there);
    assert_eq!((here.get(id), &here), (None, &there));
}

/// Feeds come and go for years: that there were many is no reason to refuse another.
#[test]
fn thousands_of_deleted_feeds_leave_room_for_the_next() {
    let mut table = Table::default();
    let stays = table.create(definition("stays"), by(1, 1)).expect("room");
    let mut away = table.clone();
    let mut old = Table::default();
    for nth in 1..3_000u32 {
        let id = table.create(definition("passes"), by(1, 10)).expect("room");
        assert_eq!(id, FeedId(nth), "no number is given twice");
        if nth == 5 {
            old = table.clone();
        }
        table.delete(id, by(1, 10)).expect("it is there");
    }
    assert!(table.encode().len() < CHANGED_BYTES_MAX / 2, "{} bytes", table.encode().len());
    assert_eq!(Table::decode(&table.encode()).expect("a table"), table);
    // A node that was away knows feeds that are long gone: they do not come back, there or here.
    for mut late in [old, away.clone()] {
        assert!(!table.clone().merge(&late).changed);
        let Merged { changed, lost } = late.merge(&table);
        assert_eq!((changed, lost, &late), (true, vec![], &table));
    }
    assert_eq!(table.feeds().map(|feed| feed.id).collect::<Vec<_>>(), [stays]);
    // One of the first numbers is deleted, while another side creates a feed.
    table.delete(stays, by(1, 20)).expect("it is there");
    away.merge(&table);
    let next = away.create(definition("next"), by(2, 30)).expect("room");
    assert_eq!((next, away.feeds().count()), (FeedId(3_000), 1));
    let (one, other) = (merged(&table, &away), merged(&away, &table));
    assert_eq!((&one, one.get(stays)), (&other, None));
}

/// Two sides that could not hear each other, one of which went through many feeds.
#[test]
fn tables_with_many_deleted_feeds_merge_alike_from_all_sides() {
    let mut base = Table::default();
    (0..4).for_each(|nth| drop(base.create(definition(&format!("f{nth}")), by(1, 1))));
    let [mut a, mut b, mut c] = [base.clone(), base.clone(), base];
    for nth in 0..400 {
        for (table, node) in [(&mut a, 1), (&mut b, 2)] {
            let id = table.create(definition("passes"), by(node, 10 + nth)).expect("room");
            table.delete(id, by(node, 11 + nth)).expect("it is there");
        }
    }
    a.delete(FeedId(1), by(1, 5)).expect("it is there");
    b.delete(FeedId(2), by(2, 6)).expect("it is there");
    c.create(definition("another"), by(3, 100_000)).expect("room");
    let all = merged(&merged(&a, &b), &c);
    assert_eq!(all, merged(&a, &merged(&b, &c)));
    assert_eq!(all, merged(&merged(&c, &b), &a));
    assert_eq!(all, merged(&all, &a));
    let left: Vec<u32> = all.feeds().map(|feed| feed.id.0).collect();
    assert_eq!(left, [0, 3, 4], "what was created later than all that is gone stays");
}

#[test]
fn too_many_feeds_of_two_sides_are_kept_and_the_first_eight_work() {
    let (mut here, mut there) = (Table::default(), Table::default());
    (0..3).for_each(|nth| drop(here.create(definition(&format!("a{nth}")), by(1, 10))));
    there.merge(&here);
    (0..5).for_each(|nth| drop(here.create(definition(&format!("b{nth}")), by(1, 20))));
    (0..5).for_each(|nth| drop(there.create(definition(&format!("c{nth}")), by(2, 30))));
    let lost = here.merge(&there).lost;
    assert_eq!(lost.len(), 5);
    assert_eq!(here.create(lost[0].definition.clone(), by(1, 40)), Err(TableError::TooMany));
    there.delete(FeedId(0), by(2, 50)).expect("it is there");
    let mut third = Table::default();
    (0..8).for_each(|nth| drop(third.create(definition(&format!("d{nth}")), by(3, 5))));
    third.delete(FeedId(7), by(3, 6)).expect("it is there");
    (0..1).for_each(|_| drop(third.create(definition("d9"), by(3, 7))));
    here.merge(&third);
    assert_eq!((here.feeds().count(), here.working().count()), (9, 8));
    assert!(here.working().all(|feed| feed.id < FeedId(8)));
}

#[test]
fn tables_that_differ_tell_it_though_their_newest_change_is_the_same() {
    let mut base = Table::default();
    let a = base.create(definition("a"), by(1, 10)).expect("room");
    let (mut here, mut there) = (base.clone(), base);
    here.pause(a, true, by(1, 20)).expect("it is there");
    there.create(definition("b"), by(2, 30)).expect("room");
    let mut both = here.clone();
    both.merge(&there);
    assert_eq!(both.version().number, there.version().number);
    assert_ne!(both.version(), there.version());
    assert_eq!(Table::default().version(), TableVersion::default());
}

/// What a side does while the others do not hear it.
#[derive(Debug, Clone)]
enum Act {
    Create(u8),
    Edit(u32, u8),
    Route(u32, u8),
    Pause(u32, bool),
    Restart(u32),
    Delete(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..12u8).prop_map(Act::Create),
        1 => (0..6u32, 0..12u8).prop_map(|(id, name)| Act::Edit(id, name)),
        3 => (0..6u32, 0..8u8).prop_map(|(id, how)| Act::Route(id, how)),
        1 => (0..6u32, any::<bool>()).prop_map(|(id, paused)| Act::Pause(id, paused)),
        1 => (0..6u32).prop_map(Act::Restart),
        2 => (0..6u32).prop_map(Act::Delete),
    ]
}

/// The definition with one other thing that it selects, or place that it goes to.
fn routed(of: &Definition, how: u8) -> Definition {
    let scope = |domain: &str| crate::scope::RawScope {
        domains: vec![domain.to_owned()],
        ..Default::default()
    };
    let change = match how {
        0 => RawFeed { scope: Some(scope("acme.example")), ..RawFeed::default() },
        1 => RawFeed { scope: Some(scope("b.example")), ..RawFeed::default() },
        2 => RawFeed { propagate_deletes: Some(false), ..RawFeed::default() },
        3 => RawFeed { propagate_deletes: Some(true), ..RawFeed::default() },
        4 => RawFeed { cluster_name: Some("south".to_owned()), ..RawFeed::default() },
        5 => RawFeed { cluster_name: Some("west".to_owned()), ..RawFeed::default() },
        6 => RawFeed { port: Some(81), ..RawFeed::default() },
        _ => RawFeed { mode: Some("get".to_owned()), ..RawFeed::default() },
    };
    edited(of, change)
}

/// Carries acts out one after the other; what a table refuses does not happen.
fn act_on(table: &mut Table, acts: &[(Act, u64)], node: u8) {
    for (act, ms) in acts {
        let (by, before, was) = (by(node, *ms), table.version().number, table.clone());
        let done = match act {
            Act::Create(name) => table.create(definition(&format!("feed-{name}")), by).map(drop),
            Act::Edit(id, name) => table.edit(FeedId(*id), definition(&format!("feed-{name}")), by),
            Act::Route(id, how) => {
                let old = table.get(FeedId(*id)).map(|feed| feed.definition.clone());
                table.edit(FeedId(*id), routed(&old.unwrap_or_else(|| definition("x")), *how), by)
            }
            Act::Pause(id, paused) => table.pause(FeedId(*id), *paused, by),
            Act::Restart(id) => table.restart(FeedId(*id), by),
            Act::Delete(id) => table.delete(FeedId(*id), by),
        };
        // An edit may find what it asks for.
        let stays = matches!(act, Act::Edit(..) | Act::Route(..)) && *table == was;
        assert_eq!(done.is_ok() && !stays, table.version().number > before, "{act:?}: {done:?}");
    }
}

/// Three sides of a cluster that had one table and then could not hear each other.
fn sides() -> impl Strategy<Value = [Table; 3]> {
    let acts = || prop::collection::vec((act(), 0..40u64), 0..6);
    (acts(), [acts(), acts(), acts()]).prop_map(|(before, after)| {
        let mut base = Table::default();
        act_on(&mut base, &before, 1);
        let mut node = 1;
        after.map(|acts| {
            let mut table = base.clone();
            act_on(&mut table, &acts, node);
            node += 1;
            table
        })
    })
}

fn merged(one: &Table, other: &Table) -> Table {
    let mut table = one.clone();
    let changed = table.merge(other).changed;
    assert_eq!(changed, &table != one);
    table
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent([a, b, c] in sides()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&a, &a), &a);
        let all = merged(&merged(&a, &b), &c);
        prop_assert_eq!(&merged(&all, &b), &all);
        prop_assert!(all.version().number >= a.version().number.max(c.version().number));
    }

    #[test]
    fn a_merge_drops_no_feed_without_telling_and_revives_none([a, b, _] in sides()) {
        let mut table = a.clone();
        let lost = table.merge(&b).lost;
        for feed in a.feeds() {
            let there = table.get(feed.id).is_some_and(|now| now.created == feed.created);
            let told = lost.iter().any(|one| one.id == feed.id && one.created == feed.created);
            let deleted = table.entries.get(&feed.id) == Some(&Entry::Gone { created: feed.created });
            prop_assert!(u8::from(there) + u8::from(told) + u8::from(deleted) == 1, "{feed:?}");
        }
        for (id, entry) in a.entries.iter().chain(&b.entries) {
            if let Entry::Gone { created } = entry {
                prop_assert!(table.get(*id).is_none_or(|feed| feed.created != *created));
            }
        }
    }

    #[test]
    fn tables_are_read_as_they_were_written([a, b, c] in sides()) {
        for table in [&a, &b, &merged(&merged(&a, &b), &c)] {
            let again = Table::decode(&table.encode()).expect("a table");
            prop_assert_eq!(&again, table);
            prop_assert_eq!(again.version(), table.version());
        }
        prop_assert_eq!(a.version() == b.version(), a == b);
    }

    #[test]
    fn no_number_is_given_twice([a, b, _] in sides(), ms in 0..40u64) {
        let mut table = merged(&a, &b);
        if let Ok(id) = table.create(definition("another"), by(9, ms)) {
            prop_assert!(!a.entries.contains_key(&id) && !b.entries.contains_key(&id));
        }
    }

    #[test]
    fn garbage_is_no_table_and_no_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Table::decode(&bytes).is_err());
        let mut marked = vec![VERSION];
        marked.extend(&bytes);
        prop_assert!(Table::decode(&marked).is_err());
    }

    #[test]
    fn a_damaged_table_does_not_make_the_reader_panic(
        [a, _, _] in sides(),
        at in any::<prop::sample::Index>(),
        byte: u8,
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = a.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop(Table::decode(&bytes));
        bytes.truncate(length.index(bytes.len()));
        prop_assert!(Table::decode(&bytes).is_err());
    }
}
