//! Reads TOML tables key by key, and turns every surprise into a [`Problem`] with its place.
//!
//! A table is opened with the words it may contain; what it contains besides is reported with the nearest word, and a
//! word of the language that is not built yet is reported as such. It must not know what the words mean.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::{Problem, Source, nearest};
use super::units::{self, Rate, Span};
use super::words::Word;

/// Where no known word is near, all of them are told if there are no more than these.
const CHOICES_TOLD_MAX: usize = 12;

/// A value and where the file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    /// The value.
    pub(crate) value: T,
    /// Byte range in the file.
    pub(crate) span: Range<usize>,
}

/// Collects the problems of one file.
pub(crate) struct Reader<'s> {
    source: Source<'s>,
    problems: RefCell<Vec<Problem>>,
    not_live: RefCell<Vec<Problem>>,
    only_live: RefCell<Vec<Problem>>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: Source<'s>) -> Self {
        Self {
            source,
            problems: RefCell::default(),
            not_live: RefCell::default(),
            only_live: RefCell::default(),
        }
    }

    /// Everything found so far, in the order of the file.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        problems
    }

    /// What keeps the file from being run on a live cluster, in the order of the file.
    pub(crate) fn take_not_live(&self) -> Vec<Problem> {
        let mut problems = self.not_live.take();
        problems.sort();
        problems
    }

    /// What keeps the file from being run in a simulated world, in the order of the file.
    pub(crate) fn take_only_live(&self) -> Vec<Problem> {
        let mut problems = self.only_live.take();
        problems.sort();
        problems
    }

    /// Notes that what stands at `span` can be had in a live world only.
    pub(crate) fn only_live(&self, span: &Range<usize>, what: &str) {
        let message = format!("{what} can be had with --live only");
        self.only_live.borrow_mut().push(self.source.problem(span, message));
    }

    /// Notes that what stands at `span` cannot be had in a live world.
    pub(crate) fn not_live(&self, span: &Range<usize>, what: &str) {
        let message = format!("{what} cannot be had in a live world");
        self.not_live.borrow_mut().push(self.source.problem(span, message));
    }

    /// Reports a problem at `span`.
    pub(crate) fn problem(&self, span: &Range<usize>, message: impl Into<String>) {
        self.problems.borrow_mut().push(self.source.problem(span, message));
    }

    /// Reports that `given` is none of `known`, with the nearest of them.
    pub(crate) fn unknown<'k>(
        &self,
        span: &Range<usize>,
        what: &str,
        given: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let near = nearest(given, known.iter().copied()).map(str::to_owned);
        let told = match near {
            None if (1..=CHOICES_TOLD_MAX).contains(&known.len()) => {
                format!("unknown {what} `{given}`; known: {}", known.join(", "))
            }
            _ => format!("unknown {what} `{given}`"),
        };
        let mut problem = self.source.problem(span, told);
        problem.nearest = near;
        self.problems.borrow_mut().push(problem);
    }

    /// Reports a word of the language that is not built.
    pub(crate) fn not_yet(&self, span: &Range<usize>, what: &str, given: &str) {
        self.problem(span, format!("{what} `{given}`: not yet"));
    }

    /// True if `given` is a word that works; reports it otherwise.
    pub(crate) fn check_word(
        &self,
        span: &Range<usize>,
        what: &str,
        given: &str,
        known: &[Word],
    ) -> bool {
        match known.iter().find(|known| known.word == given) {
            Some(known) if known.built => return true,
            Some(_) => self.not_yet(span, what, given),
            None => self.unknown(span, what, given, known.iter().map(|known| known.word)),
        }
        false
    }

    /// Opens a table that may contain `known`; reports every other key, and a value that is no table.
    pub(crate) fn table<'v>(
        &'v self,
        what: &'v str,
        value: &'v Spanned<DeValue<'_>>,
        known: &[Word],
    ) -> Option<Table<'v>> {
        let Some(table) = value.get_ref().as_table() else {
            self.problem(
                &value.span(),
                format!("{what} must be a table, not {}", value.get_ref().type_str()),
            );
            return None;
        };
        Some(self.open(what, value.span(), table, known))
    }

    /// As [`Reader::table`], for a table at hand.
    pub(crate) fn open<'v>(
        &'v self,
        what: &'v str,
        span: Range<usize>,
        table: &'v DeTable<'_>,
        known: &[Word],
    ) -> Table<'v> {
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if self.check_word(&key.span(), &format!("key in {what}:"), name, known) {
                entries.insert(name, (key.span(), value));
            }
        }
        Table { reader: self, what, span, entries }
    }

    /// The keys of a table whose keys are names chosen by the user, in the order of the file.
    pub(crate) fn names<'v>(
        &self,
        what: &str,
        value: &'v Spanned<DeValue<'_>>,
    ) -> Vec<(At<String>, &'v Spanned<DeValue<'v>>)> {
        let Some(table) = value.get_ref().as_table() else {
            self.problem(
                &value.span(),
                format!("{what} must be a table, not {}", value.get_ref().type_str()),
            );
            return Vec::new();
        };
        let mut names: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                (At { value: key.get_ref().to_string(), span: key.span() }, shorten(value))
            })
            .collect();
        names.sort_by_key(|(name, _)| name.span.start);
        names
    }

    pub(crate) fn text(&self, what: &str, value: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.problem(
                &value.span(),
                format!("{what} must be a text in quotes, not {}", value.get_ref().type_str()),
            );
        }
        text.map(|text| At { value: text.to_owned(), span: value.span() })
    }

    pub(crate) fn number(&self, what: &str, value: &Spanned<DeValue<'_>>) -> Option<u64> {
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        if number.is_none() {
            self.problem(&value.span(), format!("{what} must be a whole number"));
        }
        number
    }

    /// A text that `parse` understands, such as `example`.
    pub(crate) fn unit<T>(
        &self,
        what: &str,
        value: &Spanned<DeValue<'_>>,
        example: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(what, value)?;
        let parsed = parse(&text.value);
        if parsed.is_none() {
            self.problem(
                &text.span,
                format!("{what}: cannot read {:?}; write it like {example}", text.value),
            );
        }
        parsed
    }

    /// The elements of a list; a single value counts as a list of one.
    pub(crate) fn list<'v>(
        &self,
        value: &'v Spanned<DeValue<'_>>,
    ) -> Vec<&'v Spanned<DeValue<'v>>> {
        match value.get_ref().as_array() {
            Some(array) => array.iter().map(shorten).collect(),
            None => vec![shorten(value)],
        }
    }
}

