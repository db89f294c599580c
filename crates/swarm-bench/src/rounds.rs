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

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The smallest one: for a cost that the machine can only ever add to.
pub(crate) fn least(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}
