//! Named objects: create, replace, read, delete.

use crate::talk::told;

const CAT: &str = "/scans/2025/cat.txt?domain=acme.example";

/// SCSP WRITE, READ, UPDATE, DELETE: the life of a name, through any node.
#[test]
fn a_name_is_created_replaced_deleted_and_used_again() {
    told(3, |wire| async move {
        wire.make_bucket().await;
        let created = wire.ask(1, &format!("POST {CAT}"), &["X-A-Meta: 1"], "one").await;
        assert_eq!((created.status, created.must("content-length")), (201, "46"));
        let replaced = wire.ask(2, &format!("POST {CAT}"), &[], "two").await;
        assert_eq!((replaced.status, replaced.must("content-length")), (201, "54"));
        let updated = wire.ask(3, &format!("PUT {CAT}"), &[], "three").await;
        assert_eq!((updated.status, updated.must("content-length")), (201, "54"));
        let etags = [&created, &replaced, &updated].map(|heard| heard.must("etag"));
        assert!(etags[0] != etags[1] && etags[1] != etags[2], "a new one with every write");
        for node in 1..=3 {
            let read = wire.ask(node, &format!("GET {CAT}"), &[], "").await;
            assert_eq!((read.status, read.text().as_str()), (200, "three"));
            assert_eq!(read.must("etag"), etags[2]);
            assert_eq!(read.field("x-a-meta"), None, "old headers are dropped");
        }
        let deleted = wire.ask(1, &format!("DELETE {CAT}"), &[], "").await;
        assert_eq!((deleted.status, deleted.must("etag")), (200, etags[2]));
        wire.assert_nothing_at(3, CAT).await;
        assert_eq!(wire.ask(2, &format!("DELETE {CAT}"), &[], "").await.error(), (404, "NotFound"));
        // SCSP DELETE: names are reusable, after a second.
        wire.env().sleep(std::time::Duration::from_secs(1)).await;
        let again = wire.ask(3, &format!("POST {CAT}"), &[], "again").await;
        assert_eq!((again.status, again.must("content-length")), (201, "46"), "{again:?}");
        assert_eq!(wire.ask(1, &format!("GET {CAT}"), &[], "").await.text(), "again");
    });
}

/// Versioning Examples; Uploading the Parts: a plain name has no UUID to tell; Location ends with the name.
#[test]
fn a_named_write_tells_its_location_and_no_uuid() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let line = "POST /scans/a%20b%C3%A4/c%2Bd?domain=acme.example";
        let written = wire.ask(1, line, &[], "x").await;
        assert_eq!(written.field("content-uuid"), None);
        assert_eq!(written.field("castor-system-alias"), None);
        for location in written.all("location") {
            let (_, path) = location.split_once(":80").expect("the SCSP port");
            assert_eq!(path, "/scans/a%20b%C3%A4/c%2Bd?domain=acme.example");
            let (node, target) =
                (if location.contains(&wire.address(1)) { 1 } else { 2 }, format!("GET {path}"));
            assert_eq!(wire.once(node, &target, &[], "").await.text(), "x", "leads there");
        }
    });
}

/// SCSP READ; Normal Responses to READ: the identity headers of a named object, and their values.
#[test]
fn a_read_tells_name_path_domain_parent_and_version() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let bucket = wire.ask(1, "HEAD /scans?domain=acme.example", &[], "").await;
        let written = wire.ask(1, &format!("POST {CAT}"), &[], "meow").await;
        let read = wire.ask(1, &format!("GET {CAT}"), &[], "").await;
        assert_eq!(read.must("castor-system-name"), "2025/cat.txt");
        assert_eq!(read.must("castor-system-path"), "/acme.example/scans/2025/cat.txt");
        assert_eq!(read.must("castor-system-domain"), "acme.example");
        assert_eq!(read.must("castor-system-cid"), bucket.must("castor-system-alias"));
        assert_eq!(read.must("castor-system-cluster"), "main");
        assert_eq!(read.field("castor-system-alias"), None);
        assert_eq!(read.field("castor-system-owner"), None, "anonymous");
        assert_eq!(read.must("last-modified"), read.must("castor-system-created"));
        assert_eq!(read.must("last-modified"), written.must("last-modified"));
        let version = read.must("castor-system-version");
        assert_eq!(version, written.must("castor-system-version"));
        let (seconds, millis) = version.split_once('.').expect("seconds with decimals");
        assert!(millis.len() == 3 && millis.bytes().all(|byte| byte.is_ascii_digit()));
        assert!(seconds.parse::<u64>().is_ok());
        let volumes = [read.must("volume"), read.must("volume-hint")];
        assert_ne!(volumes[0], volumes[1]);
        let written: Vec<&str> = written.all("volume");
        assert!(volumes.iter().all(|volume| written.contains(volume)), "{volumes:?} {written:?}");
    });
}

