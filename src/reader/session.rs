//! What the reader knows from one replication session alone: its tables, and the transaction that is being read.

use std::{collections::HashMap, sync::Arc};

use crate::{
    change::Transaction,
    delivery::ledger::Opened,
    event::{Position, TableEvents},
    postgres::{TableName, relation::Relation},
};

/// What one replication session has told.
pub(super) struct SessionState {
    pub(super) tables: HashMap<u32, Arc<Table>>,
    /// Tables with actions that SQL fires, as the catalog described them.
    pub(super) catalog_tables: HashMap<TableName, Arc<Table>>,
    pub(super) transaction: Option<OpenTransaction>,
    /// What the ledger said of the transaction whose changes are handed on.
    pub(super) opened: Opened,
}

impl Default for SessionState {
    fn default() -> Self {
        Self {
            tables: HashMap::new(),
            catalog_tables: HashMap::new(),
            transaction: None,
            opened: Opened::Known,
        }
    }
}

impl SessionState {
    /// A transaction begins.
    pub(super) fn begin(&mut self, transaction: Transaction) {
        self.transaction = Some(OpenTransaction {
            transaction: Arc::new(transaction),
            next_event: 0,
        });
    }
}

/// The transaction that is being read.
pub(super) struct OpenTransaction {
    pub(super) transaction: Arc<Transaction>,
    /// The number of its next event.
    pub(super) next_event: u64,
}

/// A table of the stream, and what its rows mean to us.
pub(super) struct Table {
    pub(super) relation: Arc<Relation>,
    pub(super) events: Option<Arc<TableEvents>>,
    pub(super) holds_hooks: bool,
    pub(super) holds_owners: bool,
}

impl OpenTransaction {
    /// Takes so many of the transaction's numbers for events, and says where they begin.
    pub(super) fn take_numbers(&mut self, numbers: u64) -> Position {
        let index = self.next_event;
        self.next_event += numbers;
        Position {
            commit_lsn: self.transaction.commit_lsn,
            index,
        }
    }
}
