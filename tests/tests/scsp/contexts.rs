//! Domains and buckets: created, updated, deleted, missing.

use crate::talk::{ADMIN, CONTEXT, told, told_with};

/// Manually Creating and Renaming Domains; DX App Guide: what a domain tells of itself.
#[test]
fn a_domain_is_an_object_of_its_own() {
    told(2, |wire| async move {
        let headers = [CONTEXT, ADMIN, "Policy-Replicas: min:2 max:3 default:2"];
        let made = wire.ask(1, "POST /?domain=Acme.Example", &headers, "list").await;
        assert_eq!((made.status, made.must("content-length")), (201, "46"));
        let alias = made.must("castor-system-alias");
        assert_eq!(made.must("content-uuid"), alias);
        for location in made.all("location") {
            assert!(location.ends_with(":80/?domain=acme.example"), "{location}");
        }
        for verb in ["GET", "HEAD"] {
            let read = wire.ask(2, &format!("{verb} /?domain=acme.EXAMPLE"), &[], "").await;
            assert_eq!((read.status, read.must("content-length")), (200, "4"));
            assert_eq!(read.text(), if verb == "GET" { "list" } else { "" });
            assert_eq!(read.must("castor-system-name"), "acme.example");
            assert_eq!(read.must("castor-system-alias"), alias);
            assert_eq!(read.must("castor-system-cid"), "f".repeat(32), "the parent of domains");
            assert_eq!(read.must("castor-system-owner"), "admin@CAStor administrator");
            assert_eq!(read.must("policy-replicas"), "min:2 max:3 default:2");
            assert_eq!(read.must("content-type"), "application/castorcontext");
            assert_ne!(read.must("etag").trim_matches('"'), alias);
        }
    });
}

/// SCSP WRITE; DX App Guide: a bucket, its parent, its path; POST over it is a new version of the same bucket.
#[test]
fn a_bucket_keeps_its_alias_over_updates() {
    told(2, |wire| async move {
        wire.make_domain("acme.example").await;
        let domain = wire.ask(1, "HEAD /?domain=acme.example", &[], "").await;
        let target = "/scans?domain=acme.example";
        let made = wire.ask(1, &format!("POST {target}"), &[CONTEXT], "").await;
        assert_eq!((made.status, made.must("content-length")), (201, "46"));
        let alias = made.must("castor-system-alias");
        assert_eq!(made.must("content-uuid"), alias);
        let object = "/scans/x?domain=acme.example";
        assert_eq!(wire.ask(2, &format!("POST {object}"), &[], "child").await.status, 201);
        for verb in ["POST", "PUT"] {
            let headers = [CONTEXT, "Policy-Versioning: disallowed"];
            let again = wire.ask(2, &format!("{verb} {target}"), &headers, verb).await;
            assert_eq!((again.status, again.must("content-length")), (201, "54"), "{verb}");
            assert_eq!(again.must("castor-system-alias"), alias, "{verb}");
            assert_ne!(again.must("etag"), made.must("etag"));
            let read = wire.ask(1, &format!("GET {target}"), &[], "").await;
            assert_eq!(read.text(), verb, "a context may hold a body");
            assert_eq!(read.must("castor-system-cid"), domain.must("castor-system-alias"));
            assert_eq!(read.must("castor-system-name"), "scans");
            assert_eq!(read.must("castor-system-path"), "/acme.example/scans");
            assert_eq!(read.must("castor-system-domain"), "acme.example");
            assert_eq!(wire.ask(1, &format!("GET {object}"), &[], "").await.text(), "child");
        }
    });
}

/// SCSP WRITE: a domain is updated by PUT with its argument.
#[test]
fn a_domain_keeps_its_alias_over_updates() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let before = wire.ask(1, "HEAD /?domain=acme.example", &[], "").await;
        let line = "PUT /?domain=acme.example";
        let updated = wire.ask(2, line, &["Policy-Versioning: enabled"], "").await;
        assert_eq!((updated.status, updated.must("content-length")), (201, "54"));
        assert_eq!(updated.must("castor-system-alias"), before.must("castor-system-alias"));
        let again = wire.ask(2, "POST /?domain=acme.example", &[CONTEXT, ADMIN], "").await;
        assert_eq!((again.status, again.must("content-length")), (201, "54"));
        assert_eq!(again.must("castor-system-alias"), before.must("castor-system-alias"));
        assert_eq!(wire.ask(1, "GET /scans?domain=acme.example", &[], "").await.status, 200);
    });
}

