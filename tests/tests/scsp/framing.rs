//! Requests on the wire: versions, heads, lengths, pipelines, and what ends a connection.

use crate::talk::{Wire, request, told};

/// Says bytes on a connection of their own; the answer, and whether the connection ends behind it.
async fn say(wire: &Wire, bytes: impl AsRef<[u8]>) -> (crate::talk::Heard, bool) {
    let mut talk = wire.dial(1).await;
    talk.say(bytes).await;
    let heard = talk.hear("GET ").await;
    let closed = heard.closes() && talk.is_closed().await;
    (heard, closed)
}

/// Undefined Responses: any other version, HTTP/1.0 included, is 505, the connection closed, no body.
#[test]
fn only_http_1_1_is_spoken() {
    told(1, |wire| async move {
        for version in ["HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0"] {
            let (heard, closed) =
                say(&wire, format!("GET / {version}\r\nHost: main\r\n\r\n")).await;
            assert_eq!(heard.line, "505 HTTP Version not supported", "{version}");
            assert!(closed && heard.body.is_empty(), "{version}: {heard:?}");
        }
    });
}

/// Error Responses to READ, WRITE and DELETE: `Host` is mandatory.
#[test]
fn a_request_without_host_is_400_and_closes() {
    told(1, |wire| async move {
        for line in ["GET /", "HEAD /x/y", "DELETE /x/y", "POST /"] {
            let mut talk = wire.dial(1).await;
            talk.say(format!("{line} HTTP/1.1\r\nContent-Length: 0\r\n\r\n")).await;
            let heard = talk.hear(line).await;
            assert_eq!(heard.error(), (400, "HostRequired"), "{line}");
            assert_eq!(heard.why(), "Host header is required.");
            assert!(heard.closes() && talk.is_closed().await, "{line}: {heard:?}");
        }
        let (heard, _) = say(&wire, "GET / HTTP/1.1\r\nhOST: main\r\n\r\n").await;
        assert_eq!(heard.status, 200, "names are case-insensitive");
    });
}

/// SDK meta.py: a line without a colon, and a first line that continues nothing.
#[test]
fn bad_header_lines_are_400_and_close() {
    told(1, |wire| async move {
        for lines in ["no colon here", " folded: first", "\tfolded: first", ": nameless", "a b: c"]
        {
            let (heard, closed) =
                say(&wire, format!("GET / HTTP/1.1\r\n{lines}\r\nHost: main\r\n\r\n")).await;
            assert_eq!(heard.error(), (400, "BadHeader"), "{lines:?}");
            assert!(closed, "{lines:?}");
        }
    });
}

/// Our choice for what no document mentions.
#[test]
fn bad_request_lines_are_400() {
    told(1, |wire| async move {
        for line in ["GET", "GET /", "GET / HTTP/1.1 x", "GET x HTTP/1.1", "GET /%zz HTTP/1.1"] {
            let (heard, _) = say(&wire, format!("{line}\r\nHost: main\r\n\r\n")).await;
            assert_eq!(heard.error(), (400, "BadRequestLine"), "{line}");
        }
    });
}

/// SDK meta.py: more than 500 distinct names are too many; repeats are no new names.
#[test]
fn five_hundred_distinct_headers_are_read() {
    told(1, |wire| async move {
        let of = |count: usize| {
            let lines: String = (1..count).map(|number| format!("x-{number}: 1\r\n")).collect();
            format!("GET / HTTP/1.1\r\nHost: main\r\n{lines}\r\n")
        };
        assert_eq!(say(&wire, of(500)).await.0.status, 200);
        let (heard, closed) = say(&wire, of(501)).await;
        assert_eq!((heard.error(), closed), ((400, "TooManyHeaders"), true));
        let repeated = "x-again: 1\r\n".repeat(900);
        let (heard, _) =
            say(&wire, format!("GET / HTTP/1.1\r\nHost: main\r\n{repeated}\r\n")).await;
        assert_eq!(heard.status, 200);
    });
}

/// SDK meta.py: a single line longer than 32768 characters.
#[test]
fn a_header_line_of_32768_characters_is_read() {
    told(1, |wire| async move {
        let of = |length: usize| {
            let line = format!("x-pad: {}", "a".repeat(length - 7));
            format!("GET / HTTP/1.1\r\nHost: main\r\n{line}\r\n\r\n")
        };
        assert_eq!(say(&wire, of(32_768)).await.0.status, 200);
        let (heard, closed) = say(&wire, of(32_769)).await;
        assert_eq!((heard.error(), closed), ((400, "HeaderTooLarge"), true));
    });
}

/// Error Responses to WRITE: an entity needs a length.
#[test]
fn a_write_without_a_length_is_411() {
    told(1, |wire| async move {
        wire.make_bucket_alone().await;
        for verb in ["POST", "PUT", "APPEND", "HOLD"] {
            let line = format!("{verb} /scans/x?domain=acme.example");
            let (heard, _) = say(&wire, format!("{line} HTTP/1.1\r\nHost: main\r\n\r\n")).await;
            assert_eq!(heard.error(), (411, "LengthRequired"), "{verb}");
        }
        wire.assert_nothing_at(1, "/scans/x?domain=acme.example").await;
    });
}

