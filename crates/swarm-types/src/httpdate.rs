//! HTTP dates (RFC 9110 section 5.6.7): one form out, all three forms in.
//!
//! [`format()`] writes a date into every response, so it touches the heap once and no table of zones. [`parse`] reads what
//! clients and stored lifepoints carry; it never looks whether the weekday fits the date, because the vendor's own
//! examples carry wrong ones (Lifepoint Metadata Headers; SCSP SEND).

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::Timestamp;

/// Bytes of an IMF-fixdate, such as `Mon, 01 Mar 2027 00:00:00 GMT`.
pub const LEN: usize = 29;

/// How far ahead a two-digit year may lie; beyond, it belongs to the century before (RFC 9110 section 5.6.7).
const TWO_DIGIT_YEARS_AHEAD: i16 = 50;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The instant as an IMF-fixdate, rounded down to the second.
#[must_use]
pub fn format(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_second(at.secs())
        .expect("64-bit nanoseconds lie within jiff's years");
    let at = Offset::UTC.to_datetime(at);
    let weekday = usize::from(at.weekday().to_monday_zero_offset().unsigned_abs());
    let month = usize::from(at.month().unsigned_abs()) - 1;
    let year = at.year().unsigned_abs();
    let mut text = String::with_capacity(LEN);
    text.push_str(&WEEKDAYS[weekday][..3]);
    text.push_str(", ");
    push_pair(&mut text, at.day().unsigned_abs());
    text.push(' ');
    text.push_str(MONTHS[month]);
    text.push(' ');
    push_pair(&mut text, low_byte(year / 100));
    push_pair(&mut text, low_byte(year % 100));
    text.push(' ');
    push_pair(&mut text, at.hour().unsigned_abs());
    text.push(':');
    push_pair(&mut text, at.minute().unsigned_abs());
    text.push(':');
    push_pair(&mut text, at.second().unsigned_abs());
    text.push_str(" GMT");
    text
}

/// The instant that an HTTP date of any of the three forms names, to the second; `None` for anything else.
///
/// `relative_to` says when the text was written: it decides the century of a two-digit year, so that the meaning of a
/// stored date never drifts. Second 60 is the second after. Years outside 1677 to 2262 saturate. No white space is
/// trimmed.
#[must_use]
pub fn parse(text: &str, relative_to: Timestamp) -> Option<Timestamp> {
    let mut rest = Cursor(text);
    let weekday = rest.word();
    let parts = if rest.literal(", ") {
        if names_weekday_shortly(weekday) {
            imf_fixdate(&mut rest)
        } else {
            WEEKDAYS.iter().find(|name| name.eq_ignore_ascii_case(weekday))?;
            rfc850(&mut rest, relative_to)
        }
    } else {
        if !names_weekday_shortly(weekday) {
            return None;
        }
        asctime(&mut rest)
    }?;
    if rest.0.is_empty() { parts.instant() } else { None }
}

/// What a date says, before the calendar has had its word.
struct Parts {
    year: i16,
    month: i8,
    day: i8,
    time: Time,
}

struct Time {
    hour: i8,
    minute: i8,
    second: i8,
}

impl Parts {
    fn instant(&self) -> Option<Timestamp> {
        let Time { hour, minute, second } = self.time;
        let (second, leap) = if second == 60 { (59, 1) } else { (second, 0) };
        let at = DateTime::new(self.year, self.month, self.day, hour, minute, second, 0).ok()?;
        // Counted in civil time, because the last day of the year 9999 is not one of jiff's instants.
        Some(Timestamp::from_secs(at.duration_since(EPOCH).as_secs() + leap))
    }
}

/// The rest of `Mon, 01 Mar 2027 00:00:00 GMT` after the weekday.
fn imf_fixdate(rest: &mut Cursor<'_>) -> Option<Parts> {
    let day = rest.pair()?;
    let month = rest.spaced_month(" ")?;
    let year = rest.year()?;
    let time = rest.time()?;
    rest.literal(" GMT").then_some(Parts { year, month, day, time })
}

