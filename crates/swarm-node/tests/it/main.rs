//! A few nodes in one simulated world, asked through their API: what they store, where, and what survives.

mod amend;
mod cluster;
mod contexts;
mod disks;
mod feeds;
mod health;
mod hostile;
mod import;
mod regressions;
mod states;
mod stories;
mod stress;
mod west;
