//! What setup and check need to know of a database, read in one go. What follows from it is decided elsewhere, on values.

use tokio_postgres::{Client, Row};

use super::{migration, quote};
use crate::config::{Action, Config, EventSource, TableName};

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
    match &config.hook_table {
        Some(theirs) => theirs.table.clone(),
        None => TableName {
            schema: config.database.schema.clone(),
            name: "hook".into(),
        },
    }
}

impl Facts {
    /// Reads them. Needs no privilege: what the role may not see is what it may not use.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn read(client: &Client, config: &Config) -> Result<Self, tokio_postgres::Error> {
        let server = client
            .query_one(include_str!("../../sql/catalog/server.sql"), &[])
            .await?;
        let (names, tables) = read_tables(client, config).await?;
        Ok(Self {
            role: Role {
                name: server.try_get("role")?,
                superuser: server.try_get("superuser")?,
                replication: server.try_get("replication")?,
                managed: server.try_get("managed_role")?,
                may_create: server.try_get("may_create")?,
            },
            server: Server {
                version: server.try_get("version")?,
                version_name: server.try_get("version_name")?,
                wal_level: server.try_get("wal_level")?,
                in_recovery: server.try_get("in_recovery")?,
                max_slots: server.try_get("max_slots")?,
                used_slots: server.try_get("used_slots")?,
                max_senders: server.try_get("max_senders")?,
                used_senders: server.try_get("used_senders")?,
                wal_keep: server.try_get("wal_keep")?,
                tls: server.try_get("tls")?,
                database: server.try_get("database")?,
            },
            tables,
            names,
            publications: read_publications(client, config).await?,
            slot: read_slot(client, &config.database.slot).await?,
            schema: read_schema(client, &config.database.schema).await?,
        })
    }

    /// The table of this name, if it exists.
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// The publication of this name, if it exists.
    pub fn publication(&self, name: &str) -> Option<&Publication> {
        self.publications.iter().find(|found| found.name == name)
    }
}

/// Every name, and the tables among them that the configuration mentions.
async fn read_tables(
    client: &Client,
    config: &Config,
) -> Result<(Vec<TableName>, Vec<Table>), tokio_postgres::Error> {
    let wanted = mentioned(config);
    let mut names = Vec::new();
    let mut oids: Vec<u32> = Vec::new();
    for row in client
        .query(include_str!("../../sql/catalog/names.sql"), &[])
        .await?
    {
        let name = table_name(&row)?;
        if wanted.contains(&name) {
            oids.push(row.try_get("oid")?);
        }
        names.push(name);
    }
    let mut tables = Vec::new();
    let partitioned: Vec<(u32, u32)> = client
        .query(include_str!("../../sql/catalog/leaves.sql"), &[&oids])
        .await?
        .iter()
        .map(|row| Ok((row.try_get("root")?, row.try_get("leaf")?)))
        .collect::<Result<_, tokio_postgres::Error>>()?;
    oids.extend(partitioned.iter().map(|(_, leaf)| *leaf));
    let found: Vec<(u32, Table)> = client
        .query(include_str!("../../sql/catalog/tables.sql"), &[&oids])
        .await?
        .iter()
        .map(|row| Ok((row.try_get("oid")?, table(row)?)))
        .collect::<Result<_, tokio_postgres::Error>>()?;
    for (oid, table) in &found {
        if !wanted.contains(&table.name) {
            continue;
        }
        let leaves = found
            .iter()
            .filter(|(leaf, _)| partitioned.contains(&(*oid, *leaf)))
            .map(|(_, leaf)| leaf.clone())
            .collect();
        tables.push(Table {
            leaves,
            ..table.clone()
        });
    }
    Ok((names, tables))
}

