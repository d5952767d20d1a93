//! Conflicts between the configuration and the database that no plan could resolve.

use std::collections::{HashMap, HashSet};

use super::problem::Problem;
use crate::{
    config::{Action, Config, EventSource, Location},
    nearest::nearest,
    postgres::{
        TableName, connect, quote,
        standby::{self, Counted},
    },
    setup::{
        asked::Asked,
        catalog::{Facts, Kind, Table},
        migration,
    },
};

/// All such conflicts; empty if a plan can be made.
pub(super) fn problems(config: &Config, facts: &Facts) -> Vec<Problem> {
    let mut problems: Vec<Problem> = unfit_standby(facts).into_iter().collect();
    problems.extend(missing_tables(config, facts));
    problems.extend(unfit_hook_table(config, facts));
    problems.extend(hidden_hooks(config, facts));
    problems.extend(unfit_schema(config, facts));
    problems.extend(unfit_publications(config, facts));
    problems.extend(unfit_slot(config, facts));
    problems
}

fn missing_tables(config: &Config, facts: &Facts) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    // A table that several events are on is reported once.
    let mut told: HashSet<TableName> = HashSet::new();
    let mut missing = 0;
    let named = Named::new(facts);
    let mut look = |table: &TableName, place: Location, published: bool, may_be_gone: bool| {
        if told.contains(table) {
            return;
        }
        let problem = match facts.table(table) {
            // A name that has stood for a table is no slip of the pen, and the others are heard without it.
            None if may_be_gone && facts.gone.contains(table) => return,
            None => {
                missing += 1;
                no_table(table, facts, &named, missing <= GUESSED)
            }
            Some(Table {
                kind: Kind::Unpublishable(what),
                ..
            }) if published => Problem::new(
                format!("{table} is {what}, and its changes are not in the WAL"),
                "name a table that holds the rows",
            ),
            Some(_) => return,
        };
        told.insert(table.clone());
        problems.push(problem.at(place));
    };
    for rule in &config.events {
        if let EventSource::Row { table, action, .. } = &rule.source {
            let published = !matches!(action, Action::Named(_));
            look(table, rule.place, published, true);
        }
    }
    for before in &config.before {
        if let EventSource::Row { table, .. } = &before.rule.source {
            look(table, before.rule.place, true, true);
        }
    }
    for rules in &config.tables {
        look(&rules.table, rules.place, false, true);
        for step in rules.owner.iter().flat_map(|owner| &owner.steps) {
            look(&step.table, rules.place, false, true);
        }
    }
    if let Some(hooks) = &config.hook_table {
        look(&hooks.columns.table, hooks.place, true, false);
    }
    if let Some(exists) = &config.owner_exists {
        look(&exists.table, exists.place, true, false);
    }
    problems
}

/// The tables of the database, as users write them.
struct Named<'a> {
    all: Vec<String>,
    /// The first table of each name, whatever its schema.
    schemas: HashMap<&'a str, &'a TableName>,
}

impl<'a> Named<'a> {
    fn new(facts: &'a Facts) -> Self {
        let names = facts.names.iter();
        Self {
            all: names.clone().map(ToString::to_string).collect(),
            // The last one of a name stays in a map.
            schemas: names.rev().map(|name| (name.name.as_str(), name)).collect(),
        }
    }
}

/// For so many tables that do not exist it is guessed which ones were meant. Where more are missing it is the wrong
/// database, and each guess goes through all of its names.
const GUESSED: usize = 100;

/// The problem that a table does not exist, with a guess at which one was meant.
fn no_table(table: &TableName, facts: &Facts, named: &Named<'_>, guess: bool) -> Problem {
    let meant = match named.schemas.get(table.name.as_str()) {
        Some(known) => Some(known.to_string()),
        None if guess => {
            let known = named.all.iter().map(String::as_str);
            nearest(&table.to_string(), known).map(Into::into)
        }
        None => None,
    };
    Problem {
        what: format!("there is no table {table} in {}", facts.server.database),
        remedy: meant.map(|meant| format!("did you mean {meant}?")),
        place: None,
    }
}

/// A hook table without replica identity: updates and deletes of hooks would be missed, and they would be called for
/// ever.
fn unfit_hook_table(config: &Config, facts: &Facts) -> Option<Problem> {
    let hooks = config.hook_table.as_ref()?;
    let table = facts.table(&hooks.columns.table)?;
    let unfit = table.kind != Kind::Table || !Asked::new(config).identified(table);
    unfit.then(|| {
        Problem::new(
            format!(
                "the hook table {} {}, so that hooks which are removed would go unheard",
                table.name,
                table.why_inserts_only()
            ),
            table.how_to_identify(),
        )
        .at(hooks.place)
    })
}

