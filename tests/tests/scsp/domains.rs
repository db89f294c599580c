//! Which domain a request is about, and which domain an unnamed object belongs to.

use crate::talk::{Heard, Wire, told, told_with};

/// Writes under `/scans` of several domains: `main` (the default cluster domain), `acme.example`, `beta.example`.
async fn three_domains(wire: &Wire) {
    for domain in ["main", "acme.example", "beta.example"] {
        wire.make_domain(domain).await;
        let line = format!("POST /scans?domain={domain}");
        assert_eq!(wire.ask(1, &line, &[crate::talk::CONTEXT], "").await.status, 201);
        let line = format!("POST /scans/x?domain={domain}");
        assert_eq!(wire.ask(1, &line, &[], domain).await.status, 201);
    }
}

/// Formatting SCSP Commands: `domain=` beats `Host` in every case.
#[test]
fn the_argument_beats_the_host() {
    told(2, |wire| async move {
        three_domains(&wire).await;
        for host in ["acme.example", "main", "127.0.0.1", "none.example"] {
            let host = format!("Host: {host}");
            for verb in ["GET", "HEAD"] {
                let line = format!("{verb} /scans/x?domain=Beta.Example");
                let read = wire.ask(1, &line, &[&host], "").await;
                assert_eq!(read.must("castor-system-domain"), "beta.example", "{host}");
            }
            let line = "POST /scans/y?DOMAIN=beta.example";
            assert_eq!(wire.ask(1, line, &[&host], "y").await.status, 201);
            assert_eq!(wire.ask(1, "GET /scans/y", &[&host], "").await.status, 404, "{host}");
        }
    });
}

/// Formatting SCSP Commands: else the `Host` names it, without its port, in any case.
#[test]
fn the_host_names_the_domain() {
    told(2, |wire| async move {
        three_domains(&wire).await;
        for host in ["acme.example", "ACME.Example:80", "acme.example:8080"] {
            let read = wire.ask(2, "GET /scans/x", &[&format!("Host: {host}")], "").await;
            assert_eq!(read.text(), "acme.example", "{host}");
        }
    });
}

/// Formatting SCSP Commands: an address, the cluster's name or no domain mean the default cluster domain.
#[test]
fn a_host_that_is_no_domain_means_the_default_cluster_domain() {
    told(2, |wire| async move {
        three_domains(&wire).await;
        let own = wire.address(1);
        for host in [own.as_str(), "192.168.10.11", "main", "MAIN:80", "none.example", "[::1]:80"] {
            let read = wire.ask(1, "GET /scans/x", &[&format!("Host: {host}")], "").await;
            assert_eq!(read.text(), "main", "{host}");
        }
    });
    told(2, |wire| async move {
        wire.make_bucket().await;
        let refused = wire.ask(1, "POST /scans/x", &["Host: 192.168.10.11"], "x").await;
        assert_eq!(refused.error(), (412, "RequiresContext2"), "there is no default domain");
    });
}

/// Formatting SCSP Commands: `GET /` is the node, whatever the `Host`; a domain needs its argument.
#[test]
fn a_domain_itself_is_named_by_the_argument_only() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let page = wire.once(1, "GET /", &["Host: acme.example"], "").await;
        assert!(page.field("castor-system-totalgbcapacity").is_some(), "{page:?}");
        let domain = wire.ask(1, "GET /?domain=acme.example", &[], "").await;
        assert_eq!(domain.must("castor-system-name"), "acme.example");
    });
}

