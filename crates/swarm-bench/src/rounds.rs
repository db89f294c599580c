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

/// What several rounds of one figure come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    /// The smallest one: for a cost that other work on the machine can only ever add to.
    Best,
    /// The middle one: for a ratio, which other work may move either way.
    Median,
    /// A single reading, such as a peak.
    Once,
}

impl Statistic {
    /// For the reader: `best of 9`.
    pub(crate) fn says(self) -> String {
        match self {
            Self::Best => format!("best of {ROUNDS}"),
            Self::Median => format!("median of {ROUNDS}"),
            Self::Once => "once".to_owned(),
        }
    }

    /// One figure of the costs or ratios of all rounds, of which there is at least one.
    pub(crate) fn of(self, mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        match self {
            Self::Best | Self::Once => values[0],
            Self::Median => values[values.len() / 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_come_to_their_best_or_their_middle() {
        let rounds = || vec![3.0, 1.0, 9.0];
        assert!((Statistic::Best.of(rounds()) - 1.0).abs() < f64::EPSILON);
        assert!((Statistic::Median.of(rounds()) - 3.0).abs() < f64::EPSILON);
    }
}
