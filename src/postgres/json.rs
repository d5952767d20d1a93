//! Writes a value as `to_jsonb` would, from the text that Postgres prints for it.
//!
//! One pass over the text writes the JSON, without a tree in between. A json or jsonb value is copied as it is.

use std::borrow::Cow;

use thiserror::Error;

use super::types::Type;

/// The most dimensions that an array of Postgres can have.
pub const MAX_DIMENSIONS: u32 = 6;

/// Why a text cannot be written as a value of its type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// It is malformed.
    #[error("the text of {what} is malformed at byte {at}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// Where, in bytes.
        at: usize,
    },
    /// The JSON of a value is what the database makes of it, and that is not known.
    #[error("what {sql_type} is in JSON is not known")]
    Unknown {
        /// The type of the value.
        sql_type: String,
    },
}

/// Appends `text`, a value of type `ty`, to `out` as JSON.
///
/// # Errors
/// If the text is not a value of its type, or the database has not been asked about it. Part of it has then been
/// appended to `out`.
pub fn write(ty: &Type, text: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    match ty {
        Type::Bool => out.extend_from_slice(if text == b"t" || text == b"true" {
            b"true"
        } else {
            b"false"
        }),
        Type::Integer | Type::Float | Type::Numeric => write_number(text, out),
        Type::Json => out.extend_from_slice(utf8(text).as_bytes()),
        Type::Timestamp => write_timestamp(text, false, out),
        Type::TimestampTz => write_timestamp(text, true, out),
        Type::Array { element, delimiter } => {
            let mut array = Scanner::new("an array", text);
            array.skip_bounds();
            array.write_array(element, *delimiter, out, 1)?;
            array.end()?;
        }
        Type::NumberVector => write_vector(&Type::Integer, text, out)?,
        Type::TextVector => write_vector(&Type::Text, text, out)?,
        Type::Composite(fields) => {
            let mut row = Scanner::new("a row", text);
            row.write_composite(fields, out)?;
            row.end()?;
        }
        Type::Hstore => Scanner::new("an hstore", text).write_hstore(out)?,
        Type::Cast(cast) => match cast.json(text) {
            Some(json) => out.extend_from_slice(&json),
            None => {
                let sql_type = cast.sql_type.clone();
                return Err(Error::Unknown { sql_type });
            }
        },
        Type::Uuid
        | Type::Date
        | Type::Time
        | Type::Interval
        | Type::Bytes
        | Type::Enum(_)
        | Type::Text => write_text(text, out),
    }
    Ok(())
}

/// The fields of a row that Postgres prints as `(1,"a b",)`; `None` stands for NULL.
///
/// # Errors
/// If the text is not a row.
pub fn fields(row: &[u8]) -> Result<Vec<Option<Cow<'_, [u8]>>>, Error> {
    let mut scanner = Scanner::new("a row", row);
    let mut fields = Vec::new();
    scanner.expect(b'(')?;
    loop {
        fields.push(match scanner.peek() {
            Some(b',' | b')') => None,
            Some(b'"') => Some(scanner.quoted()?),
            _ => Some(scanner.bare(b",)")?),
        });
        match scanner.next()? {
            b',' => {}
            b')' => break,
            _ => return Err(scanner.malformed()),
        }
    }
    scanner.end()?;
    Ok(fields)
}

/// An element of an array.
#[derive(Debug, PartialEq, Eq)]
pub enum Element<'a> {
    /// SQL NULL.
    Null,
    /// The text of a value.
    Value(Cow<'a, [u8]>),
    /// The text of a nested array, which has one dimension less.
    Array(&'a [u8]),
}

/// The elements of an array that Postgres prints as `{1,"a b",NULL}`.
///
/// # Errors
/// If the text is not an array.
pub fn elements(array: &[u8], delimiter: u8) -> Result<Vec<Element<'_>>, Error> {
    let mut scanner = Scanner::new("an array", array);
    let mut elements = Vec::new();
    scanner.skip_bounds();
    scanner.expect(b'{')?;
    if scanner.peek() == Some(b'}') {
        scanner.at += 1;
        scanner.end()?;
        return Ok(elements);
    }
    loop {
        elements.push(match scanner.peek() {
            Some(b'{') => Element::Array(scanner.skip_array()?),
            Some(b'"') => Element::Value(scanner.quoted()?),
            _ => match scanner.bare(&[delimiter, b'}'])? {
                item if item.eq_ignore_ascii_case(b"null") => Element::Null,
                item => Element::Value(item),
            },
        });
        match scanner.next()? {
            b'}' => break,
            byte if byte == delimiter => {}
            _ => return Err(scanner.malformed()),
        }
    }
    scanner.end()?;
    Ok(elements)
}

/// Appends a JSON string to `out`. Bytes that are not UTF-8 become replacement characters.
pub fn write_text(text: &[u8], out: &mut Vec<u8>) {
    let text = utf8(text);
    // Most texts have nothing to escape. Without a way out, the compiler looks at many bytes at once.
    let is_plain = text.bytes().fold(true, |is_plain, byte| {
        is_plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\')
    });
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, &*text).expect("a text is JSON, and a Vec takes all");
    }
}

