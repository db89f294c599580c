//! Scenario files, workloads, ledgers, oracles and reports.
//!
//! A scenario is read ([`language`]), run in a world of its own ([`simulate`]) and told ([`report`]). Clients, workloads
//! and oracles reach the clusters over HTTP and through raw disk images alone; no type of a node, a store or its HTTP is
//! known here, so that whoever judges shares nothing with whoever is judged.

mod body;
pub mod catalogue;
mod closest;
mod damage;
pub mod definition;
pub mod explore;
pub mod junit;
pub mod language;
mod ledger;
pub mod live;
mod malformed;
mod oracle;
mod reach;
pub mod report;
mod run;
pub mod show;
pub mod simulate;
#[cfg(test)]
mod testing;
pub mod token;
mod verdict;
mod wire;

pub use run::Progress;
