//! Names and paths (Naming Rules).

use crate::talk::{ADMIN, CONTEXT, told};

/// Naming Rules: what a domain may be called.
#[test]
fn domain_names_follow_the_naming_rules() {
    told(2, |wire| async move {
        for legal in ["sample", "Acme.Example.com", "a_b.c-d", "1a", "x.y-z"] {
            let line = format!("POST /?domain={legal}");
            assert_eq!(wire.ask(1, &line, &[CONTEXT, ADMIN], "").await.status, 201, "{legal}");
            let line = format!("HEAD /?domain={}", legal.to_uppercase());
            assert_eq!(wire.ask(2, &line, &[], "").await.status, 200, "case-insensitive: {legal}");
        }
        let long = "a".repeat(254);
        for illegal in [
            "-a", ".a", "_a", "a-", "a.", "a..b", "a--b", "a-.b", "a.-b", "a%20b", "%C3%A9",
            "10.1.0.1", "::1", "a%2Fb", &long,
        ] {
            let line = format!("POST /?domain={illegal}");
            let refused = wire.ask(1, &line, &[CONTEXT, ADMIN], "").await;
            assert_eq!(refused.error(), (400, "InvalidName"), "{illegal}");
        }
    });
}

/// Naming Rules: a bucket is any UTF-8 without a slash, case-sensitive, up to 8000 characters.
#[test]
fn bucket_names_follow_the_naming_rules() {
    told(2, |wire| async move {
        wire.make_domain("acme.example").await;
        let long = "x".repeat(8000);
        for (legal, name) in [
            ("Fotos%20f%c3%bCr", "Fotos f%C3%BCr"),
            ("fotos", "fotos"),
            ("FOTOS", "FOTOS"),
            ("a+b", "a+b"),
            ("70ef3152c831c2c80bbce6505dfb7d0", "70ef3152c831c2c80bbce6505dfb7d0"),
            ("70ef3152c831c2c80bbce6505dfb7d0g", "70ef3152c831c2c80bbce6505dfb7d0g"),
            (long.as_str(), long.as_str()),
        ] {
            let line = format!("POST /{legal}?domain=acme.example");
            let made = wire.ask(1, &line, &[CONTEXT], "").await;
            assert_eq!((made.status, made.must("content-length")), (201, "46"), "{legal}");
            let head = wire.ask(2, &format!("HEAD /{legal}?domain=acme.example"), &[], "").await;
            assert_eq!(head.must("castor-system-name"), name);
        }
        for illegal in ["a%2Fb", &"x".repeat(8001)] {
            let line = format!("POST /{illegal}?domain=acme.example");
            let refused = wire.ask(1, &line, &[CONTEXT], "").await;
            assert_eq!(refused.error(), (400, "InvalidName"), "{:.9}", illegal);
        }
    });
}

/// Naming Rules: a single segment of exactly 32 hexadecimal digits is always a UUID, and no bucket can look like one.
#[test]
fn thirty_two_digits_are_a_uuid() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let uuid = "70EF3152c831c2c80bbce6505dfb7d0a";
        let line = format!("POST /{uuid}?domain=acme.example");
        assert_eq!(wire.ask(1, &line, &[CONTEXT], "").await.status, 400);
        let line = format!("GET /{uuid}?domain=acme.example");
        assert_eq!(wire.ask(1, &line, &[], "").await.error(), (404, "NotFound"));
        let line = format!("POST /{uuid}/x?domain=acme.example");
        assert_eq!(wire.ask(1, &line, &[], "").await.error(), (400, "InvalidName"));
        let line = format!("POST /scans/{uuid}?domain=acme.example");
        assert_eq!(wire.ask(1, &line, &[], "x").await.status, 201, "an object may");
    });
}

/// Naming Rules (11.1): leading slashes are dropped, as is one behind a bucket; within an object's name all count.
#[test]
fn slashes_count_in_names_of_objects_only() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let at = |path: &str| format!("{path}?domain=acme.example");
        for path in ["/scans/bar", "/scans/bar/", "/scans/bar//", "/scans//bar"] {
            let stored = wire.ask(1, &format!("POST {}", at(path)), &[], path).await;
            assert_eq!((stored.status, stored.must("content-length")), (201, "46"), "{path}");
        }
        for (path, name) in [
            ("/scans/bar", "bar"),
            ("//scans/bar", "bar"),
            ("////scans/bar//", "bar//"),
            ("/scans/bar/", "bar/"),
            ("/scans//bar", "/bar"),
        ] {
            let read = wire.ask(2, &format!("GET {}", at(path)), &[], "").await;
            assert_eq!((read.status, read.must("castor-system-name")), (200, name), "{path}");
            assert_eq!(read.text(), format!("/scans/{name}"), "{path}");
        }
        for path in ["/scans", "/scans/", "//scans", "//scans/"] {
            let read = wire.ask(2, &format!("GET {}", at(path)), &[], "").await;
            assert_eq!((read.status, read.must("castor-system-name")), (200, "scans"), "{path}");
        }
        let domain = wire.ask(2, "GET /?domain=acme.example/", &[], "").await;
        assert_eq!(domain.status, 404, "a slash behind a domain");
    });
}

/// SDK client.py: `%XX` in any case; our choice: what is no UTF-8 is refused.
#[test]
fn paths_are_percent_encoded_utf_8() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let line = "POST /scans/%e4%BD%a0%2F+%20~?domain=acme.example";
        assert_eq!(wire.ask(1, line, &[], "x").await.status, 201);
        for same in ["/%73cans/%E4%bd%A0/+%20%7E", "/scans/\u{4f60}%2f%2B%20~"] {
            let read = wire.ask(2, &format!("GET {same}?domain=acme.example"), &[], "").await;
            assert_eq!(read.status, 200, "{same}");
        }
        for bad in ["/scans/%ff", "/scans/%c3%28", "/%80", "/scans/%", "/scans/%4", "/scans/%zz"] {
            for verb in ["POST", "GET"] {
                let line = format!("{verb} {bad}?domain=acme.example");
                assert_eq!(wire.ask(1, &line, &[], "").await.status, 400, "{line}");
            }
        }
        assert_eq!(wire.ask(1, "GET /scans/x?domain=%ff", &[], "").await.status, 400);
        let mut talk = wire.dial(1).await;
        talk.say(b"GET /scans/\xff HTTP/1.1\r\nHost: main\r\n\r\n").await;
        assert_eq!(talk.hear("GET ").await.status, 400, "raw bytes");
    });
}

/// Naming Rules: names of objects are case-sensitive.
#[test]
fn object_names_are_case_sensitive() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for name in ["cat", "Cat", "CAT"] {
            let line = format!("POST /scans/{name}?domain=acme.example");
            assert_eq!(wire.ask(1, &line, &[], name).await.must("content-length"), "46");
        }
        let read = wire.ask(2, "GET /scans/Cat?domain=acme.example", &[], "").await;
        assert_eq!(read.text(), "Cat");
    });
}
