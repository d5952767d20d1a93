//! A committed change of a row.
//!
//! Two things are easily overlooked. An old image may hold only the key ([`Old::Key`]); its other columns are then
//! unknown, not null. And an update may lack a large value that it did not change ([`Value::Unchanged`]).

use std::{sync::Arc, time::SystemTime};

use crate::postgres::{
    Lsn,
    relation::Relation,
    tuple::{Image, Old, Tuple, Value},
};

/// One row insert, update or delete, decoded from the WAL.
#[derive(Debug, Clone)]
pub struct Change {
    /// The table, with the columns that it had when the change was made.
    pub relation: Arc<Relation>,
    /// What happened to the row, with its images.
    pub row: RowChange,
    /// The transaction that made it.
    pub transaction: Arc<Transaction>,
}

/// What happened to a row, with what is known of it before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// The row was inserted.
    Insert {
        /// The new row.
        new: Tuple,
    },
    /// The row was updated.
    Update {
        /// What is known of the old row.
        old: Old,
        /// The new row.
        new: Tuple,
    },
    /// The row was deleted.
    Delete {
        /// What is known of the deleted row.
        old: Old,
    },
    /// The row did not change. SQL fired a user-defined action on it.
    Fired {
        /// The name of the action.
        action: Arc<str>,
        /// The row at that moment.
        new: Tuple,
    },
    /// All rows of the table were removed at once. Nothing is known of them.
    Truncate,
}

/// The transaction that a change belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// When it was committed, by the clock of the database.
    pub commit_time: SystemTime,
    /// Its 32-bit transaction id.
    pub xid: u32,
}

impl Change {
    /// The row after the change; `None` for a deletion.
    pub fn after(&self) -> Option<&Tuple> {
        match &self.row {
            RowChange::Insert { new }
            | RowChange::Update { new, .. }
            | RowChange::Fired { new, .. } => Some(new),
            RowChange::Delete { .. } | RowChange::Truncate => None,
        }
    }

