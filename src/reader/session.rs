//! What the reader has learnt from the current replication session: the tables, and the transaction that is being read.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use crate::{
    change::Transaction,
    delivery::ledger::Opened,
    event::{Position, TableEvents},
    lookup::{partitions::Partitions, versions::Written},
    postgres::{Lsn, TableName, pgoutput::RelationMessage, relation::Relation},
};

/// The state of one replication session.
pub(super) struct SessionState {
    /// Tables by their oids, as the stream described them.
    pub(super) tables: HashMap<u32, Arc<Table>>,
    /// What the stream has said of tables in the batch that is being interpreted. It repeats itself after each change
    /// of a publication, and the catalog is not read again for that: all that the batch tells of was done before.
    pub(super) described: HashMap<u32, RelationMessage>,
    /// Tables of actions and backfills, whose rows come in messages. The catalog described them.
    pub(super) catalog_tables: HashMap<TableName, Arc<Table>>,
    /// All that was committed before this has been interpreted.
    pub(super) reached: Lsn,
    /// The transaction whose messages are being interpreted.
    pub(super) transaction: Option<OpenTransaction>,
    /// What the transaction that goes on has written in the batches before this one.
    pub(super) written: Written,
    /// What the ledger said of the transaction whose changes are being delivered.
    pub(super) opened: Opened,
}

impl Default for SessionState {
    fn default() -> Self {
        Self {
            tables: HashMap::new(),
            described: HashMap::new(),
            catalog_tables: HashMap::new(),
            reached: Lsn::ZERO,
            transaction: None,
            written: Written::default(),
            opened: Opened::Known,
        }
    }
}

impl SessionState {
    /// Begins a transaction; its events are numbered from 0.
    pub(super) fn begin(&mut self, transaction: Transaction) {
        self.reach(transaction.commit_lsn);
        self.transaction = Some(OpenTransaction {
            transaction: Arc::new(transaction),
            next_event: 0,
            deleted_last: HashSet::new(),
        });
    }

    /// The stream has come to this position.
    pub(super) fn reach(&mut self, position: Lsn) {
        self.reached = self.reached.max(position);
    }
}

/// The transaction that is being read.
pub(super) struct OpenTransaction {
    pub(super) transaction: Arc<Transaction>,
    /// The number of its next event.
    pub(super) next_event: u64,
    /// The oids of the tables of which the last change was a deletion.
    pub(super) deleted_last: HashSet<u32>,
}

impl OpenTransaction {
    /// Takes the next `numbers` event numbers of the transaction, and returns the position of the first.
    pub(super) fn take_numbers(&mut self, numbers: u64) -> Position {
        let index = self.next_event;
        self.next_event += numbers;
        Position {
            commit_lsn: self.transaction.commit_lsn,
            index,
        }
    }
}

/// A table, and what its rows are to us.
pub(super) struct Table {
    pub(super) relation: Arc<Relation>,
    /// The events of its rows; `None`: it has none.
    pub(super) events: Option<Arc<TableEvents>>,
    /// It is the hook table.
    pub(super) holds_hooks: bool,
    /// It is the table of `owner_exists`.
    pub(super) holds_owners: bool,
    /// What the stream calls it, where that is no name of hooks.toml, and it is or was a table of hooks.toml.
    pub(super) called: Option<TableName>,
    /// How it is divided into partitions, if it is.
    pub(super) partitions: Option<Arc<Partitions>>,
    /// When the types of its columns were last read again without avail.
    pub(super) misfit: Option<Instant>,
}
