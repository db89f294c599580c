//! Durations, sizes, rates, shares, bandwidths and offsets: text to values and back.
//!
//! All numbers are whole: a decimal point is read digit by digit, so that no file means something else on another
//! machine.

use std::time::Duration;

/// A duration or a range to draw one from, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Shortest.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
}

impl Span {
    /// Always this long.
    #[must_use]
    pub const fn exactly(duration: Duration) -> Self {
        Self { min: duration, max: duration }
    }
}

/// Operations per time: one in every `period_ns`, which holds for `thousandths` thousandths of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Thousandths of an operation in one period.
    pub thousandths: u64,
    /// The period.
    pub period: Duration,
}

impl Rate {
    /// When operation `number` (from 0) is due, counted from the start of the workload.
    #[must_use]
    pub fn due(&self, number: u64) -> Duration {
        let ns = u128::from(number) * 1000 * self.period.as_nanos()
            / u128::from(self.thousandths.max(1));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// Thousandths are what rates and percentages are read to.
const MILLI: u64 = 1000;

/// Reads `90s`, `1h30m`, `0.2ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| c.is_ascii_alphabetic() || c == 'µ')?;
        let (number, tail) = rest.split_at(unit_at);
        let unit_end =
            tail.find(|c: char| !(c.is_ascii_alphabetic() || c == 'µ')).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        total = total.checked_add(scaled(number, duration_unit(unit)?)?)?;
        rest = tail;
    }
    Some(Duration::from_nanos(total))
}

fn duration_unit(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "w" => 604_800_000_000_000,
        _ => return None,
    })
}

/// Reads a duration or `2m..5m`.
pub(crate) fn span(text: &str) -> Option<Span> {
    match text.split_once("..") {
        None => duration(text).map(Span::exactly),
        Some((min, max)) => {
            let (min, max) = (duration(min)?, duration(max)?);
            (min <= max).then_some(Span { min, max })
        }
    }
}

/// Reads `+10m`, `-30s`; a sign is required.
pub(crate) fn offset(text: &str) -> Option<i64> {
    let text = text.trim();
    let magnitude = |rest| duration(rest).and_then(|d| i64::try_from(d.as_nanos()).ok());
    match text.strip_prefix('+') {
        Some(rest) => magnitude(rest),
        None => magnitude(text.strip_prefix('-')?).map(|ns| -ns),
    }
}

/// Reads `200ppm`, `-50ppm`: millionths, at most a tenth of the whole.
pub(crate) fn ppm(text: &str) -> Option<i32> {
    let number: i32 = text.trim().strip_suffix("ppm")?.trim_end().parse().ok()?;
    (number.unsigned_abs() <= PPM_MAX).then_some(number)
}

/// A clock that gains more than a tenth is broken in another way.
pub(crate) const PPM_MAX: u32 = 100_000;

/// Reads `64KiB`, `512B`, `2.5MB` to bytes.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    scaled(number.trim_end(), size_unit(unit)?)
}

fn size_unit(unit: &str) -> Option<u64> {
    Some(match unit {
        "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    })
}

/// Reads `20/s`, `0.5/s`, `30/m`.
pub(crate) fn rate(text: &str) -> Option<Rate> {
    let (number, unit) = text.trim().split_once('/')?;
    let period = Duration::from_nanos(duration_unit(unit.trim())?);
    let thousandths = scaled(number.trim(), MILLI)?;
    (thousandths > 0).then_some(Rate { thousandths, period })
}

/// Reads `0.1%`, `20%` to parts per million, at most one million.
pub(crate) fn share(text: &str) -> Option<u32> {
    let ppm = scaled(text.trim().strip_suffix('%')?.trim_end(), 10_000)?;
    u32::try_from(ppm).ok().filter(|ppm| *ppm <= 1_000_000)
}

/// Reads `10Gbit`, `80MiB/s` to bits per second.
pub(crate) fn bandwidth(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(bytes) = text.strip_suffix("/s") {
        return size(bytes)?.checked_mul(8).filter(|bits| *bits > 0);
    }
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "bit" => 1,
        "kbit" | "Kbit" => 1_000,
        "Mbit" => 1_000_000,
        "Gbit" => 1_000_000_000,
        _ => return None,
    };
    scaled(number, factor).filter(|bits| *bits > 0)
}

/// `number`, which may have a decimal point, times `factor`, rounded down.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let mut total = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if !fraction.is_empty() {
        let places = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor) / places;
        total = total.checked_add(u64::try_from(part).ok()?)?;
    }
    Some(total)
}

