//! The order of the versions of one name.

use std::fmt;

use crate::{Etag, Timestamp};

/// When a version was written, in milliseconds since the epoch by the writing node's clock, raised where needed above
/// every version that the writer knew. Shown as `Castor-System-Version`, seconds with three decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

impl Version {
    /// The instant that the version names, for `Last-Modified`.
    #[must_use]
    pub const fn timestamp(self) -> Timestamp {
        Timestamp((self.0 as i64).saturating_mul(1_000_000))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The place of a version among the versions of its name: the larger wins, deletes included, everywhere. Ties of the
/// version are broken by the larger ETag (our choice).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When it was written.
    pub version: Version,
    /// Which write it was.
    pub etag: Etag,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_shown_with_three_decimals() {
        assert_eq!(Version(1_760_434_200_007).to_string(), "1760434200.007");
        assert_eq!(Version(1_760_434_200_007).timestamp().secs(), 1_760_434_200);
    }

    #[test]
    fn the_later_version_wins_and_ties_go_to_the_larger_etag() {
        let stamp = |ms, byte| Stamp { version: Version(ms), etag: Etag::from_bytes([byte; 16]) };
        assert!(stamp(2, 0) > stamp(1, 9));
        assert!(stamp(2, 1) > stamp(2, 0));
    }
}
