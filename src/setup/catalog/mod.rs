//! What setup and check need to know of a database, read in one go. What follows from it is decided elsewhere, on values.

mod read;

use super::gap::Known;
use crate::postgres::Lsn;
use crate::{
    config::{Action, Config, EventSource},
    postgres::TableName,
};

pub use self::read::read_slot;

/// A database as it is now, as far as the configuration concerns it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The server and this session.
    pub server: Server,
    /// The role of this session.
    pub role: Role,
    /// The tables that the configuration names, and the hook table, as far as they exist.
    pub tables: Vec<Table>,
    /// Every relation of users.
    pub names: Vec<TableName>,
    /// Those of our two publications that exist.
    pub publications: Vec<Publication>,
    /// Our slot.
    pub slot: Option<Slot>,
    /// Our schema; `None`: it does not exist.
    pub schema: Option<Schema>,
    /// Where rowhook was on this slot; `None`: it has not been here, or our role may not know.
    pub known: Option<Known>,
}

/// The server.
#[derive(Debug, Clone)]
pub struct Server {
    /// `server_version_num`: 150018.
    pub version: i32,
    /// As the server calls it.
    pub version_name: String,
    /// `logical` is what we need.
    pub wal_level: String,
    /// It is a standby.
    pub in_recovery: bool,
    /// `max_replication_slots`
    pub max_slots: i32,
    /// Slots that exist.
    pub used_slots: i32,
    /// `max_wal_senders`
    pub max_senders: i32,
    /// WAL senders that run.
    pub used_senders: i32,
    /// `max_slot_wal_keep_size`; `-1`: no limit.
    pub wal_keep: String,
    /// The protocol's version where this session is protected.
    pub tls: Option<String>,
    /// The database of this session.
    pub database: String,
    /// The cluster's, which a copy of its files shares.
    pub system_identifier: String,
    /// Which history of the cluster this is; `None` on a standby.
    pub timeline: Option<u32>,
    /// The end of the WAL; `None` on a standby.
    pub flushed: Option<Lsn>,
}

/// A role and what it may do.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// May do anything.
    pub superuser: bool,
    /// Has the attribute REPLICATION.
    pub replication: bool,
    /// A role of a managed service that stands for the attribute, and that this one is a member of.
    pub managed: Option<String>,
    /// May create schemas and publications.
    pub may_create: bool,
}

impl Role {
    /// May it create slots and open replication sessions?
    pub fn may_replicate(&self) -> bool {
        self.superuser || self.replication || self.managed.is_some()
    }
}

/// A relation.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: Kind,
    /// How the stream tells its rows apart.
    pub identity: Identity,
    /// The columns of its primary key; empty: none.
    pub primary_key: Vec<String>,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// Those that are computed from others.
    pub generated: Vec<String>,
    /// Of a partitioned table: the tables that hold its rows.
    pub leaves: Vec<Table>,
    /// Row security decides what our role may see of it.
    pub row_security: bool,
    /// Our role may read it.
    pub may_select: bool,
    /// Our role owns it, or is a member of who does.
    pub owned: bool,
    /// Who owns it.
    pub owner: String,
}

impl Table {
    /// Can its updates and deletes be published, now and for every partition that may come?
    ///
    /// If not, publishing them would make the application's own UPDATE fail. A new partition gets the primary key of the
    /// partitioned table, but not its replica identity: without a primary key there, the next partition would have none.
    pub fn is_identified(&self) -> bool {
        match self.kind {
            Kind::Partitioned => {
                !self.primary_key.is_empty() && self.leaves.iter().all(Table::is_identified)
            }
            _ => !matches!(self.identity, Identity::None { .. }),
        }
    }

    /// Does the stream carry the whole old row?
    pub fn is_full(&self) -> bool {
        match self.kind {
            Kind::Partitioned => self.leaves.iter().all(Table::is_full),
            _ => self.identity == Identity::Full,
        }
    }

    /// Does the stream carry this column of a deleted row?
    pub fn is_in_identity(&self, column: &str) -> bool {
        match (&self.kind, &self.identity) {
            (Kind::Partitioned, _) => self.leaves.iter().all(|leaf| leaf.is_in_identity(column)),
            (_, Identity::Full) => true,
            (_, Identity::Key { columns, .. }) => columns.iter().any(|key| key == column),
            (_, Identity::None { .. }) => false,
        }
    }

