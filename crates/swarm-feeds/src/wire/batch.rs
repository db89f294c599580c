//! Batches of mode `get`: a line for each item there, a line for each result back, each an object of JSON.
//!
//! A batch holds at most 200 items (Managing and Optimizing Feeds). A line that cannot be read is refused by its number and
//! fails nothing but itself. Empty lines among the results keep the connection alive.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use swarm_types::{NodeId, Stamp};

use super::identity::{kind_of, kind_word};
use super::{Deletion, Identity, Place, Ticket, read_version};

/// Most items of a batch (Managing and Optimizing Feeds).
pub const BATCH_ITEMS: usize = 200;
/// Most bytes of a batch (our choice).
pub const BATCH_BYTES: usize = 256 * 1024;
/// Longest line of a result, without its end.
const RESULT_BYTES: usize = 1024;

/// One thing that the target is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Fetch this version, unless it has it.
    Version {
        /// Which object.
        identity: Identity,
        /// Which version of it, at least.
        stamp: Stamp,
        /// Leave to fetch it.
        ticket: Ticket,
    },
    /// Take this delete.
    Delete(Deletion),
}

/// What came of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemResult {
    /// Which one, from 0.
    pub item: usize,
    /// As the answer to a request for this item alone would have it.
    pub status: u16,
    /// Which node to hand it to: with 307, where this one has no room.
    pub node: Option<NodeId>,
}

/// A line that makes no sense. It is not quoted: it may hold a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {why}")]
pub struct BadLine {
    /// Which one, from 0: the number of its item.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// A batch that is refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// More than [`BATCH_ITEMS`].
    #[error("more than {BATCH_ITEMS} items")]
    TooMany,
    /// More than [`BATCH_BYTES`].
    #[error("more than {BATCH_BYTES} bytes")]
    TooLong,
}

/// An item as its line has it.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Line {
    kind: String,
    version: String,
    etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    delete: bool,
}

impl Line {
    fn of(item: &Item) -> Self {
        let (kind, stamp) = match item {
            Item::Version { identity, stamp, .. } => (identity.kind, *stamp),
            Item::Delete(deletion) => (deletion.kind, deletion.stamp),
        };
        let line = Self {
            kind: kind_word(kind).to_owned(),
            version: stamp.version.to_string(),
            etag: stamp.etag.to_string(),
            ..Self::default()
        };
        match item {
            Item::Version { identity, ticket, .. } => Self {
                uuid: identity.uuid.map(|uuid| uuid.to_string()),
                cid: identity.cid.map(|cid| cid.to_string()),
                name: identity.name.clone(),
                domain: identity.place.domain.clone(),
                bucket: identity.place.bucket.clone(),
                ticket: Some(ticket.text()),
                ..line
            },
            Item::Delete(deletion) => Self {
                delete: true,
                stream: Some(deletion.stream.to_string()),
                uuid: deletion.alias.map(|alias| alias.to_string()),
                cid: deletion.cid.map(|cid| cid.to_string()),
                name: deletion.name.clone(),
                ..line
            },
        }
    }

    fn item(self) -> Result<Item, &'static str> {
        let kind = kind_of(&self.kind).ok_or("has no kind of object")?;
        let version = read_version(&self.version).ok_or("has no version")?;
        let etag = self.etag.parse().map_err(|_| "has no ETag")?;
        let stamp = Stamp { version, etag };
        let id = |text: Option<String>| {
            text.map(|text| text.parse().map_err(|_| "has an id that is none")).transpose()
        };
        let (uuid, cid) = (id(self.uuid)?, id(self.cid)?);
        if self.delete {
            if self.domain.is_some() || self.bucket.is_some() || self.ticket.is_some() {
                return Err("is a delete with the fields of a version");
            }
            let stream = self.stream.and_then(|stream| stream.parse().ok());
            let stream = stream.ok_or("has no stream")?;
            let deletion = Deletion { stream, kind, stamp, alias: uuid, cid, name: self.name };
            return Ok(Item::Delete(deletion));
        }
        if self.stream.is_some() {
            return Err("is a version with the fields of a delete");
        }
        let place = Place { domain: self.domain, bucket: self.bucket };
        let identity = Identity { kind, uuid, cid, name: self.name, place };
        identity.check().map_err(|error| error.why)?;
        let ticket = self.ticket.as_deref().and_then(Ticket::read).ok_or("has no ticket")?;
        Ok(Item::Version { identity, stamp, ticket })
    }
}

