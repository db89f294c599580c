//! Redirects: the same request again at the address in `Location`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{Error, ErrorKind, Request, Response, Sent};

/// Where one request of a chain goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) to: SocketAddr,
    pub(crate) target: String,
    /// Whether a redirect led here.
    pub(crate) redirected: bool,
}

impl Hop {
    pub(crate) fn first(request: &Request) -> Self {
        Self { to: request.to, target: request.target.clone(), redirected: false }
    }
}

/// Where to go next; `None` if this answer is for the caller.
pub(crate) fn next_hop(
    request: &Request,
    hop: &Hop,
    response: &Response,
    asked: usize,
) -> Result<Option<Hop>, Error> {
    if request.follow == 0 || !matches!(response.status, 301 | 302 | 305 | 307) {
        return Ok(None);
    }
    let location = response.headers.text("location").unwrap_or_default();
    // A node that redirects has done nothing else.
    let fail = |kind| Err(Error::new(kind, hop.to, Sent::Nothing).on_hop(hop.to, asked));
    if asked > request.follow {
        return fail(ErrorKind::TooManyRedirects { location: location.to_owned() });
    }
    match parse_location(location, hop.to) {
        Some((to, target)) => Ok(Some(Hop { to, target, redirected: true })),
        None => fail(ErrorKind::BadRedirect { location: location.to_owned() }),
    }
}

/// Reads an absolute `http` URI (port 80 if it names none) or a path on the same server.
fn parse_location(location: &str, from: SocketAddr) -> Option<(SocketAddr, String)> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some((from, location.to_owned()));
    }
    let rest = match location.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("http://") => &location[7..],
        _ => return None,
    };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(authority_end);
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Some((parse_authority(authority)?, target))
}

fn parse_authority(authority: &str) -> Option<SocketAddr> {
    if let Ok(address) = authority.parse() {
        return Some(address);
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 80),
    };
    if host.eq_ignore_ascii_case("localhost") {
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    host.parse().ok().map(|ip: Ipv4Addr| SocketAddr::new(IpAddr::V4(ip), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(location: &str, expected: Option<(&str, &str)>) {
        let from = "10.0.0.1:8080".parse().expect("an address");
        let expected =
            expected.map(|(to, target)| (to.parse().expect("an address"), target.to_owned()));
        assert_eq!(parse_location(location, from), expected, "{location}");
    }

    #[test]
    fn locations_are_followed_to_the_letter() {
        check("http://10.0.0.2:8081/a/b?c=d&auth=1", Some(("10.0.0.2:8081", "/a/b?c=d&auth=1")));
        check("HTTP://10.0.0.2/a%20b", Some(("10.0.0.2:80", "/a%20b")));
        check("http://10.0.0.2:81?domain=x", Some(("10.0.0.2:81", "/?domain=x")));
        check("http://10.0.0.2:81", Some(("10.0.0.2:81", "/")));
        check("/elsewhere?x", Some(("10.0.0.1:8080", "/elsewhere?x")));
    }

    #[test]
    fn a_location_without_a_usable_address_is_none() {
        for location in [
            "",
            "//10.0.0.2/a",
            "https://10.0.0.2/",
            "http://somewhere.example/",
            "http://10.0.0.2:x/",
        ] {
            check(location, None);
        }
    }
}
