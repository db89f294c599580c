//! What lifepoints and policy demand, row by row, and properties over arbitrary lifepoints.
//!
//! The rows are numbered as in the project's table of evaluations; those that need erasure coding (E3, E4, E19, E20) are
//! here as far as whole replicas go.

use proptest::prelude::{
    Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use swarm_types::{HeaderList, ObjectKind, Timestamp, httpdate};

use super::*;
use crate::lifepoint::Severity;
use crate::parse_lifecycle;

/// Three years in the life of one object.
const A: &[&str] = &[
    "[Mon, 01 Mar 2027 00:00:00 GMT] reps=3, deletable=no",
    "[Wed, 01 Sep 2027 00:00:00 GMT] reps=5:2, deletable=yes",
    "[] delete",
];

fn at(date: &str) -> Timestamp {
    httpdate::parse(&format!("Mon, {date} GMT"), Timestamp::default())
        .expect("a date of the test's")
}

fn written() -> Timestamp {
    at("15 Jun 2026 12:00:00")
}

fn headers(values: &[&str]) -> HeaderList {
    let mut headers = HeaderList::default();
    for value in values {
        headers.push("Lifepoint", value.as_bytes().to_vec());
    }
    headers
}

fn rules(policy: &str) -> CopyRules {
    CopyRules { replicas: policy.parse().expect("a policy"), ..CopyRules::default() }
}

/// A row of the table: what is demanded of a named object, and what the log says of it.
#[track_caller]
fn row(values: &[&str], date: &str, expected: &str, log: &[&str]) {
    row_of(ObjectKind::Named, values, date, expected, log);
}

#[track_caller]
fn row_of(kind: ObjectKind, values: &[&str], date: &str, expected: &str, log: &[&str]) {
    let rules = rules("min:2 max:16 default:2");
    let now = if date == "any" { written() } else { at(date) };
    let (lifecycle, _) = Lifecycle::of_headers(&headers(values), written());
    let told = match demand(kind, &lifecycle, &rules, now) {
        Demand::Keep { copies, deletable: true, .. } => format!("{copies}"),
        Demand::Keep { copies, deletable: false, .. } => format!("{copies}, no DELETE"),
        Demand::End => "deleted".to_owned(),
    };
    assert_eq!(told, expected, "{values:?}");
    let found = diagnose(kind, &headers(values), written(), &rules);
    let codes: Vec<&str> = found.iter().map(|diagnostic| diagnostic.complaint.code()).collect();
    assert_eq!(codes, log, "{values:?}");
}

#[test]
fn e1_the_first_lifepoint_holds_from_the_writing_on() {
    row(A, "15 Jun 2026 12:00:00", "3, no DELETE", &["LP_CODED"]);
}

#[test]
fn e2_it_holds_until_the_last_second() {
    row(A, "28 Feb 2027 23:59:59", "3, no DELETE", &["LP_CODED"]);
}

#[test]
fn e3_at_its_end_the_next_one_holds() {
    row(A, "01 Mar 2027 00:00:00", "3", &["LP_CODED"]);
}

#[test]
fn e4_and_holds_until_its_own_end() {
    row(A, "31 Aug 2027 23:59:59", "3", &["LP_CODED"]);
}

#[test]
fn e5_the_open_delete_ends_the_object() {
    row(A, "01 Sep 2027 00:00:00", "deleted", &["LP_CODED"]);
    row(A, "01 Sep 2097 00:00:00", "deleted", &["LP_CODED"]);
}

#[test]
fn e6_without_lifepoints_the_policy_decides() {
    row(&[], "any", "2", &[]);
}

#[test]
fn e7_an_open_lifepoint_holds_for_ever() {
    row(&["[] reps=3, deletable=yes"], "any", "3", &[]);
    row(&["[] reps=3, deletable=yes"], "01 Jan 2200 00:00:00", "3", &[]);
}

#[test]
fn e8_the_policy_raises_too_few_replicas() {
    row(&["[] reps=1"], "any", "2", &[]);
}

#[test]
fn e9_the_policy_lowers_too_many_replicas() {
    row(&["[] reps=20"], "any", "16", &["LP_ABOVE_MAX"]);
}

/// Lifepoint Metadata Headers: "Do not use deletable= without reps=".
#[test]
fn e10_deletable_without_reps_keeps_the_default() {
    row(&["[] deletable=no"], "any", "2, no DELETE", &["LP_NO_REPS"]);
}

#[test]
fn e11_lifepoints_with_one_end_are_not_merged() {
    row(&["[] reps=1", "[] deletable=no"], "any", "2", &["LP_NO_REPS", "LP_DUP_END"]);
}

#[test]
fn e12_a_dated_delete_does_not_delete_before_its_date() {
    let dated = ["[Mon, 01 Mar 2027 00:00:00 GMT] delete"];
    row(&dated, "01 Dec 2026 00:00:00", "2", &["LP_BAD_CONSTRAINT", "LP_EMPTY"]);
}

#[test]
fn e13_nor_after_it() {
    let dated = ["[Mon, 01 Mar 2027 00:00:00 GMT] delete"];
    row(&dated, "01 Apr 2027 00:00:00", "2", &["LP_BAD_CONSTRAINT", "LP_EMPTY"]);
}

#[test]
fn e14_after_the_last_dated_lifepoint_the_policy_decides() {
    row(&["[Mon, 01 Mar 2027 00:00:00 GMT] reps=3"], "01 Jun 2027 00:00:00", "2", &[]);
}

#[test]
fn e15_contexts_are_never_ended() {
    let log = ["LP_CONTEXT_DELETE", "LP_CONTEXT_CODED"];
    for kind in [ObjectKind::Bucket, ObjectKind::Domain] {
        row_of(kind, A, "01 Oct 2027 00:00:00", "3", &log);
        row_of(kind, A, "01 Apr 2027 00:00:00", "3", &log);
        row_of(kind, &["[] reps=1"], "any", "1", &[]);
        row_of(kind, &["[] reps=40, deletable=no"], "any", "16, no DELETE", &["LP_ABOVE_MAX"]);
    }
}

#[test]
fn e16_who_says_both_delete_and_deletable_no_keeps_the_object() {
    row(&["[] delete, deletable=no"], "any", "2, no DELETE", &["LP_CONFLICT"]);
}

#[test]
fn e17_a_bad_date_makes_its_lifepoint_void() {
    row(&["[Mon, 99 Mar 2027 00:00:00 GMT] reps=4"], "any", "2", &["LP_BAD_DATE"]);
}

#[test]
fn e18_an_encoding_is_worth_one_replica_more_than_its_parity() {
    row(&["[] reps=5:2"], "any", "3", &["LP_CODED"]);
}

#[test]
fn e19_an_encoding_is_worth_the_same_whatever_its_data_segments() {
    row(&["[] reps=20:2"], "any", "3", &["LP_CODED"]);
    row(&["[] reps=5:20"], "any", "16", &["LP_CODED", "LP_ABOVE_MAX"]);
}

/// Lifepoint Metadata Headers: "To convert a chunked upload, specify two lifepoints: have the first specify an EC encoding expiring
/// in one day, and have the second specify the number of replicas going forward."
#[test]
fn e20_an_encoding_for_a_day_gives_way_to_replicas() {
    let day = ["[Tue, 16 Jun 2026 12:00:00 GMT] reps=5:3", "[] reps=3"];
    row(&day, "any", "4", &["LP_CODED"]);
    row(&day, "16 Jun 2026 12:00:00", "3", &["LP_CODED"]);
}

#[test]
fn e21_whole_replicas_are_what_a_chunked_write_is_told_about() {
    let (lifecycle, _) = Lifecycle::of_headers(&headers(&["[] reps=3"]), written());
    assert_eq!(lifecycle.at(written()).reps, Some(Reps::Whole(3)));
}

#[test]
fn e22_several_lifepoints_stand_on_one_line() {
    let line = ["[Sun, 31 Jan 2027 00:00:00 GMT] reps=4, [] delete"];
    row(&line, "any", "4", &[]);
    row(&line, "01 Feb 2027 00:00:00", "deleted", &[]);
}

#[test]
fn e23_lifepoints_are_sorted_by_their_ends() {
    let swapped =
        ["[Wed, 01 Sep 2027 00:00:00 GMT] reps=2", "[Mon, 01 Mar 2027 00:00:00 GMT] reps=4"];
    row(&swapped, "01 Jan 2027 00:00:00", "4", &[]);
    row(&swapped, "01 Apr 2027 00:00:00", "2", &[]);
}

fn keep_until(values: &[&str], policy: &str, now: &str) -> Option<Timestamp> {
    let (lifecycle, _) = Lifecycle::of_headers(&headers(values), written());
    match demand(ObjectKind::Named, &lifecycle, &rules(policy), at(now)) {
        Demand::Keep { until, .. } => until,
        Demand::End => panic!("{values:?} has ended"),
    }
}

#[test]
fn the_next_change_skips_ends_at_which_nothing_changes() {
    let same = [
        "[Mon, 01 Mar 2027 00:00:00 GMT] reps=3",
        "[Wed, 01 Sep 2027 00:00:00 GMT] reps=3, deletable=yes",
        "[] reps=1",
    ];
    let (lifecycle, _) = Lifecycle::of_headers(&headers(&same), written());
    let spring = at("01 Mar 2027 00:00:00");
    let autumn = at("01 Sep 2027 00:00:00");
    // Saying `deletable=yes` is saying nothing new.
    assert_eq!(lifecycle.next_change(written()), Some(autumn));
    assert_eq!(lifecycle.next_change(spring), Some(autumn));
    assert_eq!(lifecycle.next_change(autumn), None);
    assert_eq!(keep_until(&same, "min:1 max:16 default:2", "15 Jun 2026 12:00:00"), Some(autumn));
    // A policy that makes one number of all makes the change none.
    assert_eq!(keep_until(&same, "min:3 max:3 default:3", "15 Jun 2026 12:00:00"), None);
}

#[test]
fn the_last_dated_lifepoint_changes_into_the_defaults() {
    let dated = ["[Mon, 01 Mar 2027 00:00:00 GMT] reps=3"];
    let spring = at("01 Mar 2027 00:00:00");
    assert_eq!(keep_until(&dated, "min:2 max:16 default:2", "15 Jun 2026 12:00:00"), Some(spring));
    assert_eq!(keep_until(&dated, "min:2 max:16 default:3", "15 Jun 2026 12:00:00"), None);
    assert_eq!(keep_until(&dated, "min:2 max:16 default:2", "01 Mar 2027 00:00:00"), None);
    let nothing = ["[Mon, 01 Mar 2027 00:00:00 GMT] deletable=yes"];
    let (lifecycle, _) = Lifecycle::of_headers(&headers(&nothing), written());
    assert_eq!(lifecycle.next_change(written()), None);
}

#[test]
fn without_lifepoints_nothing_ever_changes() {
    let (lifecycle, found) = Lifecycle::of_headers(&HeaderList::default(), written());
    assert!(lifecycle.is_empty());
    assert_eq!((lifecycle.next_change(written()), found), (None, vec![]));
}

#[test]
fn what_is_overruled_is_told_once_for_each_object() {
    let twice = ["[Mon, 01 Mar 2027 00:00:00 GMT] reps=5:2", "[] reps=6:3"];
    let rules = CopyRules::default();
    let found = diagnose(ObjectKind::Alias, &headers(&twice), written(), &rules);
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["lifepoint \"[Mon, 01 Mar 2027 00:00:00 GMT] reps=5:2\" asks for erasure coding, \
          kept as p + 1 replicas (LP_CODED)"]
    );
    assert_eq!(found[0].severity(), Severity::Warning);
}