/// Every table that the configuration names, once.
fn mentioned(config: &Config) -> Vec<TableName> {
    let mut names = vec![hook_table(config)];
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

fn table_name(row: &Row) -> Result<TableName, tokio_postgres::Error> {
    Ok(TableName {
        schema: row.try_get("schema")?,
        name: row.try_get("name")?,
    })
}

/// Without its leaves.
fn table(row: &Row) -> Result<Table, tokio_postgres::Error> {
    // "char" arrives as a signed byte.
    let character = |column: &str| row.try_get::<_, i8>(column).map(|byte| byte as u8 as char);
    let kind = match (character("relkind")?, character("relpersistence")?) {
        ('r' | 'p', 'u') => Kind::Unpublishable("an unlogged table"),
        ('r', _) => Kind::Table,
        ('p', _) => Kind::Partitioned,
        ('v', _) => Kind::Unpublishable("a view"),
        ('m', _) => Kind::Unpublishable("a materialized view"),
        ('f', _) => Kind::Unpublishable("a foreign table"),
        _ => Kind::Unpublishable("no table"),
    };
    let identity = match (
        character("relreplident")?,
        row.try_get::<_, Option<Vec<String>>>("identity")?,
    ) {
        ('f', _) => Identity::Full,
        ('i', Some(columns)) => Identity::Key {
            columns,
            index: row.try_get("index_name")?,
        },
        (_, Some(columns)) => Identity::Key {
            columns,
            index: None,
        },
        (how, None) => Identity::None {
            by_choice: how == 'n',
        },
    };
    Ok(Table {
        name: table_name(row)?,
        kind,
        identity,
        primary_key: row.try_get("primary_key")?,
        columns: row.try_get("columns")?,
        generated: row.try_get("generated")?,
        leaves: Vec::new(),
        row_security: row.try_get("row_security")?,
        may_select: row.try_get("may_select")?,
        owned: row.try_get("owned")?,
        owner: row.try_get("owner")?,
    })
}

async fn read_publications(
    client: &Client,
    config: &Config,
) -> Result<Vec<Publication>, tokio_postgres::Error> {
    let wanted = vec![
        config.database.publication.clone(),
        config.database.inserts_publication(),
    ];
    let rows = client
        .query(
            include_str!("../../sql/catalog/publications.sql"),
            &[&wanted],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let schemas: Vec<String> = row.try_get("schemas")?;
            let names: Vec<String> = row.try_get("names")?;
            Ok(Publication {
                name: row.try_get("name")?,
                all_tables: row.try_get("all_tables")?,
                publishes: [
                    row.try_get("inserts")?,
                    row.try_get("updates")?,
                    row.try_get("deletes")?,
                    row.try_get("truncates")?,
                ],
                via_root: row.try_get("via_root")?,
                owned: row.try_get("owned")?,
                tables: schemas
                    .into_iter()
                    .zip(names)
                    .map(|(schema, name)| TableName { schema, name })
                    .collect(),
            })
        })
        .collect()
}

/// The slot of this name. `None`: there is none.
pub(super) async fn read_slot(
    client: &Client,
    name: &str,
) -> Result<Option<Slot>, tokio_postgres::Error> {
    let row = client
        .query_opt(include_str!("../../sql/catalog/slot.sql"), &[&name])
        .await?;
    row.map(|row| {
        Ok(Slot {
            kind: row.try_get("type")?,
            plugin: row.try_get("plugin")?,
            database: row.try_get("database")?,
            temporary: row.try_get("temporary")?,
            active_pid: row.try_get("active_pid")?,
            application_name: row.try_get("application_name")?,
            wal_status: row.try_get("wal_status")?,
            invalidation_reason: row.try_get("invalidation_reason")?,
            lag: row.try_get("lag")?,
        })
    })
    .transpose()
}

async fn read_schema(
    client: &Client,
    schema: &str,
) -> Result<Option<Schema>, tokio_postgres::Error> {
    let ours: Vec<&str> = migration::TABLES.to_vec();
    let Some(row) = client
        .query_opt(
            include_str!("../../sql/catalog/schema.sql"),
            &[&schema, &ours, &migration::SCHEMA_COMMENT],
        )
        .await?
    else {
        return Ok(None);
    };
    let mut found = Schema {
        made_by_setup: row.try_get("made_by_setup")?,
        may_create: row.try_get("may_create")?,
        may_read: row.try_get("may_read")?,
        strangers: row.try_get("strangers")?,
        migrations: Vec::new(),
        events: Vec::new(),
    };
    if !found.may_read || !row.try_get("migrated")? {
        return Ok(Some(found));
    }
    let schema = quote::name(schema);
    for row in client
        .query(
            &format!("select version from {schema}.migration order by version"),
            &[],
        )
        .await?
    {
        found.migrations.push(row.try_get(0)?);
    }
    if found.migrations.contains(&2) {
        for row in client
            .query(
                &format!(
                    "select name, source, all_owners from {schema}.event where source <> 'rowhook' order by name"
                ),
                &[],
            )
            .await?
        {
            found.events.push(Event {
                name: row.try_get(0)?,
                source: row.try_get(1)?,
                all_owners: row.try_get(2)?,
            });
        }
    }
    Ok(Some(found))
}
