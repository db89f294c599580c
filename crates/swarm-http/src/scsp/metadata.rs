//! Which request headers persist with an object, and how much of them (SCSP Headers; Custom Metadata Headers).

use swarm_types::{HEADERS_MAX, HEADERS_MAX_BYTES, HeaderList};

use crate::codec::Fields;
use crate::status::Fault;

/// SCSP Headers: 16 KB for one name and its value.
const PAIR_BYTES: usize = 16 * 1024;

/// Names that persist as they are (How to update metadata headers). Which of them a feed sends under their own names is
/// another question with fewer answers, and a list of its own in `swarm-feeds`: all others travel in disguise.
const PLAIN: [&str; 12] = [
    "allow",
    "allow-encoding",
    "cache-control",
    "content-base",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-md5",
    "content-type",
    "expires",
    "lifepoint",
];

/// Names of the shapes that persist, and yet never do (How to update metadata headers).
const NEVER: [&str; 4] = [
    "castor-object-count",
    "castor-bytes-used",
    "castor-bytes-used-with-reps",
    "x-castor-meta-error-message",
];

/// The headers of a write that persist, in the client's spelling and order.
///
/// # Errors
/// More than fits an object; the client is told, nothing is cut off.
pub(crate) fn persistent(fields: &Fields) -> Result<HeaderList, Fault> {
    let mut kept = HeaderList::default();
    let mut total = 0;
    for (name, value) in fields.iter().filter(|(name, _)| persists(name)) {
        let pair = name.len() + value.len();
        total += pair;
        if pair > PAIR_BYTES {
            return Err(Fault::MetadataTooLarge("A header is longer than 16 KB."));
        }
        kept.push(name, bytes::Bytes::copy_from_slice(value));
    }
    if kept.0.len() > HEADERS_MAX {
        return Err(Fault::MetadataTooLarge("More than 500 headers."));
    }
    if total > HEADERS_MAX_BYTES {
        return Err(Fault::MetadataTooLarge("Headers are longer than 32 KB."));
    }
    Ok(kept)
}

/// True for a header that persists; everything else is silently dropped (Custom Metadata Headers).
fn persists(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if NEVER.contains(&name.as_str()) {
        return false;
    }
    if name.starts_with("castor-") {
        return !name.starts_with("castor-system-");
    }
    if name.starts_with("policy-") {
        return !name.ends_with("-evaluated") && !name.ends_with("-constrained");
    }
    PLAIN.contains(&name.as_str()) || is_custom(&name)
}

/// `x-*-meta` and `x-*-meta-*` of letters, digits, hyphens and underscores (Custom Metadata Headers).
fn is_custom(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("x-") else { return false };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let ends = rest.strip_suffix("-meta").is_some_and(|middle| !middle.is_empty());
    let holds =
        rest.match_indices("-meta-").any(|(at, found)| at > 0 && at + found.len() < rest.len());
    (ends || holds) && rest.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fields;

    fn kept(names: &[&str]) -> Vec<String> {
        let all: Vec<_> = names.iter().map(|name| (*name, "1")).collect();
        let list = persistent(&fields(&all)).expect("little enough");
        list.iter().map(|header| header.name.clone()).collect()
    }

    /// How to update metadata headers: the list of what persists, in the client's spelling.
    #[test]
    fn listed_headers_persist_in_the_clients_spelling() {
        let names = [
            "Allow",
            "allow-Encoding",
            "Cache-Control",
            "CAStor-Stream-Type",
            "Content-Base",
            "Content-Disposition",
            "Content-Encoding",
            "Content-Language",
            "Content-Location",
            "Content-MD5",
            "content-TYPE",
            "Expires",
            "lifepoint",
            "Policy-Replicas",
            "X-Acme-Meta",
            "x-acme-META-color_1",
            "x-a-meta-b-meta-c",
        ];
        assert_eq!(kept(&names), names);
    }

    /// How to update metadata headers; Custom Metadata Headers: what is never stored, what is silently dropped.
    #[test]
    fn everything_else_is_dropped() {
        let names = [
            "Host",
            "User-Agent",
            "Castor-System-Owner",
            "castor-system-cid",
            "Castor-Object-Count",
            "Castor-Bytes-Used",
            "Castor-Bytes-Used-With-Reps",
            "X-Castor-Meta-Error-Message",
            "Policy-Replicas-Evaluated",
            "Policy-Versioning-Constrained",
            "Content-Length",
            "Last-Modified",
            "Content-Version",
            "x-meta-color",
            "x-color",
            "x-acme-metadata",
            "x-acme.b-meta-c",
            "x--meta",
            "Authorization",
        ];
        assert_eq!(kept(&names), Vec::<String>::new());
    }

    /// SCSP Headers: 500 headers, 32 KB in all, 16 KB each.
    #[test]
    fn the_limits_are_exact() {
        let of = |count: usize, value: usize| {
            let value = "v".repeat(value);
            let all: Vec<_> = (0..count).map(|_| ("x-a-meta", value.as_str())).collect();
            persistent(&fields(&all)).map(|list| list.0.len())
        };
        assert_eq!(of(1, 16 * 1024 - 8), Ok(1));
        assert!(of(1, 16 * 1024 - 7).is_err());
        assert_eq!(of(4, 8 * 1024 - 8), Ok(4));
        assert!(of(4, 8 * 1024 - 7).is_err());
        assert_eq!(of(500, 1), Ok(500));
        assert!(of(501, 1).is_err());
    }
}
