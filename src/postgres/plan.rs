//! What setup has to do: the difference between the configuration and the database, as SQL, decided on values alone.
//!
//! Two things here are easy to get wrong. The publications come before the slot, because the slot looks them up as they
//! were at each point of the WAL. And a table without replica identity must not be published for updates, because then
//! Postgres refuses the application's own UPDATE.

use std::fmt;

use super::{
    catalog::{self, Event, Facts, Identity, Kind, Publication, Role, Server, Table},
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
    /// What is wrong.
    pub what: String,
    /// What to do about it, where that is not obvious.
    pub mend: Option<String>,
    /// Where in hooks.toml, if there.
    pub place: Option<Place>,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            mend: Some(mend.into()),
            place: None,
        }
    }

    fn at(self, place: Place) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }
}

/// In one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        match &self.mend {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
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
    let (server, role) = (&facts.server, &facts.role);
    let makes = |what: &str| steps.iter().any(|step| step.sql.contains(what));
    let makes_schema = makes("create schema ") || makes("create publication ");
    [
        wrong_wal_level(server),
        is_standby(server),
        no_replication(role).filter(|_| makes(CREATE_SLOT)),
        no_create(role, server).filter(|_| makes_schema),
    ]
    .into_iter()
    .flatten()
    .chain(not_ours(facts, steps))
    .collect()
}

/// What `steps` change but this role does not own.
pub(super) fn not_ours(facts: &Facts, steps: &[Step]) -> Vec<Problem> {
    let role = &facts.role;
    let changed = |what: String| steps.iter().any(|step| step.sql.contains(&what));
    let mut problems = Vec::new();
    for publication in facts.publications.iter().filter(|found| !found.owned) {
        if changed(format!(
            "alter publication {} ",
            quote::name(&publication.name)
        )) {
            problems.push(Problem::new(
                format!(
                    "the publication {} belongs to someone else than {}",
                    publication.name, role.name
                ),
                format!("make {} its owner, {BY_DBA}", role.name),
            ));
        }
    }
    for table in facts.tables.iter().filter(|table| !table.owned) {
        if changed(format!("table only {}", quote::table(&table.name))) {
            problems.push(not_owned(table, role));
        }
    }
    let outdated = facts
        .schema
        .as_ref()
        .is_some_and(|schema| !schema.may_create);
    if outdated && changed("create table ".into()) {
        problems.push(Problem::new(
            format!(
                "{} may not create tables in the schema of rowhook",
                role.name
            ),
            format!("make {} its owner, {BY_DBA}", role.name),
        ));
    }
    problems
}

pub(super) fn wrong_wal_level(server: &Server) -> Option<Problem> {
    (server.wal_level != "logical").then(|| {
        Problem::new(
            format!("wal_level is {}, and must be logical", server.wal_level),
            "run: alter system set wal_level = logical; and restart Postgres (RDS and Aurora: rds.logical_replication = 1, Cloud SQL: cloudsql.logical_decoding = on)",
        )
    })
}

pub(super) fn is_standby(server: &Server) -> Option<Problem> {
    server.in_recovery.then(|| {
        Problem::new(
            "this server is a standby",
            "give the primary in [database] url",
        )
    })
}

const BY_DBA: &str = "or let someone who may run the output of rowhook setup --print";

pub(super) fn no_replication(role: &Role) -> Option<Problem> {
    let name = &role.name;
    (!role.may_replicate()).then(|| {
        Problem::new(
            format!("{name} may not create replication slots"),
            format!(
                "run: alter role {} replication (on RDS: grant rds_replication to it); it is needed to read the slot too",
                quote::name(name)
            ),
        )
    })
}

pub(super) fn no_create(role: &Role, server: &Server) -> Option<Problem> {
    let (name, database) = (&role.name, &server.database);
    (!role.may_create).then(|| {
        Problem::new(
            format!("{name} may not create schemas and publications in {database}"),
            format!(
                "run: grant create on database {} to {}, {BY_DBA}",
                quote::name(database),
                quote::name(name)
            ),
        )
    })
}

