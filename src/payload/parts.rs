//! The pieces that the bodies of all formats are made of.

use crate::change::{Change, RowChange};

/// The rendered pieces of a body.
pub(super) struct Parts<'a> {
    /// The event's row or message, as JSON.
    pub(super) data: &'a [u8],
    /// The row before an update, as JSON; otherwise `null`.
    pub(super) old: &'a [u8],
    /// Columns that `data` lacks because their values are unknown.
    pub(super) unchanged: &'a [String],
    /// Columns that `data` lacks because the body would be too large.
    pub(super) left_out: Option<&'a [&'a str]>,
}

/// The qualified name of a change's table.
pub(super) fn full_name(change: &Change) -> String {
    let relation = &change.relation;
    format!("{}.{}", relation.schema, relation.name)
}

/// The SQL command that made the change, in lower case, or the name of the action that was fired.
pub fn operation(row: &RowChange) -> &str {
    match row {
        RowChange::Insert { .. } => "insert",
        RowChange::Update { .. } => "update",
        RowChange::Delete { .. } => "delete",
        RowChange::Fired { action, .. } => action,
        RowChange::Truncate => "truncate",
    }
}
