//! Tables and texts, as hooks.toml has them.

use crate::postgres::TableName;

/// A table in the source of an event. The schema is left out if it is public.
pub(super) fn source(table: &TableName) -> String {
    match table.schema.as_str() {
        "public" => part(&table.name),
        schema => format!("{}.{}", part(schema), part(&table.name)),
    }
}

/// A name in SQL, and in the source of an event.
pub(super) fn part(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match plain {
        true => text.to_owned(),
        false => format!("\"{}\"", text.replace('"', "\"\"")),
    }
}

/// A key.
pub(super) fn bare(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !key.is_empty() && key.chars().all(bare) {
        true => key.to_owned(),
        false => text(key),
    }
}

/// The key of a table in `[tables]`.
pub(super) fn key(table: &TableName) -> String {
    let source = source(table);
    let bare = source
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { source } else { text(&source) }
}

/// A quoted string.
pub(super) fn text(text: &str) -> String {
    ::toml::Value::String(text.to_owned()).to_string()
}
