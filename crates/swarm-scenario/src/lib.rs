//! Scenario files, workloads, ledgers, oracles and reports.

mod body;
pub mod catalogue;
pub mod language;
mod ledger;
mod reach;
