//! Domains and buckets, and what is missing without them.

use crate::cluster::{ADMIN, CONTEXT, Cluster};

/// Manually Creating and Renaming Domains: a domain takes an administrator, a bucket does not.
#[test]
fn a_domain_is_made_by_an_administrator() {
    let mut cluster = Cluster::of(2, 1);
    let asked = cluster.ask(1, "POST /?domain=d.example", &[CONTEXT], b"");
    assert_eq!((asked.status, asked.body.len()), (401, 53));
    let challenges: Vec<_> = asked.all("www-authenticate").collect();
    let [digest, basic] = challenges[..] else { panic!("{challenges:?}") };
    assert!(digest.starts_with("Digest realm=\"CAStor administrator\", nonce=\""), "{digest}");
    assert_eq!(basic, "Basic realm=\"CAStor administrator\"");
    let made = cluster.ask(
        1,
        "POST /?domain=d.example",
        &[CONTEXT, ADMIN, "Policy-Replicas: default:2"],
        b"",
    );
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.must("content-uuid"), made.must("castor-system-alias"));
    assert!(made.must("location").ends_with(":80/?domain=d.example"), "{made:?}");
    let head = cluster.ask(2, "HEAD /?domain=D.example", &[], b"");
    assert_eq!(head.must("castor-system-name"), "d.example");
    assert_eq!(
        head.must("castor-system-cid"),
        "f".repeat(32),
        "DX App Guide: the parent of domains"
    );
    assert_eq!(head.must("castor-system-owner"), "admin@CAStor administrator");
    assert_eq!(head.must("policy-replicas"), "default:2");
    let bucket = cluster.ask(2, "POST /b?domain=d.example", &[CONTEXT], b"");
    assert_eq!(bucket.status, 201);
    let bucket = cluster.ask(1, "GET /b/?domain=d.example", &[], b"");
    assert_eq!(bucket.must("castor-system-cid"), made.must("content-uuid"));
    assert_eq!(bucket.must("castor-system-path"), "/d.example/b");
}

/// SCSP WRITE: without its domain or bucket a write is 412 with a cascade; Error Responses to READ: a read is 404.
#[test]
fn nothing_is_stored_without_its_context() {
    let mut cluster = Cluster::with_bucket(2, 2);
    for line in [
        "POST /b/x?domain=none.example",
        "POST /none/x?domain=d.example",
        "PUT /none/x?domain=d.example",
    ] {
        let refused = cluster.ask(1, line, &[], b"x");
        assert_eq!(refused.error(), (412, "RequiresContext2"), "{line}");
        assert_eq!(refused.field("etag"), None, "{line}");
        assert_eq!(refused.all("castor-system-error-code").collect::<Vec<_>>(), ["404", "412"]);
    }
    for line in ["GET /none/x?domain=d.example", "DELETE /none/x?domain=d.example"] {
        assert_eq!(cluster.ask(1, line, &[], b"").error(), (404, "RequiresContext"), "{line}");
    }
    assert_eq!(cluster.ask(1, "GET /b/none?domain=d.example", &[], b"").error(), (404, "NotFound"));
}

/// SCSP DELETE: a context goes only with `recursive`; our choice: a domain only by an administrator.
#[test]
fn a_bucket_is_deleted_only_with_recursive() {
    let mut cluster = Cluster::with_bucket(2, 3);
    let refused = cluster.ask(1, "DELETE /b?domain=d.example", &[], b"");
    assert_eq!(refused.error(), (400, "RecursiveRequired"));
    assert_eq!(cluster.ask(1, "DELETE /?domain=d.example&recursive", &[], b"").status, 401);
    let deleted = cluster.ask(2, "DELETE /b?domain=d.example&recursive=yes", &[], b"");
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert!(deleted.field("castor-system-alias").is_some());
    assert_eq!(cluster.ask(1, "HEAD /b?domain=d.example", &[], b"").status, 404);
}

/// SCSP WRITE: with `scsp.requireExplicitContextCreate` a context needs its content type.
#[test]
fn contexts_may_need_their_content_type() {
    let mut cluster =
        Cluster::with_settings(2, 4, &[("scsp.requireExplicitContextCreate", "True")]);
    assert_eq!(cluster.ask(1, "POST /?domain=main", &[CONTEXT, ADMIN], b"").status, 201);
    assert_eq!(cluster.ask(1, "POST /b", &[], b"").error(), (400, "InvalidRequest"));
    assert_eq!(cluster.ask(1, "POST /b", &[CONTEXT], b"").status, 201);
    // SCSP WRITE: `putcreate` on a context is an error.
    assert_eq!(cluster.ask(1, "PUT /b?putcreate", &[], b"").error(), (400, "InvalidQueryArgument"));
}

/// How enforceTenancy Works: an unnamed object belongs to the domain that is given, else to none.
#[test]
fn an_unnamed_object_may_belong_to_a_domain() {
    let mut cluster = Cluster::with_bucket(2, 5);
    let tenanted = cluster.ask(1, "POST /?domain=d.example", &[], b"t");
    assert!(tenanted.must("location").ends_with("?domain=d.example"), "{tenanted:?}");
    let uuid = tenanted.must("content-uuid").to_owned();
    let read = cluster.ask(2, &format!("GET /{uuid}"), &[], b"");
    let domain = cluster.ask(1, "HEAD /?domain=d.example", &[], b"");
    assert_eq!(read.text(), "t");
    assert_eq!(read.must("castor-system-cid"), domain.must("castor-system-alias"));
    let free = cluster.ask(1, "POST /?domain=", &["Host: d.example"], b"f");
    let uuid = free.must("content-uuid").to_owned();
    let read = cluster.ask(2, &format!("GET /{uuid}"), &[], b"");
    assert_eq!((read.text().as_str(), read.field("castor-system-cid")), ("f", None));
}
