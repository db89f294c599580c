//! Heads: what is read, what is refused, at any pace.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

/// Reads a head that arrives in pieces of `step` bytes; `None` if it never ends.
fn arriving(bytes: &[u8], step: usize) -> Result<Option<(RequestHead, Vec<u8>)>, BadHead> {
    let (mut buffer, mut progress) = (BytesMut::new(), HeadProgress::default());
    for (number, piece) in bytes.chunks(step).enumerate() {
        buffer.extend_from_slice(piece);
        if let Some(head) = take_head(&mut buffer, &mut progress, &Limits::default())? {
            buffer.extend_from_slice(&bytes[((number + 1) * step).min(bytes.len())..]);
            return Ok(Some((head, buffer.to_vec())));
        }
    }
    Ok(None)
}

/// Reads a head at once and byte by byte; both ways must agree.
fn check(text: &str) -> Result<RequestHead, BadHead> {
    let at_once = read_head(text.as_bytes());
    let dripping = arriving(text.as_bytes(), 1);
    match (&at_once, &dripping) {
        (Ok(head), Ok(Some((other, _)))) => assert_eq!(format!("{head:?}"), format!("{other:?}")),
        (Err(why), Err(other)) => assert_eq!(why, other, "{text:?}"),
        _ => panic!("the pace of {text:?} must not matter: {at_once:?}, {dripping:?}"),
    }
    at_once
}

fn fields_of(text: &str) -> Vec<(String, String)> {
    let head = check(text).expect("legal");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    head.fields().iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
}

#[test]
fn a_head_keeps_order_and_spelling_and_leaves_the_body() {
    let bytes =
        b"\r\n\r\nSEND /a?b HTTP/1.1\r\nhOst:x\r\nX-B: 2 \t\r\nX-A:\t1\r\nX-B: \xff\r\n\r\nbody";
    let (head, rest) = arriving(bytes, 7).expect("legal").expect("whole");
    assert_eq!((head.method(), head.target()), ("SEND", "/a?b"));
    let expected: [(&str, &[u8]); 4] =
        [("hOst", b"x"), ("X-B", b"2"), ("X-A", b"1"), ("X-B", b"\xff")];
    assert_eq!(head.fields().iter().collect::<Vec<_>>(), expected);
    assert_eq!(head.fields().all("x-b").count(), 2);
    assert!(rest.starts_with(b"b"));
}

/// SDK meta.py: a line that starts with a blank continues the one before, joined with exactly one blank.
#[test]
fn folded_lines_are_joined_with_one_blank() {
    let fields = fields_of(
        "GET / HTTP/1.1\r\nHost: h\r\nLifepoint: [] \t\r\n \t reps=3,\r\n\tdeletable=no \r\nX-A: b\r\n\r\n",
    );
    let expected = [("Host", "h"), ("Lifepoint", "[] reps=3, deletable=no"), ("X-A", "b")];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn heads_that_make_no_sense_are_refused() {
    use BadHead::{
        BadCoding, BadLength, BareLf, BothLengths, FieldSyntax, FoldedFirst, FoldedFraming,
        RequestLine, Version,
    };
    for (text, why) in [
        // Undefined Responses: any version but 1.1.
        ("GET / HTTP/1.0\r\nHost: h\r\n\r\n", Version),
        ("GET / HTTP/2.0\r\n\r\n", Version),
        ("GET / HTTP/1.10\r\n\r\n", Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Version),
        ("GET /\r\n\r\n", RequestLine),
        ("GET / HTTP\r\n\r\n", RequestLine),
        ("GET /a b HTTP/1.1\r\n\r\n", RequestLine),
        ("GET  / HTTP/1.1\r\n\r\n", RequestLine),
        (" GET / HTTP/1.1\r\n\r\n", RequestLine),
        ("G(T / HTTP/1.1\r\n\r\n", RequestLine),
        // SDK meta.py: a line without a colon; a continuation of nothing.
        ("GET / HTTP/1.1\r\nHost\r\n\r\n", FieldSyntax),
        ("GET / HTTP/1.1\r\n: x\r\n\r\n", FieldSyntax),
        ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", FoldedFirst),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", FieldSyntax),
        ("GET / HTTP/1.1\r\nHo st: h\r\n\r\n", FieldSyntax),
        ("GET / HTTP/1.1\r\nA: b\0\r\n\r\n", FieldSyntax),
        ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", FieldSyntax),
        // Our choice: a bare LF ends no line.
        ("GET / HTTP/1.1\nHost: h\r\n\r\n", BareLf),
        ("GET / HTTP/1.1\r\nHost: h\n\r\n", BareLf),
        ("GET / HTTP/1.1\r\nHost: h\r\n\n", BareLf),
        // Ways to smuggle a request past somebody who reads the head differently.
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", BothLengths),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", BothLengths),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", BadCoding),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", BadCoding),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n", BadCoding),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", BadCoding),
        ("POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n", BadCoding),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            BadCoding,
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", FoldedFraming),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\n 0\r\n\r\n", FoldedFraming),
        ("POST / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", FoldedFraming),
        ("POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n", FieldSyntax),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", BadLength),
        ("POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", BadLength),
        ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", BadLength),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", BadLength),
        ("POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", BadLength),
        ("POST / HTTP/1.1\r\nContent-Length: 1 1\r\n\r\n", BadLength),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", BadLength),
        ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", BadLength),
    ] {
        let found = read_head(text.as_bytes()).err();
        assert_eq!(found, Some(why), "{text:?}");
        let dripping = arriving(text.as_bytes(), 1).err();
        assert!(dripping.is_some(), "{text:?} byte by byte");
    }
}

