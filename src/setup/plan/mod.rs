//! The plan of setup: the difference between the configuration and the database, as SQL. It is decided on values alone.
//!
//! Two things are easy to get wrong here. The publications must be created before the slot, because a slot looks them
//! up as they were at each point of the WAL. And a table without replica identity must not be published for updates,
//! because Postgres would then refuse the application's own UPDATE.

mod before;
mod fit;
mod precondition;
pub mod problem;
mod publication;
pub mod step;

use super::{
    asked::Asked,
    catalog::{Event, Facts, Kind, RowIdentity, Table},
    migration,
};
use crate::config::Config;
use crate::postgres::{TableName, quote};

use self::step::CREATE_SLOT;

pub(super) use self::{
    before::drop_trigger,
    precondition::{
        at_standby, may_not_create, may_not_replicate, not_owned, wrong_wal_level,
        wrong_wal_level_at_standby,
    },
    publication::is_followed,
};
pub use self::{
    fit::{counted_as_standby, hidden_hooks, newer_tables, unfit_slot, unfit_standby},
    precondition::unmet_preconditions,
    problem::{Problem, Refused},
    step::{Runs, Step},
};

/// The steps of setup, in order; empty if nothing is missing.
///
/// # Errors
/// If the configuration does not fit the database, or a step would lose or break something.
pub fn plan(config: &Config, facts: &Facts) -> Result<Vec<Step>, Refused> {
    if let Some(gap) = facts.gap(config) {
        return Err(Refused::new(config, [gap.problem()]));
    }
    let problems = fit::problems(config, facts);
    if !problems.is_empty() {
        return Err(Refused::new(config, problems));
    }
    let asked = Asked::new(config);
    let mut steps = Vec::new();
    steps.extend(own_tables(config, facts));
    steps.extend(events(config, facts));
    steps.extend(before::steps(config, facts));
    // The publications first: a table that is in one already needs its options for a new identity. And before a table
    // joins, it has its identity.
    steps.extend(publication::made(&asked, facts));
    steps.extend(identities(&asked, facts));
    steps.extend(publication::moved(&asked, facts));
    steps.extend(slot(config, facts));
    Ok(steps)
}

/// The step that brings rowhook's own tables to what this version needs, if they are not.
///
/// # Errors
/// If the schema cannot be read, is somebody else's, or was made by a newer version.
pub fn migrations(config: &Config, facts: &Facts) -> Result<Option<Step>, Refused> {
    match fit::unfit_schema(config, facts) {
        Some(problem) => Err(Refused::new(config, [problem])),
        None => Ok(own_tables(config, facts)),
    }
}

/// The steps as a script for psql.
pub fn script(config: &Config, facts: &Facts, steps: &[Step]) -> String {
    let mut script = comment(&format!(
        "rowhook setup for the database {}. Run it with: psql -v ON_ERROR_STOP=1",
        facts.server.database
    ));
    // As in a session of our own.
    script.push_str("set client_encoding = 'UTF8';\nset standard_conforming_strings = on;\nset plpgsql.extra_errors = 'none';\nset search_path to pg_catalog, pg_temp;\n");
    if steps.is_empty() {
        script.push_str(&comment("Nothing is missing."));
    }
    if let Some(problem) = wrong_wal_level(&facts.server) {
        script.push_str(&comment(&format!("First: {problem}")));
    }
    for step in steps {
        let sql = step.sql.trim_end();
        script.push('\n');
        script.push_str(&comment(&step.reason));
        match step.runs {
            Runs::InTransaction | Runs::Together | Runs::Unnoticed => {
                let turn = one_at_a_time(config);
                let begin = match step.runs {
                    // The lock of setups is nobody else's.
                    Runs::Unnoticed => {
                        script.push_str(&comment(AGAIN));
                        format!("begin;\n{turn}\nset local lock_timeout = '100ms';")
                    }
                    _ => format!("begin;\nset local lock_timeout = '2s';\n{turn}"),
                };
                script.push_str(&format!("{begin}\n{sql}\ncommit;\n"));
            }
            // psql is with the server that is written to.
            Runs::AtSource | Runs::AsReplication if facts.standby.is_some() => {
                script.push_str(&comment(AT_STANDBY));
                script.extend(sql.lines().map(comment));
            }
            Runs::AtSource => script.push_str(&format!("{sql}\n")),
            // psql speaks the replication protocol too, in a session of its own. Such a step is the last.
            Runs::AsReplication => {
                let database = &facts.server.database;
                let database = database.replace('\\', "\\\\").replace('\'', "\\'");
                let session = format!("dbname='{database}' replication=database");
                script.push_str(&format!(
                    "\\connect -reuse-previous=on {}\n{sql}\n",
                    quote::name(&session)
                ));
            }
        }
    }
    script
}

