//! A request that has been understood: verb, target, arguments, headers, a body to come.

use swarm_node::api::{Address, DomainChoice, Nonce, Target};

use super::names;
use super::target::{Place, RequestTarget};
use crate::codec::{Framing, Request, RequestBody, RequestHead};
use crate::status::Fault;

/// The verbs of the port (SCSP Methods); they are case-sensitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Copy,
    Append,
    Send,
    Hold,
    Release,
    Gen,
}

impl Verb {
    const ALL: [Self; 11] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Delete,
        Self::Copy,
        Self::Append,
        Self::Send,
        Self::Hold,
        Self::Release,
        Self::Gen,
    ];

    /// The verb on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Copy => "COPY",
            Self::Append => "APPEND",
            Self::Send => "SEND",
            Self::Hold => "HOLD",
            Self::Release => "RELEASE",
            Self::Gen => "GEN",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }

    /// GET and HEAD.
    pub(crate) const fn reads(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    /// POST, PUT, COPY and APPEND (SCSP Query Arguments).
    pub(crate) const fn writes(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Copy | Self::Append)
    }

    /// Those that carry an entity and must say how long it is (Error Responses to WRITE).
    const fn needs_length(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Append | Self::Hold)
    }
}

/// The content type that marks the creation of a context (SCSP WRITE).
const CONTEXT_TYPE: &str = "application/castorcontext";

/// A request that makes sense so far.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) target: RequestTarget,
    pub(crate) head: RequestHead,
    pub(crate) body: RequestBody,
    /// `user@realm`, once authenticated.
    pub(crate) owner: Option<String>,
}