/// Where an unnamed object ended up: its parent, by name.
async fn written(wire: &Wire, query: &str, host: &str) -> Result<String, Heard> {
    let host = format!("Host: {host}");
    let line = format!("POST /{query}");
    let written = wire.ask(1, &line, &[&host], "u").await;
    if written.status != 201 {
        return Err(written);
    }
    let uuid = written.must("content-uuid");
    // How enforceTenancy Works: the UUID is global, no domain is looked at.
    let read = wire.ask(2, &format!("GET /{uuid}?domain=other.example"), &[], "").await;
    assert_eq!((read.status, read.text().as_str()), (200, "u"), "{query} {host}");
    let Some(cid) = read.field("castor-system-cid") else { return Ok("none".to_owned()) };
    for domain in ["main", "acme.example"] {
        let head = wire.ask(1, &format!("HEAD /?domain={domain}"), &[], "").await;
        if head.status == 200 && head.must("castor-system-alias") == cid {
            return Ok(domain.to_owned());
        }
    }
    panic!("{cid} is nobody's");
}

/// Every way to give a domain that is no other than the default one.
const DEFAULT_OR_NONE: [(&str, &str); 7] = [
    ("", "main"),
    ("", "192.168.10.11"),
    ("", "none.example"),
    ("?domain=", "main"),
    ("?domain=", "acme.example"),
    ("?domain=main", "main"),
    ("?domain=main", "acme.example"),
];

/// How enforceTenancy Works; Unnamed Object Changes in Storage 6.0: not enforced, an unnamed object has a domain only
/// if one that exists and is not the default one is given.
#[test]
fn without_tenancy_the_default_domain_owns_no_unnamed_object() {
    for default_exists in [true, false] {
        told(2, move |wire| async move {
            wire.make_domain("acme.example").await;
            if default_exists {
                wire.make_domain("main").await;
            }
            for (query, host) in DEFAULT_OR_NONE {
                let parent = written(&wire, query, host).await.expect("stored");
                assert_eq!(parent, "none", "{query} {host}");
            }
            let parent = written(&wire, "?domain=none.example", "main").await.expect("stored");
            assert_eq!(parent, "none", "an unknown domain");
            for (query, host) in [("?domain=acme.example", "main"), ("", "acme.example")] {
                let parent = written(&wire, query, host).await.expect("stored");
                assert_eq!(parent, "acme.example", "{query} {host}");
            }
        });
    }
}

/// How enforceTenancy Works: enforced, every unnamed object has a domain; one that does not exist is an error.
#[test]
fn with_tenancy_every_unnamed_object_has_a_domain() {
    told_with(2, &[("cluster.enforceTenancy", "True")], |wire| async move {
        wire.make_domain("acme.example").await;
        let refused = written(&wire, "", "main").await.expect_err("there is no default domain yet");
        assert_eq!(refused.error(), (412, "RequiresContext2"));
        wire.make_domain("main").await;
        for (query, host) in DEFAULT_OR_NONE {
            let parent = written(&wire, query, host).await.expect("stored");
            assert_eq!(parent, "main", "{query} {host}");
        }
        for (query, host) in [("?domain=acme.example", "main"), ("", "acme.example")] {
            let parent = written(&wire, query, host).await.expect("stored");
            assert_eq!(parent, "acme.example", "{query} {host}");
        }
        let refused = written(&wire, "?domain=none.example", "main").await.expect_err("unknown");
        assert_eq!(refused.error(), (412, "RequiresContext2"));
    });
}

/// Unnamed Object Changes in Storage 6.0: a tenanted write names its domain in its Location; aliases are tenanted too.
#[test]
fn a_tenanted_write_tells_its_domain() {
    told(2, |wire| async move {
        wire.make_domain("acme.example").await;
        for query in ["?domain=acme.example", "?domain=acme.example&alias"] {
            let written = wire.ask(1, &format!("POST /{query}"), &[], "u").await;
            let uuid = written.must("content-uuid");
            for location in written.all("location") {
                assert!(location.ends_with(&format!("/{uuid}?domain=acme.example")), "{location}");
            }
            for verb in ["HEAD", "DELETE"] {
                let line = format!("{verb} /{uuid}?domain=none.example");
                assert_eq!(wire.ask(2, &line, &[], "").await.status, 200, "{line}");
            }
        }
    });
}
