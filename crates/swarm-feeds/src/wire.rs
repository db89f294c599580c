//! What clusters say to each other: versions, deletes, probes and batches as HTTP targets, header fields and lines.
//!
//! Owns the words of replication, both ways; who sends them, and what an answer's status means, is not here. The vendor
//! documents that the copy has the same UUID and metadata in every cluster (Setting Remote Synchronous Write), that the source
//! learns the target's name and version by `GET /` (Replicating Domains to Other Clusters), and that in mode `get` the target
//! is given up to 200 objects to fetch (Managing and Optimizing Feeds). How any of it looks on the wire is not published: all
//! that follows is our choice.
//!
//! | request | target | fields |
//! | --- | --- | --- |
//! | take a version | `POST` or `HEAD` (probe) `/BUCKET/NAME?domain=D&admin&replicate-from=A&replicate-to=B`, a context's own path, or `/UUID[?alias]` | identity; for POST also stamp, metadata and [`NAMES`] |
//! | take a delete | `DELETE /?admin&replicate-from=A&replicate-to=B&stream=ID` | stamp, kind, what is known of the identity |
//! | fetch a batch | `GET /?retrieve&admin&replicate-from=A&replicate-to=B&source=ADDRESS` | none; the body has a line for each item |
//! | hand out a version | `GET` of a version's path with `replicate-from=A&replicate-to=B` | identity and [`AUTH`]; the answer has what a POST has |
//!
//! The identity is in header fields and counts; the path says where a member's bucket was found by name, and may not contradict.
//! A path of more than 16 KiB is left out. Names stand with `%XX` for whatever a field cannot carry.

mod batch;
mod delete;
mod greeting;
mod identity;
mod import;
mod retrieve;
mod stored;
mod text;

#[cfg(test)]
mod tests;

pub use batch::{
    BATCH_BYTES, BATCH_ITEMS, BadBatch, BadLine, Batch, Item, ItemResult, Pushed, Results,
    read_items,
};
pub use delete::{Deletion, encode_delete, read_delete};
pub use greeting::{Greeting, greet, read_answer};
pub use identity::{Identity, Place};
pub use import::{
    Import, encode_held, encode_import, encode_probe, read_held, read_import, read_probe,
};
pub use retrieve::{
    Retrieve, Ticket, encode_fetch, encode_fetched, encode_retrieve, read_fetch, read_fetched,
    read_retrieve,
};
pub use stored::restore_headers;

use swarm_types::{ClusterName, Etag, HeaderList, Stamp, Version};

use text::{Args, escape};

/// The names of the stored header fields, comma-separated, in the client's spelling and order: clients and proxies change
/// both. A name behind `=` has its value not under itself but in the next [`VALUE`].
pub const NAMES: &str = "Castor-System-Names";
/// The value of a stored field that cannot travel under its name; see [`NAMES`].
pub const VALUE: &str = "Castor-System-Value";
/// The ticket of a fetch. Credentials are what a field of this name holds elsewhere too (SCSP SEND - Legacy), so that no log
/// shows it.
pub const AUTH: &str = "Castor-System-Auth";

const KIND: &str = "Castor-System-Kind";
const CID: &str = "Castor-System-CID";
const NAME: &str = "Castor-System-Name";
const ALIAS: &str = "Castor-System-Alias";
const UUID: &str = "Content-UUID";
const VERSION: &str = "Castor-System-Version";
const ETAG: &str = "ETag";
const CREATED: &str = "Castor-System-Created";
const CLUSTER: &str = "Castor-System-Cluster";
const OWNER: &str = "Castor-System-Owner";
const LENGTH: &str = "Castor-System-Length";
const DIGEST: &str = "Stored-Digest";
const HELD: &str = "Castor-System-Held";

/// What is wrong with a request or an answer of another cluster. It quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} {why}")]
pub struct WireError {
    /// The header field or argument, or `path`.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

const fn bad(field: &'static str, why: &'static str) -> WireError {
    WireError { field, why }
}

/// From which cluster to which: every request says both, so that one that reaches another cluster is refused there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `cluster.name` of the source.
    pub from: ClusterName,
    /// `cluster.name` of the target, as the feed's definition has it.
    pub to: ClusterName,
}

impl Route {
    /// The route that the arguments of a request name; `None` for a request that is none of replication.
    ///
    /// # Errors
    /// Half a route, or two.
    pub fn read(query: &str) -> Result<Option<Self>, WireError> {
        let args = Args::parse(query)?;
        if args.one(FROM)?.is_none() && args.one(TO)?.is_none() {
            return Ok(None);
        }
        Self::of(&args).map(Some)
    }

    fn of(args: &Args) -> Result<Self, WireError> {
        let name = |arg| match args.one(arg)? {
            None | Some("") => Err(bad(arg, "is missing")),
            Some(name) => Ok(ClusterName::from(name)),
        };
        Ok(Self { from: name(FROM)?, to: name(TO)? })
    }

    fn push(&self, target: &mut String) {
        for (arg, cluster) in [(FROM, &self.from), (TO, &self.to)] {
            target.push_str(&format!("&{arg}="));
            escape(cluster.as_str(), target);
        }
    }
}

const FROM: &str = "replicate-from";
const TO: &str = "replicate-to";

fn push_stamp(stamp: Stamp, headers: &mut HeaderList) {
    headers.push(VERSION, stamp.version.to_string());
    headers.push(ETAG, format!("\"{}\"", stamp.etag));
}

fn read_stamp(headers: &HeaderList) -> Result<Stamp, WireError> {
    let version = read_version(needed(headers, VERSION)?).ok_or(bad(VERSION, "is no version"))?;
    let etag = needed(headers, ETAG)?;
    let etag = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    let etag: Option<Etag> = etag.and_then(|etag| etag.parse().ok());
    Ok(Stamp { version, etag: etag.ok_or(bad(ETAG, "is no ETag"))? })
}

/// A version as it is shown: seconds with exactly three decimals.
fn read_version(text: &str) -> Option<Version> {
    let (secs, millis) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(secs) || !digits(millis) || millis.len() != 3 {
        return None;
    }
    let secs: u64 = secs.parse().ok()?;
    secs.checked_mul(1000)?.checked_add(millis.parse().ok()?).map(Version)
}

/// The value of a field that is there at most once.
fn one<'a>(headers: &'a HeaderList, name: &'static str) -> Result<Option<&'a str>, WireError> {
    let mut all = headers.all(name);
    let Some(header) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(bad(name, "is there twice"));
    }
    header.text().map(Some).ok_or(bad(name, "is not UTF-8"))
}

fn needed<'a>(headers: &'a HeaderList, name: &'static str) -> Result<&'a str, WireError> {
    one(headers, name)?.ok_or(bad(name, "is missing"))
}

/// An id, if it is there.
fn id<T: std::str::FromStr>(
    headers: &HeaderList,
    name: &'static str,
) -> Result<Option<T>, WireError> {
    let text = one(headers, name)?;
    text.map(|text| text.parse().map_err(|_| bad(name, "is no id"))).transpose()
}
