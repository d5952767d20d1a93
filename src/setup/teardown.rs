//! Detaches from a database: takes away what setup made, and gives back what it changed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    catalog::{Facts, Schema, Slot, read_slot},
    migration,
    plan::{Problem, Refused, lock_key},
    session::{Error, Patience, Session},
};
use crate::postgres::quote;
use crate::{config::Config, postgres::TableName};

/// How long a reader of ours may take to end after it was told to.
const STALE_READER: Duration = Duration::from_secs(10);

/// Removes the slot, the publications and rowhook's own tables, and gives tables their replica identity back. Returns what
/// it did, one line each; what is not there is passed over. Hooks and parked deliveries are gone with the tables.
///
/// A reader of the slot that is our own, as after a network loss, is ended.
///
/// # Errors
/// When somebody else reads the slot or keeps things in the schema (then nothing was done), a lock is not to be had, or
/// Postgres refuses.
pub async fn teardown(config: &Config, patience: Patience) -> Result<Vec<String>, Error> {
    let address = &config.database.address;
    let session = Session::open(address, "rowhook teardown", patience).await?;
    let turn = format!("select pg_advisory_lock({})", lock_key(config));
    session
        .locking("wait for a rowhook setup to end", &turn)
        .await?;
    let facts = Facts::read(&session.client, config)
        .await
        .map_err(|error| Error::failed("read the catalog", &error))?;
    let problems: Vec<_> = [
        foreign_reader(config, &facts, address.stream_name()),
        strangers(config, &facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !problems.is_empty() {
        return Err(Refused(problems).into());
    }
    let mut done = Vec::new();
    // The slot first: it alone costs something while it stays, as it keeps WAL.
    if let Some(slot) = &facts.slot {
        done.push(drop_slot(&session, config, slot).await?);
    }
    for publication in &facts.publications {
        let name = &publication.name;
        let doing = format!("dropped the publication {name}");
        let sql = format!("drop publication if exists {}", quote::name(name));
        session.locking(&doing, &sql).await?;
        done.push(doing);
    }
    if let Some(schema) = &facts.schema {
        // After the publications: a table that is still published for updates needs its identity.
        if migration::is_applied("identity", &schema.migrations) {
            done.extend(restore_identities(&session, config).await?);
        }
        done.extend(drop_schema(&session, config, schema).await?);
    }
    Ok(done)
}

fn foreign_reader(config: &Config, facts: &Facts, ours: &str) -> Option<Problem> {
    let slot = facts.slot.as_ref()?;
    let pid = slot.active_pid?;
    let name = slot.application_name.as_deref().unwrap_or("somebody");
    let is_ours = name == ours || name.starts_with(&format!("{ours} "));
    (is_pgoutput(slot) && !is_ours).then(|| {
        Problem::new(
            format!(
                "the slot {} is read by pid {pid} ({name}), which is not rowhook",
                config.database.slot
            ),
            "stop it first",
        )
    })
}

fn strangers(config: &Config, facts: &Facts) -> Option<Problem> {
    let schema = facts.schema.as_ref()?;
    (schema.made_by_setup && !schema.strangers.is_empty()).then(|| {
        Problem::new(
            format!(
                "the schema {} also holds {}, which rowhook did not make",
                config.database.schema,
                schema.strangers.join(", ")
            ),
            "move or drop that first",
        )
    })
}

fn is_pgoutput(slot: &Slot) -> bool {
    slot.plugin.as_deref() == Some("pgoutput")
}

async fn drop_slot(session: &Session, config: &Config, slot: &Slot) -> Result<String, Error> {
    let name = &config.database.slot;
    if !is_pgoutput(slot) {
        return Ok(format!("left the slot {name}, which is not rowhook's"));
    }
    let doing = format!("dropped the slot {name}");
    let failed = |error| Error::failed(&doing, &error);
    let deadline = Instant::now() + STALE_READER;
    let mut reader = slot.active_pid;
    while let Some(pid) = reader {
        if Instant::now() > deadline {
            return Err(Error::Failed {
                doing,
                told: format!("pid {pid} keeps reading it; stop rowhook run first"),
            });
        }
        session
            .client
            .execute("select pg_terminate_backend($1)", &[&pid])
            .await
            .map_err(failed)?;
        sleep(Duration::from_millis(50)).await;
        reader = read_slot(&session.client, name)
            .await
            .map_err(failed)?
            .and_then(|slot| slot.active_pid);
    }
    session
        .client
        .execute("select pg_drop_replication_slot($1::text)", &[name])
        .await
        .map_err(failed)?;
    Ok(doing)
}

async fn restore_identities(session: &Session, config: &Config) -> Result<Vec<String>, Error> {
    let notes = format!("{}.identity", quote::name(&config.database.schema));
    let query = include_str!("../../sql/catalog/identities.sql").replace("{identity}", &notes);
    let ours = vec![
        config.database.publication.clone(),
        config.database.inserts_publication(),
    ];
    let failed = |error| Error::failed("read which replica identities were changed", &error);
    let mut done = Vec::new();
    for row in session
        .client
        .query(&query, &[&ours])
        .await
        .map_err(failed)?
    {
        let table = TableName {
            schema: row.try_get("schema").map_err(failed)?,
            name: row.try_get("name").map_err(failed)?,
        };
        let previous: String = row.try_get("previous").map_err(failed)?;
        if row.try_get("keep").map_err(failed)? {
            done.push(format!(
                "left the replica identity of {table} full: its index is gone, or another publication needs it"
            ));
            continue;
        }
        let doing = format!("set the replica identity of {table} back to {previous}");
        let sql = format!(
            "alter table only {} replica identity {previous}",
            quote::table(&table)
        );
        session.locking(&doing, &sql).await?;
        done.push(doing);
    }
    Ok(done)
}

/// Drops the schema where setup made it, and only our own things where it was there before.
async fn drop_schema(
    session: &Session,
    config: &Config,
    schema: &Schema,
) -> Result<Option<String>, Error> {
    let name = &config.database.schema;
    let quoted = quote::name(name);
    if schema.made_by_setup {
        let doing = format!("dropped the schema {name}");
        let sql = format!("drop schema if exists {quoted} cascade");
        session.locking(&doing, &sql).await?;
        return Ok(Some(doing));
    }
    if schema.migrations.is_empty() {
        return Ok(None);
    }
    let doing = format!("dropped rowhook's tables in the schema {name}");
    let ours = |names: &[&str]| {
        let names: Vec<_> = names
            .iter()
            .map(|ours| format!("{quoted}.{ours}"))
            .collect();
        names.join(", ")
    };
    let sql = format!(
        "begin;\ndrop table if exists {} cascade;\ndrop function if exists {} cascade;\ncommit",
        ours(&migration::TABLES),
        ours(&migration::FUNCTIONS)
    );
    session.locking(&doing, &sql).await?;
    Ok(Some(doing))
}
