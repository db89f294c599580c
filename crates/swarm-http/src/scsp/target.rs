//! Request targets: from bytes of the request line to what a request is about (Formatting SCSP Commands).

use swarm_node::api::DomainChoice;
use swarm_types::Uuid;

use super::names;
use super::query::{Plus, Query, decode};
use crate::codec::Fields;
use crate::status::Fault;

/// A request target, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestTarget {
    /// Path as sent, for redirects: with its leading slash, still encoded.
    pub(crate) raw_path: String,
    /// Query as sent, without the question mark.
    pub(crate) raw_query: String,
    /// What the path names.
    pub(crate) place: Place,
    /// The arguments.
    pub(crate) query: Query,
    /// Which domain is meant.
    pub(crate) domain: DomainChoice,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/`: the node, a new unnamed object, or with `domain=NAME` the domain.
    Root,
    /// `/BUCKET`.
    Bucket(String),
    /// `/BUCKET/NAME`.
    Named { bucket: String, name: String },
    /// `/UUID`.
    Unnamed(Uuid),
}

impl RequestTarget {
    /// Takes a target apart, with the `Host` that goes with it.
    pub(crate) fn parse(target: &str, fields: &Fields) -> Result<Self, Fault> {
        let host = host_field(fields)?;
        let (authority, rest) = split_absolute(target)?;
        // RFC 9112: of an absolute target and a Host that disagree, the target counts.
        let host = authority.map_or(host, str::to_owned);
        let (raw_path, raw_query) = rest.split_once('?').unwrap_or((rest, ""));
        let query = Query::parse(raw_query)?;
        Ok(Self {
            raw_path: if raw_path.is_empty() { "/".to_owned() } else { raw_path.to_owned() },
            raw_query: raw_query.to_owned(),
            place: place(raw_path)?,
            domain: domain_choice(&query, &host)?,
            query,
        })
    }
}

/// `Host` is mandatory, and two of them are one too many to know who is meant.
fn host_field(fields: &Fields) -> Result<String, Fault> {
    let mut hosts = fields.all("host");
    let host = hosts.next().ok_or(Fault::HostRequired)?;
    if hosts.next().is_some() {
        return Err(Fault::BadHost);
    }
    let legal = |byte: &u8| byte.is_ascii_graphic() && !b"/?#@\\,\"<>".contains(byte);
    let text = std::str::from_utf8(host).ok().filter(|_| host.iter().all(legal));
    text.map(str::to_owned).ok_or(Fault::BadHost)
}

fn split_absolute(target: &str) -> Result<(Option<&str>, &str), Fault> {
    const BAD: Fault = Fault::BadTarget("Request target is not a path.");
    if target.contains('#') {
        return Err(BAD);
    }
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let rest = target
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
        .map(|_| &target[7..])
        .ok_or(BAD)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || authority.contains('@') {
        return Err(BAD);
    }
    Ok((Some(authority), path))
}

/// Naming Rules: leading slashes are dropped, as is a slash behind a bucket; within an object's name all count.
fn place(raw_path: &str) -> Result<Place, Fault> {
    let path = raw_path.trim_start_matches('/');
    if path.is_empty() {
        return Ok(Place::Root);
    }
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let first = decode(first, Plus::IsPlus)?;
    if rest.is_empty() {
        return match first.parse() {
            Ok(uuid) => Ok(Place::Unnamed(uuid)),
            Err(_) => names::bucket(&first).map(Place::Bucket),
        };
    }
    Ok(Place::Named { bucket: names::bucket(&first)?, name: decode(rest, Plus::IsPlus)? })
}

fn domain_choice(query: &Query, host: &str) -> Result<DomainChoice, Fault> {
    match query.one("domain")? {
        // A name alone would mean `true`, which nobody means as a domain; it names none.
        Some("") => Ok(DomainChoice::Untenanted),
        // Naming Rules: a slash behind a domain finds nothing.
        Some(name) if name.ends_with('/') => {
            names::domain(name.trim_end_matches('/'))?;
            Err(Fault::Read(swarm_node::api::Refusal::NotFound))
        }
        Some(name) => names::domain(name).map(DomainChoice::Named),
        None => Ok(DomainChoice::Host(without_port(host).to_ascii_lowercase())),
    }
}

fn without_port(host: &str) -> &str {
    if let Some(end) = host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        return &host[1..=end];
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str, host: &str) -> Result<RequestTarget, Fault> {
        let fields = crate::testing::fields(&[("Host", host)]);
        RequestTarget::parse(target, &fields)
    }

    fn place_of(target: &str) -> Place {
        parse(target, "acme.example").expect(target).place
    }

    fn named(bucket: &str, name: &str) -> Place {
        Place::Named { bucket: bucket.to_owned(), name: name.to_owned() }
    }

    /// Formatting SCSP Commands; Naming Rules: bucket up to the first slash, object behind it, slashes.
    #[test]
    fn paths_name_places() {
        assert_eq!(place_of("/"), Place::Root);
        assert_eq!(place_of("//?domain=a"), Place::Root);
        assert_eq!(place_of("/photos"), Place::Bucket("photos".into()));
        assert_eq!(place_of("///photos/"), Place::Bucket("photos".into()));
        assert_eq!(place_of("/photos/2025/cat.txt"), named("photos", "2025/cat.txt"));
        assert_eq!(place_of("/foo/bar//"), named("foo", "bar//"));
        assert_eq!(place_of("/foo//bar"), named("foo", "/bar"));
        assert_eq!(place_of("/a%20b/c%2Fd+e%C3%A4"), named("a b", "c/d+eä"));
        assert_eq!(place_of("http://other:80/photos/x?y"), named("photos", "x"));
    }

    /// Naming Rules: a single segment of exactly 32 hexadecimal digits is always a UUID.
    #[test]
    fn thirty_two_digits_are_a_uuid() {
        let uuid: Uuid = "70ef3152c831c2c80bbce6505dfb7d0a".parse().expect("32 digits");
        assert_eq!(place_of("/70EF3152C831C2C80BBCE6505DFB7D0A?alias"), Place::Unnamed(uuid));
        assert!(parse("/70ef3152c831c2c80bbce6505dfb7d0a/name", "h").is_err());
    }

    #[test]
    fn targets_that_make_no_sense_are_refused() {
        for target in ["*", "photos", "/a%2Fb/c", "/%ff", "/a%", "/a#b", "https://x/", "http:///x"]
        {
            assert!(parse(target, "h").is_err(), "{target}");
        }
        for host in ["a b", "a/b", "a@b"] {
            assert_eq!(parse("/", host), Err(Fault::BadHost), "{host}");
        }
        let none = crate::testing::fields(&[]);
        assert_eq!(RequestTarget::parse("/", &none), Err(Fault::HostRequired));
        let two = crate::testing::fields(&[("Host", "a"), ("host", "a")]);
        assert_eq!(RequestTarget::parse("/", &two), Err(Fault::BadHost));
    }

    /// Formatting SCSP Commands: `domain=` beats Host. Understanding Unnamed Objects: empty means none.
    #[test]
    fn the_domain_argument_beats_the_host() {
        let domain = |target, host| parse(target, host).map(|target| target.domain);
        let host = |name: &str| Ok(DomainChoice::Host(name.to_owned()));
        assert_eq!(domain("/", "Acme.Example:8080"), host("acme.example"));
        assert_eq!(domain("/", "10.1.0.1:80"), host("10.1.0.1"));
        assert_eq!(domain("/", "[::1]:80"), host("::1"));
        assert_eq!(domain("/", ""), host(""));
        let beats = domain("/?DOMAIN=Beta.Example", "acme.example");
        assert_eq!(beats, Ok(DomainChoice::Named("beta.example".into())));
        assert_eq!(domain("/?domain=", "acme.example"), Ok(DomainChoice::Untenanted));
        assert!(matches!(domain("/?domain=acme/", "h"), Err(Fault::Read(_))), "404");
        assert!(domain("/?domain=-a", "h").is_err());
        assert!(domain("/?domain=a&domain=b", "h").is_err());
    }
}
