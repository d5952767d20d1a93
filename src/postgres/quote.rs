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

/// Fills in the names in braces of a query of ours, such as `{table}`, all of them at once: what is filled in may hold
/// braces of its own. A name that is not among `values` stays as it is.
pub fn fill(query: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(query.len());
    let mut pieces = query.split('{');
    filled.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let found = values.iter().find_map(|(name, value)| {
            let rest = piece.strip_prefix(name)?.strip_prefix('}')?;
            Some((value, rest))
        });
        match found {
            Some((value, rest)) => filled.extend([value, rest]),
            None => filled.extend(["{", piece]),
        }
    }
    filled
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

    #[test]
    fn names_are_filled_in_at_once() {
        let filled = fill(
            "select {key}, {other} from {table} {",
            &[("key", "\"{table}\""), ("table", "\"{key}\"")],
        );
        assert_eq!(filled, "select \"{table}\", {other} from \"{key}\" {");
    }
}
