//! Undoes setup: removes what it created, and restores what it changed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    catalog::{Facts, Schema, Slot},
    migration,
    plan::{Problem, Refused, lock_key},
    session::{DdlSession, Error, LockPolicy},
};
use crate::postgres::quote;
use crate::{config::Config, postgres::TableName};

/// How long a WAL sender of rowhook may take to end after it was terminated.
const STALE_READER: Duration = Duration::from_secs(10);

/// Drops the slot, the publications and rowhook's own tables, with the hooks and parked deliveries in them, and
/// restores the replica identities of tables. Returns what was done, one line for each thing; what does not exist is
/// passed over.
///
/// A connection of rowhook that reads the slot is terminated: after a loss of the network, one can be left over.
///
/// # Errors
/// If somebody else reads the slot or keeps relations in the schema (nothing has been done then), a lock cannot be
/// acquired, or Postgres refuses a statement.
pub async fn teardown(config: &Config, policy: LockPolicy) -> Result<Vec<String>, Error> {
    let address = &config.database.address;
    let session = DdlSession::open(address, "rowhook teardown", policy).await?;
    let turn = format!("select pg_advisory_lock({})", lock_key(config));
    session
        .run_locking("wait for a rowhook setup to end", &turn)
        .await?;
    let facts = Facts::read(&session.client, config)
        .await
        .map_err(|error| Error::failed("read the catalog", &error))?;
    let problems: Vec<_> = [
        foreign_reader(config, &facts, address.stream_name()),
        other_relations(config, &facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !problems.is_empty() {
        return Err(Refused(problems).into());
    }
    let mut done = Vec::new();
    // The slot comes first, because it alone costs something while it exists: it keeps WAL.
    match (&facts.slot, facts.own_slot()) {
        (_, Some(slot)) => done.push(drop_slot(&session, config, slot).await?),
        (Some(theirs), None) => done.push(format!(
            "left the slot {}, which belongs to the database {}",
            config.database.slot,
            theirs.database.as_deref().unwrap_or_default()
        )),
        (None, None) => {}
    }
    for publication in &facts.publications {
        let name = &publication.name;
        let action = format!("dropped the publication {name}");
        let sql = format!("drop publication if exists {}", quote::name(name));
        session.run_locking(&action, &sql).await?;
        done.push(action);
    }
    if let Some(schema) = &facts.schema {
        // After the publications: a table that is published for updates needs its replica identity.
        if migration::is_applied("identity", &schema.migrations) {
            done.extend(restore_identities(&session, config).await?);
        }
        done.extend(drop_schema(&session, config, schema).await?);
    }
    Ok(done)
}

fn foreign_reader(config: &Config, facts: &Facts, ours: &str) -> Option<Problem> {
    let slot = facts.own_slot()?;
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

fn other_relations(config: &Config, facts: &Facts) -> Option<Problem> {
    let schema = facts.schema.as_ref()?;
    (schema.made_by_setup && !schema.other_relations.is_empty()).then(|| {
        Problem::new(
            format!(
                "the schema {} also holds {}, which rowhook did not make",
                config.database.schema,
                schema.other_relations.join(", ")
            ),
            "move or drop that first",
        )
    })
}

fn is_pgoutput(slot: &Slot) -> bool {
    slot.plugin.as_deref() == Some("pgoutput")
}

async fn drop_slot(session: &DdlSession, config: &Config, slot: &Slot) -> Result<String, Error> {
    let name = &config.database.slot;
    if !is_pgoutput(slot) {
        return Ok(format!("left the slot {name}, which is not rowhook's"));
    }
    let action = format!("dropped the slot {name}");
    let failed = |error| Error::failed(&action, &error);
    let deadline = Instant::now() + STALE_READER;
    let mut reader = slot.active_pid;
    while let Some(pid) = reader {
        if Instant::now() > deadline {
            return Err(Error::Failed {
                action,
                message: format!("pid {pid} keeps reading it; stop rowhook run first"),
            });
        }
        session
            .client
            .execute("select pg_terminate_backend($1)", &[&pid])
            .await
            .map_err(failed)?;
        sleep(Duration::from_millis(50)).await;
        reader = Slot::read(&session.client, name)
            .await
            .map_err(failed)?
            .and_then(|slot| slot.active_pid);
    }
    session
        .client
        .execute("select pg_drop_replication_slot($1::text)", &[name])
        .await
        .map_err(failed)?;
    Ok(action)
}

async fn restore_identities(session: &DdlSession, config: &Config) -> Result<Vec<String>, Error> {
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
        let action = format!("set the replica identity of {table} back to {previous}");
        let sql = format!(
            "alter table only {} replica identity {previous}",
            quote::table(&table)
        );
        session.run_locking(&action, &sql).await?;
        done.push(action);
    }
    Ok(done)
}

/// Drops the schema if setup created it. If not, drops only rowhook's tables and functions in it.
async fn drop_schema(
    session: &DdlSession,
    config: &Config,
    schema: &Schema,
) -> Result<Option<String>, Error> {
    let name = &config.database.schema;
    let quoted = quote::name(name);
    if schema.made_by_setup {
        let action = format!("dropped the schema {name}");
        let sql = format!("drop schema if exists {quoted} cascade");
        session.run_locking(&action, &sql).await?;
        return Ok(Some(action));
    }
    if schema.migrations.is_empty() {
        return Ok(None);
    }
    let action = format!("dropped rowhook's tables in the schema {name}");
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
    session.run_locking(&action, &sql).await?;
    Ok(Some(action))
}
