//! The hooks as they are where the reader is.

use std::sync::Arc;

use crate::{
    config::OwnerExists,
    event::TableEvents,
    hook::{
        Hook, HookId,
        index::Index,
        off::OffHooks,
        row::{HookColumns, HookRow, Known},
    },
    postgres::relation::Relation,
};

/// The hooks, and what it takes to make one of a row.
pub(super) struct Hooks {
    pub(super) index: Index,
    pub(super) columns: HookColumns,
    pub(super) off: OffHooks,
    pub(super) known: Arc<Known>,
    /// Where their owners are kept.
    pub(super) owner_exists: Option<OwnerExists>,
}

/// A row of the hook table, and the hook that it makes, or why it makes none.
pub(super) struct CheckedRow {
    pub(super) id: HookId,
    pub(super) active: bool,
    pub(super) was_invalid: Option<String>,
    pub(super) hook: Result<Arc<Hook>, String>,
}

impl CheckedRow {
    pub(super) fn of(row: HookRow, known: &Known) -> Self {
        Self {
            id: row.id.clone(),
            active: row.active,
            was_invalid: row.invalid.clone(),
            hook: row.into_hook(known).map(Arc::new),
        }
    }
}

impl Hooks {
    /// The table's columns are these, from now on.
    pub(super) fn learn(&mut self, events: &TableEvents, relation: &Relation) {
        Arc::make_mut(&mut self.known).learn(events, relation);
    }
}
