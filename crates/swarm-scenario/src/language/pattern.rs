//! Patterns that a text of a cluster must match: regular expressions, compared by what they say.

use std::fmt;

/// A regular expression, written between slashes: `/lifepoint .* cannot be parsed/`. It may match anywhere in a text.
#[derive(Clone)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// Reads the text between the slashes.
    ///
    /// # Errors
    /// What is wrong with it, as a part of a sentence.
    pub fn new(text: &str) -> Result<Self, String> {
        regex::Regex::new(text).map(Self).map_err(|error| match error {
            regex::Error::Syntax(shown) => {
                // The last line of the shown form says what is wrong; those before draw an arrow.
                let last = shown.lines().last().unwrap_or("no regular expression");
                last.trim_start_matches("error: ").to_owned()
            }
            other => other.to_string(),
        })
    }

    /// True if some part of the text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl From<regex::Regex> for Pattern {
    fn from(regex: regex::Regex) -> Self {
        Self(regex)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_a_part_and_one_that_is_none_is_told_why() {
        let pattern = Pattern::new("lifepoint .* cannot be parsed").expect("a pattern");
        assert!(pattern.matches("stream 12: lifepoint \"[x] reps\" cannot be parsed"));
        assert!(!pattern.matches("lifepoint ended"));
        assert_eq!(pattern.to_string(), "/lifepoint .* cannot be parsed/");
        let why = Pattern::new("a(b").expect_err("not closed");
        assert_eq!(why, "unclosed group");
    }
}
