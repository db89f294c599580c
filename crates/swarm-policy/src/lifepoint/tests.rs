//! The tables of Lifepoint Metadata Headers as cases, and properties over arbitrary text.

use proptest::prelude::{
    Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use swarm_types::{HeaderList, ObjectKind, Timestamp, httpdate};

use super::Complaint::{
    BadConstraint, BadDate, Conflict, DeleteTooSoon, DuplicateConstraint, DuplicateEnd, Empty,
    NoBracket, NoClose, NoReps,
};
use super::{Complaint, Effective, Lifecycle, Lifepoint, Reps, Severity, parse_lifecycle};

const A: [&str; 3] = [
    "[Mon, 01 Mar 2027 00:00:00 GMT] reps=3, deletable=no",
    "[Wed, 01 Sep 2027 00:00:00 GMT] reps=5:2, deletable=yes",
    "[] delete",
];

fn at(date: &str) -> Timestamp {
    let text = format!("Mon, {date} GMT");
    httpdate::parse(&text, Timestamp::default()).expect("the test's own date")
}

fn written() -> Timestamp {
    at("15 Jun 2026 12:00:00")
}

fn read(values: &[&str]) -> (Lifecycle, Vec<Complaint>) {
    let (lifecycle, found) =
        parse_lifecycle(values.iter().map(|value| value.as_bytes()), written());
    (lifecycle, found.into_iter().map(|diagnostic| diagnostic.complaint).collect())
}

/// What holds at `date` (at writing if empty), as `reps deletable delete`, and the complaints.
fn check(values: &[&str], date: &str, expected: &str, complaints: &[Complaint]) {
    let (lifecycle, found) = read(values);
    let now = if date.is_empty() { written() } else { at(date) };
    let Effective { reps, deletable, delete, until: _ } = lifecycle.at(now);
    let reps = reps.map_or("policy".to_owned(), |reps| reps.to_string());
    let mut text = vec![reps];
    text.extend((!deletable).then(|| "locked".to_owned()));
    text.extend(delete.then(|| "delete".to_owned()));
    assert_eq!(text.join(" "), expected, "{values:?} at {now:?}");
    assert_eq!(found, complaints, "{values:?}");
}

#[test]
fn a_lifecycle_moves_from_one_lifepoint_to_the_next_at_its_end() {
    check(&A, "15 Jun 2026 12:00:00", "3 locked", &[]);
    check(&A, "28 Feb 2027 23:59:59", "3 locked", &[]);
    check(&A, "01 Mar 2027 00:00:00", "5:2", &[]);
    check(&A, "31 Aug 2027 23:59:59", "5:2", &[]);
    check(&A, "01 Sep 2027 00:00:00", "policy delete", &[]);
    let (lifecycle, _) = read(&A);
    assert_eq!(lifecycle.at(written()).until, Some(at("01 Mar 2027 00:00:00")));
    assert_eq!(lifecycle.at(at("01 Sep 2027 00:00:00")).until, None);
}

#[test]
fn without_a_lifepoint_in_force_the_defaults_hold() {
    check(&[], "", "policy", &[]);
    check(&["[Mon, 01 Mar 2027 00:00:00 GMT] reps=3"], "01 Jun 2027 00:00:00", "policy", &[]);
}

#[test]
fn open_lifepoints_hold_for_ever() {
    check(&["[] reps=3, deletable=yes"], "", "3", &[]);
    check(&["[] reps=1"], "", "1", &[]);
    check(&["[] reps=20"], "", "20", &[]);
    check(&["[] deletable=no"], "", "policy locked", &[NoReps]);
}

#[test]
fn lifepoints_with_one_end_are_never_merged() {
    check(&["[] reps=1", "[] deletable=no"], "", "1", &[NoReps, DuplicateEnd]);
}

#[test]
fn a_dated_delete_deletes_nothing() {
    let dated = ["[Mon, 01 Mar 2027 00:00:00 GMT] delete"];
    check(&dated, "01 Dec 2026 00:00:00", "policy", &[BadConstraint, Empty]);
    check(&dated, "01 Apr 2027 00:00:00", "policy", &[BadConstraint, Empty]);
}

#[test]
fn a_writer_who_contradicts_himself_keeps_the_object() {
    check(&["[] delete, deletable=no"], "", "policy locked", &[Conflict]);
}

#[test]
fn several_groups_on_one_line_are_split_at_their_brackets() {
    let line = ["[Sun, 31 Jan 2027 00:00:00 GMT] reps=4, [] delete"];
    check(&line, "", "4", &[]);
    check(&line, "01 Feb 2027 00:00:00", "policy delete", &[]);
    check(&["[Mon, 01 Mar 2027 00:00:00 GMT] reps=2,deletable=no ,\t[]"], "", "2 locked", &[Empty]);
}

#[test]
fn lifepoints_are_sorted_by_their_ends() {
    let swapped =
        ["[Wed, 01 Sep 2027 00:00:00 GMT] reps=2", "[Mon, 01 Mar 2027 00:00:00 GMT] reps=4"];
    check(&swapped, "01 Jan 2027 00:00:00", "4", &[]);
    check(&swapped, "01 Apr 2027 00:00:00", "2", &[]);
}

#[test]
fn all_forms_of_a_date_mean_the_same() {
    for value in [
        "[Mon, 01 Mar 2027 00:00:00 GMT] reps=3",
        "[Monday, 01-Mar-27 00:00:00 GMT] reps=3",
        "[Mon Mar  1 00:00:00 2027] reps=3",
        "[Fri, 01 Mar 2027 00:00:00 GMT] reps=3",
    ] {
        check(&[value], "28 Feb 2027 23:59:59", "3", &[]);
        check(&[value], "01 Mar 2027 00:00:00", "policy", &[]);
    }
    check(&["[Tue, 29 Feb 2028 00:00:00 GMT] reps=3"], "", "3", &[]);
}

#[test]
fn a_group_with_a_bad_date_is_dropped() {
    for value in [
        "[Mon, 01 Mar 2027 00:00:00 UTC] reps=3",
        "[Mon, 01 Mar 2027 01:00:00 +0100] reps=3",
        "[2027-03-01T00:00:00Z] reps=3",
        "[Mon, 29 Feb 2027 00:00:00 GMT] reps=3",
        "[Mon, 99 Mar 2027 00:00:00 GMT] reps=4",
        "[[] reps=3",
    ] {
        check(&[value], "", "policy", &[BadDate]);
    }
}

#[test]
fn spelling_is_free() {
    for value in
        ["[] reps=3,deletable=no", "[]reps=3,deletable=no", " [ ] REPS = 3 , Deletable = NO "]
    {
        check(&[value], "", "3 locked", &[]);
    }
    check(&["[] reps=03"], "", "3", &[]);
    check(&["[] reps=5 : 2"], "", "5:2", &[]);
    check(&["[] deletable"], "", "policy", &[NoReps]);
    check(&["[] delete"], "", "policy delete", &[]);
    check(&["[] reps=2, deletable=false"], "", "2 locked", &[]);
}

#[test]
fn bad_constraints_are_dropped_one_by_one() {
    for value in [
        "[] reps=5:",
        "[] reps=:2",
        "[] reps=-1",
        "[] reps=three",
        "[] reps=0",
        "[] reps",
        "[] reps=100000",
        "[] reps=5:0",
        "[] reps=5:2:1",
        "[] delete=yes",
        "[] delete=",
        "[] deletable=maybe",
        "[] deletesafe",
        "[] frobnicate=7",
    ] {
        check(&[value], "", "policy", &[BadConstraint, Empty]);
    }
    check(&["[] reps=3, deletesafe"], "", "3", &[BadConstraint]);
    check(&["[] reps=3, reps=4"], "", "3", &[DuplicateConstraint]);
    check(&["[] delete, delete"], "", "policy delete", &[DuplicateConstraint]);
    // Not understood, so it protects nothing.
    check(&["[] delete, deletable=nope"], "", "policy delete", &[BadConstraint]);
}

#[test]
fn values_without_brackets_are_not_read() {
    check(&["reps=3"], "", "policy", &[NoBracket]);
    check(&["[Mon, 01 Mar 2027 00:00:00 GMT reps=3"], "", "policy", &[NoClose]);
    check(&["[]"], "", "policy", &[Empty]);
    check(&[""], "", "policy", &[Empty]);
}

#[test]
fn what_could_not_be_read_deletes_nothing() {
    let until_when = ["[Mon, 01 Mar 2027 00:00:00 UTC] reps=3", "[] delete"];
    check(&until_when, "", "policy", &[BadDate, DeleteTooSoon]);
    check(&until_when, "01 Jan 2100 00:00:00", "policy", &[BadDate, DeleteTooSoon]);
    check(&["[] delete, [Mon, 01 Mar"], "", "policy", &[NoClose, DeleteTooSoon]);
}

#[test]
fn the_log_is_louder_about_lost_groups() {
    assert_eq!(BadDate.severity(), Severity::Error);
    assert_eq!(BadConstraint.severity(), Severity::Warning);
}

#[test]
fn diagnostics_quote_the_text_briefly() {
    let long = format!("[] {}", "x".repeat(10_000));
    let (_, found) = parse_lifecycle([long.as_bytes()], written());
    let lengths: Vec<usize> = found.iter().map(|diagnostic| diagnostic.text.len()).collect();
    assert_eq!(lengths, [80, 80]);
    let (_, found) = parse_lifecycle([&b"[] reps=many"[..]], written());
    assert_eq!(found[0].to_string(), "an unknown constraint or value is ignored: \"reps=many\"");
}

#[test]
fn headers_are_found_in_any_case_and_in_order() {
    let mut headers = HeaderList::default();
    headers.push("lifepoint", &b"[] reps=4"[..]);
    headers.push("X-Other-Meta", &b"[] reps=5"[..]);
    headers.push("LIFEPOINT", &b"[] reps=6"[..]);
    let (lifecycle, found) = Lifecycle::of_headers(&headers, written());
    assert_eq!(lifecycle.at(written()).reps, Some(Reps::Whole(4)));
    assert_eq!(found.len(), 1);
}

#[test]
fn contexts_neither_end_by_lifepoint_nor_are_erasure_coded() {
    let (lifecycle, _) = read(&A);
    let ended = lifecycle.at(at("01 Oct 2027 00:00:00"));
    assert!(ended.for_kind(ObjectKind::Named).delete);
    assert!(!ended.for_kind(ObjectKind::Bucket).delete);
    let coded = lifecycle.at(at("01 Apr 2027 00:00:00")).for_kind(ObjectKind::Domain);
    assert_eq!(coded.reps, None);
    let whole = lifecycle.at(written()).for_kind(ObjectKind::Domain);
    assert_eq!((whole.reps, whole.deletable), (Some(Reps::Whole(3)), false));
}

fn any_reps() -> impl Strategy<Value = Reps> {
    prop_oneof![
        (1..=99_999u32).prop_map(Reps::Whole),
        (1..=999u16, 1..=999u16).prop_map(|(k, p)| Reps::Coded { k, p }),
    ]
}

fn any_lifepoint() -> impl Strategy<Value = Lifepoint> {
    let end = prop::option::of((0..9_000_000_000i64).prop_map(Timestamp::from_secs));
    (end, prop::option::of(any_reps()), any::<Option<bool>>(), any::<bool>()).prop_map(
        |(end, reps, deletable, delete)| {
            let delete = delete && end.is_none();
            Lifepoint { end, reps, deletable, delete }
        },
    )
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"[".to_vec()),
        Just(b"]".to_vec()),
        Just(b", ".to_vec()),
        Just(b"[Mon, 01 Mar 2027 00:00:00 GMT]".to_vec()),
        Just(b"[Monday, 01-Mar-77 00:00:00 GMT]".to_vec()),
        Just(b"[] ".to_vec()),
        Just(b"delete".to_vec()),
        Just(b"deletable=no".to_vec()),
        Just(b"reps=5:2".to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_rendered_parses_back(lifepoint in any_lifepoint()) {
        let (lifecycle, _) = read(&[&lifepoint.to_string()]);
        prop_assert_eq!(lifecycle.lifepoints, vec![lifepoint]);
    }

    #[test]
    fn any_text_gives_ascending_windows_of_which_only_the_last_deletes(
        values in prop::collection::vec(any_text(), 0..4),
    ) {
        let (lifecycle, found) = parse_lifecycle(values.iter().map(Vec::as_slice), written());
        let ends: Vec<_> = lifecycle.lifepoints.iter().map(|lifepoint| lifepoint.end).collect();
        prop_assert!(ends.windows(2).all(|pair| pair[0].is_some() && (pair[1].is_none() || pair[0] < pair[1])));
        prop_assert!(lifecycle.lifepoints.iter().all(|lifepoint| !lifepoint.delete || lifepoint.end.is_none()));
        let lost_a_group = found.iter().any(|diagnostic| diagnostic.complaint.severity() == Severity::Error);
        prop_assert!(!lost_a_group || lifecycle.lifepoints.iter().all(|lifepoint| !lifepoint.delete));
    }

    #[test]
    fn what_holds_changes_at_ends_only(
        lifepoints in prop::collection::vec(any_lifepoint(), 0..5),
        now in (0..9_000_000_000i64).prop_map(Timestamp::from_secs),
    ) {
        let text: Vec<String> = lifepoints.iter().map(ToString::to_string).collect();
        let (lifecycle, _) = read(&text.iter().map(String::as_str).collect::<Vec<_>>());
        let effective = lifecycle.at(now);
        match effective.until {
            Some(until) => {
                prop_assert!(now < until);
                prop_assert_eq!(lifecycle.at(Timestamp(until.0 - 1)), effective);
                prop_assert!(lifecycle.at(until) != effective);
            }
            None => prop_assert_eq!(lifecycle.at(Timestamp(i64::MAX)), effective),
        }
    }
}