/// Hooks that row security hides: they would not be heard, and nothing would say so.
pub fn hidden_hooks(config: &Config, facts: &Facts) -> Option<Problem> {
    let name = config.hook_columns().table;
    let table = facts.table(&name).filter(|table| table.row_security)?;
    let problem = Problem::new(
        format!(
            "row security hides hooks in {} from {}",
            table.name, facts.role.name
        ),
        format!(
            "run: alter role {} bypassrls",
            quote::name(&facts.role.name)
        ),
    );
    Some(match &config.hook_table {
        Some(hooks) => problem.at(hooks.place),
        None => problem,
    })
}

/// Whether commits would wait for our stream: a WAL sender of a logical slot counts as a synchronous standby too.
/// On a standby nothing is committed that could wait.
pub fn counted_as_standby(config: &Config, facts: &Facts) -> Option<Counted> {
    let source = facts.source();
    let setting = Some(&source.synchronous_standby_names).filter(|_| !source.in_recovery)?;
    standby::counts(setting, config.database.source().stream_name())
}

/// The first version of Postgres whose standbys can be read by logical replication.
pub(in crate::setup) const READS_STANDBYS: i32 = 160_000;

/// Why changes cannot be read from the standby of `[database] url`, or must not be, because what we note on the primary
/// would not be about them.
pub fn unfit_standby(facts: &Facts) -> Option<Problem> {
    let (standby, primary) = (facts.standby.as_ref()?, &facts.server);
    let problem = |what: String, remedy: &str| Some(Problem::new(what, remedy));
    if standby.system_identifier != primary.system_identifier {
        return problem(
            "the server of [database] url is no standby of that of primary_url: they are two clusters".into(),
            "give in primary_url the primary that it follows",
        );
    }
    if !standby.in_recovery && standby.started != primary.started {
        return problem(
            "the server of [database] url is no standby any more, and takes writes itself".into(),
            "give in primary_url the server that takes writes now, or all hosts and target_session_attrs=read-write",
        );
    }
    if standby.in_recovery && standby.version < READS_STANDBYS {
        return problem(
            format!(
                "Postgres {} cannot be read at a standby, as 16 and newer can",
                standby.version_name
            ),
            "give the primary in [database] url, and leave primary_url out",
        );
    }
    None
}

pub(super) fn unfit_schema(config: &Config, facts: &Facts) -> Option<Problem> {
    let name = &config.database.schema;
    let schema = facts.schema.as_ref()?;
    let role = &facts.role.name;
    if !schema.may_read {
        return Some(Problem::new(
            format!("{role} may not read the tables in the schema {name}"),
            format!("run: {}", migration::grants(name, role)),
        ));
    }
    if !schema.creators.is_empty() {
        return Some(Problem::new(
            connect::open_schema(name, &schema.creators),
            connect::close_schema(name, &schema.creators),
        ));
    }
    if schema.migrations.is_empty() && !schema.other_relations.is_empty() {
        return Some(Problem::new(
            format!(
                "the schema {name} already holds {}",
                schema.other_relations.join(", ")
            ),
            "set [database] schema to a name that is free",
        ));
    }
    newer_tables(config, facts)
}

/// Why this version must not begin: rowhook's tables have something that it does not know of.
pub fn newer_tables(config: &Config, facts: &Facts) -> Option<Problem> {
    let (newest, name) = (migration::newest(), &config.database.schema);
    let mut applied = facts.schema.as_ref()?.migrations.iter();
    let newer = applied.any(|version| *version > newest);
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
            None if facts.own_slot().is_some() => problems.push(Problem::new(
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

/// Why the slot cannot be ours, whoever has set it up.
pub fn unfit_slot(config: &Config, facts: &Facts) -> Option<Problem> {
    let name = &config.database.slot;
    let slot = facts.slot.as_ref()?;
    let what = if slot.kind != "logical" {
        format!("the slot {name} is a physical one")
    } else if slot.temporary {
        format!("the slot {name} is a temporary one of another session")
    } else if slot.is_of_another(&facts.server.database) {
        let database = slot.database.as_deref().unwrap_or_default();
        format!("the slot {name} belongs to the database {database}")
    } else if slot.plugin.as_deref() != Some("pgoutput") {
        let plugin = slot.plugin.as_deref().unwrap_or("no plugin");
        format!("the slot {name} is for {plugin}, not for pgoutput")
    } else if slot.two_phase {
        return Some(Problem::new(
            format!(
                "the slot {name} has two_phase, and its stream prepared transactions that may never be committed"
            ),
            "set [database] slot to a name that is free; or run rowhook teardown and rowhook setup, and send what is missing with rowhook backfill",
        ));
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
