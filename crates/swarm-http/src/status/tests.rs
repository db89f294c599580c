//! Errors on the wire, against the documents' own bytes.

use swarm_node::api::Refusal;
use swarm_types::{Etag, Timestamp};

use super::*;

/// Tue, 14 Oct 2025 09:30:00 GMT.
const NOW: Timestamp = Timestamp::from_secs(1_760_434_200);

fn body(response: &Response) -> &[u8] {
    match &response.body {
        Body::Full(bytes) => bytes,
        other => panic!("errors have whole bodies, not {other:?}"),
    }
}

fn fields(response: &Response) -> Vec<(&str, &str)> {
    let text = |value| std::str::from_utf8(value).expect("ASCII");
    response.fields.iter().map(|(name, value)| (name, text(value))).collect()
}

/// Error Responses to READ: an error of 46 bytes of text has 97 bytes in the documents, which is two less than with the
/// line end that newer nodes send. SCSP SEND: the empty error has 53 bytes.
#[test]
fn error_bodies_have_the_documented_lengths() {
    let empty = fault(&Fault::Unauthorized(challenge()), NOW);
    assert_eq!(body(&empty), b"<html><body><h2>CAStor Error</h2><br></body></html>\r\n");
    assert_eq!(body(&empty).len(), 53);
    let not_deletable = fault(&Fault::Read(Refusal::NotDeletable), NOW);
    assert_eq!(body(&not_deletable).len(), 77);
    assert_eq!(body(&fault(&Fault::Md5Mismatch, NOW)).len(), 74);
    assert_eq!(body(&fault(&Fault::ErasureCodingRequired, NOW)).len(), 97);
    assert_eq!(body(&fault(&Fault::UnknownMethod, NOW)).len(), 87);
}

/// Error Response Headers: token, text and code on every error; `Allow`, `Date` and `Server` with them.
#[test]
fn an_error_carries_its_triple() {
    let response = fault(&Fault::Read(Refusal::NotDeletable), NOW);
    assert_eq!((response.status, response.reason, response.close), (403, "Forbidden", false));
    let expected = [
        ("Castor-System-Error-Token", "DeleteNotAllowed"),
        ("Castor-System-Error-Text", "Object is not deletable."),
        ("Castor-System-Error-Code", "403"),
        ("Content-Type", "text/html"),
        ("Date", "Tue, 14 Oct 2025 09:30:00 GMT"),
        ("Server", "CAStor Cluster/15.0.1"),
        ("Allow", "HEAD, HOLD, GET, SEND, PUT, RELEASE, POST, COPY, GEN, APPEND, DELETE"),
    ];
    assert_eq!(fields(&response), expected);
}

/// Error Response Headers: a missing context on a write is a cascade whose last triple counts. Caching Metadata Headers:
/// it has no ETag, by which clients tell it from a condition.
#[test]
fn a_missing_context_is_a_cascade_on_writes_only() {
    let missing = Refusal::MissingContext { context: "acme.example/nosuch".into() };
    let write = fault(&Fault::Write(missing.clone()), NOW);
    assert_eq!(write.status, 412);
    assert_eq!(write.fields.text("etag"), None);
    let expected = [
        ("Castor-System-Error-Token", "SecurityRealmFailure"),
        ("Castor-System-Error-Text", "Failed to load context 'acme.example/nosuch'."),
        ("Castor-System-Error-Code", "404"),
        ("Castor-System-Error-Token", "RequiresContext2"),
        ("Castor-System-Error-Text", "Cannot find required domain or bucket."),
        ("Castor-System-Error-Code", "412"),
    ];
    assert_eq!(fields(&write)[..6], expected);
    assert_eq!(body(&write).len(), 91);
    let read = fault(&Fault::Read(missing), NOW);
    assert_eq!(
        (read.status, read.fields.text("castor-system-error-token")),
        (404, Some("RequiresContext"))
    );
}

/// SCSP WRITE: create-only on an existing name is 412. Caching Metadata Headers: with the current ETag.
#[test]
fn create_only_shows_the_etag_in_its_way() {
    let etag = Etag::from_bytes([0xab; 16]);
    let response = fault(&Fault::Write(Refusal::Exists { etag }), NOW);
    assert_eq!(response.status, 412);
    assert_eq!(response.fields.text("ETag"), Some("\"abababababababababababababababab\""));
}

fn challenge() -> Challenge {
    Challenge {
        nonce: "0c6da76911cbf5cd495afbb0c66e6d9a".into(),
        opaque: "3e894c0cf7c1ad980e1fd46320307f1a".into(),
        stale: false,
    }
}

