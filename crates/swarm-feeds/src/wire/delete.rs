//! A delete on its way to another cluster.

use swarm_types::{HeaderList, ObjectKind, Stamp, StreamId, Uuid};

use super::identity::{kind_of, kind_word};
use super::text::{Args, push_text, read_text};
use super::{ALIAS, CID, KIND, NAME, Route, WireError, bad, id, needed, push_stamp, read_stamp};

/// A delete, addressed by stream id: whoever remembers one knows a hash of the name, not the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// What was deleted, the same in all clusters.
    pub stream: StreamId,
    /// Its class.
    pub kind: ObjectKind,
    /// The place of the delete among the versions.
    pub stamp: Stamp,
    /// Its alias UUID, if known.
    pub alias: Option<Uuid>,
    /// Its parent's, if known.
    pub cid: Option<Uuid>,
    /// The name of the domain that it was in, if known; its own if it was a domain.
    pub name: Option<String>,
}

/// The request that brings a delete: target and fields of a `DELETE`.
#[must_use]
pub fn encode_delete(deletion: &Deletion, route: &Route) -> (String, HeaderList) {
    let mut target = String::from("/?admin");
    route.push(&mut target);
    target.push_str(&format!("&stream={}", deletion.stream));
    let mut headers = HeaderList::default();
    headers.push(KIND, kind_word(deletion.kind));
    push_stamp(deletion.stamp, &mut headers);
    for (name, id) in [(CID, deletion.cid), (ALIAS, deletion.alias)] {
        if let Some(id) = id {
            headers.push(name, id.to_string());
        }
    }
    if let Some(name) = &deletion.name {
        push_text(NAME, name, &mut headers);
    }
    (target, headers)
}

/// The delete that such a request brings.
///
/// # Errors
/// What is missing or malformed.
pub fn read_delete(query: &str, headers: &HeaderList) -> Result<(Route, Deletion), WireError> {
    let args = Args::parse(query)?;
    let stream = args.one("stream")?.ok_or(bad("stream", "is missing"))?;
    let deletion = Deletion {
        stream: stream.parse().map_err(|_| bad("stream", "is no id"))?,
        kind: kind_of(needed(headers, KIND)?).ok_or(bad(KIND, "is no kind of object"))?,
        stamp: read_stamp(headers)?,
        alias: id(headers, ALIAS)?,
        cid: id(headers, CID)?,
        name: read_text(headers, NAME)?,
    };
    Ok((Route::of(&args)?, deletion))
}
