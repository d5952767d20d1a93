//! A JSON text as a tree whose values are taken from the text.
//!
//! Postgres allows more JSON than most parsers do: numbers of any size, any depth, and in json half of a surrogate
//! pair. Numbers stay the text that they are, nothing here recurses, and a text that cannot be decoded is an error only
//! of whoever reads it.

use std::{borrow::Cow, fmt, sync::Arc};

use thiserror::Error;

/// So many values take so little that room for them is made at once.
const FEW: usize = 8;

/// A JSON text that was read.
pub struct Document {
    text: String,
    nodes: Vec<Node>,
    depth: u32,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// null.
    Null,
    /// true or false.
    Bool(bool),
    /// A number of any size.
    Number,
    /// A text without escapes.
    Plain,
    /// A text with escapes.
    Escaped,
    /// A list.
    List,
    /// An object.
    Object,
}

/// A value in the order of the text. The values of a list follow it, and so do the keys and values of an object.
#[derive(Clone, Copy)]
struct Node {
    kind: Kind,
    /// Where it begins in the text; of texts, behind the quote.
    start: u32,
    /// Where it ends; of texts, before the quote.
    end: u32,
    /// The node after it and all that is in it.
    after: u32,
    /// How many values are in it.
    count: u32,
}

/// A value of a document.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    document: &'a Document,
    at: u32,
}

/// A value of a document that is shared.
#[derive(Clone)]
pub struct SharedItem {
    document: Arc<Document>,
    at: u32,
}

/// Why a text is not JSON, or a value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The text is not JSON.
    #[error("it is not JSON at byte {0}")]
    Malformed(usize),
    /// The text is too long for the positions in it.
    #[error("it has more than 4 GiB")]
    TooLong,
    /// A text has an escape that stands for no character.
    #[error("a text in it has half of a surrogate pair, which is no character")]
    NoCharacter,
}

impl Document {
    /// Reads a JSON text.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn parse(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        u32::try_from(text.len()).map_err(|_| Error::TooLong)?;
        let mut parser = Parser {
            text: text.as_bytes(),
            at: 0,
            nodes: Vec::with_capacity(FEW),
        };
        let depth = parser.document()?;
        let mut nodes = parser.nodes;
        if nodes.len() > FEW {
            nodes.shrink_to_fit();
        }
        Ok(Self { text, nodes, depth })
    }

    /// The whole.
    pub fn root(&self) -> Item<'_> {
        Item {
            document: self,
            at: 0,
        }
    }

    /// The most levels of lists and objects within each other.
    pub fn depth(&self) -> u32 {
        self.depth
    }
}

/// null.
impl Default for Document {
    fn default() -> Self {
        let null = Node {
            kind: Kind::Null,
            start: 0,
            end: 4,
            after: 1,
            count: 0,
        };
        Self {
            text: "null".to_owned(),
            nodes: vec![null],
            depth: 0,
        }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'a> Item<'a> {
    fn node(self) -> Node {
        self.document.nodes[self.at as usize]
    }

    /// What follows it, and all that is in it. After the last one there is nothing, and it must not be looked at.
    pub(super) fn next(self) -> Self {
        Self {
            at: self.node().after,
            ..self
        }
    }

    /// What follows where it begins: the first value in it, or the first key.
    pub(super) fn first(self) -> Self {
        Self {
            at: self.at + 1,
            ..self
        }
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        self.node().kind
    }

    /// How many values are in it.
    pub fn count(self) -> usize {
        self.node().count as usize
    }

    /// The number as it is written, or what stands between the quotes of a text.
    pub fn written(self) -> &'a str {
        let node = self.node();
        &self.document.text[node.start as usize..node.end as usize]
    }

    /// The text that it stands for.
    ///
    /// # Errors
    /// When it stands for none.
    pub fn text(self) -> Result<Cow<'a, str>, Error> {
        match self.kind() {
            Kind::Escaped => {
                let node = self.node();
                let quoted = node.start as usize - 1..node.end as usize + 1;
                let decoded = serde_json::from_str(&self.document.text[quoted]);
                decoded.map(Cow::Owned).map_err(|_| Error::NoCharacter)
            }
            _ => Ok(Cow::Borrowed(self.written())),
        }
    }

