//! What makes a figure of several rounds.

use std::time::{Duration, Instant};

/// Rounds of every figure. Other work on the machine disturbs some of them, hardly ever more than half.
pub(crate) const ROUNDS: usize = 9;

/// The wall time of one call.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = work();
    (result, begun.elapsed())
}

/// What several rounds of one figure come to, and how.
pub(crate) struct Summary {
    pub(crate) value: f64,
    /// For the reader: `best of 9`.
    pub(crate) rounds: String,
}

impl Summary {
    /// The middle one of at least one round: for a ratio, which other work on the machine may move either way.
    pub(crate) fn median(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { value: values[values.len() / 2], rounds: format!("median of {}", values.len()) }
    }

    /// The smallest one: for a cost that other work on the machine can only ever add to.
    pub(crate) fn best(values: Vec<f64>) -> Self {
        let rounds = format!("best of {}", values.len());
        Self { value: values.into_iter().fold(f64::INFINITY, f64::min), rounds }
    }

    /// A single reading, such as a peak.
    pub(crate) fn once(value: f64) -> Self {
        Self { value, rounds: "once".to_owned() }
    }

    /// The same rounds in another unit.
    pub(crate) fn map(self, convert: impl FnOnce(f64) -> f64) -> Self {
        Self { value: convert(self.value), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_come_to_their_best_or_their_middle() {
        let told = |summary: Summary| (format!("{:.0}", summary.value), summary.rounds);
        let rounds = || vec![30.0, 10.0, 90.0];
        assert_eq!(told(Summary::best(rounds())), ("10".into(), "best of 3".into()));
        assert_eq!(told(Summary::median(rounds())), ("30".into(), "median of 3".into()));
        assert_eq!(told(Summary::best(rounds()).map(|value| value * 2.0)).0, "20");
    }
}
