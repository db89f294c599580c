//! Requests that no client should send, and what may come back for them.
//!
//! Written from RFC 9112, RFC 9110 and the vendor's pages alone; it shares nothing with the nodes. Whatever is wrong with a
//! request, the answer is 4xx, or 501 or 505 where the protocol says so; never 2xx, never a breakdown, never silence.

/// One way of being wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// What is wrong, for reports and as a part of the object's name.
    pub(crate) name: &'static str,
    make: fn(&Target<'_>) -> Vec<u8>,
    also: Also,
}

/// What besides 4xx a case may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Also {
    Nothing,
    /// 501: a method or a coding that does not exist (RFC 9110, 15.6.2).
    NotImplemented,
    /// 505: another version of HTTP (Undefined Responses).
    OtherVersion,
    /// The end of the connection without an answer: the request itself never ends.
    Close,
    /// The same; besides, its head is right, so that it may be sent on to another node before its end is missed.
    CloseOrRedirect,
}

/// What a wrong request asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Path and query.
    pub(crate) path: &'a str,
    /// The `Host`.
    pub(crate) host: &'a str,
    /// Header lines that name the object, each with its CRLF.
    pub(crate) named: &'a str,
}

/// What came back for a wrong request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// An answer.
    Answer(u16),
    /// Bytes that are none.
    Garbage,
    /// The connection ended without an answer.
    Closed,
    /// Nothing, as long as the client had patience.
    Nothing,
    /// The node could not be reached.
    Unreached,
}

impl Case {
    /// The bytes, to the last.
    pub(crate) fn bytes(&self, target: &Target<'_>) -> Vec<u8> {
        (self.make)(target)
    }

    /// True if the client says that it has nothing more to send, in the middle of its request.
    pub(crate) fn ends_early(&self) -> bool {
        matches!(self.also, Also::Close | Also::CloseOrRedirect)
    }

    /// What is wrong about what came back, as a part of a sentence. `troubled`: faults may have been in its way.
    pub(crate) fn judge(&self, came: &Came, troubled: bool) -> Option<String> {
        let right = match came {
            Came::Answer(400..=499) => true,
            Came::Answer(501) => self.also == Also::NotImplemented,
            Came::Answer(505) => self.also == Also::OtherVersion,
            Came::Answer(301 | 307) => self.also == Also::CloseOrRedirect,
            Came::Answer(503) | Came::Nothing | Came::Unreached => troubled,
            Came::Answer(_) | Came::Garbage => false,
            Came::Closed => self.ends_early() || troubled,
        };
        let what = match came {
            Came::Answer(status @ 200..300) => format!("was accepted with {status}"),
            Came::Answer(status) => format!("was answered {status}"),
            Came::Garbage => "was answered with what is not HTTP".to_owned(),
            Came::Closed => "was not answered before the connection ended".to_owned(),
            Came::Nothing => "was neither answered nor cut off".to_owned(),
            Came::Unreached => "found no way to the node, though nothing was wrong".to_owned(),
        };
        (!right).then(|| format!("a request with {} {what}", self.name))
    }
}

/// The status of an answer that begins like this; `None` while its first line is not all there.
pub(crate) fn answer(bytes: &[u8]) -> Option<Came> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n");
    let Some(end) = end else { return (bytes.len() > 1024).then_some(Came::Garbage) };
    let status = std::str::from_utf8(&bytes[..end]).ok().and_then(|line| {
        let rest = line.strip_prefix("HTTP/1.1 ")?;
        let digits =
            rest.get(..3).filter(|_| matches!(rest.as_bytes().get(3), None | Some(b' ')))?;
        digits.parse::<u16>().ok().filter(|status| (100..600).contains(status))
    });
    Some(status.map_or(Came::Garbage, Came::Answer))
}

/// A POST whose head is right up to here; `lines` follow, each with its CRLF, then the end of the head and the body.
fn post(target: &Target<'_>, lines: &str, body: &str) -> Vec<u8> {
    let Target { path, host, named } = target;
    format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{named}{lines}\r\n{body}").into_bytes()
}

/// A POST that begins with this line instead.
fn begun(target: &Target<'_>, line: &str) -> Vec<u8> {
    let Target { host, named, .. } = target;
    format!("{line}\r\nHost: {host}\r\n{named}Content-Length: 4\r\n\r\nbody").into_bytes()
}

