//! One committed row change, as values. Nothing here knows of hooks or HTTP.
//!
//! A newcomer's trap: an old image may hold only the key ([`Old::Key`]), and then its other columns are unknown, not
//! null; and an update may leave out a large value that it did not touch ([`Value::Unchanged`]).

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;

use crate::postgres::{Lsn, relation::Relation};

/// One row insert, update or delete, decoded from the WAL.
#[derive(Debug, Clone)]
pub struct Change {
    /// The table, with the columns it had when the change was made.
    pub relation: Arc<Relation>,
    /// What happened, with the row's images.
    pub row: RowChange,
    /// The transaction that made it.
    pub transaction: Arc<Transaction>,
}

/// What happened to a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// The row appeared.
    Insert {
        /// The new row.
        new: Tuple,
    },
    /// The row changed.
    Update {
        /// What is known of the row before.
        old: Old,
        /// The new row.
        new: Tuple,
    },
    /// The row is gone.
    Delete {
        /// What is known of it.
        old: Old,
    },
}

/// What is known of a row as it was before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Old {
    /// Nothing was sent: the key is the same as in the new row.
    SameKey,
    /// Only the columns of the replica identity; the others hold [`Value::Null`] and are unknown.
    Key(Tuple),
    /// The whole row.
    Full(Tuple),
}

/// The values of a row, in the order of [`Relation::columns`].
pub type Tuple = Vec<Value>;

/// One value of a row image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A TOASTed value that the update did not touch, and that is not in the stream.
    Unchanged,
    /// Postgres' text for the value, in the pinned session settings.
    Text(Bytes),
}

/// The transaction that a change belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// When it was committed, by the database's clock.
    pub commit_time: SystemTime,
    /// Its 32-bit transaction id.
    pub xid: u32,
}
