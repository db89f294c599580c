//! Stored header fields on their way: what hyper and proxies do to names is undone.
//!
//! A client spells names as it likes, sends repeats side by side and keeps neither order nor spelling; nor does what stands
//! between. So the names travel in a field of their own ([`NAMES`]), and a field whose number of values is not what that says
//! is one that somebody has meddled with.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use swarm_types::{HEADERS_MAX, HEADERS_MAX_BYTES, Header, HeaderList};

use super::text::PIECE;
use super::{NAMES, VALUE, WireError, bad};

/// Different names sent as they are. Receivers take 500 (SDK meta.py), the request's own among them.
const DISTINCT: usize = 400;
/// Before a name whose value is in a [`VALUE`]; no name contains it.
const BY_VALUE: char = '=';

/// Names of stored fields that say nothing about the request or the answer that carries them. `Cache-Control`, `Expires` and
/// `Allow` are not among them: they are stored too, and proxies and nodes would act on them. What persists at all is for the
/// SCSP port to say, in a list of its own; a name that is only there travels in a [`VALUE`].
const HARMLESS: [&str; 8] = [
    "content-base",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-md5",
    "content-type",
    "lifepoint",
];

fn travels_as_it_is(lower: &str) -> bool {
    HARMLESS.contains(&lower)
        || lower.starts_with("x-") && lower.contains("-meta")
        || lower.starts_with("policy-")
        || lower.starts_with("castor-") && !lower.starts_with("castor-system-")
}

/// Adds stored fields and their names.
pub(super) fn push_stored(stored: &HeaderList, headers: &mut HeaderList) {
    let mut sent = BTreeSet::new();
    let mut names = vec![String::new()];
    for header in stored.iter() {
        let lower = header.name.to_ascii_lowercase();
        let plain = sent.contains(&lower) || sent.len() < DISTINCT && travels_as_it_is(&lower);
        let mut entry = header.name.clone();
        if plain {
            headers.push(header.name.clone(), header.value.clone());
            sent.insert(lower);
        } else {
            entry.insert(0, BY_VALUE);
            headers.push(VALUE, header.value.clone());
        }
        match names.last_mut() {
            Some(list) if list.is_empty() => *list = entry,
            Some(list) if list.len() + 1 + entry.len() <= PIECE => {
                list.push(',');
                list.push_str(&entry);
            }
            _ => names.push(entry),
        }
    }
    for list in names {
        headers.push(NAMES, list);
    }
}

/// The stored fields among those received.
pub(super) fn read_stored(headers: &HeaderList) -> Result<HeaderList, WireError> {
    let lists: Option<Vec<&str>> = headers.all(NAMES).map(Header::text).collect();
    let lists = lists.ok_or(bad(NAMES, "is not UTF-8"))?;
    if lists.is_empty() {
        return Err(bad(NAMES, "is missing"));
    }
    let stored = restore_headers(headers, &lists.join(","));
    let stored = stored.ok_or(bad(NAMES, "does not fit the fields"))?;
    let total: usize = stored.iter().map(|header| header.name.len() + header.value.len()).sum();
    if stored.0.len() > HEADERS_MAX || total > HEADERS_MAX_BYTES {
        return Err(bad(NAMES, "tells of more fields than an object may have"));
    }
    Ok(stored)
}

/// The stored fields in the spelling and order that [`NAMES`] tells (its fields joined by commas); `None` where it tells of other
/// fields than were received. Received names may be in any case and any order, if only the values of one name are in theirs.
#[must_use]
pub fn restore_headers(received: &HeaderList, names: &str) -> Option<HeaderList> {
    let mut values: BTreeMap<String, std::collections::VecDeque<&Bytes>> = BTreeMap::new();
    for header in received.iter() {
        values.entry(header.name.to_ascii_lowercase()).or_default().push_back(&header.value);
    }
    let mut stored = HeaderList::default();
    let mut used = BTreeSet::from([VALUE.to_ascii_lowercase()]);
    for entry in names.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, source) = match entry.strip_prefix(BY_VALUE) {
            Some(name) => (name, VALUE),
            None => (entry, entry),
        };
        let source = source.to_ascii_lowercase();
        if !is_token(name) {
            return None;
        }
        let value = values.get_mut(&source)?.pop_front()?;
        used.insert(source);
        stored.push(name, value.clone());
    }
    let left = |name: &String| values.get(name).is_some_and(|values| !values.is_empty());
    (!used.iter().any(left)).then_some(stored)
}

/// True for a legal field name.
fn is_token(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(legal)
}
