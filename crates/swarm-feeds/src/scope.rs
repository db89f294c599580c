//! The scope of a feed: which objects it selects, by the domain that they belong to.
//!
//! Replication Feeds: everything, or the domains named by a list of names and Python regular expressions, or all but those;
//! objects without a domain by an option of their own. Our choices: an exclusion wins over an inclusion; an expression must
//! match the whole name, in either case; a text that can only be a name is one, so that its dots are dots. Whatever would
//! match otherwise than in Python is refused when the feed is defined.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::definition::DefinitionError;

/// A scope as written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RawScope {
    /// `global` or `domains`; absent means `domains` if any are listed, else `global`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Names of domains and expressions, of a scope by domain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Domains that are not selected after all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether objects without a domain are selected: in a global scope they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untenanted: Option<bool>,
}

/// What a feed is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The cluster's own settings: never carried.
    Settings,
    /// An object without a domain.
    Untenanted,
    /// A domain, by its present name, and everything in it.
    Domain(&'a str),
}

/// A scope that was found good.
#[derive(Debug, Clone)]
pub struct Scope {
    raw: RawScope,
    /// Absent: all domains.
    include: Option<Matcher>,
    exclude: Matcher,
    untenanted: bool,
}

impl PartialEq for Scope {
    /// Scopes are equal that list the same and select alike, whether what is implied is written or not.
    fn eq(&self, other: &Self) -> bool {
        let told = |scope: &Self| (scope.include.is_some(), scope.untenanted);
        told(self) == told(other)
            && self.raw.domains == other.raw.domains
            && self.raw.exclude == other.raw.exclude
    }
}

impl Eq for Scope {}

impl Scope {
    /// Reads a scope.
    ///
    /// # Errors
    /// An unknown kind, an expression that is none or would not mean here what it means in Python, or parts that
    /// contradict each other.
    pub fn parse(raw: &RawScope) -> Result<Self, DefinitionError> {
        let global = match raw.kind.as_deref() {
            Some("global") => true,
            Some("domains") => false,
            None => raw.domains.is_empty(),
            Some(_) => return Err(bad("scope.kind", "is neither global nor domains")),
        };
        if global && !raw.domains.is_empty() {
            return Err(bad("scope.domains", "is not for a global scope"));
        }
        if global && raw.untenanted == Some(false) {
            return Err(bad("scope.untenanted", "is implied by a global scope"));
        }
        if !global && raw.domains.is_empty() {
            return Err(bad("scope.domains", "is empty: the feed would carry nothing"));
        }
        Ok(Self {
            include: if global { None } else { Some(Matcher::of("scope.domains", &raw.domains)?) },
            exclude: Matcher::of("scope.exclude", &raw.exclude)?,
            untenanted: global || raw.untenanted.unwrap_or(false),
            raw: raw.clone(),
        })
    }

    /// The scope as it was written.
    #[must_use]
    pub const fn raw(&self) -> &RawScope {
        &self.raw
    }

    /// Whether it selects all objects, so that nobody need find out where one belongs.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let nothing_left_out = self.exclude.names.is_empty() && self.exclude.expressions.is_empty();
        self.include.is_none() && self.untenanted && nothing_left_out
    }

    /// Whether the feed selects it.
    #[must_use]
    pub fn qualifies(&self, subject: Subject<'_>) -> bool {
        match subject {
            Subject::Settings => false,
            Subject::Untenanted => self.untenanted,
            Subject::Domain(name) => {
                let name = name.to_lowercase();
                !self.exclude.matches(&name)
                    && self.include.as_ref().is_none_or(|include| include.matches(&name))
            }
        }
    }
}

/// Most expressions in one list; names are not counted. Each may take [`EXPRESSION_BYTES_MAX`] in memory, and as much again
/// while it is at work.
pub const EXPRESSIONS_MAX: usize = 16;
/// Most memory that one expression may take when it is compiled.
pub const EXPRESSION_BYTES_MAX: usize = 64 * 1024;

/// One list of names and expressions.
#[derive(Debug, Clone)]
struct Matcher {
    names: BTreeSet<String>,
    expressions: Vec<Regex>,
}

