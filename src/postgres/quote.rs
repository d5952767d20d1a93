//! Quotes names and texts for SQL. Everything that comes from a user's file passes through here before it becomes SQL.

use crate::postgres::TableName;

/// A quoted identifier: `"book"`.
pub fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table with its schema, quoted: `"public"."book"`.
pub fn table(table: &TableName) -> String {
    format!("{}.{}", name(&table.schema), name(&table.name))
}

/// A string constant: `'book'`, or `E'…'` if it has a backslash. It does not depend on standard_conforming_strings.
pub fn text(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_escaped_from() {
        assert_eq!(name(r#"a"b"#), r#""a""b""#);
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text(r"\'; drop"), r"E'\\''; drop'");
        assert_eq!(
            table(&TableName::public("Odd name")),
            r#""public"."Odd name""#
        );
    }
}
