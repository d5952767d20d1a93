//! Reads the state of a database with the queries in sql/catalog.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::{Client, Row};

use super::{
    BeforeEvent, BeforeTrigger, Event, Facts, Kind, Progress, Publication, Role, RowIdentity,
    Schema, Server, Slot, Table, referenced_tables,
};
use crate::{
    config::Config,
    postgres::{Lsn, TableName, connect::session, quote},
    setup::{
        migration,
        product::{self, Product},
    },
};

impl Facts {
    /// Reads the state of a database. It needs no privileges: what the role may not see is missing. `standby` is a
    /// session with the server that changes are read from, where that is another.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn read(
        client: &Client,
        standby: Option<&Client>,
        config: &Config,
    ) -> Result<Self, tokio_postgres::Error> {
        let session = read_session(client).await?;
        let wanted = referenced_tables(config);
        let (names, tables) = read_tables(client, config, &wanted).await?;
        let schema = read_schema(client, &config.database.schema).await?;
        let mut gone = read_followed(client, config, schema.as_ref()).await?;
        gone.retain(|name| wanted.contains(name) && !tables.contains_key(name));
        Ok(Self {
            gone,
            role: role(&session)?,
            server: server(&session, read_product(client).await?)?,
            standby: read_standby(standby).await?,
            before_triggers: read_before_triggers(client, &config.database.schema).await?,
            tables,
            names,
            publications: read_publications(client, config).await?,
            slot: Slot::read(standby.unwrap_or(client), &config.database.slot).await?,
            progress: read_progress(client, config, schema.as_ref()).await?,
            schema,
        })
    }
}

/// Reads the server, the session with it and its role.
async fn read_session(client: &Client) -> Result<Row, tokio_postgres::Error> {
    let sql = include_str!("../../../sql/catalog/server.sql");
    client.query_one(sql, &[]).await
}

async fn read_standby(client: Option<&Client>) -> Result<Option<Server>, tokio_postgres::Error> {
    let Some(client) = client else {
        return Ok(None);
    };
    let session = read_session(client).await?;
    server(&session, read_product(client).await?).map(Some)
}

/// Reads which managed service runs the server.
async fn read_product(client: &Client) -> Result<Option<Product>, tokio_postgres::Error> {
    let sql = include_str!("../../../sql/catalog/managed.sql");
    let rows = client.query(sql, &[&product::marks()]).await?;
    let marks = rows.iter().map(|row| row.try_get("mark"));
    Ok(Product::of(&marks.collect::<Result<Vec<String>, _>>()?))
}

impl Facts {
    /// Reads what tells where we are: the server, the slot, and how far we came on it.
    ///
    /// # Errors
    /// If a query fails.
    pub(in crate::setup) async fn read_position(
        client: &Client,
        standby: Option<&Client>,
        config: &Config,
    ) -> Result<(Server, Option<Slot>, Option<Progress>), tokio_postgres::Error> {
        let session = read_session(client).await?;
        let schema = read_schema(client, &config.database.schema).await?;
        Ok((
            server(&session, None)?,
            Slot::read(standby.unwrap_or(client), &config.database.slot).await?,
            read_progress(client, config, schema.as_ref()).await?,
        ))
    }
}

fn server(row: &Row, product: Option<Product>) -> Result<Server, tokio_postgres::Error> {
    Ok(Server {
        product,
        version: row.try_get("version")?,
        version_name: row.try_get("version_name")?,
        wal_level: row.try_get("wal_level")?,
        in_recovery: row.try_get("in_recovery")?,
        started: row.try_get("started")?,
        max_slots: row.try_get("max_slots")?,
        used_slots: row.try_get("used_slots")?,
        max_senders: row.try_get("max_senders")?,
        used_senders: row.try_get("used_senders")?,
        wal_keep: row.try_get("wal_keep")?,
        synchronous_standby_names: row.try_get("synchronous_standby_names")?,
        tls: row.try_get("tls")?,
        database: row.try_get("database")?,
        system_identifier: row.try_get("system_identifier")?,
        timeline: row
            .try_get::<_, Option<i64>>("timeline")?
            .and_then(|timeline| u32::try_from(timeline).ok()),
        flushed: lsn(row, "flushed")?,
    })
}

