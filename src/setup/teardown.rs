//! Undoes setup: removes what it created, and restores what it changed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    catalog::{Facts, Schema, Slot},
    migration,
    plan::{Problem, Refused, drop_trigger, lock_key},
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
/// If somebody else reads the slot, keeps relations in the schema, or owns what is to be removed (nothing has been done
/// then), a lock cannot be acquired, or Postgres refuses a statement.
pub async fn teardown(config: &Config, policy: LockPolicy) -> Result<Vec<String>, Error> {
    let session = DdlSession::open(&config.database, "rowhook teardown", policy).await?;
    let turn = format!("select pg_advisory_lock({})", lock_key(config));
    session
        .run_locking("wait for a rowhook setup to end", &turn)
        .await?;
    let facts = Facts::read(&session.client, session.standby.as_ref(), config)
        .await
        .map_err(|error| Error::failed("read the catalog", &error))?;
    let problems: Vec<_> = [
        foreign_reader(config, &facts, config.database.source().stream_name()),
        other_relations(config, &facts),
    ]
    .into_iter()
    .flatten()
    .chain(not_ours(&session, config, &facts).await?)
    .collect();
    if !problems.is_empty() {
        return Err(Refused::new(config, problems).into());
    }
    let mut done = Vec::new();
    let identities = identities(&session, config, &facts).await?;
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
    // They concern the application, so it is told of each. Without them, their function would not go.
    for trigger in &facts.before_triggers {
        let action = format!("dropped the trigger {} of {}", trigger.name, trigger.table);
        session.run_locking(&action, &drop_trigger(trigger)).await?;
        done.push(action);
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
        done.extend(restore_identities(&session, &identities).await?);
        done.extend(drop_schema(&session, config, schema).await?);
    }
    // The session ends a moment after the process, and with it the lock would.
    let unlock = format!("select pg_advisory_unlock({})", lock_key(config));
    session.run_locking("end the turn", &unlock).await?;
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
            .at_source()
            .execute("select pg_terminate_backend($1)", &[&pid])
            .await
            .map_err(failed)?;
        sleep(Duration::from_millis(50)).await;
        reader = Slot::read(session.at_source(), name)
            .await
            .map_err(failed)?
            .and_then(|slot| slot.active_pid);
    }
    session
        .at_source()
        .execute("select pg_drop_replication_slot($1::text)", &[name])
        .await
        .map_err(failed)?;
    Ok(action)
}

/// A table whose replica identity setup has changed.
struct Identity {
    table: TableName,
    /// The clause that sets the previous one.
    previous: String,
    /// Whether it has to stay as it is.
    keep: bool,
    owner: String,
    owned: bool,
}

/// The tables whose replica identity setup has changed; none where the role may not see them.
async fn identities(
    session: &DdlSession,
    config: &Config,
    facts: &Facts,
) -> Result<Vec<Identity>, Error> {
    let noted = facts.schema.as_ref().is_some_and(|schema| {
        schema.may_read && migration::is_applied("identity", &schema.migrations)
    });
    if !noted {
        return Ok(Vec::new());
    }
    let notes = format!("{}.identity", quote::name(&config.database.schema));
    let query = include_str!("../../sql/catalog/identities.sql").replace("{identity}", &notes);
    let ours = vec![
        config.database.publication.clone(),
        config.database.inserts_publication(),
    ];
    let read = async {
        let rows = session.client.query(&query, &[&ours]).await?;
        let rows = rows.iter().map(|row| {
            Ok(Identity {
                table: TableName {
                    schema: row.try_get("schema")?,
                    name: row.try_get("name")?,
                },
                previous: row.try_get("previous")?,
                keep: row.try_get("keep")?,
                owner: row.try_get("owner")?,
                owned: row.try_get("owned")?,
            })
        });
        rows.collect::<Result<Vec<_>, tokio_postgres::Error>>()
    };
    read.await
        .map_err(|error| Error::failed("read which replica identities were changed", &error))
}

/// What this role may not remove. Teardown would stop there, with the rest removed already.
async fn not_ours(
    session: &DdlSession,
    config: &Config,
    facts: &Facts,
) -> Result<Vec<Problem>, Error> {
    let role = &facts.role;
    let of_another = |what: String, owner: &str| {
        Problem::new(
            format!(
                "{what} belongs to {owner}, and {} may not remove it",
                role.name
            ),
            format!(
                "run rowhook teardown as {owner}, or: grant {} to {}",
                quote::name(owner),
                quote::name(&role.name)
            ),
        )
    };
    let sql = include_str!("../../sql/catalog/not_ours.sql");
    let publications: Vec<&str> = facts
        .publications
        .iter()
        .map(|publication| publication.name.as_str())
        .collect();
    let schema = &config.database.schema;
    let made = facts
        .schema
        .as_ref()
        .is_some_and(|schema| schema.made_by_setup);
    let tables: Vec<&str> = migration::TABLES.to_vec();
    let rows = session
        .client
        .query(sql, &[&publications, schema, &made, &tables])
        .await;
    let failed = |error| Error::failed("read whose what rowhook made is", &error);
    let mut problems = Vec::new();
    for row in rows.map_err(failed)? {
        let what = row.try_get("what").map_err(failed)?;
        let owner: String = row.try_get("owner").map_err(failed)?;
        problems.push(of_another(what, &owner));
    }
    for identity in identities(session, config, facts).await? {
        if !identity.owned && !identity.keep {
            let what = format!("the replica identity of {}", identity.table);
            problems.push(of_another(what, &identity.owner));
        }
    }
    if facts.own_slot().is_some_and(is_pgoutput) && !role.may_replicate() {
        problems.push(Problem::new(
            format!(
                "{} may not drop the slot {}",
                role.name, config.database.slot
            ),
            format!("run: alter role {} replication", quote::name(&role.name)),
        ));
    }
    Ok(problems)
}

async fn restore_identities(
    session: &DdlSession,
    identities: &[Identity],
) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    for Identity {
        table,
        previous,
        keep,
        ..
    } in identities
    {
        if *keep {
            done.push(format!(
                "left the replica identity of {table} full: its index is gone, or another publication needs it"
            ));
            continue;
        }
        let action = format!("set the replica identity of {table} back to {previous}");
        let sql = format!(
            "alter table only {} replica identity {previous}",
            quote::table(table)
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