impl Matcher {
    fn of(field: &'static str, entries: &[String]) -> Result<Self, DefinitionError> {
        let mut matcher = Self { names: BTreeSet::new(), expressions: Vec::new() };
        for entry in entries {
            let refused =
                |why: String| DefinitionError::Bad { field, why: format!("{entry:?} {why}") };
            if entry.is_empty() {
                return Err(refused("is empty".to_owned()));
            }
            let only_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if entry.bytes().all(only_a_name) {
                matcher.names.insert(entry.to_ascii_lowercase());
                continue;
            }
            means_the_same_in_python(entry).map_err(|what| refused(format!("has {what}")))?;
            let expression = RegexBuilder::new(&format!(r"\A(?:{entry})\z"))
                .case_insensitive(true)
                .size_limit(EXPRESSION_BYTES_MAX)
                .dfa_size_limit(EXPRESSION_BYTES_MAX)
                .build()
                .map_err(|error| refused(no_expression(&error)))?;
            matcher.expressions.push(expression);
        }
        if matcher.expressions.len() > EXPRESSIONS_MAX {
            return Err(bad(field, "has more than 16 expressions"));
        }
        Ok(matcher)
    }

    /// Whether this name, in lower case, is in the list.
    fn matches(&self, name: &str) -> bool {
        self.names.contains(name) || self.expressions.iter().any(|one| one.is_match(name))
    }
}

fn bad(field: &'static str, why: &str) -> DefinitionError {
    DefinitionError::Bad { field, why: why.to_owned() }
}

/// In one line: the library draws the expression and points at the place.
fn no_expression(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "takes too much memory".to_owned(),
        error => {
            let shown = error.to_string();
            let last = shown.lines().last().unwrap_or_default();
            format!("is no expression: {}", last.trim_start_matches("error: "))
        }
    }
}

/// Refuses, and names, whatever the library does not know or reads in another way than Python.
fn means_the_same_in_python(expression: &str) -> Result<(), String> {
    let mut rest = expression;
    // What the last piece was: a quantifier must not follow a quantifier, but for the `?` that makes it lazy.
    let mut quantified = false;
    while let Some(first) = rest.chars().next() {
        let (length, is_quantifier) = match first {
            ',' => return Err("a comma, which separates expressions".to_owned()),
            '\\' => (escape(rest)?, false),
            '(' => (group(rest)?, false),
            '[' => (class(rest)?, false),
            '*' | '+' | '?' | '{' if quantified => {
                return Err(format!("a quantifier after a quantifier, {first:?}"));
            }
            '*' | '+' | '?' => (1, true),
            '{' => (repetition(rest)?, true),
            other => (other.len_utf8(), false),
        };
        rest = &rest[length..];
        quantified = is_quantifier;
        if is_quantifier && rest.starts_with('?') {
            rest = &rest[1..];
        }
    }
    Ok(())
}

/// The length of this count of repetitions.
fn repetition(text: &str) -> Result<usize, String> {
    let length = text.find('}').map_or(text.len(), |end| end + 1);
    if text[..length].contains(',') {
        return Err("a comma, which separates expressions, so that {m,n} cannot be said".to_owned());
    }
    Ok(length)
}

/// The length of the escape sequence that this begins with.
fn escape(text: &str) -> Result<usize, String> {
    match text.chars().nth(1) {
        None => Err("a backslash at its end".to_owned()),
        Some(digit) if digit.is_ascii_digit() => Err(format!("a back-reference, \\{digit}")),
        Some('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B') => Ok(2),
        Some(mark) if mark.is_ascii_punctuation() && !"<>".contains(mark) => Ok(2),
        Some(other) => Err(format!("an escape that is not known here, \\{other}")),
    }
}

/// The length of what opens this group.
fn group(text: &str) -> Result<usize, String> {
    let Some(kind) = text.strip_prefix("(?") else { return Ok(1) };
    if kind.starts_with(':') {
        return Ok(3);
    }
    if kind.starts_with("P<") {
        return Ok(text.find('>').map_or(4, |end| end + 1));
    }
    let look_around = ["=", "!", "<=", "<!"].iter().any(|sign| kind.starts_with(sign));
    Err(if look_around {
        "a look-around".to_owned()
    } else if kind.starts_with("P=") {
        "a back-reference, (?P=…)".to_owned()
    } else {
        "a group that is not known here, (?…".to_owned()
    })
}

