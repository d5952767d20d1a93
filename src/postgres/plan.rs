//! What setup has to do: the difference between the configuration and the database, as SQL, decided on values alone.
//!
//! Two things here are easy to get wrong. The publications come before the slot, because the slot looks them up as they
//! were at each point of the WAL. And a table without replica identity must not be published for updates, because then
//! Postgres refuses the application's own UPDATE.

use std::fmt;

use super::{
    catalog::{self, Event, Facts, Identity, Kind, Publication, Schema, Table},
    migration,
    nearest::nearest,
    quote,
};
use crate::config::{Config, EventSource, Place, TableName};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Why, in one line.
    pub reason: String,
    /// How; one or more statements.
    pub sql: String,
    /// How it is run.
    pub runs: Runs,
}

/// How a step is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// In a transaction of its own, so that its locks are held for a moment only.
    InTransaction,
    /// Outside of one: Postgres makes no slot in a transaction that has written.
    Alone,
}

/// Something that a person must change first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong and what to do about it, in one line.
    pub what: String,
    /// Where in hooks.toml, if there.
    pub place: Option<Place>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// Everything that stands in the way, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub Vec<Problem>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// What is to be done, in order; empty when all is as it should be.
///
/// # Errors
/// When the configuration does not fit the database, or doing it would lose or break something.
pub fn plan(config: &Config, facts: &Facts) -> Result<Vec<Step>, Refused> {
    let mut problems = missing_tables(config, facts);
    problems.extend(unfit_hook_table(config, facts));
    problems.extend(unfit_schema(config, facts));
    problems.extend(unfit_publications(config, facts));
    problems.extend(unfit_slot(config, facts));
    if !problems.is_empty() {
        return Err(Refused(problems));
    }
    let mut steps = Vec::new();
    steps.extend(own_tables(config, facts));
    steps.extend(events(config, facts));
    steps.extend(identities(config, facts));
    steps.extend(publications(config, facts));
    steps.extend(slot(config, facts));
    Ok(steps)
}

/// What would keep this role on this server from doing `steps`. A DBA who runs the printed SQL is another role.
pub fn hindrances(facts: &Facts, steps: &[Step]) -> Vec<Problem> {
    let mut hindrances = Vec::new();
    let mut say = |what: String| hindrances.push(Problem { what, place: None });
    let (server, role) = (&facts.server, &facts.role);
    if let Some(mend) = wrong_wal_level(&server.wal_level) {
        say(format!(
            "wal_level is {}, and logical replication needs logical; {mend}",
            server.wal_level
        ));
    }
    if server.in_recovery {
        say("this server is a standby; rowhook needs the primary".into());
    }
    let makes = |what: &str| steps.iter().any(|step| step.sql.contains(what));
    let by_dba = "or let its owner run the output of rowhook setup --print";
    if makes(CREATE_SLOT) && !role.may_replicate() {
        say(format!("{}, {by_dba}", no_replication(&role.name)));
    }
    let makes_schema = makes("create schema ") || makes("create publication ");
    if makes_schema && !role.may_create && !role.superuser {
        say(format!(
            "{}, {by_dba}",
            no_create(&role.name, &server.database)
        ));
    }
    for table in &facts.tables {
        let touched = steps.iter().any(|step| {
            let name = quote::table(&table.name);
            step.sql.contains(&format!("table only {name}"))
        });
        if touched && !table.owned {
            say(format!(
                "{} belongs to {}, and only its owner can publish it; run: grant {} to {}, {by_dba}",
                table.name,
                table.owner,
                quote::name(&table.owner),
                quote::name(&role.name)
            ));
        }
    }
    hindrances
}

pub(super) fn wrong_wal_level(level: &str) -> Option<&'static str> {
    (level != "logical").then_some(
        "run: alter system set wal_level = logical; and restart Postgres (on RDS and Aurora: set rds.logical_replication = 1, on Cloud SQL: cloudsql.logical_decoding = on)",
    )
}

