//! What is documented and not built yet is 501, named, and stores nothing (our choice: no test passes by accident).

use crate::talk::{ADMIN, told};

const X: &str = "/scans/x?domain=acme.example";

/// SCSP Methods: the verbs that are to come.
#[test]
fn verbs_to_come_are_501_and_named() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        assert_eq!(wire.ask(1, &format!("POST {X}"), &[], "old").await.status, 201);
        for verb in ["HOLD", "RELEASE", "GEN"] {
            let refused = wire.ask(1, &format!("{verb} {X}"), &[], "").await;
            assert_eq!(refused.error(), (501, "NotImplemented"), "{verb}");
            assert_eq!(refused.why(), format!("Not implemented: method {verb}."));
        }
        assert_eq!(wire.ask(1, &format!("GET {X}"), &[], "").await.text(), "old");
    });
}

/// SCSP Query Arguments: arguments of writes that are to come; nothing is stored.
#[test]
fn arguments_of_writes_to_come_are_501_and_store_nothing() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for (query, name) in [
            ("uploads", "uploads"),
            ("uploadid=1&PartNumber=2", "partnumber"),
            ("uploadid=1", "uploadid"),
            ("encoding=5:2", "encoding"),
            ("erasurecoded", "erasurecoded"),
            ("segmentsize=1000", "segmentsize"),
            ("hashtype=sha256", "hashtype"),
            ("HASH=12", "hash"),
            ("gencontentmd5", "gencontentmd5"),
            ("decorates=1", "decorates"),
            ("cid=70ef3152c831c2c80bbce6505dfb7d0a", "cid"),
        ] {
            for expect in [&[][..], &["Expect: 100-continue"]] {
                let refused = wire.ask(1, &format!("POST {X}&{query}"), expect, "new").await;
                assert_eq!(refused.error(), (501, "NotImplemented"), "{query}");
                assert_eq!(refused.why(), format!("Not implemented: argument '{name}'."));
            }
        }
        let refused = wire.ask(1, "POST /scans?recreatecid=1&admin", &[ADMIN], "").await;
        assert_eq!(refused.why(), "Not implemented: argument 'recreatecid'.");
        let line = "POST /70ef3152c831c2c80bbce6505dfb7d0a?admin";
        let refused = wire.ask(1, line, &[ADMIN], "x").await;
        assert_eq!(refused.error(), (501, "NotImplemented"), "a chosen UUID");
        wire.assert_nothing_at(2, X).await;
        wire.assert_nothing_at(2, "/70ef3152c831c2c80bbce6505dfb7d0a").await;
    });
}

/// SCSP UPDATE, READ, INFO, DELETE: further arguments that are to come; what is there stays as it is.
#[test]
fn other_arguments_to_come_are_501_and_change_nothing() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let written = wire.ask(1, &format!("POST {X}"), &["x-a-meta: 1"], "old").await;
        for (verb, query, name) in [
            ("PUT", "newname=y", "newname"),
            ("PUT", "preserve", "preserve"),
            ("PUT", "hashtype=md5", "hashtype"),
            ("PUT", "gencontentmd5=yes", "gencontentmd5"),
            ("COPY", "newname=y&preserve", "newname"),
            ("COPY", "gencontentmd5=yes", "gencontentmd5"),
            ("APPEND", "version=0b7d5c1e9f2a4d38861c3e5f7a90b2c4", "version"),
            ("APPEND", "uploads", "uploads"),
            ("GET", "validate", "validate"),
            ("HEAD", "countreps=yes", "countreps"),
            ("GET", "CountReps", "countreps"),
            ("GET", "checkintegrity", "checkintegrity"),
            ("GET", "hash=12", "hash"),
            ("GET", "hashtype=md5", "hashtype"),
            ("GET", "newhashtype=md5", "newhashtype"),
            ("GET", "gencontentmd5", "gencontentmd5"),
            ("GET", "version=0b7d5c1e9f2a4d38861c3e5f7a90b2c4", "version"),
            ("GET", "format=json", "format"),
            ("DELETE", "version=0b7d5c1e9f2a4d38861c3e5f7a90b2c4", "version"),
            ("DELETE", "uploadid=1", "uploadid"),
            ("DELETE", "aliasuuid=70ef3152c831c2c80bbce6505dfb7d0a", "aliasuuid"),
        ] {
            let refused = wire.ask(1, &format!("{verb} {X}&{query}"), &[], "").await;
            assert_eq!(refused.error(), (501, "NotImplemented"), "{verb} {query}");
            assert_eq!(refused.why(), format!("Not implemented: argument '{name}'."), "{verb}");
        }
        let refused = wire.ask(1, "DELETE /scans?domain=acme.example&recursive=now", &[], "").await;
        assert_eq!(refused.why(), "Not implemented: argument 'recursive=now'.");
        let refused = wire.ask(1, "GET /?format=json", &[], "").await;
        assert_eq!(refused.why(), "Not implemented: argument 'format'.");
        let read = wire.ask(1, &format!("GET {X}"), &[], "").await;
        assert_eq!(
            (read.must("etag"), read.text().as_str(), read.must("x-a-meta")),
            (written.must("etag"), "old", "1")
        );
    });
}

