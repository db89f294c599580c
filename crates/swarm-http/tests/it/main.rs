//! Whole nodes behind their ports, in a simulated world, asked in bytes.

mod cluster;
mod connections;
mod contexts;
mod import;
mod management;
mod objects;
mod refusals;
mod views;
