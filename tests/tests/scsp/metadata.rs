//! Which headers are stored, how they come back, how many there may be.

use crate::talk::{Heard, request, told};

/// The fields of an answer that are not the node's own.
fn stored(heard: &Heard) -> Vec<(&str, &str)> {
    const OWN: [&str; 9] = [
        "Last-Modified",
        "ETag",
        "Volume",
        "Volume-Hint",
        "Content-Length",
        "Date",
        "Server",
        "Keep-Alive",
        "Connection",
    ];
    let fields = heard.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    fields.filter(|(name, _)| !OWN.contains(name) && !name.starts_with("Castor-System-")).collect()
}

/// How to update metadata headers: the list of what is stored; Custom Metadata Headers: the two patterns.
#[test]
fn listed_headers_are_stored_in_the_clients_spelling() {
    told(2, |wire| async move {
        let headers = [
            "Allow-Encoding: gzip",
            "cache-CONTROL: max-age=60",
            "CAStor-Stream-Type: admin",
            "Content-Base: http://x/",
            "Content-Disposition: attachment",
            "content-encoding: gzip",
            "Content-Language: de",
            "Content-Location: here",
            "Content-TYPE: text/plain; charset=utf-8",
            "Expires: never",
            "lifepoint: [] reps=2",
            "Policy-Replicas: default:2",
            "x-a-meta-b-meta-c: 2",
            "X-Acme-Meta: 1",
            "x-acme-META-color_1: blue",
        ];
        let uuid = wire.post("/", &headers, "x").await;
        for node in 1..=2 {
            let read = wire.ask(node, &format!("GET /{uuid}"), &[], "").await;
            let lines: Vec<String> =
                stored(&read).iter().map(|(name, value)| format!("{name}: {value}")).collect();
            assert_eq!(lines, headers);
        }
    });
}

/// How to update metadata headers; Custom Metadata Headers: never stored, or silently dropped.
#[test]
fn other_headers_are_dropped() {
    told(2, |wire| async move {
        let headers = [
            "User-Agent: test",
            "Castor-System-Owner: somebody",
            "castor-system-cid: 70ef3152c831c2c80bbce6505dfb7d0a",
            "Castor-System-Created: Tue, 14 Oct 2025 09:30:00 GMT",
            "Castor-System-Unheard: of",
            "Castor-Object-Count: 1",
            "Castor-Bytes-Used: 1",
            "Castor-Bytes-Used-With-Reps: 1",
            "X-Castor-Meta-Error-Message: x",
            "Policy-Replicas-Evaluated: 1",
            "Policy-Versioning-Constrained: 1",
            "Last-Modified: Tue, 14 Oct 2025 09:30:00 GMT",
            "ETag: \"70ef3152c831c2c80bbce6505dfb7d0a\"",
            "Content-Version: 1",
            "Created-Date: 1",
            "Volume: 1",
            "Server: 1",
            "x-meta-color: 1",
            "x-color: 1",
            "x-acme-metadata: 1",
            "Cookie: 1",
        ];
        let written = wire.ask(1, "POST /", &headers, "x").await;
        assert_eq!(written.status, 201);
        let read = wire.ask(2, &format!("GET /{}", written.must("content-uuid")), &[], "").await;
        assert_eq!(stored(&read), vec![]);
        for absent in ["owner", "cid", "unheard"] {
            assert_eq!(read.field(&format!("castor-system-{absent}")), None);
        }
        assert_eq!(read.must("castor-system-created"), read.must("last-modified"));
        assert_eq!(read.must("last-modified"), written.must("last-modified"));
        assert_eq!(read.must("etag"), written.must("etag"));
    });
}

/// Normal DELETE Responses: the node adds no content type of its own.
#[test]
fn a_missing_content_type_stays_missing() {
    told(2, |wire| async move {
        let uuid = wire.post("/", &[], "x").await;
        let read = wire.ask(2, &format!("GET /{uuid}"), &[], "").await;
        assert_eq!(read.field("content-type"), None);
    });
}

/// SDK meta.py: a line that begins with a blank goes on with the one before, joined with one blank.
#[test]
fn a_continued_line_is_joined_with_one_blank() {
    told(2, |wire| async move {
        let headers = ["X-A-Meta:  one  ", "   two,", "\t\tthree  ", "Content-Type: a/b"];
        let uuid = wire.post("/", &headers, "x").await;
        let read = wire.ask(2, &format!("GET /{uuid}"), &[], "").await;
        assert_eq!(stored(&read), [("Content-Type", "a/b"), ("X-A-Meta", "one two, three")]);
    });
}

/// SDK meta.py: name and value are split at the first colon, the value trimmed; an empty value is a value.
#[test]
fn values_are_trimmed_and_may_hold_colons_or_nothing() {
    told(2, |wire| async move {
        let headers = ["x-a-meta:a:b: c", "x-b-meta: \t d \t", "x-c-meta:", "x-d-meta:   "];
        let uuid = wire.post("/", &headers, "x").await;
        let read = wire.ask(2, &format!("GET /{uuid}"), &[], "").await;
        let expected =
            [("x-a-meta", "a:b: c"), ("x-b-meta", "d"), ("x-c-meta", ""), ("x-d-meta", "")];
        assert_eq!(stored(&read), expected);
    });
}

