//! Tables and texts, as hooks.toml has them.

use crate::postgres::TableName;

/// A table in the source of an event. The schema is left out if it is public.
pub(super) fn source(table: &TableName) -> String {
    let part = |text: &str| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain {
            text.to_owned()
        } else {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
    };
    match table.schema.as_str() {
        "public" => part(&table.name),
        schema => format!("{}.{}", part(schema), part(&table.name)),
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