    /// The values of a list.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let mut next = self.first();
        (0..self.count()).map(move |_| {
            let item = next;
            next = item.next();
            item
        })
    }

    /// The keys and values of an object, as they are written: a key may stand more than once.
    pub fn fields(self) -> impl Iterator<Item = (Self, Self)> {
        let mut next = self.first();
        (0..self.count()).map(move |_| {
            let (key, value) = (next, next.next());
            next = value.next();
            (key, value)
        })
    }

    /// The value of a field. The last one counts where there are several.
    pub fn field(self, name: &str) -> Option<Self> {
        let is_it = |key: Self| match key.kind() {
            Kind::Escaped => key.text().is_ok_and(|text| text == name),
            _ => key.written() == name,
        };
        let found = self.fields().filter(|(key, _)| is_it(*key)).last();
        found.map(|(_, value)| value)
    }

    /// Writes it as JSON without spaces.
    ///
    /// # Errors
    /// When `out` takes no more.
    pub fn write(self, out: &mut impl fmt::Write) -> fmt::Result {
        let node = self.node();
        match node.kind {
            Kind::List | Kind::Object => {}
            Kind::Plain | Kind::Escaped => {
                out.write_char('"')?;
                out.write_str(self.written())?;
                return out.write_char('"');
            }
            _ => return out.write_str(self.written()),
        }
        let mut rest = self.written();
        while let Some(at) = rest.find(|c: char| c == '"' || c.is_ascii_whitespace()) {
            let text = match rest.as_bytes()[at] {
                b'"' => at + 1 + text_length(&rest.as_bytes()[at + 1..]) + 1,
                _ => at,
            };
            out.write_str(&rest[..text])?;
            rest = rest[text..].trim_start_matches(|c: char| c.is_ascii_whitespace());
        }
        out.write_str(rest)
    }
}

/// The bytes before the quote that ends a text.
fn text_length(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match text.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') | None => return at.min(text.len()),
            Some(_) => at += 1,
        }
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl SharedItem {
    /// The whole of a document.
    pub fn root(document: Arc<Document>) -> Self {
        Self { document, at: 0 }
    }

    /// The value.
    pub fn item(&self) -> Item<'_> {
        Item {
            document: &self.document,
            at: self.at,
        }
    }

    /// Another value of the same document.
    pub fn share(&self, item: Item<'_>) -> Self {
        Self {
            document: Arc::clone(&self.document),
            at: item.at,
        }
    }
}

impl fmt::Debug for SharedItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.item().write(f)
    }
}

/// Reads a JSON text. What is open is kept in a list, so that no depth takes stack.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
}

impl Parser<'_> {
    /// Reads the whole text. Returns its depth.
    fn document(&mut self) -> Result<u32, Error> {
        let mut open: Vec<usize> = Vec::new();
        let mut depth = 0;
        loop {
            // A value.
            self.skip_space();
            let node = self.nodes.len();
            match self.peek() {
                Some(first @ (b'{' | b'[')) => {
                    let kind = if first == b'{' {
                        Kind::Object
                    } else {
                        Kind::List
                    };
                    self.push(kind, self.at, self.at);
                    self.at += 1;
                    open.push(node);
                    depth = depth.max(open.len());
                    self.skip_space();
                    if !matches!(self.peek(), Some(b'}' | b']')) {
                        self.begin_value(node)?;
                        continue;
                    }
                }
                Some(b'"') => self.text()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word("true", Kind::Bool(true))?,
                Some(b'f') => self.word("false", Kind::Bool(false))?,
                Some(b'n') => self.word("null", Kind::Null)?,
                _ => return Err(self.malformed()),
            }
            // What follows a value.
            loop {
                self.skip_space();
                let Some(container) = open.last().copied() else {
                    return match self.peek() {
                        None => Ok(u32::try_from(depth).unwrap_or(u32::MAX)),
                        Some(_) => Err(self.malformed()),
                    };
                };
                let is_object = self.nodes[container].kind == Kind::Object;
                match self.peek() {
                    Some(b',') if self.nodes[container].count > 0 => {
                        self.at += 1;
                        self.begin_value(container)?;
                        break;
                    }
                    Some(end) if end == if is_object { b'}' } else { b']' } => {
                        self.at += 1;
                        let after = position(self.nodes.len());
                        let end = position(self.at);
                        let node = &mut self.nodes[container];
                        (node.after, node.end) = (after, end);
                        open.pop();
                    }
                    _ => return Err(self.malformed()),
                }
            }
        }
    }

    /// Counts a value of the container, and reads its key if that is an object.
    fn begin_value(&mut self, container: usize) -> Result<(), Error> {
        self.nodes[container].count += 1;
        if self.nodes[container].kind == Kind::Object {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.malformed());
            }
            self.text()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.malformed());
            }
            self.at += 1;
        }
        Ok(())
    }

    fn text(&mut self) -> Result<(), Error> {
        let start = self.at + 1;
        let mut kind = Kind::Plain;
        self.at = start;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                        Some(b'u') => {
                            let digits = self.text.get(self.at + 1..self.at + 5);
                            if !digits.is_some_and(|all| all.iter().all(u8::is_ascii_hexdigit)) {
                                return Err(self.malformed());
                            }
                            self.at += 4;
                        }
                        _ => return Err(self.malformed()),
                    }
                }
                Some(0x20..) => {}
                Some(_) | None => return Err(self.malformed()),
            }
            self.at += 1;
        }
        self.push(kind, start, self.at);
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let first = self.peek();
        if self.digits()? > 1 && first == Some(b'0') {
            return Err(self.malformed());
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        self.push(Kind::Number, start, self.at);
        Ok(())
    }

    /// Skips at least one digit. Returns how many there were.
    fn digits(&mut self) -> Result<usize, Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Err(self.malformed());
        }
        self.at += digits;
        Ok(digits)
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<(), Error> {
        let end = self.at + word.len();
        if self.text.get(self.at..end) != Some(word.as_bytes()) {
            return Err(self.malformed());
        }
        self.push(kind, self.at, end);
        self.at = end;
        Ok(())
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        self.nodes.push(Node {
            kind,
            start: position(start),
            end: position(end),
            after: position(self.nodes.len() + 1),
            count: 0,
        });
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn malformed(&self) -> Error {
        Error::Malformed(self.at)
    }
}

