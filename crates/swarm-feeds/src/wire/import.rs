//! A version on its way to another cluster, and the question whether it is wanted there.

use swarm_plan::feeds::Held;
use swarm_types::{HeaderList, ObjectMeta, Stamp, Uuid, httpdate};

use super::stored::{push_stored, read_stored};
use super::text::{Args, push_text, read_text};
use super::{
    CLUSTER, CREATED, DIGEST, HELD, Identity, LENGTH, OWNER, Route, WireError, bad, needed, one,
    push_stamp, read_stamp,
};

/// A version as another cluster has it; its body comes behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Which object.
    pub identity: Identity,
    /// Which version of it.
    pub stamp: Stamp,
    /// What persists with it, nothing added and nothing left out. The length is what the source has stored.
    pub meta: ObjectMeta,
}

/// The request that brings a version: target and fields of a `POST`. Framing and credentials are the client's.
#[must_use]
pub fn encode_import(
    identity: &Identity,
    meta: &ObjectMeta,
    stamp: Stamp,
    route: &Route,
) -> (String, HeaderList) {
    (target(identity, route), encode_version(identity, meta, stamp))
}

/// The version that such a request brings.
///
/// # Errors
/// What is missing, malformed or contradicts itself.
pub fn read_import(
    path: &str,
    query: &str,
    headers: &HeaderList,
) -> Result<(Route, Import), WireError> {
    let args = Args::parse(query)?;
    let route = Route::of(&args)?;
    let mut import = read_version_of(headers)?;
    import.identity = import.identity.found_at(path, &args)?;
    Ok((route, import))
}

/// The request that asks what the target has of an object: target and fields of a `HEAD`. The identity goes with it, because
/// the target may have another object of that name.
#[must_use]
pub fn encode_probe(identity: &Identity, route: &Route) -> (String, HeaderList) {
    let mut headers = HeaderList::default();
    identity.push(&mut headers);
    (target(identity, route), headers)
}

/// The object that such a request asks for.
///
/// # Errors
/// As [`read_import`].
pub fn read_probe(
    path: &str,
    query: &str,
    headers: &HeaderList,
) -> Result<(Route, Identity), WireError> {
    let args = Args::parse(query)?;
    let route = Route::of(&args)?;
    Ok((route, Identity::read(headers)?.found_at(path, &args)?))
}

/// The fields that answer a probe.
#[must_use]
pub fn encode_held(held: Held) -> HeaderList {
    let (word, stamp) = match held {
        Held::Nothing => ("nothing", None),
        Held::Version { stamp, intact: true } => ("intact", Some(stamp)),
        Held::Version { stamp, intact: false } => ("damaged", Some(stamp)),
        Held::Tombstone(stamp) => ("deleted", Some(stamp)),
    };
    let mut headers = HeaderList::default();
    headers.push(HELD, word);
    if let Some(stamp) = stamp {
        push_stamp(stamp, &mut headers);
    }
    headers
}

/// What an answer to a probe tells. `None` where it tells nothing, as the 404 of a proxy: then the version is sent.
#[must_use]
pub fn read_held(headers: &HeaderList) -> Option<Held> {
    match one(headers, HELD).ok()?? {
        "nothing" => Some(Held::Nothing),
        "intact" => Some(Held::Version { stamp: read_stamp(headers).ok()?, intact: true }),
        "damaged" => Some(Held::Version { stamp: read_stamp(headers).ok()?, intact: false }),
        "deleted" => Some(Held::Tombstone(read_stamp(headers).ok()?)),
        _ => None,
    }
}

fn target(identity: &Identity, route: &Route) -> String {
    let mut target = identity.target();
    target.push_str("&admin");
    route.push(&mut target);
    target
}

/// The fields of a version, in a request or in an answer.
pub(super) fn encode_version(identity: &Identity, meta: &ObjectMeta, stamp: Stamp) -> HeaderList {
    let mut headers = HeaderList::default();
    identity.push(&mut headers);
    push_stamp(stamp, &mut headers);
    // For whoever looks at it; what counts is the version.
    headers.push(CREATED, httpdate::format(stamp.version.timestamp()));
    push_text(CLUSTER, &meta.cluster, &mut headers);
    if let Some(owner) = &meta.owner {
        push_text(OWNER, owner, &mut headers);
    }
    headers.push(LENGTH, meta.length.to_string());
    let digest = Uuid::from_bytes(meta.digest);
    headers.push(DIGEST, digest.to_string());
    push_stored(&meta.headers, &mut headers);
    headers
}

pub(super) fn read_version_of(headers: &HeaderList) -> Result<Import, WireError> {
    let identity = Identity::read(headers)?;
    let stamp = read_stamp(headers)?;
    if !identity.kind.is_mutable() && identity.uuid.is_some_and(|uuid| uuid.etag() != stamp.etag) {
        return Err(bad(super::ETAG, "is not the UUID of the immutable object"));
    }
    let length = needed(headers, LENGTH)?;
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| digits).ok_or(bad(LENGTH, "is no length"))?;
    let digest: Option<Uuid> = needed(headers, DIGEST)?.parse().ok();
    let meta = ObjectMeta {
        kind: identity.kind,
        alias: identity.alias(),
        cid: identity.cid,
        name: identity.name.clone(),
        cluster: read_text(headers, CLUSTER)?.ok_or(bad(CLUSTER, "is missing"))?,
        owner: read_text(headers, OWNER)?,
        headers: read_stored(headers)?,
        length,
        digest: *digest.ok_or(bad(DIGEST, "is no digest"))?.as_bytes(),
    };
    Ok(Import { identity, stamp, meta })
}
