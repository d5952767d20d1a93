//! The state of a database that setup and check decide on. It is read at once, and the decisions are made on these
//! values.

mod identity;
mod read;

use std::collections::{BTreeMap, HashSet};

use indexmap::IndexSet;

use super::product::Product;
use crate::{
    config::{Action, Config, EventSource},
    postgres::{Lsn, TableName},
};

/// The state of a database, as far as it matters to the configuration.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The server that is written to, and the session that read this.
    pub server: Server,
    /// The server that changes are read from, where that is another.
    pub standby: Option<Server>,
    /// The role of the session.
    pub role: Role,
    /// The tables that the configuration names and the hook table, those that exist.
    pub tables: BTreeMap<TableName, Table>,
    /// The triggers that ask before a commit, on any table.
    pub before_triggers: Vec<BeforeTrigger>,
    /// The names of all relations of users.
    pub names: Vec<TableName>,
    /// The tables that the configuration names and an earlier session has followed, and that are not there any more.
    pub gone: HashSet<TableName>,
    /// Those of rowhook's two publications that exist.
    pub publications: Vec<Publication>,
    /// The slot of the configuration's name where changes are read, which may be one of another database; `None` if
    /// there is none.
    pub slot: Option<Slot>,
    /// The schema of rowhook's own tables; `None` if it does not exist.
    pub schema: Option<Schema>,
    /// How far rowhook came on the slot; `None` if it has not read from it, or if the role may not see it.
    pub progress: Option<Progress>,
}

/// The server, its settings, and the session.
#[derive(Debug, Clone)]
pub struct Server {
    /// `server_version_num`, such as 150018.
    pub version: i32,
    /// `server_version`, such as `15.18`.
    pub version_name: String,
    /// The managed service that runs it, if it is known to be one.
    pub product: Option<Product>,
    /// `wal_level`; rowhook needs `logical`.
    pub wal_level: String,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// When it was started, by which it is told from its standbys.
    pub started: String,
    /// `max_replication_slots`
    pub max_slots: i32,
    /// How many slots exist.
    pub used_slots: i32,
    /// `max_wal_senders`
    pub max_senders: i32,
    /// How many WAL senders run.
    pub used_senders: i32,
    /// `max_slot_wal_keep_size`; `-1` means no limit.
    pub wal_keep: String,
    /// `synchronous_standby_names`, whose standbys every commit waits for.
    pub synchronous_standby_names: String,
    /// The TLS version of the session; `None` if it is not encrypted.
    pub tls: Option<String>,
    /// The database of the session.
    pub database: String,
    /// The system identifier of the cluster. A copy of its files has the same one.
    pub system_identifier: String,
    /// The timeline of the WAL; `None` on a standby.
    pub timeline: Option<u32>,
    /// The position up to which the WAL is flushed; `None` on a standby.
    pub flushed: Option<Lsn>,
}

impl Server {
    /// Whether its standbys can copy logical slots, and go on with them when they are promoted.
    pub fn copies_slots(&self) -> bool {
        self.version >= 170_000 && !self.in_recovery
    }
}

/// A role and its privileges.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether it has the attribute REPLICATION.
    pub replication: bool,
    /// The role that a managed service grants in place of REPLICATION, if this role is a member of it.
    pub managed: Option<String>,
    /// Whether it may create schemas and publications in the database.
    pub may_create: bool,
}

impl Role {
    /// Whether it may create slots and open replication connections.
    pub fn may_replicate(&self) -> bool {
        self.superuser || self.replication || self.managed.is_some()
    }
}

/// A relation, with what decides how it can be published.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Which kind of relation it is.
    pub kind: Kind,
    /// Its replica identity.
    pub identity: RowIdentity,
    /// The columns of its primary key; empty if there is none.
    pub primary_key: Vec<String>,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// The generated columns among them that the stream leaves out.
    pub left_out: Vec<String>,
    /// The virtual generated columns among them, which came with Postgres 18.
    pub virtual_columns: Vec<String>,
    /// The publications of others that have its updates, but not all of its columns.
    pub partial_publications: Vec<String>,
    /// The partitioned tables that it is a partition of.
    pub ancestors: Vec<TableName>,
    /// The partitions that hold the rows of a partitioned table; empty for others.
    pub leaves: Vec<Table>,
    /// Whether row security limits which rows the role can see.
    pub row_security: bool,
    /// Whether the role may select from it.
    pub may_select: bool,
    /// Whether the role owns it, or is a member of the role that does.
    pub owned: bool,
    /// The role that owns it.
    pub owner: String,
}

