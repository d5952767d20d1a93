//! The two publications: one of all changes, and one of the tables of which only inserts can be published.

use super::step::{Runs, Step};
use crate::{
    config::Config,
    postgres::{TableName, quote},
    setup::catalog::{self, Facts, Kind, Publication, Table},
};

/// The steps that create or correct the publications, and then move each table to the one where it belongs.
pub(super) fn steps(config: &Config, facts: &Facts) -> Vec<Step> {
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
    let (here, there) = match whole.tables.contains(table) {
        true => (&whole, &inserts),
        false => (&inserts, &whole),
    };
    facts.publication(&here.name)?;
    joined(config, facts, table, here, there)
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
        reason: joining(config, table, here.publishes[1]),
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
        match catalog::published_tables(config).contains(table) {
            true => format!("changes of {table} are heard from here on"),
            false => format!("owners are read from {table}"),
        }
    } else {
        format!(
            "{table} has no replica identity: only its inserts are heard, from here on, since publishing its updates would make them fail"
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
        Kind::Partitioned if full_wanted(config, &table.name) => !table.primary_key.is_empty(),
        _ => full_wanted(config, &table.name) || table.is_identified(),
    }
}

/// Whether the file has `identity = "full"` for this table.
pub(crate) fn full_wanted(config: &Config, table: &TableName) -> bool {
    config
        .tables
        .iter()
        .any(|rules| rules.table == *table && rules.identity_full)
}