/// The path with one more argument.
fn argued(target: &Target<'_>, argument: &str) -> Vec<u8> {
    let joined = if target.path.contains('?') { '&' } else { '?' };
    begun(target, &format!("POST {}{joined}{argument} HTTP/1.1", target.path))
}

const fn case(name: &'static str, also: Also, make: fn(&Target<'_>) -> Vec<u8>) -> Case {
    Case { name, make, also }
}

/// Every way, in an order that seeds rely on.
pub(crate) const CASES: &[Case] = &[
    case("a length that is no number", Also::Nothing, |target| {
        post(target, "Content-Length: 4x\r\n", "body")
    }),
    case("a negative length", Also::Nothing, |target| {
        post(target, "Content-Length: -4\r\n", "body")
    }),
    case("a length beyond all numbers", Also::Nothing, |target| {
        post(target, "Content-Length: 99999999999999999999999\r\n", "body")
    }),
    case("two lengths", Also::Nothing, |target| {
        post(target, "Content-Length: 4\r\nContent-Length: 5\r\n", "body")
    }),
    case("a length beside chunks", Also::Nothing, |target| {
        let lines = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n";
        post(target, lines, "4\r\nbody\r\n0\r\n\r\n")
    }),
    case("an unknown transfer coding", Also::NotImplemented, |target| {
        post(target, "Transfer-Encoding: gzip, chunked\r\n", "4\r\nbody\r\n0\r\n\r\n")
    }),
    // Chunked writes are refused as not built, by name, until erasure coding is (our choice).
    case("a chunk of no size", Also::NotImplemented, |target| {
        post(target, "Transfer-Encoding: chunked\r\n", "zz\r\nbody\r\n0\r\n\r\n")
    }),
    case("no length", Also::Nothing, |target| post(target, "", "")),
    case("a body cut short", Also::CloseOrRedirect, |target| {
        post(target, "Content-Length: 4096\r\n", "body")
    }),
    case("a head cut short", Also::Close, |target| {
        let mut bytes = post(target, "Content-Length: 4\r\n", "");
        bytes.truncate(bytes.len() - 4);
        bytes
    }),
    case("an unknown method", Also::NotImplemented, |target| {
        begun(target, &format!("BREW {} HTTP/1.1", target.path))
    }),
    case("a method in small letters", Also::NotImplemented, |target| {
        begun(target, &format!("post {} HTTP/1.1", target.path))
    }),
    case("an older version", Also::OtherVersion, |target| {
        begun(target, &format!("POST {} HTTP/1.0", target.path))
    }),
    case("a later version", Also::OtherVersion, |target| {
        begun(target, &format!("POST {} HTTP/2.0", target.path))
    }),
    case("no version", Also::Nothing, |target| begun(target, &format!("POST {}", target.path))),
    case("a target that is no path", Also::Nothing, |target| {
        begun(target, "POST scans/cat.jpg HTTP/1.1")
    }),
    case("no host", Also::Nothing, |target| {
        let Target { path, named, .. } = target;
        format!("POST {path} HTTP/1.1\r\n{named}Content-Length: 4\r\n\r\nbody").into_bytes()
    }),
    case("two hosts", Also::Nothing, |target| {
        post(target, "Host: elsewhere.example\r\nContent-Length: 4\r\n", "body")
    }),
    case("a header without a colon", Also::Nothing, |target| {
        post(target, "Content-Length: 4\r\nnothing at all\r\n", "body")
    }),
    case("a blank before a colon", Also::Nothing, |target| {
        post(target, "Content-Length : 4\r\n", "body")
    }),
    case("a NUL in a header", Also::Nothing, |target| {
        post(target, "Content-Length: 4\r\nX-A-Meta-B: a\0b\r\n", "body")
    }),
    case("a line that is too long", Also::Nothing, |target| {
        let lines = format!("Content-Length: 4\r\nX-A-Meta-B: {}\r\n", "b".repeat(40_000));
        post(target, &lines, "body")
    }),
    case("a head that is too long", Also::Nothing, |target| {
        let line = format!("X-A-Meta-B: {}\r\n", "b".repeat(16_000));
        post(target, &format!("Content-Length: 4\r\n{}", line.repeat(20)), "body")
    }),
    case("too many headers", Also::Nothing, |target| {
        let many: String = (0..600).map(|number| format!("X-A-Meta-{number}: b\r\n")).collect();
        post(target, &format!("Content-Length: 4\r\n{many}"), "body")
    }),
    case("lines without CR", Also::Nothing, |target| {
        let right = post(target, "Content-Length: 4\r\n", "body");
        String::from_utf8_lossy(&right).replace('\r', "").into_bytes()
    }),
    case("a first header that continues nothing", Also::Nothing, |target| {
        begun(target, &format!("POST {} HTTP/1.1\r\n continued", target.path))
    }),
    case("an expectation that nobody can meet", Also::Nothing, |target| {
        post(target, "Content-Length: 4\r\nExpect: a-miracle\r\n", "body")
    }),
    case("a flag that is neither", Also::Nothing, |target| argued(target, "alias=perhaps")),
    case("a flag that is both", Also::Nothing, |target| argued(target, "alias=yes&alias=no")),
    case("an impossible replicate", Also::Nothing, |target| argued(target, "replicate=-1")),
    case("the handshake of another protocol", Also::Close, |_| {
        [&[0x16, 3, 1, 0, 0xfd, 1, 0, 0, 0xf9, 3, 3][..], &[0xa7; 64]].concat()
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static Case {
        CASES.iter().find(|case| case.name == name).expect("a case of the list")
    }

    #[test]
    fn whatever_is_wrong_a_refusal_is_right() {
        for case in CASES {
            for status in [400, 405, 411, 413, 417, 431] {
                assert_eq!(case.judge(&Came::Answer(status), false), None, "{}", case.name);
            }
        }
    }

    #[test]
    fn a_breakdown_an_acceptance_silence_and_nonsense_are_wrong_for_every_case() {
        for case in CASES {
            for came in [
                Came::Answer(500),
                Came::Answer(503),
                Came::Answer(507),
                Came::Answer(200),
                Came::Answer(201),
                Came::Garbage,
                Came::Nothing,
                Came::Unreached,
            ] {
                assert!(case.judge(&came, false).is_some(), "{} {came:?}", case.name);
            }
        }
    }

    #[test]
    fn faults_excuse_what_they_can_cause_and_nothing_else() {
        let case = named("two lengths");
        for came in [Came::Answer(503), Came::Closed, Came::Nothing, Came::Unreached] {
            assert_eq!(case.judge(&came, true), None, "{came:?}");
        }
        for came in [Came::Answer(500), Came::Answer(501), Came::Answer(201), Came::Garbage] {
            assert!(case.judge(&came, true).is_some(), "{came:?}");
        }
    }

    #[test]
    fn what_the_protocol_allows_is_allowed_where_it_does() {
        let allowed = |name: &str, came: Came| named(name).judge(&came, false).is_none();
        assert!(allowed("an unknown method", Came::Answer(501)));
        assert!(!allowed("two lengths", Came::Answer(501)));
        assert!(allowed("an older version", Came::Answer(505)));
        assert!(!allowed("an unknown method", Came::Answer(505)));
        assert!(allowed("a body cut short", Came::Closed));
        assert!(allowed("a body cut short", Came::Answer(307)));
        assert!(!allowed("two lengths", Came::Closed));
        assert!(!allowed("two lengths", Came::Answer(307)));
        let told = named("two lengths").judge(&Came::Answer(201), false);
        assert_eq!(told.as_deref(), Some("a request with two lengths was accepted with 201"));
    }

    #[test]
    fn names_differ_and_requests_carry_their_target() {
        let target = Target {
            path: "/scans/cat?domain=acme.example",
            host: "10.1.0.1",
            named: "X-O: 7.1\r\n",
        };
        let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
        let flag = named("a flag that is neither").bytes(&target);
        assert_eq!(
            String::from_utf8_lossy(&flag),
            "POST /scans/cat?domain=acme.example&alias=perhaps HTTP/1.1\r\nHost: 10.1.0.1\r\nX-O: 7.1\r\nContent-Length: 4\r\n\r\nbody"
        );
    }

    #[test]
    fn an_answer_is_read_from_its_first_line() {
        assert_eq!(answer(b"HTTP/1.1 400 Bad Req"), None);
        assert_eq!(answer(b"HTTP/1.1 400 Bad Request\r\n"), Some(Came::Answer(400)));
        assert_eq!(answer(b"HTTP/1.1 4x0 Bad\r\n"), Some(Came::Garbage));
        assert_eq!(answer(b"SSH-2.0\r\n"), Some(Came::Garbage));
        assert_eq!(answer(&[b'a'; 2000]), Some(Came::Garbage));
    }
}