/// Custom Metadata Headers: repeated headers keep their order; Content-MD5 Checksums: sorted by name without regard to
/// case.
#[test]
fn repeats_keep_their_order_among_sorted_names() {
    told(2, |wire| async move {
        let headers =
            ["x-B-meta: 2", "X-a-Meta: z", "x-b-META: 1", "X-A-meta: a", "x-b-meta: 3, 0"];
        let uuid = wire.post("/", &headers, "x").await;
        let read = wire.ask(2, &format!("GET /{uuid}"), &[], "").await;
        assert_eq!(
            stored(&read),
            [
                ("X-a-Meta", "z"),
                ("X-A-meta", "a"),
                ("x-B-meta", "2"),
                ("x-b-META", "1"),
                ("x-b-meta", "3, 0")
            ]
        );
    });
}

/// Metadata Encoding: encoded words come back as they are; our choice: so do bytes beyond ASCII.
#[test]
fn values_come_back_verbatim() {
    told(2, |wire| async move {
        let mut head = request("POST /", &["x-w-meta: =?UTF-8?B?w6Q=?=", "x-z-meta: RAW"], "");
        let at = head.windows(3).position(|part| part == b"RAW").expect("it is there");
        head.splice(at..at + 3, *b"\xe4 \xff\xc3\xa4");
        let mut talk = wire.dial(1).await;
        talk.say(&head).await;
        let mut written = talk.hear("POST ").await;
        if written.status == 307 {
            let (node, target) = wire.led(&written);
            let end = head.windows(2).position(|part| part == b"\r\n").expect("a line");
            head.splice(..end, format!("POST {target} HTTP/1.1").into_bytes());
            talk = wire.dial(node).await;
            talk.say(&head).await;
            written = talk.hear("POST ").await;
        }
        let read = wire.ask(2, &format!("GET /{}", written.must("content-uuid")), &[], "").await;
        assert_eq!(read.must("x-w-meta"), "=?UTF-8?B?w6Q=?=");
        assert_eq!(read.must("x-z-meta"), "\u{e4} \u{ff}\u{c3}\u{a4}", "each byte as it was");
    });
}

/// SCSP Headers: 500 headers, 32 KB in all, 16 KB for one; beyond that 400 and nothing is stored.
#[test]
fn the_limits_of_metadata_are_exact() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let target = "/scans/x?domain=acme.example";
        // "x-a-meta" are eight characters.
        let of =
            |count: usize, value: usize| vec![format!("x-a-meta: {}", "v".repeat(value)); count];
        for (headers, fits) in [
            (of(1, 16 * 1024 - 8), true),
            (of(1, 16 * 1024 - 7), false),
            (of(4, 8 * 1024 - 8), true),
            (of(4, 8 * 1024 - 7), false),
            (of(500, 10), true),
            (of(501, 10), false),
        ] {
            let lines: Vec<&str> = headers.iter().map(String::as_str).collect();
            for verb in ["POST", "PUT"] {
                let line = format!("{verb} {target}&putcreate");
                let heard = wire.ask(1, &line, &lines, "x").await;
                if fits {
                    assert_eq!(heard.status, 201, "{verb} {}", lines.len());
                    let read = wire.ask(2, &format!("GET {target}"), &[], "").await;
                    assert_eq!(read.all("x-a-meta").len(), lines.len());
                } else {
                    assert_eq!(heard.error(), (400, "MetadataTooLarge"), "{verb}");
                }
            }
            if fits {
                assert_eq!(wire.ask(1, &format!("DELETE {target}"), &[], "").await.status, 200);
                wire.env().sleep(std::time::Duration::from_secs(1)).await;
            }
            wire.assert_nothing_at(2, target).await;
        }
    });
}

/// SCSP Headers: the limits are those of what is stored; what is dropped does not count.
#[test]
fn dropped_headers_do_not_count_against_the_limits() {
    told(2, |wire| async move {
        let pad = format!("User-Agent: {}", "v".repeat(20_000));
        let uuid = wire.post("/", &[&pad, &pad.replace("User-Agent", "Cookie")], "x").await;
        assert_eq!(wire.ask(2, &format!("GET /{uuid}"), &[], "").await.status, 200);
    });
}

/// SCSP UPDATE: PUT and POST keep only the headers of the request.
#[test]
fn a_new_version_has_only_its_own_headers() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let target = "/scans/x?domain=acme.example";
        let old = ["x-a-meta: 1", "Content-Type: a/b", "Lifepoint: [] deletable=yes"];
        for verb in ["PUT", "POST"] {
            assert_eq!(wire.ask(1, &format!("POST {target}"), &old, "1").await.status, 201);
            let line = format!("{verb} {target}");
            assert_eq!(wire.ask(1, &line, &["x-b-meta: 2"], "2").await.status, 201);
            let read = wire.ask(2, &format!("GET {target}"), &[], "").await;
            assert_eq!(stored(&read), [("x-b-meta", "2")], "{verb}");
        }
    });
}
