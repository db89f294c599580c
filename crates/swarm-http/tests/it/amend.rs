//! COPY and APPEND: a new version that takes over the bytes of the one before.

use crate::cluster::{Cluster, request};

const X: &str = "/b/x?domain=d.example";

/// The names and values of custom metadata, in order.
fn metadata(cluster: &mut Cluster, node: u8) -> Vec<String> {
    let head = cluster.ask(node, &format!("HEAD {X}"), &[], b"");
    assert_eq!(head.status, 200, "{head:?}");
    let shown = head.names().into_iter().filter(|name| name.starts_with("x-a-meta"));
    shown.map(|name| format!("{name}={}", head.must(name))).collect()
}

/// SCSP APPEND: bytes are added to the end, nothing comes between, the name stays; old headers are kept, and those of the request
/// ignored.
#[test]
fn what_is_appended_comes_behind() {
    let mut cluster = Cluster::with_bucket(4, 1);
    let headers = ["Content-Type: text/plain", "x-a-meta-b: 1"];
    let written = cluster.ask(1, &format!("POST {X}"), &headers, b"hello swarm\n");
    assert_eq!(written.status, 201);
    let mut etags = vec![written.must("etag").to_owned()];
    for node in 1..=4 {
        let line = format!("APPEND {X}");
        let appended = cluster.ask(node, &line, &["x-a-meta-b: 2"], b"more\n");
        assert_eq!((appended.status, appended.body.len()), (201, 54), "{appended:?}");
        assert_eq!(appended.must("replica-count"), "2");
        assert!(appended.must("location").ends_with(":80/b/x?domain=d.example"));
        etags.push(appended.must("etag").to_owned());
        let text = format!("hello swarm\n{}", "more\n".repeat(usize::from(node)));
        for reader in 1..=4 {
            let read = cluster.ask(reader, &format!("GET {X}"), &[], b"");
            assert_eq!((read.text(), read.must("etag")), (text.clone(), appended.must("etag")));
            assert_eq!((read.must("content-type"), read.must("x-a-meta-b")), ("text/plain", "1"));
        }
    }
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 5, "a new one with every version");
    // Of no bytes: another version all the same.
    let touched = cluster.ask(2, &format!("APPEND {X}"), &[], b"");
    assert_eq!(touched.status, 201);
    let read = cluster.ask(3, &format!("GET {X}"), &[], b"");
    assert_eq!((read.body.len(), read.must("etag")), (32, touched.must("etag")));
}

/// SCSP COPY: metadata are replaced and the bytes stay; with `preserve` old metadata stay beside the new.
#[test]
fn a_copy_has_other_headers_and_the_same_bytes() {
    let mut cluster = Cluster::with_bucket(3, 2);
    let headers = ["Content-Type: text/plain", "x-a-meta-b: 1", "x-a-meta-c: 1"];
    cluster.ask(1, &format!("POST {X}"), &headers, b"hello");
    for (line, headers, expected) in [
        (
            "COPY /b/x?preserve&domain=d.example",
            &["x-a-meta-b: 2"][..],
            &["x-a-meta-b=2", "x-a-meta-c=1"][..],
        ),
        ("COPY /b/x?domain=d.example", &["x-a-meta-d: 3"], &["x-a-meta-d=3"]),
        (
            "APPEND /b/x?preserve&domain=d.example",
            &["x-a-meta-e: 4"],
            &["x-a-meta-d=3", "x-a-meta-e=4"],
        ),
        ("APPEND /b/x?replace&domain=d.example", &["x-a-meta-f: 5"], &["x-a-meta-f=5"]),
        ("COPY /b/x?preserve=no&domain=d.example", &[], &[]),
    ] {
        let copied = cluster.ask(2, line, headers, b"");
        assert_eq!((copied.status, copied.body.len()), (201, 54), "{line}: {copied:?}");
        assert_eq!(metadata(&mut cluster, 3), expected, "{line}");
        let read = cluster.ask(1, &format!("GET {X}"), &[], b"");
        assert_eq!((read.text().as_str(), read.must("etag")), ("hello", copied.must("etag")));
    }
    // Without a length, as curl sends it.
    let bytes =
        b"COPY /b/x?domain=d.example&auth=none HTTP/1.1\r\nHost: h\r\nx-a-meta-g: 6\r\n\r\n"
            .to_vec();
    let mut node = 1;
    let status = loop {
        let bytes = bytes.clone();
        let answer = cluster.talk(node, |mut talk| async move {
            talk.say(&bytes).await;
            talk.hear(false).await
        });
        if answer.status != 307 || node == 3 {
            break answer.status;
        }
        node += 1;
    };
    assert_eq!(status, 201);
}