fn any_kind() -> impl Strategy<Value = ObjectKind> {
    prop_oneof![
        Just(ObjectKind::Immutable),
        Just(ObjectKind::Alias),
        Just(ObjectKind::Named),
        Just(ObjectKind::Bucket),
        Just(ObjectKind::Domain),
    ]
}

fn any_rules() -> impl Strategy<Value = CopyRules> {
    (1..=4u32, 0..=4u32, 0..=8u32, 1..=5u32, 1..=16u32).prop_map(
        |(min, more, most, context_default, context_max)| CopyRules {
            replicas: ReplicaPolicy {
                min,
                max: min + more + most,
                default: min + more,
                anchored: true,
            },
            context_default,
            context_max,
        },
    )
}

/// Lifepoints as clients write them, with ends of one span of a few days.
fn any_value() -> impl Strategy<Value = String> {
    let end = prop_oneof![
        Just(String::new()),
        (0..20i64).prop_map(|days| {
            httpdate::format(Timestamp::from_secs(1_781_524_800 + 86_400 * days))
        }),
    ];
    let constraints = prop::collection::vec(
        prop_oneof![
            (0..20u32).prop_map(|count| format!("reps={count}")),
            (1..9u32, 1..9u32).prop_map(|(k, p)| format!("reps={k}:{p}")),
            Just("deletable=no".to_owned()),
            Just("deletable=yes".to_owned()),
            Just("delete".to_owned()),
        ],
        0..3,
    );
    (end, constraints).prop_map(|(end, constraints)| format!("[{end}] {}", constraints.join(", ")))
}

