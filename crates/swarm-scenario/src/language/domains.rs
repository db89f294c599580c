//! Which domains a feed selects: names and regular expressions, some of them left out again.
//!
//! Written from the settings page of a replication feed (Replication Feeds), so that judges do not depend on what nodes make of
//! it. An entry of letters, digits, dots, dashes and underscores alone is a name; any other is an expression that matches a
//! whole name, in either case; what is left out is left out whatever selects it (our choice).

use regex::RegexBuilder;

use super::pattern::Pattern;

/// The domains of a feed as a file writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domains {
    /// Those that are selected; `None` where all are.
    pub include: Option<Vec<Entry>>,
    /// Those that are not, after all.
    pub exclude: Vec<Entry>,
    /// Whether objects without a domain are selected.
    pub untenanted: bool,
}

impl Default for Domains {
    /// Everything.
    fn default() -> Self {
        Self { include: None, exclude: Vec::new(), untenanted: true }
    }
}

/// A name of a domain, or an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it is written.
    pub text: String,
    matches: Pattern,
}

impl Entry {
    /// Reads an entry.
    ///
    /// # Errors
    /// What is wrong with it, as a part of a sentence.
    pub fn new(text: &str) -> Result<Self, String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let expression =
            if text.chars().all(is_name) { regex::escape(text) } else { text.to_owned() };
        // What stands in it is told as the user wrote it.
        Pattern::new(&expression).map_err(|why| format!("is no expression: {why}"))?;
        let mut whole = RegexBuilder::new(&format!(r"\A(?:{expression})\z"));
        let whole = whole.case_insensitive(true).build().map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), matches: whole.into() })
    }
}

impl Domains {
    /// Whether an object of this domain is selected; of none, if there is none.
    #[must_use]
    pub fn select(&self, domain: Option<&str>) -> bool {
        let Some(domain) = domain else { return self.untenanted };
        let among = |entries: &[Entry]| entries.iter().any(|entry| entry.matches.matches(domain));
        self.include.as_deref().is_none_or(among) && !among(&self.exclude)
    }

    /// As text: `acme.example, .*\.acme\.example but tmp\..*`.
    #[must_use]
    pub fn shown(&self) -> String {
        let listed = |entries: &[Entry]| {
            entries.iter().map(|entry| entry.text.as_str()).collect::<Vec<_>>().join(", ")
        };
        let mut shown = match (&self.include, self.untenanted) {
            (None, _) => "everything".to_owned(),
            (Some(include), false) => listed(include),
            (Some(include), true) => format!("{}, what has no domain", listed(include)),
        };
        if !self.exclude.is_empty() {
            shown.push_str(&format!(" but {}", listed(&self.exclude)));
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(include: Option<&[&str]>, exclude: &[&str], untenanted: bool) -> Domains {
        let entries = |texts: &[&str]| -> Vec<Entry> {
            texts.iter().map(|text| Entry::new(text).expect("an entry")).collect()
        };
        Domains { include: include.map(entries), exclude: entries(exclude), untenanted }
    }

    #[test]
    fn a_feed_selects_what_is_included_and_not_left_out() {
        let acme = domains(Some(&["acme.example", r".*\.acme\.example"]), &["tmp.*"], false);
        let all = domains(None, &["tmp.acme.example"], true);
        for (domain, by_acme, by_all) in [
            (Some("acme.example"), true, true),
            (Some("ACME.example"), true, true),
            (Some("acmeXexample"), false, true),
            (Some("lab.acme.example"), true, true),
            (Some("lab.acme.example.org"), false, true),
            (Some("tmp.acme.example"), false, false),
            (Some("other.org"), false, true),
            (None, false, true),
        ] {
            assert_eq!(acme.select(domain), by_acme, "{domain:?}");
            assert_eq!(all.select(domain), by_all, "{domain:?}");
        }
        assert!(domains(Some(&["a.b"]), &[], true).select(None));
        assert!(Domains::default().select(None) && Domains::default().select(Some("a")));
    }

    #[test]
    fn what_is_no_expression_is_told() {
        assert_eq!(Entry::new("").map_err(|why| why.clone()), Err("is empty".to_owned()));
        let why = Entry::new("a(b").expect_err("not closed");
        assert_eq!(why, "is no expression: unclosed group");
        assert!(Entry::new("a)|(b").is_err(), "it must not break out of what it is put in");
    }
}
