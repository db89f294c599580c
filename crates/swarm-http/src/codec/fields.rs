//! Header fields on the wire: those received as ranges of one buffer, those to be sent as one block of text.

use bytes::Bytes;

/// Where one field lies in its buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldAt {
    name: (u32, u32),
    value: (u32, u32),
}

/// Where `part` lies in `whole`, of which it must be a part; offsets fit because heads are bounded.
pub(super) fn range_in(whole: &[u8], part: &[u8]) -> (u32, u32) {
    // An empty value may be a slice from elsewhere; any empty range is as good.
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    let start = if part.is_empty() || start > whole.len() { 0 } else { start };
    (start as u32, (start + part.len()) as u32)
}

impl FieldAt {
    pub(super) fn of(whole: &[u8], name: &str, value: &[u8]) -> Self {
        Self { name: range_in(whole, name.as_bytes()), value: range_in(whole, value) }
    }
}

/// Received fields in their order and spelling.
#[derive(Clone, Default)]
pub struct Fields {
    raw: Bytes,
    at: Vec<FieldAt>,
}

impl Fields {
    pub(super) fn new(raw: Bytes, at: Vec<FieldAt>) -> Self {
        Self { raw, at }
    }

    pub(super) fn slice(&self, range: (u32, u32)) -> &[u8] {
        &self.raw[range.0 as usize..range.1 as usize]
    }

    /// How many there are, repeats counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// Names as spelled and values without surrounding blanks, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.at.iter().map(|at| {
            let name =
                std::str::from_utf8(self.slice(at.name)).expect("field names are ASCII tokens");
            (name, self.slice(at.value))
        })
    }

    /// The values of this name, in any case, in the order received.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let wanted = name.as_bytes();
        self.at
            .iter()
            .filter(move |at| self.slice(at.name).eq_ignore_ascii_case(wanted))
            .map(|at| self.slice(at.value))
    }

    /// The first value of this name, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let wanted = name.as_bytes();
        let at = self.at.iter().find(|at| self.slice(at.name).eq_ignore_ascii_case(wanted))?;
        Some(self.slice(at.value))
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.iter().map(|(name, value)| {
            let secret = name.eq_ignore_ascii_case("authorization")
                || name.eq_ignore_ascii_case("castor-system-auth");
            let value = if secret { "(not shown)".into() } else { String::from_utf8_lossy(value) };
            (name, value)
        });
        f.debug_map().entries(shown).finish()
    }
}

/// Fields to be sent, as text, in the order and spelling pushed. The codec puts `Connection`, the framing field and
/// `Keep-Alive` in itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldBlock {
    text: Vec<u8>,
    framing_at: Option<usize>,
}

impl FieldBlock {
    /// An empty block.
    #[must_use]
    pub fn new() -> Self {
        Self { text: Vec::with_capacity(512), framing_at: None }
    }

    /// Adds a field. Line ends and NUL in a value become blanks: nothing stored may start a line of its own.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        debug_assert!(is_token(name), "field name {name:?} is a token");
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b": ");
        self.push_value(value.as_ref());
        self.text.extend_from_slice(b"\r\n");
    }

    /// Adds a field whose value is made by formatting.
    pub fn push_fmt(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        match value.as_str() {
            Some(text) => self.push(name, text),
            None => self.push(name, value.to_string()),
        }
    }

    /// Marks where `Connection: close` and the framing field belong; at the end if never called.
    pub fn framing_here(&mut self) {
        self.framing_at = Some(self.text.len());
    }

    /// Adds all fields of another block.
    pub fn append(&mut self, other: &Self) {
        self.text.extend_from_slice(&other.text);
    }

    /// The fields as they are written, each with its line end.
    #[must_use]
    pub fn as_text(&self) -> &[u8] {
        &self.text
    }

    /// The fields as name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.text.split(|byte| *byte == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            Some((name, line.get(colon + 2..).unwrap_or_default()))
        })
    }

    /// The first value of this name as text, in any case.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The text before and behind the place of the framing field.
    pub(super) fn halves(&self) -> (&[u8], &[u8]) {
        self.text.split_at(self.framing_at.unwrap_or(self.text.len()))
    }

    fn push_value(&mut self, value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(value);
        for byte in &mut self.text[start..] {
            if matches!(*byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
    }
}

/// True for a legal field name or method.
pub(crate) fn is_token(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_out_in_the_order_and_spelling_they_went_in() {
        let mut block = FieldBlock::new();
        block.push("Location", "a");
        block.push("vOLUME", "1");
        block.push("Location", "b");
        block.push_fmt("N", format_args!("{}", 7));
        let all: Vec<_> = block.iter().collect();
        let expected: [(&str, &[u8]); 4] =
            [("Location", b"a"), ("vOLUME", b"1"), ("Location", b"b"), ("N", b"7")];
        assert_eq!(all, expected);
        assert_eq!(block.text("volume"), Some("1"));
    }

    #[test]
    fn a_value_cannot_start_a_line() {
        let mut block = FieldBlock::new();
        block.push("X", "a\r\nSet: b\0");
        assert_eq!(block.halves().0, b"X: a  Set: b \r\n");
    }
}
