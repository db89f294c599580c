//! Header fields as clients spell them.

use std::fmt;

use bytes::Bytes;

/// SCSP Headers: 500 headers per object.
pub const HEADERS_MAX: usize = 500;
/// SCSP Headers: 32 KB for all names and values of an object together.
pub const HEADERS_MAX_BYTES: usize = 32 * 1024;

/// One header field: the name in the client's spelling, the value byte for byte (trimmed, folds joined).
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The name; compared without regard to case.
    pub name: String,
    /// The value; not necessarily UTF-8.
    pub value: Bytes,
}

impl Header {
    /// A field of this name and value.
    pub fn new(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// True if the field has this name, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value as text, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Credentials pass through here; their values must not reach a log.
        if self.is("authorization") || self.is("castor-system-auth") {
            return write!(f, "{}: (not shown)", self.name);
        }
        write!(f, "{}: {}", self.name, String::from_utf8_lossy(&self.value))
    }
}

/// Header fields in the order received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderList(pub Vec<Header>);

impl HeaderList {
    /// Adds a field at the end.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Bytes>) {
        self.0.push(Header::new(name, value));
    }

    /// The first field of this name, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Header> {
        self.0.iter().find(|header| header.is(name))
    }

    /// The first value of this name as text; `None` also where it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Header::text)
    }

    /// All fields of this name, in any case, in the order received.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Header> {
        self.0.iter().filter(move |header| header.is(name))
    }

    /// All fields in the order received.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }
}
