//! The tables of Lifepoint Metadata Headers as cases, and properties over arbitrary text.

use proptest::prelude::{
    Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use swarm_types::{HeaderList, ObjectKind, Timestamp, httpdate};

use super::Complaint::{BadConstraint, BadDate, DeleteTooSoon, Empty, NoClose};
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

/// Lifepoint Metadata Headers: "Lifepoints do not build upon one another: they stand alone as a complete specification of the
/// constraints that apply to the object in a given date range."
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
fn several_groups_on_one_line_are_split_at_their_brackets() {
    let line = ["[Sun, 31 Jan 2027 00:00:00 GMT] reps=4, [] delete"];
    check(&line, "", "4", &[]);
    check(&line, "01 Feb 2027 00:00:00", "policy delete", &[]);
    check(&["[Mon, 01 Mar 2027 00:00:00 GMT] reps=2,deletable=no ,\t[]"], "", "2 locked", &[Empty]);
}

/// Lifepoint Metadata Headers: "This means the indicated time must be specified in Greenwich Mean Time (GMT)."
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
fn an_ill_formed_constraint_protects_nothing() {
    check(&["[] delete, deletable=nope"], "", "policy delete", &[BadConstraint]);
}

#[test]
fn a_report_has_a_limit_and_what_was_lost_counts_beyond_it() {
    let many = format!("[] delete{}", ", [x]".repeat(3_000));
    let (lifecycle, found) = parse_lifecycle([many.as_bytes()], written());
    assert_eq!(found.len(), 20);
    assert!(!lifecycle.at(written()).delete);
    let flawed = format!("[] {}, delete", vec!["x"; 3_000].join(","));
    let late = "[Mon, 01 Mar 2027 00:00:00 UTC] reps=3";
    let (lifecycle, _) = parse_lifecycle([flawed.as_bytes(), late.as_bytes()], written());
    assert!(!lifecycle.at(written()).delete, "the lost group is not among the first complaints");
}

#[test]
fn what_could_not_be_read_deletes_nothing() {
    let until_when = ["[Mon, 01 Mar 2027 00:00:00 UTC] reps=3", "[] delete"];
    check(&until_when, "", "policy", &[BadDate, DeleteTooSoon]);
    check(&until_when, "01 Jan 2100 00:00:00", "policy", &[BadDate, DeleteTooSoon]);
    check(&["[] delete, [Mon, 01 Mar"], "", "policy", &[NoClose, DeleteTooSoon]);
    let no_comma = ["[] reps=3 [Mon, delete"];
    check(&no_comma, "", "policy", &[BadConstraint, DeleteTooSoon]);
}

/// Lifepoint Metadata Headers: "Swarm accepts an invalid lifepoint and later logs an error if the HP cannot parse the lifepoint."
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
    let line = "lifepoint \"reps=many\" cannot be parsed: no such constraint or value, ignored \
                (LP_BAD_CONSTRAINT)";
    assert_eq!(found[0].to_string(), line);
    let (_, found) = parse_lifecycle([&b"[x\r\ny] reps=3"[..]], written());
    let line = "lifepoint \"[x\\r\\ny] reps=3\" cannot be parsed: its end is not an HTTP date in GMT \
                (LP_BAD_DATE)";
    assert_eq!(found[0].to_string(), line, "one line, whatever was stored");
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

/// Lifepoint Metadata Headers: "Swarm does not allow lifepoint-triggered deletes of contexts (domains and bucket objects)."
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

    /// Judged by eye and not by grammar: without the two tokens side by side in one group, nothing deletes.
    #[test]
    fn nothing_deletes_but_an_open_delete(
        values in prop::collection::vec(any_text(), 0..4),
        now in any::<i64>().prop_map(Timestamp),
    ) {
        let (lifecycle, _) = parse_lifecycle(values.iter().map(Vec::as_slice), written());
        let well_formed = values.iter().any(|value| {
            let text: String = String::from_utf8_lossy(value).to_lowercase();
            let text: String = text.chars().filter(|c| !" \t".contains(*c)).collect();
            text.split('[').any(|group| {
                let constraints = group.strip_prefix(']').unwrap_or("");
                constraints.split(',').any(|constraint| constraint == "delete")
            })
        });
        prop_assert!(well_formed || !lifecycle.at(now).delete, "{:?}", values);
    }

    /// One line, one header each, any order: the same lifecycle, as long as no two ends are equal.
    #[test]
    fn lines_and_order_do_not_matter(
        lifepoints in prop::collection::btree_map(
            prop::option::of((0..9_000_000_000i64).prop_map(Timestamp::from_secs)),
            any_lifepoint(),
            0..6,
        ),
        shuffle in any::<u64>(),
        lines in prop::collection::vec(any::<bool>(), 6),
    ) {
        let in_order: Vec<Lifepoint> = lifepoints
            .into_iter()
            .map(|(end, lifepoint)| {
                Lifepoint { end, delete: lifepoint.delete && end.is_none(), ..lifepoint }
            })
            .collect();
        let sorted = {
            let mut sorted = in_order.clone();
            sorted.sort_by_key(|lifepoint| (lifepoint.end.is_none(), lifepoint.end));
            sorted
        };
        let mut given: Vec<String> = in_order.iter().map(ToString::to_string).collect();
        for at in (1..given.len()).rev() {
            let other = usize::try_from(shuffle.rotate_left(7 * u32::try_from(at).unwrap_or(0)) % (at as u64 + 1));
            given.swap(at, other.unwrap_or(0));
        }
        let mut values: Vec<String> = Vec::new();
        for (text, own_line) in given.into_iter().zip(lines) {
            match values.last_mut() {
                Some(line) if !own_line => *line = format!("{line} ,\t{text}"),
                _ => values.push(text),
            }
        }
        let (lifecycle, _) = read(&values.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(lifecycle.lifepoints, sorted);
    }

    /// What one lifepoint leaves open is never taken from another.
    #[test]
    fn each_lifepoint_stands_alone(
        lifepoints in prop::collection::vec(any_lifepoint(), 1..5),
        now in (0..9_000_000_000i64).prop_map(Timestamp::from_secs),
    ) {
        let text: Vec<String> = lifepoints.iter().map(ToString::to_string).collect();
        let (lifecycle, _) = read(&text.iter().map(String::as_str).collect::<Vec<_>>());
        let effective = lifecycle.at(now);
        let whose = lifecycle.lifepoints.iter().find(|lifepoint| lifepoint.end == effective.until);
        if let Some(whose) = whose.filter(|whose| whose.end.is_none_or(|end| now < end)) {
            let (alone, _) = read(&[&whose.to_string()]);
            prop_assert_eq!(alone.at(now), effective);
        }
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