/// A batch that is being filled.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Batch {
    lines: Vec<u8>,
    items: usize,
}

/// What became of an item that was put into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in.
    Taken,
    /// It goes into the next one.
    Full,
    /// It fits into none.
    TooLong,
}

impl Batch {
    /// Puts an item in, if it fits.
    pub fn push(&mut self, item: &Item) -> Pushed {
        let Ok(mut line) = serde_json::to_vec(&Line::of(item)) else { return Pushed::TooLong };
        line.push(b'\n');
        if line.len() > BATCH_BYTES {
            return Pushed::TooLong;
        }
        if self.items == BATCH_ITEMS || self.lines.len() + line.len() > BATCH_BYTES {
            return Pushed::Full;
        }
        self.lines.append(&mut line);
        self.items += 1;
        Pushed::Taken
    }

    /// How many are in.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items
    }

    /// True if none is in.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// The body of the request.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.lines.into()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tickets are in it.
        write!(f, "Batch({} items, {} bytes)", self.items, self.lines.len())
    }
}

/// The items of a batch in their order; a line that is none is in the place of its item.
///
/// # Errors
/// A batch that is too large; nothing of it is done.
pub fn read_items(body: &[u8]) -> Result<Vec<Result<Item, BadLine>>, BadBatch> {
    if body.len() > BATCH_BYTES {
        return Err(BadBatch::TooLong);
    }
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let lines = body.split(|byte| *byte == b'\n');
    if lines.clone().count() > BATCH_ITEMS {
        return Err(BadBatch::TooMany);
    }
    let read = |text: &[u8]| match serde_json::from_slice::<Line>(text) {
        Ok(line) => line.item(),
        Err(_) => Err("is no item"),
    };
    Ok(lines.zip(0..).map(|(text, line)| read(text).map_err(|why| BadLine { line, why })).collect())
}

/// A result as its line has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResultLine {
    i: usize,
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<std::net::Ipv4Addr>,
}

impl ItemResult {
    /// Its line, with the line's end.
    #[must_use]
    pub fn line(&self) -> String {
        let node = self.node.map(|node| format!(r#","node":"{node}""#)).unwrap_or_default();
        format!("{{\"i\":{},\"status\":{}{node}}}\n", self.item, self.status)
    }
}

/// The results of a batch as they arrive, in pieces of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// Items that have no result yet.
    missing: BTreeSet<usize>,
    /// The beginning of a line.
    line: Vec<u8>,
    too_long: bool,
    /// Lines so far.
    lines: usize,
}

impl Results {
    /// The results of a batch of so many items, none of them known.
    #[must_use]
    pub fn of(items: usize) -> Self {
        Self { missing: (0..items).collect(), line: Vec::new(), too_long: false, lines: 0 }
    }

    /// What the lines that end in this piece say. A result of an item that has one already, or of none, is refused.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Result<ItemResult, BadLine>> {
        let mut found = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n");
            let more = text.unwrap_or(part);
            self.too_long |= self.line.len() + more.len() > RESULT_BYTES;
            if !self.too_long {
                self.line.extend_from_slice(more);
            }
            if text.is_some() {
                found.extend(self.end_line());
            }
        }
        found
    }

    /// The items without a result. When the connection has ended, what became of them is unknown.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        self.missing.iter().copied()
    }

    fn end_line(&mut self) -> Option<Result<ItemResult, BadLine>> {
        let text = std::mem::take(&mut self.line);
        let too_long = std::mem::take(&mut self.too_long);
        let line = self.lines;
        self.lines = self.lines.saturating_add(1);
        if !too_long && text.trim_ascii().is_empty() {
            return None;
        }
        let read = || {
            let read: ResultLine = serde_json::from_slice(&text).ok().filter(|_| !too_long)?;
            (100..1000).contains(&read.status).then_some(read)
        };
        let result = read().ok_or("is no result").and_then(|read| {
            let item = read.i;
            if !self.missing.remove(&item) {
                return Err("is of no item that waits for a result");
            }
            Ok(ItemResult { item, status: read.status, node: read.node.map(NodeId) })
        });
        Some(result.map_err(|why| BadLine { line, why }))
    }
}