/// A position in a text whose length was checked; there are no more nodes than bytes.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn compact(text: &str) -> Result<String, Error> {
        let document = Document::parse(text)?;
        let mut out = String::new();
        document.root().write(&mut out).expect("a String takes all");
        Ok(out)
    }

    #[test]
    fn a_text_is_written_as_it_was_but_for_its_spaces() {
        for (text, expected) in [
            (
                r#" {"a": [1, 2.50, {"b c": null}], "d": {}} "#,
                r#"{"a":[1,2.50,{"b c":null}],"d":{}}"#,
            ),
            ("50000000000000000001", "50000000000000000001"),
            ("[19.9000, 1e400, -0]", "[19.9000,1e400,-0]"),
            (
                r#"["\ud83d", "a \" b", "\\"]"#,
                r#"["\ud83d","a \" b","\\"]"#,
            ),
            ("\" a b \"", "\" a b \""),
            ("[ ]", "[]"),
        ] {
            assert_eq!(compact(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "[",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{1:2}",
            "01",
            "1.",
            "-",
            "1e",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "[}",
            "1 2",
            "{,}",
        ] {
            assert!(Document::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_depth_takes_stack() {
        let text = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        let document = Document::parse(text).unwrap();
        assert_eq!(document.depth(), 1_000_000);
        assert_eq!(document.root().count(), 1);
    }

    #[test]
    fn half_of_a_surrogate_pair_is_an_error_of_its_reader() {
        let document = Document::parse(r#"{"a": "\ud83d", "b": "\ud83d\ude00"}"#).unwrap();
        let text = |name| document.root().field(name).unwrap().text();
        assert_eq!(text("a"), Err(Error::NoCharacter));
        assert_eq!(text("b").unwrap(), "😀");
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_counts() {
        let document = Document::parse(r#"{"a": 1, "\u0061": 2}"#).unwrap();
        assert_eq!(document.root().field("a").unwrap().written(), "2");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::hash_map(".{0,3}", inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn same(item: Item<'_>, value: &Value) -> bool {
        match value {
            Value::Null => item.kind() == Kind::Null,
            Value::Bool(value) => item.kind() == Kind::Bool(*value),
            Value::Number(number) => item.written() == number.to_string(),
            Value::String(text) => item.text().unwrap() == *text,
            Value::Array(values) => {
                item.count() == values.len()
                    && item
                        .items()
                        .zip(values)
                        .all(|(item, value)| same(item, value))
            }
            Value::Object(fields) => {
                item.count() == fields.len()
                    && fields
                        .iter()
                        .all(|(name, value)| same(item.field(name).unwrap(), value))
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_is_found_again(value in json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let document = Document::parse(text.clone()).unwrap();
                prop_assert!(same(document.root(), &value));
                prop_assert_eq!(compact(&text).unwrap(), value.to_string());
            }
        }

        #[test]
        fn it_takes_what_serde_json_takes(text in r#"[\[\]{}:,"0-9.eE+ \\untrbf-]{0,12}"#) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(Document::parse(text).is_ok(), theirs);
        }
    }
}
