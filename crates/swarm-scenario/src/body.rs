//! Bodies that need not be kept: every byte follows from seed, object, write and offset.
//!
//! The first bytes also name the object and the write, so that wrong bytes tell where they came from.

use std::sync::Arc;

use bytes::Bytes;
use swarm_client::MakeBody;

/// Bytes handed out at a time, so that a large body never lies in memory.
const PIECE_MAX: usize = 64 * 1024;
/// Length of the label that a body long enough begins with: a mark, the object, the write, the length.
const LABEL_LEN: usize = 16;
const MARK: &[u8; 4] = b"swrm";
/// The odd constant of splitmix64.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bytes that are made at once.
const WORD: usize = 8;

/// The bytes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodySpec {
    pub(crate) seed: u64,
    pub(crate) object: u32,
    pub(crate) content: u32,
    /// In bytes.
    pub(crate) length: u64,
}

impl BodySpec {
    /// Fills `out` with the bytes at `offset`.
    pub(crate) fn fill(&self, offset: u64, out: &mut [u8]) {
        let key = mix(self.seed ^ mix((u64::from(self.object) << 32) | u64::from(self.content)));
        let word = |number: u64| mix(key.wrapping_add(number.wrapping_mul(STRIDE))).to_le_bytes();
        let mut number = offset / WORD as u64;
        let into = usize::try_from(offset % WORD as u64).unwrap_or(0);
        let (head, whole) = out.split_at_mut(out.len().min((WORD - into) % WORD));
        if !head.is_empty() {
            head.copy_from_slice(&word(number)[into..into + head.len()]);
            number += 1;
        }
        let mut words = whole.chunks_exact_mut(WORD);
        for out in &mut words {
            out.copy_from_slice(&word(number));
            number += 1;
        }
        let tail = words.into_remainder();
        tail.copy_from_slice(&word(number)[..tail.len()]);
        let label = self.label();
        let label_from = usize::try_from(offset).unwrap_or(LABEL_LEN).min(LABEL_LEN);
        if self.length >= LABEL_LEN as u64 && label_from < LABEL_LEN {
            let length = out.len().min(LABEL_LEN - label_from);
            out[..length].copy_from_slice(&label[label_from..label_from + length]);
        }
    }

    /// What a body that is long enough begins with, and no other body has.
    fn label(&self) -> [u8; LABEL_LEN] {
        let mut label = [0; LABEL_LEN];
        label[..4].copy_from_slice(MARK);
        label[4..8].copy_from_slice(&self.object.to_be_bytes());
        label[8..12].copy_from_slice(&self.content.to_be_bytes());
        label[12..].copy_from_slice(&u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes());
        label
    }
}

/// The bytes of a version: of the write that began it, and of what was appended since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    parts: Vec<BodySpec>,
}

impl From<BodySpec> for Content {
    fn from(body: BodySpec) -> Self {
        Self { parts: vec![body] }
    }
}

impl Content {
    /// In bytes.
    pub(crate) fn length(&self) -> u64 {
        self.parts.iter().map(|part| part.length).sum()
    }

    /// What it begins with and no other has, if it is long enough.
    pub(crate) fn label(&self) -> Option<[u8; LABEL_LEN]> {
        let first = self.parts.first().filter(|part| part.length >= LABEL_LEN as u64);
        first.map(BodySpec::label)
    }

    /// The same with more behind it.
    pub(crate) fn with(mut self, part: BodySpec) -> Self {
        self.parts.push(part);
        self
    }

    /// Fills `out` with the bytes at `offset`.
    fn fill(&self, offset: u64, mut out: &mut [u8]) {
        let (mut begins, mut at) = (0, offset);
        for part in &self.parts {
            let ends = begins + part.length;
            if at < ends && !out.is_empty() {
                let length = usize::try_from(ends - at).unwrap_or(usize::MAX).min(out.len());
                let (here, rest) = out.split_at_mut(length);
                part.fill(at - begins, here);
                at += length as u64;
                out = rest;
            }
            begins = ends;
        }
    }

    /// A maker for a request's body, and `half_sent` called once when its second half is asked for.
    pub(crate) fn maker(self, half_sent: Option<Arc<dyn Fn() + Send + Sync>>) -> MakeBody {
        let all = self.length();
        let half = all.div_ceil(2).max(1);
        Arc::new(move |offset, at_most| {
            let mut length =
                usize::try_from(all - offset).unwrap_or(PIECE_MAX).min(at_most).min(PIECE_MAX);
            if let Some(half_sent) = &half_sent {
                if offset < half {
                    length = length.min(usize::try_from(half - offset).unwrap_or(length));
                } else {
                    half_sent();
                }
            }
            let mut piece = vec![0; length];
            self.fill(offset, &mut piece);
            piece.into()
        })
    }
}

/// The object and the write that a body beginning like this belongs to, if it is one of ours.
pub(crate) fn identify(start: &[u8]) -> Option<(u32, u32)> {
    let number = |range: std::ops::Range<usize>| {
        Some(u32::from_be_bytes(start.get(range)?.try_into().ok()?))
    };
    (start.get(..4)? == MARK).then_some(())?;
    Some((number(4..8)?, number(8..12)?))
}