/// SCSP READ: stored headers sorted, then what is known at run time, in this order.
#[test]
fn a_read_lists_its_headers_in_the_documented_order() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let headers = ["x-acme-meta-color: blue", "Content-Type: text/plain"];
        assert_eq!(wire.ask(1, &format!("POST {CAT}"), &headers, "meow").await.status, 201);
        let read = wire.ask(2, &format!("GET {CAT}"), &[], "").await;
        assert_eq!(
            read.names(),
            [
                "Castor-System-CID",
                "Castor-System-Cluster",
                "Castor-System-Created",
                "Castor-System-Name",
                "Castor-System-Version",
                "Content-Type",
                "Last-Modified",
                "x-acme-meta-color",
                "ETag",
                "Castor-System-Path",
                "Castor-System-Domain",
                "Volume",
                "Volume-Hint",
                "Content-Length",
                "Date",
                "Server",
                "Keep-Alive",
            ]
        );
    });
}

/// SCSP INFO: the same as READ without a body; the length is the object's.
#[test]
fn head_tells_what_get_tells() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let headers = ["x-acme-meta-color: blue", "Lifepoint: [] reps=2"];
        assert_eq!(wire.ask(1, &format!("POST {CAT}"), &headers, "meow").await.status, 201);
        let unnamed = wire.post("/?alias", &["Content-Type: a/b"], "twelve bytes").await;
        for target in [CAT.to_owned(), format!("/{unnamed}"), "/scans?domain=acme.example".into()] {
            for node in 1..=2 {
                let fixed = |heard: crate::talk::Heard| {
                    let mut fields = heard.fields;
                    fields.retain(|(name, _)| name != "Date");
                    (heard.line, fields)
                };
                let head = wire.ask(node, &format!("HEAD {target}"), &[], "").await;
                assert!(head.body.is_empty());
                let get = wire.ask(node, &format!("GET {target}"), &[], "").await;
                assert_eq!(get.must("content-length"), get.body.len().to_string());
                assert_eq!(fixed(head), fixed(get), "{target}");
            }
        }
    });
}

/// SCSP UPDATE: what does not exist cannot be updated.
#[test]
fn put_of_a_missing_object_is_404() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for target in [
            CAT,
            "/70ef3152c831c2c80bbce6505dfb7d0a",
            "/none?domain=acme.example",
            "/?domain=none.example",
        ] {
            let refused = wire.ask(1, &format!("PUT {target}"), &[], "x").await;
            assert_eq!(refused.error(), (404, "NotFound"), "{target}");
        }
        wire.assert_nothing_at(2, CAT).await;
    });
}

/// SCSP WRITE: with `putcreate` a named object is created as by POST.
#[test]
fn put_with_putcreate_creates_a_named_object() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for query in ["&putcreate", "&PutCreate=yes"] {
            let created = wire.ask(1, &format!("PUT {CAT}{query}"), &[], "one").await;
            assert_eq!((created.status, created.must("content-length")), (201, "46"));
            let updated = wire.ask(2, &format!("PUT {CAT}{query}"), &[], "two").await;
            assert_eq!((updated.status, updated.must("content-length")), (201, "54"));
            assert_eq!(wire.ask(1, &format!("DELETE {CAT}"), &[], "").await.status, 200);
            wire.env().sleep(std::time::Duration::from_secs(1)).await;
        }
        let refused = wire.ask(1, &format!("PUT {CAT}&putcreate=no"), &[], "x").await;
        assert_eq!(refused.error(), (404, "NotFound"));
    });
}