/// SCSP WRITE; Error Response Headers: a write without its domain or bucket is 412 with two triples, oldest first, and
/// no ETag.
#[test]
fn a_write_into_a_missing_context_is_412_with_a_cascade() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for (line, missing) in [
            ("POST /scans/x?domain=none.example", "none.example"),
            ("POST /none/x?domain=acme.example", "acme.example/none"),
            ("PUT /none/x?domain=acme.example", "acme.example/none"),
            ("PUT /none/x?domain=acme.example&putcreate", "acme.example/none"),
            ("POST /new?domain=none.example", "none.example"),
            ("PUT /new?domain=none.example", "none.example"),
        ] {
            let refused = wire.ask(1, line, &[], "x").await;
            assert_eq!(refused.status, 412, "{line}");
            let cascade: Vec<(&str, &str)> = refused
                .fields
                .iter()
                .filter(|(name, _)| name.starts_with("Castor-System-Error-"))
                .map(|(name, value)| (&name["Castor-System-Error-".len()..], value.as_str()))
                .collect();
            let first = format!("Failed to load context '{missing}'.");
            assert_eq!(
                cascade,
                [
                    ("Token", "SecurityRealmFailure"),
                    ("Text", first.as_str()),
                    ("Code", "404"),
                    ("Token", "RequiresContext2"),
                    ("Text", "Cannot find required domain or bucket."),
                    ("Code", "412"),
                ],
                "{line}"
            );
            assert_eq!(refused.field("etag"), None, "{line}");
            assert_eq!(refused.must("content-length"), "91");
        }
    });
}

/// Error Responses to READ: a read or delete without its domain or bucket is 404.
#[test]
fn a_read_from_a_missing_context_is_404() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for target in [
            "/scans/x?domain=none.example",
            "/none/x?domain=acme.example",
            "/none?domain=none.example",
        ] {
            for verb in ["GET", "HEAD", "DELETE"] {
                let refused = wire.ask(1, &format!("{verb} {target}"), &[], "").await;
                assert_eq!(refused.error(), (404, "RequiresContext"), "{verb} {target}");
                assert_eq!(refused.must("content-length"), "91");
            }
        }
        for target in ["/scans/none", "/none", "/"] {
            let domain = if target == "/" { "none.example" } else { "acme.example" };
            let heard = wire.ask(2, &format!("GET {target}?domain={domain}"), &[], "").await;
            assert_eq!(heard.error(), (404, "NotFound"), "{target}");
        }
    });
}

/// SCSP WRITE: with `scsp.requireExplicitContextCreate` a context is created only with its content type.
#[test]
fn an_explicit_content_type_may_be_required_for_contexts() {
    let setting = [("scsp.requireExplicitContextCreate", "True")];
    told_with(2, &setting, |wire| async move {
        wire.make_domain("acme.example").await;
        let target = "/scans?domain=acme.example";
        for headers in [vec![], vec!["Content-Type: text/plain"]] {
            let refused = wire.ask(1, &format!("POST {target}"), &headers, "").await;
            assert_eq!(refused.status, 400, "{headers:?}");
        }
        assert_eq!(wire.ask(1, &format!("GET {target}"), &[], "").await.status, 404);
        assert_eq!(wire.ask(1, &format!("POST {target}"), &[CONTEXT], "").await.status, 201);
    });
    told(2, |wire| async move {
        wire.make_domain("acme.example").await;
        let made = wire.ask(1, "POST /scans?domain=acme.example", &[], "").await;
        assert_eq!((made.status, made.must("content-length")), (201, "46"), "not by default");
    });
}

