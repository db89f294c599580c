//! Feeds: standing orders that carry every object in scope to another cluster, and keep carrying changes.
//!
//! Owns what a feed is ([`definition`], [`scope`]), the table of a cluster's feeds as every node keeps it ([`table`]), and
//! the decisions of the engine: what waits and what is next ([`lanes`]), what an answer of the target means ([`result`]),
//! when an object is tried again ([`backoff`]), when the target is left alone ([`blockade`]), and what is shown of all that
//! ([`stats`]); and what one cluster says to another ([`wire`]). None of these waits, sends, reads a clock or throws dice:
//! times and draws come in, decisions go out.
//!
//! The engine that carries them out is [`Feeds`]. It reaches its own node through [`Home`] and [`Streams`], the others
//! through [`Peers`], all of which `swarm-node` implements, and where a feed goes through [`FeedTarget`].

pub mod backoff;
pub mod blockade;
pub mod definition;
pub mod lanes;
pub mod result;
pub mod scope;
pub mod stats;
pub mod table;
pub mod wire;

mod deliver;
mod engine;
mod evaluate;
mod home;
mod hosts;
mod inbox;
mod legacy;
mod line;
mod missed;
mod peers;
mod post;
mod pull;
mod report;
mod results;
mod retrieve;
mod scan;
mod send;
mod service;
mod settings;
mod target;
mod turns;

pub use home::{
    Brief, Broken, Filed, Home, MayWork, NotKept, Page, Pull, SlotCounts, Streams, What,
};
pub use legacy::Destination;
pub use peers::{About, Brought, Context, DeletedContext, Done, FoundContext, Peers, To};
pub use post::PostTarget;
pub use pull::RetrieveTarget;
pub use report::Whereabouts;
pub use retrieve::{Imported, Importer, Retrieval};
pub use send::{Rest, SendOrder, SendRefused, SendTicket, Shown, Verdict};
pub use service::{Around, Feeds};
pub use settings::FeedSettings;
pub use swarm_client::{Auth, Secret};
pub use target::{ClusterTargets, FeedTarget, Manner, OpenBody, Parcel, Shipment, Targets};