impl Table {
    /// Whether its updates and deletes can be published, in all partitions, existing and future.
    ///
    /// If not, publishing them would make the application's own UPDATE fail. A new partition gets the primary key of
    /// the partitioned table, but not its replica identity, so without a primary key the next partition would have no
    /// identity.
    pub fn is_identified(&self) -> bool {
        match self.kind {
            Kind::Partitioned => {
                !self.primary_key.is_empty() && self.leaves.iter().all(Table::is_identified)
            }
            _ => match self.identity {
                RowIdentity::None { .. } => false,
                RowIdentity::Key { .. } => true,
                RowIdentity::Full => self.virtual_columns.is_empty(),
            },
        }
    }

    /// Whether the stream carries the whole old row.
    pub fn is_full(&self) -> bool {
        match self.kind {
            Kind::Partitioned if !self.leaves.iter().all(Table::is_full) => false,
            // Of a partitioned table too: it decides what the stream says of an old row.
            _ => self.identity == RowIdentity::Full,
        }
    }

    /// Whether the stream carries this column of a deleted row.
    pub fn is_in_identity(&self, column: &str) -> bool {
        let is_in_own = match &self.identity {
            RowIdentity::Full => true,
            RowIdentity::Key { columns, .. } => columns.iter().any(|key| key == column),
            RowIdentity::None { .. } => false,
        };
        is_in_own && self.leaves.iter().all(|leaf| leaf.is_in_identity(column))
    }

    /// Whether it has this column.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }
}

/// The kind of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary table.
    Table,
    /// A partitioned table, whose rows are in its leaves.
    Partitioned,
    /// A relation whose changes are not in the WAL. The text says what it is: `a view`, `an unlogged table`.
    Unpublishable(&'static str),
}

/// The replica identity of a table: `relreplident`, with the columns that follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowIdentity {
    /// The columns of an index.
    Key {
        /// The columns of the index.
        columns: Vec<String>,
        /// The index of REPLICA IDENTITY USING INDEX; `None` for the primary key.
        index: Option<String>,
    },
    /// All columns: REPLICA IDENTITY FULL.
    Full,
    /// None: rows cannot be identified.
    None {
        /// Whether REPLICA IDENTITY NOTHING was set.
        by_choice: bool,
    },
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// Whether it is FOR ALL TABLES.
    pub all_tables: bool,
    /// Whether it publishes inserts, updates, deletes and truncates, in this order.
    pub publishes: [bool; 4],
    /// Whether changes of partitions are published as those of the partitioned table.
    pub via_root: bool,
    /// Whether it publishes stored generated columns; `None` before Postgres 18, which cannot.
    pub generated: Option<bool>,
    /// Its tables.
    pub tables: IndexSet<TableName>,
    /// Whether the role owns it, or is a member of the role that does.
    pub owned: bool,
}

/// A replication slot.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// `logical` or `physical`.
    pub kind: String,
    /// The output plugin of a logical slot.
    pub plugin: Option<String>,
    /// The database of a logical slot.
    pub database: Option<String>,
    /// Whether prepared transactions are in its stream before they are committed.
    pub two_phase: bool,
    /// Whether it is dropped at the end of the session that created it.
    pub temporary: bool,
    /// The process id of the WAL sender that uses it; `None` if it is not in use.
    pub active_pid: Option<i32>,
    /// The application_name of that WAL sender, if the role may see it.
    pub application_name: Option<String>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Why it was invalidated, on versions of Postgres that report it.
    pub invalidation_reason: Option<String>,
    /// The position up to which its reader has confirmed the WAL.
    pub confirmed: Option<Lsn>,
    /// Bytes of WAL that can be written before the slot may be lost; `None` if there is no limit.
    pub safe_wal_size: Option<i64>,
    /// Bytes of WAL since the confirmed position.
    pub lag: Option<i64>,
    /// Whether standbys copy it. Never before Postgres 17.
    pub failover: bool,
}

impl Slot {
    /// Whether it is still being made. What is committed before it is done is not in its stream.
    pub fn is_being_made(&self) -> bool {
        self.kind == "logical" && self.confirmed.is_none() && !self.is_lost()
    }

    /// Whether its stream is that of another database of the cluster. A physical slot has no database.
    pub fn is_of_another(&self, database: &str) -> bool {
        self.database.as_deref().is_some_and(|own| own != database)
    }

    /// Whether WAL that it needs has been removed, so that the changes in there can no longer be read.
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost") || self.invalidation_reason.is_some()
    }
}

/// How far rowhook came on a slot: its row of the table `progress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The cluster that the slot was in.
    pub system_identifier: String,
    /// The timeline of that cluster.
    pub timeline: u32,
    /// Nothing after this has been confirmed to the slot, but for WAL without events.
    pub confirmed: Lsn,
    /// The version of Postgres that it was noted on; `None` if an earlier rowhook has noted it.
    pub version: Option<i32>,
    /// Whether the table `progress` is the very table that it was noted in, and not one that was made from a dump.
    pub same_table: bool,
}

