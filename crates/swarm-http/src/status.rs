//! What is said to a client and with which status code: the only file in the project that knows the numbers.
//!
//! Owns the mapping of every [`Fault`] and [`Refusal`] to status, token and text, the error triples and bodies (Error
//! Response Headers), and the frames of the good answers. Tokens and texts that no document prints are our choice and
//! stand here once, so that real ones can be dropped in.

use std::borrow::Cow;

use axum::response::IntoResponse;
use bytes::Bytes;
use swarm_node::api::Refusal;
pub(crate) use swarm_types::SERVER;
use swarm_types::{Timestamp, httpdate};

use crate::codec::{BadHead, Body, BodyError, BodySource, FieldBlock, OwnFields, Response};

/// Every verb of the port, in the order seen on the wire (SCSP SEND).
pub(crate) const ALLOW: &str =
    "HEAD, HOLD, GET, SEND, PUT, RELEASE, POST, COPY, GEN, APPEND, DELETE";

/// What a client is told that waits for leave to send its body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// For how many seconds a client is to leave a node alone that has too many requests (our choice).
const RETRY_AFTER: &str = "5";

/// The realm of the cluster's administrators.
pub(crate) const ADMIN_REALM: &str = "CAStor administrator";

/// Why a request got no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The head could not be read.
    Head(BadHead),
    /// The body did not arrive whole.
    Body(BodyError),
    /// A verb that does not exist.
    UnknownMethod,
    /// Documented, and not built yet. Names it, such as `argument 'version'`.
    NotBuilt(String),
    /// No `Host`.
    HostRequired,
    /// More than one `Host`, or one that cannot be read.
    BadHost,
    /// The request target is no path.
    BadTarget(&'static str),
    /// A name that the naming rules forbid.
    InvalidName(&'static str),
    /// An argument with a value that makes no sense, or on a request where it is not allowed.
    InvalidArgument(String),
    /// A header with a value that makes no sense.
    InvalidHeader(&'static str),
    /// A header that this request needs.
    MissingHeader(&'static str),
    /// A feed that does not exist, as the client named it.
    UnknownFeed(String),
    /// A request that this address does not take.
    InvalidRequest(&'static str),
    /// Neither `Content-Length` nor `Transfer-Encoding` on a request that needs a body.
    LengthRequired,
    /// An `Expect` other than those known.
    ExpectationFailed,
    /// Too much metadata.
    MetadataTooLarge(&'static str),
    /// Administrator's credentials are missing or wrong.
    Unauthorized(Challenge),
    /// The body does not have the MD5 that the client gave.
    Md5Mismatch,
    /// A chunked write while whole replicas are asked for.
    ErasureCodingRequired,
    /// What another cluster brings makes no sense.
    BadReplication(String),
    /// More requests than this node takes at a time.
    Busy,
    /// The node did not get on with the request.
    Stuck,
    /// The node refused a GET, HEAD or DELETE.
    Read(Refusal),
    /// The node refused a write.
    Write(Refusal),
}

/// What a client needs to sign its next try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// 32 hexadecimal digits.
    pub(crate) nonce: String,
    /// 32 hexadecimal digits.
    pub(crate) opaque: String,
    /// The password was right and the nonce is not good any more: the user need not be asked again.
    pub(crate) stale: bool,
}

struct Verdict {
    status: u16,
    token: &'static str,
    text: Cow<'static, str>,
    close: bool,
}

fn verdict(status: u16, token: &'static str, text: impl Into<Cow<'static, str>>) -> Verdict {
    // Undefined Responses: these end the connection.
    let close = matches!(status, 500 | 501 | 503 | 505);
    Verdict { status, token, text: text.into(), close }
}

fn closing(status: u16, token: &'static str, text: impl Into<Cow<'static, str>>) -> Verdict {
    Verdict { close: true, ..verdict(status, token, text) }
}

fn judge(fault: &Fault) -> Verdict {
    match fault {
        Fault::Head(bad) => judge_head(*bad),
        Fault::Body(error) => closing(400, "BadRequestBody", sentence(error)),
        Fault::UnknownMethod => verdict(501, "UnknownMethod", "Request method is not implemented."),
        Fault::NotBuilt(what) => {
            verdict(501, "NotImplemented", format!("Not implemented: {what}."))
        }
        Fault::HostRequired => closing(400, "HostRequired", "Host header is required."),
        Fault::BadHost => closing(400, "BadHost", "Host header is malformed."),
        Fault::BadTarget(text) => verdict(400, "BadRequestLine", *text),
        Fault::InvalidName(text) => verdict(400, "InvalidName", *text),
        Fault::InvalidArgument(text) => verdict(400, "InvalidQueryArgument", text.clone()),
        Fault::InvalidHeader(text) => verdict(400, "InvalidHeader", *text),
        Fault::MissingHeader(name) => verdict(400, "MissingHeader", format!("{name} is required.")),
        Fault::UnknownFeed(id) => verdict(400, "InvalidFeedId", format!("Unknown feed ID {id}.")),
        Fault::InvalidRequest(text) => verdict(400, "InvalidRequest", *text),
        Fault::LengthRequired => verdict(411, "LengthRequired", "Length is required."),
        Fault::ExpectationFailed => verdict(417, "ExpectationFailed", "Expectation cannot be met."),
        Fault::MetadataTooLarge(text) => verdict(400, "MetadataTooLarge", *text),
        Fault::Unauthorized(_) => verdict(401, "Unauthorized", ""),
        Fault::Md5Mismatch => closing(400, "ContentMD5Mismatch", "Content-MD5 mismatch."),
        Fault::ErasureCodingRequired => {
            closing(400, "ErasureCodingRequired", "Erasure coding is required for this request.")
        }
        Fault::BadReplication(text) => verdict(400, "InvalidReplication", text.clone()),
        Fault::Busy => verdict(503, "NodeBusy", "Node has too many requests."),
        Fault::Stuck => verdict(503, "NodeBusy", "Request took too long; the outcome is unknown."),
        Fault::Read(refusal) => judge_refusal(refusal, false),
        Fault::Write(refusal) => judge_refusal(refusal, true),
    }
}

fn judge_head(bad: BadHead) -> Verdict {
    let (status, token) = match bad {
        BadHead::Version => (505, "UnsupportedVersion"),
        BadHead::RequestLine => (400, "BadRequestLine"),
        BadHead::TooManyFields => (400, "TooManyHeaders"),
        BadHead::LineTooLong | BadHead::HeadTooLong => (400, "HeaderTooLarge"),
        BadHead::BothLengths | BadHead::BadLength | BadHead::BadCoding => (400, "BadFraming"),
        BadHead::FieldSyntax | BadHead::FoldedFirst | BadHead::FoldedFraming | BadHead::BareLf => {
            (400, "BadHeader")
        }
    };
    closing(status, token, sentence(&bad))
}

fn judge_refusal(refusal: &Refusal, write: bool) -> Verdict {
    const NO_CONTEXT: &str = "Cannot find required domain or bucket.";
    match refusal {
        Refusal::NotFound => verdict(404, "NotFound", "Requested object was not found."),
        // The documents contradict each other for reads (SCSP WRITE; Error Responses to READ); our choice by method.
        Refusal::MissingContext { .. } if write => verdict(412, "RequiresContext2", NO_CONTEXT),
        Refusal::MissingContext { .. } => verdict(404, "RequiresContext", NO_CONTEXT),
        Refusal::Exists { .. } => {
            verdict(412, "ConditionalIfNoneMatch", "If-None-Match condition not met.")
        }
        Refusal::Changed { .. } => {
            verdict(412, "ConditionalIfMatch", "If-Match condition not met.")
        }
        Refusal::TooManyHeaders => verdict(400, "MetadataTooLarge", sentence(refusal)),
        Refusal::Immutable => {
            verdict(403, "ImmutableObject", "Immutable object cannot be updated.")
        }
        Refusal::NotDeletable => verdict(403, "DeleteNotAllowed", "Object is not deletable."),
        Refusal::RecursiveRequired => verdict(400, "RecursiveRequired", sentence(refusal)),
        Refusal::Conflict => verdict(409, "UpdateConflict", sentence(refusal)),
        // What says that it is the cluster is the field with the name, which no other 412 has.
        Refusal::WrongCluster { .. } => verdict(412, "WrongCluster", sentence(refusal)),
        Refusal::DigestMismatch => closing(400, "DigestMismatch", sentence(refusal)),
        Refusal::TooFewNodes { .. } => verdict(412, "ReplicateTargets", sentence(refusal)),
        Refusal::NoSpace => verdict(507, "ClusterOutOfSpace3", "Not enough space in cluster."),
        Refusal::ShortBody { .. } => closing(400, "BadRequestBody", sentence(refusal)),
        // A feed leaves this object alone for a while, and goes on with others.
        Refusal::NotTaken { .. } => verdict(500, "ReplicationFailed", sentence(refusal)),
        Refusal::Unavailable { .. } | Refusal::Unknown { .. } => {
            verdict(503, "NodeBusy", sentence(refusal))
        }
    }
}

/// An error's message as a sentence for the client.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text.push('.');
    text
}

/// True for answers that have no body whatever is behind them (RFC 9110).
pub(crate) const fn never_has_body(status: u16) -> bool {
    status < 200 || matches!(status, 204 | 304)
}

/// True for answers that may not even say how long a body would be (RFC 9110).
pub(crate) const fn never_has_length(status: u16) -> bool {
    status < 200 || status == 204
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        301 => "Moved Permanently",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        417 => "Expectation Failed",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        // The vendor's capital letters (Undefined Responses).
        505 => "HTTP Version not supported",
        507 => "Insufficient Storage",
        _ => "Error",
    }
}

fn response(status: u16) -> Response {
    Response::new(status, reason(status))
}

/// The status of the answer to a request that failed.
pub(crate) fn of(fault: &Fault) -> u16 {
    judge(fault).status
}

/// The status that an item of a batch has whose source breaks off.
pub(crate) const SOURCE_FAILED: u16 = 500;

/// The status of a good answer to what another cluster brings: of something new, or of a delete.
pub(crate) const fn taken(delete: bool) -> u16 {
    if delete { 200 } else { 201 }
}

/// The answer to a head that the codec could not read.
pub(crate) fn bad_head(bad: BadHead, now: Timestamp) -> Response {
    fault(&Fault::Head(bad), now)
}

/// The answer to a request that failed.
pub(crate) fn fault(fault: &Fault, now: Timestamp) -> Response {
    let verdict = judge(fault);
    let mut response = response(verdict.status);
    response.close = verdict.close;
    let fields = &mut response.fields;
    match fault {
        Fault::Unauthorized(Challenge { nonce, opaque, stale }) => {
            // Digest first: there are clients that read only the first one (SCSP SEND - Legacy shows both).
            fields.push_fmt(
                "WWW-Authenticate",
                format_args!(
                    "Digest realm=\"{ADMIN_REALM}\", nonce=\"{nonce}\", opaque=\"{opaque}\", \
                     stale={stale}, qop=\"auth\", algorithm=MD5"
                ),
            );
            fields.push_fmt("WWW-Authenticate", format_args!("Basic realm=\"{ADMIN_REALM}\""));
        }
        Fault::Write(Refusal::MissingContext { context }) => {
            let text = format!("Failed to load context '{context}'.");
            triple(fields, "SecurityRealmFailure", &text, 404);
            triple(fields, verdict.token, &verdict.text, verdict.status);
        }
        Fault::Read(Refusal::WrongCluster { cluster })
        | Fault::Write(Refusal::WrongCluster { cluster }) => {
            fields.push("Castor-System-Cluster", cluster);
            triple(fields, verdict.token, &verdict.text, verdict.status);
        }
        Fault::Read(Refusal::Exists { etag })
        | Fault::Write(Refusal::Exists { etag } | Refusal::Changed { etag }) => {
            // With an ETag it is a condition, without one a missing context (Caching Metadata Headers).
            fields.push_fmt("ETag", format_args!("\"{etag}\""));
            triple(fields, verdict.token, &verdict.text, verdict.status);
        }
        Fault::Busy => {
            // A feed of another cluster leaves this node alone for so long, and goes on then.
            fields.push("Retry-After", RETRY_AFTER);
            triple(fields, verdict.token, &verdict.text, verdict.status);
        }
        _ => triple(fields, verdict.token, &verdict.text, verdict.status),
    }
    fields.framing_here();
    // Undefined Responses: this one has no body.
    if verdict.status != 505 {
        fields.push("Content-Type", "text/html");
        response.body = Body::Full(error_page(&verdict.text));
    }
    stamp(&mut response, now);
    let allow = match fault {
        Fault::Write(Refusal::Immutable) => "GET, HEAD, DELETE",
        _ => ALLOW,
    };
    response.fields.push("Allow", allow);
    response
}

/// One error triple; several make a cascade, the last of which counts (Error Response Headers).
fn triple(fields: &mut FieldBlock, token: &str, text: &str, code: u16) {
    fields.push("Castor-System-Error-Token", token);
    fields.push("Castor-System-Error-Text", text);
    fields.push_fmt("Castor-System-Error-Code", format_args!("{code}"));
}

fn error_page(text: &str) -> Bytes {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<html><body><h2>CAStor Error</h2><br>{escaped}</body></html>\r\n").into()
}

/// Why a request to the management port got no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManagementFault {
    /// Administrator's credentials are missing or wrong.
    Unauthorized,
    /// No such node or volume, or one that this node does not answer for.
    NoSuchResource,
    /// A body that cannot be read.
    BadBody(String),
    /// A body that asks for what there is not.
    BadValue(String),
    /// The state of the resource does not allow it.
    Conflict(String),
    /// It may work later.
    Unavailable(String),
}

/// The answer to a management request that failed (the vendor does not print these; our choice).
impl IntoResponse for ManagementFault {
    fn into_response(self) -> axum::response::Response {
        let (status, text) = match &self {
            Self::Unauthorized => (401, "Administrators only."),
            Self::NoSuchResource => (404, "There is no such resource on this node."),
            Self::BadBody(text) => (400, text.as_str()),
            Self::BadValue(text) => (422, text.as_str()),
            Self::Conflict(text) => (409, text.as_str()),
            Self::Unavailable(text) => (503, text.as_str()),
        };
        let status = http::StatusCode::from_u16(status).unwrap_or_default();
        let body = serde_json::json!({ "error": text }).to_string();
        let mut response =
            (status, [(http::header::CONTENT_TYPE, "application/json")], body).into_response();
        if self == Self::Unauthorized {
            let challenge = format!("Basic realm=\"{ADMIN_REALM}\"");
            if let Ok(challenge) = http::HeaderValue::from_str(&challenge) {
                response.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge);
            }
        }
        response
    }
}