pub(super) fn no_replication(role: &str) -> String {
    format!(
        "{role} may not create replication slots; run: alter role {} replication (on RDS: grant rds_replication to it)",
        quote::name(role)
    )
}

pub(super) fn no_create(role: &str, database: &str) -> String {
    format!(
        "{role} may not create schemas and publications in {database}; run: grant create on database {} to {}",
        quote::name(database),
        quote::name(role)
    )
}

/// The steps as SQL that psql runs as it stands.
pub fn script(config: &Config, facts: &Facts, steps: &[Step]) -> String {
    let mut script = format!(
        "-- rowhook setup for the database {}. Run it with: psql -v ON_ERROR_STOP=1\n",
        facts.server.database
    );
    if steps.is_empty() {
        script.push_str("-- Nothing is missing.\n");
    }
    if let Some(mend) = wrong_wal_level(&facts.server.wal_level) {
        script.push_str(&format!(
            "-- First, as wal_level is {}: {mend}\n",
            facts.server.wal_level
        ));
    }
    for step in steps {
        let sql = step.sql.trim_end();
        script.push_str(&format!("\n-- {}\n", step.reason));
        match step.runs {
            Runs::InTransaction => script.push_str(&format!(
                "begin;\nset local lock_timeout = '2s';\n{}\n{sql}\ncommit;\n",
                one_at_a_time(config)
            )),
            Runs::Alone => script.push_str(&format!("{sql}\n")),
        }
    }
    script
}

/// Takes the lock that keeps two setups of one database from mixing, until the transaction ends.
fn one_at_a_time(config: &Config) -> String {
    format!("select pg_advisory_xact_lock({});", lock_key(config))
}

/// The key of that lock, as an SQL expression.
pub(super) fn lock_key(config: &Config) -> String {
    let name = format!("rowhook setup of {}", config.database.schema);
    format!("hashtextextended({}, 0)", quote::text(&name))
}

fn missing_tables(config: &Config, facts: &Facts) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut look = |table: &TableName, place: Place, published: bool| {
        let what = match facts.table(table) {
            None => no_table(table, facts),
            Some(Table {
                kind: Kind::Unpublishable(what),
                ..
            }) if published => {
                format!(
                    "{table} is {what}, and its changes are not in the WAL; name the table behind it"
                )
            }
            Some(_) => return,
        };
        if problems.iter().all(|problem| problem.what != what) {
            problems.push(Problem {
                what,
                place: Some(place),
            });
        }
    };
    for rule in &config.events {
        if let EventSource::Row { table, .. } = &rule.source {
            look(table, rule.place, true);
        }
    }
    for rules in &config.tables {
        look(&rules.table, rules.place, false);
        for step in rules.owner.iter().flat_map(|owner| &owner.steps) {
            look(&step.table, rules.place, false);
        }
    }
    if let Some(hooks) = &config.hook_table {
        look(&hooks.table, hooks.place, true);
    }
    problems
}

/// That there is no such table, and which one was meant.
fn no_table(table: &TableName, facts: &Facts) -> String {
    let elsewhere = facts.names.iter().find(|known| known.name == table.name);
    let known: Vec<String> = facts.names.iter().map(ToString::to_string).collect();
    let meant = match elsewhere {
        Some(known) => Some(known.to_string()),
        None => nearest(&table.to_string(), known.iter().map(String::as_str)).map(Into::into),
    };
    let database = &facts.server.database;
    match meant {
        Some(meant) => {
            format!("there is no table {table} in {database}; did you mean {meant}?")
        }
        None => format!("there is no table {table} in {database}"),
    }
}

