//! Identities: one newtype each, so that a volume can never be passed where a stream is meant.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Arc;

/// A text that is not an id: ids are exactly 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not 32 hexadecimal digits")]
pub struct ParseIdError {
    /// What was given.
    pub text: String,
}

/// Bytes as hexadecimal digits in lower case.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // Ids are written into every request: a byte at a time through the formatter took as long as their MD5.
        for part in self.0.chunks(16) {
            let mut text = [0; 32];
            for (byte, pair) in part.iter().zip(text.chunks_exact_mut(2)) {
                pair.copy_from_slice(&[
                    DIGITS[usize::from(byte >> 4)],
                    DIGITS[usize::from(byte & 15)],
                ]);
            }
            f.write_str(std::str::from_utf8(&text[..2 * part.len()]).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = 16;

            /// The id with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes, most significant first: their order is the order of the text form.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&Hex(&self.0), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Reads 32 hexadecimal digits of either case.
            ///
            /// # Errors
            /// Any other length or character.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self).ok_or_else(|| ParseIdError { text: text.to_owned() })
            }
        }
    };
}

id128! {
    /// The UUID of an unnamed object, or the permanent alias UUID of an alias object, bucket or domain.
    Uuid
}
id128! {
    /// The id of one stored version: shown as `ETag`, new with every write, never an MD5. Of an immutable object it equals
    /// the object's UUID.
    Etag
}
id128! {
    /// What a stream is filed under on a volume and looked up by in the cluster: the UUID of an unnamed object, a hash of
    /// parent and name for everything that has a name.
    StreamId
}
id128! {
    /// One formatted volume, for its whole life, wherever its disk is plugged in.
    VolumeId
}

impl Uuid {
    /// The parent id of domains, written as 32 `f` digits.
    pub const ROOT: Self = Self([0xff; 16]);

    /// The stream id of the unnamed object with this UUID.
    #[must_use]
    pub const fn stream(self) -> StreamId {
        StreamId(self.0)
    }

    /// The ETag of the immutable object with this UUID.
    #[must_use]
    pub const fn etag(self) -> Etag {
        Etag(self.0)
    }
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    if digits.len() != 32 {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

/// One node: one machine, one address, one instance of the software (Swarm Storage 10.0 Release). The address is the id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub Ipv4Addr);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a cluster (`cluster.name`), lower case as given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(pub Arc<str>);

impl ClusterName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ClusterName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One physical disk, known by its serial: in a scenario `main/3/1`, live the folder that holds its image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(pub Arc<str>);

impl From<&str> for DiskId {
    fn from(serial: &str) -> Self {
        Self(serial.into())
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_either_case_and_written_in_lower_case() {
        let id: Uuid = "0B7D5C1E9F2A4D38861C3E5F7A90B2C4".parse().expect("32 digits");
        assert_eq!(id.to_string(), "0b7d5c1e9f2a4d38861c3e5f7a90b2c4");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "0b7d",
            "0b7d5c1e9f2a4d38861c3e5f7a90b2cg",
            "0b7d5c1e9f2a4d38861c3e5f7a90b2c4a",
            "+b7d5c1e9f2a4d38861c3e5f7a90b2c4",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(ParseIdError { text: text.to_owned() }));
        }
    }
}