proptest! {
    /// The instant that is told is the first at which anything changes: no sooner, no later.
    #[test]
    fn what_is_demanded_holds_until_the_instant_that_is_told(
        kind in any_kind(),
        rules in any_rules(),
        values in prop::collection::vec(any_value(), 0..5),
        now in (-3..25i64).prop_map(|days| Timestamp::from_secs(1_781_524_800 + 86_400 * days)),
    ) {
        let (lifecycle, _) = parse_lifecycle(values.iter().map(|value| value.as_bytes()), now);
        let what = |instant| match demand(kind, &lifecycle, &rules, instant) {
            Demand::Keep { copies, deletable, until: _ } => Some((copies, deletable)),
            Demand::End => None,
        };
        let until = match demand(kind, &lifecycle, &rules, now) {
            Demand::Keep { until, .. } => until,
            Demand::End => None,
        };
        // Every end lies at a midnight of the span, so looking at each is looking at all.
        for day in -3..25 {
            let instant = Timestamp::from_secs(1_781_524_800 + 86_400 * day);
            if instant >= now && until.is_none_or(|until| instant < until) {
                prop_assert_eq!(what(instant), what(now));
            }
        }
        if let Some(until) = until {
            prop_assert!(until > now);
            prop_assert!(what(until) != what(now));
            prop_assert_eq!(what(Timestamp(until.0 - 1)), what(now));
        }
    }

    /// Copies stay within the limits, contexts never end, and what has ended stays so.
    #[test]
    fn demands_stay_within_the_rules(
        kind in any_kind(),
        rules in any_rules(),
        values in prop::collection::vec(any_value(), 0..5),
        now in any::<i64>().prop_map(Timestamp),
        later in any::<i64>().prop_map(Timestamp),
    ) {
        let (lifecycle, _) = parse_lifecycle(values.iter().map(|value| value.as_bytes()), now);
        match demand(kind, &lifecycle, &rules, now) {
            Demand::Keep { copies, .. } if kind.is_context() => {
                prop_assert!((1..=rules.context_max.max(1)).contains(&copies));
            }
            Demand::Keep { copies, .. } => {
                prop_assert!((rules.replicas.min..=rules.replicas.max).contains(&copies));
            }
            Demand::End => {
                prop_assert!(!kind.is_context());
                prop_assert!(later < now || demand(kind, &lifecycle, &rules, later).has_ended());
            }
        }
    }

    /// Whatever the headers hold, the log is short and its lines are.
    #[test]
    fn the_log_stays_short(
        kind in any_kind(),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 0..4),
    ) {
        let mut headers = HeaderList::default();
        for value in values {
            headers.push("Lifepoint", value);
        }
        let found = diagnose(kind, &headers, written(), &CopyRules::default());
        prop_assert!(found.len() <= 24);
        prop_assert!(found.iter().all(|diagnostic| diagnostic.text.chars().count() <= 80));
    }
}
