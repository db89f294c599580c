//! Unnamed objects: immutable and alias.

use crate::talk::{Heard, told};

fn is_uuid(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 32 && text.bytes().all(legal)
}

fn quoted(uuid: &str) -> String {
    format!("\"{uuid}\"")
}

/// SCSP WRITE; Understanding Unnamed Objects: 201 with UUID and ETag, which are the same.
#[test]
fn an_immutable_object_is_found_by_its_uuid_whose_etag_it_has() {
    told(3, |wire| async move {
        let written = wire.ask(1, "POST /", &["Content-Type: text/plain"], "hello swarm\n").await;
        assert_eq!(written.line, "201 Created");
        assert_eq!(written.text(), "<html><body>New stream created</body></html>\r\n");
        assert_eq!(written.must("content-length"), "46");
        let uuid = written.must("content-uuid");
        assert!(is_uuid(uuid), "lower case: {uuid}");
        assert_eq!(written.must("etag"), quoted(uuid));
        assert_eq!(written.field("castor-system-alias"), None);
        for node in 1..=3 {
            for spelling in [uuid.to_owned(), uuid.to_uppercase()] {
                let read = wire.ask(node, &format!("GET /{spelling}"), &[], "").await;
                assert_eq!((read.status, read.text().as_str()), (200, "hello swarm\n"));
                assert_eq!(read.must("etag"), quoted(uuid));
                assert_eq!(read.must("content-type"), "text/plain");
                for absent in ["alias", "cid", "name", "path", "domain", "owner"] {
                    let name = format!("castor-system-{absent}");
                    assert_eq!(read.field(&name), None, "{name}");
                }
            }
        }
    });
}

/// Versioning Examples: one group of cluster, Location and Volume per replica, then the rest in this order.
#[test]
fn a_write_answers_with_one_group_per_replica() {
    told(3, |wire| async move {
        let written = wire.ask(1, "POST /?replicate=2", &[], "x").await;
        let group = ["Castor-System-Cluster", "Location", "Volume"];
        let rest = [
            "Stored-Digest",
            "Last-Modified",
            "Content-UUID",
            "Entity-MD5",
            "Castor-System-Version",
            "Etag",
            "Replica-Count",
            "Date",
            "Server",
            "Content-Length",
            "Content-Type",
            "Keep-Alive",
        ];
        assert_eq!(written.names(), [&group[..], &group, &rest].concat());
        let uuid = written.must("content-uuid");
        let locations = written.all("location");
        assert!(
            (1..=3)
                .filter(|node| {
                    locations.contains(&format!("http://{}/{uuid}", wire.address(*node)).as_str())
                })
                .count()
                == 2,
            "{locations:?}"
        );
        assert_eq!(written.all("castor-system-cluster"), ["main", "main"]);
        let volumes = written.all("volume");
        assert!(volumes.iter().all(|volume| is_uuid(volume)) && volumes[0] != volumes[1]);
        assert_eq!(written.must("replica-count"), "2");
        assert_eq!(written.must("content-type"), "text/html");
        assert_both_digests_are_one(&written);
    });
}

/// Getting Replica Counts and Location: both encode the same 16 bytes.
fn assert_both_digests_are_one(written: &Heard) {
    use base64::Engine as _;
    let decoded = base64::prelude::BASE64_STANDARD.decode(written.must("entity-md5"));
    let bytes = decoded.expect("base64");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, written.must("stored-digest"));
}

/// DX App Guide: an immutable object cannot be updated.
#[test]
fn an_immutable_object_is_never_updated() {
    told(3, |wire| async move {
        let uuid = wire.post("/", &[], "one").await;
        for query in ["", "?alias=yes", "?putcreate"] {
            let refused = wire.ask(2, &format!("PUT /{uuid}{query}"), &[], "two").await;
            assert_eq!(refused.error(), (403, "ImmutableObject"), "{query}");
            assert_eq!(refused.must("allow"), "GET, HEAD, DELETE");
            assert_eq!(refused.must("content-length"), "88");
        }
        assert_eq!(wire.ask(1, &format!("GET /{uuid}"), &[], "").await.text(), "one");
    });
}

