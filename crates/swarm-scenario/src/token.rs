//! The one word that repeats a run: `NAME:SEED:CHECKSUM`, and behind that the planted bugs if there were any.

use std::fmt;
use std::str::FromStr;

use crate::catalogue::FOLDER;

/// What a run is repeated from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Name of the scenario in its folder, or the path of its file.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Checksum of the file as it was.
    pub checksum: u32,
    /// Planted bugs.
    pub plant: Vec<String>,
}

/// A word that is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no replay token: it looks like NAME:SEED:CHECKSUM")]
pub struct TokenError(String);

impl Token {
    /// The token of a run of the file at `path`.
    #[must_use]
    pub fn new(path: &str, seed: u64, checksum: u32, plant: &[String]) -> Self {
        let name = path
            .strip_prefix(FOLDER)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.strip_suffix(".toml"));
        let scenario = name.filter(|name| !name.contains('/')).unwrap_or(path).to_owned();
        Self { scenario, seed, checksum, plant: plant.to_vec() }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{:08x}", self.scenario, self.seed, self.checksum)?;
        if self.plant.is_empty() { Ok(()) } else { write!(f, ":{}", self.plant.join(",")) }
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let parse = |text: &str| {
            let mut parts = text.rsplitn(3, ':');
            let checksum = parts.next().filter(|part| part.len() == 8)?;
            let (checksum, seed) =
                (u32::from_str_radix(checksum, 16).ok()?, parts.next()?.parse().ok()?);
            let scenario = parts.next().filter(|part| !part.is_empty())?.to_owned();
            Some(Self { scenario, seed, checksum, plant: Vec::new() })
        };
        let with_plant = || {
            let (rest, plant) = text.rsplit_once(':')?;
            Some(Self { plant: plant.split(',').map(str::to_owned).collect(), ..parse(rest)? })
        };
        parse(text).or_else(with_plant).ok_or_else(|| TokenError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back() {
        for (path, plant, text) in [
            ("scenarios/rot.toml", vec![], "rot:7:0000abcd"),
            ("elsewhere/rot.toml", vec![], "elsewhere/rot.toml:7:0000abcd"),
            (
                "scenarios/rot.toml",
                vec!["ack-before-sync".to_owned()],
                "rot:7:0000abcd:ack-before-sync",
            ),
        ] {
            let token = Token::new(path, 7, 0xabcd, &plant);
            assert_eq!(token.to_string(), text);
            assert_eq!(text.parse(), Ok(token));
        }
    }

    #[test]
    fn other_words_are_no_tokens() {
        for text in ["", "rot", "rot:7", "rot:x:0000abcd", ":7:0000abcd", "rot:7:abcd"] {
            assert_eq!(text.parse::<Token>(), Err(TokenError(text.to_owned())));
        }
    }
}