/// A table that was opened, with the keys it may have.
pub(crate) struct Table<'v> {
    reader: &'v Reader<'v>,
    what: &'v str,
    span: Range<usize>,
    entries: BTreeMap<&'v str, (Range<usize>, &'v Spanned<DeValue<'v>>)>,
}

impl<'v> Table<'v> {
    /// Where it begins.
    pub(crate) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// Whoever reads the file that it is in.
    pub(crate) const fn reader(&self) -> &'v Reader<'v> {
        self.reader
    }

    /// Where the key stands, or else the table.
    pub(crate) fn key_span(&self, key: &str) -> &Range<usize> {
        self.entries.get(key).map_or(&self.span, |(span, _)| span)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'v Spanned<DeValue<'v>>> {
        self.entries.get(key).map(|(_, value)| *value)
    }

    /// Reports a missing key.
    pub(crate) fn require(&self, key: &str) -> bool {
        let there = self.has(key);
        if !there {
            self.reader.problem(&self.span, format!("{} lacks `{key}`", self.what));
        }
        there
    }

    fn named(&self, key: &str) -> String {
        format!("`{key}` of {}", self.what)
    }

    pub(crate) fn text(&self, key: &str) -> Option<At<String>> {
        self.reader.text(&self.named(key), self.get(key)?)
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.reader.number(&self.named(key), self.get(key)?)
    }

    /// A whole number of at least 1 that fits `u32`.
    pub(crate) fn count(&self, key: &str) -> Option<u32> {
        self.count_up_to(key, u32::MAX)
    }

    /// A whole number, at least 1 and at most this.
    pub(crate) fn count_up_to(&self, key: &str, most: u32) -> Option<u32> {
        let number = self.number(key)?;
        let count = u32::try_from(number).ok().filter(|count| (1..=most).contains(count));
        if count.is_none() {
            let bound = if number == 0 { "least 1".to_owned() } else { format!("most {most}") };
            self.reader
                .problem(self.key_span(key), format!("{} must be at {bound}", self.named(key)));
        }
        count
    }

    /// A whole number of either sign, at most so far from 0.
    pub(crate) fn whole(&self, key: &str, most: u32) -> Option<i32> {
        let value = self.get(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|n| i32::from_str_radix(n.as_str(), n.radix()).ok())
            .filter(|number| number.unsigned_abs() <= most);
        if number.is_none() {
            let named = self.named(key);
            self.reader.problem(
                &value.span(),
                format!("{named} must be a whole number from -{most} to {most}"),
            );
        }
        number
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.reader
                .problem(&value.span(), format!("{} must be true or false", self.named(key)));
        }
        flag
    }

    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        self.unit(key, "\"90s\" or \"1h30m\"", units::duration)
    }

    pub(crate) fn span_of_time(&self, key: &str) -> Option<Span> {
        self.unit(key, "\"90s\" or \"2m..5m\"", units::span)
    }

    pub(crate) fn rate(&self, key: &str) -> Option<Rate> {
        self.unit(key, "\"20/s\"", units::rate)
    }

    pub(crate) fn unit<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.reader.unit(&self.named(key), self.get(key)?, example, parse)
    }

    /// A word out of a set.
    pub(crate) fn word(&self, key: &str, what: &str, known: &[Word]) -> Option<At<String>> {
        let text = self.text(key)?;
        self.reader.check_word(&text.span, what, &text.value, known).then_some(text)
    }

    /// The texts of a list, or the one text.
    pub(crate) fn texts(&self, key: &str) -> Option<Vec<At<String>>> {
        let values = self.reader.list(self.get(key)?);
        Some(
            values
                .into_iter()
                .filter_map(|value| self.reader.text(&self.named(key), value))
                .collect(),
        )
    }
}

/// `DeValue` is covariant in its lifetime; this says so once.
fn shorten<'v>(value: &'v Spanned<DeValue<'_>>) -> &'v Spanned<DeValue<'v>> {
    value
}