    /// The row before the change, as far as the stream carried it.
    pub fn before(&self) -> Option<Image<'_>> {
        match &self.row {
            RowChange::Insert { .. } | RowChange::Fired { .. } | RowChange::Truncate => None,
            RowChange::Update { old, .. } | RowChange::Delete { old } => old.image(),
        }
    }

    /// The images that have all columns: the new row, and the old one where the stream carried it whole.
    pub fn whole_images(&self) -> impl Iterator<Item = &Tuple> {
        let old = match self.before() {
            Some(Image::Whole(old)) => Some(old),
            Some(Image::Key(_)) | None => None,
        };
        self.after().into_iter().chain(old)
    }

    /// The same images as [`whole_images`](Self::whole_images), in the same order.
    pub fn whole_images_mut(&mut self) -> impl Iterator<Item = &mut Tuple> {
        let (new, old) = match &mut self.row {
            RowChange::Insert { new } | RowChange::Fired { new, .. } => (Some(new), None),
            RowChange::Update { new, old } => (Some(new), Some(old)),
            RowChange::Delete { old } => (None, Some(old)),
            RowChange::Truncate => (None, None),
        };
        let old = match old {
            Some(Old::Full(tuple)) => Some(tuple),
            Some(Old::Key(_) | Old::SameKey) | None => None,
        };
        new.into_iter().chain(old)
    }

    /// The bytes of all values, in all images.
    pub fn bytes(&self) -> usize {
        let images = [self.after(), self.before().map(Image::tuple)];
        let values = images.into_iter().flatten().flatten();
        let bytes = values.map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Null | Value::Unchanged => 0,
        });
        bytes.sum()
    }

    /// The image that payloads show: the new row or, after a deletion, what is known of the old one. `None` where there
    /// is no row.
    pub fn shown(&self) -> Option<Image<'_>> {
        self.after().map(Image::Whole).or_else(|| self.before())
    }

    /// The columns whose value changed, by their place in the relation; `None` where the old row is unknown.
    pub fn changed_columns(&self) -> Option<Vec<usize>> {
        let RowChange::Update {
            old: Old::Full(old),
            new,
        } = &self.row
        else {
            return None;
        };
        let known = |value: &Value| *value != Value::Unchanged;
        let differs = |(new, old): (&Value, &Value)| known(new) && known(old) && new != old;
        let pairs = new.iter().zip(old).enumerate();
        Some(
            pairs
                .filter(|(_, pair)| differs(*pair))
                .map(|(at, _)| at)
                .collect(),
        )
    }

    /// Calls `each` with every value of all images.
    pub fn map_values(&mut self, each: impl FnMut(&mut Value)) {
        let (new, old) = match &mut self.row {
            RowChange::Insert { new } | RowChange::Fired { new, .. } => (Some(new), None),
            RowChange::Update { new, old } => (Some(new), Some(old)),
            RowChange::Delete { old } => (None, Some(old)),
            RowChange::Truncate => (None, None),
        };
        let old = match old {
            Some(Old::Key(tuple) | Old::Full(tuple)) => Some(tuple),
            Some(Old::SameKey) | None => None,
        };
        new.into_iter().chain(old).flatten().for_each(each);
    }

    /// Makes unknown what is not UTF-8, which JSON cannot hold. Only a database that checks no encoding has such texts.
    pub fn leave_out_what_is_not_utf8(&mut self) {
        self.map_values(|value| match value {
            Value::Text(text) if std::str::from_utf8(text).is_err() => *value = Value::Unchanged,
            Value::Text(_) | Value::Null | Value::Unchanged => {}
        });
    }

    /// Adds to all images the columns that the stream leaves out.
    pub fn pad(&mut self) {
        let relation = Arc::clone(&self.relation);
        let (new, old) = match &mut self.row {
            RowChange::Insert { new } | RowChange::Fired { new, .. } => (Some(new), None),
            RowChange::Update { new, old } => (Some(new), Some(old)),
            RowChange::Delete { old } => (None, Some(old)),
            RowChange::Truncate => (None, None),
        };
        let old = match old {
            Some(Old::Key(tuple) | Old::Full(tuple)) => Some(tuple),
            Some(Old::SameKey) | None => None,
        };
        new.into_iter()
            .chain(old)
            .for_each(|tuple| relation.pad(tuple));
    }

    /// Takes an old row that has no value beside its key for one of which only the key is known. A partitioned table
    /// can have REPLICA IDENTITY FULL while the partition has not, and then the stream calls such a row whole.
    pub fn doubt_nulls(&mut self) {
        let relation = &self.relation;
        let (RowChange::Update { old, .. } | RowChange::Delete { old }) = &mut self.row else {
            return;
        };
        let Old::Full(tuple) = old else {
            return;
        };
        let is_key = |at: &usize| relation.primary_key.contains(at);
        let known = tuple.iter().enumerate();
        let has_more = known
            .filter(|(at, value)| !is_key(at) && matches!(value, Value::Text(_)))
            .count();
        if relation.primary_key.is_empty() || has_more > 0 {
            return;
        }
        let mut tuple = std::mem::take(tuple);
        for (at, value) in tuple.iter_mut().enumerate() {
            if !is_key(&at) {
                *value = Value::Unchanged;
            }
        }
        *old = Old::Key(tuple);
    }

    /// Takes the values that the stream left out from the old row, where that is known. A large value of the key is in
    /// an old image of the key alone, too.
    pub fn fill_from_old(&mut self) {
        let RowChange::Update { old, new } = &mut self.row else {
            return;
        };
        let (old, key_only) = match old {
            Old::Full(old) => (old, false),
            Old::Key(old) => (old, true),
            Old::SameKey => return,
        };
        for ((new, old), column) in new.iter_mut().zip(old).zip(&self.relation.columns) {
            if *new == Value::Unchanged && (column.identity_key || !key_only) {
                new.clone_from(old);
            }
        }
    }
}
