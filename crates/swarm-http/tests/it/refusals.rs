//! What is refused, and that nothing is stored of it.

use crate::cluster::Cluster;

const X: &str = "/b/x?domain=d.example";

#[track_caller]
fn check_refused(cluster: &mut Cluster, headers: &[&str], body: &[u8], expected: (u16, &str)) {
    let refused = cluster.ask(1, &format!("POST {X}"), headers, body);
    assert_eq!(refused.error(), expected, "{headers:?}");
    assert_eq!(refused.must("castor-system-error-code"), expected.0.to_string());
    let read = cluster.ask(2, &format!("GET {X}"), &[], b"");
    assert_eq!(read.status, 404, "nothing is stored of what was refused: {headers:?}");
}

/// Content-MD5 Checksums: a body with another MD5 is 400, abandoned, and ends the connection.
#[test]
fn a_body_must_have_the_md5_that_was_given() {
    let mut cluster = Cluster::with_bucket(2, 1);
    check_refused(
        &mut cluster,
        &["Content-MD5: KnJaKj3+S4Dgehm7s3BsWw=="],
        b"other",
        (400, "ContentMD5Mismatch"),
    );
    check_refused(&mut cluster, &["Content-MD5: nonsense"], b"other", (400, "InvalidHeader"));
    let md5 = ["Content-MD5: XUFAKrxLKna5cZ2REBfFkg=="];
    assert_eq!(cluster.ask(1, &format!("POST {X}"), &md5, b"hello").status, 201);
}

/// Working with Large Objects: a chunked write is erasure-coded, so a lifepoint of whole replicas rules it out. What is
/// not built is refused too, by name.
#[test]
fn chunked_writes_are_refused() {
    let mut cluster = Cluster::with_bucket(2, 2);
    let chunked = "Transfer-Encoding: chunked";
    let body = b"5\r\nhello\r\n0\r\n\r\n";
    check_refused(
        &mut cluster,
        &[chunked, "Lifepoint: [] reps=3"],
        body,
        (400, "ErasureCodingRequired"),
    );
    check_refused(&mut cluster, &[chunked], body, (501, "NotImplemented"));
    check_refused(
        &mut cluster,
        &[chunked, "Lifepoint: [] reps=5:2"],
        body,
        (501, "NotImplemented"),
    );
}

#[test]
fn arguments_and_headers_that_make_no_sense_are_refused() {
    let mut cluster = Cluster::with_bucket(2, 3);
    let long = format!("x-a-meta-b: {}", "v".repeat(17_000));
    check_refused(&mut cluster, &[&long], b"x", (400, "MetadataTooLarge"));
    for (line, expected) in [
        ("POST /b/x?domain=d.example&replicate=many", (400, "InvalidQueryArgument")),
        ("POST /b/x?domain=-d", (400, "InvalidName")),
        ("POST /70ef3152c831c2c80bbce6505dfb7d0a/x", (400, "InvalidName")),
        ("POST /70ef3152c831c2c80bbce6505dfb7d0a", (400, "InvalidRequest")),
        ("POST /b/%ff", (400, "BadRequestLine")),
        ("PUT /b/x?version=1&domain=d.example", (400, "InvalidQueryArgument")),
        ("GET /b/x?domain=d.example/", (404, "NotFound")),
    ] {
        assert_eq!(cluster.ask(1, line, &[], b"").error(), expected, "{line}");
    }
}

/// WRITE with Replicate ROW: with fewer than two nodes that could take it a write is refused, and nothing is written.
#[test]
fn a_write_needs_two_nodes() {
    let mut cluster = Cluster::of(1, 4);
    let refused = cluster.ask(1, "POST /?alias", &[], b"x");
    assert_eq!(refused.error(), (412, "ReplicateTargets"), "{refused:?}");
    assert_eq!(refused.field("etag"), None);
    let alone = cluster.ask(1, "POST /?alias&replicate=1", &[], b"x");
    assert_eq!((alone.status, alone.field("replica-count")), (201, None), "{alone:?}");
}