impl Call {
    /// Understands a request, in this order: verb, Host, target, arguments, framing, expectation.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub(crate) fn read(request: Request) -> Result<Self, Fault> {
        let Request { head, body, .. } = request;
        let verb = Verb::parse(head.method()).ok_or(Fault::UnknownMethod)?;
        let target = RequestTarget::parse(head.target(), head.fields())?;
        match head.framing() {
            Framing::Absent if verb.needs_length() => return Err(Fault::LengthRequired),
            // DX App Guide: COPY takes no Content-Length or 0.
            Framing::Length(1..) | Framing::Chunked if verb == Verb::Copy => {
                return Err(Fault::InvalidRequest("COPY takes no body."));
            }
            _ => {}
        }
        let known = |value: &[u8]| {
            value.eq_ignore_ascii_case(b"100-continue")
                || value.eq_ignore_ascii_case(b"content-md5")
        };
        if !head.fields().all("expect").all(known) {
            return Err(Fault::ExpectationFailed);
        }
        for flag in ["admin", "alias"] {
            target.query.flag(flag)?;
        }
        Ok(Self { verb, target, head, body, owner: None })
    }

    /// `GET /` and `HEAD /` without a domain are about the node.
    pub(crate) fn is_node_status(&self) -> bool {
        self.verb.reads()
            && self.target.place == Place::Root
            && !matches!(self.target.domain, DomainChoice::Named(_))
            && !self.target.query.wanted("aliasuuid")
    }

    /// True if the request uses a right of administrators.
    pub(crate) fn needs_admin(&self) -> bool {
        let named = matches!(self.target.domain, DomainChoice::Named(_));
        let domain = self.target.place == Place::Root && named;
        self.is("admin")
            || self.verb == Verb::Send
            || self.is_replication() && !self.is_fetch()
            || (self.verb == Verb::Post && self.makes_domain())
            || (self.verb == Verb::Delete && domain)
    }

    /// Whether another cluster asks, as the feeds of one do.
    pub(crate) fn is_replication(&self) -> bool {
        let query = &self.target.query;
        query.has("replicate-from") || query.has("replicate-to")
    }

    /// Whether another cluster fetches one object, with a ticket in the place of credentials.
    pub(crate) fn is_fetch(&self) -> bool {
        self.is_replication() && self.verb == Verb::Get && !self.target.query.has("retrieve")
    }

    /// A boolean argument; those that could be malformed were refused by [`Call::read`] or have been checked since.
    pub(crate) fn is(&self, flag: &str) -> bool {
        self.target.query.flag(flag) == Ok(true)
    }

    /// True for a POST on `/?domain=NAME` that is about the domain and not about a new unnamed object in it: it says so by
    /// its content type or a deprecated argument (SCSP WRITE; SCSP Query Arguments).
    pub(crate) fn makes_domain(&self) -> bool {
        let query = &self.target.query;
        let says_so =
            self.has_context_type() || query.has("createdomain") || query.has("recreatecid");
        let named = matches!(self.target.domain, DomainChoice::Named(_));
        self.target.place == Place::Root && named && says_so
    }

    /// `Content-Type: application/castorcontext`.
    pub(crate) fn has_context_type(&self) -> bool {
        let fields = self.head.fields();
        let value = fields.get("content-type").unwrap_or_default();
        let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(CONTEXT_TYPE.as_bytes())
    }

    /// What the request is about.
    ///
    /// # Errors
    /// An address that this verb does not take.
    pub(crate) fn address(&self) -> Result<Address, Fault> {
        Ok(match &self.target.place {
            Place::Bucket(bucket) => Address::Bucket(bucket.clone()),
            Place::Named { bucket, name } => {
                Address::Named { bucket: bucket.clone(), name: name.clone() }
            }
            Place::Unnamed(uuid) => Address::Unnamed(*uuid),
            Place::Root if self.verb == Verb::Post && !self.makes_domain() => Address::NewUnnamed,
            Place::Root if matches!(self.target.domain, DomainChoice::Named(_)) => Address::Domain,
            Place::Root => {
                return Err(Fault::InvalidRequest("Argument 'domain' is required."));
            }
        })
    }

    /// The address within its domain.
    ///
    /// # Errors
    /// As [`Call::address`].
    pub(crate) fn node_target(&self) -> Result<Target, Fault> {
        Ok(Target { domain: self.target.domain.clone(), address: self.address()? })
    }

    /// Unnamed objects, new or not.
    pub(crate) fn is_unnamed(&self) -> bool {
        matches!(self.address(), Ok(Address::Unnamed(_) | Address::NewUnnamed))
    }

    /// POST with a UUID and the `admin` argument: an object with an id of the client's choice (SDK client.py).
    pub(crate) fn wants_chosen_uuid(&self) -> bool {
        self.verb == Verb::Post
            && matches!(self.target.place, Place::Unnamed(_))
            && self.is("admin")
    }

    /// `If-None-Match: *` on POST over a name of an object: create only (SCSP WRITE).
    pub(crate) fn only_if_absent(&self) -> bool {
        let mut values = self.head.fields().all("if-none-match");
        self.verb == Verb::Post
            && matches!(self.target.place, Place::Named { .. })
            && values.next().is_some_and(|value| value == b"*")
            && values.next().is_none()
    }

    /// `Cache-Control: no-cache-context`: look domains and buckets up afresh (Caching Metadata Headers).
    pub(crate) fn fresh_contexts(&self) -> bool {
        self.head.fields().all("cache-control").any(|value| {
            value
                .split(|byte| *byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"no-cache-context"))
        })
    }

    /// The token of a redirect; one that is none of ours means no more than none at all.
    pub(crate) fn nonce(&self) -> Option<Nonce> {
        let text = self.target.query.all("auth").last()?;
        // Not left to the number parser alone, which takes a sign.
        names::is_uuid(text).then(|| u128::from_str_radix(text, 16).ok().map(Nonce))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn call(line: &str, fields: &[(&str, &str)]) -> Call {
        let all = [&[("Host", "h"), ("Content-Length", "0")], fields].concat();
        let head = testing::head(line, &all);
        let peer = ([127, 0, 0, 1], 1).into();
        Call::read(Request { head, body: RequestBody::empty(), peer })
            .expect("a request that makes sense")
    }

    /// Caching Metadata Headers: the directive `no-cache-context`, among others or repeated.
    #[test]
    fn contexts_are_looked_up_afresh_on_request() {
        let fresh = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| ("Cache-Control", *value)).collect();
            call("GET /a/b", &fields).fresh_contexts()
        };
        assert!(fresh(&["no-cache-context"]));
        assert!(fresh(&["max-age=0", "no-cache, NO-CACHE-CONTEXT"]));
        assert!(!fresh(&[]) && !fresh(&["no-cache"]) && !fresh(&["xno-cache-context"]));
    }

    /// Our choice: a token that is none of ours means no more than none at all.
    #[test]
    fn redirect_tokens_are_opaque() {
        let nonce = |query: &str| call(&format!("GET /a/b?{query}"), &[]).nonce();
        assert_eq!(
            nonce("auth=2F7E1B0C9D3A45687F1E2D3C4B5A6978"),
            Some(Nonce(0x2f7e_1b0c_9d3a_4568_7f1e_2d3c_4b5a_6978))
        );
        assert_eq!(nonce("auth=1&Auth=0000000000000000000000000000000f"), Some(Nonce(15)));
        for none in ["", "auth", "auth=", "auth=12", "auth=+000000000000000000000000000000f"] {
            assert_eq!(nonce(none), None, "{none}");
        }
    }

    /// SCSP WRITE: the content type that makes a context, in any case and with parameters.
    #[test]
    fn the_context_type_is_recognised() {
        let has = |value: &str| call("POST /b", &[("content-type", value)]).has_context_type();
        assert!(
            has("application/castorcontext") && has("Application/CAStorContext ; charset=utf-8")
        );
        assert!(!has("application/castorcontexts") && !has("text/plain"));
    }
}