/// SCSP SEND - Legacy: Digest, then Basic, as printed there.
#[test]
fn the_challenges_are_those_of_the_documents() {
    let response = fault(&Fault::Unauthorized(challenge()), NOW);
    assert_eq!(response.status, 401);
    let all = fields(&response);
    let challenges: Vec<_> = all.iter().filter(|(name, _)| *name == "WWW-Authenticate").collect();
    let digest = "Digest realm=\"CAStor administrator\", nonce=\"0c6da76911cbf5cd495afbb0c66e6d9a\", \
                  opaque=\"3e894c0cf7c1ad980e1fd46320307f1a\", stale=false, qop=\"auth\", algorithm=MD5";
    let expected = [
        &("WWW-Authenticate", digest),
        &("WWW-Authenticate", "Basic realm=\"CAStor administrator\""),
    ];
    assert_eq!(challenges, expected);
    assert_eq!(response.fields.text("castor-system-error-token"), None);
}

/// Undefined Responses: 505 has an empty body and ends the connection; so do bad framing, 501 and 503.
#[test]
fn what_ends_the_connection() {
    let version = bad_head(BadHead::Version, NOW);
    assert_eq!((version.status, version.reason), (505, "HTTP Version not supported"));
    assert!(matches!(version.body, Body::Empty) && version.close);
    for closing in [
        Fault::Head(BadHead::BothLengths),
        Fault::HostRequired,
        Fault::UnknownMethod,
        Fault::NotBuilt("method COPY".into()),
        Fault::Busy,
        Fault::Md5Mismatch,
        Fault::Write(Refusal::Unknown { why: "too few" }),
    ] {
        assert!(fault(&closing, NOW).close, "{closing:?}");
    }
    for keeping in [
        Fault::LengthRequired,
        Fault::Unauthorized(challenge()),
        Fault::Read(Refusal::NotFound),
        Fault::Write(Refusal::Immutable),
        Fault::Write(Refusal::NoSpace),
    ] {
        assert!(!fault(&keeping, NOW).close, "{keeping:?}");
    }
}

/// A feed of another cluster takes nothing else for being overloaded.
#[test]
fn who_has_too_many_requests_says_when_to_come_again() {
    let busy = fault(&Fault::Busy, NOW);
    assert_eq!((busy.status, busy.fields.text("retry-after")), (503, Some("5")));
    let stuck = fault(&Fault::Stuck, NOW);
    assert_eq!((stuck.status, stuck.fields.text("retry-after")), (503, None));
}

#[test]
fn every_refusal_has_its_status() {
    let status = |refusal: Refusal| fault(&Fault::Write(refusal), NOW).status;
    let etag = Etag::from_bytes([1; 16]);
    for (refusal, expected) in [
        (Refusal::NotFound, 404),
        (Refusal::MissingContext { context: String::new() }, 412),
        (Refusal::Exists { etag }, 412),
        (Refusal::Immutable, 403),
        (Refusal::NotDeletable, 403),
        (Refusal::RecursiveRequired, 400),
        (Refusal::Conflict, 409),
        (Refusal::TooFewNodes { found: 1, wanted: 2 }, 412),
        (Refusal::NoSpace, 507),
        (Refusal::ShortBody { got: 1, announced: 2 }, 400),
        (Refusal::Unavailable { why: "mounting" }, 503),
        (Refusal::Unknown { why: "mounting" }, 503),
        (Refusal::NotTaken { why: "a disk fails" }, 500),
    ] {
        assert_eq!(status(refusal.clone()), expected, "{refusal:?}");
    }
    let immutable = fault(&Fault::Write(Refusal::Immutable), NOW);
    assert_eq!(immutable.fields.text("allow"), Some("GET, HEAD, DELETE"));
}

#[test]
fn texts_from_clients_cannot_break_the_page() {
    let text = "Argument '<script>' is bad.\r\nX: y".to_owned();
    let response = fault(&Fault::InvalidArgument(text), NOW);
    assert!(!String::from_utf8_lossy(body(&response)).contains("<script>"));
    assert_eq!(response.fields.text("x"), None);
}

/// SCSP WRITE: 46 and 54 bytes of body tell new objects from new versions (Versioning Examples).
#[test]
fn good_answers_have_the_documented_bodies() {
    assert_eq!(body(&created(FieldBlock::new(), false, NOW)).len(), 46);
    assert_eq!(body(&created(FieldBlock::new(), true, NOW)).len(), 54);
    let there = redirect("http://10.1.0.2:80/a", false, NOW);
    assert_eq!((there.status, there.fields.text("location")), (307, Some("http://10.1.0.2:80/a")));
    assert!(matches!(there.body, Body::Empty));
    assert_eq!(redirect("http://10.1.0.2:80/a", true, NOW).status, 301);
}
