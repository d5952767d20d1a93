//! Tables and texts, as hooks.toml has them.

use std::fmt::Write as _;

use crate::postgres::TableName;

/// A table in the source of an event. The schema is left out if it is public.
pub(super) fn source(table: &TableName) -> String {
    match table.schema.as_str() {
        "public" => part(&table.name),
        schema => format!("{}.{}", part(schema), part(&table.name)),
    }
}

/// A part of a dotted name, in SQL too: in double quotes unless it is plain. A capital letter is not, because
/// `shop.Book` would be a Django model.
pub(super) fn part(text: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

/// A key.
pub(super) fn bare(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !key.is_empty() && key.chars().all(bare) {
        true => key.to_owned(),
        false => quoted(key),
    }
}

/// The key of a table in `[tables]`.
pub(super) fn key(table: &TableName) -> String {
    bare(&source(table))
}

/// A quoted string, whose value is `text` once variables of the environment are replaced.
pub(super) fn text(text: &str) -> String {
    quoted(&text.replace("${", "$${"))
}

/// A basic string of TOML, which may be a key as well. It stays on its line.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // Writing to a String cannot fail.
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A name for a comment, which ends with its line.
pub(super) fn shown(name: impl ToString) -> String {
    name.to_string().replace(char::is_control, " ")
}

/// Comments that name many things, on lines of at most 100 columns.
pub(super) fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split(' ') {
        if line.chars().count() + word.chars().count() >= 100 && line.len() > 1 {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push_str(&line);
    lines.push('\n');
    lines
}
