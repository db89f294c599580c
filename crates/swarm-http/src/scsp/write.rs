//! POST, PUT, COPY and APPEND: what is to be stored, the body piece by piece, the answer.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};
use swarm_node::api::{Address, Amended, Replicate, Reply, WriteKind, WriteRequest};
use swarm_policy::{Lifecycle, Reps};
use swarm_types::Etag;

use super::blocks::{self, Here};
use super::{Call, Scsp, Verb, metadata};
use crate::codec::{Framing, Response};
use crate::status::{self, Fault};

/// SCSP WRITE: a longer body without `Expect: 100-continue` is worth a warning, and is taken all the same.
const UNASKED_BYTES: u64 = 65_536;

impl Scsp {
    pub(super) async fn write(&self, mut call: Call) -> Result<Response, Fault> {
        let kind = self.write_kind(&call)?;
        let (request, md5) = self.write_request(&call, kind)?;
        if request.length > UNASKED_BYTES && !call.head.expects_continue() {
            let (node, length) = (self.node.env().name(), request.length);
            tracing::warn!(node, length, "long body sent without asking");
        }
        let mut session = match self.node.begin_write(request).await.map_err(Fault::Write)? {
            Reply::Served(session) => session,
            Reply::Redirect(redirect) => return Ok(self.redirect(&redirect, &call)),
        };
        // Asking for the first piece sends the `100 Continue`. Whatever goes wrong from here on drops the session, and
        // with it everything that was written.
        let mut digest = md5.map(|expected| (expected, Md5::new()));
        while let Some(piece) = session.take_over().await.map_err(Fault::Write)? {
            // COPY sends no bytes: what it says of them is of those that are there (SCSP COPY).
            if let Some((_, digest)) = digest.as_mut().filter(|_| call.verb == Verb::Copy) {
                digest.update(&piece);
            }
        }
        while let Some(piece) = call.body.next().await.map_err(Fault::Body)? {
            if let Some((_, digest)) = &mut digest {
                digest.update(&piece);
            }
            session.write(piece).await.map_err(Fault::Write)?;
        }
        if let Some((expected, digest)) = digest
            && *digest.finalize() != expected
        {
            return Err(Fault::Md5Mismatch);
        }
        let reply = session.finish().await.map_err(Fault::Write)?;
        let here = Here {
            cluster: self.node.config().cluster.as_str(),
            port: self.node.config().scsp_port,
        };
        // Of what was posted to `/`, only an unnamed object is found by its UUID.
        let uuid = reply.uuid.filter(|_| matches!(kind, WriteKind::Unnamed { .. }));
        let path = blocks::path(&call.target.place, uuid);
        let block = blocks::written(&reply, &path, here);
        Ok(status::created(block, reply.replaced, self.node.env().wall()))
    }

    /// What the request creates or replaces, if it may.
    fn write_kind(&self, call: &Call) -> Result<WriteKind, Fault> {
        let address = call.address()?;
        let context = matches!(address, Address::Bucket(_) | Address::Domain);
        if let Some(headers) = amended(call)? {
            return Ok(WriteKind::Amend { headers });
        }
        if call.verb == Verb::Put {
            let put_create = call.target.query.flag("putcreate")?;
            // SCSP WRITE: the argument is for named objects only; the setting is ignored on others.
            if put_create && context {
                return Err(Fault::InvalidArgument(
                    "Argument 'putcreate' is for named objects.".to_owned(),
                ));
            }
            if call.target.query.wanted("version") {
                return Err(Fault::InvalidArgument("PUT takes no 'version'.".to_owned()));
            }
            let named = matches!(address, Address::Named { .. });
            let or_create = named && (put_create || self.rules.allow_put_create);
            return Ok(WriteKind::Replace { or_create });
        }
        match address {
            Address::NewUnnamed => Ok(WriteKind::Unnamed { alias: call.is("alias") }),
            Address::Unnamed(_) => Err(Fault::InvalidRequest("POST takes no UUID.")),
            _ if context
                && self.rules.require_explicit_context_create
                && !call.has_context_type() =>
            {
                Err(Fault::InvalidRequest("Content-Type application/castorcontext is required."))
            }
            _ => Ok(WriteKind::Create { only_if_absent: call.only_if_absent() }),
        }
    }

