//! Our own HTTP/1.1 server codec: bytes of a stream in, [`Request`]s to a tower service, [`Response`]s back as bytes.
//!
//! Owns framing, limits and time-outs of a connection. Knows nothing of objects or nodes; the answer to a head that
//! cannot be read is made in `status.rs`, because its wording is Swarm's own. What is legal here and nowhere in
//! hyper: response fields in any order and spelling with repeats interleaved, trailers without `TE`, folded request
//! lines, 500 fields, and the rules for bodies that are answered before they were read.
//!
//! Our choices where HTTP leaves one: a bare LF never ends a line, a folded framing field is refused, the only transfer
//! coding is a single `chunked`, `Content-Length` may be repeated only with the same digits.

mod body;
mod chunked;
mod conn;
mod fields;
mod head;
mod response;
mod serve;

use std::time::Duration;

pub use body::{BodyError, RequestBody};
pub use fields::{FieldBlock, Fields};
#[cfg(test)]
pub(crate) use head::read_head;
pub use head::{BadHead, Framing, RequestHead};
pub use response::{Body, BodySource, Broken, OwnFields, Response};
pub use serve::{ConnectionEnd, Request, serve_connection};

/// What one connection may cost and how long it may keep us waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest request head in bytes, request line and empty line included.
    pub head_bytes: usize,
    /// Longest single line of a head or trailer block in bytes, without its CRLF.
    pub line_bytes: usize,
    /// Most distinct field names in a head.
    pub distinct_fields: usize,
    /// Most bytes of an unwanted body that are read and thrown away to keep a connection.
    pub discard_bytes: u64,
    /// From the first byte of a head to its last.
    pub head_time: Duration,
    /// Longest time in which a body, in either direction, may move by less than [`Limits::progress_bytes`].
    pub progress_time: Duration,
    /// See [`Limits::progress_time`].
    pub progress_bytes: u64,
    /// Between two requests.
    pub idle_time: Duration,
    /// How long a closed connection is still read, so that its answer is not lost to a reset.
    pub linger_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Eight of the longest lines; more than 500 usual fields ever need.
            head_bytes: 256 * 1024,
            // The limits of the vendor's parser (SDK meta.py).
            line_bytes: 32_768,
            distinct_fields: 500,
            // Our choice: a client that sent more without asking pays with its connection.
            discard_bytes: 8 * 1024 * 1024,
            head_time: Duration::from_secs(60),
            progress_time: Duration::from_secs(60),
            // A slow line of 2400 baud passes, a client that drips bytes to hold a connection does not.
            progress_bytes: 8 * 1024,
            // What `Keep-Alive: timeout=14400` promises (Versioning Examples).
            idle_time: Duration::from_secs(14_400),
            linger_time: Duration::from_secs(2),
        }
    }
}
