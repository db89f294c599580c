//! What a record on a disk says of an object, read as `docs/on-disk.md` describes the value of an ADD.

use super::image::{Id, number32, number64};

/// Where a value's flags of the replica begin.
const FLAGS_AT: usize = 1 + 68 - 16;

/// What the object is, whichever disk says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    /// Length of the body.
    pub(crate) length: u64,
    pub(crate) digest: Id,
    pub(crate) alias: Option<Id>,
    pub(crate) parent: Option<Id>,
    pub(crate) name: Option<String>,
    pub(crate) owner: Option<String>,
    /// Of the last write.
    pub(crate) cluster: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Immutable,
    Alias,
    Named,
    Bucket,
    Domain,
}

impl Kind {
    pub(crate) const fn is_context(self) -> bool {
        matches!(self, Self::Bucket | Self::Domain)
    }
}

/// A record as a disk has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// A replica; `quarantined` if its bytes are known to be bad.
    Replica { object: Object, quarantined: bool },
    /// A delete.
    Tombstone,
}

/// Reads the value of a record; `None` if it is not of the documented shape.
pub(crate) fn read(value: &[u8]) -> Option<Record> {
    if *value.first()? == 2 {
        return Some(Record::Tombstone);
    }
    let quarantined = value.get(FLAGS_AT)? & 1 != 0;
    let hints = usize::from(*value.get(FLAGS_AT + 1)?);
    let mut rest = Rest(value.get(FLAGS_AT + 2 + 16 * hints..)?);
    let kind = match rest.take(1)?[0] {
        1 => Kind::Immutable,
        2 => Kind::Alias,
        3 => Kind::Named,
        4 => Kind::Bucket,
        5 => Kind::Domain,
        _ => return None,
    };
    let flags = rest.take(1)?[0];
    let length = number64(rest.take(8)?, 0);
    let digest = rest.id()?;
    let alias = if flags & 1 != 0 { Some(rest.id()?) } else { None };
    let parent = if flags & 2 != 0 { Some(rest.id()?) } else { None };
    let name = if flags & 4 != 0 { Some(rest.text()?) } else { None };
    let owner = if flags & 8 != 0 { Some(rest.text()?) } else { None };
    let cluster = rest.text()?;
    let count = number32(rest.take(4)?, 0);
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.push((rest.text()?, rest.bytes()?.to_vec()));
    }
    let object = Object { kind, length, digest, alias, parent, name, owner, cluster, headers };
    rest.0.is_empty().then_some(Record::Replica { object, quarantined })
}

/// What of a value has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn id(&mut self) -> Option<Id> {
        self.take(16)?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = number32(self.take(4)?, 0);
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of an ADD with every field, byte by byte.
    fn value() -> Vec<u8> {
        let text = |text: &str| {
            let length = u32::try_from(text.len()).expect("short");
            [&length.to_le_bytes()[..], text.as_bytes()].concat()
        };
        [
            &[1][..],     // type
            &[0; 8],      // version
            &[1; 16],     // ETag
            &[0; 28],     // extent: number, offset, length, checksum
            &[1, 2],      // quarantined, two hints
            &[9; 32],     // hints
            &[3, 0b1111], // named; everything present
            &5u64.to_le_bytes(),
            &[4; 16], // digest
            &[5; 16], // alias
            &[6; 16], // parent
            &text("17"),
            &text("admin"),
            &text("main"),
            &1u32.to_le_bytes(),
            &text("lifepoint"),
            &text("[] reps=3"),
        ]
        .concat()
    }

    #[test]
    fn every_field_is_where_the_document_says() {
        let object = Object {
            kind: Kind::Named,
            length: 5,
            digest: [4; 16],
            alias: Some([5; 16]),
            parent: Some([6; 16]),
            name: Some("17".to_owned()),
            owner: Some("admin".to_owned()),
            cluster: "main".to_owned(),
            headers: vec![("lifepoint".to_owned(), b"[] reps=3".to_vec())],
        };
        assert_eq!(read(&value()), Some(Record::Replica { object, quarantined: true }));
    }

    #[test]
    fn a_value_that_is_too_short_or_too_long_is_not_read() {
        let whole = value();
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(read(&[&whole[..], &[0]].concat()), None);
    }

    #[test]
    fn a_tombstone_is_one() {
        assert_eq!(read(&[2, 0, 0]), Some(Record::Tombstone));
    }
}
