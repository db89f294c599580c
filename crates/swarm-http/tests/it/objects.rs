//! Objects written, read, replaced and deleted.

use crate::cluster::Cluster;

/// SCSP WRITE, READ, INFO and DELETE of an unnamed object; Understanding Unnamed Objects: its ETag is its UUID.
#[test]
fn an_immutable_object_lives_and_dies() {
    let mut cluster = Cluster::of(3, 1);
    let written = cluster.ask(1, "POST /", &["Content-Type: text/plain"], b"hello swarm\n");
    assert_eq!((written.status, written.body.len()), (201, 46));
    let uuid = written.must("content-uuid").to_owned();
    assert_eq!(written.must("etag"), format!("\"{uuid}\""));
    assert_eq!(written.field("castor-system-alias"), None);
    // WRITE with Replicate ROW: an immutable write ends with at least two replicas and says so.
    assert_eq!(written.must("replica-count"), "2");
    assert_eq!(written.all("location").count(), 2);
    let location = format!(":80/{uuid}");
    assert!(written.all("location").all(|place| place.ends_with(&location)), "{written:?}");

    for node in 1..=3 {
        let read = cluster.ask(node, &format!("GET /{}", uuid.to_uppercase()), &[], b"");
        assert_eq!((read.status, read.text()), (200, "hello swarm\n".to_owned()));
        assert_eq!(read.must("content-type"), "text/plain");
        let head = cluster.ask(node, &format!("HEAD /{uuid}"), &[], b"");
        assert_eq!((head.status, head.must("content-length")), (200, "12"));
    }
    // DX App Guide: an immutable object is never updated.
    let updated = cluster.ask(2, &format!("PUT /{uuid}"), &[], b"other");
    assert_eq!(updated.error(), (403, "ImmutableObject"));
    assert_eq!(updated.must("allow"), "GET, HEAD, DELETE");
    // Normal DELETE Responses.
    let deleted = cluster.ask(3, &format!("DELETE /{uuid}"), &[], b"");
    assert_eq!((deleted.status, deleted.must("content-length")), (200, "0"));
    assert_eq!(deleted.must("etag"), format!("\"{uuid}\""));
    for verb in ["GET", "HEAD", "DELETE", "PUT"] {
        let gone = cluster.ask(1, &format!("{verb} /{uuid}"), &[], b"");
        assert_eq!(gone.error(), (404, "NotFound"), "{verb}");
    }
}

/// SCSP Query Arguments: `alias` makes a mutable unnamed object; its UUID stays, its ETag changes.
#[test]
fn an_alias_object_keeps_its_uuid() {
    let mut cluster = Cluster::of(3, 2);
    let written = cluster.ask(1, "POST /?alias=yes", &[], b"one");
    let uuid = written.must("content-uuid").to_owned();
    assert_eq!(written.must("castor-system-alias"), uuid);
    let mut etags = vec![written.must("etag").to_owned()];
    for (node, line, body) in
        [(2, format!("PUT /{uuid}?alias=yes"), "two"), (3, format!("PUT /{uuid}"), "three")]
    {
        let updated = cluster.ask(node, &line, &[], body.as_bytes());
        assert_eq!((updated.status, updated.body.len()), (201, 54));
        assert_eq!(updated.must("content-uuid"), uuid);
        etags.push(updated.must("etag").to_owned());
    }
    etags.dedup();
    assert_eq!(etags.len(), 3, "a new one with every write");
    let read = cluster.ask(1, &format!("GET /{uuid}"), &[], b"");
    assert_eq!((read.text().as_str(), read.must("etag")), ("three", etags[2].as_str()));
    assert_eq!(read.must("castor-system-alias"), uuid);
}

/// SCSP WRITE and UPDATE of named objects.
#[test]
fn a_named_object_is_created_replaced_and_deleted() {
    let mut cluster = Cluster::with_bucket(3, 3);
    let named = "/b/2025/a%20cat.txt?domain=d.example";
    let missing = cluster.ask(1, &format!("PUT {named}"), &[], b"x");
    assert_eq!(missing.error(), (404, "NotFound"));
    let created = cluster.ask(1, &format!("POST {named}"), &[], b"one");
    assert_eq!((created.status, created.body.len()), (201, 46));
    assert_eq!(created.field("content-uuid"), None, "a plain name has no UUID");
    assert!(created.must("location").ends_with(":80/b/2025/a%20cat.txt?domain=d.example"));
    let replaced = cluster.ask(2, &format!("POST {named}"), &[], b"two");
    assert_eq!((replaced.status, replaced.body.len()), (201, 54));
    // SCSP WRITE: `If-None-Match: *` creates only; Caching Metadata Headers: 412 with the current ETag.
    let refused = cluster.ask(3, &format!("POST {named}"), &["If-None-Match: *"], b"three");
    assert_eq!(refused.error(), (412, "ConditionalIfNoneMatch"));
    assert_eq!(refused.must("etag"), replaced.must("etag"));
    // SCSP WRITE: `putcreate` lets PUT create.
    let put = cluster.ask(2, "PUT /b/new?putcreate&domain=d.example", &[], b"n");
    assert_eq!((put.status, put.body.len()), (201, 46));

    let read = cluster.ask(3, &format!("GET {named}"), &[], b"");
    assert_eq!(read.text(), "two");
    assert_eq!(read.must("castor-system-name"), "2025/a cat.txt");
    assert_eq!(read.must("castor-system-path"), "/d.example/b/2025/a cat.txt");
    assert_eq!(read.must("castor-system-domain"), "d.example");
    assert_eq!(read.field("castor-system-alias"), None);
    // Formatting SCSP Commands: the Host names the domain too.
    let by_host = cluster.ask(1, "GET /b/2025/a%20cat.txt", &["Host: D.Example:80"], b"");
    assert_eq!(by_host.text(), "two");
    assert_eq!(cluster.ask(1, &format!("DELETE {named}"), &[], b"").status, 200);
    assert_eq!(cluster.ask(2, &format!("GET {named}"), &[], b"").error(), (404, "NotFound"));
}