/// The rest of `Monday, 01-Mar-27 00:00:00 GMT` after the weekday.
fn rfc850(rest: &mut Cursor<'_>, relative_to: Timestamp) -> Option<Parts> {
    let day = rest.pair()?;
    let month = rest.spaced_month("-")?;
    let year = full_year(rest.pair()?, relative_to);
    let time = rest.time()?;
    rest.literal(" GMT").then_some(Parts { year, month, day, time })
}

/// The rest of `Mon Mar  1 00:00:00 2027` after the weekday.
fn asctime(rest: &mut Cursor<'_>) -> Option<Parts> {
    let month = rest.spaced_month(" ")?;
    let day = if rest.literal(" ") { rest.digits(1)? } else { rest.digits(2)? };
    let time = rest.time()?;
    let year = if rest.literal(" ") { rest.year()? } else { return None };
    Some(Parts { year, month, day: i8::try_from(day).ok()?, time })
}

/// The latest year with these last two digits that is not too far ahead.
fn full_year(two_digits: i8, relative_to: Timestamp) -> i16 {
    let now = jiff::Timestamp::from_second(relative_to.secs())
        .map(|at| Offset::UTC.to_datetime(at).year());
    let latest = now.expect("64-bit nanoseconds lie within jiff's years") + TWO_DIGIT_YEARS_AHEAD;
    latest - (latest - i16::from(two_digits)).rem_euclid(100)
}

fn names_weekday_shortly(word: &str) -> bool {
    WEEKDAYS.iter().any(|name| name[..3].eq_ignore_ascii_case(word))
}

fn low_byte(value: u16) -> u8 {
    u8::try_from(value).expect("half a four-digit year is below 100")
}

fn push_pair(text: &mut String, value: u8) {
    text.push(char::from(b'0' + value / 10));
    text.push(char::from(b'0' + value % 10));
}

