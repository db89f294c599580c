//! Whole nodes behind their ports, in a simulated world, asked in bytes.

mod amend;
mod cluster;
mod connections;
mod contexts;
mod feeds;
mod import;
mod legacy;
mod management;
mod mirrors;
mod objects;
mod printed;
mod refusals;
mod send;
mod target;
mod views;