/// Hooks that are updated or deleted unheard would be called for ever.
fn unfit_hook_table(config: &Config, facts: &Facts) -> Option<Problem> {
    let hooks = config.hook_table.as_ref()?;
    let table = facts.table(&hooks.table)?;
    let will_be_full = full_wanted(config, &table.name);
    (!identified(table, will_be_full)).then(|| Problem {
        what: format!(
            "the hook table {} has no replica identity, so hooks that are removed would go unheard; give it a primary key, or identity = \"full\"",
            table.name
        ),
        place: Some(hooks.place),
    })
}

fn unfit_schema(config: &Config, facts: &Facts) -> Option<Problem> {
    let name = &config.database.schema;
    let Schema {
        strangers,
        migrations,
        ..
    } = facts.schema.as_ref()?;
    let newest = migration::MIGRATIONS.len() as i32;
    let what = if migrations.is_empty() && !strangers.is_empty() {
        format!(
            "the schema {name} already holds {}; set [database] schema to a name that is free",
            strangers.join(", ")
        )
    } else if migrations.iter().any(|version| *version > newest) {
        format!("the tables in schema {name} were made by a newer rowhook; use that one")
    } else {
        return None;
    };
    Some(Problem { what, place: None })
}

fn unfit_publications(config: &Config, facts: &Facts) -> Vec<Problem> {
    let database = &config.database;
    let mut problems = Vec::new();
    for name in [&database.publication, &database.inserts_publication()] {
        let quoted = quote::name(name);
        let what = match facts.publication(name) {
            Some(found) if found.all_tables => format!(
                "the publication {name} is FOR ALL TABLES, which makes updates of tables without replica identity fail; run: drop publication {quoted}"
            ),
            None if facts.slot.is_some() => format!(
                "the slot {} is older than the publication {name}, which does not exist, and could never be read; run rowhook teardown, then rowhook setup",
                database.slot
            ),
            _ => continue,
        };
        problems.push(Problem { what, place: None });
    }
    problems
}

fn unfit_slot(config: &Config, facts: &Facts) -> Option<Problem> {
    let name = &config.database.slot;
    let slot = facts.slot.as_ref()?;
    let other = "; set [database] slot to a name that is free";
    let what = if slot.kind != "logical" {
        format!("the slot {name} is a physical one{other}")
    } else if slot.temporary {
        format!("the slot {name} is a temporary one of another session{other}")
    } else if slot.plugin.as_deref() != Some("pgoutput") {
        let plugin = slot.plugin.as_deref().unwrap_or("no plugin");
        format!("the slot {name} is for {plugin}, not pgoutput{other}")
    } else if slot.database.as_ref() != Some(&facts.server.database) {
        let database = slot.database.as_deref().unwrap_or("no database");
        format!("the slot {name} belongs to the database {database}{other}")
    } else if slot.is_lost() {
        format!(
            "the slot {name} has lost WAL that it needs, and the changes in there cannot be read any more; run rowhook teardown, then rowhook setup, and rowhook backfill what is missing"
        )
    } else {
        return None;
    };
    Some(Problem { what, place: None })
}

fn own_tables(config: &Config, facts: &Facts) -> Option<Step> {
    let name = &config.database.schema;
    let applied = facts.schema.as_ref().map_or(&[][..], |s| &s.migrations);
    Some(Step {
        reason: format!("rowhook's own tables, in the schema {name}"),
        sql: migration::missing(name, facts.schema.is_some(), applied)?,
        runs: Runs::InTransaction,
    })
}