/// The text, in which bytes that are not UTF-8 are replaced. Those that are need no look at each of them.
fn utf8(text: &[u8]) -> Cow<'_, str> {
    str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed)
}

/// Writes a number; NaN and the infinities become strings, because JSON has no numbers for them.
fn write_number(text: &[u8], out: &mut Vec<u8>) {
    if text.last().is_some_and(u8::is_ascii_digit) {
        out.extend_from_slice(text);
    } else {
        write_text(text, out);
    }
}

/// Writes `2024-05-01 12:00:00+00 BC` as `2024-05-01T12:00:00+00:00 BC`, and `infinity` as it is.
fn write_timestamp(text: &[u8], zoned: bool, out: &mut Vec<u8>) {
    let Some(space) = text.iter().position(|byte| *byte == b' ') else {
        return write_text(text, out);
    };
    let (date, time) = (&text[..space], &text[space + 1..]);
    let end = time
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(time.len());
    let (time, era) = time.split_at(end);
    out.push(b'"');
    out.extend_from_slice(date);
    out.push(b'T');
    out.extend_from_slice(time);
    if zoned {
        out.extend_from_slice(b":00");
    }
    out.extend_from_slice(era);
    out.push(b'"');
}

fn write_vector(element: &Type, text: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    out.push(b'[');
    for (number, item) in text
        .split(|byte| *byte == b' ')
        .filter(|item| !item.is_empty())
        .enumerate()
    {
        if number > 0 {
            out.push(b',');
        }
        write(element, item, out)?;
    }
    out.push(b']');
    Ok(())
}

