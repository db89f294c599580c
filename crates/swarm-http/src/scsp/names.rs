//! Which names are legal (Naming Rules).

use std::net::IpAddr;

use crate::status::Fault;

/// Longest domain name: more cannot be used by S3 (Naming Rules).
const DOMAIN_BYTES: usize = 253;

/// Longest bucket name that the vendor has tested (Naming Rules).
const BUCKET_CHARACTERS: usize = 8000;

/// Checks a domain name and returns it in lower case.
pub(crate) fn domain(name: &str) -> Result<String, Fault> {
    let bytes = name.as_bytes();
    let separator = |byte: &u8| matches!(byte, b'-' | b'.');
    let legal = bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
        && !bytes.last().is_some_and(separator)
        && !bytes.windows(2).any(|pair| pair.iter().all(separator))
        && bytes.len() <= DOMAIN_BYTES
        && name.parse::<IpAddr>().is_err();
    if legal {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(Fault::InvalidName("Illegal domain name."))
    }
}

/// Checks a decoded bucket name.
pub(crate) fn bucket(name: &str) -> Result<String, Fault> {
    let legal = !name.is_empty()
        && !name.contains('/')
        && name.chars().count() <= BUCKET_CHARACTERS
        && !is_uuid(name);
    if legal { Ok(name.to_owned()) } else { Err(Fault::InvalidName("Illegal bucket name.")) }
}

/// 32 hexadecimal digits are always a UUID.
pub(crate) fn is_uuid(segment: &str) -> bool {
    segment.len() == 32 && segment.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Naming Rules: domains are 7-bit ASCII, start alphanumeric, and have no adjacent or final hyphen or period.
    #[test]
    fn domain_names() {
        for legal in ["sample", "Acme.Example.com", "a_b.c-d", "1a", "a.b-c"] {
            assert_eq!(domain(legal), Ok(legal.to_ascii_lowercase()), "{legal}");
        }
        let long = "a".repeat(254);
        for illegal in [
            "", "-a", ".a", "_a", "a-", "a.", "a..b", "a--b", "a-.b", "a.-b", "a b", "é", "a/b",
            "10.1.0.1", "::1", &long,
        ] {
            assert!(domain(illegal).is_err(), "{illegal}");
        }
    }

    /// Naming Rules: no slash, not 32 hexadecimal digits, tested up to 8000 characters.
    #[test]
    fn bucket_names() {
        for legal in
            ["photos", "Fotos für Ä", "0b7d5c1e9f2a4d38861c3e5f7a90b2cg", &"x".repeat(8000)]
        {
            assert_eq!(bucket(legal).as_deref(), Ok(legal));
        }
        for illegal in ["", "a/b", "0B7D5C1E9F2A4D38861C3E5F7A90B2C4", &"x".repeat(8001)] {
            assert!(bucket(illegal).is_err(), "{illegal}");
        }
    }
}
