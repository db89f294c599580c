//! What a record on a disk says of an object, read as `docs/on-disk.md` describes the value of an ADD.

use super::image::{Id, number32, number64};

/// Where a value's flags of the replica begin.
const FLAGS_AT: usize = 1 + 68 - 16;
/// Where in a value of a TOMBSTONE its flags are.
const BURIAL_AT: usize = 1 + 49 - 16;
const SLOTS_MAX: u8 = 8;
/// Longest name of a domain.
const NAME_MAX: usize = 253;

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
    const fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Immutable,
            2 => Self::Alias,
            3 => Self::Named,
            4 => Self::Bucket,
            5 => Self::Domain,
            _ => return None,
        })
    }

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
    Tombstone(Burial),
}

/// What a delete says of what was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Burial {
    pub(crate) kind: Kind,
    pub(crate) alias: Option<Id>,
    pub(crate) parent: Option<Id>,
    /// Of a domain.
    pub(crate) name: Option<String>,
}

/// What a feed has come to with a version or a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) feed: u32,
    /// Which evaluation by the feed.
    pub(crate) mark: u64,
    pub(crate) outcome: Outcome,
}

/// The outcome in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    OutOfScope,
    Success,
    ToBeTriedAgain,
}

/// Reads the value of a record; `None` if it is not of the documented shape.
pub(crate) fn read(value: &[u8]) -> Option<Record> {
    if *value.first()? == 2 {
        let mut rest = Rest(value.get(BURIAL_AT - 9..)?);
        let kind = Kind::of(rest.take(1)?[0])?;
        rest.take(8)?;
        return Some(Record::Tombstone(rest.burial(kind)?));
    }
    let quarantined = value.get(FLAGS_AT)? & 1 != 0;
    let hints = usize::from(*value.get(FLAGS_AT + 1)?);
    let mut rest = Rest(value.get(FLAGS_AT + 2 + 16 * hints..)?);
    rest.slots()?;
    let kind = Kind::of(rest.take(1)?[0])?;
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

/// The slots at the beginning of these bytes; `None` if they are not of the documented shape.
pub(super) fn slots(bytes: &[u8]) -> Option<Vec<Slot>> {
    Rest(bytes).slots()
}

/// Length of the slots at the beginning of these bytes; `None` if they are not of the documented shape.
pub(super) fn slots_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = Rest(bytes);
    rest.slots()?;
    Some(bytes.len() - rest.0.len())
}

/// Length of what a tombstone has from its flags on, before its slots.
pub(super) fn burial_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = Rest(bytes);
    // What was deleted stands elsewhere, and has nothing to do with the length.
    rest.burial(Kind::Named)?;
    Some(bytes.len() - rest.0.len())
}

