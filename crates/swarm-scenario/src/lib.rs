//! Scenario files, workloads, ledgers, oracles and reports.

pub mod language;
