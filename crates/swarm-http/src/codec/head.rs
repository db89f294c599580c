//! The request head: request line and fields, from bytes that may still be arriving.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};

use super::Limits;
use super::fields::{FieldAt, Fields, range_in};

/// A request head in the client's spelling.
#[derive(Debug, Clone)]
pub struct RequestHead {
    method: (u32, u32),
    target: (u32, u32),
    fields: Fields,
    framing: Framing,
    expects_continue: bool,
    wants_close: bool,
}

/// How the body of a request is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Neither length nor coding: no body.
    Absent,
    /// `Content-Length`, bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A head that cannot be read. The connection ends with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// Not `METHOD TARGET VERSION`.
    #[error("malformed request line")]
    RequestLine,
    /// Not `HTTP/1.1`.
    #[error("version is not HTTP/1.1")]
    Version,
    /// No colon, a blank before it, or a character that no field may contain.
    #[error("malformed header line")]
    FieldSyntax,
    /// The first header line begins with a blank: there is nothing that it could continue.
    #[error("first header line is a continuation")]
    FoldedFirst,
    /// A field that decides about framing is continued on a second line.
    #[error("continued line in a framing header")]
    FoldedFraming,
    /// A line ends in LF without CR.
    #[error("line ends without CR")]
    BareLf,
    /// A line is too long.
    #[error("header line too long")]
    LineTooLong,
    /// The head is too long.
    #[error("request head too long")]
    HeadTooLong,
    /// Too many distinct names.
    #[error("too many headers")]
    TooManyFields,
    /// `Content-Length` beside `Transfer-Encoding`.
    #[error("both Content-Length and Transfer-Encoding")]
    BothLengths,
    /// `Content-Length` is no number, or repeated with another one.
    #[error("bad Content-Length")]
    BadLength,
    /// `Transfer-Encoding` is not exactly `chunked`.
    #[error("bad Transfer-Encoding")]
    BadCoding,
}

impl RequestHead {
    /// The method as sent; methods are case-sensitive.
    #[must_use]
    pub fn method(&self) -> &str {
        std::str::from_utf8(self.fields.slice(self.method)).expect("methods are ASCII tokens")
    }

    /// The request target as sent, still encoded.
    #[must_use]
    pub fn target(&self) -> &str {
        // The parser refuses targets that are not UTF-8.
        std::str::from_utf8(self.fields.slice(self.target)).expect("targets are UTF-8")
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// How the body is delimited.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// True for `Expect: 100-continue`.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// True for `Connection: close`.
    #[must_use]
    pub fn wants_close(&self) -> bool {
        self.wants_close
    }
}

/// How far an unfinished head has been looked through, so that dripping bytes cost no more than a flood.
#[derive(Debug, Default)]
pub(super) struct HeadProgress {
    scanned: usize,
}

/// Reads a head that is all there, under the default limits.
///
/// # Errors
/// See [`BadHead`]; a head that is not all there is [`BadHead::RequestLine`].
#[cfg(test)]
pub(crate) fn read_head(bytes: &[u8]) -> Result<RequestHead, BadHead> {
    let mut buffer = BytesMut::from(bytes);
    take_head(&mut buffer, &mut HeadProgress::default(), &Limits::default())?
        .ok_or(BadHead::RequestLine)
}

/// Takes a head from the front of `buffer`; `None` if it is not all there yet.
pub(super) fn take_head(
    buffer: &mut BytesMut,
    progress: &mut HeadProgress,
    limits: &Limits,
) -> Result<Option<RequestHead>, BadHead> {
    // Some clients send an empty line behind a body; RFC 9112 asks to overlook it.
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        progress.scanned = 0;
    }
    if buffer.is_empty() {
        return Ok(None);
    }
    let seen = std::mem::replace(&mut progress.scanned, buffer.len());
    if seen > 0 && end_of_block(buffer, seen).is_none() {
        return unfinished(buffer, limits);
    }
    let parsed = match parse(buffer) {
        Ok(None) => return unfinished(buffer, limits),
        Ok(Some(parsed)) => parsed,
        Err(httparse::Error::HeaderName) if has_fold(buffer) => {
            let Some(end) = end_of_block(buffer, 0) else { return unfinished(buffer, limits) };
            return take_folded(buffer, end, progress, limits).map(Some);
        }
        Err(error) => return Err(why(buffer, error)),
    };
    progress.scanned = 0;
    let raw = buffer.split_to(parsed.len).freeze();
    finish(raw, parsed, limits).map(Some)
}