fn not_owned(table: &Table, role: &Role) -> Problem {
    Problem::new(
        format!(
            "{} belongs to {}, and only its owner can publish it",
            table.name, table.owner
        ),
        format!(
            "run: grant {} to {}, {BY_DBA}",
            quote::name(&table.owner),
            quote::name(&role.name)
        ),
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
    if let Some(problem) = wrong_wal_level(&facts.server) {
        script.push_str(&format!("-- First: {problem}\n"));
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
        let problem = match facts.table(table) {
            None => no_table(table, facts),
            Some(Table {
                kind: Kind::Unpublishable(what),
                ..
            }) if published => Problem::new(
                format!("{table} is {what}, and its changes are not in the WAL"),
                "name a table that holds the rows",
            ),
            Some(_) => return,
        };
        // Once is enough for a table that many events are on.
        if problems.iter().all(|known| known.what != problem.what) {
            problems.push(problem.at(place));
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
fn no_table(table: &TableName, facts: &Facts) -> Problem {
    let elsewhere = facts.names.iter().find(|known| known.name == table.name);
    let known: Vec<String> = facts.names.iter().map(ToString::to_string).collect();
    let meant = match elsewhere {
        Some(known) => Some(known.to_string()),
        None => nearest(&table.to_string(), known.iter().map(String::as_str)).map(Into::into),
    };
    Problem {
        what: format!("there is no table {table} in {}", facts.server.database),
        mend: meant.map(|meant| format!("did you mean {meant}?")),
        place: None,
    }
}

/// Hooks that are updated or deleted unheard would be called for ever.
fn unfit_hook_table(config: &Config, facts: &Facts) -> Option<Problem> {
    let hooks = config.hook_table.as_ref()?;
    let table = facts.table(&hooks.table)?;
    let unfit = table.kind != Kind::Table || !identified(config, table);
    unfit.then(|| {
        Problem::new(
            format!(
                "the hook table {} has no replica identity, so that hooks which are removed would go unheard",
                table.name
            ),
            "give it a primary key, or identity = \"full\"",
        )
        .at(hooks.place)
    })
}

fn unfit_schema(config: &Config, facts: &Facts) -> Option<Problem> {
    let name = &config.database.schema;
    let schema = facts.schema.as_ref()?;
    let role = &facts.role.name;
    if !schema.may_read {
        return Some(Problem::new(
            format!("{role} may not read the tables in the schema {name}"),
            format!("run: {}", migration::grants(name, role)),
        ));
    }
    let newest = migration::MIGRATIONS.len() as i32;
    if schema.migrations.is_empty() && !schema.strangers.is_empty() {
        return Some(Problem::new(
            format!(
                "the schema {name} already holds {}",
                schema.strangers.join(", ")
            ),
            "set [database] schema to a name that is free",
        ));
    }
    let newer = schema.migrations.iter().any(|version| *version > newest);
    newer.then(|| {
        Problem::new(
            format!("the tables in the schema {name} were made by a newer rowhook"),
            "use that one",
        )
    })
}

fn unfit_publications(config: &Config, facts: &Facts) -> Vec<Problem> {
    let database = &config.database;
    let mut problems = Vec::new();
    for name in [&database.publication, &database.inserts_publication()] {
        match facts.publication(name) {
            Some(found) if found.all_tables => problems.push(Problem::new(
                format!("the publication {name} is FOR ALL TABLES, which makes updates of tables without replica identity fail"),
                format!("run: drop publication {}", quote::name(name)),
            )),
            None if facts.slot.is_some() => problems.push(Problem::new(
                format!(
                    "the slot {} is there but the publication {name} is not, and a slot that is older than its publication can never be read",
                    database.slot
                ),
                "run rowhook teardown, then rowhook setup",
            )),
            _ => {}
        }
    }
    problems
}

fn unfit_slot(config: &Config, facts: &Facts) -> Option<Problem> {
    let name = &config.database.slot;
    let slot = facts.slot.as_ref()?;
    let what = if slot.kind != "logical" {
        format!("the slot {name} is a physical one")
    } else if slot.temporary {
        format!("the slot {name} is a temporary one of another session")
    } else if slot.plugin.as_deref() != Some("pgoutput") {
        let plugin = slot.plugin.as_deref().unwrap_or("no plugin");
        format!("the slot {name} is for {plugin}, not for pgoutput")
    } else if slot.database.as_ref() != Some(&facts.server.database) {
        let database = slot.database.as_deref().unwrap_or("no database");
        format!("the slot {name} belongs to the database {database}")
    } else if slot.is_lost() {
        return Some(Problem::new(
            format!(
                "the slot {name} has lost WAL, and the changes in there cannot be read any more"
            ),
            "run rowhook teardown and rowhook setup, then send what is missing with rowhook backfill",
        ));
    } else {
        return None;
    };
    Some(Problem::new(
        what,
        "set [database] slot to a name that is free",
    ))
}

fn own_tables(config: &Config, facts: &Facts) -> Option<Step> {
    let name = &config.database.schema;
    let applied = facts.schema.as_ref().map_or(&[][..], |s| &s.migrations);
    Some(Step {
        reason: format!("rowhook's own tables, in the schema {name}"),
        sql: migration::missing(name, facts.schema.is_some(), applied, &facts.role.name)?,
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

/// [`Table::is_identified`], as it will be after [`identities`].
pub(super) fn identified(config: &Config, table: &Table) -> bool {
    match table.kind {
        // See is_identified: for the partitions to come, only the primary key counts.
        Kind::Partitioned if full_wanted(config, &table.name) => !table.primary_key.is_empty(),
        _ => full_wanted(config, &table.name) || table.is_identified(),
    }
}

/// Does the file ask for `identity = "full"`?
pub(super) fn full_wanted(config: &Config, table: &TableName) -> bool {
    config
        .tables
        .iter()
        .any(|rules| rules.table == *table && rules.identity_full)
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
        owned: true,
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
            .is_none_or(|table| identified(config, table));
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
