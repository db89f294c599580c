//! The language of scenario files: words, values, and the way from text to values.
//!
//! Knows nothing of how a scenario is carried out.

mod comparison;
pub mod domains;
pub mod guide;
pub mod lifepoint;
pub mod model;
pub mod pattern;
mod read;
mod reader;
pub mod schema;
mod source;
pub(crate) mod tell;
pub(crate) mod timeline;
pub mod units;
pub mod words;

pub use read::{FeedFile, read, read_feeds};
pub use source::{Problem, nearest};
pub use words::Word;