/// SCSP WRITE: the setting `scsp.allowPutCreate` has the same effect as the argument.
#[test]
fn put_may_create_by_setting() {
    let mut cluster = Cluster::with_settings(2, 4, &[("scsp.allowPutCreate", "True")]);
    let domain = ["Content-Type: application/castorcontext", crate::cluster::ADMIN];
    assert_eq!(cluster.ask(1, "POST /?domain=main", &domain, b"").status, 201);
    assert_eq!(cluster.ask(1, "POST /b", &domain[..1], b"").status, 201);
    assert_eq!(cluster.ask(1, "PUT /b/x", &[], b"1").status, 201);
    assert_eq!(cluster.ask(2, "GET /b/x", &[], b"").text(), "1", "in the default domain");
}

/// SCSP Headers; Custom Metadata Headers; Content-MD5 Checksums: stored headers come back sorted, in the client's
/// spelling, repeats in order, everything else dropped.
#[test]
fn metadata_comes_back_as_it_was_spelled() {
    let mut cluster = Cluster::of(2, 5);
    let headers = [
        "x-Acme-META-color: blue",
        "user-agent: test",
        "Cache-Control: max-age=60",
        "X-acme-meta-Color: red, green",
        "LIFEPOINT: [] reps=2,",
        "\tdeletable=yes",
        "Castor-System-Owner: somebody",
        "content-TYPE: text/plain",
        "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==",
    ];
    let written = cluster.ask(1, "POST /?alias", &headers, b"hello");
    assert_eq!(written.status, 201, "{written:?}");
    let uuid = written.must("content-uuid").to_owned();
    let read = cluster.ask(2, &format!("GET /{uuid}"), &[], b"");
    assert_eq!(
        read.names(),
        [
            "Cache-Control",
            "Castor-System-Alias",
            "Castor-System-Cluster",
            "Castor-System-Created",
            "Castor-System-Version",
            "content-TYPE",
            "Last-Modified",
            "LIFEPOINT",
            "x-Acme-META-color",
            "X-acme-meta-Color",
            "ETag",
            "Volume",
            "Volume-Hint",
            "Content-MD5",
            "Content-Length",
            "Date",
            "Server",
            "Keep-Alive",
        ]
    );
    assert_eq!(read.must("lifepoint"), "[] reps=2, deletable=yes");
    assert_eq!(read.must("keep-alive"), "timeout=14400");
    assert_eq!(read.must("castor-system-created"), read.must("last-modified"));
    assert_eq!(read.must("castor-system-cluster"), "main");
    assert_eq!(read.must("server"), "CAStor Cluster/15.0.1");
}

#[test]
fn a_large_body_comes_back_whole() {
    let mut cluster = Cluster::with_bucket(3, 6);
    let body: Vec<u8> = (0..1_500_001_u32).map(|n| (n % 251) as u8).collect();
    let expect = ["Expect: 100-continue"];
    let written = cluster.talk(1, {
        let bytes =
            crate::cluster::request("POST /b/big?domain=d.example&replicate=full", &expect, &body);
        move |mut talk| async move {
            let head = bytes.windows(4).position(|part| part == b"\r\n\r\n").expect("a head") + 4;
            talk.say(&bytes[..head]).await;
            let first = talk.hear(false).await;
            if first.status != 100 {
                return first;
            }
            talk.say(&bytes[head..]).await;
            talk.hear(false).await
        }
    });
    // The node asked may send the client on instead; then the usual way must work.
    if written.status == 307 {
        assert_eq!(cluster.ask(2, "POST /b/big?domain=d.example", &[], &body).status, 201);
    } else {
        assert_eq!(written.status, 201, "{written:?}");
    }
    let read = cluster.ask(3, "GET /b/big?domain=d.example", &[], b"");
    assert!(read.body == body, "{} bytes came back", read.body.len());
}

/// Lifepoint Metadata Headers: `deletable=no` refuses DELETE.
#[test]
fn an_object_that_may_not_be_deleted_stays() {
    let mut cluster = Cluster::with_bucket(2, 7);
    let lifepoint = ["Lifepoint: [] reps=2, deletable=no"];
    cluster.ask(1, "POST /b/locked?domain=d.example", &lifepoint, b"x");
    let refused = cluster.ask(2, "DELETE /b/locked?domain=d.example", &[], b"");
    assert_eq!(refused.error(), (403, "DeleteNotAllowed"));
    assert_eq!(refused.body.len(), 77);
    assert_eq!(cluster.ask(1, "GET /b/locked?domain=d.example", &[], b"").text(), "x");
}
