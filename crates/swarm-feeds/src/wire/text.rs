//! Texts within targets and header fields: escapes, pieces, arguments.

use swarm_types::HeaderList;

use super::{WireError, bad};

/// Longest piece of a long text in one field, in bytes: receivers take lines of 32 KB.
pub(super) const PIECE: usize = 16 * 1024;

/// Adds a text to a target. Only what no proxy touches stays as it is.
pub(super) fn escape(text: &str, target: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            target.push(char::from(byte));
        } else {
            push_escape(byte, target);
        }
    }
}

/// Undoes the escapes of a path or a field; `None` if they are malformed, or what comes out is not UTF-8.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16);
        bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// Adds a text as a field, in pieces if it is long: readable, without a byte that a field cannot carry, and without a blank
/// at an end, where it would be trimmed.
pub(super) fn push_text(name: &'static str, text: &str, headers: &mut HeaderList) {
    let mut escaped = String::with_capacity(text.len());
    // Blanks of a text in pieces may come to lie at the end of one.
    let long = text.len() > PIECE / 3;
    for (at, byte) in text.bytes().enumerate() {
        let end = long || at == 0 || at + 1 == text.len();
        if byte.is_ascii_graphic() && byte != b'%' || byte == b' ' && !end {
            escaped.push(char::from(byte));
        } else {
            push_escape(byte, &mut escaped);
        }
    }
    if escaped.is_empty() {
        headers.push(name, "");
    }
    for piece in escaped.as_bytes().chunks(PIECE) {
        headers.push(name, bytes::Bytes::copy_from_slice(piece));
    }
}

/// The text of a field in pieces, if it is there.
pub(super) fn read_text(
    headers: &HeaderList,
    name: &'static str,
) -> Result<Option<String>, WireError> {
    if headers.get(name).is_none() {
        return Ok(None);
    }
    let pieces: Option<String> = headers.all(name).map(|piece| piece.text()).collect();
    let text = pieces.and_then(|text| unescape(&text));
    text.map(Some).ok_or(bad(name, "is badly escaped"))
}

fn push_escape(byte: u8, out: &mut String) {
    out.push('%');
    for half in [byte >> 4, byte & 15] {
        out.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
    }
}

/// The arguments of a request, as far as replication has any.
pub(super) struct Args(Vec<(String, String)>);

impl Args {
    /// Takes apart what stands behind the question mark; `+` is a blank there (SCSP Query Arguments).
    pub(super) fn parse(query: &str) -> Result<Self, WireError> {
        let parts = query.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decode = |text: &str| unescape(&text.replace('+', " "));
            Some((decode(name)?.to_ascii_lowercase(), decode(value)?))
        });
        let args: Option<_> = parts.collect();
        args.map(Self).ok_or(bad("query", "is badly escaped"))
    }

    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, WireError> {
        let mut values = self.0.iter().filter(|(arg, _)| arg == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(bad(name, "is there twice")),
            (value, _) => Ok(value.map(String::as_str)),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(arg, _)| arg == name)
    }
}