/// A duration as people write it: `9m31s`, `1.25s`, `350ms`, `3w`. Two units at most, rounded down.
#[must_use]
pub fn show(duration: Duration) -> String {
    const UNITS: [(&str, u64); 5] =
        [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let secs = ns / 1_000_000_000;
    if secs == 0 {
        return match ns {
            0 => "0s".to_owned(),
            1..1_000 => format!("{ns}ns"),
            1_000..1_000_000 => format!("{}µs", ns / 1_000),
            _ => format!("{}ms", ns / 1_000_000),
        };
    }
    if secs < 60 {
        let hundredths = ns / 10_000_000 % 100;
        return match hundredths {
            0 => format!("{secs}s"),
            _ if hundredths % 10 == 0 => format!("{secs}.{}s", hundredths / 10),
            _ => format!("{secs}.{hundredths:02}s"),
        };
    }
    let first = UNITS.iter().position(|(_, size)| secs >= *size).unwrap_or(UNITS.len() - 1);
    let (unit, size) = UNITS[first];
    let mut text = format!("{}{unit}", secs / size);
    if let Some((unit, smaller)) = UNITS.get(first + 1)
        && secs % size / smaller > 0
    {
        text.push_str(&format!("{}{unit}", secs % size / smaller));
    }
    text
}

/// A number of bytes as people write it: `4KiB`, `1.5MiB`, `17B`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        None => format!("{bytes}B"),
        Some((unit, size)) => match (bytes % size) * 10 / size {
            0 => format!("{}{unit}", bytes / size),
            tenths => format!("{}.{tenths}{unit}", bytes / size),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_operators_write_them() {
        for (text, ms) in [
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("0.2ms", 0),
            ("3w", 1_814_400_000),
            ("1.5s", 1_500),
        ] {
            assert_eq!(duration(text).map(|d| d.as_millis()), Some(ms), "{text}");
        }
        assert_eq!(duration("0.2ms"), Some(Duration::from_micros(200)));
        for text in ["", "90", "s", "1x", "-1s", "1s2", "1..2", ".5s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_range_is_drawn_from_and_must_not_be_upside_down() {
        let minutes = |m: u64| Duration::from_secs(m * 60);
        assert_eq!(span("2m..5m"), Some(Span { min: minutes(2), max: minutes(5) }));
        assert_eq!(span("2m"), Some(Span::exactly(minutes(2))));
        assert_eq!(span("5m..2m"), None);
    }

    #[test]
    fn sizes_rates_shares_bandwidths_and_offsets() {
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("1.5KB"), Some(1_500));
        assert_eq!(size("64"), None);
        assert_eq!(share("0.1%"), Some(1_000));
        assert_eq!(share("100%"), Some(1_000_000));
        assert_eq!(share("101%"), None);
        assert_eq!(bandwidth("10Gbit"), Some(10_000_000_000));
        assert_eq!(bandwidth("80MiB/s"), Some((80 * 8) << 20));
        assert_eq!(offset("+10m"), Some(600_000_000_000));
        assert_eq!(offset("-1s"), Some(-1_000_000_000));
        assert_eq!(offset("1s"), None);
        assert_eq!(ppm("-50ppm"), Some(-50));
        assert_eq!(ppm("200"), None);
        assert_eq!(ppm("200000ppm"), None);
        assert_eq!(rate("0.5/s").map(|rate| rate.due(3)), Some(Duration::from_secs(6)));
        assert_eq!(rate("20/s").map(|rate| rate.due(1)), Some(Duration::from_millis(50)));
        assert_eq!(rate("0/s"), None);
    }

    #[test]
    fn durations_are_shown_with_two_units_at_most() {
        for (ms, text) in [
            (0, "0s"),
            (350, "350ms"),
            (1_250, "1.25s"),
            (1_500, "1.5s"),
            (571_000, "9m31s"),
            (3_600_000, "1h"),
            (90_061_000, "1d1h"),
        ] {
            assert_eq!(show(Duration::from_millis(ms)), text);
        }
        assert_eq!(show_size(1_572_864), "1.5MiB");
        assert_eq!(show_size(17), "17B");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = (duration(&text), span(&text), size(&text), rate(&text), share(&text), bandwidth(&text), offset(&text));
        }

        #[test]
        fn a_shown_duration_below_a_minute_reads_back(ms in 0u64..6_000) {
            let duration_in = Duration::from_millis(ms * 10);
            prop_assert_eq!(duration(&show(duration_in)), Some(duration_in));
        }
    }
}
