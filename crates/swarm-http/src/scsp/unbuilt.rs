//! What is documented and not built yet: refused by name before anything is stored, so that nothing passes by accident.

use super::call::{Call, Verb};
use crate::status::Fault;

/// Arguments that change what a request does, the verbs on which they do (SCSP Query Arguments), by their initials as in
/// GET, HEAD, POST, PUT (`U`), COPY, APPEND, DELETE, SEND.
const ARGUMENTS: &[(&str, &str)] = &[
    ("aliasuuid", "GHPUCADS"),
    ("checkintegrity", "GH"),
    ("cid", "GHPUCADS"),
    ("context", "G"),
    ("contextid", "G"),
    ("countreps", "GH"),
    ("decorates", "GPU"),
    ("domains", "G"),
    ("du", "G"),
    ("encoding", "PUCA"),
    ("erasurecoded", "PUCA"),
    ("etag", "GH"),
    ("fields", "G"),
    ("format", "GH"),
    ("gencontentmd5", "GPUC"),
    ("hash", "GPU"),
    ("hashtype", "GPU"),
    ("newhashtype", "G"),
    ("newname", "UCA"),
    ("partnumber", "P"),
    ("preserve", "U"),
    ("recreatecid", "P"),
    ("segmentsize", "PUA"),
    ("uploadid", "PD"),
    ("uploads", "PUA"),
    ("validate", "G"),
    ("version", "GHCADS"),
    ("versions", "G"),
];

/// Conditional headers (Caching Metadata Headers), with `Range`.
const CONDITIONS: [&str; 6] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];

/// Refuses what is not built.
pub(crate) fn check(call: &Call) -> Result<(), Fault> {
    let initial = match call.verb {
        Verb::Get => 'G',
        Verb::Head => 'H',
        Verb::Post => 'P',
        Verb::Put => 'U',
        Verb::Copy => 'C',
        Verb::Append => 'A',
        Verb::Delete => 'D',
        Verb::Send => 'S',
        verb => return Err(Fault::NotBuilt(format!("method {}", verb.name()))),
    };
    let query = &call.target.query;
    for (name, verbs) in ARGUMENTS {
        if verbs.contains(initial) && query.wanted(name) {
            return Err(Fault::NotBuilt(format!("argument '{name}'")));
        }
    }
    for name in CONDITIONS {
        if call.head.fields().get(name).is_some() && !is_built(call, name) {
            return Err(Fault::NotBuilt(format!("header '{name}'")));
        }
    }
    let recursive_now = query.all("recursive").any(|value| value.eq_ignore_ascii_case("now"));
    if call.verb == Verb::Delete && recursive_now {
        return Err(Fault::NotBuilt("argument 'recursive=now'".to_owned()));
    }
    if call.verb.writes() { check_write(call) } else { Ok(()) }
}

/// `If-None-Match: *` on POST over a name is the documented create-only idiom (SCSP WRITE), `If-Match` is built for what changes an
/// object that is there, and `Range` means something on GET alone.
fn is_built(call: &Call, name: &str) -> bool {
    match name {
        "if-none-match" => call.only_if_absent(),
        "if-match" => matches!(call.verb, Verb::Put | Verb::Copy | Verb::Append),
        "range" => call.verb != Verb::Get,
        _ => false,
    }
}

fn check_write(call: &Call) -> Result<(), Fault> {
    let fields = call.head.fields();
    // An access list that is stored and not enforced would be worse than none.
    for name in ["castor-authorization", "castor-system-decorates"] {
        if fields.get(name).is_some() {
            return Err(Fault::NotBuilt(format!("header '{name}'")));
        }
    }
    if call.is_unnamed() && fields.get("allow").is_some() {
        return Err(Fault::NotBuilt("header 'Allow' on an unnamed object".to_owned()));
    }
    if fields.all("expect").any(|value| value.eq_ignore_ascii_case(b"content-md5")) {
        return Err(Fault::NotBuilt("expectation 'Content-MD5'".to_owned()));
    }
    if call.wants_chosen_uuid() {
        return Err(Fault::NotBuilt("POST to a chosen UUID".to_owned()));
    }
    Ok(())
}
