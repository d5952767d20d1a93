//! The hooks as they are at the reader's position in the stream.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::time::Instant;

use crate::{
    config::{HookColumns, OwnerExists},
    event::TableEvents,
    hook::{
        Hook, HookId,
        index::Index,
        off::OffHooks,
        row::{Constraints, HookRow},
    },
    panics::{Panic, beginning, caught_now},
    postgres::{TableName, relation::Relation},
};

/// The most bytes of a reason that are kept.
const MOST_OF_REASON: usize = 1000;

/// Filters of more bytes are not compiled before rowhook starts to read the stream.
const SHORT: usize = 256;

/// The hooks, and what it takes to make a hook from a row of the hook table.
pub(super) struct Hooks {
    pub(super) index: Index,
    pub(super) columns: HookColumns,
    /// The name of their table in hooks.toml. The table may have another name by now.
    pub(super) named: TableName,
    /// The oid of their table; `None`: there was none when they were loaded.
    pub(super) oid: Option<u32>,
    pub(super) off: OffHooks,
    pub(super) set_aside: SetAside,
    /// The hooks whose filters are not compiled yet, because that takes more time than their owners may take now, with
    /// the reasons that their rows hold for why they could not be used.
    pub(super) unread: HashMap<HookId, Option<String>>,
    /// The hook that was switched off last. If rowhook did it, the message after it says so.
    pub(super) switched_off: Option<CheckedRow>,
    pub(super) known: Arc<Constraints>,
    /// The table of owners; hooks of owners that are not in it are disabled.
    pub(super) owner_exists: Option<OwnerExists>,
}

/// The rows of the hook table that could not be read when they changed. Their hooks hear nothing until they are.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    pub(super) rows: HashSet<HookId>,
    /// Until when everybody waits for such rows; `None`: the table can be read.
    pub(super) until: Option<Instant>,
}

/// A row of the hook table after the check.
pub(super) struct CheckedRow {
    pub(super) id: HookId,
    pub(super) active: bool,
    /// The reason that the row holds for why it could not be used when it was last checked.
    pub(super) was_invalid: Option<String>,
    /// The hook, or why the row cannot be used.
    pub(super) hook: Result<Arc<Hook>, Unusable>,
}

/// Why a row of the hook table cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not as a hook has to be, for this reason.
    Refused(String),
    /// Checking it has panicked.
    Panicked(Panic),
}

impl Unusable {
    /// The reason for its owner. One that quotes a large value is kept in part, because it is written to the row.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Refused(reason) => beginning(reason, MOST_OF_REASON).to_owned(),
            Self::Panicked(panic) => panic.as_reason(),
        }
    }
}

impl CheckedRow {
    /// Checks all of the row but its filter.
    pub(super) fn unread(row: HookRow, known: &Constraints) -> Self {
        Self {
            id: row.id.clone(),
            active: row.active,
            was_invalid: row.invalid.clone(),
            hook: checked(|| row.into_unread_hook(known)),
        }
    }

    /// Checks the row, and its filter too where that is short.
    pub(super) fn loaded(row: HookRow, known: &Constraints) -> Self {
        match row.filter_bytes() > SHORT {
            true => Self::unread(row, known),
            false => Self::of(row, known),
        }
    }

    pub(super) fn of(row: HookRow, known: &Constraints) -> Self {
        Self {
            id: row.id.clone(),
            active: row.active,
            was_invalid: row.invalid.clone(),
            hook: checked(|| row.into_hook(known)),
        }
    }
}

/// Checks a row. Whatever is in it, a panic is a reason why that row cannot be used, and not the end of the others.
fn checked(check: impl FnOnce() -> Result<Hook, String>) -> Result<Arc<Hook>, Unusable> {
    match caught_now(check) {
        Ok(Ok(hook)) => Ok(Arc::new(hook)),
        Ok(Err(reason)) => Err(Unusable::Refused(reason)),
        Err(panic) => Err(Unusable::Panicked(panic)),
    }
}

/// Compiles the filter of a hook, and checks that it fits its events.
///
/// # Errors
/// Why the hook cannot be used.
pub(super) fn read_filter(hook: &Hook, known: &Constraints) -> Result<(), Unusable> {
    match caught_now(|| known.read_filter(hook)) {
        Ok(read) => read.map_err(Unusable::Refused),
        Err(panic) => Err(Unusable::Panicked(panic)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_panics_cannot_be_used_and_says_so() {
        let unusable = checked(|| panic!("max size reached")).unwrap_err();
        let reason = unusable.reason();
        assert!(
            reason.starts_with("rowhook panicked on it: max size reached (")
                && reason.ends_with("please report it"),
            "{reason}"
        );
    }

    #[test]
    fn a_reason_that_quotes_a_large_value_is_kept_in_part() {
        let unusable = checked(|| Err("é".repeat(100_000))).unwrap_err();
        assert_eq!(unusable.reason(), "é".repeat(500));
    }
}
