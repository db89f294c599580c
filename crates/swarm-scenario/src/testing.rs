//! Whole runs of small scenarios, from their text to their verdict: what every test of such a run begins and ends with.

use crate::catalogue::Loaded;
use crate::language;
use crate::report::{RunReport, Verdict};
use crate::simulate::{Options, simulate};

/// A scenario as if it had been read from a file.
pub(crate) fn small(text: &str) -> Loaded {
    let scenario = language::read("small.toml", text).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    Loaded { path: "small.toml".to_owned(), scenario, checksum: 7 }
}

pub(crate) fn run_text(text: &str, seed: u64) -> RunReport {
    simulate(&small(text), &Options { seed, ..Options::default() })
}

pub(crate) fn assert_held(report: &RunReport) {
    assert_eq!(report.verdict, Verdict::Held, "{}\n{}", report.line(), report.told().join("\n"));
}
