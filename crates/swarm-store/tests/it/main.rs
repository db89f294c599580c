//! Tests of volumes from outside: on a disk that loses exactly what was not synced, and on real files.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

mod crash;
mod damage;
mod defrag;
mod feeds;
mod fixture;
mod given_up;
mod health;
mod kill;
mod kit;
mod life;
mod order;
mod planted;
mod simulated;
