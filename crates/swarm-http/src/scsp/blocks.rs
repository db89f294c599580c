//! The header blocks of good answers: an object's (GET, HEAD), a write's, a delete's; and `Location`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use swarm_node::api::{DeleteReply, ReadReply, Redirect, WriteReply};
use swarm_types::{Hex, NodeId, ObjectMeta, Stamp, httpdate};

use super::query::{encode, header_text};
use super::send::{Report, push_report};
use super::target::{Place, RequestTarget};
use crate::codec::FieldBlock;

/// Stored headers and what the node set, sorted by name, then what is known only now (Content-MD5 Checksums): at last what
/// feeds have come to, for those who asked.
pub(crate) fn object(reply: &ReadReply, feeds: &Report) -> FieldBlock {
    describe(reply, feeds, "ETag", &[])
}

/// The same as SEND answers (SCSP SEND - Legacy): the framing stands among the sorted fields, and so do the names of the
/// fields that come behind the body.
pub(crate) fn sent(reply: &ReadReply, feeds: &Report, behind: &str) -> FieldBlock {
    let framing = (FRAMING, None);
    let announced = ("Trailer", Some(behind));
    let among = [framing, announced];
    describe(reply, feeds, "Etag", if behind.is_empty() { &among[..1] } else { &among })
}

/// Stands for the framing field where the codec is to put it, by the name under which it is sorted.
const FRAMING: &str = "transfer-encoding";