fn lsn(row: &Row, column: &str) -> Result<Option<Lsn>, tokio_postgres::Error> {
    let text: Option<&str> = row.try_get(column)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Reads how far rowhook came on the slot, if the table `progress` exists and the role may read it.
async fn read_progress(
    client: &Client,
    config: &Config,
    schema: Option<&Schema>,
) -> Result<Option<Progress>, tokio_postgres::Error> {
    let readable = schema.is_some_and(|schema| {
        schema.may_read && migration::is_applied("progress", &schema.migrations)
    });
    if !readable {
        return Ok(None);
    }
    let schema = quote::name(&config.database.schema);
    // An earlier rowhook has made a table with fewer columns.
    let sql = format!(
        "select system_identifier, timeline, confirmed::text as confirmed,
            (to_jsonb(p) ->> 'server_version')::integer as version,
            coalesce((to_jsonb(p) ->> 'relation')::oid = p.tableoid, false) as same_table
         from {schema}.progress as p
         where slot = $1"
    );
    let Some(row) = client.query_opt(&sql, &[&config.database.slot]).await? else {
        return Ok(None);
    };
    let timeline: i64 = row.try_get("timeline")?;
    let noted = lsn(&row, "confirmed")?.zip(u32::try_from(timeline).ok());
    let Some((confirmed, timeline)) = noted else {
        return Ok(None);
    };
    Ok(Some(Progress {
        system_identifier: row.try_get("system_identifier")?,
        timeline,
        confirmed,
        version: row.try_get("version")?,
        same_table: row.try_get("same_table")?,
    }))
}

/// Reads which names have stood for a table, as far as the role may read that.
async fn read_followed(
    client: &Client,
    config: &Config,
    schema: Option<&Schema>,
) -> Result<HashSet<TableName>, tokio_postgres::Error> {
    let readable = schema.is_some_and(|schema| {
        schema.may_read && migration::is_applied("followed", &schema.migrations)
    });
    if !readable {
        return Ok(HashSet::new());
    }
    let schema = quote::name(&config.database.schema);
    // In a copy of the database it is another's.
    let sql = format!(
        "select schema, name from {schema}.followed where slot = $1 and relation = tableoid and not is_former"
    );
    let rows = client.query(&sql, &[&config.database.slot]).await?;
    rows.iter().map(table_name).collect()
}

fn role(row: &Row) -> Result<Role, tokio_postgres::Error> {
    Ok(Role {
        name: row.try_get("role")?,
        superuser: row.try_get("superuser")?,
        replication: row.try_get("replication")?,
        managed: row.try_get("managed_role")?,
        may_create: row.try_get("may_create")?,
    })
}

/// How often the tables are read again, where one of them is put in the place of another just then.
const LOOKS: usize = 10;

/// Reads the names of all relations, and the tables that the configuration names.
async fn read_tables(
    client: &Client,
    config: &Config,
    wanted: &HashSet<TableName>,
) -> Result<(Vec<TableName>, BTreeMap<TableName, Table>), tokio_postgres::Error> {
    for _ in 1..LOOKS {
        let (names, tables) = look_at_tables(client, config, wanted).await?;
        let is_missing = |name: &&TableName| wanted.contains(*name) && !tables.contains_key(*name);
        if !names.iter().any(|name| is_missing(&name)) {
            return Ok((names, tables));
        }
    }
    look_at_tables(client, config, wanted).await
}

/// Each query sees the database at another moment. A table of the first that the last no longer finds was dropped or
/// renamed between them.
async fn look_at_tables(
    client: &Client,
    config: &Config,
    wanted: &HashSet<TableName>,
) -> Result<(Vec<TableName>, BTreeMap<TableName, Table>), tokio_postgres::Error> {
    let mut names = Vec::new();
    let mut oids: Vec<u32> = Vec::new();
    for row in client
        .query(include_str!("../../../sql/catalog/names.sql"), &[])
        .await?
    {
        let name = table_name(&row)?;
        if wanted.contains(&name) {
            oids.push(row.try_get("oid")?);
        }
        names.push(name);
    }
    let mut leaves_of: HashMap<u32, Vec<u32>> = HashMap::new();
    for row in client
        .query(include_str!("../../../sql/catalog/leaves.sql"), &[&oids])
        .await?
    {
        let leaf: u32 = row.try_get("leaf")?;
        leaves_of
            .entry(row.try_get("root")?)
            .or_default()
            .push(leaf);
        oids.push(leaf);
    }
    let found: BTreeMap<u32, Table> = client
        .query(
            include_str!("../../../sql/catalog/tables.sql"),
            &[&oids, &own_publications(config)],
        )
        .await?
        .iter()
        .map(|row| Ok((row.try_get("oid")?, table(row)?)))
        .collect::<Result<_, tokio_postgres::Error>>()?;
    let with_leaves = |(oid, table): (&u32, &Table)| {
        let leaves = leaves_of.get(oid).into_iter().flatten();
        let leaves = leaves.filter_map(|leaf| found.get(leaf)).cloned().collect();
        let table = table.clone();
        (table.name.clone(), Table { leaves, ..table })
    };
    let named = found
        .iter()
        .filter(|(_, table)| wanted.contains(&table.name));
    Ok((names, named.map(with_leaves).collect()))
}

fn table_name(row: &Row) -> Result<TableName, tokio_postgres::Error> {
    Ok(TableName {
        schema: row.try_get("schema")?,
        name: row.try_get("name")?,
    })
}

/// The tables of two columns that hold arrays: their schemas, and their names.
fn table_names(
    row: &Row,
    schemas: &str,
    names: &str,
) -> Result<Vec<TableName>, tokio_postgres::Error> {
    let schemas: Vec<String> = row.try_get(schemas)?;
    let names: Vec<String> = row.try_get(names)?;
    let both = schemas.into_iter().zip(names);
    Ok(both
        .map(|(schema, name)| TableName { schema, name })
        .collect())
}

/// A table without its leaves.
fn table(row: &Row) -> Result<Table, tokio_postgres::Error> {
    // The type "char" is read as a signed byte.
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
        ('f', _) => RowIdentity::Full,
        ('i', Some(columns)) => RowIdentity::Key {
            columns,
            index: row.try_get("index_name")?,
        },
        (_, Some(columns)) => RowIdentity::Key {
            columns,
            index: None,
        },
        (how, None) => RowIdentity::None {
            by_choice: how == 'n',
        },
    };
    Ok(Table {
        name: table_name(row)?,
        kind,
        identity,
        primary_key: row.try_get("primary_key")?,
        columns: row.try_get("columns")?,
        left_out: row.try_get("left_out")?,
        virtual_columns: row.try_get("virtual")?,
        partial_publications: row.try_get("partial_publications")?,
        ancestors: table_names(row, "ancestor_schemas", "ancestor_names")?,
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
    let wanted = own_publications(config);
    let rows = client
        .query(
            include_str!("../../../sql/catalog/publications.sql"),
            &[&wanted],
        )
        .await?;
    rows.iter()
        .map(|row| {
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
                generated: row.try_get("generated")?,
                owned: row.try_get("owned")?,
                tables: table_names(row, "schemas", "names")?.into_iter().collect(),
            })
        })
        .collect()
}

