//! Checks whether generated columns can be computed.

use tokio_postgres::{Client, Error};

use super::finding::{Finding, Topic};
use crate::{
    config::Config,
    lookup::generated::Formula,
    postgres::{TableName, quote},
    setup::catalog::{Facts, published_tables},
};

/// A finding for each generated column whose code must not run with the rights of rowhook's role.
pub(super) async fn untrusted(client: &Client, config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in published_tables(config) {
        let Some(table) = facts
            .table(&name)
            .filter(|table| !table.left_out.is_empty())
        else {
            continue;
        };
        match formulas(client, &name).await {
            Ok(formulas) => {
                let unusable = formulas
                    .iter()
                    .filter(|formula| !formula.usable && table.left_out.contains(&formula.name));
                findings.extend(unusable.map(|formula| not_computed(&name, formula, facts)));
            }
            Err(error) => findings.push(Finding::warn(
                Topic::Tables,
                format!(
                    "cannot read how the columns of {name} are generated: {}",
                    crate::postgres::error_message(&error)
                ),
            )),
        }
    }
    findings
}

async fn formulas(client: &Client, name: &TableName) -> Result<Vec<Formula>, Error> {
    let oid = "select to_regclass($1::text)::oid";
    let row = client.query_one(oid, &[&quote::table(name)]).await?;
    match row.try_get::<_, Option<u32>>(0)? {
        Some(oid) => Formula::read_all(client, oid).await,
        None => Ok(Vec::new()),
    }
}

fn not_computed(table: &TableName, formula: &Formula, facts: &Facts) -> Finding {
    let Formula { name, owner, .. } = formula;
    Finding::warn(
        Topic::Tables,
        format!(
            "{name} of {table} runs code of its owner {owner}, which must not run with the rights of {}: it is read from the table, and told as unknown where the row has changed since",
            facts.role.name
        ),
    )
    .remedy(format!("connect as {owner}, or write {name} without functions of one's own"))
}