/// DX App Guide: an alias object and a context are changed like a named one and keep their UUID; an immutable object is not.
#[test]
fn whatever_is_mutable_is_amended() {
    let mut cluster = Cluster::with_bucket(3, 3);
    let written = cluster.ask(1, "POST /?alias", &[], b"one");
    let uuid = written.must("content-uuid").to_owned();
    let appended = cluster.ask(2, &format!("APPEND /{uuid}?alias"), &[], b" two");
    assert_eq!((appended.status, appended.must("content-uuid")), (201, uuid.as_str()));
    assert_eq!(cluster.ask(3, &format!("GET /{uuid}"), &[], b"").text(), "one two");
    let bucket = |cluster: &mut Cluster| {
        let head = cluster.ask(2, "HEAD /b?domain=d.example", &[], b"");
        (
            head.must("castor-system-alias").to_owned(),
            head.field("policy-replicas").map(str::to_owned),
        )
    };
    let (alias, policy) = bucket(&mut cluster);
    assert_eq!(policy, None);
    let copied =
        cluster.ask(3, "COPY /b?domain=d.example&preserve", &["Policy-Replicas: default:2"], b"");
    assert_eq!((copied.status, copied.must("content-uuid")), (201, alias.as_str()), "{copied:?}");
    assert_eq!(bucket(&mut cluster), (alias, Some("default:2".to_owned())));
    let written = cluster.ask(1, "POST /", &[], b"once");
    let once = written.must("content-uuid").to_owned();
    for verb in ["COPY", "APPEND"] {
        let refused = cluster.ask(2, &format!("{verb} /{once}"), &[], b"");
        assert_eq!(refused.error(), (403, "ImmutableObject"), "{verb}");
        let missing = cluster.ask(2, &format!("{verb} /b/y?domain=d.example"), &[], b"");
        assert_eq!(missing.error(), (404, "NotFound"), "{verb}");
        let nowhere = cluster.ask(2, &format!("{verb} /c/y?domain=d.example"), &[], b"");
        assert_eq!(nowhere.error(), (412, "RequiresContext2"), "{verb}");
    }
}

/// Caching Metadata Headers: `If-Match` on PUT, COPY and APPEND; 412 with the current ETag, and nothing has happened.
#[test]
fn if_match_demands_a_version() {
    let mut cluster = Cluster::with_bucket(3, 4);
    let mut written = cluster.ask(1, &format!("POST {X}"), &[], b"1");
    for (verb, body) in [("APPEND", "2"), ("COPY", ""), ("PUT", "3"), ("APPEND", "4")] {
        let line = format!("{verb} {X}");
        let other = format!("If-Match: \"{}\"", "0".repeat(32));
        let refused = cluster.ask(2, &line, &[&other], body.as_bytes());
        assert_eq!(refused.error(), (412, "ConditionalIfMatch"), "{verb}");
        assert_eq!(refused.must("etag"), written.must("etag"));
        let both = format!("If-Match: \"{}\", {}", "0".repeat(32), written.must("etag"));
        let stale = format!("If-Match: {}", written.must("etag"));
        written = cluster.ask(3, &line, &[&both], body.as_bytes());
        assert_eq!(written.status, 201, "{verb}: {written:?}");
        let refused = cluster.ask(1, &line, &[&stale], body.as_bytes());
        assert_eq!(refused.error(), (412, "ConditionalIfMatch"), "{verb}");
    }
    assert_eq!(cluster.ask(1, &format!("GET {X}"), &[], b"").text(), "34");
    let any = cluster.ask(1, &format!("APPEND {X}"), &["If-Match: *"], b"5");
    assert_eq!(any.status, 201);
    let missing = cluster.ask(1, "PUT /b/y?domain=d.example&putcreate", &["If-Match: \"a\""], b"");
    assert_eq!(missing.error(), (404, "NotFound"));
    let refused = cluster.ask(1, &format!("POST {X}"), &["If-Match: *"], b"");
    assert_eq!(refused.error(), (501, "NotImplemented"));
}

/// Content-MD5 Checksums: of a COPY it is that of the bytes that are there; what is stored goes when other bytes come.
#[test]
fn an_md5_is_checked_against_what_it_is_of() {
    let mut cluster = Cluster::with_bucket(3, 5);
    let hello = "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==";
    let other = "Content-MD5: KnJaKj3+S4Dgehm7s3BsWw==";
    cluster.ask(1, &format!("POST {X}"), &[hello], b"hello");
    let stored = |cluster: &mut Cluster| {
        cluster.ask(2, &format!("HEAD {X}"), &[], b"").field("content-md5").map(str::to_owned)
    };
    let copied = cluster.ask(1, &format!("COPY {X}"), &[], b"");
    assert_eq!(
        (copied.status, stored(&mut cluster).is_some()),
        (201, true),
        "the bytes are the same"
    );
    let refused = cluster.ask(2, &format!("COPY {X}"), &[other], b"");
    assert_eq!(refused.error(), (400, "ContentMD5Mismatch"));
    let copied = cluster.ask(2, &format!("COPY {X}"), &[hello], b"");
    assert_eq!((copied.status, stored(&mut cluster).is_some()), (201, true));
    let refused = cluster.ask(3, &format!("APPEND {X}"), &[other], b"hello");
    assert_eq!(refused.error(), (400, "ContentMD5Mismatch"));
    let appended = cluster.ask(3, &format!("APPEND {X}"), &[hello], b"hello");
    assert_eq!((appended.status, stored(&mut cluster)), (201, None));
    assert_eq!(cluster.ask(1, &format!("GET {X}"), &[], b"").text(), "hellohello");
}

