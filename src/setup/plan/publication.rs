//! The two publications: one of all changes, and one of the tables of which only inserts can be published.

use super::step::{Runs, Step};
use crate::{
    config::Config,
    postgres::{TableName, quote},
    setup::catalog::{self, Facts, Kind, Publication, Table},
};

/// The first version of Postgres whose publications can have stored generated columns.
const WITH_GENERATED: i32 = 180_000;

/// The steps that create or correct the publications.
pub(super) fn made(config: &Config, facts: &Facts) -> Vec<Step> {
    let (whole, inserts) = wanted_publications(config, facts);
    let made = [&whole, &inserts].into_iter();
    made.filter_map(|publication| created_or_corrected(publication, facts))
        .collect()
}

/// The steps that move each table to the publication where it belongs.
pub(super) fn memberships(config: &Config, facts: &Facts) -> Vec<Step> {
    let (whole, inserts) = wanted_publications(config, facts);
    let mut steps = Vec::new();
    let tables_of = |publication: &Publication| {
        facts
            .publication(&publication.name)
            .map_or(&[][..], |found| &found.tables)
    };
    for (here, there) in [(&whole, &inserts), (&inserts, &whole)] {
        let tables = here.tables.iter();
        steps.extend(tables.filter_map(|table| joined(config, facts, table, here, there)));
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

/// The step that moves one table to the publication where it belongs; `None`: it is there.
pub(super) fn membership(config: &Config, facts: &Facts, table: &TableName) -> Option<Step> {
    let (whole, inserts) = wanted_publications(config, facts);
    let (here, there) = if whole.tables.contains(table) {
        (&whole, &inserts)
    } else if inserts.tables.contains(table) {
        (&inserts, &whole)
    } else {
        return left(facts, table, &[&whole, &inserts]);
    };
    facts.publication(&here.name)?;
    joined(config, facts, table, here, there)
}

/// The step that takes a table of owners out of the publications; `None`: it is in none.
fn left(facts: &Facts, table: &TableName, publications: &[&Publication]) -> Option<Step> {
    let has = |publication: &&&Publication| {
        let found = facts.publication(&publication.name);
        found.is_some_and(|found| found.tables.contains(table))
    };
    let publications = publications.iter().filter(has);
    let sql: String = publications
        .map(|publication| drop_table(publication, table))
        .collect();
    let why = facts.table(table).map(Table::why_inserts_only);
    (!sql.is_empty()).then(|| Step {
        reason: format!(
            "{table} {}: it is asked for owners from here on, since publishing its updates would make them fail",
            why.unwrap_or_default()
        ),
        sql,
        runs: Runs::InTransaction,
    })
}

/// The step that takes a table out of `there` and puts it `here`; `None`: that is how it is.
fn joined(
    config: &Config,
    facts: &Facts,
    table: &TableName,
    here: &Publication,
    there: &Publication,
) -> Option<Step> {
    let has = |publication: &Publication| {
        let found = facts.publication(&publication.name);
        found.is_some_and(|found| found.tables.contains(table))
    };
    let mut sql = String::new();
    if has(there) {
        sql.push_str(&drop_table(there, table));
    }
    if !has(here) {
        sql.push_str(&add_table(here, table));
    }
    (!sql.is_empty()).then(|| Step {
        reason: joining(config, facts, table, here.publishes[1]),
        sql,
        runs: Runs::InTransaction,
    })
}

/// The two publications as they should be.
fn wanted_publications(config: &Config, facts: &Facts) -> (Publication, Publication) {
    let publication = |name: String, publishes| Publication {
        name,
        all_tables: false,
        publishes,
        via_root: true,
        // Without them, Postgres refuses updates of a table that has one in its replica identity.
        generated: (facts.server.version >= WITH_GENERATED).then_some(true),
        tables: Vec::new(),
        owned: true,
    };
    let mut whole = publication(config.database.publication.clone(), [true; 4]);
    let mut inserts = publication(
        config.database.inserts_publication(),
        // TRUNCATE needs no replica identity.
        [true, false, false, true],
    );
    let mut names = catalog::published_tables(config);
    let owners = config
        .owner_exists
        .iter()
        .map(|exists| exists.table.clone());
    for name in [catalog::hook_table(config)].into_iter().chain(owners) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for table in catalog::looked_up_tables(config, facts) {
        if !names.contains(&table.name) && is_followed(config, facts, table) {
            names.push(table.name.clone());
        }
    }
    for name in names {
        // A table that does not exist yet is one of rowhook's own.
        let fit = facts
            .table(&name)
            .is_none_or(|table| identified(config, table));
        let publication = if fit { &mut whole } else { &mut inserts };
        publication.tables.push(name);
    }
    (whole, inserts)
}

/// Whether a table on an owner path is published, so that the stream tells when an owner changes. One that we may not
/// publish, or not with its updates, is asked for each batch instead.
pub(crate) fn is_followed(config: &Config, facts: &Facts, table: &Table) -> bool {
    let whole = facts.publication(&config.database.publication);
    let is_published = whole.is_some_and(|found| found.tables.contains(&table.name));
    let may_publish = table.owned && !matches!(table.kind, Kind::Unpublishable(_));
    identified(config, table) && (is_published || may_publish)
}

fn created_or_corrected(wanted: &Publication, facts: &Facts) -> Option<Step> {
    let name = quote::name(&wanted.name);
    let kinds = ["insert", "update", "delete", "truncate"];
    let publishes: Vec<_> = std::iter::zip(kinds, wanted.publishes)
        .filter_map(|(kind, published)| published.then_some(kind))
        .collect();
    let options = format!(
        "(publish = '{}', publish_via_partition_root = true{})",
        publishes.join(", "),
        match wanted.generated {
            Some(true) => ", publish_generated_columns = stored",
            Some(false) | None => "",
        }
    );
    let (reason, sql) = match facts.publication(&wanted.name) {
        None => (
            format!("the publication {}", wanted.name),
            format!("create publication {name}\nwith {options};\n"),
        ),
        Some(found)
            if found.publishes != wanted.publishes
                || found.via_root != wanted.via_root
                || found.generated != wanted.generated =>
        {
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

fn joining(config: &Config, facts: &Facts, table: &TableName, whole: bool) -> String {
    if *table == catalog::hook_table(config) {
        format!("hooks are read from {table}")
    } else if whole {
        match catalog::published_tables(config).contains(table) {
            true => format!("changes of {table} are heard from here on"),
            false => format!("owners are read from {table}"),
        }
    } else {
        let why = facts.table(table).map(Table::why_inserts_only);
        let why = why.unwrap_or_default();
        format!(
            "{table} {why}: only its inserts are heard, from here on, since publishing its updates would make them fail"
        )
    }
}

/// Without ONLY, tables that inherit from this one would be added too. Partitions are included either way.
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

/// What [`Table::is_identified`] will be after setup.
pub(crate) fn identified(config: &Config, table: &Table) -> bool {
    match table.kind {
        // As in `is_identified`: future partitions have only the primary key.
        Kind::Partitioned if full_wanted(config, table) => !table.primary_key.is_empty(),
        _ => full_wanted(config, table) || table.is_identified(),
    }
}

/// Whether setup gives this table REPLICA IDENTITY FULL, or has: the file asks for it, and no update would fail of it.
pub(crate) fn full_wanted(config: &Config, table: &Table) -> bool {
    full_asked(config, &table.name) && table.no_full().is_none()
}

/// Whether the file has `identity = "full"` for this table.
pub(crate) fn full_asked(config: &Config, table: &TableName) -> bool {
    config
        .tables
        .iter()
        .any(|rules| rules.table == *table && rules.identity_full)
}