/// What to do about a lock that others hold for longer.
const AGAIN: &str =
    "Where others use these tables for longer than 100 ms, this gives up: run it again.";

/// How a step is run by hand on the standby that changes are read from.
const AT_STANDBY: &str = "Not here, but on the standby of [database] url, when it has replayed what is above. It goes on when this is called here meanwhile: select pg_log_standby_snapshot();";

/// A comment of one line. Line breaks are removed, because what follows one in a name would be run as SQL.
fn comment(text: &str) -> String {
    format!("-- {}\n", text.replace(['\n', '\r'], " "))
}

/// A statement that locks out other setups of this database until the transaction ends.
fn one_at_a_time(config: &Config) -> String {
    format!("select pg_advisory_xact_lock({});", lock_key(config))
}

/// The key of the advisory lock that setups of one database take, as an SQL expression.
pub(super) fn lock_key(config: &Config) -> String {
    let name = format!("rowhook setup of {}", config.database.schema);
    format!("hashtextextended({}, 0)", quote::text(&name))
}

fn own_tables(config: &Config, facts: &Facts) -> Option<Step> {
    let name = &config.database.schema;
    let applied = facts.schema.as_ref().map_or(&[][..], |s| &s.migrations);
    Some(Step {
        reason: format!("rowhook's own tables, in the schema {name}"),
        sql: migration::missing(name, facts.schema.is_some(), applied, &facts.role.name)?,
        // The application may write to the hooks.
        runs: match applied {
            [] => Runs::InTransaction,
            _ => Runs::Unnoticed,
        },
        alters: None,
    })
}

/// A step that copies `[events]` into the table `event`, which new hooks are checked against.
fn events(config: &Config, facts: &Facts) -> Option<Step> {
    let wanted = wanted_events(config);
    let mut there = match &facts.schema {
        Some(schema) => schema.events.clone(),
        None => Vec::new(),
    };
    // The database may sort with another collation.
    there.sort_by(|a, b| a.name.cmp(&b.name));
    if wanted == there {
        return None;
    }
    let table = format!("{}.event", quote::name(&config.database.schema));
    let mut sql = format!("delete from {table}\nwhere source <> 'rowhook';\n");
    if !wanted.is_empty() {
        let rows: Vec<_> = wanted.iter().map(row).collect();
        sql.push_str(&format!(
            "insert into {table} (name, source, all_owners)\nvalues\n    {};\n",
            rows.join(",\n    ")
        ));
    }
    Some(Step {
        reason: "the events that hooks may name".into(),
        sql,
        runs: Runs::InTransaction,
        alters: None,
    })
}

/// The events of the file, sorted by name.
fn wanted_events(config: &Config) -> Vec<Event> {
    let mut wanted: Vec<Event> = config
        .events
        .iter()
        .map(|rule| Event {
            name: rule.name.clone(),
            source: rule.source.to_string(),
            all_owners: rule.all_owners,
        })
        .collect();
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    wanted
}

fn row(event: &Event) -> String {
    format!(
        "({}, {}, {})",
        quote::text(&event.name),
        quote::text(&event.source),
        event.all_owners
    )
}

