//! What a volume is for: in service, being emptied, or empty for good.
//!
//! Owns the durable mark that says so and its codec (`docs/on-disk.md`, "Records"). What follows from it is the caller's
//! business.

use swarm_types::Timestamp;

use crate::codec::{Cursor, Malformed, Put};

/// A mark on the whole volume; it travels with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Service {
    /// It takes part in everything.
    #[default]
    InService,
    /// What it holds is being brought elsewhere.
    Retiring(Retire),
    /// Nothing is left on it, and nothing new comes.
    Retired(Retire),
}

/// Why, how and since when a volume retires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retire {
    /// Why.
    pub cause: RetireCause,
    /// How.
    pub pace: RetirePace,
    /// When it began, by the clock of the node that had the volume.
    pub since: Timestamp,
}

/// Why a volume retires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetireCause {
    /// An operator said so.
    ByHand,
    /// Too many I/O errors.
    IoErrors,
}

/// How a volume retires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetirePace {
    /// Its content is recovered by the whole cluster at once, then checked.
    Fast,
    /// The health processor empties it as it comes by.
    Slow,
}

impl Service {
    /// Length of the encoding in bytes.
    pub(crate) const BYTES: usize = 3 + 8;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (state, retire) = match self {
            Self::InService => (0, None),
            Self::Retiring(retire) => (1, Some(retire)),
            Self::Retired(retire) => (2, Some(retire)),
        };
        let cause = retire.map_or(0, |retire| match retire.cause {
            RetireCause::ByHand => 1,
            RetireCause::IoErrors => 2,
        });
        let pace = retire.map_or(0, |retire| match retire.pace {
            RetirePace::Fast => 1,
            RetirePace::Slow => 2,
        });
        out.put(&[state, cause, pace]);
        out.put_i64(retire.map_or(0, |retire| retire.since.0));
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let (state, cause, pace) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let since = Timestamp(cursor.i64()?);
        if (state, cause, pace, since.0) == (0, 0, 0, 0) {
            return Ok(Self::InService);
        }
        let cause = match cause {
            1 => RetireCause::ByHand,
            2 => RetireCause::IoErrors,
            _ => return Err(Malformed),
        };
        let pace = match pace {
            1 => RetirePace::Fast,
            2 => RetirePace::Slow,
            _ => return Err(Malformed),
        };
        let retire = Retire { cause, pace, since };
        match state {
            1 => Ok(Self::Retiring(retire)),
            2 => Ok(Self::Retired(retire)),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_survives_its_encoding_and_nothing_else_is_one() {
        let mut marks = vec![Service::InService];
        for cause in [RetireCause::ByHand, RetireCause::IoErrors] {
            for pace in [RetirePace::Fast, RetirePace::Slow] {
                let retire = Retire { cause, pace, since: Timestamp::from_secs(5) };
                marks.extend([Service::Retiring(retire), Service::Retired(retire)]);
            }
        }
        let mut known = Vec::new();
        for mark in marks {
            let mut bytes = Vec::new();
            mark.encode(&mut bytes);
            assert_eq!(bytes.len(), Service::BYTES);
            assert_eq!(Service::decode(&mut Cursor::new(&bytes)), Ok(mark));
            known.push(bytes);
        }
        for codes in 0..256_u32 {
            let mut bytes = vec![(codes / 16) as u8, (codes / 4 % 4) as u8, (codes % 4) as u8];
            bytes.extend(Timestamp::from_secs(5).0.to_le_bytes());
            let decoded = Service::decode(&mut Cursor::new(&bytes)).is_ok();
            assert_eq!(decoded, known.contains(&bytes), "{bytes:?}");
        }
    }
}