/// A position in the text of an array, a row or an hstore.
struct Scanner<'a> {
    what: &'static str,
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(what: &'static str, text: &'a [u8]) -> Self {
        Self { what, text, at: 0 }
    }

    /// Skips the bounds that precede an array whose subscripts do not begin at 1: `[0:1]={…}`.
    fn skip_bounds(&mut self) {
        if self.peek() == Some(b'[')
            && let Some(equals) = self.text.iter().position(|byte| *byte == b'=')
        {
            self.at = equals + 1;
        }
    }

    fn write_array(
        &mut self,
        element: &Type,
        delimiter: u8,
        out: &mut Vec<u8>,
        dimension: u32,
    ) -> Result<(), Error> {
        self.expect(b'{')?;
        out.push(b'[');
        if self.peek() == Some(b'}') {
            self.at += 1;
            out.push(b']');
            return Ok(());
        }
        loop {
            match self.peek() {
                // Each dimension takes some of the stack, and the text may come from anywhere.
                Some(b'{') if dimension == MAX_DIMENSIONS => return Err(self.malformed()),
                Some(b'{') => self.write_array(element, delimiter, out, dimension + 1)?,
                Some(b'"') => write(element, &self.quoted()?, out)?,
                _ => match self.bare(&[delimiter, b'}'])? {
                    item if item.eq_ignore_ascii_case(b"null") => out.extend_from_slice(b"null"),
                    item => write(element, &item, out)?,
                },
            }
            match self.next()? {
                b'}' => break,
                byte if byte == delimiter => out.push(b','),
                _ => return Err(self.malformed()),
            }
        }
        out.push(b']');
        Ok(())
    }

    /// Skips a nested array, and returns its text.
    fn skip_array(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        let mut depth = 0_u32;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.quoted()?;
                    continue;
                }
                Some(b'{') => depth += 1,
                Some(b'}') => depth -= 1,
                Some(_) => {}
                None => return Err(self.malformed()),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(self.text.get(start..self.at).unwrap_or_default());
            }
        }
    }

    fn write_composite(
        &mut self,
        fields: &[(String, std::sync::Arc<Type>)],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.expect(b'(')?;
        out.push(b'{');
        for (number, (name, ty)) in fields.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            write_text(name.as_bytes(), out);
            out.push(b':');
            // A row that was written before attributes were added to its type ends early.
            if number > 0 && self.peek() != Some(b')') {
                self.expect(b',')?;
            }
            match self.peek() {
                Some(b',' | b')') => out.extend_from_slice(b"null"),
                Some(b'"') => write(ty, &self.quoted()?, out)?,
                _ => write(ty, &self.bare(b",)")?, out)?,
            }
        }
        out.push(b'}');
        self.expect(b')')
    }

    /// Writes `"a"=>"b", "c"=>NULL` as an object.
    fn write_hstore(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.push(b'{');
        while self.at < self.text.len() {
            if self.at > 0 {
                self.expect(b',')?;
                self.expect(b' ')?;
                out.push(b',');
            }
            write_text(&self.quoted()?, out);
            self.expect(b'=')?;
            self.expect(b'>')?;
            out.push(b':');
            if self.peek() == Some(b'"') {
                write_text(&self.quoted()?, out);
            } else {
                self.bare(b",")?;
                out.extend_from_slice(b"null");
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// Reads a quoted item. A quote in it is escaped by a backslash, or in rows by another quote.
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Error> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let plain = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\'))
            .ok_or_else(|| self.malformed())?;
        self.at += plain;
        if self.peek() == Some(b'"') && self.text.get(self.at + 1) != Some(&b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&rest[..plain]));
        }
        let mut item = rest[..plain].to_vec();
        loop {
            match self.next()? {
                b'\\' => item.push(self.next()?),
                b'"' if self.peek() == Some(b'"') => {
                    self.at += 1;
                    item.push(b'"');
                }
                b'"' => return Ok(Cow::Owned(item)),
                byte => item.push(byte),
            }
        }
    }

    /// Reads an unquoted item, which ends before one of `ends`.
    fn bare(&mut self, ends: &[u8]) -> Result<Cow<'a, [u8]>, Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| ends.contains(byte))
            .unwrap_or(rest.len());
        let item = &rest[..length];
        if item.iter().any(|byte| matches!(byte, b'\\' | b'"')) {
            return Err(self.malformed());
        }
        self.at += length;
        Ok(Cow::Borrowed(item))
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Error> {
        if self.next()? == wanted {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    fn next(&mut self) -> Result<u8, Error> {
        let byte = self.peek().ok_or_else(|| self.malformed())?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn end(&self) -> Result<(), Error> {
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    fn malformed(&self) -> Error {
        Error::Malformed {
            what: self.what,
            at: self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn array(element: Type) -> Type {
        Type::Array {
            element: Arc::new(element),
            delimiter: b',',
        }
    }

    fn pair() -> Type {
        Type::Composite(vec![
            ("a".into(), Arc::new(Type::Numeric)),
            ("b".into(), Arc::new(Type::Text)),
        ])
    }

    fn written(ty: &Type, text: &str) -> String {
        let mut out = Vec::new();
        write(ty, text.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_as_to_jsonb_writes_them() {
        for (ty, text, json) in [
            (Type::Bool, "t", "true"),
            (Type::Numeric, "-1.50", "-1.50"),
            (Type::Float, "1e-07", "1e-07"),
            (Type::Float, "-Infinity", "\"-Infinity\""),
            (
                Type::Timestamp,
                "2024-05-01 12:00:00.5",
                "\"2024-05-01T12:00:00.5\"",
            ),
            (
                Type::TimestampTz,
                "0044-03-15 12:00:00+00 BC",
                "\"0044-03-15T12:00:00+00:00 BC\"",
            ),
            (Type::TimestampTz, "infinity", "\"infinity\""),
            (Type::Text, "a\"\\\n\u{1}ä", "\"a\\\"\\\\\\n\\u0001ä\""),
            (
                Type::Json,
                "{\"z\": 1.00, \"a\":2}",
                "{\"z\": 1.00, \"a\":2}",
            ),
            (array(Type::Numeric), "{}", "[]"),
            (array(Type::Numeric), "{1,NULL,NaN}", "[1,null,\"NaN\"]"),
            (array(Type::Numeric), "[0:1][2:2]={{1},{2}}", "[[1],[2]]"),
            (
                array(Type::Text),
                r#"{"a,b","NULL","",c d,"q\"\\"}"#,
                r#"["a,b","NULL","","c d","q\"\\"]"#,
            ),
            (Type::NumberVector, "1 2", "[1,2]"),
            (Type::TextVector, "", "[]"),
            (pair(), "(1,)", r#"{"a":1,"b":null}"#),
            (pair(), "(1)", r#"{"a":1,"b":null}"#),
            (
                pair(),
                r#"(,"x ""y"" \\ (z)")"#,
                r#"{"a":null,"b":"x \"y\" \\ (z)"}"#,
            ),
            (
                array(pair()),
                r#"{"(1,\"a b\")","(2,)"}"#,
                r#"[{"a":1,"b":"a b"},{"a":2,"b":null}]"#,
            ),
            (
                Type::Hstore,
                r#""a"=>"b \"c\"", "d"=>NULL"#,
                r#"{"a":"b \"c\"","d":null}"#,
            ),
            (Type::Hstore, "", "{}"),
        ] {
            assert_eq!(written(&ty, text), json, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_of_its_type_is_an_error() {
        for (ty, text) in [
            (array(Type::Numeric), "{1,2"),
            (array(Type::Numeric), "1,2}"),
            (array(Type::Numeric), "{1}}"),
            (array(Type::Text), "{\"a"),
            (array(Type::Numeric), "{{{{{{{1}}}}}}}"),
            (pair(), "(1"),
            (pair(), "(1,2,3)"),
            (Type::Hstore, "\"a\"=\"b\""),
        ] {
            assert!(
                write(&ty, text.as_bytes(), &mut Vec::new()).is_err(),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}(),\"\\ =>".to_vec())], 0..60)) {
            for ty in [array(array(Type::Text)), array(pair()), pair(), Type::Hstore, Type::TimestampTz, Type::TextVector] {
                let _ = write(&ty, &text, &mut Vec::new());
            }
        }
    }
}
