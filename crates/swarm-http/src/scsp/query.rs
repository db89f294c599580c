//! Query arguments and percent-encoding.

use crate::status::Fault;

/// The arguments of a request in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    args: Vec<Arg>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Arg {
    /// Lower case: names are case-insensitive (SCSP Query Arguments).
    name: String,
    /// `None` where there is no `=`.
    value: Option<String>,
}

impl Query {
    /// Reads what stands behind the question mark.
    pub(crate) fn parse(raw: &str) -> Result<Self, Fault> {
        let mut args = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (part, None),
            };
            let mut name = decode(name, Plus::IsBlank)?;
            name.make_ascii_lowercase();
            let value = value.map(|value| decode(value, Plus::IsBlank)).transpose()?;
            args.push(Arg { name, value });
        }
        Ok(Self { args })
    }

    /// True if the argument is there, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.args.iter().any(|arg| arg.name == name)
    }

    /// The values of an argument; one without `=` is `true` (SCSP Query Arguments).
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.args
            .iter()
            .filter(move |arg| arg.name == name)
            .map(|arg| arg.value.as_deref().unwrap_or("true"))
    }

    /// The value of an argument that may be given once only, or several times with the same value.
    pub(crate) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Fault> {
        let mut values = self.all(name);
        let Some(first) = values.next() else { return Ok(None) };
        match values.find(|value| !value.eq_ignore_ascii_case(first)) {
            Some(_) => Err(Fault::InvalidArgument(format!(
                "Argument '{name}' is given twice with different values."
            ))),
            None => Ok(Some(first)),
        }
    }

    /// A boolean: absent is false; `yes`, `true`, an empty value and no value are true.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.one(name)?.map(str::to_ascii_lowercase).as_deref() {
            None | Some("no" | "false") => Ok(false),
            Some("" | "yes" | "true") => Ok(true),
            Some(_) => Err(Fault::InvalidArgument(format!(
                "Argument '{name}' takes 'yes', 'true', 'no' or 'false'."
            ))),
        }
    }

    /// True unless the argument is absent or says no: for arguments whose value is not ours to judge.
    pub(crate) fn wanted(&self, name: &str) -> bool {
        self.all(name)
            .any(|value| !value.eq_ignore_ascii_case("no") && !value.eq_ignore_ascii_case("false"))
    }
}

/// What a `+` means: a blank in the query, itself in the path (SDK client.py).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    IsBlank,
    IsPlus,
}

/// Decodes `%XX`; what comes out must be UTF-8.
pub(crate) fn decode(text: &str, plus: Plus) -> Result<String, Fault> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, plus) {
            (b'%', _) => {
                let digit = |at: usize| rest.get(at).and_then(|d| char::from(*d).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    return Err(Fault::BadTarget("Malformed percent-encoding."));
                };
                decoded.push((high * 16 + low) as u8);
                rest = &rest[2..];
            }
            (b'+', Plus::IsBlank) => decoded.push(b' '),
            _ => decoded.push(*first),
        }
    }
    String::from_utf8(decoded).map_err(|_| Fault::BadTarget("Path or query is not UTF-8."))
}

/// Encodes everything but what the SDK leaves alone: letters, digits and `-_.!~*'()/`.
pub(crate) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            push_escape(byte, out);
        }
    }
}

/// A name as a header value: readable, and no byte in it that a header may not have. `%` is encoded too, so that the
/// encoding can be undone (our choice; no document shows such a name).
pub(crate) fn header_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            push_escape(byte, &mut out);
        }
    }
    out
}

fn push_escape(byte: u8, out: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(raw: &str) -> Query {
        Query::parse(raw).expect("well formed")
    }

    /// SCSP Query Arguments: names without regard to case, a name alone means true, yes/true and no/false.
    #[test]
    fn booleans_and_names() {
        for raw in ["alias", "ALIAS", "Alias=yes", "alias=TRUE", "alias=", "a=1&alias&b"] {
            assert_eq!(query(raw).flag("alias"), Ok(true), "{raw}");
        }
        for raw in ["", "aliases", "alias=no", "alias=False"] {
            assert_eq!(query(raw).flag("alias"), Ok(false), "{raw}");
        }
        assert!(query("alias=7").flag("alias").is_err());
        assert!(query("alias=yes&alias=no").flag("alias").is_err());
    }

    /// SCSP SEND: repeated names accumulate. SDK client.py: `+` decodes to a blank in values.
    #[test]
    fn repeats_accumulate_and_plus_is_a_blank() {
        let query = query("feedid=1&FEEDID=3&x=a+b%2Bc");
        assert_eq!(query.all("feedid").collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(query.one("x"), Ok(Some("a b+c")));
    }

    #[test]
    fn bad_encodings_are_refused() {
        for raw in ["%", "%4", "%zz", "%+1", "%ff", "%c3%28"] {
            assert!(decode(raw, Plus::IsPlus).is_err(), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in ".*") {
            let mut encoded = String::new();
            encode(&text, &mut encoded);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decode(&encoded, Plus::IsPlus), Ok(text.clone()));
            let header = header_text(&text);
            prop_assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(decode(&header, Plus::IsPlus), Ok(text));
        }
    }
}
