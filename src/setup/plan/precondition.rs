//! What the server and the role must allow before a plan can be carried out.

use std::collections::HashSet;

use super::{
    fit::READS_STANDBYS,
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
        facts.standby.as_ref().and_then(wrong_wal_level_at_standby),
        at_standby(facts),
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

/// The first version of Postgres that turns logical decoding on by itself for the first logical slot, without a
/// restart, if wal_level is at least replica.
const WITH_DECODING_ON_DEMAND: i32 = 190_000;

/// The problem that wal_level does not allow a logical slot, if so.
pub(crate) fn wrong_wal_level(server: &Server) -> Option<Problem> {
    (!allows_decoding(&server.wal_level, server.version)).then(|| {
        Problem::new(
            format!("wal_level is {}, and must be logical", server.wal_level),
            server.product.map_or(
                "run: alter system set wal_level = logical; and restart Postgres (RDS and Aurora: rds.logical_replication = 1, Cloud SQL: cloudsql.logical_decoding = on)",
                Product::logical,
            ),
        )
    })
}

fn allows_decoding(wal_level: &str, version: i32) -> bool {
    match wal_level {
        "logical" => true,
        "replica" => version >= WITH_DECODING_ON_DEMAND,
        _ => false,
    }
}

/// The same of the standby that changes are read from.
pub(crate) fn wrong_wal_level_at_standby(standby: &Server) -> Option<Problem> {
    (!allows_decoding(&standby.wal_level, standby.version)).then(|| {
        Problem::new(
            format!(
                "wal_level is {} on the standby, and must be logical there and on the primary",
                standby.wal_level
            ),
            "set wal_level = logical on the standby too, and restart it",
        )
    })
}

/// The problem that the server that is to be written to is a standby, if it is.
pub(crate) fn at_standby(facts: &Facts) -> Option<Problem> {
    let server = &facts.server;
    server
        .in_recovery
        .then(|| match (&facts.standby, server.version) {
            (Some(_), _) => Problem::new(
                "the server of [database] primary_url is a standby",
                "give the primary there, or all hosts and target_session_attrs=read-write",
            ),
            (None, READS_STANDBYS..) => Problem::new(
                "this server is a standby",
                "give the primary in [database] url; to read from this standby, leave url and give the primary in primary_url",
            ),
            (None, _) => Problem::new(
                "this server is a standby, which cannot be read before Postgres 16",
                "give the primary in [database] url",
            ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_19_on_a_slot_turns_logical_decoding_on_by_itself() {
        for (wal_level, version, expected) in [
            ("logical", 140_000, true),
            ("logical", 190_000, true),
            ("replica", 180_006, false),
            ("replica", 190_000, true),
            ("minimal", 190_000, false),
        ] {
            let allowed = allows_decoding(wal_level, version);
            assert_eq!(allowed, expected, "{wal_level} {version}");
        }
    }
}
