//! The parser, vector by vector: one test for each spelling that the documentation shows or leaves open.

use swarm_types::{Timestamp, httpdate};

use super::{Lifecycle, Lifepoint, Reps, parse_lifecycle};

/// 15 June 2026, noon.
const WRITTEN: Timestamp = Timestamp::from_secs(1_781_524_800);
/// 1 March 2027, midnight.
const MARCH: Timestamp = Timestamp::from_secs(1_803_859_200);

fn read(value: &str) -> (Vec<Lifepoint>, Vec<&'static str>) {
    let (Lifecycle { lifepoints }, found) = parse_lifecycle([value.as_bytes()], WRITTEN);
    (lifepoints, found.iter().map(|diagnostic| diagnostic.complaint.code()).collect())
}

fn whole(end: Option<Timestamp>, count: u32) -> Lifepoint {
    Lifepoint { end, reps: Some(Reps::Whole(count)), ..Lifepoint::default() }
}

/// Reads as exactly this lifepoint, with these words in the log.
#[track_caller]
fn reads(value: &str, expected: &Lifepoint, log: &[&str]) {
    assert_eq!(read(value), (vec![expected.clone()], log.to_vec()), "{value}");
}

/// Leaves no lifepoint at all.
#[track_caller]
fn is_lost(value: &str, log: &[&str]) {
    assert_eq!(read(value), (vec![], log.to_vec()), "{value}");
}

/// Leaves an open lifepoint without a constraint, because the one that it states is ill-formed.
#[track_caller]
fn is_emptied(value: &str) {
    reads(value, &Lifepoint::default(), &["LP_BAD_CONSTRAINT", "LP_EMPTY"]);
}

#[test]
fn imf_fixdate() {
    reads("[Mon, 01 Mar 2027 00:00:00 GMT] reps=3", &whole(Some(MARCH), 3), &[]);
}

#[test]
fn rfc_850_date() {
    reads("[Monday, 01-Mar-27 00:00:00 GMT] reps=3", &whole(Some(MARCH), 3), &[]);
}

#[test]
fn asctime_date() {
    reads("[Mon Mar  1 00:00:00 2027] reps=3", &whole(Some(MARCH), 3), &[]);
}

#[test]
fn weekday_that_does_not_fit() {
    reads("[Fri, 01 Mar 2027 00:00:00 GMT] reps=3", &whole(Some(MARCH), 3), &[]);
    // The example of Lifepoint Metadata Headers itself; that day was a Monday.
    let example = httpdate::parse("Mon, 12 Dec 2016 15:59:02 GMT", WRITTEN);
    let coded =
        Lifepoint { end: example, reps: Some(Reps::Coded { k: 5, p: 2 }), ..Lifepoint::default() };
    reads("[Wed, 12 Dec 2016 15:59:02 GMT] reps=5:2", &coded, &[]);
}

#[test]
fn zone_utc() {
    is_lost("[Mon, 01 Mar 2027 00:00:00 UTC] reps=3", &["LP_BAD_DATE"]);
}

#[test]
fn zone_by_offset() {
    is_lost("[Mon, 01 Mar 2027 01:00:00 +0100] reps=3", &["LP_BAD_DATE"]);
}

#[test]
fn date_of_iso_8601() {
    is_lost("[2027-03-01T00:00:00Z] reps=3", &["LP_BAD_DATE"]);
}

#[test]
fn leap_day_of_a_leap_year() {
    let leap = httpdate::parse("Tue, 29 Feb 2028 00:00:00 GMT", WRITTEN);
    assert!(leap.is_some());
    reads("[Tue, 29 Feb 2028 00:00:00 GMT] reps=3", &whole(leap, 3), &[]);
}

#[test]
fn leap_day_of_another_year() {
    is_lost("[Mon, 29 Feb 2027 00:00:00 GMT] reps=3", &["LP_BAD_DATE"]);
}

#[test]
fn day_that_no_month_has() {
    is_lost("[Mon, 99 Mar 2027 00:00:00 GMT] reps=4", &["LP_BAD_DATE"]);
    is_lost("[Wed, 31 Jun 2027 00:00:00 GMT] reps=4", &["LP_BAD_DATE"]);
}

#[test]
fn white_space_and_case_are_free() {
    let both = Lifepoint { deletable: Some(false), ..whole(None, 3) };
    for value in [
        "[] reps=3,deletable=no",
        "[]reps=3,deletable=no",
        "[ ] REPS = 3 , Deletable = NO",
        "\t[\t]\treps\t=\t3\t,\tdeletable=no\t",
    ] {
        reads(value, &both, &[]);
    }
    reads("[ Mon, 01 Mar 2027 00:00:00 GMT ]reps=3", &whole(Some(MARCH), 3), &[]);
}

#[test]
fn leading_zero() {
    reads("[] reps=03", &whole(None, 3), &[]);
}