/// Normal DELETE Responses; DX App Guide: a deleted UUID is 404 and never used again.
#[test]
fn a_deleted_uuid_is_gone_for_good() {
    told(3, |wire| async move {
        let uuid = wire.post("/", &["Content-Type: text/plain"], "x").await;
        let deleted = wire.ask(3, &format!("DELETE /{uuid}"), &[], "").await;
        assert_eq!(deleted.line, "200 OK");
        assert_eq!(
            deleted.names()[..5],
            [
                "Castor-System-Cluster",
                "Castor-System-Created",
                "Content-Type",
                "Last-Modified",
                "Etag"
            ]
        );
        assert_eq!((deleted.must("content-length"), deleted.body.len()), ("0", 0));
        assert_eq!(deleted.must("etag"), quoted(&uuid));
        for verb in ["GET", "HEAD", "PUT", "DELETE"] {
            for node in 1..=3 {
                let gone = wire.ask(node, &format!("{verb} /{uuid}"), &[], "").await;
                assert_eq!(gone.error(), (404, "NotFound"), "{verb} on {node}");
            }
        }
        wire.env().sleep(std::time::Duration::from_secs(60)).await;
        assert_eq!(wire.ask(1, &format!("GET /{uuid}"), &[], "").await.status, 404);
    });
}

/// SCSP Query Arguments; Versioning Examples: the UUID stays, every write has a new ETag.
#[test]
fn an_alias_object_keeps_its_uuid_and_changes_its_etag() {
    told(3, |wire| async move {
        let written = wire.ask(1, "POST /?alias=yes", &[], "one").await;
        let uuid = written.must("content-uuid").to_owned();
        assert_eq!(written.must("castor-system-alias"), uuid);
        let mut etags = vec![written.must("etag").to_owned()];
        assert_ne!(etags[0], quoted(&uuid));
        // `alias` is needed on the creating POST only.
        for (node, query, body) in [(2, "?alias=yes", "two"), (3, "", "three"), (1, "?alias", "4")]
        {
            let updated = wire.ask(node, &format!("PUT /{uuid}{query}"), &[], body).await;
            assert_eq!(updated.line, "201 Created");
            assert_eq!(updated.text(), "<html><body>New stream version created</body></html>\r\n");
            assert_eq!(updated.must("content-length"), "54");
            assert_eq!(updated.must("content-uuid"), uuid);
            assert_eq!(updated.must("castor-system-alias"), uuid);
            let read = wire.ask(node, &format!("GET /{uuid}{query}"), &[], "").await;
            assert_eq!(read.text(), body);
            assert_eq!(read.must("castor-system-alias"), uuid);
            assert_eq!(read.must("etag"), updated.must("etag"));
            etags.push(updated.must("etag").to_owned());
        }
        etags.sort();
        etags.dedup();
        assert_eq!(etags.len(), 4);
        let deleted = wire.ask(2, &format!("DELETE /{uuid}"), &[], "").await;
        assert_eq!((deleted.status, deleted.must("castor-system-alias")), (200, uuid.as_str()));
        assert_eq!(wire.ask(3, &format!("PUT /{uuid}"), &[], "x").await.error(), (404, "NotFound"));
    });
}

/// Our choice: `alias` on an object that is none changes nothing.
#[test]
fn alias_is_ignored_where_the_object_is_immutable() {
    told(2, |wire| async move {
        let uuid = wire.post("/", &[], "x").await;
        let read = wire.ask(1, &format!("GET /{uuid}?alias=yes"), &[], "").await;
        assert_eq!((read.status, read.text().as_str()), (200, "x"));
        assert_eq!(wire.ask(1, &format!("DELETE /{uuid}?alias=yes"), &[], "").await.status, 200);
    });
}

/// SCSP WRITE: an object may be empty.
#[test]
fn an_empty_object_is_an_object() {
    told(2, |wire| async move {
        let uuid = wire.post("/", &[], "").await;
        let read = wire.ask(2, &format!("GET /{uuid}"), &[], "").await;
        assert_eq!((read.status, read.must("content-length")), (200, "0"));
        let head = wire.ask(2, &format!("HEAD /{uuid}"), &[], "").await;
        assert_eq!(head.must("content-length"), "0");
    });
}

/// DX App Guide; Unnamed Object Changes in Storage 6.0: `DELETE /` and `PUT /` name no object.
#[test]
fn the_root_is_no_object_to_update_or_delete() {
    told(1, |wire| async move {
        for verb in ["DELETE", "PUT"] {
            assert_eq!(wire.once(1, &format!("{verb} /"), &[], "").await.status, 400, "{verb}");
        }
    });
}