/// SCSP UPDATE: PUT takes no `version`.
#[test]
fn put_takes_no_version() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        assert_eq!(wire.ask(1, &format!("POST {X}"), &[], "old").await.status, 201);
        let line = format!("PUT {X}&version=0b7d5c1e9f2a4d38861c3e5f7a90b2c4");
        assert_eq!(wire.ask(1, &line, &[], "new").await.error(), (400, "InvalidQueryArgument"));
        assert_eq!(wire.ask(1, &format!("GET {X}"), &[], "").await.text(), "old");
    });
}

/// Caching Metadata Headers; Castor-Authorization: headers that are to come; nothing is stored.
#[test]
fn headers_to_come_are_501_and_store_nothing() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for header in ["If-Match: *", "If-None-Match: \"x\"", "If-Unmodified-Since: x"] {
            let refused = wire.ask(1, &format!("POST {X}"), &[header], "x").await;
            assert_eq!(refused.error(), (501, "NotImplemented"), "{header}");
        }
        for header in ["Castor-Authorization: x", "Expect: Content-MD5"] {
            let refused = wire.ask(1, &format!("POST {X}"), &[header], "x").await;
            assert_eq!(refused.error(), (501, "NotImplemented"), "{header}");
        }
        let refused = wire.ask(1, "POST /", &["Allow: GET"], "x").await;
        assert_eq!(refused.why(), "Not implemented: header 'Allow' on an unnamed object.");
        let refused = wire.ask(1, "POST /", &["If-None-Match: *"], "x").await;
        assert_eq!(refused.error(), (501, "NotImplemented"));
        wire.assert_nothing_at(2, X).await;
        assert_eq!(wire.ask(1, &format!("POST {X}"), &[], "old").await.status, 201);
        for (verb, header, name) in [
            ("GET", "Range: bytes=0-1", "range"),
            ("GET", "If-Range: x", "if-range"),
            ("GET", "If-Match: *", "if-match"),
            ("HEAD", "If-None-Match: *", "if-none-match"),
            ("GET", "If-Modified-Since: x", "if-modified-since"),
            ("DELETE", "If-Unmodified-Since: x", "if-unmodified-since"),
            ("DELETE", "If-Match: *", "if-match"),
            ("PUT", "If-None-Match: *", "if-none-match"),
            ("COPY", "If-None-Match: *", "if-none-match"),
            ("APPEND", "If-Unmodified-Since: x", "if-unmodified-since"),
        ] {
            let refused = wire.ask(1, &format!("{verb} {X}"), &[header], "").await;
            assert_eq!(refused.error(), (501, "NotImplemented"), "{verb} {header}");
            assert_eq!(refused.why(), format!("Not implemented: header '{name}'."), "{verb}");
        }
        assert_eq!(wire.ask(1, &format!("GET {X}"), &[], "").await.text(), "old");
    });
}

/// Working with Large Objects: chunked writes are to come; nothing is stored.
#[test]
fn chunked_writes_are_501_and_store_nothing() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let body = "5;a=b\r\nhello\r\n0\r\nX-A-Meta: 1\r\n\r\n";
        for headers in [
            vec!["Transfer-Encoding: chunked"],
            vec!["transfer-encoding: Chunked", "Expect: 100-continue"],
            vec!["Transfer-Encoding: chunked", "Lifepoint: [] reps=5:2"],
            vec!["Transfer-Encoding: chunked", "Lifepoint: nonsense"],
        ] {
            let refused = wire.ask(1, &format!("POST {X}"), &headers, body).await;
            assert_eq!(refused.error(), (501, "NotImplemented"), "{headers:?}");
            assert_eq!(refused.why(), "Not implemented: chunked writes.");
        }
        wire.assert_nothing_at(2, X).await;
    });
}

/// SCSP Query Arguments: an argument that says no asks for nothing; one of another verb means nothing.
#[test]
fn arguments_that_ask_for_nothing_are_no_reason_to_refuse() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let line = format!("POST {X}&validate&gencontentmd5=no&erasurecoded=false");
        assert_eq!(wire.ask(1, &line, &[], "x").await.status, 201);
        let line = format!("GET {X}&verbose=no&countreps=false&newname=z");
        assert_eq!(wire.ask(1, &line, &[], "").await.status, 200);
        let head = wire.ask(1, &format!("HEAD {X}"), &["Range: bytes=0-1"], "").await;
        assert_eq!(head.status, 200);
        assert_eq!(wire.ask(1, &format!("DELETE {X}&verbose"), &[], "").await.status, 200);
    });
}