    /// The request to the node, and the MD5 that the body must have.
    fn write_request(
        &self,
        call: &Call,
        kind: WriteKind,
    ) -> Result<(WriteRequest, Option<[u8; 16]>), Fault> {
        let headers = metadata::persistent(call.head.fields())?;
        let md5 = content_md5(call)?;
        let replicate = replicate(call)?;
        let target = call.node_target()?;
        let length = match call.head.framing() {
            Framing::Length(length) => length,
            Framing::Absent if call.verb == Verb::Copy => 0,
            Framing::Absent => return Err(Fault::LengthRequired),
            // What counts is the lifepoint that the object has, which is not known yet.
            Framing::Chunked
                if matches!(kind, WriteKind::Amend { headers: Amended::Old | Amended::Merged }) =>
            {
                return Err(Fault::NotBuilt("chunked APPEND".to_owned()));
            }
            Framing::Chunked => {
                // Chunked writes are erasure-coded (Working with Large Objects), which whole replicas rule out.
                let now = self.node.env().wall();
                let (lifecycle, _) = Lifecycle::of_headers(&headers, now);
                return Err(match lifecycle.at(now).reps {
                    Some(Reps::Whole(_)) => Fault::ErasureCodingRequired,
                    _ => Fault::NotBuilt("chunked writes".to_owned()),
                });
            }
        };
        let request = WriteRequest {
            target,
            kind,
            nonce: call.nonce(),
            headers,
            length,
            if_match: if_match(call)?,
            replicate,
            owner: call.owner.clone(),
            fresh_contexts: call.fresh_contexts(),
        };
        Ok((request, md5))
    }
}

/// Whose headers a version has that takes another one over; none for a verb that does not (SCSP APPEND, SCSP COPY).
fn amended(call: &Call) -> Result<Option<Amended>, Fault> {
    if !matches!(call.verb, Verb::Append | Verb::Copy) {
        return Ok(None);
    }
    let query = &call.target.query;
    let preserve = query.flag("preserve")?;
    if call.verb == Verb::Copy {
        return Ok(Some(if preserve { Amended::Merged } else { Amended::New }));
    }
    if query.flag("gencontentmd5")? {
        let text = "APPEND takes no 'gencontentmd5'.";
        return Err(Fault::InvalidArgument(text.to_owned()));
    }
    match (preserve, query.flag("replace")?) {
        (true, true) => {
            let text = "Arguments 'preserve' and 'replace' exclude each other.";
            Err(Fault::InvalidArgument(text.to_owned()))
        }
        (true, false) => Ok(Some(Amended::Merged)),
        (false, true) => Ok(Some(Amended::New)),
        (false, false) => Ok(Some(Amended::Old)),
    }
}

/// `If-Match`: the ETags in its lists; none where it is absent or has `*`, which asks only that the object is there.
fn if_match(call: &Call) -> Result<Option<Vec<Etag>>, Fault> {
    let mut wanted = None;
    for value in call.head.fields().all("if-match") {
        let malformed = Fault::InvalidHeader("If-Match is malformed.");
        let Ok(value) = std::str::from_utf8(value) else { return Err(malformed) };
        if value.trim() == "*" {
            return Ok(None);
        }
        for tag in value.split(',') {
            let tag = tag.trim().trim_matches('"');
            // A tag that is none of ours matches nothing.
            wanted.get_or_insert_with(Vec::new).extend(tag.parse::<Etag>());
        }
    }
    Ok(wanted)
}

/// The MD5 that the client gave, base64 of 16 bytes (Content-MD5 Checksums).
fn content_md5(call: &Call) -> Result<Option<[u8; 16]>, Fault> {
    let mut values = call.head.fields().all("content-md5");
    let Some(value) = values.next() else { return Ok(None) };
    let malformed = Fault::InvalidHeader("Content-MD5 is malformed.");
    if values.next().is_some() {
        return Err(malformed);
    }
    let bytes = BASE64_STANDARD.decode(value).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).map(Some).ok_or(malformed)
}

/// WRITE with Replicate ROW: a number, `immediate` or `full`.
fn replicate(call: &Call) -> Result<Option<Replicate>, Fault> {
    let value = call.target.query.one("replicate")?;
    let parsed = value.map(str::parse).transpose();
    parsed
        .map_err(|error: swarm_policy::ReplicateError| Fault::InvalidArgument(format!("{error}.")))
}