/// The names of rowhook's two publications.
fn own_publications(config: &Config) -> [String; 2] {
    [
        config.database.publication.clone(),
        config.database.inserts_publication(),
    ]
}

impl Slot {
    /// Reads the slot of this name. Returns `None` if there is no such slot.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn read(client: &Client, name: &str) -> Result<Option<Self>, tokio_postgres::Error> {
        let row = client
            .query_opt(include_str!("../../../sql/catalog/slot.sql"), &[&name])
            .await?;
        row.map(|row| {
            Ok(Self {
                kind: row.try_get("type")?,
                plugin: row.try_get("plugin")?,
                database: row.try_get("database")?,
                temporary: row.try_get("temporary")?,
                two_phase: row.try_get("two_phase")?,
                active_pid: row.try_get("active_pid")?,
                application_name: row.try_get("application_name")?,
                wal_status: row.try_get("wal_status")?,
                invalidation_reason: row.try_get("invalidation_reason")?,
                confirmed: lsn(&row, "confirmed")?,
                safe_wal_size: row.try_get("safe_wal_size")?,
                lag: row.try_get("lag")?,
                failover: row.try_get("failover")?,
            })
        })
        .transpose()
    }
}

async fn read_schema(
    client: &Client,
    schema: &str,
) -> Result<Option<Schema>, tokio_postgres::Error> {
    let ours: Vec<&str> = migration::TABLES.to_vec();
    let Some(row) = client
        .query_opt(
            include_str!("../../../sql/catalog/schema.sql"),
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
        creators: session::creators(client, schema).await?,
        other_relations: row.try_get("other_relations")?,
        migrations: Vec::new(),
        events: Vec::new(),
        before_events: Vec::new(),
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
    if migration::is_applied("event", &found.migrations) {
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
    if migration::is_applied("before", &found.migrations) {
        let sql = format!("select name, source, timeout_ms, refuses from {schema}.before_event");
        for row in client.query(&sql, &[]).await? {
            found.before_events.push(BeforeEvent {
                name: row.try_get(0)?,
                source: row.try_get(1)?,
                timeout_ms: row.try_get(2)?,
                refuses: row.try_get(3)?,
            });
        }
    }
    Ok(Some(found))
}

/// Reads the triggers that ask before a commit.
async fn read_before_triggers(
    client: &Client,
    schema: &str,
) -> Result<Vec<BeforeTrigger>, tokio_postgres::Error> {
    let sql = include_str!("../../../sql/catalog/before_triggers.sql");
    let rows = client.query(sql, &[&schema]).await?;
    let triggers = rows.iter().map(|row| {
        let arguments: &[u8] = row.try_get("arguments")?;
        let arguments = arguments
            .strip_suffix(&[0])
            .unwrap_or(arguments)
            .split(|byte| *byte == 0);
        let arguments = arguments.map(|argument| String::from_utf8_lossy(argument).into_owned());
        Ok(BeforeTrigger {
            table: table_name(row)?,
            name: row.try_get("trigger")?,
            arguments: arguments.collect(),
            hears: [
                row.try_get("inserts")?,
                row.try_get("updates")?,
                row.try_get("deletes")?,
            ],
            disabled: row.try_get("disabled")?,
        })
    });
    triggers.collect()
}
