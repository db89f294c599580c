//! Requests of mode `get`: the target is told what to fetch, and fetches it (Managing and Optimizing Feeds).

use std::fmt;
use std::net::SocketAddr;

use swarm_types::{HeaderList, ObjectMeta, Stamp};

use super::import::{encode_version, read_version_of};
use super::text::{Args, escape};
use super::{AUTH, Identity, Import, Route, WireError, bad, needed};

/// Leave to fetch one object, signed by the node that gives it: neither cluster needs the other's password. No log shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ticket(pub u128);

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(not shown)")
    }
}

impl Ticket {
    /// The ticket as the wire has it.
    pub(super) fn text(self) -> String {
        format!("{:032x}", self.0)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(text, 16).ok().map(Self))?
    }
}

/// How a batch is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieve {
    /// From which cluster to which.
    pub route: Route,
    /// Where its objects are fetched.
    pub source: SocketAddr,
    /// Another node has named this one for it, or named one that cannot be reached: what there is room for is stored here, and no
    /// other node is named for it.
    pub stay: bool,
}

/// The request that hands a batch to the target: target and fields of a `GET` whose body is the batch. `source` is where its
/// objects are fetched.
#[must_use]
pub fn encode_retrieve(batch: &Retrieve) -> (String, HeaderList) {
    let Retrieve { route, source, stay } = batch;
    let mut target = String::from("/?retrieve&admin");
    if *stay {
        target.push_str("&stay");
    }
    route.push(&mut target);
    target.push_str("&source=");
    escape(&source.to_string(), &mut target);
    let mut headers = HeaderList::default();
    headers.push("Content-Type", "application/x-ndjson");
    (target, headers)
}

/// What such a request says beside its batch; `None` for another request.
///
/// # Errors
/// What is missing or malformed.
pub fn read_retrieve(query: &str) -> Result<Option<Retrieve>, WireError> {
    let args = Args::parse(query)?;
    if !args.has("retrieve") {
        return Ok(None);
    }
    let source = args.one("source")?.ok_or(bad("source", "is missing"))?;
    let source = source.parse().map_err(|_| bad("source", "is no address"))?;
    Ok(Some(Retrieve { route: Route::of(&args)?, source, stay: args.has("stay") }))
}

/// The request that fetches an object of a batch: target and fields of a `GET`. The route is that of the feed: from the cluster
/// that is asked to the one that asks.
#[must_use]
pub fn encode_fetch(identity: &Identity, ticket: Ticket, route: &Route) -> (String, HeaderList) {
    let mut target = identity.target();
    route.push(&mut target);
    let mut headers = HeaderList::default();
    identity.push(&mut headers);
    headers.push(AUTH, ticket.text());
    (target, headers)
}

/// What such a request asks for, and by which leave.
///
/// # Errors
/// What is missing, malformed or contradicts itself.
pub fn read_fetch(
    path: &str,
    query: &str,
    headers: &HeaderList,
) -> Result<(Route, Identity, Ticket), WireError> {
    let args = Args::parse(query)?;
    let ticket = Ticket::read(needed(headers, AUTH)?).ok_or(bad(AUTH, "is no ticket"))?;
    Ok((Route::of(&args)?, Identity::read(headers)?.found_at(path, &args)?, ticket))
}

/// The fields of the answer; the version may be newer than the one that the batch named.
#[must_use]
pub fn encode_fetched(identity: &Identity, meta: &ObjectMeta, stamp: Stamp) -> HeaderList {
    encode_version(identity, meta, stamp)
}

/// The version that was handed out.
///
/// # Errors
/// What is missing or malformed; that it is another object than was asked for.
pub fn read_fetched(asked: &Identity, headers: &HeaderList) -> Result<Import, WireError> {
    let mut import = read_version_of(headers)?;
    import.identity.place = asked.place.clone();
    if import.identity != *asked {
        return Err(bad("answer", "is another object"));
    }
    Ok(import)
}