    /// Has it this column?
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }
}

/// What a relation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary table.
    Table,
    /// A partitioned one; its rows are in its leaves.
    Partitioned,
    /// Something whose changes are not in the WAL: `a view`, `an unlogged table`.
    Unpublishable(&'static str),
}

/// `relreplident`, with what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Rows are known by these columns.
    Key {
        /// The columns of the index.
        columns: Vec<String>,
        /// The index where it was chosen by hand; `None`: the primary key.
        index: Option<String>,
    },
    /// Rows are known by all their values.
    Full,
    /// Nothing tells them apart.
    None {
        /// REPLICA IDENTITY NOTHING was set by hand.
        by_choice: bool,
    },
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// FOR ALL TABLES.
    pub all_tables: bool,
    /// It publishes inserts, updates, deletes, truncates.
    pub publishes: [bool; 4],
    /// Changes of partitions come as those of the partitioned table.
    pub via_root: bool,
    /// Its tables.
    pub tables: Vec<TableName>,
    /// Our role owns it, or is a member of who does.
    pub owned: bool,
}

/// A replication slot.
#[derive(Debug, Clone)]
pub struct Slot {
    /// `logical` or `physical`.
    pub kind: String,
    /// The output plugin.
    pub plugin: Option<String>,
    /// The database.
    pub database: Option<String>,
    /// It ends with its session.
    pub temporary: bool,
    /// Who reads it now.
    pub active_pid: Option<i32>,
    /// What that session calls itself, where we may know.
    pub application_name: Option<String>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Why it was invalidated, on the versions that tell.
    pub invalidation_reason: Option<String>,
    /// What its reader has confirmed.
    pub confirmed: Option<Lsn>,
    /// Bytes of WAL that may still be written before Postgres gives it up; `None` where there is no limit.
    pub safe_wal_size: Option<i64>,
    /// Bytes of WAL since the confirmed position.
    pub lag: Option<i64>,
}

impl Slot {
    /// Is WAL gone that it needs? What was in there can not be read any more.
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost") || self.invalidation_reason.is_some()
    }
}

/// The schema of rowhook's own tables.
#[derive(Debug, Clone)]
pub struct Schema {
    /// setup created it.
    pub made_by_setup: bool,
    /// Our role may create in it.
    pub may_create: bool,
    /// Our role may read its tables; if not, the fields below are empty.
    pub may_read: bool,
    /// Relations in it that are not rowhook's.
    pub strangers: Vec<String>,
    /// Versions of the files that were applied.
    pub migrations: Vec<i32>,
    /// The events of hooks.toml that hooks may name; not those that rowhook fires itself.
    pub events: Vec<Event>,
}

/// One row of the table `event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `book.added`
    pub name: String,
    /// `bookstore_book.created`
    pub source: String,
    /// `+`
    pub all_owners: bool,
}

/// The table that hooks are in: that of `[hook_table]`, or rowhook's own.
pub fn hook_table(config: &Config) -> TableName {
    config.hook_columns().table
}

impl Facts {
    /// The table of this name, if it exists.
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// The publication of this name, if it exists.
    pub fn publication(&self, name: &str) -> Option<&Publication> {
        self.publications.iter().find(|found| found.name == name)
    }
}

/// Every table that the configuration names, once.
fn mentioned(config: &Config) -> Vec<TableName> {
    let mut names = vec![hook_table(config)];
    names.extend(
        config
            .owner_exists
            .iter()
            .map(|exists| exists.table.clone()),
    );
    for rule in &config.events {
        if let EventSource::Row { table, .. } = &rule.source {
            names.push(table.clone());
        }
    }
    for rules in &config.tables {
        names.push(rules.table.clone());
        let steps = rules.owner.iter().flat_map(|owner| &owner.steps);
        names.extend(steps.map(|step| step.table.clone()));
    }
    names.sort();
    names.dedup();
    names
}

/// The tables whose changes are read, in the order of the file. A table that only has actions fired from SQL is not among
/// them: those come as messages.
pub fn published(config: &Config) -> Vec<TableName> {
    let mut names: Vec<TableName> = Vec::new();
    for rule in &config.events {
        if let EventSource::Row { table, action, .. } = &rule.source
            && !matches!(action, Action::Named(_))
            && !names.contains(table)
        {
            names.push(table.clone());
        }
    }
    names
}