/// SCSP Query Arguments: `createdomain` is the deprecated way to say that a domain is meant.
#[test]
fn createdomain_creates_a_domain() {
    told(2, |wire| async move {
        let made = wire.ask(1, "POST /?domain=old.example&createdomain", &[ADMIN], "").await;
        assert_eq!(made.status, 201, "{made:?}");
        assert_eq!(wire.ask(2, "HEAD /?domain=old.example", &[], "").await.status, 200);
    });
}

/// SCSP DELETE: a context goes only with `recursive`.
#[test]
fn a_context_is_deleted_only_with_recursive() {
    told(3, |wire| async move {
        wire.make_bucket().await;
        let object = "/scans/x?domain=acme.example";
        assert_eq!(wire.ask(1, &format!("POST {object}"), &[], "x").await.status, 201);
        for line in
            ["DELETE /scans?domain=acme.example", "DELETE /scans?domain=acme.example&recursive=no"]
        {
            let refused = wire.ask(1, line, &[], "").await;
            assert_eq!(refused.error(), (400, "RecursiveRequired"), "{line}");
        }
        let refused = wire.ask(1, "DELETE /?domain=acme.example", &[ADMIN], "").await;
        assert_eq!(refused.error(), (400, "RecursiveRequired"));
        assert_eq!(wire.ask(1, &format!("GET {object}"), &[], "").await.text(), "x");
        let line = "DELETE /scans?domain=acme.example&recursive=yes";
        let deleted = wire.ask(2, line, &[], "").await;
        assert_eq!((deleted.status, deleted.must("content-length")), (200, "0"));
        assert!(deleted.field("castor-system-alias").is_some(), "{deleted:?}");
        // The context is gone at once, and its children cannot be reached by name.
        for node in 1..=3 {
            let gone = wire.ask(node, "HEAD /scans?domain=acme.example", &[], "").await;
            assert_eq!(gone.error(), (404, "NotFound"));
            let child = wire.ask(node, &format!("GET {object}"), &[], "").await;
            assert_eq!(child.error(), (404, "RequiresContext"));
            let child = wire.ask(node, &format!("POST {object}"), &[], "y").await;
            assert_eq!(child.error(), (412, "RequiresContext2"));
        }
        let line = "DELETE /?domain=acme.example&recursive";
        assert_eq!(wire.ask(3, line, &[ADMIN], "").await.status, 200);
        assert_eq!(wire.ask(1, "HEAD /?domain=acme.example", &[], "").await.status, 404);
    });
}

/// Renaming Domains and Buckets: children hang on their parent's alias, so a new bucket of an old name is empty.
#[test]
fn a_bucket_created_again_does_not_have_the_old_children() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let object = "/scans/x?domain=acme.example";
        assert_eq!(wire.ask(1, &format!("POST {object}"), &[], "x").await.status, 201);
        let bucket = "/scans?domain=acme.example";
        let line = format!("DELETE {bucket}&recursive");
        assert_eq!(wire.ask(1, &line, &[], "").await.status, 200);
        wire.env().sleep(std::time::Duration::from_secs(1)).await;
        let made = wire.ask(2, &format!("POST {bucket}"), &[CONTEXT], "").await;
        assert_eq!((made.status, made.must("content-length")), (201, "46"));
        wire.assert_nothing_at(2, object).await;
    });
}

/// WRITE with Replicate ROW: cached contexts are invalidated on the other nodes.
#[test]
fn a_new_bucket_is_usable_at_once_through_every_node() {
    told(4, |wire| async move {
        wire.make_domain("acme.example").await;
        for round in 0..3 {
            for node in 1..=4 {
                let missing = wire.ask(node, "GET /b/x?domain=acme.example", &[], "").await;
                assert_eq!(missing.error(), (404, "RequiresContext"), "round {round}");
            }
            let made = wire.ask(1 + round, "POST /b?domain=acme.example", &[CONTEXT], "").await;
            assert_eq!(made.status, 201);
            for node in 1..=4 {
                let line = "POST /b/x?domain=acme.example";
                assert_eq!(wire.ask(node, line, &[], "x").await.status, 201, "round {round}");
            }
            let line = "DELETE /b?domain=acme.example&recursive";
            assert_eq!(wire.ask(4 - round, line, &[], "").await.status, 200);
            wire.env().sleep(std::time::Duration::from_secs(1)).await;
        }
    });
}