/// Copies `[events]` into the table that new hooks are checked against.
fn events(config: &Config, facts: &Facts) -> Option<Step> {
    let mut wanted: Vec<Event> = config
        .events
        .iter()
        .map(|rule| Event {
            name: rule.name.clone(),
            source: match &rule.source {
                EventSource::Row { table, action, .. } => format!("{table}.{action}"),
                EventSource::Custom => "custom".into(),
            },
            all_owners: rule.all_owners,
        })
        .collect();
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut there = facts
        .schema
        .as_ref()
        .map_or_else(Vec::new, |schema| schema.events.clone());
    // Not trusting the collation that the database sorted them with.
    there.sort_by(|a, b| a.name.cmp(&b.name));
    if wanted == there {
        return None;
    }
    let event = format!("{}.event", quote::name(&config.database.schema));
    let mut sql = format!("delete from {event}\nwhere source <> 'rowhook'");
    if !wanted.is_empty() {
        let names: Vec<_> = wanted
            .iter()
            .map(|event| quote::text(&event.name))
            .collect();
        let rows: Vec<_> = wanted
            .iter()
            .map(|event| {
                format!(
                    "\n    ({}, {}, {})",
                    quote::text(&event.name),
                    quote::text(&event.source),
                    event.all_owners
                )
            })
            .collect();
        sql.push_str(&format!(
            "\n    and name not in ({});\ninsert into {event} (name, source, all_owners)\nvalues{}\non conflict (name) do update\nset source = excluded.source,\n    all_owners = excluded.all_owners",
            names.join(", "),
            rows.join(",")
        ));
    }
    sql.push_str(";\n");
    Some(Step {
        reason: "the events that hooks may name".into(),
        sql,
        runs: Runs::InTransaction,
    })
}

/// Makes the identity full where the file says so, and notes what it was.
fn identities(config: &Config, facts: &Facts) -> Vec<Step> {
    let notes = format!("{}.identity", quote::name(&config.database.schema));
    let mut steps = Vec::new();
    for rules in config.tables.iter().filter(|rules| rules.identity_full) {
        let Some(table) = facts.table(&rules.table) else {
            continue;
        };
        // What a partitioned table says of itself is asked by nobody: each partition speaks for its own rows.
        let tables = match table.kind {
            Kind::Partitioned => table.leaves.iter().collect(),
            _ => vec![table],
        };
        for table in tables {
            let (previous, index) = match &table.identity {
                Identity::Full => continue,
                Identity::Key {
                    index: Some(index), ..
                } => ('i', quote::text(index)),
                Identity::None { by_choice: true } => ('n', "null".into()),
                Identity::Key { index: None, .. } | Identity::None { by_choice: false } => {
                    ('d', "null".into())
                }
            };
            let name = quote::table(&table.name);
            steps.push(Step {
                reason: format!(
                    "{} has identity = \"full\": its old rows are written to the WAL from here on",
                    table.name
                ),
                sql: format!(
                    "alter table only {name} replica identity full;\ninsert into {notes} (relation, previous, index_name)\nvalues ({}::regclass, '{previous}', {index})\non conflict (relation) do nothing;\n",
                    quote::text(&name)
                ),
                runs: Runs::InTransaction,
            });
        }
    }
    steps
}

fn full_wanted(config: &Config, table: &TableName) -> bool {
    config
        .tables
        .iter()
        .any(|rules| rules.table == *table && rules.identity_full)
}

/// [`Table::is_identified`], as it is after [`identities`].
fn identified(table: &Table, will_be_full: bool) -> bool {
    match table.kind {
        // See is_identified: for the partitions to come, only the primary key counts.
        Kind::Partitioned if will_be_full => !table.primary_key.is_empty(),
        _ => will_be_full || table.is_identified(),
    }
}

/// Creates what is missing, then brings each table into the publication where it belongs and out of the other.
fn publications(config: &Config, facts: &Facts) -> Vec<Step> {
    let (whole, inserts) = wanted_publications(config, facts);
    let mut steps = Vec::new();
    for publication in [&whole, &inserts] {
        steps.extend(created_or_corrected(publication, facts));
    }
    let tables_of = |publication: &Publication| {
        facts
            .publication(&publication.name)
            .map_or(&[][..], |found| &found.tables)
    };
    for (here, there) in [(&whole, &inserts), (&inserts, &whole)] {
        for table in here.tables.iter() {
            let mut sql = String::new();
            if tables_of(there).contains(table) {
                sql.push_str(&drop_table(there, table));
            }
            if !tables_of(here).contains(table) {
                sql.push_str(&add_table(here, table));
            }
            if !sql.is_empty() {
                steps.push(Step {
                    reason: joining(config, table, here.publishes[1]),
                    sql,
                    runs: Runs::InTransaction,
                });
            }
        }
    }
    for publication in [&whole, &inserts] {
        for table in tables_of(publication) {
            if !whole.tables.contains(table) && !inserts.tables.contains(table) {
                steps.push(Step {
                    reason: format!("no event is on {table} any more"),
                    sql: drop_table(publication, table),
                    runs: Runs::InTransaction,
                });
            }
        }
    }
    steps
}

