//! The language of scenario files: words, values, and the way from text to values.
//!
//! Knows nothing of how a scenario is carried out.

pub mod model;
mod read;
mod reader;
mod source;
pub mod units;
pub mod words;

pub use read::read;
pub use reader::Word;
pub use source::{Problem, nearest};
