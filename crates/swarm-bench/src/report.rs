//! Figures, their targets, and how they are shown.

use std::fmt;

use serde::Serialize;

use crate::rounds::Summary;

/// Said below every table.
const WHY: &str = "\
Wall times are the best of their rounds, since other work on the machine can only add to them; ratios of two sides that
take turns are the median, since it can disturb either.";

/// What was measured, in order.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    /// For the reader: `best of 9`.
    rounds: String,
    /// For the reader: `>= 1.0`.
    target: String,
    met: bool,
}

/// On which side of a figure its target lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

impl Report {
    /// Adds a figure.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        Summary { value, rounds }: Summary,
        unit: &'static str,
        target: Target,
    ) {
        let met = target.met_by(value);
        self.figures.push(Figure { name, value, unit, rounds, target: target.to_string(), met });
    }

    pub(crate) fn all_met(&self) -> bool {
        self.figures.iter().all(|figure| figure.met)
    }

    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<40} {:>10} {:<5} {:<12} {:>10}",
            "figure", "measured", "unit", "rounds", "target"
        )?;
        for Figure { name, value, unit, rounds, target, met } in &self.figures {
            let digits = if *value >= 1000.0 { 0 } else { 2 };
            let missed = if *met { "" } else { "  missed" };
            writeln!(
                f,
                "{name:<40} {value:>10.digits$} {unit:<5} {rounds:<12} {target:>10}{missed}"
            )?;
        }
        writeln!(f, "{WHY}")
    }
}
