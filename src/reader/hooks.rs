//! The hooks as they are at the reader's position in the stream.

use std::sync::Arc;

use crate::{
    config::{HookColumns, OwnerExists},
    event::TableEvents,
    hook::{
        Hook, HookId,
        index::Index,
        off::OffHooks,
        row::{Constraints, HookRow},
    },
    postgres::{TableName, relation::Relation},
};

/// The hooks, and what it takes to make a hook from a row of the hook table.
pub(super) struct Hooks {
    pub(super) index: Index,
    pub(super) columns: HookColumns,
    /// The name of their table in hooks.toml. The table may have another name by now.
    pub(super) named: TableName,
    /// The oid of their table; `None`: there was none when they were loaded.
    pub(super) oid: Option<u32>,
    pub(super) off: OffHooks,
    pub(super) known: Arc<Constraints>,
    /// The table of owners; hooks of owners that are not in it are disabled.
    pub(super) owner_exists: Option<OwnerExists>,
}

/// A row of the hook table after the check.
pub(super) struct CheckedRow {
    pub(super) id: HookId,
    pub(super) active: bool,
    /// The reason that the row holds for why it could not be used when it was last checked.
    pub(super) was_invalid: Option<String>,
    /// The hook, or why the row cannot be used.
    pub(super) hook: Result<Arc<Hook>, String>,
}

impl CheckedRow {
    pub(super) fn of(row: HookRow, known: &Constraints) -> Self {
        Self {
            id: row.id.clone(),
            active: row.active,
            was_invalid: row.invalid.clone(),
            hook: row.into_hook(known).map(Arc::new),
        }
    }
}

impl Hooks {
    /// Is this the table of the hooks?
    pub(super) fn are_in(&self, relation: &Relation) -> bool {
        match self.oid {
            Some(oid) => relation.oid == oid,
            None => relation.table() == self.columns.table,
        }
    }

    /// Expressions are checked against these columns of the events' table from now on.
    pub(super) fn learn(&mut self, events: &TableEvents, relation: &Relation) {
        Arc::make_mut(&mut self.known).learn(events, relation);
    }
}