fn unfinished(buffer: &[u8], limits: &Limits) -> Result<Option<RequestHead>, BadHead> {
    if buffer.len() > limits.head_bytes { Err(BadHead::HeadTooLong) } else { Ok(None) }
}

/// Reads a head with continued lines: they are joined with exactly one blank first (SDK meta.py).
fn take_folded(
    buffer: &mut BytesMut,
    end: usize,
    progress: &mut HeadProgress,
    limits: &Limits,
) -> Result<RequestHead, BadHead> {
    progress.scanned = 0;
    let raw = buffer.split_to(end);
    // The limits hold for the lines as they came.
    check_lines(&raw, limits)?;
    let joined = unfold(&raw)?;
    let parsed = match parse(&joined) {
        Ok(Some(parsed)) if parsed.len == joined.len() => parsed,
        Ok(_) => return Err(BadHead::FieldSyntax),
        Err(error) => return Err(why(&joined, error)),
    };
    finish(joined.into(), parsed, limits)
}

struct ParsedHead {
    len: usize,
    http_1_1: bool,
    method: (u32, u32),
    target: (u32, u32),
    fields: Vec<FieldAt>,
}

/// Enough for nearly every request; more take a second, slower pass.
const USUAL_FIELDS: usize = 48;

fn parse(bytes: &[u8]) -> Result<Option<ParsedHead>, httparse::Error> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
    match parse_into(bytes, &mut usual) {
        Err(httparse::Error::TooManyHeaders) => {
            // A field takes at least a letter, a colon and a line end.
            let mut many = vec![MaybeUninit::uninit(); bytes.len() / 3 + 1];
            parse_into(bytes, &mut many)
        }
        other => other,
    }
}

fn parse_into<'b>(
    bytes: &'b [u8],
    slots: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<Option<ParsedHead>, httparse::Error> {
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, slots)? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(len) => len,
    };
    let (Some(method), Some(target)) = (request.method, request.path) else { return Ok(None) };
    let fields =
        request.headers.iter().map(|field| FieldAt::of(bytes, field.name, field.value)).collect();
    Ok(Some(ParsedHead {
        len,
        http_1_1: request.version == Some(1),
        method: range_in(bytes, method.as_bytes()),
        target: range_in(bytes, target.as_bytes()),
        fields,
    }))
}

fn finish(raw: Bytes, parsed: ParsedHead, limits: &Limits) -> Result<RequestHead, BadHead> {
    if raw.len() > limits.head_bytes {
        return Err(BadHead::HeadTooLong);
    }
    check_lines(&raw, limits)?;
    if !parsed.http_1_1 {
        return Err(BadHead::Version);
    }
    let fields = Fields::new(raw, parsed.fields);
    if fields.len() > limits.distinct_fields && distinct(&fields) > limits.distinct_fields {
        return Err(BadHead::TooManyFields);
    }
    let mut head = RequestHead {
        method: parsed.method,
        target: parsed.target,
        fields,
        framing: Framing::Absent,
        expects_continue: false,
        wants_close: false,
    };
    read_framing(&mut head)?;
    Ok(head)
}

