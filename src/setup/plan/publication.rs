//! The two publications: one of all changes, and one of the tables of which only inserts can be published.

use indexmap::IndexSet;

use super::step::{Runs, Step};
use crate::{
    postgres::{TableName, quote},
    setup::{
        asked::Asked,
        catalog::{self, Facts, Kind, Publication, Table},
    },
};

/// The first version of Postgres whose publications can have stored generated columns.
const WITH_GENERATED: i32 = 180_000;

/// The steps that create or correct the publications.
pub(super) fn made(asked: &Asked<'_>, facts: &Facts) -> Vec<Step> {
    let (whole, inserts) = wanted_publications(asked, facts);
    let made = [&whole, &inserts].into_iter();
    made.filter_map(|publication| created_or_corrected(publication, facts))
        .collect()
}

/// The steps that move each table to the publication where it belongs.
pub(super) fn moved(asked: &Asked<'_>, facts: &Facts) -> Vec<Step> {
    let (whole, inserts) = wanted_publications(asked, facts);
    let mut steps = Vec::new();
    for (here, there) in [(&whole, &inserts), (&inserts, &whole)] {
        let tables = here.tables.iter();
        steps.extend(tables.filter_map(|table| joined(asked, facts, table, here, there)));
    }
    for publication in [&whole, &inserts] {
        let found = facts.publication(&publication.name);
        for table in found.into_iter().flat_map(|found| &found.tables) {
            if !whole.tables.contains(table) && !inserts.tables.contains(table) {
                steps.push(Step {
                    reason: format!("no event is on {table} any more"),
                    sql: drop_table(publication, table),
                    runs: Runs::Together,
                    alters: Some(table.clone()),
                });
            }
        }
    }
    steps
}

/// The steps that move each of these tables to the publication where it belongs; `None`: it is there.
pub(super) fn memberships<'a>(
    asked: &Asked<'_>,
    facts: &Facts,
    tables: impl Iterator<Item = &'a TableName>,
) -> Vec<Option<Step>> {
    let (whole, inserts) = wanted_publications(asked, facts);
    let membership = |table: &TableName| {
        let (here, there) = if whole.tables.contains(table) {
            (&whole, &inserts)
        } else if inserts.tables.contains(table) {
            (&inserts, &whole)
        } else {
            return left(facts, table, &[&whole, &inserts]);
        };
        facts.publication(&here.name)?;
        joined(asked, facts, table, here, there)
    };
    tables.map(membership).collect()
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
        runs: Runs::Together,
        alters: Some(table.clone()),
    })
}

/// The step that takes a table out of `there` and puts it `here`; `None`: that is how it is.
fn joined(
    asked: &Asked<'_>,
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
        reason: joining(asked, facts, table, here.publishes[1]),
        sql,
        runs: Runs::Together,
        alters: Some(table.clone()),
    })
}

/// The two publications as they should be.
fn wanted_publications(asked: &Asked<'_>, facts: &Facts) -> (Publication, Publication) {
    let config = asked.config;
    let publication = |name: String, publishes| Publication {
        name,
        all_tables: false,
        publishes,
        via_root: true,
        // Without them, Postgres refuses updates of a table that has one in its replica identity.
        generated: (facts.server.version >= WITH_GENERATED).then_some(true),
        tables: IndexSet::new(),
        owned: true,
    };
    let mut whole = publication(config.database.publication.clone(), [true; 4]);
    let mut inserts = publication(
        config.database.inserts_publication(),
        // TRUNCATE needs no replica identity.
        [true, false, false, true],
    );
    let published = asked.published().filter(|name| !facts.gone.contains(*name));
    let mut names: IndexSet<TableName> = published.cloned().collect();
    let owners = config
        .owner_exists
        .iter()
        .map(|exists| exists.table.clone());
    names.extend([catalog::hook_table(config)].into_iter().chain(owners));
    for table in catalog::looked_up_tables(config, facts) {
        if is_followed(asked, facts, table) {
            names.insert(table.name.clone());
        }
    }
    for name in names {
        // A table that does not exist yet is one of rowhook's own.
        let fit = facts
            .table(&name)
            .is_none_or(|table| asked.identified(table));
        let publication = if fit { &mut whole } else { &mut inserts };
        publication.tables.insert(name);
    }
    (whole, inserts)
}

/// Whether a table on an owner path is published, so that the stream tells when an owner changes. One that we may not
/// publish, or not with its updates, is asked for each batch instead.
pub(in crate::setup) fn is_followed(asked: &Asked<'_>, facts: &Facts, table: &Table) -> bool {
    let whole = facts.publication(&asked.config.database.publication);
    let is_published = whole.is_some_and(|found| found.tables.contains(&table.name));
    let may_publish = table.owned && !matches!(table.kind, Kind::Unpublishable(_));
    asked.identified(table) && (is_published || may_publish)
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
        alters: None,
    })
}

fn joining(asked: &Asked<'_>, facts: &Facts, table: &TableName, whole: bool) -> String {
    if *table == catalog::hook_table(asked.config) {
        format!("hooks are read from {table}")
    } else if whole {
        match asked.is_published(table) {
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