/// What is still to be read.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn word(&mut self) -> &'a str {
        let end = self.0.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    fn literal(&mut self, literal: &str) -> bool {
        match self.0.strip_prefix(literal) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn digits(&mut self, count: usize) -> Option<i16> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.0 = rest;
        digits.parse().ok()
    }

    fn pair(&mut self) -> Option<i8> {
        self.digits(2).and_then(|value| i8::try_from(value).ok())
    }

    fn year(&mut self) -> Option<i16> {
        self.digits(4)
    }

    /// A month's short name between two separators.
    fn spaced_month(&mut self, separator: &str) -> Option<i8> {
        if !self.literal(separator) {
            return None;
        }
        let word = self.word();
        let month = (1..).zip(MONTHS).find(|(_, name)| name.eq_ignore_ascii_case(word));
        let (number, _) = month?;
        self.literal(separator).then_some(number)
    }

    /// A time of day after a space; hour and minute are checked by the calendar.
    fn time(&mut self) -> Option<Time> {
        if !self.literal(" ") {
            return None;
        }
        let hour = self.pair()?;
        let minute = if self.literal(":") { self.pair()? } else { return None };
        let second = if self.literal(":") { self.pair()? } else { return None };
        Some(Time { hour, minute, second })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// 1 March 2027, midnight.
    const MARCH: Timestamp = Timestamp::from_secs(1_803_859_200);
    /// 15 June 2026, noon.
    const WRITTEN: Timestamp = Timestamp::from_secs(1_781_524_800);

    fn check(text: &str, expected: Option<Timestamp>) {
        assert_eq!(parse(text, WRITTEN), expected, "{text}");
    }

    #[test]
    fn the_three_forms_name_the_same_instant() {
        assert_eq!(format(MARCH), "Mon, 01 Mar 2027 00:00:00 GMT");
        check("Mon, 01 Mar 2027 00:00:00 GMT", Some(MARCH));
        check("Monday, 01-Mar-27 00:00:00 GMT", Some(MARCH));
        check("Mon Mar  1 00:00:00 2027", Some(MARCH));
        check("Mon Mar 01 00:00:00 2027", Some(MARCH));
    }

    #[test]
    fn names_are_read_in_any_case_and_the_weekday_need_not_fit() {
        check("mON, 01 mAR 2027 00:00:00 GMT", Some(MARCH));
        check("FRIDAY, 01-MAR-27 00:00:00 GMT", Some(MARCH));
        check("Wed, 01 Mar 2027 00:00:00 GMT", Some(MARCH));
        check("Foo, 01 Mar 2027 00:00:00 GMT", None);
        check("Monda, 01-Mar-27 00:00:00 GMT", None);
        check("Monday Mar  1 00:00:00 2027", None);
    }

    #[test]
    fn only_real_instants_in_gmt_are_read() {
        for text in [
            "",
            "Mon",
            "Mon, 01 Mar 2027 00:00:00 UTC",
            "Mon, 01 Mar 2027 00:00:00 gmt",
            "Mon, 01 Mar 2027 01:00:00 +0100",
            "Mon, 01 Mar 2027 00:00:00 GMT ",
            " Mon, 01 Mar 2027 00:00:00 GMT",
            "Mon, 01 Mar 2027 00:00:00",
            "Mon, 1 Mar 2027 00:00:00 GMT",
            "Mon,  1 Mar 2027 00:00:00 GMT",
            "Mon, 01-Mar-2027 00:00:00 GMT",
            "Mon, +1 Mar 2027 00:00:00 GMT",
            "Wed, 31 Jun 2027 00:00:00 GMT",
            "Mon, 29 Feb 2027 00:00:00 GMT",
            "Mon, 00 Mar 2027 00:00:00 GMT",
            "Mon, 99 Mar 2027 00:00:00 GMT",
            "Mon, 01 Mar 2027 24:00:00 GMT",
            "Mon, 01 Mar 2027 00:60:00 GMT",
            "Mon, 01 Mar 2027 00:00:61 GMT",
            "Mon Mar 1 00:00:00 2027",
            "Mon Mar  1 00:00:00 2027 GMT",
            "2027-03-01T00:00:00Z",
            "Mon, 0\u{661} Mar 2027 00:00:00 GMT",
        ] {
            check(text, None);
        }
        check("Tue, 29 Feb 2028 00:00:00 GMT", Some(Timestamp::from_secs(1_835_395_200)));
    }

    #[test]
    fn second_60_is_the_second_after() {
        check("Sun, 28 Feb 2027 23:59:60 GMT", Some(MARCH));
    }

    #[test]
    fn two_digit_years_lie_at_most_50_years_after_the_writing() {
        let year = |text, written| parse(text, written).map(|at| format(at)[12..16].to_owned());
        assert_eq!(year("Monday, 01-Mar-76 00:00:00 GMT", WRITTEN).as_deref(), Some("2076"));
        assert_eq!(year("Monday, 01-Mar-77 00:00:00 GMT", WRITTEN).as_deref(), Some("1977"));
        let late = parse("Mon, 01 Mar 2098 00:00:00 GMT", WRITTEN).expect("a date");
        assert_eq!(year("Monday, 01-Mar-27 00:00:00 GMT", late).as_deref(), Some("2127"));
    }

    #[test]
    fn years_beyond_the_clock_saturate() {
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(Timestamp(i64::MAX)));
        check("Fri, 31 Dec 0000 23:59:59 GMT", Some(Timestamp(i64::MIN)));
        assert_eq!(format(Timestamp(i64::MAX)), "Fri, 11 Apr 2262 23:47:16 GMT");
        assert_eq!(format(Timestamp(i64::MIN)), "Tue, 21 Sep 1677 00:12:43 GMT");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_to_the_second(nanos in any::<i64>(), relative_to in any::<i64>()) {
            let text = format(Timestamp(nanos));
            prop_assert_eq!(text.len(), LEN);
            let expected = Timestamp::from_secs(Timestamp(nanos).secs());
            prop_assert_eq!(parse(&text, Timestamp(relative_to)), Some(expected));
        }

        #[test]
        fn reading_never_panics(text in ".{0,40}", relative_to in any::<i64>()) {
            let canonical = parse(&text, Timestamp(relative_to)).map(format);
            prop_assert!(canonical.is_none_or(|text| text.len() == LEN));
        }

        #[test]
        fn near_misses_never_panic(
            text in "(Mon|Monday)[, ]{0,2}[0-9]{0,2}[ -]Mar[ -][0-9]{0,4} [0-9]{2}:[0-9]{2}:[0-9]{2}( GMT)?",
            relative_to in any::<i64>(),
        ) {
            let canonical = parse(&text, Timestamp(relative_to)).map(format);
            prop_assert!(canonical.is_none_or(|text| text.len() == LEN));
        }
    }
}
