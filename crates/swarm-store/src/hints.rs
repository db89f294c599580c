//! Hints: the volumes last known to hold the other replicas of a stream.
//!
//! Owns their number and their codec. They are hearsay, kept so that the loss of a volume tells which streams to look after.

use swarm_types::VolumeId;

use crate::codec::{Cursor, Malformed, Put};

/// Most hints that a record carries: one less than the largest number of replicas.
pub const HINTS_MAX: usize = 15;

/// Volumes last known to hold other replicas: none twice, at most [`HINTS_MAX`], in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints(Vec<VolumeId>);

impl Hints {
    /// No other replica is known.
    pub const NONE: Self = Self(Vec::new());

    /// The first [`HINTS_MAX`] different ones of these.
    #[must_use]
    pub fn new(volumes: impl IntoIterator<Item = VolumeId>) -> Self {
        let mut hints = Vec::new();
        for volume in volumes {
            if hints.len() < HINTS_MAX && !hints.contains(&volume) {
                hints.push(volume);
            }
        }
        Self(hints)
    }

    /// The volumes.
    #[must_use]
    pub fn volumes(&self) -> &[VolumeId] {
        &self.0
    }

    /// Whether this volume is among them.
    #[must_use]
    pub fn contains(&self, volume: VolumeId) -> bool {
        self.0.contains(&volume)
    }

    /// True if no other replica is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of them.
    #[must_use]
    pub fn first(&self) -> Option<VolumeId> {
        self.0.first().copied()
    }

    /// Their number in one byte, then the ids.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put(&[u8::try_from(self.0.len()).expect("there are at most HINTS_MAX")]);
        self.0.iter().for_each(|volume| out.put(volume.as_bytes()));
    }

    /// Passes over what [`Self::decode`] would read.
    pub(crate) fn skip(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        let count = usize::from(cursor.u8()?);
        if count > HINTS_MAX {
            return Err(Malformed);
        }
        cursor.take(16 * count).map(drop)
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let count = usize::from(cursor.u8()?);
        if count > HINTS_MAX {
            return Err(Malformed);
        }
        let volumes = (0..count).map(|_| Ok(VolumeId::from_bytes(cursor.array()?)));
        volumes.collect::<Result<_, _>>().map(Self)
    }
}

impl FromIterator<VolumeId> for Hints {
    fn from_iter<I: IntoIterator<Item = VolumeId>>(volumes: I) -> Self {
        Self::new(volumes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(number: u8) -> VolumeId {
        VolumeId::from_bytes([number; 16])
    }

    #[test]
    fn none_is_kept_twice_and_none_beyond_the_most() {
        let hints = Hints::new([3, 1, 3, 2, 1].map(volume));
        assert_eq!(hints.volumes(), [3, 1, 2].map(volume));
        assert_eq!(hints.first(), Some(volume(3)));
        assert!(hints.contains(volume(2)) && !hints.contains(volume(4)));
        assert_eq!((0..100).map(volume).collect::<Hints>().volumes().len(), HINTS_MAX);
    }

    #[test]
    fn more_than_the_most_is_no_list_of_hints() {
        let mut bytes = vec![16];
        bytes.resize(1 + 16 * 16, 1);
        assert_eq!(Hints::decode(&mut Cursor::new(&bytes)), Err(Malformed));
    }
}