/// Lifepoint Metadata Headers: what may not be deleted may be copied and appended to (our choice); a COPY that leaves its
/// lifepoints out, or has others, changes them, and an APPEND does not.
#[test]
fn a_copy_changes_lifepoints() {
    let mut cluster = Cluster::with_bucket(3, 6);
    let stays = "Lifepoint: [] reps=2, deletable=no";
    cluster.ask(1, &format!("POST {X}"), &[stays], b"a");
    let delete = |cluster: &mut Cluster| cluster.ask(2, &format!("DELETE {X}"), &[], b"").status;
    let mut amend = |line: String, headers: &[&str]| {
        let amended = cluster.ask(3, &line, headers, b"");
        assert_eq!(amended.status, 201, "{line}: {amended:?}");
        delete(&mut cluster)
    };
    assert_eq!(amend(format!("APPEND {X}"), &["Lifepoint: [] reps=2"]), 403);
    assert_eq!(amend(format!("COPY {X}&preserve"), &["x-a-meta-b: 1"]), 403);
    assert_eq!(amend(format!("COPY {X}"), &[stays]), 403);
    assert_eq!(amend(format!("COPY {X}"), &["Lifepoint: [] deletable=yes"]), 200);
    cluster.ask(1, &format!("POST {X}"), &[stays], b"a");
    assert_eq!(cluster.ask(1, &format!("COPY {X}"), &[], b"").status, 201);
    assert_eq!(cluster.ask(2, &format!("DELETE {X}"), &[], b"").status, 200);
}

/// SCSP APPEND: `preserve` and `replace` exclude each other, `gencontentmd5` is refused. SCSP COPY: no body. Headers that are
/// kept and sent count together (SCSP Headers).
#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::with_bucket(2, 7);
    let long = format!("x-a-meta-b: {}", "v".repeat(15_000));
    let other = format!("x-a-meta-c: {}", "v".repeat(15_000));
    let third = format!("x-a-meta-d: {}", "v".repeat(15_000));
    let written = cluster.ask(1, &format!("POST {X}"), &[&long, &other], b"a");
    assert_eq!(written.status, 201);
    for (line, headers, body, expected) in [
        (format!("APPEND {X}&preserve&replace"), &[][..], "", (400, "InvalidQueryArgument")),
        (format!("APPEND {X}&preserve=maybe"), &[], "", (400, "InvalidQueryArgument")),
        (format!("APPEND {X}&gencontentmd5"), &[], "", (400, "InvalidQueryArgument")),
        (format!("APPEND {X}&preserve"), &[third.as_str()], "", (400, "MetadataTooLarge")),
        (format!("APPEND {X}&uploads"), &[], "", (501, "NotImplemented")),
        (format!("COPY {X}&newname=y"), &[], "", (501, "NotImplemented")),
        (format!("COPY {X}&version=1"), &[], "", (501, "NotImplemented")),
        (format!("COPY {X}"), &[], "body", (400, "InvalidRequest")),
    ] {
        let refused = cluster.ask(1, &line, headers, body.as_bytes());
        assert_eq!(refused.error(), expected, "{line}");
        let head = cluster.ask(2, &format!("HEAD {X}"), &[], b"");
        assert_eq!(head.must("etag"), written.must("etag"), "{line}");
    }
    let chunked = ["Transfer-Encoding: chunked", "Lifepoint: [] reps=3"];
    let body = b"1\r\nb\r\n0\r\n\r\n";
    let refused = cluster.ask(1, &format!("APPEND {X}&replace"), &chunked, body);
    assert_eq!(refused.error(), (400, "ErasureCodingRequired"));
    let refused = cluster.ask(1, &format!("APPEND {X}"), &chunked, body);
    assert_eq!(refused.error(), (501, "NotImplemented"));
}

/// A body that ends early leaves the version before as it was; so does one without room.
#[test]
fn an_append_that_breaks_off_changes_nothing() {
    let mut cluster = Cluster::with_bucket(3, 8);
    let written = cluster.ask(1, &format!("POST {X}"), &[], b"whole");
    for node in 1..=3 {
        let mut bytes = request(&format!("APPEND {X}"), &[], &[b'x'; 1000]);
        bytes.truncate(bytes.len() - 500);
        cluster.talk(node, |mut talk| async move {
            talk.say(&bytes).await;
        });
        cluster.run_for(std::time::Duration::from_secs(5));
        let read = cluster.ask(2, &format!("GET {X}"), &[], b"");
        assert_eq!((read.text().as_str(), read.must("etag")), ("whole", written.must("etag")));
    }
}