#[test]
fn framing_and_expectations_are_read() {
    let head = |fields: &str| check(&format!("POST / HTTP/1.1\r\n{fields}\r\n")).expect("legal");
    assert_eq!(head("").framing(), Framing::Absent);
    let twice = head("Content-Length: 12\r\ncontent-LENGTH: 012\r\n");
    assert_eq!(twice.framing(), Framing::Length(12));
    assert_eq!(head("Transfer-Encoding: Chunked\r\n").framing(), Framing::Chunked);
    let head = head("Expect: 100-Continue\r\nConnection: keep-alive, CLOSE\r\n");
    assert!(head.expects_continue() && head.wants_close());
}

/// SDK meta.py: 500 distinct names, 32768 characters a line.
#[test]
fn heads_are_bounded() {
    let names = |count: usize| {
        let lines: String = (0..count).map(|n| format!("x-{n}: v\r\nX-{n}: w\r\n")).collect();
        read_head(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes())
            .map(|head| head.fields().len())
    };
    assert_eq!(names(500), Ok(1000), "repeats do not count");
    assert_eq!(names(501), Err(BadHead::TooManyFields));
    let line = |len: usize| {
        let line = format!("x: {}", "v".repeat(len - 3));
        read_head(format!("GET / HTTP/1.1\r\n{line}\r\n\r\n").as_bytes()).map(drop)
    };
    assert_eq!(line(32_768), Ok(()));
    assert_eq!(line(32_769), Err(BadHead::LineTooLong));
    let folded = format!("GET / HTTP/1.1\r\na: b\r\n {}\r\n\r\n", "v".repeat(32_768));
    assert_eq!(read_head(folded.as_bytes()).err(), Some(BadHead::LineTooLong));
    let endless = format!("GET / HTTP/1.1\r\n{}", "x: y\r\n".repeat(50_000));
    let found = arriving(endless.as_bytes(), 4096);
    assert!(matches!(found, Err(BadHead::HeadTooLong)), "an endless head is given up");
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange_and_the_pace_never_matters(
        bytes in proptest::collection::vec(proptest::sample::select(b"GET /:\r\n\t aHTP/1.\0\xff".to_vec()), 0..200),
        step in 1usize..50,
    ) {
        let at_once = arriving(&bytes, bytes.len().max(1));
        let dripping = arriving(&bytes, step);
        // A mistake may be met earlier or later, but a head is a head at any pace.
        match (at_once, dripping) {
            (Ok(Some((a, _))), Ok(Some((b, _)))) => prop_assert_eq!(format!("{a:?}"), format!("{b:?}")),
            (Ok(Some(_)), _) | (_, Ok(Some(_))) => prop_assert!(false, "the pace mattered"),
            _ => {}
        }
    }
}