/// Compares a body as it arrives with what it should be.
#[derive(Debug)]
pub(crate) struct Verifier {
    body: Content,
    at: u64,
    wrong: Option<WrongBytes>,
}

/// Where a body is wrong, and whose bytes they are if that can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrongBytes {
    pub(crate) at: u64,
    pub(crate) belongs_to: Option<(u32, u32)>,
}

impl Verifier {
    pub(crate) fn new(body: Content) -> Self {
        Self { body, at: 0, wrong: None }
    }

    /// Takes the next piece.
    pub(crate) fn take(&mut self, piece: &Bytes) {
        if self.wrong.is_none() {
            let mut right = vec![0; piece.len()];
            self.body.fill(self.at, &mut right);
            let differs = if right == *piece {
                None
            } else {
                right.iter().zip(piece).position(|(right, got)| right != got)
            };
            let length =
                usize::try_from(self.body.length().saturating_sub(self.at)).unwrap_or(usize::MAX);
            let beyond = (piece.len() > length).then_some(length);
            if let Some(position) = [differs, beyond].into_iter().flatten().min() {
                let belongs_to = (self.at == 0).then(|| identify(piece)).flatten();
                self.wrong = Some(WrongBytes { at: self.at + position as u64, belongs_to });
            }
        }
        self.at += piece.len() as u64;
    }

    /// The verdict on all that came; a body that is merely short is not wrong.
    pub(crate) fn wrong(self) -> Option<WrongBytes> {
        self.wrong
    }
}

/// The finaliser of splitmix64: every bit of the input moves every bit of the output.
pub(crate) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(body: BodySpec) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(body.length).expect("small")];
        body.fill(0, &mut bytes);
        bytes
    }

    const BODY: BodySpec = BodySpec { seed: 7, object: 3, content: 9, length: 100 };

    #[test]
    fn a_body_names_its_object_and_write() {
        assert_eq!(identify(&whole(BODY)), Some((3, 9)));
        assert_eq!(identify(b"swrm"), None);
        assert_eq!(identify(b"something else altogether"), None);
    }

    #[test]
    fn foreign_bytes_are_found_and_traced() {
        let mut verifier = Verifier::new(BODY.into());
        verifier.take(&whole(BodySpec { content: 8, ..BODY }).into());
        assert_eq!(verifier.wrong(), Some(WrongBytes { at: 11, belongs_to: Some((3, 8)) }));
    }

    #[test]
    fn one_flipped_bit_and_one_byte_too_many_are_found() {
        let mut bytes = whole(BODY);
        bytes[77] ^= 4;
        let mut verifier = Verifier::new(BODY.into());
        verifier.take(&Bytes::copy_from_slice(&bytes[..50]));
        verifier.take(&Bytes::copy_from_slice(&bytes[50..]));
        assert_eq!(verifier.wrong().map(|wrong| wrong.at), Some(77));
        let mut verifier = Verifier::new(BodySpec { length: 99, ..BODY }.into());
        let mut bytes = whole(BodySpec { length: 99, ..BODY });
        bytes.push(0);
        verifier.take(&bytes.into());
        assert_eq!(verifier.wrong().map(|wrong| wrong.at), Some(99));
    }

    #[test]
    fn what_was_appended_comes_behind_and_is_told_apart() {
        let more = BodySpec { content: 10, length: 30, ..BODY };
        let none = BodySpec { content: 11, length: 0, ..BODY };
        let content = Content::from(BODY).with(none).with(more);
        assert_eq!(content.length(), 130);
        let all = [whole(BODY), whole(more)].concat();
        let mut verifier = Verifier::new(content.clone());
        let make = content.clone().maker(None);
        for at in [0, 95, 99, 100, 101, 129] {
            assert_eq!(make(at as u64, 7)[..], all[at..all.len().min(at + 7)], "{at}");
        }
        verifier.take(&Bytes::copy_from_slice(&all[..97]));
        verifier.take(&Bytes::copy_from_slice(&all[97..]));
        assert_eq!(verifier.wrong(), None);
        // Appended to another version than that.
        let mut verifier = Verifier::new(content);
        let other = whole(BodySpec { content: 8, ..BODY });
        verifier.take(&[other, whole(more)].concat().into());
        assert_eq!(verifier.wrong().map(|wrong| wrong.at), Some(11));
    }

    #[test]
    fn the_second_half_is_asked_for_after_the_first() {
        let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let make = Content::from(BODY).maker(Some(Arc::new(move || {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        })));
        assert_eq!(make(0, 1000).len(), 50);
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 0);
        assert_eq!(make(50, 1000).len(), 50);
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    proptest! {
        #[test]
        fn pieces_make_up_the_body(length in 0u64..300, cuts in proptest::collection::vec(1usize..40, 1..20)) {
            let body = BodySpec { length, ..BODY };
            let (all, mut verifier) = (whole(body), Verifier::new(body.into()));
            let make = Content::from(body).maker(None);
            let mut cuts = cuts.into_iter().cycle();
            let mut at = 0;
            while at < all.len() {
                let piece = make(at as u64, cuts.next().unwrap_or(1));
                prop_assert_eq!(&piece[..], &all[at..at + piece.len()]);
                verifier.take(&piece);
                at += piece.len();
            }
            prop_assert_eq!(at as u64, length);
            prop_assert_eq!(verifier.wrong(), None);
        }
    }
}