fn distinct(fields: &Fields) -> usize {
    let mut names: Vec<String> = fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

/// Every LF must follow a CR, and no line may be too long.
fn check_lines(raw: &[u8], limits: &Limits) -> Result<(), BadHead> {
    let feeds = raw.iter().filter(|byte| **byte == b'\n').count();
    let ends = raw.iter().zip(&raw[1..]).filter(|(a, b)| **a == b'\r' && **b == b'\n').count();
    if feeds != ends {
        return Err(BadHead::BareLf);
    }
    if raw.len() > limits.line_bytes {
        let longest = raw.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or(0);
        if longest > limits.line_bytes + 1 {
            return Err(BadHead::LineTooLong);
        }
    }
    Ok(())
}

fn read_framing(head: &mut RequestHead) -> Result<(), BadHead> {
    let (mut length, mut chunked) = (None, false);
    let (mut expects_continue, mut wants_close) = (false, false);
    for (name, value) in head.fields.iter() {
        match name.len() {
            6 if name.eq_ignore_ascii_case("expect") => {
                expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                wants_close |= value
                    .split(|byte| *byte == b',')
                    .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let this = parse_length(value).ok_or(BadHead::BadLength)?;
                if length.replace(this).is_some_and(|other| other != this) {
                    return Err(BadHead::BadLength);
                }
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadHead::BadCoding);
                }
                chunked = true;
            }
            _ => {}
        }
    }
    head.framing = match (length, chunked) {
        (Some(_), true) => return Err(BadHead::BothLengths),
        (Some(length), false) => Framing::Length(length),
        (None, true) => Framing::Chunked,
        (None, false) => Framing::Absent,
    };
    head.expects_continue = expects_continue;
    head.wants_close = wants_close;
    Ok(())
}

fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |length, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// Where the block that ends with an empty line ends; bytes before `seen` were looked through in vain.
pub(super) fn end_of_block(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    let feeds = bytes[from..].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    for (at, _) in feeds {
        let rest = &bytes[from + at + 1..];
        if rest.starts_with(b"\r\n") {
            return Some(from + at + 3);
        }
        if rest.starts_with(b"\n") {
            return Some(from + at + 2);
        }
    }
    None
}

fn has_fold(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair[0] == b'\n' && matches!(pair[1], b' ' | b'\t'))
}

/// Names whose continuation could hide a length from somebody between us and the client.
const NEVER_FOLDED: [&[u8]; 5] =
    [b"transfer-encoding", b"content-length", b"host", b"connection", b"expect"];

pub(super) fn unfold(raw: &[u8]) -> Result<Vec<u8>, BadHead> {
    let mut joined: Vec<u8> = Vec::with_capacity(raw.len());
    let mut line_start = 0;
    for (number, line) in raw.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if !matches!(line[0], b' ' | b'\t') {
            line_start = joined.len();
            joined.extend_from_slice(line);
            continue;
        }
        if number <= 1 {
            return Err(BadHead::FoldedFirst);
        }
        let so_far = &joined[line_start..];
        let name = so_far.split(|byte| *byte == b':').next().unwrap_or_default();
        if NEVER_FOLDED.iter().any(|framing| name.trim_ascii().eq_ignore_ascii_case(framing)) {
            return Err(BadHead::FoldedFraming);
        }
        let kept = joined.trim_ascii_end().len();
        joined.truncate(kept);
        joined.push(b' ');
        joined.extend_from_slice(line.trim_ascii());
        joined.extend_from_slice(b"\r\n");
    }
    Ok(joined)
}

/// Which mistake the parser met.
fn why(bytes: &[u8], error: httparse::Error) -> BadHead {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let version = version_of(line);
    match error {
        httparse::Error::Version | httparse::Error::NewLine
            if version.is_some_and(|version| version != b"HTTP/1.1") =>
        {
            BadHead::Version
        }
        httparse::Error::Version | httparse::Error::Token => BadHead::RequestLine,
        httparse::Error::NewLine if version.is_none() => BadHead::RequestLine,
        httparse::Error::HeaderName if first_line_is_folded(bytes) => BadHead::FoldedFirst,
        _ => BadHead::FieldSyntax,
    }
}

/// The version that a request line of three words names.
fn version_of(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(|byte| *byte == b' ');
    let version = words.nth(2)?;
    let digits = version.strip_prefix(b"HTTP/")?;
    let numeric = digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    (words.next().is_none() && !digits.is_empty() && numeric).then_some(version)
}

fn first_line_is_folded(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    matches!(bytes.get(end), Some(b' ' | b'\t'))
}

#[cfg(test)]
mod tests;
