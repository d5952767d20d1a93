//! What the server and the role must allow before a plan can be carried out.

use std::collections::HashSet;

use super::{
    problem::Problem,
    step::{CREATE_SLOT, Step},
};
use crate::{
    postgres::{TableName, quote},
    setup::{
        catalog::{Facts, Role, Server, Table},
        product::Product,
    },
};

/// What keeps this role from carrying out `steps` on this server. A printed script is not held to it, since a DBA may
/// run it as another role.
pub fn unmet_preconditions(facts: &Facts, steps: &[Step]) -> Vec<Problem> {
    let (server, role) = (&facts.server, &facts.role);
    let makes = |what: &str| steps.iter().any(|step| step.sql.contains(what));
    let makes_schema = makes("create schema ") || makes("create publication ");
    [
        wrong_wal_level(server),
        standby(server),
        may_not_replicate(role, server).filter(|_| makes(CREATE_SLOT)),
        may_not_create(role, server).filter(|_| makes_schema),
    ]
    .into_iter()
    .flatten()
    .chain(not_owned(facts, steps))
    .collect()
}

/// What `steps` change although this role does not own it.
pub(crate) fn not_owned(facts: &Facts, steps: &[Step]) -> Vec<Problem> {
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
    let altered: HashSet<&TableName> = steps
        .iter()
        .filter_map(|step| step.alters.as_ref())
        .collect();
    for table in facts.tables.values().filter(|table| !table.owned) {
        if altered.contains(&table.name) {
            problems.push(table_not_owned(table, role));
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

/// The problem that wal_level is not logical, if so.
pub(crate) fn wrong_wal_level(server: &Server) -> Option<Problem> {
    (server.wal_level != "logical").then(|| {
        Problem::new(
            format!("wal_level is {}, and must be logical", server.wal_level),
            server.product.map_or(
                "run: alter system set wal_level = logical; and restart Postgres (RDS and Aurora: rds.logical_replication = 1, Cloud SQL: cloudsql.logical_decoding = on)",
                Product::logical,
            ),
        )
    })
}

/// The problem that the server is a standby, if it is.
pub(crate) fn standby(server: &Server) -> Option<Problem> {
    server.in_recovery.then(|| {
        Problem::new(
            "this server is a standby",
            "give the primary in [database] url",
        )
    })
}

/// The other remedy for a missing privilege.
const BY_DBA: &str = "or let someone who may run the output of rowhook setup --print";

/// The problem that the role may not create or read slots, if so.
pub(crate) fn may_not_replicate(role: &Role, server: &Server) -> Option<Problem> {
    let name = &role.name;
    (!role.may_replicate()).then(|| {
        Problem::new(
            format!("{name} may not create replication slots"),
            match server.product {
                Some(product) => {
                    format!("{}; it is needed to read the slot too", product.replication(name))
                }
                None => format!(
                    "run: alter role {} replication (on RDS: grant rds_replication to it); it is needed to read the slot too",
                    quote::name(name)
                ),
            },
        )
    })
}

/// The problem that the role may not create schemas and publications, if so.
pub(crate) fn may_not_create(role: &Role, server: &Server) -> Option<Problem> {
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

fn table_not_owned(table: &Table, role: &Role) -> Problem {
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