/// SCSP WRITE: `putcreate` on a domain or bucket is an error; on unnamed objects it has no meaning.
#[test]
fn putcreate_is_for_named_objects_only() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for target in ["/scans?domain=acme.example", "/new?domain=acme.example", "/?domain=x.y"] {
            let refused = wire.ask(1, &format!("PUT {target}&putcreate"), &[], "").await;
            assert_eq!(refused.error(), (400, "InvalidQueryArgument"), "{target}");
        }
        let line = "PUT /70ef3152c831c2c80bbce6505dfb7d0a?putcreate";
        assert_eq!(wire.ask(1, line, &[], "x").await.error(), (404, "NotFound"));
    });
}

/// SCSP WRITE: `scsp.allowPutCreate` does what the argument does, for named objects only; a context PUT is an ordinary
/// update.
#[test]
fn the_setting_allow_put_create_is_for_named_objects_only() {
    crate::talk::told_with(2, &[("scsp.allowPutCreate", "True")], |wire| async move {
        wire.make_bucket().await;
        let created = wire.ask(1, &format!("PUT {CAT}"), &[], "one").await;
        assert_eq!((created.status, created.must("content-length")), (201, "46"));
        let updated = wire.ask(1, "PUT /scans?domain=acme.example", &[], "").await;
        assert_eq!((updated.status, updated.must("content-length")), (201, "54"), "{updated:?}");
        for target in [
            "/new?domain=acme.example",
            "/?domain=new.example",
            "/70ef3152c831c2c80bbce6505dfb7d0a",
        ] {
            let refused = wire.ask(1, &format!("PUT {target}"), &[], "").await;
            assert_eq!(refused.error(), (404, "NotFound"), "{target}");
        }
    });
}

/// SCSP WRITE: `If-None-Match: *` creates only.
#[test]
fn create_only_refuses_a_name_that_exists() {
    told(3, |wire| async move {
        wire.make_bucket().await;
        let only = ["If-None-Match: *"];
        let created = wire.ask(1, &format!("POST {CAT}"), &only, "one").await;
        assert_eq!(created.status, 201);
        for node in 1..=3 {
            let refused = wire.ask(node, &format!("POST {CAT}"), &only, "two").await;
            assert_eq!(refused.error(), (412, "ConditionalIfNoneMatch"));
            // Caching Metadata Headers: a condition tells the ETag, a missing context does not.
            assert_eq!(refused.must("etag"), created.must("etag"));
        }
        assert_eq!(wire.ask(2, &format!("GET {CAT}"), &[], "").await.text(), "one");
        assert_eq!(wire.ask(2, &format!("DELETE {CAT}"), &[], "").await.status, 200);
        wire.env().sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(wire.ask(3, &format!("POST {CAT}"), &only, "new").await.status, 201);
    });
}

/// SCSP UPDATE: faster updates than one a second may get 409. Our choice: of writers at the same time each is told 201
/// only for a version that was stored, all nodes agree on the newest, and no version is told twice.
#[test]
fn writers_at_the_same_time_end_with_one_version_everywhere() {
    told(4, |wire| async move {
        wire.make_bucket().await;
        let wire = std::sync::Arc::new(wire);
        for _ in 0..10 {
            let writers: Vec<_> = (1..=4)
                .map(|node| {
                    let wire = std::sync::Arc::clone(&wire);
                    let env = wire.env().clone();
                    env.spawn("writer", async move {
                        let body = format!("written by {node}");
                        (wire.ask(node, &format!("POST {CAT}"), &[], &body).await, body)
                    })
                })
                .collect();
            let mut stored = Vec::new();
            for writer in writers {
                let (heard, body) = writer.join().await.expect("a writer");
                match heard.status {
                    201 => {
                        let told = |name| heard.must(name).to_owned();
                        // Of two writes within one millisecond the larger ETag wins.
                        stored.push((told("castor-system-version"), told("etag"), body));
                    }
                    409 => assert_eq!(heard.error(), (409, "UpdateConflict")),
                    503 => {}
                    other => panic!("{other}: {heard:?}"),
                }
            }
            stored.sort();
            let Some((newest, etag, body)) = stored.last() else { continue };
            for node in 1..=4 {
                let read = wire.ask(node, &format!("GET {CAT}"), &[], "").await;
                let seen = (read.must("castor-system-version"), read.must("etag"), &read.text());
                assert_eq!(seen, (&**newest, &**etag, body));
            }
            wire.env().sleep(std::time::Duration::from_secs(1)).await;
        }
    });
}