/// 201 on the management port: something new, and where it is.
pub(crate) fn management_created(
    path: &str,
    answer: axum::response::Response,
) -> axum::response::Response {
    let mut answer = (http::StatusCode::CREATED, answer).into_response();
    if let Ok(path) = http::HeaderValue::from_str(path) {
        answer.headers_mut().insert(http::header::LOCATION, path);
    }
    answer
}

/// 204 on the management port: done, and nothing to show of it.
pub(crate) fn management_done() -> axum::response::Response {
    http::StatusCode::NO_CONTENT.into_response()
}

/// `Date` and `Server`.
fn stamp(response: &mut Response, now: Timestamp) {
    response.fields.push("Date", httpdate::format(now));
    response.fields.push("Server", SERVER);
}

/// 200 with these fields; `Content-Length`, `Date` and `Server` follow them.
pub(crate) fn ok(fields: FieldBlock, body: Body, now: Timestamp) -> Response {
    let mut response = Response { fields, body, ..response(200) };
    response.fields.framing_here();
    stamp(&mut response, now);
    response
}

/// 200 to a SEND: the place of the framing is marked in its fields, as it was seen on the wire (SCSP SEND - Legacy).
pub(crate) fn sending(fields: FieldBlock, body: Box<dyn BodySource>, now: Timestamp) -> Response {
    let mut response = Response { fields, body: Body::Chunked(body), ..response(200) };
    response.own_fields = OwnFields::OfSend;
    stamp(&mut response, now);
    response
}

/// The line that tells what the remote cluster returned to a SEND of old, as printed: 28 bytes, no line end (SCSP SEND -
/// Legacy). Nobody may be left to tell it.
pub(crate) fn remote_returned(status: Option<u16>) -> String {
    format!("Remote cluster returned: {}", status.unwrap_or(503))
}

/// 201 with these fields, for something new or a new version of it.
pub(crate) fn created(fields: FieldBlock, replaced: bool, now: Timestamp) -> Response {
    let mut response = Response { fields, ..response(201) };
    stamp(&mut response, now);
    response.fields.framing_here();
    response.fields.push("Content-Type", "text/html");
    let what = if replaced { "New stream version created" } else { "New stream created" };
    response.body = Body::Full(format!("<html><body>{what}</body></html>\r\n").into());
    response
}

/// 301 for "use that node from now on", 307 for "ask there this once" (Normal Responses to WRITE).
pub(crate) fn redirect(location: &str, permanent: bool, now: Timestamp) -> Response {
    let mut response = response(if permanent { 301 } else { 307 });
    response.fields.push("Location", location);
    response.fields.framing_here();
    stamp(&mut response, now);
    response
}

#[cfg(test)]
mod tests;
