//! Whole nodes behind their ports, in a simulated world, asked in bytes.

mod cluster;
mod connections;
mod contexts;
mod management;
mod objects;
mod refusals;
mod views;