fn describe(reply: &ReadReply, feeds: &Report, etag: &str, among: &[Among<'_>]) -> FieldBlock {
    let meta = &reply.meta;
    let mut block = FieldBlock::new();
    push_stored(meta, reply.stamp, among, &mut block);
    block.push_fmt(etag, format_args!("\"{}\"", reply.stamp.etag));
    if let Some(path) = &reply.path {
        block.push("Castor-System-Path", header_text(path));
    }
    if let Some(domain) = &reply.domain {
        block.push("Castor-System-Domain", domain);
    }
    push_report(feeds, &mut block);
    block.push_fmt("Volume", format_args!("{}", reply.volume));
    if let Some(hint) = reply.volume_hint {
        block.push_fmt("Volume-Hint", format_args!("{hint}"));
    }
    for md5 in meta.headers.all("content-md5") {
        block.push(&md5.name, &md5.value);
    }
    block
}

/// A field that is sorted among the stored ones; without a value it is the codec's.
type Among<'a> = (&'a str, Option<&'a str>);

fn push_stored(meta: &ObjectMeta, stamp: Stamp, among: &[Among<'_>], block: &mut FieldBlock) {
    let written = httpdate::format(stamp.version.timestamp());
    let mut own: Vec<(&str, String)> = vec![
        ("Castor-System-Cluster", meta.cluster.clone()),
        ("Castor-System-Created", written.clone()),
        ("Castor-System-Version", stamp.version.to_string()),
        ("Last-Modified", written),
    ];
    own.extend(meta.alias.map(|alias| ("Castor-System-Alias", alias.to_string())));
    own.extend(meta.cid.map(|cid| ("Castor-System-CID", cid.to_string())));
    own.extend(meta.name.as_deref().map(|name| ("Castor-System-Name", header_text(name))));
    own.extend(meta.owner.clone().map(|owner| ("Castor-System-Owner", owner)));
    let stored = meta.headers.iter().filter(|header| !header.is("content-md5"));
    let mut all: Vec<(&str, Option<&[u8]>)> = stored
        .map(|header| (header.name.as_str(), Some(&*header.value)))
        .chain(own.iter().map(|(name, value)| (*name, Some(value.as_bytes()))))
        .chain(among.iter().map(|(name, value)| (*name, value.map(str::as_bytes))))
        .collect();
    // Stable, so that repeats stay in the client's order.
    all.sort_by(|(a, _), (b, _)| {
        let lower =
            |name: &str| name.bytes().map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>();
        lower(a).cmp(&lower(b))
    });
    for (name, value) in all {
        match value {
            Some(value) => block.push(name, value),
            None => block.framing_here(),
        }
    }
}

/// Where this node's answers say that an object is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) port: u16,
}

/// One group of cluster, location and volume per replica, then the version (Versioning Examples).
pub(crate) fn written(reply: &WriteReply, path: &str, here: Here<'_>) -> FieldBlock {
    let mut block = FieldBlock::new();
    for replica in &reply.replicas {
        block.push("Castor-System-Cluster", here.cluster);
        let location = location(replica.node, here.port, path, reply.domain.as_deref());
        block.push("Location", location);
        block.push_fmt("Volume", format_args!("{}", replica.volume));
    }
    block.push_fmt("Stored-Digest", format_args!("{}", Hex(&reply.stored_digest)));
    block.push("Last-Modified", httpdate::format(reply.stamp.version.timestamp()));
    if let Some(uuid) = reply.uuid {
        block.push_fmt("Content-UUID", format_args!("{uuid}"));
    }
    block.push("Entity-MD5", BASE64_STANDARD.encode(reply.stored_digest));
    block.push_fmt("Castor-System-Version", format_args!("{}", reply.stamp.version));
    block.push_fmt("Etag", format_args!("\"{}\"", reply.stamp.etag));
    if let Some(alias) = reply.alias {
        block.push_fmt("Castor-System-Alias", format_args!("{alias}"));
    }
    // WRITE with Replicate ROW: only where there is more than one.
    if reply.replicas.len() > 1 {
        block.push_fmt("Replica-Count", format_args!("{}", reply.replicas.len()));
    }
    block
}

/// The deleted object's block (Normal DELETE Responses).
pub(crate) fn deleted(reply: &DeleteReply) -> FieldBlock {
    let mut block = FieldBlock::new();
    if let Some(alias) = reply.meta.alias {
        block.push_fmt("Castor-System-Alias", format_args!("{alias}"));
    }
    let written = httpdate::format(reply.stamp.version.timestamp());
    block.push("Castor-System-Cluster", &reply.meta.cluster);
    block.push("Castor-System-Created", &written);
    if let Some(kind) = reply.meta.headers.get("content-type") {
        block.push(&kind.name, &kind.value);
    }
    block.push("Last-Modified", &written);
    block.push_fmt("Etag", format_args!("\"{}\"", reply.stamp.etag));
    block
}

/// The encoded path of what a target names; an unnamed object that was just created is named by its UUID.
pub(crate) fn path(place: &Place, uuid: Option<swarm_types::Uuid>) -> String {
    let mut path = String::from("/");
    match (place, uuid) {
        (Place::Unnamed(uuid), _) => path.push_str(&uuid.to_string()),
        (Place::Root, Some(uuid)) => path.push_str(&uuid.to_string()),
        (Place::Root, None) => {}
        (Place::Bucket(bucket), _) => encode(bucket, &mut path),
        (Place::Named { bucket, name }, _) => {
            encode(bucket, &mut path);
            path.push('/');
            encode(name, &mut path);
        }
    }
    path
}

fn location(node: NodeId, port: u16, path: &str, domain: Option<&str>) -> String {
    let mut location = format!("http://{node}:{port}{path}");
    if let Some(domain) = domain {
        location.push_str("?domain=");
        encode(domain, &mut location);
    }
    location
}

/// Where a redirect sends the client: the same path and arguments, the domain if only `Host` gave it (clients rewrite
/// `Host`), and the token of the node that it is sent to (Normal Responses to WRITE).
pub(crate) fn redirect_location(redirect: &Redirect, target: &RequestTarget, port: u16) -> String {
    let mut location = format!("http://{}:{port}{}", redirect.node, target.raw_path);
    let mut separator = '?';
    let mut push = |part: &str| {
        location.push(separator);
        location.push_str(part);
        separator = '&';
    };
    // A token of an earlier hop was good there only.
    let is_auth =
        |part: &str| part.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("auth"));
    for part in target.raw_query.split('&').filter(|part| !part.is_empty() && !is_auth(part)) {
        push(part);
    }
    if !target.query.has("domain")
        && let Some(domain) = &redirect.domain
    {
        let mut part = String::from("domain=");
        encode(domain, &mut part);
        push(&part);
    }
    push(&format!("auth={:032X}", redirect.nonce.0));
    location
}

#[cfg(test)]
mod tests;