/// What of a value has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// What feeds have come to.
    fn slots(&mut self) -> Option<Vec<Slot>> {
        let count = self.take(1)?[0];
        let mut slots: Vec<Slot> = Vec::new();
        for _ in 0..count {
            let slot = self.take(4 + 8 + 1 + 2 + 8)?;
            let (feed, mark) = (number32(slot, 0), number64(slot, 4));
            if slots.last().is_some_and(|before| before.feed >= feed) {
                return None;
            }
            let outcome = match slot[12] {
                1 => Outcome::OutOfScope,
                2 => Outcome::Success,
                3 => Outcome::ToBeTriedAgain,
                _ => return None,
            };
            if outcome == Outcome::ToBeTriedAgain {
                self.take(2 + 8)?;
            }
            slots.push(Slot { feed, mark, outcome });
        }
        (count <= SLOTS_MAX).then_some(slots)
    }

    /// What a tombstone says of the deleted, from its flags on.
    fn burial(&mut self, kind: Kind) -> Option<Burial> {
        let flags = self.take(1)?[0];
        if flags > 15 {
            return None;
        }
        let alias = if flags & 1 != 0 { Some(self.id()?) } else { None };
        let parent = if flags & 2 != 0 { Some(self.id()?) } else { None };
        let name = if flags & 4 != 0 { Some(self.text()?) } else { None };
        let is_short = name.as_ref().is_none_or(|name| name.len() <= NAME_MAX);
        is_short.then_some(Burial { kind, alias, parent, name })
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

    /// The part of a slot that all have.
    fn slot(feed: u32, outcome: u8) -> Vec<u8> {
        [&feed.to_le_bytes()[..], &[8; 8], &[outcome], &[0; 10]].concat()
    }

    /// The value of an ADD with every field, byte by byte.
    fn value() -> Vec<u8> {
        let text = |text: &str| {
            let length = u32::try_from(text.len()).expect("short");
            [&length.to_le_bytes()[..], text.as_bytes()].concat()
        };
        [
            &[1][..], // type
            &[0; 8],  // version
            &[1; 16], // ETag
            &[0; 28], // extent: number, offset, length, checksum
            &[1, 2],  // quarantined, two hints
            &[9; 32], // hints
            &[2],     // two slots
            &slot(1, 2),
            &slot(7, 3),
            &[0; 10],     // the second is tried again
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
    fn slots_are_few_and_in_order_and_of_known_outcomes() {
        let of = |slots: &[Vec<u8>]| {
            let count = u8::try_from(slots.len()).expect("few");
            let bytes = [&[count][..], &slots.concat(), b"rest"].concat();
            slots_len(&bytes).map(|length| bytes.len() - length)
        };
        let retry = [slot(3, 3), vec![0; 10]].concat();
        assert_eq!(of(&[]), Some(4));
        assert_eq!(of(&[slot(1, 1), slot(2, 2), retry]), Some(4));
        assert_eq!(of(&(0..8).map(|feed| slot(feed, 2)).collect::<Vec<_>>()), Some(4));
        assert_eq!(of(&(0..9).map(|feed| slot(feed, 2)).collect::<Vec<_>>()), None);
        assert_eq!((of(&[slot(2, 1), slot(2, 1)]), of(&[slot(2, 1), slot(1, 1)])), (None, None));
        assert_eq!((of(&[slot(1, 0)]), of(&[slot(1, 4)])), (None, None));
        assert_eq!(slots_len(&slot(0x0201, 2)), None, "cut off");
    }

    #[test]
    fn what_a_tombstone_says_of_the_deleted_is_as_long_as_its_flags_say() {
        let of = |flags: u8, name: usize| {
            let length = u32::try_from(name).expect("short").to_le_bytes();
            burial_len(&[&[flags][..], &[1; 32], &length, &vec![b'n'; name], &[0; 9]].concat())
        };
        assert_eq!(
            (of(0, 0), of(8, 0), of(1, 0), of(3, 0)),
            (Some(1), Some(1), Some(17), Some(33))
        );
        assert_eq!((of(7, 253), of(15, 0)), (Some(33 + 4 + 253), Some(37)));
        assert_eq!((of(7, 254), of(16, 0), burial_len(&[1, 0])), (None, None, None));
    }

    #[test]
    fn a_tombstone_says_what_was_deleted() {
        let value = |flags: u8, rest: &[u8]| {
            // Type, version, ETag; kind; when it was written; flags, what they promise, no slots.
            [&[2][..], &[0; 24], &[5], &[0; 8], &[flags], rest, &[0]].concat()
        };
        let burial = |alias, name: Option<&str>| {
            let name = name.map(str::to_owned);
            Some(Record::Tombstone(Burial { kind: Kind::Domain, alias, parent: None, name }))
        };
        assert_eq!(read(&value(0, &[])), burial(None, None));
        let named = [&[7; 16][..], &3u32.to_le_bytes(), b"d.e"].concat();
        assert_eq!(read(&value(5, &named)), burial(Some([7; 16]), Some("d.e")));
        assert_eq!(read(&[2, 0, 0]), None);
    }
}
