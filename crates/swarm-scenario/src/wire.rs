//! What an SCSP client reads out of an answer, and what it takes a broken exchange for.
//!
//! Written from the vendor's pages alone (SCSP WRITE, SCSP READ, Versioning Examples); it shares nothing with the nodes.

use std::net::IpAddr;

use swarm_client::{Error, ErrorKind, Sent};
use swarm_types::{Etag, HeaderList, Stamp, Version};

use crate::language::model::RetryOn;

/// The header in which every write names its object and content, so that metadata are verified like bytes.
pub(crate) const OPERATION_HEADER: &str = "X-Scenario-Meta-Operation";

/// Version and ETag of an answer; `None` where it shows none.
pub(crate) fn stamp(headers: &HeaderList) -> Option<Stamp> {
    let etag: Etag = headers.text("etag")?.trim().trim_matches('"').parse().ok()?;
    Some(Stamp { version: version(headers.text("castor-system-version")?)?, etag })
}

/// Reads seconds with three decimals.
fn version(text: &str) -> Option<Version> {
    let (seconds, millis) = text.trim().split_once('.')?;
    if millis.len() != 3 {
        return None;
    }
    Some(Version(seconds.parse::<u64>().ok()?.checked_mul(1000)? + millis.parse::<u64>().ok()?))
}

/// Addresses of the nodes that hold a replica, as the locations of a write's answer tell.
pub(crate) fn holders(headers: &HeaderList) -> Vec<IpAddr> {
    headers.all("location").filter_map(|header| location_ip(header.text()?)).collect()
}

fn location_ip(location: &str) -> Option<IpAddr> {
    let rest = location.strip_prefix("http://")?;
    let authority = rest.split(['/', '?']).next()?;
    authority.rsplit_once(':').map_or(authority, |(host, _)| host).parse().ok()
}

/// How many replicas a write's answer claims.
pub(crate) fn replica_count(headers: &HeaderList) -> u32 {
    headers.text("replica-count").and_then(|count| count.trim().parse().ok()).unwrap_or(1)
}

/// Object and content that an answer's metadata name.
pub(crate) fn operation(headers: &HeaderList) -> Option<(u32, u32)> {
    let (object, content) = headers.text(OPERATION_HEADER)?.trim().split_once('.')?;
    Some((object.parse().ok()?, content.parse().ok()?))
}

/// Value of [`OPERATION_HEADER`].
pub(crate) fn operation_value(object: u32, content: u32) -> String {
    format!("{object}.{content}")
}

/// Encodes one part of a path or query: everything but letters, digits and `-_.~` goes out as `%XX`.
pub(crate) fn encode(part: &str) -> String {
    let mut encoded = String::new();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Request target of a named object.
pub(crate) fn named_target(domain: &str, bucket: &str, name: &str) -> String {
    let name: Vec<String> = name.split('/').map(encode).collect();
    format!("/{}/{}?domain={}", encode(bucket), name.join("/"), encode(domain))
}

/// An exchange that brought no whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) how: RetryOn,
    /// True if no node can have acted upon it.
    pub(crate) nothing_sent: bool,
    pub(crate) text: String,
}

impl Broken {
    pub(crate) fn of(error: &Error) -> Self {
        let how = match error.kind {
            ErrorKind::Refused => RetryOn::Refused,
            ErrorKind::Timeout => RetryOn::Timeout,
            _ => RetryOn::Reset,
        };
        Self { how, nothing_sent: error.sent == Sent::Nothing, text: error.kind.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_answer_is_read_as_the_samples_show_it() {
        let mut headers = HeaderList::default();
        headers.push("location", "http://192.168.10.11:80/70ef3152c831c2c80bbce6505dfb7d0a");
        headers
            .push("location", "http://192.168.10.13:80/70ef3152c831c2c80bbce6505dfb7d0a?domain=a");
        headers.push("castor-system-version", "1760434200.007");
        headers.push("etag", "\"70ef3152c831c2c80bbce6505dfb7d0a\"");
        headers.push("replica-count", "2");
        let ips: Vec<String> = holders(&headers).iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["192.168.10.11", "192.168.10.13"]);
        let stamp = stamp(&headers).expect("both are there");
        assert_eq!(
            (stamp.version, stamp.etag.to_string().as_str()),
            (Version(1_760_434_200_007), "70ef3152c831c2c80bbce6505dfb7d0a")
        );
        assert_eq!(replica_count(&headers), 2);
    }

    #[test]
    fn targets_are_encoded_part_by_part() {
        assert_eq!(
            named_target("acme.example", "scans", "2025/cat 1.jpg"),
            "/scans/2025/cat%201.jpg?domain=acme.example"
        );
    }

    #[test]
    fn a_version_has_three_decimals() {
        assert_eq!(version("1.5"), None);
        assert_eq!(version("1.005"), Some(Version(1005)));
    }
}