/// The two publications as they should be.
fn wanted_publications(config: &Config, facts: &Facts) -> (Publication, Publication) {
    let publication = |name: String, publishes| Publication {
        name,
        all_tables: false,
        publishes,
        via_root: true,
        tables: Vec::new(),
    };
    let mut whole = publication(config.database.publication.clone(), [true; 4]);
    let mut inserts = publication(
        config.database.inserts_publication(),
        [true, false, false, false],
    );
    let mut names = catalog::published(config);
    let hooks = catalog::hook_table(config);
    if !names.contains(&hooks) {
        names.push(hooks);
    }
    for name in names {
        // A table that is not there yet can only be rowhook's own.
        let fit = facts
            .table(&name)
            .is_none_or(|table| identified(table, full_wanted(config, &name)));
        let publication = if fit { &mut whole } else { &mut inserts };
        publication.tables.push(name);
    }
    (whole, inserts)
}

fn created_or_corrected(wanted: &Publication, facts: &Facts) -> Option<Step> {
    let name = quote::name(&wanted.name);
    let kinds = ["insert", "update", "delete", "truncate"];
    let publishes: Vec<_> = std::iter::zip(kinds, wanted.publishes)
        .filter_map(|(kind, published)| published.then_some(kind))
        .collect();
    let options = format!(
        "(publish = '{}', publish_via_partition_root = true)",
        publishes.join(", ")
    );
    let (reason, sql) = match facts.publication(&wanted.name) {
        None => (
            format!("the publication {}", wanted.name),
            format!("create publication {name}\nwith {options};\n"),
        ),
        Some(found) if found.publishes != wanted.publishes || found.via_root != wanted.via_root => {
            (
                format!(
                    "the publication {} has other options than it needs",
                    wanted.name
                ),
                format!("alter publication {name}\nset {options};\n"),
            )
        }
        Some(_) => return None,
    };
    Some(Step {
        reason,
        sql,
        runs: Runs::InTransaction,
    })
}

fn joining(config: &Config, table: &TableName, whole: bool) -> String {
    if *table == catalog::hook_table(config) {
        format!("hooks are read from {table}")
    } else if whole {
        format!("changes of {table} are heard from here on")
    } else {
        format!(
            "{table} has no replica identity: only its inserts are heard, from here on, since publishing its updates would make them fail"
        )
    }
}

/// ONLY: without it, tables that inherit from this one would come along. Partitions come along either way.
fn add_table(publication: &Publication, table: &TableName) -> String {
    format!(
        "alter publication {} add table only {};\n",
        quote::name(&publication.name),
        quote::table(table)
    )
}

fn drop_table(publication: &Publication, table: &TableName) -> String {
    format!(
        "alter publication {} drop table only {};\n",
        quote::name(&publication.name),
        quote::table(table)
    )
}

const CREATE_SLOT: &str = "pg_create_logical_replication_slot";

fn slot(config: &Config, facts: &Facts) -> Option<Step> {
    let name = &config.database.slot;
    facts.slot.is_none().then(|| Step {
        reason: format!(
            "the slot {name}: changes are kept from here on until rowhook has read them"
        ),
        sql: format!("select {CREATE_SLOT}({}, 'pgoutput');\n", quote::text(name)),
        runs: Runs::Alone,
    })
}