/// Our choice: framing that two readers could understand differently is refused, and the connection with it.
#[test]
fn ambiguous_framing_is_400_and_closes() {
    told(1, |wire| async move {
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 6",
            "Content-Length: -5",
            "Content-Length: +5",
            "Content-Length: 5x",
            "Content-Length:",
            "Content-Length: 99999999999999999999999",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: main\r\n{lines}\r\n\r\nhello");
            let (heard, closed) = say(&wire, head).await;
            assert_eq!((heard.error(), closed), ((400, "BadFraming"), true), "{lines}");
        }
        for lines in
            ["Content-Length:\r\n 5", "Content-Length : 5", "Transfer-Encoding:\r\n chunked"]
        {
            let head = format!("POST / HTTP/1.1\r\nHost: main\r\n{lines}\r\n\r\nhello");
            let (heard, closed) = say(&wire, head).await;
            assert_eq!((heard.error(), closed), ((400, "BadHeader"), true), "{lines}");
        }
        for head in ["GET / HTTP/1.1\nHost: main\n\n", "GET / HTTP/1.1\r\nHost: main\nx: y\r\n\r\n"]
        {
            let (heard, closed) = say(&wire, head).await;
            assert_eq!((heard.status, closed), (400, true), "{head:?}");
        }
    });
}

/// SDK client.py: it sends `Content-Length: 0` on GET, HEAD and DELETE.
#[test]
fn a_length_of_nothing_is_accepted_where_no_body_is_expected() {
    told(2, |wire| async move {
        let uuid = wire.post("/", &[], "x").await;
        for verb in ["GET", "HEAD", "DELETE"] {
            let heard = wire.ask(1, &format!("{verb} /{uuid}"), &["Content-Length: 0"], "").await;
            assert_eq!(heard.status, 200, "{verb}");
        }
    });
}

/// SCSP READ: a request needs no length of its own where there is no body.
#[test]
fn a_read_without_a_length_is_served() {
    told(1, |wire| async move {
        let mut talk = wire.dial(1).await;
        talk.say("GET /?x HTTP/1.1\r\nHost: main\r\n\r\n").await;
        assert_eq!(talk.hear("GET ").await.status, 200);
    });
}

/// Our choice (SCSP does not say): what follows a body is the next request; answers come in order.
#[test]
fn pipelined_requests_are_answered_in_order() {
    told(1, |wire| async move {
        wire.make_bucket_alone().await;
        let target = "/scans/p?domain=acme.example";
        let all = [
            request(&format!("POST {target}&replicate=1"), &[], "hello"),
            request(&format!("GET {target}"), &[], ""),
            request(&format!("HEAD {target}"), &[], ""),
            request("GET /nosuch/x?domain=acme.example", &[], ""),
            request("HEAD /nosuch/x?domain=acme.example", &[], ""),
            request("POST /?domain=new.example", &[crate::talk::CONTEXT], ""),
            request(&format!("DELETE {target}"), &[], ""),
            request(&format!("GET {target}"), &["Connection: close"], ""),
        ]
        .concat();
        for piece in [all.len(), 7] {
            let mut talk = wire.dial(1).await;
            for part in all.chunks(piece) {
                talk.say(part).await;
            }
            let mut heard = Vec::new();
            for verb in ["POST", "GET", "HEAD", "GET", "HEAD", "POST", "DELETE", "GET"] {
                heard.push(talk.hear(&format!("{verb} ")).await);
            }
            let statuses: Vec<u16> = heard.iter().map(|heard| heard.status).collect();
            assert_eq!(statuses, [201, 200, 200, 404, 404, 401, 200, 404]);
            assert_eq!((heard[1].text().as_str(), heard[2].must("content-length")), ("hello", "5"));
            assert!(talk.is_closed().await);
        }
    });
}

/// SDK client.py: connections persist; `Connection` is a list of tokens, `close` in any case.
#[test]
fn a_connection_persists_until_a_side_closes_it() {
    told(1, |wire| async move {
        let mut talk = wire.dial(1).await;
        for _ in 0..20 {
            talk.say(request("GET /", &[], "")).await;
            // Versioning Examples: promised on persistent connections.
            assert_eq!(talk.hear("GET ").await.must("keep-alive"), "timeout=14400");
        }
        wire.env().sleep(std::time::Duration::from_secs(14_000)).await;
        talk.say(request("GET /", &["Connection: keep-alive"], "")).await;
        assert_eq!(talk.hear("GET ").await.status, 200, "idle for less than was promised");
        talk.say(request("GET /", &["Connection: TE, CLOSE"], "")).await;
        assert!(talk.hear("GET ").await.closes());
        assert!(talk.is_closed().await);
    });
}

/// SCSP Methods; Undefined Responses: verbs that are not implemented.
#[test]
fn an_unknown_verb_is_501_and_closes() {
    told(1, |wire| async move {
        for verb in ["PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND"] {
            let (heard, closed) = say(&wire, request(&format!("{verb} /a/b"), &[], "")).await;
            assert_eq!((heard.error(), closed), ((501, "UnknownMethod"), true), "{verb}");
            assert_eq!(heard.why(), "Request method is not implemented.");
            assert_eq!(heard.must("content-length"), "87");
        }
    });
}

/// Our choice (no document says): an expectation that nobody knows.
#[test]
fn an_unknown_expectation_is_417() {
    told(1, |wire| async move {
        let heard = wire.once(1, "POST /", &["Expect: 200-maybe"], "").await;
        assert_eq!(heard.error(), (417, "ExpectationFailed"));
    });
}

/// Error Response Headers: an answer to HEAD has no body, whatever went wrong.
#[test]
fn errors_of_head_carry_headers_only() {
    told(1, |wire| async move {
        let mut talk = wire.dial(1).await;
        for (target, status) in [("/none/x", 404), ("/70ef3152c831c2c80bbce6505dfb7d0a", 404)] {
            talk.say(request(&format!("HEAD {target}"), &[], "")).await;
            let heard = talk.hear("HEAD ").await;
            assert_eq!(heard.status, status);
            assert_ne!(heard.must("content-length"), "0", "the length that GET would have had");
        }
        talk.say(request("HEAD /", &[], "")).await;
        assert_eq!(talk.hear("HEAD ").await.status, 200, "the connection is still in step");
    });
}
