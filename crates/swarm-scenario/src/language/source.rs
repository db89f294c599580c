//! The text of a scenario file, and what is wrong with it.
//!
//! Owns the way from a byte range to line and column, and the shape of a message: place, sentence, nearest word. It must
//! not know the language.

use std::fmt;
use std::ops::Range;

/// The text of one file.
#[derive(Debug, Clone)]
pub(crate) struct Source<'a> {
    /// The path as the user gave it.
    pub(crate) path: &'a str,
    /// What it says.
    pub(crate) text: &'a str,
}

/// One thing that is wrong with a scenario file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The path of the file as the user gave it.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, as a sentence without its full stop.
    pub message: String,
    /// The valid word nearest to the one that is not.
    pub nearest: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, message, nearest } = self;
        write!(f, "{path}:{line}:{column}: {message}")?;
        nearest.as_ref().map_or(Ok(()), |word| write!(f, "; did you mean `{word}`?"))
    }
}

impl Source<'_> {
    /// The problem with this message at the beginning of `span`.
    pub(crate) fn problem(&self, span: &Range<usize>, message: impl Into<String>) -> Problem {
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Problem {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
            nearest: None,
        }
    }
}

/// The word of `known` nearest to `word`, if any is near enough to have been meant: half of the letters may differ.
#[must_use]
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| {
            *distance * 2 <= word.chars().count().max(candidate.chars().count())
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let source = Source { path: "a.toml", text: "title = \"é\"\nwhy = 1\n" };
        let problem = source.problem(&(13..16), "wrong");
        assert_eq!(problem.to_string(), "a.toml:2:1: wrong");
        let problem = source.problem(&(11..12), "wrong");
        assert_eq!((problem.line, problem.column), (1, 11));
    }

    #[test]
    fn the_nearest_word_is_offered_only_if_it_is_near() {
        assert_eq!(nearest("poweroff", ["kill", "power-off", "pause"]), Some("power-off"));
        assert_eq!(nearest("KIL", ["kill", "wipe"]), Some("kill"));
        assert_eq!(nearest("xylophone", ["kill", "wipe"]), None);
    }
}
