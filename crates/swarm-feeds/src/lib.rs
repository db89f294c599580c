//! Feeds: standing orders that carry every object in scope to another cluster, and keep carrying changes.
//!
//! Owns what a feed is ([`definition`], [`scope`]), the table of a cluster's feeds as every node keeps it ([`table`]), and
//! the decisions of the engine: what waits and what is next ([`lanes`]), what an answer of the target means ([`result`]),
//! when an object is tried again ([`backoff`]), when the target is left alone ([`blockade`]), and what is shown of all that
//! ([`stats`]); and what one cluster says to another ([`wire`]). Nothing here waits, sends, reads a clock or throws dice: times and draws come in, decisions go out.

pub mod backoff;
pub mod blockade;
pub mod definition;
pub mod lanes;
pub mod result;
pub mod scope;
pub mod stats;
pub mod table;
pub mod wire;