/// The schema of rowhook's own tables.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Whether setup created it.
    pub made_by_setup: bool,
    /// Whether the role may create tables in it.
    pub may_create: bool,
    /// Who may create in it beside its owner, this role and superusers.
    pub creators: Vec<String>,
    /// Whether the role may read its tables. If not, `migrations` and `events` are empty.
    pub may_read: bool,
    /// Relations in it that do not belong to rowhook.
    pub other_relations: Vec<String>,
    /// Versions of the migrations that have been applied.
    pub migrations: Vec<i32>,
    /// The rows of the table `event`, without the events that rowhook fires itself.
    pub events: Vec<Event>,
    /// The rows of the table `before_event`.
    pub before_events: Vec<BeforeEvent>,
}

/// A row of the table `before_event`: an event that endpoints are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeforeEvent {
    /// Its name, such as `book.removing`.
    pub name: String,
    /// What is asked about, such as `book.deleted`.
    pub source: String,
    /// How long an endpoint may take, in milliseconds.
    pub timeout_ms: i32,
    /// Whether silence refuses.
    pub refuses: bool,
}

/// A trigger that asks before a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeforeTrigger {
    /// Its table.
    pub table: TableName,
    /// Its name.
    pub name: String,
    /// What it tells its function.
    pub arguments: Vec<String>,
    /// Whether it hears insertions, updates and deletions, in this order.
    pub hears: [bool; 3],
    /// Whether somebody has disabled it.
    pub disabled: bool,
}

/// A row of the table `event`: an event that hooks may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name, such as `book.added`.
    pub name: String,
    /// Its source, such as `bookstore_book.created`.
    pub source: String,
    /// Whether it goes to the hooks of all owners: a `+` in hooks.toml.
    pub all_owners: bool,
}

/// The table of the hooks: that of `[hook_table]`, or else rowhook's own.
pub fn hook_table(config: &Config) -> TableName {
    config.hook_columns().table
}

impl Facts {
    /// The server that changes are read from.
    pub fn source(&self) -> &Server {
        self.standby.as_ref().unwrap_or(&self.server)
    }

    /// The table of this name, if it exists and the configuration names it.
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.get(name)
    }

    /// The slot of the configuration, if it is one of this database.
    pub fn own_slot(&self) -> Option<&Slot> {
        let slot = self.slot.as_ref()?;
        (!slot.is_of_another(&self.server.database)).then_some(slot)
    }

    /// The publication of this name, if it exists and is one of rowhook's.
    pub fn publication(&self, name: &str) -> Option<&Publication> {
        self.publications.iter().find(|found| found.name == name)
    }
}

/// Every table that the configuration names.
fn referenced_tables(config: &Config) -> HashSet<TableName> {
    let mut names = HashSet::from([hook_table(config)]);
    names.extend(
        config
            .owner_exists
            .iter()
            .map(|exists| exists.table.clone()),
    );
    let before = config.before.iter().map(|before| &before.rule);
    for rule in config.events.iter().chain(before) {
        if let EventSource::Row { table, .. } = &rule.source {
            names.insert(table.clone());
        }
    }
    for rules in &config.tables {
        names.insert(rules.table.clone());
        let steps = rules.owner.iter().flat_map(|owner| &owner.steps);
        names.extend(steps.map(|step| step.table.clone()));
    }
    names
}

/// The tables whose changes are read, in the order of the file. A table that only has actions fired from SQL is not
/// among them, because those actions come as messages.
pub fn published_tables(config: &Config) -> Vec<TableName> {
    let mut names: IndexSet<&TableName> = IndexSet::new();
    for rule in &config.events {
        if let EventSource::Row { table, action, .. } = &rule.source
            && !matches!(action, Action::Named(_))
        {
            names.insert(table);
        }
    }
    names.into_iter().cloned().collect()
}

/// Every table whose changes are read or should be: those of events, that of the hooks, and those that owners are found
/// in.
pub fn followed_tables(config: &Config, facts: &Facts) -> Vec<TableName> {
    let mut names: IndexSet<TableName> = published_tables(config).into_iter().collect();
    let owners = config
        .owner_exists
        .iter()
        .map(|exists| exists.table.clone());
    names.extend([hook_table(config)].into_iter().chain(owners));
    let looked_up = looked_up_tables(config, facts).into_iter();
    names.extend(looked_up.map(|table| table.name.clone()));
    names.into_iter().collect()
}

/// The tables that hooks.toml names on the paths to owners.
pub fn path_tables(config: &Config) -> IndexSet<TableName> {
    let rules = config
        .tables
        .iter()
        .filter_map(|rules| rules.owner.as_ref());
    let steps = rules.flat_map(|rule| &rule.steps);
    steps.map(|step| step.table.clone()).collect()
}

/// The tables that owners are looked up in, those that exist.
pub fn looked_up_tables<'a>(config: &Config, facts: &'a Facts) -> Vec<&'a Table> {
    let names = path_tables(config);
    let tables = names.iter().filter_map(|name| facts.table(name));
    tables.collect()
}