/// The length of this character class.
fn class(text: &str) -> Result<usize, String> {
    let inside = text.strip_prefix("[^").unwrap_or(&text[1..]);
    let mut at = text.len() - inside.len();
    // A closing bracket that comes first is one of the characters.
    if inside.starts_with(']') {
        at += 1;
    }
    while let Some(next) = text[at..].chars().next() {
        at += match next {
            ']' => return Ok(at + 1),
            ',' => return Err("a comma, which separates expressions".to_owned()),
            '[' => return Err("a class within a class".to_owned()),
            '\\' => escape(&text[at..])?,
            _ if ["&&", "--", "~~"].iter().any(|set| text[at..].starts_with(set)) => {
                return Err("an operation on classes".to_owned());
            }
            other => other.len_utf8(),
        };
    }
    Err("a class without an end".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn by_domain(domains: &[&str], exclude: &[&str]) -> Result<Scope, DefinitionError> {
        let raw = RawScope {
            kind: Some("domains".to_owned()),
            domains: texts(domains),
            exclude: texts(exclude),
            untenanted: None,
        };
        Scope::parse(&raw)
    }

    #[test]
    fn a_scope_selects_by_the_whole_name_of_the_domain() {
        let cases: [[&[&str]; 4]; 11] = [
            // Included, excluded; names that qualify, names that do not.
            [
                &["acme.example"],
                &[],
                &["acme.example", "ACME.Example"],
                &["acmeXexample", "a.acme.example", "acme.example.org"],
            ],
            [
                &[r".*\.example\.com"],
                &[],
                &["accounting.example.com", "engineering.example.com"],
                &["example.com", "a.example.com.org", "a.exampleXcom"],
            ],
            [&[r".*\.Example\.com"], &[], &["a.example.com"], &[]],
            [
                &["a.example.com", r"b\d+\.com"],
                &[],
                &["a.example.com", "b12.com"],
                &["b.com", "ab12.com", "b12.comx"],
            ],
            [&["one|two"], &[], &["one", "two"], &["onetwo", "xone", "twox"]],
            [&[r"[a-c]{2}\.org"], &[], &["ab.org"], &["a.org", "abc.org", "ad.org"]],
            [&[r".*\.com"], &[r"tmp.*"], &["a.com"], &["tmp.com", "tmp-2.com", "a.org"]],
            [&["a.com", "b.com"], &["b.com"], &["a.com"], &["b.com"]],
            [&[r"(?:a|b)+?\.com"], &[], &["abba.com"], &["c.com"]],
            [&[r"(?P<who>x.*)"], &[], &["xyz"], &["wxyz"]],
            [&[r"[]a]+"], &[], &["a]a"], &["b"]],
        ];
        for [include, exclude, inside, outside] in cases {
            let scope = by_domain(include, exclude).expect("a good scope");
            for name in inside {
                assert!(scope.qualifies(Subject::Domain(name)), "{include:?} selects {name}");
            }
            for name in outside {
                assert!(!scope.qualifies(Subject::Domain(name)), "{include:?} leaves {name}");
            }
            assert!(!scope.qualifies(Subject::Untenanted) && !scope.qualifies(Subject::Settings));
        }
    }

    #[test]
    fn a_global_scope_selects_all_but_what_is_excluded() {
        let everything = Scope::parse(&RawScope::default()).expect("a good scope");
        assert!(everything.qualifies(Subject::Untenanted));
        assert!(everything.qualifies(Subject::Domain("any.example")));
        assert!(!everything.qualifies(Subject::Settings));
        let raw = RawScope { exclude: texts(&["tmp.*"]), ..RawScope::default() };
        let but = Scope::parse(&raw).expect("a good scope");
        assert!(but.qualifies(Subject::Untenanted) && but.qualifies(Subject::Domain("a.com")));
        assert!(!but.qualifies(Subject::Domain("tmp.com")));
    }

    #[test]
    fn what_is_implied_makes_no_difference_when_it_is_written() {
        let scope = |json: &str| {
            Scope::parse(&serde_json::from_str(json).expect("JSON")).expect("a good scope")
        };
        let everything = scope("{}");
        assert_eq!(everything, scope(r#"{"kind":"global","exclude":[],"untenanted":true}"#));
        assert_ne!(everything, scope(r#"{"exclude":["tmp.acme.example"]}"#));
        let some = scope(r#"{"domains":["acme.example"]}"#);
        let spelt_out = r#"{"kind":"domains","domains":["acme.example"],"untenanted":false}"#;
        assert_eq!(some, scope(spelt_out));
        assert_ne!(some, scope(r#"{"domains":["acme.example"],"untenanted":true}"#));
        assert_ne!(some, scope(r#"{"domains":["acme.test"]}"#));
    }

    #[test]
    fn objects_without_a_domain_need_the_option_where_domains_are_listed() {
        let raw =
            RawScope { domains: texts(&["a.com"]), untenanted: Some(true), ..RawScope::default() };
        let scope = Scope::parse(&raw).expect("a good scope");
        assert!(scope.qualifies(Subject::Untenanted));
        assert_eq!(scope.raw(), &raw);
    }

    #[test]
    fn what_would_not_mean_the_same_in_python_is_refused_by_name() {
        let cases = [
            ("a{1,2}x*", "{m,n} cannot be said"),
            ("a,b*", "a comma"),
            ("[a,b]", "a comma"),
            ("(?=a)b", "a look-around"),
            ("(?!tmp).*", "a look-around"),
            ("(?<=a)b", "a look-around"),
            ("(?<!a)b", "a look-around"),
            (r"(a)\1", "a back-reference"),
            ("(?P<x>a)(?P=x)", "a back-reference"),
            ("(?i)a*", "a group that is not known here"),
            ("(?#why)a*", "a group that is not known here"),
            ("a++", "a quantifier after a quantifier"),
            ("a**", "a quantifier after a quantifier"),
            ("a{2}+", "a quantifier after a quantifier"),
            ("a{2}{3}", "a quantifier after a quantifier"),
            ("a+{2}", "a quantifier after a quantifier"),
            ("x{2}?{3}", "a quantifier after a quantifier"),
            ("[[:alpha:]]", "a class within a class"),
            ("[][a]]", "a class within a class"),
            ("[a-z&&b]", "an operation on classes"),
            ("[a*", "a class without an end"),
            (r"\<a*", "an escape that is not known here"),
            (r"a*\Z", "an escape that is not known here"),
            ("a*\\", "a backslash at its end"),
            ("(a*", "is no expression: unclosed group"),
            ("a*)", "is no expression"),
            ("*", "is no expression"),
            (r"(?:\w{99}){99}", "takes too much memory"),
            ("", "is empty"),
        ];
        for (expression, why) in cases {
            let found = by_domain(&[expression], &[]).expect_err(expression).to_string();
            assert!(found.contains(why), "{expression:?}: {found}");
            let found = by_domain(&["a.com"], &[expression]).expect_err(expression).to_string();
            assert!(found.starts_with("scope.exclude") && found.contains(why), "{found}");
        }
    }

    #[test]
    fn parts_that_contradict_each_other_are_refused() {
        let global = || Some("global".to_owned());
        let scopes = [
            RawScope { kind: Some("bucket".to_owned()), ..RawScope::default() },
            RawScope { kind: global(), domains: texts(&["a.com"]), ..RawScope::default() },
            RawScope { kind: global(), untenanted: Some(false), ..RawScope::default() },
            RawScope { kind: Some("domains".to_owned()), ..RawScope::default() },
        ];
        for raw in scopes {
            assert!(Scope::parse(&raw).is_err(), "{raw:?}");
        }
        let many: Vec<String> = (0..17).map(|nth| format!("a{nth}.*")).collect();
        let raw = RawScope { domains: many, ..RawScope::default() };
        assert!(Scope::parse(&raw).is_err());
        let names: Vec<String> = (0..200).map(|nth| format!("a{nth}.example")).collect();
        let raw = RawScope { domains: names, ..RawScope::default() };
        assert!(Scope::parse(&raw).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in r"[\[\](){}\\?*+.,^$|&~<>:=!#P1adZ-]{0,12}|.{0,12}", name in ".{0,12}") {
            if let Ok(scope) = by_domain(&[&text], &[]) {
                let twice = [scope.qualifies(Subject::Domain(&name)), scope.qualifies(Subject::Domain(&name))];
                prop_assert_eq!(twice[0], twice[1]);
            }
        }

        #[test]
        fn a_name_selects_itself_and_an_exclusion_always_wins(name in "[a-z0-9]{1,8}(\\.[a-z0-9-]{1,8}){0,3}", other in "[a-z.]{1,12}") {
            let scope = by_domain(&[&name], &[]).expect("a good scope");
            prop_assert!(scope.qualifies(Subject::Domain(&name)));
            prop_assert_eq!(scope.qualifies(Subject::Domain(&other)), other == name);
            let scope = by_domain(&[".*"], &[&name]).expect("a good scope");
            prop_assert!(!scope.qualifies(Subject::Domain(&name)));
            prop_assert_eq!(scope.qualifies(Subject::Domain(&other)), other != name);
        }
    }
}
