//! Checks whether values whose type has a cast to json can be told.

use tokio_postgres::Client;

use super::finding::{Finding, Topic};
use crate::{
    config::Config,
    postgres::{TableName, cast::Cast, relation::Relation},
    setup::catalog::{Facts, published_tables},
};

/// A finding for each column of a type whose cast must not run with the rights of rowhook's role.
pub(super) async fn untrusted(client: &Client, config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in published_tables(config) {
        // That the catalog cannot be read is another finding.
        let Ok(Some(relation)) = Relation::find(client, &name).await else {
            continue;
        };
        for column in &relation.columns {
            let casts = column.ty.casts();
            let unusable = casts.into_iter().find(|cast| !cast.usable);
            findings.extend(unusable.map(|cast| not_told(&name, &column.name, cast, facts)));
        }
    }
    findings
}

fn not_told(table: &TableName, column: &str, cast: &Cast, facts: &Facts) -> Finding {
    let Cast {
        sql_type, owner, ..
    } = cast;
    Finding::warn(
        Topic::Tables,
        format!(
            "{column} of {table} is unknown in bodies: the cast of {sql_type} to json runs code of {owner}, which must not run with the rights of {}",
            facts.role.name
        ),
    )
    .remedy(format!(
        "connect as {owner}, or make the function of the cast security definer"
    ))
}