#[test]
fn encoding_with_white_space() {
    let coded = Lifepoint { reps: Some(Reps::Coded { k: 5, p: 2 }), ..Lifepoint::default() };
    reads("[] reps=5 : 2", &coded, &[]);
    reads("[] reps=5:2", &coded, &[]);
}

#[test]
fn encoding_without_parity() {
    is_emptied("[] reps=5:");
    is_emptied("[] reps=5:0");
}

#[test]
fn encoding_without_data() {
    is_emptied("[] reps=:2");
}

#[test]
fn negative_number() {
    is_emptied("[] reps=-1");
}

#[test]
fn number_in_words() {
    is_emptied("[] reps=three");
}

#[test]
fn no_replicas_at_all() {
    is_emptied("[] reps=0");
    is_emptied("[] reps=00");
}

#[test]
fn number_out_of_all_proportion() {
    is_emptied("[] reps=100000");
    is_emptied("[] reps=99999999999999999999");
    is_emptied("[] reps=1000:2");
    reads("[] reps=99999", &whole(None, 99_999), &[]);
}

#[test]
fn reps_without_a_number() {
    is_emptied("[] reps");
    is_emptied("[] reps=");
    is_emptied("[] reps=5:2:1");
}

#[test]
fn open_delete() {
    reads("[] delete", &Lifepoint { delete: true, ..Lifepoint::default() }, &[]);
    reads("[]DELETE", &Lifepoint { delete: true, ..Lifepoint::default() }, &[]);
}

#[test]
fn delete_with_a_value() {
    is_emptied("[] delete=yes");
    is_emptied("[] delete=");
    is_emptied("[] delete=no");
}

#[test]
fn dated_delete() {
    let emptied = Lifepoint { end: Some(MARCH), ..Lifepoint::default() };
    let log = ["LP_BAD_CONSTRAINT", "LP_EMPTY"];
    reads("[Mon, 01 Mar 2027 00:00:00 GMT] delete", &emptied, &log);
}

#[test]
fn bare_deletable() {
    let yes = Lifepoint { deletable: Some(true), ..Lifepoint::default() };
    reads("[] deletable", &yes, &["LP_NO_REPS"]);
}

#[test]
fn deletable_in_other_words() {
    for (word, deletable) in [("yes", true), ("True", true), ("NO", false), ("false", false)] {
        let expected = Lifepoint { deletable: Some(deletable), ..whole(None, 2) };
        reads(&format!("[] reps=2, deletable={word}"), &expected, &[]);
    }
}

#[test]
fn deletable_perhaps() {
    is_emptied("[] deletable=maybe");
    is_emptied("[] deletable=");
}

#[test]
fn unknown_words() {
    is_emptied("[] deletesafe");
    is_emptied("[] frobnicate=7");
    reads("[] reps=3, deletesafe", &whole(None, 3), &["LP_BAD_CONSTRAINT"]);
}

#[test]
fn no_bracket() {
    is_lost("reps=3", &["LP_NO_BRACKET"]);
    is_lost("reps=3, [] delete", &["LP_NO_BRACKET"]);
}

#[test]
fn bracket_that_is_not_closed() {
    is_lost("[Mon, 01 Mar 2027 00:00:00 GMT reps=3", &["LP_NO_CLOSE"]);
    is_lost("[", &["LP_NO_CLOSE"]);
    is_lost("[[] reps=3", &["LP_BAD_DATE"]);
}

#[test]
fn brackets_alone() {
    reads("[]", &Lifepoint::default(), &["LP_EMPTY"]);
}

#[test]
fn empty_value() {
    is_lost("", &["LP_EMPTY"]);
    is_lost(" \t", &["LP_EMPTY"]);
}

#[test]
fn constraint_that_comes_twice() {
    reads("[] reps=3, reps=4", &whole(None, 3), &["LP_DUP_CONSTRAINT"]);
    let delete = Lifepoint { delete: true, ..Lifepoint::default() };
    reads("[] delete, delete", &delete, &["LP_DUP_CONSTRAINT"]);
}

#[test]
fn delete_beside_deletable_no() {
    let both = Lifepoint { delete: true, deletable: Some(false), ..Lifepoint::default() };
    reads("[] delete, deletable=no", &both, &["LP_CONFLICT"]);
}

#[test]
fn delete_beside_reps() {
    reads("[] reps=3, delete", &Lifepoint { delete: true, ..whole(None, 3) }, &[]);
}

#[test]
fn two_digit_year_counts_from_the_writing() {
    let century = httpdate::parse("Mon, 01 Mar 1977 00:00:00 GMT", WRITTEN);
    reads("[Monday, 01-Mar-77 00:00:00 GMT] reps=3", &whole(century, 3), &[]);
}

#[test]
fn bytes_that_are_no_text() {
    let (Lifecycle { lifepoints }, found) =
        parse_lifecycle([&b"[] reps=3, \xff\xfe=\x80"[..]], WRITTEN);
    assert_eq!(lifepoints, [whole(None, 3)]);
    assert_eq!(found.len(), 1);
}