/// The steps that publish tables of `[events]` as they must be: for each of `names` those of that table, none where it
/// is so, or where there is no such table.
pub(super) fn publishing<'a>(
    config: &Config,
    facts: &Facts,
    names: &'a [TableName],
) -> Vec<(&'a TableName, Vec<Step>)> {
    let asked = Asked::new(config);
    let memberships = publication::memberships(&asked, facts, names.iter());
    let steps_of = |(name, membership)| {
        let table = facts.table(name);
        let table = table.filter(|table| !matches!(table.kind, Kind::Unpublishable(_)));
        let steps = table.map(|table| {
            let mut steps = identities_of(&asked, table);
            steps.extend(membership);
            steps
        });
        (name, steps.unwrap_or_default())
    };
    names.iter().zip(memberships).map(steps_of).collect()
}

/// SQL that fails where the name is not that of this table. It belongs behind statements that lock the table, which
/// then keeps its name until they are committed.
pub(super) fn guard(name: &TableName, oid: u32) -> String {
    let text = quote::text(&quote::table(name));
    let body = format!(
        "begin
            if pg_catalog.to_regclass({text})::pg_catalog.oid is distinct from {oid}::pg_catalog.oid then
                raise exception 'another table has the name by now';
            end if;
        end"
    );
    format!("do {};\n", quote::text(&body))
}

/// Steps that set REPLICA IDENTITY FULL where the file asks for it, and record what it was before.
fn identities(asked: &Asked<'_>, facts: &Facts) -> Vec<Step> {
    let tables = facts.tables.values();
    tables
        .flat_map(|table| identities_of(asked, table))
        .collect()
}

fn identities_of(asked: &Asked<'_>, table: &Table) -> Vec<Step> {
    let config = asked.config;
    // If updates could not be published even then, it would only make the WAL larger.
    if !asked.wants_full(table) || !asked.identified(table) {
        return Vec::new();
    }
    match table.kind {
        // The identities of the partitions decide what the WAL has of an old row, and that of the table what the stream
        // says of it. The table comes last, so that it never promises more than a partition has.
        Kind::Partitioned => {
            let tables = table.leaves.iter().chain([table]);
            tables.filter_map(|table| full(config, table)).collect()
        }
        _ => full(config, table).into_iter().collect(),
    }
}

fn full(config: &Config, table: &Table) -> Option<Step> {
    let (previous, index) = match &table.identity {
        RowIdentity::Full => return None,
        RowIdentity::Key {
            index: Some(index), ..
        } => ('i', quote::text(index)),
        RowIdentity::None { by_choice: true } => ('n', "null".into()),
        RowIdentity::Key { index: None, .. } | RowIdentity::None { by_choice: false } => {
            ('d', "null".into())
        }
    };
    let name = quote::table(&table.name);
    let notes = format!("{}.identity", quote::name(&config.database.schema));
    Some(Step {
        reason: format!(
            "{} has identity = \"full\": its old rows are written to the WAL from here on",
            table.name
        ),
        sql: format!(
            "alter table only {name} replica identity full;\ninsert into {notes} (relation, previous, index_name)\nvalues ({}::regclass, '{previous}', {index})\non conflict (relation) do nothing;\n",
            quote::text(&name)
        ),
        runs: Runs::InTransaction,
        alters: Some(table.name.clone()),
    })
}

fn slot(config: &Config, facts: &Facts) -> Option<Step> {
    let name = &config.database.slot;
    let copied = config.database.failover && facts.source().copies_slots();
    let slot = quote::text(name);
    let Some(found) = &facts.slot else {
        let failover = if copied { ", failover => true" } else { "" };
        return Some(Step {
            reason: format!(
                "the slot {name}: changes are kept from here on until rowhook has read them"
            ),
            sql: format!("select {CREATE_SLOT}({slot}, 'pgoutput'{failover});\n"),
            runs: Runs::AtSource,
            alters: None,
        });
    };
    // Whoever reads a slot keeps others from altering it.
    let wrong = facts.source().copies_slots() && found.failover != copied;
    (wrong && found.active_pid.is_none()).then(|| Step {
        reason: match copied {
            true => format!("the slot {name} is copied by standbys from here on"),
            false => format!("the slot {name} is not copied by standbys any more"),
        },
        sql: format!(
            "ALTER_REPLICATION_SLOT {} (FAILOVER {copied});\n",
            quote::name(name)
        ),
        runs: Runs::AsReplication,
        alters: None,
    })
}
