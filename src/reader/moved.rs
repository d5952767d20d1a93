//! Rows of the hook table that take an id which another row has until the end of the transaction.
//!
//! A deferrable constraint allows that: after `update hook set id = id + 1`, the first row has the id of the second
//! before that one has its own. What comes then of the second is not about the hook that has its id now.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use crate::{
    change::{Change, RowChange},
    hook::HookId,
    postgres::tuple::{Old, Tuple, Value},
};

/// The rows that took an id in the open transaction, as they were put there. Of each value there is only a hash, since
/// a transaction may make a million hooks.
#[derive(Debug, Default)]
pub(super) struct Moved {
    rows: HashMap<HookId, Box<[Option<u64>]>>,
    hashes: RandomState,
}

impl Moved {
    /// A row had the first id, and has the second one now, as this row. It is not one of another row.
    pub(super) fn follow(&mut self, old: Option<&HookId>, new: Option<(HookId, &Tuple)>) {
        let before = old.and_then(|id| self.rows.remove(id));
        let Some((id, row)) = new else {
            return;
        };
        if before.is_some() || old != Some(&id) {
            let row = row.iter().map(|value| self.hash(value)).collect();
            self.rows.insert(id, row);
        }
    }

    /// Is the change one of another row than that which took the id? Without the whole old row this cannot be told.
    pub(super) fn is_of_another(&self, id: &HookId, change: &Change) -> bool {
        match &change.row {
            RowChange::Update { old, .. } | RowChange::Delete { old } => self.is_another(id, old),
            RowChange::Insert { .. } | RowChange::Fired { .. } | RowChange::Truncate => false,
        }
    }

    /// Was this another row than that which took the id?
    pub(super) fn is_another(&self, id: &HookId, old: &Old) -> bool {
        let (Some(row), Old::Full(old)) = (self.rows.get(id), old) else {
            return false;
        };
        let mut values = row.iter().zip(old);
        values.any(|(value, old)| value.is_some() && *value != self.hash(old))
    }

    /// `None`: the stream does not carry the value.
    fn hash(&self, value: &Value) -> Option<u64> {
        match value {
            Value::Null => Some(self.hashes.hash_one(None::<&[u8]>)),
            Value::Text(text) => Some(self.hashes.hash_one(Some(&text[..]))),
            Value::Unchanged => None,
        }
    }

    /// The transaction has ended, and each id has one row.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn row(values: [&str; 2]) -> Tuple {
        let value = |text: &str| match text {
            "-" => Value::Unchanged,
            text => Value::Text(Bytes::copy_from_slice(text.as_bytes())),
        };
        values.map(value).to_vec()
    }

    #[test]
    fn a_row_is_another_than_that_which_took_its_id() {
        let id = HookId::new("2", false);
        let mut moved = Moved::default();
        let old = |values| Old::Full(row(values));
        assert!(!moved.is_another(&id, &old(["2", "second"])));
        let first = HookId::new("1", false);
        moved.follow(Some(&first), Some((id.clone(), &row(["2", "first"]))));
        assert!(moved.is_another(&id, &old(["2", "second"])));
        assert!(!moved.is_another(&id, &old(["2", "first"])));
        assert!(!moved.is_another(&id, &Old::Key(row(["2", "-"]))));
        // It is changed where it is.
        moved.follow(Some(&id), Some((id.clone(), &row(["2", "third"]))));
        assert!(!moved.is_another(&id, &old(["2", "third"])));
        moved.follow(Some(&id), Some((id.clone(), &row(["2", "-"]))));
        assert!(!moved.is_another(&id, &old(["2", "large"])));
        // It goes, and what comes then of the id is about whoever has it.
        moved.follow(Some(&id), None);
        assert!(!moved.is_another(&id, &old(["2", "second"])));
        moved.follow(None, Some((id.clone(), &row(["2", "new"]))));
        moved.forget();
        assert!(!moved.is_another(&id, &old(["2", "second"])));
    }
}
